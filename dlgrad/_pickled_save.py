"""Writing PyTorch's .pt format (a zip archive, since 1.6), so that `torch.load` reads it, also with weights_only=True.

The classes that such a pickle names (torch.FloatStorage, torch._utils._rebuild_tensor_v2) are written by name:
PyTorch isn't needed. _pickled.py reads these files.
"""

from __future__ import annotations

import codecs
import collections
import io
import pickle
import sys
import zipfile

import dlgrad
from dlgrad import Tensor

from ._lib import ffi
from ._native import pointer
from ._pickled import _STORAGES

_STORAGE_NAMES = {dtype: name for name, dtype in _STORAGES.items() if name != "UntypedStorage"}
_PLAIN = (
    type(None), bool, int, float, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, slice,
    collections.OrderedDict, collections.Counter,
)  # fmt: skip
_KNOWN = (*_PLAIN, codecs.encode)  # what the pickles of these refer to


class _Name:
    """A class or function of PyTorch's that is only named."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, *args):
        raise TypeError(f"{self.module}.{self.name} is a name in a file")


_REBUILD_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_REBUILD_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_SIZE, _DEVICE = _Name("torch", "Size"), _Name("torch", "device")


class _StorageOf:
    """Stands for the storage of a tensor, which the pickle refers to by its key."""

    def __init__(self, tensor, key):
        self.key = key
        self.dtype = str(tensor.dtype).rpartition(".")[2]
        self.count = tensor._storage.nbytes // tensor.element_size()


class _Pickler(
    pickle._Pickler
):  # the one in Python: only it can write names of what isn't installed
    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, stream):
        super().__init__(stream, protocol=2)
        self.storages = []

    def _save_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    dispatch[_Name] = _save_name

    def persistent_id(self, obj):
        if isinstance(obj, _StorageOf):
            return ("storage", _Name("torch", _STORAGE_NAMES[obj.dtype]), obj.key, "cpu", obj.count)
        return None

    def _storage_of(self, tensor):
        for number, known in enumerate(self.storages):
            if known is tensor._storage:
                return _StorageOf(tensor, str(number))
        self.storages.append(tensor._storage)
        return _StorageOf(tensor, str(len(self.storages) - 1))

    def reducer_override(self, obj):
        kind = type(obj)
        if isinstance(obj, dlgrad.nn.Parameter):
            hooks = collections.OrderedDict()
            return _REBUILD_PARAMETER, (obj.detach(), obj.requires_grad, hooks)
        if isinstance(obj, Tensor):
            place = (obj.storage_offset(), tuple(obj.shape), tuple(obj.stride()))
            return _REBUILD_TENSOR, (
                self._storage_of(obj),
                *place,
                obj.requires_grad,
                collections.OrderedDict(),
            )
        if isinstance(obj, dlgrad.Size):
            return _SIZE, (tuple(obj),)
        if isinstance(obj, dlgrad.device):
            return _DEVICE, (str(obj),)
        if kind in (_Name, _StorageOf) or kind in _PLAIN or any(obj is known for known in _KNOWN):
            return NotImplemented
        hint = "; save its state_dict()" if hasattr(obj, "state_dict") else ""
        raise TypeError(
            f"save: can't store a {kind.__name__}: a checkpoint holds tensors, numbers, strings, lists, tuples, sets "
            f"and dictionaries{hint}"
        )

    def save(self, obj, *args, **kwargs):
        if isinstance(obj, dlgrad.dtype):
            obj = _Name("torch", str(obj).rpartition(".")[2])
        super().save(obj, *args, **kwargs)


def write_zip(stream, obj):
    """Writes `obj` to the binary file `stream`. Raises TypeError for objects that a checkpoint can't hold."""
    pickled = io.BytesIO()
    pickler = _Pickler(pickled)
    pickler.dump(obj)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        archive.writestr("archive/byteorder", sys.byteorder)
        for number, storage in enumerate(pickler.storages):
            with archive.open(
                f"archive/data/{number}", "w", force_zip64=storage.nbytes >= 1 << 31
            ) as data:
                memory = memoryview(ffi.buffer(pointer(storage.ptr), storage.nbytes))
                for at in range(
                    0, storage.nbytes, 1 << 20
                ):  # pieces stay in the cache from their sum to the file
                    data.write(memory[at : at + (1 << 20)])
        archive.writestr("archive/version", "3\n")
