"""The short way to the kernels: types and functions that the library gives to CPython itself.

`native` is a dict of what zig/python/ offers (Storage, Plan, Function, run, ...), with which a small
operation takes a quarter of the time that it takes by cffi; or None, where the interpreter is none
that they fit (PyPy, the free-threaded CPython, Python without its C functions in reach, or
DLGRAD_NATIVE=0): then the Python classes of the same names do the same, and kernels are called by cffi.

An address is an int here, and a `uint8_t *` with cffi: take it as given, add to it, subtract; what
needs a real pointer asks `pointer`.
"""

from __future__ import annotations

import os
import sys
import types

from ._lib import ffi, lib

__all__ = ["NULL", "native", "offsets", "pointer"]


def _open():
    """What the library offers to this interpreter, or None."""
    if sys.implementation.name != "cpython" or os.environ.get("DLGRAD_NATIVE") == "0":
        return None
    if not getattr(sys, "_is_gil_enabled", bool)() and hasattr(sys, "_is_gil_enabled"):
        return None
    probe = object()
    if ffi.cast("uintptr_t *", id(probe))[1] != id(object) or offsets(_Probe, ("a", "b")) is None:
        return None
    found = {}
    numbers = [
        getattr(sys, "dllhandle", 0),
        *map(id, (found, None, True, False, float, types.MethodType)),
    ]
    return found if lib.dlgrad_python_open(numbers, len(numbers)) == 0 else None


def offsets(kind, names):
    """Where the slots of these names lie in an instance of a class, in bytes; None where they are not found."""
    instance = object.__new__(kind)
    marks = [object() for _ in names]
    for name, mark in zip(names, marks):
        setattr(instance, name, mark)
    words = ffi.unpack(ffi.cast("uintptr_t *", id(instance)), kind.__basicsize__ // 8)
    if any(words.count(id(mark)) != 1 for mark in marks):
        return None
    return tuple(8 * words.index(id(mark)) for mark in marks)


class _Probe:
    __slots__ = ("a", "b", "__dict__", "__weakref__")


native = _open()
NULL = ffi.NULL if native is None else 0


def pointer(address):
    """The address as a pointer that cffi takes."""
    return ffi.cast("uint8_t *", address)
