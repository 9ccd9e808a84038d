"""Distributions without PyTorch: samples have the moments and densities they claim; validation; shapes."""

import math

import pytest

import dlgrad
from dlgrad import distributions as D  # noqa: N812

MOMENTS = [
    D.Normal(1.0, 2.0), D.Laplace(0.5, 1.5), D.Uniform(-1.0, 3.0), D.Exponential(1.7), D.Gamma(0.6, 2.0), D.Gamma(9.0, 0.5),
    D.Beta(2.0, 0.7), D.Bernoulli(0.3), D.Binomial(7, dlgrad.tensor(0.4)), D.Binomial(100, dlgrad.tensor(0.8)),
    D.Geometric(0.35), D.Poisson(4.2), D.LogNormal(0.1, 0.4), D.HalfNormal(1.2), D.Gumbel(0.3, 1.1), D.Weibull(1.5, 2.5),
    D.Kumaraswamy(2.0, 3.0), D.StudentT(9.0, 1.0, 2.0), D.InverseGamma(6.0, 3.0),
]  # fmt: skip


@pytest.mark.parametrize("d", MOMENTS, ids=lambda d: type(d).__name__)
def test_moments(d):
    dlgrad.manual_seed(0)
    n = 40_000
    x = d.sample((n,))
    assert x.shape == (n,)
    sigma = float(d.stddev)
    assert abs(float(x.mean() - d.mean)) < 5 * sigma / math.sqrt(n)
    assert abs(float(x.std()) / sigma - 1) < 0.06
    assert d.support.check(x).all()


@pytest.mark.parametrize(
    "d",
    [D.Gamma(2.0, 1.5), D.Beta(2.0, 3.0), D.Normal(0.0, 1.0), D.Gumbel(0.0, 1.0), D.StudentT(5.0)],
)
def test_density_integrates_to_one(d):
    low, high = (
        (1e-6, 1 - 1e-6)
        if isinstance(d, D.Beta)
        else (1e-6, 60.0)
        if isinstance(d, D.Gamma)
        else (-40.0, 40.0)
    )
    x = dlgrad.linspace(low, high, 200_001)
    area = d.log_prob(x).exp().double().sum() * (high - low) / 200_000
    assert abs(float(area) - 1) < 1e-3


@pytest.mark.parametrize("concentration", [0.3, 1.5, 12.0])
def test_gamma_gradient_has_the_right_mean(concentration):
    dlgrad.manual_seed(1)
    a = dlgrad.tensor(concentration, requires_grad=True)
    D.Gamma(a, 2.0).rsample((20_000,)).mean().backward()  # the mean is a / 2
    assert abs(float(a.grad) - 0.5) < 0.03


def test_kl_is_zero_for_the_same_and_positive_otherwise():
    for p, q in ((D.Normal(0.0, 1.0), D.Normal(1.0, 2.0)), (D.Gamma(2.0, 1.0), D.Gamma(3.0, 2.0)),
                 (D.Categorical(logits=dlgrad.tensor([0.0, 1.0])), D.Categorical(logits=dlgrad.tensor([1.0, 0.0])))):  # fmt: skip
        assert abs(float(D.kl_divergence(p, p))) < 1e-6 < float(D.kl_divergence(p, q))


def test_validation_names_the_parameter():
    with pytest.raises(ValueError, match="scale.*GreaterThan"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="support"):
        D.Exponential(1.0).log_prob(dlgrad.tensor(-1.0))
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1


def test_pytorchs_file_names():
    from dlgrad.distributions.normal import Normal

    from dlgrad.distributions.categorical import Categorical

    assert Normal is D.Normal and Categorical is D.Categorical
