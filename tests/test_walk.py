"""The walk back in the library (zig/python/walk.zig) gives what the Python walk (autograd/engine.py) gives."""

import gc
import threading

import pytest

import dlgrad
from dlgrad.autograd import engine


@pytest.fixture(params=["python"] if engine.walk is None else ["native", "python"])
def walk(request, monkeypatch):
    """Both walks, where there are two."""
    if request.param == "python":
        monkeypatch.setattr(engine, "walk", None)
        monkeypatch.setattr(engine, "on_the_way", None)


def leaves(*shapes):
    dlgrad.manual_seed(3)
    return [dlgrad.randn(*s).requires_grad_() for s in shapes]


def test_many_paths_to_one_node(walk):
    (x,) = leaves((5,))
    y = x * 2
    z = sum([y * k for k in range(20)], y.sin())
    a, b = z[:2], z[2:]
    p, q = dlgrad.cat([a, b, a]).split([3, 4])
    v, i = (p.sum() * z).sort()
    (v.sum() + q.prod() + v[i].sum()).backward()
    got = x.grad
    x.grad = None
    (again,) = dlgrad.autograd.grad(_end(_start(x)), x)
    assert dlgrad.allclose(got, again)


def _start(x):
    y = x * 2
    return sum([y * k for k in range(20)], y.sin())


def _end(z):
    p, q = dlgrad.cat([z[:2], z[2:], z[:2]]).split([3, 4])
    v, i = (p.sum() * z).sort()
    return v.sum() + q.prod() + v[i].sum()


def test_large_gradients_are_summed_where_nobody_holds_them(walk):
    (x,) = leaves((200, 200))
    g = dlgrad.ones(200, 200)
    y = x * 1
    (y + y + y).backward(g)
    assert g.sum() == 40000 and x.grad.unique().tolist() == [3]
    x.grad = None
    kept = []
    y = x * 1
    y.register_hook(lambda g: kept.append(g))
    z = y + 1
    (z * 2 + z * 3).backward(g)
    assert kept[0].unique().tolist() == [5] and g.unique().tolist() == [1] and x.grad is not kept[0]
    x.grad.zero_()
    assert kept[0].unique().tolist() == [5]


def test_gradients_are_not_shared_between_leaves(walk):
    x, y = leaves((3,), (3,))
    g = dlgrad.ones(3)
    (x + y).backward(g)
    x.grad += 1
    assert y.grad.tolist() == g.tolist() == [1, 1, 1]
    (x + y).backward(g)
    assert x.grad.tolist() == [3, 3, 3] and y.grad.tolist() == [2, 2, 2]


def test_hooks_retain_and_freed(walk):
    (x,) = leaves((3,))
    seen = []
    y = x.exp()
    z = y * y
    y.retain_grad()
    z.register_hook(lambda g: (seen.append("z"), g * 2)[1])
    z.grad_fn.register_prehook(lambda gs: seen.append("pre"))
    z.grad_fn.register_hook(lambda gi, go: seen.append("post"))
    x.register_hook(lambda g: seen.append("x"))
    x.register_post_accumulate_grad_hook(lambda t: seen.append("done"))
    z.sum().backward(retain_graph=True)
    assert seen == ["pre", "z", "post", "x", "done"]
    assert dlgrad.allclose(y.grad, 4 * y) and dlgrad.allclose(x.grad, 4 * y * y)
    z.sum().backward()
    assert dlgrad.allclose(x.grad, 8 * y * y)
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()
    w = x.sin()
    w.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        w.sum().backward()
    w = x * 2
    w2 = w * w
    w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w2.sum().backward()
    assert dlgrad.is_grad_enabled()


class Odd(dlgrad.autograd.Function):
    @staticmethod
    def forward(ctx, x, how):
        ctx.how = how
        return x * 1, x * 2

    @staticmethod
    def backward(ctx, a, b):
        if ctx.how == "raise":
            raise KeyError("mine")
        if ctx.how == "nested":
            t = dlgrad.ones(2, requires_grad=True)
            with dlgrad.enable_grad():
                (t * 3).sum().backward()
            assert t.grad.tolist() == [3, 3]
        return a + 2 * b, None


def test_functions_errors_and_nested_walks(walk):
    (x,) = leaves((2,))
    for how in ("", "nested"):
        x.grad = None
        a, b = Odd.apply(x, how)
        (a + b).sum().backward()
        assert x.grad.tolist() == [3, 3]
    for _ in range(3):
        a, b = Odd.apply(x, "raise")
        with pytest.raises(KeyError, match="mine"):
            (a * b).sum().backward()
        assert dlgrad.is_grad_enabled()
    with dlgrad.no_grad():
        assert not dlgrad.is_grad_enabled()


class Counted(dlgrad.autograd.Function):
    """x times 2, which says when its gradient is asked for."""

    calls: list = []

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        Counted.calls.append(tuple(g.shape))
        return g * 2


def test_grad_goes_only_where_its_inputs_are(walk):
    x, w, unused = leaves((2, 3), (3,), (4,))
    Counted.calls.clear()
    seen = []
    x.register_hook(lambda g: seen.append("x") or g * 10)
    w.register_hook(lambda g: seen.append("w"))
    y = (Counted.apply(x).exp() * Counted.apply(w)).sum() + unused.sum() * 0
    (gx,) = dlgrad.autograd.grad(y, (x,), retain_graph=True)
    assert Counted.calls == [(2, 3)] and seen == ["x"] and x.grad is None and w.grad is None
    assert dlgrad.allclose(gx, 10 * 4 * (2 * x).exp() * w)
    gw, again, none = dlgrad.autograd.grad(
        y, (w, w, leaves((1,))[0]), retain_graph=True, allow_unused=True
    )
    assert again is gw and none is None and Counted.calls == [(2, 3), (3,)] and seen == ["x", "w"]
    with pytest.raises(RuntimeError, match="not have been used"):
        dlgrad.autograd.grad(y, leaves((1,)), retain_graph=True)
    dlgrad.autograd.grad(y, x)
    with pytest.raises(RuntimeError, match="second time"):
        dlgrad.autograd.grad(y, x)
    x.requires_grad_(False)


def test_recorded_walks(walk):
    """Gradients of gradients, by grad and by backward, of a sum of which one part is its own result's."""
    x, w = leaves((3,), (3,))
    y = (x.exp() * w + x * x).sum()
    gx, gw = dlgrad.autograd.grad(y, (x, w), create_graph=True)
    assert gx.requires_grad and dlgrad.allclose(gx, x.exp() * w + 2 * x)
    (second,) = dlgrad.autograd.grad(gx.sum(), x, retain_graph=True)
    assert dlgrad.allclose(second, x.exp() * w + 2)
    (gx * gw).sum().backward()
    assert dlgrad.allclose(x.grad, ((x.exp() * w + 2 * x) + (x.exp() * w + 2)) * x.exp())
    assert dlgrad.allclose(w.grad, x.exp() * x.exp())
    x.grad = None
    y = (x.tanh() ** 2).sum()
    y.backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    (second,) = dlgrad.autograd.grad(first.sum(), x)
    t = x.detach().tanh()
    assert dlgrad.allclose(second, 2 * (1 - t * t) * (1 - 3 * t * t), atol=1e-6)


def test_a_long_chain(walk):
    (x,) = leaves((1,))
    y = x
    for _ in range(20000):
        y = y + 0.0
    y.backward()
    assert x.grad.tolist() == [1]
    del y


def test_wide(walk):
    x = [dlgrad.tensor(float(k), requires_grad=True) for k in range(500)]
    y = [t * t for t in x]
    z = dlgrad.stack(y)
    (z.sum() + sum(y)).backward()
    assert [t.grad.item() for t in x] == [4.0 * k for k in range(500)]


def test_nothing_is_leaked(walk):
    model = dlgrad.nn.Sequential(dlgrad.nn.Linear(4, 8), dlgrad.nn.Tanh(), dlgrad.nn.Linear(8, 3))
    x = dlgrad.randn(5, 4)

    def step():
        a, b, c = model(x).unbind(1)
        (a * b + c.exp() + c).sum().backward()
        model.zero_grad()

    for _ in range(10):
        step()
    gc.collect()
    live = dlgrad.memory_stats()["live_bytes"]
    for _ in range(300):
        step()
    gc.collect()
    assert dlgrad.memory_stats()["live_bytes"] == live


def test_threads(walk):
    wrong = []

    def work(k):
        x = dlgrad.full((3,), float(k), requires_grad=True)
        for _ in range(100):
            x.grad = None
            ((x * x).sum() + x.prod()).backward()
            if x.grad.tolist() != [2.0 * k + k * k] * 3:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("rows", [1, 33, 512, 513])
@pytest.mark.parametrize("dtype", [dlgrad.float32, dlgrad.float64])
def test_products_are_added_to_gradients_with_the_same_bits(walk, rows, dtype):
    """Weight gradients go straight into a .grad that is there; where a hook wants to see them, they don't."""
    a, w, b = (
        t.detach().to(dtype).requires_grad_() for t in leaves((rows, 150), (170, 150), (170, 130))
    )
    bias = dlgrad.zeros(170, dtype=dtype).requires_grad_()

    def accumulate(times):
        for t in (w, b):
            t.grad = None
        for k in range(times):
            y = dlgrad.nn.functional.linear(a.detach() * (k + 1), w, bias)
            (y.sin() @ b).cos().sum().backward()
        return w.grad, b.grad

    direct = accumulate(3)
    same = direct[0]
    same_memory = same.data_ptr()
    accumulate_more = same.clone()
    y = dlgrad.nn.functional.linear(a.detach(), w, bias)
    y.sum().backward()
    assert w.grad is same and same.data_ptr() == same_memory and not (same == accumulate_more).all()
    direct = accumulate(3)
    seen = []
    handles = [t.register_hook(lambda g: seen.append(g.shape)) for t in (w, b)]
    hooked = accumulate(3)
    assert len(seen) == 6
    for x, y in zip(direct, hooked):
        assert (x == y).all()
    for h in handles:
        h.remove()


def test_a_gradient_that_is_read_while_it_grows(walk):
    (w,) = leaves((200, 200))
    w.grad = dlgrad.randn(200, 200)
    want = w.grad + dlgrad.ones(200, 200) @ w.grad
    (dlgrad.nn.functional.linear(w.grad.detach(), w)).sum().backward()
    assert dlgrad.allclose(w.grad, want, rtol=1e-4, atol=1e-4)


def test_gradients_of_other_layouts_are_added_too(walk):
    w, x = leaves((150, 170), (20, 150))
    w.grad = dlgrad.zeros(170, 150).t()
    (x.detach() @ w).sum().backward()
    one = w.grad.clone()
    (x.detach() @ w).sum().backward()
    assert w.grad.stride() == (1, 150) and dlgrad.allclose(w.grad, 2 * one)
