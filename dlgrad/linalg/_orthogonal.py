"""Orthogonal factors: QR by Householder reflections, products of reflections, least squares."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, record_several, wants_grad
from ..autograd.mode import mode, no_grad
from ..batched import every_member
from ..layout import contiguous
from ..ops import cat, full, zeros
from ..tensor import Tensor
from . import _complex
from ._base import (
    LinAlgError,
    batched,
    call,
    identity,
    layout_of,
    learnt,
    need_matrix,
    nothing,
    result_type,
    undifferentiable,
    written,
)
from ._solve import is_vector, solve_triangle

Qr = result_type("linalg_qr", ("Q", "R"))
Geqrf = result_type("geqrf", ("a", "tau"))
Lstsq = result_type("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))

_MODES = ("reduced", "complete", "r")


_geqrfs: dict = {}


def _geqrf(A):
    key = A._layout
    plan = _geqrfs.get(key)
    if plan is None:
        (*batch, m, n), dtype = key.shape, key.dtype
        outs = contiguous(dtype, (*batch, m, n)), contiguous(dtype, (*batch, min(m, n)))
        plan = learnt(None, _geqrfs, key, "geqrf", outs, (key,))
    return door.run(plan, A)


def _reflect(C, a, tau, transposed=False):
    """Q C, or Q^T C, for the Q of `geqrf`; equal batches, in no graph."""
    key = C._layout, a._layout, tau._layout, transposed
    plan = _reflections.get(key)
    if plan is None:
        out = contiguous(key[0].dtype, key[0].shape)
        plan = learnt(None, _reflections, key, "reflect", (out,), key[:3], (int(transposed),))
    return door.run(plan, C, a, tau)


_reflections: dict = {}


def qr(A, mode="reduced", *, out=None):
    """(Q, R) with A (..., m, n) = Q R, R upper triangular, its diagonal signed as Householder reflections leave it.

    mode "reduced": Q (..., m, k), R (..., k, n), k = min(m, n); "complete": Q (..., m, m), R (..., m, n); "r": R as
    in "reduced", and an empty Q. Not differentiable in the mode "r", nor in "complete" where m > n."""
    key = layout_of(A), mode
    plan = _plans.get(key)
    if plan is None:
        need_matrix("linalg.qr", A, complex_too=True)
        if mode not in _MODES:
            raise RuntimeError(
                f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
            )
        lay = A._layout
        if lay.dtype.is_complex:
            return written("linalg.qr", out, Qr(*_complex.qr(A, mode)))
        *batch, m, n = lay.shape
        rows = m if mode == "complete" else min(m, n)
        q = None if mode == "r" else contiguous(lay.dtype, (*batch, m, rows))
        outs = (q, contiguous(lay.dtype, (*batch, rows, n)))
        plan = learnt(None, _plans, key, "qr", outs, (lay,))
    Q, R = door.run(plan, A)
    Q = nothing(A) if Q is None else Q
    if wants_grad(A):
        rule = lambda *args: _qr_rule(mode, *args)  # noqa: E731
        record_several((Q, R), "LinalgQrBackward0", rule, (A,), (A, Q, R))
    return written("linalg.qr", out, Qr(Q, R))


_plans: dict = {}


def need_differentiable(how, m, n):
    """Raises for the modes of `qr` whose results determine no gradient."""
    if how == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') "
            "if you are going to require gradients through QR"
        )
    if how == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )


def _qr_rule(how, gQ, gR, A, Q, R):
    """(gQ + Q sym(M)) R^-T, M = R gR^T - gQ^T Q, of which sym takes the lower triangle (Walter and Lehmann 2012). A
    wide A = [X Y] has R = [U V], and Y = Q V."""
    m, n = A._layout.shape[-2:]
    need_differentiable(how, m, n)
    if mode.enabled:
        Q, R = qr(A, how)  # (with their history)
    k = min(m, n)
    gQ = zeros(tuple(Q._layout.shape), dtype=Q._layout.dtype) if gQ is None else gQ
    gR = zeros(tuple(R._layout.shape), dtype=R._layout.dtype) if gR is None else gR
    rest = None
    if n > m:
        rest = Q @ gR[..., k:]
        gQ = gQ + A[..., k:] @ gR[..., k:].mT
        R, gR = R[..., :k], gR[..., :k]
    M = R @ gR.mT - gQ.mT @ Q
    inner = gQ + Q @ (M.tril() + M.tril(-1).mT)
    to_a = solve_triangle(R, inner.mT, True, False).mT
    return to_a if rest is None else cat((to_a, rest), -1)


# ---------------------------------------------------------------------- products of reflections


def geqrf(input, *, out=None):
    """(a, tau): R on and above the diagonal of a (..., m, n), below it the vectors of the reflections whose product is
    Q, and their factors tau (..., min(m, n)). LAPACK's geqrf. Not differentiable: see `linalg.qr`."""
    if layout_of(input) not in _geqrfs:
        need_matrix("geqrf", input)
    a, tau = _geqrf(input)
    if wants_grad(input):
        record_several((a, tau), "GeqrfBackward0", undifferentiable("geqrf"), (input,))
    return written("geqrf", out, Geqrf(a, tau))


def _need_reflections(name, a, tau):
    need_matrix(name, a)
    m, n = a._layout.shape[-2:]
    if m < n:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1], got shape {list(a.shape)}"
        )
    if not isinstance(tau, Tensor):
        raise TypeError(f"{name}(): argument 'tau' must be Tensor, not {type(tau).__name__}")
    lay = tau._layout
    if lay.dtype is not a._layout.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {lay.dtype.name} does not match input dtype {a._layout.dtype.name}"
        )
    if lay.ndim != a._layout.ndim - 1 or lay.shape[:-1] != a._layout.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input and its batch dimensions, got shapes {list(tau.shape)} and "
            f"{list(a.shape)}"
        )
    if lay.shape[-1] > n:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1], got {n} and {lay.shape[-1]}"
        )


def _reflect_composed(C, a, tau, transposed):
    """`_reflect` by operations that know their derivatives: C - tau v (v^T C) for each reflection."""
    m = a._layout.shape[-2]
    vectors = a.tril(-1) + identity(a, m, a._layout.shape[-1])
    steps = range(tau._layout.shape[-1])
    for i in steps if transposed else reversed(steps):
        v = vectors[..., i : i + 1]
        C = C - tau[..., i : i + 1].unsqueeze(-1) * (v @ (v.mT @ C))
    return C


def householder_product(input, tau, *, out=None):
    """The first n columns (..., m, n) of the product of the reflections in `input` (..., m, n) and tau (..., k), as
    `geqrf` gives them: Q of the QR decomposition."""
    name = "torch.linalg.householder_product"
    _need_reflections(name, input, tau)
    C = identity(input, *input._layout.shape[-2:])
    if wants_grad(input, tau):
        return written(name, out, _reflect_composed(C, input, tau, False))
    return written(name, out, _reflect(C, input, tau))


_ormqrs: dict = {}  # the layouts that were checked before


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """Q other, or other Q unless `left`, with Q (m, m) the product of the reflections in `input` (..., m, n), tau
    (..., k); Q^T for Q with `transpose`."""
    name = "torch.ormqr"
    known = layout_of(other), layout_of(input), layout_of(tau), transpose
    if left and known in _ormqrs and not wants_grad(input, tau, other):
        return written(name, out, _reflect(other, input, tau, transpose))
    need_matrix(name, input, other)
    m, dim = input._layout.shape[-2], -2 if left else -1
    if other._layout.shape[dim] != m:
        raise RuntimeError(
            f"{name}: other.shape[{dim}] must be equal to input.shape[-2], got {other._layout.shape[dim]} and {m}"
        )
    if input._layout.shape[-1] < tau._layout.shape[-1] or tau._layout.shape[-1] > m:
        raise RuntimeError(
            f"{name}: tau.shape[-1] must be at most input.shape[-1] and input.shape[-2], got tau {list(tau.shape)}, input {list(input.shape)}"
        )
    if (
        input._layout.shape[:-2] != other._layout.shape[:-2]
        or input._layout.shape[:-2] != tau._layout.shape[:-1]
    ):
        raise RuntimeError(
            f"{name}: batch dimensions of input, tau and other should be equal, got shapes {list(input.shape)}, {list(tau.shape)}, "
            f"{list(other.shape)}"
        )
    apply = _reflect_composed if wants_grad(input, tau, other) else _reflect
    if left:
        door.remember(_ormqrs, known, True)
        return written(name, out, apply(other, input, tau, transpose))
    return written(name, out, apply(other.mT, input, tau, not transpose).mT)


# ---------------------------------------------------------------------- least squares

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values): X of the smallest ||A X - B||, of those the smallest.

    A (..., m, n), B (..., m, k) or vectors (..., m); batches broadcast. Singular values below rcond (eps max(m, n))
    times the largest count as 0. driver "gels" takes A to have full rank and uses QR; "gelsy" (used unless given),
    "gelsd" and "gelss" use the singular values. residuals (..., k): the squared norms where m > n and A has full
    rank, empty otherwise and for "gelsy". rank and singular_values are empty where the driver does not give them."""
    name = "torch.linalg.lstsq"
    if rcond is None and driver is None:
        ready = _ready.get((layout_of(A), layout_of(B)))
        if ready is not None and (X := full_rank(A, B, ready)) is not None:
            return _fitted(X, A, B, ready)
    need_matrix(name, A)
    if not isinstance(B, Tensor):
        raise TypeError(f"{name}(): expected a Tensor, got {type(B).__name__}")
    driver = "gelsy" if driver is None else driver
    if driver not in _DRIVERS:
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    if not B._layout.ndim:
        raise RuntimeError(f"{name}: input `B` must have at least 1 dimension")
    vector = is_vector(A, B)
    right = B.unsqueeze(-1) if vector else B
    need_matrix(name, A, right)
    (m, n), rows = A._layout.shape[-2:], right._layout.shape[-2]
    if rows != m:
        raise RuntimeError(
            f"{name}: input.size(-2) should match other.size(-{1 if vector else 2}), got {m} and {rows}"
        )
    given = rcond
    if given is None:
        rcond = dt.finfo(A._layout.dtype).eps * max(m, n)
    A, right = batched(name, A, right)
    X = full_rank(A, right, rcond) if driver == "gelsy" and A._layout.numel else None
    if X is not None:
        if given is None and B is right:
            door.remember(_ready, (A._layout, B._layout), rcond)
        result = _fitted(X, A, right, rcond)
        return Lstsq(result.solution.squeeze(-1), *result[1:]) if vector else result
    rank, values, whole = _rank_of(A, rcond, driver)
    X = _least_squares(A, right, rcond, driver)
    residuals = _no_residuals(A)
    if driver != "gelsy" and m > n and whole:
        residuals = (A @ X - right).square().sum(-2)
        residuals = residuals.squeeze(-1) if vector else residuals
    return Lstsq(X.squeeze(-1) if vector else X, residuals, rank, values)


_ready: dict = {}  # the thresholds of what was checked before


def _no_residuals(A):
    """An empty tensor, in the graph if A is, as PyTorch's."""
    return A.reshape(-1)[:0].clone() if wants_grad(A) else nothing(A)


def _fitted(X, A, B, rcond):
    """What `lstsq` gives where A has full rank."""
    *batch, m, n = A._layout.shape
    rank = full(tuple(batch), min(m, n), dtype=dt.int64)
    return Lstsq(_recorded_fit(X, A, B, rcond), _no_residuals(A), rank, nothing(A))


def _rank_of(A, rcond, driver):
    """The ranks and singular values as the driver gives them, and whether all ranks are full."""
    from ._spectral import svdvals

    if driver == "gels":
        return nothing(A, dt.int64), nothing(A), True
    S = svdvals(A.detach())
    rank = (S > rcond * S[..., :1]).sum(-1)
    full = not rank._layout.numel or every_member(rank).min().item() == S._layout.shape[-1]
    return rank, nothing(A) if driver == "gelsy" else S, full


_fits: dict = {}


def full_rank(A, B, rcond):
    """X (..., n, k) of the smallest ||A X - B||, by QR, for equal batches; outside of the graph. None unless it is sure
    that A (..., m, n), m >= n, has no singular values up to rcond times the largest."""
    key = A._layout, B._layout, rcond
    plan = _fits.get(key)
    if plan is None:
        (*batch, m, n), dtype = A._layout.shape, A._layout.dtype
        if m < n and m and not dtype.is_complex and every_member(condition(A)).max().item() * rcond < 1:
            with no_grad():
                return _by_qr(A, B)
        if m < n or not n or dtype.is_complex:
            return None
        out = contiguous(dtype, (*batch, n, B._layout.shape[-1]))
        most = (1.0 / rcond if rcond > 0 else math.inf,)
        plan = learnt(None, _fits, key, "lstsq", (out,), key[:2], (), "torch.linalg.lstsq", most)
    try:
        return door.run(plan, A, B)
    except LinAlgError:
        return None


@door.memo
def condition(A):
    """An upper bound (...) of the condition numbers of real A (..., m, n), not far off where it is small: by QR."""
    if A._layout.shape[-2] < A._layout.shape[-1]:
        A = A.mT
    return call("lstsq", A, (None, ()), (A, None))[1]


def _least_squares(A, B, rcond, driver):
    """The solution, with derivatives by way of the pseudoinverse: X = A^+ B."""
    from ._spectral import pinv

    with no_grad():
        if driver == "gels":
            X = _by_qr(A, B)
        else:
            X = pinv(A, rtol=rcond) @ B
    return _recorded_fit(X, A, B, rcond)


def _recorded_fit(X, A, B, rcond):
    from ._spectral import pinv, pinv_rule

    if not wants_grad(A, B):
        return X

    def rule(g, A, B):
        P = pinv(A, rtol=rcond)
        return pinv_rule(g @ B.mT, A, P), P.mT @ g

    return record(X, "LinalgLstsqBackward0", rule, (A, B), (A, B))


@door.memo
def _by_qr(A, B):
    """A of full rank: R^-1 Q^T B, or for a wide A, with A^T = Q R, Q R^-T B."""
    m, n = A._layout.shape[-2:]
    k = min(m, n)
    a, tau = _geqrf(A if m >= n else A.mT)
    R = a[..., :k, :k]
    if m >= n:
        return solve_triangle(R, _reflect(B, a, tau, True)[..., :k, :], True, False)
    X = solve_triangle(R.mT, B, False, False)
    below = zeros((*X._layout.shape[:-2], n - k, X._layout.shape[-1]), dtype=X._layout.dtype)
    return _reflect(cat((X, below), -2), a, tau)
