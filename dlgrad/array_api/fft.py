"""The standard's `fft` extension: `dlgrad.fft` with the standard's signatures."""

from __future__ import annotations

from .. import fft as _fft
from ._dtypes import tensor as _tensor

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft", "rfftfreq",
    "rfftn",
]  # fmt: skip


def _named(f, name):
    f.__name__ = f.__qualname__ = name
    f.__doc__ = getattr(_fft, name).__doc__
    f.__module__ = __name__
    return f


def _along_one(name):
    compute = getattr(_fft, name)

    def f(x, /, *, n=None, axis=-1, norm="backward"):
        return compute(_tensor(name, x), n, axis, norm)

    return _named(f, name)


def _along_several(name):
    compute = getattr(_fft, name)

    def f(x, /, *, s=None, axes=None, norm="backward"):
        return compute(_tensor(name, x), s, axes, norm)

    return _named(f, name)


fft, ifft, rfft, irfft, hfft, ihfft = map(
    _along_one, ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
)
fftn, ifftn, rfftn, irfftn = map(_along_several, ("fftn", "ifftn", "rfftn", "irfftn"))


def fftfreq(n, /, *, d=1.0, dtype=None, device=None):
    """The frequency of each number of `fft`, in cycles per unit of the sample spacing d: 0, 1, ..., -2, -1 over n d."""
    return _fft.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n, /, *, d=1.0, dtype=None, device=None):
    """The frequencies of `rfft`: 0, 1, ..., n // 2 over n d."""
    return _fft.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x, /, *, axes=None):
    """The numbers in the order of their frequencies: the zero one moves to the middle (of these axes, or of all)."""
    return _fft.fftshift(_tensor("fftshift", x), axes)


def ifftshift(x, /, *, axes=None):
    """The inverse of `fftshift`."""
    return _fft.ifftshift(_tensor("ifftshift", x), axes)


def __dir__():
    return __all__
