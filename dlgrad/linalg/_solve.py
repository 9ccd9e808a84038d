"""Systems of linear equations, inverses and determinants: LU, Cholesky and triangular matrices.

The derivatives follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008): with C = A^-1 B, the gradient of B is A^-T gC and that of A is -gB C^T."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import RESULT, record, record_by, record_several, wants_grad
from ..autograd.mode import mode
from ..batched import every_member, over_whole
from ..layout import Layout, contiguous
from ..ops import cat, tensor, where, zeros
from ..tensor import Tensor
from . import _complex
from ._base import (
    batched,
    call,
    identity,
    layout_of,
    learnt,
    need_matrix,
    nothing,
    raise_for,
    result_type,
    written,
)

LuFactor = result_type("linalg_lu_factor", ("LU", "pivots"))
LuFactorEx = result_type("linalg_lu_factor_ex", ("LU", "pivots", "info"))
Lu = result_type("linalg_lu", ("P", "L", "U"))
InvEx = result_type("linalg_inv_ex", ("inverse", "info"))
SolveEx = result_type("linalg_solve_ex", ("result", "info"))
CholeskyEx = result_type("linalg_cholesky_ex", ("L", "info"))
Slogdet = result_type("linalg_slogdet", ("sign", "logabsdet"))


# ---------------------------------------------------------------------- triangular systems


_triangles: dict = {}


def solve_triangle(A, B, upper, unit):
    """A^-1 B for matrices of equal batches, in the graph."""
    key = A._layout, B._layout, upper, unit
    plan = _triangles.get(key)
    if plan is None:
        lays = key[:2]
        out = contiguous(lays[0].dtype, (*lays[0].shape[:-2], *lays[1].shape[-2:]))
        plan = learnt(None, _triangles, key, "triangle", (out,), lays, (int(upper), int(unit)))
    X = door.run(plan, A, B)
    if not wants_grad(A, B):
        return X

    def rule(g, A, X):
        to_b = solve_triangle(A.mT, g, not upper, unit)
        to_a = minus_outer(to_b, X)
        return (to_a.triu(int(unit)) if upper else to_a.tril(-int(unit))), to_b

    return record(X, "LinalgSolveTriangularBackward0", rule, (A, B), (A, None), own=1)


def known_triangle(A, B, upper, unit):
    """Whether `solve_triangle` has met such matrices, which then need no more checks."""
    return (layout_of(A), layout_of(B), upper, unit) in _triangles


def minus_outer(x, y):
    """-x y^T"""
    return -(x @ y.mT)


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
    if left and known_triangle(A, B, upper, unitriangular):
        return written(name, out, solve_triangle(A, B, upper, unitriangular))
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
    raise_for("torch.linalg.lu_factor", info)


def lu_factor(A, *, pivot=True, out=None):
    """(LU, pivots) of A (..., m, n): see `lu_factor_ex`. Raises LinAlgError where a pivot is zero."""
    name = "linalg.lu_factor"
    key = layout_of(A)
    plan = _lus.get(key)
    if plan is None or not pivot:
        need_matrix(name, A)
        _need_pivot(name, pivot)
        *batch, m, n = key.shape
        outs = contiguous(key.dtype, key.shape), contiguous(dt.int32, (*batch, min(m, n)))
        plan = learnt(None, _lus, key, "lu", outs, (key,), (1,), "torch.linalg.lu_factor")
    LU, pivots = door.run(plan, A)
    if wants_grad(A):
        rule = lambda g, g_pivots, *saved: _lu_rule(g, g_pivots, None, *saved)  # noqa: E731
        record_several(
            (LU, pivots), "LinalgLuFactorExBackward0", rule, (A,), (A, LU, pivots), (True, False)
        )
    return written(name, out, LuFactor(LU, pivots))


_lus: dict = {}


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
    if m > k:
        return _permutation(pivots, m, g._layout.dtype) @ to_a
    return _permuted(pivots, to_a, True)


def _permuted(pivots, X, forth):
    """P X, or P^T X unless `forth`, for P (..., m, m) of m pivots: as the system with the matrix P."""
    m = X._layout.shape[-2]
    return _lu_solve(identity(X, m), pivots, X, adjoint=forth)


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
    recorded = data and wants_grad(LU)
    known = _unpacked(LU, pivots, data and not recorded, permutation)
    if known is None:
        P = _permutation(pivots, m, LU._layout.dtype) if permutation else nothing(LU)
    elif not recorded:
        return tuple([nothing(LU) if t is None else t for t in known])
    else:
        P = known[0]
    if not data:
        return P, nothing(LU), nothing(LU)
    return P, LU[..., :k].tril(-1) + identity(LU, m, k), LU[..., :k, :].triu()


_unpacks: dict = {}


def _unpacked(LU, pivots, data, permutation):
    """P, L and U, outside of the graph, None for what is not wanted; None where the kernel cannot do it."""
    key = LU._layout, layout_of(pivots), data, permutation
    plan = _unpacks.get(key)
    if plan is None:
        lay, lay_of_pivots = key[:2]
        if type(lay) is not Layout or (permutation and type(lay_of_pivots) is not Layout):
            return None
        (*batch, m, n), k = lay.shape, min(lay.shape[-2:])
        if not (data or permutation) or not lay.numel or lay.strides[-1] != 1:
            return None
        if permutation and tuple(lay_of_pivots.shape) != (*batch, k):
            return None
        outs = (
            contiguous(lay.dtype, (*batch, m, m)) if permutation else None,
            contiguous(lay.dtype, (*batch, m, k)) if data else None,
            contiguous(lay.dtype, (*batch, k, n)) if data else None,
        )
        lays = lay, lay_of_pivots if permutation else None
        plan = learnt(None, _unpacks, key, "lu_unpack", outs, lays, name="lu_unpack")
    return door.run(plan, LU, pivots if permutation else None)


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """X with A X = B (X A = B unless `left`; A^T for A with `adjoint`), from `lu_factor` of A (..., n, n)."""
    name = "linalg.lu_solve"
    known = layout_of(LU), layout_of(pivots), layout_of(B), left, adjoint
    if known not in _lu_solves or not left:
        need_matrix(name, LU, B, square=True)
        need_pivots(name, LU, pivots)
        _fits(name, LU, B, left)
        n = LU._layout.shape[-1]
        LU, B = batched(name, LU, B)
        pivots = pivots.expand((*LU._layout.shape[:-2], n))
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


_lu_solves: dict = {}


def _lu_solve(LU, pivots, B, left=True, adjoint=False):
    """`lu_solve` for equal batches."""
    if not left:
        return _lu_solve(LU, pivots, B.mT, True, not adjoint).mT
    key = LU._layout, pivots._layout, B._layout, True, adjoint
    plan = _lu_solves.get(key)
    if plan is None:
        lays = key[:3]
        out = contiguous(lays[2].dtype, (*lays[0].shape[:-2], *lays[2].shape[-2:]))
        name = "linalg.lu_solve"
        plan = learnt(None, _lu_solves, key, "lu_solve", (out,), lays, (int(adjoint),), name)
    X = door.run(plan, LU, pivots, B)
    if not wants_grad(LU, B):
        return X

    def rule(g, LU, pivots, X):
        """With A = P L U: L and U have the gradients P^T gA U^T and L^T P^T gA, gA = -gB X^T (adjoint: -X gB^T)."""
        upper, transposed = LU.triu(), LU.mT
        if adjoint:
            half = solve_triangle(LU, _permuted(pivots, g, False), False, True)
            to_b = solve_triangle(LU, half, True, False)
            x = _permuted(pivots, X, False)
            in_l, in_u = (x, half), ((LU.tril(-1).mT @ x + x), to_b)
        else:
            half = solve_triangle(transposed, g, False, False)
            turned = solve_triangle(transposed, half, True, True)
            to_b = _permuted(pivots, turned, True)
            in_l, in_u = (turned, upper @ X), (half, X)
        return minus_outer(*in_l).tril(-1) + minus_outer(*in_u).triu(), to_b

    def rule_of_b(g, LU, pivots):
        return _lu_solve(LU, pivots, g, True, not adjoint)

    name = "LinalgLuSolveBackward0"
    if wants_grad(LU):
        return record(X, name, rule, (LU, B), (LU, pivots, None), own=2)
    return record(X, name, rule_of_b, (B,), (LU, pivots))


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
    return _solved(A, B, False)


def _solved(A, B, checked):
    """A^-1 B and info; `checked`: raises where A is singular."""
    n = A._layout.shape[-1]
    X, LU, pivots, info = call(
        "solve", A, (B._layout.shape[-2:], (n, n), ("int", n), ("int",)), (A, B), (int(checked),),
        "torch.linalg.solve",
    )  # fmt: skip
    if not wants_grad(A, B):
        return X, info

    def rule(g, A, X, LU, pivots):
        to_b = (
            solve_matrices(A.mT, g)[0] if mode.enabled else _lu_solve(LU, pivots, g, adjoint=True)
        )
        return minus_outer(to_b, X), to_b

    return record(X, "LinalgSolveExBackward0", rule, (A, B), (A, None, LU, pivots), own=1), info


SMALL = 16  # matrices that are taken apart again for the gradient: it is quicker than to keep their factors

_solves: dict = {}


def _solve_anew(A, B):
    """`solve` of matrices of equal batches, checked."""
    key = layout_of(A), layout_of(B)
    plan = _solves.get(key)
    if plan is None:
        name = "linalg.solve"
        need_matrix(name, A, square=True, complex_too=True)
        if (
            layout_of(B) is None
            or B._layout.dtype is not A._layout.dtype
            or A._layout.dtype.is_complex
            or B._layout.ndim != A._layout.ndim
            or A._layout.shape[:-1] != B._layout.shape[:-1]
            or is_vector(A, B)
        ):
            return _solve_any(A, B, True)
        if (
            A._layout.shape[-1] > SMALL
            or type(A._layout) is not Layout
            or type(B._layout) is not Layout
        ):
            return _solved(A, B, True)[0]
        out = contiguous(key[0].dtype, key[1].shape)
        plan = learnt(_solve, _solves, key, "solve", (out,), key, (1,), "torch.linalg.solve")
    return record_by(_solve_recipe, plan, door.run(plan, A, B), (A, B))


def _solve_rule(g, A, X):
    to_b = _unchecked(A.mT, g)
    return minus_outer(to_b, X), to_b


def _unchecked(A, B):
    return solve_matrices(A, B)[0]


def _solve_recipe(plan, choice):
    return "LinalgSolveExBackward0", _solve_rule, (0, RESULT), 1


_solve = door.quick(_solve_anew, _solve_recipe, 2)


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """(result, info) of `solve`, which raises only with `check_errors`; info is the first zero pivot of A, or 0."""
    X, info = _solve_with_info(A, B, left, check_errors)
    return written("linalg.solve", out, SolveEx(X, info))


def _solve_any(A, B, left):
    """`solve`, whatever its arguments."""
    return _solve_with_info(A, B, left, True)[0]


def _solve_with_info(A, B, left, checked):
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
    if not left:
        a, b = a.mT, b.mT
    if a._layout.dtype.is_complex:
        X, info = _complex.solve(a, b)
        if checked:
            raise_for("torch.linalg.solve", info)
    else:
        X, info = _solved(a, b, checked)
    X = X if left else X.mT
    return (X.squeeze(-1) if vector else X), info


def solve(A, B, *, left=True, out=None):
    """X with A X = B (X A = B unless `left`): A (..., n, n), B (..., n, k), or vectors (n) or (..., n).

    Batches broadcast. Raises LinAlgError where A is singular."""
    if left:
        return _solve(A, B) if out is None else written("linalg.solve", out, _solve(A, B))
    return written("linalg.solve", out, _solve_any(A, B, False))


def inv_ex(A, *, check_errors=False, out=None):
    """(inverse, info) of A (..., n, n): info is the first zero pivot, or 0; then the inverse means nothing."""
    name = "linalg.inv"
    need_matrix(name, A, square=True, complex_too=True)
    result, info = _complex.inv(A) if A._layout.dtype.is_complex else _inv(A)
    if check_errors:
        _check_inv(info)
    return written(name, out, InvEx(result, info))


def _inv(A):
    n = A._layout.shape[-1]
    result, _, _, info = call("solve", A, ((n, n), None, None, ("int",)), (A, None), (0,))
    record(result, "LinalgInvExBackward0", _inv_rule, (A,), (None,), own=0)
    return result, info


def _inv_rule(g, y):
    return -(y.mT @ g @ y.mT)


_inverses: dict = {}


def _inv_anew(A):
    key = layout_of(A)
    plan = _inverses.get(key)
    if plan is None:
        need_matrix("linalg.inv", A, square=True, complex_too=True)
        if key.dtype.is_complex:
            result, info = _complex.inv(A)
            _check_inv(info)
            return result
        out = contiguous(key.dtype, key.shape)
        plan = learnt(_inverse, _inverses, key, "solve", (out,), (key, None), (1,), "linalg.inv")
    return record_by(_inv_recipe, plan, door.run(plan, A, None), (A,))


def _inv_recipe(plan, choice):
    return "LinalgInvExBackward0", _inv_rule, (RESULT,), 0


_inverse = door.quick(_inv_anew, _inv_recipe, 1)


def _check_inv(info):
    raise_for("linalg.inv", info)


def inv(A, *, out=None):
    """The inverses of A (..., n, n). Raises LinAlgError where A is singular. For A^-1 B, `solve` is better."""
    return _inverse(A) if out is None else written("linalg.inv", out, _inverse(A))


# ---------------------------------------------------------------------- determinants


_determinants: dict = {}


def det(A, *, out=None):
    """The determinants of A (..., n, n): (...)."""
    return _det(A) if out is None else written("linalg.det", out, _det(A))


def _det_anew(A):
    key = layout_of(A)
    plan = _determinants.get(key)
    if plan is None:
        need_matrix("linalg.det", A, square=True, complex_too=True)
        if key.dtype.is_complex:
            return _complex.det(A)
        out = contiguous(key.dtype, key.shape[:-2])
        plan = learnt(_det, _determinants, key, "det", (out,), (key,))
    return record_by(_det_recipe, plan, door.run(plan, A), (A,))


def _det_recipe(plan, choice):
    return "LinalgDetBackward0", _det_rule, (0, RESULT), 1


_det = door.quick(_det_anew, _det_recipe, 1)


def _det_rule(g, A, y):
    """g det(A) A^-T; where a matrix is singular, its cofactors."""
    inverse, info = _inv(A)
    if bool(every_member(info).any()):
        return g.unsqueeze(-1).unsqueeze(-1) * _cofactors(A)
    return (g * y).unsqueeze(-1).unsqueeze(-1) * inverse.mT


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
    plan = _logarithms.get(layout_of(A))
    if plan is None:
        need_matrix("linalg.slogdet", A, square=True, complex_too=True)
        if A._layout.dtype.is_complex:
            return written("linalg.slogdet", out, Slogdet(*_complex.slogdet(A)))
        lay = contiguous(A._layout.dtype, A._layout.shape[:-2])
        plan = learnt(None, _logarithms, A._layout, "slogdet", (lay, lay), (A._layout,))
    sign, size = record_several(
        door.run(plan, A), "LinalgSlogdetBackward0", _slogdet_rule, (A,), (A,)
    )
    return written("linalg.slogdet", out, Slogdet(sign, size))


_logarithms: dict = {}


def _slogdet_rule(g_sign, g, A):
    if g is None:  # the sign is flat
        return g_sign.unsqueeze(-1).unsqueeze(-1) * A * 0
    return g.unsqueeze(-1).unsqueeze(-1) * _inv(A)[0].mT


# ---------------------------------------------------------------------- Cholesky


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """(L, info) of A (..., n, n) = L L^H, of which the lower triangle is read (with `upper`: U^H U, the upper one).

    info: the order of the first leading minor that is not positive, or 0."""
    name = "linalg.cholesky"
    need_matrix(name, A, square=True, complex_too=True)
    factor, info = (_complex.cholesky if A._layout.dtype.is_complex else _cholesky)(A, upper)
    if check_errors:
        raise_for(name, info)
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


_factors: dict = {}
_old_factors: dict = {}  # for `dlgrad.cholesky`


def _cholesky_anew(A, name="linalg.cholesky"):
    key = layout_of(A)
    plan = _factors.get(key) if name == "linalg.cholesky" else None
    if plan is None:
        need_matrix(name, A, square=True, complex_too=True)
        if name == "cholesky" and not key.dtype.is_complex:
            outs = (contiguous(key.dtype, key.shape),)
            learnt(None, _old_factors, key, "cholesky", outs, (key,), (1,), name)
        if key.dtype.is_complex or name != "linalg.cholesky":
            factor, info = (_complex.cholesky if key.dtype.is_complex else _cholesky)(A, False)
            raise_for(name, info)
            return factor
        out = contiguous(key.dtype, key.shape)
        plan = learnt(_factor, _factors, key, "cholesky", (out,), (key,), (1,), name)
    return record_by(_cholesky_recipe, plan, door.run(plan, A), (A,))


def _cholesky_recipe(plan, choice):
    return "LinalgCholeskyExBackward0", _cholesky_rule, (RESULT,), 0


_factor = door.quick(_cholesky_anew, _cholesky_recipe, 1)


def cholesky(A, *, upper=False, out=None, name="linalg.cholesky"):
    """L (..., n, n), lower triangular, with A = L L^H (with `upper`: U with A = U^H U).

    Raises LinAlgError where A is not positive definite. Symmetry is not checked: one triangle is read."""
    if not upper and name == "linalg.cholesky":
        return _factor(A) if out is None else written(name, out, _factor(A))
    if not upper:
        plan = None if wants_grad(A) else _old_factors.get(layout_of(A))
        L = _cholesky_anew(A, name) if plan is None else door.run(plan, A)
        return written(name, out, L)
    L, info = cholesky_ex(A, upper=True)
    raise_for(name, info)
    return written(name, out, L)
