"""Rearranging elements: triangles, flips, rolls, repeats, diagonals, grids, writing into slices. All of them copy."""

from __future__ import annotations

import itertools

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..batched import with_room
from ..layout import Layout, contiguous, remember_view, whole, wrap_dim, wrap_dims
from ..plan import memo
from ..tensor import method
from .joining import _tensors, stack
from .reduce import check
from .slicing import select, slice_
from .unary import inplace
from .view import sizes_of
from .view_graph import strided_view
from .writing import copy_into, write_out

# ---------------------------------------------------------------------- triangles


def _triangle(name, doc):
    def f(input, diagonal=0, *, out=None):
        hit = _kept(input, (name, diagonal)) if out is None and type(diagonal) is int else None
        if hit is not None:
            result, k = hit
            if input._requires_grad:
                record(result, name.capitalize() + "Backward0", lambda g: f(g, k), (input,))
            return result
        check(name, input)
        lay = input._layout
        if lay.ndim < 2:
            raise RuntimeError(
                f"{name}(): input tensor must have at least 2 dimensions, got shape {list(lay.shape)}"
            )
        k = whole(name, "diagonal", diagonal)
        result = door.call(
            "fill", name, contiguous(lay.dtype, tuple(lay.shape)), (input,), ints=(k,)
        )
        if type(diagonal) is int:
            _keep(input, (name, diagonal), name, (k,), k)
        record(result, name.capitalize() + "Backward0", lambda g: f(g, k), (input,))
        return result if out is None else write_out(name, out, result, exact=True)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    inplace(name, f)
    return method(f)


tril = _triangle(
    "tril",
    "The lower triangles of matrices: elements with column <= row + diagonal, zeros elsewhere.",
)
triu = _triangle(
    "triu",
    "The upper triangles of matrices: elements with column >= row + diagonal, zeros elsewhere.",
)


def _triangle_indices(name, row, col, offset, dtype, upper):
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}(): row and col must be non-negative, got {row} and {col}")
    if dtype not in (None, dt.int64, dt.int32):
        raise RuntimeError(f"{name}(): not implemented for {dtype.name}; use int64 or int32")
    lower = _lower_size(row, col, offset - upper)
    size = row * col - lower if upper else lower
    result = contiguous(dtype or dt.int64, (2, size))
    return door.call("fill", "tri_indices", result, (), ints=(offset, upper, row, col), name=name)


def _lower_size(rows, columns, diagonal):
    """How many elements of a matrix have column <= row + diagonal."""
    first = min(max(-diagonal, 0), rows)  # the first row that keeps any
    whole = min(max(columns - 1 - diagonal, first), rows)  # the first that keeps all
    return (whole - first) * (first + whole + 1 + 2 * diagonal) // 2 + (rows - whole) * columns


def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The (2, n) row and column indices of the lower triangle of a row x col matrix."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, 0)


def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The (2, n) row and column indices of the upper triangle of a row x col matrix."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, 1)


# ---------------------------------------------------------------------- reversed, shifted, repeated


def _kept(input, key):
    """The result of the plan that was kept under this key, and what its derivative needs; None where there is none."""
    try:
        hit = input._layout.views.get(key)
    except (AttributeError, TypeError):
        return None
    if hit is None:
        return None
    plan, extra = hit
    return door.run_plan(plan, (input,)), extra


def _keep(input, key, row, ints, extra):
    """Keeps a plan of `_same_shape` for the next call with these arguments."""
    lay = input._layout
    try:
        hash(key)
    except TypeError:
        return
    if type(lay) is Layout and not lay.dtype.is_complex:
        plan = door.make_plan("fill", row, (contiguous(lay.dtype, tuple(lay.shape)),), (lay,), ints)
        remember_view(lay, key, (plan, extra))


def _same_shape(row, input, ints):
    lay = input._layout
    return door.call("fill", row, contiguous(lay.dtype, tuple(lay.shape)), (input,), ints=ints)


@method
def flip(input, *args, dims=None):
    """The elements in reverse order along `dims`. A copy."""
    key = ("flip", args, dims)
    hit = _kept(input, key)
    if hit is not None:
        result, d = hit
        return record(result, "FlipBackward0", lambda g: flip(g, d), (input,)) if input._requires_grad else result
    check("flip", input)
    d = wrap_dims(
        sizes_of((dims,) if dims is not None and not args else args, "flip"),
        input._layout.ndim,
        "flip",
    )
    if not d or not input._layout.ndim:
        return input.clone()
    _keep(input, key, "flip", d, d)
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
    key = ("roll", shifts, dims)
    hit = _kept(input, key)
    if hit is not None:
        result, back = hit
        return record(result, "RollBackward0", lambda g: roll(g, *back), (input,)) if input._requires_grad else result
    check("roll", input)
    shifts = sizes_of((shifts,), "roll")
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        if len(shifts) != 1:
            raise RuntimeError(
                f"roll(): shifts and dimensions must align. shifts: {len(shifts)}, dims: 0"
            )
        return roll(input.reshape(-1), shifts, 0).reshape(tuple(input._layout.shape))
    dims = sizes_of((dims,), "roll")
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"roll(): shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}"
        )
    lay = input._layout
    if lay.numel == 0:
        return input.clone()
    if not lay.ndim:
        raise IndexError("roll(): a dimension was given, but the tensor has no dimensions")
    pairs = [(s, wrap_dim(d, lay.ndim, "roll")) for s, d in zip(shifts, dims)]
    ints = tuple(n for pair in pairs for n in pair)
    back = tuple(-s for s, _ in pairs), tuple(d for _, d in pairs)
    _keep(input, key, "roll", ints, back)
    return record(
        _same_shape("roll", input, ints), "RollBackward0", lambda g: roll(g, *back), (input,)
    )


@method
def rot90(input, k=1, dims=(0, 1)):
    """Turned by k times 90 degrees, from the first of `dims` towards the second."""
    check("rot90", input)
    n = input._layout.ndim
    if len(dims) != 2:
        raise RuntimeError(
            f"rot90(): expected total rotation dims == 2, but got dims = {len(dims)}"
        )
    if n < 2:
        raise RuntimeError(f"rot90(): expected total dims >= 2, but got total dims = {n}")
    a, b = (wrap_dim(d, n, "rot90") for d in dims)
    if a == b:
        raise RuntimeError(
            f"rot90(): expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    k %= 4
    if k == 2:
        return flip(input, a, b)
    return (
        flip(input, b if k == 1 else a).transpose(a, b)
        if k
        else input.clone(memory_format="contiguous")
    )


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
        raise RuntimeError(
            f"repeat(): trying to create tensor with negative dimension: repeats {list(repeats)}"
        )
    short, wide, reduced = [], [], []  # with a dimension of size 1 before each repeated one
    for r, s in zip(repeats, (1,) * extra + shape):
        if r != 1:
            reduced.append(len(wide))
            short.append(1)
            wide.append(r)
        short.append(s)
        wide.append(s)
    full = tuple(r * s for r, s in zip(repeats, (1,) * extra + shape))
    result = (
        self.detach()
        .reshape(tuple(short))
        .expand(tuple(wide))
        .clone(memory_format="contiguous")
        .reshape(full)
        .detach()
    )

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
        raise IndexError(
            "diag_embed(): expects a tensor of at least one dimension, got a 0-d tensor"
        )
    d1, d2 = wrap_dim(dim1, lay.ndim + 1, "diag_embed"), wrap_dim(dim2, lay.ndim + 1, "diag_embed")
    if d1 == d2:
        raise RuntimeError(f"diag_embed(): diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape = list(lay.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, lay.shape[-1] + abs(offset))
    result = with_room(zeros(tuple(shape), dtype=lay.dtype), input)
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
        raise RuntimeError(
            f"trace(): expected a matrix, but got tensor with dim {input._layout.ndim}"
        )
    return input.diagonal().sum()


# ---------------------------------------------------------------------- grids and combinations


def meshgrid(*tensors, indexing=None):
    """For vectors of n, m, ... elements: as many tensors of shape (n, m, ...), each with its vector's elements along
    its dimension (indexing 'xy': the first two dimensions exchanged). Views."""
    ts = _tensors("meshgrid", tensors)
    if not ts:
        raise RuntimeError("meshgrid(): expects a non-empty list of tensors")
    if any(t._layout.ndim > 1 for t in ts):
        raise RuntimeError(
            f"meshgrid(): Expected 0D or 1D tensor in the tensor list but got: {[list(t.shape) for t in ts]}"
        )
    if len({t._layout.dtype for t in ts}) > 1:
        raise RuntimeError(
            f"meshgrid(): expects all tensors to have the same dtype, got {[t._layout.dtype.name for t in ts]}"
        )
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'meshgrid(): indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swapped = indexing == "xy" and len(ts) >= 2
    if swapped:
        ts = (ts[1], ts[0], *ts[2:])
    shape = tuple(t._layout.numel for t in ts)
    grids = [
        t.reshape((1,) * i + (-1,) + (1,) * (len(ts) - 1 - i)).expand(shape)
        for i, t in enumerate(ts)
    ]
    if swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors):
    """The rows of all ways to take one element of each vector, the last one changing fastest."""
    ts = _tensors("cartesian_prod", tensors)
    if any(t._layout.ndim != 1 for t in ts):
        raise RuntimeError(
            f"cartesian_prod(): Expect a 1D vector, but got shapes {[list(t.shape) for t in ts]}"
        )
    if len(ts) == 1:
        return ts[0]
    return stack([g.reshape(-1) for g in meshgrid(*ts)], 1)


def combinations(input, r=2, with_replacement=False):
    """The rows of all ways to take r elements of the vector `input` in order."""
    from .create import empty
    from .from_data import tensor

    check("combinations", input)
    if input._layout.ndim != 1:
        raise RuntimeError(
            f"combinations(): Expect a 1D vector, but got shape {list(input._layout.shape)}"
        )
    if r < 0:
        raise RuntimeError(f"combinations(): Expect a non-negative number, but got {r}")
    if r == 0:
        return empty(0, dtype=input._layout.dtype)
    n = input._layout.numel
    if r == 2:
        index = triu_indices(n, n, 0 if with_replacement else 1).t()
    else:
        kind = (
            itertools.combinations_with_replacement if with_replacement else itertools.combinations
        )
        index = tensor([i for c in kind(range(n), r) for i in c], dtype=dt.int64).reshape((-1, r))
    return input.index_select(0, index.reshape(-1)).reshape((-1, r))


# ---------------------------------------------------------------------- writing into a part


def _with_part(name, input, src, take):
    """A copy of `input` in which the part that `take` looks at is `src`."""
    from .create import zeros

    for t in (input, src):
        check(name, t)
    result = with_room(input.detach().clone(), src)
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
    return record(
        result,
        name.title().replace("_", "") + "Backward0",
        (without, lambda g: take(g).to(d)),
        (input, src),
    )


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
    if storage_offset is not None:
        storage_offset -= input._offset() // input._layout.dtype.itemsize
    return _strided_scatter(input, src, size, stride, storage_offset)


@memo
def _strided_scatter(input, src, size, stride, at):
    if input._layout.ndim and not input._layout.contiguous:
        input = input.contiguous()
    before, item = input._layout, input._layout.dtype.itemsize
    at = at or 0
    if at < 0:
        raise RuntimeError(
            f"as_strided_scatter(): the storage offset is {-at} before the first element of the input"
        )

    def take(x):
        if x._layout.strides != before.strides:
            x = x.contiguous()
        lay = x.detach().as_strided(size, stride, x._offset() // item + at)._layout
        return strided_view(x, before, lay, at)

    return _with_part("as_strided_scatter", input, src, take)
