"""Discrete Fourier transforms (`torch.fft`): y_k = sum_j x_j exp(-2 pi i j k / n), along one dimension or several.

`norm` scales: "backward" (the default) leaves the forward transform as the sum and divides the inverse by n, "forward"
the other way round, "ortho" divides both by sqrt(n). float16 and bfloat16 are not transformed (convert them first);
integers become the default dtype.
"""

from __future__ import annotations

from . import dtypes as dt
from . import plan as door
from .autograd.graph import record
from .layout import Layout, alike, contiguous, remember_view, whole, wrap_dim
from .ops import arange, memos, roll, zeros
from .ops.checked import checked
from .ops.complex_numbers import conj, parts_layout, real
from .ops.writing import write_out
from .tensor import Tensor, make_tensor

__all__ = [
    "fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2", "fftn", "ifftn",
    "rfftn", "irfftn", "hfftn", "ihfftn", "fftfreq", "rfftfreq", "fftshift", "ifftshift",
]  # fmt: skip

_NORMS = {
    None: 0.0,
    "backward": 0.0,
    "ortho": 0.5,
    "forward": 1.0,
}  # the power of 1/n in a forward transform


# ---------------------------------------------------------------------- the kernel's rows


def _raw(t):
    """A complex tensor's memory as floats, outside of the graph."""
    return (
        make_tensor(t._ptr, parts_layout(t._layout), t._storage)
        if t._layout.dtype.is_complex
        else t
    )


def _run(row, x, shape, complex_out, dim, inverse, n, factor, name, rule, call=None):
    """A row of the kernel as an operation; `call`: the function and arguments that `_again` is to know it by."""
    lay = x._layout
    key = (row, shape, complex_out, dim, inverse, n, factor)
    plan = lay.views.get(key)
    if plan is None:
        d = lay.dtype
        new = contiguous(d.to_complex() if complex_out else d.to_real(), shape)
        described = parts_layout(new) if complex_out else new
        ints = (dim, int(inverse), n)
        if type(lay) is not Layout:
            out = door.call(
                "fft", row, described, (_raw(x),), ints=ints, floats=(float(factor),), name=row
            )
            return record(
                make_tensor(out._ptr, alike(out._layout, new), out._storage), name, rule, (x,)
            )
        given = parts_layout(lay) if d.is_complex else lay
        plan = door.make_plan("fft", row, (described,), (given,), ints, (float(factor),), name=row)
        plan.layout = new
        remember_view(lay, key, plan)
    if call is not None:
        remember_view(lay, call, (plan, name, rule))
    out = door.run(plan, x)
    return record(out, name, rule, (x,)) if x._requires_grad else out


def _again(input, call):
    """What a call gives that was met before with an input of this layout; or None."""
    hit = input._layout.views.get(call) if isinstance(input, Tensor) else None
    if hit is None:
        return None
    plan, name, rule = hit
    out = door.run(plan, input)
    return record(out, name, rule, (input,)) if input._requires_grad else out


def _complex_transform(x, dim, inverse, factor, call=None):
    """factor sum_j x_j exp(-+2 pi i j k / n) of a complex x. Its derivative is the transform of the other sign."""
    shape = tuple(x._layout.shape)
    rule = lambda g: _complex_transform(g, dim, not inverse, factor)  # noqa: E731
    return _run(
        "fft", x, shape, True, dim, inverse, shape[dim], factor, "FftC2CBackward0", rule, call
    )


def _real_to_half(x, dim, factor, call=None):
    """The first half of the spectrum of a real x."""
    n = x._layout.shape[dim]
    shape = list(x._layout.shape)
    shape[dim] = n // 2 + 1

    def rule(g):
        return real(_complex_transform(_resized(g, n, dim), dim, True, factor))

    return _run("rfft", x, tuple(shape), True, dim, False, n, factor, "FftR2CBackward0", rule, call)


def _real_to_whole(x, dim, inverse, factor, call=None):
    """The whole spectrum of a real x."""
    shape = tuple(x._layout.shape)
    rule = lambda g: real(_complex_transform(g, dim, not inverse, factor))  # noqa: E731
    return _run(
        "rfft", x, shape, True, dim, inverse, shape[dim], factor, "FftR2CBackward0", rule, call
    )


def _half_to_real(x, n, dim, factor, call=None):
    """The n real numbers whose spectrum begins with x."""
    shape = list(x._layout.shape)
    shape[dim] = n

    def rule(g):
        half = _real_to_half(g, dim, factor)
        middle = half.narrow(dim, 1, (n - 1) // 2)  # they stand for two numbers each
        weights = zeros(n // 2 + 1, dtype=g.dtype)
        weights[:] = 1
        weights[1 : 1 + middle.shape[dim]] = 2
        return half * weights.reshape((-1, *[1] * (half.ndim - 1 - dim)))

    return _run(
        "irfft", x, tuple(shape), False, dim, True, n, factor, "FftC2RBackward0", rule, call
    )


# ---------------------------------------------------------------------- arguments


def _floating(op, input):
    """The input as float32, float64 or complex."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    d = input._layout.dtype
    if d in (dt.float16, dt.bfloat16):
        raise RuntimeError(
            f"{op}(): unsupported dtype {d.name}: convert the tensor first, as with .float()"
        )
    if not (d.is_floating_point or d.is_complex):
        input = input.to(dt.get_default_dtype())
    return input


def _complex(op, input):
    x = _floating(op, input)
    return x if x._layout.dtype.is_complex else x.to(x._layout.dtype.to_complex())


def _real_only(op, input):
    if isinstance(input, Tensor) and input._layout.dtype.is_complex:
        raise RuntimeError(f"{op} expects a real input tensor, but got {input._layout.dtype.name}")
    return _floating(op, input)


def _power(op, norm):
    if norm not in _NORMS:
        raise RuntimeError(
            f'{op}(): Invalid normalization mode: "{norm}"; it must be "forward", "backward" or "ortho"'
        )
    return _NORMS[norm]


def _scale(op, norm, n, inverse):
    power = _power(op, norm)
    return float(n) ** -(1 - power if inverse else power)


def _length(op, n, default):
    n = default if n is None else whole(op, "n", n)
    if n < 1:
        raise RuntimeError(f"{op}(): Invalid number of data points ({n}) specified")
    return n


def _resized(x, n, dim):
    """x cut off, or with zeros behind, so that dimension `dim` has size n."""
    have = x._layout.shape[dim]
    if have == n:
        return x
    if have > n:
        return x.narrow(dim, 0, n)
    from .ops import cat

    shape = list(x._layout.shape)
    shape[dim] = n - have
    return cat((x, zeros(tuple(shape), dtype=x.dtype)), dim)


def _finish(op, out, result):
    return result if out is None else write_out(op, out, result)


# ---------------------------------------------------------------------- one dimension


def _c2c(op, input, n, dim, norm, inverse):
    call = ("c2c", inverse, n, dim, norm)
    known = _again(input, call)
    if known is not None:
        return known
    given = _floating(op, input)
    dim = wrap_dim(dim, given._layout.ndim, op, scalar_ok=False)
    n = _length(op, n, given._layout.shape[dim])
    x = _resized(given, n, dim)
    run = _complex_transform if x._layout.dtype.is_complex else _real_to_whole
    return run(x, dim, inverse, _scale(op, norm, n, inverse), call if x is input else None)


def fft(input, n=None, dim=-1, norm=None, *, out=None):
    """The transform along `dim`, cut off or filled with zeros to length n. Complex.

    Raises RuntimeError for n < 1 and unknown norms, IndexError for a dimension that is not there."""
    return _finish("fft", out, _c2c("fft", input, n, dim, norm, False))


def ifft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of `fft`."""
    return _finish("ifft", out, _c2c("ifft", input, n, dim, norm, True))


def _r2c(op, input, n, dim, norm, inverse):
    call = ("r2c", n, dim, norm)
    known = None if inverse else _again(input, call)
    if known is not None:
        return known
    given = _real_only(op, input)
    dim = wrap_dim(dim, given.ndim, op, scalar_ok=False)
    n = _length(op, n, given.shape[dim])
    x = _resized(given, n, dim)
    half = _real_to_half(
        x, dim, _scale(op, norm, n, inverse), call if x is input and not inverse else None
    )
    return conj(half) if inverse else half


def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The first n / 2 + 1 numbers of the transform of a real input; the others are their conjugates."""
    return _finish("rfft", out, _r2c("rfft", input, n, dim, norm, False))


def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of `hfft`: the first half of the inverse transform of a real input."""
    return _finish("ihfft", out, _r2c("ihfft", input, n, dim, norm, True))


def _c2r(op, input, n, dim, norm, inverse):
    call = ("c2r", n, dim, norm)
    known = _again(input, call) if inverse else None
    if known is not None:
        return known
    given = _complex(op, input)
    dim = wrap_dim(dim, given.ndim, op, scalar_ok=False)
    n = _length(op, n, 2 * (given.shape[dim] - 1))
    x = _resized(given, n // 2 + 1, dim)
    if not inverse:
        return _half_to_real(conj(x), n, dim, _scale(op, norm, n, inverse))
    return _half_to_real(x, n, dim, _scale(op, norm, n, inverse), call if x is input else None)


def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of `rfft`: n real numbers (n = 2 (size - 1) unless given)."""
    return _finish("irfft", out, _c2r("irfft", input, n, dim, norm, True))


def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The transform of a signal of which `input` is the first half and the rest its conjugates: real."""
    return _finish("hfft", out, _c2r("hfft", input, n, dim, norm, False))


# ---------------------------------------------------------------------- several dimensions


def _dims(op, input, s, dim):
    """The dimensions to transform and their lengths (None: as they are)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    s = None if s is None else (s,) if isinstance(s, int) else tuple(s)
    if dim is None:
        if s is not None and len(s) > input.ndim:
            raise RuntimeError(
                f"{op}(): Got shape with {len(s)} values but input tensor only has {input.ndim} dimensions."
            )
        dims = (
            tuple(range(input.ndim - len(s), input.ndim))
            if s is not None
            else tuple(range(input.ndim))
        )
    else:
        dims = tuple(
            wrap_dim(d, input.ndim, op, scalar_ok=False)
            for d in ((dim,) if isinstance(dim, int) else dim)
        )
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"{op}(): FFT dims must be unique, got {dim}")
    if s is not None and len(s) != len(dims):
        raise RuntimeError(
            f"{op}(): When given, dim and shape arguments must have the same length, got {len(dims)} and {len(s)}"
        )
    sizes = [None] * len(dims) if s is None else [None if n == -1 else n for n in s]
    return dims, sizes


def _c2cn(op, input, s, dim, norm, inverse):
    dims, sizes = _dims(op, input, s, dim)
    x = _floating(op, input) if dims else _complex(op, input)
    _power(op, norm)
    for d, n in zip(dims, sizes):
        x = _c2c(op, x, n, d, norm, inverse)
    return x


def _r2cn(op, input, s, dim, norm, inverse):
    x = _real_only(op, input)
    dims, sizes = _dims(op, x, s, dim)
    if not dims:
        raise RuntimeError(f"{op} must transform at least one axis")
    x = _r2c(op, x, sizes[-1], dims[-1], norm, inverse)
    for d, n in zip(dims[:-1], sizes[:-1]):
        x = _c2c(op, x, n, d, norm, inverse)
    return x


def _c2rn(op, input, s, dim, norm, inverse):
    dims, sizes = _dims(op, input, s, dim)
    if not dims:
        raise RuntimeError(f"{op} must transform at least one axis")
    x = _complex(op, input)
    for d, n in zip(dims[:-1], sizes[:-1]):
        x = _c2c(op, x, n, d, norm, inverse)
    return _c2r(op, x, sizes[-1], dims[-1], norm, inverse)


def fftn(input, s=None, dim=None, norm=None, *, out=None):
    """`fft` along the dimensions `dim` (all, or the last len(s), unless given), to the lengths s."""
    return _finish("fftn", out, _c2cn("fftn", input, s, dim, norm, False))


def ifftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of `fftn`."""
    return _finish("ifftn", out, _c2cn("ifftn", input, s, dim, norm, True))


def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """`rfft` along the last of the dimensions, `fft` along the others."""
    return _finish("rfftn", out, _r2cn("rfftn", input, s, dim, norm, False))


def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of `rfftn`."""
    return _finish("irfftn", out, _c2rn("irfftn", input, s, dim, norm, True))


def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """`fft` along all of the dimensions but the last, `hfft` along that."""
    return _finish("hfftn", out, _c2rn("hfftn", input, s, dim, norm, False))


def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of `hfftn`."""
    return _finish("ihfftn", out, _r2cn("ihfftn", input, s, dim, norm, True))


def fft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`fftn` over two dimensions."""
    return _finish("fft2", out, _c2cn("fft2", input, s, dim, norm, False))


def ifft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`ifftn` over two dimensions."""
    return _finish("ifft2", out, _c2cn("ifft2", input, s, dim, norm, True))


def rfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`rfftn` over two dimensions."""
    return _finish("rfft2", out, _r2cn("rfft2", input, s, dim, norm, False))


def irfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`irfftn` over two dimensions."""
    return _finish("irfft2", out, _c2rn("irfft2", input, s, dim, norm, True))


def hfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`hfftn` over two dimensions."""
    return _finish("hfft2", out, _c2rn("hfft2", input, s, dim, norm, False))


def ihfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """`ihfftn` over two dimensions."""
    return _finish("ihfft2", out, _r2cn("ihfft2", input, s, dim, norm, True))


# ---------------------------------------------------------------------- frequencies


def fftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequency of each number of `fft`, in cycles per unit of the sample spacing d: 0, 1, ..., -2, -1 over n d."""
    steps = roll(
        arange(-(n // 2), (n + 1) // 2, dtype=dtype or dt.get_default_dtype(), device=device),
        -(n // 2),
        0,
    )
    return _finish("fftfreq", out, (steps * (1.0 / (n * d))).requires_grad_(requires_grad))


def rfftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of `rfft`: 0, 1, ..., n // 2 over n d."""
    steps = arange(n // 2 + 1, dtype=dtype or dt.get_default_dtype(), device=device)
    return _finish("rfftfreq", out, (steps * (1.0 / (n * d))).requires_grad_(requires_grad))


def _shifted(input, dim, sign):
    dims = (
        tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    )
    return roll(input, tuple(sign * (input.shape[d] // 2) for d in dims), dims)


@checked
def fftshift(input, dim=None):
    """The numbers in the order of their frequencies: the zero one moves to the middle (of `dim`, or of all)."""
    return _shifted(input, dim, 1)


@checked
def ifftshift(input, dim=None):
    """The inverse of `fftshift`."""
    return _shifted(input, dim, -1)

memos.remember_functions(globals(), memos.FFT)
