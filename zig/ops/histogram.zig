//! The row histogram of the distance family: how many elements lie between neighbouring edges.
//!
//! Where the edges are about equally far apart, a product says between which an element lies, or
//! close to which; comparisons say the rest, so they decide alone, as in a search.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.operands[0].numel() >= 1 << 24) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => &Bins(f32).run,
        .float64 => &Bins(f64).run,
        else => return error.Unsupported,
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
                    var b: usize = @intCast(guess);
                    while (b > 0 and value < j.edges[b]) b -= 1;
                    while (b + 1 < n and value >= j.edges[b + 1]) b += 1;
                    own[b] += 1;
                };
            }
            for (j.counts, own) |*to, count| _ = @atomicRmw(u64, to, .Add, count, .monotonic);
        }
    };
}

fn check(comptime T: type) !void {
    const x = [_]T{ -1, 0, 0.1, 0.5, 2, 3.99, 4, 4.01, std.math.nan(T), 1, 1, -0.001, 3 };
    const edges = [_]T{ 0, 1, 1.5, 3, 4 }; // far from equal
    var out: [4]T = undefined;
    const d: @import("../dtype.zig").DType = if (T == f32) .float32 else .float64;
    const operands = [_]plan.Operand{
        .{ .dtype = d, .shape = &.{4}, .strides = &.{1} },
        .{ .dtype = d, .shape = &.{x.len}, .strides = &.{1} },
        .{ .dtype = d, .shape = &.{5}, .strides = &.{1} },
    };
    var p = plan.testPlan(&operands, 1, 0, &.{}, &.{});
    try prepare(&p);
    var call: Call = .{};
    call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(@constCast(&x)), @ptrCast(@constCast(&edges)) };
    p.run(&p, &call);
    try std.testing.expectEqualSlices(T, &.{ 3, 2, 1, 3 }, &out);
}

test "elements between edges, both ends included" {
    try check(f32);
    try check(f64);
}
