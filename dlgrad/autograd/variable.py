"""`Variable`, the name of tensors with gradients before PyTorch 0.4: old programs still wrap tensors in it."""

from __future__ import annotations

from ..tensor import Tensor

__all__ = ["Variable"]


class _VariableMeta(type):
    def __instancecheck__(cls, value):
        return isinstance(value, Tensor)


class Variable(metaclass=_VariableMeta):
    """`Variable(tensor, requires_grad=False)` is a tensor that shares its memory; every Tensor is an instance."""

    def __new__(cls, data=None, requires_grad=False):
        if data is None:
            return Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable(): data must be a Tensor, got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
