"""The rows of zig/ops/special.zig: a name there, its derivatives, its meaning. Those without a derivative have none in PyTorch.

They compute in float64 whatever the dtype and are rounded once, so that float32 results are exact to the last bit or two.
Derivatives are from DLMF (https://dlmf.nist.gov) 5, 7, 8 and 10.
"""

from __future__ import annotations

import math

from ..ops import exp, i0, lgamma, log, sign, where
from ..ops.elementwise import binary, unary
from ..ops.unary import i0e

_EPS = 2.220446049250313e-16
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


def _one(name, derivative=None, doc="", kernel=None, family="special"):
    return unary(name, derivative, doc, kernel=kernel, family=family, node="Special", methods=False, inplace=False)


def _two(name, da=None, db=None, doc=""):
    return binary(name, da, db, doc, kind="float", family="special", node="Special", methods=False, inplace=False)


def _missing(name, argument):
    """The derivative for an input that PyTorch has none for."""

    def rule(g, a, b):
        raise RuntimeError(f"the derivative for '{name}: {argument}' is not implemented.")

    return rule


# ---------------------------------------------------------------------- Bessel functions


def _i1_slope(x, y):
    small = x.abs() <= _EPS
    safe = where(small, _EPS, x)
    return where(small, 0.5, i0(safe) - y / safe)


def _i1e_slope(x, y):
    small = x.abs() <= _EPS
    safe = where(small, _EPS, x)
    return where(small, 0.5, i0e(safe) - y * (sign(safe) + 1 / safe))


i1 = _one("i1", lambda g, x, y: g * _i1_slope(x, y), "The modified Bessel function of the first kind of order 1.")
i1e = _one("i1e", lambda g, x, y: g * _i1e_slope(x, y), "e^-|x| i1(x).")
bessel_j0 = _one("bessel_j0", doc="The Bessel function of the first kind of order 0.")
bessel_j1 = _one("bessel_j1", doc="The Bessel function of the first kind of order 1.")
bessel_y0 = _one("bessel_y0", doc="The Bessel function of the second kind of order 0.")
bessel_y1 = _one("bessel_y1", doc="The Bessel function of the second kind of order 1.")
modified_bessel_i0 = _one("modified_bessel_i0", doc="i0 without a gradient.", kernel="i0", family="unary")
modified_bessel_i1 = _one("modified_bessel_i1", doc="i1 without a gradient.", kernel="i1")
modified_bessel_k0 = _one("modified_bessel_k0", doc="The modified Bessel function of the second kind of order 0.")
modified_bessel_k1 = _one("modified_bessel_k1", doc="The modified Bessel function of the second kind of order 1.")
scaled_modified_bessel_k0 = _one("scaled_modified_bessel_k0", doc="e^x modified_bessel_k0(x).")
scaled_modified_bessel_k1 = _one("scaled_modified_bessel_k1", doc="e^x modified_bessel_k1(x).")
spherical_bessel_j0 = _one("spherical_bessel_j0", doc="sin(x) / x; 1 at 0, 0 at infinity.")
airy_ai = _one("airy_ai", doc="The Airy function Ai (nan at infinity, as in PyTorch).")

# ---------------------------------------------------------------------- the normal distribution

erfcx = _one("erfcx", lambda g, x, y: g * (2 * x * y - 2 / math.sqrt(math.pi)), "e^(x^2) erfc(x), without overflow for large x.")
log_ndtr = _one("log_ndtr", lambda g, x, y: g * exp(-(y + x * x / 2)) / _ROOT_TWO_PI, "The logarithm of ndtr, exact in both tails.")
ndtri = _one("ndtri", lambda g, y: g * (y * y / 2).exp() * _ROOT_TWO_PI, "The inverse of ndtr; nan outside [0, 1].")

# ---------------------------------------------------------------------- gamma and zeta


def _density(a, b):
    return exp((a - 1) * log(b) - b - lgamma(a))


zeta = _two("zeta", _missing("zeta", "zeta"), lambda g, a, b: g * -a * zeta(a + 1, b),
            "The Hurwitz zeta function: the sum over k >= 0 of (k + other)^-input.")  # fmt: skip
gammainc = _two("gammainc", _missing("gammainc", "input"), lambda g, a, b: g * _density(a, b),
                "The regularised lower incomplete gamma function P(input, other).")  # fmt: skip
gammaincc = _two("gammaincc", _missing("gammaincc", "input"), lambda g, a, b: -g * _density(a, b),
                 "The regularised upper incomplete gamma function Q(input, other) = 1 - P.")  # fmt: skip

# ---------------------------------------------------------------------- orthogonal polynomials


def _polynomial(name, what):
    return _two(name, doc=f"The {what} of degree `other` at `input`; 0 for a negative degree.")


_KINDS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _polynomial(f"chebyshev_polynomial_{k}", f"Chebyshev polynomial of the {kind} kind") for k, kind in _KINDS.items()
)
(shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v, shifted_chebyshev_polynomial_w) = (
    _polynomial(f"shifted_chebyshev_polynomial_{k}", f"Chebyshev polynomial of the {kind} kind, shifted to [0, 1],")
    for k, kind in _KINDS.items()
)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", "physicist's Hermite polynomial")
hermite_polynomial_he = _polynomial("hermite_polynomial_he", "probabilist's Hermite polynomial")
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", "Laguerre polynomial")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", "Legendre polynomial")
