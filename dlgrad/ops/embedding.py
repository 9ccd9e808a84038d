"""Rows of a table by index, and the sparse gradient that goes back to them."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import Layout, contiguous
from .gather import index_positions, index_select, index_tensor, repeat_interleave
from .joining import cat
from .ternary import where


class _Lookup:
    """The rows of a table of a certain layout, by indices of a certain layout."""

    is_constant = True
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
        return _spread(g, index, tuple(self.shape), skip)


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
    rows = known(indices, weight, padding_idx, scale_grad_by_freq)
    if rows is not None:
        return rows
    index = index_tensor("embedding", indices)
    lookup = _Lookup(index._layout, weight._layout, padding_idx, bool(scale_grad_by_freq))
    if lookup.plan is not None:
        door.remember(_ready, (index._layout, weight._layout, padding_idx, scale_grad_by_freq), lookup)
    return lookup.run(index, weight)


def _spread(g, flat, shape, skip):
    """The gradient of the table (of this shape) of which `g` is that of the rows `flat`; row `skip` gets none."""
    out = door.call("index", "embedding_backward", contiguous(g._layout.dtype, shape), (flat, g), ints=(skip,))

    def again(gg, flat):
        picked = embedding(flat, gg)
        return picked if skip < 0 else where((flat == skip).unsqueeze(-1), 0.0, picked)

    return record(out, "EmbeddingDenseBackwardBackward0", again, (g,), (flat,))


def bags(indices, weight, offsets, mean, padding_idx, shares, ends_given):
    """The sum (or mean) of the rows of each bag of `indices`, a vector; None where the kernel does not take it.

    offsets: where each bag begins (with ends_given: and the last one ends). shares: a factor of each row, which gets no
    gradient here."""
    lay, count = weight._layout, offsets._layout.numel - bool(ends_given)
    plain = all([type(t._layout) is Layout and t._layout.contiguous for t in (indices, weight, offsets)])
    if not plain or lay.dtype not in (dt.float32, dt.float64) or count < 0 or (shares is not None and shares._requires_grad):
        return None
    if indices._layout.dtype is not dt.int64 or offsets._layout.dtype is not dt.int64:
        return None
    if shares is not None and not (type(shares._layout) is Layout and shares._layout.contiguous and shares._layout.dtype is lay.dtype):
        return None
    skip = -1 if padding_idx is None else padding_idx
    out = contiguous(lay.dtype, (count, lay.shape[1]))
    ints = (skip, int(mean), int(ends_given))
    result = door.call("index", "bag", out, (weight, indices, offsets, shares), ints=ints, name="embedding_bag")

    def rule(g, flat, starts, shares):
        from .create import arange, full

        if ends_given:
            flat = flat[: int(starts[-1])]
            shares = None if shares is None else shares[: flat._layout.numel]
        else:
            starts = cat((starts, full((1,), flat._layout.numel, dtype=dt.int64)))
        bag_of = repeat_interleave(arange(count), starts[1:] - starts[:-1])
        if mean:
            kept = starts[1:] - starts[:-1]
            if skip >= 0:
                kept = kept - full((count,), 0, dtype=dt.int64).index_add(0, bag_of, (flat == skip).to(dt.int64))
            g = g / kept.clamp(min=1).to(lay.dtype).unsqueeze(1)
        rows = index_select(g, 0, bag_of)
        return _spread(rows if shares is None else rows * shares.unsqueeze(1), flat, tuple(lay.shape), skip)

    return record(result, "EmbeddingBagBackward0", rule, (weight,), (indices, offsets, shares))


def _ones(flat):
    from .create import ones

    return ones(tuple(flat._layout.shape), dtype=dt.float32)
