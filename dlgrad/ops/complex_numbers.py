"""Complex tensors: two floats side by side, taken apart and put together.

The kernels know real numbers only. What treats the two parts alike (adding, summing, moving elements) runs on the
memory as it is (plan.py describes it as floats with a last dimension of 2); the rest is worked out from the real and
the imaginary part (complex_formulas.py). Derivatives are the rows' own: for a holomorphic f the gradient is
g conj(f'(z)), that is the conjugate of what the row makes of conj(g) (Kreutz-Delgado, The Complex Gradient Operator and
the CR-Calculus, 2009; PyTorch's convention).
"""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import record
from ..autograd.mode import mode, no_grad
from ..layout import alike, broadcast_shapes, expanded, layout, remember_view
from ..plan import make_plan, memo, remember, run_plan
from ..tensor import Tensor, make_tensor
from .elementwise import result_layout

_plans: dict = {}


def kernel(row, dtype, *inputs):
    """A row of zig/ops/complex.zig on inputs that broadcast, outside of the graph. dtype: the result's."""
    key = (row, *[t._layout for t in inputs])
    plan = _plans.get(key)
    if plan is None:
        lays = key[1:]
        shape = lays[0].shape
        if any([lay.shape != shape for lay in lays]):
            shape = broadcast_shapes(*[lay.shape for lay in lays], op=row)
        out = result_layout(dtype, shape, *lays)
        lays = tuple([lay if lay.shape == shape else expanded(lay, shape) for lay in lays])
        plan = remember(_plans, key, make_plan("complex", row, (out,), lays))
    return run_plan(plan, inputs)


# ---------------------------------------------------------------------- the parts


def parts_layout(lay):
    """The memory of a complex layout as floats: a last dimension of 2."""
    hit = lay.views.get("parts")
    if hit is None:
        strides = (*[2 * s for s in lay.strides], 1)
        hit = remember_view(lay, "parts", alike(lay, layout(lay.dtype.to_real(), (*lay.shape, 2), strides)))
    return hit


def parts_of(z):
    """The memory of the real parts and of the imaginary parts, outside of the graph."""
    lay, d = z._layout, z._layout.dtype.to_real()
    part = alike(lay, layout(d, tuple(lay.shape), tuple(2 * s for s in lay.strides)))
    return make_tensor(z._ptr, part, z._storage), make_tensor(z._ptr + d.itemsize, part, z._storage)


def view_as_real(input):
    """A complex tensor's memory as floats, real and imaginary parts along a last dimension of 2. A view.

    Raises RuntimeError for a tensor that is not complex."""
    from .view import make_view

    if not isinstance(input, Tensor):
        raise TypeError(
            f"view_as_real(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    if not input._layout.dtype.is_complex:
        raise RuntimeError(
            f"view_as_real is only supported for complex tensors, got {input._layout.dtype.name}"
        )
    return make_view(
        input,
        parts_layout(input._layout),
        0,
        "ViewAsRealBackward0",
        lambda g: view_as_complex(g.contiguous()),
    )


def view_as_complex(input):
    """Floats whose last dimension has size 2 as complex numbers. A view.

    Raises RuntimeError unless the tensor is float32 or float64, its last dimension has size 2 and stride 1, and the
    other strides (and the offset) are even."""
    if isinstance(input, Tensor) and input.storage_offset() % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return _as_complex(input)


@memo
def _as_complex(input):
    from .view import make_view

    if not isinstance(input, Tensor):
        raise TypeError(
            f"view_as_complex(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    lay = input._layout
    if lay.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: {lay.dtype.name}"
        )
    if lay.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if lay.shape[-1] != 2:
        raise RuntimeError(
            f"Tensor must have a last dimension of size 2, got shape {list(lay.shape)}"
        )
    if lay.numel and lay.strides[-1] != 1:
        raise RuntimeError(
            f"Tensor must have a last dimension with stride 1, got strides {list(lay.strides)}"
        )
    if any(s % 2 for s, n in zip(lay.strides[:-1], lay.shape) if n > 1):
        raise RuntimeError(
            f"Tensor must have a stride divisible by 2 for all but last dimension, got strides {list(lay.strides)}"
        )
    whole = layout(
        lay.dtype.to_complex(), tuple(lay.shape[:-1]), tuple(s // 2 for s in lay.strides[:-1])
    )
    return make_view(input, whole, 0, "ViewAsComplexBackward0", view_as_real)


def real(input):
    """The real part, a view; a real tensor itself."""
    if not input._layout.dtype.is_complex:
        return input
    return view_as_real(input).select(-1, 0)


def imag(input):
    """The imaginary part, a view. Raises RuntimeError for a real tensor."""
    if not input._layout.dtype.is_complex:
        raise RuntimeError(
            f"imag is not implemented for tensors with non-complex dtypes, got {input._layout.dtype.name}"
        )
    return view_as_real(input).select(-1, 1)


def complex(real, imag, *, out=None):
    """real + i imag, of two real tensors that broadcast.

    Raises RuntimeError unless both are float32 or both are float64."""
    from .writing import write_out

    for t, name in ((real, "real"), (imag, "imag")):
        if not isinstance(t, Tensor):
            raise TypeError(f"complex(): argument '{name}' must be Tensor, not {type(t).__name__}")
    a, b = real._layout.dtype, imag._layout.dtype
    if a not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"complex(): Expected both inputs to be Float or Double tensors but got {a.name} and {b.name}"
        )
    if a is not b:
        raise RuntimeError(
            f"complex(): Expected object of scalar type {a.name} but got scalar type {b.name} for second argument"
        )
    result = kernel("make", a.to_complex(), real, imag)
    if real._requires_grad or imag._requires_grad:
        shapes = (real._layout.shape, imag._layout.shape)
        record(result, "ComplexBackward0", (_real_part, _imaginary_part), (real, imag), (shapes,))
    return result if out is None else write_out("complex", out, result)


def _real_part(g, shapes):
    from .elementwise import sum_to

    return sum_to(real(g), shapes[0])


def _imaginary_part(g, shapes):
    from .elementwise import sum_to

    return sum_to(imag(g), shapes[1])


def from_real(x, dtype):
    """A real tensor as a complex one, with imaginary parts of 0. The gradient is the real part of what comes back."""
    from .create import zeros

    part, old = dtype.to_real(), x._layout.dtype
    out = kernel("make", dtype, x.detach().to(part), zeros((), dtype=part))
    return (
        record(out, "ToCopyBackward0", lambda g: real(g).to(old), (x,))
        if old.is_floating_point
        else out
    )


def polar(abs, angle, *, out=None):
    """abs e^(i angle): complex numbers from their absolute values and angles (radians).

    Raises TypeError for what is no Tensor."""
    for t, name in ((abs, "abs"), (angle, "angle")):
        if not isinstance(t, Tensor):
            raise TypeError(f"polar(): argument '{name}' must be Tensor, not {type(t).__name__}")
    real, imag = abs._layout.dtype, angle._layout.dtype
    if out is None and real is imag and real in (dt.float32, dt.float64) and not (abs._requires_grad or angle._requires_grad):
        return kernel("polar", real.to_complex(), abs, angle)
    return complex(abs * angle.cos(), abs * angle.sin(), out=out)


def conj(input):
    """The complex conjugate; a real tensor itself."""
    if not input._layout.dtype.is_complex:
        return input
    result = kernel("conj", input._layout.dtype, input)
    return record(result, "ConjBackward0", conj, (input,)) if input._requires_grad else result


def angle(z):
    """The argument of complex numbers, in (-pi, pi]."""
    result = kernel("angle", z._layout.dtype.to_real(), z)
    return record(result, "AngleBackward0", _angle_slope, (z,), (z,))


def _angle_slope(g, z):
    from .ternary import where

    re, im = pair(z)
    square = re * re + im * im
    zero = square == 0
    square = where(zero, 1.0, square)
    return complex(where(zero, 0.0, -im / square) * g, where(zero, 0.0, re / square) * g)


def pair(z):
    """Real and imaginary part."""
    if not z._layout.dtype.is_complex:
        from .create import zeros_like

        return z, zeros_like(z)
    parts = view_as_real(z)
    return parts.select(-1, 0), parts.select(-1, 1)


Tensor.real = property(real, lambda self, value: real(self).copy_(value), doc=real.__doc__)
Tensor.imag = property(imag, lambda self, value: imag(self).copy_(value), doc=imag.__doc__)


# ---------------------------------------------------------------------- the rows


def unary(row, z):
    """A row of one input, for a complex one. Raises RuntimeError where there is none."""
    from . import complex_formulas as formulas

    name, derivative = row.name, row.derivatives[0]
    with no_grad():
        if name in formulas.TESTS:
            return formulas.TESTS[name](*pair(z))
        d = z._layout.dtype
        if name == "abs":
            result = kernel("abs", d.to_real(), z)
        elif name in _KERNELS:
            result = kernel(name, d, z)
        elif name in formulas.FORWARD:
            result = complex(*formulas.FORWARD[name](pair(z)))
        else:
            raise RuntimeError(f"{name}(): not implemented for {z._layout.dtype.name}")
    if name == "abs":
        return record(result, "AbsBackward0", _abs_slope, (z,), (z,))
    if name == "sgn":
        return record(result, "SgnBackward0", _sgn_slope, (z,), (z,))
    keeps = row.needs[0]
    derivative = _SLOPES.get(name, derivative)
    own = keeps.index("y") if "y" in keeps else -1
    return record(
        result,
        row.node_name,
        _conjugated(derivative),
        (z,),
        tuple(z if k == "x" else None for k in keeps),
        own,
    )


def _abs_slope(g, z):
    return z.sgn() * g if mode.enabled else kernel("abs_backward", z._layout.dtype, z, g)


_KERNELS = frozenset(("square", "reciprocal", "exp", "log", "sqrt"))  # of zig/ops/complex.zig

_SLOPES = {  # where the row's own derivative is a kernel of real numbers, or another branch
    "tanh": lambda g, y: g * (1 - y * y),
    "sigmoid": lambda g, y: g * (y * (1 - y)),
    "acosh": lambda g, x: g * ((x - 1).rsqrt() * (x + 1).rsqrt()),
}


def product(a, b, multiply):
    """What `multiply` makes of two complex tensors, by four products of their parts. No graph."""
    (ar, ai), (br, bi) = parts_of(a), parts_of(b)
    with no_grad():
        return complex(multiply(ar, br) - multiply(ai, bi), multiply(ar, bi) + multiply(ai, br))


def binary(row, a, b):
    """A row of two complex inputs of one dtype. Raises RuntimeError where there is none."""
    from . import complex_formulas as formulas

    name = row.name
    shape = broadcast_shapes(a._layout.shape, b._layout.shape, op=name)
    with no_grad():
        if name in ("eq", "ne"):
            return kernel(name, dt.bool, a, b)
        if name in formulas.TESTS_2:
            return formulas.TESTS_2[name](pair(a), pair(b))
        if name not in formulas.FORWARD_2:
            raise RuntimeError(f"{name}(): not implemented for {a._layout.dtype.name}")
        result = complex(*formulas.FORWARD_2[name](pair(a), pair(b)))
    rules = (
        _POW_SLOPES
        if name == "pow"
        else tuple(_conjugated(_by_name(d, need)) for d, need in zip(row.derivatives, row.needs))
    )
    rules = tuple(
        _summed(r, t._layout.shape) if t._layout.shape != shape else r
        for r, t in zip(rules, (a, b))
    )
    used = "aby" if name == "pow" else _used(row, (a, b))
    saved = (a if "a" in used else None, b if "b" in used else None, None)
    return record(result, row.node_name, rules, (a, b), saved, 2 if "y" in used else -1)


def _conjugate_product(g, z):
    return g * conj(z) if mode.enabled else kernel("mul_conj", g._layout.dtype, g, z)


def _conjugate_quotient(g, z):
    return g / conj(z) if mode.enabled else kernel("div_conj", g._layout.dtype, g, z)


PRODUCT_SLOPES = {
    "mul": (lambda g, b: _conjugate_product(g, b), lambda g, a: _conjugate_product(g, a)),
    "div": (
        lambda g, b: _conjugate_quotient(g, b),
        lambda g, b, y: -_conjugate_quotient(_conjugate_product(g, y), b),
    ),
}


POWERS = {2: "square", 3: "cube", -1: "reciprocal", -2: None}  # what is not computed by logarithms


def power(row, z, n):
    """z^n of the row pow, for an n in POWERS."""
    d = z._layout.dtype
    if n == -2:
        result = kernel("reciprocal", d, kernel("square", d, z))
    else:
        result = kernel(POWERS[n], d, z)
    if not z._requires_grad:
        return result
    slope = (lambda z: z + z) if n == 2 else (lambda z: n * z ** (n - 1))
    return record(result, row.node_name, lambda g, z: _conjugate_product(g, slope(z)), (z,), (z,))


def _used(row, inputs):
    """What the derivatives by these inputs keep: letters of "aby"."""
    wanted = [t.requires_grad for t in inputs]
    return {k for need, want in zip(row.needs, wanted) if want for k in need}


def _by_name(derivative, need):
    """A row's derivative as a function of the gradient, a, b and y."""
    places = ["aby".index(k) for k in need]
    return lambda g, *saved: derivative(g, *[saved[i] for i in places])


def _summed(rule, shape):
    from .elementwise import sum_to

    return lambda g, *saved: sum_to(rule(g, *saved), shape)


def _pow_base_slope(g, a, b, y):
    from .ternary import where

    return g * where(b == 0, 0.0, b * a ** (b - 1)).conj()


def _pow_exponent_slope(g, a, b, y):
    from .ternary import where

    return g * where(a == 0, 0.0, y * where(a == 0, 1.0, a).log()).conj()


_POW_SLOPES = (_pow_base_slope, _pow_exponent_slope)


def _sgn_slope(g, z):
    """The gradient of z / |z|: the part of g across z, over |z|; 0 at 0."""
    from .ternary import where

    r = z.abs()
    s = z.sgn()
    along = real(g * s.conj())
    return where(r == 0, 0.0, (g - s * along) / where(r == 0, 1.0, r))


def _conjugated(rule):
    """A row's derivative by a holomorphic argument, for complex gradients."""
    if rule is None:
        return None
    return lambda g, *saved: conj(rule(conj(g), *saved))
