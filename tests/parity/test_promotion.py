"""Type promotion: every pair of dtypes, of every category (with dimensions, without, a number)."""

import itertools

import pytest
import torch

import dlgrad

from .both import DTYPES, agree, name_of, outcome

OPERATORS = ("add", "sub", "mul", "div", "pow", "remainder", "floor_divide", "maximum", "eq", "lt", "bitwise_and", "logical_or",
             "atan2", "fmod", "copysign", "xlogy", "heaviside", "hypot")  # fmt: skip
NUMBERS = {"bool": True, "int": 3, "float": 1.5}


def operands(module, dtype):
    """The ways in which a dtype can stand in an operation."""
    d = getattr(module, dtype)
    yield "dimensioned", module.ones(2, dtype=d)
    yield "0-d", module.ones((), dtype=d)


def test_promote_types_and_can_cast():
    for a, b in itertools.product(DTYPES, DTYPES):
        ours = dlgrad.promote_types(getattr(dlgrad, a), getattr(dlgrad, b))
        theirs = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert name_of(ours) == name_of(theirs), (a, b)
        ours = dlgrad.can_cast(getattr(dlgrad, a), getattr(dlgrad, b))
        assert ours == torch.can_cast(getattr(torch, a), getattr(torch, b)), (a, b)


def test_result_type():
    for a, b in itertools.product(DTYPES, DTYPES):
        for (ka, xa), (_, ya) in zip(operands(dlgrad, a), operands(torch, a)):
            for (kb, xb), (_, yb) in zip(operands(dlgrad, b), operands(torch, b)):
                assert name_of(dlgrad.result_type(xa, xb)) == name_of(torch.result_type(ya, yb)), (ka, a, kb, b)
        for n in NUMBERS.values():
            assert name_of(dlgrad.result_type(xa, n)) == name_of(torch.result_type(ya, n)), (a, n)


@pytest.mark.parametrize("op", OPERATORS)
def test_tensors(op):
    for a, b in itertools.product(DTYPES, DTYPES):
        for (ka, xa), (_, ya) in zip(operands(dlgrad, a), operands(torch, a)):
            for (kb, xb), (_, yb) in zip(operands(dlgrad, b), operands(torch, b)):
                theirs, error = outcome(lambda: getattr(torch, op)(ya, yb))
                if error is not None:
                    continue  # dlgrad may do more
                ours = getattr(dlgrad, op)(xa, xb)
                assert name_of(ours.dtype) == name_of(theirs.dtype), (op, ka, a, kb, b)
                assert ours.tolist() == theirs.tolist(), (op, ka, a, kb, b)


@pytest.mark.parametrize("op", OPERATORS)
def test_numbers(op):
    for a in DTYPES:
        for (kind, x), (_, y) in zip(operands(dlgrad, a), operands(torch, a)):
            for n in NUMBERS.values():
                theirs, error = outcome(lambda: getattr(torch, op)(y, n))
                if error is not None:
                    continue
                ours = getattr(dlgrad, op)(x, n)
                agree(ours, theirs, message=(op, kind, a, n))


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "//", "%", "**", "<", "==", "&", "|", "^"])
def test_operators_with_numbers_on_either_side(sign):
    for a in DTYPES:
        for n in NUMBERS.values():
            for text in (f"x {sign} n", f"n {sign} x"):
                y = torch.ones(2, dtype=getattr(torch, a))
                theirs, error = outcome(lambda: eval(text, {"x": y, "n": n}))
                if error is not None or theirs is NotImplemented:
                    continue
                ours = eval(text, {"x": dlgrad.ones(2, dtype=getattr(dlgrad, a)), "n": n})
                assert name_of(ours.dtype) == name_of(theirs.dtype), (a, text, n)
                assert ours.tolist() == theirs.tolist(), (a, text, n)


@pytest.mark.parametrize("op", ["add_", "mul_", "sub_", "div_"])
def test_in_place(op):
    """What fits in place fits there too, and what does not raises in both."""
    for a, b in itertools.product(DTYPES, DTYPES):
        theirs, error = outcome(lambda: getattr(torch.ones(2, dtype=getattr(torch, a)), op)(torch.ones(2, dtype=getattr(torch, b))))
        ours, our_error = outcome(lambda: getattr(dlgrad.ones(2, dtype=getattr(dlgrad, a)), op)(dlgrad.ones(2, dtype=getattr(dlgrad, b))))
        if error is None:
            assert our_error is None, (op, a, b, our_error)
            assert name_of(ours.dtype) == a and ours.tolist() == theirs.tolist(), (op, a, b)
        elif "bool tensor is not supported" not in str(error):  # dlgrad subtracts bools from numbers
            assert isinstance(our_error, RuntimeError), (op, a, b)


@pytest.mark.parametrize("op", ["sum", "mean", "prod", "cumsum", "exp", "sqrt", "abs", "neg", "floor", "round", "sign", "any", "max",
                                "argmax", "var", "relu", "sigmoid", "isnan", "square", "logical_not"])  # fmt: skip
def test_one_tensor(op):
    for a in DTYPES:
        more = (0,) if op == "cumsum" else ()
        theirs, error = outcome(lambda: getattr(torch, op)(torch.ones(3, dtype=getattr(torch, a)), *more))
        if error is not None:
            continue
        ours = getattr(dlgrad, op)(dlgrad.ones(3, dtype=getattr(dlgrad, a)), *more)
        assert name_of(ours.dtype) == name_of(theirs.dtype), (op, a)


def test_where_cat_and_stack():
    for a, b in itertools.product(DTYPES, DTYPES):
        for name, f in {
            "cat": lambda m, x, y: m.cat([x, y]),
            "stack": lambda m, x, y: m.stack([x, y]),
            "where": lambda m, x, y: m.where(m.tensor([True, False]), x, y),
        }.items():
            theirs, error = outcome(lambda: f(torch, torch.ones(2, dtype=getattr(torch, a)), torch.ones(2, dtype=getattr(torch, b))))
            if error is not None:
                continue
            ours = f(dlgrad, dlgrad.ones(2, dtype=getattr(dlgrad, a)), dlgrad.ones(2, dtype=getattr(dlgrad, b)))
            assert name_of(ours.dtype) == name_of(theirs.dtype), (name, a, b)


def test_the_default_dtype():
    for name in ("float64", "float32", "float16"):
        dlgrad.set_default_dtype(getattr(dlgrad, name))
        torch.set_default_dtype(getattr(torch, name))
        try:
            for f in (lambda m: m.tensor(1.5), lambda m: m.tensor([1, 2]) / 2, lambda m: m.ones(2), lambda m: m.arange(3) * 1.5,
                      lambda m: m.exp(m.tensor([1]))):  # fmt: skip
                assert name_of(f(dlgrad).dtype) == name_of(f(torch).dtype)
        finally:
            torch.set_default_dtype(torch.float32)
            dlgrad.set_default_dtype(dlgrad.float32)
