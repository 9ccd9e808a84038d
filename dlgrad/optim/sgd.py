"""Stochastic gradient descent."""

from __future__ import annotations

from ..ops.create import empty_like
from ._engine import PerParameter
from .optimizer import as_number, as_scalar, check_flags, check_lr, check_not_negative

__all__ = ["SGD"]


class SGD(PerParameter):
    """Gradient descent, with momentum where it is wanted.

    g = grad + weight_decay p;  buf = momentum buf + (1 - dampening) g (in the first step buf = g);
    p -= lr buf, or with nesterov p -= lr (g + momentum buf).

    Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    foreach and fused are taken for PyTorch's sake and change nothing. Raises ValueError for values
    out of range.
    """

    row = "sgd"

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        check_lr(lr)
        check_not_negative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_flags(fused, foreach, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def init_state(self, group, p):
        return {}

    def scalars(self, group):
        return tuple(
            float(as_number(group[k])) for k in ("lr", "momentum", "dampening", "weight_decay")
        )

    def flags(self, group):
        return (1 if group["maximize"] else 0) | (2 if group["nesterov"] else 0)

    def row_of(self, group):
        return ((), (), (0, 0)) if group["momentum"] == 0 else (("momentum_buffer",), (), (0,))

    def entry(self, group, p, grad, state, keep):
        if group["momentum"] == 0:
            words = super().entry(group, p, grad, state, keep)
            if words is not None:
                words += (0, 0)
            return words
        buffer = state.get("momentum_buffer")
        fresh = buffer is None
        if fresh:
            buffer = empty_like(p)
        if buffer._layout is not p._layout:
            return None
        words = super().entry(group, p, grad, state, keep)
        if words is None:
            return None
        if fresh:
            state["momentum_buffer"] = buffer
            self.state[p] = state
        buffer._storage.version += 1
        words += (buffer._ptr, int(fresh))
        return words

    def update(self, group, p, grad, state):
        lr, momentum, decay = as_scalar(group["lr"]), group["momentum"], group["weight_decay"]
        if as_number(decay) != 0:
            if getattr(decay, "requires_grad", False):
                grad = grad.addcmul(p.clone(), decay)
            else:
                grad = grad.add(p, alpha=as_number(decay))
        if momentum != 0:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = grad.detach().clone()
                self.state[p] = state
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
        if getattr(lr, "requires_grad", False):
            p.addcmul_(grad, lr, value=-1)
        else:
            p.add_(grad, alpha=-as_number(lr))
