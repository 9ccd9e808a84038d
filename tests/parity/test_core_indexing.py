"""Indexing, gathering and scattering in every form, layout and dtype (see core.py)."""

import pytest

from .core import Table, check
from .strategies import ALL, NUMBERS, Call

TABLE = Table()
row = TABLE.row


def along(d, x, dim, outside=True):
    """An index tensor for `dim` of x whose other sizes lie within x's."""
    shape = [d.int(0, n) if d.bool() else n for n in x.shape]
    inside = x.ndim and -x.ndim <= dim < x.ndim
    if inside:
        shape[dim] = d.int(0, 4)
    size = x.shape[dim] if inside else 1
    if not size and inside:
        shape[dim] = 0
    return d.indices(tuple(shape), size, outside=outside)


@row("gather")
def gather(d):
    x = d.tensor()
    dim = d.dim(x)
    return x, dim, along(d, x, dim)


@row("take_along_dim")
def take_along_dim(d):  # PyTorch does not see every index that lies outside
    x = d.tensor()
    dim = d.dim(x)
    return x, along(d, x, dim, outside=False), dim


@row("scatter", "scatter:reduce")
def scatter(d):
    x = d.tensor()
    dim = d.dim(x)
    index = along(d, x, dim)
    index.values[...] = (
        0 if not index.values.size else d.int(0, 1)
    )  # one place each, where it matters
    if index.ndim:
        keep = (
            tuple(slice(0, 1) if i == dim % index.ndim else slice(None) for i in range(index.ndim))
            if -index.ndim <= dim < index.ndim
            else ()
        )
        index.values = index.values[keep]
    source = (
        d.tensor(tuple(n + d.int(0, 1) for n in index.shape)) if d.int(0, 3) else d.any_of(2, 0.5)
    )
    return x, dim, index, source


TABLE["scatter:reduce"].call = lambda m, x, dim, i, s, **k: m.scatter(
    x, dim, i, s, reduce="add", **k
)
TABLE["scatter:reduce"].gradients = False


@row("scatter_add", dtypes=ALL)
def scatter_add(d):
    x = d.tensor()
    dim = d.dim(x)
    index = along(d, x, dim)
    return x, dim, index, d.tensor(tuple(n + d.int(0, 1) for n in index.shape))


@row("scatter_reduce", dtypes=NUMBERS, ulps=512)
def scatter_reduce(d):
    x = d.tensor(low=0.5, unique=d.dtype not in ("float64", "float32"))
    dim = d.dim(x)
    index = along(d, x, dim)
    source = d.tensor(index.shape, low=0.5)
    return Call(
        x,
        dim,
        index,
        source,
        d.any_of("sum", "prod", "mean", "amax", "amin"),
        include_self=d.bool(),
    )


def places(d, x, dim):
    """A vector of indices into `dim` of x."""
    size = x.shape[dim] if -x.ndim <= dim < x.ndim else 1
    return d.indices((d.int(0, 4),) if size else (0,), size)


@row("index_select")
def index_select(d):
    x = d.tensor()
    dim = d.dim(x)
    return x, dim, places(d, x, dim)


@row("index_fill")
def index_fill(d):
    x = d.tensor(layout=d.any_of("contiguous", "transposed", "stepped"))
    dim = d.dim(x)
    return x, dim, places(d, x, dim), d.any_of(1, 0.5, d.tensor(()))


def one_place_each(index):
    index.values = index.values[: min(1, index.values.size)]
    return index


def source_for(d, x, dim, index):
    shape = list(x.shape)
    if -x.ndim <= dim < x.ndim:
        shape[dim] = index.shape[0]
    return d.tensor(d.like(shape))


@row("index_copy")
def index_copy(d):
    x = d.tensor()
    dim = d.dim(x)
    index = one_place_each(places(d, x, dim))
    return x, dim, index, source_for(d, x, dim, index)


@row("index_add")
def index_add(d):
    x = d.tensor()
    dim = d.dim(x)
    index = places(d, x, dim)
    return Call(
        x,
        dim,
        index,
        source_for(d, x, dim, index),
        **({"alpha": d.any_of(2, 1)} if d.bool() else {}),
    )


@row("take")
def take(d):
    x = d.tensor()
    return x, d.indices(d.shape(0, 3) if x.values.size else (0,), x.values.size, negative=True)


@row("masked_select")
def masked_select(d):
    x = d.tensor()
    return x, d.mask(d.beside(x.shape))


@row("masked_scatter")
def masked_scatter(d):
    x = d.tensor()
    return (
        x,
        d.mask(d.beside(x.shape)),
        d.tensor((d.any_of(x.values.size, x.values.size, 1),), layout="contiguous"),
    )


def key(d, x):
    """An index of x: ints, slices, None, ..., masks and tensors of indices."""
    parts, used, shape = [], 0, d.shape(0, 2, least=1)
    for n in x.shape[: d.int(0, x.ndim)]:
        kind = d.int(0, 5)
        if kind == 0:
            parts.append(d.int(-n, n))
        elif kind in (1, 2):
            parts.append(
                slice(d.any_of(None, 0, 1, -2), d.any_of(None, n, -1, 1), d.any_of(None, 1, 2))
            )
        elif kind == 3:
            parts.append(
                d.indices(
                    d.any_of(shape, shape[1:]) if n else (0,),
                    n,
                    d.any_of("int64", "int32"),
                    negative=True,
                )
            )
        elif kind == 4:
            parts.append(d.mask((n,)))
        else:
            parts += [None, slice(None)]
        used += 1
    if d.int(0, 3) == 0:
        parts.insert(d.int(0, len(parts)), Ellipsis)
    return tuple(parts) if len(parts) != 1 or d.bool() else parts[0]


@row("__getitem__", forms=False)
def getitem(d):
    x = d.tensor(low=-1.0) if d.int(0, 7) == 0 else d.tensor()
    if d.int(0, 7) == 0:
        return x, d.mask(x.shape)
    return x, key(d, x)


@row("__setitem__", forms=False)
def setitem(d):
    x = d.tensor(layout=d.any_of("contiguous", "transposed", "stepped"))
    return (
        x,
        tuple(
            slice(None, d.int(0, 3)) if d.bool() else d.int(-2, 1) for _ in x.shape[: d.int(0, 3)]
        ),
        d.any_of(2, 0.5, d.tensor(())),
    )


def _assign(m, x, key, value):
    x = x * 1 if x.dtype is not m.bool else x.clone()
    x[key] = value
    return x


TABLE["__setitem__"].call = _assign


@row("index_put", forms=True)
def index_put(d):
    x = d.tensor(d.shape(1, 3, least=1), layout=d.any_of("contiguous", "transposed", "stepped"))
    shape = (d.int(0, 3),)
    indices = tuple(d.indices(shape, n, negative=True) for n in x.shape[: d.int(1, x.ndim)])
    accumulate = d.bool()
    if not accumulate:  # no place twice: the order of writes is nobody's promise
        for i in indices:
            i.values = i.values[:1]
    return Call(
        x,
        indices,
        d.tensor(d.any_of((), shape if accumulate else (indices[0].shape[0],), (1,))),
        accumulate=accumulate,
    )


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
