"""What this machine can do at best, on the threads that dlgrad may use now (zig/ops/ceilings.zig).

The benchmark puts these beside its rows. Each is the median and the best of runs for `seconds`."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

from .. import dtypes as dt
from .. import plan as door
from ..ops.create import full

_MULTIPLY_ADDS = 12 * 64 * 100_000  # an item: some milliseconds
_ELEMENTS = 48 << 20  # 192 MB an array: several times the last-level cache


class Ceiling(NamedTuple):
    """A rate in operations or bytes a second: that of the median run and that of the fastest."""

    median: float
    best: float


def _measure(row, out, inputs, ints, seconds, work):
    """The rate of runs that each do `work` operations or bytes."""
    layouts = [t._layout for t in inputs]
    plan = door.make_plan("ceilings", row, (out._layout,), layouts, ints, into=True)
    pointers = [t._ptr for t in (out, *inputs)]
    pointers += [door.NULL] * (4 - len(pointers))
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        door.into(plan.handle, *pointers)
        times.append(time.perf_counter() - start)
    return Ceiling(work / statistics.median(times), work / min(times))


def fma_peak(dtype=dt.float32, seconds=0.3):
    """Floating-point operations a second (an FMA counts as two) of float32 or float64."""
    items = 4 * door.lib.dlgrad_threads()
    out, x = full((items,), 0.0, dtype=dtype), full((2,), 0.5, dtype=dtype)
    work = 2 * items * _MULTIPLY_ADDS
    return _measure("fma", out, (x,), (_MULTIPLY_ADDS,), seconds, work)


def _arrays(count):
    return [full((_ELEMENTS,), 1.0, dtype=dt.float32) for _ in range(count)]


def copy_bandwidth(seconds=0.5):
    """Bytes a second, read and written, of copying an array larger than the caches."""
    out, a = _arrays(2)
    return _measure("copy", out, (a,), (), seconds, 8 * _ELEMENTS)


def triad_bandwidth(seconds=0.5):
    """Bytes a second, read and written, of out = a + 3 b on arrays larger than the caches."""
    out, a, b = _arrays(3)
    return _measure("triad", out, (a, b), (), seconds, 12 * _ELEMENTS)


def read_bandwidth(seconds=0.5):
    """Bytes a second of summing an array larger than the caches."""
    (a,) = _arrays(1)
    out = full((-(-_ELEMENTS // 65_536),), 0.0, dtype=dt.float32)
    return _measure("read", out, (a,), (), seconds, 4 * _ELEMENTS)
