//! Rounding to integers, and exact remainders.
//!
//! x86-64 below SSE4.1 has no rounding instruction (@floor would be a call of libm for every
//! lane): there the sum with 2^52 rounds.
const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");
const Float = common.Float;
const c = common.c;
const fma = common.fma;
const pick = common.pick;

const has_rounding = switch (builtin.cpu.arch) {
    .x86, .x86_64 => builtin.cpu.has(.x86, .sse4_1),
    else => true,
};

/// To the nearest integer, ties to even (torch.round; @round takes ties away from 0).
pub fn roundEven(comptime V: type, x: V) V {
    const limit: V = @splat(1 << common.mantissaBits(Float(V)));
    const size = @abs(x);
    const rounded = (size + limit) - limit;
    return common.copysign(V, pick(V, size < limit, rounded, size), x);
}
pub fn floor(comptime V: type, x: V) V {
    if (has_rounding) return @floor(x);
    return floorOfHalf(V, x);
}
/// The same without the instruction: of float16 made float32, LLVM would have it in float16 again,
/// lane by lane. Likewise ceil and trunc.
pub fn floorOfHalf(comptime V: type, x: V) V {
    const r = roundEven(V, x);
    return common.copysign(V, r - pick(V, r > x, c(V, 1), c(V, 0)), x);
}
pub fn ceil(comptime V: type, x: V) V {
    if (has_rounding) return @ceil(x);
    return ceilOfHalf(V, x);
}
pub fn ceilOfHalf(comptime V: type, x: V) V {
    const r = roundEven(V, x);
    return common.copysign(V, r + pick(V, r < x, c(V, 1), c(V, 0)), x);
}
pub fn trunc(comptime V: type, x: V) V {
    if (has_rounding) return @trunc(x);
    return truncOfHalf(V, x);
}
pub fn truncOfHalf(comptime V: type, x: V) V {
    const size = @abs(x);
    const r = roundEven(V, size);
    return common.copysign(V, r - pick(V, r > size, c(V, 1), c(V, 0)), x);
}
/// x - trunc(x), exact; nan at infinity.
pub fn frac(comptime V: type, x: V) V {
    return x - trunc(V, x);
}

/// C's fmod: x - y trunc(x / y), exact, with the sign of x.
pub fn fmod(comptime V: type, x: V, y: V) V {
    if (comptime common.isSingle(V)) {
        // In float64, q y is exact for q < 2^29, with fma or without.
        const W = common.Wide(V);
        return @floatCast(remainderOf(W, @as(W, x), @as(W, y), 0x1p29, true));
    }
    return remainderOf(V, x, y, 0x1p52, common.has_fma);
}

/// `exact`: q y and x - q y are computed exactly for q < limit.
inline fn remainderOf(
    comptime V: type,
    x: V,
    y: V,
    comptime limit: comptime_float,
    comptime exact: bool,
) V {
    const a = @abs(x);
    const b = @abs(y);
    // The quotient, or one more where the division rounded up to an integer; x - q y is
    // then exact, and one addition puts it right.
    const q = trunc(V, a / b);
    var r = fma(V, -q, b, a);
    r = pick(V, r < c(V, 0), r + b, r);
    r = pick(V, a < b, a, r);
    r = pick(V, a == common.inf(V), common.nan(V), r);
    const hard = if (exact) q >= c(V, limit) else @as(common.Bools(V), @splat(true));
    if (common.any(hard)) {
        @branchHint(.unlikely);
        slowRemainder(V, a, b, &r);
    }
    return common.copysign(V, r, x);
}

noinline fn slowRemainder(comptime V: type, a: V, b: V, r: *V) void {
    var results: [common.count(V)]f64 = r.*;
    for (&results, @as([common.count(V)]f64, a), @as([common.count(V)]f64, b)) |*z, u, v| {
        if (v > 0 and u < std.math.inf(f64) and u >= v) z.* = longDivision(u, v);
    }
    r.* = results;
}

/// The remainder of finite a >= b > 0, a bit of the quotient at a time.
fn longDivision(a: f64, b: f64) f64 {
    var m, const ea = mantissaAndExponent(a);
    const d, const eb = mantissaAndExponent(b);
    var steps = ea - eb;
    m %= d;
    while (steps > 0 and m != 0) {
        const now: u6 = @intCast(@min(steps, 11)); // m < 2^53: 64 bits hold 11 more
        m = (m << now) % d;
        steps -= now;
    }
    if (m == 0) return 0;
    // m 2^eb, exact: the remainder is a multiple of the divisor's last bit
    return std.math.ldexp(@as(f64, @floatFromInt(m)), eb);
}
fn mantissaAndExponent(x: f64) struct { u64, i32 } {
    const raw: u64 = @bitCast(x);
    const e: i32 = @intCast(raw >> 52 & 0x7ff);
    const f = raw & ((1 << 52) - 1);
    return if (e == 0) .{ f, -1074 } else .{ f | (1 << 52), e - 1075 };
}

/// torch.remainder and Python's %: the sign of y. x - y floor(x / y).
pub fn remainder(comptime V: type, x: V, y: V) V {
    const r = fmod(V, x, y);
    const opposite = common.isNegative(V, common.flipSign(V, r, y));
    const zero = c(V, 0);
    return pick(V, r == zero, r, pick(V, opposite, r + y, r));
}
