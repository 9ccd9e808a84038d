"""Gamma, Dirichlet and binomial numbers, and how the first two change with their parameters.

The gradient of a sample x at a fixed cumulative probability F is -(dF/da) / (dF/dx): Figurnov et al., "Implicit
reparameterization gradients" (2018). The approximations of dF/da, and the regions where each is used, are PyTorch's.
"""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import no_grad
from ..batched import drawn
from ..layout import contiguous
from ..random import block_of
from ..tensor import Tensor
from ._draw import check_floating
from .create import new_tensor
from .ternary import where

__all__ = [
    "binomial",
    "_standard_gamma",
    "_standard_gamma_grad",
    "_sample_dirichlet",
    "_dirichlet_grad",
]


def _drawn(row, inputs, generator, name):
    """A contiguous tensor of the shape and dtype of the first input, filled by `row`."""
    for x in inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): expected Tensors, got {type(x).__name__}")
        check_floating(name, x._layout)
    lay = contiguous(inputs[0]._layout.dtype, tuple(inputs[0]._layout.shape))
    out = new_tensor(drawn(lay), name)
    door.call(
        "random",
        row,
        out._layout,
        (block_of(generator), *(x.detach() for x in inputs)),
        into=out,
        name=name,
    )
    return out


def binomial(count, prob, generator=None):
    """How many of `count` trials succeed, each with probability `prob`: float Tensors, broadcast together."""
    from . import broadcast_tensors

    if isinstance(count, Tensor) and isinstance(prob, Tensor) and count.dtype is not prob.dtype:
        raise ValueError(
            f"binomial(): count and prob must have the same dtype, got {count.dtype.name} and {prob.dtype.name}"
        )
    count, prob = broadcast_tensors(count, prob)
    out = _drawn("binomial", (count, prob), generator, "binomial")
    return record(out, "BinomialBackward0", lambda g: (None, g * 0), (None, prob))


def _standard_gamma(input, generator=None):
    """Gamma numbers with rate 1 and the concentrations that `input` holds."""
    out = _drawn("standard_gamma", (input,), generator, "_standard_gamma")
    rule = lambda g, x, a: g * _standard_gamma_grad(a, x)  # noqa: E731
    return record(out, "StandardGammaBackward0", rule, (input,), (None, input), own=0)


def _sample_dirichlet(input, generator=None):
    """Points of the simplex: gamma numbers, in double precision, over their sum along the last dimension."""
    with no_grad():
        gammas = _drawn(
            "standard_gamma", (input.detach().double(),), generator, "_sample_dirichlet"
        )
        finfo = dt.finfo(input.dtype)
        out = (gammas / gammas.sum(-1, True)).to(input.dtype).clamp(finfo.tiny, 1 - finfo.eps / 2)

    def rule(g, x, a):
        grad = _dirichlet_grad(x, a, a.sum(-1, True).expand_as(a))
        return grad * (g - (x * g).sum(-1, True))

    return record(out, "DirichletBackward0", rule, (input,), (None, input), own=0)


# ---------------------------------------------------------------------- d sample / d parameter


def _number(x):
    """0 in the place of nan."""
    return x.masked_fill(x.isnan(), 0)


def _standard_gamma_grad(input, output):
    """dx/da of a sample x = `output` from Gamma(a = `input`, 1); not differentiable itself."""
    with no_grad():
        a, x = input.detach().double(), output.detach().double()
        near_mean = (x >= 0.9 * a) & (x <= 1.1 * a)
        large = where(near_mean, _gamma_at_mean(a, x), _gamma_large(a, x))
        grad = where(x < 0.8, _gamma_small(a, x), where(a > 8, large, _gamma_middle(a, x)))
        return grad.to(output.dtype)


def _gamma_small(a, x):
    """Taylor's series of the cumulative distribution around x = 0."""
    numerator, denominator = 1.0, a
    first, second = 1 / a, 1 / (a * a)
    for i in range(1, 6):
        numerator = numerator * -x / i
        denominator = denominator + 1
        first = first + numerator / denominator
        second = second + numerator / (denominator * denominator)
    power, density = x.pow(a), x.pow(a - 1) * (-x).exp()
    slope = (x.log() - a.digamma()) * power * first - power * second
    return _number(-slope / density)


def _gamma_at_mean(a, x):
    """Rice's saddle point expansion where x is near a."""
    poly = 1440 * a * a + 6 * x * (53 - 120 * x) - 65 * x * x / a + a * (107 + 3600 * x)
    return (1 + 24 * a * (1 + 12 * a)) * poly / (1244160 * (a * a) * (a * a))


def _gamma_large(a, x):
    """The same for large a, away from the mean."""
    log_ratio, root = (x / a).log(), (8 * a).sqrt()
    term2, term3 = root / (a - x), (x - a - a * log_ratio).pow(-1.5)
    term1 = log_ratio * where(x < a, term2 - term3, term2 + term3)
    term1 = term1 - (2 / a).sqrt() * (a + x) / ((a - x) * (a - x))
    stirling = 1 + 1 / (12 * a) * (1 + 1 / (24 * a))
    return -stirling * x * term1 / root


# Rational approximations: [power of u] -> coefficients of v (gamma), [power of u][power of a] -> of b (beta).
_GAMMA_NUMERATOR = (
    (0.16009398, -0.094634809, 0.025146376, -0.0030648343),
    (0.53487893, 0.1298071, 0.065735949, -0.0015649758),
    (0.040121004, -0.0065914022, -0.0026286047, -0.0013441777),
)
_GAMMA_DENOMINATOR = (
    (1, 0.32668115, 0.10406089, 0.0014179084),
    (0.16639465, 0.020070113, -0.0035938915, -0.00058392623),
    (0.017050642, -0.0021309326, 0.00085092367, -1.5247877e-07),
)
_BETA_NUMERATOR = (
    ((1.003668233, -0.01061107488, -0.0657888334, 0.01201642863),
     (0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033),
     (-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013)),
    ((0.221950385, -0.3187676331, 0.01799915743, 0.01074823814),
     (-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057),
     (0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05)),
    ((-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565),
     (0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181),
     (0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05)),
)  # fmt: skip
_BETA_DENOMINATOR = (
    ((1, -0.02924021934, -0.04438342661, 0.007285809825),
     (0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521),
     (-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149)),
    ((0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273),
     (0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956),
     (-0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05)),
    ((0.06469649321, -0.0236701437, 0.002902096474, -5.896963079e-05),
     (0.001925008108, -0.002869809258, 0.0008000589141, -6.063713228e-05),
     (-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06)),
)  # fmt: skip


def _polynomial(x, coefficients):
    """The sum of coefficients[i] x^i, by Horner's rule."""
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = c + x * value
    return value


def _gamma_middle(a, x):
    u, v = (x / a).log(), a.log()
    above = _polynomial(u, [_polynomial(v, row) for row in _GAMMA_NUMERATOR])
    below = _polynomial(u, [_polynomial(v, row) for row in _GAMMA_DENOMINATOR])
    return (above / below).exp()


def _dirichlet_grad(x, alpha, total):
    """dx/d alpha / (1 - x) of samples from Beta(alpha, total - alpha); not differentiable itself."""
    with no_grad():
        dtype = x.dtype
        x, alpha, total = x.detach().double(), alpha.detach().double(), total.detach().double()
        beta, boundary = total - alpha, total * x * (1 - x)
        middle = where(
            (alpha > 6) & (beta > 6), _beta_large(x, alpha, beta), _beta_middle(x, alpha, total)
        )
        high = where((x >= 0.5) & (boundary < 0.75), -_beta_high(1 - x, beta, alpha), middle)
        return where((x <= 0.5) & (boundary < 2.5), _beta_low(x, alpha, beta), high).to(dtype)


def _beta_low(x, alpha, beta):
    """The derivative by alpha for x near 0, by Taylor's series."""
    factor = alpha.digamma() - (alpha + beta).digamma() - x.log()
    numerator, series = 1.0, (factor + 1 / alpha) / alpha
    for i in range(1, 11):
        numerator = numerator * (i - beta) * x / i
        denominator = alpha + i
        series = series + numerator / denominator * (factor + 1 / denominator)
    return _number(x * (1 - x).pow(-beta) * series)


def _beta_high(x, alpha, beta):
    """The derivative by beta for x near 0, by Taylor's series."""
    factor = (alpha + beta).digamma() - beta.digamma()
    numerator, betas, slopes, series = 1.0, 1.0, 0.0, factor / alpha
    for i in range(1, 9):
        numerator = numerator * -x / i
        slopes = slopes * (beta - i) + betas
        betas = betas * (beta - i)
        series = series + numerator / (alpha + i) * (slopes + factor * betas)
    return _number(-(1 - x).pow(1 - beta) * series)


def _beta_large(x, alpha, beta):
    """Rice's saddle point expansion for large alpha and beta."""
    total = alpha + beta
    mean, std = alpha / total, (alpha * beta / (total + 1)).sqrt() / total
    square, cube = beta * beta, beta * beta * beta
    poly = _polynomial(
        alpha,
        (
            47 * x * square * square,
            (43 + 20 * (16 + 27 * beta) * x) * cube,
            3 * (59 + 180 * beta - 90 * x) * square,
            (453 + 1620 * beta * (1 - x) - 455 * x) * beta,
            8 * (1 - x) * (135 * beta - 11),
        ),
    )
    scale = (1 + 12 * alpha) * (1 + 12 * beta) / (total * total)
    at_mean = scale / (1 - x) * poly / (12960 * alpha * alpha * alpha * square * (1 + 12 * total))

    def stirling(n):
        return 1 + 1 / (12 * n) + 1 / (288 * n * n)

    distance = alpha * (x - 1) + beta * x
    term1 = (2 * alpha * alpha * (x - 1) + alpha * beta * (x - 1) - x * square) / (
        (2 * alpha / beta).sqrt() * total.pow(1.5) * distance * distance
    )
    term3 = (8 * alpha * beta / total).sqrt() / distance
    log_alpha = (alpha / (total * x)).log()
    term4 = (beta * (beta / (total * (1 - x))).log() + alpha * log_alpha).pow(-1.5)
    terms = term1 + 0.5 * log_alpha * (term3 + where(x < mean, term4, -term4))
    away = (
        stirling(alpha)
        * stirling(beta)
        / stirling(total)
        * -x
        / (2 * alpha * beta / total).sqrt()
        * terms
    )
    return where((x >= mean - 0.1 * std) & (x <= mean + 0.1 * std), at_mean, away)


def _beta_middle(x, alpha, total):
    """An analytic approximation with a rational correction."""
    u = x.log()
    a = alpha.log() - u
    b = total.log() - a

    def rational(table):
        return _polynomial(
            u, [_polynomial(a, [_polynomial(b, row) for row in rows]) for rows in table]
        )

    approximation = x * (total.digamma() - alpha.digamma()) / (total - alpha)
    return rational(_BETA_NUMERATOR) / rational(_BETA_DENOMINATOR) * approximation
