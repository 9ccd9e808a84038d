"""Random numbers without PyTorch: generators, gradients, errors (PyTorch's numbers: test_golden.py)."""

import copy
import pickle
import threading

import numpy as np
import pytest

import dlgrad
from dlgrad import random as generators
from dlgrad.ops import random as ops


def test_known_numbers():
    dlgrad.manual_seed(0)
    np.testing.assert_array_equal(
        ops.rand(3).tolist(),
        np.float32([0.49625658988952637, 0.7682217955589294, 0.08847743272781372]),
    )
    dlgrad.manual_seed(0)
    np.testing.assert_array_equal(
        ops.randn(3).tolist(),
        np.float32([1.5409960746765137, -0.293428897857666, -2.1787893772125244]),
    )
    dlgrad.manual_seed(0)
    assert ops.randint(0, 100, (6,)).tolist() == [44, 39, 33, 60, 63, 79]
    dlgrad.manual_seed(0)
    assert ops.randperm(10).tolist() == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]
    dlgrad.manual_seed(0)
    assert dlgrad.empty(10).bernoulli_(0.4).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 1]


# ---------------------------------------------------------------------- generators


def test_generators_are_streams_of_their_own():
    a, b = dlgrad.Generator().manual_seed(1), dlgrad.Generator().manual_seed(1)
    dlgrad.manual_seed(5)
    first = ops.rand(4).tolist()
    dlgrad.manual_seed(5)
    ops.rand(100, generator=a)
    assert ops.rand(4).tolist() == first
    ops.rand(100, generator=b)
    c, d, e = a.clone_state(), copy.deepcopy(a), pickle.loads(pickle.dumps(a))
    numbers = [ops.randn(5, generator=g).tolist() for g in (a, b, c, d, e)]
    assert all(n == numbers[0] for n in numbers)
    assert c.initial_seed() == 1
    assert a.device.type == "cpu"


def test_fork_rng_restores():
    dlgrad.manual_seed(3)
    expected = ops.rand(2).tolist()
    dlgrad.manual_seed(3)
    with generators.fork_rng():
        ops.rand(50)
        dlgrad.manual_seed(9)
    assert ops.rand(2).tolist() == expected


def test_unseeded_streams_differ():
    a, b = dlgrad.Generator(), dlgrad.Generator()
    assert a.seed() != b.seed()
    assert ops.rand(4, generator=a).tolist() != ops.rand(4, generator=b).tolist()


def test_states_that_are_none():
    generator = dlgrad.Generator()
    with pytest.raises(TypeError, match="ByteTensor"):
        generator.set_state(dlgrad.zeros(5056))
    with pytest.raises(RuntimeError, match="size 5056"):
        generator.set_state(dlgrad.zeros(10, dtype=dlgrad.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        generator.set_state(dlgrad.zeros(5056, dtype=dlgrad.uint8))
    with pytest.raises(TypeError, match="Generator"):
        ops.rand(3, generator=7)


def test_threads_share_a_generator():
    generator = dlgrad.Generator().manual_seed(0)
    parts = []

    def draw():
        for _ in range(50):
            parts.append(tuple(ops.rand(16, generator=generator).tolist()))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expected = ops.rand(50 * 4 * 16, generator=dlgrad.Generator().manual_seed(0)).tolist()
    wanted = {tuple(expected[i : i + 16]) for i in range(0, len(expected), 16)}
    assert set(parts) == wanted


# ---------------------------------------------------------------------- gradients, errors


def test_dropout_gradient():
    x = ops.randn(6, 7, dtype=dlgrad.float64, requires_grad=True)
    dlgrad.manual_seed(1)
    y = ops.dropout(x, 0.4)
    y.sum().backward()
    kept = np.asarray(y.tolist()) != 0
    np.testing.assert_allclose(np.asarray(x.grad.tolist()), kept / 0.6)
    turned = x.detach().t()
    assert not turned.is_contiguous()
    out = ops.dropout(turned, 0.4)
    assert out.shape == (7, 6)
    assert ops.dropout(x, 0.0) is x
    assert ops.dropout(x, 0.5, False) is x
    assert not np.asarray(ops.dropout(x, 1.0).tolist()).any()


def test_fills_in_a_graph_are_constants():
    x = dlgrad.ones(4).requires_grad_()
    y = x * 2
    y.uniform_()
    (x + y).sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1]
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.normal_()
    p = dlgrad.full((4,), 0.5).requires_grad_()
    ops.bernoulli(p).sum().backward()
    assert p.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        (lambda: dlgrad.empty(2).uniform_(1, 0), RuntimeError, r"found from=1.0 > to=0.0"),
        (lambda: dlgrad.empty(2).uniform_(-3e38, 3e38), RuntimeError, "expects to-from <="),
        (
            lambda: dlgrad.empty(2, dtype=dlgrad.int64).uniform_(),
            RuntimeError,
            "not implemented for int64",
        ),
        (lambda: dlgrad.empty(2).normal_(0, -1), RuntimeError, "std >= 0.0, but found std -1"),
        (lambda: dlgrad.empty(2).bernoulli_(2), RuntimeError, r"p to be in \[0, 1\], but got p=2"),
        (lambda: ops.bernoulli(dlgrad.full((3,), 1.5)), RuntimeError, "p_in <= 1"),
        (lambda: dlgrad.empty(2).exponential_(0), RuntimeError, "lambda > 0.0"),
        (lambda: dlgrad.empty(2).geometric_(1), RuntimeError, r"p to be in \(0, 1\)"),
        (lambda: dlgrad.empty(2).geometric_(), TypeError, "missing required argument 'p'"),
        (lambda: dlgrad.empty(2).cauchy_(0, -1), RuntimeError, "sigma > 0.0"),
        (lambda: dlgrad.empty(2).random_(5, 5), RuntimeError, "'from' to be less than 'to'"),
        (
            lambda: dlgrad.empty(2, dtype=dlgrad.uint8).random_(0, 300),
            RuntimeError,
            "out of bounds for uint8",
        ),
        (lambda: ops.randint(0, (2,)), RuntimeError, "'from' to be less than 'to'"),
        (lambda: ops.randint(5), TypeError, "missing argument 'size'"),
        (lambda: ops.randperm(-1), RuntimeError, "non-negative"),
        (lambda: ops.randperm(1000, dtype=dlgrad.int8), RuntimeError, "too large"),
        (lambda: ops.rand(2, dtype=dlgrad.int64), RuntimeError, "not implemented for int64"),
        (
            lambda: ops.multinomial(dlgrad.zeros(3), 2, True),
            RuntimeError,
            "sum of probabilities <= 0",
        ),
        (lambda: ops.multinomial(dlgrad.full((3,), -1.0), 2, True), RuntimeError, "entry < 0"),
        (lambda: ops.multinomial(dlgrad.ones(3), 4), RuntimeError, "without replacement"),
        (lambda: ops.multinomial(dlgrad.ones(3), 0), RuntimeError, "n_sample <= 0"),
        (lambda: ops.poisson(dlgrad.full((3,), -1.0)), RuntimeError, "non-negative"),
        (lambda: ops.dropout(dlgrad.ones(3), 1.5), RuntimeError, "between 0 and 1"),
        (lambda: dlgrad.ones(1).expand(3).uniform_(), RuntimeError, "single memory location"),
    ],
)
def test_errors(draw, error, text):
    with pytest.raises(error, match=text):
        draw()
