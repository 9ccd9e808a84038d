//! Fractional max pooling: windows of one size, whose distances vary with a random number for each dimension of a
//! plane (Graham 2014, arXiv 1412.6071), started where PyTorch starts them.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const pool = @import("pool.zig");
const State = pool.State;
const Plan = plan.Plan;
const Call = plan.Call;

pub fn Fractional(comptime T: type) type {
    return struct {
        plan: *const Plan,
        call: *Call,

        const Job = @This();

        pub fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            const job: Job = .{ .plan = p, .call = call };
            const cost = pool.product(s.out) * pool.product(s.kernel);
            services.parallelFor(s.planes, 1 + (1 << 13) / (cost + 1), job, part);
        }

        fn part(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(State);
            const starts = services.allocSlice(usize, s.out[0] + s.out[1] + s.out[2]) orelse
                return job.call.fail(.out_of_memory, @splat(0));
            defer services.free(@ptrCast(starts.ptr));
            const dims: usize = @intCast(job.plan.ints[0]);
            const samples = job.call.at(T, 3);
            for (begin..end) |plane| {
                var of: [3][]usize = undefined;
                var at: usize = 0;
                for (0..3) |k| {
                    of[k] = starts[at..][0..s.out[k]];
                    at += s.out[k];
                    // In two dimensions the samples come with the last dimension first, in three not.
                    const sample: T = if (k + dims < 3) 0 else samples[plane * dims + if (dims == 2) 2 - k else k];
                    fill(of[k], sample, s.in[k] - s.kernel[k]);
                }
                job.windows(s, of, plane);
            }
        }
        fn fill(starts: []usize, sample: T, span: usize) void {
            const n = starts.len;
            if (n > 1) {
                const alpha = @as(T, @floatFromInt(span)) / @as(T, @floatFromInt(n - 1));
                const u = if (sample >= 0 and sample <= 1) sample else 0;
                const first: usize = @trunc(u * alpha);
                for (starts[0 .. n - 1], 0..) |*start, i| {
                    const there: usize = @trunc((@as(T, @floatFromInt(i)) + u) * alpha);
                    start.* = @min(there - first, span);
                }
            }
            starts[n - 1] = span;
        }

        fn windows(job: *const Job, s: *const State, starts: [3][]usize, plane: usize) void {
            const x = job.call.at(T, 2) + plane * pool.product(s.in);
            const size = pool.product(s.out);
            const out = job.call.at(T, 0) + plane * size;
            const indices: ?[*]i64 = @ptrCast(@alignCast(job.call.ptr[1]));
            var at: usize = 0;
            for (starts[0]) |d| for (starts[1]) |h| {
                const row = (d * s.in[1] + h) * s.in[2];
                var w: usize = 0;
                while (w < s.out[2]) : (w += lanes) {
                    var first: [lanes]usize = undefined;
                    for (&first, w..) |*f, i| f.* = row + starts[2][@min(i, s.out[2] - 1)];
                    const left = @min(lanes, s.out[2] - w);
                    const best, const place = largest(s, x, &first);
                    @memcpy(out[at..][0..left], best[0..left]);
                    if (indices) |to| {
                        for (to[plane * size + at ..][0..left], first[0..left], place[0..left]) |*t, f, p| t.* = @intCast(f + p);
                    }
                    at += left;
                }
            };
        }

        const lanes = 8;
        /// Of the windows that start at `first` the largest elements, and how far from there they lie; no branch that
        /// nobody could foresee.
        fn largest(s: *const State, x: [*]const T, first: *const [lanes]usize) struct { [lanes]T, [lanes]u32 } {
            var best: @Vector(lanes, T) = @splat(-std.math.inf(T));
            var place: @Vector(lanes, u32) = @splat(0);
            for (0..s.kernel[0]) |i| for (0..s.kernel[1]) |j| for (0..s.kernel[2]) |k| {
                const offset = (i * s.in[1] + j) * s.in[2] + k;
                var here: [lanes]T = undefined;
                inline for (&here, first) |*v, f| v.* = x[f + offset];
                const v: @Vector(lanes, T) = here;
                const takes = (v > best) | (v != v);
                best = @select(T, takes, v, best);
                place = @select(u32, takes, @as(@Vector(lanes, u32), @splat(@intCast(offset))), place);
            };
            return .{ best, place };
        }
    };
}

test "fractional max pooling is the largest of each window" {
    const testing = @import("reduce_testing.zig");
    var generator: std.Random.DefaultPrng = .init(4);
    const random = generator.random();
    for ([_]@import("../dtype.zig").DType{ .float32, .float64 }) |dtype| for ([_]bool{ true, false }) |indexed| for ([_][3][3]usize{
        .{ .{ 1, 9, 30 }, .{ 1, 4, 13 }, .{ 1, 2, 3 } },
        .{ .{ 1, 5, 5 }, .{ 1, 1, 4 }, .{ 1, 3, 2 } },
        .{ .{ 6, 7, 8 }, .{ 3, 2, 4 }, .{ 2, 3, 2 } },
    }) |sizes| {
        const in, const out, const kernel = sizes;
        const dims: usize = if (in[0] == 1) 2 else 3;
        var large: [4]i64 = .{ 5, 0, 0, 0 };
        var small = large;
        var ints: [4]i64 = .{ @intCast(dims), 0, 0, 0 };
        for (3 - dims..3, 1..) |k, at| {
            large[at] = @intCast(in[k]);
            small[at] = @intCast(out[k]);
            ints[at] = @intCast(kernel[k]);
        }
        const x = try testing.Tensor.init(dtype, large[0 .. dims + 1], .contiguous, random, 1);
        defer x.deinit();
        const y = try testing.Tensor.init(dtype, small[0 .. dims + 1], .contiguous, random, 1);
        defer y.deinit();
        const indices = try testing.Tensor.init(.int64, small[0 .. dims + 1], .contiguous, random, 1);
        defer indices.deinit();
        const samples = try testing.Tensor.init(dtype, &.{ 5, @intCast(dims) }, .contiguous, random, 1);
        defer samples.deinit();
        for (0..5 * dims) |i| samples.set(i, @abs(samples.at(i)));
        x.set(pool.product(in) + 3, std.math.nan(f64));
        const row = @backingInt(pool.Row.fractional_max_pool);
        _ = try testing.run(pool.family, row, &.{ &y, if (indexed) &indices else null, &x, &samples }, 2, ints[0 .. dims + 1], &.{});
        for (0..5) |plane| for (0..pool.product(out)) |i| {
            const at = [3]usize{ i / out[2] / out[1], i / out[2] % out[1], i % out[2] };
            var first: [3]usize = undefined;
            for (&first, 0..) |*f, k| {
                const u = if (k + dims < 3) 0 else samples.at(plane * dims + if (dims == 2) 2 - k else k);
                const span = in[k] - kernel[k];
                f.* = span;
                if (at[k] == out[k] - 1) continue;
                const alpha = @as(f64, @floatFromInt(span)) / @as(f64, @floatFromInt(out[k] - 1));
                const there: usize = @trunc((@as(f64, @floatFromInt(at[k])) + u) * alpha);
                f.* = there - @as(usize, @trunc(u * alpha));
            }
            var best = -std.math.inf(f64);
            var place: usize = 0;
            for (0..kernel[0]) |a| for (0..kernel[1]) |b| for (0..kernel[2]) |c| {
                const here = ((first[0] + a) * in[1] + first[1] + b) * in[2] + first[2] + c;
                const v = x.at(plane * pool.product(in) + here);
                if (!(v > best) and v == v) continue;
                best = v;
                place = here;
            };
            try testing.expectClose(best, y.at(plane * pool.product(out) + i), dtype, 0);
            if (indexed) try std.testing.expectEqual(@as(i64, @intCast(place)), indices.as(i64, plane * pool.product(out) + i));
        };
    };
}
