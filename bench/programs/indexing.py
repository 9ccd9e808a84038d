"""Data movement: gather and scatter, indexing, sorting, copies; random numbers."""

from . import program, training_call

GROUP = "indexing"
M = 1_000_000


def case(name, tensors, function, **about):
    """A program over tensors that `tensors(torch)` makes."""

    @program(name, GROUP, **about)
    def setup(torch):
        arguments = tensors(torch)
        return lambda: function(torch, *arguments)


def square(torch):
    return (torch.randn(1000, 1000),)


def indexed(torch):
    return torch.randn(1000, 1000), torch.randint(0, 1000, (1000, 1000))


def rows(torch):
    return torch.randn(10_000, 64), torch.randint(0, 10_000, (4096,))


case("gather 1000x1000", indexed, lambda t, x, i: x.gather(1, i))
case("scatter_add 1000x1000", indexed, lambda t, x, i: t.zeros(1000, 1000).scatter_add_(1, i, x))
case("index_select 4096 rows of 64", rows, lambda t, x, i: x.index_select(0, i))
case("x[i], 4096 rows of 64", rows, lambda t, x, i: x[i])
case("index_add 4096 rows of 64", rows, lambda t, x, i: x.index_add(0, i, x[:4096]))
case("x[mask] 1 M", lambda t: (t.randn(M), t.randn(M) > 0), lambda t, x, m: x[m])
case("x[mask] = number, 1 M", lambda t: (t.randn(M), t.randn(M) > 0), lambda t, x, m: x.__setitem__(m, 1.0), bytes=9 * M)
case("x[mask] = x[mask] + 1, 100 K", lambda t: (t.randn(100_000), t.randn(100_000) > 0),
     lambda t, x, m: x.__setitem__(m, x[m] + 1))  # fmt: skip
case("x[mask] = 5904 rows of 64", lambda t: (t.randn(10_000, 64), t.arange(10_000) % 8192 < 4096, t.randn(5904, 64)),
     lambda t, x, m, rows: x.__setitem__(m, rows))  # fmt: skip
case("masked_fill 1 M", lambda t: (t.randn(M), t.randn(M) > 0),
     lambda t, x, m: x.masked_fill(m, 0.0), bytes=9 * M)  # fmt: skip
case("nonzero 1 M", lambda t: (t.randn(M) > 0,), lambda t, m: m.nonzero())
case("sort 10 K", lambda t: (t.randn(10_000),), lambda t, x: x.sort())
case("sort 1 M", lambda t: (t.randn(M),), lambda t, x: x.sort())
case("sort int64 1 M", lambda t: (t.randint(0, 1 << 40, (M,)),), lambda t, x: x.sort())
case("sort 1000x1000, rows", square, lambda t, x: x.sort(1))
case(
    "sort int16 1 M", lambda t: (t.randint(0, 1 << 14, (M,), dtype=t.int16),), lambda t, x: x.sort()
)
case("sort uint8 1 M", lambda t: (t.randint(0, 255, (M,), dtype=t.uint8),), lambda t, x: x.sort())
case("sort 10000x16, rows", lambda t: (t.randn(10_000, 16),), lambda t, x: x.sort(1))
case("topk 5 of 128x1000", lambda t: (t.randn(128, 1000),), lambda t, x: x.topk(5))
case("topk 5 of 100x100", lambda t: (t.randn(100, 100),), lambda t, x: x.topk(5))
case("median of int64 10 K", lambda t: (t.randint(0, 30_000, (10_000,)),), lambda t, x: x.median(0))
case("median float64 100x100, rows", lambda t: (t.randn(100, 100).double(),), lambda t, x: x.median(1))
case("topk 25 of 100x100", lambda t: (t.randn(100, 100),), lambda t, x: x.topk(25))
case("topk 2 of 1000x8", lambda t: (t.randn(1000, 8),), lambda t, x: x.topk(2))
case("topk 10 of int64 100x64", lambda t: (t.randint(0, 10_000, (100, 64)),), lambda t, x: x.topk(10))
case("median 1000x9, rows", lambda t: (t.randn(1000, 9),), lambda t, x: x.median(1))
case("sort 1000x10, rows", lambda t: (t.randn(1000, 10),), lambda t, x: x.sort(1))
case("sort 100x100 of bool, rows", lambda t: (t.randn(100, 100) > 0,), lambda t, x: x.sort(1))
case("sort 10x1000, columns", lambda t: (t.randn(10, 1000),), lambda t, x: x.sort(0))
case("topk 6 of int64 300x30", lambda t: (t.randint(0, 10_000, (300, 30)),), lambda t, x: x.topk(6))
case("topk 1 of 1000x30, columns", lambda t: (t.randn(1000, 30),), lambda t, x: x.topk(1, 0))
case("mode 10000x10, rows", lambda t: (t.randn(10_000, 10),), lambda t, x: x.mode(1))
case("median 1000x1000, rows", square, lambda t, x: x.median(1))
case("topk 5 of 1 M", lambda t: (t.randn(M),), lambda t, x: x.topk(5))
case("topk 50 of 16x50257", lambda t: (t.randn(16, 50257),), lambda t, x: x.topk(50))
case("unique of 100 K", lambda t: (t.randint(0, 1000, (100_000,)),), lambda t, x: x.unique())
case("histogram 100 K, 100 bins", lambda t: (t.randn(100_000),), lambda t, x: t.histogram(x, 100))
case(
    "histogramdd 100 K x 2, 20 bins",
    lambda t: (t.randn(100_000, 2),),
    lambda t, x: t.histogramdd(x, [20, 20]),
)
case(
    "unique_consecutive of 1 M",
    lambda t: (t.randint(0, 3, (M,)),),
    lambda t, x: x.unique_consecutive(),
)
case(
    "unique_consecutive of sorted 100 K, inverse and counts",
    lambda t: (t.randint(0, 100, (100_000,)).sort()[0],),
    lambda t, x: x.unique_consecutive(return_inverse=True, return_counts=True),
)
case(
    "isin int64 100 K in 10 K",
    lambda t: (t.randint(0, 1 << 20, (100_000,)), t.randint(0, 1 << 20, (10_000,))),
    lambda t, x, y: t.isin(x, y),
)
case("bincount 1 M of 1000", lambda t: (t.randint(0, 1000, (M,)),), lambda t, x: t.bincount(x))
case(
    "searchsorted 1 M in 10 K",
    lambda t: (t.randn(10_000).sort()[0], t.randn(M)),
    lambda t, b, x: t.searchsorted(b, x),
)
case(
    "searchsorted 1 K in 100",
    lambda t: (t.randn(100).sort()[0], t.randn(1000)),
    lambda t, b, x: t.searchsorted(b, x),
)
case(
    "searchsorted int64 1 K in 1 K",
    lambda t: (t.randint(0, 1 << 40, (1000,)).sort()[0], t.randint(0, 1 << 40, (1000,))),
    lambda t, b, x: t.searchsorted(b, x),
)
case(
    "searchsorted float16 1 K in 1 K",
    lambda t: (t.randn(1000).half().sort()[0], t.randn(1000).half()),
    lambda t, b, x: t.searchsorted(b, x),
)
case(
    "searchsorted 10 in each of 100 rows of 100",
    lambda t: (t.randn(100, 100).sort(1)[0], t.randn(100, 10)),
    lambda t, b, x: t.searchsorted(b, x),
)
case(
    "bucketize 1 M in 11",
    lambda t: (t.linspace(-3, 3, 11), t.randn(M)),
    lambda t, b, x: t.bucketize(x, b),
)
case(
    "put 1 M",
    lambda t: (t.zeros(M), t.randint(0, M, (M,)), t.randn(M)),
    lambda t, x, i, v: x.put(i, v),
)
case("roll 1000x1000", square, lambda t, x: x.roll(7), bytes=8 * M)
case("flip 1000x1000, rows", square, lambda t, x: x.flip(0), bytes=8 * M)
case(
    "repeat_interleave 1000x100 by 4",
    lambda t: (t.randn(1000, 100),),
    lambda t, x: x.repeat_interleave(4, 0),
)
case("cat of two 1000x1000, rows", square, lambda t, x: t.cat([x, x]), bytes=16 * M)
case("cat of two 1000x1000, columns", square, lambda t, x: t.cat([x, x], 1), bytes=16 * M)
case("stack of eight 100x1000", lambda t: ([t.randn(100, 1000) for _ in range(8)],),
     lambda t, x: t.stack(x), bytes=6.4 * M)  # fmt: skip
case("clone 1 M", lambda t: (t.randn(M),), lambda t, x: x.clone(), bytes=8 * M)
case("clone 16 M", lambda t: (t.randn(16 * M),), lambda t, x: x.clone(), bytes=128 * M,
     tags=("large",))  # fmt: skip
case("zeros 16 M", lambda t: (), lambda t: t.zeros(16 * M), bytes=64 * M, tags=("large",))
case("transposed copy 1000x1000", square, lambda t, x: x.t().contiguous(), bytes=8 * M)
case("transposed copy 4096x4096", lambda t: (t.randn(4096, 4096),), lambda t, x: x.t().contiguous(),
     bytes=8 * 4096**2, tags=("large",))  # fmt: skip
case("NHWC to NCHW 8x224x224x3", lambda t: (t.randn(8, 224, 224, 3),), lambda t, x: x.permute(0, 3, 1, 2).contiguous(),
     bytes=8 * 8 * 224 * 224 * 3)  # fmt: skip
case("pixel_shuffle 8x64x32x32 by 2", lambda t: (t.randn(8, 64, 32, 32),), lambda t, x: t.nn.functional.pixel_shuffle(x, 2))
case("fold 4x144x1024, 3x3", lambda t: (t.randn(4, 144, 1024),),
     lambda t, x: t.nn.functional.fold(x, (32, 32), 3, padding=1))  # fmt: skip
case("adaptive_avg_pool1d 8x64x200 to 10", lambda t: (t.randn(8, 64, 200),),
     lambda t, x: t.nn.functional.adaptive_avg_pool1d(x, 10))  # fmt: skip
case("frexp 100 K", lambda t: (t.randn(100_000),), lambda t, x: t.frexp(x))
case("NCHW to NHWC 16x64x32x32", lambda t: (t.randn(16, 64, 32, 32),),
     lambda t, x: x.permute(0, 2, 3, 1).contiguous(), bytes=8 * 16 * 64 * 1024)  # fmt: skip
case("NCHW to NHWC 32x64x56x56", lambda t: (t.randn(32, 64, 56, 56),),
     lambda t, x: x.permute(0, 2, 3, 1).contiguous(), bytes=8 * 32 * 64 * 56**2)  # fmt: skip
case("pad 16x64x32x32 by 1", lambda t: (t.randn(16, 64, 32, 32),),
     lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1)))  # fmt: skip
case("tril 1000x1000", square, lambda t, x: x.tril(), bytes=8 * M)
images = lambda t: (t.randn(8, 32, 28, 28),)  # noqa: E731
case("tril of 256 28x28", images, lambda t, x: x.tril())
case("flip 8x32x28x28, columns", images, lambda t, x: x.flip(-1))
case("roll 8x32x28x28 by 1, 1", images, lambda t, x: x.roll((1, 1), (-2, -1)))
case("pad 8x32x28x28 by 2, reflect", images, lambda t, x: t.nn.functional.pad(x, (2,) * 4, "reflect"))
case("flip uint8 8x32x28x28", lambda t: (t.randint(0, 255, (8, 32, 28, 28), dtype=t.uint8),), lambda t, x: x.flip(-1))
case("one_hot 4096 of 65", lambda t: (t.randint(0, 65, (4096,)),),
     lambda t, i: t.nn.functional.one_hot(i, 65))  # fmt: skip
case("arange 1 M", lambda t: (), lambda t: t.arange(M), bytes=8 * M)
case("rand 1 M", lambda t: (), lambda t: t.rand(M))
case("randn 1 M", lambda t: (), lambda t: t.randn(M), tags=("transcendental",))
case("randint 1 M", lambda t: (), lambda t: t.randint(0, 100, (M,)))
case("randperm 60 K", lambda t: (), lambda t: t.randperm(60_000))
case("bernoulli 1 M", lambda t: (t.full((M,), 0.3),), lambda t, p: t.bernoulli(p))
case("multinomial 64x1000", lambda t: (t.rand(64, 1000),), lambda t, p: t.multinomial(p, 1))
case("fft 1024x1024", lambda t: (t.randn(1024, 1024),), lambda t, x: t.fft.rfft(x))
case(
    "fft 1024x1024, complex",
    lambda t: (t.randn(1024, 1024, dtype=t.complex64),),
    lambda t, x: t.fft.fft(x),
)
case(
    "irfft 1024x1024",
    lambda t: (t.randn(1024, 513, dtype=t.complex64),),
    lambda t, x: t.fft.irfft(x),
)
case("fft2 512x512", lambda t: (t.randn(512, 512, dtype=t.complex64),), lambda t, x: t.fft.fft2(x))
case("rfft 100x1009", lambda t: (t.randn(100, 1009),), lambda t, x: t.fft.rfft(x))
case("rfft 64", lambda t: (t.randn(64),), lambda t, x: t.fft.rfft(x))
case("cdist 500x64", lambda t: (t.randn(500, 64), t.randn(500, 64)), lambda t, a, b: t.cdist(a, b))
case("tensor of a list of 1000", lambda t: ([0.5] * 1000,), lambda t, v: t.tensor(v))
case("tolist 1000", lambda t: (t.randn(1000),), lambda t, x: x.tolist())


case("tolist 100x100", lambda t: (t.randn(100, 100),), lambda t, x: x.tolist())
case(
    "flip complex64 512x1024",
    lambda t: (t.randn(512, 1024, dtype=t.complex64),),
    lambda t, x: x.flip(0),
)
case("scatter_add complex64 512x1024", lambda t: (t.randn(512, 1024, dtype=t.complex64), t.randint(0, 1024, (512, 1024))),
     lambda t, x, i: x.scatter_add(1, i, x))  # fmt: skip
case("stack of two 1000x1000, last", lambda t: (t.randn(1000, 1000), t.randn(1000, 1000)), lambda t, x, y: t.stack([x, y], -1))
case("index_add bfloat16 1000x1000", lambda t: (t.randn(1000, 1000).to(t.bfloat16), t.randint(0, 1000, (1000,))),
     lambda t, x, i: x.index_add(0, i, x))  # fmt: skip
case("index_reduce amax 1000x100", lambda t: (t.randn(1000, 100), t.randint(0, 1000, (1000,))),
     lambda t, x, i: x.index_reduce(0, i, x, "amax"))  # fmt: skip
case("scatter_reduce amax 1 M", lambda t: (t.zeros(M), t.randint(0, M, (M,)), t.randn(M)),
     lambda t, x, i, s: x.scatter_reduce(0, i, s, "amax"))  # fmt: skip
case("triu_indices 1000", lambda t: (), lambda t: t.triu_indices(1000, 1000))


@program("x[i] of 10 K rows of 64, forward and backward", GROUP)
def index_backward(torch):
    x, i = torch.randn(10_000, 64, requires_grad=True), torch.randint(0, 10_000, (4096,))
    return training_call(torch, lambda: x[i], x)


@program("gather 1000x1000, forward and backward", GROUP)
def gather_backward(torch):
    x, i = indexed(torch)
    x.requires_grad_()
    return training_call(torch, lambda: x.gather(1, i), x)


@program("cat of two 1000x1000, forward and backward", GROUP)
def cat_backward(torch):
    a, b = (torch.randn(1000, 1000, requires_grad=True) for _ in range(2))
    return training_call(torch, lambda: torch.cat([a, b]), a, b)
case("scatter_add float16 1 M", lambda t: (t.zeros(1_000_000).half(), t.randint(0, 1_000_000, (1_000_000,)), t.randn(1_000_000).half()),
     lambda t, x, i, s: x.scatter_add(0, i, s))  # fmt: skip
case("repeat_interleave 1 M by 3", lambda t: (t.randn(1_000_000),), lambda t, x: x.repeat_interleave(3))
case("repeat_interleave 1 M by a vector", lambda t: (t.randn(1_000_000), t.randint(0, 4, (1_000_000,))), lambda t, x, r: x.repeat_interleave(r))
