"""polygamma and multigammaln, which are more than a row of two tensors."""

from __future__ import annotations

import math

from ..batched import every_member
from ..dtypes import get_default_dtype
from ..ops import digamma, lgamma
from ..ops.numbered import apply
from ..ops.unary import trigamma
from ..ops.writing import write_out
from ..plan import memo
from ..tensor import Tensor


def polygamma(n, input, *, out=None):
    """The n-th derivative of digamma. Raises RuntimeError for negative n."""
    if not isinstance(input, Tensor):
        raise TypeError(f"polygamma(): argument 'input' must be Tensor, not {type(input).__name__}")
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    result = (digamma, trigamma)[n](input) if n < 2 else _by_zeta(n, input)
    return result if out is None else write_out("polygamma", out, result)


def _by_zeta(n, x):
    if not x._layout.dtype.is_floating_point:
        x = x.to(get_default_dtype())
    size = math.gamma(n + 1) if n < 171 else math.inf
    return apply("polygamma", x, (n + 1.0, size if n % 2 else -size), _slope, family="special")


def _slope(g, x, numbers):
    return g * polygamma(int(numbers[0]), x)


def multigammaln(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension p: p (p - 1) / 4 log(pi) + the sum of
    lgamma(x + (1 - j) / 2), j = 1 ... p. Raises RuntimeError unless x > (p - 1) / 2 everywhere."""
    if not isinstance(input, Tensor):
        raise TypeError(f"multigammaln(): argument 'input' must be Tensor, not {type(input).__name__}")
    if p < 1:
        raise RuntimeError("mvlgamma: p has to be greater than or equal to 1")
    if not every_member(input > 0.5 * (p - 1)).all().item():
        raise RuntimeError("All elements must be greater than (p-1)/2")
    result = _sum_of_lgammas(input, p)
    return result if out is None else write_out("multigammaln", out, result)


@memo
def _sum_of_lgammas(x, p):
    total = lgamma(x)
    for j in range(1, p):
        total = total + lgamma(x - 0.5 * j)
    return total + p * (p - 1) * 0.25 * math.log(math.pi)
