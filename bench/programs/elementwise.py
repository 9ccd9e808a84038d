"""Elementwise operations: from cached sizes to tensors larger than the last cache."""

from . import program, training_call

GROUP = "elementwise"
SIZES = {"10 K": 10_000, "1 M": 1_000_000, "16 M": 16_000_000}
TRANSCENDENTAL = "exp log tanh sigmoid gelu silu sin erf log1p pow".split()
SHARE = 4  # bytes of a float32


def unary(name, label, function):
    size = SIZES[label]
    tags = ("transcendental",) * (name in TRANSCENDENTAL) + ("large",) * (label == "16 M")

    @program(f"{name} {label}", GROUP, bytes=2 * SHARE * size, tags=tags)
    def setup(torch):
        x = torch.rand(size) + 0.1
        return lambda: function(torch, x)


def binary(name, label, function):
    size = SIZES[label]
    tags = ("large",) * (label == "16 M")

    @program(f"{name} {label}", GROUP, bytes=3 * SHARE * size, tags=tags)
    def setup(torch):
        a, b = torch.randn(size), torch.randn(size)
        return lambda: function(torch, a, b)


for _label in SIZES:
    binary("add", _label, lambda torch, a, b: a + b)
    binary("mul", _label, lambda torch, a, b: a * b)
    binary("maximum", _label, lambda torch, a, b: torch.maximum(a, b))
    unary("exp", _label, lambda torch, x: torch.exp(x))
    unary("log", _label, lambda torch, x: torch.log(x))
    unary("tanh", _label, lambda torch, x: torch.tanh(x))
    unary("sigmoid", _label, lambda torch, x: torch.sigmoid(x))
    unary("relu", _label, lambda torch, x: torch.relu(x))
    unary("gelu", _label, lambda torch, x: torch.nn.functional.gelu(x))
for _label in ("10 K", "1 M"):
    unary("silu", _label, lambda torch, x: torch.nn.functional.silu(x))
    unary("sin", _label, lambda torch, x: torch.sin(x))
    unary("erf", _label, lambda torch, x: torch.erf(x))
    unary("log1p", _label, lambda torch, x: torch.log1p(x))
    unary("pow", _label, lambda torch, x: x**1.7)
    unary("sqrt", _label, lambda torch, x: torch.sqrt(x))
    unary("clamp", _label, lambda torch, x: x.clamp(0.2, 0.8))
    binary("div", _label, lambda torch, a, b: a / b)
    binary("less", _label, lambda torch, a, b: a < b)
    binary("addcmul", _label, lambda torch, a, b: torch.addcmul(a, a, b, value=0.5))
    binary("lerp", _label, lambda torch, a, b: torch.lerp(a, b, 0.3))
binary("add in place", "1 M", lambda torch, a, b: a.copy_(b).add_(b))


def case(name, tensors, function, **about):
    """A program over tensors that `tensors(torch)` makes."""

    @program(name, GROUP, **about)
    def setup(torch):
        arguments = tensors(torch)
        return lambda: function(torch, *arguments)


M = 1_000_000
case("exp float64 1 M", lambda t: (t.randn(M).double(),), lambda t, x: t.exp(x),
     bytes=16 * M, tags=("transcendental",))  # fmt: skip
case("add float64 1 M", lambda t: (t.randn(M).double(), t.randn(M).double()), lambda t, a, b: a + b,
     bytes=24 * M)  # fmt: skip
case("add int64 1 M", lambda t: (t.arange(M), t.arange(M)), lambda t, a, b: a + b, bytes=24 * M)
case("add bfloat16 1 M", lambda t: (t.randn(M).bfloat16(), t.randn(M).bfloat16()),
     lambda t, a, b: a + b, bytes=6 * M)  # fmt: skip
case("float32 to float64 1 M", lambda t: (t.randn(M),), lambda t, x: x.double(), bytes=12 * M)
case("uint8 to float32 1 M", lambda t: (t.randint(0, 256, (M,), dtype=t.uint8),),
     lambda t, x: x.float(), bytes=5 * M)  # fmt: skip
case("where 1 M", lambda t: (t.randn(M) > 0, t.randn(M), t.randn(M)),
     lambda t, c, a, b: t.where(c, a, b), bytes=13 * M)  # fmt: skip
case("add row 1000x1000", lambda t: (t.randn(1000, 1000), t.randn(1000)),
     lambda t, a, b: a + b, bytes=8 * M)  # fmt: skip
case("add row 10000x100", lambda t: (t.randn(10_000, 100), t.randn(100)), lambda t, a, b: a + b, bytes=8 * M)
case("add column 1000x1000", lambda t: (t.randn(1000, 1000), t.randn(1000, 1)),
     lambda t, a, b: a + b, bytes=8 * M)  # fmt: skip
case("add channels 16x64x32x32", lambda t: (t.randn(16, 64, 32, 32), t.randn(64, 1, 1)),
     lambda t, a, b: a + b, bytes=8 * 16 * 64 * 1024)  # fmt: skip
case("add transposed 1000x1000", lambda t: (t.randn(1000, 1000), t.randn(1000, 1000).t()),
     lambda t, a, b: a + b, bytes=12 * M)  # fmt: skip
case("complex64 mul 100 K", lambda t: (t.complex(t.randn(100_000), t.randn(100_000)),),
     lambda t, z: z * z, bytes=16 * 100_000)  # fmt: skip
case("complex64 mul by a number 10 K", lambda t: (t.complex(t.randn(10_000), t.randn(10_000)),),
     lambda t, z: z * 2.0, bytes=16 * 10_000)  # fmt: skip
case("complex64 square by power 100 K", lambda t: (t.complex(t.randn(100_000), t.randn(100_000)),),
     lambda t, z: z**2, bytes=16 * 100_000)  # fmt: skip
case("add channels 320x64x7x7", lambda t: (t.randn(320, 64, 7, 7), t.randn(64, 1, 1)),
     lambda t, a, b: a + b, bytes=8 * 320 * 64 * 49)  # fmt: skip
case("add int16 1 M", lambda t: (t.arange(M).to(t.int16), t.arange(M).to(t.int16)), lambda t, a, b: a + b,
     bytes=6 * M)  # fmt: skip
case("floor_divide uint8 1 M", lambda t: (t.randint(1, 256, (M,), dtype=t.uint8),), lambda t, x: x // x,
     bytes=2 * M)  # fmt: skip
case("gelu bfloat16 1 M", lambda t: (t.randn(M).bfloat16(),), lambda t, x: t.nn.functional.gelu(x),
     bytes=4 * M)  # fmt: skip
case("square bfloat16 1 M", lambda t: (t.randn(M).bfloat16(),), lambda t, x: x.square(), bytes=4 * M)
case("log bfloat16 1 M", lambda t: (t.rand(M).bfloat16(),), lambda t, x: x.log(), bytes=4 * M)
case("add channels 32x64x14x14", lambda t: (t.randn(32, 64, 14, 14), t.randn(64, 1, 1)),
     lambda t, a, b: a + b, bytes=8 * 32 * 64 * 196)  # fmt: skip
case("sign int8 1 M", lambda t: (t.randint(-9, 9, (M,), dtype=t.int8),), lambda t, x: x.sign(), bytes=2 * M)
case("bitwise_and bool 1 M", lambda t: (t.rand(M) > 0.5, t.rand(M) > 0.5), lambda t, a, b: a & b, bytes=3 * M)
case("uint8 to int16 1 M", lambda t: (t.randint(0, 256, (M,), dtype=t.uint8),), lambda t, x: x.short(), bytes=3 * M)
case("float32 to complex64 1 M", lambda t: (t.randn(M),), lambda t, x: x.cfloat(), bytes=12 * M)
case("round float16 1 M", lambda t: (t.randn(M).half(),), lambda t, x: x.round(), bytes=4 * M)
case("mul 64x1024x17 by a column", lambda t: (t.randn(64, 1024, 17), t.randn(64, 1024, 1)), lambda t, a, b: a * b,
     bytes=8 * 64 * 1024 * 17)  # fmt: skip
case("mul 64x1024x17 by rows", lambda t: (t.randn(64, 1024, 17), t.randn(64, 1, 17)), lambda t, a, b: a * b,
     bytes=8 * 64 * 1024 * 17)  # fmt: skip
case("mul 4000x49 by a column", lambda t: (t.randn(4000, 49), t.randn(4000, 1)), lambda t, a, b: a * b, bytes=8 * 4000 * 49)
case("add float16 1 M", lambda t: (t.randn(M).half(), t.randn(M).half()), lambda t, a, b: a + b, bytes=6 * M)
case("lerp bfloat16 1 M", lambda t: (t.randn(M).bfloat16(), t.randn(M).bfloat16()), lambda t, a, b: t.lerp(a, b, 0.3), bytes=6 * M)
case("gelu float64 100 K", lambda t: (t.randn(100_000, dtype=t.float64),), lambda t, x: t.nn.functional.gelu(x), bytes=16 * 100_000)
case("clamp by tensors 1 M", lambda t: (t.randn(M), t.randn(M), t.randn(M)), lambda t, x, a, b: x.clamp(a, b), bytes=16 * M)
case("int32 times 2.5 10 K", lambda t: (t.arange(10_000, dtype=t.int32),), lambda t, x: x * 2.5, bytes=8 * 10_000)
case("complex64 cube 100 K", lambda t: (t.complex(t.randn(100_000), t.randn(100_000)),), lambda t, z: z**3,
     bytes=16 * 100_000)  # fmt: skip
case("bessel_j0 100 K", lambda t: (9 * t.rand(100_000),), lambda t, x: t.special.bessel_j0(x), bytes=8 * 100_000)
case("erfinv 100 K", lambda t: (2 * t.rand(100_000) - 1,), lambda t, x: x.erfinv(), bytes=8 * 100_000)
case("pow float64 100 K", lambda t: (3 * t.rand(100_000).double(), 3 * t.rand(100_000).double()), lambda t, x, y: x**y,
     bytes=24 * 100_000)  # fmt: skip
case("gammainc 10 K", lambda t: (t.rand(10_000) + 1, t.rand(10_000)), lambda t, a, x: t.special.gammainc(a, x),
     bytes=12 * 10_000)  # fmt: skip
case("i1e 100 K", lambda t: (18 * t.rand(100_000) - 9,), lambda t, x: t.special.i1e(x), bytes=8 * 100_000)
case("ndtri 100 K", lambda t: (t.rand(100_000),), lambda t, x: t.special.ndtri(x), bytes=8 * 100_000)
case("gammaincc of 0 to 300 10 K", lambda t: (300 * t.rand(10_000), 300 * t.rand(10_000)), lambda t, a, x: t.special.gammaincc(a, x),
     bytes=12 * 10_000)  # fmt: skip
case("zeta 10 K", lambda t: (4 * t.rand(10_000) + 1.5, 5 * t.rand(10_000) + 0.5), lambda t, x, q: t.special.zeta(x, q),
     bytes=12 * 10_000)  # fmt: skip
case("hermite_polynomial_he 5 of 100 K", lambda t: (2 * t.rand(100_000) - 1,), lambda t, x: t.special.hermite_polynomial_he(x, 5),
     bytes=8 * 100_000)  # fmt: skip
case("mul 10000x100 by a column", lambda t: (t.randn(10_000, 100), t.randn(10_000, 1)), lambda t, a, b: a * b, bytes=8 * M)
case("bfloat16 to int16 1 M", lambda t: ((100 * t.randn(M)).bfloat16(),), lambda t, x: x.short(), bytes=4 * M)
case("float64 to int16 1 M", lambda t: ((100 * t.randn(M)).double(),), lambda t, x: x.short(), bytes=10 * M)
case("clamp_ by tensors 1 M", lambda t: (t.randn(M), t.randn(M), t.randn(M)), lambda t, x, a, b: x.clamp_(a, b), bytes=16 * M)
case("lerp 1 M, out=", lambda t: (t.randn(M), t.randn(M), t.empty(M)), lambda t, a, b, y: t.lerp(a, b, 0.3, out=y), bytes=12 * M)
case("mul by a number 100, out=", lambda t: (t.randn(100), t.empty(100)), lambda t, x, y: t.mul(x, 2.0, out=y))
case("mul of every second column 256x512", lambda t: (t.randn(256, 512),), lambda t, x: x[:, ::2] * x[:, 1::2], bytes=12 * 65536)
case("exp 1 M, out=", lambda t: (t.randn(M), t.empty(M)), lambda t, x, y: t.exp(x, out=y), bytes=8 * M)


def backward(name, function):
    @program(f"{name} 1 M, forward and backward", GROUP, tags=("transcendental",))
    def setup(torch):
        x = torch.randn(1_000_000, requires_grad=True)
        return training_call(torch, lambda: function(torch, x), x)


backward("tanh", lambda torch, x: torch.tanh(x))
backward("gelu", lambda torch, x: torch.nn.functional.gelu(x))
backward("silu", lambda torch, x: torch.nn.functional.silu(x))
backward("softplus", lambda torch, x: torch.nn.functional.softplus(x))
