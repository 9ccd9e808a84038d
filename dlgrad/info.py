"""What `python -m dlgrad info` prints."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys

import dlgrad

# What dlgrad uses when it is there, and for what.
_OPTIONAL = (
    ("numpy", "conversion to and from arrays"),
    ("matplotlib", "the demo's figure"),
    ("tqdm", "progress bars"),
    ("safetensors", "not needed: checkpoints are read and written without it"),
)


def cpu_level():
    """The CPU level whose kernels were chosen when the library was loaded, such as x86_64_v3."""
    from ._lib import ffi, lib

    return ffi.string(lib.dlgrad_level()).decode()


def _cache_sizes():
    """(name, bytes) of the caches of the first core, where the system tells."""
    sizes = []
    root = "/sys/devices/system/cpu/cpu0/cache"
    try:
        for index in sorted(os.listdir(root)):
            if not index.startswith("index"):
                continue

            def read(what):
                with open(os.path.join(root, index, what)) as file:
                    return file.read().strip()

            kind = {"Data": "d", "Instruction": "i"}.get(read("type"), "")
            if kind == "i":
                continue
            text = read("size")
            unit = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1], 1)
            number = int(text.rstrip("KMG")) * unit
            sizes.append((f"L{read('level')}{kind}", number))
    except (OSError, ValueError):
        pass
    if not sizes and sys.platform == "darwin":
        import subprocess

        for name, key in (("L1d", "hw.l1dcachesize"), ("L2", "hw.l2cachesize")):
            try:
                out = subprocess.run(
                    ["sysctl", "-n", key], capture_output=True, text=True, timeout=5
                )
                sizes.append((name, int(out.stdout)))
            except (OSError, ValueError, subprocess.SubprocessError):
                pass
    return sizes


def human_bytes(count):
    """A number of bytes for people: 32 KiB, 1.5 MiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.4g} {unit}"
        count /= 1024


def _version_of(package):
    """The package's version, or None when it is not installed; without importing it."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "found" if importlib.util.find_spec(package) is not None else None


def report():
    """The text."""
    from .storage import memory_stats

    lines = [
        ("dlgrad", dlgrad.__version__),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("CPU level", cpu_level() + (" (by DLGRAD_CPU)" if os.environ.get("DLGRAD_CPU") else "")),
        ("threads", f"{dlgrad.get_num_threads()} (of {os.cpu_count()} logical cores)"),
    ]
    caches = _cache_sizes()
    lines.append(
        ("caches", ", ".join(f"{name} {human_bytes(size)}" for name, size in caches) or "unknown")
    )
    lines.append(
        (
            "memory",
            ", ".join(
                f"{name} {human_bytes(count) if 'bytes' in name else count}"
                for name, count in memory_stats().items()
            ),
        )
    )
    width = max(len(name) for name, _ in lines) + 2
    text = [f"{name:<{width}}{value}" for name, value in lines]
    text.append("optional packages")
    for package, use in _OPTIONAL:
        version = _version_of(package)
        text.append(f"  {package:<14}{version or '-':<12}{use}")
    return "\n".join(text)
