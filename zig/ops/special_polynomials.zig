//! Orthogonal polynomials of degree n by their three-term recurrences (DLMF 18.9), 0 for a
//! negative degree.
const std = @import("std");
const common = @import("special_common.zig");
const math = @import("../math.zig");
const Mask = common.Mask;
const V = common.V;
const any = common.any;
const c = common.c;
const fma = common.fma;
const nan = common.nan;
const one = common.one;
const pick = common.pick;
const splat = common.splat;
const zero = common.zero;

pub const Kind = enum { t, u, v, w, legendre, laguerre, hermite, hermite_e };

/// p_(k + 1) = slope p_k - (c0 + c1 k) p_(k - 1), or, where it is divided,
/// ((2 k + 1) slope + offset) p_k - k p_(k - 1) over k + 1.
const Step = struct {
    first: V,
    slope: V,
    offset: V,
    c0: f64,
    c1: f64,
    divided: bool,

    inline fn next(s: *const Step, comptime divided: bool, k: f64, last: V, before: V) V {
        if (!divided) return fma(s.slope, last, splat(-s.c0 - s.c1 * k) * before);
        const slope = fma(splat(2 * k + 1), s.slope, s.offset);
        return fma(slope, last, splat(-k) * before) / splat(k + 1);
    }
};

noinline fn recurrence(n: V, step: *const Step) V {
    return if (step.divided) climb(true, n, step) else climb(false, n, step);
}
inline fn climb(comptime divided: bool, n: V, step: *const Step) V {
    var before = one;
    var last = step.first;
    var k: f64 = 1;
    if (common.all(n == splat(n[0]))) {
        while (k < n[0]) : (k += 1) {
            const next = step.next(divided, k, last, before);
            before = last;
            last = next;
        }
    } else while (true) : (k += 1) {
        const more = n > splat(k);
        if (!any(more)) break;
        const next = step.next(divided, k, last, before);
        before = pick(more, last, before);
        last = pick(more, next, last);
    }
    return pick(n < zero, zero, pick(n == zero, one, last));
}

pub noinline fn polynomial(kind: Kind, x: V, degree: V) V {
    // Degrees that are no number, or infinite, are negative integers to PyTorch.
    const n = pick(common.finite(degree), math.trunc(V, degree), c(-1));
    const twice = x + x;
    const chebyshev = @backingInt(kind) <= @backingInt(Kind.w);
    const step: Step = .{
        .first = switch (kind) {
            .t, .legendre, .hermite_e => x,
            .u, .hermite => twice,
            .v => twice - one,
            .w => twice + one,
            .laguerre => one - x,
        },
        .slope = switch (kind) {
            .legendre, .hermite_e => x,
            .laguerre => one,
            else => twice,
        },
        // -0.0 leaves the sign of a zero
        .offset = if (kind == .laguerre) -x else -zero,
        .c0 = if (chebyshev) 1 else 0,
        .c1 = if (chebyshev) 0 else if (kind == .hermite) 2 else 1,
        .divided = kind == .legendre or kind == .laguerre,
    };
    const limit: f64 = switch (kind) {
        .t => 6,
        .u, .v, .w => 8,
        .hermite, .hermite_e => 512,
        else => std.math.inf(f64),
    };
    const size = @abs(x);
    var beyond = n > splat(limit);
    var known = @as(Mask, @splat(false));
    if (chebyshev) beyond = beyond & (size < one);
    if (chebyshev or kind == .legendre) known = (size == one) & (n >= zero);
    if (kind == .laguerre) known = (x == zero) & (n >= zero);
    var y = recurrence(pick(beyond | known, zero, n), &step);
    if (any(beyond)) y = pick(beyond, if (chebyshev) atAngle(kind, x, n) else nan, y);
    return if (any(known)) pick(known, atEnd(kind, x, n), y) else y;
}

/// For x = 1 and -1, or for laguerre, 0.
noinline fn atEnd(kind: Kind, x: V, n: V) V {
    if (kind == .laguerre) return one;
    const odd = n - c(2) * math.floor(V, n * c(0.5)) != zero;
    const signs = pick(odd, -one, one);
    const grown = switch (kind) {
        .u => n + one,
        .v, .w => n + n + one,
        else => one,
    };
    const at_one = if (kind == .v) one else grown;
    const at_minus_one = if (kind == .w) signs else signs * grown;
    return pick(x > zero, at_one, at_minus_one);
}

/// Chebyshev polynomials of high degree inside of (-1, 1).
noinline fn atAngle(kind: Kind, x: V, n: V) V {
    const angle = math.acos(V, x);
    const top = common.sincos(angle * (n + splat(switch (kind) {
        .t => 0,
        .u => 1,
        else => 0.5,
    })));
    if (kind == .t) return top.cos;
    const under = common.sincos(if (kind == .u) angle else angle * c(0.5));
    return if (kind == .v) top.cos / under.cos else top.sin / under.sin;
}
