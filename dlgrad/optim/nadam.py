"""NAdam."""

from __future__ import annotations

from ..ops.create import scalar_tensor, zeros_like
from ..tensor import Tensor
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_betas, check_lr, check_not_negative, step_dtype

__all__ = ["NAdam"]


class NAdam(PerParameter):
    """Adam with Nesterov's momentum.

    mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), M_t = mu_1 ... mu_t, m and v as in Adam, and
    p -= lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m) / (sqrt(v') + eps).

    Dozat, Incorporating Nesterov Momentum into Adam, 2016. foreach and capturable change nothing.
    Raises ValueError for values out of range.
    """

    row = "nadam"
    fields = ("exp_avg", "exp_avg_sq")
    extras = ("mu_product",)

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
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
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for own in self.state.values():
            if own and not isinstance(own["mu_product"], Tensor):
                own["mu_product"] = scalar_tensor(own["mu_product"], dtype=step_dtype())

    def init_state(self, group, p):
        return {
            "step": self.new_step(group),
            "mu_product": scalar_tensor(1.0, dtype=step_dtype()),
            "exp_avg": zeros_like(p),
            "exp_avg_sq": zeros_like(p),
        }

    def scalars(self, group):
        beta1, beta2 = group["betas"]
        values = (
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["momentum_decay"],
        )
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
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (step * group["momentum_decay"])))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((step + 1) * group["momentum_decay"])))
        state["mu_product"] *= mu
        product = as_number(state["mu_product"])
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.lerp_(grad, 1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        under = second.div(1 - beta2**step).sqrt().add(group["eps"])
        p.addcdiv_(grad, under, value=-lr * (1.0 - mu) / (1.0 - product))
        over = first.clone() if group["differentiable"] else first
        p.addcdiv_(over, under, value=(-lr * mu_next) / (1.0 - product * mu_next))
