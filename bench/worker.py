"""The process that times programs with one library: `python -m bench.worker dlgrad 0.2 name ...`.

Prints one JSON object: name -> {"median": seconds, "best": seconds}, or {"error": message}. Threads
are set by the environment, before the library is loaded.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import sys
import time

from .programs import PROGRAMS

BATCHES = 15


def measure(run, seconds):
    """Median and best time of a call, in seconds, over batches that take `seconds` together."""
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
    calls = max(1, round(calls * seconds / BATCHES / taken))
    times = []
    gc.collect()
    gc.disable()
    for _ in range(BATCHES):
        started = clock()
        for _ in range(calls):
            run()
        times.append((clock() - started) / calls)
    gc.enable()
    return {"median": statistics.median(times), "best": min(times)}


def main(arguments):
    library, seconds, *names = arguments
    torch = importlib.import_module(library)
    results = {}
    for name in names:
        torch.manual_seed(0)
        try:
            results[name] = measure(PROGRAMS[name](torch), float(seconds))
        except Exception as error:  # one program's failure is a line of the table
            results[name] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"version": torch.__version__, "results": results}))


if __name__ == "__main__":
    main(sys.argv[1:])
