"""Sequences of different lengths as one batch: padded, or packed."""

from __future__ import annotations

from collections import namedtuple

import dlgrad
from dlgrad import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
    "pack_sequence",
    "unpack_sequence",
]


class PackedSequence(
    namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])
):
    """Sequences without their padding: the rows of time 0 of all, then of time 1, and so on.

    `batch_sizes[t]` says how many sequences reach time t; they are sorted by length, longest first
    (`sorted_indices`; `unsorted_indices` undoes it).
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError(
                    "PackedSequence needs data and batch_sizes: two arguments, or a list or tuple "
                    "of length 2"
                )
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """Converts the data."""
        return type(self)(self.data.to(*args, **kwargs), *self[1:])

    def double(self):
        """Converts the data to float64."""
        return self.to(dlgrad.float64)

    def float(self):
        """Converts the data to float32."""
        return self.to(dlgrad.float32)

    def half(self):
        """Converts the data to float16."""
        return self.to(dlgrad.float16)

    def byte(self):
        """Converts the data to uint8."""
        return self.to(dlgrad.uint8)

    def char(self):
        """Converts the data to int8."""
        return self.to(dlgrad.int8)

    def short(self):
        """Converts the data to int16."""
        return self.to(dlgrad.int16)

    def int(self):
        """Converts the data to int32."""
        return self.to(dlgrad.int32)

    def long(self):
        """Converts the data to int64."""
        return self.to(dlgrad.int64)

    def cpu(self):
        """Itself."""
        return self

    def cuda(self, *args, **kwargs):
        """Raises RuntimeError: dlgrad computes on the CPU only."""
        return type(self)(self.data.cuda(*args, **kwargs), *self[1:])

    @property
    def is_cuda(self):
        """False."""
        return False


def invert_permutation(permutation):
    """The permutation that undoes `permutation`."""
    if permutation is None:
        return None
    return dlgrad.empty_like(permutation).scatter_(
        0, permutation, dlgrad.arange(permutation.numel())
    )


def _lengths_list(lengths):
    values = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [int(n) for n in values]


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Packs a padded batch (T, B, *), or (B, T, *) with `batch_first`.

    `lengths` must decrease, unless `enforce_sorted` is false, which sorts.
    """
    lengths = _lengths_list(lengths)
    if batch_first:
        input = input.transpose(0, 1)
    if len(lengths) != input.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} "
            f"(batch_size={input.shape[1]})"
        )
    if not lengths or min(lengths) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that "
            "is <= 0"
        )
    sorted_indices = None
    if enforce_sorted:
        if any(later > earlier for earlier, later in zip(lengths, lengths[1:])):
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
                "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
                "sidestep this requirement."
            )
    else:
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        lengths = [lengths[i] for i in order]
        sorted_indices = dlgrad.tensor(order, dtype=dlgrad.int64)
        input = input.index_select(1, sorted_indices)
    if lengths[0] > input.shape[0]:
        raise RuntimeError(
            f"Expected sequence lengths of at most {input.shape[0]}, got {lengths[0]}"
        )
    sizes = [sum(length > t for length in lengths) for t in range(lengths[0])]
    data = dlgrad.cat([input[t, :size] for t, size in enumerate(sizes)])
    return PackedSequence(data, dlgrad.tensor(sizes, dtype=dlgrad.int64), sorted_indices)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """(padded batch, lengths) of a PackedSequence; `total_length` pads further."""
    sizes = sequence.batch_sizes.tolist()
    time = len(sizes)
    if total_length is not None:
        if total_length < time:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {time}"
            )
        time = total_length
    batch = sizes[0]
    rest = tuple(sequence.data.shape[1:])
    rows = []
    start = 0
    for size in sizes + [0] * (time - len(sizes)):
        row = sequence.data[start : start + size]
        start += size
        if size < batch:
            fill = dlgrad.full((batch - size, *rest), padding_value, dtype=row.dtype)
            row = dlgrad.cat([row, fill])
        rows.append(row)
    padded = dlgrad.stack(rows)
    lengths = dlgrad.tensor(
        [sum(size > i for size in sizes) for i in range(batch)], dtype=dlgrad.int64
    )
    order = sequence.unsorted_indices
    if order is not None:
        padded = padded.index_select(1, order)
        lengths = lengths[order]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stacks sequences (L_i, *) into (max L, B, *), or (B, max L, *) with `batch_first`."""
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not hasattr(sequences, "__iter__"):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if any(sequence.dim() == 0 for sequence in sequences):
        raise RuntimeError("pad_sequence: a 0-d tensor is no sequence; it has no length")
    longest = max(sequence.shape[0] for sequence in sequences)
    rows = []
    for sequence in sequences:
        missing = longest - sequence.shape[0]
        if missing:
            fill = dlgrad.full((missing, *sequence.shape[1:]), padding_value, dtype=sequence.dtype)
            parts = [sequence, fill] if padding_side == "right" else [fill, sequence]
            sequence = dlgrad.cat(parts)
        rows.append(sequence)
    return dlgrad.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences of a padded batch, without their padding."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(padded_sequences, _lengths_list(lengths))]


def pack_sequence(sequences, enforce_sorted=True):
    """Packs a list of sequences (L_i, *)."""
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The list of sequences in a PackedSequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
