"""How tensors print, where no PyTorch is needed to know it."""

import pytest

import dlgrad
from dlgrad import printing
from dlgrad.tensor import Tensor


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        (3, None, "tensor(3)"),
        (2.5, None, "tensor(2.5000)"),
        ([1.0, 2.0], None, "tensor([1., 2.])"),
        ([True, False], None, "tensor([ True, False])"),
        ([1, -10], "int32", "tensor([  1, -10], dtype=dlgrad.int32)"),
        ([0.5, float("nan"), float("-inf")], None, "tensor([0.5000,    nan,   -inf])"),
        ([1e-6, 1.0], "float64", "tensor([1.0000e-06, 1.0000e+00], dtype=dlgrad.float64)"),
        ([[1.5, 2.0], [3.0, 4.0]], None, "tensor([[1.5000, 2.0000],\n        [3.0000, 4.0000]])"),
        ([], None, "tensor([])"),
        ([], "int64", "tensor([], dtype=dlgrad.int64)"),
    ],
)
def test_examples(values, dtype, text):
    assert repr(dlgrad.tensor(values, dtype=dtype and getattr(dlgrad, dtype))) == text
    assert str(dlgrad.tensor(values, dtype=dtype and getattr(dlgrad, dtype))) == text


def test_empty_shapes():
    assert repr(dlgrad.zeros(0, 3)) == "tensor([], size=(0, 3))"


def test_summary():
    assert repr(dlgrad.arange(1001)) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert "..." not in repr(dlgrad.arange(1000))


def test_history():
    x = dlgrad.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x + 1) == "tensor([2.], grad_fn=<AddBackward0>)"


def test_parameter():
    assert repr(dlgrad.nn.Parameter(dlgrad.ones(2))) == (
        "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )


def test_subclass():
    class Named(Tensor):
        pass

    assert repr(Named([1.0])) == "Named([1.])"


def test_contents_given():
    assert dlgrad.ones(2).__repr__(tensor_contents="two") == "tensor(two)"


def test_options_are_put_back():
    before = printing.get_printoptions()
    with printing.printoptions(precision=1, sci_mode=True):
        assert repr(dlgrad.tensor([1.25, 2.0])) == "tensor([1.2e+00, 2.0e+00])"
    assert printing.get_printoptions() == before
    with pytest.raises(ValueError, match="profile"):
        printing.set_printoptions(profile="long")


def test_printing_runs_no_operation():
    x = dlgrad.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.transpose(0, 1)
    version, fn = y._version, y.grad_fn
    repr(y)
    assert (y._version, y.grad_fn) == (version, fn)
