"""Rearranging elements: triangles, flips, rolls, repeats, diagonals, grids, stacking, writing into slices; and small
compositions around them: kron, cross, distances, covariance, histograms, closeness."""

from __future__ import annotations

import itertools
import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import broadcast_shapes, contiguous, wrap_dim, wrap_dims
from ..tensor import Tensor, method
from .elementwise import result_type, to_tensor, write_out
from .reduce import check, vector_norm
from .unary import inplace
from .view import cat, select, sizes_of, slice_, stack, strided_view
from .writing import copy_into


def _tensors(name, tensors):
    """The tensors of f(a, b) and of f([a, b])."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): expected Tensors, got {type(t).__name__}")
    return tuple(tensors)


# ---------------------------------------------------------------------- triangles


def _triangle(name, doc):
    def f(input, diagonal=0, *, out=None):
        check(name, input)
        lay = input._layout
        if lay.ndim < 2:
            raise RuntimeError(f"{name}(): input tensor must have at least 2 dimensions, got shape {list(lay.shape)}")
        k = diagonal.__index__()
        result = door.call("fill", name, contiguous(lay.dtype, tuple(lay.shape)), (input,), ints=(k,))
        record(result, name.capitalize() + "Backward0", lambda g: f(g, k), (input,))
        return result if out is None else write_out(name, out, result, exact=True)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    inplace(name, f)
    return method(f)


tril = _triangle("tril", "The lower triangles of matrices: elements with column <= row + diagonal, zeros elsewhere.")
triu = _triangle("triu", "The upper triangles of matrices: elements with column >= row + diagonal, zeros elsewhere.")


def _triangle_indices(name, row, col, offset, dtype, upper):
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}(): row and col must be non-negative, got {row} and {col}")
    if dtype not in (None, dt.int64, dt.int32):
        raise RuntimeError(f"{name}(): not implemented for {dtype.name}; use int64 or int32")
    mask = door.call("fill", "tri_mask", contiguous(dt.bool, (row, col)), (), ints=(offset, upper), name=name)
    result = mask.nonzero().t().contiguous()
    return result if dtype is None else result.to(dtype)


def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The (2, n) row and column indices of the lower triangle of a row x col matrix."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, 0)


def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The (2, n) row and column indices of the upper triangle of a row x col matrix."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, 1)


# ---------------------------------------------------------------------- reversed, shifted, repeated


def _same_shape(row, input, ints):
    lay = input._layout
    return door.call("fill", row, contiguous(lay.dtype, tuple(lay.shape)), (input,), ints=ints)


@method
def flip(input, *args, dims=None):
    """The elements in reverse order along `dims`. A copy."""
    check("flip", input)
    d = wrap_dims(sizes_of((dims,) if dims is not None and not args else args, "flip"), input._layout.ndim, "flip")
    if not d or not input._layout.ndim:
        return input.clone()
    return record(_same_shape("flip", input, d), "FlipBackward0", lambda g: flip(g, d), (input,))


@method
def fliplr(input):
    """The columns in reverse order."""
    check("fliplr", input)
    if input._layout.ndim < 2:
        raise RuntimeError(f"fliplr(): input must be >= 2-d, got shape {list(input._layout.shape)}")
    return flip(input, 1)


@method
def flipud(input):
    """The rows in reverse order."""
    check("flipud", input)
    if input._layout.ndim < 1:
        raise RuntimeError("flipud(): input must be >= 1-d, got a 0-d tensor")
    return flip(input, 0)


@method
def roll(input, shifts, dims=None):
    """The elements moved by `shifts` along `dims`, those that leave at one end come in at the other (of the
    flattened input without dims)."""
    check("roll", input)
    shifts = sizes_of((shifts,), "roll")
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        if len(shifts) != 1:
            raise RuntimeError(f"roll(): shifts and dimensions must align. shifts: {len(shifts)}, dims: 0")
        return roll(input.reshape(-1), shifts, 0).reshape(tuple(input._layout.shape))
    dims = sizes_of((dims,), "roll")
    if len(shifts) != len(dims):
        raise RuntimeError(f"roll(): shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}")
    lay = input._layout
    if lay.numel == 0:
        return input.clone()
    if not lay.ndim:
        raise IndexError("roll(): a dimension was given, but the tensor has no dimensions")
    pairs = [(s, wrap_dim(d, lay.ndim, "roll")) for s, d in zip(shifts, dims)]
    ints = tuple(n for pair in pairs for n in pair)
    back = tuple(-s for s, _ in pairs), tuple(d for _, d in pairs)
    return record(_same_shape("roll", input, ints), "RollBackward0", lambda g: roll(g, *back), (input,))


@method
def rot90(input, k=1, dims=(0, 1)):
    """Turned by k times 90 degrees, from the first of `dims` towards the second."""
    check("rot90", input)
    n = input._layout.ndim
    if len(dims) != 2:
        raise RuntimeError(f"rot90(): expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"rot90(): expected total dims >= 2, but got total dims = {n}")
    a, b = (wrap_dim(d, n, "rot90") for d in dims)
    if a == b:
        raise RuntimeError(f"rot90(): expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 2:
        return flip(input, a, b)
    return flip(input, b if k == 1 else a).transpose(a, b) if k else input.clone(memory_format="contiguous")


@method
def repeat(self, *repeats):
    """The tensor repeated that many times along each dimension (`repeats` may name new leading ones). A copy."""
    repeats = sizes_of(repeats, "repeat")
    shape = tuple(self._layout.shape)
    extra = len(repeats) - len(shape)
    if extra < 0:
        raise RuntimeError(
            "repeat(): number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: "
            f"repeats {list(repeats)}, shape {list(shape)}"
        )
    if any(r < 0 for r in repeats):
        raise RuntimeError(f"repeat(): trying to create tensor with negative dimension: repeats {list(repeats)}")
    short, wide, reduced = [], [], []  # with a dimension of size 1 before each repeated one
    for r, s in zip(repeats, (1,) * extra + shape):
        if r != 1:
            reduced.append(len(wide))
            short.append(1)
            wide.append(r)
        short.append(s)
        wide.append(s)
    full = tuple(r * s for r, s in zip(repeats, (1,) * extra + shape))
    result = self.detach().reshape(tuple(short)).expand(tuple(wide)).clone(memory_format="contiguous").reshape(full).detach()

    def rule(g):
        g = g.reshape(tuple(wide))
        return (g.sum(tuple(reduced)) if reduced else g).reshape(shape)

    return record(result, "RepeatBackward0", rule, (self,))


@method
def tile(input, *args, dims=None):
    """The tensor repeated along each dimension, the last ones where `dims` has fewer. A copy."""
    check("tile", input)
    dims = sizes_of((dims,) if dims is not None and not args else args, "tile")
    return repeat(input, (1,) * (input._layout.ndim - len(dims)) + dims)


# ---------------------------------------------------------------------- diagonals


@method
def diag(input, diagonal=0, *, out=None):
    """A matrix with the vector `input` on its diagonal, or (a copy of) the diagonal of the matrix `input`."""
    check("diag", input)
    n = input._layout.ndim
    if n not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {n}D")
    result = diag_embed(input, diagonal) if n == 1 else input.diagonal(diagonal).clone()
    return result if out is None else write_out("diag", out, result, exact=True)


@method
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices (in dim1 and dim2) with the last dimension of `input` on their diagonal, zeros elsewhere."""
    from .create import zeros

    check("diag_embed", input)
    lay = input._layout
    if not lay.ndim:
        raise IndexError("diag_embed(): expects a tensor of at least one dimension, got a 0-d tensor")
    d1, d2 = wrap_dim(dim1, lay.ndim + 1, "diag_embed"), wrap_dim(dim2, lay.ndim + 1, "diag_embed")
    if d1 == d2:
        raise RuntimeError(f"diag_embed(): diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape = list(lay.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, lay.shape[-1] + abs(offset))
    result = zeros(tuple(shape), dtype=lay.dtype)
    copy_into(result.diagonal(offset, d1, d2), input.detach())
    result._storage.version = 0
    return record(result, "DiagEmbedBackward0", lambda g: g.diagonal(offset, d1, d2), (input,))


@method
def diagflat(input, offset=0):
    """A matrix with all elements of `input` on its diagonal."""
    check("diagflat", input)
    return diag_embed(input.reshape(-1), offset)


@method
def trace(input):
    """The sum of the diagonal of a matrix."""
    check("trace", input)
    if input._layout.ndim != 2:
        raise RuntimeError(f"trace(): expected a matrix, but got tensor with dim {input._layout.ndim}")
    return input.diagonal().sum()


# ---------------------------------------------------------------------- grids and combinations


def meshgrid(*tensors, indexing=None):
    """For vectors of n, m, ... elements: as many tensors of shape (n, m, ...), each with its vector's elements along
    its dimension (indexing 'xy': the first two dimensions exchanged). Views."""
    ts = _tensors("meshgrid", tensors)
    if not ts:
        raise RuntimeError("meshgrid(): expects a non-empty list of tensors")
    if any(t._layout.ndim > 1 for t in ts):
        raise RuntimeError(f"meshgrid(): Expected 0D or 1D tensor in the tensor list but got: {[list(t.shape) for t in ts]}")
    if len({t._layout.dtype for t in ts}) > 1:
        raise RuntimeError(f"meshgrid(): expects all tensors to have the same dtype, got {[t._layout.dtype.name for t in ts]}")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'meshgrid(): indexing must be one of "xy" or "ij", but received: {indexing}')
    swapped = indexing == "xy" and len(ts) >= 2
    if swapped:
        ts = (ts[1], ts[0], *ts[2:])
    shape = tuple(t._layout.numel for t in ts)
    grids = [t.reshape((1,) * i + (-1,) + (1,) * (len(ts) - 1 - i)).expand(shape) for i, t in enumerate(ts)]
    if swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors):
    """The rows of all ways to take one element of each vector, the last one changing fastest."""
    ts = _tensors("cartesian_prod", tensors)
    if any(t._layout.ndim != 1 for t in ts):
        raise RuntimeError(f"cartesian_prod(): Expect a 1D vector, but got shapes {[list(t.shape) for t in ts]}")
    if len(ts) == 1:
        return ts[0]
    return stack([g.reshape(-1) for g in meshgrid(*ts)], 1)


def combinations(input, r=2, with_replacement=False):
    """The rows of all ways to take r elements of the vector `input` in order."""
    from .create import empty, tensor

    check("combinations", input)
    if input._layout.ndim != 1:
        raise RuntimeError(f"combinations(): Expect a 1D vector, but got shape {list(input._layout.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations(): Expect a non-negative number, but got {r}")
    if r == 0:
        return empty(0, dtype=input._layout.dtype)
    n = input._layout.numel
    if r == 2:
        index = triu_indices(n, n, 0 if with_replacement else 1).t()
    else:
        kind = itertools.combinations_with_replacement if with_replacement else itertools.combinations
        index = tensor([i for c in kind(range(n), r) for i in c], dtype=dt.int64).reshape((-1, r))
    return input.index_select(0, index.reshape(-1)).reshape((-1, r))


# ---------------------------------------------------------------------- more dimensions, stacking


def _at_least(name, widen, doc):
    def f(*tensors):
        ts = _tensors(name, tensors)
        results = tuple(widen(t) for t in ts)
        return results[0] if len(tensors) == 1 and isinstance(tensors[0], Tensor) else results

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


def _widen2(t):
    n = t._layout.ndim
    return t.reshape((1, 1)) if n == 0 else t.unsqueeze(0) if n == 1 else t


def _widen3(t):
    n = t._layout.ndim
    return t.reshape((1, 1, 1)) if n == 0 else t.unsqueeze(0).unsqueeze(-1) if n == 1 else t.unsqueeze(-1) if n == 2 else t


atleast_1d = _at_least("atleast_1d", lambda t: t if t._layout.ndim else t.reshape((1,)), "0-d tensors as vectors of one element; others as they are.")
atleast_2d = _at_least("atleast_2d", _widen2, "Numbers and vectors as matrices of one row; others as they are.")
atleast_3d = _at_least("atleast_3d", _widen3, "n elements as (1, n, 1), matrices as (rows, columns, 1); others as they are.")


def _joined(name, tensors, widen, dim, out):
    ts = _tensors(name, (tensors,))
    if not ts:
        raise RuntimeError(f"{name}(): expects a non-empty list of tensors")
    ts = [widen(t) for t in ts]
    result = cat(ts, dim(ts[0]) if callable(dim) else dim)
    return result if out is None else write_out(name, out, result)


def hstack(tensors, *, out=None):
    """The tensors side by side: along the second dimension (vectors: along the first)."""
    return _joined("hstack", tensors, atleast_1d, lambda t: 0 if t._layout.ndim == 1 else 1, out)


def vstack(tensors, *, out=None):
    """The tensors below each other: along the first dimension, vectors as rows."""
    return _joined("vstack", tensors, atleast_2d, 0, out)


row_stack = vstack


def dstack(tensors, *, out=None):
    """The tensors behind each other: along the third dimension."""
    return _joined("dstack", tensors, atleast_3d, 2, out)


def column_stack(tensors, *, out=None):
    """The tensors side by side, numbers and vectors as columns."""
    widen = lambda t: t.reshape((t._layout.numel, 1)) if t._layout.ndim <= 1 else t  # noqa: E731
    return _joined("column_stack", tensors, widen, 1, out)


def block_diag(*tensors):
    """A matrix with these matrices (vectors as rows, numbers as 1 x 1) along its diagonal, zeros elsewhere."""
    from .create import zeros

    ts = _tensors("block_diag", tensors)
    if not ts:
        return zeros((1, 0))
    if any(t._layout.ndim > 2 for t in ts):
        raise RuntimeError(f"block_diag(): Input tensors must have 2 or fewer dimensions, got {[list(t.shape) for t in ts]}")
    common = result_type(*[t._layout.dtype for t in ts])
    ts = [_widen2(t).to(common) for t in ts]
    corners, r, c = [], 0, 0
    for t in ts:
        h, w = t._layout.shape
        corners.append((slice(r, r + h), slice(c, c + w)))
        r, c = r + h, c + w
    result = zeros((r, c), dtype=common)
    for t, corner in zip(ts, corners):
        copy_into(result[corner], t.detach())
    result._storage.version = 0
    rules = tuple([lambda g, corner=corner: g[corner] for corner in corners])
    return record(result, "BlockDiagBackward0", rules, ts)


@method
def kron(input, other, *, out=None):
    """The Kronecker product: each element of `input` replaced by it times `other`."""
    for t in (input, other):
        check("kron", t)
    n = max(input._layout.ndim, other._layout.ndim)
    a = (1,) * (n - input._layout.ndim) + tuple(input._layout.shape)
    b = (1,) * (n - other._layout.ndim) + tuple(other._layout.shape)
    wide = input.reshape(tuple(s for x in a for s in (x, 1))) * other.reshape(tuple(s for x in b for s in (1, x)))
    result = wide.reshape(tuple(x * y for x, y in zip(a, b)))
    return result if out is None else write_out("kron", out, result)


# ---------------------------------------------------------------------- writing into a part


def _with_part(name, input, src, take):
    """A copy of `input` in which the part that `take` looks at is `src`."""
    from .create import zeros

    for t in (input, src):
        check(name, t)
    result = input.detach().clone()
    part = take(result)
    shape = tuple(src._layout.shape)
    if tuple(part._layout.shape) != shape:
        raise RuntimeError(
            f"{name}(): expected src to have a size equal to the slice of self. src size = {list(shape)}, slice size = {list(part._layout.shape)}"
        )
    copy_into(part, src.detach())
    result._storage.version = 0
    without = lambda g: _with_part(name, g, zeros(shape, dtype=g._layout.dtype), take)  # noqa: E731
    d = src._layout.dtype
    return record(result, name.title().replace("_", "") + "Backward0", (without, lambda g: take(g).to(d)), (input, src))


@method
def select_scatter(input, src, dim, index):
    """A copy of `input` whose slice at `index` along `dim` is `src`."""
    return _with_part("select_scatter", input, src, lambda x: select(x, dim, index))


@method
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """A copy of `input` whose elements start, start + step, ... before end along `dim` are `src`."""
    return _with_part("slice_scatter", input, src, lambda x: slice_(x, dim, start, end, step))


@method
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """A copy of `input` whose diagonal over dim1 and dim2 is `src`."""
    return _with_part("diagonal_scatter", input, src, lambda x: x.diagonal(offset, dim1, dim2))


@method
def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy of `input` whose elements at these sizes and strides are `src`."""
    check("as_strided_scatter", input)
    if input._layout.ndim and not input._layout.contiguous:
        input = input.contiguous()
    before, item = input._layout, input._layout.dtype.itemsize
    at = 0 if storage_offset is None else storage_offset - input._offset() // item
    if at < 0:
        raise RuntimeError(f"as_strided_scatter(): storage offset {storage_offset} is before the first element of the input")

    def take(x):
        if x._layout.strides != before.strides:
            x = x.contiguous()
        lay = x.detach().as_strided(size, stride, x._offset() // item + at)._layout
        return strided_view(x, before, lay, at)

    return _with_part("as_strided_scatter", input, src, take)


# ---------------------------------------------------------------------- counting


@method
def bincount(input, weights=None, minlength=0):
    """How often each of 0, 1, 2, ... comes among the integers of a vector (or the sum of the weights there)."""
    from .create import ones, zeros

    check("bincount", input)
    lay = input._layout
    if lay.ndim != 1 or lay.dtype.is_floating_point or lay.dtype is dt.bool:
        raise RuntimeError(f"bincount(): only supports 1-d non-negative integral inputs, got {lay.dtype.name} {list(lay.shape)}")
    if minlength < 0:
        raise RuntimeError(f"bincount(): minlength should be >= 0, got {minlength}")
    if weights is not None and tuple(weights._layout.shape) != tuple(lay.shape):
        raise RuntimeError(f"bincount(): weights should be 1-d and have the same length as input, got {list(weights.shape)} and {list(lay.shape)}")
    n = minlength
    if lay.numel:
        if input.min().item() < 0:
            raise RuntimeError("bincount(): only supports 1-d non-negative integral inputs, got a negative element")
        n = max(n, input.max().item() + 1)
    if weights is None or not lay.numel:
        return zeros(n, dtype=dt.int64).index_add(0, input.to(dt.int64), ones(lay.numel, dtype=dt.int64))
    weights = weights.detach()
    if weights._layout.dtype is not dt.float32:
        weights = weights.to(dt.float64)
    return zeros(n, dtype=weights._layout.dtype).index_add(0, input.to(dt.int64), weights)


@method
def histc(input, bins=100, min=0, max=0, *, out=None):
    """How many elements fall into each of `bins` equal parts of [min, max] (both 0: of the elements' own range)."""
    check("histc", input)
    lay = input._layout
    if not lay.dtype.is_floating_point:
        raise RuntimeError(f"histc(): not implemented for {lay.dtype.name}; convert the input first")
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be > 0, but got {bins}")
    low, high, x = float(min), float(max), input.detach().reshape(-1)
    if low == high and lay.numel:
        low, high = x.min().item(), x.max().item()
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histc(): range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"histc(): max must be larger than min, got [{low}, {high}]")
    x = x.masked_select((x >= low) & (x <= high))
    position = ((x - low) / (high - low) * bins).to(dt.int64).clamp(0, bins - 1)
    result = bincount(position, minlength=bins).to(lay.dtype)
    return result if out is None else write_out("histc", out, result, exact=True)


# ---------------------------------------------------------------------- products and distances


@method
def cross(input, other, dim=None, *, out=None):
    """The vector product along `dim`, of size 3 (the first one of that size unless given)."""
    for t in (input, other):
        check("cross", t)
    if dim is None:
        dim = next((i for i, s in enumerate(input._layout.shape) if s == 3), None)
        if dim is None:
            raise RuntimeError(f"cross(): no dimension of size 3 in input, which has shape {list(input._layout.shape)}")
    return linalg_cross(input, other, dim=dim, out=out, name="cross")


def linalg_cross(input, other, *, dim=-1, out=None, name="linalg.cross"):
    """The vector product along `dim`, of size 3; the other dimensions broadcast."""
    a, b = input._layout, other._layout
    if a.ndim != b.ndim:
        raise RuntimeError(f"{name}(): inputs must have the same number of dimensions, got shapes {list(a.shape)} and {list(b.shape)}")
    d = wrap_dim(dim, a.ndim, name)
    if not a.ndim or a.shape[d] != 3 or b.shape[d] != 3:
        raise RuntimeError(f"{name}(): inputs dimension {dim} must have length 3. Got shapes {list(a.shape)} and {list(b.shape)}")
    shape = tuple(broadcast_shapes(a.shape, b.shape, op=name))
    x, y = input.expand(shape), other.expand(shape)
    result = roll(x, -1, d) * roll(y, -2, d) - roll(x, -2, d) * roll(y, -1, d)
    return result if out is None else write_out(name, out, result)


_MATMUL_FROM = 25  # more points than this: Euclidean distances by a matrix product, as PyTorch chooses


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The distances (norms of order p) between the points (..., n, k) and (..., m, k): (..., n, m)."""
    for t in (x1, x2):
        check("cdist", t)
        if not t._layout.dtype.is_floating_point:
            raise RuntimeError(f"cdist(): only supports floating-point dtypes, got {t._layout.dtype.name}")
        if t._layout.ndim < 2:
            raise RuntimeError(f"cdist(): expects tensors of at least two dimensions, got shape {list(t._layout.shape)}")
    a, b = x1._layout.shape, x2._layout.shape
    if a[-1] != b[-1]:
        raise RuntimeError(f"cdist(): X1 and X2 must have the same number of columns, got shapes {list(a)} and {list(b)}")
    p = float(p)
    if p < 0:
        raise RuntimeError(f"cdist(): only supports non-negative p values, got {p}")
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode is None:
        compute_mode = modes[0]
    if compute_mode not in modes:
        raise ValueError(f"cdist(): {compute_mode} is not a valid value for compute_mode")
    common = result_type(x1, x2)
    lead = tuple(broadcast_shapes(a[:-2], b[:-2], op="cdist"))
    x1, x2 = x1.to(common).expand((*lead, *a[-2:])), x2.to(common).expand((*lead, *b[-2:]))
    if a[-1] == 0:
        p = 1.0  # nothing to add up: zeros, whatever p
    if p != 2:
        return vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
    u, v = x1.detach(), x2.detach()
    if compute_mode == modes[1] or (compute_mode == modes[0] and (a[-2] > _MATMUL_FROM or b[-2] > _MATMUL_FROM)):
        square = (u * u).sum(-1, True) + (v * v).sum(-1).unsqueeze(-2) - (u @ v.transpose(-1, -2)) * 2
        result = square.clamp(min=0).sqrt()
    else:
        result = vector_norm(u.unsqueeze(-2) - v.unsqueeze(-3), 2, -1)

    def share(g, y):
        from .ternary import where

        return where(y == 0, 0.0, g / y)

    def to_first(g, u, v, y):
        w = share(g, y)
        return u * w.sum(-1, True) - w @ v

    def to_second(g, u, v, y):
        w = share(g, y).transpose(-1, -2)
        return v * w.sum(-1, True) - w @ u

    return record(result, "CdistBackward0", (to_first, to_second), (x1, x2), (x1, x2, None), own=2)


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
    pairs = triu_indices(lay.shape[0], lay.shape[0], 1)
    return vector_norm(input.index_select(0, pairs[0]) - input.index_select(0, pairs[1]), float(p), -1)


# ---------------------------------------------------------------------- closeness, membership


@method
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Where |input - other| <= atol + rtol |other|."""
    for t in (input, other):
        check("isclose", t)
    d = input._layout.dtype
    if other._layout.dtype is not d:
        raise RuntimeError(f"isclose(): {d.name} did not match {other._layout.dtype.name}; both need the same dtype")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose(): rtol and atol must be greater than or equal to zero, but got {rtol} and {atol}")
    input, other = input.detach(), other.detach()
    close = input == other
    if equal_nan and d.is_floating_point:
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    if not d.is_floating_point:
        input, other = input.to(dt.get_default_dtype()), other.to(dt.get_default_dtype())
    actual = (input - other).abs()
    return close | (actual.isfinite() & (actual <= atol + (other * rtol).abs()))


@method
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close (see `isclose`)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Which elements are among `test_elements` (invert: are not)."""
    from .sort import searchsorted, sort

    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): elements or test_elements must be a Tensor")
    common = result_type(elements, test_elements)
    x = to_tensor("isin", elements).detach().to(common)
    among = to_tensor("isin", test_elements).detach().to(common).reshape(-1)
    if common.is_floating_point:
        among = among.masked_select(among == among)  # no nan: it equals nothing, and would mislead the search
    n = among._layout.numel
    if n <= 1:
        found = x == among[0] if n else (x == x) & False
    else:
        among = sort(among).values
        found = among.take(searchsorted(among, x).clamp(max=n - 1)) == x
    return ~found if invert else found


@method
def real(input):
    """The tensor itself: there are no complex numbers."""
    check("real", input)
    return input


Tensor.real = property(real)


# ---------------------------------------------------------------------- statistics


def _matrix_of(name, input):
    check(name, input)
    if input._layout.ndim > 2:
        raise RuntimeError(f"{name}(): expected input to have two or fewer dimensions but got an input with {input._layout.ndim} dimensions")
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
            raise RuntimeError(f"cov(): expected {what} to have one or fewer dimensions but got {what} with {w._layout.ndim} dimensions")
        if w._layout.dtype.is_floating_point != (what == "aweights"):
            kind = "floating point" if what == "aweights" else "integral"
            raise RuntimeError(f"cov(): expected {what} to have {kind} dtype but got {what} with {w._layout.dtype.name} dtype")
        if w._layout.numel != n:
            raise RuntimeError(f"cov(): expected {what} to have the same numel as there are observations in the input but got {w._layout.numel} != {n}")
        if n and bool((w.detach() < 0).any()):
            raise RuntimeError(f"cov(): {what} cannot be negative")
        weights = w.reshape(-1) if weights is None else weights * w.reshape(-1)
    if weights is None:
        total = n
        mean = x.sum(1) / n
        norm = n - correction
        norm = norm if norm > 0 else 0
    else:
        total = weights.sum()
        if n and total.item() == 0:
            raise ZeroDivisionError("cov(): weights sum to zero, can't be normalized")
        mean = (x * weights).sum(1) / total
        if aweights is None or correction == 0:
            norm = total - correction
        else:
            norm = total - correction * (weights * aweights).sum() / total
        norm = norm.clamp(min=0)
    x = x - mean.unsqueeze(1)
    product = (x @ (x if weights is None else x * weights).t())
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


def vander(x, N=None, increasing=False):  # noqa: N803
    """The powers of the elements of a vector as rows: x^(N-1) ... x, 1, or the other way round."""
    from .create import ones

    check("vander", x)
    if x._layout.ndim != 1:
        raise RuntimeError(f"vander(): x must be a one-dimensional tensor, got shape {list(x._layout.shape)}")
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
            raise RuntimeError(f"{name}(): There must be one x value for each sample point, got x of {x._layout.numel} and {n} along dim {d}")
        x = x.reshape((-1,) + (1,) * (lay.ndim - 1 - d))
        steps = x.narrow(0, 1, n - 1) - x.narrow(0, 0, n - 1)
    else:
        at = d - lay.ndim
        if x._layout.ndim < -at or x._layout.shape[at] != n:
            raise RuntimeError(f"{name}(): There must be one x value for each sample point, got shapes {list(x.shape)} and {list(lay.shape)}")
        steps = x.narrow(at, 1, n - 1) - x.narrow(at, 0, n - 1)
    return sums * steps, d - lay.ndim


def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The integral of y along `dim` by the trapezoidal rule, over the points x or steps dx (1)."""
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
