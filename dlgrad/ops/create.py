"""Tensors of a shape (zeros, full, empty ...) and of a rule (arange, linspace, eye)."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from .._native import native
from ..batched import each_member, per_member, with_room
from ..layout import MAX_NUMEL, Layout
from ..layout import contiguous as row_major_layout
from ..layout import layout as make_layout
from ..plan import make_plan, remember, run, write
from ..storage import Storage, _alloc, allocate
from ..tensor import Tensor, make_tensor, method  # noqa: N812
from ..tensor import device as Device
from .complex_numbers import parts_of
from .elementwise import as_number, is_scalar, result_layout, scalar_dtype, whole_number
from .view import sizes_of
from .writing import write_out


def _check(op, dtype, device=None, layout=None, pin_memory=None):
    """The dtype to use (None: the default). Raises for another device."""
    if device is not None and not isinstance(device, Device):
        Device(device)
    if dtype is None:
        return dt.get_default_dtype()
    if not isinstance(dtype, dt.dtype):
        raise TypeError(
            f"{op}(): argument 'dtype' must be dlgrad.dtype, not {type(dtype).__name__} ({dtype!r})"
        )
    return dtype


def _sizes(op, size):
    shape = sizes_of(size, op)
    n = 1
    for s in shape:
        if s < 0:
            raise RuntimeError(
                f"{op}(): Trying to create tensor with negative dimension {s}: {list(shape)}"
            )
        n *= s
    if n > MAX_NUMEL // 16:
        raise RuntimeError(
            f"{op}(): shape {list(shape)} has {n} elements, more than any machine can hold"
        )
    return shape


def new_tensor(lay: Layout, op="empty") -> Tensor:
    """A tensor of this layout over new memory, not initialised."""
    nbytes = lay.span * lay.dtype.itemsize if type(lay) is Layout else lay.nbytes
    if native is not None and nbytes < 1 << 62:
        t = native["empty"](nbytes, lay)
        if t is not None:
            return t
    ptr = _alloc(nbytes) if nbytes < 1 << 62 else None
    if not ptr:
        allocate(nbytes, f"{op} of shape {list(lay.shape)}")  # raises
    return make_tensor(ptr, lay, Storage(ptr, nbytes))


def _finish(t, requires_grad):
    return t.requires_grad_() if requires_grad else t


# ---------------------------------------------------------------------- of a shape


def empty(
    *size,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    memory_format=None,
):
    """A tensor of this shape whose values are whatever the memory held."""
    if out is not None:
        return _fitted("empty", out, dtype, _sizes("empty", size))
    dtype = _check("empty", dtype, device)
    return _finish(new_tensor(row_major_layout(dtype, _sizes("empty", size))), requires_grad)


def empty_strided(
    size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """An uninitialised tensor with these sizes and strides."""
    lay = make_layout(
        _check("empty_strided", dtype, device), _sizes("empty_strided", (size,)), tuple(stride)
    )
    return _finish(new_tensor(lay, "empty_strided"), requires_grad)


def fill_with(t, value, op="fill_"):
    """Writes the number into all of `t` (no graph, no checks of leaves)."""
    d = t._layout.dtype
    if d.is_complex:
        value = complex(value)
        for part, number in zip(parts_of(t), (value.real, value.imag)):
            fill_with(part, number, op)
        return t
    if d.is_floating_point:
        kind, value = 0, float(value)
    else:
        kind, value = 1, (int(bool(value)) if d is dt.bool else whole_number(op, value, d))
        if not -(1 << 63) <= value < 1 << 63:
            raise RuntimeError(f"{op}: value cannot be converted to type {d.name} without overflow")
    door.call("fill", "fill", t._layout, (), ints=(kind,), scalars=(value,), into=t, name=op)
    return t


_fills_into: dict = {}  # layout -> plan


def fill_quickly(t, value):
    """`fill_with` for an int or a float, by a plan that is kept; False where that has to take a closer look."""
    lay = t._layout
    plan = _fills_into.get(lay)
    if plan is None:
        if type(lay) is not Layout or lay.dtype.is_complex or lay.dtype is dt.bool:
            return False
        kind = 0 if lay.dtype.is_floating_point else 1
        plan = make_plan("fill", "fill", (lay,), (), (kind,), name="fill_", into=True)
        plan.extra = int if kind else float
        remember(_fills_into, lay, plan)
    if plan.extra is int and not (type(value) is int and -(1 << 31) < value < 1 << 31):
        return False
    write(plan, t, plan.extra(value))
    return True


def _fitted(op, out, dtype, shape):
    """`out` in the shape of the result (without a warning). Raises RuntimeError where `dtype` is not its own."""
    if dtype is not None and out._layout.dtype is not dtype:
        raise RuntimeError(
            f"{op}(): dtype {dtype.name} does not match dtype of out parameter ({out._layout.dtype.name})"
        )
    return out.resize_(shape)


def _write_range(op, out, dtype, values):
    """Writes the numbers into `out`, in its own shape where that has as many elements."""
    if out._layout.numel == values._layout.numel:
        return write_out(
            op,
            _fitted(op, out, dtype, tuple(out._layout.shape)),
            values.reshape(tuple(out._layout.shape)),
        )
    shape = (
        out._layout.shape if op == "arange" else values._layout.shape
    )  # arange alone warns of a resize
    return write_out(op, _fitted(op, out, dtype, tuple(shape)), values)


_fills: dict = {}  # (operation, dtype, shape) -> plan
_default = dt.get_default_dtype
_FLOATS = (dt.float32, dt.float64)


def _fill_plan(op, dtype, shape):
    """A plan that makes a tensor filled with a number."""
    lay = row_major_layout(dtype, shape)
    kind = 0 if dtype.is_floating_point else 1
    plan = make_plan("fill", "fill", (lay,), (), (kind,), name=op)
    plan.extra = int if kind else float
    return remember(_fills, (op, dtype, shape), plan)


def _new_filled(value, shape, dtype, requires_grad=False, op="full"):
    """A tensor filled with a number that is known to fit the dtype."""
    plan = _fills.get((op, dtype, shape))
    if plan is None:
        plan = _fill_plan(op, dtype, shape)
    t = run(plan, plan.extra(value))
    return t.requires_grad_() if requires_grad else t


def _filled(op, value, size, out, dtype, device, requires_grad):
    if out is None and device is None:
        dtype = _default() if dtype is None else dtype
        shape = sizes_of(size, op)
        if (op, dtype, shape) in _fills and (
            type(value) is int and -1 < value < 2 or (type(value) is float and dtype in _FLOATS)
        ):
            return _new_filled(value, shape, dtype, requires_grad, op)
        if type(dtype) is dt.dtype and not dtype.is_complex:
            _fill_plan(op, dtype, _sizes(op, shape))
    if out is not None:
        return fill_with(_fitted(op, out, dtype, _sizes(op, size)), value, op)
    t = new_tensor(row_major_layout(_check(op, dtype, device), _sizes(op, size)), op)
    return _finish(fill_with(t, value, op), requires_grad)


def zeros(
    *size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """Zeros of this shape."""
    return _filled("zeros", 0, size, out, dtype, device, requires_grad)


def ones(
    *size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
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
        raise TypeError(
            f"full(): argument 'fill_value' must be Number, not {type(fill_value).__name__}"
        )
    fill_value = as_number(fill_value)
    if out is None:
        dtype = dtype or scalar_dtype(fill_value)
    return _filled("full", fill_value, (size,), out, dtype, device, requires_grad)


def _like_layout(op, input, dtype):
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    lay = input._layout
    return per_member(result_layout(dtype or lay.dtype, lay.shape, lay), lay)


def empty_like(
    input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Uninitialised, with the shape and (unless given) dtype of `input`."""
    if (
        type(input) is Tensor
        and dtype is None
        and input._layout.contiguous
        and type(input._layout) is Layout
    ):
        return _finish(
            new_tensor(row_major_layout(input._layout.dtype, input._layout.shape), "empty_like"),
            requires_grad,
        )
    return _finish(
        new_tensor(_like_layout("empty_like", input, dtype), "empty_like"), requires_grad
    )


def zeros_like(
    input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Zeros with the shape and (unless given) dtype of `input`."""
    return _like("zeros_like", input, 0, dtype, requires_grad)


def ones_like(
    input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Ones with the shape and (unless given) dtype of `input`."""
    return _like("ones_like", input, 1, dtype, requires_grad)


def _like(op, input, value, dtype, requires_grad):
    if type(input) is Tensor and dtype is None:
        lay = input._layout
        if lay.contiguous and type(lay) is Layout and not lay.dtype.is_complex:
            return _new_filled(value, lay.shape, lay.dtype, requires_grad, op)
    return _finish(fill_with(new_tensor(_like_layout(op, input, dtype), op), value), requires_grad)


def full_like(
    input,
    fill_value,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
):
    """`fill_value` with the shape and (unless given) dtype of `input`."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _finish(
        fill_with(new_tensor(_like_layout("full_like", input, dtype), "full_like"), value),
        requires_grad,
    )


def scalar_tensor(s, *, dtype=None, layout=None, device=None, requires_grad=False):
    """A 0-d tensor holding the number."""
    t = new_tensor(row_major_layout(_check("scalar_tensor", dtype, device), ()))
    return _finish(fill_with(t, s, "scalar_tensor"), requires_grad)


def _new_method(name, maker):
    def f(self, *size, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
        new = maker(*size, dtype=dtype or self._layout.dtype, device=device)
        return _finish(with_room(new, self), requires_grad)

    f.__doc__ = f"`{maker.__name__}` with this tensor's dtype unless another is given."
    f.__name__ = name
    method(f)


_new_method("new_empty", empty)
_new_method("new_zeros", zeros)
_new_method("new_ones", ones)


@method
def new_full(self, size, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False):
    """`full` with this tensor's dtype unless another is given."""
    lay = self._layout
    if (
        type(fill_value) is float
        and dtype is None
        and device is None
        and type(size) is tuple
        and type(lay) is Layout
        and lay.dtype in _FLOATS
    ):
        return _new_filled(fill_value, _sizes("new_full", size), lay.dtype, requires_grad)
    new = full(size, fill_value, dtype=dtype or self._layout.dtype, device=device)
    return _finish(with_room(new, self), requires_grad)


@method
def new_empty_strided(self, size, stride, *, dtype=None, device=None, requires_grad=False):
    """`empty_strided` with this tensor's dtype unless another is given."""
    return empty_strided(
        size, stride, dtype=dtype or self._layout.dtype, requires_grad=requires_grad
    )


# ---------------------------------------------------------------------- of a rule


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


def arange(
    start=0,
    end=None,
    step=1,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
):
    """start, start + step, ... before end. int64 if all are integers, else the default dtype."""
    if end is None:
        start, end = 0, start
    if (
        dtype is None
        and out is None
        and device is None
        and type(start) is type(end) is type(step) is int
        and step
    ):
        n = len(range(start, end, step))
        if n and abs(start) < 1 << 62 and abs(end) < 1 << 62:
            return _arange(n, start, step, dt.int64, requires_grad)
    start, end, step = (
        _number("arange", n, v) for n, v in (("start", start), ("end", end), ("step", step))
    )
    if dtype is None and out is None:
        dtype = (
            dt.int64
            if all(isinstance(v, int) for v in (start, end, step))
            else dt.get_default_dtype()
        )
    dtype = out._layout.dtype if dtype is None else _check("arange", dtype, device)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange(): unsupported range: {start} -> {end}")
    if step == 0 or step != step:
        raise RuntimeError(f"arange(): step must be nonzero, got {step}")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError(
            f"arange(): upper bound and lower bound inconsistent with step sign: {start} to {end} by {step}"
        )
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
    if not whole:
        start, step = float(start), float(step)
    if out is None:
        return _arange(n, start, step, dtype, requires_grad)
    return _write_range("arange", out, dtype, _arange(n, start, step, dtype))


_aranges: dict = {}  # (dtype, n) -> plan


def _arange(n, start, step, dtype, requires_grad=False):
    """n elements from these numbers, which are integers for integer dtypes, else floats."""
    plan = _aranges.get((dtype, n))
    if plan is None:
        whole = not dtype.is_floating_point
        lay = row_major_layout(dtype, (n,))
        plan = remember(
            _aranges, (dtype, n), make_plan("fill", "arange", (lay,), (), (int(whole),))
        )
    t = run(plan, start, step)
    return t.requires_grad_() if requires_grad else t


def range_(start=0, end=None, step=1, **kwargs):
    """`arange` with `end` included (kept for old programs)."""
    if end is None:
        start, end = 0, start
    return arange(start, end + step, step, **{"dtype": dt.get_default_dtype(), **kwargs})


@each_member
def linspace(
    start, end, steps, *, out=None, dtype=None, layout=None, device=None, requires_grad=False
):
    """`steps` evenly spaced values from start to end, both included."""
    if type(start) is Tensor or type(end) is Tensor:
        a, b = _plain_number(start), _plain_number(end)
        if a is not None and b is not None:
            return _linspace(a, b, steps, out=out, dtype=dtype, device=device, requires_grad=requires_grad)
    if out is None and type(steps) is int:
        plan = _linspaces.get((dt.get_default_dtype() if dtype is None else dtype, steps))
        a, b = _plain_number(start), _plain_number(end)
        if plan is not None and a is not None and b is not None:
            t = door.new_result(plan, plan.layout)
            door.write(plan, t, a, b)
            return _finish(t, requires_grad)
    if isinstance(steps, float) or not hasattr(steps, "__index__"):
        raise TypeError(f"linspace(): argument 'steps' must be int, not {type(steps).__name__}")
    steps = steps.__index__()
    if steps < 0:
        raise RuntimeError(f"linspace(): number of steps must be non-negative, got {steps}")
    for n, v in (("start", start), ("end", end)):
        if isinstance(v, Tensor) and v._layout.ndim:
            raise RuntimeError(
                f"linspace(): only supports 0-dimensional start and end tensors, but got {n} with {v._layout.ndim} dimensions"
            )
    start, end = _number("linspace", "start", start), _number("linspace", "end", end)
    if dtype is None and out is None and (isinstance(start, complex) or isinstance(end, complex)):
        dtype = dt.get_default_dtype().to_complex()
    dtype = (
        out._layout.dtype
        if dtype is None and out is not None
        else _check("linspace", dtype, device)
    )
    t = new_tensor(row_major_layout(dtype, _sizes("linspace", (steps,))), "linspace")
    if dtype.is_complex:
        start, end = complex(start), complex(end)
        for part, a, b in zip(parts_of(t), (start.real, start.imag), (end.real, end.imag)):
            door.call("fill", "linspace", part._layout, (), scalars=(a, b), into=part)
        return _finish(t, requires_grad) if out is None else _write_range("linspace", out, dtype, t)
    start, end = float(start), float(end)
    if not dtype.is_floating_point:
        start, end = float(int(start)), float(int(end))
    door.call("fill", "linspace", t._layout, (), scalars=(start, end), into=t)
    if dtype.is_floating_point and type(t._layout) is Layout:
        plan = door.make_plan("fill", "linspace", (t._layout,), ())
        door.remember(_linspaces, (dtype, steps), plan)
    return _finish(t, requires_grad) if out is None else _write_range("linspace", out, dtype, t)


_linspace = door.memo(linspace)
_linspaces: dict = {}  # plans by dtype and number of steps


def _plain_number(v):
    """A real number, or a tensor of one, as a float; None for anything else."""
    if type(v) is Tensor:
        if v._layout.ndim or type(v._layout) is not Layout:
            return None
        v = v.item()
    return float(v) if type(v) is float or type(v) is int else None


@each_member
def logspace(
    start,
    end,
    steps,
    base=10.0,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
):
    """base ** linspace(start, end, steps)."""
    if type(start) is Tensor or type(end) is Tensor:
        a, b = _plain_number(start), _plain_number(end)
        if a is not None and b is not None:
            return _logspace(a, b, steps, base, out=out, dtype=dtype, device=device, requires_grad=requires_grad)
    dtype = (
        out._layout.dtype
        if dtype is None and out is not None
        else _check("logspace", dtype, device)
    )
    if not dtype.is_floating_point:
        start, end = int(_number("logspace", "start", start)), int(_number("logspace", "end", end))
    t = (float(base) ** linspace(start, end, steps, dtype=dt.float64)).to(dtype)
    return _finish(t, requires_grad) if out is None else _write_range("logspace", out, dtype, t)


_logspace = door.memo(logspace)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Ones on the diagonal of an n x m matrix (m = n unless given), zeros elsewhere."""
    m = n if m is None else m
    for s, name in ((n, "n"), (m, "m")):
        if s < 0:
            raise RuntimeError(f"eye(): {name} must be greater or equal to 0, got {s}")
    t = new_tensor(row_major_layout(_check("eye", dtype, device), _sizes("eye", (n, m))), "eye")
    if t._layout.dtype.is_complex:
        fill_with(t, 0)
    ones_in = parts_of(t)[0] if t._layout.dtype.is_complex else t
    door.call("fill", "eye", ones_in._layout, (), into=ones_in)
    return (
        _finish(t, requires_grad)
        if out is None
        else write_out("eye", _fitted("eye", out, dtype, tuple(t._layout.shape)), t)
    )
