"""Linear maps and table look-ups."""

from __future__ import annotations

import dlgrad
from dlgrad import Tensor, ops
from dlgrad.batched import every_member
from dlgrad.ops.embedding import bags as bags_of_rows
from dlgrad.ops.embedding import known as known_embedding
from dlgrad.ops.matmul import learn_linear, linear_recipe
from dlgrad.plan import quick

__all__ = ["linear", "bilinear", "embedding", "embedding_bag", "one_hot", "linear_cross_entropy"]


def linear(input, weight, bias=None):
    """x W^T + b, for input (*, in_features) and weight (out_features, in_features)."""
    return quick_linear(input, weight, bias)


def _checked_linear(input, weight, bias):
    shape, wanted = input.shape, weight.shape
    if not shape or not wanted or shape[-1] != wanted[-1] or len(wanted) > 2:
        _linear_error(shape, wanted)
    if bias is not None and len(wanted) == 1 and len(shape) <= 2:
        raise RuntimeError(
            f"[linear] with a bias the weight must be (out_features, in_features), got shape {tuple(wanted)}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"[linear] input and weight must have the same dtype, got {input.dtype} and "
            f"{weight.dtype}; convert one of them, as with input.to({weight.dtype})"
        )
    result = ops.linear(input, weight, bias)
    learn_linear(quick_linear, input, weight, bias)
    return result


quick_linear = quick(_checked_linear, linear_recipe, 3)


def _linear_error(shape, wanted):
    if len(wanted) not in (1, 2):
        raise RuntimeError(
            f"[linear] weight must be (out_features, in_features), got shape {tuple(wanted)}"
        )
    raise RuntimeError(
        f"[linear] the last dimension of the input must be in_features = {wanted[-1]}, but the "
        f"input has shape {tuple(shape)} and the weight {tuple(wanted)}"
    )


def bilinear(input1, input2, weight, bias=None):
    """y_o = x1^T W_o x2 + b_o, for weight (out, in1, in2).

    Shapes: (*, in1), (*, in2) -> (*, out)."""
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError(
            "[bilinear] the inputs must have the same leading dimensions, got shapes "
            f"{tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    out, in1, in2 = weight.shape
    if input1.shape[-1] != in1 or input2.shape[-1] != in2:
        raise RuntimeError(
            f"[bilinear] the weight takes {in1} and {in2} features, the inputs have "
            f"{input1.shape[-1]} and {input2.shape[-1]}"
        )
    if bias is not None and bias.shape[0] != out:
        raise RuntimeError(f"[bilinear] bias has {bias.shape[0]} elements for {out} outputs")
    lead = tuple(input1.shape[:-1])
    first = input1.reshape(-1, in1)  # (N, in1)
    second = input2.reshape(-1, in2)  # (N, in2)
    # (N, in1) x (in1, out * in2) -> (N, out, in2), then weighted by x2 and summed over in2.
    mixed = first.matmul(weight.permute(1, 0, 2).reshape(in1, out * in2)).reshape(-1, out, in2)
    result = mixed.matmul(second.unsqueeze(-1)).squeeze(-1)
    if bias is not None:
        result = result + bias
    return result.reshape(lead + (out,))


def _check_indices(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"[{name}] expected a Tensor of indices, got {type(input).__name__}")
    if input.dtype not in (dlgrad.int64, dlgrad.int32):
        raise RuntimeError(
            f"[{name}] Expected tensor for argument 'indices' to have dtype int64 or int32, "
            f"got {input.dtype}; convert it with .long()"
        )


def _check_padding_index(name, padding_idx, rows):
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(
            f"[{name}] padding_idx must be within the number of embeddings {rows}, "
            f"got {padding_idx}"
        )
    return padding_idx % rows


def _renormalize(weight, indices, max_norm, norm_type):
    """Rescales the rows of `weight` that are used to at most `max_norm`, in place."""
    with dlgrad.no_grad():
        rows = indices.reshape(-1)  # one that is there several times is written as often, the same each time
        table = weight.detach()
        used = table[rows]
        norms = used.norm(norm_type, dim=1, keepdim=True)
        scale = dlgrad.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)
        table.index_copy_(0, rows, used * scale.to(used.dtype))


def embedding(
    input,
    weight,
    padding_idx=None,
    max_norm=None,
    norm_type=2.0,
    scale_grad_by_freq=False,
    sparse=False,
):
    """Rows of `weight` (rows, columns) picked by `input`, indices of any shape (*).

    Output (*, columns). The row `padding_idx` gets no gradient; `max_norm` rescales the used rows
    in place; `scale_grad_by_freq` divides a row's gradient by how often it was used.
    """
    if max_norm is None:
        rows = known_embedding(input, weight, padding_idx, scale_grad_by_freq)
        if rows is not None:
            return rows
    _check_indices("embedding", input)
    if weight.dim() != 2:
        raise RuntimeError(f"[embedding] 'weight' must be 2-D, got shape {tuple(weight.shape)}")
    padding_idx = _check_padding_index("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return ops.embedding(input, weight, padding_idx, scale_grad_by_freq)


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """The sum, mean or max of the rows of each bag of indices.

    `input` is (B, N), a bag a row; or 1-D, with `offsets` that say where each bag starts (and, with
    `include_last_offset`, where the last one ends). Rows `padding_idx` are left out.
    """
    if (
        isinstance(input, Tensor)
        and isinstance(weight, Tensor)
        and not weight.is_floating_point()
        and input.is_floating_point()
    ):
        raise TypeError(
            "[embedding_bag] the arguments are in the wrong order: indices come first, "
            "then the weight"
        )
    _check_indices("embedding_bag", input)
    if weight.dim() != 2:
        raise RuntimeError(f"[embedding_bag] 'weight' must be 2-D, got shape {tuple(weight.shape)}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError(
            "max mode does not support scaling the gradient by the frequency, nor sparse weights"
        )
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "[embedding_bag] per_sample_weights was not None: it is supported for mode='sum' "
                f"only, got mode={mode!r}"
            )
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ValueError(
                f"[embedding_bag] If per_sample_weights ({tuple(per_sample_weights.shape)}) is not "
                f"None, then it must have the same shape as the input ({tuple(input.shape)})"
            )
    if mode != "max" and max_norm is None and not scale_grad_by_freq and input.numel():
        skip = _check_padding_index("embedding_bag", padding_idx, weight.shape[0])
        result = _quick_bags(input, weight, offsets, mode == "mean", skip, per_sample_weights, include_last_offset)
        if result is not None:
            return result
    bag_of, indices, bags = _bags(input, offsets, include_last_offset)
    if per_sample_weights is not None:
        per_sample_weights = per_sample_weights.reshape(-1)
    padding_idx = _check_padding_index("embedding_bag", padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, indices, max_norm, norm_type)
    if padding_idx is not None:
        kept = (indices != padding_idx).nonzero().reshape(-1)
        indices, bag_of = indices[kept], bag_of[kept]
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights[kept]
    try:
        rows = ops.embedding(indices, weight, None, scale_grad_by_freq)  # (number of indices, columns)
    except IndexError as problem:
        raise RuntimeError(f"[embedding_bag] {problem}") from None
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    columns = weight.shape[1]
    zeros = dlgrad.zeros((bags, columns), dtype=rows.dtype)
    if mode == "max":
        where = bag_of.unsqueeze(1).expand(-1, columns)
        return zeros.scatter_reduce(0, where, rows, "amax", include_self=False)
    total = zeros.index_add(0, bag_of, rows)
    if mode == "sum":
        return total
    ones = dlgrad.ones(bag_of.shape[0], dtype=rows.dtype)
    counts = dlgrad.zeros(bags, dtype=rows.dtype).index_add(0, bag_of, ones)
    return total / counts.clamp(min=1).unsqueeze(1)


def _quick_bags(input, weight, offsets, mean, skip, shares, ends_given):
    """One kernel call; None where that cannot be, or fails for offsets that `_bags` says more about."""
    if input.dim() == 2 and offsets is None:
        offsets = dlgrad.arange(0, input.numel(), input.shape[1])
        input, ends_given = input.reshape(-1), False
        shares = None if shares is None else shares.reshape(-1)
    if input.dim() != 1 or not isinstance(offsets, Tensor) or offsets.dim() != 1:
        return None
    try:
        return bags_of_rows(input, weight, offsets, mean, skip, shares, bool(ends_given))
    except RuntimeError:
        return None


def _bags(input, offsets, include_last_offset):
    """(the bag of each index, the indices in one dimension, the number of bags)."""
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "[embedding_bag] if input is 2D, then offsets has to be None, as input is treated "
                f"is a mini-batch of fixed length sequences; got offsets of {type(offsets)}"
            )
        bags, length = input.shape
        bag_of = dlgrad.arange(bags).unsqueeze(1).expand(bags, length).reshape(-1)
        return bag_of, input.reshape(-1).long(), bags
    if input.dim() != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    _check_indices("embedding_bag", offsets)
    starts = offsets.tolist()
    if starts and starts[0] != 0:
        raise ValueError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {starts[0]}"
        )
    length = input.shape[0]
    if any(start > length for start in starts):
        raise ValueError(
            f"offsets can not be greater than input's length: got offsets up to {max(starts)} "
            f"for a length of {length}"
        )
    if any(later < earlier for earlier, later in zip(starts, starts[1:])):
        raise RuntimeError(f"[embedding_bag] offsets must not decrease, got {starts}")
    if include_last_offset:
        if not starts:
            raise ValueError("include_last_offset: the number of offsets should be at least 1")
        ends = starts[1:]
        starts = starts[:-1]
        length = min(length, ends[-1]) if ends else 0
    else:
        ends = starts[1:] + [length]
    bag_of = [bag for bag, (start, end) in enumerate(zip(starts, ends)) for _ in range(end - start)]
    return dlgrad.tensor(bag_of, dtype=dlgrad.int64), input[:length].long(), len(starts)


def one_hot(tensor, num_classes=-1):
    """int64 zeros of shape (*, num_classes) with a 1 at each index; -1: the largest index + 1."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"[one_hot] expected a Tensor, got {type(tensor).__name__}")
    if tensor.dtype is not dlgrad.int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type int64, got {tensor.dtype}"
        )
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError(
                "[one_hot] Can not infer total number of classes from empty tensor: give num_classes"
            )
        return dlgrad.zeros((*tensor.shape, num_classes), dtype=dlgrad.int64)
    if every_member(tensor).min().item() < 0:
        raise RuntimeError("[one_hot] Class values must be non-negative.")
    largest = (tensor if num_classes == -1 else every_member(tensor)).max().item()
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes < 1:
        raise RuntimeError(f"[one_hot] num_classes should be positive, got {num_classes}")
    elif largest >= num_classes:
        raise RuntimeError(
            f"[one_hot] Class values must be smaller than num_classes: got {largest} for "
            f"{num_classes} classes"
        )
    result = tensor.new_zeros((*tensor.shape, num_classes))
    return result.scatter_(-1, tensor.unsqueeze(-1), 1)


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """cross_entropy(linear(input, linear_weight, linear_bias), target).

    input (N, features) or (features), linear_weight (C, d..., features), linear_bias (C, d...).
    `options` (how PyTorch saves memory) changes nothing here.
    """
    from ._loss import cross_entropy

    outputs = tuple(linear_weight.shape[:-1])
    if len(outputs) > 1 and input.dim() != 2:
        raise RuntimeError(
            f"[linear_cross_entropy] a weight of shape {tuple(linear_weight.shape)} (several outputs "
            f"of each class) takes inputs (N, features), got shape {tuple(input.shape)}"
        )
    flat_weight = linear_weight.reshape(-1, linear_weight.shape[-1])
    flat_bias = None
    if linear_bias is not None:
        flat_bias = (
            linear_bias.expand(outputs)
            if linear_bias.dim() == len(outputs)
            else (
                linear_bias.reshape(linear_bias.shape + (1,) * (len(outputs) - 1)).expand(outputs)
            )
        )
        flat_bias = flat_bias.reshape(-1)
    logits = linear(input, flat_weight, flat_bias)
    logits = logits.reshape(tuple(input.shape[:-1]) + outputs)
    if target.is_floating_point() and ignore_index is not None:
        raise RuntimeError(
            "[linear_cross_entropy] ignore_index cannot be specified when target contains "
            "probabilities"
        )
    return cross_entropy(
        logits,
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
