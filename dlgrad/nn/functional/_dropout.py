"""The dropout family."""

from __future__ import annotations

import math
import warnings

import dlgrad
from dlgrad import ops
from dlgrad.ops._draw import new_drawn
from dlgrad.plan import not_again

__all__ = [
    "dropout",
    "alpha_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def _check_p(p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input, p=0.5, training=True, inplace=False):
    """In training, zeroes elements with probability `p` and scales the others by 1 / (1 - p).

    Shapes: (*) -> (*). Raises ValueError for p outside of [0, 1]. The places come from the
    default generator. Srivastava et al., JMLR 15, 2014."""
    _check_p(p)
    if not training or p == 0.0:
        return input
    if inplace:
        return _feature_mask_applied(input, p, input.shape, inplace=True)
    return ops.dropout(input, p)


def _feature_mask_applied(input, p, mask_shape, inplace):
    """`input` times a mask of `mask_shape` whose elements are 0 or 1 / (1 - p)."""
    with dlgrad.no_grad():
        if p == 1.0:
            mask = dlgrad.zeros(mask_shape, dtype=input.dtype)
        else:
            mask = new_drawn(mask_shape, input.dtype).bernoulli_(1 - p).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask


def _feature_dropout(input, p, training, inplace):
    if not training or p == 0.0:
        return input
    mask_shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    return _feature_mask_applied(input, p, mask_shape, inplace)


def dropout1d(input, p=0.5, training=True, inplace=False):
    """In training, zeroes whole channels of (N, C, L) or (C, L).

    What stays is scaled by 1 / (1 - p). Tompson et al., arXiv 1411.4280."""
    _check_p(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. To drop "
            "single elements, use dropout instead."
        )
    if input.dim() == 2:
        return _feature_dropout(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _feature_dropout(input, p, training, inplace)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """In training, zeroes whole channels of (N, C, H, W).

    What stays is scaled by 1 / (1 - p). Tompson et al., arXiv 1411.4280."""
    _check_p(p)
    if input.dim() not in (3, 4):
        not_again()
        warnings.warn(
            f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated; "
            "use (N, C, H, W), or dropout for single elements",
            stacklevel=2,
        )
    if input.dim() == 3:
        # As in PyTorch: three dimensions are taken as (N, C, L), not as an unbatched image.
        not_again()
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L)",
            stacklevel=2,
        )
    return _feature_dropout(input, p, training, inplace)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """In training, zeroes whole channels of (N, C, D, H, W) or (C, D, H, W).

    What stays is scaled by 1 / (1 - p). Tompson et al., arXiv 1411.4280."""
    _check_p(p)
    if input.dim() not in (4, 5):
        not_again()
        warnings.warn(
            f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated; "
            "use (N, C, D, H, W), or dropout for single elements",
            stacklevel=2,
        )
    if input.dim() == 4:
        return _feature_dropout(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _feature_dropout(input, p, training, inplace)


# What SELU tends to for large negative input: -scale * alpha.
_ALPHA = 1.7580993408473766


def _alpha_dropout(input, p, mask_shape, inplace):
    if p == 1.0:
        return input.mul_(0) if inplace else input * 0
    keep = 1 - p
    with dlgrad.no_grad():
        mask = new_drawn(mask_shape, input.dtype).bernoulli_(keep)
    a = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * keep)
    b = mask.sub(1).mul_(_ALPHA * a).add_(_ALPHA * a * p)
    scale = mask.mul(a)
    return input.mul_(scale).add_(b) if inplace else input * scale + b


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean 0 and variance 1 (arXiv 1706.02515)."""
    _check_p(p)
    if not training or p == 0.0:
        return input
    return _alpha_dropout(input, p, input.shape, inplace)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """alpha_dropout of whole channels."""
    _check_p(p)
    if not training or p == 0.0:
        return input
    if input.dim() < 2:
        raise RuntimeError(
            f"feature_alpha_dropout: expected at least 2 dimensions (N, C, ...), got {input.dim()}"
        )
    mask_shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    return _alpha_dropout(input, p, mask_shape, inplace)
