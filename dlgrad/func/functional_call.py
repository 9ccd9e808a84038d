"""Calls of a module as a function of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn.utils.stateless import call

__all__ = ["functional_call"]


def functional_call(
    module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False
):
    """`module(*args, **kwargs)` with other parameters and buffers in the place of its own.

    parameter_and_buffer_dicts: {dotted name: tensor}, or a list of such dictionaries; what they
    don't name stays. args: a tuple, or one argument. tie_weights: a tensor that the module has
    under several names is replaced under all of them. strict: exactly the module's names must be
    given. Gradients go to the given tensors; buffers that the module replaces in the call are
    written back to the dictionary.

    Raises ValueError for names in several dictionaries and for different values of one tensor,
    RuntimeError where `strict` finds other names.
    """
    tensors = parameter_and_buffer_dicts
    if isinstance(tensors, Sequence):
        if not all(isinstance(d, dict) for d in tensors):
            raise ValueError(
                "Expected all elements of parameter_and_buffer_dicts to be dictionaries"
            )
        names = [name for d in tensors for name in d]
        repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if repeated:
            raise ValueError(
                f"{repeated} appeared in multiple dictionaries; behavior of functional call is "
                "ambiguous"
            )
        tensors = {name: tensor for d in tensors for name, tensor in d.items()}
    elif not isinstance(tensors, dict):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, "
            f"but got {type(tensors)}"
        )
    return call(module, tensors, args, kwargs, tie_weights=tie_weights, strict=strict)
