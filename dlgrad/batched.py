"""Batches that operations do not see: what `dlgrad.func.vmap` is made of.

Inside `vmap(f)` a tensor of shape (B, 3) is one of shape (3,): its `BatchedLayout` shows the sizes
and strides of one member and hides those of the batch. All Python code (shape checks, views,
derivative rules, layers) works with what it is shown and knows nothing of batches; `plan.make_plan`
is where they come back (batched_plans.py). A plan for batched layouts is either

- the row's own plan over the whole batch, where the row takes further leading dimensions
  (elementwise rows, reductions, matrix products, convolutions, ...: `RULES`), or
- the row's plan for one member, repeated over the batch in one C call (zig/repeat.zig): right for
  every row.

On the ordinary path nothing is checked: plans are looked up by layout, and a batched layout is
another layout. Nested vmaps hide several dimensions, each under the number of its `Level`.

**Gradients.** Rules are run on batched gradients, so what is computed inside a level gets one
gradient for each member. Where an edge leads to a tensor from outside of the level, after the level
was left, the gradients are summed (`crossing`, called by the engine); while it is entered (a
gradient taken inside vmap) they stay apart, which is how per-sample gradients come about.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import threading

from .layout import INTERNED_LIMIT, Layout, Size, layout

__all__ = [
    "BatchedLayout",
    "Level",
    "add_batch_dim",
    "batched_layout",
    "crossing",
    "every_member",
    "levels",
    "over_whole",
    "per_member",
    "remove_batch_dim",
    "with_room",
]


# ---------------------------------------------------------------------- levels


class _Entered(threading.local):
    """The levels that this thread is inside of, the innermost last."""

    def __init__(self):
        self.stack = []


levels = _Entered()
_free: list = []  # numbers of levels that are gone
_count = itertools.count(1)
_lock = threading.RLock()  # taken again where a garbage collection inside of it frees levels
_starts: dict = {}  # number of a level -> the graph's number when it was entered


class Level:
    """One call of vmap. Its number is given back when nothing refers to it (the graph nodes made at
    its border do), so that layouts, and with them plans, are found again by the next call.

    randomness: "error", "different" or "same".
    """

    __slots__ = ("number", "size", "randomness", "__weakref__")

    def __init__(self, size, randomness):
        from .autograd.graph import _numbers, watch_crossings

        with _lock:
            self.number = heapq.heappop(_free) if _free else next(_count)
            _starts[self.number] = _numbers()
        self.size = size
        self.randomness = randomness
        watch_crossings(crossing)

    def __del__(self, lock=_lock, starts=_starts, free=_free, push=heapq.heappush):
        with lock:
            starts.pop(self.number, None)
            push(free, self.number)

    def __enter__(self):
        levels.stack.append(self)
        return self

    def __exit__(self, *exc):
        levels.stack.remove(self)


# ---------------------------------------------------------------------- layouts


class BatchedLayout(Layout):
    """A layout of one member of a batch. hidden: ((number of the level, size, stride), ...), by number.

    numel, contiguous and span are those of one member; nbytes is what the whole batch takes."""

    __slots__ = ("hidden",)

    def __init__(self, dtype, shape, strides, hidden):
        Layout.__init__(self, dtype, shape, strides)
        self.hidden = hidden
        reach, empty = self.span, self.numel == 0
        for _, size, stride in hidden:
            reach += (size - 1) * stride
            empty = empty or size == 0
        self.nbytes = 0 if empty else reach * dtype.itemsize

    def hide(self, new):
        """`new`, a layout of the same memory, as a member of the same batch."""
        if type(new) is not Layout:
            return new
        hidden, old, now = self.hidden, self.dtype.itemsize, new.dtype.itemsize
        if old != now:
            hidden = tuple((n, size, stride * old // now) for n, size, stride in hidden)
        return batched_layout(new.dtype, tuple(new.shape), new.strides, hidden)

    def __repr__(self):
        return f"BatchedLayout({self.dtype.name}, {list(self.shape)}, strides {list(self.strides)}, hidden {self.hidden})"

    def __reduce__(self):
        raise RuntimeError("a tensor inside of vmap cannot be pickled or saved")


_interned: dict = {}


def batched_layout(dtype, shape, strides, hidden):
    """The layout with these hidden dimensions; the ordinary one where there are none."""
    if not hidden:
        return layout(dtype, shape, strides)
    key = (dtype, shape, strides, hidden)
    found = _interned.get(key)
    if found is None:
        if len(_interned) >= INTERNED_LIMIT:
            _interned.clear()
        found = _interned[key] = BatchedLayout(dtype, Size(shape), strides, hidden)
    return found


def hidden_of(lay):
    """{number of a level: (size, stride)}."""
    return {} if type(lay) is Layout else {n: (size, stride) for n, size, stride in lay.hidden}


def sizes_of(layouts):
    """The batch that an operation on these layouts has: {number of a level: size}, by number."""
    sizes = {}
    for lay in layouts:
        if lay is not None and type(lay) is not Layout:
            for number, size, _ in lay.hidden:
                sizes[number] = size
    return dict(sorted(sizes.items()))


def drawn(lay):
    """The layout for new random numbers: one set for each member of the levels that ask for different ones."""
    sizes = {level.number: level.size for level in levels.stack if level.randomness == "different"}
    return room(logical(lay), dict(sorted(sizes.items()))) if sizes else logical(lay)


def check_drawn(lay):
    """Raises RuntimeError where numbers are to differ among members and `lay` has room for one set only."""
    have = hidden_of(lay)
    if same_among(lay):
        raise RuntimeError(
            "Vmap does not currently support same randomness with a batched tensor input"
        )
    if any(level.randomness == "different" and level.number not in have for level in levels.stack):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. Use the out-of-place form, or make the "
            "tensor with new_empty() or empty_like() of a batched one"
        )


def same_among(lay):
    """Whether a tensor of this layout has members that are to get the same random numbers."""
    have = hidden_of(lay)
    return any(level.randomness == "same" and level.number in have for level in levels.stack)


def different_among(x):
    """`x` as a member of all levels whose members are to get different random numbers."""
    have = hidden_of(x._layout)
    sizes = {
        v.number: v.size
        for v in levels.stack
        if v.randomness == "different" and v.number not in have
    }
    return repeat_hidden(x, sizes) if sizes else x


def room(lay, sizes):
    """A layout for new memory: `lay` for each member of the batch, one after the other."""
    step, hidden = max(lay.numel, 1), []
    for number, size in reversed(sizes.items()):
        hidden.append((number, size, step))
        step *= max(size, 1)
    return batched_layout(lay.dtype, tuple(lay.shape), lay.strides, tuple(reversed(hidden)))


def per_member(lay, *others):
    """A layout for new memory: `lay` for each member of the batch that `others` have."""
    if all([type(other) is Layout for other in others]):
        return lay
    return room(logical(lay), sizes_of(others))


def physical(lay, sizes):
    """The ordinary layout with the batch's dimensions in front (stride 0: the same for all members)."""
    if lay is None:
        return None
    have = hidden_of(lay)
    strides = tuple(have[n][1] if n in have else 0 for n in sizes)
    return layout(lay.dtype, (*sizes.values(), *lay.shape), (*strides, *lay.strides))


def logical(lay):
    """The ordinary layout of one member."""
    return (
        lay
        if lay is None or type(lay) is Layout
        else layout(lay.dtype, tuple(lay.shape), lay.strides)
    )


# ---------------------------------------------------------------------- tensors


def with_room(t, *others):
    """`t` (fresh and unrecorded) as a tensor with the batch dimensions of `others` too, so that they can be
    written into it; `t` itself where it has them."""
    for o in others:
        if o is not None and type(o._layout) is not Layout:
            break
    else:
        return t
    from .plan import call

    have = hidden_of(t._layout)
    sizes = sizes_of([t._layout, *[o._layout for o in others if o is not None]])
    if all(n in have for n in sizes):
        return t
    out = room(logical(t._layout), sizes)
    return call("cast", "copy", out, (t,), name="clone")


def each_member(f):
    """`f`, which reads values of its tensors, as a function that runs once for each member inside of vmap. Raises
    RuntimeError where the members' results differ in shape."""

    @functools.wraps(f)
    def function(*args, **kwargs):
        if levels.stack:
            numbers = {n for t in _tensors_in(args, kwargs) for n in hidden_of(t._layout)}
            level = next((v for v in reversed(levels.stack) if v.number in numbers), None)
            if level is not None:
                return _in_turn(function, args, kwargs, level)
        return f(*args, **kwargs)

    return function


def _tensors_in(*values):
    from .func.tree import flatten

    return [t for t in flatten(values)[0] if hasattr(t, "_layout")]


def _in_turn(f, args, kwargs, level):
    from .func.tree import flatten, tree_map, unflatten
    from .ops.joining import stack

    def member(value, i):
        if hasattr(value, "_layout") and level.number in hidden_of(value._layout):
            return remove_batch_dim(value, 0, level).select(0, i)
        return value

    found = []
    for i in range(level.size):
        some, named = tree_map(lambda v: member(v, i), (args, kwargs))  # noqa: B023
        leaves, spec = flatten(f(*some, **named))
        found.append(leaves)
    columns = list(zip(*found))
    if any(t._layout.shape != c[0]._layout.shape for c in columns for t in c):
        raise RuntimeError(
            f"vmap: {f.__name__}() gives results of different shapes for the members of the batch; they cannot be one tensor"
        )
    return unflatten([add_batch_dim(stack(c), 0, level) for c in columns], spec)


def unreadable(name):
    """The error for reading values of which there is one for each member."""
    return RuntimeError(
        f"vmap: It looks like you're calling .{name}() on a Tensor. We don't support vmap over calling .{name}() on a "
        "Tensor, please try to rewrite what you're doing with other operations (it has one value for each member of the "
        "batch; this also happens in functions whose result's shape depends on the values)"
    )


def whole_of(t):
    """An ordinary tensor of all members, the batch's dimensions in front."""
    from .tensor import make_tensor

    return make_tensor(t._ptr, physical(t._layout, sizes_of((t._layout,))), t._storage)


def every_member(t):
    """`t` with the values of all members, for checks that hold for each of them or none: outside of the graph."""
    return t.detach() if type(t._layout) is Layout else whole_of(t)


def over_whole(f, t):
    """f(t) for an `f` that takes any leading dimensions and has no derivative: run once, with the batch among them."""
    if type(t._layout) is Layout:
        return f(t)
    from .tensor import make_tensor

    sizes = sizes_of((t._layout,))
    out, n = f(whole_of(t)), len(sizes)
    lay = out._layout
    hidden = tuple(
        (number, size, stride) for (number, size), stride in zip(sizes.items(), lay.strides)
    )
    return make_tensor(
        out._ptr,
        batched_layout(lay.dtype, tuple(lay.shape[n:]), lay.strides[n:], hidden),
        out._storage,
    )


def crossing(edge, g):
    """A gradient on its way along `edge`: summed over the levels that it leaves there."""
    gone = _left_by(edge, hidden_of(g._layout))
    return sum_hidden(g, gone) if gone else g


def _left_by(edge, numbers):
    """Those of these levels that a gradient leaves along `edge`."""
    from .tensor import Tensor

    stays = {level.number for level in levels.stack}
    if isinstance(edge, Tensor):
        stays.update(hidden_of(edge._layout))
    else:
        made = edge.node.seq
        stays.update([n for n, start in list(_starts.items()) if made > start])
    return tuple([n for n in numbers if n not in stays])


def summed_along(edge, rule):
    """`rule(g, x, w)`, the gradient by a w that lies behind `edge` and takes all rows of g and x together, as one that
    counts the members of the levels which the gradient leaves there as rows too: one product, no sum of many."""

    def of_all(g, x, w):
        sizes = sizes_of((g._layout, x._layout))
        gone = {n: sizes[n] for n in _left_by(edge, sizes)}
        return (
            rule(*[_shown(repeat_hidden(t, gone), gone) for t in (g, x)], w)
            if gone
            else rule(g, x, w)
        )

    return of_all


def _shown(t, sizes):
    """The batches of these levels as dimensions in front. Its gradient goes back by `_concealed`."""
    from .autograd.graph import record
    from .tensor import make_tensor

    lay, have = t._layout, hidden_of(t._layout)
    rest = tuple(h for h in lay.hidden if h[0] not in sizes)
    strides = (*[have[n][1] for n in sizes], *lay.strides)
    out = batched_layout(lay.dtype, (*sizes.values(), *lay.shape), strides, rest)
    out = make_tensor(t._ptr, out, t._storage)
    return _alias(record(out, "RemoveBatchDimBackward0", lambda g: _concealed(g, sizes), (t,)), t)


def _concealed(t, sizes):
    """The first dimensions as the batches of these levels."""
    from .autograd.graph import record
    from .tensor import make_tensor

    lay, n = t._layout, len(sizes)
    hidden = {**hidden_of(lay), **{k: (sizes[k], st) for k, st in zip(sizes, lay.strides)}}
    hidden = tuple((k, *v) for k, v in sorted(hidden.items()))
    out = batched_layout(lay.dtype, tuple(lay.shape[n:]), lay.strides[n:], hidden)
    out = make_tensor(t._ptr, out, t._storage)
    record(out, "AddBatchDimBackward0", lambda g: _shown(repeat_hidden(g, sizes), sizes), (t,))
    return _alias(out, t)


def sum_hidden(g, numbers):
    """`g` summed over the batches of these levels. Its own gradient is the same for all members."""
    from .autograd.graph import record
    from .ops.reduce import sum as sum_

    have = hidden_of(g._layout)
    sizes = {n: have[n][0] for n in numbers}
    out = sum_(_shown(g.detach(), sizes), tuple(range(len(numbers))))
    return record(out, "SumBatchBackward0", lambda gg: repeat_hidden(gg, sizes), (g,))


def repeat_hidden(g, sizes):
    """`g` as the same for each member of these batches."""
    from .autograd.graph import record
    from .tensor import make_tensor

    lay, have = g._layout, hidden_of(g._layout)
    hidden = {**{n: (size, 0) for n, size in sizes.items()}, **have}
    hidden = tuple((n, *v) for n, v in sorted(hidden.items()))
    out = make_tensor(
        g._ptr, batched_layout(lay.dtype, tuple(lay.shape), lay.strides, hidden), g._storage
    )
    numbers = tuple(n for n in sizes if n not in have)
    record(out, "RepeatBatchBackward0", lambda gg: _summed(gg, numbers), (g,))
    return _alias(out, g)


def _summed(g, numbers):
    have = hidden_of(g._layout)
    numbers = tuple(n for n in numbers if n in have)
    return sum_hidden(g, numbers) if numbers else g


def add_batch_dim(x, dim, level):
    """`x` inside of `level`: dimension `dim` hidden. A view; its gradient comes back as `remove_batch_dim`."""
    from .autograd.graph import record
    from .tensor import make_tensor

    lay = x._layout
    hidden = {
        **{n: v for n, v in hidden_of(lay).items()},
        level.number: (lay.shape[dim], lay.strides[dim]),
    }
    shape = (*lay.shape[:dim], *lay.shape[dim + 1 :])
    strides = (*lay.strides[:dim], *lay.strides[dim + 1 :])
    hidden = tuple((n, *v) for n, v in sorted(hidden.items()))
    out = make_tensor(x._ptr, batched_layout(lay.dtype, tuple(shape), strides, hidden), x._storage)
    if x._requires_grad:
        record(
            out, "AddBatchDimBackward0", lambda g: _alias(remove_batch_dim(g, dim, level), g), (x,)
        )
    return _alias(out, x)


def _alias(out, x):
    """`out` as a view of `x` that cannot be written to where a gradient is wanted."""
    out._view, out._view_version = (x if x._view is None else x._view), out._storage.version
    out._view_mode = "multi"
    return out


def same_batch(one, other):
    """Whether two layouts hide the dimensions of the same levels."""
    return hidden_of(one).keys() == hidden_of(other).keys()


def unfollowed(name):
    """The error for a write into an argument of vmap that the caller's tensor cannot be told of."""
    return RuntimeError(
        f"vmap: {name} of an argument of vmap (or of a view of it) where a gradient is wanted: the caller's tensor would be "
        "changed without its history; clone() the argument first"
    )


def remove_batch_dim(y, dim, level):
    """`y` outside of `level`: the batch as dimension `dim`; repeated where all members have the same value."""
    from .autograd.graph import record
    from .tensor import make_tensor

    have = hidden_of(y._layout)
    lay, number = y._layout, level.number
    size, stride = have.pop(number, (level.size, 0))
    shape = (*lay.shape[:dim], size, *lay.shape[dim:])
    strides = (*lay.strides[:dim], stride, *lay.strides[dim:])
    rest = tuple((n, *v) for n, v in have.items())
    out = make_tensor(y._ptr, batched_layout(lay.dtype, tuple(shape), strides, rest), y._storage)
    if y._requires_grad:
        record(out, "RemoveBatchDimBackward0", lambda g: add_batch_dim(g, dim, level), (y,))
    return out if y._view is None else _alias(out, y)
