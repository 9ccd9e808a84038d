"""Programs written for PyTorch (tests/programs) give the same numbers here: only their import lines change."""

import importlib.util
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: F401  the programs import it

PROGRAMS = sorted((Path(__file__).parent.parent / "programs").glob("*.py"))


def translated(source):
    """The program with dlgrad in the place of torch, in import lines only."""
    source = re.sub(r"^import torch\.([\w.]+)$", r"import dlgrad.\1", source, flags=re.M)
    source = re.sub(r"^import torch\.([\w.]+) as", r"import dlgrad.\1 as", source, flags=re.M)
    source = re.sub(r"^import torch$", "import dlgrad as torch", source, flags=re.M)
    return re.sub(r"^from torch\b", "from dlgrad", source, flags=re.M)


def run(path, source):
    """What the program's main() returns."""
    spec = importlib.util.spec_from_loader(f"program_{path.stem}", None)
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  our own files
    return module.main()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(path):
    source = path.read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(path, source)
        ours = run(path, translated(source))
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), 1e-4, 1e-5)
