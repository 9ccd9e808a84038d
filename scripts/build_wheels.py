"""All wheels and the sdist into dist/, from any one machine.

    python scripts/build_wheels.py [tag ...]

With tags (`win_amd64`, `musllinux_1_2_x86_64` ...), those wheels and no sdist. Where `zopfli` is
installed (`pip install zopfli`), the wheels are packed by it: 4% smaller, as any zip reader
reads them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import TARGETS, BuildError, find_tag  # noqa: E402


def build(kind: str, **environment: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", "dist"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment})
    if done.returncode != 0:
        sys.exit(
            f"build_wheels.py: the {kind} {environment.get('DLGRAD_PLATFORM', '')} was not built"
        )


class Deflate:
    """What zipfile wants of a compressor, by zopfli."""

    def __init__(self):
        self.data = bytearray()

    def compress(self, data: bytes) -> bytes:
        self.data += data
        return b""

    def flush(self) -> bytes:
        import zopfli.zlib

        return zopfli.zlib.compress(bytes(self.data))[2:-4]  # without zlib's head and checksum


def pack(wheel: Path) -> None:
    """Writes a wheel anew, each file in it deflated by zopfli; replaces it when all is written."""
    usual = zipfile._get_compressor
    partial = wheel.with_name(f"{wheel.name}.{os.getpid()}.tmp")
    try:
        zipfile._get_compressor = lambda *_: Deflate()
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(partial, "w") as new:
            for entry in old.infolist():
                new.writestr(entry, old.read(entry))
        os.replace(partial, wheel)
    finally:
        zipfile._get_compressor = usual
        partial.unlink(missing_ok=True)


def main(wanted: list[str]) -> None:
    try:
        tags = [find_tag(tag) for tag in wanted] or list(TARGETS)
    except BuildError as problem:
        sys.exit(f"build_wheels.py: {problem}")
    if not wanted:
        build("sdist")
    for tag in tags:
        build("wheel", DLGRAD_PLATFORM=tag)
    if importlib.util.find_spec("zopfli") is None:
        print("build_wheels.py: without zopfli the wheels are 4% larger than need be")
        return
    for wheel in sorted((ROOT / "dist").glob("*.whl")):
        before = wheel.stat().st_size
        pack(wheel)
        print(f"{wheel.name}: {before:,} -> {wheel.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
