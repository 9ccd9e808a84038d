"""The command line: info and demo; the data that ships, IDX files, the examples."""

import gzip
import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import dlgrad
from dlgrad import datasets

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*arguments, cwd=None, check=True, **environment):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def idx(path, shape, data, kind=8):
    raw = struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + data
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def test_info():
    out = run("-m", "dlgrad", "info").stdout
    for part in (
        "dlgrad",
        "CPU level",
        "threads",
        "caches",
        "memory",
        "optional packages",
        "numpy",
    ):
        assert part in out


def test_demo_reaches_97_percent(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("-m", "dlgrad", "demo", "--out", tmp_path / "sub" / "figure.png").stdout.splitlines()
    assert out[-1].startswith("test accuracy: ") and float(out[-1].split()[-1][:-1]) >= 97.0
    assert any(line.startswith("train accuracy: ") for line in out) and any(
        "s per epoch" in line for line in out
    )
    assert f"figure: {tmp_path / 'sub' / 'figure.png'}" in out
    assert (tmp_path / "sub" / "figure.png").read_bytes()[:4] == b"\x89PNG"


# The command line where matplotlib is not installed: drawing takes longer than training.
WITHOUT_FIGURE = (
    "import sys; sys.modules['matplotlib'] = None; from dlgrad.__main__ import main; main()"
)


def weights(tmp_path, *options, **environment):
    """A hash of the weights that the demo trains, and the last line that it prints."""
    path = tmp_path / "weights"
    path.unlink(missing_ok=True)
    out = run("-c", WITHOUT_FIGURE, "demo", *options, "--save", path, **environment)
    return hashlib.sha256(path.read_bytes()).hexdigest(), out.stdout.splitlines()[-1]


@pytest.mark.parametrize(("model", "epochs"), [("mlp", 2), ("cnn", 1)])
def test_same_bits_whatever_the_threads_and_the_cpu_level(tmp_path, model, epochs):
    options = ("--model", model, "--epochs", epochs)
    first = weights(tmp_path, *options, DLGRAD_NUM_THREADS="1")
    assert weights(tmp_path, *options, DLGRAD_NUM_THREADS="2") == first
    level = run("-c", "from dlgrad.info import cpu_level; print(cpu_level())").stdout.strip()
    if level == "x86_64_v4":
        assert weights(tmp_path, *options, DLGRAD_CPU="x86_64_v3") == first


def write_mnist(folder, packed):
    """A data set in MNIST's files: the digits, four pixels for one."""
    images, labels = datasets.digits()
    wide = images.repeat_interleave(3, 1).repeat_interleave(3, 2)
    for kind, part in (("train", slice(0, 1400)), ("t10k", slice(1400, 1797))):
        ending = ".gz" if packed else ""
        x = wide[part]
        idx(
            folder / f"{kind}-images-idx3-ubyte{ending}",
            tuple(x.shape),
            bytes(x.flatten().tolist()),
        )
        idx(
            folder / f"{kind}-labels-idx1-ubyte{ending}",
            (x.shape[0],),
            bytes(labels[part].tolist()),
        )


@pytest.mark.parametrize("packed", [False, True])
def test_demo_on_idx_files(tmp_path, packed):
    write_mnist(tmp_path, packed)
    out = run("-c", WITHOUT_FIGURE, "demo", "--data", tmp_path, "--epochs", 1).stdout
    assert "no figure" in out
    assert "1,400 images to train on, 397 held out" in out
    ending = ".gz" if packed else ""
    victim = tmp_path / f"t10k-labels-idx1-ubyte{ending}"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    done = run("-m", "dlgrad", "demo", "--data", tmp_path, check=False)
    assert done.returncode == 1 and victim.name in done.stderr and "Traceback" not in done.stderr
    victim.unlink()
    done = run("-m", "dlgrad", "demo", "--data", tmp_path, check=False)
    assert (
        done.returncode == 1
        and "t10k-labels-idx1-ubyte" in done.stderr
        and "missing" in done.stderr
    )
    done = run("-m", "dlgrad", "demo", "--data", tmp_path / "nowhere", check=False)
    assert done.returncode == 1 and "does not exist" in done.stderr


def test_idx_files(tmp_path):
    path = tmp_path / "x"
    idx(path, (2, 2), struct.pack(">4i", 1, -2, 3, 4), kind=0x0C)
    assert datasets.read_idx(path).tolist() == [[1, -2], [3, 4]]
    idx(path, (2,), struct.pack(">2d", 0.5, -1.5), kind=0x0E)
    assert datasets.read_idx(path).tolist() == [0.5, -1.5]
    for data, fault in (
        (b"", "no IDX file"), (b"\x89PNG1234", "no IDX file"), (b"\0\0\x08\x03\0\0", "cut short"), (b"\0\0\x08\x01\0\0\0\x05abc", "cut short"),
        (b"\0\0\x08\x01\0\0\0\x01abc", "damaged"), (gzip.compress(b"\0\0\x08\x01\0\0\0\x01a")[:-9], "damaged"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(datasets.DataError, match=fault) as caught:
            datasets.read_idx(path)
        assert str(path) in str(caught.value)


def test_shipped_data():
    images, labels = datasets.digits()
    assert (
        images.shape == (1797, 8, 8) and images.dtype == dlgrad.uint8 and images.max().item() == 16
    )
    assert sorted(set(labels.tolist())) == list(range(10))
    text = datasets.shakespeare()
    assert len(text) > 90_000 and "MACBETH" in text
    folder = Path(datasets.__file__).parent / "data"
    attribution = (folder / "README.md").read_text()
    assert "CC BY" in attribution or "Creative Commons" in attribution
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000


def test_wrong_arguments():
    assert run("-m", "dlgrad", "demo", "--epochs", "0", check=False).returncode == 2
    assert run("-m", "dlgrad", "nothing", check=False).returncode == 2


@pytest.mark.parametrize("arguments", [
    ("mlp.py", "--epochs", "2"), ("cnn.py", "--epochs", "1"), ("gpt.py", "--steps", "3", "--sample", "20", "--width", "16", "--layers", "1", "--heads", "2"),
], ids=lambda a: a[0])  # fmt: skip
def test_examples_run(tmp_path, arguments):
    out = run(EXAMPLES / arguments[0], *arguments[1:], cwd=tmp_path).stdout
    assert out.strip()
