"""Linear algebra of complex matrices, by the kernels of real ones.

A complex number as the real matrix [[a, -b], [b, a]] makes of a complex matrix a real one of twice the size
(`embedded`). Products, adjoints, inverses, pseudoinverses and Cholesky factors of it are the embedded ones of the
complex matrix: these functions call the real ones, derivatives included. Its singular values are those of the complex
one, each twice. Orthogonal factors are not unique, so they are made by Householder reflections (LAPACK's zgeqrf,
zhetrd, zgebrd), which leave a real tridiagonal or bidiagonal matrix to the real kernels.
"""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import record, record_several, wants_grad
from ..autograd.mode import mode, no_grad
from ..batched import every_member
from ..ops import cat, eye, stack, where, zeros
from ..ops.complex_numbers import complex as from_parts
from ..ops.complex_numbers import from_real


def adjoint(A):
    """The conjugate transpose."""
    return A.mT.conj()


# ---------------------------------------------------------------------- as real matrices


def embedded(A):
    """A (..., m, n) with [[a, -b], [b, a]] for each a + ib: real, (..., 2m, 2n)."""
    a, b = A.real, A.imag
    rows = stack((stack((a, -b), -1), stack((b, a), -1)), -3)  # (..., m, 2, n, 2)
    m, n = A._layout.shape[-2:]
    return rows.reshape((*A._layout.shape[:-2], 2 * m, 2 * n))


def extracted(M):
    """The complex matrices (..., m, n) whose `embedded` M is."""
    m, n = (size // 2 for size in M._layout.shape[-2:])
    parts = M.reshape((*M._layout.shape[:-2], m, 2, n, 2))
    return from_parts(parts[..., 0, :, 0], parts[..., 1, :, 0])


def _as_rows(B):
    """(..., n, k) complex as (..., 2n, k) real: the real and the imaginary part of each row."""
    n, k = B._layout.shape[-2:]
    return stack((B.real, B.imag), -2).reshape((*B._layout.shape[:-2], 2 * n, k))


def _number(info):
    """The row of the complex matrix for one of the embedded matrix, counted from 1; 0 stays 0."""
    return (info + 1) // 2


def solve(A, B):
    """(A^-1 B, info) of equal batches; info as in `solve_ex`."""
    from ._solve import solve_matrices

    X, info = solve_matrices(embedded(A), _as_rows(B))
    n, k = B._layout.shape[-2:]
    parts = X.reshape((*X._layout.shape[:-2], n, 2, k))
    return from_parts(parts[..., 0, :], parts[..., 1, :]), _number(info)


def triangle(A, upper, unit):
    """The upper or lower triangle of A, with ones on the diagonal where that is to be `unit`."""
    T = A.triu(int(unit)) if upper else A.tril(-int(unit))
    return T + _one(A, A._layout.shape[-1]) if unit else T


def matrix_exp(A):
    """The exponential."""
    from ._products import matrix_exp as real_matrix_exp

    return extracted(real_matrix_exp(embedded(A)))


def inv(A):
    """(A^-1, info)."""
    from ._solve import inv_ex

    inverse, info = inv_ex(embedded(A))
    return extracted(inverse), _number(info)


def cholesky(A, upper):
    """(L, info) of A = L L^H, or (U, info) of A = U^H U, from one triangle of A."""
    from ._solve import cholesky_ex

    L, info = cholesky_ex(embedded(_hermitian(A, upper)))
    L = extracted(L)
    return adjoint(L) if upper else L, _number(info)


def _hermitian(A, upper):
    """The Hermitian matrix with this triangle of A, and the real parts of its diagonal."""
    triangle = A.triu(1) if upper else A.tril(-1)
    diagonal = from_real(A.diagonal(0, -2, -1).real, A._layout.dtype)
    return triangle + adjoint(triangle) + diagonal.unsqueeze(-1) * _one(A, A._layout.shape[-1])


def pinv(A, least, hermitian):
    """The pseudoinverse; singular values up to `least` (a tensor of the batch's shape) count as 0."""
    from ._spectral import pinv as real_pinv

    A = _hermitian(A, False) if hermitian else A
    return extracted(real_pinv(embedded(A), atol=least, rtol=0.0))


def svdvals(A):
    """The singular values, descending."""
    from ._spectral import svdvals as real_svdvals

    if wants_grad(A):
        return svd(A, False)[1]
    return real_svdvals(embedded(A))[..., ::2]


def eigvalsh(A, upper):
    """The eigenvalues of Hermitian matrices, ascending, from one triangle."""
    from ._spectral import eigvalsh as real_eigvalsh

    if wants_grad(A):
        return eigh(A, upper)[0]
    return real_eigvalsh(embedded(_hermitian(A, upper)))[..., ::2]


# ---------------------------------------------------------------------- reflections


def _one(like, n, columns=None):
    one = eye(n, n if columns is None else columns, dtype=like._layout.dtype)
    return one.expand((*like._layout.shape[:-2], *one._layout.shape))


def _doubled(A):
    """`embedded`, in float64: there the factors are computed."""
    return embedded(A.detach().to(dt.complex128)).contiguous()


def _reflect(M, row, column):
    """M becomes H^H M, H = I - tau w w^H unitary, so that the column is real in this row and 0 below it (zlarfg).

    M is `embedded`; row and column count complex numbers. Returns (row, w, tau), the reflection: w and tau embedded."""
    x = M[..., 2 * row :, 2 * column : 2 * column + 2]
    re, im = x[..., 0, 0], x[..., 1, 0]
    rest = x[..., 2:, 0].square().sum(-1)
    size = (rest + re * re + im * im).sqrt()
    flat = (rest == 0) & (im == 0)  # it is so already: H = I
    beta = where(flat, re, where(re < 0, size, -size))
    gap = re - beta
    norm = where(flat, 1.0, gap * gap + im * im)
    w = _divided(x, where(flat, 0.0, gap / norm), im / norm)
    divisor = where(flat, 1.0, beta)
    reflection = row, w, _two_by_two(where(flat, 0.0, -gap / divisor), -im / divisor)
    x.zero_()
    x[..., 0, 0] = beta
    x[..., 1, 1] = beta
    _apply_adjoint(reflection, M[..., 2 * column + 2 :])
    return reflection


def _divided(x, a, b):
    """The column x times a - ib, its first number 1: embedded. Of x the first real column only is read: what rounding
    left in the second one may be another vector, where x is small."""
    re, im = x[..., ::2, 0], x[..., 1::2, 0]
    a, b = a.unsqueeze(-1), b.unsqueeze(-1)
    w_re, w_im = re * a + im * b, im * a - re * b
    w_re[..., 0] = 1.0
    w_im[..., 0] = 0.0
    return _two_by_two(w_re, w_im).reshape(x._layout.shape)


def _two_by_two(a, b):
    """a + ib, embedded."""
    return stack((stack((a, -b), -1), stack((b, a), -1)), -2)


def _apply_adjoint(reflection, M):
    """M becomes H^H M."""
    row, w, tau = reflection
    below = M[..., 2 * row :, :]
    below.sub_(w @ (tau.mT @ (w.mT @ below)))


def _product(reflections, C):
    """H_0 H_1 ... C as complex numbers, for C whose rows are as `_as_rows` has them. Writes into C."""
    for row, w, tau in reversed(reflections):
        below = C[..., 2 * row :, :]
        below.sub_(w @ (tau @ (w.mT @ below)))
    parts = C.reshape((*C._layout.shape[:-2], C._layout.shape[-2] // 2, 2, C._layout.shape[-1]))
    return from_parts(parts[..., 0, :], parts[..., 1, :])


def _real_rows(X, rows, like):
    """A real X (..., m, n) with zeros below, as `_as_rows` has complex numbers: (..., 2 rows, n). Batched as `like`."""
    C = like.new_zeros((*X._layout.shape[:-2], 2 * rows, X._layout.shape[-1]))
    C[..., : 2 * X._layout.shape[-2] : 2, :] = X
    return C


# ---------------------------------------------------------------------- QR and determinants


def _triangular(A):
    """(R, reflections): H_0 H_1 ... R = A, R embedded, upper triangular with a real diagonal."""
    R = _doubled(A)
    return R, [_reflect(R, k, k) for k in range(min(A._layout.shape[-2:]))]


def qr(A, how):
    """(Q, R) with A = Q R, R upper triangular, its diagonal real; `how` is the mode of `linalg.qr`."""
    m, n = A._layout.shape[-2:]
    rows = m if how == "complete" else min(m, n)
    with no_grad():
        R, reflections = _triangular(A)
        if how == "r":
            Q = zeros((0,), dtype=A._layout.dtype)
        else:
            Q = _product(reflections, _real_rows(_one(R, m, rows), m, R)).to(A._layout.dtype)
        R = extracted(R)[..., :rows, :].to(A._layout.dtype)
    record_several((Q, R), "LinalgQrBackward0", lambda *args: _qr_rule(how, *args), (A,), (A, Q, R))
    return Q, R


def _qr_rule(how, gQ, gR, A, Q, R):
    """(gQ + Q sym(M)) R^-H, M = gR R^H - Q^H gQ, of which sym takes the upper triangle; wide matrices as real ones."""
    from ._orthogonal import need_differentiable

    m, n = A._layout.shape[-2:]
    need_differentiable(how, m, n)
    if mode.enabled:
        Q, R = qr(A, how)  # (with their history)
    k = min(m, n)
    gQ = zeros(tuple(Q._layout.shape), dtype=Q._layout.dtype) if gQ is None else gQ
    gR = zeros(tuple(R._layout.shape), dtype=R._layout.dtype) if gR is None else gR
    rest = None
    if n > m:
        rest = Q @ gR[..., k:]
        gQ = gQ + A[..., k:] @ adjoint(gR[..., k:])
        R, gR = R[..., :k], gR[..., :k]
    M = gR @ adjoint(R) - adjoint(Q) @ gQ
    inner = gQ + Q @ _hermitian(M, True)
    to_a = adjoint(solve(R, adjoint(inner))[0])
    return to_a if rest is None else cat((to_a, rest), -1)


def _phase_and_size(A):
    """The determinants as a number of absolute value 1 (0 for 0) and the logarithm of the absolute value. No graph."""
    with no_grad():
        R, reflections = _triangular(A)
        diagonal = R.diagonal(0, -2, -1)[..., ::2]
        phase = from_real(diagonal.sign().prod(-1), dt.complex128)
        for _, w, tau in reflections:  # the determinant of H is 1 - tau |w|^2
            turn = 1 - tau[..., 0] * w[..., 0].square().sum(-1, keepdim=True)
            phase = phase * from_parts(turn[..., 0], turn[..., 1] - 1)
        return phase, diagonal.abs().log().sum(-1)


def slogdet(A):
    """(sign, logabsdet): det A = sign exp(logabsdet), |sign| 1, or 0 where A is singular."""
    phase, size = _phase_and_size(A)
    sign, size = phase.to(A._layout.dtype), size.to(A._layout.dtype.to_real())
    record_several((sign, size), "LinalgSlogdetBackward0", _slogdet_rule, (A,), (A, sign))
    return sign, size


def _slogdet_rule(g_sign, g, A, sign):
    """(g - i Im(conj(g_sign) sign)) A^-H."""
    if mode.enabled:
        sign = slogdet(A)[0]  # (with its history)
    real_part = zeros(tuple(A._layout.shape[:-2]), dtype=A._layout.dtype.to_real())
    along = real_part if g is None else g
    around = real_part if g_sign is None else -(g_sign.conj() * sign).imag
    scale = from_parts(along, around).unsqueeze(-1).unsqueeze(-1)
    return solve(adjoint(A), scale * _one(A, A._layout.shape[-1]))[0]


def det(A):
    """The determinants."""
    phase, size = _phase_and_size(A)
    with no_grad():
        result = (phase * size.exp()).to(A._layout.dtype)
    return record(result, "LinalgDetBackward0", _det_rule, (A,), (A, None), own=1)


def _det_rule(g, A, y):
    """g conj(det A) A^-H; where a matrix is singular, its cofactors."""
    scale = (g * y.conj()).unsqueeze(-1).unsqueeze(-1)
    X, info = solve(adjoint(A), scale * _one(A, A._layout.shape[-1]))
    if not bool(every_member((y == 0) | (info != 0)).any()):
        return X
    U, S, Vh = svd(A, False)
    n = S._layout.shape[-1]
    others = where(eye(n, dtype=dt.bool), 1.0, S.unsqueeze(-2)).prod(-1)
    turn = (det(U.detach()) * det(Vh.detach())).conj() * g
    return turn.unsqueeze(-1).unsqueeze(-1) * ((U * others.unsqueeze(-2)) @ Vh)


# ---------------------------------------------------------------------- eigenvalues and singular values


def _need_no_phase(what, first, x):
    """Raises where the gradient of vectors, of which x is V^H gV, has a part along their phase (PyTorch's tolerance).

    Only when it comes `first` (a list, emptied then): in a second derivative the vectors made anew for it have one part
    of the gradient, these the other."""
    if not first or not first.pop():
        return
    turn = x.diagonal(0, -2, -1).imag.abs()
    if turn._layout.numel and every_member(turn).max().item() > 1e-2:
        raise RuntimeError(
            f"{what} in the complex case are specified up to multiplication by e^{{i phi}}. The specified loss function "
            "depends on this quantity, so it is ill-defined."
        )


def eigh(A, upper, again=False):
    """(values, vectors) of Hermitian matrices, from one triangle: real values ascending, the vectors are columns."""
    from ._spectral import eigh as real_eigh

    n = A._layout.shape[-1]
    with no_grad():
        T = _doubled(_hermitian(A, upper))
        reflections = []
        for k in range(n - 1):  # H^H T H: row and column k become real, and 0 beyond the next one
            reflections.append(_reflect(T, k + 1, k))
            _apply_adjoint(reflections[-1], T.mT[..., 2 * k :])
        values, V = real_eigh(T[..., ::2, ::2].contiguous())
        V = _product(reflections, _real_rows(V, n, V)).to(A._layout.dtype)
        values = values.to(A._layout.dtype.to_real())
    first = [not again]
    record_several(
        (values, V), "LinalgEighBackward0", lambda *args: _eigh_rule(upper, first, *args), (A,), (A, values, V)
    )  # fmt: skip
    return values, V


def _eigh_rule(upper, first, gL, gV, A, L, V):
    """V (diag gL + skew(V^H gV) / 2 E) V^H, E_ij = L_j - L_i, skew X = X - X^H."""
    if mode.enabled:
        L, V = eigh(A, upper, True)  # (with their history)
    if gV is None:
        return (V * gL.unsqueeze(-2)) @ adjoint(V)
    one = eye(A._layout.shape[-1], dtype=L._layout.dtype)
    E = L.unsqueeze(-2) - L.unsqueeze(-1) + one
    x = adjoint(V) @ gV
    _need_no_phase("linalg_eigh_backward: The eigenvectors", first, x)
    inner = 0.5 * (x - adjoint(x)) / E
    if gL is not None:
        inner = inner + gL.unsqueeze(-1) * one
    return V @ inner @ adjoint(V)


def svd(A, full_matrices, again=False):
    """(U, S, Vh) with A = U diag(S) Vh, S descending."""
    m, n = A._layout.shape[-2:]
    with no_grad():
        if m < n:
            V, S, Uh = _tall_svd(adjoint(A), full_matrices)
            U, Vh = adjoint(Uh), adjoint(V)
        else:
            U, S, Vh = _tall_svd(A, full_matrices)
        U, Vh = (t.to(A._layout.dtype).contiguous() for t in (U, Vh))
        S = S.to(A._layout.dtype.to_real())
    first = [not again]
    record_several(
        (U, S, Vh), "LinalgSvdBackward0", lambda *args: _svd_rule(first, *args), (A,), (A, U, S, Vh)
    )
    return U, S, Vh


def _tall_svd(A, full_matrices):
    """`svd` of m >= n: A = H B G^H with B real and bidiagonal (zgebrd), and the factors of B."""
    from ._spectral import svd as real_svd

    m, n = A._layout.shape[-2:]
    B = _doubled(A)
    left, right = [], []
    for k in range(n):
        left.append(_reflect(B, k, k))
        if k + 1 < n:
            right.append(_reflect(B.mT, k + 1, k))
    small, S, Vh = real_svd(B[..., : 2 * n : 2, ::2].contiguous(), full_matrices=False)
    if full_matrices and m > n:
        whole = B.new_zeros((*B._layout.shape[:-2], m, m))
        whole.diagonal(0, -2, -1).fill_(1)
        whole[..., :n, :n] = small
        small = whole
    V = _product(right, _real_rows(Vh.mT, n, B))
    return _product(left, _real_rows(small, m, B)), S, adjoint(V)


def _svd_rule(first, gU, gS, gVh, A, U, S, Vh):
    """That of real matrices (`_spectral._svd_rule`) with adjoints, and on the diagonal the phase that U and V share."""
    if mode.enabled:
        U, S, Vh = svd(A, False, True)  # (with their history)
    m, n = A._layout.shape[-2:]
    k = S._layout.shape[-1]
    U, Vh = U[..., :k], Vh[..., :k, :]
    if gU is None and gVh is None:
        return (U * gS.unsqueeze(-2)) @ Vh
    one = eye(k, dtype=S._layout.dtype)
    square = S.square()
    E = square.unsqueeze(-2) - square.unsqueeze(-1) + one
    inner = 0.0 if gS is None else gS.unsqueeze(-1) * one
    left, right = S.unsqueeze(-2), S.unsqueeze(-1)
    outside = None
    phase = 0.0
    if gU is not None:
        gU = gU[..., :k]
        phase = x = adjoint(U) @ gU
        skew = x - adjoint(x)
        inner = inner + skew / E * left
        if gVh is not None:
            inner = inner + (skew / (2 * left)) * one
        if m > k:
            outside = ((gU - U @ x) / left) @ Vh
    if gVh is not None:
        gVh = gVh[..., :k, :]
        x = Vh @ adjoint(gVh)
        phase = phase + x
        inner = inner + right * ((x - adjoint(x)) / E)
        if n > k:
            more = U @ ((gVh - adjoint(x) @ Vh) / right)
            outside = more if outside is None else outside + more
    _need_no_phase("svd_backward: The singular vectors", first, phase)
    to_a = U @ inner @ Vh
    return to_a if outside is None else to_a + outside
