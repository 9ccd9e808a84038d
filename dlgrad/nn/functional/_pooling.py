"""Pooling and max-unpooling."""

from __future__ import annotations

import math

import dlgrad
from dlgrad import Tensor, float32, float64, ops
from dlgrad import plan as door
from dlgrad.batched import every_member
from dlgrad.layout import Layout
from dlgrad.ops.pool import fractional_max_pool
from dlgrad.ops.pool import max_unpool as unpooled

from .._sizes import ntuple
from ._conv import _exact, _sizes, recall, remember

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool1d_with_indices",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d_with_indices",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d_with_indices",
]


def _check_input(name, input, n):
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor, got {type(input).__name__}")
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"[{name}] Expected {n + 1}D or {n + 2}D input, but got shape {list(input.shape)}"
        )
    if 0 in input.shape[-n - 1 :]:
        raise RuntimeError(
            f"[{name}] Expected non-zero sizes (the batch alone may be empty), but got shape "
            f"{list(input.shape)}"
        )


def _windows(name, input, n, kernel_size, stride, padding, dilation, ceil_mode):
    """The checked sizes of a pooling; raises when the output would be empty."""
    kernel = _sizes(name, "kernel_size", kernel_size, n, 1)
    if stride is None or stride == () or stride == []:
        stride = kernel
    stride = _sizes(name, "stride", stride, n, 1)
    padding = _sizes(name, "padding", padding, n, 0)
    dilation = _sizes(name, "dilation", dilation, n, 1)
    for pad, size in zip(padding, kernel):
        if pad > size // 2:
            raise RuntimeError(
                f"[{name}] pad should be at most half of effective kernel size, but got "
                f"padding={padding} and kernel_size={kernel}"
            )
    _check_input(name, input, n)
    for size, k, step, pad, spread in zip(input.shape[-n:], kernel, stride, padding, dilation):
        room = size + 2 * pad - spread * (k - 1) - 1
        out = -(-room // step) + 1 if ceil_mode else room // step + 1
        # With ceil_mode the last window must start inside of the image or its left padding.
        if ceil_mode and (out - 1) * step >= size + pad:
            out -= 1
        if out < 1:
            raise RuntimeError(
                f"[{name}] Given input size {list(input.shape)}, kernel_size={kernel}, padding="
                f"{padding}: the calculated output size is too small ({out})"
            )
    return kernel, stride, padding, dilation


def _pooled(operation, n, input, *args):
    """`operation` on a batch, whether `input` is one or a single sample."""
    if input.dim() == n + 2:
        return operation(input, *args)
    result = operation(input.unsqueeze(0), *args)
    if isinstance(result, tuple):
        return tuple(None if value is None else value.squeeze(0) for value in result)
    return result.squeeze(0)


_AVG_POOL = {n: f"avg_pool{n}d" for n in (1, 2, 3)}
_MAX_POOL = {n: f"max_pool{n}d" for n in (1, 2, 3)}


def _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    name = _MAX_POOL[n]
    sizes = None
    if isinstance(input, Tensor):
        key = (name, input._layout, kernel_size, stride, padding, dilation, ceil_mode)
        sizes = recall(key)
    if sizes is None:
        sizes = _windows(name, input, n, kernel_size, stride, padding, dilation, ceil_mode)
        try:
            remember(key, sizes)
        except TypeError:  # lists among the sizes
            pass
    values, indices = _pooled(
        getattr(ops, name), n, input, *sizes, bool(ceil_mode), return_indices
    )
    return (values, indices) if return_indices else values


def max_pool1d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The largest value of each window of (N, C, L) or (C, L), and where it was if asked.

    Output sizes: (n + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down,
    or up with ceil_mode; stride is kernel_size unless given. Raises RuntimeError where a window
    fits nowhere."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The largest value of each window of (N, C, H, W) or (C, H, W), and where it was if asked.

    Output sizes: (n + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down,
    or up with ceil_mode; stride is kernel_size unless given. Raises RuntimeError where a window
    fits nowhere."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The largest value of each window of (N, C, D, H, W) or (C, D, H, W), and where it was.

    Output sizes: (n + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down,
    or up with ceil_mode; stride is kernel_size unless given. Raises RuntimeError where a window
    fits nowhere."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """max_pool1d with return_indices=True."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """max_pool2d with return_indices=True."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """max_pool3d with return_indices=True."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _avg_pool(n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    name = _AVG_POOL[n]
    key = None
    if isinstance(input, Tensor):
        key = (name, input._layout, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor)  # fmt: skip
        found = recall(key)
        if found is not None:
            return _pooled(getattr(ops, name), n, input, *found)
    kernel, stride, padding, _ = _windows(
        name, input, n, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor is not None and divisor == 0:
        raise RuntimeError(f"[{name}] divisor must be not zero")
    if n == 3 and any(size < k for size, k in zip(input.shape[-3:], kernel)):  # as PyTorch, in 3-D alone
        raise RuntimeError(
            f"[{name}] input image {tuple(input.shape[-3:])} smaller than kernel size {kernel}"
        )
    operation = getattr(ops, name)
    if not input.is_floating_point():
        if input.dtype is not dlgrad.int64:
            raise RuntimeError(f"[{name}] not implemented for {input.dtype}")
        operation = _exact(operation)
    arguments = (kernel, stride, padding, bool(ceil_mode), bool(count_include_pad), divisor)
    if operation is getattr(ops, name):
        try:
            remember(key, arguments)
        except TypeError:  # lists among the sizes
            pass
    return _pooled(operation, n, input, *arguments)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window of (N, C, L) or (C, L).

    Output sizes: (n + 2 padding - kernel_size) / stride + 1, rounded down, or up with
    ceil_mode; stride is kernel_size unless given. count_include_pad: whether padding counts as
    zeros in the mean. Floating point."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window of (N, C, H, W) or (C, H, W).

    Output sizes: (n + 2 padding - kernel_size) / stride + 1, rounded down, or up with
    ceil_mode; stride is kernel_size unless given. count_include_pad: whether padding counts as
    zeros in the mean. Floating point."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W).

    Output sizes: (n + 2 padding - kernel_size) / stride + 1, rounded down, or up with
    ceil_mode; stride is kernel_size unless given. count_include_pad: whether padding counts as
    zeros in the mean. Floating point."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _lp_pool(n, pool, input, norm_type, kernel_size, stride, ceil_mode):
    if norm_type == math.inf:
        return _max_pool(n, input.abs(), kernel_size, stride, 0, 1, ceil_mode, False)
    if norm_type == -math.inf:
        return -_max_pool(n, -input.abs(), kernel_size, stride, 0, 1, ceil_mode, False)
    kernel = ntuple(kernel_size, n)
    powers = pool(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    # Odd powers of negative values may sum to less than 0, whose root PyTorch takes of the size.
    total = powers.sign() * dlgrad.relu(powers.abs())
    return (total * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x^p)^(1/p) over each window of (N, C, L).

    Output sizes: (n - kernel_size) / stride + 1, rounded down, or up with ceil_mode; stride is
    kernel_size unless given."""
    return _lp_pool(1, avg_pool1d, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x^p)^(1/p) over each window of (N, C, H, W).

    Output sizes: (n - kernel_size) / stride + 1, rounded down, or up with ceil_mode; stride is
    kernel_size unless given."""
    return _lp_pool(2, avg_pool2d, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x^p)^(1/p) over each window of (N, C, D, H, W).

    Output sizes: (n - kernel_size) / stride + 1, rounded down, or up with ceil_mode; stride is
    kernel_size unless given."""
    return _lp_pool(3, avg_pool3d, input, norm_type, kernel_size, stride, ceil_mode)


_ADAPTIVE_AVG = {n: f"adaptive_avg_pool{n}d" for n in (1, 2, 3)}
_ADAPTIVE_MAX = {n: f"adaptive_max_pool{n}d" for n in (1, 2, 3)}


def _adaptive_size(name, input, output_size, n):
    """The output size, None meaning the input's own."""
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor, got {type(input).__name__}")
    key = (name, input._layout, output_size)
    found = recall(key)
    if found is not None:
        return found
    size = _checked_adaptive_size(name, input, output_size, n)
    try:
        remember(key, size)
    except TypeError:  # a list
        pass
    return size


def _checked_adaptive_size(name, input, output_size, n):
    size = ntuple(output_size, n)
    if len(size) != n:
        raise ValueError(f"[{name}] output_size must have {n} elements, got {len(size)}")
    if input.dim() not in (n + 1, n + 2):
        raise ValueError(
            f"[{name}] Input dimension should be {n + 1} or {n + 2}, got shape {list(input.shape)}"
        )
    size = tuple(
        int(input.shape[i - n]) if value is None else value for i, value in enumerate(size)
    )
    if min(size) < 0:
        raise RuntimeError(
            f"[{name}] elements of output_size must be greater than or equal to 0, got {size}"
        )
    if 0 in input.shape[-n - 1 :]:
        raise RuntimeError(
            f"[{name}] Expected input to have non-zero size for non-batch dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    return size


def _adaptive_avg(n, input, output_size):
    name = _ADAPTIVE_AVG[n]
    size = _adaptive_size(name, input, output_size, n)
    return _pooled(getattr(ops, name), n, input, size)


def adaptive_avg_pool1d(input, output_size):
    """Average pooling of (N, C, L) to a given length.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input, output_size):
    """Average pooling of (N, C, H, W) to a given size; None keeps a dimension.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too."""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input, output_size):
    """Average pooling of (N, C, D, H, W) to a given size.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(n, input, output_size, return_indices):
    name = _ADAPTIVE_MAX[n]
    size = _adaptive_size(name, input, output_size, n)
    values, indices = _pooled(getattr(ops, name), n, input, size, return_indices)
    return (values, indices) if return_indices else values


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """Max pooling of (N, C, L) to a given length.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too;
    return_indices: also where the maxima were."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """Max pooling of (N, C, H, W) to a given size; None keeps a dimension.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too;
    return_indices: also where the maxima were."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """Max pooling of (N, C, D, H, W) to a given size.

    Window i of m covers n i / m (rounded down) up to n (i + 1) / m (rounded up). Without N too;
    return_indices: also where the maxima were."""
    return _adaptive_max(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    """adaptive_max_pool1d with return_indices=True."""
    return _adaptive_max(1, input, output_size, True)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """adaptive_max_pool2d with return_indices=True."""
    return _adaptive_max(2, input, output_size, True)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    """adaptive_max_pool3d with return_indices=True."""
    return _adaptive_max(3, input, output_size, True)


def _unpool_size(name, input, kernel, stride, padding, output_size, n):
    """The size of the image that a pooling of these sizes came from."""
    default = [
        (size - 1) * step + k - 2 * pad
        for size, step, k, pad in zip(input.shape[-n:], stride, kernel, padding)
    ]
    if output_size is None:
        return default
    output_size = list(output_size)
    if len(output_size) == n + 2:
        output_size = output_size[2:]
    if len(output_size) != n:
        raise ValueError(
            f"[{name}] output_size should be a sequence containing {n} or {n + 2} elements, but it "
            f"has a length of '{len(output_size)}'"
        )
    for i, size in enumerate(output_size):
        if not default[i] - stride[i] < size < default[i] + stride[i]:
            raise ValueError(
                f"[{name}] invalid output_size {output_size} (dim {i} must be between "
                f"{default[i] - stride[i]} and {default[i] + stride[i]})"
            )
    return output_size


def _max_unpool(n, input, indices, kernel_size, stride, padding, output_size):
    name = f"max_unpool{n}d"
    kernel = _sizes(name, "kernel_size", kernel_size, n, 1)
    stride = kernel if stride is None else _sizes(name, "stride", stride, n, 1)
    padding = _sizes(name, "padding", padding, n, 0)
    _check_input(name, input, n)
    if indices.dtype is not dlgrad.int64:
        raise RuntimeError(
            f"[{name}] elements in indices should be type int64, got {indices.dtype}"
        )
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(
            f"[{name}] Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    size = _unpool_size(name, input, kernel, stride, padding, output_size, n)
    lead = tuple(input.shape[:-n])
    if type(input._layout) is type(indices._layout) is Layout:
        return unpooled(input, indices, n, (*lead, *size))
    area = math.prod(size)
    if indices.numel() and (every_member(indices).min().item() < 0 or every_member(indices).max().item() >= area):
        raise RuntimeError(
            f"[{name}] found an invalid max index: {every_member(indices).max().item()} (output volumes are of "
            f"size {size})"
        )
    zeros = dlgrad.zeros((*lead, area), dtype=input.dtype)
    values = input.reshape(*lead, -1)
    return zeros.scatter(-1, indices.reshape(values.shape), values).reshape(*lead, *size)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the values of a max_pool1d back where its indices say; zero elsewhere.

    indices: flat, as max_pool gives them with return_indices; output_size: where the size that
    padding and stride leave open is not the smallest. Raises ValueError or RuntimeError for
    sizes that don't fit."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the values of a max_pool2d back where its indices say; zero elsewhere.

    indices: flat, as max_pool gives them with return_indices; output_size: where the size that
    padding and stride leave open is not the smallest. Raises ValueError or RuntimeError for
    sizes that don't fit."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the values of a max_pool3d back where its indices say; zero elsewhere.

    indices: flat, as max_pool gives them with return_indices; output_size: where the size that
    padding and stride leave open is not the smallest. Raises ValueError or RuntimeError for
    sizes that don't fit."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _fractional_starts(sample, size, out, kernel):
    """Where the windows of one dimension start, by PyTorch's rule: (number of samples, out)."""
    if out == 1:
        return dlgrad.full((sample.shape[0], 1), size - kernel, dtype=dlgrad.int64)
    alpha = (size - kernel) / (out - 1)
    steps = dlgrad.arange(out - 1, dtype=sample.dtype)
    column = sample.unsqueeze(1)
    starts = ((steps + column) * alpha).long() - (column * alpha).long()
    last = dlgrad.full((sample.shape[0], 1), size - kernel, dtype=dlgrad.int64)
    return dlgrad.cat([starts, last], 1)


_fractional: dict = {}  # kernel, output size and the samples' shape of calls that were checked before


def _fractional_max_pool(n, input, kernel_size, output_size, output_ratio, samples):
    key = n, input._layout, kernel_size, output_size, output_ratio
    try:
        found = _fractional.get(key)
    except TypeError:  # lists
        found = key = None
    if found is not None:
        kernel, out, shape = found
        if samples is None:
            samples = dlgrad.rand(shape, dtype=input._layout.dtype)
        if samples._layout.dtype is input._layout.dtype and tuple(samples._layout.shape) == shape:
            return fractional_max_pool(input, samples.detach(), n, kernel, out)
    name = f"fractional_max_pool{n}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    kernel = _sizes(name, "kernel_size", kernel_size, n, 1)
    _check_input(name, input, n)
    if output_size is None:
        ratio = ntuple(output_ratio, n)
        if len(ratio) != n:
            raise ValueError(f"{name} requires output_ratio to have {n} elements, got {ratio}")
        output_size = [int(size * r) for size, r in zip(input.shape[-n:], ratio)]
    out = _sizes(name, "output_size", output_size, n, 1)
    if input.dim() == n + 1:
        values, indices = _fractional_max_pool(n, input.unsqueeze(0), kernel, out, None, samples)
        return values.squeeze(0), indices.squeeze(0)
    batch, channels = input.shape[:2]
    sizes = input.shape[2:]
    for size, k, o in zip(sizes, kernel, out):
        if o + k - 1 > size:
            raise RuntimeError(
                f"[{name}] output size {out} with kernel {kernel} is too large for an input of "
                f"{list(sizes)}"
            )
    if samples is None:
        samples = dlgrad.rand((batch, channels, n), dtype=input.dtype)
    elif (
        samples.dim() != 3 or samples.shape[0] < batch or tuple(samples.shape[1:]) != (channels, n)
    ):
        raise RuntimeError(
            f"[{name}] Expect _random_samples of shape {(batch, channels, n)}, got "
            f"{tuple(samples.shape)}"
        )
    dtype = input._layout.dtype
    plain = type(input._layout) is type(samples._layout) is Layout and input._layout.numel
    if plain and dtype in (float32, float64) and samples._layout.dtype is dtype:
        samples = samples if samples._layout.shape[0] == batch else samples[:batch]
        if key is not None:
            door.remember(_fractional, key, (tuple(kernel), tuple(out), (batch, channels, n)))
        return fractional_max_pool(input, samples.detach(), n, tuple(kernel), tuple(out))
    # The position of every element of every window, dimension by dimension.
    rows = batch * channels
    flat_samples = samples[:batch].reshape(rows, n)
    where = dlgrad.zeros((rows,) + (1,) * (2 * n), dtype=dlgrad.int64)
    for i in range(n):
        # In two dimensions PyTorch's samples come with the last dimension first, in three not.
        column = n - 1 - i if n == 2 else i
        starts = _fractional_starts(flat_samples[:, column], sizes[i], out[i], kernel[i])
        positions = starts.unsqueeze(2) + dlgrad.arange(kernel[i])  # (rows, out, kernel)
        shape = [rows] + [1] * (2 * n)
        shape[1 + i], shape[1 + n + i] = out[i], kernel[i]
        where = where * sizes[i] + positions.reshape(shape)
    where = where.reshape(rows, math.prod(out), math.prod(kernel))
    flat = input.reshape(rows, math.prod(sizes))
    windows = flat.gather(1, where.reshape(rows, math.prod(where.shape[1:]))).reshape(where.shape)
    values, best = windows.max(-1)
    indices = where.gather(2, best.unsqueeze(-1)).squeeze(-1)
    return values.reshape(batch, channels, *out), indices.reshape(batch, channels, *out)


def fractional_max_pool2d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """Max pooling of (N, C, H, W) over windows at pseudo-random steps (arXiv 1412.6071)."""
    result = _fractional_max_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return result if return_indices else result[0]


def fractional_max_pool3d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """fractional_max_pool2d over (N, C, D, H, W)."""
    result = _fractional_max_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return result if return_indices else result[0]


def fractional_max_pool2d_with_indices(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """fractional_max_pool2d with return_indices=True."""
    return _fractional_max_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """fractional_max_pool3d with return_indices=True."""
    return _fractional_max_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)
