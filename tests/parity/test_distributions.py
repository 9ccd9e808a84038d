"""Distributions: the same samples from the same seed, the same densities, entropies, moments and divergences."""

import itertools

import numpy as np
import pytest
import torch

import dlgrad

B = [[0.3, 1.2, 2.5], [0.7, 0.4, 3.1]]  # positive numbers
P = [[0.2, 0.5, 0.9], [0.1, 0.7, 0.4]]  # probabilities
R = [[-1.0, 0.5, 2.0], [0.3, -0.2, 1.1]]  # real numbers
S = [[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]  # points of the simplex

# name -> Tensor arguments; "number": plain arguments that come first
CASES = {
    "Normal": dict(loc=R, scale=B),
    "Laplace": dict(loc=R, scale=B),
    "Cauchy": dict(loc=R, scale=B),
    "Uniform": dict(low=R, high=[[3.0, 3.5, 4.0], [5.0, 2.0, 2.0]]),
    "Exponential": dict(rate=B),
    "LogNormal": dict(loc=R, scale=B),
    "HalfNormal": dict(scale=B),
    "HalfCauchy": dict(scale=B),
    "Gumbel": dict(loc=R, scale=B),
    "Weibull": dict(scale=B, concentration=B),
    "Pareto": dict(scale=B, alpha=[[2.5, 3.0, 1.5], [4.0, 2.2, 0.5]]),
    "Kumaraswamy": dict(concentration1=B, concentration0=B),
    "LogisticNormal": dict(loc=R, scale=B),
    "Bernoulli": dict(probs=P),
    "Bernoulli logits": dict(logits=R),
    "Binomial": dict(total_count=5, probs=P),
    "Geometric": dict(probs=P),
    "NegativeBinomial": dict(total_count=4, probs=P),
    "Poisson": dict(rate=B),
    "Categorical": dict(probs=S),
    "Categorical logits": dict(logits=R),
    "OneHotCategorical": dict(logits=R),
    "OneHotCategoricalStraightThrough": dict(probs=S),
    "Multinomial": dict(total_count=6, probs=S),
    "RelaxedBernoulli": dict(temperature=[0.7], logits=R),
    "RelaxedOneHotCategorical": dict(temperature=[0.7], logits=R),
    "Gamma": dict(concentration=B, rate=B),
    "Chi2": dict(df=B),
    "Beta": dict(concentration1=B, concentration0=P),
    "Dirichlet": dict(concentration=B),
    "StudentT": dict(df=B, loc=R, scale=B),
    "FisherSnedecor": dict(df1=B, df2=[[5.0, 6.0, 3.0], [1.0, 9.0, 4.5]]),
    "InverseGamma": dict(concentration=B, rate=B),
    "MultivariateNormal": dict(
        loc=R, scale_tril=[[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.1, 0.7]]
    ),
}


@pytest.fixture(autouse=True)
def validation():
    """torch.compile, wherever it was used before, turns PyTorch's validation off."""
    torch.distributions.Distribution.set_default_validate_args(True)


# On Intel CPUs PyTorch draws these with MKL's own generator.
BERNOULLI_FROM_THE_STREAM = (
    torch.bernoulli(torch.full((64,), 0.5), generator=torch.Generator().manual_seed(0)).tolist()
    == dlgrad.bernoulli(
        dlgrad.full((64,), 0.5), generator=dlgrad.Generator().manual_seed(0)
    ).tolist()
)


def make(module, case, grad=False):
    """The distribution of this case in `module`, and its Tensor parameters."""
    arguments = {
        name: value
        if isinstance(value, int)
        else module.tensor(value, dtype=module.float64, requires_grad=grad)
        for name, value in CASES[case].items()
    }
    return getattr(module.distributions, case.split()[0])(**arguments), [
        a for a in arguments.values() if not isinstance(a, int)
    ]


def array(t):
    return np.array(t.detach().tolist())


def close(ours, theirs, message=""):
    assert tuple(ours.shape) == tuple(theirs.shape), (message, ours.shape, theirs.shape)
    np.testing.assert_allclose(array(ours), array(theirs), 1e-9, 1e-9, err_msg=message)


def result(f):
    try:
        return f()
    except NotImplementedError:
        return None


@pytest.mark.parametrize("case", CASES)
def test_distribution(case):
    ours, _ = make(dlgrad, case)
    theirs, _ = make(torch, case)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert repr(ours.support).replace("dlgrad.", "") == repr(theirs.support) or "tensor" in repr(
        ours.support
    )
    dlgrad.manual_seed(3)
    torch.manual_seed(3)
    for shape in ((), (5,), (3, 4)):
        a, b = ours.sample(shape), theirs.sample(shape)
        if not case.startswith("Bernoulli") or BERNOULLI_FROM_THE_STREAM:
            close(a, b, "sample")
    values = theirs.sample((4,))
    close(
        ours.log_prob(dlgrad.tensor(values.tolist(), dtype=dlgrad.float64)),
        theirs.log_prob(values),
        "log_prob",
    )
    for name in ("mean", "variance", "stddev", "mode"):
        a, b = result(lambda n=name: getattr(ours, n)), result(lambda n=name: getattr(theirs, n))
        assert (a is None) == (b is None), name
        if a is not None:
            close(a, b, name)
    for name in ("entropy", "enumerate_support"):
        a, b = (
            result(lambda n=name: getattr(ours, n)()),
            result(lambda n=name: getattr(theirs, n)()),
        )
        assert (a is None) == (b is None), name
        if a is not None:
            close(a, b, name)
    for name in ("cdf", "icdf"):
        given = values if name == "cdf" else torch.full_like(values, 0.3)
        b = result(lambda n=name, g=given: getattr(theirs, n)(g))
        if b is not None:
            close(getattr(ours, name)(dlgrad.tensor(given.tolist(), dtype=dlgrad.float64)), b, name)
    wide = (3, *theirs.batch_shape)
    close(ours.expand(wide).log_prob(dlgrad.tensor(values[0].tolist(), dtype=dlgrad.float64)),
          theirs.expand(wide).log_prob(values[0]), "expand")  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gradients(case):
    ours, p = make(dlgrad, case, grad=True)
    theirs, q = make(torch, case, grad=True)
    value = theirs.sample((3,))
    ours_loss = ours.log_prob(dlgrad.tensor(value.tolist(), dtype=dlgrad.float64)).sum()
    theirs_loss = theirs.log_prob(value).sum()
    if theirs.has_rsample:
        dlgrad.manual_seed(1)
        torch.manual_seed(1)
        a, b = ours.rsample((2,)), theirs.rsample((2,))
        close(a, b, "rsample")
        ours_loss, theirs_loss = ours_loss + a.cos().sum(), theirs_loss + b.cos().sum()
    ours_loss.backward()
    theirs_loss.backward()
    for x, y in zip(p, q, strict=True):
        assert (x.grad is None) == (y.grad is None)
        if y.grad is not None:
            np.testing.assert_allclose(array(x.grad), array(y.grad), 1e-7, 1e-8)


def test_divergences():
    checked = 0
    for first, second in itertools.product(CASES, CASES):
        p, q = make(torch, first)[0], make(torch, second)[0]
        try:
            theirs = torch.distributions.kl_divergence(p, q)
        except NotImplementedError:
            continue
        try:
            ours = dlgrad.distributions.kl_divergence(
                make(dlgrad, first)[0], make(dlgrad, second)[0]
            )
        except NotImplementedError:
            assert first != second, first
            continue
        close(ours, theirs, f"{first}, {second}")
        checked += 1
    assert checked > 60


def test_composed():
    def build(m):
        d = m.distributions
        t = lambda v: m.tensor(v, dtype=m.float64)  # noqa: E731
        mixture = d.MixtureSameFamily(
            d.Categorical(t([0.3, 0.7])),
            d.Independent(d.Normal(t([[0.0, 1.0], [2.0, 3.0]]), t([[1.0, 2.0], [0.5, 1.0]])), 1),
        )
        squashed = d.TransformedDistribution(
            d.Normal(t(R), t(B)),
            [d.transforms.AffineTransform(0.5, 2.0), d.transforms.TanhTransform(cache_size=1)],
        )
        return [mixture, squashed, d.Independent(d.Bernoulli(t(P)), 1)]

    for ours, theirs in zip(build(dlgrad), build(torch), strict=True):
        dlgrad.manual_seed(2)
        torch.manual_seed(2)
        a, b = ours.sample((4,)), theirs.sample((4,))
        close(a, b)
        close(ours.log_prob(a), theirs.log_prob(b))


@pytest.mark.parametrize(
    "make_it",
    [
        lambda d, t: d.Normal(t([0.0]), t([-1.0])),
        lambda d, t: d.Categorical(probs=t([0.5]), logits=t([0.5])),
        lambda d, t: d.Categorical(probs=t([-0.5, 1.5])),
        lambda d, t: d.Bernoulli(t([1.5])),
        lambda d, t: d.Normal(t([0.0]), t([1.0])).log_prob(t([float("nan")])),
        lambda d, t: d.Normal(t([0.0, 1.0]), t([1.0])).log_prob(t([1.0, 2.0, 3.0])),
        lambda d, t: d.Categorical(t([0.5, 0.5])).log_prob(t([2.0])),
        lambda d, t: d.Uniform(t([1.0]), t([0.0])),
        lambda d, t: d.Independent(d.Normal(t([0.0]), t([1.0])), 2),
        lambda d, t: d.Normal("a", 1.0),
        lambda d, t: d.kl_divergence(d.Normal(0.0, 1.0), d.Cauchy(0.0, 1.0)),
    ],
)
def test_errors(make_it):
    with pytest.raises((ValueError, NotImplementedError)) as theirs:
        make_it(torch.distributions, torch.tensor)
    with pytest.raises(theirs.type):
        make_it(dlgrad.distributions, dlgrad.tensor)
