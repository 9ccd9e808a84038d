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
    const reduced = reduce(V, x);
    const r = reduced.high + reduced.low;
    const p = fma(V, r * r, poly(V, r, "exp_tail"), r) + c(V, 1);
    return .{ .p = p, .k = reduced.k };
}

/// The same of high + low, |low| <= ulp(high).
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
/// Error below 1.03 ulp (float32), 0.98 (float64).
pub fn exp(comptime V: type, x: V) V {
    return expCare(V, x, .quick);
}
pub inline fn expCare(comptime V: type, x: V, comptime care: Care) V {
    const e = expParts(V, clamp(V, x, by(V, -104, -746), by(V, 89, 710)), care);
    return common.scale(V, e.p, e.k);
}

/// nan stays.
inline fn clamp(comptime V: type, x: V, low: V, high: V) V {
    const y = pick(V, x < low, low, x);
    return pick(V, y > high, high, y);
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

/// Error below 1.46 ulp (float32), 1.30 (float64).
pub fn tanh(comptime V: type, x: V) V {
    const size = @abs(x);
    const limit = by(V, 9.2, 19.2); // tanh rounds to 1
    const t = pick(V, size > limit, limit, size);
    const e = expParts(V, t + t, .quick);
    const large = c(V, 1) - c(V, 2) / (e.p * common.powerOfTwo(V, e.k) + c(V, 1));
    const z = size * size;
    const small = fma(V, size * z, poly(V, z, "tanh"), size);
    return common.copysign(V, pick(V, size < c(V, 0.55), small, large), x);
}

/// sigmoid(x) over `by`. For x < 0 that is a power of two so small that `over` is a normal
/// number, and a product with it is rounded once, though it may be subnormal.
inline fn sigmoidParts(comptime V: type, x: V) struct { over: V, by: V } {
    const e = expParts(V, -@abs(clamp(V, x, lowest(V), -lowest(V))), .quick);
    const up = comptime if (common.isSingle(V)) 40 else 100;
    const down = by(V, 0x1p-40, 0x1p-100);
    const power = e.p * common.powerOfTwo(V, e.k +% @as(Ints(V), @splat(up)));
    const negative = x < c(V, 0);
    return .{
        .over = pick(V, negative, power, c(V, 1)) / fma(V, power, down, c(V, 1)),
        .by = pick(V, negative, down, c(V, 1)),
    };
}
/// Below, sigmoid and silu round to 0.
inline fn lowest(comptime V: type) V {
    return by(V, -112, -760);
}

/// 1 / (1 + e^-x). sigmoid(-100) is e^-100, not 0.
/// Error below 2.41 ulp (float32), 1.67 (float64): what would make it 1.5 takes as long again.
pub fn sigmoid(comptime V: type, x: V) V {
    const s = sigmoidParts(V, x);
    return s.over * s.by;
}

/// x sigmoid(x); -0 at -infinity.
/// Error below 3.2 ulp (float32), 2.6 (float64).
pub fn silu(comptime V: type, x: V) V {
    const s = sigmoidParts(V, x);
    return pick(V, x < lowest(V), lowest(V), x) * s.over * s.by;
}
