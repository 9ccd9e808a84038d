//! linalg.zig: what was taken apart is put together again, by plain loops.
const std = @import("std");
const linalg = @import("linalg.zig");
const testing = @import("reduce_testing.zig");
const DType = @import("../dtype.zig").DType;
const gpa = std.testing.allocator;
const Tensor = testing.Tensor;
const expect = std.testing.expect;

/// A batch of 3 matrices.
const Batch = struct {
    t: Tensor,
    m: usize,
    n: usize,

    fn init(dtype: DType, m: usize, n: usize, layout: testing.Layout, random: std.Random) !Batch {
        const shape = [_]i64{ 3, @intCast(m), @intCast(n) };
        return .{ .t = try Tensor.init(dtype, &shape, layout, random, 1), .m = m, .n = n };
    }
    fn deinit(x: Batch) void {
        x.t.deinit();
    }
    fn at(x: *const Batch, b: usize, i: usize, j: usize) f64 {
        return x.t.at((b * x.m + i) * x.n + j);
    }
    fn set(x: *const Batch, b: usize, i: usize, j: usize, v: f64) void {
        x.t.set((b * x.m + i) * x.n + j, v);
    }
};

const Case = struct {
    dtype: DType,
    layout: testing.Layout,
    random: std.Random,

    fn matrix(c: Case, m: usize, n: usize) !Batch {
        return Batch.init(c.dtype, m, n, c.layout, c.random);
    }
    fn result(c: Case, m: usize, n: usize) !Batch {
        const layout: testing.Layout = if (c.layout == .permuted) .permuted else .contiguous;
        return Batch.init(c.dtype, m, n, layout, c.random);
    }
    fn vectors(c: Case, n: usize) !Tensor {
        return Tensor.init(c.dtype, &.{ 3, @intCast(n) }, .contiguous, c.random, 1);
    }
    fn whole(c: Case, shape: []const i64) !Tensor {
        return Tensor.init(.int32, shape, .contiguous, c.random, 0);
    }
    fn run(
        c: Case,
        name: []const u8,
        tensors: []const ?*const Tensor,
        n_out: u32,
        ints: []const i64,
    ) !void {
        _ = c;
        const row = testing.find(linalg.names, name);
        const call = try testing.run(linalg.family, row, tensors, n_out, ints, &.{});
        try expect(call.status.load(.monotonic) == 0);
    }
    fn close(c: Case, expected: f64, got: f64) !void {
        try std.testing.expectApproxEqAbs(expected, got, 40 * testing.tolerance(c.dtype));
    }
    /// x^T x = 1, or with `rows` x x^T = 1.
    fn orthonormal(c: Case, x: *const Batch, rows: bool) !void {
        const count = if (rows) x.m else x.n;
        const length = if (rows) x.n else x.m;
        for (0..3) |b| for (0..count) |i| for (0..count) |j| {
            var sum: f64 = 0;
            for (0..length) |k| {
                sum += if (rows) x.at(b, i, k) * x.at(b, j, k) else x.at(b, k, i) * x.at(b, k, j);
            }
            try c.close(if (i == j) 1 else 0, sum);
        };
    }

    /// P, L and U, and each of them alone, are what `lu` packed.
    fn unpacked(c: Case, f: *const Batch, pivots: *const Tensor, k: usize) !void {
        const m, const n = .{ f.m, f.n };
        const plain: Case = .{ .dtype = c.dtype, .layout = .contiguous, .random = c.random };
        const packed_ = try plain.matrix(m, n);
        defer packed_.deinit();
        for (0..3 * m * n) |i| packed_.t.set(i, f.t.at(i));
        const p = try plain.matrix(m, m);
        defer p.deinit();
        const l = try plain.matrix(m, k);
        defer l.deinit();
        const u = try plain.matrix(k, n);
        defer u.deinit();
        for ([_][3]bool{ .{ true, true, true }, .{ true, false, false }, .{ false, true, true } }) |there| {
            for ([_]*const Batch{ &p, &l, &u }) |x| for (0..3 * x.m * x.n) |i| x.t.set(i, 7);
            try c.run("lu_unpack", &.{ if (there[0]) &p.t else null, if (there[1]) &l.t else null, if (there[2]) &u.t else null, &packed_.t, pivots }, 3, &.{});
            var order: [80]usize = undefined;
            for (0..3) |b| {
                for (0..m) |i| order[i] = i;
                for (0..k) |i| std.mem.swap(usize, &order[i], &order[@intCast(pivots.as(i64, b * k + i) - 1)]);
                for (0..m) |i| for (0..m) |j| {
                    if (there[0]) try expect(p.at(b, i, j) == @as(f64, if (order[j] == i) 1 else 0));
                };
                for (0..m) |i| for (0..k) |j| {
                    const want = if (j < i) f.at(b, i, j) else @as(f64, if (i == j) 1 else 0);
                    if (there[1]) try expect(l.at(b, i, j) == want);
                };
                for (0..k) |i| for (0..n) |j| {
                    if (there[2]) try expect(u.at(b, i, j) == if (j >= i) f.at(b, i, j) else 0);
                };
            }
        }
    }

    fn lu(c: Case, m: usize, n: usize) !void {
        const k = @min(m, n);
        const a = try c.matrix(m, n);
        defer a.deinit();
        const f = try c.result(m, n);
        defer f.deinit();
        const pivots = try c.whole(&.{ 3, @intCast(k) });
        defer pivots.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("lu", &.{ &f.t, &pivots, &info, &a.t }, 3, &.{});
        var order: [80]usize = undefined;
        for (0..3) |b| {
            for (0..m) |i| order[i] = i;
            for (0..k) |i| {
                std.mem.swap(usize, &order[i], &order[@intCast(pivots.as(i64, b * k + i) - 1)]);
            }
            for (0..m) |i| for (0..n) |j| {
                var sum: f64 = 0;
                for (0..@min(i + 1, j + 1, k)) |x| {
                    sum += (if (x == i) 1 else f.at(b, i, x)) * f.at(b, x, j);
                }
                try c.close(a.at(b, order[i], j), sum);
                if (j < i and j < k) try expect(@abs(f.at(b, i, j)) <= 1);
            };
        }
        try c.unpacked(&f, &pivots, k);
        if (m != n) return;
        const rhs = try c.matrix(n, 5);
        defer rhs.deinit();
        const x = try c.result(n, 5);
        defer x.deinit();
        try c.run("lu_solve", &.{ &x.t, &f.t, &pivots, &rhs.t }, 1, &.{0});
        for (0..3) |b| for (0..n) |i| for (0..5) |j| {
            var sum: f64 = 0;
            var size: f64 = 1;
            for (0..n) |k_| {
                sum += a.at(b, i, k_) * x.at(b, k_, j);
                size = @max(size, @abs(x.at(b, k_, j)));
            }
            try c.close(0, (rhs.at(b, i, j) - sum) / size);
        };
    }

    fn cholesky(c: Case, n: usize) !void {
        const half = try c.matrix(n, n);
        defer half.deinit();
        const a = try c.result(n, n);
        defer a.deinit();
        for (0..3) |b| for (0..n) |i| for (0..n) |j| {
            var sum: f64 = if (i == j) 1 else 0;
            for (0..n) |k| sum += half.at(b, i, k) * half.at(b, j, k) / @as(f64, @floatFromInt(n));
            a.set(b, i, j, if (j <= i) sum else std.math.nan(f64)); // never read
        };
        if (n > 1) a.set(2, n / 2, n / 2, -1);
        const l = try c.result(n, n);
        defer l.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("cholesky", &.{ &l.t, &info, &a.t }, 2, &.{});
        for (0..2) |b| for (0..n) |i| for (0..n) |j| {
            var sum: f64 = 0;
            for (0..n) |k| sum += l.at(b, i, k) * l.at(b, j, k);
            if (j <= i) try c.close(a.at(b, i, j), sum) else try expect(l.at(b, i, j) == 0);
        };
        if (n > 1) try expect(info.as(i64, 2) == n / 2 + 1 and info.as(i64, 0) == 0);
        if (c.layout == .broadcast) return;
        const x = try c.result(n, n);
        defer x.deinit();
        try c.run("triangle", &.{ &x.t, &l.t, &l.t }, 1, &.{ 0, 0 });
        for (0..2) |b| for (0..n) |i| for (0..n) |j| {
            try c.close(if (i == j) 1 else 0, x.at(b, i, j));
        };
    }

    fn eig(c: Case, n: usize) !void {
        const a = try c.matrix(n, n);
        defer a.deinit();
        const w = try c.result(n, 2);
        defer w.deinit();
        const v = try c.result(n, 2 * n);
        defer v.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("eig", &.{ &w.t, null, &info, &a.t }, 3, &.{});
        try c.run("eig", &.{ &w.t, &v.t, &info, &a.t }, 3, &.{});
        for (0..3) |b| {
            try expect(info.as(i64, b) == 0);
            for (0..n) |j| {
                var length: f64 = 0;
                for (0..n) |i| { // A v = w v
                    const x = v.at(b, i, 2 * j);
                    const y = v.at(b, i, 2 * j + 1);
                    var re = -w.at(b, j, 0) * x + w.at(b, j, 1) * y;
                    var im = -w.at(b, j, 0) * y - w.at(b, j, 1) * x;
                    for (0..n) |k| {
                        re += a.at(b, i, k) * v.at(b, k, 2 * j);
                        im += a.at(b, i, k) * v.at(b, k, 2 * j + 1);
                    }
                    try c.close(0, re);
                    try c.close(0, im);
                    length += x * x + y * y;
                }
                try c.close(1, length);
            }
        }
    }

    /// Not definite; where `hollow`, only blocks of 2 will do.
    fn ldl(c: Case, n: usize, hollow: bool) !void {
        const a = try c.result(n, n);
        defer a.deinit();
        for (0..3) |b| for (0..n) |i| for (0..i + 1) |j| {
            if (i == j and hollow) a.set(b, i, i, 0);
            a.set(b, j, i, a.at(b, i, j));
        };
        const rhs = try c.matrix(n, 3);
        defer rhs.deinit();
        const x = try c.result(n, 3);
        defer x.deinit();
        const ld = try c.result(n, n);
        defer ld.deinit();
        const pivots = try c.whole(&.{ 3, @intCast(n) });
        defer pivots.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("ldl", &.{ &ld.t, &pivots, &info, &a.t }, 3, &.{});
        try c.run("ldl_solve", &.{ &x.t, &ld.t, &pivots, &rhs.t }, 1, &.{});
        for (0..3) |b| {
            try expect(info.as(i64, b) == 0);
            if (hollow and n > 1) try expect(pivots.as(i64, b * n) < 0);
            for (0..n) |i| for (0..3) |j| {
                var sum: f64 = 0;
                var size: f64 = 1;
                for (0..n) |k| {
                    sum += a.at(b, i, k) * x.at(b, k, j);
                    size = @max(size, @abs(x.at(b, k, j)));
                }
                try c.close(0, (rhs.at(b, i, j) - sum) / size);
            };
        }
    }

    fn qr(c: Case, m: usize, n: usize) !void {
        const k = @min(m, n);
        const a = try c.matrix(m, n);
        defer a.deinit();
        const f = try c.result(m, n);
        defer f.deinit();
        const tau = try c.vectors(k);
        defer tau.deinit();
        try c.run("geqrf", &.{ &f.t, &tau, &a.t }, 2, &.{});
        const r = try c.result(m, n);
        defer r.deinit();
        for (0..3) |b| for (0..m) |i| for (0..n) |j| {
            r.set(b, i, j, if (i <= j) f.at(b, i, j) else 0);
        };
        const back = try c.result(m, n);
        defer back.deinit();
        try c.run("reflect", &.{ &back.t, &r.t, &f.t, &tau }, 1, &.{0});
        try c.run("reflect", &.{ &r.t, &back.t, &f.t, &tau }, 1, &.{1});
        for (0..3) |b| for (0..m) |i| for (0..n) |j| {
            try c.close(a.at(b, i, j), back.at(b, i, j));
            try c.close(if (i <= j) f.at(b, i, j) else 0, r.at(b, i, j));
        };
    }

    fn eigh(c: Case, n: usize) !void {
        const a = try c.matrix(n, n);
        defer a.deinit();
        const d = try c.vectors(n);
        defer d.deinit();
        const v = try c.result(n, n);
        defer v.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("eigh", &.{ &d, null, &info, &a.t }, 3, &.{});
        const first = if (n > 0) d.at(0) else 0;
        try c.run("eigh", &.{ &d, &v.t, &info, &a.t }, 3, &.{});
        try c.orthonormal(&v, false);
        if (n > 0) try c.close(first, d.at(0));
        for (0..3) |b| {
            try expect(info.as(i64, b) == 0);
            for (0..n) |i| for (0..n) |j| {
                var sum: f64 = 0;
                for (0..n) |k| sum += v.at(b, i, k) * d.at(b * n + k) * v.at(b, j, k);
                try c.close(a.at(b, @max(i, j), @min(i, j)), sum);
            };
            for (1..@max(n, 1)) |i| try expect(d.at(b * n + i - 1) <= d.at(b * n + i));
        }
    }

    fn svd(c: Case, m: usize, n: usize, full: bool) !void {
        const k = @min(m, n);
        const a = try c.matrix(m, n);
        defer a.deinit();
        // One matrix of rank 1.
        if (c.layout == .contiguous) for (1..@max(m, 1)) |i| for (0..n) |j| {
            a.set(1, i, j, 2 * a.at(1, 0, j));
        };
        const s = try c.vectors(k);
        defer s.deinit();
        const u = try c.result(m, if (full) m else k);
        defer u.deinit();
        const vh = try c.result(if (full) n else k, n);
        defer vh.deinit();
        const info = try c.whole(&.{3});
        defer info.deinit();
        try c.run("svd", &.{ &s, &u.t, &vh.t, &info, &a.t }, 4, &.{});
        try c.orthonormal(&u, false);
        try c.orthonormal(&vh, true);
        for (0..3) |b| {
            for (0..m) |i| for (0..n) |j| {
                var sum: f64 = 0;
                for (0..k) |x| sum += u.at(b, i, x) * s.at(b * k + x) * vh.at(b, x, j);
                try c.close(a.at(b, i, j), sum);
            };
            for (0..k) |i| {
                const after = if (i + 1 < k) s.at(b * k + i + 1) else 0;
                try expect(s.at(b * k + i) >= after and info.as(i64, b) == 0);
            }
        }
        const alone = try c.vectors(k);
        defer alone.deinit();
        try c.run("svd", &.{ &alone, null, null, &info, &a.t }, 4, &.{});
        for (0..3 * k) |i| try c.close(s.at(i), alone.at(i));
    }
};

test "products of the factors are the matrix" {
    var generator: std.Random.DefaultPrng = .init(9);
    const random = generator.random();
    const sizes = [_][2]usize{
        .{ 1, 1 },   .{ 2, 2 },   .{ 3, 5 },   .{ 5, 3 }, .{ 8, 8 },   .{ 9, 2 },
        .{ 1, 7 },   .{ 0, 3 },   .{ 0, 0 },   .{ 3, 0 }, .{ 33, 33 }, .{ 30, 41 },
        .{ 72, 72 }, .{ 75, 40 }, .{ 40, 75 },
    };
    for ([_]DType{ .float32, .float64 }) |dtype| for (std.enums.values(testing.Layout)) |layout| {
        const c: Case = .{ .dtype = dtype, .layout = layout, .random = random };
        for (sizes) |size| {
            const m, const n = size;
            // A repeated row makes it singular, which is another test's.
            if (layout != .broadcast) try c.lu(m, n);
            try c.qr(m, n);
            try c.svd(m, n, true);
            try c.svd(m, n, false);
            if (m != n) continue;
            try c.cholesky(n);
            try c.eigh(n);
            try c.eig(n);
            try c.ldl(n, false);
            if (n % 2 == 0) try c.ldl(n, true);
        }
    };
}

test "zeros, repeated values and nan" {
    var generator: std.Random.DefaultPrng = .init(10);
    const c: Case = .{ .dtype = .float64, .layout = .contiguous, .random = generator.random() };
    const n = 12;
    const a = try c.matrix(n, n);
    defer a.deinit();
    // 0; the identity; a diagonal with zeros in it.
    for (0..3) |b| for (0..n) |i| for (0..n) |j| {
        a.set(b, i, j, if (i != j or b == 0) 0 else if (b == 1) 1 else @floatFromInt(i % 3));
    };
    const s = try c.vectors(n);
    defer s.deinit();
    const info = try c.whole(&.{3});
    defer info.deinit();
    const u = try c.result(n, n);
    defer u.deinit();
    const v = try c.result(n, n);
    defer v.deinit();
    try c.run("svd", &.{ &s, &u.t, &v.t, &info, &a.t }, 4, &.{});
    try c.orthonormal(&u, false);
    try c.orthonormal(&v, true);
    for (0..n) |i| {
        try c.close(0, s.at(i));
        try c.close(1, s.at(n + i));
        try c.close(@floatFromInt((n - 1 - i) / 4), s.at(2 * n + i));
    }
    try c.run("eigh", &.{ &s, &u.t, &info, &a.t }, 3, &.{});
    try c.orthonormal(&u, false);
    for (0..n) |i| try c.close(@floatFromInt(i / 4), s.at(2 * n + i));
    const pivots = try c.whole(&.{ 3, n });
    defer pivots.deinit();
    try c.run("lu", &.{ &u.t, &pivots, &info, &a.t }, 3, &.{});
    try expect(info.as(i64, 0) == 1 and info.as(i64, 1) == 0 and info.as(i64, 2) == 1);
    a.set(1, 3, 3, std.math.nan(f64));
    try c.run("svd", &.{ &s, &u.t, &v.t, &info, &a.t }, 4, &.{});
    try expect(info.as(i64, 0) == 0 and info.as(i64, 1) == -1 and std.math.isNan(s.at(n)));
}
