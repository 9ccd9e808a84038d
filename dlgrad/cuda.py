"""`torch.cuda` for programs that ask whether there is a GPU: there is none.

Questions are answered (is_available() is False, device_count() is 0, memory counts are 0), seeds are accepted, and
everything that needs a GPU raises AssertionError, as PyTorch's CPU build does.
"""

from __future__ import annotations

from . import amp

__all__ = [
    "is_available",
    "device_count",
    "is_initialized",
    "is_bf16_supported",
    "amp",
]


def is_available():
    """False: dlgrad computes on the CPU."""
    return False


is_initialized = is_available


def is_bf16_supported(including_emulation=True):
    """False."""
    return False


def device_count():
    """0."""
    return 0


def memory_allocated(device=None):
    """0 bytes; `dlgrad.memory_stats()` tells what is used on the CPU."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def _nothing(name, doc):
    def function(*args, **kwargs):
        pass

    function.__name__, function.__doc__ = name, doc
    return function


def _refuse(name):
    def function(*args, **kwargs):
        raise AssertionError(
            f"cuda.{name}(): dlgrad is not compiled with CUDA; it computes on the CPU"
        )

    function.__name__, function.__doc__ = name, "Raises AssertionError: there is no GPU."
    return function


for _name in ("manual_seed", "manual_seed_all", "seed", "seed_all"):
    globals()[_name] = _nothing(_name, "Accepted; there is no GPU generator to seed.")
for _name in ("empty_cache", "init", "ipc_collect"):
    globals()[_name] = _nothing(_name, "Nothing to do without a GPU.")
for _name in (
    "synchronize", "set_device", "current_device", "get_device_name", "get_device_properties", "get_device_capability",
    "get_rng_state", "set_rng_state", "reset_peak_memory_stats", "memory_stats", "memory_summary", "mem_get_info",
    "current_stream", "default_stream", "Stream", "Event", "initial_seed",
):  # fmt: skip
    globals()[_name] = _refuse(_name)
del _name
