"""Random integers, permutations and choices."""

from __future__ import annotations

import math
import warnings

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import no_grad
from ..batched import drawn, every_member, levels
from ..layout import contiguous
from ..random import block_of, default_generator
from ..tensor import Tensor, method
from ._draw import (
    as_integer,
    check_floating,
    draw,
    failure_detail,
    named_numbers,
    new_filled,
)
from .create import _finish, _like_layout, new_tensor
from .elementwise import write_out
from .inplace import _write

_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _limits(d):
    """The largest range that integers of this dtype are drawn from, both ends included."""
    if d is dt.bool:
        return 0, 1
    if d.is_floating_point:
        limit = int(dt.finfo(d).max)
        return max(-limit, -(1 << 63)), min(limit, (1 << 63) - 1)
    info = dt.iinfo(d)
    return info.min, info.max


def _held(number, d) -> int:
    """The number as the floating point dtype holds it (at most 64 bits of it are asked for)."""
    digits = _DIGITS[d.name]
    excess = max(0, abs(number).bit_length() - digits)
    half = (1 << excess) >> 1
    whole, rest = divmod(abs(number), 1 << excess)
    if rest > half or (rest == half and excess and whole & 1):
        whole += 1
    return (whole << excess) * (1 if number >= 0 else -1)


def _narrowed(low, high, d):
    """low and high moved to where every step of the dtype is one that it holds (as PyTorch
    does)."""
    digits = _DIGITS[d.name]
    after = _held(low + 1, d)
    if after < low:
        low = after + (1 << (abs(low + 1).bit_length() - 1 - digits + 1))
    before = _held(high - 1, d)
    if before >= high:
        high = before - (1 << (abs(high - 1).bit_length() - 1 - digits + 1))
    return low, high


def _integers_into(t, low, high, generator, name="random_"):
    """Integers of [low, high) into `t`."""
    d = t._layout.dtype
    least, most = _limits(d)
    for value, what in ((low, "from"), (high - 1, "to - 1")):
        if not least <= value <= most:
            raise RuntimeError(
                f"{name}(): {what} is out of bounds for {d.name}: {value} is not in [{least}, "
                f"{most}]"
            )
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if d.is_floating_point:
        exact = 1 << _DIGITS[d.name]
        for value, what in ((low, "from"), (high - 1, "to - 1")):
            if not -exact <= value <= exact:
                warnings.warn(
                    f"{what} is out of bounds [-(2^{_DIGITS[d.name]}), 2^{_DIGITS[d.name]}]. Due "
                    "to precision limitations "
                    f"{d.name} can support discrete uniform distribution only within this range",
                    stacklevel=4,
                )
        low, high = _narrowed(low, high, d)
        if low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                f"but got from={low} >= to={high}"
            )
    return draw(t, "random_range", (_signed(high - low), low), generator)


def _signed(number) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


@method
def random_(self, *bounds, generator=None, **keywords):
    """Fills with integers: `random_()` of the dtype's own range (floats: up to 2^mantissa),
    `random_(to)` of [0, to), `random_(from, to)` of [from, to), or up to the dtype's largest where
    `to` is None."""
    if len(bounds) > 2:
        raise TypeError(f"random_() takes at most 2 positional arguments, got {len(bounds)}")
    d = self._layout.dtype
    if not bounds and not keywords:
        return _write(self, "random_", lambda t: draw(t, "random", (), generator))
    if len(bounds) == 1 and not keywords:
        low, high = 0, bounds[0]
    else:
        low, high = named_numbers("random_", (*bounds, None, None)[:2], ("from", "to"), keywords)
        low = 0 if low is None else low
    low, high = int(low), None if high is None else int(high)
    if high is not None:
        return _write(self, "random_", lambda t: _integers_into(t, low, high, generator))
    if low == -(1 << 63) and (d is dt.int64 or d.is_floating_point and d is not dt.float16):
        return _write(self, "random_", lambda t: draw(t, "random_full", (), generator))
    if d.is_floating_point:
        most = 1 << _DIGITS[d.name]
        start = _narrowed(low, most, d)[0]
    else:
        start, most = low, _limits(d)[1]
    if low > most:
        raise RuntimeError(
            "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted "
            "to dtype"
        )
    scalars = (_signed(most - start + 1), start)
    return _write(self, "random_", lambda t: draw(t, "random_range", scalars, generator))


def randint(
    low=0,
    high=None,
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
    """Integers of [low, high), of this shape: `randint(high, size)` or `randint(low, high, size)`.
    int64 unless said."""
    key = None
    if out is None and generator is None and device is None and not levels.stack:
        key = low, high, size, dtype, type(low), type(high), type(size)
        try:
            known = _ranges.get(key)
        except TypeError:  # a list
            known = key = None
        if known is not None:
            plan, scalars = known
            t = door.run(plan, default_generator._block, *scalars)
            return t.requires_grad_() if requires_grad else t
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint(): missing argument 'size' (a tuple of ints)")
    low, high = as_integer("randint", "low", low), as_integer("randint", "high", high)
    t = new_filled("randint", (size,), dtype or (dt.int64 if out is None else None), device, out)
    _integers_into(t, low, high, generator, "randint")
    lay = t._layout
    if key is not None and not (lay.dtype.is_floating_point or lay.dtype.is_complex):
        block = default_generator._block._layout
        plan = door.make_plan("random", "random_range", (lay,), (block,), name="randint")
        door.remember(_ranges, key, (plan, (_signed(high - low), low)))
    return _finish(t, requires_grad)


# randint's arguments, and their types -> the plan and its scalars
_ranges: dict = {}


def randperm(
    n,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """0 .. n - 1 in random order. int64 unless said."""
    n = as_integer("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"randperm(): n must be non-negative, got {n}")
    d = dtype or (dt.int64 if out is None else out._layout.dtype)
    most = 1 if d is dt.bool else 1 << _DIGITS[d.name] if d.is_floating_point else dt.iinfo(d).max
    if n - 1 > most:
        raise RuntimeError(f"randperm(): n = {n} is too large for result tensor type {d.name}")
    return _finish(
        draw(new_filled("randperm", (n,), dtype or d, device, out), "randperm", (), generator),
        requires_grad,
    )


def randint_like(
    input,
    low=0,
    high=None,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
    generator=None,
):
    """`randint` with the shape and (unless given) dtype of `input`."""
    if high is None:
        low, high = 0, low
    low, high = as_integer("randint_like", "low", low), as_integer("randint_like", "high", high)
    t = new_tensor(drawn(_like_layout("randint_like", input, dtype)), "randint_like")
    return _finish(_integers_into(t, low, high, generator, "randint_like"), requires_grad)


# ---------------------------------------------------------------------- choices


def _bernoulli_into(t, p, generator):
    """Ones with probability `p` (a number, or a tensor that expands to t's shape), zeros else."""
    if not isinstance(p, Tensor):
        p = float(p)
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        return draw(t, "bernoulli", (p,), generator)
    if not p._layout.dtype.is_floating_point:
        raise RuntimeError(
            f"bernoulli_(): expects floating-point probabilities, got {p._layout.dtype.name}"
        )
    chances = p.detach()
    if chances._layout.shape != t._layout.shape:
        chances = chances.expand(tuple(t._layout.shape))
    try:
        return draw(t, "bernoulli_tensor", (), generator, extra=chances)
    except RuntimeError as problem:
        if failure_detail()[0] != door.INVALID_VALUE:
            raise
        raise RuntimeError(
            "bernoulli(): Expected p_in >= 0 && p_in <= 1 to be true for every probability"
        ) from problem


@method
def bernoulli_(self, p=0.5, *, generator=None):
    """Fills with ones with probability `p` (a number or a Tensor), and zeros else."""
    return _write(self, "bernoulli_", lambda t: _bernoulli_into(t, p, generator))


@method
def bernoulli(input, p=None, *, generator=None, out=None):
    """Ones with the probabilities that `input` holds (or with `p`), zeros else; of input's shape
    and dtype."""
    if not isinstance(input, Tensor):
        raise TypeError(f"bernoulli(): argument 'input' must be Tensor, not {type(input).__name__}")
    t = new_tensor(drawn(_like_layout("bernoulli", input, None)), "bernoulli")
    _bernoulli_into(t, input if p is None else p, generator)
    record(t, "BernoulliBackward0", lambda g: g * 0, (input,))
    return t if out is None else write_out("bernoulli", out, t)


def poisson(input, generator=None):
    """Poisson numbers with the rates that `input` holds."""
    if not isinstance(input, Tensor):
        raise TypeError(f"poisson(): argument 'input' must be Tensor, not {type(input).__name__}")
    check_floating("poisson", input._layout)
    t = new_tensor(drawn(contiguous(input._layout.dtype, tuple(input._layout.shape))), "poisson")
    try:
        draw(t, "poisson", (), generator, extra=input)
    except RuntimeError as problem:
        if failure_detail()[0] != door.INVALID_VALUE:
            raise
        raise RuntimeError(
            "poisson(): invalid Poisson rate, expected rate to be non-negative"
        ) from problem
    return record(t, "PoissonBackward0", lambda g: g * 0, (input,))


_MULTINOMIAL = (
    "invalid multinomial distribution (encountering probability entry < 0)",
    "invalid multinomial distribution (encountering probability entry = infinity or NaN)",
    "invalid multinomial distribution (sum of probabilities <= 0)",
)


@method
def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """`num_samples` indices for each row of `input` (1-d or 2-d), each drawn with a probability in
    proportion to its entry. Without replacement, by the largest p / q with q exponential."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"multinomial(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    lay = input._layout
    if not 1 <= lay.ndim <= 2:
        raise RuntimeError(f"multinomial(): prob_dist must be 1 or 2 dim, got {lay.ndim}")
    if not lay.dtype.is_floating_point:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {lay.dtype.name}"
        )
    num_samples = as_integer("multinomial", "num_samples", num_samples)
    if num_samples <= 0:
        raise RuntimeError(f"multinomial(): cannot sample n_sample <= 0 samples, got {num_samples}")
    categories = lay.shape[-1]
    if not replacement and num_samples > categories:
        raise RuntimeError(
            "multinomial(): cannot sample n_sample > prob_dist.size(-1) samples without "
            f"replacement ({num_samples} of {categories})"
        )
    if categories > 1 << 24:
        raise RuntimeError("multinomial(): number of categories cannot exceed 2^24")
    with no_grad():
        chances = input.detach()
        result = (
            _with_replacement(chances, num_samples, generator)
            if replacement and num_samples > 1  # PyTorch draws a single one by the other way
            else _without_replacement(chances, num_samples, generator)
        )
    return result if out is None else write_out("multinomial", out.resize_(tuple(result.shape)), result, exact=True)


def _with_replacement(p, samples, generator):
    flat = p._layout.ndim == 1
    rows = p.unsqueeze(0) if flat else p
    t = new_tensor(drawn(contiguous(dt.int64, (rows._layout.shape[0], samples))), "multinomial")
    try:
        door.call("random", "multinomial", t._layout, (block_of(generator), rows), into=t)
    except RuntimeError as problem:
        status, detail = failure_detail()
        if status != door.INVALID_VALUE:
            raise
        raise RuntimeError(
            f"multinomial(): {_MULTINOMIAL[detail[0]]} in row {detail[1]}"
        ) from problem
    return t.squeeze(0) if flat else t


def _without_replacement(p, samples, generator):
    if p._layout.numel:
        low, high = float(every_member(p).min()), float(every_member(p).max())
        if not (high < math.inf and low >= 0):
            raise RuntimeError(
                "multinomial(): probability tensor contains either `inf`, `nan` or element < 0"
            )
        if bool(every_member(p.sum(-1) == 0).any()):
            raise RuntimeError(f"multinomial(): {_MULTINOMIAL[2]}")
    q = p / exponential_like(p, generator)
    return q.argmax(-1, keepdim=True) if samples == 1 else q.topk(samples)[1]


def exponential_like(p, generator):
    """Exponential numbers (lambda 1) of the shape and dtype of `p`."""
    return draw(
        new_tensor(drawn(_like_layout("multinomial", p, None)), "multinomial"),
        "exponential",
        (1.0,),
        generator,
    )
