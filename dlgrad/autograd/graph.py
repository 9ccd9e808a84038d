"""The graph, and the walk back over it.

A `Node` stands for one operation that was run: its edges lead to where its inputs came from (the
Node that computed each, or the leaf tensor itself), its rule turns the gradient of its result into
the gradients of its inputs. Nodes are numbered as they are made, and an edge always leads to a
smaller number, so the walk back is a loop that takes the largest number first: no recursion, no
second pass, any depth.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import traceback
import warnings

from ..tensor import MAYBE, Tensor, make_tensor
from .mode import mode

_numbers = itertools.count(1).__next__
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

    __slots__ = ("seq", "name_", "edges", "rule", "saved", "versions", "__dict__", "__weakref__")
    number = 0
    # What few nodes have lives in __dict__, over these defaults.
    outputs = 0  # 0: one result, whose tensors point at the node itself
    own = -1  # which of `saved` is this node's own result
    hooks = trace = layouts = None

    def __init__(self, name, edges, rule, saved, versions):
        self.seq = _numbers()
        self.name_ = name
        self.edges = edges
        self.rule = rule
        self.saved = saved
        self.versions = versions
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
        if self.own >= 0 and mode.enabled:  # for a graph of the backward the result needs its history
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
anomaly = None  # None, or whether to look for nan too
_here = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _SavedHooks(threading.local):
    """The (pack, unpack) pairs that are in force in this thread, the innermost last."""

    def __init__(self):
        self.stack = []


_saved_hooks = _SavedHooks()
_hooked_blocks = 0  # how many saved_tensors_hooks are entered, in all threads
_hooked_lock = threading.Lock()


def _refresh_special():
    global special
    special = _on_node if anomaly is not None or _hooked_blocks else None


def _on_node(node):
    stack = None
    if anomaly is not None:
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
    v._grad_fn = Node("AliasBackward0", (edge,), _identity, (), ()) if isinstance(edge, Tensor) else edge
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
    node = Node(name, edges, rule, *save(saved))
    if own >= 0:
        node.own = own
    out._requires_grad = True
    out._grad_fn = node
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
        make_tensor(v._ptr, v._layout, v._storage) if any(v is o for o in outs) else v for v in saved
    )
    node = Node(name, edges, rule, *save(saved))
    node.outputs = len(outs)
    node.layouts = tuple(o._layout if isinstance(o, Tensor) else None for o in outs)
    for i, o in enumerate(outs):
        if o is not None and (o._layout.dtype.is_floating_point if differentiable is None else differentiable[i]):
            o._requires_grad = True
            o._grad_fn = Output(node, i)
    return outs


# ---------------------------------------------------------------------- walking back


def run(roots, retain_graph, create_graph, capture=None, needed=None):
    """Sends gradients back. roots: [(edge, gradient)].

    capture: {(seq of a node, number) or id(leaf): key}; the gradients found there are returned as
    {key: gradient}, and nothing is accumulated. needed: the seqs of the nodes that lie on the way.
    """
    pending = {}  # seq -> [node, gradient or {number: gradient}, whether the gradient is ours to write to]
    heap = []
    found = {}
    push, pop = heapq.heappush, heapq.heappop

    def send(edge, g, fresh):
        kind = type(edge)
        if kind is Node:
            number = 0
            node = edge
        elif kind is Output:
            node = edge.node
            number = edge.number
        else:
            if capture is not None:
                key = capture.get(id(edge))
                if key is None:
                    return
                g = _run_hooks(edge._hooks, g)
                have = found.get(key)
                found[key] = g if have is None else have + g
            else:
                _accumulate(edge, g, fresh, create_graph)
            return
        seq = node.seq
        entry = pending.get(seq)
        if entry is None:
            if needed is not None and seq not in needed:
                return
            pending[seq] = [node, g if node.outputs == 0 else {number: g}, False]
            push(heap, -seq)
        elif node.outputs == 0:
            if entry[2] and not create_graph and entry[1]._layout is g._layout:
                entry[1].add_(g)
            else:
                entry[1] = entry[1] + g
                entry[2] = True
        else:
            have = entry[1].get(number)
            entry[1][number] = g if have is None else have + g

    plain = capture is None and anomaly is None
    before = mode.enabled
    mode.enabled = create_graph
    try:
        for edge, g in roots:
            send(edge, g, False)
        while heap:
            seq = -pop(heap)
            node, g, _ = pending.pop(seq)
            rule = node.rule
            if plain and type(rule) is tuple and node.hooks is None:
                # The usual case, an operation of one result with a rule for each input, without the detours below.
                saved = node.saved
                if saved:
                    saved = node.unpack()
                    if not retain_graph:
                        node.saved = FREED
                last = None
                for r, edge in zip(rule, node.edges):
                    if edge is None:
                        continue
                    grad = r(g, *saved)
                    if grad is None:
                        continue
                    if type(edge) is Node and edge.outputs == 0 and edge.seq not in pending:
                        pending[edge.seq] = [edge, grad, False]
                        push(heap, -edge.seq)
                    else:
                        send(edge, grad, grad is not g and grad is not last and grad._view is None)
                    last = grad
                continue
            if node.hooks is not None:
                g = _hooked(node, g)
            if capture is not None:
                if node.outputs == 0:
                    key = capture.get((seq, 0))
                    if key is not None:
                        found[key] = g
                else:
                    for number, gn in g.items():
                        key = capture.get((seq, number))
                        if key is not None:
                            found[key] = gn
                if needed is not None and not needed[seq]:
                    continue
            edges = node.edges
            try:
                saved = node.unpack()
                if type(rule) is tuple:
                    grads = [r(g, *saved) if e is not None and (needed is None or _on_way(e, needed, capture)) else None
                             for r, e in zip(rule, edges)]  # fmt: skip
                elif node.outputs == 0:
                    grads = rule(g, *saved)
                else:
                    grads = rule(*[g.get(i) for i in range(node.outputs)], *saved)
            except Exception as e:
                if anomaly is not None:
                    _anomaly_note(node, e)
                raise
            if not retain_graph and saved:
                node.saved = FREED
            if type(grads) is Tensor or grads is None:
                grads = (grads,)
            if node.hooks is not None and "post" in node.hooks:
                for hook in list(node.hooks["post"].values()):
                    r = hook(tuple(grads), (g,) if node.outputs == 0 else tuple(g.get(i) for i in range(node.outputs)))
                    if r is not None:
                        grads = r if isinstance(r, tuple) else (r,)
            if anomaly:
                _check_nan(node, grads)
            last = None
            for edge, grad in zip(edges, grads):
                if edge is not None and grad is not None:
                    send(edge, grad, grad is not g and grad is not last and grad._view is None)
                    last = grad
    finally:
        mode.enabled = before
    return found


def _on_way(edge, needed, capture):
    return edge.node.seq in needed if type(edge) is not Tensor and not isinstance(edge, Tensor) else id(edge) in capture


def _run_hooks(hooks, g):
    if hooks:
        for hook in list(hooks.values()):
            r = hook(g)
            if r is not None:
                g = r
    return g


def _hooked(node, g):
    """The gradient of a node's result(s) after the hooks on them."""
    if "pre" in node.hooks:
        single = node.outputs == 0
        gs = (g,) if single else tuple(g.get(i) for i in range(node.outputs))
        for hook in list(node.hooks["pre"].values()):
            r = hook(gs)
            if r is not None:
                gs = r if isinstance(r, tuple) else (r,)
        g = gs[0] if single else {i: x for i, x in enumerate(gs) if x is not None}
    if node.outputs == 0:
        return _run_hooks(node.hooks.get(0), g)
    return {i: _run_hooks(node.hooks.get(i), x) for i, x in g.items()}


def _accumulate(leaf, g, fresh, create_graph):
    """Adds `g` to the leaf's gradient. `fresh`: nobody else holds `g`, so that it can be kept as it is."""
    if not leaf._requires_grad:  # it was switched off since
        return
    if leaf._hooks:
        g = _run_hooks(leaf._hooks, g)
        fresh = False
    old = leaf._grad
    if old is None:
        if not create_graph and not (fresh and g._layout is leaf._layout):
            g = g.contiguous() if g._view is not None and not g._layout.contiguous else g.clone()
            if not g._layout.contiguous:
                g = g.contiguous()
        leaf._grad = g
    elif create_graph:
        leaf._grad = old + g
    else:
        old.add_(g)
    if leaf._post_hooks:
        for hook in list(leaf._post_hooks.values()):
            hook(leaf)


def _check_nan(node, grads):
    for i, grad in enumerate(grads):
        if grad is not None and bool(grad.isnan().any()):
            e = RuntimeError(f"Function '{node.name_}' returned nan values in its {i}th output.")
            _anomaly_note(node, e)
            raise e


def _anomaly_note(node, error):
    if node.trace is not None and node.trace.stack:
        text = f"Error detected in {node.name_}. Traceback of forward call that caused the error:\n{node.trace.stack}"
    else:
        text = (
            f"Error detected in {node.name_}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information."
        )
    warnings.warn(text, stacklevel=2)
    if hasattr(error, "add_note"):
        error.add_note(text)


# ---------------------------------------------------------------------- the user's entries


def _tensors(x, op, what):
    if isinstance(x, Tensor):
        return (x,)
    x = tuple(x)
    for t in x:
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}(): {what} must be Tensors, got {type(t).__name__}")
    return x


def _roots(outputs, grads, op):
    from ..ops.create import ones_like

    if grads is None:
        grads = (None,) * len(outputs)
    elif isinstance(grads, Tensor):
        grads = (grads,)
    grads = tuple(grads)
    if len(grads) != len(outputs):
        raise RuntimeError(f"{op}(): got {len(outputs)} tensors and {len(grads)} gradients")
    roots = []
    for t, g in zip(outputs, grads):
        if not t.requires_grad:
            raise RuntimeError(
                f"{op}(): a tensor of shape {list(t.shape)} does not require grad and does not have a grad_fn: no "
                "operation on it was recorded (is a parameter frozen, or does this run under no_grad?)"
            )
        if g is None:
            if t._layout.numel != 1:
                raise RuntimeError(
                    f"{op}(): grad can be implicitly created only for scalar outputs, this one has shape {list(t.shape)}; "
                    "reduce it first, as with .sum(), or give a gradient of its shape"
                )
            g = ones_like(t)
        else:
            if not isinstance(g, Tensor):
                raise TypeError(f"{op}(): gradients must be Tensors or None, got {type(g).__name__}")
            if tuple(g.shape) != tuple(t.shape):
                raise RuntimeError(
                    f"{op}(): Mismatch in shape: grad_output has a shape of {list(g.shape)} and output has a shape of {list(t.shape)}"
                )
            if g._layout.dtype is not t._layout.dtype:
                g = g.to(t._layout.dtype)
        roots.append((edge_of(t), g))
    return roots


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Computes the gradients of `tensors` (times `grad_tensors`) and accumulates them in the leaves' `.grad`.

    retain_graph: keep what the forward pass saved, to go through it again (default: create_graph).
    create_graph: record the backward pass too, for higher derivatives.  inputs: accumulate only here.
    Raises RuntimeError where a tensor has no history, is no scalar and no gradient is given, or the
    graph was freed already."""
    tensors = _tensors(tensors, "backward", "tensors")
    if retain_graph is None:
        retain_graph = create_graph
    roots = _roots(tensors, grad_tensors, "backward")
    if inputs is None:
        run(roots, retain_graph, create_graph)
        return
    inputs = _tensors(inputs, "backward", "inputs")
    if not inputs:
        raise RuntimeError("backward(): `inputs` argument cannot be empty")
    found = _captured(roots, inputs, retain_graph, create_graph, "backward")
    for i, t in enumerate(inputs):
        if i in found:
            g = found[i] if create_graph else found[i].detach()
            t._grad = (g if create_graph else g.clone()) if t._grad is None else t._grad + g


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
         allow_unused=None, is_grads_batched=False, materialize_grads=False):  # fmt: skip
    """The gradients of `outputs` (times `grad_outputs`) with respect to `inputs`, as a tuple; no `.grad` changes.

    allow_unused: give None for an input that the outputs don't depend on, else RuntimeError.
    materialize_grads: zeros instead of None."""
    outputs = _tensors(outputs, "grad", "outputs")
    inputs = _tensors(inputs, "grad", "inputs")
    if allow_unused is None:
        allow_unused = materialize_grads
    if retain_graph is None:
        retain_graph = create_graph
    if is_grads_batched:
        gs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
        n = gs[0].shape[0]
        rows = [
            grad(outputs, inputs, tuple(g[i] for g in gs), retain_graph or i + 1 < n, create_graph, True, allow_unused,
                 False, materialize_grads)
            for i in range(n)
        ]  # fmt: skip
        from ..ops.view import stack

        return tuple(None if col[0] is None else stack(col) for col in zip(*rows))
    for i, t in enumerate(inputs):
        if not t.requires_grad:
            raise RuntimeError(f"grad(): One of the differentiated Tensors does not require grad (input {i}, shape {list(t.shape)})")
    roots = _roots(outputs, grad_outputs, "grad")
    found = _captured(roots, inputs, retain_graph, create_graph, "grad")
    out = []
    for i, t in enumerate(inputs):
        g = found.get(i)
        if g is None:
            if materialize_grads:
                from ..ops.create import zeros_like

                g = zeros_like(t)
            elif not allow_unused:
                raise RuntimeError(
                    f"grad(): One of the differentiated Tensors appears to not have been used in the graph (input {i}, shape "
                    f"{list(t.shape)}). Set allow_unused=True if this is the desired behavior"
                )
        out.append(g)
    return tuple(out)


def _captured(roots, inputs, retain_graph, create_graph, op):
    """{place in inputs: gradient}."""
    capture, same = {}, {}
    for i, t in enumerate(inputs):
        e = edge_of(t)
        if e is None:
            continue
        key = id(e) if isinstance(e, Tensor) else (e.node.seq, e.number)
        capture.setdefault(key, i)
        same[i] = capture[key]
    needed = _on_the_way(roots, capture)
    found = run(roots, retain_graph, create_graph, capture, needed)
    return {i: found[first] for i, first in same.items() if first in found}


def _on_the_way(roots, capture):
    """{seq: whether to go on behind it} of the nodes through which a captured place is reached."""
    nodes, stack = {}, [e for e, _ in roots]
    while stack:
        e = stack.pop()
        if e is None or isinstance(e, Tensor):
            continue
        node = e.node
        if node.seq not in nodes:
            nodes[node.seq] = node
            stack.extend(node.edges)
    captured = {key[0] for key in capture if isinstance(key, tuple)}
    needed = {}
    for seq in sorted(nodes):
        behind = any(
            e is not None and (id(e) in capture if isinstance(e, Tensor) else e.node.seq in needed)
            for e in nodes[seq].edges
        )
        if behind or seq in captured:
            needed[seq] = behind
    return needed


def register_tensor_hook(t, hook):
    """See Tensor.register_hook."""
    if not t.requires_grad:
        raise RuntimeError("register_hook(): cannot register a hook on a tensor that doesn't require gradient")
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
    import weakref

    ref = weakref.ref(t)

    def keep(g):
        t = ref()
        if t is not None:
            t._grad = g.clone() if t._grad is None else t._grad + g

    before = t.__dict__.get("_retained")
    if before is not None:  # of the value that a write to `t` has replaced
        before.remove()
    t._retained = register_tensor_hook(t, keep)
