"""The memory behind tensors. All views of one tensor share one Storage."""

from __future__ import annotations

from ._lib import ffi, lib
from ._native import native, pointer

_alloc = lib.dlgrad_alloc if native is None else native["alloc"]


class OutOfMemoryError(MemoryError, RuntimeError):
    """There was no memory for a tensor, also after the allocator gave back all that it kept for reuse."""


class Storage:
    """A block of memory from the kernel library, freed with this object; or memory that belongs to
    somebody else (`owner`: a NumPy array, a DLPack capsule, a buffer), who frees it.

    `version` counts the in-place writes: autograd compares it to find saved values that changed.
    """

    __slots__ = ("ptr", "nbytes", "version", "owner", "__weakref__")

    def __init__(self, ptr, nbytes, owner=None):
        self.ptr = ptr
        self.nbytes = nbytes
        self.version = 0
        self.owner = owner

    def __del__(self, free=lib.dlgrad_free):
        if self.owner is None:
            free(self.ptr)


if native is not None:
    Storage = native["Storage"]  # noqa: F811


def allocate(nbytes, what="a tensor") -> Storage:
    """Memory for `nbytes`, not cleared. Raises OutOfMemoryError naming `what`."""
    if nbytes >= 1 << 62:
        raise RuntimeError(f"{what}: {nbytes} bytes are more than any machine can hold")
    ptr = _alloc(nbytes)
    if not ptr:
        raise OutOfMemoryError(f"{what}: out of memory: cannot allocate {nbytes} bytes ({nbytes / 2**30:.2f} GiB)")
    return Storage(ptr, nbytes)


def from_address(address, nbytes, owner) -> Storage:
    """A storage over memory that `owner` keeps alive."""
    return Storage(pointer(address) if native is None else address, nbytes, owner)


def memory_stats() -> dict:
    """What the allocator holds: live_bytes, peak_bytes, cached_bytes (kept for reuse), and the counts
    allocations and system_allocations (those that no kept block served)."""
    out = ffi.new("int64_t[5]")
    lib.dlgrad_memory_stats(out)
    names = ("live_bytes", "peak_bytes", "cached_bytes", "allocations", "system_allocations")
    return dict(zip(names, out))


def reset_peak_memory_stats():
    """Sets peak_bytes to what is live now."""
    lib.dlgrad_memory_reset_peak()


def empty_cache():
    """Gives the memory that is kept for reuse back to the system."""
    lib.dlgrad_memory_empty_cache()


def set_memory_limit(nbytes=0):
    """Makes allocation fail beyond this many live bytes (0: no limit)."""
    lib.dlgrad_memory_limit(nbytes)
