"""include/dlgrad.h, dlgrad/_abi.py, the library's exports and the Zig source agree."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dlgrad import _abi
from dlgrad._lib import ffi, lib

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import generate_abi  # noqa: E402

from hatch_build import families, zig_command  # noqa: E402

HEADER = ROOT / "include/dlgrad.h"


def test_generated_files_are_fresh():
    for path, text in generate_abi.generate().items():
        assert path.read_text() == text, (
            f"{path.name} is stale: run `python scripts/generate_abi.py`"
        )


def test_every_declared_function_is_exported():
    names = re.findall(r"\b(dlgrad_\w+)\(", HEADER.read_text())
    assert len(names) > 20 and len(names) == len(set(names))
    for name in names:
        getattr(lib, name)  # cffi looks the symbol up here


def test_numbers():
    assert list(_abi.FAMILIES) == list(_abi.ROWS) == families(ROOT)
    for rows in _abi.ROWS.values():
        assert rows and list(rows.values()) == list(range(len(rows)))


@pytest.mark.parametrize("compiler, suffix", [("cc", "c"), ("c++", "cpp")])
def test_header_compiles(tmp_path, compiler, suffix):
    source = tmp_path / f"main.{suffix}"
    source.write_text(
        "#include <dlgrad.h>\nint main(void) { return DLGRAD_FLOAT32 == 8 ? 0 : 1; }\n"
    )
    command = [
        *zig_command(),
        compiler,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        f"-I{HEADER.parent}",
    ]
    command += ["-c", source, "-o", tmp_path / "main.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_failures_are_reported_and_nothing_aborts():
    assert lib.dlgrad_init(b"no such level") == -1
    level = ffi.string(lib.dlgrad_level())
    assert level and lib.dlgrad_init(level) == 0
    assert lib.dlgrad_alloc(1 << 60) == ffi.NULL
    failure = ffi.new("int64_t[4]")
    lib.dlgrad_error(failure)
    assert failure[0] == _abi.STATUSES["out_of_memory"]
    zero = lib.dlgrad_alloc(0)
    assert zero != ffi.NULL
    lib.dlgrad_free(zero)


def test_memory_statistics_and_limit():
    def stats():
        out = ffi.new("int64_t[5]")
        lib.dlgrad_memory_stats(out)
        return list(out)

    live = stats()[0]
    block = lib.dlgrad_alloc(1 << 20)
    assert int(ffi.cast("uintptr_t", block)) % 64 == 0
    assert (1 << 20) <= stats()[0] - live <= (1 << 20) * 9 // 8
    lib.dlgrad_memory_limit(stats()[0] + 1000)
    try:
        assert lib.dlgrad_alloc(1 << 20) == ffi.NULL
    finally:
        lib.dlgrad_memory_limit(0)
    lib.dlgrad_free(block)
    assert stats()[0] == live
    lib.dlgrad_memory_reset_peak()
    assert stats()[1] == stats()[0]
    lib.dlgrad_memory_empty_cache()


ENVIRONMENT = """
import sys
from dlgrad._lib import ffi, lib
print(lib.dlgrad_threads(), ffi.string(lib.dlgrad_level()).decode())
"""


def run_python(code, **environment):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_environment_chooses_threads_and_level():
    level = ffi.string(lib.dlgrad_level()).decode()
    done = run_python(ENVIRONMENT, DLGRAD_NUM_THREADS="3", DLGRAD_CPU=level)
    assert done.stdout.split() == ["3", level], done.stderr


@pytest.mark.parametrize(
    "variable, value, message",
    [
        ("DLGRAD_CPU", "z80", "DLGRAD_CPU='z80' is not a CPU level"),
        ("DLGRAD_NUM_THREADS", "many", "DLGRAD_NUM_THREADS='many' is not a positive number"),
        ("DLGRAD_NUM_THREADS", "0", "DLGRAD_NUM_THREADS='0' is not a positive number"),
        ("DLGRAD_LIBRARY", "/nowhere/lib.so", "python hatch_build.py"),
    ],
)
def test_wrong_environment_says_what_is_wrong(variable, value, message):
    done = run_python(ENVIRONMENT, **{variable: value})
    assert done.returncode != 0
    assert "ImportError" in done.stderr and message in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork():
    """A child computes, with worker threads of its own, whatever its parent's did."""
    code = """
import os
import dlgrad
from dlgrad._lib import lib
lib.dlgrad_set_threads(2)
x = dlgrad.ones(1 << 20)
assert (x + x).sum().item() == 1 << 21
pid = os.fork()
if pid == 0:
    os._exit(0 if (x + x).sum().item() == 1 << 21 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert (x + x).sum().item() == 1 << 21
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
