"""Results are tensors of their own, `out=` is written as it lies, and products of nothing are nothing."""

import numpy as np
import pytest
from arrays import array, tensor

import dlgrad as dl
import dlgrad.nn.functional as F

COPIES = {
    "prod of one complex number": lambda: (z := dl.ones(1, dtype=dl.complex64), z.prod()),
    "complex to real": lambda: (z := dl.ones(2, dtype=dl.complex128), z.double()),
    "pixel_shuffle by 1": lambda: (x := dl.ones(1, 1, 2, 2), F.pixel_shuffle(x, 1)),
    "channel_shuffle of one group": lambda: (x := dl.ones(1, 2, 2), F.channel_shuffle(x, 1)),
    "reflect pad by nothing": lambda: (x := dl.ones(1, 2, 3), F.pad(x, (0, 0), mode="reflect")),
    "interpolate to its size": lambda: (x := dl.ones(1, 1, 2), F.interpolate(x, size=2)),
    "ravel of an expanded tensor": lambda: (x := dl.ones(1).expand(2), x.ravel()),
}


@pytest.mark.parametrize("name", COPIES)
def test_no_alias_of_the_input(name):
    x, result = COPIES[name]()
    result.fill_(5)
    assert dl.equal(x, dl.ones_like(x))


def test_out_of_another_shape_is_resized_with_a_warning():
    out = dl.ones(3)
    with pytest.warns(UserWarning, match="resized"):
        dl.exp(dl.zeros(2), out=out)
    assert out.tolist() == [1.0, 1.0]


def test_out_of_the_same_shape_keeps_its_strides():
    memory = dl.zeros(2, 3)
    dl.full((3, 2), 7.0, out=memory.t())
    assert memory.tolist() == [[7.0] * 3] * 2
    assert memory.t().resize_(3, 2).stride() == (1, 3)


def test_out_of_another_dtype():
    with pytest.raises(RuntimeError, match="dtype"):
        dl.mm(dl.ones(2, 2), dl.ones(2, 2), out=dl.empty(2, 2, dtype=dl.float64))
    assert dl.add(dl.ones(2), 1, out=dl.empty(2, dtype=dl.float64)).tolist() == [2.0, 2.0]


def test_einsum_of_nothing():
    assert dl.einsum("ij,jk->ik", dl.ones(0, 4), dl.ones(4, 2)).shape == (0, 2)
    assert dl.einsum("ij,jk->ik", dl.ones(2, 0), dl.ones(0, 3)).tolist() == [[0.0] * 3] * 2


def test_einsum_of_many_short_sums():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 2, 4, 5)), rng.normal(size=(4, 5, 3, 2))
    for text in ("ijkl,klij->ji", "ijkl,klij->i", "ijkl,klij->ilj"):
        got = dl.einsum(text, tensor(a), tensor(b))
        np.testing.assert_allclose(array(got), np.einsum(text, a, b), 1e-13)


def test_complex_products_with_fractions():
    rng = np.random.default_rng(0)
    c, a, b = [rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)) for _ in range(3)]
    result = dl.addmm(tensor(c), tensor(a), tensor(b), beta=0.5, alpha=0.25)
    np.testing.assert_allclose(array(result), 0.5 * c + 0.25 * a @ b, 1e-14)


def test_complex_in_place_gradient():
    z = dl.ones(2, dtype=dl.complex128).requires_grad_()
    (z * 2).neg_().abs().sum().backward()
    assert z.grad.tolist() == [2 + 0j, 2 + 0j]


def test_complex_isclose_is_as_precise_as_its_dtype():
    z = dl.tensor([1 + 1j], dtype=dl.complex128)
    assert not dl.isclose(z, z + 1e-9, rtol=1e-12, atol=0.0).item()


def test_ignored_targets_have_no_gradient():
    x = dl.ones(2, 3).requires_grad_()
    loss = F.cross_entropy(x, dl.tensor([0, 0]), ignore_index=0, label_smoothing=0.2)
    (g,) = dl.autograd.grad(loss, x, create_graph=True)
    assert g.tolist() == [[0.0] * 3] * 2


def test_addmm_activation():
    c, a, b = dl.randn(5), dl.randn(3, 4), dl.randn(4, 5)
    plain = dl.addmm(c, a, b, beta=0.5)
    assert (dl._addmm_activation(c, a, b, beta=0.5) == plain.relu()).all()
    out = dl.empty(3, 5)
    assert c._addmm_activation(a, b, beta=0.5, use_gelu=True).tolist() == (
        dl.nn.functional.gelu(plain).tolist()
    )
    assert dl._addmm_activation(c, a, b, beta=0.5, out=out) is out
    assert (out == plain.relu()).all()


@pytest.mark.parametrize("dtype", [dl.float32, dl.float64, dl.bfloat16, dl.int64])
def test_products_that_end_with_an_activation_have_the_bits_of_two_steps(dtype):
    c, a, b = (dl.randn(*shape).mul(9).to(dtype) for shape in ((5,), (3, 4), (4, 5)))
    for use_gelu in (False, True) if dtype.is_floating_point else (False,):
        two = F.gelu(dl.addmm(c, a, b)) if use_gelu else dl.relu(dl.addmm(c, a, b))
        for _ in range(2):  # the second time by the plan that was kept
            assert dl.equal(dl._addmm_activation(c, a, b, use_gelu=use_gelu), two)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        dl._addmm_activation(c, a, a)
    if dtype.is_floating_point:
        a.requires_grad_()
        assert dl._addmm_activation(c, a, b).grad_fn is not None


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
def test_feed_forward_is_the_same_with_and_without_a_graph(activation, bias):
    layer = dl.nn.TransformerEncoderLayer(
        8, 2, 33, 0.0, activation=activation, bias=bias, batch_first=True
    )
    x = dl.randn(3, 5, 8)
    with_graph = layer(x)
    assert with_graph.grad_fn is not None
    with dl.no_grad():
        assert dl.equal(layer(x), with_graph)
        assert dl.equal(layer(x), with_graph)
        seen = []
        layer.linear1.register_forward_hook(lambda module, args, out: seen.append(out.min().item()))
        layer(x)
    assert seen[0] < 0  # what the hook sees has met no activation
