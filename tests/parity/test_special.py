"""The rows of zig/ops/special.zig beside torch.special: values, special values, dtypes, layouts."""

import numpy as np
import pytest
import torch
from arrays import array

import dlgrad
from dlgrad import special

from .both import EPS, agree, both

# The range of the input, and how far PyTorch is from us, in its last places or absolutely: it leaves coefficients out
# in J, Y and Ai (dlgrad/special/_rows.py), and rounds in float32 on the way.
UNARY = {
    "bessel_j0": (-60, 60, 2e-6), "bessel_j1": (-60, 60, 2e-6), "bessel_y0": (0.01, 60, 2e-6), "bessel_y1": (0.01, 60, 2e-6),
    "i1": (-20, 20, 1e-13), "i1e": (-20, 20, 1e-15), "modified_bessel_i0": (-20, 20, 1e-13), "modified_bessel_i1": (-20, 20, 1e-13),
    "modified_bessel_k0": (0.01, 20, 1e-14), "modified_bessel_k1": (0.01, 20, 1e-14), "scaled_modified_bessel_k0": (0.01, 20, 1e-14),
    "scaled_modified_bessel_k1": (0.01, 20, 1e-14), "spherical_bessel_j0": (-20, 20, 1e-15), "airy_ai": (-12, 12, 3e-6),
    "erfcx": (-5, 60, 1e-14), "log_ndtr": (-30, 8, 1e-14), "ndtri": (0.001, 0.999, 1e-14),
}  # fmt: skip
POLYNOMIALS = [
    *(f"{shift}chebyshev_polynomial_{k}" for shift in ("", "shifted_") for k in "tuvw"),
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
]  # fmt: skip
ENDS = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 2.0, 5.0, 8.0, 1e-30, -1e-30, 700.0, -700.0]
# Where PyTorch has nan for want of a limit: i0 at infinity.
LIMITS = {"modified_bessel_i0": [4, 5]}


def same_kind(ours, theirs, but=()):
    """Both nan, both the same infinity, or both finite."""
    a, b = array(ours).reshape(-1), theirs.numpy().reshape(-1)
    keep = np.ones(a.size, bool)
    keep[list(but)] = False
    for f in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(f(a)[keep], f(b)[keep])


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    low, high, error = UNARY[name]
    x, y = both(np.random.default_rng(0).uniform(low, high, (31, 67)))
    f, g = getattr(special, name), getattr(torch.special, name)
    agree(f(x), g(y), error / EPS["float64"])
    for dtype in ("float32", "float16", "bfloat16", "int32"):
        x, y = both(np.clip(np.random.default_rng(0).uniform(low, high, (7, 5)), low, 30), dtype)
        if dtype == "int32" and low > 0:
            x, y = x + 1, y + 1
        got = f(x)
        assert got.dtype is (dlgrad.float32 if dtype == "int32" else x.dtype)
        wide = f(x.double()).to(got.dtype)
        assert array(got).tolist() == array(wide).tolist()  # rounded once
    x, y = both(ENDS)
    same_kind(f(x), g(y), LIMITS.get(name, ()))


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    rng = np.random.default_rng(0)
    f, g = getattr(special, name), getattr(torch.special, name)
    x, y = both(rng.uniform(-1.4, 1.4, (41, 7)))
    for degree in (-2, 0, 1, 2, 5, 6, 7, 8, 9, 17):
        agree(f(x, degree), g(y, degree), 1 << 20, (name, degree))
    n, m = both(rng.integers(-1, 20, (41, 1)))
    agree(f(x, n), g(y, m), 1 << 20)
    agree(f(0.3, n), g(0.3, m), 1 << 20)
    x, y = both(np.repeat([0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf], 6))
    n, m = both(np.tile([-1.0, 0.0, 3.0, 2.5, 9.0, np.nan], 7))
    same_kind(f(x, n), g(y, m))
    ends = (np.abs(array(x)) == 1) & ("chebyshev" in name or "legendre" in name)
    np.testing.assert_array_equal(array(f(x, n))[ends], g(y, m).numpy()[ends])


def test_zeta_and_polygamma():
    rng = np.random.default_rng(0)
    x, y = both(rng.uniform(1.1, 20, (40, 40)))
    q, r = both(rng.uniform(0.01, 30, (40, 40)))
    agree(special.zeta(x, q), torch.special.zeta(y, r), 8, atol=0)
    x, y = both(rng.integers(2, 9, 400).astype(float))
    q, r = both(rng.uniform(-20, 20, 400))
    agree(special.zeta(x, q), torch.special.zeta(y, r), 1 << 12, atol=0)
    for n in (2, 3, 6, 11):
        agree(dlgrad.polygamma(n, q), torch.polygamma(n, r), 1 << 12, atol=0)
    q, r = both(ENDS)
    for n in (2, 3):
        same_kind(dlgrad.polygamma(n, q), torch.polygamma(n, r))
    # At infinity 0, where PyTorch has nan.
    grid = np.meshgrid([v for v in ENDS if v < np.inf], [v for v in ENDS if not v == np.inf])
    (x, y), (q, r) = both(grid[0].reshape(-1)), both(grid[1].reshape(-1))
    same_kind(special.zeta(x, q), torch.special.zeta(y, r))


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma_functions(name):
    rng = np.random.default_rng(0)
    f, g = getattr(special, name), getattr(torch.special, name)
    (a, b), (x, y) = both(rng.uniform(0, 20, (50, 30))), both(rng.uniform(0, 30, (50, 30)))
    agree(f(a, x), g(b, y), 1 << 12)
    (a, b), (x, y) = both(10 ** rng.uniform(-6, 5, 900)), both(10 ** rng.uniform(-6, 5, 900))
    agree(f(a, x), g(b, y), 1 << 25)
    a, x = a.float(), x.float()
    np.testing.assert_array_equal(array(f(a, x)), array(f(a.double(), x.double()).float()))
    grid = np.meshgrid([v for v in ENDS if v == v], [v for v in ENDS if v == v])
    (a, b), (x, y) = both(grid[0].reshape(-1)), both(grid[1].reshape(-1))
    same_kind(f(a, x), g(b, y))
