"""Arguments that modules hand on."""

from __future__ import annotations

import dataclasses

import dlgrad

__all__ = ["factory_kwargs", "LinearCrossEntropyOptions"]

_FACTORY = ("device", "dtype", "memory_format")


def factory_kwargs(kwargs):
    """What of a module's keyword arguments goes to `dlgrad.empty` and the like: device, dtype,
    memory_format, and what a dictionary `factory_kwargs` among them holds.

    Raises TypeError for other arguments, and for one that is given twice."""
    if kwargs is None:
        return {}
    unexpected = kwargs.keys() - {*_FACTORY, "factory_kwargs"}
    if unexpected:
        raise TypeError(f"unexpected kwargs {unexpected}")
    result = dict(kwargs.get("factory_kwargs", {}))
    for name in _FACTORY:
        if name in kwargs:
            if name in result:
                raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
            result[name] = kwargs[name]
    return result


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts a linear cross entropy into pieces, to save memory. They are checked and
    change nothing here. Raises ValueError for options that PyTorch doesn't have."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: object = None

    def __post_init__(self):
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            factor = factor if colon else "1"
            if not (name == "aspect_ratio" and factor.isdigit() and int(factor) > 0):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if not (size is None or (isinstance(size, int) and size > 0)):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        floats = (dlgrad.float16, dlgrad.bfloat16, dlgrad.float32, dlgrad.float64)
        if self.acc_dtype is not None and self.acc_dtype not in floats:
            raise ValueError(
                f"acc_dtype must be one of {{None, {', '.join(map(str, floats))}}}, got "
                f"{self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )
