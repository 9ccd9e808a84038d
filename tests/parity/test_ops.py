"""Reductions, scans, products, softmax, convolutions, pools and norms over random shapes: value, dtype, shape and gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dlgrad

from .both import DTYPES, agree, both, numbers, outcome

OF = {dlgrad: dlgrad.nn.functional, torch: torch.nn.functional}


def compare(f, arrays, dtype="float64", ulps=64, gradients=True, message="", atol=None):
    """f(module, *tensors) in both, with its gradients."""
    pairs = [both(a, dtype if np.asarray(a).dtype.kind == "f" else None, grad=gradients and np.asarray(a).dtype.kind == "f") for a in arrays]
    expected, error = outcome(lambda: f(torch, *[p[1] for p in pairs]))
    actual, our_error = outcome(lambda: f(dlgrad, *[p[0] for p in pairs]))
    note = (message, dtype, [np.shape(a) for a in arrays])
    if error is not None:
        return  # dlgrad may do more
    assert our_error is None, (note, repr(our_error))
    expected = expected if isinstance(expected, tuple) else (expected,)
    actual = tuple(actual) if isinstance(actual, tuple) else (actual,)
    for a, e in zip(actual, expected):
        agree(a, e, ulps, note, atol)
    if not gradients or not expected[0].requires_grad:
        return
    weight = both(np.random.default_rng(0).uniform(0.5, 1.5, tuple(expected[0].shape)), dtype)
    leaves = [p for p in pairs if p[1].requires_grad]
    want = torch.autograd.grad(expected[0], [p[1] for p in leaves], weight[1], allow_unused=True)
    have = dlgrad.autograd.grad(actual[0], [p[0] for p in leaves], weight[0], allow_unused=True)
    for h, w in zip(have, want):
        if w is not None and h is not None:
            agree(h, w, ulps * 4, ("gradient", note), atol)


def spread(seed, shape):
    """Distinct numbers in random order, so that no maximum is a tie."""
    n = int(np.prod(shape))
    return np.random.default_rng(seed).permutation(np.linspace(0.3, 2.0, max(n, 1))[:n]).reshape(shape)


@st.composite
def reduced(draw):
    shape = draw(st.lists(st.integers(0, 5), max_size=4).map(tuple))
    n = max(len(shape), 1)
    dim = draw(st.integers(-n, n - 1))
    return shape, dim, draw(st.booleans()), draw(st.integers(0, 100))


WITH_DIM = ("sum", "mean", "prod", "amax", "amin", "var", "std", "logsumexp", "nansum", "max", "min", "any", "all", "argmax", "argmin")


@pytest.mark.parametrize("name", WITH_DIM)
def test_reductions(name):
    @settings(max_examples=40)
    @given(reduced(), st.sampled_from(("float64", "float32")))
    def check(case, dtype):
        shape, dim, keepdim, seed = case
        compare(lambda m, x: getattr(m, name)(x, dim, keepdim=keepdim), [spread(seed, shape)], dtype, message=(name, dim))
        if name != "logsumexp":
            compare(lambda m, x: getattr(m, name)(x), [spread(seed, shape)], dtype, message=name)
        if len(shape) > 1:
            compare(lambda m, x: getattr(m, name)(x.transpose(0, -1), dim, keepdim=keepdim), [spread(seed, shape)], dtype, message=name)

    check()


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "max", "any", "all", "argmin", "mean"])
def test_reductions_of_every_dtype(name):
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        x, y = both(numbers(rng, (4, 7), dtype, 0.5, 1.5), dtype)
        for args in ((), (0,), (1,)):
            expected, error = outcome(lambda: getattr(torch, name)(y, *args))
            if error is not None:
                continue
            actual = getattr(dlgrad, name)(x, *args)
            if isinstance(expected, tuple):
                expected, actual = expected[0], actual[0]
            agree(actual, expected, 8, (name, dtype, args))


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "softmax", "log_softmax", "flip"])
def test_along_a_dimension(name):
    @settings(max_examples=40)
    @given(reduced())
    def check(case):
        shape, dim, _, seed = case
        compare(lambda m, x: getattr(m, name)(x, dim), [spread(seed, shape)], message=(name, dim))
        if len(shape) > 1:
            compare(lambda m, x: getattr(m, name)(x.transpose(0, 1), dim), [spread(seed, shape)], message=(name, dim))

    check()


sizes = st.integers(0, 5)


@given(st.lists(sizes, max_size=2).map(tuple), sizes, sizes, sizes, st.integers(0, 15), st.sampled_from(("float64", "float32")))
def test_matmul(batch, n, k, m, kind, dtype):
    rng = np.random.default_rng(n * 36 + k * 6 + m)
    sa = (k,) if kind & 1 else (*batch, n, k)
    sb = (k,) if kind & 2 else (k, m) if kind & 4 else (*batch, k, m)
    arrays = [rng.normal(size=sa), rng.normal(size=sb)]
    if kind & 8 and len(sa) > 1:
        arrays[0] = arrays[0].swapaxes(-1, -2).copy()
        compare(lambda mod, a, b: a.transpose(-1, -2) @ b, arrays, dtype, message="matmul", atol=1e-3 if dtype == "float32" else 1e-11)
        return
    compare(lambda mod, a, b: mod.matmul(a, b), arrays, dtype, message="matmul", atol=1e-4 if dtype == "float32" else 1e-11)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3),
       st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(1, 2), st.booleans())  # fmt: skip
def test_conv2d(n, c, groups, h, w, kh, kw, stride, padding, dilation, bias):
    rng = np.random.default_rng(h * 9 + w)
    arrays = [rng.normal(size=(n, c * groups, h, w)), rng.normal(size=(2 * groups, c, kh, kw))]
    if bias:
        arrays.append(rng.normal(size=2 * groups))
    compare(
        lambda m, x, k, *b: OF[m].conv2d(x, k, *b, stride=stride, padding=padding, dilation=dilation, groups=groups),
        arrays, message=("conv2d", stride, padding, dilation, groups), atol=1e-11,
    )  # fmt: skip


@given(st.integers(1, 3), st.integers(2, 8), st.integers(2, 8), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1))
def test_pools(c, h, w, k, stride, padding):
    x = spread(h * 9 + w, (2, c, h, w))
    compare(lambda m, x: OF[m].max_pool2d(x, k, stride, padding), [x], message=("max_pool2d", k, stride, padding))
    compare(lambda m, x: OF[m].avg_pool2d(x, k, stride, padding), [x], message=("avg_pool2d", k, stride, padding))
    compare(lambda m, x: OF[m].adaptive_avg_pool2d(x, (k, stride)), [x], message="adaptive_avg_pool2d")


@given(st.integers(1, 5), st.integers(1, 9), st.booleans())
def test_norms(n, c, affine):
    rng = np.random.default_rng(n * 10 + c)
    x = rng.normal(size=(n + 1, c))
    more = [rng.normal(size=c), rng.normal(size=c)] if affine else []
    compare(lambda m, x, *wb: OF[m].layer_norm(x, (c,), *wb), [x, *more], message="layer_norm", atol=1e-9)
    compare(lambda m, x, *wb: OF[m].batch_norm(x, None, None, *(wb or (None, None)), True), [x, *more], message="batch_norm", atol=1e-9)


@given(st.integers(1, 5), st.integers(2, 6), st.sampled_from(["mean", "sum", "none"]))
def test_losses(n, c, reduction):
    rng = np.random.default_rng(n * 10 + c)
    x, y = rng.normal(size=(n, c)), rng.normal(size=(n, c))
    target = rng.integers(0, c, n)
    compare(lambda m, x, t: OF[m].cross_entropy(x, t, reduction=reduction), [x, target], message="cross_entropy", atol=1e-12)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        compare(lambda m, x, y: getattr(OF[m], name)(x, y, reduction=reduction), [x, y], message=name, atol=1e-12)


ACTIVATIONS = ("relu", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "softplus", "softsign", "tanhshrink", "hardtanh",
               "hardswish", "hardsigmoid", "relu6", "logsigmoid", "softshrink", "hardshrink")  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    x = np.concatenate([np.linspace(-8, 8, 101), [0.0, 3.0, -3.0, 0.5, -0.5, 6.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0]])
    for dtype in ("float32",) if name == "hardsigmoid" else ("float64", "float32"):  # PyTorch's 1 / 6 is a float32
        compare(lambda m, t: getattr(OF[m], name)(t), [x], dtype, message=name)


def test_sorting_and_selecting():
    x = spread(0, (4, 6))
    for d in (0, 1, -1):
        compare(lambda m, t: m.sort(t, d), [x], message="sort")
        compare(lambda m, t: m.sort(t, d, True), [x], message="sort")
        compare(lambda m, t: m.topk(t, 3, d), [x], message="topk")
        compare(lambda m, t: m.kthvalue(t, 2, d), [x], message="kthvalue")
        compare(lambda m, t: m.median(t, d), [x], message="median")


def test_more_functions():
    a, b, c = spread(1, (3, 4)), spread(2, (3, 4)), spread(3, (3, 4))
    condition = a > 1
    for name, f, arrays in (
        ("where", lambda m, q, x, y: m.where(q, x, y), [condition, a, b]), ("addcmul", lambda m, x, y, z: m.addcmul(x, y, z, value=0.7), [a, b, c]),
        ("addcdiv", lambda m, x, y, z: m.addcdiv(x, y, z, value=0.7), [a, b, c]), ("lerp", lambda m, x, y, z: m.lerp(x, y, z), [a, b, c]),
        ("lerp", lambda m, x, y: m.lerp(x, y, 0.3), [a, b]), ("clamp", lambda m, x: m.clamp(x, 0.7, 1.4), [a]),
        ("clamp", lambda m, x, y, z: m.clamp(x, y, y + z), [a, b, c]), ("outer", lambda m, x, y: m.outer(x[0], y[1]), [a, b]),
        ("addmm", lambda m, x, y, z: m.addmm(x @ z.t(), y, z.t(), beta=0.3, alpha=2.0), [a, b, c]), ("dot", lambda m, x, y: m.dot(x[0], y[0]), [a, b]),
        ("masked_fill", lambda m, x, q: x.masked_fill(q, 3.0), [a, condition]), ("norm", lambda m, x: m.norm(x), [a]),
        ("norm", lambda m, x: m.norm(x, 1, 0), [a]), ("cat", lambda m, x, y: m.cat([x, y], 1), [a, b]),
        ("diff", lambda m, x: m.diff(x), [a]), ("repeat", lambda m, x: x.repeat(2, 3), [a]), ("roll", lambda m, x: m.roll(x, 1, 0), [a]),
        ("tril", lambda m, x: m.tril(x), [a]), ("triu", lambda m, x: m.triu(x, 1), [a]), ("einsum", lambda m, x, y: m.einsum("ij,kj->ik", x, y), [a, b]),
        ("logit", lambda m, x: m.logit(x / 3), [a]), ("nan_to_num", lambda m, x: m.nan_to_num(x), [a]), ("cumsum", lambda m, x: m.cumsum(x, 1), [a]),
        ("tensordot", lambda m, x, y: m.tensordot(x, y, ([1], [1])), [a, b]), ("std_mean", lambda m, x: m.std_mean(x, 0), [a]),
    ):  # fmt: skip
        compare(f, arrays, message=name, atol=1e-12)
