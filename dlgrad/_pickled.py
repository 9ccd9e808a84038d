"""Reading PyTorch's .pt files (the zip format, since 1.6) without PyTorch and without running code.

Such a file is a zip archive: `*/data.pkl`, a pickle in which each storage stands as a persistent id,
and `*/data/<key>`, the bytes of the storages. The unpickler here knows the few names that tensors in
plain structures need and refuses all others.
"""

from __future__ import annotations

import collections
import pickle
import sys
import zipfile

import dlgrad

from .serialization import CheckpointError, _memory

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
_DTYPES = frozenset(_STORAGES.values())


class _StorageType:
    """Stands for a class such as torch.FloatStorage."""

    def __init__(self, dtype):
        self.dtype = dtype


def _rebuild_tensor(storage, offset, size, stride, *ignored):
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _rebuild_tensor_v2(
    storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None
):
    tensor = _rebuild_tensor(storage, offset, size, stride)
    return tensor.detach().requires_grad_() if requires_grad else tensor


def _rebuild_parameter(data, requires_grad=True, hooks=None):
    return dlgrad.nn.Parameter(data, requires_grad=requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, hooks, state):
    return dlgrad.nn.Parameter(data, requires_grad=requires_grad)


def _rebuild_from_type(function, kind, args, state):
    """A tensor with attributes, which are left out."""
    return function(*args)


_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "Counter"): collections.Counter,
    ("collections", "defaultdict"): lambda *args: collections.OrderedDict(),
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("builtins", "slice"): slice,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "dict"): dict,
    ("builtins", "int"): int,
    ("builtins", "float"): float,
    ("_codecs", "encode"): lambda text, encoding="latin1": text.encode("latin1"),
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter_with_state,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch", "Tensor"): None,
    ("torch.nn.parameter", "Parameter"): None,
    ("torch", "Size"): lambda values: dlgrad.Size(values),
    ("torch", "device"): lambda *args: dlgrad.device("cpu"),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream, read_storage, name):
        super().__init__(stream, encoding="utf-8")
        self._read_storage = read_storage
        self._name = name
        self._storages = {}

    def find_class(self, module, name):
        if module == "__builtin__":
            module = "builtins"
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        if module == "torch" and name in _DTYPES:
            return getattr(dlgrad, name)
        raise CheckpointError(
            f"load: {self._name} needs '{module}.{name}', which is not among the types that are "
            "read from a .pt file (tensors and plain Python values). A whole model can't be read: "
            "save its state_dict() with PyTorch"
        )

    def persistent_load(self, identity):
        kind, storage_type, key, _, count = identity
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise CheckpointError(f"load: {self._name}: unknown kind of storage {kind!r}")
        if key not in self._storages:
            self._storages[key] = self._read_storage(key, storage_type.dtype, count)
        return self._storages[key]


def load_zip(stream, name):
    """The object in the .pt archive `stream`; `name` is how errors call the file."""
    try:
        return _load_zip(stream, name)
    except CheckpointError:
        raise
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"load: {name} is cut short or damaged: {error}") from None
    except Exception as error:
        raise CheckpointError(
            f"load: {name} is damaged: its contents can't be read ({type(error).__name__}: {error})"
        ) from None


_PIECE = 1 << 20  # bytes that stay in the cache from the file to their place


def _fill(memory, archive, member):
    """Reads a member of an archive into memory of its size."""
    with archive.open(member) as data:
        for at in range(0, member.file_size, _PIECE):
            piece = data.read(_PIECE)
            memory[at : at + len(piece)] = piece


def _load_zip(stream, name):
    with zipfile.ZipFile(stream) as archive:
        members = archive.namelist()
        pickles = [member for member in members if member.split("/", 1)[-1] == "data.pkl"]
        if not pickles:
            raise CheckpointError(
                f"load: {name} is a zip archive, but no PyTorch file: no data.pkl"
            )
        folder = pickles[0][: -len("data.pkl")]
        if folder + "constants.pkl" in members:
            raise CheckpointError(
                f"load: {name} is a TorchScript archive: it holds a program; save a state_dict()"
            )
        order = sys.byteorder
        if folder + "byteorder" in members:
            order = archive.read(folder + "byteorder").decode().strip()
        if order != sys.byteorder:
            raise CheckpointError(
                f"load: {name} has {order}-endian numbers, this machine {sys.byteorder}-endian ones"
            )

        def read_storage(key, dtype, count):
            member = archive.getinfo(f"{folder}data/{key}")
            storage = dlgrad.empty(count, dtype=getattr(dlgrad, dtype))
            if member.file_size != count * storage.element_size():
                raise CheckpointError(
                    f"load: {name} is damaged: storage {key} has {member.file_size} bytes, not "
                    f"{count * storage.element_size()}"
                )
            if count:
                _fill(_memory(storage), archive, member)
            return storage

        with archive.open(pickles[0]) as pickled:
            return _Unpickler(pickled, read_storage, name).load()
