"""Files that PyTorch wrote: state dicts, shared memory, code that must not run, damage."""

import os

import pytest
import torch

import dlgrad
from dlgrad import nn
from dlgrad.serialization import CheckpointError

from .both import agree, name_of
from .record_golden import GOLDEN, checkpoint


def compare(ours, theirs):
    """The same structure, and equal tensors, parameters, dtypes, numbers and texts."""
    if isinstance(theirs, torch.Tensor):
        agree(ours, theirs, ulps=0)
        assert isinstance(ours, nn.Parameter) == isinstance(theirs, torch.nn.Parameter)
        assert ours.stride() == theirs.stride() and ours.requires_grad == theirs.requires_grad
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            compare(ours[key], theirs[key])
    elif type(theirs) in (list, tuple):
        assert type(ours) is type(theirs) and len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            compare(a, b)
    elif isinstance(theirs, torch.dtype):
        assert name_of(ours) == name_of(theirs)
    else:
        assert ours == theirs


def test_pytorch_file(tmp_path):
    given = checkpoint(torch)
    torch.save(given, tmp_path / "x.pt")
    compare(dlgrad.load(tmp_path / "x.pt"), given)


def test_pytorchs_old_format_is_refused(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="x.pt.*pickle"):
        dlgrad.load(tmp_path / "x.pt")


def test_recorded_checkpoint_is_fresh():
    recorded = torch.load(GOLDEN / "checkpoint.pt")
    compare(dlgrad.load(GOLDEN / "checkpoint.pt"), recorded)
    fresh = checkpoint(torch)
    assert list(recorded) == list(fresh)
    for key, value in fresh["model"].items():
        assert torch.equal(value, recorded["model"][key])


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
