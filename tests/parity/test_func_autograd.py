"""torch.autograd.functional, torch.autograd.forward_ad, and batched gradients of torch.autograd.grad."""

import numpy as np
import pytest
import torch

import dlgrad

from .both import both, close, outcome

RNG = np.random.default_rng(7)
A = RNG.standard_normal((3, 2)).astype(np.float32)
B = RNG.standard_normal(2).astype(np.float32)


def inputs(T):
    i = 0 if T is dlgrad else 1
    return both(A)[i], both(B)[i]


FUNCTIONS = {
    "one": lambda a: a.sin().sum(0),
    "two": lambda a, b: (a * b).tanh(),
    "tuple": lambda a, b: (a @ b, b.exp()),
    "constant": lambda a, b: (a.sum(), b.detach() * 0),
    "scalar": lambda a, b: (a * b).square().sum(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"vectorize": True},
        {"vectorize": True, "strategy": "forward-mode"},
        {"create_graph": True},
    ],
)
def test_jacobian(name, how):
    f = FUNCTIONS[name]
    got = []
    for T in (dlgrad, torch):
        x = inputs(T)[: 1 if name == "one" else 2]
        J = T.autograd.functional.jacobian(f, x if len(x) > 1 else x[0], **how)
        got.append(J)
    close(*got)


@pytest.mark.parametrize(
    "how", [{}, {"vectorize": True}, {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}]
)
def test_hessian(how):
    got = []
    for T in (dlgrad, torch):
        a, b = inputs(T)
        f = lambda a, b: (a * b).tanh().square().sum()  # noqa: E731
        got.append(
            (
                T.autograd.functional.hessian(f, (a, b), **how),
                T.autograd.functional.hessian(lambda v: v.pow(3).sum(), a, **how),
            )
        )
    close(*got, rtol=1e-3)


@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp"])
def test_products(name):
    f = FUNCTIONS["scalar" if "h" in name else "two"]
    got = []
    for T in (dlgrad, torch):
        a, b = inputs(T)
        v = f(a, b).cos() if name == "vjp" else (a.cos(), b.cos())
        got.append(getattr(T.autograd.functional, name)(f, (a, b), v))
    close(*got, rtol=1e-3)


BAD = {
    "strategy": lambda T, a, b: T.autograd.functional.jacobian(lambda x: x, a, strategy="no"),
    "strict and vectorize": lambda T, a, b: T.autograd.functional.jacobian(lambda x: x, a, strict=True, vectorize=True),
    "strict": lambda T, a, b: T.autograd.functional.jacobian(lambda x: b, a, strict=True),
    "forward alone": lambda T, a, b: T.autograd.functional.jacobian(lambda x: x, a, strategy="forward-mode"),
    "forward, strict": lambda T, a, b: T.autograd.functional.jacobian(lambda x: x, a, strategy="forward-mode", strict=True, vectorize=True),
    "hessian of a vector": lambda T, a, b: T.autograd.functional.hessian(lambda x: x, a),
    "v": lambda T, a, b: T.autograd.functional.vjp(lambda x: x, a, b),
    "no v": lambda T, a, b: T.autograd.functional.jvp(lambda x: x, a),
    "no level": lambda T, a, b: T.autograd.forward_ad.make_dual(a, a),
    "nested levels": lambda T, a, b: level(T, lambda: T.autograd.forward_ad.enter_dual_level()),
    "exit": lambda T, a, b: T.autograd.forward_ad.exit_dual_level(),
    "integers": lambda T, a, b: level(T, lambda: T.autograd.forward_ad.make_dual(a.long(), a)),
    "shape": lambda T, a, b: level(T, lambda: T.autograd.forward_ad.make_dual(a, b)),
}  # fmt: skip


def level(T, f):
    with T.autograd.forward_ad.dual_level():
        return f()


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    ours, theirs = (
        [outcome(lambda T=T: BAD[name](T, *inputs(T)))[1] for T in (dlgrad, torch)]
        if name != "strategy"
        else (None, None)
    )
    assert type(ours) is type(theirs), (ours, theirs)


def test_dual_tensors():
    got = []
    for T in (dlgrad, torch):
        a, b = inputs(T)
        fw = T.autograd.forward_ad
        with fw.dual_level():
            x = fw.make_dual(a, a.cos())
            y = (x * b).tanh()
            primal, tangent = fw.unpack_dual(y)
            assert fw.unpack_dual(b).tangent is None
            again = fw.unpack_dual(x).tangent
            model = T.nn.functional.linear(x, x[:2].reshape(2, 2))
            flat = fw.unpack_dual(x.sign()).tangent
            got.append((primal, tangent, again, fw.unpack_dual(model).tangent, flat))
        assert not primal.requires_grad and not tangent.requires_grad
    close(*got)


def test_tangents_have_gradients():
    got = []
    for T in (dlgrad, torch):
        a, b = inputs(T)
        b.requires_grad_()
        fw = T.autograd.forward_ad
        with fw.dual_level():
            tangent = fw.unpack_dual((fw.make_dual(a, a.cos()) * b).tanh()).tangent
        tangent.sum().backward()
        got.append(b.grad)
    close(*got)


def test_batched_gradients():
    got = []
    for T in (dlgrad, torch):
        a, b = inputs(T)
        a.requires_grad_(), b.requires_grad_()
        y = (a * b).sin()
        gs = T.arange(4 * 6).reshape(4, 3, 2).float().cos()
        found = T.autograd.grad(y, (a, b), gs, is_grads_batched=True, create_graph=True)
        got.append((*found, *T.autograd.grad(found[0].square().sum(), (a, b))))
    close(*got)


def test_batched_gradients_of_what_is_unused():
    for T in (dlgrad, torch):
        a, b = inputs(T)
        a.requires_grad_(), b.requires_grad_()
        found = T.autograd.grad(
            a.sum(0), (a, b), T.ones(4, 2), is_grads_batched=True, allow_unused=True
        )
        assert tuple(found[0].shape) == (4, 3, 2) and found[1] is None
