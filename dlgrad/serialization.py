"""save and load: checkpoints as safetensors files, and reading PyTorch's .pt files.

A file written by `save` is a safetensors file (https://github.com/huggingface/safetensors): eight
bytes with the length of a JSON header, the header (names, dtypes, shapes and places of the tensors),
the tensors. What is around the tensors (dictionaries, numbers, ...) stands as JSON in the header's
metadata, under "dlgrad". So the weights of a model can be read by any safetensors library, and
nothing in a file is ever executed.
"""

from __future__ import annotations

import base64
import collections
import io
import json
import math
import os
import struct

import dlgrad
from dlgrad import Tensor

__all__ = ["save", "load", "save_file", "load_file", "CheckpointError"]

# A header longer than this is no header (the limit of the safetensors library).
MAX_HEADER = 100_000_000

_DTYPE_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {name: code for code, name in _DTYPE_NAMES.items()}


class CheckpointError(RuntimeError):
    """A file that is no checkpoint, or a damaged one; the message names the file and the fault."""


def _dtype_name(dtype):
    return str(dtype).rpartition(".")[2]


def _memory(tensor):
    """The bytes of a contiguous tensor, writable, without copying."""
    from ._lib import ffi
    from ._native import pointer

    return memoryview(ffi.buffer(pointer(tensor._ptr), tensor.nbytes))


# ------------------------------------------------------------------ what is around the tensors


class _Packer:
    """Turns an object into a tree for JSON, and collects its tensors under names.

    None, booleans, numbers and strings stand for themselves, lists for lists; everything else is an
    object with one of the keys below. A tensor that occurs twice is stored once.
    """

    def __init__(self):
        self.tensors = {}  # name -> tensor
        self._names = {}  # what a tensor is -> name

    def pack(self, value, path=()):
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return self._pack_tensor(value, path)
        kind = type(value)
        if kind is list:
            return [self.pack(item, path + (i,)) for i, item in enumerate(value)]
        if isinstance(value, dlgrad.Size):
            return {"size": list(value)}
        if kind is tuple:
            return {"tuple": [self.pack(item, path + (i,)) for i, item in enumerate(value)]}
        if isinstance(value, dict):
            return self._pack_dict(value, path)
        if kind in (set, frozenset):
            return {kind.__name__: [self.pack(item, path) for item in value]}
        if kind in (bytes, bytearray):
            return {kind.__name__: base64.b64encode(value).decode()}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if isinstance(value, dlgrad.dtype):
            return {"dtype": _dtype_name(value)}
        if isinstance(value, dlgrad.device):
            return {"device": str(value)}
        if kind.__module__ == "numpy" and hasattr(value, "item"):
            if getattr(value, "ndim", 0):
                return self.pack(dlgrad.as_tensor(value), path)
            return self.pack(value.item(), path)
        place = "".join(f"[{key!r}]" for key in path)
        hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
        raise TypeError(
            f"save: can't store a {kind.__name__} (at obj{place}): a checkpoint holds tensors, "
            f"numbers, strings, lists, tuples, sets and dictionaries{hint}"
        )

    def _pack_dict(self, value, path):
        items = [
            [self.pack(key, path), self.pack(item, path + (key,))] for key, item in value.items()
        ]
        if isinstance(value, collections.Counter):
            return {"counter": items}
        if not isinstance(value, collections.OrderedDict):
            return {"dict": items}
        packed = {"ordered": items}
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            packed["metadata"] = self.pack(metadata, path + ("_metadata",))
        return packed

    def _pack_tensor(self, tensor, path):
        identity = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        name = self._names.get(identity) if tensor.numel() else None
        if name is None:
            name = ".".join(str(key) for key in path) or "tensor"
            while name in self.tensors or name == "__metadata__":
                name += "_"
            self._names[identity] = name
            self.tensors[name] = tensor
        packed = {"tensor": name}
        if isinstance(tensor, dlgrad.nn.Parameter):
            packed["parameter"] = tensor.requires_grad
        elif tensor.requires_grad and tensor.grad_fn is None:
            packed["requires_grad"] = True
        return packed


def _unpack(tree, tensors):
    """The object that a tree stands for."""
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    kind = next(iter(tree))
    value = tree[kind]
    if kind == "tensor":
        tensor = tensors[value]
        if "parameter" in tree:
            return dlgrad.nn.Parameter(tensor, requires_grad=tree["parameter"])
        return tensor.detach().requires_grad_() if tree.get("requires_grad") else tensor
    if kind in ("dict", "ordered", "counter"):
        items = [(_unpack(key, tensors), _unpack(item, tensors)) for key, item in value]
        if kind == "dict":
            return dict(items)
        if kind == "counter":
            return collections.Counter(dict(items))
        result = collections.OrderedDict(items)
        if "metadata" in tree:
            result._metadata = _unpack(tree["metadata"], tensors)
        return result
    if kind in ("tuple", "set", "frozenset"):
        make = {"tuple": tuple, "set": set, "frozenset": frozenset}[kind]
        return make(_unpack(item, tensors) for item in value)
    if kind in ("bytes", "bytearray"):
        return {"bytes": bytes, "bytearray": bytearray}[kind](base64.b64decode(value))
    if kind == "size":
        return dlgrad.Size(value)
    if kind == "complex":
        return complex(*value)
    if kind == "device":
        return dlgrad.device(value)
    if kind == "dtype" and value in _CODES:
        return getattr(dlgrad, value)
    raise ValueError(f"unknown kind {kind!r}")


# ------------------------------------------------------------------ writing


def _write(stream, tensors, metadata):
    """Writes a safetensors file: tensors in the order of their names within each element size."""
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = {"__metadata__": metadata} if metadata else {}
    start = 0
    for name in order:
        tensor = tensors[name]
        dtype = _dtype_name(tensor.dtype)
        if dtype not in _CODES:
            raise TypeError(f"save: tensor {name!r} has dtype {dtype}, which safetensors has not")
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # The tensors begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    stream.write(struct.pack("<Q", len(text)))
    stream.write(text)
    for name in order:
        tensor = tensors[name].detach().contiguous()
        if tensor.numel():
            stream.write(_memory(tensor))


def _replace_file(path, write):
    """Calls write(stream) on a temporary file beside `path`, then renames it to `path`.

    A crash on the way leaves the old file as it was. What is there and no file (a pipe, /dev/null)
    is written to, not replaced.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            write(stream)
        return
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.remove(temporary)
        except OSError:
            pass
        raise


def _write_to(f, tensors, metadata):
    if isinstance(f, (str, os.PathLike)):
        _replace_file(f, lambda stream: _write(stream, tensors, metadata))
    elif hasattr(f, "write"):
        _write(f, tensors, metadata)
    else:
        raise TypeError(f"save: expected a path or a file open for writing, got {type(f).__name__}")


def save(obj, f, pickle_module=None, pickle_protocol=None, _use_new_zipfile_serialization=True):
    """Writes `obj` to `f`, a path or a binary file: a safetensors file that `load` reads; or, where the
    name ends in .pt, .pth or .pth.tar, PyTorch's format, which `torch.load` reads as well.

    obj: tensors in any structure of dictionaries, lists, tuples, numbers, strings; such as the
    state dicts of modules and optimizers. A path is written under a temporary name and renamed. The
    last three arguments are PyTorch's and mean nothing here. Raises TypeError for other objects.
    """
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith((".pt", ".pth", ".pth.tar")):
        from ._pickled_save import write_zip

        _replace_file(f, lambda stream: write_zip(stream, obj))
        return
    packer = _Packer()
    tree = packer.pack(obj)
    metadata = {"dlgrad": json.dumps({"version": 1, "object": tree}, separators=(",", ":"))}
    _write_to(f, packer.tensors, metadata)


def save_file(tensors, filename, metadata=None):
    """Writes a dictionary from names to tensors as a safetensors file, without structure."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"save_file: expected tensors, got {type(tensor).__name__} for {name!r}"
            )
    _write_to(filename, dict(tensors), dict(metadata or {}))


# ------------------------------------------------------------------ reading


def _size_left(stream):
    position = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(position)
    return end - position


def _read_header(stream, name):
    """(header, number of bytes behind it), checked in themselves."""
    size = _size_left(stream)
    if size < 8:
        what = "is empty" if size == 0 else f"has {size} bytes"
        raise CheckpointError(f"load: {name} {what}: no checkpoint")
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > min(size - 8, MAX_HEADER):
        raise CheckpointError(
            f"load: {name} is neither a safetensors nor a PyTorch file, or it is cut short: its "
            f"first bytes announce a header of {length} bytes, {size - 8} follow"
        )
    text = stream.read(length)
    try:
        header = json.loads(text.decode())
        if not isinstance(header, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise CheckpointError(f"load: the header of {name} can't be read: {error}") from None
    return header, size - 8 - length


def _checked_entries(header, size, name):
    """(tensor name, dtype, shape, start, end) in the order of the file; they must tile it."""
    entries = []
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        try:
            code, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            fits = all(isinstance(n, int) and n >= 0 for n in [*shape, start, end])
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise CheckpointError(f"load: {name} is damaged: bad header entry for tensor {key!r}")
        if code not in _DTYPE_NAMES:
            raise CheckpointError(f"load: {name}: tensor {key!r} has dtype {code}, unknown here")
        dtype = getattr(dlgrad, _DTYPE_NAMES[code])
        if math.prod(shape) * dtype.itemsize != end - start:
            raise CheckpointError(
                f"load: {name} is damaged: tensor {key!r} of shape {shape} and dtype {code} has "
                f"{end - start} bytes"
            )
        entries.append((key, dtype, shape, start, end))
    entries.sort(key=lambda entry: (entry[3], entry[4]))
    position = 0
    for key, _, _, start, end in entries:
        if start != position:
            raise CheckpointError(
                f"load: {name} is damaged: tensor {key!r} begins at byte {start} of the data, not "
                f"at {position}"
            )
        position = end
    if position > size:
        raise CheckpointError(
            f"load: {name} is cut short: its header announces {position} bytes of tensors, {size} "
            "are there"
        )
    if position < size:
        raise CheckpointError(
            f"load: {name} is damaged: {size - position} bytes too many behind the tensors"
        )
    return entries


def _read(stream, name):
    """(tensors by name, metadata) of a safetensors file."""
    header, size = _read_header(stream, name)
    tensors = {}
    for key, dtype, shape, start, end in _checked_entries(header, size, name):
        tensor = dlgrad.empty(shape, dtype=dtype)
        if end > start:
            memory = _memory(tensor)
            read = 0
            while read < end - start:
                count = stream.readinto(memory[read:])
                if not count:
                    raise CheckpointError(f"load: {name} is cut short in tensor {key!r}")
                read += count
        tensors[key] = tensor
    metadata = header.get("__metadata__") or {}
    return tensors, metadata if isinstance(metadata, dict) else {}


def _describe(f):
    name = f if isinstance(f, (str, os.PathLike)) else getattr(f, "name", None)
    return f"'{os.fspath(name)}'" if isinstance(name, (str, os.PathLike)) else "the stream"


def _with_stream(f, read):
    """read(stream, name) on a path, a file, or anything that reads bytes."""
    name = _describe(f)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as stream:
            return read(stream, name)
    if not hasattr(f, "read"):
        raise TypeError(f"load: expected a path or a file open for reading, got {type(f).__name__}")
    if not (hasattr(f, "readinto") and hasattr(f, "seekable") and f.seekable()):
        f = io.BytesIO(f.read())
    return read(f, name)


def _load_stream(stream, name):
    position = stream.tell()
    start = stream.read(4)
    stream.seek(position)
    if start[:4] == b"PK\x03\x04":
        from ._pickled import load_zip

        return load_zip(stream, name)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        raise CheckpointError(
            f"load: {name} is a pickle (PyTorch's format before 1.6, or another program's): it can "
            "run code when read and isn't. Load it with PyTorch and save it again"
        )
    tensors, metadata = _read(stream, name)
    if "dlgrad" not in metadata:
        return tensors
    try:
        packed = json.loads(metadata["dlgrad"])
        version = packed["version"]
        if version == 1:
            return _unpack(packed["object"], tensors)
    except Exception as error:
        raise CheckpointError(
            f"load: {name} is damaged: its structure can't be read "
            f"({type(error).__name__}: {error})"
        ) from None
    raise CheckpointError(
        f"load: {name} was written by a newer dlgrad (structure version {version}); upgrade to read it"
    )


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None):
    """Reads what `save` wrote, any safetensors file (as a dictionary), or PyTorch's .pt (zip) file.

    f: a path or a binary file. From a .pt file only tensors and plain Python values are accepted,
    nothing in it is executed. Raises CheckpointError (a RuntimeError), which names the file and what
    is wrong with it. The other arguments are PyTorch's: everything is loaded into memory on the CPU.
    """
    return _with_stream(f, _load_stream)


def load_file(filename):
    """The tensors of a safetensors file by name."""
    return _with_stream(filename, lambda stream, name: _read(stream, name)[0])
