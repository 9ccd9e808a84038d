"""From a row and its arguments to ONE C call: the only door to the kernels.

A *plan* is everything about a kernel call except its addresses: family, row, dtypes, shapes,
strides, parameters. It is made once (a few microseconds) and cached; a run is one C call that
allocates the result and computes it. `call()` is the general way through the door; the
elementwise rows (ops/elementwise.py) keep plans of their own and call `run1`, `run2`, `run3`
directly, which is what makes a small operation cost about a microsecond.
"""

from __future__ import annotations

import struct

from . import _abi
from ._lib import ffi, lib
from .layout import Layout, alike, contiguous, layout
from .storage import OutOfMemoryError, Storage, allocate
from .tensor import Tensor, make_tensor

run1 = lib.dlgrad_run1
run2 = lib.dlgrad_run2
run3 = lib.dlgrad_run3
run1f = lib.dlgrad_run1f
run1i = lib.dlgrad_run1i
run2f = lib.dlgrad_run2f
run2i = lib.dlgrad_run2i
run0f = lib.dlgrad_run0f
run0i = lib.dlgrad_run0i
into = lib.dlgrad_into
intof = lib.dlgrad_intof
intoi = lib.dlgrad_intoi
_call = lib.dlgrad_call
_several = lib.dlgrad_several
NULL = ffi.NULL

CACHE_LIMIT = 1024  # plans of one cache; the older half goes when it is full

OUT_OF_MEMORY, INDEX_OUT_OF_RANGE, UNSUPPORTED, SINGULAR, INVALID_VALUE = 1, 2, 3, 4, 5


class Plan:
    """A prepared call. `layout` is that of its result; `extra` is the row's own."""

    __slots__ = ("handle", "layout", "name", "extra", "run")

    def __init__(self, handle, layout, name):
        self.handle = handle
        self.layout = layout
        self.name = name
        self.extra = None
        self.run = None

    def __del__(self, free=lib.dlgrad_plan_free):
        free(self.handle)

    def fail(self, *inputs):
        """Raises what the kernel library said of the last call."""
        raise_failure(self.name, [self.layout], [t._layout for t in inputs if t is not None])


def _describe(lay: Layout):
    return [lay.dtype.code, lay.ndim, *lay.shape, *lay.strides]


# Rows that treat the real and the imaginary part of a complex number alike. "last", "first": where the kernel sees the
# dimension of the two parts, along which masks and indices are repeated; "apart": these have no such dimension.
_BY_PARTS = {
    ("unary", "neg"): "last", ("binary", "add"): "last", ("binary", "sub"): "last", ("ternary", "where"): "last",
    ("cast", "copy"): "last", ("fill", "fill"): "last", ("fill", "flip"): "last", ("fill", "roll"): "last", ("fill", "tril"): "first",
    ("fill", "triu"): "first", ("reduce", "sum"): "last", ("reduce", "mean"): "last", ("scan", "cumsum"): "last",
    ("gather", "gather"): "last", ("scatter", "scatter"): "last", ("scatter", "scatter_add"): "last", ("index", "index"): "apart",
    ("index", "index_put"): "apart",
}  # fmt: skip


def _in_parts(family, row, name, layouts):
    """Layouts with complex ones among them as the kernels see them: floats with a dimension of 2.

    Raises RuntimeError for a row that complex numbers don't have."""
    first = next(lay.dtype for lay in layouts if lay is not None and lay.dtype.is_complex)
    where = _BY_PARTS.get((family, row))
    if where is None or any(lay is not None and lay.dtype.is_floating_point for lay in layouts):
        raise RuntimeError(f"{name or row}(): not implemented for {first.name}")
    return [None if lay is None else _with_parts(lay, where) for lay in layouts]


def _with_parts(lay, where):
    if lay.dtype.is_complex:
        dtype, strides, step = lay.dtype.to_real(), tuple([2 * s for s in lay.strides]), 1
    elif where == "apart":
        return lay
    else:
        dtype, strides, step = lay.dtype, lay.strides, 0
    if where == "first":
        return layout(dtype, (2, *lay.shape), (step, *strides))
    return layout(dtype, (*lay.shape, 2), (*strides, step))


def make_plan(family, row, outputs, inputs, ints=(), floats=(), name=None, into=False) -> Plan:
    """A plan for `row` of `family` over these layouts (None: an operand that is left out).

    into: it is for results that are there already; else batched layouts (batched.py) get results with room for the batch."""
    numbers = [len(outputs) + len(inputs), len(outputs), len(ints), len(floats)]
    layouts = (*outputs, *inputs)
    if any([type(lay) is not Layout and lay is not None for lay in layouts]):
        from .batched_plans import make_plan

        return make_plan(family, row, outputs, inputs, ints, floats, name, into)
    if any([lay is not None and lay.dtype.is_complex for lay in layouts]):
        layouts = _in_parts(family, row, name, layouts)
    for lay in layouts:
        numbers += (8, 0) if lay is None else _describe(lay)
    numbers += ints
    try:
        packed = struct.pack(f"={len(numbers)}q{len(floats)}d", *numbers, *floats)
    except struct.error:
        raise TypeError(f"{name or row}(): expected integer arguments, got {list(ints)}") from None
    handle = lib.dlgrad_plan_make(
        _abi.FAMILIES[family], _abi.ROWS[family][row],
        ffi.cast("int64_t *", ffi.from_buffer(packed)), len(packed) // 8,
    )  # fmt: skip
    name = name or row
    if not handle:
        raise_failure(name, outputs, inputs)
    return Plan(handle, outputs[0] if outputs else None, name)


def remember(cache: dict, key, plan):
    """Puts a plan into a cache that stays bounded."""
    if len(cache) >= CACHE_LIMIT:
        for old in list(cache)[: CACHE_LIMIT // 2]:
            cache.pop(old, None)
    cache[key] = plan
    return plan


def raise_failure(name, outputs, inputs):
    """Turns the kernel library's last failure into a Python exception."""
    detail = ffi.new("int64_t[4]")
    lib.dlgrad_error(detail)
    status, a, b, c = detail
    shapes = ", ".join(f"{lay.dtype.name} {list(lay.shape)}" for lay in inputs if lay is not None)
    if status == OUT_OF_MEMORY:
        want = sum(lay.nbytes for lay in outputs if lay is not None)
        shape = ", ".join(str(list(lay.shape)) for lay in outputs if lay is not None)
        raise OutOfMemoryError(f"{name}: out of memory: the result {shape} takes {want} bytes ({want / 2**30:.2f} GiB)")
    if status == INDEX_OUT_OF_RANGE:
        raise IndexError(f"{name}: index {a} is out of bounds for dimension {c} with size {b} (inputs: {shapes})")
    if status == SINGULAR:
        raise RuntimeError(f"{name}: the matrix (batch element {a}) is singular or not positive definite (inputs: {shapes})")
    if status == INVALID_VALUE:
        raise RuntimeError(f"{name}: invalid value, such as an integer divided by zero (inputs: {shapes})")
    raise NotImplementedError(f"{name}: not implemented for {shapes}")


_plans: dict = {}


def run_plan(plan, inputs):
    """Runs a plan of one output and one to three inputs (Tensors; None: left out); returns its result."""
    if len(inputs) == 1:
        ptr = run1(plan.handle, inputs[0]._ptr)
    elif len(inputs) == 2:
        a, b = inputs
        ptr = run2(plan.handle, NULL if a is None else a._ptr, NULL if b is None else b._ptr)
    else:
        ptr = run3(plan.handle, *[NULL if t is None else t._ptr for t in inputs])
    if not ptr:
        plan.fail(*inputs)
    lay = plan.layout
    return make_tensor(ptr, lay, Storage(ptr, lay.nbytes))


def fresh(plan, ptr):
    """The result of a plan as a tensor, outside of any graph."""
    lay = plan.layout
    return make_tensor(ptr, lay, Storage(ptr, lay.nbytes))


def _run_into(plan, t, inputs, scalars):
    """One output that is there, three inputs or one and a scalar: without arrays of addresses."""
    if scalars:
        a, b = [NULL if x is None else x._ptr for x in inputs] + [NULL] * (2 - len(inputs))
        run = intof if type(scalars[0]) is float else intoi
        return run(plan.handle, t._ptr, a, b, scalars[0])
    a, b, c = [NULL if x is None else x._ptr for x in inputs] + [NULL] * (3 - len(inputs))
    return into(plan.handle, t._ptr, a, b, c)


_addresses: list = []  # arrays for the addresses of several results, while nobody uses them
_left_out = tuple([(NULL,) * (6 - n) for n in range(7)])


class Several:
    """A row with up to eight results and up to six inputs, prepared: `run` is one C call, which allocates them too.

    outs, lays: the layouts of the results and of the inputs (None: left out). given: how many of the results, the last
    ones, `run` is to write into tensors that are there."""

    __slots__ = ("plan", "key", "new", "wanted")

    def __init__(self, family, row, outs, lays, ints=(), floats=(), name=None, given=0):
        self.key = (family, row, outs, lays, ints, floats, name)
        self.plan = make_plan(family, row, outs, lays, ints, floats, name)
        self.new = outs[: len(outs) - given]
        self.wanted = 0
        for k, lay in enumerate(self.new):
            if lay is not None:
                self.wanted |= 1 << k

    def reshape(self, shape):
        """From now on the results come in this shape, contiguous as they are."""
        self.new = tuple([alike(lay, contiguous(lay.dtype, shape)) for lay in self.new])

    def run(self, inputs, scalar=0.0, given=()):
        """The new results (None for those left out), of these inputs (None: left out)."""
        plan = self.plan
        if type(plan) is not Plan:
            return self._run_batched(inputs)
        try:
            array = _addresses.pop()
        except IndexError:
            array = ffi.new("uint8_t *[8]")
        if given:
            k = len(self.new)
            for t in given:
                array[k] = NULL if t is None else t._ptr
                k += 1
        inputs = [NULL if t is None else t._ptr for t in inputs]
        if _several(plan.handle, array, self.wanted, scalar, *inputs, *_left_out[len(inputs)]):
            _addresses.append(array)
            raise_failure(plan.name, self.new, self.key[3])
        results = []
        k = 0
        for lay in self.new:
            if lay is None:
                results.append(None)
            else:
                ptr = array[k]
                results.append(make_tensor(ptr, lay, Storage(ptr, lay.nbytes)))
            k += 1
        _addresses.append(array)
        for t in given:
            if t is not None:
                t._storage.version += 1
        return results

    def _run_batched(self, inputs):
        family, row, outs, lays, ints, floats, name = self.key
        inputs = tuple([t if t is None or t._layout is lay else make_tensor(t._ptr, lay, t._storage)
                        for t, lay in zip(inputs, lays)])  # fmt: skip
        results = call(family, row, outs, inputs, ints, floats, name=name)
        return [t if lay is out else make_tensor(t._ptr, alike(t._layout, lay), t._storage)
                for t, lay, out in zip(results, self.new, outs)]  # fmt: skip


def call(family, row, outputs, inputs, ints=(), floats=(), scalars=(), into=None, name=None):
    """Runs `row` of `family` and returns its result, or a tuple of them.

    outputs: Layout, or a tuple of Layouts, of the results.  inputs: Tensors (None: left out).
    ints, floats: parameters that belong to the plan.  scalars: values that may change from call to
    call (floats or ints).  into: a Tensor, or a tuple of them, to write into; their storage's version
    is counted up here.
    """
    single = isinstance(outputs, Layout)
    outs = (outputs,) if single else outputs
    if len(inputs) == 1 and inputs[0] is not None:  # without the cost of a comprehension
        lays = (inputs[0]._layout,)
    else:
        lays = tuple([None if t is None else t._layout for t in inputs])
    key = (family, row, outs, lays, ints, floats)
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, make_plan(family, row, outs, lays, ints, floats, name))
    if into is None:
        if single and not scalars and 1 <= len(inputs) <= 3:
            return run_plan(plan, inputs)
        if single and len(scalars) == 1 and len(inputs) <= 2:
            a, b = [NULL if x is None else x._ptr for x in inputs] + [NULL] * (2 - len(inputs))
            run = run2f if type(scalars[0]) is float else run2i
            ptr = run(plan.handle, a, b, scalars[0])
            if not ptr:
                plan.fail(*inputs)
            return fresh(plan, ptr)
        outs = results_of(plan, outs)
        results = tuple(
            None if lay is None else make_tensor((s := allocate(lay.nbytes, plan.name)).ptr, lay, s) for lay in outs
        )
    else:
        results = (into,) if single else into
        if type(plan) is not Plan:
            plan = _into_batched(key, name, results)
        elif single and (len(inputs) <= 3 if not scalars else len(scalars) == 1 and len(inputs) < 3):
            status = _run_into(plan, into, inputs, scalars)
            into._storage.version += 1
            if status:
                raise_failure(plan.name, outs, lays)
            return into
    pointers = [NULL if t is None else t._ptr for t in (*results, *inputs)]
    bits = struct.pack("=" + "".join("d" if type(s) is float else "q" for s in scalars), *scalars)
    status = _call(
        plan.handle, ffi.new("uint8_t *[]", pointers), ffi.cast("int64_t *", ffi.from_buffer(bits)), len(scalars)
    )
    if into is not None:
        for t in results:
            if t is not None:
                t._storage.version += 1
    if status:
        raise_failure(plan.name, outs, lays)
    return results[0] if single else results


def results_of(plan, outs):
    """The layouts of a plan's results: those that were asked for, or batched ones in their place."""
    return outs if type(plan) is Plan else plan.outs


def _into_batched(key, name, results):
    """`call`'s plan for results that are there, where layouts are batched."""
    family, row, _, lays, ints, floats = key
    outs = tuple([None if t is None else t._layout for t in results])
    plan = _plans.get(("into", outs, *key))
    if plan is None:
        plan = make_plan(family, row, outs, lays, ints, floats, name, True)
        remember(_plans, ("into", outs, *key), plan)
    return plan


def clear():
    """Drops the cached plans of `call` (tests of the bounds use it)."""
    _plans.clear()


def cached_plans() -> int:
    """Plans that `call` keeps."""
    return len(_plans)


__all__ = ["Plan", "Tensor", "call", "make_plan", "remember"]
