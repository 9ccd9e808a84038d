"""Operations whose inputs are made from one another: first and second derivatives, with a graph of the first."""

import numpy as np
import pytest
import torch

import dlgrad


def _lstm(T, x):
    T.manual_seed(0)
    h = x[:1] * 2
    return T.nn.LSTM(3, 3).double()(x, (h, h * h))[0]


def _gru(T, x):
    T.manual_seed(0)
    return T.nn.GRU(3, 3).double()(x, x[:1] * 2)[0]


CASES = {
    "cross_entropy": ((4, 3), lambda T, F, x: F.cross_entropy(x, x.softmax(1))),
    "mse_loss": ((4, 3), lambda T, F, x: F.mse_loss(x, x.flip(0) * x)),
    "smooth_l1_loss": ((4, 3), lambda T, F, x: F.smooth_l1_loss(x, x.flip(0) * x)),
    "bce": ((4, 3), lambda T, F, x: F.binary_cross_entropy_with_logits(x, x.flip(0).sigmoid())),
    "attention": (
        (2, 4, 8),
        lambda T, F, x: F.scaled_dot_product_attention(x, x * 2, (x * 2).flip(1)),
    ),
    "lstm": ((4, 2, 3), lambda T, F, x: _lstm(T, x)),
    "gru": ((4, 2, 3), lambda T, F, x: _gru(T, x)),
    "prelu": ((4, 3), lambda T, F, x: F.prelu(x, x.mean(0))),
    "maximum": ((4, 3), lambda T, F, x: T.maximum(x * x, x.flip(0) * x)),
    "linear": ((3, 3), lambda T, F, x: F.linear(x, x * 2, x.mean(1))),
    "layer_norm": ((4, 3), lambda T, F, x: F.layer_norm(x, (3,), x[0], x[1])),
    "batch_norm": ((4, 3), lambda T, F, x: F.batch_norm(x, None, None, x[0] * 2, x[1], True)),
    "group_norm": ((4, 3), lambda T, F, x: F.group_norm(x, 3, x[0], x[1])),
    "rms_norm": ((4, 3), lambda T, F, x: F.rms_norm(x, (3,), x[0] * x[1])),
    "conv1d": ((3, 3, 4), lambda T, F, x: F.conv1d(x, x[:, :, :2] * 2, x[0, :, 0])),
    "addcmul": ((4, 3), lambda T, F, x: T.addcmul(x, x * 2, x.flip(0), value=0.5)),
    "lerp": ((4, 3), lambda T, F, x: T.lerp(x, x * x, x.flip(0))),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_follow_each_path_once(name):
    shape, f = CASES[name]
    values = np.random.default_rng(0).normal(0, 0.5, shape).tolist()
    found = []
    for T in (torch, dlgrad):
        x = T.tensor(values, dtype=T.float64, requires_grad=True)
        y = f(T, T.nn.functional, x)
        (g,) = T.autograd.grad((y**2).sum(), x, create_graph=True)
        (h,) = T.autograd.grad((g**2).sum(), x)
        found.append([np.array(v.tolist()) for v in (y.detach(), g.detach(), h)])
    for theirs, ours in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
