"""All wheels and the sdist into dist/, from any one machine.

    python scripts/build_wheels.py [tag ...]

With tags (`win_amd64`, `musllinux_1_2_x86_64` ...), those wheels and no sdist.
"""

from __future__ import annotations

import os
import subprocess
import sys
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


def main(wanted: list[str]) -> None:
    try:
        tags = [find_tag(tag) for tag in wanted] or list(TARGETS)
    except BuildError as problem:
        sys.exit(f"build_wheels.py: {problem}")
    if not wanted:
        build("sdist")
    for tag in tags:
        build("wheel", DLGRAD_PLATFORM=tag)


if __name__ == "__main__":
    main(sys.argv[1:])
