//! Tests of index.zig against loops over coordinates.
const std = @import("std");
const index = @import("index.zig");
const testing = @import("index_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

const Case = struct { self: []const i64, start: usize, k: usize, at: []const i64 };
const cases = [_]Case{
    .{ .self = &.{7}, .start = 0, .k = 1, .at = &.{5} },
    .{ .self = &.{ 7, 33 }, .start = 0, .k = 1, .at = &.{ 3, 4 } },
    .{ .self = &.{ 3, 9, 4 }, .start = 1, .k = 1, .at = &.{21} },
    .{ .self = &.{ 40, 9 }, .start = 1, .k = 1, .at = &.{700} },
    .{ .self = &.{ 3, 5, 2, 6 }, .start = 1, .k = 2, .at = &.{ 4, 3 } },
    .{ .self = &.{ 4, 5, 3 }, .start = 0, .k = 3, .at = &.{} },
    .{ .self = &.{ 6, 3 }, .start = 0, .k = 1, .at = &.{0} },
    .{ .self = &.{ 6, 0 }, .start = 0, .k = 1, .at = &.{4} },
    .{ .self = &.{ 50, 130 }, .start = 0, .k = 1, .at = &.{900} },
};

/// The shape of what is picked.
fn pickedShape(c: Case, buffer: []i64) []i64 {
    var n: usize = 0;
    for ([_][]const i64{ c.self[0..c.start], c.at, c.self[c.start + c.k ..] }) |part| {
        @memcpy(buffer[n..][0..part.len], part);
        n += part.len;
    }
    return buffer[0..n];
}

/// Where in self position `i` of the picked tensor lies.
fn source(
    c: Case,
    self: *const Tensor,
    picked: *const Tensor,
    indices: []const Tensor,
    i: usize,
) usize {
    const at = picked.coords(i);
    var from: [8]usize = @splat(0);
    @memcpy(from[0..c.start], at[0..c.start]);
    for (indices, 0..) |t, j| {
        const x = t.data(i64)[t.atCoords(at[c.start..])];
        from[c.start + j] = @intCast(if (x < 0) x + c.self[c.start + j] else x);
    }
    const rest = c.self.len - c.start - c.k;
    @memcpy(from[c.start + c.k ..][0..rest], at[c.start + c.at.len ..][0..rest]);
    return self.atCoords(&from);
}

fn check(random: std.Random, c: Case, d: DType, op: u32, accumulate: bool, real: bool) !void {
    const contiguous = random.boolean();
    var self: Tensor = try .init(random, d, c.self, contiguous);
    defer self.deinit();
    var buffer: [8]i64 = undefined;
    var other: Tensor = try .init(random, d, pickedShape(c, &buffer), contiguous);
    defer other.deinit();
    var indices: [3]Tensor = undefined;
    for (0..c.k) |i| {
        indices[i] = try .init(random, .int64, c.at, random.boolean());
        indices[i].fill(random, -c.self[c.start + i], c.self[c.start + i]);
    }
    defer for (indices[0..c.k]) |t| t.deinit();
    const high: i64 = if (d == .bool) 2 else 5;
    if (real) {
        self.fillReal(random);
        other.fillReal(random);
    } else {
        self.fill(random, 0, high);
        other.fill(random, 0, high);
    }
    var operands: [8]*const Tensor = undefined;
    var ints = [_]i64{ @intCast(c.k), @intCast(c.start), 1, @intFromBool(accumulate) };
    const put = op == 1;
    const n = c.k + 2;
    operands[0] = if (put) &self else &other;
    operands[if (put) n - 1 else 1] = if (put) &other else &self;
    for (0..c.k) |i| operands[(if (put) @as(usize, 1) else 2) + i] = &indices[i];

    const before = try std.testing.allocator.dupe(u8, self.memory);
    defer std.testing.allocator.free(before);
    const expected = try std.testing.allocator.alloc(f64, self.memory.len / d.size());
    defer std.testing.allocator.free(expected);
    for (expected, 0..) |*e, i| e.* = self.getOffset(i);
    if (put) for (0..other.numel()) |i| {
        const at = source(c, &self, &other, indices[0..c.k], i);
        const sum = expected[at] + other.get(i);
        expected[at] = if (!accumulate) other.get(i) else switch (d) {
            .bool => @min(1, sum),
            .float32 => @as(f32, @floatCast(sum)), // the order of the sums counts
            else => sum,
        };
    };
    for ([_]u32{ 1, 2, 3 }) |t| {
        testing.setThreads(t);
        @memcpy(self.memory, before);
        try testing.runOk(index.family, op, operands[0..n], 1, &ints);
        if (put) {
            for (expected, 0..) |e, i| try std.testing.expectEqual(e, self.getOffset(i));
        } else for (0..other.numel()) |i| {
            const at = source(c, &self, &other, indices[0..c.k], i);
            try std.testing.expectEqual(self.getOffset(at), other.get(i));
        }
    }
    // One index outside: refused, nothing written.
    if (indices[0].numel() == 0 or other.numel() == 0) return;
    @memcpy(self.memory, before);
    indices[0].data(i64)[indices[0].offset(0)] = c.self[c.start];
    const call = try testing.run(index.family, op, operands[0..n], 1, &ints, &.{});
    try std.testing.expectEqual(@as(i32, 2), call.status.raw);
    const size = c.self[c.start];
    try std.testing.expectEqual([3]i64{ size, size, @intCast(c.start) }, call.detail);
    try std.testing.expectEqualSlices(u8, before, self.memory);
}

test "index and index_put, all layouts" {
    var prng: std.Random.DefaultPrng = .init(1);
    const random = prng.random();
    for (cases) |c| {
        for ([_]DType{ .bool, .int16, .float32, .float64 }) |d| {
            for (0..3) |_| {
                try check(random, c, d, 0, false, false);
                try check(random, c, d, 1, false, false);
            }
        }
        for ([_]DType{ .bool, .int64, .float16, .bfloat16, .float32 }) |d| {
            for (0..3) |_| try check(random, c, d, 1, true, d == .float32);
        }
    }
}

test "embedding_backward skips padding" {
    var prng: std.Random.DefaultPrng = .init(2);
    const random = prng.random();
    for ([_]DType{ .float32, .bfloat16 }) |d| {
        var out: Tensor = try .init(random, d, &.{ 30, 40 }, true);
        defer out.deinit();
        var at: Tensor = try .init(random, .int64, &.{ 60, 20 }, true);
        defer at.deinit();
        var grad: Tensor = try .init(random, d, &.{ 60, 20, 40 }, true);
        defer grad.deinit();
        at.fill(random, 0, 30);
        grad.fill(random, 0, 3);
        for ([_]u32{ 1, 2, 3 }) |t| {
            testing.setThreads(t);
            try testing.runOk(index.family, 2, &.{ &out, &at, &grad }, 1, &.{4});
            var sums: [30 * 40]f64 = @splat(0);
            for (0..at.numel()) |i| {
                const row: usize = @intCast(at.data(i64)[i]);
                if (row != 4) for (0..40) |j| {
                    sums[row * 40 + j] += grad.get(i * 40 + j);
                };
            }
            for (sums, 0..) |e, i| try std.testing.expectEqual(e, out.get(i));
        }
    }
}
