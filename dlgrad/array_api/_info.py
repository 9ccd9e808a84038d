"""What a program can ask of this namespace."""

from __future__ import annotations

from .. import dtypes as dt
from ..tensor import CPU
from ._dtypes import KINDS

# 16 dimensions that can't be merged fit a kernel's plan, and complex numbers take one of them.
MAX_DIMENSIONS = 15


class __array_namespace_info__:  # noqa: N801
    """Capabilities, dtypes and devices."""

    def capabilities(self):
        """Boolean indexing and shapes that depend on data work; the number of dimensions for which everything does."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": MAX_DIMENSIONS,
        }

    def default_device(self):
        """The CPU."""
        return CPU

    def devices(self):
        """The CPU."""
        return [CPU]

    def default_dtypes(self, *, device=None):
        """The dtypes of new tensors when none is asked for; `dlgrad.set_default_dtype` changes the floating ones."""
        d = dt.get_default_dtype()
        return {
            "real floating": d,
            "complex floating": d.to_complex(),
            "integral": dt.int64,
            "indexing": dt.int64,
        }

    def dtypes(self, *, device=None, kind=None):
        """The standard's dtypes that are there, by name: all, or those of a kind as in `isdtype`, or of several."""
        kinds = (
            ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        )
        found = {}
        for k in kinds:
            if k not in KINDS:
                raise ValueError(f"dtypes(): unknown kind {k!r}; there are {', '.join(KINDS)}")
            found.update({d.name: d for d in KINDS[k]})
        return found
