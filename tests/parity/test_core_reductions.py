"""Reductions, scans, sorting and searching in every form, layout and dtype (see core.py)."""

import pytest

from .core import Table, check
from .strategies import ALL, INTEGERS, NUMBERS, REAL, WIDE, Call

TABLE = Table()
row = TABLE.row


def over(d, x, several=True):
    """Nothing, or a dimension (or several) and perhaps keepdim."""
    if d.int(0, 3) == 0:
        return {}
    dim = d.dims(x) if several and d.bool() else d.dim(x)
    return {"dim": dim, **({"keepdim": True} if d.bool() else {})}


@row("sum", "mean", "nansum", "nanmean", "all", "any")
def plain(d):
    x = d.tensor(low=-2.0, high=2.0)
    if d.dtype in REAL and x.values.size and d.int(0, 3) == 0:
        x.values.reshape(-1)[0] = float("nan")
    return Call(x, **over(d, x))


@row("sum:dtype", "mean:dtype", "cumsum:dtype", "prod:dtype")
def of_dtype(d):
    x = d.tensor(low=-2.0, high=2.0)
    return Call(x, d.dim(x), dtype=d.other_dtype("float64", "float32", "int64", "int32"))


@row("prod", ulps=256)
def prod(d):
    x = d.tensor(low=0.4, high=1.5)
    return Call(x, **over(d, x, several=False))


@row("amax", "amin", dtypes=(*NUMBERS, "bool"))
def extremes(d):
    x = d.tensor()
    return Call(x, **over(d, x))


@row("aminmax", dtypes=(*NUMBERS, "bool"))
def aminmax(d):
    x = d.tensor()
    return Call(x, **over(d, x, several=False))


@row("max", "min", "argmax", "argmin", dtypes=(*NUMBERS, "bool"))
def places(d):
    x = d.tensor(unique=d.dtype != "bool", low=0.0)
    return Call(x, **over(d, x, several=False))


@row("median", dtypes=NUMBERS)
def median(d):
    x = d.tensor(
        d.shape(least=int(d.dtype not in REAL)), unique=True
    )  # the median of no integers is anything
    return Call(x, **over(d, x, several=False))


@row(
    "var",
    "std",
    "var_mean",
    "std_mean",
    dtypes=(*REAL, "complex128", "complex64", "int64"),
    ulps=512,
)
def spread(d):
    x = d.tensor(d.shape(1, 4, least=3) if "complex" in d.dtype else d.shape(least=d.int(0, 1)))
    where = over(d, x)
    if where.get("dim") == ():  # PyTorch's derivative divides by 0
        where["dim"] = None
    return Call(x, **where, **({"correction": d.any_of(0, 1, 2, 0.5)} if d.bool() else {}))


@row("logsumexp", dtypes=(*REAL, "int64"))
def logsumexp(d):
    x = d.tensor()
    return Call(x, d.dims(x) or (0,) if d.bool() else d.dim(x), keepdim=d.bool())


@row("count_nonzero", gradients=False)
def count(d):
    x = d.tensor()
    return (x,) if d.bool() else (x, d.dims(x) if d.bool() else d.dim(x))


@row("norm", dtypes=(*WIDE, "complex128", "float16"), ulps=256)
def norm(d):
    x = d.tensor(low=0.2)
    p = d.any_of("fro", 2, 1, 3, 0, float("inf"), float("-inf"), 0.5)
    return Call(x, p, **({} if d.int(0, 3) == 0 else {"dim": d.dim(x), "keepdim": d.bool()}))


@row("linalg.vector_norm", dtypes=(*WIDE, "complex128", "bfloat16"), ulps=256)
def vector_norm(d):
    x = d.tensor(low=0.2)
    return Call(x, d.any_of(2, 1, 3, 0, float("inf"), float("-inf"), 0.5), **over(d, x))


@row("dist", dtypes=(*WIDE, "complex128"), ulps=256)
def dist(d):
    x = d.tensor()
    return x, d.tensor(d.beside(x.shape)), d.any_of(2, 1, 3, 0, float("inf"))


@row("quantile", dtypes=(*WIDE, "float16"), ulps=256)
def quantile(d):
    x = d.tensor(unique=True)
    q = d.any_of(0.3, 0.0, 1.0, 0.5, d.tensor((3,), low=0.1, high=0.9, layout="contiguous"))
    options = {"interpolation": d.any_of("linear", "lower", "higher", "midpoint", "nearest")}
    return Call(x, q, **over(d, x, several=False), **options)


@row("cumsum", "cumprod", ulps=256)
def running(d):
    x = d.tensor(low=0.4, high=1.5)
    return x, d.dim(x)


@row("logcumsumexp", dtypes=REAL)
def logcumsumexp(d):
    x = d.tensor()
    return x, d.dim(x)


@row("cummax", "cummin", dtypes=(*NUMBERS, "bool"))
def running_extremes(d):
    x = d.tensor(unique=True)
    return x, d.dim(x)


@row("diff", casts=False)
def diff(d):
    x = d.tensor(d.shape(low=0, high=3, least=1))
    options = {"n": d.int(0, 3), "dim": d.dim(x)}
    if x.ndim and d.int(0, 2) == 0:
        options |= {"prepend": d.tensor(x.shape)}
    return Call(x, **options)


@row("softmax", "log_softmax", "nn.functional.softmin", dtypes=(*REAL, "int64"))
def softmax(d):
    x = d.tensor()
    options = (
        {"dtype": d.other_dtype("float64", "float32")} if d.dtype == "int64" or d.bool() else {}
    )
    return Call(x, d.dim(x), **options)


@row("sort", "argsort", dtypes=NUMBERS)
def sort(d):
    x = d.tensor(unique=True)
    return Call(x, d.dim(x), descending=d.bool()) if d.int(0, 3) else (x,)


@row("sort:stable", "argsort:stable", dtypes=(*NUMBERS, "bool"), gradients=False)
def stable_sort(d):
    return Call(d.tensor(low=-1.0, high=1.0), stable=True, dim=-1, descending=d.bool())


@row("topk", dtypes=NUMBERS)
def topk(d):
    x = d.tensor(unique=True)
    return Call(x, d.int(0, 3), d.dim(x), largest=d.bool())


@row("kthvalue", dtypes=NUMBERS)
def kthvalue(d):
    x = d.tensor(unique=True)
    return x, d.int(0, 3), d.dim(x), d.bool()


@row("unique", "unique_consecutive", dtypes=(*NUMBERS, "bool"), gradients=False, second=False)
def unique(d):
    x = d.tensor(low=-1.0, high=2.0, dtype=d.any_of("int64", d.dtype))
    dim = {"dim": d.dim(x)} if d.bool() else {}
    return Call(x, return_inverse=d.bool(), return_counts=d.bool(), **dim)


@row("bincount", dtypes=INTEGERS, gradients=False)
def bincount(d):
    x = d.tensor(d.shape(1, 1) if d.int(0, 7) else d.shape(), low=0.0, high=6.0)
    options = (
        {"weights": d.tensor(x.shape, d.any_of("float64", "float32", "int64"))} if d.bool() else {}
    )
    return Call(x, minlength=d.int(0, 4), **options)


def boundaries(d, shape):
    x = d.tensor(shape, layout="contiguous")
    x.values.sort(-1)
    return x


@row("searchsorted", dtypes=NUMBERS, gradients=False)
def searchsorted(d):
    shape = d.shape(1, 3)
    rows = boundaries(d, shape)
    values = d.tensor((*shape[:-1], d.int(0, 4)) if d.bool() else d.like(shape))
    options = {"right": True} if d.bool() else {"side": d.any_of("left", "right")}
    return Call(rows, values, out_int32=d.bool(), **options)


@row("bucketize", dtypes=NUMBERS, gradients=False)
def bucketize(d):
    values = d.tensor() if d.int(0, 3) else d.any_of(1, 0.5)
    return Call(values, boundaries(d, d.shape(1, 1)), out_int32=d.bool(), right=d.bool())


@row("isin", dtypes=(*NUMBERS, "bool"), gradients=False)
def isin(d):
    x = d.tensor(low=-2.0, high=2.0)
    return Call(
        x, d.tensor(low=-2.0, high=2.0, layout="contiguous") if d.int(0, 3) else 1, invert=d.bool()
    )


@row("trace", dtypes=ALL)
def trace(d):
    return (d.tensor(d.shape(2, 2) if d.int(0, 7) else d.shape()),)


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
