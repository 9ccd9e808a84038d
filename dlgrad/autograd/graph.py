"""The graph, and how operations are recorded in it.

A `Node` stands for one operation that was run: its edges lead to where its inputs came from (the
Node that computed each, or the leaf tensor itself), its rule turns the gradient of its result into
the gradients of its inputs. Nodes are numbered as they are made, and an edge always leads to a
smaller number: engine.py walks back over them.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref

from .._native import native, offsets
from ..tensor import MAYBE, Tensor, make_tensor
from .mode import mode

_numbers = itertools.count(1).__next__ if native is None else native["next_number"]
FREED = ("freed",)


class Node:
    """One operation of the graph (`tensor.grad_fn`).

    edges: for each differentiable input a Node, an Output, a leaf Tensor, or None (no gradient wanted).
    rule: `rule(g, *saved)` -> the gradients of the inputs (a tuple, or one for a single input); or a
    tuple of such functions, one an input, of which only those wanted are called.
    saved, versions: what the rule needs of the forward pass, and the storage versions it had then
    (None: not a tensor). For a node of several results `outputs` is their number and the rule is called
    with as many gradients (None where nothing flowed).
    """

    __slots__ = ("seq", "name_", "edges", "rule", "saved", "versions", "own", "outputs", "hooks", "trace",
                 "__dict__", "__weakref__")  # fmt: skip
    number = 0
    layouts = None  # of several results

    def __init__(self, name, edges, rule, saved, versions, own=-1):
        self.seq = _numbers()
        self.name_ = name
        self.edges = edges
        self.rule = rule
        self.saved = saved
        self.versions = versions
        self.own = own  # which of `saved` is this node's own result
        self.outputs = 0  # 0: one result, whose tensors point at the node itself
        self.hooks = self.trace = None
        if special is not None:
            special(self)

    @property
    def node(self):
        return self

    def name(self):
        """The operation's name, such as 'MulBackward0'."""
        return self.name_

    @property
    def next_functions(self):
        """Where the gradients go: ((node, number of its result), ...), one for each input."""
        return tuple((None, 0) if e is None else (AccumulateGrad(e), 0) if isinstance(e, Tensor) else (e.node, e.number)
                     for e in self.edges)  # fmt: skip

    def register_hook(self, hook):
        """Calls `hook(grad_inputs, grad_outputs)` after this node's rule ran; a returned tuple replaces grad_inputs."""
        return Handle(self._hooks("post"), hook)

    def register_prehook(self, hook):
        """Calls `hook(grad_outputs)` before this node's rule runs; a returned tuple replaces grad_outputs."""
        return Handle(self._hooks("pre"), hook)

    def _hooks(self, kind):
        if self.hooks is None:
            self.hooks = {}
        return self.hooks.setdefault(kind, {})

    def unpack(self):
        """The saved values, after the check that none was overwritten since."""
        saved = self.saved
        if saved is FREED:
            raise RuntimeError(
                f"Trying to backward through the graph a second time ({self.name_}): its saved values were freed by "
                "the first backward() or grad(). Give retain_graph=True to the first if you need to go through it again"
            )
        for value, version in zip(saved, self.versions):
            if version is not None and value._storage.version != version:
                raise RuntimeError(
                    f"one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"{value.dtype} {list(value.shape)}, which is saved for {self.name_}, is at version "
                    f"{value._storage.version}; expected version {version} instead. Hint: use the out-of-place form of "
                    f"the operation that wrote to it, or find the forward line with dlgrad.autograd.set_detect_anomaly(True)"
                )
        if self.trace is not None and self.trace.unpack is not None:
            saved = self.trace.unpack(saved)
        if (
            self.own >= 0 and mode.enabled
        ):  # for a graph of the backward the result needs its history
            y = saved[self.own]
            y = make_tensor(y._ptr, y._layout, y._storage)
            y._requires_grad, y._grad_fn = True, self
            saved = (*saved[: self.own], y, *saved[self.own + 1 :])
        return saved

    @property
    def saved_tensors(self):
        """What was saved for the rule (tensors only)."""
        return tuple(v for v in self.unpack() if isinstance(v, Tensor))

    def __repr__(self):
        return f"<{self.name_} object at {hex(id(self))}>"


class Output:
    """One of several results of a node."""

    __slots__ = ("node", "number")

    def __init__(self, node, number):
        self.node = node
        self.number = number


class AccumulateGrad:
    """What `next_functions` shows for a leaf."""

    number = 0

    def __init__(self, variable):
        self.variable = variable
        self.node = self
        self.next_functions = ()

    def name(self):
        return "dlgrad::autograd::AccumulateGrad"

    def __eq__(self, other):
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self):
        return id(self.variable)

    def __repr__(self):
        return f"<AccumulateGrad object at {hex(id(self.variable))}>"


class Handle:
    """Removes a hook."""

    _ids = itertools.count()

    def __init__(self, hooks, hook, first=False):
        self.hooks = hooks
        self.id = next(Handle._ids)
        if first:
            rest = dict(hooks)
            hooks.clear()
            hooks[self.id] = hook
            hooks.update(rest)
        else:
            hooks[self.id] = hook

    def remove(self):
        """Takes the hook away (again: does nothing)."""
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


# ---------------------------------------------------------------------- recording


class Trace:
    """What anomaly detection and saved-tensor hooks leave on a node."""

    __slots__ = ("stack", "unpack")

    def __init__(self, stack=None, unpack=None):
        self.stack = stack
        self.unpack = unpack


special = None  # called with every new node while anomaly detection or saved-tensor hooks are on
crossing = None  # dlgrad.func.vmap's share in the walk back (batched.py); None until it is first used
anomaly = None  # None, or whether to look for nan too
_here = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _SavedHooks(threading.local):
    """The (pack, unpack) pairs that are in force in this thread, the innermost last."""

    def __init__(self):
        self.stack = []


_saved_hooks = _SavedHooks()
_hooked_blocks = 0  # how many saved_tensors_hooks are entered, in all threads
_hooked_lock = threading.Lock()


def watch_crossings(sum_over):
    """From now on the engine gives `sum_over(edge, gradient)` each batched gradient before it goes along an edge."""
    global crossing
    crossing = sum_over


def _refresh_special():
    global special
    special = _on_node if anomaly is not None or _hooked_blocks else None
    if native is not None:
        native["set_special"](special is not None)


def _on_node(node):
    stack = None
    if anomaly is not None:
        import traceback

        frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_here)]
        stack = "".join(traceback.format_list(frames[-6:]))
    hooks = _saved_hooks.stack
    if stack is None and not hooks:
        return
    node.trace = Trace(stack)
    if hooks and node.saved:
        _pack(node, *hooks[-1])


def _pack(node, pack, unpack):
    """Puts what `pack` makes of them in the place of the tensors that a node saved."""
    values = node.saved
    is_tensor = [isinstance(v, Tensor) for v in values]
    edges = [edge_of(v) if t else None for v, t in zip(values, is_tensor)]
    before, mode.enabled = mode.enabled, False
    try:
        node.saved = tuple(pack(v) if t else v for v, t in zip(values, is_tensor))
    finally:
        mode.enabled = before
    # What still lies in the same memory can still be overwritten.
    node.versions = tuple(
        p._storage.version if t and isinstance(p, Tensor) and p._storage is v._storage else None
        for v, p, t in zip(values, node.saved, is_tensor)
    )

    def unpacked(saved):
        out = []
        for p, t, edge in zip(saved, is_tensor, edges):
            v = p
            if t:
                before, mode.enabled = mode.enabled, False
                try:
                    v = unpack(p)
                finally:
                    mode.enabled = before
                if not isinstance(v, Tensor):
                    raise TypeError(
                        f"saved_tensors_hooks: unpack_hook must return a Tensor, got {type(v).__name__}"
                    )
                if mode.enabled and edge is not None:
                    v = _with_history(v, edge)
            out.append(v)
        return tuple(out)

    node.trace.unpack = unpacked


def _with_history(v, edge):
    """`v` as a tensor whose gradient goes to `edge`."""
    v = make_tensor(v._ptr, v._layout, v._storage)
    v._requires_grad = True
    v._grad_fn = (
        Node("AliasBackward0", (edge,), _identity, (), ()) if isinstance(edge, Tensor) else edge
    )
    return v


def _identity(g):
    return g


class saved_tensors_hooks:  # noqa: N801
    """Inside, `pack_hook` is applied to each tensor that is saved for backward, and `unpack_hook` to what it
    returned when the rule needs it. For this thread; the innermost pair counts. Neither is recorded."""

    def __init__(self, pack_hook, unpack_hook):
        self.hooks = (pack_hook, unpack_hook)

    def __enter__(self):
        global _hooked_blocks
        with _hooked_lock:
            _hooked_blocks += 1
            _refresh_special()
        _saved_hooks.stack.append(self.hooks)

    def __exit__(self, *exc):
        global _hooked_blocks
        _saved_hooks.stack.pop()
        with _hooked_lock:
            _hooked_blocks -= 1
            _refresh_special()


def edge_of(t):
    """Where a gradient of `t` goes: a Node, an Output, `t` itself if it is a leaf that wants one, or None."""
    wants = t._requires_grad
    if not wants:
        return None
    if t._view is not None:
        fn = t._grad_fn if t._view_version == t._storage.version else t._refreshed()
        return fn if fn is not None or wants is MAYBE else t
    fn = t._grad_fn
    return t if fn is None else fn


if native is not None:
    native["bind_graph"](edge_of, Node, *offsets(Node, Node.__slots__[:10]))


def wants_grad(*inputs) -> bool:
    """Whether an operation on these (Tensors or anything else) is to be recorded."""
    for t in inputs:
        if isinstance(t, Tensor) and t._requires_grad and mode.enabled and edge_of(t) is not None:
            return True
    return False


def save(values):
    """`saved` and `versions` of a node for these values."""
    return values, tuple([v._storage.version if isinstance(v, Tensor) else None for v in values])


def record(out, name, rule, inputs, saved=(), own=-1):
    """Puts the result of an operation into the graph, if any of its inputs wants a gradient. Returns `out`.

    inputs: the differentiable ones (Tensors, or anything else: no gradient), in the rule's order.
    saved: what the rule gets after the gradient; `own`: the place in it of `out` itself (give None there).
    """
    if not mode.enabled:
        return out
    edges = tuple([edge_of(t) if isinstance(t, Tensor) else None for t in inputs])
    if not any([e is not None for e in edges]):
        return out
    if own >= 0:
        saved = (*saved[:own], make_tensor(out._ptr, out._layout, out._storage), *saved[own + 1 :])
    node = Node(name, edges, rule, *save(saved), own)
    out._requires_grad = True
    out._grad_fn = node
    return out


RESULT, ANOTHER = 255, 512  # in a recipe's `kept`: the result, the first of several


def record_by(recipe, plan, out, inputs):
    """`record` by `recipe(plan, choice)`, which says for the choice of inputs that want a gradient (bit i: input i)
    None (there is no derivative) or (name, rule, kept, own): kept are the places of what is saved among the inputs."""
    if not mode.enabled:
        return out
    edges = tuple([edge_of(t) if isinstance(t, Tensor) else None for t in inputs])
    choice = sum([1 << i for i, e in enumerate(edges) if e is not None])
    how = recipe(plan, choice) if choice else None
    if how is None:
        return out
    name, rule, kept, own = how
    saved = tuple([out.detach() if k == RESULT else inputs[k] for k in kept])
    out._grad_fn = Node(name, edges, rule, *save(saved), own)
    out._requires_grad = True
    return out


def record_several(outs, name, rule, inputs, saved=(), differentiable=None):
    """`record` for an operation with several results. `differentiable`: which of them (all floating ones)."""
    if not mode.enabled:
        return outs
    edges = tuple([edge_of(t) if isinstance(t, Tensor) else None for t in inputs])
    if not any([e is not None for e in edges]):
        return outs
    # Results among the saved values are kept as aliases without history, which would be a cycle.
    saved = tuple(
        make_tensor(v._ptr, v._layout, v._storage) if any(v is o for o in outs) else v
        for v in saved
    )
    node = Node(name, edges, rule, *save(saved))
    node.outputs = len(outs)
    node.layouts = tuple(o._layout if isinstance(o, Tensor) else None for o in outs)
    for i, o in enumerate(outs):
        if o is not None and (
            o._layout.dtype.is_floating_point or o._layout.dtype.is_complex
            if differentiable is None
            else differentiable[i]
        ):
            o._requires_grad = True
            o._grad_fn = Output(node, i)
    return outs


# ---------------------------------------------------------------------- hooks on tensors


def register_tensor_hook(t, hook):
    """See Tensor.register_hook."""
    if not t.requires_grad:
        raise RuntimeError(
            "register_hook(): cannot register a hook on a tensor that doesn't require gradient"
        )
    e = edge_of(t)
    if isinstance(e, Tensor):
        if t._hooks is None:
            t._hooks = {}
        return Handle(t._hooks, hook)
    if e.node.hooks is None:
        e.node.hooks = {}
    return Handle(e.node.hooks.setdefault(e.number, {}), hook)


def retain_grad(t):
    """Keeps the gradient that passes a non-leaf tensor in its `.grad`."""
    ref = weakref.ref(t)

    def keep(g):
        t = ref()
        if t is not None:
            t._grad = g.clone() if t._grad is None else t._grad + g

    before = t.__dict__.get("_retained")
    if before is not None:  # of the value that a write to `t` has replaced
        before.remove()
    t._retained = register_tensor_hook(t, keep)
