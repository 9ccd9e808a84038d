"""Modules without initial values."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading

from .. import init
from ..module import Module

__all__ = ["skip_init"]

_lock = threading.RLock()


@contextlib.contextmanager
def _no_initialization():
    """Inside of the context the functions of nn.init leave tensors as they are, in this thread."""
    me = threading.get_ident()

    def idle(function):
        @functools.wraps(function)
        def skipped(tensor, *args, **kwargs):
            if threading.get_ident() == me:
                return tensor
            return function(tensor, *args, **kwargs)

        return skipped

    with _lock:
        own = {
            name: value
            for name, value in vars(init).items()
            if name.endswith("_") and not name.startswith("_") and callable(value)
        }
        vars(init).update({name: idle(value) for name, value in own.items()})
        try:
            yield
        finally:
            vars(init).update(own)


def skip_init(module_cls, *args, **kwargs):
    """`module_cls(*args, **kwargs)` without initial values: what nn.init would set stays as
    `dlgrad.empty` left it, and no random numbers are drawn.

    Raises RuntimeError for a class that is no Module or takes no `device`.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with _no_initialization():
        return module_cls(*args, **kwargs)
