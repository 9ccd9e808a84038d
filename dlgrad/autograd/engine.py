"""The walk back over the graph: `backward`, `grad`, and the loop under both.

An edge always leads to a node of a smaller number, so the walk is a loop that takes the largest number
first: no recursion, no second pass, any depth.
"""

from __future__ import annotations

import heapq
import warnings
from sys import getrefcount

from .. import plan as door
from .._native import native, offsets
from ..layout import Layout
from ..tensor import Tensor
from . import graph
from .graph import FREED, Node, Output, edge_of
from .mode import mode


def run(roots, retain_graph, create_graph, capture=None, needed=None):
    """Sends gradients back. roots: [(edge, gradient)].

    capture: {(seq of a node, number) or id(leaf): key}; the gradients found there are returned as
    {key: gradient}, and nothing is accumulated. needed: the seqs of the nodes that lie on the way.
    """
    if walk is not None and graph.anomaly is None and graph.crossing is None:
        if capture is None:
            walk(roots, bool(retain_graph), bool(create_graph))
            return {}
        if _are_leaves(capture):
            found = {}
            walk(roots, bool(retain_graph), bool(create_graph), capture, found, needed)
            return found
    pending = {}  # seq -> [node, gradient or {number: gradient}]
    heap = []
    found = {}
    push, pop = heapq.heappush, heapq.heappop

    crossing = graph.crossing

    def send(edge, g, fresh):
        if crossing is not None and type(g._layout) is not Layout:
            g = crossing(edge, g)
            fresh = False
        kind = type(edge)
        if kind is Node:
            number = 0
            node = edge
        elif kind is Output:
            node = edge.node
            number = edge.number
        else:
            if capture is not None:
                if id(edge) not in capture:
                    return
                _collect(edge, g, capture, found)
            else:
                _accumulate(edge, g, fresh, create_graph)
            return
        seq = node.seq
        entry = pending.get(seq)
        if entry is None:
            if needed is not None and seq not in needed:
                return
            pending[seq] = [node, g if node.outputs == 0 else {number: g}]
            push(heap, -seq)
        elif node.outputs == 0:
            if not create_graph and _is_ours(entry) and entry[1]._layout is g._layout:
                add_into(entry[1], g)
            else:
                entry[1] = entry[1] + g
        else:
            have = entry[1].get(number)
            entry[1][number] = g if have is None else have + g

    anomaly = graph.anomaly
    plain = capture is None and anomaly is None
    before = mode.enabled
    mode.enabled = create_graph
    try:
        for edge, g in roots:
            send(edge, g, False)
        while heap:
            seq = -pop(heap)
            node, g = pending.pop(seq)
            rule = node.rule
            if plain and type(rule) is tuple and node.hooks is None:
                # The usual case, an operation of one result with a rule for each input, without the detours below.
                saved = node.saved
                if saved:
                    if saved is FREED or node.trace is not None or (create_graph and node.own >= 0):
                        saved = node.unpack()
                    else:
                        for value, version in zip(saved, node.versions):
                            if version is not None and value._storage.version != version:
                                node.unpack()  # raises
                    if not retain_graph:
                        node.saved = FREED
                last = None
                for r, edge in zip(rule, node.edges):
                    if edge is None:
                        continue
                    grad = r(g, *saved)
                    if grad is None:
                        continue
                    if crossing is not None and type(grad._layout) is not Layout:
                        send(edge, grad, False)
                        continue
                    if type(edge) is Node and edge.outputs == 0 and edge.seq not in pending:
                        pending[edge.seq] = [edge, grad]
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
            grads = _gradients(node, g, retain_graph, needed, capture, anomaly)
            edges = node.edges
            last = None
            for edge, grad in zip(edges, grads):
                if edge is not None and grad is not None:
                    send(edge, grad, grad is not g and grad is not last and grad._view is None)
                    last = grad
    finally:
        mode.enabled = before
    return found


def _gradients(node, g, retain_graph, needed=None, capture=None, anomaly=None):
    """The gradients of a node's inputs from that of its result (or those, in a dict), after its hooks have seen them."""
    rule = node.rule
    try:
        saved = node.unpack()
        if type(rule) is tuple:
            grads = [r(g, *saved) if e is not None and (needed is None or _on_way(e, needed, capture)) else None
                     for r, e in zip(rule, node.edges)]  # fmt: skip
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
            r = hook(
                tuple(grads),
                (g,) if node.outputs == 0 else tuple(g.get(i) for i in range(node.outputs)),
            )
            if r is not None:
                grads = r if isinstance(r, tuple) else (r,)
    if anomaly:
        _check_nan(node, grads)
    return grads


def _step(node, g, retain_graph):
    """What the native walk (zig/python/walk.zig) does not do itself at a node."""
    if node.hooks is not None:
        g = _hooked(node, g)
    grads = _gradients(node, g, retain_graph)
    return grads if type(grads) is tuple else tuple(grads)


def _sum(a, b):
    return a + b


_sums: dict = {}  # layouts -> the plan that adds a tensor to another


def add_into(t, g):
    """t += g, of one layout, outside of any graph."""
    lay = t._layout
    plan = _sums.get(lay)
    if plan is None:
        plan = door.remember(_sums, lay, door.make_plan("binary", "add", (lay,), (lay, lay), name="add_", into=True))
    door.write(plan, t, t, g)


def _is_ours(entry):
    """Whether nobody but the walk holds a gradient that waits for its node (and its memory), and it is large enough
    that writing into it pays."""
    g = entry[1]
    return g._layout.nbytes > 1 << 16 and getrefcount(g) == 3 and getrefcount(g._storage) == 2


def _on_way(edge, needed, capture):
    return (
        edge.node.seq in needed
        if type(edge) is not Tensor and not isinstance(edge, Tensor)
        else id(edge) in capture
    )


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


def _collect(leaf, g, capture, found):
    """Adds `g` to the gradient that `grad` returns for a leaf."""
    key = capture[id(leaf)]
    g = _run_hooks(leaf._hooks, g)
    have = found.get(key)
    found[key] = g if have is None else have + g


def _are_leaves(capture):
    return all([type(place) is int for place in capture])


def _accumulate(leaf, g, fresh, create_graph):
    """Adds `g` to the leaf's gradient. `fresh`: nobody else holds `g`, so that it can be kept as it is."""
    if not leaf._requires_grad:  # it was switched off since
        return
    if leaf._hooks:
        g = _run_hooks(leaf._hooks, g)
        fresh = False
    old = leaf._grad
    if g._layout is not leaf._layout and g._layout.shape != leaf._layout.shape:
        g = _fitted(g, leaf._layout.shape)
    if old is None:
        if not create_graph and not (fresh and g._layout is leaf._layout):
            g = g.contiguous() if g._view is not None and not g._layout.contiguous else g.clone()
            if not g._layout.contiguous:
                g = g.contiguous()
        leaf._grad = g
    elif create_graph:
        leaf._grad = old + g
    elif g._layout is old._layout and old._view is None:
        add_into(old, g)
    else:
        old.add_(g)
    if leaf._post_hooks:
        for hook in list(leaf._post_hooks.values()):
            hook(leaf)


# rule of an input -> f(leaf, gradient of the result, *saved): adds the rule's gradient to the leaf's own while it is
# computed, with the same bits, or returns False. For large leaves whose gradient comes from the rule itself.
adding: dict = {}

walk = on_the_way = None
if native is not None:
    native["bind_walk"](
        Output, *offsets(Output, Output.__slots__), _accumulate, _collect, _step, _sum, add_into, FREED, adding
    )
    walk, on_the_way = native["walk"], native["on_the_way"]


def _fitted(g, shape):
    """A gradient of a shape that the leaf's expands to, summed to the leaf's."""
    from ..ops.elementwise import sum_to

    have = g._layout.shape
    extra = len(have) - len(shape)
    if extra < 0 or any(s != 1 and s != n for s, n in zip(shape, have[extra:])):
        raise RuntimeError(
            f"backward(): got a gradient of shape {list(have)} for a leaf of shape {list(shape)}"
        )
    return sum_to(g, shape)


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
            g = _ones_like(t)
        elif type(g) is not Tensor or g._layout is not t._layout:
            if not isinstance(g, Tensor):
                raise TypeError(
                    f"{op}(): gradients must be Tensors or None, got {type(g).__name__}"
                )
            if tuple(g.shape) != tuple(t.shape):
                raise RuntimeError(
                    f"{op}(): Mismatch in shape: grad_output has a shape of {list(g.shape)} and output has a shape of {list(t.shape)}"
                )
            if g._layout.dtype is not t._layout.dtype:
                g = g.to(t._layout.dtype)
        roots.append((edge_of(t), g))
    return roots


def _ones_like(t):
    from ..ops.create import ones_like

    return ones_like(t)


def backward(
    tensors,
    grad_tensors=None,
    retain_graph=None,
    create_graph=False,
    grad_variables=None,
    inputs=None,
):
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
        return _batched_grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    for i, t in enumerate(inputs):
        if not t.requires_grad:
            raise RuntimeError(
                f"grad(): One of the differentiated Tensors does not require grad (input {i}, shape {list(t.shape)})"
            )
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


def _batched_grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads):
    """`grad` for gradients with a further first dimension, all of them in one walk."""
    from ..func.vectorize import vmap

    unused = []

    def walk(*gs):
        found = grad(outputs, inputs, gs, retain_graph, create_graph, True, allow_unused, False, materialize_grads)
        unused[:] = [g is None for g in found]
        return tuple([g for g in found if g is not None])

    gs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    found = iter(vmap(walk)(*gs))
    return tuple([None if none else next(found) for none in unused])


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
    if on_the_way is not None and _are_leaves(capture):
        return on_the_way(roots, capture)
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
