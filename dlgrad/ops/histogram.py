"""Histograms with their bin edges, in one dimension and several."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.mode import no_grad
from ..batched import each_member
from ..layout import contiguous
from ..tensor import Tensor, method
from .create import linspace
from .joining import cat
from .reduce import aminmax, check
from .writing import write_out

__all__ = ["histogram", "histogramdd"]

_histogram_result = namedtuple("histogram", ("hist", "bin_edges"))
_histogramdd_result = namedtuple("histogramdd", ("hist", "bin_edges"))
_histogram_result.__module__ = _histogramdd_result.__module__ = "dlgrad.return_types"


def _limits(points, given):
    """The ends of the bins of each coordinate of `points` (M, N): given, or the smallest and largest element."""
    if given is not None:
        return list(zip(given[::2], given[1::2]))
    if not points.numel():
        return [(0.0, 1.0)] * points.shape[1]
    return list(zip(*(t.tolist() for t in aminmax(points, dim=0))))


def _edges(name, dtype, bins, limits):
    """The bin edges for one coordinate: a tensor's own, or `bins` equal steps, of a unit in all if the ends are the same."""
    if isinstance(bins, Tensor):
        if bins.dim() != 1 or bins.numel() == 0:
            raise RuntimeError(f"{name}(): bins tensor should have one dimension and elements, but got shape {list(bins.shape)}")
        if bins.dtype is not dtype:
            raise RuntimeError(f"{name}(): input tensor and bins tensors should have the same dtype, but got {dtype} and {bins.dtype}")
        return bins.detach()
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins}")
    low, high = float(limits[0]), float(limits[1])
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{name}(): range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}(): min should not exceed max, but got min {low} max {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, int(bins) + 1, dtype=dtype)


def _counted(points, all_edges, weight, density):
    """The histogram of `points` (M, N) over the grid of N lists of edges."""
    shape = tuple(edges.numel() - 1 for edges in all_edges)
    edges = all_edges[0] if len(all_edges) == 1 else cat(all_edges)
    given = (points, edges) if weight is None else (points, edges, weight.detach().reshape(-1))
    out = contiguous(points.dtype, shape)
    count = door.call("distance", "histogram", out, [t.contiguous() for t in given], name="histogram")
    if density:
        count = count / count.sum()
        for i, edges in enumerate(all_edges):
            wide = [1] * len(shape)
            wide[i] = shape[i]
            count = count / edges.diff().reshape(wide)
    return count


def _check(name, input, weight, leading):
    check(name, input)
    if input.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"{name}(): not implemented for {input.dtype}: it takes float32 and float64 tensors")
    if weight is None:
        return
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): if weight tensor is provided, it should have the input's dtype {input.dtype}, got {weight.dtype}")
    if tuple(weight.shape) != leading:
        raise RuntimeError(f"{name}(): weight tensor should have the shape {list(leading)} of the input's points, got {list(weight.shape)}")


@door.memo
def _extrema(input):
    return aminmax(input.detach())


@door.memo
def _counts(input, edges, weight, density):
    return _counted(input.detach().reshape((-1, 1)), (edges,), weight, density)


@method
@each_member
def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """How many elements fall between neighbouring edges: (hist, bin_edges).

    bins: the number of equal bins between `range` (the input's extrema unless given), or a tensor of the edges in ascending
    order. weight: what each element counts; density: scaled so that the area is 1. Elements outside and nan count nothing.
    Raises RuntimeError for integers, empty bins, a weight of another shape or dtype, and a range that is not finite.
    """
    _check("histogram", input, weight, tuple(input.shape) if isinstance(input, Tensor) else ())
    if isinstance(bins, Tensor):
        limits = None
    elif range is None and input.numel():
        limits = [t.item() for t in _extrema(input)]
    else:
        limits = (0.0, 1.0) if range is None else range
    edges = _edges("histogram", input.dtype, bins, limits)
    result = _histogram_result(_counts(input, edges, weight, density), edges)
    return result if out is None else write_out("histogram", out, result)


@each_member
def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """The histogram of points in N dimensions: (hist, bin_edges), the edges a tuple of N tensors.

    input: (..., N). bins: one number for all dimensions, N numbers, or N tensors of edges; range: 2 N numbers, the ends of
    each dimension; weight: (...), what each point counts; density: scaled so that the volume is 1. Raises as histogram does.
    """
    check("histogramdd", input)
    if input.dim() < 2:
        raise RuntimeError(f"histogramdd(): input tensor should have at least 2 dimensions, but got {input.dim()}")
    _check("histogramdd", input, weight, tuple(input.shape[:-1]))
    n = input.shape[-1]
    bins = [bins] * n if isinstance(bins, int) else list(bins)
    if len(bins) != n:
        raise RuntimeError(f"histogramdd(): expected {n} sequences of bins for an input of {n} coordinates, got {len(bins)}")
    if range is not None and len(range) != 2 * n:
        raise RuntimeError(f"histogramdd(): for a {n}-dimensional histogram range should have {2 * n} elements, but got {len(range)}")
    with no_grad():
        points = input.detach().reshape((math.prod(input.shape[:-1]), n))
        limits = [None] * n if all(isinstance(b, Tensor) for b in bins) else _limits(points, range)
        edges = tuple([_edges("histogramdd", input.dtype, b, ends) for b, ends in zip(bins, limits)])
        return _histogramdd_result(_counted(points, edges, weight, density), edges)
