"""Window functions: symmetry, periodicity, known values, errors; the top-level names that load late."""

import math

import pytest

import dlgrad
from dlgrad.signal import windows

NAMES = [n for n in windows.__all__ if n != "general_cosine"]


@pytest.mark.parametrize("name", NAMES)
def test_windows(name):
    f = getattr(windows, name)
    symmetric, periodic = f(9, dtype=dlgrad.float64), f(8, sym=False, dtype=dlgrad.float64)
    assert dlgrad.allclose(symmetric, symmetric.flip(0))
    assert dlgrad.allclose(symmetric[:8], periodic)
    assert f(0).shape == (0,) and f(1).item() == pytest.approx(1.0)
    assert f(3, requires_grad=True).requires_grad and f(3).dtype is dlgrad.float32
    with pytest.raises(ValueError, match="non-negative"):
        f(-1)
    with pytest.raises(ValueError, match="float32 or float64"):
        f(3, dtype=dlgrad.float16)


def test_known_windows():
    assert windows.bartlett(5).tolist() == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert windows.hann(5, dtype=dlgrad.float64).tolist() == pytest.approx(
        [0.0, 0.5, 1.0, 0.5, 0.0]
    )
    assert windows.blackman(3, dtype=dlgrad.float64).tolist() == pytest.approx(
        [0.0, 1.0, 0.0], abs=1e-15
    )
    assert windows.gaussian(3, std=2.0)[0].item() == pytest.approx(math.exp(-1 / 8))
    assert windows.exponential(3, tau=2.0)[0].item() == pytest.approx(math.exp(-0.5))
    assert dlgrad.hann_window(4).tolist() == pytest.approx([0.0, 0.5, 1.0, 0.5])
    assert dlgrad.hamming_window(5, False).tolist() == pytest.approx(windows.hamming(5).tolist())
    assert dlgrad.kaiser_window(5, False).tolist() == pytest.approx(windows.kaiser(5).tolist())
    for wrong in (lambda: windows.exponential(3, tau=0.0), lambda: windows.gaussian(3, std=-1.0), lambda: windows.kaiser(3, beta=-1.0),
                  lambda: windows.exponential(3, center=1.0), lambda: windows.general_cosine(3, a=[])):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()


def test_names_that_load_late():
    for name in (*dlgrad._LAZY, *dlgrad._METHODS, *dlgrad._SUBMODULES):
        assert getattr(dlgrad, name) is not None
    x = dlgrad.zeros(2)
    assert dlgrad.exp_(x) is x and x.tolist() == [1.0, 1.0]
