"""Linear algebra (PyTorch's `torch.linalg`): norms, products, powers; decompositions that need no pivoting."""

from __future__ import annotations

from .ops.elementwise import write_out
from .ops.matmul import matmul  # noqa: F401
from .ops.reduce import vector_norm  # noqa: F401


def vecdot(x, y, *, dim=-1, out=None):
    """The sums of products along `dim`."""
    result = (x * y).sum(dim)
    return result if out is None else write_out("vecdot", out, result)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):  # noqa: N803
    """The diagonals of the last two dimensions. A view."""
    return A.diagonal(offset, dim1, dim2)


def multi_dot(tensors, *, out=None):
    """The product of several matrices (the first and last may be vectors), in the cheapest order (matrix chain)."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, t in enumerate(tensors):
        allowed = (1, 2) if i in (0, len(tensors) - 1) else (2,)
        if t.ndim not in allowed:
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or 2D' if len(allowed) == 2 else '2D'} but got {t.ndim}D")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError(f"multi_dot(): expected all tensors to have the same dtype but got {t.dtype} and {tensors[0].dtype}")
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    if first:
        tensors[0] = tensors[0].unsqueeze(0)
    if last:
        tensors[-1] = tensors[-1].unsqueeze(1)
    sizes = [t.shape[0] for t in tensors] + [tensors[-1].shape[1]]
    for a, b in zip(tensors, tensors[1:]):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors with shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied")
    n = len(tensors)
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return tensors[i] if i == j else product(i, cut[i][j]) @ product(cut[i][j] + 1, j)

    result = product(0, n - 1)
    if first:
        result = result.squeeze(0)
    if last:
        result = result.squeeze(-1)
    return result if out is None else write_out("multi_dot", out, result)


def matrix_power(A, n, *, out=None):  # noqa: N803
    """The product of n copies of A (n >= 0), by repeated squaring."""
    from .ops.create import eye

    if not isinstance(n, int):
        raise TypeError(f"matrix_power(): n must be an int, not {type(n).__name__}")
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"matrix_power(): A must be batches of square matrices, but they are {list(A.shape)}")
    if n < 0:
        raise RuntimeError(f"matrix_power(): negative powers need an inverse, which is not there yet (n = {n})")
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    if result is None:
        result = eye(A.shape[-1], dtype=A.dtype) + A * 0  # in the graph, as PyTorch's is
    elif result is A:
        result = A.clone()
    return result if out is None else write_out("matrix_power", out, result)


def cross(input, other, *, dim=-1, out=None):
    """The cross product of 3-vectors along `dim`."""
    from .ops.arrange import cross as cross_

    result = cross_(input, other, dim)
    return result if out is None else write_out("cross", out, result)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):  # noqa: N803
    """The norm of matrices: 'fro', or the largest (smallest) row or column sum for inf, 1 (-inf, -1)."""
    if dtype is not None:
        A = A.to(dtype)  # noqa: N806
    if ord == "fro":
        result = vector_norm(A, 2, dim, keepdim)
    elif ord in (1, -1, float("inf"), -float("inf")):
        rows, columns = (d % A.ndim for d in dim)
        over, rest = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = A.abs().sum(over, True)
        result = sums.amax(rest, True) if ord > 0 else sums.amin(rest, True)
        if not keepdim:
            result = result.squeeze((rows, columns))
    else:
        raise RuntimeError(f"matrix_norm(): order {ord!r} is not supported; use 'fro', 1, -1, inf or -inf")
    return result if out is None else write_out("matrix_norm", out, result)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):  # noqa: N803
    """A vector norm, or a matrix norm where `ord` names one or `dim` has two dimensions."""
    if ord is not None and (isinstance(ord, str) or (isinstance(dim, (tuple, list)) and len(dim) == 2) or (dim is None and A.ndim == 2)):
        return matrix_norm(A, ord, dim or (-2, -1), keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def qr(A, mode="reduced"):  # noqa: N803
    """A = Q R by Householder reflections in float64 (not differentiable): for orthogonal initial values."""
    from collections import namedtuple

    from .ops.create import eye

    if A.ndim != 2:
        raise RuntimeError(f"qr(): expected a matrix, got {A.ndim} dimensions")
    m, n = A.shape
    R, Q = A.detach().double().clone(), eye(m).double()  # noqa: N806
    for k in range(min(m - 1, n)):
        x = R[k:, k]
        alpha = float(vector_norm(x))
        if alpha == 0.0:
            continue
        v = x.clone()
        v[0] = float(v[0]) + (alpha if float(v[0]) >= 0 else -alpha)
        v = v / vector_norm(v)
        R[k:, :] = R[k:, :] - 2.0 * v.unsqueeze(1) * (v @ R[k:, :]).unsqueeze(0)
        Q[:, k:] = Q[:, k:] - 2.0 * (Q[:, k:] @ v).unsqueeze(1) * v.unsqueeze(0)
    p = m if mode == "complete" else min(m, n)
    return namedtuple("qr", ("Q", "R"))(Q[:, :p].to(A.dtype), R[:p].triu().to(A.dtype))


