//! What the functions of math.zig are made of: polynomials, exponents, sums in two parts.
const std = @import("std");
const simd = @import("../simd.zig");
const tables = @import("coefficients.zig");

pub const fma = simd.fma;
pub const has_fma = simd.has_fma;
pub const pick = simd.pick;

/// The element type of the vector `V`.
pub fn Float(comptime V: type) type {
    return @typeInfo(V).vector.child;
}
pub fn Bits(comptime V: type) type {
    return @Vector(count(V), @Int(.unsigned, @bitSizeOf(Float(V))));
}
pub fn Ints(comptime V: type) type {
    return @Vector(count(V), @Int(.signed, @bitSizeOf(Float(V))));
}
pub fn Bools(comptime V: type) type {
    return @Vector(count(V), bool);
}
/// As many float64 as `V` has lanes: what float32 functions that need no speed compute in.
pub fn Wide(comptime V: type) type {
    return @Vector(count(V), f64);
}
pub fn count(comptime V: type) comptime_int {
    return @typeInfo(V).vector.len;
}
pub fn isSingle(comptime V: type) bool {
    return Float(V) == f32;
}
pub const mantissaBits = std.math.floatMantissaBits;

pub inline fn c(comptime V: type, comptime x: comptime_float) V {
    return @splat(x);
}
/// One constant for float32, another for float64.
pub inline fn by(comptime V: type, comptime of32: comptime_float, comptime of64: comptime_float) V {
    return @splat(if (isSingle(V)) of32 else of64);
}
pub inline fn inf(comptime V: type) V {
    return @splat(std.math.inf(Float(V)));
}
pub inline fn nan(comptime V: type) V {
    return @splat(std.math.nan(Float(V)));
}
pub inline fn bits(comptime V: type, x: V) Bits(V) {
    return @bitCast(x);
}
pub inline fn signBit(comptime V: type) Bits(V) {
    return @splat(1 << (@bitSizeOf(Float(V)) - 1));
}
/// The size of `x` with the sign of `s`.
pub inline fn copysign(comptime V: type, x: V, s: V) V {
    return @bitCast((bits(V, x) & ~signBit(V)) | (bits(V, s) & signBit(V)));
}
/// -x where `s` is negative or -0.
pub inline fn flipSign(comptime V: type, x: V, s: V) V {
    return @bitCast(bits(V, x) ^ (bits(V, s) & signBit(V)));
}
pub inline fn isNegative(comptime V: type, x: V) Bools(V) {
    return @as(Ints(V), @bitCast(x)) < @as(Ints(V), @splat(0));
}
pub inline fn any(b: anytype) bool {
    return @reduce(.Or, b);
}
pub inline fn both(a: anytype, b: @TypeOf(a)) @TypeOf(a) {
    return a & b;
}

/// The table `name` of coefficients.zig for the type of `V`.
pub inline fn coefficients(comptime V: type, comptime name: []const u8) []const Float(V) {
    return comptime &@field(tables, name ++ (if (isSingle(V)) "_f32" else "_f64"));
}

/// The polynomial with the coefficients `name`, at `x`.
pub inline fn poly(comptime V: type, x: V, comptime name: []const u8) V {
    return polyFrom(V, x, name, 0);
}
/// The same without its first `skip` coefficients.
pub inline fn polyFrom(comptime V: type, x: V, comptime name: []const u8, comptime skip: usize) V {
    @setEvalBranchQuota(100_000);
    const table = comptime coefficients(V, name)[skip..];
    var y: V = @splat(table[table.len - 1]);
    inline for (1..table.len) |i| y = fma(V, y, x, @splat(table[table.len - 1 - i]));
    return y;
}

/// `x` cut to its first `n` significant bits; `split(V, x, n)[1]` is the rest: constants whose
/// products with small integers are exact, with or without fma.
pub fn split(comptime V: type, comptime x: comptime_float, comptime n: comptime_int) [2]V {
    const high = comptime blk: {
        const shift = std.math.ldexp(@as(f128, 1), n - 1 - std.math.ilogb(@as(f128, x)));
        break :blk @trunc(@as(f128, x) * shift) / shift;
    };
    return .{ @splat(high), @splat(@as(Float(V), @floatCast(@as(f128, x) - high))) };
}

/// What the float nearest to `x` leaves of it.
pub fn lowOf(comptime V: type, comptime x: comptime_float) V {
    return @splat(x - @as(comptime_float, @as(Float(V), x)));
}

/// Adding and subtracting this rounds |x| < 2^22 (2^51) to an integer, ties to even, and
/// leaves the integer in the low bits of the sum.
pub inline fn magic(comptime V: type) V {
    return @splat(1.5 * (1 << mantissaBits(Float(V))));
}

/// Float from integer, for |k| < 2^22 (2^51). Below AVX-512 there is no such instruction for i64.
pub inline fn floatFromInt(comptime V: type, k: Ints(V)) V {
    return @as(V, @bitCast(k +% @as(Ints(V), @bitCast(magic(V))))) - magic(V);
}

pub inline fn exponentBias(comptime V: type) comptime_int {
    return (1 << (std.math.floatExponentBits(Float(V)) - 1)) - 1;
}
/// 2^k for the exponents of normal numbers.
pub inline fn powerOfTwo(comptime V: type, k: Ints(V)) V {
    return shiftedPower(V, @bitCast(k +% @as(Ints(V), @splat(exponentBias(V)))));
}
/// The same from a float with k and the bias in its lowest bits.
pub inline fn shiftedPower(comptime V: type, shifted: V) V {
    return @bitCast(bits(V, shifted) << @splat(mantissaBits(Float(V))));
}

/// p 2^k with one rounding, for p about 1 and k to twice the range of normal numbers:
/// overflow and subnormal results come out right.
pub inline fn scale(comptime V: type, p: V, k: Ints(V)) V {
    const half = k >> @splat(1);
    return p * powerOfTwo(V, half) * powerOfTwo(V, k -% half);
}

/// The same for a k that is an integer as a float.
pub inline fn scaleFloat(comptime V: type, p: V, k: V) V {
    if (comptime !simd.has_scale or @sizeOf(V) % simd.vector_bytes != 0) {
        const integer = bits(V, k + magic(V)) -% bits(V, magic(V));
        return scale(V, p, @bitCast(integer));
    }
    const n = comptime count(V);
    const half = comptime @as(usize, n) / 2;
    if (comptime @sizeOf(V) > simd.vector_bytes) {
        const low = scaleFloat(@Vector(half, Float(V)), std.simd.extract(p, 0, half), std.simd.extract(k, 0, half));
        const high = scaleFloat(@Vector(half, Float(V)), std.simd.extract(p, half, half), std.simd.extract(k, half, half));
        return @shuffle(Float(V), low, high, std.simd.join(simd.iota(half, i32), ~simd.iota(half, i32)));
    }
    const name = comptime if (isSingle(V)) "vscalefps" else "vscalefpd";
    return asm (name ++ " %[k], %[p], %[out]"
        : [out] "=v" (-> V),
        : [p] "v" (p),
          [k] "v" (k),
    );
}

// --- Numbers in two parts: high + low, |low| <= ulp(high) / 2 ----------------------------

pub fn Pair(comptime V: type) type {
    return struct { high: V, low: V };
}

/// a + b exactly.
pub inline fn twoSum(comptime V: type, a: V, b: V) Pair(V) {
    const s = a + b;
    const t = s - a;
    return .{ .high = s, .low = (a - (s - t)) + (b - t) };
}
/// a + b exactly, for |a| >= |b| or a = 0.
pub inline fn quickTwoSum(comptime V: type, a: V, b: V) Pair(V) {
    const s = a + b;
    return .{ .high = s, .low = b - (s - a) };
}
/// a b exactly, but for underflow (and, without fma, factors near the largest number).
pub inline fn twoProduct(comptime V: type, a: V, b: V) Pair(V) {
    const p = a * b;
    if (has_fma) return .{ .high = p, .low = fma(V, a, b, -p) };
    const x = halves(V, a); // Dekker's and Veltkamp's way
    const y = halves(V, b);
    const low = ((x.high * y.high - p) + x.high * y.low + x.low * y.high) + x.low * y.low;
    return .{ .high = p, .low = low };
}
inline fn halves(comptime V: type, a: V) Pair(V) {
    const t = a * by(V, 4097, 134217729);
    const high = t - (t - a);
    return .{ .high = high, .low = a - high };
}
/// x^2 exactly.
pub inline fn twoSquare(comptime V: type, x: V) Pair(V) {
    return twoProduct(V, x, x);
}
pub inline fn pairProduct(comptime V: type, a: Pair(V), b: Pair(V)) Pair(V) {
    const p = twoProduct(V, a.high, b.high);
    return quickTwoSum(V, p.high, p.low + fma(V, a.high, b.low, a.low * b.high));
}
/// a + b for |a| >= |b|.
pub inline fn pairSum(comptime V: type, a: Pair(V), b: Pair(V)) Pair(V) {
    const s = twoSum(V, a.high, b.high);
    return quickTwoSum(V, s.high, s.low + (a.low + b.low));
}
/// sqrt(z) and the low part that rounding took from it. 0 for 0.
pub inline fn twoSqrt(comptime V: type, z: V) Pair(V) {
    const s = @sqrt(z);
    const q = twoSquare(V, s);
    const low = ((z - q.high) - q.low) / (s + s);
    return .{ .high = s, .low = pick(V, s > c(V, 0), low, c(V, 0)) };
}

/// The float32 function that is the float64 function `f`, rounded once more.
pub inline fn wide1(comptime V: type, x: V, comptime f: anytype) V {
    return @floatCast(f(Wide(V), @as(Wide(V), x)));
}
pub inline fn wide2(comptime V: type, x: V, y: V, comptime f: anytype) V {
    return @floatCast(f(Wide(V), @as(Wide(V), x), @as(Wide(V), y)));
}
