"""The process that times programs with one library: `python -m bench.worker dlgrad 0.2 name ...`.

Prints one JSON object: name -> {"median": seconds, "best": seconds}, or {"error": message}; of
dlgrad's programs that compute or are larger than the caches with their "share" of the ceiling. Threads
are set by the environment, before the library is loaded. `python -m bench.worker dlgrad memory name`
takes a few training steps instead and gives the most memory that the process ever held, in bytes;
`python -m bench.worker dlgrad ceilings` gives what the machine can do, each as {"median", "best"}.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import sys
import time

from .programs import OTHERS, PROGRAMS

BATCHES = 15
FEWEST = 3
STEPS = 4
BESIDE = 0.05  # seconds of a ceiling before a program, and after it


def measure(run, seconds):
    """Median and best time of a call, in seconds, over batches that take `seconds` together.

    A call that alone takes more than `seconds` is timed three times.
    """
    clock = time.perf_counter
    run()
    calls, taken = 1, 0.0
    while True:  # as many calls a batch as fill its share; a warm-up at the same time
        started = clock()
        for _ in range(calls):
            run()
        taken = clock() - started
        if taken * BATCHES >= seconds / 2:
            break
        calls *= 2
    each = taken / calls
    batches = max(FEWEST, min(BATCHES, round(seconds / each)))
    calls = max(1, round(seconds / batches / each))
    times = []
    gc.collect()
    gc.disable()
    for _ in range(batches):
        started = clock()
        for _ in range(calls):
            run()
        times.append((clock() - started) / calls)
    gc.enable()
    return {"median": statistics.median(times), "best": min(times)}


def resident_peak():
    """The most memory this process ever held, in bytes (Linux and macOS)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak_of_steps(run):
    """Peak memory of the process over a few steps, in bytes."""
    for _ in range(STEPS):
        run()
    return {"bytes": resident_peak()}


CEILINGS = ("float32", "float64", "copy", "triad", "read")


def ceiling(kind, **seconds):
    """What the machine can do with the threads that dlgrad has: flop/s of a dtype or bytes/s."""
    import dlgrad
    from dlgrad.utils import _ceilings

    if kind.startswith("float"):
        return _ceilings.fma_peak(getattr(dlgrad, kind), **seconds)
    return getattr(_ceilings, f"{kind}_bandwidth")(**seconds)


def measure_beside(about, run, seconds):
    """`measure`, with the program's share of its ceiling as that was just before and just after."""
    before = ceiling(about.ceiling, seconds=BESIDE).median
    result = measure(run, seconds)
    after = ceiling(about.ceiling, seconds=BESIDE).median
    return result | {"share": about.work / result["median"] / ((before + after) / 2)}


def limit_threads(library):
    """Sets the thread count of libraries that heed no variable set before."""
    if library in ("jax", "tinygrad"):
        # their pools have a thread for each core the process may use
        cores = sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])]
        os.sched_setaffinity(0, cores)


def main(arguments):
    library, seconds, *names = arguments
    limit_threads(library)
    module = importlib.import_module(library)
    if seconds == "ceilings":
        limits = {kind: ceiling(kind)._asdict() for kind in CEILINGS}
        print(json.dumps({"version": module.__version__, "results": limits}))
        return
    results = {}
    for name in names:
        try:
            if library in ("dlgrad", "torch"):
                module.manual_seed(0)
                run = PROGRAMS[name].setup(module)
            else:
                run = OTHERS[library, name]()
            if seconds == "memory":
                results[name] = peak_of_steps(run)
            elif library == "dlgrad" and PROGRAMS[name].is_bound:
                results[name] = measure_beside(PROGRAMS[name], run, float(seconds))
            else:
                results[name] = measure(run, float(seconds))
        except Exception as error:  # one program's failure is a line of the table
            results[name] = {"error": f"{type(error).__name__}: {error}"[:500]}
        run = None
    version = getattr(module, "__version__", None) or version_of(library)
    print(json.dumps({"version": version, "results": results}))


def version_of(library):
    from importlib.metadata import version

    return version(library)


if __name__ == "__main__":
    main(sys.argv[1:])
