"""Several views of one tensor: unbind, split, chunk and their kin. One graph node stands for all of them."""

from __future__ import annotations

from ..layout import layout, remember_view, whole, wrap_dim
from ..plan import memo
from ..tensor import Tensor, method
from .joining import cat, stack
from .slicing import slice_
from .view import sizes_of
from .view_graph import make_views


@method
def unbind(input, dim=0):
    """A tuple of all slices along `dim`, without it. Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("unbind(): Dimension specified as 0 but tensor has no dimensions")
    hit = lay.views.get(("unbind", dim))
    if hit is None:
        d = wrap_dim(dim, lay.ndim, "unbind")
        one = lay.shape[:d] + lay.shape[d + 1 :]
        new = layout(lay.dtype, one, lay.strides[:d] + lay.strides[d + 1 :])
        hit = remember_view(lay, ("unbind", dim), (d, one, new, lay.strides[d] * lay.dtype.itemsize, lay.shape[d]))
    d, one, new, step, n = hit

    def join(*gs):
        g0 = next(g for g in gs if g is not None)
        return stack([g0.new_zeros(tuple(one)) if g is None else g for g in gs], d)

    return make_views(input, [(new, i * step) for i in range(n)], "UnbindBackward0", join)


@method(names=("split_with_sizes",))
def split_with_sizes(input, split_sizes, dim=0):
    """Parts of these sizes along `dim`. Views. Raises RuntimeError unless they add up to its size."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("split(): expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, lay.ndim, "split")
    sizes = list(sizes_of((split_sizes,), "split"))
    if any(s < 0 for s in sizes) or sum(sizes) != lay.shape[d]:
        raise RuntimeError(
            f"split_with_sizes(): expects split_sizes to be non-negative and sum exactly to {lay.shape[d]} (input tensor's size "
            f"at dimension {d}), but got split_sizes={sizes}"
        )

    return _parts(input, tuple(sizes), d)


def _parts(input, sizes, d):
    """Views of these sizes along d, which they add up to."""
    lay = input._layout

    def join(*gs):
        g0 = next(g for g in gs if g is not None)
        shape = lambda s: (*lay.shape[:d], s, *lay.shape[d + 1 :])  # noqa: E731
        return cat([g0.new_zeros(shape(s)) if g is None else g for g, s in zip(gs, sizes)], d)

    return make_views(input, _cuts(lay, d, sizes), "SplitWithSizesBackward0", join)


def _cuts(lay, d, sizes):
    """The (layout, offset in bytes) of parts of these sizes along d, one behind the other."""
    cuts = lay.views.get(("cuts", d, sizes))
    if cuts is None:
        step, at, cuts = lay.strides[d] * lay.dtype.itemsize, 0, []
        for s in sizes:
            new = layout(lay.dtype, (*lay.shape[:d], s, *lay.shape[d + 1 :]), lay.strides)
            cuts.append((new, at * step if new.numel else 0))
            at += s
        remember_view(lay, ("cuts", d, sizes), cuts)
    return cuts


@method(names=("split",))
def split(tensor, split_size_or_sections, dim=0):
    """Parts of `split_size_or_sections` elements along `dim` (an int: the last may be smaller). Views."""
    lay = tensor._layout
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    if lay.ndim == 0:
        raise RuntimeError("split(): expects at least a 1-dimensional tensor")
    size = whole("split", "split_size", split_size_or_sections)
    sizes = lay.views.get(("split", size, dim))
    if sizes is not None:
        return _parts(tensor, sizes[0], sizes[1])
    d = wrap_dim(dim, lay.ndim, "split")
    n = lay.shape[d]
    if size < 0 or (size == 0 and n > 0):
        raise RuntimeError(
            f"split(): expects split_size be non-negative and, for a dimension of size {n}, not 0; got split_size={size}"
        )
    if n == 0:
        return (slice_(tensor, d, 0, 0),)
    sizes = tuple([min(size, n - at) for at in range(0, n, size)])
    remember_view(lay, ("split", size, dim), (sizes, d))
    return _parts(tensor, sizes, d)


@method
def chunk(input, chunks, dim=0):
    """At most `chunks` parts of equal size along `dim` (the last may be smaller). Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("chunk(): expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk(): expects `chunks` to be greater than 0, got: {chunks}")
    hit = lay.views.get(("chunk", chunks, dim))
    if hit is not None:
        return _parts(input, *hit)
    d = wrap_dim(dim, lay.ndim, "chunk")
    n = lay.shape[d]
    size = -(-n // chunks)
    if size == 0:
        return tuple(slice_(input, d, 0, 0) for _ in range(chunks))
    sizes = tuple([min(size, n - at) for at in range(0, n, size)])
    remember_view(lay, ("chunk", chunks, dim), (sizes, d))
    return _parts(input, sizes, d)


@method
def tensor_split(input, indices_or_sections, dim=0):
    """Parts along `dim`: that many of nearly equal size, or cut at these indices. Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError(
            "tensor_split(): expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    d = wrap_dim(dim, lay.ndim, "tensor_split")
    n = lay.shape[d]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.dtype.name != "int64":
            raise RuntimeError(
                f"tensor_split(): expected tensor_indices_or_sections to have dtype of long, got {indices_or_sections.dtype}"
            )
        return _tensor_split(input, indices_or_sections.tolist(), dim)
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"tensor_split(): number of sections must be larger than 0, got {k}")
        small, more = divmod(n, k)
        cuts, at = [], 0
        for i in range(k - 1):
            at += small + (i < more)
            cuts.append(at)
    else:
        cuts = list(indices_or_sections)
    parts, at = [], 0
    for c in (*cuts, n):
        parts.append(slice_(input, d, at, c))
        at = c
    return tuple(parts)


_tensor_split = memo(tensor_split)


def _axis_split(name, dim_of, least):
    def f(input, indices_or_sections):
        lay = input._layout
        if lay.ndim < least:
            raise RuntimeError(
                f"{name}(): requires a tensor with at least {least} dimension, but got a tensor with {lay.ndim} dimensions"
            )
        d = dim_of(lay.ndim)
        if isinstance(indices_or_sections, int) and (
            indices_or_sections <= 0 or lay.shape[d] % indices_or_sections
        ):
            raise RuntimeError(
                f"{name}(): attempted to split along dimension {d}, but the size of the dimension {lay.shape[d]} is not "
                f"divisible by the split_size {indices_or_sections}"
            )
        return tensor_split(input, indices_or_sections, d)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "`tensor_split` along a fixed dimension. Views."
    return method(f)


hsplit = _axis_split("hsplit", lambda n: 0 if n == 1 else 1, 1)
vsplit = _axis_split("vsplit", lambda n: 0, 2)
dsplit = _axis_split("dsplit", lambda n: 2, 3)
