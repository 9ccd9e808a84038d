//! The circular functions and their inverses.
//!
//! float32 sines to 2^15 are computed in float32 with the fma, beyond (and tangents) in float64,
//! where arguments reduce without tricks and short polynomials do. A whole vector with an
//! argument beyond 2^20 takes the slow way, which is right for every float.
const std = @import("std");
const common = @import("common.zig");
const coefficients = @import("coefficients.zig");
const round = @import("round.zig");
const Bits = common.Bits;
const Bools = common.Bools;
const Pair = common.Pair;
const Wide = common.Wide;
const c = common.c;
const by = common.by;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

/// x = quadrant pi/2 + high + low, |high| <= pi/4; only the quadrant's last two bits count.
fn Reduced(comptime V: type) type {
    return struct { high: V, low: V, quadrant: Bits(V) };
}

const two_over_pi = 0.636619772367581343075535053490057448;

/// For float64. `short`: high alone, good for float32 arguments.
inline fn reduce(comptime V: type, x: V, comptime short: bool) Reduced(V) {
    const piece = coefficients.half_pi_f64;
    const shifted = x * c(V, two_over_pi) + common.magic(V);
    const k = shifted - common.magic(V);
    var r: Reduced(V) = .{ .high = undefined, .low = c(V, 0), .quadrant = common.bits(V, shifted) };
    const first = x - k * c(V, piece[0]); // exact, as k has at most 20 bits and the piece 33
    if (short) {
        r.high = fma(V, k, c(V, -(piece[1] + piece[2])), first);
    } else {
        const a = common.twoSum(V, first, -k * c(V, piece[1]));
        const b = common.twoSum(V, a.high, -k * c(V, piece[2]));
        const last = common.quickTwoSum(V, b.high, (a.low + b.low) - k * c(V, piece[3]));
        r.high = last.high;
        r.low = last.low;
    }
    const far = @abs(x) > c(V, 0x1p20);
    if (common.any(far)) {
        @branchHint(.unlikely);
        reduceFar(V, x, &r);
    }
    return r;
}

/// Replaces the lanes beyond 2^20.
noinline fn reduceFar(comptime V: type, x: V, r: *Reduced(V)) void {
    const n = comptime common.count(V);
    const xs: [n]f64 = x;
    var high: [n]f64 = r.high;
    var low: [n]f64 = r.low;
    var quadrant: [n]u64 = r.quadrant;
    for (xs, 0..) |value, i| {
        if (!(@abs(value) > 0x1p20)) continue;
        const one = reduceScalar(value);
        high[i] = one.high;
        low[i] = one.low;
        quadrant[i] = one.quadrant;
    }
    r.* = .{ .high = high, .low = low, .quadrant = quadrant };
}

const ScalarReduced = struct { high: f64, low: f64, quadrant: u64 };

/// Payne and Hanek: of the bits of 2/pi, only 192 matter to a given exponent. Those before
/// would make multiples of 4, those behind are below 2^-137.
fn reduceScalar(x: f64) ScalarReduced {
    const raw: u64 = @bitCast(x);
    const exponent: i32 = @as(i32, @intCast(raw >> 52 & 0x7ff)) - 1075;
    if (exponent == 0x7ff - 1075) return .{ .high = std.math.nan(f64), .low = 0, .quadrant = 0 };
    const mantissa: u128 = (raw & ((1 << 52) - 1)) | (1 << 52);

    // |x| 2/pi 2^-190, modulo 4 2^-190, in three words.
    const start: u32 = @intCast(exponent - 2 + 64);
    const words = coefficients.two_over_pi;
    var window: [3]u64 = undefined;
    for (&window, start / 64..) |*w, i| {
        const shift: u6 = @intCast(start % 64);
        const two = @as(u128, words[i]) << 64 | words[i + 1];
        w.* = @truncate(two >> @intCast(64 - @as(u7, shift)));
    }
    const low_product = mantissa * window[2];
    const mid_product = mantissa * window[1] + (low_product >> 64);
    const high_word: u64 = @truncate(mantissa * window[0] + (mid_product >> 64));
    const mid_word: u64 = @truncate(mid_product);
    const low_word: u64 = @truncate(low_product);

    // The quadrant is in the top two bits; behind it, 128 bits of its fraction.
    const fraction_high = high_word << 2 | mid_word >> 62;
    const fraction = @as(u128, fraction_high) << 64 | (mid_word << 2 | low_word >> 62);
    const negative = fraction >> 127 == 1; // nearer to the next quadrant
    const quadrant = (high_word >> 62) + @intFromBool(negative);
    var size = if (negative) 0 -% fraction else fraction;
    if (size == 0) return .{ .high = 0, .low = 0, .quadrant = quadrant };
    const zeros = @clz(size);
    size <<= @intCast(zeros);
    const top: u64 = @truncate(size >> 64);
    const unit = std.math.ldexp(@as(f64, 1), -64 - @as(i32, zeros));
    const high = @as(f64, @floatFromInt(top & ~@as(u64, 0x7ff))) * unit;
    const behind: f64 = @floatFromInt(@as(u64, @truncate(size)));
    const low = (@as(f64, @floatFromInt(top & 0x7ff)) + behind * 0x1p-64) * unit;

    const S = @Vector(1, f64);
    const half_pi: Pair(S) = .{ .high = .{1.5707963267948966}, .low = .{6.123233995736766e-17} };
    const angle = common.pairProduct(S, .{ .high = .{high}, .low = .{low} }, half_pi);
    const flip = negative != (x < 0);
    return .{
        .high = if (flip) -angle.high[0] else angle.high[0],
        .low = if (flip) -angle.low[0] else angle.low[0],
        .quadrant = if (x < 0) 0 -% quadrant else quadrant,
    };
}

inline fn sinCore(comptime V: type, high: V, low: V) V {
    const z = high * high;
    const tail = fma(V, z * high, poly(V, z, "sin"), fma(V, c(V, -0.5) * z, low, low));
    return high + tail;
}
inline fn cosCore(comptime V: type, high: V, low: V) V {
    const z = high * high;
    const half = c(V, 0.5) * z;
    const w = c(V, 1) - half;
    const tail = fma(V, z * z, poly(V, z, "cos"), -high * low);
    return w + (((c(V, 1) - w) - half) + tail);
}
inline fn sinShort(comptime V: type, r: V) V {
    const z = r * r;
    return fma(V, z * r, poly(V, z, "sin_short"), r);
}
inline fn cosShort(comptime V: type, r: V) V {
    const z = r * r;
    return fma(V, z * z, poly(V, z, "cos_short"), fma(V, c(V, -0.5), z, c(V, 1)));
}

/// Sine and cosine of high + low.
fn Both(comptime V: type) type {
    return struct { sin: V, cos: V };
}
inline fn cores(comptime V: type, r: Reduced(V), comptime short: bool) Both(V) {
    return .{
        .sin = if (short) sinShort(V, r.high) else sinCore(V, r.high, r.low),
        .cos = if (short) cosShort(V, r.high) else cosCore(V, r.high, r.low),
    };
}
inline fn odd(comptime V: type, quadrant: Bits(V)) Bools(V) {
    return quadrant & @as(Bits(V), @splat(1)) != @as(Bits(V), @splat(0));
}
/// y, or -y in the second half of a turn.
inline fn turned(comptime V: type, y: V, quadrant: Bits(V)) V {
    const half = quadrant & @as(Bits(V), @splat(2));
    return @bitCast(common.bits(V, y) ^ (half << @splat(@bitSizeOf(common.Float(V)) - 2)));
}

inline fn turn(comptime V: type, b: Both(V), quadrant: Bits(V)) Both(V) {
    const swap = odd(V, quadrant);
    return .{
        .sin = turned(V, pick(V, swap, b.cos, b.sin), quadrant),
        .cos = turned(V, pick(V, swap, b.sin, b.cos), quadrant +% @as(Bits(V), @splat(1))),
    };
}

/// Sine and cosine for little more than the price of one.
pub inline fn sincos(comptime V: type, x: V) Both(V) {
    if (comptime !has_near or !common.isSingle(V)) return sincosWide(V, x);
    return .{ .sin = sin(V, x), .cos = cos(V, x) }; // their common part is computed once
}
const has_near = common.has_fma;

/// By float64 for float32.
fn sincosWide(comptime V: type, x: V) Both(V) {
    const W = Wide(V);
    const single = comptime common.isSingle(V);
    const r = reduce(W, @as(W, x), single);
    const t = turn(W, cores(W, r, single), r.quadrant);
    const s: V = @floatCast(t.sin);
    return .{ .sin = pick(V, x == c(V, 0), x, s), .cos = @floatCast(t.cos) };
}

/// Of float32 up to 2^15: with k below 2^15, x - k piece[0] is exact.
inline fn sincosNear(comptime V: type, x: V) Both(V) {
    const piece = coefficients.half_pi_f32;
    const shifted = fma(V, x, c(V, two_over_pi), common.magic(V));
    const k = shifted - common.magic(V);
    var r = x;
    inline for (piece) |p| r = fma(V, k, c(V, -p), r);
    const z = r * r;
    const sine = fma(V, z * r, poly(V, z, "sin"), r);
    const cosine = fma(V, z, fma(V, z, poly(V, z, "cos"), c(V, -0.5)), c(V, 1));
    const t = turn(V, .{ .sin = sine, .cos = cosine }, common.bits(V, shifted));
    return .{ .sin = pick(V, x == c(V, 0), x, t.sin), .cos = t.cos };
}
/// nan at infinity. Right for arguments of any size.
/// Error below 1.45 ulp (float32), 0.74 (float64).
pub inline fn sin(comptime V: type, x: V) V {
    return oneOf(V, x, "sin");
}
/// nan at infinity. Right for arguments of any size.
/// Error below 1.46 ulp (float32), 0.72 (float64).
pub inline fn cos(comptime V: type, x: V) V {
    return oneOf(V, x, "cos");
}
inline fn oneOf(comptime V: type, x: V, comptime which: []const u8) V {
    if (comptime !has_near or !common.isSingle(V)) return @field(sincosWide(V, x), which);
    const near = @field(sincosNear(V, x), which);
    if (common.any(@abs(x) > c(V, near_end))) {
        @branchHint(.unlikely);
        return farLanes(V, x, near, which);
    }
    return near;
}
const near_end = 0x1p15;
noinline fn farLanes(comptime V: type, x: V, near: V, comptime which: []const u8) V {
    const y = @field(sincosWide(V, x), which);
    return pick(V, @abs(x) > c(V, near_end), y, near);
}

/// nan at infinity. Right for arguments of any size.
/// Error below 0.51 ulp (float32), 1.85 (float64).
pub fn tan(comptime V: type, x: V) V {
    const W = Wide(V);
    const single = comptime common.isSingle(V);
    const r = reduce(W, @as(W, x), single);
    const b = cores(W, r, single);
    const swap = odd(W, r.quadrant);
    const y: V = @floatCast(pick(W, swap, -b.cos, b.sin) / pick(W, swap, b.sin, b.cos));
    return pick(V, x == c(V, 0), x, y);
}

/// sin(pi x) and cos(pi x), for float64; exact at multiples of 1/2.
pub fn sincosPi(comptime V: type, x: V) Both(V) {
    const y = x - c(V, 2) * round.trunc(V, x * c(V, 0.5)); // exact
    const shifted = (y + y) + common.magic(V);
    const f = y - c(V, 0.5) * (shifted - common.magic(V)); // exact
    const angle = common.pairProduct(V, .{ .high = f, .low = c(V, 0) }, pairOfPi(V));
    const quadrant = common.bits(V, shifted);
    const r: Reduced(V) = .{ .high = angle.high, .low = angle.low, .quadrant = quadrant };
    const t = turn(V, cores(V, r, false), quadrant);
    return .{ .sin = pick(V, t.sin == c(V, 0), c(V, 0), t.sin), .cos = t.cos };
}

inline fn pairOfPi(comptime V: type) Pair(V) {
    return .{ .high = c(V, 3.141592653589793), .low = c(V, 1.2246467991473532e-16) };
}

/// sin(pi x) / (pi x), 1 at 0.
/// Error below 0.50 ulp (float32), 1.72 (float64).
pub fn sinc(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, sinc);
    const size = @abs(x);
    const sine = sincosPi(V, size).sin;
    const scaled = common.pairProduct(V, .{ .high = size, .low = c(V, 0) }, pairOfPi(V));
    const quotient = sine / scaled.high;
    const y = quotient - quotient * (scaled.low / scaled.high);
    const zero = c(V, 0); // also beyond 2^52, where pi x may overflow
    return pick(V, size < c(V, 0x1p-30), c(V, 1), pick(V, sine == zero, zero, y));
}

// --- Inverse functions ------------------------------------------------------------------

/// pi/4 cut so that its multiples to 4 are exact, and the rest.
inline fn quarterPi(comptime V: type) [2]V {
    const value = 0.785398163397448309615660845819875721;
    return comptime common.split(V, value, if (common.isSingle(V)) 22 else 51);
}

/// |atan2(y, x)| for y, x >= 0 and where the sign of x is `backwards`.
inline fn quadrantAngle(comptime V: type, y: V, x: V, backwards: Bools(V)) V {
    const zero = c(V, 0);
    const steep = y > x;
    const large = pick(V, steep, y, x);
    const small = pick(V, steep, x, y);
    // Beyond tan(pi/8), the angle to the diagonal.
    const diagonal = small > large * c(V, 0.41421356237309504880);
    // Sums and products stay finite, also without fma.
    const huge = large > by(V, 0x1p110, 0x1p990);
    const down = pick(V, huge, by(V, 0x1p-16, 0x1p-40), c(V, 1));
    const a = small * down;
    const b = large * down;
    const difference = common.quickTwoSum(V, -b, a);
    const sum = common.quickTwoSum(V, b, a);
    const numerator = pick(V, diagonal, difference.high, a);
    const denominator = pick(V, diagonal, sum.high, b);
    const quotient = numerator / denominator;
    const t = pick(V, denominator == zero, zero, quotient);
    // What rounding took from the quotient.
    const product = common.twoProduct(V, t, denominator);
    const rest = (numerator - product.high) - product.low;
    const lost = (rest + fma(V, -t, sum.low, difference.low)) / denominator;
    const t_low = pick(V, diagonal, lost, zero);
    const z = t * t;
    const arc = t + fma(V, t * z, poly(V, z, "atan"), t_low);
    // base in quarters of pi; each reflection turns the sign of the rest.
    const quarter = quarterPi(V);
    var base = pick(V, diagonal, c(V, 1), zero);
    base = pick(V, steep, c(V, 2) - base, base);
    base = pick(V, backwards, c(V, 4) - base, base);
    const turned_arc = pick(V, steep != backwards, -arc, arc);
    return fma(V, base, quarter[0], fma(V, base, quarter[1], turned_arc));
}

/// The angle of the point (x, y), with C99's signs at zeros and infinities.
/// Error below 1.48 ulp (float32), 1.15 (float64).
pub fn atan2(comptime V: type, y: V, x: V) V {
    const a = @abs(y);
    const b = @abs(x);
    const infinite = common.both(a == common.inf(V), b == common.inf(V));
    const one = c(V, 1);
    const height = pick(V, infinite, one, a);
    const width = pick(V, infinite, one, b);
    const size = quadrantAngle(V, height, width, common.isNegative(V, x));
    const ordered = common.both(a == a, b == b);
    return pick(V, ordered, common.copysign(V, size, y), a + b);
}

/// Error below 1.06 ulp (float32), 1.17 (float64).
pub fn atan(comptime V: type, x: V) V {
    const y = common.copysign(V, quadrantAngle(V, @abs(x), c(V, 1), @splat(false)), x);
    return pick(V, x == x, y, x);
}

/// For |x| >= 1/2: asin(sqrt((1 - |x|) / 2)) = acos(|x|) / 2, in two parts.
inline fn halfAcos(comptime V: type, size: V) Pair(V) {
    const z = (c(V, 1) - size) * c(V, 0.5);
    const root = common.twoSqrt(V, z);
    const tail = fma(V, root.high * z, poly(V, z, "asin"), root.low);
    return .{ .high = root.high, .low = tail };
}

/// nan beyond 1.
/// Error below 0.61 ulp (float32), 0.58 (float64).
pub fn asin(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const small = fma(V, size * z, poly(V, z, "asin"), size);
    const quarter = quarterPi(V);
    const h = halfAcos(V, size);
    // pi/2 - 2 h, the difference of the leading parts kept exact
    const s = common.quickTwoSum(V, quarter[0] + quarter[0], c(V, -2) * h.high);
    const large = s.high + (s.low + c(V, 2) * (quarter[1] - h.low));
    return common.copysign(V, pick(V, size < c(V, 0.5), small, large), x);
}

/// nan beyond 1.
/// Error below 0.59 ulp (float32), 0.55 (float64).
pub fn acos(comptime V: type, x: V) V {
    const size = @abs(x);
    const zero = c(V, 0);
    const quarter = quarterPi(V);
    const z = x * x;
    const arc = fma(V, x * z, poly(V, z, "asin"), quarter[1] * c(V, -2));
    const s = common.quickTwoSum(V, quarter[0] + quarter[0], -x);
    const middle = s.high + (s.low - arc);
    const h = halfAcos(V, size);
    const forwards = c(V, 2) * (h.high + h.low);
    const t = common.quickTwoSum(V, quarter[0] * c(V, 4), c(V, -2) * h.high);
    const backwards = t.high + (t.low + fma(V, c(V, 4), quarter[1], c(V, -2) * h.low));
    return pick(V, size < c(V, 0.5), middle, pick(V, x < zero, backwards, forwards));
}
