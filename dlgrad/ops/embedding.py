"""Rows of a table by index, and the sparse gradient that goes back to them."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import Layout, contiguous
from .gather import index_positions, index_tensor
from .ternary import where


class _Lookup:
    """The rows of a table of a certain layout, by indices of a certain layout."""

    __slots__ = ("plan", "shape", "skip", "by_frequency")

    def __init__(self, index, weight, padding_idx, scale_grad_by_freq):
        self.plan = None
        if type(index) is type(weight) is Layout:  # not under vmap
            out = contiguous(weight.dtype, (*index.shape, *weight.shape[1:]))
            self.plan = door.make_plan("index", "index", (out,), (weight, index), (1, 0, 0), name="index")
        self.shape = weight.shape
        v = self.shape[0]
        self.skip = -1 if padding_idx is None else padding_idx % v if v else -1
        self.by_frequency = scale_grad_by_freq

    def run(self, index, weight):
        if self.plan is None:
            rows = index_positions(weight, (index,), 0, False, index._layout.shape)
        else:
            rows = door.run(self.plan, weight, index)
        if mode.enabled and weight._requires_grad:
            record(rows, "EmbeddingBackward0", self.rule, (weight,), (index,))
        return rows

    def rule(self, g, index):
        v, skip = self.shape[0], self.skip
        if self.by_frequency:
            flat = index.reshape(-1)
            counts = door.call("index", "embedding_backward", contiguous(dt.float32, (v,)), (flat, _ones(flat)), ints=(-1,))
            counts = counts.index_select(0, flat).reshape(index._layout.shape)
            g = g / counts.unsqueeze(-1).to(g._layout.dtype)
        like = contiguous(g._layout.dtype, tuple(self.shape))
        out = door.call("index", "embedding_backward", like, (index, g), ints=(skip,))

        def again(gg, index):
            picked = embedding(index, gg)
            return picked if skip < 0 else where((index == skip).unsqueeze(-1), 0.0, picked)

        return record(out, "EmbeddingDenseBackwardBackward0", again, (g,), (index,))


_ready: dict = {}  # layouts and options -> a _Lookup


def known(indices, weight, padding_idx, scale_grad_by_freq):
    """`embedding` where a call with these layouts has been checked before; else None."""
    try:
        found = _ready.get((indices._layout, weight._layout, padding_idx, scale_grad_by_freq))
    except (AttributeError, TypeError):  # not tensors
        return None
    return None if found is None else found.run(indices, weight)


def embedding(indices, weight, padding_idx=None, scale_grad_by_freq=False):
    """weight[indices]: indices of any shape, weight (V, D). The row `padding_idx` gets no gradient.

    Raises IndexError for an index outside of 0 .. V - 1."""
    index = index_tensor("embedding", indices)
    lookup = _Lookup(index._layout, weight._layout, padding_idx, bool(scale_grad_by_freq))
    if lookup.plan is not None:
        door.remember(_ready, (index._layout, weight._layout, padding_idx, scale_grad_by_freq), lookup)
    return lookup.run(index, weight)


def _ones(flat):
    from .create import ones

    return ones(tuple(flat._layout.shape), dtype=dt.float32)
