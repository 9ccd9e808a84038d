//! flip, roll and pad against the position of x that each position of out shows.
const std = @import("std");
const plan = @import("../plan.zig");
const remap = @import("remap.zig");
const DType = @import("../dtype.zig").DType;
const Call = plan.Call;

const most = 200;
/// Along one dimension; null is the padding's value.
const Positions = struct {
    n: usize,
    of: [most]?usize = undefined,

    fn padded(size: usize, mode: i64, before: i64, after: i64) Positions {
        const n: i64 = @intCast(size);
        var p: Positions = .{ .n = @intCast(n + before + after) };
        for (p.of[0..p.n], 0..) |*to, i| {
            const at = @as(i64, @intCast(i)) - before;
            to.* = switch (mode) {
                0 => if (at >= 0 and at < n) @intCast(at) else null,
                1 => @intCast(n - 1 - @as(i64, @intCast(@abs(n - 1 - @as(i64, @intCast(@abs(at))))))),
                2 => @intCast(std.math.clamp(at, 0, n - 1)),
                else => @intCast(@mod(at, n)),
            };
        }
        return p;
    }
    fn flipped(size: usize, turned: bool) Positions {
        var p: Positions = .{ .n = size };
        for (p.of[0..size], 0..) |*to, i| to.* = if (turned) size - 1 - i else i;
        return p;
    }
    fn rolled(size: usize, by: i64) Positions {
        var p: Positions = .{ .n = size };
        for (p.of[0..size], 0..) |*to, i| to.* = @intCast(@mod(@as(i64, @intCast(i)) - by, @as(i64, @intCast(size))));
        return p;
    }
};

/// x (rows, columns), of which every `step`-th element counts; ints may be followed by anything.
fn check(comptime T: type, kind: remap.Kind, size: [2]usize, step: usize, ints: []const i64, want: [2]Positions) !void {
    const a = std.testing.allocator;
    const value: T = 77;
    const x = try a.alloc(T, size[0] * size[1] * step);
    defer a.free(x);
    for (x, 0..) |*e, i| e.* = @intCast(i % 71);
    const out = try a.alloc(T, want[0].n * want[1].n);
    defer a.free(out);
    @memset(out, 99);
    const dtype: DType = switch (T) {
        u8 => .uint8,
        i32 => .int32,
        else => .int64,
    };
    const shapes = [2][2]i64{
        .{ @intCast(want[0].n), @intCast(want[1].n) }, .{ @intCast(size[0]), @intCast(size[1]) },
    };
    var p = plan.testPlan(&.{
        .{ .dtype = dtype, .shape = &shapes[0], .strides = &.{ shapes[0][1], 1 } },
        .{ .dtype = dtype, .shape = &shapes[1], .strides = &.{ @intCast(size[1] * step), @intCast(step) } },
    }, 1, 0, ints, &.{});
    try remap.prepare(&p, kind);
    defer plan.destroyState(&p);
    var call: Call = .{};
    call.ptr[0..2].* = .{ @ptrCast(out.ptr), @ptrCast(x.ptr) };
    call.scalar[0] = .{ .i = value };
    p.run(&p, &call);
    for (out, 0..) |got, i| {
        const r = want[0].of[i / want[1].n];
        const c = want[1].of[i % want[1].n];
        const expected = if (r == null or c == null) value else x[(r.? * size[1] + c.?) * step];
        try std.testing.expectEqual(expected, got);
    }
}

test "padding, turned and rolled dimensions" {
    inline for (.{ u8, i32, i64 }) |T| for ([_][2]usize{ .{ 3, 4 }, .{ 5, 40 }, .{ 2, 130 }, .{ 6, 9 }, .{ 4, 20 } }) |size| for ([_]usize{ 1, 2 }) |step| {
        for (0..4) |m| for ([_][4]i64{ .{ 1, 1, 1, 1 }, .{ 0, 0, 2, 3 }, .{ 1, 0, 0, 0 }, .{ 0, 1, 3, 0 }, .{ 1, 1, 2, 3 } }) |by| {
            const mode: i64 = @intCast(m);
            const ints = [_]i64{ mode, 1, by[0], by[1], by[2], by[3] };
            try check(T, .pad, size, step, &ints, .{
                .padded(size[0], mode, by[0], by[1]), .padded(size[1], mode, by[2], by[3]),
            });
            // The last dimension has no amounts (parts of complex numbers); what lies behind is not read.
            try check(T, .pad, size, step, ints[0..4], .{ .padded(size[0], mode, by[0], by[1]), .flipped(size[1], false) });
        };
        // Negative amounts cut.
        try check(T, .pad, size, step, &.{ 0, 1, -1, 2, 2, -3 }, .{ .padded(size[0], 0, -1, 2), .padded(size[1], 0, 2, -3) });
        for ([_][]const i64{ &.{}, &.{0}, &.{1}, &.{ 0, 1 } }) |dims| {
            const has = [2]bool{ std.mem.findScalar(i64, dims, 0) != null, std.mem.findScalar(i64, dims, 1) != null };
            try check(T, .flip, size, step, dims, .{ .flipped(size[0], has[0]), .flipped(size[1], has[1]) });
        }
        for ([_][2]i64{ .{ 1, 0 }, .{ 0, 3 }, .{ 2, -1 }, .{ -7, 1001 } }) |by| {
            try check(T, .roll, size, step, &.{ by[0], 0, by[1], 1 }, .{ .rolled(size[0], by[0]), .rolled(size[1], by[1]) });
        }
    };
}
