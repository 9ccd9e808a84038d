//! multilabel_margin: the sum over a sample's classes y and all other classes i of max(0, 1 - x[y] + x[i]) / C.
//! multilabel_margin: loss <- x (N, C), target (N, C), int64; ints: reduction (none, sum, mean).
//! multilabel_margin_backward: gx <- g, x, target; ints as above. All contiguous, float32 or float64.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub fn prepare(p: *Plan, backward: bool) plan.PrepareError!void {
    const x = p.operands[if (backward) 2 else 1];
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    if (x.ndim() != 2) return error.Unsupported;
    p.run = switch (x.dtype) {
        .float32 => if (backward) &Rows(f32, true).run else &Rows(f32, false).run,
        .float64 => if (backward) &Rows(f64, true).run else &Rows(f64, false).run,
        else => return error.Unsupported,
    };
}

fn Rows(comptime T: type, comptime backward: bool) type {
    const lanes = simd.elementwiseLanes(T);
    const V = @Vector(lanes, T);
    return struct {
        call: *Call,
        /// Samples and classes.
        n: usize,
        c: usize,
        reduction: enum { none, sum, mean },
        x: [*]const T,
        target: [*]const i64,
        losses: [*]f64,

        const Self = @This();

        fn run(p: *const Plan, call: *Call) void {
            const first: usize = if (backward) 2 else 1;
            const shape = p.operands[first].shape;
            var s: Self = .{
                .call = call,
                .n = @intCast(shape[0]),
                .c = @intCast(shape[1]),
                .reduction = @fromBackingInt(@as(u2, @intCast(p.ints[0]))),
                .x = call.at(T, first),
                .target = call.at(i64, first + 1),
                .losses = undefined,
            };
            const losses = services.allocSlice(f64, if (backward) 1 else s.n) orelse return call.fail(.out_of_memory, @splat(0));
            defer services.free(@ptrCast(losses.ptr));
            s.losses = losses.ptr;
            services.parallelFor(s.n, 1 + (1 << 14) / (4 * s.c + 1), s, part);
            if (backward) return;
            const out = call.at(T, 0);
            if (s.reduction == .none) {
                for (losses, out) |loss, *to| to.* = @floatCast(loss);
                return;
            }
            var sum: f64 = 0;
            for (losses) |loss| sum += loss;
            if (s.reduction == .mean) sum /= @floatFromInt(s.n);
            out[0] = @floatCast(sum);
        }

        fn part(s: *const Self, begin: usize, end: usize) void {
            const row = services.allocSlice(T, s.c + lanes) orelse return s.call.fail(.out_of_memory, @splat(0));
            defer services.free(@ptrCast(row.ptr));
            for (begin..end) |i| {
                const labels = s.target[i * s.c ..][0..s.c];
                for (labels) |y| if (y < -1 or y >= s.c) return s.call.fail(.invalid_value, .{ @intCast(s.c - 1), 0, 0 });
                const ended = std.mem.indexOfScalar(i64, labels, -1) orelse s.c;
                s.sample(i, labels[0..ended], row);
            }
        }

        /// One sample, whose classes are `labels`: in `row` these are -infinity, so that they count for nothing.
        fn sample(s: *const Self, i: usize, labels: []const i64, row: []T) void {
            const x = s.x[i * s.c ..][0..s.c];
            @memcpy(row[0..s.c], x);
            @memset(row[s.c..], -std.math.inf(T));
            for (labels) |y| row[@intCast(y)] = -std.math.inf(T);
            var total: f64 = 0;
            const step = if (backward) s.stepOf(i) else 0;
            const gx = s.call.at(T, 0) + i * s.c;
            if (backward) @memset(gx[0..s.c], 0);
            for (labels) |y| {
                const offset = 1 - x[@intCast(y)];
                var sum: V = @splat(0);
                var k: usize = 0;
                while (k < s.c) : (k += lanes) {
                    const z = @as(V, row[k..][0..lanes].*) + @as(V, @splat(offset));
                    const zero: V = @splat(0);
                    const over = z > zero;
                    sum += @select(T, over, if (backward) @as(V, @splat(step)) else z, zero);
                    if (!backward) continue;
                    const left = @min(lanes, s.c - k);
                    const add = @select(T, over, @as(V, @splat(step)), zero);
                    if (left == lanes)
                        gx[k..][0..lanes].* = @as(V, gx[k..][0..lanes].*) + add
                    else for (gx[k..][0..left], @as([lanes]T, add)[0..left]) |*g, a| g.* += a;
                }
                for (@as([lanes]T, sum)) |a| total += a;
                if (backward) {
                    gx[@intCast(y)] -= @floatCast(total);
                    total = 0;
                }
            }
            if (!backward) s.losses[i] = total / @as(f64, @floatFromInt(s.c));
        }
        fn stepOf(s: *const Self, i: usize) T {
            const g: f64 = s.call.at(T, 1)[if (s.reduction == .none) i else 0];
            const samples: f64 = if (s.reduction == .mean) @floatFromInt(s.n) else 1;
            return @floatCast(g / samples / @as(f64, @floatFromInt(s.c)));
        }
    };
}

test "multilabel_margin and its gradient" {
    const testing = @import("reduce_testing.zig");
    const distance = @import("distance.zig");
    var generator: std.Random.DefaultPrng = .init(3);
    const random = generator.random();
    for ([_]@import("../dtype.zig").DType{ .float32, .float64 }) |dtype| for ([_][2]usize{ .{ 1, 1 }, .{ 5, 4 }, .{ 9, 37 }, .{ 70, 8 } }) |size| for (0..3) |reduction| {
        const n, const c = size;
        const shape = [_]i64{ @intCast(n), @intCast(c) };
        const each: []const i64 = if (reduction == 0) shape[0..1] else &.{};
        const x = try testing.Tensor.init(dtype, &shape, .contiguous, random, 2);
        defer x.deinit();
        const gx = try testing.Tensor.init(dtype, &shape, .contiguous, random, 1);
        defer gx.deinit();
        const target = try testing.Tensor.init(.int64, &shape, .contiguous, random, 1);
        defer target.deinit();
        const loss = try testing.Tensor.init(dtype, each, .contiguous, random, 1);
        defer loss.deinit();
        const g = try testing.Tensor.init(dtype, each, .contiguous, random, 1);
        defer g.deinit();
        // Different classes, ended by -1; what follows that counts for nothing.
        for (0..n) |i| for (0..c) |k| {
            const ended = k == i % (c + 1);
            target.set(i * c + k, if (ended) -1 else @floatFromInt((k * (c - 1 | 1) + i) % c));
        };
        _ = try testing.run(distance.family, 7, &.{ &loss, &x, &target }, 1, &.{@intCast(reduction)}, &.{});
        _ = try testing.run(distance.family, 8, &.{ &gx, &g, &x, &target }, 1, &.{@intCast(reduction)}, &.{});
        var total: f64 = 0;
        for (0..n) |i| {
            var is_label: [64]bool = @splat(false);
            var count: usize = 0;
            while (count < c and target.as(i64, i * c + count) >= 0) : (count += 1) {
                is_label[@intCast(target.as(i64, i * c + count))] = true;
            }
            var slope: [64]f64 = @splat(0);
            var sum: f64 = 0;
            for (0..count) |j| {
                const y: usize = @intCast(target.as(i64, i * c + j));
                for (0..c) |k| {
                    const z = 1 - x.at(i * c + y) + x.at(i * c + k);
                    if (is_label[k] or z <= 0) continue;
                    sum += z;
                    slope[k] += 1;
                    slope[y] -= 1;
                }
            }
            sum /= @floatFromInt(c);
            total += sum;
            if (reduction == 0) try testing.expectClose(sum, loss.at(i), dtype, 4 * @as(f64, @floatFromInt(c)));
            const samples: f64 = if (reduction == 2) @floatFromInt(n) else 1;
            const step = g.at(if (reduction == 0) i else 0) / samples / @as(f64, @floatFromInt(c));
            for (0..c) |k| try testing.expectClose(slope[k] * step, gx.at(i * c + k), dtype, 4);
        }
        const whole = if (reduction == 2) total / @as(f64, @floatFromInt(n)) else total;
        if (reduction > 0) try testing.expectClose(whole, loss.at(0), dtype, 4 * @as(f64, @floatFromInt(n * c)));
    };
}
