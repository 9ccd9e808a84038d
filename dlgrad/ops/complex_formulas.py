"""Functions of complex numbers, from their real and imaginary parts: pairs of real tensors in, pairs out.

Named by the row that they compute. Branch cuts and what becomes of zeros, infinities and nan are those of C99's annex
G; formulas without a source are in Abramowitz and Stegun, chapter 4."""

from __future__ import annotations

import cmath
import functools
import math

from ..batched import every_member
from .create import ones_like, zeros_like
from .ternary import where

# ---------------------------------------------------------------------- what is not finite

_KINDS = (-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, math.nan)


def _kind(x):
    """The position in _KINDS of each number's kind."""
    zero = where(x.signbit(), 2, 3)
    finite = where(x == 0, zero, where(x > 0, 4, 1))
    return where(x.isnan(), 6, where(x.isinf(), where(x > 0, 5, 0), finite))


@functools.lru_cache(maxsize=64)
def _limits(name, dtype):
    """For each pair of kinds, one of them not finite, the real and the imaginary part of the function there."""
    from .from_data import tensor

    f = getattr(cmath, name)
    pairs = [complex(re, im) for re in _KINDS for im in _KINDS]
    values = [0j if cmath.isfinite(z) else f(z) for z in pairs]
    if name == "acosh":  # as the imaginary part of acos, which Python's table has not
        values = [
            complex(math.nan, math.pi / 2) if z.real == 0 and z.imag != z.imag else v
            for z, v in zip(pairs, values)
        ]
    return tensor([v.real for v in values], dtype=dtype), tensor(
        [v.imag for v in values], dtype=dtype
    )


def _with_limits(name):
    """Makes a formula for finite numbers right for the others, where the value depends on their kinds only."""

    def wrap(f):
        @functools.wraps(f)
        def g(z):
            result, finite = f(z), z[0].isfinite() & z[1].isfinite()
            if bool(every_member(finite).all()):
                return result
            index = _kind(z[0]) * len(_KINDS) + _kind(z[1])
            limits = _limits(name, z[0].dtype)
            return tuple(
                where(finite, part, limit.take(index)) for part, limit in zip(result, limits)
            )

        return g

    return wrap


# ---------------------------------------------------------------------- functions of one


def _mul(a, b):
    (ar, ai), (br, bi) = a, b
    return ar * br - ai * bi, ar * bi + ai * br


def _div(a, b):
    """By the ratio of the divisor's smaller part to the larger one, so that squares don't overflow (Smith 1962)."""
    (ar, ai), (br, bi) = a, b
    wide = br.abs() >= bi.abs()
    large, small = where(wide, br, bi), where(wide, bi, br)
    ratio = small / large
    factor = 1 / (large + small * ratio)
    re = where(wide, ar + ai * ratio, ar * ratio + ai) * factor
    im = where(wide, ai - ar * ratio, ai * ratio - ar) * factor
    zero = (br == 0) & (bi == 0)
    return where(zero, ar / br.abs(), re), where(zero, ai / bi.abs(), im)


def _exp(z):
    """At an infinite x the direction of an infinite y is not known, but that of a 0 does not matter."""
    x, y = z
    re, im = _scaled_turn(x.exp(), y)
    far = x.isinf() & ~y.isfinite()
    return where(far, x.exp(), re), where(far & (x < 0), (y * 0.0).nan_to_num().copysign(y), im)


def _scaled_turn(r, angle):
    """r e^(i angle), where an angle of 0 keeps an infinite r."""
    return r * angle.cos(), where(angle == 0, angle, r * angle.sin())


def _log(z):
    return z[0].hypot(z[1]).log(), z[1].atan2(z[0])


def _log1p(z):
    """The real part from |1 + z|^2 - 1 = x (2 + x) + y^2, exact near 0."""
    x, y = z
    near = (x * (x + 2) + y * y).log1p() * 0.5
    return where(x.abs().maximum(y.abs()) < 0.5, near, (x + 1).hypot(y).log()), y.atan2(x + 1)


def _sqrt(z):
    """Kahan 1987, Branch cuts for complex elementary functions: no cancellation on either side."""
    x, y = z
    r = ((x.abs() * 0.5) + (x * 0.5).hypot(y * 0.5)).sqrt()  # sqrt((|x| + |z|) / 2)
    other = where(r == 0, 0.0, y.abs() / (where(r == 0, 1.0, r) * 2))
    right = x >= 0
    re, im = where(right, r, other), where(right, other, r)
    return where(y.isinf(), math.inf, re), where(y.isinf(), math.inf, im).copysign(y)


def _sinh(z):
    x, y = z
    lost = ~y.isfinite() & ((x == 0) | x.isinf())  # the real part is x's still
    return where(lost, x, x.sinh() * y.cos()), where(y == 0, y, x.cosh() * y.sin())


def _cosh(z):
    x, y = z
    lost = ~y.isfinite()
    re = where(lost & x.isinf(), math.inf, x.cosh() * y.cos())
    zero = where(x.isnan(), y, y * _one_as(x))
    im = where(y == 0, zero, where(lost & (x == 0), 0.0, x.sinh() * y.sin()))
    return re, im


def _one_as(x):
    return (x * 0 + 1).nan_to_num(1.0).copysign(x)


def _tanh(z):
    """tan(y) and sinh(x) in the place of sums of exponentials (Kahan 1987); 1 where x is large."""
    x, y = z
    t = y.tan()
    s = x.clamp(-20, 20).sinh()
    beta = t * t + 1
    rho = (s * s + 1).sqrt()
    under = beta * s * s + 1
    far = x.abs() > 20
    sign = where(y.isfinite(), (y * 2).sin(), 0.0)
    re = where(far, x.sign(), where(x == 0, x, beta * rho * s / under))
    return re, where(far, (x * 0).nan_to_num(0.0).copysign(sign), where(y == 0, y, t / under))


def _times_i(z):
    return -z[1], z[0]


def _over_i(z):
    return z[1], -z[0]


@_with_limits("asinh")
def _asinh(z):
    """From sqrt(1 + iz) and sqrt(1 - iz) (Kahan 1987)."""
    x, y = z
    plus, minus = _sqrt((1 - y, x)), _sqrt((1 + y, -x))  # sqrt(1 + iz), sqrt(1 - iz)
    re = plus[0] * minus[1] - plus[1] * minus[0]
    return (-re).asinh(), y.atan2(plus[0] * minus[0] - plus[1] * minus[1])


def _asin(z):
    return _over_i(_asinh(_times_i(z)))


@_with_limits("acos")
def _acos(z):
    re, im = _asin(z)
    return math.pi / 2 - re, -im


@_with_limits("acosh")
def _acosh(z):
    """log of sqrt((z + 1) / 2) + sqrt((z - 1) / 2), twice (Kahan 1987)."""
    minus, plus = _sqrt((z[0] - 1, z[1])), _sqrt((z[0] + 1, z[1]))
    return (minus[0] * plus[0] + minus[1] * plus[1]).asinh(), minus[1].atan2(plus[0]) * 2


@_with_limits("atanh")
def _atanh(z):
    """(log(1 + z) - log(1 - z)) / 2."""
    x, y = z
    a, b = _log1p(z), _log1p((-x, -y))
    return ((a[0] - b[0]) * 0.5).copysign(x), ((a[1] - b[1]) * 0.5).copysign(y)


def _scaled(f, factor):
    def g(z):
        re, im = f(z)
        return re * factor, im * factor

    return g


def _reciprocal(z):
    return _div((ones_like(z[0]), zeros_like(z[0])), z)


def _sigmoid(z):
    e = _exp((-z[0], -z[1]))
    return _reciprocal((e[0] + 1, e[1]))


def _sgn(z):
    r = z[0].hypot(z[1])
    zero = r == 0
    r = where(zero, 1.0, r)
    return where(zero, 0.0, z[0] / r), where(zero, 0.0, z[1] / r)


def _expm1(z):
    """Real part e^x cos y - 1 = (e^x - 1) cos y - 2 sin^2(y / 2)."""
    x, y = z
    half = (y * 0.5).sin()
    return x.expm1() * y.cos() - half * half * 2, x.exp() * y.sin()


FORWARD = {  # (real, imaginary) -> (real, imaginary)
    "exp": _exp, "exp2": lambda z: _exp(_scaled(lambda w: w, math.log(2))(z)), "expm1": _expm1, "log": _log, "log1p": _log1p,
    "log2": _scaled(_log, 1 / math.log(2)), "log10": _scaled(_log, 1 / math.log(10)), "sqrt": _sqrt,
    "rsqrt": lambda z: _reciprocal(_sqrt(z)), "reciprocal": _reciprocal, "square": lambda z: _mul(z, z), "sinh": _sinh, "cosh": _cosh,
    "tanh": _tanh, "sin": lambda z: _over_i(_sinh(_times_i(z))), "cos": lambda z: _cosh(_times_i(z)),
    "tan": lambda z: _over_i(_tanh(_times_i(z))), "asinh": _asinh, "acosh": _acosh, "atanh": _atanh, "asin": _asin, "acos": _acos,
    "atan": lambda z: _over_i(_atanh(_times_i(z))), "sigmoid": _sigmoid, "sgn": _sgn, "positive": lambda z: z,
    "tanhshrink": lambda z: tuple(a - b for a, b in zip(z, _tanh(z))),
}  # fmt: skip

TESTS = {  # (real, imaginary) -> bool
    "isnan": lambda re, im: re.isnan() | im.isnan(),
    "isinf": lambda re, im: re.isinf() | im.isinf(),
    "isfinite": lambda re, im: re.isfinite() & im.isfinite(),
    "logical_not": lambda re, im: (re == 0) & (im == 0),
}


# ---------------------------------------------------------------------- functions of two


def _pow(a, b):
    """e^(b log a); 1 for an exponent of 0, 0 for a base of 0."""
    re, im = _exp(_mul(b, _log(a)))
    zero, one = (a[0] == 0) & (a[1] == 0), (b[0] == 0) & (b[1] == 0)
    return where(one, 1.0, where(zero, 0.0, re)), where(one | zero, 0.0, im)


FORWARD_2 = {"mul": _mul, "div": _div, "pow": _pow}

TESTS_2 = {
    "eq": lambda a, b: (a[0] == b[0]) & (a[1] == b[1]),
    "logical_and": lambda a, b: _is_true(a) & _is_true(b),
    "logical_or": lambda a, b: _is_true(a) | _is_true(b),
    "logical_xor": lambda a, b: _is_true(a) ^ _is_true(b),
}


def _is_true(z):
    return (z[0] != 0) | (z[1] != 0)
