"""Recurrent networks: RNN, LSTM, GRU over sequences, and their cells for one step."""

from __future__ import annotations

import math
import numbers
import warnings

import dlgrad

from ..ops import rnn as recurrence
from ..ops.rnn import KINDS
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]


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
        if mode not in KINDS:
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
        gates = KINDS[mode].gates * hidden_size
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
        return (output, self.hidden_size)[: KINDS[self.mode].states]

    def _initial(self, state, batch, dtype, batched):
        """The checked initial state, a tuple of (layers * directions, batch, width); None for zeros."""
        widths = self._state_widths()
        rows = self.num_layers * (2 if self.bidirectional else 1)
        if state is None:
            return None
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

    def _run(self, data, state, batch_sizes=None, sizes=None):
        """All layers over `data` (time, batch, width), or packed rows; returns (rows, final states)."""
        kind = KINDS[self.mode]
        directions = 2 if self.bidirectional else 1
        count = self.num_layers * directions
        finals = []
        for number in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                index = number * directions + direction
                start = state
                if state is not None and count > 1:
                    start = tuple([value[index : index + 1] for value in state])
                weights = self._weights_of(index)
                out, *final = recurrence.layer(
                    kind, data, weights, start, batch_sizes, sizes, direction == 1
                )
                outputs.append(out)
                finals.append(final)
            data = outputs[0] if directions == 1 else dlgrad.cat(outputs, -1)
            if self.dropout > 0 and number < self.num_layers - 1:
                data = F.dropout(data, self.dropout, self.training)
        if count == 1:
            return data, tuple(finals[0])
        return data, tuple([dlgrad.cat([final[i] for final in finals]) for i in range(kind.states)])

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
        if input.shape[0] == 0:
            raise RuntimeError(
                f"{type(self).__name__}: Expected sequence length to be larger than 0"
            )
        state = self._initial(hx, input.shape[1], input.dtype, batched)
        output, states = self._run(input, state)
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
        data, states = self._run(data, state, batch_sizes, sizes)
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

    def _one_step(self, kind, input, hx):
        """Runs a step of `kind` on (N, input_size) or (input_size); returns the new state."""
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
            state = None
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
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None)
        state = recurrence.layer(kind, input, weights, state, cell=True)
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
        kind = KINDS["RNN_TANH" if self.nonlinearity == "tanh" else "RNN_RELU"]
        return self._one_step(kind, input, hx)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: takes and returns (h, c)."""

    _states = 2

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._one_step(KINDS["LSTM"], input, hx)


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._one_step(KINDS["GRU"], input, hx)[0]
