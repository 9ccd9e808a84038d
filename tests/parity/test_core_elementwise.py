"""Elementwise operations in every form, layout and dtype, complex ones included (see core.py)."""

import pytest

from .core import Table, check
from .strategies import ALL, COMPLEX, INTEGERS, NUMBERS, REAL, WIDE, Call

TABLE = Table()
row = TABLE.row

SMOOTH = (
    "abs", "cos", "cosh", "exp", "exp2", "expm1", "neg", "sigmoid", "sin", "sinh", "square", "tanh", "asinh", "atan",
)  # fmt: skip


@row(*SMOOTH)
def anywhere(d):
    return (d.tensor(),)


@row("asin", "acos", "atanh", dtypes=(*NUMBERS, "bool"))
def within_one(d):
    return (d.tensor(low=-0.9, high=0.9),)


@row("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "tan", ulps=256)
def above_zero(d):
    return (d.tensor(low=0.3, high=1.4),)


@row("acosh", dtypes=(*NUMBERS, "bool"))
def above_one(d):
    return (d.tensor(low=1.1, high=3.0),)


@row("ceil", "floor", "trunc", "frac", "sign", "erf", "erfc", dtypes=(*NUMBERS, "bool"))
def real(d):
    return (d.tensor(),)


@row("isfinite", "isinf", "isnan", "logical_not", gradients=False)
def questions(d):
    return (d.tensor(),)


@row("bitwise_not", dtypes=(*INTEGERS, "bool"))
def bits(d):
    return (d.tensor(),)


@row("round", dtypes=NUMBERS)
def rounded(d):
    x = d.tensor()
    return Call(x, decimals=d.int(-1, 2)) if d.dtype in WIDE and d.bool() else (x,)


@row("logit", dtypes=(*REAL, "int64"))
def logit(d):
    x = d.tensor(low=0.1, high=0.9)
    return (x, 0.2) if d.bool() else (x,)


@row("nan_to_num", dtypes=(*NUMBERS, "bool"))
def nan_to_num(d):
    x = d.tensor()
    if d.dtype in REAL and x.values.size:
        x.values.reshape(-1)[0] = d.any_of(float("nan"), float("inf"), float("-inf"))
    return Call(
        x, **({} if d.bool() else {"nan": 1.5, "posinf": 2.0, "neginf": d.any_of(None, -3.0)})
    )


def two(d, low=-3.0, high=3.0, dtypes=ALL, numbers=True):
    """Two operands that broadcast (now and then not), the second perhaps of another dtype, or a number."""
    x = d.tensor(low=low, high=high)
    kind = d.int(0, 5)
    if kind == 0 and numbers:
        return x, d.any_of(2, 1.5, True, 3)
    dtype = d.any_of(*dtypes) if kind == 1 else d.dtype
    shape = (*x.shape, 5) if d.int(0, 15) == 15 else d.beside(x.shape)
    return x, d.tensor(shape, dtype, low, high)


@row("add", "sub")
def sums(d):
    return Call(*two(d), **({"alpha": d.any_of(2, 0.5)} if d.int(0, 3) == 0 else {}))


@row("rsub", dtypes=(*NUMBERS, *COMPLEX))
def rsub(d):
    return Call(*two(d), **({"alpha": d.any_of(2, 0.5)} if d.int(0, 3) == 0 else {}))


@row("mul")
def pairs(d):
    return two(d)


# PyTorch's in-place forms of these keep the history of before.
@row("eq", "ne", "logical_and", "logical_or", "logical_xor", gradients=False)
def truths(d):
    return two(d)


@row("__radd__", "__rmul__", "__rsub__", forms=False)
def reversed_numbers(d):
    x, y = two(d)
    return (x, y if not isinstance(y, (int, float)) else d.any_of(2, 1.5, True, 1j))


@row("div", "true_divide")
def quotient(d):
    return two(d, 0.5)


@row("__rdiv__")  # of tensors PyTorch has the reciprocal in another precision
def reversed_quotient(d):
    return d.tensor(low=0.5), d.any_of(2, 1.5, True, 3)


@row("div:rounded", dtypes=NUMBERS)
def rounded_quotient(d):
    x, y = two(d, 0.7, dtypes=NUMBERS)
    return Call(x, y, rounding_mode=d.any_of("floor", "trunc", None, "nearest"))


@row("floor_divide", "remainder", "fmod", "__rmod__", dtypes=NUMBERS, ulps=512)
def whole_quotient(d):
    return two(d, 0.7, dtypes=NUMBERS)


@row("ge", "gt", "le", "lt", dtypes=(*NUMBERS, "bool"), gradients=False)
def compared(d):
    return two(d, dtypes=(*NUMBERS, "bool"))


@row("maximum", "minimum", "fmax", "fmin", dtypes=(*NUMBERS, "bool"), second=False)
def ordered(d):
    return two(d, dtypes=(*NUMBERS, "bool"))


@row(
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "__rand__",
    "__ror__",
    "__rxor__",
    dtypes=(*INTEGERS, "bool", "float32"),
)
def bit_pairs(d):
    return two(d, dtypes=(*INTEGERS, "bool"))


@row("pow", "__rpow__", "float_power", ulps=512)
def powers(d):
    x, y = two(d, 0.5)
    return (x, y) if d.bool() else (x, d.any_of(2, 3, 0.5, 0, 1, -1, 2.0))


@row("atan2", "logaddexp", "xlogy", dtypes=(*NUMBERS, "bool"))
def real_pairs(d):  # beside numbers PyTorch's derivatives are of float32
    x, y = two(d, 0.3, dtypes=REAL)
    return x, d.tensor() if isinstance(y, (int, float)) else y


@row("isclose", gradients=False)
def isclose(d):
    x, y = two(d, numbers=False)
    if d.bool() and x.dtype in REAL:
        y = d.tensor(x.shape, layout="contiguous")
        y.values = x.values * (1 + 1e-6)
    return Call(x, y, rtol=d.any_of(1e-5, 0.5), equal_nan=d.bool())


@row("allclose", "equal", gradients=False, forms=False)
def whole_comparisons(d):
    x = d.tensor()
    return (x, x) if d.bool() else (x, d.tensor(d.beside(x.shape)))


@row("lerp", dtypes=(*REAL, *COMPLEX), ulps=256)
def lerp(d):
    x = d.tensor()
    end = d.tensor(d.beside(x.shape))
    return x, end, d.float() if d.bool() else d.tensor(d.beside(x.shape), low=0.0, high=1.0)


@row("addcmul", "addcdiv", dtypes=(*NUMBERS, *COMPLEX), ulps=256)
def three(d):
    x = d.tensor(low=0.5)
    y, z = d.tensor(d.beside(x.shape), low=0.5), d.tensor(d.beside(x.shape), low=0.5)
    return Call(x, y, z, **({"value": d.any_of(2, 0.5)} if d.bool() else {}))


@row("clamp", dtypes=(*NUMBERS, "bool"), second=False)
def clamp(d):
    x = d.tensor()
    if d.bool():
        return Call(x, d.any_of(None, -1, 0.5), d.any_of(None, 1, 0.75))
    low, high = d.tensor(d.beside(x.shape)), d.tensor(d.beside(x.shape))
    return Call(x, min=d.any_of(None, low), max=d.any_of(high, high, None))


@row("clamp_min", "clamp_max", dtypes=(*NUMBERS, "bool"), second=False)
def clamp_one_side(d):
    return two(d, dtypes=NUMBERS)


@row("where")
def where(d):
    x, y = two(d)
    shape = x.shape if isinstance(y, (int, float)) else d.any_of(x.shape, y.shape)
    condition = d.mask(d.beside(shape))
    return (condition, x, y) if d.int(0, 7) else (condition,)


@row("masked_fill")
def masked_fill(d):
    x = d.tensor(layout=d.any_of("contiguous", "transposed", "stepped"))
    mask = d.mask(d.beside(x.shape))
    return x, mask, d.any_of(1, 0.5, True, d.tensor(()))


@row("fill")
def fill(d):
    return d.tensor(), d.any_of(1, 0.5, True, d.tensor(()), d.tensor((2,)))


@row("zero_", forms=False)
def zero(d):
    return (d.tensor(),)


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
