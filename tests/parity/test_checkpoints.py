"""Checkpoints in PyTorch's format: torch.load reads what dlgrad.save writes, and the other way round."""

import collections

import numpy as np
import pytest
import torch

import dlgrad


def build(m):
    m.manual_seed(0)
    model = m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 2))
    optimizer = m.optim.Adam(model.parameters(), lr=0.01)
    model(m.randn(5, 3)).pow(2).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("writer, reader", [(dlgrad, torch), (torch, dlgrad), (dlgrad, dlgrad)])
def test_training_state(writer, reader, tmp_path):
    model, optimizer = build(writer)
    state = {
        "model": model.state_dict(),
        "optim": optimizer.state_dict(),
        "epoch": 3,
        "args": {"lr": 0.1, "names": ("a", None)},
    }
    writer.save(state, tmp_path / "checkpoint.pt")
    read = reader.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert read["epoch"] == 3 and read["args"] == {"lr": 0.1, "names": ("a", None)}
    other, others = build(reader)
    for p in other.parameters():
        p.data.zero_()
    assert not any(other.load_state_dict(read["model"]))
    others.load_state_dict(read["optim"])
    x = np.ones((2, 3), np.float32)
    a, b = model.eval()(writer.from_numpy(x)), other.eval()(reader.from_numpy(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-6, 1e-6)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(
            optimizer.state[p]["exp_avg"].numpy(), others.state[q]["exp_avg"].numpy()
        )


@pytest.mark.parametrize(
    "name", "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
)
def test_tensors(name, tmp_path):
    base = dlgrad.arange(12).view(3, 4).to(getattr(dlgrad, name))
    ordered = collections.OrderedDict(
        view=base.t()[1:], base=base, scalar=base[1, 2], empty=base[:0]
    )
    dlgrad.save(
        {"all": ordered, "dtype": base.dtype, "size": base.shape, "device": base.device},
        tmp_path / "x.pth",
    )
    read = torch.load(tmp_path / "x.pth", weights_only=False)
    assert (
        read["dtype"] is getattr(torch, name)
        and read["size"] == (3, 4)
        and read["device"] == torch.device("cpu")
    )
    for key, theirs in read["all"].items():
        ours = ordered[key]
        assert tuple(theirs.shape) == tuple(ours.shape) and theirs.stride() == tuple(ours.stride())
        assert theirs.tolist() == ours.tolist()
    if base.numel():
        read["all"]["view"].zero_()
        assert read["all"]["base"][:, 1:].double().sum() == 0  # they share memory, as before
    again = dlgrad.load(tmp_path / "x.pth")
    assert again["all"]["base"].tolist() == base.tolist()


def test_plain_values(tmp_path):
    value = {
        "s": {1, 2},
        "b": b"\x00\xff",
        "c": 1 + 2j,
        "n": None,
        "l": [True, 2**70, -1.5],
        ("k", 1): frozenset((3,)),
    }
    dlgrad.save(value, tmp_path / "x.pt")
    assert (
        torch.load(tmp_path / "x.pt", weights_only=False) == value == dlgrad.load(tmp_path / "x.pt")
    )


def test_refusals(tmp_path):
    with pytest.raises(TypeError, match="state_dict"):
        dlgrad.save(dlgrad.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(TypeError, match="function"):
        dlgrad.save({"f": lambda: 1}, tmp_path / "f.pt")
    with pytest.raises(TypeError, match="type"):
        dlgrad.save({"f": dlgrad.nn.Linear}, tmp_path / "f.pt")
    assert not list(tmp_path.iterdir())
