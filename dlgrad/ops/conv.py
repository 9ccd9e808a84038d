"""Convolutions in one to three spatial dimensions, and transposed ones. Each of the three kernels (forward, gradient by
input, gradient by weight) is linear in its two tensors, so each one's derivatives are the other two."""

from __future__ import annotations

from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous


class _Geometry:
    """What a convolution is besides its tensors."""

    is_constant = True
    __slots__ = ("dims", "groups", "stride", "padding", "dilation")

    def __init__(self, dims, groups, stride, padding, dilation):
        self.dims, self.groups = dims, groups
        self.stride, self.padding, self.dilation = tuple(stride), tuple(padding), tuple(dilation)

    def ints(self, has_bias):
        return (self.dims, self.groups, int(has_bias), *self.stride, *self.padding, *self.dilation)

    def out_size(self, size, kernel):
        return tuple((s + 2 * p - d * (k - 1) - 1) // st + 1
                     for s, k, st, p, d in zip(size, kernel, self.stride, self.padding, self.dilation))  # fmt: skip


def _forward(x, w, bias, geo):
    """x (N, Cin, *S), w (Cout, Cin / groups, *K) -> (N, Cout, *So)."""
    lx, lw = x._layout, w._layout
    out = contiguous(lx.dtype, (lx.shape[0], lw.shape[0], *geo.out_size(lx.shape[2:], lw.shape[2:])))
    y = door.call("conv", "conv", out, (x, w, bias), ints=geo.ints(bias is not None), name=f"conv{geo.dims}d")
    if x._requires_grad or w._requires_grad or (bias is not None and bias._requires_grad):
        sx, sw = tuple(lx.shape), tuple(lw.shape)
        record(y, "ConvolutionBackward0",
               (lambda g, x, w: _to_input(g, w, None, sx, geo), lambda g, x, w: _to_weight(g, x, sw, geo),
                lambda g, x, w: g.sum((0, *range(2, geo.dims + 2)))),
               (x, w, bias), (x, w))  # fmt: skip
    return y


def _to_input(g, w, bias, shape, geo):
    """The gradient by x of shape `shape`; also the transposed convolution of g."""
    out = contiguous(g._layout.dtype, shape)
    y = door.call("conv", "conv_grad_input", out, (g, w, bias), ints=geo.ints(bias is not None), name=f"conv_transpose{geo.dims}d")
    if g._requires_grad or w._requires_grad or (bias is not None and bias._requires_grad):
        sw = tuple(w._layout.shape)
        places = tuple(g._layout.shape[2:])
        record(y, "ConvolutionBackward0",
               (lambda gg, g, w: _cropped(_forward(gg, w, None, geo), places), lambda gg, g, w: _to_weight(g, gg, sw, geo),
                lambda gg, g, w: gg.sum((0, *range(2, geo.dims + 2)))),
               (g, w, bias), (g, w))  # fmt: skip
    return y


def _cropped(y, places):
    """Without the places beyond those asked for (a transposed convolution's output_padding can make room for more)."""
    return y[(slice(None), slice(None), *[slice(0, n) for n in places])] if tuple(y._layout.shape[2:]) != places else y


def _to_weight(g, x, shape, geo):
    """The gradient by a weight of shape `shape`."""
    y = door.call("conv", "conv_grad_weight", contiguous(g._layout.dtype, shape), (g, x), ints=geo.ints(False), name=f"conv{geo.dims}d")
    if g._requires_grad or x._requires_grad:
        sx, places = tuple(x._layout.shape), tuple(g._layout.shape[2:])
        record(y, "ConvolutionBackwardBackward0",
               (lambda gg, g, x: _cropped(_forward(x, gg, None, geo), places), lambda gg, g, x: _to_input(g, gg, None, sx, geo)), (g, x), (g, x))  # fmt: skip
    return y


def _convolution(dims):
    def conv(input, weight, bias, stride, padding, dilation, groups):
        return _forward(input, weight, bias, _Geometry(dims, groups, stride, padding, dilation))

    conv.__name__ = conv.__qualname__ = f"conv{dims}d"
    conv.__doc__ = f"Cross-correlation over {dims} spatial dimension(s); see dlgrad.nn.functional.conv{dims}d."
    return conv


def _transposed(dims):
    def conv(input, weight, bias, stride, padding, output_padding, groups, dilation):
        geo = _Geometry(dims, groups, stride, padding, dilation)
        lx, lw = input._layout, weight._layout
        size = tuple((s - 1) * st - 2 * p + d * (k - 1) + extra + 1
                     for s, k, st, p, d, extra in zip(lx.shape[2:], lw.shape[2:], geo.stride, geo.padding, geo.dilation, output_padding))  # fmt: skip
        return _to_input(input, weight, bias, (lx.shape[0], lw.shape[1] * groups, *size), geo)

    conv.__name__ = conv.__qualname__ = f"conv_transpose{dims}d"
    conv.__doc__ = f"Transposed convolution over {dims} spatial dimension(s); see dlgrad.nn.functional.conv_transpose{dims}d."
    return conv


conv1d, conv2d, conv3d = (_convolution(n) for n in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transposed(n) for n in (1, 2, 3))
