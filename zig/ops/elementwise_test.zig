//! The driver against one element at a time, over layouts, dtypes, sizes and thread counts.
const std = @import("std");
const plan = @import("../plan.zig");
const threads = @import("../threads.zig");
const row = @import("elementwise_row.zig");
const kernels = @import("elementwise_kernel.zig");
const stream = @import("stream.zig");
const formulas = @import("binary_formulas.zig");
const testing = @import("elementwise_testing.zig");
const DType = @import("../dtype.zig").DType;
const Tensor = testing.Tensor;

const small = struct {
    const rows = [_]row.Row{
        row.Rows(2).withColumns(row.Rows(2).every("sub", formulas.sub, 0), formulas.sub),
        row.Rows(2).predicate("lt", formulas.lt),
    };
    pub const names = row.namesOf(&rows);
    pub const family: plan.Family = .{ .prepare = prepare };
    fn prepare(p: *plan.Plan) plan.PrepareError!void {
        const scalar_input: ?usize = if (p.ints.len == 0) null else @intCast(p.ints[0]);
        return row.prepare(p, &rows[p.op], scalar_input);
    }
};

const shapes = [_][]const i64{
    &.{},             &.{1},          &.{0},         &.{ 3, 0, 2 }, &.{5},         &.{16},
    &.{37},           &.{ 3, 4 },     &.{ 2, 1, 5 }, &.{ 9, 10 },   &.{ 7, 64 },   &.{ 3, 300 },
    &.{ 2, 3, 4, 5 }, &.{ 2, 70, 3 }, &.{ 40, 49 },  &.{2600},      &.{ 3, 1500 },
};
const layouts = [_]testing.Layout{ .contiguous, .reversed, .gaps, .broadcast, .every_second };

fn check(name: []const u8, out: *Tensor, a: *const Tensor, b: *const Tensor) !void {
    try std.testing.expectEqual(.ok, try testing.call(small, name, &.{ out, a, b }, .{}));
    const is_sub = std.mem.eql(u8, name, "sub");
    for (0..out.numel()) |i| {
        const x = a.get(i);
        const y = b.get(i);
        const want = if (is_sub) x - y else @as(f64, @floatFromInt(@intFromBool(x < y)));
        try std.testing.expectEqual(want, out.get(i));
    }
}

test "every layout with every other" {
    for (shapes) |shape| for (layouts) |la| for (layouts) |lb| for (layouts) |lo| {
        if (lo == .broadcast) continue;
        var a: Tensor = try .init(.float32, shape, la);
        defer a.deinit();
        var b: Tensor = try .init(.float32, shape, lb);
        defer b.deinit();
        var out: Tensor = try .init(.float32, shape, lo);
        defer out.deinit();
        try check("sub", &out, &a, &b);
    };
}

test "every dtype with every other" {
    const all = [_]DType{
        .bool, .uint8, .int8, .int16, .int32, .int64, .float16, .bfloat16, .float32, .float64,
    };
    const some = [_][]const i64{ &.{70}, &.{ 5, 30 }, &.{ 3, 520 } };
    for (some) |shape| for (all) |da| for (all) |db| {
        for ([_]testing.Layout{ .contiguous, .reversed, .broadcast }) |layout| {
            var a: Tensor = try .init(da, shape, layout);
            defer a.deinit();
            var b: Tensor = try .init(db, shape, .contiguous);
            defer b.deinit();
            var out: Tensor = try .init(.bool, shape, layout);
            defer out.deinit();
            if (layout != .broadcast) try check("lt", &out, &a, &b);
            var wide: Tensor = try .init(.float64, shape, .gaps);
            defer wide.deinit();
            try check("sub", &wide, &a, &b);
        }
    };
}

test "a number for either input, and integers wrap" {
    var a: Tensor = try .init(.uint8, &.{ 7, 30 }, .gaps);
    defer a.deinit();
    var out: Tensor = try .init(.uint8, &.{ 7, 30 }, .contiguous);
    defer out.deinit();
    for ([_]i64{ 0, 1 }) |input| {
        const five: testing.Parameters = .{ .ints = &.{input}, .scalars = &.{testing.int(5)} };
        try std.testing.expectEqual(.ok, try testing.call(small, "sub", &.{ &out, &a }, five));
        for (0..out.numel()) |i| {
            const x = a.get(i) - 5;
            try std.testing.expectEqual(@mod(if (input == 1) x else -x, 256), out.get(i));
        }
    }
}

test "in place" {
    for ([_]testing.Layout{ .contiguous, .gaps, .reversed }) |layout| {
        for ([_][]const i64{ &.{21}, &.{ 30, 33 }, &.{1000} }) |shape| {
            var a: Tensor = try .init(.float32, shape, layout);
            defer a.deinit();
            var old: Tensor = try .init(.float32, shape, layout);
            defer old.deinit();
            var b: Tensor = try .init(.float32, shape, .every_second);
            defer b.deinit();
            _ = try testing.call(small, "sub", &.{ &a, &a, &b }, .{});
            for (0..a.numel()) |i| try std.testing.expectEqual(old.get(i) - b.get(i), a.get(i));
        }
    }
}

test "a column, first and second, and in place" {
    for (16..67) |n| {
        const rows = 300;
        const shape = [_]i64{ rows, @intCast(n) };
        var column: Tensor = try .init(.float32, &.{ 3, rows }, .contiguous);
        defer column.deinit();
        column.shape = &shape;
        column.strides[0] = 3;
        column.strides[1] = 0;
        var out: Tensor = try .init(.float32, &.{rows * @as(i64, @intCast(n))}, .contiguous);
        defer out.deinit();
        var packed_rows: Tensor = try .init(.float32, &shape, .contiguous);
        defer packed_rows.deinit();
        out.shape = &shape;
        out.strides[0] = shape[1];
        out.strides[1] = 1;
        try check("sub", &out, &packed_rows, &column);
        try check("sub", &out, &column, &packed_rows);
        for (0..rows * n) |i| out.set(i, packed_rows.get(i));
        _ = try testing.call(small, "sub", &.{ &out, &out, &column }, .{});
        for (0..rows * n) |i| try std.testing.expectEqual(packed_rows.get(i) - column.get(i), out.get(i));
    }
}

test "a row that all have, first and second" {
    const rows = 50;
    for ([_]i64{ 63, 64, 100, 250, 383, 384, 385, 700, 1025 }) |n| {
        const shape = [_]i64{ rows, n };
        var one: Tensor = try .init(.float32, &.{n}, .contiguous);
        defer one.deinit();
        one.shape = &shape;
        one.strides[0] = 0;
        one.strides[1] = 1;
        var x: Tensor = try .init(.float32, &shape, .contiguous);
        defer x.deinit();
        var out: Tensor = try .init(.float32, &shape, .contiguous);
        defer out.deinit();
        try check("sub", &out, &x, &one);
        try check("sub", &out, &one, &x);
    }
}

test "the number of threads changes nothing" {
    defer _ = threads.setCount(0);
    const shape = [_]i64{ 3, 70, 500 };
    var a: Tensor = try .init(.float32, &shape, .contiguous);
    defer a.deinit();
    for ([_]testing.Layout{ .contiguous, .reversed, .broadcast }) |layout| {
        var b: Tensor = try .init(.float32, &shape, layout);
        defer b.deinit();
        var first: Tensor = try .init(.float32, &shape, .contiguous);
        defer first.deinit();
        for ([_]u32{ 1, 2, 3 }) |count| {
            _ = threads.setCount(count);
            var out: Tensor = try .init(.float32, &shape, .contiguous);
            defer out.deinit();
            _ = try testing.call(small, "sub", &.{ if (count == 1) &first else &out, &a, &b }, .{});
            if (count > 1) try std.testing.expectEqualSlices(u8, first.memory, out.memory);
        }
    }
}

test "stores around the cache give the same, wherever the output begins" {
    const square = struct {
        fn square(comptime V: type, x: V) V {
            return x * x;
        }
    }.square;
    inline for (.{ f32, f64 }) |T| {
        const kernel = kernels.kernelOf(square, T, 1, .{ .streams = true });
        var call: plan.Call = undefined;
        var x: [350]T = undefined;
        for (&x, 0..) |*element, i| element.* = @floatFromInt(i);
        var out: [400]T align(64) = undefined;
        for (0..17) |shift| for ([_]usize{ 0, 1, 15, 16, 17, 40, 350 }) |n| {
            @memset(&out, -1);
            kernel.runStreamed(n, @ptrCast(out[shift..].ptr), @ptrCast(&x), &call);
            stream.fence();
            for (out, 0..) |y, i| {
                const inside = i >= shift and i < shift + n;
                try std.testing.expectEqual(if (inside) x[i - shift] * x[i - shift] else -1, y);
            }
        };
    }
}
