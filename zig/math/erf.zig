//! The error function, its complement, its inverse, and the normal distribution's.
const std = @import("std");
const common = @import("common.zig");
const exponential = @import("exp.zig");
const logarithm = @import("log.zig");
const Pair = common.Pair;
const c = common.c;
const by = common.by;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

const sqrt_half = 0.707106781186547524400844362104849039;

pub fn erf(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const small = fma(V, size, poly(V, z, "erf_small"), size);
    const top = by(V, 4, 6); // erf rounds to 1
    const t = pick(V, size > top, top, size);
    const e = exponential.expParts(V, t * poly(V, t, "erf_large"));
    const large = fma(V, -e.p, common.powerOfTwo(V, e.k), c(V, 1));
    return common.copysign(V, pick(V, size < c(V, 1), small, large), x);
}

/// factor erfc(a) = factor exp(-a^2) erfcx(a) for a >= 0, given a^2 in two parts.
inline fn complement(comptime V: type, a: V, square: Pair(V), comptime factor: comptime_float) V {
    const one = c(V, 1);
    const center = by(V, 3, 3.75);
    const end = by(V, 10.5, 28); // erfc underflows before
    const t = pick(V, a > end, end, a);
    // q = (t - center) / (t + center), t - center being nearly exact
    const q = (t - center) / (t + center);
    const ratio = poly(V, q, "erfcx") / fma(V, c(V, 2), t, one);
    const top = by(V, 120, 800);
    const far = square.high > top;
    const e = exponential.expPairParts(V, .{
        .high = -pick(V, far, top, square.high),
        .low = pick(V, far, c(V, 0), -square.low),
    });
    return common.scale(V, e.p * (c(V, factor) * ratio), e.k);
}

pub fn erfc(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const small = c(V, 1) - fma(V, x, poly(V, z, "erf_small"), x);
    const large = complement(V, size, common.twoSquare(V, size), 1);
    const outer = pick(V, x < c(V, 0), c(V, 2) - large, large);
    return pick(V, size < c(V, 0.5), small, outer);
}

/// The normal distribution function: (1 + erf(x / sqrt 2)) / 2, accurate in the lower tail.
pub fn ndtr(comptime V: type, x: V) V {
    const size = @abs(x);
    const a = x * c(V, sqrt_half);
    const small = fma(V, c(V, 0.5) * a, poly(V, a * a, "erf_small"), c(V, 0.5) * a) + c(V, 0.5);
    const square = common.twoSquare(V, size);
    const half = c(V, 0.5);
    const large = complement(V, @abs(a), .{ .high = square.high * half, .low = square.low * half }, 0.5);
    const outer = pick(V, x > c(V, 0), c(V, 1) - large, large);
    return pick(V, size < c(V, 0.75), small, outer);
}

/// x ndtr(x).
pub fn gelu(comptime V: type, x: V) V {
    return x * ndtr(V, x);
}

/// x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
pub fn geluTanh(comptime V: type, x: V) V {
    const twice = c(V, 1.59576912160573071175978423973752747); // 2 sqrt(2 / pi)
    const inner = fma(V, c(V, 0.044715) * x * x, x, x);
    return x * exponential.sigmoid(V, twice * inner);
}

pub fn erfinv(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, erfinv);
    const size = @abs(x);
    const z = size * size;
    const small = size * poly(V, z, "erfinv_small");
    const w = @sqrt(-logarithm.log(V, c(V, 1) - size));
    const t = (w - c(V, 2)) / (w + c(V, 2));
    const large = w * poly(V, t, "erfinv_large");
    var y = pick(V, z < c(V, 0.5), small, large);
    y = pick(V, size == c(V, 1), common.inf(V), y);
    return common.copysign(V, pick(V, size > c(V, 1), common.nan(V), y), x);
}
