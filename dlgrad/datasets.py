"""Data to train on: the digits and the text that ship with dlgrad, and MNIST's IDX files."""

from __future__ import annotations

import array
import gzip
import math
import struct
import sys
import zlib
from pathlib import Path

import dlgrad

from .serialization import _memory

__all__ = ["read_idx", "digits", "mnist", "shakespeare", "DataError"]

_SHIPPED = Path(__file__).parent / "data"

# The IDX format's element types: code -> (dtype, bytes, array typecode)
_TYPES = {
    0x08: ("uint8", 1, "B"),
    0x09: ("int8", 1, "b"),
    0x0B: ("int16", 2, "h"),
    0x0C: ("int32", 4, "i"),
    0x0D: ("float32", 4, "f"),
    0x0E: ("float64", 8, "d"),
}


class DataError(ValueError):
    """A data file that is damaged or not what it should be; the message names it."""


def _read_bytes(path):
    """The contents of a file, unpacked if it is gzip (whatever its name)."""
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if start != b"\x1f\x8b":
            return file.read()
        try:
            with gzip.open(file) as unpacked:
                return unpacked.read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is damaged: it can't be unpacked ({error})") from None


def read_idx(path):
    """The tensor in an IDX file (http://yann.lecun.com/exdb/mnist), gzip-packed or not.

    Raises FileNotFoundError, or DataError for a file that is damaged.
    """
    data = _read_bytes(path)
    if len(data) < 4 or data[0] or data[1] or data[2] not in _TYPES or data[3] == 0:
        raise DataError(f"{path} is no IDX file: it begins with the bytes {data[:4].hex(' ')}")
    name, size, typecode = _TYPES[data[2]]
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise DataError(f"{path} is cut short: {len(data)} bytes, the header alone has {start}")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    count = math.prod(shape)
    if len(data) - start != count * size:
        what = "is cut short" if len(data) - start < count * size else "is damaged"
        raise DataError(
            f"{path} {what}: its header announces shape {shape}, {count * size} bytes, and "
            f"{len(data) - start} follow"
        )
    body = data[start:]
    if size > 1 and sys.byteorder == "little":
        values = array.array(typecode, body)
        values.byteswap()
        body = values.tobytes()
    tensor = dlgrad.empty(shape, dtype=getattr(dlgrad, name))
    if count:
        _memory(tensor)[:] = body
    return tensor


def _find(folder, stem):
    """The file of MNIST called `stem` in `folder`, under any of the names it is known by."""
    folder = Path(folder)
    names = [stem, stem.replace("-idx", ".idx")]
    candidates = [folder / (name + ending) for name in names for ending in ("", ".gz")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist")
    raise FileNotFoundError(f"{folder / stem} is missing (also looked for {stem}.gz)")


def _pair(images_path, labels_path):
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, tensor, rank in ((images_path, images, 3), (labels_path, labels, 1)):
        if tensor.dim() != rank or tensor.dtype != dlgrad.uint8:
            raise DataError(
                f"{path} has {tensor.dim()} dimensions of {tensor.dtype}, not {rank} of uint8"
            )
    if images.shape[0] != labels.shape[0]:
        raise DataError(
            f"{images_path} has {images.shape[0]} images, {labels_path} {labels.shape[0]} labels"
        )
    return images, labels


def mnist(folder):
    """MNIST (or a data set in its form) from a folder with its four IDX files, gzip-packed or not.

    Returns (train images, train labels, test images, test labels): uint8, images (N, height, width).
    The error names the file that is missing or damaged.
    """
    parts = []
    for kind in ("train", "t10k"):
        parts += _pair(
            _find(folder, f"{kind}-images-idx3-ubyte"), _find(folder, f"{kind}-labels-idx1-ubyte")
        )
    return tuple(parts)


def digits():
    """1,797 handwritten digits of 8 x 8 pixels: (images uint8 (1797, 8, 8) of 0 to 16, labels).

    Alpaydin and Kaynak, UCI, CC BY 4.0: see data/README.md.
    """
    # (8, 8, 1797) in the file, which packs smaller.
    images = read_idx(_SHIPPED / "digits-images-idx3-ubyte.gz").permute(2, 0, 1).contiguous()
    return images, read_idx(_SHIPPED / "digits-labels-idx1-ubyte.gz")


def shakespeare():
    """Some 100,000 characters of Macbeth."""
    import bz2  # which a few builds of Python lack

    return bz2.decompress((_SHIPPED / "shakespeare.txt.bz2").read_bytes()).decode("utf-8")
