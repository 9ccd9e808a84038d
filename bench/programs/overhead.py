"""The cost of an operation by itself: tensors so small that their numbers take no time."""

from . import program

GROUP = "overhead"


@program("add 10", GROUP)
def add(torch):
    """Two tensors of 10 elements, no gradient wanted."""
    a, b = torch.randn(10), torch.randn(10)
    return lambda: a + b


@program("add 10, grad", GROUP)
def add_with_gradient(torch):
    """The same with a graph node made (no backward)."""
    a, b = torch.randn(10, requires_grad=True), torch.randn(10)
    return lambda: a + b


@program("add_ 10, in place", GROUP)
def add_in_place(torch):
    a, b = torch.zeros(10), torch.zeros(10)
    return lambda: a.add_(b)


@program("mul_ 10, in place, grad", GROUP)
def multiply_in_place_with_gradient(torch):
    """A tensor that has a history, written to (no backward)."""
    a = torch.randn(10, requires_grad=True)
    return lambda: a.clone().mul_(2.0)


@program("x[mask] = number, grad", GROUP)
def write_masked_with_gradient(torch):
    """A write through a mask into a tensor that has a history (no backward)."""
    a = torch.randn(10, requires_grad=True)
    mask = a > 0

    def run():
        t = a.clone()
        t[mask] = 0.0

    return run


@program("x[2] = values, grad", GROUP)
def write_row_with_gradient(torch):
    """The same through a view of it."""
    a, row = torch.randn(4, 8, requires_grad=True), torch.randn(8)

    def run():
        t = a.clone()
        t[2] = row

    return run


@program("add 10, out=", GROUP)
def add_out(torch):
    a, b, out = torch.randn(10), torch.randn(10), torch.empty(10)
    return lambda: torch.add(a, b, out=out)


@program("mul 10 by a number", GROUP)
def mul_number(torch):
    a = torch.randn(10)
    return lambda: a * 0.5


def chain(name, differentiate):
    """Fifty operations on 10 elements, multiplications and additions in turn, then differentiate(torch, sum, x)."""

    @program(name, GROUP)
    def setup(torch):
        x, a, b = torch.randn(10, requires_grad=True), torch.randn(10), torch.randn(10)

        def run():
            y = x
            for _ in range(25):
                y = y * a + b
            differentiate(torch, y.sum(), x)
            x.grad = None

        return run


chain("chain 50, backward", lambda torch, y, x: y.backward())
chain("chain 50, autograd.grad", lambda torch, y, x: torch.autograd.grad(y, x))


@program("gradient penalty, MLP 2-16-1, batch 32", GROUP)
def penalty(torch):
    """The gradient of the squared norm of a network's gradient, by autograd.grad with create_graph (WGAN-GP)."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    x = torch.randn(32, 2, requires_grad=True)

    def run():
        (g,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        ((g.norm(2, 1) - 1) ** 2).mean().backward()
        network.zero_grad()
        x.grad = None

    return run


def small(name, make):
    """A program of one short expression over a 4 x 8 tensor."""

    @program(name, GROUP)
    def setup(torch):
        return make(torch, torch.randn(4, 8))


small("sum 4x8", lambda torch, x: lambda: x.sum())
small("softmax 4x8", lambda torch, x: lambda: torch.softmax(x, 1))
small("view 4x8", lambda torch, x: lambda: x.view(8, 4))
small("transpose 4x8", lambda torch, x: lambda: x.t())
small("t_ 4x8", lambda torch, x: lambda: x.t_())
small("select 4x8", lambda torch, x: lambda: x[2])
small("slice 4x8", lambda torch, x: lambda: x[:, 1:5])
small("item", lambda torch, x: (lambda y: lambda: y.item())(x.sum()))
small("zeros 4x8", lambda torch, x: lambda: torch.zeros(4, 8))
small("cat 4x8", lambda torch, x: lambda: torch.cat([x, x]))
small("sum 4x8, dim 1", lambda torch, x: lambda: x.sum(1))
small("x[mask] = number", lambda torch, x: (lambda mask: lambda: x.__setitem__(mask, 1.0))(x > 0))
small("x[mask] = 0-d", lambda torch, x: (lambda mask, y: lambda: x.__setitem__(mask, y))(x > 0, x.sum()))
small("x[mask] = values", lambda torch, x: (lambda mask: (lambda y: lambda: x.__setitem__(mask, y))(x[mask]))(x > 0))
small("x[mask of rows] = number", lambda torch, x: (lambda mask: lambda: x.__setitem__(mask, 1.0))(x[:, 0] > -9))
small("x[:, i] = number", lambda torch, x: (lambda i: lambda: x.__setitem__((slice(None), i), 1.0))(torch.tensor([1, 3])))
small("x[2] = number", lambda torch, x: lambda: x.__setitem__(2, 1.0))
small("topk 4x8", lambda torch, x: lambda: x.topk(2))
small("tensor of 3 numbers", lambda torch, x: lambda: torch.tensor([1.0, 2.0, 3.0]))
small("randint 10", lambda torch, x: lambda: torch.randint(0, 5, (10,)))
small("numpy of 4x8", lambda torch, x: lambda: x.numpy())
small("linear 4x8, forward", lambda torch, x: (lambda f: lambda: f(x))(torch.nn.Linear(8, 8)))


@program("clamp 5x10x5 by tensors", GROUP)
def clamp_by_tensors(torch):
    x = torch.randn(5, 10, 5)
    low, high = x - 1, x + 1
    return lambda: torch.clamp(x, low, high)


@program("irfft 8x5", GROUP)
def small_fft(torch):
    x = torch.randn(8, 5, dtype=torch.complex64)
    return lambda: torch.fft.irfft(x)


@program("cross 5x3", GROUP)
def small_cross(torch):
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    return lambda: torch.linalg.cross(a, b)


@program("scatter_reduce mean 10x5", GROUP)
def small_scatter_reduce(torch):
    x, i = torch.randn(10, 5), torch.randint(0, 10, (5, 5))
    return lambda: x.scatter_reduce(0, i, x, "mean")


@program("polygamma 2 of 5x5", GROUP)
def small_polygamma(torch):
    x = torch.rand(5, 5) + 1
    return lambda: torch.polygamma(2, x)


@program("x[mask] 5x5", GROUP)
def small_mask(torch):
    x = torch.randn(5, 5)
    mask = x > 0
    return lambda: x[mask]


def given(name, make):
    """A function that writes its results into tensors that are there."""

    @program(name + " 5x5, out=", GROUP)
    def setup(torch):
        f = make(torch, torch.eye(5) * 9 + torch.rand(5, 5))
        out = f(None)
        return lambda: f(out)


given("max", lambda torch, x: lambda out: torch.max(x, 1, out=out))
given("cummax", lambda torch, x: lambda out: torch.cummax(x, 1, out=out))
given("qr", lambda torch, x: lambda out: torch.linalg.qr(x, out=out))
given("lu_factor_ex", lambda torch, x: lambda out: torch.linalg.lu_factor_ex(x, out=out))
given("mode", lambda torch, x: lambda out: torch.mode(x, 1, out=out))
given("histogram", lambda torch, x: lambda out: torch.histogram(x, 4, out=out))

small("nan_to_num_ 4x8", lambda torch, x: lambda: x.nan_to_num_())
small("elu_ 4x8", lambda torch, x: lambda: torch.nn.functional.elu_(x))
small("renorm_ 4x8", lambda torch, x: lambda: x.renorm_(2, 0, 1.0))
small("to a device 4x8", lambda torch, x: (lambda d: lambda: x.to(d, torch.float64))(torch.device("cpu")))
small("as_strided 4x8", lambda torch, x: lambda: x.as_strided((2, 2), (8, 1), 3))
small("cfloat 4x8", lambda torch, x: lambda: x.cfloat())
small("lstsq 4x8", lambda torch, x: (lambda y: lambda: torch.linalg.lstsq(x, y))(torch.randn(4, 2)))
small("ldl_solve 4x4", lambda torch, x: (lambda f: lambda: torch.linalg.ldl_solve(*f, x))(torch.linalg.ldl_factor(x @ x.T)))


@program("linspace between tensors", GROUP)
def linspace_between(torch):
    a, b = torch.tensor(0.0), torch.tensor(1.0)
    return lambda: torch.linspace(a, b, 7)


@program("cholesky_inverse 5x5", GROUP)
def small_cholesky_inverse(torch):
    x = torch.eye(5) * 9 + torch.rand(5, 5)
    return lambda: torch.cholesky_inverse(x)


@program("igammac 5x10x5", GROUP)
def small_igammac(torch):
    a, x = torch.rand(2, 5, 10, 5).mul(9).unbind(0)
    return lambda: torch.igammac(a, x)


@program("zeta 5x10x5, half of them undefined", GROUP)
def small_zeta(torch):
    x, q = torch.rand(2, 5, 10, 5).mul(18).sub(9).unbind(0)
    return lambda: torch.special.zeta(x, q)


@program("complex 10x1x5 and 10x5", GROUP)
def small_complex(torch):
    a, b = torch.randn(10, 1, 5), torch.randn(10, 5)
    return lambda: torch.complex(a, b)


def recorded(name, shape, make):
    """A function whose input wants a gradient: forward alone (the graph is made), and with backward."""

    def setup(torch, differentiate):
        x = torch.randn(*shape, requires_grad=True)
        f = make(torch, torch.nn.functional)
        y = f(x)
        first = y[0] if isinstance(y, (tuple, list)) else y
        g = torch.ones_like(first)

        def run():
            y = f(x)
            torch.autograd.grad(y[0] if isinstance(y, (tuple, list)) else y, x, g)

        return run if differentiate else lambda: f(x)

    program(name + ", grad", GROUP)(lambda torch: setup(torch, False))
    program(name + ", grad, forward and backward", GROUP)(lambda torch: setup(torch, True))


recorded("split 5x4", (5, 4), lambda torch, F: lambda x: x.split(2, 1))
recorded("cdist 5x4", (5, 4), lambda torch, F: lambda x: torch.cdist(x, x[:3]))
recorded("normalize 5x4", (5, 4), lambda torch, F: lambda x: F.normalize(x))
recorded("layer_norm 5x4", (5, 4), lambda torch, F: lambda x: F.layer_norm(x, (4,)))
recorded("pad 2x3x6x6, reflect", (2, 3, 6, 6), lambda torch, F: lambda x: F.pad(x, (1, 1, 1, 1), "reflect"))
recorded("attention 2x3x6x6", (2, 3, 6, 6), lambda torch, F: lambda x: F.scaled_dot_product_attention(x, x, x))
recorded("conv2d 2x3x6x6", (2, 3, 6, 6), lambda torch, F: (lambda w: lambda x: F.conv2d(x, w))(torch.randn(4, 3, 3, 3)))
