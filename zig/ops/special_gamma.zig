//! The Hurwitz zeta function, polygamma and the incomplete gamma functions. What iterates does so
//! until no lane needs it; a lane that is done does not change any more.
const std = @import("std");
const common = @import("special_common.zig");
const tables = @import("special_tables.zig");
const math = @import("../math.zig");
const math_common = @import("../math/common.zig");
const Mask = common.Mask;
const V = common.V;
const any = common.any;
const c = common.c;
const either = common.either;
const exp = common.exp;
const finite = common.finite;
const inf = common.inf;
const log = common.log;
const nan = common.nan;
const one = common.one;
const pick = common.pick;
const splat = common.splat;
const zero = common.zero;

/// What terms are left out, as a part of the sum: of float64 results and of float32 ones.
const epsilon = 0x1p-53;
const single_epsilon = 0x1p-31;

// ------------------------------------------------------------------ zeta

/// The sum over k >= 0 of (k + q)^-x: terms up to k + q > 9, then the remainder by Euler and
/// Maclaurin (DLMF 25.11.5).
pub fn zeta(comptime single: bool, x: V, q: V) V {
    return zetaWithin(x, q, if (single) single_epsilon else epsilon);
}
/// Those that take terms, mostly.
pub fn zetaKind(x: V, q: V) common.Kinds {
    return @intFromBool((x >= one) & (q > zero) & finite(q));
}
noinline fn zetaWithin(x: V, q: V, tolerance: f64) V {
    const whole = q == math.floor(V, q);
    const below = (q <= zero) & (x > one);
    const undefined_ = (x < one) | (below & !whole & (x != math.floor(V, x)));
    // Where the value is known it takes no terms.
    const regular = finite(q) & !(whole & (q <= zero)) & !undefined_;
    var a = pick(regular | (q != q), q, one);
    var b = inversePower(a, x, tolerance);
    var total = b;
    var terms: usize = 0;
    while (true) : (terms += 1) {
        const more = if (terms < 9) regular else (a <= c(9)) & regular;
        if (!any(more)) break;
        a = pick(more, a + one, a);
        b = pick(more, inversePower(a, x, tolerance), b);
        total = pick(more, total + b, total);
    }
    total += pick(b == zero, zero, b * a / (x - one) - b * c(0.5));
    var factor = one;
    var k = zero;
    const inverse = one / a;
    for (tables.euler_maclaurin) |bernoulli| {
        factor *= x + k;
        b *= inverse;
        total += pick(b == zero, zero, factor * b * splat(bernoulli));
        factor *= x + (k + one);
        b *= inverse;
        k += c(2);
    }
    var y = pick(x == one, inf, pick(undefined_, nan, total));
    y = pick((q == inf) & (x > one), zero, y);
    return pick(below & whole, inf, y);
}

/// a^-x; for small whole x by products, in two parts.
noinline fn inversePower(a: V, x: V, tolerance: f64) V {
    const whole = (x == math.floor(V, x)) & (x >= one) & (x <= c(16));
    if (!any(whole)) return power(a, -x, tolerance);
    var high = a;
    var low = zero;
    var k: f64 = 1;
    while (true) : (k += 1) {
        const more = whole & (x > splat(k));
        if (!any(more)) break;
        const p = math_common.twoProduct(V, high, a);
        low = pick(more, common.fma(low, a, p.low), low);
        high = pick(more, p.high, high);
    }
    const y = one / pick(finite(low), high + low, high);
    return if (common.all(whole)) y else pick(whole, y, power(a, -x, tolerance));
}
/// Where the tolerance allows, the logarithm is one number, not two.
fn power(a: V, y: V, tolerance: f64) V {
    const quick = (a > zero) & (@abs(y) < c(128));
    if (tolerance == epsilon or !common.all(quick)) {
        const exact = common.pow(a, y);
        return if (tolerance == epsilon) exact else pick(quick, exp(y * log(a)), exact);
    }
    return exp(y * log(a));
}

// ------------------------------------------------------------------ incomplete gamma functions

const lanczos_g = 6.024680040776729583740234375;
const most_steps = 20_000;

/// x^a e^-x / Gamma(a) (Maddock et al., Incomplete Gamma Functions, equation 15).
noinline fn prefactor(a: V, x: V) V {
    const shifted = a + c(lanczos_g - 0.5);
    const p = common.two(pick(a > c(1e20), c(1e20), a), tables.lanczos);
    const near = @abs(a - x) <= c(0.4) * @abs(a);
    var exponent: V = undefined;
    if (any(near)) {
        const r = (x - shifted) / shifted;
        exponent = a * (common.log1p(r) - r) + x * c(0.5 - lanczos_g) / shifted;
    }
    if (!common.all(near)) {
        const away = a * log(x / shifted) + (a - x);
        exponent = pick(near, exponent, away);
    }
    return exp(exponent) * @sqrt(shifted * c(1.0 / std.math.e)) * p[1] / p[0];
}

/// The lower function by its power series (DLMF 8.11.4), where `wanted`: four terms at a time,
///   t (x / r1 + x^2 / (r1 r2) + x^3 / (r1 r2 r3) + x^4 / (r1 r2 r3 r4)), r_k = r + k.
/// To be multiplied by `prefactor`.
noinline fn lowerSeries(a: V, x: V, wanted: Mask, tolerance: f64) V {
    const square = x * x;
    var r = a;
    var term = one;
    var total = one;
    var active = wanted;
    var step: usize = 0;
    while (any(active) and step < most_steps) : (step += 4) {
        const r2 = r + c(2);
        const r4 = r + c(4);
        const late = (r + c(3)) * r4;
        const by = term * (x / ((r + one) * r2 * late));
        const sum = by * (late * (r2 + x) + square * (r4 + x));
        term = by * (square * x);
        total = pick(active, total + sum, total);
        r = r4;
        active = active & (term > splat(tolerance) * total);
    }
    return total / a;
}

/// The upper function for small x without cancellation (DLMF 8.7.3), where `wanted`.
noinline fn upperSeries(given: V, x: V, wanted: Mask, tolerance: f64) V {
    const a = pick(wanted, given, one);
    var factor = one;
    var total = zero;
    var active = wanted;
    var n: usize = 1;
    while (any(active) and n < most_steps) : (n += 1) {
        const k: f64 = @floatFromInt(n);
        factor *= x * splat(-1 / k);
        const term = factor / (a + splat(k));
        total = pick(active, total + term, total);
        active = active & (@abs(term) > splat(tolerance) * @abs(total));
    }
    const rest = common.expm1(a * log(x) - lgammaAfterOne(a));
    return -rest - a * (one + rest) * total;
}

/// lgamma(1 + a) for 0 < a < 1.5: the middle of math.lgamma.
inline fn lgammaAfterOne(a: V) V {
    const low = a < c(0.25);
    const d = pick(low, a, a - one); // from 2 + a or from 1 + a
    return d * math_common.poly(V, d, "lgamma") - pick(low, common.log1p(a), zero);
}

/// The upper function by its continued fraction (DLMF 8.9.2), where `wanted`; x > 1. Both of its
/// parts are divided by x once a step, so that they do not overflow. To be multiplied by `prefactor`.
noinline fn upperFraction(a: V, x: V, wanted: Mask, tolerance: f64) V {
    const inverse = one / x;
    var y = one - a;
    var z = x - a + c(2);
    var p2 = one;
    var q2 = x;
    var p1 = (x + one) * inverse;
    var q1 = z;
    var answer = p1 / q1;
    var active = wanted;
    var step: usize = 1;
    while (any(active) and step < most_steps) : (step += 1) {
        y += one;
        z += c(2);
        const late = z * inverse;
        const early = y * splat(@floatFromInt(step)) * (inverse * inverse);
        const p = common.fma(p1, late, -(p2 * early));
        const q = common.fma(q1, late, -(q2 * early));
        p2 = p1;
        q2 = q1;
        p1 = p;
        q1 = q;
        if (step % 4 != 0) continue;
        const value = pick(q != zero, p / q, answer);
        const settled = @abs(answer - value) <= c(4) * splat(tolerance) * @abs(value);
        answer = pick(active, value, answer);
        active = active & !settled;
        const scale = pick(@abs(p) > c(0x1p52), c(0x1p-52), one);
        p2 *= scale;
        q2 *= scale;
        p1 *= scale;
        q1 *= scale;
    }
    return answer;
}

/// Those outside, and those of a series or fraction of their own, nearly.
pub fn incompleteKind(a: V, x: V) common.Kinds {
    const inside = (a > zero) & (x > zero) & finite(a) & finite(x);
    const over = x > c(1.1);
    const lower = pick(over, x, x * c(0.95) + c(0.1)) < a;
    const kind = @as(common.Kinds, @splat(3)) - @intFromBool(over);
    return @select(u8, lower, @as(common.Kinds, @splat(1)), kind) * @intFromBool(inside);
}

/// The regularised incomplete gamma functions: the smaller of the two by a series or fraction of
/// its own.
noinline fn incomplete(given_a: V, given_x: V, upper: bool, tolerance: f64) V {
    const inside = (given_a > zero) & (given_x > zero) & finite(given_a) & finite(given_x);
    const a = pick(inside, given_a, one);
    const x = pick(inside, given_x, one);
    const over = x > c(1.1);
    const small = pick(x <= c(0.5), c(-0.4 / @log(2.0)) / roughLog2(x), x * c(1.1));
    const lower = inside & ((over & (x < a)) | (!over & (small < a)));
    const fraction = inside & !lower & over;
    const rest = inside & !lower & !over;
    var value = zero;
    const front = if (any(lower | fraction)) prefactor(a, x) else one;
    if (any(lower)) value = lowerSeries(a, x, lower, tolerance) * front;
    if (upper) value = one - value;
    if (any(fraction)) value = pick(fraction, ofUpper(upperFraction(a, x, fraction, tolerance) * front, upper), value);
    if (any(rest)) value = pick(rest, ofUpper(upperSeries(a, x, rest, tolerance), upper), value);
    // Of a beyond 1e12 the sums are cut, and the prefactor is as good as nothing.
    value = pick(value < zero, zero, pick(value > one, one, value));
    return if (common.all(inside)) value else atEnds(given_a, given_x, value, inside, upper);
}
/// Within 0.09: enough for a choice.
inline fn roughLog2(x: V) V {
    const words: math_common.Ints(V) = @bitCast(math_common.bits(V, x) >> @splat(32));
    return common.fma(math_common.floatFromInt(V, words), c(0x1p-20), c(-1023));
}
inline fn ofUpper(y: V, upper: bool) V {
    return if (upper) y else one - y;
}
/// Where an argument is 0, infinite, or wrong.
noinline fn atEnds(a: V, x: V, inner: V, inside: Mask, upper: bool) V {
    const at_zero = if (upper) one else zero;
    const at_end = one - at_zero;
    const positive = (a >= zero) & (x >= zero);
    const end = positive & (((x == inf) & (a < inf)) | ((a == zero) & (x > zero)));
    const start = positive & (((a == inf) & (x < inf)) | ((x == zero) & (a > zero)));
    return pick(inside, inner, pick(end, at_end, pick(start, at_zero, nan)));
}

pub fn lowerIncomplete(comptime single: bool, a: V, x: V) V {
    return incomplete(a, x, false, if (single) single_epsilon else epsilon);
}
pub fn upperIncomplete(comptime single: bool, a: V, x: V) V {
    return incomplete(a, x, true, if (single) single_epsilon else epsilon);
}
