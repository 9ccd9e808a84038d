"""Resilient backpropagation."""

from __future__ import annotations

from ..ops.create import full_like, zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_lr

__all__ = ["Rprop"]


class Rprop(PerParameter):
    """Steps by the gradient's sign only, with a size for each element that grows while the sign
    stays.

    The size is multiplied by etas[1] where the sign stayed and by etas[0] where it changed (there
    the gradient counts as 0), within step_sizes.

    Riedmiller and Braun, A direct adaptive method for faster backpropagation learning, 1993.
    foreach and capturable change nothing. Raises ValueError for values out of range.
    """

    row = "rprop"
    fields = ("prev", "step_size")

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def init_state(self, group, p):
        rate = float(as_number(as_scalar(group["lr"])))
        return {
            "step": self.new_step(group),
            "prev": zeros_like(p),
            "step_size": full_like(p, rate),
        }

    def scalars(self, group):
        return tuple(float(v) for v in (*group["etas"], *group["step_sizes"]))

    def update(self, group, p, grad, state):
        less, more = group["etas"]
        smallest, largest = group["step_sizes"]
        advance(state)
        size, before = state["step_size"], state["prev"]
        agreement = grad.mul(before.clone() if group["differentiable"] else before)
        turned = agreement.lt(0)
        factor = (
            full_like(agreement, 1.0).masked_fill(agreement.gt(0), more).masked_fill(turned, less)
        )
        size.mul_(factor).clamp_(smallest, largest)
        grad = grad.masked_fill(turned, 0.0)
        p.addcmul_(grad.sign(), size.clone() if group["differentiable"] else size, value=-1)
        before.copy_(grad)
