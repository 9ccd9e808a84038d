"""Nested tuples, lists and dictionaries: flattening them to their leaves and building them again."""

from __future__ import annotations

__all__ = ["LEAF", "broadcast_leaves", "flatten", "tree_map", "unflatten"]


class Spec:
    """What a nested value is besides its leaves: its class, the keys of a dictionary, its children's specs."""

    __slots__ = ("kind", "keys", "children", "leaves")

    def __init__(self, kind, keys, children):
        self.kind, self.keys, self.children = kind, keys, tuple(children)
        self.leaves = 1 if kind is None else sum(c.leaves for c in self.children)

    def __eq__(self, other):
        return isinstance(other, Spec) and (self.kind, self.keys, self.children) == (
            other.kind,
            other.keys,
            other.children,
        )

    def __hash__(self):
        return hash((self.kind, self.keys, self.children))

    def __repr__(self):
        if self.kind is None:
            return "*"
        inside = [repr(c) for c in self.children]
        if self.keys is not None:
            return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inside)) + "}"
        return ("[%s]" if self.kind is list else "(%s)") % ", ".join(inside)


LEAF = Spec(None, None, ())


def _children(value):
    """(keys or None, children) of a nested value; None for a leaf."""
    if isinstance(value, dict):
        return tuple(value), list(value.values())
    if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return None, list(value)
    return None


def flatten(value):
    """(the leaves in order, the Spec). Tuples, named tuples, lists and dictionaries are nested; None is a leaf."""
    found = _children(value)
    if found is None:
        return [value], LEAF
    keys, children = found
    leaves, specs = [], []
    for child in children:
        below, spec = flatten(child)
        leaves += below
        specs.append(spec)
    return leaves, Spec(type(value), keys, specs)


def unflatten(leaves, spec):
    """The nested value of this Spec with these leaves."""
    return _build(iter(leaves), spec)


def _build(leaves, spec):
    if spec.kind is None:
        return next(leaves)
    children = [_build(leaves, c) for c in spec.children]
    if spec.keys is not None:
        return _dictionary(spec.kind, zip(spec.keys, children))
    return spec.kind(*children) if hasattr(spec.kind, "_fields") else spec.kind(children)


def _dictionary(kind, items):
    """A dictionary of this class, or a plain one where the class cannot be made of items."""
    try:
        return kind(items)
    except TypeError:
        return dict(items)


def tree_map(f, value):
    """The nested value with f(leaf) in the place of each leaf."""
    leaves, spec = flatten(value)
    return unflatten([f(x) for x in leaves], spec)


def broadcast_leaves(value, spec, is_leaf=lambda v: False):
    """One leaf of `value` for each leaf of `spec`, where a leaf of `value` may stand for a whole branch; None where the
    structures don't fit."""
    if spec.kind is None:
        return [value] if _children(value) is None or is_leaf(value) else None
    found = _children(value)
    if found is None or is_leaf(value):
        return [value] * spec.leaves
    keys, children = found
    if keys is not None and spec.keys is not None and set(keys) == set(spec.keys):
        children = [value[k] for k in spec.keys]
    elif (
        (keys is None) != (spec.keys is None)
        or len(children) != len(spec.children)
        or keys is not None
    ):
        return None
    elif type(value) is not spec.kind:
        return None
    out = []
    for child, below in zip(children, spec.children):
        part = broadcast_leaves(child, below, is_leaf)
        if part is None:
            return None
        out += part
    return out
