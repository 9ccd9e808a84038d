"""Convolutions, and the blocks of an image as columns."""

from __future__ import annotations

import math

import dlgrad
from dlgrad import Tensor, ops
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.batched import each_member
from dlgrad.layout import contiguous

from .._sizes import ntuple

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "conv_tbc",
    "unfold",
    "fold",
]


def _sizes(name, what, value, n, smallest):
    """`value` as `n` integers of at least `smallest`."""
    values = ntuple(value, n)
    if len(values) == 1 and n > 1:
        values = values * n
    if len(values) != n:
        raise RuntimeError(f"[{name}] expected {what} to have {n} numbers, got {values}")
    for size in values:
        if isinstance(size, bool) or not isinstance(size, int):
            if not hasattr(size, "__index__"):
                raise TypeError(f"[{name}] {what} must be integers, got {values}")
    values = tuple(int(size) for size in values)
    if min(values) < smallest:
        kind = "negative" if smallest == 0 else "non-positive"
        raise RuntimeError(f"[{name}] {kind} {what} is not supported, got {values}")
    return values


def _check_conv(name, n, input, weight, bias, groups, transposed):
    for what, value in (("input", input), ("weight", weight)):
        if not isinstance(value, Tensor):
            raise TypeError(f"[{name}] {what} must be a Tensor, got {type(value).__name__}")
    if weight.dim() != n + 2:
        raise RuntimeError(
            f"[{name}] weight must have {n + 2} dimensions, got shape {tuple(weight.shape)}"
        )
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"[{name}] Expected {n + 1}D (unbatched) or {n + 2}D (batched) input, but got input of "
            f"size: {list(input.shape)}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"[{name}] input and weight must have the same dtype, got {input.dtype} and "
            f"{weight.dtype}"
        )
    if bias is not None and bias.dtype is not weight.dtype:
        raise RuntimeError(
            f"[{name}] bias and weight must have the same dtype, got {bias.dtype} and {weight.dtype}"
        )
    if groups <= 0:
        raise RuntimeError(f"[{name}] groups must be positive, got {groups}")
    channels = input.shape[-n - 1]
    if 0 in weight.shape[2:]:
        raise RuntimeError(f"[{name}] the kernel is empty: weight has shape {tuple(weight.shape)}")
    if transposed:
        wanted, outputs = weight.shape[0], weight.shape[1] * groups
        if wanted % groups != 0:
            raise RuntimeError(
                f"[{name}] the weight's {wanted} input channels are not divisible by "
                f"groups={groups}"
            )
    else:
        wanted, outputs = weight.shape[1] * groups, weight.shape[0]
        if outputs % groups != 0:
            raise RuntimeError(
                f"[{name}] the weight's {outputs} output channels are not divisible by "
                f"groups={groups}"
            )
    if channels != wanted:
        raise RuntimeError(
            f"[{name}] Given groups={groups}, weight of size {list(weight.shape)}, expected "
            f"input{list(input.shape)} to have {wanted} channels, but got {channels} channels "
            "instead"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(
            f"[{name}] Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional "
            f"with {outputs} elements, but got bias of size {list(bias.shape)} instead"
        )


def _exact(operation):
    """`operation` for integers too: in double precision, which holds sums up to 2^53 exactly."""

    def compute(input, *args):
        if input.is_floating_point():
            return operation(input, *args)
        args = [value.double() if isinstance(value, Tensor) else value for value in args]
        return operation(input.double(), *args).to(input.dtype)

    return compute


def _same_padding(name, input, weight, stride, dilation, n):
    """`input` and padding such that the output is as large as the input."""
    if any(step != 1 for step in stride):
        raise RuntimeError(f"[{name}] padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
    padding = tuple(t // 2 for t in total)
    if any(t % 2 for t in total):
        # An odd total goes to the end: pad by the one that is missing there.
        extra = []
        for t in reversed(total):
            extra += [0, t % 2]
        input = dlgrad.nn.functional.pad(input, extra)
    return input, padding


# What a call's arguments came to after all checks, by layouts and sizes: a layer that is called again
# with the same shapes is not checked again. Emptied when full.
_seen = {}
_SEEN_LIMIT = 1024


def remember(key, value):
    """Keeps `value` for `key`; returns it."""
    if len(_seen) >= _SEEN_LIMIT:
        _seen.clear()
    _seen[key] = value
    return value


def recall(key):
    """What was kept for `key`; None also for a key with lists in it."""
    try:
        return _seen.get(key)
    except TypeError:
        return None


def _conv(name, operation, n, input, weight, bias, stride, padding, dilation, groups):
    key = None
    if isinstance(input, Tensor) and isinstance(weight, Tensor):
        key = (
            name,
            input._layout,
            weight._layout,
            None if bias is None else bias._layout,
            stride,
            padding,
            dilation,
            groups,
        )
        sizes = recall(key)
        if sizes is not None:
            return operation(input, weight, bias, *sizes, groups)
    _check_conv(name, n, input, weight, bias, groups, transposed=False)
    if not input.is_floating_point():
        operation = _exact(operation)
    stride = _sizes(name, "stride", stride, n, 1)
    dilation = _sizes(name, "dilation", dilation, n, 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(
                f"[{name}] Invalid padding string: {padding!r}; use 'same', 'valid' or numbers"
            )
        if padding == "same":
            input, padding = _same_padding(name, input, weight, stride, dilation, n)
        else:
            padding = (0,) * n
    else:
        padding = _sizes(name, "padding", padding, n, 0)
    kernel = weight.shape[2:]
    for size, pad, step, k in zip(input.shape[-n:], padding, dilation, kernel):
        if size + 2 * pad < step * (k - 1) + 1:
            raise RuntimeError(
                f"[{name}] Calculated padded input size per channel: "
                f"{tuple(s + 2 * p for s, p in zip(input.shape[-n:], padding))}. Kernel size: "
                f"{tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel))}. Kernel size can't be "
                "greater than actual input size"
            )
    if input.dim() == n + 1:
        batched = operation(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return batched.squeeze(0)
    if input.is_floating_point() and input._layout is key[1]:
        try:
            remember(key, (stride, padding, dilation))
        except TypeError:  # lists among the sizes
            pass
    return operation(input, weight, bias, stride, padding, dilation, groups)


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of (N, C, L) or (C, L) with weight (C_out, C / groups, K)."""
    return _conv("conv1d", ops.conv1d, 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of (N, C, H, W) or (C, H, W) with weight (C_out, C / groups, KH, KW).

    `padding`: numbers, "valid" (none) or "same" (output as large as the input; stride 1 only).
    """
    return _conv("conv2d", ops.conv2d, 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of (N, C, D, H, W) or (C, D, H, W)."""
    return _conv("conv3d", ops.conv3d, 3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    name, operation, n, input, weight, bias, stride, padding, output_padding, groups, dilation
):
    _check_conv(name, n, input, weight, bias, groups, transposed=True)
    if not input.is_floating_point():
        operation = _exact(operation)
    stride = _sizes(name, "stride", stride, n, 1)
    dilation = _sizes(name, "dilation", dilation, n, 1)
    padding = _sizes(name, "padding", padding, n, 0)
    output_padding = _sizes(name, "output_padding", output_padding, n, 0)
    for extra, step, spread in zip(output_padding, stride, dilation):
        if extra >= step and extra >= spread:
            raise RuntimeError(
                f"[{name}] output padding must be smaller than either stride or dilation, but got "
                f"output_padding: {output_padding}, stride: {stride}, dilation: {dilation}"
            )
    for size, step, pad, spread, k, extra in zip(
        input.shape[-n:], stride, padding, dilation, weight.shape[2:], output_padding
    ):
        if (size - 1) * step - 2 * pad + spread * (k - 1) + extra + 1 < 1:
            raise RuntimeError(
                f"[{name}] the output would be empty: input {list(input.shape)}, kernel "
                f"{list(weight.shape[2:])}, padding {padding}; use less padding"
            )
    args = (weight, bias, stride, padding, output_padding, groups, dilation)
    if input.dim() == n + 1:
        return operation(input.unsqueeze(0), *args).squeeze(0)
    return operation(input, *args)


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Transposed convolution of (N, C, L) or (C, L) with weight (C, C_out / groups, K)."""
    return _conv_transpose(
        "conv_transpose1d",
        ops.conv_transpose1d,
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Transposed convolution of (N, C, H, W) or (C, H, W)."""
    return _conv_transpose(
        "conv_transpose2d",
        ops.conv_transpose2d,
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W)."""
    return _conv_transpose(
        "conv_transpose3d",
        ops.conv_transpose3d,
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_tbc(input, weight, bias, pad=0):
    """A 1-D convolution of (time, batch, channels) with weight (K, C_in, C_out)."""
    if input.dim() != 3 or weight.dim() != 3:
        raise RuntimeError("[conv_tbc] input and weight must have 3 dimensions")
    result = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return result.permute(2, 0, 1)


def _block_geometry(name, size, kernel_size, dilation, padding, stride):
    """The checked sizes, and how many blocks there are down and across."""
    kernel = _sizes(name, "kernel_size", kernel_size, 2, 1)
    dilation = _sizes(name, "dilation", dilation, 2, 1)
    padding = _sizes(name, "padding", padding, 2, 0)
    stride = _sizes(name, "stride", stride, 2, 1)
    blocks = tuple(
        (s + 2 * p - d * (k - 1) - 1) // step + 1
        for s, p, d, k, step in zip(size, padding, dilation, kernel, stride)
    )
    if min(blocks) < 1:
        raise RuntimeError(
            f"[{name}] Given spatial size {tuple(size)}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, the calculated shape of the array of sliding "
            f"blocks is {blocks}, but its components must be at least one"
        )
    return kernel, dilation, padding, stride, blocks


def _moved_blocks(row, result, x, node, rule, ints):
    """unfold or fold by the kernel; complex128, which is larger than what it moves, by its parts."""
    lay = x._layout
    if lay.dtype.itemsize > 8 or (lay.dtype.is_complex and row == "fold"):
        return dlgrad.complex(*[_moved_blocks(row, result, part, node, rule, ints) for part in (x.real, x.imag)])
    if row == "fold" and lay.dtype not in (dlgrad.float32, dlgrad.float64):
        wider = x.to(dlgrad.float32 if lay.dtype.is_floating_point else dlgrad.float64)
        return _moved_blocks(row, result, wider, node, rule, ints).to(lay.dtype)
    if 0 in result:
        out = dlgrad.zeros(result, dtype=lay.dtype)
    else:
        out = door.call("resample", row, contiguous(lay.dtype, result), (x.detach().contiguous(),), ints=ints, name=row)
    return record(out, node, rule, (x,))


@each_member
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The sliding blocks of (N, C, H, W) or (C, H, W) as columns: (N, C KH KW, number of blocks)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"[unfold] expected a Tensor, got {type(input).__name__}")
    if input.dim() not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "[unfold] Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if input.dim() == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    size = tuple(input.shape[2:])
    kernel, dilation, padding, stride, blocks = _block_geometry(
        "unfold", size, kernel_size, dilation, padding, stride
    )
    batch, channels = input.shape[:2]
    image = input.reshape(batch * channels, *size)
    columns = (batch * channels, math.prod(kernel), math.prod(blocks))
    ints = (*kernel, *dilation, *padding, *stride, *blocks)

    def rule(g):
        g = g.reshape(batch, channels * columns[1], columns[2])
        return fold(g, size, kernel, dilation, padding, stride).reshape(batch * channels, *size)

    result = _moved_blocks("unfold", columns, image, "Im2ColBackward0", rule, ints)
    return result.reshape(batch, channels * columns[1], columns[2])


@each_member
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Adds up blocks, (N, C KH KW, L) or (C KH KW, L), into (N, C, *output_size)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"[fold] expected a Tensor, got {type(input).__name__}")
    if input.dim() not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "[fold] Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if input.dim() == 2:
        return fold(
            input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride
        ).squeeze(0)
    size = _sizes("fold", "output_size", output_size, 2, 1)
    kernel, dilation, padding, stride, blocks = _block_geometry(
        "fold", size, kernel_size, dilation, padding, stride
    )
    batch, rows, columns = input.shape
    area = math.prod(kernel)
    if rows % area != 0:
        raise RuntimeError(
            f"[fold] Expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size, but got input.size(1)={rows} and kernel_size={kernel}"
        )
    if columns != math.prod(blocks):
        raise RuntimeError(
            f"[fold] Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding="
            f"{padding}, stride={stride}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {blocks[0]} * {blocks[1]} = {math.prod(blocks)}, "
            f"but got input.size(2)={columns}"
        )
    channels = rows // area
    planes = input.reshape(batch * channels, area, columns)
    ints = (*kernel, *dilation, *padding, *stride, *blocks)

    def rule(g):
        g = g.reshape(batch, channels, *size)
        return unfold(g, kernel, dilation, padding, stride).reshape(-1, area, columns)

    result = _moved_blocks("fold", (batch * channels, *size), planes, "Col2ImBackward0", rule, ints)
    return result.reshape(batch, channels, *size)
