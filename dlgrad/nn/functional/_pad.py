"""Padding, and rearranging channels and pixels."""

from __future__ import annotations

import dlgrad
from dlgrad import Tensor
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.layout import contiguous
from dlgrad.ops.elementwise import anchored, fit_scalar

__all__ = ["pad", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"]


def pad(input, pad, mode="constant", value=None):
    """Pads dimensions from the last one on, by two numbers each: (left, right, top, bottom, ...).

    Modes: constant (with `value`, 0 unless given; negative numbers cut), reflect, replicate and
    circular (of the last one, two or three dimensions of a batch or of one sample).
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"[pad] expected a Tensor, got {type(input).__name__}")
    pad = tuple([int(amount) for amount in pad])
    if len(pad) % 2 != 0:
        raise RuntimeError(f"[pad] Padding length must be divisible by 2, got {len(pad)} numbers")
    if len(pad) // 2 > input.dim():
        raise RuntimeError(
            f"[pad] Padding length should be less than or equal to two times the input dimension "
            f"but got padding length {len(pad)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        return _constant_pad(input, pad, 0.0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    n = len(pad) // 2
    if n not in (1, 2, 3) or input.dim() not in (n + 1, n + 2):
        raise NotImplementedError(
            f"[pad] mode {mode!r} pads the last 1, 2 or 3 dimensions of inputs with one or two more "
            f"dimensions; got {len(pad)} numbers for an input of shape {list(input.shape)}"
        )
    lead = input.dim() - n
    # A batch may be empty, nothing else.
    if 0 in input.shape[1 if lead == 2 else 0 :]:
        raise RuntimeError(
            f"[pad] mode {mode!r} needs non-empty dimensions (but for the batch), got input of "
            f"shape {list(input.shape)}"
        )
    for i in range(n):
        _check_amounts(input, mode, input.dim() - 1 - i, pad[2 * i], pad[2 * i + 1])
    if mode == "circular" and min(pad) < 0:
        # What is cut off is not wrapped around.
        input = _constant_pad(input, tuple(min(amount, 0) for amount in pad), 0)
        pad = tuple(max(amount, 0) for amount in pad)
        for i in range(n):
            _check_amounts(input, mode, input.dim() - 1 - i, pad[2 * i], pad[2 * i + 1])
    if mode != "circular":
        input = anchored(input)
    if not any(pad):
        return input.clone()
    d = input.dtype
    if d.is_complex and input._requires_grad:
        for i in range(n):
            input = _index_pad(input, mode, input.dim() - 1 - i, pad[2 * i], pad[2 * i + 1])
        return input
    return _repeated(input, mode, pad)


_MODES = ("constant", "reflect", "replicate", "circular")


def _moved(input, mode, pad, value):
    """The padded tensor, outside of the graph."""
    lay = input._layout
    rank = lay.ndim
    amounts = (0,) * (2 * rank - len(pad)) + tuple([pad[i + k] for i in range(len(pad) - 2, -1, -2) for k in (0, 1)])
    shape = tuple([size + amounts[2 * k] + amounts[2 * k + 1] for k, size in enumerate(lay.shape)])
    ints = (_MODES.index(mode), int(not lay.dtype.is_floating_point), *amounts)
    return door.call("fill", "pad", contiguous(lay.dtype, shape), (input.detach(),), ints=ints, scalars=(value,))


def _repeated(input, mode, pad):
    """Padding by repetition: a linear map, whose derivative is its transpose."""
    result = _moved(input, mode, pad, 0)
    if input._requires_grad:
        shape = tuple(input._layout.shape)
        record(result, f"{mode.title()}PadNdBackward0", lambda g: _gathered(g, shape, mode, pad), (input,))
    return result


def _gathered(g, shape, mode, pad):
    """The transpose: each position's sum over where it was shown."""
    d = g._layout.dtype
    if d is not dlgrad.float32 and d is not dlgrad.float64:
        return _gathered(g.to(dlgrad.float32), shape, mode, pad).to(d)
    amounts = [pad[i + k] for i in range(len(pad) - 2, -1, -2) for k in (0, 1)]
    ints = (_MODES.index(mode), *amounts)
    if 0 in shape:
        result = dlgrad.zeros(shape, dtype=d)
    else:
        result = door.call("resample", "pad_backward", contiguous(d, shape), (g.detach().contiguous(),), ints=ints)
    if g._requires_grad:
        record(result, f"{mode.title()}PadNdBackwardBackward0", lambda gg: _repeated(gg, mode, pad), (g,))
    return result


def _positions(mode, size, before, after):
    """For each position of the padded dimension, that which it shows."""
    positions = range(-before, size + after)
    if mode == "replicate":
        return [min(max(p, 0), size - 1) for p in positions]
    if mode == "circular":
        return [p % size for p in positions]
    last = size - 1
    return [last - abs(last - abs(p)) for p in positions]


def _check_amounts(input, mode, dim, before, after):
    size = input.shape[dim]
    if mode == "reflect" and max(before, after) >= size:
        raise RuntimeError(
            f"[pad] Padding size should be less than the corresponding input dimension, but got: "
            f"padding ({before}, {after}) at dimension {dim} of input {list(input.shape)}"
        )
    if mode == "circular" and max(before, after) > size:
        raise RuntimeError(
            f"[pad] Padding value causes wrapping around more than once: ({before}, {after}) at "
            f"dimension {dim} of input {list(input.shape)}"
        )
    if size + before + after < (0 if mode == "circular" else 1):
        raise RuntimeError(
            f"[pad] input of shape {list(input.shape)} is too small for padding "
            f"({before}, {after}) at dimension {dim}: the output would have size "
            f"{size + before + after}"
        )


def _index_pad(input, mode, dim, before, after):
    """Pads one dimension by picking the position that each output shows."""
    if before == 0 and after == 0:
        return input
    picked = _positions(mode, input.shape[dim], before, after)
    return input.index_select(dim, dlgrad.tensor(picked, dtype=dlgrad.int64))


def _constant_pad(input, pad, value):
    d = input.dtype
    for i in range(len(pad) // 2):
        size, before, after = input.shape[-1 - i], pad[2 * i], pad[2 * i + 1]
        if size + before + after < 0:
            raise RuntimeError(
                f"[pad] The input size {size}, plus negative padding {before} and {after} resulted "
                "in a negative output size, which is invalid. Check dimension "
                f"{input.dim() - 1 - i} of your input."
            )
    if max(pad, default=0) <= 0 and not input._layout.contiguous:  # the strides stay
        kept = tuple([slice(-pad[i], n + pad[i + 1]) for n, i in zip(reversed(input.shape), range(0, len(pad), 2))])
        result = input.detach()[(..., *reversed(kept))].clone()
    elif d.is_complex and value != 0:
        parts = zip((input.real, input.imag), (complex(value).real, complex(value).imag))
        return dlgrad.complex(*[_constant_pad(part, pad, number) for part, number in parts])
    else:
        result = _moved(input, "constant", pad, 0 if d.is_complex else fit_scalar("pad", value, d))
    if input._requires_grad:
        back = tuple([-amount for amount in pad])
        record(result, "ConstantPadNdBackward0", lambda g: _constant_pad(g, back, 0.0), (input,))
    return result


def _check_image(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor, got {type(input).__name__}")
    if input.dim() < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )


def pixel_shuffle(input, upscale_factor):
    """(*, C r^2, H, W) to (*, C, H r, W r).

    Raises RuntimeError unless r^2 divides the channels. Shi et al., arXiv 1609.05158."""
    _check_image("pixel_shuffle", input)
    r = upscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r) != 0:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    out = channels // (r * r)
    n = len(lead)
    split = input.reshape(*lead, out, r, r, height, width)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    # A copy, also where r = 1 leaves nothing to move.
    moved = split.permute(order).clone(memory_format="contiguous")
    return moved.view(*lead, out, height * r, width * r)


def pixel_unshuffle(input, downscale_factor):
    """(*, C, H r, W r) to (*, C r^2, H, W).

    Raises RuntimeError unless r divides height and width. The inverse of pixel_shuffle."""
    _check_image("pixel_unshuffle", input)
    r = downscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    for what, size in (("height", height), ("width", width)):
        if size % r != 0:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but {size} is "
                f"not divisible by {r}"
            )
    n = len(lead)
    split = input.reshape(*lead, channels, height // r, r, width // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    moved = split.permute(order).clone(memory_format="contiguous")
    return moved.view(*lead, channels * r * r, height // r, width // r)


def channel_shuffle(input, groups):
    """Interleaves the channels (dimension 1) of `groups` groups.

    Shapes: (N, C, *) -> (N, C, *); groups divides C. Zhang et al., arXiv 1707.01083."""
    if input.dim() < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    batch, channels, *rest = input.shape
    if channels % groups != 0:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} "
            "groups."
        )
    split = input.reshape(batch, groups, channels // groups, *rest)
    return split.transpose(1, 2).clone(memory_format="contiguous").view(input.shape)


native_channel_shuffle = channel_shuffle
