"""Data types: what two of them become together, and questions about them."""

from __future__ import annotations

from dataclasses import dataclass

from .. import dtypes as dt
from ..tensor import Tensor

__all__ = ["astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]

SIGNED = (dt.int8, dt.int16, dt.int32, dt.int64)
UNSIGNED = (dt.uint8,)
FLOATING = (dt.float32, dt.float64)
COMPLEX = (dt.complex64, dt.complex128)
KINDS = {
    "bool": (dt.bool,),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": SIGNED + UNSIGNED,
    "real floating": FLOATING,
    "complex floating": COMPLEX,
    "numeric": SIGNED + UNSIGNED + FLOATING + COMPLEX,
}
EXTRA = (dt.float16, dt.bfloat16)  # real floating types that the standard has not
_NUMBERS = (bool, int, float, complex)


def tensor(name, x):
    """x, which must be a Tensor. Raises TypeError otherwise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): expected a Tensor, got {type(x).__name__}")
    return x


def astype(x, dtype, /, *, copy=True, device=None):
    """x in another dtype; with copy=False x itself where it has that dtype already. Complex to real raises TypeError."""
    tensor("astype", x)
    if x.dtype.is_complex and not dtype.is_complex:
        raise TypeError(
            f"astype(): {x.dtype.name} can't become {dtype.name}; take real(x), imag(x) or abs(x)"
        )
    return x.to(device=device, dtype=dtype, copy=copy)


def result_type(*arrays_and_dtypes):
    """The dtype of an operation on these tensors, dtypes and Python numbers (of which one isn't a number).

    A number gives way to the others unless its kind is higher: with float32, 1 is float32 and 1j complex64. Dimensions
    don't matter. Raises TypeError for anything else, ValueError when there are numbers only."""
    found, numbers = None, []
    for item in arrays_and_dtypes:
        if isinstance(item, _NUMBERS):
            numbers.append(item)
            continue
        d = item.dtype if isinstance(item, Tensor) else item
        if not isinstance(d, dt.dtype):
            raise TypeError(
                f"result_type(): expected tensors, dtypes and numbers, got {type(item).__name__}"
            )
        found = d if found is None else dt.promote_types(found, d)
    if found is None:
        raise ValueError("result_type(): needs at least one tensor or dtype")
    for number in numbers:
        found = _with_number(found, number)
    return found


def _with_number(d, number):
    """The dtype of an operation on this dtype and a Python number."""
    if isinstance(number, complex):
        if d.is_complex:
            return d
        return (d if d.is_floating_point else dt.get_default_dtype()).to_complex()
    if isinstance(number, float):
        return d if d.is_floating_point or d.is_complex else dt.get_default_dtype()
    return dt.int64 if d is dt.bool and not isinstance(number, bool) else d


def can_cast(from_, to, /):
    """Whether promotion leads from the dtype (or the tensor's dtype) to `to`: int8 to int16, float32 to complex64;
    never from one of bool, integers and floating point types to another."""
    d = from_.dtype if isinstance(from_, Tensor) else from_
    for given in (d, to):
        if not isinstance(given, dt.dtype):
            raise TypeError(f"can_cast(): expected a dtype, got {given!r}")
    a, b = dt.category(d), dt.category(to)
    return (a == b or (a, b) == (2, 3)) and dt.promote_types(d, to) is to


def isdtype(dtype, kind):
    """Whether the dtype is `kind`: a dtype, "bool", "signed integer", "unsigned integer", "integral", "real floating",
    "complex floating", "numeric", or a tuple of them (any). Raises ValueError for an unknown word, TypeError for else."""
    if not isinstance(dtype, dt.dtype):
        raise TypeError(f"isdtype(): expected a dtype, got {dtype!r}")
    if isinstance(kind, tuple):
        if any(isinstance(k, tuple) for k in kind):
            raise TypeError(
                "isdtype(): kind is a dtype, a word, or a tuple of these, got a tuple in a tuple"
            )
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, dt.dtype):
        return dtype is kind
    if not isinstance(kind, str):
        raise TypeError(f"isdtype(): kind is a dtype, a word, or a tuple of these, got {kind!r}")
    if kind not in KINDS:
        raise ValueError(f"isdtype(): unknown kind {kind!r}; there are {', '.join(KINDS)}")
    return dtype in KINDS[kind] or (kind in ("real floating", "numeric") and dtype in EXTRA)


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating point type (of the parts, for a complex one)."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: dt.dtype


@dataclass(frozen=True)
class IntegerInfo:
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: dt.dtype


def _dtype_of(type):
    return type.dtype if isinstance(type, Tensor) else type


def finfo(type, /):
    """bits, eps, max, min, smallest_normal and dtype of a floating point or complex type, or of a tensor's."""
    d = _dtype_of(type)
    info = dt.finfo(d)
    return FloatInfo(info.bits, info.eps, info.max, info.min, info.smallest_normal, d.to_real())


def iinfo(type, /):
    """bits, max, min and dtype of an integer type, or of a tensor's."""
    d = _dtype_of(type)
    info = dt.iinfo(d)
    return IntegerInfo(info.bits, info.max, info.min, d)


def operands(name, *items):
    """Tensors and Python numbers as tensors of their common dtype. Raises TypeError where none of them is a tensor."""
    if not any(isinstance(x, Tensor) for x in items):
        kinds = ", ".join(type(x).__name__ for x in items)
        raise TypeError(f"{name}(): expected a Tensor among the arguments, got {kinds}")
    d = result_type(*items)
    return tuple(in_dtype(x, d) for x in items)


def in_dtype(x, d):
    """A tensor or a Python number as a tensor of this dtype."""
    if isinstance(x, Tensor):
        return x if x.dtype is d else x.to(d)
    from ..ops import full

    return full((), x, dtype=d)
