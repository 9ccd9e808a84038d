"""Choosing and writing elements by index or mask: gather, scatter, index_select, index_add, masked_select, take ...

Indices are int64 (or smaller integers, which are converted). The kernels check every index; what is out of range
raises IndexError naming it, and nothing outside of a tensor is read or written."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import broadcast_shapes, contiguous, wrap_dim
from ..tensor import Tensor, make_tensor, method
from .elementwise import as_number, expanded, fit_scalar, is_scalar, to_tensor, write_out
from .ternary import expand_raw
from .writing import check_apart


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
    return make_tensor(t._ptr, contiguous(t._layout.dtype, (1,)), t._storage)


def _as_shape(t, shape):
    return t if t._layout.shape == shape else make_tensor(t._ptr, contiguous(t._layout.dtype, tuple(shape)), t._storage)


# ---------------------------------------------------------------------- gather and scatter


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


@method
def gather(input, dim, index, *, sparse_grad=False, out=None):
    """out[i][j][k] = input[i][index[i][j][k]][k] for dim = 1; the result has the shape of `index`."""
    if not isinstance(input, Tensor):
        raise TypeError(f"gather(): argument 'input' must be Tensor, not {type(input).__name__}")
    index = index_tensor("gather", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "gather")
    _check_ranks("gather", lay, index._layout, d, True)
    if index._layout.numel == 0:
        from .create import empty

        result = empty(tuple(index._layout.shape), dtype=lay.dtype)
    else:
        i = _raw(index)
        result = door.call("gather", "gather", contiguous(lay.dtype, tuple(i._layout.shape)), (_raw(input), i), ints=(d,))
        result = _as_shape(result, index._layout.shape)

    def rule(g, index):
        from .create import zeros

        return scatter_add(zeros(tuple(lay.shape), dtype=g._layout.dtype), d, index, g)

    record(result, "GatherBackward0", rule, (input,), (index,))
    return result if out is None else write_out("gather", out, result, exact=True, apart=(input, index))


def take_along_dim(input, indices, dim=None, *, out=None):
    """`gather`, with input and indices broadcast against each other (dim None: on the flattened input)."""
    if not isinstance(indices, Tensor):
        raise TypeError(f"take_along_dim(): argument 'indices' must be Tensor, not {type(indices).__name__}")
    if indices._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"take_along_dim(): dtype of indices should be Long but got {indices._layout.dtype.name}")
    if dim is None:
        result = gather(input.reshape(-1), 0, indices.reshape(-1))
        return result if out is None else write_out("take_along_dim", out, result, exact=True, apart=(input, indices))
    if input._layout.ndim != indices._layout.ndim:
        raise RuntimeError(
            f"take_along_dim(): input and indices should have the same number of dimensions, but got {input._layout.ndim} "
            f"dimensions for input, and {indices._layout.ndim} dimensions for indices"
        )
    d = wrap_dim(dim, input._layout.ndim, "take_along_dim")
    a, b = list(input._layout.shape), list(indices._layout.shape)
    ia, ib = a[:d] + [1] + a[d + 1 :], b[:d] + [1] + b[d + 1 :]
    common = list(broadcast_shapes(tuple(ia), tuple(ib), op="take_along_dim"))
    x = input.expand((*common[:d], a[d], *common[d + 1 :])) if input._layout.ndim else input
    i = indices.expand((*common[:d], b[d], *common[d + 1 :])) if indices._layout.ndim else indices
    size = x._layout.shape[d] if x._layout.ndim else 1
    result = gather(x, d, _wrapped(i, size))
    return result if out is None else write_out("take_along_dim", out, result, exact=True, apart=(input, indices))


Tensor.take_along_dim = take_along_dim


def _wrapped(index, size):
    """Negative indices counted from the end."""
    from .ternary import where

    return where(index < 0, index + size, index)


def _write(name, row, input, dim, index, src, ints, rule_of, scalars=()):
    """A copy of `input` into which a scatter row has written."""
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, name)
    index = index_tensor(name, index)
    _check_ranks(name, lay, index._layout, d, False, None if src is None else src._layout)
    if src is not None and src._layout.dtype is not lay.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got {lay.dtype.name} and {src._layout.dtype.name}")
    result = input.detach().clone(memory_format="contiguous")
    if index._layout.numel:
        target = _raw(result)
        door.call("scatter", row, target._layout, (_raw(index), *(() if src is None else (_raw(src),))), ints=(d, *ints), scalars=scalars,
                  into=target, name=name)  # fmt: skip
    result._storage.version = 0
    rule_of(result, d, index)
    return result


@method
def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """A copy of input with input[index[i][j][k]][j][k] = src[i][j][k] (dim = 0), or one value everywhere."""
    if src is None:
        src = value
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f"scatter(): reduce argument must be either add or multiply, got {reduce!r}")
        s = src if isinstance(src, Tensor) else to_tensor("scatter", src, input._layout.dtype).expand(tuple(index._layout.shape))
        return _scatter_reduce("scatter", input, dim, index, s, "sum" if reduce == "add" else "prod", True)
    if isinstance(src, Tensor) and src._layout.ndim == 0 and isinstance(index, Tensor) and index._layout.ndim != 0:
        src = src.item()
    if isinstance(src, Tensor):

        def rules(result, d, index):
            zero = lambda g, i: scatter(g, d, i, 0)  # noqa: E731
            n = tuple(src._layout.shape)

            def to_src(g, i):
                picked = gather(g, d, i)
                return picked if tuple(picked._layout.shape) == n else _padded(picked, n)

            record(result, "ScatterBackward0", (zero, to_src), (input, src), (index,))

        result = _write("scatter", "scatter", input, dim, index, src, (), rules)
    else:
        if not is_scalar(src):
            raise TypeError(f"scatter(): src must be a Tensor or a number, not {type(src).__name__}")
        number = fit_scalar("scatter", as_number(src), input._layout.dtype)

        def rules(result, d, index):
            record(result, "ScatterBackward1", lambda g, i: scatter(g, d, i, 0), (input,), (index,))

        result = _write("scatter", "scatter_value", input, dim, index, None, (), rules, (number,))
    return result if out is None else write_out("scatter", out, result, exact=True, apart=(index, src))


def _padded(t, shape):
    """`t` in the corner of zeros of this shape."""
    from .create import zeros

    corner = tuple(slice(0, s) for s in t._layout.shape)
    out = zeros(tuple(shape), dtype=t._layout.dtype)
    out[corner] = t
    return out


@method
def scatter_add(input, dim, index, src, *, out=None):
    """A copy of input with src added at the places that `index` names along `dim` (in order, so the bits are fixed)."""
    if not isinstance(src, Tensor):
        raise TypeError(f"scatter_add(): argument 'src' must be Tensor, not {type(src).__name__}")

    def rules(result, d, index):
        n = tuple(src._layout.shape)

        def to_src(g, i):
            picked = gather(g, d, i)
            return picked if tuple(picked._layout.shape) == n else _padded(picked, n)

        record(result, "ScatterAddBackward0", (lambda g, i: g, to_src), (input, src), (index,))

    result = _write("scatter_add", "scatter_add", input, dim, index, src, (), rules)
    return result if out is None else write_out("scatter_add", out, result, exact=True, apart=(index, src))


_REDUCTIONS = {"sum": 0, "prod": 1, "amax": 2, "amin": 3}


@method
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True, out=None):
    """A copy of input with src reduced ('sum', 'prod', 'mean', 'amax', 'amin') into the places that `index` names."""
    if reduce not in (*_REDUCTIONS, "mean"):
        raise RuntimeError(f"scatter_reduce(): reduce argument must be either sum, prod, mean, amax or amin, got {reduce!r}")
    if not isinstance(src, Tensor):
        raise TypeError(f"scatter_reduce(): argument 'src' must be Tensor, not {type(src).__name__}")
    result = _scatter_reduce("scatter_reduce", input, dim, index, src, reduce, include_self)
    return result if out is None else write_out("scatter_reduce", out, result, exact=True, apart=(index, src))


def _lowest(d, high):
    if d.is_floating_point:
        return float("inf") if high else -float("inf")
    if d is dt.bool:
        return int(high)
    return dt.iinfo(d).max if high else dt.iinfo(d).min


def _scatter_reduce(name, input, dim, index, src, reduce, include_self):
    from .create import ones_like, zeros_like
    from .ternary import where

    d = input._layout.dtype
    index = index_tensor(name, index)
    if not include_self:
        identity = {"sum": 0, "mean": 0, "prod": 1, "amax": _lowest(d, False), "amin": _lowest(d, True)}[reduce]
        start = scatter(input, dim, index, identity)
    else:
        start = input
    if reduce == "sum":
        return scatter_add(start, dim, index, src)
    if reduce == "mean":
        total = scatter_add(start, dim, index, src)
        n = ones_like(input.detach()) if include_self else scatter(ones_like(input.detach()), dim, index, 0)
        n = scatter_add(n, dim, index, ones_like(src.detach()))
        n = n.clamp(min=1)
        return total / n if d.is_floating_point else total.div(n, rounding_mode="floor")

    def rules(result, at, index):
        if reduce == "prod":

            def to_start(g, i, x, s, y):
                return g * _scatter_reduce(name, ones_like(x.detach()), at, i, s, "prod", True)

            def to_src(g, i, x, s, y):
                zero = s == 0
                zeros_in = scatter_add(zeros_like(x.detach()), at, i, zero.to(x._layout.dtype))
                lone = zero & (gather(zeros_in, at, i) == 1)  # the only zero of src in its product
                without = _scatter_reduce(name, x, at, i, where(lone, 1.0, s), "prod", True)
                return where(lone, gather(g * without, at, i), gather(g * y, at, i) / where(zero, 1.0, s))

            record(result, "ScatterReduceBackward0", (to_start, to_src), (start, src), (index, start, src, None), own=3)
            return

        def share(g, i, x, s, y):
            self_hit = (x == y).to(g._layout.dtype)
            src_hit = (s == gather(y, at, i)).to(g._layout.dtype)
            n = scatter_add(self_hit, at, i, src_hit).clamp(min=1)
            return g / n, self_hit, src_hit

        def to_start(g, i, x, s, y):
            part, self_hit, _ = share(g, i, x, s, y)
            return part * self_hit

        def to_src(g, i, x, s, y):
            part, _, src_hit = share(g, i, x, s, y)
            return gather(part, at, i) * src_hit

        record(result, "ScatterReduceBackward0", (to_start, to_src), (start, src), (index, start, src, None), own=3)

    return _write(name, "scatter_reduce", start, dim, index, src, (_REDUCTIONS[reduce],), rules)


# ---------------------------------------------------------------------- whole slices


def _vector_index(name, index):
    index = index_tensor(name, index)
    if index._layout.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {index._layout.ndim}")
    return _raw(index)


def index_positions(x, indices, start, allow_negative, shape):
    """The row `index`: x with dimensions start .. start + k - 1 chosen by `indices` (of one shape). No graph."""
    lay = x._layout
    k = len(indices)
    out = contiguous(lay.dtype, (*lay.shape[:start], *shape, *lay.shape[start + k :]))
    return door.call("index", "index", out, (x, *indices), ints=(k, start, int(allow_negative)), name="index")


def put_positions(x, indices, values, start, allow_negative, accumulate, name="index_put_"):
    """The row `index_put`, into x. No graph."""
    door.call("index", "index_put", x._layout, (*indices, values), ints=(len(indices), start, int(allow_negative), int(accumulate)),
              into=x, name=name)  # fmt: skip


@method
def index_select(input, dim, index, *, out=None):
    """The slices of `input` along `dim` that `index` (a vector) names."""
    if not isinstance(input, Tensor):
        raise TypeError(f"index_select(): argument 'input' must be Tensor, not {type(input).__name__}")
    i = _vector_index("index_select", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "index_select")
    result = index_positions(_raw(input), (i,), d, False, tuple(i._layout.shape))
    if lay.ndim == 0:
        if i._layout.numel != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {i._layout.numel} value(s)")
        result = _as_shape(result, lay.shape)

    def rule(g, i):
        from .create import zeros

        return index_add(zeros(tuple(lay.shape), dtype=g._layout.dtype), d, i, g)

    record(result, "IndexSelectBackward0", rule, (input,), (i,))
    return result if out is None else write_out("index_select", out, result, exact=True, apart=(input, index))


def _into_slices(name, input, dim, index, source, accumulate):
    """A copy of `input` with `source` written or added at the slices that `index` names, and its dim and index."""
    i = _vector_index(name, index)
    lay, src = input._layout, source._layout
    d = wrap_dim(dim, lay.ndim, name)
    if src.dtype is not lay.dtype:
        raise RuntimeError(f"{name}(): self and source expected to have the same dtype, but got (self) {lay.dtype.name} and (source) {src.dtype.name}")
    if (src.shape[d] if src.ndim else 1) != i._layout.numel:
        raise RuntimeError(
            f"{name}(): Number of indices ({i._layout.numel}) should be equal to source.size(dim) ({src.shape[d] if src.ndim else 1}) for dim {d}"
        )
    if src.ndim and lay.ndim and (src.shape[:d] + src.shape[d + 1 :]) != (lay.shape[:d] + lay.shape[d + 1 :]):
        raise RuntimeError(
            f"{name}(): source tensor shape must match self tensor shape, excluding the specified dimension {d}. Got self.shape = "
            f"{list(lay.shape)} source.shape = {list(src.shape)}"
        )
    if (src.ndim or 1) != (lay.ndim or 1):
        raise RuntimeError(f"{name}(): source has {src.ndim} dimensions, self has {lay.ndim}")
    result = input.detach().clone(memory_format="contiguous")
    put_positions(_raw(result), (i,), _raw(source), d, False, accumulate, name)
    result._storage.version = 0
    return result, d, i


@method
def index_add(input, dim, index, source, *, alpha=1, out=None):
    """A copy of input with alpha source added at the slices along `dim` that `index` names."""
    if not isinstance(source, Tensor):
        raise TypeError(f"index_add(): argument 'source' must be Tensor, not {type(source).__name__}")
    src = source if alpha == 1 else source * alpha
    result, d, i = _into_slices("index_add", input, dim, index, src, True)
    shape = src._layout.shape
    record(result, "IndexAddBackward0", (lambda g, i: g, lambda g, i: index_select(g, d, i).reshape(tuple(shape))), (input, src), (i,))
    return result if out is None else write_out("index_add", out, result, exact=True, apart=(index, source))


@method
def index_copy(input, dim, index, source, *, out=None):
    """A copy of input with the slices along `dim` that `index` names replaced by those of `source`."""
    if not isinstance(source, Tensor):
        raise TypeError(f"index_copy(): argument 'source' must be Tensor, not {type(source).__name__}")
    result, d, i = _into_slices("index_copy", input, dim, index, source, False)
    shape = source._layout.shape
    record(result, "IndexCopyBackward0",
           (lambda g, i: index_fill(g, d, i, 0), lambda g, i: index_select(g, d, i).reshape(tuple(shape))), (input, source), (i,))  # fmt: skip
    return result if out is None else write_out("index_copy", out, result, exact=True, apart=(index, source))


@method
def index_fill(input, dim, index, value):
    """A copy of input with the slices along `dim` that `index` names filled with `value`."""
    i = _vector_index("index_fill", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "index_fill")
    if isinstance(value, Tensor):
        if value._layout.ndim:
            raise RuntimeError(f"index_fill(): Only supports 0-dimensional value tensor, but got tensor with {value._layout.ndim} dimension(s)")
        v = value.to(lay.dtype)
    else:
        if not is_scalar(value):
            raise TypeError(f"index_fill(): value must be a number or a 0-d tensor, not {type(value).__name__}")
        v = to_tensor("index_fill", fit_scalar("index_fill", as_number(value), lay.dtype), lay.dtype)
    result = input.detach().clone(memory_format="contiguous")
    target = _raw(result)
    shape = target._layout.shape
    full = (*shape[:d], i._layout.numel, *shape[d + 1 :])
    values = make_tensor(v._ptr, expanded(v._layout, full), v._storage)
    # Negative indices count from the end here, as in PyTorch.
    put_positions(target, (i,), values, d, True, False, "index_fill")
    result._storage.version = 0
    record(result, "IndexFillBackward0", (lambda g, i: index_fill(g, d, i, 0), lambda g, i: index_select(g, d, _wrapped(i, shape[d]).unique()).sum()), (input, v), (i,))
    return result


@method
def take(input, index, *, out=None):
    """The elements of the flattened input at these indices (negative ones count from the end)."""
    index = index_tensor("take", index)
    flat = input.reshape(-1)
    n = flat._layout.numel
    if n == 0 and index._layout.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    result = index_positions(flat, (_raw(index).reshape(-1),), 0, True, (index._layout.numel,))

    def rule(g, index):
        from .create import zeros

        i = _wrapped(index.reshape(-1), n)
        return index_add(zeros(n, dtype=g._layout.dtype), 0, i, g.reshape(-1)).reshape(tuple(input_shape))

    input_shape = input._layout.shape
    result = _as_shape(result, index._layout.shape)
    record(result, "TakeBackward0", rule, (input,), (index,))
    return result if out is None else write_out("take", out, result, exact=True, apart=(input, index))


@method
def put(input, index, source, accumulate=False):
    """A copy of input with the elements at these flat indices replaced by (or increased by) those of source."""
    index = index_tensor("put", index)
    if index._layout.numel != source._layout.numel:
        raise RuntimeError(f"put(): Expected source and index to have the same number of elements, but got source.numel() = "
                           f"{source._layout.numel}, index.numel() = {index._layout.numel}")  # fmt: skip
    n = input._layout.numel
    i = _wrapped(index.reshape(-1), n)
    flat, src = input.reshape(-1), source.reshape(-1)
    done = index_add(flat, 0, i, src) if accumulate else index_copy(flat, 0, i, src)
    return done.reshape(tuple(input._layout.shape))


# ---------------------------------------------------------------------- masks


def _count_true(mask):
    return int(door.call("gather", "count_nonzero", contiguous(dt.int64, ()), (mask,)).item())


def nonzero(input, *, out=None, as_tuple=False):
    """The positions of the elements that are not 0, row-major: (n, ndim), or a tuple of a vector for each dimension."""
    if not isinstance(input, Tensor):
        raise TypeError(f"nonzero(): argument 'input' must be Tensor, not {type(input).__name__}")
    if as_tuple and input._layout.ndim == 0:
        input = input.detach().reshape(1)
    n = _count_true(input)
    result = door.call("gather", "nonzero", contiguous(dt.int64, (n, input._layout.ndim)), (input,))
    if as_tuple:
        return tuple(result.unbind(1))
    return result if out is None else write_out("nonzero", out, result, exact=True, apart=(input,))


Tensor.nonzero = nonzero


@method
def argwhere(input):
    """The positions of the elements that are not 0: (n, ndim)."""
    return nonzero(input)


@method
def masked_select(input, mask, *, out=None):
    """The elements where `mask` (bool, broadcast) holds, as a vector."""
    if not isinstance(mask, Tensor) or mask._layout.dtype is not dt.bool:
        raise RuntimeError(f"masked_select(): expected BoolTensor for mask, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}")
    shape = broadcast_shapes(input._layout.shape, mask._layout.shape, op="masked_select")
    x, m = expand_raw(input, shape), expand_raw(mask, shape)
    result = door.call("gather", "masked_select", contiguous(input._layout.dtype, (_count_true(m),)), (x, m))

    def rule(g, m):
        from .create import zeros
        from .elementwise import sum_to

        return sum_to(masked_scatter(zeros(tuple(shape), dtype=g._layout.dtype), m, g), before)

    before = input._layout.shape
    record(result, "MaskedSelectBackward0", rule, (input,), (m,))
    return result if out is None else write_out("masked_select", out, result, exact=True, apart=(input, mask))


@method
def masked_scatter(input, mask, source):
    """A copy of input with the elements where `mask` holds replaced by those of source, in order."""
    if not isinstance(mask, Tensor) or mask._layout.dtype is not dt.bool:
        raise RuntimeError(f"masked_scatter(): expected mask to be a bool tensor, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}")
    if source._layout.dtype is not input._layout.dtype:
        raise RuntimeError(f"masked_scatter(): expected self and source to have same dtypes but got {input.dtype} and {source.dtype}")
    shape = broadcast_shapes(input._layout.shape, mask._layout.shape, op="masked_scatter")
    m = expand_raw(mask, shape)
    result = input.expand(tuple(shape)).detach().clone(memory_format="contiguous")
    need = _count_true(m)
    if source._layout.numel < need:
        raise RuntimeError(f"masked_scatter(): expected the number of elements of source ({source._layout.numel}) to be >= the number of ones in mask ({need})")
    door.call("scatter", "masked_scatter", result._layout, (m, source.detach().reshape(-1)), into=result)
    result._storage.version = 0
    before, n = input._layout.shape, source._layout

    def to_input(g, m):
        from .elementwise import sum_to
        from .ternary import where

        return sum_to(where(m, 0.0, g), before)

    def to_source(g, m):
        picked = masked_select(g, m)
        rest = n.numel - picked._layout.numel
        if rest:
            from .joining import cat

            picked = cat((picked, g.new_zeros(rest)))
        return picked.reshape(tuple(n.shape))

    record(result, "MaskedScatterBackward0", (to_input, to_source), (input, source), (m,))
    return result


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element (or slice along `dim`) repeated `repeats` times, or as many times as a vector says."""
    from .create import arange

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
        index = arange(n).unsqueeze(1).expand(n, repeats).reshape(-1)
    else:
        if repeats._layout.dtype not in (dt.int64, dt.int32):
            raise RuntimeError(f"repeat_interleave(): repeats has to be Long or Int tensor, got {repeats.dtype}")
        if repeats._layout.ndim > 1:
            raise RuntimeError("repeat_interleave(): repeats must be 0-dim or 1-dim tensor")
        r = repeats.to(dt.int64).reshape(-1)
        if input is not None:
            if r._layout.numel == 1:
                r = r.expand(n)
            elif r._layout.numel != n:
                raise RuntimeError(f"repeat_interleave(): repeats must have the same size as input along dim, but got repeats.size(0) = {r._layout.numel} and input.size({dim}) = {n}")
        if r._layout.numel and int(r.min()) < 0:
            raise RuntimeError("repeat_interleave(): repeats can not be negative")
        index = door.call("gather", "repeat_interleave", contiguous(dt.int64, (int(r.sum()),)), (r,))
    return index if input is None else index_select(input, d, index)


Tensor.repeat_interleave = repeat_interleave


# ---------------------------------------------------------------------- advanced positions


@method
def index_put(input, indices, values, accumulate=False):
    """A copy of input with the positions that `indices` (a tuple of index tensors) name set to, or increased by, values."""
    return input.clone().index_put_(tuple(indices), values, accumulate)


@method
def index_put_(self, indices, values, accumulate=False):
    """Sets (or, with accumulate, increases) the positions that `indices` name to `values`."""
    from .indexing import write_positions

    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put_(): indices must be a tuple of Tensors, not {type(indices).__name__}")
    write_positions(self, tuple(slice(None) if i is None else i for i in indices), values, accumulate, "index_put_")
    return self


def _reads_apart(name):
    """Lets an in-place method refuse arguments that lie in the memory it writes to."""
    write = getattr(Tensor, name)

    def method_(self, *args, **kwargs):
        check_apart(name, self, *args, *kwargs.values())
        return write(self, *args, **kwargs)

    method_.__name__, method_.__doc__ = name, write.__doc__
    setattr(Tensor, name, method_)


def _inplace_forms():
    from .unary import inplace

    for f in (scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, masked_scatter, put):
        inplace(f.__name__, f)
        if f is not masked_scatter:
            _reads_apart(f.__name__ + "_")
    from .ternary import addcdiv, addcmul, lerp, masked_fill
    from .scan import cumprod, cumsum
    from .matmul import addbmm, addmm, addmv, addr, baddbmm

    for f in (masked_fill, addcmul, addcdiv, lerp, cumsum, cumprod, addmm, addmv, addr, addbmm, baddbmm):
        inplace(f.__name__, f)


_inplace_forms()
