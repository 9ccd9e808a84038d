//! Distances between points: norms of their differences.
//!
//! `cdist`: out (n, m), a (n, k), b (k, m): the points of b are its columns, so that vectors go along
//! them. `pdist`: out (n (n - 1) / 2), a (n, k), b (k, n), a transposed: row i of the upper triangle
//! after row i - 1. floats[0]: the order p of the norm, from 0 (how many differ) to infinity (the
//! largest). float32 and float64, contiguous. Each sum is taken in ascending order of k.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const Op = enum { cdist, pdist };
pub const names: []const []const u8 = std.meta.fieldNames(Op);
pub const family: plan.Family = .{ .prepare = prepare };

const Norm = enum { differ, sum, root, largest };

fn prepare(p: *Plan) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => try chosen(f32, p.floats[0]),
        .float64 => try chosen(f64, p.floats[0]),
        else => return error.Unsupported,
    };
}

fn chosen(comptime T: type, p: f64) plan.PrepareError!plan.Run {
    if (p == 0) return &Rows(T, .differ).run;
    if (p == 1) return &Rows(T, .sum).run;
    if (p == 2) return &Rows(T, .root).run;
    if (std.math.isInf(p)) return &Rows(T, .largest).run;
    return error.Unsupported;
}

fn Rows(comptime T: type, comptime norm: Norm) type {
    const lanes = simd.lanes(T);
    return struct {
        const Self = @This();
        call: *Call,
        pairs: bool,
        n: usize,
        m: usize,
        k: usize,

        fn run(p: *const Plan, call: *Call) void {
            const job: Self = .{
                .call = call,
                .pairs = p.op == @backingInt(Op.pdist),
                .n = @intCast(p.operands[1].shape[0]),
                .m = @intCast(p.operands[2].shape[1]),
                .k = @intCast(p.operands[1].shape[1]),
            };
            if (p.operands[0].numel() == 0) return;
            services.parallelFor(job.n, 1 + (1 << 14) / (job.m * job.k + 1), job, part);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            for (begin..end) |i| {
                const first = if (j.pairs) i + 1 else 0;
                const at = if (j.pairs) i * j.n - i * (i + 1) / 2 else i * j.m;
                j.row(i, first, j.call.at(T, 0) + at);
            }
        }

        /// Point i of a against the points of b from `first` on.
        fn row(j: *const Self, i: usize, first: usize, out: [*]T) void {
            const a = j.call.at(T, 1)[i * j.k ..][0..j.k];
            const b = j.call.at(T, 2);
            var c = first;
            while (c + 4 * lanes <= j.m) : (c += 4 * lanes) j.block(4, lanes, a, b + c, out + (c - first));
            while (c + lanes <= j.m) : (c += lanes) j.block(1, lanes, a, b + c, out + (c - first));
            while (c < j.m) : (c += 1) j.block(1, 1, a, b + c, out + (c - first));
        }

        inline fn block(j: *const Self, comptime count: usize, comptime width: usize, a: []const T, b: [*]const T, out: [*]T) void {
            const V = @Vector(width, T);
            var sum: [count]V = @splat(@as(V, @splat(0)));
            for (a, 0..) |x, k| {
                inline for (&sum, 0..) |*s, v| {
                    const other: V = b[k * j.m + v * width ..][0..width].*;
                    s.* = add(V, s.*, @abs(@as(V, @splat(x)) - other));
                }
            }
            inline for (&sum, 0..) |*total, v| {
                const s: V = total.*;
                const distance: V = if (norm == .root) @sqrt(s) else s;
                out[v * width ..][0..width].* = distance;
            }
        }

        inline fn add(comptime V: type, s: V, d: V) V {
            return switch (norm) {
                .sum => s + d,
                .root => s + d * d,
                // nan stays
                .largest => @select(T, (d > s) | (d != d), d, s),
                .differ => s + @select(T, d != @as(V, @splat(0)), @as(V, @splat(1)), @as(V, @splat(0))),
            };
        }
    };
}

test "distances of every order, of pairs and of two sets" {
    const n = 40;
    const k = 3;
    var prng: std.Random.DefaultPrng = .init(5);
    const random = prng.random();
    var a: [n * k]f32 = undefined;
    var columns: [k * n]f32 = undefined;
    for (&a, 0..) |*x, i| {
        x.* = @floatFromInt(random.intRangeAtMost(i32, -3, 3));
        columns[i % k * n + i / k] = x.*;
    }
    for ([_]f64{ 0, 1, 2, std.math.inf(f64) }) |order| for (0..2) |op| {
        var out: [n * n]f32 = undefined;
        const pairs = n * (n - 1) / 2;
        const operands = [_]plan.Operand{
            .{ .dtype = .float32, .shape = if (op == 0) &.{ n, n } else &.{pairs}, .strides = if (op == 0) &.{ n, 1 } else &.{1} },
            .{ .dtype = .float32, .shape = &.{ n, k }, .strides = &.{ k, 1 } },
            .{ .dtype = .float32, .shape = &.{ k, n }, .strides = &.{ n, 1 } },
        };
        var p: Plan = .{
            .run = undefined,
            .op = @intCast(op),
            .family = 0,
            .operands = &operands,
            .n_out = 1,
            .ints = &.{},
            .floats = &.{order},
            .out_bytes = 0,
        };
        try prepare(&p);
        var call: Call = .{};
        call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(&a), @ptrCast(&columns) };
        p.run(&p, &call);
        var at: usize = 0;
        for (0..n) |i| for (if (op == 0) 0 else i + 1..n) |j| {
            var want: f64 = 0;
            for (0..k) |d| {
                const x: f64 = @abs(a[i * k + d] - a[j * k + d]);
                want = if (order == 0) want + @as(f64, if (x != 0) 1 else 0) else if (order == 1) want + x else if (order == 2) want + x * x else @max(want, x);
            }
            if (order == 2) want = @sqrt(want);
            try std.testing.expectApproxEqAbs(want, out[at], 1e-6);
            at += 1;
        };
    };
}
