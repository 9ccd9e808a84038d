"""The benchmark runs, counts right, and writes its files whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dlgrad

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from bench import __main__ as bench  # noqa: E402
from bench.programs import PROGRAMS, TINY  # noqa: E402


def test_tiny_run_writes_table_and_json(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny", "--json", str(tmp_path / "bench.json"),
         "--markdown", str(tmp_path / "bench.md")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "bench.json").read_text())
    assert list(found["seconds"]["1"]) == list(TINY)
    for result in found["seconds"]["1"].values():
        assert 0 < result["dlgrad"]["best"] <= result["dlgrad"]["median"] < 1
    assert (tmp_path / "bench.md").read_text() == done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench.json", "bench.md"]


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program_runs(name):
    run = PROGRAMS[name](dlgrad)
    run()
    run()


def test_summary_is_median_of_medians_and_best_of_all():
    rounds = [{"median": m, "best": b} for m, b in ((5.0, 2.0), (3.0, 1.0), (4.0, 3.0))]
    assert bench.summary(rounds) == {"median": 4.0, "best": 1.0}
    assert bench.summary([*rounds, {"error": "E"}]) == {"error": "E"}


def test_table_shows_ratio_and_failures():
    results = {1: {
        "a": {"dlgrad": {"median": 1e-6, "best": 9e-7}, "torch": {"median": 2e-6, "best": 1e-6}},
        "b": {"dlgrad": {"error": "E"}, "torch": {"median": 2e-3, "best": 1e-3}},
    }}  # fmt: skip
    lines = bench.table(results, ["dlgrad", "torch"]).splitlines()
    assert lines[2] == "| a | 1 | 1 us | 900 ns | 2 us | 1 us | 0.50 | 0.90 |"
    assert lines[3] == "| b | 1 | failed |  | 2 ms | 1 ms |  |  |"
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    "seconds, text",
    [(1.5, "1.5 s"), (0.0123, "12.3 ms"), (1e-3, "1 ms"), (45.67e-6, "45.7 us"), (89e-9, "89 ns"),
     (9.9999e-7, "1 us"), (999.7e-6, "1 ms"), (2345.0, "2345 s")],
)  # fmt: skip
def test_times_have_units(seconds, text):
    assert bench.text_of(seconds) == text


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--rounds", "0"], ["--threads", "x"], ["--threads", "0"]]
)
def test_wrong_arguments_are_named(arguments, capsys):
    with pytest.raises(SystemExit) as failure:
        bench.parse(arguments)
    assert failure.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_write_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "table.md"
    bench.write(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(bench.os, "replace", fail)
    with pytest.raises(OSError):
        bench.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.md"]


def test_ceilings_are_measured(monkeypatch):
    from dlgrad.utils import _ceilings

    monkeypatch.setattr(_ceilings, "_ELEMENTS", 200_001)
    for dtype in (dlgrad.float32, dlgrad.float64):
        assert _ceilings.fma_peak(dtype, 0) > 1e8
    for bandwidth in ("copy_bandwidth", "triad_bandwidth", "read_bandwidth"):
        assert getattr(_ceilings, bandwidth)(0) > 1e8
