"""Short-time Fourier transforms: spectra of overlapping pieces of a signal, and the signal back from them."""

from __future__ import annotations

import math
import warnings

from .. import fft
from ..batched import each_member
from ..nn.functional import pad
from ..ops import ones, zeros
from ..ops.complex_numbers import view_as_complex, view_as_real
from ..tensor import Tensor

__all__ = ["istft", "stft"]


def _window(op, window, win_length, n_fft, dtype):
    """The window, of `win_length`, in the middle of n_fft numbers."""
    if window is None:
        window = ones(win_length, dtype=dtype)
    elif window.ndim != 1 or window.shape[0] != win_length:
        raise RuntimeError(
            f"{op}(): expected a 1D window tensor of size equal to win_length={win_length}, but got window with size {list(window.shape)}"
        )
    left = (n_fft - win_length) // 2
    return pad(window, (left, n_fft - win_length - left)) if win_length != n_fft else window


def _lengths(op, n_fft, hop_length, win_length):
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    if hop_length <= 0:
        raise RuntimeError(f"{op}(): expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(
            f"{op}(): expected 0 < win_length <= n_fft, but got win_length={win_length} and n_fft={n_fft}"
        )
    return hop_length, win_length


def stft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False, onesided=None,
    return_complex=None, align_to_window=None,
):  # fmt: skip
    """The transforms of n_fft numbers around each `hop_length`-th one, weighted by the window: (..., frequencies, pieces).

    input: a signal (samples,) or a batch of them.  hop_length: n_fft // 4 unless given.  window: 1-d of size win_length (n_fft), ones
    unless given.  center: the signal is padded by n_fft // 2 on either side, so that piece t is around sample t hop_length.
    normalized: divided by sqrt(n_fft).  onesided: for real signals only the first n_fft // 2 + 1 frequencies (the default).
    return_complex: False: real and imaginary part in a last dimension of 2.
    Raises RuntimeError for shapes and lengths that don't fit, and where a real signal's return_complex is not given."""
    if not isinstance(input, Tensor):
        raise TypeError(f"stft(): argument 'input' must be Tensor, not {type(input).__name__}")
    d = input.dtype
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(
            f"stft(): expected a tensor of floating point or complex values, but got {d.name}"
        )
    if input.ndim not in (1, 2):
        raise RuntimeError(
            f"stft(): expected a 1D or 2D tensor, but got {input.ndim}D (shape {list(input.shape)})"
        )
    if center and align_to_window is not None:
        raise RuntimeError("stft(): align_to_window should only be set when center = false")
    is_complex = d.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None:
        if not is_complex:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs: give return_complex=True"
            )
        return_complex = True
    elif not return_complex:
        warnings.warn(
            "stft with return_complex=False is deprecated; use view_as_real on the complex result",
            stacklevel=2,
        )
    hop_length, win_length = _lengths("stft", n_fft, hop_length, win_length)
    batch = input.ndim == 2
    x = input if batch else input.unsqueeze(0)
    if center:
        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
    if not 0 < n_fft <= x.shape[-1]:
        raise RuntimeError(
            f"stft(): expected 0 < n_fft <= {x.shape[-1]} (the samples, with padding), but got n_fft={n_fft}"
        )
    weights = _window("stft", window, win_length, n_fft, d.to_real())
    pieces = x.unfold(-1, n_fft, hop_length) * weights
    onesided = (not is_complex) if onesided is None else onesided
    if onesided and is_complex:
        raise RuntimeError("stft(): cannot have onesided output if window or input is complex")
    norm = "ortho" if normalized else "backward"
    result = (fft.rfft if onesided else fft.fft)(pieces, norm=norm).transpose(-1, -2)
    result = result if batch else result.squeeze(0)
    return result if return_complex else view_as_real(result)


@each_member
def istft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None, length=None,
    return_complex=False,
):  # fmt: skip
    """The signal whose `stft` is nearest to `input` in least squares: pieces are added up, and divided by the sum of the squared
    windows that lie over each sample (Griffin and Lim 1984).

    length: of the signal; unless given, as far as the pieces reach.
    Raises RuntimeError for shapes that don't fit, and where no window lies over a sample."""
    if not isinstance(input, Tensor):
        raise TypeError(f"istft(): argument 'input' must be Tensor, not {type(input).__name__}")
    if not input.dtype.is_complex:
        if input.ndim == 0 or input.shape[-1] != 2:
            raise RuntimeError(
                "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
            )
        input = view_as_complex(input.contiguous())
    if input.ndim not in (2, 3) or input.numel() == 0:
        raise RuntimeError(
            f"istft(): expected a non-empty tensor (frequencies, pieces) or (batch, frequencies, pieces), got shape {list(input.shape)}"
        )
    hop_length, win_length = _lengths("istft", n_fft, hop_length, win_length)
    batch = input.ndim == 3
    x = (input if batch else input.unsqueeze(0)).transpose(-1, -2)
    onesided = (input.shape[-2] != n_fft) if onesided is None else onesided
    if return_complex and onesided:
        raise RuntimeError("istft(): cannot have onesided=True when return_complex=True")
    if x.shape[-1] != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(
            f"istft(): expected {n_fft // 2 + 1 if onesided else n_fft} frequencies for n_fft={n_fft} and onesided={onesided}, got {x.shape[-1]}"
        )
    weights = _window("istft", window, win_length, n_fft, input.dtype.to_real())
    norm = "ortho" if normalized else "backward"
    pieces = fft.irfft(x, n_fft, norm=norm) if onesided else fft.ifft(x, norm=norm)
    if not onesided and not return_complex:
        pieces = pieces.real
    count = pieces.shape[1]
    total = n_fft + hop_length * (count - 1)
    signal = _added_up(pieces * weights, hop_length, total)
    squares = _added_up((weights * weights).expand(1, count, n_fft), hop_length, total)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - (n_fft // 2 if center else 0)
    signal, squares = signal[:, start:end], squares[:, start:end]
    if squares.numel() and not float(squares.abs().min()) > 1e-11:
        raise RuntimeError(
            "istft(): window overlap add min: 1: some sample lies under no window; use another window or a smaller hop_length"
        )
    signal = signal / squares
    missing = 0 if length is None else length - signal.shape[-1]
    if missing > 0:
        warnings.warn(
            "istft(): the length of the signal is shorter than the length parameter; it is padded with zeros",
            stacklevel=2,
        )
        signal = pad(signal, (0, missing))
    return signal if batch else signal.squeeze(0)


def _added_up(pieces, hop_length, total):
    """Pieces (batch, count, n) laid `hop_length` apart and added: (batch, total)."""
    batch, count, n = pieces.shape
    blocks = math.ceil(n / hop_length)
    padded = pad(pieces, (0, blocks * hop_length - n)).reshape(batch, count, blocks, hop_length)
    out = zeros(batch, count + blocks - 1, hop_length, dtype=pieces.dtype)
    for b in range(blocks):  # the b-th part of every piece lies b hops behind its start
        out = out + pad(padded[:, :, b], (0, 0, b, blocks - 1 - b))
    flat = out.reshape(batch, -1)
    return flat[:, :total]
