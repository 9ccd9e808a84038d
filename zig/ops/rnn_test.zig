//! Tests of rnn.zig: forward against a scalar reference, backward against differences.
const std = @import("std");
const rnn = @import("rnn.zig");
const planning = @import("../plan.zig");
const testing = @import("index_testing.zig");
const DType = @import("../dtype.zig").DType;
const Tensor = testing.Tensor;
const Mode = rnn.Mode;

const time = 4;
const batch = 3;
const inputs = 5;
/// More units than a block has.
const hidden = 35;

const Case = struct { mode: Mode, reverse: bool = false, sizes: ?[time]usize = null, begins: bool = true, bias: bool = true };
const cases = [_]Case{
    .{ .mode = .tanh },
    .{ .mode = .relu, .reverse = true, .begins = false },
    .{ .mode = .lstm },
    .{ .mode = .lstm, .sizes = .{ 3, 3, 2, 1 } },
    .{ .mode = .lstm, .reverse = true, .sizes = .{ 3, 2, 2, 1 }, .bias = false },
    .{ .mode = .gru, .begins = false },
    .{ .mode = .gru, .reverse = true, .sizes = .{ 3, 2, 1, 1 } },
};

/// Everything of one case, in the order of the operands.
const Net = struct {
    c: Case,
    y: Tensor,
    h_n: Tensor,
    c_n: Tensor,
    gates: Tensor,
    extra: Tensor,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor,
    b_hh: Tensor,
    h_0: Tensor,
    c_0: Tensor,
    sizes: Tensor,

    fn init(random: std.Random, c: Case, d: DType) !Net {
        const total: i64 = if (c.sizes) |s| @intCast(s[0] + s[1] + s[2] + s[3]) else time * batch;
        const width: i64 = @intCast(c.mode.gates() * hidden);
        const state = [_]i64{ batch, hidden };
        var n: Net = .{
            .c = c,
            .y = try .init(random, d, &.{ total, hidden }, true),
            .h_n = try .init(random, d, &state, true),
            .c_n = try .init(random, d, &state, true),
            .gates = try .init(random, d, &.{ total, width }, true),
            .extra = try .init(random, d, &.{ total, hidden }, true),
            .x = try .init(random, d, &.{ total, inputs }, false),
            .w_ih = try .init(random, d, &.{ width, inputs }, false),
            .w_hh = try .init(random, d, &.{ width, hidden }, false),
            .b_ih = try .init(random, d, &.{width}, true),
            .b_hh = try .init(random, d, &.{width}, true),
            .h_0 = try .init(random, d, &state, false),
            .c_0 = try .init(random, d, &state, false),
            .sizes = try .init(random, .int64, &.{time}, true),
        };
        for (n.given()) |t| t.fillReal(random);
        for (0..time) |t| n.sizes.set(t, @floatFromInt(n.size(t)));
        return n;
    }
    fn deinit(n: *Net) void {
        inline for (comptime std.meta.fieldNames(Net)[1..]) |name| @field(n, name).deinit();
    }
    /// What has a gradient.
    fn given(n: *Net) [7]*Tensor {
        return .{ &n.x, &n.w_ih, &n.w_hh, &n.b_ih, &n.b_hh, &n.h_0, &n.c_0 };
    }
    fn has(n: *const Net, t: *const Tensor) bool {
        if (t == &n.b_ih or t == &n.b_hh) return n.c.bias;
        if (t == &n.h_0) return n.c.begins;
        if (t == &n.c_0) return n.c.begins and n.c.mode == .lstm;
        if (t == &n.c_n) return n.c.mode == .lstm;
        if (t == &n.gates or t == &n.extra) return n.c.mode == .lstm or n.c.mode == .gru;
        return if (t == &n.sizes) n.c.sizes != null else true;
    }
    fn size(n: *const Net, t: usize) usize {
        return if (n.c.sizes) |s| s[t] else batch;
    }
    fn start(n: *const Net, t: usize) usize {
        var at: usize = 0;
        for (0..t) |i| at += n.size(i);
        return at;
    }
    fn run(n: *const Net, op: u32, tensors: []const *const Tensor, n_out: u32) !void {
        var operands: [19]planning.Operand = undefined;
        var call: planning.Call = .{};
        for (tensors, 0..) |t, i| {
            operands[i] = if (n.has(t)) t.operand() else .{ .dtype = .bool, .shape = &.{}, .strides = &.{} };
            call.ptr[i] = if (n.has(t)) t.memory.ptr else null;
        }
        const ints = [_]i64{ @backingInt(n.c.mode), @intFromBool(n.c.reverse), time, batch };
        var p = planning.testPlan(operands[0..tensors.len], n_out, op, &ints, &.{});
        defer planning.destroyState(&p);
        try rnn.family.prepare(&p);
        p.run(&p, &call);
        try testing.expectOk(call);
    }
    fn forward(n: *const Net) !void {
        try n.run(0, &.{
            &n.y,    &n.h_n,  &n.c_n,  &n.gates, &n.extra, &n.x,     &n.w_ih,
            &n.w_hh, &n.b_ih, &n.b_hh, &n.h_0,   &n.c_0,   &n.sizes,
        }, 5);
    }

    /// A gate before its activation: the input's part, the state's.
    fn gate(n: *const Net, row: usize, g: usize, u: usize, h: []const f64) [2]f64 {
        const at = g * hidden + u;
        var parts: [2]f64 = .{ 0, 0 };
        if (n.c.bias) parts = .{ n.b_ih.get(at), n.b_hh.get(at) };
        for (0..inputs) |i| parts[0] += n.x.get(row * inputs + i) * n.w_ih.get(at * inputs + i);
        for (h, 0..) |x, i| parts[1] += x * n.w_hh.get(at * hidden + i);
        return parts;
    }
    /// Follows sequence b; checks y and the final states.
    fn checkSequence(n: *const Net, b: usize, tolerance: f64) !void {
        var h: [hidden]f64 = @splat(0);
        var c: [hidden]f64 = @splat(0);
        for (0..hidden) |u| {
            if (n.has(&n.h_0)) h[u] = n.h_0.get(b * hidden + u);
            if (n.has(&n.c_0)) c[u] = n.c_0.get(b * hidden + u);
        }
        for (0..time) |i| {
            const t = if (n.c.reverse) time - 1 - i else i;
            if (b >= n.size(t)) continue;
            const row = n.start(t) + b;
            var next: [hidden]f64 = undefined;
            for (&next, 0..) |*out, u| {
                var a: [4][2]f64 = undefined;
                for (0..n.c.mode.gates()) |g| a[g] = n.gate(row, g, u, &h);
                switch (n.c.mode) {
                    .tanh => out.* = std.math.tanh(a[0][0] + a[0][1]),
                    .relu => out.* = @max(0, a[0][0] + a[0][1]),
                    .lstm => {
                        const new = std.math.tanh(a[2][0] + a[2][1]);
                        c[u] = sigmoid(a[1]) * c[u] + sigmoid(a[0]) * new;
                        out.* = sigmoid(a[3]) * std.math.tanh(c[u]);
                    },
                    .gru => {
                        const new = std.math.tanh(a[2][0] + sigmoid(a[0]) * a[2][1]);
                        out.* = (h[u] - new) * sigmoid(a[1]) + new;
                    },
                }
                try std.testing.expectApproxEqAbs(out.*, n.y.get(row * hidden + u), tolerance);
            }
            h = next;
        }
        for (0..hidden) |u| {
            try std.testing.expectApproxEqAbs(h[u], n.h_n.get(b * hidden + u), tolerance);
            if (n.c.mode != .lstm) continue;
            try std.testing.expectApproxEqAbs(c[u], n.c_n.get(b * hidden + u), tolerance);
        }
    }
    /// sum(y^2) / 2 + sum(h_n^2) / 2 + sum(c_n^2) / 2, whose gradients are y, h_n and c_n.
    fn loss(n: *const Net) !f64 {
        try n.forward();
        var sum: f64 = 0;
        for ([_]*const Tensor{ &n.y, &n.h_n, &n.c_n }) |t| if (n.has(t)) {
            for (0..t.numel()) |i| sum += t.get(i) * t.get(i) / 2;
        };
        return sum;
    }
};

fn sigmoid(parts: [2]f64) f64 {
    return 1 / (1 + @exp(-parts[0] - parts[1]));
}

test "recurrent layers, forward" {
    var prng: std.Random.DefaultPrng = .init(31);
    for (cases) |c| for ([_]DType{ .float32, .float64 }) |d| {
        var n: Net = try .init(prng.random(), c, d);
        defer n.deinit();
        try n.forward();
        for (0..batch) |b| try n.checkSequence(b, if (d == .float64) 1e-12 else 2e-5);
    };
}

test "recurrent layers, backward" {
    var prng: std.Random.DefaultPrng = .init(32);
    const random = prng.random();
    for (cases) |c| {
        var n: Net = try .init(random, c, .float64);
        defer n.deinit();
        try n.forward();
        var grads: [7]Tensor = undefined;
        for (&grads, n.given()) |*g, t| g.* = try .init(random, .float64, t.shape[0..t.ndim], true);
        defer for (grads) |g| g.deinit();
        try n.run(1, &.{
            &grads[0], &grads[1], &grads[2], &grads[3], &grads[4], &grads[5], &grads[6],
            &n.y,      &n.h_n,    &n.c_n,    &n.x,      &n.w_ih,   &n.w_hh,   &n.h_0,
            &n.c_0,    &n.y,      &n.gates,  &n.extra,  &n.sizes,
        }, 7);
        const step = 1e-5;
        for (n.given(), &grads) |t, *g| if (n.has(t)) for (0..12) |_| {
            const i = random.uintLessThan(usize, t.numel());
            const value = t.get(i);
            t.set(i, value + step);
            const high = try n.loss();
            t.set(i, value - step);
            const low = try n.loss();
            t.set(i, value);
            const slope = (high - low) / (2 * step);
            try std.testing.expectApproxEqAbs(slope, g.get(i), 1e-5 * @max(1, @abs(slope)));
        };
    }
}
