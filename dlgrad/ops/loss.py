"""Fused losses. cross_entropy keeps no probabilities: they are computed again from the scores. Losses of single elements
are one pass with their reduction, and another for their gradient."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, wants_grad
from ..autograd.mode import mode
from ..layout import contiguous
from .elementwise import tie

_REDUCTION = {"none": 0, "mean": 1, "sum": 2}
_plans: dict = {}


def _prepared(key, *description):
    return door.remember(_plans, key, door.Several(*description))


def _as_classes(t):
    """`t` read as (N, C) or (N, C, S): its class dimension second."""
    shape = t._layout.shape
    if t._layout.ndim == 1:
        return t.reshape((1, shape[0]))
    if t._layout.ndim == 2:
        return t
    return t.reshape((shape[0], shape[1], -1))


def _as_target(target, classes):
    lay, shape = target._layout, classes._layout.shape
    if lay.dtype is not dt.int64:
        target = target.to(dt.int64)
    if lay.ndim == 1 and len(shape) == 2:
        return target
    return target.reshape((shape[0], *shape[2:]))


def cross_entropy(
    input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, check=None
):
    """-log softmax(input)[target], over classes in dimension 1 (0 for a vector): one pass, its gradient another.

    check: called with input, target, weight and ignore_index for layouts that it has not seen yet."""
    wanted = wants_grad(input)
    numbers = (_REDUCTION[reduction], ignore_index), (float(label_smoothing),)
    found, x, t = _of_classes("cross_entropy", input, target, weight, *numbers, wanted, check)
    loss, kept, total = found.run((x, t, weight))
    if wanted:

        def rule(g, x, t, kept, total, weight):
            if not mode.enabled:
                inputs = (g, x, t, kept, total, weight)
                return _fused_backward("cross_entropy_backward", inputs, x._layout, *numbers)
            from ..autograd.engine import grad

            # The target may have been made from x, which is not this derivative's matter.
            x = x.view_as(x)
            again = _composed(x, t, weight, ignore_index, reduction, label_smoothing)
            return grad(again, x, g, create_graph=True)[0]

        record(loss, "CrossEntropyBackward0", rule, (x,), (x, t, kept, total, weight))
    return loss.reshape(tuple(target._layout.shape)) if reduction == "none" else loss


def _of_classes(row, input, target, weight, ints, floats, wanted, check):
    """What a loss of class indices runs, and its input and target as it takes them. wanted: the numbers for its
    derivative too: cross_entropy's statistics of every position, and the sum of the targets' weights."""
    weight_layout = None if weight is None else weight._layout
    key = (row, input._layout, target._layout, weight_layout, ints, floats, wanted)
    found = _plans.get(key)
    if found is None and check is not None:
        check(input, target, weight, ints[1])
    x = _as_classes(input)
    t = _as_target(target, x)
    if found is None:
        lay = x._layout
        stat = dt.float64 if lay.dtype is dt.float64 else dt.float32
        kept = [contiguous(stat, ())]
        if row == "cross_entropy":
            kept.insert(0, contiguous(stat, (2, lay.shape[0], _positions(lay.shape))))
        out = contiguous(lay.dtype, tuple(t._layout.shape) if ints[0] == 0 else ())
        outs = (out, *kept) if wanted else (out, *[None] * len(kept))
        found = _prepared(key, "loss", row, outs, (lay, t._layout, weight_layout), ints, floats)
    return found, x, t


def _fused_backward(row, inputs, like, ints, floats=()):
    """The one result, of the shape and dtype of `like`, of a backward row."""
    lays = tuple([None if t is None else t._layout for t in inputs])
    key = (row, lays, ints, floats)
    found = _plans.get(key)
    if found is None:
        outs = (contiguous(like.dtype, tuple(like.shape)),)
        found = _prepared(key, "loss", row, outs, lays, ints, floats)
    return found.run(inputs)[0]


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
    w = (
        used.to(x._layout.dtype)
        if weight is None
        else where(used, weight.to(x._layout.dtype)[safe], 0.0)
    )
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


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean", check=None):
    """-weight[target] input[target], over classes in dimension 1 (0 for a vector). check: as in cross_entropy."""
    wanted = wants_grad(input)
    ints = (_REDUCTION[reduction], ignore_index)
    found, x, t = _of_classes("nll_loss", input, target, weight, ints, (), wanted, check)
    lay = x._layout
    loss, total = found.run((x, t, weight))
    if wanted:

        def backward(g, t, total, weight):
            like = contiguous(g._layout.dtype, tuple(lay.shape))
            y = _fused_backward("nll_loss_backward", (g, t, total, weight), like, ints)
            if not mode.enabled:
                return y

            def again(gg, t, total, weight):
                return nll_loss(gg, t, weight, ignore_index, reduction)

            return record(y, "NllLossBackwardBackward0", again, (g,), (t, total, weight))

        rule = lambda g, x, t, total, weight: tie(backward(g, t, total, weight), x)  # noqa: E731
        record(loss, "NllLossBackward0", rule, (x,), (x, t, total, weight))
    return loss.reshape(tuple(target._layout.shape)) if reduction == "none" else loss


_SYMMETRIC = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def pointwise(row, input, target, reduction, composed, parameter=None):
    """A loss of single elements, reduced. Two tensors of one shape and one floating dtype, or None is returned.

    row: of zig/ops/loss.zig. composed(input, target): the same loss, not reduced, in Tensor operations, which derivatives
    of higher order are of. parameter: the row's, if it has one. Raises ValueError where an element has no such loss."""
    lay = input._layout
    other = target._layout
    key = (row, lay, other, reduction, parameter)
    found = _plans.get(key)
    kind = _REDUCTION[reduction]
    ints = (kind,)
    floats = () if parameter is None else (float(parameter),)
    wants_target = target._requires_grad
    if found is None:
        fits = lay.dtype is other.dtype and lay.dtype.is_floating_point and lay.shape == other.shape
        if not fits or (kind == 0 and not (lay.contiguous and other.contiguous)):
            return None
        outs = (contiguous(lay.dtype, tuple(lay.shape) if kind == 0 else ()),)
        found = _prepared(key, "loss", row, outs, (lay, other), ints, floats)
    if wants_target and row not in _SYMMETRIC:
        return None
    loss = found.run((input, target))[0]
    if input._requires_grad or wants_target:

        def rule(g, x, t):
            if mode.enabled:
                return _pointwise_again(g, x, t, reduction, composed)
            gx = _fused_backward(row + "_backward", (g, x, t), lay, ints, floats)
            return gx, -gx if wants_target else None

        name = "".join([w.capitalize() for w in row.split("_")]) + "Backward0"
        record(loss, name, rule, (input, target), (input, target))
    return loss


def _pointwise_again(g, x, t, reduction, composed):
    """The gradients for x and t with a graph."""
    from ..autograd.engine import grad

    # Each by a view of its own: one of the two may have been made from the other, which is not this loss's matter.
    x, t = x.view_as(x), t.view_as(t)
    loss = composed(x, t)
    loss = loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()
    wanted = [v for v in (x, t) if v.requires_grad]
    found = iter(grad(loss, wanted, g, create_graph=True))
    return tuple([next(found) if v.requires_grad else None for v in (x, t)])
