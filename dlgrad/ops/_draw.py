"""From the random functions to the kernels of zig/ops/random.zig.

A tensor that isn't contiguous is filled in the order of its memory, as in PyTorch.
"""

from __future__ import annotations

from .. import plan as door
from .._lib import ffi, lib
from ..batched import check_drawn, drawn, levels
from ..layout import Layout, alike, contiguous, layout
from ..random import block_of
from ..tensor import Tensor, make_tensor
from .create import _check, _sizes, new_tensor
from .elementwise import _dense
from .writing import check_writable, copy_into

# Plans that take no scalars, by (row, layouts ...).
plans: dict = {}


def permutation(lay):
    """The dimensions in the order of memory, outermost first, or None for a contiguous layout."""
    if lay.contiguous:
        return None
    order = sorted(reversed(range(lay.ndim)), key=lambda d: lay.strides[d])
    return tuple(reversed(order))


def permuted(t, order):
    """`t` with its dimensions in this order, outside of any graph."""
    lay = t._layout
    shape, strides = tuple(lay.shape[d] for d in order), tuple(lay.strides[d] for d in order)
    return make_tensor(t._ptr, alike(lay, layout(lay.dtype, shape, strides)), t._storage)


def _plain(scalars):
    """Whether `draw` may keep a plan: for no scalars, floats, or two ints."""
    kinds = set(map(type, scalars))
    return not kinds or (kinds == {float} and len(scalars) < 3) or (kinds == {int} and len(scalars) == 2)


def draw(t, row, scalars=(), generator=None, extra=None, ints=()):
    """Fills `t` by `row`. extra: a further operand, of t's shape."""
    plan = plans.get((row, t._layout, ints)) if extra is None and not levels.stack else None
    if plan is not None:
        door.write(plan, t, block_of(generator), *scalars)
        return t
    if not t._layout.contiguous:
        check_writable(f"{row}_", t)
    block = block_of(generator)
    if levels.stack:
        check_drawn(t._layout)
    order = permutation(t._layout)
    if order is None:
        inputs = (block,) if extra is None else (block, extra)
        if extra is None and type(t._layout) is Layout and _plain(scalars):
            plan = door.make_plan("random", row, (t._layout,), (block._layout,), ints, name=row, into=True)
            door.remember(plans, (row, t._layout, ints), plan)
        door.call("random", row, t._layout, inputs, ints=ints, scalars=scalars, into=t, name=row)
        return t
    inputs = (block,) if extra is None else (block, permuted(extra, order))
    inner = permuted(t, order)
    if _dense(t._layout):
        door.call(
            "random", row, inner._layout, inputs, ints=ints, scalars=scalars, into=inner, name=row
        )
        return t
    buffer = new_tensor(contiguous(inner._layout.dtype, tuple(inner._layout.shape)), row)
    door.call(
        "random", row, buffer._layout, inputs, ints=ints, scalars=scalars, into=buffer, name=row
    )
    copy_into(inner, buffer)
    return t


def check_floating(name, lay):
    if not lay.dtype.is_floating_point:
        raise RuntimeError(
            f"{name}(): not implemented for {lay.dtype.name}: it fills floating point tensors"
        )


def failure_detail():
    """What the kernel said of the last failure: three numbers."""
    out = ffi.new("int64_t[4]")
    lib.dlgrad_error(out)
    return out[0], (out[1], out[2], out[3])


def named_numbers(name, values, names, keywords):
    """Positional or keyword numbers under PyTorch's names, one of which ('from') Python
    reserves."""
    values = list(values)
    for key, value in keywords.items():
        if key not in names or values[names.index(key)] is not None:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        values[names.index(key)] = value
    return values


def new_filled(op, size, dtype, device, out):
    """The tensor to fill: `out`, or a new one."""
    shape = _sizes(op, size)
    if out is None:
        lay = contiguous(_check(op, dtype, device), shape)
        return new_tensor(drawn(lay) if levels.stack else lay, op)
    if dtype is not None and out._layout.dtype is not dtype:
        raise RuntimeError(
            f"{op}(): dtype {dtype.name} does not match that of out ({out._layout.dtype.name})"
        )
    return out.resize_(shape)


def new_drawn(shape, dtype):
    """The tensor to fill inside of an operation."""
    return new_tensor(drawn(contiguous(dtype, tuple(shape))), "empty")


def as_integer(op, name, value):
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}(): argument '{name}' must be int, not {type(value).__name__}")
    return value.__index__()
