"""Gradients of convolutions as functions: by the input, or by the weight, from the gradient by the
output."""

from __future__ import annotations

from ..ops.conv import _Geometry, _to_input, _to_weight
from ._sizes import ntuple

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


def _geometry(dims, groups, stride, padding, dilation):
    return _Geometry(dims, groups, *(ntuple(v, dims) for v in (stride, padding, dilation)))


def _by_input(dims):
    def f(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
        geometry = _geometry(dims, groups, stride, padding, dilation)
        return _to_input(grad_output, weight, None, tuple(input_size), geometry)

    f.__name__ = f.__qualname__ = f"conv{dims}d_input"
    f.__doc__ = (
        f"The gradient of conv{dims}d by its input of shape `input_size`: (N, C_in, *S), from "
        "`grad_output` (N, C_out, *S_out)."
    )
    return f


def _by_weight(dims):
    def f(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
        geometry = _geometry(dims, groups, stride, padding, dilation)
        return _to_weight(grad_output, input, tuple(weight_size), geometry)

    f.__name__ = f.__qualname__ = f"conv{dims}d_weight"
    f.__doc__ = (
        f"The gradient of conv{dims}d by its weight of shape `weight_size`: (C_out, "
        "C_in / groups, *K), from `grad_output` (N, C_out, *S_out)."
    )
    return f


conv1d_input, conv2d_input, conv3d_input = (_by_input(n) for n in (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = (_by_weight(n) for n in (1, 2, 3))
