"""Short-time Fourier transforms against PyTorch."""

import numpy as np
import pytest
import torch

import dlgrad

from .both import agree, both

OPTIONS = [
    {}, {"hop_length": 5}, {"win_length": 12}, {"center": False}, {"normalized": True}, {"onesided": False},
    {"pad_mode": "constant"}, {"hop_length": 3, "win_length": 10, "normalized": True},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(60,), (2, 61)])
def test_stft_and_back(shape, options):
    rng = np.random.default_rng(0)
    x, y = both(rng.normal(size=shape), "float64", grad=True)
    w, v = both(np.hanning(options.get("win_length", 16) + 2)[1:-1], "float64")
    a = dlgrad.stft(x, 16, window=w, return_complex=True, **options)
    b = torch.stft(y, 16, window=v, return_complex=True, **options)
    agree(dlgrad.view_as_real(a), torch.view_as_real(b), 64)
    (g,), (h,) = (
        dlgrad.autograd.grad((a.abs() ** 2).sum(), x),
        torch.autograd.grad((b.abs() ** 2).sum(), y),
    )
    agree(g, h, 512)
    back = {k: n for k, n in options.items() if k != "pad_mode"}
    for length in (None, shape[-1]) if options.get("center", True) else (None,):
        c = a.detach().istft(16, window=w, length=length, **back)
        d = b.detach().istft(16, window=v, length=length, **back)
        agree(c, d, 512)


def test_complex_signals_and_refusals():
    z = np.random.default_rng(1).normal(size=40) + 1j
    a, b = dlgrad.stft(dlgrad.tensor(z), 8), torch.stft(torch.tensor(z), 8)
    np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)
    for module in (dlgrad, torch):
        with pytest.raises(RuntimeError, match="return_complex"):
            module.stft(module.ones(20), 8)
        with pytest.raises(RuntimeError, match="n_fft"):
            module.stft(module.ones(4), 8, center=False, return_complex=True)
        with pytest.raises(RuntimeError, match="window"):
            module.stft(module.ones(20), 8, window=module.ones(5), return_complex=True)
