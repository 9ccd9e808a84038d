"""Counting and statistics: bincount, histc, cov, corrcoef; Vandermonde matrices and the trapezoidal rule."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..batched import each_member, every_member
from ..layout import wrap_dim
from ..plan import constants, make_plan, remember, write
from ..tensor import Tensor, method
from .arrange import flip
from .create import _new_filled, ones, zeros
from .joining import cat
from .reduce import check
from .ternary import where
from .writing import write_out

# ---------------------------------------------------------------------- counting


@method
@each_member
def bincount(input, weights=None, minlength=0):
    """How often each of 0, 1, 2, ... comes among the integers of a vector (or the sum of the weights there)."""
    check("bincount", input)
    lay = input._layout
    if lay.ndim != 1 or lay.dtype.is_floating_point or lay.dtype is dt.bool:
        raise RuntimeError(
            f"bincount(): only supports 1-d non-negative integral inputs, got {lay.dtype.name} {list(lay.shape)}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount(): minlength should be >= 0, got {minlength}")
    if weights is not None and tuple(weights._layout.shape) != tuple(lay.shape):
        raise RuntimeError(
            f"bincount(): weights should be 1-d and have the same length as input, got {list(weights.shape)} and {list(lay.shape)}"
        )
    n = minlength
    if lay.numel:
        n = max(n, input.max().item() + 1)
        if input.min().item() < 0:
            raise RuntimeError(
                "bincount(): only supports 1-d non-negative integral inputs, got a negative element"
            )
    if weights is None or not lay.numel:
        return _counts(input if lay.dtype is dt.int64 else input.to(dt.int64), n)
    weights = weights.detach()
    if weights._layout.dtype is not dt.float32:
        weights = weights.to(dt.float64)
    return zeros(n, dtype=weights._layout.dtype).scatter_add(0, input.to(dt.int64), weights)


_count_plans: dict = {}  # layout, number of results -> the plan that counts, and a one for each element


def _counts(places, n):
    """How often each of 0 .. n - 1 comes among the int64 `places`, all of which are there."""
    out = _new_filled(0, (n,), dt.int64)
    key = places._layout, n
    found = _count_plans.get(key)
    if found is None:
        if not n or not places._layout.numel:
            return out
        one = ones(1, dtype=dt.int64).expand(places._layout.numel)
        plan = make_plan("scatter", "scatter_add", (out._layout,), (places._layout, one._layout), (0,), name="bincount", into=True)
        found = remember(_count_plans, key, (plan, one))
    constants(found[1])
    write(found[0], out, places, found[1])
    return out


@method
@each_member
def histc(input, bins=100, min=0, max=0, *, out=None):
    """How many elements fall into each of `bins` equal parts of [min, max] (both 0: of the elements' own range)."""
    check("histc", input)
    lay = input._layout
    if not lay.dtype.is_floating_point:
        raise RuntimeError(
            f"histc(): not implemented for {lay.dtype.name}; convert the input first"
        )
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be > 0, but got {bins}")
    low, high, x = float(min), float(max), input.detach().reshape(-1)
    whole = low == high and lay.numel > 0
    if whole:
        low, high = x.min().item(), x.max().item()
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histc(): range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"histc(): max must be larger than min, got [{low}, {high}]")
    position = ((x - low) / (high - low) * bins).to(dt.int64).clamp(0, bins - 1)
    if whole:
        result = _counts(position, bins)
    else:  # what lies outside is counted behind the last
        inside = (x >= low) & (x <= high)
        result = _counts(where(inside, position, bins), bins + 1)[:bins]
    result = result.to(lay.dtype)
    return result if out is None else write_out("histc", out, result, exact=True)


# ---------------------------------------------------------------------- covariance


def _matrix_of(name, input):
    check(name, input)
    if input._layout.ndim > 2:
        raise RuntimeError(
            f"{name}(): expected input to have two or fewer dimensions but got an input with {input._layout.ndim} dimensions"
        )
    if input._layout.dtype is dt.bool:
        raise RuntimeError(f"{name}(): bool dtype is not supported for input")
    return input.reshape((1, -1)) if input._layout.ndim < 2 else input


@method
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance matrix of the variables (rows) of `input`, whose columns are observations. fweights: how often
    each was seen; aweights: how much each counts."""
    x = _matrix_of("cov", input)
    n = x._layout.shape[1]
    weights = None
    for what, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if w._layout.ndim > 1:
            raise RuntimeError(
                f"cov(): expected {what} to have one or fewer dimensions but got {what} with {w._layout.ndim} dimensions"
            )
        if w._layout.dtype.is_floating_point != (what == "aweights"):
            kind = "floating point" if what == "aweights" else "integral"
            raise RuntimeError(
                f"cov(): expected {what} to have {kind} dtype but got {what} with {w._layout.dtype.name} dtype"
            )
        if w._layout.numel != n:
            raise RuntimeError(
                f"cov(): expected {what} to have the same numel as there are observations in the input but got {w._layout.numel} != {n}"
            )
        if n and bool(every_member(w < 0).any()):
            raise RuntimeError(f"cov(): {what} cannot be negative")
        weights = w.reshape(-1) if weights is None else weights * w.reshape(-1)
    if weights is None:
        total = n
        mean = x.sum(1) / n
        norm = n - correction
        norm = norm if norm > 0 else 0
    else:
        total = weights.sum()
        if n and bool(every_member(total == 0).any()):
            raise ZeroDivisionError("cov(): weights sum to zero, can't be normalized")
        mean = (x * weights).sum(1) / total
        if aweights is None or correction == 0:
            norm = total - correction
        else:
            norm = total - correction * (weights * aweights).sum() / total
        norm = norm.clamp(min=0)
    x = x - mean.unsqueeze(1)
    product = x @ (x if weights is None else x * weights).t()
    return (product / norm).squeeze()


@method
def corrcoef(input):
    """The correlation coefficients of the variables (rows) of `input`."""
    _matrix_of("corrcoef", input)
    c = cov(input)
    if not c._layout.ndim:
        return c / c
    spread = c.diagonal().sqrt()
    return c / spread.unsqueeze(-1) / spread.unsqueeze(0)


# ---------------------------------------------------------------------- vectors of samples


def vander(x, N=None, increasing=False):  # noqa: N803
    """The powers of the elements of a vector as rows: x^(N-1) ... x, 1, or the other way round."""
    from .create import ones

    check("vander", x)
    if x._layout.ndim != 1:
        raise RuntimeError(
            f"vander(): x must be a one-dimensional tensor, got shape {list(x._layout.shape)}"
        )
    n = x._layout.numel if N is None else N
    if n < 0:
        raise RuntimeError(f"vander(): N must be non-negative, got {n}")
    d = x._layout.dtype if x._layout.dtype.is_floating_point else dt.int64
    parts = ones((x._layout.numel, min(n, 1)), dtype=d)
    if n > 1:
        parts = cat((parts, x.to(d).unsqueeze(1).expand((x._layout.numel, n - 1)).cumprod(1)), 1)
    return parts if increasing else flip(parts, 1)


def _trapezoids(name, y, x, dx, dim):
    """Twice the areas of the trapezoids between neighbours along dim."""
    check(name, y)
    lay = y._layout
    d = wrap_dim(dim, lay.ndim, name, scalar_ok=False)
    n = lay.shape[d]
    if x is not None and dx is not None:
        raise RuntimeError(f"{name}(): give x or dx, not both")
    if lay.dtype is dt.bool:
        raise RuntimeError(f"{name}(): received a bool input for `y`, but bool is not supported")
    if n == 0:
        return y.detach(), d
    sums = y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)
    if x is None:
        return (sums if dx is None else sums * dx), d
    check(name, x)
    if x._layout.ndim == 1:
        if x._layout.numel != n:
            raise RuntimeError(
                f"{name}(): There must be one x value for each sample point, got x of {x._layout.numel} and {n} along dim {d}"
            )
        x = x.reshape((-1,) + (1,) * (lay.ndim - 1 - d))
        steps = x.narrow(0, 1, n - 1) - x.narrow(0, 0, n - 1)
    else:
        at = d - lay.ndim
        if x._layout.ndim < -at or x._layout.shape[at] != n:
            raise RuntimeError(
                f"{name}(): There must be one x value for each sample point, got shapes {list(x.shape)} and {list(lay.shape)}"
            )
        steps = x.narrow(at, 1, n - 1) - x.narrow(at, 0, n - 1)
    return sums * steps, d - lay.ndim


def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The integral of y along `dim` by the trapezoidal rule, over the points x or steps dx (1)."""
    if x is None and isinstance(y, Tensor) and y._layout.ndim and y._layout.numel and y._layout.dtype is not dt.bool:
        # All values, less half of those at the ends.
        total = y.sum(dim) - (y.select(dim, 0) + y.select(dim, -1)) * 0.5
        return total if dx is None or dx == 1 else total * dx
    areas, d = _trapezoids("trapezoid", y, x, dx, dim)
    total = areas.sum(d)
    return total / 2 if y._layout.shape[d] else total.to(y._layout.dtype)


def trapz(y, x=None, *, dx=None, dim=-1):
    """Alias of `trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """The running integral of y along `dim` by the trapezoidal rule."""
    areas, d = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(d) / 2
