"""The same elements under another shape or order of dimensions: reshape, transpose, squeeze, expand; and the copies
that a new shape may need: clone, contiguous.

A view is a transition from one layout to another (memoised on the layout) and an offset.
"""

from __future__ import annotations

from ..autograd.graph import edge_of, record
from ..dtypes import dtype as DType  # noqa: N812
from ..layout import (
    broadcast_shapes,
    expand_strides,
    infer_size,
    layout,
    remember_view,
    view_strides,  # fmt: skip
    wrap_dim,
)
from ..layout import contiguous as row_major_layout
from ..plan import make_plan, not_again, remember, reshaped, run
from ..tensor import Tensor, make_tensor, method
from .checked import checked
from .elementwise import result_layout, sum_to
from .view_graph import make_view
from .writing import check_inplace


def sizes_of(args, op):
    """The sizes of `f(2, 3)` and of `f((2, 3))`, as a tuple of ints."""
    if len(args) == 1 and type(args[0]) is not int and isinstance(args[0], (tuple, list)):
        args = args[0]
    for s in args:
        if type(s) is not int:
            return _whole_sizes(args, op)
    return args if type(args) is tuple else tuple(args)


def _whole_sizes(args, op):
    out = []
    for s in args:
        try:
            if isinstance(s, float):
                raise AttributeError
            out.append(s.__index__())
        except (AttributeError, TypeError):
            raise TypeError(
                f"{op}(): sizes must be ints, got {type(s).__name__} ({s!r}) in {list(args)}"
            ) from None
    return tuple(out)


# ---------------------------------------------------------------------- another shape


@method
def view(self, *shape, dtype=None):
    """The same memory under another shape (one size may be -1), or read as another dtype of any width.

    Raises RuntimeError where the strides don't allow it without a copy: then use `reshape`."""
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
    not_again()  # a wider type needs an address that fits it
    lay = self._layout
    old, new = lay.dtype.itemsize, dtype.itemsize
    if not (dtype.is_floating_point or dtype.is_complex):
        self = self.detach()  # integers have no gradient
    if old == new:
        return make_view(self, layout(dtype, tuple(lay.shape), lay.strides), 0, "ViewBackward0",
                         lambda g: g.view(lay.dtype))  # fmt: skip
    if lay.ndim == 0 or lay.strides[-1] != 1:
        raise RuntimeError(
            f"view(): to read {lay.dtype.name} as {dtype.name} the last dimension must be contiguous"
        )
    if (
        (lay.shape[-1] * old) % new
        or any(st * old % new for st in lay.strides[:-1])
        or self._offset() % new
    ):
        raise RuntimeError(
            f"view(): the last dimension ({lay.shape[-1]} {lay.dtype.name}) does not divide into {dtype.name}"
        )
    shape = (*lay.shape[:-1], lay.shape[-1] * old // new)
    strides = (*[st * old // new for st in lay.strides[:-1]], 1)
    return make_view(self, layout(dtype, shape, strides), 0, "ViewBackward0", None)


@method
@checked
def view_as(self, other):
    """`view` with the shape of `other`."""
    return view(self, other._layout.shape)


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
@checked
def reshape_as(self, other):
    """`reshape` to the shape of `other`."""
    return reshape(self, other._layout.shape)


@method
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim as one."""
    lay = input._layout
    shape = lay.views.get(("flatten", start_dim, end_dim))
    if shape is None:
        shape = remember_view(lay, ("flatten", start_dim, end_dim), _flat_shape(lay, start_dim, end_dim))
    return input if shape is lay.shape else reshape(input, shape)


def _flat_shape(lay, start_dim, end_dim):
    n = lay.ndim
    s, e = wrap_dim(start_dim, n, "flatten"), wrap_dim(end_dim, n, "flatten")
    if n == 0:
        return (1,)
    if s > e:
        raise RuntimeError(
            f"flatten(): start_dim ({start_dim}) cannot come after end_dim ({end_dim})"
        )
    if s == e:
        return lay.shape
    k = 1
    for d in lay.shape[s : e + 1]:
        k *= d
    return (*lay.shape[:s], k, *lay.shape[e + 1 :])


@method
def ravel(input):
    """All elements as one dimension."""
    return reshape(input.contiguous(), (-1,) if input._layout.numel else (0,))


@method
def unflatten(input, dim, sizes):
    """Dimension `dim` as the dimensions `sizes` (one may be -1)."""
    lay = input._layout
    if type(sizes) is tuple and type(dim) is int:
        shape = lay.views.get(("unflatten", dim, sizes))
        if shape is not None:
            return view(input, shape)
    d = wrap_dim(dim, lay.ndim, "unflatten")
    if not sizes:
        raise RuntimeError("unflatten(): sizes must be non-empty")
    try:
        full = infer_size(tuple(sizes), lay.shape[d], "unflatten")
    except RuntimeError:
        raise RuntimeError(
            f"unflatten(): Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({lay.shape[d]})"
        ) from None
    shape = (*lay.shape[:d], *full, *lay.shape[d + 1 :])
    if type(sizes) is tuple and type(dim) is int:
        remember_view(lay, ("unflatten", dim, sizes), shape)
    return view(input, shape)


# ---------------------------------------------------------------------- dimensions in another order


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
        hit = remember_view(
            lay, ("transpose", dim0, dim1), layout(lay.dtype, tuple(shape), tuple(strides))
        )
    return make_view(input, hit, 0, "TransposeBackward0", lambda g: transpose(g, dim0, dim1))


swapaxes = swapdims = transpose
Tensor.swapaxes = Tensor.swapdims = transpose


@method
def t(input):
    """The transpose of a matrix; vectors and 0-d tensors as they are. A view."""
    if input._layout.ndim > 2:
        raise RuntimeError(
            f"t(): expects a tensor with <= 2 dimensions, but self is {input._layout.ndim}D; use .mT or transpose()"
        )
    if input._layout.ndim < 2:
        return view(input, input._layout.shape)
    return transpose(input, 0, 1)


def _T(self):  # noqa: N802
    """All dimensions in reverse order (of a matrix: the transpose)."""
    return (
        t(self)
        if self._layout.ndim <= 2
        else permute(self, tuple(range(self._layout.ndim - 1, -1, -1)))
    )


def _mT(self):  # noqa: N802
    """The last two dimensions exchanged (of a number: the number)."""
    if self._layout.ndim == 0:
        return self
    if self._layout.ndim < 2:
        raise RuntimeError(
            f"mT is only supported on matrices or batches of matrices. Got a {self._layout.ndim}-D tensor"
        )
    return transpose(self, -2, -1)


Tensor.T = property(_T)
Tensor.mT = property(_mT)
Tensor.H = property(lambda self: t(self).conj())
Tensor.mH = property(lambda self: _mT(self).conj())


@method
def adjoint(input):
    """The last two dimensions exchanged, and complex numbers conjugated."""
    return _mT(input).conj()


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
        new = layout(
            lay.dtype, tuple(lay.shape[d] for d in order), tuple(lay.strides[d] for d in order)
        )
        hit = remember_view(lay, ("permute", dims), (new, tuple(inverse)))
    new, inverse = hit
    return make_view(input, new, 0, "PermuteBackward0", lambda g: permute(g, inverse))


@method
def movedim(input, source, destination):
    """The dimensions `source` moved to the places `destination`. A view."""
    lay = input._layout
    if type(source) is int and type(destination) is int:
        order = lay.views.get(("movedim", source, destination))
        if order is None:
            order = _moved(lay.ndim, source, destination)
            remember_view(lay, ("movedim", source, destination), order)
    else:
        order = _moved(lay.ndim, source, destination)
    return permute(input, order) if lay.ndim else view(input, ())


def _moved(n, source, destination):
    """The order of the dimensions for `permute`."""
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination):
        raise RuntimeError(f"movedim(): Invalid source or destination dims: source ({source} dims) should contain the same number "
                           f"of dims as destination ({destination} dims)")  # fmt: skip
    src = [wrap_dim(d, n, "movedim") for d in source]
    dst = [wrap_dim(d, n, "movedim") for d in destination]
    if len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(
            f"movedim(): repeated dim in source {source} or destination {destination}"
        )
    if n == 0:
        return ()
    order = [None] * n
    for s, d in zip(src, dst):
        order[d] = s
    rest = iter(d for d in range(n) if d not in src)
    return tuple(next(rest) if o is None else o for o in order)


moveaxis = movedim
Tensor.moveaxis = movedim


# ---------------------------------------------------------------------- dimensions of size 1


@method
def squeeze(input, dim=None):
    """Without the dimensions of size 1 (all, or those of `dim`). A view."""
    lay = input._layout
    if isinstance(dim, list):
        dim = tuple(dim)
    hit = lay.views.get(("squeeze", dim))
    if hit is None:
        drop = (
            range(lay.ndim)
            if dim is None
            else [
                wrap_dim(d, lay.ndim, "squeeze")
                for d in (dim if isinstance(dim, tuple) else (dim,))
            ]
        )
        keep = [i for i in range(lay.ndim) if not (i in drop and lay.shape[i] == 1)]
        new = layout(
            lay.dtype, tuple(lay.shape[i] for i in keep), tuple(lay.strides[i] for i in keep)
        )
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
        new = layout(
            lay.dtype, (*lay.shape[:d], 1, *lay.shape[d:]), (*lay.strides[:d], st, *lay.strides[d:])
        )
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
                    raise RuntimeError(
                        f"expand(): the size -1 is not allowed in a leading, non-existing dimension {i} of {list(sizes)}"
                    )
                s = have
            elif s < 0:
                raise RuntimeError(f"expand(): invalid size {s} in {list(sizes)}")
            elif have is not None and have != s and have != 1:
                raise RuntimeError(
                    f"expand(): The expanded size of the tensor ({s}) must match the existing size ({have}) at non-singleton "
                    f"dimension {i}. Target sizes: {list(sizes)}. Tensor sizes: {list(lay.shape)}"
                )
            full.append(s)
        hit = remember_view(
            lay, ("expand", sizes), layout(lay.dtype, tuple(full), expand_strides(lay, full))
        )
    old = lay.shape
    return make_view(input, hit, 0, "ExpandBackward0", lambda g: sum_to(g, old))


@method
def broadcast_to(input, size):
    """`expand` to this shape."""
    return expand(input, tuple(size))


@method
@checked
def expand_as(self, other):
    """`expand` to the shape of `other`."""
    return expand(self, other._layout.shape)


def broadcast_tensors(*tensors):
    """All of them expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[x._layout.shape for x in tensors], op="broadcast_tensors")
    return tuple(expand(x, shape) for x in tensors)


# ---------------------------------------------------------------------- copies


@method
def clone(input, *, memory_format=None):
    """A copy with its own memory."""
    try:
        lay = input._layout
        plan = _clones.get((lay, memory_format))
    except AttributeError:
        raise TypeError(f"clone(): argument 'input' must be Tensor, not {type(input).__name__}") from None
    if plan is None:
        plan = _clone_plan(lay, memory_format)
    out = run(plan, input)
    if input._requires_grad:
        record(out, "CloneBackward0", _same, (input,))
    return out


def _same(g):
    return g


_clones: dict = {}  # (layout, memory_format) -> plan


def _clone_plan(lay, memory_format):
    row_major = memory_format is not None and str(memory_format).endswith(
        ("contiguous", "contiguous_format")
    )
    new = (
        row_major_layout(lay.dtype, tuple(lay.shape))
        if row_major
        else result_layout(lay.dtype, lay.shape, lay)
    )
    return remember(_clones, (lay, memory_format), make_plan("cast", "copy", (new,), (lay,), name="clone"))


@method
def contiguous(self, memory_format=None):
    """This tensor if it lies row-major without gaps, else a copy that does."""
    return self if self._layout.contiguous else clone(self, memory_format="contiguous")


# ---------------------------------------------------------------------- in place


def reshaped_in_place(name, f):
    """Attaches the method `name`, which gives its tensor the shape and the place in the graph of the view `f` makes."""

    def method_(self, *args, **kwargs):
        check_inplace(name, self)
        old = make_tensor(self._ptr, self._layout, self._storage)
        edge = edge_of(self)
        if edge is not None:
            old._requires_grad, old._grad_fn = True, edge
        new = f(old, *args, **kwargs)
        self._ptr, self._layout = new._ptr, new._layout
        if edge is None:
            reshaped()
        else:
            not_again()
            self._grad_fn = new._grad_fn
            if self._view is not None:
                self._view_version = self._storage.version
        return self

    method_.__name__ = name
    method_.__doc__ = f"Changes this tensor's own shape as `{name[:-1]}` does; the memory stays."
    setattr(Tensor, name, method_)


for _name, _f in (("squeeze_", squeeze), ("unsqueeze_", unsqueeze), ("transpose_", transpose), ("t_", t),
                  ("swapaxes_", transpose), ("swapdims_", transpose)):  # fmt: skip
    reshaped_in_place(_name, _f)
