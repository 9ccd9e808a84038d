"""Rows whose plan keeps the numbers they take, and fused backward rows: each is one plan call."""

from __future__ import annotations

from ..autograd.graph import Node, edge_of, save
from ..autograd.mode import mode
from ..layout import expanded
from ..plan import make_plan, remember, run_plan, write_plan
from .elementwise import result_layout
from .writing import write_directly

_plans: dict = {}  # row -> {(layouts, numbers, ints): plan}
_names: dict = {}


def _numbers(dtype, numbers):
    """The numbers as parameters of a plan, (ints, floats): in the type that the row computes in. No -0.0, which a
    plan for 0.0 would be found for."""
    if dtype.is_floating_point:
        return (), tuple([float(v) + 0.0 for v in numbers])
    return (0, *[int(v) for v in numbers]), ()


def apply(name, x, numbers, rule=None, row=None, ints=(), family="unary", out=None, keep=True):
    """A row of one input and some numbers. rule: its derivative, from the gradient, x (None unless `keep`) and the numbers.
    Straight into `out` where that is possible: what is returned is then `out`."""
    lay, row = x._layout, row or name
    plans = _plans.get(row)
    if plans is None:
        plans = _plans[row] = {}
    plan = plans.get((lay, numbers, ints))
    if plan is None:
        fixed, floats = _numbers(lay.dtype, numbers)
        plan = make_plan(family, row, (result_layout(lay.dtype, lay.shape, lay),), (lay,), ints or fixed, floats, name)
        remember(plans, (lay, numbers, ints), plan)
    if out is not None and write_directly(plan, out, x):
        return out
    result = run_plan(plan, (x,))
    if x._requires_grad and rule is not None and mode.enabled:
        edge = edge_of(x)
        if edge is not None:
            result._grad_fn = Node(_node_name(name), (edge,), rule, *save((x if keep else None, numbers)))
            result._requires_grad = True
    return result


def apply_into(name, x, numbers, row=None):
    """The same written over x, outside of the graph."""
    lay, row = x._layout, row or name
    plans = _plans.get(row)
    if plans is None:
        plans = _plans[row] = {}
    plan = plans.get(("into", lay, numbers))
    if plan is None:
        ints, floats = _numbers(lay.dtype, numbers)
        plan = make_plan("unary", row, (lay,), (lay,), ints, floats, name + "_", into=True)
        remember(plans, ("into", lay, numbers), plan)
    write_plan(plan, x, (x,))
    return x


def _node_name(name):
    found = _names.get(name)
    if found is None:
        found = _names[name] = "".join(w.capitalize() for w in name.split("_")) + "Backward0"
    return found


def plain(g):
    """Whether a derivative may be a fused row: of real numbers, and no graph of the backward pass is wanted."""
    return not mode.enabled and not g._layout.dtype.is_complex


def fused(row, tensors, numbers=(), like=1):
    """A row of zig/ops/binary.zig or ternary.zig that takes numbers of one dtype, which broadcast, outside of the graph:
    for derivatives where no graph of the backward pass is wanted. like: the input that the result lies in memory as."""
    plans = _plans.get(row)
    if plans is None:
        plans = _plans[row] = {}
    lays = tuple([t._layout for t in tensors])
    plan = plans.get((lays, numbers))
    if plan is None:
        shape = _common_shape(lays)
        out = result_layout(lays[0].dtype, shape, *lays[like:])
        inputs = tuple([lay if lay.shape == shape else expanded(lay, shape) for lay in lays])
        family = "binary" if len(lays) == 2 else "ternary"
        if out.dtype.is_floating_point:
            plan = make_plan(family, row, (out,), inputs, floats=tuple([float(v) for v in numbers]))
        else:
            plan = make_plan(family, row, (out,), inputs, (0, *numbers))
        remember(plans, (lays, numbers), plan)
    return run_plan(plan, tensors)


def _common_shape(lays):
    from ..layout import broadcast_shapes

    shape = lays[0].shape
    if all([lay.shape == shape for lay in lays]):
        return shape
    return broadcast_shapes(*[lay.shape for lay in lays])
