"""Products of vectors (cross, kron), distances between points, and closeness of elements."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import each_member
from ..layout import Layout, broadcast_shapes, contiguous, wrap_dim
from ..tensor import Tensor, method
from .arrange import roll, triu_indices
from .elementwise import result_type, to_tensor
from .reduce import check
from .vector_norm import vector_norm
from .writing import write_out

#: The dtypes of the kernel of `isin`.
_SEARCHED = (dt.int32, dt.int64, dt.float32, dt.float64)

# ---------------------------------------------------------------------- products


@method
def kron(input, other, *, out=None):
    """The Kronecker product: each element of `input` replaced by it times `other`."""
    for t in (input, other):
        check("kron", t)
    if out is None and not (mode.enabled and (input.requires_grad or other.requires_grad)):
        plan = _krons.get((input._layout, other._layout)) or _kron_plan(
            input._layout, other._layout
        )
        if plan is not None:
            return door.run(plan, input, other)
    n = max(input._layout.ndim, other._layout.ndim)
    a = (1,) * (n - input._layout.ndim) + tuple(input._layout.shape)
    b = (1,) * (n - other._layout.ndim) + tuple(other._layout.shape)
    wide = input.reshape(tuple(s for x in a for s in (x, 1))) * other.reshape(
        tuple(s for x in b for s in (1, x))
    )
    result = wide.reshape(tuple(x * y for x, y in zip(a, b)))
    return result if out is None else write_out("kron", out, result)


_krons: dict = {}


def _kron_plan(a, b):
    """The plan for matrices of these layouts, outside of any graph; None where the kernel does not take them."""
    d = a.dtype
    if (
        type(a) is not Layout
        or type(b) is not Layout
        or b.dtype is not d
        or d not in (dt.float32, dt.float64)
    ):
        return None
    if a.ndim != 2 or b.ndim != 2 or not (a.contiguous and b.contiguous):
        return None
    (n, m), (r, s) = a.shape, b.shape
    plan = door.make_plan("distance", "kron", (contiguous(d, (n * r, m * s)),), (a, b))
    return door.remember(_krons, (a, b), plan)


@method
def cross(input, other, dim=None, *, out=None):
    """The vector product along `dim`, of size 3 (the first one of that size unless given)."""
    for t in (input, other):
        check("cross", t)
    if dim is None:
        dim = next((i for i, s in enumerate(input._layout.shape) if s == 3), None)
        if dim is None:
            raise RuntimeError(
                f"cross(): no dimension of size 3 in input, which has shape {list(input._layout.shape)}"
            )
    return linalg_cross(input, other, dim=dim, out=out, name="cross")


def linalg_cross(input, other, *, dim=-1, out=None, name="linalg.cross"):
    """The vector product along `dim`, of size 3; the other dimensions broadcast."""
    if dim == -1 and out is None and name == "linalg.cross":
        return _cross_last(input, other)
    return _cross_any(input, other, dim, out, name)


def _cross_any(input, other, dim, out, name):
    a, b = input._layout, other._layout
    if a.ndim != b.ndim:
        raise RuntimeError(
            f"{name}(): inputs must have the same number of dimensions, got shapes {list(a.shape)} and {list(b.shape)}"
        )
    d = wrap_dim(dim, a.ndim, name)
    if not a.ndim or a.shape[d] != 3 or b.shape[d] != 3:
        raise RuntimeError(
            f"{name}(): inputs dimension {dim} must have length 3. Got shapes {list(a.shape)} and {list(b.shape)}"
        )
    shape = tuple(broadcast_shapes(a.shape, b.shape, op=name))
    x, y = input.expand(shape), other.expand(shape)
    plain = type(a) is type(b) is Layout and x._layout.numel
    if plain and a.dtype is b.dtype and a.dtype in (dt.float32, dt.float64):
        result = _crossed(x, y, d)
        return result if out is None else write_out(name, out, result)
    result = roll(x, -1, d) * roll(y, -2, d) - roll(x, -2, d) * roll(y, -1, d)
    return result if out is None else write_out(name, out, result)


def _cross_anew(x, y):
    result = _cross_any(x, y, -1, None, "linalg.cross")
    a, b = x._layout, y._layout
    plan = _crosses.get((a, b, a.ndim - 1))
    if type(plan) is door.Plan:  # they lie as the kernel wants them
        door.learn(_cross_last, (a, b), plan)
    return result


def _cross_recipe(plan, choice):
    return "LinalgCrossBackward0", _cross_rule, (0, 1), -1


def _cross_rule(g, x, y):
    return _cross_last(y, g), _cross_last(g, x)


_cross_last = door.quick(_cross_anew, _cross_recipe, 2)
_crosses: dict = {}


def _crossed(x, y, d):
    """The vector product along `d` of real tensors of one shape."""
    a, b = x.contiguous(), y.contiguous()
    key = a._layout, b._layout, d
    plan = _crosses.get(key)
    if plan is None:
        lay = a._layout
        ints = (math.prod(lay.shape[d + 1 :]),)
        out = contiguous(lay.dtype, lay.shape)
        plan = door.make_plan("distance", "cross", (out,), key[:2], ints, name="linalg.cross")
        door.remember(_crosses, key, plan)

    def rule(g, x, y):
        return _crossed(y, g, d), _crossed(g, x, d)

    return record(door.run(plan, a, b), "LinalgCrossBackward0", rule, (x, y), (x, y))


# ---------------------------------------------------------------------- distances


_MATMUL_FROM = (
    25  # more points than this: Euclidean distances by a matrix product, as PyTorch chooses
)


def _direct(p, *points):
    """Whether the kernel takes these points."""
    d = points[0]._layout.dtype
    plain = all(
        [type(x._layout) is Layout and x._layout.ndim >= 2 and x._layout.numel for x in points]
    )
    return plain and p in (0, 1, 2, math.inf) and d in (dt.float32, dt.float64)


def _distances(x1, x2, p):
    """Distances between the rows of matrices, outside of the graph. Leading dimensions are alike."""
    a, b = x1.detach().contiguous(), x2.detach().transpose(-2, -1).contiguous()
    out = contiguous(a._layout.dtype, (*a._layout.shape[:-1], b._layout.shape[-1]))
    return door.call("distance", "cdist", out, (a, b), floats=(float(p),))


_pairs: dict = {}


def pair_distances(x, p):
    """Distances between all pairs of rows of a matrix; None where the kernel does not take it."""
    p = float(p)
    wants = mode.enabled and x.requires_grad
    if not _direct(p, x) or (wants and p != 2):
        return None
    a = x.detach().contiguous()
    key = a._layout, p
    plan = _pairs.get(key)
    if plan is None:
        lay = a._layout
        n, k = lay.shape
        columns = contiguous(lay.dtype, (k, n))
        out = contiguous(lay.dtype, (n * (n - 1) // 2,))
        plan = door.make_plan(
            "distance", "pdist", (out,), (lay, columns), floats=(p,), name="pdist"
        )
        door.remember(_pairs, key, plan)
    result = door.run(plan, a, a.transpose(0, 1).contiguous())
    return (
        record(result, "PdistBackward0", _pairs_rule, (x,), (x, None), own=1) if wants else result
    )


def _pairs_rule(g, x, d):
    """The sum over the other points of g (x - other) / d, for Euclidean distances d."""
    if not mode.enabled and type(g._layout) is Layout:
        inputs = g.contiguous(), d.contiguous(), x.contiguous()
        return door.call("distance", "pdist_backward", inputs[2]._layout, inputs)
    n = x._layout.shape[0]
    i, j = triu_indices(n, n, 1)
    difference = x.index_select(0, i) - x.index_select(0, j)
    d = vector_norm(difference, 2.0, -1)
    each = (g / d).masked_fill(d == 0, 0.0).unsqueeze(-1) * difference
    return (x * 0).index_add(0, i, each).index_add(0, j, -each)


def _slopes_rule(p, second):
    """The gradient of the first (or second) points of the sums of differences (p = 1), or of the largest ones."""

    def rule(g, a, b, d):
        if second:
            g, d, a, b = g.transpose(-2, -1), d.transpose(-2, -1), b, a
        if not mode.enabled and type(g._layout) is Layout:
            inputs = tuple([t.contiguous() for t in (g, d, a, b)])
            out = inputs[2]._layout
            return door.call("distance", "cdist_backward", out, inputs, floats=(p,))
        difference = (a.unsqueeze(-2) - b.unsqueeze(-3)).detach()
        slope = difference.sign()
        if p != 1:
            slope = slope * (difference.abs() >= d.detach().unsqueeze(-1))
        return (g.unsqueeze(-1) * slope).sum(-2)

    return rule


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The distances (norms of order p) between the points (..., n, k) and (..., m, k): (..., n, m)."""
    for t in (x1, x2):
        check("cdist", t)
        if not t._layout.dtype.is_floating_point:
            raise RuntimeError(
                f"cdist(): only supports floating-point dtypes, got {t._layout.dtype.name}"
            )
        if t._layout.ndim < 2:
            raise RuntimeError(
                f"cdist(): expects tensors of at least two dimensions, got shape {list(t._layout.shape)}"
            )
    a, b = x1._layout.shape, x2._layout.shape
    if a[-1] != b[-1]:
        raise RuntimeError(
            f"cdist(): X1 and X2 must have the same number of columns, got shapes {list(a)} and {list(b)}"
        )
    p = float(p)
    if p < 0:
        raise RuntimeError(f"cdist(): only supports non-negative p values, got {p}")
    modes = (
        "use_mm_for_euclid_dist_if_necessary",
        "use_mm_for_euclid_dist",
        "donot_use_mm_for_euclid_dist",
    )
    if compute_mode is None:
        compute_mode = modes[0]
    if compute_mode not in modes:
        raise ValueError(f"cdist(): {compute_mode} is not a valid value for compute_mode")
    common = result_type(x1, x2)
    lead = tuple(broadcast_shapes(a[:-2], b[:-2], op="cdist"))
    x1, x2 = x1.to(common), x2.to(common)
    x1 = x1 if a[:-2] == lead else x1.expand((*lead, *a[-2:]))
    x2 = x2 if b[:-2] == lead else x2.expand((*lead, *b[-2:]))
    if a[-1] == 0:
        p = 1.0  # nothing to add up: zeros, whatever p
    direct = _direct(p, x1, x2)
    if p != 2:
        if direct and not (mode.enabled and (x1.requires_grad or x2.requires_grad)):
            return _distances(x1, x2, p)
        if direct and p in (1, math.inf):
            rules = _slopes_rule(p, False), _slopes_rule(p, True)
            d = _distances(x1, x2, p)
            return record(d, "CdistBackward0", rules, (x1, x2), (x1, x2, None), own=2)
        return vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
    u, v = x1.detach(), x2.detach()
    if compute_mode == modes[1] or (
        compute_mode == modes[0] and (a[-2] > _MATMUL_FROM or b[-2] > _MATMUL_FROM)
    ):
        square = (
            (u * u).sum(-1, True) + (v * v).sum(-1).unsqueeze(-2) - (u @ v.transpose(-1, -2)) * 2
        )
        result = square.clamp(min=0).sqrt()
    elif direct:
        result = _distances(u, v, p)
    else:
        result = vector_norm(u.unsqueeze(-2) - v.unsqueeze(-3), 2, -1)
    rules = _to_first, _to_second
    return record(result, "CdistBackward0", rules, (x1, x2), (x1, x2, None), own=2)


def _share(g, y):
    from .ternary import where

    return where(y == 0, 0.0, g / y)


def _to_first(g, u, v, y):
    w = _share(g, y)
    return u * w.sum(-1, True) - w @ v


def _to_second(g, u, v, y):
    w = _share(g, y).transpose(-1, -2)
    return v * w.sum(-1, True) - w @ u


def pdist(input, p=2.0):
    """The distances (norms of order p) between all pairs of rows of a matrix: n (n - 1) / 2 of them."""
    check("pdist", input)
    lay = input._layout
    if lay.ndim != 2:
        raise RuntimeError(f"pdist(): only supports 2D tensors, got: {lay.ndim}D")
    if not lay.dtype.is_floating_point:
        raise RuntimeError(f"pdist(): only supports floating-point dtypes, got {lay.dtype.name}")
    if p < 0:
        raise RuntimeError(f"pdist(): only supports non-negative p values, got {p}")
    result = pair_distances(input, p)
    if result is not None:
        return result
    pairs = triu_indices(lay.shape[0], lay.shape[0], 1)
    return vector_norm(
        input.index_select(0, pairs[0]) - input.index_select(0, pairs[1]), float(p), -1
    )


# ---------------------------------------------------------------------- closeness, membership


@method
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Where |input - other| <= atol + rtol |other|."""
    for t in (input, other):
        check("isclose", t)
    d = input._layout.dtype
    if other._layout.dtype is not d:
        raise RuntimeError(
            f"isclose(): {d.name} did not match {other._layout.dtype.name}; both need the same dtype"
        )
    if rtol < 0 or atol < 0:
        raise RuntimeError(
            f"isclose(): rtol and atol must be greater than or equal to zero, but got {rtol} and {atol}"
        )
    input, other = input.detach(), other.detach()
    close = input == other
    if equal_nan and (d.is_floating_point or d.is_complex):
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    if not (d.is_floating_point or d.is_complex):
        input, other = input.to(dt.get_default_dtype()), other.to(dt.get_default_dtype())
    actual = (input - other).abs()
    return close | (actual.isfinite() & (actual <= atol + (other * rtol).abs()))


@method
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close (see `isclose`)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@each_member
def isin(elements, test_elements, *, assume_unique=False, invert=False, out=None):
    """Which elements are among `test_elements` (invert: are not)."""
    from .sort import searchsorted, sort

    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): elements or test_elements must be a Tensor")
    common = result_type(elements, test_elements)
    x = to_tensor("isin", elements).detach().to(common)
    among = to_tensor("isin", test_elements).detach().to(common).reshape(-1)
    n = among._layout.numel
    lay = x._layout
    if n and lay.numel and common in _SEARCHED and type(lay) is type(among._layout) is Layout:
        if n > 24:
            among = sort(among).values
        flat = x.reshape(-1).contiguous()
        found = door.call(
            "search",
            "isin",
            contiguous(dt.bool, (lay.numel,)),
            (flat, among.contiguous()),
            ints=(int(bool(invert)),),
        )
        found = found.reshape(lay.shape)
        return found if out is None else write_out("isin", out, found, exact=True)
    if n < 10 * x._layout.numel**0.145:  # as PyTorch: a few are compared one by one
        found = (x.unsqueeze(-1) == among).any(-1)
    else:
        among = sort(among).values
        # nans come last, and equal nothing; the search would lose its way among them.
        keys = (
            among.nan_to_num(math.inf, math.inf, -math.inf) if common.is_floating_point else among
        )
        found = among.take(searchsorted(keys, x).clamp(max=n - 1)) == x
    result = ~found if invert else found
    return result if out is None else write_out("isin", out, result, exact=True)
