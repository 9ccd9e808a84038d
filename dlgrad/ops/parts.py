"""Parts of numbers: angles, conjugates, mantissas and exponents."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import no_grad
from ..layout import contiguous
from ..tensor import Tensor, method
from . import complex_numbers
from .binary import mul
from .reduce import check
from .ternary import where
from .unary import exp2, inplace
from .vector_norm import renorm
from .writing import write_out

__all__ = ["angle", "conj", "conj_physical", "deg2rad", "frexp", "isreal", "rad2deg", "resolve_conj", "resolve_neg"]

_frexp_result = namedtuple("frexp", ("mantissa", "exponent"))
_frexp_result.__module__ = "dlgrad.return_types"


def _as_float(input):
    return input if input._layout.dtype.is_floating_point else input.to(dt.get_default_dtype())


@method
def deg2rad(input, *, out=None):
    """The angle in radians of `input` degrees."""
    check("deg2rad", input)
    result = mul(_as_float(input), math.pi / 180)
    return result if out is None else write_out("deg2rad", out, result)


@method
def rad2deg(input, *, out=None):
    """The angle in degrees of `input` radians."""
    check("rad2deg", input)
    result = mul(_as_float(input), 180 / math.pi)
    return result if out is None else write_out("rad2deg", out, result)


@method
def angle(input, *, out=None):
    """The angle in radians: a complex number's argument; of real ones pi for the negative, nan for nan, else 0, with a
    derivative of 0."""
    check("angle", input)
    if input._layout.dtype.is_complex:
        result = complex_numbers.angle(input)
        return result if out is None else write_out("angle", out, result)
    x = _as_float(input)
    with no_grad():
        result = where(x < 0, math.pi, where(x.isnan(), x, 0.0))
    record(result, "AngleBackward0", lambda g: g * 0, (x,))
    return result if out is None else write_out("angle", out, result)


@method
def isreal(input):
    """True where the imaginary part is 0."""
    check("isreal", input)
    if input._layout.dtype.is_complex:
        return complex_numbers.imag(input) == 0
    return input.new_ones(tuple(input.shape), dtype=dt.bool)


def _itself(name, doc):
    def f(input):
        check(name, input)
        return input

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return method(f)


@method
def conj(input):
    """The complex conjugate: a new tensor (PyTorch's is a view, worked out when it is used); a real tensor itself."""
    check("conj", input)
    return complex_numbers.conj(input)


resolve_conj = _itself("resolve_conj", "The tensor itself: none is conjugated lazily.")
resolve_neg = _itself("resolve_neg", "The tensor itself: none is negated lazily.")


@method
def conj_physical(input, *, out=None):
    """The complex conjugate, as a new tensor; a real tensor itself."""
    check("conj_physical", input)
    result = complex_numbers.conj(input)
    return result if out is None else write_out("conj_physical", out, result)


@method
def frexp(input, *, out=None):
    """mantissa in +-[0.5, 1) and int32 exponent with input = mantissa 2^exponent: (mantissa, exponent). 0, inf and nan
    come back with exponent 0. Raises RuntimeError for integers."""
    check("frexp", input)
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(f"frexp(): only supports floating-point dtypes, got {input._layout.dtype.name}")
    lay = contiguous(input._layout.dtype, tuple(input.shape))
    mantissa = door.call("unary", "mantissa", lay, (input,), name="frexp")
    exponent = door.call("unary", "exponent", contiguous(dt.int32, tuple(input.shape)), (input,), name="frexp")
    record(mantissa, "FrexpBackward0", lambda g, e: g / exp2(e.to(g.dtype)), (input,), (exponent,))
    result = _frexp_result(mantissa, exponent)
    return result if out is None else write_out("frexp", out, result)


Tensor.is_conj = Tensor.is_neg = lambda self: False

for _f in (deg2rad, rad2deg, conj_physical, renorm):
    inplace(_f.__name__, _f)
