//! Functions of complex numbers over virtual vectors: `f(V, a, ...)`, with `Complex(V)` for a
//! complex argument and V for a real one.
//!
//! Branch cuts and what becomes of zeros, infinities and nan are those of C99's annex G.
const std = @import("std");
const math = @import("../math.zig");
const common = @import("../math/common.zig");
const c = common.c;
const pick = common.pick;

pub fn Complex(comptime V: type) type {
    return struct { re: V, im: V };
}

pub inline fn conj(comptime V: type, a: Complex(V)) Complex(V) {
    return .{ .re = a.re, .im = -a.im };
}
pub inline fn mul(comptime V: type, a: Complex(V), b: Complex(V)) Complex(V) {
    return .{ .re = a.re * b.re - a.im * b.im, .im = a.re * b.im + a.im * b.re };
}
/// a conj(b)
pub inline fn mulConj(comptime V: type, a: Complex(V), b: Complex(V)) Complex(V) {
    return mul(V, a, conj(V, b));
}
/// By the ratio of the divisor's smaller part to the larger one, so that squares don't overflow
/// (Smith 1962).
pub inline fn div(comptime V: type, a: Complex(V), b: Complex(V)) Complex(V) {
    const wide = @abs(b.re) >= @abs(b.im);
    const large = pick(V, wide, b.re, b.im);
    const small = pick(V, wide, b.im, b.re);
    const ratio = small / large;
    const factor = c(V, 1) / (large + small * ratio);
    const re = pick(V, wide, a.re + a.im * ratio, a.re * ratio + a.im) * factor;
    const im = pick(V, wide, a.im - a.re * ratio, a.im * ratio - a.re) * factor;
    const zero = (b.re == c(V, 0)) & (b.im == c(V, 0));
    return .{
        .re = pick(V, zero, a.re / @abs(b.re), re),
        .im = pick(V, zero, a.im / @abs(b.im), im),
    };
}
/// a / conj(b)
pub inline fn divConj(comptime V: type, a: Complex(V), b: Complex(V)) Complex(V) {
    return div(V, a, conj(V, b));
}
pub inline fn reciprocal(comptime V: type, a: Complex(V)) Complex(V) {
    return div(V, .{ .re = c(V, 1), .im = c(V, 0) }, a);
}
pub inline fn square(comptime V: type, a: Complex(V)) Complex(V) {
    return mul(V, a, a);
}
pub inline fn cube(comptime V: type, a: Complex(V)) Complex(V) {
    return mul(V, mul(V, a, a), a);
}

pub inline fn abs(comptime V: type, a: Complex(V)) V {
    return math.hypot(V, a.re, a.im);
}
pub inline fn angle(comptime V: type, a: Complex(V)) V {
    return math.atan2(V, a.im, a.re);
}
/// g a / |a|; 0 at 0.
pub inline fn absBackward(comptime V: type, a: Complex(V), g: V) Complex(V) {
    const r = abs(V, a);
    const zero = r == c(V, 0);
    const safe = pick(V, zero, c(V, 1), r);
    return .{
        .re = pick(V, zero, c(V, 0), a.re / safe) * g,
        .im = pick(V, zero, c(V, 0), a.im / safe) * g,
    };
}

/// re + i im
pub inline fn make(comptime V: type, re: V, im: V) Complex(V) {
    return .{ .re = re, .im = im };
}
/// r e^(i angle)
pub inline fn polar(comptime V: type, r: V, turn: V) Complex(V) {
    return .{ .re = r * math.cos(V, turn), .im = r * math.sin(V, turn) };
}

/// At an infinite x the direction of an infinite y is not known, but that of a 0 does not
/// matter.
pub inline fn exp(comptime V: type, a: Complex(V)) Complex(V) {
    const r = math.exp(V, a.re);
    const turned = polar(V, r, a.im);
    const far = (@abs(a.re) == common.inf(V)) & !isFinite(V, a.im);
    const vanishing = far & (a.re < c(V, 0));
    const im = pick(V, a.im == c(V, 0), a.im, turned.im);
    return .{
        .re = pick(V, far, r, turned.re),
        .im = pick(V, vanishing, common.copysign(V, c(V, 0), a.im), im),
    };
}
pub inline fn log(comptime V: type, a: Complex(V)) Complex(V) {
    return .{ .re = math.log(V, abs(V, a)), .im = angle(V, a) };
}
/// Kahan 1987, Branch cuts for complex elementary functions: no cancellation on either side.
pub inline fn sqrt(comptime V: type, a: Complex(V)) Complex(V) {
    const half = c(V, 0.5);
    const r = @sqrt(@abs(a.re) * half + math.hypot(V, a.re * half, a.im * half));
    const zero = r == c(V, 0);
    const safe = pick(V, zero, c(V, 1), r);
    const other = pick(V, zero, c(V, 0), @abs(a.im) / (safe + safe));
    const right = a.re >= c(V, 0);
    const far = @abs(a.im) == common.inf(V);
    const re = pick(V, right, r, other);
    const im = pick(V, right, other, r);
    return .{
        .re = pick(V, far, common.inf(V), re),
        .im = common.copysign(V, pick(V, far, common.inf(V), im), a.im),
    };
}

pub inline fn eq(comptime V: type, a: Complex(V), b: Complex(V)) common.Bools(V) {
    return (a.re == b.re) & (a.im == b.im);
}

pub inline fn ne(comptime V: type, a: Complex(V), b: Complex(V)) common.Bools(V) {
    return (a.re != b.re) | (a.im != b.im);
}

inline fn isFinite(comptime V: type, x: V) common.Bools(V) {
    return @abs(x) < common.inf(V);
}
