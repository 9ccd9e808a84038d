"""Exchange with other libraries: NumPy, buffers, DLPack. Sharing never copies; `tensor(...)` always does.

NumPy is imported only where one of its arrays is asked for or given, ctypes only where DLPack or the
buffer protocol need it.
"""

from __future__ import annotations

import sys
import warnings

from . import dtypes as dt
from ._lib import ffi
from ._native import native
from .batched import unreadable
from .layout import Layout, layout
from .layout import contiguous as row_major_layout
from .storage import from_address
from .tensor import Tensor, make_tensor, method

# NumPy's kind and item size of each element type (bfloat16 is none of NumPy's).
_BY_KIND = {
    ("b", 1): dt.bool, ("u", 1): dt.uint8, ("i", 1): dt.int8, ("i", 2): dt.int16, ("i", 4): dt.int32,
    ("i", 8): dt.int64, ("f", 2): dt.float16, ("f", 4): dt.float32, ("f", 8): dt.float64,
    ("c", 8): dt.complex64, ("c", 16): dt.complex128,
}  # fmt: skip
_KINDS = {d.name: kind for (kind, _), d in _BY_KIND.items()}
_SUPPORTED = "complex128, complex64, float64, float32, float16, int64, int32, int16, int8, uint8, and bool"
_ORDER = {"little": "<", "big": ">"}[sys.byteorder]
_NOT_WRITABLE = (
    "%s(): the given %s is not writable, and tensors are: writing to the tensor would change memory that is meant "
    "not to change. Copy it with dlgrad.tensor(...) instead, or make it writable first"
)


def _typestr(dtype):
    """NumPy's name of an element type, such as '<f4'."""
    return f"{_ORDER if dtype.itemsize > 1 else '|'}{_KINDS[dtype.name]}{dtype.itemsize}"


def _foreign(address, shape, strides, dtype, owner):
    """A tensor over memory that `owner` keeps alive. strides: in elements; None: row-major."""
    shape = tuple(shape)
    lay = row_major_layout(dtype, shape) if strides is None else layout(dtype, shape, tuple(strides))
    storage = from_address(address, lay.span * dtype.itemsize, owner)
    return make_tensor(storage.ptr, lay, storage)


def _copied(t, dtype):
    """A tensor of its own memory, in `dtype` (None: its own)."""
    return t.clone() if dtype is None or dtype is t._layout.dtype else t.to(dtype)


# ---------------------------------------------------------------------- from arrays


def _array_dtype(array, op):
    d = array.dtype
    found = _BY_KIND.get((d.kind, d.itemsize))
    if found is None:
        raise TypeError(
            f"{op}(): can't convert np.ndarray of type {d.type.__module__}.{d.type.__name__}. "
            f"The only supported types are: {_SUPPORTED}."
        )
    return found


def _element_strides(array):
    """The strides in elements, or None where one is no multiple of the element's size.

    Those of dimensions that are never stepped along may be anything: they become what a fresh array has."""
    size, out, dense = array.itemsize, [], 1
    for n, stride in zip(reversed(array.shape), reversed(array.strides)):
        if n <= 1 or array.size == 0:
            stride = dense * size
        elif stride % size:
            return None
        out.append(stride // size)
        dense *= max(n, 1)
    return tuple(reversed(out))


def _share_array(array, dtype):
    return _foreign(array.__array_interface__["data"][0], array.shape, _element_strides(array), dtype, array)


def from_numpy(ndarray):
    """A tensor over the memory of a NumPy array: what is written to one shows in the other.

    Raises TypeError for what is no array and for unsupported element types, ValueError for negative
    strides, strides that are no multiple of the element's size, and foreign byte order. Warns where the
    array is not writable."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(ndarray, numpy.ndarray):
        raise TypeError(f"from_numpy(): expected np.ndarray (got {type(ndarray).__name__})")
    dtype = _array_dtype(ndarray, "from_numpy")
    if not ndarray.dtype.isnative:
        raise ValueError(
            "from_numpy(): given numpy array has byte order different from the native byte order. Conversion between "
            "byte orders is currently not supported: use array.astype(array.dtype.newbyteorder('='))"
        )
    strides = _element_strides(ndarray)
    if strides is None:
        raise ValueError(
            f"from_numpy(): given numpy array strides {ndarray.strides} not a multiple of the element byte size "
            f"{ndarray.itemsize}. Copy the numpy array to reallocate the memory."
        )
    if any(s < 0 for s in strides):
        raise ValueError(
            f"from_numpy(): at least one stride in the given numpy array is negative ({ndarray.strides}), and tensors "
            "with negative strides are not supported. (You can work around this by making a copy of your array with "
            "array.copy().)"
        )
    if not ndarray.flags.writeable:
        warnings.warn(_NOT_WRITABLE % ("from_numpy", "NumPy array"), UserWarning, stacklevel=2)
    return _share_array(ndarray, dtype)


def _copy_array(array, dtype):
    own = _array_dtype(array, "tensor")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    strides = _element_strides(array)
    if strides is None or any(s < 0 for s in strides):
        array = array.copy(order="C")
    return _copied(_share_array(array, own), dtype)


def _from_list(data, dtype):
    """One tensor of arrays (or tensors, or lists) of equal shape; their dtypes are promoted as PyTorch's."""
    from .ops.create import new_tensor
    from .ops.from_data import tensor
    from .ops.writing import copy_into

    parts = [tensor(d) for d in data]
    shape = parts[0]._layout.shape
    for i, p in enumerate(parts):
        if p._layout.shape != shape:
            raise ValueError(
                f"tensor(): all arrays of a list must have one shape: element 0 has {list(shape)}, element {i} "
                f"has {list(p._layout.shape)}"
            )
    if dtype is None:
        dtype = parts[0]._layout.dtype
        for p in parts:
            dtype = dt.promote_types(dtype, p._layout.dtype)
    out = new_tensor(row_major_layout(dtype, (len(parts), *shape)), "tensor")
    step = parts[0]._layout.numel * dtype.itemsize
    row = row_major_layout(dtype, tuple(shape))
    if step:
        for i, p in enumerate(parts):
            copy_into(make_tensor(out._ptr + i * step, row, out._storage), p)
    return out


def _from_buffer_copy(view, dtype):
    """From a memoryview, as from a list of its numbers: integers become int64, floats the default dtype."""
    kind = {"?": "b", "f": "f", "d": "f", "e": "f"}.get(view.format.lstrip("@=") or "B")
    if kind is None:
        kind = {"B": "u", "H": "u", "I": "u", "L": "u", "Q": "u", "b": "i", "h": "i", "i": "i", "l": "i", "q": "i",
                "n": "i", "N": "u"}.get(view.format.lstrip("@="))  # fmt: skip
    own = _BY_KIND.get((kind, view.itemsize))
    if own is None:
        raise TypeError(f"tensor(): can't convert a buffer of format {view.format!r}. Supported: {_SUPPORTED}.")
    if dtype is None:
        dtype = dt.bool if kind == "b" else dt.get_default_dtype() if kind == "f" else dt.int64
    raw = view if view.c_contiguous else memoryview(view.tobytes())
    held = ffi.from_buffer(raw)
    return _copied(_foreign(int(ffi.cast("uintptr_t", held)), view.shape, None, own, held), dtype)


def tensor_from_array(data, dtype=None):
    """A new tensor with a copy of an array: `dlgrad.tensor(data)` for what is neither number nor nested list.

    Takes NumPy arrays and scalars of any strides and byte order, lists of arrays, DLPack producers,
    objects with `__array_interface__` or `__array__`, buffers, and other sequences of numbers.
    Raises TypeError for what is none of these and for element types that no tensor has."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic)):
        return _copy_array(numpy.asarray(data), dtype)
    if isinstance(data, (list, tuple)):
        return _from_list(data, dtype)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"tensor(): invalid data type '{type(data).__name__}'")
    if hasattr(data, "__dlpack__"):
        return _copied(from_dlpack(data), dtype)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        import numpy

        return _copy_array(numpy.asarray(data), dtype)
    try:
        view = memoryview(data)
    except TypeError:
        pass
    else:
        return _from_buffer_copy(view, dtype)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not hasattr(data, "keys"):
        from .ops.from_data import tensor

        return tensor([data[i] for i in range(len(data))], dtype=dtype)
    raise TypeError(
        f"tensor(): could not infer dtype of {type(data).__name__}; give numbers, lists of numbers, or arrays"
    )


def as_tensor_from_array(data):
    """`data` as a tensor: over its memory where it is a NumPy array, else a copy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, numpy.ndarray):
        return from_numpy(data)
    return tensor_from_array(data)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-d tensor over the memory of `buffer` (bytearray, array.array, mmap, memoryview ...).

    count: how many elements (-1: all that there are).  offset: bytes to leave out at the beginning.
    Raises ValueError where that does not fit the buffer, TypeError for no dtype."""
    if not isinstance(dtype, dt.dtype):
        raise TypeError(f"frombuffer(): argument 'dtype' must be dlgrad.dtype, not {type(dtype).__name__}")
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ValueError(
            f"frombuffer(): {type(buffer).__name__} object does not implement Python buffer protocol."
        ) from None
    if not view.c_contiguous:
        raise ValueError("frombuffer(): the buffer is not contiguous")
    length, size = view.nbytes, dtype.itemsize
    if length == 0 or count == 0:
        raise ValueError(f"frombuffer(): both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"frombuffer(): offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({length} bytes) minus 1"
        )
    if count < 0:
        if (length - offset) % size:
            raise ValueError(
                f"frombuffer(): buffer length ({length} bytes) after offset ({offset} bytes) must be a multiple of "
                f"element size ({size})"
            )
        count = (length - offset) // size
    if offset + count * size > length:
        raise ValueError(
            f"frombuffer(): requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not "
            f"be greater than actual buffer length ({length} bytes)"
        )
    if view.readonly:
        warnings.warn(_NOT_WRITABLE % ("frombuffer", "buffer"), UserWarning, stacklevel=2)
    held = ffi.from_buffer(view)  # as long as it lives, the buffer stays where it is
    t = _foreign(int(ffi.cast("uintptr_t", held)) + offset, (count,), None, dtype, held)
    return t.requires_grad_() if requires_grad else t


# ---------------------------------------------------------------------- to NumPy


class _Exported:
    """What a NumPy array over a tensor's memory keeps alive."""

    __slots__ = ("__array_interface__", "storage")


def _byte_strides(lay):
    return None if lay.contiguous else tuple(s * lay.dtype.itemsize for s in lay.strides)


_arrays: dict = {}  # dtype -> numpy.ndarray, and NumPy's dtype


def _array_of(dtype):
    import numpy as np

    if dtype is dt.bfloat16:
        raise TypeError("numpy(): Got unsupported ScalarType BFloat16; convert it first, as with .float()")
    return _arrays.setdefault(dtype, (np.ndarray, np.dtype(_typestr(dtype))))


@method
def numpy(self, *, force=False):
    """This tensor as a NumPy array over the same memory.

    force: detach first where a gradient is required.
    Raises RuntimeError for a tensor that requires grad, TypeError for bfloat16."""
    if self._requires_grad and not force and self.requires_grad:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    lay = self._layout
    if type(lay) is not Layout:
        raise unreadable("numpy")
    array, dtype = _arrays.get(lay.dtype) or _array_of(lay.dtype)
    if lay.numel == 0:
        return array(lay.shape, dtype)
    if native is not None:  # the storage has a buffer
        storage = self._storage
        strides = None if lay.contiguous else _byte_strides(lay)
        return array(lay.shape, dtype, storage, self._ptr - storage.ptr, strides)
    exported = _Exported()
    exported.storage = self._storage
    exported.__array_interface__ = {
        "version": 3, "shape": tuple(lay.shape), "strides": _byte_strides(lay), "typestr": _typestr(lay.dtype),
        "data": (int(ffi.cast("uintptr_t", self._ptr)), False),
    }  # fmt: skip
    import numpy as np

    return np.asarray(exported)


def _held_bytes(t):
    """The memory of `t` as a ctypes array (a buffer) that keeps it alive."""
    import ctypes

    lay = t._layout
    if type(lay) is not Layout:
        raise unreadable("__buffer__")
    held = (ctypes.c_ubyte * (lay.span * lay.dtype.itemsize)).from_address(t.data_ptr())
    held.storage = t._storage
    return held


def _array_interface(self):
    """NumPy's array interface, version 3, over this tensor's memory. There is none (AttributeError) where the
    tensor requires grad or is bfloat16: then `__array__` says why."""
    lay = self._layout
    if self.requires_grad or lay.dtype is dt.bfloat16:
        raise AttributeError("__array_interface__: none for tensors that require grad, or are bfloat16")
    # A buffer instead of an address: it stays valid when this tensor gets other memory (`t.data = ...`).
    return {"version": 3, "shape": tuple(lay.shape), "strides": _byte_strides(lay),
            "typestr": _typestr(lay.dtype), "data": _held_bytes(self)}  # fmt: skip


Tensor.__array_interface__ = property(_array_interface)


@method
def __buffer__(self, flags):
    """The buffer protocol (PEP 688, which Python knows from 3.12 on): a memoryview of this tensor's memory.

    Raises BufferError for a tensor that requires grad, for bfloat16 and complex numbers, for gaps in memory, and for an
    empty tensor of several dimensions, whose shape a memoryview cannot have."""
    lay = self._layout
    if self.requires_grad:
        raise BufferError("a tensor that requires grad gives no buffer; use tensor.detach()")
    if lay.dtype.format is None or not lay.contiguous:
        what = f"{lay.dtype.name} has no format" if lay.contiguous else f"strides {lay.strides} are not contiguous"
        raise BufferError(f"this tensor gives no buffer: {what}")
    view = memoryview(_held_bytes(self)).cast("B")
    try:
        if lay.numel > 0:
            return view.cast(lay.dtype.format, tuple(lay.shape))
        if lay.ndim == 1:
            return view.cast(lay.dtype.format)
    except ValueError:  # float16, where this Python does not know its format
        pass
    raise BufferError(f"this tensor gives no buffer: no memoryview is of {lay.dtype} and shape {tuple(lay.shape)}")


# ---------------------------------------------------------------------- DLPack


@method
def __dlpack_device__(self):
    """Where the memory is: (1, 0), the CPU."""
    return (1, 0)


@method
def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
    """A DLPack capsule over this tensor's memory (of version 1 where `max_version` says that it is understood).

    Raises BufferError for a tensor that requires grad, and for another device."""
    from ._dlpack import export

    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream not in (None, -1):
        raise BufferError(f"__dlpack__(): stream must be None on the CPU, got {stream!r}")
    if dl_device is not None and tuple(map(int, dl_device)) != (1, 0):
        raise BufferError(f"__dlpack__(): only the CPU (1, 0) is supported, got {tuple(dl_device)}")
    t = self.detach().clone() if copy else self
    return export(t, versioned=max_version is not None and max_version[0] >= 1, copied=bool(copy))


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor over the memory of a DLPack producer (an array of another library), or of a capsule.

    copy: True: always a copy; False or None: never.
    Raises BufferError for memory that is not the CPU's or of types that no tensor has, RuntimeError for
    a capsule that was consumed before."""
    from ._dlpack import consume

    if isinstance(ext_tensor, Tensor) and not copy and device is None:
        if ext_tensor.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return ext_tensor.detach()
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise BufferError(f"from_dlpack(): dlgrad computes on the CPU only, got device {device!r}")
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        if hasattr(ext_tensor, "__dlpack_device__"):
            kind = int(ext_tensor.__dlpack_device__()[0])
            if kind not in (1, 3):  # the CPU, and memory of the CPU that CUDA has pinned
                raise BufferError(f"from_dlpack(): the memory must be the CPU's, this is on device type {kind}")
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # a producer from before version 1
            capsule = ext_tensor.__dlpack__()
    address, shape, strides, dtype, owner, readonly = consume(capsule)
    t = _foreign(address, shape, strides, dtype, owner)
    if copy:
        return t.clone()
    if readonly:
        warnings.warn(_NOT_WRITABLE % ("from_dlpack", "array"), UserWarning, stacklevel=2)
    return t


def to_dlpack(tensor):
    """A DLPack capsule of the tensor (PyTorch's older function; `from_dlpack(tensor)` needs none)."""
    return tensor.__dlpack__()
