"""nn.grad, nn.attention, nn.factory_kwargs, and other names that programs use around modules."""

import pytest

import dlgrad
from dlgrad import nn
from dlgrad.nn.attention import SDPBackend, bias, sdpa_kernel

CONVOLUTIONS = {
    1: ((2, 4, 9), (6, 2, 3), dict(stride=2, padding=1, dilation=2, groups=2)),
    2: ((2, 3, 6, 7), (4, 3, 2, 3), dict(stride=(1, 2), padding=(0, 1))),
    3: ((1, 2, 4, 5, 4), (2, 2, 2, 2, 2), dict()),
}


@pytest.mark.parametrize("dims", CONVOLUTIONS)
def test_gradients_of_convolutions(dims):
    shape, kernel, options = CONVOLUTIONS[dims]
    x = dlgrad.randn(shape, dtype=dlgrad.float64, requires_grad=True)
    w = dlgrad.randn(kernel, dtype=dlgrad.float64, requires_grad=True)
    y = getattr(nn.functional, f"conv{dims}d")(x, w, **options)
    g = dlgrad.randn_like(y)
    y.backward(g)
    by_input = getattr(nn.grad, f"conv{dims}d_input")(x.shape, w.detach(), g, **options)
    by_weight = getattr(nn.grad, f"conv{dims}d_weight")(x.detach(), w.shape, g, **options)
    assert dlgrad.equal(by_input, x.grad) and dlgrad.equal(by_weight, w.grad)


def test_attention_kernels_and_masks():
    q, k = dlgrad.randn(1, 2, 3, 4), dlgrad.randn(1, 2, 5, 4)
    plain = nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        masked = nn.functional.scaled_dot_product_attention(q, k, k, bias.causal_upper_left(3, 5))
    assert dlgrad.allclose(plain, masked)
    assert bias.causal_lower_right(2, 3).tolist() == [[True, True, False], [True, True, True]]
    with pytest.warns(UserWarning, match="Lower right causal bias"):
        assert bias.causal_lower_right(2, 1).tolist() == [[False], [True]]
    with pytest.raises(AssertionError, match="only supports 2D"):
        bias.causal_upper_left(2)
    with pytest.raises(AssertionError, match="must be an instance of SDPBackend"):
        with sdpa_kernel("math"):
            pass


def test_factory_kwargs():
    assert nn.factory_kwargs(None) == {}
    given = {"dtype": dlgrad.float64, "factory_kwargs": {"device": "cpu"}}
    assert nn.factory_kwargs(given) == {"dtype": dlgrad.float64, "device": "cpu"}
    with pytest.raises(TypeError, match="unexpected kwargs"):
        nn.factory_kwargs({"size": 3})
    with pytest.raises(TypeError, match="dtype specified twice"):
        nn.factory_kwargs({"dtype": 1, "factory_kwargs": {"dtype": 2}})


def test_options_of_linear_cross_entropy():
    options = nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:2")
    x, w, target = dlgrad.randn(3, 4), dlgrad.randn(5, 4), dlgrad.tensor([0, 4, 2])
    loss = nn.functional.linear_cross_entropy
    assert dlgrad.equal(loss(x, w, target, options=options), loss(x, w, target))
    for wrong in ({"chunking_method": "x"}, {"acc_policy": "x"}, {"batch_chunk_size": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            nn.LinearCrossEntropyOptions(**wrong)
    with pytest.raises(ValueError, match="acc_dtype must be one of"):
        nn.LinearCrossEntropyOptions(acc_dtype=dlgrad.int64)


def test_names():
    from dlgrad.nn.common_types import _size_2_t  # noqa: F401

    options = nn.modules.linear_cross_entropy_options
    assert options.LinearCrossEntropyOptions is nn.LinearCrossEntropyOptions
    layer = nn.Linear(2, 2)
    assert layer.compile(mode="reduce-overhead") is None
    assert layer(dlgrad.ones(1, 2)).shape == (1, 2)


def test_packed_sequences_convert():
    packed = nn.utils.rnn.pack_sequence([dlgrad.ones(3), dlgrad.ones(2)])
    for name, dtype in (("half", "float16"), ("long", "int64"), ("byte", "uint8")):
        assert getattr(packed, name)().data.dtype is getattr(dlgrad, dtype)
    again = nn.utils.rnn.PackedSequence((packed.data, packed.batch_sizes))
    assert again.batch_sizes.tolist() == [2, 2, 1]
    with pytest.raises(AssertionError, match="data and batch_sizes"):
        nn.utils.rnn.PackedSequence(dlgrad.ones(2))
    with pytest.raises(RuntimeError, match="a 0-d tensor is no sequence"):
        nn.utils.rnn.pad_sequence([dlgrad.tensor(1.0)])
