//! Orthogonal polynomials of degree n by their three-term recurrences (DLMF 18.9), 0 for a
//! negative degree.
const std = @import("std");
const common = @import("special_common.zig");
const math = @import("../math.zig");
const V = common.V;
const any = common.any;
const c = common.c;
const fma = common.fma;
const nan = common.nan;
const one = common.one;
const pick = common.pick;
const splat = common.splat;
const zero = common.zero;

pub const Kind = enum { t, u, v, w, hermite, hermite_e, laguerre, legendre };

/// p_(k + 1) = ((2 k + 1) slope + offset) p_k - (c0 + c1 k) p_(k - 1), over k + 1 where `divided`.
const Step = struct {
    // -0.0, which the sign of a zero stays beside
    slope: V = -zero,
    offset: V = -zero,
    c0: f64 = 0,
    c1: f64 = 0,
    divided: bool = false,
};

noinline fn recurrence(n: V, first: V, step: Step) V {
    var before = one;
    var last = first;
    var k: f64 = 1;
    while (any(n > splat(k))) : (k += 1) {
        var next = fma(splat(2 * k + 1), step.slope, step.offset) * last - splat(step.c0 + step.c1 * k) * before;
        if (step.divided) next /= splat(k + 1);
        const more = n > splat(k);
        before = pick(more, last, before);
        last = pick(more, next, last);
    }
    return pick(n < zero, zero, pick(n == zero, one, last));
}

pub noinline fn polynomial(kind: Kind, x: V, degree: V) V {
    // Degrees that are no number, or infinite, are negative integers to PyTorch.
    const n = pick(common.finite(degree), math.trunc(V, degree), c(-1));
    const odd = n - c(2) * math.floor(V, n * c(0.5)) != zero;
    const twice = x + x;
    switch (kind) {
        .t, .u, .v, .w => return chebyshev(kind, x, n, odd),
        .hermite, .hermite_e => {
            const slope = if (kind == .hermite) twice else x;
            const high = n > c(512);
            const y = recurrence(pick(high, zero, n), slope, .{ .offset = slope, .c1 = if (kind == .hermite) 2 else 1 });
            return pick(high, nan, y);
        },
        .laguerre => {
            const y = recurrence(n, one - x, .{ .slope = one, .offset = -x, .c1 = 1, .divided = true });
            return pick((x == zero) & (n >= zero), one, y);
        },
        .legendre => {
            const end = (@abs(x) == one) & (n >= zero);
            const y = recurrence(pick(end, zero, n), x, .{ .slope = x, .c1 = 1, .divided = true });
            return pick(end, pick((x > zero) | !odd, one, -one), y);
        },
    }
}

/// By the recurrence up to a degree, and inside of (-1, 1) by angles beyond.
fn chebyshev(kind: Kind, x: V, n: V, odd: common.Mask) V {
    const by_angle = (n > splat(if (kind == .t) 6 else 8)) & (@abs(x) < one);
    const end = (@abs(x) == one) & (n >= zero);
    const twice = x + x;
    const first = switch (kind) {
        .t => x,
        .u => twice,
        .v => twice - one,
        else => twice + one,
    };
    var y = recurrence(pick(by_angle | end, zero, n), first, .{ .offset = twice, .c0 = 1 });
    if (any(by_angle)) y = pick(by_angle, atAngle(kind, math.acos(V, x), n), y);
    if (!any(end)) return y;
    const ends = pick(odd, -one, one);
    const grown = switch (kind) {
        .t => one,
        .u => n + one,
        else => n + n + one,
    };
    const at_one = if (kind == .v) one else grown;
    const at_minus_one = if (kind == .w) ends else ends * grown;
    return pick(end, pick(x > zero, at_one, at_minus_one), y);
}

noinline fn atAngle(kind: Kind, angle: V, n: V) V {
    const top = common.sincos(angle * (n + splat(switch (kind) {
        .t => 0,
        .u => 1,
        else => 0.5,
    })));
    if (kind == .t) return top.cos;
    const under = common.sincos(if (kind == .u) angle else angle * c(0.5));
    return if (kind == .v) top.cos / under.cos else top.sin / under.sin;
}
