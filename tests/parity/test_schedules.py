"""Learning rate schedules against PyTorch, to the last bit."""

import copy
import warnings

import pytest
import torch
from optimizers import SCHEDULES

import dlgrad
from dlgrad import optim
from dlgrad.optim import lr_scheduler as schedules


def optimizers(beta=False):
    made = []
    for module, tensor in ((optim, dlgrad.ones), (torch.optim, torch.ones)):
        groups = [
            {"params": [tensor(1).requires_grad_()], "lr": 0.05},
            {"params": [tensor(2).requires_grad_()]},
        ]
        made.append(
            module.Adam(groups, lr=0.2) if beta else module.SGD(groups, lr=0.2, momentum=0.9)
        )
    return (*made, torch.optim.lr_scheduler)


def plain(state):
    if isinstance(state, dict):
        return {k: plain(v) for k, v in state.items() if k != "lr_lambdas"}
    if isinstance(state, list):
        return [plain(v) for v in state]
    return state


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_pytorchs_to_the_last_bit(name, beta):
    ours, theirs, reference = optimizers(beta)
    a, b = SCHEDULES[name](schedules, ours), SCHEDULES[name](reference, theirs)
    for epoch in range(19):
        for x, y in zip(ours.param_groups, theirs.param_groups):
            for key in ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr"):
                assert x.get(key) == y.get(key), (epoch, key)
        assert a.get_last_lr() == b.get_last_lr()
        assert plain(a.state_dict()) == plain(b.state_dict())
        if epoch == 10:  # go on from the state dict
            saved = copy.deepcopy(a.state_dict())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lrs = [group["lr"] for group in ours.param_groups]
                a = SCHEDULES[name](schedules, ours)
                for group, lr in zip(ours.param_groups, lrs):
                    group["lr"] = lr
            a.load_state_dict(saved)
        for optimizer in (ours, theirs):
            optimizer.step()
        a.step()
        b.step()


@pytest.mark.parametrize(
    "name",
    ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine", "restarts"],
)
def test_epochs_by_number(name):
    ours, theirs, reference = optimizers()
    a, b = SCHEDULES[name](schedules, ours), SCHEDULES[name](reference, theirs)
    for optimizer in (ours, theirs):
        optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (4, 1, 9, 6):
            a.step(epoch)
            b.step(epoch)
            assert a.get_last_lr() == b.get_last_lr()
    if name != "restarts":
        with pytest.warns(UserWarning, match="The epoch parameter"):
            a.step(3)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "patience": 1, "threshold_mode": "abs", "threshold": 0.1},
        {"patience": 0, "cooldown": 2},
        {"patience": 0, "min_lr": [0.001, 0.05], "factor": 0.3},
    ],
)
def test_plateau(options):
    ours, theirs, reference = optimizers()
    a, b = (
        schedules.ReduceLROnPlateau(ours, **options),
        reference.ReduceLROnPlateau(theirs, **options),
    )
    for metric in (
        1.0,
        0.9,
        0.95,
        0.96,
        0.97,
        0.5,
        0.5,
        0.5,
        0.51,
        float("nan"),
        0.1,
        0.2,
        0.3,
        0.4,
    ):
        a.step(metric)
        b.step(metric)
        assert a.state_dict() == b.state_dict()
        assert [g["lr"] for g in ours.param_groups] == [g["lr"] for g in theirs.param_groups]
    a.load_state_dict(a.state_dict())
    with pytest.raises(ValueError, match="Factor should be < 1.0"):
        schedules.ReduceLROnPlateau(ours, factor=1.0)
    with pytest.raises(ValueError, match="mode best is unknown"):
        schedules.ReduceLROnPlateau(ours, mode="best")
