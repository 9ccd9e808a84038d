"""Compiles the Zig kernels: into a wheel, or beside the Python files.

    python hatch_build.py       rebuild dlgrad/libdlgrad.so for an editable install

An object is compiled for each kernel family (some together: zig/objects.zon) and CPU level,
and kept under .zig-cache/objects until a file that it is made from changes. DLGRAD_LEVELS=x86_64_v4 (a comma-separated list of
the names in zig/variants.zon) leaves the other levels out of an editable build, for speed.

The wheel holds no CPython extension: cffi opens the library at run time. So it is tagged
py3-none-<platform>, and any target can be built on any machine: DLGRAD_PLATFORM=win_amd64
(say) makes that wheel; without it, the machine's own.

This runs the compiler itself and not `zig build`, as the first `zig build` on a machine
compiles the build system, which takes over a minute and a half.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # not needed to rebuild an editable install
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
ZIG_VERSION = "0.17.1"

# wheel platform tag -> (Zig target, library file)
TARGETS = {
    "manylinux_2_17_x86_64.manylinux2014_x86_64": ("x86_64-linux-gnu.2.17", "libdlgrad.so"),
    "manylinux_2_17_aarch64.manylinux2014_aarch64": ("aarch64-linux-gnu.2.17", "libdlgrad.so"),
    "musllinux_1_2_x86_64": ("x86_64-linux-musl", "libdlgrad.so"),
    "musllinux_1_2_aarch64": ("aarch64-linux-musl", "libdlgrad.so"),
    "macosx_11_0_x86_64": ("x86_64-macos.11.0", "libdlgrad.dylib"),
    "macosx_11_0_arm64": ("aarch64-macos.11.0", "libdlgrad.dylib"),
    "win_amd64": ("x86_64-windows", "dlgrad.dll"),
    "win_arm64": ("aarch64-windows", "dlgrad.dll"),
}


class BuildError(Exception):
    """The message is for the person who builds."""


def host_tag() -> str:
    """The key of TARGETS that this machine is."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    if sys.platform == "win32":
        wanted = {"x86_64": "win_amd64", "aarch64": "win_arm64"}.get(machine)
    elif sys.platform == "darwin":
        wanted = {"x86_64": "macosx_11_0_x86_64", "aarch64": "macosx_11_0_arm64"}.get(machine)
    else:
        libc = "manylinux_2_17" if platform.libc_ver()[0] == "glibc" else "musllinux"
        tags = [t for t in TARGETS if t.startswith(libc) and t.endswith(machine)]
        wanted = tags[0] if sys.platform.startswith("linux") and tags else None
    if wanted is None:
        raise BuildError(f"dlgrad has no kernels for {sys.platform} on {platform.machine()}")
    return wanted


def find_tag(wanted: str) -> str:
    """The key of TARGETS with `wanted` among its tags."""
    for tag in TARGETS:
        if wanted in (tag, *tag.split(".")):
            return tag
    known = ", ".join(tag.split(".")[0] for tag in TARGETS)
    raise BuildError(f"DLGRAD_PLATFORM={wanted!r} is not one of: {known}")


def families(root: Path = ROOT) -> list[str]:
    """The kernel families, in the order of their numbers."""
    return re.findall(r"^pub const (\w+) = @import", (root / "zig/families.zig").read_text(), re.M)


def objects(root: Path = ROOT) -> dict[str, list[str]]:
    """What is compiled together: an object's name -> its families."""
    text = (root / "zig/objects.zon").read_text()
    found = re.findall(r"^    \.(\w+) = \.\{(.*)\},$", text, re.M)
    every = families(root)
    shared = {name: [f for f in every if f'"{f}"' in members] for name, members in found}
    together = {family for members in shared.values() for family in members}
    alone = {f: [f] for f in every if f not in together}
    return {name: members for name, members in (shared | alone).items() if members}


def levels(arch: str, root: Path = ROOT, only: str = "") -> dict[str, str]:
    """CPU levels of an architecture, best first: name -> the compiler's -mcpu."""
    text = (root / "zig/variants.zon").read_text()
    listing = re.search(rf"\.{arch} = \.\{{(.*?)\n    \}}", text, re.S)
    found = dict(re.findall(r'\.name = "(\w+)", \.cpu = "([^"]+)"', listing[1]))
    names = [n.strip() for n in only.split(",") if n.strip()]
    for name in names:
        if name not in found:
            raise BuildError(f"DLGRAD_LEVELS: {name!r} is not one of: {', '.join(found)}")
    return {n: cpu for n, cpu in found.items() if not names or n in names}


def borrowed(arch: str, chosen: list[str], root: Path = ROOT) -> set[tuple[str, str]]:
    """(family, level) where the code of the next of the `chosen` levels is taken."""
    text = (root / "zig/variants.zon").read_text()
    every = list(levels(arch, root))
    found = re.findall(r'\.name = "(\w+)",.*\.without = \.\{(.*?)\}', text)
    return {
        (family, level)
        for level, listing in found
        if level in chosen and every[every.index(level) + 1] in chosen
        for family in re.findall(r'"(\w+)"', listing)
    }


# Objects whose inner loops are vectors in so many words: small code is as fast, or nearly.
SMALL = ("elementwise", "pool", "fft", "linalg", "resample", "distance", "optim", "ctc", "special", "scan", "search")

# Imports that are in a text but not in what is compiled from it: other families than the one
# asked for, and what only tests use. In a kernel object, services.zig's tests use the last two.
NOT_IN_LIBRARY = re.compile(r"families\.zig|\w+_test(ing)?\.zig")
NOT_IN_KERNELS = re.compile(rf"{NOT_IN_LIBRARY.pattern}|memory\.zig|threads\.zig")


def sources(*roots: Path, without: re.Pattern = NOT_IN_LIBRARY) -> list[Path]:
    """These files and all that they import, save for files that `without` matches."""
    found: set[Path] = set()
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".zig":
            for name in re.findall(r'@import\("([^"]+\.(?:zig|zon))"\)', path.read_text("utf-8")):
                imported = (path.parent / name).resolve()
                # Where a file is missing, the compiler will say it better.
                if imported.exists() and not without.fullmatch(imported.name):
                    waiting.append(imported)
    return sorted(found)


def zig_command() -> list[str]:
    try:
        version = metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        raise BuildError(
            f"the Zig compiler is missing: pip install ziglang=={ZIG_VERSION}"
        ) from None
    if version != ZIG_VERSION:
        raise BuildError(
            f"ziglang {version} is installed, dlgrad is written for {ZIG_VERSION}: "
            f"pip install ziglang=={ZIG_VERSION}"
        )
    return [sys.executable, "-m", "ziglang"]


class Compiler:
    """Makes files in `folder`, each only where what it is made from has changed."""

    def __init__(self, root: Path, target: str):
        self.zig = zig_command()
        self.root = root
        self.target = target
        self.folder = root / ".zig-cache" / "objects" / target
        self.folder.mkdir(parents=True, exist_ok=True)
        # Windows threads need no libc, and it takes a minute to build there. On Linux
        # std.Thread needs it in a library.
        self.flags = ["-target", target, "-O", "fast", "-fstrip", "-fPIC", "-fomit-frame-pointer"]
        if "windows" not in target:
            self.flags.append("-lc")
        self.failed = threading.Event()

    def make(
        self,
        what: str,
        name: str,
        kind: list[str],
        options: str,
        root_file: str,
        inputs: list[Path],
    ) -> Path:
        """`name` from zig/<root_file> with the build options; `inputs`: all it depends on."""
        out = self.folder / name
        stem = out.name.replace(".", "_")
        key = self.folder / f"{stem}.key"
        command = [*self.flags, *kind]
        digest = hashlib.sha256(repr((ZIG_VERSION, command, options)).encode())
        for path in inputs:
            digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
        if out.exists() and key.exists() and key.read_text() == digest.hexdigest():
            return out
        if self.failed.is_set():  # of another: no use to go on
            raise BuildError("")
        started = time.perf_counter()
        # Files of this process alone, moved when whole: builds may run side by side.
        suffix = f".{os.getpid()}.tmp"
        options_file = self.folder / f"{stem}.options.zig"
        if not options_file.exists() or options_file.read_text() != options:
            partial = options_file.with_name(options_file.name + suffix)
            partial.write_text(options)
            os.replace(partial, options_file)
        partial = self.folder / (f"{stem}{suffix}" + out.suffix)
        command = [
            *self.zig, kind[0], *self.flags, *kind[1:],
            "--dep", "build_options",
            f"-Mroot={self.root / 'zig' / root_file}",
            f"-Mbuild_options={options_file}",
            *(str(p) for p in inputs if p.suffix == ".o"),
            f"-femit-bin={partial}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            self.failed.set()
            partial.unlink(missing_ok=True)
            raise BuildError(f"compiling {what} failed\n{done.stderr.strip()}")
        os.replace(partial, out)
        key.write_text(digest.hexdigest())
        print(f"  {what}: {time.perf_counter() - started:.1f} s", flush=True)
        return out


def quoted(names) -> str:
    """Names as a list of Zig strings."""
    return ", ".join(f'"{name}"' for name in names)


def build_library(root: Path, target: str, out: Path, only_levels: str = "") -> None:
    """The library for a Zig target, with all CPU levels or some of them, into `out`."""
    zig = root / "zig"
    arch = target.split("-")[0]
    chosen = levels(arch, root, only_levels)
    without = borrowed(arch, list(chosen), root)
    compiler = Compiler(root, target)
    # Nothing unwinds through a kernel, and the tables were 1/20 of a wheel.
    unwind = ["-fno-unwind-tables"]

    def kernels(name: str, members: list[str], level: str, cpu: str) -> Path:
        # The oldest CPUs get small code: few have them, everybody downloads it.
        small = ["-O", "small"] if level == "x86_64" or name in SMALL else []
        return compiler.make(
            f"{name} for {level}",
            f"{name}_{level}.o",
            ["build-obj", "-fllvm", "-mcpu", cpu, *small, *unwind],
            f"pub const families = [_][]const u8{{ {quoted(members)} }};\n"
            f'pub const level = "{level}";\n',
            "kernel_object.zig",
            sources(
                zig / "kernel_object.zig",
                *(zig / "ops" / f"{family}.zig" for family in members),
                without=NOT_IN_KERNELS,
            ),
        )

    # Those of several families take longest: they come first.
    jobs = [
        (name, members, level, cpu)
        for name, members in objects(root).items()
        for level, cpu in chosen.items()
        if not all((family, level) in without for family in members)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(kernels, *job) for job in jobs]
    problems = [str(e) for e in (w.exception() for w in waiting) if e is not None and str(e)]
    if problems:
        raise BuildError("\n".join(problems))
    compiled = [w.result() for w in waiting]

    kind = ["build-lib", "-dynamic", "-mcpu", "baseline", "--name", "dlgrad"]
    if "windows" in target:
        kind.append("-fno-emit-implib")
    if "macos" in target:  # else it is the path of the folder it was built in
        kind += ["-install_name", f"@rpath/{out.name}"]
    options = f"pub const levels = [_][]const u8{{ {quoted(chosen)} }};\n"
    inputs = sources(zig / "abi.zig") + compiled
    built = compiler.make(out.name, out.name, kind, options, "abi.zig", inputs)

    out.parent.mkdir(parents=True, exist_ok=True)
    # A new file, not the old one overwritten: a process may have it open.
    staging = out.with_name(f"{out.name}.{os.getpid()}.new")
    staging.write_bytes(built.read_bytes())
    staging.chmod(0o755)
    os.replace(staging, out)


class CustomBuildHook(BuildHookInterface):
    """What hatchling calls for a wheel, an editable one (`pip install -e .`) too."""

    def initialize(self, version: str, build_data: dict) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        try:
            wanted = os.environ.get("DLGRAD_PLATFORM")
            tag = find_tag(wanted) if wanted else host_tag()
            target, name = TARGETS[tag]
            if version == "editable":  # beside the Python files, where the import finds it
                build_library(
                    root, target, root / "dlgrad" / name, os.environ.get("DLGRAD_LEVELS", "")
                )
            else:
                out = root / "build" / target / name
                build_library(root, target, out)
                build_data["force_include"][str(out)] = f"dlgrad/{name}"
        except BuildError as problem:
            raise SystemExit(f"hatch_build.py: {problem}") from None
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"


def main() -> None:
    try:
        target, name = TARGETS[host_tag()]
        build_library(ROOT, target, ROOT / "dlgrad" / name, os.environ.get("DLGRAD_LEVELS", ""))
    except BuildError as problem:
        sys.exit(f"hatch_build.py: {problem}")


if __name__ == "__main__":
    main()
