"""The picture: the speed-up of every program, by group, and of the whole training steps by name."""

from __future__ import annotations

import os
from pathlib import Path

from .programs import GROUPS, PROGRAMS
from .report import geometric_mean, speedup


def save(found, stem):
    """Writes STEM.png and STEM.svg, each whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    threads = list(found["seconds"])
    steps = [n for n in found["seconds"][threads[0]] if PROGRAMS[n].group == "training"]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(13, 5), width_ratios=(3, 2), layout="constrained"
    )
    groups = [
        g for g in GROUPS if any(PROGRAMS[n].group == g for n in found["seconds"][threads[0]])
    ]
    for j, t in enumerate(threads):
        offset = (j - (len(threads) - 1) / 2) * 0.35
        for y, group in enumerate(groups):
            ratios = [
                r
                for n, by_library in found["seconds"][t].items()
                if PROGRAMS[n].group == group and (r := speedup(by_library))
            ]
            label = f"{t} thread(s)" if y == 0 else None
            left.scatter(
                ratios, [y + offset] * len(ratios), s=14, alpha=0.45, color=f"C{j}", label=label
            )
            if mean := geometric_mean(ratios):
                left.plot([mean, mean], [y + offset - 0.16, y + offset + 0.16], color="black", lw=2)
        values = [speedup(found["seconds"][t][n]) or 0 for n in steps]
        places = [y + offset for y in range(len(steps))]
        right.barh(places, values, height=0.33, color=f"C{j}", label=f"{t} thread(s)")
    left.set_yticks(range(len(groups)), groups)
    left.set_xscale("log")
    left.set_title("Every program (bar: geometric mean)")
    right.set_yticks(range(len(steps)), [n.split(",")[0] for n in steps])
    right.set_title("Whole training steps")
    for axes in (left, right):
        axes.axvline(1, color="grey", lw=1)
        axes.invert_yaxis()
        axes.set_xlabel("PyTorch's time / dlgrad's (right of 1: dlgrad is faster)")
        axes.legend(loc="lower right")
    for ending in ("png", "svg"):
        path = Path(f"{stem}.{ending}")
        partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            figure.savefig(partial, format=ending, dpi=150)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    pyplot.close(figure)
