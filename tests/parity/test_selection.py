"""Selection, searches and sets on lengths, strides and values that take every way through their kernels."""

import numpy as np
import pytest
import torch

import dlgrad

from .both import agree, both

DTYPES = ("int8", "int16", "int32", "int64", "float16", "float32", "float64")
SHAPES = (
    ((1,), 0),
    ((17,), 0),
    ((100,), 0),
    ((5000,), 0),
    ((40, 100), 1),
    ((900, 37), 0),
    ((3, 700, 5), 1),
    ((33, 10), 1),
    ((16, 19), 0),
    ((3, 32, 5), 1),
)


def values(kind, shape, dtype):
    """Random values: spread over the dtype's range, few different ones, or many that share their upper bits."""
    rng = np.random.default_rng(len(shape) + shape[0])
    if kind == "few":
        return rng.integers(0, 4, shape).astype(dtype)
    if dtype.startswith("float"):
        x = rng.normal(size=shape).astype(dtype)
        if kind == "special":
            x[rng.random(shape) < 0.1] = np.nan
            x[rng.random(shape) < 0.1] = -0.0
            x[rng.random(shape) < 0.1] = np.inf
        return x
    most = np.iinfo(dtype).max
    x = rng.integers(-most, most, shape).astype(dtype)
    if kind == "special":
        x.reshape(-1)[::3] = 7
        x.reshape(-1)[::5] = 8
    return x


@pytest.mark.parametrize("kind", ["spread", "few", "special"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_selection_is_what_a_stable_sort_gives(dtype, kind):
    for shape, d in SHAPES:
        x, y = both(values(kind, shape, dtype))
        n = shape[d]
        up = torch.sort(y, dim=d, stable=True)
        down = torch.sort(y, dim=d, stable=True, descending=True)
        for k in sorted({1, min(n, 5), max(1, n // 3), n}):
            v, i = x.kthvalue(k, d)
            agree(v, up.values.select(d, k - 1))
            agree(i, up.indices.select(d, k - 1))
            for order, largest in ((up, False), (down, True)):
                v, i = x.topk(k, d, largest)
                agree(v, order.values.narrow(d, 0, k))
                agree(i, order.indices.narrow(d, 0, k))
        for ours, theirs in list(zip(x.mode(d), y.mode(d)))[: 2 if n <= 16 else 1]:
            agree(ours, theirs)
        agree(x.median(d).values, y.median(d).values)
        if dtype.startswith("float"):
            agree(x.nanmedian(d).values, y.nanmedian(d).values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_searchsorted_of_every_length(dtype):
    rng = np.random.default_rng(3)
    for n in (1, 7, 8, 24, 25, 64, 65, 100, 511, 513, 4097, 20_000):
        line, sorted_line = both(np.sort(values("spread", (n,), dtype)))
        for m in (1, 15, 16, 700):
            at = rng.integers(0, n, m)
            points, wanted = both(
                np.concatenate([sorted_line.numpy()[at], values("spread", (m,), dtype)])
            )
            for right in (False, True):
                ours = dlgrad.searchsorted(line, points, right=right)
                agree(ours, torch.searchsorted(sorted_line, wanted, right=right))


@pytest.mark.parametrize("dtype", DTYPES)
def test_searchsorted_of_rows(dtype):
    for n in (1, 9, 24, 100, 129, 1000, 1025):
        lines, sorted_lines = both(np.sort(values("spread", (5, n), dtype), 1))
        for m in (1, 3, 10, 16, 65):
            points, wanted = both(values("spread", (5, m), dtype))
            for right in (False, True):
                agree(
                    dlgrad.searchsorted(lines, points, right=right),
                    torch.searchsorted(sorted_lines, wanted, right=right),
                )
                agree(  # not one run each
                    dlgrad.searchsorted(lines[:, ::2], points.T.contiguous().T, right=right),
                    torch.searchsorted(sorted_lines[:, ::2].contiguous(), wanted, right=right),
                )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_searchsorted_among_nan(dtype):
    """Also where boundaries do not ascend: then the steps of the search decide what comes out."""
    rng = np.random.default_rng(4)
    for n in (1, 2, 9, 24, 100, 129, 1025):
        for share in (0.02, 0.3):
            line = np.sort(rng.integers(0, 250, n)).astype("float32")
            line[rng.random(n) < share] = np.nan
            line[n - 1 - n // 5 :] = np.nan if share > 0.1 else 300
            for m in (1, 5, 70):
                points = rng.integers(0, 250, (2, m)).astype("float32")
                points[rng.random((2, m)) < 0.1] = np.nan
                order = rng.permutation(n)
                ours, theirs = [], []
                for module, results in ((dlgrad, ours), (torch, theirs)):
                    kind = getattr(module, dtype)
                    b, x = module.tensor(line).to(kind), module.tensor(points).to(kind)
                    for right in (False, True):
                        results.append(module.bucketize(x, b, right=right))
                        results.append(module.searchsorted(b, x[0], right=right))
                        sorter = module.tensor(order)
                        results.append(module.searchsorted(b, x, right=right, sorter=sorter))
                        rows = module.stack([b, b.flip(0)])
                        results.append(module.searchsorted(rows, x, right=right))
                        apart = x.repeat_interleave(2, 1)[:, ::2]
                        results.append(module.searchsorted(rows, apart, right=right))
                for u, v in zip(ours, theirs):
                    agree(u, v)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sets_of_every_length(dtype):
    for n in (1, 8, 9, 10, 17, 1000, 9001):
        for kind in ("few", "spread"):
            a = values(kind, (n,), dtype)
            for case in (a, np.sort(a)):
                x, y = both(case)
                for flags in (
                    {},
                    {"return_inverse": True},
                    {"return_counts": True, "return_inverse": True},
                ):
                    for name in ("unique", "unique_consecutive"):
                        ours, theirs = getattr(x, name)(**flags), getattr(y, name)(**flags)
                        for u, v in zip(ours if flags else [ours], theirs if flags else [theirs]):
                            agree(u, v)
                for m in (1, 24, 25, 300):
                    among, of = both(values(kind, (m,), dtype))
                    for invert in (False, True):
                        agree(
                            dlgrad.isin(x, among, invert=invert), torch.isin(y, of, invert=invert)
                        )


@pytest.mark.parametrize("shape", [(5, 7, 3), (17, 40, 20), (40, 64, 33), (1, 100, 1)])
@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("batches", [((), ()), ((3,), (3,)), ((2, 1), (3,))])
def test_cdist_and_its_gradients(shape, p, batches):
    n, m, k = shape
    rng = np.random.default_rng(n)
    a = both(rng.normal(size=(*batches[0], n, k)).round(1), grad=True)
    b = both(rng.normal(size=(*batches[1], m, k)).round(1), grad=True)
    g = both(rng.normal(size=(*np.broadcast_shapes(*batches), n, m)))
    d = dlgrad.cdist(a[0], b[0], p), torch.cdist(a[1], b[1], p)
    agree(*d, atol=1e-7)
    for t, w in zip(d, g):
        t.backward(w)
    agree(a[0].grad, a[1].grad, atol=1e-7)
    agree(b[0].grad, b[1].grad, atol=1e-7)


@pytest.mark.parametrize("size", [(2, 3, 9, 11), (1, 1, 4, 40), (2, 2, 7, 8, 9)])
@pytest.mark.parametrize("kernel", [2, 3])
def test_fractional_max_pooling(size, kernel):
    rng = np.random.default_rng(4)
    n = len(size) - 2
    x = both(rng.normal(size=size), grad=True)
    u = both(rng.random((*size[:2], n)))
    name = f"fractional_max_pool{n}d"
    results = [
        getattr(m.nn.functional, name)(
            t, kernel, [s // 2 for s in size[2:]], return_indices=True, _random_samples=s
        )
        for m, t, s in zip((dlgrad, torch), x, u)
    ]
    for ours, theirs in zip(*results):
        agree(ours, theirs)
    for values_, _ in results:
        (values_ * values_).sum().backward()
    agree(x[0].grad, x[1].grad)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", [(10, 5), (1, 1), (3, 17), (30, 40)])
def test_multilabel_margin_loss(shape, reduction):
    rng = np.random.default_rng(5)
    x = both(rng.normal(size=shape), grad=True)
    t = both(rng.integers(-1, shape[1], shape))
    losses = [
        m.nn.functional.multilabel_margin_loss(a, b, reduction=reduction)
        for m, a, b in zip((dlgrad, torch), x, t)
    ]
    agree(*losses, ulps=64)
    for loss in losses:
        (loss * loss).sum().backward()
    agree(x[0].grad, x[1].grad, ulps=256, atol=1e-14)
    with pytest.raises(RuntimeError, match="target"):
        dlgrad.nn.functional.multilabel_margin_loss(x[0], t[0] + shape[1] + 1)


def test_lu_unpack_of_every_shape():
    rng = np.random.default_rng(6)
    for shape in ((3, 3), (5, 3), (3, 5), (2, 4, 4), (2, 3, 6, 5), (0, 3, 3)):
        lu, pivots = torch.linalg.lu_factor(torch.tensor(rng.normal(size=shape)))
        ours = both(lu.contiguous().numpy())[0], both(pivots.numpy())[0]
        for data in (True, False):
            for swaps in (True, False):
                for u, v in zip(
                    dlgrad.lu_unpack(*ours, data, swaps), torch.lu_unpack(lu, pivots, data, swaps)
                ):
                    agree(u, v)
    with pytest.raises(RuntimeError, match="pivots"):
        dlgrad.lu_unpack(dlgrad.eye(3), dlgrad.tensor([1, 7, 3], dtype=dlgrad.int32))


def test_selection_does_not_depend_on_the_threads():
    x = both(np.random.default_rng(7).normal(size=(300, 900)))[0]
    among = x[0].sort().values
    found = []
    threads = dlgrad.get_num_threads()
    for n in (1, 2):
        dlgrad.set_num_threads(n)
        results = (
            *x.median(1),
            *x.topk(40, 0),
            dlgrad.searchsorted(among, x),
            dlgrad.cdist(x, x, 1.0),
        )
        found.append([t.tolist() for t in results])
    dlgrad.set_num_threads(threads)
    assert found[0] == found[1]
