"""Second derivatives: right at zeros, and zeros (not errors) where PyTorch's backward takes the input but is flat in it."""

import pytest

import dlgrad
from dlgrad import ops
from dlgrad.autograd import gradcheck, gradgradcheck
from dlgrad.nn import functional as F


def randn(*shape):
    return dlgrad.randn(*shape, dtype=dlgrad.float64, requires_grad=True)


@pytest.fixture(autouse=True)
def seed():
    dlgrad.manual_seed(0)


FLAT = {
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (1, 2, 4, 4)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), (1, 2, 5)),
    "reflect": (lambda x: F.pad(x, (1, 2), "reflect"), (1, 2, 4)),
    "replicate": (lambda x: F.pad(x, (2, -1), "replicate"), (1, 2, 4)),
    "threshold": (lambda x: F.threshold(x, 0.1, 3.0), (6,)),
    "softshrink": (lambda x: F.softshrink(x, 0.3), (6,)),
    "hardshrink": (lambda x: F.hardshrink(x, 0.3), (6,)),
    "prelu": (lambda x: F.prelu(x, dlgrad.tensor(0.25, dtype=x.dtype)), (6,)),
    "nll_loss": (lambda x: F.nll_loss(x, dlgrad.tensor([1, 0, 2])), (3, 3)),
    "prod of one": (lambda x: x.prod(0, True), (1,)),
}


@pytest.mark.parametrize("name", FLAT)
def test_flat_derivatives_have_a_second_one_of_zeros(name):
    f, shape = FLAT[name]
    x = randn(*shape)
    y = f(x)
    cotangent = dlgrad.ones_like(y).requires_grad_()
    (g,) = dlgrad.autograd.grad(y, x, cotangent, create_graph=True)
    assert g.requires_grad
    to_x, to_cotangent = dlgrad.autograd.grad(g.sum(), (x, cotangent))
    assert to_x.shape == x.shape and not to_x.any()
    assert to_cotangent.any()
    assert gradgradcheck(f, (x,))


@pytest.mark.parametrize("f", (dlgrad.remainder, dlgrad.fmod))
def test_remainders_by_a_tensor(f):
    a, b = randn(6), (randn(6).detach().abs() + 0.5).requires_grad_()
    _, gb = dlgrad.autograd.grad(f(a, b).sum(), (a, b), create_graph=True)
    to_a, to_b = dlgrad.autograd.grad(gb.sum(), (a, b))
    assert not to_a.any() and not to_b.any()


@pytest.mark.parametrize(
    "values", ([1.5, -2.0, 0.5], [1.5, 0.0, 0.5], [0.0, 3.0, 0.0, 2.0], [0.0, 0.0, 0.0])
)
def test_cumprod_at_zeros(values):
    x = dlgrad.tensor(values, dtype=dlgrad.float64, requires_grad=True)
    for f in (lambda x: x.cumprod(0), lambda x: x.prod(0)):
        assert gradcheck(f, (x,)) and gradgradcheck(f, (x,))


@pytest.mark.parametrize("zeros", ((), (1,), (1, 3), (1, 2)))
def test_scatter_reduce_of_products(zeros):
    start, src = randn(3), dlgrad.randn(5, dtype=dlgrad.float64)
    for i in zeros:
        src[i] = 0.0
    src.requires_grad_()
    index = dlgrad.tensor([0, 1, 1, 1, 2])
    f = lambda x, s: x.scatter_reduce(0, index, s, "prod")  # noqa: E731
    assert gradcheck(f, (start, src))
    if len(zeros) < 2:  # of two zeros in one product PyTorch's second derivative is 0
        assert gradgradcheck(f, (start, src))


def test_conv_transpose_with_large_output_padding():
    x, w = randn(1, 2, 3, 3), randn(2, 2, 2, 2)
    f = lambda x, w: F.conv_transpose2d(x, w, None, 2, 1, (2, 2), 1, 3)  # noqa: E731
    assert gradcheck(f, (x, w)) and gradgradcheck(f, (x, w))


def test_group_norm_of_nothing():
    x, w = randn(0, 4, 2), randn(4)
    (g,) = dlgrad.autograd.grad(F.group_norm(x, 2, w).sum(), x, create_graph=True)
    assert g.shape == x.shape


def test_index_fill_counts_a_repeated_place_once():
    x, value = randn(4), randn()
    x.index_fill(0, dlgrad.tensor([1, -3, 1]), value).sum().backward()
    assert value.grad.item() == 1.0 and x.grad.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_shrinks_keep_the_gradient_of_nan():
    for f in (ops.softshrink, ops.hardshrink):
        x = dlgrad.tensor([float("nan"), 0.5, -0.6], requires_grad=True)
        (g,) = dlgrad.autograd.grad(f(x).sum(), x, create_graph=True)
        assert g.tolist() == [1.0, 0.0, 1.0]


def test_nextafter():
    a, b = (
        dlgrad.tensor([1.0, 2.0], requires_grad=True),
        dlgrad.tensor([1.0, 3.0], requires_grad=True),
    )
    dlgrad.nextafter(a, b).sum().backward()
    assert a.grad.tolist() == [0.0, 1.0] and b.grad.tolist() == [0.0, 0.0]
