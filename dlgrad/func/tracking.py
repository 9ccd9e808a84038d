"""What the transforms of derivatives share: tensors to differentiate by, and what of a result may be seen outside."""

from __future__ import annotations

from ..autograd.engine import grad
from ..autograd.graph import edge_of, record
from ..autograd.mode import enable_grad, mode
from ..tensor import Tensor, make_tensor
from .tree import flatten, tree_map, unflatten

__all__ = ["Tracked", "gradients", "leads_outside", "some_gradients", "zeros_for"]


class Tracked:
    """The inputs of one transform as tensors to differentiate by.

    leaves: the inputs' tensors: aliases with the inputs' history where something outside (an outer
    transform, or the caller's own backward()) differentiates by them, else new leaves.
    spec: the inputs' structure.
    """

    def __init__(self, inputs, name):
        values, self.spec = flatten(inputs)
        for x in values:
            if not isinstance(x, Tensor):
                raise ValueError(
                    f"{name}: Thing passed to transform API must be Tensor, got {type(x)}"
                )
        self.outside = mode.enabled  # whether the caller records
        self.leaves = [
            _alias(x) if self.outside and x.requires_grad else x.detach().requires_grad_()
            for x in values
        ]

    def call(self, func, *args, **kwargs):
        """func(...), recorded."""
        with enable_grad():
            return func(*args, **kwargs)

    def inputs(self):
        """The tracked tensors in the structure of the inputs."""
        return unflatten(self.leaves, self.spec)

    def known_outside(self, *tensors):
        """Whether something besides this transform differentiates by what one of these was computed from."""
        return self.outside and leads_outside(tensors, self.leaves)

    def released(self, value):
        """A nested result for the caller: without the history that is this transform's own."""
        return tree_map(self._released, value)

    def _released(self, x):
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        return x if self.known_outside(x) else x.detach()


def leads_outside(tensors, own):
    """Whether the history of these tensors leads to a leaf that is none of `own`."""
    own = {id(x) for x in own}
    stack, seen = [edge_of(t) for t in tensors], set()
    while stack:
        edge = stack.pop()
        if isinstance(edge, Tensor):
            if id(edge) not in own:
                return True
        elif edge is not None and edge.node.seq not in seen:
            seen.add(edge.node.seq)
            stack.extend(edge.node.edges)
    return False


def _alias(x):
    return record(make_tensor(x._ptr, x._layout, x._storage), "AliasBackward0", lambda g: g, (x,))


def zeros_for(x):
    """Zeros like x, outside of any graph."""
    from ..ops.create import zeros_like

    return zeros_like(x.detach())


def gradients(outs, inputs, cotangents, create_graph, retain_graph=True):
    """The gradients of `outs` times `cotangents` by `inputs`: zeros where nothing depends on them."""
    found = some_gradients(outs, inputs, cotangents, create_graph, retain_graph)
    return [zeros_for(x) if g is None else g for g, x in zip(found, inputs)]


def some_gradients(outs, inputs, cotangents, create_graph, retain_graph=True):
    """The same with None where nothing depends on an input."""
    pairs = [(o, g) for o, g in zip(outs, cotangents) if g is not None and o.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return grad([o for o, _ in pairs], inputs, [g for _, g in pairs], retain_graph=retain_graph,
                create_graph=create_graph, allow_unused=True)  # fmt: skip
