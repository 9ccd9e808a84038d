"""Other parameters and another state in an optimizer, for a while."""

from __future__ import annotations

import contextlib
from collections import defaultdict

from ..tensor import Tensor

__all__ = ["swap_in_optimizer_params_and_state"]

_NAME = "swap_in_optimizer_params_and_state"


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """Inside of the context the optimizer has these parameters, and this state; then its own again.

    swapin_parameters: {name: tensor} in the order of the optimizer's parameters.
    swapin_optim_state: as `optimizer.state_dict()` gives it. What a step writes into its tensors
    stays there; nothing else of it changes.

    Raises RuntimeError for an optimizer without state, and where the two don't fit it.
    """
    state, groups = _checked(optimizer, swapin_optim_state)
    tensors = list(swapin_parameters.values())
    if len(tensors) < sum(len(saved["params"]) for saved in groups):
        raise RuntimeError(
            f"{_NAME} requires the explicit parameter state to match optimizer.param_groups "
            "ordering."
        )
    own_state, own_groups = optimizer.state, [dict(g) for g in optimizer.param_groups]
    try:
        swapped, start = defaultdict(dict), 0
        for group, saved in zip(optimizer.param_groups, groups):
            ids = saved["params"]
            group.update(saved)
            group["params"] = tensors[start : start + len(ids)]
            start += len(ids)
            for p, i in zip(group["params"], ids):
                swapped[p] = dict(state.get(i, {}))
        optimizer.state = swapped
        yield
    finally:
        for group, before in zip(optimizer.param_groups, own_groups):
            group.clear()
            group.update(before)
        optimizer.state = own_state


def _checked(optimizer, saved):
    """(state, groups) of a state dict that fits the optimizer."""
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    if not isinstance(saved, dict):
        raise RuntimeError(f"{_NAME} requires a DCP-style optimizer state_dict.")
    state, groups = saved.get("state"), saved.get("param_groups")
    if not isinstance(state, dict):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter "
            f"ids to per-param state dicts, got {type(state).__name__}."
        )
    if any(isinstance(key, Tensor) for key in state):
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style state keyed by packed parameter ids."
        )
    if any(isinstance(key, int) and not isinstance(value, dict) for key, value in state.items()):
        raise RuntimeError(
            f"{_NAME} requires per-parameter optimizer state entries to be dictionaries."
        )
    if not isinstance(groups, list):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['param_groups'] to be a list of param-group "
            f"dicts, got {type(groups).__name__}."
        )
    if len(optimizer.param_groups) != len(groups):
        raise RuntimeError(
            "swapin_optim_state has a different number of parameter groups than the live optimizer."
        )
    known = set()
    for number, (group, new) in enumerate(zip(optimizer.param_groups, groups)):
        known.update(_checked_group(number, group, new))
    extra = [key for key in state if key not in known]
    if extra:
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be keyed only by packed parameter "
            f"ids from param_groups[*]['params']; got extra keys {extra!r}."
        )
    return state, groups


def _checked_group(number, group, new):
    """The parameter numbers of a saved group that fits the optimizer's."""
    if not isinstance(new, dict):
        raise RuntimeError(f"{_NAME} requires each optimizer param group to be a dictionary.")
    ids = new.get("params")
    if not isinstance(ids, list) or not all(isinstance(i, int) for i in ids):
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style param_groups[*]['params'] entries "
            "keyed by packed parameter ids."
        )
    if len(group["params"]) != len(ids):
        raise RuntimeError(
            f"swapin_optim_state param group {number} has a different number of params than the "
            "live optimizer param group."
        )
    only_new, only_old = [k for k in new if k not in group], [k for k in group if k not in new]
    if only_new or only_old:
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style param group keys to exactly match the "
            f"live optimizer group keys for group {number}. Keys only in swap-in: {only_new}. "
            f"Keys only in live: {only_old}."
        )
    return ids
