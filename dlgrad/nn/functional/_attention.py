"""Attention."""

from __future__ import annotations

import math

import dlgrad
from dlgrad import Tensor, ops

from ._dropout import dropout
from ._linear import linear

__all__ = ["scaled_dot_product_attention", "multi_head_attention_forward"]


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """softmax(query key^T scale + mask) value (arXiv 1706.03762).

    query (..., L, E), key (..., S, E), value (..., S, Ev); `scale` is 1/sqrt(E) unless given. A
    boolean mask says what may be attended to; one of query's dtype or float32 is added.
    `is_causal`: position i sees 0..i. `enable_gqa`: the heads (third dimension from the end) of key
    and value are shared.
    """
    if dropout_p == 0:
        result = ops.attention.known(query, key, value, attn_mask, is_causal, scale, enable_gqa)
        if result is not None:
            return result
    for what, tensor in (("query", query), ("key", key), ("value", value)):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"scaled_dot_product_attention(): {what} must be a Tensor, got "
                f"{type(tensor).__name__}"
            )
        if tensor.dim() < 2:
            raise RuntimeError(
                f"scaled_dot_product_attention(): query, key and value must be at least 2 "
                f"dimensional, but {what} has shape {list(tensor.shape)}"
            )
    if not query.dtype is key.dtype is value.dtype:
        raise RuntimeError(
            "scaled_dot_product_attention(): Expected query, key, and value to have the same dtype, "
            f"but got query.dtype: {query.dtype} key.dtype: {key.dtype} and value.dtype: "
            f"{value.dtype} instead."
        )
    if not query.is_floating_point():
        raise RuntimeError(
            f"scaled_dot_product_attention(): expected floating-point inputs, got {query.dtype}"
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            "scaled_dot_product_attention(): query and key must have the same last dimension, key "
            f"and value the same length, got shapes {list(query.shape)}, {list(key.shape)}, "
            f"{list(value.shape)}"
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention(): Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(
            f"scaled_dot_product_attention(): dropout_p must be between 0 and 1, got {dropout_p}"
        )
    if attn_mask is not None and attn_mask.dtype not in (dlgrad.bool, query.dtype):
        if attn_mask.dtype is not dlgrad.float32:
            raise RuntimeError(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                f"attn_mask.dtype: {attn_mask.dtype} and query.dtype: {query.dtype} instead."
            )
        attn_mask = attn_mask.to(query.dtype)
    if enable_gqa and query.dim() >= 3 and query.shape[-3] % key.shape[-3] != 0:
        raise RuntimeError(
            "scaled_dot_product_attention(): with enable_gqa the query's heads must be a multiple of "
            f"the key's, got {query.shape[-3]} and {key.shape[-3]}"
        )
    return ops.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
    )


def _mask_to_add(mask, name, dtype):
    """A mask as values that are added to the scores: a boolean one becomes 0 and -inf."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype is not dlgrad.bool:
        raise AssertionError(
            f"only bool and floating types of {name} are supported, got {mask.dtype}"
        )
    return dlgrad.zeros(mask.shape, dtype=dtype).masked_fill(mask, float("-inf"))


def _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Whether the query is a batch; AssertionError when the others don't go with it."""
    rank = query.dim()
    if rank not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor"
        )
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(
            f"For {rank}-D `query`, expected `key` and `value` to be {rank}-D but found "
            f"{key.dim()}-D and {value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != rank - 1:
        raise AssertionError(
            f"For {rank}-D `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but "
            f"found {key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                "expected `attn_mask` to be `None`, 2-D or 3-D but found "
                f"{attn_mask.dim()}-D tensor instead"
            )
        wanted = (num_heads, query.shape[0], key.shape[0])
        if rank == 2 and attn_mask.dim() == 3 and tuple(attn_mask.shape) != wanted:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {wanted} but got {tuple(attn_mask.shape)}"
            )
    return rank == 3


def _project_packed(q, k, v, weight, bias):
    """The three projections by one (3 E, E) weight: one product where the inputs are the same."""
    embed = q.shape[-1]
    if k is v:
        if q is k:
            return linear(q, weight, bias).chunk(3, -1)
        w_q, w_kv = weight.split([embed, 2 * embed])
        b_q, b_kv = (None, None) if bias is None else bias.split([embed, 2 * embed])
        return (linear(q, w_q, b_q), *linear(k, w_kv, b_kv).chunk(2, -1))
    weights = weight.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases))


def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Multi-head attention (arXiv 1706.03762): (output, attention weights or None).

    query (L, N, E), key and value (S, N, E*), or without N. `key_padding_mask` (N, S) and
    `attn_mask` (L, S) or (N heads, L, S): booleans that forbid, or floats that are added.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint: is_causal only says what the mask is"
        )
    if not batched:
        same_kv, same_qk = key is value, query is key
        query = query.unsqueeze(1)
        key = query if same_qk else key.unsqueeze(1)
        value = key if same_kv else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, embed = query.shape
    source = key.shape[0]
    if embed != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}"
        )
    head = embed // num_heads
    if head * num_heads != embed:
        raise AssertionError(f"embed_dim {embed} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        fits = tuple(key.shape[:2]) == tuple(value.shape[:2])
    else:
        fits = tuple(key.shape) == tuple(value.shape)
    if not fits:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if key_padding_mask is not None and tuple(key_padding_mask.shape) != (batch, source):
        raise AssertionError(
            f"key_padding_mask should have shape {(batch, source)}, but got "
            f"{tuple(key_padding_mask.shape)}"
        )

    if use_separate_proj_weight:
        for what, weight in (("q", q_proj_weight), ("k", k_proj_weight), ("v", v_proj_weight)):
            if weight is None:
                raise AssertionError(
                    f"use_separate_proj_weight is True but {what}_proj_weight is None"
                )
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
    else:
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias)

    key_padding_mask = _mask_to_add(key_padding_mask, "key_padding_mask", query.dtype)
    attn_mask = _mask_to_add(attn_mask, "attn_mask", query.dtype)
    if attn_mask is not None:
        wanted = (length, source) if attn_mask.dim() == 2 else (batch * num_heads, length, source)
        if tuple(attn_mask.shape) != wanted:
            raise RuntimeError(
                f"The shape of the {attn_mask.dim()}D attn_mask is {tuple(attn_mask.shape)}, but "
                f"should be {wanted}."
            )
        if attn_mask.dim() == 2:
            attn_mask = attn_mask.unsqueeze(0)

    pad = dlgrad.nn.functional.pad
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v go together: give both or neither")
    if bias_k is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias cannot be added to static key or value.")
        k = dlgrad.cat([k, bias_k.expand(1, batch, bias_k.shape[-1])])
        v = dlgrad.cat([v, bias_v.expand(1, batch, bias_v.shape[-1])])
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, 1))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, 1))

    # (L, N, E) -> (N heads, L, head)
    q = q.reshape(length, batch * num_heads, head).transpose(0, 1)
    heads = []
    for what, computed, static in (("static_k", k, static_k), ("static_v", v, static_v)):
        if static is None:
            static = computed.reshape(computed.shape[0], batch * num_heads, head).transpose(0, 1)
        elif static.shape[0] != batch * num_heads or static.shape[2] != head:
            raise AssertionError(
                f"expecting {what} of shape ({batch * num_heads}, *, {head}), but got "
                f"{tuple(static.shape)}"
            )
        heads.append(static)
    k, v = heads
    if add_zero_attn:
        zeros = dlgrad.zeros((batch * num_heads, 1, head), dtype=k.dtype)
        k = dlgrad.cat([k, zeros], 1)
        v = dlgrad.cat([v, zeros], 1)
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, 1))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, 1))
    source = k.shape[1]
    if key_padding_mask is not None:
        rows = key_padding_mask.reshape(batch, 1, 1, source).expand(batch, num_heads, 1, source)
        rows = rows.reshape(batch * num_heads, 1, source)
        attn_mask = rows if attn_mask is None else attn_mask + rows
    dropout_p = dropout_p if training else 0.0

    if need_weights:
        scores = (q * math.sqrt(1.0 / head)).matmul(k.transpose(1, 2))  # (N heads, L, S)
        if attn_mask is not None:
            scores = scores + attn_mask
        weights = ops.softmax(scores, -1)
        if dropout_p > 0.0:
            weights = dropout(weights, dropout_p)
        mixed = weights.matmul(v)
        weights = weights.reshape(batch, num_heads, length, source)
        if average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            weights = weights.squeeze(0)
    else:
        if attn_mask is not None:
            if attn_mask.shape[0] == 1:
                attn_mask = attn_mask.unsqueeze(0)
            else:
                attn_mask = attn_mask.reshape(batch, num_heads, -1, source)
        mixed = scaled_dot_product_attention(
            q.reshape(batch, num_heads, length, head),
            k.reshape(batch, num_heads, source, head),
            v.reshape(batch, num_heads, source, head),
            attn_mask,
            dropout_p,
        ).reshape(batch * num_heads, length, head)
        weights = None
    # (N heads, L, head) -> (L, N, E)
    mixed = mixed.transpose(0, 1).reshape(length * batch, embed)
    output = linear(mixed, out_proj_weight, out_proj_bias).reshape(length, batch, -1)
    return (output if batched else output.squeeze(1)), weights
