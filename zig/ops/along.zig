//! Walking over operands of one shape along one of its dimensions: softmax and the scans.
//!
//! The other dimensions are joined where all operands allow it; the innermost of what is left
//! (`across`) is where vectors lie when the dimension itself is not contiguous. Groups and the
//! columns in them number the lines row-major, unless the axes were exchanged (`widen`).
const std = @import("std");
const plan = @import("../plan.zig");

pub const max_operands = 4;
pub const max_dims = 16;
/// Fewer lines than these side by side are better taken one by one.
pub const narrow = 8;

pub const Axis = struct { size: usize, stride: [max_operands]usize };

pub const Along = struct {
    /// The dimension itself.
    n: usize,
    step: [max_operands]usize,
    across: Axis,
    outer: [max_dims]Axis,
    outer_count: usize,
    /// Lines along the dimension, in all.
    lines: usize,

    /// All operands have the shape of the first; `dim` lies within it, or the shape is 0-d.
    pub fn init(operands: []const plan.Operand, dim: usize) error{Unsupported}!Along {
        std.debug.assert(operands.len <= max_operands);
        const shape = operands[0].shape;
        var a: Along = .{
            .n = if (shape.len == 0) 1 else @intCast(shape[dim]),
            .step = @splat(0),
            .across = .{ .size = 1, .stride = @splat(0) },
            .outer = undefined,
            .outer_count = 0,
            .lines = 1,
        };
        if (shape.len > 0) for (operands, 0..) |o, k| {
            a.step[k] = @intCast(o.strides[dim]);
        };
        for (shape, 0..) |size, d| {
            if (d == dim) continue;
            a.lines *= @intCast(size);
            if (size == 1) continue;
            var x: Axis = .{ .size = @intCast(size), .stride = @splat(0) };
            for (operands, 0..) |o, k| x.stride[k] = @intCast(o.strides[d]);
            if (a.outer_count > 0) {
                const last = &a.outer[a.outer_count - 1];
                const one_run = for (0..operands.len) |k| {
                    if (last.stride[k] != x.size * x.stride[k]) break false;
                } else true;
                if (one_run) {
                    last.* = .{ .size = last.size * x.size, .stride = x.stride };
                    continue;
                }
            }
            if (a.outer_count == max_dims) return error.Unsupported;
            a.outer[a.outer_count] = x;
            a.outer_count += 1;
        }
        if (a.outer_count > 0) {
            a.outer_count -= 1;
            a.across = a.outer[a.outer_count];
        }
        return a;
    }

    /// Beside a short dimension the widest axis takes the place of a few neighbours, which would
    /// leave lanes empty. For those who do not care in which order lines come.
    pub fn widen(a: *Along) void {
        if (a.n < 32 and a.across.size < narrow) for (a.outer[0..a.outer_count]) |*x| {
            if (x.size > a.across.size) std.mem.swap(Axis, x, &a.across);
        };
    }

    /// Where line `column` of the `across` axis, in group `group` of such, begins: elements.
    pub fn at(a: *const Along, group: usize, column: usize) [max_operands]usize {
        var o: [max_operands]usize = undefined;
        for (&o, a.across.stride) |*x, s| x.* = column * s;
        var rest = group;
        var d = a.outer_count;
        while (d > 0) {
            d -= 1;
            const k = rest % a.outer[d].size;
            rest /= a.outer[d].size;
            for (&o, a.outer[d].stride) |*x, s| x.* += k * s;
        }
        return o;
    }
};

test "neighbouring dimensions are joined where every operand allows it" {
    const shape = [_]i64{ 2, 3, 4, 5 };
    const c: plan.Operand = .{ .dtype = .float32, .shape = &shape, .strides = &.{ 60, 20, 5, 1 } };
    const a = try Along.init(&.{ c, c }, 3);
    try std.testing.expect(
        a.n == 5 and a.lines == 24 and a.outer_count == 0 and a.across.size == 24,
    );
    const t: plan.Operand = .{ .dtype = .float32, .shape = &shape, .strides = &.{ 1, 2, 6, 24 } };
    const b = try Along.init(&.{ c, t }, 1);
    try std.testing.expect(
        b.n == 3 and b.lines == 40 and b.outer_count == 2 and b.across.size == 5,
    );
    try std.testing.expectEqual(60 + 2 * 5 + 3, b.at(6, 3)[0]);
    try std.testing.expectEqual(1 + 2 * 6 + 3 * 24, b.at(6, 3)[1]);
    const wide: plan.Operand = .{ .dtype = .float32, .shape = &.{ 9, 3, 5 }, .strides = &.{ 15, 5, 1 } };
    var w = try Along.init(&.{wide}, 1);
    try std.testing.expectEqual(2 * 15 + 4, w.at(2, 4)[0]);
    w.widen();
    try std.testing.expect(w.across.size == 9 and w.lines == 45);
    try std.testing.expectEqual(2 * 15 + 4, w.at(4, 2)[0]);
}
