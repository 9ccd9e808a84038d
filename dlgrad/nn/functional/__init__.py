"""The functional form of the layers: PyTorch's `torch.nn.functional`.

Functions are grouped by family in the files of this folder and loaded on first use. They check
arguments and compose; what computes is in `dlgrad.ops`.
"""

from __future__ import annotations

import importlib

from ...ops.memos import LAYERS, remember_functions

# file -> the names in it
_FILES = {
    "_activation": """threshold threshold_ relu relu_ glu hardtanh hardtanh_ relu6 elu elu_ selu selu_
        celu celu_ leaky_relu leaky_relu_ prelu rrelu rrelu_ logsigmoid gelu hardshrink tanhshrink
        softsign softplus softmin softmax gumbel_softmax log_softmax softshrink tanh sigmoid
        hardsigmoid silu mish hardswish""",
    "_dropout": "dropout alpha_dropout dropout1d dropout2d dropout3d feature_alpha_dropout",
    "_linear": "linear bilinear embedding embedding_bag one_hot linear_cross_entropy",
    "_conv": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc
        unfold fold""",
    "_pooling": """avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
        max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices max_unpool1d
        max_unpool2d max_unpool3d lp_pool1d lp_pool2d lp_pool3d adaptive_max_pool1d
        adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
        adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices adaptive_avg_pool1d
        adaptive_avg_pool2d adaptive_avg_pool3d fractional_max_pool2d fractional_max_pool3d
        fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices""",
    "_normalization": """batch_norm instance_norm layer_norm rms_norm group_norm local_response_norm
        normalize""",
    "_loss": """nll_loss poisson_nll_loss gaussian_nll_loss kl_div cross_entropy binary_cross_entropy
        binary_cross_entropy_with_logits smooth_l1_loss huber_loss l1_loss mse_loss""",
    "_margin": """margin_ranking_loss hinge_embedding_loss multilabel_margin_loss soft_margin_loss
        multilabel_soft_margin_loss cosine_embedding_loss multi_margin_loss triplet_margin_loss
        triplet_margin_with_distance_loss pairwise_distance cosine_similarity pdist""",
    "_ctc": "ctc_loss",
    "_pad": "pad pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle",
    "_resample": """upsample interpolate upsample_nearest upsample_bilinear grid_sample
        affine_grid""",
    "_attention": "scaled_dot_product_attention multi_head_attention_forward",
}
_WHERE = {name: file for file, names in _FILES.items() for name in names.split()}

__all__ = sorted(_WHERE)


def __getattr__(name):
    file = _WHERE.get(name)
    if file is None:
        raise AttributeError(f"module 'dlgrad.nn.functional' has no attribute {name!r}")
    module = importlib.import_module("." + file, __name__)
    # The whole family at once: the next look-up of any of it costs no call.
    remember_functions(vars(module), " ".join(LAYERS.intersection(_FILES[file].split())))
    for each in _FILES[file].split():
        globals().setdefault(each, getattr(module, each))
    return globals()[name]


def __dir__():
    return sorted({*globals(), *_WHERE})
