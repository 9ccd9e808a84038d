"""Reading elements by index: gather, index_select, take, repeat_interleave.

Indices are int64 (or int32, which is converted). The kernels check every index; what is out of range raises
IndexError or RuntimeError (as in PyTorch: plan.py) naming it, and nothing outside of a tensor is read."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import each_member, every_member, with_room
from ..layout import Layout, alike, broadcast_shapes, contiguous, wrap_dim
from ..tensor import Tensor, make_tensor, method
from .writing import write_out


def index_tensor(name, index, what="index"):
    """`index` as int64. Raises for floating point and bool."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(index).__name__}")
    d = index._layout.dtype
    if d is dt.int64:
        return index
    if d is dt.int32 or index._layout.numel == 0:
        return index.to(dt.int64)
    raise RuntimeError(f"{name}(): Expected dtype int64 (or int32) for {what}, got {d.name}")


def _raw(t, ndim_from=0):
    """A 0-d tensor read as one of one dimension (outside of the graph)."""
    if t._layout.ndim:
        return t
    return make_tensor(t._ptr, alike(t._layout, contiguous(t._layout.dtype, (1,))), t._storage)


def _as_shape(t, shape):
    return (
        t
        if t._layout.shape == shape
        else make_tensor(t._ptr, alike(t._layout, contiguous(t._layout.dtype, tuple(shape))), t._storage)
    )


def _check_ranks(name, lay, index, dim, smaller_ok, src=None):
    """Raises RuntimeError where index does not fit the tensor (and src), as PyTorch does."""
    if index.numel == 0:
        return
    n, m = max(lay.ndim, 1), max(index.ndim, 1)
    if n != m:
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as the input tensor: index {list(index.shape)}, "
            f"input {list(lay.shape)}"
        )
    if src is not None and max(src.ndim, 1) != m:
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as src tensor: index {list(index.shape)}, src {list(src.shape)}"
        )
    if index.numel == 0:
        return
    for d in range(index.ndim):
        if d != dim and lay.ndim and index.shape[d] > lay.shape[d]:
            raise RuntimeError(
                f"{name}(): Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than self "
                f"{list(lay.shape)} apart from dimension {dim}"
            )
        if src is not None and src.ndim and index.shape[d] > src.shape[d]:
            raise RuntimeError(
                f"{name}(): Expected index {list(index.shape)} to be no larger than src {list(src.shape)} at dimension {d}"
            )


def _vector_index(name, index):
    index = index_tensor(name, index)
    if index._layout.ndim > 1:
        raise IndexError(
            f"{name}(): Index is supposed to be a vector, but got dim: {index._layout.ndim}"
        )
    return _raw(index)


def _wrapped(index, size):
    """Negative indices counted from the end."""
    if type(index._layout) is Layout and (not index._layout.numel or index.amin().item() >= 0):
        return index
    from .ternary import where

    return where(index < 0, index + size, index)


# ---------------------------------------------------------------------- single elements

_gathers: dict = {}  # (layout, layout of the index, dim) -> plan
_selects: dict = {}  # the same for index_select


def _plain(*lays):
    """Whether these are ordinary layouts (no vmap) of real numbers."""
    return all([type(lay) is Layout and not lay.dtype.is_complex for lay in lays])


def _gather_rule(lay, d):
    def rule(g, index):
        from .create import zeros
        from .scatter import scatter_add

        room = with_room(zeros(tuple(lay.shape), dtype=g._layout.dtype), g, index)
        return scatter_add(room, d, index, g) if mode.enabled else room.scatter_add_(d, index, g)

    return rule


def _select_rule(lay, d):
    def rule(g, i):
        from .create import zeros
        from .scatter import index_add

        room = with_room(zeros(tuple(lay.shape), dtype=g._layout.dtype), g, i)
        return index_add(room, d, i, g) if mode.enabled else room.index_add_(d, i, g)

    return rule


@method
def gather(input, dim, index, *, sparse_grad=False, out=None):
    """out[i][j][k] = input[i][index[i][j][k]][k] for dim = 1; the result has the shape of `index`."""
    if out is None and type(input) is Tensor and type(index) is Tensor:
        plan = _gathers.get((input._layout, index._layout, dim))
        if plan is not None:
            result = door.run(plan, input, index)
            if input._requires_grad:
                record(result, "GatherBackward0", _gather_rule(input._layout, dim), (input,), (index,))
            return result
    if not isinstance(input, Tensor):
        raise TypeError(f"gather(): argument 'input' must be Tensor, not {type(input).__name__}")
    given, index = index, index_tensor("gather", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "gather")
    _check_ranks("gather", lay, index._layout, d, True)
    if index._layout.numel == 0:
        from .create import empty

        result = empty(tuple(index._layout.shape), dtype=lay.dtype)
    else:
        i = _raw(index)
        result = door.call(
            "gather",
            "gather",
            contiguous(lay.dtype, tuple(i._layout.shape)),
            (_raw(input), i),
            ints=(d,),
        )
        result = _as_shape(result, index._layout.shape)

    if given is index and lay.ndim and index._layout.numel and index._layout.ndim and _plain(lay, index._layout):
        plan = door.make_plan("gather", "gather", (result._layout,), (lay, index._layout), (d,))
        door.remember(_gathers, (lay, index._layout, dim), plan)
    record(result, "GatherBackward0", _gather_rule(lay, d), (input,), (index,))
    return (
        result
        if out is None
        else write_out("gather", out, result, exact=True, apart=(input, index))
    )


def take_along_dim(input, indices, dim=None, *, out=None):
    """`gather`, with input and indices broadcast against each other (dim None: on the flattened input)."""
    if not isinstance(indices, Tensor):
        raise TypeError(
            f"take_along_dim(): argument 'indices' must be Tensor, not {type(indices).__name__}"
        )
    if indices._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(
            f"take_along_dim(): dtype of indices should be Long but got {indices._layout.dtype.name}"
        )
    if dim is None:
        result = gather(input.reshape(-1), 0, indices.reshape(-1))
        return (
            result
            if out is None
            else write_out("take_along_dim", out, result, exact=True, apart=(input, indices))
        )
    if input._layout.ndim != indices._layout.ndim:
        raise RuntimeError(
            f"take_along_dim(): input and indices should have the same number of dimensions, but got {input._layout.ndim} "
            f"dimensions for input, and {indices._layout.ndim} dimensions for indices"
        )
    d = wrap_dim(dim, input._layout.ndim, "take_along_dim", scalar_ok=False)
    a, b = tuple(input._layout.shape), tuple(indices._layout.shape)
    ia, ib = (*a[:d], 1, *a[d + 1 :]), (*b[:d], 1, *b[d + 1 :])
    common = ia if ia == ib else tuple(broadcast_shapes(ia, ib, op="take_along_dim"))
    x = input if common == ia else input.expand((*common[:d], a[d], *common[d + 1 :]))
    i = indices if common == ib else indices.expand((*common[:d], b[d], *common[d + 1 :]))
    size = x._layout.shape[d] if x._layout.ndim else 1
    result = gather(x, d, _wrapped(i, size))
    return (
        result
        if out is None
        else write_out("take_along_dim", out, result, exact=True, apart=(input, indices))
    )


Tensor.take_along_dim = take_along_dim


@method
def take(input, index, *, out=None):
    """The elements of the flattened input at these indices (negative ones count from the end)."""
    index = index_tensor("take", index)
    if out is None and input._layout.contiguous and index._layout.contiguous and index._layout.numel and not input._requires_grad:
        lay, given = input._layout, index._layout
        if _plain(lay, given) and lay.numel:
            x, i = [t if t._layout.ndim == 1 else _as_shape(t, (t._layout.numel,)) for t in (input, index)]
            return _as_shape(index_positions(x, (i,), 0, True, tuple(i._layout.shape)), given.shape)
    flat = input.reshape(-1)
    n = flat._layout.numel
    if n == 0 and index._layout.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    result = index_positions(flat, (_raw(index).reshape(-1),), 0, True, (index._layout.numel,))

    def rule(g, index):
        from .create import zeros
        from .scatter import index_add

        room = with_room(zeros(n, dtype=g._layout.dtype), g, index)
        if mode.enabled:
            return index_add(room, 0, _wrapped(index.reshape(-1), n), g.reshape(-1)).reshape(tuple(input_shape))
        return room.put_(index, g, True).view(tuple(input_shape))

    input_shape = input._layout.shape
    result = _as_shape(result, index._layout.shape)
    record(result, "TakeBackward0", rule, (input,), (index,))
    return (
        result if out is None else write_out("take", out, result, exact=True, apart=(input, index))
    )


# ---------------------------------------------------------------------- whole slices


def index_positions(x, indices, start, allow_negative, shape, name="index"):
    """The row `index`: x with dimensions start .. start + k - 1 chosen by `indices` (of one shape). No graph."""
    lay = x._layout
    k = len(indices)
    out = contiguous(lay.dtype, (*lay.shape[:start], *shape, *lay.shape[start + k :]))
    return door.call(
        "index", "index", out, (x, *indices), ints=(k, start, int(allow_negative)), name=name
    )


def positions_plan(lay, indices, start, shape):
    """`index_positions` as a plan, for callers that keep it: layouts of x and of the indices."""
    k = len(indices)
    out = contiguous(lay.dtype, (*lay.shape[:start], *shape, *lay.shape[start + k :]))
    return door.make_plan("index", "index", (out,), (lay, *indices), (k, start, 1), name="index")


@method
def index_select(input, dim, index, *, out=None):
    """The slices of `input` along `dim` that `index` (a vector) names."""
    if out is None and type(input) is Tensor and type(index) is Tensor:
        plan = _selects.get((input._layout, index._layout, dim))
        if plan is not None:
            result = door.run(plan, input, index)
            if input._requires_grad:
                record(result, "IndexSelectBackward0", _select_rule(input._layout, dim), (input,), (index,))
            return result
    if not isinstance(input, Tensor):
        raise TypeError(
            f"index_select(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    i = _vector_index("index_select", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "index_select")
    result = index_positions(_raw(input), (i,), d, False, tuple(i._layout.shape), "index_select")
    if lay.ndim == 0:
        if i._layout.numel != 1:
            raise RuntimeError(
                f"index_select(): Index to scalar can have only 1 value, got {i._layout.numel} value(s)"
            )
        result = _as_shape(result, lay.shape)

    elif i is index and _plain(lay, i._layout):
        plan = door.make_plan("index", "index", (result._layout,), (lay, i._layout), (1, d, 0), name="index_select")
        door.remember(_selects, (lay, i._layout, dim), plan)
    record(result, "IndexSelectBackward0", _select_rule(lay, d), (input,), (i,))
    return (
        result
        if out is None
        else write_out("index_select", out, result, exact=True, apart=(input, index))
    )


@each_member
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element (or slice along `dim`) repeated `repeats` times, or as many times as a vector says."""
    from .create import arange, ones
    from .joining import stack

    if repeats is None:
        repeats, input = input, None
        if not isinstance(repeats, Tensor):
            raise TypeError("repeat_interleave(): expected a Tensor of repeats")
    if not isinstance(repeats, Tensor):
        if repeats < 0:
            raise RuntimeError(f"repeat_interleave(): Repeats must be non-negative, got {repeats}")
    if input is not None:
        if dim is None:
            input, dim = input.reshape(-1), 0
        d = wrap_dim(dim, input._layout.ndim, "repeat_interleave")
        if input._layout.ndim == 0:
            input = input.reshape(1)
        n = input._layout.shape[d]
    if isinstance(repeats, int):
        last = d == input._layout.ndim - 1 and type(input._layout) is Layout and n > 0
        if last and 2 <= repeats <= 4:
            return stack([input] * repeats, -1).flatten(-2)
        if last and repeats > 4 and not input._layout.dtype.is_complex:
            return (input.unsqueeze(-1) * ones(repeats, dtype=input._layout.dtype)).flatten(-2)
        index = arange(n).unsqueeze(1).expand(n, repeats).reshape(-1)
    else:
        if repeats._layout.dtype not in (dt.int64, dt.int32):
            raise RuntimeError(
                f"repeat_interleave(): repeats has to be Long or Int tensor, got {repeats.dtype}"
            )
        if repeats._layout.ndim > 1:
            raise RuntimeError("repeat_interleave(): repeats must be 0-dim or 1-dim tensor")
        r = repeats.to(dt.int64).reshape(-1)
        if input is not None:
            if r._layout.numel == 1:
                r = r.expand(n)
            elif r._layout.numel != n:
                raise RuntimeError(
                    f"repeat_interleave(): repeats must have the same size as input along dim, but got repeats.size(0) = {r._layout.numel} and input.size({dim}) = {n}"
                )
        if r._layout.numel and int(every_member(r).min()) < 0:
            raise RuntimeError("repeat_interleave(): repeats can not be negative")
        index = door.call(
            "gather", "repeat_interleave", contiguous(dt.int64, (int(r.sum()),)), (r,)
        )
    return index if input is None else index_select(input, d, index)


Tensor.repeat_interleave = repeat_interleave
