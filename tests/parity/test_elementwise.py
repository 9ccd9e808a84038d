"""Every elementwise row that PyTorch has: value, dtype, shape, memory order and gradient, over random shapes."""

import numpy as np
import pytest
import torch
from arrays import array
from hypothesis import given, settings
from hypothesis import strategies as st

import dlgrad
from dlgrad.ops.elementwise import ROWS

from .both import DTYPES, EPS, agree, both, name_of, numbers, outcome

ALIASES = {"logit": "logit", "log_sigmoid": "logsigmoid", "gelu_tanh": None, "trunc_divide": None}
FUNCTIONS = torch.nn.functional


def theirs_of(row):
    name = ALIASES.get(row.name, row.name)
    if name is None or row.name.endswith("_backward"):
        return None
    for place in (torch, torch.special, FUNCTIONS):
        if hasattr(place, name):
            return getattr(place, name)
    return None


# Those of the special functions: test_special.py.
ALL = [r for r in ROWS.values() if r.arity < 3 and not r.node_name.startswith("Special") and theirs_of(r) is not None]
DOMAIN = {
    "sqrt": (0, 3), "rsqrt": (0.1, 3), "log": (0.1, 3), "log2": (0.1, 3), "log10": (0.1, 3), "log1p": (-0.9, 3),
    "asin": (-1, 1), "acos": (-1, 1), "atanh": (-0.9, 0.9), "acosh": (1, 4), "erfinv": (-0.9, 0.9),
    "lgamma": (0.1, 4), "digamma": (0.1, 4), "reciprocal": (0.2, 3), "pow": (0.2, 2.5), "div": (0.2, 3),
    "xlogy": (0.1, 2), "xlog1py": (0.1, 2), "tan": (-1.3, 1.3), "remainder": (0.5, 3), "fmod": (0.5, 3),
    "floor_divide": (0.5, 3), "atan2": (0.2, 3), "hypot": (0.1, 3), "copysign": (0.1, 3),
}  # fmt: skip
# Differences of quotients of rounded numbers, and PyTorch's own errors in 16 bits.
LOOSE = {"digamma": 64, "lgamma": 32, "erfinv": 64, "tan": 32, "acosh": 32, "atanh": 32, "asin": 16, "acos": 16, "sinc": 16,
         "pow": 32, "log1p": 16, "asinh": 16, "logaddexp2": 16, "rsqrt": 16, "erfc": 16, "i0": 16}  # fmt: skip
UNDEFINED = ("i0", "sinc", "silu", "mish", "gelu", "gelu_tanh", "logaddexp2", "fmod", "remainder")
# What PyTorch's own derivatives are worth: trigamma from a few terms, 1 / 6 as a float32.
IMPRECISE = {"digamma": 1e-4, "hardsigmoid": 1e-6}
SPECIAL = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 0.5, -0.5, 2.0, 1e30, -1e30, 1e-30]


def inputs(row, rng, shapes, dtype):
    low, high = DOMAIN.get(row.name, (-3.0, 3.0))
    out = [numbers(rng, s, dtype, low, high) for s in shapes]
    if dtype not in EPS and dtype != "bool":
        if row.name in ("remainder", "fmod", "floor_divide", "div", "pow"):
            out[1] = (np.abs(out[1]) % 5 + 1).astype(out[1].dtype)
        if "shift" in row.name:
            out[1] = (np.abs(out[1]) % 6).astype(out[1].dtype)
    return out


@st.composite
def shapes(draw, count):
    full = draw(st.lists(st.integers(0, 5), max_size=4).map(tuple))
    if count == 1:
        return (full,)
    out = []
    for _ in range(count):
        s = tuple(draw(st.sampled_from((n, n, 1))) for n in full)
        out.append(s[draw(st.integers(0, len(s))) :] if draw(st.booleans()) else s)
    return tuple(out)


@pytest.mark.parametrize("row", ALL, ids=lambda r: r.name)
def test_row(row):
    f = theirs_of(row)

    @settings(max_examples=25)
    @given(shapes(row.arity), st.sampled_from(DTYPES), st.integers(0, 1000), st.booleans())
    def check(sizes, dtype, seed, transposed):
        arrays = inputs(row, np.random.default_rng(seed), sizes, dtype)
        pairs = [both(a, dtype) for a in arrays]
        ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
        if transposed:
            ours = [t.permute(tuple(reversed(range(t.ndim)))) for t in ours]
            theirs = [t.permute(tuple(reversed(range(t.ndim)))) for t in theirs]
            try:
                torch.broadcast_shapes(*[t.shape for t in theirs])
            except RuntimeError:
                return
        expected, error = outcome(lambda: f(*theirs))
        if error is not None or (row.name == "square" and dtype == "bool"):
            return
        actual = row.function(*ours)
        low = dtype in ("float16", "bfloat16")
        agree(actual, expected, 4 if low else LOOSE.get(row.name, 8), (row.name, dtype, sizes))
        if row.arity == 1 and actual.numel() and row.name != "log_sigmoid":  # the memory order of the input is kept
            for n, a, e in zip(actual.shape, actual.stride(), expected.stride()):
                assert n == 1 or a == e, (row.name, sizes, transposed)

    check()


@pytest.mark.parametrize("row", [r for r in ALL if any(r.derivatives)], ids=lambda r: r.name)
def test_gradient(row):
    f = theirs_of(row)

    @settings(max_examples=15)
    @given(shapes(row.arity), st.sampled_from(("float32", "float64")), st.integers(0, 1000))
    def check(sizes, dtype, seed):
        rng = np.random.default_rng(seed)
        pairs = [both(a, dtype, grad=True) for a in inputs(row, rng, sizes, dtype)]
        ours, theirs = row.function(*[p[0] for p in pairs]), f(*[p[1] for p in pairs])
        weight = both(rng.uniform(0.5, 1.5, tuple(theirs.shape)), dtype)
        expected = torch.autograd.grad(theirs, [p[1] for p in pairs], weight[1], allow_unused=True)
        actual = dlgrad.autograd.grad(ours, [p[0] for p in pairs], weight[0], allow_unused=True, materialize_grads=True)
        for a, e, p in zip(actual, expected, pairs):
            e = torch.zeros_like(p[1]) if e is None else e + torch.zeros_like(e)
            atol = IMPRECISE.get(row.name)
            agree(a, e, 256 if atol is None else atol / EPS[dtype], (row.name, dtype, sizes))

    check()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ALL, ids=lambda r: r.name)
def test_special_values(row, dtype):
    """Zeros of both signs, infinities, nan and huge numbers: values, and first derivatives."""
    if row.kind == "int":
        values = [both(np.array([0, 1, -1, 7]), "int64")] * row.arity
        expected, error = outcome(lambda: theirs_of(row)(*[v[1] for v in values]))
        if error is None:
            agree(row.function(*[v[0] for v in values]), expected)
        return
    grid = np.meshgrid(*[np.array(SPECIAL)] * row.arity, indexing="ij")
    pairs = [both(g.reshape(-1), dtype, grad=True) for g in grid]
    expected = theirs_of(row)(*[p[1] for p in pairs])
    actual = row.function(*[p[0] for p in pairs])
    expected, actual = expected.detach().double().numpy(), array(actual).astype(np.float64)
    if row.name in UNDEFINED:  # where PyTorch has nan for want of a limit or of range, or its rounding of a 0
        defined = np.isfinite(expected) & (np.abs(expected) > 1e-6)
        expected, actual = expected[defined], actual[defined]
    np.testing.assert_allclose(actual, expected, LOOSE.get(row.name, 8) * EPS[dtype], 0, err_msg=row.name)
    if row.name not in ("fmax", "fmin", "pow"):
        signs = [np.signbit(np.where(np.isnan(v), 1.0, v)) for v in (actual, expected)]
        np.testing.assert_array_equal(*signs, err_msg=row.name + ": signs of zeros")


def test_every_method_and_alias_has_pytorchs_name():
    for row in ALL:
        name = ALIASES.get(row.name, row.name)
        assert hasattr(dlgrad, name) or hasattr(dlgrad.nn.functional, name) or hasattr(torch.special, name), name
        if hasattr(torch.Tensor, row.name):
            assert hasattr(dlgrad.Tensor, row.name), row.name
        if hasattr(torch.Tensor, row.name + "_"):
            assert hasattr(dlgrad.Tensor, row.name + "_"), row.name + "_"


def test_numbers_beside_tensors():
    rng = np.random.default_rng(0)
    for row in (r for r in ALL if r.arity == 2):
        for dtype in ("int32", "float32", "float64", "bfloat16"):
            x, y = both(inputs(row, rng, ((3, 4), (1,)), dtype)[0], dtype)
            for n in (2, 1.5, True):
                expected, error = outcome(lambda: theirs_of(row)(y, n))
                if error is None:
                    actual = row.function(x, n)
                    assert name_of(actual.dtype) == name_of(expected.dtype)
                    agree(actual, expected, LOOSE.get(row.name, 8), (row.name, dtype, n))
