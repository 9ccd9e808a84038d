//! Tests of the random rows. The expected numbers are PyTorch 2.13's after manual_seed(0).
const std = @import("std");
const plan_zig = @import("../plan.zig");
const random = @import("random.zig");
const tiles = @import("random_tiles.zig");
const dtype_zig = @import("../dtype.zig");
const Generator = @import("../random.zig").Generator;
const Operand = plan_zig.Operand;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectEqualSlices = std.testing.expectEqualSlices;

fn rowNumber(comptime name: []const u8) u32 {
    return comptime for (random.names, 0..) |n, i| {
        if (std.mem.eql(u8, n, name)) break @intCast(i);
    } else unreachable;
}

fn dtypeOf(comptime T: type) dtype_zig.DType {
    return switch (T) {
        bool => .bool,
        u8 => .uint8,
        i8 => .int8,
        i64 => .int64,
        f16 => .float16,
        dtype_zig.BFloat16 => .bfloat16,
        f32 => .float32,
        f64 => .float64,
        else => unreachable,
    };
}

fn vector(dtype: dtype_zig.DType, n: *const [1]i64) Operand {
    return .{ .dtype = dtype, .shape = n, .strides = &.{1} };
}

const Draw = struct {
    g: Generator align(64) = undefined,

    fn init(d: *Draw) void {
        d.g.lock = 0;
        d.g.init(0);
    }

    /// One row with an output and up to one further operand.
    fn run(
        d: *Draw,
        comptime name: []const u8,
        out: anytype,
        scalars: []const plan_zig.Scalar,
        extra: ?struct { Operand, *anyopaque },
        serial: i64,
    ) !i32 {
        const T = std.meta.Elem(@TypeOf(out));
        const n: [1]i64 = .{@intCast(out.len)};
        const generator_size: [1]i64 = .{Generator.bytes};
        const operands = [_]Operand{
            vector(dtypeOf(T), &n),
            vector(.uint8, &generator_size),
            if (extra) |e| e[0] else vector(.uint8, &n),
        };
        const count: usize = if (extra == null) 2 else 3;
        var p = plan_zig.testPlan(operands[0..count], 1, rowNumber(name), &.{serial}, &.{});
        try random.family.prepare(&p);
        var call: plan_zig.Call = .{};
        call.ptr[0] = @ptrCast(out.ptr);
        call.ptr[1] = @ptrCast(&d.g);
        if (extra) |e| call.ptr[2] = @ptrCast(e[1]);
        @memcpy(call.scalar[0..scalars.len], scalars);
        p.run(&p, &call);
        return call.status.load(.monotonic);
    }

    fn seeded(comptime name: []const u8, out: anytype, scalars: []const plan_zig.Scalar) !void {
        var d: Draw = .{};
        d.init();
        try expectEqual(0, try d.run(name, out, scalars, null, 0));
    }
};

const standard: []const plan_zig.Scalar = &.{ .{ .f = 0 }, .{ .f = 1 } };

test "PyTorch's numbers" {
    var x: [17]f32 = undefined;
    try Draw.seeded("uniform", x[0..3], standard);
    try expectEqualSlices(f32, &.{ 0x1.fc2ab0p-2, 0x1.89545ep-1, 0x1.6a675p-4 }, x[0..3]);
    try Draw.seeded("normal", x[0..3], standard);
    try expectEqualSlices(f32, &.{ 0x1.8a7eb8p+0, -0x1.2c78ap-2, -0x1.16e292p+1 }, x[0..3]);
    try Draw.seeded("rand", x[0..3], &.{});
    try expectEqual(0x1.fc2ab0p-2, x[0]);
    try Draw.seeded("randn", x[0..3], &.{});
    try expectEqual(0x1.8a7eb8p+0, x[0]);
    try Draw.seeded("normal", x[0..17], standard);
    if (@import("../simd.zig").has_fma) {
        try expectEqual(-0x1.20370ap+0, x[0]);
        try expectEqual(-0x1.b2288cp+0, x[1]);
        try expectEqual(0x1.df54aap-2, x[8]);
        try expectEqual(-0x1.aff666p-1, x[15]);
        try expectEqual(0x1.dd186p-1, x[16]);
    } else try std.testing.expectApproxEqRel(-0x1.20370ap+0, x[0], 1e-6);
    try Draw.seeded("exponential", x[0..3], &.{.{ .f = 1 }});
    try expectEqualSlices(f32, &.{ 0x1.c110d6p+1, 0x1.3afa7ep+0, 0x1.3ae71p-1 }, x[0..3]);
    try Draw.seeded("bernoulli", x[0..10], &.{.{ .f = 0.4 }});
    try expectEqualSlices(f32, &.{ 0, 0, 0, 0, 0, 0, 1, 1, 0, 1 }, x[0..10]);
    try Draw.seeded("geometric", x[0..4], &.{.{ .f = 0.2 }});
    try expectEqualSlices(f32, &.{ 1, 2, 4, 1 }, x[0..4]);

    var i: [10]i64 = undefined;
    try Draw.seeded("random_range", i[0..6], &.{ .{ .i = 100 }, .{ .i = 0 } });
    try expectEqualSlices(i64, &.{ 44, 39, 33, 60, 63, 79 }, i[0..6]);
    try Draw.seeded("random_range", i[0..2], &.{ .{ .i = 1 << 40 }, .{ .i = 0 } });
    try expectEqualSlices(i64, &.{ 741280623151, 506137267392 }, i[0..2]);
    try Draw.seeded("randperm", i[0..10], &.{});
    try expectEqualSlices(i64, &.{ 4, 1, 7, 5, 3, 9, 0, 8, 6, 2 }, i[0..10]);
    var small: [4]i8 = undefined;
    try Draw.seeded("random", small[0..4], &.{});
    try expectEqualSlices(i8, &.{ 44, 47, 117, 64 }, &small);

    var rates = [_]f32{ 0.5, 5, 50, 500 };
    var d: Draw = .{};
    d.init();
    const four: [1]i64 = .{4};
    const rate: Operand = vector(.float32, &four);
    try expectEqual(0, try d.run("poisson", x[0..4], &.{}, .{ rate, &rates }, 0));
    try expectEqualSlices(f32, &.{ 2, 6, 49, 490 }, x[0..4]);
}

test "strided probabilities, and those that are none" {
    var p: [40]f64 = undefined;
    for (&p, 0..) |*x, i| x.* = if (i % 4 == 0) 1 else 7; // only every fourth is read
    var out: [10]bool = undefined;
    var d: Draw = .{};
    d.init();
    const n: [1]i64 = .{10};
    const every_fourth: Operand = .{ .dtype = .float64, .shape = &n, .strides = &.{4} };
    try expectEqual(0, try d.run("bernoulli_tensor", out[0..], &.{}, .{ every_fourth, &p }, 0));
    for (out) |bit| try expect(bit);
    const broadcast: Operand = .{ .dtype = .float64, .shape = &n, .strides = &.{0} };
    p[0] = 0;
    try expectEqual(0, try d.run("bernoulli_tensor", out[0..], &.{}, .{ broadcast, &p }, 0));
    for (out) |bit| try expect(!bit);
    const dense = vector(.float64, &n);
    try expectEqual(5, try d.run("bernoulli_tensor", out[0..], &.{}, .{ dense, &p }, 0));
}

test "the same numbers on one thread and on three" {
    const threads = @import("../threads.zig");
    defer _ = threads.setCount(0);
    const n = 20_011;
    const a = try std.testing.allocator.alloc(f32, n);
    defer std.testing.allocator.free(a);
    const b = try std.testing.allocator.alloc(f32, n);
    defer std.testing.allocator.free(b);
    _ = threads.setCount(1);
    try Draw.seeded("normal", a, standard);
    for ([_]u32{ 2, 3 }) |count| {
        _ = threads.setCount(count);
        try Draw.seeded("normal", b, standard);
        try expectEqualSlices(f32, a, b);
    }
}

test "empty outputs draw nothing" {
    var d: Draw = .{};
    d.init();
    const before = d.g;
    var none: [0]f32 = .{};
    inline for (.{ "uniform", "normal", "randperm", "bernoulli", "exponential" }) |name| {
        try expectEqual(0, try d.run(name, none[0..], standard, null, 0));
    }
    try expectEqual(before.left, d.g.left);
}

test "one by one or at once: the serial normals are one sequence" {
    var d: Draw = .{};
    d.init();
    var at_once: [1001]f64 = undefined;
    try expectEqual(0, try d.run("normal", at_once[0..], standard, null, 1));
    d.init();
    var i: usize = 0;
    for ([_]usize{ 1, 2, 7, 9, 512, 470 }) |n| {
        var part: [512]f64 = undefined;
        try expectEqual(0, try d.run("normal", part[0..n], standard, null, 1));
        try expectEqualSlices(f64, at_once[i..][0..n], part[0..n]);
        i += n;
    }
}

test "remainders are those of integer division" {
    var out: [1000]i64 = undefined;
    for ([_]i64{ 1, 2, 3, 7, 100, 65535, 1 << 20, (1 << 28) - 1 }) |span| {
        try Draw.seeded("random_range", out[0..], &.{ .{ .i = span }, .{ .i = -5 } });
        var g: Generator = undefined;
        g.init(0);
        for (out) |x| try expectEqual(@as(i64, g.next32() % @as(u32, @intCast(span))) - 5, x);
    }
}

test "gamma and binomial numbers are PyTorch's" {
    var d: Draw = .{};
    d.init();
    var shapes = [_]f64{ 2.5, 0.3, 1.0, 7.0 };
    const n: [1]i64 = .{shapes.len};
    var gamma: [4]f64 = undefined;
    const concentration = .{ vector(.float64, &n), @as(*anyopaque, @ptrCast(&shapes)) };
    try expectEqual(0, try d.run("standard_gamma", gamma[0..], &.{}, concentration, 0));
    const expected = [_]f64{ 5.318583494596593, 0.00015093647951683084, 0.8063785856745634, 5.220211367320684 };
    for (expected, gamma) |e, x| try std.testing.expectApproxEqRel(e, x, 1e-12);

    d.init();
    var counts = [_]f32{ 10, 100, 3, 1000, 5 };
    var chances = [_]f32{ 0.3, 0.5, 0.9, 0.05, 0 };
    var drawn: [5]f32 = undefined;
    const five: [1]i64 = .{counts.len};
    const generator_size: [1]i64 = .{Generator.bytes};
    const operands = [_]Operand{
        vector(.float32, &five), vector(.uint8, &generator_size), vector(.float32, &five), vector(.float32, &five),
    };
    var p = plan_zig.testPlan(&operands, 1, rowNumber("binomial"), &.{}, &.{});
    try random.family.prepare(&p);
    var call: plan_zig.Call = .{};
    call.ptr[0..4].* = .{ @ptrCast(&drawn), @ptrCast(&d.g), @ptrCast(&counts), @ptrCast(&chances) };
    p.run(&p, &call);
    try expectEqualSlices(f32, &.{ 6, 48, 3, 49, 0 }, &drawn);
}
