"""Sorting and what follows from it: sort, topk, kthvalue, median, mode, unique, searchsorted, quantile ...

nan counts as greater than everything, and every order is stable. The kernels are in zig/ops/sort.zig; a gradient
goes back to the places the elements came from."""

from __future__ import annotations

from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..batched import every_member
from ..layout import Layout, contiguous, remember_view, whole, wrap_dim
from ..tensor import Tensor, make_tensor, method
from .elementwise import as_number, is_scalar, result_type, write_out
from .gather import _as_shape, _raw
from .reduce import _shared, check, route


def _result(name, fields=("values", "indices")):
    kind = namedtuple(name, fields)
    kind.__module__ = "dlgrad.return_types"
    return kind


sort_result, topk_result, kthvalue_result = _result("sort"), _result("topk"), _result("kthvalue")
median_result, nanmedian_result, mode_result = (
    _result("median"),
    _result("nanmedian"),
    _result("mode"),
)


def _lines(row, x, d, size, ints, want_values=True, want_indices=True):
    """Runs a row of the kernels along dimension d, which has `size` elements in the results: values and indices."""
    lay = x._layout
    hit = lay.views.get((row, d, size, ints, want_values, want_indices))
    if hit is not None:
        return door.run(hit, x)
    x = _raw(x)
    shape = tuple(x._layout.shape)
    shape = (*shape[:d], size, *shape[d + 1 :])
    outs = (
        contiguous(lay.dtype, shape) if want_values else None,
        contiguous(dt.int64, shape) if want_indices else None,
    )
    if type(lay) is Layout and lay.ndim:
        key = (row, d, size, ints, want_values, want_indices)
        remember_view(lay, key, door.make_plan("sort", row, outs, (lay,), (d, *ints)))
    values, indices = door.call("sort", row, outs, (x,), ints=(d, *ints))
    if not lay.ndim and size == 1:
        values, indices = (None if t is None else _as_shape(t, ()) for t in (values, indices))
    return values, indices


def _scattered(input, values, indices, d, name):
    """Records that `values` are the elements of `input` at `indices` along d."""
    if not input._requires_grad:
        return values
    shape = tuple(input._layout.shape)
    return record(values, name, lambda g, i: route(g, i, shape, d, True), (input,), (indices,))


# ---------------------------------------------------------------------- sort, topk


@method
def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """The elements along `dim` in ascending (or descending) order, and where each came from: (values, indices).

    The order is stable whether asked for or not; nan counts as the greatest."""
    check("sort", input)
    d = wrap_dim(dim, input._layout.ndim, "sort")
    size = input._layout.shape[d] if input._layout.ndim else 1
    values, indices = _lines("sort", input, d, size, (int(bool(descending)),))
    _scattered(input, values, indices, d, "SortBackward0")
    result = sort_result(values, indices)
    return result if out is None else write_out("sort", out, result, exact=True)


@method
def argsort(input, dim=-1, descending=False, stable=False, *, out=None):
    """The indices that sort the elements along `dim`."""
    check("argsort", input)
    d = wrap_dim(dim, input._layout.ndim, "argsort")
    size = input._layout.shape[d] if input._layout.ndim else 1
    result = _lines("sort", input, d, size, (int(bool(descending)),), want_values=False)[1]
    return result if out is None else write_out("argsort", out, result, exact=True)


@method
def msort(input, *, out=None):
    """The elements sorted along the first dimension."""
    result = sort(input, 0).values
    return result if out is None else write_out("msort", out, result, exact=True)


@method
def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The k largest (or smallest) elements along `dim`, in order, and their indices: (values, indices)."""
    check("topk", input)
    lay = input._layout
    d = wrap_dim(-1 if dim is None else dim, lay.ndim, "topk")
    k = whole("topk", "k", k)
    size = lay.shape[d] if lay.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError(
            f"topk(): selected index k out of range: k is {k}, dimension {d} of {list(lay.shape)} has {size} elements"
        )
    k = k if lay.ndim else 1
    values, indices = _lines("topk", input, d, k, (k, int(bool(largest))))
    _scattered(input, values, indices, d, "TopkBackward0")
    result = topk_result(values, indices)
    return result if out is None else write_out("topk", out, result, exact=True)


# ---------------------------------------------------------------------- one element of each line


def _needs_elements(name, lay, d):
    if lay.ndim and lay.shape[d] == 0:
        raise IndexError(
            f"{name}(): Expected reduction dim {d} to have non-zero size (the input has shape {list(lay.shape)})"
        )


def _chosen(row, name, kind, input, d, ints, keepdim):
    """One element of each line along d, by a row of the kernels."""
    lay = input._layout
    values, indices = _lines(row, input, d, 1, ints)
    if lay.ndim and not keepdim:
        shape = tuple(lay.shape[:d] + lay.shape[d + 1 :])
        values, indices = _as_shape(values, shape), _as_shape(indices, shape)
    if input._requires_grad:
        shape, keep = tuple(lay.shape), bool(keepdim)
        rule = lambda g, i: route(g, i, shape, d, keep)  # noqa: E731
        record(values, name.capitalize() + "Backward0", rule, (input,), (indices,))
    return kind(values, indices)


@method
def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """The k-th smallest element (from 1) along `dim`, and its index: (values, indices)."""
    check("kthvalue", input)
    lay = input._layout
    d = wrap_dim(-1 if dim is None else dim, lay.ndim, "kthvalue")
    _needs_elements("kthvalue", lay, d)
    k = whole("kthvalue", "k", k)
    size = lay.shape[d] if lay.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {d}: k is {k}, the size {size}"
        )
    result = _chosen("kthvalue", "kthvalue", kthvalue_result, input, d, (k,), keepdim)
    return result if out is None else write_out("kthvalue", out, result, exact=True, apart=(input,))


def _median(name, ignore_nan, kind):
    def f(input, dim=None, keepdim=False, *, out=None):
        check(name, input)
        lay = input._layout
        if lay.dtype is dt.bool:
            raise RuntimeError(f"{name}(): not implemented for bool; convert the input first")
        if dim is not None:
            d = wrap_dim(dim, lay.ndim, name)
            _needs_elements(name, lay, d)
            result = _chosen("median", name, kind, input, d, (ignore_nan,), keepdim)
            return (
                result if out is None else write_out(name, out, result, exact=True, apart=(input,))
            )
        if lay.numel == 0:
            from .create import full

            result = full(
                (),
                float("nan") if lay.dtype.is_floating_point else dt.iinfo(lay.dtype).min,
                dtype=lay.dtype,
            )
        else:
            values, _ = _lines(
                "median", input.detach().reshape(-1), 0, 1, (ignore_nan,), want_indices=False
            )
            result = _as_shape(values, ())
        dims = tuple(range(lay.ndim))
        rule = lambda g, x, y: _shared(g, x, y, dims, False)  # noqa: E731
        record(result, name.capitalize() + "Backward0", rule, (input,), (input, None), own=1)
        return result if out is None else write_out(name, out, result)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = (
        f"The median{' of the elements that are not nan' if ignore_nan else ''}: of an even number the lower one. "
        "With `dim` also its index: (values, indices)."
    )
    return method(f)


median = _median("median", 0, median_result)
nanmedian = _median("nanmedian", 1, nanmedian_result)


@method
def mode(input, dim=-1, keepdim=False, *, out=None):
    """The most frequent element along `dim` (the smallest of several) and an index of it: (values, indices)."""
    check("mode", input)
    d = wrap_dim(dim, input._layout.ndim, "mode")
    _needs_elements("mode", input._layout, d)
    result = _chosen("mode", "mode", mode_result, input, d, (), keepdim)
    return result if out is None else write_out("mode", out, result, exact=True, apart=(input,))


# ---------------------------------------------------------------------- unique


def _no_derivative(name):
    def rule(g):
        raise NotImplementedError(f"{name}(): the derivative is not implemented")

    return rule


def _runs(rows, order, return_inverse, return_counts):
    """The first rows of the runs of equal rows of a matrix, as indices; inverse and counts, or None."""
    n = rows._layout.shape[0]
    count = door.call("sort", "run_count", contiguous(dt.int64, (1,)), (rows,)).item()
    outs = (
        contiguous(dt.int64, (count,)),
        contiguous(dt.int64, (n,)) if return_inverse else None,
        contiguous(dt.int64, (count,)) if return_counts else None,
    )
    return door.call("sort", "runs", outs, (rows, order), name="unique")


def _distinct(x, return_inverse, return_counts, is_sorted):
    """What `_unique` returns of a contiguous vector, which is not empty."""
    lay = x._layout
    n, order = lay.shape[0], None
    if not is_sorted:
        x, order = _lines("sort", x, 0, n, (0,), want_indices=bool(return_inverse))
        lay = x._layout
    key = ("distinct", order is not None, bool(return_inverse), bool(return_counts))
    plan = lay.views.get(key)
    if plan is None:
        places = contiguous(dt.int64, (n,))
        outs = (
            lay,
            places if return_inverse else None,
            places if return_counts else None,
            contiguous(dt.int64, (1,)),
        )
        inputs = (lay, None if order is None else places)
        plan = door.make_plan("sort", "distinct", outs, inputs, name="unique")
        remember_view(lay, key, plan)
    values, inverse, counts, count = door.run(plan, x, order)
    count = count.item()
    return _first(values, count), inverse, _first(counts, count)


def _first(x, n):
    """The first n elements of a fresh vector; a small part of a long one in memory of its own."""
    if x is None or x._layout.shape[0] == n:
        return x
    size = x._layout.shape[0]
    x = make_tensor(x._ptr, contiguous(x._layout.dtype, (n,)), x._storage)
    return x.clone() if size > 2 * n + 4096 else x


def _tuple_of(values, inverse, counts):
    rest = tuple(t for t in (inverse, counts) if t is not None)
    return (values, *rest) if rest else values


def _rows(name, x, dim):
    """The slices along `dim` as the rows of a matrix."""
    lay = x._layout
    if (
        lay.numel == 0
        and any(s == 0 for i, s in enumerate(lay.shape) if i != dim)
        and lay.shape[dim] != 0
    ):
        raise RuntimeError(
            f"{name}(): there are 0 sized dimensions, and they aren't selected, so unique cannot be applied (shape {list(lay.shape)}, dim {dim})"
        )
    n = lay.shape[dim]
    return x.movedim(dim, 0).reshape((n, lay.numel // n if n else 0)).contiguous()


def _lexical_order(rows):
    """The order in which the rows of a matrix ascend: sorted by each column, the last one first."""
    from .create import arange

    n, m = rows._layout.shape
    order = None
    for c in range(m - 1, -1, -1):
        column = rows.select(1, c)
        if order is None:
            order = argsort(column)
        else:
            order = order.index_select(0, argsort(column.index_select(0, order)))
    return arange(n) if order is None else order


def _unique(name, input, return_inverse, return_counts, dim, is_sorted):
    check(name, input)
    lay = input._layout
    if dim is None and type(lay) is Layout and lay.numel:
        x = (
            input
            if lay.ndim == 1 and lay.strides[0] == 1
            else input.detach().reshape(-1).contiguous()
        )
        values, inverse, counts = _distinct(x, return_inverse, return_counts, is_sorted)
        if inverse is not None and lay.ndim != 1:
            inverse = _as_shape(inverse, tuple(lay.shape))
        if input._requires_grad:
            record(values, name.capitalize() + "Backward0", _no_derivative(name), (input,))
        return _tuple_of(values, inverse, counts)
    x = input.detach()
    if dim is None:
        rows = x.reshape(-1)
        n, order = lay.numel, None
        if not is_sorted:
            rows, order = _lines("sort", rows, 0, n, (0,), want_indices=bool(return_inverse))
        starts, inverse, counts = _runs(rows.reshape((n, 1)), order, return_inverse, return_counts)
        values = rows.index_select(0, starts)
        if inverse is not None:
            inverse = _as_shape(inverse, tuple(lay.shape))
    else:
        d = wrap_dim(dim, lay.ndim, name, scalar_ok=False)
        if not lay.numel and sum(n == 0 for n in lay.shape) > 1:
            raise RuntimeError(
                f"{name}(): number of zero-sized dimensions is more than one in {list(lay.shape)}, so that dim= cannot be applied"
            )
        rows, order = _rows(name, x, d), None
        if not is_sorted:
            order = _lexical_order(rows)
            rows = rows.index_select(0, order)
        starts, inverse, counts = _runs(rows, order, return_inverse, return_counts)
        values = x.index_select(d, starts if order is None else order.index_select(0, starts))
    record(values, name.capitalize() + "Backward0", _no_derivative(name), (input,))
    return _tuple_of(values, inverse, counts)


@method
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The different elements (with `dim`: slices) in ascending order; on request also which of them each element
    is, and how often each comes. No nan equals another. The values have no derivative."""
    return _unique("unique", input, return_inverse, return_counts, dim, False)


@method
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (with `dim`: slices) without those equal to the one before; on request also which of the
    results each element is, and how long each run is. The values have no derivative."""
    return _unique("unique_consecutive", input, return_inverse, return_counts, dim, True)


# ---------------------------------------------------------------------- searching


def searchsorted(
    sorted_sequence, values, *, out_int32=False, right=False, side=None, sorter=None, out=None
):
    """Where each of `values` would go into the sorted last dimension of `sorted_sequence`: before its equals, or
    behind them (right=True, side='right'). sorter: the indices that sort sorted_sequence."""
    check("searchsorted", sorted_sequence)
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(
                f"searchsorted(): side can only be 'left' or 'right' but got {side!r}"
            )
        if right and side == "left":
            raise RuntimeError(
                "searchsorted(): side and right can't be set to opposites, got side of left while right was True"
            )
        right = side == "right"
    return _search("searchsorted", sorted_sequence, values, out_int32, right, sorter, out)


def bucketize(input, boundaries, *, out_int32=False, right=False, out=None):
    """In which of the buckets between the ascending `boundaries` each element is: boundaries[i-1] < x <= boundaries[i]
    gives i (right=True: boundaries[i-1] <= x < boundaries[i])."""
    check("bucketize", boundaries)
    if boundaries._layout.ndim != 1:
        raise RuntimeError(
            f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries._layout.ndim})"
        )
    return _search("bucketize", boundaries, input, out_int32, right, None, out)


def _search(name, boundaries, values, out_int32, right, sorter, out):
    from .from_data import tensor

    if not isinstance(values, Tensor):
        if not is_scalar(values):
            raise TypeError(f"{name}(): expected a Tensor or a number, got {type(values).__name__}")
        values = tensor(as_number(values))
    lb, lv = boundaries._layout, values._layout
    if lb.ndim == 0:
        raise RuntimeError(f"{name}(): boundaries tensor should have positive dimension")
    if lb.ndim > 1 and lb.shape[:-1] != lv.shape[:-1]:
        raise RuntimeError(
            f"{name}(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
            f"tensor must match, but we got boundaries tensor {list(lb.shape)} and input value tensor {list(lv.shape)}"
        )
    if sorter is not None:
        if sorter._layout.shape != lb.shape:
            raise RuntimeError(
                f"{name}(): boundary and sorter must have the same size, but got boundary tensor {list(lb.shape)} and "
                f"got sorter tensor {list(sorter._layout.shape)}"
            )
        if sorter._layout.dtype is not dt.int64:
            raise RuntimeError(
                f"{name}(): sorter must be a tensor of long dtype but got dtype {sorter._layout.dtype.name}"
            )
        boundaries = boundaries.gather(-1, sorter)
    common = result_type(boundaries, values)
    if common.itemsize < 4:  # the kernels compare int32, int64, float32 and float64
        common = dt.float32 if common.is_floating_point else dt.int32
    boundaries, values = boundaries.to(common), values.to(common)
    shape = tuple(lv.shape)
    result = door.call(
        "search",
        "searchsorted",
        contiguous(dt.int64, shape),
        (boundaries, values),
        ints=(int(bool(right)),),
        name=name,
    )
    if out_int32:
        result = result.to(dt.int32)
    return result if out is None else write_out(name, out, result)


# ---------------------------------------------------------------------- quantile

_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(name, input, q, dim, keepdim, interpolation, out):
    from .create import scalar_tensor
    from .ternary import where

    check(name, input)
    lay = input._layout
    if lay.numel == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty, got shape {list(lay.shape)}")
    if lay.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"{name}() input tensor must be either float or double dtype, got {lay.dtype.name}"
        )
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if not isinstance(q, Tensor):
        if not is_scalar(q):
            raise TypeError(
                f"{name}(): argument 'q' must be a number or a Tensor, not {type(q).__name__}"
            )
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        q = scalar_tensor(as_number(q), dtype=lay.dtype)
    elif q._layout.ndim > 1:
        raise RuntimeError(
            f"{name}() q must be a scalar or 1D tensor, got shape {list(q._layout.shape)}"
        )
    elif q._layout.dtype is not lay.dtype:
        raise RuntimeError(
            f"{name}() q tensor must be same dtype as the input tensor, got {q._layout.dtype.name} and {lay.dtype.name}"
        )
    elif not bool(every_member((q >= 0) & (q <= 1)).all()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")

    # The reduced dimension moves to the end, and is sorted.
    if dim is None:
        x, kept = input.reshape(-1), (1,) * lay.ndim if keepdim else ()
    else:
        d = wrap_dim(dim, lay.ndim, name)
        x = input.movedim(d, -1) if lay.ndim else input.reshape(1)
        shape = tuple(lay.shape)
        kept = (*shape[:d], *((1,) if keepdim else ()), *shape[d + 1 :]) if lay.ndim else ()
    values = sort(x, -1).values
    n = values._layout.shape[-1]
    bad = values.detach().isnan()
    if name == "nanquantile":
        ranks = q.reshape(-1) * ((~bad).sum(-1, True) - 1).to(lay.dtype)
        ranks = ranks.clamp(min=0)
    else:
        ranks = where(bad.narrow(-1, n - 1, 1), float(n - 1), q.reshape(-1) * (n - 1))
    if interpolation == "lower":
        ranks = ranks.floor()
    elif interpolation == "higher":
        ranks = ranks.ceil()
    elif interpolation == "nearest":
        ranks = ranks.round()
    below = ranks.detach().to(dt.int64)
    result = values.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        weight = (
            ranks - below.to(lay.dtype) if interpolation == "linear" else ranks.detach() * 0 + 0.5
        )
        result = result.lerp(values.gather(-1, ranks.detach().ceil().to(dt.int64)), weight)
    if q._layout.ndim:
        result = result.movedim(-1, 0).reshape((q._layout.shape[0], *kept))
    else:
        result = result.reshape(kept)
    return result if out is None else write_out(name, out, result)


@method
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The q-th quantiles along `dim` (of all elements unless given): where q falls between two elements,
    'linear', 'lower', 'higher', 'midpoint' or 'nearest' decides. A 1-d q gives a first dimension. nan wins."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out)


@method
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """`quantile` of the elements that are not nan."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out)
