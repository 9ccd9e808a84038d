"""Operations that few programs use, each made of others."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..batched import each_member
from ..layout import whole, wrap_dim
from ..plan import remember
from ..tensor import Tensor, method
from .checked import index_errors
from .create import arange
from .elementwise import is_scalar
from .from_data import tensor
from .joining import cat, stack
from .mask import nonzero
from .reduce import check
from .scatter import _REDUCTIONS, _direct, _write_into
from .slicing import narrow
from .writing import check_inplace, replace_history, write_out

__all__ = [
    "constant_pad_nd", "empty_permuted", "frobenius_norm", "index_reduce", "is_same_size", "nonzero_static", "nuclear_norm",
    "segment_reduce", "unravel_index",
]  # fmt: skip


# ---------------------------------------------------------------------- shapes


@method
def sum_to_size(self, *size):
    """The sum over the dimensions along which `size` expands to this tensor's shape.

    Raises RuntimeError where it does not expand to it."""
    from .elementwise import sum_to
    from .view import sizes_of

    size = sizes_of(size, "sum_to_size")
    have = self._layout.shape
    extra = len(have) - len(size)
    if extra < 0 or any(s not in (1, n) for s, n in zip(size, have[extra:])):
        raise RuntimeError(
            f"sum_to_size(): size {list(size)} is not expandable to size {list(have)}."
        )
    return sum_to(self, size) if size else self.sum()


@method
def is_same_size(input, other):
    """Whether both have the same shape."""
    check("is_same_size", input)
    check("is_same_size", other)
    return input._layout.shape == other._layout.shape


@method
def is_set_to(self, tensor):
    """Whether both are the same view of the same memory."""
    check("is_set_to", tensor)
    return (
        self._layout is tensor._layout
        and self._storage is tensor._storage
        and self._offset() == tensor._offset()
    )


@method
def is_nonzero(self):
    """The truth of a tensor of one element."""
    return bool(self)


@method
def dim_order(self):
    """The dimensions from the one of the largest stride to that of the smallest."""
    strides = self._layout.strides
    return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))


def empty_permuted(
    size,
    physical_layout,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """An uninitialised tensor of this size whose dimensions lie in memory in the order `physical_layout`."""
    from .create import empty

    n = len(size)
    if sorted(wrap_dim(d, n, "empty_permuted") for d in physical_layout) != list(range(n)):
        raise RuntimeError(
            f"empty_permuted(): {tuple(physical_layout)} is no order of the {n} dimensions of size {list(size)}"
        )
    dense = empty(tuple(size[d] for d in physical_layout), dtype=dtype, device=device)
    back = sorted(range(n), key=lambda i: physical_layout[i])
    result = dense.permute(tuple(back)).detach()
    return result.requires_grad_() if requires_grad else result


def constant_pad_nd(input, pad, value=0):
    """`nn.functional.pad` with a constant."""
    from ..nn.functional import pad as pad_

    check("constant_pad_nd", input)
    return pad_(input, pad, "constant", value)


# ---------------------------------------------------------------------- positions


def unravel_index(indices, shape):
    """The coordinates, one tensor for each dimension, of positions in a flattened tensor of this shape.

    Raises TypeError for indices that are no integers, ValueError for negative sizes."""
    check("unravel_index", indices)
    d = indices._layout.dtype
    if d.is_floating_point or d.is_complex or d is dt.bool:
        raise TypeError(
            f"unravel_index(): expected 'indices' to be integer dtype, but got {d.name}"
        )
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(s < 0 for s in shape):
        raise ValueError(f"unravel_index(): 'shape' cannot have negative values, but got {shape}")
    out, rest = [], indices
    for size in reversed(shape):
        out.append(rest % size)
        rest = rest.div(size, rounding_mode="floor")
    return tuple(reversed(out))


@method
@each_member
def nonzero_static(input, *, size, fill_value=-1):
    """The positions of the elements that are not 0, as many as `size`: cut off, or with `fill_value` behind."""
    check("nonzero_static", input)
    size = whole("nonzero_static", "size", size)
    if size < 0:
        raise RuntimeError(f"nonzero_static(): size must be non-negative, got {size}")
    found = nonzero(input)
    missing = size - found._layout.shape[0]
    if missing < 0:
        return found[:size]
    return (
        cat((found, found.new_full((missing, found._layout.shape[1]), fill_value)))
        if missing
        else found
    )


@method
def fill_diagonal_(self, fill_value, wrap=False):
    """Writes the number over the diagonal: of a tall matrix, with `wrap`, again below each n + 1 rows."""
    if not is_scalar(fill_value):
        raise TypeError(
            f"fill_diagonal_(): argument 'fill_value' must be Number, not {type(fill_value).__name__}"
        )
    lay = self._layout
    if lay.ndim < 2:
        raise RuntimeError(
            f"fill_diagonal_(): dimensions must larger than 1, got shape {list(lay.shape)}"
        )
    if lay.ndim > 2 and len(set(lay.shape)) > 1:
        raise RuntimeError(
            f"fill_diagonal_(): all dimensions of input must be of equal length, got shape {list(lay.shape)}"
        )
    n = min(lay.shape)
    starts = range(0, lay.shape[0], n + 1) if wrap and lay.ndim == 2 and lay.shape[0] > n else (0,)
    step = sum(lay.strides)
    for start in starts:
        length = min(n, lay.shape[0] - start)
        if length > 0:
            self.as_strided(
                (length,), (step,), self.storage_offset() + start * lay.strides[0]
            ).fill_(fill_value)
    return self


# ---------------------------------------------------------------------- reductions by index


@method
def index_reduce(input, dim, index, source, reduce, *, include_self=True, out=None):
    """A copy of input with the slices of `source` reduced ('prod', 'mean', 'amax', 'amin') into those that `index` names."""
    check("index_reduce", source)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    d = wrap_dim(dim, input._layout.ndim, "index_reduce")
    if index._layout.ndim > 1:
        raise IndexError(
            f"index_reduce(): Index is supposed to be a vector, but got dim: {index._layout.ndim}"
        )
    full = [1] * max(source._layout.ndim, 1)
    full[d] = -1
    positions = (
        index.to(dt.int64).reshape(tuple(full)).expand(source._layout.shape)
        if source._layout.ndim
        else index.reshape(())
    )
    with index_errors():
        result = input.scatter_reduce(d, positions, source, reduce, include_self=include_self)
    return result if out is None else write_out("index_reduce", out, result)


@method
def index_reduce_(self, dim, index, source, reduce, *, include_self=True):
    """In-place form of `index_reduce`."""
    row = _REDUCTIONS.get(reduce)
    if row and include_self is True and type(source) is Tensor and source._layout.ndim and _direct("index_reduce_", self, index, source):
        if index._layout.ndim == 1 and index._layout.dtype is dt.int64:
            d = wrap_dim(dim, self._layout.ndim, "index_reduce_")
            shape = (*[1] * d, -1, *[1] * (source._layout.ndim - d - 1))
            with index_errors():
                return _write_into("index_reduce_", "scatter_reduce", self, d, index.view(shape).expand(source._layout.shape), source, (row,))
    check_inplace("index_reduce_", self)
    return replace_history(
        "index_reduce_",
        self,
        lambda x: index_reduce(x, dim, index, source, reduce, include_self=include_self),
    )


def segment_reduce(
    data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None
):
    """Reductions ('sum', 'mean', 'max', 'min', 'prod') of neighbouring slices along `axis`, as many in each group as `lengths`
    (..., groups) says, or from offset to offset. An empty group gives `initial`, or what changes nothing (nan for a mean)."""
    if type(data) is not Tensor:
        check("segment_reduce", data)
    if reduce not in ("sum", "mean", "max", "min", "prod"):
        raise RuntimeError(
            f"segment_reduce(): unsupported reduction {reduce!r}; use sum, mean, max, min or prod"
        )
    if (lengths is None) == (offsets is None):
        raise RuntimeError(
            "segment_reduce(): Either lengths or offsets must be defined, and not both."
        )
    few = _few_groups(data, offsets if lengths is None else lengths, lengths is None, axis)
    if few is not None:
        groups, counts = few
        if counts._layout.ndim == 1:
            return _reduced_groups(data, reduce, groups, counts, initial)
        lead = counts._layout.shape
        return _reduced_groups(data.flatten(0, len(lead) - 1), reduce, groups, counts, initial).unflatten(0, lead)
    before = 0
    if lengths is None:  # what lies before the first offset is a group that is left out
        lengths, before = cat([offsets.narrow(-1, 0, 1), offsets.diff(dim=-1)], -1), 1
    axis = wrap_dim(axis, data.ndim, "segment_reduce")
    if lengths.ndim != axis + 1 or tuple(lengths.shape[:axis]) != tuple(data.shape[:axis]):
        raise RuntimeError(
            f"segment_reduce(): lengths of shape {list(lengths.shape)} do not fit data of shape {list(data.shape)} along axis {axis}"
        )
    size, lead = data.shape[axis], tuple(data.shape[:axis])
    left = size - lengths.sum(-1, keepdim=True)
    if (lengths < 0).any() or (left < 0).any() or (not unsafe and left.any()):
        raise RuntimeError(
            f"segment_reduce(): lengths {lengths.tolist()} must be non-negative and sum to the {size} slices of data"
        )
    # The rows behind one another, each with what is left of it as a group more.
    lengths = cat([lengths, left], -1)
    rows = data.reshape((math.prod(lead) * size, *data.shape[axis + 1 :]))
    if rows._layout.numel >= _LARGE_GROUP * lengths._layout.numel:
        out = _reduced_one_by_one(rows, reduce, lengths.reshape(-1).tolist(), initial)
    else:
        groups = arange(lengths._layout.numel).repeat_interleave(lengths.reshape(-1))
        out = _reduced_groups(rows, reduce, groups, lengths, initial)
    return narrow(out.reshape((*lengths.shape, *data.shape[axis + 1 :])), axis, before, lengths.shape[-1] - 1 - before)


_few: dict = {}  # short lengths or offsets, and the shape that they cut -> the group of each slice, and the groups' lengths


def _few_groups(data, given, offsets, axis):
    """The group of each slice, and the lengths of the groups, where both are few and the groups hold all the slices; else None."""
    lay, shape = given._layout, data._layout.shape
    if lay.numel > 32:
        return None
    values = (given if lay.ndim == 1 else given.reshape(-1)).tolist()
    key = offsets, axis, lay.dtype, lay.shape, shape, *values
    found = _few.get(key)
    if found is not None:
        return found
    axis = axis + data._layout.ndim if axis < 0 else axis
    if lay.ndim != axis + 1 or not lay.dtype.is_integral or lay.shape[:axis] != shape[:axis]:
        return None
    n, size = lay.shape[axis], shape[axis]
    if not n or size > 256:
        return None
    lines = [values[i : i + n] for i in range(0, len(values), n)]
    if offsets:
        lines = [[b - a for a, b in zip(line, line[1:])] for line in lines if line[0] == 0]
    lengths = [k for line in lines for k in line]
    count = n - offsets
    if not lengths or min(lengths) < 0 or len(lengths) * n != len(values) * count or any([sum(line) != size for line in lines]):
        return None
    groups = tensor([i for i, k in enumerate(lengths) for _ in range(k)], dtype=dt.int64)
    return remember(_few, key, (groups, tensor(lengths).reshape((*shape[:axis], count))))


_LARGE_GROUP = 4096  # elements from which on a group is reduced by itself


def _reduced_one_by_one(rows, reduce, lengths, initial):
    """As _reduced_groups, a reduction for each group."""
    start = _NOTHING[reduce] if initial is None else initial
    out = []
    for group in rows.split(lengths):
        n = group._layout.shape[0]
        if not n:
            value = group.new_full(group._layout.shape[1:], math.nan if reduce == "mean" and initial is None else start)
        elif reduce == "sum" or reduce == "mean":
            value = group.sum(0) if start == 0 else group.sum(0) + start
            value = value if reduce == "sum" else value / n
        elif reduce == "prod":
            value = group.prod(0) if start == 1 else group.prod(0) * start
        else:
            value = group.amax(0) if reduce == "max" else group.amin(0)
            if initial is not None:
                value = value.masked_fill(value < start if reduce == "max" else value > start, start)
        out.append(value)
    return stack(out)


def _reduced_groups(rows, reduce, groups, lengths, initial):
    """The reductions of the rows of each group, whose lengths are these."""
    empty = _NOTHING[reduce] if initial is None or reduce in ("max", "min") else initial
    _, *rest = rows._layout.shape
    out = rows.new_full((lengths._layout.numel, *rest), empty)
    if reduce in ("sum", "mean"):
        out = out.index_add(0, groups, rows)
        if reduce == "mean":
            counts = lengths.reshape((-1, *(1,) * (rows.ndim - 1)))
            out = out / (counts if initial is None else counts.clamp(min=1)).to(out.dtype)
        return out
    out = out.index_reduce(0, groups, rows, {"max": "amax", "min": "amin"}.get(reduce, reduce))
    if initial is not None and reduce in ("max", "min"):
        out = out.masked_fill(out < initial if reduce == "max" else out > initial, initial)
    return out


# What changes nothing; a mean divides it by a count of 0.
_NOTHING = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf, "mean": 0.0}


# ---------------------------------------------------------------------- spectra


@method
def stft(self, *args, **kwargs):
    """`dlgrad.stft`."""
    from ..signal.spectral import stft as f

    return f(self, *args, **kwargs)


@method
def istft(self, *args, **kwargs):
    """`dlgrad.istft`."""
    from ..signal.spectral import istft as f

    return f(self, *args, **kwargs)


# ---------------------------------------------------------------------- norms


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """The square root of the sum of squares over `dim`."""
    from ..linalg import vector_norm

    return vector_norm(input, 2, dim or None, keepdim, out=out)


def nuclear_norm(input, dim=None, keepdim=False, *, out=None):
    """The sum of the singular values of the matrices in two dimensions."""
    from ..linalg import matrix_norm

    if isinstance(dim, bool):
        dim, keepdim = None, dim
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim, out=out)


# ---------------------------------------------------------------------- element by element, in Python


@method
def apply_(self, callable):
    """Replaces each element by callable(element). Slow: one Python call for each."""
    return _mapped(self, callable, ())


@method
def map_(self, tensor, callable):
    """Replaces each element by callable(element, that of `tensor`), which broadcasts. Slow."""
    return _mapped(self, callable, (tensor,))


@method
def map2_(self, x, y, callable):
    """Replaces each element by callable(element, that of x, that of y), which broadcast. Slow."""
    return _mapped(self, callable, (x, y))


def _mapped(t, function, others):
    from .from_data import tensor

    if t.requires_grad:
        raise TypeError(
            "can't call apply_(), map_() or map2_() on a Tensor that requires grad; use .detach()"
        )
    columns = [c.detach().expand(t.shape).reshape(-1).tolist() for c in (t, *others)]
    values = [function(*row) for row in zip(*columns)]
    return t.copy_(tensor(values, dtype=t.dtype).reshape(t.shape)) if values else t
