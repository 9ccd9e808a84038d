"""dlgrad.masked against torch.masked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dlgrad
from dlgrad import masked

from .both import agree, both

ANY_DIM = ("sum", "prod", "amax", "amin", "mean", "norm", "var", "std", "logsumexp")
ONE_DIM = ("cumsum", "cumprod", "argmax", "argmin", "median", "softmax", "log_softmax", "softmin")


def run(module, name, x, mask, dim):
    if name == "normalize":
        return module.normalize(x, 2.0, dim, mask=mask)
    return getattr(module, name)(x, dim=dim, mask=mask)


@pytest.mark.parametrize("name", (*ANY_DIM, *ONE_DIM, "normalize"))
def test_values_and_gradients(name):
    @settings(max_examples=30)
    @given(
        st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
        st.integers(0, 99),
        st.booleans(),
    )
    def check(shape, seed, broadcast):
        rng = np.random.default_rng(seed)
        x, theirs = both(rng.normal(size=shape), "float64", grad=True)
        mask = rng.random(shape[-1:] if broadcast else shape) < 0.6
        dim = int(rng.integers(-len(shape), len(shape)))
        if name in ANY_DIM and seed % 3 == 0:
            dim = None
        m, theirs_m = both(mask)
        a, b = run(masked, name, x, m, dim), run(torch.masked, name, theirs, theirs_m, dim)
        agree(a, b, 64, (name, shape, dim))
        if b.requires_grad and b.isfinite().all():
            (ga,), (gb,) = dlgrad.autograd.grad(a.sum(), x), torch.autograd.grad(b.sum(), theirs)
            agree(ga, gb, 512, (name, shape, dim, "gradient"))

    check()


def test_integers_and_refusals():
    x, y = dlgrad.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[1, 2, 3], [4, 5, 6]])
    m, n = x > 2, y > 2
    for name in ("sum", "prod", "amax", "amin", "argmax", "cumsum"):
        agree(run(masked, name, x, m, 1), run(torch.masked, name, y, n, 1))
    with pytest.raises(ValueError, match="floating point or complex"):
        masked.mean(x, mask=m)
    with pytest.raises(IndexError, match="broadcastable"):
        masked.sum(x, mask=m.unsqueeze(0))
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        masked.sum([1.0])


def test_logaddexp():
    x, y = both(np.array([1.0, 2.0, 3.0]))
    m, n = both(np.array([True, False, True]))
    agree(masked.logaddexp(x, x, input_mask=m), torch.masked.logaddexp(y, y, input_mask=n), 8)
