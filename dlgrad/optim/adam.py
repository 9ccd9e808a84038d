"""Adam, and AdamW."""

from __future__ import annotations

from ..ops.create import zeros_like
from ..tensor import Tensor
from ._engine import PerParameter, advance
from .optimizer import as_number, as_scalar, check_betas, check_flags, check_lr, check_not_negative

__all__ = ["Adam", "AdamW"]


class Adam(PerParameter):
    """Adam: steps scaled by running averages of the gradient and of its square.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m' / (sqrt(v') + eps), where m' = m /
    (1 - b1^t) and v' = v / (1 - b2^t). g holds weight_decay p, unless decoupled_weight_decay, where
    p is first multiplied by 1 - lr weight_decay. With amsgrad the largest v so far takes v's place.

    Kingma and Ba, arXiv 1412.6980; Reddi et al., arXiv 1904.09237 (amsgrad).
    foreach, fused and capturable are taken for PyTorch's sake and change nothing. Raises ValueError
    for values out of range.
    """

    row = "adam"
    fields = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor) or not (
            isinstance(betas[0], (float, Tensor)) and isinstance(betas[1], (float, Tensor))
        ):
            raise ValueError("betas must be either both floats or both Tensors")
        for i, beta in enumerate(betas):
            if isinstance(beta, Tensor) and foreach and not capturable:
                raise ValueError(
                    f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True"
                )
        check_flags(fused, foreach, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(as_scalar(b) for b in betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def init_state(self, group, p):
        state = {
            "step": self.new_step(group),
            "exp_avg": zeros_like(p),
            "exp_avg_sq": zeros_like(p),
        }
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(p)
        return state

    def scalars(self, group):
        beta1, beta2 = group["betas"]
        values = (group["lr"], beta1, beta2, group["eps"], group["weight_decay"])
        return tuple(float(as_number(v)) for v in values)

    def flags(self, group):
        return (
            (1 if group["maximize"] else 0)
            | (2 if group["amsgrad"] else 0)
            | (4 if group["decoupled_weight_decay"] else 0)
        )

    def update(self, group, p, grad, state):
        lr, decay, eps = as_scalar(group["lr"]), group["weight_decay"], group["eps"]
        beta1, beta2 = group["betas"]
        if not group["differentiable"]:
            lr, beta1, beta2 = as_number(lr), as_number(beta1), as_number(beta2)
        step = advance(state)
        if decay != 0:
            if group["decoupled_weight_decay"]:
                p.mul_(1 - lr * decay)
            else:
                grad = grad.add(p, alpha=decay)
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.lerp_(grad, 1 - as_number(beta1))
        second.mul_(beta2).addcmul_(grad, grad, value=1 - as_number(beta2))
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            largest.copy_(largest.maximum(second))
            second = largest.clone() if group["differentiable"] else largest
        root = (1 - beta2**step) ** 0.5
        size = lr / (1 - beta1**step)
        if isinstance(size, Tensor):
            p.addcdiv_(first.clone(), (second.sqrt() / (root * -size)).add_(eps / -size))
        else:
            p.addcdiv_(
                first.clone() if group["differentiable"] else first,
                (second.sqrt() / root).add_(eps),
                value=-size,
            )


class AdamW(Adam):
    """Adam with decoupled weight decay: p is multiplied by 1 - lr weight_decay, outside of the
    averages.

    Loshchilov and Hutter, arXiv 1711.05101.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        foreach=None,
        capturable=False,
        differentiable=False,
        fused=None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
