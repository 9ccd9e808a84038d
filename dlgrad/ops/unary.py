"""Operations of one tensor, element by element. A row: the name in zig/ops/unary.zig, its derivative, its meaning.

Derivatives are from Abramowitz and Stegun, Handbook of Mathematical Functions, unless they say otherwise."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..autograd.mode import mode
from ..layout import broadcast_shapes
from ..tensor import Tensor, method
from .binary import (
    gelu_backward,
    gelu_tanh_backward,
    hardsigmoid_backward,
    hardswish_backward,
    log_sigmoid_backward,
    mish_backward,
    relu_backward,
    sigmoid_backward,
    silu_backward,
    tanh_backward,  # fmt: skip
)
from .elementwise import as_number, is_scalar, tie, unary, write_inplace, write_out
from .numbered import apply, apply_into, fused, plain
from .writing import quiet

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
_LN2, _LN10 = math.log(2), math.log(10)


def _sign_of_whole(x):
    d = x._layout.dtype
    return x.clone() if d is dt.bool else x.clamp(max=1) if d is dt.uint8 else x.clamp(-1, 1)


def _everywhere(value):
    """A bool for every element, in the order of the input's memory."""

    def answer(x):
        from .create import full_like

        return full_like(x, value, dtype=dt.bool)

    return answer


_never, _always = _everywhere(False), _everywhere(True)

neg = unary("neg", lambda g: -g, "-x.", kind="number", aliases=("negative",))
positive = unary("positive", lambda g: g, "x.", kind="number", inplace=False)
abs = unary("abs", lambda g, x: g * x.sign(), "|x|; the derivative at 0 is 0.", kind="any", aliases=("absolute",))
sign = unary("sign", lambda g: g * 0, "-1, 0 or 1; 0 for nan.", kind="any", whole=_sign_of_whole)
sgn = unary("sgn", lambda g: g * 0, "sign(x), for real numbers.", kind="any", kernel="sign", whole=_sign_of_whole)
_square = unary("square", lambda g, x: fused("mul_scaled", (g, x), (2.0,)) if plain(g) else g * (x * 2), "x^2.", kind="any")
relu = unary("relu", lambda g, y: relu_backward(g, y), "max(x, 0); the derivative at 0 is 0.", kind="number")
bitwise_not = unary("bitwise_not", None, "All bits flipped (bool: not).", kind="int")
logical_not = unary("logical_not", None, "True where x is 0.", kind="bool")
isnan = unary("isnan", None, "True where x is nan.", kind="bool", inplace=False, whole=_never)
isinf = unary("isinf", None, "True where x is +-inf.", kind="bool", inplace=False, whole=_never)
isfinite = unary("isfinite", None, "True where x is neither nan nor infinite.", kind="bool", inplace=False, whole=_always)
isposinf = unary("isposinf", None, "True where x is +inf.", kind="bool", inplace=False, whole=_never)
isneginf = unary("isneginf", None, "True where x is -inf.", kind="bool", inplace=False, whole=_never)
signbit = unary("signbit", None, "True where the sign bit is set (so of -0.0 too).", kind="bool", inplace=False)

floor = unary("floor", lambda g: g * 0, "The largest integer not above x.", kind="whole")
ceil = unary("ceil", lambda g: g * 0, "The smallest integer not below x.", kind="whole")
trunc = unary("trunc", lambda g: g * 0, "x without its fraction.", kind="whole", aliases=("fix",))
frac = unary("frac", lambda g: g, "x - trunc(x).", kind="floating")

sqrt = unary("sqrt", lambda g, y: fused("div_scaled", (g, y), (0.5,)) if plain(g) else g / (y * 2), "The square root; nan below 0.")
rsqrt = unary("rsqrt", lambda g, y: g * (y * y * y * -0.5), "1 / sqrt(x).")
reciprocal = unary("reciprocal", lambda g, y: fused("mul3", (g, y, y), (-1.0,)) if plain(g) else -g * (y * y), "1 / x.")
exp = unary("exp", lambda g, y: g * y, "e^x.")
exp2 = unary("exp2", lambda g, y: fused("mul_scaled", (g, y), (_LN2,)) if plain(g) else g * y * _LN2, "2^x.")
expm1 = unary("expm1", lambda g, y: g * (y + 1), "e^x - 1, exact near 0.")
log = unary("log", lambda g, x: g / x, "The natural logarithm; -inf at 0, nan below.")
log2 = unary("log2", lambda g, x: fused("div_scaled", (g, x), (1 / _LN2,)) if plain(g) else g / (x * _LN2), "The logarithm to base 2.")
log10 = unary("log10", lambda g, x: fused("div_scaled", (g, x), (1 / _LN10,)) if plain(g) else g / (x * _LN10), "The logarithm to base 10.")
log1p = unary("log1p", lambda g, x: g / (x + 1), "log(1 + x), exact near 0.")
sin = unary("sin", lambda g, x: g * cos(x), "The sine (radians).")
cos = unary("cos", lambda g, x: g * -sin(x), "The cosine (radians).")
tan = unary("tan", lambda g, y: g * (y * y + 1), "The tangent (radians).")
asin = unary("asin", lambda g, x: g * rsqrt(1 - x * x), "The inverse sine, in [-pi/2, pi/2].", aliases=("arcsin",))
acos = unary("acos", lambda g, x: g * -rsqrt(1 - x * x), "The inverse cosine, in [0, pi].", aliases=("arccos",))
atan = unary("atan", lambda g, x: g / (x * x + 1), "The inverse tangent, in [-pi/2, pi/2].", aliases=("arctan",))
sinh = unary("sinh", lambda g, x: g * cosh(x), "The hyperbolic sine.")
cosh = unary("cosh", lambda g, x: g * sinh(x), "The hyperbolic cosine.")
tanh = unary("tanh", lambda g, y: tanh_backward(g, y), "The hyperbolic tangent.")
asinh = unary("asinh", lambda g, x: g * rsqrt(x * x + 1), "The inverse hyperbolic sine.", aliases=("arcsinh",))
acosh = unary("acosh", lambda g, x: g * rsqrt(x * x - 1), "The inverse hyperbolic cosine (x >= 1).", aliases=("arccosh",))
atanh = unary("atanh", lambda g, x: g / (1 - x * x), "The inverse hyperbolic tangent (|x| <= 1).", aliases=("arctanh",))
erf = unary("erf", lambda g, x: g * (exp(-(x * x)) * _TWO_OVER_SQRT_PI), "The error function.")
erfc = unary("erfc", lambda g, x: g * (exp(-(x * x)) * -_TWO_OVER_SQRT_PI), "1 - erf(x), exact for large x.")
erfinv = unary("erfinv", lambda g, x: g * (exp(erfinv(x) ** 2) / _TWO_OVER_SQRT_PI), "The inverse error function (|x| <= 1).")
lgamma = unary("lgamma", lambda g, x: g * digamma(x), "log |Gamma(x)|.")
digamma = unary("digamma", lambda g, x: g * trigamma(x), "The derivative of lgamma.")
trigamma = unary("trigamma", lambda g, x: g * _tetragamma(x), "The derivative of digamma.", methods=False, inplace=False)
i0 = unary("i0", lambda g, x: g * _i1(x), "The modified Bessel function of order 0.")
i0e = unary("i0e", lambda g, x, y: g * _i0e_slope(x, y), "e^-|x| i0(x).", methods=False, inplace=False)
ndtr = unary("ndtr", lambda g, x: g * (exp(x * x * -0.5) * (_TWO_OVER_SQRT_PI / math.sqrt(8))),
             "The distribution function of the standard normal distribution.", methods=False, inplace=False)  # fmt: skip
sinc = unary("sinc", lambda g, x: g * _sinc_slope(x), "sin(pi x) / (pi x); 1 at 0.")
entr = unary("entr", lambda g, x: g * (-log(x) - 1), "-x log(x); 0 at 0, -inf below.", methods=False, inplace=False)
sigmoid = unary("sigmoid", lambda g, y: sigmoid_backward(g, y), "1 / (1 + e^-x).")
log_sigmoid = unary("log_sigmoid", lambda g, x: log_sigmoid_backward(g, x), "log(sigmoid(x)).", methods=False, inplace=False, kind="floating")
silu = unary("silu", lambda g, x: silu_backward(g, x), "x sigmoid(x) (Elfwing 2017).", methods=False, inplace=False, kind="floating")
mish = unary("mish", lambda g, x: mish_backward(g, x), "x tanh(softplus(x)) (Misra 2019).", methods=False, inplace=False, kind="floating")
tanhshrink = unary("tanhshrink", lambda g, x: g * square(tanh(x)), "x - tanh(x).", methods=False, inplace=False)
softsign = unary("softsign", lambda g, x: fused("softsign_backward", (g, x)) if plain(g) else g / square(1 + abs(x)), "x / (1 + |x|).", methods=False, inplace=False)
hardswish = unary("hardswish", lambda g, x: hardswish_backward(g, x), "x relu6(x + 3) / 6 (Howard 2019).", methods=False, inplace=False, kind="floating")
hardsigmoid = unary("hardsigmoid", lambda g, x: hardsigmoid_backward(g, x), "relu6(x + 3) / 6.", methods=False, inplace=False, kind="floating")
_gelu = unary("gelu", lambda g, x: gelu_backward(g, x), "x Phi(x) (Hendrycks 2016).", methods=False, inplace=False, kind="floating")
_gelu_tanh = unary("gelu_tanh", lambda g, x: gelu_tanh_backward(g, x), "gelu by tanh.", methods=False, inplace=False, kind="floating")

negative, absolute, fix = neg, abs, trunc
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
Tensor.logical_not_ = lambda self: self.copy_(logical_not(self))


def square(input, *, out=None):
    """x^2 (int64 for bool)."""
    _tensor("square", input)
    if input._layout.dtype is dt.bool:
        input = input.to(dt.int64)
    return _square(input, out=out)


square.op = _square.op
Tensor.square = lambda self: square(self)


def _i1(x):
    from ..special import i1

    return i1(x)


def _i0e_slope(x, y):
    """e^-|x| i1(x) - sign(x) y."""
    from ..special import i1e

    return i1e(x) - sign(x) * y


def _tetragamma(x):
    from ..special import polygamma

    return polygamma(2, x)


def _sinc_slope(x):
    """(cos(pi x) - sinc(x)) / x, and 0 at 0."""
    from .ternary import where

    p = x * math.pi
    near = x == 0
    safe = where(near, 1.0, x)
    return where(near, 0.0, (p * cos(p) - sin(p)) / (safe * safe * math.pi))


def gelu(input, approximate="none"):
    """x Phi(x), Phi being the normal distribution's; approximate='tanh': by its tanh form (Hendrycks and Gimpel 2016)."""
    if approximate == "none":
        return _gelu(input)
    if approximate != "tanh":
        raise RuntimeError(f"gelu(): approximate argument must be either none or tanh, got {approximate!r}")
    return _gelu_tanh(input)


# ---------------------------------------------------------------------- with parameters


def _tensor(name, x):
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")


def _floating(name, x):
    _tensor(name, x)
    if not x._layout.dtype.is_floating_point:
        raise RuntimeError(f'{name}(): not implemented for {x._layout.dtype.name}: it takes floating point tensors')


def softplus(input, beta=1, threshold=20):
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    _floating("softplus", input)
    return apply("softplus", input, (beta, threshold), _softplus_slope)


def _softplus_slope(g, x, numbers):
    if not mode.enabled:
        return fused("softplus_backward", (g, x), numbers)
    from .ternary import where

    beta, threshold = numbers
    return where(x * beta > threshold, g, g * sigmoid(x * beta))


def elu(input, alpha=1.0, scale=1.0, input_scale=1.0):
    """scale x above 0, scale alpha (e^(input_scale x) - 1) below (Clevert 2015)."""
    _floating("elu", input)
    return apply("elu", input, (alpha, scale, input_scale), _elu_slope)


def _elu_slope(g, x, numbers):
    if not mode.enabled:
        return fused("elu_backward", (g, x), numbers)
    from .ternary import where

    alpha, scale, input_scale = numbers
    return where(x > 0, g * scale, g * (exp(x * input_scale) * (alpha * scale * input_scale)))


SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def selu(input):
    """The self-normalising elu (Klambauer 2017)."""
    return elu(input, *SELU)


def celu(input, alpha=1.0):
    """max(0, x) + min(0, alpha (e^(x / alpha) - 1)) (Barron 2017)."""
    if alpha == 0:
        raise RuntimeError("celu(): ZeroDivisionError: alpha cannot be 0 for CELU")
    return elu(input, alpha, 1.0, 1.0 / alpha)


def leaky_relu(input, negative_slope=0.01):
    """x above 0, negative_slope x below."""
    _floating("leaky_relu", input)
    return apply("leaky_relu", input, (negative_slope,), _leaky_relu_slope)


def _leaky_relu_slope(g, x, numbers):
    if not mode.enabled:
        return fused("leaky_relu_backward", (g, x), numbers)
    from .ternary import where

    return tie(where(x > 0, g, g * numbers[0]), x)


def threshold(input, threshold, value):
    """x where it is above `threshold`, else `value`."""
    _tensor("threshold", input)
    return apply("threshold", input, (threshold, value), _threshold_slope)


def _threshold_slope(g, x, numbers):
    if not mode.enabled:
        return fused("threshold_backward", (g, x), numbers[:1])
    return tie(g * (x > numbers[0]), x)


def hardtanh(input, min_val=-1.0, max_val=1.0):
    """x kept within [min_val, max_val]; the derivative at the borders is 0."""
    _tensor("hardtanh", input)
    if input._layout.dtype is dt.bool:
        raise RuntimeError("hardtanh(): not implemented for bool")
    if min_val > max_val:
        raise ValueError(f"hardtanh(): min_val ({min_val}) cannot be greater than max_val ({max_val})")
    return apply("hardtanh", input, (min_val, max_val), _hardtanh_slope, row="clamp")


def _hardtanh_slope(g, x, numbers):
    if not mode.enabled:
        return fused("hardtanh_backward", (g, x), numbers)
    return tie(g * ((x > numbers[0]) & (x < numbers[1])), x)


def relu6(input):
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


def _shrink(name):
    def f(input, lambd=0.5):
        _floating(name, input)
        if lambd < 0 and name == "softshrink":
            raise RuntimeError(f"softshrink(): lambda must be greater or equal to 0, but found to be {lambd}")
        return apply(name, input, (lambd,), _shrink_slope)

    f.__name__ = f.__qualname__ = name
    return f


def _shrink_slope(g, x, numbers):
    if not mode.enabled:
        return fused("shrink_backward", (g, x), numbers)
    return tie(g * ~((x >= -numbers[0]) & (x <= numbers[0])), x)


softshrink = _shrink("softshrink")
softshrink.__doc__ = "x - lambd above lambd, x + lambd below -lambd, else 0."
hardshrink = _shrink("hardshrink")
hardshrink.__doc__ = "x where |x| > lambd, else 0."
Tensor.hardshrink = hardshrink


def logit(input, eps=None, *, out=None):
    """log(x / (1 - x)); x is kept within [eps, 1 - eps] if eps is given."""
    _tensor("logit", input)
    if not input._layout.dtype.is_floating_point:
        input = input.to(dt.get_default_dtype())
    result = apply("logit", input, (-1.0 if eps is None else eps,), _logit_slope)
    return result if out is None else write_out("logit", out, result)


def _logit_slope(g, x, numbers):
    from .ternary import where

    slope, eps = g / (x * (1 - x)), numbers[0]
    if eps < 0:
        return where((x >= 0) & (x <= 1), slope, float("nan"))
    return where((x >= eps) & (x <= 1 - eps), slope, 0.0)


Tensor.logit = logit


@method
def nan_to_num(input, nan=0.0, posinf=None, neginf=None, *, out=None):
    """x with nan, +inf and -inf replaced (by default by 0 and the dtype's largest and smallest numbers)."""
    _tensor("nan_to_num", input)
    d = input._layout.dtype
    if not d.is_floating_point:
        result = input.clone()
    else:
        info = dt.finfo(d)
        values = (0.0 if nan is None else nan, info.max if posinf is None else posinf, info.min if neginf is None else neginf)
        result = apply("nan_to_num", input, values, lambda g, x, _: g * isfinite(x), out=out)
    return result if out is None or result is out else write_out("nan_to_num", out, result, exact=True)


@method
def round(input, *, decimals=0, out=None):
    """The nearest integer, ties to even; `decimals`: at that many decimal places."""
    _tensor("round", input)
    d = input._layout.dtype
    if not d.is_floating_point:
        if decimals:
            raise RuntimeError(f"round(): decimals={decimals} is not implemented for {d.name}")
        result = input.clone()
    elif decimals == 0:
        result = apply("round", input, (), _zero_slope, out=out, keep=False)
    else:
        power = 10.0 ** (decimals if decimals > 0 else -decimals)
        result = apply("round_decimals", input, (power,), _zero_slope, ints=(int(decimals < 0),), keep=False)
    return result if out is None or result is out else write_out("round", out, result)


def _zero_slope(g, x, numbers):
    return g * 0


def _bound(name, t, bound):
    if bound is not None and not isinstance(bound, Tensor) and not is_scalar(bound):
        raise TypeError(f"{name}(): a bound must be a number or a Tensor, not {type(bound).__name__}")


@method
def clamp(input, min=None, max=None, *, out=None):
    """x kept within [min, max] (numbers, or tensors that broadcast). The derivative is 1 at the borders."""
    low, high = type(min), type(max)
    if (low is float or low is int or min is None) and (high is float or high is int or max is None) and out is None:
        if isinstance(input, Tensor) and not (min is None and max is None):
            d = input._layout.dtype
            if d.is_floating_point or not (d.is_complex or d is dt.bool or low is float or high is float):
                return _clamp_numbers(input, min, max)
    from .elementwise import result_type

    _tensor("clamp", input)
    if min is None and max is None:
        raise RuntimeError("clamp(): At least one of 'min' or 'max' must not be None")
    _bound("clamp", input, min)
    _bound("clamp", input, max)
    if input._layout.dtype is dt.bool and min is not None and max is not None:
        raise RuntimeError("clamp(): not implemented for bool")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        if (min is not None and not isinstance(min, Tensor)) or (max is not None and not isinstance(max, Tensor)):
            raise TypeError("clamp(): min and max must both be numbers or both be Tensors")
        result = _clamp_tensors(input, min, max, out)
        return result if out is None or result is out else write_out("clamp", out, result)
    bounds = [as_number(b) for b in (min, max) if b is not None]
    low, high = None if min is None else as_number(min), None if max is None else as_number(max)
    result = _clamp_numbers(input.to(result_type(input, *bounds)), low, high, out)
    return result if out is None or result is out else write_out("clamp", out, result, exact=True)


def _clamp_numbers(x, low, high, out=None):
    """x, of the result's dtype, within [low, high] (None: no bound)."""
    if _is_nan(low) or _is_nan(high):
        return x * math.nan
    if high is None:
        return apply("clamp", x, (low,), _clamp_min_slope, row="clamp_min", out=out)
    if low is None:
        return apply("clamp", x, (high,), _clamp_max_slope, row="clamp_max", out=out)
    return apply("clamp", x, (low, high), _clamp_slope, out=out)


def _clamp_slope(g, x, numbers):
    low, high = numbers
    return tie(g * ((x >= low) & (x <= high)), x) if mode.enabled else fused("clamp_backward", (g, x), numbers)


def _clamp_min_slope(g, x, numbers):
    return tie(g * (x >= numbers[0]), x) if mode.enabled else fused("clamp_backward", (g, x), (*numbers, math.inf))


def _clamp_max_slope(g, x, numbers):
    return tie(g * (x <= numbers[0]), x) if mode.enabled else fused("clamp_backward", (g, x), (-math.inf, *numbers))


def _is_nan(v):
    """Whether the number is nan."""
    return v is not None and v != v


def _clamp_tensors(x, low, high, out=None):
    """min(max(x, low), high) for tensors: the gradient goes to x inside and at the borders, else to the bound."""
    from .binary import maximum, minimum
    from .elementwise import result_type
    from .ternary import _run as run_ternary

    common = result_type(*[t for t in (x, low, high) if t is not None])
    x = x.to(common)
    if low is None:
        return _pick(x, high.to(common), minimum)
    if high is None:
        return _pick(x, low.to(common), maximum)
    low, high = low.to(common), high.to(common)
    if not (mode.enabled and (x._requires_grad or low._requires_grad or high._requires_grad)):
        shape = broadcast_shapes(x._layout.shape, low._layout.shape, high._layout.shape, op="clamp")
        return run_ternary("clamp_tensor", common, (x, low, high), shape, name="clamp", out=out)
    return _pick(_pick(x, low, maximum), high, minimum)


def _pick(x, bound, extreme):
    """maximum or minimum of x and a bound, with the whole gradient to x on a tie."""
    from .ternary import where

    chosen = extreme(x.detach(), bound.detach())
    if not (mode.enabled and (x._requires_grad or bound._requires_grad)):
        return chosen
    take_x = (chosen == x) | (isnan(chosen) & isnan(x))
    return where(take_x, x, bound)


clip = clamp
Tensor.clip = clamp


@method
def clamp_min(input, min, *, out=None):
    """max(x, min)."""
    return clamp(input, min=min, out=out)


@method
def clamp_max(input, max, *, out=None):
    """min(x, max)."""
    return clamp(input, max=max, out=out)


class _Row:
    """What write_inplace needs of an operation that is no elementwise row."""

    plans: dict = {}
    arity = 9
    kind = "any"

    def __init__(self, name, function):
        self.name = name
        self.op = self.function = function


def inplace(name, function, into=None):
    """Attaches the in-place method `name_` of a function whose first parameter is the tensor. into: writes straight
    into the tensor, outside of the graph, and returns True; or False if it does not know how."""
    row = _Row(name, function)

    def method_(self, *args, **kwargs):
        if into is not None and quiet(self, *args) and into(self, *args, **kwargs):
            return self
        return write_inplace(name + "_", self, row, args, kwargs)

    method_.__name__ = name + "_"
    method_.__doc__ = f"In-place form of `{name}`."
    setattr(Tensor, name + "_", method_)


def _clamp_into(t, min=None, max=None):
    """clamp written over t, if one kernel can; else False."""
    if isinstance(min, Tensor) and isinstance(max, Tensor):
        from .ternary import run_into

        return quiet(t, min, max) and run_into("clamp_tensor", t, (min, max))
    numbers = tuple([v for v in (min, max) if v is not None])
    if not numbers or not t._layout.dtype.is_floating_point or 0 in t._layout.strides:
        return False
    for v in numbers:
        if (type(v) is not float and type(v) is not int) or v != v:
            return False
    apply_into("clamp", t, numbers, "clamp_max" if min is None else "clamp_min" if max is None else "clamp")
    return True


def _written_over(function, t, args, kwargs):
    """function(t, ..., out=t), where that is sure to be right in place."""
    if not t._layout.dtype.is_floating_point or 0 in t._layout.strides or "out" in kwargs:
        return False
    return function(t, *args, **kwargs, out=t) is t


for _name in ("clamp", "clip"):
    inplace(_name, clamp, _clamp_into)
inplace("clamp_min", clamp_min, lambda t, min: _clamp_into(t, min))
inplace("clamp_max", clamp_max, lambda t, max: _clamp_into(t, None, max))
for _name, _f in (("round", round), ("nan_to_num", nan_to_num)):
    # An out= that is the input is written straight, if at all.
    inplace(_name, _f, lambda t, *args, _f=_f, **kwargs: _written_over(_f, t, args, kwargs))
inplace("logit", logit)
