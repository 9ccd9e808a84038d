"""Rows of a table by index, and the sparse gradient that goes back to them."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous
from .gather import index_positions, index_tensor
from .ternary import where


def embedding(indices, weight, padding_idx=None, scale_grad_by_freq=False):
    """weight[indices]: indices of any shape, weight (V, D). The row `padding_idx` gets no gradient.

    Raises IndexError for an index outside of 0 .. V - 1."""
    index = index_tensor("embedding", indices)
    lay = weight._layout
    flat = index.reshape(-1)
    rows = index_positions(weight, (flat,), 0, False, (flat._layout.numel,))
    v = lay.shape[0]
    skip = -1 if padding_idx is None else padding_idx % v if v else -1

    def rule(g, flat):
        if scale_grad_by_freq:
            counts = door.call("index", "embedding_backward", contiguous(dt.float32, (v,)), (flat, _ones(flat)), ints=(-1,))
            g = g / counts.index_select(0, flat).unsqueeze(1).to(g._layout.dtype)
        return backward(g, flat)

    def backward(g, flat):
        out = door.call("index", "embedding_backward", contiguous(g._layout.dtype, tuple(lay.shape)), (flat, g), ints=(skip,))

        def again(gg, flat):
            picked = embedding(flat, gg)
            return picked if skip < 0 else where((flat == skip).unsqueeze(1), 0.0, picked)

        return record(out, "EmbeddingDenseBackwardBackward0", again, (g,), (flat,))

    record(rows, "EmbeddingBackward0", rule, (weight,), (flat,))
    return rows.reshape((*index._layout.shape, *lay.shape[1:]))


def _ones(flat):
    from .create import ones

    return ones(tuple(flat._layout.shape), dtype=dt.float32)
