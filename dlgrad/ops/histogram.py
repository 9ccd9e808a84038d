"""Histograms with their bin edges, in one dimension and several."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.mode import no_grad
from ..batched import each_member
from ..layout import Layout, contiguous
from ..tensor import Tensor, method
from .create import linspace, zeros
from .reduce import aminmax, check
from .scatter import index_add
from .sort import searchsorted
from .ternary import where
from .writing import write_out

__all__ = ["histogram", "histogramdd"]

_histogram_result = namedtuple("histogram", ("hist", "bin_edges"))
_histogramdd_result = namedtuple("histogramdd", ("hist", "bin_edges"))
_histogram_result.__module__ = _histogramdd_result.__module__ = "dlgrad.return_types"


def _limits(name, x, given):
    """The ends of the bins: given, or the smallest and largest element; a unit apart if they are the same."""
    if given is not None:
        low, high = float(given[0]), float(given[1])
    elif x.numel():
        low, high = [t.item() for t in aminmax(x)]
    else:
        low, high = 0.0, 1.0
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{name}(): range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}(): min should not exceed max, but got min {low} max {high}")
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _edges(name, x, bins, given):
    """The bin edges for one coordinate: a tensor's own, or `bins` equal steps."""
    if isinstance(bins, Tensor):
        if bins.dim() != 1 or bins.numel() == 0:
            raise RuntimeError(f"{name}(): bins tensor should have one dimension and elements, but got shape {list(bins.shape)}")
        if bins.dtype is not x.dtype:
            raise RuntimeError(f"{name}(): input tensor and bins tensors should have the same dtype, but got {x.dtype} and {bins.dtype}")
        return bins.detach()
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins}")
    low, high = _limits(name, x, given)
    return linspace(low, high, int(bins) + 1, dtype=x.dtype)


def _places(x, edges):
    """The bin of each element; -1 outside of all. The last bin has both of its edges."""
    n = edges.numel() - 1
    place = searchsorted(edges, x, right=True) - 1
    place = where(x == edges[-1], n - 1, place)
    return where((x >= edges[0]) & (x <= edges[-1]), place, -1)


def _evenly_counted(x, edges, density):
    """The histogram of x between edges in equal steps, by the kernel; None where it does not take them."""
    lay = x._layout
    if type(lay) is not Layout or lay.dtype not in (dt.float32, dt.float64):
        return None
    out = contiguous(lay.dtype, (edges.numel() - 1,))
    count = door.call("distance", "histogram", out, (x.contiguous(), edges), name="histogram")
    return count / count.sum() / edges.diff() if density else count


def _counted(name, points, all_edges, weight, density):
    """The histogram of `points` (M, N) over the grid of N lists of edges."""
    shape = tuple(edges.numel() - 1 for edges in all_edges)
    flat, inside = 0, None
    for i, (edges, size) in enumerate(zip(all_edges, shape)):
        place = _places(points[:, i].contiguous(), edges)
        inside = place >= 0 if inside is None else inside & (place >= 0)
        flat = flat * size + place
    amounts = inside.to(points.dtype) if weight is None else where(inside, weight.reshape(-1), 0.0)
    count = index_add(zeros(math.prod(shape), dtype=points.dtype), 0, where(inside, flat, 0), amounts).reshape(shape)
    if density:
        count = count / count.sum()
        for i, edges in enumerate(all_edges):
            wide = [1] * len(shape)
            wide[i] = shape[i]
            count = count / edges.diff().reshape(wide)
    return count


def _check(name, input, weight, leading):
    check(name, input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}(): not implemented for {input.dtype}: it takes floating point tensors")
    if weight is None:
        return
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): if weight tensor is provided, it should have the input's dtype {input.dtype}, got {weight.dtype}")
    if tuple(weight.shape) != leading:
        raise RuntimeError(f"{name}(): weight tensor should have the shape {list(leading)} of the input's points, got {list(weight.shape)}")


@method
@each_member
def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """How many elements fall between neighbouring edges: (hist, bin_edges).

    bins: the number of equal bins between `range` (the input's extrema unless given), or a tensor of the edges in ascending
    order. weight: what each element counts; density: scaled so that the area is 1. Elements outside and nan count nothing.
    Raises RuntimeError for integers, empty bins, a weight of another shape or dtype, and a range that is not finite.
    """
    _check("histogram", input, weight, tuple(input.shape) if isinstance(input, Tensor) else ())
    with no_grad():
        x = input.detach().reshape(-1)
        edges = _edges("histogram", x, bins, range)
        count = None
        if weight is None and not isinstance(bins, Tensor):
            count = _evenly_counted(x, edges, density)
        if count is None:
            count = _counted("histogram", x.unsqueeze(1), (edges,), weight, density)
        result = _histogram_result(count, edges)
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
        edges = tuple(_edges("histogramdd", points[:, i], b, range[2 * i : 2 * i + 2] if range else None) for i, b in enumerate(bins))
        return _histogramdd_result(_counted("histogramdd", points, edges, weight, density), edges)
