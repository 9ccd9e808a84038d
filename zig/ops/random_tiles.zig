//! What the random rows share: uniforms in tiles, and tiles to and from tensors of any dtype.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const dtype_zig = @import("../dtype.zig");
const simd = @import("../simd.zig");
const Generator = @import("../random.zig").Generator;

const Call = plan_zig.Call;
const Operand = plan_zig.Operand;
const DType = dtype_zig.DType;
const BFloat16 = dtype_zig.BFloat16;

/// Elements that are drawn, transformed and stored at a time (a multiple of 16).
pub const tile = 512;

const D = @Vector(8, f64);
const Q = @Vector(8, u64);

pub fn generator(call: *Call, operand: usize) *Generator {
    return @ptrCast(@alignCast(call.ptr[operand].?));
}

/// 24 bits of a word each, in [0, 1).
pub noinline fn unitsF32(g: *Generator, out: []f32) void {
    std.debug.assert(out.len <= tile);
    const words: []u32 = @ptrCast(out);
    g.fill(words);
    const V = @Vector(16, f32);
    var i: usize = 0;
    while (i + 16 <= out.len) : (i += 16) {
        const word: @Vector(16, u32) = words[i..][0..16].*;
        const low: @Vector(16, i32) = @bitCast(word & @as(@Vector(16, u32), @splat(0xffffff)));
        out[i..][0..16].* = @as(V, @floatFromInt(low)) * @as(V, @splat(0x1p-24));
    }
    while (i < out.len) : (i += 1) {
        simd.once();
        out[i] = @as(f32, @floatFromInt(words[i] & 0xffffff)) * 0x1p-24;
    }
}

/// 64-bit draws, as PyTorch makes them of two words.
pub fn draws64(g: *Generator, out: []u64) void {
    g.fill(@ptrCast(out));
    var i: usize = 0;
    while (i + 8 <= out.len) : (i += 8) {
        const x: Q = out[i..][0..8].*;
        out[i..][0..8].* = x << @splat(32) | x >> @splat(32);
    }
    while (i < out.len) : (i += 1) {
        simd.once();
        out[i] = out[i] << 32 | out[i] >> 32;
    }
}

pub const mask53: u64 = (1 << 53) - 1;

/// 53 bits of a 64-bit draw each, in [0, 1).
pub noinline fn unitsF64(g: *Generator, out: []f64) void {
    std.debug.assert(out.len <= tile);
    const words: []u64 = @ptrCast(out);
    draws64(g, words);
    var i: usize = 0;
    while (i + 8 <= out.len) : (i += 8) out[i..][0..8].* = unit53(words[i..][0..8].*);
    while (i < out.len) : (i += 1) {
        simd.once();
        out[i] = @as(f64, @floatFromInt(words[i] & mask53)) * 0x1p-53;
    }
}

/// Integers below 2^53 as doubles by their bits: AVX2 has no such conversion.
inline fn unit53(x: Q) D {
    const two52: Q = @bitCast(@as(D, @splat(0x1p52)));
    const two84: Q = @bitCast(@as(D, @splat(0x1p84)));
    const low: D = @bitCast((x & @as(Q, @splat(0xffffffff))) | two52);
    const high: D = @bitCast((x >> @splat(32) & @as(Q, @splat(0x1fffff))) | two84);
    const whole = (high - @as(D, @splat(0x1p84 + 0x1p52))) + low;
    return whole * @as(D, @splat(0x1p-53));
}

/// f(x, a, b) on every element.
pub inline fn each(
    comptime T: type,
    data: []T,
    a: @Vector(8, T),
    b: @Vector(8, T),
    comptime f: fn (@Vector(8, T), @Vector(8, T), @Vector(8, T)) @Vector(8, T),
) void {
    var i: usize = 0;
    while (i + 8 <= data.len) : (i += 8) data[i..][0..8].* = f(data[i..][0..8].*, a, b);
    if (i < data.len) {
        var rest: [8]T = @splat(0);
        @memcpy(rest[0 .. data.len - i], data[i..]);
        rest = f(rest, a, b);
        @memcpy(data[i..], rest[0 .. data.len - i]);
    }
}

pub inline fn narrow(comptime T: type, x: f32) T {
    return if (T == BFloat16) .fromF32(x) else @floatCast(x);
}
pub inline fn same(comptime T: type, a: T, b: T) bool {
    return if (T == BFloat16) a.toF32() == b.toF32() else a == b;
}

/// A tile of i64 or f64 into elements [offset, ..) of a contiguous tensor, converted as C does
/// (integers wrap, floats go to half precision through float32, a bool is `!= 0`). Floats
/// beyond an integer's range, where C promises nothing, become its limits.
pub fn store(comptime S: type, dtype: DType, out: [*]u8, offset: usize, values: []const S) void {
    switch (dtype) {
        inline else => |d| {
            const T = d.Type();
            const to = @as([*]T, @ptrCast(@alignCast(out)))[offset..][0..values.len];
            for (to, values) |*y, x| y.* = convert(d, S, x);
        },
    }
}

inline fn convert(comptime d: DType, comptime S: type, x: S) d.Type() {
    const T = d.Type();
    switch (d) {
        .bool => return @intFromBool(x != 0),
        .float16, .bfloat16 => {
            const single: f32 = if (S == i64) @floatFromInt(x) else @floatCast(x);
            return narrow(T, single);
        },
        .float32, .float64 => return if (S == i64) @floatFromInt(x) else @floatCast(x),
        .uint8 => if (S == i64) {
            return @truncate(@as(u64, @bitCast(x)));
        } else return std.math.lossyCast(T, x),
        else => return if (S == i64) @truncate(x) else std.math.lossyCast(T, x),
    }
}

/// Elements [offset, offset + out.len) of a tensor, in row-major order, as T.
pub fn gather(comptime T: type, operand: Operand, from: [*]const u8, offset: usize, out: []T) void {
    switch (operand.dtype) {
        inline .float16, .bfloat16, .float32, .float64 => |d| {
            const p: [*]const d.Type() = @ptrCast(@alignCast(from));
            if (operand.isContiguous()) {
                for (out, p[offset..][0..out.len]) |*y, x| y.* = widen(d, T, x);
                return;
            }
            var walk: Walk = .init(operand, offset);
            for (out) |*y| {
                y.* = widen(d, T, p[walk.at]);
                walk.step();
            }
        },
        else => unreachable, // `prepare` and Python see to it
    }
}

inline fn widen(comptime d: DType, comptime T: type, x: d.Type()) T {
    return if (d == .bfloat16) x.toF32() else @floatCast(x);
}

/// Visits a strided tensor in row-major order.
pub const Walk = struct {
    operand: Operand,
    index: [64]i64 = undefined,
    at: usize,

    pub fn init(operand: Operand, offset: usize) Walk {
        var w: Walk = .{ .operand = operand, .at = 0 };
        var rest: i64 = @intCast(offset);
        var dim = operand.shape.len;
        while (dim > 0) {
            dim -= 1;
            w.index[dim] = @mod(rest, operand.shape[dim]);
            rest = @divTrunc(rest, operand.shape[dim]);
            w.at += @intCast(w.index[dim] * operand.strides[dim]);
        }
        return w;
    }
    pub fn step(w: *Walk) void {
        var dim = w.operand.shape.len;
        while (dim > 0) {
            dim -= 1;
            const stride: usize = @intCast(w.operand.strides[dim]);
            w.index[dim] += 1;
            w.at += stride;
            if (w.index[dim] < w.operand.shape[dim]) return;
            w.at -= stride * @as(usize, @intCast(w.operand.shape[dim]));
            w.index[dim] = 0;
        }
    }
};
