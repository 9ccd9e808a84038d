"""Tensor as the array object of the Python array API, the dtypes, and what a program can ask of the namespace."""

import inspect
import operator
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis.extra.array_api import make_strategies_namespace
from namespaces import COMPLEX, FLOATS, INTEGERS, NUMERIC, both, grid, ours

import dlgrad
import dlgrad.array_api as xp

OPERATORS = "add sub mul truediv pow eq ne lt le gt ge floordiv mod and_ or_ xor lshift rshift matmul".split()


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    """As the functions, forwards, with Python numbers on either side, and in place."""
    dtype = "int32" if name in ("and_", "or_", "xor", "lshift", "rshift") else "float64"
    op, x = getattr(operator, name), np.abs(grid((3, 3), dtype)) + 1
    both(lambda ns, x: (op(x, x), x.copy() if ns is np else x.clone()), x, what=name)
    if name != "matmul":
        both(lambda ns, x: (op(x, 2), op(2, x)), x, what=f"{name} with numbers")
    if name not in ("eq", "ne", "lt", "le", "gt", "ge", "matmul"):
        t = ours(x)
        inplace = getattr(operator, "i" + name.rstrip("_"))
        assert inplace(t, ours(x)) is t
        assert xp.all(t == op(ours(x), ours(x)))


STANDARD = """abs add and array_namespace bool complex dlpack dlpack_device eq float floordiv ge getitem gt index int invert le
lshift lt matmul mod mul ne neg or pos pow rshift setitem sub truediv xor""".split()
BOTH_WAYS = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor".split()


def test_names():
    for name in STANDARD + ["r" + n for n in BOTH_WAYS] + ["i" + n for n in BOTH_WAYS]:
        assert hasattr(dlgrad.Tensor, f"__{name}__"), name
    for name in ("dtype", "device", "mT", "ndim", "shape", "T", "to_device"):
        assert hasattr(dlgrad.Tensor, name)
    assert (len(xp.__all__), len(xp.linalg.__all__), len(xp.fft.__all__)) == (152, 23, 14)


def test_array_object():
    x = xp.ones((2, 3))
    assert x.__array_namespace__() is xp and x.__array_namespace__(api_version="2022.12") is xp
    with pytest.raises(ValueError):
        x.__array_namespace__(api_version="1999.12")
    assert x.device == xp.__array_namespace_info__().default_device()
    assert x.to_device("cpu") is x and xp.empty(2, device=x.device).shape == (2,)
    with pytest.raises(RuntimeError):
        x.to_device("cuda")
    assert (x.ndim, x.shape, x.T.shape, x.mT.shape) == (2, (2, 3), (3, 2), (3, 2))
    one = xp.asarray(3)
    assert [0, 1, 2, 3][one] == 3 and (int(one), float(one), complex(one), bool(one)) == (
        3,
        3.0,
        3 + 0j,
        True,
    )
    assert complex(xp.asarray(1 + 2j)) == 1 + 2j
    with pytest.raises(TypeError):
        float(xp.asarray(1j))
    assert xp.from_dlpack(np.arange(3)).tolist() == [0, 1, 2] and x.__dlpack_device__()[0] == 1
    x[0, :] = 5
    x[x == 5] = xp.asarray(7.0)
    assert (
        x[0].tolist() == [7, 7, 7] and (-x)[0, 0] == -7 and (+x)[0, 0] == 7 and abs(-x)[0, 0] == 7
    )
    assert (~xp.asarray([1, 0])).tolist() == [-2, -1]


def test_copies_and_views():
    x = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
    assert xp.asarray(x, copy=False) is x and xp.asarray(x, copy=True) is not x
    assert xp.astype(x, x.dtype, copy=False) is x and xp.astype(x, x.dtype) is not x
    with pytest.raises(ValueError):
        xp.asarray([1.0], copy=False)
    with pytest.raises(ValueError):
        xp.asarray(x, copy=False, dtype=xp.float64)
    with pytest.raises(ValueError):
        xp.reshape(x.mT, (4,), copy=False)
    with pytest.raises(TypeError):
        xp.astype(xp.asarray([1j]), xp.float32)


def test_dtypes():
    info = xp.__array_namespace_info__()
    assert info.capabilities() == {
        "boolean indexing": True,
        "data-dependent shapes": True,
        "max dimensions": 15,
    }
    assert set(info.dtypes()) == {"bool", *NUMERIC} and info.dtypes(kind="unsigned integer") == {
        "uint8": xp.uint8
    }
    assert info.dtypes(kind=("bool", "real floating")) == {
        "bool": xp.bool,
        "float32": xp.float32,
        "float64": xp.float64,
    }
    assert info.devices() == [dlgrad.device("cpu")]
    assert info.default_dtypes() == {
        "real floating": xp.float32,
        "complex floating": xp.complex64,
        "integral": xp.int64,
        "indexing": xp.int64,
    }
    for d in FLOATS + COMPLEX:
        got, want = xp.finfo(getattr(xp, d)), np.finfo(d)
        for field in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(got, field) == getattr(want, field)
        assert got.dtype.name == want.dtype.name and type(got.eps) is float
    for d in INTEGERS:
        got, want = xp.iinfo(xp.ones(1, dtype=getattr(xp, d))), np.iinfo(d)
        assert (got.bits, got.min, got.max, got.dtype.name) == (want.bits, want.min, want.max, d)
    for d in ("bool", *NUMERIC):
        for kind in (
            "bool",
            "signed integer",
            "unsigned integer",
            "integral",
            "real floating",
            "complex floating",
            "numeric",
        ):
            assert xp.isdtype(getattr(xp, d), kind) == np.isdtype(np.dtype(d), kind)
    assert xp.isdtype(xp.int8, (xp.int16, "bool", xp.int8)) and not xp.isdtype(xp.int8, ())
    assert not xp.can_cast(xp.int64, xp.float64) and xp.can_cast(xp.float32, xp.complex128)
    assert xp.result_type(xp.float32, 1j) is xp.complex64 and xp.result_type(xp.int8, 1) is xp.int8
    with pytest.raises(ValueError):
        xp.isdtype(xp.int8, "float")
    with pytest.raises(ValueError):
        xp.result_type(1, 2.0)


@pytest.mark.parametrize("dims", (1, 8, 15))
def test_many_dimensions(dims):
    x = xp.reshape(xp.arange(2**dims, dtype=xp.float32), (2,) * dims)
    y = xp.permute_dims(x, tuple(reversed(range(dims))))
    z = xp.astype(y, xp.complex64) * 2 + xp.astype(x, xp.complex64)
    assert xp.all(xp.real(z) == y * 2 + x) and xp.sum(y, axis=0).shape == (2,) * (dims - 1)


_strategies = make_strategies_namespace(xp)


@hypothesis.given(
    hypothesis.strategies.sampled_from(("bool", *NUMERIC)).flatmap(
        lambda d: _strategies.arrays(d, _strategies.array_shapes(max_dims=4, max_side=4))
    ),
    hypothesis.strategies.data(),
)
def test_any_array(x, data):
    """Hypothesis finds its way by the namespace alone, and what it makes is indexed and reduced as NumPy's arrays are."""
    a, inexact = x.numpy(), x.dtype.is_floating_point or x.dtype.is_complex
    index = data.draw(_strategies.indices(x.shape))
    if not any(isinstance(i, slice) and (i.step or 1) < 0 for i in np.index_exp[index]):
        np.testing.assert_array_equal(x[index].numpy(), a[index])
    axes = data.draw(_strategies.valid_tuple_axes(x.ndim))
    with np.errstate(all="ignore"):
        assert tuple(xp.sum(x, axis=axes).shape) == np.sum(a, axis=axes).shape
    assert np.array_equal(xp.flip(x, axis=axes).numpy(), np.flip(a, axis=axes), equal_nan=inexact)
    assert int(xp.sum(xp.unique_counts(x).counts)) == a.size


def test_gradients_flow():
    x = xp.asarray([[1.0, 2.0], [3.0, 5.0]]).requires_grad_()
    y = xp.sum(xp.sort(xp.take(x, xp.asarray([1, 0]), axis=0), axis=1) * xp.linalg.det(x)) + xp.var(
        xp.clip(x, 2, 4)
    )
    y.backward()
    assert x.grad.shape == (2, 2) and bool(xp.all(xp.isfinite(x.grad)))


def test_signatures():
    """The standard's parameters: positional-only arrays, keyword-only options."""
    assert str(inspect.signature(xp.sum)) == "(x, /, *, axis=None, dtype=None, keepdims=False)"
    assert (
        str(inspect.signature(xp.add)) == "(x1, x2, /)"
        and str(inspect.signature(xp.sin)) == "(x, /)"
    )
    for ns in (xp, xp.linalg, xp.fft):
        for name in ns.__all__:
            f = getattr(ns, name)
            if inspect.isfunction(f):
                assert f.__doc__ and f.__name__ == name
    with pytest.raises(TypeError):
        xp.sin([1.0])


def test_needs_no_numpy():
    code = """
import sys
sys.modules["numpy"] = None  # import numpy fails
import dlgrad.array_api as xp
x = xp.asarray([[3.0, 1.0], [2.0, 4.0]])
print(xp.sort(x, axis=0).tolist(), xp.linalg.inv(x) is not x, xp.fft.rfft(x).shape, xp.unique_all(x).counts.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (
        done.stdout.strip() == "[[2.0, 1.0], [3.0, 4.0]] True dlgrad.Size([2, 2]) [1, 1, 1, 1]"
    ), done.stderr
