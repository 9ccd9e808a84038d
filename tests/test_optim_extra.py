"""Muon, averages of weights, state put in for a while; without PyTorch."""

import math
import warnings

import pytest

import dlgrad
from dlgrad import nn, optim
from dlgrad.optim import swa_utils


def matrix():
    dlgrad.manual_seed(0)
    return dlgrad.randn(6, 4).requires_grad_()


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_steps_have_the_size_of_an_orthogonal_matrix(nesterov):
    p = matrix()
    before = p.detach().clone()
    p.grad = dlgrad.randn(6, 4) * 1000
    optim.Muon([p], lr=0.1, weight_decay=0.0, nesterov=nesterov).step()
    step = (before - p.detach()) / (0.1 * math.sqrt(6 / 4))
    gram = step.T @ step
    # five Newton-Schulz iterations leave the singular values within about (0.6, 1.3)
    assert 0.3 < float(gram.diagonal().min()) and float(gram.diagonal().max()) < 1.7
    assert float((gram - gram.diagonal().diag()).abs().max()) < 0.5


def test_muon_scales_and_decays():
    results = []
    for rule, factor in (("original", math.sqrt(6 / 4)), ("match_rms_adamw", 0.2 * math.sqrt(6))):
        p = matrix()
        start = p.detach().clone()
        p.grad = dlgrad.ones(6, 4)
        optim.Muon([p], lr=0.5, weight_decay=0.2, adjust_lr_fn=rule).step()
        results.append((start * 0.9 - p.detach()) / factor)
    assert dlgrad.allclose(*results, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: optim.Muon([p[0].detach()]), "only supports 2D parameters"),
        (lambda p: optim.Muon([p], adjust_lr_fn="x"), "function x is not supported"),
        (lambda p: optim.Muon([p], lr=-1), "Learning rate should be >= 0 but is: -1"),
        (lambda p: optim.Adafactor([p], d=0.5), "Clipping threshold d should be >= 1"),
        (lambda p: optim.Adafactor([p], beta2_decay=1.0), "beta2_decay should be <= 0"),
        (lambda p: optim.SparseAdam([p], eps=0.0), "Invalid epsilon value: 0.0"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ValueError, match=text):
        make(matrix())


def test_sparse_adam_has_no_dense_steps():
    p = matrix()
    optimizer = optim.SparseAdam([p])
    optimizer.step()
    p.grad = dlgrad.ones(6, 4)
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optimizer.step()


def test_adafactor_keeps_rows_and_columns():
    p, bias = matrix(), dlgrad.zeros(5).requires_grad_()
    optimizer = optim.Adafactor([p, bias])
    p.grad, bias.grad = dlgrad.ones(6, 4), dlgrad.ones(5)
    optimizer.step()
    assert tuple(optimizer.state[p]["row_var"].shape) == (6, 1)
    assert tuple(optimizer.state[p]["col_var"].shape) == (1, 4)
    assert tuple(optimizer.state[bias]["variance"].shape) == (5,)
    assert bias.tolist() == pytest.approx([-1e-5] * 5)  # eps2 lr, in units of a gradient of ones


# ---------------------------------------------------------------------- averages


def set_weight(model, value):
    with dlgrad.no_grad():
        for p in model.parameters():
            p.fill_(value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2.0),
        ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, 2.0),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, 2.0),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.5)}, 2.25),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)}, 2.25),
    ],
)
def test_averages(options, expected):
    model = nn.Linear(3, 2)
    average = swa_utils.AveragedModel(model, **options)
    for value in (1.0, 2.0, 3.0):
        set_weight(model, value)
        average.update_parameters(model)
    assert average.module.weight.tolist() == [[expected] * 3] * 2
    assert average.n_averaged.item() == 3 and average.n_averaged.dtype is dlgrad.int64
    assert set(average.state_dict()) == {"n_averaged", "module.weight", "module.bias"}
    assert average(dlgrad.ones(1, 3)).tolist() == [[4 * expected] * 2]


@pytest.mark.parametrize("use_buffers", [True, False])
def test_averages_of_buffers(use_buffers):
    model = nn.BatchNorm1d(2)
    average = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (1, 3):
        model.running_mean.fill_(value)
        model.num_batches_tracked.fill_(value)
        average.update_parameters(model)
    assert average.module.running_mean.tolist() == ([2, 2] if use_buffers else [3, 3])
    assert average.module.num_batches_tracked.item() == (2 if use_buffers else 3)


def test_average_errors():
    with pytest.raises(AssertionError, match="Only one of avg_fn"):
        swa_utils.AveragedModel(nn.Identity(), avg_fn=max, multi_avg_fn=max)
    with pytest.raises(ValueError, match="Invalid decay value 2"):
        swa_utils.get_ema_avg_fn(2)


def test_update_bn():
    model = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3)).eval()
    batches = [dlgrad.full((4, 2), float(i)) for i in range(3)]
    swa_utils.update_bn([(batch, None) for batch in batches], model)
    assert model[0].running_mean.tolist() == [1, 1]
    assert model[0].running_var.tolist() == pytest.approx([0, 0])
    assert model[0].momentum == 0.3 and not model.training


def rates(strategy, epochs, steps):
    p = dlgrad.ones(1).requires_grad_()
    optimizer = optim.SGD([p], lr=1.0)
    schedule = swa_utils.SWALR(optimizer, 0.2, anneal_epochs=epochs, anneal_strategy=strategy)
    result = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        result.append(schedule.get_last_lr()[0])
    return schedule, result


def test_swalr():
    assert rates("linear", 4, 6)[1] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    assert rates("cos", 2, 3)[1] == pytest.approx([0.6, 0.2, 0.2])
    assert rates("cos", 0, 2)[1] == pytest.approx([0.2, 0.2])
    schedule, _ = rates("linear", 4, 2)
    assert "anneal_func" not in schedule.state_dict()
    other, _ = rates("cos", 9, 1)
    other.load_state_dict(schedule.state_dict())
    assert other.anneal_func(0.25) == 0.25 and other.last_epoch == schedule.last_epoch
    with pytest.raises(ValueError, match="must be one of 'cos' or 'linear', instead got x"):
        rates("x", 1, 1)
    with pytest.raises(ValueError, match="equal or greater than 0, got -1"):
        rates("cos", -1, 1)


# ---------------------------------------------------------------------- state put in for a while


def test_swapped_state():
    p, q = dlgrad.ones(2).requires_grad_(), dlgrad.zeros(2).requires_grad_()
    optimizer = optim.Adam([p], lr=0.1)
    with pytest.raises(RuntimeError, match="requires initialized optimizer state"):
        with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, {}):
            pass
    p.grad = q.grad = dlgrad.ones(2)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 5.0
    before, values = optimizer.state, p.tolist()
    with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, saved):
        assert optimizer.param_groups[0]["params"] == [q]
        optimizer.step()
    assert optimizer.state is before and optimizer.param_groups[0]["params"] == [p]
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert p.tolist() == values and q.tolist() == pytest.approx([-5.0, -5.0])
    with pytest.raises(RuntimeError, match="Keys only in swap-in: .'new'"):
        saved["param_groups"][0]["new"] = 1
        with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, saved):
            pass


def test_lbfgs_line_search_works_in_the_parameters_dtype():
    p = dlgrad.tensor([-1.2, 1.0]).requires_grad_()
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            optimizer.step(closure)
    assert p.tolist() == pytest.approx([1, 1], abs=1e-3)


def test_repr_of_groups():
    optimizer = optim.SGD([{"params": [matrix()], "lr": 0.5}, {"params": [matrix()]}])
    text = repr(optimizer).split("\n")
    assert text[0] == "SGD (" and text[1] == "Parameter Group 0" and text[-1] == ")"
    second = text.index("Parameter Group 1")
    assert text[second - 1] == "" and "    lr: 0.001" in text[second:]


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam"])
def test_a_single_beta(name):
    with pytest.raises(IndexError, match="two decay rates"):
        getattr(optim, name)([matrix()], betas=(0.9,))
