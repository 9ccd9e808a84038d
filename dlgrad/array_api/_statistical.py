"""Reductions and running totals, `all`, `any` and differences."""

from __future__ import annotations

from .. import dtypes as dt
from .. import ops
from ._dtypes import operands, tensor
from ._manipulation import axes_of

__all__ = [
    "all", "any", "cumulative_prod", "cumulative_sum", "diff", "max", "mean", "min", "prod", "std", "sum", "var",
]  # fmt: skip


def _reduced(name, compute, x, axis, keepdims):
    """compute(x, axes, keepdims) over these axes; over none, each element is a reduction by itself."""
    axes = axes_of(name, tensor(name, x), axis)
    if not axes:
        return compute(x.unsqueeze(0), 0, False)
    return compute(x, axes if len(axes) > 1 else axes[0], keepdims)


def _total_dtype(x, dtype):
    """The dtype of a sum or product: int64 for integers (uint8 too: there is no uint64)."""
    if dtype is not None:
        return dtype
    return x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else dt.int64


def _product(x, axes, keepdims):
    for a in sorted((axes,) if isinstance(axes, int) else axes, reverse=True):
        x = ops.prod(x, a, keepdim=keepdims, dtype=x.dtype)
    return x


def sum(x, /, *, axis=None, dtype=None, keepdims=False):
    """The sum over the axes (all for None). Integers are summed in int64 unless a dtype is given."""
    d = _total_dtype(tensor("sum", x), dtype)
    return _reduced("sum", lambda x, a, k: ops.sum(x, a, keepdim=k, dtype=d), x, axis, keepdims)


def prod(x, /, *, axis=None, dtype=None, keepdims=False):
    """The product over the axes (all for None). Of integers in int64 unless a dtype is given."""
    x = tensor("prod", x).to(_total_dtype(x, dtype))
    return _reduced("prod", _product, x, axis, keepdims)


def max(x, /, *, axis=None, keepdims=False):
    """The largest over the axes (all for None); nan where there is one."""
    return _reduced("max", lambda x, a, k: ops.amax(x, a, keepdim=k), x, axis, keepdims)


def min(x, /, *, axis=None, keepdims=False):
    """The smallest over the axes (all for None); nan where there is one."""
    return _reduced("min", lambda x, a, k: ops.amin(x, a, keepdim=k), x, axis, keepdims)


def mean(x, /, *, axis=None, keepdims=False):
    """The mean over the axes (all for None)."""
    return _reduced("mean", lambda x, a, k: ops.mean(x, a, keepdim=k), x, axis, keepdims)


def var(x, /, *, axis=None, correction=0.0, keepdims=False):
    """The variance over the axes (all for None): the sum of the squared differences from the mean over n - correction."""
    return _reduced(
        "var", lambda x, a, k: ops.var(x, a, correction=correction, keepdim=k), x, axis, keepdims
    )


def std(x, /, *, axis=None, correction=0.0, keepdims=False):
    """The standard deviation: the square root of `var`."""
    return _reduced(
        "std", lambda x, a, k: ops.std(x, a, correction=correction, keepdim=k), x, axis, keepdims
    )


def all(x, /, *, axis=None, keepdims=False):
    """Whether all elements over the axes (all for None) are not zero."""
    return _reduced(
        "all", lambda x, a, k: ops.all(x, a, keepdim=k), _truth("all", x), axis, keepdims
    )


def any(x, /, *, axis=None, keepdims=False):
    """Whether one of the elements over the axes (all for None) is not zero."""
    return _reduced(
        "any", lambda x, a, k: ops.any(x, a, keepdim=k), _truth("any", x), axis, keepdims
    )


def _truth(name, x):
    return x if tensor(name, x).dtype is dt.bool else x != 0


def _running(name, compute, x, axis, dtype, include_initial, first):
    tensor(name, x)
    if x.ndim == 0 or (axis is None and x.ndim > 1):
        raise ValueError(
            f"{name}(): x has {x.ndim} dimensions; give an axis of it, or reshape it to one"
        )
    (axis,) = axes_of(name, x, -1 if axis is None else axis)
    result = compute(x, axis, dtype=_total_dtype(x, dtype))
    if not include_initial:
        return result
    shape = list(x.shape)
    shape[axis] = 1
    return ops.cat((ops.full(shape, first, dtype=result.dtype), result), axis)


def cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False):
    """The sums of the first 1, 2, ... elements along the axis (from 0 elements on with include_initial)."""
    return _running("cumulative_sum", ops.cumsum, x, axis, dtype, include_initial, 0)


def cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False):
    """The products of the first 1, 2, ... elements along the axis (from 0 elements on with include_initial)."""
    return _running("cumulative_prod", ops.cumprod, x, axis, dtype, include_initial, 1)


def diff(x, /, *, axis=-1, n=1, prepend=None, append=None):
    """x[i + 1] - x[i] along the axis, n times over; `prepend` and `append` are put before and behind x first."""
    (axis,) = axes_of("diff", tensor("diff", x), axis)
    parts = operands("diff", *[p for p in (prepend, x, append) if p is not None])
    return ops.diff(ops.cat(parts, axis) if len(parts) > 1 else x, n, axis)
