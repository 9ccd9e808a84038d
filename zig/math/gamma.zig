//! lgamma, its derivatives, and the Bessel function i0. All in float64.
const std = @import("std");
const common = @import("common.zig");
const coefficients = @import("coefficients.zig");
const exponential = @import("exp.zig");
const logarithm = @import("log.zig");
const round = @import("round.zig");
const trig = @import("trig.zig");
const c = common.c;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

const pi = 3.14159265358979323846264338327950288;

/// log|gamma(x)|. Near the zeros below 0, the error is that of the terms, in float64.
/// Elsewhere below 0.50 ulp (float32), 2.66 (float64).
pub fn lgamma(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, lgamma);
    const negative = common.isNegative(V, x);
    const size = @abs(x);
    const positive = lgammaPositive(V, size);
    if (!common.any(negative)) return positive;
    // log|gamma(-a)| = log(pi / (a |sin(pi a)|)) - log gamma(a)
    const sine = @abs(trig.sincosPi(V, size).sin);
    const inverse = c(V, pi) / (size * sine);
    const tiny = size < c(V, 0x1p-60);
    const log = logarithm.log(V, pick(V, tiny, size, inverse));
    var r = pick(V, tiny, -log, log - positive);
    r = pick(V, (sine == c(V, 0)) | (size == common.inf(V)), common.inf(V), r);
    return pick(V, negative, r, positive);
}

/// For x >= 0. From 8 on Stirling's series; below, the recurrence leads to [1.25, 2.5), where
/// lgamma(2 + d) = d P(d). Below 1.25, the logarithm and d P(d) meet no cancellation: both
/// vanish at 1 with different slopes.
inline fn lgammaPositive(comptime V: type, x: V) V {
    const one = c(V, 1);
    const half = c(V, 0.5);
    const low = x < c(V, 1.25);
    const lowest = x < half;
    var u = x;
    var product = pick(V, low, pick(V, lowest, fma(V, x, x, x), x), one);
    inline for (0..6) |_| {
        const down = u >= c(V, 2.5);
        u = pick(V, down, u - one, u);
        product = pick(V, down, product * u, product);
    }
    const d = pick(V, low, pick(V, lowest, x, x - one), u - c(V, 2));
    const stirling = x >= c(V, 8);
    const log = logarithm.log(V, pick(V, stirling, x, product));
    const middle = d * poly(V, d, "lgamma") + pick(V, low, -log, log);
    const inverse = one / x;
    const constant = c(V, 0.418938533204672741780329736405617640); // (log(2 pi) - 1) / 2
    const series = fma(V, inverse, poly(V, inverse * inverse, "stirling"), constant);
    const large = fma(V, x - half, log - one, series);
    return pick(V, stirling, large, middle);
}

/// gamma'(x) / gamma(x), with PyTorch's poles: -infinity at 0, nan at negative integers.
/// Near the zeros below 0, the error is that of the terms, in float64.
/// Elsewhere below 0.50 ulp (float32), 2.85 (float64).
pub fn digamma(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, digamma);
    const negative = x < c(V, 0);
    const positive = digammaPositive(V, pick(V, negative, c(V, 1) - x, x));
    var r = positive;
    if (common.any(negative)) {
        // digamma(x) = digamma(1 - x) - pi cot(pi x)
        const t = trig.sincosPi(V, x);
        const reflected = positive - c(V, pi) * t.cos / t.sin;
        const pole = (round.trunc(V, x) == x);
        r = pick(V, negative, pick(V, pole, common.nan(V), reflected), positive);
    }
    return pick(V, x == c(V, 0), common.copysign(V, common.inf(V), -x), r);
}

/// From 8 on the asymptotic series; below, the recurrence leads to [1, 2), where
/// digamma(u) = (u - root) P(u - 1.5).
inline fn digammaPositive(comptime V: type, x: V) V {
    const one = c(V, 1);
    const zero = c(V, 0);
    const low = x < one;
    var u = pick(V, low, x + one, x);
    // 1/u + ... as one fraction
    var numerator = pick(V, low, -one, zero);
    var denominator = pick(V, low, x, one);
    inline for (0..6) |_| {
        const down = u >= c(V, 2);
        u = pick(V, down, u - one, u);
        numerator = pick(V, down, fma(V, numerator, u, denominator), numerator);
        denominator = pick(V, down, denominator * u, denominator);
    }
    const root = coefficients.digamma_root;
    const distance = (u - c(V, root[0])) - c(V, root[1]);
    const middle = fma(V, distance, poly(V, u - c(V, 1.5), "digamma"), numerator / denominator);
    const inverse = one / x;
    const z = inverse * inverse;
    const tail = fma(V, z, poly(V, z, "digamma_large"), c(V, 0.5) * inverse);
    const large = logarithm.log(V, x) - tail;
    return pick(V, x >= c(V, 8), large, middle);
}

/// The derivative of digamma.
/// Error below 0.50 ulp (float32), 3.09 (float64).
pub fn trigamma(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, trigamma);
    const one = c(V, 1);
    const negative = x < c(V, 0);
    var u = pick(V, negative, one - x, x);
    var sum = c(V, 0);
    inline for (0..8) |_| {
        const up = u < c(V, 8);
        sum = pick(V, up, sum + one / (u * u), sum);
        u = pick(V, up, u + one, u);
    }
    const inverse = one / u;
    const z = inverse * inverse;
    const tail = fma(V, c(V, 0.5), z, z * inverse * poly(V, z, "trigamma_large"));
    const positive = sum + (inverse + tail);
    if (!common.any(negative)) return positive;
    const ratio = c(V, pi) / trig.sincosPi(V, x).sin;
    return pick(V, negative, fma(V, ratio, ratio, -positive), positive);
}

/// The modified Bessel function of the first kind and order 0.
/// Error below 0.50 ulp (float32), 3.43 (float64).
pub fn besselI0(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, besselI0);
    const size = pick(V, @abs(x) > c(V, 800), c(V, 800), @abs(x)); // infinite long before
    const e = exponential.expParts(V, size, .careful);
    const large = common.scale(V, e.p * i0Scaled(V, size), e.k);
    return pick(V, size < c(V, 4), i0Small(V, size), large);
}

/// exp(-|x|) i0(x).
/// Error below 0.50 ulp (float32), 3.50 (float64).
pub fn besselI0e(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, besselI0e);
    const size = @abs(x);
    const small = exponential.expCare(V, -size, .careful) * i0Small(V, size);
    return pick(V, size < c(V, 4), small, i0Scaled(V, size));
}

/// For |x| <= 4.
inline fn i0Small(comptime V: type, x: V) V {
    const z = c(V, 0.25) * x * x;
    return fma(V, z, poly(V, z, "i0_small"), c(V, 1));
}
/// exp(-x) i0(x) for x >= 4.
inline fn i0Scaled(comptime V: type, x: V) V {
    const middle = poly(V, fma(V, c(V, 0.25), x, c(V, -1)), "i0_middle");
    const large = poly(V, c(V, 1) / x, "i0_large") / @sqrt(x);
    return pick(V, x < c(V, 8), middle, large);
}
