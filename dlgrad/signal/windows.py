"""Window functions of M points, as in torch.signal.windows (formulas: Harris 1978; those of scipy.signal.windows).

sym: symmetric, for filters; otherwise periodic, for spectra: M points of the symmetric window of M + 1. dtype: float32 or
float64. All raise ValueError for a negative M, for other dtypes and for parameters out of range.
"""

from __future__ import annotations

import math

import dlgrad

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann", "kaiser",
    "nuttall",
]  # fmt: skip


def _checked(name, M, dtype, layout):  # noqa: N803
    """The dtype to use."""
    dtype = dtype or dlgrad.get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout not in (None, dlgrad.strided):
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (dlgrad.float32, dlgrad.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return dtype


def _line(start, step, M, dtype):  # noqa: N803
    """start, start + step, ...: M points."""
    return dlgrad.linspace(start, start + (M - 1) * step, M, dtype=dtype)


def _finished(window, requires_grad):
    return window.requires_grad_() if requires_grad else window


def _span(M, sym):  # noqa: N803
    """How many steps the window is long."""
    return M - 1 if sym or M <= 1 else M


def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """e^(-|k - center| / tau); center only for periodic windows, the middle unless given."""
    dtype = _checked("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    center = _span(M, sym) / 2 if center is None else center
    window = (-_line(-center / tau, 1 / tau, M, dtype).abs()).exp() if M else dlgrad.empty(0, dtype=dtype)
    return _finished(window, requires_grad)


def cosine(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """sin(pi (k + 1/2) / M)."""
    dtype = _checked("cosine", M, dtype, layout)
    step = math.pi / max(_span(M, sym) + 1, 1)
    return _finished(_line(0.5 * step, step, M, dtype).sin() if M else dlgrad.empty(0, dtype=dtype), requires_grad)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """e^(-(k - middle)^2 / (2 std^2))."""
    dtype = _checked("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    step = 1 / (std * math.sqrt(2))
    window = (-(_line(-_span(M, sym) / 2 * step, step, M, dtype) ** 2)).exp() if M else dlgrad.empty(0, dtype=dtype)
    return _finished(window, requires_grad)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """i0(beta sqrt(1 - x^2)) / i0(beta), x from -1 to 1 (Kaiser 1974)."""
    dtype = _checked("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M <= 1:
        return _finished(dlgrad.ones(M, dtype=dtype), requires_grad)
    scale = dlgrad.tensor(beta, dtype=dtype)
    exact = scale.item()
    end = min(exact, -exact + (M - 1) * 2 * exact / _span(M, sym))
    k = dlgrad.linspace(-exact, end, M, dtype=dtype)
    return _finished((scale * scale - k * k).clamp(min=0).sqrt().i0() / scale.i0(), requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The sum over i of (-1)^i a_i cos(2 pi i k / M)."""
    dtype = _checked("general_cosine", M, dtype, layout)
    try:
        weights = [float(w) for w in a]
    except TypeError:
        raise TypeError("Coefficients must be a list/tuple") from None
    if M <= 1:
        return _finished(dlgrad.ones(M, dtype=dtype), requires_grad)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    k = _line(0.0, 2 * math.pi / _span(M, sym), M, dtype)
    orders = dlgrad.arange(len(weights), dtype=dtype).unsqueeze(-1)
    signed = dlgrad.tensor([-w if i % 2 else w for i, w in enumerate(weights)], dtype=dtype).unsqueeze(-1)
    return _finished((signed * (orders * k).cos()).sum(0), requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """alpha - (1 - alpha) cos(2 pi k / M)."""
    return general_cosine(M, a=(alpha, 1.0 - alpha), sym=sym, dtype=dtype, layout=layout, requires_grad=requires_grad)


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """general_hamming with alpha 0.54."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """general_hamming with alpha 1/2."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, requires_grad=requires_grad)


def blackman(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """general_cosine with 0.42, 0.5, 0.08."""
    return general_cosine(M, a=(0.42, 0.5, 0.08), sym=sym, dtype=dtype, layout=layout, requires_grad=requires_grad)


def nuttall(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """general_cosine with Nuttall's minimal four terms (1981)."""
    a = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
    return general_cosine(M, a=a, sym=sym, dtype=dtype, layout=layout, requires_grad=requires_grad)


def bartlett(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """A triangle with zeros at both ends."""
    dtype = _checked("bartlett", M, dtype, layout)
    if M <= 1:
        return _finished(dlgrad.ones(M, dtype=dtype), requires_grad)
    return _finished(1 - _line(-1.0, 2 / _span(M, sym), M, dtype).abs(), requires_grad)


# ---------------------------------------------------------------------- torch.hann_window and its like


def hann_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):
    """hann, periodic unless told otherwise."""
    return hann(window_length, sym=not periodic, dtype=dtype, layout=layout, requires_grad=requires_grad)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None, device=None, requires_grad=False):
    """alpha - beta cos(2 pi k / N), periodic unless told otherwise."""
    return general_cosine(window_length, a=(alpha, beta), sym=not periodic, dtype=dtype, layout=layout, requires_grad=requires_grad)


def blackman_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):
    """blackman, periodic unless told otherwise."""
    return blackman(window_length, sym=not periodic, dtype=dtype, layout=layout, requires_grad=requires_grad)


def bartlett_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):
    """bartlett, periodic unless told otherwise."""
    return bartlett(window_length, sym=not periodic, dtype=dtype, layout=layout, requires_grad=requires_grad)


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """kaiser, periodic unless told otherwise."""
    return kaiser(window_length, beta=beta, sym=not periodic, dtype=dtype, layout=layout, requires_grad=requires_grad)
