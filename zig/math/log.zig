//! log and what is made of it: log1p, the inverse hyperbolic functions, softplus.
const std = @import("std");
const common = @import("common.zig");
const exponential = @import("exp.zig");
const Float = common.Float;
const Bits = common.Bits;
const Ints = common.Ints;
const c = common.c;
const by = common.by;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

const ln2 = 0.693147180559945309417232121458176568;

/// x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2).
pub fn Decomposed(comptime V: type) type {
    return struct { f: V, k: V };
}

/// For finite x > 0.
pub inline fn decompose(comptime V: type, x: V) Decomposed(V) {
    const tiny = x < smallest(V);
    const d = decomposeNormal(V, pick(V, tiny, x * by(V, 0x1p25, 0x1p54), x));
    return .{ .f = d.f, .k = d.k - pick(V, tiny, by(V, 25, 54), c(V, 0)) };
}
pub inline fn decomposeNormal(comptime V: type, x: V) Decomposed(V) {
    const power = powerIn(V, x);
    return .{ .f = @as(V, @bitCast(common.bits(V, x) -% power)) - c(V, 1), .k = exponentOf(V, power) };
}
/// k where it lies in a float, the other bits 0.
inline fn powerIn(comptime V: type, x: V) Bits(V) {
    const base: Bits(V) = @bitCast(c(V, @sqrt(0.5)));
    const mantissa: Bits(V) = @splat((1 << common.mantissaBits(Float(V))) - 1);
    return (common.bits(V, x) -% base) & ~mantissa;
}
inline fn exponentOf(comptime V: type, power: Bits(V)) V {
    const k = @as(Ints(V), @bitCast(power)) >> @splat(common.mantissaBits(Float(V)));
    return if (comptime common.isSingle(V)) @floatFromInt(k) else common.floatFromInt(V, k);
}
inline fn smallest(comptime V: type) V {
    return @splat(std.math.floatMin(Float(V)));
}

/// Whether a lane is no normal number between 0 and `end`.
inline fn anyOutside(comptime V: type, x: V, end: V) bool {
    const low = common.bits(V, smallest(V));
    return common.any(common.bits(V, x) -% low >= common.bits(V, end) -% low);
}

/// What log is of the numbers that are not normal; `y` elsewhere.
noinline fn logSpecial(comptime V: type, x: V, y: V) V {
    const zero = c(V, 0);
    const tiny = common.both(x < smallest(V), x > zero);
    const d = decomposeNormal(V, pick(V, tiny, x * by(V, 0x1p25, 0x1p54), c(V, 1)));
    return special(V, x, pick(V, tiny, logOf(V, d.f, d.k - by(V, 25, 54)), y));
}

/// The values of log at 0, below, and at infinity; `y` elsewhere.
inline fn special(comptime V: type, x: V, y: V) V {
    const zero = c(V, 0);
    const outside = pick(V, x == zero, -common.inf(V), common.nan(V));
    return pick(V, x == common.inf(V), x, pick(V, x > zero, y, outside));
}

/// log(1 + f) + k log(2).
inline fn logOf(comptime V: type, f: V, k: V) V {
    const parts = comptime common.split(V, ln2, if (common.isSingle(V)) 15 else 32);
    if (comptime common.isSingle(V)) { // a polynomial, no division
        const tail = fma(V, f, poly(V, f, "log_tail"), c(V, -0.5));
        return fma(V, k, parts[0], fma(V, f * f, tail, fma(V, k, parts[1], f)));
    }
    const y = core(V, f);
    const tail = fma(V, k, parts[1], y.correction);
    return fma(V, k, parts[0], f - (y.half_square - tail));
}

/// log(1 + f) = f - halfSquare + correction.
inline fn core(comptime V: type, f: V) struct { half_square: V, correction: V } {
    const s = f / (c(V, 2) + f);
    const z = s * s;
    const half_square = c(V, 0.5) * f * f;
    const correction = s * fma(V, z, poly(V, z, "log"), half_square);
    return .{ .half_square = half_square, .correction = correction };
}

/// The natural logarithm. nan below 0, -infinity at 0.
/// Error below 0.92 ulp (float32), 0.73 (float64).
pub fn log(comptime V: type, x: V) V {
    const d = decomposeNormal(V, x);
    const y = logOf(V, d.f, d.k);
    if (anyOutside(V, x, common.inf(V))) {
        @branchHint(.unlikely);
        return logSpecial(V, x, y);
    }
    return y;
}

/// log(1 + f) / log(base) + k log(2) / log(base), with the leading part kept apart, so that
/// powers of the base come out exact.
inline fn otherBase(
    comptime V: type,
    x: V,
    comptime inverse: comptime_float, // 1 / log(base)
    comptime ratio: comptime_float, // log(2) / log(base)
) V {
    const single = comptime common.isSingle(V);
    const lost = if (single) 12 else 21; // bits that the leading part does without
    const inv = comptime common.split(V, inverse, if (single) 11 else 21);
    const two = comptime common.split(V, ratio, if (single) 15 else 32);
    const d = decompose(V, x);
    const y = core(V, d.f);
    const mask = @as(Bits(V), @splat(0)) -% @as(Bits(V), @splat(1 << lost));
    const high: V = @bitCast(common.bits(V, d.f - y.half_square) & mask);
    const low = ((d.f - high) - y.half_square) + y.correction;
    const value = high * inv[0];
    const leading = d.k * two[0];
    const tail = fma(V, d.k, two[1], fma(V, low + high, inv[1], low * inv[0]));
    const sum = common.quickTwoSum(V, leading, value);
    return special(V, x, sum.high + (sum.low + tail));
}

/// Exact at powers of 2.
/// Error below 0.77 ulp (float32), 0.56 (float64).
pub fn log2(comptime V: type, x: V) V {
    return otherBase(V, x, 1.44269504088896340735992468100189214, 1.0);
}

/// Error below 0.71 ulp (float32), 0.59 (float64).
pub fn log10(comptime V: type, x: V) V {
    const log10_of_e = 0.434294481903251827651128918916605082;
    const log10_of_2 = 0.301029995663981195213738894724493027;
    return otherBase(V, x, log10_of_e, log10_of_2);
}

/// log(1 + x), exact near 0.
/// Error below 1.40 ulp (float32), 0.75 (float64).
pub fn log1p(comptime V: type, x: V) V {
    const u = c(V, 1) + x;
    const y = common.copysign(V, log1pScaled(V, x, u), x); // -0
    if (anyOutside(V, u, log1p_end(V))) {
        @branchHint(.unlikely);
        return log1pSpecial(V, x, u, y);
    }
    return y;
}
/// Of 1 + x = u below `log1p_end`: u = 2^k (1 + f), where f = x / 2^k - (1 - 1 / 2^k) does without
/// the rounding of u.
inline fn log1pScaled(comptime V: type, x: V, u: V) V {
    const one = c(V, 1);
    const power = powerIn(V, u);
    const scale: V = @bitCast(common.bits(V, one) -% power);
    return logOf(V, fma(V, x, scale, scale - one), exponentOf(V, power));
}
inline fn log1p_end(comptime V: type) V {
    return by(V, 0x1p100, 0x1p1000);
}
noinline fn log1pSpecial(comptime V: type, x: V, u: V, y: V) V {
    const outside = pick(V, u == c(V, 0), -common.inf(V), common.nan(V));
    return pick(V, u < log1p_end(V), pick(V, u > c(V, 0), y, outside), log(V, x));
}

/// log(1 + x + low), |low| <= ulp(x).
inline fn log1pTail(comptime V: type, x: V, low: V) V {
    const one = c(V, 1);
    const u = common.twoSum(V, one, x);
    const d = decompose(V, u.high);
    // Where no power of two was taken out, f is x itself; elsewhere what rounding took from
    // 1 + x comes back to first order.
    const unscaled = d.k == c(V, 0);
    const f = pick(V, unscaled, x, d.f);
    const lost = pick(V, unscaled, low, u.low + low) / u.high;
    const parts = comptime common.split(V, ln2, if (common.isSingle(V)) 15 else 32);
    const y = core(V, f);
    const tail = fma(V, d.k, parts[1], lost) + y.correction;
    const result = special(V, u.high, fma(V, d.k, parts[0], f - (y.half_square - tail)));
    return pick(V, @abs(x) < by(V, 0x1p-25, 0x1p-54), x, result);
}

/// log(1 + e), 0 <= e <= 1.
inline fn log1pUnit(comptime V: type, e: V) V {
    return e + log1pUnitTail(V, e);
}
/// log(1 + e) - e.
inline fn log1pUnitTail(comptime V: type, e: V) V {
    const s = e / (c(V, 2) + e);
    const z = s * s;
    const half_square = c(V, 0.5) * e * e;
    return s * fma(V, z, poly(V, z, "log1p_unit"), half_square) - half_square;
}

/// log(1 + e^x).
/// Error below 1.79 ulp (float32), 1.37 (float64).
pub fn softplus(comptime V: type, x: V) V {
    const positive = pick(V, x < c(V, 0), c(V, 0), x);
    return positive + log1pUnit(V, exponential.expCare(V, -@abs(x), .quick));
}

/// log(sigmoid(x)) = -softplus(-x).
/// Error below 1.80 ulp (float32), 1.50 (float64).
pub fn logSigmoid(comptime V: type, x: V) V {
    const negative = pick(V, x > c(V, 0), c(V, 0), x);
    return negative - log1pUnit(V, exponential.expCare(V, -@abs(x), .quick));
}

/// log(e^a + e^b). Where the sum is near 1, the result near 0 has that error in ulp of its terms.
/// Error below 1.91 ulp (float32), 1.64 (float64).
pub fn logaddexp(comptime V: type, a: V, b: V) V {
    const larger = pick(V, a > b, a, b);
    const distance = pick(V, a == b, c(V, 0), @abs(a - b)); // inf - inf
    const y = larger + log1pUnit(V, exponential.expCare(V, -distance, .careful));
    return pick(V, distance == distance, y, distance);
}

/// 0 for what infinities made a nan.
inline fn finite(comptime V: type, x: V) V {
    return pick(V, x == x, x, c(V, 0));
}

/// log2(2^a + 2^b), with the same reservation.
/// Error below 1.79 ulp (float32), 1.18 (float64).
pub fn logaddexp2(comptime V: type, a: V, b: V) V {
    const larger = pick(V, a > b, a, b);
    const distance = pick(V, a == b, c(V, 0), @abs(a - b));
    const log2e = 1.44269504088896340735992468100189214;
    const e = exponential.exp2Care(V, -distance, .careful);
    const part = common.twoProduct(V, e, c(V, log2e));
    const sum = common.twoSum(V, larger, part.high);
    const low = fma(V, e, comptime common.lowOf(V, log2e), part.low);
    const y = sum.high + fma(V, log1pUnitTail(V, e), c(V, log2e), finite(V, sum.low) + low);
    return pick(V, distance == distance, y, distance);
}

/// Error below 0.50 ulp (float32), 1.00 (float64).
pub fn asinh(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, asinh);
    const size = @abs(x);
    const huge = size > c(V, 0x1p100);
    const a = pick(V, huge, c(V, 1), size);
    // log(1 + a + a^2 / (1 + sqrt(a^2 + 1)))
    const square = a * a;
    const sum = common.quickTwoSum(V, a, square / (c(V, 1) + @sqrt(square + c(V, 1))));
    const y = log1pTail(V, sum.high, sum.low);
    const large = log(V, size) + c(V, ln2);
    return common.copysign(V, pick(V, huge, large, y), x);
}

/// nan below 1.
/// Error below 0.50 ulp (float32), 1.36 (float64).
pub fn acosh(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, acosh);
    const huge = x > c(V, 0x1p100);
    const t = pick(V, huge, c(V, 1), x) - c(V, 1);
    // log(1 + t + sqrt(t^2 + 2t))
    const root = common.twoSqrt(V, fma(V, t, t, t + t));
    const sum = common.twoSum(V, root.high, t);
    const y = log1pTail(V, sum.high, sum.low);
    const result = pick(V, huge, log(V, x) + c(V, ln2), y);
    return pick(V, x < c(V, 1), common.nan(V), result);
}

/// nan beyond 1.
/// Error below 0.50 ulp (float32), 1.46 (float64).
pub fn atanh(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, atanh);
    const size = @abs(x);
    // log(1 + 2x / (1 - x)) / 2
    const rest = c(V, 1) - size; // exact for size >= 1/2
    const ratio = size + size * size / rest;
    const y = c(V, 0.5) * log1p(V, ratio + ratio);
    const inside = pick(V, size == c(V, 1), common.inf(V), y);
    return common.copysign(V, pick(V, size > c(V, 1), common.nan(V), inside), x);
}
