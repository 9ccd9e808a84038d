"""The product of matrices of 8-bit integers, summed in 32 bits."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..layout import contiguous
from ..tensor import Tensor

_NAME = "int_mm_out_cpu"


def _check(input, mat2):
    for what, t in (("self", input), ("mat2", mat2)):
        if not isinstance(t, Tensor):
            raise TypeError(f"_int_mm(): argument '{what}' must be Tensor, not {type(t).__name__}")
    la, lb = input._layout, mat2._layout
    for what, lay in (("self", la), ("mat2", lb)):
        if lay.ndim != 2:
            raise RuntimeError(f"{_NAME}: Expected {what} to be of dimension 2 but got {lay.ndim}")
    if la.shape[1] != lb.shape[0]:
        raise RuntimeError(
            f"{_NAME}: self.size(1) needs to match mat2.size(0) but got {la.shape[1]} and {lb.shape[0]}"
        )
    if la.dtype not in (dt.int8, dt.uint8):
        raise RuntimeError(
            f"{_NAME}: Expected self dtype to be int8 or uint8 but got {la.dtype.name}"
        )
    if lb.dtype is not dt.int8:
        raise RuntimeError(
            f"{_NAME}: Expected mat2 dtype to be of type int8 but got {lb.dtype.name}"
        )


def _anew(input, mat2):
    _check(input, mat2)
    la, lb = input._layout, mat2._layout
    out = contiguous(dt.int32, (la.shape[0], lb.shape[1]))
    plan = door.make_plan("matmul", "int_mm", (out,), (la, lb), name="_int_mm")
    if type(plan) is door.Plan:
        door.learn(_product, (la, lb), plan)
    return door.run(plan, input, mat2)


_product = door.quick(_anew, lambda plan, choice: None, 2)


def _int_mm(input, mat2, *, out=None):
    """The product of an int8 or uint8 matrix (m, k) and an int8 matrix (k, n), as int32 (m, n): exact, unless a sum
    passes 2^31. `out`: int32 of that shape. Raises RuntimeError for other dtypes and shapes that don't fit."""
    if out is None:
        return _product(input, mat2)
    _check(input, mat2)
    if out._layout.dtype is not dt.int32:
        raise RuntimeError(
            f"{_NAME}: Expected result dtype to be of type kInt but got {out._layout.dtype.name}"
        )
    wanted = (input._layout.shape[0], mat2._layout.shape[1])
    for i in range(2):
        if out._layout.ndim != 2 or out._layout.shape[i] != wanted[i]:
            got = out._layout.shape[i] if out._layout.ndim > i else 0
            raise RuntimeError(
                f"{_NAME}: Expected result.size({i}) to be {wanted[i]} but got {got}"
            )
    return out.copy_(_product(input, mat2))
