//! Special functions of the normal distribution.
const std = @import("std");
const common = @import("special_common.zig");
const tables = @import("special_tables.zig");
const math_common = @import("../math/common.zig");
const V = common.V;
const any = common.any;
const c = common.c;
const either = common.either;
const fma = common.fma;
const inf = common.inf;
const log = common.log;
const nan = common.nan;
const one = common.one;
const pick = common.pick;
const ratio = common.ratio;
const zero = common.zero;

const root_half = 0.707106781186547524400844362104849039;

/// exp(x^2) erfc(x), for x <= 0 as 2 exp(x^2) - erfcx(-x).
pub noinline fn erfcx(x: V) V {
    const size = @abs(x);
    const y = either(size <= c(25), size, erfcxNear, erfcxFar);
    const negative = x < zero;
    if (!common.any(negative)) return y;
    return pick(negative, c(2) * common.expSquare(x, 1) - y, y);
}
fn erfcxNear(x: V) V {
    const q = (x - c(3.75)) / (x + c(3.75));
    return math_common.poly(V, q, "erfcx") / fma(c(2), x, one);
}
/// The asymptotic series (DLMF 7.12.1).
fn erfcxFar(x: V) V {
    const w = c(0.5) / (x * x);
    var y = fma(w, c(-945), c(105));
    inline for (.{ -15, 3, -1, 1 }) |a| y = fma(w, y, c(a));
    return y / (x * c(1.77245385090551602729816748334114518));
}

/// log(ndtr(x)), exact in both tails.
pub fn logNdtr(x: V) V {
    const scaled = erfcx(@abs(x) * c(root_half)) * c(0.5); // ndtr(-|x|) exp(x^2 / 2)
    const left = x < zero;
    var y: V = undefined;
    if (any(left)) y = log(scaled) - x * x * c(0.5);
    if (!common.all(left)) y = pick(left, y, common.log1p(-scaled * common.expSquare(x, -0.5)));
    return y;
}

/// The inverse of ndtr (Wichura's AS 241): rational approximations of the middle and of the two
/// tails. nan outside of [0, 1].
pub fn ndtri(p: V) V {
    const q = p - c(0.5);
    const y = either(@abs(q) <= c(0.425), p, ndtriMiddle, ndtriTail);
    const inside = pick((p < zero) | (p > one), nan, y);
    return pick(p == zero, -inf, pick(p == one, inf, inside));
}
fn ndtriMiddle(p: V) V {
    const q = p - c(0.5);
    return q * ratio(c(0.180625) - q * q, tables.ndtri_middle);
}
fn ndtriTail(p: V) V {
    const upper = p > c(0.5);
    const r = @sqrt(-log(pick(upper, one - p, p)));
    const y = either(r <= c(5), r, ndtriNear, ndtriFar);
    return pick(upper, y, -y);
}
fn ndtriNear(r: V) V {
    return ratio(r - c(1.6), tables.ndtri_near);
}
fn ndtriFar(r: V) V {
    return ratio(r - c(5), tables.ndtri_far);
}
