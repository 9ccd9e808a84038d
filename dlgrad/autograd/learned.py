"""What memos (zig/python/memo.zig) learn of the graph: how a function has recorded its result, so that the library records
the next one without it, and derivatives as memos themselves."""

from __future__ import annotations

import weakref

from .._native import native
from ..dtypes import dtype
from ..layout import Layout, Size
from ..tensor import MAYBE, Tensor, device, memory_format
from .graph import ANOTHER, FREED, RESULT, Node, Output


def recipe_of(out, inputs, edges, results):
    """The recipe by which `out` was recorded, with a fifth item that says for each edge of its node which of `inputs` it
    belongs to; constants among what is kept are in tuples of one, and ANOTHER + i is the item i of `results`, of which `out`
    is one. None where a node says more than a recipe can."""
    node = out._grad_fn
    if (
        type(node) is not Node
        or node.outputs
        or node.hooks
        or node.trace
        or node.__dict__
        or node.saved is FREED
    ):
        return None
    wanted = [e for e in edges if e is not None]
    if len({id(e) for e in wanted}) < len(wanted) or not is_constant(node.rule):
        return None
    try:
        places = tuple([_LEFT_OUT if e is None else _place(e, edges) for e in node.edges])
        kept = tuple([
            RESULT if i == node.own else _kept(v, inputs, results) if isinstance(v, Tensor) else (v,)
            for i, v in enumerate(node.saved)
        ])  # fmt: skip
    except ValueError:
        return None
    if not all([is_constant(k[0]) for k in kept if type(k) is tuple]):
        return None
    return node.name_, remembering(node.rule), kept, node.own, places


# As zig/python/memo_graph.zig has room for.
_MOST_VALUES, _MOST_NODES, _MOST_EDGES = 250, 64, 64
_LEFT_OUT = 255  # stands for None among places and values

_remembering = weakref.WeakValueDictionary()  # rule -> the memo of it


def remembering(rule):
    """`rule`, which is a constant (or a tuple of such), as one that need not be asked again where it was asked twice."""
    if native is None or rule is None or type(rule) is native["Memo"]:
        return rule
    if type(rule) is tuple:
        return tuple([remembering(r) for r in rule])
    made = _remembering.get(rule)
    if made is None:
        made = _remembering[rule] = native["Memo"](rule)
    return made


def script_of(outs, places, n, edges):
    """How the graph of `outs` is made again: (script, the values that are `outs`, the places that it uses, whether one of
    several arguments that share memory was taken for any), as zig/python/memo_graph.zig takes them, or None where a node
    says more than a script can. places: the tensors of a call, the first `n` its arguments, whose edges are `edges`, and
    behind them what its steps made."""
    wanted = [e for e in edges if e is not None]
    if len({id(e) for e in wanted}) < len(wanted):
        return None
    try:
        return _Script(places, n, edges).of(outs)
    except ValueError:
        return None


class _Script:
    """What `script_of` found out so far. A ValueError: it is more than a script can say."""

    def __init__(self, places, n, edges):
        self.places, self.n, self.edges = places, n, edges
        self.values = list(places)
        self.steps = []
        self.nodes = {}  # those that the function made, by their ids; then their numbers
        self.used = set()
        self.tied = False
        # Arguments that were written to: their history is another one now.
        self.written = {
            i
            for i, t in enumerate(places[:n])
            if t._view is None and t._grad_fn is not None and t._grad_fn is not edges[i]
        }

    def of(self, outs):
        for t in outs:
            if t is not None:
                self.visit(t)
        nodes = sorted(self.nodes.values(), key=lambda node: node.seq)
        self.nodes = {id(node): i for i, node in enumerate(nodes)}
        for node in nodes:
            self.write(node)
        found = tuple([_LEFT_OUT if t is None else self.value(t) for t in outs])
        for i, t in enumerate(self.values):
            if i < self.n and i not in self.written or self.n <= i < len(self.places) and i not in self.used:
                continue
            fn = t._grad_fn
            if fn is not None and id(fn.node) in self.nodes:
                self.steps.append(
                    (i, self.nodes[id(fn.node)], None if type(fn) is Node else fn.number)
                )
        if len(self.values) > _MOST_VALUES or len(nodes) > _MOST_NODES:
            raise ValueError
        used = tuple([i for i in self.used if i < len(self.places)])
        return tuple(self.steps), found, used, self.tied

    def visit(self, t):
        """Finds the nodes behind tensor `t`, and behind what they saved."""
        if not isinstance(t, Tensor):
            raise ValueError
        here = [i for i, x in enumerate(self.places[: self.n]) if x is t]
        stack = [] if here and here[0] not in self.written else [t._grad_fn]
        while stack:
            edge = stack.pop()
            if edge is None or any([edge is e for e in self.edges]):
                continue
            if type(edge) not in (Node, Output):
                raise ValueError
            node = edge.node
            if id(node) in self.nodes:
                continue
            if (
                node.hooks
                or node.trace
                or node.__dict__.keys() - {"layouts"}
                or node.saved is FREED
                or len(node.edges) > _MOST_EDGES
            ):
                raise ValueError
            self.nodes[id(node)] = node
            stack.extend(node.edges)
            for v in node.saved:
                if isinstance(v, Tensor):
                    self.visit(v)

    def write(self, node):
        if not is_constant(node.rule):
            raise ValueError
        kept = tuple([self.value(v) if isinstance(v, Tensor) else (v,) for v in node.saved])
        if not all([is_constant(k[0]) for k in kept if type(k) is tuple]):
            raise ValueError
        if any(
            [v is not None and v != x._storage.version for x, v in zip(node.saved, node.versions)]
        ):
            raise ValueError
        edges = tuple([self.edge(e) for e in node.edges])
        self.steps.append(
            (
                node.name_,
                remembering(node.rule),
                kept,
                node.own,
                edges,
                node.outputs or None,
                node.layouts,
            )
        )

    def edge(self, e):
        if e is None:
            return None
        for i, x in enumerate(self.edges):
            if x is e:
                return i
        number = self.n + self.nodes[id(e.node)]
        return number if type(e) is Node else (number, e.number)

    def value(self, t):
        """The number of the value `t`."""
        for i, v in enumerate(self.values):
            if v is t:
                self.used.add(i)
                return i
        place = self.place(t)
        x = self.places[place]
        if type(t) is not Tensor or x._view_mode is not None:
            raise ValueError
        is_view = t._view is not None
        if not is_view and t._requires_grad and t._grad_fn is None:
            raise ValueError
        if is_view and t._view is not (x if x._view is None else x._view):
            place = self.value(t._view)  # a tensor that was laid over a place
            x = self.values[place]
        if is_view and (
            t._view is not (x if x._view is None else x._view)
            or t._view_version != t._storage.version
            or t._requires_grad is False
            or t._requires_grad is not MAYBE
            and t._grad_fn is None
        ):
            raise ValueError
        if t._ptr < x._ptr:
            raise ValueError
        self.used.add(place)
        self.steps.append((place, t._ptr - x._ptr, t._layout, is_view, t._view_mode))
        self.values.append(t)
        return len(self.values) - 1

    def place(self, t):
        """The place in whose memory `t` lies: the only one, or one of several arguments that are views of one tensor."""
        found = [i for i, x in enumerate(self.places) if x is not None and x._storage is t._storage]
        if len(found) > 1:
            if found[-1] >= self.n or len({id(_base(self.places[i])) for i in found}) > 1:
                raise ValueError
            self.tied = True
        return min(found, key=lambda i: self.places[i]._ptr)


def _base(t):
    return t if t._view is None else t._view


def _kept(x, inputs, results):
    try:
        return _place(x, inputs)
    except ValueError:
        return ANOTHER + _place(x, results or ())


def _place(x, items):
    for i, item in enumerate(items):
        if item is x:
            return i
    raise ValueError


_CONSTANTS = frozenset("NoneType bool int float complex str Size Layout dtype slice ellipsis type module Function Memo Plan"
                       " builtin_function_or_method method_descriptor".split())  # fmt: skip


def is_constant(x, seen=()):
    """Whether neither `x` nor what a function sees from outside holds on to a tensor of a call. Of objects only those of
    classes that say `is_constant` are known to. seen: what `x` is found in."""
    if type(x) in (tuple, list):
        inner = x
    elif callable(x) and hasattr(x, "__code__"):
        inner = (
            *[c.cell_contents for c in x.__closure__ or ()],
            *(x.__defaults__ or ()),
            getattr(x, "__self__", None),
        )
    else:
        return type(x).__name__ in _CONSTANTS or getattr(type(x), "is_constant", False)
    if any([x is s for s in seen]):
        return True
    return len(seen) < 12 and all([is_constant(v, (*seen, x)) for v in inner])


if native is not None:
    native["bind_memo"](recipe_of, script_of, Output, MAYBE, Layout, dtype, Size, type(...), device, memory_format)
