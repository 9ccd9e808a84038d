"""Random numbers: a seed gives PyTorch's numbers. Against PyTorch where it is installed, and from
memory where not."""

import copy
import pickle
import threading

import numpy as np
import pytest

import dlgrad
from dlgrad import random as generators
from dlgrad.ops import random as ops

FLOATS = ("float32", "float64", "float16", "bfloat16")
DTYPES = (*FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool")
SIZES = (*range(1, 41), 511, 512, 513, 1000, 5003)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def seeded(torch, seed=7):
    dlgrad.manual_seed(seed)
    torch.manual_seed(seed)


def same(ours, theirs, ulp64=0):
    """Equal bits; float64 may be off by `ulp64` units in the last place where libm comes in."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    a = np.asarray(ours.tolist(), dtype=np.float64)
    b = np.asarray(theirs.tolist(), dtype=np.float64)
    if ulp64 and ours.dtype is dlgrad.float64:
        np.testing.assert_allclose(a, b, rtol=ulp64 * 2.3e-16, atol=1e-16)
    else:
        assert np.array_equal(a, b, equal_nan=True)


def state_is_pytorchs(torch):
    assert dlgrad.get_rng_state().tolist() == torch.get_rng_state().tolist()


def test_known_numbers():
    dlgrad.manual_seed(0)
    np.testing.assert_array_equal(
        ops.rand(3).tolist(),
        np.float32([0.49625658988952637, 0.7682217955589294, 0.08847743272781372]),
    )
    dlgrad.manual_seed(0)
    np.testing.assert_array_equal(
        ops.randn(3).tolist(),
        np.float32([1.5409960746765137, -0.293428897857666, -2.1787893772125244]),
    )
    dlgrad.manual_seed(0)
    assert ops.randint(0, 100, (6,)).tolist() == [44, 39, 33, 60, 63, 79]
    dlgrad.manual_seed(0)
    assert ops.randperm(10).tolist() == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]
    dlgrad.manual_seed(0)
    assert dlgrad.empty(10).bernoulli_(0.4).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_and_normal(torch, dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded(torch)
    for n in SIZES:
        same(ops.rand(n, dtype=ours), torch.rand(n, dtype=theirs))
        same(
            dlgrad.empty(n, dtype=ours).uniform_(-0.3, 0.7),
            torch.empty(n, dtype=theirs).uniform_(-0.3, 0.7),
        )
    state_is_pytorchs(torch)
    for n in SIZES:
        same(ops.randn(n, dtype=ours), torch.randn(n, dtype=theirs), ulp64=4)
        same(
            dlgrad.empty(n, dtype=ours).normal_(1.5, 0.3),
            torch.empty(n, dtype=theirs).normal_(1.5, 0.3),
            ulp64=4,
        )
    same(ops.rand(4), torch.rand(4))


def test_half_a_pair_waits(torch):
    seeded(torch)
    for n in (1, 1, 3, 16, 1, 2):
        same(ops.randn(n), torch.randn(n))
    dlgrad.manual_seed(7)
    torch.manual_seed(7)
    same(ops.randn(3), torch.randn(3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers(torch, dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded(torch)
    ranges = [(0, 2), (0, 1)]
    if dtype != "bool":
        ranges += [(0, 100), (3, 120)]
    if dtype in ("int64", "float64"):
        ranges += [(0, 2**28 - 1), (0, 2**28), (-(2**40), 2**52)]
    if dtype == "int64":
        ranges += [(-(2**63), 2**63 - 1), (-(2**62), 2**62 + 7), (5, 2**62)]
    if dtype == "int32":
        ranges += [(-(2**31), 2**31 - 1)]
    for n in (1, 7, 8, 513, 1000):
        same(dlgrad.empty(n, dtype=ours).random_(), torch.empty(n, dtype=theirs).random_())
        for low, high in ranges:
            same(
                dlgrad.empty(n, dtype=ours).random_(low, high),
                torch.empty(n, dtype=theirs).random_(low, high),
            )
        if dtype != "bool":
            same(
                dlgrad.empty(n, dtype=ours).random_(100, None),
                torch.empty(n, dtype=theirs).random_(100, None),
            )
            same(ops.randint(3, 50, (n,), dtype=ours), torch.randint(3, 50, (n,), dtype=theirs))
            same(dlgrad.empty(n, dtype=ours).random_(9), torch.empty(n, dtype=theirs).random_(9))
        if dtype in ("int64", "float32", "float64", "bfloat16"):
            full = (-(2**63), None)
            same(
                dlgrad.empty(n, dtype=ours).random_(*full),
                torch.empty(n, dtype=theirs).random_(*full),
            )
    state_is_pytorchs(torch)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [
        ("float64", (-(2**40), 2**60)),
        ("float64", (5, 2**62)),
        ("float32", (-(2**30), 2**29 + 5)),
        ("float32", (3, 2**31 - 1)),
        ("bfloat16", (-1000, 1003)),
        ("bfloat16", (2**10 + 1, 2**20 + 3)),
        ("float16", (-4099, 4097)),
    ],
)
def test_ranges_beyond_the_mantissa(torch, dtype, bounds):
    seeded(torch)
    ours = dlgrad.empty(100, dtype=getattr(dlgrad, dtype)).random_(*bounds)
    same(ours, torch.empty(100, dtype=getattr(torch, dtype)).random_(*bounds))


def test_randperm(torch):
    seeded(torch)
    for n in (0, 1, 2, 3, 10, 513, 5000, 70_001):
        same(ops.randperm(n), torch.randperm(n))
    for dtype in ("int32", "int16", "float32", "float64"):
        same(
            ops.randperm(1000, dtype=getattr(dlgrad, dtype)),
            torch.randperm(1000, dtype=getattr(torch, dtype)),
        )
    state_is_pytorchs(torch)


def test_bernoulli(torch):
    if _torch_draws_with_mkl(torch):
        pytest.skip("this PyTorch draws bernoulli from a generator of MKL's")
    seeded(torch)
    for dtype in DTYPES:
        for p in (0.0, 0.3, 1.0):
            a = dlgrad.empty(100, dtype=getattr(dlgrad, dtype)).bernoulli_(p)
            same(a, torch.empty(100, dtype=getattr(torch, dtype)).bernoulli_(p))
    x = np.linspace(0, 1, 600)
    for dtype in FLOATS:
        ours = dlgrad.tensor(x.tolist(), dtype=getattr(dlgrad, dtype))
        theirs = torch.tensor(x, dtype=getattr(torch, dtype))
        same(ops.bernoulli(ours), torch.bernoulli(theirs))
        same(dlgrad.empty(600).bernoulli_(ours), torch.empty(600).bernoulli_(theirs))
        same(ops.dropout(ours, 0.3), torch.dropout(theirs, 0.3, True))
    state_is_pytorchs(torch)


def _torch_draws_with_mkl(torch):
    torch.manual_seed(0)
    words = torch.get_rng_state()
    torch.empty(8).bernoulli_(0.5)
    torch.manual_seed(0)
    torch.rand(16)
    after_sixteen = torch.get_rng_state()
    torch.manual_seed(0)
    torch.empty(8).bernoulli_(0.5)
    return not torch.equal(after_sixteen, torch.get_rng_state()) and not torch.equal(
        words, after_sixteen
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_distributions(torch, dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded(torch)
    for n in (1, 9, 513, 1000):
        for name, values in (
            ("exponential_", (0.5,)),
            ("geometric_", (0.1,)),
            ("geometric_", (1e-9,)),
            ("cauchy_", (0.0, 1.5)),
            ("log_normal_", (0.5, 0.7)),
        ):
            a = getattr(dlgrad.empty(n, dtype=ours), name)(*values)
            same(a, getattr(torch.empty(n, dtype=theirs), name)(*values), ulp64=100)
        for rate in (0.1, 3.0, 9.9, 10.0, 50.0, 1000.0):
            same(
                ops.poisson(dlgrad.full((n,), rate, dtype=ours)),
                torch.poisson(torch.full((n,), rate, dtype=theirs)),
            )


def test_multinomial(torch):
    seeded(torch)
    p = np.linspace(0.01, 1, 30)
    for dtype in ("float32", "float64", "bfloat16"):
        for shape in ((30,), (3, 10)):
            ours = dlgrad.tensor(p.tolist(), dtype=getattr(dlgrad, dtype)).reshape(shape)
            theirs = torch.tensor(p, dtype=getattr(torch, dtype)).reshape(shape)
            same(
                ops.multinomial(ours, 17, replacement=True),
                torch.multinomial(theirs, 17, replacement=True),
            )
            if dtype != "bfloat16":
                same(ops.multinomial(ours, 1), torch.multinomial(theirs, 1))
                same(ops.multinomial(ours, 7), torch.multinomial(theirs, 7))


def test_normal_with_tensors(torch):
    seeded(torch)
    mean, std = np.linspace(-1, 1, 24), np.linspace(0.5, 2, 24)
    m, s = dlgrad.tensor(mean.tolist()), dlgrad.tensor(std.tolist())
    tm, ts = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    for ours, theirs in (((m, s), (tm, ts)), ((m, 0.5), (tm, 0.5)), ((2.0, s), (2.0, ts))):
        same(ops.normal(*ours), torch.normal(*theirs))
    same(ops.normal(1.0, 2.0, (5, 4)), torch.normal(1.0, 2.0, (5, 4)))
    same(ops.normal(m.reshape(24, 1), s), torch.normal(tm.reshape(24, 1), ts))


def test_tensors_that_are_not_contiguous(torch):
    seeded(torch)

    def layouts(module):
        wide = module.empty(6, 8)
        yield module.empty(4, 5, 6).permute(2, 0, 1)
        yield module.empty(3, 4).t()
        yield wide.as_strided((6, 4), (8, 2))
        yield wide.as_strided((4, 6), (2, 8))
        yield module.empty(2, 3, 4, 5).permute(0, 3, 1, 2)

    fills = (
        lambda t: t.uniform_(),
        lambda t: t.normal_(0.5, 2.0),
        lambda t: t.random_(0, 1000),
        lambda t: t.exponential_(),
    )
    for fill in fills:
        for ours, theirs in zip(layouts(dlgrad), layouts(torch)):
            same(fill(ours), fill(theirs))
    state_is_pytorchs(torch)


def test_like_functions(torch):
    seeded(torch)
    ours, theirs = (
        dlgrad.empty(3, 20, dtype=dlgrad.float64),
        torch.empty(3, 20, dtype=torch.float64),
    )
    same(ops.rand_like(ours), torch.rand_like(theirs))
    same(ops.randn_like(ours, dtype=dlgrad.float32), torch.randn_like(theirs, dtype=torch.float32))
    same(ops.randint_like(ours, 3, 20), torch.randint_like(theirs, 3, 20))
    same(ops.rand((2, 3)), torch.rand((2, 3)))
    same(ops.rand(()), torch.rand(()))
    assert ops.rand(0, 3).shape == (0, 3)
    out = dlgrad.empty(5)
    assert ops.rand(5, out=out) is out
    assert ops.randn(2, requires_grad=True).requires_grad


# ---------------------------------------------------------------------- generators


def test_states_cross_over(torch):
    seeded(torch)
    ops.randn(5)
    torch.randn(5)
    ours, theirs = dlgrad.get_rng_state(), torch.get_rng_state()
    assert ours.tolist() == theirs.tolist()
    ops.rand(1000)
    dlgrad.set_rng_state(dlgrad.tensor(theirs.tolist(), dtype=dlgrad.uint8))
    torch.set_rng_state(torch.tensor(ours.tolist(), dtype=torch.uint8))
    same(ops.randn(7), torch.randn(7))
    assert dlgrad.initial_seed() == torch.initial_seed() == 7


def test_seeds(torch):
    for seed in (0, 1, -1, 2**32, 2**32 + 1, 2**64 - 1, -(2**63), 12345.0):
        generator = dlgrad.Generator().manual_seed(seed)
        assert generator.initial_seed() == torch.Generator().manual_seed(int(seed)).initial_seed()
        same(
            ops.rand(3, generator=generator),
            torch.rand(3, generator=torch.Generator().manual_seed(int(seed))),
        )
    same(ops.rand(3, generator=dlgrad.Generator()), torch.rand(3, generator=torch.Generator()))
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(RuntimeError, match="64"):
            dlgrad.manual_seed(seed)


def test_generators_are_streams_of_their_own():
    a, b = dlgrad.Generator().manual_seed(1), dlgrad.Generator().manual_seed(1)
    dlgrad.manual_seed(5)
    first = ops.rand(4).tolist()
    dlgrad.manual_seed(5)
    ops.rand(100, generator=a)
    assert ops.rand(4).tolist() == first
    ops.rand(100, generator=b)
    c, d, e = a.clone_state(), copy.deepcopy(a), pickle.loads(pickle.dumps(a))
    numbers = [ops.randn(5, generator=g).tolist() for g in (a, b, c, d, e)]
    assert all(n == numbers[0] for n in numbers)
    assert c.initial_seed() == 1
    assert a.device.type == "cpu"


def test_fork_rng_restores():
    dlgrad.manual_seed(3)
    expected = ops.rand(2).tolist()
    dlgrad.manual_seed(3)
    with generators.fork_rng():
        ops.rand(50)
        dlgrad.manual_seed(9)
    assert ops.rand(2).tolist() == expected


def test_unseeded_streams_differ():
    a, b = dlgrad.Generator(), dlgrad.Generator()
    assert a.seed() != b.seed()
    assert ops.rand(4, generator=a).tolist() != ops.rand(4, generator=b).tolist()


def test_states_that_are_none():
    generator = dlgrad.Generator()
    with pytest.raises(TypeError, match="ByteTensor"):
        generator.set_state(dlgrad.zeros(5056))
    with pytest.raises(RuntimeError, match="size 5056"):
        generator.set_state(dlgrad.zeros(10, dtype=dlgrad.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        generator.set_state(dlgrad.zeros(5056, dtype=dlgrad.uint8))
    with pytest.raises(TypeError, match="Generator"):
        ops.rand(3, generator=7)


def test_threads_share_a_generator():
    generator = dlgrad.Generator().manual_seed(0)
    parts = []

    def draw():
        for _ in range(50):
            parts.append(tuple(ops.rand(16, generator=generator).tolist()))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expected = ops.rand(50 * 4 * 16, generator=dlgrad.Generator().manual_seed(0)).tolist()
    wanted = {tuple(expected[i : i + 16]) for i in range(0, len(expected), 16)}
    assert set(parts) == wanted


# ---------------------------------------------------------------------- gradients, errors


def test_dropout_gradient():
    x = ops.randn(6, 7, dtype=dlgrad.float64, requires_grad=True)
    dlgrad.manual_seed(1)
    y = ops.dropout(x, 0.4)
    y.sum().backward()
    kept = np.asarray(y.tolist()) != 0
    np.testing.assert_allclose(np.asarray(x.grad.tolist()), kept / 0.6)
    turned = x.detach().t()
    assert not turned.is_contiguous()
    out = ops.dropout(turned, 0.4)
    assert out.shape == (7, 6)
    assert ops.dropout(x, 0.0) is x
    assert ops.dropout(x, 0.5, False) is x
    assert not np.asarray(ops.dropout(x, 1.0).tolist()).any()


def test_dropout_of_other_layouts(torch):
    seeded(torch)
    values = np.arange(1.0, 61).reshape(3, 4, 5)
    ours, theirs = dlgrad.tensor(values.tolist()), torch.tensor(values, dtype=torch.float32)
    if not _torch_draws_with_mkl(torch):
        seeded(torch)
        same(
            ops.dropout(ours.permute(2, 0, 1), 0.5),
            torch.dropout(theirs.permute(2, 0, 1), 0.5, True),
        )


def test_fills_in_a_graph_are_constants():
    x = dlgrad.ones(4).requires_grad_()
    y = x * 2
    y.uniform_()
    (x + y).sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1]
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.normal_()
    p = dlgrad.full((4,), 0.5).requires_grad_()
    ops.bernoulli(p).sum().backward()
    assert p.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        (lambda: dlgrad.empty(2).uniform_(1, 0), RuntimeError, r"found from=1.0 > to=0.0"),
        (lambda: dlgrad.empty(2).uniform_(-3e38, 3e38), RuntimeError, "expects to-from <="),
        (
            lambda: dlgrad.empty(2, dtype=dlgrad.int64).uniform_(),
            RuntimeError,
            "not implemented for int64",
        ),
        (lambda: dlgrad.empty(2).normal_(0, -1), RuntimeError, "std >= 0.0, but found std -1"),
        (lambda: dlgrad.empty(2).bernoulli_(2), RuntimeError, r"p to be in \[0, 1\], but got p=2"),
        (lambda: ops.bernoulli(dlgrad.full((3,), 1.5)), RuntimeError, "p_in <= 1"),
        (lambda: dlgrad.empty(2).exponential_(0), RuntimeError, "lambda > 0.0"),
        (lambda: dlgrad.empty(2).geometric_(1), RuntimeError, r"p to be in \(0, 1\)"),
        (lambda: dlgrad.empty(2).geometric_(), TypeError, "missing required argument 'p'"),
        (lambda: dlgrad.empty(2).cauchy_(0, -1), RuntimeError, "sigma > 0.0"),
        (lambda: dlgrad.empty(2).random_(5, 5), RuntimeError, "'from' to be less than 'to'"),
        (
            lambda: dlgrad.empty(2, dtype=dlgrad.uint8).random_(0, 300),
            RuntimeError,
            "out of bounds for uint8",
        ),
        (lambda: ops.randint(0, (2,)), RuntimeError, "'from' to be less than 'to'"),
        (lambda: ops.randint(5), TypeError, "missing argument 'size'"),
        (lambda: ops.randperm(-1), RuntimeError, "non-negative"),
        (lambda: ops.randperm(1000, dtype=dlgrad.int8), RuntimeError, "too large"),
        (lambda: ops.rand(2, dtype=dlgrad.int64), RuntimeError, "not implemented for int64"),
        (
            lambda: ops.multinomial(dlgrad.zeros(3), 2, True),
            RuntimeError,
            "sum of probabilities <= 0",
        ),
        (lambda: ops.multinomial(dlgrad.full((3,), -1.0), 2, True), RuntimeError, "entry < 0"),
        (lambda: ops.multinomial(dlgrad.ones(3), 4), RuntimeError, "without replacement"),
        (lambda: ops.multinomial(dlgrad.ones(3), 0), RuntimeError, "n_sample <= 0"),
        (lambda: ops.poisson(dlgrad.full((3,), -1.0)), RuntimeError, "non-negative"),
        (lambda: ops.dropout(dlgrad.ones(3), 1.5), RuntimeError, "between 0 and 1"),
        (lambda: dlgrad.ones(1).expand(3).uniform_(), RuntimeError, "single memory location"),
    ],
)
def test_errors(draw, error, text):
    with pytest.raises(error, match=text):
        draw()
