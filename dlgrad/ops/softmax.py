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


def _run(row, d, *inputs):
    """A row along d of inputs of one shape; the result is of the last one's dtype."""
    key = (row, d, *[t._layout for t in inputs])
    plan = _plans.get(key)
    if plan is None:
        lay = key[-1]
        outs = (contiguous(lay.dtype, tuple(lay.shape)),)
        plan = door.remember(_plans, key, door.make_plan("softmax", row, outs, key[2:], (d,)))
    return door.run(plan, *inputs)


def _checked(name, input, dim):
    """The dimension, counted from the first."""
    check(name, input)
    if not input._layout.dtype.is_floating_point:
        kind = input._layout.dtype.name
        raise RuntimeError(f"{name}(): not implemented for {kind}; give dtype=float32, say")
    return wrap_dim(dim, input._layout.ndim, name)


def softmax(input, dim, dtype=None, *, out=None):
    """e^x divided by its sum along `dim` (computed from x - max, so without overflow)."""
    if dtype is not None:
        check("softmax", input)
        input = input.to(dtype)
    d = _checked("softmax", input, dim)
    result = _run("softmax", d, input)
    if input._requires_grad:

        def rule(g, y):
            if not mode.enabled:
                return _run("softmax_backward", d, g, y)
            gy = g * y
            return gy - y * gy.sum(d, True)

        record(result, "SoftmaxBackward0", rule, (input,), (None,), own=0)
    return result if out is None else write_out("softmax", out, result)


def log_softmax(input, dim, dtype=None, *, out=None):
    """log(softmax(input, dim)), exact where softmax underflows."""
    if dtype is not None:
        check("log_softmax", input)
        input = input.to(dtype)
    d = _checked("log_softmax", input, dim)
    result = _run("log_softmax", d, input)
    if input._requires_grad:

        def rule(g, y):
            if not mode.enabled:
                return _run("log_softmax_backward", d, g, y)
            return g - y.exp() * g.sum(d, True)

        record(result, "LogSoftmaxBackward0", rule, (input,), (None,), own=0)
    return result if out is None else write_out("log_softmax", out, result)


def _method(f):
    return lambda self, dim, dtype=None: f(self, dim, dtype)


Tensor.softmax = _method(softmax)
Tensor.log_softmax = _method(log_softmax)
