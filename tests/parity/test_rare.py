"""Operations that few programs use, against PyTorch."""

import math
import random

import numpy as np
import pytest
import torch

import dlgrad

from .both import agree, both

X = np.random.default_rng(0).normal(size=(4, 6))
CASES = {
    "narrow_copy": lambda m, x: m.narrow_copy(x, 1, 2, 3),
    "split_copy": lambda m, x: m.split_copy(x, 2, 1),
    "unsafe_chunk": lambda m, x: m.unsafe_chunk(x, 3, 1),
    "sum_to_size": lambda m, x: x.sum_to_size(4, 1),
    "index_reduce": lambda m, x: x.index_reduce(0, m.tensor([1, 1, 3, 0]), x * 2, "amax"),
    "index_reduce alone": lambda m, x: x.index_reduce(
        1, m.tensor([1, 1, 3, 0, 1, 1]), x, "mean", include_self=False
    ),
    "nonzero_static": lambda m, x: (x > 0.5).nonzero_static(size=5),
    "nonzero_static, longer": lambda m, x: (x > 2).nonzero_static(size=5, fill_value=-7),
    "segment_reduce": lambda m, x: m.segment_reduce(x, "mean", lengths=m.tensor([1, 0, 3])),
    "segment_reduce, offsets": lambda m, x: m.segment_reduce(
        x, "max", offsets=m.tensor([0, 1, 4]), initial=0.5
    ),
    "unravel_index": lambda m, x: m.unravel_index(m.arange(20), (4, 5)),
    "fill_diagonal_": lambda m, x: (x * 1).fill_diagonal_(7.0),
    "fill_diagonal_, wrapped": lambda m, x: m.zeros(7, 3).fill_diagonal_(2.0, wrap=True),
    "map_": lambda m, x: x.detach().clone().map_(x.detach() * 2, lambda a, b: a + b),
    "apply_": lambda m, x: x.detach().clone().apply_(lambda a: a * a),
    "frobenius_norm": lambda m, x: m.frobenius_norm(x, (0, 1)),
    "nuclear_norm": lambda m, x: m.nuclear_norm(x),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    x, y = both(X, "float64", grad=True)
    ours, theirs = CASES[name](dlgrad, x), CASES[name](torch, y)
    ours, theirs = (v if isinstance(v, (tuple, list)) else (v,) for v in (ours, theirs))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        agree(a, b, 64, name)
    if theirs[0].requires_grad:
        (g,), (h,) = (
            dlgrad.autograd.grad(sum(a.square().sum() for a in ours), x),
            torch.autograd.grad(sum(b.square().sum() for b in theirs), y),
        )
        agree(g, h, 256, name)


@pytest.mark.parametrize("initial", [None, 0.5])
@pytest.mark.parametrize("how", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("shape, lengths", [((20_000,), [8000, 0, 12_000]), ((3000, 4), [500, 2500]), ((2, 9000), [[4000, 5000], [9000, 0]])])
def test_segments_of_many(shape, lengths, how, initial):
    """Groups so large that each is reduced by itself."""
    x, y = both(1 + 0.01 * np.random.default_rng(1).normal(size=shape), "float64", grad=True)
    axis = np.ndim(lengths) - 1
    for by in ("lengths", "offsets"):
        got = []
        for module, data in ((dlgrad, x), (torch, y)):
            cuts = module.tensor(lengths)
            if by == "offsets":
                cuts = module.cat([module.zeros_like(cuts[..., :1]), cuts.cumsum(-1)], -1)
            got.append(module.segment_reduce(data, how, **{by: cuts}, axis=axis, initial=initial))
        agree(*got, 2**16, (how, by))  # sums of 10,000, one after the other there
        agree(*(m.autograd.grad(v.nan_to_num(0, 0, 0).sum(), d)[0] for m, v, d in zip((dlgrad, torch), got, (x, y))), 2**16, (how, by))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (1,), (3, 0), (2, 1)])
def test_trapezoid(shape, dtype):
    for dim in (0, -1):
        for by in ({}, {"dx": 2}, {"dx": 0.5}):
            a, b = both(np.arange(math.prod(shape)).reshape(shape) % 7, dtype)
            agree(dlgrad.trapezoid(a, dim=dim, **by), torch.trapezoid(b, dim=dim, **by), 0, (dim, by))


def test_layouts():
    a, b = (m.empty_permuted((2, 3, 4), (1, 2, 0)) for m in (dlgrad, torch))
    assert (tuple(a.shape), a.stride()) == (
        tuple(b.shape),
        b.stride(),
    ) and a.dim_order() == b.dim_order()
    x = dlgrad.zeros(3)
    assert x.is_set_to(x.view(3)) and not x.is_set_to(x.clone()) and x.is_same_size(x + 1)


def test_what_is_refused():
    for module in (dlgrad, torch):
        with pytest.raises(TypeError, match="integer"):
            module.unravel_index(module.ones(2), (4,))
        with pytest.raises(RuntimeError, match="not expandable"):
            module.ones(2, 3).sum_to_size(2, 2)
        with pytest.raises(RuntimeError, match="reduce"):
            module.ones(2).index_reduce(0, module.tensor([0]), module.ones(1), "sum")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [1, 3, 9, 16, 17, 40, 300])
def test_lines_with_nan(dtype, size):
    """mode is what an unstable sort makes of them in PyTorch; a sorted line ends with nan."""
    generator = random.Random(size)
    for share in (0.1, 0.4, 1.0):
        for _ in range(20):
            values = [float(generator.randrange(size // 2 + 1)) for _ in range(size)]
            values = [math.nan if generator.random() < share else v for v in values]
            ours = dlgrad.tensor(values, dtype=getattr(dlgrad, dtype))
            theirs = torch.tensor(values, dtype=getattr(torch, dtype))
            mode = ours.mode()
            expected = theirs.mode()
            agree(mode.values, expected.values, 0, values)
            if any(v != v for v in values):
                assert mode.indices.item() == expected.indices.item(), values
            for a, b in zip(ours.sort(stable=True), theirs.sort(stable=True)):
                agree(a, b, 0, values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(3, 128, 2), (2, 77, 5), (40, 10, 3), (33, 10, 10)])
def test_a_dimension_before_few_neighbours(shape, dtype):
    generator = random.Random(1)
    values = [float(generator.randrange(9)) for _ in range(math.prod(shape))]
    if "int" not in dtype:
        values = [math.nan if generator.random() < 0.02 else v for v in values]
    ours = dlgrad.tensor(values, dtype=getattr(dlgrad, dtype)).reshape(shape)
    theirs = torch.tensor(values, dtype=getattr(torch, dtype)).reshape(shape)
    for name in ("max", "argmin", "amax", "any", "sum", "cummax", "cummin", "cumsum"):
        a, b = (getattr(x, name)(1) for x in (ours, theirs))
        for p, q in zip(a, b) if isinstance(b, tuple) else ((a, b),):
            agree(p, q, 4, (name, shape, dtype))
    if "int" not in dtype:
        for name in ("softmax", "log_softmax", "logsumexp", "std"):
            agree(*(getattr(x, name)(1) for x in (ours, theirs)), 64, (name, shape, dtype))
