"""The normal distribution and what belongs to it: erfcx, ndtr, log_ndtr, ndtri."""

from __future__ import annotations

import math

from ..ops import erfc, exp, log, log1p, sqrt, where
from . import _cephes as c
from ._rows import elementwise1, polynomial

_ROOT_TWO_PI = math.sqrt(2 * math.pi)
_SPLIT = 134217729.0  # 2^27 + 1: Veltkamp's splitting of a double into two halves


def _erfcx(x):
    """e^(x^2) erfc(x). x^2 is split so that its rounding does not count; beyond 25 the asymptotic series (DLMF 7.12.1)."""
    scaled = x * _SPLIT
    high = scaled - (scaled - x)
    middle = exp(high * high) * exp((x - high) * (x + high)) * erfc(x)
    w = 0.5 / (x * x)
    series = 1 + w * (-1 + w * (3 + w * (-15 + w * (105 - w * 945))))
    return where(x > 25, series / (x * math.sqrt(math.pi)), where(x < -26.7, math.inf, middle))


def _log_ndtr(x):
    t = x * math.sqrt(0.5)
    return where(x < -1, log(_erfcx(-t) / 2) - t * t, log1p(-erfc(t) / 2))


def _ndtri(p):
    """Cephes' ndtri: rational approximations of the middle and of the two tails."""
    edge = 0.13533528323661269189  # e^-2
    upper = p > 1 - edge
    y = where(upper, 1 - p, p)
    m = y - 0.5
    m2 = m * m
    middle = (m + m * (m2 * polynomial(m2, c.NDTRI_P0) / polynomial(m2, c.NDTRI_Q0))) * _ROOT_TWO_PI
    x = sqrt(-2 * log(y))
    z = 1 / x
    near = z * polynomial(z, c.NDTRI_P1) / polynomial(z, c.NDTRI_Q1)
    far = z * polynomial(z, c.NDTRI_P2) / polynomial(z, c.NDTRI_Q2)
    tail = x - log(x) / x - where(x < 8, near, far)
    value = where(y > edge, middle, where(upper, tail, -tail))
    value = where((p < 0) | (p > 1), math.nan, value)
    return where(p == 0, -math.inf, where(p == 1, math.inf, value))


erfcx = elementwise1("erfcx", _erfcx, lambda g, x, y: g * (2 * x * y - 2 / math.sqrt(math.pi)),
                     "e^(x^2) erfc(x), without overflow for large x.")  # fmt: skip
log_ndtr = elementwise1("log_ndtr", _log_ndtr, lambda g, x, y: g * exp(-(y + x * x / 2)) / _ROOT_TWO_PI,
                        "The logarithm of ndtr, exact in both tails.")  # fmt: skip
ndtri = elementwise1("ndtri", _ndtri, lambda g, x, y: g * (y * y / 2).exp() * _ROOT_TWO_PI, "The inverse of ndtr; nan outside [0, 1].")
