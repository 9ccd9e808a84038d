"""Functions that rearrange elements; shapes and axes are the standard's."""

from __future__ import annotations

from .. import ops
from ..layout import broadcast_shapes, wrap_dim
from ..tensor import Tensor
from ._dtypes import operands, tensor

__all__ = [
    "broadcast_arrays", "broadcast_to", "concat", "expand_dims", "flip", "moveaxis", "permute_dims", "repeat", "reshape", "roll",
    "squeeze", "stack", "tile", "unstack",
]  # fmt: skip


def axes_of(name, x, axis):
    """The axes as a tuple of numbers from 0: all for None. Raises IndexError for one that isn't there, ValueError for twice."""
    if axis is None:
        return tuple(range(x.ndim))
    axes = tuple(_axis(name, a, x.ndim) for a in ((axis,) if isinstance(axis, int) else axis))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}(): an axis appears twice in {axis}")
    return axes


def _axis(name, axis, ndim):
    return wrap_dim(axis, ndim, name, scalar_ok=False)


def broadcast_arrays(*arrays):
    """The tensors expanded to their common shape, in a list. Views."""
    shape = broadcast_shapes(*[tensor("broadcast_arrays", a).shape for a in arrays])
    return [a.expand(shape) for a in arrays]


def broadcast_to(x, /, shape):
    """x expanded to the shape. A view. Raises RuntimeError where it doesn't broadcast."""
    return ops.broadcast_to(tensor("broadcast_to", x), tuple(shape))


def concat(arrays, /, *, axis=0):
    """The tensors one after another along the axis, in their common dtype; flattened before for axis=None."""
    arrays = operands("concat", *arrays)
    if axis is None:
        return ops.cat([a.reshape(-1) for a in arrays])
    shape = arrays[0].shape
    axis = _axis("concat", axis, len(shape))
    for a in arrays:
        if a.ndim != len(shape):
            raise ValueError(
                f"concat(): tensors of {len(shape)} and {a.ndim} dimensions; all must have as many"
            )
    return ops.cat(arrays, axis)


def expand_dims(x, /, axis=0):
    """x with an axis of size 1 inserted at `axis` (-ndim - 1 to ndim). A view."""
    return ops.unsqueeze(tensor("expand_dims", x), axis)


def flip(x, /, *, axis=None):
    """The elements in the opposite order along the axes (all for None)."""
    return ops.flip(tensor("flip", x), axes_of("flip", x, axis))


def moveaxis(x, source, destination, /):
    """The axes `source` moved to `destination`, the others in their order. A view."""
    return ops.movedim(tensor("moveaxis", x), source, destination)


def permute_dims(x, /, axes):
    """The axes in the order `axes`. A view."""
    return ops.permute(tensor("permute_dims", x), tuple(axes))


def repeat(x, repeats, /, *, axis=None):
    """Each element `repeats` times along the axis: a number, or a tensor with one for each; flattened for axis=None."""
    if axis is None:
        x, axis = tensor("repeat", x).reshape(-1), 0
    if isinstance(repeats, Tensor):
        repeats = repeats.to(ops.arange(0).dtype)
        if repeats.ndim == 0 or repeats.shape[0] == 1:
            repeats = repeats.reshape(1).expand(x.shape[axis])
    return ops.repeat_interleave(x, repeats, axis)


def reshape(x, /, shape, *, copy=None):
    """x in another shape (one size may be -1). copy=True copies; copy=False raises ValueError where only a copy would do."""
    tensor("reshape", x)
    shape = tuple(shape)
    if copy:
        return x.clone().reshape(shape)
    if copy is None:
        return x.reshape(shape)
    try:
        return x.view(shape)
    except RuntimeError as error:
        raise ValueError(f"reshape(): {error}") from None


def roll(x, /, shift, *, axis=None):
    """The elements moved `shift` places on along the axes, those beyond the end to the start; flattened for axis=None."""
    tensor("roll", x)
    if axis is None:
        return ops.roll(x, shift)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    return ops.roll(x, shifts, axes)


def squeeze(x, /, axis):
    """x without these axes. A view. Raises ValueError where one has another size than 1."""
    axes = axes_of("squeeze", tensor("squeeze", x), axis)
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(
                f"squeeze(): axis {a} of shape {tuple(x.shape)} has size {x.shape[a]}, not 1"
            )
    return x.reshape([n for a, n in enumerate(x.shape) if a not in axes])


def stack(arrays, /, *, axis=0):
    """The tensors, all of one shape, along a new axis, in their common dtype."""
    return ops.stack(operands("stack", *arrays), axis)


def tile(x, repetitions, /):
    """x repeated `repetitions` times along each axis (aligned at the last)."""
    return ops.tile(tensor("tile", x), tuple(repetitions))


def unstack(x, /, *, axis=0):
    """The parts of x along the axis, in a tuple. Views."""
    return tuple(ops.unbind(tensor("unstack", x), axis))
