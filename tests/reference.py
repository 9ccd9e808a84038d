"""What layers compute, in plain NumPy: by their definitions, one window or one step after the other."""

import itertools
import math

import numpy as np


def erf(x):
    return np.vectorize(math.erf)(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    return np.log(softmax(x, axis))


def each(value, n):
    return (value,) * n if isinstance(value, int) else tuple(value)


def spatially_padded(x, padding, fill=0.0):
    return np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in padding], constant_values=fill)


def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """x (N, C, *in), weight (O, C / groups, *kernel) -> (N, O, *out): cross-correlation."""
    n = weight.ndim - 2
    stride, padding, dilation = each(stride, n), each(padding, n), each(dilation, n)
    x = spatially_padded(x, padding)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    out = [(size - r) // s + 1 for size, r, s in zip(x.shape[2:], reach, stride)]
    y = np.zeros((x.shape[0], weight.shape[0], *out), x.dtype)
    of, per = weight.shape[0] // groups, weight.shape[1]
    for o in range(weight.shape[0]):
        channels = slice(o // of * per, (o // of + 1) * per)
        for at in itertools.product(*map(range, out)):
            window = [slice(i * s, i * s + r, d) for i, s, r, d in zip(at, stride, reach, dilation)]
            y[(slice(None), o, *at)] = (x[(slice(None), channels, *window)] * weight[o]).sum(
                tuple(range(1, n + 2))
            )
    return y if bias is None else y + bias.reshape(-1, *[1] * n)


def conv_transpose(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """x (N, C, *in), weight (C, O / groups, *kernel): each input number adds a scaled kernel."""
    n = weight.ndim - 2
    stride, padding, dilation = each(stride, n), each(padding, n), each(dilation, n)
    more = each(output_padding, n)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    full = [(i - 1) * s + r + m for i, s, r, m in zip(x.shape[2:], stride, reach, more)]
    per, of = x.shape[1] // groups, weight.shape[1]
    y = np.zeros((x.shape[0], of * groups, *full), x.dtype)
    for c in range(x.shape[1]):
        outs = slice(c // per * of, (c // per + 1) * of)
        for at in itertools.product(*map(range, x.shape[2:])):
            window = [slice(i * s, i * s + r, d) for i, s, r, d in zip(at, stride, reach, dilation)]
            given = x[(slice(None), c, *at)].reshape(-1, *[1] * (n + 1))
            y[(slice(None), outs, *window)] += given * weight[c]
    y = y[(slice(None), slice(None), *[slice(p, f - p) for p, f in zip(padding, full)])]
    return y if bias is None else y + bias.reshape(-1, *[1] * n)


def pool(x, kernel, stride=None, padding=0, kind="max", count_include_pad=True):
    """x (N, C, *in) -> (N, C, *out): the largest number or the mean of each window."""
    n = x.ndim - 2
    kernel, padding = each(kernel, n), each(padding, n)
    stride = kernel if stride is None else each(stride, n)
    counted = spatially_padded(np.ones_like(x), padding, float(count_include_pad))
    x = spatially_padded(x, padding, -np.inf if kind == "max" else 0.0)
    out = [(size - k) // s + 1 for size, k, s in zip(x.shape[2:], kernel, stride)]
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    axes = tuple(range(2, n + 2))
    for at in itertools.product(*map(range, out)):
        window = (..., *[slice(i * s, i * s + k) for i, s, k in zip(at, stride, kernel)])
        if kind == "max":
            y[(..., *at)] = x[window].max(axes)
        else:
            y[(..., *at)] = x[window].sum(axes) / counted[window].sum(axes)
    return y


def adaptive_pool(x, out, kind="max"):
    """x (N, C, *in) -> (N, C, *out): window i reaches from floor(i in / out) to ceil((i + 1) in / out)."""
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for at in itertools.product(*map(range, out)):
        window = (
            ...,
            *[slice(i * s // o, -(-(i + 1) * s // o)) for i, s, o in zip(at, x.shape[2:], out)],
        )
        axes = tuple(range(2, x.ndim))
        y[(..., *at)] = x[window].max(axes) if kind == "max" else x[window].mean(axes)
    return y  # fmt: skip


def normalized(x, axes, eps=1e-5):
    """Mean zero and variance one over some axes."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def attention(q, k, v, allowed=None, added=0.0):
    """q (..., L, E), k (..., S, E), v (..., S, V) -> softmax(q k^T / sqrt(E)) v, and the weights."""
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]) + added
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    weights = softmax(scores)
    return weights @ v, weights


def rnn_cell(x, h, w, u, b, c):
    return np.tanh(x @ w.T + b + h @ u.T + c)


def lstm_cell(x, state, w, u, b, c):
    """Hochreiter and Schmidhuber 1997, in PyTorch's order of the gates: input, forget, cell, output."""
    h, cell = state
    i, f, g, o = np.split(x @ w.T + b + h @ u.T + c, 4, -1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def gru_cell(x, h, w, u, b, c):
    """Cho et al. 2014, with the reset gate after the product, as in PyTorch: reset, update, new."""
    xr, xz, xn = np.split(x @ w.T + b, 3, -1)
    hr, hz, hn = np.split(h @ u.T + c, 3, -1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + r * hn) + z * h


def run_over_time(cell, x, state, weights, backwards=False):
    """x (T, N, I) -> the outputs (T, N, H) and the last state, of one layer in one direction."""
    ys = [None] * len(x)
    for t in reversed(range(len(x))) if backwards else range(len(x)):
        state = cell(x[t], state, *weights)
        ys[t] = state[0] if isinstance(state, tuple) else state
    return np.stack(ys), state


def ctc(log_probabilities, target, blank=0):
    """-log of the probability of all paths through (T, C) that spell the target, one path at a time."""
    steps, classes = log_probabilities.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        spelled = [c for c, _ in itertools.groupby(path) if c != blank]
        if spelled == list(target):
            total += math.exp(sum(log_probabilities[t, c] for t, c in enumerate(path)))
    return -math.log(total)
