"""Averaged stochastic gradient descent."""

from __future__ import annotations

from ..ops.create import scalar_tensor, zeros_like
from ..tensor import Tensor
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_lr, check_not_negative, step_dtype

__all__ = ["ASGD"]


class ASGD(PerParameter):
    """Gradient descent with decaying steps, and the average of the parameters in the state ("ax").

    p = (1 - lambd eta) p - eta g;  eta = lr / (1 + lambd lr t)^alpha;  ax += mu (p - ax), mu = 1 /
    max(1, t - t0).

    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992. foreach and
    capturable change nothing. Raises ValueError for values out of range.
    """

    row = "asgd"
    fields = ("ax",)
    extras = ("eta", "mu")

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for own in self.state.values():
            for name in ("eta", "mu"):
                if own and not isinstance(own[name], Tensor):
                    own[name] = scalar_tensor(own[name], dtype=step_dtype())

    def init_state(self, group, p):
        rate = float(as_number(as_scalar(group["lr"])))
        return {
            "step": self.new_step(group),
            "eta": scalar_tensor(rate, dtype=step_dtype()),
            "mu": scalar_tensor(1.0, dtype=step_dtype()),
            "ax": zeros_like(p),
        }

    def scalars(self, group):
        return tuple(
            float(as_number(group[k])) for k in ("lr", "lambd", "alpha", "t0", "weight_decay")
        )

    def update(self, group, p, grad, state):
        lr, lambd = as_number(as_scalar(group["lr"])), group["lambd"]
        step = advance(state)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        eta, mu, average = as_number(state["eta"]), as_number(state["mu"]), state["ax"]
        p.mul_(1 - lambd * eta)
        p.add_(grad, alpha=-eta)
        if mu != 1:
            average.add_(p.sub(average).mul_(state["mu"]))
        else:
            average.copy_(p)
        state["eta"].fill_(lr / ((1 + lambd * lr * step) ** group["alpha"]))
        state["mu"].fill_(1 / max(1, step - group["t0"]))
