"""The tables: what the measured times say, as Markdown."""

from __future__ import annotations

import math
import statistics

from .programs import GROUPS, PROGRAMS

TITLES = {"dlgrad": "dlgrad", "torch": "PyTorch", "numpy": "NumPy", "jax": "JAX (jit)",
          "tinygrad": "tinygrad (jit)"}  # fmt: skip
#: A speed-up below this is a loss; what lies between it and 1 is noise.
LOSS = 0.95
#: A speed-up from here on is no loss by any noise seen; below it, `--settle` measures again.
CLEAR = 1.15
#: The whole report judges transcendental functions and tensors larger than the caches too.
TAGS = {"transcendental": "transcendental functions", "large": "larger than the last-level cache"}


def summary(results):
    """One result for the rounds' results of a program."""
    for result in results:
        if "error" in result:
            return result
    one = {
        "median": statistics.median(r["median"] for r in results),
        "best": min(r["best"] for r in results),
    }
    if all("share" in r for r in results):
        one["share"] = statistics.median(r["share"] for r in results)
    return one


def leave_out(found):
    """Takes libraries away of which every program failed; returns their first errors by name."""
    gone = {}
    for library in [n for n in found["versions"] if n not in ("dlgrad", "torch")]:
        entries = [
            by_library[library]
            for times in found["seconds"].values()
            for by_library in times.values()
            if library in by_library
        ]
        if all("error" in r for r in entries):
            gone[library] = entries[0]["error"]
            del found["versions"][library]
            for times in found["seconds"].values():
                for by_library in times.values():
                    by_library.pop(library, None)
    return gone


def ceilings(measured):
    """Of each ceiling the median over the measurements' medians and the best ("median", "best")."""
    return {
        key: {
            "median": statistics.median(limits[key]["median"] for limits in measured),
            "best": max(limits[key]["best"] for limits in measured),
        }
        for key in (measured[0] if measured else ())
    }


def time_text(seconds):
    """A time with its unit, three digits."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if seconds >= 0.9995 * size:
            break
    value = seconds / size
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def speedup(by_library, other="torch", what="median"):
    """The other library's time over dlgrad's, or None if either has none."""
    ours, theirs = (by_library.get(n, {}).get(what) for n in ("dlgrad", other))
    return theirs / ours if ours and theirs else None


def geometric_mean(values):
    """The geometric mean, or None of nothing."""
    values = [v for v in values if v]
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def share(name, result, limits):
    """How much of the ceiling a result reaches, as text: of the FMA peak or of the bandwidth.

    A median time is held against the median of the ceiling's own runs: those beside the program
    where it computes or is larger than the caches, else those of the whole run. A program that
    works in the caches passes 100% of the memory's bandwidth.
    """
    about = PROGRAMS.get(name)
    seconds = result and result.get("median")
    if not about or not about.work or not seconds or not limits:
        return ""
    reached = result.get("share") or about.work / seconds / limits[about.ceiling]["median"]
    return f"{reached:.0%} {'FMA' if about.flops else about.ceiling}"


def lines_of(head, rows):
    """A Markdown table; numbers stand to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def cell(result):
    """The median's text of one library's result."""
    if result is None:
        return ""
    return "failed" if "error" in result else time_text(result["median"])


def number(value):
    return "" if value is None else f"{value:.2f}"


def rows_table(found, names):
    """Time and speed-up of each program against PyTorch, and its share of the ceiling."""
    threads = list(found["seconds"])
    compared = "torch" in found["versions"]
    head = ["program"]
    for t in threads:
        head += [f"dlgrad, {t} thr."]
        head += [f"PyTorch, {t} thr.", "speed-up"] if compared else []
        head += ["of ceiling"]
    rows = []
    for name in names:
        row = [name]
        for t in threads:
            by_library = found["seconds"][t][name]
            row.append(cell(by_library.get("dlgrad")))
            if compared:
                ratio = speedup(by_library)
                text = number(ratio)
                row += [cell(by_library.get("torch")), f"**{text}**" if loses(ratio) else text]
            row.append(share(name, by_library.get("dlgrad"), found["ceilings"].get(t)))
        rows.append(row)
    return lines_of(head, rows)


def loses(ratio):
    return ratio is not None and ratio < LOSS


def kinds(found):
    """(title, program names) of each row of the summary: the groups, the tags and all."""
    names = list(next(iter(found["seconds"].values())))
    for group in GROUPS:
        yield group, [n for n in names if n in PROGRAMS and PROGRAMS[n].group == group]
    for tag, title in TAGS.items():
        yield title, [n for n in names if n in PROGRAMS and tag in PROGRAMS[n].tags]
    yield "all", names


def summary_table(found):
    """Geometric means of the speed-ups over PyTorch by group, and the slowest row of each."""
    threads = list(found["seconds"])
    head = ["programs", "count"]
    for t in threads:
        head += [f"geometric mean, {t} thr.", f"lowest, {t} thr.", f"below {LOSS}, {t} thr."]
    rows = []
    for title, names in kinds(found):
        if not names:
            continue
        row = [title, str(len(names))]
        for t in threads:
            ratios = [r for n in names if (r := speedup(found["seconds"][t][n]))]
            row.append(number(geometric_mean(ratios)))
            row.append(number(min(ratios, default=None)))
            row.append(str(sum(map(loses, ratios))))
        rows.append(row)
    return lines_of(head, rows)


def losses_table(found):
    """The programs that are slower than PyTorch's, the slowest first."""
    rows = []
    for t, times in found["seconds"].items():
        for name, by_library in times.items():
            ratio = speedup(by_library)
            if loses(ratio):
                ours, theirs = cell(by_library["dlgrad"]), cell(by_library["torch"])
                rows.append((ratio, [name, t, ours, theirs, number(ratio)]))
    head = ["program", "threads", "dlgrad", "PyTorch", "speed-up"]
    return lines_of(head, [row for _, row in sorted(rows)])


def others_table(found):
    """The programs that other libraries have too: their times and dlgrad's speed-up over them."""
    others = [n for n in found["versions"] if n not in ("dlgrad", "torch")]
    if not others:
        return []
    head = ["program", "threads", "dlgrad"]
    for n in others:
        head += [TITLES[n], "speed-up"]
    rows = []
    for t, times in found["seconds"].items():
        for name, by_library in times.items():
            if not any(n in by_library for n in others):
                continue
            row = [name, t, cell(by_library.get("dlgrad"))]
            for n in others:
                row += [cell(by_library.get(n)), number(speedup(by_library, n))]
            rows.append(row)
    return lines_of(head, rows)


def memory_table(found):
    """Peak memory of the processes that train."""
    rows = []
    for name, by_library in found["memory"].items():
        sizes = [by_library.get(n, {}).get("bytes") for n in ("dlgrad", "torch")]
        ratio = sizes[0] / sizes[1] if all(sizes) else None
        rows.append([name, *(f"{s / 2**20:.0f} MiB" if s else "" for s in sizes), number(ratio)])
    return lines_of(["training step", "dlgrad", "PyTorch", "dlgrad / PyTorch"], rows)


def ceilings_text(found):
    """The ceilings in words, with the best run of each in brackets."""
    lines = []
    for t, c in found["ceilings"].items():
        if not c:
            continue
        text = {
            kind: f"{limit['median'] / 1e9:.1f} ({limit['best'] / 1e9:.1f})"
            for kind, limit in c.items()
        }
        peak = f"GFLOP/s float32 {text['float32']}, float64 {text['float64']}"
        memory = ", ".join(f"{kind} {text[kind]}" for kind in ("copy", "triad", "read"))
        lines.append(f"Ceilings, {t} thread(s), median (best): {peak}; memory in GB/s: {memory}.")
    return lines


def rounds_text(found):
    """How many rounds there were, in words."""
    settle = found.get("settle")
    more = f", {settle} more of programs that came out below {CLEAR}" if settle else ""
    return f"{found['rounds']} rounds{more}"


HEAD = """# dlgrad beside PyTorch

Made by `python -m bench` (its arguments stand in README.md). Times are medians over the rounds (of what came out
near 1, over more rounds); speed-up is PyTorch's time over dlgrad's: above 1, dlgrad is faster. The last column is
dlgrad's share of the ceiling: the peak of fused multiply-adds, or the bandwidth of the memory (what lies in the
caches passes 100%), each measured in the same run, and just before and after what is bound by it.
"""


def about(found):
    """The machine and the libraries."""
    versions = [f"{TITLES.get(n, n)} {v}" for n, v in found["versions"].items()]
    return ", ".join([found["machine"], *versions])


def document(found):
    """The whole report."""
    lines = [HEAD, f"{about(found)}; {rounds_text(found)}", ""]
    lines += [line + "\\" for line in ceilings_text(found)] + [""]
    for library, error in found.get("left_out", {}).items():
        lines += [f"Left out, as none of its programs ran: {TITLES[library]} ({error}).", ""]
    if "torch" in found["versions"]:
        lines += ["## Summary", "", *summary_table(found), ""]
        losing = list(losses_table(found))
        if len(losing) > 2:
            lines += ["## Slower than PyTorch", "", *losing, ""]
    if found["memory"]:
        lines += ["## Peak memory", "", *memory_table(found), ""]
    for title, names in kinds(found):
        if title in GROUPS and names:
            lines += [f"## {title.capitalize()}", "", *rows_table(found, names), ""]
    if others := list(others_table(found)):
        lines += ["## Other libraries", "", *others, ""]
    return "\n".join(lines).rstrip() + "\n"


MARKS = "<!-- benchmark -->\n", "<!-- end of benchmark -->\n"


def excerpt(found):
    """What README shows: the summary, how many rows lose, whole training steps, peak memory."""
    training = next(names for title, names in kinds(found) if title == "training")
    lines = [f"{about(found)}."]
    if "torch" in found["versions"]:
        ratios = [speedup(r) for times in found["seconds"].values() for r in times.values()]
        lines += [
            "Speed-up is PyTorch's time over dlgrad's, of medians: above 1 dlgrad is faster.",
            "",
            *summary_table(found),
            "",
            f"{sum(map(loses, ratios))} of the {sum(map(bool, ratios))} measurements are below {LOSS};",
            "[docs/benchmarks.md](docs/benchmarks.md) lists them first, and then every row with its share of the",
            "ceiling (the peak of fused multiply-adds or the memory's bandwidth, medians of the same run; Winograd's",
            "convolutions, which save multiplications, can pass it) and the other libraries' times.",
        ]
    lines += ["", *rows_table(found, training)]
    if found["memory"]:
        lines += ["", "Peak memory of the whole process that trains:", "", *memory_table(found)]
    return "\n".join(lines) + "\n"


def around_excerpt(text):
    """What is before and after the place of the excerpt, with its marks."""
    before, begins, rest = text.partition(MARKS[0])
    _, ends, after = rest.partition(MARKS[1])
    if not ends:
        raise ValueError(f"no place for the benchmark: {MARKS[0].strip()} and, after it, {MARKS[1].strip()}")
    return before + begins, ends + after


def errors(found):
    """What failed in dlgrad or PyTorch."""
    return [
        f"{library}, {name}, {threads} thread(s): {r['error']}"
        for threads, programs in found["seconds"].items()
        for name, by_library in programs.items()
        for library, r in by_library.items()
        if "error" in r and library in ("dlgrad", "torch")
    ]
