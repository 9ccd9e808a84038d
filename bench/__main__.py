"""Times dlgrad beside PyTorch (and NumPy, JAX, tinygrad where installed) and prints tables.

    python -m bench                         all programs, 1 and 2 threads (about 40 minutes)
    python -m bench --rounds 5 --threads 1 --only add,matmul --json bench.json
    python -m bench --groups training,inference --memory --markdown bench.md --plot bench
    python -m bench --tiny                  a second: does it run at all?

Each round starts one process for each library and group of programs, one after the other and in
turns, so that a slow moment of the machine meets all. Within a process a program is timed in
batches; the tables show the median over the rounds of the processes' medians; the JSON file has the
best batch too. Speed-up is the other library's time over dlgrad's: above 1, dlgrad is faster. The
ceilings (peak of fused multiply-adds, memory bandwidth) are measured in each round before each group
of programs that is held against them, and those of programs that compute or are larger than the caches
once more just before and just after the program. Without torch, dlgrad is timed without it.

Machines that others use too are noisy. `--settle N` measures every program whose speed-up over
PyTorch came out below 1.15, for whatever reason, in N rounds more; the medians are of all rounds,
the first ones too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from . import report
from .programs import GROUPS, OTHERS, PROGRAMS, TINY
from .programs.training import MEMORY

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("dlgrad", "torch", "numpy", "jax", "tinygrad")
THREAD_VARIABLES = (
    "DLGRAD_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip


def run_worker(library, threads, *arguments):
    """What one process found: {"version": ..., "results": ...}."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, "-m", "bench.worker", library, *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        ending = f"ended with {done.returncode}\n{done.stderr}"
        sys.exit(f"bench: the process that times {library} {ending}")
    return json.loads(done.stdout.splitlines()[-1])


def has(library, name):
    """Whether the library has the program."""
    return library in ("dlgrad", "torch") or (library, name) in OTHERS


def parts(names):
    """The names by group, in order."""
    by_group = {}
    for name in names:
        by_group.setdefault(PROGRAMS[name].group, []).append(name)
    return by_group


class Rounds:
    """Rounds of measuring with one thread count, and what they found so far."""

    def __init__(self, libraries, threads, seconds, names, tell):
        self.libraries, self.threads, self.seconds = libraries, threads, seconds
        self.tell = tell
        self.found = {name: {n: [] for n in libraries if has(n, name)} for name in names}
        self.versions, self.limits, self.done = {}, [], 0

    def go(self, names, libraries, of):
        """One round more of these programs and libraries; `of`: what its number counts to."""
        self.done += 1
        for group, members in parts(names).items():
            if any(PROGRAMS[name].flops or PROGRAMS[name].bytes for name in members):
                self.limits.append(run_worker("dlgrad", self.threads, "ceilings")["results"])
            for library in libraries if self.done % 2 else libraries[::-1]:
                mine = [name for name in members if has(library, name)]
                if not mine:
                    continue
                place = f"{self.threads} thread(s), {group}: {library}"
                self.tell(f"round {self.done} of {of}, {place}")
                answer = run_worker(library, self.threads, self.seconds, *mine)
                self.versions[library] = answer["version"]
                for name, result in answer["results"].items():
                    self.found[name][library].append(result)

    def times(self):
        """name -> library -> {"median", "best"} in seconds, or {"error"}."""
        return {
            name: {library: report.summary(results) for library, results in by_library.items()}
            for name, by_library in self.found.items()
        }


def compare(libraries, threads, rounds, settle, seconds, names, tell=lambda text: None):
    """What some rounds find: (versions, ceilings, times as Rounds.times gives them).

    Programs that are not clearly faster than PyTorch's then get `settle` rounds more. Libraries
    without a program have no entry for it.
    """
    all_rounds = Rounds(libraries, threads, seconds, names, tell)
    for _ in range(rounds):
        all_rounds.go(names, libraries, rounds)
    both = [n for n in libraries if n in ("dlgrad", "torch")]
    if settle and len(both) == 2:
        times = all_rounds.times()
        unsettled = [n for n in names if (report.speedup(times[n]) or report.CLEAR) < report.CLEAR]
        for _ in range(settle):
            all_rounds.go(unsettled, both, rounds + settle)
    return all_rounds.versions, report.ceilings(all_rounds.limits), all_rounds.times()


def memory(libraries, threads, rounds, tell=lambda text: None):
    """Peak bytes of a process that trains: name -> library -> {"bytes"} or {"error"}."""
    found = {}
    for name in MEMORY:
        found[name] = {}
        for library in libraries:
            tell(f"memory, {threads} thread(s), {name}: {library}")
            results = [
                run_worker(library, threads, "memory", name)["results"][name] for _ in range(rounds)
            ]
            errors = [r for r in results if "error" in r]
            found[name][library] = errors[0] if errors else max(results, key=lambda r: r["bytes"])
    return found


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
    parser.add_argument("--rounds", type=int, default=5, help="processes of each library (5)")
    parser.add_argument("--settle", type=int, default=0,
                        help="rounds more of what came out below 1.15 (0)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0.12, help="a program and process (0.12)")
    parser.add_argument("--threads", default="1,2", help="thread counts to time with (1,2)")
    parser.add_argument("--only", default="", help="programs whose names begin with one of these")
    parser.add_argument("--groups", default="", help=f"groups of programs: {', '.join(GROUPS)}")
    parser.add_argument("--libraries", default=",".join(LIBRARIES),
                        help="libraries to time, of those that are installed (all)")  # fmt: skip
    parser.add_argument("--memory", action="store_true", help="compare peak memory of steps too")
    parser.add_argument("--json", metavar="FILE", help="write the results there, in seconds")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there")
    parser.add_argument("--readme", metavar="FILE",
                        help=f"put the summary there between {' and '.join(map(str.strip, report.MARKS))}")  # fmt: skip
    parser.add_argument("--plot", metavar="STEM", help="write STEM.png and STEM.svg")
    parser.add_argument("--from", dest="source", metavar="FILE",
                        help="measure nothing, make tables and plots of a JSON file")  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="a few programs, once, dlgrad alone")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.rounds, options.seconds, options.threads = 1, 0.02, "1"
        options.libraries = "dlgrad"
    if options.rounds < 1 or options.seconds <= 0 or options.settle < 0:
        parser.error("--rounds and --seconds must be positive, --settle not negative")
    if options.readme:
        try:
            report.around_excerpt(Path(options.readme).read_text("utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--readme {options.readme}: {error}")
    try:
        options.threads = [int(t) for t in options.threads.split(",")]
    except ValueError:
        parser.error(f"--threads: numbers with commas between, not {options.threads!r}")
    if min(options.threads) < 1:
        parser.error("--threads: at least 1")
    begin = tuple(part.strip() for part in options.only.split(","))
    groups = [part.strip() for part in options.groups.split(",")] if options.groups else GROUPS
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"--groups: no group {sorted(unknown)}; there are {', '.join(GROUPS)}")
    options.names = [
        name
        for name in (TINY if options.tiny else PROGRAMS)
        if name.startswith(begin) and PROGRAMS[name].group in groups
    ]
    if not options.names:
        parser.error(f"--only: no program begins with {options.only!r}: {'; '.join(PROGRAMS)}")
    options.libraries = [part.strip() for part in options.libraries.split(",")]
    if unknown := set(options.libraries) - set(LIBRARIES):
        parser.error(f"--libraries: {sorted(unknown)}; there are {', '.join(LIBRARIES)}")
    return options


def installed(libraries, tell):
    """Those of the libraries that are there, dlgrad first."""
    there = [n for n in libraries if n == "dlgrad" or importlib.util.find_spec(n) is not None]
    if missing := [n for n in libraries if n not in there]:
        tell(f"not installed, so left out: {', '.join(missing)}")
    return there


def run(options, tell):
    """Measures; returns what the JSON file holds."""
    libraries = installed(options.libraries, tell)
    machine = f"{processor()}, {os.cpu_count()} logical cores, Python {platform.python_version()}"
    found = {"machine": machine, "rounds": options.rounds, "settle": options.settle}
    found["versions"] = {}
    found |= {"ceilings": {}, "seconds": {}, "memory": {}}
    for threads in options.threads:
        versions, limits, times = compare(
            libraries, threads, options.rounds, options.settle, options.seconds, options.names,
            tell,
        )  # fmt: skip
        found["versions"] |= versions
        found["ceilings"][str(threads)] = limits
        found["seconds"][str(threads)] = times
    found["left_out"] = report.leave_out(found)
    if options.memory:
        both = [n for n in libraries if n in ("dlgrad", "torch")]
        found["memory"] = memory(both, max(options.threads), 1, tell)
    return found


def main(arguments=None):
    """Runs the comparison; returns the exit code (1 if a program of dlgrad or PyTorch failed)."""
    options = parse(arguments)

    def tell(text):
        print(f"  {text}", file=sys.stderr, flush=True)

    found = json.loads(Path(options.source).read_text()) if options.source else run(options, tell)
    if options.json:
        write(options.json, json.dumps(found, indent=1) + "\n")
    text = report.document(found)
    print(text, end="")
    if options.readme:
        before, after = report.around_excerpt(Path(options.readme).read_text("utf-8"))
        write(options.readme, before + report.excerpt(found) + after)
    if options.markdown:
        write(options.markdown, text)
    if options.plot:
        from . import plot

        plot.save(found, options.plot)
    errors = report.errors(found)
    for error in errors:
        print(f"bench: failed: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
