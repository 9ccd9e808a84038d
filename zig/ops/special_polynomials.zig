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

/// p_(k + 1) = slope p_k - (c0 + c1 k) p_(k - 1), or, `divided`,
/// ((2 k + 1) slope + offset) p_k - k p_(k - 1) over k + 1.
const Step = struct {
    first: V,
    slope: V,
    offset: V,
    c0: f64,
    c1: f64,

    inline fn next(s: *const Step, comptime divided: bool, k: f64, last: V, before: V) V {
        if (!divided) return fma(s.slope, last, splat(-s.c0 - s.c1 * k) * before);
        const slope = fma(splat(2 * k + 1), s.slope, s.offset);
        return fma(slope, last, splat(-k) * before) / splat(k + 1);
    }
};

fn stepOf(kind: Kind, x: V) Step {
    const twice = x + x;
    return .{
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
        .c0 = if (isChebyshev(kind)) 1 else 0,
        .c1 = if (isChebyshev(kind)) 0 else if (kind == .hermite) 2 else 1,
    };
}
inline fn isChebyshev(kind: Kind) bool {
    return @backingInt(kind) <= @backingInt(Kind.w);
}
inline fn isDivided(kind: Kind) bool {
    return kind == .legendre or kind == .laguerre;
}
/// The degrees up to which the recurrence is what is computed.
inline fn highest(kind: Kind) f64 {
    return switch (kind) {
        .t => 6,
        .u, .v, .w => 8,
        .hermite, .hermite_e => 512,
        else => std.math.inf(f64),
    };
}
/// Where the value is known.
inline fn isEnd(kind: Kind, x: V) Mask {
    return @abs(x) == (if (kind == .laguerre) zero else if (isChebyshev(kind) or kind == .legendre) one else nan);
}

/// Degrees that are no number, or infinite, are negative integers to PyTorch.
pub fn polynomial(kind: Kind, x: V, degree: V) V {
    const n = degree[0];
    if (!(n >= 1 and n <= highest(kind) and n < 1e15) or !common.all(degree == splat(n))) return ofEach(kind, x, degree);
    const y = if (isDivided(kind)) ofOne(true, kind, x, @trunc(n)) else ofOne(false, kind, x, @trunc(n));
    const end = isEnd(kind, x);
    return if (any(end)) pick(end, atEnd(kind, x, math.trunc(V, degree)), y) else y;
}

/// Of one degree for all lanes.
noinline fn ofOne(comptime divided: bool, kind: Kind, x: V, n: f64) V {
    const step = stepOf(kind, x);
    var before = one;
    var last = step.first;
    var k: f64 = 1;
    while (k < n) : (k += 1) {
        const next = step.next(divided, k, last, before);
        before = last;
        last = next;
    }
    return last;
}

inline fn climb(divided: bool, n: V, step: *const Step) V {
    var before = one;
    var last = step.first;
    var k: f64 = 1;
    while (true) : (k += 1) {
        const more = n > splat(k);
        if (!any(more)) break;
        const next = if (divided) step.next(true, k, last, before) else step.next(false, k, last, before);
        before = pick(more, last, before);
        last = pick(more, next, last);
    }
    return pick(n < zero, zero, pick(n == zero, one, last));
}

noinline fn ofEach(kind: Kind, x: V, degree: V) V {
    const n = pick(common.finite(degree), math.trunc(V, degree), c(-1));
    const step = stepOf(kind, x);
    var beyond = n > splat(highest(kind));
    if (isChebyshev(kind)) beyond = beyond & (@abs(x) < one);
    const end = isEnd(kind, x) & (n >= zero);
    const low = pick(beyond | end, zero, n);
    var y = climb(isDivided(kind), low, &step);
    if (any(beyond)) y = pick(beyond, if (isChebyshev(kind)) atAngle(kind, x, n) else nan, y);
    return if (any(end)) pick(end, atEnd(kind, x, n), y) else y;
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
