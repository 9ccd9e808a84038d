//! Distances between points: norms of their differences.
//!
//! `cdist`: out (..., n, m), a (..., n, k), b (..., k, m): the points of b are its columns, so that vectors go along
//! them. `pdist`: out (n (n - 1) / 2), a (n, k), b (k, n), a transposed: row i of the upper triangle
//! after row i - 1. floats[0]: the order p of the norm, from 0 (how many differ) to infinity (the
//! largest). float32 and float64, contiguous. Each sum is taken in ascending order of k.
//! `pdist_backward`: out (n, k), the gradients g (n (n - 1) / 2) of the distances d, d, a (n, k): for
//! p = 2 the gradient of a.
//! `cdist_backward`: out (..., n, k), the gradients g (..., n, m) of the distances d (..., n, m) of a (..., n, k) and
//! b (..., m, k): for p = 1 and infinity the gradient of a.
//! `cross`: out, a, b of one shape (..., 3, inner), the vector products along the dimension of 3.
//! ints[0]: inner, the number of elements from one to the next.
//! `kron`: out (n r, m s), a (n, m), b (r, s): b times each element of a.
//! `multilabel_margin`, `multilabel_margin_backward`: the loss of this name (loss_multilabel.zig).
//! `histogram`: how many points lie between neighbouring edges (histogram.zig).
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const histogram = @import("histogram.zig");
const multilabel = @import("loss_multilabel.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const Op = enum { cdist, pdist, cross, pdist_backward, kron, histogram, cdist_backward, multilabel_margin, multilabel_margin_backward };
pub const names: []const []const u8 = std.meta.fieldNames(Op);
pub const family: plan.Family = .{ .prepare = prepare };

const Norm = enum { differ, sum, root, largest };

fn prepare(p: *Plan) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    if (p.op == @backingInt(Op.histogram)) return histogram.prepare(p);
    if (p.op == @backingInt(Op.multilabel_margin)) return multilabel.prepare(p, false);
    if (p.op == @backingInt(Op.multilabel_margin_backward)) return multilabel.prepare(p, true);
    p.run = switch (p.operands[0].dtype) {
        .float32 => try chosen(f32, p),
        .float64 => try chosen(f64, p),
        else => return error.Unsupported,
    };
}

fn chosen(comptime T: type, given: *const Plan) plan.PrepareError!plan.Run {
    if (given.op == @backingInt(Op.cross)) return &Cross(T).run;
    if (given.op == @backingInt(Op.pdist_backward)) return &Pairs(T).run;
    if (given.op == @backingInt(Op.kron)) return &Kron(T).run;
    const p = given.floats[0];
    if (given.op == @backingInt(Op.cdist_backward)) return &Slopes(T).run;
    if (p == 0) return &Rows(T, .differ).run;
    if (p == 1) return &Rows(T, .sum).run;
    if (p == 2) return &Rows(T, .root).run;
    if (std.math.isInf(p)) return &Rows(T, .largest).run;
    return error.Unsupported;
}

fn Pairs(comptime T: type) type {
    const lanes = simd.elementwiseLanes(T);
    return struct {
        const Self = @This();
        call: *Call,
        out: [*]T,
        g: [*]const T,
        d: [*]const T,
        a: [*]const T,
        n: usize,
        k: usize,

        fn run(p: *const Plan, call: *Call) void {
            const job: Self = .{
                .call = call,
                .out = call.at(T, 0),
                .g = call.at(T, 1),
                .d = call.at(T, 2),
                .a = call.at(T, 3),
                .n = @intCast(p.operands[0].shape[0]),
                .k = @intCast(p.operands[0].shape[1]),
            };
            services.parallelFor(job.n, 1 + (1 << 14) / (job.n * job.k + 1), job, part);
        }

        /// Row i: the sum over j of g_ij / d_ij (a_i - a_j); nothing where they are the same point.
        fn part(s: *const Self, begin: usize, end: usize) void {
            const weights = services.allocSlice(T, s.n) orelse return s.call.fail(.out_of_memory, @splat(0));
            defer services.free(@ptrCast(weights.ptr));
            for (begin..end) |i| {
                var pair = i -% 1; // of (0, i)
                for (weights[0..i], 0..) |*w, j| {
                    w.* = s.weight(pair);
                    pair +%= s.n - j - 2;
                }
                weights[i] = 0;
                pair = i * s.n - i * (i + 1) / 2;
                for (weights[i + 1 ..], pair..) |*w, at| w.* = s.weight(at);
                var c: usize = 0;
                inline for (.{ 2 * lanes, lanes, 1 }) |width| {
                    while (c + width <= s.k) : (c += width) s.columns(width, weights, i, c);
                }
            }
        }

        inline fn weight(s: *const Self, pair: usize) T {
            return if (s.d[pair] == 0) 0 else s.g[pair] / s.d[pair];
        }

        inline fn columns(s: *const Self, comptime width: usize, weights: []const T, i: usize, c: usize) void {
            const W = @Vector(width, T);
            const here = simd.loadN(width, T, s.a + i * s.k + c);
            var sum: W = @splat(0);
            for (weights, 0..) |w, j| {
                const there = simd.loadN(width, T, s.a + j * s.k + c);
                sum = simd.fma(W, @splat(w), here - there, sum);
            }
            simd.storeN(width, T, s.out + i * s.k + c, sum);
        }
    };
}

/// The gradient of the sum of absolute differences, or of the largest, for the points of a.
fn Slopes(comptime T: type) type {
    const lanes = simd.elementwiseLanes(T);
    return struct {
        const Self = @This();
        out: [*]T,
        g: [*]const T,
        d: [*]const T,
        a: [*]const T,
        b: [*]const T,
        n: usize,
        m: usize,
        k: usize,
        /// Whether only differences as large as the distance count.
        largest: bool,

        fn run(p: *const Plan, call: *Call) void {
            const last = p.operands[0].ndim() - 1;
            const job: Self = .{
                .out = call.at(T, 0),
                .g = call.at(T, 1),
                .d = call.at(T, 2),
                .a = call.at(T, 3),
                .b = call.at(T, 4),
                .n = @intCast(p.operands[0].shape[last - 1]),
                .m = @intCast(p.operands[4].shape[last - 1]),
                .k = @intCast(p.operands[0].shape[last]),
                .largest = std.math.isInf(p.floats[0]),
            };
            services.parallelFor(p.operands[0].numel() / job.k, 1 + (1 << 14) / (job.m * job.k + 1), job, part);
        }
        fn part(s: *const Self, begin: usize, end: usize) void {
            for (begin..end) |i| {
                var c: usize = 0;
                inline for (.{ lanes, 1 }) |width| {
                    while (c + width <= s.k) : (c += width) s.columns(width, i, c);
                }
            }
        }
        inline fn columns(s: *const Self, comptime width: usize, i: usize, c: usize) void {
            const V = @Vector(width, T);
            const here = simd.loadN(width, T, s.a + i * s.k + c);
            const b = s.b + i / s.n * s.m * s.k;
            const zero: V = @splat(0);
            var sum = zero;
            for (s.g[i * s.m ..][0..s.m], s.d[i * s.m ..][0..s.m], 0..) |g, d, j| {
                const difference = here - simd.loadN(width, T, b + j * s.k + c);
                const least: V = @splat(if (s.largest) d else 0);
                const counts = (@abs(difference) >= least) & (difference != zero);
                const slope = @select(T, difference > zero, @as(V, @splat(g)), @as(V, @splat(-g)));
                sum += @select(T, counts, slope, zero);
            }
            simd.storeN(width, T, s.out + i * s.k + c, sum);
        }
    };
}

fn Cross(comptime T: type) type {
    return struct {
        const Self = @This();
        out: [*]T,
        a: [*]const T,
        b: [*]const T,
        inner: usize,

        fn run(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel() / 3;
            if (n == 0) return;
            const job: Self = .{
                .out = call.at(T, 0),
                .a = call.at(T, 1),
                .b = call.at(T, 2),
                .inner = @intCast(p.ints[0]),
            };
            services.parallelFor(n, 1 << 13, job, part);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            const lanes = simd.elementwiseLanes(T);
            var i = begin;
            while (i < end) {
                const within = if (j.inner == 1) 0 else i % j.inner;
                const at = 3 * (i - within) + within;
                if (@min(j.inner - within, end - i) >= lanes) {
                    j.products(lanes, at);
                    i += lanes;
                } else {
                    j.products(1, at);
                    i += 1;
                }
            }
        }

        inline fn products(j: *const Self, comptime width: usize, at: usize) void {
            const V = @Vector(width, T);
            var a: [3]V = undefined;
            var b: [3]V = undefined;
            inline for (0..3) |c| {
                a[c] = j.a[at + c * j.inner ..][0..width].*;
                b[c] = j.b[at + c * j.inner ..][0..width].*;
            }
            inline for (0..3) |c| {
                const x = (c + 1) % 3;
                const y = (c + 2) % 3;
                j.out[at + c * j.inner ..][0..width].* = a[x] * b[y] - a[y] * b[x];
            }
        }
    };
}

fn Kron(comptime T: type) type {
    const lanes = simd.lanes(T);
    return struct {
        const Self = @This();
        out: [*]T,
        a: [*]const T,
        b: [*]const T,
        m: usize,
        r: usize,
        s: usize,

        fn run(p: *const Plan, call: *Call) void {
            if (p.operands[0].numel() == 0) return;
            const job: Self = .{
                .out = call.at(T, 0),
                .a = call.at(T, 1),
                .b = call.at(T, 2),
                .m = @intCast(p.operands[1].shape[1]),
                .r = @intCast(p.operands[2].shape[0]),
                .s = @intCast(p.operands[2].shape[1]),
            };
            const rows: usize = @intCast(p.operands[0].shape[0]);
            services.parallelFor(rows, 1 + (1 << 15) / (job.m * job.s), job, part);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            for (begin..end) |row| {
                const a = j.a[row / j.r * j.m ..][0..j.m];
                const b = j.b + row % j.r * j.s;
                var out = j.out + row * j.m * j.s;
                for (a) |x| {
                    var k: usize = 0;
                    inline for (.{ lanes, 1 }) |width| while (k + width <= j.s) : (k += width) {
                        const factor: @Vector(width, T) = @splat(x);
                        simd.storeN(width, T, out + k, factor * simd.loadN(width, T, b + k));
                    };
                    out += j.s;
                }
            }
        }
    };
}

fn Rows(comptime T: type, comptime norm: Norm) type {
    const lanes = simd.lanes(T);
    return struct {
        const Self = @This();
        call: *Call,
        pairs: bool,
        /// Points of a, of each member of a batch.
        n: usize,
        m: usize,
        k: usize,

        fn run(p: *const Plan, call: *Call) void {
            const a = p.operands[1];
            const last = a.ndim() - 1;
            const job: Self = .{
                .call = call,
                .pairs = p.op == @backingInt(Op.pdist),
                .n = @intCast(a.shape[last - 1]),
                .m = @intCast(p.operands[2].shape[last]),
                .k = @intCast(a.shape[last]),
            };
            if (p.operands[0].numel() == 0) return;
            services.parallelFor(if (job.k == 0) job.n else a.numel() / job.k, 1 + (1 << 14) / (job.m * job.k + 1), job, part);
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
            const b = j.call.at(T, 2) + i / j.n * j.k * j.m;
            var c = first;
            if (j.m >= lanes) {
                while (c + 4 * lanes <= j.m) : (c += 4 * lanes) j.block(4, lanes, a, b, c, out + (c - first));
                // What is left side by side, the last vectors over columns that were done before.
                if (j.m - c > lanes)
                    j.block(4, lanes, a, b, c, out + (c - first))
                else if (c < j.m) j.block(1, lanes, a, b, c, out + (c - first));
            } else while (c < j.m) : (c += 1) j.block(1, 1, a, b, c, out + (c - first));
        }

        /// Columns from c on, as far as there are any.
        inline fn block(j: *const Self, comptime count: usize, comptime width: usize, a: []const T, b: [*]const T, c: usize, out: [*]T) void {
            const V = @Vector(width, T);
            var sum: [count]V = @splat(@as(V, @splat(0)));
            var at: [count]usize = undefined;
            for (&at, 0..) |*x, v| x.* = @min(c + v * width, j.m - width);
            for (a, 0..) |x, k| {
                inline for (&sum, at) |*s, column| {
                    const other: V = b[k * j.m + column ..][0..width].*;
                    s.* = add(V, s.*, @abs(@as(V, @splat(x)) - other));
                }
            }
            for (sum, at, 0..) |s, column, v| {
                const root: V = if (norm == .root) @sqrt(s) else s;
                const distance: [width]T = root;
                const done = @min(c + v * width - column, width);
                @memcpy(out[v * width ..][0 .. width - done], distance[done..]);
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

test "vector products along any dimension" {
    for ([_]usize{ 1, 2, 19 }) |inner| {
        var a: [2 * 3 * 19]f64 = undefined;
        var b: [2 * 3 * 19]f64 = undefined;
        var out: [2 * 3 * 19]f64 = undefined;
        for (&a, &b, 0..) |*x, *y, i| {
            x.* = @floatFromInt(i * i % 7);
            y.* = @floatFromInt(i * 5 % 11);
        }
        const n: i64 = @intCast(inner);
        const operand: plan.Operand = .{ .dtype = .float64, .shape = &.{ 2, 3, n }, .strides = &.{ 3 * n, n, 1 } };
        var p = plan.testPlan(&.{ operand, operand, operand }, 1, @backingInt(Op.cross), &.{n}, &.{});
        try prepare(&p);
        var call: Call = .{};
        call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(&a), @ptrCast(&b) };
        p.run(&p, &call);
        for (0..2) |o| for (0..3) |c| for (0..inner) |i| {
            const at = o * 3 * inner + i;
            const x = at + (c + 1) % 3 * inner;
            const y = at + (c + 2) % 3 * inner;
            try std.testing.expectEqual(a[x] * b[y] - a[y] * b[x], out[at + c * inner]);
        };
    }
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

test "each element of one matrix times another" {
    const a = [_]f32{ 2, -1, 0.5, 3, 1, 4 };
    var b: [2 * 19]f32 = undefined;
    for (&b, 0..) |*x, i| x.* = @floatFromInt(i * 5 % 11);
    var out: [6 * 2 * 19]f32 = undefined;
    var p = plan.testPlan(&.{
        .{ .dtype = .float32, .shape = &.{ 4, 3 * 19 }, .strides = &.{ 3 * 19, 1 } },
        .{ .dtype = .float32, .shape = &.{ 2, 3 }, .strides = &.{ 3, 1 } },
        .{ .dtype = .float32, .shape = &.{ 2, 19 }, .strides = &.{ 19, 1 } },
    }, 1, @backingInt(Op.kron), &.{}, &.{});
    try prepare(&p);
    var call: Call = .{};
    call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(@constCast(&a)), @ptrCast(&b) };
    p.run(&p, &call);
    for (out, 0..) |x, at| {
        const row = at / (3 * 19);
        const column = at % (3 * 19);
        try std.testing.expectEqual(a[row / 2 * 3 + column / 19] * b[row % 2 * 19 + column % 19], x);
    }
}

test {
    _ = histogram;
    _ = multilabel;
}
