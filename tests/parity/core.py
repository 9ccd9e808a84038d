"""One row of the core operations' tables, and what is compared with PyTorch for it.

For each example: whether it raises; values, dtypes and shapes; for results that share memory with an
operand their strides, and where a write to them shows; first derivatives, and second ones in float64;
and, in turn, the method, the in-place form and the forms with `out=`.
"""

import functools
import os
import warnings

import numpy as np
import torch
from arrays import array
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dlgrad

from .both import EPS, flat, name_of
from .strategies import ALL, Call, Draw, Operand, made

MODULES = (dlgrad, torch)
EXAMPLES = int(os.environ.get("DLGRAD_TEST_EXAMPLES", "0")) or 20
ERRORS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
UNIT = {**EPS, "complex64": EPS["float32"], "complex128": EPS["float64"]}
PHASES = [Phase.explicit, Phase.generate]  # cases are small as they are
FORMS = ("method", "in-place", "out", "out of another shape", "out of another dtype")


class Row:
    """An operation: how its arguments are drawn, and what is compared.

    call: the function `(module, *args, **kwargs)`, where it is not the one of this name. values=False
    compares shapes and dtypes only; casts=False leaves out `out=` of another dtype, where PyTorch has no one rule.
    """

    def __init__(self, name, case, dtypes=ALL, call=None, ulps=64, values=True, gradients=True, second=True, forms=True,
                 casts=True):  # fmt: skip
        self.name, self.case, self.dtypes, self.ulps, self.casts = name, case, dtypes, ulps, casts
        self.values, self.gradients, self.second, self.forms = values, gradients, second, forms
        self.call = call or (lambda m, *args, **kwargs: resolve(m, name)(*args, **kwargs))
        self.leaf = name.split(":")[0].split(".")[-1]


class Table(dict):
    """Rows by name, filled by decorated cases."""

    def row(self, *names, **options):
        def add(case):
            for name in names:
                assert name not in self, name
                self[name] = Row(name, case, **options)
            return case

        return add


def resolve(m, name):
    """The function (or the Tensor's method) of this dotted name; ':' begins the name of a variant."""
    name = name.split(":")[0]
    if name.startswith("__") or (m is torch and not hasattr_path(torch, name)) or method_only(name):
        return getattr(m.Tensor, name)
    return functools.reduce(getattr, name.split("."), m)


def method_only(name):
    return not hasattr_path(torch, name) and hasattr(torch.Tensor, name)


def hasattr_path(m, name):
    for part in name.split("."):
        m = getattr(m, part, None)
    return callable(m)


def check(row):
    """Hold the row against PyTorch over random cases."""

    @settings(max_examples=EXAMPLES, phases=PHASES)
    @given(st.data())
    def run(data):
        draw = Draw(data.draw, row.dtypes)
        call = row.case(draw)
        call = call if isinstance(call, Call) else Call(*call)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compare(row, draw, call)

    run()


def compare(row, draw, call):
    note = (row.name, call)
    row.unit = max([UNIT.get(o.dtype, 0) for o in operands_of((call.args, call.kwargs))], default=0)
    expected, operands = compare_results(row, call, row.call, note)
    if expected is None:
        return
    if row.values:
        compare_memory(row, call, note)
    if row.gradients and draw.dtype in ("float64", "float32", "complex128", "complex64"):
        second = row.second and draw.dtype in ("float64", "complex128")
        compare_gradients(row, call, row.call, second, note)
    if row.forms:
        compare_form(row, draw, call, draw.any_of(*FORMS), expected, note)


def operands_of(tree):
    """The operands among the arguments of a call."""
    if isinstance(tree, Operand):
        return [tree]
    tree = (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    )
    return [o for t in tree for o in operands_of(t)]


def attempt(f):
    """(result, error), with the random numbers of one seed."""
    torch.manual_seed(7)
    dlgrad.manual_seed(7)
    try:
        return f(), None
    except ERRORS as e:
        return None, e


def attempts(call, function, grad=False):
    """A call's results in both libraries, its errors, and its operands as pairs."""
    memo = {}
    results = []
    for which in (1, 0):  # what PyTorch refuses with another exception is a mistake of the table
        args, kwargs = made(call.args, which, grad, memo), made(call.kwargs, which, grad, memo)
        results.append(attempt(lambda: function(MODULES[which], *args, **kwargs)))
    (theirs, their_error), (ours, our_error) = results
    return (ours, theirs), (our_error, their_error), list(memo.values())


def only_missing(error):
    """Whether PyTorch raised for want of a kernel for this dtype, where dlgrad may do more."""
    words = (
        "not implemented for",
        "not support",
        "not yet supported",
        "Bad in-place call",
        "Unsupported input type",
    )
    return any(w in str(error) for w in words)


def compare_results(row, call, function, note):
    (ours, theirs), (our_error, their_error), operands = attempts(call, function)
    if their_error is not None:
        assert our_error is not None or only_missing(their_error), (
            note,
            "PyTorch raises",
            their_error,
        )
        return None, operands
    assert our_error is None, (note, "dlgrad raises", repr(our_error))
    equal(ours, theirs, row, note)
    return theirs, operands


def equal(ours, theirs, row, note, values=True):
    """The same structure, dtypes, shapes and values."""
    if not isinstance(theirs, (torch.Tensor, list, tuple)):
        known = (
            name_of(ours) == name_of(theirs) if isinstance(theirs, torch.dtype) else ours == theirs
        )
        assert known, (note, ours, theirs)
        return
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple) and len(ours) == len(theirs), (note, type(ours))
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs), (note, len(ours), len(theirs))
    for a, e in zip(ours, theirs):
        assert name_of(a.dtype) == name_of(e.dtype), (note, a.dtype, e.dtype)
        assert tuple(a.shape) == tuple(e.shape), (note, a.shape, e.shape)
        if row.values and values:
            near(a, e, row, note)


def numbers_of(t):
    """A tensor's values as float64 (complex: pairs), whichever library it is of."""
    if isinstance(t, dlgrad.Tensor):
        t = t.detach().resolve_conj() if hasattr(t, "resolve_conj") else t.detach()
        return array(dlgrad.view_as_real(t) if t.is_complex() else t)
    t = t.detach().resolve_conj().resolve_neg()
    t = torch.view_as_real(t) if t.is_complex() else t
    return (t.float() if t.dtype is torch.bfloat16 else t).numpy(force=True)


def near(ours, theirs, row, note, slack=1):
    """Values within the row's units of the last place, of the operands' coarsest dtype, relative to the largest value."""
    a, e = numbers_of(ours), numbers_of(theirs)
    unit = UNIT.get(name_of(theirs.dtype))
    if unit is None:
        np.testing.assert_array_equal(a, e, err_msg=str(note))
        return
    unit = max(unit, row.unit)
    tolerance = (min(row.ulps, 16) if unit > 1e-4 else row.ulps * slack) * unit
    a, e = a.astype(np.float64), e.astype(np.float64)
    largest = max(np.abs(e[np.isfinite(e)]).max(initial=0.0), 1.0)
    np.testing.assert_allclose(a, e, tolerance, tolerance * largest, err_msg=str(note))


def tensors(result):
    """The tensors in a result (none in a number)."""
    return flat(result) if hasattr(result, "dim") or isinstance(result, (tuple, list)) else []


def shares(result, operand):
    return (
        result.numel() > 0
        and result.untyped_storage().data_ptr() == operand.untyped_storage().data_ptr()
    )


def compare_memory(row, call, note):
    """Which results are views, with which strides, and where a write to them shows."""
    (ours, theirs), _, operands = attempts(call, row.call)
    for a, e in zip(tensors(ours), tensors(theirs)):
        if not any(shares(e, t) for _, t in operands):
            continue
        strides = [(x, y) for n, x, y in zip(e.shape, a.stride(), e.stride()) if n > 1]
        assert all(x == y for x, y in strides), (note, "strides", a.stride(), e.stride())
    for a, e in zip(tensors(ours), tensors(theirs)):
        _, their_error = attempt(lambda: e.fill_(1))
        _, our_error = attempt(lambda: a.fill_(1))
        assert (our_error is None) == (their_error is None), (note, "write", our_error, their_error)
    for a, e in operands:
        near(a, e, row, (note, "after a write to the result"))


def differentiable(results):
    return [t for t in tensors(results) if t.requires_grad]


def random_like(t, seed):
    rng = np.random.default_rng(seed)
    a = torch.tensor(rng.uniform(0.5, 1.5, tuple(t.shape)))
    if t.is_complex():
        a = torch.complex(a, torch.tensor(rng.uniform(0.5, 1.5, tuple(t.shape))))
    a = a.to(t.dtype)
    real = torch.view_as_real(a) if a.is_complex() else a
    ours = dlgrad.tensor(real.tolist(), dtype=getattr(dlgrad, name_of(real.dtype))).reshape(
        tuple(real.shape)
    )
    return (dlgrad.view_as_complex(ours) if a.is_complex() else ours), a


def gradients(m, outputs, leaves, weights, graph):
    return m.autograd.grad(outputs, leaves, weights, create_graph=graph, allow_unused=True)


def compare_gradients(row, call, function, second, note):
    (ours, theirs), (our_error, their_error), operands = attempts(call, function, grad=True)
    if their_error is not None:
        return
    assert our_error is None, (note, "with gradients", repr(our_error))
    ours, theirs = tensors(ours), tensors(theirs)
    for a, e in zip(ours, theirs):
        assert a.requires_grad == e.requires_grad, (
            note,
            "requires_grad",
            a.requires_grad,
            e.requires_grad,
        )
    ours, theirs = differentiable(ours), differentiable(theirs)
    leaves = [(a, e) for a, e in operands if e.requires_grad]
    if not theirs or not leaves:
        return
    weights = [random_like(t, i) for i, t in enumerate(theirs)]
    row.unit = max([row.unit, *[UNIT[name_of(t.dtype)] for t in theirs]])
    order = 1 + second
    for step in range(order):
        graph = step + 1 < order
        want, error = attempt(
            lambda: gradients(torch, theirs, [e for _, e in leaves], [w for _, w in weights], graph)
        )
        if error is not None:  # PyTorch has no such derivative
            return
        have = gradients(dlgrad, ours, [a for a, _ in leaves], [w for w, _ in weights], graph)
        for h, w, (a, e) in zip(have, want, leaves):
            w = torch.zeros_like(e) if w is None else w
            h = dlgrad.zeros_like(a) if h is None else h
            assert name_of(h.dtype) == name_of(w.dtype) and tuple(h.shape) == tuple(w.shape), (
                note,
                h.dtype,
                w.dtype,
            )
            near(h, w, row, (note, f"derivative {step + 1}"), 16)
        kept = [
            (h, w)
            for h, w in zip(have, want)
            if w is not None and w.requires_grad and h is not None and h.requires_grad
        ]
        if not kept:
            return
        ours, theirs = [h for h, _ in kept], [w for _, w in kept]
        weights = [random_like(t, 10 + i) for i, t in enumerate(theirs)]


def compare_form(row, draw, call, form, expected, note):
    note = (form, *note)
    first = call.args[0] if call.args else None
    if form == "method":
        if hasattr(first, "layout") and callable(getattr(torch.Tensor, row.leaf, None)):
            compare_results(row, call, lambda m, x, *a, **k: getattr(x, row.leaf)(*a, **k), note)
    elif form == "in-place":
        if hasattr(first, "layout") and hasattr(torch.Tensor, row.leaf + "_"):
            compare_in_place(row, draw, call, note)
    elif not row.name.startswith("__") and (row.casts or "dtype" not in form):
        compare_out(row, draw, call, form, expected, note)


def compare_in_place(row, draw, call, note):
    name = row.leaf + "_"
    (ours, theirs), errors, operands = attempts(
        call, lambda m, x, *a, **k: getattr(x, name)(*a, **k)
    )
    if errors[1] is not None:
        assert errors[0] is not None or only_missing(errors[1]), (note, "PyTorch raises", errors[1])
        return
    assert errors[0] is None, (note, "dlgrad raises", repr(errors[0]))
    equal(ours, theirs, row, note)
    for a, e in operands:
        equal(a, e, row, note)
    if row.gradients and draw.dtype in ("float64", "complex128"):
        compare_gradients(
            row, call, lambda m, x, *a, **k: getattr(x * 1, name)(*a, **k), False, note
        )


def compare_out(row, draw, call, form, expected, note):
    """`out=` tensors that are empty, or of another shape (resized with a warning), or of another dtype."""
    wanted = tensors(expected)
    if not wanted:
        return
    other = draw.any_of("float64", "float32", "int64", "bool", "complex64", "float16")

    def shape(t):
        return (0,) if form == "out" else (*t.shape, 2) if "shape" in form else tuple(t.shape)

    def dtype(t):
        return other if "dtype" in form else name_of(t.dtype)

    outs, warned = [], []

    def function(m, *args, **kwargs):
        outs.append([m.zeros(shape(t), dtype=getattr(m, dtype(t))) for t in wanted])
        given_out = tuple(outs[-1]) if isinstance(expected, tuple) else outs[-1][0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = row.call(m, *args, out=given_out, **kwargs)
        warned.append(any("resized" in str(w.message) for w in caught))
        return result

    _, errors, _ = attempts(call, function)
    if errors[1] is not None:
        excused = only_missing(errors[1]) or isinstance(errors[1], TypeError)  # no such form
        assert errors[0] is not None or excused, (note, other, "PyTorch raises", errors[1])
        return
    if "dtype" in form and not all(torch.can_cast(t.dtype, getattr(torch, other)) for t in wanted):
        return  # dlgrad drops no imaginary parts in silence
    assert errors[0] is None, (note, other, "dlgrad raises", repr(errors[0]))
    theirs, ours = outs
    for a, e in zip(ours, theirs, strict=True):
        equal(a, e, row, (note, other))
    assert warned[0] == warned[1], (note, "warning of a resize", warned)
