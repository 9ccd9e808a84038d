"""Scaled dot-product attention, in tiles: the matrix of scores is never kept (Dao 2023, arXiv 2307.08691)."""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.engine import grad
from ..autograd.graph import record_several, wants_grad
from ..autograd.mode import mode
from ..layout import Layout, broadcast_shapes, contiguous, expanded, layout
from ..tensor import make_tensor
from .ternary import where


def _four(t):
    """(..., T, D) as (B, H, T, D)."""
    shape = t._layout.shape
    lead = shape[:-2]
    if len(lead) == 2:
        return t
    if len(lead) == 0:
        return t.reshape((1, 1, *shape))
    if len(lead) == 1:
        return t.unsqueeze(1)
    return t.reshape((-1, *shape[-3:]))


def composed(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa):
    """The formula in Tensor operations: with dropout, with a mask that wants a gradient, under vmap, and for higher derivatives."""
    from . import random  # noqa: F401
    from .create import ones
    from .softmax import softmax

    if enable_gqa and key._layout.shape[-3] != query._layout.shape[-3]:
        times = query._layout.shape[-3] // key._layout.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = (query * scale) @ key.mT
    low = float("-inf")
    if is_causal:
        t, s = query._layout.shape[-2], key._layout.shape[-2]
        scores = where(ones((t, s), dtype=dt.bool).tril(), scores, low)
    if mask is not None:
        scores = where(mask, scores, low) if mask._layout.dtype is dt.bool else scores + mask
    weights = softmax(scores, -1)
    dead = (scores == low).all(-1, True)
    weights = where(dead, 0.0, weights)
    if dropout_p > 0:
        from .random import dropout

        weights = dropout(weights, dropout_p)
    return weights @ value


def _by_position(d, shape):
    """A layout of (B, H, T, D) that is (B, T, H, D) in memory: as a projection's output is, and goes on."""
    b, h, t, width = shape
    return layout(d, (b, h, t, width), (t * h * width, width, h * width, 1))


class _Call:
    """The kernel on (B, H, T, D) tensors of certain layouts, and a mask of any shape that expands to (B, H, T, S)."""

    is_constant = True
    __slots__ = ("outs", "mask_shape", "ints", "floats", "plain", "full", "backward")

    def __init__(self, outs, mask_shape, q, k, v, mask, ints, floats):
        self.outs = outs
        self.mask_shape = mask_shape
        self.ints = ints
        self.floats = floats
        lays = (q, k, v, None if mask is None else expanded(mask, mask_shape))
        self.plain, self.full = [
            door.make_plan("attention", "attention", kept, lays, ints, floats, "scaled_dot_product_attention")
            for kept in ((outs[0], None), outs)
        ]
        self.backward = {}

    def run(self, q, k, v, mask):
        """The result, recorded."""
        if mask is not None:
            mask = make_tensor(mask._ptr, expanded(mask._layout, self.mask_shape), mask._storage)
        if not wants_grad(q, k, v):
            return door.run(self.plain, q, k, v, mask)[0]
        out, lse = door.run(self.full, q, k, v, mask)
        saved = (q, k, v, mask, out, lse)
        record_several((out, lse), "ScaledDotProductFlashAttentionForCpuBackward0", self.rule, (q, k, v), saved, (True, False))
        return out

    def rule(self, g, gl, q, k, v, mask, out, lse):
        wanted = [t.requires_grad for t in (q, k, v)]
        if not mode.enabled:
            given = (g, q, k, v, mask, out, lse)
            plan = self.backward.get((g._layout, *wanted))
            if plan is None:
                d = self.outs[0].dtype
                like = tuple([_by_position(d, t._layout.shape) if w else None for t, w in zip((q, k, v), wanted)])
                if type(g._layout) is not Layout:  # under vmap
                    return door.call("attention", "attention_backward", like, given, ints=self.ints, floats=self.floats)
                lays = [None if t is None else t._layout for t in given]
                plan = door.make_plan("attention", "attention_backward", like, lays, self.ints, self.floats)
                door.remember(self.backward, (g._layout, *wanted), plan)
            return door.run(plan, *given)
        # Each by a view of its own: one may have been made from another.
        q, k, v = q.view_as(q), k.view_as(k), v.view_as(v)
        again = composed(q, k, v, mask, 0.0, bool(self.ints[0]), self.floats[0], True)
        to = [t for t, w in zip((q, k, v), wanted) if w]
        found = iter(grad(again, to, g, create_graph=True, allow_unused=True))
        return tuple([next(found) if w else None for w in wanted])


_ready: dict = {}  # layouts and options -> the call, where the tensors are taken as they are


def known(query, key, value, attn_mask, is_causal, scale, enable_gqa):
    """The result where a call with these layouts has been checked before; else None."""
    try:
        mask = None if attn_mask is None else attn_mask._layout
        found = _ready.get((query._layout, key._layout, value._layout, mask, is_causal, scale, enable_gqa))
    except (AttributeError, TypeError):  # not tensors
        return None
    if found is None or (attn_mask is not None and attn_mask.requires_grad):
        return None
    return found.run(query, key, value, attn_mask)


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """softmax(scale query key^T + mask) value for query (..., H, T, D), key and value (..., H, S, D).

    scale: 1 / sqrt(D) unless given. A bool mask is True where a key takes part; a query without any gives zeros."""
    given = scale
    scale = (1 / math.sqrt(query._layout.shape[-1]) if query._layout.shape[-1] else 1.0) if scale is None else float(scale)
    tensors = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
    batched = any([type(t._layout) is not Layout for t in tensors])
    if dropout_p > 0 or batched or (attn_mask is not None and attn_mask.requires_grad):
        return composed(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    lead = broadcast_shapes(query._layout.shape[:-2], *([] if enable_gqa else [key._layout.shape[:-2], value._layout.shape[:-2]]),
                            op="scaled_dot_product_attention")  # fmt: skip
    asked = (query._layout, key._layout, value._layout, None if attn_mask is None else attn_mask._layout, is_causal, given, enable_gqa)
    if not enable_gqa:
        query, key, value = (t if t._layout.shape[:-2] == lead else t.expand((*lead, *t._layout.shape[-2:])) for t in (query, key, value))
    q, k, v = _four(query), _four(key), _four(value)
    b, h, tq, _ = q._layout.shape
    tk, dv = k._layout.shape[-2], v._layout.shape[-1]
    d = q._layout.dtype
    mask = attn_mask
    if mask is not None:
        mask = mask.expand((*lead, tq, tk)) if mask._layout.ndim >= 2 else mask.expand((tq, tk))
        mask = (_four(mask) if mask._layout.ndim > 2 else mask).detach()
    stat = dt.float64 if d is dt.float64 else dt.float32
    strides = q._layout.strides
    place = _by_position if strides[1] < strides[2] else contiguous
    outs, ints = (place(d, (b, h, tq, dv)), contiguous(stat, (b, h, tq))), (int(is_causal), int(mask is not None))
    call = _Call(outs, (b, h, tq, tk), q._layout, k._layout, v._layout, None if mask is None else mask._layout, ints, (scale,))
    if asked[:3] == (q._layout, k._layout, v._layout) and (given is None or type(given) is float):
        door.remember(_ready, asked, call)
    out = call.run(q, k, v, mask)
    shape = (*query._layout.shape[:-1], dv)
    return out if out._layout.shape == shape else out.reshape(tuple(shape))
