"""Eigenvalues and vectors of matrices without symmetry: complex numbers."""

from __future__ import annotations

from ..autograd.graph import record_several, wants_grad
from ..autograd.mode import mode
from ..ops import view_as_complex
from . import _complex
from ._base import call, identity, need_matrix, raise_for, result_type, written

Eig = result_type("linalg_eig", ("eigenvalues", "eigenvectors"))


def _eig(name, A, vectors):
    need_matrix(name, A, square=True)
    n = A._layout.shape[-1]
    L, V, info = call("eig", A, ((n, 2), (n, 2 * n) if vectors else None, ("int",)), (A,))
    raise_for(name, info, _not_converged)
    if vectors:
        V = view_as_complex(V.reshape((*A._layout.shape, 2)))
    return view_as_complex(L), V


def _not_converged(value):
    if value < 0:
        return "input tensor should not contain infs or NaNs."
    return f"The algorithm failed to converge (error code: {value})."


def eig(A, *, out=None):
    """(eigenvalues, eigenvectors), complex, of A (..., n, n): values (..., n) in no particular order, the vectors the
    columns of (..., n, n), of length 1.

    Raises LinAlgError where A is not finite. Vectors are defined up to a factor of absolute value 1 (and more where
    values repeat): only functions that don't depend on it have a gradient. For symmetric matrices `eigh` is better."""
    L, V = _eig("linalg.eig", A, True)
    record_several((L, V), "LinalgEigBackward0", _eig_rule, (A,), (A, L, V), (True, True))
    return written("linalg.eig", out, Eig(L, V))


def _eig_rule(gL, gV, A, L, V):
    """V^-H (diag gL + (V^H gV - V^H V diag(Re V^H gV)) / E^H) V^H, E_ij = L_j - L_i (Boeddeker et al. 2017)."""
    if mode.enabled:
        L, V = eig(A)  # with their history
    Vh = V.mH
    one = identity(A, A._layout.shape[-1])
    inner = 0.0 if gL is None else gL.unsqueeze(-1) * one
    if gV is not None:
        x = Vh @ gV
        x = x - Vh @ (V * x.diagonal(0, -2, -1).real.unsqueeze(-2))
        E = (L.unsqueeze(-2) - L.unsqueeze(-1)).conj() + one
        inner = inner + x / E * (1 - one)
    return _complex.solve(Vh, inner @ Vh)[0].real


def eigvals(A, *, out=None):
    """The eigenvalues (..., n), complex, of A (..., n, n)."""
    if wants_grad(A):
        return written("linalg.eigvals", out, eig(A).eigenvalues)
    return written("linalg.eigvals", out, _eig("linalg.eigvals", A, False)[0])
