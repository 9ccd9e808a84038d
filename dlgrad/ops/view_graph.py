"""How a view hangs in the graph.

A view is a layout and an offset over its base's memory. Its gradient goes back by `embed`, which writes it
into zeros of the base's shape. After a write to the base its edge is made anew (`refresh_view`); after a
write through it the base gets a new history (`scatter_view`).
"""

from __future__ import annotations

from .. import plan as door
from ..autograd.graph import Node, edge_of, record, record_several, retain_grad
from ..autograd.mode import mode
from ..batched import same_batch, unfollowed, with_room
from ..layout import Layout, alike, layout
from ..tensor import MAYBE, Tensor
from .elementwise import _dense
from .writing import copy_into

_new = object.__new__


def make_view(x, lay, offset, name, rule):
    """A view of `x`: layout `lay`, `offset` bytes behind x's first element. rule: its derivative."""
    t = _new(Tensor)
    t._ptr = x._ptr + offset if offset else x._ptr
    t._layout = lay if type(x._layout) is Layout else x._layout.hide(lay)
    t._storage = storage = x._storage
    base = x._view
    t._view_version = storage.version
    t._grad_fn = None
    t._requires_grad = MAYBE
    t._view_mode = x._view_mode
    if base is None:
        t._view = x
        if not x._requires_grad:
            return t
    else:
        t._view = base
        if x._requires_grad is MAYBE and not base._requires_grad and x._view_mode is None:
            return t
    if x._requires_grad:
        if mode.enabled:
            edge = edge_of(x)
            if edge is not None:
                t._grad_fn = Node(name, (edge,), rule, (), ())
                t._requires_grad = True
        elif x.requires_grad:
            t._requires_grad = False
            if t._view_mode is None:
                t._view_mode = "no_grad"
    return t


def make_views(x, parts, name, join):
    """Several views of `x`, each given as (layout, offset in bytes), with one node for all of them: `join` makes the
    gradient of `x` from theirs (None where nothing flowed). They cannot be written to where a gradient is wanted."""
    base, storage = x if x._view is None else x._view, x._storage
    wants = bool(x._requires_grad) and x.requires_grad
    how = x._view_mode if not wants else "multi" if mode.enabled else "no_grad"
    outs = []
    ptr, version, requires_grad = x._ptr, storage.version, False if wants else MAYBE
    plain = type(x._layout) is Layout
    for lay, offset in parts:
        t = _new(Tensor)
        t._ptr = ptr + offset
        t._layout = lay if plain else alike(x._layout, lay)
        t._storage = storage
        t._requires_grad = requires_grad
        t._grad_fn = None
        t._view = base
        t._view_version = version
        t._view_mode = how
        outs.append(t)
    return record_several(tuple(outs), name, join, (x,)) if wants else tuple(outs)


def refresh_view(t):
    """Makes the graph edge of a view anew after a write to its base."""
    base = t._view
    t._view_version = t._storage.version
    edge = edge_of(base)
    if edge is None:
        t._grad_fn = None
        t._requires_grad = MAYBE if t._requires_grad else False
        return
    if t._requires_grad is False:
        return  # made under no_grad
    if not same_batch(t._layout, base._layout):
        raise unfollowed("a write")
    if t._view_mode == "function":
        raise RuntimeError(
            "a view that a custom Function returned (or an input that it returned as it is) was used after its base was "
            "modified in-place: what the Function's backward would do is lost; clone the Function's result"
        )
    before, lay = base._layout, t._layout
    offset = (t._ptr - base._ptr) // lay.dtype.itemsize
    t._grad_fn = Node(
        "AsStridedBackward0", (edge,), lambda g: strided_backward(g, before, lay, offset), (), ()
    )
    t._requires_grad = True
    if t._retain:
        retain_grad(t)


def scatter_view(base, t, result):
    """After `result` was written into the view `t` of `base`: the base's new place in the graph."""
    before, lay = base._layout, t._layout
    if not same_batch(lay, before):
        raise unfollowed("a recorded write")
    offset = (t._ptr - base._ptr) // lay.dtype.itemsize
    old, new = edge_of(base), edge_of(result)
    if old is not None or new is not None:

        def to_base(g):
            g = _laid_out(g, before)
            copy_zero(strided_view(g, before, lay, offset))
            return g

        def to_result(g):
            return strided_view(g, before, lay, offset).clone()

        base._grad_fn = Node(
            "CopySlices", (old, new), (_graphed(to_base, before, lay, offset), to_result), (), ()
        )
        base._requires_grad = True
        if base._retain:
            retain_grad(base)
    t._view_version = -1  # whatever the storage's version: look again


def _graphed(to_base, before, lay, offset):
    """`to_base`, with a history of its own where a graph of the backward pass is wanted."""

    def rule(g):
        plain = g.detach()
        out = to_base(plain)
        return record(out, "CopySlicesBackward0", to_base, (g,))

    return rule


def copy_zero(t):
    """Writes zeros into a (raw, ungraphed) view."""
    door.call("fill", "fill", t._layout, (), ints=(0 if t._layout.dtype.is_floating_point else 1,),
              scalars=(0.0 if t._layout.dtype.is_floating_point else 0,), into=t, name="zero_")  # fmt: skip


def _laid_out(g, before):
    """A copy of `g` with the strides of `before`, so that a place in the one is that place in the other."""
    if before.contiguous:
        return g.clone(memory_format="contiguous")
    return g.new_zeros((before.span,)).as_strided(tuple(before.shape), before.strides).copy_(g)


def strided_view(g, before, lay, offset):
    """Of a gradient `g` of a tensor laid out as `before`: the part at `lay` and `offset` (in elements)."""
    if g._layout is not before:
        if g._layout.strides != before.strides:
            g = g.contiguous() if before.contiguous else _laid_out(g, before)
    lay = layout(g._layout.dtype, tuple(lay.shape), lay.strides)
    return make_view(g, lay, offset * lay.dtype.itemsize, "AsStridedBackward0",
                     lambda gg: strided_backward(gg, before, lay, offset))  # fmt: skip


def strided_backward(g, before, lay, offset):
    """The gradient of a tensor laid out as `before` whose view (lay, offset in elements) has gradient `g`."""
    if before.contiguous and (_dense(lay) or _no_overlap(lay)):
        return embed(g, before, lambda x: strided_view(x, before, lay, offset))
    # Elements that the view shows more than once get the sum; those between the elements of `before` are left out.
    from .create import arange, zeros

    flat = arange(before.span + max(0, offset + lay.span - before.span))
    index = flat.as_strided(tuple(lay.shape), lay.strides, offset).reshape(-1)
    room = zeros(flat.numel(), dtype=g.dtype).index_add(0, index, g.reshape(-1))
    return room.as_strided(tuple(before.shape), before.strides, 0).clone()


def _no_overlap(lay):
    reach = 1
    for st, s in sorted((st, s) for s, st in zip(lay.shape, lay.strides) if s > 1):
        if st < reach:
            return False
        reach = st * (s - 1) + reach
    return True


def embed(g, before: Layout, take):
    """Zeros of the shape of `before`, but `g` where `take` looks: the derivative of taking a view."""
    from .create import zeros

    out = zeros(tuple(before.shape), dtype=g._layout.dtype)
    if type(g._layout) is not Layout or type(before) is not Layout:
        out = with_room(out, g)
    enabled, mode.enabled = mode.enabled, False
    try:
        copy_into(take(out), g)
    finally:
        mode.enabled = enabled
    return record(out, "EmbedBackward0", take, (g,)) if g._requires_grad else out
