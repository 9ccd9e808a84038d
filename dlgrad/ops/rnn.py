"""Recurrent layers over a whole sequence: one call forward, one back through time."""

from __future__ import annotations

import dlgrad

from .. import dtypes as dt
from .. import plan as door
from ..autograd.engine import grad
from ..autograd.graph import record_several, wants_grad
from ..autograd.mode import enable_grad, mode
from ..layout import Layout, contiguous
from .joining import cat
from .matmul import linear


# One step of each kind. `x` (B, gates) is the input's part with its bias; `state` a tuple; `w_hh`
# (gates, H) and `b_hh` belong to the recurrent part. Returns (output, new state).
def step_tanh(x, state, w_hh, b_hh, w_hr=None):
    hidden = (x + linear(state[0], w_hh, b_hh)).tanh()
    return hidden, (hidden,)


def step_relu(x, state, w_hh, b_hh, w_hr=None):
    hidden = (x + linear(state[0], w_hh, b_hh)).relu()
    return hidden, (hidden,)


def step_lstm(x, state, w_hh, b_hh, w_hr=None):
    hidden, cell = state
    i, f, g, o = (x + linear(hidden, w_hh, b_hh)).chunk(4, 1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    hidden = o.sigmoid() * cell.tanh()
    if w_hr is not None:
        hidden = linear(hidden, w_hr)
    return hidden, (hidden, cell)


def step_gru(x, state, w_hh, b_hh, w_hr=None):
    hidden = state[0]
    x_r, x_z, x_n = x.chunk(3, 1)
    h_r, h_z, h_n = linear(hidden, w_hh, b_hh).chunk(3, 1)
    reset = (x_r + h_r).sigmoid()
    update = (x_z + h_z).sigmoid()
    new = (x_n + reset * h_n).tanh()
    hidden = (hidden - new) * update + new
    return hidden, (hidden,)


class Kind:
    """A kind of recurrence: its step in Tensor operations, its gates, states and the kernel's number for it."""

    def __init__(self, number, step, gates, states):
        self.number = number
        self.step = step
        self.gates = gates
        self.states = states


KINDS = {
    "RNN_TANH": Kind(0, step_tanh, 1, 1),
    "RNN_RELU": Kind(1, step_relu, 1, 1),
    "LSTM": Kind(2, step_lstm, 4, 2),
    "GRU": Kind(3, step_gru, 3, 1),
}


def _scan(step, rows, state, batch_sizes, reverse, w_hh, b_hh, w_hr):
    """Steps over time; returns (output of each time, final state).

    rows[t] is (batch_sizes[t], gates). Sequences are sorted by length, longest first, so those that
    go on are always the first ones: going forward rows leave the state, going back they join it.
    """
    count = len(rows)
    outputs = [None] * count
    initial = state
    if reverse:
        state = tuple(value[: batch_sizes[-1]] for value in initial) if count else initial
        for t in reversed(range(count)):
            size, now = state[0].shape[0], batch_sizes[t]
            if now > size:
                state = tuple(cat([value, start[size:now]]) for value, start in zip(state, initial))
            outputs[t], state = step(rows[t], state, w_hh, b_hh, w_hr)
        return outputs, state
    finished = []
    for t in range(count):
        size, now = state[0].shape[0], batch_sizes[t]
        if now < size:
            finished.append(tuple(value[now:] for value in state))
            state = tuple(value[:now] for value in state)
        outputs[t], state = step(rows[t], state, w_hh, b_hh, w_hr)
    if finished:
        # Those that ended last come first.
        parts = [state, *reversed(finished)]
        state = tuple(cat([part[i] for part in parts]) for i in range(len(state)))
    return outputs, state


def composed(kind, x, weights, state, sizes, reverse):
    """`layer` in Tensor operations: with a projection, for half precision, vmap and higher derivatives."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    lead = x._layout.shape[:-1]
    batch = sizes[0]
    if state is None:
        widths = (w_hh._layout.shape[1], w_hh._layout.shape[0] // kind.gates)[: kind.states]
        state = [dlgrad.zeros((batch, width), dtype=x._layout.dtype) for width in widths]
    flat = x.reshape((-1, x._layout.shape[-1]))
    rows = linear(flat, w_ih, b_ih).split(sizes)
    state = tuple(value.reshape((batch, value._layout.shape[-1])) for value in state)
    out, final = _scan(kind.step, rows, state, sizes, reverse, w_hh, b_hh, w_hr)
    out = cat(out)
    return (out.reshape((*lead, out._layout.shape[-1])), *[value.unsqueeze(0) for value in final])


def _has_kernel(*tensors):
    """Whether the kernel takes these (None: left out): float32 or float64 throughout, not under vmap."""
    d = tensors[0]._layout.dtype
    if d is not dt.float32 and d is not dt.float64:
        return False
    return all([t is None or (type(t._layout) is Layout and t._layout.dtype is d) for t in tensors])


def _whole(t):
    """A bias as the kernel reads it."""
    return t if t is None or t._layout.contiguous else t.contiguous()


def layer(kind, x, weights, state, batch_sizes=None, sizes=None, reverse=False, cell=False):
    """One layer in one direction: (output, final hidden state, and for an LSTM the final cell state).

    x: (time, B, I); (total, I) with batch_sizes (int64 tensor) and its numbers `sizes`; or (B, I) for
    one step (`cell`: then the states are (B, H) too, else (1, B, H)). weights: (w_ih, w_hh, b_ih, b_hh,
    w_hr), None where there is none. state: (h_0,) or (h_0, c_0), or None for zeros."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    shape = x._layout.shape
    if cell:
        time, batch = 1, shape[0]
    elif batch_sizes is None:
        time, batch = shape[0], shape[1]
    else:
        time, batch = len(sizes), sizes[0]
    h_0, c_0 = (None, None) if state is None else state if kind.states == 2 else (state[0], None)
    if w_hr is not None or not _has_kernel(x, w_ih, w_hh, b_ih, b_hh, h_0, c_0):
        found = composed(
            kind, x, weights, state, [batch] * time if sizes is None else sizes, reverse
        )
        return tuple([v[0] if i else v for i, v in enumerate(found)]) if cell else found
    d = x._layout.dtype
    width = w_hh._layout.shape[1]
    rows = tuple(shape[:-1])
    ints = (kind.number, int(reverse), time, batch)
    recorded = wants_grad(x, w_ih, w_hh, b_ih, b_hh, h_0, c_0)
    gated = kind.gates > 1
    y_layout = contiguous(d, (*rows, width))
    last = None if cell else contiguous(d, (1, batch, width))
    outs = (
        y_layout, last, last if kind.states == 2 else None,
        contiguous(d, (*rows, kind.gates * width)) if recorded and gated else None,
        y_layout if gated and (recorded or (cell and kind.states == 2)) else None,
    )  # fmt: skip
    b_ih, b_hh = _whole(b_ih), _whole(b_hh)
    y, h_n, c_n, gates, extra = door.call(
        "rnn",
        "layer",
        outs,
        (x, w_ih, w_hh, b_ih, b_hh, h_0, c_0, batch_sizes),
        ints=ints,
        name="rnn",
    )
    if kind.states == 2 and cell:
        c_n = extra
    results = (y, h_n, c_n)
    if recorded:
        inputs = (x, w_ih, w_hh, b_ih, b_hh, h_0, c_0)

        present = [v is not None for v in results]

        def rule(*values):
            incoming = iter(values)
            g_y, g_h, g_c = [next(incoming) if p else None for p in present]
            x, w_ih, w_hh, b_ih, b_hh, h_0, c_0, y, gates, extra = incoming
            inputs = (x, w_ih, w_hh, b_ih, b_hh, h_0, c_0)
            wanted = [t is not None and t.requires_grad for t in inputs]
            if not mode.enabled and _has_kernel(x, g_y, g_h, g_c):
                outs = tuple(
                    [
                        contiguous(d, tuple(t._layout.shape)) if w else None
                        for t, w in zip(inputs, wanted)
                    ]
                )
                given = (g_y, g_h, g_c, x, w_ih, w_hh, h_0, c_0, y, gates, extra, batch_sizes)
                return door.call(
                    "rnn", "layer_backward", outs, given, ints=ints, name="rnn_backward"
                )
            higher = mode.enabled
            with enable_grad():
                # Each by a view of its own: one may have been made from another.
                inputs = [None if v is None else v.view_as(v) for v in inputs]
                x, w_ih, w_hh, b_ih, b_hh, h_0, c_0 = inputs
                states = None if h_0 is None else (h_0,) if kind.states == 1 else (h_0, c_0)
                each = [batch] * time if sizes is None else sizes
                again = composed(kind, x, (w_ih, w_hh, b_ih, b_hh, None), states, each, reverse)
                if cell:  # the output and the final hidden state are one
                    again = (again[0], again[1], *[v[0] for v in again[2:]])
                pairs = [(v, g) for v, g in zip(again, (g_y, g_h, g_c)) if g is not None]
                to = [t for t, w in zip(inputs, wanted) if w]
                found = iter(
                    grad(
                        [v for v, _ in pairs],
                        to,
                        [g for _, g in pairs],
                        create_graph=higher,
                        allow_unused=True,
                    )
                )
            return tuple([next(found) if w else None for w in wanted])

        record_several(
            [v for v in results if v is not None],
            "MkldnnRnnLayerBackward0",
            rule,
            inputs,
            (*inputs, y, gates, extra),
        )
    if cell:
        return (y, c_n) if kind.states == 2 else (y,)
    return results if kind.states == 2 else results[:2]
