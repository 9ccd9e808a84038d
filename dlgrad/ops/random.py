"""Drawing random numbers: rand, randn, randint, randperm, the in-place fills, bernoulli, multinomial, dropout.

The numbers, and how many words of the generator each of them takes, are PyTorch's (zig/ops/random.zig).
A tensor that isn't contiguous is filled in the order of its memory, as in PyTorch.
"""

from __future__ import annotations

import math
import warnings

from .. import dtypes as dt
from .. import plan as door
from .._lib import ffi, lib
from ..autograd.graph import record
from ..autograd.mode import no_grad
from ..layout import contiguous, layout
from ..random import block_of
from ..tensor import Tensor, make_tensor, method
from .create import _check, _finish, _like_layout, _sizes, _write, new_tensor
from .elementwise import _dense, copy_into, write_out

__all__ = [
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal",
    "bernoulli", "multinomial", "poisson", "dropout",
]  # fmt: skip

# ---------------------------------------------------------------------- the way to the kernels


def _permutation(lay):
    """The dimensions in the order of memory, outermost first, or None for a contiguous layout."""
    if lay.contiguous:
        return None
    order = sorted(reversed(range(lay.ndim)), key=lambda d: lay.strides[d])
    return tuple(reversed(order))


def _permuted(t, order):
    """`t` with its dimensions in this order, outside of any graph."""
    lay = t._layout
    shape, strides = tuple(lay.shape[d] for d in order), tuple(lay.strides[d] for d in order)
    return make_tensor(t._ptr, layout(lay.dtype, shape, strides), t._storage)


def _draw(t, row, scalars=(), generator=None, extra=None, ints=()):
    """Fills `t` by `row`. extra: a further operand, of t's shape."""
    block = block_of(generator)
    order = _permutation(t._layout)
    if order is None:
        inputs = (block,) if extra is None else (block, extra)
        door.call("random", row, t._layout, inputs, ints=ints, scalars=scalars, into=t, name=row)
        return t
    inputs = (block,) if extra is None else (block, _permuted(extra, order))
    inner = _permuted(t, order)
    if _dense(t._layout):
        door.call("random", row, inner._layout, inputs, ints=ints, scalars=scalars, into=inner, name=row)
        return t
    buffer = new_tensor(contiguous(inner._layout.dtype, tuple(inner._layout.shape)), row)
    door.call("random", row, buffer._layout, inputs, ints=ints, scalars=scalars, into=buffer, name=row)
    copy_into(inner, buffer)
    return t


def _floating(name, t):
    if not t._layout.dtype.is_floating_point:
        raise RuntimeError(f"{name}(): not implemented for {t._layout.dtype.name}: it fills floating point tensors")


def _detail():
    """What the kernel said of the last failure: three numbers."""
    out = ffi.new("int64_t[4]")
    lib.dlgrad_error(out)
    return out[0], (out[1], out[2], out[3])


# ---------------------------------------------------------------------- filling in place


def _uniform_into(t, low, high, generator):
    return _draw(t, "uniform", (float(low), float(high)), generator)


def _normal_into(t, mean, std, generator):
    serial = 0 if t._layout.contiguous else 1
    return _draw(t, "normal", (float(mean), float(std)), generator, ints=(serial,))


def _named(name, values, names, keywords):
    """Positional or keyword numbers under PyTorch's names, one of which ('from') Python reserves."""
    values = list(values)
    for key, value in keywords.items():
        if key not in names or values[names.index(key)] is not None:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        values[names.index(key)] = value
    return values


@method
def uniform_(self, *bounds, generator=None, **keywords):
    """Fills this tensor from the uniform distribution on [from, to): `uniform_(from=0, to=1)`."""
    if len(bounds) > 2:
        raise TypeError(f"uniform_() takes at most 2 positional arguments, got {len(bounds)}")
    low, high = _named("uniform_", (*bounds, None, None)[:2], ("from", "to"), keywords)
    low, high = 0.0 if low is None else float(low), 1.0 if high is None else float(high)
    _floating("uniform_", self)
    largest = dt.finfo(self._layout.dtype).max
    for value, what in ((low, "from"), (high, "to")):
        if not -largest <= value <= largest:
            raise RuntimeError(f"uniform_(): {what}={value} is out of bounds for {self._layout.dtype.name}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    if high - low > largest:
        raise RuntimeError(f"uniform_ expects to-from <= {largest}, but found to={high} and from={low}")
    return _write(self, "uniform_", lambda t: _uniform_into(t, low, high, generator))


@method
def normal_(self, mean=0, std=1, *, generator=None):
    """Fills this tensor from the normal distribution."""
    _floating("normal_", self)
    mean, std = float(mean), float(std)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _write(self, "normal_", lambda t: _normal_into(t, mean, std, generator))


def _transformed(name, row, defaults, check):
    """An in-place fill by a distribution with one or two parameters."""
    names = tuple(defaults)

    def fill(self, *values, generator=None, **keywords):
        if len(values) > len(names):
            raise TypeError(f"{name}() takes at most {len(names)} positional arguments, got {len(values)}")
        given = _named(name, (*values, None, None)[: len(names)], names, keywords)
        given = [defaults[n] if v is None else float(v) for n, v in zip(names, given)]
        if None in given:
            raise TypeError(f"{name}() missing required argument '{names[given.index(None)]}'")
        if name != "geometric_":
            _floating(name, self)
        check(*given)
        return _write(self, name, lambda t: _draw(t, row, tuple(given), generator))

    return fill


def _expects(name, what, value, good):
    if not good:
        raise RuntimeError(f"{name} expects {what}={value}")


def _attach():
    rows = (
        ("exponential_", {"lambd": 1.0}, "Fills from the exponential distribution, density lambd exp(-lambd x).",
         lambda lambd: _expects("exponential_", "lambda > 0.0, but found lambda", lambd, lambd > 0)),
        ("geometric_", {"p": None}, "Fills with the number of trials up to the first success: P(k) = (1 - p)^(k-1) p.",
         lambda p: _expects("geometric_", "p to be in (0, 1), but got p", p, 0 < p < 1)),
        ("cauchy_", {"median": 0.0, "sigma": 1.0}, "Fills from the Cauchy distribution.",
         lambda median, sigma: _expects("cauchy_", "sigma > 0.0, but found sigma", sigma, sigma > 0)),
        ("log_normal_", {"mean": 1.0, "std": 2.0}, "Fills with exp of normals of this mean and std.",
         lambda mean, std: _expects("log_normal_", "std > 0.0, but found std", std, std > 0)),
    )  # fmt: skip
    for name, defaults, doc, check in rows:
        f = _transformed(name, name[:-1], defaults, check)
        f.__name__ = f.__qualname__ = name
        f.__doc__ = doc
        method(f)


_attach()


# ---------------------------------------------------------------------- integers


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
    """low and high moved to where every step of the dtype is one that it holds (as PyTorch does)."""
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
            raise RuntimeError(f"{name}(): {what} is out of bounds for {d.name}: {value} is not in [{least}, {most}]")
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if d.is_floating_point:
        exact = 1 << _DIGITS[d.name]
        for value, what in ((low, "from"), (high - 1, "to - 1")):
            if not -exact <= value <= exact:
                warnings.warn(
                    f"{what} is out of bounds [-(2^{_DIGITS[d.name]}), 2^{_DIGITS[d.name]}]. Due to precision limitations "
                    f"{d.name} can support discrete uniform distribution only within this range",
                    stacklevel=4,
                )
        low, high = _narrowed(low, high, d)
        if low >= high:
            raise RuntimeError(
                f"random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from={low} >= to={high}"
            )
    return _draw(t, "random_range", (_signed(high - low), low), generator)


def _signed(number) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


@method
def random_(self, *bounds, generator=None, **keywords):
    """Fills with integers: `random_()` of the dtype's own range (floats: up to 2^mantissa), `random_(to)` of
    [0, to), `random_(from, to)` of [from, to), or up to the dtype's largest where `to` is None."""
    if len(bounds) > 2:
        raise TypeError(f"random_() takes at most 2 positional arguments, got {len(bounds)}")
    d = self._layout.dtype
    if not bounds and not keywords:
        return _write(self, "random_", lambda t: _draw(t, "random", (), generator))
    if len(bounds) == 1 and not keywords:
        low, high = 0, bounds[0]
    else:
        low, high = _named("random_", (*bounds, None, None)[:2], ("from", "to"), keywords)
        low = 0 if low is None else low
    low, high = int(low), None if high is None else int(high)
    if high is not None:
        return _write(self, "random_", lambda t: _integers_into(t, low, high, generator))
    if low == -(1 << 63) and (d is dt.int64 or d.is_floating_point and d is not dt.float16):
        return _write(self, "random_", lambda t: _draw(t, "random_full", (), generator))
    if d.is_floating_point:
        most = 1 << _DIGITS[d.name]
        start = _narrowed(low, most, d)[0]
    else:
        start, most = low, _limits(d)[1]
    if low > most:
        raise RuntimeError("random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype")
    scalars = (_signed(most - start + 1), start)
    return _write(self, "random_", lambda t: _draw(t, "random_range", scalars, generator))


def _new(op, size, dtype, device, out):
    """The tensor to fill: `out`, or a new one."""
    shape = _sizes(op, size)
    if out is None:
        return new_tensor(contiguous(_check(op, dtype, device), shape), op)
    if dtype is not None and out._layout.dtype is not dtype:
        raise RuntimeError(f"{op}(): dtype {dtype.name} does not match that of out ({out._layout.dtype.name})")
    return out.resize_(shape)


def rand(*size, generator=None, names=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Uniform numbers on [0, 1) of this shape."""
    t = _new("rand", size, dtype, device, out)
    _floating("rand", t)
    return _finish(_uniform_into(t, 0, 1, generator), requires_grad)


def randn(*size, generator=None, names=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Normal numbers with mean 0 and standard deviation 1, of this shape."""
    t = _new("randn", size, dtype, device, out)
    _floating("randn", t)
    return _finish(_normal_into(t, 0, 1, generator), requires_grad)


def _integer(op, name, value):
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}(): argument '{name}' must be int, not {type(value).__name__}")
    return value.__index__()


def randint(low=0, high=None, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
            requires_grad=False, pin_memory=False):  # fmt: skip
    """Integers of [low, high), of this shape: `randint(high, size)` or `randint(low, high, size)`. int64 unless said."""
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint(): missing argument 'size' (a tuple of ints)")
    low, high = _integer("randint", "low", low), _integer("randint", "high", high)
    t = _new("randint", (size,), dtype or (dt.int64 if out is None else None), device, out)
    return _finish(_integers_into(t, low, high, generator, "randint"), requires_grad)


def randperm(n, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """0 .. n - 1 in random order. int64 unless said."""
    n = _integer("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"randperm(): n must be non-negative, got {n}")
    d = dtype or (dt.int64 if out is None else out._layout.dtype)
    most = 1 if d is dt.bool else 1 << _DIGITS[d.name] if d.is_floating_point else dt.iinfo(d).max
    if n - 1 > most:
        raise RuntimeError(f"randperm(): n = {n} is too large for result tensor type {d.name}")
    return _finish(_draw(_new("randperm", (n,), dtype or d, device, out), "randperm", (), generator), requires_grad)


def rand_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, generator=None):
    """`rand` with the shape and (unless given) dtype of `input`."""
    t = new_tensor(_like_layout("rand_like", input, dtype), "rand_like")
    _floating("rand_like", t)
    return _finish(_uniform_into(t, 0, 1, generator), requires_grad)


def randn_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, generator=None):
    """`randn` with the shape and (unless given) dtype of `input`."""
    t = new_tensor(_like_layout("randn_like", input, dtype), "randn_like")
    _floating("randn_like", t)
    return _finish(_normal_into(t, 0, 1, generator), requires_grad)


def randint_like(input, low=0, high=None, *, dtype=None, layout=None, device=None, requires_grad=False,
                 memory_format=None, generator=None):  # fmt: skip
    """`randint` with the shape and (unless given) dtype of `input`."""
    if high is None:
        low, high = 0, low
    low, high = _integer("randint_like", "low", low), _integer("randint_like", "high", high)
    t = new_tensor(_like_layout("randint_like", input, dtype), "randint_like")
    return _finish(_integers_into(t, low, high, generator, "randint_like"), requires_grad)


# ---------------------------------------------------------------------- other distributions


def normal(mean=0.0, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
           requires_grad=False, pin_memory=False):  # fmt: skip
    """Normal numbers. `mean` and `std` are Tensors (broadcast together) or numbers; two numbers want `size`."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): missing argument 'size' (with mean and std both numbers)")
        t = _new("normal", (size,), dtype, device, out)
        return _finish(normal_(t, mean, std, generator=generator), requires_grad)
    from ..layout import broadcast_shapes

    shapes = [tuple(v._layout.shape) for v in (mean, std) if isinstance(v, Tensor)]
    shape = broadcast_shapes(*shapes, op="normal")
    like = mean if isinstance(mean, Tensor) else std
    with no_grad():
        t = _new("normal", (tuple(shape),), None if out is not None else like._layout.dtype, None, out)
        if isinstance(std, Tensor):
            if std._layout.numel and not bool((std >= 0).all()):
                raise RuntimeError("normal expects all elements of std >= 0.0")
            return normal_(t, 0, 1, generator=generator).mul_(std).add_(mean)
        return normal_(t, 0, std, generator=generator).add_(mean)


def _bernoulli_into(t, p, generator):
    """Ones with probability `p` (a number, or a tensor that expands to t's shape), zeros else."""
    if not isinstance(p, Tensor):
        p = float(p)
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        return _draw(t, "bernoulli", (p,), generator)
    if not p._layout.dtype.is_floating_point:
        raise RuntimeError(f"bernoulli_(): expects floating-point probabilities, got {p._layout.dtype.name}")
    chances = p.detach()
    if chances._layout.shape != t._layout.shape:
        chances = chances.expand(tuple(t._layout.shape))
    try:
        return _draw(t, "bernoulli_tensor", (), generator, extra=chances)
    except RuntimeError as problem:
        if _detail()[0] != door.INVALID_VALUE:
            raise
        raise RuntimeError("bernoulli(): Expected p_in >= 0 && p_in <= 1 to be true for every probability") from problem


@method
def bernoulli_(self, p=0.5, *, generator=None):
    """Fills with ones with probability `p` (a number or a Tensor), and zeros else."""
    return _write(self, "bernoulli_", lambda t: _bernoulli_into(t, p, generator))


@method
def bernoulli(input, p=None, *, generator=None, out=None):
    """Ones with the probabilities that `input` holds (or with `p`), zeros else; of input's shape and dtype."""
    if not isinstance(input, Tensor):
        raise TypeError(f"bernoulli(): argument 'input' must be Tensor, not {type(input).__name__}")
    t = new_tensor(_like_layout("bernoulli", input, None), "bernoulli")
    _bernoulli_into(t, input if p is None else p, generator)
    record(t, "BernoulliBackward0", lambda g: g * 0, (input,))
    return t if out is None else write_out("bernoulli", out, t)


def poisson(input, generator=None):
    """Poisson numbers with the rates that `input` holds."""
    if not isinstance(input, Tensor):
        raise TypeError(f"poisson(): argument 'input' must be Tensor, not {type(input).__name__}")
    _floating("poisson", input)
    t = new_tensor(contiguous(input._layout.dtype, tuple(input._layout.shape)), "poisson")
    try:
        _draw(t, "poisson", (), generator, extra=input)
    except RuntimeError as problem:
        if _detail()[0] != door.INVALID_VALUE:
            raise
        raise RuntimeError("poisson(): invalid Poisson rate, expected rate to be non-negative") from problem
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
        raise TypeError(f"multinomial(): argument 'input' must be Tensor, not {type(input).__name__}")
    lay = input._layout
    if not 1 <= lay.ndim <= 2:
        raise RuntimeError(f"multinomial(): prob_dist must be 1 or 2 dim, got {lay.ndim}")
    if not lay.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {lay.dtype.name}")
    num_samples = _integer("multinomial", "num_samples", num_samples)
    if num_samples <= 0:
        raise RuntimeError(f"multinomial(): cannot sample n_sample <= 0 samples, got {num_samples}")
    categories = lay.shape[-1]
    if not replacement and num_samples > categories:
        raise RuntimeError(
            f"multinomial(): cannot sample n_sample > prob_dist.size(-1) samples without replacement ({num_samples} of {categories})"
        )
    if categories > 1 << 24:
        raise RuntimeError("multinomial(): number of categories cannot exceed 2^24")
    with no_grad():
        chances = input.detach()
        result = _with_replacement(chances, num_samples, generator) if replacement else (
            _without_replacement(chances, num_samples, generator))  # fmt: skip
    return result if out is None else write_out("multinomial", out, result)


def _with_replacement(p, samples, generator):
    flat = p._layout.ndim == 1
    rows = p.unsqueeze(0) if flat else p
    t = new_tensor(contiguous(dt.int64, (rows._layout.shape[0], samples)), "multinomial")
    try:
        door.call("random", "multinomial", t._layout, (block_of(generator), rows), into=t)
    except RuntimeError as problem:
        status, detail = _detail()
        if status != door.INVALID_VALUE:
            raise
        raise RuntimeError(f"multinomial(): {_MULTINOMIAL[detail[0]]} in row {detail[1]}") from problem
    return t.squeeze(0) if flat else t


def _without_replacement(p, samples, generator):
    if p._layout.numel:
        low, high = float(p.min()), float(p.max())
        if not (high < math.inf and low >= 0):
            raise RuntimeError("multinomial(): probability tensor contains either `inf`, `nan` or element < 0")
        if bool((p.sum(-1) == 0).any()):
            raise RuntimeError(f"multinomial(): {_MULTINOMIAL[2]}")
    q = p / exponential_like(p, generator)
    return q.argmax(-1, keepdim=True) if samples == 1 else q.topk(samples)[1]


def exponential_like(p, generator):
    """Exponential numbers (lambda 1) of the shape and dtype of `p`."""
    return _draw(new_tensor(_like_layout("multinomial", p, None), "multinomial"), "exponential", (1.0,), generator)


# ---------------------------------------------------------------------- dropout


def dropout(input, p=0.5, train=True):
    """In training, zeroes elements with probability `p` and scales the others by 1 / (1 - p)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"dropout(): argument 'input' must be Tensor, not {type(input).__name__}")
    p = float(p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not train or input._layout.numel == 0:
        return input
    if p == 1:
        return input * 0.0
    if not input._layout.dtype.is_floating_point:
        raise RuntimeError(f"dropout(): result type Float can't be cast to {input._layout.dtype.name}; dropout takes floating point tensors")
    keep = 1 - p
    order = _permutation(_like_layout("dropout", input, None))
    source = input if order is None else _permuted(input, order)
    shape = tuple(source._layout.shape)
    out = new_tensor(contiguous(source._layout.dtype, shape), "dropout")
    mask = new_tensor(contiguous(dt.bool, shape), "dropout")
    door.call("random", "dropout", (out._layout, mask._layout), (block_of(None), source), scalars=(keep,), into=(out, mask))
    result = out if order is None else _permuted(out, _inverse(order))
    return record(result, "DropoutBackward0", lambda g, mask: _masked(g, mask, keep, order), (input,), (mask,))


def _inverse(order):
    inverse = [0] * len(order)
    for i, d in enumerate(order):
        inverse[d] = i
    return tuple(inverse)


def _masked(g, mask, keep, order):
    """The gradient `g` where `mask` kept the element, over `keep`. Linear in g: its derivative is itself."""
    source = g if order is None else _permuted(g, order)
    out = new_tensor(contiguous(source._layout.dtype, tuple(source._layout.shape)), "dropout_backward")
    door.call("random", "dropout_backward", out._layout, (mask, source), scalars=(keep,), into=out)
    result = out if order is None else _permuted(out, _inverse(order))
    return record(result, "DropoutBackwardBackward0", lambda h, mask: _masked(h, mask, keep, order), (g,), (mask,))
