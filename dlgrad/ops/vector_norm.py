"""Norms of the elements over some dimensions, and what is made of them: renorm and dist.

Each order is a row of zig/ops/reduce.zig."""

from __future__ import annotations

import math

from ..autograd.graph import record
from ..layout import wrap_dim
from ..tensor import Tensor, method
from .elementwise import as_number, write_out
from .reduce import check, count, dims_of, run, spread, sum


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(sum |x|^ord)^(1 / ord) over `dim`; ord inf, -inf: the largest, smallest |x|; 0: how many are not 0."""
    check("vector_norm", x)
    if dtype is not None:
        x = x.to(dtype)
    if x._layout.dtype.is_complex:
        x = x.abs()
    lay = x._layout
    if not lay.dtype.is_floating_point:
        raise RuntimeError(
            f"vector_norm(): Expected a floating point or complex tensor as input. Got {lay.dtype.name}"
        )
    ord = float(as_number(ord.item() if isinstance(ord, Tensor) else ord))
    dims = dims_of(dim, lay.ndim, "vector_norm")
    if math.isinf(ord) or ord < 0:
        if count(lay.shape, dims) == 0:
            raise RuntimeError(
                f"vector_norm(): cannot compute the {ord} norm on the dimension {list(dims)} of an empty tensor: it has no identity"
            )
    rows = {
        2.0: "norm2",
        1.0: "norm1",
        0.0: "norm0",
        math.inf: "norm_inf",
        -math.inf: "norm_neg_inf",
    }
    row = rows.get(ord, "norm_p")
    result = run(
        row,
        x,
        dims,
        keepdim,
        (lay.dtype,),
        floats=(ord,) if row == "norm_p" else (),
        name="vector_norm",
    )
    if x._requires_grad:
        rule = lambda g, x, y: _norm_rule(g, x, y, ord, dims, keepdim)  # noqa: E731
        record(result, "LinalgVectorNormBackward0", rule, (x,), (x, None), own=1)
    return result if out is None else write_out("vector_norm", out, result)


def _norm_rule(g, x, y, p, dims, keepdim):
    """g sign(x) (|x| / y)^(p - 1), and 0 where y is 0; for p = inf shared among the largest."""
    from .ternary import where

    shape = x._layout.shape
    if p == 2:
        return x * spread(where(y == 0, 0.0, g / y), shape, dims, keepdim)
    g, y = spread(g, shape, dims, keepdim), spread(y, shape, dims, keepdim)
    if p == 0:
        return g * 0
    if p == 1:
        return g * x.sign()
    if math.isinf(p):
        size = x.abs()
        hit = ((size == y) | (size.isnan() & y.isnan())).to(g._layout.dtype)
        n = sum(hit, dims, True) if len(shape) else hit
        return g * x.sign() * hit / n
    if p < 1:
        slope = x.sign() * x.abs() ** (p - 1) * y ** (1 - p)
        return g * where(x == 0, 0.0, slope)
    if p < 2:
        return where(y == 0, 0.0, g * (x.sign() * x.abs() ** (p - 1) / y ** (p - 1)))
    return where(y == 0, 0.0, g * (x * x.abs() ** (p - 2) / where(y == 0, 1.0, y) ** (p - 1)))


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The vector norm of order p over `dim` ('fro': 2)."""
    check("norm", input)
    if p in ("fro", None):
        p = 2
    elif p == "nuc":
        from ..linalg import matrix_norm

        return matrix_norm(
            input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out
        )
    elif isinstance(p, str):
        raise RuntimeError(f"norm(): unsupported order {p!r}; use 'fro' or a number")
    if isinstance(dim, (list, tuple)) and not dim:
        dim = None
    kind = dtype or input._layout.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"norm(): Expected a floating point or complex tensor as input. Got {input._layout.dtype.name}"
        )
    return vector_norm(input, p, dim, keepdim, dtype=dtype, out=out)


@method
def renorm(input, p, dim, maxnorm, *, out=None):
    """A copy with each slice along `dim` whose norm of order p is over `maxnorm` scaled down to it.

    Raises RuntimeError unless p > 0, maxnorm >= 0 and the input has two dimensions or more."""
    from .ternary import where

    check("renorm", input)
    lay = input._layout
    if p <= 0:
        raise RuntimeError(f"renorm(): non-positive norm not supported, got p = {p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm(): expected maxnorm to be >= 0 but got {maxnorm}")
    if lay.ndim < 2:
        raise RuntimeError(
            f"renorm(): input needs at least 2 dimensions, got {lay.ndim} dimensions"
        )
    d = wrap_dim(dim, lay.ndim, "renorm")
    size = vector_norm(input, p, [i for i in range(lay.ndim) if i != d], True)
    # PyTorch's 1e-7 keeps the scaled norm from passing maxnorm by rounding.
    result = input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    return result if out is None else write_out("renorm", out, result)


def dist(input, other, p=2):
    """The norm of order p of input - other."""
    return norm(input - other, p)


for _f in (norm, dist):
    method(_f)
