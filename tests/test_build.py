"""hatch_build.py, the wheel it makes, `zig build`'s pieces, and the examples in C and Zig."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dlgrad._lib import _path as library
from dlgrad._lib import ffi, lib

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import hatch_build  # noqa: E402

LEVEL = ffi.string(lib.dlgrad_level()).decode()


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_pinned_versions_agree():
    project = (ROOT / "pyproject.toml").read_text()
    zon = (ROOT / "build.zig.zon").read_text()
    assert set(re.findall(r"ziglang==([\d.]+)", project)) == {hatch_build.ZIG_VERSION}
    assert re.search(r'minimum_zig_version = "(.*)"', zon)[1] == hatch_build.ZIG_VERSION
    version = re.search(r'^version = "(.*)"', project, re.M)[1]
    assert re.search(r'\.version = "(.*)"', zon)[1] == version


def test_levels_are_read_from_the_list():
    assert list(hatch_build.levels("x86_64", ROOT)) == ["x86_64_v4", "x86_64_v3", "x86_64"]
    assert list(hatch_build.levels("aarch64", ROOT)) == ["aarch64"]
    assert list(hatch_build.levels("x86_64", ROOT, "x86_64, x86_64_v3")) == ["x86_64_v3", "x86_64"]
    with pytest.raises(
        hatch_build.BuildError, match="'v5' is not one of: x86_64_v4, x86_64_v3, x86_64"
    ):
        hatch_build.levels("x86_64", ROOT, "v5")


def test_platforms():
    assert hatch_build.host_tag() in hatch_build.TARGETS
    assert hatch_build.find_tag("manylinux2014_aarch64").startswith("manylinux_2_17_aarch64")
    with pytest.raises(
        hatch_build.BuildError, match="DLGRAD_PLATFORM='amiga' is not one of: .*win_arm64"
    ):
        hatch_build.find_tag("amiga")


def test_every_kernel_file_with_tests_is_reached_from_the_tests_root():
    reached = set(hatch_build.sources(ROOT / "zig/tests.zig", without=re.compile("")))
    tested = {
        p for p in (ROOT / "zig").rglob("*.zig") if re.search(r'^test "', p.read_text(), re.M)
    }
    assert len(tested) > 20 and tested <= reached


def test_a_family_depends_on_its_own_files():
    zig = ROOT / "zig"
    files = hatch_build.sources(
        zig / "kernel_object.zig", zig / "ops/fill.zig", without=hatch_build.NOT_IN_KERNELS
    )
    assert {zig / "ops/fill.zig", zig / "plan.zig", zig / "services.zig"} <= set(files)
    assert zig / "ops/matmul.zig" not in files


@pytest.fixture
def small_tree(tmp_path):
    """A copy of the sources with one family."""
    root = tmp_path / "tree"
    shutil.copytree(
        ROOT / "zig", root / "zig", ignore=shutil.ignore_patterns(".zig-cache", "test_*")
    )
    (root / "zig/families.zig").write_text('pub const fill = @import("ops/fill.zig");\n')
    return root


def test_only_what_changed_is_compiled(small_tree, capsys):
    target, name = hatch_build.TARGETS[hatch_build.host_tag()]
    out = small_tree / "out" / name

    def build():
        hatch_build.build_library(small_tree, target, out, LEVEL)
        return capsys.readouterr().out

    first = build()
    assert f"elementwise for {LEVEL}" in first and name in first
    assert out.stat().st_size > 10_000 and list(out.parent.iterdir()) == [out]
    assert build() == ""
    with (small_tree / "zig/memory.zig").open("a") as f:  # the library's own object alone
        f.write("// changed\n")
    assert re.findall(r"^  (\S+)", build(), re.M) == [f"{name}:"]
    with (small_tree / "zig/ops/fill.zig").open("a") as f:
        f.write("// changed\n")
    assert f"elementwise for {LEVEL}" in build()

    before = out.read_bytes()
    with (small_tree / "zig/ops/fill.zig").open("a") as f:
        f.write("const broken = ;\n")
    with pytest.raises(
        hatch_build.BuildError, match=r"compiling elementwise for .* failed\n.*fill.zig:\d+"
    ):
        build()
    assert out.read_bytes() == before


def test_missing_compiler_is_said(monkeypatch):
    def absent(name):
        raise hatch_build.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(hatch_build.metadata, "version", absent)
    with pytest.raises(hatch_build.BuildError, match="pip install ziglang=="):
        hatch_build.zig_command()
    monkeypatch.setattr(hatch_build.metadata, "version", lambda name: "0.13.0")
    with pytest.raises(hatch_build.BuildError, match="ziglang 0.13.0 is installed"):
        hatch_build.zig_command()


def test_wheel(tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name and "-any." not in wheel.name
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        metadata = z.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    libraries = [n for n in names if re.search(r"\.(so|dylib|dll)", n)]
    assert libraries == [f"dlgrad/{Path(library).name}"]
    assert not [n for n in names if not n.startswith(("dlgrad/", "dlgrad-"))]
    needed = [
        r for r in re.findall(r"^Requires-Dist: (.*)$", metadata, re.M) if "extra ==" not in r
    ]
    assert needed == ["cffi>=1.17"]
    assert wheel.stat().st_size < 9 << 20

    # The wheel works by itself.
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path / "installed")
    code = (
        "import dlgrad; assert 'installed' in dlgrad.__file__; print((dlgrad.ones(3) * 2).tolist())"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    assert run(sys.executable, "-c", code, cwd=tmp_path, env=env).strip() == "[2.0, 2.0, 2.0]"


def test_sdist_holds_the_sources(tmp_path):
    import tarfile

    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as t:
        names = {n.split("/", 1)[1] for n in t.getnames()}
    assert {
        "zig/abi.zig",
        "zig/variants.zon",
        "zig/objects.zon",
        "hatch_build.py",
        "build.zig",
        "LICENSE",
        "include/dlgrad.h",
    } <= names
    assert not [n for n in names if n.endswith((".so", ".dylib", ".dll"))]


def test_c_example(tmp_path):
    folder = Path(library).parent
    program = tmp_path / "regression"
    run(
        *hatch_build.zig_command(), "cc", "-O2", "-Wall", "-Wextra", "-Werror", ROOT / "examples/c/main.c",
        f"-I{ROOT / 'include'}", f"-L{folder}", "-ldlgrad", f"-Wl,-rpath,{folder}", "-o", program,
    )  # fmt: skip
    assert "w = 1.000 2.000 3.000 4.000 5.000 6.000 7.000 8.000" in run(program)


def test_zig_example(small_tree):
    """With the one family that it needs, for speed: all of them are compiled for the library."""
    (small_tree / "zig/families.zig").write_text('pub const matmul = @import("ops/matmul.zig");\n')
    for name in ("build.zig", "build.zig.zon"):
        shutil.copy(ROOT / name, small_tree / name)
    example = small_tree / "examples/zig"
    shutil.copytree(ROOT / "examples/zig", example, ignore=shutil.ignore_patterns(".zig-cache"))
    command = hatch_build.zig_command()
    out = run(*command, "build", "run", f"-Dlevels={LEVEL}", cwd=example)
    assert out.split() == ["kernels", "for", LEVEL, "5", "14", "23", "32", "14", "50", "86", "122"]


@pytest.mark.parametrize("tag", sorted(set(hatch_build.TARGETS) - {hatch_build.host_tag()}))
def test_other_platforms_compile(small_tree, tag):
    target, name = hatch_build.TARGETS[tag]
    floor = list(hatch_build.levels(target.split("-")[0], ROOT))[-1]
    out = small_tree / "out" / name
    hatch_build.build_library(small_tree, target, out, floor)
    magic = {".so": b"\x7fELF", ".dylib": b"\xcf\xfa\xed\xfe", ".dll": b"MZ"}[out.suffix]
    assert out.read_bytes().startswith(magic)
