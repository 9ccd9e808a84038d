"""What a function says of an argument that is no Tensor, at no cost to those that are."""

from __future__ import annotations

from contextlib import contextmanager

from ..tensor import Tensor


def checked(function):
    """`function` raising TypeError, not AttributeError, where it looked for a Tensor's attribute on another argument."""
    name, parameters = function.__name__, function.__code__.co_varnames

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except AttributeError as problem:
            raise _explained(problem, name, parameters, args, kwargs) from None

    call.__name__ = call.__qualname__ = name
    call.__doc__, call.__module__, call.__wrapped__ = function.__doc__, function.__module__, function
    return call


@contextmanager
def index_errors():
    """Indices out of range raise IndexError in this, whatever class the kernel's own operation has for them."""
    try:
        yield
    except RuntimeError as problem:
        if "out of bounds" in str(problem):
            raise IndexError(str(problem)) from None
        raise


def _explained(problem, name, parameters, args, kwargs):
    wrong = problem.obj
    if isinstance(wrong, Tensor) or not hasattr(Tensor, str(problem.name)):
        return problem
    for i, (key, value) in enumerate((*zip(parameters, args), *kwargs.items())):
        if value is wrong:
            return TypeError(
                f"{name}(): argument '{key}' (position {i + 1}) must be Tensor, not {type(wrong).__name__}"
            )
    for i, value in enumerate((*args, *kwargs.values())):
        if isinstance(value, (list, tuple)) and any(v is wrong for v in value):
            return TypeError(
                f"{name}(): expected Tensors as elements of argument {i + 1}, got {type(wrong).__name__}"
            )
    return TypeError(f"{name}(): expected a Tensor, got {type(wrong).__name__}")
