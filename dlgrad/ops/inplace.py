"""Methods that write into their tensor: fill_, zero_, copy_; and those that give it other memory."""

from __future__ import annotations

from .._lib import ffi
from .._native import pointer
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import Layout
from ..layout import contiguous as row_major_layout
from ..plan import make_plan, not_again, remember, write
from ..storage import allocate
from ..tensor import Tensor, make_tensor, method
from .checked import checked
from .create import _sizes, empty, fill_quickly, fill_with, zeros_like
from .elementwise import as_number, is_scalar
from .writing import check_inplace, check_writable, copy_into, replace_history, settle, unrecorded


@method
def fill_(self, value):
    """Writes the number (or the 0-d tensor's value) into all elements."""
    if isinstance(value, Tensor):
        if value._layout.ndim:
            raise RuntimeError(
                f"fill_(): only supports 0-dimension value tensor but got tensor with {value._layout.ndim} dimensions"
            )
        return self.copy_(value.expand(tuple(self._layout.shape)))
    kind = type(value)
    if (kind is float or kind is int) and unrecorded(self) and fill_quickly(self, value):
        return self
    if not is_scalar(value):
        raise TypeError(f"fill_(): argument 'value' must be Number, not {type(value).__name__}")
    value = as_number(value)
    return _write(self, "fill_", lambda t: fill_with(t, value, "fill_"))


@method
def zero_(self):
    """Writes zeros."""
    if unrecorded(self) and fill_quickly(self, 0):
        return self
    return _write(self, "zero_", lambda t: fill_with(t, 0, "zero_"))


def _write(t, name, write):
    """A write of one constant into `t`, by `write(t)`: in the graph, `t` becomes a constant. Elements that share
    memory all take it, so `t` may be expanded."""

    check_inplace(name, t)
    wanted = mode.enabled and t.requires_grad
    write(t)
    return settle(name, t, make_tensor(t._ptr, t._layout, t._storage)) if wanted else t


_copies: dict = {}  # (layout written to, layout read) -> plan


def _keep_copy_plan(to, of):
    """A plan for the next copy between these, if nothing about it needs a closer look."""
    if type(to) is Layout and type(of) is Layout and not to.dtype.is_complex and not of.dtype.is_complex and 0 not in to.strides:
        remember(_copies, (to, of), make_plan("cast", "copy", (to,), (of,), name="copy_", into=True))


@method
def copy_(self, src, non_blocking=False):
    """Writes `src` (broadcast to this shape, converted to this dtype) over this tensor."""

    if (
        type(src) is Tensor
        and src._storage is not self._storage
        and unrecorded(self)
        and (not src._requires_grad or not mode.enabled or not src.requires_grad)
    ):
        plan = _copies.get((self._layout, src._layout))
        if plan is not None:
            write(plan, self, src)
            return self
        if self._layout.shape == src._layout.shape:
            _keep_copy_plan(self._layout, src._layout)
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'src' must be Tensor, not {type(src).__name__}")
    check_inplace("copy_", self)
    check_writable("copy_", self)
    if src is self:
        not_again()  # the checks stand for this tensor only
        return self
    shape = tuple(self._layout.shape)
    if tuple(src._layout.shape) != shape:
        extra = src._layout.ndim - len(shape)
        if extra > 0 and tuple(src._layout.shape[:extra]) == (1,) * extra:
            src = src.reshape(tuple(src._layout.shape[extra:]))
        src = src.expand(shape)
    if (
        mode.enabled
        and (self.requires_grad or src.requires_grad)
        and (self._layout.dtype.is_floating_point or self._layout.dtype.is_complex)
    ):
        return replace_history("copy_", self, lambda _: _copied(self, src), reads=False)
    copy_into(self, src)
    return self


def _copied(t, src):
    """`src` in the dtype of `t` and in a graph of which `t` is the past (so that its gradient is 0)."""
    have, want = src._layout.dtype, t._layout.dtype
    if have.is_complex is not want.is_complex:
        return src.to(want)
    value = src.detach().to(want)
    past = t if t._view is None else None  # a view's is cut out of its base's
    return record(value, "CopyBackwards", (zeros_like, lambda g: g.to(have)), (past, src))


@method
def set_(self, source=None):
    """Makes this tensor hold the memory of `source`."""
    source = source if source is not None else empty(0, dtype=self._layout.dtype)
    self.data = source
    return self


@method
def resize_(self, *sizes, memory_format=None):
    """Another shape in place: the elements that fit stay, new ones are not initialised."""
    shape = _sizes("resize_", sizes)
    if self.requires_grad:
        raise RuntimeError("resize_(): cannot resize variables that require grad")
    if type(self._layout) is not Layout:
        raise RuntimeError("vmap: resize_() of a batched tensor is not possible; make a new one with new_empty()")
    if tuple(self._layout.shape) == tuple(shape) and memory_format is None:
        return self  # with its strides
    lay = row_major_layout(self._layout.dtype, shape)
    if lay.nbytes + self._offset() > self._storage.nbytes:
        storage = allocate(lay.nbytes, f"resize_ to {list(shape)}")
        keep = min(self._storage.nbytes - self._offset(), lay.nbytes)
        if keep > 0:
            ffi.memmove(pointer(storage.ptr), pointer(self._ptr), keep)
        self._storage, self._ptr = storage, storage.ptr
    self._layout = lay
    return self


@method
@checked
def resize_as_(self, other, memory_format=None):
    """`resize_` to the shape of `other`."""
    return self.resize_(tuple(other._layout.shape))
