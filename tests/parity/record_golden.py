"""Writes tests/golden/: what PyTorch gives for the recipes in tests/recipes.py, and a checkpoint.

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


def checkpoint(torch):
    """What is in tests/golden/checkpoint.pt: a training's state, views that share memory, dtypes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    base = torch.arange(12.0).reshape(3, 4)
    dtypes = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "transposed": base.t(),
        "row": base[1],
        "dtypes": {name: torch.tensor([0, 1, 2]).to(getattr(torch, name)) for name in dtypes},
        "others": [None, (1, 2.5), torch.float16, torch.Size([2, 1]), True, "text"],
    }


def record():
    import torch
    import torch.utils.data.distributed
    from recipes import RECIPES

    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    torch.save(checkpoint(torch), GOLDEN / "checkpoint.pt")
    for name, (recipe, *_) in RECIPES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = GOLDEN / f"{name}.json"
            path.write_text(as_text(recipe(torch)))
            print(path.name, path.stat().st_size, "bytes, PyTorch", torch.__version__)


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    record()
