"""Views, joins, splits and rearrangements: shapes, strides, what is a view and where a write shows (see core.py)."""

import pytest

from .core import Table, check
from .strategies import Call, sizes

TABLE = Table()
row = TABLE.row


@row("clone", "contiguous", "ravel", "t", "fliplr", "flipud", "atleast_1d", "atleast_2d", "atleast_3d", "argwhere", "T", "mT",
     forms=False)  # fmt: skip
def whole(d):
    return (d.tensor(d.shape(0, 3)),)


for _name in ("T", "mT"):
    TABLE[_name].call = lambda m, x, name=_name: getattr(x, name)


@row("nonzero", gradients=False)
def nonzero(d):
    return Call(d.tensor(low=-1.0, high=1.0), **({"as_tuple": True} if d.bool() else {}))


@row("broadcast_to", "expand")
def broadcast(d):
    x = d.tensor(tuple(d.any_of(1, n) for n in d.shape(0, 3)))
    shape = [d.any_of(n, -1) if n != 1 else d.any_of(1, 3, -1, 0) for n in x.shape]
    lead = [d.any_of(2, 1, 3, 0) for _ in range(d.int(0, 2))]
    return x, (*lead, *shape)


@row("expand_as", "view_as", "reshape_as", forms=False)
def like_another(d):
    x = d.tensor(d.shape(0, 3))
    return x, d.tensor(d.any_of(x.shape, tuple(reversed(x.shape)), (2, *x.shape), (x.values.size,)))


@row("reshape", "view")
def reshape(d):
    x = d.tensor()
    n = x.values.size
    shapes = (
        (n,),
        (-1,),
        (1, n),
        (n, 1),
        tuple(reversed(x.shape)),
        (2, -1),
        (*x.shape, 1),
        (-1, *x.shape[1:]),
        (3, 5),
    )
    return x, d.any_of(*shapes)


@row("view:dtype", forms=False)
def view_dtype(d):
    return d.tensor(d.shape(0, 2, least=1)), d.other_dtype(
        "float32", "int32", "int64", "uint8", "float16", "complex64"
    )


TABLE["view:dtype"].gradients = False  # more is differentiable here
TABLE["view:dtype"].call = lambda m, x, dtype: x.view(dtype)


@row("flatten")
def flatten(d):
    x = d.tensor()
    return x, d.dim(x), d.dim(x)


@row("unflatten")
def unflatten(d):
    x = d.tensor(d.shape(1, 3))
    dim = d.dim(x, outside=False)
    n = x.shape[dim]
    return x, dim, d.any_of((n,), (1, n), (-1, 1), (2, -1), (n, 1, 1))


@row("permute")
def permute(d):
    x = d.tensor()
    return x, d.order(x) if d.int(0, 7) else d.dims(x)


@row("transpose", "movedim")
def transpose(d):
    x = d.tensor()
    return x, d.dim(x), d.dim(x)


@row("movedim:several")
def movedim(d):
    x = d.tensor()
    source = d.dims(x)
    return x, source, d.dims(x)[: len(source)] if d.bool() else tuple(range(len(source)))


@row("squeeze")
def squeeze(d):
    x = d.tensor(tuple(d.any_of(1, 1, n) for n in d.shape()))
    return (x,) if d.int(0, 3) == 0 else (x, d.dims(x) if d.bool() else d.dim(x))


@row("unsqueeze")
def unsqueeze(d):
    x = d.tensor()
    return x, d.int(-x.ndim - 2, x.ndim + 1)


@row("select")
def select(d):
    x = d.tensor()
    return x, d.dim(x), d.int(-3, 3)


@row("narrow")
def narrow(d):
    x = d.tensor()
    return x, d.dim(x), d.int(-2, 3), d.int(0, 3)


@row("diagonal", "linalg.diagonal")
def diagonal(d):
    x = d.tensor(d.shape(1, 4))
    offset = d.int(-3, 3)
    return Call(x, offset=offset, **({"dim1": d.dim(x), "dim2": d.dim(x)} if d.bool() else {}))


TABLE["linalg.diagonal"].call = lambda m, x, dim1=-2, dim2=-1, **k: m.linalg.diagonal(
    x, dim1=dim1, dim2=dim2, **k
)


@row("diag", "diagflat")
def diag(d):
    return d.tensor(d.shape(0, 3)), d.int(-2, 2)


@row("diag_embed")
def diag_embed(d):
    x = d.tensor(d.shape(0, 3))
    return Call(
        x,
        offset=d.int(-2, 2),
        **({"dim1": d.dim(x.ndim + 1), "dim2": d.dim(x.ndim + 1)} if d.bool() else {}),
    )


@row("tril", "triu")
def triangle(d):
    return d.tensor(), d.int(-3, 3)


@row("unfold", forms=False)
def unfold(d):
    x = d.tensor()
    return x, d.dim(x), d.int(0, 3), d.int(1, 3)


@row("flip")
def flip(d):
    x = d.tensor()
    return x, d.dims(x) if d.bool() else (d.dim(x),)


@row("roll")
def roll(d):
    x = d.tensor()
    if d.bool():
        return x, d.int(-5, 5)
    dims = d.dims(x)
    return x, tuple(d.int(-5, 5) for _ in dims), dims


@row("rot90")
def rot90(d):
    x = d.tensor(d.shape(1, 4))
    return x, d.int(-2, 5), (d.dim(x), d.dim(x))


@row("repeat", "tile")
def repeat(d):
    x = d.tensor(d.shape(0, 3))
    return x, tuple(d.any_of(1, 2, 3, 0) for _ in range(d.int(0, 4)))


@row("repeat_interleave")
def repeat_interleave(d):
    x = d.tensor(d.shape(d.int(0, 1), 3))
    dim = d.dim(x) if x.ndim and d.bool() else None
    n = x.values.size if dim is None else x.shape[dim] if -x.ndim <= dim < x.ndim else 1
    counts = d.tensor((n,), "int64", 0.0, 3.0, layout="contiguous")
    return Call(x, d.any_of(2, 0, 1, counts), dim=dim)


@row("chunk", "split", "tensor_split")
def split(d):
    x = d.tensor()
    return x, d.int(0, 4), d.dim(x)


@row("split:sections", "split_with_sizes", "tensor_split:places")
def split_sizes(d):
    x = d.tensor(d.shape(1, 3))
    dim = d.dim(x, outside=False)
    first = d.int(0, x.shape[dim])
    return x, [first, x.shape[dim] - first + d.any_of(0, 0, 0, 1)], dim


@row("hsplit", "vsplit", "dsplit")
def split_along(d):
    return d.tensor(), d.any_of(1, 2, 3, (1,), (1, 2))


@row("unbind")
def unbind(d):
    x = d.tensor()
    return x, d.dim(x)


def several(d, shape, vary=None):
    """Some tensors of one shape (now and then not), or differing in the dimension `vary`."""
    out = []
    for _ in range(d.int(1, 3)):
        s = list(shape)
        if vary is not None and s:
            s[vary] = d.draw(sizes)
        dtype = d.any_of("float64", "float32", "int64", "bool") if d.int(0, 7) == 0 else d.dtype
        out.append(d.tensor(d.like(s), dtype))
    return out


@row("cat")
def cat(d):
    shape = d.shape()
    dim = d.dim(len(shape))
    return several(d, shape, dim if -len(shape) <= dim < len(shape) else None), dim


@row("stack")
def stack(d):
    shape = d.shape()
    return several(d, shape), d.dim(len(shape) + 1)


@row("hstack", "vstack", "dstack", "column_stack")
def stacks(d):
    shape = d.shape(0, 3)
    return (several(d, shape, d.int(0, len(shape) - 1) if shape and d.bool() else None),)


@row("broadcast_tensors", forms=False)
def broadcast_tensors(d):
    shape = d.shape(0, 3)
    return tuple(d.tensor(d.beside(shape)) for _ in range(d.int(1, 3)))


@row("meshgrid", forms=False)
def meshgrid(d):
    return Call(
        *[d.tensor(d.shape(0, 1)) for _ in range(d.int(1, 3))], indexing=d.any_of("ij", "xy")
    )


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
