"""Products of vectors and matrices in every form, layout and dtype (see core.py)."""

import pytest

from .core import Table, check
from .strategies import ALL, COMPLEX, INTEGERS, NUMBERS, REAL, WIDE, Call

TABLE = Table()
row = TABLE.row
FIELDS = (*WIDE, *COMPLEX, "int64", "int32", "bfloat16", "float16")


def size(d):
    return d.any_of(2, 3, 1, 4, 0)


def wrong(d, n):
    """Nearly always n."""
    return n + 1 if d.int(0, 15) == 15 else n


@row("matmul", "__rmatmul__", dtypes=FIELDS)
def matmul(d):
    n, k, m = size(d), size(d), size(d)
    batch = d.shape(0, 2)
    a = d.any_of((k,), (n, k), (*batch, n, k))
    b = d.any_of((wrong(d, k),), (k, m), (*d.beside(batch), k, m))
    return d.tensor(a), d.tensor(b)


TABLE["__rmatmul__"].call = lambda m, a, b: b.__rmatmul__(a)


@row("mm", dtypes=FIELDS)
def mm(d):
    n, k, m = size(d), size(d), size(d)
    return d.tensor((n, k)), d.tensor(d.like((wrong(d, k), m)))


@row("bmm", dtypes=FIELDS)
def bmm(d):
    b, n, k, m = size(d), size(d), size(d), size(d)
    return d.tensor((b, n, k)), d.tensor((b, wrong(d, k), m))


@row("mv", dtypes=FIELDS)
def mv(d):
    n, k = size(d), size(d)
    return d.tensor((n, k)), d.tensor((wrong(d, k),))


@row("dot", dtypes=FIELDS)
def dot(d):
    n = size(d)
    return d.tensor((n,)), d.tensor((wrong(d, n),))


@row("outer", dtypes=ALL)
def outer(d):
    return d.tensor(d.like((size(d),))), d.tensor((size(d),))


@row("inner", dtypes=FIELDS)
def inner(d):
    k = size(d)
    return d.tensor((*d.shape(0, 2), k)), d.tensor((*d.shape(0, 2), wrong(d, k)))


@row("linalg.vecdot", dtypes=(*WIDE, *COMPLEX))
def vecdot(d):
    shape = d.shape(1, 3)
    return Call(d.tensor(shape), d.tensor(d.like(shape)), dim=d.int(-len(shape), len(shape) - 1))


def factors(d):
    scalars = (2, 0.5, 0, 1) if d.dtype in (*REAL, *COMPLEX) else (2, 0, 1)
    return {"beta": d.any_of(*scalars), "alpha": d.any_of(*scalars)} if d.bool() else {}


@row("addmm", dtypes=FIELDS)
def addmm(d):
    n, k, m = size(d), size(d), size(d)
    return Call(
        d.tensor(d.beside((n, m))), d.tensor((n, k)), d.tensor((wrong(d, k), m)), **factors(d)
    )


@row("addmv", dtypes=FIELDS)
def addmv(d):
    n, k = size(d), size(d)
    return Call(d.tensor((n,)), d.tensor((n, k)), d.tensor((wrong(d, k),)), **factors(d))


@row("addbmm", "baddbmm", dtypes=FIELDS)
def addbmm(d):
    b, n, k, m = size(d), size(d), size(d), size(d)
    return Call(d.tensor((n, m)), d.tensor((b, n, k)), d.tensor((b, wrong(d, k), m)), **factors(d))


@row("einsum", dtypes=(*WIDE, *COMPLEX, "int64"), forms=False)
def einsum(d):
    sizes = {"i": size(d), "j": size(d), "k": size(d), "b": size(d)}
    equations = (
        "ij,jk->ik",
        "ij->ji",
        "ii->i",
        "ij,ij->",
        "bij,bjk->bik",
        "i,j->ij",
        "ij,kj->ik",
        "ij->i",
        "...ij->...ji",
        "ij,jk",
    )
    equation = d.any_of(*equations)
    inputs = equation.split("->")[0].replace("...", "b").split(",")
    return equation, *[d.tensor(tuple(sizes[c] for c in term)) for term in inputs]


@row("tensordot", dtypes=FIELDS)
def tensordot(d):
    shared = d.shape(0, 2)
    a, b = d.tensor((*d.shape(0, 2), *shared)), d.tensor((*shared, *d.shape(0, 2)))
    n = len(shared)
    return Call(a, b, dims=n if d.bool() else (tuple(range(-n, 0)), tuple(range(n))))


@row("kron")
def kron(d):  # PyTorch's fails for some integers that are not contiguous
    return tuple(
        d.tensor(d.shape(0, 2), layout="contiguous" if d.dtype in INTEGERS else None)
        for _ in range(2)
    )


@row("cross", "linalg.cross", dtypes=(*NUMBERS, *COMPLEX))
def cross(d):
    shape = list(d.shape(1, 3))
    dim = d.int(-len(shape), len(shape) - 1)
    shape[dim] = wrong(d, 3)
    return Call(d.tensor(tuple(shape)), d.tensor(tuple(shape)), dim=dim)


TABLE["addbmm"].casts = False


@row("linalg.matrix_power", casts=False, dtypes=(*WIDE, *COMPLEX), ulps=1024)
def matrix_power(d):
    n = d.int(0, 3)
    x = d.tensor(
        (*d.shape(0, 1), n, wrong(d, n)),
        low=-1.0,
        high=1.0,
        layout=d.any_of("contiguous", "transposed", "stepped"),
    )
    return x, d.int(0, 4)


@row("linalg.multi_dot", dtypes=(*WIDE, *COMPLEX), ulps=1024)
def multi_dot(d):
    sizes = [d.int(1, 4) for _ in range(d.int(2, 5))]
    matrices = [d.tensor((a, b)) for a, b in zip(sizes, sizes[1:])]
    return (matrices + [d.tensor((sizes[-1],))] if d.bool() else matrices,)


@row("cdist", dtypes=WIDE, ulps=4096)
def cdist(d):
    batch, k = d.shape(0, 1), d.int(1, 4)
    p = d.any_of(2.0, 1.0, 3.0, float("inf"))
    return Call(d.tensor((*batch, size(d), k)), d.tensor((*batch, size(d), wrong(d, k))), p=p,
                compute_mode="donot_use_mm_for_euclid_dist")  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
