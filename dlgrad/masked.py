"""Reductions and normalisations of those elements alone where a mask holds (`torch.masked`).

Each takes `mask`, a bool tensor that broadcasts to the input (None: all elements). Where it does not hold, the element
is replaced by what changes nothing: 0 in a sum, 1 in a product, -inf in a maximum. So a line without any element has that
value as its result, and nan where there is no such value (mean, median, var, softmax). MaskedTensor is not there.
"""

from __future__ import annotations

import math

from . import dtypes as dt
from . import ops
from .layout import wrap_dim
from .linalg import vector_norm
from .ops.checked import checked
from .tensor import Tensor

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median", "norm",
    "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip


def _lowest(d):
    return -math.inf if d.is_floating_point else dt.iinfo(d).min


def _highest(d):
    return math.inf if d.is_floating_point else dt.iinfo(d).max


def _full_mask(input, mask):
    if mask.ndim > input.ndim:
        raise IndexError(
            f"masked: expected a broadcastable mask, got one of shape {list(mask.shape)} for an input of shape {list(input.shape)}"
        )
    return mask.to(dt.bool).expand(input.shape)


def _filled(op, input, mask, value):
    """The input with `value` where the mask does not hold."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"masked.{op}(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    if mask is None:
        return input
    if not isinstance(mask, Tensor):
        raise TypeError(f"masked.{op}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    return ops.where(_full_mask(input, mask), input, input.new_full((), value))


def _dims(op, dim, ndim):
    """The dimensions from the front, each once; all of them for None and ()."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(max(ndim, 1)))
    dims = tuple(wrap_dim(d, ndim, op) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"masked.{op}(): dim {dim} appears multiple times in the list of dims")
    return dims


def _wide(input, dtype):
    """The dtype of a sum: int64 for integers, unless another is asked for."""
    d = input.dtype
    return dtype or (d if d.is_floating_point or d.is_complex else dt.int64)


def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The sum; 0 of nothing. Integers sum in int64."""
    x = _filled("sum", input, mask, 0)
    return ops.sum(x, _dims("sum", dim, x.ndim), bool(keepdim), dtype=_wide(input, dtype))


def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The product; 1 of nothing. Integers multiply in int64."""
    x = _filled("prod", input, mask, 1)
    return ops.prod(x, _dims("prod", dim, x.ndim), bool(keepdim), dtype=_wide(input, dtype))


def cumsum(input, dim, *, dtype=None, mask=None):
    """The running sum along `dim`, in the input's dtype unless another is given."""
    return ops.cumsum(_filled("cumsum", input, mask, 0), dim, dtype=dtype or input.dtype)


def cumprod(input, dim, *, dtype=None, mask=None):
    """The running product along `dim`, in the input's dtype unless another is given."""
    return ops.cumprod(_filled("cumprod", input, mask, 1), dim, dtype=dtype or input.dtype)


def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The largest element; -inf (the smallest integer) of nothing."""
    x = _filled("amax", input, mask, _lowest(input.dtype))
    return ops.amax(x, _dims("amax", dim, x.ndim), bool(keepdim)).to(dtype or input.dtype)


def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The smallest element; inf (the largest integer) of nothing."""
    x = _filled("amin", input, mask, _highest(input.dtype))
    return ops.amin(x, _dims("amin", dim, x.ndim), bool(keepdim)).to(dtype or input.dtype)


def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The index of the largest element along `dim`, or in the flattened input, in the dtype of the input unless another is given."""
    x = _filled("argmax", input, mask, _lowest(input.dtype))
    return ops.argmax(x, dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The index of the smallest element along `dim`, or in the flattened input, in the dtype of the input unless another is given."""
    x = _filled("argmin", input, mask, _highest(input.dtype))
    return ops.argmin(x, dim, bool(keepdim)).to(dtype or input.dtype)


def _count(op, input, dim, keepdim, mask):
    holds = ops.ones_like(input, dtype=dt.bool) if mask is None else _full_mask(input, mask)
    return ops.sum(holds, _dims(op, dim, input.ndim), keepdim)


def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The mean; nan of nothing. Raises ValueError unless the result's dtype is floating point or complex."""
    d = dtype or input.dtype
    if not (d.is_floating_point or d.is_complex):
        raise ValueError(
            f"masked.mean(): expected a floating point or complex dtype, got {d.name}; give dtype=float32, say"
        )
    total = sum(input, dim, keepdim=keepdim, dtype=d, mask=mask)
    return total / _count("mean", input, dim, bool(keepdim), mask)


def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower median along `dim`; nan of nothing. Raises ValueError for integers with a line of nothing."""
    whole = not input.dtype.is_floating_point
    x = _filled("median", input.to(dt.float32) if whole else input, mask, math.nan)
    result = ops.nanmedian(x, dim, bool(keepdim)).values
    if not whole:
        return result
    if bool(result.isnan().any()):
        raise ValueError(
            "masked.median(): integers need an element in every line, and the mask leaves one without any"
        )
    return result.to(dtype or input.dtype)


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """log(sum(exp(x))); -inf of nothing."""
    x = _filled("logsumexp", input, mask, _lowest(input.dtype))
    return ops.logsumexp(x, _dims("logsumexp", dim, x.ndim), bool(keepdim)).to(dtype or input.dtype)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """log(e^input + e^other), each with a mask of its own."""
    a = _filled("logaddexp", input, input_mask, -math.inf)
    b = _filled("logaddexp", other, other_mask, -math.inf)
    return ops.logaddexp(a, b).to(dtype or input.dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The vector norm of order `ord`; 0 of nothing (inf for the order -inf)."""
    ord = 2.0 if ord is None else ord
    x = _filled("norm", input, mask, math.inf if ord == -math.inf else 0)
    return vector_norm(x, ord, _dims("norm", dim, x.ndim), bool(keepdim), dtype=dtype)


def _moment(op, input, dim, unbiased, correction, keepdim, dtype, mask):
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    correction = (1 if unbiased is None or unbiased else 0) if correction is None else correction
    d = dtype or (
        input.dtype if input.dtype.is_floating_point or input.dtype.is_complex else dt.float32
    )
    n = _count(op, input, dim, True, mask)
    x = input - sum(input, dim, keepdim=True, dtype=d, mask=mask) / n
    total = sum(x * x.conj(), dim, keepdim=keepdim, dtype=d, mask=mask)
    n = (n if keepdim else n.reshape(total.shape)).to(d.to_real()) - correction
    return (total / n.clamp(min=0)).to(d)


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The variance, divided by the number of elements less `correction` (1)."""
    return _moment("var", input, dim, unbiased, correction, bool(keepdim), dtype, mask)


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The square root of `var`."""
    return _moment("std", input, dim, unbiased, correction, bool(keepdim), dtype, mask).sqrt()


def softmax(input, dim, *, dtype=None, mask=None):
    """exp(x) over its sum along `dim`; 0 where the mask does not hold, nan in a line where it never does."""
    return ops.softmax(
        _filled("softmax", input, mask, _lowest(input.dtype)), dim, dtype=dtype or input.dtype
    )


def log_softmax(input, dim, *, dtype=None, mask=None):
    """The logarithm of `softmax`."""
    return ops.log_softmax(
        _filled("log_softmax", input, mask, _lowest(input.dtype)), dim, dtype=dtype or input.dtype
    )


def softmin(input, dim, *, dtype=None, mask=None):
    """`softmax` of the negated input."""
    return ops.softmax(
        -_filled("softmin", input, mask, _highest(input.dtype)), dim, dtype=dtype or input.dtype
    )


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The input over its norm of order `ord` along `dim` (at least eps), and 0 where the mask does not hold."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype or input.dtype, mask=mask)
    return _filled("normalize", input, mask, 0) / size.clamp(min=eps)


for _name in __all__:
    globals()[_name] = checked(globals()[_name])
