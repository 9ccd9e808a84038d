"""Writing elements by index: scatter, index_add, index_copy, index_fill, put, index_put.

Each makes a copy of its input and writes into that; the in-place methods are made from them. The order of the writes
is fixed, so that sums have the same bits on any number of threads."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import with_room
from ..layout import Layout, contiguous, layout, wrap_dim
from ..plan import make_plan, remember, write
from ..tensor import Tensor, make_tensor, method
from .checked import checked
from .complex_numbers import imag, real
from .create import _new_filled
from .elementwise import as_number, expanded, fit_scalar, is_scalar, to_tensor
from .gather import _check_ranks, _raw, _vector_index, gather, index_select, index_tensor, take
from .mask import masked_scatter
from .ternary import fill_masked
from .writing import check_apart, check_writable, unrecorded, write_out

_writes: dict = {}  # the row, and the layouts of an in-place write that needs no closer look -> plan


def _direct(name, t, index, src=None, words=False):
    """Whether an in-place write can go straight to the memory of `t`: nobody records it, and nothing shares that memory.
    words: complex numbers may, too."""
    if type(t._layout) is not Layout or not unrecorded(t) or (t._layout.dtype.is_complex and not words) or not isinstance(index, Tensor):
        return False
    if src is not None and (type(src._layout) is not Layout or src._storage is t._storage or (src._requires_grad and mode.enabled and src.requires_grad)):
        return False
    if index._storage is t._storage or type(index._layout) is not Layout:
        return False
    check_writable(name, t)
    return True


def _write_into(name, row, t, dim, index, src, ints=(), scalars=()):
    """A scatter row straight into `t` (see _direct)."""
    lay, given = t._layout, index._layout
    key = (row, dim, lay, given, None if src is None else src._layout, *ints)
    plan = _writes.get(key)
    if plan is None:
        d = wrap_dim(dim, lay.ndim, name)
        index = index_tensor(name, index)
        _check_ranks(name, lay, index._layout, d, False, None if src is None else src._layout)
        if src is not None and src._layout.dtype is not lay.dtype:
            raise RuntimeError(
                f"{name}(): Expected self.dtype to be equal to src.dtype, got {lay.dtype.name} and {src._layout.dtype.name}"
            )
        if not index._layout.numel:
            return t
        target = _raw(t)
        inputs = (_raw(index)._layout, *(() if src is None else (_raw(src)._layout,)))
        plan = make_plan("scatter", row, (target._layout,), inputs, (d, *ints), name=name, into=True)
        if index._layout is given:  # no int32
            remember(_writes, key, plan)
    if src is None:
        write(plan, t, index, *scalars)
    else:
        write(plan, t, index, src, *scalars)
    return t


def _write(name, row, input, dim, index, src, ints, rule_of, scalars=()):
    """A copy of `input` into which a scatter row has written."""
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, name)
    index = index_tensor(name, index)
    _check_ranks(name, lay, index._layout, d, False, None if src is None else src._layout)
    if src is not None and src._layout.dtype is not lay.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got {lay.dtype.name} and {src._layout.dtype.name}"
        )
    result = with_room(input.detach().clone(memory_format="contiguous"), index, src)
    if type(result._layout) is Layout and not lay.dtype.is_complex:
        _write_into(name, row, result, d, index, src, ints, scalars)
    elif row == "scatter_add" and type(result._layout) is type(src._layout) is Layout:
        whole = src.detach()
        if lay.dtype is dt.complex64:
            _write_into(name, row, _words(result), d, index, _words(whole), (1,))
        else:
            for part in (real, imag):
                _write_into(name, row, part(result), d, index, part(whole))
    elif index._layout.numel:
        target = _raw(result)
        door.call("scatter", row, target._layout, (_raw(index), *(() if src is None else (_raw(src),))), ints=(d, *ints), scalars=scalars,
                  into=target, name=name)  # fmt: skip
    result._storage.version = 0
    rule_of(result, d, index)
    return result


def _words(t):
    """A complex64 tensor as 8 bytes an element."""
    lay = t._layout
    return make_tensor(t._ptr, layout(dt.int64, lay.shape, lay.strides), t._storage)


@method
def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """A copy of input with input[index[i][j][k]][j][k] = src[i][j][k] (dim = 0), or one value everywhere."""
    if src is None:
        src = value
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(
                f"scatter(): reduce argument must be either add or multiply, got {reduce!r}"
            )
        s = (
            src
            if isinstance(src, Tensor)
            else to_tensor("scatter", src, input._layout.dtype).expand(tuple(index._layout.shape))
        )
        kind = "sum" if reduce == "add" else "prod"
        result = _scatter_reduce("scatter", input, dim, index, s, kind, True)
        return result if out is None else write_out("scatter", out, result, exact=True)
    if (
        isinstance(src, Tensor)
        and src._layout.ndim == 0
        and isinstance(index, Tensor)
        and index._layout.ndim != 0
    ):
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
            raise TypeError(
                f"scatter(): src must be a Tensor or a number, not {type(src).__name__}"
            )
        number = fit_scalar("scatter", as_number(src), input._layout.dtype)
        if input._layout.dtype.is_complex:
            values = to_tensor("scatter", number, input._layout.dtype).expand(index._layout.shape)
            return scatter(input, dim, index, values, out=out)

        def rules(result, d, index):
            record(result, "ScatterBackward1", lambda g, i: scatter(g, d, i, 0), (input,), (index,))

        result = _write("scatter", "scatter_value", input, dim, index, None, (), rules, (number,))
    return (
        result if out is None else write_out("scatter", out, result, exact=True, apart=(index, src))
    )


def _padded(t, shape):
    """`t` in the corner of zeros of this shape."""
    from .create import zeros

    corner = tuple(slice(0, s) for s in t._layout.shape)
    out = with_room(zeros(tuple(shape), dtype=t._layout.dtype), t)
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
    return (
        result
        if out is None
        else write_out("scatter_add", out, result, exact=True, apart=(index, src))
    )


_REDUCTIONS = {"sum": 0, "prod": 1, "amax": 2, "amin": 3}


@method
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True, out=None):
    """A copy of input with src reduced ('sum', 'prod', 'mean', 'amax', 'amin') into the places that `index` names."""
    if reduce not in (*_REDUCTIONS, "mean"):
        raise RuntimeError(
            f"scatter_reduce(): reduce argument must be either sum, prod, mean, amax or amin, got {reduce!r}"
        )
    if not isinstance(src, Tensor):
        raise TypeError(
            f"scatter_reduce(): argument 'src' must be Tensor, not {type(src).__name__}"
        )
    result = _scatter_reduce("scatter_reduce", input, dim, index, src, reduce, include_self)
    return (
        result
        if out is None
        else write_out("scatter_reduce", out, result, exact=True, apart=(index, src))
    )


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
        identity = {
            "sum": 0,
            "mean": 0,
            "prod": 1,
            "amax": _lowest(d, False),
            "amin": _lowest(d, True),
        }[reduce]
        start = scatter(input, dim, index, identity)
    else:
        start = input
    if reduce == "sum":
        return scatter_add(start, dim, index, src)
    if reduce == "mean":
        total = scatter_add(start, dim, index, src)
        n = (
            ones_like(input.detach())
            if include_self
            else scatter(ones_like(input.detach()), dim, index, 0)
        )
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
                return where(
                    lone, gather(g * without, at, i), gather(g * y, at, i) / where(zero, 1.0, s)
                )

            record(
                result,
                "ScatterReduceBackward0",
                (to_start, to_src),
                (start, src),
                (index, start, src, None),
                own=3,
            )
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

        record(
            result,
            "ScatterReduceBackward0",
            (to_start, to_src),
            (start, src),
            (index, start, src, None),
            own=3,
        )

    return _write(name, "scatter_reduce", start, dim, index, src, (_REDUCTIONS[reduce],), rules)


# ---------------------------------------------------------------------- whole slices


def put_positions(x, indices, values, start, allow_negative, accumulate, name="index_put_"):
    """The row `index_put`, into x. No graph."""
    door.call("index", "index_put", x._layout, (*indices, values), ints=(len(indices), start, int(allow_negative), int(accumulate)),
              into=x, name=name)  # fmt: skip


def _slices_into(name, t, dim, index, source, accumulate):
    """`source` written or added at the slices that `index` names, straight into `t` (see _direct)."""
    key = (accumulate, dim, t._layout, index._layout, source._layout)
    plan = _writes.get(key)
    if plan is None:
        i, d = _checked_slices(name, t, dim, index, source)
        target = _raw(t)
        plan = make_plan("index", "index_put", (target._layout,), (i._layout, _raw(source)._layout), (1, d, 0, int(accumulate)),
                         name=name, into=True)  # fmt: skip
        if i._storage is index._storage:
            remember(_writes, key, plan)
        index = i
    write(plan, t, index, source)
    return t


def _checked_slices(name, input, dim, index, source):
    """The index as a vector of int64, and the dim. Raises where they and the source do not fit."""
    i = _vector_index(name, index)
    lay, src = input._layout, source._layout
    d = wrap_dim(dim, lay.ndim, name)
    if src.dtype is not lay.dtype:
        raise RuntimeError(
            f"{name}(): self and source expected to have the same dtype, but got (self) {lay.dtype.name} and (source) {src.dtype.name}"
        )
    if (src.shape[d] if src.ndim else 1) != i._layout.numel:
        raise RuntimeError(
            f"{name}(): Number of indices ({i._layout.numel}) should be equal to source.size(dim) ({src.shape[d] if src.ndim else 1}) for dim {d}"
        )
    if (
        src.ndim
        and lay.ndim
        and (src.shape[:d] + src.shape[d + 1 :]) != (lay.shape[:d] + lay.shape[d + 1 :])
    ):
        raise RuntimeError(
            f"{name}(): source tensor shape must match self tensor shape, excluding the specified dimension {d}. Got self.shape = "
            f"{list(lay.shape)} source.shape = {list(src.shape)}"
        )
    if (src.ndim or 1) != (lay.ndim or 1):
        raise RuntimeError(f"{name}(): source has {src.ndim} dimensions, self has {lay.ndim}")
    return i, d


def _into_slices(name, input, dim, index, source, accumulate):
    """A copy of `input` with `source` written or added at the slices that `index` names, and its dim and index."""
    i, d = _checked_slices(name, input, dim, index, source)
    result = with_room(input.detach().clone(memory_format="contiguous"), i, source)
    if type(result._layout) is Layout and not input._layout.dtype.is_complex:
        _slices_into(name, result, d, i, source, accumulate)
    else:
        put_positions(_raw(result), (i,), _raw(source), d, False, accumulate, name)
    result._storage.version = 0
    return result, d, i


@method
def index_add(input, dim, index, source, *, alpha=1, out=None):
    """A copy of input with alpha source added at the slices along `dim` that `index` names."""
    if not isinstance(source, Tensor):
        raise TypeError(
            f"index_add(): argument 'source' must be Tensor, not {type(source).__name__}"
        )
    src = source if alpha == 1 else source * alpha
    result, d, i = _into_slices("index_add", input, dim, index, src, True)
    shape = src._layout.shape
    record(
        result,
        "IndexAddBackward0",
        (lambda g, i: g, lambda g, i: index_select(g, d, i).reshape(tuple(shape))),
        (input, src),
        (i,),
    )
    return (
        result
        if out is None
        else write_out("index_add", out, result, exact=True, apart=(index, source))
    )


@method
def index_copy(input, dim, index, source, *, out=None):
    """A copy of input with the slices along `dim` that `index` names replaced by those of `source`."""
    if not isinstance(source, Tensor):
        raise TypeError(
            f"index_copy(): argument 'source' must be Tensor, not {type(source).__name__}"
        )
    result, d, i = _into_slices("index_copy", input, dim, index, source, False)
    shape = source._layout.shape
    record(result, "IndexCopyBackward0",
           (lambda g, i: index_fill(g, d, i, 0), lambda g, i: index_select(g, d, i).reshape(tuple(shape))), (input, source), (i,))  # fmt: skip
    return (
        result
        if out is None
        else write_out("index_copy", out, result, exact=True, apart=(index, source))
    )


@method
def index_fill(input, dim, index, value):
    """A copy of input with the slices along `dim` that `index` names filled with `value`."""
    i = _vector_index("index_fill", index)
    lay = input._layout
    d = wrap_dim(dim, lay.ndim, "index_fill")
    if isinstance(value, Tensor):
        if value._layout.ndim:
            raise RuntimeError(
                f"index_fill(): Only supports 0-dimensional value tensor, but got tensor with {value._layout.ndim} dimension(s)"
            )
        v = value.to(lay.dtype)
    else:
        if not is_scalar(value):
            raise TypeError(
                f"index_fill(): value must be a number or a 0-d tensor, not {type(value).__name__}"
            )
        v = to_tensor(
            "index_fill", fit_scalar("index_fill", as_number(value), lay.dtype), lay.dtype
        )
    result = with_room(input.detach().clone(memory_format="contiguous"), i, v)
    target = _raw(result)
    shape = target._layout.shape
    full = (*shape[:d], i._layout.numel, *shape[d + 1 :])
    values = make_tensor(v._ptr, expanded(v._layout, full), v._storage)
    # Negative indices count from the end here, as in PyTorch.
    put_positions(target, (i,), values, d, True, False, "index_fill")
    result._storage.version = 0
    record(
        result,
        "IndexFillBackward0",
        (
            lambda g, i: index_fill(g, d, i, 0),
            lambda g, i: (g * index_fill(g.new_zeros(tuple(g.shape)), d, i, 1)).sum(),
        ),
        (input, v),
        (i,),
    )
    return result


# ---------------------------------------------------------------------- positions


@method
@checked
def put(input, index, source, accumulate=False):
    """A copy of input with the elements at these flat indices replaced by (or increased by) those of source."""
    index = index_tensor("put", index)
    if index._layout.numel != source._layout.numel:
        raise RuntimeError(f"put(): Expected source and index to have the same number of elements, but got source.numel() = "
                           f"{source._layout.numel}, index.numel() = {index._layout.numel}")  # fmt: skip
    if source._layout.dtype is not input._layout.dtype:
        raise RuntimeError(f"put(): self and source expected to have the same dtype, but got self.dtype = {input.dtype} and source.dtype = {source.dtype}")
    shape = tuple(source._layout.shape)
    result = with_room(input.detach().clone(memory_format="contiguous"), index, source)
    put_positions(result.view(-1), (index.detach().reshape(-1),), source.detach().reshape(-1), 0, True, bool(accumulate), "put")
    result._storage.version = 0

    def to_input(g, i):
        return g if accumulate else put(g, i, g.new_zeros(shape))

    record(result, "PutBackward0", (to_input, lambda g, i: take(g, i).reshape(shape)), (input, source), (index,))
    return result


@method
def index_put(input, indices, values, accumulate=False):
    """A copy of input with the positions that `indices` (a tuple of index tensors) name set to, or increased by, values."""
    return input.clone().index_put_(tuple(indices), values, accumulate)


@method
def index_put_(self, indices, values, accumulate=False):
    """Sets (or, with accumulate, increases) the positions that `indices` name to `values`."""
    from .indexing import _put_quickly, write_positions
    from .masking import put_masked

    if type(indices) in (tuple, list) and indices and type(values) is Tensor:
        if _direct("index_put_", self, indices[0], values) and _put_quickly(self, indices, values, False, bool(accumulate)):
            return self
        if len(indices) == 1 and not accumulate and put_masked(self, indices[0], values, "index_put_"):
            return self
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            f"index_put_(): indices must be a tuple of Tensors, not {type(indices).__name__}"
        )
    write_positions(
        self,
        tuple(slice(None) if i is None else i for i in indices),
        values,
        accumulate,
        "index_put_",
    )
    return self


# ---------------------------------------------------------------------- in place


def _reads_apart(name):
    """Lets an in-place method refuse arguments that lie in the memory it writes to."""
    write = getattr(Tensor, name)

    def method_(self, *args, **kwargs):
        check_apart(name, self, *args, *kwargs.values())
        return write(self, *args, **kwargs)

    method_.__name__, method_.__doc__ = name, write.__doc__
    setattr(Tensor, name, method_)


def _straight(name, write):
    """Lets an in-place method try `write(self, ...)` first, which gives None where it takes the general way."""
    general = getattr(Tensor, name)

    def method_(self, *args, **kwargs):
        done = write(self, *args, **kwargs)
        return general(self, *args, **kwargs) if done is None else done

    method_.__name__, method_.__doc__ = name, general.__doc__
    setattr(Tensor, name, method_)


def _scatter_into(self, dim, index, src=None, *, value=None, reduce=None):
    src = value if src is None else src
    if reduce is not None:
        return None
    if type(src) is Tensor and src._layout.ndim:
        words = self._layout.dtype is src._layout.dtype is dt.complex64
        if _direct("scatter_", self, index, src, words):
            t, src = (_words(self), _words(src)) if words else (self, src)
            _write_into("scatter_", "scatter", t, dim, index, src)
            return self
    elif (type(src) is float or type(src) is int) and _direct("scatter_", self, index):
        number = fit_scalar("scatter", src, self._layout.dtype)
        return _write_into("scatter_", "scatter_value", self, dim, index, None, (), (number,))


def _scatter_add_into(self, dim, index, src):
    words = type(src) is Tensor and self._layout.dtype is src._layout.dtype is dt.complex64
    if type(src) is Tensor and _direct("scatter_add_", self, index, src, words):
        t, src, ints = (_words(self), _words(src), (1,)) if words else (self, src, ())
        _write_into("scatter_add_", "scatter_add", t, dim, index, src, ints)
        return self


def _scatter_reduce_into(self, dim, index, src, reduce, *, include_self=True):
    row = _REDUCTIONS.get(reduce)
    if include_self is True and row is not None and type(src) is Tensor and _direct("scatter_reduce_", self, index, src):
        return _write_into("scatter_reduce_", "scatter_reduce", self, dim, index, src, (row,))


def _index_add_into(self, dim, index, source, *, alpha=1):
    if type(source) is Tensor and _direct("index_add_", self, index, source):
        if alpha != 1:
            if not (self._layout.dtype.is_floating_point and (type(alpha) is float or type(alpha) is int)):
                return None
            source = source * alpha
        return _slices_into("index_add_", self, dim, index, source, True)


def _index_copy_into(self, dim, index, source):
    if type(source) is Tensor and _direct("index_copy_", self, index, source):
        return _slices_into("index_copy_", self, dim, index, source, False)


def _put_into(self, index, source, accumulate=False):
    if type(source) is Tensor and self._layout.contiguous and _direct("put_", self, index, source):
        lay, i, s = self._layout, index._layout, source._layout
        key = ("put", bool(accumulate), lay, i, s)
        plan = _writes.get(key)
        if plan is None:
            if not (i.contiguous and s.contiguous and i.numel == s.numel and s.dtype is lay.dtype and i.dtype is dt.int64):
                return None
            target, *given = [contiguous(x.dtype, (x.numel,)) for x in (lay, i, s)]
            plan = make_plan("index", "index_put", (target,), given, (1, 0, 1, int(bool(accumulate))), name="put_", into=True)
            remember(_writes, key, plan)
        write(plan, self, index, source)
        return self


def _masked_scatter_into(self, mask, source):
    if type(source) is Tensor and _direct("masked_scatter_", self, mask, source):
        lay, m, s = self._layout, mask._layout, source._layout
        key = ("masked_scatter", lay, m, s)
        plan = _writes.get(key)
        if plan is None:
            if m.dtype is not dt.bool or m.shape != lay.shape or s.dtype is not lay.dtype or not s.contiguous or s.numel < lay.numel:
                return None
            flat = contiguous(s.dtype, (s.numel,))
            plan = make_plan("scatter", "masked_scatter", (lay,), (m, flat), name="masked_scatter_", into=True)
            remember(_writes, key, plan)
        write(plan, self, mask, source)
        return self


def _index_fill_into(self, dim, index, value):
    if (type(value) is float or type(value) is int) and _direct("index_fill_", self, index):
        lay = self._layout
        key = ("index_fill", dim, lay, index._layout)
        plan = _writes.get(key)
        if plan is None:
            i, target = _vector_index("index_fill_", index), _raw(self)._layout
            d = wrap_dim(dim, lay.ndim, "index_fill_")
            wide = layout(lay.dtype, (*target.shape[:d], i._layout.numel, *target.shape[d + 1 :]), (0,) * target.ndim)
            if i._storage is not index._storage:
                return None  # int32
            plan = make_plan("index", "index_put", (target,), (i._layout, wide), (1, d, 1, 0), name="index_fill_", into=True)
            remember(_writes, key, plan)
        v = _new_filled(fit_scalar("index_fill_", value, lay.dtype), (), lay.dtype)
        write(plan, self, index, v)
        return self


def _masked_fill_into(self, mask, value):
    if type(mask) is not Tensor:
        return None
    source = value if type(value) is Tensor and value._layout.ndim == 0 else None
    if (source is not None or type(value) is float or type(value) is int) and _direct("masked_fill_", self, mask, source):
        if fill_masked(self, mask, value):
            return self


def _inplace_forms():
    from .unary import inplace

    for f in (
        scatter,
        scatter_add,
        scatter_reduce,
        index_add,
        index_copy,
        index_fill,
        masked_scatter,
        put,
    ):
        inplace(f.__name__, f)
        if f is not masked_scatter:
            _reads_apart(f.__name__ + "_")
    from .added_products import addbmm, addmm, addmv, addr, baddbmm
    from .scan import cumprod, cumsum
    from .ternary import addcdiv, addcdiv_into, addcmul, addcmul_into, lerp, lerp_into, masked_fill

    for f, written in ((addcmul, addcmul_into), (addcdiv, addcdiv_into), (lerp, lerp_into)):
        inplace(f.__name__, f, written)
    for f in (
        masked_fill,
        cumsum,
        cumprod,
        addmm,
        addmv,
        addr,
        addbmm,
        baddbmm,
    ):
        inplace(f.__name__, f)


_inplace_forms()
for _write_to in (_scatter_into, _scatter_add_into, _scatter_reduce_into, _index_add_into, _index_copy_into, _index_fill_into, _put_into, _masked_fill_into, _masked_scatter_into):
    _straight(_write_to.__name__[1:].removesuffix("into"), _write_to)
