"""What all of linalg shares: checks of its arguments, batches, the call of the kernels, and the errors."""

from __future__ import annotations

from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..batched import every_member
from ..layout import broadcast_shapes, contiguous
from ..ops import eye
from ..ops.create import new_tensor
from ..ops.writing import write_out
from ..tensor import Tensor


class LinAlgError(RuntimeError):
    """A matrix that is singular, not positive definite, or on which an iteration did not converge."""


def result_type(name, fields):
    """A named tuple, such as PyTorch's in `torch.return_types`."""
    kind = namedtuple(name, fields)
    kind.__module__ = "dlgrad.return_types"
    return kind


def need_tensor(name, *values):
    """Raises TypeError unless all are Tensors."""
    for t in values:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): expected a Tensor, got {type(t).__name__}")


def need_dims(name, t):
    """Raises unless `t` has the dimensions of a matrix."""
    if t._layout.ndim < 2:
        raise RuntimeError(
            f"{name}: The input tensor A must have at least 2 dimensions, got shape {list(t._layout.shape)}"
        )


def need_square(name, t):
    """Raises unless `t` is of square matrices."""
    need_dims(name, t)
    m, n = t._layout.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {m} by {n} matrices (shape {list(t.shape)})"
        )


def need_matrix(name, *tensors, square=False, complex_too=False):
    """Raises unless all are float32 or float64 (`complex_too`: or complex) tensors of matrices, all of one dtype, and the
    first one `square`."""
    need_tensor(name, *tensors)
    first = tensors[0]._layout.dtype
    for t in tensors:
        need_dims(name, t)
        need_float(name, t, complex_too)
        if t._layout.dtype is not first:
            raise RuntimeError(
                f"{name}: Expected all inputs to have the same dtype, but found {first.name} and {t.dtype.name}"
            )
    if square:
        need_square(name, tensors[0])


def need_float(name, t, complex_too=False):
    """Raises unless `t` is of float32 or float64, or `complex_too` and complex."""
    dtype = t._layout.dtype
    if dtype.is_complex:
        if complex_too:
            return
        raise RuntimeError(
            f"{name}: not implemented for {dtype.name}; use float32 or float64, on the real and the imaginary part"
        )
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {dtype.name}"
        )
    if dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"{name}: Low precision dtypes not supported. Got {dtype.name}; use float32 or float64"
        )


def batched(name, *tensors):
    """Matrices whose batch dimensions are expanded to their common shape."""
    batch = broadcast_shapes(*[t._layout.shape[:-2] for t in tensors], op=name)
    return tuple([t if t._layout.shape[:-2] == batch else t.expand((*batch, *t._layout.shape[-2:])) for t in tensors])


def call(row, like, outputs, inputs, ints=(), name=None):
    """Runs a row of zig/ops/linalg.zig on matrices of equal batch dimensions.

    outputs: the core shape of each result, None for one that is left out; a result of whole numbers
    (pivots, info) has the core shape's first entry "int"."""
    batch = tuple(like._layout.shape[:-2])
    dtype = like._layout.dtype

    def lay(core):
        if core is None:
            return None
        return (
            contiguous(dt.int32, (*batch, *core[1:]))
            if core[:1] == ("int",)
            else contiguous(dtype, (*batch, *core))
        )

    outs = tuple(map(lay, outputs))
    return door.call(
        "linalg", row, outs if len(outs) > 1 else outs[0], inputs, ints=ints, name=name
    )


def undifferentiable(name):
    """The rule of an operation that has no derivative: it raises."""

    def rule(*_):
        raise RuntimeError(f"derivative for {name} is not implemented")

    return rule


def first_failure(info):
    """(number in the batch, info) of the first matrix whose info is not 0, or None."""
    info = every_member(info)
    if info._layout.ndim == 0:
        value = info.item()
        return (0, value) if value else None
    return next(((i, v) for i, v in enumerate(info.reshape(-1).tolist()) if v), None)


def raise_for(name, info, message=None):
    """Raises LinAlgError where `info` is not 0 somewhere: "name: (Batch element i): message(info)"."""
    failed = first_failure(info)
    if failed is not None:
        raise failure(name, *failed, info._layout.ndim, message)


def _not_converged(value):
    if value < 0:
        return (
            "The algorithm failed to converge because the input matrix contained non-finite values."
        )
    return (
        "The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated singular values "
        f"(error code: {value})."
    )


# What `info` means, for the kernels that look at it themselves
_SINGULAR = {
    "torch.linalg.solve": "The solver failed because the input matrix is singular.",
    "linalg.inv": "The diagonal element {0} is zero, the inversion could not be completed because the input matrix is singular.",
    "torch.linalg.lu_factor": "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want "
    "to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
    "torch.linalg.lstsq": "The rank of the matrix is in doubt.",
    "cholesky": "The factorization could not be completed because the input is not positive-definite (the leading minor of order "
    "{0} is not positive-definite).",
}  # fmt: skip


def failure(name, number, info, batched, message=None):
    """The error where matrix `number` of a batch has this `info`; `message(info)` says what it means."""
    where = f"(Batch element {number}): " if batched else ""
    if name in ("linalg.svd", "linalg.eigh"):
        message = _not_converged
    what = (
        _SINGULAR[name.removeprefix("linalg.") if name.endswith("cholesky") else name].format(info)
        if message is None
        else message(info)
    )
    return LinAlgError(f"{name}: {where}{what}")


def layout_of(t):
    """The layout of a Tensor, None for anything else."""
    return t._layout if isinstance(t, Tensor) else None


def learnt(op, cache, key, row, outputs, inputs, ints=(), name=None, floats=()):
    """A plan of `row` with the results' layouts `outputs` for these inputs, kept in `cache`, which `op` (of `quick`; or
    None) learns where the layouts are plain."""
    plan = door.make_plan("linalg", row, outputs, inputs, ints, floats, name)
    door.remember(cache, key, plan)
    if op is not None and type(plan) is door.Plan:
        door.learn(op, [lay for lay in inputs if lay is not None], plan)
    return plan


def identity(like, n, columns=None):
    """The (n, columns) identity of this tensor's dtype and batch. A view that repeats one matrix."""
    one = eye(n, n if columns is None else columns, dtype=like._layout.dtype)
    return one.expand((*like._layout.shape[:-2], *one._layout.shape))


def nothing(like, dtype=None):
    """A tensor of no elements: a result that was not asked for."""
    return new_tensor(contiguous(dtype or like._layout.dtype, (0,)))


def written(name, out, result):
    """`result`, or `out` with it written into."""
    return result if out is None else write_out(name, out, result)
