"""dlgrad.func without PyTorch: every rule against a loop over the members, borders of levels, randomness, patterns."""

import copy
import gc
import pickle

import numpy as np
import pytest
from arrays import array

import dlgrad as D
from dlgrad import batched
from dlgrad.func import (
    debug_unwrap,
    functional_call,
    functionalize,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    rearrange,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vjp,
    vmap,
)
from dlgrad.nn import functional as F  # noqa: N812


def values(*shape):
    n = int(np.prod(shape))
    return (D.arange(n).float() * 0.7).cos().reshape(shape)


def near(a, b, tol=1e-5):
    a, b = array(a), array(b)
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, tol, tol)


# Functions of one member (4, 6) and of something that is the same for all (6, 6).
MEMBERS = {
    "elementwise": lambda x, w: (x * w[0]).tanh() + x.exp(),
    "product": lambda x, w: x @ w,
    "vector": lambda x, w: w @ x[0],
    "row": lambda x, w: x[0] @ w,
    "linear": lambda x, w: F.linear(x, w, w[0]),
    "batched weight": lambda x, w: F.linear(w, x, x[:, 0]),
    "convolution": lambda x, w: F.conv1d(x.unsqueeze(0), w.reshape(3, 4, 3)),
    "unbatched convolution": lambda x, w: F.conv1d(x, w.reshape(3, 4, 3)),
    "convolution with a member as weight": lambda x, w: F.conv1d(w.reshape(1, 2, 18), x.reshape(4, 2, 3)),
    "transposed convolution": lambda x, w: F.conv_transpose1d(x.unsqueeze(0), w.reshape(4, 3, 3)),
    "pool": lambda x, w: F.max_pool1d(x, 2),
    "layer_norm": lambda x, w: F.layer_norm(x, (6,), w[0], w[1]),
    "layer_norm by members": lambda x, w: F.layer_norm(w[:4], (6,), x[0], x[1]),
    "group_norm": lambda x, w: F.group_norm(x.unsqueeze(0), 2, w[0, :4], w[1, :4]),
    "batch_norm": lambda x, w: F.batch_norm(x, None, None, w[0], w[1], True),
    "running statistics": lambda x, w: F.batch_norm(x, w[0], w[1].abs() + 1, training=False),
    "softmax": lambda x, w: (x @ w).softmax(0).log(),
    "attention": lambda x, w: F.scaled_dot_product_attention(x @ w, x, x),
    "cross_entropy": lambda x, w: F.cross_entropy(x @ w, D.tensor([0, 5, 2, 2])),
    "sort": lambda x, w: x.sort(1)[0] * w[0],
    "scan": lambda x, w: x.cumsum(0).cumprod(1),
    "indices": lambda x, w: w[x.argsort(1)[:, 0]],
    "gather": lambda x, w: w.gather(1, x.argsort(1)),
    "scatter": lambda x, w: w.scatter_add(0, x.argsort(1), x),
    "embedding": lambda x, w: F.embedding(x.argsort(1), w),
    "joined": lambda x, w: D.cat((x, w), 0),
    "written": lambda x, w: x.clone().index_put_((D.tensor([0, 2]),), w[:2]),
    "part": lambda x, w: D.slice_scatter(w[:4], x[:, :2], 1, 2, 4),
    "solve": lambda x, w: D.linalg.solve(w + 3 * D.eye(6), x.t()),
    "decomposition": lambda x, w: D.linalg.cholesky(x @ x.t() + D.eye(4)),
    "transform": lambda x, w: D.fft.rfft(x @ w).abs(),
    "reductions": lambda x, w: D.stack((x.var(), x.amax(), x.norm(), (x * w[0]).mean(), x.logsumexp(1).sum())),
    "recurrent": lambda x, w: recurrent(x, w)[0],
    "transformer": lambda x, w: transformer(x @ w),
}  # fmt: skip


D.manual_seed(0)
_lstm = D.nn.LSTM(6, 3)
transformer = D.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)


def recurrent(x, w):
    return _lstm(x @ w)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_vmap_is_a_loop(name, dim):
    """Values and gradients of both inputs, with the batch in any place."""
    f, x, w = MEMBERS[name], values(3, 4, 6), values(6, 6)
    found = []
    for run in (
        lambda x, w: vmap(f, (dim, None))(x, w),
        lambda x, w: D.stack([f(x.select(dim, i), w) for i in range(3)]),
    ):
        a, b = x.movedim(0, dim).clone().requires_grad_(), w.clone().requires_grad_()
        y = run(a, b)
        weights = (D.arange(y.numel()).reshape(y.shape) * 0.3).sin()
        (y * weights).sum().backward()
        found.append((y, *[D.zeros_like(t) if t.grad is None else t.grad for t in (a, b)]))
    for mine, loop in zip(*found):
        near(mine.detach(), loop.detach(), 2e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_per_sample_gradients_are_a_loop(name):
    """grad inside vmap, by what is the same for all: one gradient for each member."""
    f, x, w = MEMBERS[name], values(3, 4, 6), values(6, 6)
    g = grad(lambda w, x: f(x, w).square().sum())
    near(vmap(g, (None, 0))(w, x), D.stack([g(w, x[i]) for i in range(3)]), 1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "elementwise",
        "product",
        "convolution",
        "layer_norm",
        "softmax",
        "cross_entropy",
        "attention",
    ],
)
def test_second_derivatives_through_vmap(name):
    f, x, w = MEMBERS[name], values(3, 4, 6), values(6, 6)
    norm = lambda g: g.square().sum()  # noqa: E731
    mine = grad(lambda w: norm(vmap(grad(lambda w, x: f(x, w).square().sum()), (None, 0))(w, x)))(w)
    loop = grad(
        lambda w: sum(norm(grad(lambda w: f(x[i], w).square().sum())(w)) for i in range(3))
    )(w)  # noqa: B023
    near(mine, loop, 1e-3)


def test_gradients_of_what_is_outside_are_summed_at_the_border():
    """Also where it is used outside of vmap too, and through a view and an operation made outside."""
    w = values(4).requires_grad_()
    x = values(5, 4)
    v = (w * 2)[1:]
    y = vmap(lambda a: (a[1:] * v).sum() + (w * a).prod())(x)
    (y.sum() + (w * 3).sum() + v.sum()).backward()
    u = values(4).requires_grad_()
    loop = (
        sum((a[1:] * (u * 2)[1:]).sum() + (u * a).prod() for a in x)
        + (u * 3).sum()
        + (u * 2)[1:].sum()
    )
    loop.backward()
    near(w.grad, u.grad)


def test_gradients_inside_stay_apart():
    w = values(4)
    g = vmap(lambda a: grad(lambda w: (w * a).sin().sum())(w))(values(5, 4))
    assert tuple(g.shape) == (5, 4) and not g.requires_grad
    inner = vmap(
        lambda a: grad(lambda w: vmap(lambda b: (w * a * b).sum())(values(3, 4)).sum())(w)
    )(values(5, 4))
    near(inner, values(5, 4) * values(3, 4).sum(0))


def test_jacobians_agree():
    f = lambda x, y: {"a": (x @ y).tanh(), "b": (x.sum(),)}  # noqa: E731
    x, y = values(3, 4), values(4)
    back, forth = jacrev(f, (0, 1))(x, y), jacfwd(f, (0, 1))(x, y)
    for i in (0, 1):
        near(back["a"][i], forth["a"][i])
        near(back["b"][0][i], forth["b"][0][i])
    near(jacrev(f, 1, chunk_size=2)(x, y)["a"], back["a"][1])


def test_products_with_the_jacobian():
    f = lambda x: (x**3).cumsum(0)  # noqa: E731
    x, v = values(4), values(4) + 1
    J = jacrev(f)(x)
    near(vjp(f, x)[1](v)[0], v @ J)
    near(jvp(f, (x,), (v,))[1], J @ v)
    out, push = linearize(f, x)
    near(out, f(x))
    near(push(v), J @ v)
    near(hessian(lambda x: f(x).sum())(x), jacfwd(jacfwd(lambda x: f(x).sum()))(x))


def test_an_ensemble():
    models = [D.nn.Sequential(D.nn.Linear(4, 5), D.nn.Tanh(), D.nn.Linear(5, 2)) for _ in range(3)]
    params, buffers = stack_module_state(models)
    x = values(6, 4)
    y = vmap(lambda p, b: functional_call(models[0], (p, b), (x,)))(params, buffers)
    near(y.detach(), D.stack([m(x) for m in models]).detach())


def test_levels_are_given_back():
    """So that layouts and plans are found again, and nothing grows."""
    w = values(6, 6).requires_grad_()

    def step():
        y = vmap(lambda x: (x @ w).tanh())(values(3, 4, 6)).sum()
        y.backward()

    for _ in range(3):
        step()
    gc.collect()
    before = len(batched._starts), len(batched._interned)
    for _ in range(20):
        step()
    gc.collect()
    after = len(batched._starts), len(batched._interned)
    assert after[0] == before[0] and after[1] < before[1] + 5
    assert not batched.levels.stack


def test_the_level_is_left_when_the_function_raises():
    with pytest.raises(ZeroDivisionError):
        vmap(lambda x: 1 // 0)(values(2))
    assert not batched.levels.stack


def test_random_numbers():
    x = values(4, 3)
    for f in (lambda x: D.rand(3), D.rand_like, lambda x: F.dropout(D.ones(50)), lambda x: D.randperm(9), lambda x: F.dropout2d(D.ones(2, 9, 2, 2)),
              lambda x: D.multinomial(D.ones(40), 9), lambda x: D.normal(D.zeros(3), 1.0), lambda x: x.clone().uniform_()):  # fmt: skip
        y = vmap(f, randomness="different")(x)
        assert not bool((y == y[0]).all())
        with pytest.raises(RuntimeError, match="randomness"):
            vmap(f)(x)
    for f in (
        lambda x: D.rand(3),
        D.rand_like,
        lambda x: F.dropout(D.ones(50)),
        lambda x: D.randperm(9),
    ):
        y = vmap(f, randomness="same")(x)
        assert bool((y == y[0]).all())
    near(vmap(lambda x: F.dropout(x), randomness="same")(D.ones(4, 9)).std(0), D.zeros(9))


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_the_gradient_of_dropout_has_its_mask(randomness):
    def value_and_product(x):
        y, pull = vjp(lambda x: F.dropout(x, 0.4), x)
        return y, pull(D.ones(40))[0]

    near(*vmap(value_and_product, randomness=randomness)(D.ones(5, 40)))


def test_chunks():
    x = values(7, 3)
    f = lambda x: (x.sin(), x.sum())  # noqa: E731
    for a, b in zip(vmap(f, out_dims=(1, 0), chunk_size=3)(x), vmap(f, out_dims=(1, 0))(x)):
        near(a, b)


READS = [
    lambda x: x.item(), lambda x: x.tolist(), lambda x: int(x), lambda x: bool(x), lambda x: x.numpy(), np.asarray, pickle.dumps,
    lambda x: x.__dlpack__(), lambda x: x.nonzero(), lambda x: x.reshape(1)[x.reshape(1) > 0], lambda x: x.resize_(9),
]  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_values_of_members_are_not_read(read):
    with pytest.raises(RuntimeError, match="vmap"):
        vmap(lambda x: (read(x), x)[1])(values(3))


def test_writes_of_a_batch_into_what_is_none():
    outside = D.zeros(3)
    for write in (
        lambda x: outside.add_(x), lambda x: outside.copy_(x), lambda x: outside.index_add_(0, D.tensor([0]), x[:1]),
        lambda x: outside.__setitem__(0, x[0]), lambda x: D.add(x, 1, out=outside), lambda x: outside.mul_(x),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="batched"):
            vmap(lambda x: (write(x), x)[1])(values(2, 3))  # noqa: B023
        near(outside, D.zeros(3))


def test_writes_inside():
    x = values(2, 3)

    def f(x):
        y = x.new_zeros(3)
        y[1:] = x[:2]
        y.mul_(2).add_(x)
        return y

    near(vmap(f)(x), D.stack([f(a) for a in x]))
    near(
        vmap(grad(lambda x: f(x.clone()).square().sum()))(x),
        D.stack([grad(lambda x: f(x.clone()).square().sum())(a) for a in x]),
    )
    vmap(lambda a: a.add_(1))(x)
    near(x, values(2, 3) + 1)


def test_recorded_writes_to_arguments_raise():
    """The caller's tensor would change without its history."""
    w = values(3).requires_grad_()
    for write in (
        lambda a: a.mul_(w),
        lambda a: a[:2].add_(w[:2]),
        lambda a: a.__setitem__(0, w[0]),
    ):
        with pytest.raises(RuntimeError, match="clone"):
            vmap(lambda a: (write(a), a)[1])(values(2, 3))  # noqa: B023
    with pytest.raises(RuntimeError, match="in-place"):
        vmap(lambda a: a.mul_(2))(values(2, 3).requires_grad_() * 1)


def test_results_can_be_written_to():
    w, x = values(3).requires_grad_(), values(2, 3)
    y = vmap(lambda a: a * w)(x)
    y.mul_(2)[0].add_(1)
    (y * y).sum().backward()
    u = values(3).requires_grad_()
    ((2 * x * u + D.tensor([[1.0], [0.0]])) ** 2).sum().backward()
    near(w.grad, u.grad)


def test_gradients_share_no_memory():
    """A view at the border of a level is not taken for a gradient that may be written to."""
    x, y = values(2, 3).requires_grad_(), values(2, 3).requires_grad_()
    z = vmap(lambda a: a)(x) + y
    (z.sum() + (x * 2).sum()).backward()
    near(x.grad, D.full((2, 3), 3.0))
    near(y.grad, D.ones(2, 3))
    assert x.grad.data_ptr() != y.grad.data_ptr()


def test_what_shows_a_batch():
    seen = []
    vmap(
        lambda x: (
            seen.extend((repr(x), tuple(x.shape), debug_unwrap(x), copy.deepcopy(x) + 0 * x)),
            x,
        )[1]
    )(values(2, 3))
    assert seen[0].startswith("BatchedTensor(") and seen[1] == (3,)
    near(seen[2], values(2, 3))


def test_batch_norms():
    model = D.nn.Sequential(D.nn.Linear(3, 4), D.nn.BatchNorm1d(4))
    with pytest.raises(RuntimeError, match="running_mean"):
        vmap(model)(values(2, 5, 3))
    assert replace_all_batch_norm_modules_(model) is model
    near(
        vmap(model)(values(2, 5, 3)).detach(),
        D.stack([model(x) for x in values(2, 5, 3)]).detach(),
        1e-4,
    )


def test_functionalize():
    near(functionalize(lambda x: x.clone().add_(1))(values(3)), values(3) + 1)
    with pytest.raises(RuntimeError, match="remove"):
        functionalize(lambda x: x, remove="views")


PATTERNS = [
    ("b h w c -> b c h w", {}, lambda x: x.permute(0, 3, 1, 2)),
    ("b h w c -> (b h) w c", {}, lambda x: x.reshape(8, 6, 3)),
    ("b (h h1) (w w1) c -> b h w (c h1 w1)", {"h1": 2, "w1": 2}, lambda x: x.reshape(2, 2, 2, 3, 2, 3).permute(0, 1, 3, 5, 2, 4).reshape(2, 2, 3, 12)),
    ("b ... c -> c (b ...)", {}, lambda x: x.permute(3, 0, 1, 2).reshape(3, 48)),
    ("b ... -> ... b 1", {}, lambda x: x.permute(1, 2, 3, 0).unsqueeze(-1)),
]  # fmt: skip


@pytest.mark.parametrize("pattern, sizes, expected", PATTERNS)
def test_rearrange(pattern, sizes, expected):
    x = values(2, 4, 6, 3)
    near(rearrange(x, pattern, **sizes), expected(x).contiguous())


@pytest.mark.parametrize(
    "pattern",
    [
        "a b",
        "a b -> a",
        "a a -> a a",
        "a b c -> a b c",
        "(a b) c -> a b c",
        "a b -> a (b",
        "a 2x -> a",
    ],
)
def test_bad_patterns(pattern):
    with pytest.raises(ValueError, match="rearrange"):
        rearrange(values(2, 3), pattern)


def test_value_and_grad_is_grad_and_value_in_the_other_order():
    x = D.tensor([1.0, -2.0, 3.0])
    value, gradient = D.func.value_and_grad(lambda x: (x**3).sum())(x)
    assert value.item() == 20 and gradient.tolist() == [3, 12, 27]
    (value, aux), gradient = D.func.value_and_grad(lambda x: ((x * 2).sum(), x), has_aux=True)(x)
    assert value.item() == 4 and aux.tolist() == x.tolist() and gradient.tolist() == [2, 2, 2]
