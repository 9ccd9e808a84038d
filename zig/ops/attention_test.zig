//! Tests of attention.zig against the (Tq, Tk) matrix in float64.
const std = @import("std");
const attention = @import("attention.zig");
const planning = @import("../plan.zig");
const testing = @import("index_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;
const allocator = std.testing.allocator;

const Mask = enum { none, bool, added, padding };
const Case = struct {
    dtype: DType = .float32,
    batch: i64 = 1,
    heads: i64 = 2,
    kv_heads: i64 = 2,
    queries: i64,
    keys: i64,
    d: i64 = 16,
    dv: i64 = 16,
    causal: bool = false,
    mask: Mask = .none,
};
const cases = [_]Case{
    .{ .queries = 1, .keys = 1, .d = 3, .dv = 2 },
    .{ .queries = 1, .keys = 300, .mask = .bool, .kv_heads = 1, .d = 20, .dv = 100 },
    .{ .queries = 1, .keys = 131, .mask = .added, .dtype = .float64, .d = 64, .dv = 9 },
    .{ .queries = 1, .keys = 40, .causal = true, .dtype = .float16 },
    .{ .queries = 70, .keys = 150, .mask = .bool },
    .{ .queries = 150, .keys = 150, .causal = true, .heads = 4 },
    .{ .queries = 150, .keys = 40, .causal = true, .mask = .added, .dv = 9 },
    .{ .queries = 65, .keys = 129, .dtype = .float64, .mask = .padding, .d = 5, .kv_heads = 1 },
    .{ .queries = 20, .keys = 140, .dtype = .float16, .mask = .added, .batch = 2 },
    .{ .queries = 66, .keys = 30, .dtype = .bfloat16, .mask = .bool, .causal = true, .d = 20 },
    .{ .queries = 5, .keys = 0 },
    .{ .queries = 0, .keys = 5, .causal = true },
};

const Reference = struct {
    c: Case,
    t: *Tensors,
    out: []f64,
    grad: [3][]f64,

    /// Everything for one query: weights, output, gradients.
    fn query(r: *Reference, b: usize, h: usize, i: usize, scale: f64) !void {
        const c = r.c;
        const t = r.t;
        const keys: usize = @intCast(c.keys);
        const d: usize = @intCast(c.d);
        const dv: usize = @intCast(c.dv);
        const kv = h / @as(usize, @intCast(@divExact(c.heads, c.kv_heads)));
        const p = try allocator.alloc(f64, keys);
        defer allocator.free(p);
        var max = -std.math.inf(f64);
        for (p, 0..) |*s, j| {
            s.* = 0;
            for (0..d) |x| s.* += at(&t.q, b, h, i, x) * at(&t.k, b, kv, j, x);
            s.* *= scale;
            const m = if (c.mask == .none) 0 else at(&t.mask, b, h, i, j);
            switch (c.mask) {
                .none => {},
                .added => s.* += m,
                else => if (m == 0) {
                    s.* = -std.math.inf(f64);
                },
            }
            if (c.causal and j > i) s.* = -std.math.inf(f64);
            max = @max(max, s.*);
        }
        var sum: f64 = 0;
        for (p) |*s| {
            s.* = if (max == -std.math.inf(f64)) 0 else @exp(s.* - max);
            sum += s.*;
        }
        if (sum > 0) for (p) |*x| {
            x.* /= sum;
        };
        var delta: f64 = 0;
        for (0..dv) |x| {
            var o: f64 = 0;
            for (p, 0..) |w, j| o += w * at(&t.v, b, kv, j, x);
            r.out[flat(&t.out, b, h, i, x)] = o;
            delta += o * at(&t.grad_out, b, h, i, x);
        }
        for (p, 0..) |w, j| {
            var dp: f64 = 0;
            for (0..dv) |x| {
                const g = at(&t.grad_out, b, h, i, x);
                dp += g * at(&t.v, b, kv, j, x);
                r.grad[2][flat(&t.v, b, kv, j, x)] += w * g;
            }
            const ds = scale * w * (dp - delta);
            for (0..d) |x| {
                r.grad[0][flat(&t.q, b, h, i, x)] += ds * at(&t.k, b, kv, j, x);
                r.grad[1][flat(&t.k, b, kv, j, x)] += ds * at(&t.q, b, h, i, x);
            }
        }
    }
};

fn flat(t: *const Tensor, b: usize, h: usize, i: usize, j: usize) usize {
    const s = t.shape;
    return ((b * @as(usize, @intCast(s[1])) + h) * @as(usize, @intCast(s[2])) + i) *
        @as(usize, @intCast(s[3])) + j;
}
fn at(t: *const Tensor, b: usize, h: usize, i: usize, j: usize) f64 {
    return t.getOffset(t.atCoords(&.{ b, h, i, j }));
}

const Tensors = struct {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    grad_out: Tensor,
    out: Tensor,
    lse: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,

    fn init(random: std.Random, c: Case) !Tensors {
        const q_shape = [_]i64{ c.batch, c.heads, c.queries, c.d };
        const k_shape = [_]i64{ c.batch, c.kv_heads, c.keys, c.d };
        const v_shape = [_]i64{ c.batch, c.kv_heads, c.keys, c.dv };
        const out_shape = [_]i64{ c.batch, c.heads, c.queries, c.dv };
        const half = c.dtype == .float16 or c.dtype == .bfloat16;
        const lse: DType = if (half) .float32 else c.dtype;
        const mask_type: DType = if (c.mask == .added) c.dtype else .bool;
        const contiguous = random.boolean();
        var t: Tensors = .{
            .q = try .init(random, c.dtype, &q_shape, contiguous),
            .k = try .init(random, c.dtype, &k_shape, contiguous),
            .v = try .init(random, c.dtype, &v_shape, contiguous),
            .grad_out = try .init(random, c.dtype, &out_shape, contiguous),
            .out = try .init(random, c.dtype, &out_shape, contiguous),
            .lse = try .init(random, lse, out_shape[0..3], contiguous),
            .grad_q = try .init(random, c.dtype, &q_shape, contiguous),
            .grad_k = try .init(random, c.dtype, &k_shape, contiguous),
            .grad_v = try .init(random, c.dtype, &v_shape, contiguous),
            .mask = try .init(random, mask_type, &.{ c.batch, c.heads, c.queries, c.keys }, contiguous),
        };
        for ([_]*Tensor{ &t.q, &t.k, &t.v, &t.grad_out }) |x| x.fillReal(random);
        if (c.mask == .padding) t.mask.strides[1] = 0;
        if (c.mask == .padding) t.mask.strides[2] = 0;
        for (0..t.mask.numel()) |i| t.mask.set(i, switch (c.mask) {
            .added => random.float(f64) * 3 - 1,
            else => @floatFromInt(@intFromBool(random.uintLessThan(u8, 3) > 0)),
        });
        // Query 1 sees nothing.
        if (c.mask != .none and c.queries > 1 and c.mask != .padding) {
            const row: usize = @intCast(c.keys);
            for (row..2 * row) |i| t.mask.set(i, if (c.mask == .added) -std.math.inf(f64) else 0);
        }
        return t;
    }
    fn deinit(t: *Tensors) void {
        inline for (comptime std.meta.fieldNames(Tensors)) |name| @field(t, name).deinit();
    }
};

fn runRow(
    op: u32,
    tensors: []const *const Tensor,
    n_out: u32,
    c: Case,
    scale: f64,
    none_at: usize,
) !void {
    var operands: [10]planning.Operand = undefined;
    var call: planning.Call = .{};
    for (tensors, 0..) |t, i| {
        operands[i] = t.operand();
        call.ptr[i] = t.memory.ptr;
    }
    if (c.mask == .none) {
        operands[none_at] = .{ .dtype = .bool, .shape = &.{}, .strides = &.{} };
        call.ptr[none_at] = null;
    }
    const ints = [_]i64{ @intFromBool(c.causal), @intFromBool(c.mask != .none) };
    var p = planning.testPlan(operands[0..tensors.len], n_out, op, &ints, &.{scale});
    defer planning.destroyState(&p);
    try attention.family.prepare(&p);
    p.run(&p, &call);
    try testing.expectOk(call);
}

fn check(random: std.Random, c: Case) !void {
    var t: Tensors = try .init(random, c);
    defer t.deinit();
    const scale = 0.3;
    const out = try allocator.alloc(f64, t.out.numel());
    var r: Reference = .{ .c = c, .t = &t, .out = out, .grad = undefined };
    defer allocator.free(r.out);
    for (&r.grad, [_]*Tensor{ &t.q, &t.k, &t.v }) |*g, x| {
        g.* = try allocator.alloc(f64, x.numel());
        @memset(g.*, 0);
    }
    defer for (r.grad) |g| allocator.free(g);
    for (0..@intCast(c.batch)) |b| for (0..@intCast(c.heads)) |h| {
        for (0..@intCast(c.queries)) |i| try r.query(b, h, i, scale);
    };
    const tolerance: f64 = switch (c.dtype) {
        .float64 => 1e-13,
        .float32 => 2e-6,
        .float16 => 2e-3,
        else => 2e-2,
    };
    const grads = [_]*Tensor{ &t.out, &t.grad_q, &t.grad_k, &t.grad_v };
    var before: [4][]u8 = undefined;
    for (&before, grads) |*x, g| x.* = try allocator.alloc(u8, g.memory.len);
    defer for (before) |x| allocator.free(x);
    for ([_]u32{ 1, 2, 5 }) |threads| { // 5: more than there are heads, another way through
        testing.setThreads(threads);
        const forward = [_]*const Tensor{ &t.out, &t.lse, &t.q, &t.k, &t.v, &t.mask };
        try runRow(0, &forward, 2, c, scale, 5);
        const backward = [_]*const Tensor{
            &t.grad_q, &t.grad_k, &t.grad_v, &t.grad_out, &t.q, &t.k, &t.v, &t.mask, &t.out, &t.lse,
        };
        try runRow(1, &backward, 3, c, scale, 7);
        const expected = [_][]f64{ r.out, r.grad[0], r.grad[1], r.grad[2] };
        for (grads, expected, before) |g, e, first| {
            if (threads == 1) @memcpy(first, g.memory);
            try std.testing.expectEqualSlices(u8, first, g.memory);
            var largest: f64 = 1;
            for (e) |x| largest = @max(largest, @abs(x));
            for (e, 0..) |x, i| {
                try std.testing.expectApproxEqAbs(x, g.get(i), tolerance * largest);
            }
        }
    }
}

test "attention, forward and backward" {
    var prng: std.Random.DefaultPrng = .init(13);
    const random = prng.random();
    for (cases) |c| for (0..2) |_| try check(random, c);
}

test "large scores, infinities and nan" {
    var prng: std.Random.DefaultPrng = .init(14);
    const random = prng.random();
    const c: Case = .{ .queries = 3, .keys = 200, .heads = 1, .kv_heads = 1, .mask = .added };
    var t: Tensors = try .init(random, c);
    defer t.deinit();
    for (0..t.mask.numel()) |i| t.mask.set(i, @floatFromInt(i));
    t.mask.set(200 + 50, std.math.nan(f64));
    t.mask.set(400 + 199, std.math.inf(f64));
    const forward = [_]*const Tensor{ &t.out, &t.lse, &t.q, &t.k, &t.v, &t.mask };
    try runRow(0, &forward, 2, c, 100, 5);
    for (0..16) |j| {
        try std.testing.expect(std.math.isFinite(at(&t.out, 0, 0, 0, j)));
        try std.testing.expect(std.math.isNan(at(&t.out, 0, 0, 1, j)));
        try std.testing.expect(std.math.isNan(at(&t.out, 0, 0, 2, j)));
    }
}
