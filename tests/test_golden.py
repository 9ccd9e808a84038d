"""A seed gives PyTorch's numbers: draws, initial weights, training, learning rates, orders of data;
against numbers recorded from PyTorch (tests/golden/), so without PyTorch."""

import json
import math
import warnings
from pathlib import Path

import pytest
from recipes import RECIPES

import dlgrad
import dlgrad.nn
import dlgrad.optim.lr_scheduler
import dlgrad.utils.data.distributed  # noqa: F401
from dlgrad.info import cpu_level

GOLDEN = Path(__file__).parent / "golden"


def differences(found, wanted, rtol, atol, where=""):
    """What differs between two structures of numbers and texts, in words."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        if list(found) != list(wanted):
            return [f"{where}: keys {list(found)} instead of {list(wanted)}"]
        pairs = [(f"{where} {key}", found[key], wanted[key]) for key in wanted]
    elif isinstance(wanted, list) and isinstance(found, (list, tuple)):
        if len(found) != len(wanted):
            return [f"{where}: {found} instead of {wanted}"]
        pairs = [(f"{where} [{i}]", a, b) for i, (a, b) in enumerate(zip(found, wanted))]
    elif isinstance(wanted, float) and isinstance(found, float):
        near = math.isclose(found, wanted, rel_tol=rtol, abs_tol=atol)
        return [] if near else [f"{where}: {found!r} instead of {wanted!r}"]
    else:
        same = type(found) is type(wanted) and found == wanted
        return [] if same else [f"{where}: {found!r} instead of {wanted!r}"]
    return [line for place, a, b in pairs for line in differences(a, b, rtol, atol, place)]


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_are_pytorchs(name):
    recipe, rtol, atol = RECIPES[name]
    if cpu_level() == "x86_64":  # without fused multiply-adds the last bits are others
        rtol, atol = max(rtol, 1e-5), max(atol, 1e-6)
    wanted = json.loads((GOLDEN / f"{name}.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = recipe(dlgrad)
    wrong = differences(found, wanted, rtol, atol)
    assert not wrong, "\n".join(wrong[:20])
