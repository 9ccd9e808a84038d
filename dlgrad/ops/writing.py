"""Writing into a tensor that is there: `out=`, in-place operations, and what both must not do.

Memory shared between what is read and what is written is refused where PyTorch refuses it. A write that
autograd has to follow goes through `replace_history`: the tensor gets the history of its new value, and so
does the base of a view.
"""

from __future__ import annotations

import warnings

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import Node, edge_of, record, save
from ..autograd.mode import mode
from ..layout import broadcast_shapes, expanded
from ..plan import make_plan, remember, write_plan
from ..tensor import Tensor, make_tensor

# ---------------------------------------------------------------------- what must not be written to


def check_writable(name, t):
    """Raises RuntimeError where elements of `t` share memory, so that a write to it means nothing."""
    lay = t._layout
    if lay.numel and any(st == 0 and s > 1 for s, st in zip(lay.shape, lay.strides)):
        raise RuntimeError(
            f"{name}: unsupported operation: more than one element of the written-to tensor (shape {list(lay.shape)}, "
            "expanded) refers to a single memory location. Please clone() the tensor before performing the operation"
        )


def check_apart(name, written, *read):
    """Raises RuntimeError where a tensor that is read lies in the memory that is written to. What is no Tensor, and
    what has gaps (so that the bytes of one may lie between those of the other), passes, as in PyTorch."""
    for t in read:
        if not isinstance(t, Tensor) or t._storage is not written._storage:
            continue
        a, b = written._layout, t._layout
        if t is not written:
            if not (a.span == a.numel and b.span == b.numel and a.numel and b.numel):
                continue
            start = t._ptr - written._ptr
            if start >= a.nbytes or -start >= b.nbytes:
                continue
        raise RuntimeError(
            f"{name}: unsupported operation: some elements of the input tensor (shape {list(b.shape)}) and the written-to "
            f"tensor (shape {list(a.shape)}) refer to a single memory location. Please clone() the tensor before performing "
            "the operation"
        )


# The operations whose `out` must have the result's dtype: PyTorch casts for the others.
_EXACT = frozenset(
    "addmm addmv amax amin aminmax baddbmm bitwise_not bmm bucketize ceil cross cummax cummin diag dot eye float_power floor "
    "frac inner kthvalue linalg.cross linalg.multi_dot linalg.vecdot linalg.vector_norm log_softmax logcumsumexp "
    "masked_select matmul median mm multi_dot multinomial mv nan_to_num neg nonzero norm quantile round searchsorted sign "
    "softmax sort take tensordot topk tril triu trunc vecdot vector_norm".split()
)


@door.memo
def write_out(name, out, result, *, exact=False, apart=()):
    """The `out=` form: copies `result` into `out`, which is resized to its shape if it has another.

    exact: `out` must have the result's dtype. apart: the inputs whose memory must not be that of `out`."""
    if isinstance(out, (tuple, list)) and isinstance(result, tuple):
        if len(out) != len(result):
            raise TypeError(f"{name}(): out= takes {len(result)} tensors, got {len(out)}")
        done = [write_out(name, o, r, exact=exact, apart=apart) for o, r in zip(out, result)]
        return type(result)(*done) if hasattr(result, "_fields") else tuple(done)
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if mode.enabled and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad"
        )
    have, want = result._layout.dtype, out._layout.dtype
    if (exact or name in _EXACT) and have is not want:
        raise RuntimeError(
            f"{name}(): Expected out tensor to have dtype {have.name}, but got {want.name} instead"
        )
    if not dt.can_cast(have, want):
        raise RuntimeError(
            f"{name}(): result type {have.name} can't be cast to the desired output type {want.name}"
        )
    check_writable(name, out)
    check_apart(name, out, *apart)
    if out._layout.shape != result._layout.shape:
        resize_out(out, tuple(result._layout.shape))
    copy_into(out, result)
    return out


def write_directly(plan, out, *inputs):
    """Runs an elementwise plan (None: there is none) of these inputs straight into `out`, where that is laid out as the
    result and lies apart from them (or is one of them), and autograd does not care. Returns whether it did."""
    if plan is None or not isinstance(out, Tensor) or plan.layout is not out._layout or not quiet(out, *inputs):
        return False
    for t in inputs:
        if not apart(out, t):
            return False
    door.write(plan, out, *inputs)
    return True


def write_with_number(row, out, input, number):
    """Runs an elementwise row of floats and a number straight into `out`, where that is laid out as `input` and lies
    apart from it (or is it), and autograd does not care. Returns whether it did."""
    if type(number) not in (float, int) or not isinstance(out, Tensor) or not isinstance(input, Tensor):
        return False
    lay = out._layout
    if lay is not input._layout or not lay.dtype.is_floating_point or 0 in lay.strides:
        return False
    if not quiet(out, input) or not apart(out, input):
        return False
    plan = _inplace_plan(row, input, (number,))
    if plan is None:
        return False
    write_plan(plan, out, (input,), (float(number),))
    return True


def resize_out(out, shape):
    """Gives `out` the result's shape, with PyTorch's warning where it had elements of its own."""
    if out._layout.numel:
        door.not_again()
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out._layout.shape)}, which does not "
            f"match the required output shape {list(shape)}. Reuse an out tensor t by resizing it, in place, to zero "
            "elements with t.resize_(0)",
            UserWarning,
            stacklevel=4,
        )
    out.resize_(shape)


# ---------------------------------------------------------------------- the writes


def copy_into(out, source):
    """Writes `source` (of out's shape, or broadcast to it) over `out`, and counts its version up."""
    lay = source._layout
    if lay.shape != out._layout.shape:
        lay = expanded(lay, out._layout.shape)
        source = make_tensor(source._ptr, lay, source._storage)
    if source._storage is out._storage and not (
        lay is out._layout and source._offset() == out._offset()
    ):
        source = source.clone()  # it may overlap
    if source._layout.dtype.is_complex is not out._layout.dtype.is_complex:
        source = source.detach().to(out._layout.dtype)
    door.call("cast", "copy", out._layout, (source,), into=out, name="copy_")


def unrecorded(t):
    """Whether autograd does not care about a write to `t`."""
    if t._view is None:
        return not t._requires_grad or not mode.enabled
    return (t._requires_grad is not True and not t._view._requires_grad and t._view_mode is None) or not mode.enabled


def check_inplace(name, t):
    """Raises RuntimeError for a write that autograd cannot follow."""
    if not mode.enabled:
        return
    if t._view is not None:
        if t._view_mode == "function" and t.requires_grad:
            raise RuntimeError(
                f"{name}: Output of a custom Function is a view (or an input returned as-is) and is being modified "
                "inplace, which would override the Function's backward; clone() the output of the Function"
            )
        if t._view_mode is not None and t._view.requires_grad:
            raise RuntimeError(
                f"{name}: a view created in no_grad mode (or by an operation that returns several views) and its base "
                "that requires grad cannot be modified in-place with grad mode enabled; use the out-of-place form"
            )
        base = t._view
        if base._requires_grad is True and base._grad_fn is None:
            raise RuntimeError(
                f"{name}: a view of a leaf Variable that requires grad is being used in an in-place operation."
            )
    elif t._requires_grad and t._grad_fn is None:
        raise RuntimeError(
            f"{name}: a leaf Variable that requires grad is being used in an in-place operation."
        )


def quiet(t, *others):
    """Whether a write into `t` of what is made of the others needs neither autograd's checks nor a record."""
    if not unrecorded(t):
        return False
    for other in others:
        if isinstance(other, Tensor) and other._requires_grad and mode.enabled:
            return False
    return True


def write_inplace(name, t, row, args, kwargs):
    """The in-place form of a row: t.row_(*args)."""
    if not kwargs:  # a plan that was made before: the checks were, too
        if not args:
            other, key = t, ("into", t._layout)
        else:
            other = args[0]
            kind = type(other)
            number = kind is float or kind is int
            key = ("into", t._layout, kind if number else getattr(other, "_layout", None))
        plan = row.plans.get(key)
        if plan is not None and unrecorded(t):
            if not args:
                write_plan(plan, t, (t,))
                return t
            if number:
                if plan.extra is None or plan.extra[0] <= other <= plan.extra[1]:
                    write_plan(plan, t, (t,), (float(other) if t._layout.dtype.is_floating_point else other,))
                    return t
            elif not (mode.enabled and other._requires_grad) and apart(t, other):
                write_plan(plan, t, (t, other))
                return t
    check_inplace(name, t)
    check_writable(name, t)
    op = row.op if not kwargs else row.function
    if not (
        mode.enabled
        and (
            t.requires_grad
            or any(isinstance(a, Tensor) and a.requires_grad for a in (*args, *kwargs.values()))
        )
    ):
        before = mode.enabled
        mode.enabled = False
        try:
            if not kwargs and _write_directly(row, t, args):
                return t
            return store(name, t, op(t, *args, **kwargs))
        finally:
            mode.enabled = before
    if not kwargs and _record_directly(name, row, t, args):
        return t
    return replace_history(name, t, lambda x: op(x, *args, **kwargs))


def apart(t, other):
    """Whether elements of `other` may be read while those of `t` are written, one by one."""
    return other._storage is not t._storage or (other._layout is t._layout and other._offset() == t._offset())


def _write_directly(row, t, args):
    """Computes straight into t's memory, where dtypes and shapes allow it."""
    if t._layout.dtype.is_complex and len(args) == 1 and type(args[0]) in (int, float, complex):
        from .elementwise import constant

        args = (constant(args[0], t._layout.dtype),)
    plan = _inplace_plan(row, t, args)
    if plan is None:
        return False
    if not args:
        write_plan(plan, t, (t,))
    elif isinstance(args[0], Tensor):
        write_plan(plan, t, (t, args[0]))
    else:
        write_plan(plan, t, (t,), (float(args[0]) if t._layout.dtype.is_floating_point else args[0],))
    return True


def _inplace_plan(row, t, args):
    """The plan for t.row_(*args), or None where that is computed beside t and copied."""
    lay = t._layout
    if lay.dtype.is_complex:
        if row.name not in ("add", "sub", "mul", "div") or not isinstance(args[0], Tensor):
            return None
    elif row.kind == "bool" or (row.kind == "float" and not lay.dtype.is_floating_point):
        return None
    if row.kind == "whole" and not lay.dtype.is_floating_point:
        return None
    if len(args) != row.arity - 1 or row.arity > 2:
        return None
    if not args:
        key, inputs, ints = ("into", lay), (lay,), ()
    elif isinstance(args[0], Tensor):
        b = args[0]
        if b._layout.dtype is not lay.dtype or not apart(t, b):
            return None
        key, inputs, ints = ("into", lay, b._layout), None, ()
    else:
        kind = type(args[0])
        if not (kind is int or (kind is float and lay.dtype.is_floating_point)) or lay.dtype is dt.bool:
            return None
        key, inputs, ints = ("into", lay, kind), (lay,), (1,)
        if not lay.dtype.is_floating_point and not _bounds(row, lay.dtype)[0] <= args[0] <= _bounds(row, lay.dtype)[1]:
            return None
    plan = row.plans.get(key)
    if plan is None:
        row.check(lay.dtype)
        if inputs is None:
            shape = broadcast_shapes(lay.shape, args[0]._layout.shape, op=row.name + "_")
            if shape != lay.shape:
                raise RuntimeError(
                    f"{row.name}_: output with shape {list(lay.shape)} doesn't match the broadcast shape {list(shape)}"
                )
            inputs = (lay, expanded(args[0]._layout, shape))
        family = "complex" if lay.dtype.is_complex and row.name in ("mul", "div") else row.family
        plan = make_plan(family, row.kernel, (lay,), inputs, ints, name=row.name + "_", into=True)
        if ints and not lay.dtype.is_floating_point:
            plan.extra = _bounds(row, lay.dtype)
        remember(row.plans, key, plan)
    return plan


def _bounds(row, dtype):
    """The whole numbers that may stand on the right of a tensor of this dtype."""
    info = dt.iinfo(dtype)
    return (info.min if row.whole_from is None else row.whole_from), info.max


def _record_directly(name, row, t, args):
    """t.row_(*args) in t's memory and in the graph, where no derivative needs the old value of `t`; False elsewhere."""
    if t._view is not None or row.arity > 2 or t._layout.dtype.is_complex or any(d is None for d in row.derivatives):
        return False
    if row.arity == 2 and args and isinstance(args[0], Tensor) and args[0]._layout.shape != t._layout.shape:
        return False
    old, edges = ("x" if row.arity == 1 else "a"), [edge_of(t)]
    edges += [edge_of(a) if isinstance(a, Tensor) else None for a in args]
    needs = [need for need, edge in zip(row.needs, edges) if edge is not None]
    gone = old if row.arity == 1 and row.name != "erfinv" else old + "y"  # PyTorch, too, keeps results of one input only
    if not needs or any(k in gone for need in needs for k in need):
        return False
    if args and args[0] is t or not _write_directly(row, t, args):
        return False
    kept = tuple([k for k in "by" if any(k in need for need in needs)])
    saved = tuple([args[0] if k == "b" else make_tensor(t._ptr, t._layout, t._storage) for k in kept])
    rules = tuple([
        None if edge is None else _chosen(rule, need, kept)
        for rule, need, edge in zip(row.derivatives, row.needs, edges)
    ])  # fmt: skip
    node = Node(row.node_name, tuple(edges), rules, *save(saved))
    if "y" in kept:
        node.own = kept.index("y")
    t._requires_grad, t._grad_fn = True, node
    _retain_anew(t)
    return True


def _chosen(rule, need, kept):
    """`rule` as a function of all that is kept."""
    at = [kept.index(k) for k in need]
    return lambda g, *saved: rule(g, *[saved[i] for i in at])


def _retain_anew(t):
    if t._retain and t._requires_grad:
        from ..autograd.graph import retain_grad

        retain_grad(t)


def store(name, t, result):
    """Writes the result of an in-place operation over `t`."""
    if result._layout.shape != t._layout.shape:
        raise RuntimeError(
            f"{name}: output with shape {list(t.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    if not dt.can_cast(result._layout.dtype, t._layout.dtype):
        raise RuntimeError(
            f"{name}: result type {result._layout.dtype.name} can't be cast to the desired output type {t._layout.dtype.name}"
        )
    copy_into(t, result)
    return t


def replace_history(name, t, compute, reads=True):
    """An in-place write that is recorded: `t` becomes compute(t), in its memory and in the graph.

    The new value is computed beside the old one, so that what its node saves of the old value is a copy
    that the write does not touch. reads: whether `compute` looks at the old value at all."""
    old = t.clone() if reads else make_tensor(t._ptr, t._layout, t._storage)
    result = compute(old)
    if result is old or result._storage is t._storage:
        result = result.clone()
    if result._layout.dtype is not t._layout.dtype and dt.can_cast(
        result._layout.dtype, t._layout.dtype
    ):
        result = result.to(t._layout.dtype)
    store(name, t, result)
    return settle(name, t, result)


def settle(name, t, result):
    """After `result` was written over `t`: the history of `t`, or of what it is a view of."""
    if t._view is not None:  # what it is a view of gets a new history, in which the viewed part is the result
        from .view_graph import scatter_view

        scatter_view(t._view, t, result)
        return t
    if not result.requires_grad:  # nothing of the past is left: its gradient is 0
        from .create import zeros_like

        record(result, name.title().replace("_", "") + "Backward0", zeros_like, (t,))
    t._requires_grad = result.requires_grad
    t._grad_fn = edge_of(result) if t._requires_grad else None
    _retain_anew(t)
    return t
