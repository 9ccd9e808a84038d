"""Writes tests/golden/*.json from what PyTorch gives for the recipes in tests/recipes.py.

python tests/parity/record_golden.py
"""

import json
import sys
import warnings
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden"


def as_text(found):
    """JSON with one entry a line, so that a change is a small diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def record():
    import torch
    import torch.utils.data.distributed
    from recipes import RECIPES

    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    for name, (recipe, *_) in RECIPES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = GOLDEN / f"{name}.json"
            path.write_text(as_text(recipe(torch)))
            print(path.name, path.stat().st_size, "bytes, PyTorch", torch.__version__)


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    record()
