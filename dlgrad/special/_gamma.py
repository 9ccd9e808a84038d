"""The Hurwitz zeta function, polygamma, multigammaln and the incomplete gamma functions."""

from __future__ import annotations

import math

from ..batched import every_member
from ..ops import digamma, exp, expm1, floor, lgamma, log, log1p, sqrt, where
from ..ops.unary import trigamma
from ..ops.writing import write_out
from ..tensor import Tensor
from ._rows import elementwise1, elementwise2

# (2k)! / B_2k, of the Euler-Maclaurin sum (Cephes' zeta).
_EULER_MACLAURIN = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10, -2.950130727918164224e12,
    1.1646782814350067249e14, -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip


def _zeta(x, q):
    """sum over k >= 0 of (k + q)^-x: terms up to k + q > 9, then Euler and Maclaurin's remainder (DLMF 25.11.5)."""
    total = q.pow(-x)
    a, b = q, total * 0
    terms = 9
    # Below 0 it takes more terms to get there (poles, which are inf anyway, and nan take none).
    regular = where(q.isfinite() & (q != floor(q)), q, 0.0)
    if regular.numel():
        terms = max(terms, math.ceil(10 - every_member(regular).min().item()))
    for i in range(terms):
        more = (a <= 9) if i >= 9 else None
        stepped = a + 1
        term = stepped.pow(-x)
        if more is None:
            a, b, total = stepped, term, total + term
        else:
            a, b, total = where(more, stepped, a), where(more, term, b), where(more, total + term, total)
    total = total + where(b == 0, 0.0, b * a / (x - 1) - b / 2)
    factor, k = x * 0 + 1, 0.0
    for denominator in _EULER_MACLAURIN:
        factor = factor * (x + k)
        b = b / a
        total = total + where(b == 0, 0.0, factor * b / denominator)
        factor = factor * (x + k + 1)
        b = b / a
        k += 2
    value = where(x == 1, math.inf, where(x < 1, math.nan, total))
    value = where(q.isinf() & (q > 0) & (x > 1), 0.0, value)
    below = (q <= 0) & (x > 1)
    pole = below & (q == floor(q))
    return where(pole, math.inf, where(below & ~pole & (x != floor(x)), math.nan, value))


zeta = elementwise2("zeta", _zeta, "zeta", lambda g, x, q: g * -x * zeta(x + 1, q), "The Hurwitz zeta function: the sum over k >= 0 of (k + other)^-input.")


def polygamma(n, input, *, out=None):
    """The n-th derivative of digamma. Raises RuntimeError for negative n."""
    if not isinstance(input, Tensor):
        raise TypeError(f"polygamma(): argument 'input' must be Tensor, not {type(input).__name__}")
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    result = digamma(input) if n == 0 else _polygamma_of_order(n)(input)
    return result if out is None else write_out("polygamma", out, result)


def _polygamma_of_order(n):
    def formula(x):
        if n == 1:
            return trigamma(x)
        return _zeta(x * 0 + float(n + 1), x) * ((1 if n % 2 else -1) * math.gamma(n + 1))

    return elementwise1("polygamma", formula, lambda g, x, y: g * polygamma(n + 1, x))


def multigammaln(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension p: p (p - 1) / 4 log(pi) + the sum of
    lgamma(x + (1 - j) / 2), j = 1 ... p. Raises RuntimeError unless x > (p - 1) / 2 everywhere."""
    if not isinstance(input, Tensor):
        raise TypeError(f"multigammaln(): argument 'input' must be Tensor, not {type(input).__name__}")
    if p < 1:
        raise RuntimeError("mvlgamma: p has to be greater than or equal to 1")
    if input.numel() and not bool(every_member(input > 0.5 * (p - 1)).all()):
        raise RuntimeError("All elements must be greater than (p-1)/2")
    total = lgamma(input)
    for j in range(1, p):
        total = total + lgamma(input - 0.5 * j)
    result = total + p * (p - 1) * 0.25 * math.log(math.pi)
    return result if out is None else write_out("multigammaln", out, result)


# ---------------------------------------------------------------------- incomplete gamma functions

# Boost's Lanczos approximation of Gamma(a) e^a: numerator and denominator, highest power first.
_LANCZOS_G = 6.024680040776729583740234375
_LANCZOS_OVER = (
    0.006061842346248906525783753964555936883222, 0.5098416655656676188125178644804694509993, 19.51992788247617482847860966235652136208,
    449.9445569063168119446858607650988409623, 6955.999602515376140356310115515198987526, 75999.29304014542649875303443598909137092,
    601859.6171681098786670226533699352302507, 3481712.15498064590882071018964774556468, 14605578.08768506808414169982791359218571,
    43338889.32467613834773723740590533316085, 86363131.28813859145546927288977868422342, 103794043.1163445451906271053616070238554,
    56906521.91347156388090791033559122686859,
)  # fmt: skip
_LANCZOS_UNDER = (1.0, 66.0, 1925.0, 32670.0, 357423.0, 2637558.0, 13339535.0, 45995730.0, 105258076.0, 150917976.0, 120543840.0, 39916800.0, 0.0)
_MACHEP = 1.11022302462515654042e-16
_MOST_STEPS = 20000


def _lanczos(a):
    """Both polynomials in 1 / a above 1 (they are of the same degree), so that nothing overflows."""
    over_one = a > 1
    y = where(over_one, 1 / a, a)

    def at(coefficients):
        falling, rising = y * 0 + coefficients[0], y * 0 + coefficients[-1]
        for c, d in zip(coefficients[1:], coefficients[-2::-1]):
            falling, rising = falling * y + c, rising * y + d
        return where(over_one, rising, falling)

    return at(_LANCZOS_OVER) / at(_LANCZOS_UNDER)


def _prefactor(a, x):
    """x^a e^-x / Gamma(a) (Maddock et al., Incomplete Gamma Functions, equations 15 and 16)."""
    away = exp(a * log(x) - x - lgamma(a))
    shifted = a + (_LANCZOS_G - 0.5)
    ratio = (x - shifted) / shifted
    close = exp(a * (log1p(ratio) - ratio) + x * (0.5 - _LANCZOS_G) / shifted)
    close = close * sqrt(shifted / math.e) / _lanczos(a)
    return where((a - x).abs() > 0.4 * a.abs(), away, close)


def _lower_series(a, x, wanted):
    """The lower function by its power series (DLMF 8.11.4), where `wanted`."""
    r, term, total = a, a * 0 + 1, a * 0 + 1
    for step in range(_MOST_STEPS):
        r = r + 1
        term = term * (x / r)
        total = total + term
        if step % 8 == 7 and not bool(every_member(wanted & (term > _MACHEP * total)).any()):
            break
    return total * _prefactor(a, x) / a


def _upper_series(a, x, wanted):
    """The upper function for small x without cancellation (DLMF 8.7.3), where `wanted`."""
    factor, total = a * 0 + 1, a * 0
    for n in range(1, _MOST_STEPS):
        factor = factor * (-x / n)
        term = factor / (a + n)
        total = total + term
        if n % 8 == 0 and not bool(every_member(wanted & (term.abs() > _MACHEP * total.abs())).any()):
            break
    return -expm1(a * log(x) - lgamma(1 + a)) - exp(a * log(x) - lgamma(a)) * total


def _upper_fraction(a, x, wanted):
    """The upper function by its continued fraction (DLMF 8.9.2), where `wanted`; x > 1."""
    y, z, c = 1 - a, x - a + 2, 0.0
    p2, q2, p1, q1 = a * 0 + 1, x, x + 1, z * x
    answer, settled = p1 / q1, ~wanted
    for step in range(_MOST_STEPS):
        c += 1
        y, z = y + 1, z + 2
        p, q = p1 * z - p2 * (y * c), q1 * z - q2 * (y * c)
        value = where(q != 0, p / q, answer)
        change = ((answer - value) / value).abs()
        answer = where(settled, answer, value)  # further steps would only add rounding errors
        settled = settled | (change <= 4 * _MACHEP)
        scale = where(p.abs() > 4503599627370496.0, 2.220446049250313e-16, 1.0 + 0.0 * p)
        p2, p1, q2, q1 = p1 * scale, p * scale, q1 * scale, q * scale
        if step % 8 == 7 and bool(every_member(settled).all()):
            break
    return answer * _prefactor(a, x)


def _incomplete(a, x, upper):
    """The regularised incomplete gamma functions: the smaller of the two by a series or fraction of its own."""
    inside = (a > 0) & (x > 0) & a.isfinite() & x.isfinite()
    sa, sx = where(inside, a, 1.0), where(inside, x, 1.0)
    small = where(sx <= 0.5, -0.4 / log(where(sx <= 0.5, sx, 0.5)), sx * 1.1)
    lower = inside & where(sx > 1.1, sx < sa, small < sa)
    fraction = inside & ~lower & (sx > 1.1)
    rest = inside & ~lower & ~fraction
    of_lower = _lower_series(sa, sx, lower)
    of_upper = where(fraction, _upper_fraction(sa, sx, fraction), _upper_series(where(rest, sa, 1.0), where(rest, sx, 1.0), rest))
    value = where(lower, 1 - of_lower if upper else of_lower, of_upper if upper else 1 - of_upper)
    at_zero, at_end = (1.0, 0.0) if upper else (0.0, 1.0)
    value = where(x.isinf(), at_end, where(a.isinf(), where(x.isinf(), math.nan, at_zero + 0 * value), value))
    value = where(a.isinf() & x.isinf(), math.nan, value)
    value = where(x == 0, at_zero, where((a == 0) & (x > 0), at_end, value))
    wrong = (x < 0) | (a < 0) | ((a == 0) & (x == 0)) | a.isnan() | x.isnan()
    return where(wrong, math.nan, value)


def _density(a, x):
    return exp((a - 1) * log(x) - x - lgamma(a))


gammainc = elementwise2("gammainc", lambda a, x: _incomplete(a, x, False), "input", lambda g, a, x: g * _density(a, x),
                        "The regularised lower incomplete gamma function P(input, other).")  # fmt: skip
gammaincc = elementwise2("gammaincc", lambda a, x: _incomplete(a, x, True), "input", lambda g, a, x: -g * _density(a, x),
                         "The regularised upper incomplete gamma function Q(input, other) = 1 - P.")  # fmt: skip
