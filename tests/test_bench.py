"""The benchmark runs, counts right, and writes its files whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dlgrad
from dlgrad.utils import _ceilings

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from bench import __main__ as bench  # noqa: E402
from bench import report, worker  # noqa: E402
from bench.programs import OTHERS, PROGRAMS, TINY  # noqa: E402


def test_tiny_run_writes_table_and_json(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny", "--json", str(tmp_path / "bench.json"),
         "--markdown", str(tmp_path / "bench.md")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "bench.json").read_text())
    assert sorted(found["seconds"]["1"]) == sorted(TINY)
    for result in found["seconds"]["1"].values():
        assert 0 < result["dlgrad"]["best"] <= result["dlgrad"]["median"] < 1
    assert (tmp_path / "bench.md").read_text() == done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench.json", "bench.md"]


LONG = [n for n, p in PROGRAMS.items() if "large" in p.tags or "GPT-2" in n]


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in LONG])
def test_program_runs(name):
    run = PROGRAMS[name].setup(dlgrad)
    run()
    run()


@pytest.mark.parametrize("name", [n for library, n in OTHERS if library == "numpy"])
def test_numpy_program_has_its_row(name):
    assert name in PROGRAMS
    if name not in LONG:
        OTHERS["numpy", name]()()


def test_summary_is_median_of_medians_and_best_of_all():
    rounds = [{"median": m, "best": b} for m, b in ((5.0, 2.0), (3.0, 1.0), (4.0, 3.0))]
    assert report.summary(rounds) == {"median": 4.0, "best": 1.0}
    assert report.summary([*rounds, {"error": "E"}]) == {"error": "E"}
    shared = [r | {"share": s} for r, s in zip(rounds, (0.5, 0.9, 0.6))]
    assert report.summary(shared) == {"median": 4.0, "best": 1.0, "share": 0.6}


def times(seconds):
    return {"median": seconds, "best": seconds}


@pytest.fixture
def found():
    """What a run of three programs could have found."""
    medians = {"float32": 2e11, "float64": 1e11, "copy": 5e10, "triad": 4e10, "read": 6e10}
    ceilings = {kind: {"median": m, "best": 1.25 * m} for kind, m in medians.items()}
    seconds = {
        "matmul 1000": {"dlgrad": times(2e-2), "torch": times(4e-2), "jax": times(3e-2)},
        "exp 16 M": {"dlgrad": times(1e-2), "torch": times(8e-2)},
        "sum 16 M": {"dlgrad": times(2e-3), "torch": times(1e-3)},
        "sum 1 M": {"dlgrad": {"error": "E"}, "torch": times(1e-3)},
    }
    step = "LeNet 28x28, batch 64, Adam"
    return {
        "machine": "M", "rounds": 1, "versions": {"dlgrad": "1", "torch": "2", "jax": "3"},
        "ceilings": {"1": ceilings}, "seconds": {"1": seconds},
        "memory": {step: {"dlgrad": {"bytes": 2**20}, "torch": {"bytes": 2**21}}},
    }  # fmt: skip


def test_rows_show_speedup_ceiling_and_failures(found):
    lines = list(report.rows_table(found, list(found["seconds"]["1"])))
    assert lines[2] == "| matmul 1000 | 20 ms | 40 ms | 2.00 | 50% FMA |"
    assert lines[3] == "| exp 16 M | 10 ms | 80 ms | 8.00 | 32% triad |"
    assert lines[4] == "| sum 16 M | 2 ms | 1 ms | **0.50** | 53% read |"
    assert lines[5] == "| sum 1 M | failed | 1 ms |  |  |"
    assert len({line.count("|") for line in lines}) == 1
    assert report.errors(found) == ["dlgrad, sum 1 M, 1 thread(s): E"]


def test_a_share_that_was_measured_beside_the_program_is_shown(found):
    result = found["seconds"]["1"]["exp 16 M"]["dlgrad"] | {"share": 0.876}
    assert report.share("exp 16 M", result, found["ceilings"]["1"]) == "88% triad"


@pytest.mark.parametrize(
    "name, kind",
    [("exp 16 M", "triad"), ("sum 16 M", "read"), ("matmul 512, float64", "float64"), ("matmul 512, bfloat16", "float32")],
)
def test_ceilings_are_measured_beside_what_is_bound_by_them(name, kind, monkeypatch):
    asked = []

    def ceiling(kind, seconds):
        asked.append(kind)
        rate = PROGRAMS[name].work * len(asked)  # 1 and 2 calls a second
        return _ceilings.Ceiling(rate, rate)

    monkeypatch.setattr(worker, "ceiling", ceiling)
    monkeypatch.setattr(worker, "measure", lambda run, seconds: times(2.0))
    assert PROGRAMS[name].is_bound
    found = worker.measure_beside(PROGRAMS[name], None, 1.0)
    assert found == times(2.0) | {"share": pytest.approx(1 / 3)}
    assert asked == [kind, kind]
    assert not PROGRAMS["exp 10 K"].is_bound


def test_summary_counts_and_averages(found):
    rows = {line.split(" | ")[0]: line for line in report.summary_table(found)}
    assert rows["| products"] == "| products | 1 | 2.00 | 2.00 | 0 |"
    assert rows["| reductions"] == "| reductions | 2 | 0.50 | 0.50 | 1 |"
    assert rows["| larger than the last-level cache"].endswith("| 2 | 2.00 | 0.50 | 1 |")
    assert rows["| all"] == "| all | 4 | 2.00 | 0.50 | 1 |"
    assert list(report.losses_table(found))[2:] == ["| sum 16 M | 1 | 2 ms | 1 ms | 0.50 |"]
    assert list(report.others_table(found))[2:] == ["| matmul 1000 | 1 | 20 ms | 30 ms | 1.50 |"]
    assert list(report.memory_table(found))[2].endswith("| 1 MiB | 2 MiB | 0.50 |")


def test_unsettled_programs_are_measured_again_and_all_rounds_count(monkeypatch):
    asked = []

    def run_worker(library, threads, seconds, *names):
        if seconds == "ceilings":
            limits = {"float32": {"median": 2.0 + len(asked), "best": 4.0 + len(asked)}}
            return {"version": "1", "results": limits}
        asked.append((library, names))
        slow = {"exp 16 M": 2.0, "sum 16 M": 1.0}  # the speed-ups; the first round alone is slow
        taken = {n: 1.0 if library == "dlgrad" else slow[n] for n in names}
        if library == "dlgrad" and len(asked) <= 4 and "sum 16 M" in names:
            taken["sum 16 M"] = 10.0
        return {"version": "1", "results": {n: times(t) for n, t in taken.items()}}

    monkeypatch.setattr(bench, "run_worker", run_worker)
    names = ["exp 16 M", "sum 16 M"]
    versions, ceilings, found = bench.compare(["dlgrad", "torch"], 1, 1, 2, 0.1, names)
    assert versions == {"dlgrad": "1", "torch": "1"}
    assert asked[4:] == [
        ("torch", ("sum 16 M",)), ("dlgrad", ("sum 16 M",)),
        ("dlgrad", ("sum 16 M",)), ("torch", ("sum 16 M",)),
    ]  # fmt: skip
    assert report.speedup(found["exp 16 M"]) == 2.0
    assert found["sum 16 M"]["dlgrad"] == {"median": 1.0, "best": 1.0}  # of 10, 1 and 1
    assert ceilings["float32"] == {"median": 5.0, "best": 10.0}  # of 2, 4, 6 and 8; 4 to 10


def test_readme_gets_the_summary_between_its_marks(found, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(found))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.MARKS[0]}old\n{report.MARKS[1]}after\n")
    bench.main(["--from", str(tmp_path / "a.json"), "--readme", str(readme)])
    text = readme.read_text()
    assert text.startswith(f"before\n{report.MARKS[0]}M, dlgrad 1, PyTorch 2, JAX (jit) 3.\n")
    assert text.endswith(f"| 1 MiB | 2 MiB | 0.50 |\n{report.MARKS[1]}after\n") and "old" not in text
    assert "\n1 of the 3 measurements are below 0.95;" in text
    assert "| all | 4 | 2.00 | 0.50 | 1 |" in text
    assert all(mark in (ROOT / "README.md").read_text("utf-8") for mark in report.MARKS)


@pytest.mark.parametrize("wrong", ["no marks\n", report.MARKS[1] + report.MARKS[0], None])
def test_a_readme_without_the_marks_is_refused_before_anything_is_measured(wrong, tmp_path, capsys):
    readme = tmp_path / "README.md"
    if wrong:
        readme.write_text(wrong)
    with pytest.raises(SystemExit) as failure:
        bench.parse(["--readme", str(readme)])
    assert failure.value.code == 2
    assert ("no place for the benchmark" if wrong else "No such file") in capsys.readouterr().err


def test_library_that_never_ran_is_left_out(found):
    found["seconds"]["1"]["matmul 1000"]["jax"] = {"error": "no device"}
    assert report.leave_out(found) == {"jax": "no device"}
    assert list(found["versions"]) == ["dlgrad", "torch"]
    assert list(found["seconds"]["1"]["matmul 1000"]) == ["dlgrad", "torch"]
    assert report.others_table(found) == []


def test_tables_and_plot_of_a_file(found, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "a.json").write_text(json.dumps(found))
    code = bench.main(["--from", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a")])
    assert code == 1  # as a program failed
    assert "## Slower than PyTorch" in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "seconds, text",
    [(1.5, "1.5 s"), (0.0123, "12.3 ms"), (1e-3, "1 ms"), (45.67e-6, "45.7 us"), (89e-9, "89 ns"),
     (9.9999e-7, "1 us"), (999.7e-6, "1 ms"), (2345.0, "2345 s")],
)  # fmt: skip
def test_times_have_units(seconds, text):
    assert report.time_text(seconds) == text


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
    monkeypatch.setattr(_ceilings, "_ELEMENTS", 200_001)
    for dtype in (dlgrad.float32, dlgrad.float64):
        peak = _ceilings.fma_peak(dtype, 0)
        assert peak.best >= peak.median > 1e8
    for bandwidth in ("copy_bandwidth", "triad_bandwidth", "read_bandwidth"):
        assert getattr(_ceilings, bandwidth)(0).median > 1e8
