"""What all learning-rate schedulers share."""

from __future__ import annotations

import contextlib
import functools
import types
import warnings
import weakref

from ..tensor import Tensor
from .optimizer import Optimizer, as_scalar

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please "
    "use `scheduler.step()` to step the scheduler. During the deprecation, if epoch is different "
    "from None, the "
    "closed form is used instead of the new chainable form, where available."
)
_DOCS = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def copied(value):
    """A Tensor's clone; anything else as it is."""
    return value.clone() if isinstance(value, Tensor) else value


def group_values(optimizer, key) -> list:
    """One option of all groups."""
    return [copied(group[key]) for group in optimizer.param_groups]


def per_group(name, optimizer, value) -> list:
    """A list with a value for each group, from such a list or from one value for all.

    Raises ValueError for a list of another length."""
    groups = optimizer.param_groups
    if not isinstance(value, (list, tuple)):
        value = [value] * len(groups)
    elif len(value) != len(groups):
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {len(groups)}."
        )
    return [copied(v) for v in value]


def set_option(group, key, value):
    """Sets an option; one that is a Tensor is written into."""
    if isinstance(group[key], Tensor):
        group[key].fill_(as_scalar(value))
    else:
        group[key] = value


def set_momentum(group, value, by_beta):
    """Sets momentum, or for Adam-like optimizers the first of betas."""
    if by_beta:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def momentum_by_beta(optimizer) -> bool:
    """Whether momentum is the first of betas. Raises ValueError where there is no momentum."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )
    return "betas" in optimizer.defaults


def check_optimizer(optimizer):
    """Raises TypeError for what is no Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def saved_functions(functions) -> list:
    """What a state dict keeps of functions: the attributes of callable objects, None for plain
    functions."""
    return [None if isinstance(f, types.FunctionType) else f.__dict__.copy() for f in functions]


def _watch_steps(optimizer):
    """Makes the optimizer remember that `step` was called, to warn of the wrong order."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    bound = optimizer.step
    function = bound.__func__
    reference = weakref.ref(optimizer)

    @functools.wraps(function)
    def step(*args, **kwargs):
        owner = reference()
        owner._opt_called = True
        return function(owner, *args, **kwargs)

    step._wrapped_by_lr_sched = True
    optimizer.step = step


class LRScheduler:
    """Sets the "lr" of an optimizer's groups, step by step.

    A subclass defines `get_lr()`: the rates at `last_epoch`, one a group, from `base_lrs` or from
    the groups' present ones. Constructing it makes the first step (epoch 0); `last_epoch` other
    than -1 resumes.

    Raises TypeError without an Optimizer, KeyError where resuming lacks "initial_lr".
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with "
                    "last_epoch >= 0.\nThis typically happens when:\n"
                    "1. You're trying to resume training from a checkpoint but haven't properly "
                    "loaded the optimizer state\n"
                    "2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
                )
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict:
        """All attributes but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict()` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list:
        """The rates that the last step set."""
        return self._last_lr

    def get_lr(self) -> list:
        """The rates at `last_epoch` (called by `step`; use `get_last_lr` for the present ones)."""
        raise NotImplementedError

    def step(self, epoch=None):
        """The next epoch (or, deprecated, `epoch`)."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _check_order(self):
        """Warns at the second step where the optimizer has not made one yet."""
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. "
                "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. "
                f"{_DOCS}",
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch "
                "1.1.0 and later, you "
                "should call them in the opposite order: `optimizer.step()` before "
                "`lr_scheduler.step()`.  Failure "
                "to do this will result in PyTorch skipping the first value of the learning rate "
                "schedule. " + _DOCS,
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch=None):
        with self._within_step():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                values = (
                    self._get_closed_form_lr()
                    if hasattr(self, "_get_closed_form_lr")
                    else self.get_lr()
                )
        self._set_lrs(values)

    @contextlib.contextmanager
    def _within_step(self):
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _set_lrs(self, values):
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_option(group, "lr", lr)
        self._last_lr = group_values(self.optimizer, "lr")

    # For get_lr() of the subclasses

    def _warn_outside_step(self):
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _unchanged(self) -> list:
        return group_values(self.optimizer, "lr")

    def _scaled(self, factor) -> list:
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class _LRScheduler(LRScheduler):
    """The old name."""
