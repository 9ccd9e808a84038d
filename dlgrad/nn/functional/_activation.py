"""Activations and the softmax family."""

from __future__ import annotations

import warnings

import dlgrad
from dlgrad import Tensor, ops
from dlgrad.ops.elementwise import anchored

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
    if not input.is_floating_point():
        raise RuntimeError(
            f"[{name}] not implemented for {input.dtype}; convert the input first, as with .float()"
        )


def _kept(input, inplace):
    """What to compute from: a copy where `input` is overwritten but its values are needed by the gradient."""
    return input.clone() if inplace and input.requires_grad and dlgrad.is_grad_enabled() else input


def _finish(input, result, inplace):
    """The result, written into the input when that was asked for."""
    return input.copy_(result) if inplace else result


def threshold(input, threshold, value, inplace=False):
    """x where x > threshold, else `value`.

    Shapes: (*) -> (*). inplace: writes over the input."""
    _check("threshold", input)
    return _finish(input, ops.threshold(_kept(input, inplace), threshold, value), inplace)


def threshold_(input, threshold, value):
    """threshold, in place."""
    return input.copy_(ops.threshold(_kept(input, True), threshold, value))


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
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()


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
    if not input.is_floating_point():
        if input.dtype is dlgrad.uint8 and (min_val < 0 or max_val < 0):
            raise RuntimeError(
                "[hardtanh] cannot take negative bounds for an unsigned (uint8) input"
            )
        return _finish(input, input.clamp(int(min_val), int(max_val)), inplace)
    return _finish(
        input, ops.hardtanh(_kept(input, inplace), float(min_val), float(max_val)), inplace
    )


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
    return _finish(input, ops.elu(_kept(input, inplace), alpha), inplace)


def elu_(input, alpha=1.0):
    """elu, in place."""
    return elu(input, alpha, inplace=True)


# The fixed point of mean 0 and variance 1 (arXiv 1706.02515, appendix).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(input, inplace=False):
    """scale (max(0, x) + min(0, alpha (exp(x) - 1))), with alpha 1.6733 and scale 1.0507.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Klambauer et al., arXiv 1706.02515."""
    _floating("selu", input)
    return _finish(input, ops.elu(_kept(input, inplace), _SELU_ALPHA) * _SELU_SCALE, inplace)


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
    # elu of x / alpha, scaled back; for positive x that is x itself.
    x = _kept(input, inplace)
    negative = dlgrad.expm1(x.clamp(max=0) / alpha) * alpha
    return _finish(input, dlgrad.where(x > 0, x, negative), inplace)


def celu_(input, alpha=1.0):
    """celu, in place."""
    return celu(input, alpha, inplace=True)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where x > 0, else negative_slope x.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Maas et al., ICML workshop 2013."""
    _floating("leaky_relu", input)
    return _finish(input, ops.leaky_relu(_kept(input, inplace), negative_slope), inplace)


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
    input = anchored(input)
    return dlgrad.where(input > 0, input, weight * input)


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
        slope = dlgrad.where(input > 0, dlgrad.ones_like(slope), slope)
    return _finish(input, input * slope, inplace)


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
    return input / (input.abs() + 1)


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
    return _finish(input, ops.hardsigmoid(_kept(input, inplace)), inplace)


def silu(input, inplace=False):
    """x sigmoid(x).

    Shapes: (*) -> (*). inplace: writes over the input. Elfwing et al., arXiv 1702.03118."""
    _check("silu", input)
    return _finish(input, ops.silu(_kept(input, inplace)), inplace)


def mish(input, inplace=False):
    """x tanh(softplus(x)).

    Shapes: (*) -> (*). inplace: writes over the input. Misra, arXiv 1908.08681."""
    _check("mish", input)
    return _finish(input, ops.mish(_kept(input, inplace)), inplace)


def hardswish(input, inplace=False):
    """x min(max(0, x + 3), 6) / 6.

    Shapes: (*) -> (*). Floating point; raises RuntimeError for other dtypes. inplace: writes over
    the input. Howard et al., arXiv 1905.02244."""
    _floating("hardswish", input)
    return _finish(input, ops.hardswish(_kept(input, inplace)), inplace)


def _implicit_dim(name, rank, stacklevel):
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
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    with dlgrad.no_grad():
        noise = -dlgrad.empty_like(logits).exponential_().log()
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = dlgrad.zeros_like(soft).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft
