"""Linear algebra against NumPy, and against what the factors multiply to; derivatives; errors."""

import numpy as np
import pytest
from arrays import array, check_gradients, layouts, same, tensor

import dlgrad

L = dlgrad.linalg
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
SQUARE = [
    (1, 1),
    (4, 4),
    (3, 5, 5),
    (2, 3, 9, 9),
    (37, 37),
    (101, 101),
    (0, 4, 4),
    (0, 0),
    (2, 0, 0),
]
SHAPES = [
    *SQUARE,
    (5, 2),
    (2, 5),
    (3, 6, 1),
    (3, 1, 6),
    (20, 33),
    (33, 20),
    (101, 70),
    (70, 101),
    (0, 3),
    (3, 0),
    (2, 0, 3),
]


def normal(shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def definite(shape, seed=0, dtype="float64"):
    a = normal(shape, seed)
    return (a @ a.swapaxes(-1, -2) / max(shape[-1], 1) + np.eye(shape[-1])).astype(dtype)


def well(shape, seed=0, dtype="float64"):
    """Square matrices that are far from singular."""
    return (normal(shape, seed) / 4 + 2 * np.eye(shape[-1]))[..., ::-1, :].astype(dtype).copy()


def close(actual, expected, ulps=200, message=""):
    actual = array(actual) if isinstance(actual, dlgrad.Tensor) else actual
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, (message, actual.shape, expected.shape)
    eps = EPS[actual.dtype.name]
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(
        actual, expected, ulps * eps, ulps * eps * scale, err_msg=str(message)
    )


def eye_like(x):
    return np.broadcast_to(np.eye(x.shape[-1]), x.shape)


# ---------------------------------------------------------------------- factors multiply to the matrix


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_factors(shape, dtype):
    a = normal(shape, dtype=dtype)
    for name, x in layouts(a):
        for mode in ("reduced", "complete"):
            q, r = map(array, L.qr(x, mode))
            close(q @ r, a, message=(name, mode))
            close(q.swapaxes(-1, -2) @ q, eye_like(q.swapaxes(-1, -2) @ q))
            assert (np.tril(r, -1) == 0).all()
            q0, r0 = np.linalg.qr(a, mode)  # LAPACK: the signs too
            close(q, q0, 4000)
            close(r, r0, 4000)
        assert L.qr(x, "r").Q.shape == (0,)
        same(array(L.qr(x, "r").R), array(L.qr(x).R))
        for full in (False, True):
            u, s, vh = map(array, L.svd(x, full))
            k = s.shape[-1]
            close(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a, message=(name, full))
            close(u.swapaxes(-1, -2) @ u, eye_like(u.swapaxes(-1, -2) @ u))
            close(vh @ vh.swapaxes(-1, -2), eye_like(vh @ vh.swapaxes(-1, -2)))
            close(s, np.linalg.svd(a, compute_uv=False), message=name)
        close(L.svdvals(x), s)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SQUARE)
def test_square_factors(shape, dtype):
    a = definite(shape, dtype=dtype)
    b = normal((*shape[:-1], 3), 1, dtype)
    for name, x in layouts(a):
        lower = array(L.cholesky(x))
        close(lower @ lower.swapaxes(-1, -2), a, message=name)
        assert (np.triu(lower, 1) == 0).all()
        close(L.cholesky(x, upper=True), lower.swapaxes(-1, -2))
        w, v = map(array, L.eigh(x))
        close(v * w[..., None, :] @ v.swapaxes(-1, -2), a, message=name)
        close(v.swapaxes(-1, -2) @ v, eye_like(v))
        assert (np.diff(w) >= 0).all()
        close(L.eigvalsh(x), w)
        close(a @ array(L.solve(x, tensor(b))), b, message=name)
        close(array(L.inv(x)) @ a, eye_like(a), message=name)
    a = well(shape, 2, dtype)
    for name, x in layouts(a):
        close(a @ array(L.solve(x, tensor(b))), b, 2000, message=name)
        close(
            array(L.solve(x, tensor(b.swapaxes(-1, -2)), left=False)) @ a, b.swapaxes(-1, -2), 2000
        )
        sign, size = np.linalg.slogdet(a.astype("float64"))
        close(L.slogdet(x).sign, sign)
        close(L.slogdet(x).logabsdet, size.astype(dtype))
        close(L.det(x), np.linalg.det(a.astype("float64")).astype(dtype), 2000)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_lu(shape, dtype):
    a = normal(shape, dtype=dtype)
    m, n = shape[-2:]
    k = min(m, n)
    for name, x in layouts(a):
        p, lower, u = map(array, L.lu(x))
        close(p @ lower @ u, a, message=name)
        assert lower.shape[-2:] == (m, k) and u.shape[-2:] == (k, n)
        assert (np.abs(lower) <= 1).all() and (np.triu(lower, 1) == 0).all()
        close(np.tril(u, -1), np.zeros_like(u))
        factors = L.lu_factor_ex(x)
        assert factors.pivots.dtype == factors.info.dtype == dlgrad.int32
        same(array(dlgrad.lu_unpack(factors.LU, factors.pivots).L), lower)
    if m != n:
        return
    a = well(shape, 3, dtype)
    b = normal((*shape[:-2], m, 2), 4, dtype)
    lu, pivots = L.lu_factor(tensor(a))
    t = a.swapaxes(-1, -2)
    close(a @ array(L.lu_solve(lu, pivots, tensor(b))), b, 2000)
    close(t @ array(L.lu_solve(lu, pivots, tensor(b), adjoint=True)), b, 2000)
    bt = b.swapaxes(-1, -2)
    close(array(L.lu_solve(lu, pivots, tensor(bt), left=False)) @ a, bt, 2000)
    close(array(L.lu_solve(lu, pivots, tensor(bt), left=False, adjoint=True)) @ t, bt, 2000)


@pytest.mark.parametrize("unit", (False, True))
@pytest.mark.parametrize("upper", (False, True))
def test_triangular_systems(upper, unit):
    a = normal((2, 1, 7, 7)) / 4 + 2 * np.eye(7)
    t = np.triu(a) if upper else np.tril(a)
    if unit:
        t = t - np.eye(7) * t + np.eye(7)
    b = normal((3, 7, 4), 1)
    for _, x in layouts(a):  # the other triangle is not read
        close(
            t @ array(L.solve_triangular(x, tensor(b), upper=upper, unitriangular=unit)),
            np.broadcast_to(b, (2, 3, 7, 4)),
        )
        right = L.solve_triangular(x, tensor(b).mT, upper=upper, left=False, unitriangular=unit)
        close(array(right) @ t, np.broadcast_to(b.swapaxes(-1, -2), (2, 3, 4, 7)))
    x = dlgrad.triangular_solve(
        tensor(b), tensor(a), upper=upper, transpose=True, unitriangular=unit
    )
    close(t.swapaxes(-1, -2) @ array(x.solution), np.broadcast_to(b, (2, 3, 7, 4)))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SQUARE)
def test_eigenvalues_of_general_matrices(shape, dtype):
    a = normal(shape, 6, dtype)
    for name, x in layouts(a):
        w, v = (t.numpy() for t in L.eig(x))
        assert w.dtype.name == {"float32": "complex64", "float64": "complex128"}[dtype]
        scale = 4000 * EPS[dtype]
        np.testing.assert_allclose(a @ v, v * w[..., None, :], scale, scale, err_msg=name)
        np.testing.assert_allclose(np.linalg.norm(v, axis=-2), np.ones(w.shape), scale, scale)
        same(L.eigvals(x).numpy(), w)
    n = 33
    rows = np.repeat(normal((1, n)), n, 0)
    for a in (
        np.zeros((n, n)),
        np.eye(n),
        np.diag(np.ones(n - 1), 1),
        np.roll(np.eye(n), 1, 0),
        rows,
        rows.T.copy(),
    ):
        w, v = (t.numpy() for t in L.eig(tensor(a)))
        np.testing.assert_allclose(a @ v, v * w, 0, 1e-12)
        np.testing.assert_allclose(np.linalg.norm(v, axis=0), np.ones(n), 1e-12)
    with pytest.raises(L.LinAlgError, match="infs or NaNs"):
        L.eig(tensor(np.full((2, 2), np.nan)))


def test_eigenvalues_that_hardly_differ_give_vectors_without_nan():
    # Of matrices of rank 1 all but one are 0, up to rounding: differences of any smallness.
    for seed, size in ((135, 40), (141, 33), (157, 33), (161, 33)):
        dlgrad.manual_seed(seed)
        a = np.repeat(dlgrad.randn(1, size, dtype=dlgrad.float64).numpy(), size, 0)
        w, v = (t.numpy() for t in L.eig(tensor(a)))
        np.testing.assert_allclose(a @ v, v * w, 0, 1e-12 * size)
        np.testing.assert_allclose(np.linalg.norm(v, axis=0), np.ones(size), 1e-12)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SQUARE)
def test_symmetric_systems(shape, dtype):
    a = normal(shape, 3, dtype)
    a = a + a.swapaxes(-1, -2)
    if shape[-1] % 2 == 0:
        a = a * (1 - np.eye(shape[-1], dtype=dtype))  # no pivot on the diagonal
    b = normal((*shape[:-1], 3), 1, dtype)
    for name, x in layouts(a):
        ld, pivots = L.ldl_factor(x)
        assert (np.triu(array(ld), 1) == 0).all() and pivots.dtype == dlgrad.int32
        close(a @ array(L.ldl_solve(ld, pivots, tensor(b))), b, 4000, name)
    with pytest.raises(RuntimeError, match="not implemented"):
        L.ldl_factor(tensor(a).requires_grad_()).LD.sum().backward()


def test_products_of_reflections():
    for shape in ((5, 3), (2, 6, 6), (4, 0)):
        a = tensor(normal(shape))
        factors, tau = dlgrad.geqrf(a)
        q = L.qr(a, "complete").Q
        close(L.householder_product(factors, tau), array(q)[..., : shape[-1]])
        close(dlgrad.orgqr(factors, tau), array(q)[..., : shape[-1]])
        c = tensor(normal((*shape[:-2], shape[-2], 4), 1))
        close(dlgrad.ormqr(factors, tau, c), array(q @ c))
        close(dlgrad.ormqr(factors, tau, c, transpose=True), array(q.mT @ c))
        close(dlgrad.ormqr(factors, tau, c.mT, left=False), array(c.mT @ q))


# ---------------------------------------------------------------------- against NumPy


def test_least_squares():
    for shape, b in (
        ((7, 3), (7, 2)),
        ((3, 7), (3, 2)),
        ((4, 7, 3), (4, 7, 2)),
        ((7, 3), (7,)),
        ((4, 4), (4, 1)),
    ):
        a, y = normal(shape), normal(b, 1)
        expected = np.linalg.pinv(a) @ y
        for driver in (None, "gels", "gelsy", "gelsd", "gelss"):
            r = L.lstsq(tensor(a), tensor(y), driver=driver)
            close(r.solution, expected, 2000)
            if driver in ("gels", "gelsd", "gelss") and shape[-2] > shape[-1]:
                close(r.residuals, ((a @ expected - y) ** 2).sum(-1 if len(b) == 1 else -2), 2000)
            else:
                assert r.residuals.shape == (0,)
            if driver != "gels":
                assert (array(r.rank) == min(shape[-2:])).all()
    # Of deficient rank: the smallest solution.
    a = normal((6, 2)) @ normal((2, 4), 1)
    r = L.lstsq(tensor(a), tensor(normal((6, 1), 2)), rcond=1e-10)
    close(r.solution, np.linalg.pinv(a, rcond=1e-10) @ normal((6, 1), 2), 4000)
    assert r.rank.item() == 2 == L.matrix_rank(tensor(a)).item()


def test_pseudoinverse_rank_and_condition():
    a = normal((3, 6, 4))
    a[1] = normal((6, 2)) @ normal((2, 4), 1)
    close(L.pinv(tensor(a)), np.linalg.pinv(a, 1e-13), 5000)
    assert array(L.matrix_rank(tensor(a))).tolist() == [4, 2, 4]
    assert array(L.matrix_rank(tensor(a), atol=100.0)).tolist() == [0, 0, 0]
    assert array(L.matrix_rank(tensor(a), atol=tensor(np.array([0.0, 0.0, 100.0])))).tolist() == [
        4,
        2,
        0,
    ]
    s = a @ a.swapaxes(-1, -2)
    close(
        L.pinv(tensor(s), hermitian=True, rtol=1e-10),
        np.linalg.pinv(s, 1e-10, hermitian=True),
        1 << 16,
    )
    assert array(L.matrix_rank(tensor(s), hermitian=True)).tolist() == [4, 2, 4]
    square = well((2, 5, 5))
    for p in (None, 2, -2, 1, -1, np.inf, -np.inf, "fro", "nuc"):
        close(L.cond(tensor(square), p), np.linalg.cond(square, p), 2000, p)
    assert L.cond(tensor(np.zeros((2, 2))), 1).item() == np.inf
    assert L.pinv(tensor(np.zeros((0, 3)))).shape == (3, 0)


def test_norms():
    a = normal((3, 4, 5))
    for ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        for dim in ((-2, -1), (0, 2), (2, 0)):
            for keep in (False, True):
                expected = np.linalg.norm(a, ord, dim, keep)
                close(L.matrix_norm(tensor(a), ord, dim, keep), expected, message=(ord, dim))
                close(L.norm(tensor(a), ord, dim, keep), expected)
        close(L.norm(tensor(a[0]), ord), np.linalg.norm(a[0], ord))
    close(L.norm(tensor(a)), np.linalg.norm(a.reshape(-1)))
    close(L.norm(tensor(a[0, 0]), 3), np.linalg.norm(a[0, 0], 3))
    close(dlgrad.norm(tensor(a[0]), "nuc"), np.linalg.norm(a[0], "nuc"))


def test_powers_and_products():
    a = well((2, 4, 4))
    for n in (-3, -1, 0, 1, 2, 7):
        close(L.matrix_power(tensor(a), n), np.linalg.matrix_power(a, n), 4000, n)
    x = np.array([[1.0, -2.0, 3.0]])
    close(L.vander(tensor(x), 4), x[..., None] ** np.arange(4))
    assert array(L.vander(dlgrad.tensor([1, 2, 3]))).tolist() == [[1, 1, 1], [1, 2, 4], [1, 3, 9]]
    t = normal((6, 4, 2, 3, 4))
    close(L.tensorinv(tensor(t)), np.linalg.tensorinv(t), 4000)
    b = normal((6, 4), 1)
    close(L.tensorsolve(tensor(t), tensor(b)), np.linalg.tensorsolve(t, b), 4000)
    moved = np.moveaxis(t, 0, 2)
    close(L.tensorsolve(tensor(np.moveaxis(t, (2, 4), (0, 1))), tensor(b), dims=(0, 1)),
          np.linalg.tensorsolve(np.moveaxis(t, (2, 4), (0, 1)), b, axes=(0, 1)), 4000)  # fmt: skip
    assert moved.shape == (4, 2, 6, 3, 4)
    close(L.vecdot(tensor(t), tensor(t)), (t * t).sum(-1))


@pytest.mark.parametrize("dtype", EPS)
def test_matrix_exponential(dtype):
    # Of a symmetric matrix by its eigenvalues, of any by squaring; one of the batch is large.
    a = normal((3, 6, 6), dtype=dtype)
    a = (a + a.swapaxes(-1, -2)) * np.array([1e-3, 1, 4], dtype)[:, None, None]
    w, v = np.linalg.eigh(a.astype("float64"))
    expected = v * np.exp(w)[:, None, :] @ v.swapaxes(-1, -2)
    for i in range(3):
        close(L.matrix_exp(tensor(a))[i], expected[i].astype(dtype), 2000)
    turn = np.array([[0.0, -100.0], [100.0, 0.0]])
    close(
        L.matrix_exp(tensor(turn)), [[np.cos(100), -np.sin(100)], [np.sin(100), np.cos(100)]], 20000
    )
    assert L.matrix_exp(tensor(np.zeros((2, 0, 0)))).shape == (2, 0, 0)
    assert np.isnan(array(L.matrix_exp(tensor(np.full((2, 2), np.nan))))).all()


def test_old_names():
    a = well((3, 4, 4))
    x = tensor(a)
    for f, g in (
        (dlgrad.inverse, L.inv),
        (dlgrad.det, L.det),
        (dlgrad.pinverse, L.pinv),
        (dlgrad.matrix_exp, L.matrix_exp),
    ):
        close(f(x), array(g(x)), 4000)
        same(array(getattr(x, f.__name__)()), array(f(x)))
    u, s, v = dlgrad.svd(x)
    close(array(u * s.unsqueeze(-2) @ v.mT), a)
    assert dlgrad.svd(x, compute_uv=False).U.abs().sum().item() == 0
    size = np.linalg.slogdet(a)
    close(dlgrad.logdet(x), np.where(size[0] < 0, np.nan, size[1]))
    spd = definite((2, 5, 5))
    lower, b = dlgrad.cholesky(tensor(spd)), tensor(normal((2, 5, 3)))
    close(dlgrad.cholesky_inverse(lower), np.linalg.inv(spd), 2000)
    close(dlgrad.cholesky_inverse(lower.mT, upper=True), np.linalg.inv(spd), 2000)
    close(dlgrad.cholesky_solve(b, lower), np.linalg.solve(spd, array(b)), 2000)
    close(dlgrad.cholesky_solve(b, lower.mT, upper=True), np.linalg.solve(spd, array(b)), 2000)
    lu, pivots = x.lu()
    close(b_ := x @ tensor(normal((3, 4, 1))).lu_solve(lu, pivots), normal((3, 4, 1)), 2000, b_)
    low = tensor(normal((30, 4)) @ normal((4, 20), 1))
    u, s, v = dlgrad.svd_lowrank(low, 5)
    close(array(u * s @ v.mT), array(low), 2000)
    u, s, v = dlgrad.pca_lowrank(low, 4)
    close(array(u * s @ v.mT), array(low - low.mean(0)), 2000)


# ---------------------------------------------------------------------- hard matrices, bits


def test_hard_matrices():
    rng = np.random.default_rng(0)
    q = [np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(2)]
    for values in (
        np.ones(12),
        np.repeat([3.0, 1.0, 0.0], 4),
        10.0 ** -np.arange(0, 36, 3),
        np.zeros(12),
    ):
        a = q[0] * values @ q[1]
        u, s, vh = map(array, L.svd(tensor(a)))
        close(s, values, 40)
        close(u * s @ vh, a)
        close(u.T @ u, np.eye(12))
        w, v = map(array, L.eigh(tensor(q[0] * values @ q[0].T)))
        close(w, np.sort(values), 40)
        close(v.T @ v, np.eye(12))
    for scale in (1e-300, 1e300):
        a = q[0][:, :5] * scale
        u, s, vh = map(array, L.svd(tensor(a), False))
        np.testing.assert_allclose((u * (s / scale)) @ vh, a / scale, 0, 1e-13)
        q0, r = map(array, L.qr(tensor(a)))
        np.testing.assert_allclose(q0 @ (r / scale), a / scale, 0, 1e-13)
        np.testing.assert_allclose(array(L.eigvalsh(tensor(np.eye(3) * scale))) / scale, np.ones(3))
    # A graded triangle (Kahan's), as sharp as it gets for a bidiagonal iteration.
    c, n = 0.95, 40
    kahan = np.diag(np.sqrt(1 - c * c) ** np.arange(n)) @ (
        np.eye(n) - c * np.triu(np.ones((n, n)), 1)
    )
    close(L.svdvals(tensor(kahan)), np.linalg.svd(kahan, compute_uv=False), 40)


def test_a_result_depends_neither_on_the_batch_nor_on_the_threads():
    a = normal((40, 9, 9), dtype="float32")
    x, one = tensor(a), tensor(a[17])
    functions = (
        L.inv,
        L.qr,
        L.svd,
        L.eigh,
        L.lu_factor,
        L.svdvals,
        lambda t: L.cholesky(t @ t.mT + 1e-2 * dlgrad.eye(9)),
    )
    before = dlgrad.get_num_threads()
    for f in functions:
        results = []
        for threads in (1, 3):
            dlgrad.set_num_threads(threads)
            r = f(x)
            results.append([array(t) for t in (r if isinstance(r, tuple) else (r,))])
        dlgrad.set_num_threads(before)
        r = f(one)
        for whole, again, alone in zip(*results, r if isinstance(r, tuple) else (r,)):
            same(whole, again)
            same(whole[17], array(alone))


@pytest.mark.parametrize("n", [5, 200])
def test_threads_share_a_matrix_and_change_nothing(n):
    a, b = tensor(well((n, n), dtype="float32")), tensor(normal((n, 3), 1, "float32"))
    functions = (
        lambda: L.solve(a, b), lambda: L.inv(a), lambda: L.cholesky(a @ a.mT), lambda: L.qr(a)[0], lambda: L.eigh(a + a.mT)[1],
        lambda: L.svd(a)[0], lambda: L.lstsq(a, b)[0], lambda: L.lu_solve(*L.lu_factor(a), b), lambda: L.solve_triangular(a, a, upper=True),
    )  # fmt: skip
    before = dlgrad.get_num_threads()
    results = []
    for threads in (1, 3):
        dlgrad.set_num_threads(threads)
        results.append([array(f()) for f in functions])
    dlgrad.set_num_threads(before)
    for one, three in zip(*results):
        same(one, three)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("n, m", [(3, 7), (40, 90)])
def test_rank_is_looked_at_closer_where_it_is_in_doubt(n, m, dtype):
    a, b = normal((2, m, n), dtype=dtype), normal((2, m, 2), 1, dtype)
    a[1, :, 0] = a[1, :, 1]
    ranks = L.matrix_rank(tensor(a))
    assert ranks.tolist() == [n, n - 1] and L.matrix_rank(tensor(a[:1]).mT).tolist() == [n]
    fit = L.lstsq(tensor(a), tensor(b))
    assert fit.rank.tolist() == [n, n - 1]
    expected = np.stack(
        [np.linalg.lstsq(x.astype(float), y.astype(float), rcond=1e-5)[0] for x, y in zip(a, b)]
    )
    close(fit.solution, expected, 5000)
    close(L.lstsq(tensor(a[:1]), tensor(b[:1])).solution, expected[:1], 5000)
    close(L.pinv(tensor(a)), np.linalg.pinv(a.astype(float), rcond=1e-5), 5000)
    close(L.pinv(tensor(a[:1]).mT), np.linalg.pinv(a[:1].astype(float)).swapaxes(-1, -2), 5000)


def test_pivots_out_of_range_raise():
    for n in (3, 40):
        LU, pivots = L.lu_factor(tensor(well((n, n))))
        for wrong in (0, n + 1):
            with pytest.raises(RuntimeError, match=f"between 1 and {n}"):
                L.lu_solve(
                    LU, dlgrad.full_like(pivots, wrong), dlgrad.ones(n, 2, dtype=dlgrad.float64)
                )


# ---------------------------------------------------------------------- derivatives


def by_sign(f):
    """Vectors are defined up to their signs: squares are not."""
    return lambda *args: [t * t if t.ndim > 1 else t for t in f(*args)]


def joined(f):
    def g(*args):
        return dlgrad.cat([t.reshape(-1) for t in f(*args)])

    return g


def symmetric(f):
    return lambda a: f(a + a.mT)


DERIVATIVES = {
    "inv": (L.inv, (2, 3, 3)), "det": (L.det, (2, 3, 3)), "logabsdet": (lambda a: L.slogdet(a)[1], (2, 3, 3)),
    "logdet": (lambda a: dlgrad.logdet(a @ a.mT), (2, 3, 3)), "solve": (L.solve, (3, 3), (2, 3, 2)),
    "solve_vector": (L.solve, (2, 3, 3), (2, 3)), "solve_right": (lambda a, b: L.solve(a, b, left=False), (3, 3), (2, 3)),
    "triangular": (lambda a, b: L.solve_triangular(a, b, upper=True), (3, 3), (2, 3, 2)),
    "triangular_unit": (lambda a, b: L.solve_triangular(a, b, upper=False, left=False, unitriangular=True), (3, 3), (2, 3)),
    "cholesky": (lambda a: L.cholesky(a @ a.mT), (2, 3, 3)),
    "cholesky_upper": (lambda a: L.cholesky(a @ a.mT, upper=True), (3, 3)),
    "lu": (joined(lambda a: L.lu(a)[1:]), (3, 3)), "lu_wide": (joined(lambda a: L.lu(a)[1:]), (2, 4)),
    "lu_tall": (joined(lambda a: L.lu(a)[1:]), (4, 2)),
    "lu_solve": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, adjoint=True), (3, 3), (3, 2)),
    "qr": (joined(L.qr), (2, 3, 3)), "qr_tall": (joined(L.qr), (4, 2)), "qr_wide": (joined(L.qr), (2, 4)),
    "svd": (joined(by_sign(lambda a: L.svd(a, False))), (3, 3)),
    "svd_tall": (joined(by_sign(lambda a: L.svd(a, False))), (4, 2)),
    "svd_wide": (joined(by_sign(lambda a: L.svd(a, False))), (2, 4)),
    "svdvals": (L.svdvals, (2, 3, 4)), "eigh": (symmetric(joined(by_sign(L.eigh))), (3, 3)),
    "eigvals": (lambda a: L.eigvals(a).abs().square().sum(-1) + L.eigvals(a).real.exp().sum(-1), (3, 4, 4)),
    "eig": (lambda a: L.eig(a)[1].abs().square().reshape(-1).sort().values, (4, 4)),
    "eigvalsh": (symmetric(L.eigvalsh), (2, 3, 3)), "pinv": (L.pinv, (4, 2)), "pinv_wide": (L.pinv, (2, 4)),
    "lstsq": (lambda a, b: L.lstsq(a, b).solution, (4, 2), (4, 3)), "nuclear": (lambda a: L.norm(a, "nuc"), (3, 4)),
    "lstsq_gels": (joined(lambda a, b: L.lstsq(a, b, driver="gels")[:2]), (4, 2), (4,)),
    "spectral": (lambda a: L.matrix_norm(a, 2), (3, 4)), "cond": (L.cond, (3, 3)), "cond_1": (lambda a: L.cond(a, 1), (3, 3)),
    "matrix_exp": (L.matrix_exp, (2, 3, 3)), "matrix_power": (lambda a: L.matrix_power(a, -2), (3, 3)),
    "householder": (L.householder_product, (4, 3), (2,)), "ormqr": (dlgrad.ormqr, (4, 3), (2,), (4, 2)),
    "tensorsolve": (L.tensorsolve, (4, 2, 2), (4,)), "vander": (lambda a: L.vander(a, 4), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name):
    f, *shapes = DERIVATIVES[name]
    arrays = [
        normal(s, 5 + i) + 2 * (np.eye(*s[-2:])[::-1] if len(s) > 1 else 0)
        for i, s in enumerate(shapes)
    ]
    check_gradients(f, arrays, rtol=2e-4, atol=1e-5, message=name)


def test_gradients_of_functions_of_cholesky_factors():
    # As in PyTorch the gradient of the factor has both triangles; what reaches the matrix is right.
    b = normal((3, 2), 2)
    for upper in (False, True):

        def f(a, upper=upper):
            factor = L.cholesky(a @ a.mT, upper=upper)
            return joined(lambda: (dlgrad.cholesky_inverse(factor, upper), dlgrad.cholesky_solve(tensor(b), factor, upper)))()  # fmt: skip

        check_gradients(f, [normal((3, 3)) + 2 * np.eye(3)], rtol=2e-4, atol=1e-5)


def test_determinant_of_singular_matrices():
    a = normal((4, 4))
    cofactors = np.linalg.inv(a).T * np.linalg.det(a)
    a[2] = 0
    x = tensor(a).requires_grad_()
    (g,) = dlgrad.autograd.grad(L.det(x), x)
    expected = np.zeros((4, 4))
    expected[2] = cofactors[2]  # it does not depend on the row itself
    close(g, expected, 2000)
    (g,) = dlgrad.autograd.grad(L.det(z := dlgrad.zeros(3, 3, requires_grad=True)), z)
    assert g.abs().sum().item() == 0


# ---------------------------------------------------------------------- errors


def test_singular_matrices_raise():
    zero, one = dlgrad.zeros(3, 3), dlgrad.eye(3)
    batch = dlgrad.stack([one, one, zero])
    for f in (
        L.inv,
        lambda a: L.solve(a, one),
        L.lu_factor,
        lambda a: L.cholesky(a),
        lambda a: L.matrix_power(a, -1),
    ):
        with pytest.raises(L.LinAlgError):
            f(zero)
        with pytest.raises(RuntimeError, match="Batch element 2"):
            f(batch)
    with pytest.raises(L.LinAlgError, match=r"leading minor of order 2 is not positive-definite"):
        L.cholesky(dlgrad.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(L.LinAlgError, match="non-finite"):
        L.svd(one * float("nan"))
    for f in (L.inv_ex, L.cholesky_ex, L.lu_factor_ex, lambda a: L.solve_ex(a, one)):
        assert f(batch).info.tolist() == [0, 0, 1]
    for f in (L.inv_ex, L.cholesky_ex, L.lu_factor_ex):
        with pytest.raises(L.LinAlgError):
            f(batch, check_errors=True)
    assert L.det(zero).item() == 0 and L.slogdet(zero).logabsdet.item() == -np.inf


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: L.inv(dlgrad.ones(2, 3)), "batches of square matrices, but they are 2 by 3"),
        (lambda: L.det(dlgrad.ones(3)), "at least 2 dimensions"),
        (lambda: L.svd(dlgrad.ones(3, 3, dtype=dlgrad.int64)), "Got int64"),
        (lambda: L.svd(dlgrad.ones(3, 3, dtype=dlgrad.float16)), "Low precision"),
        (lambda: L.solve(dlgrad.eye(2), dlgrad.ones(3, 2)), r"\(2x2 and 3x2\)"),
        (lambda: L.solve(dlgrad.eye(2), dlgrad.ones(2, 2).double()), "same dtype"),
        (
            lambda: L.solve_triangular(dlgrad.eye(2), dlgrad.ones(3, 2), upper=True),
            r"\(2x2 and 3x2\)",
        ),
        (lambda: L.lstsq(dlgrad.ones(4, 2), dlgrad.ones(3, 1)), "should match"),
        (lambda: L.lstsq(dlgrad.ones(4, 2), dlgrad.ones(4, 1), driver="x"), "driver"),
        (lambda: L.qr(dlgrad.eye(2), "x"), "unrecognized mode 'x'"),
        (lambda: L.eigh(dlgrad.eye(2), "x"), "UPLO"),
        (lambda: L.matrix_norm(dlgrad.eye(2), 3), "Order 3 not supported"),
        (lambda: L.matrix_norm(dlgrad.eye(2), dim=(0, 0)), "must be different"),
        (lambda: L.cond(dlgrad.ones(2, 3), 1), "square"),
        (lambda: L.lu(dlgrad.eye(2), pivot=False), "without pivoting"),
        (
            lambda: L.lu_solve(
                dlgrad.eye(2), dlgrad.tensor([1, 9], dtype=dlgrad.int32), dlgrad.eye(2)
            ),
            "between 1 and 2",
        ),
        (lambda: L.lu_solve(dlgrad.eye(2), dlgrad.tensor([1, 2]), dlgrad.eye(2)), "int32"),
        (lambda: L.householder_product(dlgrad.ones(2, 3), dlgrad.ones(2)), "greater than or equal"),
        (lambda: L.ldl_factor(dlgrad.zeros(2, 2)), "singular"),
        (
            lambda: L.ldl_solve(dlgrad.eye(2), dlgrad.tensor([0, 1]), dlgrad.eye(2)),
            "between 1 and 2",
        ),
        (lambda: L.tensorinv(dlgrad.ones(2, 3)), "prod"),
        (lambda: L.tensorsolve(dlgrad.ones(2, 3), dlgrad.ones(2)), "prod"),
        (
            lambda: dlgrad.ormqr(dlgrad.ones(3, 2), dlgrad.ones(2), dlgrad.ones(2, 2)),
            "must be equal",
        ),
        (lambda: L.qr(dlgrad.ones(3, 2, requires_grad=True), "r").R.sum().backward(), "mode='r'"),
        (
            lambda: L.qr(dlgrad.ones(3, 2, requires_grad=True), "complete").R.sum().backward(),
            "not differentiable",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


def test_out():
    a = tensor(well((3, 3)))
    out = dlgrad.empty(0, dtype=dlgrad.float64)
    assert L.inv(a, out=out) is out
    same(array(out), array(L.inv(a)))
    q, r = dlgrad.empty(0, dtype=dlgrad.float64), dlgrad.empty(3, 3, dtype=dlgrad.float64)
    L.qr(a, out=(q, r))
    same(array(q), array(L.qr(a).Q))
