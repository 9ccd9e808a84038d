"""Functions that make tensors."""

from __future__ import annotations

from .. import dtypes as dt
from .. import ops
from ..interop import from_dlpack as _from_dlpack
from ..tensor import Tensor
from ._dtypes import tensor

__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "meshgrid", "ones",
    "ones_like", "tril", "triu", "zeros", "zeros_like",
]  # fmt: skip


def _shape(shape):
    return (shape,) if isinstance(shape, int) else tuple(shape)


def arange(start, /, stop=None, step=1, *, dtype=None, device=None):
    """start, start + step, ... below stop; 0, 1, ... below start where stop is not given. int64 for integers."""
    if stop is None:
        start, stop = 0, start
    if (stop - start) * step <= 0:
        whole = all(isinstance(v, int) for v in (start, stop, step))
        start, stop, step = 0, 0, 1
        dtype = dtype or (dt.int64 if whole else dt.get_default_dtype())
    if dtype is not None and dtype.is_complex:
        return ops.arange(start, stop, step, dtype=dtype.to_real(), device=device).to(dtype)
    return ops.arange(start, stop, step, dtype=dtype, device=device)


def asarray(obj, /, *, dtype=None, device=None, copy=None):
    """A tensor of a number, nested sequences of numbers, a buffer, a DLPack object or a tensor.

    copy=True copies always, copy=None where it must be, copy=False raises ValueError where it must be."""
    if copy is False and isinstance(obj, Tensor) and dtype not in (None, obj.dtype):
        raise ValueError(f"asarray(): {obj.dtype.name} can't become {dtype.name} without a copy")
    return ops.asarray(obj, dtype=dtype, device=device, copy=copy)


def empty(shape, *, dtype=None, device=None):
    """A tensor of this shape whose elements are not set."""
    return ops.empty(_shape(shape), dtype=dtype, device=device)


def empty_like(x, /, *, dtype=None, device=None):
    """`empty` in x's shape, and dtype unless given."""
    return ops.empty_like(tensor("empty_like", x), dtype=dtype, device=device)


def zeros(shape, *, dtype=None, device=None):
    """A tensor of zeros."""
    return ops.zeros(_shape(shape), dtype=dtype, device=device)


def zeros_like(x, /, *, dtype=None, device=None):
    """`zeros` in x's shape, and dtype unless given."""
    return ops.zeros_like(tensor("zeros_like", x), dtype=dtype, device=device)


def ones(shape, *, dtype=None, device=None):
    """A tensor of ones."""
    return ops.ones(_shape(shape), dtype=dtype, device=device)


def ones_like(x, /, *, dtype=None, device=None):
    """`ones` in x's shape, and dtype unless given."""
    return ops.ones_like(tensor("ones_like", x), dtype=dtype, device=device)


def full(shape, fill_value, *, dtype=None, device=None):
    """A tensor full of one number, in the default dtype of its kind unless given."""
    return ops.full(_shape(shape), fill_value, dtype=dtype, device=device)


def full_like(x, /, fill_value, *, dtype=None, device=None):
    """`full` in x's shape, and dtype unless given."""
    return ops.full_like(tensor("full_like", x), fill_value, dtype=dtype, device=device)


def eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None):
    """n_rows x n_cols zeros with ones on the diagonal k: above the main one for k > 0, below for k < 0."""
    n_cols = n_rows if n_cols is None else n_cols
    if k == 0:
        return ops.eye(n_rows, n_cols, dtype=dtype, device=device)
    matrix = ops.zeros((n_rows, n_cols), dtype=dtype, device=device)
    if -n_rows < k < n_cols:
        matrix.diagonal(k).fill_(1)
    return matrix


def linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True):
    """`num` numbers at equal distances from start to stop, or to one step before it with endpoint=False."""
    count = num if endpoint else num + 1
    return ops.linspace(start, stop, count, dtype=dtype, device=device)[:num]


def meshgrid(*arrays, indexing="xy"):
    """The coordinates on the grid of these 1-dimensional tensors: one tensor of the grid's shape for each.

    Shapes (n_1, n_2, n_3, ...) with "ij", (n_2, n_1, n_3, ...) with "xy"."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid(): indexing is "xy" or "ij", got {indexing!r}')
    return list(ops.meshgrid(*arrays, indexing=indexing)) if arrays else []


def from_dlpack(x, /, *, device=None, copy=None):
    """A tensor over the memory of another library's array (or a copy of it)."""
    return _from_dlpack(x, device=device, copy=copy)


def tril(x, /, *, k=0):
    """The elements of matrices (..., m, n) on and below the diagonal k, zeros above it."""
    return ops.tril(tensor("tril", x), k)


def triu(x, /, *, k=0):
    """The elements of matrices (..., m, n) on and above the diagonal k, zeros below it."""
    return ops.triu(tensor("triu", x), k)
