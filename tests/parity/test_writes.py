"""Random programs of views and in-place writes, here and in PyTorch: the same values, strides and gradients."""

import numpy as np
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
