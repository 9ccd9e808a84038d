"""Parametrizations of weights: weight norm, spectral norm, orthogonal matrices."""

from __future__ import annotations

from enum import Enum, auto

import dlgrad
from dlgrad import Tensor

from .. import functional as F  # noqa: N812
from ..module import Module
from . import parametrize
from .spectral_norm import as_matrix, output_dim
from .weight_norm import norm_except_dim, normed_weight

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module, name):
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ---------------------------------------------------------------------- weight norm


class _WeightNorm(Module):
    """(g, v) -> g v / |v|."""

    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return normed_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    """Parametrizes the weight by a magnitude g and a direction v: w = g v / |v|, with a norm for
    each slice along `dim` (None: one norm for all).

    g and v are `parametrizations.<name>.original0` and `.original1`. State dicts of the older
    `utils.weight_norm` load as well.

    Salimans and Kingma, arXiv 1602.07868. Returns the module.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def take_older_names(state_dict, prefix, *_):
        g, v = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if g in state_dict and v in state_dict:
            state_dict[f"{prefix}parametrizations.{name}.original0"] = state_dict.pop(g)
            state_dict[f"{prefix}parametrizations.{name}.original1"] = state_dict.pop(v)

    module._register_load_state_dict_pre_hook(take_older_names)
    return module


# ---------------------------------------------------------------------- spectral norm


class _SpectralNorm(Module):
    """W -> W / (u^T W v), where u and v come near the first singular vectors by power iteration."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{ndim}, {ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but "
                f"got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:  # a vector is just normalized
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            height, width = matrix.size()
            u = matrix.new_empty(height).normal_(0, 1)
            v = matrix.new_empty(width).normal_(0, 1)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._power_method(matrix, 15)

    @dlgrad.no_grad()
    def _power_method(self, matrix, n_power_iterations):
        for _ in range(n_power_iterations):
            self._u.copy_(F.normalize(matrix.mv(self._v), dim=0, eps=self.eps))
            self._v.copy_(F.normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight):
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # Two forward passes before a backward pass: the first one's vectors must stay.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Parametrizes the weight by one that it divides by its largest singular value.

    The weight is taken as a matrix with one row for each index of `dim` (None: the outputs). In
    training mode each use makes `n_power_iterations` iterations towards the singular vectors, which
    are buffers.

    Miyato et al., arXiv 1802.05957. Returns the module. Raises ValueError for a name that is no
    tensor of the module, IndexError for a `dim` that it doesn't have.
    """
    weight = _tensor_of(module, name)
    dim = output_dim(module) if dim is None else dim
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, norm)
    return module


# ---------------------------------------------------------------------- orthogonal matrices


class _OrthMaps(Enum):
    matrix_exp = auto()
    cayley = auto()
    householder = auto()


def _is_orthogonal(q):
    n, k = q.size(-2), q.size(-1)
    tolerance = 10.0 * n * dlgrad.finfo(q.dtype).eps
    return dlgrad.allclose(q.mT @ q, dlgrad.eye(k, dtype=q.dtype), atol=tolerance)


def _make_orthogonal(a):
    """The Q of a = QR with a diagonal of R that is not negative, for tall matrices."""
    x, tau = dlgrad.geqrf(a)
    q = dlgrad.linalg.householder_product(x, tau)
    return q * x.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """X -> Q, orthonormal columns (rows, for a wide matrix) from any matrix of the same shape."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X):  # noqa: N803
        wide = X.size(-2) < X.size(-1)
        if wide:
            X = X.mT
        by_reflections = self.orthogonal_map is _OrthMaps.householder
        q = self._reflected(X) if by_reflections else self._exponential(X)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _exponential(self, x):
        """exp(A), or Cayley's (I + A/2) (I - A/2)^-1, of the skew-symmetric A below x."""
        n, k = x.size(-2), x.size(-1)
        x = x.tril()
        if n != k:
            x = dlgrad.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], dim=-1)
        a = x - x.mT
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            q = dlgrad.matrix_exp(a)
        else:
            one = dlgrad.eye(n, dtype=a.dtype)
            q = dlgrad.linalg.solve(dlgrad.add(one, a, alpha=-0.5), dlgrad.add(one, a, alpha=0.5))
        return q[..., :k] if n != k else q

    def _reflected(self, x):
        a = x.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (a * a).sum(dim=-2))
        q = dlgrad.linalg.householder_product(a, tau)
        # The diagonal holds signs; int() keeps them out of the gradient.
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    @dlgrad.no_grad()
    def right_inverse(self, Q):  # noqa: N803
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. "
                f"Got a tensor of shape {Q.shape}."
            )
        wide = Q.size(-2) < Q.size(-1)
        q = Q.mT if wide else Q
        if not hasattr(self, "base"):
            return self._reflectors(q, wide)
        n, k = q.size(-2), q.size(-1)
        if n != k:  # complete it to a square matrix
            rest = dlgrad.randn(*q.shape[:-2], n, n - k, dtype=q.dtype)
            q = _make_orthogonal(dlgrad.cat([q, rest], dim=-1))
        else:
            q = q.clone() if _is_orthogonal(q) else _make_orthogonal(q)
        self.base = q
        # -1 on the diagonal: Householder's map of it is the identity (of zeros, so are the others).
        negative = dlgrad.zeros_like(Q)
        negative.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return negative

    def _reflectors(self, q, wide):
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential "
                "or the Cayley parametrizations when use_trivialization=False."
            )
        a, tau = dlgrad.geqrf(q)
        diagonal = a.diagonal(dim1=-2, dim2=-1)
        signs = diagonal.sign()
        diagonal.copy_(dlgrad.where(tau == 0.0, -signs, signs))
        return a.mT if wide else a


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Parametrizes a matrix, or batch of matrices (..., m, n), so that it is orthogonal: orthonormal
    columns for m >= n, rows otherwise.

    orthogonal_map: "matrix_exp" (exp(A) of a skew-symmetric A; None takes it for square matrices),
    "cayley" ((I + A/2) (I - A/2)^-1), or "householder" (a product of reflections; None takes it for
    other matrices). use_trivialization: multiplies by a fixed orthogonal matrix, the buffer
    `parametrizations.<name>.0.base`, such that the first value is the tensor's own where that is
    orthogonal, and the Q of its QR decomposition otherwise.

    Lezcano, arXiv 1909.09501. Returns the module. Raises ValueError for tensors that are no matrix.
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square else "householder"
    chosen = getattr(_OrthMaps, orthogonal_map, None)
    if chosen is None:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    map_ = _Orthogonal(weight, chosen, use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, map_, unsafe=True)
    return module
