"""Adadelta."""

from __future__ import annotations

from ..ops.create import zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_lr, check_not_negative

__all__ = ["Adadelta"]


class Adadelta(PerParameter):
    """Steps in the parameter's own units: root mean squares of past steps over those of gradients.

    v = rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g;  u = rho u + (1 - rho) d^2;  p
    -= lr d.

    Zeiler, arXiv 1212.5701. foreach and capturable change nothing. Raises ValueError for values out
    of range.
    """

    row = "adadelta"
    fields = ("square_avg", "acc_delta")

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative(weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def init_state(self, group, p):
        return {
            "step": self.new_step(group),
            "square_avg": zeros_like(p),
            "acc_delta": zeros_like(p),
        }

    def scalars(self, group):
        return tuple(float(as_number(group[k])) for k in ("lr", "rho", "eps", "weight_decay"))

    def update(self, group, p, grad, state):
        rho, eps = group["rho"], group["eps"]
        advance(state)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        square, past = state["square_avg"], state["acc_delta"]
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = past.add(eps).sqrt() / square.add(eps).sqrt() * grad
        past.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.add_(delta, alpha=-as_number(as_scalar(group["lr"])))
