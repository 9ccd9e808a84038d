"""Operations of three inputs, element by element: where, masked_fill, addcmul, addcdiv, lerp."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import Layout, broadcast_shapes, contiguous
from ..storage import Storage
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


def expand_raw(t, shape):
    """`t` read as `shape`, outside of the graph."""
    if t._layout.shape == shape:
        return t
    return make_tensor(t._ptr, expanded(t._layout, shape), t._storage)


def _run(row, dtype, tensors, shape, scalars=(), ints=(), name=None):
    lays = [t._layout for t in tensors]
    out = result_layout(dtype, shape, *lays)
    return door.call(
        "ternary",
        row,
        out,
        tuple([expand_raw(t, shape) for t in tensors]),
        ints=ints,
        scalars=scalars,
        name=name,
    )


_wheres: dict = {}  # layouts of condition, input and other, of one shape -> plan


def _keep_where_plan(c, a, b):
    """A plan for the next `where` of these, if nothing about it needs a closer look."""
    if c.shape == a.shape == b.shape and a.dtype is b.dtype and c.dtype is dt.bool and not a.dtype.is_complex:
        if type(c) is type(a) is type(b) is Layout:
            out = result_layout(a.dtype, a.shape, c, a, b)
            door.remember(_wheres, (c, a, b), door.make_plan("ternary", "where", (out,), (c, a, b)))


def _chosen(c, t, number, side):
    """where() of a tensor and a number (side 1: the number first) that is no wider than the tensor; None for all else."""
    lay = t._layout
    if lay.dtype.is_floating_point:
        number = float(number)
    elif type(number) is not int or lay.dtype is not dt.int64 or not -(1 << 63) <= number < 1 << 63:
        return None
    key = c._layout, lay, side
    plan = _wheres.get(key)
    if plan is None:
        if c._layout.dtype is not dt.bool or type(lay) is not Layout or type(c._layout) is not Layout:
            return None
        out = result_layout(lay.dtype, lay.shape, c._layout, lay)
        plan = door.remember(_wheres, key, door.make_plan("ternary", "where", (out,), (c._layout, lay), (side,)))
    run = door.run2f if type(number) is float else door.run2i
    ptr = run(plan.handle, c._ptr, t._ptr, number)
    if not ptr:
        plan.fail(c, t)
    return make_tensor(ptr, plan.layout, Storage(ptr, plan.layout.nbytes))


def _where_true(g, c):
    return where(c, g, 0.0)


def _where_false(g, c):
    return where(c, 0.0, g)


def where(condition, input=None, other=None, *, out=None):
    """input where `condition` holds, else other; they broadcast. With the condition alone: its nonzero positions."""
    if type(condition) is Tensor and out is None and type(input) is Tensor and type(other) is Tensor:
        plan = _wheres.get((condition._layout, input._layout, other._layout))
        if plan is not None:
            ptr = door.run3(plan.handle, condition._ptr, input._ptr, other._ptr)
            if not ptr:
                plan.fail(condition, input, other)
            result = make_tensor(ptr, plan.layout, Storage(ptr, plan.layout.nbytes))
            if input._requires_grad or other._requires_grad:
                record(result, "WhereBackward0", (_where_true, _where_false), (input, other), (condition,))
            return result
        _keep_where_plan(condition._layout, input._layout, other._layout)
    elif type(condition) is Tensor and out is None and type(input) is Tensor and type(other) in (float, int):
        if condition._layout.shape == input._layout.shape and not input._requires_grad:
            result = _chosen(condition, input, other, 2)
            if result is not None:
                return result
    elif type(condition) is Tensor and out is None and type(other) is Tensor and type(input) in (float, int):
        if condition._layout.shape == other._layout.shape and not other._requires_grad:
            result = _chosen(condition, other, input, 1)
            if result is not None:
                return result
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
    if common.is_complex and len(tensors) < 2:
        input, other = to_tensor("where", input, common), to_tensor("where", other, common)
        tensors = [input, other]
    if len(tensors) == 2:
        a, b = input.to(common), other.to(common)
        result = _run("where", common, (condition, a, b), shape)
    elif len(tensors) == 1:
        left = isinstance(other, Tensor)  # the number is the first one
        t = tensors[0].to(common)
        number = fit_scalar("where", as_number(input if left else other), common)
        a, b = (None, t) if left else (t, None)
        result = _run("where", common, (condition, t), shape, (number,), (1 if left else 2,))
    else:
        a = b = None
        result = where(
            condition, to_tensor("where", input, common), to_tensor("where", other, common)
        )
    if any(t is not None and t._requires_grad for t in (a, b)):
        shapes = (None if a is None else a._layout.shape, None if b is None else b._layout.shape)
        record(result, "WhereBackward0",
               (lambda g, c: sum_to(where(c, g, 0.0), shapes[0]), lambda g, c: sum_to(where(c, 0.0, g), shapes[1])),
               (a, b), (condition,))  # fmt: skip
    return result if out is None else write_out("where", out, result, exact=True)


@method(names=("where",))
def _where_method(self, condition, y):
    """This tensor where `condition` holds, else y."""
    return where(condition, self, y)


_fills: dict = {}  # (layout, layout of the mask, whether in place) -> plan


def _fill_plan(lay, mask, inplace):
    """The plan of masked_fill with a number for these layouts, without broadcasting the input; None where it has to be
    looked at more closely."""
    if mask.dtype is not dt.bool or lay.dtype.is_complex or type(lay) is not Layout or type(mask) is not Layout:
        return None
    try:
        mask = expanded(mask, lay.shape)
    except RuntimeError:
        return None
    out = lay if inplace else result_layout(lay.dtype, lay.shape, mask, lay)
    return door.make_plan("ternary", "where", (out,), (mask, lay), (1,), name="masked_fill", into=inplace)


def _number_for(dtype, value):
    """The number for a plan of this dtype; None where it has to be looked at more closely."""
    if dtype.is_floating_point:
        return float(value)
    return value if type(value) is int and dtype is dt.int64 and -(1 << 63) <= value < 1 << 63 else None


def fill_masked(t, mask, value):
    """Writes the number into `t`, where `mask` holds. False where that takes more than a plan."""
    key = t._layout, mask._layout, True
    plan = _fills.get(key)
    if plan is None:
        plan = _fill_plan(*key)
        if plan is None:
            return False
        door.remember(_fills, key, plan)
    value = _number_for(t._layout.dtype, value)
    if value is None:
        return False
    run = door.intof if type(value) is float else door.intoi
    run(plan.handle, t._ptr, mask._ptr, t._ptr, value)
    t._storage.version += 1
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
            run = door.run2f if type(number) is float else door.run2i
            ptr = run(plan.handle, mask._ptr, input._ptr, number)
            if not ptr:
                plan.fail(input, mask)
            result = make_tensor(ptr, plan.layout, Storage(ptr, plan.layout.nbytes))
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
    result = _run(
        "where",
        d,
        (mask, input),
        shape,
        (fit_scalar("masked_fill", value, d),),
        (1,),
        name="masked_fill",
    )
    if input._requires_grad:
        before = input._layout.shape
        record(
            result,
            "MaskedFillBackward0",
            lambda g, m: sum_to(where(m, 0.0, g), before),
            (input,),
            (mask,),
        )
    return result


def _three(name, input, a, b):
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
        result = x + a * b * value
        return result if out is None else write_out("addcmul", out, result)
    result = _run("addcmul", common, (x, a, b), shape, (value,))
    sx, sa, sb = x._layout.shape, a._layout.shape, b._layout.shape
    record(result, "AddcmulBackward0",
           (lambda g, a, b: sum_to(g, sx), lambda g, a, b: sum_to(g * (b * value), sa), lambda g, a, b: sum_to(g * (a * value), sb)),
           (x, a, b), (a, b))  # fmt: skip
    return result if out is None else write_out("addcmul", out, result)


@method
def addcdiv(input, tensor1, tensor2, *, value=1, out=None):
    """input + value tensor1 / tensor2."""
    common, shape, x, a, b = _three("addcdiv", input, tensor1, tensor2)
    if common.is_complex:
        result = x + a / b * value
        return result if out is None else write_out("addcdiv", out, result)
    if not common.is_floating_point:
        raise RuntimeError(
            "addcdiv(): integer division with addcdiv is not supported; convert an input to a floating point dtype"
        )
    value = float(value)
    result = _run("addcdiv", common, (x, a, b), shape, (value,))
    sx, sa, sb = x._layout.shape, a._layout.shape, b._layout.shape
    record(result, "AddcdivBackward0",
           (lambda g, a, b: sum_to(g, sx), lambda g, a, b: sum_to(g * (value / b), sa),
            lambda g, a, b: sum_to(-g * (a * value / (b * b)), sb)),
           (x, a, b), (a, b))  # fmt: skip
    return result if out is None else write_out("addcdiv", out, result)


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
        result = _run("lerp", d, (input, end, weight), shape)
        sw = weight._layout.shape
        record(result, "LerpBackward1",
               (lambda g, x, e, w: sum_to(g * (1 - w), sx), lambda g, x, e, w: sum_to(g * w, se),
                lambda g, x, e, w: sum_to(g * (e - x), sw)),
               (input, end, weight), (input, end, weight))  # fmt: skip
    else:
        w = float(weight)
        result = _run("lerp", d, (input, end), broadcast_shapes(sx, se, op="lerp"), (w,), (1,))
        record(
            result,
            "LerpBackward0",
            (lambda g: sum_to(g * (1 - w), sx), lambda g: sum_to(g * w, se)),
            (input, end),
        )
    return result if out is None else write_out("lerp", out, result)


__all__ = ["contiguous"]
