"""Normalizations."""

from __future__ import annotations

import math

import dlgrad
from dlgrad import Tensor, ops

__all__ = [
    "batch_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "local_response_norm",
    "normalize",
]


def _check(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor, got {type(input).__name__}")


def _check_channels(name, channels, **values):
    """RuntimeError for a value that has not one element a channel."""
    for what, value in values.items():
        if value is not None and value.numel() != channels:
            raise RuntimeError(
                f"[{name}] {what} should contain {channels} elements (one a channel), not "
                f"{value.numel()}"
            )


def _check_more_than_one(size):
    """ValueError when a channel has a single value: its variance would be 0."""
    count = math.prod(size) // size[1] if size[1] else 0
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(size)}; "
            "use a larger batch, or eval()"
        )


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Normalizes each channel (dimension 1) over all others.

    In training by the batch's mean and biased variance, and running_mean and running_var move by
    `momentum` (the variance by the unbiased one); otherwise by the running statistics.
    """
    _check("batch_norm", input)
    if input.dim() < 2:
        if input.dim() == 1 and input.numel() == 0:
            return input.clone()
        raise RuntimeError(
            f"[batch_norm] expected at least 2 dimensions (N, C, ...), got {list(input.shape)}"
        )
    if training:
        _check_more_than_one(input.shape)
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif running_mean is None or running_var is None:
        raise RuntimeError(
            "[batch_norm] running_mean and running_var must be defined in evaluation mode"
        )
    own = (input.shape[1],)
    if (
        (running_mean is not None and running_mean.shape != own)
        or (running_var is not None and running_var.shape != own)
        or (weight is not None and weight.shape != own)
        or (bias is not None and bias.shape != own)
    ):
        _check_channels(
            "batch_norm",
            input.shape[1],
            running_mean=running_mean,
            running_var=running_var,
            weight=weight,
            bias=bias,
        )
    return ops.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Normalizes each channel of each sample of (N, C, *) over its positions.

    Shapes: (N, C, *) -> (N, C, *); running_mean, running_var, weight, bias (C). Ulyanov et al.,
    arXiv 1607.08022."""
    _check("instance_norm", input)
    if input.dim() < 2:
        raise RuntimeError(
            f"[instance_norm] expected at least 2 dimensions (N, C, ...), got {list(input.shape)}"
        )
    batch, channels, *sizes = input.shape
    if use_input_stats:
        if math.prod(sizes) == 1:
            raise ValueError(
                "Expected more than 1 spatial element when training, got input size "
                f"{list(input.shape)}"
            )
    elif running_mean is None or running_var is None:
        raise ValueError(
            "Expected running_mean and running_var to be defined when use_input_stats=False"
        )
    _check_channels(
        "instance_norm",
        channels,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if use_input_stats and running_mean is None and running_var is None:
        return ops.group_norm(input, channels, weight, bias, eps)  # each channel a group
    # Every sample's channels become channels of one long sample.
    means, variances, weights, biases = (
        value if value is None else value.repeat(batch)
        for value in (running_mean, running_var, weight, bias)
    )
    result = ops.batch_norm(
        input.reshape(1, batch * channels, *sizes),
        means,
        variances,
        weights,
        biases,
        use_input_stats,
        momentum,
        eps,
    )
    if use_input_stats:
        with dlgrad.no_grad():
            for running, repeated in ((running_mean, means), (running_var, variances)):
                if running is not None:
                    running.copy_(repeated.reshape(batch, channels).mean(0))
    return result.reshape(input.shape)


def _check_normalized_shape(name, input, normalized_shape, **values):
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            f"[{name}] Expected normalized_shape to be at least 1-dimensional, i.e., containing at "
            f"least one element, but got normalized_shape = {list(shape)}"
        )
    for what, value in values.items():
        if value is not None and tuple(value.shape) != shape:
            raise RuntimeError(
                f"[{name}] Expected {what} to be of same shape as normalized_shape, but got {what} "
                f"of shape {list(value.shape)} and normalized_shape = {list(shape)}"
            )
    if input.dim() < len(shape) or tuple(input.shape[-len(shape) :]) != shape:
        expected = ", ".join(["*", *(str(size) for size in shape)])
        raise RuntimeError(
            f"[{name}] Given normalized_shape={list(shape)}, expected input with shape [{expected}], "
            f"but got input of size {list(input.shape)}"
        )
    return shape


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    Shapes: (*, normalized_shape) -> the same; weight and bias normalized_shape. The variance is
    the biased one. Ba et al., arXiv 1607.06450."""
    _check("layer_norm", input)
    return ops.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions.

    `eps` None: the machine epsilon of the input's dtype.
    """
    _check("rms_norm", input)
    return ops.rms_norm(input, normalized_shape, weight, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalizes (N, C, *) over the channels and positions of each of `num_groups` groups.

    With the biased variance of each group; weight and bias (C). Shapes: (N, C, *) -> (N,
    C, *). Raises RuntimeError unless num_groups divides C. Wu and He, arXiv 1803.08494."""
    _check("group_norm", input)
    if input.dim() < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.dim()}"
        )
    if num_groups <= 0:
        raise RuntimeError(
            f"[group_norm] Expected num groups to be greater than 0, got {num_groups}"
        )
    batch, channels = input.shape[:2]
    if channels % num_groups != 0:
        raise RuntimeError(
            f"[group_norm] Expected number of channels in input to be divisible by num_groups, but "
            f"got input of shape {list(input.shape)} and num_groups={num_groups}"
        )
    for what, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise RuntimeError(
                f"[group_norm] Expected {what} to be a vector of size equal to the number of "
                f"channels in input, but got {what} of shape {list(value.shape)} and input of "
                f"shape {list(input.shape)}"
            )
    _check_more_than_one([batch * channels // num_groups, num_groups, *input.shape[2:]])
    return ops.group_norm(input, num_groups, weight, bias, eps)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta.

    Shapes: (N, C, *) -> (N, C, *). Krizhevsky et al., NeurIPS 2012."""
    _check("local_response_norm", input)
    rank = input.dim()
    if rank < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {rank} dimensions)")
    if input.numel() == 0:
        return input
    F = dlgrad.nn.functional
    square = input * input
    # The channels are brought to the end, where a window slides over them.
    rows = square.movedim(1, -1)
    shape = rows.shape
    padded = F.pad(rows.reshape(-1, 1, shape[-1]), (size // 2, (size - 1) // 2))
    mean = F.avg_pool1d(padded, size, stride=1).reshape(shape).movedim(-1, 1)
    return input / (mean * alpha + k).pow(beta)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """x / max(p-norm over `dim`, eps).

    Shapes: (*) -> (*). Floating point."""
    _check("normalize", input)
    norm = input.norm(p, dim, keepdim=True).clamp(min=eps)
    result = input / norm.expand_as(input)
    return result if out is None else out.copy_(result)
