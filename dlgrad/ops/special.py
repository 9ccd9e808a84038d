"""The special functions that are methods and top-level names too. Their formulas load on first use (dlgrad.special)."""

from __future__ import annotations

from ..tensor import Tensor, method
from .unary import inplace

__all__ = ["igamma", "igammac", "mvlgamma", "polygamma"]


def _check_tensors(name, **arguments):
    for key, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{key}' must be Tensor, not {type(value).__name__}"
            )


@method
def igamma(input, other, *, out=None):
    """The regularised lower incomplete gamma function P(input, other); `dlgrad.special.gammainc`."""
    from ..special import gammainc

    _check_tensors("igamma", input=input, other=other)
    return gammainc(input, other, out=out)


@method
def igammac(input, other, *, out=None):
    """The regularised upper incomplete gamma function Q(input, other); `dlgrad.special.gammaincc`."""
    from ..special import gammaincc

    _check_tensors("igammac", input=input, other=other)
    return gammaincc(input, other, out=out)


@method
def mvlgamma(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension p; `dlgrad.special.multigammaln`."""
    from ..special import multigammaln

    return multigammaln(input, p, out=out)


def polygamma(n, input, *, out=None):
    """The n-th derivative of digamma; `dlgrad.special.polygamma`."""
    from ..special import polygamma as of_order

    return of_order(n, input, out=out)


@method(names=("polygamma",))
def _polygamma_method(self, n):
    """The n-th derivative of digamma at this tensor."""
    return polygamma(n, self)


for _name, _f in (
    ("igamma", igamma),
    ("igammac", igammac),
    ("mvlgamma", mvlgamma),
    ("polygamma", _polygamma_method),
):
    inplace(_name, _f)
