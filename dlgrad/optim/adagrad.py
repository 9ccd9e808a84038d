"""Adagrad."""

from __future__ import annotations

from ..ops.create import full_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_flags, check_lr, check_not_negative

__all__ = ["Adagrad"]


class Adagrad(PerParameter):
    """Steps scaled by the sum of all squared gradients.

    s += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    Duchi, Hazan and Singer, Adaptive subgradient methods, JMLR 12, 2011.
    foreach and fused change nothing. Raises ValueError for values out of range.
    """

    row = "adagrad"
    fields = ("sum",)

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        check_lr(lr)
        check_not_negative(
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
        )
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_flags(fused, foreach, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self.init_state(group, p)

    def init_state(self, group, p):
        start = self.defaults["initial_accumulator_value"]
        return {"step": self.new_step(group), "sum": full_like(p, start)}

    def share_memory(self):
        """Nothing to do: states are ordinary memory, which a forked process shares until it
        writes."""

    def scalars(self, group):
        return tuple(float(as_number(group[k])) for k in ("lr", "lr_decay", "eps", "weight_decay"))

    def update(self, group, p, grad, state):
        step = advance(state)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        rate = as_number(as_scalar(group["lr"])) / (1 + (step - 1) * group["lr_decay"])
        total = state["sum"]
        total.addcmul_(grad, grad, value=1)
        root = total.sqrt() + group["eps"]
        p.addcdiv_(grad, root, value=-rate)
