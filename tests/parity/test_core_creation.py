"""Tensors from sizes, from other tensors, from random numbers and by conversion (see core.py)."""

import pytest

from .core import Table, check
from .strategies import COMPLEX, INTEGERS, NUMBERS, REAL, WIDE, Call, Dtype

TABLE = Table()
row = TABLE.row


@row("zeros", "ones", "empty")
def filled(d):
    return Call(d.shape(), **({"dtype": Dtype(d.dtype)} if d.bool() else {}))


@row("full")
def full(d):
    return Call(
        d.shape(), d.any_of(1, 0.5, True), **({"dtype": Dtype(d.dtype)} if d.bool() else {})
    )


@row("zeros_like", "ones_like", "empty_like", forms=False)
def like(d):
    x = d.tensor()
    return Call(x, **({"dtype": d.other_dtype()} if d.bool() else {}))


@row("full_like", forms=False)
def full_like(d):
    return Call(
        d.tensor(), d.any_of(1, 0.5, True), **({"dtype": d.other_dtype()} if d.bool() else {})
    )


@row("new_zeros", "new_ones", "new_empty", forms=False)
def new(d):
    return Call(d.tensor(), d.shape(), **({"dtype": d.other_dtype()} if d.bool() else {}))


@row("new_full", forms=False)
def new_full(d):
    return Call(
        d.tensor(),
        d.shape(),
        d.any_of(1, 0.5, True),
        **({"dtype": d.other_dtype()} if d.bool() else {}),
    )


for _name in ("empty", "empty_like", "new_empty"):
    TABLE[_name].values = False


@row("scalar_tensor", forms=False)
def scalar_tensor(d):
    return Call(d.any_of(1, 0.5, True), **({"dtype": Dtype(d.dtype)} if d.bool() else {}))


@row("arange", dtypes=NUMBERS)
def arange(d):
    args = d.any_of((d.int(-1, 6),), (d.int(-3, 3), d.int(-3, 6)), (d.int(-3, 3), d.int(-3, 6), d.any_of(1, 2, -1, 0)),
                    (0.5, 3.0, 0.5), (2.5,))  # fmt: skip
    return Call(*args, **({"dtype": Dtype(d.dtype)} if d.bool() else {}))


@row("linspace", dtypes=(*NUMBERS, *COMPLEX))
def linspace(d):
    return Call(
        d.any_of(0, -2.0, 3),
        d.any_of(5, 1.0, 0.5),
        d.any_of(-1, 1, 2, 3, 6),
        **({"dtype": Dtype(d.dtype)} if d.bool() else {}),
    )


@row("eye")
def eye(d):
    return Call(d.int(-1, 4), **({"m": d.int(0, 4)} if d.bool() else {}), dtype=Dtype(d.dtype))


TABLE["eye"].call = lambda m, n, **k: m.eye(n, *([k.pop("m")] if "m" in k else []), **k)


@row("triu_indices", "tril_indices", dtypes=("int64", "int32"), forms=False)
def triangle_indices(d):
    return Call(d.int(0, 4), d.int(0, 4), offset=d.int(-3, 3), dtype=Dtype(d.dtype))


@row("to")
def to(d):
    return Call(d.tensor(low=0.0), d.other_dtype(), **({"copy": True} if d.bool() else {}))


@row("bool", "byte", "char", "double", "float", "int", "long", "short", forms=False)
def converted(d):
    return (d.tensor(low=0.0),)


@row("item", forms=False)
def item(d):
    return (d.tensor(d.shape(0, 2), layout="contiguous"),)


@row("randn", dtypes=REAL)
def randn(d):
    return Call(d.shape(), **({"dtype": Dtype(d.dtype)} if d.bool() else {}))


@row("randn_like", "rand_like", dtypes=REAL, forms=False)
def random_like(d):
    return (d.tensor(layout="contiguous"),)


@row("randint", dtypes=(*INTEGERS, *WIDE))
def randint(d):
    low = d.int(-3, 3) if d.dtype != "uint8" else d.int(0, 3)
    return Call(
        low, low + d.int(0, 9), d.shape(), **({"dtype": Dtype(d.dtype)} if d.bool() else {})
    )


@row("randint_like", dtypes=(*INTEGERS, *WIDE), forms=False)
def randint_like(d):
    return d.tensor(layout="contiguous"), 0, d.int(0, 9)


@row("bernoulli", dtypes=WIDE, values=False, gradients=False, forms=False)
def bernoulli(d):
    return (d.tensor(low=0.0, high=1.0),)


@row("multinomial", dtypes=WIDE, values=False, gradients=False)
def multinomial(d):
    x = d.tensor(d.shape(1, 2, least=1), low=0.1)
    replacement = d.bool()
    return x, d.int(0, 3), replacement


@row("exponential", dtypes=REAL, values=False, gradients=False, forms=False)
def exponential(d):
    return d.tensor(layout=d.any_of("contiguous", "transposed")), d.any_of(1.0, 0.5, -1.0)


@row("normal", dtypes=WIDE, gradients=False, forms=False)
def normal(d):
    mean = d.tensor(layout="contiguous")
    return mean, d.any_of(2.0, 0.5)


@row("uniform", dtypes=REAL, gradients=False, forms=False)
def uniform(d):
    return d.tensor(layout="contiguous"), d.any_of(0.0, -1.0), d.any_of(1.0, 2.5)


TABLE["exponential"].call = lambda m, x, rate: x.exponential_(rate)
TABLE["uniform"].call = lambda m, x, low, high: x.uniform_(low, high)


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
