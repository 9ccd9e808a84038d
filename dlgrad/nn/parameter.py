"""Parameter and Buffer: the tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

import dlgrad
from dlgrad import Tensor
from dlgrad._native import native

__all__ = ["Parameter", "Buffer", "UninitializedParameter", "UninitializedBuffer", "is_lazy"]


def _share(cls, data, requires_grad):
    """A leaf of class `cls` on the memory of `data`."""
    leaf = object.__new__(cls)
    leaf._ptr = data._ptr
    leaf._layout = data._layout
    leaf._storage = data._storage
    leaf._requires_grad = False
    leaf._grad_fn = None
    leaf._view = leaf._view_mode = None
    return leaf.requires_grad_() if requires_grad else leaf


class Parameter(Tensor):
    """A tensor that is a parameter: assigned to a Module, it appears in `Module.parameters()`.

    `data` is shared, not copied. A leaf; `requires_grad` is true unless said otherwise.
    """

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = dlgrad.empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter(data): data must be a Tensor, got {type(data).__name__}; "
                "make one by dlgrad.tensor(...)"
            )
        return _share(cls, data, requires_grad)

    def __init__(self, *args, **kwargs):
        pass

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self):
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __reduce_ex__(self, protocol):
        return _rebuild_parameter, (type(self), self.detach(), self.requires_grad)


def _rebuild_parameter(cls, data, requires_grad):
    return _share(cls, data, requires_grad)


if native is not None:
    native["bind_parameter"](Parameter)


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer on assignment.

    `persistent` says whether it belongs to the module's `state_dict`.
    """

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = dlgrad.empty(0)
        buffer = _share(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer

    def __init__(self, *args, **kwargs):
        pass

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = _rebuild_buffer(
            type(self), self.detach().clone(), self.requires_grad, self.persistent
        )
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol):
        return _rebuild_buffer, (type(self), self.detach(), self.requires_grad, self.persistent)


def _rebuild_buffer(cls, data, requires_grad, persistent):
    buffer = _share(cls, data, requires_grad)
    buffer.persistent = persistent
    return buffer


class _Uninitialized:
    """What the two lazy kinds have in common: no shape until `materialize` gives one."""

    def materialize(self, shape, device=None, dtype=None):
        """Gives the tensor its shape; the values are unset, as from `dlgrad.empty`."""
        del device  # there is only the CPU
        self.data = dlgrad.empty(shape, dtype=self.dtype if dtype is None else dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "the shape of an uninitialized parameter or buffer is not known yet: call `forward` once "
            "with a real batch, or materialize(shape)"
        )

    def share_memory_(self):
        raise RuntimeError("an uninitialized parameter or buffer has no memory to share")

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.requires_grad, dtype=self.dtype)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol):
        return _rebuild_uninitialized, (type(self), self.requires_grad, self.dtype)


def _rebuild_uninitialized(cls, requires_grad, dtype):
    return cls(requires_grad, dtype=dtype)


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is found at the first call of its lazy module."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        del device
        return _share(cls, dlgrad.empty(0, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape is found at the first call of its lazy module."""

    cls_to_become = Buffer
    persistent = True

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        del device
        buffer = _share(cls, dlgrad.empty(0, dtype=dtype), requires_grad)
        buffer.persistent = persistent
        return buffer

    def __init__(self, *args, **kwargs):
        pass


def is_lazy(value):
    """Whether `value` is a parameter or buffer without a shape yet."""
    return isinstance(value, _Uninitialized)
