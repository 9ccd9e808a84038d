"""What is timed: each program is plain PyTorch code that takes its module as an argument.

`PROGRAMS[name].setup(torch)` sets the program up and returns the function to time, which runs once
a call. `OTHERS[library, name]` is the same for a library of other names (NumPy, JAX, tinygrad):
a function without arguments that returns the function to time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

GROUPS = (
    "overhead",
    "elementwise",
    "reductions",
    "products",
    "linalg",
    "convolutions",
    "layers",
    "indexing",
    "optimizers",
    "training",
    "inference",
)
PROGRAMS: dict[str, Program] = {}
OTHERS: dict[tuple[str, str], Callable] = {}


@dataclass(frozen=True)
class Program:
    """A row of the table."""

    name: str
    group: str
    setup: Callable
    #: Floating-point operations of a call (a fused multiply-add is two), where they are the limit.
    flops: float = 0
    #: The dtype whose FMA peak `flops` is held against.
    peak: str = "float32"
    #: Bytes that a call has to read and write at the least, where they are the limit.
    bytes: float = 0
    #: Rows that the issue of transcendental functions and of large tensors is judged by.
    tags: tuple = ()

    @property
    def work(self):
        """What is held against a ceiling: operations or bytes of a call; 0 where nothing is."""
        return self.flops or self.bytes

    @property
    def ceiling(self):
        """Which one: the dtype of an FMA peak, or the bandwidth that is more like the program."""
        if self.flops:
            return "float64" if self.peak == "float64" else "float32"
        return "read" if self.group == "reductions" else "triad"

    @property
    def is_bound(self):
        """Whether it works outside of the caches or computes, so that the ceiling is one."""
        return bool(self.flops) or bool(self.bytes and "large" in self.tags)


def program(name, group, **about):
    """Registers a set-up function under the name that the table shows."""

    def register(setup):
        assert name not in PROGRAMS and group in GROUPS, name
        PROGRAMS[name] = Program(name, group, setup, **about)
        return setup

    return register


def training_call(torch, forward, *sources):
    """The function that runs `forward()` and its backward from a fixed gradient, for `sources`."""
    gradient = torch.randn(*forward().shape, dtype=sources[0].dtype)

    def run():
        forward().backward(gradient)
        for source in sources:
            source.grad = None

    return run


from . import (  # noqa: E402
    convolutions,  # noqa: F401
    elementwise,  # noqa: F401
    indexing,  # noqa: F401
    inference,  # noqa: F401
    layers,  # noqa: F401
    linalg,  # noqa: F401
    optimizers,  # noqa: F401
    others,  # noqa: F401
    overhead,  # noqa: F401
    products,  # noqa: F401
    reductions,  # noqa: F401
    training,  # noqa: F401
)

PROGRAMS = {
    p.name: p for p in sorted(PROGRAMS.values(), key=lambda p: GROUPS.index(p.group))
}  # in the order of the table
TINY = ("add 10", "add 10, grad", "chain 50, backward", "matmul 64")
