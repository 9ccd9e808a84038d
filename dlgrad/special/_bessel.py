"""Bessel, modified Bessel and Airy functions: Cephes' rational approximations and Chebyshev series (_cephes.py).

Errors in float64 are a few 1e-16 of the value, of the oscillating functions' amplitude (plus the rounding of the phase, 1e-16 x).
PyTorch 2.13 evaluates some of the polynomials without their leading coefficient, and so is off by up to 3e-7 in J and Y around
x = 5 and 2e-6 in Ai around -2.2; these here are not.
"""

from __future__ import annotations

import math

from ..ops import cos, exp, log, sign, sin, sqrt, where
from ..ops.unary import i0, i0e
from . import _cephes as c
from ._rows import chebyshev_series, elementwise1, polynomial

_TWO_OVER_PI = 2 / math.pi
_ROOT_TWO_OVER_PI = math.sqrt(2 / math.pi)
_EPS = 2.220446049250313e-16


def _modulus(x, order):
    """p and q of Hankel's expansion J = sqrt(2 / (pi x)) (p cos - q sin), x > 5, and the phase."""
    p_over, p_under, q_over, q_under = (c.J0_PP, c.J0_PQ, c.J0_QP, c.J0_QQ) if order == 0 else (c.J1_PP, c.J1_PQ, c.J1_QP, c.J1_QQ)
    w = 25.0 / (x * x)
    p = polynomial(w, p_over) / polynomial(w, p_under)
    q = polynomial(w, q_over) / polynomial(w, q_under) * (5.0 / x)
    return p, q, x - (0.25 + 0.5 * order) * math.pi


def _j0(x):
    x = x.abs()
    z = x * x
    near = (z - 5.78318596294678452118) * (z - 30.4712623436620863991) * polynomial(z, c.J0_NEAR_P) / polynomial(z, c.J0_NEAR_Q)
    near = where(x < 1e-5, 1.0 - z / 4, near)
    p, q, phase = _modulus(x, 0)
    return where(x <= 5, near, (p * cos(phase) - q * sin(phase)) * _ROOT_TWO_OVER_PI / sqrt(x))


def _j1(x):
    size = x.abs()
    z = x * x
    near = polynomial(z, c.J1_NEAR_P) / polynomial(z, c.J1_NEAR_Q) * size * (z - 14.6819706421238932572) * (z - 49.2184563216946036703)
    p, q, phase = _modulus(size, 1)
    far = (p * cos(phase) - q * sin(phase)) * _ROOT_TWO_OVER_PI / sqrt(size)
    return where(size <= 5, near, far) * where(x < 0, -1.0, 1.0 + 0.0 * size)


def _second_kind(near, order):
    """Y from its form up to 5 and Hankel's beyond; -inf at 0, nan below."""

    def formula(x):
        p, q, phase = _modulus(x, order)
        far = (p * sin(phase) + q * cos(phase)) * _ROOT_TWO_OVER_PI / sqrt(x)
        value = where(x <= 5, near(x), far)
        return where(x == 0, -math.inf, where(x < 0, math.nan, value))

    return formula


def _y0_near(x):
    z = x * x
    return polynomial(z, c.Y0_NEAR_P) / polynomial(z, c.Y0_NEAR_Q) + _TWO_OVER_PI * log(x) * _j0(x)


def _y1_near(x):
    z = x * x
    return x * (polynomial(z, c.Y1_NEAR_P) / polynomial(z, c.Y1_NEAR_Q)) + _TWO_OVER_PI * (_j1(x) * log(x) - 1 / x)


def _i0e(x):
    x = x.abs()
    return where(x <= 8, chebyshev_series(x / 2 - 2, c.I0E_NEAR), chebyshev_series(32 / x - 2, c.I0E_FAR) / sqrt(x))


def _i1e(x):
    size = x.abs()
    near = chebyshev_series(size / 2 - 2, c.I1E_NEAR) * size
    value = where(size <= 8, near, chebyshev_series(32 / size - 2, c.I1E_FAR) / sqrt(size))
    return where(x < 0, -value, value)


def _i0(x):
    return exp(x.abs()) * _i0e(x)


def _i1(x):
    return exp(x.abs()) * _i1e(x)


def _of_the_right_half(formula):
    """`formula` for x > 0; inf at 0, nan below."""

    def checked(x):
        return where(x == 0, math.inf, where(x < 0, math.nan, formula(x)))

    return checked


def _k0e(x):
    near = chebyshev_series(x * x - 2, c.K0_NEAR) - log(x * 0.5) * _i0(x)
    return where(x <= 2, near * exp(x), chebyshev_series(8 / x - 2, c.K0_FAR) / sqrt(x))


def _k1e(x):
    near = log(x * 0.5) * _i1(x) + chebyshev_series(x * x - 2, c.K1_NEAR) / x
    return where(x <= 2, near * exp(x), chebyshev_series(8 / x - 2, c.K1_FAR) / sqrt(x))


def _k0(x):
    near = chebyshev_series(x * x - 2, c.K0_NEAR) - log(x * 0.5) * _i0(x)
    return where(x <= 2, near, exp(-x) * chebyshev_series(8 / x - 2, c.K0_FAR) / sqrt(x))


def _k1(x):
    near = log(x * 0.5) * _i1(x) + chebyshev_series(x * x - 2, c.K1_NEAR) / x
    return where(x <= 2, near, exp(-x) * chebyshev_series(8 / x - 2, c.K1_FAR) / sqrt(x))


def _spherical_j0(x):
    z = x * x
    powers = (1 / 6227020800, -1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0)
    return where(x.isinf(), 0.0, where(x.abs() < 0.5, polynomial(z, powers), sin(x) / x))


def _airy(x):
    """Cephes' airy: Maclaurin's series around 0, asymptotic forms beyond +-2.09 (DLMF 9.4, 9.7)."""
    root = sqrt(x.abs())
    zeta = x.abs() * root * (2 / 3)
    w = 1 / zeta
    scale = 0.5 * _TWO_OVER_PI**0.5 * math.sqrt(2) / sqrt(root)  # 1 / sqrt(pi) over the fourth root
    over = where(x > 103.892, 0.0, scale * polynomial(w, c.AIRY_AN) / polynomial(w, c.AIRY_AD) / (2 * exp(zeta)))
    w2 = w * w
    t = zeta + 0.25 * math.pi
    under = scale * (sin(t) * (1 + w2 * polynomial(w2, c.AIRY_AFN) / polynomial(w2, c.AIRY_AFD))
                     - cos(t) * (w * polynomial(w2, c.AIRY_AGN) / polynomial(w2, c.AIRY_AGD)))  # fmt: skip
    value = where(x >= 2.09, over, where(x < -2.09, under, _airy_series(x.clamp(-2.1, 2.1))))
    return where(x.isinf(), math.nan, value)


def _airy_series(x):
    cube = x * x * x
    f, g, m, n, k = x * 0 + 1, x, x * 0 + 1, x, 1
    for _ in range(16):  # |x| <= 2.1: the terms are below 1e-20 by then
        m, n = m * cube / ((k + 1) * (k + 2)), n * cube / ((k + 2) * (k + 3))
        f, g = f + m, g + n
        k += 3
    return 0.355028053887817239260 * f - 0.258819403792806798405 * g


# ---------------------------------------------------------------------- derivatives (DLMF 10.29)


def _i1_rule(g, x, y):
    small = x.abs() <= _EPS
    safe = where(small, _EPS, x)
    return g * where(small, 0.5, i0(safe) - y / safe)


def _i1e_rule(g, x, y):
    small = x.abs() <= _EPS
    safe = where(small, _EPS, x)
    return g * where(small, 0.5, i0e(safe) - y * (sign(safe) + 1 / safe))


i1 = elementwise1("i1", _i1, _i1_rule, "The modified Bessel function of the first kind of order 1.")
i1e = elementwise1("i1e", _i1e, _i1e_rule, "e^-|x| i1(x).")
bessel_j0 = elementwise1("bessel_j0", _j0, doc="The Bessel function of the first kind of order 0.")
bessel_j1 = elementwise1("bessel_j1", _j1, doc="The Bessel function of the first kind of order 1.")
bessel_y0 = elementwise1("bessel_y0", _second_kind(_y0_near, 0), doc="The Bessel function of the second kind of order 0.")
bessel_y1 = elementwise1("bessel_y1", _second_kind(_y1_near, 1), doc="The Bessel function of the second kind of order 1.")
modified_bessel_i0 = elementwise1("modified_bessel_i0", _i0, doc="i0 without a gradient.")
modified_bessel_i1 = elementwise1("modified_bessel_i1", _i1, doc="i1 without a gradient.")
modified_bessel_k0 = elementwise1("modified_bessel_k0", _of_the_right_half(_k0),
                                  doc="The modified Bessel function of the second kind of order 0.")  # fmt: skip
modified_bessel_k1 = elementwise1("modified_bessel_k1", _of_the_right_half(_k1),
                                  doc="The modified Bessel function of the second kind of order 1.")  # fmt: skip
scaled_modified_bessel_k0 = elementwise1("scaled_modified_bessel_k0", _of_the_right_half(_k0e), doc="e^x modified_bessel_k0(x).")
scaled_modified_bessel_k1 = elementwise1("scaled_modified_bessel_k1", _of_the_right_half(_k1e), doc="e^x modified_bessel_k1(x).")
spherical_bessel_j0 = elementwise1("spherical_bessel_j0", _spherical_j0, doc="sin(x) / x; 1 at 0, 0 at infinity.")
airy_ai = elementwise1("airy_ai", _airy, doc="The Airy function Ai (nan at infinity, as in PyTorch).")
