//! scan.zig against a scalar reference.
const std = @import("std");
const scan = @import("scan.zig");
const testing = @import("reduce_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

fn check(
    row: u32,
    dtype: DType,
    shape: []const i64,
    dim: usize,
    layout: testing.Layout,
    reverse: bool,
    random: std.Random,
) !void {
    const name = scan.names[row];
    const is = struct {
        fn is(a: []const u8, b: []const u8) bool {
            return std.mem.eql(u8, a, b);
        }
    }.is;
    const arg = is(name, "cummax") or is(name, "cummin");
    if (!dtype.isFloat() and is(name, "logcumsumexp")) return;
    const x = try Tensor.init(dtype, shape, layout, random, if (is(name, "cumprod")) 1.3 else 5);
    defer x.deinit();
    const out: DType = if (dtype.isFloat() or arg) dtype else .int64;
    const y = try Tensor.init(
        out,
        shape,
        if (layout == .permuted) .permuted else .contiguous,
        random,
        1,
    );
    defer y.deinit();
    const index = try Tensor.init(.int64, shape, .contiguous, random, 1);
    defer index.deinit();
    const ints = [_]i64{ @intCast(dim), @intFromBool(reverse) };
    if (arg)
        _ = try testing.run(scan.family, row, &.{ &y, &index, &x }, 2, &ints, &.{})
    else
        _ = try testing.run(scan.family, row, &.{ &y, &x }, 1, &ints, &.{});

    const n: usize = @intCast(shape[dim]);
    var inner: usize = 1;
    for (shape[dim + 1 ..]) |s| inner *= @intCast(s);
    for (0..x.numel() / @max(1, n)) |line| {
        var total: f64 = if (is(name, "cumprod")) 1 else 0;
        var best: usize = 0;
        var size: f64 = 0;
        for (0..n) |k| {
            const i = if (reverse) n - 1 - k else k;
            const number = (line / inner * n + i) * inner + line % inner;
            const v = x.at(number);
            size += @abs(v);
            if (k == 0 and (arg or is(name, "logcumsumexp"))) {
                total = v;
                best = i;
            } else if (is(name, "cumsum")) {
                total += v;
            } else if (is(name, "cumprod")) {
                total *= v;
            } else if (is(name, "logcumsumexp")) {
                total = @max(total, v) + @log(1 + @exp(-@abs(total - v)));
            } else if (if (is(name, "cummax")) v >= total else v <= total) {
                total = v;
                best = i;
            }
            try testing.expectClose(total, y.at(number), out, size);
            if (arg) try std.testing.expectEqual(@as(i64, @intCast(best)), index.as(i64, number));
        }
    }
}

test "every row over layouts, dimensions, dtypes, both ways" {
    var generator: std.Random.DefaultPrng = .init(5);
    const random = generator.random();
    for (0..5) |row| for (std.enums.values(testing.Layout)) |layout| for (0..3) |dim| {
        const r: u32 = @intCast(row);
        try check(r, .float32, &.{ 3, 37, 50 }, dim, layout, dim == 1, random);
        try check(r, .float64, &.{ 9, 2, 3 }, dim, layout, dim == 2, random);
        try check(r, .bfloat16, &.{ 2, 33, 2 }, dim, layout, false, random);
        try check(r, .int32, &.{ 6, 3, 11 }, dim, layout, true, random);
        try check(r, .bool, &.{ 6, 3, 11 }, dim, layout, false, random);
        try check(r, .float16, &.{ 0, 3, 11 }, dim, layout, false, random);
    };
    for ([_]u32{ 0, 2, 3 }) |row| for ([_]bool{ false, true }) |reverse| {
        try check(row, .float32, &.{20_011}, 0, .contiguous, reverse, random);
        try check(row, .float32, &.{ 9, 17_000 }, 1, .contiguous, reverse, random);
        try check(row, .float32, &.{ 5, 100, 7 }, 1, .contiguous, reverse, random);
        try check(row, .int32, &.{ 50, 10, 2 }, 1, .contiguous, reverse, random);
        try check(row, .float64, &.{ 300, 40 }, 0, .contiguous, reverse, random);
    };
    // What is walked side by side: runs, pairs, many columns, too few of each; in tiles, or as it lies.
    for ([_]u32{ 0, 1, 3, 4 }) |row| for ([_]bool{ false, true }) |reverse| for ([_]DType{ .float32, .float64, .int32, .int64, .bfloat16 }) |dtype| {
        for ([_][3]i64{ .{ 1, 23, 1 }, .{ 3, 9, 1 }, .{ 7, 13, 1 }, .{ 1, 40, 2 }, .{ 2, 40, 3 }, .{ 9, 30, 3 }, .{ 3, 30, 6 }, .{ 8, 2, 1 }, .{ 53, 2, 1 }, .{ 61, 3, 1 }, .{ 1, 8, 130 }, .{ 2, 3, 300 } }) |shape|
            try check(row, dtype, &shape, 1, .contiguous, reverse, random);
        if (row != 1) for ([_][3]i64{ .{ 5, 3000, 1 }, .{ 6, 1500, 3 }, .{ 1, 700, 5 } }) |shape|
            try check(row, dtype, &shape, 1, .contiguous, reverse, random);
    };
}

test "nan, infinities and ties" {
    var generator: std.Random.DefaultPrng = .init(6);
    const nan = std.math.nan(f64);
    const inf = std.math.inf(f64);
    // One line is walked by itself, many side by side.
    for ([_]i64{ 1, 5 }) |lines| {
        const shape = [_]i64{ 6, lines };
        const count: usize = @intCast(lines);
        const x = try Tensor.init(.float32, &shape, .contiguous, generator.random(), 1);
        defer x.deinit();
        const y = try Tensor.init(.float32, &shape, .contiguous, generator.random(), 1);
        defer y.deinit();
        const index = try Tensor.init(.int64, &shape, .contiguous, generator.random(), 1);
        defer index.deinit();
        for ([_]f64{ 1, 1, nan, 3, nan, 2 }, 0..) |v, i| for (0..count) |c| x.set(i * count + c, v);
        _ = try testing.run(scan.family, 3, &.{ &y, &index, &x }, 2, &.{0}, &.{});
        for ([_]i64{ 0, 1, 2, 2, 4, 4 }, 0..) |e, i| {
            for (0..count) |c| try std.testing.expectEqual(e, index.as(i64, i * count + c));
        }
        try std.testing.expect(std.math.isNan(y.at(5 * count)));
        for ([_]f64{ -inf, -inf, 0, inf, 1, inf }, 0..) |v, i| {
            for (0..count) |c| x.set(i * count + c, v);
        }
        _ = try testing.run(scan.family, 2, &.{ &y, &x }, 1, &.{0}, &.{});
        for ([_]f64{ -inf, -inf, 0, inf, inf, inf }, 0..) |e, i|
            try std.testing.expectEqual(e, y.at(i * count));
    }
}
