"""Singular values and the eigenvalues of symmetric matrices, and what is made from them: pseudoinverse, rank,
condition number, matrix norms.

The derivatives: Giles (2008), 3.1 and 3.2; for singular vectors Townsend, "Differentiating the singular value
decomposition" (2016). Those of vectors mean nothing where values repeat."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, record_several, wants_grad
from ..autograd.mode import mode, no_grad
from ..batched import every_member
from ..layout import contiguous, wrap_dim
from ..ops import full, where, zeros
from ..ops.elementwise import as_number, sum_to
from ..ops.vector_norm import vector_norm
from ..tensor import Tensor
from . import _complex
from ._base import identity, layout_of, learnt, need_matrix, result_type, written
from ._orthogonal import condition, full_rank
from ._solve import inv_ex

Svd = result_type("linalg_svd", ("U", "S", "Vh"))
Eigh = result_type("linalg_eigh", ("eigenvalues", "eigenvectors"))


def _need_driver(name, driver):
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


# ---------------------------------------------------------------------- singular values


_plans: dict = {}


def _svd(A, vectors, full_matrices):
    """(U, S, Vh) of real A, in no graph; None for the vectors unless they are wanted."""
    key = A._layout, vectors, full_matrices
    plan = _plans.get(key)
    if plan is None:
        (*batch, m, n), dtype = A._layout.shape, A._layout.dtype
        k = min(m, n)
        U = contiguous(dtype, (*batch, m, m if full_matrices else k)) if vectors else None
        Vh = contiguous(dtype, (*batch, n if full_matrices else k, n)) if vectors else None
        outs = contiguous(dtype, (*batch, k)), U, Vh, None
        plan = learnt(None, _plans, key, "svd", outs, (A._layout,), (), "linalg.svd")
    S, U, Vh, _ = door.run(plan, A)
    return U, S, Vh


def svd(A, full_matrices=True, *, driver=None, out=None):
    """(U, S, Vh) with A (..., m, n) = U diag(S) Vh, S (..., k) descending, k = min(m, n): U (..., m, m) and Vh
    (..., n, n) orthogonal, or unless `full_matrices` (..., m, k) and (..., k, n).

    Raises LinAlgError where A is not finite. U and Vh are defined up to signs (and up to rotations where values
    repeat), so only functions of them that don't depend on those have a gradient."""
    if driver is not None or (layout_of(A), True, full_matrices) not in _plans:
        need_matrix("linalg.svd", A, complex_too=True)
        _need_driver("linalg.svd", driver)
    if A._layout.dtype.is_complex:
        return written("linalg.svd", out, Svd(*_complex.svd(A, full_matrices)))
    U, S, Vh = _svd(A, True, full_matrices)
    record_several((U, S, Vh), "LinalgSvdBackward0", _svd_rule, (A,), (A, U, S, Vh))
    return written("linalg.svd", out, Svd(U, S, Vh))


def _svd_rule(gU, gS, gVh, A, U, S, Vh):
    """With E_ij = S_j^2 - S_i^2 and skew X = X - X^T: U (skew(U^T gU) / E S + S skew(V^T gV) / E + diag gS) V^T, and
    what gU and gV have outside of the spaces of U and V. The columns that full matrices add have no gradient."""
    if mode.enabled:
        U, S, Vh = svd(A, full_matrices=False)  # (with their history)
    m, n = A._layout.shape[-2:]
    k = S._layout.shape[-1]
    U, Vh = U[..., :k], Vh[..., :k, :]
    if gU is None and gVh is None:
        return (U * gS.unsqueeze(-2)) @ Vh
    square = S.square()
    E = square.unsqueeze(-2) - square.unsqueeze(-1) + identity(A, k)
    inner = 0.0 if gS is None else gS.unsqueeze(-1) * identity(A, k)
    left, right = S.unsqueeze(-2), S.unsqueeze(-1)
    outside = None
    if gU is not None:
        gU = gU[..., :k]
        x = U.mT @ gU
        inner = inner + (x - x.mT) / E * left
        if m > k:
            outside = ((gU - U @ x) / left) @ Vh
    if gVh is not None:
        gVh = gVh[..., :k, :]
        x = Vh @ gVh.mT
        inner = inner + right * ((x - x.mT) / E)
        if n > k:
            more = U @ ((gVh - x.mT @ Vh) / right)
            outside = more if outside is None else outside + more
    to_a = U @ inner @ Vh
    return to_a if outside is None else to_a + outside


def svdvals(A, *, driver=None, out=None):
    """The singular values (..., k) of A (..., m, n), descending."""
    if driver is not None or (layout_of(A), False, False) not in _plans:
        need_matrix("linalg.svdvals", A, complex_too=True)
        _need_driver("linalg.svdvals", driver)
    if A._layout.dtype.is_complex:
        return written("linalg.svdvals", out, _complex.svdvals(A))
    if wants_grad(A):
        return written("linalg.svdvals", out, svd(A, full_matrices=False).S)
    return written("linalg.svdvals", out, _svd(A, False, False)[1])


# ---------------------------------------------------------------------- eigenvalues


def _upper(name, A, UPLO):
    """Whether UPLO is the upper triangle. Raises unless it is one, and A of square matrices."""
    if UPLO == "L" and ((layout_of(A), False) in _plans or (layout_of(A), True) in _plans):
        return False
    need_matrix(name, A, square=True, complex_too=True)
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "U"


def _eigh(A, upper, vectors):
    """(values, vectors) of real A, in no graph; None for the vectors unless they are wanted."""
    lower = A.mT if upper else A
    key = lower._layout, vectors
    plan = _plans.get(key)
    if plan is None:
        lay = lower._layout
        V = contiguous(lay.dtype, lay.shape) if vectors else None
        outs = contiguous(lay.dtype, lay.shape[:-1]), V, None
        plan = learnt(None, _plans, key, "eigh", outs, (lay,), (), "linalg.eigh")
    values, V, _ = door.run(plan, lower)
    return values, V


def eigh(A, UPLO="L", *, out=None):
    """(eigenvalues, eigenvectors) of symmetric (Hermitian) matrices A (..., n, n): values (..., n) ascending, the vectors the
    columns of (..., n, n). The lower triangle is read, or the upper one with UPLO "U".

    Vectors are defined up to signs (and rotations where values repeat): see `svd`."""
    upper = _upper("linalg.eigh", A, UPLO)
    if A._layout.dtype.is_complex:
        return written("linalg.eigh", out, Eigh(*_complex.eigh(A, upper)))
    L, V = _eigh(A, upper, True)
    if wants_grad(A):
        rule = lambda *args: _eigh_rule(UPLO, *args)  # noqa: E731
        record_several((L, V), "LinalgEighBackward0", rule, (A,), (A, L, V))
    return written("linalg.eigh", out, Eigh(L, V))


def _eigh_rule(UPLO, gL, gV, A, L, V):
    """V (diag gL + skew(V^T gV) / 2 E) V^T, E_ij = L_j - L_i, skew X = X - X^T: a symmetric matrix."""
    if mode.enabled:
        L, V = eigh(A, UPLO)  # (with their history)
    if gV is None:
        return (V * gL.unsqueeze(-2)) @ V.mT
    one = identity(A, A._layout.shape[-1])
    E = L.unsqueeze(-2) - L.unsqueeze(-1) + one
    x = V.mT @ gV
    inner = 0.5 * (x - x.mT) / E
    if gL is not None:
        inner = inner + gL.unsqueeze(-1) * one
    return V @ inner @ V.mT


def eigvalsh(A, UPLO="L", *, out=None):
    """The eigenvalues (..., n) of symmetric (Hermitian) matrices A (..., n, n), ascending."""
    upper = _upper("linalg.eigvalsh", A, UPLO)
    if A._layout.dtype.is_complex:
        return written("linalg.eigvalsh", out, _complex.eigvalsh(A, upper))
    if wants_grad(A):
        return written("linalg.eigvalsh", out, eigh(A, UPLO).eigenvalues)
    return written("linalg.eigvalsh", out, _eigh(A, upper, False)[0])


# ---------------------------------------------------------------------- pseudoinverse and rank


def _threshold(A, largest, atol, rtol):
    """max(atol, rtol * largest), with PyTorch's values where they are not given."""
    if rtol is None:
        default = dt.finfo(A._layout.dtype).eps * max(A._layout.shape[-2:])
        if isinstance(atol, Tensor):
            rtol = where(atol > 0, 0.0, default)
        else:
            rtol = 0.0 if atol else default
    scaled = rtol * largest
    if atol is None:
        return scaled
    if not isinstance(atol, Tensor):
        return scaled.clamp(min=atol)
    return where(atol > scaled, atol, scaled).to(scaled._layout.dtype)


def _sizes(A, hermitian):
    """The absolute eigenvalues, or the singular values."""
    return eigvalsh(A).abs() if hermitian else svdvals(A)


def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudoinverses (..., n, m) of A (..., m, n) (Moore-Penrose).

    Singular values (or with `hermitian` absolute eigenvalues of the lower triangle) up to max(atol, rtol * largest)
    count as 0; rtol is eps max(m, n) unless given. rcond is another name for rtol."""
    name = "linalg.pinv"
    need_matrix(name, A, square=hermitian, complex_too=True)
    rtol = rcond if rtol is None else rtol
    if A._layout.dtype.is_complex and A._layout.numel:
        with no_grad():
            least = _threshold(A, _sizes(A, hermitian).amax(-1), atol, rtol)
        return written(name, out, _complex.pinv(A, least, hermitian))
    result = None
    with no_grad():
        if not A._layout.numel:
            result = zeros(tuple(A.mT.shape), dtype=A._layout.dtype)
        elif hermitian:
            S, U = eigh(A)
            Vh, size = U.mT, S.abs()
        elif (result := _by_least_squares(A, atol, rtol)) is None:
            U, S, Vh = svd(A, full_matrices=False)
            size = S
        if result is None:
            least = _threshold(A, size.amax(-1), atol, rtol).unsqueeze(-1)
            result = Vh.mT @ (where(size > least, 1 / S, 0.0).unsqueeze(-1) * U.mT)
    shape = A._layout.shape
    rule = pinv_rule if result.ndim == A.ndim else lambda g, A, P: sum_to(pinv_rule(g, A, P), shape)
    record(result, "LinalgPinvBackward0", rule, (A,), (A, None), own=1)
    return written(name, out, result)


def _by_least_squares(A, atol, rtol):
    """`pinv` of matrices that have full rank for sure, else None: X of the smallest ||A X - 1||."""
    if atol is not None or isinstance(rtol, Tensor):
        return None
    m, n = A._layout.shape[-2:]
    rtol = dt.finfo(A._layout.dtype).eps * max(m, n) if rtol is None else rtol
    if m < n:
        result = full_rank(A.mT, identity(A, n), rtol)
        return None if result is None else result.mT.contiguous()
    return full_rank(A, identity(A, m), rtol)


def pinv_rule(g, A, P):
    """The gradient of A whose pseudoinverse P has the gradient g (Golub and Pereyra 1973), as PyTorch computes it."""
    m, n = A._layout.shape[-2:]
    gh = g.mT
    if m <= n:
        K = gh @ P
        KP = K @ P.mT
        return -(P @ K).mT + KP - (A @ P) @ KP + (P.mT @ P) @ (gh - K @ A)
    K = P @ gh
    PK = P.mT @ K
    return -(K @ P).mT + ((gh - A @ K) @ P) @ P.mT + PK - (PK @ P) @ A


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """How many singular values (with `hermitian` absolute eigenvalues) of A (..., m, n) are larger than max(atol,
    rtol * largest); rtol is eps max(m, n) unless given. int64. `tol` is another name for atol."""
    name = "torch.linalg.matrix_rank"
    need_matrix(name, A, square=hermitian, complex_too=True)
    with no_grad():
        if tol is not None:
            atol, rtol = tol, 0.0
        if not A._layout.numel:
            return written(name, out, zeros(tuple(A._layout.shape[:-2]), dtype=dt.int64))
        m, n = A._layout.shape[-2:]
        if (
            atol is None
            and not isinstance(rtol, Tensor)
            and not hermitian
            and not A._layout.dtype.is_complex
        ):
            ratio = dt.finfo(A._layout.dtype).eps * max(m, n) if rtol is None else rtol
            if every_member(condition(A)).amax().item() * ratio < 1:
                rank = full(A._layout.shape[:-2], min(m, n), dtype=dt.int64)
                return written(name, out, rank)
        size = _sizes(A, hermitian)
        least = _threshold(A, size.amax(-1), atol, rtol)
        return written(name, out, (size > least.unsqueeze(-1)).sum(-1))


# ---------------------------------------------------------------------- norms


def _order(name, ord):
    """'fro', 'nuc' or a float."""
    if isinstance(ord, Tensor):
        ord = ord.item()
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    return ord if isinstance(ord, str) else float(as_number(ord))


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """The norm of the matrices in the dimensions `dim` of A: 'fro' the root of the sum of squares; 'nuc' the sum of
    the singular values; 2 (-2) the largest (smallest) one; 1 (-1) the largest (smallest) column sum of absolute
    values; inf (-inf) that of rows."""
    name = "linalg.matrix_norm"
    if not isinstance(A, Tensor):
        raise TypeError(f"{name}(): expected a Tensor, got {type(A).__name__}")
    if A._layout.ndim < 2:
        raise RuntimeError(
            f"{name}: The input tensor A must have at least 2 dimensions, got shape {list(A.shape)}"
        )
    ord = _order(name, ord)
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    if not (A._layout.dtype.is_floating_point or A._layout.dtype.is_complex):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {A.dtype.name}"
        )
    rows, columns = (wrap_dim(d, A._layout.ndim, name) for d in dim)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if dtype is not None:
        A = A.to(dtype)
    if ord == "fro":
        return written(name, out, vector_norm(A, 2, (rows, columns), keepdim))
    if ord in ("nuc", 2.0, -2.0):
        values = svdvals(A.movedim((rows, columns), (-2, -1)))
        result = values.sum(-1) if ord == "nuc" else _extreme(values, -1, ord > 0, False)
        if keepdim:
            result = result.unsqueeze(min(rows, columns)).unsqueeze(max(rows, columns))
        return written(name, out, result)
    over, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)
    result = _extreme(vector_norm(A, 1, over, True), rest, ord > 0, True)
    return written(name, out, result if keepdim else result.squeeze((rows, columns)))


def _extreme(values, dim, largest, keepdim):
    """The largest or smallest value along `dim`; of no values, 0 is the largest."""
    if largest:
        empty = not values._layout.shape[dim]
        return values.sum(dim, keepdim) if empty else values.amax(dim, keepdim)
    return values.amin(dim, keepdim)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """A vector norm (ord 2 unless given) of A, or a matrix norm where `ord` is 'fro' or 'nuc', `dim` has two dimensions,
    or A is a matrix and no `dim` is given. Without `ord` and `dim` all elements are one vector."""
    name = "linalg.norm"
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is not None:
        dims = dim if isinstance(dim, (tuple, list)) else (dim,)
        if len(dims) not in (1, 2):
            raise RuntimeError(
                f"{name}: If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
            )
        if isinstance(ord, str) or len(dims) == 2:
            return matrix_norm(
                A, ord, dims if len(dims) == 2 else dims[0], keepdim, dtype=dtype, out=out
            )
        return vector_norm(A, ord, dims, keepdim, dtype=dtype, out=out)
    if A._layout.ndim not in (1, 2):
        raise RuntimeError(
            f"{name}: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._layout.ndim}D."
        )
    if isinstance(ord, str) or A._layout.ndim == 2:
        return matrix_norm(
            A, ord, (0, 1) if A._layout.ndim == 2 else (0,), keepdim, dtype=dtype, out=out
        )
    return vector_norm(A, ord, None, keepdim, dtype=dtype, out=out)


def cond(A, p=None, *, out=None):
    """The condition numbers ||A|| ||A^-1|| of A (..., n, n) in the norm p of `matrix_norm` (2 unless given, then A may
    be (..., m, n)); inf for singular matrices."""
    name = "linalg.cond"
    need_matrix(name, A, complex_too=True)
    p = 2.0 if p is None else _order(name, p)
    if p in (2.0, -2.0):
        if not A._layout.numel:
            return written(
                name, out, zeros(tuple(A._layout.shape[:-2]), dtype=A._layout.dtype.to_real())
            )
        S = svdvals(A)
        return written(name, out, S[..., 0] / S[..., -1] if p > 0 else S[..., -1] / S[..., 0])
    need_matrix(
        f"{name}(ord={p if isinstance(p, str) else format(p, 'g')})",
        A,
        square=True,
        complex_too=True,
    )
    if not A._layout.numel:
        return written(
            name, out, zeros(tuple(A._layout.shape[:-2]), dtype=A._layout.dtype.to_real())
        )
    inverse, info = inv_ex(A)
    result = where(info != 0, math.inf, matrix_norm(A, p) * matrix_norm(inverse, p))
    return written(name, out, result)
