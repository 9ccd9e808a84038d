//! Special functions of the normal distribution.
const std = @import("std");
const common = @import("special_common.zig");
const tables = @import("special_tables.zig");
const math = @import("../math.zig");
const error_function = @import("../math/erf.zig");
const V = common.V;
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

const root_two_pi = 2.50662827463100050241576528481104525;
const root_half = 0.707106781186547524400844362104849039;

/// exp(x^2) erfc(x), for x <= 0 as 2 exp(x^2) - erfcx(-x).
pub noinline fn erfcx(x: V) V {
    const size = @abs(x);
    const y = either(size <= c(25), size, erfcxNear, erfcxFar);
    const negative = x < zero;
    if (!common.any(negative)) return y;
    return pick(negative, c(2) * error_function.expSquare(V, x) - y, y);
}
fn erfcxNear(x: V) V {
    return error_function.erfcxMiddle(V, x);
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
    return either(x < c(-1), x, logNdtrLeft, logNdtrRight);
}
fn logNdtrLeft(x: V) V {
    return log(erfcx(x * c(-root_half)) * c(0.5)) - x * x * c(0.5);
}
fn logNdtrRight(x: V) V {
    return common.log1p(math.erfc(V, x * c(root_half)) * c(-0.5));
}

/// The inverse of ndtr (Cephes' ndtri): rational approximations of the middle and of the two
/// tails. nan outside of [0, 1].
pub fn ndtri(p: V) V {
    const edge = c(0.13533528323661269189); // e^-2
    const upper = p > one - edge;
    const tail = pick(upper, one - p, p);
    const y = either(tail > edge, tail, ndtriMiddle, ndtriTail);
    const signed = pick((tail > edge) | upper, y, -y);
    const inside = pick((p < zero) | (p > one), nan, signed);
    return pick(p == zero, -inf, pick(p == one, inf, inside));
}
fn ndtriMiddle(y: V) V {
    const m = y - c(0.5);
    const z = m * m;
    return (m + m * (z * ratio(z, tables.ndtri_middle))) * c(root_two_pi);
}
fn ndtriTail(y: V) V {
    const x = @sqrt(c(-2) * log(y));
    return x - log(x) / x - either(x < c(8), one / x, ndtriNear, ndtriFar);
}
fn ndtriNear(z: V) V {
    return z * ratio(z, tables.ndtri_tail);
}
fn ndtriFar(z: V) V {
    return z * ratio(z, tables.ndtri_far);
}
