"""How a step is taken: one kernel call for all parameters of a group, or Tensor operations, one by
one.

A subclass of `PerParameter` says what state a parameter has (`init_state`), what the kernel wants
(`row`, `fields`, `scalars`, `flags`: zig/ops/optim.zig), and the same update in Tensor operations
(`update`), which serves parameters that the kernel doesn't take, and differentiable optimizers.
"""

from __future__ import annotations

import struct

from .. import dtypes as dt
from .. import plan as door
from .._lib import ffi, lib
from .._native import native, offsets
from ..autograd.mode import mode
from ..layout import Layout, contiguous
from ..ops.create import new_tensor, scalar_tensor
from ..ops.elementwise import _dense
from ..ops.writing import copy_into
from ..storage import Storage
from ..tensor import Tensor, make_tensor
from .optimizer import Optimizer, as_number, evaluate, step_dtype

_TABLE = contiguous(dt.int64, ())
_plans: dict = {}


def _number_at(t):
    """The word for a float of its own that the kernel changes: its address, marked where it is a float64."""
    t._storage.version += 1
    return t._ptr + 1 if t._layout.dtype is dt.float64 else t._ptr


def table_of(entries):
    """The words that the kernel reads, as a pointer to them."""
    words = [len(entries)]
    for entry in entries:
        words += entry if native is not None else [w if type(w) is int else int(ffi.cast("uintptr_t", w)) for w in entry]
    return ffi.from_buffer("uint8_t[]", struct.pack(f"={len(words)}q", *words))


def _plan_of(row, dtype, flags):
    key = (row, dtype, flags)
    plan = _plans.get(key)
    if plan is None:
        ints = (dtype.code, flags)
        plan = door.remember(_plans, key, door.make_plan("optim", row, (_TABLE,), (), ints=ints))
    return plan


if native is not None:
    native["bind_step"]("_grad", dt.float64, Layout, *offsets(Layout, ("dtype", "numel", "contiguous")))


def run(row, entries, dtype, scalars, flags=0):
    """One call for all entries. entries: lists of ints and addresses, in the order of the row's fields."""
    plan = _plan_of(row, dtype, flags)
    if native is not None:
        native["run_table"](plan, entries, scalars)
        return
    table = table_of(entries)
    bits = struct.pack(f"={len(scalars)}d", *scalars)
    status = lib.dlgrad_call(
        plan.handle,
        ffi.new("uint8_t *[]", [table]),
        ffi.cast("int64_t *", ffi.from_buffer(bits)),
        len(scalars),
    )
    if status:
        door.raise_failure(row, [_TABLE], [])


class PerParameter(Optimizer):
    """An optimizer that updates each parameter by itself."""

    row = None  # the kernel's; None: there is none
    fields = ()  # names of the states that the kernel wants, in its order ("" leaves one out)
    extras = ()  # of those that are one number each, as the step is

    def init_state(self, group, p) -> dict:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def scalars(self, group) -> tuple:
        """The kernel's scalars."""
        raise NotImplementedError

    def flags(self, group) -> int:
        """The kernel's flags."""
        return 1 if group["maximize"] else 0

    def update(self, group, p, grad, state):
        """The step for one parameter, in Tensor operations. `grad` has its sign for `maximize`
        already."""
        raise NotImplementedError

    def new_step(self, group) -> Tensor:
        """A step count of 0."""
        return scalar_tensor(0.0, dtype=step_dtype(group.get("fused")))

    def step(self, closure=None):
        """One step of optimization, for every parameter that has a gradient.

        closure: evaluates the model again, calls backward and returns the loss, which is
        returned."""
        loss = evaluate(closure)
        before = mode.enabled
        mode.enabled = bool(self.defaults.get("differentiable"))
        try:
            for group in self.param_groups:
                self.step_group(group)
        finally:
            mode.enabled = before
        return loss

    def step_group(self, group):
        """The step for one group."""
        by_kernel = {}
        keep = []  # what an entry points at must live until the call
        kernel = self.row is not None and not group.get("differentiable") and not mode.enabled
        if kernel and len(set(group["params"])) != len(group["params"]):
            kernel = False  # a parameter that is there twice takes two steps, one after the other
        if kernel and native is not None and self._step_at_once(group):
            return
        states = self.state
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            state = states.get(p)
            if not state:
                state = self.init_state(group, p)
                if state:
                    states[p] = state
            entry = self.entry(group, p, grad, state, keep) if kernel else None
            if entry is None:
                self.update(group, p, grad.neg() if group.get("maximize") else grad, state)
            else:
                by_kernel.setdefault(p._layout.dtype, []).append(entry)
        for dtype, entries in by_kernel.items():
            run(self.row, entries, dtype, self.scalars(group), self.flags(group))

    def row_of(self, group):
        """What makes the words of a parameter behind its gradient's: the names of its state's tensors, of those of
        one number, and words that are the same for all."""
        return self.fields, (*self.extras, "step"), ()

    def _step_at_once(self, group):
        """The step in one call, if all that it takes is there and of one dtype; else False, and nothing is done."""
        params = group["params"]
        if not params:
            return False
        dtype = params[0]._layout.dtype
        if not dtype.is_floating_point:
            return False
        plan = _plan_of(self.row, dtype, self.flags(group))
        return native["run_step"](plan, dtype, params, self.state, *self.row_of(group), self.scalars(group))

    def entry(self, group, p, grad, state, keep):
        """The words of one parameter, or None where the kernel cannot take it."""
        lay = p._layout
        if not lay.dtype.is_floating_point or not lay.contiguous and not _dense(lay):
            return None
        if grad._layout is not lay:  # the same values, in the parameter's order
            ordered = new_tensor(lay, self.row)
            copy_into(ordered, grad)
            keep.append(ordered)
            grad = ordered
        words = [lay.numel, p._ptr, grad._ptr]
        for name in self.fields:
            t = state.get(name)
            if t is None:
                words.append(0)
                continue
            if t._layout is not lay:
                return None
            t._storage.version += 1
            words.append(t._ptr)
        step = state.get("step")
        for name in self.extras:
            words.append(_number_at(state[name]))
        if step is not None:
            words.append(_number_at(step))
        p._storage.version += 1
        return words

    def __setstate__(self, state):
        super().__setstate__(state)
        self.complete_groups()
        # Old checkpoints hold the step as a number.
        for group in self.param_groups:
            for p in group["params"]:
                own = self.state.get(p)
                if own and "step" in own and not isinstance(own["step"], Tensor):
                    own["step"] = scalar_tensor(
                        float(own["step"]), dtype=step_dtype(group.get("fused"))
                    )

    def complete_groups(self):
        """Adds options that checkpoints of older versions lack."""
        for group in self.param_groups:
            for name, value in self.defaults.items():
                if name not in ("lr", "params"):
                    group.setdefault(name, value)


def advance(state) -> float:
    """Counts the step up, and returns it as a number."""
    state["step"] += 1
    return as_number(state["step"])


# ---------------------------------------------------------------------- many tensors at once


def _dense_entries(tensors, others=None):
    """(dtype, entries) for tensors that one call can take together, or None."""
    dtype, entries = None, []
    for i, t in enumerate(tensors):
        lay = t._layout
        if not _dense(lay) and lay.numel or not lay.dtype.is_floating_point or type(lay) is not Layout:
            return None
        if dtype is not None and lay.dtype is not dtype:
            return None
        dtype = lay.dtype
        entry = [lay.numel, t._ptr]
        if others is not None:
            if others[i]._layout is not lay:
                return None
            entry.append(others[i]._ptr)
        entries.append(entry)
    return None if dtype is None else (dtype, entries)


def _write_all(row, tensors, scalars, others=None):
    found = _dense_entries(tensors, others)
    if found is None:
        return False
    dtype, entries = found
    for t in tensors:
        t._storage.version += 1
    run(row, entries, dtype, scalars)
    return True


def scale_all(tensors, factor) -> bool:
    """Multiplies all tensors, in place, in one call. False (and nothing done) where they are not
    dense floating point tensors of one dtype."""
    return _write_all("scale", tensors, (float(factor),))


def clamp_all(tensors, low, high) -> bool:
    """Cuts all tensors to [low, high], in place, in one call. False as for `scale_all`."""
    return _write_all("clamp", tensors, (float(low), float(high)))


def lerp_all(tensors, ends, weight) -> bool:
    """tensors += weight (ends - tensors), in place, in one call. False as for `scale_all`, and
    where a pair's layouts differ."""
    return _write_all("lerp", tensors, (float(weight),), ends)


def norm_all(tensors, order):
    """The norm (1, 2 or inf) of all tensors as one vector: a 0-d tensor, summed in float64.
    None where they are not dense floating point tensors of one dtype."""
    found = _dense_entries(tensors)
    orders = {1.0: 1, 2.0: 2, float("inf"): 0}
    if found is None or order not in orders:
        return None
    dtype, entries = found
    table = table_of(entries)
    ints = (dtype.code, orders[order])
    key = ("norm", ints)
    plan = _plans.get(key)
    if plan is None:
        result = contiguous(dtype, ())
        plan = door.make_plan("optim", "norm", (result,), (_TABLE,), ints=ints)
        door.remember(_plans, key, plan)
    ptr = door.run1(plan.handle, table if native is None else int(ffi.cast("uintptr_t", table)))
    if not ptr:
        plan.fail()
    return make_tensor(ptr, plan.layout, Storage(ptr, plan.layout.nbytes))
