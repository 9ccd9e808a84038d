"""Sums of a tensor and a product: addmm, baddbmm, addbmm, addmv, addr (beta input + alpha a b)."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, wants_grad
from ..layout import Layout, broadcast_shapes, contiguous
from ..tensor import make_tensor, method
from .elementwise import as_number, expanded, sum_to, write_out
from .matmul import (
    _by_transposed,
    _matrices,
    _need,
    _tensors,
    _transposed_by,
    linear,
    mv,
    outer,
)


def _number(name, dtype, v, what):
    v = as_number(v)
    if isinstance(v, float) and not (dtype.is_floating_point or dtype.is_complex):
        if name in ("addmm", "addr"):
            raise RuntimeError(
                f"{name}(): For integral input tensors, argument {what} must not be a floating point number, got {v}"
            )
        return int(v)  # the others of the family cut it off, as PyTorch's do
    return v


def _add_product(name, input, a, b, beta, alpha, out, shape):
    """beta input + alpha (a @ b), input broadcast to the product's shape."""
    d = a._layout.dtype
    beta, alpha = _number(name, d, beta, "beta"), _number(name, d, alpha, "alpha")
    if input._layout.dtype is not d:
        raise RuntimeError(
            f"{name}(): self and mat2 must have the same dtype, but got {input._layout.dtype.name} and {d.name}"
        )
    try:
        full = broadcast_shapes(input._layout.shape, shape, op=name)
    except RuntimeError:
        full = None
    if full is None or tuple(full) != tuple(shape):
        raise RuntimeError(
            f"{name}(): the input's shape {list(input.shape)} does not expand to the product's shape {list(shape)}"
        )
    if d.is_complex:
        product = _matrices(a, b, name) * alpha
        result = product if beta == 0 else input * beta + product
        return result if out is None else write_out(name, out, result)
    kind = float if d.is_floating_point else int
    c = make_tensor(input._ptr, expanded(input._layout, shape), input._storage)
    if d is dt.bool:
        raise RuntimeError(f"{name}(): not implemented for bool")
    if alpha == beta == 1:
        result = door.call(
            "matmul", "matmul_bias", contiguous(d, tuple(shape)), (c, a, b), name=name
        )
    else:
        result = door.call(
            "matmul",
            "matmul_acc",
            contiguous(d, tuple(shape)),
            (c, a, b),
            scalars=(kind(alpha), kind(beta)),
            name=name,
        )
    if input._requires_grad or a._requires_grad or b._requires_grad:
        rules = _sum_rules(name, input._layout.shape, beta, alpha)
        record(result, "AddmmBackward0", rules, (input, a, b), (a, b))
    return result if out is None else write_out(name, out, result)


def _sum_rules(name, before, beta=1, alpha=1):
    """The derivatives of beta input + alpha (a @ b), which keeps a and b."""

    def first(g, a, b):
        return sum_to(g if beta == 1 else g * beta, before)

    def left(g, a, b):
        r = _by_transposed(g, b) if b._layout.ndim == 2 else _matrices(g, b.mT, name)
        return r if alpha == 1 else r * alpha

    def right(g, a, b):
        r = _transposed_by(a, g) if a._layout.ndim == 2 else _matrices(a.mT, g, name)
        return r if alpha == 1 else r * alpha

    return first, left, right


def _sum_recipe(plan, choice):
    return "AddmmBackward0", _sum_rules(*plan.extra), (1, 2), -1


def _learn_sum(op, name, input, a, b, result):
    """Leaves the plan of input + a @ b with `op`."""
    lays = (input._layout, a._layout, b._layout)
    if any([type(lay) is not Layout for lay in lays]) or lays[1].dtype.is_complex:
        return
    wide = expanded(lays[0], result._layout.shape)
    plan = door.make_plan("matmul", "matmul_bias", (result._layout,), (wide, *lays[1:]), name=name)
    plan.extra = (name, lays[0].shape)
    door.learn(op, lays, plan)


def _plain_sum(beta, alpha, out):
    return out is None and type(beta) is type(alpha) is int and beta == alpha == 1


def _fits(name, a, b):
    if a._layout.shape[-1] != b._layout.shape[-2]:
        raise RuntimeError(
            f"{name}(): mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, a.shape))} and {'x'.join(map(str, b.shape))})"
        )


def _two_batches(name, batch1, batch2):
    _tensors(name, batch1, batch2)
    _need(name, batch1, 3, "batch1")
    _need(name, batch2, 3, "batch2")
    _fits(name, batch1, batch2)
    if batch1._layout.shape[0] != batch2._layout.shape[0]:
        raise RuntimeError(
            f"{name}(): batch1 and batch2 must have same number of batches, got {batch1.shape[0]} and {batch2.shape[0]}"
        )


@method
def addmm(input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """beta input + alpha (mat1 @ mat2)."""
    if _plain_sum(beta, alpha, out):
        return _addmm(input, mat1, mat2)
    return _addmm_checked(input, mat1, mat2, beta, alpha, out)


def _addmm_checked(input, mat1, mat2, beta=1, alpha=1, out=None):
    _tensors("addmm", mat1, mat2)
    _tensors("addmm", input)
    _need("addmm", mat1, 2, "mat1")
    _need("addmm", mat2, 2, "mat2")
    _fits("addmm", mat1, mat2)
    shape = (mat1._layout.shape[0], mat2._layout.shape[1])
    result = _add_product("addmm", input, mat1, mat2, beta, alpha, out, shape)
    if _plain_sum(beta, alpha, out):
        _learn_sum(_addmm, "addmm", input, mat1, mat2, result)
    return result


_addmm = door.quick(_addmm_checked, _sum_recipe, 3)


@method
def _addmm_activation(input, mat1, mat2, *, beta=1, alpha=1, use_gelu=False, out=None):
    """relu, or gelu (by erf), of beta input + alpha (mat1 @ mat2)."""
    result = None
    if not use_gelu and _plain_sum(beta, alpha, out):
        result = _ended_by_relu("matmul_bias", addmm, (input, mat1, mat2))
    if result is None:
        from .unary import gelu, relu

        result = addmm(input, mat1, mat2, beta=beta, alpha=alpha)
        result = gelu(result) if use_gelu else relu(result)
    return result if out is None else write_out("_addmm_activation", out, result)


def linear_relu(input, weight, bias):
    """relu(linear(input, weight, bias)) as one product, or None where that can't be (`_ended_by_relu`)."""
    return _ended_by_relu("linear", linear, (input, weight, bias))


_relu_plans: dict = {}


def _ended_by_relu(row, function, inputs):
    """relu(function(*inputs)) by the row of products that `function` uses.

    None of what is recorded, and of dtypes and shapes that this row does not take."""
    if wants_grad(*inputs):
        return None
    layouts = tuple([None if t is None else t._layout for t in inputs])
    plan = _relu_plans.get((row, layouts))
    if plan is None:
        if not all(lay is None or (type(lay) is Layout and lay.dtype in _ENDED) for lay in layouts):
            return None
        out = function(*inputs)._layout  # raises what there is to raise
        given, ints = layouts, ()
        if row == "matmul_bias":
            given = (expanded(layouts[0], out.shape), *layouts[1:])
        elif layouts[1].ndim != 2 or not (layouts[2] is None or layouts[2].ndim == 1):
            return None
        else:
            ints = (int(layouts[2] is not None),)
        plan = door.make_plan("matmul", row, (out,), given, (*ints, 1), name=row)
        door.remember(_relu_plans, (row, layouts), plan)
    return door.run(plan, *inputs)


_ENDED = (dt.float32, dt.float64)


@method
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta input + alpha (batch1 @ batch2), batch by batch."""
    if _plain_sum(beta, alpha, out):
        return _baddbmm(input, batch1, batch2)
    return _baddbmm_checked(input, batch1, batch2, beta, alpha, out)


def _baddbmm_checked(input, batch1, batch2, beta=1, alpha=1, out=None):
    _two_batches("baddbmm", batch1, batch2)
    shape = (batch1._layout.shape[0], batch1._layout.shape[1], batch2._layout.shape[2])
    result = _add_product("baddbmm", input, batch1, batch2, beta, alpha, out, shape)
    if _plain_sum(beta, alpha, out):
        _learn_sum(_baddbmm, "baddbmm", input, batch1, batch2, result)
    return result


_baddbmm = door.quick(_baddbmm_checked, _sum_recipe, 3)


@method
def addbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta input + alpha times the sum of the batches' products."""
    _two_batches("addbmm", batch1, batch2)
    n, p = batch1._layout.shape[1], batch2._layout.shape[2]
    rows = batch2._layout.shape[0] * batch2._layout.shape[1]
    left = batch1.permute(1, 0, 2).reshape((n, rows))
    right = batch2.reshape((rows, p))
    return _add_product("addbmm", input, left, right, beta, alpha, out, (n, p))


@method
def addmv(input, mat, vec, *, beta=1, alpha=1, out=None):
    """beta input + alpha (mat @ vec)."""
    _tensors("addmv", mat, vec)
    _need("addmv", mat, 2, "mat")
    _need("addmv", vec, 1, "vec")
    if mat._layout.shape[1] != vec._layout.shape[0]:
        raise RuntimeError(
            f"addmv(): size mismatch, got input ({mat.shape[0]}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    d = mat._layout.dtype
    beta, alpha = _number("addmv", d, beta, "beta"), _number("addmv", d, alpha, "alpha")
    product = mv(mat, vec)
    product = product if alpha == 1 else product * alpha
    result = product if beta == 0 else (input if beta == 1 else input * beta) + product
    if tuple(result._layout.shape) != (mat._layout.shape[0],):
        raise RuntimeError(
            f"addmv(): the input's shape {list(input.shape)} does not expand to [{mat.shape[0]}]"
        )
    return result if out is None else write_out("addmv", out, result)


@method
def addr(input, vec1, vec2, *, beta=1, alpha=1, out=None):
    """beta input + alpha (vec1 outer vec2); with bool tensors `or` and `and`."""
    result = outer(vec1, vec2)
    if input._layout.dtype is dt.bool and result._layout.dtype is dt.bool:
        beta, alpha = bool(beta), bool(alpha)
    result = result if alpha == 1 else result * alpha
    result = result if beta == 0 else (input if beta == 1 else input * beta) + result
    return result if out is None else write_out("addr", out, result)
