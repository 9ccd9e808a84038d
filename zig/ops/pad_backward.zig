//! `pad_backward`: the transpose of padding by repetition (`pad` in fill.zig): each element of x adds up those of
//! out that show it, in their order.
//!
//! Outputs <- inputs, float32 or float64, contiguous: gx (P..., *S) <- gout (P..., *So), one to three dimensions.
//! ints: mode (1 reflect, 2 replicate, 3 circular), and two amounts for each of these dimensions, in order.
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { pad_backward };

pub fn prepare(p: *Plan) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    if (p.ints.len > 7 or p.ints.len < 3 or p.operands[0].ndim() < p.ints.len / 2) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => &Padding(f32).run,
        .float64 => &Padding(f64).run,
        else => return error.Unsupported,
    };
}

/// What position `i` of a padded dimension shows.
fn shown(mode: i64, before: i64, size: i64, i: usize) usize {
    const p = @as(i64, @intCast(i)) - before;
    const last = size - 1;
    return @intCast(switch (mode) {
        1 => last - @as(i64, @intCast(@abs(last - @as(i64, @intCast(@abs(p)))))),
        2 => @min(@max(p, 0), last),
        else => @mod(p, size),
    });
}

fn Padding(comptime T: type) type {
    const lanes = 32 / @sizeOf(T);
    const V = @Vector(lanes, T);
    return struct {
        const Self = @This();
        mode: i64,
        before: [3]i64 = @splat(0),
        size: [3]usize = @splat(1),
        out: [3]usize = @splat(1),
        /// The columns that stand for themselves.
        kept: [2]usize = undefined,
        image: [*]T,
        gout: [*]const T,

        fn run(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            if (n == 0) return;
            var j: Self = .{ .mode = p.ints[0], .image = call.at(T, 0), .gout = call.at(T, 1) };
            const dims = p.ints.len / 2;
            for (0..dims) |d| {
                const from = p.operands[0].ndim() - dims + d;
                j.before[3 - dims + d] = p.ints[1 + 2 * d];
                j.size[3 - dims + d] = @intCast(p.operands[0].shape[from]);
                j.out[3 - dims + d] = @intCast(p.operands[1].shape[from]);
            }
            const end: i64 = @min(j.before[2] + @as(i64, @intCast(j.size[2])), @as(i64, @intCast(j.out[2])));
            const begin: i64 = @max(0, j.before[2]);
            j.kept = .{ @intCast(begin), @intCast(@max(begin, end)) };
            const size = j.size[0] * j.size[1] * j.size[2];
            services.parallelFor(n / size, 1 + (1 << 14) / size, j, planes);
        }

        fn planes(j: *const Self, begin: usize, end: usize) void {
            const size = j.size[0] * j.size[1] * j.size[2];
            var row = j.gout + begin * j.out[0] * j.out[1] * j.out[2];
            for (begin..end) |plane| {
                const image = j.image + plane * size;
                @memset(image[0..size], 0);
                for (0..j.out[0]) |d| for (0..j.out[1]) |r| {
                    const line = j.source(0, d) * j.size[1] + j.source(1, r);
                    j.add(image + line * j.size[2], row);
                    row += j.out[2];
                };
            }
        }

        fn source(j: *const Self, dim: usize, i: usize) usize {
            return shown(j.mode, j.before[dim], @intCast(j.size[dim]), i);
        }

        fn add(j: *const Self, to: [*]T, from: [*]const T) void {
            const begin, const end = j.kept;
            for (0..begin) |c| to[j.source(2, c)] += from[c];
            if (end > begin) {
                const n = end - begin;
                const own = to + j.source(2, begin);
                var i: usize = 0;
                while (i + lanes <= n) : (i += lanes) {
                    own[i..][0..lanes].* = @as(V, own[i..][0..lanes].*) + @as(V, from[begin + i ..][0..lanes].*);
                }
                while (i < n) : (i += 1) own[i] += from[begin + i];
            }
            for (end..j.out[2]) |c| to[j.source(2, c)] += from[c];
        }
    };
}

test "the transpose of padding by repetition" {
    const std = @import("std");
    // (2, 3, 12) from (2, 2 + 1, 10 + 2): the first dimension is not padded.
    for (1..4) |mode| {
        var out: [2 * 3 * 12]f32 = undefined;
        for (&out, 0..) |*x, i| x.* = @floatFromInt(i % 7 + 1);
        var want: [2 * 2 * 10]f32 = @splat(0);
        for (0..2) |p| for (0..3) |r| for (0..12) |c| {
            const y: usize = switch (mode) {
                1 => ([_]usize{ 1, 0, 1 })[r],
                2 => ([_]usize{ 0, 0, 1 })[r],
                else => ([_]usize{ 1, 0, 1 })[r],
            };
            const x: usize = if (c > 0 and c < 11) c - 1 else switch (mode) {
                1 => if (c == 0) 1 else 8,
                2 => if (c == 0) 0 else 9,
                else => if (c == 0) 9 else 0,
            };
            want[(p * 2 + y) * 10 + x] += out[(p * 3 + r) * 12 + c];
        };
        const of_x: plan.Operand = .{ .dtype = .float32, .shape = &.{ 2, 2, 10 }, .strides = &.{ 20, 10, 1 } };
        const of_out: plan.Operand = .{ .dtype = .float32, .shape = &.{ 2, 3, 12 }, .strides = &.{ 36, 12, 1 } };
        var p = plan.testPlan(&.{ of_x, of_out }, 1, 0, &.{ @intCast(mode), 1, 0, 1, 1 }, &.{});
        try prepare(&p);
        var got: [2 * 2 * 10]f32 = undefined;
        var call: Call = .{};
        call.ptr[0] = @ptrCast(&got);
        call.ptr[1] = @ptrCast(&out);
        p.run(&p, &call);
        try std.testing.expectEqual(want, got);
    }
}
