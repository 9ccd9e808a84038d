"""save and load: round trips, other libraries' files, damaged files, interrupted writing."""

import collections
import io
import json
import os
import struct
import threading
import zipfile
from pathlib import Path

import pytest

import dlgrad
from dlgrad import nn
from dlgrad.serialization import CheckpointError, load_file, save_file

DTYPES = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
]


def same(a, b):
    if isinstance(a, dlgrad.Tensor):
        assert a.dtype == b.dtype and tuple(a.shape) == tuple(b.shape)
        assert a.float().tolist() == b.float().tolist()
        return
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert a == b or (a != a and b != b)


def test_state_dict_round_trip(tmp_path):
    path = tmp_path / "model.safetensors"
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state = model.state_dict()
    dlgrad.save(state, path)
    loaded = dlgrad.load(path)
    same(loaded, state)
    assert loaded._metadata == state._metadata
    assert str(model.load_state_dict(loaded)) == "<All keys matched successfully>"
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype, tmp_path):
    t = dlgrad.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(dlgrad, dtype))
    for value in (t, t.t(), t[:, 1:], t[0, 0], dlgrad.empty(0, 3, dtype=t.dtype)):
        stream = io.BytesIO()
        dlgrad.save({"x": value}, stream)
        stream.seek(0)
        same(dlgrad.load(stream), {"x": value})


def test_any_structure(tmp_path):
    shared = dlgrad.arange(6.0)
    given = {
        "epoch": 3, "list": [1, 2.5, None, True, (1, "a"), float("inf"), float("nan"), 2**80, -0.0], 7: "int key", (1, 2): dlgrad.ones(()),
        "counter": collections.Counter("aab"), "bytes": b"\0\xff", "set": {1, 2}, "dtype": dlgrad.float16, "size": dlgrad.Size([2, 3]),
        "ordered": collections.OrderedDict(b=1, a=dlgrad.zeros(2)), "deep": {"a": {"b": [dlgrad.ones(1), {"c": shared}]}}, "again": shared,
        "__metadata__": dlgrad.ones(2), "a.b": dlgrad.ones(1), "a": {"b": dlgrad.zeros(1)}, "complex": 1 + 2j,
    }  # fmt: skip
    path = str(tmp_path / "x")
    dlgrad.save(given, path)
    loaded = dlgrad.load(path)
    same(loaded, given)
    assert loaded["again"] is loaded["deep"]["a"]["b"][1]["c"]  # stored once
    for plain in (None, 3, "text", [], dlgrad.arange(3)):
        dlgrad.save(plain, path)
        same(dlgrad.load(path), plain)


def test_parameters_stay_parameters(tmp_path):
    p = nn.Parameter(dlgrad.ones(2), requires_grad=False)
    x = dlgrad.ones(2, requires_grad=True)
    dlgrad.save([p, x], tmp_path / "p")
    q, y = dlgrad.load(tmp_path / "p")
    assert type(q) is nn.Parameter and not q.requires_grad and y.requires_grad and y.is_leaf


def test_optimizer_state_round_trip(tmp_path):
    def make():
        dlgrad.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = dlgrad.optim.Adam(model.parameters(), lr=0.1)
        return model, optimizer, dlgrad.optim.lr_scheduler.StepLR(optimizer, 2)

    def step(model, optimizer, scheduler):
        optimizer.zero_grad()
        (model(dlgrad.ones(1, 3)) ** 2).sum().backward()
        optimizer.step()
        scheduler.step()

    one = make()
    for _ in range(3):
        step(*one)
    dlgrad.save([part.state_dict() for part in one], tmp_path / "checkpoint")
    two = make()
    for part, state in zip(two, dlgrad.load(tmp_path / "checkpoint")):
        part.load_state_dict(state)
    for each in (one, two):
        step(*each)
        step(*each)
    same(two[0].state_dict(), one[0].state_dict())
    assert one[2].get_last_lr() == two[2].get_last_lr()


def test_what_can_not_be_saved(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=r"Linear \(at obj\['model'\]\[0\]\).*state_dict"):
        dlgrad.save({"model": [nn.Linear(1, 1)]}, path)
    with pytest.raises(TypeError, match="path or a file"):
        dlgrad.save({}, 3)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    dlgrad.save({"a": 1}, path)

    def broken(fd):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        dlgrad.save({"a": 2}, path)
    assert dlgrad.load(path) == {"a": 1} and os.listdir(tmp_path) == ["x"]


def test_safetensors_library_reads_and_writes_the_same_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = str(tmp_path / "x")
    tensors = {"b": dlgrad.arange(5), "a": dlgrad.ones(2, 3), "c": dlgrad.tensor([True])}
    dlgrad.save(tensors, path)
    there = safetensors.load_file(path)
    assert {k: v.tolist() for k, v in there.items()} == {k: v.tolist() for k, v in tensors.items()}
    safetensors.save_file(there, path, {"format": "np"})
    same({k: v for k, v in sorted(dlgrad.load(path).items())}, dict(sorted(tensors.items())))
    save_file(tensors, path, {"author": "me"})
    same(load_file(path)["a"], tensors["a"])


def raw_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("data, fault", [
    (b"", "empty"), (b"abc", "3 bytes"), (bytes([0x91, 2, 0, 0, 0, 0, 0]) + b"\x7f" + b"x" * 90, "cut short"), (b"PK\x03\x04 not a checkpoint" * 9, "damaged"),
    (b"\x80\x02}q\x00.", "pickle"), (raw_file(b"{nonsense"), "header"), (raw_file(b"[1]"), "no JSON object"), (raw_file({"x": entry()}, b"123"), "cut short"),
    (raw_file({"x": entry()}, b"12345"), "1 bytes too many"), (raw_file({"x": entry(shape=(2,))}, b"1234"), "'x' of shape [2]"),
    (raw_file({"x": entry("F7")}, b"1234"), "dtype F7"), (raw_file({"x": {"dtype": "F32"}}, b"1234"), "bad header entry for tensor 'x'"),
    (raw_file({"x": entry(shape=(-1,), offsets=(0, -4))}), "bad header entry"), (raw_file({"x": entry(), "y": entry()}, b"1234"), "begins at byte 0"),
    (raw_file({"x": entry(offsets=(4, 8))}, b"12345678"), "begins at byte 4"), (raw_file({"__metadata__": {"dlgrad": "{"}}), "structure"),
    (raw_file({"__metadata__": {"dlgrad": '{"version":1,"object":{"tensor":"missing"}}'}}), "structure"),
    (raw_file({"__metadata__": {"dlgrad": '{"version":9}'}}), "newer dlgrad"),
])  # fmt: skip
def test_damaged_files_are_named(tmp_path, data, fault):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        dlgrad.load(path)
    assert "bad.safetensors" in str(caught.value) and fault in str(caught.value)


def test_every_cut_of_a_file_is_noticed(tmp_path):
    stream = io.BytesIO()
    dlgrad.save({"a": dlgrad.arange(4), "b": [dlgrad.ones(2)]}, stream)
    whole = stream.getvalue()
    for length in range(len(whole)):
        with pytest.raises(CheckpointError):
            dlgrad.load(io.BytesIO(whole[:length]))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        dlgrad.load(tmp_path / "nothing")


# ---------------------------------------------------------------------------------------------- PyTorch's files

CHECKPOINT = Path(__file__).parent / "golden" / "checkpoint.pt"  # parity/record_golden.py wrote it


def test_pytorch_checkpoint():
    loaded = dlgrad.load(CHECKPOINT)
    dlgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = dlgrad.optim.Adam(model.parameters())
    model(dlgrad.ones(2, 3)).sum().backward()
    optimizer.step()
    state = model.state_dict()
    assert list(loaded["model"]) == list(state)
    for key, value in loaded["model"].items():
        assert value.dtype == state[key].dtype and dlgrad.allclose(value, state[key]), key
    assert str(model.load_state_dict(loaded["model"])) == "<All keys matched successfully>"
    assert loaded["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(loaded["optimizer"])
    for name, value in loaded["dtypes"].items():
        assert value.dtype is getattr(dlgrad, name)
        assert value.tolist() == ([False, True, True] if name == "bool" else [0, 1, 2])
    assert type(loaded["parameter"]) is nn.Parameter and loaded["parameter"].requires_grad
    assert loaded["others"] == [None, (1, 2.5), dlgrad.float16, dlgrad.Size([2, 1]), True, "text"]


def test_views_in_a_pytorch_checkpoint_share_memory():
    loaded = dlgrad.load(CHECKPOINT)
    assert loaded["transposed"].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert not loaded["transposed"].is_contiguous()
    loaded["row"][0] = 99.0
    assert loaded["transposed"][0, 1].item() == 99.0


def test_every_damage_to_a_pytorch_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "x.pt"
    whole = CHECKPOINT.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="x.pt"):
            dlgrad.load(path)
    with zipfile.ZipFile(CHECKPOINT) as archive:
        place = next(i for i in archive.infolist() if i.filename.endswith("/data/0")).header_offset
    start = whole.index(dlgrad.load(CHECKPOINT)["model"]["0.weight"].numpy().tobytes(), place)
    path.write_bytes(whole[: start + 5] + bytes([whole[start + 5] ^ 1]) + whole[start + 6 :])
    with pytest.raises(CheckpointError, match="x.pt"):
        dlgrad.load(path)


def test_a_pytorch_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "evil.pt"
    for call in (b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n"):
        ran = tmp_path / "ran"
        program = b"\x80\x02" + call + b"X" + struct.pack("<I", len(str(ran)) + 6)
        program += f"touch {ran}".encode() + b"\x85R."
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", program)
            archive.writestr("x/byteorder", "little")
            archive.writestr("x/version", "3\n")
        with pytest.raises(CheckpointError, match="evil.pt.*" + call[1:].split()[1].decode()):
            dlgrad.load(path)
        assert not ran.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
def test_a_pipe_is_written_to_and_not_replaced(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    dlgrad.save({"x": dlgrad.ones(3)}, path)
    reader.join()
    assert not path.is_file() and os.path.exists(path)
    (tmp_path / f"copy-{name}").write_bytes(received[0])
    assert dlgrad.load(tmp_path / f"copy-{name}")["x"].tolist() == [1, 1, 1]
