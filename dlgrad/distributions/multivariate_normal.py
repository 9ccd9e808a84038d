"""The normal distribution of vectors."""

from __future__ import annotations

import math

import dlgrad

from . import constraints
from .distribution import Distribution
from .utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def squared_distance(lower, difference):
    """|lower^-1 difference|^2 over the last dimension, batches broadcast."""
    column = dlgrad.linalg.solve_triangular(lower, difference.unsqueeze(-1), upper=False)
    return column.squeeze(-1).pow(2).sum(-1)


def _factor_of_precision(precision):
    """The Cholesky factor of the inverse of `precision`, without inverting it."""
    flipped = dlgrad.linalg.cholesky(precision.flip(-2, -1))
    inverse = flipped.flip(-2, -1).mT
    identity = dlgrad.eye(precision.shape[-1], dtype=precision.dtype)
    return dlgrad.linalg.solve_triangular(inverse, identity, upper=False)


class MultivariateNormal(Distribution):
    """Normal vectors with mean `loc` and one of: covariance_matrix, precision_matrix (its inverse), scale_tril
    (its lower triangular Cholesky factor, the cheapest)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}

    def __init__(
        self,
        loc,
        covariance_matrix=None,
        precision_matrix=None,
        scale_tril=None,
        validate_args=None,
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = [(name, matrix) for name, matrix in matrices.items() if matrix is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} matrix must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = dlgrad.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch, -1, -1)))
        self.loc = loc.expand((*batch, -1))
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        if name == "scale_tril":
            self._factor = matrix
        elif name == "covariance_matrix":
            self._factor = dlgrad.linalg.cholesky(matrix)
        else:
            self._factor = _factor_of_precision(matrix)

    def _expanded(self, matrix):
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self):
        """The lower triangular factor L of the covariance L L^T."""
        return self._expanded(self._factor)

    @lazy_property
    def covariance_matrix(self):
        """The covariance."""
        return self._expanded(self._factor @ self._factor.mT)

    @lazy_property
    def precision_matrix(self):
        """The inverse of the covariance."""
        return self._expanded(dlgrad.cholesky_inverse(self._factor))

    @property
    def mean(self):
        return self.loc

    mode = mean

    @property
    def variance(self):
        return self._factor.pow(2).sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape=()):
        eps = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + (self._factor @ eps.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self):
        return self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        self._validate_sample(value)
        distance = squared_distance(self._factor, value - self.loc)
        return (
            -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - self._half_log_det()
        )

    def entropy(self):
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
