"""Times dlgrad beside PyTorch and prints a table.

    python -m bench                         all programs, 1 and 2 threads (about 10 minutes)
    python -m bench --rounds 5 --threads 1 --only add,matmul --json bench.json
    python -m bench --tiny                  a second: does it run at all?

Each round starts one process for each library, one after the other and in turns, so that a slow
moment of the machine meets both. Within a process a program is timed in batches; the table shows
the median over the rounds of the processes' medians, and the best batch of all. The ratios are
dlgrad's time over PyTorch's: below 1, dlgrad is faster. On a machine that others use too, several
threads wait for the slowest of them, so there only the best times say much. Without torch, only
dlgrad is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from .programs import PROGRAMS, TINY

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("dlgrad", "torch")


def run_worker(library, threads, seconds, names):
    """What one process found: {"version": ..., "results": ...}."""
    environment = dict(os.environ)
    for name in ("DLGRAD_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(threads)
    done = subprocess.run(
        [sys.executable, "-m", "bench.worker", library, str(seconds), *names],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        ending = f"ended with {done.returncode}\n{done.stderr}"
        sys.exit(f"bench: the process that times {library} {ending}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(libraries, threads, rounds, seconds, names, report=lambda text: None):
    """Times in seconds: (versions, name -> library -> {"median", "best"} or {"error"})."""
    found = {name: {library: [] for library in libraries} for name in names}
    versions = {}
    for i in range(rounds):
        for library in libraries if i % 2 == 0 else libraries[::-1]:
            report(f"round {i + 1} of {rounds}, {threads} thread(s): {library}")
            answer = run_worker(library, threads, seconds, names)
            versions[library] = answer["version"]
            for name, result in answer["results"].items():
                found[name][library].append(result)
    return versions, {
        name: {library: summary(results) for library, results in by_library.items()}
        for name, by_library in found.items()
    }


def summary(results):
    """One result for the rounds' results of a program."""
    for result in results:
        if "error" in result:
            return result
    return {
        "median": statistics.median(r["median"] for r in results),
        "best": min(r["best"] for r in results),
    }


def text_of(seconds):
    """A time with its unit, three digits."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if seconds >= 0.9995 * size:
            break
    value = seconds / size
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def table(results, libraries):
    """The results as Markdown."""
    titles = {"dlgrad": "dlgrad", "torch": "PyTorch"}
    head = ["program", "threads"]
    head += [f"{titles[library]} {what}" for library in libraries for what in ("median", "best")]
    if len(libraries) > 1:
        head += ["ratio of medians", "of bests"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for threads, programs in results.items():
        for name, by_library in programs.items():
            cells = [name, str(threads)]
            for library in libraries:
                r = by_library[library]
                failed = "error" in r
                cells += ["failed", ""] if failed else [text_of(r["median"]), text_of(r["best"])]
            if len(libraries) > 1:
                for what in ("median", "best"):
                    first, second = (by_library[library].get(what) for library in libraries)
                    cells.append(f"{first / second:.2f}" if first and second else "")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(path, content):
    """Writes a text file, whole or not at all."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(content, "utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def processor():
    """The processor's name, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def parse(arguments):
    first, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=first, epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="processes of each library (7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="a program and process (0.5)")
    parser.add_argument("--threads", default="1,2", help="thread counts to time with (1,2)")
    parser.add_argument("--only", default="", help="programs whose names begin with one of these")
    parser.add_argument("--json", metavar="FILE", help="write the results there, in seconds")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there")
    parser.add_argument("--without-torch", action="store_true", help="time dlgrad alone")
    parser.add_argument("--tiny", action="store_true", help="a few programs, once, dlgrad alone")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.rounds, options.seconds, options.threads, options.without_torch = 1, 0.02, "1", True
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    try:
        options.threads = [int(t) for t in options.threads.split(",")]
    except ValueError:
        parser.error(f"--threads: numbers with commas between, not {options.threads!r}")
    if min(options.threads) < 1:
        parser.error("--threads: at least 1")
    begin = tuple(part.strip() for part in options.only.split(","))
    options.names = [n for n in (TINY if options.tiny else PROGRAMS) if n.startswith(begin)]
    if not options.names:
        parser.error(f"--only: no program begins with {options.only!r}: {'; '.join(PROGRAMS)}")
    return options


def main(arguments=None):
    """Runs the comparison; returns the exit code (1 if a program failed)."""
    options = parse(arguments)
    libraries = ["dlgrad"]
    if not options.without_torch:
        if importlib.util.find_spec("torch") is None:
            print("bench: torch is not installed, so dlgrad is timed alone", file=sys.stderr)
        else:
            libraries.append("torch")

    def report(text):
        print(f"  {text}", file=sys.stderr, flush=True)

    results = {}
    for threads in options.threads:
        versions, results[threads] = compare(
            libraries, threads, options.rounds, options.seconds, options.names, report
        )
    machine = f"{processor()}, {os.cpu_count()} logical cores, Python {platform.python_version()}"
    names = {"dlgrad": "dlgrad", "torch": "PyTorch"}
    about = ", ".join([machine, *(f"{names[n]} {v}" for n, v in versions.items())])
    text = f"{about}; {options.rounds} rounds\n\n{table(results, libraries)}\n"
    print(text, end="")
    if options.markdown:
        write(options.markdown, text)
    if options.json:
        content = {"machine": machine, "versions": versions, "rounds": options.rounds}
        write(options.json, json.dumps({**content, "seconds": results}, indent=1) + "\n")
    errors = [
        f"{library}, {name}, {threads} thread(s): {r['error']}"
        for threads, programs in results.items()
        for name, by_library in programs.items()
        for library, r in by_library.items()
        if "error" in r
    ]
    for error in errors:
        print(f"bench: failed: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
