"""Permuting, splitting and joining dimensions by a pattern of their names."""

from __future__ import annotations

from ..ops.joining import stack
from ..tensor import Tensor

__all__ = ["rearrange"]


def rearrange(tensor, pattern, **axes_lengths):
    """The elements of `tensor` with its dimensions arranged as `pattern` says (einops: https://einops.rocks).

    pattern: "left -> right", names of dimensions on both sides; (a b) is one dimension made of a and b,
    a the outer one; ... stands for any dimensions, 1 and () for one of size 1. axes_lengths: sizes of names
    in parentheses on the left; one of each may be left out. A list of tensors is stacked first.

    rearrange(images, "b (h h1) (w w1) c -> b h w (c h1 w1)", h1=2, w1=2) puts space into depth.
    Raises ValueError for a pattern that does not fit."""
    if not isinstance(tensor, Tensor):
        tensor = stack(list(tensor))
    left, right = _sides(pattern)
    left = _without_dots(left, tensor.dim(), pattern)
    sizes = _sizes(left, tuple(tensor.shape), axes_lengths, pattern)
    names = [name for group in left for name in group]
    dots = [name for name in names if name.startswith(".")]
    target = [
        tuple(part for name in group for part in (dots if name == "..." else [name]))
        for group in _spread(right, dots)
    ]
    wanted = [name for group in target for name in group]
    if len(set(wanted)) != len(wanted) or len(set(names)) != len(names):
        raise ValueError(f"rearrange(): a name stands twice on one side of {pattern!r}")
    if set(wanted) != set(names):
        raise ValueError(f"rearrange(): the sides of {pattern!r} name different dimensions")
    split = tensor.reshape(tuple(sizes[n] for n in names))
    turned = split.permute(tuple(names.index(n) for n in wanted))
    return turned.reshape(tuple(_product(sizes[n] for n in group) for group in target))


def _sides(pattern):
    parts = pattern.split("->")
    if len(parts) != 2:
        raise ValueError(f"rearrange(): expected a pattern 'left -> right', got {pattern!r}")
    return [_groups(side, pattern) for side in parts]


def _groups(side, pattern):
    """The dimensions of one side: a tuple of names for each."""
    groups, inside = [], None
    for word in side.replace("(", " ( ").replace(")", " ) ").replace("…", "...").split():
        if word == "(":
            if inside is not None:
                raise ValueError(f"rearrange(): parentheses inside of parentheses in {pattern!r}")
            inside = []
        elif word == ")":
            if inside is None:
                raise ValueError(f"rearrange(): a closing parenthesis too many in {pattern!r}")
            groups.append(tuple(inside))
            inside = None
        elif word == "1":
            if inside is None:
                groups.append(())
        elif word == "..." or word.isidentifier():
            groups.append((word,)) if inside is None else inside.append(word)
        else:
            raise ValueError(f"rearrange(): {word!r} in {pattern!r} is no name of a dimension")
    if inside is not None:
        raise ValueError(f"rearrange(): an open parenthesis in {pattern!r}")
    return groups


def _without_dots(left, ndim, pattern):
    """The left side with names of its own for the dimensions that ... stands for."""
    if ("...",) not in left:
        if any("..." in group for group in left):
            raise ValueError(f"rearrange(): '...' stands in parentheses on the left of {pattern!r}")
        if len(left) != ndim:
            raise ValueError(
                f"rearrange(): {pattern!r} has {len(left)} dimensions on the left, the tensor has {ndim}"
            )
        return left
    extra = ndim - len(left) + 1
    if extra < 0:
        raise ValueError(
            f"rearrange(): {pattern!r} wants {len(left) - 1} dimensions or more, the tensor has {ndim}"
        )
    at = left.index(("...",))
    return [*left[:at], *[(f".{i}",) for i in range(extra)], *left[at + 1 :]]


def _spread(right, dots):
    """The right side with ... outside of parentheses as dimensions of their own."""
    return [g for group in right for g in ([(d,) for d in dots] if group == ("...",) else [group])]


def _sizes(left, shape, lengths, pattern):
    """{name: size}."""
    sizes = {}
    for group, size in zip(left, shape):
        known = _product(lengths[n] for n in group if n in lengths)
        free = [n for n in group if n not in lengths]
        if len(free) > 1:
            raise ValueError(
                f"rearrange(): the sizes of {free} in {pattern!r} cannot be told; give all but one"
            )
        if (size % known if free else size != known) or (free and known == 0):
            raise ValueError(
                f"rearrange(): {list(group)} of {pattern!r} does not divide a dimension of size {size}"
            )
        sizes.update({n: lengths[n] if n in lengths else size // known for n in group})
    unknown = [n for n in lengths if n not in sizes]
    if unknown:
        raise ValueError(f"rearrange(): {unknown} stand not in {pattern!r}")
    return sizes


def _product(numbers):
    n = 1
    for k in numbers:
        n *= k
    return n
