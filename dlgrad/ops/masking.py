"""Masks among the indices of x[...]: what is written through one without a list of the positions where it holds, and these
positions."""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import record
from ..autograd.mode import mode
from ..layout import Layout, contiguous, layout
from ..plan import make_plan, remember, write
from ..tensor import Tensor, make_tensor
from .mask import _count_true, nonzero
from .ternary import _number_for, fill_masked
from .writing import check_inplace, settle, unrecorded

_spreads: dict = {}  # the layouts of what is written to, of the mask and of the values -> plan


def put_masked(self, key, value, name="__setitem__"):
    """self[key] = value for a key with one mask, in place and in the graph, without a list of positions. False: nothing was
    done, as it takes such a list, or is wrong."""
    x, mask, behind = _masked_part(self, key)
    if mask is None or x._layout.dtype.is_complex:
        return False
    number = type(value) is float or type(value) is int
    if number:
        if _number_for(x._layout.dtype, value) is None:
            return False
    elif type(value) is not Tensor or type(value._layout) is not Layout:
        return False
    elif value._layout.numel == 1:
        value = value.clone() if value._storage is self._storage else value
        value = value if value._layout.ndim == 0 else value.reshape(())
        if not value._layout.dtype.is_complex:
            value = value.to(x._layout.dtype)
    elif value._layout.dtype is not x._layout.dtype or value._storage is self._storage:
        return False
    check_inplace(name, self)
    lay = mask._layout
    wide = mask
    if behind:
        wide = make_tensor(mask._ptr, layout(dt.bool, (*lay.shape, *[1] * behind), (*lay.strides, *[0] * behind)), mask._storage)
    plain = unrecorded(x) and (number or not (value._requires_grad and mode.enabled and value.requires_grad))
    if number or value._layout.ndim == 0:
        if not plain or not fill_masked(x, wide, value):
            x.masked_fill_(wide, value)
        return True
    if value._layout.ndim <= behind:  # the same for all positions
        return plain and fill_masked(x, wide, value)
    if behind or x._layout.ndim > lay.ndim or value._layout.ndim != 1 or _count_true(mask) != value._layout.numel:
        return False
    if not value._layout.contiguous or not plain and x._view is not None:
        x.masked_scatter_(mask, value)
        return True
    plan = _spreads.get((x._layout, lay, value._layout))
    if plan is None:
        plan = make_plan("scatter", "masked_scatter", (x._layout,), (lay, value._layout), name=name, into=True)
        remember(_spreads, (x._layout, lay, value._layout), plan)
    write(plan, x, mask, value)
    if not plain:
        result = make_tensor(x._ptr, x._layout, x._storage)
        settle(name, x, record(result, "IndexPutBackward0", (lambda g, m: g.masked_fill(m, 0.0), lambda g, m: g[m]), (x, value), (mask,)))
    return True


def _masked_part(self, key):
    """For a key with one mask among integers, slices, None and Ellipsis: the view that the others make of `self`, the mask,
    and how many dimensions of the view lie behind those of the mask. (self, None, 0) for others."""
    none = self, None, 0
    lay = self._layout
    if type(lay) is not Layout or 0 in lay.strides:
        return none
    if type(key) is Tensor:
        mask, x, before = key, self, 0
        shape = lay.shape
    elif type(key) is tuple:
        at = [i for i, k in enumerate(key) if type(k) is Tensor]
        if len(at) != 1 or not all([type(k) in (int, slice, Tensor, type(None)) for k in key]):
            return none
        mask, at = key[at[0]], at[0]
        if mask._layout.dtype is not dt.bool or len(key) + mask._layout.ndim - 1 - sum([k is None for k in key]) > lay.ndim:
            return none
        x = self[(*key[:at], *[slice(None)] * mask._layout.ndim, *key[at + 1 :])]
        before = len([k for k in key[:at] if type(k) is not int])
        shape = x._layout.shape
    else:
        return none
    m = mask._layout
    if m.dtype is not dt.bool or not m.ndim or type(m) is not Layout or mask._storage is self._storage:
        return none
    if m.shape != shape[before : before + m.ndim]:
        return none
    return x, mask, len(shape) - before - m.ndim


def _positions(mask):
    """Where a mask of one dimension holds."""
    found = nonzero(mask)
    return make_tensor(found._ptr, contiguous(dt.int64, (found._layout.shape[0],)), found._storage)


def without_masks(self, key):
    """A key with the positions of its masks of one dimension in their place; None for one that has no mask, or other ones."""
    if type(key) is Tensor and key._layout.dtype is dt.bool and key._layout.ndim == 1:
        lay = self._layout
        fits = type(lay) is type(key._layout) is Layout and key._layout.shape == lay.shape[:1]
        return _positions(key) if fits else None
    parts = key if type(key) is tuple else (key,)
    if not any([type(k) is Tensor and k._layout.dtype is dt.bool for k in parts]) or type(self._layout) is not Layout:
        return None
    shape, dim, new = self._layout.shape, 0, []
    for k in parts:
        kind = type(k)
        if kind is Tensor and k._layout.dtype is dt.bool:
            m = k._layout
            if type(m) is not Layout or m.ndim != 1 or dim >= len(shape) or m.shape[0] != shape[dim]:
                return None
            k = _positions(k)
        elif kind is not int and kind is not slice and (kind is not Tensor or k._layout.dtype is not dt.int64):
            return None
        dim += 1
        new.append(k)
    return tuple(new) if type(key) is tuple else new[0]
