"""Systems whose matrix is symmetric, but not necessarily definite: L D L^T."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, record_several
from ..batched import every_member
from ..ops.reduce import aminmax
from ..tensor import Tensor
from ._base import batched, call, need_matrix, raise_for, result_type, undifferentiable, written

LdlFactor = result_type("linalg_ldl_factor", ("LD", "pivots"))
LdlFactorEx = result_type("linalg_ldl_factor_ex", ("LD", "pivots", "info"))


def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """(LD, pivots, info) of symmetric A (..., n, n), of which the lower triangle is read: A = L D L^T with exchanges of
    rows and columns, as LAPACK's sytrf gives it. D has blocks of 1 and 2; info is the first one that is zero, or 0.

    Not differentiable. `hermitian` makes no difference to real matrices."""
    name = "torch.linalg.ldl_factor_ex"
    need_matrix(name, A, square=True)
    n = A._layout.shape[-1]
    LD, pivots, info = call("ldl", A, ((n, n), ("int", n), ("int",)), (A,))
    if check_errors:
        _check("torch.linalg.ldl_factor_ex", info)
    record_several(
        (LD, pivots, info),
        "LinalgLdlFactorExBackward0",
        undifferentiable("linalg_ldl_factor_ex"),
        (A,),
    )
    return written(name, out, LdlFactorEx(LD, pivots, info))


def _check(name, info):
    raise_for(name, info, lambda i: f"The block {i} of D is zero: the input matrix is singular.")


def ldl_factor(A, *, hermitian=False, out=None):
    """(LD, pivots) of symmetric A (..., n, n): see `ldl_factor_ex`. Raises LinAlgError where a block of D is zero."""
    LD, pivots, info = ldl_factor_ex(A, hermitian=hermitian)
    _check("torch.linalg.ldl_factor", info)
    return written("torch.linalg.ldl_factor", out, LdlFactor(LD, pivots))


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """X with A X = B (..., n, k), from `ldl_factor` of A (..., n, n). Batches broadcast. Not differentiable."""
    name = "torch.linalg.ldl_solve"
    need_matrix(name, LD, B, square=True)
    n, rows = LD._layout.shape[-1], B._layout.shape[-2]
    if n != rows:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {rows} by {B._layout.shape[-1]}"
        )
    if not isinstance(pivots, Tensor) or pivots._layout.shape != LD._layout.shape[:-1]:
        shape = list(pivots.shape) if isinstance(pivots, Tensor) else type(pivots).__name__
        raise RuntimeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {shape} instead"
        )
    if pivots._layout.dtype not in (dt.int32, dt.int64):
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {pivots.dtype.name}")
    if pivots._layout.numel:
        low, high = aminmax(every_member(pivots.abs()))
        if low.item() < 1 or high.item() > n:
            raise RuntimeError(f"{name}: pivots must lie between 1 and {n}, or between -{n} and -1")
    return written(name, out, _ldl_solve(name, LD, pivots, B))


@door.memo
def _ldl_solve(name, LD, pivots, B):
    LD, B = batched(name, LD, B)
    pivots = pivots.to(dt.int32).expand(LD._layout.shape[:-1])
    X = call("ldl_solve", LD, (tuple(B._layout.shape[-2:]),), (LD, pivots, B))
    return record(X, "LinalgLdlSolveBackward0", undifferentiable("linalg_ldl_solve"), (LD, B))
