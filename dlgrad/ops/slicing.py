"""Parts of a tensor as views: select, slices, narrow, diagonals, sliding windows, as_strided."""

from __future__ import annotations

from ..layout import contiguous as row_major_layout
from ..layout import layout, remember_view, whole, wrap_dim
from ..plan import memo
from ..tensor import Tensor, method
from .view import reshaped_in_place, sizes_of
from .view_graph import embed, make_view, strided_backward


@method
def select(input, dim, index):
    """The slice at `index` along `dim`, without that dimension. A view."""
    lay = input._layout
    hit = lay.views.get(("select", dim, index))
    if hit is None:
        if lay.ndim == 0:
            raise IndexError("select(): cannot be applied to a 0-dim tensor")
        d = wrap_dim(dim, lay.ndim, "select")
        n = lay.shape[d]
        i = whole("select", "index", index)
        if not -n <= i < n:
            raise IndexError(
                f"select(): index {i} out of range for tensor of size {list(lay.shape)} at dimension {d}"
            )
        i = i + n if i < 0 else i
        new = layout(
            lay.dtype, lay.shape[:d] + lay.shape[d + 1 :], lay.strides[:d] + lay.strides[d + 1 :]
        )
        hit = (new, i * lay.strides[d] * lay.dtype.itemsize, d, i)
        if not isinstance(index, Tensor):
            remember_view(lay, ("select", dim, index), hit)
    new, offset, d, i = hit
    return make_view(
        input, new, offset, "SelectBackward0", lambda g: embed(g, lay, lambda x: select(x, d, i))
    )


def slice_(input, dim=0, start=None, end=None, step=1):
    """Elements start, start + step, ... before end along `dim`. A view."""
    lay = input._layout
    key = ("slice", dim, start, end, step)
    hit = lay.views.get(key)
    if hit is None:
        if lay.ndim == 0:
            raise IndexError("slice(): cannot be applied to a 0-dim tensor")
        d = wrap_dim(dim, lay.ndim, "slice")
        if step is None:
            step = 1
        if step <= 0:
            raise ValueError(
                f"slice(): step must be greater than zero, got {step}; use flip() to reverse"
            )
        n = lay.shape[d]
        first, last, step_ = slice(start, end, step).indices(n)
        count = len(range(first, last, step_))
        strides = (*lay.strides[:d], lay.strides[d] * step_, *lay.strides[d + 1 :])
        new = layout(lay.dtype, (*lay.shape[:d], count, *lay.shape[d + 1 :]), strides)
        hit = remember_view(
            lay, key, (new, min(first, n) * lay.strides[d] * lay.dtype.itemsize if count else 0, d)
        )
    new, offset, d = hit
    return make_view(input, new, offset, "SliceBackward0",
                     lambda g: embed(g, lay, lambda x: slice_(x, d, start, end, step)))  # fmt: skip


@method
def narrow(input, dim, start, length):
    """`length` elements from `start` along `dim`. A view. Raises RuntimeError where they are not all there."""
    lay = input._layout
    key = ("narrow", dim, start, length)
    hit = lay.views.get(key) if type(start) is int else None
    if hit is not None:
        return slice_(input, *hit)
    if lay.ndim == 0:
        raise RuntimeError("narrow(): cannot be applied to a 0-dim tensor")
    d = wrap_dim(dim, lay.ndim, "narrow")
    if isinstance(start, Tensor):
        kind = start._layout
        if kind.ndim or kind.dtype.is_floating_point or kind.dtype.name == "bool":
            raise RuntimeError(
                f"narrow(): start must be an 0-dim integral Tensor, got {kind.dtype.name} {list(kind.shape)}; use an int"
            )
        start = start.__index__()
    n = lay.shape[d]
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}")
    if not -n <= start <= n:
        raise IndexError(
            f"narrow(): start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    if start < 0:
        start += n
    if start + length > n:
        raise RuntimeError(
            f"narrow(): start ({start}) + length ({length}) exceeds dimension size ({n})"
        )
    if type(key[2]) is int:
        remember_view(lay, key, (d, start, start + length))
    return slice_(input, d, start, start + length)


@method
def unfold(self, dimension, size, step):
    """All windows of `size` elements, `step` apart, along `dimension`, as a new last dimension. A view."""
    lay = self._layout
    hit = lay.views.get(("unfold", dimension, size, step))
    if hit is None:
        hit = remember_view(lay, ("unfold", dimension, size, step), _windows(lay, dimension, size, step))
    new, dense, over = hit
    if over is None:
        return make_view(self, new, 0, "UnfoldBackward0", lambda g: g.sum())
    return make_view(self, new, 0, "UnfoldBackward0", lambda g: strided_backward(g, dense, over, 0))


def _windows(lay, dimension, size, step):
    """The layout of the windows; that of the gradient, and of the windows in it (None: of a number)."""
    d = wrap_dim(dimension, lay.ndim, "unfold")
    n = lay.shape[d] if lay.ndim else 1
    if size > n or size < 0:
        raise RuntimeError(
            f"unfold(): maximum size for tensor at dimension {d} is {n} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"unfold(): step is {step} but must be > 0")
    if lay.ndim == 0:
        return layout(lay.dtype, (size,), (1,)), None, None
    shape = (*lay.shape[:d], (n - size) // step + 1, *lay.shape[d + 1 :], size)
    strides = (*lay.strides[:d], lay.strides[d] * step, *lay.strides[d + 1 :], lay.strides[d])
    dense = row_major_layout(lay.dtype, tuple(lay.shape))
    inner = dense.strides[d]
    new = layout(lay.dtype, shape, strides)
    over = layout(
        lay.dtype, shape, (*dense.strides[:d], inner * step, *dense.strides[d + 1 :], inner)
    )
    return new, dense, over


@method
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal over dim1 and dim2 (offset > 0: above the main one) as a new last dimension. A view."""
    lay = input._layout
    hit = lay.views.get(("diagonal", offset, dim1, dim2))
    if hit is None:
        hit = remember_view(lay, ("diagonal", offset, dim1, dim2), _diagonal(lay, offset, dim1, dim2))
    new, at = hit
    return make_view(input, new, at, "DiagonalBackward0",
                     lambda g: embed(g, lay, lambda x: diagonal(x, offset, dim1, dim2)))  # fmt: skip


def _diagonal(lay, offset, dim1, dim2):
    """The layout of the diagonal, and its offset in bytes."""
    d1, d2 = wrap_dim(dim1, lay.ndim, "diagonal"), wrap_dim(dim2, lay.ndim, "diagonal")
    if lay.ndim < 2 or d1 == d2:
        raise RuntimeError(
            f"diagonal(): diagonal dimensions cannot be identical {dim1}, {dim2} (the tensor has {lay.ndim})"
        )
    n1, n2, s1, s2 = lay.shape[d1], lay.shape[d2], lay.strides[d1], lay.strides[d2]
    count = max(0, min(n1, n2 - offset) if offset >= 0 else min(n1 + offset, n2))
    at = (offset * s2 if offset >= 0 else -offset * s1) if count else 0
    rest = [i for i in range(lay.ndim) if i not in (d1, d2)]
    new = layout(
        lay.dtype,
        (*[lay.shape[i] for i in rest], count),
        (*[lay.strides[i] for i in rest], s1 + s2),
    )
    return new, at * lay.dtype.itemsize


@method
def as_strided(input, size, stride, storage_offset=None):
    """The storage read with these sizes and strides, from `storage_offset` (default: the tensor's own). A view.

    Raises RuntimeError where it would reach beyond the storage, and for negative strides."""
    item = input._layout.dtype.itemsize
    at = None if storage_offset is None else storage_offset * item - input._offset()
    t = _strided(input, size, stride, at)
    lay, start = t._layout, t._offset()
    if start < 0 or start + lay.span * item > input._storage.nbytes:
        raise RuntimeError(
            f"as_strided(): setStorage: sizes {list(lay.shape)}, strides {list(lay.strides)}, storage offset {start // item} require "
            f"{start // item + lay.span} elements, which are out of bounds for storage of size {input._storage.nbytes // item}"
        )
    return t


@memo
def _strided(input, size, stride, at):
    """`as_strided`, but that the offset (None: 0) is counted in bytes from the tensor's first element, and that nobody looks
    where the storage ends."""
    lay = input._layout
    size, stride = sizes_of((size,), "as_strided"), sizes_of((stride,), "as_strided")
    if len(size) != len(stride):
        raise RuntimeError(
            f"as_strided(): mismatch in length of strides {list(stride)} and shape {list(size)}"
        )
    if any(s < 0 for s in stride):
        raise RuntimeError(
            f"as_strided(): Negative strides are not supported at the moment, got strides: {list(stride)}"
        )
    if any(s < 0 for s in size):
        raise RuntimeError(f"as_strided(): negative size in {list(size)}")
    at = at or 0
    new = layout(lay.dtype, size, stride)
    offset = at // lay.dtype.itemsize
    if input.requires_grad and (offset < 0 or offset + new.span > max(lay.span, 1)):
        raise RuntimeError(
            "as_strided(): a view that reaches outside of its input cannot be differentiated; take it from the base"
        )
    return make_view(
        input, new, at, "AsStridedBackward0", lambda g: strided_backward(g, lay, new, offset)
    )


reshaped_in_place("as_strided_", as_strided)
