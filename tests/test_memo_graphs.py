"""Memos of functions of several steps whose results are recorded (zig/python/memo_graph.zig): the graph that is made again
without the Python function is the one that the function made."""

import gc

import pytest

import dlgrad
from dlgrad.autograd.graph import Node, Output
from dlgrad.autograd.learned import is_constant

F = dlgrad.nn.functional
TIMES = 5  # a key is learned at its second sight

pytestmark = pytest.mark.native

FUNCTIONS = {
    "cdist": (dlgrad.cdist, lambda x: (x, x[1:].clone())),
    "clamp": (dlgrad.clamp, lambda x: (x, x.detach() - 1, x.detach() * 0.5)),
    "normalize": (F.normalize, lambda x: (x,)),
    "kron": (dlgrad.kron, lambda x: (x, x * 2)),
    "tensordot": (dlgrad.tensordot, lambda x: (x, x * 2, [[0], [0]])),
    "slogdet": (dlgrad.linalg.slogdet, lambda x: (x.t() @ x + dlgrad.eye(3),)),
    "pad": (F.pad, lambda x: (x[None], (1, 1), "reflect")),
    "unfold": (F.unfold, lambda x: (x.view(1, 1, 4, 3), 2)),
    "interpolate": (F.interpolate, lambda x: (x.view(1, 1, 4, 3), 7, None, "bilinear")),
    "repeat": (dlgrad.Tensor.repeat, lambda x: (x, 2, 2)),
    "split": (dlgrad.split, lambda x: (x, 2)),
    "unbind": (dlgrad.unbind, lambda x: (x,)),
    "split of a view": (dlgrad.split, lambda x: (x.t(), 2)),
    "max": (dlgrad.max, lambda x: (x, 1)),
    "sort": (dlgrad.sort, lambda x: (x,)),
    "kthvalue": (dlgrad.kthvalue, lambda x: (x, 2)),
    "var_mean": (dlgrad.var_mean, lambda x: (x, 1)),
    "meshgrid": (dlgrad.meshgrid, lambda x: (x[0] * 1, x[:, 0] * 1)),
    "triplet": (F.triplet_margin_loss, lambda x: (x, x * 2, x + 1)),
    "response_norm": (F.local_response_norm, lambda x: (x[None], 2)),
}  # fmt: skip


def numbers(seed, *shape):
    return dlgrad.randn(
        *shape, dtype=dlgrad.float64, generator=dlgrad.Generator().manual_seed(seed)
    )


def tensors(result):
    return result if isinstance(result, tuple) else (result,)


def names(t):
    """The nodes behind `t` by name, with the numbers of results that lead to them."""
    found, edges = [], [t.grad_fn]
    while edges:
        e = edges.pop(0)
        if isinstance(e, (Node, Output)):
            found.append((e.node.name(), e.number, e.node.outputs, len(e.node.saved)))
            edges.extend(e.node.edges)
        else:
            found.append(e if e is None else "leaf")
    return found


def derivatives(f, arguments, x):
    outs = [t for t in tensors(f(*arguments(x)))]
    recorded = [t for t in outs if t.requires_grad]
    loss = sum([(t * t * t).sum() for t in recorded])
    (first,) = dlgrad.autograd.grad(loss, x, create_graph=True)
    (second,) = dlgrad.autograd.grad(first.square().sum(), x)
    look = [(t.tolist(), t.requires_grad, t.is_leaf, t._base is None) for t in outs]
    return look, [names(t) for t in outs], first.tolist(), second.tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_graph_and_both_derivatives(name):
    f, arguments = FUNCTIONS[name]
    for seed in range(TIMES):
        x = numbers(seed, 4, 3).requires_grad_()
        assert derivatives(f, arguments, x) == derivatives(f.__wrapped__, arguments, x)
        with dlgrad.no_grad():
            assert not any([t.requires_grad for t in tensors(f(*arguments(x)))])
        y = numbers(seed, 4, 3)
        want = [t.tolist() for t in tensors(f.__wrapped__(*arguments(y)))]
        assert [t.tolist() for t in tensors(f(*arguments(y)))] == want
        assert not any([t.requires_grad for t in tensors(f(*arguments(y)))])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_python_function_is_asked_only_at_first(name):
    f, arguments = FUNCTIONS[name]
    asked = []
    memo = type(f)(lambda *args: (asked.append(1), f.__wrapped__(*args))[1])
    for seed in range(TIMES):
        memo(*arguments(numbers(seed, 4, 3).requires_grad_()))
    assert 0 < len(asked) < TIMES  # twice, unless another memo has seen these arguments


def test_which_inputs_want_gradients():
    a, b = numbers(0, 4, 3), numbers(1, 4, 3)
    for wanted in [(True, True), (True, False), (False, True)] * TIMES:
        x, y = [t.clone().requires_grad_(w) for t, w in zip((a, b), wanted)]
        F.cosine_similarity(x, y).sum().backward()
        p, q = [t.clone().requires_grad_(w) for t, w in zip((a, b), wanted)]
        F.cosine_similarity.__wrapped__(p, q).sum().backward()
        for got, want in ((x, p), (y, q)):
            assert (got.grad is None) == (want.grad is None)
            assert got.grad is None or got.grad.tolist() == want.grad.tolist()


def test_a_part_of_several_results():
    for seed in range(TIMES):
        x = numbers(seed, 6).requires_grad_()
        first, second, third = dlgrad.split(x, 2)
        (second.sum() + (third * third).sum()).backward()
        assert x.grad.tolist() == [0, 0, 1, 1, *(2 * x[4:]).tolist()]
        with pytest.raises(RuntimeError, match="inplace|in-place"):
            first.add_(1)  # one of several views


def test_writes_to_what_is_saved_are_seen():
    for seed in range(TIMES):
        x = numbers(seed, 4, 3).requires_grad_()
        y = x * 1
        out = dlgrad.kron(y, y)
        y.zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()


def test_hooks_and_anomalies_see_every_node():
    for seed in range(TIMES):
        packed = []
        x = numbers(seed, 4, 3).requires_grad_()
        with dlgrad.autograd.graph.saved_tensors_hooks(
            lambda t: (packed.append(t), t)[1], lambda t: t
        ):
            out = F.normalize(x)
        assert packed
        with dlgrad.autograd.set_detect_anomaly(True):
            F.normalize(x).sum().backward()
        seen = []
        out.grad_fn.register_hook(lambda grads, _: seen.append(grads))
        out.sum().backward()
        assert len(seen) == 1


def test_views_of_another_kind():
    for seed in range(TIMES):
        base = numbers(seed, 4, 3).requires_grad_()
        with dlgrad.no_grad():
            v = base.view(4, 3)
        parts = dlgrad.split(v.detach().requires_grad_(), 2)
        assert parts[0].requires_grad
        y = base * 1
        for part in dlgrad.split(y.view(4, 3), 2):
            assert part._view_mode == "multi" and part._base is y


def test_a_view_that_begins_before_the_argument():
    memo = type(dlgrad.split)(lambda x: (x * 2, x.detach().as_strided((2,), (1,), 0)))
    for seed in range(TIMES):
        base = numbers(seed, 4).requires_grad_()
        doubled, first = memo(base[2:])
        assert doubled.tolist() == (2 * base[2:]).tolist() and first.tolist() == base[:2].tolist()
        doubled.sum().backward()
        assert base.grad.tolist() == [0, 0, 2, 2]


def test_rules_that_hold_tensors_are_not_kept():
    x = dlgrad.ones(3)
    assert is_constant(lambda g: g + 1) and not is_constant(lambda g: g * x)
    assert not is_constant(x.mul) and not is_constant((1, (2, x)))

    def itself(n):
        return itself(n - 1) if n else 0

    def with_tensor(n):
        return with_tensor(n - 1) if n else x

    assert is_constant(itself) and not is_constant(with_tensor)


def test_nothing_is_kept_alive():
    def rounds():
        for seed in range(TIMES):
            for f, arguments in FUNCTIONS.values():
                x = numbers(seed, 4, 3).requires_grad_()
                outs = tensors(f(*arguments(x)))
                sum([t.sum() for t in outs if t.requires_grad]).backward()

    def live():
        gc.collect()
        return dlgrad.storage.memory_stats()["live_bytes"]

    rounds()
    before = live()
    rounds()
    assert live() == before


def test_rules_are_asked_only_at_first():
    from dlgrad.autograd.learned import remembering

    asked = []
    rule = remembering(lambda g, x: (asked.append(1), (g * x.exp(), None))[1])
    for seed in range(TIMES):
        g, x = numbers(seed, 4, 3), numbers(seed + 1, 4, 3)
        first, second = rule(g, x)
        assert first.tolist() == (g * x.exp()).tolist() and second is None
    assert 0 < len(asked) < TIMES  # twice, unless another memo has seen these arguments
    # one that looks at what wants a gradient, and whether a graph is wanted
    rule = remembering(lambda g, x, y: tuple([g * 2 if t.requires_grad else None for t in (x, y)]))
    for seed in range(4 * TIMES):
        x = numbers(0, 3).requires_grad_(bool(seed & 1))
        y = numbers(1, 3).requires_grad_(bool(seed & 2))
        for mode in (dlgrad.no_grad(), dlgrad.enable_grad()):
            with mode:
                assert [t is not None for t in rule(y.detach(), x, y)] == [
                    x.requires_grad,
                    y.requires_grad,
                ]


def test_one_rule_for_all_inputs_in_the_walk():
    class Both(dlgrad.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, None if b is a else g * a

    for seed in range(TIMES):
        a, b = numbers(seed, 3).requires_grad_(), numbers(seed + 1, 3).requires_grad_()
        Both.apply(a, b).sum().backward()
        assert a.grad.tolist() == b.tolist() and b.grad.tolist() == a.tolist()
        out = F.layer_norm(a, (3,))
        out.sum().backward(retain_graph=True)
        out.sum().backward()
        with pytest.raises(RuntimeError, match="second time"):
            out.sum().backward()


def test_batch_norm_keeps_its_statistics():
    f = F.batch_norm
    for seed in range(TIMES):
        states = []
        for g in (f.__wrapped__, f):
            x, w = (
                numbers(seed, 4, 3).requires_grad_(),
                dlgrad.ones(3, dtype=dlgrad.float64, requires_grad=True),
            )
            mean, var = dlgrad.zeros(3, dtype=dlgrad.float64), dlgrad.ones(3, dtype=dlgrad.float64)
            y = g(x, mean, var, w, w * 0, True, 0.5)
            version = mean._version > 0
            y.square().sum().backward()
            states.append((mean.tolist(), var.tolist(), version, x.grad.tolist(), w.grad.tolist()))
            shared = dlgrad.zeros(3, dtype=dlgrad.float64)
            g(x, shared, shared, w, None, True)  # both in the same memory
            states[-1] += (shared.tolist(),)
        assert states[0] == states[1]


def test_round_keeps_nothing():
    for decimals in (0, 2):
        for _ in range(4):
            x = dlgrad.ones(3, requires_grad=True)
            y = x * 1.5
            z = dlgrad.round(y, decimals=decimals)
            with dlgrad.no_grad():
                y.mul_(2)
            z.sum().backward()
            assert x.grad.tolist() == [0, 0, 0]


WRITES = {
    "mul number": (dlgrad.Tensor.mul_, lambda y: (2.5,)),
    "mul": (dlgrad.Tensor.mul_, lambda y: (y,)),
    "mul column": (dlgrad.Tensor.mul_, lambda y: (y[:, :1],)),
    "add": (dlgrad.Tensor.add_, lambda y: (y,)),
    "exp": (dlgrad.Tensor.exp_, lambda y: ()),
    "relu": (dlgrad.nn.functional.relu_, lambda y: ()),
    "zero": (dlgrad.Tensor.zero_, lambda y: ()),
    "copy": (dlgrad.Tensor.copy_, lambda y: (y,)),
    "copy row": (dlgrad.Tensor.copy_, lambda y: (y[0],)),
    "fill": (dlgrad.Tensor.fill_, lambda y: (0.5,)),
    "ge": (dlgrad.Tensor.ge_, lambda y: (0.5,)),
    "addcmul": (dlgrad.Tensor.addcmul_, lambda y: (y, y)),
    "masked_fill": (dlgrad.Tensor.masked_fill_, lambda y: (y > 0, 0.5)),
    "index_add": (dlgrad.Tensor.index_add_, lambda y: (0, dlgrad.tensor([1, 1]), y[:2])),
    "cumsum": (dlgrad.Tensor.cumsum_, lambda y: (1,)),
    "triu": (dlgrad.Tensor.triu_, lambda y: ()),
    "row": (dlgrad.Tensor.__setitem__, lambda y: (1, y[0])),
    "column": (dlgrad.Tensor.__setitem__, lambda y: ((slice(None), 1), 0.5)),
    "all": (dlgrad.Tensor.__setitem__, lambda y: (..., y)),
    "rows by index": (dlgrad.Tensor.__setitem__, lambda y: (dlgrad.tensor([2, 0]), y[:2])),
    "mask": (dlgrad.Tensor.__setitem__, lambda y: (y > 0, 0.5)),
    "mask and 0-d": (dlgrad.Tensor.__setitem__, lambda y: (y > 0, y[0, 0].clone())),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("wants", ["target", "both", "other", "neither"])
def test_writes_that_are_recorded(name, wants):
    memo_, arguments = WRITES[name]
    memo_.forget()
    for seed in range(TIMES):
        seen = []
        for f in (memo_.__wrapped__, memo_):
            x = numbers(seed, 3, 4).requires_grad_(wants in ("target", "both"))
            y = numbers(seed + 9, 3, 4).requires_grad_(wants in ("other", "both"))
            t = x * 1.5
            inner = t.square()  # its rule needs what is written over
            view, version = t[1:], t._version
            result = f(t, *arguments(y))
            assert result is (None if f.__name__ == "setitem" else t)
            facts = [t.tolist(), t._version - version, t.requires_grad, view.tolist(), view.requires_grad]
            facts += [None if u.grad_fn is None else u.grad_fn.name() for u in (t, view)]
            if t.requires_grad:
                w = numbers(5, 3, 4).requires_grad_()
                loss = ((t * w).sum() + view.square().sum()).square()
                leaves = [u for u in (x, y, w) if u.requires_grad]
                first = dlgrad.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
                first = [g for g in first if g is not None]
                facts += [g.tolist() for g in first]
                second = sum((g * g).sum() for g in first)
                facts += [
                    None if g is None else g.tolist()
                    for g in dlgrad.autograd.grad(second, leaves, allow_unused=True)
                ]
            if inner.requires_grad:
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    inner.sum().backward()
            seen.append(facts)
        assert seen[0] == seen[1]
    assert memo_.known() > 0


@pytest.mark.parametrize("name", WRITES)
def test_writes_that_are_recorded_otherwise(name):
    """Targets of the same layout and wish as one that was learned: leaves, views, such that keep their gradient."""
    f, arguments = WRITES[name]
    y = numbers(9, 3, 4).requires_grad_(name == "copy")
    for _ in range(TIMES):
        f(numbers(0, 3, 4).requires_grad_() * 1.5, *arguments(y))
    leaf = numbers(0, 3, 4).requires_grad_()
    before = leaf.tolist()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        f(leaf, *arguments(y))
    assert leaf.tolist() == before and leaf._version == 0
    with dlgrad.no_grad():
        f(leaf, *arguments(y))
    assert leaf._version > 0 and leaf.is_leaf and leaf.tolist() != before

    gradients = []
    for g in (f.__wrapped__, f):
        x = numbers(0, 6, 4).requires_grad_()
        base = x * 1.5
        g(base[:3], *arguments(y))  # a view: its base gets the history
        t = x[3:] * 2
        t.retain_grad()
        kept = []
        t.register_hook(lambda grad, kept=kept: kept.append(grad.tolist()))
        g(t, *arguments(y))
        (base.square().sum() + t.square().sum()).backward()
        gradients.append((x.grad.tolist(), t.grad.tolist(), kept, base.tolist()))
        with dlgrad.no_grad():
            t = x[3:] * 2
            g(t, *arguments(y))
            assert not t.requires_grad
        t = x[3:] * 2
        with dlgrad.inference_mode():
            other = numbers(0, 3, 4)
            g(other, *arguments(y))
        assert not other.requires_grad
    assert gradients[0] == gradients[1]


def test_a_target_that_lies_in_the_memory_of_what_is_read():
    for seed in range(TIMES):
        gradients = []
        for f in (dlgrad.Tensor.mul_.__wrapped__, dlgrad.Tensor.mul_):
            x = numbers(seed, 6).requires_grad_()
            a, b, c = x * 2, x * 3, x * 4
            f(a, numbers(seed, 6))
            f(b, b)
            f(c, b.detach())
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                b.sum().backward()
            (a + c).sum().backward()
            gradients.append((x.grad.tolist(), a.tolist(), b.tolist(), c.tolist()))
        assert gradients[0] == gradients[1]


def test_a_chain_of_writes_goes_back():
    for _ in range(TIMES):
        x = dlgrad.ones(3, requires_grad=True)
        t = x.clone()
        for _ in range(6):
            t.mul_(2.0).add_(x)
        t.sum().backward()
        assert x.grad.tolist() == [64.0 + 63.0] * 3
