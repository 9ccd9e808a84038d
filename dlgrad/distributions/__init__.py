"""Probability distributions: PyTorch's `torch.distributions`.

A distribution has a batch shape (independent copies) and an event shape (one value); `sample` draws, `rsample`
draws with gradients to the parameters, `log_prob`, `entropy`, `cdf` and `kl_divergence` are differentiable. The
same seed gives PyTorch's samples.
"""

from __future__ import annotations

import sys

from . import (
    categorical,
    composed,
    constraints,
    continuous,
    discrete,
    distribution,
    gamma,
    kl,
    multivariate_normal,
    relaxed,
    transformed,
    transforms,
    utils,
)  # fmt: skip
from .categorical import *  # noqa: F403
from .composed import *  # noqa: F403
from .continuous import *  # noqa: F403
from .discrete import *  # noqa: F403
from .distribution import *  # noqa: F403
from .gamma import *  # noqa: F403
from .kl import *  # noqa: F403
from .multivariate_normal import *  # noqa: F403
from .relaxed import *  # noqa: F403
from .transformed import *  # noqa: F403
from .transforms import *  # noqa: F403

# PyTorch has a file for each distribution: `from dlgrad.distributions.normal import Normal`.
_ALIASES = {
    continuous: "normal laplace cauchy uniform exponential",
    transformed: "log_normal half_normal half_cauchy gumbel weibull pareto kumaraswamy logistic_normal",
    categorical: "one_hot_categorical multinomial",
    discrete: "bernoulli binomial geometric negative_binomial poisson",
    gamma: "chi2 beta dirichlet studentT fishersnedecor inverse_gamma",
    relaxed: "relaxed_bernoulli relaxed_categorical",
    composed: "transformed_distribution independent mixture_same_family",
    distribution: "exp_family",
}
for _module, _names in _ALIASES.items():
    for _name in _names.split():
        sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module

__all__ = ["constraints", "transforms", "utils"]
for _module in (categorical, composed, continuous, discrete, distribution, gamma, kl, multivariate_normal, relaxed,
                transformed, transforms):  # fmt: skip
    __all__ += _module.__all__
del _module, _names, _name
