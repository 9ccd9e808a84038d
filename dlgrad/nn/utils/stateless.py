"""Calls of a module with other parameters and buffers than its own."""

from __future__ import annotations

import contextlib
import warnings

from dlgrad import Tensor

from ..module import Module

__all__ = ["functional_call"]

_MISSING = object()


def _swap(module, name, value):
    """Puts a tensor (_MISSING: nothing) in the place of `name` in a module; returns what was
    there."""
    for registry in (module._parameters, module._buffers):
        if name in registry:
            old = registry[name]
            if value is _MISSING:
                del registry[name]
            else:
                registry[name] = value
            return old
    old = getattr(module, name, _MISSING)
    if old is not _MISSING and old is not None and not isinstance(old, Tensor):
        raise TypeError(f"attribute `{name}`: {old} is not an instance of dlgrad.Tensor")
    if value is not _MISSING:
        setattr(module, name, value)
    elif old is not _MISSING:
        delattr(module, name)
    return old


def _owner(module, path):
    """(module, name) at a dotted path."""
    *parents, name = path.split(".")
    if not name:
        raise KeyError('tensor name can\'t be empty string ""')
    for parent in parents:
        if not hasattr(module, parent):
            raise AttributeError(f"{type(module).__name__} has no attribute `{parent}`")
        child = getattr(module, parent)
        if not isinstance(child, Module):
            raise TypeError(f"submodule `{parent}`: {child} is not an instance of dlgrad.nn.Module")
        module = child
    return module, name


def _swap_all(module, tensors):
    """Swaps {path: tensor} into a module; returns what was there. All or none."""
    before = {}
    try:
        for path, tensor in tensors.items():
            if tensor is not None and tensor is not _MISSING and not isinstance(tensor, Tensor):
                raise TypeError(f"{tensor} is not an instance of dlgrad.Tensor")
            before[path] = _swap(*_owner(module, path), tensor)
    except BaseException:
        for path, tensor in reversed(before.items()):
            _swap(*_owner(module, path), tensor)
        raise
    return before


def _with_tied(module, tensors):
    """The tensors, with those added that are one with a given one in the module."""
    names_of = {}
    for named in (module.named_parameters, module.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            names_of.setdefault(id(tensor), []).append(name)
    result = dict(tensors)
    for names in names_of.values():
        given = [name for name in names if name in tensors]
        if len(names) == 1 or not given:
            continue
        if len({id(tensors[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, "
                "which are tied. Consider using tie_weights=False"
            )
        result.update(dict.fromkeys(names, tensors[given[0]]))
    return result


def _check_keys(module, tensors):
    own = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    own |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    unexpected, missing = set(tensors) - own, own - set(tensors)
    errors = []
    if unexpected:
        errors.append(f"Unexpected key(s): {', '.join(map(repr, sorted(unexpected)))}.")
    if missing:
        errors.append(f"Missing key(s): {', '.join(map(repr, sorted(missing)))}.")
    if errors:
        raise RuntimeError(
            f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(errors)
        )


@contextlib.contextmanager
def _reparametrize_module(module, parameters_and_buffers, tie_weights=False, strict=False):
    """Inside of the context the module has these tensors. Those that it replaces itself meanwhile
    are written back to the dictionary."""
    tensors = parameters_and_buffers
    if tie_weights:
        tensors = _with_tied(module, parameters_and_buffers)
    if strict:
        _check_keys(module, tensors)
    before = _swap_all(module, tensors)
    try:
        yield
    finally:
        after = _swap_all(module, dict(reversed(before.items())))
        for path in parameters_and_buffers:
            parameters_and_buffers[path] = after[path]


def call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights, strict):
    """dlgrad.func.functional_call with one dictionary."""
    from ..parallel import DataParallel

    if isinstance(module, DataParallel):
        raise RuntimeError("The stateless API can't be used with nn.DataParallel module")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def functional_call(
    module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False
):
    """As `dlgrad.func.functional_call`, for which it is deprecated, as in PyTorch."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 "
        "and will be removed in a future version of PyTorch. "
        "Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
