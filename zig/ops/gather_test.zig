//! Tests of gather.zig against loops over coordinates.
const std = @import("std");
const gather = @import("gather.zig");
const testing = @import("index_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

const Case = struct { self: []const i64, index: []const i64, dim: usize };
const cases = [_]Case{
    .{ .self = &.{}, .index = &.{}, .dim = 0 },
    .{ .self = &.{9}, .index = &.{9000}, .dim = 0 },
    .{ .self = &.{ 5, 700 }, .index = &.{ 8, 600 }, .dim = 0 },
    .{ .self = &.{ 50, 70 }, .index = &.{ 50, 400 }, .dim = 1 },
    .{ .self = &.{ 4, 6, 5 }, .index = &.{ 3, 6, 2 }, .dim = 1 },
    .{ .self = &.{ 4, 0, 5 }, .index = &.{ 3, 0, 2 }, .dim = 1 },
};

test "gather" {
    var prng: std.Random.DefaultPrng = .init(3);
    const random = prng.random();
    for (cases) |c| for ([_]DType{ .uint8, .float16, .float32, .int64 }) |d| for (0..3) |repeat| {
        var self: Tensor = try .init(random, d, c.self, repeat == 0);
        defer self.deinit();
        var index: Tensor = try .init(random, .int64, c.index, repeat == 0);
        defer index.deinit();
        var out: Tensor = try .init(random, d, c.index, repeat == 0);
        defer out.deinit();
        self.fill(random, 0, 100);
        const size = if (c.self.len == 0) 1 else c.self[c.dim];
        if (size != 0) index.fill(random, 0, size);
        for ([_]u32{ 1, 2, 3 }) |t| {
            testing.setThreads(t);
            const ints = [_]i64{@intCast(c.dim)};
            try testing.runOk(gather.family, 0, &.{ &out, &self, &index }, 1, &ints);
            for (0..out.numel()) |i| {
                var at = out.coords(i);
                at[c.dim] = @intFromFloat(index.get(i));
                try std.testing.expectEqual(self.getOffset(self.atCoords(&at)), out.get(i));
            }
        }
        if (index.numel() == 0) continue;
        index.set(index.numel() - 1, -1);
        const ints = [_]i64{@intCast(c.dim)};
        const call = try testing.run(gather.family, 0, &.{ &out, &self, &index }, 1, &ints, &.{});
        try std.testing.expectEqual(@as(i32, 2), call.status.raw);
        try std.testing.expectEqual([3]i64{ -1, size, @intCast(c.dim) }, call.detail);
    };
}

test "nonzero, masked_select" {
    var prng: std.Random.DefaultPrng = .init(4);
    const random = prng.random();
    const shapes = [_][]const i64{
        &.{}, &.{0}, &.{1}, &.{ 90, 110 }, &.{ 3, 0 }, &.{ 20, 30, 40 },
    };
    const dtypes = [_]DType{ .bool, .float16, .float32, .int64 };
    for (shapes) |shape| for (dtypes) |d| for (0..2) |repeat| {
        var self: Tensor = try .init(random, d, shape, repeat == 0);
        defer self.deinit();
        self.fill(random, 0, 2);
        if (d == .float32 and self.numel() > 3) {
            self.set(0, -0.0);
            self.set(1, std.math.nan(f64));
        }
        var mask: Tensor = try .init(random, .bool, shape, random.boolean());
        defer mask.deinit();
        for (0..self.numel()) |i| mask.set(i, if (self.get(i) != 0) 1 else 0);
        var count: Tensor = try .init(random, .int64, &.{}, true);
        defer count.deinit();
        var expected: i64 = 0;
        for (0..self.numel()) |i| expected += @intFromBool(self.get(i) != 0);
        const found = [_]i64{ expected, @intCast(shape.len) };
        var out: Tensor = try .init(random, .int64, &found, repeat == 0);
        defer out.deinit();
        var picked: Tensor = try .init(random, d, &.{expected}, repeat == 0);
        defer picked.deinit();
        for ([_]u32{ 1, 2, 3 }) |t| {
            testing.setThreads(t);
            try testing.runOk(gather.family, 1, &.{ &count, &self }, 1, &.{});
            try std.testing.expectEqual(expected, count.data(i64)[0]);
            try testing.runOk(gather.family, 2, &.{ &out, &self }, 1, &.{});
            try testing.runOk(gather.family, 3, &.{ &picked, &self, &mask }, 1, &.{});
            var row: usize = 0;
            for (0..self.numel()) |i| {
                const x = self.get(i);
                if (x == 0) continue;
                const at = self.coords(i);
                for (0..shape.len) |k| {
                    const given = out.get(row * shape.len + k);
                    try std.testing.expectEqual(@as(f64, @floatFromInt(at[k])), given);
                }
                const y = picked.get(row);
                try std.testing.expect(x == y or (x != x and y != y));
                row += 1;
            }
        }
        if (expected == 0) continue;
        picked.shape[0] -= 1;
        const call = try testing.run(gather.family, 3, &.{ &picked, &self, &mask }, 1, &.{}, &.{});
        try std.testing.expectEqual(@as(i32, 5), call.status.raw);
    };
}

test "repeat_interleave" {
    var prng: std.Random.DefaultPrng = .init(5);
    const random = prng.random();
    var repeats: Tensor = try .init(random, .int64, &.{4}, false);
    defer repeats.deinit();
    for ([_]f64{ 2, 0, 1, 3 }, 0..) |x, i| repeats.set(i, x);
    var out: Tensor = try .init(random, .int64, &.{6}, false);
    defer out.deinit();
    try testing.runOk(gather.family, 4, &.{ &out, &repeats }, 1, &.{});
    for ([_]f64{ 0, 0, 2, 3, 3, 3 }, 0..) |x, i| try std.testing.expectEqual(x, out.get(i));
    repeats.set(3, 4);
    var call = try testing.run(gather.family, 4, &.{ &out, &repeats }, 1, &.{}, &.{});
    try std.testing.expectEqual(@as(i32, 5), call.status.raw);
    repeats.set(1, -4);
    call = try testing.run(gather.family, 4, &.{ &out, &repeats }, 1, &.{}, &.{});
    try std.testing.expectEqual([3]i64{ -4, 1, 0 }, call.detail);
}
