"""Rows of a table by index, and the sparse gradient that goes back to them."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, wants_grad
from ..layout import contiguous
from .gather import index_positions, index_tensor
from .ternary import where


def embedding(indices, weight, padding_idx=None, scale_grad_by_freq=False):
    """weight[indices]: indices of any shape, weight (V, D). The row `padding_idx` gets no gradient.

    Raises IndexError for an index outside of 0 .. V - 1."""
    index = index_tensor("embedding", indices)
    rows = index_positions(weight, (index,), 0, False, index._layout.shape)
    if not wants_grad(weight):
        return rows
    lay = weight._layout
    v = lay.shape[0]
    skip = -1 if padding_idx is None else padding_idx % v if v else -1

    def rule(g, index):
        if scale_grad_by_freq:
            flat = index.reshape(-1)
            counts = door.call("index", "embedding_backward", contiguous(dt.float32, (v,)), (flat, _ones(flat)), ints=(-1,))
            counts = counts.index_select(0, flat).reshape(index._layout.shape)
            g = g / counts.unsqueeze(-1).to(g._layout.dtype)
        out = door.call("index", "embedding_backward", contiguous(g._layout.dtype, tuple(lay.shape)), (index, g), ints=(skip,))

        def again(gg, index):
            picked = embedding(index, gg)
            return picked if skip < 0 else where((index == skip).unsqueeze(-1), 0.0, picked)

        return record(out, "EmbeddingDenseBackwardBackward0", again, (g,), (index,))

    return record(rows, "EmbeddingBackward0", rule, (weight,), (index,))


def _ones(flat):
    from .create import ones

    return ones(tuple(flat._layout.shape), dtype=dt.float32)
