"""Weighted picks along the last two dimensions: what interpolation and padding by repetition are made of."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous
from .from_data import tensor


class Axis:
    """What one dimension of the result shows of the `size` positions of the input's.

    positions: for each position of the result those of the input (one, or several with weights)."""

    is_constant = True
    __slots__ = ("size", "count", "at", "weights")

    def __init__(self, size, positions, weights=None):
        self.size, self.count = size, len(positions)
        if weights is None:
            positions = [[p] for p in positions]
        self.at = tensor(positions, dtype=dt.int64)
        self.weights = {d: None if weights is None else tensor(weights, dtype=d) for d in (dt.float32, dt.float64)}


_whole: dict = {}


def whole_axis(size):
    """An axis that shows every position as it is."""
    axis = _whole.get(size)
    return axis or door.remember(_whole, size, Axis(size, range(size)))


def resample(input, y, x, backward=False):
    """The last two dimensions of `input` by the axes y and x.

    Shapes: (*, y.size, x.size) -> (*, y.count, x.count); backward: the transpose, the other way. float32 and float64; float16 and bfloat16 by way of float32."""
    d = input._layout.dtype
    if d is not dt.float32 and d is not dt.float64:
        return _resampled(input.to(dt.float32), y, x, backward).to(d)
    return _resampled(input, y, x, backward)


def _resampled(input, y, x, backward):
    """The linear map, or its transpose, which is its derivative."""
    lay = input._layout
    d, lead = lay.dtype, tuple(lay.shape[:-2])
    planes = math.prod(lead)
    (h, w), (oh, ow) = (y.size, x.size), (y.count, x.count)
    weights = y.weights[d], x.weights[d]
    door.constants(y.at, x.at, *[w for w in weights if w is not None])
    source, target = ((oh, ow), (h, w)) if backward else ((h, w), (oh, ow))
    result = door.call(
        "resample", "resample_backward" if backward else "resample", contiguous(d, (planes, *target)),
        (input.detach().contiguous().view(planes, *source), y.at, x.at, *weights), ints=(h, w),
    ).view(*lead, *target)  # fmt: skip
    result._view = None
    result._requires_grad = False
    if input._requires_grad:
        name = "ResampleBackward1" if backward else "ResampleBackward0"
        record(result, name, lambda g: _resampled(g, y, x, not backward), (input,))
    return result
