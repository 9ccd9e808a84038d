"""Clipping of gradients."""

from __future__ import annotations

import functools
import warnings

import dlgrad
from dlgrad import Tensor
from dlgrad.optim._engine import clamp_all, norm_all, scale_all

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _as_list(tensors):
    if isinstance(tensors, Tensor):
        return [tensors]
    values = list(tensors)
    if not values and not isinstance(tensors, (list, tuple)):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    return values


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors as if they were one vector; a 0-d tensor."""
    values = _as_list(tensors)
    norm_type = float(norm_type)
    if not values:
        return dlgrad.tensor(0.0)
    with dlgrad.no_grad():
        total = norm_all(values, norm_type)
        if total is None:
            total = _norm_of_norms(values, norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so "
            "it cannot be clipped. To disable this error and scale the gradients by the non-finite "
            "norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def _norm_of_norms(values, norm_type):
    norms = dlgrad.stack([value.detach().norm(norm_type) for value in values])
    return norms.norm(norm_type)


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scales the gradients, in place, by max_norm / (total_norm + 1e-6) where that is below 1."""
    gradients = [p.grad for p in _as_list(parameters) if p.grad is not None]
    if not gradients:
        return
    with dlgrad.no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        if factor.dtype is gradients[0].dtype and scale_all(gradients, factor.item()):
            return
        for gradient in gradients:
            gradient.detach().mul_(factor)


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales all gradients, in place, so that their norm as one vector is at most `max_norm`.

    Returns the norm before.
    """
    parameters = _as_list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


@functools.wraps(clip_grad_norm_)
def clip_grad_norm(*args, **kwargs):
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Cuts every gradient, in place, to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    gradients = [p.grad for p in _as_list(parameters) if p.grad is not None]
    if clip_value >= 0 and clamp_all(gradients, -clip_value, clip_value):
        return
    with dlgrad.no_grad():
        for gradient in gradients:
            gradient.clamp_(-clip_value, clip_value)
