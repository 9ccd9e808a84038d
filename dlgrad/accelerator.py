"""`torch.accelerator`: there is none, so programs fall back to the CPU."""

from __future__ import annotations

__all__ = [
    "is_available", "current_accelerator", "device_count", "current_device_index", "current_device_idx", "set_device_index",
    "set_device_idx", "synchronize",
]  # fmt: skip


def is_available():
    """False: dlgrad computes on the CPU."""
    return False


def current_accelerator(check_available=False):
    """None."""
    return None


def device_count():
    """0."""
    return 0


def _refuse(*args, **kwargs):
    """Raises RuntimeError: there is no accelerator."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


current_device_index = current_device_idx = set_device_index = set_device_idx = synchronize = (
    _refuse
)
