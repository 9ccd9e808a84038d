"""RAdam."""

from __future__ import annotations

from ..ops.create import zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_betas, check_lr, check_not_negative

__all__ = ["RAdam"]


class RAdam(PerParameter):
    """Adam whose adaptive rate is rectified by its variance, and left out while that is unbounded.

    rho_inf = 2 / (1 - b2) - 1,  rho = rho_inf - 2 t b2^t / (1 - b2^t). With rho > 5:
    r = sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho)), p -= lr m' r sqrt(1 -
    b2^t) / (sqrt(v) + eps); else p -= lr m'.

    Liu et al., arXiv 1908.03265. foreach and capturable change nothing. Raises ValueError for
    values out of range.
    """

    row = "radam"
    fields = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
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
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def init_state(self, group, p):
        return {"step": self.new_step(group), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}

    def scalars(self, group):
        beta1, beta2 = group["betas"]
        values = (group["lr"], beta1, beta2, group["eps"], group["weight_decay"])
        return tuple(float(as_number(v)) for v in values)

    def flags(self, group):
        return (1 if group["maximize"] else 0) | (4 if group["decoupled_weight_decay"] else 0)

    def update(self, group, p, grad, state):
        lr, (beta1, beta2), decay = (
            as_number(as_scalar(group["lr"])),
            group["betas"],
            group["weight_decay"],
        )
        step = advance(state)
        if decay != 0:
            if group["decoupled_weight_decay"]:
                p.mul_(1 - lr * decay)
            else:
                grad = grad.add(p, alpha=decay)
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.lerp_(grad, 1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        correction2 = 1 - beta2**step
        corrected = first / (1 - beta1**step)
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * (beta2**step) / correction2
        update = corrected * lr
        if length > 5.0:
            root = second.sqrt()
            root = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
            rate = (correction2**0.5) / root
            rectified = (
                (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            ) ** 0.5
            update = update * rate * rectified
        p.add_(update, alpha=-1.0)
