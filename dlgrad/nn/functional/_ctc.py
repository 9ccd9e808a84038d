"""Connectionist temporal classification."""

from __future__ import annotations

import dlgrad
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.batched import each_member
from dlgrad.layout import contiguous
from dlgrad.linalg._base import undifferentiable

from ._loss import _check_tensors, _reduction

__all__ = ["ctc_loss"]


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


def _check_targets(targets, target_lengths, batch):
    longest = max(target_lengths, default=0)
    if targets.dim() == 1:
        if sum(target_lengths) > targets.shape[0]:
            raise RuntimeError(
                f"[ctc_loss] the targets have {targets.shape[0]} elements, their lengths sum to "
                f"{sum(target_lengths)}"
            )
    elif targets.dim() != 2 or targets.shape[0] != batch:
        raise RuntimeError(
            f"[ctc_loss] targets must be (batch, length) or 1-dimensional, got {list(targets.shape)}"
        )
    elif longest > targets.shape[1]:
        raise RuntimeError(
            f"[ctc_loss] Expected tensor targets to have size at least {longest} at "
            f"dimension 1, but got size {targets.shape[1]}"
        )
    return longest


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
    longest = _check_targets(targets, target_lengths, batch)
    losses = _losses(
        log_probs, targets, input_lengths, target_lengths, longest, blank, bool(zero_infinity)
    )
    if reduction == "mean":
        lengths = dlgrad.tensor([max(n, 1) for n in target_lengths], dtype=losses.dtype)
        return (losses / lengths).mean()
    if reduction == "sum":
        return losses.sum()
    return losses.squeeze(0) if single else losses


def _losses(log_probs, targets, input_lengths, target_lengths, longest, blank, zero_infinity):
    """The losses (N) of log_probs (T, N, C), recorded."""
    scores = log_probs.detach().contiguous()
    d = scores.dtype
    if d not in (dlgrad.float32, dlgrad.float64):
        scores = scores.float()
    lay = contiguous(scores.dtype, scores.shape[1:2])
    door.not_again()  # the lengths are made of numbers
    lengths = [dlgrad.tensor(n, dtype=dlgrad.int64) for n in (input_lengths, target_lengths)]
    given = (scores, targets.detach().long().contiguous(), *lengths)
    ints = (blank, zero_infinity, 2 * longest + 1)
    try:
        losses = door.call("ctc", "ctc", lay, given, ints=ints)
    except IndexError:
        raise RuntimeError(
            f"[ctc_loss] a target is out of the label range 0 to {scores.shape[2] - 1}"
        ) from None
    losses = losses.to(d)

    def rule(g, *given):
        given = (g.detach().to(given[0].dtype).contiguous(), *given)
        result = door.call("ctc", "ctc_backward", given[1]._layout, given, ints=ints).to(d)
        return record(
            result,
            "CtcLossBackwardBackward0",
            undifferentiable("ctc_loss_backward"),
            (g, log_probs),
        )

    return record(losses, "CtcLossBackward0", rule, (log_probs,), given)
