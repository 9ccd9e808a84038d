"""The base of all distributions."""

from __future__ import annotations

import warnings

import dlgrad

from ..batched import every_member
from . import constraints
from .utils import lazy_property

__all__ = ["Distribution", "ExponentialFamily"]


class Distribution:
    """Random values of shape `batch_shape + event_shape`: independent along the batch, one value along the event.

    Arguments are checked against `arg_constraints`, values against `support`, unless validate_args=False
    (ValueError names the parameter, the constraint and the values). A subclass lists its Tensor parameters in
    `_parameters` (name -> how many of its dimensions belong to one batch element) and inner distributions in
    `_inner`, which is all that `expand` needs.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    _parameters: dict = {}
    _inner: tuple = ()

    @staticmethod
    def set_default_validate_args(value):
        """Whether distributions made from now on check their arguments."""
        if value not in (True, False):
            raise ValueError("set_default_validate_args(): expects True or False")
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args=None):
        self._batch_shape = dlgrad.Size(batch_shape)
        self._event_shape = dlgrad.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_arguments()

    def _check_arguments(self):
        for name, constraint in self.arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(
                getattr(type(self), name, None), lazy_property
            ):
                continue  # computed from another parameter, which was checked
            value = getattr(self, name)
            if not every_member(constraint.check(value)).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape, _instance=None):
        """This distribution over a larger batch; parameters are expanded, not copied."""
        batch = dlgrad.Size(batch_shape)
        new = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        for name, dims in self._parameters.items():
            value = self.__dict__.get(name)
            if value is not None:
                new.__dict__[name] = value.expand((*batch, *value.shape[value.dim() - dims :]))
        for name in self._inner:
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name].expand(batch)
        new._batch_shape = batch
        return new

    @property
    def batch_shape(self):
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self):
        """The shape of one sample of one batch element."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """Constraints by argument name."""
        raise NotImplementedError

    @property
    def support(self):
        """The constraint that samples satisfy."""
        raise NotImplementedError

    @property
    def mean(self):
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self):
        """The most likely value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self):
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self):
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape=()):
        """Draws values of shape sample_shape + batch_shape + event_shape, without gradient."""
        with dlgrad.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()):
        """Draws values through which gradients reach the parameters."""
        raise NotImplementedError

    def sample_n(self, n):
        """`sample((n,))`."""
        return self.sample((n,))

    def log_prob(self, value):
        """The logarithm of the density or probability of `value`, of its batch's shape."""
        raise NotImplementedError

    def cdf(self, value):
        """The probability of a value not larger than `value`."""
        raise NotImplementedError

    def icdf(self, value):
        """The inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand=True):
        """All values of a discrete distribution, along dimension 0."""
        raise NotImplementedError

    def entropy(self):
        """The entropy in nats, of batch_shape."""
        raise NotImplementedError

    def perplexity(self):
        """exp(entropy)."""
        return dlgrad.exp(self.entropy())

    def _extended_shape(self, sample_shape=()):
        return dlgrad.Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value):
        """Raises ValueError for values that log_prob, cdf can't take; nothing when validation is off."""
        if not self._validate_args:
            return
        if not isinstance(value, dlgrad.Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape, event = tuple(value.shape), tuple(self._event_shape)
        if shape[len(shape) - len(event) :] != event:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs {self._event_shape}."
            )
        expected = (*self._batch_shape, *event)
        if any(
            i != 1 and j != 1 and i != j for i, j in zip(shape[::-1], expected[::-1], strict=False)
        ):
            raise ValueError(
                f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs {dlgrad.Size(expected)}."
            )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the distribution "
                "with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not every_member(support.check(value)).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {shape}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self):
        names = [name for name in self.arg_constraints if name in self.__dict__]
        shown = (
            (
                name,
                self.__dict__[name]
                if self.__dict__[name].numel() == 1
                else self.__dict__[name].size(),
            )
            for name in names
        )
        return f"{type(self).__name__}({', '.join(f'{name}: {value}' for name, value in shown)})"


class ExponentialFamily(Distribution):
    """Distributions with density h(x) exp(<natural parameters, t(x)> - log normalizer).

    Reference: Nielsen and Nock, Entropies and cross-entropies of exponential families, 2010."""

    @property
    def _natural_params(self):
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        raise NotImplementedError
