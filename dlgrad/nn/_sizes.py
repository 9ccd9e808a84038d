"""Sizes given as one number or as one number a dimension."""

from __future__ import annotations

from collections.abc import Iterable


def ntuple(value, n):
    """`value` as a tuple: an iterable as it is, a single value repeated `n` times."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)
    return (value,) * n


def single(value):
    """A tuple of one."""
    return ntuple(value, 1)


def pair(value):
    """A tuple of two."""
    return ntuple(value, 2)


def triple(value):
    """A tuple of three."""
    return ntuple(value, 3)


def quadruple(value):
    """A tuple of four."""
    return ntuple(value, 4)


def reversed_repeated(values, n):
    """`values` from the last to the first, each `n` times: the order in which `pad` takes them."""
    return tuple(value for value in reversed(values) for _ in range(n))


# PyTorch's names in nn.modules.utils.
_single, _pair, _triple, _quadruple = single, pair, triple, quadruple
_reverse_repeat_tuple = reversed_repeated
