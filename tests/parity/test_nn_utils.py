"""nn.utils, averages of weights and functional_call against PyTorch: the same seeds, the same
modules, the same numbers."""

import warnings

import numpy as np
import pytest
import torch

import dlgrad

MODULES = (torch, dlgrad)


def array(t):
    return np.array(t.detach().tolist(), dtype=np.float64).reshape(tuple(t.shape))


def same(ours, theirs, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(array(ours), array(theirs), rtol=rtol, atol=atol)


def same_state(ours, theirs, **tolerance):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        same(ours[key], value, **tolerance)


def layers(t, which):
    t.manual_seed(3)
    make = {
        "linear": lambda: t.nn.Linear(5, 4),
        "conv": lambda: t.nn.Conv2d(3, 4, 2),
        "transposed": lambda: t.nn.ConvTranspose1d(3, 4, 2),
    }[which]
    shape = {"linear": (2, 5), "conv": (2, 3, 5, 4), "transposed": (2, 3, 6)}[which]
    return make(), t.randn(*shape)


def trained(t, module, x, steps=3):
    """The module after some steps, and its last output and gradients."""
    optimizer = t.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        out = module(x)
        (out * out).mean().backward()
        optimizer.step()
    return out, [p.grad for p in module.parameters()]


WRAPPERS = {
    "weight_norm": lambda t, m: t.nn.utils.parametrizations.weight_norm(m),
    "weight_norm dim 1": lambda t, m: t.nn.utils.parametrizations.weight_norm(m, dim=1),
    "weight_norm all": lambda t, m: t.nn.utils.parametrizations.weight_norm(m, dim=None),
    "weight_norm bias": lambda t, m: t.nn.utils.parametrizations.weight_norm(m, "bias"),
    "older weight_norm": lambda t, m: t.nn.utils.weight_norm(m, dim=1),
    "older weight_norm all": lambda t, m: t.nn.utils.weight_norm(m, dim=None),
    "spectral_norm": lambda t, m: t.nn.utils.parametrizations.spectral_norm(m),
    "spectral_norm of vectors": lambda t, m: t.nn.utils.parametrizations.spectral_norm(
        m, "bias", dim=0
    ),
    "spectral_norm dim 1": lambda t, m: t.nn.utils.parametrizations.spectral_norm(
        m, n_power_iterations=3, dim=1, eps=1e-6
    ),
    "older spectral_norm": lambda t, m: t.nn.utils.spectral_norm(m, n_power_iterations=2),
    "both": lambda t, m: t.nn.utils.parametrizations.spectral_norm(
        t.nn.utils.parametrizations.weight_norm(m)
    ),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("which", ["linear", "conv", "transposed"])
@pytest.mark.parametrize("name", WRAPPERS)
def test_normed_weights(name, which):
    results = []
    for t in MODULES:
        module, x = layers(t, which)
        module = WRAPPERS[name](t, module)
        first = module.state_dict()
        first = {key: array(value) for key, value in first.items()}
        out, gradients = trained(t, module, x)
        results.append((module, first, out, gradients, t, x))
    theirs, ours = results
    assert list(ours[1]) == list(theirs[1])
    for key, value in theirs[1].items():
        np.testing.assert_allclose(ours[1][key], value, rtol=1e-5, atol=1e-6)
    same(ours[2], theirs[2], rtol=1e-4, atol=1e-5)
    for mine, its in zip(ours[3], theirs[3]):
        same(mine, its, rtol=2e-4, atol=2e-5)
    same_state(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
    # in evaluation nothing moves
    same(ours[0].eval()(ours[5]), theirs[0].eval()(theirs[5]), rtol=1e-4, atol=1e-5)
    same_state(ours[0], theirs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_state_dicts_of_the_older_weight_norm_load():
    for t in MODULES:
        old = t.nn.utils.weight_norm(t.nn.Linear(3, 2))
        new = t.nn.utils.parametrizations.weight_norm(t.nn.Linear(3, 2))
        new.load_state_dict(old.state_dict())
        x = t.randn(4, 3)
        assert t.allclose(old(x), new(x))


# ---------------------------------------------------------------------- pruning

PRUNERS = {
    "identity": lambda p, m: p.identity(m, "weight"),
    "l1": lambda p, m: p.l1_unstructured(m, "weight", 0.3),
    "l1 count": lambda p, m: p.l1_unstructured(m, "weight", 7),
    "random": lambda p, m: p.random_unstructured(m, "weight", 0.4),
    "ln": lambda p, m: p.ln_structured(m, "weight", 0.5, n=2, dim=0),
    "ln inf": lambda p, m: p.ln_structured(m, "weight", 1, n=float("inf"), dim=-1),
    "random structured": lambda p, m: p.random_structured(m, "weight", 2, dim=1),
    "twice": lambda p, m: p.l1_unstructured(p.l1_unstructured(m, "weight", 0.3), "weight", 0.5),
    "slices, then elements": lambda p, m: p.l1_unstructured(
        p.ln_structured(m, "weight", 1, n=1, dim=0), "weight", 3
    ),
    "elements, then slices": lambda p, m: p.random_structured(
        p.l1_unstructured(m, "weight", 6), "weight", 0.5, dim=0
    ),
}


@pytest.mark.parametrize("which", ["linear", "conv"])
@pytest.mark.parametrize("name", PRUNERS)
def test_pruning(name, which):
    results = []
    for t in MODULES:
        module, x = layers(t, which)
        t.manual_seed(11)
        PRUNERS[name](__import__(t.__name__ + ".nn.utils.prune", fromlist=["x"]), module)
        out, _ = trained(t, module, x)
        results.append((module, out, x))
    (theirs, out, x), (ours, mine, mine_x) = results
    same_state(ours, theirs, rtol=1e-4, atol=1e-5)
    same(mine, out, rtol=1e-4, atol=1e-5)
    assert dlgrad.nn.utils.prune.is_pruned(ours)
    from torch.nn.utils import prune

    prune.remove(theirs, "weight")
    dlgrad.nn.utils.prune.remove(ours, "weight")
    same_state(ours, theirs, rtol=1e-4, atol=1e-5)
    same(ours(mine_x), theirs(x), rtol=1e-4, atol=1e-5)


def test_global_pruning():
    results = []
    for t in MODULES:
        t.manual_seed(5)
        model = t.nn.Sequential(t.nn.Linear(6, 5), t.nn.ReLU(), t.nn.Linear(5, 4))
        prune = __import__(t.__name__ + ".nn.utils.prune", fromlist=["x"])
        pairs = [(model[0], "weight"), (model[2], "weight"), (model[2], "bias")]
        for _ in range(2):
            prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.3)
        results.append(model)
    same_state(results[1], results[0])


# ---------------------------------------------------------------------- functional_call


class Counter:
    """A module whose forward replaces a buffer, for either library."""

    def __new__(cls, t):
        class Module(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = t.nn.Linear(2, 2)
                self.tied = t.nn.Linear(2, 2)
                self.tied.weight = self.linear.weight
                self.register_buffer("count", t.zeros(1))

            def forward(self, x, scale=1.0):
                self.count = self.count + 1
                return self.linear(x) * scale + self.tied.weight.sum() + self.count

        t.manual_seed(0)
        return Module()


def test_functional_call():
    results = []
    for t in MODULES:
        func = __import__(t.__name__ + ".func", fromlist=["x"])
        module = Counter(t)
        weight = t.ones(2, 2, requires_grad=True)
        given = {"linear.weight": weight, "count": t.full((1,), 5.0)}
        out = func.functional_call(module, given, (t.ones(3, 2),), {"scale": 2.0})
        out.sum().backward()
        assert float(given["count"]) == 6 and float(module.count) == 0
        assert module.linear.weight.grad is None
        results.append((out, weight.grad))
    for mine, its in zip(results[1], results[0]):
        same(mine, its)


FUSIONS = {
    "conv": lambda t: (t.nn.Conv2d(3, 4, 2), t.nn.BatchNorm2d(4), (2, 3, 5, 5)),
    "conv without bias": lambda t: (
        t.nn.Conv1d(3, 4, 2, bias=False),
        t.nn.BatchNorm1d(4, affine=False),
        (2, 3, 5),
    ),
    "transposed": lambda t: (t.nn.ConvTranspose1d(3, 4, 2), t.nn.BatchNorm1d(4), (2, 3, 5)),
    "linear": lambda t: (t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), (5, 3)),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion(name):
    results = []
    for t in MODULES:
        t.manual_seed(1)
        layer, norm, shape = FUSIONS[name](t)
        x = t.randn(*shape)
        norm(layer(x))
        layer.eval(), norm.eval()
        if name == "linear":
            fused = t.nn.utils.fuse_linear_bn_eval(layer, norm)
        else:
            fused = t.nn.utils.fuse_conv_bn_eval(layer, norm, transpose=name == "transposed")
        assert t.allclose(fused(x), norm(layer(x)), atol=1e-5)
        results.append(fused)
    same_state(results[1], results[0], rtol=1e-5)
    for mine, its in zip(results[1].parameters(), results[0].parameters()):
        assert mine.requires_grad == its.requires_grad


def averaged(t, **options):
    utils = __import__(t.__name__ + ".optim.swa_utils", fromlist=["x"])
    t.manual_seed(2)
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 1))
    options = {key: value(utils) if callable(value) else value for key, value in options.items()}
    average = utils.AveragedModel(model, **options)
    optimizer = t.optim.SGD(model.parameters(), lr=0.1)
    schedule = utils.SWALR(optimizer, 0.01, anneal_epochs=3)
    batches = [t.randn(8, 3) for _ in range(5)]
    rates = []
    for x in batches:
        optimizer.zero_grad()
        model(x).pow(2).sum().backward()
        optimizer.step()
        average.update_parameters(model)
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    utils.update_bn(batches, average)
    return average, rates, schedule.state_dict()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_buffers": True},
        {"multi_avg_fn": lambda u: u.get_ema_multi_avg_fn(0.9), "use_buffers": True},
        {"avg_fn": lambda u: u.get_ema_avg_fn(0.9)},
        {"multi_avg_fn": lambda u: u.get_swa_multi_avg_fn()},
    ],
)
def test_averages(options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = (averaged(t, **options) for t in MODULES)
    same_state(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nesterov": False, "momentum": 0.5},
        {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
    ],
)
def test_muon(options, dtype):
    random = np.random.default_rng(0)
    values = [random.standard_normal(shape) for shape in ((6, 4), (4, 9), (5, 5))]
    grads = [[random.standard_normal(v.shape) for v in values] for _ in range(4)]
    results = []
    for t in MODULES:
        kind = getattr(t, dtype)
        params = [t.tensor(v.tolist(), dtype=kind).requires_grad_() for v in values]
        optimizer = t.optim.Muon(params, lr=0.1, **options)
        for step in grads:
            for p, grad in zip(params, step):
                p.grad = t.tensor(grad.tolist(), dtype=kind)
            optimizer.step()
        results.append((params, optimizer.state_dict()))
    (params, state), (mine, own) = results
    for p, q in zip(mine, params):
        same(p, q, rtol=1e-6, atol=1e-7)
    assert own["param_groups"] == state["param_groups"]
    assert own["state"][0].keys() == state["state"][0].keys()


ORTHOGONAL = {
    "square": (4, 4, {}),
    "tall": (6, 3, {}),
    "wide": (3, 5, {}),
    "cayley": (5, 3, {"orthogonal_map": "cayley"}),
    "matrix_exp of tall": (5, 2, {"orthogonal_map": "matrix_exp"}),
    "householder of square": (4, 4, {"orthogonal_map": "householder"}),
    "without a base": (5, 3, {"use_trivialization": False}),
    "wide without a base": (3, 5, {"orthogonal_map": "householder", "use_trivialization": False}),
}


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_orthogonal(name):
    rows, columns, options = ORTHOGONAL[name]
    results = []
    for t in MODULES:
        t.manual_seed(4)
        layer = t.nn.Linear(columns, rows).double()
        t.nn.utils.parametrizations.orthogonal(layer, **options)
        x = t.randn(3, columns, dtype=t.float64)
        first = layer.weight.detach()
        out, gradients = trained(t, layer, x, steps=4)
        results.append((first, out, gradients, layer))
    theirs, ours = results
    same(ours[0], theirs[0], rtol=1e-9, atol=1e-10)
    same(ours[1], theirs[1], rtol=1e-8, atol=1e-9)
    for mine, its in zip(ours[2], theirs[2]):
        same(mine, its, rtol=1e-7, atol=1e-9)
    same_state(ours[3], theirs[3], rtol=1e-7, atol=1e-9)
    q = ours[3].weight.detach()
    gram = q @ q.T if rows < columns else q.T @ q
    same(gram, dlgrad.eye(min(rows, columns), dtype=dlgrad.float64), atol=1e-12)
