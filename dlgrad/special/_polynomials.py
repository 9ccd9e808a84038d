"""Orthogonal polynomials of degree n (a number or a tensor of degrees), by their three-term recurrences (DLMF 18.9).

Like PyTorch's they have no gradient; of a negative degree they are 0.
"""

from __future__ import annotations

import math

from ..batched import every_member
from ..ops import acos, cos, sin, trunc, where
from ._rows import elementwise2


def _recurrence(n, first, second, step):
    """The value at each degree: p_0 = first, p_1 = second, p_(k + 1) = step(k, p_k, p_(k - 1)) up to the largest of n."""
    known = where(n.isfinite(), n, -1.0)
    highest = int(every_member(known).max().item()) if known.numel() else 0
    before, last = first, second
    value = where(known < 0, 0.0, where(known == 0, first, second))
    for k in range(1, highest):
        before, last = last, step(k, last, before)
        value = where(known >= k + 1, last, value)
    return value


def _chebyshev(kind):
    """T, U, V or W, by the recurrence p_(k + 1) = 2 x p_k - p_(k - 1) up to a degree, and inside (-1, 1) by angles beyond."""
    slope, offset, beyond = {"t": (1, 0, 6), "u": (2, 0, 8), "v": (2, -1, 8), "w": (2, 1, 8)}[kind]

    def by_angle(x, n):
        angle = acos(x)
        if kind == "t":
            return cos(n * angle)
        if kind == "u":
            return sin((n + 1) * angle) / sin(angle)
        if kind == "v":
            return cos((n + 0.5) * angle) / cos(angle / 2)
        return sin((n + 0.5) * angle) / sin(angle / 2)

    def at_ends(x, n):
        """The values at 1 and -1, known exactly."""
        alternating = 1 - 2 * (n % 2)
        grown = {"t": 1.0 + 0 * n, "u": n + 1, "v": 2 * n + 1, "w": 2 * n + 1}[kind]
        at_one = 1.0 + 0 * n if kind == "v" else grown
        at_minus_one = alternating if kind == "w" else alternating * grown
        return where(x > 0, at_one, at_minus_one)

    def formula(x, n):
        n = trunc(n)
        inside = (n > beyond) & (x.abs() < 1)
        low = where(inside, 0.0, n)
        value = _recurrence(low, x * 0 + 1, slope * x + offset, lambda k, last, before: (x + x) * last - before)
        value = where(inside, by_angle(x, n), value)
        return where(n < 0, 0.0, where(x.abs() == 1, at_ends(x, n), value))

    return formula


def _shifted(formula):
    return lambda x, n: formula(x + x - 1, n)


def _hermite(first_slope, step):
    def formula(x, n):
        n = trunc(n)
        value = _recurrence(where(n > 512, 0.0, n), x * 0 + 1, first_slope * x, lambda k, last, before: step(x, k, last, before))
        return where(n > 512, math.nan, value)

    return formula


def _laguerre(x, n):
    n = trunc(n)
    value = _recurrence(n, x * 0 + 1, 1 - x, lambda k, last, before: ((2 * k + (1 - x)) * last - k * before) / (k + 1))
    return where((x == 0) & (n >= 0), 1.0, value)


def _legendre(x, n):
    n = trunc(n)
    value = _recurrence(n, x * 0 + 1, x, lambda k, last, before: ((2 * k + 1) * x * last - k * before) / (k + 1))
    ends = where(x > 0, 1.0, 1 - 2 * (n % 2))
    return where((x.abs() == 1) & (n >= 0), ends, value)


def _polynomial(name, formula, what):
    return elementwise2(name, formula, doc=f"The {what} of degree `other` at `input`; 0 for a negative degree.")


_KINDS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _polynomial(f"chebyshev_polynomial_{k}", _chebyshev(k), f"Chebyshev polynomial of the {kind} kind") for k, kind in _KINDS.items()
)
(shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v, shifted_chebyshev_polynomial_w) = (
    _polynomial(f"shifted_chebyshev_polynomial_{k}", _shifted(_chebyshev(k)), f"Chebyshev polynomial of the {kind} kind, shifted to [0, 1],")
    for k, kind in _KINDS.items()
)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", _hermite(2, lambda x, k, last, before: 2 * x * last - 2 * k * before),
                                   "physicist's Hermite polynomial")  # fmt: skip
hermite_polynomial_he = _polynomial("hermite_polynomial_he", _hermite(1, lambda x, k, last, before: x * last - k * before),
                                    "probabilist's Hermite polynomial")  # fmt: skip
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", _laguerre, "Laguerre polynomial")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", _legendre, "Legendre polynomial")
