"""Random programs of views and in-place writes, here and in PyTorch: the same values, strides and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dlgrad

SOURCES = [
    lambda m, x: x * 1.0,
    lambda m, x: x.permute(2, 0, 1).clone(),
    lambda m, x: (x * 1.0).transpose(0, 2),
    lambda m, x: m.cat([x, x], 0)[::2] * 1.0,
    lambda m, x: x.expand(2, 2, 3, 4) * 1.0,
]

# Each: (module, tensor, dimension, index in that dimension, another tensor of the program) -> a new tensor, or None for a write.
STEPS = [
    lambda m, t, d, i, other: t.select(d, i),
    lambda m, t, d, i, other: t.narrow(d, i, t.shape[d] - i),
    lambda m, t, d, i, other: t.transpose(d, 0),
    lambda m, t, d, i, other: t.reshape(-1),
    lambda m, t, d, i, other: t.unsqueeze(d),
    lambda m, t, d, i, other: t * 2,
    lambda m, t, d, i, other: t.contiguous(),
    lambda m, t, d, i, other: t[..., ::2],
    lambda m, t, d, i, other: t.flatten(d),
    lambda m, t, d, i, other: t.expand(2, *t.shape) * 1.0,
    lambda m, t, d, i, other: t.index_select(d, m.tensor([i, 0])),
    lambda m, t, d, i, other: None if t.mul_(1.5) is t else 0,
    lambda m, t, d, i, other: None if t.add_(other.mean()) is t else 0,
    lambda m, t, d, i, other: None if t.copy_(other.mean()) is t else 0,
    lambda m, t, d, i, other: None if t.sin_() is t else 0,
    lambda m, t, d, i, other: t.__setitem__((slice(None),) * d + (i,), other.mean() * 0.1),
    lambda m, t, d, i, other: t.__setitem__(m.tensor([0, -1]), t.mean() * 0.2),
    lambda m, t, d, i, other: None if t.masked_fill_(t > 0.5, 0.25) is t else 0,
]


def program(m, seed, source, steps):
    """The tensors of the program, and the gradient of its input."""
    x = m.tensor(
        np.random.default_rng(seed).standard_normal((2, 3, 4)).tolist(), dtype=m.float64
    ).requires_grad_()
    tensors = [SOURCES[source](m, x)]
    for step, which, other, dim, place in steps:
        t = tensors[which % len(tensors)]
        if t.dim() == 0 or t.numel() == 0:
            continue
        d = dim % t.dim()
        new = STEPS[step](m, t, d, place % t.shape[d], tensors[other % len(tensors)])
        if new is not None:
            tensors.append(new)
    sum(((t * t).sum() * (i + 1) for i, t in enumerate(tensors)), start=m.zeros(())).backward()
    return tensors, x.grad


def strides(t):
    """Those that mean something."""
    return [stride for stride, size in zip(t.stride(), t.shape) if size > 1] if t.numel() else []


number = st.integers(0, 11)
step = st.tuples(st.integers(0, len(STEPS) - 1), number, number, number, number)


@settings(max_examples=150)
@given(
    seed=number,
    source=st.integers(0, len(SOURCES) - 1),
    steps=st.lists(step, min_size=2, max_size=9),
)
def test_programs(seed, source, steps):
    ours, gradient = program(dlgrad, seed, source, steps)
    theirs, expected = program(torch, seed, source, steps)
    for a, b in zip(ours, theirs, strict=True):
        assert tuple(a.shape) == tuple(b.shape) and strides(a) == strides(b)
        np.testing.assert_allclose(a.tolist(), b.tolist(), 1e-10, 1e-10)
    np.testing.assert_allclose(gradient.tolist(), expected.tolist(), 1e-10, 1e-10)


TARGETS = {
    "of no graph": lambda x: x.detach().clone(),
    "with a history": lambda x: x * 2,
    "a view": lambda x: (x * 2)[1:],
    "a view of a view": lambda x: (x * 2).t()[:2],
    "a leaf": lambda x: x,
    "a view of a leaf": lambda x: x[1:],
    "detached": lambda x: (x * 2).detach(),
}
OTHERS = {
    "wants no gradient": lambda y: y.detach(),
    "a leaf": lambda y: y,
    "of another dtype": lambda y: (y * 2).float(),
}
WRITES = {
    "copy_": lambda m, t, y: t.copy_(y[: t.shape[1]]),
    "fill_": lambda m, t, y: t.fill_(y.sum()),
    "zero_": lambda m, t, y: t.zero_(),
    "masked_fill_": lambda m, t, y: t.masked_fill_(t.detach() > 0.5, y.sum()),
    "masked_fill_ everywhere": lambda m, t, y: t.masked_fill_(t.detach() < 9, 2.0),
    "index_fill_": lambda m, t, y: t.index_fill_(0, m.tensor([0]), y.sum()),
    "index_copy_": lambda m, t, y: t.index_copy_(0, m.tensor([0]), y[None, : t.shape[1]].double()),
    "index_put_": lambda m, t, y: t.index_put_((t.detach() > 0.5,), y.sum().double()),
    "[...] =": lambda m, t, y: t.__setitem__(..., y[: t.shape[1]]),
    "[mask] =": lambda m, t, y: t.__setitem__(t.detach() > 0.5, y.sum()),
    "[mask] = number": lambda m, t, y: t.__setitem__(t.detach() > 0.5, 2.5),
    "[mask] = values": lambda m, t, y: t.__setitem__(m.arange(t.shape[0]) == 1, y[None, : t.shape[1]].double()),
    "[mask] +=": lambda m, t, y: t.__setitem__(t.detach() > 0.5, t[t.detach() > 0.5] + 1),
    "[0] =": lambda m, t, y: t.__setitem__(0, y[: t.shape[1]]),
    "normal_": lambda m, t, y: t.normal_(),
    "random_": lambda m, t, y: t.random_(0, 9),
    "bernoulli_": lambda m, t, y: t.bernoulli_(0.5),
    "exponential_": lambda m, t, y: t.exponential_(),
    "geometric_": lambda m, t, y: t.geometric_(0.5),
    "ge_": lambda m, t, y: t.ge_(0.5),
    "add_": lambda m, t, y: t.add_(y[: t.shape[1]]),
}


def written(m, write, target, other, recording):
    """What is left after a write: values, places in the graph, gradients; or that it was refused."""
    m.manual_seed(0)
    values = np.random.default_rng(0).uniform(0.1, 1, 17).tolist()
    x = m.tensor(values[:12], dtype=m.float64).reshape(3, 4).clone().requires_grad_()
    y = m.tensor(values[12:], dtype=m.float64, requires_grad=True)
    t, other = TARGETS[target](x), OTHERS[other](y)
    saved = t.square()  # needs the old value
    view, version = t[:1], t._version
    try:
        with m.enable_grad() if recording else m.no_grad():
            WRITES[write](m, t, other)
    except RuntimeError:
        return ("refused", t._version - version, t.tolist(), x.tolist())
    facts = [t._version > version]
    for u in (t, view) if recording else (t,):
        facts += [np.round(u.tolist(), 6).tolist(), u.requires_grad, u.is_leaf, u.grad_fn is None]
    if t.requires_grad:
        (t * t).sum().backward()
    facts += [None if u.grad is None else np.round(u.grad.tolist(), 4).tolist() for u in (x, y)]
    if saved.requires_grad:
        try:
            saved.sum().backward()
        except RuntimeError:
            facts.append("the old value is gone")
    return facts


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_write(write, target):
    for other in OTHERS:
        for recording in (True, False):
            expected = written(torch, write, target, other, recording)
            for _ in range(3):  # the third time from a memo
                assert written(dlgrad, write, target, other, recording) == expected, (other, recording)
