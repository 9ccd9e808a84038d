"""What makes an operation of an elementwise row: `unary` and `binary`.

A row is a name in zig/ops/ and its derivative here. From it follow the function, the method, the
in-place form and `out=`; dtypes, broadcasting, scalars, the summing of a gradient back to its
source's shape, and recording are done here, once.

A derivative names what it needs, and only that is kept for the backward pass:
`g` the gradient of the result, `x` (or `a`, `b`) the inputs, `y` the result.
"""

from __future__ import annotations

import numbers

from .. import dtypes as dt
from ..autograd.graph import RESULT, edge_of, record, record_by
from ..autograd.mode import mode
from ..layout import Layout, broadcast_shapes, contiguous, expanded, layout
from ..plan import learn, make_plan, quick, remember, run
from ..tensor import Tensor, make_tensor
from .writing import write_directly, write_inplace, write_out, write_with_number

ROWS: dict = {}  # name -> Row: what the tests, the stubs and the reference pages are made from


class Row:
    """One elementwise operation."""

    def __init__(self, name, family, arity, kind, doc, derivatives, kernel=None, node=""):
        self.name = name
        self.family = family
        self.arity = arity
        # "any": the inputs' common dtype; "float": the same, integers become the default dtype; "bool": the
        # result is bool; "int": integers and bool only; "number": any but bool; "floating": floating point
        # only; "whole": integers come back as they are
        self.kind = kind
        self.doc = doc
        self.derivatives = derivatives
        self.kernel = kernel or name
        self.node_name = node + "".join(w.capitalize() for w in name.split("_")) + "Backward0"
        self.plans: dict = {}
        self.needs = [_parameters(d) for d in derivatives]
        ROWS[name] = self

    def check(self, d):
        """Raises RuntimeError where the operation is not there for this dtype."""
        if self.kind == "floating" and not d.is_floating_point:
            raise RuntimeError(
                f"{self.name}(): not implemented for {d.name}: it takes floating point tensors"
            )
        if self.kind == "int" and d.is_floating_point:
            raise RuntimeError(
                f"{self.name}(): not implemented for {d.name}: it takes integers and bool"
            )
        if self.kind == "number" and d is dt.bool:
            raise RuntimeError(
                f"{self.name}(): not implemented for bool; use logical_not() or a cast"
            )


def _parameters(fn):
    return () if fn is None else fn.__code__.co_varnames[1 : fn.__code__.co_argcount]


# ---------------------------------------------------------------------- dtypes and shapes


def scalar_dtype(value):
    """The dtype that a Python number stands for."""
    if isinstance(value, bool):
        return dt.bool
    if isinstance(value, complex):
        return dt.get_default_dtype().to_complex()
    return dt.int64 if isinstance(value, int) else dt.get_default_dtype()


def is_scalar(value) -> bool:
    """Whether it is a Python (or NumPy) number."""
    return isinstance(value, (int, float, complex, numbers.Number)) and not isinstance(value, Tensor)


def as_number(value):
    """A Python number for any kind of number."""
    if type(value) in (int, float, bool, complex):
        return value
    if isinstance(value, (bool, numbers.Integral)):
        return int(value)
    if type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    return complex(value) if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real) else float(value)


def result_type(*values):
    """The dtype that an operation on these (tensors and numbers) has: tensors with dimensions count more
    than 0-d ones, and those more than numbers, within a category (PyTorch's rules)."""
    best = [None, None, None]  # dimensioned, 0-d, number
    for v in values:
        if isinstance(v, Tensor):
            level, d = (0 if v._layout.ndim else 1), v._layout.dtype
        elif isinstance(v, dt.dtype):
            level, d = 0, v
        elif is_scalar(v):
            level, d = 2, scalar_dtype(as_number(v))
        else:
            raise TypeError(f"result_type(): expected a Tensor or a number, got {type(v).__name__}")
        best[level] = d if best[level] is None else dt.promote_types(best[level], d)
    out = None
    for d in best:
        if d is None:
            continue
        if out is None:
            out = d
        elif d.is_complex and out.is_floating_point:
            out = out.to_complex()
        elif dt.category(d) > dt.category(out):
            out = d
    return out


def whole_number(op, value, dtype):
    """The number without its fraction. Raises RuntimeError for infinities and nan."""
    try:
        return int(value)
    except (OverflowError, ValueError):
        raise RuntimeError(f"{op}: value {value} cannot be converted to {dtype.name} without overflow") from None


def fit_scalar(op, value, dtype):
    """The number as `dtype` holds it. Raises RuntimeError where an integer type cannot."""
    if dtype.is_complex:
        return complex(value)
    if dtype.is_floating_point:
        return float(value)
    if dtype is dt.bool:
        return int(bool(value))
    value = whole_number(op, value, dtype)
    info = dt.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise RuntimeError(
            f"{op}: value {value} cannot be converted to {dtype.name} without overflow"
        )
    return value


def _dense(lay: Layout) -> bool:
    """Without gaps and overlaps, in whatever order of the dimensions."""
    return lay.contiguous or (lay.numel > 0 and lay.span == lay.numel and 0 not in (
        st for s, st in zip(lay.shape, lay.strides) if s != 1
    ))  # fmt: skip


def result_layout(dtype, shape, *inputs) -> Layout:
    """The layout of a new result: dense, with the dimensions in the order that the inputs' strides have, as in PyTorch."""
    first = inputs[0] if inputs else None
    if first is None or (first.shape == shape and first.contiguous):
        return contiguous(dtype, tuple(shape))
    if first.shape == shape and _dense(first):
        return layout(dtype, tuple(shape), first.strides)
    strides, step = [0] * len(shape), 1
    for d in _memory_order(shape, inputs):
        strides[d] = step
        step *= max(shape[d], 1)
    return layout(dtype, tuple(shape), tuple(strides))


def _memory_order(shape, inputs):
    """The dimensions from the innermost outwards: sorted by the strides of the first input, where it does not repeat its
    elements, else of the next one (the insertion sort of PyTorch's TensorIterator, whose comparison is no total order)."""
    strides = [expanded(lay, shape).strides for lay in inputs]
    order = list(range(len(shape) - 1, -1, -1))
    for i in range(1, len(order)):
        at = i
        for k in range(i - 1, -1, -1):
            wrong = _compare(order[k], order[at], shape, strides)
            if wrong < 0:
                break
            if wrong > 0:
                order[k], order[at] = order[at], order[k]
                at = k
    return order


def _compare(inner, outer, shape, strides):
    """1: `inner` has the larger stride and belongs outside of `outer`; -1: they are right; 0: nothing says which."""
    for st in strides:
        a, b = st[inner], st[outer]
        if a == 0 or b == 0:
            continue
        if a != b:
            return 1 if a > b else -1
        if shape[inner] > shape[outer]:
            return 1
    return 0


def to_tensor(op, value, like=None):
    """A 0-d tensor for a number."""
    from .create import scalar_tensor

    if isinstance(value, Tensor):
        return value
    if not is_scalar(value):
        raise TypeError(f"{op}(): expected a Tensor or a number, got {type(value).__name__}")
    value = as_number(value)
    return scalar_tensor(value, dtype=scalar_dtype(value) if like is None else like)


def sum_to(g, shape):
    """`g` summed over the dimensions along which `shape` was broadcast."""
    have = g._layout.shape
    if have == shape:
        return g
    from .reduce import sum as sum_

    lead = len(have) - len(shape)
    dims = tuple(range(lead)) + tuple(
        lead + i for i, s in enumerate(shape) if s == 1 and have[lead + i] != 1
    )
    if dims:
        g = sum_(g, dims, True)
    if lead:
        g = g.reshape(tuple(shape))
    return g


def tie(result, x):
    """A first derivative whose slope is flat in `x` (a step, a choice), joined to `x` with a gradient of zeros, so that
    second derivatives are zeros there and not an error, as in PyTorch."""
    if not mode.enabled or edge_of(x) is None:
        return result
    alias = make_tensor(result._ptr, result._layout, result._storage)
    shape, d = x._layout.shape, x._layout.dtype

    def zeros(g):
        return g.new_zeros(tuple(shape), dtype=d)

    return record(alias, "TieBackward0", (lambda g: g, zeros), (result, x))


def anchored(x):
    """`x` for an operation made of others whose derivative PyTorch works out from x: its gradient is tied to x."""
    if not (mode.enabled and x._requires_grad):
        return x
    return record(
        make_tensor(x._ptr, x._layout, x._storage),
        "AliasBackward0",
        lambda g, x: tie(g, x),
        (x,),
        (x,),
    )


# ---------------------------------------------------------------------- unary


def unary(name, derivative=None, doc="", *, kind="float", kernel=None, family="unary", inplace=True, aliases=(),
          methods=True, whole=None, node=""):  # fmt: skip
    """Makes the function of a row with one input and attaches its methods. whole: what does the same to many whole numbers, faster.
    node: what the name of its graph nodes begins with."""
    row = Row(name, family, 1, kind, doc, (derivative,), kernel, node)
    plans = row.plans
    kept = tuple([RESULT if k == "y" else 0 for k in row.needs[0]])
    how = (row.node_name, (derivative,), kept, kept.index(RESULT) if RESULT in kept else -1)

    def recipe(plan, choice):
        return None if derivative is None else how

    def anew(input):
        try:
            lay = input._layout
        except AttributeError:
            raise TypeError(
                f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}"
            ) from None
        plan = plans.get(lay)
        if plan is None:
            if lay.dtype.is_complex and name != "neg":
                from .complex_numbers import unary

                return unary(row, input)
            if kind == "float" and not lay.dtype.is_floating_point:
                return op(input.to(dt.get_default_dtype()))
            if kind == "whole" and not lay.dtype.is_floating_point:
                if lay.dtype is dt.bool:
                    raise RuntimeError(f"{name}(): not implemented for bool")
                return input.clone()
            if whole is not None and lay.numel > 1 << 15 and not lay.dtype.is_floating_point and type(lay) is Layout:
                return whole(input)
            row.check(lay.dtype)
            out = result_layout(dt.bool if kind == "bool" else lay.dtype, lay.shape, lay)
            plan = remember(plans, lay, make_plan(family, row.kernel, (out,), (lay,), name=name))
        learn(op, (lay,), plan)
        return record_by(recipe, plan, run(plan, input), (input,))

    op = quick(anew, recipe, 1)

    def function(input, *, out=None):
        if out is None:
            return op(input)
        if isinstance(out, Tensor) and isinstance(input, Tensor) and write_directly(plans.get(input._layout), out, input):
            return out
        d = input._layout.dtype
        exact = (kind == "whole" and not d.is_floating_point) or (name == "abs" and not d.is_complex)
        return write_out(name, out, op(input), exact=exact)

    def method_(self):
        return op(self)

    return _finish(row, op, function, method_, inplace, aliases, methods)


# What a row's kind says of dtypes, for the docstrings
_DTYPES = {
    "any": "Dtypes: all; the result has {the}.",
    "float": "Dtypes: all; the result has {the}, or the default dtype for integers and bool.",
    "bool": "Dtypes: all; the result is bool.",
    "int": "Dtypes: integers and bool; the result has {the}. Raises RuntimeError for others.",
    "number": "Dtypes: all but bool, for which RuntimeError is raised; the result has {the}.",
    "floating": "Dtypes: floating point; the result has {the}. Raises RuntimeError for others.",
    "whole": "Dtypes: all but bool; the result has {the}, integers come back as they are.",
}
_SHAPES = (None, "Shapes: any, (*) -> (*).", "Shapes: input and other broadcast against each other; numbers count as 0-d.")
_THE = (None, "the input's", "the inputs' common one (see `result_type`)")


def _documentation(row):
    """The docstring of a row's function: its formula, shapes, dtypes."""
    return f"{row.doc}\n\n{_SHAPES[row.arity]}\n{_DTYPES[row.kind].format(the=_THE[row.arity])}"


def _finish(row, op, function, method_, inplace, aliases, methods):
    name = row.name
    function.__doc__ = method_.__doc__ = _documentation(row)
    function.op = op
    row.op, row.function = op, function
    for n in (name, *aliases):
        if methods:
            setattr(Tensor, n, _named(method_, n))
        if inplace:
            setattr(Tensor, n + "_", _named(_inplace_method(row), n + "_"))
    return _named(function, name)


def _named(fn, name):
    fn.__name__ = fn.__qualname__ = name
    return fn


def _inplace_method(row):
    def method_(self, *args, **kwargs):
        return write_inplace(row.name + "_", self, row, args, kwargs)

    method_.__doc__ = f"In-place form of `{row.name}`."
    return method_


# ---------------------------------------------------------------------- binary


_constants: dict = {}


def constant(value, dtype):
    """A 0-d tensor of a Python number, of a complex dtype. Nobody writes to it."""
    key = value if value == value.real != 0 else repr(value), dtype  # -0.0 is not 0.0
    hit = _constants.get(key)
    return remember(_constants, key, to_tensor("constant", complex(value), dtype)) if hit is None else hit


# Where PyTorch's functions (not the operators) take no Python number: in either place, or in the first.
_TENSORS_ONLY = frozenset("atan2 fmax fmin hypot logaddexp logaddexp2 maximum minimum nextafter heaviside gcd lcm logical_and "
                          "logical_or logical_xor".split())  # fmt: skip
_PRODUCTS = ("mul", "div")  # rows that have kernels for complex numbers (zig/ops/complex.zig)
_TENSOR_FIRST = frozenset("eq ne lt le gt ge fmod copysign".split())


def binary(name, da=None, db=None, doc="", *, kind="any", kernel=None, inplace=True, aliases=(), methods=True,
           whole_from=None, no_bool="", family="binary", node=""):  # fmt: skip
    """Makes the function of a row with two inputs and attaches its methods. da, db: the derivatives.
    whole_from: the smallest number that integers take on their right. no_bool: why neither input may be bool. node: as unary's."""
    row = Row(name, family, 2, kind, doc, (da, db), kernel, node)
    row.whole_from = whole_from
    plans = row.plans
    rules = _combined(row.derivatives)
    complex_rules = None

    def recipe(plan, choice):
        nonlocal complex_rules
        if rules is None:
            return None
        which = rules
        if name in _PRODUCTS and plan.layout.dtype.is_complex:
            if complex_rules is None:
                from .complex_numbers import PRODUCT_SLOPES

                complex_rules = _combined(PRODUCT_SLOPES[name])
            which = complex_rules
        rule, kept, own = which[choice]
        if plan.extra is not None:
            rule = tuple([r if shape is None else _reduced(r, shape) for r, shape in zip(rule, plan.extra)])
        return row.node_name, rule, kept, own

    def anew(a, b):
        """Tensors, or a tensor and a Python number, whichever comes first."""
        try:
            first, second = (a._layout if isinstance(a, Tensor) else type(a)), (b._layout if isinstance(b, Tensor) else type(b))
            plan = plans.get((first, second))
        except AttributeError:
            plan = None
        if plan is None:
            return general(a, b)
        bounds = plan.bounds
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            t = run(plan, a, b)
        else:
            x, number = (a, b) if isinstance(a, Tensor) else (b, a)
            if bounds is None:
                number = float(number)
            elif not bounds[0] <= number <= bounds[1]:
                return general(a, b)
            t = run(plan, x, number)
        learn(op, (first, second), plan)
        return record_by(recipe, plan, t, (a, b))

    def general(a, b):
        ta, tb = isinstance(a, Tensor), isinstance(b, Tensor)
        if ta is not tb and type(b if ta else a) in (int, float, complex) and (a if ta else b)._layout.dtype.is_complex:
            first, second = (a, constant(b, a._layout.dtype)) if ta else (constant(a, b._layout.dtype), b)
            if (first._layout, second._layout) in plans:
                return op(first, second)
        if not ((ta or is_scalar(a)) and (tb or is_scalar(b))):
            bad = b if (ta or is_scalar(a)) else a
            raise TypeError(f"{name}(): expected Tensors or numbers, got {type(bad).__name__}")
        if not ta and not tb:
            raise TypeError(
                f"{name}(): one of the arguments must be a Tensor, got {type(a).__name__} and {type(b).__name__}"
            )
        if no_bool and any(
            (v._layout.dtype is dt.bool) if isinstance(v, Tensor) else isinstance(v, bool)
            for v in (a, b)
        ):
            raise RuntimeError(f"{name}(): {no_bool}")
        common = result_type(a, b)
        if common.is_complex:
            from . import complex_numbers

            if name == "pow" and not tb and b in complex_numbers.POWERS:
                return complex_numbers.power(row, a, b)
            a, b = [v.to(common) if isinstance(v, Tensor) else constant(v, common) for v in (a, b)]
            ta = tb = True
            if name not in ("add", "sub", *_PRODUCTS):
                return complex_numbers.binary(row, a, b)
            if (a._layout, b._layout) in plans:
                return op(a, b)
        elif kind == "float" and not common.is_floating_point:
            common = dt.get_default_dtype()
        row.check(common)
        if ta and tb:
            if a._layout.dtype is not common or b._layout.dtype is not common:
                return op(a.to(common), b.to(common))
            la, lb = a._layout, b._layout
            shape = broadcast_shapes(la.shape, lb.shape, op=name)
            out = result_layout(dt.bool if kind == "bool" else common, shape, la, lb)
            kernels = "complex" if common.is_complex and name in _PRODUCTS else family
            plan = make_plan(kernels, row.kernel, (out,), (expanded(la, shape), expanded(lb, shape)), name=name)
            if la.shape != shape or lb.shape != shape:
                plan.extra = (
                    la.shape if la.shape != shape else None,
                    lb.shape if lb.shape != shape else None,
                )
            remember(plans, (la, lb), plan)
            return op(a, b)
        t, number = (a, as_number(b)) if ta else (b, as_number(a))
        # whole numbers and a float, or bools and an integer: the kernel converts them
        d = t._layout.dtype
        mixed = kind != "bool" and d is not common and (d is dt.bool if not common.is_floating_point else not d.is_floating_point)
        if t._layout.dtype is not common and not mixed:
            t = t.to(common)
        if not common.is_floating_point:
            # integers: the number must fit; -1 < 3u8 and the like compare beyond the type's range
            if kind == "bool" and common is not dt.bool:
                info = dt.iinfo(common)
                if not info.min <= number <= info.max:
                    full = to_tensor(name, number, dt.int64)
                    return op(t.to(dt.int64), full) if ta else op(full, t.to(dt.int64))
            number = fit_scalar(name, number, common)
            if ta and whole_from is not None and number < whole_from:
                raise RuntimeError(
                    f"{name}(): Integers to negative integer powers are not allowed (a {common.name} tensor, {number}); convert the "
                    "tensor first, as with .float()"
                )
            if common is dt.bool:
                number = bool(number)  # a plan for bools must not be found by an int
        else:
            number = float(number) if isinstance(number, bool) else number
        lay = t._layout
        out = result_layout(dt.bool if kind == "bool" else common, lay.shape, lay)
        plan = _scalar_plan(row, out, lay, ta)
        key = (lay, type(number)) if ta else (type(number), lay)
        if type(number) is float and abs(number) == float("inf") and not common.is_floating_point:
            raise RuntimeError(f"{name}: {number} does not fit {common.name}")
        remember(plans, key, plan)
        if mixed and common.is_floating_point:
            _of_default.append((op, plans, key))
        return op(t, number) if ta else op(number, t)

    op = quick(anew, recipe, 2)
    left_number, right_number = name not in _TENSOR_FIRST | _TENSORS_ONLY, name not in _TENSORS_ONLY

    def function(input, other, *, out=None):
        first, second = isinstance(input, Tensor), isinstance(other, Tensor)
        if not ((first or left_number) and (second or right_number) and (first or second)):
            raise TypeError(
                f"{name}(): argument {'other' if first else 'input'!r} must be Tensor, not {type(other if first else input).__name__}"
            )
        if out is None:
            return op(input, other)
        if first and second and isinstance(out, Tensor) and write_directly(plans.get((input._layout, other._layout)), out, input, other):
            return out
        if first and not second and write_with_number(row, out, input, other):
            return out
        return write_out(name, out, op(input, other))

    def method_(self, other):
        if not right_number and not isinstance(other, Tensor):
            raise TypeError(
                f"{name}(): argument 'other' must be Tensor, not {type(other).__name__}"
            )
        return op(self, other)

    return _finish(row, op, function, method_, inplace, aliases, methods)


_of_default: list = []  # (function, plans, key) of plans whose result is of the default dtype


def _forget_defaults():
    for op, plans, key in _of_default:
        plans.pop(key, None)
        if hasattr(op, "forget"):
            op.forget()
    _of_default.clear()


dt.forgets.append(_forget_defaults)


def _scalar_plan(row, out, lay, scalar_is_right):
    """A plan whose other operand is a number given at each run."""
    plan = make_plan(
        row.family, row.kernel, (out,), (lay,), (1 if scalar_is_right else 2,), name=row.name
    )
    number = lay.dtype if out.dtype is dt.bool else out.dtype
    if number is dt.bool:
        plan.bounds = (0, 1)
    elif not number.is_floating_point:
        info = dt.iinfo(number)
        low = info.min if row.whole_from is None or not scalar_is_right else row.whole_from
        plan.bounds = (low, info.max)
    return plan


def _combined(derivatives):
    """For each choice of the inputs that want a gradient (1: a, 2: b, 3: both): the rules, which of a, b and
    the result they get, and the result's place there. None: the row has no derivative."""
    da, db = derivatives
    if da is None and db is None:
        return None
    out = [None]
    for choice in (1, 2, 3):
        chosen = [d if choice >> i & 1 else None for i, d in enumerate((da, db))]
        keep = tuple(k for k in "aby" if any(d is not None and k in _parameters(d) for d in chosen))
        # An input without a derivative (the row has one for the other only) gets none.
        rule = tuple(_no_gradient if d is None else _adapted(d, keep) for d in chosen)
        kept = tuple({"a": 0, "b": 1, "y": RESULT}[k] for k in keep)
        out.append((rule, kept, kept.index(RESULT) if RESULT in kept else -1))
    return out


def _no_gradient(g, *saved):
    return None


def _adapted(fn, keep):
    """`fn` as a function of the gradient and all that is kept."""
    want = _parameters(fn)
    if want == keep:
        return fn
    at = tuple(keep.index(k) for k in want)
    if len(at) == 0:
        return lambda g, *saved: fn(g)
    if len(at) == 1:
        i = at[0]
        return lambda g, *saved: fn(g, saved[i])
    return lambda g, *saved: fn(g, *[saved[i] for i in at])


def _reduced(rule, shape):
    return lambda g, *saved: sum_to(rule(g, *saved), shape)
