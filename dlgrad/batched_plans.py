"""Plans for batched layouts (batched.py): the row's own plan over the whole batch, or its plan for one
member, repeated. `plan.make_plan` comes here when it meets a batched layout."""

from __future__ import annotations

import struct

from ._lib import ffi, lib
from ._native import native
from .batched import hidden_of, logical, physical, room, sizes_of
from .layout import Layout, layout
from .plan import Plan, raise_failure
from .plan import make_plan as plain_plan

__all__ = ["BatchedPlan", "RULES", "make_plan"]


def make_plan(family, row, outputs, inputs, ints, floats, name, into=False):
    """`plan.make_plan` where some layouts are batched.

    into: the outputs are there already; raises RuntimeError where they have no room for the batch of
    the inputs. Else new ones are described, with the batch's dimensions outermost."""
    sizes = sizes_of((*outputs, *inputs))
    if into:
        for lay in outputs:
            if lay is not None and (
                len(hidden_of(lay)) < len(sizes) or any(h[2] == 0 and h[1] > 1 for h in lay.hidden)
            ):
                raise no_room(name or row)
        outs = tuple(outputs)
    else:
        outs = tuple(None if lay is None else room(logical(lay), sizes) for lay in outputs)
    rule = RULES.get((family, row)) or RULES.get(family)
    found = rule and rule(sizes, outs, inputs, ints)
    if found:
        plan = _whole(family, row, outs, found, floats, name)
        if plan is not None:
            return plan
    return _repeated(family, row, outs, inputs, ints, floats, name, sizes)


def no_room(name):
    """The error for a write of a batch into a tensor that is not one."""
    return RuntimeError(
        f"vmap: inplace arithmetic({name}) is not possible because a tensor that it reads is batched and the tensor that "
        "is written to is not (it was made outside of vmap, or by a function such as zeros()). Use the out-of-place form, "
        "or make the tensor with new_zeros() or zeros_like() of a batched one"
    )


class BatchedPlan(Plan):
    """A plan for batched layouts. inner: the plan that it runs, or is."""

    __slots__ = ("inner",)

    def __new__(cls, handle, outs, inner):
        first = outs[0] if outs else None
        self = Plan.__new__(cls, handle, first, inner.name, outs, handle != inner.handle)
        self.inner = inner
        return self


def _whole(family, row, outs, found, floats, name):
    """The row's plan over the whole batch, or None where there is no kernel for so many dimensions."""
    physical_outs, physical_inputs, ints = found
    try:
        inner = plain_plan(family, row, physical_outs, physical_inputs, ints, floats, name)
    except RuntimeError:
        return None
    return BatchedPlan(inner.handle, outs, inner)


def _repeated(family, row, outs, inputs, ints, floats, name, sizes):
    """The row's plan for one member, over all of them."""
    inner = plain_plan(
        family, row, tuple(map(logical, outs)), tuple(map(logical, inputs)), ints, floats, name
    )
    steps = []
    for lay in (*outs, *inputs):
        have = {} if lay is None else hidden_of(lay)
        steps += [have[n][1] * lay.dtype.itemsize if n in have else 0 for n in sizes]
    numbers = [outs[0].nbytes if outs and outs[0] is not None else 0, *sizes.values(), *steps]
    packed = struct.pack(f"={len(numbers)}q", *numbers)
    handle = lib.dlgrad_plan_repeat(
        ffi.cast("dlgrad_plan *", inner.handle), ffi.cast("int64_t *", ffi.from_buffer(packed)), len(sizes)
    )
    if not handle:
        raise_failure(inner.name, outs, inputs)
    if native is not None:
        handle = int(ffi.cast("uintptr_t", handle))
    return BatchedPlan(handle, outs, inner)


# ---------------------------------------------------------------------- rules
#
# rule(sizes, outs, inputs, ints) -> (outputs, inputs, ints) of one plan over the whole batch, or None.


def _leading(sizes, outs, inputs, ints):
    """Rows that go element by element, or whose dimensions are counted from the back."""
    return tuple(physical(o, sizes) for o in outs), tuple(physical(i, sizes) for i in inputs), ints


def _leading_dims(sizes, outs, inputs, ints):
    """Rows whose ints are dimensions."""
    if inputs[0].ndim == 0:
        return None
    outs, inputs, _ = _leading(sizes, outs, inputs, ints)
    return outs, inputs, tuple(d + len(sizes) for d in ints)


def _leading_dim(sizes, outs, inputs, ints):
    """Rows whose first int is a dimension."""
    found = _leading_dims(sizes, outs, inputs, ints[:1])
    return found and (*found[:2], (*found[2], *ints[1:]))


def _folded(lay, sizes, dims=1):
    """The batch's dimensions and the first `dims` as one, where they lie in one piece; else None."""
    whole = physical(lay, sizes)
    n = len(sizes) + dims
    shape, strides = whole.shape[:n], whole.strides[:n]
    count, stride = 1, None
    for s, st in reversed(list(zip(shape, strides))):
        if s == 1:
            continue
        if stride is None:
            stride = st
        elif st != stride * count:
            return None
        count *= s
    if 0 in shape:
        return None
    return layout(
        whole.dtype,
        (count, *whole.shape[n:]),
        (1 if stride is None else stride, *whole.strides[n:]),
    )


def _matmul(sizes, outs, inputs, ints):
    """(..., m, k) @ (..., k, n): one product of all rows where the right side is the same for all members,
    else a batch of products."""
    a, b = inputs
    out = outs[0]
    if a.ndim == 2 and type(b) is Layout:
        rows, into = _folded(a, sizes), _folded(out, sizes)
        if rows is not None and into is not None:
            return (into,), (rows, b), ints
    return _leading(sizes, outs, inputs, ints)


def _linear(sizes, outs, inputs, ints):
    x, w, bias = inputs
    if type(w) is not Layout or (bias is not None and type(bias) is not Layout):
        return None
    return (physical(outs[0], sizes),), (physical(x, sizes), w, bias), ints


def _images(sizes, outs, inputs, ints):
    """Convolutions whose weight is the same for all members: the batch joins the images."""
    x, w, *bias = inputs
    if type(w) is not Layout or any(b is not None and type(b) is not Layout for b in bias):
        return None
    return _rows(sizes, outs, (x,), ints, (w, *bias))


def _rows(sizes, outs, inputs, ints, shared=()):
    """Rows whose first dimension counts independent parts."""
    folded = [
        None if lay is None else _folded(lay, sizes) if lay.ndim else None
        for lay in (*outs, *inputs)
    ]
    if any(f is None and lay is not None for f, lay in zip(folded, (*outs, *inputs))):
        return None
    return tuple(folded[: len(outs)]), (*folded[len(outs) :], *shared), ints


def _normalized(sizes, outs, inputs, ints):
    """layer_norm and its like: x (rows..., normalized...), weight and bias the same for all members."""
    x, *shared = inputs
    if any(s is not None and type(s) is not Layout for s in shared) or any(o is None for o in outs):
        return None
    return tuple(physical(o, sizes) for o in outs), (physical(x, sizes), *shared), ints


def _images_alike(sizes, outs, inputs, ints):
    """group_norm: x (N, C, ...), weight and bias the same for all members."""
    x, *shared = inputs
    if any(s is not None and type(s) is not Layout for s in shared):
        return None
    return _rows(sizes, outs, (x,), ints, tuple(shared))


def _drawn(sizes, outs, inputs, ints):
    """Random rows that go element by element: all numbers are drawn in the order of memory."""
    if any(o is not None and not physical(o, sizes).contiguous for o in outs):
        return None
    block, *extra = inputs
    if block.dtype.name != "uint8":  # dropout_backward
        return _leading(sizes, outs, inputs, ints)
    return (
        tuple(physical(o, sizes) for o in outs),
        (block, *[physical(e, sizes) for e in extra]),
        ints,
    )


RULES = {
    "unary": _leading, "binary": _leading, "ternary": _leading, "special": _leading, ("cast", "copy"): _leading, ("fill", "fill"): _leading,
    "reduce": _leading_dims, "scan": _leading_dim, "softmax": _leading_dims,
    ("matmul", "matmul"): _matmul, ("matmul", "linear"): _linear,
    ("conv", "conv"): _images, ("conv", "conv_grad_input"): _images,
    "pool": _leading, ("norm", "layer_norm"): _normalized, ("norm", "rms_norm"): _normalized, ("norm", "group_norm"): _images_alike,
    **{("random", row): _drawn for row in (
        "uniform", "normal", "random_range", "random_full", "random", "bernoulli", "bernoulli_tensor", "exponential", "geometric",
        "cauchy", "log_normal", "dropout", "dropout_backward", "rand", "randn",
    )},
}  # fmt: skip
