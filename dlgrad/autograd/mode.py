"""Whether operations record a graph: no_grad, enable_grad, set_grad_enabled, inference_mode.

The mode belongs to the thread, as in PyTorch.
"""

from __future__ import annotations

import functools
import threading

from .._native import native


def _makes_generators(fn):
    """inspect.isgeneratorfunction for functions, methods and partials, without that module's 7 ms at import."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & 0x20)


class _Mode(threading.local):
    enabled = True
    inference = False


mode = _Mode() if native is None else native["mode"]


class _GradContext:
    """A context manager that is also a decorator (of functions and of generators)."""

    def __enter__(self):
        self._stack = getattr(self, "_stack", [])
        self._stack.append((mode.enabled, mode.inference))
        self._set()
        return None

    def __exit__(self, *exc):
        mode.enabled, mode.inference = self._stack.pop()

    def clone(self):
        return type(self)()

    def __call__(self, fn):
        if isinstance(fn, type):
            raise TypeError(f"{type(self).__name__} decorates functions; decorate the methods of {fn.__name__} instead")
        if _makes_generators(fn):

            @functools.wraps(fn)
            def generator(*args, **kwargs):
                gen = fn(*args, **kwargs)
                with self.clone():
                    try:
                        value = next(gen)
                    except StopIteration as stop:
                        return stop.value
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with self.clone():
                            gen.close()
                        raise
                    except BaseException as e:
                        with self.clone():
                            try:
                                value = gen.throw(e)
                            except StopIteration as stop:
                                return stop.value
                    else:
                        with self.clone():
                            try:
                                value = gen.send(sent)
                            except StopIteration as stop:
                                return stop.value

            return generator

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with self.clone():
                return fn(*args, **kwargs)

        return wrapped


class no_grad(_GradContext):  # noqa: N801
    """Inside, operations record no graph. A context manager and a decorator (`@no_grad()` or `@no_grad`)."""

    def __new__(cls, orig_func=None):
        self = object.__new__(cls)
        return self if orig_func is None else _GradContext.__call__(self, orig_func)

    def _set(self):
        mode.enabled = False


class enable_grad(_GradContext):  # noqa: N801
    """Inside, operations record a graph again, also within `no_grad`."""

    def __new__(cls, orig_func=None):
        self = object.__new__(cls)
        return self if orig_func is None else _GradContext.__call__(self, orig_func)

    def _set(self):
        mode.enabled = True


class set_grad_enabled(_GradContext):  # noqa: N801
    """Sets the mode at once; as a context manager it is restored at the end."""

    def __init__(self, mode: bool):  # noqa: A002
        self._wanted = bool(mode)
        self._before = (_mode().enabled, _mode().inference)
        _mode().enabled = self._wanted

    def __enter__(self):
        self._stack = getattr(self, "_stack", [])
        self._stack.append(self._before)
        mode.enabled = self._wanted
        self._before = (self._wanted, mode.inference)

    def clone(self):
        return type(self)(self._wanted)

    def __call__(self, fn):
        mode.enabled, mode.inference = self._before
        return _GradContext.__call__(self, fn)

    def _set(self):
        mode.enabled = self._wanted


def _mode():
    return mode


class inference_mode(_GradContext):  # noqa: N801
    """Like `no_grad`, for code that never needs gradients (here it differs from `no_grad` in name only)."""

    def __new__(cls, mode=True):  # noqa: A002
        self = object.__new__(cls)
        if callable(mode):
            self._wanted = True
            return _GradContext.__call__(self, mode)
        self._wanted = bool(mode)
        return self

    def clone(self):
        return type(self)(self._wanted)

    def _set(self):
        if self._wanted:
            mode.enabled = False
        mode.inference = self._wanted


def is_grad_enabled() -> bool:
    """Whether operations record a graph in this thread."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return mode.inference
