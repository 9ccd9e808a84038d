"""The elementwise driver on layouts that its kernels take in different ways, and the error bounds of zig/math."""

import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import dlgrad
from dlgrad.info import cpu_level

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)


def _pair(shape_a, shape_b, dtype):
    a, b = RNG.standard_normal(shape_a), RNG.standard_normal(shape_b)
    return (a * 50).astype(dtype), (b * 50).astype(dtype)


SHAPES = [  # short rows, rows of a vector and a bit, channels, columns, periods
    ((40, 3, 7, 7), (3, 1, 1)), ((20, 64, 7, 7), (64, 1, 1)), ((9, 5, 40, 30), (5, 40, 1)),
    ((300, 10), (300, 1)), ((300, 10), (10,)), ((60, 100), (60, 1)), ((60, 100), (100,)),
    ((8, 33, 17), (8, 1, 17)), ((5, 300, 17), (5, 1, 17)), ((5, 300, 17), (5, 300, 1)), ((40, 20, 1), (40, 1, 20)), ((700, 130), (700, 1)), ((70, 1), (90,)), ((5, 4, 3, 2), (4, 1, 2)), ((2000,), (1,)), ((9, 1, 31), (1, 13, 31)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "int8"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasting(shapes, dtype):
    a, b = _pair(*shapes, dtype)
    x, y = dlgrad.from_numpy(a), dlgrad.from_numpy(b)
    np.testing.assert_array_equal((x + y).numpy(), a + b)
    np.testing.assert_array_equal((y - x).numpy(), b - a)
    np.testing.assert_array_equal(dlgrad.maximum(x, y).numpy(), np.maximum(a, b))
    np.testing.assert_array_equal((x < y).numpy(), a < b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns(dtype):
    """Short rows by a column that lies anywhere, into outputs that begin anywhere in a line."""
    for n in (8, 15, 16, 17, 31, 32, 49, 63, 65, 100, 127):
        rows = 5000 // n + 40
        a, b = _pair((rows, n), (rows, 3), dtype)
        x, y = dlgrad.from_numpy(a), dlgrad.from_numpy(b)[:, 1:2]
        want = a - b[:, 1:2], b[:, 1:2] / a
        np.testing.assert_array_equal((x - y).numpy(), want[0])
        np.testing.assert_array_equal((y / x).numpy(), want[1])
        for begin in (1, 5, 11):
            out = dlgrad.zeros(rows * n + 20, dtype=x.dtype)
            inside = out[begin : begin + rows * n].view(rows, n)
            inside.copy_(x).sub_(y)
            np.testing.assert_array_equal(inside.numpy(), want[0])
            assert not out[:begin].any() and not out[begin + rows * n :].any()


INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")


@pytest.mark.parametrize("to", INTEGERS)
@pytest.mark.parametrize("of", INTEGERS)
def test_casts_among_integers(of, to):
    for n in (1, 5, 16, 17, 100, 9001):
        a = RNG.integers(-(2**40), 2**40, 3 * n).astype(of)
        x, d = dlgrad.from_numpy(a), getattr(dlgrad, to)
        np.testing.assert_array_equal(x.to(d).numpy(), a.astype(to))
        np.testing.assert_array_equal(x[::3].to(d).numpy(), a[::3].astype(to))
        np.testing.assert_array_equal(
            x[:n, None].expand(n, 3).to(d).numpy(), np.repeat(a[:n, None], 3, 1).astype(to)
        )


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(name):
    """Rows with kernels of their own round the results of float32 once."""
    d = getattr(dlgrad, name)
    for n in (1, 15, 64, 777):
        x, y, z = [
            dlgrad.from_numpy(RNG.standard_normal(n).astype("float32") * 4).to(d) for _ in range(3)
        ]
        for f in (lambda a, b, c: a + b, lambda a, b, c: a - b, lambda a, b, c: a * b, lambda a, b, c: a / b, lambda a, b, c: a * 2.3,
                  lambda a, b, c: a + 1, lambda a, b, c: a.floor(), lambda a, b, c: a.ceil(), lambda a, b, c: a.trunc(),
                  lambda a, b, c: a.round(), lambda a, b, c: a.square(), lambda a, b, c: a.relu(), lambda a, b, c: a.clamp(-1, 2),
                  lambda a, b, c: a.abs().sqrt(), lambda a, b, c: a.reciprocal(), lambda a, b, c: dlgrad.maximum(a, b),
                  lambda a, b, c: dlgrad.minimum(a, b), lambda a, b, c: dlgrad.copysign(a, b), lambda a, b, c: dlgrad.lerp(a, b, 0.3),
                  lambda a, b, c: dlgrad.lerp(a, b, c), lambda a, b, c: dlgrad.addcmul(a, b, c, value=1.5),
                  lambda a, b, c: dlgrad.add(a, b, alpha=2.5), lambda a, b, c: dlgrad.nn.functional.leaky_relu(a, 0.3)):  # fmt: skip
            want = f(*[t.float() for t in (x, y, z)]).to(d)
            assert f(x, y, z).tolist() == want.tolist()


def test_narrow_integers_in_one_step():
    for name in ("uint8", "int8", "int16", "int32", "int64"):
        a, b, c = [RNG.integers(0, 100, 333).astype(name) for _ in range(3)]
        x, y, z = map(dlgrad.from_numpy, (a, b, c))
        three = a.dtype.type(3)
        np.testing.assert_array_equal(dlgrad.addcmul(x, y, z, value=3).numpy(), a + three * b * c)
        np.testing.assert_array_equal(dlgrad.add(x, y, alpha=3).numpy(), a + three * b)
        np.testing.assert_array_equal(dlgrad.sub(x, y, alpha=3).numpy(), a - three * b)
        np.testing.assert_array_equal(x.clamp(y, z).numpy(), np.minimum(np.maximum(a, b), c))
        np.testing.assert_array_equal(x.sign().numpy(), np.sign(a))


def test_integers_and_a_float_follow_the_default_dtype():
    x = dlgrad.arange(5)
    assert (x * 2.5).dtype is dlgrad.float32 and (x / 2).dtype is dlgrad.float32
    dlgrad.set_default_dtype(dlgrad.float64)
    try:
        assert (x * 2.5).dtype is dlgrad.float64 and (x / 2).dtype is dlgrad.float64
    finally:
        dlgrad.set_default_dtype(dlgrad.float32)
    assert (x * 2.5).tolist() == [0, 2.5, 5, 7.5, 10] and (x / 2).dtype is dlgrad.float32


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_powers_and_writes(dtype):
    a = (RNG.standard_normal(37) + 1j * RNG.standard_normal(37)).astype(dtype)
    x = dlgrad.from_numpy(a.copy())
    tolerance = 1e-5 if dtype == "complex64" else 1e-13
    for n in (2, 3, -1, -2):
        np.testing.assert_allclose((x**n).numpy(), a**n, tolerance)
        z = dlgrad.from_numpy(a.copy()).requires_grad_()
        (z**n).abs().sum().backward()
        w = np.abs(a**n) / a.conj() * n  # of |z^n|: n |z|^n / conj(z)
        np.testing.assert_allclose(z.grad.numpy(), w, 10 * tolerance)
    assert not (x != x).any() and (x != x + 1).all()
    x.add_(1).mul_(2j).sub_(x / 3).div_(1 - 1j)
    want = (a + 1) * 2j
    np.testing.assert_allclose(x.numpy(), (want - want / 3) / (1 - 1j), tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "int16"])
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("shape", [(5, 18, 9), (33, 34, 35), (8, 70, 64)])
def test_permuted(shape, order, dtype):
    """An input that lies along another dimension than the result is read in blocks."""
    a = (RNG.standard_normal(shape) * 50).astype(dtype)
    b = (RNG.standard_normal([shape[d] for d in order]) * 50).astype(dtype)
    x, y = dlgrad.from_numpy(a).permute(order), dlgrad.from_numpy(b)
    want = a.transpose(order) + b
    np.testing.assert_array_equal((x + y).numpy(), want)
    np.testing.assert_array_equal((y + x).numpy(), want)
    np.testing.assert_array_equal(y.add_(x).numpy(), want)


def test_what_is_written_in_place_is_read_first():
    a = RNG.standard_normal((37, 37)).astype("float32")
    x = dlgrad.from_numpy(a.copy())
    np.testing.assert_array_equal(x.add_(x.t()).numpy(), a + a.T)
    x = dlgrad.from_numpy(a.copy())
    np.testing.assert_array_equal(x[:, 1:].sub_(x[:, :-1]).numpy(), a[:, 1:] - a[:, :-1])
    x = dlgrad.from_numpy(a.copy())
    np.testing.assert_array_equal(x.mul_(x).numpy(), a * a)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex(dtype):
    a, b = [
        (RNG.standard_normal(s) + 1j * RNG.standard_normal(s)).astype(dtype)
        for s in ((6, 21), (21,))
    ]
    x, y = dlgrad.from_numpy(a), dlgrad.from_numpy(b)
    tolerance = 1e-5 if dtype == "complex64" else 1e-13
    for got, want in ((x * y, a * b), (x / y, a / b), (x.t() * 2j, a.T * 2j), (x.exp(), np.exp(a)), (x.abs(), np.abs(a)),
                      (x[:, ::2].log(), np.log(a[:, ::2])), (x.sqrt(), np.sqrt(a)), (x.angle(), np.angle(a))):  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, tolerance, tolerance)
    assert (x == x).all() and not (x == x + 1).any()


def test_numbers_of_a_plan_are_told_apart():
    x = dlgrad.tensor([-2.0, -1.0, 3.0])
    for slope in (0.1, 0.5, 0.1):
        assert dlgrad.nn.functional.leaky_relu(x, slope).tolist() == pytest.approx(
            [-2 * slope, -slope, 3]
        )
    condition = x > 0
    assert str(dlgrad.where(condition, x, -0.0)[0].item()) == "-0.0"
    assert str(dlgrad.where(condition, x, 0.0)[0].item()) == "0.0"
    assert dlgrad.where(condition, dlgrad.arange(3), 2.5).dtype is dlgrad.float32


def test_errors_stay_within_their_bounds(monkeypatch, capsys):
    """The largest errors against mpmath, at fewer points than scripts/check_math.py takes by itself."""
    pytest.importorskip("mpmath")
    path = ROOT / "scripts" / "check_math.py"
    names = "exp log log1p expm1 tanh sigmoid silu asinh erf gelu sin cos pow"
    slack = "0"
    if cpu_level() == "x86_64":  # no FMA: a little less exact
        slack = "1"
    monkeypatch.setattr(
        sys, "argv", [str(path), "--points", "200", "--slack", slack, *names.split()]
    )
    status = runpy.run_path(str(path))["main"]()
    assert status == 0, capsys.readouterr().out


def test_gelu_of_every_bfloat16():
    """Its own, shorter formula: hardly worse than rounding the exact result."""
    x = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    y = dlgrad.nn.functional.gelu(dlgrad.tensor(x).to(dlgrad.bfloat16)).to(dlgrad.float32).numpy()
    assert (np.isnan(y) == np.isnan(x)).all()
    finite = np.isfinite(x)
    assert (np.signbit(y) == np.signbit(x))[finite].all()
    exact = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x[finite].astype(float)])
    ulp = np.exp2(np.maximum(np.frexp(exact)[1] - 8, -133))
    assert (np.abs(y[finite] - exact) / ulp).max() < 0.6


def test_outputs_larger_than_the_cache():
    """They are stored around it, from wherever they begin: the same numbers as in pieces."""
    n = (8 << 20) + 1003
    x = dlgrad.randn(n)
    out = dlgrad.zeros(n + 7)
    before = dlgrad.get_num_threads()
    for threads in (1, 2):
        dlgrad.set_num_threads(threads)
        for f in (dlgrad.tanh, dlgrad.abs):
            want = dlgrad.cat([f(part) for part in x.split(1 << 20)])
            assert dlgrad.equal(f(x), want)
            f(x, out=out[5:-2])
            assert dlgrad.equal(out[5:-2], want)
            assert not out[:5].any() and not out[-2:].any()
    dlgrad.set_num_threads(before)
