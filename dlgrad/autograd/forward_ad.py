"""Forward-mode derivatives of a piece of code: PyTorch's `torch.autograd.forward_ad`.

    with dual_level():
        y = f(make_dual(x, v))
        primal, tangent = unpack_dual(y)        # f(x), J v

A dual tensor here is one that is tracked for reverse mode, and `unpack_dual` works the tangent out
from the graph: the gradient of y times u is linear in u, and its derivative by u along the tangents
is J v. That is exact, for every operation with a second derivative; it costs two walks over the
graph for each tensor that is unpacked, where PyTorch carries the tangents along. Two things show:
duals require grad, and under `no_grad` they lose their tangents.
"""

from __future__ import annotations

from collections import namedtuple

from ..tensor import Tensor
from .mode import enable_grad, mode

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

UnpackedDualTensor = namedtuple("UnpackedDualTensor", ("primal", "tangent"))
UnpackedDualTensor.__doc__ = (
    "What `unpack_dual` returns: a tensor and its tangent, or None where it has none."
)

_levels: list = []  # of each level that is entered: [(dual tensor, tangent), ...]


def enter_dual_level():
    """Enters a level and returns its number, 0. Raises RuntimeError inside of another: levels don't nest, as in PyTorch."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append([])
    return 0


def exit_dual_level(*, level=None):
    """Leaves the level; its duals have no tangents any more."""
    if not _levels or level not in (None, 0):
        raise RuntimeError(
            f"Trying to exit a forward AD level that was not the last one that was created: {level}"
        )
    _levels.pop()


class dual_level:  # noqa: N801
    """The context manager of a level: `make_dual` and `unpack_dual` work inside."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()


def make_dual(tensor, tangent, *, level=None):
    """`tensor` with a tangent of its shape and dtype. Raises RuntimeError outside of a level, ValueError for integers."""
    from ..func.tracking import Tracked

    if not _levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(t, Tensor) or not (t.is_floating_point() or t.is_complex()):
            kind = t.dtype if isinstance(t, Tensor) else type(t).__name__
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {kind}")
    if tuple(tensor.shape) != tuple(tangent.shape) or tensor.dtype is not tangent.dtype:
        raise RuntimeError(
            f"make_dual(): Expected a tangent of the primal's shape and dtype, {list(tensor.shape)} {tensor.dtype}, got "
            f"{list(tangent.shape)} {tangent.dtype}"
        )
    dual = Tracked(tensor, "make_dual()").leaves[0]
    _levels[-1].append((dual, tangent))
    return dual


def unpack_dual(tensor, *, level=None):
    """(primal, tangent): the tangent is None where no dual tensor was used. Raises TypeError for what is no Tensor."""
    from ..func.tracking import leads_outside, some_gradients, zeros_for

    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"unpack_dual(): argument 'tensor' must be Tensor, not {type(tensor).__name__}"
        )
    if not _levels or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    duals = [d for d, _ in _levels[-1]]
    with enable_grad():
        u = zeros_for(tensor).requires_grad_()
        back = some_gradients([tensor], duals, [u], True) if duals else []
    used = [(g, t) for g, (_, t) in zip(back, _levels[-1]) if g is not None]
    if not used:
        return UnpackedDualTensor(tensor, None)
    again = mode.enabled and leads_outside([tensor, *[t for _, t in used]], duals)
    tangent = some_gradients([g for g, _ in used], [u], [t for _, t in used], again)[0]
    primal = tensor if again else tensor.detach()
    return UnpackedDualTensor(primal, zeros_for(tensor) if tangent is None else tangent)
