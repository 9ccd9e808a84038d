"""`axis` and `keepdims`, NumPy's names of `dim` and `keepdim`, where PyTorch takes them."""

import pytest

import dlgrad


@pytest.mark.parametrize("name", "sum mean prod nansum any all amax amin argmax argmin max min std var".split())
def test_reductions(name):
    x = dlgrad.arange(12.0).view(3, 4)
    for f in (getattr(dlgrad, name), getattr(dlgrad.Tensor, name)):
        a, b = f(x, axis=1, keepdims=True), f(x, dim=1, keepdim=True)
        assert [t.tolist() for t in (a if isinstance(a, tuple) else [a])] == [
            t.tolist() for t in (b if isinstance(b, tuple) else [b])
        ]
        with pytest.raises(TypeError, match="axes"):
            f(x, axes=1)


def test_joining():
    x = dlgrad.ones(2, 3)
    assert dlgrad.cat([x, x], axis=1).shape == (2, 6)
    assert dlgrad.stack([x, x], axis=2).shape == (2, 3, 2)
