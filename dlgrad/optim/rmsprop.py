"""RMSprop."""

from __future__ import annotations

from ..ops.create import zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_lr, check_not_negative

__all__ = ["RMSprop"]


class RMSprop(PerParameter):
    """Steps scaled by a running average of the squared gradient.

    v = alpha v + (1 - alpha) g^2; centered: v less the square of g's running average. p -= lr g /
    (sqrt(v) + eps), or with momentum: buf = momentum buf + g / (sqrt(v) + eps), p -= lr buf.

    Hinton, Neural Networks for Machine Learning, lecture 6; Graves, arXiv 1308.0850 (centered).
    foreach and capturable change nothing. Raises ValueError for values out of range.
    """

    row = "rmsprop"
    fields = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative(momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def init_state(self, group, p):
        state = {"step": self.new_step(group), "square_avg": zeros_like(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)
        return state

    def scalars(self, group):
        return tuple(
            float(as_number(group[k])) for k in ("lr", "alpha", "eps", "weight_decay", "momentum")
        )

    def flags(self, group):
        return (1 if group["maximize"] else 0) | (2 if group["centered"] else 0)

    def update(self, group, p, grad, state):
        lr, alpha, differentiable = (
            as_number(as_scalar(group["lr"])),
            group["alpha"],
            group["differentiable"],
        )
        advance(state)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        square = state["square_avg"]
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if group["centered"]:
            mean = state["grad_avg"]
            mean.lerp_(grad, 1 - alpha)
            average = square.addcmul(mean, mean, value=-1).sqrt()
        else:
            average = square.sqrt()
        average = average.add(group["eps"]) if differentiable else average.add_(group["eps"])
        if group["momentum"] > 0:
            buffer = state["momentum_buffer"]
            buffer.mul_(group["momentum"]).addcdiv_(grad, average)
            p.add_(buffer, alpha=-lr)
        else:
            p.addcdiv_(grad, average, value=-lr)
