"""dlgrad.linalg against torch.linalg: values, gradients, what is raised."""

import numpy as np
import pytest
import torch

import dlgrad

from .both import both, outcome
from .test_ops import compare

SHAPES = [
    (1, 1),
    (4, 4),
    (2, 3, 3),
    (5, 3),
    (3, 5),
    (2, 1, 4, 2),
    (0, 3, 3),
    (0, 0),
    (3, 0),
    (0, 3),
]


def a(shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return x + 2 * np.eye(*shape[-2:])[::-1]


def spd(m, x):
    return x @ x.mT + m.eye(x.shape[-2], dtype=x.dtype)


# Of what is defined up to signs, what does not depend on them.
CALLS = {
    "inv": lambda m, x: m.linalg.inv(x),
    "det": lambda m, x: m.linalg.det(x),
    "slogdet": lambda m, x: m.linalg.slogdet(x).logabsdet,
    "logdet": lambda m, x: m.logdet(x),
    "solve": lambda m, x: m.linalg.solve(x, x.mT),
    "solve_right": lambda m, x: m.linalg.solve(x, x[..., :1, :], left=False),
    "solve_vector": lambda m, x: m.linalg.solve(x, x[..., 0]),
    "triangular": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=True),
    "cholesky": lambda m, x: m.linalg.cholesky(spd(m, x)),
    "cholesky_inverse": lambda m, x: m.cholesky_inverse(x.detach()),
    "cholesky_inverse_gradient": lambda m, x: m.cholesky_inverse(
        x.tril() + 3 * m.eye(x.shape[-2], dtype=x.dtype)
    ),
    "cholesky_solve": lambda m, x: m.cholesky_solve(x, x, upper=True),
    "lu": lambda m, x: tuple(m.linalg.lu(x)[1:]),
    "lu_P": lambda m, x: m.linalg.lu(x).P.detach(),
    "lu_factor": lambda m, x: m.linalg.lu_factor(x).LU,
    "pivots": lambda m, x: m.linalg.lu_factor_ex(x).pivots,
    "ldl": lambda m, x: tuple(t.detach() for t in m.linalg.ldl_factor_ex(x)),
    "qr": lambda m, x: tuple(m.linalg.qr(x)),
    "qr_R": lambda m, x: m.linalg.qr(x)[1],
    "complete": lambda m, x: tuple(t.detach() for t in m.linalg.qr(x, mode="complete")),
    "geqrf": lambda m, x: tuple(m.geqrf(x.detach())),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "svd": lambda m, x: m.linalg.svd(x, full_matrices=False).U ** 2,
    "svd_V": lambda m, x: m.svd(x).V.abs(),
    "eigvalsh": lambda m, x: m.linalg.eigvalsh(x, UPLO="U"),
    "eigh": lambda m, x: m.linalg.eigh(x + x.mT).eigenvectors ** 2,
    "pinv": lambda m, x: m.linalg.pinv(x),
    "pinv_atol": lambda m, x: m.linalg.pinv(x, atol=0.5),
    "matrix_rank": lambda m, x: m.linalg.matrix_rank(x),
    "lstsq": lambda m, x: m.linalg.lstsq(x, x[..., :1] ** 2 + 1).solution,
    "lstsq_gelsd": lambda m, x: tuple(m.linalg.lstsq(x, x[..., :2] ** 2, driver="gelsd")[:2]),
    "matrix_exp": lambda m, x: m.linalg.matrix_exp(x),
    "matrix_power": lambda m, x: m.linalg.matrix_power(x, -2),
    "cond": lambda m, x: m.linalg.cond(x),
    "cond_fro": lambda m, x: m.linalg.cond(x.detach(), "fro"),
    "norm_2": lambda m, x: m.linalg.norm(x, 2, (-2, -1)),
    "norm_nuc": lambda m, x: m.linalg.matrix_norm(x, "nuc", keepdim=True),
    "norm_inf": lambda m, x: m.linalg.matrix_norm(x, float("inf")),
    "vander": lambda m, x: m.linalg.vander(x, N=4),
    "vecdot": lambda m, x: m.linalg.vecdot(x, x + 1),
}


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name, dtype):
    for seed, shape in enumerate(SHAPES):
        compare(
            CALLS[name],
            (a(shape, seed),),
            dtype,
            ulps=4096,
            message=name,
            atol=1e-3 if dtype == "float32" else 1e-9,
        )


@pytest.mark.parametrize("name", CALLS)
def test_both_raise(name):
    """Where PyTorch raises on these shapes and dtypes, so does dlgrad, and the same kind of error."""
    inputs = [both(a(s)) for s in SHAPES] + [
        both(np.zeros((3, 3))),
        both(np.zeros((2, 2, 2))),
        both(np.ones(3)),
        both(np.ones(())),
    ]
    inputs += [both(np.ones((2, 2)), t) for t in ("int64", "float16", "bool")]
    for ours, theirs in inputs:
        _, expected = outcome(lambda: CALLS[name](torch, theirs))
        _, actual = outcome(lambda: CALLS[name](dlgrad, ours))
        if expected is None:
            assert actual is None, (name, theirs.shape, theirs.dtype, repr(actual))
            continue
        assert actual is not None, (name, theirs.shape, theirs.dtype, repr(expected))
        if isinstance(expected, torch.linalg.LinAlgError):
            assert isinstance(actual, dlgrad.linalg.LinAlgError), (
                name,
                repr(expected),
                repr(actual),
            )
            assert str(actual) == str(expected)


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 2, 2), ()])
def test_pinv_with_a_threshold_of_its_own_shape(shape):
    A = np.random.default_rng(0).normal(size=(3, 3))  # noqa: N806
    grads = []
    for module in (dlgrad, torch):
        x = module.tensor(A).requires_grad_()
        y = module.linalg.pinv(x, module.full(shape, 1e-9, dtype=module.float64))
        (y * y).sum().backward()
        grads.append(np.asarray(x.grad.tolist()))
    np.testing.assert_allclose(*grads, atol=1e-10)
