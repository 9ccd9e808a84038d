"""Recurrent networks: RNN, LSTM, GRU over sequences, and their cells for one step."""

from __future__ import annotations

import math
import numbers
import warnings

import dlgrad

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]


# One step of each kind. `x` (B, gates) is the input's part with its bias; `state` a tuple; `w_hh`
# (gates, H) and `b_hh` belong to the recurrent part. Returns (output, new state).
def _step_tanh(x, state, w_hh, b_hh, w_hr):
    hidden = (x + F.linear(state[0], w_hh, b_hh)).tanh()
    return hidden, (hidden,)


def _step_relu(x, state, w_hh, b_hh, w_hr):
    hidden = dlgrad.relu(x + F.linear(state[0], w_hh, b_hh))
    return hidden, (hidden,)


def _step_lstm(x, state, w_hh, b_hh, w_hr):
    hidden, cell = state
    i, f, g, o = (x + F.linear(hidden, w_hh, b_hh)).chunk(4, 1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    hidden = o.sigmoid() * cell.tanh()
    if w_hr is not None:
        hidden = F.linear(hidden, w_hr)
    return hidden, (hidden, cell)


def _step_gru(x, state, w_hh, b_hh, w_hr):
    hidden = state[0]
    x_r, x_z, x_n = x.chunk(3, 1)
    h_r, h_z, h_n = F.linear(hidden, w_hh, b_hh).chunk(3, 1)
    reset = (x_r + h_r).sigmoid()
    update = (x_z + h_z).sigmoid()
    new = (x_n + reset * h_n).tanh()
    hidden = (hidden - new) * update + new
    return hidden, (hidden,)


# mode -> (step, gates, number of states)
_MODES = {
    "RNN_TANH": (_step_tanh, 1, 1),
    "RNN_RELU": (_step_relu, 1, 1),
    "LSTM": (_step_lstm, 4, 2),
    "GRU": (_step_gru, 3, 1),
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
                state = tuple(
                    dlgrad.cat([value, start[size:now]]) for value, start in zip(state, initial)
                )
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
        state = tuple(dlgrad.cat([part[i] for part in parts]) for i in range(len(state)))
    return outputs, state


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common: the weights of all layers, and the run over them.

    Weights are named weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (weight_hr_l0 with
    `proj_size`), with "_reverse" behind the second direction's; uniform in +-1/sqrt(hidden_size).
    """

    def __init__(
        self,
        mode,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if (
            not isinstance(dropout, numbers.Number)
            or isinstance(dropout, bool)
            or not 0 <= dropout <= 1
        ):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        for name, value, kind in (
            ("bias", bias, bool),
            ("batch_first", batch_first, bool),
            ("input_size", input_size, int),
            ("hidden_size", hidden_size, int),
        ):
            if not isinstance(value, kind):
                raise TypeError(
                    f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
                )
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
                f"expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=2,
            )
        if mode not in _MODES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        gates = _MODES[mode][1] * hidden_size
        output = proj_size if proj_size > 0 else hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else output * directions
            for direction in range(directions):
                shapes = {"weight_ih": (gates, width), "weight_hh": (gates, output)}
                if bias:
                    shapes.update(bias_ih=(gates,), bias_hh=(gates,))
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = []
                for kind, shape in shapes.items():
                    name = f"{kind}_l{layer}{'_reverse' if direction else ''}"
                    setattr(self, name, Parameter(dlgrad.empty(shape, device=device, dtype=dtype)))
                    names.append(name)
                self._all_weights.append(names)
        self.reset_parameters()

    def reset_parameters(self):
        """Draws the weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self):
        """Nothing to do: weights have no layout that is faster than their own."""

    @property
    def all_weights(self):
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size != 0:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if self.batch_first is not False:
            parts.append(f"batch_first={self.batch_first}")
        if self.dropout != 0:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional is not False:
            parts.append(f"bidirectional={self.bidirectional}")
        return ", ".join(parts)

    def _weights_of(self, index):
        """(w_ih, w_hh, b_ih, b_hh, w_hr) of a layer's direction, None for those that it has not."""
        found = {name.split("_l")[0]: getattr(self, name) for name in self._all_weights[index]}
        return tuple(
            found.get(kind)
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )

    def _check_input(self, input):
        dtype = self.weight_ih_l0.dtype
        if input.dtype is not dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert "
                f"input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )

    def _state_widths(self):
        """The width of each state: hidden, and for an LSTM the cell's."""
        output = self.proj_size if self.proj_size > 0 else self.hidden_size
        return (output, self.hidden_size)[: _MODES[self.mode][2]]

    def _initial(self, state, batch, dtype, batched):
        """The checked initial state, a tuple of (layers * directions, batch, width)."""
        widths = self._state_widths()
        rows = self.num_layers * (2 if self.bidirectional else 1)
        if state is None:
            return tuple(dlgrad.zeros((rows, batch, width), dtype=dtype) for width in widths)
        if len(widths) == 1:
            state = (state,)
        elif not isinstance(state, (tuple, list)) or len(state) != 2:
            raise RuntimeError("LSTM: hx must be a tuple (h_0, c_0)")
        rank = 3 if batched else 2
        if any(value.dim() != rank for value in state):
            kind = "batched 3-D" if batched else "unbatched 2-D"
            got = ", ".join(f"{value.dim()}-D" for value in state)
            raise RuntimeError(
                f"For {kind} input, hx should also be {rank}-D but got ({got}) tensor"
            )
        if not batched:
            state = tuple(value.unsqueeze(1) for value in state)
        for number, (value, width) in enumerate(zip(state, widths)):
            expected = (rows, batch, width)
            if tuple(value.shape) != expected:
                what = "hidden size" if len(widths) == 1 else f"hidden[{number}] size"
                raise RuntimeError(f"Expected {what} {expected}, got {list(value.shape)}")
            if value.dtype is not dtype:
                raise ValueError(f"hx has dtype {value.dtype}, the input {dtype}")
        return tuple(state)

    def _run(self, data, batch_sizes, state):
        """All layers over rows `data` (total, width); returns (rows, final states)."""
        step = _MODES[self.mode][0]
        directions = 2 if self.bidirectional else 1
        finals = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                w_ih, w_hh, b_ih, b_hh, w_hr = self._weights_of(index)
                # The input's part of all steps is one product.
                rows = F.linear(data, w_ih, b_ih).split(batch_sizes)
                out, final = _scan(
                    step,
                    rows,
                    tuple(value[index] for value in state),
                    batch_sizes,
                    direction == 1,
                    w_hh,
                    b_hh,
                    w_hr,
                )
                outputs.append(dlgrad.cat(out))
                finals.append(final)
            data = outputs[0] if directions == 1 else dlgrad.cat(outputs, 1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                data = F.dropout(data, self.dropout, self.training)
        states = tuple(dlgrad.stack([final[i] for final in finals]) for i in range(len(finals[0])))
        return data, states

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        self._check_input(input)
        if not batched:
            input = input.unsqueeze(1)
        elif self.batch_first:
            input = input.transpose(0, 1)
        time, batch, width = input.shape
        if time == 0:
            raise RuntimeError(
                f"{type(self).__name__}: Expected sequence length to be larger than 0"
            )
        state = self._initial(hx, batch, input.dtype, batched)
        data, states = self._run(input.reshape(time * batch, width), [batch] * time, state)
        output = data.reshape(time, batch, -1)
        if not batched:
            output = output.squeeze(1)
            states = tuple(value.squeeze(1) for value in states)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, states if self.mode == "LSTM" else states[0]

    def _forward_packed(self, packed, hx):
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        self._check_input(data)
        sizes = batch_sizes.tolist()
        state = self._initial(hx, sizes[0], data.dtype, True)
        if hx is not None and sorted_indices is not None:
            state = tuple(value.index_select(1, sorted_indices) for value in state)
        data, states = self._run(data, sizes, state)
        if unsorted_indices is not None:
            states = tuple(value.index_select(1, unsorted_indices) for value in states)
        packed = PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)
        return packed, states if self.mode == "LSTM" else states[0]


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu with nonlinearity="relu".

    Input (L, N, input_size), (N, L, input_size) with `batch_first`, (L, input_size), or a
    PackedSequence; returns (output, h_n).
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); gates in the order i, f, g, o.

    Returns (output, (h_n, c_n)); with `proj_size` the hidden state is projected (arXiv 1402.1128).
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent units (arXiv 1406.1078); gates in the order r, z, n. Returns (output, h_n)."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )


class RNNCellBase(Module):
    """Weights and checks of the cells."""

    _states = 1

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(dlgrad.empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(dlgrad.empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(dlgrad.empty(gates, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self):
        """Draws the weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            parts.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(parts)

    def _one_step(self, step, input, hx):
        """Runs `step` on (N, input_size) or (input_size); returns the new state."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if input.shape[1] != self.input_size:
            raise RuntimeError(
                f"{name}: input has inconsistent input_size: got {input.shape[1]}, expected "
                f"{self.input_size}"
            )
        if hx is None:
            zeros = dlgrad.zeros((input.shape[0], self.hidden_size), dtype=input.dtype)
            state = (zeros,) * self._states
        else:
            state = (hx,) if self._states == 1 else tuple(hx)
            for number, value in enumerate(state):
                if value.dim() not in (1, 2):
                    what = "hidden" if self._states == 1 else f"hx[{number}]"
                    raise ValueError(
                        f"{name}: Expected {what} to be 1D or 2D, got {value.dim()}D instead"
                    )
            if not batched:
                state = tuple(value.unsqueeze(0) if value.dim() == 1 else value for value in state)
            for value in state:
                if tuple(value.shape) != (input.shape[0], self.hidden_size):
                    raise RuntimeError(
                        f"{name}: the hidden state must have shape "
                        f"{(input.shape[0], self.hidden_size)}, got {tuple(value.shape)}"
                    )
        projected = F.linear(input, self.weight_ih, self.bias_ih)
        _, state = step(projected, state, self.weight_hh, self.bias_hh, None)
        return state if batched else tuple(value.squeeze(0) for value in state)


class RNNCell(RNNCellBase):
    """One step of an RNN: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(
        self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        step = _step_tanh if self.nonlinearity == "tanh" else _step_relu
        return self._one_step(step, input, hx)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: takes and returns (h, c)."""

    _states = 2

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._one_step(_step_lstm, input, hx)


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._one_step(_step_gru, input, hx)[0]
