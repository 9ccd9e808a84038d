"""Operations of one tensor, element by element. A row: the name in zig/ops/unary.zig, its derivative, its meaning.

Derivatives are from the Handbook of Mathematical Functions (Abramowitz and Stegun) unless they say otherwise."""

from __future__ import annotations

import math

from .elementwise import unary

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)

neg = unary("neg", lambda g: -g, "-x.", kind="number", aliases=("negative",))
abs = unary("abs", lambda g, x: g * x.sign(), "|x|; the derivative at 0 is 0.", kind="any", aliases=("absolute",))
sign = unary("sign", lambda g: g * 0, "-1, 0 or 1; nan for nan.", kind="any")
square = unary("square", lambda g, x: g * (x * 2), "x^2.", kind="any")
relu = unary("relu", lambda g, y: relu_backward(g, y), "max(x, 0); the derivative at 0 is 0.", kind="number")
sqrt = unary("sqrt", lambda g, y: g / (y * 2), "The square root; nan below 0.")
rsqrt = unary("rsqrt", lambda g, y: g * (y * y * y * -0.5), "1 / sqrt(x).")
reciprocal = unary("reciprocal", lambda g, y: -g * (y * y), "1 / x.")
floor = unary("floor", lambda g: g * 0, "The largest integer not above x.", kind="any")
ceil = unary("ceil", lambda g: g * 0, "The smallest integer not below x.", kind="any")
trunc = unary("trunc", lambda g: g * 0, "x without its fraction.", kind="any", aliases=("fix",))
frac = unary("frac", lambda g: g, "x - trunc(x).")
bitwise_not = unary("bitwise_not", None, "All bits flipped (bool: not).", kind="int")
logical_not = unary("logical_not", None, "True where x is 0.", kind="bool", inplace=False)
isnan = unary("isnan", None, "True where x is nan.", kind="bool", inplace=False)
isinf = unary("isinf", None, "True where x is +-inf.", kind="bool", inplace=False)
isfinite = unary("isfinite", None, "True where x is neither nan nor infinite.", kind="bool", inplace=False)
isposinf = unary("isposinf", None, "True where x is +inf.", kind="bool", inplace=False)
isneginf = unary("isneginf", None, "True where x is -inf.", kind="bool", inplace=False)
signbit = unary("signbit", None, "True where the sign bit is set (so of -0.0 too).", kind="bool", inplace=False)


def relu_backward(g, y):
    """g where y > 0, else 0: the derivative of relu from its result."""
    return g * (y > 0)
