"""Checkpointing: memory for time. What a function saves for backward is computed again instead."""

from __future__ import annotations

import contextlib
import warnings
import weakref

from .. import random
from ..tensor import Tensor, make_tensor
from . import engine, graph
from .function import Function
from .graph import saved_tensors_hooks
from .mode import enable_grad, mode

__all__ = ["checkpoint", "checkpoint_sequential", "CheckpointError", "noop_context_fn"]


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function differed from the first."""


class _Stop(Exception):
    """All that backward needs was computed again."""


def noop_context_fn():
    """Two contexts that do nothing: the default `context_fn`."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class _Holder:
    """In the place of a saved tensor; its place in the order of saving."""

    __slots__ = ("frame", "number", "__weakref__")

    def __init__(self, frame, number):
        self.frame = frame
        self.number = number


class _Kept:
    """An argument of the function until it runs again."""

    __slots__ = ("value", "version", "unpack", "wants")

    def __init__(self, t):
        self.wants = t.requires_grad
        stack = graph._saved_hooks.stack
        if stack:  # an outer checkpoint need not keep it either
            pack, self.unpack = stack[-1]
            self.value, self.version = pack(t), None
        else:
            self.value, self.version, self.unpack = t, t._storage.version, None

    def get(self):
        t = self.value
        if self.unpack is not None:
            t = self.unpack(t)
        elif t._storage.version != self.version:
            raise RuntimeError(
                f"checkpoint(): an argument of shape {list(t.shape)} has been modified by an inplace operation since the "
                f"function ran: it is at version {t._storage.version}; expected version {self.version} instead"
            )
        alias = make_tensor(t._ptr, t._layout, t._storage)
        alias._requires_grad = self.wants
        return alias


def _unpack(holder):
    return holder.frame.recompute(holder)  # the frame lives as long as its holders


class _Frame:
    """One checkpointed call."""

    def __init__(self, function, args, kwargs, preserve_rng_state, context, check, early_stop):
        self.function = function
        self.args = [_Kept(a) if isinstance(a, Tensor) else a for a in args]
        self.kwargs = {k: _Kept(a) if isinstance(a, Tensor) else a for k, a in kwargs.items()}
        self.rng_state = random.get_rng_state() if preserve_rng_state else None
        self.context = context
        self.check = check
        self.early_stop = early_stop
        self.holders = []  # weak, in the order of saving
        self.kinds = []
        self.sources = []  # (weak reference to the storage, its version)
        self.again = {}  # number of a holder -> (what was saved in its place, version)

    def pack(self, t):
        holder = _Holder(self, len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.kinds.append((tuple(t.shape), t.dtype))
        self.sources.append((weakref.ref(t._storage), t._storage.version))
        return holder

    def recompute(self, holder):
        if holder.number not in self.again:
            self.check_sources()
            self.run_again()
        t, version = self.again.pop(holder.number)
        if t._storage.version != version:
            self.modified(t.dtype, t.shape, t._storage.version, version)
        return t

    def check_sources(self):
        """Raises where a saved value that still exists, such as a weight, was overwritten since."""
        for (storage, version), (shape, dtype), holder in zip(self.sources, self.kinds, self.holders):
            storage = storage()
            if storage is not None and storage.version != version and holder() is not None:
                self.modified(dtype, shape, storage.version, version)

    def modified(self, dtype, shape, version, expected):
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{dtype} {list(shape)}, which a checkpointed function uses, is at version {version}; expected version "
            f"{expected} instead"
        )

    def run_again(self):
        self.again = {}
        count = 0
        total = len(self.holders)

        def pack(t):
            nonlocal count
            i = count
            count += 1
            if i < total:
                if self.check and self.kinds[i] != (tuple(t.shape), t.dtype):
                    raise CheckpointError(
                        f"checkpoint(): Recomputed values have different metadata than during the forward pass: saved "
                        f"tensor {i} was {self.kinds[i][1]} {list(self.kinds[i][0])}, now {t.dtype} {list(t.shape)}"
                    )
                if self.holders[i]() is not None:
                    self.again[i] = (t.detach(), t._storage.version)
                if self.early_stop and count == total:
                    raise _Stop
            return t

        args = [a.get() if isinstance(a, _Kept) else a for a in self.args]
        kwargs = {k: a.get() if isinstance(a, _Kept) else a for k, a in self.kwargs.items()}
        with _rng(self.rng_state), self.context, enable_grad(), saved_tensors_hooks(pack, _same):
            try:
                self.function(*args, **kwargs)
            except _Stop:
                return
        if count != total:
            self.again = {}
            raise CheckpointError(
                "checkpoint(): A different number of tensors was saved during the original forward and recomputation. "
                f"Number of tensors saved during forward: {total}. Number during recomputation: {count}"
            )


def _same(t):
    return t


@contextlib.contextmanager
def _rng(state):
    """Inside, the default generator goes on from `state` (None: as it is)."""
    if state is None:
        yield
        return
    with random.fork_rng():
        random.set_rng_state(state)
        yield


class _Reentrant(Function):
    """Runs the function without recording; backward runs it again, recorded, and goes back through it."""

    @staticmethod
    def forward(ctx, function, preserve_rng_state, *args):
        ctx.function = function
        ctx.rng_state = random.get_rng_state() if preserve_rng_state else None
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if mode.enabled:
            raise RuntimeError("checkpoint(): use_reentrant=True has no second derivatives; pass use_reentrant=False")
        args = list(ctx.args)
        for i, t in zip(ctx.places, ctx.saved_tensors):
            args[i] = t.detach()
            args[i].requires_grad_(ctx.needs_input_grad[i + 2])
        with _rng(ctx.rng_state), enable_grad():
            outs = ctx.function(*args)
        outs = outs if isinstance(outs, tuple) else (outs,)
        pairs = [(o, g) for o, g in zip(outs, grads) if isinstance(o, Tensor) and o.requires_grad and g is not None]
        if not pairs:
            raise RuntimeError("checkpoint(): none of output has requires_grad=True, this checkpoint() is not necessary")
        engine.backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def checkpoint(function, *args, use_reentrant=None, preserve_rng_state=True, context_fn=noop_context_fn,
               determinism_check="default", debug=False, early_stop=True, **kwargs):  # fmt: skip
    """function(*args, **kwargs), of which backward keeps the arguments only: it runs the function a
    second time for what else it needs. Gradients are the same.

    use_reentrant: False (and None) recompute when the first saved value is asked for, and allow all that
    autograd does; True is PyTorch's older way, for `backward()` only. preserve_rng_state: the second run
    draws the same random numbers. context_fn: gives two contexts, for the first and for the second run.
    determinism_check: "none" to not compare shapes and dtypes. early_stop: don't run further than needed.
    Raises CheckpointError where the second run does not do what the first did."""
    del debug
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint(): determinism_check must be 'default' or 'none', got {determinism_check!r}")
    if use_reentrant:
        if kwargs:
            raise ValueError(f"checkpoint(): Unexpected keyword arguments: {','.join(kwargs)} (use_reentrant=True takes none)")
        if context_fn is not noop_context_fn:
            raise ValueError("checkpoint(): Passing `context_fn` is only supported when use_reentrant=False.")
        if mode.enabled and not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)
        return _Reentrant.apply(function, preserve_rng_state, *args)
    first, second = context_fn()
    if not mode.enabled:
        with first:
            return function(*args, **kwargs)
    frame = _Frame(function, args, kwargs, preserve_rng_state, second, determinism_check == "default", early_stop)
    with first, saved_tensors_hooks(frame.pack, _unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, preserve_rng_state=True, **kwargs):
    """The functions (a Sequential or a list) one after the other, in `segments` parts of which all but the
    last are checkpointed."""
    if kwargs:
        raise ValueError(f"checkpoint_sequential(): Unexpected keyword arguments: {','.join(kwargs)}")
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if segments < 1:
        raise ValueError(f"checkpoint_sequential(): segments must be at least 1, got {segments}")

    def part(start, end):
        def run(x):
            for f in functions[start:end]:
                x = f(x)
            return x

        return run

    size = max(1, len(functions) // segments)
    at = 0
    for _ in range(segments - 1):
        if at + size >= len(functions):
            break
        input = checkpoint(
            part(at, at + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
        at += size
    return part(at, len(functions))(input)
