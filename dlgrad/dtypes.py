"""Element types, and what two of them become together (PyTorch's promotion rules)."""

from __future__ import annotations

from ._native import native

__all__ = ["dtype", "finfo", "iinfo", "promote_types", "can_cast", "get_default_dtype", "set_default_dtype"]


class dtype:  # noqa: N801  (PyTorch's name)
    """An element type, such as `dlgrad.float32`. There is one object for each; compare with `==` or `is`."""

    __slots__ = ("name", "code", "itemsize", "is_floating_point", "is_complex", "is_signed", "format", "rank", "__weakref__")

    def __init__(self, name, code, itemsize, kind, fmt, rank):
        self.name = name
        self.code = code
        self.itemsize = itemsize
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self.is_signed = kind in "fic"
        self.format = fmt  # the struct module's letter; None where Python has none
        self.rank = rank  # within its category, for promotion

    @property
    def is_integral(self):
        """Whether it is an integer type (bool is not one)."""
        return not (self.is_floating_point or self.is_complex or self.name == "bool")

    def to_complex(self):
        """The complex type of this precision. Raises RuntimeError for bfloat16 and float16, which have none here."""
        if self.is_complex:
            return self
        if self not in _COMPLEX:
            raise RuntimeError(f"to_complex(): there is no complex type for {self.name}")
        return _COMPLEX[self]

    def to_real(self):
        """The type of a complex type's parts; itself for the others."""
        return _PARTS.get(self, self)

    def __repr__(self):
        return f"dlgrad.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


# The codes are those of zig/dtype.zig.
bool = dtype("bool", 0, 1, "b", "?", 0)
uint8 = dtype("uint8", 1, 1, "u", "B", 1)
int8 = dtype("int8", 2, 1, "i", "b", 1)
int16 = dtype("int16", 3, 2, "i", "h", 2)
int32 = dtype("int32", 4, 4, "i", "i", 3)
int64 = dtype("int64", 5, 8, "i", "q", 4)
float16 = dtype("float16", 6, 2, "f", "e", 1)
bfloat16 = dtype("bfloat16", 7, 2, "f", None, 1)
float32 = dtype("float32", 8, 4, "f", "f", 2)
float64 = dtype("float64", 9, 8, "f", "d", 3)

# Two floats side by side, which is all that the kernels know of them (plan.py): they have no code in Zig.
complex64 = dtype("complex64", 10, 8, "c", None, 1)
complex128 = dtype("complex128", 11, 16, "c", None, 2)

REAL = (bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
ALL = (*REAL, complex64, complex128)
NAMES = {d.name: d for d in ALL}
_PARTS = {complex64: float32, complex128: float64}
_COMPLEX = {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}
ALIASES = {
    "half": float16, "float": float32, "double": float64,
    "short": int16, "int": int32, "long": int64, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip


def _by_name(name):
    return NAMES[name]


def category(d):
    """0 for bool, 1 for integers, 2 for floating point, 3 for complex: a higher category wins over a lower one."""
    return 3 if d.is_complex else 2 if d.is_floating_point else 0 if d is bool else 1


def _promote(a, b):
    ca, cb = category(a), category(b)
    if ca == 3 or cb == 3:  # the precision of both
        return complex128 if {a, b} & {complex128, float64} else complex64
    if a is b or ca > cb:
        return a
    if cb > ca:
        return b
    if a.rank != b.rank:
        return a if a.rank > b.rank else b
    return float32 if ca == 2 else int16  # float16 with bfloat16; uint8 with int8


_PROMOTED = {(a, b): _promote(a, b) for a in ALL for b in ALL}


def promote_types(type1, type2):
    """The smallest type that holds both, as in PyTorch: `promote_types(int64, float16)` is float16."""
    try:
        return _PROMOTED[type1, type2]
    except (KeyError, TypeError):
        raise TypeError(f"promote_types(): expected two dtypes, got {type1!r} and {type2!r}") from None


def can_cast(from_, to):
    """Whether an in-place operation may turn `from_` into `to`: never to a lower category."""
    return category(from_) <= category(to)


_default = float32


def get_default_dtype():
    """The floating point type of new tensors when none is asked for (float32 at first)."""
    return _default


forgets: list = []  # functions that forget what was made for another default


def set_default_dtype(d):
    """Sets the type of `get_default_dtype`. Raises TypeError for one that is not floating point."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype(): only floating point types are supported as the default, got {d!r}")
    _default = d
    for forget in forgets:
        forget()
    if native is not None:
        native["forget_all"]()  # what functions have done so far, they may do in another way now


# name: bits, eps, max, tiny (smallest normal), resolution
_FLOATS = {
    "float16": (16, 2.0**-10, 65504.0, 2.0**-14, 1e-3),
    "bfloat16": (16, 2.0**-7, float.fromhex("0x1.fep127"), 2.0**-126, 1e-2),
    "float32": (32, 2.0**-23, float.fromhex("0x1.fffffep127"), 2.0**-126, 1e-6),
    "float64": (64, 2.0**-52, float.fromhex("0x1.fffffffffffffp1023"), 2.0**-1022, 1e-15),
}
_SUBNORMAL = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


class finfo:  # noqa: N801
    """Limits of a floating point type: bits, eps, min, max, tiny, smallest_normal, resolution."""

    def __init__(self, type=None):
        d = _default if type is None else type
        d = d.to_real() if isinstance(d, dtype) else d
        if not isinstance(d, dtype) or not d.is_floating_point:
            raise TypeError(f"finfo(): requires a floating point dtype, got {d!r}; use iinfo for integers")
        self.bits, self.eps, self.max, self.tiny, self.resolution = _FLOATS[d.name]
        self.min = -self.max
        self.smallest_normal = self.tiny
        self.dtype = d.name

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})")  # fmt: skip


class iinfo:  # noqa: N801
    """Limits of an integer type: bits, min, max."""

    def __init__(self, type):
        if not isinstance(type, dtype) or not type.is_integral:
            raise TypeError(f"iinfo(): requires an integer dtype, got {type!r}; use finfo for floating point")
        self.bits = type.itemsize * 8
        self.min = -(1 << (self.bits - 1)) if type.is_signed else 0
        self.max = (1 << (self.bits - type.is_signed)) - 1
        self.dtype = type.name

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
