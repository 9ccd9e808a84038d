"""Tensors in another dtype, and as Python numbers."""

from __future__ import annotations

import math
import struct

from .. import dtypes as dt
from .. import plan as door
from .._lib import ffi
from .._native import native, pointer
from ..autograd.graph import record
from ..batched import unreadable
from ..layout import Layout
from ..plan import make_plan, not_again, remember
from ..tensor import Tensor, method
from ..tensor import device as Device
from . import complex_numbers
from .checked import checked
from .elementwise import result_layout

_casts: dict = {}  # (layout, dtype) -> plan


def to_dtype(x, dtype):
    """A copy in another dtype (differentiable between floating point types)."""
    lay = x._layout
    if lay.dtype is dtype:
        return x
    plan = _casts.get((lay, dtype))
    if plan is not None:
        out = door.run(plan, x)
        if x._requires_grad and dtype.is_floating_point:
            old = lay.dtype
            record(out, "ToCopyBackward0", lambda g: to_dtype(g, old), (x,))
        return out
    if lay.dtype.is_complex is not dtype.is_complex:
        if dtype.is_complex:
            return complex_numbers.from_real(x, dtype)
        real = complex_numbers.real(x)  # a view, which the result must not be
        return real.clone() if real._layout.dtype is dtype else to_dtype(real, dtype)
    new = result_layout(dtype, lay.shape, lay)
    if type(lay) is Layout and not dtype.is_complex:
        remember(_casts, (lay, dtype), make_plan("cast", "copy", (new,), (lay,), name="to"))
    out = door.call("cast", "copy", new, (x,), name="to")
    if x._requires_grad and (dtype.is_floating_point or dtype.is_complex):
        old = lay.dtype
        record(out, "ToCopyBackward0", lambda g: to_dtype(g, old), (x,))
    return out


@method
def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    """`to(dtype)`, `to(device)`, `to(other)`: this tensor, or a copy in that dtype."""
    if (
        len(args) == 1
        and type(args[0]) is dt.dtype
        and dtype is None
        and device is None
        and not copy
    ):
        return to_dtype(self, args[0])
    for a in args:
        if isinstance(a, dt.dtype):
            dtype = a
        elif isinstance(a, Tensor):
            dtype = a._layout.dtype
        elif isinstance(a, (str, Device)):
            device = a
        elif isinstance(a, bool):
            pass
        elif a is not None:
            raise TypeError(
                f"to(): received an invalid argument of type {type(a).__name__}: expected a dtype, a device or a Tensor"
            )
    if device is not None:
        Device(device)
    if dtype is None or dtype is self._layout.dtype:
        return self.clone() if copy else self
    if not isinstance(dtype, dt.dtype):
        raise TypeError(f"to(): argument 'dtype' must be dlgrad.dtype, not {type(dtype).__name__}")
    return to_dtype(self, dtype)


def _caster(name, d):
    def f(self, memory_format=None):
        return to_dtype(self, d)

    f.__name__ = name
    f.__doc__ = f"This tensor as {d.name}."
    method(f)


for _name, _d in (("bool", dt.bool), ("byte", dt.uint8), ("char", dt.int8), ("short", dt.int16), ("int", dt.int32), ("long", dt.int64),
                  ("half", dt.float16), ("bfloat16", dt.bfloat16), ("float", dt.float32), ("double", dt.float64), ("cfloat", dt.complex64),
                  ("cdouble", dt.complex128)):  # fmt: skip
    _caster(_name, _d)


@method(names=("type",))
def type_(self, dtype=None, non_blocking=False):
    """The type's name, or this tensor as `dtype`."""
    if dtype is None:
        names = {v.name: k for k, v in dt.ALIASES.items()} | {
            "uint8": "byte",
            "int8": "char",
            "bool": "bool",
            "bfloat16": "bFloat16",
        }
        n = names[self._layout.dtype.name]
        return f"dlgrad.{n[0].upper() + n[1:]}Tensor"
    if isinstance(dtype, str):
        key = dtype.split(".")[-1].removesuffix("Tensor").lower()
        dtype = {**dt.NAMES, **dt.ALIASES, "byte": dt.uint8, "char": dt.int8}.get(key)
        if dtype is None:
            raise ValueError(f"type(): invalid type: {key!r}")
    return to_dtype(self, getattr(dtype, "dtype", dtype))


@method
@checked
def type_as(self, other):
    """This tensor in the dtype of `other`."""
    return to_dtype(self, other._layout.dtype)


@method
def cpu(self, memory_format=None):
    """This tensor: it is on the CPU."""
    return self


@method
def cuda(self, *args, **kwargs):
    """Raises AssertionError, as PyTorch's CPU build does: dlgrad computes on the CPU."""
    raise AssertionError(
        "cuda(): dlgrad computes on the CPU only; leave the call out, or use .to(device) with device='cpu'"
    )


# ---------------------------------------------------------------------- as Python numbers


# How C calls the element types that Python has numbers for: the fastest way to read them.
_POINTERS = {dt.float32: "float *", dt.float64: "double *", dt.int64: "int64_t *", dt.int32: "int32_t *", dt.bool: "_Bool *",
             dt.uint8: "uint8_t *", dt.int8: "int8_t *", dt.int16: "int16_t *"}  # fmt: skip
_POINTERS = {d: ffi.typeof(name) for d, name in _POINTERS.items()}
_cast = ffi.cast


def _numbers(x):
    """All elements as a flat list of Python numbers."""
    not_again()
    lay = x._layout
    if type(lay) is not Layout:
        raise unreadable("tolist")
    if not lay.numel:
        return []
    if lay.dtype.is_complex:
        flat = _numbers(complex_numbers.view_as_real(x.detach()))
        return [complex(re, im) for re, im in zip(flat[::2], flat[1::2])]
    if lay.dtype is dt.bfloat16:
        x = to_dtype(x.detach(), dt.float32)
    x = x.detach().contiguous()
    lay = x._layout
    kind = _POINTERS.get(lay.dtype)
    if kind is not None:
        return ffi.unpack(ffi.cast(kind, x._ptr), lay.numel)
    return list(
        struct.unpack(f"={lay.numel}{lay.dtype.format}", ffi.buffer(pointer(x._ptr), lay.nbytes))
    )


@method
def item(self):
    """The single element as a Python number. Raises RuntimeError for more or fewer elements."""
    lay = self._layout
    if lay.numel == 1 and type(lay) is Layout:
        kind = _POINTERS.get(lay.dtype)
        if kind is not None:
            _remember(lay)
            return _cast(kind, self._ptr)[0]
    if lay.numel != 1:
        raise RuntimeError(
            f"item(): a Tensor with {lay.numel} elements (shape {list(lay.shape)}) cannot be converted to Scalar"
        )
    if type(lay) is not Layout:
        raise unreadable("item")
    fmt = lay.dtype.format
    if fmt is None:
        return _numbers(self)[0]
    return struct.unpack(fmt, ffi.buffer(pointer(self._ptr), lay.dtype.itemsize))[0]


def _remember(lay):
    """Tells the native methods of a layout."""
    letter = "g" if lay.dtype is dt.bfloat16 else lay.dtype.format
    if native is not None and letter is not None and not lay.dtype.is_complex:
        size = lay.dtype.itemsize
        native["remember_numbers"](
            lay, ord(letter), tuple(lay.shape), tuple([s * size for s in lay.strides])
        )


@method
def tolist(self):
    """Nested lists of Python numbers (a number for a 0-d tensor)."""
    not_again()
    lay = self._layout
    shape = lay.shape
    if not shape:
        return item(self)
    if type(lay) is Layout:
        _remember(lay)
    if len(shape) > 1 and type(lay) is Layout and lay.numel and lay.dtype in _POINTERS:
        x = self.detach().contiguous()
        memory = memoryview(ffi.buffer(pointer(x._ptr), lay.nbytes)).cast("B")
        return memory.cast(lay.dtype.format, tuple(shape)).tolist()
    flat = _numbers(self)
    for n in reversed(shape[1:]):
        flat = (
            [flat[i : i + n] for i in range(0, len(flat), n)]
            if n
            else [[] for _ in range(math.prod(shape[: shape.index(0)]))]
        )
        if not n:
            return _empty_lists(shape)
    return flat


def _empty_lists(shape):
    return [] if not shape or shape[0] == 0 else [_empty_lists(shape[1:]) for _ in range(shape[0])]


if native is not None:
    Tensor.item, Tensor.tolist = native["bind_numbers"](Tensor, item, tolist)  # zig/python/item.zig
