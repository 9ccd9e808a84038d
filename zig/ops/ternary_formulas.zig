//! The formulas of ternary.zig: `f(V, a, b, c, scalars ...)` over virtual vectors.
const std = @import("std");
const common = @import("../math/common.zig");
const simd = @import("../simd.zig");
const b_ = @import("binary_formulas.zig");
const Child = std.meta.Child;
const pick = simd.pick;
const isFloat = b_.isFloat;

fn Bytes(comptime V: type) type {
    return @Vector(@typeInfo(V).vector.len, u8);
}

/// a where the condition (a byte) is not 0, else b.
pub inline fn where(comptime V: type, condition: Bytes(V), a: V, b: V) V {
    return pick(V, condition != @as(Bytes(V), @splat(0)), a, b);
}
/// a + s b c
pub inline fn addcmul(comptime V: type, a: V, b: V, c: V, s: V) V {
    return b_.add(V, a, b_.mul(V, b_.mul(V, s, b), c));
}
/// a + s b / c
pub inline fn addcdiv(comptime V: type, a: V, b: V, c: V, s: V) V {
    return a + s * b / c;
}
/// s a b c
pub inline fn mul3(comptime V: type, a: V, b: V, c: V, s: V) V {
    return s * a * b * c;
}
/// The derivative of a / b by b: -g a / b^2, as PyTorch computes it.
pub inline fn divSlope(comptime V: type, g: V, a: V, b: V) V {
    return -g * (a / b / b);
}
/// g where a > b, half of it on a tie.
pub inline fn maximumBackward(comptime V: type, g: V, a: V, b: V) V {
    const zero: V = @splat(0);
    return pick(V, a > b, g, pick(V, a == b, g * @as(V, @splat(0.5)), zero));
}
/// a b + c, fused for floats.
pub inline fn mulAdd(comptime V: type, a: V, b: V, c: V) V {
    return if (comptime isFloat(V)) simd.fma(V, a, b, c) else a *% b +% c;
}
/// From a to b: exact at both ends, so computed from the nearer one.
pub inline fn lerp(comptime V: type, a: V, b: V, w: V) V {
    const one: V = @splat(1);
    const d = b - a;
    return pick(V, @abs(w) < @as(V, @splat(0.5)), a + w * d, b - d * (one - w));
}
/// min(max(x, low), high)
pub inline fn clamp(comptime V: type, x: V, low: V, high: V) V {
    return simd.minNan(V, simd.maxNan(V, x, low), high);
}
/// Where the clamped x passes g on.
pub inline fn clampBackward(comptime V: type, x: V, low: V, high: V) common.Bools(V) {
    return (x >= low) & (x <= high);
}
