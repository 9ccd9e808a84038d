"""Adafactor."""

from __future__ import annotations

from .. import dtypes as dt
from ..ops.create import zeros_like
from ._engine import PerParameter, advance
from .optimizer import as_number, check_lr

__all__ = ["Adafactor"]


class Adafactor(PerParameter):
    """Adam's second moment in the memory of a row and a column for each matrix.

    With G (..., n, m) and b = t^beta2_decay: R = lerp(R, mean of G^2 over m, b), C = lerp(C, mean
    of G^2 over n, b), V = R C / max(mean R, eps1); vectors keep V = lerp(V, G^2, b) whole. Then
    U = G / sqrt(max(V, eps1^2)), cut to a root mean square of at most d, and
    p -= max(eps2, RMS(p)) min(lr, 1 / sqrt(t)) U, after p has been multiplied by
    1 - lr weight_decay.

    eps: (eps1, eps2); an eps1 of None is the smallest step from 1 in the parameter's dtype.

    Shazeer and Stern, arXiv 1804.04235, as PyTorch has it. foreach changes nothing. Raises
    ValueError for values out of range.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        foreach=None,
        maximize=False,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: ")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def init_state(self, group, p):
        state = {"step": self.new_step(group)}
        if p.dim() > 1:
            shape = tuple(p.shape)
            state["row_var"] = p.grad.new_zeros((*shape[:-1], 1))
            state["col_var"] = p.grad.new_zeros((*shape[:-2], 1, shape[-1]))
        else:
            state["variance"] = zeros_like(p.grad)
        return state

    def update(self, group, p, grad, state):
        lr, (eps1, eps2) = as_number(group["lr"]), group["eps"]
        if eps1 is None:
            eps1 = dt.finfo(p.dtype).eps
        step = advance(state)
        weight = step ** group["beta2_decay"]
        rate = min(lr, 1 / step**0.5) * max(eps2, p.norm(2).item() / p.numel() ** 0.5)
        if group["weight_decay"] != 0:
            p.mul_(1 - lr * group["weight_decay"])
        if grad.dim() > 1:
            variance = _factored(state["row_var"], state["col_var"], grad, weight, eps1)
        else:
            variance = state["variance"].lerp_(grad * grad, weight).clone()
        change = variance.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
        excess = change.norm(2).item() / (change.numel() ** 0.5 * group["d"])
        p.add_(change, alpha=-rate / max(1.0, excess))


def _factored(rows, columns, grad, weight, eps1):
    """Brings the row and column means up to date, and returns the matrix that they stand for."""
    for mean, dim in ((rows, -1), (columns, -2)):
        square = grad.norm(2, dim=dim, keepdim=True).square_().div_(grad.size(dim))
        mean.lerp_(square, weight)
    return (rows @ columns).div_(rows.mean(dim=-2, keepdim=True).clamp_(min=eps1))
