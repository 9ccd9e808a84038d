"""Activations in place: the same values and gradients as out of place, behind layers whose results others need."""

import pytest

import dlgrad
from dlgrad import nn

IN_PLACE = {
    "ReLU": (), "ReLU6": (), "LeakyReLU": (0.2,), "ELU": (), "SELU": (), "CELU": (1.5,), "Hardtanh": (-0.5, 0.7),
    "Threshold": (0.1, 0.2), "SiLU": (), "Mish": (), "Hardswish": (), "Hardsigmoid": (), "RReLU": (),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_keeps_the_gradient(name):
    dlgrad.manual_seed(0)
    x = dlgrad.randn(5, 3)
    layer = nn.Linear(3, 4)

    def gradient(inplace):
        layer.zero_grad()
        hidden = layer(x)
        activation = getattr(nn, name)(*IN_PLACE[name], inplace=inplace).eval()
        out = activation(hidden)
        assert (out is hidden) == inplace
        out.pow(2).sum().backward()
        return out.tolist(), layer.weight.grad.tolist()

    assert gradient(True) == gradient(False)
