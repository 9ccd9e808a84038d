"""dlgrad.array_api against NumPy's namespace, which is the standard's too: the same program runs in both.

Values, shapes and dtypes are held against each other, special values included."""

import itertools

import numpy as np
import pytest
from namespaces import COMPLEX, FLOATS, INTEGERS, NUMERIC, both, grid, ours, same, theirs, values

import dlgrad.array_api as xp

# ---------------------------------------------------------------------- elementwise

ANY_NUMBER = "abs negative positive square".split()
REAL = "ceil floor trunc sign round".split()
FLOATING = (
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log1p log2 sin sinh sqrt tan tanh reciprocal"
).split()
ASKED = "isfinite isinf isnan".split()

UNARY = (
    [(n, d) for n in ANY_NUMBER for d in NUMERIC]
    + [(n, d) for n in REAL for d in INTEGERS + FLOATS]
    + [(n, d) for n in FLOATING for d in FLOATS + COMPLEX]
    + [(n, d) for n in ASKED for d in NUMERIC]
    + [(n, d) for n in ("sign", "round", "conj", "real", "imag") for d in COMPLEX]
    + [("signbit", d) for d in FLOATS]
    + [("logical_not", "bool")]
    + [("bitwise_invert", d) for d in ("bool", *INTEGERS)]
)


@pytest.mark.parametrize("name, dtype", UNARY, ids=lambda v: v)
def test_unary(name, dtype):
    x = values(dtype)
    if dtype in COMPLEX:
        x = clear_of_branches(name, x)
    both(lambda ns, x: getattr(ns, name)(x), x, what=f"{name} {dtype}", tol=5)


LIMITS = "abs acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log1p log2 sin sinh sqrt tan tanh".split()


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("name", LIMITS)
def test_complex_limits(name, dtype):
    """C99's annex G: zeros, infinities and nan in either part. (Signs that it leaves open are not compared.)"""
    parts = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan)
    x = np.array([complex(a, b) for a in parts for b in parts], dtype)
    if name == "acosh":
        x = x[~(np.isnan(x.imag) & (x.real == 0))]  # NumPy has the limit from 2.3 on
    if name == "atanh":
        x = x[(abs(x.real) != 1) | (x.imag != 0)]  # infinite: a division by zero in NumPy
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x)
    got = theirs(getattr(xp, name)(ours(x)))
    for part in ("real", "imag"):
        np.testing.assert_allclose(
            abs(getattr(got, part)), abs(getattr(want, part)), 1e-6, 1e-7, err_msg=f"{name} {part}"
        )
    plain = np.isfinite(x)
    np.testing.assert_array_equal(np.signbit(got.real)[plain], np.signbit(want.real)[plain])
    np.testing.assert_array_equal(np.signbit(got.imag)[plain], np.signbit(want.imag)[plain])


@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_quotients_at_the_limits(dtype):
    parts = (0.0, 1.0, -2.0, np.inf, -np.inf, np.nan)
    x = np.array([complex(a, b) for a in parts for b in parts], dtype)
    both(lambda ns, a, b: ns.divide(a, b), x[:, None], x[None, :], what="divide")


def clear_of_branches(name, x):
    """Complex numbers where `name` has one value."""
    if name in ("log", "log2", "log10", "log1p", "reciprocal", "atan", "atanh"):
        x = x[(x != 0) & (x != -1) & (x != 1) & (abs(x.imag) != 1)]
    return x


BINARY = (
    [(n, d) for n in ("add", "subtract", "multiply", "equal", "not_equal") for d in NUMERIC]
    + [(n, d) for n in ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum") for d in INTEGERS + FLOATS]
    + [(n, d) for n in ("divide", "pow") for d in FLOATS]
    + [(n, d) for n in ("atan2", "copysign", "hypot", "logaddexp", "nextafter", "remainder", "floor_divide") for d in FLOATS]
    + [(n, d) for n in ("bitwise_and", "bitwise_or", "bitwise_xor") for d in ("bool", *INTEGERS)]
    + [(n, "bool") for n in ("logical_and", "logical_or", "logical_xor", "equal", "not_equal")]
)  # fmt: skip


@pytest.mark.parametrize("name, dtype", BINARY, ids=lambda v: v)
def test_binary(name, dtype):
    x = values(dtype)
    both(
        lambda ns, a, b: getattr(ns, name)(a, b),
        x[:, None],
        x[None, :],
        what=f"{name} {dtype}",
        tol=5,
    )


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_quotients_and_shifts(dtype):
    x = values(dtype)
    d = x[x != 0]
    d = d[d != -1]  # the most negative number by -1 doesn't fit
    for name in ("floor_divide", "remainder"):
        both(
            lambda ns, a, b: getattr(ns, name)(a, b), x[:, None], d[None, :], what=f"{name} {dtype}"
        )
    shift = np.arange(8 if dtype == "uint8" else 7, dtype=dtype)
    for name in ("bitwise_left_shift", "bitwise_right_shift"):
        both(
            lambda ns, a, b: getattr(ns, name)(a, b),
            x[:, None],
            shift[None, :],
            what=f"{name} {dtype}",
        )
    small, power = x[abs(x.astype(int)) < 4], np.arange(4, dtype=dtype)
    both(lambda ns, a, b: ns.pow(a, b), small[:, None], power[None, :], what=f"pow {dtype}")


@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_quotients_and_powers(dtype):
    x, y = grid((5, 1), dtype), grid((4,), dtype, 1)
    both(lambda ns, a, b: ns.divide(a, b), x, y, what="divide", tol=5)
    both(lambda ns, a, b: ns.pow(a, b), x, y, what="pow", tol=20)


MIXED = [  # the standard mixes no kinds
    pair
    for kind in (("bool",), INTEGERS, FLOATS, COMPLEX)
    for pair in itertools.product(kind, repeat=2)
] + list(itertools.product(FLOATS, COMPLEX))


@pytest.mark.parametrize("a, b", MIXED, ids=lambda v: v)
def test_promotion_of_any_dimensions(a, b):
    """As the table has it, for 0 dimensions too (where PyTorch's promotion is another)."""
    want = np.result_type(a, b).name
    da, db = getattr(xp, a), getattr(xp, b)
    assert xp.result_type(da, db).name == want
    assert xp.can_cast(da, db) == (want == b)
    op = xp.logical_or if a == "bool" else xp.add
    for shapes in (((2,), ()), ((), (2,)), ((), ())):
        out = op(xp.ones(shapes[0], dtype=da), xp.ones(shapes[1], dtype=db))
        assert out.dtype.name == want, shapes
    assert (
        xp.where(xp.asarray([True, False]), xp.ones((), dtype=da), xp.ones(2, dtype=db)).dtype.name
        == want
    )
    assert xp.concat([xp.ones(2, dtype=da), xp.ones(2, dtype=db)]).dtype.name == want
    if a != "bool":
        eyes = xp.eye(2, dtype=da), xp.eye(2, dtype=db)
        assert xp.matmul(*eyes).dtype.name == want
        assert xp.vecdot(*eyes).dtype.name == want
        assert xp.tensordot(*eyes).dtype.name == want


@pytest.mark.parametrize("dtype", NUMERIC)
def test_python_numbers(dtype):
    """On either side, and the tensor's dtype stays."""
    numbers = [2] + [2.5] * (dtype in FLOATS + COMPLEX) + [1j] * (dtype in COMPLEX)
    x = values(dtype)[1:6]
    for n in numbers:
        for name in ("add", "subtract", "multiply", "equal"):
            both(lambda ns, x: getattr(ns, name)(x, n), x, what=f"{name}(x, {n})")
            both(lambda ns, x: getattr(ns, name)(n, x), x, what=f"{name}({n}, x)")
        both(lambda ns, x: ns.where(x == x, n, x), x, what=f"where(.., {n}, x)")
    with pytest.raises(TypeError):
        xp.add(1, 2)


def test_clip():
    for dtype in INTEGERS + FLOATS:
        x = values(dtype)
        x = x[x == x]
        both(lambda ns, x: ns.clip(x, 1, 5), x, what="numbers")
        both(lambda ns, x: ns.clip(x, None, 5), x, what="max")
        both(lambda ns, x: ns.clip(x, x[3], None), x, what="min a tensor")
        both(
            lambda ns, x: ns.clip(x, 1, ns.asarray([[2], [5]], dtype=x.dtype)),
            x,
            what="number and tensor",
        )
    assert xp.clip(xp.asarray([200], dtype=xp.uint8), -3, 1000).tolist() == [200]
    assert xp.clip(xp.asarray([1, 2])).tolist() == [1, 2]
    assert xp.clip(xp.asarray([1, 9]), max=5).tolist() == [1, 5]
    with pytest.raises(TypeError):
        xp.clip(xp.asarray([1, 2]), 0.5)


# ---------------------------------------------------------------------- reductions

AXES = (None, 0, 1, -1, (0, 2), (-1, 0, 1), ())
REDUCTIONS = (
    [(n, d) for n in ("sum", "prod", "count_nonzero", "all", "any") for d in NUMERIC]
    + [(n, d) for n in ("max", "min") for d in INTEGERS + FLOATS]
    + [(n, d) for n in ("mean",) for d in FLOATS + COMPLEX]
    + [(n, d) for n in ("std", "var") for d in FLOATS]
    + [(n, "bool") for n in ("all", "any", "count_nonzero")]
)


@pytest.mark.parametrize("name, dtype", REDUCTIONS, ids=lambda v: v)
def test_reduction(name, dtype):
    x = grid((2, 3, 4), dtype)
    for axis, keepdims in itertools.product(AXES, (False, True)):
        both(
            lambda ns, x: getattr(ns, name)(x, axis=axis, keepdims=keepdims),
            x,
            what=f"{axis} {keepdims}",
            tol=20,
        )
    both(lambda ns, x: getattr(ns, name)(x), x[0, 0, 0].reshape(()), what="0 dimensions")
    if name not in ("max", "min"):
        both(lambda ns, x: getattr(ns, name)(x, axis=0), np.zeros((0, 2), dtype), what="empty")


def test_totals_in_a_dtype():
    x = grid((3, 4), "int16")
    for d in ("int8", "int32", "float32", "complex64"):
        both(lambda ns, x: ns.sum(x, axis=1, dtype=getattr(ns, d)), x, what=d)
        both(lambda ns, x: ns.prod(x, axis=(0, 1), dtype=getattr(ns, d)), x[:2, :2], what=d)
        both(lambda ns, x: ns.cumulative_sum(x, axis=1, dtype=getattr(ns, d)), x, what=d)
        both(lambda ns, x: ns.linalg.trace(x, dtype=getattr(ns, d)), x, what=d)


def test_corrections():
    x = grid((3, 5), "float64")
    for c in (0, 1, 0.5, 2.0):
        both(lambda ns, x: ns.var(x, axis=1, correction=c), x, what=str(c))
        both(lambda ns, x: ns.std(x, axis=(0, 1), correction=c), x, what=str(c))


@pytest.mark.parametrize("dtype", NUMERIC)
def test_running_totals(dtype):
    x = grid((3, 4), dtype)
    for name, initial in itertools.product(("cumulative_sum", "cumulative_prod"), (False, True)):
        for axis in (0, 1, -1):
            both(
                lambda ns, x: getattr(ns, name)(x, axis=axis, include_initial=initial), x, what=name
            )
        both(lambda ns, x: getattr(ns, name)(x, include_initial=initial), x[0], what=name)
    with pytest.raises(ValueError):
        xp.cumulative_sum(ours(x))


@pytest.mark.parametrize("dtype", NUMERIC)
def test_diff(dtype):
    x = grid((3, 5), dtype)
    for axis, n in itertools.product((0, 1, -1), (0, 1, 2)):
        both(lambda ns, x: ns.diff(x, axis=axis, n=n), x, what=f"{axis} {n}")
    both(lambda ns, x: ns.diff(x, axis=1, prepend=x[:, :2], append=x[:, -1:]), x, what="prepend")


# ---------------------------------------------------------------------- making, moving, searching

PROGRAMS = {
    "arange": lambda ns, x: (ns.arange(5), ns.arange(1, 8, 3), ns.arange(0.0, 1.0, 0.25, dtype=ns.float32), ns.arange(5, 0, -2)),
    "arange empty": lambda ns, x: (ns.arange(3, 3), ns.arange(0), ns.arange(3, 1), ns.arange(1, 3, -1, dtype=ns.int8)),
    "eye": lambda ns, x: tuple(ns.eye(3, c, k=k, dtype=x.dtype) for c in (None, 2, 5) for k in (-9, -2, 0, 1, 9)),
    "full": lambda ns, x: (ns.full(3, 1, dtype=x.dtype), ns.full((2, 1), True), ns.full((), 2), ns.full_like(x, 1)),
    "linspace": lambda ns, x: tuple(ns.linspace(0.0, 1.0, n, endpoint=e, dtype=ns.float64) for n in (0, 1, 5) for e in (True, False)),
    "zeros": lambda ns, x: (ns.zeros(2, dtype=x.dtype), ns.ones((2, 0), dtype=ns.int8), ns.zeros_like(x), ns.ones_like(x, dtype=ns.int16)),
    "meshgrid": lambda ns, x: ns.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0]) + ns.meshgrid(x[0, 0], x[0, :, 0], indexing="ij"),
    "tril": lambda ns, x: tuple(f(x, k=k) for f in (ns.tril, ns.triu) for k in (-1, 0, 2)),
    "astype": lambda ns, x: (ns.astype(x, ns.complex128), ns.astype(x, x.dtype, copy=False), ns.astype(x, x.dtype)),
    "broadcast": lambda ns, x: (ns.broadcast_to(x, (5, 2, 3, 4)), *ns.broadcast_arrays(x, x[:, :1], x[0, 0])),
    "concat": lambda ns, x: (ns.concat([x, x], axis=1), ns.concat((x, x[:1]), axis=-3), ns.concat([x, x[0]], axis=None)),
    "expand_dims": lambda ns, x: tuple(ns.expand_dims(x, axis=a) for a in (-4, -1, 0, 3)),
    "flip": lambda ns, x: (ns.flip(x), ns.flip(x, axis=1), ns.flip(x, axis=(0, -1))),
    "moveaxis": lambda ns, x: (ns.moveaxis(x, 0, -1), ns.moveaxis(x, (0, 1), (2, 0))),
    "permute_dims": lambda ns, x: (ns.permute_dims(x, (2, 0, 1)), ns.permute_dims(x, (-1, 0, 1)), ns.matrix_transpose(x)),
    "repeat": lambda ns, x: (ns.repeat(x, 2), ns.repeat(x, 3, axis=1), ns.repeat(x, ns.asarray([1, 0, 2]), axis=1), ns.repeat(x, ns.asarray([2]), axis=0)),
    "reshape": lambda ns, x: (ns.reshape(x, (4, -1)), ns.reshape(ns.permute_dims(x, (2, 1, 0)), (24,)), ns.reshape(x, (24,), copy=True), ns.reshape(x, (2, 12), copy=False)),
    "roll": lambda ns, x: (ns.roll(x, 2), ns.roll(x, -1, axis=1), ns.roll(x, (1, 2), axis=(0, 2)), ns.roll(x, 1, axis=(0, 1))),
    "squeeze": lambda ns, x: (ns.squeeze(x[:1], axis=0), ns.squeeze(x[:1, :, :1], axis=(0, -1))),
    "stack": lambda ns, x: (ns.stack([x, x]), ns.stack((x, x), axis=-1)),
    "tile": lambda ns, x: (ns.tile(x, (2,)), ns.tile(x, (2, 1, 1, 2))),
    "unstack": lambda ns, x: (*ns.unstack(x), *ns.unstack(x, axis=-1)),
    "nonzero": lambda ns, x: ns.nonzero(x),
    "where": lambda ns, x: (ns.where(x != 0, x, ns.zeros_like(x)), ns.where(x[0] != 0, x, x[0, 0, 0])),
    "take": lambda ns, x: (ns.take(x, ns.asarray([2, 0, -1]), axis=1), ns.take(x[0, 0], ns.asarray([3, 3])), ns.take(x, ns.asarray([0]), axis=-1)),
    "take_along_axis": lambda ns, x: (ns.take_along_axis(x, ns.asarray([[[0, -1], [1, 2], [3, 3]]]), axis=-1), ns.take_along_axis(x, ns.zeros((1, 3, 4), dtype=ns.int64), axis=0)),
    "indexing": lambda ns, x: (x[0], x[..., 1], x[None, 1, 1:3], x[x != 0], x[ns.asarray([1, 0]), 1], x[()], x[:, -1, ::2]),
    "outer products": lambda ns, x: (ns.linalg.outer(x[0, 0], x[0, :, 0]), ns.tensordot(x, x, axes=([0, 1], [0, 1])), ns.tensordot(x[0], x, axes=0), ns.linalg.diagonal(x, offset=1), ns.linalg.trace(x, offset=-1)),
    "products": lambda ns, x: (ns.matmul(x, ns.matrix_transpose(x)), ns.matmul(x, x[0, 0]), ns.matmul(x[0, 0], x[0, 0]), ns.vecdot(x, x[0, 0]), ns.vecdot(x, x, axis=-2), ns.linalg.cross(x[..., :3], x[0, 0, :3])),
}  # fmt: skip


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, dtype):
    both(PROGRAMS[name], grid((2, 3, 4), dtype), what=f"{name} {dtype}", tol=20)


@pytest.mark.parametrize("dtype", ("bool", *INTEGERS, *FLOATS))
def test_sorting_and_searching(dtype):
    x = grid((4, 6), dtype)
    for axis, down in itertools.product((0, 1, -1), (False, True)):
        if not down:
            both(lambda ns, x: ns.argsort(x, axis=axis, stable=True), x, what="argsort")
            both(lambda ns, x: ns.sort(x, axis=axis), x, what="sort")
        else:
            order = xp.argsort(ours(x), axis=axis, descending=True)
            assert xp.all(
                xp.take_along_axis(ours(x), order, axis=axis)
                == xp.sort(ours(x), axis=axis, descending=True)
            )
            assert xp.all(
                xp.flip(xp.sort(ours(x), axis=axis), axis=axis)
                == xp.sort(ours(x), axis=axis, descending=True)
            )
    if dtype == "bool":
        return
    for name, axis, keep in itertools.product(("argmax", "argmin"), (None, 0, -1), (False, True)):
        both(lambda ns, x: getattr(ns, name)(x, axis=axis, keepdims=keep), x, what=name)
    line = np.sort(x[0])
    for side in ("left", "right"):
        both(lambda ns, a, b: ns.searchsorted(a, b, side=side), line, x, what="searchsorted")
        both(
            lambda ns, a, b: ns.searchsorted(a, b, side=side, sorter=ns.argsort(a)),
            x[0],
            x,
            what="sorter",
        )


@pytest.mark.parametrize("dtype", ("bool", *NUMERIC))
def test_sets(dtype):
    for x in (grid((5, 8), dtype), values(dtype), np.zeros((0,), dtype), np.ones((), dtype)):
        x = np.concatenate([x.reshape(-1), x.reshape(-1)])
        values_, indices, inverse, counts = xp.unique_all(ours(x))
        want = np.unique_all(x[x == x]).counts
        nans = int((x != x).sum())
        assert values_.shape == indices.shape == counts.shape == (len(want) + nans,)
        assert inverse.dtype is indices.dtype is counts.dtype is xp.int64
        np.testing.assert_array_equal(theirs(xp.take(values_, inverse)), x)
        np.testing.assert_array_equal(x[theirs(indices)], theirs(values_))
        assert sorted(counts.tolist()) == sorted([*want.tolist(), *[1] * nans])
        first = theirs(indices)
        assert all(not (x[: first[i]] == v).any() for i, v in enumerate(theirs(values_)) if v == v)
        same(xp.unique_counts(ours(x)), (theirs(values_), theirs(counts)), "unique_counts")
        same(xp.unique_inverse(ours(x)), (theirs(values_), theirs(inverse)), "unique_inverse")
        same(xp.unique_values(ours(x)), theirs(values_), "unique_values")
    x = grid((2, 3), dtype)
    assert xp.unique_all(ours(x)).inverse_indices.shape == (2, 3)


# ---------------------------------------------------------------------- linalg and fft


def matrices(dtype, *shape):
    m, n = shape[-2:]
    x = grid(shape, dtype, 3)
    return x + 3 * np.eye(m, n, dtype=dtype) if m == n else x


LINALG = {
    "det": lambda ns, x: ns.linalg.det(x),
    "slogdet": lambda ns, x: tuple(ns.linalg.slogdet(x)),
    "inv": lambda ns, x: ns.linalg.inv(x),
    "solve": lambda ns, x: (ns.linalg.solve(x, x[..., :2]), ns.linalg.solve(x, x[0, 0]), ns.linalg.solve(x[0], x), ns.linalg.solve(x, x[0])),
    "cholesky": lambda ns, x: tuple(ns.linalg.cholesky(ns.matmul(x, ns.conj(ns.matrix_transpose(x))), upper=u) for u in (False, True)),
    "eigvalsh": lambda ns, x: ns.linalg.eigvalsh(x + ns.conj(ns.matrix_transpose(x))),
    "matrix_power": lambda ns, x: tuple(ns.linalg.matrix_power(x, n) for n in (-2, 0, 1, 3)),
    "matrix_norm": lambda ns, x: tuple(ns.linalg.matrix_norm(x, ord=o, keepdims=k) for o in ("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")) for k in (False, True)),
    "matrix_rank": lambda ns, x: (ns.linalg.matrix_rank(x), ns.linalg.matrix_rank(x * 0), ns.linalg.matrix_rank(x, rtol=0.5)),
    "pinv": lambda ns, x: (ns.linalg.pinv(x), ns.linalg.pinv(x[..., :2]), ns.linalg.pinv(x, rtol=0.4)),
    "svdvals": lambda ns, x: (ns.linalg.svdvals(x), ns.linalg.svdvals(x[..., :2])),
    "vector_norm": lambda ns, x: tuple(ns.linalg.vector_norm(x, axis=a, ord=o, keepdims=k) for a in (None, 0, (0, 1), (0, 1, 2)) for o in (0, 1, 2, 3.5, float("inf"), -float("inf")) for k in (False, True)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("name", LINALG)
def test_linalg(name, dtype):
    both(LINALG[name], matrices(dtype, 2, 3, 3), what=name, tol=100)


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (2, 3, 5), (1, 1)], ids=str)
def test_factors_multiply_back(dtype, shape):
    x = ours(matrices(dtype, *shape))
    small = 2e-5 if dtype in ("float32", "complex64") else 1e-12

    def near(a, b):
        assert float(xp.max(xp.abs(a - b))) < small

    def adjoint(a):
        return xp.conj(xp.matrix_transpose(a))

    k = min(shape[-2:])
    for mode in ("reduced", "complete"):
        q, r = xp.linalg.qr(x, mode=mode)
        near(q @ r, x)
        near(adjoint(q) @ q, xp.eye(q.shape[-1], dtype=q.dtype))
        near(r, xp.triu(r))
        assert q.shape[-1] == (k if mode == "reduced" else shape[-2])
    for full in (True, False):
        u, s, vh = xp.linalg.svd(x, full_matrices=full)
        near((u[..., :k] * s[..., None, :].to(u.dtype)) @ vh[..., :k, :], x)
        near(adjoint(u) @ u, xp.eye(u.shape[-1], dtype=u.dtype))
        near(vh @ adjoint(vh), xp.eye(vh.shape[-2], dtype=u.dtype))
        assert (u.shape[-1], vh.shape[-2]) == ((shape[-2], shape[-1]) if full else (k, k))
        assert s.dtype is x.real.dtype
    if shape[-2] == shape[-1]:
        h = x + adjoint(x)
        w, v = xp.linalg.eigh(h)
        near((v * w[..., None, :].to(v.dtype)) @ adjoint(v), h)
        near(adjoint(v) @ v, xp.eye(shape[-1], dtype=v.dtype))
        assert w.dtype is x.real.dtype


FOURIER = [
    (n, d) for n in ("fft", "ifft", "irfft", "hfft") for d in COMPLEX
] + [(n, d) for n in ("rfft", "ihfft") for d in FLOATS]  # fmt: skip


@pytest.mark.parametrize("name, dtype", FOURIER, ids=lambda v: v)
def test_fft(name, dtype):
    x = grid((4, 5), dtype)
    for axis, n, norm in itertools.product((0, -1), (None, 3, 8), ("backward", "ortho", "forward")):
        both(
            lambda ns, x: getattr(ns.fft, name)(x, axis=axis, n=n, norm=norm), x, what=name, tol=20
        )


@pytest.mark.parametrize("name", ("fftn", "ifftn", "irfftn", "rfftn"))
def test_fft_of_several_axes(name):
    x = grid((3, 4, 5), "float64" if name == "rfftn" else "complex128")
    for axes, s in ((None, None), ((0, 1), None), ((0, 2), (2, 6)), ((-1,), (3,))):
        both(lambda ns, x: getattr(ns.fft, name)(x, axes=axes, s=s), x, what=f"{axes} {s}", tol=20)


def test_frequencies():
    both(
        lambda ns: tuple(
            ns.fft.fftfreq(n, d=0.5).astype(float)
            if ns is np
            else ns.fft.fftfreq(n, d=0.5, dtype=ns.float64)
            for n in (1, 6, 7)
        )
    )
    both(
        lambda ns: tuple(
            ns.fft.rfftfreq(n) if ns is np else ns.fft.rfftfreq(n, dtype=ns.float64)
            for n in (1, 6, 7)
        )
    )
    x = grid((3, 4), "complex128")
    for axes in (None, 0, (0, 1)):
        both(lambda ns, x: (ns.fft.fftshift(x, axes=axes), ns.fft.ifftshift(x, axes=axes)), x)
