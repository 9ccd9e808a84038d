"""Activations and the softmax family."""

from __future__ import annotations

import warnings

import dlgrad
from dlgrad import Tensor, ops
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.autograd.mode import mode
from dlgrad.layout import Layout
from dlgrad.ops.elementwise import ROWS, sum_to, tie, write_inplace
from dlgrad.ops.numbered import apply_into, fused, plain
from dlgrad.ops.writing import check_inplace

__all__ = [
    "threshold",
    "threshold_",
    "relu",
    "relu_",
    "glu",
    "hardtanh",
    "hardtanh_",
    "relu6",
    "elu",
    "elu_",
    "selu",
    "selu_",
    "celu",
    "celu_",
    "leaky_relu",
    "leaky_relu_",
    "prelu",
    "rrelu",
    "rrelu_",
    "logsigmoid",
    "gelu",
    "hardshrink",
    "tanhshrink",
    "softsign",
    "softplus",
    "softmin",
    "softmax",
    "gumbel_softmax",
    "log_softmax",
    "softshrink",
    "tanh",
    "sigmoid",
    "hardsigmoid",
    "silu",
    "mish",
    "hardswish",
]


def _check(name, input):
    """TypeError for an input that is no Tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor, got {type(input).__name__}")


def _floating(name, input):
    """TypeError or RuntimeError for an input that is no floating-point Tensor."""
    _check(name, input)
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(
            f"[{name}] not implemented for {input.dtype}; convert the input first, as with .float()"
        )


def _inplace(name, row, function, input, *numbers):
    """function(input, *numbers) written into the input; `row` computes it, if it need not be recorded."""
    if mode.enabled and input.requires_grad:
        return input.copy_(function(input.clone(), *numbers))  # the gradient needs the old values
    if input._layout.dtype.is_floating_point and 0 not in input._layout.strides:
        check_inplace(name + "_", input)
        return apply_into(name, input, numbers, row)
    return input.copy_(function(input, *numbers))


def _inplace_row(name, input):
    """The elementwise row `name` written into the input."""
    if mode.enabled and input.requires_grad:
        return input.copy_(ROWS[name].op(input.clone()))
    return write_inplace(name + "_", input, ROWS[name], (), {})


def threshold(input, threshold, value, inplace=False):
    """x where x > threshold, else `value`.

    Shapes: (*) -> (*). inplace: writes over the input."""
    _check("threshold", input)
    if inplace:
        return _inplace("threshold", "threshold", ops.threshold, input, threshold, value)
    return ops.threshold(input, threshold, value)


def threshold_(input, threshold, value):
    """threshold, in place."""
    return _inplace("threshold", "threshold", ops.threshold, input, threshold, value)


def relu(input, inplace=False):
    """max(0, x).

    Shapes: (*) -> (*). inplace: writes over the input."""
    if inplace:
        return input.relu_()
    return ops.relu(input)


def relu_(input):
    """max(0, x), in place."""
    return input.relu_()


def glu(input, dim=-1):
    """a sigmoid(b), where a and b are the halves of the input along `dim`.

    Shapes: dimension `dim` of even size 2n -> n. Dauphin et al., arXiv 1612.08083."""
    _check("glu", input)
    if input.dim() == 0:
        raise RuntimeError("[glu] does not support 0-dimensional tensors")
    size = input.size(dim)
    if size % 2 != 0:
        raise RuntimeError(
            f"[glu] Halving dimension must be even, but dimension {dim} is size {size}"
        )
    if not input._layout.dtype.is_floating_point:
        first, second = input.chunk(2, dim)
        return first * second.sigmoid()
    with dlgrad.no_grad():
        out = fused("glu", tuple(input.detach().chunk(2, dim)), (), 0)
    return record(out, "GluBackward0", lambda g, x: _glu_slope(g, x, dim), (input,), (input,))


def _glu_slope(g, x, dim):
    if not (plain(g) and type(g._layout) is Layout and type(x._layout) is Layout):
        first, second = x.chunk(2, dim)
        s = second.sigmoid()
        return dlgrad.cat((g * s, g * first * s * (1 - s)), dim)
    first, second = x.detach().chunk(2, dim)
    out = dlgrad.empty_like(x)
    for half, row, inputs in zip(out.chunk(2, dim), ("glu", "glu_backward"), ((g, second), (g, first, second))):
        family = "binary" if len(inputs) == 2 else "ternary"
        door.call(family, row, half._layout, inputs, into=half)
    return out


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x cut to [min_val, max_val].

    Shapes: (*) -> (*). inplace: writes over the input."""
    _check("hardtanh", input)
    if min_val > max_val:
        raise ValueError(
            f"[hardtanh] min_val cannot be greater than max_val, got {min_val} and {max_val}"
        )
    if input.dtype is dlgrad.bool:
        raise RuntimeError("[hardtanh] bool inputs are not supported")
    if not input._layout.dtype.is_floating_point:
        if input.dtype is dlgrad.uint8 and (min_val < 0 or max_val < 0):
            raise RuntimeError(
                "[hardtanh] cannot take negative bounds for an unsigned (uint8) input"
            )
        result = input.clamp(int(min_val), int(max_val))
        return input.copy_(result) if inplace else result
    if inplace:
        return _inplace("hardtanh", "clamp", ops.hardtanh, input, float(min_val), float(max_val))
    return ops.hardtanh(input, float(min_val), float(max_val))


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    """hardtanh, in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input, inplace=False):
    """min(max(0, x), 6).

    Shapes: (*) -> (*). inplace: writes over the input. Krizhevsky, Convolutional deep belief
    networks on CIFAR-10, 2010."""
    return hardtanh(input, 0.0, 6.0, inplace)


def elu(input, alpha=1.0, inplace=False):
    """x where x > 0, else alpha (exp(x) - 1).

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Clevert et al., arXiv 1511.07289."""
    _floating("elu", input)
    if inplace:
        return _inplace("elu", "elu", ops.elu, input, alpha, 1.0, 1.0)
    return ops.elu(input, alpha)


def elu_(input, alpha=1.0):
    """elu, in place."""
    return elu(input, alpha, inplace=True)


def selu(input, inplace=False):
    """scale (max(0, x) + min(0, alpha (exp(x) - 1))), with alpha 1.6733 and scale 1.0507.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Klambauer et al., arXiv 1706.02515."""
    _floating("selu", input)
    if inplace:
        return _inplace("selu", "elu", ops.elu, input, *ops.unary.SELU)
    return ops.selu(input)


def selu_(input):
    """selu, in place."""
    return selu(input, inplace=True)


def celu(input, alpha=1.0, inplace=False):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)).

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Barron, arXiv 1704.07483."""
    _floating("celu", input)
    if alpha == 0:
        raise RuntimeError("[celu] alpha cannot be 0: the formula divides by it")
    if inplace:
        return _inplace("celu", "elu", ops.elu, input, alpha, 1.0, 1.0 / alpha)
    return ops.celu(input, alpha)


def celu_(input, alpha=1.0):
    """celu, in place."""
    return celu(input, alpha, inplace=True)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where x > 0, else negative_slope x.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Maas et al., ICML workshop 2013."""
    _floating("leaky_relu", input)
    if inplace:
        return _inplace("leaky_relu", "leaky_relu", ops.leaky_relu, input, negative_slope)
    return ops.leaky_relu(input, negative_slope)


def leaky_relu_(input, negative_slope=0.01):
    """leaky_relu, in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def prelu(input, weight):
    """x where x > 0, else weight x: one weight, or one for each channel (dimension 1).

    Shapes: (N, C, *) -> (N, C, *), weight (1) or (C). He et al., arXiv 1502.01852."""
    _check("prelu", input)
    _check("prelu", weight)
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"[prelu] input and weight must have the same dtype, got {input.dtype} and "
            f"{weight.dtype}"
        )
    if weight.dim() > 1:
        raise RuntimeError(
            f"[prelu] weight must be a scalar or 1-dimensional, got shape {tuple(weight.shape)}"
        )
    if weight.numel() != 1:
        if input.dim() == 0:
            raise RuntimeError("[prelu] a 0-dimensional input takes a single weight")
        channels = input.size(1) if input.dim() > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                f"[prelu] number of weights must match the number of channels: got "
                f"{weight.numel()} weights for an input of shape {tuple(input.shape)} with "
                f"{channels} channels"
            )
    if input.dim() > 1 and weight.dim() == 1:
        weight = weight.reshape((1, -1) + (1,) * (input.dim() - 2))
    elif input.dim() == 0:
        weight = weight.reshape(())
    return _prelu(input, weight)


def _prelu(input, weight):
    """x where x > 0, else weight x, the weight broadcasting to x's shape."""
    out = fused("prelu", (input, weight), (), 0)
    return record(out, "PreluKernelBackward0", (_prelu_slope, _prelu_weight_slope), (input, weight), (input, weight))


def _prelu_slope(g, x, w):
    return fused("prelu_backward", (g, x, w)) if plain(g) else tie(dlgrad.where(x > 0, g, w * g), x)


def _prelu_weight_slope(g, x, w):
    slope = fused("prelu_backward_weight", (g, x)) if plain(g) else tie(dlgrad.where(x > 0, 0.0, g * x), w)
    return sum_to(slope, w._layout.shape)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """x where x >= 0, else a x: a uniform in [lower, upper] in training, their mean otherwise.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Xu et al., arXiv 1505.00853."""
    _floating("rrelu", input)
    if lower > upper:
        raise RuntimeError(f"[rrelu] lower must not exceed upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with dlgrad.no_grad():
        slope = dlgrad.empty_like(input).uniform_(lower, upper)
    result = _prelu(input.clone() if inplace and input.requires_grad else input, slope)
    return input.copy_(result) if inplace else result


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """rrelu, in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def logsigmoid(input):
    """log(1 / (1 + exp(-x))).

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes."""
    _floating("logsigmoid", input)
    return ops.log_sigmoid(input)


def gelu(input, *, approximate="none"):
    """x Phi(x), Phi the normal distribution function; approximate="tanh": its tanh form.

    Shapes: (*) -> (*). Hendrycks and Gimpel, arXiv 1606.08415."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"[gelu] approximate must be 'none' or 'tanh', got {approximate!r}")
    return ops.gelu(input, approximate)


def hardshrink(input, lambd=0.5):
    """x where |x| > lambd, else 0.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes."""
    _floating("hardshrink", input)
    return ops.hardshrink(input, lambd)


def tanhshrink(input):
    """x - tanh(x).

    Shapes: (*) -> (*)."""
    _check("tanhshrink", input)
    return ops.unary.tanhshrink(input)


def softsign(input):
    """x / (1 + |x|).

    Shapes: (*) -> (*)."""
    _check("softsign", input)
    return ops.unary.softsign(input)


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes."""
    _floating("softplus", input)
    return ops.softplus(input, beta, threshold)


def softshrink(input, lambd=0.5):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes."""
    _floating("softshrink", input)
    if lambd < 0:
        raise RuntimeError(f"[softshrink] lambda must be greater or equal to 0, but found {lambd}")
    return ops.softshrink(input, lambd)


def tanh(input):
    """tanh(x).

    Shapes: (*) -> (*)."""
    return input.tanh()


def sigmoid(input):
    """1 / (1 + exp(-x)).

    Shapes: (*) -> (*)."""
    return input.sigmoid()


def hardsigmoid(input, inplace=False):
    """min(max(0, x + 3), 6) / 6.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input."""
    _floating("hardsigmoid", input)
    return _inplace_row("hardsigmoid", input) if inplace else ops.hardsigmoid(input)


def silu(input, inplace=False):
    """x sigmoid(x).

    Shapes: (*) -> (*). inplace: writes over the input. Elfwing et al., arXiv 1702.03118."""
    _check("silu", input)
    return _inplace_row("silu", input) if inplace else ops.silu(input)


def mish(input, inplace=False):
    """x tanh(softplus(x)).

    Shapes: (*) -> (*). inplace: writes over the input. Misra, arXiv 1908.08681."""
    _check("mish", input)
    return _inplace_row("mish", input) if inplace else ops.mish(input)


def hardswish(input, inplace=False):
    """x min(max(0, x + 3), 6) / 6.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Howard et al., arXiv 1905.02244."""
    _floating("hardswish", input)
    return _inplace_row("hardswish", input) if inplace else ops.hardswish(input)


def _implicit_dim(name, rank, stacklevel):
    door.not_again()
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if rank in (0, 1, 3) else 1


def _over_dim(name, function, input, dim, stacklevel, dtype):
    _check(name, input)
    if dim is None:
        dim = _implicit_dim(name, input.dim(), stacklevel + 1)
    if dtype is not None:
        input = input.to(dtype)
    return function(input, dim)


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """exp(x) / sum(exp(x)) over `dim`; computed in `dtype` when given."""
    return _over_dim("softmax", ops.softmax, input, dim, _stacklevel, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-x) over `dim`."""
    _check("softmin", input)
    return _over_dim("softmin", ops.softmax, -input, dim, _stacklevel, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """log(softmax(x)) over `dim`, computed without overflow."""
    return _over_dim("log_softmax", ops.log_softmax, input, dim, _stacklevel, dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample of the Gumbel-softmax distribution (arXiv 1611.01144) with temperature `tau`.

    With `hard` the result is one-hot, and its gradient that of the soft sample.
    """
    if eps != 1e-10:
        door.not_again()
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    with dlgrad.no_grad():
        noise = -dlgrad.empty_like(logits).exponential_().log()
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = dlgrad.zeros_like(soft).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft
