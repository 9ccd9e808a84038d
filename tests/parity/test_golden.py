"""The recorded numbers in tests/golden are what PyTorch gives."""

import json
import warnings

import pytest
import torch
import torch.utils.data.distributed
from recipes import RECIPES
from test_golden import differences

from .record_golden import GOLDEN, as_text


@pytest.mark.parametrize("name", RECIPES)
def test_recorded_numbers_are_fresh(name):
    """Again what was recorded, but for last bits, which depend on PyTorch's build and the CPU."""
    recipe, rtol, atol = RECIPES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = json.loads(as_text(recipe(torch)))
    wanted = json.loads((GOLDEN / f"{name}.json").read_text())
    wrong = differences(found, wanted, max(rtol, 1e-6), max(atol, 1e-6))
    assert not wrong, "run tests/parity/record_golden.py\n" + "\n".join(wrong[:20])
