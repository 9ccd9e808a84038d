"""What the distributions share: broadcasting of parameters, probabilities and logits, lazy attributes."""

from __future__ import annotations

import functools

import dlgrad

euler_constant = 0.57721566490153286060  # Euler-Mascheroni

__all__ = ["broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property"]


def broadcast_all(*values):
    """Numbers and Tensors as Tensors of one shape; a number takes the dtype of the first Tensor.

    Raises ValueError for other types."""
    if not all(isinstance(v, (dlgrad.Tensor, int, float)) for v in values):
        raise ValueError("Input arguments must all be instances of Number or dlgrad.Tensor")
    like = next(
        (v.dtype for v in values if isinstance(v, dlgrad.Tensor)), dlgrad.get_default_dtype()
    )
    tensors = [v if isinstance(v, dlgrad.Tensor) else dlgrad.tensor(v, dtype=like) for v in values]
    return dlgrad.broadcast_tensors(*tensors)


def sum_rightmost(value, dims):
    """The sum over the last `dims` dimensions."""
    return value if dims == 0 else value.reshape((*value.shape[: value.dim() - dims], -1)).sum(-1)


def standard_normal(shape, dtype):
    """Normal numbers, mean 0, deviation 1."""
    return dlgrad.empty(tuple(shape), dtype=dtype).normal_()


def logits_to_probs(logits, is_binary=False):
    """The probabilities of logits (log odds when `is_binary`)."""
    return dlgrad.sigmoid(logits) if is_binary else dlgrad.softmax(logits, -1)


def clamp_probs(probs):
    """Probabilities kept eps away from 0 and 1."""
    eps = dlgrad.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs, is_binary=False):
    """The logits of probabilities (log odds when `is_binary`)."""
    kept = clamp_probs(probs)
    return kept.log() - (-kept).log1p() if is_binary else kept.log()


class lazy_property:  # noqa: N801
    """An attribute computed at first use, with gradients whatever the mode then is."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        with dlgrad.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value
