"""Shape and strides arithmetic. Pure Python: no kernel, no tensor.

A `Layout` is a dtype, a shape and strides (in elements). Layouts are immutable and interned:
equal ones are (nearly always) the same object, so that plans are looked up by identity. View
operations are transitions from one layout to another, memoised on the layout they start from.
"""

from __future__ import annotations

from .dtypes import dtype as DType  # noqa: N812

INTERNED_LIMIT = 1 << 14
VIEWS_LIMIT = 256
MAX_NUMEL = (1 << 63) - 1


size_at = tuple.__getitem__  # size_at(shape, dim): one size, without Size's own look at slices


class Size(tuple):
    """A shape: a tuple of ints that prints like PyTorch's `torch.Size`."""

    __slots__ = ()

    def __repr__(self):
        return f"dlgrad.Size({list(self)})"

    def numel(self):
        """The product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __getitem__(self, i):
        if type(i) is slice:
            return Size(size_at(self, i))
        return size_at(self, i)

    def __reduce__(self):
        return Size, (tuple(self),)


class Layout:
    """dtype, shape and strides of a tensor. Make one with `layout()` or `contiguous()`, never directly."""

    __slots__ = ("dtype", "shape", "strides", "ndim", "numel", "contiguous", "nbytes", "span", "views", "__weakref__")

    def __init__(self, dtype: DType, shape: Size, strides: tuple):
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        self.ndim = len(shape)
        n, span, dense = 1, 1, True
        for s, stride in zip(reversed(shape), reversed(strides)):
            if s != 1 and stride != n:
                dense = False
            n *= s
            span += (s - 1) * stride
        self.numel = n
        self.contiguous = dense or n == 0
        self.span = span if n else 0  # elements from the first to just behind the last
        self.nbytes = n * dtype.itemsize
        self.views = {}

    def __repr__(self):
        return f"Layout({self.dtype.name}, {list(self.shape)}, strides {list(self.strides)})"

    def __reduce__(self):
        return layout, (self.dtype, tuple(self.shape), self.strides)


_interned: dict = {}


def layout(dtype, shape, strides) -> Layout:
    """The layout with these sizes and strides (tuples of ints)."""
    key = (dtype, shape, strides)
    found = _interned.get(key)
    if found is None:
        if len(_interned) >= INTERNED_LIMIT:
            _interned.clear()  # those in use live on; equal ones may then exist twice, which costs a look-up
        found = _interned[key] = Layout(dtype, Size(shape), strides)
    return found


def row_major(shape) -> tuple:
    """The strides of a tensor without gaps, the last dimension innermost (sizes 0 count as 1, as in PyTorch)."""
    strides, n = [], 1
    for s in reversed(shape):
        strides.append(n)
        n *= s if s > 0 else 1
    return tuple(reversed(strides))


_contiguous: dict = {}


def contiguous(dtype, shape) -> Layout:
    """The row-major layout of this shape (a tuple of ints)."""
    key = (dtype, shape)
    found = _contiguous.get(key)
    if found is None:
        if len(_contiguous) >= INTERNED_LIMIT:
            _contiguous.clear()
        shape = tuple(shape)
        found = _contiguous[key] = layout(dtype, shape, row_major(shape))
    return found


def alike(lay, new) -> Layout:
    """`new`, a layout of the memory that `lay` describes, with the batch dimensions that `lay` hides (batched.py)."""
    return new if type(lay) is Layout else lay.hide(new)


def with_dtype(lay: Layout, dtype) -> Layout:
    """The same sizes, row-major, in another dtype."""
    return contiguous(dtype, lay.shape)


def remember_view(lay: Layout, key, value):
    """Memoises a transition on `lay`, within bounds."""
    views = lay.views
    if len(views) >= VIEWS_LIMIT:
        views.clear()
    views[key] = value
    return value


def broadcast_shapes(*shapes, op="broadcast_shapes") -> Size:
    """The shape that all of them expand to.

    Raises RuntimeError naming `op`, the shapes and the dimension where they don't fit."""
    ndim = max((len(s) for s in shapes), default=0)
    out = [1] * ndim
    for s in shapes:
        at = ndim - len(s)
        for i, n in enumerate(s):
            have = out[at + i]
            if n == have or n == 1:
                continue
            if have == 1:
                out[at + i] = n
                continue
            text = ", ".join(str(list(x)) for x in shapes)
            raise RuntimeError(
                f"{op}: shapes {text} do not broadcast: size {have} against {n} at dimension {at + i} "
                f"(counted from the left of the result); sizes must be equal, or one of them 1"
            )
    return Size(out)


def expand_strides(lay: Layout, shape) -> tuple:
    """Strides under which `lay` reads as `shape`. Raises RuntimeError where it does not broadcast to it."""
    extra = len(shape) - lay.ndim
    if extra < 0 or any(s != 1 and s != n for s, n in zip(lay.shape, shape[extra:])):
        raise RuntimeError(f"shape {list(lay.shape)} does not broadcast to {list(shape)}")
    return (0,) * extra + tuple(
        0 if s == 1 and n != 1 else st for s, st, n in zip(lay.shape, lay.strides, shape[extra:])
    )


def whole(op, name, value):
    """The argument as an int. Raises TypeError for what is none."""
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(
            f"{op}(): argument '{name}' must be int, not {type(value).__name__}"
        ) from None


def wrap_dim(dim, ndim, op, scalar_ok=True):
    """`dim` counted from the front. 0-d tensors take 0 and -1, as in PyTorch. Raises IndexError."""
    d = whole(op, "dim", dim)
    n = ndim if ndim > 0 or not scalar_ok else 1
    if not -n <= d < n:
        if n == 0:
            raise IndexError(f"{op}(): dimension {d} given, but the tensor has no dimensions")
        raise IndexError(
            f"{op}(): Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d}) "
            f"for a tensor of {ndim} dimensions"
        )
    return d + n if d < 0 else d


def wrap_dims(dim, ndim, op) -> tuple:
    """One dim or several (None: all), from the front, each once. Raises IndexError, RuntimeError."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        return (wrap_dim(dim, ndim, op),)
    out = tuple(wrap_dim(d, ndim, op) for d in dim)
    if len(set(out)) != len(out):
        raise RuntimeError(f"{op}(): dim {tuple(dim)} names the same dimension twice (the tensor has {ndim})")
    return out


def view_strides(lay: Layout, shape):
    """Strides under which the memory of `lay` reads as `shape` (of as many elements), or None without a copy."""
    if lay.numel == 0:
        return lay.strides if tuple(shape) == tuple(lay.shape) else row_major(shape)
    if lay.contiguous:
        return row_major(shape)
    # Runs of old dimensions that lie in one piece: (elements, stride of the innermost)
    runs = []
    for s, st in zip(lay.shape, lay.strides):
        if s == 1:
            continue
        if runs and runs[-1][1] == s * st:
            runs[-1] = (runs[-1][0] * s, st)
        else:
            runs.append((s, st))
    strides, at = [0] * len(shape), len(shape) - 1
    for n, st in reversed(runs):
        while n > 1:
            while at >= 0 and shape[at] == 1:
                strides[at] = st
                at -= 1
            if at < 0 or n % shape[at]:
                return None
            strides[at] = st
            st *= shape[at]
            n //= shape[at]
            at -= 1
    while at >= 0:
        strides[at] = strides[at + 1] * shape[at + 1] if at + 1 < len(shape) else 1
        at -= 1
    return tuple(strides)


def infer_size(shape, numel, op) -> tuple:
    """`shape` with its -1 worked out. Raises RuntimeError where it does not hold `numel` elements."""
    known, free = 1, None
    for i, s in enumerate(shape):
        if s == -1:
            if free is not None:
                raise RuntimeError(f"{op}(): only one dimension can be inferred (-1), got shape {list(shape)}")
            free = i
        elif s < 0:
            raise RuntimeError(f"{op}(): invalid shape dimension {s} in {list(shape)}")
        else:
            known *= s
    if free is not None:
        if known == 0:
            if numel == 0:
                raise RuntimeError(
                    f"{op}(): cannot reshape a tensor of 0 elements into shape {list(shape)}: the size of -1 is ambiguous"
                )
            raise RuntimeError(f"{op}(): shape {list(shape)} is invalid for input of size {numel}")
        if numel % known:
            raise RuntimeError(f"{op}(): shape {list(shape)} is invalid for input of size {numel}")
        return tuple(numel // known if i == free else s for i, s in enumerate(shape))
    if known != numel:
        raise RuntimeError(f"{op}(): shape {list(shape)} is invalid for input of size {numel} (it holds {known})")
    return tuple(shape)


def expanded(lay: Layout, shape) -> Layout:
    """`lay` read as the larger `shape`."""
    if lay.shape == shape:
        return lay
    return alike(lay, layout(lay.dtype, tuple(shape), expand_strides(lay, shape)))
