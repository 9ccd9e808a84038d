"""`torch.mps`: not available."""

from __future__ import annotations


def is_available():
    """False: dlgrad computes on the CPU."""
    return False


def device_count():
    """0."""
    return 0


def manual_seed(seed):
    """Accepted; there is no GPU generator to seed."""


def empty_cache():
    """Nothing to do without a GPU."""


def synchronize():
    """Raises RuntimeError: there is no such device."""
    raise RuntimeError("mps.synchronize(): dlgrad computes on the CPU only")
