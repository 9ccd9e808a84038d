"""A program of the Python array API run in dlgrad's namespace and in NumPy's, and the results held against each other."""

import warnings

import numpy as np

import dlgrad
import dlgrad.array_api as xp

INTEGERS = ("int8", "int16", "int32", "int64", "uint8")
FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
NUMERIC = INTEGERS + FLOATS + COMPLEX

SPECIAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    -2.5,
    3.0,
    -7.0,
    1e-3,
    1e4,
    np.inf,
    -np.inf,
    np.nan,
)
WHOLE = (0, 1, 2, 3, 5, 7, 100, 127, -1, -2, -3, -128)


def values(dtype):
    """A line of numbers that matter in this dtype."""
    if dtype == "bool":
        return np.array([True, False, True])
    if dtype in FLOATS:
        return np.array(SPECIAL, dtype)
    if dtype in COMPLEX:
        parts = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 20.0)
        return np.array([complex(a, b) for a in parts for b in parts], dtype)
    return np.array([v for v in WHOLE if v >= 0 or dtype != "uint8"], dtype)


def grid(shape, dtype, seed=0):
    """Numbers of moderate size in this shape."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in COMPLEX:
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if dtype in FLOATS:
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0 if dtype == "uint8" else -5, 6, shape).astype(dtype)


def ours(a):
    """The same array here."""
    return xp.asarray(a.tolist(), dtype=getattr(xp, a.dtype.name)).reshape(a.shape)


def theirs(t):
    return t.detach().numpy() if isinstance(t, dlgrad.Tensor) else t


def same(got, want, what, tol=1):
    """Holds a result against NumPy's: dtype, shape, values; tuples and lists in turn."""
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want), what
        for i, (g, w) in enumerate(zip(got, want)):
            same(g, w, f"{what}[{i}]", tol)
        return
    assert isinstance(got, dlgrad.Tensor), f"{what}: {type(got)}"
    want = np.asarray(want)
    dtype = {"uint64": "int64"}.get(want.dtype.name, want.dtype.name)  # sums of uint8
    assert got.dtype.name == dtype, f"{what}: {got.dtype.name}, not {dtype}"
    assert tuple(got.shape) == want.shape, f"{what}: shape {tuple(got.shape)}, not {want.shape}"
    got = theirs(got)
    if want.dtype.kind in "fc":
        eps = tol * (2e-6 if want.dtype.name in ("float32", "complex64") else 1e-12)
        np.testing.assert_allclose(got, want, rtol=eps, atol=eps, err_msg=what)
    else:
        np.testing.assert_array_equal(got, want.astype(dtype), err_msg=what)


def both(program, *arrays, what="", tol=1):
    """Runs the program in both namespaces on the same arrays."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        want = program(np, *arrays)
    same(program(xp, *map(ours, arrays)), want, what, tol)
