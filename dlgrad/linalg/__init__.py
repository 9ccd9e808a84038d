"""Linear algebra (PyTorch's `torch.linalg`): float32 and float64, batches, any strides. Complex matrices too, but for
LU, lstsq, eig, and ldl_factor. Eigenvalues and singular values are computed in float64.

The kernels are in zig/ops/linalg.zig. A function that can fail on its numbers raises `LinAlgError`, its `_ex` form
returns `info` instead."""

from ..ops import memos
from ..ops.matmul import matmul  # noqa: F401
from ..ops.vector_norm import vector_norm  # noqa: F401
from ._base import LinAlgError  # noqa: F401
from ._general import eig, eigvals  # noqa: F401
from ._orthogonal import householder_product, lstsq, qr  # noqa: F401
from ._products import (  # noqa: F401
    cross,
    diagonal,
    matrix_exp,
    matrix_power,
    multi_dot,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
)  # fmt: skip
from ._solve import (  # noqa: F401
    cholesky,
    cholesky_ex,
    det,
    inv,
    inv_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
)  # fmt: skip
from ._spectral import cond, eigh, eigvalsh, matrix_norm, matrix_rank, norm, pinv, svd, svdvals  # noqa: F401
from ._symmetric import ldl_factor, ldl_factor_ex, ldl_solve  # noqa: F401

memos.remember_functions(globals(), memos.LINALG)
