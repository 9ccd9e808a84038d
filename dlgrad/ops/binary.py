"""Operations of two tensors, element by element, with broadcasting and promotion. A row: the name in
zig/ops/binary.zig, the derivatives by its first and second input, its meaning."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import broadcast_shapes, expanded
from ..plan import make_plan, remember, write_plan
from ..tensor import Tensor, method
from .elementwise import (
    ROWS,
    binary,
    is_scalar,
    result_type,
    sum_to,
    to_tensor,
    write_inplace,
    write_out,
)
from .numbered import fused, plain
from .writing import apart, write_directly, write_with_number

_add = binary("add", lambda g: g, lambda g: g, "a + b.")
_sub = binary("sub", lambda g: g, lambda g: -g, "a - b.", kind="number", aliases=("subtract",),
              no_bool="Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
              "use the `~` or `logical_not()` operator instead.")  # fmt: skip
mul = binary("mul", lambda g, b: g * b, lambda g, a: g * a, "a b.", aliases=("multiply",))
_div = binary("div", lambda g, b: g / b, lambda g, a, b: _div_slope(g, a, b), "a / b.", kind="float", aliases=("divide", "true_divide"))
_floor_divide = binary("floor_divide", None, None, "floor(a / b).", kind="number")
_trunc_divide = binary("trunc_divide", None, None, "trunc(a / b).", kind="number", methods=False, inplace=False)
remainder = binary("remainder", lambda g: g, lambda g, a, b: -g * floor_divide(a, b), "a - b floor(a / b): the sign of b.", kind="number")
fmod = binary("fmod", lambda g: g, lambda g, a, b: -g * _rounded(_trunc_divide, a, b), "a - b trunc(a / b): the sign of a.", kind="number")
pow = binary("pow", lambda g, a, b: _pow_base(g, a, b), lambda g, a, b, y: _pow_exponent(g, a, b, y), "a^b.", whole_from=0)
maximum = binary("maximum", lambda g, a, b: _to_larger(g, a, b), lambda g, a, b: _to_larger(g, b, a),
                 "The larger one; nan if either is. On a tie each gets half of the gradient.", inplace=False)  # fmt: skip
minimum = binary("minimum", lambda g, a, b: _to_larger(g, b, a), lambda g, a, b: _to_larger(g, a, b),
                 "The smaller one; nan if either is. On a tie each gets half of the gradient.", inplace=False)  # fmt: skip
fmax = binary("fmax", lambda g, a, b: g * ((a >= b) | (b != b)), lambda g, a, b: g * ~((a >= b) | (b != b)),
              "The larger one; of nan and a number the number.", inplace=False)  # fmt: skip
fmin = binary("fmin", lambda g, a, b: g * ((a <= b) | (b != b)), lambda g, a, b: g * ~((a <= b) | (b != b)),
              "The smaller one; of nan and a number the number.", inplace=False)  # fmt: skip
atan2 = binary("atan2", lambda g, a, b: g * (b / (a * a + b * b)), lambda g, a, b: g * (-a / (a * a + b * b)),
               "The angle of the point (b, a), in (-pi, pi].", kind="float", aliases=("arctan2",))  # fmt: skip
hypot = binary("hypot", lambda g, a, y: g * (a / y), lambda g, b, y: g * (b / y), "sqrt(a^2 + b^2).", kind="floating")
logaddexp = binary("logaddexp", lambda g, a, b: g / (1 + (b - a).exp()), lambda g, a, b: g / (1 + (a - b).exp()), "log(e^a + e^b).", kind="floating", inplace=False)
logaddexp2 = binary("logaddexp2", lambda g, a, b: g / (1 + (b - a).exp2()), lambda g, a, b: g / (1 + (a - b).exp2()), "log2(2^a + 2^b).", kind="floating", inplace=False)
copysign = binary("copysign", lambda g, a, y: g * (_times_sign(a, y)), lambda g: g * 0, "|a| with the sign of b.", kind="float")
nextafter = binary("nextafter", lambda g, a, b: g * (a != b), lambda g: g * 0, "The next number after a on the way to b.", kind="floating")
heaviside = binary("heaviside", None, None, "0 below 0, b at 0, 1 above.", kind="any")
xlogy = binary("xlogy", lambda g, a, b: g * _xlogy_slope(a, b), lambda g, a, b: g * (a / b), "a log(b); 0 where a is 0.", kind="float")
xlog1py = binary("xlog1py", lambda g, a, b: g * _xlogy_slope(a, b + 1), lambda g, a, b: g * (a / (b + 1)),
                 "a log(1 + b); 0 where a is 0.", kind="float", methods=False, inplace=False)  # fmt: skip
bitwise_and = binary("bitwise_and", None, None, "a & b.", kind="int")
bitwise_or = binary("bitwise_or", None, None, "a | b.", kind="int")
bitwise_xor = binary("bitwise_xor", None, None, "a ^ b.", kind="int")
bitwise_left_shift = binary("bitwise_left_shift", None, None, "a << b.", kind="int")
bitwise_right_shift = binary("bitwise_right_shift", None, None, "a >> b, keeping the sign.", kind="int")
gcd = binary("gcd", None, None, "The greatest common divisor.", kind="int")
lcm = binary("lcm", None, None, "The least common multiple.", kind="int")
eq = binary("eq", None, None, "a == b.", kind="bool")
ne = binary("ne", None, None, "a != b.", kind="bool", aliases=("not_equal",))
lt = binary("lt", None, None, "a < b.", kind="bool", aliases=("less",))
le = binary("le", None, None, "a <= b.", kind="bool", aliases=("less_equal",))
gt = binary("gt", None, None, "a > b.", kind="bool", aliases=("greater",))
ge = binary("ge", None, None, "a >= b.", kind="bool", aliases=("greater_equal",))
logical_and = binary("logical_and", None, None, "Neither is 0.", kind="bool")
logical_or = binary("logical_or", None, None, "Not both are 0.", kind="bool")
logical_xor = binary("logical_xor", None, None, "Exactly one is 0.", kind="bool")

multiply, arctan2 = mul, atan2
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


# ---------------------------------------------------------------------- derivatives that need care


def _zeros_where(condition, value):
    from .ternary import where

    return where(condition, 0.0, value)


def _pow_base(g, a, b):
    """b a^(b - 1), and 0 where b is 0 (also at a = 0)."""
    if not isinstance(b, Tensor):
        if b == 0:
            return g * 0
        if b == 2:
            return g * (a * 2)
        return g * (pow.op(a, b - 1) * b)
    if not isinstance(a, Tensor):
        a = to_tensor("pow", a, g.dtype)
    return _zeros_where(b == 0, g * (b * pow.op(a, b - 1)))


def _pow_exponent(g, a, b, y):
    """y log(a), and 0 where a is 0 and b >= 0."""
    from .ternary import where

    if not isinstance(a, Tensor):
        if a == 0:
            return where(b >= 0, 0.0, g * (y * -math.inf))
        return g * (y * (math.log(a) if a > 0 else math.nan))
    if not isinstance(b, Tensor):
        b = to_tensor("pow", b, g.dtype)
    zero = (a == 0) & (b >= 0)
    return where(zero, 0.0, g * (y * a.log()))


def _to_larger(g, a, b):
    """g where a is larger, half of it on a tie, else 0."""
    if plain(g) and isinstance(a, Tensor) and isinstance(b, Tensor):
        return fused("maximum_backward", (g, a, b))
    win, tie = a > b, a == b
    d = g._layout.dtype
    return g * (win.to(d) + tie.to(d) * 0.5)


def _div_slope(g, a, b):
    """-g a / b^2. The result is not used: it may be written to."""
    if plain(g) and isinstance(a, Tensor) and a._layout.dtype is g._layout.dtype:
        return fused("div_slope", (g, a, b))
    return -g * (a / b / b)


def _times_sign(a, y):
    """The derivative of copysign by a: 1 where the sign stayed, -1 where it changed, 0 at 0."""
    from .ternary import where

    a = to_tensor("copysign", a, y.dtype)
    return where(a == 0, 0.0, (y / a))


def _xlogy_slope(a, b):
    """log(b), and 0 where a is 0 and b <= 0."""
    from .ternary import where

    b = to_tensor("xlogy", b) if not isinstance(b, Tensor) else b
    return where((a == 0) & (b <= 0), 0.0, b.log())


# ---------------------------------------------------------------------- fused derivatives of activations


def _backward_row(name, doc, dg=None, dx=None):
    return binary(name, dg, dx, doc, kind="any", methods=False, inplace=False)


relu_backward = _backward_row("relu_backward", "g where y > 0, else 0.", lambda g, b: relu_backward(g, b), lambda g: g * 0)
sigmoid_backward = _backward_row("sigmoid_backward", "g y (1 - y).", lambda g, b: sigmoid_backward(g, b), lambda g, a, b: g * a * (1 - 2 * b))
tanh_backward = _backward_row("tanh_backward", "g (1 - y^2).", lambda g, b: tanh_backward(g, b), lambda g, a, b: g * a * b * -2)


def _smooth(name, doc, slope):
    """A backward row whose second derivatives are worked out from `slope(x)`, the first one in Tensor operations."""
    row = _backward_row(name, doc)

    def f(g, x):
        return g * slope(x) if mode.enabled else row.op(g, x)

    f.__doc__ = doc
    return f


def _normal_density(x):
    return (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))


def _gelu_slope(x):
    return (1 + (x * math.sqrt(0.5)).erf()) * 0.5 + x * _normal_density(x)


def _gelu_tanh_slope(x):
    k = math.sqrt(2 / math.pi)
    t = ((x + x * x * x * 0.044715) * k).tanh()
    return (1 + t) * 0.5 + x * 0.5 * (1 - t * t) * (k * (1 + 3 * 0.044715 * x * x))


def _silu_slope(x):
    s = x.sigmoid()
    return s * (1 + x * (1 - s))


def _mish_slope(x):
    from .unary import softplus

    t = softplus(x).tanh()
    return t + x * x.sigmoid() * (1 - t * t)


gelu_backward = _smooth("gelu_backward", "g (Phi(x) + x phi(x)), phi being the density of the normal distribution.", _gelu_slope)
gelu_tanh_backward = _smooth("gelu_tanh_backward", "g times the derivative of gelu's tanh form.", _gelu_tanh_slope)
silu_backward = _smooth("silu_backward", "g s (1 + x (1 - s)) with s = sigmoid(x).", _silu_slope)
mish_backward = _smooth("mish_backward", "g (t + x sigmoid(x) (1 - t^2)) with t = tanh(softplus(x)).", _mish_slope)
log_sigmoid_backward = _smooth("log_sigmoid_backward", "g sigmoid(-x).", lambda x: (-x).sigmoid())
hardswish_backward = _smooth("hardswish_backward", "g (x / 3 + 1/2) for -3 < x < 3, g above, 0 below.", lambda x: ((x > -3) & (x < 3)) * (x / 3 + 0.5) + (x >= 3))
hardsigmoid_backward = _smooth("hardsigmoid_backward", "g / 6 for -3 < x < 3, else 0.", lambda x: ((x > -3) & (x < 3)).to(x.dtype) * (1 / 6))


# ---------------------------------------------------------------------- with more arguments


def _scaled(name, other, alpha, input):
    if alpha == 1:
        return other
    kind = result_type(input, other) if isinstance(input, Tensor) else dt.get_default_dtype()
    if isinstance(alpha, bool) and kind is not dt.bool:
        raise RuntimeError(f"{name}(): Boolean alpha only supported for Boolean results, the result is {kind.name}")
    if isinstance(alpha, float) and not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"{name}(): For integral input tensors, argument alpha must not be a floating point number, got {alpha}")
    if not isinstance(other, Tensor):
        return other * alpha
    return mul.op(other if other.dtype is kind else other.to(kind), alpha)  # scaled in the result's dtype


def _add_scaled(a, b, alpha):
    """a + alpha b in one pass, of one dtype that has room for alpha; else None."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or (type(alpha) is not float and type(alpha) is not int):
        return None
    d = a._layout.dtype
    if b._layout.dtype is not d or d.is_complex or d is dt.bool:
        return None
    if not d.is_floating_point and (type(alpha) is float or not dt.iinfo(d).min <= alpha <= dt.iinfo(d).max):
        return None
    out = fused("add_scaled", (a, b), (alpha,), 0)
    if a._requires_grad or b._requires_grad:
        record(out, "AddBackward0", _ADD_SCALED_SLOPES, (a, b), (alpha, a._layout.shape, b._layout.shape))
    return out


_ADD_SCALED_SLOPES = (
    lambda g, alpha, first, second: sum_to(g, first),
    lambda g, alpha, first, second: sum_to(g * alpha, second),
)


def _with_alpha(row):
    name, op = row.name, row.op
    def f(input, other, *, alpha=1, out=None):
        if alpha == 1:
            if isinstance(out, Tensor) and isinstance(input, Tensor) and isinstance(other, Tensor):
                if write_directly(row.plans.get((input._layout, other._layout)), out, input, other):
                    return out
            elif out is not None and write_with_number(row, out, input, other):
                return out
            result = op(input, other)
        else:
            result = _add_scaled(input, other, alpha if name == "add" else -alpha)
            if result is None:
                result = op(input, _scaled(name, other, alpha, input))
        return result if out is None else write_out(name, out, result)

    f.op = op
    f.__name__ = f.__qualname__ = name
    return f


add = _with_alpha(ROWS["add"])
add.__doc__ = "a + alpha b."
sub = _with_alpha(ROWS["sub"])
sub.__doc__ = "a - alpha b."
subtract = sub


def rsub(input, other, *, alpha=1):
    """b - alpha a."""
    if not isinstance(input, Tensor):
        raise TypeError(f"rsub(): argument 'input' must be Tensor, not {type(input).__name__}")
    if is_scalar(other) and alpha != 1:
        return _sub.op(other, _scaled("rsub", input, alpha, input.to(result_type(input, other))))
    return sub(other, input, alpha=alpha)


def div(input, other, *, rounding_mode=None, out=None):
    """a / b; rounding_mode 'trunc' or 'floor' rounds the quotient (and keeps integers)."""
    if rounding_mode is None:
        result = _div.op(input, other)
    elif rounding_mode == "floor":
        result = _rounded(_floor_divide, input, other)
    elif rounding_mode == "trunc":
        result = _rounded(_trunc_divide, input, other)
    else:
        raise RuntimeError(f"div(): expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}")
    return result if out is None else write_out("div", out, result)


def _rounded(f, a, b):
    """A rounded quotient: its derivative is 0, but it stays in the graph."""
    y = f.op(a, b)
    if mode.enabled and any(isinstance(t, Tensor) and t.requires_grad for t in (a, b)):
        inputs = [t for t in (a, b) if isinstance(t, Tensor)]
        shapes = [tuple(t.shape) for t in inputs]
        record(y, "DivBackward1", lambda g: tuple(g.new_zeros(s) for s in shapes), inputs)
    return y


divide = div
true_divide = _div


def floor_divide(input, other, *, out=None):
    """floor(a / b), in the common dtype."""
    result = _rounded(_floor_divide, input, other)
    return result if out is None else write_out("floor_divide", out, result)


def float_power(input, exponent, *, out=None):
    """a^b in float64 (complex128 of complex numbers)."""
    d = dt.complex128 if result_type(input, exponent).is_complex else dt.float64
    number = complex if d.is_complex else float
    a, b = [v.to(d) if isinstance(v, Tensor) else number(v) for v in (input, exponent)]
    result = pow(a, b)
    return result if out is None else write_out("float_power", out, result)


def _float_power_into(input, exponent):
    """float_power for the in-place form, which has no room for another dtype."""
    result = float_power(input, exponent)
    if result._layout.dtype is not input._layout.dtype:
        raise RuntimeError(
            f"float_power_(): the base has dtype {input._layout.dtype.name}, but the result requires {result._layout.dtype.name}"
        )
    return result


def ldexp(input, other, *, out=None):
    """a 2^b."""
    for value, what in ((input, "input"), (other, "other")):
        if not isinstance(value, Tensor):
            raise TypeError(f"ldexp(): argument '{what}' must be Tensor, not {type(value).__name__}")
    result = mul(input, pow.op(2.0, other))
    return result if out is None else write_out("ldexp", out, result)


# ---------------------------------------------------------------------- methods and operators


def _scaled_into(sign):
    """The in-place form of a + sign alpha b, outside of the graph, where one kernel can."""
    row, plans = "add_scaled", {}

    def into(t, other, *, alpha=1):
        if not isinstance(other, Tensor) or (type(alpha) is not float and type(alpha) is not int) or not apart(t, other):
            return False
        plan = plans.get((t._layout, other._layout))
        if plan is None:
            lay, shape = t._layout, t._layout.shape
            if not lay.dtype.is_floating_point or other._layout.dtype is not lay.dtype or 0 in lay.strides:
                return False
            if broadcast_shapes(shape, other._layout.shape, op="add_") != shape:
                return False
            plan = make_plan("binary", row, (lay,), (lay, expanded(other._layout, shape)), (), (), "add_", into=True)
            remember(plans, (lay, other._layout), plan)
        write_plan(plan, t, (t, other), (sign * float(alpha),))
        return True

    return into


_SCALED_INTO = {"add": _scaled_into(1.0), "sub": _scaled_into(-1.0), "subtract": _scaled_into(-1.0)}


def _methods():
    from .unary import inplace

    for names, f in ((("add",), add), (("sub", "subtract"), sub), (("div", "divide", "true_divide"), div),
                     (("floor_divide",), floor_divide), (("float_power",), float_power), (("ldexp",), ldexp), (("rsub",), rsub)):  # fmt: skip
        for n in names:
            setattr(Tensor, n, f)
    # `x.add_(y)` writes straight into x where alpha is 1; the other forms are computed beside and copied.
    for name in ("add", "sub", "subtract", "div", "divide", "true_divide"):
        plain = getattr(Tensor, name + "_")
        inplace(name, {"add": add, "sub": sub, "subtract": sub}.get(name, div), _SCALED_INTO.get(name))
        general = getattr(Tensor, name + "_")
        setattr(Tensor, name + "_", _either(plain, general))
    for name, f in (("floor_divide", floor_divide), ("float_power", _float_power_into), ("ldexp", ldexp)):
        inplace(name, f)


def _either(plain, general):
    def method_(self, other, **kwargs):
        return general(self, other, **kwargs) if kwargs else plain(self, other)

    method_.__name__, method_.__doc__ = plain.__name__, plain.__doc__
    return method_


def _operator(op):
    def f(self, other):
        if isinstance(other, Tensor) or is_scalar(other):
            return op(self, other)
        return NotImplemented

    return f


def _reflected(op):
    def f(self, other):
        if is_scalar(other):
            return op(other, self)
        if not isinstance(other, Tensor):
            return NotImplemented
        if not isinstance(self, Tensor):
            raise TypeError(f"a reflected operator of Tensor doesn't apply to a {type(self).__name__} object")
        return op(other, self)

    return f


def _inplace_operator(name):
    def f(self, other):
        if isinstance(other, Tensor) or is_scalar(other):
            return getattr(self, name)(other)
        return NotImplemented

    return f


def _operators():
    # The four of arithmetic go straight to the row: every call between counts here.
    for sign, row in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div")):
        setattr(Tensor, f"__{sign}__", ROWS[row].op)
    for sign, row in (("mod", "remainder"), ("pow", "pow"), ("and", "bitwise_and"), ("or", "bitwise_or"), ("xor", "bitwise_xor"),
                      ("lshift", "bitwise_left_shift"), ("rshift", "bitwise_right_shift"),
                      ("lt", "lt"), ("le", "le"), ("gt", "gt"), ("ge", "ge")):  # fmt: skip
        setattr(Tensor, f"__{sign}__", _operator(ROWS[row].op))
    Tensor.__floordiv__ = _operator(floor_divide)
    Tensor.__rfloordiv__ = _reflected(lambda a, b: floor_divide(to_tensor("floor_divide", a) if is_scalar(a) else a, b))
    for sign, row in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("mod", "remainder"), ("pow", "pow"),
                      ("and", "bitwise_and"), ("or", "bitwise_or"), ("xor", "bitwise_xor"),
                      ("lshift", "bitwise_left_shift"), ("rshift", "bitwise_right_shift")):  # fmt: skip
        setattr(Tensor, f"__r{sign}__", _reflected(ROWS[row].op))
    Tensor.__div__, Tensor.__rdiv__ = Tensor.__truediv__, Tensor.__rtruediv__
    for sign, name in (("add", "add_"), ("sub", "sub_"), ("mul", "mul_"), ("truediv", "div_"), ("floordiv", "floor_divide_"),
                       ("mod", "remainder_"), ("pow", "pow_"), ("and", "bitwise_and_"), ("or", "bitwise_or_"),
                       ("xor", "bitwise_xor_"), ("lshift", "bitwise_left_shift_"), ("rshift", "bitwise_right_shift_")):  # fmt: skip
        setattr(Tensor, f"__i{sign}__", _inplace_operator(name))
    for sign, row, same in (("eq", "eq", False), ("ne", "ne", True)):
        setattr(Tensor, f"__{sign}__", _equality(ROWS[row].op, same))
    Tensor.__neg__ = lambda self: ROWS["neg"].op(self)
    Tensor.__pos__ = lambda self: self
    Tensor.__abs__ = lambda self: ROWS["abs"].op(self)
    Tensor.__invert__ = lambda self: ROWS["bitwise_not"].op(self)


def _equality(op, other_kind):
    def f(self, other):
        if isinstance(other, Tensor) or is_scalar(other):
            return op(self, other)
        return NotImplemented if other is not None else other_kind

    return f


@method
def equal(input, other):
    """Whether both have the same shape and the same elements (a Python bool)."""
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' must be Tensor, not {type(other).__name__}")
    if input._layout.shape != other._layout.shape:
        return False
    if input._layout.dtype is not other._layout.dtype:
        raise RuntimeError(f"equal(): Expected object of data type {input.dtype} but got data type {other.dtype}")
    return input._layout.numel == 0 or bool((input == other).all())


__all__ = ["write_inplace"]
