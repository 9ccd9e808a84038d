"""DLPack's structures (https://dmlc.github.io/dlpack), written and read by ctypes.

A capsule named `dltensor` (or `dltensor_versioned`) owns its structure until a consumer takes it over
by renaming it to `used_...`; whoever owns it calls the structure's deleter, once.
"""

from __future__ import annotations

import ctypes
import math
from ctypes import (
    POINTER,
    Structure,
    addressof,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
    pythonapi,
)

from . import dtypes as dt
from ._lib import ffi, lib
from .batched import unreadable
from .layout import Layout

READ_ONLY, COPIED = 1, 2  # flags of a versioned capsule
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "complex": 5, "bool": 6}


def _type_of(d):
    name = d.name.rstrip("0123456789")
    return _CODES[name], d.itemsize * 8


_TYPES = {_type_of(d): d for d in dt.ALL}


class DLTensor(Structure):
    _fields_ = [
        ("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
        ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)), ("byte_offset", c_uint64),
    ]  # fmt: skip


class Managed(Structure):
    _fields_ = [("tensor", DLTensor), ("context", c_void_p), ("deleter", c_void_p)]


class ManagedVersioned(Structure):
    _fields_ = [
        ("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", c_void_p),
        ("flags", c_uint64), ("tensor", DLTensor),
    ]  # fmt: skip


class Exported(Structure):
    """With the Python object, in the eight bytes before, that keeps the memory alive."""

    _fields_ = [("owner", ctypes.c_uint64), ("managed", Managed)]


class ExportedVersioned(Structure):
    _fields_ = [("owner", ctypes.c_uint64), ("managed", ManagedVersioned)]


# Prototypes of our own: those of ctypes.pythonapi are everybody's.
def _api(name, result, *arguments):
    return ctypes.PYFUNCTYPE(result, *arguments)((name, pythonapi))


_new = _api("PyCapsule_New", py_object, c_void_p, c_void_p, c_void_p)
_is_valid = _api("PyCapsule_IsValid", c_int, py_object, c_char_p)
_pointer = _api("PyCapsule_GetPointer", c_void_p, py_object, c_char_p)
_rename = _api("PyCapsule_SetName", c_int, py_object, c_void_p)
_keep = _api("Py_IncRef", None, py_object)

# Capsules keep the address of their name only: these live as long as the module.
_NAMES = {n: ctypes.create_string_buffer(n) for n in
          (b"dltensor", b"dltensor_versioned", b"used_dltensor", b"used_dltensor_versioned")}  # fmt: skip

_KINDS = ((b"dltensor_versioned", ManagedVersioned), (b"dltensor", Managed))
_EXPORTS = {True: (b"dltensor_versioned", ExportedVersioned), False: (b"dltensor", Exported)}

# What the library needs to let go of what was exported (zig/abi.zig, `Python`).
_RELEASING = ("Py_IsInitialized", "PyGILState_Ensure", "PyGILState_Release", "Py_DecRef", "PyCapsule_GetName",
              "PyCapsule_GetPointer")  # fmt: skip
lib.dlgrad_lend_init([ctypes.cast(getattr(pythonapi, name), c_void_p).value for name in _RELEASING])
_release_address = int(ffi.cast("uintptr_t", ffi.addressof(lib, "dlgrad_lend_release")))
_capsule_freed_address = int(ffi.cast("uintptr_t", ffi.addressof(lib, "dlgrad_lend_capsule_freed")))


def export(t, versioned, copied):
    """A capsule over the tensor's memory."""
    lay = t._layout
    if type(lay) is not Layout:
        raise unreadable("__dlpack__")
    name, kind = _EXPORTS[versioned]
    exported = kind()
    managed = exported.managed
    sizes = (c_int64 * max(1, lay.ndim))(*lay.shape)
    strides = (c_int64 * max(1, lay.ndim))(*lay.strides)
    out = managed.tensor
    out.data = t.data_ptr()
    out.device_type, out.device_id, out.ndim = 1, 0, lay.ndim
    out.code, out.bits = _type_of(lay.dtype)
    out.lanes = 1
    out.shape = ctypes.cast(sizes, POINTER(c_int64))
    out.strides = ctypes.cast(strides, POINTER(c_int64))
    managed.deleter = _release_address
    if versioned:
        managed.major, managed.minor = 1, 0
        managed.flags = COPIED if copied else 0
    owner = (exported, sizes, strides, t._storage)
    exported.owner = id(owner)
    _keep(owner)  # until the deleter, or the capsule that nobody took
    address = addressof(managed)
    return _new(address, addressof(_NAMES[name]), _capsule_freed_address)


class _Owner:
    """The structure of a consumed capsule; its memory goes back to the producer with this object."""

    __slots__ = ("address", "deleter")

    def __init__(self, managed, address):
        self.address = address
        self.deleter = ctypes.CFUNCTYPE(None, c_void_p)(managed.deleter) if managed.deleter else None

    def __del__(self):
        if self.deleter is not None:
            self.deleter(self.address)


def consume(capsule):
    """Takes a capsule over: (address, shape, strides or None, dtype, owner, whether it is read-only)."""
    for name, kind in _KINDS:
        if type(capsule).__name__ == "PyCapsule" and _is_valid(capsule, name):
            break
    else:
        raise RuntimeError(
            f"from_dlpack(): received an invalid capsule or object ({type(capsule).__name__}). DLPack capsules can be "
            "consumed only once, so you might have already constructed a tensor from it once."
        )
    address = _pointer(capsule, name)
    managed = kind.from_address(address)
    if kind is ManagedVersioned and managed.major != 1:
        raise BufferError(f"from_dlpack(): DLPack version {managed.major}.{managed.minor} is not known, only 1")
    t = managed.tensor
    if t.device_type not in (1, 3):
        raise BufferError(f"from_dlpack(): the memory must be the CPU's, this is on device type {t.device_type}")
    dtype = _TYPES.get((t.code, t.bits))
    if dtype is None or t.lanes != 1:
        names = {number: name for name, number in _CODES.items()}
        raise BufferError(
            f"from_dlpack(): no tensor has elements of DLPack type {names.get(t.code, f'code {t.code}')} with "
            f"{t.bits} bits and {t.lanes} lanes; supported: {', '.join(d.name for d in dt.ALL)}"
        )
    shape = tuple(t.shape[: t.ndim]) if t.ndim else ()
    strides = None
    if t.strides and t.ndim and math.prod(shape):
        strides = tuple(t.strides[: t.ndim])
        if any(s < 0 and n > 1 for s, n in zip(strides, shape)):
            raise BufferError(f"from_dlpack(): negative strides {strides} are not supported; copy the array first")
        strides = tuple(max(s, 1) if n == 1 else s for s, n in zip(strides, shape))
    readonly = kind is ManagedVersioned and bool(managed.flags & READ_ONLY)
    where = (t.data or 0) + t.byte_offset
    _rename(capsule, addressof(_NAMES[b"used_" + name]))
    return where, shape, strides, dtype, _Owner(managed, address), readonly
