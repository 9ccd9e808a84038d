//! Tests of the optimizer rows: against one element at a time in float64, and over threads.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const optim = @import("optim.zig");
const rules = @import("optim_rules.zig");
const dtype_zig = @import("../dtype.zig");
const DType = dtype_zig.DType;
const Scalar = plan_zig.Scalar;
const expectEqual = std.testing.expectEqual;
const allocator = std.testing.allocator;

fn run(
    comptime name: []const u8,
    dtype: DType,
    flags: i64,
    table: []const usize,
    scalars: []const f64,
) !void {
    const op = comptime for (optim.names, 0..) |n, i| {
        if (std.mem.eql(u8, n, name)) break i;
    } else unreachable;
    const none: [0]i64 = .{};
    const operands = [_]plan_zig.Operand{.{ .dtype = .int64, .shape = &none, .strides = &none }};
    const ints = [_]i64{ @backingInt(dtype), flags };
    var p = plan_zig.testPlan(&operands, 1, op, &ints, &.{});
    try optim.family.prepare(&p);
    var call: plan_zig.Call = .{};
    call.ptr[0] = @ptrCast(@constCast(table.ptr));
    for (scalars, 0..) |s, i| call.scalar[i] = .{ .f = s };
    p.run(&p, &call);
    try expectEqual(0, call.status.load(.monotonic));
}

fn norm(dtype: DType, order: i64, table: []const usize) !f64 {
    const none: [0]i64 = .{};
    const operands = [_]plan_zig.Operand{
        .{ .dtype = .float64, .shape = &none, .strides = &none },
        .{ .dtype = .int64, .shape = &none, .strides = &none },
    };
    const ints = [_]i64{ @backingInt(dtype), order };
    var p = plan_zig.testPlan(&operands, 1, optim.names.len - 1, &ints, &.{});
    try optim.family.prepare(&p);
    var out: f64 = undefined;
    var call: plan_zig.Call = .{};
    call.ptr[0] = @ptrCast(&out);
    call.ptr[1] = @ptrCast(@constCast(table.ptr));
    p.run(&p, &call);
    try expectEqual(0, call.status.load(.monotonic));
    return out;
}

fn noise(comptime T: type, to: []T, seed: u64) void {
    var random = std.Random.DefaultPrng.init(seed);
    for (to) |*x| {
        const v = random.random().float(f32) - 0.5;
        x.* = if (T == dtype_zig.BFloat16) .fromF32(v) else @floatCast(v);
    }
}

/// Adam as it is written in the paper (Kingma and Ba, 2015, algorithm 1), one element.
fn adamReference(param: *f64, grad: f64, first: *f64, second: *f64, step: f64) void {
    first.* = 0.9 * first.* + 0.1 * grad;
    second.* = 0.999 * second.* + 0.001 * grad * grad;
    const corrected_first = first.* / (1 - std.math.pow(f64, 0.9, step));
    const corrected_second = second.* / (1 - std.math.pow(f64, 0.999, step));
    param.* -= 0.01 * corrected_first / (@sqrt(corrected_second) + 1e-8);
}

test "adam over entries of many sizes is the paper's" {
    const sizes = [_]usize{ 0, 1, 15, 16, 17, 9000, 0, 8192 };
    inline for (.{ f32, f64, dtype_zig.BFloat16 }) |T| {
        const dtype: DType = if (T == f32) .float32 else if (T == f64) .float64 else .bfloat16;
        var table: [1 + sizes.len * 7]usize = undefined;
        table[0] = sizes.len;
        var arrays: [sizes.len][4][]T = undefined;
        var wanted: [sizes.len][3][]f64 = undefined;
        var steps: [sizes.len]f32 = @splat(0);
        for (sizes, 0..) |n, i| {
            for (&arrays[i]) |*a| a.* = try allocator.alloc(T, n);
            for (&wanted[i]) |*a| a.* = try allocator.alloc(f64, n);
            noise(T, arrays[i][0], i);
            for (arrays[i][2..]) |a| noise(T, a, 0);
            for (arrays[i][2..]) |a| @memset(std.mem.sliceAsBytes(a), 0);
            for (wanted[i][0], arrays[i][0]) |*w, x| {
                w.* = if (T == dtype_zig.BFloat16) x.toF32() else x;
            }
            for (wanted[i][1..]) |w| @memset(w, 0);
            table[1 + i * 7 ..][0..7].* = .{
                n,                             @intFromPtr(arrays[i][0].ptr),
                @intFromPtr(arrays[i][1].ptr), @intFromPtr(arrays[i][2].ptr),
                @intFromPtr(arrays[i][3].ptr), 0,
                @intFromPtr(&steps[i]),
            };
        }
        defer for (0..sizes.len) |i| {
            for (arrays[i]) |a| allocator.free(a);
            for (wanted[i]) |a| allocator.free(a);
        };
        for (1..4) |step| {
            for (0..sizes.len) |i| {
                noise(T, arrays[i][1], 100 * step + i);
                for (wanted[i][0], wanted[i][1], wanted[i][2], arrays[i][1]) |*p, *m, *v, g| {
                    const grad: f64 = if (T == dtype_zig.BFloat16) g.toF32() else g;
                    adamReference(p, grad, m, v, @floatFromInt(step));
                }
            }
            try run("adam", dtype, 0, &table, &.{ 0.01, 0.9, 0.999, 1e-8, 0 });
        }
        const tolerance: f64 = if (T == f64) 1e-13 else if (T == f32) 2e-6 else 0.02;
        for (0..sizes.len) |i| {
            try expectEqual(3, steps[i]);
            for (wanted[i][0], arrays[i][0]) |w, x| {
                const value: f64 = if (T == dtype_zig.BFloat16) x.toF32() else x;
                try std.testing.expectApproxEqAbs(w, value, tolerance);
            }
        }
    }
}

test "the same bits on one thread and on three" {
    const threads = @import("../threads.zig");
    defer _ = threads.setCount(0);
    const n = 100_003;
    var arrays: [3][]f32 = undefined;
    for (&arrays) |*a| a.* = try allocator.alloc(f32, n);
    defer for (arrays) |a| allocator.free(a);
    const first = try allocator.alloc(f32, n);
    defer allocator.free(first);
    var norms: [2]f64 = undefined;
    for ([_]u32{ 1, 2, 3 }) |count| {
        _ = threads.setCount(count);
        for (arrays, 0..) |a, i| noise(f32, a, i);
        const sgd = [_]usize{
            2,                                   60_000,
            @intFromPtr(arrays[0].ptr),          @intFromPtr(arrays[1].ptr),
            @intFromPtr(arrays[2].ptr),          0,
            n - 60_000,                          @intFromPtr(arrays[0].ptr + 60_000),
            @intFromPtr(arrays[1].ptr + 60_000), @intFromPtr(arrays[2].ptr + 60_000),
            0,
        };
        try run("sgd", .float32, 2, &sgd, &.{ 0.1, 0.9, 0, 0.01 });
        const one = [_]usize{ 1, n, @intFromPtr(arrays[0].ptr) };
        const total = try norm(.float32, 2, &one);
        if (count == 1) {
            @memcpy(first, arrays[0]);
            norms[0] = total;
        } else {
            try std.testing.expectEqualSlices(f32, first, arrays[0]);
            try expectEqual(norms[0], total);
        }
    }
}

test "norms, scale and clamp" {
    var x = [_]f32{ 3, -4, 12, 0 };
    const table = [_]usize{ 2, 2, @intFromPtr(&x), 2, @intFromPtr(&x[2]) };
    try expectEqual(13, try norm(.float32, 2, &table));
    try expectEqual(19, try norm(.float32, 1, &table));
    try expectEqual(12, try norm(.float32, 0, &table));
    try run("clamp", .float32, 0, &table, &.{ -2, 10 });
    try std.testing.expectEqualSlices(f32, &.{ 3, -2, 10, 0 }, &x);
    try run("scale", .float32, 0, &table, &.{0.5});
    try std.testing.expectEqualSlices(f32, &.{ 1.5, -1, 5, 0 }, &x);
    for ([_]usize{ 0, 3 }) |i| {
        x[i] = std.math.nan(f32);
        for ([_]i64{ 0, 1, 2 }) |order| {
            try std.testing.expect(std.math.isNan(try norm(.float32, order, &table)));
        }
        x[i] = 0;
    }
    const empty = [_]usize{0};
    try expectEqual(0, try norm(.float32, 2, &empty));
    try run("scale", .float32, 0, &empty, &.{0.5});
}

test "whole powers are rounded once" {
    try expectEqual(1, rules.power(0.9, 0));
    try expectEqual(0.9, rules.power(0.9, 1));
    try expectEqual(0x1p-40, rules.power(0.5, 40));
    const wanted = 0.36769542477096373; // 0.999^1000 in exact arithmetic, rounded
    const found = rules.power(0.999, 1000);
    if (@import("../simd.zig").has_fma) {
        try expectEqual(wanted, found);
    } else try std.testing.expectApproxEqRel(wanted, found, 1e-13);
}
