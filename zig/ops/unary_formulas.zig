//! The formulas of unary.zig: `f(V, x, scalars ...)` over virtual vectors.
const std = @import("std");
const math = @import("../math.zig");
const common = @import("../math/common.zig");
const simd = @import("../simd.zig");
const b = @import("binary_formulas.zig");
const Child = std.meta.Child;
const Bools = common.Bools;
const c = common.c;
const pick = common.pick;
const isFloat = b.isFloat;
const one = b.one;
const zero = b.zero;

// ------------------------------------------------------------------ every dtype

pub inline fn neg(comptime V: type, x: V) V {
    return if (comptime isFloat(V)) -x else zero(V) -% x;
}
pub inline fn abs(comptime V: type, x: V) V {
    if (comptime isFloat(V)) return @abs(x);
    return pick(V, x < zero(V), zero(V) -% x, x);
}
/// 0 for nan, as in PyTorch.
pub inline fn sign(comptime V: type, x: V) V {
    if (comptime Child(V) == u8) return pick(V, x > zero(V), one(V), zero(V));
    return pick(V, x > zero(V), one(V), pick(V, x < zero(V), @splat(-1), zero(V)));
}
pub inline fn square(comptime V: type, x: V) V {
    return b.mul(V, x, x);
}
pub inline fn relu(comptime V: type, x: V) V {
    return pick(V, x < zero(V), zero(V), x);
}
/// As torch.clamp: min(max(x, low), high), so high wins where low > high; nan stays, a nan
/// bound gives nan.
pub inline fn clamp(comptime V: type, x: V, low: V, high: V) V {
    const top = if (comptime isFloat(V)) pick(V, low != low, low, high) else high;
    return keepNan(V, x, simd.minFast(V, simd.maxFast(V, x, low), top));
}
pub inline fn clampMin(comptime V: type, x: V, low: V) V {
    return keepNan(V, x, simd.maxFast(V, x, low));
}
pub inline fn clampMax(comptime V: type, x: V, high: V) V {
    return keepNan(V, x, simd.minFast(V, x, high));
}
/// What the fast maxima and minima (of which a nan bound is the second) make of a nan x.
inline fn keepNan(comptime V: type, x: V, y: V) V {
    if (comptime !isFloat(V)) return y;
    return pick(V, x != x, x, y);
}
pub inline fn bitwiseNot(comptime V: type, x: V) V {
    return ~x;
}

/// Of float16 or bfloat16, as bits.
pub inline fn flipSign16(comptime V: type, x: V) V {
    return x ^ @as(V, @splat(0x8000));
}
pub inline fn clearSign16(comptime V: type, x: V) V {
    return x & @as(V, @splat(0x7fff));
}

// ------------------------------------------------------------------ bool

pub inline fn logicalNot(comptime V: type, x: V) Bools(V) {
    return x == zero(V);
}
pub inline fn notZero(comptime V: type, x: V) Bools(V) {
    return x != zero(V);
}
pub inline fn isnan(comptime V: type, x: V) Bools(V) {
    return x != x;
}
pub inline fn isinf(comptime V: type, x: V) Bools(V) {
    if (comptime !isFloat(V)) return @splat(false);
    return @abs(x) == infinity(V);
}
pub inline fn isfinite(comptime V: type, x: V) Bools(V) {
    if (comptime !isFloat(V)) return @splat(true);
    return @abs(x) < infinity(V);
}
pub inline fn isposinf(comptime V: type, x: V) Bools(V) {
    if (comptime !isFloat(V)) return @splat(false);
    return x == infinity(V);
}
pub inline fn isneginf(comptime V: type, x: V) Bools(V) {
    if (comptime !isFloat(V)) return @splat(false);
    return x == -infinity(V);
}
pub inline fn signbit(comptime V: type, x: V) Bools(V) {
    if (comptime !isFloat(V)) return x < zero(V);
    const I = @Vector(@typeInfo(V).vector.len, @Int(.signed, @bitSizeOf(Child(V))));
    return @as(I, @bitCast(x)) < @as(I, @splat(0));
}
inline fn infinity(comptime V: type) V {
    return @splat(std.math.inf(Child(V)));
}

// ------------------------------------------------------------------ floats

pub inline fn sqrt(comptime V: type, x: V) V {
    return @sqrt(x);
}
pub inline fn rsqrt(comptime V: type, x: V) V {
    return one(V) / @sqrt(x);
}
pub inline fn reciprocal(comptime V: type, x: V) V {
    return one(V) / x;
}
/// decimals >= 0: round(x p) / p, with p = 10^decimals.
pub inline fn roundUp(comptime V: type, x: V, p: V) V {
    return math.roundEven(V, x * p) / p;
}
/// Negative decimals: round(x / p) p, with p = 10^-decimals.
pub inline fn roundDown(comptime V: type, x: V, p: V) V {
    return math.roundEven(V, x / p) * p;
}
pub inline fn nanToNum(comptime V: type, x: V, nan: V, high: V, low: V) V {
    const finite = pick(V, x == infinity(V), high, pick(V, x == -infinity(V), low, x));
    return pick(V, x != x, nan, finite);
}
/// -x log(x): 0 at 0, -inf below.
pub inline fn entr(comptime V: type, x: V) V {
    const below = pick(V, x < zero(V), -infinity(V), x);
    return pick(V, x > zero(V), -x * math.log(V, x), pick(V, x == zero(V), zero(V), below));
}
// ------------------------------------------------------------------ powers

pub inline fn ones(comptime V: type, _: V) V {
    return one(V);
}
pub inline fn same(comptime V: type, x: V) V {
    return x;
}
pub inline fn cube(comptime V: type, x: V) V {
    return b.mul(V, b.mul(V, x, x), x);
}
pub inline fn inverseSquare(comptime V: type, x: V) V {
    return one(V) / (x * x);
}

// ------------------------------------------------------------------ parts of a float

/// x = mantissa 2^exponent with a mantissa in +-[0.5, 1); 0, inf and nan are mantissas with exponent 0.
fn Parts(comptime V: type) type {
    return struct { mantissa: V, exponent: V };
}
inline fn parts(comptime V: type, x: V) Parts(V) {
    const Bits = common.Bits(V);
    const n = comptime common.mantissaBits(std.meta.Child(V));
    const size: Bits = common.bits(V, @abs(x));
    const most: Bits = @splat((1 << (@bitSizeOf(std.meta.Child(V)) - 1 - n)) - 1);
    const plain = (size == @as(Bits, @splat(0))) | (size >> @splat(n) == most);
    const small = size >> @splat(n) == @as(Bits, @splat(0));
    // Of normal numbers.
    const scaled: Bits = common.bits(V, pick(V, small, x * c(V, 1 << 60), x));
    const bias: Bits = @splat(common.exponentBias(V) - 1);
    const high = scaled >> @splat(n) & most;
    const fraction: V = @bitCast(scaled & ~(most << @splat(n)) | bias << @splat(n));
    const shift = pick(V, small, c(V, 60), c(V, 0));
    const power = common.floatFromInt(V, @bitCast(high -% bias)) - shift;
    return .{ .mantissa = pick(V, plain, x, fraction), .exponent = pick(V, plain, c(V, 0), power) };
}
pub inline fn mantissa(comptime V: type, x: V) V {
    return parts(V, x).mantissa;
}
pub inline fn exponent(comptime V: type, x: V) V {
    return parts(V, x).exponent;
}
