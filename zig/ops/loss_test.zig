//! loss.zig against scalar references.
const std = @import("std");
const loss = @import("loss.zig");
const plan = @import("../plan.zig");
const testing = @import("reduce_testing.zig");
const pointwise = @import("loss_pointwise.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;
const gpa = std.testing.allocator;

const Case = struct {
    dtype: DType = .float32,
    n: usize,
    c: usize,
    s: usize = 1,
    layout: testing.Layout = .contiguous,
    reduction: i64 = 1,
    smoothing: f64 = 0,
    weighted: bool = false,
    likelihood: bool = false,
};

fn check(case: Case, random: std.Random) !void {
    const n, const c, const s = .{ case.n, case.c, case.s };
    const ignore = -100;
    const dtype = case.dtype;
    const stat: DType = if (dtype == .float64) .float64 else .float32;
    const full = [3]i64{ @intCast(n), @intCast(c), @intCast(s) };
    const flat = [2]i64{ @intCast(n), @intCast(s) };
    // (N, C) and (N) when S is 1
    const ndim: usize = if (s == 1) 2 else 3;
    const x = try Tensor.init(dtype, full[0..ndim], case.layout, random, 4);
    defer x.deinit();
    const gx_layout: testing.Layout = if (case.layout == .permuted) .permuted else .contiguous;
    const gx = try Tensor.init(dtype, full[0..ndim], gx_layout, random, 1);
    defer gx.deinit();
    const target = try Tensor.init(.int64, flat[0 .. ndim - 1], .contiguous, random, 1);
    defer target.deinit();
    const weight = try Tensor.init(dtype, &.{@intCast(c)}, .contiguous, random, 1);
    defer weight.deinit();
    for (0..c) |k| weight.set(k, @abs(weight.at(k)) + 0.1);
    for (0..n * s) |i| {
        const class: f64 = @floatFromInt(random.uintLessThan(usize, c));
        target.set(i, if (random.uintLessThan(u8, 5) == 0) ignore else class);
    }
    target.set(0, 1);
    const none = case.reduction == 0;
    const out_shape: []const i64 = if (none) flat[0 .. ndim - 1] else &.{};
    const out = try Tensor.init(dtype, out_shape, .contiguous, random, 1);
    defer out.deinit();
    const g = try Tensor.init(dtype, out_shape, .contiguous, random, 1);
    defer g.deinit();
    const saved = try Tensor.init(stat, &.{ 2, flat[0], flat[1] }, .contiguous, random, 1);
    defer saved.deinit();
    const total = try Tensor.init(stat, &.{}, .contiguous, random, 1);
    defer total.deinit();

    const w: ?*const Tensor = if (case.weighted) &weight else null;
    const ints = [2]i64{ case.reduction, ignore };
    const floats = [1]f64{case.smoothing};
    if (case.likelihood) {
        _ = try testing.run(loss.family, 2, &.{ &out, &total, &x, &target, w }, 2, &ints, &.{});
        _ = try testing.run(loss.family, 3, &.{ &gx, &g, &target, &total, w }, 1, &ints, &.{});
    } else {
        const there = [_]?*const Tensor{ &out, &saved, &total, &x, &target, w };
        _ = try testing.run(loss.family, 0, &there, 3, &ints, &floats);
        const back = [_]?*const Tensor{ &gx, &g, &x, &target, &saved, &total, w };
        _ = try testing.run(loss.family, 1, &back, 1, &ints, &floats);
    }

    var sum: f64 = 0;
    var weights: f64 = 0;
    for (0..n * s) |i| if (target.at(i) != ignore) {
        weights += if (case.weighted) weight.at(@as(usize, @intCast(target.as(i64, i)))) else 1;
    };
    for (0..n * s) |i| {
        const first = i / s * c * s + i % s;
        var maximum = -std.math.inf(f64);
        for (0..c) |k| maximum = @max(maximum, x.at(first + k * s));
        var exponentials: f64 = 0;
        for (0..c) |k| exponentials += @exp(x.at(first + k * s) - maximum);
        const log_total = if (case.likelihood) 0 else maximum + @log(exponentials);
        const scale = (if (none) g.at(i) else g.at(0)) / (if (case.reduction == 1) weights else 1);
        var each: f64 = 0;
        const ignored = target.at(i) == ignore;
        for (0..c) |k| {
            const wk = if (case.weighted) weight.at(k) else 1;
            const hit = !ignored and target.as(i64, i) == @as(i64, @intCast(k));
            const share = case.smoothing / @as(f64, @floatFromInt(c)) +
                if (hit) 1 - case.smoothing else 0;
            if (!ignored) each -= share * wk * (x.at(first + k * s) - log_total);
            // d each / d x_k = sum_j share_j w_j (p_k - [j = k])
            var factors: f64 = 0;
            for (0..c) |j| {
                const wj = if (case.weighted) weight.at(j) else 1;
                const own = target.as(i64, i) == @as(i64, @intCast(j));
                factors += wj * (case.smoothing / @as(f64, @floatFromInt(c)) +
                    if (own) 1 - case.smoothing else 0);
            }
            const p = if (case.likelihood) 0 else @exp(x.at(first + k * s) - log_total);
            const e = if (ignored) 0 else scale * (factors * p - share * wk);
            try testing.expectClose(e, gx.at(first + k * s), dtype, @abs(scale) * 4);
        }
        sum += each;
        if (none) try testing.expectClose(each, out.at(i), dtype, 8);
    }
    const expected = if (case.reduction == 1) sum / weights else sum;
    if (!none) try testing.expectClose(expected, out.at(0), dtype, 8);
    try testing.expectClose(weights, total.at(0), stat, weights);
}

test "cross_entropy and nll_loss over shapes, layouts, options" {
    var generator: std.Random.DefaultPrng = .init(21);
    const random = generator.random();
    for ([_]bool{ false, true }) |likelihood| {
        for ([_]Case{
            .{ .n = 7, .c = 10 },
            .{ .n = 5, .c = 33, .reduction = 2 },
            .{ .n = 3, .c = 40, .s = 19 },
            .{ .n = 200, .c = 3, .reduction = 0 },
            .{ .n = 20, .c = 4, .s = 3, .reduction = 0 },
            .{ .n = 2, .c = 4500 },
            .{ .n = 30, .c = 500, .reduction = 2 },
            .{ .n = 2, .c = 4, .s = 300, .reduction = 0 },
        }) |base| {
            for ([_]testing.Layout{ .contiguous, .permuted, .gaps, .sliced }) |layout| {
                for ([_]f64{ 0, 0.1 }) |smoothing| for ([_]bool{ false, true }) |weighted| {
                    if (likelihood and smoothing != 0) continue;
                    // The reference is quadratic in C.
                    const large = base.c >= 500;
                    if (large and (layout != .contiguous or !weighted or smoothing == 0)) continue;
                    var case = base;
                    case.layout = layout;
                    case.likelihood = likelihood;
                    case.smoothing = smoothing;
                    case.weighted = weighted;
                    try check(case, random);
                    if (large) continue;
                    case.dtype = if (weighted) .float64 else .bfloat16;
                    try check(case, random);
                };
            }
        }
    }
}

test "targets out of range, all ignored, large logits" {
    var generator: std.Random.DefaultPrng = .init(22);
    const random = generator.random();
    for ([_]i64{ 5, 50 }) |c| {
        const x = try Tensor.init(.float32, &.{ 3, c }, .contiguous, random, 1);
        defer x.deinit();
        const gx = try Tensor.init(.float32, &.{ 3, c }, .contiguous, random, 1);
        defer gx.deinit();
        const target = try Tensor.init(.int64, &.{3}, .contiguous, random, 0);
        defer target.deinit();
        const out = try Tensor.init(.float32, &.{}, .contiguous, random, 1);
        defer out.deinit();
        const saved = try Tensor.init(.float32, &.{ 2, 3 }, .contiguous, random, 1);
        defer saved.deinit();
        const total = try Tensor.init(.float32, &.{}, .contiguous, random, 1);
        defer total.deinit();
        const all = [_]?*const Tensor{ &out, &saved, &total, &x, &target, null };
        target.set(1, @floatFromInt(c));
        const call = try testing.run(loss.family, 0, &all, 3, &.{ 1, -100 }, &.{0});
        const status = @backingInt(plan.Status.index_out_of_range);
        try std.testing.expectEqual(status, call.status.load(.monotonic));
        try std.testing.expectEqual([3]i64{ c, c, 0 }, call.detail);

        for (0..3) |i| target.set(i, 2);
        _ = try testing.run(loss.family, 0, &all, 3, &.{ 1, 2 }, &.{0});
        try std.testing.expect(std.math.isNan(out.at(0)));
        _ = try testing.run(loss.family, 0, &all, 3, &.{ 2, 2 }, &.{0});
        try std.testing.expectEqual(0, out.at(0));

        // The loss of a sure and right answer is tiny, not lost in the size of the logits.
        for (0..x.numel()) |i| x.set(i, 0);
        for (0..3) |i| x.set(i * @as(usize, @intCast(c)) + 2, 1000);
        _ = try testing.run(loss.family, 0, &all, 3, &.{ 1, -100 }, &.{0});
        try std.testing.expectEqual(0, out.at(0));
        for (0..3) |i| target.set(i, 1);
        _ = try testing.run(loss.family, 0, &all, 3, &.{ 1, -100 }, &.{0});
        try std.testing.expectEqual(1000, out.at(0));
        const back = [_]?*const Tensor{ &gx, &out, &x, &target, &saved, &total, null };
        out.set(0, 3);
        _ = try testing.run(loss.family, 1, &back, 1, &.{ 1, -100 }, &.{0});
        try testing.expectClose(-1, gx.at(1), .float32, 1);
        try testing.expectClose(1, gx.at(2), .float32, 1);
    }
}

fn formula(f: pointwise.Formula, x: f64, t: f64, p: f64) [2]f64 {
    const d = x - t;
    const a = @abs(d);
    const sign: f64 = if (d > 0) 1 else if (d < 0) -1 else 0;
    return switch (f) {
        .mse => .{ d * d, 2 * d },
        .l1 => .{ a, sign },
        .bce => .{
            -(t * @max(@log(x), -100) + (1 - t) * @max(@log(1 - x), -100)),
            d / @max(x * (1 - x), 1e-12),
        },
        .bce_with_logits => .{
            @max(x, 0) - x * t + @log(1 + @exp(-@abs(x))),
            1 / (1 + @exp(-x)) - t,
        },
        .smooth_l1 => if (a < p) .{ 0.5 * d * d / p, d / p } else .{ a - 0.5 * p, sign },
        .huber => if (a <= p) .{ 0.5 * d * d, d } else .{ p * (a - 0.5 * p), p * sign },
    };
}

test "losses of elements" {
    const dtypes = [_]DType{ .float32, .float64, .bfloat16 };
    var generator: std.Random.DefaultPrng = .init(23);
    const random = generator.random();
    for (std.enums.values(pointwise.Formula)) |f| {
        const row: u32 = 4 + 2 * @as(u32, @backingInt(f));
        try std.testing.expect(std.mem.startsWith(u8, loss.names[row], @tagName(f)));
        for (dtypes) |dtype| for (std.enums.values(testing.Layout)) |layout| {
            for (0..3) |reduction| for ([_][2]i64{ .{ 3, 21 }, .{ 97, 101 }, .{ 0, 4 } }) |shape| {
                const x = try Tensor.init(dtype, &shape, layout, random, 2);
                defer x.deinit();
                const t = try Tensor.init(dtype, &shape, .contiguous, random, 2);
                defer t.deinit();
                if (f == .bce and x.numel() > 0) for (0..x.numel()) |i| {
                    x.set(i, @mod(@abs(x.at(i)), 0.98) + 0.01);
                    t.set(i, @abs(t.at(i)) / 2);
                };
                const small: []const i64 = if (reduction == 0) &shape else &.{};
                const y = try Tensor.init(dtype, small, .contiguous, random, 1);
                defer y.deinit();
                const g = try Tensor.init(dtype, small, .contiguous, random, 1);
                defer g.deinit();
                const gx = try Tensor.init(dtype, &shape, .permuted, random, 1);
                defer gx.deinit();
                const ints = [1]i64{@intCast(reduction)};
                _ = try testing.run(loss.family, row, &.{ &y, &x, &t }, 1, &ints, &.{0.7});
                _ = try testing.run(loss.family, row + 1, &.{ &gx, &g, &x, &t }, 1, &ints, &.{0.7});
                var sum: f64 = 0;
                const n: f64 = @floatFromInt(x.numel());
                for (0..x.numel()) |i| {
                    const value, const slope = formula(f, x.at(i), t.at(i), 0.7);
                    sum += value;
                    if (reduction == 0) try testing.expectClose(value, y.at(i), dtype, 4);
                    var scale = if (reduction == 0) g.at(i) else g.at(0);
                    if (reduction == 1) scale /= n;
                    const size = @abs(scale) * @max(4, 2 * @abs(slope));
                    try testing.expectClose(scale * slope, gx.at(i), dtype, size);
                }
                if (reduction == 1) try testing.expectClose(sum / n, y.at(0), dtype, 1);
                if (reduction == 2) try testing.expectClose(sum, y.at(0), dtype, sum);
            };
        };
    }
}
