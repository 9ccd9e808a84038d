"""`torch.distributed` for programs that import it and then run as one process: it is not available.

The names exist, is_available() and is_initialized() are False, and a process group can't be made.
"""

from __future__ import annotations

import enum

__all__ = [
    "is_available",
    "is_initialized",
    "init_process_group",
    "destroy_process_group",
    "ReduceOp",
    "get_rank",
    "get_world_size",
]


class ReduceOp(enum.Enum):
    """How all_reduce combines."""

    SUM, AVG, PRODUCT, MIN, MAX = range(5)


def is_available():
    """False: dlgrad runs in one process."""
    return False


is_initialized = is_nccl_available = is_gloo_available = is_mpi_available = (
    is_torchelastic_launched
) = is_available


def init_process_group(backend=None, init_method=None, **kwargs):
    """Raises RuntimeError: dlgrad runs in one process."""
    raise RuntimeError(
        "init_process_group(): dlgrad runs in one process; start the program without torchrun"
    )


def _needs_group(*args, **kwargs):
    """Raises ValueError: there is no process group."""
    raise ValueError(
        "Default process group has not been initialized, please make sure to call init_process_group."
    )


get_rank = get_world_size = get_backend = barrier = destroy_process_group = _needs_group
all_reduce = reduce = broadcast = all_gather = gather = scatter = reduce_scatter = send = recv = (
    _needs_group
)
