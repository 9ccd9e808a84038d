//! Tests of scatter.zig against loops over coordinates.
const std = @import("std");
const scatter = @import("scatter.zig");
const testing = @import("index_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

const Case = struct { self: []const i64, index: []const i64, src: []const i64, dim: usize };
const cases = [_]Case{
    .{ .self = &.{}, .index = &.{}, .src = &.{}, .dim = 0 },
    .{ .self = &.{9}, .index = &.{30}, .src = &.{31}, .dim = 0 },
    .{ .self = &.{ 5, 900 }, .index = &.{ 8, 800 }, .src = &.{ 8, 800 }, .dim = 0 },
    .{ .self = &.{ 500, 70 }, .index = &.{ 480, 40 }, .src = &.{ 481, 44 }, .dim = 1 },
    .{ .self = &.{ 4, 6, 5 }, .index = &.{ 3, 7, 2 }, .src = &.{ 4, 7, 5 }, .dim = 1 },
    .{ .self = &.{ 4, 3, 5 }, .index = &.{ 3, 0, 2 }, .src = &.{ 4, 7, 5 }, .dim = 1 },
};

fn reference(reduction: i64, d: DType, a: f64, b: f64) f64 {
    return switch (reduction) {
        -1 => b,
        0 => if (d == .bool) @min(1, a + b) else a + b,
        1 => a * b,
        2 => @max(a, b),
        else => @min(a, b),
    };
}

test "scatter, all reductions" {
    var prng: std.Random.DefaultPrng = .init(6);
    const random = prng.random();
    for (cases) |c| for ([_]DType{ .bool, .int16, .float16, .bfloat16, .float32, .int64 }) |d| {
        var reduction: i64 = -1;
        while (reduction < 4) : (reduction += 1) {
            const contiguous = random.boolean();
            var self: Tensor = try .init(random, d, c.self, contiguous);
            defer self.deinit();
            var index: Tensor = try .init(random, .int64, c.index, contiguous);
            defer index.deinit();
            // Every third time one value is spread over the last dimension.
            var src: Tensor = try .init(random, d, c.src, contiguous);
            defer src.deinit();
            if (c.src.len > 1 and random.uintLessThan(u8, 3) == 0) {
                src.strides[c.src.len - 1] = 0;
                index.strides[c.src.len - 1] = if (c.dim == c.src.len - 1) 1 else 0;
            }
            // Products of these stay exact.
            const high: i64 = if (d == .bool) 2 else if (reduction == 1) 3 else 4;
            self.fill(random, if (reduction == 1) 1 else 0, high);
            src.fill(random, 0, high);
            if (reduction == 1) for (0..src.numel()) |i| {
                if (d != .bool) src.set(i, if (random.uintLessThan(u8, 8) == 0) 2 else 1);
            };
            index.fill(random, 0, if (c.self.len == 0) 1 else c.self[c.dim]);
            const before = try std.testing.allocator.dupe(u8, self.memory);
            defer std.testing.allocator.free(before);
            const expected = try std.testing.allocator.alloc(f64, before.len / d.size());
            defer std.testing.allocator.free(expected);
            for (expected, 0..) |*e, i| e.* = self.getOffset(i);
            for (0..index.numel()) |i| {
                var at = index.coords(i);
                const x = src.getOffset(src.atCoords(&at));
                at[c.dim] = @intFromFloat(index.get(i));
                const e = &expected[self.atCoords(&at)];
                e.* = reference(reduction, d, e.*, x);
            }
            const op: u32 = if (reduction < 0) 0 else 2;
            const ints = [_]i64{ @intCast(c.dim), reduction };
            for ([_]u32{ 1, 2, 3 }) |t| {
                testing.setThreads(t);
                @memcpy(self.memory, before);
                const tensors = [_]*const Tensor{ &self, &index, &src };
                try testing.runOk(scatter.family, op, &tensors, 1, &ints);
                for (expected, 0..) |e, i| try std.testing.expectEqual(e, self.getOffset(i));
            }
            if (index.numel() == 0) continue;
            @memset(index.data(i64)[0 .. index.memory.len / 8], 1000);
            const tensors = [_]*const Tensor{ &self, &index, &src };
            const call = try testing.run(scatter.family, op, &tensors, 1, &ints, &.{});
            try std.testing.expectEqual(@as(i32, 2), call.status.raw);
        }
    };
}

test "scatter_value and masked_scatter" {
    var prng: std.Random.DefaultPrng = .init(7);
    const random = prng.random();
    for ([_]DType{ .bool, .int32, .float16, .float64 }) |d| {
        var self: Tensor = try .init(random, d, &.{ 120, 70 }, false);
        defer self.deinit();
        var index: Tensor = try .init(random, .int64, &.{ 100, 5 }, false);
        defer index.deinit();
        index.fill(random, 0, 70);
        const one: @import("../plan.zig").Scalar = if (d.isFloat()) .{ .f = 1 } else .{ .i = 1 };
        const tensors = [_]*const Tensor{ &self, &index };
        try testing.expectOk(try testing.run(scatter.family, 3, &tensors, 1, &.{1}, &.{one}));
        for (0..self.numel()) |i| {
            const hit = for (0..5) |j| {
                const column: f64 = @floatFromInt(i % 70);
                if (i / 70 < 100 and index.get(i / 70 * 5 + j) == column) break true;
            } else false;
            try std.testing.expectEqual(@as(f64, @floatFromInt(@intFromBool(hit))), self.get(i));
        }
        var mask: Tensor = try .init(random, .bool, &.{ 120, 70 }, false);
        defer mask.deinit();
        mask.fill(random, 0, 2);
        var needed: usize = 0;
        for (0..mask.numel()) |i| needed += @intFromFloat(mask.get(i));
        var source: Tensor = try .init(random, d, &.{@intCast(needed)}, false);
        defer source.deinit();
        source.fill(random, 0, 2);
        for ([_]u32{ 1, 3 }) |t| {
            testing.setThreads(t);
            try testing.runOk(scatter.family, 4, &.{ &self, &mask, &source }, 1, &.{});
            var k: usize = 0;
            for (0..mask.numel()) |i| if (mask.get(i) != 0) {
                try std.testing.expectEqual(source.get(k), self.get(i));
                k += 1;
            };
        }
        source.shape[0] -= 1;
        const call = try testing.run(scatter.family, 4, &.{ &self, &mask, &source }, 1, &.{}, &.{});
        try std.testing.expectEqual(@as(i32, 5), call.status.raw);
    }
}
