"""Tensors print as PyTorch's do, but for the name of the library."""

import math
import random

import pytest
import torch

import dlgrad
from dlgrad import printing

DTYPES = ("bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64").split()


@pytest.fixture(autouse=True)
def default_options():
    yield
    printing.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def same(values, dtype, shape, change=lambda t: t):
    mine = change(dlgrad.tensor(values, dtype=getattr(dlgrad, dtype)).reshape(shape))
    theirs = change(torch.tensor(values, dtype=getattr(torch, dtype)).reshape(shape))
    assert repr(mine) == repr(theirs).replace("torch.", "dlgrad."), (dtype, shape)


def draw(rng, dtype, n):
    if dtype == "bool":
        return [rng.random() < 0.5 for _ in range(n)]
    if "int" in dtype:
        low, high = (0, 255) if dtype == "uint8" else (-100, 100)
        high = rng.choice([1, high, high if dtype in ("uint8", "int8") else 30000])
        return [rng.randint(max(low, -high), high) for _ in range(n)]
    kind = rng.randrange(7)
    if kind == 0:
        values = [float(rng.randint(-20, 20)) for _ in range(n)]
    elif kind == 1:
        values = [rng.gauss(0, 1) for _ in range(n)]
    elif kind == 2:
        values = [rng.gauss(0, 1) * 10 ** rng.uniform(-6, 4) for _ in range(n)]
    elif kind == 3:
        values = [rng.uniform(1, 2) * 1e-5 for _ in range(n)]
    elif kind == 4:
        values = [float(rng.randint(0, 10**9)) for _ in range(n)]
    elif kind == 5:
        values = [rng.choice([0.0, -0.0, math.nan, math.inf, -math.inf]) for _ in range(n)]
    else:
        values = [rng.choice([rng.gauss(0, 3), 0.0, math.nan, math.inf, -math.inf]) for _ in range(n)]
    if dtype == "float16":
        values = [v if not math.isfinite(v) else max(-60000.0, min(60000.0, v)) for v in values]
        values = torch.tensor(values, dtype=torch.float32).tolist()  # PyTorch rounds them twice
    return values


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_tensors(dtype):
    rng = random.Random(dtype)
    for _ in range(60):
        shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(0, 4)))
        same(draw(rng, dtype, math.prod(shape)), dtype, shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1500,), (40, 40), (2, 700), (3, 20, 30), (1001, 1), (7, 7, 7, 7)])
def test_summaries(dtype, shape):
    rng = random.Random(f"{dtype} {shape}")
    same(draw(rng, dtype, math.prod(shape)), dtype, shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty(dtype, shape):
    same([], dtype, shape)


@pytest.mark.parametrize("n", [1, 11, 12, 13, 30, 100])
def test_line_breaks(n):
    same([float(i) for i in range(n)], "float32", (n,))
    same([i / 7 for i in range(n)], "float64", (n,))
    same(list(range(n)), "int64", (1, n))


def test_views():
    values = [i / 3 for i in range(24)]
    for change in (
        lambda t: t.transpose(0, 2), lambda t: t[1], lambda t: t[:, 1:, ::2], lambda t: t[..., -1],
        lambda t: t[0, 0].expand(3, 4), lambda t: t[1, 2, 3],
    ):  # fmt: skip
        same(values, "float32", (2, 3, 4), change)
        same(values, "bfloat16", (2, 3, 4), change)


def test_history():
    def leaf(t):
        return t.requires_grad_()

    def added(t):
        return t.requires_grad_() + 1

    for shape in ((), (2,), (2, 3), (4, 9), (0, 2)):
        values = [i / 9 for i in range(math.prod(shape))]
        for dtype in ("float32", "float64", "float16"):
            same(values, dtype, shape, leaf)
            same(values, dtype, shape, added)


@pytest.mark.parametrize("options", [
    {"precision": 2}, {"precision": 10}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"edgeitems": 0},
    {"threshold": 0, "edgeitems": 0}, {"linewidth": 30}, {"linewidth": 3}, {"linewidth": 200}, {"profile": "short"},
    {"profile": "full"}, {"sci_mode": True}, {"sci_mode": False}, {"sci_mode": True, "precision": 1},
])  # fmt: skip
def test_options(options):
    rng = random.Random(str(options))
    printing.set_printoptions(**options)
    torch.set_printoptions(**options)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    for dtype in DTYPES:
        for shape in ((), (3,), (30,), (4, 5), (10, 12), (2, 3, 9), (0, 2)):
            for _ in range(4):
                same(draw(rng, dtype, math.prod(shape)), dtype, shape)
    same(draw(rng, "float32", 1200), "float32", (1200,))


def test_default_dtype():
    try:
        dlgrad.set_default_dtype(dlgrad.float64)
        torch.set_default_dtype(torch.float64)
        same([1.5], "float64", (1,))
        same([1.5], "float32", (1,))
        same([], "float64", (0,))
    finally:
        dlgrad.set_default_dtype(dlgrad.float32)
        torch.set_default_dtype(torch.float32)


def test_parameters():
    mine = dlgrad.nn.Parameter(dlgrad.tensor([1.0, 2.5]))
    assert repr(mine) == repr(torch.nn.Parameter(torch.tensor([1.0, 2.5])))


def test_extremes():
    for dtype in ("float32", "float64"):
        top, tiny = (3e38, 1e-45) if dtype == "float32" else (1.7e308, 5e-324)
        for values in ([top], [tiny], [top, tiny], [-top, 1.0], [1e8, 1.0], [100000001.0], [1e-4, 2e-4],
                       [9.9e-5, 1e-4], [1000.0, 1.0], [1001.5, 1.0], [-0.0], [-0.0, 1.5]):  # fmt: skip
            same(values, dtype, (len(values),))
    same([2**63 - 1, -(2**63)], "int64", (2,))
