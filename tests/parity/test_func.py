"""torch.func: transforms of derivatives, vmap, and both inside each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dlgrad

from .both import both, close, outcome

RNG = np.random.default_rng(5)
W = RNG.standard_normal((4, 3)).astype(np.float32)
K = RNG.standard_normal((2, 1, 3, 3)).astype(np.float32)


def rand(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# Functions of a matrix (T, x): T is either library.
MATRIX = {
    "exp": lambda T, x: x.exp(),
    "tanh sin": lambda T, x: T.tanh(x).sin(),
    "gelu": lambda T, x: T.nn.functional.gelu(x),
    "silu": lambda T, x: T.nn.functional.silu(x),
    "softplus": lambda T, x: T.nn.functional.softplus(x),
    "relu": lambda T, x: T.relu(x),
    "clamp": lambda T, x: x.clamp(-0.5, 0.5),
    "pow": lambda T, x: x**3,
    "mul broadcast": lambda T, x: x * x[0],
    "div": lambda T, x: x / (1 + x.square()),
    "where": lambda T, x: T.where(x > 0, x.square(), x),
    "addcmul": lambda T, x: T.addcmul(x, x, x.cos(), value=0.5),
    "lerp": lambda T, x: T.lerp(x, x.sin(), 0.3),
    "maximum": lambda T, x: T.maximum(x, x.flip(0)),
    "sum": lambda T, x: x.sum(),
    "sum dim": lambda T, x: x.sum(0),
    "mean keepdim": lambda T, x: x.mean(1, keepdim=True),
    "var": lambda T, x: x.var(0),
    "std all": lambda T, x: x.std(),
    "prod": lambda T, x: x.prod(1),
    "amax": lambda T, x: x.amax(0),
    "max dim": lambda T, x: x.max(1)[0],
    "norm": lambda T, x: T.linalg.vector_norm(x, dim=1),
    "logsumexp": lambda T, x: x.logsumexp(1),
    "cumsum": lambda T, x: x.cumsum(0),
    "cumprod": lambda T, x: x.cumprod(1),
    "softmax": lambda T, x: x.softmax(0),
    "log_softmax": lambda T, x: x.log_softmax(-1),
    "sort": lambda T, x: x.sort(1)[0],
    "topk": lambda T, x: x.topk(2, 0)[0],
    "matmul": lambda T, x: x @ x.mT,
    "matmul vector": lambda T, x: x @ x[0],
    "einsum": lambda T, x: T.einsum("ij,kj->ik", x, x),
    "outer": lambda T, x: T.outer(x[0], x[1]),
    "bmm": lambda T, x: T.bmm(x.expand(2, *x.shape), x.mT.expand(2, *x.mT.shape)),
    "transpose": lambda T, x: x.t() * 2,
    "reshape": lambda T, x: x.reshape(-1).sin(),
    "permute": lambda T, x: x.unsqueeze(0).permute(2, 0, 1),
    "cat": lambda T, x: T.cat((x, x.square()), 1),
    "stack": lambda T, x: T.stack((x, x.square()), 1),
    "chunk": lambda T, x: x.chunk(2, 1)[1].exp(),
    "index": lambda T, x: x[[1, 0, 1]],
    "index slice": lambda T, x: x[1:, ::2],
    "gather": lambda T, x: x.gather(1, T.tensor([[0, 1], [1, 0], [2, 2]])),
    "scatter": lambda T, x: x.scatter(0, T.tensor([[0, 1, 0]]), x[:1].sin()),
    "index_add": lambda T, x: x.index_add(0, T.tensor([0, 0]), x[1:]),
    "masked_fill": lambda T, x: x.masked_fill(x > 0.3, 2.0),
    "tril": lambda T, x: x.tril() * x,
    "diagonal": lambda T, x: x.diagonal().square(),
    "diag_embed": lambda T, x: T.diag_embed(x),
    "flip roll": lambda T, x: x.flip(0).roll(1, 1) * x,
    "pad": lambda T, x: T.nn.functional.pad(x, (1, 2), value=3.0),
    "repeat": lambda T, x: x.repeat(2, 1),
    "unfold": lambda T, x: x.unfold(0, 2, 1).square(),
    "layer_norm": lambda T, x: T.nn.functional.layer_norm(x, (3,)),
    "group_norm": lambda T, x: T.nn.functional.group_norm(x.unsqueeze(0), 3),
    "avg_pool": lambda T, x: T.nn.functional.avg_pool1d(x, 2),
    "max_pool": lambda T, x: T.nn.functional.max_pool2d(x.unsqueeze(0), 2, 1),
    "mse": lambda T, x: T.nn.functional.mse_loss(x, x.flip(0)),
    "cross_entropy": lambda T, x: T.nn.functional.cross_entropy(x, T.tensor([0, 2, 1])),
    "attention": lambda T, x: T.nn.functional.scaled_dot_product_attention(x, x, x),
    "inverse": lambda T, x: T.linalg.inv(x @ x.mT + 2 * T.eye(3)),
    "slogdet": lambda T, x: T.linalg.slogdet(x @ x.mT + 2 * T.eye(3))[1],
    "cholesky": lambda T, x: T.linalg.cholesky(x @ x.mT + 2 * T.eye(3)),
    "fft": lambda T, x: T.fft.rfft(x).abs(),
    "in place": lambda T, x: x.clone().mul_(2).add_(x),
    "write": lambda T, x: written(T, x),
}  # fmt: skip


def written(T, x):
    y = T.zeros_like(x)
    y[1:] = x[:-1]
    return y


def pair(x):
    return (dlgrad, both(x)[0]), (torch, both(x)[1])


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("dim", [0, 2])
def test_vmap(name, dim):
    """Values, and gradients through vmap, for a batch in either place."""
    f, x = MATRIX[name], rand(2, 3, 3)
    got = []
    for T, t in pair(np.moveaxis(x, 0, dim)):
        t.requires_grad_()
        y = T.vmap(lambda v: f(T, v), dim, -1)(t)
        weights = T.arange(y.numel()).reshape(y.shape).cos()
        g = T.autograd.grad((y * weights).sum(), t)[0] if y.requires_grad else t
        got.append((y, g))
    close(*got)


@pytest.mark.parametrize("name", MATRIX)
def test_derivatives(name):
    """vjp, jvp and the Jacobian by both modes."""
    f, x, v = MATRIX[name], rand(3, 3), rand(3, 3)
    got = []
    for (T, t), (_, u) in zip(pair(x), pair(v)):
        y, pull = T.func.vjp(lambda a: f(T, a), t)
        cotangent = T.arange(y.numel()).reshape(y.shape).cos()
        assert not y.requires_grad
        out = [y, pull(cotangent)]
        # one product for the pair: PyTorch has no forward mode for some of them
        if T is dlgrad:
            a = T.func.jvp(lambda a: f(T, a), (t,), (u,))[1]
            J = T.func.jacrev(lambda a: f(T, a))(t)
            close((T.func.jacfwd(lambda a: f(T, a))(t),), (torch.tensor(J.numpy()),))
            out += [a, J]
        else:
            J = T.func.jacrev(lambda a: f(T, a))(t)
            out += [(J.reshape(*y.shape, -1) @ u.reshape(-1)).reshape(y.shape), J]
        got.append(out)
    close(*got, rtol=1e-3, atol=1e-4)


def model(T):
    def loss(params, x, y):
        h = T.tanh(T.nn.functional.linear(x, params["w1"], params["b1"]))
        out = T.nn.functional.linear(h, params["w2"])
        return T.nn.functional.cross_entropy(out.unsqueeze(0), y.unsqueeze(0))

    return loss


def case(T):
    """Parameters, inputs and targets, the same in both libraries."""
    rng = np.random.default_rng(1)
    make = lambda *s: T.tensor(rng.standard_normal(s).astype(np.float32).tolist())  # noqa: E731
    params = {"w1": make(5, 4), "b1": make(5), "w2": make(3, 5)}
    return params, make(6, 4), T.tensor([0, 1, 2, 2, 1, 0])


def quartic(x):
    return (x**4).sum() + x.square().sum()


def tangent_kernel(T, p, x):
    J = T.vmap(T.func.jacrev(lambda w, v: T.tanh(w @ v)), (None, 0))(p["w1"], x).flatten(2)
    return T.einsum("nop,mqp->nmoq", J, J)


NESTED = {
    "per-sample gradients": lambda T, p, x, y: T.vmap(T.func.grad(model(T)), (None, 0, 0))(p, x, y),
    "per-sample gradients and values": lambda T, p, x, y: T.vmap(T.func.grad_and_value(model(T)), (None, 0, 0))(p, x, y),
    "per-sample in chunks": lambda T, p, x, y: T.vmap(T.func.grad(model(T)), (None, 0, 0), chunk_size=4)(p, x, y),
    "grad of vmap": lambda T, p, x, y: T.func.grad(lambda q: T.vmap(model(T), (None, 0, 0))(q, x, y).mean())(p),
    "grad of grad": lambda T, p, x, y: T.func.grad(lambda a: T.func.grad(lambda b: (b**3 * a.sum()).sum())(a).sum())(x),
    "grad of vmap of grad": lambda T, p, x, y: T.func.grad(
        lambda q: sum(v.square().sum() for v in T.vmap(T.func.grad(model(T)), (None, 0, 0))(q, x, y).values()))(p),
    "hessian": lambda T, p, x, y: T.func.hessian(lambda w: model(T)({**p, "w2": w}, x[0], y[0]))(p["w2"]),
    "hessian of a dictionary": lambda T, p, x, y: T.func.hessian(lambda q: model(T)({**p, **q}, x[0], y[0]))({"b1": p["b1"]}),
    "batch of hessians": lambda T, p, x, y: T.vmap(T.func.hessian(lambda a, t: model(T)(p, a, t)))(x, y),
    "jacrev of jacrev": lambda T, p, x, y: T.func.jacrev(T.func.jacrev(lambda a: (a**3).sum(0)))(x[:2, :2]),
    "jacfwd of jacfwd": lambda T, p, x, y: T.func.jacfwd(T.func.jacfwd(lambda a: (a**3).sum(0)))(x[:2, :2]),
    "jacrev of vmap": lambda T, p, x, y: T.func.jacrev(T.vmap(lambda a: a.sin() * p["w1"][0]))(x[:3]),
    "vmap of jacfwd, two arguments": lambda T, p, x, y: T.vmap(T.func.jacfwd(lambda a, b: a * b.sum(), (0, 1)))(x, x.sin()),
    "jvp of grad (hvp)": lambda T, p, x, y: T.func.jvp(T.func.grad(lambda a: (a.sin() * a).sum()), (x,), (x.cos(),)),
    "vjp under vmap": lambda T, p, x, y: T.vmap(lambda v: T.func.vjp(lambda a: a.tanh() @ p["w1"].t(), x)[1](v)[0])(x.sum() * p["w1"][:, :1].expand(5, 6).reshape(5, 6, 1).expand(5, 6, 5).contiguous()),
    "vmap of vmap": lambda T, p, x, y: T.vmap(T.vmap(lambda a, b: (a * b).sum(), (None, 0)), (0, None))(x, p["w1"]),
    "three vmaps": lambda T, p, x, y: T.vmap(T.vmap(T.vmap(lambda a, b: a * b + p["b1"][0], (0, None)), (None, 0)), (0, 0))(x, x),
    "grad inside two vmaps": lambda T, p, x, y: T.vmap(T.vmap(T.func.grad(lambda a, b: (a.sin() * b).sum()), (None, 0)), (0, None))(x, x[:2]),
    "has_aux": lambda T, p, x, y: T.func.grad(lambda a: ((a**2).sum(), {"twice": a * 2}), has_aux=True)(x),
    "vjp has_aux": lambda T, p, x, y: (lambda o, f, aux: (o, f(o), aux))(*T.func.vjp(lambda a: (a.sin(), a.cos()), x, has_aux=True)),
    "jacrev has_aux": lambda T, p, x, y: T.func.jacrev(lambda a: (a[0].sin(), a.cos()), has_aux=True)(x),
    "jacfwd has_aux": lambda T, p, x, y: T.func.jacfwd(lambda a: (a[0].sin(), a.cos()), has_aux=True)(x),
    "argnums": lambda T, p, x, y: T.func.grad(lambda a, b: (a * b).sum(), argnums=(1, 0))(x, x.exp()),
    "jacobians of a structure": lambda T, p, x, y: T.func.jacrev(lambda a, b: {"s": a * b, "t": (a + b,)}, argnums=(0, 1))(x[0], x[1]),
    "linearize": lambda T, p, x, y: (lambda o, f: (o, f(x), f(x.sin())))(*T.func.linearize(lambda a: a.tanh() @ p["w1"].t(), x)),
    "constant": lambda T, p, x, y: T.func.grad(lambda a: p["b1"].sum() + 0 * a.detach().sum())(x),
    "out_dims": lambda T, p, x, y: T.vmap(lambda a: (a, a.sum()), out_dims=(1, 0))(x),
    "in_dims in a structure": lambda T, p, x, y: T.vmap(lambda d, c: d["a"] * d["b"] + c, ({"a": 0, "b": None}, None))({"a": x, "b": x[0]}, 2.0),
    "keyword arguments": lambda T, p, x, y: T.vmap(lambda a, b: a + b)(x, b=x),
    "unbatched output": lambda T, p, x, y: T.vmap(lambda a: p["b1"])(x),
    "embedding": lambda T, p, x, y: T.vmap(T.func.grad(lambda w, i: T.nn.functional.embedding(i, w).square().sum()), (None, 0))(p["w1"], y.reshape(3, 2)),
    "Newton's step": lambda T, p, x, y: x[0] - T.linalg.solve(T.func.hessian(quartic)(x[0]), T.func.grad(quartic)(x[0])),
    "neural tangent kernel": lambda T, p, x, y: tangent_kernel(T, p, x),
    "a step inside a gradient (MAML)": lambda T, p, x, y: T.func.grad(
        lambda w: T.vmap(lambda v: (v @ (w - 0.1 * T.func.grad(lambda u: (u @ v - 1) ** 2)(w))) ** 2)(x).mean())(p["w1"][0]),
    "grad of jvp": lambda T, p, x, y: T.func.grad(lambda a: T.func.jvp(lambda b: b.sin() * b, (a,), (x,))[1].sum())(x),
    "jvp of jvp": lambda T, p, x, y: T.func.jvp(lambda a: T.func.jvp(lambda b: b.sin() * b, (a,), (x,))[1], (x,), (x,)),
    "complex": lambda T, p, x, y: T.view_as_real(T.func.grad(lambda z: (z * z.conj()).real.sum())(T.complex(x, x.sin()))),
    "gradient of determinants": lambda T, p, x, y: T.vmap(T.func.grad(T.linalg.det))(T.stack((x[:4], x[2:] * 2))),
    "0-d index": lambda T, p, x, y: T.vmap(lambda i: x[i])(y),
    "one_hot": lambda T, p, x, y: T.vmap(lambda i: T.nn.functional.one_hot(i, 4))(y),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_nested(name):
    f = NESTED[name]
    close(f(dlgrad, *case(dlgrad)), f(torch, *case(torch)), rtol=1e-3, atol=1e-5)


def test_closed_over_tensors_get_gradients():
    """What the caller differentiates by keeps its history through the transforms; nothing else does."""
    got = []
    for T in (dlgrad, torch):
        params, x, y = case(T)
        w = params["w1"].requires_grad_()
        g = T.func.grad(lambda a: (a @ w.t()).square().sum())(x)
        assert g.requires_grad
        v = T.vmap(lambda a: (w @ a).tanh())(x)
        (g.square().sum() + v.sum()).backward()
        assert not T.func.grad(lambda a: (a**2).sum())(x).requires_grad
        with T.no_grad():
            assert not T.func.grad(lambda a: (a @ w.t()).sum())(x).requires_grad
        got.append(w.grad)
    close(*got, rtol=1e-3, atol=1e-2)


def test_ensembles_of_modules():
    models = {}
    for T in (dlgrad, torch):
        T.manual_seed(0)
        models[T] = [
            T.nn.Sequential(T.nn.Conv2d(1, 2, 3), T.nn.ReLU(), T.nn.Flatten(), T.nn.Linear(18, 3))
            for _ in range(3)
        ]
    got = []
    for T in (dlgrad, torch):
        params, buffers = T.func.stack_module_state(models[T])
        assert all(p.requires_grad and p.is_leaf for p in params.values())
        base = models[T][0]
        x = T.arange(2 * 25).reshape(2, 1, 5, 5).float().sin()
        run = lambda p, b, x: T.func.functional_call(base, (p, b), (x,))  # noqa: E731
        y = T.vmap(run, (0, 0, None))(params, buffers, x)
        y.square().sum().backward()
        sample = T.vmap(T.func.grad(lambda p, v: run(p, {}, v.unsqueeze(0)).sum()), (None, 0))(
            dict(base.named_parameters()), x
        )
        got.append((y, [p.grad for p in params.values()], sample))
    close(*got, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_numbers(randomness):
    draws = [
        lambda T, x: T.randn(3) + 0 * x, lambda T, x: T.rand(2, 20), lambda T, x: x + T.randn_like(x), lambda T, x: T.randint(0, 9, (4,)),
        lambda T, x: T.rand(1).expand(2) * x[0],
    ]  # fmt: skip
    for f in draws:
        got = []
        for T in (dlgrad, torch):
            T.manual_seed(3)
            got.append(T.vmap(lambda x: f(T, x), randomness=randomness)(T.zeros(5, 3)))  # noqa: B023
        close(*got)
    for T in (dlgrad, torch):
        kept = T.vmap(lambda x: T.nn.functional.dropout(x), randomness=randomness)(T.ones(50, 30))
        assert (kept == kept[0]).all() == (randomness == "same")
        assert 0.3 < (kept == 0).float().mean() < 0.7


BAD = {
    "sizes": lambda T: T.vmap(T.add)(T.ones(2), T.ones(3)),
    "no tensor": lambda T: T.vmap(lambda x: x, None)(T.ones(2)),
    "dim": lambda T: T.vmap(lambda x: x, 1)(T.ones(2)),
    "type of in_dims": lambda T: T.vmap(lambda x: x, "a")(T.ones(2)),
    "structure of in_dims": lambda T: T.vmap(lambda x: x, (0, 0))(T.ones(2)),
    "not a tensor": lambda T: T.vmap(lambda x, y: x, (0, 0))(T.ones(2), 1.0),
    "no inputs": lambda T: T.vmap(lambda: T.ones(2))(),
    "output": lambda T: T.vmap(lambda x: 1)(T.ones(2)),
    "out_dims": lambda T: T.vmap(lambda x: x, out_dims=(0, 1))(T.ones(2)),
    "out_dim None": lambda T: T.vmap(lambda x: x, out_dims=None)(T.ones(2)),
    "out of range": lambda T: T.vmap(lambda x: x, out_dims=3)(T.ones(2)),
    "randomness": lambda T: T.vmap(lambda x: x, randomness="no")(T.ones(2)),
    "random": lambda T: T.vmap(lambda x: x + T.rand(1))(T.ones(2)),
    "chunk_size": lambda T: T.vmap(lambda x: x, chunk_size=0)(T.ones(2)),
    "item": lambda T: T.vmap(lambda x: T.tensor(x.item()))(T.ones(2)),
    "if": lambda T: T.vmap(lambda x: x if x > 0 else -x)(T.ones(2)),
    "nonzero": lambda T: T.vmap(lambda x: x.nonzero())(T.ones(2, 3)),
    "write to what is not batched": lambda T: T.vmap(lambda x: T.zeros(3).add_(x))(T.ones(2, 3)),
    "in-place draw": lambda T: T.vmap(lambda x: T.zeros(3).uniform_() + x, randomness="different")(T.ones(2, 3)),
    "grad of a vector": lambda T: T.func.grad(lambda x: x)(T.ones(2)),
    "grad of a number": lambda T: T.func.grad(lambda x: 1.0)(T.ones(2)),
    "argnum": lambda T: T.func.grad(lambda x: x.sum(), 1)(T.ones(2)),
    "aux": lambda T: T.func.grad(lambda x: x.sum(), has_aux=True)(T.ones(2)),
    "by a number": lambda T: T.func.grad(lambda x: x * T.ones(()))(1.0),
    "cotangents": lambda T: T.func.vjp(lambda x: (x, x), T.ones(2))[1](T.ones(2)),
    "primals": lambda T: T.func.jvp(lambda x: x, T.ones(2), T.ones(2)),
    "tangents": lambda T: T.func.jvp(lambda x: x, (T.ones(2),), (T.ones(2), T.ones(2))),
    "shape of tangents": lambda T: T.func.jvp(lambda x: x, (T.ones(2),), (T.ones(3),)),
    "jacrev's chunk_size": lambda T: T.func.jacrev(lambda x: x, chunk_size=0)(T.ones(2)),
    "models": lambda T: T.func.stack_module_state([]),
    "modes of models": lambda T: T.func.stack_module_state([T.nn.Linear(1, 1), T.nn.Linear(1, 1).eval()]),
    "kinds of models": lambda T: T.func.stack_module_state([T.nn.Linear(1, 1), T.nn.ReLU()]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    ours, theirs = outcome(lambda: BAD[name](dlgrad))[1], outcome(lambda: BAD[name](torch))[1]
    assert type(ours) is type(theirs), (ours, theirs)


@st.composite
def operands(draw):
    """Shapes of two operands that broadcast, and where each has its batch (None: nowhere)."""
    shape = draw(st.lists(st.integers(1, 3), max_size=3))
    a = [draw(st.sampled_from((1, n))) for n in shape]
    b = [draw(st.sampled_from((1, n))) for n in shape][draw(st.integers(0, len(shape))) :]
    dims = [draw(st.none() | st.integers(0, len(s))) for s in (a, b)]
    dims = dims if any(d is not None for d in dims) else [0, None]
    return (
        a,
        b,
        dims,
        draw(st.integers(0, len(shape))),
        draw(st.sampled_from(("add", "mul", "atan2", "maximum"))),
    )


@settings(max_examples=60, deadline=None)
@given(operands())
def test_shapes(case):
    a, b, dims, out, name = case
    arrays = []
    for shape, d in zip((a, b), dims):
        arrays.append(
            RNG.standard_normal(shape if d is None else [*shape[:d], 4, *shape[d:]]).astype(
                np.float32
            )
        )
    got = []
    for T, i in ((dlgrad, 0), (torch, 1)):
        x, y = (both(v, grad=True)[i] for v in arrays)
        z = T.vmap(getattr(T, name), tuple(dims), out)(x, y)
        z.backward(T.arange(z.numel()).reshape(z.shape).float().cos())
        got.append((z, x.grad, y.grad))
    close(*got)


LOOPS = {
    "isin": lambda T, x: T.isin(x, x[:2]),
    "masked_scatter": lambda T, x: x.masked_scatter(x > 0, x * 2),
    "histc": lambda T, x: T.histc(x, 4),
    "bincount": lambda T, x: T.bincount(x.abs().long(), minlength=9),
    "linspace": lambda T, x: T.linspace(x[0], x[1], 4),
    "repeat_interleave": lambda T, x: x.repeat_interleave((x > -9).long() + 1),
    "ctc_loss": lambda T, x: T.nn.functional.ctc_loss(
        (x.reshape(5, 1, 1) * T.arange(3)).log_softmax(-1), (x[:2] > 0).long().unsqueeze(0) + 1, T.tensor([5]), T.tensor([2])),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_what_reads_values_runs_for_each_member(name):
    got = []
    for T, x in pair(rand(2, 3, 5)):
        x.requires_grad_()
        y = T.vmap(T.vmap(lambda v: LOOPS[name](T, v)))(x)
        got.append((y, T.autograd.grad(y.sum(), x)[0] if y.requires_grad else x))
    close(*got)


def test_distributions_under_vmap():
    x = rand(4, 3)
    got = []
    for T, t in pair(x):

        def f(v, T=T):
            spread = T.distributions.Categorical(logits=v).entropy()
            return spread + T.distributions.Normal(v, 1.0).log_prob(v * 2).sum()

        got.append((T.vmap(f)(t), T.vmap(T.func.grad(f))(t)))
    close(*got)
