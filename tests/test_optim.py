"""Optimizers without PyTorch: kernel against Tensor operations, groups, layouts, hooks, errors."""

import collections
import copy
import pickle

import numpy as np
import pytest
from arrays import array
from optimizers import SHAPES, VARIANTS, leaf, rosenbrock

import dlgrad
from dlgrad import optim


@pytest.mark.parametrize("name", VARIANTS)
def test_kernel_and_tensor_operations_agree(name):
    results = []
    for by_kernel in (True, False):
        random = np.random.default_rng(5)
        params = [leaf(random.standard_normal(s), dlgrad.float64) for s in SHAPES]
        optimizer = VARIANTS[name](optim, params)
        if not by_kernel:
            optimizer.row = None
        for _ in range(4):
            for p in params:
                p.grad = leaf(random.standard_normal(tuple(p.shape)), p.dtype).detach()
            optimizer.step()
        results.append([array(p) for p in params])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", VARIANTS)
def test_resumes_from_a_state_dict(name):
    random = np.random.default_rng(3)
    params = [leaf(random.standard_normal(s), dlgrad.float64) for s in SHAPES]
    optimizer = VARIANTS[name](optim, params)
    for _ in range(3):
        for p in params:
            p.grad = leaf(random.standard_normal(tuple(p.shape)), p.dtype).detach()
        optimizer.step()
    copies = [leaf(array(p), p.dtype) for p in params]
    resumed = VARIANTS[name](optim, copies)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(params, copies):
        q.grad = p.grad = p.detach() * 0.5
    optimizer.step()
    resumed.step()
    # NAdam's product of momenta is float32 until a state dict is loaded (in PyTorch too), then of
    # p's dtype.
    for p, q in zip(params, copies):
        np.testing.assert_allclose(array(p), array(q), rtol=1e-7 if "nadam" in name else 0)


def test_groups_have_options_of_their_own():
    a, b = (dlgrad.ones(2).requires_grad_() for _ in range(2))
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": b}], lr=0.5)
    for p in (a, b):
        p.grad = dlgrad.ones(2)
    optimizer.step()
    assert a.tolist() == [0, 0] and b.tolist() == [0.5, 0.5]
    c = dlgrad.ones(2).requires_grad_()
    optimizer.add_param_group({"params": [c], "weight_decay": 1.0})
    assert optimizer.param_groups[2]["lr"] == 0.5
    optimizer.zero_grad()
    assert a.grad is None
    a.grad = dlgrad.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0, 0]


def test_named_parameters():
    a, b = (dlgrad.ones(2).requires_grad_() for _ in range(2))
    optimizer = optim.Adam([("a", a), ("b", b)])
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
    assert optimizer.state_dict()["param_groups"][0]["params"] == [0, 1]
    with pytest.raises(ValueError, match="with/without names"):
        optim.Adam([("a", a), b])


def test_layouts_that_are_not_row_major():
    for make in (lambda p: optim.Adam(p, lr=0.1), lambda p: optim.SGD(p, lr=0.1, momentum=0.9)):
        plain = leaf(np.arange(12.0).reshape(3, 4), dlgrad.float64)
        turned = (
            dlgrad.tensor(np.arange(12.0).reshape(3, 4).T.tolist(), dtype=dlgrad.float64)
            .t()
            .detach()
            .requires_grad_()
        )
        assert not turned.is_contiguous()
        wide = dlgrad.zeros(3, 8, dtype=dlgrad.float64)
        gaps = wide.as_strided((3, 4), (8, 2)).detach()
        gaps.copy_(plain.detach())
        gaps.requires_grad_()
        optimizers = [make([p]) for p in (plain, turned, gaps)]
        for _ in range(3):
            for p, optimizer in zip((plain, turned, gaps), optimizers):
                p.grad = dlgrad.ones(3, 4, dtype=dlgrad.float64) * 0.5
                optimizer.step()
        assert plain.tolist() == turned.tolist()
        np.testing.assert_allclose(array(plain), array(gaps), rtol=1e-13)


def test_a_step_counts_versions_up():
    p = dlgrad.ones(3).requires_grad_()
    optimizer = optim.Adam([p])
    p.grad = dlgrad.ones(3)
    before = p._version
    optimizer.step()
    assert p._version > before


def test_hooks():
    p = dlgrad.ones(1).requires_grad_()
    p.grad = dlgrad.ones(1)
    optimizer = optim.SGD([p], lr=1.0)
    seen = []
    handles = [
        optimizer.register_step_pre_hook(
            lambda o, args, kwargs: seen.append(("pre", args[0] is o))
        ),
        optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("post", p.item()))),
        optim.optimizer.register_optimizer_step_pre_hook(
            lambda o, args, kwargs: seen.append("global")
        ),
    ]
    optimizer.step()
    assert seen == ["global", ("pre", True), ("post", 0.0)]
    for handle in handles:
        handle.remove()
    seen.clear()
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append(state["more"]))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == [1]


def test_closure_and_own_subclasses():
    class Plain(optim.Optimizer):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data = p.data - group["lr"] * p.grad

    p = dlgrad.ones(1).requires_grad_()
    p.grad = dlgrad.ones(1)
    Plain([p], {"lr": 0.25}).step()
    assert p.item() == 0.75
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        assert dlgrad.is_grad_enabled()
        return 7.0

    with dlgrad.no_grad():
        assert optimizer.step(closure) == 7.0


def test_lr_as_a_tensor():
    p, q = (dlgrad.ones(3).requires_grad_() for _ in range(2))
    first, second = (
        optim.Adam([p], lr=dlgrad.tensor(0.1)),
        optim.Adam([q], lr=float(np.float32(0.1))),
    )
    for _ in range(2):
        p.grad = q.grad = dlgrad.ones(3)
        first.step()
        second.step()
    assert p.tolist() == q.tolist()


def test_differentiable_steps_carry_gradients():
    start = dlgrad.tensor([1.0, 2.0], dtype=dlgrad.float64).requires_grad_()
    for make in (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, differentiable=True),
        lambda p: optim.Adam(p, lr=0.1, differentiable=True),
        lambda p: optim.RMSprop(p, lr=0.1, differentiable=True),
    ):
        p = start.clone()
        optimizer = make([p])
        p.grad = (start * start).detach()
        optimizer.step()
        (grad,) = dlgrad.autograd.grad(p.sum(), start)
        assert grad.tolist() == [1.0, 1.0]


def test_pickle():
    p = dlgrad.ones(3).requires_grad_()
    optimizer = optim.Adam([p], lr=0.5)
    p.grad = dlgrad.ones(3)
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    q = again.param_groups[0]["params"][0]
    assert again.state[q]["step"].item() == 1
    q.grad = p.grad = dlgrad.ones(3)
    optimizer.step()
    again.step()
    assert p.tolist() == q.tolist()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda p: optim.SGD(p), TypeError, "iterable of Tensors or dicts, but got"),
        (lambda p: optim.SGD([p * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda p: optim.SGD([1.0]), TypeError, "one of the params is float"),
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "ordered collections"),
        (
            lambda p: optim.SGD([{"params": p}, {"params": p}]),
            ValueError,
            "more than one parameter group",
        ),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (
            lambda p: optim.SGD([p], nesterov=True),
            ValueError,
            "Nesterov momentum requires a momentum",
        ),
        (
            lambda p: optim.Adam([p], betas=(1.0, 0.9)),
            ValueError,
            "Invalid beta parameter at index 0: 1.0",
        ),
        (lambda p: optim.Adam([p], betas=(0, 0.9)), ValueError, "both floats or both Tensors"),
        (lambda p: optim.Adam([p], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda p: optim.Adam([p], weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
        (lambda p: optim.Adam([p], lr=dlgrad.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (
            lambda p: optim.AdamW([p], fused=True, foreach=True),
            RuntimeError,
            "cannot be `True` together",
        ),
        (lambda p: optim.Adadelta([p], rho=2), ValueError, "Invalid rho value: 2"),
        (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
        (lambda p: optim.Rprop([p], etas=(1.0, 0.5)), ValueError, "Invalid eta values: 1.0, 0.5"),
        (
            lambda p: optim.LBFGS([{"params": [p]}, {"params": [dlgrad.ones(1)]}]),
            ValueError,
            "per-parameter options",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make(dlgrad.ones(2).requires_grad_())


def test_state_dicts_that_do_not_fit():
    p, q = (dlgrad.ones(2).requires_grad_() for _ in range(2))
    one, two = optim.SGD([p]), optim.SGD([p, q])
    with pytest.raises(ValueError, match="doesn't match the size"):
        one.load_state_dict(two.state_dict())
    groups = optim.SGD([{"params": p}, {"params": q}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(groups.state_dict())


def test_duplicates_warn_and_step_twice():
    p = dlgrad.ones(1).requires_grad_()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = optim.SGD([p, p], lr=0.25)
    p.grad = dlgrad.ones(1)
    optimizer.step()
    assert p.item() == 0.5


@pytest.mark.parametrize("name", VARIANTS)
def test_goes_downhill(name):
    p = dlgrad.tensor([3.0, -2.0]).requires_grad_()
    optimizer = VARIANTS[name](optim, [p])
    uphill = optimizer.param_groups[0]["maximize"]
    for group in optimizer.param_groups:
        group["weight_decay"] = 0
    first = float((p * p).sum())
    for _ in range(20):
        optimizer.zero_grad()
        loss = (p * p).sum()
        (-loss if uphill else loss).backward()
        optimizer.step()
    assert float((p * p).sum()) < first


def test_many_tensors_at_once():
    from dlgrad.optim import _engine as engine

    a = dlgrad.tensor([3.0, -4.0])
    b = dlgrad.tensor([[12.0], [0.0]])
    none = dlgrad.zeros(0)
    assert engine.norm_all([a, none, b], 2.0).item() == 13
    assert engine.norm_all([a, b], 1.0).item() == 19
    assert engine.norm_all([a, b], float("inf")).item() == 12
    assert engine.norm_all([a, b], 3.0) is None
    assert engine.norm_all([a, b.to(dlgrad.float64)], 2.0) is None
    assert engine.scale_all([a, b], 0.5)
    assert engine.clamp_all([a, b], -1, 4)
    assert (a.tolist(), b.tolist()) == ([1.5, -1.0], [[4.0], [0.0]])
    assert engine.lerp_all([a], [dlgrad.tensor([2.5, 1.0])], 0.25)
    assert a.tolist() == [1.75, -0.5]
    assert not engine.scale_all([dlgrad.zeros(4).expand(3, 4)], 2.0)
    assert not engine.lerp_all([a], [b], 0.5)


# ---------------------------------------------------------------------- formulas, in NumPy


def by_formula(make, update, steps=5):
    """The parameter after some steps of an optimizer, and of its formula.

    `update(p, g, t, s)` gives the next p; s is a dict for what it wants to remember (0 at first)."""
    random = np.random.default_rng(0)
    start = random.standard_normal((4, 3))
    p, q, remembered = leaf(start, dlgrad.float64), start, collections.defaultdict(float)
    optimizer = make([p])
    for t in range(1, steps + 1):
        g = random.standard_normal((4, 3))
        p.grad = leaf(g, dlgrad.float64).detach()
        optimizer.step()
        q = update(q, g, t, remembered)
    return array(p), q


def sgd(p, g, t, s):
    s["v"] = g + 0.01 * p if t == 1 else 0.9 * s["v"] + g + 0.01 * p
    return p - 0.1 * (g + 0.01 * p + 0.9 * s["v"])


def adam(p, g, t, s):
    s["m"] = 0.8 * s["m"] + 0.2 * g
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    return p - 0.1 * (s["m"] / (1 - 0.8**t)) / (np.sqrt(s["v"] / (1 - 0.95**t)) + 1e-8)


def adamw(p, g, t, s):
    return adam(p * (1 - 0.1 * 0.3), g, t, s)


def adamax(p, g, t, s):
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["u"] = np.maximum(0.99 * s["u"], np.abs(g) + 1e-8)
    return p - 0.1 / (1 - 0.9**t) * s["m"] / s["u"]


def rmsprop(p, g, t, s):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    return p - 0.1 * g / (np.sqrt(s["v"]) + 1e-8)


def adagrad(p, g, t, s):
    s["sum"] = s["sum"] + g * g
    return p - 0.1 / (1 + (t - 1) * 0.2) * g / (np.sqrt(s["sum"]) + 1e-10)


def adadelta(p, g, t, s):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    step = np.sqrt(s["d"] + 1e-6) / np.sqrt(s["v"] + 1e-6) * g
    s["d"] = 0.9 * s["d"] + 0.1 * step * step
    return p - 0.5 * step


@pytest.mark.parametrize(("make", "update"), [
    (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), sgd),
    (lambda p: optim.Adam(p, lr=0.1, betas=(0.8, 0.95)), adam),
    (lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.95), weight_decay=0.3), adamw),
    (lambda p: optim.Adamax(p, lr=0.1, betas=(0.9, 0.99)), adamax),
    (lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9), rmsprop),
    (lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.2), adagrad),
    (lambda p: optim.Adadelta(p, lr=0.5), adadelta),
], ids=lambda f: f.__name__.strip("<>"))  # fmt: skip
def test_steps_follow_the_formula(make, update):
    np.testing.assert_allclose(*by_formula(make, update), rtol=1e-12)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_floor_of_the_valley(search):
    p = dlgrad.tensor([-1.2, 1.0], dtype=dlgrad.float64).requires_grad_()
    lr = 1.0 if search else 0.5
    optimizer = optim.LBFGS([p], lr=lr, max_iter=60, history_size=5, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        return loss

    first = [optimizer.step(closure).item() for _ in range(2)][0]
    assert first == pytest.approx(24.2)  # the loss before the step
    np.testing.assert_allclose(p.tolist(), [1, 1], rtol=1e-4)
    state = optimizer.state_dict()["state"][0]
    assert state["n_iter"] <= state["func_evals"] <= 2 * 60 * 1.25 + 2


@pytest.mark.parametrize(
    "name", "SGD Momentum Adam AdamW Adagrad RMSprop Adadelta Adamax NAdam RAdam ASGD Rprop".split()
)
def test_a_step_at_once_is_the_step_one_by_one(name, monkeypatch):
    """What the library gathers for itself (zig/python/optimize.zig) it gathers as Python does, and leaves alone what it can't."""
    from dlgrad.optim._engine import PerParameter

    def train(one_by_one):
        if one_by_one:
            monkeypatch.setattr(PerParameter, "_step_at_once", lambda self, group: False)
        dlgrad.manual_seed(0)
        params = [
            dlgrad.randn(3, 4),
            dlgrad.randn(5),
            dlgrad.randn(2, 2).double(),
            dlgrad.randn(4, 3).t(),
            dlgrad.randn(1),
        ]
        params = [dlgrad.nn.Parameter(p) for p in params]
        make = dlgrad.optim.SGD if name == "Momentum" else getattr(dlgrad.optim, name)
        options = {"momentum": 0.9} if name == "Momentum" else {}
        optimizer = make([{"params": params[:2]}, {"params": params[2:]}], lr=0.01, **options)
        for k in range(5):
            for i, p in enumerate(params):
                p.grad = None if i == k else dlgrad.full_like(p, 0.1 * (k + 1)) * p.detach()
            if k == 3:
                optimizer.load_state_dict(optimizer.state_dict())
            optimizer.step()
        return [p.tolist() for p in params], [p._version for p in params]

    assert train(False) == train(True)
