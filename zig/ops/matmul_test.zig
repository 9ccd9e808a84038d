//! matmul.zig against a scalar reference that writes the defined order of summation down.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const BFloat16 = @import("../dtype.zig").BFloat16;
const cpu = @import("../cpu.zig");
const plan = @import("../plan.zig");
const threads = @import("../threads.zig");
const simd = @import("../simd.zig");
const matmul = @import("matmul.zig");
const gemm_vector = @import("gemm_vector.zig");
const kc_max = @import("gemm_kernel.zig").kc_max;

const gpa = std.testing.allocator;

/// An element by the rule: chains of kc_max fused multiply-adds, added in order.
fn chain(comptime T: type, a: [*]const T, sa: usize, b: [*]const T, sb: usize, k: usize) T {
    var total: T = 0;
    var k0: usize = 0;
    while (k0 < k) : (k0 += kc_max) {
        var sum: T = 0;
        for (k0..@min(k, k0 + kc_max)) |i| {
            const x = a[i * sa];
            const y = b[i * sb];
            sum = if (@typeInfo(T) == .float) simd.fma(T, x, y, sum) else sum +% x *% y;
        }
        total = if (k0 == 0) sum else if (@typeInfo(T) == .float) total + sum else total +% sum;
    }
    return total;
}

/// An element of bfloat16: the second of two steps before the first.
fn chainOfPairs(a: [*]const f32, sa: usize, b: [*]const f32, sb: usize, k: usize) f32 {
    const block = @import("gemm_kernel.zig").kc_max;
    var total: f32 = 0;
    var k0: usize = 0;
    while (k0 < k) : (k0 += block) {
        var sum: f32 = 0;
        for (k0..@min(k, k0 + block)) |step| {
            const i = if (step ^ 1 < k) step ^ 1 else step;
            sum = @mulAdd(f32, a[i * sa], b[i * sb], sum);
        }
        total = if (k0 == 0) sum else total + sum;
    }
    return total;
}

test "words: bfloat16 and int8 with the CPU's dot products and without" {
    defer cpu.allowed = std.math.maxInt(u32);
    var prng = std.Random.DefaultPrng.init(7);
    const random = prng.random();
    const most = 40 * 1100;
    const halves = try gpa.alloc(BFloat16, 2 * 4 * most);
    defer gpa.free(halves);
    const wide = try gpa.alloc(f32, halves.len);
    defer gpa.free(wide);
    const bytes = try gpa.alloc(i8, halves.len);
    defer gpa.free(bytes);
    for (halves, wide, bytes) |*h, *w, *b| {
        h.* = .fromF32(random.float(f32) - 0.5);
        w.* = h.toF32();
        b.* = random.int(i8);
    }
    var rounded: [40 * 40]BFloat16 = undefined;
    var exact: [40 * 40]i32 = undefined;
    for ([_][3]usize{ .{ 2, 2, 1 }, .{ 3, 40, 7 }, .{ 31, 33, 64 }, .{ 14, 32, 513 }, .{ 40, 35, 1099 }, .{ 40, 3, 1100 } }) |size| {
        const m, const n, const k = size;
        for (0..4) |layout| for ([_]u32{ 0, std.math.maxInt(u32) }) |allowed| {
            cpu.allowed = allowed;
            // Rows along k, across, every second element, a row over and over.
            const sa: [2]usize = switch (layout) {
                0 => .{ k + k % 2, 1 },
                1 => .{ 1, m },
                2 => .{ 2 * k, 2 },
                else => .{ 0, 1 },
            };
            const sb: [2]usize = switch (layout) {
                0 => .{ n, 1 },
                1 => .{ 1, k + k % 2 },
                2 => .{ 1, k },
                else => .{ 2 * n, 2 },
            };
            const at: usize = if (layout == 2) 1 else 0;
            const b_at: usize = 4 * most;
            var operands = [_]plan.Operand{
                .{ .dtype = .bfloat16, .shape = &.{ @intCast(m), @intCast(n) }, .strides = &.{ @intCast(n), 1 } },
                .{ .dtype = .bfloat16, .shape = &.{ @intCast(m), @intCast(k) }, .strides = &.{ @intCast(sa[0]), @intCast(sa[1]) } },
                .{ .dtype = .bfloat16, .shape = &.{ @intCast(k), @intCast(n) }, .strides = &.{ @intCast(sb[0]), @intCast(sb[1]) } },
            };
            var p = plan.testPlan(&operands, 1, 0, &.{}, &.{});
            try execute(&p, &.{ &rounded, halves[at..].ptr, halves[b_at..].ptr }, &.{});
            operands[0].dtype = .int32;
            for (operands[1..]) |*o| o.dtype = .int8;
            p = plan.testPlan(&operands, 1, 6, &.{}, &.{});
            try execute(&p, &.{ &exact, bytes[at..].ptr, bytes[b_at..].ptr }, &.{});
            for (0..m) |i| for (0..n) |j| {
                const x = at + i * sa[0];
                const y = b_at + j * sb[1];
                const want = chainOfPairs(wide[x..].ptr, sa[1], wide[y..].ptr, sb[0], k);
                try std.testing.expectEqual(BFloat16.fromF32(want).bits, rounded[i * n + j].bits);
                var sum: i32 = 0;
                for (0..k) |step| sum += @as(i32, bytes[x + step * sa[1]]) * bytes[y + step * sb[0]];
                try std.testing.expectEqual(sum, exact[i * n + j]);
            };
        };
    }
}

/// An element by the vector rule (gemm_vector.zig).
fn lanesSum(comptime T: type, a: [*]const T, sa: usize, b: [*]const T, sb: usize, k: usize) T {
    const lanes = 2 * simd.lanes(T);
    var total: T = 0;
    var k0: usize = 0;
    while (k0 < k) : (k0 += gemm_vector.block) {
        var acc: [lanes]T = @splat(0);
        for (k0..@min(k, k0 + gemm_vector.block)) |i| {
            const l = (i - k0) % lanes;
            acc[l] = simd.fma(T, a[i * sa], b[i * sb], acc[l]);
        }
        var half: usize = lanes / 2;
        while (half > 0) : (half /= 2) for (0..half) |l| {
            acc[l] += acc[l + half];
        };
        total = if (k0 == 0) acc[0] else total + acc[0];
    }
    return total;
}

fn fill(comptime T: type, random: std.Random, x: []T) void {
    for (x) |*e| e.* = if (@typeInfo(T) == .float)
        @floatCast(random.float(f64) * 2 - 1)
    else
        random.int(T);
}

fn execute(p: *plan.Plan, ptrs: []const ?*const anyopaque, scalars: []const plan.Scalar) !void {
    try matmul.family.prepare(p);
    defer plan.destroyState(p);
    var call: plan.Call = .{};
    for (ptrs, 0..) |ptr, i| call.ptr[i] = @ptrCast(@constCast(ptr));
    for (scalars, 0..) |x, i| call.scalar[i] = x;
    p.run(p, &call);
    try std.testing.expectEqual(0, call.status.load(.monotonic));
}

/// a (m, k) and b (k, n), in memory row-major or transposed, with gaps if asked for.
const Case = struct {
    m: usize,
    n: usize,
    k: usize,
    ta: bool = false,
    tb: bool = false,
    gap: usize = 0,
    step: usize = 1,
};

fn checkMatmul(comptime T: type, d: DType, c: Case, random: std.Random) !void {
    const a_rs = if (c.ta) c.step else c.k * c.step + c.gap;
    const a_cs = if (c.ta) c.m * c.step + c.gap else c.step;
    const b_rs = if (c.tb) c.step else c.n * c.step + c.gap;
    const b_cs = if (c.tb) c.k * c.step + c.gap else c.step;
    const a = try gpa.alloc(T, (c.m + 1) * (c.k + 1) * (c.step) + (c.gap + 1) * (c.m + c.k + 1));
    defer gpa.free(a);
    const b = try gpa.alloc(T, (c.n + 1) * (c.k + 1) * (c.step) + (c.gap + 1) * (c.n + c.k + 1));
    defer gpa.free(b);
    fill(T, random, a);
    fill(T, random, b);
    const out = try gpa.alloc(T, c.m * c.n + 1);
    defer gpa.free(out);
    const m: i64 = @intCast(c.m);
    const n: i64 = @intCast(c.n);
    const k: i64 = @intCast(c.k);
    const operands = [_]plan.Operand{
        .{ .dtype = d, .shape = &.{ m, n }, .strides = &.{ n, 1 } },
        .{ .dtype = d, .shape = &.{ m, k }, .strides = &.{ @intCast(a_rs), @intCast(a_cs) } },
        .{ .dtype = d, .shape = &.{ k, n }, .strides = &.{ @intCast(b_rs), @intCast(b_cs) } },
    };
    for ([_]u32{ 1, 2, 3 }) |count| {
        _ = threads.setCount(count);
        @memset(out, if (@typeInfo(T) == .float) std.math.nan(T) else 99);
        const sentinel = out[c.m * c.n];
        var p = plan.testPlan(&operands, 1, 0, &.{}, &.{});
        try execute(&p, &.{ out.ptr, a.ptr, b.ptr }, &.{});
        for (0..c.m) |i| for (0..c.n) |j| {
            const x = a.ptr + i * a_rs;
            const y = b.ptr + j * b_cs;
            const vector = @typeInfo(T) == .float and (c.m == 1 or c.n == 1);
            const want = if (vector) lanesSum(T, x, a_cs, y, b_rs, c.k) else chain(T, x, a_cs, y, b_rs, c.k);
            if (want != out[i * c.n + j]) {
                std.debug.print(
                    "{any} at {d}, {d}: {any} instead of {any}\n",
                    .{ c, i, j, out[i * c.n + j], want },
                );
                return error.WrongElement;
            }
        };
        try std.testing.expect(std.math.isNan(@as(f64, if (@typeInfo(T) == .float) sentinel else std.math.nan(f64))));
    }
}

test "matmul has the bits of its rule, for any strides, tiles and threads" {
    var prng = std.Random.DefaultPrng.init(1);
    const random = prng.random();
    const cases = [_]Case{
        .{ .m = 0, .n = 3, .k = 2 },
        .{ .m = 3, .n = 2, .k = 0 },
        .{ .m = 1, .n = 1, .k = 1 },
        .{ .m = 2, .n = 3, .k = 4 },
        .{ .m = 13, .n = 31, .k = 17 },
        .{ .m = 32, .n = 32, .k = 32 },
        .{ .m = 29, .n = 70, .k = 400 },
        .{ .m = 70, .n = 5, .k = 391 },
        .{ .m = 5, .n = 300, .k = 390, .tb = true },
        .{ .m = 100, .n = 131, .k = 97 },
        .{ .m = 97, .n = 130, .k = 101, .ta = true },
        .{ .m = 171, .n = 90, .k = 97, .tb = true },
        .{ .m = 101, .n = 70, .k = 1100, .ta = true },
        .{ .m = 95, .n = 101, .k = 93, .ta = true, .tb = true, .gap = 3 },
        .{ .m = 95, .n = 101, .k = 93, .step = 2 },
        .{ .m = 20, .n = 21, .k = 22, .step = 2, .tb = true },
        .{ .m = 15, .n = 17, .k = 5000 },
        .{ .m = 180, .n = 33, .k = 800 },
        .{ .m = 180, .n = 33, .k = 800, .gap = 224 },
        .{ .m = 7, .n = 203, .k = 1 },
        .{ .m = 33, .n = 128, .k = 24, .ta = true, .gap = 2 },
        .{ .m = 1, .n = 203, .k = 77 },
        .{ .m = 1, .n = 203, .k = 77, .tb = true },
        .{ .m = 203, .n = 1, .k = 77 },
        .{ .m = 203, .n = 1, .k = 70, .ta = true, .gap = 1 },
        .{ .m = 3, .n = 1, .k = 17000 },
        .{ .m = 5, .n = 1, .k = 17000, .ta = true },
        .{ .m = 1, .n = 9, .k = 100, .step = 3 },
    };
    for (cases) |c| {
        try checkMatmul(f32, .float32, c, random);
        try checkMatmul(f64, .float64, c, random);
        if (c.k < 1000) {
            try checkMatmul(i32, .int32, c, random);
            try checkMatmul(i64, .int64, c, random);
        }
    }
}

test "half precision is summed in float32 and rounded once; small integers wrap" {
    var prng = std.Random.DefaultPrng.init(2);
    const random = prng.random();
    const m = 37;
    const n = 45;
    const k = 500;
    var x: [m * k]f32 = undefined;
    var y: [k * n]f32 = undefined;
    var ah: [m * k]f16 = undefined;
    var bh: [k * n]f16 = undefined;
    var ab: [m * k]BFloat16 = undefined;
    var bb: [k * n]BFloat16 = undefined;
    var ai: [m * k]i8 = undefined;
    var bi: [k * n]i8 = undefined;
    fill(i8, random, &ai);
    fill(i8, random, &bi);
    const shapes = [_][]const i64{ &.{ m, n }, &.{ m, k }, &.{ k, n } };
    const strides = [_][]const i64{ &.{ n, 1 }, &.{ k, 1 }, &.{ n, 1 } };
    for ([_]DType{ .float16, .bfloat16, .int8 }) |d| {
        var operands: [3]plan.Operand = undefined;
        for (&operands, shapes, strides) |*o, sh, st| o.* = .{
            .dtype = d,
            .shape = sh,
            .strides = st,
        };
        for (&x, &ah, &ab) |*f, *h, *b| {
            const v = random.float(f32) - 0.5;
            h.* = @floatCast(v);
            b.* = .fromF32(v);
            f.* = if (d == .float16) h.* else b.toF32();
        }
        for (&y, &bh, &bb) |*f, *h, *b| {
            const v = random.float(f32) - 0.5;
            h.* = @floatCast(v);
            b.* = .fromF32(v);
            f.* = if (d == .float16) h.* else b.toF32();
        }
        var p = plan.testPlan(&operands, 1, 0, &.{}, &.{});
        var oh: [m * n]f16 = undefined;
        var ob: [m * n]BFloat16 = undefined;
        var oi: [m * n]i8 = undefined;
        switch (d) {
            .float16 => try execute(&p, &.{ &oh, &ah, &bh }, &.{}),
            .bfloat16 => try execute(&p, &.{ &ob, &ab, &bb }, &.{}),
            else => try execute(&p, &.{ &oi, &ai, &bi }, &.{}),
        }
        for (0..m) |i| for (0..n) |j| {
            const want = if (d == .bfloat16)
                chainOfPairs(x[i * k ..].ptr, 1, y[j..].ptr, n, k)
            else
                chain(f32, x[i * k ..].ptr, 1, y[j..].ptr, n, k);
            switch (d) {
                .float16 => try std.testing.expectEqual(@as(f16, @floatCast(want)), oh[i * n + j]),
                .bfloat16 => try std.testing.expectEqual(BFloat16.fromF32(want).bits, ob[i * n + j].bits),
                else => {
                    const w = chain(i8, ai[i * k ..].ptr, 1, bi[j..].ptr, n, k);
                    try std.testing.expectEqual(w, oi[i * n + j]);
                },
            }
        };
    }
}

test "batches, bias, accumulation, linear and dot" {
    var prng = std.Random.DefaultPrng.init(3);
    const random = prng.random();
    var a: [2 * 3 * 4 * 5]f32 = undefined;
    var b: [3 * 5 * 6]f32 = undefined;
    var c: [6]f32 = undefined;
    fill(f32, random, &a);
    fill(f32, random, &b);
    fill(f32, random, &c);
    var out: [2 * 3 * 4 * 6]f32 = undefined;
    // b broadcast over the first batch dimension, then over both; bias over all but columns.
    for ([_]i64{ 30, 0 }) |b_stride| for ([_]u32{ 0, 1, 2 }) |op| {
        const operands = [_]plan.Operand{
            .{ .dtype = .float32, .shape = &.{ 2, 3, 4, 6 }, .strides = &.{ 72, 24, 6, 1 } },
            .{ .dtype = .float32, .shape = &.{ 2, 3, 4, 6 }, .strides = &.{ 0, 0, 0, 1 } },
            .{ .dtype = .float32, .shape = &.{ 2, 3, 4, 5 }, .strides = &.{ 60, 20, 5, 1 } },
            .{ .dtype = .float32, .shape = &.{ 2, 3, 5, 6 }, .strides = &.{ 0, b_stride, 6, 1 } },
        };
        const product = [_]plan.Operand{ operands[0], operands[2], operands[3] };
        var p = plan.testPlan(if (op == 0) &product else &operands, 1, op, &.{}, &.{});
        const scalars = [_]plan.Scalar{ .{ .f = 0.5 }, .{ .f = -3 } };
        if (op == 0) {
            try execute(&p, &.{ &out, &a, &b }, &.{});
        } else try execute(&p, &.{ &out, &c, &a, &b }, &scalars);
        for (0..6) |batch| for (0..4) |i| for (0..6) |j| {
            const bs: usize = @intCast(b_stride);
            const sum = chain(
                f32,
                a[batch * 20 + i * 5 ..].ptr,
                1,
                b[batch % 3 * bs + j ..].ptr,
                6,
                5,
            );
            const want = switch (op) {
                0 => sum,
                1 => sum + c[j],
                else => simd.fma(f32, -3, c[j], 0.5 * sum),
            };
            try std.testing.expectEqual(want, out[batch * 24 + i * 6 + j]);
        };
    };
    // linear: rows in two dimensions that fold, and ones that don't; one row; no bias.
    const Linear = struct { s0: i64, s1: i64, rows: [2]i64, bias: bool };
    for ([_]Linear{
        .{ .s0 = 20, .s1 = 5, .rows = .{ 3, 4 }, .bias = true },
        .{ .s0 = 5, .s1 = 15, .rows = .{ 3, 4 }, .bias = false },
        .{ .s0 = 5, .s1 = 5, .rows = .{ 1, 1 }, .bias = true },
        .{ .s0 = 5, .s1 = 5, .rows = .{ 4, 1 }, .bias = true },
        .{ .s0 = 5, .s1 = 5, .rows = .{ 0, 2 }, .bias = true },
    }) |l| {
        const r = l.rows;
        const operands = [_]plan.Operand{
            .{ .dtype = .float32, .shape = &.{ r[0], r[1], 6 }, .strides = &.{ r[1] * 6, 6, 1 } },
            .{ .dtype = .float32, .shape = &.{ r[0], r[1], 5 }, .strides = &.{ l.s0, l.s1, 1 } },
            .{ .dtype = .float32, .shape = &.{ 6, 5 }, .strides = &.{ 5, 1 } },
            if (l.bias)
                .{ .dtype = .float32, .shape = &.{6}, .strides = &.{1} }
            else
                .{ .dtype = .bool, .shape = &.{}, .strides = &.{} },
        };
        var p = plan.testPlan(&operands, 1, 3, &.{@intFromBool(l.bias)}, &.{});
        try execute(&p, &.{ &out, &a, &b, if (l.bias) &c else null }, &.{});
        for (0..@intCast(r[0])) |i| for (0..@intCast(r[1])) |j| for (0..6) |o| {
            const from = a[i * @as(usize, @intCast(l.s0)) + j * @as(usize, @intCast(l.s1)) ..].ptr;
            const w = b[o * 5 ..].ptr;
            const sum = if (r[0] * r[1] == 1) lanesSum(f32, from, 1, w, 1, 5) else chain(f32, from, 1, w, 1, 5);
            const got = out[(i * @as(usize, @intCast(r[1])) + j) * 6 + o];
            try std.testing.expectEqual(if (l.bias) sum + c[o] else sum, got);
        };
    }
    const operands = [_]plan.Operand{
        .{ .dtype = .float32, .shape = &.{}, .strides = &.{} },
        .{ .dtype = .float32, .shape = &.{50}, .strides = &.{2} },
        .{ .dtype = .float32, .shape = &.{50}, .strides = &.{1} },
    };
    var p = plan.testPlan(&operands, 1, 4, &.{}, &.{});
    try execute(&p, &.{ &out, &a, &b }, &.{});
    try std.testing.expectEqual(lanesSum(f32, &a, 2, &b, 1, 50), out[0]);
}

test "few rows of a layer are vectors, however they and the weights lie" {
    var prng = std.Random.DefaultPrng.init(4);
    const random = prng.random();
    const n, const k = .{ 17, 300 };
    var x: [8 * k]f32 = undefined;
    var w: [2 * n * k]f32 = undefined;
    var bias: [n]f32 = undefined;
    fill(f32, random, &x);
    fill(f32, random, &w);
    fill(f32, random, &bias);
    var out: [4 * n]f32 = undefined;
    // (2, 2, k) whose rows fold or don't, and every second element.
    for ([_][2]i64{ .{ 1, 2 }, .{ 3, 1 }, .{ 2, 2 } }) |r| for ([_][3]i64{ .{ 2 * k, k, 1 }, .{ k, 3 * k, 1 }, .{ 4 * k, 2 * k, 2 } }) |s| {
        if (r[0] == 3 and s[2] == 2) continue;
        for ([_][2]i64{ .{ k, 1 }, .{ 1, n }, .{ 2 * k, 1 } }) |ws| {
            const operands = [_]plan.Operand{
                .{ .dtype = .float32, .shape = &.{ r[0], r[1], n }, .strides = &.{ r[1] * n, n, 1 } },
                .{ .dtype = .float32, .shape = &.{ r[0], r[1], k }, .strides = &s },
                .{ .dtype = .float32, .shape = &.{ n, k }, .strides = &ws },
                .{ .dtype = .float32, .shape = &.{n}, .strides = &.{1} },
            };
            for ([_]u32{ 1, 2 }) |count| {
                _ = threads.setCount(count);
                var p = plan.testPlan(&operands, 1, 3, &.{1}, &.{});
                try execute(&p, &.{ &out, &x, &w, &bias }, &.{});
                for (0..@intCast(r[0])) |i| for (0..@intCast(r[1])) |j| for (0..n) |o| {
                    const from = x[i * @as(usize, @intCast(s[0])) + j * @as(usize, @intCast(s[1])) ..].ptr;
                    const sum = lanesSum(f32, from, @intCast(s[2]), w[o * @as(usize, @intCast(ws[0])) ..].ptr, @intCast(ws[1]), k);
                    try std.testing.expectEqual(sum + bias[o], out[(i * @as(usize, @intCast(r[1])) + j) * n + o]);
                };
            }
        }
    };
}

test "relu ends a product, with the bits of one behind it" {
    var prng = std.Random.DefaultPrng.init(9);
    const random = prng.random();
    var a: [70 * 600]f32 = undefined;
    var b: [40 * 600]f32 = undefined;
    var bias: [70]f32 = undefined;
    var plain: [70 * 40]f32 = undefined;
    var out: [70 * 40]f32 = undefined;
    fill(f32, random, &a);
    fill(f32, random, &b);
    fill(f32, random, &bias);
    b[7] = std.math.nan(f32);
    for ([_][3]i64{ .{ 3, 5, 2 }, .{ 70, 40, 600 }, .{ 1, 40, 33 }, .{ 40, 1, 7 }, .{ 70, 3, 20 } }) |size| {
        const m, const n, const k = size;
        for ([_]bool{ false, true }) |has_bias| {
            const operands = [_]plan.Operand{
                .{ .dtype = .float32, .shape = &.{ m, n }, .strides = &.{ n, 1 } },
                .{ .dtype = .float32, .shape = &.{ m, k }, .strides = &.{ k, 1 } },
                .{ .dtype = .float32, .shape = &.{ n, k }, .strides = &.{ k, 1 } },
                if (has_bias)
                    .{ .dtype = .float32, .shape = &.{n}, .strides = &.{1} }
                else
                    .{ .dtype = .bool, .shape = &.{}, .strides = &.{} },
            };
            var p = plan.testPlan(&operands, 1, 3, &.{@intFromBool(has_bias)}, &.{});
            try execute(&p, &.{ &plain, &a, &b, if (has_bias) &bias else null }, &.{});
            var q = plan.testPlan(&operands, 1, 3, &.{ @intFromBool(has_bias), 1 }, &.{});
            try execute(&q, &.{ &out, &a, &b, if (has_bias) &bias else null }, &.{});
            for (out[0..@intCast(m * n)], plain[0..@intCast(m * n)]) |got, x| {
                const want: f32 = if (x < 0) 0 else x;
                try std.testing.expectEqual(@as(u32, @bitCast(want)), @as(u32, @bitCast(got)));
            }
        }
    }
}

test "a product is added to what is there, with the bits of a sum behind it" {
    var prng = std.Random.DefaultPrng.init(8);
    const random = prng.random();
    const most = 90 * 512;
    var a: [most]f32 = undefined;
    var b: [most]f32 = undefined;
    var before: [90 * 90]f32 = undefined;
    fill(f32, random, &a);
    fill(f32, random, &b);
    fill(f32, random, &before);
    for ([_][3]usize{ .{ 3, 5, 2 }, .{ 70, 40, 33 }, .{ 90, 90, 512 }, .{ 13, 150, 5 } }) |size| for ([_]bool{ false, true }) |turned| {
        const m, const n, const k = size;
        const shapes = [3][2]i64{ .{ @intCast(m), @intCast(n) }, .{ @intCast(m), @intCast(k) }, .{ @intCast(k), @intCast(n) } };
        const strides_a: [2]i64 = if (turned) .{ 1, @intCast(m) } else .{ @intCast(k), 1 };
        const operands = [_]plan.Operand{
            .{ .dtype = .float32, .shape = &shapes[0], .strides = &.{ @intCast(n), 1 } },
            .{ .dtype = .float32, .shape = &shapes[1], .strides = &strides_a },
            .{ .dtype = .float32, .shape = &shapes[2], .strides = &.{ @intCast(n), 1 } },
        };
        var out = before;
        var p = plan.testPlan(&operands, 1, 7, &.{}, &.{});
        try execute(&p, &.{ &out, &a, &b }, &.{});
        for (0..m) |i| for (0..n) |j| {
            const at = i * @as(usize, @intCast(strides_a[0]));
            const sum = chain(f32, a[at..].ptr, @intCast(strides_a[1]), b[j..].ptr, n, k);
            try std.testing.expectEqual(before[i * n + j] + sum, out[i * n + j]);
        };
    };
}

test "a complex product is a real one of twice the size" {
    const m, const n, const k = .{ 3, 5, 4 };
    var prng = std.Random.DefaultPrng.init(5);
    const random = prng.random();
    var a: [k * m * 2]f64 = undefined;
    var b: [k * n * 2]f64 = undefined;
    fill(f64, random, &a);
    fill(f64, random, &b);
    var out: [m * n * 2]f64 = undefined;
    const operands = [_]plan.Operand{
        .{ .dtype = .float64, .shape = &.{ m, n, 2 }, .strides = &.{ 2 * n, 2, 1 } },
        .{ .dtype = .float64, .shape = &.{ m, k, 2 }, .strides = &.{ 2, 2 * m, 1 } }, // transposed
        .{ .dtype = .float64, .shape = &.{ k, n, 2 }, .strides = &.{ 2 * n, 2, 1 } },
    };
    var p = plan.testPlan(&operands, 1, 5, &.{}, &.{});
    try execute(&p, &.{ &out, &a, &b }, &.{});
    for (0..m) |i| for (0..n) |j| {
        var re: f64 = 0;
        var im: f64 = 0;
        for (0..k) |l| {
            re = simd.fma(f64, a[2 * (l * m + i)], b[2 * (l * n + j)], re);
            im = simd.fma(f64, a[2 * (l * m + i) + 1], b[2 * (l * n + j)], im);
        }
        for (0..k) |l| {
            re = simd.fma(f64, -a[2 * (l * m + i) + 1], b[2 * (l * n + j) + 1], re);
            im = simd.fma(f64, a[2 * (l * m + i)], b[2 * (l * n + j) + 1], im);
        }
        try std.testing.expectEqual(re, out[2 * (i * n + j)]);
        try std.testing.expectEqual(im, out[2 * (i * n + j) + 1]);
    };
}

test "a complex matrix and a vector: lanes over the numbers in memory, however they lie" {
    var prng = std.Random.DefaultPrng.init(6);
    const random = prng.random();
    const n, const most = .{ 19, 8300 };
    const memory = try gpa.alloc(f32, 4 * (n + 1) * (most + 1));
    defer gpa.free(memory);
    fill(f32, random, memory);
    const x = try gpa.alloc(f32, 4 * most);
    defer gpa.free(x);
    fill(f32, random, x);
    const row = try gpa.alloc(f32, 2 * most);
    defer gpa.free(row);
    const turned = try gpa.alloc(f32, 4 * most);
    defer gpa.free(turned);
    var out: [2 * n]f32 = undefined;
    for ([_]usize{ 1, 40, most }) |k| {
        for (0..k) |i| {
            turned[2 * i ..][0..2].* = .{ x[4 * i], -x[4 * i + 1] };
            turned[2 * (most + i) ..][0..2].* = .{ x[4 * i + 1], x[4 * i] };
        }
        // Rows, columns, either with gaps, and parts apart: strides of an output, a step and a part.
        for ([_][3]usize{ .{ 2 * k, 2, 1 }, .{ 2, 2 * n, 1 }, .{ 4 * k, 4, 1 }, .{ 4, 4 * n, 1 }, .{ k, 1, n * k } }) |s| for ([_]bool{ false, true }) |left| {
            const sj: i64, const sk: i64, const part: i64 = .{ @intCast(s[0]), @intCast(s[1]), @intCast(s[2]) };
            const steps: i64 = @intCast(k);
            const matrix: plan.Operand = .{
                .dtype = .float32,
                .shape = if (left) &.{ n, steps, 2 } else &.{ steps, n, 2 },
                .strides = if (left) &.{ sj, sk, part } else &.{ sk, sj, part },
            };
            const vector: plan.Operand = .{
                .dtype = .float32,
                .shape = if (left) &.{ steps, 1, 2 } else &.{ 1, steps, 2 },
                .strides = &.{ 4, 4, 1 },
            };
            const shape: [3]i64 = if (left) .{ n, 1, 2 } else .{ 1, n, 2 };
            const operands = [_]plan.Operand{
                .{ .dtype = .float32, .shape = &shape, .strides = &.{ 2, 2, 1 } },
                if (left) matrix else vector,
                if (left) vector else matrix,
            };
            var p = plan.testPlan(&operands, 1, 5, &.{}, &.{});
            try execute(&p, if (left) &.{ &out, memory.ptr, x.ptr } else &.{ &out, x.ptr, memory.ptr }, &.{});
            for (0..n) |j| {
                for (0..k) |i| {
                    const at = j * s[0] + i * s[1];
                    row[2 * i ..][0..2].* = .{ memory[at], memory[at + s[2]] };
                }
                try std.testing.expectEqual(lanesSum(f32, row.ptr, 1, turned.ptr, 1, 2 * k), out[2 * j]);
                try std.testing.expectEqual(lanesSum(f32, row.ptr, 1, turned[2 * most ..].ptr, 1, 2 * k), out[2 * j + 1]);
            }
        };
    }
}
