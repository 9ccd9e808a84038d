"""Elementwise functions. One line each: the standard's name, and what computes it."""

from __future__ import annotations

from .. import dtypes as dt
from .. import ops
from ..ops.complex_numbers import complex as from_parts
from ..tensor import Tensor
from ._dtypes import in_dtype, operands, tensor

_UNARY = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor imag isfinite isinf isnan log log10 log1p log2 "
    "logical_not negative positive real reciprocal sign signbit sin sinh sqrt square tan tanh trunc bitwise_invert conj round"
).split()
_BINARY = (
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal floor_divide "
    "greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum minimum multiply "
    "nextafter not_equal pow remainder subtract"
).split()

__all__ = [*_UNARY, *_BINARY, "clip"]


def _named(f, name, doc):
    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    f.__module__ = __name__
    return f


def _unary(name, compute, doc=None):
    """The function `name`(x, /) that computes `compute`(x)."""

    def f(x, /):
        return compute(tensor(name, x))

    return _named(f, name, doc or compute.__doc__)


def _binary(name, compute):
    """The function `name`(x1, x2, /): tensors that broadcast, or one of them a Python number."""

    def f(x1, x2, /):
        if isinstance(x1, Tensor) and isinstance(x2, Tensor) and x1.dtype is x2.dtype:
            return compute(x1, x2)
        return compute(*operands(name, x1, x2))

    return _named(f, name, compute.__doc__)


def _sign(x):
    """-1, 0 or 1 as x is below, at or above 0; x / |x| for complex numbers; nan where x is."""
    if x.dtype.is_complex:
        return ops.sgn(x)
    s = ops.sign(x)
    return ops.where(ops.isnan(x), x, s) if x.dtype.is_floating_point else s


def _round(x):
    """The nearest integer, the even one of two; of both parts for complex numbers."""
    return from_parts(ops.round(x.real), ops.round(x.imag)) if x.dtype.is_complex else ops.round(x)


_OWN = {"sign": _sign, "round": _round, "bitwise_invert": ops.bitwise_not}
_RENAMED = {"divide": "true_divide", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le",
            "greater": "gt", "greater_equal": "ge", "negative": "neg"}  # fmt: skip

for _name in _UNARY:
    globals()[_name] = _unary(_name, _OWN.get(_name) or getattr(ops, _RENAMED.get(_name, _name)))
for _name in _BINARY:
    globals()[_name] = _binary(_name, getattr(ops, _RENAMED.get(_name, _name)))


def clip(x, /, min=None, max=None):
    """x kept within [min, max]: numbers or tensors that broadcast with x. The result has x's dtype; nan stays nan.

    Raises TypeError for bounds of a higher kind than x's (a float and integers)."""
    d = tensor("clip", x).dtype
    bounds = [_bound(d, b, upper) for b, upper in ((min, False), (max, True))]
    if bounds == [None, None]:
        return x.clone()
    return ops.clamp(x, *bounds)


def _bound(d, bound, upper):
    """A bound as a tensor of the dtype d, None where it excludes nothing."""
    if bound is None:
        return None
    given = bound.dtype if isinstance(bound, Tensor) else type(bound)
    if d.is_integral and (given is float or isinstance(bound, Tensor) and not given.is_integral):
        raise TypeError(
            f"clip(): a bound of {given!r} doesn't fit a tensor of {d!r}; convert one of them"
        )
    if d.is_integral and isinstance(bound, int):
        limits = dt.iinfo(d)
        if bound >= limits.max if upper else bound <= limits.min:
            return None
    return in_dtype(bound, d)
