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

/// Error below 1.18 ulp (float32), 1.04 (float64).
pub fn erf(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const small = fma(V, size, poly(V, z, "erf_small"), size);
    const top = by(V, 4, 6); // erf rounds to 1
    const t = pick(V, size > top, top, size);
    const e = exponential.expParts(V, t * poly(V, t, "erf_large"), .quick);
    const large = fma(V, -e.p, common.powerOfTwo(V, e.k), c(V, 1));
    return common.copysign(V, pick(V, size < c(V, 1), small, large), x);
}

/// What `tail` is told of its polynomial: of (1 + slope t) tail(t) in (t - center) / (t + center).
const Tail = struct {
    table: []const u8,
    slope: comptime_float,
    center: [2]comptime_float,
    /// Beyond, exp(-square) underflows.
    end: [2]comptime_float,

    const erfc: Tail = .{
        .table = "erfcx",
        .slope = 2,
        .center = .{ 3, 3.75 },
        .end = .{ 10.5, 28 },
    };
    const ndtr: Tail = .{
        .table = "ndtr",
        .slope = 1,
        .center = .{ 4.25, 5.25 },
        .end = .{ 15, 39.5 },
    };
};

/// factor exp(-square) P / (1 + slope a) for a >= 0.
inline fn tail(comptime V: type, comptime of: Tail, a: V, square: Pair(V), factor: V) V {
    const one = c(V, 1);
    const center = by(V, of.center[0], of.center[1]);
    const end = by(V, of.end[0], of.end[1]);
    const t = pick(V, a > end, end, a);
    // P(q) / (1 + slope t), numerator and denominator in two parts, the quotient's rest kept
    const q = (t - center) / (t + center);
    const table = common.coefficients(V, of.table);
    const n = common.quickTwoSum(V, @splat(table[0]), q * common.polyFrom(V, q, of.table, 1));
    const d = common.twoSum(V, one, t * c(V, of.slope));
    const inverse = one / d.high;
    const ratio = n.high * inverse;
    const product = common.twoProduct(V, ratio, d.high);
    const rest = ((n.high - product.high) - product.low) + fma(V, -ratio, d.low, n.low);
    const top = by(V, 120, 800);
    const far = square.high > top;
    const e = exponential.expPair(V, .{
        .high = -pick(V, far, top, square.high),
        .low = pick(V, far, c(V, 0), -square.low),
    });
    const p = common.quickTwoSum(V, e.p.high, e.p.low);
    const y = fma(V, p.high, ratio, fma(V, p.high, rest * inverse, p.low * ratio));
    return common.scale(V, factor * y, e.k);
}

/// 1 - erf(x), accurate in the upper tail.
/// Error below 1.76 ulp (float32), 1.82 (float64).
pub fn erfc(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const small = c(V, 1) - fma(V, x, poly(V, z, "erf_small"), x);
    const large = tail(V, .erfc, size, common.twoSquare(V, size), c(V, 1));
    const outer = pick(V, x < c(V, 0), c(V, 2) - large, large);
    return pick(V, size < c(V, 0.5), small, outer);
}

/// The normal distribution function: (1 + erf(x / sqrt 2)) / 2, accurate in the lower tail.
/// Error below 1.10 ulp (float32), 1.20 (float64).
pub fn ndtr(comptime V: type, x: V) V {
    const large = upperTail(V, @abs(x), c(V, 1));
    const outer = pick(V, x > c(V, 0), c(V, 1) - large, large);
    return pick(V, @abs(x) < c(V, 0.5), ndtrMiddle(V, x), outer);
}

inline fn ndtrMiddle(comptime V: type, x: V) V {
    const a = x * c(V, sqrt_half);
    const half = c(V, 0.5) * a;
    return fma(V, half, poly(V, a * a, "erf_small"), half) + c(V, 0.5);
}

/// factor ndtr(-size), for size >= 0.
inline fn upperTail(comptime V: type, size: V, factor: V) V {
    const half = c(V, 0.5);
    const square = common.twoSquare(V, size);
    const halved: Pair(V) = .{ .high = square.high * half, .low = square.low * half };
    return tail(V, .ndtr, size, halved, factor);
}

/// x ndtr(x); -0 at -infinity.
/// Error below 4.7 ulp (float32), 5.3 (float64); above -1 3.3 ulp, above 1 1.2.
pub fn gelu(comptime V: type, x: V) V {
    if (comptime !common.has_fma) return geluTwice(V, x);
    const size = @abs(x);
    const end = by(V, tail_end[0], tail_end[1]);
    const a = pick(V, size > end, end, size);
    const t = tailParts(V, a);
    const lost = a * t.density * t.ratio; // |x| ndtr(-|x|); in this order, only it may be subnormal
    return pick(V, c(V, -0.0) > x, c(V, -0.0), x) - lost;
}

/// The same with numbers in two parts, where an fma rounds twice.
fn geluTwice(comptime V: type, x: V) V {
    if (comptime common.isSingle(V)) return common.wide1(V, x, geluTwice);
    const size = @abs(x);
    const end = c(V, 40);
    const lost = upperTail(V, size, pick(V, size > end, end, size));
    const outer = pick(V, x > c(V, 0), x - lost, -lost);
    return pick(V, size < c(V, 0.5), x * ndtrMiddle(V, x), outer);
}

const tail_end = [2]comptime_float{ 14.8, 39 }; // below -14.8, x ndtr(x) rounds to 0,
const head_end = [2]comptime_float{ 6.2, 9 }; // and beyond 6.2 to x: with no subnormal numbers on the way

/// The density's exponent is raised by this, and the ratio's (in its coefficients) lowered, so that
/// their product may be subnormal.
inline fn raise(comptime V: type) comptime_int {
    return if (common.isSingle(V)) 40 else 80;
}

/// p 2^k for a p about 1, if that is a normal number, from a float with k in its lowest bits.
inline fn timesPower(comptime V: type, p: V, shifted: V) V {
    return @bitCast(common.bits(V, p) +% common.bits(V, common.shiftedPower(V, shifted)));
}

/// exp(-a^2 / 2), raised, and ndtr(-a) over exp(-a^2 / 2), lowered, for 0 <= a <= tail_end. The
/// first has the exponent's factor rounded, and the second makes up for it.
inline fn tailParts(comptime V: type, a: V) struct { density: V, ratio: V } {
    const per_square = -0.5 * 1.44269504088896340735992468100189214; // -log2(e) / 2
    const square = a * a;
    const rest = fma(V, a, a, -square);
    const magic = common.magic(V) + c(V, raise(V));
    const shifted = fma(V, square, c(V, per_square), magic);
    const k = shifted - magic;
    const r = fma(V, rest, c(V, per_square), fma(V, square, c(V, per_square), -k));
    const ln2 = 0.693147180559945309417232121458176568;
    const p = fma(V, r, fma(V, r, poly(V, r, "exp2_tail"), c(V, ln2)), c(V, 1));
    return .{
        .density = timesPower(V, p, shifted),
        .ratio = splitPoly(V, a, square, "gelu_over") / splitPoly(V, a, square, "gelu_under"),
    };
}

/// The polynomial's even and odd powers one by one: each step's rounding goes into the next one, and
/// that of the square, which is the same in two of these, leaves their ratio almost as it is.
inline fn splitPoly(comptime V: type, x: V, square: V, comptime name: []const u8) V {
    const table = comptime common.coefficients(V, name);
    var sums: [2]V = .{ @splat(table[table.len - 2]), @splat(table[table.len - 1]) }; // even or odd, the other
    comptime var i = table.len - 2;
    inline while (i > 0) {
        i -= 1;
        const sum = &sums[(table.len - 1 - i) % 2 ^ 1];
        sum.* = fma(V, sum.*, square, @splat(table[i]));
    }
    const even = (table.len - 1) % 2 ^ 1;
    return fma(V, x, sums[1 - even], sums[even]);
}

inline fn betweenEnds(comptime V: type, x: V) V {
    const low = by(V, -tail_end[0], -tail_end[1]);
    const high = by(V, head_end[0], head_end[1]);
    const y = pick(V, x < low, low, x);
    return pick(V, y > high, high, y);
}

/// gelu for results that are rounded to bfloat16: error below 2^-11 of the result.
pub inline fn geluHalf(comptime V: type, x: V) V {
    if (comptime !common.has_fma) return gelu(V, x);
    const size = @abs(x);
    const a = pick(V, size > c(V, tail_end[0]), c(V, tail_end[0]), size);
    const exponent = poly(V, a, "gelu_half"); // ndtr(-a) = 2^exponent
    const magic = common.magic(V) + c(V, raise(V));
    const shifted = exponent + magic;
    const p = poly(V, exponent - (shifted - magic), "exp2_half");
    const lost = a * timesPower(V, p, shifted);
    return fma(V, lost, c(V, -0x1p-40), pick(V, c(V, -0.0) > x, c(V, -0.0), x));
}

/// The derivative of gelu: ndtr(x) + x exp(-x^2 / 2) / sqrt(2 pi).
pub fn geluSlope(comptime V: type, x: V) V {
    const at_zero = 0.39894228040143267794; // 1 / sqrt(2 pi)
    if (comptime !common.has_fma) {
        if (comptime common.isSingle(V)) return common.wide1(V, x, geluSlope);
        const density = exponential.exp(V, x * x * c(V, -0.5)) * c(V, at_zero);
        return ndtr(V, x) + x * density;
    }
    const a = @abs(betweenEnds(V, x));
    const t = tailParts(V, a);
    const lower = t.density * fma(V, a, by(V, -at_zero * 0x1p-40, -at_zero * 0x1p-80), t.ratio);
    return pick(V, x > c(V, 0), c(V, 1) - lower, lower);
}

/// x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3); -0 at -infinity.
/// Error below 2.35 ulp (float32), 1.46 (float64) from -1 up; in the lower tail, where it is
/// rounding of u that counts, 2|u| ulp more.
pub fn geluTanh(comptime V: type, x: V) V {
    const twice = c(V, 1.59576912160573071175978423973752747); // 2 sqrt(2 / pi)
    const y = pick(V, x < c(V, -40), c(V, -40), x); // below, the result is -0
    const inner = fma(V, c(V, 0.044715) * y * y, y, y);
    return y * exponential.sigmoid(V, twice * inner);
}

/// nan beyond 1, infinite at 1.
/// Error below 1.63 ulp (float32), 2.09 (float64).
pub fn erfinv(comptime V: type, x: V) V {
    const size = @abs(x);
    const z = size * size;
    const square = -logarithm.log(V, c(V, 1) - size);
    const w = @sqrt(square);
    const t = (w - c(V, 2)) / (w + c(V, 2));
    var y = if (comptime common.isSingle(V)) blk: { // the first term comes last, with what rounding took from w
        const at_0 = 0.886226925452758013649083741670572591; // sqrt(pi) / 2
        const rest = fma(V, z, poly(V, z, "erfinv_small_tail"), common.lowOf(V, at_0));
        const small = fma(V, size, c(V, at_0), size * rest);
        const at_2 = 0.8340941580292482493433563; // erfinv(1 - exp(-4)) / 2
        const lost = fma(V, -w, w, square) / (w + w);
        const ratio = fma(V, t, poly(V, t, "erfinv_large_tail"), common.lowOf(V, at_2));
        const large = fma(V, w, c(V, at_2), fma(V, w, ratio, lost * (c(V, at_2) + ratio)));
        break :blk pick(V, z < c(V, 0.5), small, large);
    } else pick(V, z < c(V, 0.5), size * poly(V, z, "erfinv_small"), w * poly(V, t, "erfinv_large"));
    y = pick(V, size == c(V, 1), common.inf(V), y);
    return common.copysign(V, pick(V, size > c(V, 1), common.nan(V), y), x);
}
