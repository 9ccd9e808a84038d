"""Automatic differentiation: the graph, its errors, in-place writes, and what is built on it."""

import gc
import math
import threading
import warnings
import weakref

import pytest

import dlgrad
from dlgrad import autograd
from dlgrad.autograd import Function, GradcheckError, functional, gradcheck, gradgradcheck
from dlgrad.autograd.function import once_differentiable
from dlgrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential

F64 = dlgrad.float64


def leaf(*values, dtype=F64):
    """A tensor of these values that requires a gradient."""
    return dlgrad.tensor(list(values), dtype=dtype, requires_grad=True)


def noise(*shape, seed=0):
    """A float64 leaf of normal numbers."""
    g = dlgrad.Generator()
    g.manual_seed(seed)
    return dlgrad.randn(*shape, generator=g, dtype=F64).requires_grad_()


def close(a, b, tol=1e-9):
    a = a.detach().reshape(-1).tolist() if isinstance(a, dlgrad.Tensor) else list(a)
    b = b.detach().reshape(-1).tolist() if isinstance(b, dlgrad.Tensor) else list(b)
    return len(a) == len(b) and all(
        abs(x - y) <= tol * max(1, abs(y)) or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b)
    )


# ---------------------------------------------------------------------- backward and grad


def test_backward_accumulates():
    x = leaf(1, 2, 3)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert x.grad.tolist() == [4, 8, 12]
    x.grad = None
    (x * 3).backward(dlgrad.tensor([1.0, 0.0, 2.0], dtype=F64))
    assert x.grad.tolist() == [3, 0, 6]


def test_gradients_of_two_leaves_are_not_shared():
    a, b = leaf(1, 2), leaf(3, 4)
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert b.grad.tolist() == [1, 1]
    assert a.grad.tolist() == [5, 5]
    g = dlgrad.ones(2, dtype=F64)
    c = leaf(1, 2)
    c.view_as(c).backward(g)
    c.grad.mul_(7)
    assert g.tolist() == [1, 1]


def test_a_tensor_used_often():
    x = leaf(2)
    y = x * x
    z = y * y + y + x * y
    z.backward()
    assert close(x.grad, [4 * 8 + 4 + 3 * 4])


FUNCTIONS = {
    "polynomial": lambda x: (x**3 - 2 * x).sum(),
    "tanh, exp": lambda x: (x.tanh() * (x * 0.3).exp()).sum(),
    "matmul": lambda x: (x.reshape(2, 3) @ x.reshape(3, 2)).sin().sum(),
    "softmax": lambda x: (x.softmax(0) * x).sum(),
    "views": lambda x: (x.reshape(2, 3).t()[1] * x[2:4]).sum() + x.flip(0)[::2].prod(),
    "broadcast": lambda x: (x[:, None] / (x[None, :] ** 2 + 1)).sum(),
    "cat": lambda x: (dlgrad.cat([x, x * 2]) * dlgrad.stack([x, x.cos()]).reshape(-1)).sum(),
    "unbind": lambda x: (lambda a, b: (a * b.exp()).sum())(*x.reshape(2, 3).unbind(0)),
    "split": lambda x: (lambda a, b: (a * b.exp()).sum())(*x.split(3)),
    "logsumexp": lambda x: x.logsumexp(0) * x.norm(),
    "index": lambda x: (x[dlgrad.tensor([0, 0, 5])] ** 2).sum(),
    "where": lambda x: dlgrad.where(x > 0, x * x, x.exp()).sum(),
    "in place": lambda x: (lambda y: y.mul_(x.sin()).add_(x).sum())(x * 2),
    "a row written": lambda x: (lambda y: y.__setitem__(0, x[1] * x[2]) or (y * y).sum())(x * 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives(name):
    x = noise(6)
    assert gradcheck(FUNCTIONS[name], x)
    assert gradgradcheck(FUNCTIONS[name], x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_create_graph_changes_no_gradient(name):
    x = noise(6)
    plain = autograd.grad(FUNCTIONS[name](x), x)[0]
    recorded = autograd.grad(FUNCTIONS[name](x), x, create_graph=True)[0]
    assert not plain.requires_grad
    assert close(plain, recorded, 1e-12)


LAYERS = {
    "layer_norm": lambda x: dlgrad.nn.functional.layer_norm(x.reshape(2, 3), (3,)) * x.reshape(2, 3),
    "cross_entropy": lambda x: dlgrad.nn.functional.cross_entropy(x.reshape(2, 3), dlgrad.tensor([0, 2])),
    "batch_norm": lambda x: dlgrad.nn.functional.batch_norm(x.reshape(3, 2), None, None, training=True).sin(),
    "attention": lambda x: dlgrad.nn.functional.scaled_dot_product_attention(
        *[(x * k).reshape(1, 1, 3, 2) for k in (1, 2, 3)]
    ).sin(),
    "group_norm": lambda x: dlgrad.nn.functional.group_norm(x.reshape(1, 2, 3), 1).sin(),
    "rms_norm": lambda x: dlgrad.nn.functional.rms_norm(x.reshape(2, 3), (3,)).sin(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_operations_that_keep_several_results(name):
    x = noise(6)
    assert gradcheck(LAYERS[name], x)
    assert gradgradcheck(LAYERS[name], x)


def test_third_derivative():
    x = leaf(0.7)
    y = x.sin() * x**2
    for _ in range(3):
        (y,) = autograd.grad(y, x, create_graph=True) if y.ndim == 0 else autograd.grad(y.sum(), x, create_graph=True)
    a = 0.7
    assert close(y, [6 * math.cos(a) - 6 * a * math.sin(a) - a * a * math.cos(a)])


def test_gradient_penalty_reaches_the_weights():
    w, x = noise(3, seed=1), noise(3, seed=2)
    (g,) = autograd.grad((w * x).exp().sum(), x, create_graph=True)
    (g**2).sum().backward()
    expected = [
        2 * b * math.exp(b * a) ** 2 * b * a + 2 * b * math.exp(a * b) ** 2
        for b, a in zip(w.tolist(), x.tolist())
    ]
    assert close(w.grad, expected)


def test_retain_graph():
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()
    z = (x * x).sum()
    autograd.grad(z, x)
    with pytest.raises(RuntimeError, match="a second time"):
        autograd.grad(z, x)


def test_grad_leaves_dot_grad_alone():
    x, w = leaf(1, 2), leaf(3, 4)
    gx, gw = autograd.grad((x * w).sum(), (x, w))
    assert gx.tolist() == [3, 4]
    assert gw.tolist() == [1, 2]
    assert x.grad is None
    assert w.grad is None


def test_grad_of_intermediate():
    x = leaf(1, 2)
    y = x * 3
    z = (y * y).sum()
    gy, gx = autograd.grad(z, (y, x))
    assert gy.tolist() == [6, 12]
    assert gx.tolist() == [18, 36]
    assert autograd.grad(z := (x * 1), z, dlgrad.ones(2, dtype=F64))[0].tolist() == [1, 1]


def test_unused_inputs():
    x, other = leaf(1), leaf(2)
    y = (x * x).sum()
    with pytest.raises(RuntimeError, match="not have been used"):
        autograd.grad(y, (x, other), retain_graph=True)
    gx, none = autograd.grad(y, (x, other), retain_graph=True, allow_unused=True)
    assert none is None
    assert gx.tolist() == [2]
    _, zero = autograd.grad(y, (x, other), materialize_grads=True)
    assert zero.tolist() == [0]


def test_backward_inputs():
    x, w = leaf(1, 2), leaf(3, 4)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None
    assert w.grad.tolist() == [1, 2]


def test_batched_grads():
    x = leaf(1, 2)
    (g,) = autograd.grad(x**2, x, dlgrad.eye(2, dtype=F64), is_grads_batched=True)
    assert g.tolist() == [[2, 0], [0, 4]]


def test_errors_at_the_roots():
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="[Ss]hape"):
        (x * 2).backward(dlgrad.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        dlgrad.ones(1).backward()
    with pytest.raises(RuntimeError, match="require grad"):
        autograd.grad((x * 2).sum(), dlgrad.ones(2))
    with pytest.raises(TypeError):
        (x * 2).backward("no")
    with pytest.raises(RuntimeError, match="floating point"):
        dlgrad.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2).requires_grad_(False)


# ---------------------------------------------------------------------- hooks


def test_hooks_on_leaf_and_intermediate():
    x = leaf(1, 2)
    seen = []
    x.register_hook(lambda g: seen.append(("x", g.tolist())))
    y = x * 3
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward(retain_graph=True)
    assert seen == [("x", [30, 30])]
    assert x.grad.tolist() == [30, 30]
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_hook_sees_the_summed_gradient_once():
    x = leaf(2)
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 2 + y * 3).sum().backward()
    assert seen == [[5]]
    assert x.grad.tolist() == [5]


def test_post_accumulate_hook():
    x = leaf(1)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 4).sum().backward()
    assert seen == [[4]]


def test_node_hooks():
    x = leaf(1, 2)
    y = x * x
    seen = []
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 2,))
    y.grad_fn.register_hook(lambda gi, go: seen.append((len(gi), go[0].tolist())))
    y.sum().backward()
    assert seen == [(2, [2, 2])]
    assert x.grad.tolist() == [4, 8]


def test_retain_grad():
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 8]
    assert x.grad.tolist() == [8, 16]
    x.retain_grad()  # a leaf: does nothing
    with pytest.raises(RuntimeError):
        dlgrad.ones(1).retain_grad()


def test_retain_grad_is_of_the_value_after_a_write():
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    y.mul_(5)
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]
    assert x.grad.tolist() == [10, 10]


def test_retain_grad_through_views():
    x = leaf(1, 2)
    base = x * 1
    view = base[:1]
    base.retain_grad()
    view.retain_grad()
    base.mul_(2)
    view.mul_(3)
    (view * 5).sum().backward()
    assert base.grad.tolist() == [5, 0]
    assert view.grad.tolist() == [5]
    assert x.grad.tolist() == [30, 0]


def test_a_leaf_that_no_longer_wants_a_gradient():
    x, w = leaf(1, 2), leaf(3, 4)
    y = (x * w).sum()
    x.requires_grad_(False)
    y.backward()
    assert x.grad is None
    assert w.grad.tolist() == [1, 2]


# ---------------------------------------------------------------------- in-place writes


@pytest.mark.parametrize("write", [
    lambda t: t.add_(1), lambda t: t.zero_(), lambda t: t.__setitem__(0, 5.0), lambda t: t.view(-1).mul_(2),
    lambda t: t.detach().add_(1), lambda t: t.copy_(dlgrad.zeros(2)), lambda t: t.fill_(1), lambda t: t.exp_(),
])  # fmt: skip
def test_a_saved_value_was_overwritten(write):
    x = leaf(1, 2)
    y = x * 2
    z = (y * y).sum()
    with dlgrad.no_grad():
        write(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_a_saved_result_was_overwritten():
    x = leaf(1, 2)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = x.sin()  # keeps x, not its result
    y.add_(1)
    y.sum().backward()
    assert close(x.grad, [math.cos(1), math.cos(2)])


def test_what_backward_does_not_need_may_be_overwritten():
    x = leaf(1, 2)
    y = x * 2
    z = y + 1
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_writes_to_leaves():
    x = leaf(1, 2)
    for write in (lambda: x.add_(1), lambda: x[0].add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.view(-1).exp_()):
        with pytest.raises(RuntimeError, match="leaf"):
            write()
    assert x.tolist() == [1, 2]
    with dlgrad.no_grad():
        x.add_(1)
        x[0] = 7.0
    assert x.tolist() == [7, 3]
    assert x.is_leaf
    assert x.requires_grad


def test_a_write_makes_a_leaf_part_of_the_graph():
    w = leaf(2, 3)
    y = dlgrad.zeros(2, dtype=F64)
    y.add_(w).mul_(w)
    assert y.requires_grad
    y.sum().backward()
    assert w.grad.tolist() == [4, 6]


def test_what_a_write_keeps_of_a_tensor_without_history():
    w = leaf(2, 3)
    y = dlgrad.tensor([5.0, 7.0], dtype=F64)
    y.mul_(w).mul_(w)
    y.sum().backward()
    assert w.grad.tolist() == [20, 42]
    z = dlgrad.ones(2, 2, dtype=F64)
    z[1].mul_(w)
    z[1] /= w**2
    assert close(autograd.grad(z.sum(), w)[0], [-1 / 4, -1 / 9])


def test_writes_through_views_reach_the_base():
    w = leaf(2, 3)
    x = dlgrad.zeros(3, 2, dtype=F64)
    x[0] = w * w
    assert x.requires_grad
    v = x[1]
    x.mul_(w)
    x[1:].add_(w)
    (x.sum() + (v * v).sum()).backward()
    # x = [w^3, w, w]; v = w
    assert close(w.grad, [3 * 4 + 2 + 2 * 2, 3 * 9 + 2 + 2 * 3])


def test_view_taken_before_the_base_became_part_of_the_graph():
    w = leaf(2, 3)
    x = dlgrad.zeros(2, 2, dtype=F64)
    v = x[0]
    flat = x.view(-1)
    chain = x.t()[0][1:]  # x[1, 0]
    assert not v.requires_grad
    x.add_(w)
    assert v.requires_grad
    assert flat.requires_grad
    (v.sum() + (flat**2).sum() + (chain * 10).sum()).backward()
    assert close(w.grad, [1 + 2 * 2 * 2 + 10, 1 + 2 * 2 * 3])


def test_write_through_a_chain_of_views():
    w = leaf(3)
    x = noise(2, 3)
    base = x * 1
    inner = base.t()[1:][0]  # base[:, 1]
    other = base[0]
    inner.mul_(w)
    (base.sum() + (other * other).sum()).backward()
    a = x.tolist()
    assert close(w.grad, [a[0][1] + a[1][1] + 2 * (3 * a[0][1]) * a[0][1]])
    assert close(x.grad, [1 + 2 * a[0][0], 3 + 2 * 9 * a[0][1], 1 + 2 * a[0][2], 1, 3, 1])


def test_write_into_one_view_seen_in_another():
    x = leaf(1, 2, 3, 4)
    y = x * 1
    a, b = y[:3], y[1:]
    a.mul_(2)
    b.mul_(3)
    (a.sum() + b.sum()).backward()  # y = [2, 12, 18, 12]: a is [2, 12, 18], b [12, 18, 12]
    assert a.tolist() == [2, 12, 18]
    assert x.grad.tolist() == [2, 12, 12, 3]


def test_second_derivative_of_a_write_through_a_view():
    def f(x):
        y = x * 1
        y[1:3] = x[:2] ** 3
        y.view(2, 2)[0].mul_(x[2:])
        return (y**2).sum()

    assert gradcheck(f, noise(4))
    assert gradgradcheck(f, noise(4))


def test_no_grad_write_to_the_base_of_a_view():
    x = leaf(1, 2)
    y = x * 2
    v = y[0]
    with dlgrad.no_grad():
        y.mul_(100)
    (v * 3).backward()
    assert x.grad.tolist() == [6, 0]


def test_write_through_a_view_made_under_no_grad():
    x = leaf(1, 2)
    y = x * 2
    with dlgrad.no_grad():
        v = y[0]
    with pytest.raises(RuntimeError, match="no_grad"):
        v.mul_(2)


def test_write_through_one_of_several_views():
    y = leaf(1, 2) * 2
    a, _ = y.unbind(0)
    with pytest.raises(RuntimeError, match="several views"):
        a.mul_(2)


def test_write_to_an_expanded_tensor():
    with pytest.raises(RuntimeError, match="single memory location"):
        dlgrad.zeros(1).expand(3).add_(1)


def test_setitem_with_its_own_value():
    x = leaf(1, 2, 3)
    y = x * 1
    y[1:] = y[:-1]
    assert y.tolist() == [1, 1, 2]
    y.sum().backward()
    assert x.grad.tolist() == [2, 1, 0]


def test_versions():
    x = dlgrad.zeros(2)
    v = x[0]
    before = x._version
    v.add_(1)
    assert x._version == v._version == before + 1
    assert x.detach()._version == x._version


def test_detach():
    x = leaf(1, 2)
    y = (x * x).detach()
    assert not y.requires_grad
    assert y.is_leaf
    assert y.grad_fn is None
    (x * y).sum().backward()
    assert x.grad.tolist() == [1, 4]
    z = x * 2
    z.detach_()
    assert not z.requires_grad
    with pytest.raises(RuntimeError, match="detach"):
        (x * 2)[0].detach_()


# ---------------------------------------------------------------------- modes


def test_modes():
    x = leaf(1)
    with dlgrad.no_grad():
        assert not dlgrad.is_grad_enabled()
        assert not (x * 2).requires_grad
        with dlgrad.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with dlgrad.inference_mode():
        assert not (x * 2).requires_grad
        with dlgrad.inference_mode(False):
            pass
    with dlgrad.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert dlgrad.is_grad_enabled()
    dlgrad.set_grad_enabled(False)
    assert not dlgrad.is_grad_enabled()
    dlgrad.set_grad_enabled(True)
    assert dlgrad.is_grad_enabled()


def test_modes_after_an_error():
    with pytest.raises(KeyError), dlgrad.no_grad():
        raise KeyError
    assert dlgrad.is_grad_enabled()


@pytest.mark.parametrize("made", [
    lambda: dlgrad.no_grad, dlgrad.no_grad, dlgrad.inference_mode, lambda: dlgrad.inference_mode,
    lambda: dlgrad.set_grad_enabled(False),  # sets the mode until it is used as a decorator
])  # fmt: skip
def test_modes_as_decorators(made):
    @made()
    def f(x, again=True):
        assert not dlgrad.is_grad_enabled()
        return f(x, False) if again else x * 2

    assert dlgrad.is_grad_enabled()
    assert not f(leaf(1)).requires_grad
    assert dlgrad.is_grad_enabled()


def test_mode_on_a_generator():
    @dlgrad.no_grad()
    def steps():
        for _ in range(2):
            yield dlgrad.is_grad_enabled()

    seen = []
    for inside in steps():
        seen.append((inside, dlgrad.is_grad_enabled()))
    assert seen == [(False, True), (False, True)]


def test_modes_belong_to_the_thread():
    seen = []
    with dlgrad.no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1) * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_in_threads():
    results = [None] * 4

    def work(i):
        x = leaf(*range(1, 6))
        for _ in range(50):
            x.grad = None
            (x * x * i).sum().backward()
        results[i] = x.grad.tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [[2 * k * i for k in range(1, 6)] for i in range(4)]


# ---------------------------------------------------------------------- long graphs and memory


def test_long_chain():
    x = leaf(1)
    y = x
    for _ in range(200_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1]
    del y  # freed without recursion


def test_long_chain_is_freed_without_backward():
    x = leaf(1)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y = y.view(1)
    del y


def test_long_chain_of_functions_and_views():
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = Double.apply(y).view(1) * 0.5
    autograd.grad(y.sum(), x)
    del y


def test_nothing_keeps_the_graph_alive():
    gc.disable()
    try:
        x = leaf(1, 2)
        y = x.exp()
        z = (Exp.apply(y) * y.sigmoid()).sum()
        refs = [weakref.ref(y.grad_fn), weakref.ref(z.grad_fn), weakref.ref(y)]
        z.backward()
        del y, z
        assert [r() for r in refs] == [None] * 3
    finally:
        gc.enable()


def test_next_functions():
    x = leaf(1)
    y = (x * 2).sin()
    assert y.grad_fn.name() == "SinBackward0"
    mul = y.grad_fn.next_functions[0][0]
    assert mul.name() == "MulBackward0"
    assert mul.next_functions[0][0].variable is x


# ---------------------------------------------------------------------- Function


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Product(Function):
    @staticmethod
    def forward(a, b, scale=1):
        return a * b * scale, a + b

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, b, ctx.scale = inputs
        ctx.save_for_backward(a, b)

    @staticmethod
    def backward(ctx, g, h):
        a, b = ctx.saved_tensors
        ga = g * b * ctx.scale + h if ctx.needs_input_grad[0] else None
        return ga, g * a * ctx.scale + h, None


def function(forward, backward):
    """A Function of these."""
    return type("Made", (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def test_function_and_its_second_derivative():
    for f in (Exp.apply, lambda a: Product.apply(a, a * 2, 3)[0], lambda a: Product.apply(a, a.sin())):
        assert gradcheck(f, noise(3))
        assert gradgradcheck(f, noise(3))
    y = Exp.apply(leaf(1))
    assert y.grad_fn.name() == "ExpBackward"
    assert y.grad_fn.saved_tensors[0].tolist() == y.tolist()
    assert not Exp.apply(dlgrad.ones(1)).requires_grad
    assert dlgrad.is_grad_enabled()


def test_function_context():
    a, b = leaf(2), dlgrad.tensor([3.0], dtype=F64)
    p, s = Product.apply(a, b, scale=2)
    assert p.grad_fn.needs_input_grad == (True, False, False)
    assert p.grad_fn.scale == 2
    assert p.grad_fn is s.grad_fn
    p.backward()  # h is zeros
    assert a.grad.tolist() == [6]


def test_function_without_materialized_grads():
    seen = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 1, x * 2, "text"

    def backward(ctx, *gs):
        seen.append([None if g is None else g.tolist() for g in gs])
        return gs[1]

    x = leaf(1)
    _, y, text = function(forward, backward).apply(x)
    assert text == "text"
    y.sum().backward()
    assert seen == [[None, [1.0], None]]


def test_function_wrong_gradients():
    x = leaf(1, 2)
    double = lambda ctx, x: x * 2  # noqa: E731
    for backward, message in (
        (lambda ctx, g: (g, g), "incorrect number of gradients"),
        (lambda ctx, g: (), "incorrect number of gradients"),
        (lambda ctx, g: dlgrad.ones(5), "invalid gradient at index 0"),
        (lambda ctx, g: 3, "expected Tensor or None"),
    ):
        with pytest.raises(RuntimeError, match=message):
            function(double, backward).apply(x).sum().backward()
    function(double, lambda ctx, g: (g.reshape(1, 2), None)).apply(x).sum().backward()
    assert x.grad.tolist() == [1, 1]
    x.grad = None
    function(double, lambda ctx, g: g.float()).apply(x).sum().backward()
    assert x.grad.dtype is F64
    with pytest.raises(NotImplementedError):
        type("NoBackward", (Function,), {"forward": staticmethod(double)}).apply(x).sum().backward()
    with pytest.raises(TypeError, match="save_for_backward"):
        function(lambda ctx, x: ctx.save_for_backward(3), double).apply(x)
    with pytest.raises(TypeError, match="keyword"):
        Double.apply(x=x)
    with pytest.raises(RuntimeError, match="static"):
        Double()(x)


def test_function_frees_and_checks_what_it_saved():
    x = leaf(1, 2)
    y = x * 1
    z = Exp.apply(y)
    z.sum().backward(retain_graph=True)
    z.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        z.sum().backward()
    z = Exp.apply(y)
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_function_that_returns_its_input():
    identity = function(lambda ctx, x: x, lambda ctx, g: g * 3)
    x = leaf(1, 2)
    y = identity.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert x.is_leaf
    base = leaf(1, 2) * 1
    y = identity.apply(base)
    with pytest.raises(RuntimeError, match="custom Function"):
        y.mul_(2)
    base.mul_(2)
    with pytest.raises(RuntimeError, match="custom Function"):
        (y * 2).sum().backward()


def test_function_that_returns_a_view():
    x = leaf(1, 2, 3)
    y = function(lambda ctx, x: x[1:], lambda ctx, g: dlgrad.cat([g[:1] * 0, g * 5])).apply(x)
    y.sum().backward()
    assert x.grad.tolist() == [0, 5, 5]
    # a view of memory that nobody else has is a tensor like any other
    y = function(lambda ctx, x: (x * 2).view(3, 1), lambda ctx, g: g.view(3) * 2).apply(x)
    y.mul_(2)
    assert close(autograd.grad(y.sum(), x)[0], [4, 4, 4])


def test_function_that_writes_to_its_input():
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    twice = function(forward, lambda ctx, g: g * 2)
    x = leaf(1, 2)
    y = x * 1
    z = twice.apply(y)
    assert z is y
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="leaf"):
        twice.apply(leaf(1))
    x.grad = None
    base = x * 1
    row = base[0:1]
    assert twice.apply(row) is row
    (base.sum() + row.sum()).backward()
    assert x.grad.tolist() == [4, 1]
    forgot = function(lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1], lambda ctx, g: g)
    with pytest.raises(RuntimeError, match="not returned as output"):
        forgot.apply(x * 1)


def test_function_non_differentiable_results():
    def forward(ctx, x):
        top = x > 1
        kept = x * 0 + 1
        ctx.mark_non_differentiable(kept)
        return x * 2, top, kept

    x = leaf(1, 2)
    y, top, kept = function(forward, lambda ctx, g, *_: g * 2).apply(x)
    assert (y.requires_grad, top.requires_grad, kept.requires_grad) == (True, False, False)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_once_differentiable():
    square = function(
        lambda ctx, x: (ctx.save_for_backward(x), x * x)[1],
        once_differentiable(lambda ctx, g: g * 2 * ctx.saved_tensors[0]),
    )
    x = leaf(3)
    assert autograd.grad(square.apply(x).sum(), x)[0].tolist() == [6]
    (g,) = autograd.grad(square.apply(x).sum(), x, create_graph=True)
    assert g.tolist() == [6]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_function_vjp_name():
    f = type("V", (Function,), {"forward": staticmethod(lambda ctx, x: x * 2), "vjp": staticmethod(lambda ctx, g: g * 2)})
    x = leaf(1)
    f.apply(x).backward()
    assert x.grad.tolist() == [2]


# ---------------------------------------------------------------------- saved-tensor hooks, checkpoints


def test_saved_tensors_hooks():
    x = noise(3)
    packed = []

    def pack(t):
        packed.append(t.shape)
        return t.tolist()

    with autograd.graph.saved_tensors_hooks(pack, lambda v: dlgrad.tensor(v, dtype=F64)):
        y = (x.exp() * x * Exp.apply(x)).sum()
    assert packed
    count = len(packed)
    (g,) = autograd.grad(y, x, create_graph=True)
    assert len(packed) == count
    f = lambda x: (x.exp() * x * x.exp()).sum()  # noqa: E731
    (h,) = autograd.grad(f(x), x, create_graph=True)
    assert close(g, h)
    assert close(autograd.grad(g.sum(), x)[0], autograd.grad(h.sum(), x)[0])  # their histories are kept


def test_saved_tensors_hooks_belong_to_the_thread():
    seen = []
    with autograd.graph.saved_tensors_hooks(lambda t: seen.append(1) or t, lambda t: t):
        thread = threading.Thread(target=lambda: leaf(1) * leaf(2))
        thread.start()
        thread.join()
        assert not seen
        leaf(1) * leaf(2)
        assert len(seen) == 2
    leaf(1) * leaf(2)
    assert len(seen) == 2


def test_identity_hooks_still_see_writes():
    y = leaf(1) * 1
    with autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


@pytest.mark.parametrize("use_reentrant", [None, False, True])
def test_checkpoint(use_reentrant):
    w = noise(3, seed=5)
    runs = []

    def f(x, s):
        runs.append(1)
        return (x * w * s).exp().tanh() * dlgrad.dropout(x, 0.5, True)

    def once(run):
        dlgrad.manual_seed(3)
        x = noise(3)
        w.grad = None
        y = run(x)
        after = dlgrad.rand(1).item()
        y.sum().backward()
        return y.tolist(), x.grad.tolist(), w.grad.tolist(), after, dlgrad.rand(1).item()

    plain = once(lambda x: f(x, 2))
    runs.clear()
    again = once(lambda x: checkpoint(f, x, 2, use_reentrant=use_reentrant))
    assert plain == again
    assert len(runs) == 2


def test_checkpoint_second_derivatives():
    f = lambda x: (x.exp() * x.sin() * Exp.apply(x)).sum()  # noqa: E731
    assert gradgradcheck(lambda x: checkpoint(f, x, use_reentrant=False), noise(3))


def test_checkpoint_nested_and_retained():
    x = noise(4)
    inner = lambda x: x.exp() * x  # noqa: E731

    def outer(x):
        return checkpoint(inner, x.sin(), use_reentrant=False).tanh() * x

    y = checkpoint(outer, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    assert close(x.grad, first * 2)
    z = x.detach().requires_grad_()
    (inner(z.sin()).tanh() * z).sum().backward()
    assert close(z.grad, first)


def test_checkpoint_keeps_nothing():
    x = noise(4)
    alive = []

    def f(x):
        y = x.exp()
        alive.append(weakref.ref(y))
        alive.append(weakref.ref(y._storage))
        return y.sin().tanh()

    y = checkpoint(f, x, use_reentrant=False)
    assert [r() for r in alive] == [None, None]
    y.sum().backward()
    assert [r() for r in alive] == [None] * 4


def test_checkpoint_that_changes():
    x = noise(3)
    for second in (lambda x: x * 2, lambda x: (x[:2].exp() * x[:2]).sum(), lambda x: x.exp()):
        todo = [lambda x: x.exp().tanh(), second]
        y = checkpoint(lambda x: todo.pop(0)(x), x, use_reentrant=False)
        with pytest.raises(CheckpointError):
            y.sum().backward()


def test_checkpoint_sees_writes():
    w = noise(3)
    x = leaf(1, 2, 3) * 1
    y = checkpoint(lambda x: (x * w).exp(), x, use_reentrant=False)
    with dlgrad.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = checkpoint(lambda x: x.exp(), x, use_reentrant=False)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()

    def writes(x):
        y = x.exp()
        z = y * 2
        y.add_(1)
        return z * y

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        checkpoint(writes, noise(3), use_reentrant=False).sum().backward()


def test_checkpoint_arguments():
    x = noise(2)
    y = checkpoint(lambda x, *, k: x * k["a"], x, use_reentrant=False, k={"a": x})
    assert close(autograd.grad(y.sum(), x)[0], x * 2)
    with pytest.raises(ValueError, match="keyword"):
        checkpoint(lambda x, k: x, x, use_reentrant=True, k=1)
    with dlgrad.no_grad():
        assert not checkpoint(lambda x: x * 2, x, use_reentrant=False).requires_grad
    with pytest.warns(UserWarning, match="requires_grad"):
        checkpoint(lambda x: x * 2, x.detach(), use_reentrant=True)


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_sequential(segments, use_reentrant):
    steps = [lambda x: x.exp(), lambda x: x.tanh(), lambda x: x * x, lambda x: x.sin(), lambda x: x + x.cos()]
    x = noise(3)
    checkpoint_sequential(steps, segments, x, use_reentrant=use_reentrant).sum().backward()
    z = x.detach().requires_grad_()
    y = z
    for f in steps:
        y = f(y)
    y.sum().backward()
    assert close(x.grad, z.grad)


# ---------------------------------------------------------------------- anomaly detection


def test_anomaly_names_the_forward_line():
    x = leaf(1, 2)
    with pytest.warns(UserWarning, match="Anomaly Detection"), autograd.detect_anomaly():
        y = x.exp()  # the line to be named
        y.add_(1)
        with pytest.warns(UserWarning, match="the line to be named"), pytest.raises(RuntimeError, match="inplace"):
            y.sum().backward()


def test_anomaly_finds_nan():
    x = leaf(0.0)
    with autograd.set_detect_anomaly(True):
        y = x.sqrt() * 0  # inf times zero
        with pytest.warns(UserWarning, match="inf times zero"), pytest.raises(RuntimeError, match="SqrtBackward0.*nan"):
            y.sum().backward()
    with autograd.set_detect_anomaly(True, check_nan=False):
        (x.sqrt() * 0).sum().backward()
    assert math.isnan(x.grad.item())
    autograd.set_detect_anomaly(True)
    autograd.set_detect_anomaly(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (x.sqrt() * 0).sum().backward()


def test_anomaly_in_a_function():
    def fail(ctx, g):
        raise ValueError("as wanted")

    failing = function(lambda ctx, x: x * 2, fail)
    with autograd.set_detect_anomaly(True):
        y = failing.apply(leaf(1))  # here
        with pytest.warns(UserWarning, match="# here"), pytest.raises(ValueError, match="as wanted") as e:
            y.backward()
    assert any("# here" in note for note in getattr(e.value, "__notes__", ["# here"]))


def test_anomaly_without_forward_information():
    y = leaf(0.0).sqrt() * 0
    with autograd.set_detect_anomaly(True), pytest.warns(UserWarning, match="No forward pass information"):
        with pytest.raises(RuntimeError, match="nan"):
            y.sum().backward()


# ---------------------------------------------------------------------- gradcheck, functional


def test_gradcheck_finds_errors():
    wrong = function(lambda ctx, x: x * 2, lambda ctx, g: g * 3)
    x = noise(2, 2)
    with pytest.raises(GradcheckError, match=r"output0\[0, 0\] / d input0\[0, 0\]"):
        gradcheck(wrong.apply, x)
    assert not gradcheck(wrong.apply, x, raise_exception=False)
    assert not gradcheck(lambda x: x.detach() * x, x, raise_exception=False)
    half = function(
        lambda ctx, x: (ctx.save_for_backward(x), x**2)[1], lambda ctx, g: g * 2 * ctx.saved_tensors[0].detach()
    )
    assert gradcheck(half.apply, x)
    assert not gradgradcheck(half.apply, x, raise_exception=False)
    with pytest.raises(ValueError, match="require gradient"):
        gradcheck(lambda x: x, x.detach())
    with pytest.raises(RuntimeError, match="share memory"):
        gradcheck(lambda x: x, leaf(1).expand(3))
    with pytest.warns(UserWarning, match="double precision"):
        gradcheck(lambda x: x * 2, leaf(1, dtype=dlgrad.float32), eps=1e-2, atol=1e-2)


def test_gradcheck_shapes():
    assert gradcheck(lambda a, b: a @ b, (noise(2, 3), noise(3, 2, seed=4)), check_batched_grad=True, fast_mode=True)
    assert gradcheck(lambda x: x**3, leaf(2.0).reshape(()).detach().requires_grad_())
    assert gradcheck(lambda x: x.t().sin(), noise(2, 3).detach().t().requires_grad_())
    assert gradcheck(lambda x, k: x * k, (noise(2), 3.0))
    assert gradcheck(lambda x: x.sum(0), noise(0, 2))


def test_functional_jacobian_and_hessian():
    x, w = noise(3), noise(2, 3, seed=8)
    j = functional.jacobian(lambda x: w @ x, x)
    assert close(j, w)
    assert not j.requires_grad
    jx, jw = functional.jacobian(lambda x, w: w @ x, (x, w))
    assert jw.shape == (2, 2, 3)
    assert jw[0, 1].tolist() == [0, 0, 0]
    h = functional.hessian(lambda x: (x**3).sum(), x)
    assert close(h, (6 * x).diag())
    hs = functional.hessian(lambda a, b: (a * a * b).sum(), (x, x.detach() * 2))
    assert close(hs[0][1], (2 * x).diag())
    assert close(hs[1][1], [0] * 9)
    j = functional.jacobian(lambda x: x**2, x, create_graph=True)
    assert close(autograd.grad(j.sum(), x)[0], [2, 2, 2])


def test_functional_products():
    x, w = noise(3), noise(2, 3, seed=8).detach()
    v2, v3 = noise(2, seed=1).detach(), noise(3, seed=2).detach()
    f = lambda x: (w @ x).tanh()  # noqa: E731
    j = functional.jacobian(f, x)
    out, p = functional.vjp(f, x, v2)
    assert close(out, f(x))
    assert close(p, v2 @ j)
    assert not out.requires_grad
    assert close(functional.jvp(f, x, v3)[1], j @ v3)
    s = lambda x: f(x).exp().sum()  # noqa: E731
    h = functional.hessian(s, x)
    assert close(functional.hvp(s, x, v3)[1], h @ v3)
    assert close(functional.vhp(s, x, v3)[1], v3 @ h)
    with pytest.raises(RuntimeError, match="invalid size"):
        functional.vjp(f, x, v3)
    with pytest.raises(RuntimeError, match="single element"):
        functional.vjp(f, x)
    with pytest.raises(RuntimeError, match="single element"):
        functional.hessian(f, x)
    with pytest.raises(RuntimeError, match="strict"):
        functional.jacobian(lambda x: w, x, strict=True)
    assert close(functional.jacobian(lambda x: w, x), [0] * 18)
    assert close(functional.hvp(lambda x: x.sum(), x, v3)[1], [0, 0, 0])


def test_gradcheck_in_forward_mode():
    x = dlgrad.tensor([0.3, -1.2, 2.0], dtype=dlgrad.float64, requires_grad=True)
    w = dlgrad.tensor([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]], dtype=dlgrad.float64, requires_grad=True)
    assert dlgrad.autograd.gradcheck(lambda x, w: (w @ x.sin(), x * x), (x, w), check_forward_ad=True)
    assert dlgrad.autograd.gradgradcheck(lambda x: x.exp() * x, (x,), check_fwd_over_rev=True)

    class Wrong(dlgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError, match="forward mode mismatch for output 0"):
        dlgrad.autograd.gradcheck(Wrong.apply, (x,), check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(NotImplementedError, match="must implement the jvp"):
        Wrong.jvp(None, x)
