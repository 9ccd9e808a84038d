"""Matrix products: square, thin, batched, odd and transposed; the smaller and larger dtypes."""

from . import program, training_call

GROUP = "products"


def product(name, left, right, change=None, dtype="float32"):
    """A program for `a @ b`; `change` is what is done to both first (a transpose)."""
    flops = (8.0 if dtype.startswith("complex") else 2.0) * (right[-1] if len(right) > 1 else 1)
    for n in left:
        flops *= n

    @program(name, GROUP, flops=flops, peak="float32" if dtype == "complex64" else dtype)
    def setup(torch):
        a = torch.randn(*left).to(getattr(torch, dtype))
        b = torch.randn(*right).to(getattr(torch, dtype))
        if change:
            a, b = change(a, b)
        return lambda: a @ b


def square(n, **about):
    product(f"matmul {n}", (n, n), (n, n), **about)


for _n in (8, 16, 32, 64, 100, 127, 128, 256, 512, 1000, 1023, 1024, 2048):
    square(_n)
for _n in (64, 512, 1024):
    product(f"matmul {_n}, float64", (_n, _n), (_n, _n), dtype="float64")
for _n in (128, 512):
    product(f"matmul {_n}, NT", (_n, _n), (_n, _n), lambda a, b: (a, b.t()))
    product(f"matmul {_n}, TN", (_n, _n), (_n, _n), lambda a, b: (a.t(), b))
product("matmul 1024, TN", (1024, 1024), (1024, 1024), lambda a, b: (a.t(), b))
product("matmul 512, TT", (512, 512), (512, 512), lambda a, b: (a.t(), b.t()))
for _n in (512, 1024):
    product(f"matmul {_n}, bfloat16", (_n, _n), (_n, _n), dtype="bfloat16")
product("matmul 128x784 @ 784x64", (128, 784), (784, 64))
product("matmul 64x784 @ 784x10", (64, 784), (784, 10))
product("matmul 2048x128 @ 128x512", (2048, 128), (128, 512))
product("matmul 128x768 @ 768x2304", (128, 768), (768, 2304))
product("matmul 128x768 @ 768x50257", (128, 768), (768, 50257))
product("matmul 1x768 @ 768x2304", (1, 768), (768, 2304))
product("matmul 4x768 @ 768x768", (4, 768), (768, 768))
product("matmul 1000x3 @ 3x1000", (1000, 3), (3, 1000))
product("matmul 1024x8 @ 8x1024", (1024, 8), (8, 1024))
product("matmul 33x1000 @ 1000x17", (33, 1000), (1000, 17))
product("matrix-vector 1000", (1000, 1000), (1000,))
product("matrix-vector 4096", (4096, 4096), (4096,))
product("matrix-vector 1000, complex64", (1000, 1000), (1000,), dtype="complex64")
product("matmul 80x1000 @ 1000x30, complex64", (80, 1000), (1000, 30), dtype="complex64")
product("dot 1 M", (1_000_000,), (1_000_000,))
product("bmm 64x2x2", (64, 2, 2), (64, 2, 2))
product("bmm 64x32x32", (64, 32, 32), (64, 32, 32))
product("bmm 512x16x16", (512, 16, 16), (512, 16, 16))
product("bmm 96x128x32 @ 96x32x128", (96, 128, 32), (96, 32, 128))
product("bmm 96x128x32 @ 96x32x128, bfloat16", (96, 128, 32), (96, 32, 128), dtype="bfloat16")
product("bmm 12x128x64, NT", (12, 128, 64), (12, 128, 64), lambda a, b: (a, b.mT))


def linear(rows, inputs, outputs):
    @program(f"Linear {inputs}-{outputs}, {rows} rows, forward and backward", GROUP,
             flops=6.0 * rows * inputs * outputs)  # fmt: skip
    def setup(torch):
        layer, x = torch.nn.Linear(inputs, outputs), torch.randn(rows, inputs, requires_grad=True)
        return training_call(torch, lambda: layer(x), x, *layer.parameters())


for _case in ((1, 64, 64), (32, 128, 128), (128, 784, 64), (256, 1024, 1024), (2048, 128, 512),
              (1, 4096, 1000), (2, 1280, 1000), (4, 768, 3072)):  # fmt: skip
    linear(*_case)


@program("einsum bhtd,bhsd->bhts 8x4x64x32", GROUP, flops=2.0 * 8 * 4 * 64 * 64 * 32)
def einsum(torch):
    a, b = torch.randn(8, 4, 64, 32), torch.randn(8, 4, 64, 32)
    return lambda: torch.einsum("bhtd,bhsd->bhts", a, b)


@program("einsum bij,bij->bi 64x50x50", GROUP)
def einsum_rows(torch):
    a, b = torch.randn(64, 50, 50), torch.randn(64, 50, 50)
    return lambda: torch.einsum("bij,bij->bi", a, b)


def int8(n):
    @program(f"int8 matmul {n} (_int_mm)", GROUP)
    def setup(torch):
        a = torch.randint(-128, 128, (n, n)).to(torch.int8)
        b = torch.randint(-128, 128, (n, n)).to(torch.int8)
        return lambda: torch._int_mm(a, b)


for _n in (256, 512, 1024):
    int8(_n)


@program("relu(linear) 256x128 to 512", GROUP, flops=2.0 * 256 * 128 * 512)
def linear_relu(torch):
    a, b, c = torch.randn(256, 128), torch.randn(512, 128), torch.randn(512)
    return lambda: torch._addmm_activation(c, a, b.t())


@program("Linear 128-512, 2048 rows, bfloat16, forward and backward", GROUP)
def linear_bfloat16(torch):
    layer = torch.nn.Linear(128, 512).to(torch.bfloat16)
    x = torch.randn(2048, 128).to(torch.bfloat16).requires_grad_()
    return training_call(torch, lambda: layer(x), x, *layer.parameters())
