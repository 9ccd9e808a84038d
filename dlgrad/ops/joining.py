"""Several tensors as one: cat, stack, and stacking by rows, columns and blocks."""

from __future__ import annotations

import math

from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import with_room
from ..layout import Layout, contiguous, wrap_dim
from ..plan import make_plan, remember, run_at
from ..storage import allocate
from ..tensor import Tensor, make_tensor
from .elementwise import result_type
from .slicing import slice_
from .view import unsqueeze
from .writing import copy_into, write_directly, write_out


class _Join:
    """How tensors of certain layouts become one: in plans of at most MANY inputs each, with the offset in the result."""

    MANY = 20  # below max_operands in zig/plan.zig
    __slots__ = ("layout", "parts", "dim", "sizes", "shape")

    def __init__(self, lays, out, dim, rows, sizes, shape):
        self.layout, self.dim, self.sizes, self.shape = out, dim, sizes, shape
        self.parts = []
        at, pitch = 0, out.numel // rows * out.dtype.itemsize
        for i in range(0, len(lays), self.MANY):
            some = lays[i : i + self.MANY]
            plan = make_plan("cast", "join", (out,), some, (rows, pitch), name="cat", into=i > 0)
            self.parts.append((plan, at, i, i + len(some)))
            at += sum([lay.numel for lay in some]) // rows * out.dtype.itemsize

    def run(self, tensors):
        if len(self.parts) == 1:
            return door.run(self.parts[0][0], *tensors)
        lay = self.layout
        storage = allocate(lay.nbytes, "cat")
        ptr = storage.ptr
        for plan, at, i, end in self.parts:
            run_at(plan.handle, ptr + at, *[t._ptr for t in tensors[i:end]])
        return make_tensor(ptr, lay, storage)


_joins: dict = {}  # ("cat" or "stack", dim, layouts) -> _Join; None: has to be done in another way


def _joined_quickly(name, tensors, dim, out=None):
    """cat or stack of contiguous tensors of one dtype in one pass, straight into `out` if it is given; None for all
    else."""
    try:
        if len(tensors) == 2:
            a, b = tensors
            lays = (a._layout, b._layout)
        else:
            lays = tuple([t._layout for t in tensors])
        key = (name, dim, lays)
        join = _joins[key]
    except AttributeError:
        return None
    except KeyError:
        join = remember(_joins, key, _join(name, lays, dim))
    if join is None:
        return None
    if out is not None:
        if len(tensors) > 4 or not isinstance(out, Tensor) or any([t._storage is out._storage for t in tensors]):
            return None
        return out if write_directly(join.parts[0][0], out, *tensors) else None
    result = join.run(tensors)
    if mode.enabled:
        for t in tensors:
            if t._requires_grad:
                _record_join(result, name, join, tensors)
                break
    return result


def _join(name, lays, dim):
    """A _Join for these layouts, or None."""
    if not lays or type(dim) is not int:
        return None
    first = lays[0]
    stacked = name == "stack"
    if not (first.ndim or stacked) or any(
        [type(lay) is not Layout or not lay.contiguous or lay.dtype is not first.dtype for lay in lays]
    ):
        return None
    n = first.ndim + stacked
    if first.dtype.is_complex or not -n <= dim < n or any([lay.ndim != first.ndim for lay in lays]):
        return None
    d = dim % n
    before, after = tuple(first.shape[:d]), tuple(first.shape[d if stacked else d + 1 :])
    if any([lay.shape[:d] != before or lay.shape[d if stacked else d + 1 :] != after for lay in lays]):
        return None
    sizes = tuple([1 if stacked else lay.shape[d] for lay in lays])
    rows = math.prod(before)
    out = contiguous(first.dtype, (*before, sum(sizes), *after))
    if not rows or not out.numel or not all([lay.numel for lay in lays]):
        return None
    return _Join(lays, out, d, rows, sizes, tuple(first.shape))


def _record_join(result, name, join, tensors):
    from .splitting import split_with_sizes, unbind

    d, sizes = join.dim, join.sizes
    if name == "stack":
        rule = lambda g: unbind(g, d)  # noqa: E731
    else:
        rule = lambda g: split_with_sizes(g, sizes, d)  # noqa: E731
    record(result, "StackBackward0" if name == "stack" else "CatBackward0", rule, tensors)


def cat(tensors, dim=0, *, out=None, axis=None):
    """The tensors one behind the other along `dim`; they must agree in all other sizes.

    1-d tensors of 0 elements are left out, as in PyTorch. Raises RuntimeError naming the shapes that don't fit."""
    dim = dim if axis is None else axis
    if type(tensors) in (list, tuple):
        result = _joined_quickly("cat", tensors, dim, out)
        if result is not None:
            return result
    from .create import empty

    if isinstance(tensors, Tensor):
        raise TypeError("cat(): argument 'tensors' must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"cat(): expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
        if x._layout.ndim == 0:
            raise RuntimeError(
                f"cat(): zero-dimensional tensor (at position {i}) cannot be concatenated; use stack()"
            )
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
            raise RuntimeError(
                f"cat(): Tensors must have same number of dimensions: got {list(first.shape)} and {list(lay.shape)}"
            )
        for i in range(lay.ndim):
            if i != d and lay.shape[i] != first.shape[i]:
                raise RuntimeError(
                    f"cat(): Sizes of tensors must match except in dimension {d}. Expected size {first.shape[i]} but got size "
                    f"{lay.shape[i]} for dimension {i}: {list(first.shape)} against {list(lay.shape)}"
                )
    sizes = [x._layout.shape[d] if x._layout.ndim == first.ndim else 0 for x in tensors]
    result = with_room(empty((*first.shape[:d], sum(sizes), *first.shape[d + 1 :]), dtype=dtype), *tensors)
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


def stack(tensors, dim=0, *, out=None, axis=None):
    """The tensors, all of one shape, as the slices of a new dimension `dim`."""
    dim = dim if axis is None else axis
    if type(tensors) in (list, tuple):
        result = _joined_quickly("stack", tensors, dim, out)
        if result is not None:
            return result
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack(): expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"stack(): expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
        if x._layout.shape != tensors[0]._layout.shape:
            raise RuntimeError(
                f"stack(): expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and {list(x.shape)} at entry {i}"
            )
    d = wrap_dim(dim, tensors[0]._layout.ndim + 1, "stack")
    return cat([unsqueeze(x, d) for x in tensors], d, out=out)


# ---------------------------------------------------------------------- stacking


def _tensors(name, tensors):
    """The tensors of f(a, b) and of f([a, b])."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): expected Tensors, got {type(t).__name__}")
    return tuple(tensors)


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
    return (
        t.reshape((1, 1, 1))
        if n == 0
        else t.unsqueeze(0).unsqueeze(-1)
        if n == 1
        else t.unsqueeze(-1)
        if n == 2
        else t
    )


atleast_1d = _at_least(
    "atleast_1d",
    lambda t: t if t._layout.ndim else t.reshape((1,)),
    "0-d tensors as vectors of one element; others as they are.",
)
atleast_2d = _at_least(
    "atleast_2d", _widen2, "Numbers and vectors as matrices of one row; others as they are."
)
atleast_3d = _at_least(
    "atleast_3d",
    _widen3,
    "n elements as (1, n, 1), matrices as (rows, columns, 1); others as they are.",
)


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
        raise RuntimeError(
            f"block_diag(): Input tensors must have 2 or fewer dimensions, got {[list(t.shape) for t in ts]}"
        )
    common = result_type(*[t._layout.dtype for t in ts])
    ts = [_widen2(t).to(common) for t in ts]
    corners, r, c = [], 0, 0
    for t in ts:
        h, w = t._layout.shape
        corners.append((slice(r, r + h), slice(c, c + w)))
        r, c = r + h, c + w
    result = with_room(zeros((r, c), dtype=common), *ts)
    for t, corner in zip(ts, corners):
        copy_into(result[corner], t.detach())
    result._storage.version = 0
    rules = tuple([lambda g, corner=corner: g[corner] for corner in corners])
    return record(result, "BlockDiagBackward0", rules, ts)
