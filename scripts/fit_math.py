"""Makes zig/math/coefficients.zig: the polynomials and constants of zig/math.

    python scripts/fit_math.py > zig/math/coefficients.zig     (10 s; needs mpmath)
    python scripts/fit_math.py erf sinh                        some of the tables

Each table is a minimax polynomial (Remez's exchange on a grid, 60 digits), rounded to the
type at the end. `fit(f, a, b, n, weight)` makes the polynomial p of n coefficients, lowest
power first, for which the largest |weight(x) * (f(x) - p(v(x)))| over [a, b] is smallest.
"""

import struct
import sys

import mpmath as mp

mp.mp.dps = 60
LN2 = mp.log(2)


def fit(f, a, b, n, weight=lambda x: mp.mpf(1), variable=lambda x: x, grid=600, rounds=12):
    a, b = mp.mpf(a), mp.mpf(b)
    xs = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / grid) for i in range(grid + 1)]
    fs = [f(x) for x in xs]
    ws = [weight(x) for x in xs]
    vs = [variable(x) for x in xs]
    picked = [round(i * grid / n) for i in range(n + 1)]
    best = None
    for _ in range(rounds):
        rows = [[vs[i] ** k for k in range(n)] + [(-1) ** j / ws[i]] for j, i in enumerate(picked)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([fs[i] for i in picked]))
        p = list(solution[:n])
        error = [w * (y - mp.polyval(p[::-1], v)) for w, y, v in zip(ws, fs, vs)]
        worst = max(abs(e) for e in error)
        if best is None or worst < best[0]:
            best = (worst, p)
        if worst < abs(solution[n]) * mp.mpf("1.01"):
            break
        # One extremum of every run of one sign; of too many, the neighbours of the largest.
        extrema = []
        for i, e in enumerate(error):
            if extrema and (e > 0) == (error[extrema[-1]] > 0):
                if abs(e) > abs(error[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > n + 1:
            if len(extrema) == n + 2:
                extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
            else:
                k = min(range(len(extrema)), key=lambda j: abs(error[extrema[j]]))
                if k in (0, len(extrema) - 1):
                    extrema.pop(k)
                else:
                    del extrema[k : k + 2]
        if len(extrema) < n + 1:
            break
        picked = extrema
    return best


def nearest(x, bits):
    letter = "f" if bits == 32 else "d"
    return mp.mpf(struct.unpack(letter, struct.pack(letter, float(x)))[0])


def fit_ratio(f, top, m, n, bits):
    """P and Q, of m and n coefficients (Q's last is 1, and P's first f(0) of Q's), for which the largest relative
    error of P / Q over [0, top] is about smallest: linear least squares, with weights that follow the errors
    (Lawson). For float32, from the last on, each coefficient is rounded and the others are fitted anew."""
    points = 300 if bits == 32 else 120
    xs = [top * mp.sin(mp.pi * (i + 0.5) / (2 * points)) ** 4 for i in range(points)]
    fs = [f(x) for x in xs]
    fixed = {(1, n - 1): mp.mpf(1)}
    order = [(which, k) for k in reversed(range(n)) for which in (1, 0) if (which or k < m) and (which, k) not in fixed]
    for key in [*(order if bits == 32 else ()), None]:
        worst, found = _lawson(xs, fs, m, n, fixed)
        if key:
            fixed[key] = nearest(found[key], bits) if key != (0, 0) else f(mp.mpf(0)) * fixed[1, 0]
    found[0, 0] = f(mp.mpf(0)) * nearest(found[1, 0], bits)
    return worst, [found[0, k] for k in range(m)], [found[1, k] for k in range(n)]


def _lawson(xs, fs, m, n, fixed, rounds=15):
    keys = [(0, k) for k in range(m)] + [(1, k) for k in range(n)]
    free = [key for key in keys if key not in fixed]
    weights, q, best = [mp.mpf(1)] * len(xs), [mp.mpf(1)], None
    for _ in range(rounds if free else 1):
        found = dict(fixed)
        if free:
            rows, right = [], []
            for x, y, w in zip(xs, fs, weights):
                s = mp.sqrt(w) / (y * mp.polyval(q[::-1], x))
                part = {(which, k): s * x**k * (-y if which else 1) for which, k in keys}
                rows.append([part[key] for key in free])
                right.append(-sum(part[key] * v for key, v in fixed.items()))
            a, b = mp.matrix(rows), mp.matrix(right)
            found.update(zip(free, mp.lu_solve(a.T * a, a.T * b)))
        p, q = [found[0, k] for k in range(m)], [found[1, k] for k in range(n)]
        error = [abs(mp.polyval(p[::-1], x) / mp.polyval(q[::-1], x) / y - 1) for x, y in zip(xs, fs)]
        worst = max(error)
        if best is None or worst < best[0]:
            best = (worst, found)
        weights = [w * (e / worst + mp.mpf("0.001")) for w, e in zip(weights, error)]
    return best


def zig_float(x, bits):
    if bits == 32:
        return "%.9g" % struct.unpack("f", struct.pack("f", x))[0]
    return repr(float(x))


def table(name, bits, result, note=""):
    worst, p = result
    numbers = [zig_float(c, bits) for c in p]
    print(f"\n/// {note}")
    if worst:
        print(f"/// error below 2^{mp.nstr(mp.log(worst, 2), 4)}")
    print(f"pub const {name}_f{bits} = [_]f{bits}{{")
    line = "   "
    for c in numbers:
        if len(line) + len(c) + 2 > 72:
            print(line)
            line = "   "
        line += " " + c + ","
    print(line)
    print("};", flush=True)


def odd(f):
    """(f(x) / x - 1) / x^2 as a function of z = x^2, for odd f with slope 1."""

    def g(z):
        with mp.workdps(120):
            z = max(z, mp.mpf(10) ** -25)
            x = mp.sqrt(z)
            return (f(x) / x - 1) / z

    return g


def tail(f, terms):
    """(f(x) - sum of terms[k] x^k) / x^len(terms), given the Taylor head `terms`."""

    def g(x):
        with mp.workdps(150):
            if abs(x) < mp.mpf(10) ** -25:
                x = mp.mpf(10) ** -25
            return (f(x) - mp.polyval(terms[::-1], x)) / x ** len(terms)

    return g


TABLES = {}


def entry(f):
    TABLES[f.__name__] = f
    return f


@entry
def exp():
    half = LN2 / 2 * mp.mpf("1.0001")
    for bits, n in ((32, 5), (64, 10)):
        r = fit(tail(mp.exp, [1, 1]), -half, half, n, weight=lambda x: x**2 + mp.mpf(10) ** -30)
        table("exp_tail", bits, r, "exp(r) = 1 + r + r^2 P(r):")
    for bits, n in ((32, 5), (64, 10)):
        r = fit(tail(lambda x: mp.exp(x * LN2), [1, LN2]), -0.50005, 0.50005, n,
                weight=lambda x: x**2 + mp.mpf(10) ** -30)
        table("exp2_tail", bits, r, "exp2(r) = 1 + ln2 r + r^2 P(r):")


@entry
def sinh():
    for bits, n in ((32, 4), (64, 7)):
        r = fit(odd(mp.sinh), 0, 1.0001, n, weight=lambda z: z + mp.mpf(10) ** -30)
        table("sinh", bits, r, "sinh(x) = x + x^3 P(x^2), |x| < 1:")


@entry
def log():
    # log(1 + f) = f - f^2/2 + f^3 P(f) for float32
    low, high = mp.sqrt(0.5) - 1, mp.sqrt(2) - 1
    head = tail(mp.log1p, [0, 1, -0.5])
    r = fit(head, low * 1.0001, high * 1.0001, 9,
            weight=lambda x: x**2 + mp.mpf(10) ** -20)
    table("log_tail", 32, r, "log(1 + f) = f - f^2/2 + f^3 P(f):")
    # log(1 + f) = 2s + s R, R = z P(z), s = f / (2 + f), z = s^2
    for bits, n in ((32, 4), (64, 7)):
        top = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
        def f(z):
            z = max(z, mp.mpf(10) ** -25)
            return (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z

        table("log", bits, fit(f, 0, top, n, weight=lambda z: z + mp.mpf(10) ** -30),
              "log((1+s)/(1-s)) = 2s + s z P(z), |f| < 0.4143:")
    for bits, n in ((32, 5), (64, 10)):
        top = mp.mpf(1) / 9 * mp.mpf("1.001")
        table("log1p_unit", bits, fit(f, 0, top, n, weight=lambda z: z + mp.mpf(10) ** -30),
              "the same to |f| <= 1:")


@entry
def trig():
    top = (mp.pi / 4 * mp.mpf("1.0001")) ** 2
    r = fit(odd(mp.sin), 0, top, 6, weight=lambda z: z + mp.mpf(10) ** -30)
    table("sin", 64, r, "sin(x) = x + x^3 P(x^2):")

    def cosine(z):
        with mp.workdps(150):
            z = max(z, mp.mpf(10) ** -25)
            return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2

    table("cos", 64, fit(cosine, 0, top, 6, weight=lambda z: z**2 + mp.mpf(10) ** -30),
          "cos(x) = 1 - x^2/2 + x^4 P(x^2):")
    r = fit(odd(mp.sin), 0, top, 3, weight=lambda z: z + mp.mpf(10) ** -30)
    table("sin", 32, r, "sin(x) = x + x^3 P(x^2):")
    table("cos", 32, fit(cosine, 0, top, 3, weight=lambda z: z**2 + mp.mpf(10) ** -30),
          "cos(x) = 1 - x^2/2 + x^4 P(x^2):")
    rest, pieces = +mp.pi / 2, []
    for _ in range(3):
        pieces.append(mp.mpf(struct.unpack("f", struct.pack("f", float(rest)))[0]))
        rest -= pieces[-1]
    table("half_pi", 32, (0, pieces), "pi/2 in floats, of which the next takes what the last left")
    # pi/2 in pieces of 33 bits, so that a multiple below 2^20 of all but the last is exact
    rest, pieces = mp.pi / 2, []
    with mp.workdps(100):
        rest = +mp.pi / 2
        for _ in range(3):
            exponent = int(mp.floor(mp.log(rest, 2))) - 32
            piece = mp.floor(mp.ldexp(rest, -exponent))
            pieces.append(mp.ldexp(piece, exponent))
            rest -= pieces[-1]
    table("half_pi", 64, (0, [*pieces, rest]), "pi/2 in pieces of 33 bits and a rest")
    with mp.workdps(500):
        digits = int(mp.floor(mp.ldexp(2 / mp.pi, 20 * 64)))
    words = [0] + [digits >> (64 * i) & (2**64 - 1) for i in reversed(range(20))]
    print("/// The bits of 2/pi behind the point, after 64 zeros.")
    print("pub const two_over_pi = [_]u64{")
    for i in range(0, len(words), 4):
        print("    " + ", ".join(f"0x{w:016x}" for w in words[i : i + 4]) + ",")
    print("};")
    # short ones, for float32 computed in float64
    r = fit(odd(mp.sin), 0, top, 4, weight=lambda z: z + mp.mpf(10) ** -30)
    table("sin_short", 64, r, "the same for float32:")
    table("cos_short", 64, fit(cosine, 0, top, 3, weight=lambda z: z**2 + mp.mpf(10) ** -30),
          "the same for float32:")


@entry
def atan():
    top = mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.001")
    for bits, n in ((32, 5), (64, 12)):
        r = fit(odd(mp.atan), 0, top, n, weight=lambda z: z + mp.mpf(10) ** -30)
        table("atan", bits, r, "atan(x) = x + x^3 P(x^2), |x| < tan(pi/8):")


@entry
def asin():
    for bits, n in ((32, 6), (64, 13)):
        r = fit(odd(mp.asin), 0, 0.25001, n, weight=lambda z: z + mp.mpf(10) ** -30)
        table("asin", bits, r, "asin(x) = x + x^3 P(x^2), |x| <= 0.5:")


@entry
def erf():
    def g(z):
        with mp.workdps(120):
            z = max(z, mp.mpf(10) ** -25)
            x = mp.sqrt(z)
            return mp.erf(x) / x - 1

    for bits, n in ((32, 7), (64, 13)):
        r = fit(g, 0, 1.0001, n)
        table("erf_small", bits, r, "erf(x) = x + x P(x^2), |x| <= 1:")
    for bits, n, top in ((32, 8, mp.mpf("4.0")), (64, 19, mp.mpf("6.0"))):
        r = fit(lambda t: mp.log(mp.erfc(t)) / t, 1, top, n, weight=lambda t: t * mp.erfc(t))
        table("erf_large", bits, r, f"erf(x) = 1 - exp(x P(x)), 1 <= x <= {top}:")


@entry
def erfcx():
    # (1 + 2x) erfcx(x) = P(q), q = (x - K) / (x + K)
    for bits, n, top, center in ((32, 11, 10.5, 3), (64, 24, 28, 3.75)):
        center = mp.mpf(center)

        def f(q):
            x = center * (1 + q) / (1 - q)
            return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)

        end = (mp.mpf(top) - center) / (mp.mpf(top) + center)
        r = fit(f, -1, end, n, weight=lambda q: 1 / f(q), grid=300)
        table("erfcx", bits, r, f"(1 + 2x) exp(x^2) erfc(x) = P((x - K) / (x + K)), K = {center}:")


@entry
def ndtr():
    # (1 + x) exp(x^2 / 2) ndtr(-x) = P(q), q = (x - K) / (x + K)
    for bits, n, top, center in ((32, 11, 15, 4.25), (64, 24, 39.5, 5.25)):
        center = mp.mpf(center)

        def f(q):
            x = center * (1 + q) / (1 - q)
            return (1 + x) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2

        end = (mp.mpf(top) - center) / (mp.mpf(top) + center)
        r = fit(f, -1, end, n, weight=lambda q: 1 / f(q), grid=300)
        note = f"(1 + x) exp(x^2 / 2) ndtr(-x) = P((x - K) / (x + K)), K = {center}:"
        table("ndtr", bits, r, note)


@entry
def gelu():
    for bits, top, n in ((32, "14.8", 5), (64, "39", 11)):
        rate = nearest(mp.log(mp.e, 2) / 2, bits)  # as the kernel has it
        worst, p, q = fit_ratio(lambda x: mp.power(2, rate * x * x) * mp.ncdf(-x), mp.mpf(top), n, n + 1, bits)
        p = [k * mp.mpf(2) ** (-40 if bits == 32 else -80) for k in p]  # see tailParts
        note = f"2^(C x^2) ndtr(-x), lowered, = P(x) / Q(x), C = log2(e) / 2 rounded, 0 <= x <= {top}, P:"
        table("gelu_over", bits, (worst, p), note)
        table("gelu_under", bits, (0, q), "and Q.")
    r = fit(lambda x: mp.log(mp.ncdf(-x), 2), 0, mp.mpf("14.8"), 9)
    table("gelu_half", 32, r, "log2(ndtr(-x)), 0 <= x <= 14.8, for results of few bits:")
    r = fit(lambda x: mp.exp(x * LN2), -0.5, 0.5, 4, weight=lambda x: mp.exp(-x * LN2))
    table("exp2_half", 32, r, "exp2(r), |r| < 0.5, as exactly:")


@entry
def erfinv():
    mp.mp.dps = 50

    def inverse(x):
        with mp.workdps(60):
            return mp.erfinv(x)

    def small(z):
        x = mp.sqrt(max(z, mp.mpf(10) ** -30))
        return inverse(x) / x

    r = fit(small, 0, 0.5, 21, weight=lambda z: 1 / small(z), grid=200)
    table("erfinv_small", 64, r, "erfinv(x) = x P(x^2), x^2 <= 0.5:")
    first = mp.sqrt(mp.pi) / 2
    r = fit(lambda z: (small(z) - first) / max(z, mp.mpf(10) ** -29), mp.mpf(10) ** -9, 0.5, 9,
            weight=lambda z: z / small(z), grid=200)
    table("erfinv_small_tail", 32, r, "erfinv(x) = x (sqrt(pi) / 2 + z P(z)), z = x^2 <= 0.5:")

    def inverse_complement(w):  # erfinv(1 - exp(-w^2)), by Newton on log(erfc)
        x = w * mp.mpf("0.95")
        for _ in range(60):
            e = mp.erfc(x)
            step = (mp.log(e) + w * w) * e * mp.sqrt(mp.pi) / 2 * mp.exp(x * x)
            x += step
            if abs(step) < mp.mpf(10) ** -50:
                break
        return x

    def large(t):
        w = 2 * (1 + t) / (1 - t)
        return inverse_complement(w) / w

    low, high = mp.sqrt(-mp.log(mp.mpf("0.293"))), mp.sqrt(54 * LN2)
    r = fit(large, (low - 2) / (low + 2), (high - 2) / (high + 2), 22,
            weight=lambda t: 1 / large(t), grid=150)
    table("erfinv_large", 64, r, "erfinv(x) = w P((w - 2) / (w + 2)), w = sqrt(-log(1 - x)):")
    end = mp.sqrt(25 * LN2)
    first = large(mp.mpf(0))
    r = fit(lambda t: (large(t) - first) / t, (low - 2) / (low + 2), (end - 2) / (end + 2), 10,
            weight=lambda t: t / large(t), grid=151)
    table("erfinv_large_tail", 32, r, "erfinv(x) = w (P(0) above + t P(t)), t = (w - 2) / (w + 2), x < 1 - 2^-25:")


@entry
def lgamma():
    f = tail(lambda d: mp.loggamma(2 + d), [0])
    table("lgamma", 64, fit(f, -0.75001, 0.50001, 23, weight=lambda d: 1 / f(d)),
          "lgamma(2 + d) = d P(d), -3/4 <= d <= 1/2:")

    def stirling(z):  # x = 1 / sqrt(z); lgamma(x) - ((x - 1/2) (log x - 1) + (log(2 pi) - 1) / 2)
        with mp.workdps(100):
            z = max(z, mp.mpf(10) ** -16)
            x = 1 / mp.sqrt(z)
            return (mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x

    table("stirling", 64, fit(stirling, 0, mp.mpf(1) / 64, 8),
          "lgamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + P(1/x^2) / x, x >= 8:")


@entry
def digamma():
    root = mp.findroot(mp.digamma, 1.46)
    high = mp.mpf(float(root))
    low = mp.mpf(float(root - high))
    print("\n/// The positive zero of digamma, in two parts.")
    print(f"pub const digamma_root = [_]f64{{ {float(high)!r}, {float(low)!r} }};")

    def f(u):
        with mp.workdps(90):
            r = mp.findroot(mp.digamma, 1.46)
            if abs(u - r) < mp.mpf(10) ** -30:
                u = u + mp.mpf(10) ** -30
            return mp.digamma(u) / (u - r)

    table("digamma", 64, fit(lambda t: f(t + mp.mpf("1.5")), -0.50001, 0.50001, 23,
                             weight=lambda t: 1 / f(t + mp.mpf("1.5"))),
          "digamma(u) = (u - root) P(u - 1.5), 1 <= u <= 2:")

    def asymptotic(z):
        with mp.workdps(100):
            z = max(z, mp.mpf(10) ** -16)
            x = 1 / mp.sqrt(z)
            return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x * x

    table("digamma_large", 64, fit(asymptotic, 0, mp.mpf(1) / 64, 8),
          "digamma(x) = log x - 1/(2x) - P(1/x^2) / x^2, x >= 8:")

    def trigamma(z):
        with mp.workdps(100):
            z = max(z, mp.mpf(10) ** -16)
            x = 1 / mp.sqrt(z)
            return (mp.psi(1, x) - 1 / x - 1 / (2 * x * x)) * x**3

    table("trigamma_large", 64, fit(trigamma, 0, mp.mpf(1) / 64, 9),
          "trigamma(x) = 1/x + 1/(2 x^2) + P(1/x^2) / x^3, x >= 8:")


@entry
def i0():
    def f(z):
        return (mp.besseli(0, 2 * mp.sqrt(z)) - 1) / z if z > mp.mpf(10) ** -20 else mp.mpf(1)
    def weight(z):
        return z / mp.besseli(0, 2 * mp.sqrt(z)) + mp.mpf(10) ** -20
    r = fit(f, 0, 4.0001, 11, weight=weight)
    table("i0_small", 64, r, "i0(x) = 1 + z P(z), z = x^2 / 4, x <= 4:")

    def f(x):
        return mp.exp(-x) * mp.besseli(0, x)
    r = fit(lambda t: f(4 + 4 * t), -1, 1, 30, weight=lambda t: 1 / f(4 + 4 * t), grid=300)
    table("i0_middle", 64, r, "exp(-x) i0(x) = P(x / 4 - 1), 0 <= x <= 8:")

    def large(t):
        t = max(t, mp.mpf(10) ** -30)
        x = 1 / t
        return mp.besseli(0, x) * mp.exp(-x) * mp.sqrt(x)

    table("i0_large", 64, fit(large, 0, mp.mpf(1) / 8, 22, grid=300),
          "i0(x) = exp(x) / sqrt(x) P(1/x), x >= 8:")


@entry
def pow():
    # log(m) = 2s + 2/3 s^3 + s^5 P(s^2), m in [0.75, 1.5)
    def f(z):
        with mp.workdps(150):
            z = max(z, mp.mpf(10) ** -20)
            s = mp.sqrt(z)
            return (2 * mp.atanh(s) / s - 2 - mp.mpf(2) * z / 3) / z**2

    top = mp.mpf("0.04001")
    table("pow_log", 64, fit(f, 0, top, 10, weight=lambda z: z**2 + mp.mpf(10) ** -30),
          "log((1+s)/(1-s)) = 2s + 2/3 s^3 + s^5 P(s^2), s <= 0.2:")
    r = fit(f, 0, mp.mpf("0.0296"), 4, weight=lambda z: z**2 + mp.mpf(10) ** -30)
    table("pow_log_short", 64, r, "the same for float32:")
    r = fit(lambda z: f(z) / 2, 0, mp.mpf("0.0296"), 3, weight=lambda z: z**2 + mp.mpf(10) ** -30)
    table("pow_log_short", 32, r, "half of it:")
    half = LN2 / 2 * mp.mpf("1.001")
    r = fit(tail(mp.exp, [1, 1]), -half, half, 5, weight=lambda x: x**2 + mp.mpf(10) ** -30)
    table("exp_short", 64, r, "exp(r) = 1 + r + r^2 P(r):")


if __name__ == "__main__":
    if not sys.argv[1:]:
        print("//! Made by scripts/fit_math.py: do not edit.")
        print("//! Minimax polynomials, lowest power first.")
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()
