"""Searching, sorting, sets, and elements by their positions."""

from __future__ import annotations

from typing import NamedTuple

from .. import dtypes as dt
from .. import ops
from ..tensor import Tensor
from ._dtypes import in_dtype, operands, result_type, tensor
from ._manipulation import axes_of

__all__ = [
    "argmax", "argmin", "argsort", "count_nonzero", "nonzero", "searchsorted", "sort", "take", "take_along_axis", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "where",
]  # fmt: skip


def argmax(x, /, *, axis=None, keepdims=False):
    """The position of the largest along the axis (in the flattened tensor for None): int64, the first of several."""
    return _extreme("argmax", ops.argmax, x, axis, keepdims)


def argmin(x, /, *, axis=None, keepdims=False):
    """The position of the smallest along the axis (in the flattened tensor for None): int64, the first of several."""
    return _extreme("argmin", ops.argmin, x, axis, keepdims)


def _extreme(name, compute, x, axis, keepdims):
    if axis is None:
        found = compute(tensor(name, x).reshape(-1), 0)
        return found.reshape((1,) * x.ndim) if keepdims else found
    (axis,) = axes_of(name, tensor(name, x), axis)
    return compute(x, axis, keepdim=keepdims)


def count_nonzero(x, /, *, axis=None, keepdims=False):
    """How many elements over the axes (all for None) are not zero: int64."""
    axes = axes_of("count_nonzero", tensor("count_nonzero", x), axis)
    nonzero = x if x.dtype is dt.bool else x != 0
    return ops.sum(nonzero, axes, keepdim=keepdims) if axes else nonzero.to(dt.int64)


def nonzero(x, /):
    """The positions of the elements that are not zero: an int64 tensor for each axis. Raises ValueError for 0 dimensions."""
    if tensor("nonzero", x).ndim == 0:
        raise ValueError("nonzero(): x has 0 dimensions")
    return tuple(ops.nonzero(x, as_tuple=True))


def searchsorted(x1, x2, /, *, side="left", sorter=None):
    """Where each of x2 goes into the sorted 1-dimensional x1 so that it stays sorted, before its equals or ("right") behind.

    `sorter` holds the positions that sort x1. Returns int64, of x2's shape."""
    if side not in ("left", "right"):
        raise ValueError(f'searchsorted(): side is "left" or "right", got {side!r}')
    x1, x2 = operands("searchsorted", x1, x2)
    if x1.ndim != 1:
        raise ValueError(f"searchsorted(): x1 must have 1 dimension, it has {x1.ndim}")
    if sorter is not None:
        x1 = take(x1, sorter)
    return ops.searchsorted(x1.contiguous(), x2.contiguous(), side=side)


def where(condition, x1, x2, /):
    """x1 where the condition holds, x2 elsewhere: tensors that broadcast, or numbers, in their common dtype."""
    return ops.where(tensor("where", condition), *_alternatives(x1, x2))


def _alternatives(x1, x2):
    if isinstance(x1, Tensor) or isinstance(x2, Tensor):
        return operands("where", x1, x2)
    d = result_type(ops.full((), x1).dtype, x2)
    return in_dtype(x1, d), in_dtype(x2, d)


# ---------------------------------------------------------------------- sorting


def sort(x, /, *, axis=-1, descending=False, stable=True):
    """The elements in order along the axis."""
    return ops.sort(tensor("sort", x), axis, descending, stable).values


def argsort(x, /, *, axis=-1, descending=False, stable=True):
    """The positions that sort x along the axis: int64."""
    return ops.argsort(tensor("argsort", x), axis, descending, stable)


# ---------------------------------------------------------------------- sets


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def _order(flat):
    """The positions that put equal elements side by side, each kind's first one first."""
    if not flat.dtype.is_complex:
        return ops.argsort(flat, 0, stable=True)
    order = ops.argsort(
        flat.imag + 0.0, 0, stable=True
    )  # -0.0 + 0.0 is 0.0: both zeros are one number
    return order[ops.argsort((flat.real + 0.0)[order], 0, stable=True)]


def unique_all(x, /):
    """The distinct elements: `values` (1-dimensional, sorted), the `indices` of their first occurrences in the flattened x,
    `inverse_indices` (x's shape) with x = values[inverse_indices], and `counts`. Each nan is distinct, -0 and 0 are not."""
    flat = tensor("unique_all", x).reshape(-1)
    order = _order(flat)
    line = flat[order]
    starts = ops.ones(line.shape, dtype=dt.bool)
    starts[1:] = line[1:] != line[:-1]
    (first,) = ops.nonzero(starts, as_tuple=True)
    ends = ops.cat((first[1:], ops.full((min(1, line.shape[0]),), line.shape[0], dtype=dt.int64)))
    inverse = ops.empty(line.shape, dtype=dt.int64)
    inverse[order] = starts.cumsum(0) - 1
    return UniqueAll(line[first], order[first], inverse.reshape(x.shape), ends - first)


def unique_counts(x, /):
    """The distinct elements, sorted, and how often each occurs."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x, /):
    """The distinct elements, sorted, and for each of x's elements its position among them."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x, /):
    """The distinct elements, sorted."""
    return unique_all(x).values


# ---------------------------------------------------------------------- by position


def _positions(name, indices, size):
    """Positions from the start for some that may be counted from the end."""
    if not tensor(name, indices).dtype.is_integral:
        raise TypeError(f"{name}(): indices must be integers, got {indices.dtype.name}")
    indices = indices.to(dt.int64)
    return ops.where(indices < 0, indices + size, indices)


def take(x, indices, /, *, axis=None):
    """The elements at these positions (1-dimensional, integers, from the end if negative) along the axis.

    The axis may be left out for a tensor of 1 dimension. Raises IndexError for positions that aren't there."""
    if axis is None and tensor("take", x).ndim != 1:
        raise ValueError(f"take(): x has {x.ndim} dimensions; give an axis")
    (axis,) = axes_of("take", tensor("take", x), 0 if axis is None else axis)
    if tensor("take", indices).ndim != 1:
        raise ValueError(f"take(): indices must have 1 dimension, they have {indices.ndim}")
    return ops.index_select(x, axis, _positions("take", indices, x.shape[axis]))


def take_along_axis(x, indices, /, *, axis=-1):
    """For each position in `indices` the element of x there along the axis; the other axes broadcast. Of indices' shape."""
    (axis,) = axes_of("take_along_axis", tensor("take_along_axis", x), axis)
    return ops.take_along_dim(x, _positions("take_along_axis", indices, x.shape[axis]), axis)
