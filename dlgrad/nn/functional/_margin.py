"""Losses by margin or distance, and the distances."""

from __future__ import annotations

import math

import dlgrad
from dlgrad import dtypes as dt
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.autograd.mode import mode
from dlgrad.batched import every_member
from dlgrad.layout import Layout, contiguous
from dlgrad.ops.distance import pair_distances

from ._loss import _check_tensors, _reduced, _reduction

__all__ = [
    "margin_ranking_loss",
    "hinge_embedding_loss",
    "multilabel_margin_loss",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
    "cosine_embedding_loss",
    "multi_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "pairwise_distance",
    "cosine_similarity",
    "pdist",
]


def margin_ranking_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """max(0, -target (x1 - x2) + margin), target 1 or -1.

    Shapes: three of (N) or (); reduction: 'mean' (the default), 'sum' (both 0-d) or 'none'."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {list(input1.shape)}, input2: {list(input2.shape)}, "
            f"target: {list(target.shape)}"
        )
    return _reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def hinge_embedding_loss(
    input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"
):
    """x where target is 1, max(0, margin - x) where it is -1.

    Shapes: (*) and (*); reduction: 'mean' (the default), 'sum' (both 0-d) or 'none'."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("hinge_embedding_loss", input=input, target=target)
    hinge = dlgrad.where(target == 1, 0.0, (margin - input).clamp(min=0))
    positive = dlgrad.where(target == -1, 0.0, input)
    return _reduced(hinge + positive, reduction)


def _rows(name, input):
    """`input` as (N, C) and whether it was one sample."""
    if input.dim() == 2 and input.shape[1] != 0:
        return input, False
    if input.dim() in (0, 1) and input.numel() != 0:
        return input.reshape(1, -1), True
    raise RuntimeError(
        f"[{name}] Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
        f"{list(input.shape)}"
    )


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """sum over labels y and other classes i of max(0, 1 - (x[y] - x[i])) / C.

    `target` lists each sample's classes, ended by -1.
    """
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("multilabel_margin_loss", input=input, target=target)
    rows, single = _rows("multilabel_margin_loss", input)
    if tuple(target.shape) != tuple(input.shape) and not (
        single and target.numel() == input.numel()
    ):
        raise RuntimeError(
            f"[multilabel_margin_loss] inconsistent target size: {list(target.shape)} for input of "
            f"size: {list(input.shape)}"
        )
    labels = target.reshape(rows.shape)
    if (
        rows._layout.dtype in (dt.float32, dt.float64)
        and type(rows._layout) is type(labels._layout) is Layout
        and labels._layout.dtype is dt.int64
    ):
        return _multilabel(rows.contiguous(), labels.contiguous(), reduction, single)
    classes = rows.shape[1]
    if labels.numel() and (
        every_member(labels).min().item() < -1 or every_member(labels).max().item() >= classes
    ):
        raise RuntimeError(
            f"[multilabel_margin_loss] target holds a class outside of -1 to {classes - 1}"
        )
    # A label counts until the first -1 of its row.
    listed = (labels == -1).cumsum(1) == 0  # (N, C)
    index = dlgrad.where(listed, labels, 0)
    is_label = dlgrad.zeros_like(rows).scatter_add(1, index, listed.to(rows.dtype)) > 0  # (N, C)
    scores = rows.gather(1, index)
    hinge = (1 - scores.unsqueeze(2) + rows.unsqueeze(1)).clamp(min=0)  # (N, label, class)
    counts = listed.unsqueeze(2) & ~is_label.unsqueeze(1)
    loss = dlgrad.where(counts, hinge, 0.0).sum((1, 2)) / classes
    return _reduced(loss.reshape(()) if single else loss, reduction)


_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}


def _multilabel(x, target, reduction, single):
    """`multilabel_margin_loss` of x and target (N, C), which are contiguous; `single`: the one sample had no N."""
    n = x._layout.shape[0]
    apart = reduction == "none"
    if apart and single:
        reduction, apart = "sum", False
    out = contiguous(x._layout.dtype, (n,) if apart else ())
    ints = (_REDUCTIONS[reduction],)
    loss = door.call(
        "distance", "multilabel_margin", out, (x, target), ints, name="multilabel_margin_loss"
    )

    def rule(g, x, target):
        if not mode.enabled:
            return _multilabel_backward(g, x, target, ints)
        one = dlgrad.ones(n, dtype=x.dtype)  # piecewise linear: the slopes, as constants
        slopes = _multilabel_backward(one, x.detach(), target, (0,)) / (
            n if reduction == "mean" else 1
        )
        return slopes * (g.unsqueeze(1) if apart else g)

    return record(loss, "MultilabelMarginLossBackward0", rule, (x,), (x, target))


def _multilabel_backward(g, x, target, ints):
    inputs = g.contiguous(), x, target
    return door.call("distance", "multilabel_margin_backward", x._layout, inputs, ints)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target x)), target 1 or -1.

    Shapes: input and target (*); reduction: 'mean' (the default), 'sum' (both 0-d) or 'none'.
    Floating point."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("soft_margin_loss", input=input, target=target)
    if dlgrad.broadcast_shapes(input.shape, target.shape) != input.shape:
        raise RuntimeError(
            f"soft_margin_loss(): the target's shape {list(target.shape)} does not expand to the input's {list(input.shape)}"
        )
    return _reduced(dlgrad.log1p((-target * input).exp()), reduction)


def multilabel_soft_margin_loss(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """The mean over classes of the binary cross entropy of sigmoid(x) and target.

    Shapes: (N, C) and (N, C), weight (C), or without N; reduction: 'mean' (the default), 'sum'
    (both 0-d) or 'none'."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("multilabel_soft_margin_loss", input=input, target=target)
    log_sigmoid = dlgrad.nn.functional.logsigmoid
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.sum(-1) / input.shape[-1], reduction)


def cosine_embedding_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1.

    Shapes: (N, D), (N, D) and target (N), or (D), (D) and (); reduction: 'mean' (the default),
    'sum' (both 0-d) or 'none'."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if target.dim() not in (0, 1):
        raise RuntimeError(
            "[cosine_embedding_loss] 0D or 1D target tensor expected, multi-target not supported; "
            f"got shape {list(target.shape)}"
        )
    if target.dim() == 1:
        if input1.dim() != 2 or input2.dim() != 2:
            raise RuntimeError(
                "[cosine_embedding_loss] 1D target tensor expects 2D input tensors, but found "
                f"inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
            )
    elif input1.dim() != 1 or input2.dim() != 1:
        raise RuntimeError(
            "[cosine_embedding_loss] 0D target tensor expects 1D input tensors, but found inputs "
            f"with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    dim = target.dim()
    tiny = 1e-12  # keeps the root away from 0
    product = (input1 * input2).sum(dim)
    square1 = (input1 * input1).sum(dim) + tiny
    square2 = (input2 * input2).sum(dim) + tiny
    cosine = product / (square1 * square2).sqrt()
    loss = dlgrad.where(
        target == 1, 1 - cosine, dlgrad.where(target == -1, (cosine - margin).clamp(min=0), 0.0)
    )
    return _reduced(loss, reduction)


def multi_margin_loss(
    input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """sum over i != y of max(0, margin - x[y] + x[i])^p / C, times weight[y].

    Shapes: input (N, C) or (C), target (N) or () int64, weight (C); reduction: 'mean' (the
    default), 'sum' (both 0-d) or 'none'. p is 1 or 2."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_tensors("multi_margin_loss", input=input, target=target)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    rows, single = _rows("multi_margin_loss", input)
    count, classes = rows.shape
    if target.dim() > 1 or target.numel() != count:
        raise RuntimeError(
            f"[multi_margin_loss] inconsistent target size, expected {count} but got "
            f"{list(target.shape)}"
        )
    if weight is not None:
        if weight.dim() != 1:
            raise ValueError("weight must be one-dimensional")
        if weight.numel() != classes:
            raise RuntimeError(
                f"[multi_margin_loss] inconsistent weight size, expected {classes} but got "
                f"{list(weight.shape)}"
            )
    labels = target.reshape(count, 1)
    try:
        hinge = (margin - rows.gather(1, labels) + rows).clamp(min=0)
    except (IndexError, RuntimeError) as error:
        raise RuntimeError(f"[multi_margin_loss] target out of range 0 to {classes - 1}") from error
    if p == 2:
        hinge = hinge * hinge
    if weight is not None:
        hinge = hinge * weight[labels]
    is_label = dlgrad.arange(classes) == labels
    loss = dlgrad.where(is_label, 0.0, hinge).sum(1) / classes
    return _reduced(loss.reshape(()) if single and target.dim() == 0 else loss, reduction)


def _check_triplet(margin, anchor, positive, negative):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative "
            f"{negative.dim()}D inputs"
        )


def _triplet(distance, anchor, positive, negative, margin, swap, reduction):
    near = distance(anchor, positive)
    far = distance(anchor, negative)
    if swap:
        far = dlgrad.minimum(far, distance(positive, negative))
    return _reduced((margin + near - far).clamp(min=0), reduction)


def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """max(0, |anchor - positive| - |anchor - negative| + margin) in the p-norm.

    Shapes: three of (N, D) or (D); swap: the nearer of anchor and positive counts as the
    negative's partner. reduction: 'mean' (the default), 'sum' (both 0-d) or 'none'. Balntas et
    al., BMVC 2016."""
    reduction = _reduction(reduction, size_average, reduce)
    _check_triplet(margin, anchor, positive, negative)
    return _triplet(
        lambda a, b: pairwise_distance(a, b, p, eps),
        anchor,
        positive,
        negative,
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """triplet_margin_loss with any distance."""
    reduction = _reduction(reduction)
    _check_triplet(margin, anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(distance, anchor, positive, negative, margin, swap, reduction)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps over the last dimension.

    Shapes: (N, D) and (N, D) -> (N), or (D) and (D) -> (); keepdim: (N, 1)."""
    _check_tensors("pairwise_distance", x1=x1, x2=x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) over `dim`, after broadcasting.

    Shapes: that of the inputs, broadcast, without `dim`. Floating point."""
    _check_tensors("cosine_similarity", x1=x1, x2=x2)
    if not (x1.is_floating_point() or x2.is_floating_point()):
        raise RuntimeError(
            f"[cosine_similarity] expected floating-point inputs, got {x1.dtype} and {x2.dtype}"
        )
    dtype = dlgrad.promote_types(x1.dtype, x2.dtype)
    if x1._layout is not x2._layout:
        x1, x2 = dlgrad.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    # One of the norms may divide the sums; both would, but that x1 x2 can be too large.
    first = x1.norm(dim=dim, keepdim=True).clamp(min=eps)
    return ((x1 / first) * x2).sum(dim) / x2.norm(dim=dim).clamp(min=eps)


def pdist(input, p=2.0):
    """The p-norm distance of every pair of rows i < j, in that order.

    Shapes: (N, M) -> (N (N - 1) / 2)."""
    _check_tensors("pdist", input=input)
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    result = pair_distances(input, p)
    if result is not None:
        return result
    first, second = dlgrad.triu_indices(input.shape[0], input.shape[0], 1).unbind(0)
    difference = input[first] - input[second]
    if p == math.inf:
        return difference.abs().amax(-1) if difference.numel() else difference.sum(-1)
    return difference.norm(p, -1)
