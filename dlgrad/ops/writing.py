"""Writing into a tensor that is there: `out=`, in-place operations, and what both must not do.

Memory shared between what is read and what is written is refused where PyTorch refuses it. A write that
autograd has to follow goes through `replace_history`: the tensor gets the history of its new value, and so
does the base of a view.
"""

from __future__ import annotations

import warnings

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import edge_of
from ..autograd.mode import mode
from ..layout import broadcast_shapes, expanded
from ..plan import NULL, make_plan, remember
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


def resize_out(out, shape):
    """Gives `out` the result's shape, with PyTorch's warning where it had elements of its own."""
    if out._layout.numel:
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


def write_inplace(name, t, row, args, kwargs):
    """The in-place form of a row: t.row_(*args)."""
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
    return replace_history(name, t, lambda x: op(x, *args, **kwargs))


def _write_directly(row, t, args):
    """Computes straight into t's memory, where dtypes and shapes allow it."""
    lay = t._layout
    if row.kind == "bool" or (row.kind == "float" and not lay.dtype.is_floating_point) or lay.dtype.is_complex:
        return False
    if row.kind == "whole" and not lay.dtype.is_floating_point:
        return False
    if row.arity == 1 and not args:
        row.check(lay.dtype)
        key = ("into", lay)
        plan = row.plans.get(key) or remember(
            row.plans, key, make_plan(row.family, row.kernel, (lay,), (lay,), name=row.name + "_", into=True)
        )
        status = door.into(plan.handle, t._ptr, t._ptr, NULL, NULL)
        t._storage.version += 1
        if status:
            plan.fail(t)
        return True
    if row.arity != 2 or len(args) != 1 or not isinstance(args[0], Tensor):
        return False
    b = args[0]
    lb = b._layout
    if lb.dtype is not lay.dtype or (
        b._storage is t._storage and not (lb is lay and b._offset() == t._offset())
    ):
        return False
    key = ("into", lay, lb)
    plan = row.plans.get(key)
    if plan is None:
        row.check(lay.dtype)
        shape = broadcast_shapes(lay.shape, lb.shape, op=row.name + "_")
        if shape != lay.shape:
            raise RuntimeError(
                f"{row.name}_: output with shape {list(lay.shape)} doesn't match the broadcast shape {list(shape)}"
            )
        plan = make_plan(
            "binary", row.kernel, (lay,), (lay, expanded(lb, shape)), name=row.name + "_", into=True
        )
        remember(row.plans, key, plan)
    status = door.into(plan.handle, t._ptr, t._ptr, b._ptr, NULL)
    t._storage.version += 1
    if status:
        plan.fail(t, b)
    return True


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
    from .view_graph import scatter_view

    old = t.clone() if reads else make_tensor(t._ptr, t._layout, t._storage)
    result = compute(old)
    if result is old or result._storage is t._storage:
        result = result.clone()
    if result._layout.dtype is not t._layout.dtype and dt.can_cast(
        result._layout.dtype, t._layout.dtype
    ):
        result = result.to(t._layout.dtype)
    store(name, t, result)
    base = t._view
    if base is None:
        t._requires_grad = result.requires_grad
        t._grad_fn = edge_of(result) if t._requires_grad else None
        if t._retain and t._requires_grad:
            from ..autograd.graph import retain_grad

            retain_grad(t)
        return t
    # A write through a view: the base gets a new history, in which the viewed part is the result.
    scatter_view(base, t, result)
    return t
