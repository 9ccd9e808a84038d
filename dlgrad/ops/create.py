"""Tensors from numbers, lists and shapes; conversion to other dtypes and back to Python."""

from __future__ import annotations

import math
import struct

from .. import dtypes as dt
from .. import plan as door
from .._lib import ffi
from ..autograd.graph import record
from ..layout import MAX_NUMEL, Layout, contiguous as row_major_layout, layout
from ..storage import Storage, allocate
from ..tensor import Tensor, device as Device, make_tensor, method  # noqa: N812
from .elementwise import as_number, is_scalar, result_layout, scalar_dtype
from .view import sizes_of
from .writing import check_inplace, check_writable, copy_into, replace_history, write_out


# ---------------------------------------------------------------------- by shape


def _check(op, dtype, device=None, layout=None, pin_memory=None):
    """The dtype to use (None: the default). Raises for another device."""
    if device is not None and not isinstance(device, Device):
        Device(device)
    if dtype is None:
        return dt.get_default_dtype()
    if not isinstance(dtype, dt.dtype):
        raise TypeError(f"{op}(): argument 'dtype' must be dlgrad.dtype, not {type(dtype).__name__} ({dtype!r})")
    return dtype


def _sizes(op, size):
    shape = sizes_of(size, op)
    n = 1
    for s in shape:
        if s < 0:
            raise RuntimeError(f"{op}(): Trying to create tensor with negative dimension {s}: {list(shape)}")
        n *= s
    if n > MAX_NUMEL // 16:
        raise RuntimeError(f"{op}(): shape {list(shape)} has {n} elements, more than any machine can hold")
    return shape


def new_tensor(lay: Layout, op="empty") -> Tensor:
    """A tensor of this layout over new memory, not initialised."""
    storage = allocate(lay.span * lay.dtype.itemsize, f"{op} of shape {list(lay.shape)}")
    return make_tensor(storage.ptr, lay, storage)


def _finish(t, requires_grad):
    return t.requires_grad_() if requires_grad else t


def empty(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, memory_format=None):
    """A tensor of this shape whose values are whatever the memory held."""
    dtype = _check("empty", dtype, device)
    if out is not None:
        return out.resize_(_sizes("empty", size))
    return _finish(new_tensor(row_major_layout(dtype, _sizes("empty", size))), requires_grad)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """An uninitialised tensor with these sizes and strides."""
    from ..layout import layout as make_layout

    lay = make_layout(_check("empty_strided", dtype, device), _sizes("empty_strided", (size,)), tuple(stride))
    return _finish(new_tensor(lay, "empty_strided"), requires_grad)


def fill_with(t, value, op="fill_"):
    """Writes the number into all of `t` (no graph, no checks of leaves)."""
    d = t._layout.dtype
    if d.is_floating_point:
        kind, value = 0, float(value)
    else:
        kind, value = 1, (int(bool(value)) if d is dt.bool else int(value))
        if not -(1 << 63) <= value < 1 << 63:
            raise RuntimeError(f"{op}: value cannot be converted to type {d.name} without overflow")
    door.call("fill", "fill", t._layout, (), ints=(kind,), scalars=(value,), into=t, name=op)
    return t


def _filled(op, value, size, out, dtype, device, requires_grad):
    if out is not None:
        out.resize_(_sizes(op, size))
        return fill_with(out, value, op)
    t = new_tensor(row_major_layout(_check(op, dtype, device), _sizes(op, size)), op)
    return _finish(fill_with(t, value, op), requires_grad)


def zeros(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Zeros of this shape."""
    return _filled("zeros", 0, size, out, dtype, device, requires_grad)


def ones(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Ones of this shape."""
    return _filled("ones", 1, size, out, dtype, device, requires_grad)


def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """`fill_value` repeated to this shape; its type gives the dtype unless `dtype` does."""
    if isinstance(fill_value, Tensor):
        if fill_value._layout.ndim:
            raise TypeError("full(): fill_value must be a number or a 0-d tensor")
        dtype = dtype or fill_value._layout.dtype
        fill_value = fill_value.item()
    if not is_scalar(fill_value):
        raise TypeError(f"full(): argument 'fill_value' must be Number, not {type(fill_value).__name__}")
    fill_value = as_number(fill_value)
    return _filled("full", fill_value, (size,), out, dtype or scalar_dtype(fill_value), device, requires_grad)


def _like_layout(op, input, dtype):
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    lay = input._layout
    return result_layout(dtype or lay.dtype, lay.shape, lay)


def empty_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """Uninitialised, with the shape and (unless given) dtype of `input`."""
    return _finish(new_tensor(_like_layout("empty_like", input, dtype), "empty_like"), requires_grad)


def zeros_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """Zeros with the shape and (unless given) dtype of `input`."""
    return _finish(fill_with(new_tensor(_like_layout("zeros_like", input, dtype), "zeros_like"), 0), requires_grad)


def ones_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """Ones with the shape and (unless given) dtype of `input`."""
    return _finish(fill_with(new_tensor(_like_layout("ones_like", input, dtype), "ones_like"), 1), requires_grad)


def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """`fill_value` with the shape and (unless given) dtype of `input`."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _finish(fill_with(new_tensor(_like_layout("full_like", input, dtype), "full_like"), value), requires_grad)


def scalar_tensor(s, *, dtype=None, layout=None, device=None, requires_grad=False):
    """A 0-d tensor holding the number."""
    t = new_tensor(row_major_layout(_check("scalar_tensor", dtype, device), ()))
    return _finish(fill_with(t, s, "scalar_tensor"), requires_grad)


def _new_method(name, maker):
    def f(self, *size, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
        return maker(*size, dtype=dtype or self._layout.dtype, device=device, requires_grad=requires_grad)

    f.__doc__ = f"`{maker.__name__}` with this tensor's dtype unless another is given."
    f.__name__ = name
    method(f)


_new_method("new_empty", empty)
_new_method("new_zeros", zeros)
_new_method("new_ones", ones)


@method
def new_full(self, size, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False):
    """`full` with this tensor's dtype unless another is given."""
    return full(size, fill_value, dtype=dtype or self._layout.dtype, device=device, requires_grad=requires_grad)


@method
def new_tensor_(self, data, *, dtype=None, device=None, requires_grad=False):
    """`tensor(data)` with this tensor's dtype unless another is given."""
    return tensor(data, dtype=dtype or self._layout.dtype, device=device, requires_grad=requires_grad)


Tensor.new_tensor = new_tensor_
del Tensor.new_tensor_


@method
def new_empty_strided(self, size, stride, *, dtype=None, device=None, requires_grad=False):
    """`empty_strided` with this tensor's dtype unless another is given."""
    return empty_strided(size, stride, dtype=dtype or self._layout.dtype, requires_grad=requires_grad)


def _number(op, name, v):
    if isinstance(v, Tensor):
        v = v.item()
    if not is_scalar(v):
        raise TypeError(f"{op}(): argument '{name}' must be Number, not {type(v).__name__}")
    return as_number(v)


def _truncated_steps(start, end, step):
    """All three as integers: what int64 elements are made of."""
    start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError("arange(): step must be nonzero, and is 0 as int64")
    return start, end, step


def arange(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """start, start + step, ... before end. int64 if all are integers, else the default dtype."""
    if end is None:
        start, end = 0, start
    start, end, step = (_number("arange", n, v) for n, v in (("start", start), ("end", end), ("step", step)))
    if dtype is None and out is None:
        dtype = dt.int64 if all(isinstance(v, int) for v in (start, end, step)) else dt.get_default_dtype()
    dtype = out._layout.dtype if dtype is None else _check("arange", dtype, device)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange(): unsupported range: {start} -> {end}")
    if step == 0 or step != step:
        raise RuntimeError(f"arange(): step must be nonzero, got {step}")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError(f"arange(): upper bound and lower bound inconsistent with step sign: {start} to {end} by {step}")
    if dtype is dt.bool:
        raise RuntimeError("arange(): not implemented for bool")
    whole = not dtype.is_floating_point
    if dtype is dt.int64:
        n = len(range(*_truncated_steps(start, end, step)))
    else:
        n = max(0, math.ceil((end - start) / step))
    if whole:
        start, step = int(start), int(step)
    _sizes("arange", (n,))
    t = new_tensor(row_major_layout(dtype, (n,)), "arange")
    scalars = (start, step) if whole else (float(start), float(step))
    door.call("fill", "arange", t._layout, (), ints=(int(whole),), scalars=scalars, into=t)
    return _finish(t, requires_grad) if out is None else write_out("arange", out, t)


def range_(start=0, end=None, step=1, **kwargs):
    """`arange` with `end` included (kept for old programs)."""
    if end is None:
        start, end = 0, start
    return arange(start, end + step, step, **{"dtype": dt.get_default_dtype(), **kwargs})


def linspace(start, end, steps, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """`steps` evenly spaced values from start to end, both included."""
    if isinstance(steps, float) or not hasattr(steps, "__index__"):
        raise TypeError(f"linspace(): argument 'steps' must be int, not {type(steps).__name__}")
    steps = steps.__index__()
    if steps < 0:
        raise RuntimeError(f"linspace(): number of steps must be non-negative, got {steps}")
    for n, v in (("start", start), ("end", end)):
        if isinstance(v, Tensor) and v._layout.ndim:
            raise RuntimeError(f"linspace(): only supports 0-dimensional start and end tensors, but got {n} with {v._layout.ndim} dimensions")
    start, end = float(_number("linspace", "start", start)), float(_number("linspace", "end", end))
    dtype = out._layout.dtype if dtype is None and out is not None else _check("linspace", dtype, device)
    if not dtype.is_floating_point:
        start, end = float(int(start)), float(int(end))
    t = new_tensor(row_major_layout(dtype, _sizes("linspace", (steps,))), "linspace")
    door.call("fill", "linspace", t._layout, (), scalars=(start, end), into=t)
    return _finish(t, requires_grad) if out is None else write_out("linspace", out, t)


def logspace(start, end, steps, base=10.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """base ** linspace(start, end, steps)."""
    dtype = _check("logspace", dtype, device)
    t = (float(base) ** linspace(start, end, steps, dtype=dt.float64)).to(dtype)
    return _finish(t, requires_grad) if out is None else write_out("logspace", out, t)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Ones on the diagonal of an n x m matrix (m = n unless given), zeros elsewhere."""
    m = n if m is None else m
    for s, name in ((n, "n"), (m, "m")):
        if s < 0:
            raise RuntimeError(f"eye(): {name} must be greater or equal to 0, got {s}")
    t = new_tensor(row_major_layout(_check("eye", dtype, device), _sizes("eye", (n, m))), "eye")
    door.call("fill", "eye", t._layout, (), into=t)
    return _finish(t, requires_grad) if out is None else write_out("eye", out, t)


# ---------------------------------------------------------------------- from data


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
            raise ValueError(f"tensor(): expected a number at depth {depth}, got a sequence: the lists are ragged")
        out.append(data)
        return
    if not isinstance(data, _SEQUENCES) or len(data) != shape[depth]:
        got = len(data) if isinstance(data, _SEQUENCES) else type(data).__name__
        raise ValueError(f"tensor(): expected sequence of length {shape[depth]} at dim {depth} (got {got})")
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
            kind = dt.get_default_dtype() if kind is float else _OF_PYTHON.get(kind) or _numpy_dtype(kind)
        found = kind if found is None else dt.promote_types(found, kind)
    return found or dt.get_default_dtype()


def _numpy_dtype(kind):
    name = {"bool_": "bool", "intc": "int32", "longlong": "int64"}.get(kind.__name__, kind.__name__)
    if name in dt.NAMES:
        return dt.NAMES[name]
    if issubclass(kind, (bool, int, float)):
        return dt.int64 if issubclass(kind, int) else dt.get_default_dtype()
    if hasattr(kind, "__float__") and hasattr(kind, "item"):
        return dt.get_default_dtype()
    raise TypeError(f"tensor(): could not infer dtype of {kind.__name__}; give numbers, lists of numbers, or arrays")


def pack(values, dtype, op="tensor"):
    """The numbers as the bytes of this dtype. Raises RuntimeError for one that does not fit."""
    try:
        if dtype.format == "e":
            values = [v if v != v or abs(v) <= 65504 else math.copysign(math.inf, v) if abs(v) >= 65520 else math.copysign(65504.0, v) for v in map(float, values)]
        elif dtype.name == "float32":
            pass
        elif not dtype.is_floating_point and dtype.format != "?":
            values = [int(v) for v in values]
        if dtype.format is None:
            from array import array

            wide = from_bytes(array("f", map(float, values)).tobytes(), (len(values),), dt.float32)
            narrow = to_dtype(wide, dtype)  # kept alive until its bytes are copied
            return bytes(ffi.buffer(narrow._ptr, 2 * len(values)))
        if dtype.format == "f":
            from array import array

            return array("f", values).tobytes()
        return struct.pack(f"={len(values)}{dtype.format}", *values)
    except (struct.error, OverflowError) as e:
        raise RuntimeError(f"{op}(): a value does not fit {dtype.name}: Overflow when unpacking ({e})") from None
    except (TypeError, ValueError) as e:
        if "NaN" in str(e) or "infinity" in str(e):
            raise RuntimeError(f"{op}(): a value does not fit {dtype.name}: {e}") from None
        raise TypeError(f"{op}(): cannot make {dtype.name} elements of these values: {e}") from None


def from_bytes(raw, shape, dtype):
    """A new tensor over a copy of these bytes."""
    t = new_tensor(row_major_layout(dtype, tuple(shape)), "tensor")
    if raw:
        ffi.memmove(t._ptr, raw, len(raw))
    return t


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new tensor holding a copy of `data`: a number, nested lists, a NumPy array, any buffer or DLPack producer.

    dtype: inferred unless given (int64 for ints, bool for bools, the default dtype for floats, an array's own)."""
    if dtype is not None or device is not None:
        _check("tensor", dtype, device)
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
            values = [v if type(v) in (float, int, bool) else _plain(v) for v in values]
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
        raise TypeError(f"tensor(): could not infer dtype of {type(v).__name__}; give numbers, lists of numbers, or arrays")
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


def legacy_constructor(cls, args, kwargs):
    """`Tensor(2, 3)` (uninitialised) and `Tensor([1, 2])` (converted to the default dtype)."""
    kwargs.pop("device", None)
    if kwargs:
        raise TypeError(f"Tensor(): unexpected keyword arguments {sorted(kwargs)}; use dlgrad.tensor(...)")
    d = dt.get_default_dtype()
    if len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        from ..layout import Size

        t = empty(tuple(data), dtype=d) if isinstance(data, Size) else data.detach() if isinstance(data, Tensor) else tensor(data, dtype=d)
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
    t._requires_grad, t._grad_fn, t._view = False, None, None
    return t


# ---------------------------------------------------------------------- other dtypes


def to_dtype(x, dtype):
    """A copy in another dtype (differentiable between floating point types)."""
    lay = x._layout
    if lay.dtype is dtype:
        return x
    out = door.call("cast", "copy", result_layout(dtype, lay.shape, lay), (x,), name="to")
    if x._requires_grad and dtype.is_floating_point:
        old = lay.dtype
        record(out, "ToCopyBackward0", lambda g: to_dtype(g, old), (x,))
    return out


@method
def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    """`to(dtype)`, `to(device)`, `to(other)`: this tensor, or a copy in that dtype."""
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
            raise TypeError(f"to(): received an invalid argument of type {type(a).__name__}: expected a dtype, a device or a Tensor")
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
                  ("half", dt.float16), ("bfloat16", dt.bfloat16), ("float", dt.float32), ("double", dt.float64)):  # fmt: skip
    _caster(_name, _d)


@method(names=("type",))
def type_(self, dtype=None, non_blocking=False):
    """The type's name, or this tensor as `dtype`."""
    if dtype is None:
        names = {v.name: k for k, v in dt.ALIASES.items()} | {"uint8": "byte", "int8": "char", "bool": "bool", "bfloat16": "bFloat16"}
        n = names[self._layout.dtype.name]
        return f"dlgrad.{n[0].upper() + n[1:]}Tensor"
    if isinstance(dtype, str):
        key = dtype.split(".")[-1].removesuffix("Tensor").lower()
        dtype = {**dt.NAMES, **dt.ALIASES, "byte": dt.uint8, "char": dt.int8}.get(key)
        if dtype is None:
            raise ValueError(f"type(): invalid type: {key!r}")
    return to_dtype(self, getattr(dtype, "dtype", dtype))


@method
def type_as(self, other):
    """This tensor in the dtype of `other`."""
    return to_dtype(self, other._layout.dtype)


@method
def cpu(self, memory_format=None):
    """This tensor: it is on the CPU."""
    return self


@method
def cuda(self, *args, **kwargs):
    """Raises RuntimeError: dlgrad computes on the CPU."""
    raise RuntimeError("cuda(): dlgrad computes on the CPU only; leave the call out, or use .to(device) with device='cpu'")


# ---------------------------------------------------------------------- back to Python


def _numbers(x):
    """All elements as a flat list of Python numbers."""
    lay = x._layout
    if not lay.numel:
        return []
    if lay.dtype is dt.bfloat16:
        x = to_dtype(x.detach(), dt.float32)
    x = x.detach().contiguous()
    lay = x._layout
    return list(struct.unpack(f"={lay.numel}{lay.dtype.format}", ffi.buffer(x._ptr, lay.nbytes)))


@method
def item(self):
    """The single element as a Python number. Raises RuntimeError for more or fewer elements."""
    lay = self._layout
    if lay.numel != 1:
        raise RuntimeError(f"item(): a Tensor with {lay.numel} elements (shape {list(lay.shape)}) cannot be converted to Scalar")
    fmt = lay.dtype.format
    if fmt is None:
        return _numbers(self)[0]
    return struct.unpack(fmt, ffi.buffer(self._ptr, lay.dtype.itemsize))[0]


@method
def tolist(self):
    """Nested lists of Python numbers (a number for a 0-d tensor)."""
    shape = self._layout.shape
    flat = _numbers(self)
    if not shape:
        return flat[0]
    for n in reversed(shape[1:]):
        flat = [flat[i : i + n] for i in range(0, len(flat), n)] if n else [[] for _ in range(math.prod(shape[: shape.index(0)]))]
        if not n:
            return _empty_lists(shape)
    return flat


def _empty_lists(shape):
    return [] if not shape or shape[0] == 0 else [_empty_lists(shape[1:]) for _ in range(shape[0])]


# ---------------------------------------------------------------------- in place


@method
def fill_(self, value):
    """Writes the number (or the 0-d tensor's value) into all elements."""
    if isinstance(value, Tensor):
        if value._layout.ndim:
            raise RuntimeError(f"fill_(): only supports 0-dimension value tensor but got tensor with {value._layout.ndim} dimensions")
        return self.copy_(value.expand(tuple(self._layout.shape)))
    if not is_scalar(value):
        raise TypeError(f"fill_(): argument 'value' must be Number, not {type(value).__name__}")
    value = as_number(value)
    return _write(self, "fill_", lambda t: fill_with(t, value, "fill_"))


@method
def zero_(self):
    """Writes zeros."""
    return _write(self, "zero_", lambda t: fill_with(t, 0, "zero_"))


def _write(t, name, write):
    """A write of constants into `t`, by `write(t)`: in the graph, `t` becomes a constant."""
    from ..autograd.mode import mode

    check_inplace(name, t)
    check_writable(name, t)
    if mode.enabled and t.requires_grad:
        constant = lambda x: record(write(empty_like(x)), "ZeroBackward0", zeros_like, (x,))  # noqa: E731
        return replace_history(name, t, constant)
    write(t)
    return t


@method
def copy_(self, src, non_blocking=False):
    """Writes `src` (broadcast to this shape, converted to this dtype) over this tensor."""
    from ..autograd.mode import mode

    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'src' must be Tensor, not {type(src).__name__}")
    check_inplace("copy_", self)
    check_writable("copy_", self)
    if src is self:
        return self
    shape = tuple(self._layout.shape)
    if tuple(src._layout.shape) != shape:
        extra = src._layout.ndim - len(shape)
        if extra > 0 and tuple(src._layout.shape[:extra]) == (1,) * extra:
            src = src.reshape(tuple(src._layout.shape[extra:]))
        src = src.expand(shape)
    if mode.enabled and (self.requires_grad or src.requires_grad) and self._layout.dtype.is_floating_point:
        d = self._layout.dtype
        return replace_history("copy_", self, lambda _: src.to(d) if src._layout.dtype is not d else src.clone(),
                               reads=False)  # fmt: skip
    copy_into(self, src)
    return self


@method
def set_(self, source=None):
    """Makes this tensor hold the memory of `source`."""
    source = source if source is not None else empty(0, dtype=self._layout.dtype)
    self.data = source
    return self


@method
def resize_(self, *sizes, memory_format=None):
    """Another shape in place: the elements that fit stay, new ones are not initialised."""
    shape = _sizes("resize_", sizes)
    if self.requires_grad:
        raise RuntimeError("resize_(): cannot resize variables that require grad")
    lay = row_major_layout(self._layout.dtype, shape)
    if lay.nbytes + self._offset() > self._storage.nbytes:
        storage = allocate(lay.nbytes, f"resize_ to {list(shape)}")
        keep = min(self._storage.nbytes - self._offset(), lay.nbytes)
        if keep > 0:
            ffi.memmove(storage.ptr, self._ptr, keep)
        self._storage, self._ptr = storage, storage.ptr
    self._layout = lay
    return self


@method
def resize_as_(self, other, memory_format=None):
    """`resize_` to the shape of `other`."""
    return self.resize_(tuple(other._layout.shape))


# ---------------------------------------------------------------------- copies by Python


def reduce_tensor(t):
    """How a tensor is pickled: dtype, shape, bytes, and whether it requires a gradient."""
    if t.grad_fn is not None:
        import pickle

        raise pickle.PicklingError("only leaf tensors can be pickled; take .detach() of this one")
    d = t.detach().contiguous()
    raw = bytes(ffi.buffer(d._ptr, d._layout.nbytes)) if d._layout.numel else b""
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
        raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment")
    d = t.detach()
    new = empty_like(d) if not d._layout.contiguous else new_tensor(d._layout)
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


def clone_storage(storage: Storage) -> Storage:
    """A copy of the memory."""
    new = allocate(storage.nbytes, "a copy")
    ffi.memmove(new.ptr, storage.ptr, storage.nbytes)
    return new


__all__ = ["layout"]
