"""Dropout, forward and backward in one pass each."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..batched import different_among, levels, same_among
from ..layout import alike, contiguous, layout
from ..random import block_of
from ..storage import Storage
from ..tensor import Tensor, make_tensor
from ._draw import (
    permutation,
    permuted,
    plans,
)
from .create import new_tensor, ones
from .elementwise import result_layout


def dropout(input, p=0.5, train=True):
    """In training, zeroes elements with probability `p` and scales the others by 1 / (1 - p)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"dropout(): argument 'input' must be Tensor, not {type(input).__name__}")
    p = float(p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not train or input._layout.numel == 0:
        return input
    if p == 1:
        return input * 0.0
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(
            f"dropout(): result type Float can't be cast to {input._layout.dtype.name}; dropout "
            "takes floating point tensors"
        )
    keep = 1 - p
    if levels.stack:
        lay = input._layout
        if same_among(lay):
            return input * dropout(ones(tuple(lay.shape), dtype=lay.dtype), p)
        input = different_among(input)
    lay = input._layout
    key = ("dropout", lay, keep)
    plan = plans.get(key) or _dropout_plan(key, lay, keep)
    order, dense, mask_layout = plan.extra
    mask = new_tensor(mask_layout, "dropout")
    ptr = door.run3(plan.handle, mask._ptr, block_of(None)._ptr, input._ptr)
    if not ptr:
        plan.fail(input)
    result = _as_ordered(ptr, dense, order)
    return record(
        result, "DropoutBackward0", lambda g, mask: _masked(g, mask, keep, order), (input,), (mask,)
    )


def _dropout_plan(key, lay, keep):
    """The plan for inputs of this layout. Its results lie in the order of the input's memory.

    extra: the dimensions in that order, the row-major layout of that order, the mask's."""
    order = permutation(result_layout(lay.dtype, lay.shape, lay))
    source = _ordered(lay, order)
    dense, mask = contiguous(lay.dtype, tuple(source.shape)), contiguous(dt.bool, tuple(source.shape))
    plan = door.make_plan(
        "random", "dropout", (dense, mask), (block_of(None)._layout, source), floats=(keep,)
    )
    plan.extra = (order, *door.results_of(plan, (dense, mask)))
    return door.remember(plans, key, plan)


def _backward_plan(key, lay, mask, keep, order):
    """The plan for gradients of this layout. extra: the row-major layout in the mask's order."""
    source = _ordered(lay, order)
    dense = contiguous(lay.dtype, tuple(source.shape))
    plan = door.make_plan("random", "dropout_backward", (dense,), (mask, source), floats=(keep,))
    plan.extra = door.results_of(plan, (dense,))[0]
    return door.remember(plans, key, plan)


def _ordered(lay, order):
    """`lay` with its dimensions in this order (None: as it is)."""
    source = lay
    if order is not None:
        source = alike(lay, layout(
            lay.dtype, tuple(lay.shape[d] for d in order), tuple(lay.strides[d] for d in order)
        ))
    return source


def _as_ordered(ptr, dense, order):
    """The tensor over a new result whose dimensions lie in memory in this order."""
    t = make_tensor(ptr, dense, Storage(ptr, dense.nbytes))
    return t if order is None else permuted(t, _inverse(order))


def _inverse(order):
    inverse = [0] * len(order)
    for i, d in enumerate(order):
        inverse[d] = i
    return tuple(inverse)


def _masked(g, mask, keep, order):
    """The gradient `g` where `mask` kept the element, over `keep`. Linear in g: its derivative is
    itself."""
    lay = g._layout
    key = ("dropout_backward", lay, mask._layout, keep, order)
    plan = plans.get(key) or _backward_plan(key, lay, mask._layout, keep, order)
    ptr = door.run2(plan.handle, mask._ptr, g._ptr)
    if not ptr:
        plan.fail(g)
    result = _as_ordered(ptr, plan.extra, order)
    return record(
        result,
        "DropoutBackwardBackward0",
        lambda h, mask: _masked(h, mask, keep, order),
        (g,),
        (mask,),
    )
