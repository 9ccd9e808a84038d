"""Muon."""

from __future__ import annotations

import math

from ..ops.added_products import addmm
from ..ops.create import zeros_like
from ._engine import PerParameter
from .optimizer import as_number, check_lr

__all__ = ["Muon"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(PerParameter):
    """Momentum whose matrix is replaced by a nearly orthogonal one; for matrices only.

    B = lerp(B, G, 1 - momentum); O = orthogonal factor of lerp(G, B, momentum) with nesterov, else
    of B; p is multiplied by 1 - lr weight_decay; p -= s lr O, where s is sqrt(max(1, n / m)) for a
    parameter (n, m), or 0.2 sqrt(max(n, m)) for adjust_lr_fn="match_rms_adamw".

    The factor comes from `ns_steps` Newton-Schulz iterations in bfloat16: X = a X + (b A + c A A) X
    with A = X X^T and (a, b, c) = ns_coefficients.

    Jordan et al., kellerjordan.github.io/posts/muon, 2024; Liu et al., arXiv 2502.16982.
    Raises ValueError for values out of range, and for parameters that are not matrices.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=_COEFFICIENTS,
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: ")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{p.size()}"
                    )

    def init_state(self, group, p):
        return {"momentum_buffer": zeros_like(p.grad)}

    def update(self, group, p, grad, state):
        lr, momentum = as_number(group["lr"]), group["momentum"]
        buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        direction = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        change = _orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(change, alpha=-lr * _scale(p, group["adjust_lr_fn"]))


def _scale(p, rule):
    """What the learning rate is multiplied by, so that steps of all shapes are of one size."""
    rows, columns = p.shape
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def _orthogonal(matrix, coefficients, steps, eps):
    """A bfloat16 matrix with the singular vectors of `matrix` and singular values near 1."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.bfloat16()
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=eps)  # now no singular value is above 1
    for _ in range(steps):
        gram = x @ x.T
        polynomial = addmm(gram, gram, gram, beta=b, alpha=c)
        x = addmm(x, polynomial, x, beta=a)
    return x.T if tall else x
