"""How a special function is made of Tensor operations: `elementwise1` and `elementwise2`.

The formulas run in float64 and are rounded once, so that float32 results are exact to the last bit or two. They may
divide by zero in the branch that `where` drops, so they run outside of the graph; the derivative is given beside.
"""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import record
from ..autograd.mode import no_grad
from ..ops.elementwise import as_number, is_scalar, result_type, sum_to, to_tensor
from ..ops.view import broadcast_tensors
from ..ops.writing import write_out
from ..tensor import Tensor


def polynomial(x, coefficients):
    """The polynomial in x with these coefficients, highest power first (Horner)."""
    total = x * 0 + coefficients[0]
    for c in coefficients[1:]:
        total = total * x + c
    return total


def chebyshev_series(x, coefficients):
    """Half the Clenshaw sum of a Chebyshev series in x / 2, highest order first (Cephes' chbevl)."""
    before, last, total = 0.0, 0.0, x * 0 + coefficients[0]
    for c in coefficients[1:]:
        before, last = last, total
        total = x * last - before + c
    return (total - before) * 0.5


def _floating(d):
    return d if d.is_floating_point else dt.get_default_dtype()


def elementwise1(name, formula, rule=None, doc=""):
    """The function of one tensor. formula: float64 tensor -> float64 tensor; rule(g, x, y): the derivative, None for a
    function that has none in PyTorch either (its results want no gradient)."""

    def function(input, *, out=None):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
        x = input.to(_floating(input.dtype))
        with no_grad():
            result = formula(x.detach().double()).to(x.dtype)
        if rule is not None:
            record(result, _node_name(name), rule, (x,), (x, None), own=1)
        return result if out is None else write_out(name, out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def elementwise2(name, formula, first=None, second=None, doc=""):
    """The function of two tensors, or a tensor and a number. formula: of two float64 tensors of one shape. first, second: the derivatives
    rule(g, a, b), or the text of why there is none."""

    def function(input, other, *, out=None):
        for value in (input, other):
            if not isinstance(value, Tensor) and not is_scalar(value):
                raise TypeError(f"{name}(): expected Tensors or numbers, got {type(value).__name__}")
        if not isinstance(input, Tensor) and not isinstance(other, Tensor):
            raise TypeError(f"{name}(): one of the arguments must be a Tensor")
        kind = _floating(result_type(input, other))
        a, b = (v.to(kind) if isinstance(v, Tensor) else to_tensor(name, as_number(v), kind) for v in (input, other))
        with no_grad():
            result = formula(*broadcast_tensors(a.detach().double(), b.detach().double())).to(kind)
        if first is not None or second is not None:
            rules = tuple(_summed(name, rule, t._layout.shape) for rule, t in ((first, a), (second, b)))
            record(result, _node_name(name), rules, (a, b), (a, b))
        return result if out is None else write_out(name, out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _node_name(name):
    return "Special" + "".join(word.capitalize() for word in name.split("_")) + "Backward0"


def _summed(name, rule, shape):
    """`rule` with its gradient summed to the input's shape; one that raises where there is no derivative."""

    def without(g, a, b):
        raise RuntimeError(f"the derivative for '{name}: {rule}' is not implemented.")

    if not callable(rule):
        return without
    return lambda g, a, b: sum_to(rule(g, a, b), shape)
