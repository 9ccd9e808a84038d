//! norm.zig against scalar references.
const std = @import("std");
const norm = @import("norm.zig");
const plan = @import("../plan.zig");
const testing = @import("reduce_testing.zig");
const threads = @import("../threads.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;
const gpa = std.testing.allocator;

/// Normalisation where element i of x has its statistics in `group(i)` and its weight in
/// `channel(i)`: every row of the family is one of these.
const Reference = struct {
    groups: usize,
    mean: []f64,
    rstd: []f64,
    variance: []f64,
    count: f64,

    const Of = *const fn (shape: []const usize, i: usize) usize;

    fn init(
        x: *const Tensor,
        shape: []const usize,
        group: Of,
        groups: usize,
        eps: f64,
        rms: bool,
    ) !Reference {
        const r: Reference = .{
            .groups = groups,
            .mean = try gpa.alloc(f64, groups),
            .rstd = try gpa.alloc(f64, groups),
            .variance = try gpa.alloc(f64, groups),
            .count = @as(f64, @floatFromInt(x.numel())) / @as(f64, @floatFromInt(groups)),
        };
        @memset(r.mean, 0);
        @memset(r.variance, 0);
        if (!rms) for (0..x.numel()) |i| {
            r.mean[group(shape, i)] += x.at(i) / r.count;
        };
        for (0..x.numel()) |i| {
            const d = x.at(i) - r.mean[group(shape, i)];
            r.variance[group(shape, i)] += d * d / r.count;
        }
        for (r.rstd, r.variance) |*s, v| s.* = 1 / @sqrt(v + eps);
        return r;
    }
    fn deinit(r: Reference) void {
        gpa.free(r.mean);
        gpa.free(r.rstd);
        gpa.free(r.variance);
    }
};

const Which = enum { layer, rms, batch, fixed, group };

const group_count = 3;
fn groupOf(comptime which: Which) Reference.Of {
    return struct {
        fn of(shape: []const usize, i: usize) usize {
            return switch (which) { // shape: (N, C, S); layer and rms: (M, D, 1)
                .layer, .rms => i / shape[1],
                .batch, .fixed => i / shape[2] % shape[1],
                .group => i / (shape[1] / group_count * shape[2]),
            };
        }
    }.of;
}
fn channelOf(comptime which: Which) Reference.Of {
    return struct {
        fn of(shape: []const usize, i: usize) usize {
            return switch (which) {
                .layer, .rms => i % shape[1],
                else => i / shape[2] % shape[1],
            };
        }
    }.of;
}

fn check(
    comptime which: Which,
    dtype: DType,
    shape: [3]usize,
    layout: testing.Layout,
    affine: bool,
    random: std.Random,
) !void {
    const eps = 1e-3;
    const momentum = 0.1;
    const rms = which == .rms;
    const n, const c, const s = shape;
    const x_shape = [3]i64{ @intCast(n), @intCast(c), @intCast(s) };
    const stat: DType = if (dtype == .float64) .float64 else .float32;
    const groups = switch (which) {
        .layer, .rms => n,
        .batch, .fixed => c,
        .group => n * group_count,
    };
    const x = try Tensor.init(dtype, &x_shape, layout, random, 2);
    defer x.deinit();
    const g = try Tensor.init(dtype, &x_shape, layout, random, 1);
    defer g.deinit();
    const y = try Tensor.init(dtype, &x_shape, .contiguous, random, 1);
    defer y.deinit();
    const gx = try Tensor.init(
        dtype,
        &x_shape,
        if (layout == .permuted) layout else .contiguous,
        random,
        1,
    );
    defer gx.deinit();
    const channels = [1]i64{@intCast(c)};
    var vectors: [6]Tensor = undefined; // weight, bias, gw, gb, running mean and variance
    for (&vectors, 0..) |*v, k| {
        v.* = try .init(if (k < 4) dtype else stat, &channels, .contiguous, random, 1);
    }
    defer for (vectors) |v| v.deinit();
    for (0..c) |k| vectors[5].set(k, @abs(vectors[5].at(k)) + 0.1);
    const weight: ?*const Tensor = if (affine) &vectors[0] else null;
    const bias: ?*const Tensor = if (affine) &vectors[1] else null;
    const mean = try Tensor.init(stat, &.{@intCast(groups)}, .contiguous, random, 1);
    defer mean.deinit();
    const rstd = try Tensor.init(stat, &.{@intCast(groups)}, .contiguous, random, 1);
    defer rstd.deinit();

    const group = groupOf(which);
    const channel = channelOf(which);
    const r = try Reference.init(&x, &shape, group, groups, eps, rms);
    defer r.deinit();
    const running: [2][]f64 = .{ try gpa.alloc(f64, c), try gpa.alloc(f64, c) };
    defer for (running) |v| gpa.free(v);
    for (0..c) |k| for (running, vectors[4..6]) |to, from| {
        to[k] = from.at(k);
    };
    if (which == .fixed) for (0..c) |k| {
        r.mean[k] = running[0][k];
        r.rstd[k] = 1 / @sqrt(running[1][k] + eps);
    };

    const name = switch (which) {
        .layer => "layer_norm",
        .rms => "rms_norm",
        .batch => "batch_norm",
        .fixed => "batch_norm_eval",
        .group => "group_norm",
    };
    const row = testing.find(norm.names, name);
    const ints = [1]i64{if (which == .group) group_count else @intCast(c)};
    const tensors: []const ?*const Tensor = switch (which) {
        .layer, .group => &.{ &y, &mean, &rstd, &x, weight, bias },
        .rms => &.{ &y, &rstd, &x, weight },
        .batch => &.{ &y, &mean, &rstd, &vectors[4], &vectors[5], &x, weight, bias },
        .fixed => &.{ &y, &x, weight, bias, &vectors[4], &vectors[5] },
    };
    const outputs: u32 = switch (which) {
        .layer, .group => 3,
        .rms => 2,
        .batch => 5,
        .fixed => 1,
    };
    _ = try testing.runWith(
        norm.family,
        row,
        tensors,
        outputs,
        &ints,
        &.{eps},
        &.{.{ .f = momentum }},
    );
    for (0..x.numel()) |i| {
        const k = group(&shape, i);
        const w = if (affine) vectors[0].at(channel(&shape, i)) else 1;
        const b = if (affine and !rms) vectors[1].at(channel(&shape, i)) else 0;
        try testing.expectClose((x.at(i) - r.mean[k]) * r.rstd[k] * w + b, y.at(i), dtype, 4);
    }
    if (which != .fixed) for (0..groups) |k| {
        if (!rms) try testing.expectClose(r.mean[k], mean.at(k), stat, 1);
        try testing.expectClose(r.rstd[k], rstd.at(k), stat, 4 * r.rstd[k]);
    };
    if (which == .batch) for (0..c) |k| {
        const unbiased = r.variance[k] * r.count / (r.count - 1);
        try testing.expectClose(
            0.9 * running[0][k] + momentum * r.mean[k],
            vectors[4].at(k),
            stat,
            1,
        );
        try testing.expectClose(
            0.9 * running[1][k] + momentum * unbiased,
            vectors[5].at(k),
            stat,
            2,
        );
    };

    const m: *const Tensor = if (which == .fixed) &vectors[4] else &mean;
    const v: *const Tensor = if (which == .fixed) &vectors[5] else &rstd;
    const gw: ?*const Tensor = if (affine) &vectors[2] else null;
    const gb: ?*const Tensor = if (affine) &vectors[3] else null;
    if (which == .rms) {
        _ = try testing.run(norm.family, row + 1, &.{ &gx, gw, &g, &x, v, weight }, 2, &ints, &.{});
    } else {
        const back = testing.find(norm.names, name ++ "_backward");
        _ = try testing.run(
            norm.family,
            back,
            &.{ &gx, gw, gb, &g, &x, m, v, weight },
            3,
            &ints,
            &.{eps},
        );
    }
    // Sums over a group of g w and g w xhat
    const sums: [2][]f64 = .{ try gpa.alloc(f64, groups), try gpa.alloc(f64, groups) };
    defer for (sums) |t| gpa.free(t);
    const affines: [2][]f64 = .{ try gpa.alloc(f64, c), try gpa.alloc(f64, c) };
    defer for (affines) |t| gpa.free(t);
    for (sums ++ affines) |t| @memset(t, 0);
    for (0..x.numel()) |i| {
        const k = group(&shape, i);
        const j = channel(&shape, i);
        const xhat = (x.at(i) - r.mean[k]) * r.rstd[k];
        const w = if (affine) vectors[0].at(j) else 1;
        sums[0][k] += g.at(i) * w / r.count;
        sums[1][k] += g.at(i) * w * xhat / r.count;
        affines[0][j] += g.at(i) * xhat;
        affines[1][j] += g.at(i);
    }
    for (0..x.numel()) |i| {
        const k = group(&shape, i);
        const xhat = (x.at(i) - r.mean[k]) * r.rstd[k];
        const w = if (affine) vectors[0].at(channel(&shape, i)) else 1;
        const first = if (rms or which == .fixed) 0 else sums[0][k];
        const second = if (which == .fixed) 0 else sums[1][k];
        const e = r.rstd[k] * (g.at(i) * w - first - xhat * second);
        try testing.expectClose(e, gx.at(i), dtype, 8 * r.rstd[k]);
    }
    if (affine) for (0..c) |j| {
        const size = 2 * @sqrt(@as(f64, @floatFromInt(x.numel() / c))) + 2;
        try testing.expectClose(affines[0][j], vectors[2].at(j), dtype, size);
        if (!rms) try testing.expectClose(affines[1][j], vectors[3].at(j), dtype, size);
    };
}

test "every row over shapes, layouts, dtypes, with and without weights" {
    var generator: std.Random.DefaultPrng = .init(11);
    const random = generator.random();
    inline for (comptime std.enums.values(Which)) |which| {
        const flat = which == .layer or which == .rms;
        for ([_][3]usize{ .{ 4, 6, 33 }, .{ 5, 9, 2 }, .{ 300, 21, 1 }, .{ 3, 6, 5000 } }) |full| {
            const shape = if (flat) [3]usize{ full[0], full[1] * full[2], 1 } else full;
            try check(which, .float32, shape, .contiguous, true, random);
            if (full[2] == 5000) continue;
            for ([_]testing.Layout{ .contiguous, .permuted, .gaps }) |layout| {
                try check(which, .float32, shape, layout, layout != .contiguous, random);
                try check(which, .bfloat16, shape, layout, true, random);
                try check(which, .float64, shape, layout, layout == .gaps, random);
            }
        }
    }
}

test "statistics of values far from zero" {
    var generator: std.Random.DefaultPrng = .init(12);
    const random = generator.random();
    const x = try Tensor.init(.float32, &.{ 4, 10_000 }, .contiguous, random, 1);
    defer x.deinit();
    for (0..x.numel()) |i| x.set(i, x.at(i) + 1000);
    const y = try Tensor.init(.float32, &.{ 4, 10_000 }, .contiguous, random, 1);
    defer y.deinit();
    const mean = try Tensor.init(.float32, &.{4}, .contiguous, random, 1);
    defer mean.deinit();
    const rstd = try Tensor.init(.float32, &.{4}, .contiguous, random, 1);
    defer rstd.deinit();
    const shape = [3]usize{ 4, 10_000, 1 };
    const r = try Reference.init(&x, &shape, groupOf(.layer), 4, 0, false);
    defer r.deinit();
    _ = try testing.run(
        norm.family,
        0,
        &.{ &y, &mean, &rstd, &x, null, null },
        3,
        &.{10_000},
        &.{0},
    );
    for (0..4) |k| try testing.expectClose(r.rstd[k], rstd.at(k), .float32, r.rstd[k]);
}

test "empty batches" {
    var generator: std.Random.DefaultPrng = .init(13);
    const random = generator.random();
    const x = try Tensor.init(.float32, &.{ 0, 6, 4 }, .contiguous, random, 1);
    defer x.deinit();
    const gw = try Tensor.init(.float32, &.{6}, .contiguous, random, 1);
    defer gw.deinit();
    const stat = try Tensor.init(.float32, &.{6}, .contiguous, random, 1);
    defer stat.deinit();
    const back = testing.find(norm.names, "batch_norm_backward");
    _ = try testing.run(
        norm.family,
        back,
        &.{ &x, &gw, null, &x, &x, &stat, &stat, null },
        3,
        &.{},
        &.{0},
    );
    for (0..6) |i| try std.testing.expectEqual(0, gw.at(i));
    const none = try Tensor.init(.float32, &.{0}, .contiguous, random, 1);
    defer none.deinit();
    gw.set(3, 1);
    _ = try testing.run(
        norm.family,
        1,
        &.{ &x, &gw, null, &x, &x, &none, &none, null },
        3,
        &.{6},
        &.{0},
    );
    for (0..6) |i| try std.testing.expectEqual(0, gw.at(i));
}
