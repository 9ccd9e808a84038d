"""The names that linear algebra has outside of `dlgrad.linalg`: functions of the package, and methods of Tensor.

Some are older than `linalg` and take or give something else: `svd` gives V and not its transpose, `qr` and `svd` take
`some`, `lu_solve`, `cholesky_solve` and `triangular_solve` take the right-hand side first."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, wants_grad
from ..autograd.mode import no_grad
from ..batched import every_member
from ..layout import Layout, contiguous
from ..ops import memos, where
from ..ops.random import randn
from ..tensor import Tensor, method
from ._base import batched, identity, learnt, need_matrix, raise_for, result_type, written
from ._orthogonal import geqrf, householder_product, ormqr
from ._orthogonal import qr as _qr
from ._products import matrix_exp, matrix_power
from ._solve import (
    check_lu,
    det,
    inv,
    known_triangle,
    lu_factor_ex,
    need_pivots,
    slogdet,
    solve_triangle,
    unpack,
)
from ._solve import cholesky as _cholesky
from ._solve import lu_solve as _lu_solve
from ._spectral import pinv, svdvals
from ._spectral import svd as _svd

__all__ = [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "geqrf", "inverse", "logdet", "lu", "lu_solve", "lu_unpack",
    "matrix_exp", "matrix_power", "orgqr", "ormqr", "pca_lowrank", "pinverse", "qr", "slogdet", "svd", "svd_lowrank",
    "triangular_solve",
]  # fmt: skip

Qr = result_type("qr", ("Q", "R"))
Svd = result_type("svd", ("U", "S", "V"))
LuWithInfo = result_type("lu", ("LU", "pivots", "info"))
LuUnpack = result_type("lu_unpack", ("P", "L", "U"))
TriangularSolve = result_type("triangular_solve", ("solution", "cloned_coefficient"))

for _f in (det, geqrf, matrix_exp, matrix_power, ormqr, slogdet):
    method(_f)


@method
def inverse(input, *, out=None):
    """The inverses of matrices (..., n, n): `linalg.inv`."""
    return inv(input, out=out)


@method
def logdet(input):
    """log(det(A)) of matrices (..., n, n): -inf where the determinant is 0, nan where it is negative."""
    need_matrix("logdet", input, square=True)
    sign, size = slogdet(input)
    return where(sign < 0, float("nan"), size)


@method
def pinverse(input, rcond=1e-15):
    """The pseudoinverses of matrices: `linalg.pinv` with the relative threshold `rcond`."""
    return pinv(input, rtol=rcond)


@method
def qr(input, some=True, *, out=None):
    """(Q, R): `linalg.qr` in the mode "reduced", or unless `some` "complete"."""
    return written("qr", out, Qr(*_qr(input, "reduced" if some else "complete")))


@method
def svd(input, some=True, compute_uv=True, *, out=None):
    """(U, S, V) with A = U diag(S) V^T, reduced if `some`; unless `compute_uv` U and V are zeros."""
    need_matrix("svd", input)
    if compute_uv:
        U, S, Vh = _svd(input, not some)
        return written("svd", out, Svd(U, S, Vh.mT))
    m, n = input._layout.shape[-2:]
    zero = lambda k: identity(input, k) * 0  # noqa: E731
    return written("svd", out, Svd(zero(m), svdvals(input), zero(n)))


# ---------------------------------------------------------------------- Cholesky


@method
def cholesky(input, upper=False, *, out=None):
    """The Cholesky factors of matrices (..., n, n): `linalg.cholesky`."""
    return _cholesky(input, upper=upper, out=out, name="cholesky")


@method
def cholesky_solve(input, L, upper=False, *, out=None):
    """X with A X = input (..., n, k), from the Cholesky factor of A: A = L L^T, or with `upper` L^T L."""
    if (input._layout, L._layout, upper) in _cholesky_solves:
        return written("cholesky_solve", out, _cholesky_solve(input, L, upper))
    if input._layout.ndim < 2:
        raise RuntimeError(
            f"b should have at least 2 dimensions, but has {input._layout.ndim} dimensions instead"
        )
    if L._layout.ndim < 2:
        raise RuntimeError(
            f"u should have at least 2 dimensions, but has {L._layout.ndim} dimensions instead"
        )
    need_matrix("cholesky_solve", L, input, square=True)
    n, rows = L._layout.shape[-1], input._layout.shape[-2]
    if n != rows:
        raise RuntimeError(f"cholesky_solve: Incompatible matrix sizes for cholesky_solve: each A matrix is {n} by {n} but each b matrix is {rows} by {input.shape[-1]}")  # fmt: skip
    L, b = batched("cholesky_solve", L, input)
    return written("cholesky_solve", out, _cholesky_solve(b, L, upper))


_cholesky_solves: dict = {}


def _cholesky_solve(B, L, upper):
    key = B._layout, L._layout, upper
    plan = _cholesky_solves.get(key)
    if plan is None:
        out = contiguous(key[0].dtype, key[0].shape)
        plan = learnt(None, _cholesky_solves, key, "cholesky_solve", (out,), key[:2], (int(upper),))
    X = door.run(plan, B, L)
    if not wants_grad(B, L):
        return X

    def rule(g, L, X):
        """PyTorch's gradient of L, which has both triangles."""
        to_b = _cholesky_solve(g, L, upper)
        product = to_b @ X.mT
        both = product + product.mT
        return to_b, -(L @ both) if upper else -(both @ L)

    return record(X, "CholeskySolveBackward0", rule, (B, L), (L, None), own=1)


@method
def cholesky_inverse(L, upper=False, *, out=None):
    """The inverse of A (..., n, n) from its Cholesky factor: A = L L^T, or with `upper` L^T L."""
    _need_diagonal("cholesky_inverse", L)
    return written("cholesky_inverse", out, _inverse_by_factor(L, bool(upper)))


@door.memo
def _inverse_by_factor(L, upper):
    with no_grad():
        half = solve_triangle(L.mT if upper else L, identity(L, L._layout.shape[-1]), False, False)
        result = half.mT @ half

    def rule(g, L, y):
        both = y @ (g + g.mT) @ y
        return -(L @ both) if upper else -(both @ L)

    return record(result, "CholeskyInverseBackward0", rule, (L,), (L, None), own=1)


@door.memo
def _product_of_diagonal(name, L):
    need_matrix(name, L, square=True)
    return L.detach().diagonal(0, -2, -1).prod()


def _need_diagonal(name, L):
    """Raises LinAlgError where the diagonal of L, which must be square, has a zero."""
    product = _product_of_diagonal(name, L)
    if type(product._layout) is Layout:
        product = product.item()
        if product < 0 or product > 0:
            return
    zero = (L.detach().diagonal(0, -2, -1) == 0).to(dt.int32)
    if zero._layout.numel and every_member(zero).amax().item():
        info = (zero.argmax(-1) + 1) * zero.amax(-1)
        raise_for(
            name,
            info,
            lambda i: (
                f"The diagonal element {i} is zero, the inversion could not be completed because the input matrix is singular."
            ),
        )


# ---------------------------------------------------------------------- LU


@method
def lu(A, pivot=True, get_infos=False, out=None):
    """(LU, pivots), and info with `get_infos`: `linalg.lu_factor_ex`."""
    need_matrix("lu", A)
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    if get_infos:
        return written("lu", out, LuWithInfo(LU, pivots, info))
    check_lu(info)
    return written("lu", out, (LU, pivots))


@method
def lu_solve(input, LU_data, LU_pivots, *, out=None):
    """X with A X = input: `linalg.lu_solve`, the right-hand side first."""
    return _lu_solve(LU_data, LU_pivots, input, out=out)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """(P, L, U) of what `lu` gives; empty tensors for what is not asked for."""
    need_matrix("torch.lu_unpack", LU_data)
    if unpack_pivots:
        if not isinstance(LU_pivots, Tensor) or LU_pivots._layout.dtype is not dt.int32:
            raise RuntimeError(
                "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
                "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
            )
        need_pivots("torch.lu_unpack", LU_data, LU_pivots)
    return written(
        "lu_unpack", out, LuUnpack(*unpack(LU_data, LU_pivots, unpack_data, unpack_pivots))
    )


@method
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """(solution, A): X with A X = b (A^T for A with `transpose`), A (..., n, n) triangular, b (..., n, k)."""
    name = "torch.triangular_solve"
    if not transpose and known_triangle(A, b, upper, unitriangular):
        X = solve_triangle(A, b, upper, unitriangular)
        return written(name, out, TriangularSolve(X, A.clone()))
    for t, what in ((b, "b"), (A, "A")):
        if t._layout.ndim < 2:
            raise RuntimeError(
                f"{name}: Expected {what} to have at least 2 dimensions, but it has {t._layout.ndim} dimensions instead"
            )
    need_matrix(name, A, b, square=True)
    n, rows = A._layout.shape[-1], b._layout.shape[-2]
    if n != rows:
        raise RuntimeError(f"{name}: Incompatible matrix sizes for triangular_solve: each A matrix is {n} by {n} but each b matrix is {rows} by {b.shape[-1]}")  # fmt: skip
    a, right = batched(name, A, b)
    if transpose:
        a, upper = a.mT, not upper
    X = solve_triangle(a, right, upper, unitriangular)
    return written(name, out, TriangularSolve(X, (a.mT if transpose else a).clone()))


@method
def orgqr(input, tau, *, out=None):
    """The columns of Q from `geqrf`: `linalg.householder_product`."""
    return householder_product(input, tau, out=out)


# ---------------------------------------------------------------------- low rank


def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V) of rank at most q, close to A (..., m, n) (to A - M): by `niter` rounds of subspace iteration from
    random vectors. Halko, Martinsson and Tropp (2009), algorithms 4.4 and 5.1."""
    need_matrix("svd_lowrank", A)
    if M is not None:
        A = A - M
    m, n = A._layout.shape[-2:]
    if m < n:
        U, S, V = svd_lowrank(A.mT, q, niter)
        return Svd(V, S, U)
    Q = _range(A, q, niter)
    U, S, Vh = _svd(Q.mT @ A, full_matrices=False)
    return Svd(Q @ U, S, Vh.mT)


def _range(A, q, niter):
    """q orthonormal columns whose span comes close to that of A."""
    with no_grad():
        Q = _qr(A @ randn(A._layout.shape[-1], q, dtype=A._layout.dtype)).Q
        for _ in range(niter):
            Q = _qr(A @ _qr(A.mT @ Q).Q).Q
    return Q


def pca_lowrank(A, q=None, center=True, niter=2):
    """(U, S, V) by `svd_lowrank` of A (..., m, n), the means of its columns taken off if `center`: V's columns are
    the principal directions, S^2 / (m - 1) their variances."""
    need_matrix("pca_lowrank", A)
    m, n = A._layout.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, True) if center else A, q, niter)


memos.remember_functions(globals())
