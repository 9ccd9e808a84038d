"""Losses: cross entropy and its kin, and regression."""

from __future__ import annotations

import math
import warnings

import dlgrad
from dlgrad import Tensor, ops
from dlgrad.batched import every_member
from dlgrad.ops.loss import pointwise
from dlgrad.plan import not_again

__all__ = [
    "nll_loss",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "kl_div",
    "cross_entropy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "smooth_l1_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
]


def _reduction(reduction, size_average=None, reduce=None):
    """The reduction, given in the new way or in the old one."""
    if size_average is not None or reduce is not None:
        size_average = True if size_average is None else size_average
        reduce = True if reduce is None else reduce
        reduction = "none" if not reduce else "mean" if size_average else "sum"
        not_again()
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' "
            "instead.",
            stacklevel=4,
        )
    if reduction != "mean" and reduction not in ("none", "sum"):
        raise ValueError(
            f"{reduction!r} is not a valid value for reduction: use 'none', 'mean' or 'sum'"
        )
    return reduction


def _reduced(loss, reduction):
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def _check_tensors(name, **values):
    for what, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"[{name}] {what} must be a Tensor, got {type(value).__name__}")


def _check_targets(name, input, target, weight, ignore_index):
    """Shapes of (N, C, d...) scores and (N, d...) class indices; returns nothing."""
    if input.dim() == 0 or input.dim() > 1 and target.dim() == 0:
        raise ValueError(
            f"[{name}] Expected input of shape (C) or (N, C, ...) and target of shape () or "
            f"(N, ...), got {list(input.shape)} and {list(target.shape)}"
        )
    channel = 0 if input.dim() == 1 else 1
    if input.dim() == 1:
        fits = target.dim() == 0 or tuple(target.shape) == (1,)
        expected = "()"
    else:
        wanted = (input.shape[0], *input.shape[2:])
        fits = tuple(target.shape) == wanted
        expected = list(wanted)
        if input.dim() == 2 and target.dim() == 1 and not fits:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
                f"({target.shape[0]})."
            )
    if not fits:
        raise RuntimeError(
            f"[{name}] Expected target size {expected} for scores of shape {list(input.shape)}, got "
            f"{list(target.shape)}"
        )
    if target.dtype not in (dlgrad.int64, dlgrad.uint8, dlgrad.int32, dlgrad.int16, dlgrad.int8):
        raise RuntimeError(
            f"[{name}] Expected class indices of dtype int64, got {target.dtype}; convert the "
            "target with .long()"
        )
    if weight is not None and tuple(weight.shape) != (input.shape[channel],):
        raise RuntimeError(
            f"[{name}] weight tensor should be defined either for all {input.shape[channel]} "
            f"classes or no classes but got weight tensor of shape: {list(weight.shape)}"
        )


def nll_loss(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
):
    """-weight[target] input[target] for log-probabilities (N, C, d...) and class indices (N, d...).

    "mean" divides by the weights that were used. Targets `ignore_index` count for nothing.
    """
    reduction = _reduction(reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        _check_tensors("nll_loss", input=input, target=target)
    if target._layout.ndim == 1 and input._layout.ndim == 1:
        _check_nll(input, target, weight, ignore_index)
        target = target.reshape(())
    return ops.nll_loss(input, target, weight, ignore_index, reduction, _check_nll)


def _check_nll(input, target, weight, ignore_index):
    _check_targets("nll_loss", input, target, weight, ignore_index)


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """nll_loss of log_softmax(input), for scores (N, C, d...) or (C).

    `target` has class indices (N, d...), or probabilities of the shape of the input.
    `label_smoothing` mixes in that much of the uniform distribution.
    """
    reduction = _reduction(reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        _check_tensors("cross_entropy", input=input, target=target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(
            f"[cross_entropy] label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"
        )
    soft = target._layout.dtype.is_floating_point
    if soft and input._layout.shape == target._layout.shape:
        if ignore_index >= 0:
            raise RuntimeError(
                "[cross_entropy] ignore_index is not supported for floating point target"
            )
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    if soft and input.dim() != target.dim() + 1:
        raise RuntimeError(
            f"[cross_entropy] probabilities must have the shape of the input, got "
            f"{list(target.shape)} for {list(input.shape)}"
        )
    if target._layout.ndim == 1 and input._layout.ndim == 1:
        _check_cross_entropy(input, target, weight, ignore_index)
        target = target.reshape(())
    return ops.cross_entropy(
        input, target, weight, ignore_index, reduction, label_smoothing, _check_cross_entropy
    )


def _check_cross_entropy(input, target, weight, ignore_index):
    _check_targets("cross_entropy", input, target, weight, ignore_index)
    if not input.is_floating_point():
        raise RuntimeError(f"[cross_entropy] scores must be floating point, got {input.dtype}")


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing):
    channel = 0 if input.dim() == 1 else 1
    classes = input.shape[channel]
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = ops.log_softmax(input, channel) * target
    if weight is not None:
        if tuple(weight.shape) != (classes,):
            raise RuntimeError(
                f"[cross_entropy] weight tensor should be defined either for all {classes} classes "
                f"or no classes but got weight tensor of shape: {list(weight.shape)}"
            )
        shape = [1] * input.dim()
        shape[channel] = classes
        terms = terms * weight.reshape(shape)
    if reduction == "none":
        return -terms.sum(channel)
    total = -terms.sum()
    return total if reduction == "sum" else total / (input.numel() // max(classes, 1))


def poisson_nll_loss(
    input,
    target,
    log_input=True,
    full=False,
    size_average=None,
    eps=1e-8,
    reduce=None,
    reduction="mean",
):
    """exp(x) - target x (or x - target log(x + eps) without log_input) [+ Stirling's term].

    Shapes: input and target broadcast; reduction: 'mean' (the default), 'sum' (both 0-d) or
    'none'."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("poisson_nll_loss", input=input, target=target)
    if log_input:
        loss = input.exp() - target * input
    else:
        loss = input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + dlgrad.where(target <= 1, dlgrad.zeros_like(stirling), stirling)
    return _reduced(loss, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """(log(var) + (x - target)^2 / var) / 2 [+ log(2 pi) / 2], var at least `eps`.

    Shapes: input and target (*), var (*) or with a last dimension of 1; reduction: 'mean' (the
    default), 'sum' (both 0-d) or 'none'. Raises ValueError for negative var. Nix and Weigend
    1994."""
    if isinstance(var, (int, float)) and not isinstance(var, bool):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = dlgrad.full_like(input, float(var))
    else:
        _check_tensors("gaussian_nll_loss", var=var)
        if every_member(var < 0).any():
            raise ValueError("var has negative entry/entries")
    _check_tensors("gaussian_nll_loss", input=input, target=target)
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)  # one variance for each sample
        elif not (
            var.dim() == input.dim()
            and all(v == s or v == 1 for v, s in zip(var.shape, input.shape))
        ):
            raise ValueError(
                f"var is of incorrect size: {list(var.shape)} for an input of {list(input.shape)}"
            )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    # The floor is a constant to the gradient: it reaches var even where it is cut.
    with dlgrad.no_grad():
        raised = var.clamp(min=eps) - var
    var = var + raised
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log(target) - input), for log-probabilities `input`; "batchmean" divides by N.

    Shapes: input and target broadcast. log_target: target holds logarithms too. reduction:
    'mean' (over all elements), 'batchmean', 'sum' or 'none'."""
    by_batch = reduction == "batchmean"
    reduction = _reduction("sum" if by_batch else reduction, size_average, reduce)
    _check_tensors("kl_div", input=input, target=target)
    if reduction == "mean":
        not_again()
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = dlgrad.xlogy(target, target) - target * input
    result = _reduced(loss, reduction)
    return result / input.shape[0] if by_batch and input.dim() != 0 else result


def binary_cross_entropy(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """-(target log(x) + (1 - target) log(1 - x)) for x in [0, 1]; logarithms are at least -100.

    Shapes: input, target and weight (*), of one shape; reduction: 'mean' (the default), 'sum'
    (both 0-d) or 'none'. Raises RuntimeError for input outside of [0, 1]."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("binary_cross_entropy", input=input, target=target)
    if target._layout.shape != input._layout.shape:
        raise ValueError(
            f"Using a target size ({list(target.shape)}) that is different to the input size "
            f"({list(input.shape)}) is deprecated. Please ensure they have the same size."
        )
    if input.dtype is not target.dtype:
        raise RuntimeError(
            f"[binary_cross_entropy] input and target must have the same dtype, got {input.dtype} "
            f"and {target.dtype}"
        )
    if weight is None:
        try:
            loss = pointwise("bce_loss", input, target, reduction, _bce)
        except RuntimeError as e:
            if "invalid value" not in str(e):
                raise
            raise _outside() from None
        if loss is not None:
            return loss
    if input.numel():
        with dlgrad.no_grad():
            inside = (input >= 0) & (input <= 1)
            if not every_member(inside).all():
                raise _outside()
    loss = _bce(input, target)
    if weight is not None:
        loss = loss * weight.expand(dlgrad.broadcast_shapes(weight.shape, input.shape))
    return _reduced(loss, reduction)


def _outside():
    return RuntimeError(
        "[binary_cross_entropy] all elements of input should be between 0 and 1; for scores use "
        "binary_cross_entropy_with_logits"
    )


def _bce(input, target):
    log_x = input.log().clamp(min=-100)
    log_rest = dlgrad.log1p(-input).clamp(min=-100)
    return (target - 1) * log_rest - target * log_x


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """binary_cross_entropy(sigmoid(x), target), computed without overflow.

    `pos_weight` scales the terms of positive targets.
    """
    reduction = _reduction(reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        _check_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    if target._layout.shape != input._layout.shape:
        raise ValueError(
            f"Target size ({list(target.shape)}) must be the same as input size "
            f"({list(input.shape)})"
        )
    if pos_weight is None and weight is None:
        return _pointwise("bce_with_logits_loss", input, target, reduction, _bce_with_logits)
    if pos_weight is None:
        loss = _bce_with_logits(input, target)
    else:
        log_sigmoid = ops.log_sigmoid(input)
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_sigmoid
    if weight is not None:
        loss = loss * weight
    return _reduced(loss, reduction)


def _bce_with_logits(input, target):
    return (1 - target) * input - ops.log_sigmoid(input)


def _regression_pair(name, input, target):
    """The two tensors broadcast to one shape, with PyTorch's warning when that was needed."""
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        _check_tensors(name, input=input, target=target)
    if target._layout.shape == input._layout.shape:
        return input, target
    not_again()
    warnings.warn(
        f"Using a target size ({list(target.shape)}) that is different to the input size "
        f"({list(input.shape)}). This will likely lead to incorrect results due to broadcasting. "
        "Please ensure they have the same size.",
        stacklevel=3,
    )
    return dlgrad.broadcast_tensors(input, target)


def _pointwise(row, input, target, reduction, composed, parameter=None, weight=None):
    """A loss of single elements: fused where it can be, else `composed` and reduced."""
    if parameter is not None:
        plain = composed
        composed = lambda x, t: plain(x, t, parameter)  # noqa: E731
    if weight is None:
        loss = pointwise(row, input, target, reduction, composed, parameter)
        if loss is not None:
            return loss
    return _weighted(row, composed(input, target), weight, reduction)


def _weighted(name, loss, weight, reduction):
    """The reduced loss; "mean" of a weighted one divides by the sum of the weights."""
    if weight is None:
        return _reduced(loss, reduction)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ValueError(f"[{name}] Inputs and weight must have the same size.")
    loss = loss * weight
    if reduction == "mean":
        return loss.sum() / weight.sum()
    return _reduced(loss, reduction)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """d^2 / (2 beta) where d = |x - target| < beta, else d - beta / 2.

    Shapes: input and target broadcast; reduction: 'mean' (the default), 'sum' (both 0-d) or
    'none'. Raises RuntimeError for beta < 0. Girshick, arXiv 1504.08083."""
    reduction = _reduction(reduction, size_average, reduce)
    input, target = _regression_pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0.0:
        return _pointwise("l1_loss", input, target, reduction, _l1)
    return _pointwise("smooth_l1_loss", input, target, reduction, _smooth_l1, beta)


def _smooth_l1(input, target, beta):
    distance = (input - target).abs()
    return dlgrad.where(distance < beta, distance * distance * (0.5 / beta), distance - 0.5 * beta)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """d^2 / 2 where d = |x - target| <= delta, else delta (d - delta / 2).

    Shapes: input, target and weight broadcast; reduction: 'mean' (the default), 'sum' (both
    0-d) or 'none'. Raises RuntimeError unless delta > 0. Huber 1964."""
    reduction = _reduction(reduction)
    input, target = _regression_pair("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return _pointwise("huber_loss", input, target, reduction, _huber, delta, weight)


def _huber(input, target, delta):
    distance = (input - target).abs()
    return dlgrad.where(
        distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta)
    )


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|x - target|, weighted by `weight` if given.

    input, target, weight: of shapes that broadcast. reduction: 'mean' and 'sum' give a 0-d tensor, 'none' the
    broadcast shape. The dtype is the inputs' common one."""
    reduction = _reduction(reduction, size_average, reduce)
    input, target = _regression_pair("l1_loss", input, target)
    return _pointwise("l1_loss", input, target, reduction, _l1, None, weight)


def _l1(input, target):
    return (input - target).abs()


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(x - target)^2, weighted by `weight` if given.

    input, target, weight: of shapes that broadcast. reduction: 'mean' and 'sum' give a 0-d tensor, 'none' the
    broadcast shape. The dtype is the inputs' common one."""
    reduction = _reduction(reduction, size_average, reduce)
    input, target = _regression_pair("mse_loss", input, target)
    return _pointwise("mse_loss", input, target, reduction, _mse, None, weight)


def _mse(input, target):
    difference = input - target
    return difference * difference
