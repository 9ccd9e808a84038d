"""Products of matrices, their powers and exponential; tensors as linear maps."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..autograd.graph import record, wants_grad
from ..autograd.mode import no_grad
from ..batched import every_member
from ..ops import cat, ones, where
from ..ops.checked import checked
from ..ops.distance import linalg_cross as cross  # noqa: F401
from ..tensor import Tensor
from . import _complex
from ._base import identity, need_square, need_tensor, written
from ._solve import inv, solve, solve_matrices


def vecdot(x, y, *, dim=-1, out=None):
    """The sums of conj(x) y along `dim`; the other dimensions broadcast."""
    for t in (x, y):
        if not isinstance(t, Tensor):
            raise TypeError(f"linalg.vecdot(): expected Tensors, got {type(t).__name__}")
    if x._layout.dtype is not y._layout.dtype:
        raise RuntimeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found {x.dtype.name} and {y.dtype.name}"
        )
    if not (x._layout.dtype.is_floating_point or x._layout.dtype.is_complex):
        raise RuntimeError(
            f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {x.dtype.name}"
        )
    result = (x.conj() * y).sum(dim, dtype=x._layout.dtype)
    return written("linalg.vecdot", out, result)


@checked
def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of the last two dimensions. A view."""
    return A.diagonal(offset, dim1, dim2)


@checked
def multi_dot(tensors, *, out=None):
    """The product of several matrices (the first and last may be vectors), in the cheapest order (matrix chain)."""
    tensors = list(tensors)
    _need_chain(tensors)
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    if first:
        tensors[0] = tensors[0].unsqueeze(0)
    if last:
        tensors[-1] = tensors[-1].unsqueeze(1)
    sizes = [t.shape[0] for t in tensors] + [tensors[-1].shape[1]]
    for a, b in zip(tensors, tensors[1:]):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors with shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied"
            )
    n = len(tensors)
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i, j):
        return tensors[i] if i == j else product(i, cut[i][j]) @ product(cut[i][j] + 1, j)

    result = product(0, n - 1)
    if first:
        result = result.squeeze(0)
    if last:
        result = result.squeeze(-1)
    return written("multi_dot", out, result)


def _need_chain(tensors):
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, t in enumerate(tensors):
        allowed = (1, 2) if i in (0, len(tensors) - 1) else (2,)
        if t.ndim not in allowed:
            raise RuntimeError(
                f"multi_dot(): tensor {i} must be {'1D or 2D' if len(allowed) == 2 else '2D'} but got {t.ndim}D"
            )
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): expected all tensors to have the same dtype but got {t.dtype} and {tensors[0].dtype}"
            )


@checked
def matrix_power(A, n, *, out=None):
    """The product of n copies of A (..., m, m), by repeated squaring; for n < 0 of copies of the inverse."""
    if not isinstance(n, int):
        raise TypeError(f"matrix_power(): n must be an int, not {type(n).__name__}")
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {list(A.shape)}"
        )
    if n < 0:
        return written("matrix_power", out, matrix_power(inv(A), -n))
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    if result is None:
        result = identity(A, A.shape[-1]) + A * 0  # in the graph, as PyTorch's is
    elif result is A:
        result = A.clone()
    return written("matrix_power", out, result)


# ---------------------------------------------------------------------- the exponential

# Higham, "The scaling and squaring method for the matrix exponential revisited" (2005): the coefficients of the
# [13/13] Pade approximant, good to double precision up to this 1-norm.
_PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
         670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)  # fmt: skip
_PADE_NORM = 5.371920351148152


def matrix_exp(A):
    """The exponential I + A + A^2 / 2 + ... of matrices A (..., n, n) of any floating point or complex dtype."""
    name = "linalg.matrix_exp"
    need_tensor(name, A)
    if not (A._layout.dtype.is_floating_point or A._layout.dtype.is_complex):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {A.dtype.name}"
        )
    need_square(name, A)
    if A._layout.dtype.is_complex:
        return _complex.matrix_exp(A)
    with no_grad():
        result = (
            _exponential(A.to(dt.float64)).to(A._layout.dtype) if A._layout.numel else A.clone()
        )
    if not wants_grad(A):
        return result

    def rule(g, A):
        """exp [[A^T, g], [0, A^T]] has the gradient above its diagonal (Al-Mohy and Higham 2009)."""
        n = A._layout.shape[-1]
        t = A.mT
        block = cat((cat((t, g), -1), cat((g * 0, t), -1)), -2)
        return matrix_exp(block)[..., :n, n:]

    return record(result, "LinalgMatrixExpBackward0", rule, (A,), (A,))


def _exponential(A):
    """Pade approximant of A / 2^s, squared s times; s is each matrix's own."""
    size = A.abs().sum(-2).amax(-1)
    finite = where(size.isfinite(), size, 0.0)
    squarings = (finite / _PADE_NORM).log2().ceil().clamp(min=0).unsqueeze(-1).unsqueeze(-1)
    A = A * (-squarings).exp2()
    one = identity(A, A._layout.shape[-1])
    A2 = A @ A
    A4, A6 = A2 @ A2, A2 @ (A2 @ A2)
    b = _PADE
    odd = A @ (
        A6 @ (b[13] * A6 + b[11] * A4 + b[9] * A2) + b[7] * A6 + b[5] * A4 + b[3] * A2 + b[1] * one
    )
    even = (
        A6 @ (b[12] * A6 + b[10] * A4 + b[8] * A2) + b[6] * A6 + b[4] * A4 + b[2] * A2 + b[0] * one
    )
    result, _ = solve_matrices(even - odd, even + odd)
    for i in range(int(every_member(squarings).max().item())):
        result = where(squarings > i, result @ result, result)
    return result


# ---------------------------------------------------------------------- matrices of powers, tensors as maps


def vander(x, N=None):
    """The powers x^0, x^1, ..., x^(N - 1) of the elements of x (..., n): (..., n, N). N is n unless given."""
    if not isinstance(x, Tensor):
        raise TypeError(f"linalg.vander(): expected a Tensor, got {type(x).__name__}")
    if not x._layout.ndim:
        x = x.unsqueeze(-1)
    n = x._layout.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, got {n}")
    if x._layout.dtype in (dt.bool, dt.float16):
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {x.dtype.name}"
        )
    d = x._layout.dtype if x._layout.dtype.is_floating_point else dt.int64
    shape = tuple(x._layout.shape)
    powers = x.to(d).unsqueeze(-1).expand((*shape, n - 1)).cumprod(-1)
    return cat((ones((*shape, 1), dtype=d), powers), -1)


@checked
def tensorinv(A, ind=2, *, out=None):
    """The inverse of A as a map from its last dimensions to the first `ind`: tensordot(A^-1, A, ind) is the identity."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = tuple(A.shape)
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    return written(
        "linalg.tensorinv",
        out,
        inv(A.reshape((rows, columns))).reshape((*shape[ind:], *shape[:ind])),
    )


@checked
def tensorsolve(A, B, dims=None, *, out=None):
    """X with tensordot(A, X, X.ndim) = B, A's dimensions `dims` being moved to its end first."""
    if dims is not None:
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        A = A.movedim(dims, tuple(range(A.ndim - len(dims), A.ndim)))
    rest = tuple(A.shape[B.ndim :])
    rows, columns = math.prod(A.shape[: B.ndim]), math.prod(rest)
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{columns} != {rows}"
        )
    result = solve(A.reshape((rows, columns)), B.reshape(-1)).reshape(rest)
    return written("linalg.tensorsolve", out, result)
