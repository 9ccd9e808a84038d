"""Generators of random numbers: a seed gives the numbers that PyTorch's CPU generator gives.

A `Generator` is one stream of MT19937 words in memory of its own, which the kernels advance in
place (zig/random.zig). Functions that draw take `generator=`; without it they use
`default_generator`.
"""

from __future__ import annotations

import contextlib
import os

from . import dtypes as dt
from . import plan as door
from ._native import pointer
from .batched import levels
from .layout import contiguous
from .storage import allocate
from .tensor import CPU, Tensor, make_tensor  # noqa: N812
from .tensor import device as Device

__all__ = [
    "Generator",
    "default_generator",
    "manual_seed",
    "seed",
    "initial_seed",
    "get_rng_state",
    "set_rng_state",
    "fork_rng",
]

_BLOCK = contiguous(dt.uint8, (2560,))  # zig/random.zig: Generator.bytes
_STATE = contiguous(dt.uint8, (5056,))  # PyTorch's
_FRESH_SEED = 67280421310721  # of a Generator that was never seeded, in PyTorch too


def _new_bytes(lay) -> Tensor:
    storage = allocate(lay.nbytes, "Generator")
    return make_tensor(storage.ptr, lay, storage)


def _as_seed(seed) -> int:
    """64 bits, as the signed number that carries them to the kernel."""
    seed = int(seed)
    if not -(1 << 63) <= seed < 1 << 64:
        raise RuntimeError(f"manual_seed(): the seed must lie in [-2^63, 2^64), got {seed}")
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def _nondeterministic() -> int:
    return int.from_bytes(os.urandom(8), "little") & ((1 << 53) - 1)


class Generator:
    """A stream of random numbers with a state of its own.

    `Generator()` starts from a fixed seed; call `manual_seed` or `seed`. Give it to functions as
    `generator=`. Its `get_state()` can be carried to PyTorch, and PyTorch's back.
    """

    __slots__ = ("_block", "_seed", "__weakref__")

    def __init__(self, device="cpu"):
        Device(device)
        self._block = door.call(
            "fill", "fill", _BLOCK, (), ints=(1,), scalars=(0,), into=_new_bytes(_BLOCK)
        )
        self.manual_seed(_FRESH_SEED)

    @property
    def device(self):
        """Always `device(type='cpu')`."""
        return CPU

    def manual_seed(self, seed) -> Generator:
        """Starts the stream of `seed`: an int of 64 bits, signed or not. Returns self."""
        signed = _as_seed(seed)
        door.call("random", "generator_seed", _BLOCK, (), scalars=(signed,), into=self._block)
        self._seed = signed & ((1 << 64) - 1)
        return self

    def seed(self) -> int:
        """Seeds from the system's entropy and returns that seed."""
        number = _nondeterministic()
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed that this stream started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state, a uint8 tensor of 5056 bytes in the format of PyTorch's CPU generator."""
        return door.call("random", "generator_get", _STATE, (self._block,), into=_new_bytes(_STATE))

    def set_state(self, new_state):
        """Goes on from a state that `get_state()` gave, here or in PyTorch.

        Raises TypeError, RuntimeError for what is no such state."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"set_state(): expected a uint8 Tensor, got {type(new_state).__name__}")
        lay = new_state._layout
        if lay.dtype is not dt.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor (dlgrad.uint8)")
        if lay.shape != _STATE.shape:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE.numel} but found the input RNG "
                f"state size to be {lay.numel}"
            )
        state = new_state if lay.contiguous else new_state.contiguous()
        try:
            door.call("random", "generator_set", _BLOCK, (state,), into=self._block)
        except RuntimeError:
            raise RuntimeError("set_state(): Invalid mt19937 state") from None
        self._seed = int.from_bytes(bytes(door.ffi.buffer(pointer(state._ptr), 8)), "little")

    def clone_state(self) -> Generator:
        """A generator that will give the numbers that this one will give."""
        other = Generator()
        other.set_state(self.get_state())
        return other

    def __deepcopy__(self, memo):
        return self.clone_state()

    def __reduce__(self):
        state = self.get_state()
        return _restore, (bytes(door.ffi.buffer(pointer(state._ptr), _STATE.nbytes)),)

    def __repr__(self):
        return f"<dlgrad.Generator object at {hex(id(self))}>"


def _restore(raw) -> Generator:
    state = _new_bytes(_STATE)
    door.ffi.memmove(pointer(state._ptr), raw, len(raw))
    generator = Generator()
    generator.set_state(state)
    return generator


default_generator = Generator()
default_generator.seed()


def block_of(generator) -> Tensor:
    """The memory that the kernels draw from: that of `generator`, or of the default one.

    Raises RuntimeError inside of a vmap that does not say what random numbers are to be there."""
    if levels.stack and any(level.randomness == "error" for level in levels.stack):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap"
        )
    if generator is None:
        return default_generator._block
    if not isinstance(generator, Generator):
        raise TypeError(
            f"generator: expected a dlgrad.Generator or None, got {type(generator).__name__}"
        )
    return generator._block


def manual_seed(seed) -> Generator:
    """Seeds the default generator, and returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state (see `Generator.get_state`)."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Sets the default generator's state."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, device_type="cpu", **_):
    """Inside, numbers may be drawn from the default generator; at the end its state is what it
    was."""
    del devices, device_type  # there is only the CPU
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
