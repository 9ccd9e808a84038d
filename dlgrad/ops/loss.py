"""Fused losses over class indices. cross_entropy keeps no probabilities: they are computed again from the scores."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, record_several, wants_grad
from ..autograd.mode import mode
from ..layout import contiguous
from .elementwise import tie

_REDUCTION = {"none": 0, "mean": 1, "sum": 2}


def _as_classes(t, channel):
    """`t` read as (N, C) or (N, C, S): its class dimension second."""
    shape = t._layout.shape
    if t._layout.ndim == 1:
        return t.reshape((1, shape[0]))
    if t._layout.ndim == 2:
        return t
    return t.reshape((shape[0], shape[1], -1))


def _as_target(target, classes):
    shape = (classes._layout.shape[0], *classes._layout.shape[2:])
    target = target if target._layout.dtype is dt.int64 else target.to(dt.int64)
    return target.reshape(shape)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-log softmax(input)[target], over classes in dimension 1 (0 for a vector): one pass, its gradient another."""
    x = _as_classes(input, 1)
    t = _as_target(target, x)
    lay = x._layout
    stat = dt.float64 if lay.dtype is dt.float64 else dt.float32
    kind = _REDUCTION[reduction]
    out = contiguous(lay.dtype, tuple(t._layout.shape) if kind == 0 else ())
    positions = lay.numel // (lay.shape[0] * lay.shape[1]) if lay.numel else _positions(lay.shape)
    saved = contiguous(stat, (2, lay.shape[0], positions))
    ints, floats = (kind, ignore_index), (float(label_smoothing),)
    loss, kept, total = door.call("loss", "cross_entropy", (out, saved, contiguous(stat, ())), (x, t, weight), ints=ints, floats=floats)
    if wants_grad(x):

        def rule(g, gs, gt, x, t, kept, total, weight):
            if not mode.enabled:
                return door.call("loss", "cross_entropy_backward", contiguous(x._layout.dtype, tuple(x._layout.shape)),
                                 (g, x, t, kept, total, weight), ints=ints, floats=floats)  # fmt: skip
            from ..autograd.engine import grad

            again = _composed(x, t, weight, ignore_index, reduction, label_smoothing)
            return grad(again, x, g, create_graph=True)[0]

        record_several((loss, kept, total), "CrossEntropyBackward0", rule, (x,), (x, t, kept, total, weight), (True, False, False))
    return loss.reshape(tuple(target._layout.shape)) if kind == 0 else loss


def _positions(shape):
    n = 1
    for s in shape[2:]:
        n *= s
    return n


def _composed(x, t, weight, ignore_index, reduction, label_smoothing):
    """cross_entropy in Tensor operations, for derivatives of higher order."""
    from .softmax import log_softmax
    from .ternary import where

    logp = log_softmax(x, 1)
    used = t != ignore_index
    safe = where(used, t, 0)
    picked = logp.gather(1, safe.unsqueeze(1)).squeeze(1)
    w = used.to(x._layout.dtype) if weight is None else where(used, weight.to(x._layout.dtype)[safe], 0.0)
    loss = where(used, -picked * w, 0.0)
    if label_smoothing:
        classes = x._layout.shape[1]
        shape = [1] * x._layout.ndim
        shape[1] = classes
        smooth = -(logp if weight is None else logp * weight.reshape(tuple(shape))).sum(1)
        smooth = where(used, smooth, 0.0)
        loss = loss * (1 - label_smoothing) + smooth * (label_smoothing / classes)
    if reduction == "none":
        return loss
    return loss.sum() / w.sum() if reduction == "mean" else loss.sum()


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """-weight[target] input[target], over classes in dimension 1 (0 for a vector)."""
    x = _as_classes(input, 1)
    t = _as_target(target, x)
    lay = x._layout
    stat = dt.float64 if lay.dtype is dt.float64 else dt.float32
    kind = _REDUCTION[reduction]
    out = contiguous(lay.dtype, tuple(t._layout.shape) if kind == 0 else ())
    ints = (kind, ignore_index)
    loss, total = door.call("loss", "nll_loss", (out, contiguous(stat, ())), (x, t, weight), ints=ints)
    if wants_grad(x):
        shape = tuple(lay.shape)

        def backward(g, t, total, weight):
            y = door.call("loss", "nll_loss_backward", contiguous(g._layout.dtype, shape), (g, t, total, weight), ints=ints)

            def again(gg, t, total, weight):
                return nll_loss(gg, t, weight, ignore_index, reduction)

            return record(y, "NllLossBackwardBackward0", again, (g,), (t, total, weight))

        record_several((loss, total), "NllLossBackward0", lambda g, gt, x, t, total, weight: tie(backward(g, t, total, weight), x), (x,), (x, t, total, weight), (True, False))
    return loss.reshape(tuple(target._layout.shape)) if kind == 0 else loss


