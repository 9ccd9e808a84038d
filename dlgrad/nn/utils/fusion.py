"""A batch norm and the layer before it, in evaluation, as one layer."""

from __future__ import annotations

import copy

import dlgrad

from ..parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def _check_eval(layer, bn):
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """A convolution that does what `bn(conv(x))` does. transpose: its weight is (in, out, ...).
    Raises AssertionError in training mode, and for a batch norm without running statistics."""
    _check_eval(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """(weight, bias) of a convolution that does a batch norm as well: the weight is multiplied by
    s = bn_w / sqrt(bn_rv + bn_eps) for each output, the bias is (conv_b - bn_rm) s + bn_b."""
    bias_dtype = conv_w.dtype if conv_b is None else conv_b.dtype
    conv_b = dlgrad.zeros_like(bn_rm) if conv_b is None else conv_b
    bn_w = dlgrad.ones_like(bn_rm) if bn_w is None else bn_w
    bn_b = dlgrad.zeros_like(bn_rm) if bn_b is None else bn_b
    inverse = (bn_rv + bn_eps).rsqrt()
    shape = ([1, -1] if transpose else [-1, 1]) + [1] * (conv_w.dim() - 2)
    weight = (conv_w * (bn_w * inverse).reshape(shape)).to(conv_w.dtype)
    bias = ((conv_b - bn_rm) * inverse * bn_w + bn_b).to(bias_dtype)
    return (
        Parameter(weight.detach(), conv_w.requires_grad),
        Parameter(bias.detach(), conv_b.requires_grad),
    )


def fuse_linear_bn_eval(linear, bn):
    """A linear layer that does what `bn(linear(x))` does. Raises AssertionError in training mode,
    for a batch norm without running statistics, and where its features are not the outputs."""
    _check_eval(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, "
            f"got linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """(weight, bias) of a linear layer that does a batch norm as well; as for convolutions."""
    bias_dtype = linear_w.dtype if linear_b is None else linear_b.dtype
    linear_b = dlgrad.zeros_like(bn_rm) if linear_b is None else linear_b
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    weight = linear_w * scale.unsqueeze(-1).to(linear_w.dtype)
    bias = ((linear_b - bn_rm) * scale + bn_b).to(bias_dtype)
    return (
        Parameter(weight.detach(), linear_w.requires_grad),
        Parameter(bias.detach(), linear_b.requires_grad),
    )
