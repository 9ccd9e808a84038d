"""Files that PyTorch wrote: state dicts, shared memory, code that must not run, damage."""

import os

import pytest
import torch

import dlgrad
from dlgrad import nn
from dlgrad.serialization import CheckpointError


def test_pytorch_file(tmp_path):
    path = tmp_path / "x.pt"
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "p": torch.nn.Parameter(torch.ones(2)), "t": base.t(), "row": base[1],
        "half": torch.ones(2, dtype=torch.bfloat16), "bool": torch.tensor([True]), "dtype": torch.float32, "size": torch.Size([1]), "n": [None, (1, 2.5)],
    }, path)  # fmt: skip
    loaded = dlgrad.load(path)
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert str(ours.load_state_dict(loaded["model"])) == "<All keys matched successfully>"
    assert ours[0].weight.tolist() == model[0].weight.tolist()
    dlgrad.optim.Adam(ours.parameters()).load_state_dict(loaded["optimizer"])
    assert loaded["t"].tolist() == base.t().tolist() and type(loaded["p"]) is nn.Parameter
    loaded["row"][0] = 99.0  # the two share memory, as they did
    assert loaded["t"][0, 1].item() == 99.0
    assert (
        loaded["dtype"] == dlgrad.float32
        and loaded["n"] == [None, (1, 2.5)]
        and loaded["half"].dtype == dlgrad.bfloat16
    )


def test_pytorch_file_that_wants_to_run_code(tmp_path):
    path = tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self):
            return os.system, ("touch " + str(tmp_path / "ran"),)

    torch.save({"x": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"evil.pt.*system"):
        dlgrad.load(path)
    assert not (tmp_path / "ran").exists()
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(CheckpointError, match="state_dict"):
        dlgrad.load(path)


def test_damaged_pytorch_file(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.ones(300)}, path)
    whole = path.read_bytes()
    for data in (
        whole[:-200],
        whole[: len(whole) // 2],
        whole.replace(b"\0\0\x80\x3f", b"\0\0\x80\x3e", 3),
    ):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="x.pt"):
            dlgrad.load(path)
