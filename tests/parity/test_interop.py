"""DLPack and arrays between PyTorch and dlgrad, both ways."""

import gc

import pytest
import torch

import dlgrad

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0)])
def test_round_trip(name, shape):
    theirs = torch.arange(6)[: max(1, len(shape) and 6)].to(getattr(torch, name))
    theirs = theirs[0].clone() if shape == () else theirs[: torch.Size(shape).numel()].reshape(shape)
    mine = dlgrad.from_dlpack(theirs)
    assert mine.dtype is getattr(dlgrad, name) and mine.tolist() == theirs.tolist()
    back = torch.from_dlpack(mine)
    assert back.dtype is theirs.dtype and torch.equal(back, theirs)
    copied = dlgrad.tensor(theirs)
    assert copied.dtype is mine.dtype and copied.tolist() == theirs.tolist()
    if theirs.numel():
        assert back.data_ptr() == mine.data_ptr() == theirs.data_ptr() != copied.data_ptr()


def test_memory_is_shared_and_kept():
    mine = dlgrad.arange(6.0).reshape(2, 3).transpose(0, 1)
    theirs = torch.from_dlpack(mine)
    assert theirs.stride() == mine.stride()
    theirs[2, 1] = 50
    assert mine[2, 1].item() == 50
    mine = None
    gc.collect()
    assert theirs.tolist() == [[0, 3], [1, 4], [2, 50]]
    theirs = torch.ones(4)
    mine = dlgrad.from_dlpack(torch.utils.dlpack.to_dlpack(theirs))
    theirs.mul_(3)
    theirs = None
    gc.collect()
    assert mine.tolist() == [3, 3, 3, 3]


def test_gradients_are_refused():
    with pytest.raises(BufferError):
        torch.from_dlpack(dlgrad.ones(2, requires_grad=True))
    with pytest.raises(BufferError):
        dlgrad.from_dlpack(torch.ones(2, requires_grad=True))
