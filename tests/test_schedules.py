"""Learning rate schedules without PyTorch: formulas, state dicts, plateaus, warnings, errors."""

import copy
import math

import pytest
from optimizers import SCHEDULES

import dlgrad
from dlgrad import optim
from dlgrad.optim import lr_scheduler as schedules


def two_groups(**options):
    groups = [{"params": [dlgrad.ones(1).requires_grad_()], "lr": 0.05}]
    groups.append({"params": [dlgrad.ones(2).requires_grad_()]})
    return optim.SGD(groups, lr=0.2, momentum=0.9, **options)


def walk(optimizer, scheduler, epochs):
    """The learning rates of the first group, epoch by epoch."""
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("name", "wanted"), [
    ("step", [0.05 * 0.3 ** (t // 3) for t in range(10)]),
    ("multistep", [0.05 * 0.3**n for n in (0, 0, 1, 1, 1, 3, 3, 3, 3, 4)]),
    ("constant", [0.05 * 0.3] * 4 + [0.05] * 6),
    ("linear", [0.05 * (0.3 + 0.4 * min(t, 7) / 7) for t in range(10)]),
    ("exponential", [0.05 * 0.9**t for t in range(10)]),
    ("polynomial", [0.05 * (1 - t / 9) ** 1.7 for t in range(10)]),
    ("cosine", [0.001 + 0.049 * (1 + math.cos(math.pi * t / 6)) / 2 for t in range(10)]),
    ("restarts 1", [0.05 * (1 + math.cos(math.pi * (t % 4) / 4)) / 2 for t in range(10)]),
    ("multiplicative", [0.05 * 0.95**t for t in range(10)]),
    ("lambda", [0.05 * 0.9**t for t in range(10)]),
])  # fmt: skip
def test_rates_follow_the_formula(name, wanted):
    optimizer = two_groups()
    rates = walk(optimizer, SCHEDULES[name](schedules, optimizer), 10)
    assert rates == pytest.approx(wanted)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_resumes_from_a_state_dict(name):
    ours, theirs = two_groups(), two_groups()
    a = SCHEDULES[name](schedules, ours)
    walk(ours, a, 7)
    b = SCHEDULES[name](schedules, theirs)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    assert walk(ours, a, 9) == walk(theirs, b, 9)
    assert a.get_last_lr() == b.get_last_lr()


def test_epochs_by_number():
    optimizer = two_groups()
    scheduler = SCHEDULES["step"](schedules, optimizer)
    optimizer.step()
    for epoch in (4, 1, 9, 6):
        with pytest.warns(UserWarning, match="The epoch parameter"):
            scheduler.step(epoch)
        assert scheduler.get_last_lr()[0] == pytest.approx(0.05 * 0.3 ** (epoch // 3))


def test_plateau():
    optimizer = two_groups()
    scheduler = schedules.ReduceLROnPlateau(
        optimizer, patience=1, factor=0.5, cooldown=1, min_lr=[0.0, 0.08]
    )
    rates = []
    # better; two bad epochs and the rate falls; one to cool down; two bad ones; better; nan is bad
    for metric in (1.0, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.1, math.nan, math.nan):
        scheduler.step(metric)
        rates.append([group["lr"] for group in optimizer.param_groups])
    first = [0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.00625]
    second = [0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.08, 0.08, 0.08, 0.08]
    assert [list(r) for r in zip(*rates)] == [first, second]
    twin = schedules.ReduceLROnPlateau(two_groups())
    twin.load_state_dict(scheduler.state_dict())
    assert twin.best == 0.1 and twin.state_dict() == scheduler.state_dict()
    with pytest.raises(ValueError, match="Factor should be < 1.0"):
        schedules.ReduceLROnPlateau(optimizer, factor=1.0)
    with pytest.raises(ValueError, match="mode best is unknown"):
        schedules.ReduceLROnPlateau(optimizer, mode="best")


def test_lr_in_a_tensor_is_written_into():
    rate = dlgrad.tensor(0.5)
    optimizer = optim.SGD([dlgrad.ones(1).requires_grad_()], lr=rate)
    scheduler = schedules.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25


def test_warnings_of_the_order():
    optimizer = optim.SGD([dlgrad.ones(1).requires_grad_()], lr=0.5)
    scheduler = schedules.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step\\(\\)`"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr\\(\\)`"):
        scheduler.get_lr()
    optimizer = optim.SGD([dlgrad.ones(1).requires_grad_()], lr=0.5)
    scheduler = schedules.StepLR(optimizer, 1)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden"):
        scheduler.step()


def test_schedule_errors():
    optimizer = optim.SGD([dlgrad.ones(1).requires_grad_()], lr=0.5)
    other = optim.SGD([dlgrad.ones(1).requires_grad_()], lr=0.5)
    s = schedules
    for error, text, make in (
        (TypeError, "int is not an Optimizer", lambda: s.StepLR(1, 1)),
        (KeyError, "initial_lr", lambda: s.StepLR(other, 1, last_epoch=3)),
        (ValueError, "Expected 1 lr_lambdas, but got 2", lambda: s.LambdaLR(optimizer, [abs, abs])),
        (TypeError, "lr_lambda should be a function", lambda: s.MultiplicativeLR(optimizer, 1)),
        (ValueError, "between 0 and 1", lambda: s.ConstantLR(optimizer, 2)),
        (ValueError, "Starting multiplicative factor", lambda: s.LinearLR(optimizer, 0)),
        (ValueError, "positive integer T_0", lambda: s.CosineAnnealingWarmRestarts(optimizer, 0)),
        (ValueError, "You must define either", lambda: s.OneCycleLR(optimizer, 1)),
        (
            ValueError,
            "optimizer must support momentum",
            lambda: s.CyclicLR(optim.Adagrad([dlgrad.ones(1)]), 0.1, 0.2),
        ),
        (
            ValueError,
            "max_lr must have the same length",
            lambda: s.OneCycleLR(optimizer, [1, 2], 5),
        ),
        (
            ValueError,
            "one more than the number of milestone",
            lambda: s.SequentialLR(optimizer, [s.StepLR(optimizer, 1)], [1]),
        ),
        (
            ValueError,
            "belong to the same optimizer",
            lambda: s.ChainedScheduler([s.StepLR(optimizer, 1), s.StepLR(other, 1)]),
        ),
    ):
        with pytest.raises(error, match=text):
            make()
    cycle = s.OneCycleLR(optimizer, 1.0, total_steps=2)
    optimizer.step()
    cycle.step()
    cycle.step()
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        cycle.step()
