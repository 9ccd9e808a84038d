//! pow and hypot.
const std = @import("std");
const common = @import("common.zig");
const exponential = @import("exp.zig");
const logarithm = @import("log.zig");
const round = @import("round.zig");
const Pair = common.Pair;
const Wide = common.Wide;
const c = common.c;
const fma = common.fma;
const pick = common.pick;
const poly = common.poly;

const ln2 = 0.693147180559945309417232121458176568;

/// x^y with C99's special cases.
/// Error below 0.95 ulp (float32), 0.62 (float64).
pub fn pow(comptime V: type, x: V, y: V) V {
    const single = comptime common.isSingle(V);
    if (comptime !common.has_fma) return if (single) special(V, x, y, widePower(V, @abs(x), y)) else unusualPower(V, x, y);
    const r = if (single) shortPower(V, x, y, c(V, 0)) else longPower(V, logarithm.decomposeNormal(V, x), y);
    const low = common.bits(V, c(V, if (single) 0x1p-126 else 0x1p-1022));
    const high = common.bits(V, common.inf(V));
    const odd = common.bits(V, x) -% low >= high -% low;
    if (common.any(odd | (common.bits(V, @abs(y)) >= high))) {
        @branchHint(.unlikely);
        return unusualPower(V, x, y);
    }
    return r;
}

/// The same where an x is not a normal number above 0, or a y not finite.
noinline fn unusualPower(comptime V: type, x: V, y: V) V {
    const a = @abs(x);
    if (comptime !common.isSingle(V)) return special(V, x, y, longPower(V, logarithm.decompose(V, a), y));
    const tiny = a < c(V, 0x1p-126);
    const scaled = pick(V, tiny, a * c(V, 0x1p25), a);
    const safe = pick(V, @abs(y) < common.inf(V), y, c(V, 0));
    const up = pick(V, tiny, c(V, -25), c(V, 0));
    return special(V, x, y, shortPower(V, scaled, safe, up));
}

/// (2^up x)^y of float32, for finite x > 0 and y: log2(x) to 2^-33, as the exponent multiplies its
/// error by up to 150.
inline fn shortPower(comptime V: type, x: V, y: V, up: V) V {
    const one = c(V, 1);
    const d = logarithm.decomposeNormal(V, x);
    // s = f / (2 + f) in two parts
    const denominator = common.quickTwoSum(V, c(V, 2), d.f);
    const inverse = one / denominator.high;
    const s = d.f * inverse;
    const rest = fma(V, -s, denominator.low, fma(V, -s, denominator.high, d.f));
    const s_low = rest * inverse;
    // log(1 + f) = 2s (1 + t), t = z (1/3 + z P(z)), z = s^2
    const z = common.twoSquare(V, s);
    const z_low = fma(V, s + s, s_low, z.low);
    const third = c(V, 1.0 / 3.0);
    const factor = common.quickTwoSum(V, third, z.high * poly(V, z.high, "pow_log_short"));
    const factor_low = factor.low + comptime common.lowOf(V, 1.0 / 3.0);
    const t = common.twoProduct(V, z.high, factor.high);
    const t_low = fma(V, z.high, factor_low, fma(V, z_low, factor.high, t.low));
    const product = common.twoProduct(V, s, t.high);
    const product_low = fma(V, s, t_low, fma(V, s_low, t.high, product.low));
    const half = common.quickTwoSum(V, s, product.high);
    const half_low = (half.low + product_low) + s_low;
    // in powers of two, with k
    const per = 2.88539008177792681471984936200378427; // 2 / log(2)
    const log = common.twoProduct(V, half.high, c(V, per));
    const log_low = fma(V, half.high, comptime common.lowOf(V, per), fma(V, half_low, c(V, per), log.low));
    const sum = common.quickTwoSum(V, d.k + up, log.high);
    const sum_low = sum.low + log_low;

    const head = y * sum.high;
    const tail = fma(V, y, sum_low, fma(V, y, sum.high, -head));
    const exponent = limit(V, head, 200);
    const shifted = exponent + common.magic(V);
    const k = shifted - common.magic(V);
    // Of a head beyond the limit, the tail may be anything.
    const r = (exponent - k) + pick(V, @abs(tail) < one, tail, c(V, 0));
    const p = fma(V, r, fma(V, r, poly(V, r, "exp2_tail"), c(V, ln2)), one);
    return common.scaleFloat(V, p, k);
}

/// x^y for finite x > 0, by float64.
inline fn widePower(comptime V: type, x: V, y: V) V {
    const W = Wide(V);
    const d = logarithm.decompose(W, @as(W, x));
    const s = d.f / (c(W, 2) + d.f);
    const z = s * s;
    const tail = fma(W, z * z, poly(W, z, "pow_log_short"), c(W, 2.0 / 3.0) * z);
    const log = fma(W, d.k, c(W, ln2), fma(W, s, tail, s + s));
    const exponent = @as(W, y) * log;
    return @floatCast(exponential.expShort(W, limit(W, exponent, 200)));
}

inline fn limit(comptime V: type, x: V, comptime size: comptime_float) V {
    return pick(V, x > c(V, size), c(V, size), pick(V, x < c(V, -size), c(V, -size), x));
}

/// ((1 + f) 2^k)^y: log(x) to 2^-68, as the exponent multiplies its error by up to 745.
inline fn longPower(comptime V: type, d: logarithm.Decomposed(V), y: V) V {
    const denominator = common.quickTwoSum(V, c(V, 2), d.f);
    const inverse = c(V, 1) / denominator.high;
    const s = d.f * inverse;
    const product = common.twoProduct(V, s, denominator.high);
    const rest = ((d.f - product.high) - product.low) - s * denominator.low;
    const ratio: Pair(V) = .{ .high = s, .low = rest * inverse };
    // log(m) = 2s + 2/3 s^3 + s^5 P(s^2)
    const z = common.pairProduct(V, ratio, ratio);
    const cube = common.pairProduct(V, z, ratio);
    const two_thirds: Pair(V) = .{ .high = c(V, 2.0 / 3.0), .low = common.lowOf(V, 2.0 / 3.0) };
    var third = common.pairProduct(V, cube, two_thirds);
    const fifth = fma(V, cube.high * z.high, poly(V, z.high, "pow_log"), third.low);
    third = common.quickTwoSum(V, third.high, fifth);
    const two = comptime common.split(V, ln2, 32);
    const a = common.twoSum(V, d.k * two[0], s + s);
    const b = common.twoSum(V, a.high, third.high);
    const low = fma(V, d.k, two[1], (a.low + b.low) + fma(V, c(V, 2), ratio.low, third.low));
    const log = common.quickTwoSum(V, b.high, low);

    const head = y * log.high;
    const product_y = common.twoProduct(V, y, log.high);
    const far = @abs(head) > c(V, 1000);
    const tail = pick(V, far, c(V, 0), fma(V, y, log.low, product_y.low));
    const e = exponential.expPairParts(V, .{ .high = limit(V, head, 1000), .low = tail });
    return common.scale(V, e.p, e.k);
}

/// C99's special cases around size = |x|^y.
inline fn special(comptime V: type, x: V, y: V, size: V) V {
    const zero = c(V, 0);
    const one = c(V, 1);
    const infinity = common.inf(V);
    const a = @abs(x);
    const grows = (a > one) == (y > zero);
    // |x| or |y| at its end
    const ends = (a == zero) | (a == infinity) | (@abs(y) == infinity);
    var r = pick(V, ends, pick(V, grows, infinity, zero), size);
    r = pick(V, common.both(a == one, @abs(y) == infinity), one, r);
    // Every float beyond 2^24 (2^53) is even.
    const integer = round.trunc(V, y) == y;
    const half = y * c(V, 0.5);
    const is_odd = common.both(integer, round.trunc(V, half) != half);
    const negative = common.isNegative(V, x);
    r = pick(V, common.both(negative, is_odd), -r, r);
    const undefined_ = common.both(common.both(x < zero, a != infinity), ~integer);
    r = pick(V, undefined_, common.nan(V), r);
    const unordered = x + y;
    r = pick(V, x != x, unordered, r);
    r = pick(V, y != y, unordered, r);
    return pick(V, (x == one) | (y == zero), one, r);
}

/// sqrt(x^2 + y^2) without overflow on the way.
/// Error below 0.50 ulp (float32), 0.80 (float64).
pub fn hypot(comptime V: type, x: V, y: V) V {
    const a = @abs(x);
    const b = @abs(y);
    const infinite = (a == common.inf(V)) | (b == common.inf(V));
    if (comptime common.isSingle(V)) {
        const W = Wide(V);
        const p: W = a;
        const q: W = b;
        return pick(V, infinite, common.inf(V), @as(V, @floatCast(@sqrt(p * p + q * q))));
    }
    // Powers of two that keep the squares in range.
    const large = pick(V, a > b, a, b);
    const up = large < c(V, 0x1p-450);
    const down = large > c(V, 0x1p500);
    const factor = pick(V, up, c(V, 0x1p600), pick(V, down, c(V, 0x1p-600), c(V, 1)));
    const back = pick(V, up, c(V, 0x1p-600), pick(V, down, c(V, 0x1p600), c(V, 1)));
    const p = a * factor;
    const q = b * factor;
    const pp = common.twoSquare(V, p);
    const qq = common.twoSquare(V, q);
    const sum = common.twoSum(V, pp.high, qq.high);
    const root = @sqrt(sum.high + (sum.low + (pp.low + qq.low)));
    return pick(V, infinite, common.inf(V), root * back);
}
