"""Reductions, scans, softmax and losses."""

from . import program, training_call

GROUP = "reductions"
K, M = 1_000, 1_000_000


def over(name, shape, function, tags=(), passes=1):
    """A program that reduces a random tensor."""
    size = 1
    for n in shape:
        size *= n

    @program(name, GROUP, bytes=4 * size * passes, tags=tags)
    def setup(torch):
        x = torch.randn(*shape)
        return lambda: function(torch, x)


for _label, _size in (("1 K", K), ("10 K", 10 * K), ("1 M", M), ("16 M", 16 * M)):
    over(f"sum {_label}", (_size,), lambda torch, x: x.sum(), ("large",) * (_size > M))
for _label, _size in (("10 K", 10 * K), ("1 M", M)):
    over(f"mean {_label}", (_size,), lambda torch, x: x.mean())
    over(f"max {_label}", (_size,), lambda torch, x: x.max())
    over(f"argmax {_label}", (_size,), lambda torch, x: x.argmax())
    over(f"var {_label}", (_size,), lambda torch, x: x.var())
    over(f"norm {_label}", (_size,), lambda torch, x: x.norm())
    over(f"prod {_label}", (_size,), lambda torch, x: x.prod())
    over(f"cumsum {_label}", (_size,), lambda torch, x: x.cumsum(0), passes=2)
SQUARE = (1000, 1000)
over("sum 1000x1000, rows", SQUARE, lambda torch, x: x.sum(1))
over("sum 1000x1000, columns", SQUARE, lambda torch, x: x.sum(0))
over("sum 16x64x32x32, all but channels", (16, 64, 32, 32), lambda torch, x: x.sum((0, 2, 3)))
over("mean 16x512x4x4, last two", (16, 512, 4, 4), lambda torch, x: x.mean((2, 3)))
over("mean 10000x32, rows", (10000, 32), lambda torch, x: x.mean(1))
over("std 10000x10, rows", (10000, 10), lambda torch, x: x.std(1))
over("nansum 1 M", (M,), lambda torch, x: x.nansum())
over("max 1000x1000, rows with indices", SQUARE, lambda torch, x: x.max(1))
over("max 1000x1000, columns with indices", SQUARE, lambda torch, x: x.max(0))
over("argmax 1000x1000, rows", SQUARE, lambda torch, x: x.argmax(1))
over("var 1000x1000, rows", SQUARE, lambda torch, x: x.var(1))
over("logsumexp 1000x1000", SQUARE, lambda torch, x: x.logsumexp(1), ("transcendental",))
over("cumsum 1000x1000, columns", SQUARE, lambda torch, x: x.cumsum(0), passes=2)
over("cummax 1000x1000, rows", SQUARE, lambda torch, x: x.cummax(1), passes=4)
over("normalize 1000x64", (1000, 64), lambda torch, x: torch.nn.functional.normalize(x), passes=2)
over("cosine_similarity 1000x64", (1000, 64),
     lambda torch, x: torch.nn.functional.cosine_similarity(x, x))  # fmt: skip
over("histc 1 M", (M,), lambda torch, x: torch.histc(x, 100))
over("softmax 1000x1000", SQUARE, lambda torch, x: torch.softmax(x, 1), ("transcendental",), 2)
over("softmax 1000x1000, columns", SQUARE, lambda torch, x: torch.softmax(x, 0),
     ("transcendental",), 2)  # fmt: skip
over("softmax 64x10", (64, 10), lambda torch, x: torch.softmax(x, 1))
over("log_softmax 1000x1000", SQUARE, lambda torch, x: torch.log_softmax(x, 1),
     ("transcendental",), 2)  # fmt: skip
over("any 1 M", (M,), lambda torch, x: x.any())


POINTS = (512, 1024, 2)
over("sum 512x1024x2 over the 1024", POINTS, lambda torch, x: x.sum(1))
over("max 512x1024x2 over the 1024, with indices", POINTS, lambda torch, x: x.max(1))
over(
    "softmax 512x1024x2 over the 1024",
    POINTS,
    lambda torch, x: torch.softmax(x, 1),
    ("transcendental",),
    2,
)
over("sum 50000x10x2 over the 10", (50000, 10, 2), lambda torch, x: x.sum(1))
over("sum 10000x10x10 over the middle", (10000, 10, 10), lambda torch, x: x.sum(1))
over("cumsum 10000x10, rows", (10000, 10), lambda torch, x: x.cumsum(1), passes=2)
over("cumsum 100000x3, rows", (100000, 3), lambda torch, x: x.cumsum(1), passes=2)
over("cumsum 2000x500x3 over the 500", (2000, 500, 3), lambda torch, x: x.cumsum(1), passes=2)
over("cumprod 10000x10x10 over the middle", (10000, 10, 10), lambda torch, x: x.cumprod(1), passes=2)
over("cummax 512x1024x2 over the 1024", POINTS, lambda torch, x: x.cummax(1), passes=4)


@program("amax float16 4096x4096, columns", GROUP, bytes=2 << 24)
def largest_halves(torch):
    x = torch.randn(4096, 4096).to(torch.float16)
    return lambda: x.amax(0)


@program("prod complex64 1000x100, rows", GROUP, bytes=8 * K * 100)
def complex_products(torch):
    x = torch.randn(1000, 100, dtype=torch.complex64)
    return lambda: x.prod(1)


@program("sum float16 1000x1000, columns", GROUP, bytes=2 * M)
def sum_of_columns_of_halves(torch):
    x = torch.randn(*SQUARE).to(torch.float16)
    return lambda: x.sum(0)


@program("segment_reduce sum, 2 of 500 K", GROUP, bytes=4 * M)
def segments(torch):
    x, lengths = torch.randn(M), torch.tensor([M // 2, M // 2])
    return lambda: torch.segment_reduce(x, "sum", lengths=lengths)


@program("trapezoid 1000x1000, rows", GROUP, bytes=4 * M)
def integrals(torch):
    x = torch.randn(*SQUARE)
    return lambda: torch.trapezoid(x, dim=1)


@program("nansum float64 1 M", GROUP, bytes=8 * M)
def sum_of_float64_numbers(torch):
    x = torch.randn(M, dtype=torch.float64)
    return lambda: x.nansum()


@program("count_nonzero int64 1 M", GROUP, bytes=8 * M)
def count_of_integers(torch):
    x = torch.randint(0, 2, (M,))
    return lambda: torch.count_nonzero(x)


@program("max uint8 1 M", GROUP, bytes=M)
def max_of_bytes(torch):
    x = torch.randint(0, 255, (M,), dtype=torch.uint8)
    return lambda: x.max()


@program("amax uint8 1000x1000, columns", GROUP, bytes=M)
def amax_of_columns_of_bytes(torch):
    x = torch.randint(0, 255, SQUARE, dtype=torch.uint8)
    return lambda: x.amax(0)


@program("any uint8 1 M", GROUP, bytes=M)
def any_of_bytes(torch):
    x = torch.zeros(M, dtype=torch.uint8)
    return lambda: x.any()


@program("cumsum int64 1 M", GROUP, bytes=16 * M)
def cumsum_of_integers(torch):
    x = torch.ones(M, dtype=torch.int64)
    return lambda: x.cumsum(0)


@program("cross_entropy 2048x65", GROUP)
def cross_entropy_forward(torch):
    x, target = torch.randn(2048, 65), torch.randint(0, 65, (2048,))
    return lambda: torch.nn.functional.cross_entropy(x, target)


def backward(name, shape, function, tags=()):
    @program(f"{name}, forward and backward", GROUP, tags=tags)
    def setup(torch):
        x = torch.randn(*shape, requires_grad=True)
        return training_call(torch, lambda: function(torch, x), x)


backward("softmax 1000x1000", SQUARE, lambda torch, x: torch.softmax(x, 1), ("transcendental",))
backward("mean 1000x1000, rows", SQUARE, lambda torch, x: x.mean(1))
backward("cumsum 1000x1000", SQUARE, lambda torch, x: x.cumsum(1))


def loss(name, make):
    """A loss, forward and backward; `make(torch)` gives the prediction and the loss function."""

    @program(f"{name}, forward and backward", GROUP)
    def setup(torch):
        x, function = make(torch)
        x.requires_grad_()

        def run():
            function(x).backward()
            x.grad = None

        return run


for _rows, _classes in ((64, 10), (2048, 65), (128, 50257)):

    def _cross_entropy(torch, rows=_rows, classes=_classes):
        target = torch.randint(0, classes, (rows,))
        return torch.randn(rows, classes), lambda x: torch.nn.functional.cross_entropy(x, target)

    loss(f"cross_entropy {_rows}x{_classes}", _cross_entropy)


def _ctc(torch):
    lengths = torch.full((16,), 50), torch.full((16,), 10)
    target = torch.randint(1, 20, (16, 10))
    x = torch.randn(50, 16, 20).log_softmax(2)
    return x, lambda x: torch.nn.functional.ctc_loss(x, target, *lengths)


def _multi_margin(torch):
    target = torch.randint(0, 100, (128,))
    return torch.rand(128, 100), lambda x: torch.nn.functional.multi_margin_loss(x, target)


loss("ctc_loss 50x16x20", _ctc)
loss("multi_margin_loss 128x100", _multi_margin)


def _against(name):
    def make(torch):
        target = torch.rand(128, 784)
        return torch.rand(128, 784), lambda x: getattr(torch.nn.functional, name)(x, target)

    return make


for _name in ("mse_loss", "binary_cross_entropy_with_logits", "smooth_l1_loss"):
    loss(f"{_name} 128x784", _against(_name))
