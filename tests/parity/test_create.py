"""Sequences to the last bit, and tensors of Python data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dlgrad

from .both import name_of, outcome

NUMBER = st.one_of(st.integers(0, 40), st.floats(0, 40).map(lambda v: round(v, 2)))
DTYPE = st.sampled_from(
    ("uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
)


@given(start=NUMBER, end=NUMBER, steps=st.integers(0, 70), dtype=DTYPE)
def test_linspace(start, end, steps, dtype):
    ours, theirs = (
        m.linspace(start, end, steps, dtype=getattr(m, dtype)).tolist() for m in (dlgrad, torch)
    )
    assert ours == theirs


@given(start=NUMBER, end=NUMBER, step=NUMBER, dtype=DTYPE)
def test_arange(start, end, step, dtype):
    if start > end:
        step = -step
    (ours, error), (theirs, theirs_error) = (
        outcome(lambda m=m: m.arange(start, end, step, dtype=getattr(m, dtype)).tolist())
        for m in (dlgrad, torch)
    )
    assert (error is None) == (theirs_error is None), (error, theirs_error)
    assert ours == theirs


DATA = {
    "numpy numbers": lambda m: [np.float64(1.5), 2],
    "small numpy numbers": lambda m: [[np.int32(1)], [2]],
    "numpy bools": lambda m: [[np.bool_(True)], [np.bool_(False)]],
    "nested arrays": lambda m: [[np.ones(2, np.float32)], [np.zeros(2, np.float32)]],
    "arrays of two dtypes": lambda m: [np.ones(2), np.zeros(2, np.float32)],
    "tensors of two dtypes": lambda m: [m.tensor(1), m.tensor(2.5)],
    "a number and a tensor": lambda m: [1, m.tensor(2.5)],
    "vectors of one element": lambda m: [m.ones(1), m.ones(1)],
    "vectors of two elements": lambda m: [[m.ones(2)], [m.ones(2)]],
    "ranges": lambda m: [range(3), range(3)],
    "ragged": lambda m: [[1, 2], [3]],
    "empty": lambda m: [[], []],
    "mixed": lambda m: [True, 2, 3.5],
}


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list")
@pytest.mark.parametrize("name", DATA)
def test_tensor(name):
    (ours, error), (theirs, theirs_error) = (
        outcome(lambda m=m: m.tensor(DATA[name](m))) for m in (dlgrad, torch)
    )
    assert type(error) is type(theirs_error)
    if error is None:
        assert name_of(ours.dtype) == name_of(theirs.dtype)
        assert ours.tolist() == theirs.tolist()
