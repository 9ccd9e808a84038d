"""Systems of linear equations, inverses and determinants: LU, Cholesky and triangular matrices.

The derivatives follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008): with C = A^-1 B, the gradient of B is A^-T gC and that of A is -gB C^T."""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import record, record_several, wants_grad
from ..autograd.mode import mode
from ..batched import every_member, over_whole
from ..layout import Layout
from ..ops import arange, cat, tensor, where, zeros
from ..tensor import Tensor
from . import _complex
from ._base import batched, call, identity, need_matrix, nothing, raise_for, result_type, written

LuFactor = result_type("linalg_lu_factor", ("LU", "pivots"))
LuFactorEx = result_type("linalg_lu_factor_ex", ("LU", "pivots", "info"))
Lu = result_type("linalg_lu", ("P", "L", "U"))
InvEx = result_type("linalg_inv_ex", ("inverse", "info"))
SolveEx = result_type("linalg_solve_ex", ("result", "info"))
CholeskyEx = result_type("linalg_cholesky_ex", ("L", "info"))
Slogdet = result_type("linalg_slogdet", ("sign", "logabsdet"))


# ---------------------------------------------------------------------- triangular systems


def solve_triangle(A, B, upper, unit):
    """A^-1 B for matrices of equal batches, in the graph."""
    X = call("triangle", A, (B._layout.shape[-2:],), (A, B), (int(upper), int(unit)))
    if not wants_grad(A, B):
        return X

    def rule(g, A, X):
        to_b = solve_triangle(A.mT, g, not upper, unit)
        to_a = -(to_b @ X.mT)
        return (to_a.triu(int(unit)) if upper else to_a.tril(-int(unit))), to_b

    return record(X, "LinalgSolveTriangularBackward0", rule, (A, B), (A, None), own=1)


def _fits(name, A, B, left):
    """Raises unless the shapes of A (n, n) and B go with A X = B (X A = B)."""
    n, (rows, columns) = A._layout.shape[-1], B._layout.shape[-2:]
    if n != (rows if left else columns):
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} ({n}x{n} and {rows}x{columns})"
        )


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """X with A X = B (X A = B unless `left`): A (..., n, n) triangular, B (..., n, k); batches broadcast.

    Only the `upper` (or lower) triangle of A is read, and with `unitriangular` not its diagonal, which then is 1."""
    name = "linalg.solve_triangular"
    need_matrix(name, A, B, square=True, complex_too=True)
    _fits(name, A, B, left)
    A, B = batched(name, A, B)
    if A._layout.dtype.is_complex:
        A = _complex.triangle(A, upper, unitriangular)
        X = _complex.solve(A, B)[0] if left else _complex.solve(A.mT, B.mT)[0].mT
        return written(name, out, X)
    if left:
        return written(name, out, solve_triangle(A, B, upper, unitriangular))
    return written(name, out, solve_triangle(A.mT, B.mT, not upper, unitriangular).mT)


# ---------------------------------------------------------------------- LU


def _lu(A):
    """LU, pivots and info of A, in no graph."""
    m, n = A._layout.shape[-2:]
    return call("lu", A, ((m, n), ("int", min(m, n)), ("int",)), (A,))


def _need_pivot(name, pivot):
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """(LU, pivots, info) of A (..., m, n) = P L U: L without its unit diagonal and U in one matrix, pivots (..., k)
    as LAPACK's getrf counts them (from 1), info the first zero pivot or 0."""
    name = "linalg.lu_factor"
    need_matrix(name, A)
    _need_pivot(name, pivot)
    LU, pivots, info = _lu(A)
    if check_errors:
        check_lu(info)
    record_several((LU, pivots, info), "LinalgLuFactorExBackward0", _lu_rule, (A,), (A, LU, pivots))
    return written(name, out, LuFactorEx(LU, pivots, info))


def check_lu(info):
    raise_for(
        "torch.linalg.lu_factor", info,
        lambda i: f"U[{i},{i}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform "
        "the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
    )  # fmt: skip


def lu_factor(A, *, pivot=True, out=None):
    """(LU, pivots) of A (..., m, n): see `lu_factor_ex`. Raises LinAlgError where a pivot is zero."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    check_lu(info)
    return written("linalg.lu_factor", out, LuFactor(LU, pivots))


def _lu_rule(g, g_pivots, g_info, A, LU, pivots):
    """With the square A = P L U: gA = P L^-T (tril(L^T gL, -1) + triu(gU U^T)) U^-T. What a rectangular matrix has
    beyond its square is L^-1 P^T A_2 or A_2 U^-1, whose derivative falls back on L or U."""
    if mode.enabled:
        LU = lu_factor_ex(A).LU  # (with its history)
    m, n = LU._layout.shape[-2:]
    k = min(m, n)
    L, U = LU[..., :k], LU[..., :k, :]
    square = LU[..., :k, :k]
    unit = square.tril(-1) + identity(LU, k)
    middle = (unit.mT @ g[..., :k, :k].tril(-1)).tril(-1) + (
        g[..., :k, :k].triu() @ square.triu().mT
    ).triu()
    if n > k:
        middle = middle - (g[..., k:] @ U[..., k:].mT).tril(-1)
    if m > k:
        middle = middle - (L[..., k:, :].mT @ g[..., k:, :]).triu()

    def from_left(x):
        return solve_triangle(square.mT, x, True, True)

    def from_right(x):  # x U^-T
        return solve_triangle(square, x.mT, True, False).mT

    to_a = from_right(from_left(middle))
    if n > k:
        to_a = cat((to_a, from_left(g[..., k:])), -1)
    if m > k:
        to_a = cat((to_a, from_right(g[..., k:, :])), -2)
    return _permutation(pivots, m, g._layout.dtype) @ to_a


def _permutation(pivots, m, dtype):
    """P (..., m, m) of pivots (..., k): the identity with its columns exchanged in turn."""
    if type(pivots._layout) is not Layout:
        return over_whole(lambda p: _permutation(p, m, dtype), pivots)
    shape = pivots._layout.shape
    lists = pivots.reshape((-1, shape[-1])).tolist() if pivots._layout.numel else []
    orders = []
    for swaps in lists or [[]] * _count(shape[:-1]):
        order = list(range(m))
        for i, other in enumerate(swaps):
            order[i], order[other - 1] = order[other - 1], order[i]
        orders.append(order)
    result = zeros((len(orders), m, m), dtype=dtype)
    if orders and m:
        index = tensor(orders, dtype=dt.int64)
        result.scatter_(1, index.unsqueeze(1), 1.0)
    return result.reshape((*shape[:-1], m, m))


def _count(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def lu(A, *, pivot=True, out=None):
    """(P, L, U) with A (..., m, n) = P L U: P a permutation, L (..., m, k) with a unit diagonal, U (..., k, n)."""
    need_matrix("linalg.lu", A)
    _need_pivot("linalg.lu_factor", pivot)
    LU, pivots, _ = lu_factor_ex(A)
    return written("linalg.lu", out, Lu(*unpack(LU, pivots)))


def unpack(LU, pivots, data=True, permutation=True):
    """P, L and U of what `lu_factor` gives; empty tensors for what is not wanted."""
    m, n = LU._layout.shape[-2:]
    k = min(m, n)
    P = _permutation(pivots, m, LU._layout.dtype) if permutation else nothing(LU)
    if not data:
        return P, nothing(LU), nothing(LU)
    return P, LU[..., :k].tril(-1) + identity(LU, m, k), LU[..., :k, :].triu()


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """X with A X = B (X A = B unless `left`; A^T for A with `adjoint`), from `lu_factor` of A (..., n, n)."""
    name = "linalg.lu_solve"
    need_matrix(name, LU, B, square=True)
    need_pivots(name, LU, pivots)
    _fits(name, LU, B, left)
    n = LU._layout.shape[-1]
    LU, B = batched(name, LU, B)
    pivots = pivots.expand((*LU._layout.shape[:-2], n))
    if wants_grad(LU):
        P, L, U = unpack(LU, pivots)
        return written(name, out, _lu_solve_composed(P, L, U, B, left, adjoint))
    return written(name, out, _lu_solve(LU, pivots, B, left, adjoint))


def need_pivots(name, LU, pivots):
    if not isinstance(pivots, Tensor) or pivots._layout.dtype is not dt.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type int32")
    m, n = LU._layout.shape[-2:]
    if not pivots._layout.ndim or pivots._layout.shape[-1] != min(m, n):
        raise RuntimeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix, got pivots {list(pivots.shape)} "
            f"for LU {list(LU.shape)}"
        )
    if pivots._layout.numel and not (
        1 <= every_member(pivots).min().item() and every_member(pivots).max().item() <= m
    ):
        raise RuntimeError(f"{name}: pivots must lie between 1 and {m}")


def _lu_solve_composed(P, L, U, B, left, adjoint):
    """`lu_solve` by operations that know their derivatives."""
    if not left:
        return _lu_solve_composed(P, L, U, B.mT, True, not adjoint).mT
    if adjoint:
        return P @ solve_triangle(L.mT, solve_triangle(U.mT, B, False, False), True, True)
    return solve_triangle(U, solve_triangle(L, P.mT @ B, False, True), True, False)


def _lu_solve(LU, pivots, B, left=True, adjoint=False):
    """`lu_solve` for equal batches; the graph knows B only."""
    if not left:
        return _lu_solve(LU, pivots, B.mT, True, not adjoint).mT
    X = call(
        "lu_solve",
        LU,
        (B._layout.shape[-2:],),
        (LU.mT if adjoint else LU, pivots, B),
        (int(adjoint),),
    )
    return record(
        X, "LinalgLuSolveBackward0", lambda g, LU, pivots: _lu_solve(LU, pivots, g, True, not adjoint), (B,), (LU, pivots)
    )  # fmt: skip


# ---------------------------------------------------------------------- solve, inverse


def is_vector(A, B):
    """Whether B (n) or (*batch, n) is to be taken as vectors, as PyTorch takes it."""
    return B._layout.ndim == 1 or (
        A._layout.ndim - 1 == B._layout.ndim and B._layout.shape == A._layout.shape[:-1]
    )


def solve_matrices(A, B):
    """A^-1 B and info, for equal batches."""
    if A._layout.dtype.is_complex:
        return _complex.solve(A, B)
    LU, pivots, info = _lu(A)
    X = call("lu_solve", A, (B._layout.shape[-2:],), (LU, pivots, B), (0,))
    if not wants_grad(A, B):
        return X, info

    def rule(g, A, X, LU, pivots):
        to_b = (
            solve_matrices(A.mT, g)[0] if mode.enabled else _lu_solve(LU, pivots, g, adjoint=True)
        )
        return -(to_b @ X.mT), to_b

    return record(X, "LinalgSolveExBackward0", rule, (A, B), (A, None, LU, pivots), own=1), info


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """(result, info) of `solve`, which raises only with `check_errors`; info is the first zero pivot of A, or 0."""
    name = "linalg.solve"
    need_matrix(name, A, square=True, complex_too=True)
    if not isinstance(B, Tensor):
        raise TypeError(f"{name}(): expected a Tensor, got {type(B).__name__}")
    if B._layout.dtype is not A._layout.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {A.dtype.name} and B of type {B.dtype.name} instead"
        )
    if not B._layout.ndim:
        raise RuntimeError(f"{name}: B must have at least 1 dimension")
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve is "
            "equivalent to B / A.squeeze(-1)"
        )
    right = B.unsqueeze(-1) if vector else B
    _fits(name, A, right, left)
    a, b = batched(name, A, right)
    if left:
        X, info = solve_matrices(a, b)
    else:
        X, info = solve_matrices(a.mT, b.mT)
        X = X.mT
    if check_errors:
        _check_solve(info)
    return written(name, out, SolveEx(X.squeeze(-1) if vector else X, info))


def _check_solve(info):
    raise_for(
        "torch.linalg.solve",
        info,
        lambda i: "The solver failed because the input matrix is singular.",
    )


def solve(A, B, *, left=True, out=None):
    """X with A X = B (X A = B unless `left`): A (..., n, n), B (..., n, k), or vectors (n) or (..., n).

    Batches broadcast. Raises LinAlgError where A is singular."""
    result, info = solve_ex(A, B, left=left)
    _check_solve(info)
    return written("linalg.solve", out, result)


def inv_ex(A, *, check_errors=False, out=None):
    """(inverse, info) of A (..., n, n): info is the first zero pivot, or 0; then the inverse means nothing."""
    name = "linalg.inv"
    need_matrix(name, A, square=True, complex_too=True)
    result, info = _complex.inv(A) if A._layout.dtype.is_complex else _inv(A)
    if check_errors:
        _check_inv(info)
    return written(name, out, InvEx(result, info))


def _inv(A):
    LU, pivots, info = _lu(A)
    n = A._layout.shape[-1]
    result = call("lu_solve", A, ((n, n),), (LU, pivots, identity(A, n)), (0,))
    if wants_grad(A):
        record(
            result, "LinalgInvExBackward0", lambda g, y: -(y.mT @ g @ y.mT), (A,), (None,), own=0
        )
    return result, info


def _check_inv(info):
    raise_for(
        "linalg.inv", info,
        lambda i: f"The diagonal element {i} is zero, the inversion could not be completed because the input matrix is singular.",
    )  # fmt: skip


def inv(A, *, out=None):
    """The inverses of A (..., n, n). Raises LinAlgError where A is singular. For A^-1 B, `solve` is better."""
    result, info = inv_ex(A)
    _check_inv(info)
    return written("linalg.inv", out, result)


# ---------------------------------------------------------------------- determinants


def _sign_of(pivots):
    """1 or -1: whether the exchanges are even in number."""
    here = arange(1, pivots._layout.shape[-1] + 1, dtype=pivots._layout.dtype)
    return 1 - (pivots != here).sum(-1) % 2 * 2


def det(A, *, out=None):
    """The determinants of A (..., n, n): (...)."""
    need_matrix("linalg.det", A, square=True, complex_too=True)
    if A._layout.dtype.is_complex:
        return written("linalg.det", out, _complex.det(A))
    LU, pivots, _ = _lu(A)
    result = LU.diagonal(0, -2, -1).prod(-1) * _sign_of(pivots)
    record(result, "LinalgDetBackward0", _det_rule, (A,), (A, None, LU, pivots), own=1)
    return written("linalg.det", out, result)


def _det_rule(g, A, y, LU, pivots):
    """g det(A) A^-T; where a matrix is singular, its cofactors."""
    n = A._layout.shape[-1]
    if bool(every_member(LU.diagonal(0, -2, -1) == 0).any()):
        return g.unsqueeze(-1).unsqueeze(-1) * _cofactors(A)
    scaled = (g * y).unsqueeze(-1).unsqueeze(-1) * identity(A, n)
    return (
        solve_matrices(A.mT, scaled)[0]
        if mode.enabled
        else _lu_solve(LU, pivots, scaled, adjoint=True)
    )


def _cofactors(A):
    """det(A) A^-T without a division: with A = U S V^T, det(U V^T) U diag(products of the other s) V^T."""
    from ._spectral import svd

    U, S, Vh = svd(A, full_matrices=False)
    n = S._layout.shape[-1]
    others = where(identity(A, n) != 0, 1.0, S.unsqueeze(-2)).prod(-1)
    sign = det(U.detach()).round() * det(Vh.detach()).round()
    return (sign.unsqueeze(-1) * others).unsqueeze(-2) * U @ Vh


def slogdet(A, *, out=None):
    """(sign, logabsdet) of the determinants of A (..., n, n): 1, -1 or 0 (complex: of absolute value 1, or 0), and
    log|det A| (-inf for 0)."""
    need_matrix("linalg.slogdet", A, square=True, complex_too=True)
    if A._layout.dtype.is_complex:
        return written("linalg.slogdet", out, Slogdet(*_complex.slogdet(A)))
    LU, pivots, _ = _lu(A)
    diagonal = LU.diagonal(0, -2, -1)
    sign = diagonal.sign().prod(-1) * _sign_of(pivots)
    size = diagonal.abs().log().sum(-1)
    record_several((sign, size), "LinalgSlogdetBackward0", _slogdet_rule, (A,), (A, LU, pivots))
    return written("linalg.slogdet", out, Slogdet(sign, size))


def _slogdet_rule(g_sign, g, A, LU, pivots):
    if g is None:  # the sign is flat
        return g_sign.unsqueeze(-1).unsqueeze(-1) * A * 0
    scaled = g.unsqueeze(-1).unsqueeze(-1) * identity(A, A._layout.shape[-1])
    return (
        solve_matrices(A.mT, scaled)[0]
        if mode.enabled
        else _lu_solve(LU, pivots, scaled, adjoint=True)
    )


# ---------------------------------------------------------------------- Cholesky


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """(L, info) of A (..., n, n) = L L^H, of which the lower triangle is read (with `upper`: U^H U, the upper one).

    info: the order of the first leading minor that is not positive, or 0."""
    name = "linalg.cholesky"
    need_matrix(name, A, square=True, complex_too=True)
    factor, info = (_complex.cholesky if A._layout.dtype.is_complex else _cholesky)(A, upper)
    if check_errors:
        _check_cholesky(name, info)
    return written(name, out, CholeskyEx(factor, info))


def _cholesky(A, upper):
    n = A._layout.shape[-1]
    L, info = call("cholesky", A, ((n, n), ("int",)), (A.mT if upper else A,))
    record(L, "LinalgCholeskyExBackward0", _cholesky_rule, (A,), (None,), own=0)
    return L.mT if upper else L, info


def _cholesky_rule(g, L):
    """L^-T P L^-1, P the symmetric matrix whose lower triangle is that of L^T g (Murray 2016, eq. 10)."""
    p = (L.mT @ g).tril()
    p = 0.5 * (p + p.tril(-1).mT)
    p = solve_triangle(L.mT, p, True, False)
    return solve_triangle(L.mT, p.mT, True, False).mT


def _check_cholesky(name, info):
    raise_for(
        name, info,
        lambda i: "The factorization could not be completed because the input is not positive-definite (the leading minor of "
        f"order {i} is not positive-definite).",
    )  # fmt: skip


def cholesky(A, *, upper=False, out=None, name="linalg.cholesky"):
    """L (..., n, n), lower triangular, with A = L L^H (with `upper`: U with A = U^H U).

    Raises LinAlgError where A is not positive definite. Symmetry is not checked: one triangle is read."""
    L, info = cholesky_ex(A, upper=upper)
    _check_cholesky(name, info)
    return written(name, out, L)
