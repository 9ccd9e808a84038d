//! conv_winograd.zig against the definition in double precision.
const std = @import("std");
const threads = @import("../threads.zig");
const winograd = @import("conv_winograd.zig");
const Geometry = @import("conv_geometry.zig").Geometry;
const Tensor = @import("conv_image.zig").Tensor;

const gpa = std.testing.allocator;

fn tensor(x: []const f32, channels: usize, size: [3]usize) Tensor {
    return .{
        .ptr = @ptrCast(x.ptr),
        .dtype = .float32,
        .image = channels * size[1] * size[2],
        .channel = size[1] * size[2],
        .step = .{ size[1] * size[2], size[2], 1 },
        .size = size,
    };
}

fn random(prng: std.Random, n: usize) ![]f32 {
    const x = try gpa.alloc(f32, n);
    for (x) |*e| e.* = prng.floatNorm(f32);
    return x;
}

/// The largest error of `got`, in units of the definition's root mean square.
fn worst(got: []const f32, want: []const f64) f64 {
    var square: f64 = 0;
    var most: f64 = 0;
    for (got, want) |a, b| {
        square += b * b;
        most = @max(most, @abs(a - b));
    }
    return most / @sqrt(square / @as(f64, @floatFromInt(want.len)));
}

fn check(images: usize, groups: usize, ci: usize, co: usize, height: usize, length: usize, padding: [2]usize) !void {
    const out: [3]usize = .{ 1, height + 2 * padding[0] - 2, length + 2 * padding[1] - 2 };
    const g: Geometry = .{
        .images = images,
        .groups = groups,
        .ci = ci,
        .co = co,
        .in = .{ 1, height, length },
        .out = out,
        .kernel = .{ 1, 3, 3 },
        .stride = @splat(1),
        .padding = .{ 0, @intCast(padding[0]), @intCast(padding[1]) },
        .dilation = @splat(1),
        .has_bias = false,
    };
    try std.testing.expect(winograd.fits(&g));
    var prng = std.Random.DefaultPrng.init(7);
    const x = try random(prng.random(), images * groups * ci * height * length);
    defer gpa.free(x);
    const w = try random(prng.random(), groups * co * ci * 9);
    defer gpa.free(w);
    const gout = try random(prng.random(), images * groups * co * out[1] * out[2]);
    defer gpa.free(gout);
    const want_y = try gpa.alloc(f64, gout.len);
    defer gpa.free(want_y);
    const want_x = try gpa.alloc(f64, x.len);
    defer gpa.free(want_x);
    const want_w = try gpa.alloc(f64, w.len);
    defer gpa.free(want_w);
    for ([_][]f64{ want_y, want_x, want_w }) |a| @memset(a, 0);
    for (0..images) |n| for (0..groups * co) |o| for (0..ci) |i| for (0..9) |tap| for (0..out[1]) |r| {
        const row = r + tap / 3;
        if (row < padding[0] or row - padding[0] >= height) continue;
        for (0..out[2]) |c| {
            const column = c + tap % 3;
            if (column < padding[1] or column - padding[1] >= length) continue;
            const xi = ((n * groups * ci + o / co * ci + i) * height + row - padding[0]) * length + column - padding[1];
            const yi = ((n * groups * co + o) * out[1] + r) * out[2] + c;
            const wi = (o * ci + i) * 9 + tap;
            want_y[yi] += @as(f64, x[xi]) * w[wi];
            want_x[xi] += @as(f64, gout[yi]) * w[wi];
            want_w[wi] += @as(f64, gout[yi]) * x[xi];
        }
    };

    const bias = try gpa.alloc(f32, groups * @max(ci, co));
    defer gpa.free(bias);
    @memset(bias, 0);
    const got_y = try gpa.alloc(f32, gout.len);
    defer gpa.free(got_y);
    const got_x = try gpa.alloc(f32, x.len);
    defer gpa.free(got_x);
    const got_w = try gpa.alloc(f32, w.len);
    defer gpa.free(got_w);
    const xt = tensor(x, groups * ci, g.in);
    const gt = tensor(gout, groups * co, g.out);
    const wt: Tensor = .{ .ptr = @ptrCast(w.ptr), .dtype = .float32, .image = ci * 9, .channel = 9, .step = .{ 9, 3, 1 }, .size = .{ 1, 3, 3 } };
    var sums: [3]u64 = undefined;
    for ([_]u32{ 1, 2, 3 }) |count| {
        _ = threads.setCount(count);
        const forward: winograd.Pass = .{ .g = &g, .image = xt, .weights = wt, .bias = bias, .out = @ptrCast(got_y.ptr), .transposed = false };
        try forward.run();
        const back: winograd.Pass = .{ .g = &g, .image = gt, .weights = wt, .bias = bias, .out = @ptrCast(got_x.ptr), .transposed = true };
        try back.run();
        try winograd.gradWeight(&g, gt, xt, @ptrCast(got_w.ptr));
        for ([_][]f32{ got_y, got_x, got_w }, [_][]f64{ want_y, want_x, want_w }, 0..) |got, want, i| {
            const e = worst(got, want);
            if (e > 2e-5) {
                std.debug.print("result {d}, {d} threads: error {e}\n", .{ i, count, e });
                return error.WrongElement;
            }
            const hash = std.hash.Wyhash.hash(0, std.mem.sliceAsBytes(got));
            if (count == 1) sums[i] = hash;
            try std.testing.expectEqual(sums[i], hash);
        }
    }
}

test "F(4x4, 3x3), all three results" {
    try check(1, 1, 16, 64, 32, 32, .{ 1, 1 });
    try check(3, 1, 16, 48, 30, 27, .{ 1, 1 });
    try check(3, 1, 48, 16, 18, 16, .{ 0, 2 });
    try check(2, 1, 160, 144, 14, 14, .{ 1, 0 });
    try check(16, 1, 32, 32, 4, 4, .{ 1, 1 });
    try check(3, 4, 16, 32, 14, 16, .{ 1, 1 });
    try check(2, 3, 32, 16, 16, 13, .{ 1, 0 });
}
