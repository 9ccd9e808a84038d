//! grid_sample against the sum that defines it, and its gradients against differences of it.
const std = @import("std");
const plan = @import("../plan.zig");
const grid_sample = @import("grid_sample.zig");
const Call = plan.Call;

const channels = 7; // not a multiple of those that are sampled together
const height = 4;
const width = 7;
const points = 70; // more than a tile
const Options = struct { nearest: bool, padding: usize, align_corners: bool };

fn position(x: f64, size: f64, o: Options) f64 {
    var p = if (o.align_corners) (x + 1) / 2 * (size - 1) else ((x + 1) * size - 1) / 2;
    const low: f64 = if (o.align_corners) 0 else -0.5;
    const high: f64 = if (o.align_corners) size - 1 else size - 0.5;
    if (o.padding == 2) while (p < low or p > high) {
        p = if (p < low) 2 * low - p else 2 * high - p;
    };
    return if (o.padding == 0) p else std.math.clamp(p, 0, size - 1);
}

fn expected(image: []const f64, at: [2]f64, o: Options) f64 {
    const x = position(at[0], width, o);
    const y = position(at[1], height, o);
    var sum: f64 = 0;
    for (0..height) |i| for (0..width) |k| {
        const dx = @abs(x - @as(f64, @floatFromInt(k)));
        const dy = @abs(y - @as(f64, @floatFromInt(i)));
        const share = if (!o.nearest) @max(0, 1 - dx) * @max(0, 1 - dy) else if (dx < 0.5 and dy < 0.5) @as(f64, 1) else 0;
        sum += share * image[i * width + k];
    };
    return sum;
}

fn check(o: Options, tolerance: f64) !void {
    var prng: std.Random.DefaultPrng = .init(2);
    const random = prng.random();
    var exact: [channels][height * width]f64 = undefined;
    var image: [channels][height * width]f32 = undefined;
    for (&exact, &image) |*a, *b| for (a, b) |*x, *y| {
        y.* = random.float(f32) - 0.5;
        x.* = y.*;
    };
    var grid: [points][2]f32 = undefined;
    for (&grid) |*at| for (at) |*x| {
        x.* = 5 * random.float(f32) - 2.5;
    };
    var g: [channels][points]f32 = undefined;
    for (&g) |*row| for (row) |*x| {
        x.* = random.float(f32) - 0.5;
    };
    var out: [channels][points]f32 = undefined;
    var image_gradient: [channels][height * width]f32 = undefined;
    var grid_gradient: [points][2]f32 = undefined;
    var both: struct { image: @TypeOf(image_gradient), grid: @TypeOf(grid_gradient) } = undefined;

    const image_of: plan.Operand = .{ .dtype = .float32, .shape = &.{ 1, channels, height, width }, .strides = &.{ 0, height * width, width, 1 } };
    const grid_of: plan.Operand = .{ .dtype = .float32, .shape = &.{ 1, points, 2 }, .strides = &.{ 0, 2, 1 } };
    const out_of: plan.Operand = .{ .dtype = .float32, .shape = &.{ 1, channels, points }, .strides = &.{ 0, points, 1 } };
    const ints = [_]i64{ @intFromBool(o.nearest), @intCast(o.padding), @intFromBool(o.align_corners), height, width };
    const operands = [4][]const plan.Operand{
        &.{ out_of, image_of, grid_of },
        &.{ image_of, out_of, grid_of },
        &.{ grid_of, out_of, image_of, grid_of },
        &.{ image_of, grid_of, out_of, image_of, grid_of },
    };
    const addresses = [4][5]?[*]u8{
        .{ @ptrCast(&out), @ptrCast(&image), @ptrCast(&grid), null, null },
        .{ @ptrCast(&image_gradient), @ptrCast(&g), @ptrCast(&grid), null, null },
        .{ @ptrCast(&grid_gradient), @ptrCast(&g), @ptrCast(&image), @ptrCast(&grid), null },
        .{ @ptrCast(&both.image), @ptrCast(&both.grid), @ptrCast(&g), @ptrCast(&image), @ptrCast(&grid) },
    };
    for (operands, addresses, 0..) |list, given, op| {
        if (o.nearest and op >= 2) continue;
        var p = plan.testPlan(list, if (op == 3) 2 else 1, @intCast(op), &ints, &.{});
        try grid_sample.prepare(&p, @fromBackingInt(@intCast(op)));
        var call: Call = .{};
        call.ptr[0..5].* = given;
        p.run(&p, &call);
    }

    var want: [channels][height * width]f64 = @splat(@splat(0));
    for (grid, 0..) |at, i| {
        const here = [2]f64{ at[0], at[1] };
        var slope: [2]f64 = .{ 0, 0 };
        for (0..channels) |c| {
            try std.testing.expectApproxEqAbs(expected(&exact[c], here, o), out[c][i], tolerance);
            for (0..height * width) |k| {
                var one: [height * width]f64 = @splat(0);
                one[k] = 1;
                want[c][k] += g[c][i] * expected(&one, here, o);
            }
            for (0..2) |axis| {
                var there = [2][2]f64{ here, here };
                there[0][axis] += 1e-6;
                there[1][axis] -= 1e-6;
                slope[axis] += g[c][i] * (expected(&exact[c], there[0], o) - expected(&exact[c], there[1], o)) / 2e-6;
            }
        }
        if (!o.nearest) for (slope, grid_gradient[i]) |a, b| try std.testing.expectApproxEqAbs(a, b, 100 * tolerance);
    }
    if (!o.nearest) {
        try std.testing.expectEqual(image_gradient, both.image);
        try std.testing.expectEqual(grid_gradient, both.grid);
    }
    for (want, image_gradient) |a, b| for (a, b) |x, y| try std.testing.expectApproxEqAbs(x, y, 10 * tolerance);
}

test "samples of an image at points of a grid, and their gradients" {
    for ([_]bool{ false, true }) |nearest| for (0..3) |padding| for ([_]bool{ false, true }) |align_corners| {
        const o: Options = .{ .nearest = nearest, .padding = padding, .align_corners = align_corners };
        try check(o, 1e-5);
    };
}
