"""Adamax."""

from __future__ import annotations

from ..ops.create import zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_betas, check_lr, check_not_negative

__all__ = ["Adamax"]


class Adamax(PerParameter):
    """Adam with the infinity norm in place of the root of squares.

    m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + eps);  p -= lr / (1 - b1^t) m / u.

    Kingma and Ba, arXiv 1412.6980, section 7.1. foreach and capturable change nothing. Raises
    ValueError for values out of range.
    """

    row = "adamax"
    fields = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def init_state(self, group, p):
        return {"step": self.new_step(group), "exp_avg": zeros_like(p), "exp_inf": zeros_like(p)}

    def scalars(self, group):
        values = (group["lr"], *group["betas"], group["eps"], group["weight_decay"])
        return tuple(float(as_number(v)) for v in values)

    def update(self, group, p, grad, state):
        beta1, beta2 = group["betas"]
        step = advance(state)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        first, largest = state["exp_avg"], state["exp_inf"]
        first.lerp_(grad, 1 - beta1)
        largest.copy_((largest * beta2).maximum(grad.abs() + group["eps"]))
        over = first.clone() if group["differentiable"] else first
        under = largest.clone() if group["differentiable"] else largest
        p.addcdiv_(over, under, value=-(as_number(as_scalar(group["lr"])) / (1 - beta1**step)))
