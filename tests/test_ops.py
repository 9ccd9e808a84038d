"""Operations: every elementwise row over layouts, dtypes and values, and its derivatives; reductions,
scans, products, softmax, convolution and norms against NumPy."""

import math

import numpy as np
import pytest
from arrays import array, check_gradients, layouts, same, tensor

import dlgrad
from dlgrad.ops import elementwise

F = dlgrad.nn.functional
FLOATS = ("float64", "float32", "float16")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
# Those of dlgrad.special, which loads when it is asked for, have tests of their own (test_special.py).
ROWS = {name: r for name, r in elementwise.ROWS.items() if not r.node_name.startswith("Special")}
UNARY = [r for r in ROWS.values() if r.arity == 1]
BINARY = [r for r in ROWS.values() if r.arity == 2]
BACKWARD = [r for r in BINARY if r.name.endswith("_backward")]


def names(rows):
    return [r.name for r in rows]


def vectorized(f):
    return lambda x: np.vectorize(f, otypes=[np.float64])(x) if np.size(x) else np.asarray(x, np.float64)


def stable(f):
    def g(*args):
        with np.errstate(all="ignore"):
            return f(*args)

    return g


def sign(x):
    return np.where(np.isnan(x), 0.0, np.sign(x))  # PyTorch's sign of nan


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNARY_REFERENCE = {
    "neg": np.negative, "positive": np.positive, "abs": np.abs, "sign": sign, "sgn": sign,
    "square": np.square, "relu": lambda x: np.maximum(x, 0), "bitwise_not": np.invert,
    "logical_not": np.logical_not, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "isposinf": lambda x: x == np.inf, "isneginf": lambda x: x == -np.inf, "signbit": np.signbit,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "frac": lambda x: x - np.trunc(x),
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": vectorized(math.erf), "erfc": vectorized(math.erfc),
    "lgamma": vectorized(math.lgamma), "i0": np.i0, "sinc": np.sinc, "sigmoid": sigmoid,
    "log_sigmoid": lambda x: -np.logaddexp(0, -x), "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)), "softsign": lambda x: x / (1 + np.abs(x)),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6, "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * 0.5 * (1 + vectorized(math.erf)(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}  # fmt: skip
BINARY_REFERENCE = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "remainder": np.remainder,
    "fmod": np.fmod, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax,
    "fmin": np.fmin, "atan2": np.arctan2, "hypot": np.hypot, "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2, "copysign": np.copysign, "nextafter": np.nextafter,
    "heaviside": np.heaviside, "floor_divide": np.floor_divide,
    "trunc_divide": lambda a, b: np.trunc(a / b), "xlogy": lambda a, b: np.where(a == 0, 0, a * np.log(b)),
    "xlog1py": lambda a, b: np.where(a == 0, 0, a * np.log1p(b)),
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift, "gcd": np.gcd, "lcm": np.lcm,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}  # fmt: skip

# Where a row is defined and smooth, for its derivatives.
DOMAIN = {
    "sqrt": (0.3, 3), "rsqrt": (0.3, 3), "log": (0.3, 3), "log2": (0.3, 3), "log10": (0.3, 3),
    "log1p": (-0.6, 2), "asin": (-0.8, 0.8), "acos": (-0.8, 0.8), "atanh": (-0.8, 0.8), "acosh": (1.3, 4),
    "entr": (0.2, 3), "erfinv": (-0.8, 0.8), "lgamma": (0.6, 4), "digamma": (0.6, 4), "reciprocal": (0.4, 2), "tan": (-1.2, 1.2),
    "pow": (0.4, 2.5), "div": (0.5, 2), "xlogy": (0.4, 2), "xlog1py": (0.4, 2), "hypot": (0.4, 2),
    "atan2": (0.4, 2), "copysign": (0.4, 2), "remainder": (0.6, 3), "fmod": (0.6, 3),
}  # fmt: skip


def values(rng, shape, dtype, low=-3.0, high=3.0):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(0 if dtype == "uint8" else -20, 20, shape).astype(dtype)


def takes(row, dtype):
    if row.kind == "floating":
        return dtype.startswith("float")
    if row.kind == "int":
        return not dtype.startswith("float")
    if row.kind in ("number", "whole"):
        return dtype != "bool"
    return True


def defined(row, dtype):
    """Whether the row's result is meaningful for random numbers of this dtype."""
    return takes(row, dtype) and not (row.name == "pow" and not dtype.startswith("float"))


def close(actual, expected, dtype, message=""):
    """Within a few units of the last place of the dtype that was computed in."""
    eps = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10}.get(dtype, 2.0**-23)
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    np.testing.assert_allclose(actual, expected, 8 * eps, 8 * eps, err_msg=str(message))


# ---------------------------------------------------------------------- elementwise rows


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY_REFERENCE)
def test_unary_values(name, dtype):
    row = ROWS[name]
    if not takes(row, dtype):
        with pytest.raises(RuntimeError, match=name):
            row.op(tensor(np.zeros(2, dtype)))
        return
    rng = np.random.default_rng(0)
    x = values(rng, (257,), dtype, *DOMAIN.get(name, (-3, 3)))
    if name not in ("lgamma", "i0", "erfinv"):
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], dtype)
        x = np.concatenate([x, special])
    with np.errstate(all="ignore"):
        expected = UNARY_REFERENCE[name](x.astype(np.float64))
    actual = array(row.op(tensor(x)))
    if row.kind == "bool":
        same(actual, expected, name)
        return
    assert actual.dtype == np.dtype(dtype)
    finite = np.isfinite(x)
    close(actual[finite], expected.astype(dtype)[finite], dtype, name)
    if name not in ("silu", "mish", "gelu", "gelu_tanh", "hardswish", "softsign", "frac"):  # whose formulas give nan
        same(actual[~finite], expected.astype(dtype)[~finite], name)


@pytest.mark.parametrize("name", [n for n in BINARY_REFERENCE])
def test_binary_values(name):
    row = ROWS[name]
    rng = np.random.default_rng(1)
    for dtype in ("bool", *INTEGERS, *FLOATS):
        if not defined(row, dtype):
            continue
        a, b = values(rng, (131,), dtype), values(rng, (131,), dtype)
        if dtype in INTEGERS and name in ("remainder", "fmod", "floor_divide", "trunc_divide"):
            b[b == 0] = 3
        if "shift" in name:
            b = (b % 7).astype(dtype) if dtype != "bool" else b
        if dtype == "bool" and ("shift" in name or name in ("gcd", "lcm", "heaviside", "pow", "div", "atan2", "copysign", "xlogy", "xlog1py")):
            continue
        if name in ("logaddexp2", "pow"):
            a = np.abs(a)
        exact = row.kind in ("bool", "int") or (row.kind in ("any", "number") and dtype not in FLOATS)
        with np.errstate(all="ignore"):
            if exact:
                expected = BINARY_REFERENCE[name](a, b)
            else:
                expected = BINARY_REFERENCE[name](a.astype(np.float64), b.astype(np.float64))
                if name == "nextafter":
                    if dtype == "float16":
                        continue
                    expected = np.nextafter(a, b)
        actual = array(row.op(tensor(a), tensor(b)))
        if exact:
            if name == "heaviside" or name == "trunc_divide":
                expected = expected.astype(dtype)
            same(actual, expected, (name, dtype))
        elif name in ("remainder", "fmod", "floor_divide", "trunc_divide") and dtype != "float64":
            with np.errstate(all="ignore"):
                expected = BINARY_REFERENCE[name](a, b)
            np.testing.assert_allclose(actual.astype(float), expected.astype(float), rtol=1e-2, atol=1e-2, err_msg=str((name, dtype)))
        else:
            result = "float32" if dtype not in FLOATS else dtype
            assert actual.dtype == np.dtype(result), (name, dtype)
            with np.errstate(all="ignore"):
                close(actual, expected.astype(result), result, (name, dtype))


@pytest.mark.parametrize("name", names(UNARY))
def test_unary_layouts(name):
    """Every layout gives the bits that the contiguous one gives."""
    row = ROWS[name]
    rng = np.random.default_rng(2)
    for dtype in ("bool", "uint8", "int16", "int64", *FLOATS):
        if not takes(row, dtype) or (name in ("reciprocal",) and dtype == "bool"):
            continue
        if dtype == "bool" and row.kind == "whole":
            continue
        for shape in ((), (0,), (7,), (5, 13), (3, 0, 2), (2, 3, 17), (70, 65)):
            a = values(rng, shape, dtype, *DOMAIN.get(name, (-3, 3)))
            expected = array(row.op(tensor(a)))
            for layout, t in layouts(a):
                result = row.op(t)
                assert tuple(result.shape) == shape
                same(array(result), expected, (name, dtype, layout, shape))
        repeated = np.repeat(values(rng, (1, 9), dtype, *DOMAIN.get(name, (-3, 3))), 4, axis=0)
        for layout, t in layouts(repeated):
            same(array(row.op(t)), array(row.op(tensor(repeated))), (name, dtype, layout))


@pytest.mark.parametrize("name", names(BINARY))
def test_binary_layouts_and_broadcasting(name):
    row = ROWS[name]
    rng = np.random.default_rng(3)
    for dtype in ("bool", "uint8", "int32", "int64", *FLOATS):
        if not defined(row, dtype) or (name.endswith("_backward") and dtype not in FLOATS):
            continue
        if dtype == "bool" and (row.kind == "any" or "shift" in name or name in ("gcd", "lcm")) and name not in ("add", "mul"):
            continue
        for sa, sb in (((), ()), ((6,), (6,)), ((5, 13), (5, 13)), ((5, 13), (13,)), ((5, 1), (1, 13)),
                       ((3, 1, 4), (2, 1)), ((4, 0), (1, 1)), ((40, 33), ()), ((1, 70), (65, 1))):  # fmt: skip
            a, b = values(rng, sa, dtype, 0.5, 3), values(rng, sb, dtype, 0.5, 3)
            if dtype not in (*FLOATS, "bool"):
                a, b = np.abs(a).astype(dtype), (np.abs(b) % 5 + 1).astype(dtype)
            shape = np.broadcast_shapes(sa, sb)
            full = [np.broadcast_to(x, shape).copy() for x in (a, b)]
            expected = array(row.op(*[tensor(x) for x in full]))
            for la, ta in layouts(a):
                for lb, tb in layouts(b):
                    same(array(row.op(ta, tb)), expected, (name, dtype, sa, la, sb, lb))
            if sb == ():
                number = b.item()
                same(array(row.op(tensor(a), number)), expected, (name, dtype, "number"))
                a = a if dtype == "bool" else (a + 1).astype(dtype)  # no division by 0
                flipped = row.op(tensor(np.broadcast_to(b, shape)), tensor(a))
                same(array(row.op(number, tensor(a))), array(flipped), (name, dtype, "number first"))


@pytest.mark.parametrize("row", [r for r in ROWS.values() if hasattr(dlgrad.Tensor, r.name + "_") and r.arity < 3],
                         ids=lambda r: r.name)  # fmt: skip
def test_in_place_and_out_forms(row):
    rng = np.random.default_rng(4)
    dtype = "int64" if row.kind == "int" else "float64"
    a = values(rng, (6, 5), dtype, *DOMAIN.get(row.name, (0.4, 2)))
    b = values(rng, (5,), dtype, *DOMAIN.get(row.name, (0.4, 2)))
    if "shift" in row.name:
        b = np.abs(b) % 5
    more = () if row.arity == 1 else (tensor(b),)
    expected = row.op(tensor(a), *more)
    for layout, t in layouts(a):
        if layout == "broadcast":
            continue
        version = t._version
        assert getattr(t, row.name + "_")(*more) is t
        assert t._version > version
        same(array(t), array(expected).astype(dtype), (row.name, layout))
    out = dlgrad.empty(0, dtype=expected.dtype)
    assert row.function(tensor(a), *more, out=out) is out
    same(array(out), array(expected), row.name)
    t = tensor(a[:1]).expand(3, 5)
    with pytest.raises(RuntimeError, match="single memory location"):
        getattr(t, row.name + "_")(*more)


DIFFERENTIABLE = [r for r in ROWS.values() if any(r.derivatives) and r.arity < 3]


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda r: r.name)
def test_derivatives(row):
    """First and second, against central differences; broadcast inputs too."""
    rng = np.random.default_rng(5)
    low, high = DOMAIN.get(row.name, (-2.5, 2.5))
    x = rng.uniform(low, high, (3, 4))
    if row.name in ("abs", "relu", "sign", "sgn", "hardswish", "hardsigmoid", "softsign", "trunc", "frac", "floor", "ceil", "sinc"):
        x = np.where(np.abs(x - np.round(x)) < 0.05, x + 0.1, x)
    if row.arity == 1:
        check_gradients(row.op, [x], message=row.name)
        return
    y = rng.uniform(low, high, (3, 4))
    y = np.where(np.abs(x - y) < 0.05, y + 0.11, y)
    if row.name in ("remainder", "fmod"):
        x = np.floor(x / y) * y + y * 0.4
    if row.derivatives[1] is None:
        check_gradients(lambda a: row.op(a, tensor(y)), [x], message=row.name)
        return
    check_gradients(row.op, [x, y], message=row.name)
    if row.name not in ("remainder", "fmod"):
        check_gradients(row.op, [x[:, :1] + 0.01, y[0]], message=row.name + " broadcast")
    check_gradients(lambda a: row.op(a, 1.7), [x], message=row.name + " with a number")
    check_gradients(lambda b: row.op(1.7, b), [y], message=row.name + " of a number")


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda r: r.name)
def test_derivatives_do_not_depend_on_the_layout(row):
    rng = np.random.default_rng(6)
    low, high = DOMAIN.get(row.name, (-2.5, 2.5))
    a, b = rng.uniform(low, high, (4, 6)), rng.uniform(low, high, (4, 6))
    arrays = (a,) if row.arity == 1 or row.derivatives[1] is None else (a, b)
    rest = () if len(arrays) == row.arity else (tensor(b),)
    inputs = [tensor(x).requires_grad_() for x in arrays]
    expected = dlgrad.autograd.grad(row.op(*inputs, *rest).sum(), inputs)
    for pair in zip(*[list(layouts(x)) for x in arrays]):
        leaves = [t.detach().requires_grad_() for _, t in pair]
        got = dlgrad.autograd.grad(row.op(*leaves, *rest).sum(), leaves)
        for g, e in zip(got, expected):
            same(array(g), array(e), (row.name, pair[0][0]))


# ---------------------------------------------------------------------- reductions, scans, softmax

REDUCTIONS = {
    "sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min,
    "var": lambda a, axis: np.var(a, axis=axis, ddof=1), "std": lambda a, axis: np.std(a, axis=axis, ddof=1),
    "logsumexp": lambda a, axis: np.log(np.sum(np.exp(a), axis=axis)),
    "nansum": np.nansum,
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    rng = np.random.default_rng(7)
    for shape, dims in (((33,), 0), ((5, 70), 0), ((5, 70), 1), ((5, 70), (0, 1)), ((3, 4, 65), 1), ((3, 4, 65), (0, 2)), ((2, 3, 4, 5), (1, 3))):
        a = rng.uniform(0.6, 1.4, shape)
        if name == "prod" and isinstance(dims, tuple):
            continue
        for layout, t in layouts(a):
            for keepdim in (False, True):
                r = getattr(t, name)(dims, keepdim=keepdim)
                expected = np.asarray(REDUCTIONS[name](a, axis=dims))
                if keepdim:
                    expected = expected.reshape([1 if i in np.atleast_1d(dims) else s for i, s in enumerate(shape)])
                assert tuple(r.shape) == expected.shape
                np.testing.assert_allclose(array(r), expected, 1e-12, 1e-13, err_msg=f"{name} {layout} {shape} {dims}")


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_derivatives(name):
    a = np.random.default_rng(8).permutation(np.linspace(0.5, 2, 12)).reshape(3, 4)
    for dims in (0, 1) if name == "prod" else (0, 1, (0, 1)):
        check_gradients(lambda t: getattr(t, name)(dims), [a], message=f"{name} {dims}")
        check_gradients(lambda t: getattr(t.t(), name)(dims, keepdim=True), [a], message=f"{name} {dims}")


def test_integer_reductions():
    rng = np.random.default_rng(9)
    for dtype in ("bool", *INTEGERS):
        a = values(rng, (7, 9), dtype)
        for axis in (0, 1):
            same(array(tensor(a).sum(axis)), a.sum(axis, dtype=np.int64))
            same(array(tensor(a).prod(axis)), a.prod(axis, dtype=np.int64))
            kind = a.dtype if dtype == "uint8" else np.bool_  # as in PyTorch
            same(array(tensor(a).any(axis)), a.any(axis).astype(kind))
            same(array(tensor(a).all(axis)), a.all(axis).astype(kind))
            same(array(tensor(a).amax(axis)), a.max(axis))
            same(array(tensor(a).argmax(axis)), a.argmax(axis))
            same(array(tensor(a).min(axis).values), a.min(axis))
            same(array(dlgrad.count_nonzero(tensor(a), axis)), np.count_nonzero(a, axis))


def test_empty_reductions():
    e = dlgrad.zeros(0, 3)
    assert e.sum(0).tolist() == [0.0] * 3 and e.prod(0).tolist() == [1.0] * 3
    assert all(math.isnan(v) for v in e.mean(0).tolist())
    assert e.sum(1).shape == (0,) and e.amax(1).shape == (0,)
    for f in (lambda: e.amax(0), lambda: e.max(0), lambda: e.argmin(0), lambda: e.max()):
        with pytest.raises((IndexError, RuntimeError)):
            f()


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp"])
def test_scans(name):
    a = np.random.default_rng(10).uniform(0.5, 1.5, (6, 37))
    reference = {"cumsum": np.cumsum, "cumprod": np.cumprod, "logcumsumexp": lambda x, axis: np.log(np.cumsum(np.exp(x), axis))}[name]
    for layout, t in layouts(a):
        for d in (0, 1, -1):
            np.testing.assert_allclose(array(getattr(t, name)(d)), reference(a, axis=d), 1e-12, err_msg=layout)
    if name == "cumsum":
        return
    check_gradients(lambda t: getattr(t, name)(1), [a[:2, :5]], message=name)


def test_softmax():
    a = np.random.default_rng(11).normal(size=(5, 33))
    for layout, t in layouts(a):
        for d in (0, 1):
            e = np.exp(a - a.max(d, keepdims=True))
            p = e / e.sum(d, keepdims=True)
            np.testing.assert_allclose(array(t.softmax(d)), p, 1e-13, err_msg=layout)
            np.testing.assert_allclose(array(t.log_softmax(d)), np.log(p), 1e-12, err_msg=layout)
    for d in (0, 1):
        check_gradients(lambda t: t.softmax(d), [a[:3, :4]], message="softmax")
        check_gradients(lambda t: t.log_softmax(d), [a[:3, :4]], message="log_softmax")


# ---------------------------------------------------------------------- products, convolution, norms


def test_matmul_shapes():
    rng = np.random.default_rng(12)
    for sa, sb in (((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
                   ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((65, 33), (33, 130))):  # fmt: skip
        a, b = rng.normal(size=sa), rng.normal(size=sb)
        for la, ta in layouts(a):
            for lb, tb in layouts(b):
                np.testing.assert_allclose(array(ta @ tb), a @ b, 1e-11, 1e-12, err_msg=f"{sa} {la} {sb} {lb}")
        if a.size and a.size < 50:
            check_gradients(lambda x, y: x @ y, [a, b], message=f"matmul {sa} {sb}")
    with pytest.raises(RuntimeError, match=r"matmul|mat1"):
        dlgrad.ones(2, 3) @ dlgrad.ones(2, 3)


def test_integer_matmul():
    rng = np.random.default_rng(13)
    for dtype in INTEGERS:
        a, b = values(rng, (5, 7), dtype), values(rng, (7, 3), dtype)
        same(array(tensor(a) @ tensor(b)), a @ b)


def naive_conv2d(x, w, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, c, h, width = x.shape
    o, cg, kh, kw = w.shape
    oh = (h - dilation * (kh - 1) - 1) // stride + 1
    ow = (width - dilation * (kw - 1) - 1) // stride + 1
    y = np.zeros((n, o, oh, ow))
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                part = x[:, g * cg : (g + 1) * cg, i * dilation : i * dilation + (oh - 1) * stride + 1 : stride,
                         j * dilation : j * dilation + (ow - 1) * stride + 1 : stride]  # fmt: skip
                ws = w[g * o // groups : (g + 1) * o // groups, :, i, j]
                y[:, g * o // groups : (g + 1) * o // groups] += np.einsum("nchw,oc->nohw", part, ws)
    return y


@pytest.mark.parametrize("stride,padding,dilation,groups", [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 1), (1, 1, 1, 2), (2, 1, 1, 4)])
def test_conv2d(stride, padding, dilation, groups):
    rng = np.random.default_rng(14)
    x, w = rng.normal(size=(2, 4, 9, 8)), rng.normal(size=(4, 4 // groups, 3, 3))
    kwargs = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    expected = naive_conv2d(x, w, stride, padding, dilation, groups)
    for layout, t in layouts(x):
        np.testing.assert_allclose(array(F.conv2d(t, tensor(w), **kwargs)), expected, 1e-11, 1e-11, err_msg=layout)
    small = x[:1, :, :5, :5]
    if groups < 4:
        check_gradients(lambda a, b: F.conv2d(a, b, **kwargs), [small, w], second=False, message="conv2d")
    else:
        check_gradients(lambda a, b: F.conv2d(a, b, **kwargs), [small, w[:, :, :2, :2]], message="conv2d")


def test_pooling():
    x = np.random.default_rng(15).permutation(np.linspace(-1, 1, 2 * 3 * 36)).reshape(2, 3, 6, 6)
    blocks = x.reshape(2, 3, 3, 2, 3, 2)
    for layout, t in layouts(x):
        np.testing.assert_allclose(array(F.max_pool2d(t, 2)), blocks.max((3, 5)), err_msg=layout)
        np.testing.assert_allclose(array(F.avg_pool2d(t, 2)), blocks.mean((3, 5)), 1e-13, 1e-15, err_msg=layout)
    check_gradients(lambda a: F.max_pool2d(a, 2), [x[:1, :1]], message="max_pool2d")
    check_gradients(lambda a: F.avg_pool2d(a, 3, 1), [x[:1, :1, :4, :4]], message="avg_pool2d")


def test_norms():
    rng = np.random.default_rng(16)
    x, w, b = rng.normal(size=(5, 7)), rng.normal(size=7), rng.normal(size=7)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * w + b
    for layout, t in layouts(x):
        np.testing.assert_allclose(array(F.layer_norm(t, (7,), tensor(w), tensor(b))), expected, 1e-11, 1e-12, err_msg=layout)
    check_gradients(lambda *a: F.layer_norm(a[0], (7,), a[1], a[2]), [x[:2], w, b], message="layer_norm")
    check_gradients(lambda *a: F.batch_norm(a[0], None, None, a[1], a[2], True), [x[:3], w, b], message="batch_norm")


# ---------------------------------------------------------------------- casts


def test_casts():
    rng = np.random.default_rng(17)
    for a_name in ("bool", *INTEGERS, *FLOATS):
        a = values(rng, (5, 13), a_name)
        for b_name in ("bool", *INTEGERS, *FLOATS):
            if b_name == "uint8" and a_name in FLOATS:
                a = np.abs(a)
            for layout, t in layouts(a):
                same(array(t.to(getattr(dlgrad, b_name))), a.astype(b_name), (a_name, b_name, layout))


def test_errors_name_the_operation_and_the_shapes():
    for f, text in (
        (lambda: dlgrad.ones(2, 3) + dlgrad.ones(4, 5), r"add.*\[2, 3\].*\[4, 5\]"),
        (lambda: dlgrad.ones(2, 3) * dlgrad.ones(2), r"mul.*\[2, 3\].*\[2\]"),
        (lambda: dlgrad.ones(2).exp_().add_(dlgrad.ones(3, 2)), r"add_"),
        (lambda: dlgrad.ones(2, dtype=dlgrad.int64).add_(1.5), r"add_.*cast"),
        (lambda: dlgrad.ones(3) & dlgrad.ones(3), r"bitwise_and.*float32"),
    ):
        with pytest.raises(RuntimeError, match=text):
            f()
    with pytest.raises(TypeError):
        dlgrad.exp("x")
    with pytest.raises(IndexError, match="sum"):
        dlgrad.ones(2, 2).sum(2)


def test_a_number_beside_integers_is_not_cut_to_their_type():
    """Whatever number came before it: plans are kept by the number's type."""
    x = dlgrad.tensor([50, 1], dtype=dlgrad.uint8)
    for _ in range(2):
        assert (x < 3).tolist() == [False, True]
        assert (x < 300).tolist() == [True, True]
        assert (300 > x).tolist() == [True, True]
        assert (x > -1).tolist() == [True, True]
        assert (x + 3).tolist() == [53, 4]
        with pytest.raises(RuntimeError, match="add.*300.*uint8"):
            x + 300
        with pytest.raises(RuntimeError, match="sub.*300.*uint8"):
            300 - x
    b = dlgrad.tensor([True, False])
    for _ in range(2):
        assert (b + True).dtype is dlgrad.bool and (b + True).tolist() == [True, True]
        assert (b + 3).dtype is dlgrad.int64 and (b + 3).tolist() == [4, 3]
        assert (3 + b).tolist() == [4, 3] and (True * b).tolist() == [True, False]


def test_gradients_of_empty_products():
    for sa, sb in (((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3), (3, 0)), ((0, 2, 3), (3,)), ((0, 0, 0), (0,)), ((2, 0, 3), (3, 2))):
        a, b = dlgrad.ones(sa, requires_grad=True), dlgrad.ones(sb, requires_grad=True)
        (a @ b).sum().backward()
        assert a.grad.shape == a.shape and b.grad.shape == b.shape
    x = dlgrad.ones(0, 3, requires_grad=True)
    for f in (lambda: x.prod(), lambda: x.prod(0), lambda: x.prod(1)):
        x.grad = None
        f().sum().backward()
        assert x.grad.shape == (0, 3)
