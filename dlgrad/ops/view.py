"""Operations that share their input's memory, and those that copy to change shape: clone, contiguous,
reshape, cat, stack.

A view is a transition from one layout to another (memoised on the layout) and an offset. Its gradient
goes the other way: `embed` writes it into zeros of the input's shape.
"""

from __future__ import annotations

from .. import plan as door
from ..autograd.graph import Node, edge_of, record, record_several, retain_grad
from ..autograd.mode import mode
from ..layout import (Layout, contiguous as row_major_layout, expand_strides, infer_size, layout,
                      remember_view, view_strides, wrap_dim)  # fmt: skip
from ..tensor import MAYBE, Tensor, make_tensor, method
from .elementwise import _dense, result_layout, result_type, sum_to
from .writing import check_inplace, copy_into, write_out

_new = object.__new__


def make_view(x, lay, offset, name, rule):
    """A view of `x`: layout `lay`, `offset` bytes behind x's first element. rule: its derivative."""
    t = _new(Tensor)
    t._ptr = x._ptr + offset if offset else x._ptr
    t._layout = lay
    t._storage = storage = x._storage
    base = x._view
    t._view = x if base is None else base
    t._view_version = storage.version
    t._grad_fn = None
    t._requires_grad = MAYBE
    if x._requires_grad:
        if mode.enabled:
            edge = edge_of(x)
            if edge is not None:
                t._grad_fn = Node(name, (edge,), rule, (), ())
                t._requires_grad = True
        elif x.requires_grad:
            t._requires_grad = False
            t._view_mode = "no_grad"
    if x._view_mode is not None:
        t._view_mode = x._view_mode
    return t


def refresh_view(t):
    """Makes the graph edge of a view anew after a write to its base."""
    base = t._view
    t._view_version = t._storage.version
    edge = edge_of(base)
    if edge is None:
        t._grad_fn = None
        t._requires_grad = MAYBE if t._requires_grad else False
        return
    if t._requires_grad is False:
        return  # made under no_grad
    if t._view_mode == "function":
        raise RuntimeError(
            "a view that a custom Function returned (or an input that it returned as it is) was used after its base was "
            "modified in-place: what the Function's backward would do is lost; clone the Function's result"
        )
    before, lay = base._layout, t._layout
    offset = (t._ptr - base._ptr) // lay.dtype.itemsize
    t._grad_fn = Node("AsStridedBackward0", (edge,), lambda g: strided_backward(g, before, lay, offset), (), ())
    t._requires_grad = True
    if t._retain:
        retain_grad(t)


def scatter_view(base, t, result):
    """After `result` was written into the view `t` of `base`: the base's new place in the graph."""
    before, lay = base._layout, t._layout
    offset = (t._ptr - base._ptr) // lay.dtype.itemsize
    old, new = edge_of(base), edge_of(result)
    if old is not None or new is not None:

        def to_base(g):
            g = g.clone()
            copy_zero(strided_view(g, before, lay, offset))
            return g

        def to_result(g):
            return strided_view(g, before, lay, offset).clone()

        base._grad_fn = Node("CopySlices", (old, new), (_graphed(to_base, before, lay, offset), to_result), (), ())
        base._requires_grad = True
        if base._retain:
            retain_grad(base)
    t._view_version = -1  # whatever the storage's version: look again


def _graphed(to_base, before, lay, offset):
    """`to_base`, with a history of its own where a graph of the backward pass is wanted."""

    def rule(g):
        plain = g.detach()
        out = to_base(plain)
        return record(out, "CopySlicesBackward0", to_base, (g,))

    return rule


def copy_zero(t):
    """Writes zeros into a (raw, ungraphed) view."""
    door.call("fill", "fill", t._layout, (), ints=(0 if t._layout.dtype.is_floating_point else 1,),
              scalars=(0.0 if t._layout.dtype.is_floating_point else 0,), into=t, name="zero_")  # fmt: skip


def strided_view(g, before, lay, offset):
    """Of a gradient `g` of a tensor laid out as `before`: the part at `lay` and `offset` (in elements)."""
    if g._layout is not before:
        if g._layout.strides == before.strides:
            pass
        elif before.contiguous:
            g = g.contiguous()
        else:
            room = g.new_zeros((before.span,))
            whole = room.as_strided(tuple(before.shape), before.strides)
            g = whole.copy_(g)
    lay = layout(g._layout.dtype, tuple(lay.shape), lay.strides)
    return make_view(g, lay, offset * lay.dtype.itemsize, "AsStridedBackward0",
                     lambda gg: strided_backward(gg, before, lay, offset))  # fmt: skip


def strided_backward(g, before, lay, offset):
    """The gradient of a tensor laid out as `before` whose view (lay, offset in elements) has gradient `g`."""
    if _dense(lay) or _no_overlap(lay):
        return embed(g, before, lambda x: strided_view(x, before, lay, offset))
    # Elements that the view shows more than once get the sum.
    from .create import arange, zeros

    flat = arange(before.span + max(0, offset + lay.span - before.span))
    index = flat.as_strided(tuple(lay.shape), lay.strides, offset).reshape(-1)
    room = zeros(flat.numel(), dtype=g.dtype).index_add(0, index, g.reshape(-1))
    return room.as_strided(tuple(before.shape), before.strides, 0).clone()


def _no_overlap(lay):
    reach = 1
    for st, s in sorted((st, s) for s, st in zip(lay.shape, lay.strides) if s > 1):
        if st < reach:
            return False
        reach = st * (s - 1) + reach
    return True


def embed(g, before: Layout, take):
    """Zeros of the shape of `before`, but `g` where `take` looks: the derivative of taking a view."""
    from .create import zeros

    out = zeros(tuple(before.shape), dtype=g._layout.dtype)
    enabled, mode.enabled = mode.enabled, False
    try:
        copy_into(take(out), g)
    finally:
        mode.enabled = enabled
    return record(out, "EmbedBackward0", take, (g,)) if g._requires_grad else out


def sizes_of(args, op):
    """The sizes of `f(2, 3)` and of `f((2, 3))`, as a tuple of ints."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    out = []
    for s in args:
        if type(s) is not int:
            try:
                if isinstance(s, float):
                    raise AttributeError
                s = s.__index__()
            except (AttributeError, TypeError):
                raise TypeError(f"{op}(): sizes must be ints, got {type(s).__name__} ({s!r}) in {list(args)}") from None
        out.append(s)
    return tuple(out)


# ---------------------------------------------------------------------- shape


@method
def view(self, *shape, dtype=None):
    """The same memory under another shape (one size may be -1), or read as another dtype of any width.

    Raises RuntimeError where the strides don't allow it without a copy: then use `reshape`."""
    from ..dtypes import dtype as DType  # noqa: N812

    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], DType)):
        return _view_dtype(self, dtype or shape[0])
    lay = self._layout
    shape = sizes_of(shape, "view")
    hit = lay.views.get(("view", shape))
    if hit is None:
        full = infer_size(shape, lay.numel, "view")
        strides = view_strides(lay, full)
        if strides is None:
            raise RuntimeError(
                f"view(): view size {list(full)} is not compatible with input tensor's size {list(lay.shape)} and stride "
                f"{list(lay.strides)} (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead"
            )
        hit = remember_view(lay, ("view", shape), layout(lay.dtype, full, strides))
    old = lay.shape
    return make_view(self, hit, 0, "ViewBackward0", lambda g: g.reshape(old))


def _view_dtype(self, dtype):
    lay = self._layout
    old, new = lay.dtype.itemsize, dtype.itemsize
    if old == new:
        return make_view(self, layout(dtype, tuple(lay.shape), lay.strides), 0, "ViewBackward0",
                         lambda g: g.view(lay.dtype))  # fmt: skip
    if lay.ndim == 0 or lay.strides[-1] != 1:
        raise RuntimeError(f"view(): to read {lay.dtype.name} as {dtype.name} the last dimension must be contiguous")
    if (lay.shape[-1] * old) % new or any(st * old % new for st in lay.strides[:-1]) or self._offset() % new:
        raise RuntimeError(f"view(): the last dimension ({lay.shape[-1]} {lay.dtype.name}) does not divide into {dtype.name}")
    shape = (*lay.shape[:-1], lay.shape[-1] * old // new)
    strides = (*[st * old // new for st in lay.strides[:-1]], 1)
    return make_view(self, layout(dtype, shape, strides), 0, "ViewBackward0", None)


@method
def view_as(self, other):
    """`view` with the shape of `other`."""
    return self.view(tuple(other.shape))


@method
def reshape(input, *shape):
    """The same elements under another shape: a view where the strides allow it, else a copy."""
    if not shape and not isinstance(input, Tensor):
        raise TypeError("reshape(): expected a Tensor")
    shape = sizes_of(shape, "reshape")
    lay = input._layout
    hit = lay.views.get(("reshape", shape))
    if hit is None:
        full = infer_size(shape, lay.numel, "reshape")
        strides = view_strides(lay, full)
        hit = False if strides is None else layout(lay.dtype, full, strides)
        remember_view(lay, ("reshape", shape), hit)
    if hit is False:
        return clone(input, memory_format="contiguous").view(shape)
    if hit is lay:
        return view(input, lay.shape)
    old = lay.shape
    return make_view(input, hit, 0, "ViewBackward0", lambda g: g.reshape(old))


@method
def reshape_as(self, other):
    """`reshape` to the shape of `other`."""
    return self.reshape(tuple(other.shape))


@method
def transpose(input, dim0, dim1):
    """Dimensions dim0 and dim1 exchanged. A view."""
    lay = input._layout
    hit = lay.views.get(("transpose", dim0, dim1))
    if hit is None:
        d0, d1 = wrap_dim(dim0, lay.ndim, "transpose"), wrap_dim(dim1, lay.ndim, "transpose")
        shape, strides = list(lay.shape), list(lay.strides)
        if lay.ndim:
            shape[d0], shape[d1] = shape[d1], shape[d0]
            strides[d0], strides[d1] = strides[d1], strides[d0]
        hit = remember_view(lay, ("transpose", dim0, dim1), layout(lay.dtype, tuple(shape), tuple(strides)))
    return make_view(input, hit, 0, "TransposeBackward0", lambda g: transpose(g, dim0, dim1))


swapaxes = swapdims = transpose
Tensor.swapaxes = Tensor.swapdims = transpose


@method
def t(input):
    """The transpose of a matrix; vectors and 0-d tensors as they are. A view."""
    if input._layout.ndim > 2:
        raise RuntimeError(f"t(): expects a tensor with <= 2 dimensions, but self is {input._layout.ndim}D; use .mT or transpose()")
    if input._layout.ndim < 2:
        return view(input, input._layout.shape)
    return transpose(input, 0, 1)


def _T(self):  # noqa: N802
    """All dimensions in reverse order (of a matrix: the transpose)."""
    return t(self) if self._layout.ndim <= 2 else permute(self, tuple(range(self._layout.ndim - 1, -1, -1)))


def _mT(self):  # noqa: N802
    """The last two dimensions exchanged."""
    if self._layout.ndim < 2:
        raise RuntimeError(f"mT is only supported on matrices or batches of matrices. Got a {self._layout.ndim}-D tensor")
    return transpose(self, -2, -1)


Tensor.T = property(_T)
Tensor.mT = property(_mT)
Tensor.H = property(t)
Tensor.mH = property(_mT)


@method
def adjoint(input):
    """The last two dimensions exchanged."""
    return _mT(input)


@method
def permute(input, *dims):
    """The dimensions in the order `dims`. A view."""
    dims = sizes_of(dims, "permute")
    lay = input._layout
    hit = lay.views.get(("permute", dims))
    if hit is None:
        if len(dims) != lay.ndim:
            raise RuntimeError(
                f"permute(): number of dimensions in the tensor input does not match the length of the desired ordering of "
                f"dimensions i.e. input.dim() = {lay.ndim} is not equal to len(dims) = {len(dims)}"
            )
        order = tuple(wrap_dim(d, lay.ndim, "permute") for d in dims)
        if len(set(order)) != len(order):
            raise RuntimeError(f"permute(): duplicate dims are not allowed, got {list(dims)}")
        inverse = [0] * len(order)
        for i, d in enumerate(order):
            inverse[d] = i
        new = layout(lay.dtype, tuple(lay.shape[d] for d in order), tuple(lay.strides[d] for d in order))
        hit = remember_view(lay, ("permute", dims), (new, tuple(inverse)))
    new, inverse = hit
    return make_view(input, new, 0, "PermuteBackward0", lambda g: permute(g, inverse))


@method
def movedim(input, source, destination):
    """The dimensions `source` moved to the places `destination`. A view."""
    n = input._layout.ndim
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination):
        raise RuntimeError(f"movedim(): Invalid source or destination dims: source ({source} dims) should contain the same number "
                           f"of dims as destination ({destination} dims)")  # fmt: skip
    src = [wrap_dim(d, n, "movedim") for d in source]
    dst = [wrap_dim(d, n, "movedim") for d in destination]
    if len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(f"movedim(): repeated dim in source {source} or destination {destination}")
    if n == 0:
        return view(input, ())
    order = [None] * n
    for s, d in zip(src, dst):
        order[d] = s
    rest = iter(d for d in range(n) if d not in src)
    return permute(input, tuple(next(rest) if o is None else o for o in order))


moveaxis = movedim
Tensor.moveaxis = movedim


@method
def squeeze(input, dim=None):
    """Without the dimensions of size 1 (all, or those of `dim`). A view."""
    lay = input._layout
    if isinstance(dim, list):
        dim = tuple(dim)
    hit = lay.views.get(("squeeze", dim))
    if hit is None:
        drop = range(lay.ndim) if dim is None else [wrap_dim(d, lay.ndim, "squeeze") for d in (dim if isinstance(dim, tuple) else (dim,))]
        keep = [i for i in range(lay.ndim) if not (i in drop and lay.shape[i] == 1)]
        new = layout(lay.dtype, tuple(lay.shape[i] for i in keep), tuple(lay.strides[i] for i in keep))
        hit = remember_view(lay, ("squeeze", dim), new)
    old = lay.shape
    return make_view(input, hit, 0, "SqueezeBackward0", lambda g: g.reshape(old))


@method
def unsqueeze(input, dim):
    """With a dimension of size 1 inserted at `dim`. A view."""
    lay = input._layout
    hit = lay.views.get(("unsqueeze", dim))
    if hit is None:
        d = wrap_dim(dim, lay.ndim + 1, "unsqueeze")
        st = lay.shape[d] * lay.strides[d] if d < lay.ndim else 1
        new = layout(lay.dtype, (*lay.shape[:d], 1, *lay.shape[d:]), (*lay.strides[:d], st, *lay.strides[d:]))
        hit = remember_view(lay, ("unsqueeze", dim), (new, d))
    new, d = hit
    return make_view(input, new, 0, "UnsqueezeBackward0", lambda g: squeeze(g, d))


@method
def expand(input, *sizes, implicit=False):
    """Dimensions of size 1 repeated to these sizes (-1: as it is) without a copy. A view."""
    sizes = sizes_of(sizes, "expand")
    lay = input._layout
    hit = lay.views.get(("expand", sizes))
    if hit is None:
        extra = len(sizes) - lay.ndim
        if extra < 0:
            raise RuntimeError(
                f"expand(): the number of sizes provided ({len(sizes)}: {list(sizes)}) must be greater or equal to the number of "
                f"dimensions in the tensor ({lay.ndim}: {list(lay.shape)})"
            )
        full = []
        for i, s in enumerate(sizes):
            have = lay.shape[i - extra] if i >= extra else None
            if s == -1:
                if have is None:
                    raise RuntimeError(f"expand(): the size -1 is not allowed in a leading, non-existing dimension {i} of {list(sizes)}")
                s = have
            elif s < 0:
                raise RuntimeError(f"expand(): invalid size {s} in {list(sizes)}")
            elif have is not None and have != s and have != 1:
                raise RuntimeError(
                    f"expand(): The expanded size of the tensor ({s}) must match the existing size ({have}) at non-singleton "
                    f"dimension {i}. Target sizes: {list(sizes)}. Tensor sizes: {list(lay.shape)}"
                )
            full.append(s)
        hit = remember_view(lay, ("expand", sizes), layout(lay.dtype, tuple(full), expand_strides(lay, full)))
    old = lay.shape
    return make_view(input, hit, 0, "ExpandBackward0", lambda g: sum_to(g, old))


@method
def broadcast_to(input, size):
    """`expand` to this shape."""
    return expand(input, tuple(size))


@method
def expand_as(self, other):
    """`expand` to the shape of `other`."""
    return expand(self, tuple(other.shape))


def broadcast_tensors(*tensors):
    """All of them expanded to their common shape."""
    from ..layout import broadcast_shapes

    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[x._layout.shape for x in tensors], op="broadcast_tensors")
    return tuple(expand(x, shape) for x in tensors)


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
        i = index.__index__()
        if not -n <= i < n:
            raise IndexError(f"select(): index {i} out of range for tensor of size {list(lay.shape)} at dimension {d}")
        i = i + n if i < 0 else i
        new = layout(lay.dtype, lay.shape[:d] + lay.shape[d + 1 :], lay.strides[:d] + lay.strides[d + 1 :])
        hit = (new, i * lay.strides[d] * lay.dtype.itemsize, d, i)
        if not isinstance(index, Tensor):
            remember_view(lay, ("select", dim, index), hit)
    new, offset, d, i = hit
    return make_view(input, new, offset, "SelectBackward0", lambda g: embed(g, lay, lambda x: select(x, d, i)))


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
            raise ValueError(f"slice(): step must be greater than zero, got {step}; use flip() to reverse")
        n = lay.shape[d]
        first, last, step_ = slice(start, end, step).indices(n)
        count = len(range(first, last, step_))
        strides = (*lay.strides[:d], lay.strides[d] * step_, *lay.strides[d + 1 :])
        new = layout(lay.dtype, (*lay.shape[:d], count, *lay.shape[d + 1 :]), strides)
        hit = remember_view(lay, key, (new, min(first, n) * lay.strides[d] * lay.dtype.itemsize if count else 0, d))
    new, offset, d = hit
    return make_view(input, new, offset, "SliceBackward0",
                     lambda g: embed(g, lay, lambda x: slice_(x, d, start, end, step)))  # fmt: skip


@method
def narrow(input, dim, start, length):
    """`length` elements from `start` along `dim`. A view. Raises RuntimeError where they are not all there."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("narrow(): cannot be applied to a 0-dim tensor")
    d = wrap_dim(dim, lay.ndim, "narrow")
    if isinstance(start, Tensor):
        kind = start._layout
        if kind.ndim or kind.dtype.is_floating_point or kind.dtype.name == "bool":
            raise RuntimeError(f"narrow(): start must be an 0-dim integral Tensor, got {kind.dtype.name} {list(kind.shape)}; use an int")
        start = start.__index__()
    n = lay.shape[d]
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}")
    if not -n <= start <= n:
        raise IndexError(f"narrow(): start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    if start < 0:
        start += n
    if start + length > n:
        raise RuntimeError(f"narrow(): start ({start}) + length ({length}) exceeds dimension size ({n})")
    return slice_(input, d, start, start + length)


@method
def unfold(self, dimension, size, step):
    """All windows of `size` elements, `step` apart, along `dimension`, as a new last dimension. A view."""
    lay = self._layout
    d = wrap_dim(dimension, lay.ndim, "unfold")
    n = lay.shape[d] if lay.ndim else 1
    if size > n or size < 0:
        raise RuntimeError(f"unfold(): maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"unfold(): step is {step} but must be > 0")
    if lay.ndim == 0:
        new, shape = (), (size,)
        return make_view(self, layout(lay.dtype, shape, (1,)), 0, "UnfoldBackward0", lambda g: g.reshape(())) if size else self.new_zeros((0,))
    shape = (*lay.shape[:d], (n - size) // step + 1, *lay.shape[d + 1 :], size)
    strides = (*lay.strides[:d], lay.strides[d] * step, *lay.strides[d + 1 :], lay.strides[d])
    dense = row_major_layout(lay.dtype, tuple(lay.shape))
    inner = dense.strides[d]
    new = layout(lay.dtype, shape, strides)
    over = layout(lay.dtype, shape, (*dense.strides[:d], inner * step, *dense.strides[d + 1 :], inner))
    return make_view(self, new, 0, "UnfoldBackward0", lambda g: strided_backward(g, dense, over, 0))


@method
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal over dim1 and dim2 (offset > 0: above the main one) as a new last dimension. A view."""
    lay = input._layout
    d1, d2 = wrap_dim(dim1, lay.ndim, "diagonal"), wrap_dim(dim2, lay.ndim, "diagonal")
    if lay.ndim < 2 or d1 == d2:
        raise RuntimeError(f"diagonal(): diagonal dimensions cannot be identical {dim1}, {dim2} (the tensor has {lay.ndim})")
    n1, n2, s1, s2 = lay.shape[d1], lay.shape[d2], lay.strides[d1], lay.strides[d2]
    count = max(0, min(n1, n2 - offset) if offset >= 0 else min(n1 + offset, n2))
    at = (offset * s2 if offset >= 0 else -offset * s1) if count else 0
    rest = [i for i in range(lay.ndim) if i not in (d1, d2)]
    new = layout(lay.dtype, (*[lay.shape[i] for i in rest], count), (*[lay.strides[i] for i in rest], s1 + s2))
    return make_view(input, new, at * lay.dtype.itemsize, "DiagonalBackward0",
                     lambda g: embed(g, lay, lambda x: diagonal(x, offset, d1, d2)))  # fmt: skip


@method
def as_strided(input, size, stride, storage_offset=None):
    """The storage read with these sizes and strides, from `storage_offset` (default: the tensor's own). A view.

    Raises RuntimeError where it would reach beyond the storage, and for negative strides."""
    lay = input._layout
    size, stride = sizes_of((size,), "as_strided"), sizes_of((stride,), "as_strided")
    if len(size) != len(stride):
        raise RuntimeError(f"as_strided(): mismatch in length of strides {list(stride)} and shape {list(size)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided(): Negative strides are not supported at the moment, got strides: {list(stride)}")
    if any(s < 0 for s in size):
        raise RuntimeError(f"as_strided(): negative size in {list(size)}")
    item = lay.dtype.itemsize
    own = input._offset()
    at = own if storage_offset is None else storage_offset * item
    new = layout(lay.dtype, size, stride)
    if at < 0 or at + new.span * item > input._storage.nbytes:
        raise RuntimeError(
            f"as_strided(): setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at // item} require "
            f"{at // item + new.span} elements, which are out of bounds for storage of size {input._storage.nbytes // item}"
        )
    offset = (at - own) // item
    if input.requires_grad and (offset < 0 or offset + new.span > max(lay.span, 1)):
        raise RuntimeError("as_strided(): a view that reaches outside of its input cannot be differentiated; take it from the base")
    return make_view(input, new, at - own, "AsStridedBackward0", lambda g: strided_backward(g, lay, new, offset))


@method
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim as one."""
    lay = input._layout
    n = lay.ndim
    s, e = wrap_dim(start_dim, n, "flatten"), wrap_dim(end_dim, n, "flatten")
    if n == 0:
        return reshape(input, (1,))
    if s > e:
        raise RuntimeError(f"flatten(): start_dim ({start_dim}) cannot come after end_dim ({end_dim})")
    if s == e:
        return input
    k = 1
    for d in lay.shape[s : e + 1]:
        k *= d
    return reshape(input, (*lay.shape[:s], k, *lay.shape[e + 1 :]))


@method
def ravel(input):
    """All elements as one dimension."""
    return reshape(input, (-1,)) if input._layout.numel else reshape(input, (0,))


@method
def unflatten(input, dim, sizes):
    """Dimension `dim` as the dimensions `sizes` (one may be -1)."""
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "unflatten")
    if not sizes:
        raise RuntimeError("unflatten(): sizes must be non-empty")
    try:
        sizes = infer_size(tuple(sizes), lay.shape[d], "unflatten")
    except RuntimeError:
        raise RuntimeError(f"unflatten(): Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({lay.shape[d]})") from None
    return view(input, (*lay.shape[:d], *sizes, *lay.shape[d + 1 :]))


# ---------------------------------------------------------------------- several views


def _several(input, parts, name, join):
    """Views that are the parts of one tensor: one node for all. join: from their gradients the input's."""
    outs = tuple(parts)
    if input._requires_grad and mode.enabled and edge_of(input) is not None:
        for o in outs:
            o._grad_fn = None
        record_several(outs, name, join, (input,))
        for o in outs:
            o._view_mode = "multi"
    return outs


@method
def unbind(input, dim=0):
    """A tuple of all slices along `dim`, without it. Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("unbind(): Dimension specified as 0 but tensor has no dimensions")
    d = wrap_dim(dim, lay.ndim, "unbind")
    one = lay.shape[:d] + lay.shape[d + 1 :]

    def join(*gs):
        g0 = next(g for g in gs if g is not None)
        return stack([g0.new_zeros(tuple(one)) if g is None else g for g in gs], d)

    return _several(input, [select(input, d, i) for i in range(lay.shape[d])], "UnbindBackward0", join)


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

    def join(*gs):
        g0 = next(g for g in gs if g is not None)
        shape = lambda s: (*lay.shape[:d], s, *lay.shape[d + 1 :])  # noqa: E731
        return cat([g0.new_zeros(shape(s)) if g is None else g for g, s in zip(gs, sizes)], d)

    parts, at = [], 0
    for s in sizes:
        parts.append(slice_(input, d, at, at + s))
        at += s
    return _several(input, parts, "SplitWithSizesBackward0", join)


@method(names=("split",))
def split(tensor, split_size_or_sections, dim=0):
    """Parts of `split_size_or_sections` elements along `dim` (an int: the last may be smaller). Views."""
    lay = tensor._layout
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    if lay.ndim == 0:
        raise RuntimeError("split(): expects at least a 1-dimensional tensor")
    size = split_size_or_sections.__index__()
    d = wrap_dim(dim, lay.ndim, "split")
    n = lay.shape[d]
    if size < 0 or (size == 0 and n > 0):
        raise RuntimeError(f"split(): expects split_size be non-negative and, for a dimension of size {n}, not 0; got split_size={size}")
    if n == 0:
        return (slice_(tensor, d, 0, 0),)
    return split_with_sizes(tensor, [min(size, n - at) for at in range(0, n, size)], d)


@method
def chunk(input, chunks, dim=0):
    """At most `chunks` parts of equal size along `dim` (the last may be smaller). Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("chunk(): expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk(): expects `chunks` to be greater than 0, got: {chunks}")
    d = wrap_dim(dim, lay.ndim, "chunk")
    size = -(-lay.shape[d] // chunks)
    if size == 0:
        return tuple(slice_(input, d, 0, 0) for _ in range(chunks))
    return split(input, size, d)


@method
def tensor_split(input, indices_or_sections, dim=0):
    """Parts along `dim`: that many of nearly equal size, or cut at these indices. Views."""
    lay = input._layout
    if lay.ndim == 0:
        raise RuntimeError("tensor_split(): expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    d = wrap_dim(dim, lay.ndim, "tensor_split")
    n = lay.shape[d]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.dtype.name != "int64":
            raise RuntimeError(f"tensor_split(): expected tensor_indices_or_sections to have dtype of long, got {indices_or_sections.dtype}")
        indices_or_sections = indices_or_sections.tolist()
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


def _axis_split(name, dim_of, least):
    def f(input, indices_or_sections):
        lay = input._layout
        if lay.ndim < least:
            raise RuntimeError(f"{name}(): requires a tensor with at least {least} dimension, but got a tensor with {lay.ndim} dimensions")
        d = dim_of(lay.ndim)
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or lay.shape[d] % indices_or_sections):
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


# ---------------------------------------------------------------------- copies


@method
def clone(input, *, memory_format=None):
    """A copy with its own memory."""
    if not isinstance(input, Tensor):
        raise TypeError(f"clone(): argument 'input' must be Tensor, not {type(input).__name__}")
    lay = input._layout
    new = row_major_layout(lay.dtype, tuple(lay.shape)) if memory_format == "contiguous" else result_layout(lay.dtype, lay.shape, lay)
    out = door.call("cast", "copy", new, (input,), name="clone")
    if input._requires_grad:
        record(out, "CloneBackward0", lambda g: g, (input,))
    return out


@method
def contiguous(self, memory_format=None):
    """This tensor if it lies row-major without gaps, else a copy that does."""
    return self if self._layout.contiguous else clone(self, memory_format="contiguous")


def cat(tensors, dim=0, *, out=None):
    """The tensors one behind the other along `dim`; they must agree in all other sizes.

    1-d tensors of 0 elements are left out, as in PyTorch. Raises RuntimeError naming the shapes that don't fit."""
    from .create import empty

    if isinstance(tensors, Tensor):
        raise TypeError("cat(): argument 'tensors' must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"cat(): expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        if x._layout.ndim == 0:
            raise RuntimeError(f"cat(): zero-dimensional tensor (at position {i}) cannot be concatenated; use stack()")
    dtype = result_type(*tensors)
    full = [x for x in tensors if tuple(x._layout.shape) != (0,)]
    if not full:
        wrap_dim(dim, 1, "cat")
        full = tensors
    first = full[0]._layout
    d = wrap_dim(dim, first.ndim, "cat")
    for x in full[1:]:
        lay = x._layout
        if lay.ndim != first.ndim:
            raise RuntimeError(f"cat(): Tensors must have same number of dimensions: got {list(first.shape)} and {list(lay.shape)}")
        for i in range(lay.ndim):
            if i != d and lay.shape[i] != first.shape[i]:
                raise RuntimeError(
                    f"cat(): Sizes of tensors must match except in dimension {d}. Expected size {first.shape[i]} but got size "
                    f"{lay.shape[i]} for dimension {i}: {list(first.shape)} against {list(lay.shape)}"
                )
    sizes = [x._layout.shape[d] if x._layout.ndim == first.ndim else 0 for x in tensors]
    result = empty((*first.shape[:d], sum(sizes), *first.shape[d + 1 :]), dtype=dtype)
    enabled, mode.enabled = mode.enabled, False
    try:
        at = 0
        for x, n in zip(tensors, sizes):
            if n and x._layout.numel:
                copy_into(slice_(result, d, at, at + n), x)
            at += n
    finally:
        mode.enabled = enabled

    def rule(g):
        grads, at = [], 0
        for lay, n in zip(layouts, sizes):
            part = slice_(g, d, at, at + n)
            if lay.ndim != g._layout.ndim:
                part = g.new_zeros(0)
            grads.append(part if lay.dtype is dtype else part.to(lay.dtype))
            at += n
        return tuple(grads)

    layouts = [x._layout for x in tensors]
    record(result, "CatBackward0", rule, tensors)
    return result if out is None else write_out("cat", out, result, apart=tensors)


concat = concatenate = cat


def stack(tensors, dim=0, *, out=None):
    """The tensors, all of one shape, as the slices of a new dimension `dim`."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack(): expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"stack(): expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        if x._layout.shape != tensors[0]._layout.shape:
            raise RuntimeError(
                f"stack(): expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and {list(x.shape)} at entry {i}"
            )
    d = wrap_dim(dim, tensors[0]._layout.ndim + 1, "stack")
    return cat([unsqueeze(x, d) for x in tensors], d, out=out)


# ---------------------------------------------------------------------- in place


def _reshaped_in_place(name, f):
    def method_(self, *args, **kwargs):
        check_inplace(name, self)
        old = make_tensor(self._ptr, self._layout, self._storage)
        edge = edge_of(self)
        if edge is not None:
            old._requires_grad, old._grad_fn = True, edge
        new = f(old, *args, **kwargs)
        self._ptr, self._layout = new._ptr, new._layout
        if edge is not None:
            self._grad_fn = new._grad_fn
            if self._view is not None:
                self._view_version = self._storage.version
        return self

    method_.__name__ = name
    method_.__doc__ = f"Changes this tensor's own shape as `{name[:-1]}` does; the memory stays."
    setattr(Tensor, name, method_)


for _name, _f in (("squeeze_", squeeze), ("unsqueeze_", unsqueeze), ("transpose_", transpose), ("t_", t), ("swapaxes_", transpose),
                  ("swapdims_", transpose), ("as_strided_", as_strided)):  # fmt: skip
    _reshaped_in_place(_name, _f)
