"""Averages of a model's weights over the steps of its training: stochastic weight averaging (SWA),
and exponential moving averages (EMA)."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy

from ..autograd.mode import no_grad
from ..nn.module import Module
from ..ops.create import scalar_tensor
from ._engine import lerp_all
from ._lr_base import LRScheduler, per_group

__all__ = [
    "AveragedModel",
    "update_bn",
    "SWALR",
    "get_ema_multi_avg_fn",
    "get_swa_multi_avg_fn",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
]


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _lerp(averaged, current, weight):
    if not lerp_all(averaged, current, weight):
        for p, q in zip(averaged, current):
            p.lerp_(q, weight)


def get_ema_multi_avg_fn(decay=0.999):
    """A function (averaged, current, count) that moves a list of averages in place:
    average = decay average + (1 - decay) current. Raises ValueError for a decay outside of [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        if ema_param_list[0].is_floating_point():
            _lerp(ema_param_list, current_param_list, 1 - decay)
        else:
            for average, p in zip(ema_param_list, current_param_list):
                average.copy_(average * decay + p * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn():
    """A function (averaged, current, count) that moves a list of averages of `count` models in
    place: average += (current - average) / (count + 1)."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        weight = 1 / (int(num_averaged) + 1)
        if averaged_param_list[0].is_floating_point():
            _lerp(averaged_param_list, current_param_list, weight)
        else:
            for average, p in zip(averaged_param_list, current_param_list):
                average.copy_(average + (p - average) * weight)

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """A function (average, current, count) that returns decay average + (1 - decay) current.
    Raises ValueError for a decay outside of [0, 1]."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """A function (average, current, count) that returns
    average + (current - average) / (count + 1)."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of `model`, whose parameters are averages of the model's over calls of
    `update_parameters`.

    avg_fn(average, current, count) returns a new average; multi_avg_fn(averages, currents, count)
    changes a list of them in place; without either all models have the same weight. use_buffers:
    averages the buffers as well, which are copied otherwise. `n_averaged` counts the models.

    Izmailov et al., arXiv 1803.05407. Raises AssertionError for both functions at once.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", scalar_tensor(0).long())
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _averaged(self, model):
        tensors = model.parameters()
        return itertools.chain(tensors, model.buffers()) if self.use_buffers else tensors

    def update_parameters(self, model):
        """Takes the model's parameters, as they are now, into the averages. The first call copies
        them."""
        averages = [p.detach() for p in self._averaged(self.module)]
        currents = [p.detach() for p in self._averaged(model)]
        if self.n_averaged == 0:
            for average, current in zip(averages, currents):
                average.copy_(current)
        elif self.multi_avg_fn is not None:
            for pairs in _by_dtype(averages, currents):
                self.multi_avg_fn(*pairs, self.n_averaged)
        else:
            update = self.avg_fn or get_swa_avg_fn()
            for average, current in zip(averages, currents):
                average.copy_(update(average, current, self.n_averaged))
        if not self.use_buffers:
            for mine, its in zip(self.module.buffers(), model.buffers()):
                mine.detach().copy_(its.detach())
        self.n_averaged += 1


def _by_dtype(averages, currents):
    """([average, ...], [current, ...]) for each dtype."""
    groups = {}
    for average, current in zip(averages, currents):
        pair = groups.setdefault((average.dtype, current.dtype), ([], []))
        pair[0].append(average)
        pair[1].append(current)
    return groups.values()


@no_grad()
def update_bn(loader, model, device=None):
    """Sets the running mean and variance of the model's batch norms to those of the loader's
    batches, each of one weight: tensors, or lists and tuples whose first element is the input."""
    from ..nn.normalization import _BatchNorm

    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None
    for batch in loader:
        if isinstance(batch, (list, tuple)):
            batch = batch[0]
        if device is not None:
            batch = batch.to(device)
        model(batch)
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Takes the rates to `swa_lr` within `anneal_epochs` steps, along a cosine or a line
    (`anneal_strategy` "cos" or "linear"), and leaves them there.

    swa_lr: a number, or a list with one for each group. Raises ValueError for other strategies and
    for epochs that are no count.
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._set_anneal_func(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _linear_anneal(t):
        return t

    @staticmethod
    def _cosine_anneal(t):
        return (1 - math.cos(math.pi * t)) / 2

    def _set_anneal_func(self, strategy):
        self._anneal_strategy = strategy
        self.anneal_func = self._cosine_anneal if strategy == "cos" else self._linear_anneal

    def _progress(self, step):
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self):
        """The next rates, from the groups' present ones."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._progress(step - 1), self._progress(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates

    def state_dict(self):
        """All attributes but the optimizer and the function that anneals."""
        return {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "anneal_func")}

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict()` gave."""
        self.__dict__.update(state_dict)
        self._set_anneal_func(self._anneal_strategy)
