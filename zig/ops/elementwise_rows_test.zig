//! The rows of unary, binary, ternary, cast and fill against plain formulas.
const std = @import("std");
const testing = @import("elementwise_testing.zig");
const unary = @import("unary.zig");
const binary = @import("binary.zig");
const ternary = @import("ternary.zig");
const cast = @import("cast.zig");
const fill = @import("fill.zig");
const DType = @import("../dtype.zig").DType;
const Tensor = testing.Tensor;
const expectEqual = std.testing.expectEqual;
const float = testing.float;
const int = testing.int;
const nan = std.math.nan(f64);
const inf = std.math.inf(f64);

const line_shapes = blk: {
    var shapes: [12][1]i64 = undefined;
    for (&shapes, 0..) |*shape, i| shape[0] = i;
    break :blk shapes;
};

/// Contiguous, with these values.
fn tensor(dtype: DType, values: []const f64) !Tensor {
    var t: Tensor = try .init(dtype, &line_shapes[values.len], .contiguous);
    for (values, 0..) |x, i| t.set(i, x);
    return t;
}

fn expect(t: *const Tensor, values: []const f64) !void {
    for (values, 0..) |want, i| {
        const got = t.get(i);
        errdefer std.debug.print("element {d}: {d}, not {d}\n", .{ i, got, want });
        if (want != want) {
            try std.testing.expect(got != got);
        } else if (@abs(want) == inf) {
            try expectEqual(want, got);
        } else try std.testing.expect(@abs(got - want) <= 2e-6 * @max(1, @abs(want)));
    }
}

fn expectUnary(name: []const u8, p: testing.Parameters, x: []const f64, y: []const f64) !void {
    errdefer std.debug.print("{s}\n", .{name});
    for ([_]DType{ .float32, .float64 }) |d| {
        var a = try tensor(d, x);
        defer a.deinit();
        var out: Tensor = try .init(d, a.shape, .contiguous);
        defer out.deinit();
        try expectEqual(.ok, try testing.call(unary, name, &.{ &out, &a }, p));
        try expect(&out, y);
    }
}

test "unary rows at their special values" {
    try expectUnary(
        "exp",
        .{},
        &.{ 0.0, 1.0, -inf, inf, nan },
        &.{ 1.0, std.math.e, 0.0, inf, nan },
    );
    try expectUnary("log", .{}, &.{ 1.0, 0.0, -1.0, inf }, &.{ 0.0, -inf, nan, inf });
    try expectUnary(
        "tanh",
        .{},
        &.{ 0.0, 100.0, -100.0, 0.5 },
        &.{ 0.0, 1.0, -1.0, 0.46211715726 },
    );
    try expectUnary("sigmoid", .{}, &.{ 0.0, 100.0, -inf, nan }, &.{ 0.5, 1.0, 0.0, nan });
    try expectUnary(
        "round",
        .{},
        &.{ 0.5, 1.5, 2.5, -0.5, -1.5, 1e30 },
        &.{ 0.0, 2.0, 2.0, 0.0, -2.0, 1e30 },
    );
    try expectUnary("sign", .{}, &.{ -3.0, 0.0, nan, inf }, &.{ -1.0, 0.0, 0.0, 1.0 });
    try expectUnary("relu", .{}, &.{ -1.0, 2.0, nan }, &.{ 0.0, 2.0, nan });
    try expectUnary("silu", .{}, &.{ -inf, 0.0, 1.0 }, &.{ 0.0, 0.0, 0.73105857863 });
    try expectUnary("gelu", .{}, &.{ -inf, 0.0, 1.0, inf }, &.{ 0.0, 0.0, 0.84134474607, inf });
    try expectUnary("mish", .{}, &.{ -inf, 1.0, 90.0 }, &.{ 0.0, 0.86509838827, 90.0 });
    try expectUnary(
        "softplus",
        .{ .scalars = &.{ float(1), float(20) } },
        &.{ 0.0, 21.0, -90.0 },
        &.{ 0.69314718056, 21.0, 0.0 },
    );
    try expectUnary(
        "clamp",
        .{ .scalars = &.{ float(-1), float(2) } },
        &.{ -3.0, 1.0, 7.0, nan },
        &.{ -1.0, 1.0, 2.0, nan },
    );
    try expectUnary(
        "round_decimals",
        .{ .ints = &.{0}, .scalars = &.{float(100)} },
        &.{1.2345},
        &.{1.23},
    );
    try expectUnary(
        "round_decimals",
        .{ .ints = &.{1}, .scalars = &.{float(10)} },
        &.{1234.0},
        &.{1230.0},
    );
    try expectUnary(
        "nan_to_num",
        .{ .scalars = &.{ float(1), float(2), float(3) } },
        &.{ nan, inf, -inf, 5.0 },
        &.{ 1.0, 2.0, 3.0, 5.0 },
    );
}

test "bitwise_not and logical_not tell bool from integers" {
    var b = try tensor(.bool, &.{ 0.0, 1.0, 1.0 });
    defer b.deinit();
    _ = try testing.call(unary, "bitwise_not", &.{ &b, &b }, .{});
    try expect(&b, &.{ 1.0, 0.0, 0.0 });
    var u = try tensor(.uint8, &.{ 0.0, 1.0, 255.0 });
    defer u.deinit();
    _ = try testing.call(unary, "bitwise_not", &.{ &u, &u }, .{});
    try expect(&u, &.{ 255.0, 254.0, 0.0 });
}

fn expectBinary(name: []const u8, d: DType, x: []const f64, y: []const f64, z: []const f64) !void {
    errdefer std.debug.print("{s} {t}\n", .{ name, d });
    var a = try tensor(d, x);
    defer a.deinit();
    var b = try tensor(d, y);
    defer b.deinit();
    var out: Tensor = try .init(d, a.shape, .contiguous);
    defer out.deinit();
    try expectEqual(.ok, try testing.call(binary, name, &.{ &out, &a, &b }, .{}));
    try expect(&out, z);
}

test "division rounds as Python does" {
    const a = &[_]f64{ 7.0, -7.0, 7.0, -7.0, 6.0, 0.0 };
    const b = &[_]f64{ 2.0, 2.0, -2.0, -2.0, 3.0, 5.0 };
    for ([_]DType{ .int8, .int32, .int64, .float32, .float64 }) |d| {
        try expectBinary("floor_divide", d, a, b, &.{ 3.0, -4.0, -4.0, 3.0, 2.0, 0.0 });
        try expectBinary("trunc_divide", d, a, b, &.{ 3.0, -3.0, -3.0, 3.0, 2.0, 0.0 });
        try expectBinary("remainder", d, a, b, &.{ 1.0, 1.0, -1.0, -1.0, 0.0, 0.0 });
        try expectBinary("fmod", d, a, b, &.{ 1.0, -1.0, 1.0, -1.0, 0.0, 0.0 });
    }
    try expectBinary(
        "floor_divide",
        .float32,
        &.{ 1.0, 0.0, inf },
        &.{ 0.0, 0.0, 1.0 },
        &.{ inf, nan, nan },
    );
    try expectBinary("floor_divide", .int32, &.{-2147483648.0}, &.{-1.0}, &.{-2147483648.0});
    try expectBinary("remainder", .int64, &.{-9.0}, &.{-1.0}, &.{0.0});
}

test "an integer divided by zero fails the call" {
    for ([_]DType{ .uint8, .int32, .int64 }) |d| {
        var a = try tensor(d, &.{ 1.0, 2.0, 3.0 });
        defer a.deinit();
        var b = try tensor(d, &.{ 1.0, 0.0, 3.0 });
        defer b.deinit();
        for ([_][]const u8{ "floor_divide", "trunc_divide", "remainder", "fmod" }) |name| {
            try expectEqual(.invalid_value, try testing.call(binary, name, &.{ &a, &a, &b }, .{}));
            const zero: testing.Parameters = .{ .ints = &.{1}, .scalars = &.{int(0)} };
            try expectEqual(.invalid_value, try testing.call(binary, name, &.{ &a, &a }, zero));
        }
    }
}

test "integer powers, shifts and divisors" {
    try expectBinary(
        "pow",
        .int32,
        &.{ 2.0, -3.0, 5.0, 1.0, -1.0, -1.0 },
        &.{ 10.0, 3.0, -1.0, -5.0, -3.0, -2.0 },
        &.{ 1024.0, -27.0, 0.0, 1.0, -1.0, 1.0 },
    );
    try expectBinary(
        "bitwise_left_shift",
        .int16,
        &.{ 1.0, 1.0, 1.0 },
        &.{ 3.0, 16.0, -1.0 },
        &.{ 8.0, 0.0, 0.0 },
    );
    try expectBinary(
        "bitwise_right_shift",
        .int32,
        &.{ -8.0, -8.0, 8.0 },
        &.{ 1.0, 40.0, -1.0 },
        &.{ -4.0, -1.0, 0.0 },
    );
    try expectBinary(
        "gcd",
        .int64,
        &.{ 12.0, -12.0, 0.0, 0.0 },
        &.{ 18.0, 18.0, 5.0, 0.0 },
        &.{ 6.0, 6.0, 5.0, 0.0 },
    );
    try expectBinary(
        "lcm",
        .int32,
        &.{ 4.0, -4.0, 0.0 },
        &.{ 6.0, 6.0, 0.0 },
        &.{ 12.0, 12.0, 0.0 },
    );
}

test "float rows of two inputs at their special values" {
    try expectBinary(
        "maximum",
        .float32,
        &.{ 1.0, nan, 2.0 },
        &.{ nan, 1.0, 3.0 },
        &.{ nan, nan, 3.0 },
    );
    try expectBinary(
        "fmax",
        .float32,
        &.{ 1.0, nan, nan },
        &.{ nan, 1.0, nan },
        &.{ 1.0, 1.0, nan },
    );
    try expectBinary(
        "xlogy",
        .float64,
        &.{ 0.0, 0.0, 2.0 },
        &.{ 0.0, nan, 3.0 },
        &.{ 0.0, nan, 2.1972245773 },
    );
    try expectBinary(
        "heaviside",
        .float32,
        &.{ -1.0, 0.0, 1.0, nan },
        &.{ 7.0, 7.0, 7.0, 7.0 },
        &.{ 0.0, 7.0, 1.0, 0.0 },
    );
    try expectBinary("copysign", .float32, &.{ 1.0, 1.0 }, &.{ -0.0, 2.0 }, &.{ -1.0, 1.0 });
    try expectBinary(
        "nextafter",
        .float64,
        &.{ 1.0, 0.0, nan },
        &.{ 2.0, -1.0, 1.0 },
        &.{ 1.0 + 0x1p-52, -5e-324, nan },
    );
}

test "powers with a number as exponent" {
    const Case = struct { f64, [2]f64 };
    for ([_]Case{
        .{ 2, .{ 9, 4 } },
        .{ 3, .{ -27, 8 } },
        .{ -1, .{ -1.0 / 3.0, 0.5 } },
        .{ -2, .{ 1.0 / 9.0, 0.25 } },
        .{ 0.5, .{ nan, std.math.sqrt2 } },
        .{ 0, .{ 1, 1 } },
        .{ 1, .{ -3, 2 } },
        .{ 1.5, .{ nan, 2.8284271247 } },
    }) |case| {
        var a = try tensor(.float32, &.{ -3.0, 2.0 });
        defer a.deinit();
        const exponent: testing.Parameters = .{ .ints = &.{1}, .scalars = &.{float(case[0])} };
        _ = try testing.call(binary, "pow", &.{ &a, &a }, exponent);
        try expect(&a, &case[1]);
    }
}

test "every backward row is the derivative of its forward row" {
    const h = 1e-6;
    const beta: testing.Parameters = .{ .scalars = &.{ float(2), float(20), float(1) } };
    const Pair = struct { []const u8, []const u8, bool };
    for ([_]Pair{
        .{ "sigmoid", "sigmoid_backward", true },
        .{ "tanh", "tanh_backward", true },
        .{ "relu", "relu_backward", false },
        .{ "gelu", "gelu_backward", false },
        .{ "gelu_tanh", "gelu_tanh_backward", false },
        .{ "silu", "silu_backward", false },
        .{ "mish", "mish_backward", false },
        .{ "log_sigmoid", "log_sigmoid_backward", false },
        .{ "softplus", "softplus_backward", false },
        .{ "elu", "elu_backward", false },
        .{ "elu", "elu_backward_result", true },
        .{ "leaky_relu", "leaky_relu_backward", false },
        .{ "hardswish", "hardswish_backward", false },
        .{ "hardsigmoid", "hardsigmoid_backward", false },
        .{ "softshrink", "shrink_backward", false },
    }) |row| {
        const xs = &[_]f64{ -4.1, -2.5, -0.7, -0.1, 0.2, 0.9, 2.4, 5.5 };
        var x = try tensor(.float64, xs);
        defer x.deinit();
        var y: [3]Tensor = undefined;
        for (&y, 0..) |*t, k| {
            var moved = try tensor(.float64, xs);
            defer moved.deinit();
            for (0..xs.len) |i| moved.set(i, x.get(i) + h * (@as(f64, @floatFromInt(k)) - 1));
            t.* = try .init(.float64, x.shape, .contiguous);
            _ = try testing.call(unary, row[0], &.{ t, &moved }, beta);
        }
        defer for (y) |t| t.deinit();
        var g = try tensor(.float64, &.{ 1.0, 2.0, 3.0, -1.0, 1.0, 2.0, 3.0, -1.0 });
        defer g.deinit();
        var out: Tensor = try .init(.float64, x.shape, .contiguous);
        defer out.deinit();
        _ = try testing.call(binary, row[1], &.{ &out, &g, if (row[2]) &y[1] else &x }, beta);
        for (0..xs.len) |i| {
            const want = g.get(i) * (y[2].get(i) - y[0].get(i)) / (2 * h);
            const got = out.get(i);
            errdefer std.debug.print("{s} at {d}: {d}, not {d}\n", .{ row[1], xs[i], got, want });
            try std.testing.expect(@abs(got - want) < 1e-8);
        }
    }
}

test "where, with tensors and with numbers" {
    for ([_]DType{ .bool, .int16, .bfloat16, .float32, .int64 }) |d| {
        var c = try tensor(.bool, &.{ 1.0, 0.0, 1.0, 0.0 });
        defer c.deinit();
        var a = try tensor(d, &.{ 1.0, 1.0, 0.0, 0.0 });
        defer a.deinit();
        var b = try tensor(d, &.{ 0.0, 0.0, 1.0, 1.0 });
        defer b.deinit();
        var out: Tensor = try .init(d, a.shape, .contiguous);
        defer out.deinit();
        _ = try testing.call(ternary, "where", &.{ &out, &c, &a, &b }, .{});
        try expect(&out, &.{ 1.0, 0.0, 0.0, 1.0 });
        const one = if (d.isFloat()) float(1) else int(1);
        _ = try testing.call(
            ternary,
            "where",
            &.{ &out, &c, &b },
            .{ .ints = &.{1}, .scalars = &.{one} },
        );
        try expect(&out, &.{ 1.0, 0.0, 1.0, 1.0 });
        _ = try testing.call(
            ternary,
            "where",
            &.{ &out, &c, &a },
            .{ .ints = &.{2}, .scalars = &.{one} },
        );
        try expect(&out, &.{ 1.0, 1.0, 0.0, 1.0 });
    }
}

test "the other rows of three inputs" {
    var a = try tensor(.float32, &.{ 1.0, 2.0, 3.0 });
    defer a.deinit();
    var b = try tensor(.float32, &.{ 4.0, -5.0, 6.0 });
    defer b.deinit();
    var c = try tensor(.float32, &.{ 0.25, 0.5, 2.0 });
    defer c.deinit();
    var out: Tensor = try .init(.float32, a.shape, .contiguous);
    defer out.deinit();
    const two: testing.Parameters = .{ .scalars = &.{float(2)} };
    _ = try testing.call(ternary, "addcmul", &.{ &out, &a, &b, &c }, two);
    try expect(&out, &.{ 3.0, -3.0, 27.0 });
    _ = try testing.call(ternary, "addcdiv", &.{ &out, &a, &b, &c }, two);
    try expect(&out, &.{ 33.0, -18.0, 9.0 });
    _ = try testing.call(ternary, "lerp", &.{ &out, &a, &b, &c }, .{});
    try expect(&out, &.{ 1.75, -1.5, 9.0 });
    _ = try testing.call(
        ternary,
        "lerp",
        &.{ &out, &a, &b },
        .{ .ints = &.{1}, .scalars = &.{float(0.5)} },
    );
    try expect(&out, &.{ 2.5, -1.5, 4.5 });
    _ = try testing.call(ternary, "mul_add", &.{ &out, &a, &b, &c }, .{});
    try expect(&out, &.{ 4.25, -9.5, 20.0 });
    _ = try testing.call(ternary, "clamp_tensor", &.{ &out, &b, &a, &c }, .{});
    try expect(&out, &.{ 0.25, 0.5, 2.0 });
}

test "copies between layouts and dtypes" {
    const dtypes = [_]DType{ .bool, .int8, .float16, .int32, .float32, .float64 };
    const shapes = [_][]const i64{
        &.{ 3, 5 }, &.{ 40, 70 }, &.{ 2, 33, 17 }, &.{ 9, 1, 130 }, &.{0}, &.{},
    };
    for (shapes) |shape| {
        const from = [_]testing.Layout{ .contiguous, .reversed, .gaps, .broadcast };
        for (dtypes) |d| for (dtypes) |e| for (from) |l| {
            var x: Tensor = try .init(d, shape, l);
            defer x.deinit();
            for ([_]testing.Layout{ .contiguous, .reversed, .every_second }) |m| {
                var out: Tensor = try .init(e, shape, m);
                defer out.deinit();
                _ = try testing.call(cast, "copy", &.{ &out, &x }, .{});
                for (0..x.numel()) |i| {
                    const as_bool: f64 = if (x.get(i) != 0) 1 else 0;
                    try expectEqual(if (e == .bool) as_bool else x.get(i), out.get(i));
                }
            }
        };
    }
}

test "fill, arange, linspace, eye" {
    for ([_]DType{ .uint8, .int64, .bfloat16, .float32, .float64 }) |d| {
        for ([_]testing.Layout{ .contiguous, .every_second }) |l| {
            var out: Tensor = try .init(d, &.{ 3, 4 }, l);
            defer out.deinit();
            _ = try testing.call(
                fill,
                "fill",
                &.{&out},
                .{ .ints = &.{0}, .scalars = &.{float(3)} },
            );
            for (0..12) |i| try expectEqual(3, out.get(i));
            _ = try testing.call(fill, "eye", &.{&out}, .{});
            for (0..12) |i| try expectEqual(@as(f64, if (i / 4 == i % 4) 1 else 0), out.get(i));
            var line: Tensor = try .init(d, &.{5}, l);
            defer line.deinit();
            _ = try testing.call(
                fill,
                "arange",
                &.{&line},
                .{ .ints = &.{1}, .scalars = &.{ int(2), int(3) } },
            );
            try expect(&line, &.{ 2.0, 5.0, 8.0, 11.0, 14.0 });
            _ = try testing.call(
                fill,
                "arange",
                &.{&line},
                .{ .ints = &.{0}, .scalars = &.{ float(9), float(-2) } },
            );
            try expect(&line, &.{ 9.0, 7.0, 5.0, 3.0, 1.0 });
            _ = try testing.call(
                fill,
                "linspace",
                &.{&line},
                .{ .scalars = &.{ float(1), float(9) } },
            );
            try expect(&line, &.{ 1.0, 3.0, 5.0, 7.0, 9.0 });
        }
    }
}

test "indices of triangles" {
    for ([_]DType{ .int64, .int32 }) |d| for ([_][2]i64{ .{ 5, 7 }, .{ 40, 3 }, .{ 2, 70 } }) |size| {
        const rows, const columns = size;
        for ([_]i64{ -9, -1, 0, 2, 9 }) |diagonal| for (0..2) |upper| {
            var want: std.ArrayList([2]i64) = .empty;
            defer want.deinit(std.testing.allocator);
            for (0..@intCast(rows * columns)) |i| {
                const row = @divTrunc(@as(i64, @intCast(i)), columns);
                const column = @as(i64, @intCast(i)) - row * columns;
                const kept = if (upper == 1) column >= row + diagonal else column <= row + diagonal;
                if (kept) try want.append(std.testing.allocator, .{ row, column });
            }
            const n = want.items.len;
            var out: Tensor = try .init(d, &.{ 2, @intCast(n) }, .contiguous);
            defer out.deinit();
            const ints = [_]i64{ diagonal, @intCast(upper), rows, columns };
            _ = try testing.call(fill, "tri_indices", &.{&out}, .{ .ints = &ints });
            for (want.items, 0..) |at, i| inline for (0..2) |k| {
                try expectEqual(@as(f64, @floatFromInt(at[k])), out.get(k * n + i));
            };
        };
    };
}

test "triangles: rows by lines and by elements, also in place" {
    const layouts = [_]testing.Layout{ .contiguous, .reversed, .gaps };
    for (layouts) |l| for ([_]DType{ .int8, .float16, .float32, .float64 }) |d| for ([_]i64{ 1, 3, 7, 20, 150, 1030 }) |columns| {
        var x: Tensor = try .init(d, &.{ 2, 5, columns }, l);
        defer x.deinit();
        var out: Tensor = try .init(d, &.{ 2, 5, columns }, .contiguous);
        defer out.deinit();
        for ([_][]const u8{ "tril", "triu" }, 0..) |name, upper| for ([_]i64{ std.math.minInt(i64), -3, 0, 2, 33, columns, std.math.maxInt(i64) }) |diagonal| {
            var same: Tensor = try .init(d, &.{ 2, 5, columns }, l);
            defer same.deinit();
            _ = try testing.call(fill, name, &.{ &out, &x }, .{ .ints = &.{diagonal} });
            _ = try testing.call(fill, name, &.{ &same, &same }, .{ .ints = &.{diagonal} });
            for (0..@intCast(10 * columns)) |i| {
                const column: i64 = @intCast(i % @as(usize, @intCast(columns)));
                const border = @as(i64, @intCast(i / @as(usize, @intCast(columns)) % 5)) +| diagonal;
                const want = if (if (upper == 1) column >= border else column <= border) x.get(i) else 0;
                try expectEqual(want, out.get(i));
                try expectEqual(want, same.get(i));
            }
        };
    };
}

test "triangles, flips and rolls" {
    const shape = [_]i64{ 2, 5, 7 };
    const layouts = [_]testing.Layout{ .contiguous, .reversed, .gaps };
    for (layouts) |l| for ([_]DType{ .int8, .float32, .float64 }) |d| {
        var x: Tensor = try .init(d, &shape, l);
        defer x.deinit();
        var out: Tensor = try .init(d, &shape, .contiguous);
        defer out.deinit();
        for ([_]i64{ -9, -1, 0, 2, 9 }) |diagonal| {
            _ = try testing.call(fill, "tril", &.{ &out, &x }, .{ .ints = &.{diagonal} });
            for (0..70) |i| {
                const kept = @as(i64, @intCast(i % 7)) <= @as(i64, @intCast(i / 7 % 5)) + diagonal;
                try expectEqual(if (kept) x.get(i) else 0, out.get(i));
            }
        }
        _ = try testing.call(fill, "flip", &.{ &out, &x }, .{ .ints = &.{ 0, 2 } });
        for (0..70) |i| {
            const from = (1 - i / 35) * 35 + i / 7 % 5 * 7 + 6 - i % 7;
            try expectEqual(x.get(from), out.get(i));
        }
        _ = try testing.call(fill, "roll", &.{ &out, &x }, .{ .ints = &.{ -3, 2, 6, 1 } });
        for (0..70) |i| {
            const row = (i / 7 % 5 + 4) % 5;
            try expectEqual(x.get(i / 35 * 35 + row * 7 + (i % 7 + 3) % 7), out.get(i));
        }
    };
}

/// What `pad` shows at position i of a dimension of `n`; null: the padding's value.
fn shown(mode: i64, i: i64, n: i64) ?usize {
    const at = switch (mode) {
        0 => if (i < 0 or i >= n) return null else i,
        1 => n - 1 - @as(i64, @intCast(@abs(n - 1 - @as(i64, @intCast(@abs(i)))))),
        2 => std.math.clamp(i, 0, n - 1),
        else => @mod(i, n),
    };
    return @intCast(at);
}

test "pad: every mode, element size and width of rows, and what is cut" {
    const amounts = [_][4]i64{ .{ 1, 1, 1, 1 }, .{ 0, 2, 3, 0 }, .{ 2, 0, 0, 4 }, .{ -1, 1, 2, -2 }, .{ 0, 0, -1, -1 }, .{ -1, 2, 0, 0 } };
    for ([_]DType{ .uint8, .float16, .float32, .float64 }) |d| for ([_]i64{ 5, 9, 37, 70 }) |width| {
        for (0..4) |mode| for (amounts) |around| {
            if (mode == 3 and @min(around[0], around[2], around[3]) < 0) continue;
            var x: Tensor = try .init(d, &.{ 2, 4, width }, .contiguous);
            defer x.deinit();
            for (0..x.numel()) |i| x.set(i, @floatFromInt(i % 199));
            const shape = [_]i64{ 2, 4 + around[0] + around[1], width + around[2] + around[3] };
            var out: Tensor = try .init(d, &shape, .contiguous);
            defer out.deinit();
            const ints = [_]i64{ @intCast(mode), 0, 0, 0 } ++ around;
            try expectEqual(.ok, try testing.call(fill, "pad", &.{ &out, &x }, .{ .ints = &ints, .scalars = &.{.{ .f = 7 }} }));
            for (0..out.numel()) |i| {
                const k: i64 = @intCast(i);
                const row = shown(@intCast(mode), @mod(@divFloor(k, shape[2]), shape[1]) - around[0], 4);
                const column = shown(@intCast(mode), @mod(k, shape[2]) - around[2], width);
                const plane = i / @as(usize, @intCast(shape[1] * shape[2]));
                const w: usize = @intCast(width);
                const want: f64 = if (row == null or column == null) 7 else @floatFromInt(((plane * 4 + row.?) * w + column.?) % 199);
                try expectEqual(want, out.get(i));
            }
        };
    };
}

test "every float16 as float32 and float64, and back, rounded to even" {
    const n = 1 << 16;
    var half: Tensor = try .init(.float16, &.{n}, .contiguous);
    defer half.deinit();
    const bits: [*]u16 = @ptrCast(@alignCast(half.memory.ptr));
    inline for (.{ f32, f64 }, .{ DType.float32, DType.float64 }) |T, d| {
        var wide: Tensor = try .init(d, &.{n}, .contiguous);
        defer wide.deinit();
        const x: [*]T = @ptrCast(@alignCast(wide.memory.ptr));
        for (0..n) |i| bits[i] = @intCast(i);
        _ = try testing.call(cast, "copy", &.{ &wide, &half }, .{});
        for (x[0..n], 0..) |got, i| {
            const want: T = @as(f16, @bitCast(@as(u16, @intCast(i))));
            if (want == want) try expectEqual(want, got) else try std.testing.expect(got != got);
        }
        // Between neighbours: just below, at and just above the middle; the largest one's is infinity.
        for (0..3) |side| {
            for (x[0..n], 0..) |*to, i| {
                const low: f16 = @bitCast(@as(u16, @intCast(i)));
                const high: f16 = @bitCast(@as(u16, @intCast(i)) +% 1);
                const middle = if (std.math.isFinite(high)) (@as(T, low) + @as(T, high)) / 2 else @as(T, low) + std.math.copysign(@as(T, 16), low);
                to.* = if (side == 0) std.math.nextAfter(T, middle, 0) else if (side == 1) middle else middle * (1 + 2 * std.math.floatEps(T));
            }
            _ = try testing.call(cast, "copy", &.{ &half, &wide }, .{});
            for (x[0..n], 0..) |from, i| {
                const want: f16 = @floatCast(@as(f32, @floatCast(from))); // as PyTorch rounds float64
                const got: f16 = @bitCast(bits[i]);
                if (want == want) try expectEqual(@as(u16, @bitCast(want)), bits[i]) else try std.testing.expect(got != got);
            }
        }
    }
}
