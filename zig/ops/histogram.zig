//! The row histogram of the distance family: how many points lie between neighbouring edges.
//!
//! Operands: out (B1, ..., BN) of the counts; points (M, N), or (M) of one coordinate; the B + 1 ascending edges of all
//! coordinates, one list behind the other; what each point counts (M), which may be left out: 1. float32 and float64,
//! contiguous. The last bin has both of its edges; points outside and nan count nothing.
//!
//! Where the edges are about equally far apart, a product says between which an element lies, or
//! close to which; comparisons say the rest, so they decide alone, as in a search. Amounts are added in
//! float64, in the order of the points; counts are exact, so threads share them.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub fn prepare(p: *Plan) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    for (p.operands[0].shape) |bins| if (bins >= 1 << 31) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => runOf(f32, p),
        .float64 => runOf(f64, p),
        else => return error.Unsupported,
    };
}

fn runOf(comptime T: type, p: *const Plan) plan.Run {
    if (p.operands.len > 3) return &Points(T, f64).run;
    return if (p.operands[0].ndim() == 1) &Bins(T).run else &Points(T, u64).run;
}

/// The bin of a value that lies between the first and the last edge; `guess` is one close to it, or not.
inline fn find(comptime T: type, edges: []const T, value: T, guess: usize) usize {
    const last = edges.len - 2;
    var b = @min(guess, last);
    for (0..4) |_| {
        if (b > 0 and value < edges[b]) b -= 1 else if (b < last and value >= edges[b + 1]) b += 1 else return b;
    }
    var low: usize = 0;
    var high = last;
    while (low < high) {
        const middle = (low + high + 1) / 2;
        if (value >= edges[middle]) low = middle else high = middle - 1;
    }
    return low;
}

/// Points of several coordinates, or that count different amounts.
fn Points(comptime T: type, comptime Amount: type) type {
    return struct {
        const Self = @This();
        p: *const Plan,
        call: *Call,
        sums: []Amount,

        fn run(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            const sums = services.allocSlice(Amount, n) orelse
                return call.fail(.out_of_memory, .{ @intCast(8 * n), 0, 0 });
            defer services.free(@ptrCast(sums.ptr));
            @memset(sums, 0);
            const points = p.operands[1].numel() / p.operands[0].ndim();
            const job: Self = .{ .p = p, .call = call, .sums = sums };
            const grain = if (Amount == u64) 8 * n + (1 << 12) else points + 1;
            services.parallelFor(points, grain, job, part);
            for (call.at(T, 0)[0..n], sums) |*to, sum| to.* = if (Amount == u64) @floatFromInt(sum) else @floatCast(sum);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            const own = services.allocSlice(Amount, j.sums.len) orelse
                return j.call.fail(.out_of_memory, .{ @intCast(8 * j.sums.len), 0, 0 });
            defer services.free(@ptrCast(own.ptr));
            @memset(own, 0);
            const shape = j.p.operands[0].shape;
            const points = j.call.at(T, 1);
            next: for (begin..end) |i| {
                var edges = j.call.at(T, 2);
                var at: usize = 0;
                for (shape, 0..) |bins, d| {
                    const n: usize = @intCast(bins);
                    const value = points[i * shape.len + d];
                    if (!(value >= edges[0] and value <= edges[n])) continue :next;
                    const share = (value - edges[0]) / (edges[n] - edges[0]) * @as(T, @floatFromInt(n));
                    const guess: usize = @trunc(@max(0, @min(share, @as(T, @floatFromInt(n - 1)))));
                    at = at * n + find(T, edges[0 .. n + 1], value, guess);
                    edges += n + 1;
                }
                own[at] += if (Amount == u64) 1 else j.call.at(T, 3)[i];
            }
            // Amounts have one part.
            for (j.sums, own) |*to, sum| _ = @atomicRmw(Amount, to, .Add, sum, .monotonic);
        }
    };
}

fn Bins(comptime T: type) type {
    const lanes = 8;
    const V = @Vector(lanes, T);
    return struct {
        const Self = @This();
        call: *Call,
        x: [*]const T,
        edges: []const T,
        counts: []u64,

        fn run(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            const counts = services.allocSlice(u64, n) orelse
                return call.fail(.out_of_memory, .{ @intCast(8 * n), 0, 0 });
            defer services.free(@ptrCast(counts.ptr));
            @memset(counts, 0);
            const job: Self = .{ .call = call, .x = call.at(T, 1), .edges = call.at(T, 2)[0 .. n + 1], .counts = counts };
            services.parallelFor(p.operands[1].numel(), 8 * n + (1 << 13), job, part);
            for (call.at(T, 0)[0..n], counts) |*to, count| to.* = @floatFromInt(count);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            const n = j.counts.len;
            const own = services.allocSlice(u64, n) orelse
                return j.call.fail(.out_of_memory, .{ @intCast(8 * n), 0, 0 });
            defer services.free(@ptrCast(own.ptr));
            @memset(own, 0);
            const low = j.edges[0];
            const high = j.edges[n];
            const bins: T = @floatFromInt(n);
            const scale: V = @splat(bins / (high - low));
            var i = begin;
            while (i < end) : (i += lanes) {
                const count = @min(lanes, end - i);
                var x: [lanes]T = @splat(std.math.nan(T));
                if (count == lanes) x = j.x[i..][0..lanes].* else @memcpy(x[0..count], j.x[i..end]);
                const at = (@as(V, x) - @as(V, @splat(low))) * scale;
                const within = @min(@max(at, @as(V, @splat(0))), @as(V, @splat(bins - 1)));
                const near: [lanes]i32 = @as(@Vector(lanes, i32), @trunc(within));
                inline for (x, near) |value, guess| if (value >= low and value <= high) {
                    own[find(T, j.edges, value, @intCast(guess))] += 1;
                };
            }
            for (j.counts, own) |*to, count| _ = @atomicRmw(u64, to, .Add, count, .monotonic);
        }
    };
}

fn run(comptime T: type, shape: []const i64, points: []const T, edges: []const T, amounts: ?[]const T, out: []T) !void {
    const d: @import("../dtype.zig").DType = if (T == f32) .float32 else .float64;
    var operands: [4]plan.Operand = undefined;
    var call: Call = .{};
    const shapes = [_][]const i64{ shape, &.{@intCast(points.len)}, &.{@intCast(edges.len)}, &.{@intCast(points.len / shape.len)} };
    const strides = [_][]const i64{ if (shape.len == 1) &.{1} else &.{ shape[1], 1 }, &.{1}, &.{1}, &.{1} };
    const data = [_]?[]const T{ out, points, edges, amounts };
    for (&operands, shapes, strides, data, 0..) |*o, s, t, x, i| {
        o.* = .{ .dtype = d, .shape = s, .strides = t };
        call.ptr[i] = if (x) |list| @ptrCast(@constCast(list.ptr)) else null;
    }
    var p = plan.testPlan(operands[0..if (amounts == null) 3 else 4], 1, 0, &.{}, &.{});
    try prepare(&p);
    p.run(&p, &call);
}

fn check(comptime T: type) !void {
    const x = [_]T{ -1, 0, 0.1, 0.5, 2, 3.99, 4, 4.01, std.math.nan(T), 1, 1, -0.001, 3 };
    const edges = [_]T{ 0, 1, 1.5, 3, 4 }; // far from equal
    var out: [4]T = undefined;
    try run(T, &.{4}, &x, &edges, null, &out);
    try std.testing.expectEqualSlices(T, &.{ 3, 2, 1, 3 }, &out);
    try run(T, &.{4}, &x, &edges, &.{ 9, 1, 2, 4, 8, 16, 32, 9, 9, 0.5, 0.25, 9, 64 }, &out);
    try std.testing.expectEqualSlices(T, &.{ 7, 0.75, 8, 112 }, &out);
    // Edges so uneven that the first guess is of no use.
    const uneven = [_]T{ 0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 1e9 };
    var counts: [9]T = undefined;
    try run(T, &.{9}, &.{ 5e-7, 5e-2, 2, 1e9, 0, 2e9 }, &uneven, null, &counts);
    try std.testing.expectEqualSlices(T, &.{ 1, 1, 0, 0, 0, 0, 1, 0, 2 }, &counts);
    // Pairs, of which one lies outside in each coordinate.
    const pairs = [_]T{ 0.5, 0.5, 1.5, 2.5, 2, 3, -1, 1, 1, 5, 0, 3 };
    var grid: [6]T = undefined;
    try run(T, &.{ 2, 3 }, &pairs, &.{ 0, 1, 2, 0, 1, 2, 3 }, null, &grid);
    try std.testing.expectEqualSlices(T, &.{ 1, 0, 1, 0, 0, 2 }, &grid);
    try run(T, &.{ 2, 3 }, &pairs, &.{ 0, 1, 2, 0, 1, 2, 3 }, &.{ 1, 2, 4, 8, 16, 32 }, &grid);
    try std.testing.expectEqualSlices(T, &.{ 1, 0, 32, 0, 0, 6 }, &grid);
}

test "points between edges, both ends included" {
    try check(f32);
    try check(f64);
}
