"""Running sums, products and extrema along a dimension."""

from __future__ import annotations

from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import every_member
from ..layout import alike, contiguous, wrap_dim
from ..tensor import Tensor, method
from .elementwise import write_out
from .reduce import check

_plans: dict = {}


def _run(row, x, d, dtypes, backwards=False):
    """The results of a scan along d, from the end to the beginning if `backwards`."""
    key = (row, x._layout, d, dtypes, backwards)
    found = _plans.get(key)
    if found is None:
        lay = x._layout
        outs = tuple([contiguous(k, tuple(lay.shape) or (1,)) for k in dtypes])
        source = lay if lay.ndim else alike(lay, contiguous(lay.dtype, (1,)))
        ints = (d, 1) if backwards else (d,)
        found = door.Several("scan", row, outs, (source,), ints)
        if lay.ndim == 0:
            found.reshape(())
        door.remember(_plans, key, found)
    results = found.run((x,))
    return results if len(results) > 1 else results[0]


def _dtype(x, dtype):
    d = x._layout.dtype
    return dtype or (d if d.is_floating_point or d.is_complex else dt.int64)


def _reverse_sum(g, d):
    """The running sum from the end."""
    if g._layout.dtype.is_complex:
        return cumsum(g.flip(d), d).flip(d) if g._layout.ndim else g
    result = _run("cumsum", g, d, (g._layout.dtype,), True)
    if g._requires_grad:
        record(result, "CumsumBackward0", lambda gg: cumsum(gg, d), (g,))
    return result


@method
def cumsum(input, dim, *, dtype=None, out=None):
    """The running sum along `dim`."""
    check("cumsum", input)
    d = wrap_dim(dim, input._layout.ndim, "cumsum")
    kind = _dtype(input, dtype)
    x = input if input._layout.dtype is kind else input.to(kind)
    result = _run("cumsum", x, d, (kind,))
    if x._requires_grad:
        record(result, "CumsumBackward0", lambda g: _reverse_sum(g, d), (x,))
    return result if out is None else write_out("cumsum", out, result, exact=dtype is not None)


@method
def cumprod(input, dim, *, dtype=None, out=None):
    """The running product along `dim`. The gradient is right at zeros too."""
    check("cumprod", input)
    d = wrap_dim(dim, input._layout.ndim, "cumprod")
    kind = _dtype(input, dtype)
    x = input if input._layout.dtype is kind else input.to(kind)
    if kind.is_complex:
        result = _complex_cumprod(x, d) if x._layout.ndim else x.clone()
        return result if out is None else write_out("cumprod", out, result)
    result = _run("cumprod", x, d, (kind,))
    if x._requires_grad:
        record(result, "CumprodBackward0", lambda g, x, y: _cumprod_rule(g, x, y, d), (x,), (x, None), own=1)
    return result if out is None else write_out("cumprod", out, result)


def _complex_cumprod(x, d):
    """Products of 2, 4, 8 ... up to each place."""
    from .joining import cat
    from .slicing import narrow

    n = x._layout.shape[d]
    step = 1
    while step < n:
        x = cat((narrow(x, d, 0, step), narrow(x, d, step, n - step) * narrow(x, d, 0, n - step)), d)
        step *= 2
    return x if step > 1 else x.clone()


def _cumprod_rule(g, x, y, d):
    """d y_k / d x_i is the product of the others up to k. Away from zeros y_k / x_i; from the first zero on a line
    on, the products are worked out without dividing by it."""
    from .ternary import where

    if x._layout.ndim == 0:
        return g
    if not bool(every_member(x == 0).any()):
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
    from .joining import cat, stack
    from .reduce import prod
    from .slicing import narrow

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
    node_name = name.capitalize() + "Backward0"

    def f(input, dim, *, out=None):
        check(name, input)
        lay = input._layout
        d = wrap_dim(dim, lay.ndim, name)
        values, indices = _run(name, input, d, (lay.dtype, dt.int64))
        if input._requires_grad:
            record(values, node_name, lambda g, i: _route(g, i, lay.shape, d), (input,), (indices,))
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


def _reverse_logcumsumexp(t, d):
    if mode.enabled:
        return logcumsumexp(t.flip(d), d).flip(d)
    return _run("logcumsumexp", t, d, (t._layout.dtype,), True)


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
        back = lambda t: _reverse_logcumsumexp(t, d)  # noqa: E731
        return (back(up) + x).exp() - (back(down) + x).exp()

    if input._requires_grad:
        record(result, "LogcumsumexpBackward0", rule, (input,), (input, None), own=1)
    return result if out is None else write_out("logcumsumexp", out, result)


@method
def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """The n-th difference along `dim`."""
    from .binary import logical_xor
    from .joining import cat
    from .slicing import narrow

    check("diff", input)
    if input._layout.ndim == 0:
        raise RuntimeError("diff(): expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff(): order must be non-negative but got {n}")
    d = wrap_dim(dim, input._layout.ndim, "diff")
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    if n == 0:
        x = input.clone()
    for _ in range(min(n, x._layout.shape[d])):
        size = x._layout.shape[d]
        if size == 0:
            break
        a, b = narrow(x, d, 1, size - 1), narrow(x, d, 0, size - 1)
        x = logical_xor(a, b) if x._layout.dtype is dt.bool else a - b
    return x if out is None else write_out("diff", out, x, exact=n == 0)


def _slope(x, i, j, distance, d):
    """(x_j - x_i) / distance, as a slice of size 1 along d."""
    from .slicing import narrow

    return (narrow(x, d, j, 1) - narrow(x, d, i, 1)) / distance


def _derivative(x, d, spacing, edge_order):
    """The slopes of x along d by second-order central differences; spacing: a number, or the distances of neighbours (a
    vector). At the ends the differences of the nearest two or three elements (Fornberg 1988)."""
    from .joining import cat
    from .slicing import narrow

    n = x._layout.shape[d]
    if not isinstance(spacing, Tensor):
        inner = (narrow(x, d, 2, n - 2) - narrow(x, d, 0, n - 2)) / (2 * spacing)
        first, last = _slope(x, 0, 1, spacing, d), _slope(x, n - 2, n - 1, spacing, d)
        if edge_order == 2:
            first = first * 1.5 - _slope(x, 1, 2, spacing, d) * 0.5
            last = last * 1.5 - _slope(x, n - 3, n - 2, spacing, d) * 0.5
        return cat((first, inner, last), d)
    slopes = (narrow(x, d, 1, n - 1) - narrow(x, d, 0, n - 1)) / spacing.reshape((-1,) + (1,) * (x._layout.ndim - 1 - d))
    before, after = narrow(slopes, d, 0, n - 2), narrow(slopes, d, 1, n - 2)
    share = (spacing[:-1] / (spacing[:-1] + spacing[1:])).reshape((-1,) + (1,) * (x._layout.ndim - 1 - d))
    inner = before + (after - before) * share
    first, last = narrow(slopes, d, 0, 1), narrow(slopes, d, n - 2, 1)
    if edge_order == 2:
        # A parabola's slope at an end: twice that of the chord to the middle point, less the slope there.
        first = first * 2 - narrow(inner, d, 0, 1)
        last = last * 2 - narrow(inner, d, n - 3, 1)
    return cat((first, inner, last), d)


def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """The slopes of `input`, taken as samples of a function, along each of `dim` (all dimensions unless given): a tuple.

    spacing: the distance of neighbouring samples, one for each dimension, or vectors of their coordinates. edge_order (1 or
    2): of the estimates at the ends. Raises RuntimeError where a dimension has no more than edge_order elements.
    """
    check("gradient", input)
    ndim = input._layout.ndim
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient(): only supports edge_order=1 and edge_order=2, got {edge_order}")
    dims = list(range(ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [wrap_dim(d, ndim, "gradient") for d in dims]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"gradient(): dim {dims} appears more than once in the list of dims")
    spacing = 1 if spacing is None else spacing
    spacings = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if isinstance(spacing, Tensor):
        raise TypeError("gradient(): spacing must be a number, or a list of numbers or tensors, not Tensor")
    if len(spacings) != len(dims):
        raise RuntimeError(f"gradient(): expected spacing to be unspecified, a number, or a list of length {len(dims)}, got {len(spacings)} entries")
    x = input if input._layout.dtype.is_floating_point else input.to(dt.get_default_dtype())
    out = []
    for d, h in zip(dims, spacings):
        size = input._layout.shape[d]
        if size <= edge_order:
            raise RuntimeError(f"gradient(): expected each dimension size to be at least edge_order + 1 = {edge_order + 1}, got {size} at {d}")
        if isinstance(h, Tensor):
            if h.dim() != 1 or h.numel() != size:
                raise RuntimeError(f"gradient(): expected each coordinate tensor to have the size {size} of its dimension, got {list(h.shape)}")
            h = diff(h.to(x._layout.dtype) if not h.dtype.is_floating_point else h)
        out.append(_derivative(x, d, h, edge_order))
    return tuple(out)
