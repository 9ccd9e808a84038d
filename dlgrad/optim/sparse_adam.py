"""SparseAdam."""

from __future__ import annotations

from ._engine import PerParameter
from .optimizer import as_number, check_betas, check_lr

__all__ = ["SparseAdam"]


class SparseAdam(PerParameter):
    """Adam for sparse gradients, of which dlgrad has none.

    The class takes and checks PyTorch's arguments. As in PyTorch, a step raises RuntimeError for
    dense gradients, and all gradients here are dense: use Adam.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        check_lr(lr)
        if not 0.0 < as_number(lr):
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def init_state(self, group, p):
        raise RuntimeError(
            "SparseAdam does not support dense gradients, please consider Adam instead"
        )
