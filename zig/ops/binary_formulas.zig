//! The formulas of binary.zig: `f(V, a, b, scalars ...)` over virtual vectors.
//!
//! PyTorch's definitions (aten/src/ATen/native/cpu/BinaryOpsKernel.cpp, Activation.cpp,
//! native/Math.h, c10/util/generic_math.h), but for what is said at a function.
const std = @import("std");
const math = @import("../math.zig");
const common = @import("../math/common.zig");
const simd = @import("../simd.zig");
const Call = @import("../plan.zig").Call;
const Child = std.meta.Child;
const Bits = common.Bits;
const Bools = common.Bools;
const c = common.c;
const pick = common.pick;
const signBit = common.signBit;

pub inline fn isFloat(comptime V: type) bool {
    return @typeInfo(Child(V)) == .float;
}
pub inline fn zero(comptime V: type) V {
    return @splat(0);
}
pub inline fn one(comptime V: type) V {
    return @splat(1);
}

// ------------------------------------------------------------------ arithmetic

pub inline fn add(comptime V: type, a: V, b: V) V {
    return if (comptime isFloat(V)) a + b else a +% b;
}
pub inline fn sub(comptime V: type, a: V, b: V) V {
    return if (comptime isFloat(V)) a - b else a -% b;
}
pub inline fn mul(comptime V: type, a: V, b: V) V {
    return if (comptime isFloat(V)) a * b else a *% b;
}
pub inline fn div(comptime V: type, a: V, b: V) V {
    return a / b;
}
/// a + s b, fused for floats.
pub inline fn addScaled(comptime V: type, a: V, b: V, s: V) V {
    return if (comptime isFloat(V)) simd.fma(V, s, b, a) else a +% s *% b;
}
/// s a b
pub inline fn mulScaled(comptime V: type, a: V, b: V, s: V) V {
    return s * a * b;
}
/// s a / b
pub inline fn divScaled(comptime V: type, a: V, b: V, s: V) V {
    return s * a / b;
}
pub inline fn truncDivide(comptime V: type, a: V, b: V) V {
    return math.trunc(V, a / b);
}

/// floor(a / b) by way of the exact remainder, as Python's //.
pub inline fn floorDivide(comptime V: type, a: V, b: V) V {
    const r = math.fmod(V, a, b);
    var q = (a - r) / b;
    q = pick(V, (r != zero(V)) & ((r < zero(V)) != (b < zero(V))), q - one(V), q);
    const down = math.floor(V, q);
    const nearest = pick(V, q - down > c(V, 0.5), down + one(V), down);
    const quotient = a / b;
    const result = pick(V, q != zero(V), nearest, copysign(V, zero(V), quotient));
    return pick(V, b == zero(V), quotient, result);
}

const Rounding = enum { trunc, floor };

/// Quotient, rounded, and remainder. A zero divisor fails the call; the smallest integer
/// divided by -1 is itself.
inline fn divideInt(comptime V: type, a: V, b: V, call: *Call, comptime rounding: Rounding) [2]V {
    const nought = b == zero(V);
    if (@reduce(.Or, nought)) call.fail(.invalid_value, .{ 0, 0, 0 });
    const minus = b == @as(V, @splat(-1));
    const d = pick(V, nought | minus, one(V), b);
    var q: V = undefined;
    if (Child(V) == i32) {
        // Exact, and there is no vector division of integers.
        const F = @Vector(@typeInfo(V).vector.len, f64);
        q = @intFromFloat(@trunc(@as(F, @floatFromInt(a)) / @as(F, @floatFromInt(d))));
    } else q = divideLong(V, a, d);
    var r = a -% q *% d;
    q = pick(V, minus, zero(V) -% a, q);
    r = pick(V, minus, zero(V), r);
    if (rounding == .floor) {
        const off = (r != zero(V)) & ((r ^ d) < zero(V));
        q = pick(V, off, q -% one(V), q);
        r = pick(V, off, r +% d, r);
    }
    return .{ q, r };
}
/// The same of int64, by way of float64 where all are so small that this is exact.
inline fn divideLong(comptime V: type, a: V, d: V) V {
    const F = @Vector(@typeInfo(V).vector.len, f64);
    const below: V = @splat(1 << 50);
    const small = ((a +% below) | (d +% below)) >> @splat(51) == zero(V);
    if (!simd.has_fma or !@reduce(.And, small)) return @divTrunc(a, d);
    const q = @trunc(common.floatFromInt(F, a) / common.floatFromInt(F, d));
    return @as(V, @bitCast(q + common.magic(F))) -% @as(V, @bitCast(common.magic(F)));
}
pub fn floorDivideInt(comptime V: type, a: V, b: V, call: *Call) V {
    return divideInt(V, a, b, call, .floor)[0];
}
pub fn truncDivideInt(comptime V: type, a: V, b: V, call: *Call) V {
    return divideInt(V, a, b, call, .trunc)[0];
}
pub fn remainderInt(comptime V: type, a: V, b: V, call: *Call) V {
    return divideInt(V, a, b, call, .floor)[1];
}
pub fn fmodInt(comptime V: type, a: V, b: V, call: *Call) V {
    return divideInt(V, a, b, call, .trunc)[1];
}

/// By squaring, wrapping. A negative exponent gives 0, but for the bases 1 and -1.
pub inline fn powInt(comptime V: type, a: V, b: V) V {
    const odd = (b & one(V)) != zero(V);
    var base = a;
    var e = @max(b, zero(V));
    var r = one(V);
    while (@reduce(.Or, e != zero(V))) {
        r = pick(V, (e & one(V)) != zero(V), r *% base, r);
        base *%= base;
        e >>= @splat(1);
    }
    const minus: V = @splat(-1);
    const alternating = pick(V, odd, minus, one(V));
    const inverse = pick(V, a == one(V), one(V), pick(V, a == minus, alternating, zero(V)));
    return pick(V, b < zero(V), inverse, r);
}

pub inline fn fmax(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @max(a, b);
    return pick(V, (a > b) | (b != b), a, b);
}
pub inline fn fmin(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @min(a, b);
    return pick(V, (a < b) | (b != b), a, b);
}
/// Of float16 or bfloat16, as bits.
pub inline fn copysign16(comptime V: type, a: V, s: V) V {
    const sign: V = @splat(0x8000);
    return (a & ~sign) | (s & sign);
}
pub inline fn copysign(comptime V: type, a: V, b: V) V {
    const B = Bits(V);
    const s = signBit(V);
    return @bitCast((@as(B, @bitCast(a)) & ~s) | (@as(B, @bitCast(b)) & s));
}
pub inline fn nextafter(comptime V: type, a: V, b: V) V {
    const B = Bits(V);
    const bits: B = @bitCast(a);
    const up: B = bits +% @as(B, @splat(1));
    const down: B = bits -% @as(B, @splat(1));
    const away = (b > a) == (a > zero(V));
    const moved: V = @bitCast(@select(Child(B), away, up, down));
    const tiny: V = @bitCast((@as(B, @bitCast(b)) & signBit(V)) | @as(B, @splat(1)));
    const r = pick(V, a == zero(V), tiny, moved);
    return pick(V, (a != a) | (b != b), a + b, pick(V, a == b, b, r));
}
pub inline fn heaviside(comptime V: type, a: V, b: V) V {
    return pick(V, a == zero(V), b, pick(V, a > zero(V), one(V), zero(V)));
}

// ------------------------------------------------------------------ integers

pub inline fn bitwiseAnd(comptime V: type, a: V, b: V) V {
    return a & b;
}
pub inline fn bitwiseOr(comptime V: type, a: V, b: V) V {
    return a | b;
}
pub inline fn bitwiseXor(comptime V: type, a: V, b: V) V {
    return a ^ b;
}
/// 0 where b is negative or not below the width.
pub inline fn leftShift(comptime V: type, a: V, b: V) V {
    const width = @bitSizeOf(Child(V));
    const far = (b < zero(V)) | (b >= @as(V, @splat(width)));
    const by: V = pick(V, far, zero(V), b);
    return pick(V, far, zero(V), a << @as(Shift(V), @intCast(by)));
}
/// Where b is negative or not below the width, the sign alone is left.
pub inline fn rightShift(comptime V: type, a: V, b: V) V {
    const width = @bitSizeOf(Child(V));
    const far = (b < zero(V)) | (b >= @as(V, @splat(width)));
    const by = pick(V, far, @splat(width - 1), b);
    return a >> @as(Shift(V), @intCast(by));
}
fn Shift(comptime V: type) type {
    return @Vector(@typeInfo(V).vector.len, std.math.Log2Int(Child(V)));
}
pub inline fn gcd(comptime V: type, a: V, b: V) V {
    const T = Child(V);
    var x: [@typeInfo(V).vector.len]T = a;
    const y: @TypeOf(x) = b;
    for (&x, y) |*u, v| u.* = gcdScalar(T, u.*, v);
    return x;
}
fn gcdScalar(comptime T: type, a: T, b: T) T {
    const U = @Int(.unsigned, @bitSizeOf(T));
    var x: U = @abs(a);
    var y: U = @abs(b);
    while (y != 0) {
        const r = x % y;
        x = y;
        y = r;
    }
    return @bitCast(x);
}
pub inline fn lcm(comptime V: type, a: V, b: V) V {
    const g = gcd(V, a, b);
    // The smallest integer's gcd may be itself, negative: unsigned division.
    const B = Bits(V);
    const d: B = @bitCast(pick(V, g == zero(V), one(V), g));
    const m: V = @bitCast(@as(B, @abs(a)) / d);
    const r = m *% b;
    return pick(V, r < zero(V), zero(V) -% r, r);
}

// ------------------------------------------------------------------ comparisons

pub inline fn eq(comptime V: type, a: V, b: V) Bools(V) {
    return a == b;
}
pub inline fn ne(comptime V: type, a: V, b: V) Bools(V) {
    return a != b;
}
pub inline fn lt(comptime V: type, a: V, b: V) Bools(V) {
    return a < b;
}
pub inline fn le(comptime V: type, a: V, b: V) Bools(V) {
    return a <= b;
}
pub inline fn gt(comptime V: type, a: V, b: V) Bools(V) {
    return a > b;
}
pub inline fn ge(comptime V: type, a: V, b: V) Bools(V) {
    return a >= b;
}
pub inline fn logicalAnd(comptime V: type, a: V, b: V) Bools(V) {
    return (a != zero(V)) & (b != zero(V));
}
pub inline fn logicalOr(comptime V: type, a: V, b: V) Bools(V) {
    return (a != zero(V)) | (b != zero(V));
}
pub inline fn logicalXor(comptime V: type, a: V, b: V) Bools(V) {
    return (a != zero(V)) != (b != zero(V));
}

// ------------------------------------------------------------------ with logarithms

/// a log(b); 0 where a is 0, whatever b is but nan.
pub inline fn xlogy(comptime V: type, a: V, b: V) V {
    return pick(V, b != b, b, pick(V, a == zero(V), zero(V), a * math.log(V, b)));
}
pub inline fn xlog1py(comptime V: type, a: V, b: V) V {
    return pick(V, b != b, b, pick(V, a == zero(V), zero(V), a * math.log1p(V, b)));
}
