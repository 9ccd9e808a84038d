//! exp and what is made of it: expm1, exp2, the hyperbolic functions, sigmoid.
const std = @import("std");
const common = @import("common.zig");
const Ints = common.Ints;
const Pair = common.Pair;
const c = common.c;
const by = common.by;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

const ln2 = 0.693147180559945309417232121458176568;

pub fn Parts(comptime V: type) type {
    return struct { p: V, k: Ints(V) };
}

/// `careful` has an error of 0.6 ulp instead of 1, for functions that add errors of their own.
pub const Care = enum { quick, careful };

/// e^x as p 2^k, for |x| < 2^20 or so; p is in [0.7, 1.42].
pub inline fn expParts(comptime V: type, x: V, comptime care: Care) Parts(V) {
    if (care == .careful) return expPairParts(V, .{ .high = x, .low = c(V, 0) });
    const q = reduceQuick(V, x, 0);
    return .{ .p = expOfRest(V, q.r), .k = @as(Ints(V), @bitCast(q.shifted)) -% @as(Ints(V), @bitCast(magicPower(V, 0))) };
}

/// e^x = e^r 2^k; `shifted` has k + bias + up in its lowest bits, an exponent that is ready to shift.
fn Quick(comptime V: type) type {
    return struct { r: V, k: V, shifted: V };
}

/// A magic number, see common.zig, that makes an exponent's bits of 2^(k + up).
inline fn magicPower(comptime V: type, comptime up: comptime_int) V {
    return common.magic(V) + c(V, up + common.exponentBias(V));
}

inline fn reduceQuick(comptime V: type, x: V, comptime up: comptime_int) Quick(V) {
    const parts = comptime common.split(V, ln2, if (common.isSingle(V)) 15 else 32);
    const magic = comptime magicPower(V, up);
    const shifted = fma(V, x, c(V, log2e), magic);
    const k = shifted - magic;
    return .{ .r = fma(V, k, -parts[1], fma(V, k, -parts[0], x)), .k = k, .shifted = shifted };
}

/// e^r for |r| < 0.35.
inline fn expOfRest(comptime V: type, r: V) V {
    const slope = fma(V, r, poly(V, r, "exp_tail"), c(V, 1));
    return fma(V, r, slope, c(V, 1));
}

fn Rest(comptime V: type) type {
    return struct { rest: V, power: V };
}

/// e^x 2^up = power (1 + rest), where that and e^x are normal numbers: for sums with the power, which
/// are exact where they matter.
inline fn expRest(comptime V: type, x: V, comptime up: comptime_int) Rest(V) {
    const q = reduceQuick(V, x, up);
    const rest = fma(V, q.r * q.r, poly(V, q.r, "exp_tail"), q.r);
    return .{ .rest = rest, .power = common.shiftedPower(V, q.shifted) };
}

/// As expParts, of high + low, |low| <= ulp(high).
pub inline fn expPairParts(comptime V: type, x: Pair(V)) Parts(V) {
    const e = expPair(V, x);
    return .{ .p = e.p.high + e.p.low, .k = e.k };
}

/// The same with p in two parts, which are not yet added up.
pub inline fn expPair(comptime V: type, x: Pair(V)) struct { p: Pair(V), k: Ints(V) } {
    const reduced = reduce(V, x.high);
    const r = reduced.high + reduced.low;
    const low = ((reduced.high - r) + reduced.low) + x.low;
    const head = common.quickTwoSum(V, c(V, 1), r);
    // e^(r + low) = e^r + low e^r
    const tail = fma(V, r * r, poly(V, r, "exp_tail"), head.low);
    const rest = fma(V, low, head.high + tail, tail);
    return .{ .p = .{ .high = head.high, .low = rest }, .k = reduced.k };
}

/// The same for float32 computed in float64: good to 2^-28, within the float64 exponents.
pub inline fn expShort(comptime V: type, x: V) V {
    const reduced = reduce(V, x);
    const r = reduced.high + reduced.low;
    const p = fma(V, r * r, poly(V, r, "exp_short"), r) + c(V, 1);
    return p * common.powerOfTwo(V, reduced.k);
}

const log2e = 1.44269504088896340735992468100189214;

/// x = k ln2 + high + low; high is exact.
inline fn reduce(comptime V: type, x: V) struct { high: V, low: V, k: Ints(V) } {
    const parts = comptime common.split(V, ln2, if (common.isSingle(V)) 15 else 32);
    const shifted = fma(V, x, c(V, log2e), common.magic(V));
    const k = shifted - common.magic(V);
    const integer = @as(Ints(V), @bitCast(shifted)) -% @as(Ints(V), @bitCast(common.magic(V)));
    return .{ .high = fma(V, k, -parts[0], x), .low = -k * parts[1], .k = integer };
}

/// e^x.
/// Error below 0.92 ulp (float32), 0.85 (float64).
pub fn exp(comptime V: type, x: V) V {
    return expCare(V, x, .quick);
}
pub inline fn expCare(comptime V: type, x: V, comptime care: Care) V {
    const y = clamp(V, x, by(V, -104, -746), by(V, 89, 710));
    if (care == .quick) {
        const q = reduceQuick(V, y, 0);
        return common.scaleFloat(V, expOfRest(V, q.r), q.k);
    }
    const e = expParts(V, y, care);
    return common.scale(V, e.p, e.k);
}

/// nan stays.
inline fn clamp(comptime V: type, x: V, low: V, high: V) V {
    const y = clampLow(V, x, low);
    return pick(V, y > high, high, y);
}
inline fn clampLow(comptime V: type, x: V, low: V) V {
    return pick(V, x < low, low, x);
}

/// 2^x.
/// Error below 0.85 ulp (float32), 0.87 (float64).
pub fn exp2(comptime V: type, x: V) V {
    return exp2Care(V, x, .quick);
}
pub inline fn exp2Care(comptime V: type, x: V, comptime care: Care) V {
    const y = clamp(V, x, by(V, -151, -1076), by(V, 129, 1025));
    const shifted = y + common.magic(V);
    const r = y - (shifted - common.magic(V));
    const k = @as(Ints(V), @bitCast(shifted)) -% @as(Ints(V), @bitCast(common.magic(V)));
    const tail = poly(V, r, "exp2_tail");
    if (care == .quick) {
        return common.scale(V, fma(V, r, fma(V, r, tail, c(V, ln2)), c(V, 1)), k);
    }
    const part = common.twoProduct(V, r, c(V, ln2));
    const head = common.quickTwoSum(V, c(V, 1), part.high);
    const rest = fma(V, r, comptime common.lowOf(V, ln2), part.low) + head.low;
    return common.scale(V, head.high + fma(V, r * r, tail, rest), k);
}

/// e^x - 1, exact near 0.
/// Error below 1.08 ulp (float32), 1.22 (float64).
pub fn expm1(comptime V: type, x: V) V {
    const y = clamp(V, x, by(V, -18, -38), by(V, 89, 710));
    const reduced = reduce(V, y);
    const r = reduced.high + reduced.low;
    const low = (reduced.high - r) + reduced.low;
    const tail = fma(V, r * r, poly(V, r, "exp_tail"), low);
    // 2 (2^(k-1) (1 + r + tail) - 1/2): half, so that k = 128 (1024) does not overflow. The
    // sum of 2^(k-1) - 1/2 and 2^(k-1) r is kept exact: for k = 1 half of it cancels.
    const half = common.powerOfTwo(V, reduced.k -% @as(Ints(V), @splat(1)));
    const sum = common.quickTwoSum(V, half - c(V, 0.5), half * r);
    const result = sum.high + fma(V, half, tail, sum.low);
    return pick(V, @abs(x) < by(V, 0x1p-25, 0x1p-54), x, result + result);
}

/// e^|x| / 2 without overflow before cosh overflows.
inline fn halfExp(comptime V: type, size: V) V {
    const e = expParts(V, pick(V, size > by(V, 90, 711), by(V, 90, 711), size), .careful);
    return common.scale(V, e.p, e.k -% @as(Ints(V), @splat(1)));
}

/// Error below 1.14 ulp (float32), 1.05 (float64).
pub fn cosh(comptime V: type, x: V) V {
    const h = halfExp(V, @abs(x));
    return h + c(V, 0.25) / h;
}

/// Error below 1.58 ulp (float32), 1.51 (float64).
pub fn sinh(comptime V: type, x: V) V {
    const size = @abs(x);
    const h = halfExp(V, size);
    const z = size * size;
    const small = fma(V, size * z, poly(V, z, "sinh"), size);
    return common.copysign(V, pick(V, size < c(V, 1), small, h - c(V, 0.25) / h), x);
}

/// -(e^2t - 1) / (e^2t + 1) for t = -|x|. Both are rounded by themselves: there is no sum of the two
/// that would lose bits near 0 or near -1.
/// Error below 1.95 ulp (float32), 2 (float64).
pub fn tanh(comptime V: type, x: V) V {
    const t = clampLow(V, -@abs(x), by(V, -9.2, -19.2)); // beyond, tanh rounds to 1
    const e = expRest(V, t + t, 0);
    const over = fma(V, e.power, e.rest, e.power - c(V, 1));
    const under = fma(V, e.power, e.rest, e.power + c(V, 1));
    return common.copysign(V, over / under, x);
}

/// e^-x 2^-up = power (1 + rest) for sigmoids, between normal numbers: beyond `lowest` they round to 0.
inline fn inverseExp(comptime V: type, x: V) Rest(V) {
    return expRest(V, clamp(V, -x, by(V, -50, -350), -lowest(V)), -lift(V));
}
inline fn lift(comptime V: type) comptime_int {
    return if (common.isSingle(V)) 40 else 100;
}
inline fn lowest(comptime V: type) V {
    return by(V, -112, -760);
}
inline fn down(comptime V: type) V {
    return by(V, 0x1p-40, 0x1p-100);
}

/// 1 / (1 + e^-x). sigmoid(-100) is e^-100, not 0.
/// Error below 1.9 ulp, but for e^-x about 2^24 (float32) or 2^53 (float64), where 1 is half an ulp: 2.45.
pub fn sigmoid(comptime V: type, x: V) V {
    // Both parts of the quotient are small, so that the denominator does not overflow.
    const e = inverseExp(V, x);
    return down(V) / fma(V, e.power, e.rest, e.power + down(V));
}

/// x sigmoid(x); -0 at -infinity.
/// Error below 1.9 ulp, but where sigmoid's is larger: 2.45.
pub fn silu(comptime V: type, x: V) V {
    // (x by) / (by + e^-x by), where `by` is small only where e^-x may be large
    const far = x < c(V, -1);
    const by_ = pick(V, far, down(V), c(V, 1));
    const lifted = pick(V, far, c(V, 1), c(V, 1 << lift(V)));
    const e = inverseExp(V, x);
    const power = e.power * lifted;
    return clampLow(V, x, lowest(V)) * by_ / fma(V, power, e.rest, power + by_);
}
