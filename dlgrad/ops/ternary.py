"""Operations of three inputs, element by element: where, masked_fill, addcmul, addcdiv, lerp."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import Layout, broadcast_shapes, contiguous
from ..plan import make_plan, remember, run_plan, write_plan
from ..tensor import Tensor, make_tensor, method
from .elementwise import (
    as_number,
    expanded,
    fit_scalar,
    is_scalar,
    result_layout,
    result_type,
    sum_to,
    to_tensor,
    write_out,  # fmt: skip
)
from .numbered import fused, plain
from .writing import apart, check_writable, write_directly


def expand_raw(t, shape):
    """`t` read as `shape`, outside of the graph."""
    if t._layout.shape == shape:
        return t
    return make_tensor(t._ptr, expanded(t._layout, shape), t._storage)


_plans: dict = {}
_slots: dict = {}


def _run(row, dtype, tensors, shape, numbers=(), form=0, name=None, out=None):
    """A row of zig/ops/ternary.zig on tensors that broadcast to `shape`; `form`: which operand is a number. Straight
    into `out` where that is possible: what is returned is then `out`."""
    plan = _plan(row, dtype, tensors, shape, numbers, form, name)
    if out is not None and write_directly(plan, out, *tensors):
        return out
    return run_plan(plan, tensors)


def _plan(row, dtype, tensors, shape, numbers, form, name=None):
    lays = tuple([t._layout for t in tensors])
    key = (row, dtype, lays, tuple([v or repr(v) for v in numbers]), form)  # -0.0 is not 0.0
    plan = _plans.get(key)
    if plan is None:
        floats = tuple([float(v) for v in numbers]) if dtype.is_floating_point else ()
        ints = () if dtype.is_floating_point else numbers
        inputs = tuple([lay if lay.shape == shape else expanded(lay, shape) for lay in lays])
        out = result_layout(dtype, shape, *inputs)
        plan = remember(_plans, key, make_plan("ternary", row, (out,), inputs, (form, *ints), floats, name))
    return plan


def run_into(row, t, tensors, number=0.0, form=0):
    """The same for floats of one dtype, written over `t`; False where they are not, or don't fit."""
    lays = tuple([x._layout for x in tensors])
    key = ("into", row, t._layout, lays, form)
    plan = _plans.get(key)
    if plan is None:
        lay = t._layout
        if not lay.dtype.is_floating_point or any([other.dtype is not lay.dtype for other in lays]):
            return False
        shape = broadcast_shapes(lay.shape, *[other.shape for other in lays], op=row + "_")
        if shape != lay.shape:
            return False
        check_writable(row + "_", t)
        inputs = (lay, *[expanded(other, shape) for other in lays])
        plan = remember(_plans, key, make_plan("ternary", row, (lay,), inputs, (form,), (), row + "_", into=True))
    if not all([apart(t, x) for x in tensors]):
        return False
    write_plan(plan, t, (t, *tensors), (float(number),))
    return True


def where(condition, input=None, other=None, *, out=None):
    """input where `condition` holds, else other; they broadcast. With the condition alone: its nonzero positions."""
    given = input, other
    key = _where_key(condition, input, other) if out is None else None
    plan = _slots.get(key)
    if plan is not None:
        tensors = [t for t in (condition, input, other) if isinstance(t, Tensor)]
        return _record_where(run_plan(plan, tensors), condition, input, other)
    if input is None and other is None:
        from .mask import nonzero

        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(
            f"where(): argument 'condition' must be Tensor, not {type(condition).__name__}"
        )
    if condition._layout.dtype not in (dt.bool, dt.uint8):
        raise RuntimeError(
            f"where(): expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    for v in (input, other):
        if not isinstance(v, Tensor) and not is_scalar(v):
            raise TypeError(f"where(): expected Tensors or numbers, got {type(v).__name__}")
    common = result_type(input, other)
    tensors = [v for v in (input, other) if isinstance(v, Tensor)]
    shape = broadcast_shapes(
        condition._layout.shape, *[t._layout.shape for t in tensors], op="where"
    )
    if len(tensors) == 0 or (common.is_complex and len(tensors) < 2):
        input, other = to_tensor("where", input, common), to_tensor("where", other, common)
        tensors = [input, other]
    a, b = [v.to(common) if isinstance(v, Tensor) else fit_scalar("where", as_number(v), common) for v in (input, other)]
    numbers = tuple([v for v in (a, b) if not isinstance(v, Tensor)])
    form = 0 if not numbers else 1 if isinstance(b, Tensor) else 2
    tensors = (condition, *[v for v in (a, b) if isinstance(v, Tensor)])
    shape = broadcast_shapes(shape, *[t._layout.shape for t in tensors], op="where")
    plan = _plan("where", common, tensors, shape, numbers, form)
    if key is not None and all([v is w if isinstance(w, Tensor) else not isinstance(v, Tensor) for v, w in zip((a, b), given)]):
        remember(_slots, key, plan)
    if out is not None and write_directly(plan, out, *tensors):
        return out
    result = _record_where(run_plan(plan, tensors), condition, a, b)
    return result if out is None else write_out("where", out, result, exact=True)


def _where_key(condition, a, b):
    """By what `where` knows a plan: the layouts, and a float for a float (whose -0.0 is not 0.0)."""
    try:
        kind = type(a)
        if kind is float:
            return condition._layout, a or repr(a), b._layout
        kind = type(b)
        if kind is float:
            return condition._layout, a._layout, b or repr(b)
        return condition._layout, a._layout, b._layout
    except AttributeError:
        return None


def _record_where(result, condition, a, b):
    if (isinstance(a, Tensor) and a._requires_grad) or (isinstance(b, Tensor) and b._requires_grad):
        shapes = tuple([t._layout.shape if isinstance(t, Tensor) else None for t in (a, b)])
        return record(result, "WhereBackward0", _WHERE_SLOPES, (a, b), (condition, shapes))
    return result


_WHERE_SLOPES = (
    lambda g, c, shapes: sum_to(where(c, g, 0.0), shapes[0]),
    lambda g, c, shapes: sum_to(where(c, 0.0, g), shapes[1]),
)


@method(names=("where",))
def _where_method(self, condition, y):
    """This tensor where `condition` holds, else y."""
    return where(condition, self, y)


_fills: dict = {}  # (layout, layout of the mask, whether in place) -> plan


def _fill_plan(lay, mask, inplace, value=None):
    """The plan of masked_fill with a number (or a tensor of layout `value`) for these layouts, without broadcasting the
    input; None where it has to be looked at more closely."""
    if mask.dtype is not dt.bool or lay.dtype.is_complex or type(lay) is not Layout or type(mask) is not Layout:
        return None
    if value is not None and (type(value) is not Layout or value.dtype is not lay.dtype):
        return None
    try:
        mask = expanded(mask, lay.shape)
        if value is not None:
            return door.make_plan("ternary", "where", (lay,), (mask, expanded(value, lay.shape), lay), (0,), name="masked_fill", into=True)
    except RuntimeError:
        return None
    out = lay if inplace else result_layout(lay.dtype, lay.shape, mask, lay)
    return door.make_plan("ternary", "where", (out,), (mask, lay), (1,), name="masked_fill", into=inplace)


def _number_for(dtype, value):
    """The number for a plan of this dtype; None where it has to be looked at more closely."""
    if dtype.is_floating_point:
        return float(value)
    if type(value) is not int:
        return None
    if dtype is dt.bool:
        return int(value != 0)
    info = dt.iinfo(dtype)
    return value if info.min <= value <= info.max else None


def fill_masked(t, mask, value):
    """Writes the number, or the elements of a tensor that is broadcast, into `t`, where `mask` holds. False where that takes
    more than a plan."""
    is_tensor = isinstance(value, Tensor)
    key = (t._layout, mask._layout, True, value._layout) if is_tensor else (t._layout, mask._layout, True)
    plan = _fills.get(key)
    if plan is None:
        plan = _fill_plan(*key)
        if plan is None:
            return False
        door.remember(_fills, key, plan)
    if is_tensor:
        door.write(plan, t, mask, value, t)
        return True
    value = _number_for(t._layout.dtype, value)
    if value is None:
        return False
    door.write(plan, t, mask, t, value)
    return True


@method
def masked_fill(input, mask, value):
    """`value` (a number or a 0-d tensor) where `mask` (bool, broadcast) holds, else the input."""
    kind = type(value)
    if (kind is float or kind is int) and type(mask) is Tensor:
        key = input._layout, mask._layout, False
        plan = _fills.get(key)
        if plan is None:
            plan = _fill_plan(*key)
            if plan is not None:
                door.remember(_fills, key, plan)
        number = None if plan is None else _number_for(input._layout.dtype, value)
        if number is not None:
            result = door.run(plan, mask, input, number)
            if input._requires_grad:
                record(result, "MaskedFillBackward0", lambda g, m: masked_fill(g, m, 0.0), (input,), (mask,))
            return result
    if not isinstance(mask, Tensor) or mask._layout.dtype is not dt.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise RuntimeError(
            f"masked_fill(): only supports boolean masks, but got mask with dtype {got}"
        )
    d = input._layout.dtype
    if isinstance(value, Tensor):
        if value._layout.ndim:
            raise RuntimeError(
                f"masked_fill(): only supports a 0-dimensional value tensor, but got tensor with {value._layout.ndim} dimension(s)"
            )
        if not dt.can_cast(value._layout.dtype, d):
            raise RuntimeError(
                f"masked_fill(): value of dtype {value.dtype} cannot be converted to {d.name}"
            )
        return where(mask, value.to(d), input)
    if not is_scalar(value):
        raise TypeError(
            f"masked_fill(): value must be a number or a 0-d tensor, not {type(value).__name__}"
        )
    value = as_number(value)
    if isinstance(value, float) and not (d.is_floating_point or d.is_complex):
        if value != value or abs(value) == float("inf"):
            raise RuntimeError(
                f"masked_fill(): value {value} cannot be converted to type {d.name} without overflow"
            )
        value = int(value)
    if d.is_complex:
        return where(mask, value, input)
    shape = broadcast_shapes(mask._layout.shape, input._layout.shape, op="masked_fill")
    result = _run("where", d, (mask, input), shape, (fit_scalar("masked_fill", value, d),), 1, "masked_fill")
    if input._requires_grad:
        record(result, "MaskedFillBackward0", _masked_fill_slope, (input,), (mask, input._layout.shape))
    return result


def _masked_fill_slope(g, mask, shape):
    return sum_to(where(mask, 0.0, g), shape)


def _three(name, input, a, b):
    try:
        first, second, third = input._layout, a._layout, b._layout
        if first is second is third and first.dtype.is_floating_point:
            return first.dtype, first.shape, input, a, b
    except AttributeError:
        pass
    for t in (input, a, b):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): expected Tensors, got {type(t).__name__}")
    common = result_type(input, a, b)
    shape = broadcast_shapes(input._layout.shape, a._layout.shape, b._layout.shape, op=name)
    return common, shape, input.to(common), a.to(common), b.to(common)


@method
def addcmul(input, tensor1, tensor2, *, value=1, out=None):
    """input + value tensor1 tensor2."""
    common, shape, x, a, b = _three("addcmul", input, tensor1, tensor2)
    value = fit_scalar("addcmul", as_number(value), common)
    if common.is_complex:
        result = x + (a * b if value == 1 else a * b * value)
        return result if out is None else write_out("addcmul", out, result)
    result = _run("addcmul", common, (x, a, b), shape, (value,), out=out)
    if result is out:
        return out
    if x._requires_grad or a._requires_grad or b._requires_grad:
        shapes = (x._layout.shape, a._layout.shape, b._layout.shape)
        record(result, "AddcmulBackward0", _ADDCMUL_SLOPES, (x, a, b), (a, b, value, shapes))
    return result if out is None else write_out("addcmul", out, result)


def _scaled_product(g, a, value):
    return fused("mul_scaled", (g, a), (value,)) if plain(g) else g * (a * value)


_ADDCMUL_SLOPES = (
    lambda g, a, b, value, shapes: sum_to(g, shapes[0]),
    lambda g, a, b, value, shapes: sum_to(_scaled_product(g, b, value), shapes[1]),
    lambda g, a, b, value, shapes: sum_to(_scaled_product(g, a, value), shapes[2]),
)


@method
def addcdiv(input, tensor1, tensor2, *, value=1, out=None):
    """input + value tensor1 / tensor2."""
    common, shape, x, a, b = _three("addcdiv", input, tensor1, tensor2)
    if common.is_complex:
        result = x + (a / b if value == 1 else a / b * value)
        return result if out is None else write_out("addcdiv", out, result)
    if not common.is_floating_point:
        raise RuntimeError(
            "addcdiv(): integer division with addcdiv is not supported; convert an input to a floating point dtype"
        )
    value = float(value)
    result = _run("addcdiv", common, (x, a, b), shape, (value,), out=out)
    if result is out:
        return out
    if x._requires_grad or a._requires_grad or b._requires_grad:
        shapes = (x._layout.shape, a._layout.shape, b._layout.shape)
        record(result, "AddcdivBackward0", _ADDCDIV_SLOPES, (x, a, b), (a, b, value, shapes))
    return result if out is None else write_out("addcdiv", out, result)


def _scaled_quotient(g, b, value):
    return fused("div_scaled", (g, b), (value,)) if plain(g) else g * (value / b)


_ADDCDIV_SLOPES = (
    lambda g, a, b, value, shapes: sum_to(g, shapes[0]),
    lambda g, a, b, value, shapes: sum_to(_scaled_quotient(g, b, value), shapes[1]),
    lambda g, a, b, value, shapes: sum_to(-g * (a * value / (b * b)), shapes[2]),
)


_LERP_SLOPES = (
    lambda g, w, sx, se: sum_to(g * (1 - w), sx),
    lambda g, w, sx, se: sum_to(g * w, se),
)


@method
def lerp(input, end, weight, *, out=None):
    """input + weight (end - input), from the nearer end."""
    for t in (input, end):
        if not isinstance(t, Tensor):
            raise TypeError(f"lerp(): expected Tensors, got {type(t).__name__}")
    if input._layout.dtype is not end._layout.dtype:
        raise RuntimeError(
            f"lerp(): expected dtype {input.dtype} for `end` but got dtype {end.dtype}"
        )
    d = input._layout.dtype
    if d.is_complex:
        result = input + (end - input) * weight
        return result if out is None else write_out("lerp", out, result)
    if not d.is_floating_point:
        raise RuntimeError(f"lerp(): not implemented for {d.name}")
    sx, se = input._layout.shape, end._layout.shape
    if isinstance(weight, Tensor):
        if weight._layout.dtype is not d:
            raise RuntimeError(
                f"lerp(): expected dtype {input.dtype} for `weight` but got dtype {weight.dtype}"
            )
        shape = broadcast_shapes(sx, se, weight._layout.shape, op="lerp")
        result = _run("lerp", d, (input, end, weight), shape, out=out)
        if result is out:
            return out
        sw = weight._layout.shape
        record(result, "LerpBackward1",
               (lambda g, x, e, w: sum_to(g * (1 - w), sx), lambda g, x, e, w: sum_to(g * w, se),
                lambda g, x, e, w: sum_to(g * (e - x), sw)),
               (input, end, weight), (input, end, weight))  # fmt: skip
    else:
        w = float(weight)
        shape = sx if sx == se else broadcast_shapes(sx, se, op="lerp")
        result = _run("lerp", d, (input, end), shape, (w,), 1, out=out)
        if result is out:
            return out
        if input._requires_grad or end._requires_grad:
            record(result, "LerpBackward0", _LERP_SLOPES, (input, end), (w, sx, se))
    return result if out is None else write_out("lerp", out, result)


# ---------------------------------------------------------------------- in place, outside of the graph


def addcmul_into(t, tensor1, tensor2, *, value=1):
    """t += value tensor1 tensor2, if one kernel can; else False."""
    return is_scalar(value) and _tensors(tensor1, tensor2) and run_into("addcmul", t, (tensor1, tensor2), value)


def addcdiv_into(t, tensor1, tensor2, *, value=1):
    """t += value tensor1 / tensor2, if one kernel can; else False."""
    return is_scalar(value) and _tensors(tensor1, tensor2) and run_into("addcdiv", t, (tensor1, tensor2), value)


def lerp_into(t, end, weight):
    """t += weight (end - t), if one kernel can; else False."""
    return is_scalar(weight) and _tensors(end) and run_into("lerp", t, (end,), weight, 1)


def _tensors(*values):
    return all([isinstance(v, Tensor) for v in values])


__all__ = ["contiguous"]
