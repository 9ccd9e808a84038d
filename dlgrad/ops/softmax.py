"""softmax and log_softmax along a dimension."""

from __future__ import annotations

from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import contiguous, wrap_dim
from ..tensor import Tensor
from .elementwise import write_out
from .reduce import check

_plans: dict = {}


def _run(row, out_of, inputs, d):
    """A row along d of inputs of the shape of `out_of`, of whose dtype the result is."""
    key = (row, d, *[t._layout for t in inputs])
    found = _plans.get(key)
    if found is None:
        lay = out_of._layout
        outs = (contiguous(lay.dtype, tuple(lay.shape)),)
        found = door.remember(_plans, key, door.Several("softmax", row, outs, key[2:], (d,)))
    return found.run(inputs)[0]


def _prepared(name, input, dim, dtype):
    check(name, input)
    if dtype is not None:
        input = input.to(dtype)
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(f"{name}(): not implemented for {input._layout.dtype.name}; give dtype=float32, say")
    return input, wrap_dim(dim, input._layout.ndim, name)


def softmax(input, dim, dtype=None, *, out=None):
    """e^x divided by its sum along `dim` (computed from x - max, so without overflow)."""
    input, d = _prepared("softmax", input, dim, dtype)
    result = _run("softmax", input, (input,), d)

    def rule(g, y):
        if not mode.enabled:
            return _run("softmax_backward", y, (g, y), d)
        gy = g * y
        return gy - y * gy.sum(d, True)

    if input._requires_grad:
        record(result, "SoftmaxBackward0", rule, (input,), (None,), own=0)
    return result if out is None else write_out("softmax", out, result)


def log_softmax(input, dim, dtype=None, *, out=None):
    """log(softmax(input, dim)), exact where softmax underflows."""
    input, d = _prepared("log_softmax", input, dim, dtype)
    result = _run("log_softmax", input, (input,), d)

    def rule(g, y):
        if not mode.enabled:
            return _run("log_softmax_backward", y, (g, y), d)
        return g - y.exp() * g.sum(d, True)

    if input._requires_grad:
        record(result, "LogSoftmaxBackward0", rule, (input,), (None,), own=0)
    return result if out is None else write_out("log_softmax", out, result)


def _method(f):
    return lambda self, dim, dtype=None: f(self, dim, dtype)


Tensor.softmax = _method(softmax)
Tensor.log_softmax = _method(log_softmax)
