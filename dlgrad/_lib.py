"""Opens the kernel library, and chooses its kernels for this CPU.

Environment: DLGRAD_CPU forces a CPU level (`x86_64_v3`, say), DLGRAD_NUM_THREADS the number of
threads, DLGRAD_LIBRARY the library's path; DLGRAD_BFLOAT16_DOT=0 forbids the CPU's dot products of
bfloat16, which take subnormal numbers for 0 (docs/operation.md).
"""

from __future__ import annotations

import os
import sys

from ._abi import ffi

_name = {"win32": "dlgrad.dll", "darwin": "libdlgrad.dylib"}.get(sys.platform, "libdlgrad.so")
_here = os.path.dirname(os.path.abspath(__file__))
_path = os.environ.get("DLGRAD_LIBRARY") or os.path.join(_here, _name)
# At exit Python may collect the library before the last plans and storages, which still call it.
_flags = getattr(ffi, "RTLD_NOW", 0) | getattr(ffi, "RTLD_NODELETE", 0)
try:
    lib = ffi.dlopen(_path, _flags)
except OSError as problem:
    if os.path.exists(_path):
        raise ImportError(f"dlgrad: the kernel library does not load: {problem}") from None
    raise ImportError(
        f"dlgrad: the kernel library is not at {_path}; in a source checkout, "
        "`python hatch_build.py` builds it (it needs ziglang)"
    ) from None

_wanted = os.environ.get("DLGRAD_CPU", "")
if lib.dlgrad_init(_wanted.encode()) != 0:
    raise ImportError(
        f"dlgrad: DLGRAD_CPU={_wanted!r} is not a CPU level that this library has and this CPU can run"
        if _wanted
        else "dlgrad: the kernel library has no kernels that this CPU can run"
    )

BFLOAT16_DOT, EVERY_EXTENSION = 1, 2**32 - 1
if os.environ.get("DLGRAD_BFLOAT16_DOT") == "0":
    lib.dlgrad_allow_extensions(EVERY_EXTENSION - BFLOAT16_DOT)

_threads = os.environ.get("DLGRAD_NUM_THREADS", "").strip()
if _threads:
    try:
        _count = int(_threads)
        if not 1 <= _count < 2**31:
            raise ValueError
    except ValueError:
        raise ImportError(
            f"dlgrad: DLGRAD_NUM_THREADS={_threads!r} is not a positive number"
        ) from None
    lib.dlgrad_set_threads(_count)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lib.dlgrad_after_fork)
