"""Functions of layers in the form that they have at the top level of PyTorch (`torch.layer_norm`, ...): another order of
arguments, reductions by number, flags that mean nothing here. Programs rather use those of nn.functional."""

from __future__ import annotations

from ... import ops
from ...tensor import Tensor
from .. import functional as F  # noqa: N812

__all__ = [
    "adaptive_max_pool1d", "alpha_dropout", "batch_norm", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "ctc_loss",
    "dropout", "embedding", "embedding_bag", "feature_alpha_dropout", "feature_dropout", "group_norm", "hinge_embedding_loss",
    "affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "instance_norm", "kl_div", "layer_norm", "margin_ranking_loss", "poisson_nll_loss", "triplet_margin_loss",
]  # fmt: skip

_REDUCTIONS = ("none", "mean", "sum")
_MODES = ("sum", "mean", "max")


def _tensor(op, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")


def _reduction(op, number):
    if number not in (0, 1, 2):
        raise ValueError(f"{op}(): reduction must be 0 (none), 1 (mean) or 2 (sum), got {number!r}")
    return _REDUCTIONS[number]


def adaptive_max_pool1d(input, output_size):
    """Maxima over `output_size` windows, and their indices: (values, indices)."""
    return F.adaptive_max_pool1d(input, output_size, return_indices=True)


def dropout(input, p, train):
    """Zeros elements with probability p, and scales the others by 1 / (1 - p), if `train`."""
    _tensor("dropout", input)
    return ops.dropout(input, p, train)


def alpha_dropout(input, p, train):
    """`nn.functional.alpha_dropout`."""
    _tensor("alpha_dropout", input)
    return F.alpha_dropout(input, p, train)


def feature_dropout(input, p, train):
    """Dropout of whole channels: of all dimensions behind the second."""
    _tensor("feature_dropout", input)
    mask = ops.dropout(input.new_ones((*input.shape[:2], *[1] * (input.dim() - 2))), p, train)
    return input * mask


def feature_alpha_dropout(input, p, train):
    """`nn.functional.feature_alpha_dropout`."""
    _tensor("feature_alpha_dropout", input)
    return F.feature_alpha_dropout(input, p, train)


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """`nn.functional.batch_norm`."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled):
    """`nn.functional.instance_norm`."""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """`nn.functional.group_norm`."""
    _tensor("group_norm", input)
    return F.group_norm(input, num_groups, weight, bias, eps)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """`nn.functional.layer_norm`."""
    _tensor("layer_norm", input)
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """`nn.functional.embedding`."""
    return F.embedding(
        indices, weight, None if padding_idx == -1 else padding_idx, None, 2.0, scale_grad_by_freq, sparse
    )


def embedding_bag(
    weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, per_sample_weights=None,
    include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """`nn.functional.embedding_bag`, as the first of four results (the others are PyTorch's internal ones: None here)."""
    bags = F.embedding_bag(
        indices, weight, offsets, None, 2, scale_grad_by_freq, _MODES[mode], sparse, per_sample_weights,
        include_last_offset, padding_idx,
    )  # fmt: skip
    return bags, None, None, None


def kl_div(input, target, reduction=1, *, log_target=False):
    """`nn.functional.kl_div`."""
    return F.kl_div(input, target, reduction=_reduction("kl_div", reduction), log_target=log_target)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction=1):
    """`nn.functional.binary_cross_entropy_with_logits`."""
    how = _reduction("binary_cross_entropy_with_logits", reduction)
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=how, pos_weight=pos_weight)


def poisson_nll_loss(input, target, log_input, full, eps, reduction):
    """`nn.functional.poisson_nll_loss`."""
    how = _reduction("poisson_nll_loss", reduction)
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=how)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction=1):
    """`nn.functional.cosine_embedding_loss`."""
    how = _reduction("cosine_embedding_loss", reduction)
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=how)


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction=1):
    """`nn.functional.margin_ranking_loss`."""
    how = _reduction("margin_ranking_loss", reduction)
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=how)


def hinge_embedding_loss(input, target, margin=1.0, reduction=1):
    """`nn.functional.hinge_embedding_loss`."""
    how = _reduction("hinge_embedding_loss", reduction)
    return F.hinge_embedding_loss(input, target, margin, reduction=how)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction=1):
    """`nn.functional.triplet_margin_loss`."""
    how = _reduction("triplet_margin_loss", reduction)
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=how)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=1, zero_infinity=False):
    """`nn.functional.ctc_loss`."""
    how = _reduction("ctc_loss", reduction)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, how, zero_infinity)


_INTERPOLATIONS = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """`nn.functional.grid_sample`, with the modes by number."""
    return F.grid_sample(input, grid, _INTERPOLATIONS[interpolation_mode], _PADDINGS[padding_mode], align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


def affine_grid_generator(theta, size, align_corners):
    """`nn.functional.affine_grid`."""
    return F.affine_grid(theta, size, align_corners)
