"""Drawing random numbers: rand, randn, normal, and the in-place fills by a distribution.

The numbers, and how many words of the generator each of them takes, are PyTorch's
(zig/ops/random.zig). Integers and choices are in random_discrete.py, dropout in random_dropout.py.
"""

from __future__ import annotations

import math

from .. import dtypes as dt
from .. import plan as door
from ..autograd.mode import no_grad
from ..batched import drawn, every_member, levels
from ..layout import Layout, contiguous
from ..random import block_of
from ..tensor import Tensor, make_tensor, method
from ._draw import (
    check_floating,
    draw,
    named_numbers,
    new_filled,
    plans,
)
from .complex_numbers import parts_layout
from .create import _check, _finish, _like_layout, _sizes, new_tensor
from .inplace import _write
from .random_discrete import bernoulli, multinomial, poisson, randint, randint_like, randperm
from .random_dropout import dropout
from .writing import unrecorded

__all__ = [
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "bernoulli",
    "multinomial",
    "poisson",
    "dropout",
]


def _uniform_into(t, low, high, generator):
    return draw(t, "uniform", (float(low), float(high)), generator)


def _normal_into(t, mean, std, generator):
    serial = 0 if t._layout.contiguous else 1
    return draw(t, "normal", (float(mean), float(std)), generator, ints=(serial,))


def _complex_into(fill, t, generator):
    """Fills the real and the imaginary parts, which take turns: uniform numbers, or normal ones whose variances
    sum to 1."""
    parts = make_tensor(t._ptr, parts_layout(t._layout), t._storage)
    if fill is _uniform_into:
        _uniform_into(parts, 0, 1, generator)
    else:
        _normal_into(parts, 0, math.sqrt(0.5), generator)
    return t


def _standard(fill, name, t, generator, requires_grad):
    """`t` filled with uniform numbers on [0, 1), or with normal ones of variance 1."""
    if t._layout.dtype.is_complex:
        return _finish(_complex_into(fill, t, generator), requires_grad)
    check_floating(name, t._layout)
    return _finish(fill(t, 0, 1, generator), requires_grad)


def _fresh(row, size, dtype, device, generator, requires_grad):
    """A new tensor by `row` (rand, randn): one call allocates and fills it."""
    lay = contiguous(_check(row, dtype, device), _sizes(row, size))
    if levels.stack:
        lay = drawn(lay)
    key = (row, lay)
    plan = plans.get(key)
    block = block_of(generator)
    if plan is None and lay.dtype.is_complex:
        return _standard(_uniform_into if row == "rand" else _normal_into, row, new_tensor(lay, row), generator, requires_grad)
    if plan is None:
        check_floating(row, lay)
        plan = door.remember(plans, key, door.make_plan("random", row, (lay,), (block._layout,)))
    t = door.run(plan, block)
    return t.requires_grad_() if requires_grad else t


def rand(
    *size,
    generator=None,
    names=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Uniform numbers on [0, 1) of this shape."""
    if out is None:
        return _fresh("rand", size, dtype, device, generator, requires_grad)
    t = new_filled("rand", size, dtype, device, out)
    return _standard(_uniform_into, "rand", t, generator, requires_grad)


def randn(
    *size,
    generator=None,
    names=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Normal numbers with mean 0 and standard deviation 1, of this shape."""
    if out is None:
        return _fresh("randn", size, dtype, device, generator, requires_grad)
    t = new_filled("randn", size, dtype, device, out)
    return _standard(_normal_into, "randn", t, generator, requires_grad)


def rand_like(
    input,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
    generator=None,
):
    """`rand` with the shape and (unless given) dtype of `input`."""
    if type(input) is Tensor and input._layout.contiguous and type(input._layout) is Layout:
        return _fresh("rand", input._layout.shape, dtype or input._layout.dtype, None, generator, requires_grad)
    t = new_tensor(drawn(_like_layout("rand_like", input, dtype)), "rand_like")
    return _standard(_uniform_into, "rand_like", t, generator, requires_grad)


def randn_like(
    input,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
    generator=None,
):
    """`randn` with the shape and (unless given) dtype of `input`."""
    if type(input) is Tensor and input._layout.contiguous and type(input._layout) is Layout:
        return _fresh("randn", input._layout.shape, dtype or input._layout.dtype, None, generator, requires_grad)
    t = new_tensor(drawn(_like_layout("randn_like", input, dtype)), "randn_like")
    return _standard(_normal_into, "randn_like", t, generator, requires_grad)


def normal(
    mean=0.0,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Normal numbers. `mean` and `std` are Tensors (broadcast together) or numbers; two numbers
    want `size`."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): missing argument 'size' (with mean and std both numbers)")
        t = new_filled("normal", (size,), dtype, device, out)
        return _finish(normal_(t, mean, std, generator=generator), requires_grad)
    from ..layout import broadcast_shapes

    shapes = [tuple(v._layout.shape) for v in (mean, std) if isinstance(v, Tensor)]
    shape = broadcast_shapes(*shapes, op="normal")
    like = mean if isinstance(mean, Tensor) else std
    with no_grad():
        t = new_filled(
            "normal", (tuple(shape),), None if out is not None else like._layout.dtype, None, out
        )
        if isinstance(std, Tensor):
            if std._layout.numel and not bool(every_member(std >= 0).all()):
                raise RuntimeError("normal expects all elements of std >= 0.0")
            return normal_(t, 0, 1, generator=generator).mul_(std).add_(mean)
        return normal_(t, 0, std, generator=generator).add_(mean)


# ---------------------------------------------------------------------- filling in place


@method
def uniform_(self, *bounds, generator=None, **keywords):
    """Fills this tensor from the uniform distribution on [from, to): `uniform_(from=0, to=1)`."""
    if len(bounds) > 2:
        raise TypeError(f"uniform_() takes at most 2 positional arguments, got {len(bounds)}")
    low, high = (*bounds, None, None)[:2]
    if keywords:
        low, high = named_numbers("uniform_", (low, high), ("from", "to"), keywords)
    low, high = 0.0 if low is None else float(low), 1.0 if high is None else float(high)
    check_floating("uniform_", self._layout)
    if -1e4 < low <= high < 1e4 and unrecorded(self):  # within any dtype's range
        return _uniform_into(self, low, high, generator)
    largest = dt.finfo(self._layout.dtype).max
    for value, what in ((low, "from"), (high, "to")):
        if not -largest <= value <= largest:
            raise RuntimeError(
                f"uniform_(): {what}={value} is out of bounds for {self._layout.dtype.name}"
            )
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    if high - low > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= {largest}, but found to={high} and from={low}"
        )
    return _write(self, "uniform_", lambda t: _uniform_into(t, low, high, generator))


@method
def normal_(self, mean=0, std=1, *, generator=None):
    """Fills this tensor from the normal distribution."""
    check_floating("normal_", self._layout)
    mean, std = float(mean), float(std)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if unrecorded(self):
        return _normal_into(self, mean, std, generator)
    return _write(self, "normal_", lambda t: _normal_into(t, mean, std, generator))


def _transformed(name, row, defaults, check):
    """An in-place fill by a distribution with one or two parameters."""
    names = tuple(defaults)

    def fill(self, *values, generator=None, **keywords):
        if len(values) > len(names):
            raise TypeError(
                f"{name}() takes at most {len(names)} positional arguments, got {len(values)}"
            )
        given = (*values, None, None)[: len(names)]
        if keywords:
            given = named_numbers(name, given, names, keywords)
        given = [defaults[n] if v is None else float(v) for n, v in zip(names, given)]
        if None in given:
            raise TypeError(f"{name}() missing required argument '{names[given.index(None)]}'")
        if name != "geometric_":
            check_floating(name, self._layout)
        check(*given)
        if unrecorded(self):
            return draw(self, row, tuple(given), generator)
        return _write(self, name, lambda t: draw(t, row, tuple(given), generator))

    return fill


def _expects(name, what, value, good):
    if not good:
        raise RuntimeError(f"{name} expects {what}={value}")


def _attach():
    rows = (
        (
            "exponential_",
            {"lambd": 1.0},
            "Fills from the exponential distribution, density lambd exp(-lambd x).",
            lambda lambd: _expects(
                "exponential_", "lambda > 0.0, but found lambda", lambd, lambd > 0
            ),
        ),
        (
            "geometric_",
            {"p": None},
            "Fills with the number of trials up to the first success: P(k) = (1 - p)^(k-1) p.",
            lambda p: _expects("geometric_", "p to be in (0, 1), but got p", p, 0 < p < 1),
        ),
        (
            "cauchy_",
            {"median": 0.0, "sigma": 1.0},
            "Fills from the Cauchy distribution.",
            lambda median, sigma: _expects(
                "cauchy_", "sigma > 0.0, but found sigma", sigma, sigma > 0
            ),
        ),
        (
            "log_normal_",
            {"mean": 1.0, "std": 2.0},
            "Fills with exp of normals of this mean and std.",
            lambda mean, std: _expects("log_normal_", "std > 0.0, but found std", std, std > 0),
        ),
    )
    for name, defaults, doc, check in rows:
        f = _transformed(name, name[:-1], defaults, check)
        f.__name__ = f.__qualname__ = name
        f.__doc__ = doc
        method(f)


_attach()
