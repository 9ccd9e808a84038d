"""Causal masks for `scaled_dot_product_attention` where query and key differ in length."""

from __future__ import annotations

import warnings

import dlgrad

__all__ = ["causal_upper_left", "causal_lower_right"]


def _lengths(name, size):
    if len(size) != 2:
        raise AssertionError(f"{name} only supports 2D tensors")
    return size


def causal_upper_left(*size):
    """A boolean mask (L, S): query i sees the keys 0..i."""
    return dlgrad.ones(*_lengths("causal_upper_left", size), dtype=dlgrad.bool).tril()


def causal_lower_right(*size):
    """A boolean mask (L, S) whose last query sees all keys: query i sees 0..i + S - L.

    Warns where L > S: the first queries see nothing then."""
    queries, keys = _lengths("causal_lower_right", size)
    if queries > keys:
        warnings.warn(
            "Lower right causal bias will produce NaNs in the output when seq_len_q > seq_len_kv!",
            stacklevel=2,
        )
    return dlgrad.ones(queries, keys, dtype=dlgrad.bool).tril(keys - queries)
