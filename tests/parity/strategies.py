"""How the arguments of an operation are drawn: shapes, layouts, dtypes, dimensions, indices.

A row's `case` is a function of a `Draw`. It returns the arguments of a call as a tuple, or as
`Call(*args, **kwargs)`, with an `Operand` in the place of each tensor and a `Dtype` in that of each
dtype, so that one case can be made both here and in PyTorch.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from .both import both, numbers

REAL = ("float64", "float32", "float16", "bfloat16")
WIDE = ("float64", "float32")
COMPLEX = ("complex128", "complex64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
NUMBERS = (*REAL, *INTEGERS)
ALL = (*NUMBERS, "bool", *COMPLEX)
LAYOUTS = ("contiguous", "contiguous", "transposed", "stepped", "offset", "expanded")

sizes = st.sampled_from((2, 3, 1, 4, 0))


@dataclass(frozen=True)
class Dtype:
    name: str


@dataclass
class Operand:
    """One tensor: its values, its dtype and the way in which it lies in memory."""

    values: np.ndarray
    dtype: str
    layout: str = "contiguous"

    def __repr__(self):
        values = f" {self.values.tolist()}" if self.values.size < 5 else ""
        return f"{self.dtype}{list(self.shape)} {self.layout}{values}"

    @property
    def shape(self):
        return self.values.shape

    @property
    def ndim(self):
        return self.values.ndim

    def make(self):
        """The pair (dlgrad, torch) with these values in this layout."""
        a, view = laid_out(self.values, self.layout)
        return tuple(view(t) for t in both(a, self.dtype))


class Call:
    """The arguments of a call."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def __repr__(self):
        return f"Call{self.args}{self.kwargs or ''}"


def laid_out(a, layout):
    """An array, and the view of a tensor of it that has the values of `a` in this layout."""
    if layout == "transposed" and a.ndim > 1:
        order = tuple(reversed(range(a.ndim)))
        return np.ascontiguousarray(a.T), lambda t: t.permute(order)
    if layout == "stepped" and a.ndim:
        wide = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype)
        wide[..., ::2] = a
        return wide, lambda t: t[..., ::2]
    if layout == "offset":
        behind = np.concatenate([np.zeros(3, a.dtype), a.reshape(-1)])
        return behind, lambda t: t[3:].view(a.shape)
    if layout == "expanded" and a.ndim and a.shape[0] > 1:
        return np.ascontiguousarray(a[:1]), lambda t: t.expand(a.shape)
    return np.ascontiguousarray(a).reshape(a.shape), lambda t: t


def values_of(rng, shape, dtype, low, high):
    if dtype.startswith("complex"):
        return rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)
    if dtype in INTEGERS and (low, high) != (-3.0, 3.0):
        low = max(int(np.ceil(low)), 0 if dtype == "uint8" else -9)
        return rng.integers(low, max(int(high), low) + 1, shape).astype(dtype)
    return numbers(rng, shape, dtype, low, high)


def distinct(rng, shape, dtype):
    """Numbers that all differ, so that no maximum is a tie (as far as the dtype can)."""
    n = int(np.prod(shape))
    a = rng.permutation(n) - (0 if dtype in ("uint8", "bool") else n // 2)
    return (a % 2 == 0 if dtype == "bool" else a * (0.25 if dtype in REAL else 1)).reshape(shape)


class Draw:
    """The choices of one example; `dtype` is the example's own."""

    def __init__(self, draw, dtypes):
        self.draw = draw
        self.dtype = draw(st.sampled_from(dtypes))
        self.rng = np.random.default_rng(draw(st.integers(0, 999)))

    def int(self, low, high):
        return self.draw(st.integers(low, high))

    def bool(self):
        return self.draw(st.booleans())

    def any_of(self, *values):
        return self.draw(st.sampled_from(values))

    def float(self, low=-2.0, high=2.0):
        return round(float(self.rng.uniform(low, high)), 2)

    def shape(self, low=0, high=4, least=0):
        """A shape of low to high dimensions, each of at least `least`."""
        ndim = self.int(low, high)
        return tuple(max(self.draw(sizes), least) for _ in range(ndim))

    def beside(self, shape):
        """A shape that broadcasts with this one."""
        out = tuple(self.any_of(n, n, 1) for n in shape)
        return out[self.int(0, len(out)) :] if self.bool() else out

    def like(self, shape):
        """Nearly always this shape; now and then one that does not fit."""
        return (*shape, 3) if self.int(0, 15) == 15 else tuple(shape)

    def layout(self):
        return self.any_of(*LAYOUTS)

    def tensor(self, shape=None, dtype=None, low=-3.0, high=3.0, unique=False, layout=None):
        """An operand (shape: any; dtype: the example's)."""
        shape = self.shape() if shape is None else shape
        dtype = dtype or self.dtype
        if unique:
            a = distinct(self.rng, shape, dtype)
            layout = layout or self.any_of(*LAYOUTS[:-1])
        else:
            a = values_of(self.rng, shape, dtype, low, high)
        return Operand(np.asarray(a), dtype, layout or self.layout())

    def mask(self, shape):
        return self.tensor(shape, "bool")

    def indices(self, shape, size, dtype="int64", negative=False, outside=True):
        """Indices into a dimension of this size; now and then one that lies outside."""
        low = -size if negative else 0
        if size == 0:
            a = np.zeros(shape, dtype)
        else:
            a = self.rng.integers(low, size, shape).astype(dtype)
        if outside and a.size and self.int(0, 15) == 15:
            a.reshape(-1)[-1] = size
        return Operand(np.asarray(a), dtype, self.any_of("contiguous", "stepped", "transposed"))

    def dim(self, x, outside=True):
        """A dimension of an operand (or of so many dimensions), counted from either end."""
        n = max(x if isinstance(x, int) else x.ndim, 1)
        if outside and self.int(0, 11) == 11:
            return n
        return self.int(-n, n - 1)

    def order(self, x):
        """All dimensions in some order, counted from either end."""
        return tuple(
            d - x.ndim if self.bool() else d for d in self.draw(st.permutations(range(x.ndim)))
        )

    def dims(self, x):
        """Several dimensions, all different."""
        return self.order(x)[: self.int(0, x.ndim)]

    def other_dtype(self, *dtypes):
        return Dtype(self.any_of(*(dtypes or ALL)))


def made(tree, which, grad, memo):
    """The arguments with tensors and dtypes of a library (which: 0 dlgrad, 1 PyTorch) for operands."""
    import torch

    import dlgrad

    if isinstance(tree, Operand):
        if id(tree) not in memo:
            pair = tree.make()
            if grad and tree.dtype.startswith(("float", "complex", "bfloat")):
                pair = tuple(t.detach().requires_grad_() for t in pair)
            memo[id(tree)] = pair
        return memo[id(tree)][which]
    if isinstance(tree, Dtype):
        return getattr((dlgrad, torch)[which], tree.name)
    if isinstance(tree, (list, tuple)):
        return type(tree)(made(t, which, grad, memo) for t in tree)
    if isinstance(tree, dict):
        return {k: made(t, which, grad, memo) for k, t in tree.items()}
    return tree
