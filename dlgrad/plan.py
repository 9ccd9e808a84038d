"""From a row and its arguments to ONE C call: the only door to the kernels.

A *plan* is everything about a kernel call except its addresses: family, row, dtypes, shapes,
strides, parameters. It is made once (a few microseconds) and cached; a run is one C call that
allocates the result and computes it. `run(plan, inputs...)` is that call, `call()` the general way
through the door, which looks the plan up. `quick` makes an operation whose usual case does not come
back to Python at all: inputs of layouts that were met before, with the graph node recorded too
(zig/python/row.zig). Where the interpreter is not CPython, all of it goes by cffi (_native.py).
"""

from __future__ import annotations

import struct

from . import _abi
from . import dtypes as dt
from ._lib import ffi, lib
from ._native import NULL, native
from .layout import Layout, alike, contiguous, layout
from .storage import OutOfMemoryError, Storage, allocate
from .tensor import Tensor, make_tensor

run1, run2, run3, into = (
    getattr(lib, "dlgrad_" + name) if native is None else native[name]
    for name in "run1 run2 run3 into".split()
)
_call = lib.dlgrad_call
_several = lib.dlgrad_several

CACHE_LIMIT = 1024  # plans of one cache; the older half goes when it is full

OUT_OF_MEMORY, INDEX_OUT_OF_RANGE, UNSUPPORTED, SINGULAR, INVALID_VALUE = 1, 2, 3, 4, 5


class Plan(object if native is None else native["Plan"]):
    """A prepared call. `layout` is that of its result, `outs` those of several; `extra` is the row's own.

    bounds: None, or (low, high) where a number given at each run must be a whole one within them."""

    if native is None:
        __slots__ = ("handle", "layout", "name", "outs", "owns", "extra", "bounds", "run")

        def __new__(cls, handle, layout, name, outs=None, owns=True):
            self = object.__new__(cls)
            self.handle, self.layout, self.name, self.outs, self.owns = handle, layout, name, outs, owns
            self.extra = self.bounds = self.run = None
            return self

        def __del__(self, free=lib.dlgrad_plan_free):
            if self.owns:
                free(self.handle)
    else:
        __slots__ = ()

    def fail(self, *inputs):
        """Raises what the kernel library said of the last call."""
        outs = [self.layout] if self.outs is None else self.outs
        raise_failure(self.name, outs, [t._layout for t in inputs if isinstance(t, Tensor)])


def _describe(lay: Layout):
    return [lay.dtype.code, lay.ndim, *lay.shape, *lay.strides]


# Rows that treat the real and the imaginary part of a complex number alike. "last", "first": where the kernel sees the
# dimension of the two parts, along which masks and indices are repeated; "apart": these have no such dimension.
_BY_PARTS = {
    ("unary", "neg"): "last", ("binary", "add"): "last", ("binary", "sub"): "last", ("ternary", "where"): "last",
    ("cast", "copy"): "last", ("fill", "fill"): "last", ("fill", "flip"): "last", ("fill", "roll"): "last", ("fill", "pad"): "last", ("fill", "tril"): "first",
    ("fill", "triu"): "first", ("reduce", "sum"): "last", ("reduce", "mean"): "last", ("scan", "prod_complex"): "last", ("scan", "cumsum"): "last",
    ("gather", "gather"): "last", ("scatter", "scatter"): "last", ("scatter", "scatter_add"): "last", ("index", "index"): "apart",
    ("index", "index_put"): "apart", ("matmul", "complex_matmul"): "last",
}  # fmt: skip


# Rows that only move elements: they see complex64 as words of its size.
_NOT_MOVED = frozenset((dt.complex128, dt.float16, dt.bfloat16, dt.float32, dt.float64))
_MOVES = frozenset((
    ("cast", "copy"), ("fill", "flip"), ("fill", "roll"), ("fill", "pad"), ("fill", "tril"), ("fill", "triu"), ("gather", "gather"), ("index", "index"),
    ("scatter", "scatter"), ("ternary", "where"),
))  # fmt: skip


def _in_parts(family, row, name, layouts):
    """Layouts with complex ones among them as the kernels see them: floats with a dimension of 2, or words that are moved.

    Raises RuntimeError for a row that complex numbers don't have."""
    if (family, row) in _MOVES and all([lay is None or lay.dtype not in _NOT_MOVED for lay in layouts]):
        return [layout(dt.int64, lay.shape, lay.strides) if lay is not None and lay.dtype is dt.complex64 else lay for lay in layouts]
    first = next(lay.dtype for lay in layouts if lay is not None and lay.dtype.is_complex)
    where = "last" if family == "complex" else _BY_PARTS.get((family, row))
    if family == "complex":  # its real operands have no parts
        return [_with_parts(lay, where) if lay.dtype.is_complex else lay for lay in layouts]
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
    if native is not None:
        handle = int(ffi.cast("uintptr_t", handle))
    return Plan(handle, outputs[0] if outputs else None, name, None if len(outputs) == 1 else tuple(outputs))


def remember(cache: dict, key, plan):
    """Puts a plan into a cache that stays bounded."""
    if len(cache) >= CACHE_LIMIT:
        for old in list(cache)[: CACHE_LIMIT // 2]:
            cache.pop(old, None)
    cache[key] = plan
    return plan


def quick(anew, recipe, arity):
    """`anew(inputs...)` as an operation that need not come here again where `learn` told it the plan: it runs that,
    and records the result by `recipe` (autograd/graph.py, record_by). Inputs: Tensors, None, or one number."""
    if native is None:
        return anew

    def remembered(plan, choice):
        from .autograd.learned import remembering

        found = recipe(plan, choice)
        return found and (found[0], remembering(found[1]), *found[2:])

    return native["Function"](anew, remembered, arity)


def learn(op, key, plan):
    """Tells an operation of `quick` the plan for inputs of these layouts (None for None, its type for a number)."""
    if native is not None:
        op.remember(*key, plan)


def memo(function):
    """`function` as one that need not be asked again for arguments that it was asked for twice, where all it did was to
    return one of its tensors or a view of it, or to run one plan on them (zig/python/memo.zig). Its way may depend on
    nothing but layouts and the other arguments' values: not on elements, addresses, or global state (`forget_all`)."""
    if native is None or type(function) is native["Memo"]:
        return function
    made = native["Memo"](function)
    made.__reduce_ex__ = lambda protocol: made.__qualname__  # pickled by its name, as functions are
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(function, name))
    return made


def not_again():
    """Says that what goes on depends on more than a memo's key, so that no memo learns it."""
    if native is not None:
        native["note_other"]()


def reshaped():
    """Says that a memo's function gave its tensor another layout, and did nothing else."""
    if native is not None:
        native["note_reshape"]()


def constants(*tensors):
    """Says that a memo's function uses these tensors, which do not depend on its arguments, and which nobody writes to."""
    if native is not None:
        native["note_constant"](*tensors)


def _index_error(name, dim, inputs):
    """The class of PyTorch's exception where an operation is given an index that is out of range."""
    name = name.rstrip("_")
    if name == "index_select":
        return RuntimeError if dim else IndexError
    if name == "index_add":
        return RuntimeError if inputs[-1].ndim > 1 else IndexError
    return RuntimeError if name in ("gather", "embedding_bag") or name.startswith(("scatter", "max_unpool")) else IndexError


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
        raise _index_error(name, c, inputs)(f"{name}: index {a} is out of bounds for dimension {c} with size {b} (inputs: {shapes})")
    if status == SINGULAR:
        from .linalg._base import failure

        raise failure(name, a, b, c)
    if status == INVALID_VALUE:
        if name in ("linalg.lu_solve", "lu_unpack"):
            raise RuntimeError(f"{name}: pivots must lie between 1 and {a}")
        if name == "multilabel_margin_loss":
            raise RuntimeError(f"[{name}] target holds a class outside of -1 to {a}")
        raise RuntimeError(f"{name}: invalid value, such as an integer divided by zero (inputs: {shapes})")
    raise NotImplementedError(f"{name}: not implemented for {shapes}")


_plans: dict = {}


def _run(plan, *operands):
    """Runs a plan on its inputs (Tensors; None: left out) and the scalars behind them, which may change from call to
    call; returns its result, or a tuple of several."""
    if plan.outs is None and 1 <= len(operands) <= 2 and isinstance(operands[0], Tensor):
        a, *b = operands
        if not b:
            ptr = run1(plan.handle, a._ptr)
        elif isinstance(b[0], Tensor):
            ptr = run2(plan.handle, a._ptr, b[0]._ptr)
        elif b[0] is None:
            ptr = run2(plan.handle, a._ptr, NULL)
        else:
            ptr = (lib.dlgrad_run1f if type(b[0]) is float else lib.dlgrad_run1i)(plan.handle, a._ptr, b[0])
        if not ptr:
            plan.fail(*operands)
        return make_tensor(ptr, plan.layout, Storage(ptr, plan.layout.nbytes))
    outs = (plan.layout,) if plan.outs is None or len(plan.outs) == 1 else plan.outs
    results = [None if lay is None else new_result(plan, lay) for lay in outs]
    if _status_of(plan, (*results, *operands)):
        plan.fail(*[t for t in operands if isinstance(t, Tensor)])
    return results[0] if len(results) == 1 else tuple(results)


def _write(plan, *operands):
    """Runs a plan on results that are there, inputs and scalars; counts the results' versions up."""
    status = _status_of(plan, operands)
    n = 1 if plan.outs is None else len(plan.outs)
    for t in operands[:n]:
        if t is not None:
            t._storage.version += 1
    if status:
        plan.fail(*[t for t in operands[n:] if isinstance(t, Tensor)])


def _status_of(plan, operands):
    pointers = [NULL if t is None else t._ptr for t in operands if t is None or isinstance(t, Tensor)]
    scalars = operands[len(pointers) :]
    bits = struct.pack("=" + "".join("d" if type(s) is float else "q" for s in scalars), *scalars)
    return _call(
        plan.handle, ffi.new("uint8_t *[]", pointers), ffi.cast("int64_t *", ffi.from_buffer(bits)), len(scalars)
    )


def new_result(plan, lay):
    """An uninitialised tensor for a result of a plan."""
    if native is not None:
        t = native["empty"](lay.nbytes, lay)
        if t is not None:
            return t
    storage = allocate(lay.nbytes, plan.name)
    return make_tensor(storage.ptr, lay, storage)


run, write = (_run, _write) if native is None else (native["run"], native["write"])


def _run_at(handle, *addresses):
    """Runs a plan on addresses, its results' first; returns the status."""
    return _call(handle, ffi.new("uint8_t *[]", addresses), NULL, 0)


run_at = _run_at if native is None else native["run_at"]


def run_plan(plan, inputs):
    """Runs a plan of one output; returns its result."""
    return run(plan, *inputs)


def fresh(plan, ptr):
    """The result of a plan as a tensor, outside of any graph."""
    lay = plan.layout
    return make_tensor(ptr, lay, Storage(ptr, lay.nbytes))


def write_plan(plan, out, inputs, scalars=()):
    """Runs a plan of one output over `out`, and counts its version up. scalars: those that may change from call to
    call."""
    write(plan, out, *inputs, *scalars)


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
        if len(self.new) > 1:
            self.plan.outs = self.new
        else:
            self.plan.layout = self.new[0]

    def run(self, inputs, scalar=0.0, given=()):
        """The new results (None for those left out), of these inputs (None: left out)."""
        plan = self.plan
        if type(plan) is not Plan:
            return self._run_batched(inputs)
        if native is not None:
            return self._run_native(inputs, scalar, given)
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

    def _run_native(self, inputs, scalar, given):
        plan = self.plan
        if not given:
            results = run(plan, *inputs, scalar)
            return results if len(self.new) > 1 else (results,)
        results = [None if lay is None else new_result(plan, lay) for lay in self.new]
        write(plan, *results, *given, *inputs, scalar)
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
    lays = tuple([None if t is None else t._layout for t in inputs])
    key = (family, row, outs, lays, ints, floats)
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, make_plan(family, row, outs, lays, ints, floats, name))
    if into is None:
        results = run(plan, *inputs, *scalars)
        return (results,) if not single and len(outs) == 1 else results
    results = (into,) if single else into
    if type(plan) is not Plan:
        plan = _into_batched(key, name, results)
    write(plan, *results, *inputs, *scalars)
    return into


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
