"""Random numbers: a seed gives PyTorch's numbers, and leaves PyTorch's state behind."""

import numpy as np
import pytest
import torch

import dlgrad
from dlgrad.ops import random as ops

from .both import agree

FLOATS = ("float32", "float64", "float16", "bfloat16")
DTYPES = (*FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool")
SIZES = (*range(1, 41), 511, 512, 513, 1000, 5003)


def seeded(seed=7):
    dlgrad.manual_seed(seed)
    torch.manual_seed(seed)


def same(ours, theirs, ulp64=0):
    """Equal bits; float64 may be off by `ulp64` units in the last place where libm comes in."""
    wide = ulp64 and ours.dtype is dlgrad.float64
    agree(ours, theirs, ulps=ulp64 if wide else 0, atol=1e-16 if wide else 0.0)


def state_is_pytorchs():
    assert dlgrad.get_rng_state().tolist() == torch.get_rng_state().tolist()


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_and_normal(dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded()
    for n in SIZES:
        same(ops.rand(n, dtype=ours), torch.rand(n, dtype=theirs))
        same(
            dlgrad.empty(n, dtype=ours).uniform_(-0.3, 0.7),
            torch.empty(n, dtype=theirs).uniform_(-0.3, 0.7),
        )
    state_is_pytorchs()
    for n in SIZES:
        same(ops.randn(n, dtype=ours), torch.randn(n, dtype=theirs), ulp64=4)
        same(
            dlgrad.empty(n, dtype=ours).normal_(1.5, 0.3),
            torch.empty(n, dtype=theirs).normal_(1.5, 0.3),
            ulp64=4,
        )
    same(ops.rand(4), torch.rand(4))


def test_half_a_pair_waits():
    seeded()
    for n in (1, 1, 3, 16, 1, 2):
        same(ops.randn(n), torch.randn(n))
    dlgrad.manual_seed(7)
    torch.manual_seed(7)
    same(ops.randn(3), torch.randn(3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers(dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded()
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
    state_is_pytorchs()


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
def test_ranges_beyond_the_mantissa(dtype, bounds):
    seeded()
    ours = dlgrad.empty(100, dtype=getattr(dlgrad, dtype)).random_(*bounds)
    same(ours, torch.empty(100, dtype=getattr(torch, dtype)).random_(*bounds))


def test_randperm():
    seeded()
    for n in (0, 1, 2, 3, 10, 513, 5000, 70_001):
        same(ops.randperm(n), torch.randperm(n))
    for dtype in ("int32", "int16", "float32", "float64"):
        same(
            ops.randperm(1000, dtype=getattr(dlgrad, dtype)),
            torch.randperm(1000, dtype=getattr(torch, dtype)),
        )
    state_is_pytorchs()


def test_bernoulli():
    if _torch_draws_with_mkl():
        pytest.skip("this PyTorch draws bernoulli from a generator of MKL's")
    seeded()
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
    state_is_pytorchs()


def _torch_draws_with_mkl():
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
def test_other_distributions(dtype):
    ours, theirs = getattr(dlgrad, dtype), getattr(torch, dtype)
    seeded()
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


def test_multinomial():
    seeded()
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


def test_normal_with_tensors():
    seeded()
    mean, std = np.linspace(-1, 1, 24), np.linspace(0.5, 2, 24)
    m, s = dlgrad.tensor(mean.tolist()), dlgrad.tensor(std.tolist())
    tm, ts = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    for ours, theirs in (((m, s), (tm, ts)), ((m, 0.5), (tm, 0.5)), ((2.0, s), (2.0, ts))):
        same(ops.normal(*ours), torch.normal(*theirs))
    same(ops.normal(1.0, 2.0, (5, 4)), torch.normal(1.0, 2.0, (5, 4)))
    same(ops.normal(m.reshape(24, 1), s), torch.normal(tm.reshape(24, 1), ts))


def test_tensors_that_are_not_contiguous():
    seeded()

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
    state_is_pytorchs()


def test_like_functions():
    seeded()
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


def test_states_cross_over():
    seeded()
    ops.randn(5)
    torch.randn(5)
    ours, theirs = dlgrad.get_rng_state(), torch.get_rng_state()
    assert ours.tolist() == theirs.tolist()
    ops.rand(1000)
    dlgrad.set_rng_state(dlgrad.tensor(theirs.tolist(), dtype=dlgrad.uint8))
    torch.set_rng_state(torch.tensor(ours.tolist(), dtype=torch.uint8))
    same(ops.randn(7), torch.randn(7))
    assert dlgrad.initial_seed() == torch.initial_seed() == 7


def test_seeds():
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


def test_dropout_of_other_layouts():
    seeded()
    values = np.arange(1.0, 61).reshape(3, 4, 5)
    ours, theirs = dlgrad.tensor(values.tolist()), torch.tensor(values, dtype=torch.float32)
    if not _torch_draws_with_mkl():
        seeded()
        same(
            ops.dropout(ours.permute(2, 0, 1), 0.5),
            torch.dropout(theirs.permute(2, 0, 1), 0.5, True),
        )
