"""Attention, transformers and recurrent layers against their definitions in NumPy."""

import numpy as np
import pytest
import reference
from arrays import array, check_gradients, tensor

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F
from dlgrad.nn.utils import rnn


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def near(actual, expected):
    np.testing.assert_allclose(array(actual), expected, 1e-11, 1e-12)


def weights(layer):
    return {name: array(p) for name, p in layer.state_dict().items()}


# ---------------------------------------------------------------------- attention


def test_scaled_dot_product_attention():
    q, k, v = numbers(2, 3, 5, 8), numbers(2, 3, 7, 8, seed=1), numbers(2, 3, 7, 4, seed=2)
    q1, k1, v1 = map(tensor, (q, k, v))
    attend = F.scaled_dot_product_attention
    near(attend(q1, k1, v1), reference.attention(q, k, v)[0])
    mask = numbers(5, 7, seed=3) > -1
    mask[:, 0] = True
    near(attend(q1, k1, v1, tensor(mask)), reference.attention(q, k, v, mask)[0])
    added = numbers(5, 7, seed=4)
    near(attend(q1, k1, v1, tensor(added)), reference.attention(q, k, v, added=added)[0])
    lower = np.tril(np.ones((5, 7), bool))
    near(attend(q1, k1, v1, is_causal=True), reference.attention(q, k, v, lower)[0])
    near(attend(q1, k1, v1, scale=1.0), reference.attention(q * np.sqrt(8), k, v)[0])
    near(attend(q1, k1, v1, tensor(added * 0).float()), reference.attention(q, k, v)[0])
    with pytest.raises(RuntimeError, match="to be bool or float or to match query dtype"):
        attend(q1, k1, v1, tensor(added).half())
    grouped = attend(q1, k1[:, :1], v1[:, :1], enable_gqa=True)
    near(grouped, reference.attention(q, k[:, :1], v[:, :1])[0])


def test_gradients_of_attention():
    q, k, v = numbers(1, 2, 3, 4), numbers(1, 2, 3, 4, seed=1), numbers(1, 2, 3, 4, seed=2)
    check_gradients(F.scaled_dot_product_attention, [q, k, v])
    causal = lambda *t: F.scaled_dot_product_attention(*t, is_causal=True)  # noqa: E731
    check_gradients(causal, [q, k, v])


def heads(x, n):
    """(L, N, E) -> (N, n, L, E / n)"""
    return x.reshape(*x.shape[:2], n, -1).transpose(1, 2, 0, 3)


def multihead(w, q, k, v, n, allowed=None):
    """Vaswani et al. 2017, section 3.2.2; (L, N, E) -> (L, N, E), and the mean of the heads' weights."""
    projected = [
        x @ m.T + b
        for x, m, b in zip(
            (q, k, v), np.split(w["in_proj_weight"], 3), np.split(w["in_proj_bias"], 3)
        )
    ]
    y, attention = reference.attention(*[heads(x, n) for x in projected], allowed)
    y = y.transpose(2, 0, 1, 3).reshape(q.shape)
    return y @ w["out_proj.weight"].T + w["out_proj.bias"], attention.mean(1)  # fmt: skip


def test_multihead_attention():
    layer = nn.MultiheadAttention(8, 2).double()
    with dlgrad.no_grad():
        layer.in_proj_bias.uniform_()
    q, k, v = numbers(4, 3, 8), numbers(6, 3, 8, seed=1), numbers(6, 3, 8, seed=2)
    y, attention = layer(*map(tensor, (q, k, v)))
    expected = multihead(weights(layer), q, k, v, 2)
    near(y, expected[0])
    near(attention, expected[1])
    padding = np.zeros((3, 6), bool)
    padding[1, 4:] = True
    forbidden = np.triu(np.ones((4, 6), bool), 3)
    allowed = ~(padding[:, None, None] | forbidden)
    expected = multihead(weights(layer), q, k, v, 2, allowed)
    for wanted in (True, False):
        y, attention = layer(
            *map(tensor, (q, k, v)),
            key_padding_mask=tensor(padding),
            attn_mask=tensor(forbidden),
            need_weights=wanted,
        )
        near(y, expected[0])
        assert (attention is not None) is wanted
    one, _ = layer(*[tensor(x[:, 0]) for x in (q, k, v)])
    near(one, multihead(weights(layer), q, k, v, 2)[0][:, 0])


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_encoder_layer(norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, norm_first=norm_first).double()
    w, x = weights(layer), numbers(5, 3, 8)
    own = {k.removeprefix("self_attn."): v for k, v in w.items() if k.startswith("self_attn.")}

    def norm(x, n):
        return reference.normalized(x, 2) * w[f"norm{n}.weight"] + w[f"norm{n}.bias"]

    def attend(x):
        return multihead(own, x, x, x, 2)[0]

    def forward(x):
        inner = np.maximum(x @ w["linear1.weight"].T + w["linear1.bias"], 0)
        return inner @ w["linear2.weight"].T + w["linear2.bias"]

    if norm_first:
        y = x + attend(norm(x, 1))
        y = y + forward(norm(y, 2))
    else:
        y = norm(x + attend(x), 1)
        y = norm(y + forward(y), 2)
    near(layer(tensor(x)), y)
    near(layer.eval()(tensor(x)), y)


def test_transformer_masks_keep_the_future_out():
    dlgrad.manual_seed(0)
    net = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True).double()
    source, target = tensor(numbers(2, 5, 8)), tensor(numbers(2, 4, 8, seed=1))
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    assert mask.tolist()[1][:2] == [0, 0] and mask.tolist()[1][2] == -np.inf
    y = net(source, target, tgt_mask=mask)
    changed = target.clone()
    changed[:, 3] += 1.0
    z = net(source, changed, tgt_mask=mask)
    assert dlgrad.allclose(y[:, :3], z[:, :3]) and not dlgrad.allclose(y[:, 3], z[:, 3])


# ---------------------------------------------------------------------- recurrent layers

CELLS = {"RNN": reference.rnn_cell, "LSTM": reference.lstm_cell, "GRU": reference.gru_cell}


def start(kind, *shape):
    h = numbers(*shape, seed=8)
    return (h, numbers(*shape, seed=9)) if kind == "LSTM" else h


def as_tensors(state):
    return tuple(map(tensor, state)) if isinstance(state, tuple) else tensor(state)


@pytest.mark.parametrize("kind", CELLS)
def test_cells(kind):
    layer = getattr(nn, f"{kind}Cell")(6, 5).double()
    x, state = numbers(3, 6), start(kind, 3, 5)
    expected = CELLS[kind](x, state, *weights(layer).values())
    actual = layer(tensor(x), as_tensors(state))
    if kind == "LSTM":
        near(actual[0], expected[0])
        near(actual[1], expected[1])
    else:
        near(actual, expected)
    zeros = np.zeros((3, 5))
    expected = CELLS[kind](x, (zeros, zeros) if kind == "LSTM" else zeros, *weights(layer).values())
    actual = layer(tensor(x))
    near(*((actual[0], expected[0]) if kind == "LSTM" else (actual, expected)))


def recurrent(kind, w, x, state, layers, directions):
    """Several layers, each in one direction or two, over x (T, N, I); their last states, stacked."""
    finals = []
    for i in range(layers):
        outs = []
        for d in range(directions):
            ending = f"_l{i}" + ("_reverse" if d else "")
            own = [w[name + ending] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            n = i * directions + d
            first = tuple(s[n] for s in state) if kind == "LSTM" else state[n]
            y, last = reference.run_over_time(CELLS[kind], x, first, own, backwards=bool(d))
            outs.append(y)
            finals.append(last)
        x = np.concatenate(outs, -1)
    return x, tuple(map(np.stack, zip(*finals))) if kind == "LSTM" else np.stack(finals)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_recurrent_layers(kind, layers, directions):
    layer = getattr(nn, kind)(6, 5, layers, bidirectional=directions == 2).double()
    x, state = numbers(4, 3, 6), start(kind, layers * directions, 3, 5)
    y, last = layer(tensor(x), as_tensors(state))
    expected, final = recurrent(kind, weights(layer), x, state, layers, directions)
    near(y, expected)
    for a, b in zip(last, final) if kind == "LSTM" else [(last, final)]:
        near(a, b)
    layer.batch_first = True
    y, _ = layer(tensor(x.swapaxes(0, 1)), as_tensors(state))
    near(y.transpose(0, 1), expected)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_recurrent_layers(kind):
    layer = getattr(nn, kind)(3, 2, bidirectional=True).double()
    names = list(layer.state_dict())

    def f(x, *parameters):
        return dlgrad.func.functional_call(layer, dict(zip(names, parameters)), (x,))[0]

    check_gradients(f, [numbers(3, 2, 3), *weights(layer).values()], second=False)


@pytest.mark.parametrize("kind", CELLS)
def test_packed_sequences_are_each_by_itself(kind):
    layer = getattr(nn, kind)(4, 3, bidirectional=True).double()
    rows = [tensor(numbers(n, 4, seed=n)) for n in (3, 7, 5)]
    padded = rnn.pad_sequence(rows, padding_value=9.0)
    assert padded.shape == (7, 3, 4) and (padded[3:, 0] == 9).all()
    packed = rnn.pack_padded_sequence(padded, [3, 7, 5], enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 3, 3, 2, 2, 1, 1]
    y, last = layer(packed)
    y, lengths = rnn.pad_packed_sequence(y, batch_first=True)
    assert lengths.tolist() == [3, 7, 5]
    for i, row in enumerate(rows):
        alone, end = layer(row)
        near(y[i, : len(row)], array(alone))
        assert not y[i, len(row) :].any()
        for a, b in zip(last, end) if kind == "LSTM" else [(last, end)]:
            near(a[:, i], array(b))
    for a, b in zip(rnn.unpack_sequence(rnn.pack_sequence(rows, enforce_sorted=False)), rows):
        near(a, array(b))
