"""Samples into a batch."""

from __future__ import annotations

import collections.abc
import copy
import sys

import dlgrad
from dlgrad import Tensor

__all__ = ["collate", "default_collate", "default_convert", "default_collate_fn_map"]


def _is_array(value):
    """Whether `value` is a NumPy array (or scalar) of numbers, without importing NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def _check_array(value):
    if value.dtype.kind in "SUO":
        raise TypeError(
            f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
            f"found an array of {value.dtype}"
        )


def default_convert(data):
    """NumPy arrays to tensors, at any depth; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if _is_array(data):
        return data if data.dtype.kind in "SUO" else dlgrad.as_tensor(data)
    if isinstance(data, collections.abc.Mapping):
        return _rebuilt_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return _rebuilt_sequence(data, [default_convert(value) for value in data])
    return data


def _rebuilt_mapping(like, values):
    """`values` as a mapping of the type of `like`, or a dict if it can't be made."""
    try:
        if isinstance(like, collections.abc.MutableMapping):
            clone = copy.copy(like)
            clone.update(values)
            return clone
        return type(like)(values)
    except TypeError:
        return values


def _rebuilt_sequence(like, values):
    """`values` as a sequence of the type of `like`, or a list if it can't be made."""
    try:
        if isinstance(like, collections.abc.MutableSequence):
            clone = copy.copy(like)
            for i, value in enumerate(values):
                clone[i] = value
            return clone
        return type(like)(values)
    except TypeError:
        return values


# Additional types: type -> function(batch, *, collate_fn_map), as in PyTorch.
default_collate_fn_map = {}


def collate(batch, *, collate_fn_map=None):
    """Puts the samples of a batch together, structure by structure.

    Tensors and arrays are stacked, numbers become a tensor, strings a list; mappings, named tuples
    and sequences keep their structure (tuples become lists). `collate_fn_map` adds types.
    """
    first = batch[0]
    for kind, function in (collate_fn_map or {}).items():
        if isinstance(first, kind):
            return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Tensor):
        return dlgrad.stack(tuple(batch), 0)
    if _is_array(first):
        _check_array(first)
        return dlgrad.stack([dlgrad.as_tensor(value) for value in batch], 0)
    if isinstance(first, bool):
        return dlgrad.tensor(list(batch))
    if isinstance(first, float):
        return dlgrad.tensor(list(batch), dtype=dlgrad.float64)
    if isinstance(first, int):
        return dlgrad.tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, collections.abc.Mapping):
        return _rebuilt_mapping(
            first,
            {
                key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map)
                for key in first
            },
        )
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(
            *(collate(values, collate_fn_map=collate_fn_map) for values in zip(*batch))
        )
    if isinstance(first, collections.abc.Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        values = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)]
        return values if isinstance(first, tuple) else _rebuilt_sequence(first, values)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first)}"
    )


def default_collate(batch):
    """What a DataLoader does with a batch unless it is given a `collate_fn`."""
    return collate(batch, collate_fn_map=default_collate_fn_map)
