"""gradient, renorm, histograms, angles, mantissas and exponents."""

import math

import pytest

import dlgrad
from dlgrad.autograd import gradcheck


def test_gradient_is_exact_for_parabolas():
    at = dlgrad.tensor([0.0, 0.5, 2.0, 3.0, 3.5], dtype=dlgrad.float64)
    (slopes,) = dlgrad.gradient(at**2 - at, spacing=[at], edge_order=2)
    assert dlgrad.allclose(slopes, 2 * at - 1)
    steps = dlgrad.arange(5, dtype=dlgrad.float64) * 0.25
    (slopes,) = dlgrad.gradient(steps**2, spacing=0.25, edge_order=2)
    assert dlgrad.allclose(slopes, 2 * steps)
    (slopes,) = dlgrad.gradient(steps**2, spacing=0.25)
    assert dlgrad.allclose(slopes[1:-1], 2 * steps[1:-1]) and slopes[0].item() == 0.25


def test_gradient_of_several_dimensions():
    t = dlgrad.tensor([[1, 2, 4, 8], [10, 20, 40, 80]])
    rows, columns = dlgrad.gradient(t)
    assert rows.tolist() == [[9.0, 18.0, 36.0, 72.0]] * 2
    assert columns.tolist() == [[1.0, 1.5, 3.0, 4.0], [10.0, 15.0, 30.0, 40.0]]
    (only,) = dlgrad.gradient(t, dim=1, spacing=[2.0])
    assert only.tolist() == [[0.5, 0.75, 1.5, 2.0], [5.0, 7.5, 15.0, 20.0]]
    x = dlgrad.randn(3, 4, dtype=dlgrad.float64, requires_grad=True)
    assert gradcheck(lambda x: dlgrad.gradient(x, edge_order=2), (x,))
    for wrong in ({"edge_order": 3}, {"dim": (0, 0)}, {"spacing": [1.0]}, {"edge_order": 2}):
        with pytest.raises(RuntimeError, match=r"gradient\(\)"):
            dlgrad.gradient(t, **wrong)


def test_renorm():
    x = dlgrad.tensor([[3.0, 4.0], [0.3, 0.4]])
    y = x.renorm(2, 0, 1.0)
    assert y[1].tolist() == x[1].tolist() and abs(y[0].norm().item() - 1.0) < 1e-6
    assert x.renorm_(1, 1, 2.0) is x
    assert gradcheck(
        lambda x: dlgrad.renorm(x, 2, 0, 1.0),
        (dlgrad.randn(3, 4, dtype=dlgrad.float64, requires_grad=True),),
    )
    for arguments in ((0, 0, 1.0), (2, 0, -1.0)):
        with pytest.raises(RuntimeError, match=r"renorm\(\)"):
            x.renorm(*arguments)


def test_histogram():
    x = dlgrad.tensor([1.0, 2.0, 1.0, 4.0, math.nan, 9.0])
    hist, edges = dlgrad.histogram(x, 4, range=(0.0, 4.0))
    assert hist.tolist() == [0.0, 2.0, 1.0, 1.0] and edges.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    weight = dlgrad.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    by_edges = dlgrad.histogram(x, dlgrad.tensor([0.0, 1.5, 4.0]), weight=weight)
    assert by_edges.hist.tolist() == [5.0, 10.0]
    density = dlgrad.histogram(x, dlgrad.tensor([0.0, 1.5, 4.0]), density=True).hist
    assert dlgrad.allclose(density, dlgrad.tensor([0.5 / 1.5, 0.5 / 2.5]))
    for bad in (
        lambda: dlgrad.histogram(x, 0),
        lambda: x.long().histogram(2),
        lambda: dlgrad.histogram(x, 2, weight=weight[1:]),
    ):
        with pytest.raises(RuntimeError, match=r"histogram\(\)"):
            bad()


def test_histogramdd():
    points = dlgrad.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    hist, edges = dlgrad.histogramdd(points, [3, 3])
    assert hist.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    assert [e.numel() for e in edges] == [4, 4]
    hist, _ = dlgrad.histogramdd(
        points, 2, range=[0.0, 1.0, 0.0, 1.0], weight=dlgrad.tensor([1.0, 2.0, 4.0, 8.0])
    )
    assert hist.tolist() == [[0.0, 1.0], [2.0, 0.0]]


@pytest.mark.parametrize("dtype", (dlgrad.float32, dlgrad.float64))
def test_frexp(dtype):
    tiny = dlgrad.finfo(dtype).smallest_normal
    x = dlgrad.tensor(
        [1.0, 0.75, -8.0, 3.0, tiny, tiny / 8, dlgrad.finfo(dtype).max, 0.0, -math.inf], dtype=dtype
    )
    mantissa, exponent = dlgrad.frexp(x)
    assert exponent.dtype is dlgrad.int32
    for v, m, e in zip(x.tolist(), mantissa.tolist(), exponent.tolist()):
        assert (m, e) == (math.frexp(v) if math.isfinite(v) else (v, 0))
    nan = dlgrad.frexp(dlgrad.tensor(math.nan))
    assert math.isnan(nan.mantissa.item()) and nan.exponent.item() == 0
    with pytest.raises(RuntimeError, match="floating-point"):
        dlgrad.frexp(dlgrad.arange(3))


def test_angles_and_conjugates():
    x = dlgrad.tensor([-1.0, 0.0, 2.0, math.nan], requires_grad=True)
    angle = dlgrad.angle(x)
    assert angle[:3].tolist() == pytest.approx([math.pi, 0.0, 0.0]) and math.isnan(angle[3].item())
    angle.sum().backward()
    assert x.grad.tolist() == [0.0] * 4
    assert dlgrad.deg2rad(dlgrad.tensor([180])).item() == pytest.approx(math.pi)
    assert dlgrad.tensor([math.pi]).rad2deg_().item() == pytest.approx(180.0)
    assert x.isreal().all() and x.conj() is x and x.resolve_neg() is x


def test_norms_with_their_statistics():
    x = dlgrad.randn(4, 6, 5, dtype=dlgrad.float64)
    weight, bias = dlgrad.rand(6, dtype=x.dtype), dlgrad.rand(6, dtype=x.dtype)
    y, mean, rstd = dlgrad.native_layer_norm(x, (5,), None, None, 1e-5)
    assert dlgrad.allclose(y, (x - mean) * rstd) and mean.shape == (4, 6, 1)
    y, mean, rstd = dlgrad.native_batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)
    wide = (1, 6, 1)
    assert dlgrad.allclose(
        y, (x - mean.reshape(wide)) * rstd.reshape(wide) * weight.reshape(wide) + bias.reshape(wide)
    )
    y, mean, rstd = dlgrad.native_batch_norm(x, weight, bias, bias, weight, False, 0.1, 1e-5)
    assert mean.numel() == rstd.numel() == 0
    y, mean, rstd = dlgrad.native_group_norm(x, weight, bias, 4, 6, 5, 2, 1e-5)
    assert dlgrad.allclose(
        y, dlgrad.nn.functional.group_norm(x, 2, weight, bias)
    ) and mean.shape == (4, 2)


def test_addr_of_bools():
    yes_no = dlgrad.tensor([True, False])
    result = dlgrad.addr(dlgrad.tensor([[False, False], [True, False]]), yes_no, yes_no)
    assert result.dtype is dlgrad.bool and result.tolist() == [[True, False], [True, False]]
