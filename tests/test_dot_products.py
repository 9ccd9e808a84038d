"""Matrix products and convolutions by the CPU's dot products: bfloat16 in pairs, int8 in fours."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dlgrad
from dlgrad._lib import BFLOAT16_DOT, EVERY_EXTENSION, lib

SIZES = [
    (2, 2, 1),
    (3, 5, 7),
    (33, 65, 129),
    (100, 40, 1030),
    (14, 32, 512),
    (15, 33, 513),
    (300, 4, 50),
    (37, 72, 1600),
]


@pytest.fixture
def extensions():
    """Sets which instructions beyond the CPU level may be used."""
    yield lib.dlgrad_allow_extensions
    lib.dlgrad_allow_extensions(EVERY_EXTENSION)


@pytest.fixture
def threads():
    """Sets how many threads an operation may use."""
    before = dlgrad.get_num_threads()
    yield dlgrad.set_num_threads
    dlgrad.set_num_threads(before)


def operand(rows, columns, layout, dtype):
    if layout == "rows":
        x = dlgrad.randn(rows, columns) * 50
    elif layout == "columns":
        x = dlgrad.randn(columns, rows) * 50
    else:
        x = dlgrad.randn(2 * rows, 3 * columns) * 50
    x = x.clamp(-128, 127).to(dtype)
    return x if layout == "rows" else x.t() if layout == "columns" else x[::2, ::3]


@pytest.mark.parametrize("a_layout", ["rows", "columns", "strided"])
@pytest.mark.parametrize("b_layout", ["rows", "columns", "strided"])
def test_the_instruction_changes_no_bit(extensions, threads, a_layout, b_layout):
    for m, n, k in SIZES:
        a = operand(m, k, a_layout, dlgrad.bfloat16)
        b = operand(k, n, b_layout, dlgrad.bfloat16)
        bias = dlgrad.randn(n).bfloat16()
        results = []
        for mask in (0, EVERY_EXTENSION):
            for count in (1, 3):
                extensions(mask)
                threads(count)
                with_bias = dlgrad.nn.functional.linear(a, b.t(), bias)
                results.append((a @ b, with_bias, dlgrad.addmm(bias, a, b, beta=2, alpha=3)))
        for others in results[1:]:
            for x, y in zip(results[0], others):
                assert (x.view(dlgrad.int16) == y.view(dlgrad.int16)).all()
        exact = a.double() @ b.double()
        bound = 2**-7 * (a.double().abs() @ b.double().abs()) + 1e-30
        assert ((results[0][0].double() - exact).abs() <= bound).all()


def test_batches_of_bfloat16(extensions):
    a, b = dlgrad.randn(3, 5, 40, 20).bfloat16(), dlgrad.randn(5, 20, 33).bfloat16()
    c = dlgrad.randn(15, 40, 33).bfloat16()
    results = []
    for mask in (0, EVERY_EXTENSION):
        extensions(mask)
        one = a @ b
        two = dlgrad.baddbmm(c, a.flatten(0, 1), b.expand(3, 5, 20, 33).flatten(0, 1))
        results.append(one.flatten().tolist() + two.flatten().tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "image, weight, options",
    [
        ((4, 6, 14, 14), (20, 6, 1, 1), {}),
        ((5, 30, 9, 11), (40, 30, 1, 1), {}),
        ((4, 6, 20, 21), (16, 6, 5, 5), {"padding": 2}),
        ((3, 8, 15, 15), (10, 4, 3, 2), {"stride": 2, "groups": 2}),
        ((3, 3, 40, 40), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
        ((1, 600, 6, 6), (8, 600, 1, 1), {}),
    ],
)
def test_convolutions_of_bfloat16(extensions, threads, image, weight, options):
    x, w = dlgrad.randn(*image), dlgrad.randn(*weight)
    x, w = (t.bfloat16().requires_grad_() for t in (x, w))
    bias = dlgrad.randn(weight[0]).bfloat16()
    g = dlgrad.randn(*dlgrad.nn.functional.conv2d(x, w, **options).shape).bfloat16()
    results = []
    for mask in (0, EVERY_EXTENSION):
        extensions(mask)
        threads(1 + mask % 2)
        x.grad = w.grad = None
        y = dlgrad.nn.functional.conv2d(x, w, bias, **options)
        y.backward(g)
        results.append([t.detach().double() for t in (y, x.grad, w.grad)])
    # Rounded once: from the same in double precision no further than bfloat16's half step.
    x64, w64 = (t.detach().double().requires_grad_() for t in (x, w))
    y64 = dlgrad.nn.functional.conv2d(x64, w64, bias.double(), **options)
    y64.backward(g.double())
    for with_it, without, exact in zip(*results, (y64.detach(), x64.grad, w64.grad)):
        assert (with_it == without).all()
        assert (with_it - exact).abs().max() <= 2.0**-8 * exact.abs().max()


def test_infinities_and_nan(extensions):
    a = dlgrad.randn(40, 33).bfloat16()
    b = dlgrad.randn(33, 40).bfloat16()
    a[0, 32], a[1, 3], b[5, 7] = float("inf"), float("nan"), float("-inf")
    results = []
    for mask in (0, EVERY_EXTENSION):
        extensions(mask)
        results.append((a @ b).float().numpy())
    assert np.array_equal(*results, equal_nan=True) and np.isnan(results[0][1]).all()


def test_subnormal_numbers_are_kept_where_that_is_asked_for(extensions):
    a, b = dlgrad.full((4, 4), 2.0**-130).bfloat16(), dlgrad.full((4, 4), 2.0**10).bfloat16()
    dlgrad.set_flush_denormal(False)
    assert (a @ b == 2.0**-118).all()
    dlgrad.set_flush_denormal(True)
    has_it = lib.dlgrad_allow_extensions(EVERY_EXTENSION) & BFLOAT16_DOT
    has_it = has_it and dlgrad.cpu_level() == "x86_64_v4"  # of the levels only this has code for it
    assert (a @ b == (0.0 if has_it else 2.0**-118)).all()


def test_the_environment_forbids_the_instruction():
    code = (
        "import dlgrad as d; a = d.full((4, 4), 2.0**-130).bfloat16();"
        "print(float((a @ d.full((4, 4), 2.0**10).bfloat16()).max()) == 2.0**-118)"
    )
    environment = {
        **os.environ,
        "DLGRAD_BFLOAT16_DOT": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("first", [dlgrad.int8, dlgrad.uint8])
@pytest.mark.parametrize("a_layout", ["rows", "columns", "strided"])
@pytest.mark.parametrize("b_layout", ["rows", "columns", "strided"])
def test_int_mm_is_exact(extensions, threads, first, a_layout, b_layout):
    for m, n, k in SIZES:
        a = operand(m, k, a_layout, dlgrad.int8)
        a = a.to(first) if first is dlgrad.uint8 else a
        b = operand(k, n, b_layout, dlgrad.int8)
        want = a.numpy().astype(np.int64) @ b.numpy().astype(np.int64)
        for mask in (0, EVERY_EXTENSION):
            extensions(mask)
            threads(1 + mask % 2)
            result = dlgrad._int_mm(a, b)
            assert result.dtype is dlgrad.int32
            assert np.array_equal(result.numpy(), want)
            into = dlgrad.empty(m, n, dtype=dlgrad.int32)
            assert dlgrad._int_mm(a, b, out=into) is into and np.array_equal(into.numpy(), want)


def test_int_mm_of_extremes_and_of_nothing():
    low = dlgrad.full((20, 300), -128, dtype=dlgrad.int8)
    assert (dlgrad._int_mm(low, low.t()) == 300 * 128 * 128).all()
    high = dlgrad.full((20, 300), 255, dtype=dlgrad.uint8)
    assert (dlgrad._int_mm(high, low.t()) == -300 * 255 * 128).all()
    nothing = dlgrad.ones(3, 0, dtype=dlgrad.int8)
    assert dlgrad._int_mm(nothing, nothing.t()).tolist() == [[0] * 3] * 3
    assert dlgrad._int_mm(nothing.t(), nothing).shape == (0, 0)


def test_int8_products_wrap(extensions):
    a, b = operand(20, 70, "rows", dlgrad.int8), operand(70, 30, "rows", dlgrad.int8)
    want = (a.numpy().astype(np.int64) @ b.numpy().astype(np.int64)).astype(np.int8)
    for mask in (0, EVERY_EXTENSION):
        extensions(mask)
        assert np.array_equal((a @ b).numpy(), want)


def test_what_int_mm_refuses():
    a, b = dlgrad.ones(3, 4, dtype=dlgrad.int8), dlgrad.ones(4, 5, dtype=dlgrad.int8)
    for arguments, message in [
        ((a, b.float()), "Expected mat2 dtype to be of type int8 but got float"),
        ((a.float(), b), "Expected self dtype to be int8 or uint8 but got float"),
        ((a, b.to(dlgrad.uint8)), "Expected mat2 dtype to be of type int8"),
        ((a[0], b), "Expected self to be of dimension 2 but got 1"),
        ((a, b[None]), "Expected mat2 to be of dimension 2 but got 3"),
        ((a, b.t()), "needs to match mat2.size\\(0\\) but got 4 and 5"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            dlgrad._int_mm(*arguments)
    with pytest.raises(TypeError, match="'mat2' must be Tensor, not int"):
        dlgrad._int_mm(a, 3)
    with pytest.raises(RuntimeError, match="type kInt"):
        dlgrad._int_mm(a, b, out=dlgrad.empty(3, 5))
    with pytest.raises(RuntimeError, match="result.size\\(0\\) to be 3 but got 2"):
        dlgrad._int_mm(a, b, out=dlgrad.empty(2, 5, dtype=dlgrad.int32))
