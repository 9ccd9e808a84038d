"""Learning rate schedules without PyTorch: formulas, state dicts, plateaus, warnings, errors."""

import pytest

import dlgrad
from dlgrad import optim
from dlgrad.optim import lr_scheduler as schedules


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
