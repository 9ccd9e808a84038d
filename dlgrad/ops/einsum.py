"""Einstein summation, as a sequence of matrix products."""

from __future__ import annotations

from .. import dtypes as dt
from ..layout import Layout
from ..plan import remember
from ..tensor import Tensor
from .elementwise import result_type
from .matmul import _matmul, _matrices
from .reduce import sum as sum_


def _parse(equation, operands):
    """The subscripts of each operand and of the result, '...' replaced by its own labels."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise RuntimeError(
            f"einsum(): {'more' if len(operands) > len(inputs) else 'fewer'} operands were provided than specified in the equation "
            f"{equation!r}: {len(operands)} for {len(inputs)}"
        )
    if right.count("->") or any(not (c.isalpha() or c in ".,") for c in left + right):
        raise RuntimeError(f"einsum(): invalid subscript in {equation!r}; letters, '...', ',' and '->' are allowed")
    ellipsis = 0
    labels = []
    for s, t in zip(inputs, operands):
        if "..." in s:
            head, tail = s.split("...", 1)
            if "." in head + tail:
                raise RuntimeError(f"einsum(): found '.' that is not part of an ellipsis in {equation!r}")
            n = t._layout.ndim - len(head) - len(tail)
            if n < 0:
                raise RuntimeError(f"einsum(): the number of subscripts in {s!r} is larger than the number of dimensions ({t._layout.ndim})")
            ellipsis = max(ellipsis, n)
            labels.append([*head, n, *tail])
        else:
            if "." in s:
                raise RuntimeError(f"einsum(): found '.' that is not part of an ellipsis in {equation!r}")
            if len(s) != t._layout.ndim:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({len(s)}, {s!r}) does not match the number of dimensions "
                    f"({t._layout.ndim}, shape {list(t.shape)}) for an operand and no ellipsis was given"
                )
            labels.append(list(s))
    expand = lambda row: [x for c in row for x in ([("...", i) for i in range(ellipsis - c, ellipsis)] if isinstance(c, int) else [c])]  # noqa: E731
    labels = [expand(row) for row in labels]
    dots = [("...", i) for i in range(ellipsis)]
    if arrow:
        if "..." in right:
            head, tail = right.split("...", 1)
            result = [*head, *dots, *tail]
        else:
            result = list(right)
    else:
        counts: dict = {}
        for row in labels:
            for c in row:
                counts[c] = counts.get(c, 0) + 1
        result = dots + sorted(c for c in counts if isinstance(c, str) and counts[c] == 1)
    known = {c for row in labels for c in row}
    for i, c in enumerate(result):
        if c in result[:i]:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
        if c not in known:
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")
    return labels, result


def _diagonals(t, row):
    """Repeated labels of one operand become its diagonals."""
    row = list(row)
    i = 0
    while i < len(row):
        if row[i] in row[i + 1 :]:
            j = row.index(row[i], i + 1)
            if t._layout.shape[i] != t._layout.shape[j]:
                raise RuntimeError(f"einsum(): subscript {row[i]} is repeated but the sizes don't match, {t._layout.shape[j]} != {t._layout.shape[i]}")
            t = t.diagonal(0, i, j)
            label = row[i]
            row = [c for k, c in enumerate(row) if k not in (i, j)] + [label]
            i = 0
        else:
            i += 1
    return t, row


def _contract(a, ra, b, rb, keep):
    """The product of two operands, summed over the labels that nobody else needs."""
    shared = [c for c in ra if c in rb]
    batch = [c for c in shared if c in keep]
    summed = [c for c in shared if c not in keep]
    only_a, only_b = [c for c in ra if c not in rb], [c for c in rb if c not in ra]
    size = {}
    for t, row in ((a, ra), (b, rb)):
        for c, n in zip(row, t._layout.shape):
            size[c] = n if size.get(c, 1) == 1 else size[c]
    for t, row in ((a, ra), (b, rb)):
        for c, n in zip(row, t._layout.shape):
            if n not in (1, size[c]):
                raise RuntimeError(f"einsum(): operands do not broadcast with remapped shapes: subscript {c} has sizes {n} and {size[c]}")
    wide = lambda t, row: t.expand(tuple(size[c] for c in row))  # noqa: E731
    a, b = wide(a, ra), wide(b, rb)
    count = lambda cs: _product(size[c] for c in cs)  # noqa: E731
    left = a.permute(tuple(ra.index(c) for c in batch + only_a + summed)).reshape((count(batch), count(only_a), count(summed)))
    right = b.permute(tuple(rb.index(c) for c in batch + summed + only_b)).reshape((count(batch), count(summed), count(only_b)))
    out = _matrices(left, right, "einsum()")
    row = batch + only_a + only_b
    return out.reshape(tuple(size[c] for c in row)), row


def _product(values):
    n = 1
    for v in values:
        n *= v
    return n


_SHORT = 256  # of sums no longer than this the products are written down, and then added up
_ways: dict = {}  # (equation, two layouts) -> what `_way` said


def _way(equation, a, b):
    """How one product of matrices does it: for each operand and the result how its dimensions are ordered and then
    shaped (None: as they are). None where it takes more: diagonals, sums of one operand, sizes of 1 that broadcast."""
    (ra, rb), result = _parse(equation, (a, b))
    la, lb = a._layout, b._layout
    if type(la) is not Layout or type(lb) is not Layout or la.dtype is not lb.dtype:
        return None
    size = dict(zip(ra, la.shape))
    if len(size) != len(ra) or len(set(rb)) != len(rb) or any(size.get(c, n) != n for c, n in zip(rb, lb.shape)):
        return None
    size |= dict(zip(rb, lb.shape))
    batch = [c for c in ra if c in rb and c in result]
    summed = [c for c in ra if c in rb and c not in result]
    only_a, only_b = [c for c in ra if c not in rb], [c for c in rb if c not in ra]
    if any(c not in result for c in only_a + only_b):
        return None
    count = lambda cs: _product(size[c] for c in cs)  # noqa: E731
    sizes = [size[c] for c in batch]
    row = batch + only_a + only_b
    orders = (
        tuple(ra.index(c) for c in batch + only_a + summed),
        tuple(rb.index(c) for c in batch + summed + only_b),
        tuple(row.index(c) for c in result),
    )
    before = (
        [size[c] for c in batch + only_a + summed],
        [size[c] for c in batch + summed + only_b],
        [*sizes, count(only_a), count(only_b)],
    )
    after = (
        [*sizes, count(only_a), count(summed)],
        [*sizes, count(summed), count(only_b)],
        [size[c] for c in row],
    )
    if batch and summed and not only_a and not only_b and count(summed) <= _SHORT and la.dtype in (dt.float32, dt.float64):
        return orders, tuple(range(len(batch), len(row) + len(summed)))  # many short sums
    return tuple(
        (None if order == tuple(range(len(order))) else order, None if x == y else tuple(y))
        for order, x, y in zip(orders, before, after)
    )


def _by_one_product(way, a, b):
    if len(way) == 2:
        (order_a, order_b, order), dims = way
        return sum_(a.permute(order_a) * b.permute(order_b), dims).permute(order)
    (order_a, shape_a), (order_b, shape_b), (order, shape) = way
    a = a if order_a is None else a.permute(order_a)
    b = b if order_b is None else b.permute(order_b)
    out = _matmul(a if shape_a is None else a.reshape(shape_a), b if shape_b is None else b.reshape(shape_b))
    out = out if shape is None else out.reshape(shape)
    return out if order is None else out.permute(order)


def einsum(equation, *operands):
    """Sums of products of the operands' elements along the dimensions that their subscripts name, as in NumPy.

    `einsum("bij,bjk->bik", a, b)`; '...' stands for dimensions that broadcast; without '->' the labels that appear
    once remain, in alphabetic order. Raises RuntimeError where subscripts and shapes don't fit."""
    if not isinstance(equation, str):  # einsum(a, [0, 1], b, [1, 2], [0, 2])
        parts = (equation, *operands)
        names = lambda row: "".join("..." if x is Ellipsis else chr(ord("A") + x if x < 26 else ord("a") + x - 26) for x in row)  # noqa: E731
        operands = parts[0 : len(parts) // 2 * 2 : 2]
        text = ",".join(names(row) for row in parts[1::2])
        if len(parts) % 2:
            text += "->" + names(parts[-1])
        equation = text
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not operands:
        raise ValueError("einsum(): must provide at least one operand")
    for t in operands:
        if not isinstance(t, Tensor):
            raise TypeError(f"einsum(): operands must be Tensors, got {type(t).__name__}")
    if len(operands) == 2:
        a, b = operands
        key = (equation, a._layout, b._layout)
        if key not in _ways:
            remember(_ways, key, _way(equation, a, b))
        if (way := _ways[key]) is not None:
            return _by_one_product(way, a, b)
    labels, result = _parse(equation, operands)
    common = result_type(*operands)
    work = [_diagonals(t.to(common), row) for t, row in zip(operands, labels)]
    a, ra = work[0]
    for i, (b, rb) in enumerate(work[1:], 1):
        keep = set(result).union(*[set(row) for _, row in work[i + 1 :]])
        a, ra = _summed(a, ra, keep | set(rb))
        b, rb = _summed(b, rb, keep | set(ra))
        a, ra = _contract(a, ra, b, rb, keep)
    a, ra = _summed(a, ra, set(result))
    return a.permute(tuple(ra.index(c) for c in result))


def _summed(t, row, keep):
    dims = tuple(i for i, c in enumerate(row) if c not in keep)
    if not dims:
        return t, row
    return sum_(t, dims), [c for c in row if c in keep]
