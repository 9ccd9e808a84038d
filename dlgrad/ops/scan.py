"""Running sums, products and extrema along a dimension."""

from __future__ import annotations

from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous, wrap_dim
from ..tensor import make_tensor, method
from .elementwise import write_out
from .reduce import check


def _run(row, x, d, dtypes):
    lay = x._layout
    shape = tuple(lay.shape)
    if lay.ndim == 0:
        x = make_tensor(x._ptr, contiguous(lay.dtype, (1,)), x._storage)
    outs = tuple(contiguous(k, shape or (1,)) for k in dtypes)
    results = door.call("scan", row, outs if len(outs) > 1 else outs[0], (x,), ints=(d,))
    if lay.ndim == 0:
        fix = lambda t: make_tensor(t._ptr, contiguous(t._layout.dtype, ()), t._storage)  # noqa: E731
        results = tuple(map(fix, results)) if isinstance(results, tuple) else fix(results)
    return results


def _dtype(x, dtype):
    return dtype or (x._layout.dtype if x._layout.dtype.is_floating_point else dt.int64)


def _reverse_sum(g, d):
    return cumsum(g.flip(d), d).flip(d) if g._layout.ndim else g


@method
def cumsum(input, dim, *, dtype=None, out=None):
    """The running sum along `dim`."""
    check("cumsum", input)
    d = wrap_dim(dim, input._layout.ndim, "cumsum")
    kind = _dtype(input, dtype)
    x = input.to(kind)
    result = _run("cumsum", x, d, (kind,))
    record(result, "CumsumBackward0", lambda g: _reverse_sum(g, d), (x,))
    return result if out is None else write_out("cumsum", out, result)


@method
def cumprod(input, dim, *, dtype=None, out=None):
    """The running product along `dim`. The gradient is right at zeros too."""
    check("cumprod", input)
    d = wrap_dim(dim, input._layout.ndim, "cumprod")
    kind = _dtype(input, dtype)
    x = input.to(kind)
    result = _run("cumprod", x, d, (kind,))
    record(result, "CumprodBackward0", lambda g, x, y: _cumprod_rule(g, x, y, d), (x,), (x, None), own=1)
    return result if out is None else write_out("cumprod", out, result)


def _cumprod_rule(g, x, y, d):
    """d y_k / d x_i is the product of the others up to k. Away from zeros y_k / x_i; from the first zero on a line
    on, the products are worked out without dividing by it."""
    from ..autograd.mode import mode
    from .ternary import where

    if x._layout.ndim == 0:
        return g
    if not bool((x == 0).any()):
        return _reverse_sum(g * y, d) / x
    if mode.enabled:
        return _cumprod_rule_by_place(g, x, d)
    # Before the first zero z: sum over k < z of g_k y_k / x_i; beyond it all y are 0 and so is that sum.
    zero = x == 0
    zeros_so_far = cumsum(zero.to(dt.int64), d)
    first = zero & (zeros_so_far == 1)
    at_most_one = zeros_so_far <= 1
    one = where(first, 1.0, x)
    # With the first zero taken as 1: the products that its derivative needs.
    without = cumprod(where(zeros_so_far > 1, 0.0, one), d)
    before = where(zeros_so_far == 0, _reverse_sum(g * y, d), 0.0)
    safe = where(zero, 1.0, x)
    at_zero = _reverse_sum(where(at_most_one & (zeros_so_far == 1), g * without, 0.0), d)
    return where(first, at_zero, before / safe)


def _cumprod_rule_by_place(g, x, d):
    """The same, one place i at a time: sum over k >= i of g_k times the product of the x_j, j <= k, without x_i. No
    division and no choice by value, so that its own derivatives are right at zeros too; O(n^2), hence for those only."""
    from .reduce import prod
    from .joining import cat, stack
    from .view import narrow

    n = x._layout.shape[d]
    parts = []
    for i in range(n):
        before = prod(narrow(x, d, 0, i), d, True)
        after = cumprod(narrow(x, d, i + 1, n - i - 1), d)
        others = cat((before, before * after), d)
        parts.append((narrow(g, d, i, n - i) * others).sum(d))
    return stack(parts, d)


def _extremum(name):
    result_type = namedtuple(name, ("values", "indices"))
    result_type.__module__ = "dlgrad.return_types"

    def f(input, dim, *, out=None):
        check(name, input)
        lay = input._layout
        d = wrap_dim(dim, lay.ndim, name)
        values, indices = _run(name, input, d, (lay.dtype, dt.int64))
        record(values, name.capitalize() + "Backward0", lambda g, i: _route(g, i, lay.shape, d), (input,), (indices,))
        result = result_type(values, indices)
        return result if out is None else write_out(name, out, result)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The running {'maximum' if name == 'cummax' else 'minimum'} along `dim` and its index: (values, indices)."
    return method(f)


def _route(g, indices, shape, d):
    from .create import zeros

    if not len(shape):
        return g
    return zeros(tuple(shape), dtype=g._layout.dtype).scatter_add(d, indices, g)


cummax, cummin = _extremum("cummax"), _extremum("cummin")


@method
def logcumsumexp(input, dim, *, out=None):
    """log of the running sum of exp along `dim`, without overflow."""
    check("logcumsumexp", input)
    d = wrap_dim(dim, input._layout.ndim, "logcumsumexp")
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(f"logcumsumexp(): not implemented for {input._layout.dtype.name}")
    result = _run("logcumsumexp", input, d, (input._layout.dtype,))

    def rule(g, x, y):
        from .ternary import where

        # sum over k >= i of g_k e^(x_i - y_k), positive and negative parts by their logarithms
        low = float("-inf")
        if x._layout.ndim == 0:
            return g
        up = where(g > 0, g.abs().log() - y, low)
        down = where(g < 0, g.abs().log() - y, low)
        back = lambda t: logcumsumexp(t.flip(d), d).flip(d)  # noqa: E731
        return (back(up) + x).exp() - (back(down) + x).exp()

    record(result, "LogcumsumexpBackward0", rule, (input,), (input, None), own=1)
    return result if out is None else write_out("logcumsumexp", out, result)


@method
def diff(input, n=1, dim=-1, prepend=None, append=None):
    """The n-th difference along `dim`."""
    from .binary import logical_xor
    from .joining import cat
    from .view import narrow

    check("diff", input)
    if input._layout.ndim == 0:
        raise RuntimeError("diff(): expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff(): order must be non-negative but got {n}")
    d = wrap_dim(dim, input._layout.ndim, "diff")
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    if n == 0:
        return x.clone()
    for _ in range(min(n, x._layout.shape[d])):
        size = x._layout.shape[d]
        if size == 0:
            break
        a, b = narrow(x, d, 1, size - 1), narrow(x, d, 0, size - 1)
        x = logical_xor(a, b) if x._layout.dtype is dt.bool else a - b
    return x
