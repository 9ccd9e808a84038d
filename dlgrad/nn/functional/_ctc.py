"""Connectionist temporal classification."""

from __future__ import annotations

import dlgrad
from dlgrad.batched import each_member

from ._loss import _check_tensors, _reduction

__all__ = ["ctc_loss"]

# The logarithm of a probability of 0, finite so that differences of two of them are no nan.
_LOG_ZERO = -1e30


def _lengths(name, value, batch):
    """Lengths given as a tensor or a sequence, as a list of `batch` numbers."""
    values = (
        value.reshape(-1).tolist()
        if isinstance(value, dlgrad.Tensor)
        else [int(v) for v in (value if hasattr(value, "__iter__") else (value,))]
    )
    if isinstance(value, dlgrad.Tensor) and value.is_floating_point():
        raise RuntimeError(f"[ctc_loss] {name} must be integral, got {value.dtype}")
    if len(values) != batch:
        raise RuntimeError(
            f"[ctc_loss] {name} must be of size batch_size = {batch}, got {len(values)}"
        )
    return values


def _log_sum(terms):
    """log(sum(exp(terms))) over the first dimension, for terms that may all be _LOG_ZERO."""
    top = terms.detach().amax(0)
    return (terms - top).exp().sum(0).log() + top


def _target_rows(targets, target_lengths, batch):
    """The targets as one list for each sample."""
    values = targets.tolist()
    if targets.dim() == 1:
        if sum(target_lengths) > len(values):
            raise RuntimeError(
                f"[ctc_loss] the targets have {len(values)} elements, their lengths sum to "
                f"{sum(target_lengths)}"
            )
        rows, start = [], 0
        for length in target_lengths:
            rows.append(values[start : start + length])
            start += length
        return rows
    if targets.dim() != 2 or len(values) != batch:
        raise RuntimeError(
            f"[ctc_loss] targets must be (batch, length) or 1-dimensional, got {list(targets.shape)}"
        )
    if max(target_lengths, default=0) > targets.shape[1]:
        raise RuntimeError(
            f"[ctc_loss] Expected tensor targets to have size at least {max(target_lengths)} at "
            f"dimension 1, but got size {targets.shape[1]}"
        )
    return [row[:length] for row, length in zip(values, target_lengths)]


@each_member
def ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction="mean",
    zero_infinity=False,
):
    """-log of the probability of `targets`, summed over all alignments (Graves et al., 2006).

    log_probs is (T, N, C) or (T, C); targets (N, S), or all in one dimension. "mean" divides each
    loss by its target's length first. `zero_infinity`: impossible targets count 0.
    """
    reduction = _reduction(reduction)
    _check_tensors("ctc_loss", log_probs=log_probs, targets=targets)
    if log_probs.dim() not in (2, 3):
        raise RuntimeError(
            f"[ctc_loss] log_probs must be (T, N, C) or (T, C), got {list(log_probs.shape)}"
        )
    if not log_probs.is_floating_point():
        raise RuntimeError(f"[ctc_loss] log_probs must be floating point, got {log_probs.dtype}")
    if targets.is_floating_point():
        raise RuntimeError(f"[ctc_loss] targets must be integral, got {targets.dtype}")
    single = log_probs.dim() == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
    time, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(
            f"[ctc_loss] blank must be in label range, got {blank} for {classes} labels"
        )
    input_lengths = _lengths("input_lengths", input_lengths, batch)
    target_lengths = _lengths("target_lengths", target_lengths, batch)
    for length in input_lengths:
        if not 0 <= length <= time:
            raise RuntimeError(
                f"[ctc_loss] Expected input_lengths to have value at most {time}, but got value "
                f"{length}"
            )
    if any(length < 0 for length in target_lengths):
        raise RuntimeError("[ctc_loss] target_lengths must not be negative")
    rows = _target_rows(targets, target_lengths, batch)
    # Sums over many steps: carried out in double precision.
    losses = _ctc_losses(log_probs.double(), rows, input_lengths, target_lengths, blank)
    losses = losses.to(log_probs.dtype)
    if log_probs.requires_grad:
        losses = losses + _normalizing_gradient(log_probs, input_lengths)
    if zero_infinity:
        losses = dlgrad.where(losses > -_LOG_ZERO / 2, 0.0, losses)
    else:
        losses = dlgrad.where(losses.detach() > -_LOG_ZERO / 2, float("inf"), losses)
    if reduction == "mean":
        lengths = dlgrad.tensor([max(n, 1) for n in target_lengths], dtype=losses.dtype)
        return (losses / lengths).mean()
    if reduction == "sum":
        return losses.sum()
    return losses.squeeze(0) if single else losses


def _normalizing_gradient(log_probs, input_lengths):
    """Zeros (N) with the gradient exp(log_probs).

    PyTorch's gradient is that of scores before a log_softmax, where the distinction is void; for
    log-probabilities that come from elsewhere it adds this term, and so does this function.
    """
    time = log_probs.shape[0]
    lengths = dlgrad.tensor(input_lengths, dtype=dlgrad.int64)
    inside = (dlgrad.arange(time).unsqueeze(1) < lengths).unsqueeze(2)
    probabilities = dlgrad.where(inside, log_probs.exp(), 0.0)
    return (probabilities - probabilities.detach()).sum((0, 2))


def _ctc_losses(log_probs, rows, input_lengths, target_lengths, blank):
    """The losses (N): the forward recursion over the targets with blanks between them."""
    time, batch, classes = log_probs.shape
    width = 2 * max(target_lengths, default=0) + 1
    labels, may_skip = [], []
    for row in rows:
        for label in row:
            if not 0 <= label < classes:
                raise RuntimeError(
                    f"[ctc_loss] target {label} is out of the label range 0 to {classes - 1}"
                )
        extended = [blank] * width
        extended[1 : 2 * len(row) : 2] = row
        labels.append(extended)
        # From two back only to a label that differs from it.
        may_skip.append(
            [
                s >= 2 and extended[s] != blank and extended[s] != extended[s - 2]
                for s in range(width)
            ]
        )
    labels = dlgrad.tensor(labels, dtype=dlgrad.int64)
    may_skip = dlgrad.tensor(may_skip, dtype=dlgrad.bool)
    # A probability of 0 may come as -inf: keep it finite.
    emitted = log_probs.clamp(min=_LOG_ZERO).gather(2, labels.expand(time, batch, width))
    nothing = dlgrad.full((batch, 1), _LOG_ZERO, dtype=log_probs.dtype)
    start = dlgrad.arange(width) < 2
    lengths = dlgrad.tensor(input_lengths, dtype=dlgrad.int64)
    ends = dlgrad.tensor(target_lengths, dtype=dlgrad.int64).unsqueeze(1) * 2
    # alpha[n, s]: log-probability of the first s + 1 extended labels at this time.
    # Before the first step, the probability 1 stands left of the first label.
    if time:
        alpha = dlgrad.where(start, emitted[0], _LOG_ZERO)
    else:
        alpha = dlgrad.full((batch, width), _LOG_ZERO, dtype=log_probs.dtype)
    for t in range(1, time):
        one_back = dlgrad.cat([nothing, alpha[:, :-1]], 1)
        if width > 1:
            two_back = dlgrad.cat([nothing, nothing, alpha[:, :-2]], 1)[:, :width]
        else:
            two_back = nothing.expand(batch, width)
        two_back = dlgrad.where(may_skip, two_back, _LOG_ZERO)
        moved = _log_sum(dlgrad.stack([alpha, one_back, two_back])) + emitted[t]
        moved = moved.clamp(min=_LOG_ZERO)
        alpha = dlgrad.where((lengths > t).unsqueeze(1), moved, alpha)
    last = alpha.gather(1, ends)
    before = alpha.gather(1, (ends - 1).clamp(min=0))
    before = dlgrad.where(ends > 0, before, _LOG_ZERO)
    total = _log_sum(dlgrad.stack([last, before])).squeeze(1)
    # No input at all fits the empty target alone.
    if 0 in input_lengths:
        empty = dlgrad.where(ends.squeeze(1) == 0, 0.0, _LOG_ZERO)
        total = dlgrad.where(lengths == 0, empty.to(total.dtype), total)
    return -total
