"""The standard's `linalg` extension (matrices are the last two axes), and the products of the main namespace."""

from __future__ import annotations

from .. import linalg as _linalg
from .. import ops as _ops
from ..layout import broadcast_shapes as _broadcast_shapes
from ._dtypes import operands as _operands
from ._dtypes import tensor as _tensor
from ._statistical import sum as _sum

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip


# ---------------------------------------------------------------------- products


def matmul(x1, x2, /):
    """The matrix product: (..., m, k) by (..., k, n) gives (..., m, n); a tensor of 1 axis is a row or a column."""
    return _ops.matmul(*_operands("matmul", x1, x2))


def matrix_transpose(x, /):
    """The last two axes exchanged. A view. Raises ValueError for fewer."""
    if _tensor("matrix_transpose", x).ndim < 2:
        raise ValueError(f"matrix_transpose(): x has {x.ndim} dimensions, it needs 2 or more")
    return x.transpose(-2, -1)


def tensordot(x1, x2, /, *, axes=2):
    """The sum of products over axes: the last `axes` of x1 with the first of x2, or those in a pair of sequences."""
    axes = axes if isinstance(axes, int) else tuple(list(a) for a in axes)
    return _ops.tensordot(*_operands("tensordot", x1, x2), dims=axes)


def vecdot(x1, x2, /, *, axis=-1):
    """The sum of conj(x1) x2 along the axis (-1 to -ndim), which must have the same size in both; the others broadcast."""
    x1, x2 = _operands("vecdot", x1, x2)
    if not -min(x1.ndim, x2.ndim) <= axis < 0:
        raise ValueError(
            f"vecdot(): axis {axis} is none of both, counted from the end (-1, -2, ...)"
        )
    if x1.shape[axis] != x2.shape[axis]:
        raise ValueError(
            f"vecdot(): sizes {x1.shape[axis]} and {x2.shape[axis]} along axis {axis} differ"
        )
    return _ops.sum(x1.conj() * x2, axis, dtype=x1.dtype)


def outer(x1, x2, /):
    """x1[i] x2[j] of two tensors of 1 axis."""
    return _ops.outer(*_operands("outer", x1, x2))


def cross(x1, x2, /, *, axis=-1):
    """The cross products of the vectors of 3 along the axis (counted from the end as in `vecdot`); the others broadcast."""
    x1, x2 = _operands("cross", x1, x2)
    if not -min(x1.ndim, x2.ndim) <= axis < max(x1.ndim, x2.ndim):
        raise ValueError(
            f"cross(): axis {axis} is not there in shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            f"cross(): expected size 3 along axis {axis}, got {x1.shape[axis]} and {x2.shape[axis]}"
        )
    shape = _broadcast_shapes(x1.shape, x2.shape)
    return _linalg.cross(x1.expand(shape), x2.expand(shape), dim=axis)


def matrix_power(x, n, /):
    """The matrices multiplied n times by themselves: the identity for 0, of the inverse for n < 0."""
    return _linalg.matrix_power(_tensor("matrix_power", x), n)


# ---------------------------------------------------------------------- parts


def diagonal(x, /, *, offset=0):
    """The diagonals of matrices, of the one `offset` above the main one. A view."""
    return _ops.diagonal(_tensor("diagonal", x), offset, -2, -1)


def trace(x, /, *, offset=0, dtype=None):
    """The sums of the diagonals; of integers in int64 unless a dtype is given."""
    return _sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


# ---------------------------------------------------------------------- norms


def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    """The norm over the axes (all for None): (sum |x|^ord)^(1 / ord); inf, -inf: the largest, smallest |x|; 0: how many aren't 0."""
    if axis == ():
        size = _ops.abs(_tensor("vector_norm", x))
        return (size != 0).to(size.dtype) if ord == 0 else size
    return _linalg.vector_norm(_tensor("vector_norm", x), ord, axis, keepdims)


def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    """The norms of matrices: "fro", "nuc", 1, -1 (columns), inf, -inf (rows), 2, -2 (singular values)."""
    return _linalg.matrix_norm(_tensor("matrix_norm", x), ord, keepdim=keepdims)


# ---------------------------------------------------------------------- equations and factors


def solve(x1, x2, /):
    """y with x1 y = x2: x1 (..., m, m), x2 (..., m, k), or (m,) for one vector. Raises LinAlgError for a singular x1."""
    x1, x2 = _operands("solve", x1, x2)
    if x2.ndim == 1:
        return _linalg.solve(x1, x2.unsqueeze(-1)).squeeze(-1)
    # dlgrad.linalg.solve takes as a stack of vectors what the standard takes as one matrix
    as_vectors = x1.ndim - 1 == x2.ndim and x1.shape[:-1] == x2.shape
    return _linalg.solve(x1, x2.unsqueeze(0) if as_vectors else x2)


def inv(x, /):
    """The inverse matrices. Raises LinAlgError for a singular one."""
    return _linalg.inv(_tensor("inv", x))


def pinv(x, /, *, rtol=None):
    """The pseudo-inverse: singular values below rtol (max(m, n) eps) times the largest count as 0."""
    return _linalg.pinv(_tensor("pinv", x), rtol=rtol)


def matrix_rank(x, /, *, rtol=None):
    """How many singular values are above rtol (max(m, n) eps) times the largest: int64."""
    return _linalg.matrix_rank(_tensor("matrix_rank", x), rtol=rtol)


def det(x, /):
    """The determinants."""
    return _linalg.det(_tensor("det", x))


def slogdet(x, /):
    """(sign, logabsdet): the determinant is sign exp(logabsdet)."""
    return _linalg.slogdet(_tensor("slogdet", x))


def cholesky(x, /, *, upper=False):
    """L with x = L L^H of positive definite matrices, or U with x = U^H U. Raises LinAlgError for others."""
    return _linalg.cholesky(_tensor("cholesky", x), upper=upper)


def qr(x, /, *, mode="reduced"):
    """(Q, R) with x = Q R, Q with orthonormal columns, R upper triangular; "complete": Q is square."""
    if mode not in ("reduced", "complete"):
        raise ValueError(f'qr(): mode is "reduced" or "complete", got {mode!r}')
    return _linalg.qr(_tensor("qr", x), mode)


def eigh(x, /):
    """(eigenvalues, eigenvectors) of symmetric (Hermitian) matrices, in ascending order; reads the lower triangle."""
    return _linalg.eigh(_tensor("eigh", x))


def eigvalsh(x, /):
    """The eigenvalues of symmetric (Hermitian) matrices, in ascending order."""
    return _linalg.eigvalsh(_tensor("eigvalsh", x))


def svd(x, /, *, full_matrices=True):
    """(U, S, Vh) with x = U diag(S) Vh, S descending; without full_matrices U and Vh have min(m, n) columns and rows."""
    return _linalg.svd(_tensor("svd", x), full_matrices)


def svdvals(x, /):
    """The singular values, descending."""
    return _linalg.svdvals(_tensor("svdvals", x))


def __dir__():
    return __all__
