"""Views as new tensors: `transpose_copy(x, 0, 1)` is `transpose(x, 0, 1)` in memory of its own; and the split functions
that PyTorch calls unsafe, whose results are ordinary ones here."""

from __future__ import annotations

from ..tensor import Tensor
from . import complex_numbers, slicing, splitting, view
from .slicing import slice_
from .writing import write_out

_VIEWS = {
    **{name: getattr(view, name) for name in ("permute", "squeeze", "t", "transpose", "unsqueeze")},
    "expand": Tensor.expand, "unfold": Tensor.unfold, "detach": Tensor.detach, "alias": lambda x: x, "view": view.reshape,
    "as_strided": slicing.as_strided, "diagonal": slicing.diagonal, "select": slicing.select, "narrow": slicing.narrow,
    "view_as_real": complex_numbers.view_as_real, "view_as_complex": complex_numbers.view_as_complex,
    "slice": lambda x, dim=0, start=None, end=None, step=1: slice_(x, dim, start, end, step),
    "split": splitting.split, "split_with_sizes": splitting.split_with_sizes, "unbind": splitting.unbind,
}  # fmt: skip


def _copying(name, function):
    def f(input, *args, out=None, **kwargs):
        result = function(input, *args, **kwargs)
        if isinstance(result, (tuple, list)):
            result = tuple(r.clone(memory_format="contiguous") for r in result)
        else:
            result = result.clone(memory_format="contiguous")
        return result if out is None else write_out(name, out, result)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"`{name.removesuffix('_copy')}` as a new tensor (or several)."
    return f


for _name, _function in _VIEWS.items():
    globals()[f"{_name}_copy"] = _copying(f"{_name}_copy", _function)

Tensor.narrow_copy = narrow_copy = globals()["narrow_copy"]


def unsafe_chunk(input, chunks, dim=0):
    """`chunk`."""
    return splitting.chunk(input, chunks, dim)


def unsafe_split(input, split_size, dim=0):
    """`split` into parts of one size."""
    return splitting.split(input, split_size, dim)


def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """`split` into parts of these sizes."""
    return splitting.split_with_sizes(input, split_sizes, dim)


for _function in (unsafe_chunk, unsafe_split, unsafe_split_with_sizes):
    setattr(Tensor, _function.__name__, _function)
__all__ = [
    *[f"{name}_copy" for name in _VIEWS],
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
]
