//! softmax.zig against a scalar reference.
const std = @import("std");
const softmax = @import("softmax.zig");
const testing = @import("reduce_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

/// Number of element i of line `line` along dimension `dim`.
fn numberOf(shape: []const i64, dim: usize, line: usize, i: usize) usize {
    var inner: usize = 1;
    for (shape[dim + 1 ..]) |s| inner *= @intCast(s);
    const n: usize = @intCast(shape[dim]);
    return (line / inner * n + i) * inner + line % inner;
}

fn check(
    dtype: DType,
    shape: []const i64,
    dim: usize,
    layout: testing.Layout,
    random: std.Random,
) !void {
    const x = try Tensor.init(dtype, shape, layout, random, 6);
    defer x.deinit();
    const n: usize = @intCast(shape[dim]);
    const lines = x.numel() / @max(1, n);
    for ([_]bool{ false, true }) |log| {
        const y = try Tensor.init(dtype, shape, .contiguous, random, 1);
        defer y.deinit();
        const g = try Tensor.init(dtype, shape, layout, random, 1);
        defer g.deinit();
        const gx = try Tensor.init(
            dtype,
            shape,
            if (layout == .broadcast) .gaps else layout,
            random,
            1,
        );
        defer gx.deinit();
        const dims = [_]i64{@intCast(dim)};
        const forward = testing.find(softmax.names, if (log) "log_softmax" else "softmax");
        _ = try testing.run(softmax.family, forward, &.{ &y, &x }, 1, &dims, &.{});
        const backward = testing.find(
            softmax.names,
            if (log) "log_softmax_backward" else "softmax_backward",
        );
        _ = try testing.run(softmax.family, backward, &.{ &gx, &g, &y }, 1, &dims, &.{});
        for (0..lines) |line| {
            var maximum = -std.math.inf(f64);
            for (0..n) |i| maximum = @max(maximum, x.at(numberOf(shape, dim, line, i)));
            var total: f64 = 0;
            for (0..n) |i| total += @exp(x.at(numberOf(shape, dim, line, i)) - maximum);
            var dot: f64 = 0;
            for (0..n) |i| {
                const k = numberOf(shape, dim, line, i);
                dot += g.at(k) * (if (log) 1 else y.at(k));
            }
            for (0..n) |i| {
                const k = numberOf(shape, dim, line, i);
                const d = x.at(k) - maximum;
                const e = if (log) d - @log(total) else @exp(d) / total;
                try testing.expectClose(e, y.at(k), dtype, if (log) 12 else 0.1);
                const ge = if (log) g.at(k) - @exp(y.at(k)) * dot else y.at(k) * (g.at(k) - dot);
                try testing.expectClose(ge, gx.at(k), dtype, if (log) 4 else 1);
            }
        }
    }
}

test "all rows, dimensions, layouts, dtypes" {
    var generator: std.Random.DefaultPrng = .init(3);
    const random = generator.random();
    for (std.enums.values(testing.Layout)) |layout| for (0..3) |dim| {
        try check(.float32, &.{ 3, 37, 50 }, dim, layout, random);
        try check(.float64, &.{ 4, 5, 9 }, dim, layout, random);
        try check(.bfloat16, &.{ 2, 33, 16 }, dim, layout, random);
        try check(.float16, &.{ 2, 3, 65 }, dim, layout, random);
    };
    try check(.float32, &.{ 2, 10_007 }, 1, .contiguous, random);
    try check(.float32, &.{ 10_007, 3 }, 0, .contiguous, random);
    try check(.float32, &.{ 700, 64 }, 1, .contiguous, random);
    try check(.float32, &.{ 6, 70, 2 }, 1, .contiguous, random);
    try check(.float32, &.{ 70, 6, 2 }, 1, .contiguous, random);
    try check(.float32, &.{ 3, 0, 2 }, 1, .contiguous, random);
    try check(.float32, &.{ 0, 4 }, 1, .contiguous, random);
}

test "special lines, 0-d" {
    var generator: std.Random.DefaultPrng = .init(4);
    const inf = std.math.inf(f64);
    // Long lines go along vectors, short ones across.
    for ([_]i64{ 5, 40 }) |n| {
        const x = try Tensor.init(.float32, &.{ 20, n }, .contiguous, generator.random(), 1);
        defer x.deinit();
        const y = try Tensor.init(.float32, &.{ 20, n }, .contiguous, generator.random(), 1);
        defer y.deinit();
        const size: usize = @intCast(n);
        for (0..size) |i| x.set(i, -inf);
        x.set(size, -inf);
        x.set(2 * size + 1, inf);
        x.set(3 * size + 1, std.math.nan(f64));
        for (0..size) |i| x.set(4 * size + i, 1e30);
        _ = try testing.run(softmax.family, 0, &.{ &y, &x }, 1, &.{1}, &.{});
        for (0..size) |i| {
            try std.testing.expect(std.math.isNan(y.at(i)));
            try std.testing.expect(std.math.isNan(y.at(3 * size + i)));
            try testing.expectClose(
                1 / @as(f64, @floatFromInt(n)),
                y.at(4 * size + i),
                .float32,
                0,
            );
        }
        try std.testing.expectEqual(0, y.at(size));
        try std.testing.expect(std.math.isNan(y.at(2 * size + 1)));
        try std.testing.expect(!std.math.isNan(y.at(5 * size)));
    }
    const x = try Tensor.init(.float32, &.{}, .contiguous, generator.random(), 1);
    defer x.deinit();
    const y = try Tensor.init(.float32, &.{}, .contiguous, generator.random(), 1);
    defer y.deinit();
    _ = try testing.run(softmax.family, 0, &.{ &y, &x }, 1, &.{0}, &.{});
    try std.testing.expectEqual(1, y.at(0));
    _ = try testing.run(softmax.family, 1, &.{ &y, &x }, 1, &.{0}, &.{});
    try std.testing.expectEqual(0, y.at(0));
}
