"""Tensors from numbers, lists, arrays and bytes; and how they are pickled and deep-copied."""

from __future__ import annotations

import math
import struct
from array import array
from itertools import chain

from .. import dtypes as dt
from .._lib import ffi
from .._native import pointer
from ..batched import per_member, unreadable
from ..layout import Layout, Size
from ..layout import contiguous as row_major_layout
from ..plan import not_again
from ..tensor import Tensor, method
from .convert import to_dtype
from .create import _check, _finish, _new_filled, empty, empty_like, new_tensor
from .elementwise import as_number, is_scalar, scalar_dtype
from .writing import copy_into

_SEQUENCES = (list, tuple, range)


def _shape_of(data):
    """The shape of nested lists, by their first elements."""
    shape = []
    while isinstance(data, _SEQUENCES):
        shape.append(len(data))
        if not data:
            break
        data = data[0]
    return shape


def _first_leaf(data):
    while isinstance(data, _SEQUENCES) and data:
        data = data[0]
    return data


def _flatten(data, depth, shape, out):
    """Puts the elements of nested lists into `out`. Raises ValueError where they are ragged."""
    if depth == len(shape):
        if isinstance(data, _SEQUENCES):
            raise ValueError(
                f"tensor(): expected a number at depth {depth}, got a sequence: the lists are ragged"
            )
        out.append(data)
        return
    if not isinstance(data, _SEQUENCES) or len(data) != shape[depth]:
        got = len(data) if isinstance(data, _SEQUENCES) else type(data).__name__
        raise ValueError(
            f"tensor(): expected sequence of length {shape[depth]} at dim {depth} (got {got})"
        )
    if depth + 1 == len(shape) and not any(isinstance(d, _SEQUENCES) for d in data):
        out.extend(data)
        return
    for d in data:
        _flatten(d, depth + 1, shape, out)


_OF_PYTHON = {bool: dt.bool, int: dt.int64}


def _infer(values):
    """The dtype for these numbers, 0-d tensors and NumPy numbers: the smallest that holds all their dtypes."""
    found = None
    for kind in {v._layout.dtype if isinstance(v, Tensor) else type(v) for v in values}:
        if not isinstance(kind, dt.dtype):
            kind = (
                scalar_dtype(kind())
                if kind in (float, complex)
                else _OF_PYTHON.get(kind) or _numpy_dtype(kind)
            )
        found = kind if found is None else dt.promote_types(found, kind)
    return found or dt.get_default_dtype()


def _numpy_dtype(kind):
    name = {"bool_": "bool", "intc": "int32", "longlong": "int64"}.get(kind.__name__, kind.__name__)
    if name in dt.NAMES:
        return dt.NAMES[name]
    if issubclass(kind, (bool, int, float, complex)):
        return dt.int64 if issubclass(kind, int) else scalar_dtype(kind())
    if hasattr(kind, "__float__") and hasattr(kind, "item"):
        return dt.get_default_dtype()
    raise TypeError(
        f"tensor(): could not infer dtype of {kind.__name__}; give numbers, lists of numbers, or arrays"
    )


def pack(values, dtype, op="tensor"):
    """The numbers as the bytes of this dtype. Raises RuntimeError for one that does not fit."""
    if dtype.is_complex:
        values = [part for v in map(complex, values) for part in (v.real, v.imag)]
        dtype = dtype.to_real()
    try:
        if dtype.format == "e":
            values = [
                v
                if v != v or abs(v) <= 65504
                else math.copysign(math.inf, v)
                if abs(v) >= 65520
                else math.copysign(65504.0, v)
                for v in map(float, values)
            ]
        elif dtype.name == "float32":
            pass
        elif not dtype.is_floating_point and dtype.format != "?":
            values = [int(v) for v in values]
        if dtype.format is None:
            wide = from_bytes(array("f", map(float, values)).tobytes(), (len(values),), dt.float32)
            narrow = to_dtype(wide, dtype)  # kept alive until its bytes are copied
            return bytes(ffi.buffer(pointer(narrow._ptr), 2 * len(values)))
        if dtype.format == "f":
            return array("f", values).tobytes()
        return struct.pack(f"={len(values)}{dtype.format}", *values)
    except (struct.error, OverflowError) as e:
        raise RuntimeError(
            f"{op}(): a value does not fit {dtype.name}: Overflow when unpacking ({e})"
        ) from None
    except (TypeError, ValueError) as e:
        if "NaN" in str(e) or "infinity" in str(e):
            raise RuntimeError(f"{op}(): a value does not fit {dtype.name}: {e}") from None
        raise TypeError(f"{op}(): cannot make {dtype.name} elements of these values: {e}") from None


def from_bytes(raw, shape, dtype):
    """A new tensor over a copy of these bytes."""
    t = new_tensor(row_major_layout(dtype, tuple(shape)), "tensor")
    if raw:
        not_again()
        ffi.memmove(pointer(t._ptr), raw, len(raw))
    return t


_CODES = {dt.float32: "f", dt.float64: "d", dt.int64: "q", dt.bool: "b"}


def _quick(data, dtype):
    """The tensor of a plain number, or of a list (of equal lists) of only ints, only floats or only bools; None for all else."""
    kind, shape = type(data), ()
    if kind is list:
        shape = (len(data),)
        while data and type(data[0]) is list:
            lengths = set(map(len, data)) if set(map(type, data)) == {list} else ()
            if len(lengths) != 1:
                return None
            shape = (*shape, *lengths)
            data = list(chain.from_iterable(data))
        kinds = set(map(type, data))
        if len(kinds) != 1:
            return None
        (kind,) = kinds
    if dtype is None:
        dtype = dt.get_default_dtype() if kind is float else dt.int64 if kind is int else dt.bool
    code = _CODES.get(dtype)
    if code is None or kind not in (float, int, bool) or (kind is not bool and not dtype.is_floating_point and kind is not int):
        return None
    if dtype is dt.bool and kind is not bool:
        return None
    if type(data) is not list:
        return _new_filled(data, (), dtype) if kind is float or -(1 << 53) < data < 1 << 53 else None
    try:
        raw = array(code, data)
    except OverflowError:
        return None
    t = new_tensor(row_major_layout(dtype, shape), "tensor")
    not_again()
    ffi.memmove(pointer(t._ptr), raw, len(raw) * raw.itemsize)
    return t


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new tensor holding a copy of `data`: a number, nested lists, a NumPy array, any buffer or DLPack producer.

    dtype: inferred unless given (int64 for ints, bool for bools, the default dtype for floats, an array's own)."""
    if dtype is not None or device is not None:
        _check("tensor", dtype, device)
    kind = type(data)
    if kind is float or kind is int or kind is list:
        t = _quick(data, dtype)
        if t is not None:
            return _finish(t, requires_grad)
    if isinstance(data, Tensor):
        t = data.detach().clone() if dtype is None else data.detach().to(dtype, copy=True)
    elif is_scalar(data) and not hasattr(data, "dtype"):
        data = as_number(data)
        dtype = dtype or scalar_dtype(data)
        t = from_bytes(pack([data], dtype), (), dtype)
    elif isinstance(data, _SEQUENCES):
        if getattr(_first_leaf(data), "ndim", 0) and not isinstance(_first_leaf(data), Tensor):
            from ..interop import tensor_from_array

            t = tensor_from_array(data, dtype)
        else:
            shape, values = _shape_of(data), []
            _flatten(data, 0, shape, values)
            dtype = dtype or _infer(values)
            values = [v if type(v) in (float, int, bool, complex) else _plain(v) for v in values]
            t = from_bytes(pack(values, dtype), shape, dtype)
    else:
        from ..interop import tensor_from_array

        t = tensor_from_array(data, dtype)
    return _finish(t, requires_grad)


def _plain(v):
    """The Python number of one element. Raises for what is none."""
    if isinstance(v, Tensor) and v._layout.numel != 1:
        raise ValueError(
            f"tensor(): only one element tensors can be converted to Python scalars, got one of shape {list(v.shape)}; join tensors with stack()"
        )
    if hasattr(v, "item"):
        return v.item()
    if not is_scalar(v):
        raise TypeError(
            f"tensor(): could not infer dtype of {type(v).__name__}; give numbers, lists of numbers, or arrays"
        )
    return as_number(v)


def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor, without a copy where it is one already, or an array of a fitting dtype."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if hasattr(data, "__array_interface__") and not is_scalar(data):
        from ..interop import as_tensor_from_array

        t = as_tensor_from_array(data)
        return t if dtype is None else t.to(dtype)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """`obj` as a tensor; `copy` True: always a copy, False: never (ValueError where it takes one)."""
    t = tensor(obj, dtype=dtype) if copy else as_tensor(obj, dtype=dtype)
    if copy is False and not isinstance(obj, Tensor) and not hasattr(obj, "__array_interface__"):
        raise ValueError("asarray(): unable to avoid a copy of this object; leave out copy=False")
    return _finish(t.detach() if requires_grad and t is obj else t, requires_grad)


@method
def new_tensor_(self, data, *, dtype=None, device=None, requires_grad=False):
    """`tensor(data)` with this tensor's dtype unless another is given."""
    return tensor(
        data, dtype=dtype or self._layout.dtype, device=device, requires_grad=requires_grad
    )


Tensor.new_tensor = new_tensor_
del Tensor.new_tensor_


def legacy_constructor(cls, args, kwargs):
    """`Tensor(2, 3)` (uninitialised) and `Tensor([1, 2])` (converted to the default dtype)."""
    kwargs.pop("device", None)
    if kwargs:
        raise TypeError(
            f"Tensor(): unexpected keyword arguments {sorted(kwargs)}; use dlgrad.tensor(...)"
        )
    d = dt.get_default_dtype()
    if len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        t = (
            empty(tuple(data), dtype=d)
            if isinstance(data, Size)
            else data.detach()
            if isinstance(data, Tensor)
            else tensor(data, dtype=d)
        )
    else:
        t = empty(*args, dtype=d) if args else empty(0, dtype=d)
    if cls is not Tensor:
        sub = object.__new__(cls)
        adopt(sub, t)
        return sub
    return t


def adopt(t, other):
    """Makes `t` (a bare object of a Tensor class) hold what `other` holds."""
    t._ptr, t._layout, t._storage = other._ptr, other._layout, other._storage
    t._requires_grad, t._grad_fn, t._view, t._view_mode = False, None, None, None
    return t


# ---------------------------------------------------------------------- pickled and copied


def reduce_tensor(t):
    """How a tensor is pickled: dtype, shape, bytes, and whether it requires a gradient."""
    if t.grad_fn is not None:
        import pickle

        raise pickle.PicklingError("only leaf tensors can be pickled; take .detach() of this one")
    if type(t._layout) is not Layout:
        raise unreadable("__reduce_ex__")
    d = t.detach().contiguous()
    not_again()
    raw = bytes(ffi.buffer(pointer(d._ptr), d._layout.nbytes)) if d._layout.numel else b""
    extra = {k: v for k, v in t.__dict__.items() if not k.startswith("_")}
    return rebuild_tensor, (type(t), raw, tuple(t.shape), t.dtype, t._requires_grad is True, extra)


def rebuild_tensor(cls, raw, shape, dtype, requires_grad, extra):
    """The inverse of `reduce_tensor`."""
    t = from_bytes(raw, shape, dtype)
    if cls is not Tensor:
        t = adopt(object.__new__(cls), t)
    t._requires_grad = requires_grad
    t.__dict__.update(extra)
    return t


def deepcopy_tensor(t, memo):
    """A copy of a leaf with its gradient. Raises RuntimeError for results of operations, as PyTorch does."""
    import copy

    if id(t) in memo:
        return memo[id(t)]
    if t.grad_fn is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
        )
    d = t.detach()
    new = empty_like(d) if not d._layout.contiguous else new_tensor(per_member(d._layout, d._layout))
    copy_into(new, d)
    if type(t) is not Tensor:
        new = adopt(object.__new__(type(t)), new)
    new._requires_grad = t._requires_grad is True
    memo[id(t)] = new
    for k, v in t.__dict__.items():
        if not k.startswith("_"):
            new.__dict__[k] = copy.deepcopy(v, memo)
    if t._grad is not None:
        new._grad = copy.deepcopy(t._grad.detach(), memo)
    return new
