"""dlgrad.linalg on complex matrices against torch.linalg: values, first and second derivatives, what is raised."""

import numpy as np
import pytest
import torch

import dlgrad

from .both import outcome

SHAPES = [(1, 1), (4, 4), (2, 3, 3), (5, 3), (2, 3, 5), (0, 3, 3), (0, 0), (3, 0), (0, 3)]


def matrices(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape) + 2 * np.eye(*shape[-2:])


def spd(m, x):
    """Positive definite, with different eigenvalues."""
    return x @ x.mH + m.diag(m.arange(1, x.shape[-2] + 1, dtype=x.real.dtype))


def parts(u, s, vh):
    return u.abs(), s, vh.abs(), (u * s.unsqueeze(-2) ** 1.5) @ vh


def spectrum(w, v):
    return w, v.abs(), (v * w.unsqueeze(-2).sin()) @ v.mH


# Of what is defined up to phases, what does not depend on them.
CALLS = {
    "inv": lambda m, x: m.linalg.inv(x),
    "det": lambda m, x: m.linalg.det(x),
    "slogdet": lambda m, x: (lambda r: r.sign * (1 + r.logabsdet))(m.linalg.slogdet(x)),
    "solve": lambda m, x: m.linalg.solve(x, 2 * x * x + 1),
    "solve right": lambda m, x: m.linalg.solve(x, x * x, left=False),
    "cholesky": lambda m, x: m.linalg.cholesky(spd(m, x)),
    "cholesky upper": lambda m, x: m.linalg.cholesky(spd(m, x), upper=True),
    "qr": lambda m, x: tuple(m.linalg.qr(x)),
    "qr R": lambda m, x: m.linalg.qr(x.detach(), "r").R,
    "svd": lambda m, x: parts(*m.linalg.svd(x, full_matrices=False)),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "eigh": lambda m, x: spectrum(*m.linalg.eigh(x + x.mH)),
    "eigh upper": lambda m, x: spectrum(*m.linalg.eigh(spd(m, x), "U")),
    "eigvalsh": lambda m, x: m.linalg.eigvalsh(x + x.mH),
    "upper": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=True),
    "lower": lambda m, x: m.linalg.solve_triangular(x, x * x, upper=False, left=False),
    "unit": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=True, unitriangular=True),
    "matrix_exp": lambda m, x: m.linalg.matrix_exp(x),
    "pinv": lambda m, x: m.linalg.pinv(x),
    "pinv hermitian": lambda m, x: m.linalg.pinv(x + x.mH, hermitian=True),
    "matrix_rank": lambda m, x: m.linalg.matrix_rank(x),
    "matrix_power": lambda m, x: m.linalg.matrix_power(x, -2),
    "nuc": lambda m, x: m.linalg.matrix_norm(x, "nuc"),
    "fro": lambda m, x: m.linalg.matrix_norm(x),
    "1": lambda m, x: m.linalg.matrix_norm(x, 1),
    "-2": lambda m, x: m.linalg.matrix_norm(x, -2),
    "cond": lambda m, x: m.linalg.cond(x),
    "cond 1": lambda m, x: m.linalg.cond(spd(m, x).detach(), 1),  # (PyTorch's derivative raises)
    "vecdot": lambda m, x: m.linalg.vecdot(x, x + 1),
}  # fmt: skip


def measured(m, call, x, second=True):
    """What the call gives, the gradient of a real function of it, and the gradient of that."""
    outputs = call(m, x)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    found = [t.detach() for t in outputs]
    loss = sum((t.abs() * (1 + t.real / 3)).sum() for t in outputs if t.requires_grad)
    if not isinstance(loss, int) and x.numel():
        (g,) = m.autograd.grad(loss, x, create_graph=second)
        found.append(g.detach())
        if second:
            found.append(m.autograd.grad((g.abs() ** 2).sum() + g.real.sum(), x)[0])
    return found


def arrays(found):
    return [t.resolve_conj().numpy() for t in found]


@pytest.mark.parametrize("dtype", ("complex128", "complex64"))
@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives(name, dtype):
    for seed, shape in enumerate(SHAPES):
        a = matrices(shape, seed).astype(dtype)
        second = dtype == "complex128" and shape[-1] == shape[-2]
        ours, theirs = (
            m.tensor(a.tolist(), dtype=getattr(m, dtype)).reshape(shape).requires_grad_()
            for m in (dlgrad, torch)
        )
        want, raised = outcome(lambda: arrays(measured(torch, CALLS[name], theirs, second)))
        got, error = outcome(lambda: arrays(measured(dlgrad, CALLS[name], ours, second)))
        assert (raised is None) == (error is None), (name, shape, raised, error)
        if raised is not None:
            assert isinstance(error, type(raised)), (name, shape, raised, error)
            continue
        assert len(got) == len(want)
        for i, (g, w) in enumerate(zip(got, want)):
            assert (g.dtype, g.shape) == (w.dtype, w.shape), (name, shape, i)
            if dtype == "complex128":
                np.testing.assert_allclose(g, w, 1e-8, 1e-8, err_msg=f"{name} {shape} {i}")
            elif i < len(want) - 1:
                np.testing.assert_allclose(g, w, 1e-3, 1e-3, err_msg=f"{name} {shape} {i}")


def test_what_is_singular_raises():
    for call in ("inv", "cholesky"):
        for a in (np.zeros((3, 3)), np.diag([1, 1, 0]), -np.eye(2), np.ones((2, 2, 2))):
            ours, theirs = (m.tensor(a.tolist(), dtype=m.complex128) for m in (dlgrad, torch))
            _, raised = outcome(lambda: getattr(torch.linalg, call)(theirs))
            _, error = outcome(lambda: getattr(dlgrad.linalg, call)(ours))
            assert str(raised) == str(error)


@pytest.mark.parametrize("loss", [
    lambda m, x: m.linalg.eigh(x + x.mH).eigenvectors.real.sum(),
    lambda m, x: m.linalg.svd(x).U.real.sum(),
    lambda m, x: (m.linalg.svd(x).U * m.linalg.svd(x).Vh.mT).real.sum(),
])  # fmt: skip
def test_a_gradient_that_is_not_defined_raises(loss):
    a = matrices((3, 3))
    for m in (torch, dlgrad):
        x = m.tensor(a.tolist(), dtype=m.complex128).requires_grad_()
        with pytest.raises(RuntimeError, match="specified up to multiplication by"):
            loss(m, x).backward()


def test_gradient_of_a_determinant_of_0():
    a = [[0, 1j, 0], [2, 0, 0], [0, 0, 0]]
    x = dlgrad.tensor(a, dtype=dlgrad.complex128).requires_grad_()
    dlgrad.linalg.det(x).real.backward()
    want = np.zeros((3, 3), complex)
    want[2, 2] = np.conj(-2j)  # the cofactor's conjugate
    np.testing.assert_allclose(x.grad.numpy(), want, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("kind", ["zeros", "rank 1", "real", "diagonal", "repeated"])
def test_degenerate_matrices(shape, kind):
    """Factors of matrices with repeated or no singular values are unitary and multiply back."""
    m, n = shape
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))
    a = {
        "zeros": np.zeros(shape),
        "rank 1": np.outer(u[:m], v[:n]),
        "real": rng.normal(size=shape),
        "diagonal": np.eye(m, n) * 1j,
        "repeated": 2 * np.eye(m, n),
    }[kind]
    x = dlgrad.tensor(a.tolist(), dtype=dlgrad.complex128)

    def unitary(q):
        return (q.mH @ q - dlgrad.eye(q.shape[-1])).abs().max().item() < 1e-12

    q, r = dlgrad.linalg.qr(x, "complete")
    assert unitary(q) and (q @ r - x).abs().max().item() < 1e-12
    u, s, vh = dlgrad.linalg.svd(x)
    k = min(shape)
    assert unitary(u) and unitary(vh) and ((u[:, :k] * s) @ vh[:k] - x).abs().max().item() < 1e-12
    if m == n:
        h = x + x.mH
        w, v = dlgrad.linalg.eigh(h)
        assert unitary(v) and ((v * w) @ v.mH - h).abs().max().item() < 1e-12
