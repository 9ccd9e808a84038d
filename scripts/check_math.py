"""Largest errors of the elementwise functions, in ulp, against mpmath.

    python scripts/check_math.py                        through dlgrad
    python scripts/check_math.py --library libmath.so   zig/math_array.zig built by itself:
        zig build-lib -dynamic -lc -O fast -mcpu x86_64_v3 zig/math_array.zig
    python scripts/check_math.py --library libmath.so --points 5000 tanh lgamma

float64 and a sample of float32 are held against mpmath; then float32 over millions of bit
patterns against float64. Special values are held against C99's and PyTorch's. Exits with 1
where a function passes its bound.
"""

import argparse
import ctypes
import sys

import mpmath as mp
import numpy as np

inf, nan = np.inf, np.nan
mp.mp.prec = 200


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(-abs(x))) + max(x, 0)


def log1p(x):  # mpmath's own may lose its way below 2^-1000
    return mp.log1p(x) if abs(x) > mp.mpf(2) ** -100 else x - x * x / 2


def ndtr(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def erfinv(x):
    if x == 0 or abs(x) >= 1:
        return mp.erfinv(x)
    with mp.workprec(1300 if abs(x) > 0.99 else 200):
        y = abs(x)
        t = mp.erfinv(y)
    return t if x > 0 else -t


def lgamma(x):
    if x > 0:
        return mp.loggamma(x)
    if x == mp.floor(x):
        return mp.inf
    with mp.workprec(1400):
        return mp.log(mp.pi / abs(x * mp.sin(mp.pi * x))) - mp.loggamma(-x)


def psi(n):
    def f(x):
        if x > 1e15:
            return mp.log(x) - 1 / (2 * x) if n == 0 else 1 / x + 1 / (2 * x * x)
        with mp.workprec(400):
            return mp.psi(n, x)

    return f


def sinc(x):
    with mp.workprec(1300):
        return mp.sinpi(x) / (mp.pi * x) if x else mp.mpf(1)


def gelu_tanh(x):
    return x * sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf(0.044715) * x**3))


def besseli(x):
    return mp.besseli(0, x)


def besselie(x):
    x = abs(x)
    if x < 1e8:
        return mp.besseli(0, x) * mp.exp(-x)
    return (1 + 1 / (8 * x) + 9 / (128 * x * x)) / mp.sqrt(2 * mp.pi * x)


def tall(f):
    """At enough digits for arguments of any size."""

    def g(*x):
        with mp.workprec(1300):
            return f(*x)

    return g


EVERY = (-inf, inf)
# name: (reference, ranges of arguments, bound for float32, for float64)
UNARY = {
    "exp": (mp.exp, [(-746, 710), (-104, 89), (-1, 1)], 1, 1),
    "exp2": (lambda x: mp.mpf(2) ** x, [(-1075, 1025), (-150, 129), (-1, 1)], 1, 1),
    "expm1": (mp.expm1, [(-40, 710), (-20, 89), (-1.5, 1.5)], 1.5, 1.5),
    "sinh": (mp.sinh, [(-711, 711), (-89, 89), (-2, 2)], 2, 2),
    "cosh": (mp.cosh, [(-711, 711), (-89, 89), (-2, 2)], 2, 2),
    "tanh": (mp.tanh, [(-20, 20), (-1, 1)], 2, 2),
    "sigmoid": (sigmoid, [(-746, 40), (-104, 20), (-1, 1)], 2.45, 2.45),
    "silu": (lambda x: x * sigmoid(x), [(-750, 40), (-109, 20), (-1, 1)], 2.45, 2.45),
    "log": (mp.log, [(0, inf), (0, 4), (0.9, 1.1)], 1, 1),
    "log2": (lambda x: mp.log(x) / mp.log(2), [(0, inf), (0, 4), (0.9, 1.1)], 1.5, 1.5),
    "log10": (mp.log10, [(0, inf), (0, 4), (0.9, 1.1)], 1.5, 1.5),
    "log1p": (log1p, [(-1, inf), (-1, 2), (-0.01, 0.01)], 1.5, 1),
    "softplus": (softplus, [(-746, 40), (-104, 20), (-1, 1)], 2, 2),
    "logSigmoid": (lambda x: -softplus(-x), [(-40, 746), (-20, 104), (-1, 1)], 2, 2),
    "asinh": (mp.asinh, [EVERY, (-3, 3), (-0.1, 0.1)], 1, 2),
    "acosh": (mp.acosh, [(1, inf), (1, 3), (1, 1.01)], 1, 2),
    "atanh": (mp.atanh, [(-1, 1), (-0.1, 0.1), (0.9, 1)], 1, 2),
    "sin": (tall(mp.sin), [EVERY, (-7, 7), (-2e6, 2e6), (3.1415, 3.1416)], 1.6, 1),
    "cos": (tall(mp.cos), [EVERY, (-7, 7), (-2e6, 2e6), (1.57, 1.571)], 1.6, 1),
    "tan": (tall(mp.tan), [EVERY, (-7, 7), (-2e6, 2e6), (1.57, 1.571)], 1, 2),
    "asin": (mp.asin, [(-1, 1), (0.49, 0.51), (0.99, 1)], 2, 2),
    "acos": (mp.acos, [(-1, 1), (0.49, 0.51), (0.99, 1), (-1, -0.99)], 2, 2),
    "atan": (mp.atan, [EVERY, (-3, 3), (0.4, 0.43), (2.4, 2.43)], 2, 2),
    "sinc": (sinc, [(-9e4, 9e4), (-3, 3), EVERY], 1, 2.5),
    "floor": (mp.floor, [EVERY, (-3, 3), (-9e6, 9e6)], 0, 0),
    "ceil": (mp.ceil, [EVERY, (-3, 3), (-9e6, 9e6)], 0, 0),
    "trunc": (lambda x: mp.sign(x) * mp.floor(abs(x)), [EVERY, (-3, 3), (-9e6, 9e6)], 0, 0),
    "roundEven": (mp.nint, [EVERY, (-3, 3), (-9e6, 9e6)], 0, 0),
    "frac": (lambda x: x - mp.sign(x) * mp.floor(abs(x)), [EVERY, (-3, 3), (-9e6, 9e6)], 0, 0),
    "erf": (mp.erf, [(-6, 6), (-1.1, 1.1), EVERY], 1.5, 1.5),
    "erfc": (mp.erfc, [(-6, 27), (-3, 10.1), (0.4, 0.6)], 2, 2),
    "erfinv": (erfinv, [(-1, 1), (0.999, 1), (-0.1, 0.1)], 2, 4),
    "ndtr": (ndtr, [(-38.4, 8), (-14, 6), (-1, 1)], 2, 2),
    "gelu": (lambda x: x * ndtr(x), [(-38.4, 8), (-14, 6), (-1, 1)], 5, 5.3),
    "geluTanh": (gelu_tanh, [(-1, inf), (-0.5, 8)], 4, 4),
    "lgamma": (lgamma, [(0, inf), (0, 20), (0.9, 2.1), (2.5, 9)], 1, 4),
    "digamma": (psi(0), [(0, inf), (0, 20), (0.9, 2.1)], 1, 4),
    "trigamma": (psi(1), [(0, inf), (0, 20)], 1, 4),
    "besselI0": (besseli, [(-713, 713), (-89, 89), (-9, 9)], 1, 4),
    "besselI0e": (besselie, [EVERY, (-100, 100), (-9, 9)], 1, 4),
}


def fmod(x, y):
    with mp.workprec(4400):
        q = x / y
        return x - y * (mp.sign(q) * mp.floor(abs(q)))


def remainder(x, y):
    with mp.workprec(4400):
        return x - y * mp.floor(x / y)


def logaddexp(a, b):
    return max(a, b) + mp.log1p(mp.exp(-abs(a - b)))


def logaddexp2(a, b):
    return max(a, b) + mp.log1p(mp.mpf(2) ** -abs(a - b)) / mp.log(2)


def power(x, y):
    return mp.exp(y * mp.log(x))


BINARY = {
    "logaddexp": (logaddexp, [((0, 100), (0, 100)), ((0.1, 1), (-1, 1))], 2, 2),
    "logaddexp2": (logaddexp2, [((0, 100), (0, 100)), ((0.1, 1), (-1, 1))], 2, 2),
    "atan2": (mp.atan2, [(EVERY, EVERY), ((-3, 3), (-3, 3)), ((0.4, 0.43), (0.9, 1))], 2, 2),
    "fmod": (fmod, [(EVERY, EVERY), ((-1e9, 1e9), (-100, 100)), ((-30, 30), (-3, 3))], 0, 0),
    "remainder": (remainder, [((-1e9, 1e9), (-100, 100)), ((-30, 30), (-3, 3))], 0.5, 0.5),
    "pow": (power, [((0, inf), (-5, 5)), ((0.5, 2), (-1000, 1000)), ((0, 50), (-20, 20)),
                    ((0.999, 1.001), (-1e4, 1e4))], 1, 1),
    "hypot": (mp.hypot, [(EVERY, EVERY), ((-3, 3), (-3, 3))], 1, 1),
}

DLGRAD_NAMES = {
    "logSigmoid": "nn.functional.logsigmoid", "silu": "nn.functional.silu",
    "softplus": "nn.functional.softplus", "roundEven": "round", "ndtr": "special.ndtr",
    "gelu": "nn.functional.gelu", "geluTanh": None, "trigamma": None, "besselI0": "i0",
    "besselI0e": "special.i0e",
}  # fmt: skip


class Library:
    """The functions of a library built from zig/math_array.zig."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)

    def __call__(self, name, *arrays):
        kind = "f32" if arrays[0].dtype == np.float32 else "f64"
        function = getattr(self.library, f"math_{name}_{kind}")
        arrays = [np.ascontiguousarray(a) for a in arrays]
        out = np.empty_like(arrays[0])
        addresses = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, out)]
        function(*addresses, ctypes.c_size_t(out.size))
        return out


class Dlgrad:
    def __call__(self, name, *arrays):
        import dlgrad

        function = dlgrad
        path = DLGRAD_NAMES.get(name, name)
        if path is None:
            return None
        for part in path.split("."):
            function = getattr(function, part)
        return function(*[dlgrad.from_numpy(a) for a in arrays]).numpy()


def samples(bounds, dtype, n, rng):
    """Uniform over [low, high], and uniform over the floats there."""
    info = np.finfo(dtype)
    low = max(bounds[0], -info.max)
    high = min(bounds[1], info.max)
    integer = np.int32 if dtype == np.float32 else np.int64

    def order(x):  # floats in order, as integers
        bits = int(np.array(x, dtype).view(integer))
        return bits if bits >= 0 else -(bits & np.iinfo(integer).max)

    keys = rng.integers(order(low), order(high), n // 2, endpoint=True, dtype=integer)
    bits = np.where(keys >= 0, keys, -keys | np.iinfo(integer).min)
    uniform = (low + (high / 2 - low / 2) * 2 * rng.random(n - n // 2)).astype(dtype)
    both = np.concatenate([bits.astype(integer).view(dtype), uniform])
    return np.clip(both, dtype(low), dtype(high))


def ulp_errors(got, exact, dtype):
    """The errors of `got` in units of the last place of the exact values (mpf)."""
    info = np.finfo(dtype)
    errors = np.zeros(len(got))
    largest = mp.mpf(float(info.max))
    half_ulp = mp.mpf(2) ** (info.maxexp - info.nmant - 2)
    for i, (g, e) in enumerate(zip(got.tolist(), exact)):
        if e is None:
            continue
        if mp.isnan(e) or mp.isinf(e):
            errors[i] = 0 if mp.mpf(g) == e or (mp.isnan(e) and g != g) else inf
            continue
        if abs(e) >= largest + half_ulp or np.isinf(g):
            near = abs(e) > largest * (1 - mp.mpf(2) ** (-info.nmant + 1))
            ok = near and (np.isinf(g) or abs(g) >= float(info.max) * (1 - 2.0**-info.nmant * 4))
            errors[i] = 0 if ok and (g > 0) == (e > 0) else inf
            continue
        exponent = int(mp.floor(mp.log(abs(e), 2))) if e else info.minexp
        ulp = mp.mpf(2) ** (max(exponent, info.minexp) - info.nmant)
        errors[i] = float(abs(mp.mpf(g) - e) / ulp) if g == g else inf
    return errors


def check(library, name, row, arity, points, slack, rng):
    reference, ranges, bound32, bound64 = row
    if bound64 > 0.5:
        bound32, bound64 = bound32 + slack, bound64 + slack
    worst = {}
    for dtype, bound in ((np.float64, bound64), (np.float32, bound32)):
        worst[dtype] = (0.0, None)
        for bounds in ranges:
            bounds = bounds if arity == 2 else (bounds,)
            arrays = [samples(b, dtype, points, rng) for b in bounds]
            if arity == 2:
                rng.shuffle(arrays[1])
                arrays[1][arrays[1] == 0] = 1
            arrays = [a[arrays[0] != 0] for a in arrays]
            got = library(name, *arrays)
            if got is None:
                return True
            exact = []
            for values in zip(*[a.tolist() for a in arrays]):
                try:
                    exact.append(mp.re(reference(*map(mp.mpf, values))))
                except (ValueError, ZeroDivisionError, OverflowError, mp.libmp.NoConvergence):
                    exact.append(None)
            errors = ulp_errors(got, exact, dtype)
            i = int(np.argmax(errors))
            if errors[i] > worst[dtype][0]:
                at = tuple(float(a[i]) for a in arrays)
                worst[dtype] = (errors[i], at, float(got[i]), exact[i])
    dense = dense_errors(library, name, ranges, arity, rng)
    single, double = worst[np.float32][0], worst[np.float64][0]
    ok = double <= bound64 and single <= bound32 and dense[0] <= bound32 + 0.01
    print(
        f"{name:12} f64 {double:7.3f}  f32 {single:7.3f}  dense f32 {dense[0]:7.3f}",
        "" if ok else "  <-- over the bound",
        flush=True,
    )
    if not ok:
        for w in (worst[np.float64], worst[np.float32], dense):
            print("      ", w[1:-1], mp.nstr(w[-1], 20) if isinstance(w[-1], mp.mpf) else w[-1])
    return ok


def dense_errors(library, name, ranges, arity, rng):
    """float32 against the float64 function, rounded, over millions of points."""
    worst = (0.0, None)
    for bounds in ranges:
        bounds = bounds if arity == 2 else (bounds,)
        arrays = [samples(b, np.float32, 1_000_000, rng) for b in bounds]
        if arity == 2:
            rng.shuffle(arrays[1])
        got = library(name, *arrays).astype(np.float64)
        exact = library(name, *[a.astype(np.float64) for a in arrays])
        rounded = exact.astype(np.float32)
        ulp = np.ldexp(1.0, np.maximum(np.frexp(exact)[1] - 1, -126) - 23)
        errors = np.abs(got - exact) / ulp
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        at_end = np.isinf(rounded) | np.isinf(got)
        close = at_end & (np.abs(got) > 3.40282e38) & (np.abs(exact) > 3.40282e38)
        errors[same & at_end | close] = 0
        errors[np.isnan(got) & np.isnan(exact)] = 0
        errors[np.isnan(errors)] = inf
        i = int(np.argmax(errors))
        if errors[i] > worst[0]:
            worst = (errors[i], tuple(float(a[i]) for a in arrays), got[i], exact[i])
    return worst


# fmt: off
SPECIAL = {
    "exp": [(inf, inf), (-inf, 0.0), (0.0, 1), (-0.0, 1), (1000, inf), (-1000, 0.0)],
    "exp2": [(inf, inf), (-inf, 0.0), (0.0, 1), (3, 8), (-1, 0.5), (1024, inf), (-2000, 0.0)],
    "expm1": [(inf, inf), (-inf, -1), (0.0, 0.0), (-0.0, -0.0), (-1000, -1)],
    "sinh": [(inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0)],
    "cosh": [(inf, inf), (-inf, inf), (0.0, 1)],
    "tanh": [(inf, 1), (-inf, -1), (0.0, 0.0), (-0.0, -0.0), (100, 1), (-100, -1)],
    "sigmoid": [(inf, 1), (-inf, 0.0), (0.0, 0.5), (100, 1)],
    "silu": [(inf, inf), (-inf, -0.0), (0.0, 0.0), (-0.0, -0.0), (100, 100)],
    "log": [(inf, inf), (0.0, -inf), (-0.0, -inf), (1, 0.0), (-1, nan), (-inf, nan)],
    "log2": [(inf, inf), (0.0, -inf), (1, 0.0), (8, 3), (0.125, -3), (-1, nan)],
    "log10": [(inf, inf), (0.0, -inf), (1, 0.0), (1000, 3), (1e6, 6), (-1, nan)],
    "log1p": [(inf, inf), (-1, -inf), (0.0, 0.0), (-0.0, -0.0), (-2, nan), (-inf, nan)],
    "softplus": [(inf, inf), (-inf, 0.0), (1000, 1000)],
    "logSigmoid": [(inf, 0.0), (-inf, -inf), (-1000, -1000)],
    "asinh": [(inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0)],
    "acosh": [(inf, inf), (1, 0.0), (0.5, nan), (-inf, nan)],
    "atanh": [(1, inf), (-1, -inf), (0.0, 0.0), (-0.0, -0.0), (2, nan), (-inf, nan)],
    "sin": [(inf, nan), (-inf, nan), (0.0, 0.0), (-0.0, -0.0)],
    "cos": [(inf, nan), (-inf, nan), (0.0, 1), (-0.0, 1)],
    "tan": [(inf, nan), (-inf, nan), (0.0, 0.0), (-0.0, -0.0)],
    "asin": [(0.0, 0.0), (-0.0, -0.0), (2, nan), (-2, nan), (inf, nan), (1, np.pi / 2)],
    "acos": [(1, 0.0), (2, nan), (-2, nan), (-inf, nan), (-1, np.pi)],
    "atan": [(0.0, 0.0), (-0.0, -0.0), (inf, np.pi / 2), (-inf, -np.pi / 2)],
    "sinc": [(0.0, 1), (-0.0, 1), (1, 0.0), (-3, 0.0), (1e30, 0.0)],
    "floor": [(-0.0, -0.0), (inf, inf), (-inf, -inf), (-0.5, -1), (2.5, 2), (0.9, 0.0)],
    "ceil": [(-0.0, -0.0), (inf, inf), (-inf, -inf), (-0.5, -0.0), (2.5, 3), (1e30, 1e30)],
    "trunc": [(-0.0, -0.0), (inf, inf), (-inf, -inf), (-0.5, -0.0), (2.5, 2), (-2.5, -2)],
    "roundEven": [(-0.0, -0.0), (inf, inf), (-inf, -inf), (-0.5, -0.0), (2.5, 2), (3.5, 4),
        (0.5, 0.0)],
    "frac": [(inf, nan), (2.5, 0.5), (-2.5, -0.5)],
    "erf": [(inf, 1), (-inf, -1), (0.0, 0.0), (-0.0, -0.0), (100, 1)],
    "erfc": [(inf, 0.0), (-inf, 2), (0.0, 1), (-0.0, 1), (100, 0.0)],
    "erfinv": [(1, inf), (-1, -inf), (0.0, 0.0), (-0.0, -0.0), (2, nan), (-2, nan)],
    "ndtr": [(inf, 1), (-inf, 0.0), (0.0, 0.5)],
    "gelu": [(inf, inf), (-inf, -0.0), (0.0, 0.0), (-0.0, -0.0), (100, 100)],
    "geluTanh": [(inf, inf), (0.0, 0.0), (-0.0, -0.0), (100, 100)],
    "lgamma": [(inf, inf), (-inf, inf), (0.0, inf), (-0.0, inf), (1, 0.0), (2, 0.0), (-3, inf),
        (-1e300, inf)],
    "digamma": [(inf, inf), (0.0, -inf), (-0.0, inf), (-3, nan), (-inf, nan)],
    "trigamma": [(inf, 0.0), (0.0, inf), (-3, inf)],
    "besselI0": [(inf, inf), (-inf, inf), (0.0, 1)],
    "besselI0e": [(inf, 0.0), (-inf, 0.0), (0.0, 1)],
    "logaddexp": [(inf, inf, inf), (-inf, -inf, -inf), (inf, -inf, inf), (-inf, 3, 3),
        (nan, inf, nan), (inf, nan, nan)],
    "logaddexp2": [(inf, inf, inf), (-inf, -inf, -inf), (inf, -inf, inf), (-inf, 3, 3), (3, 3, 4)],
    "atan2": [(0.0, 0.0, 0.0), (-0.0, 0.0, -0.0), (0.0, -0.0, np.pi), (-0.0, -0.0, -np.pi),
        (0.0, -1, np.pi), (1, 0.0, np.pi / 2), (inf, inf, np.pi / 4), (inf, -inf, 3 * np.pi / 4),
        (-inf, inf, -np.pi / 4), (1, inf, 0.0), (1, -inf, np.pi), (-1, -inf, -np.pi),
        (inf, 3, np.pi / 2), (nan, inf, nan), (inf, nan, nan)],
    "fmod": [(inf, 1, nan), (1, 0.0, nan), (1, inf, 1), (-1, inf, -1), (-0.0, 1, -0.0), (5, 3, 2),
        (-5, 3, -2), (6, 3, 0.0), (-6, 3, -0.0), (nan, 1, nan), (1, nan, nan)],
    "remainder": [(inf, 1, nan), (1, 0.0, nan), (5, 3, 2), (-5, 3, 1), (5, -3, -1), (-5, -3, -2),
        (nan, 1, nan)],
    "pow": [(0.0, 0.0, 1), (nan, 0.0, 1), (1, nan, 1), (1, inf, 1), (-1, inf, 1), (-1, -inf, 1),
        (0.0, -1, inf), (-0.0, -1, -inf), (-0.0, -2, inf), (-0.0, 3, -0.0), (-0.0, 2, 0.0),
        (0.0, inf, 0.0), (0.0, -inf, inf), (0.5, inf, 0.0), (2, inf, inf), (2, -inf, 0.0),
        (0.5, -inf, inf), (-inf, 3, -inf), (-inf, 2, inf), (-inf, -3, -0.0), (-inf, -2, 0.0),
        (-inf, 0.5, inf), (inf, 2, inf), (inf, -2, 0.0), (-2, 0.5, nan), (-2, 3, -8), (-2, 2, 4),
        (nan, 1, nan), (2, nan, nan), (-8, 1 / 3, nan), (3, 4, 81), (2, -2, 0.25), (-1, 1e30, 1)],
    "hypot": [(inf, nan, inf), (nan, -inf, inf), (3, 4, 5), (0.0, -0.0, 0.0), (nan, 1, nan),
        (inf, 1, inf)],
}
# fmt: on


def check_special(library):
    failures = 0
    for name, rows in SPECIAL.items():
        arity = len(rows[0]) - 1
        for dtype in (np.float64, np.float32):
            rows_and_nan = rows + ([(nan, nan)] if arity == 1 else [])
            arrays = [np.array([r[k] for r in rows_and_nan], np.float64) for k in range(arity + 1)]
            arrays = [a.astype(dtype) for a in arrays]
            got = library(name, *arrays[:-1])
            if got is None:
                continue
            want = arrays[-1]
            same = (got == want) & (np.signbit(got) == np.signbit(want))
            same |= np.isnan(got) & np.isnan(want)
            # pi and its fractions: the nearest float, either way
            same |= np.isclose(got, want, rtol=2 * np.finfo(dtype).eps, atol=0) & (want % 1 != 0)
            for i in np.flatnonzero(~same):
                failures += 1
                at = [float(a[i]) for a in arrays[:-1]]
                print(f"{name} {dtype.__name__} {at}: {got[i]}, not {want[i]}")
    return failures == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--library")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--slack", type=float, default=0, help="added to the bounds: 1 without fma")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    library = Library(arguments.library) if arguments.library else Dlgrad()
    np.seterr(all="ignore")
    ok = check_special(library)
    for arity, rows in ((1, UNARY), (2, BINARY)):
        for name, row in rows.items():
            if not arguments.names or name in arguments.names:
                rng = np.random.default_rng(arguments.seed)
                ok &= check(library, name, row, arity, arguments.points, arguments.slack, rng)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
