//! Loops over rows of float64 that the decompositions of linalg.zig are made of.
//!
//! What a loop adds up depends on its length only: 2 x 8 lanes, then one tree, then the tail.
const std = @import("std");
const simd = @import("../simd.zig");

const lanes = simd.lanes(f64);
const V = simd.Vec(f64);
/// Numbers below may have less than 53 bits, or products that vanish.
pub const small = 0x1p-900;

/// y += a x
pub noinline fn axpy(n: usize, a: f64, x: [*]const f64, y: [*]f64) void {
    const factor: V = @splat(a);
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        simd.store(f64, y + i, simd.fma(V, factor, simd.load(f64, x + i), simd.load(f64, y + i)));
    }
    while (i < n) : (i += 1) y[i] = simd.fma(f64, a, x[i], y[i]);
}

/// y += a[0] x_0 + a[1] x_1 + a[2] x_2 + a[3] x_3 in this order, x_k being x + k * stride.
pub noinline fn axpy4(n: usize, a: [4]f64, x: [*]const f64, stride: usize, y: [*]f64) void {
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        var sum = simd.load(f64, y + i);
        inline for (0..4) |k| {
            sum = simd.fma(V, @splat(a[k]), simd.load(f64, x + k * stride + i), sum);
        }
        simd.store(f64, y + i, sum);
    }
    while (i < n) : (i += 1) {
        inline for (0..4) |k| y[i] = simd.fma(f64, a[k], x[k * stride + i], y[i]);
    }
}

pub noinline fn dot(n: usize, x: [*]const f64, y: [*]const f64) f64 {
    var sums: [2]V = @splat(@splat(0));
    var i: usize = 0;
    while (i + 2 * lanes <= n) : (i += 2 * lanes) {
        inline for (0..2) |k| {
            const at = i + k * lanes;
            sums[k] = simd.fma(V, simd.load(f64, x + at), simd.load(f64, y + at), sums[k]);
        }
    }
    if (i + lanes <= n) {
        sums[0] = simd.fma(V, simd.load(f64, x + i), simd.load(f64, y + i), sums[0]);
        i += lanes;
    }
    var sum = if (n < lanes) 0 else simd.reduceAdd(sums[0] + sums[1]);
    while (i < n) : (i += 1) sum = simd.fma(f64, x[i], y[i], sum);
    return sum;
}

/// (x, y) becomes (c x + s y, c y - s x).
pub noinline fn rotate(n: usize, c: f64, s: f64, x: [*]f64, y: [*]f64) void {
    const vc: V = @splat(c);
    const vs: V = @splat(s);
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        const a = simd.load(f64, x + i);
        const b = simd.load(f64, y + i);
        simd.store(f64, x + i, simd.fma(V, vc, a, vs * b));
        simd.store(f64, y + i, simd.fma(V, vc, b, -vs * a));
    }
    while (i < n) : (i += 1) {
        const a = x[i];
        const b = y[i];
        x[i] = simd.fma(f64, c, a, s * b);
        y[i] = simd.fma(f64, c, b, -s * a);
    }
}

pub noinline fn swap(n: usize, x: [*]f64, y: [*]f64) void {
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        const a = simd.load(f64, x + i);
        simd.store(f64, x + i, simd.load(f64, y + i));
        simd.store(f64, y + i, a);
    }
    while (i < n) : (i += 1) std.mem.swap(f64, &x[i], &y[i]);
}

/// sqrt(a^2 + b^2) without overflow.
pub noinline fn hypot(a: f64, b: f64) f64 {
    const large = @max(@abs(a), @abs(b));
    if (large == 0) return 0;
    const ratio = @min(@abs(a), @abs(b)) / large;
    return large * @sqrt(simd.fma(f64, ratio, ratio, 1));
}

/// The largest |x|; nan if there is one.
pub noinline fn largest(n: usize, x: [*]const f64) f64 {
    var m: f64 = 0;
    for (x[0..n]) |v| m = simd.maxNan(f64, m, @abs(v));
    return m;
}

/// The Euclidean norm. The squares are scaled where they would leave the range.
pub noinline fn norm(n: usize, x: [*]const f64) f64 {
    const square = dot(n, x, x);
    if (square > 1e-250 and square < 1e250) return @sqrt(square);
    const size = largest(n, x);
    if (!(size > 0) or std.math.isInf(size)) return size;
    var sum: f64 = 0;
    for (x[0..n]) |v| sum = simd.fma(f64, v / size, v / size, sum);
    return size * @sqrt(sum);
}

/// x becomes (beta, v_1, v_2, ...) with H x = (beta, 0, 0, ...), H = I - tau v v^T, v_0 = 1.
/// Returns tau (0: H = I). LAPACK's dlarfg: beta has the sign that x_0 has not.
pub noinline fn reflector(n: usize, x: [*]f64) f64 {
    if (n < 2) return 0;
    const below = norm(n - 1, x + 1);
    if (below == 0) return 0;
    const alpha = x[0];
    const beta = -std.math.copysign(hypot(alpha, below), alpha);
    if (@abs(beta) < small) { // too few digits down there
        for (x[0..n]) |*v| v.* /= small;
        const tau = reflector(n, x);
        x[0] *= small;
        return tau;
    }
    for (x[1..n]) |*v| v.* /= alpha - beta;
    x[0] = beta;
    return (beta - alpha) / beta;
}

/// `a` (m rows of n, `stride` apart) becomes H a. work: n numbers.
pub noinline fn reflectRows(
    m: usize,
    n: usize,
    tau: f64,
    v: [*]const f64,
    a: [*]f64,
    stride: usize,
    work: [*]f64,
) void {
    if (tau == 0 or n == 0) return;
    @memset(work[0..n], 0);
    var i: usize = 0;
    while (i + 4 <= m) : (i += 4) axpy4(n, v[i..][0..4].*, a + i * stride, stride, work);
    while (i < m) : (i += 1) axpy(n, v[i], a + i * stride, work);
    for (0..m) |k| axpy(n, -tau * v[k], work, a + k * stride);
}

/// `a` (m rows of n, `stride` apart) becomes a H.
pub noinline fn reflectColumns(
    m: usize,
    n: usize,
    tau: f64,
    v: [*]const f64,
    a: [*]f64,
    stride: usize,
) void {
    if (tau == 0) return;
    for (0..m) |i| axpy(n, -tau * dot(n, a + i * stride, v), v, a + i * stride);
}

/// `reflector` of three numbers; tau.
pub inline fn reflector3(x: *[3]f64) f64 {
    const alpha, const y, const z = x.*;
    const below = simd.fma(f64, y, y, z * z);
    const square = simd.fma(f64, alpha, alpha, below);
    if (!(below > 1e-250 and square < 1e250)) return reflector(3, x);
    const beta = -std.math.copysign(@sqrt(square), alpha);
    const scale = 1 / (alpha - beta);
    x.* = .{ beta, y * scale, z * scale };
    return (beta - alpha) / beta;
}

/// `reflectRows` of three rows, v_0 = 1.
pub noinline fn reflectRows3(n: usize, tau: f64, v: *const [3]f64, a: [*]f64, stride: usize) void {
    var i: usize = 0;
    inline for (.{ lanes, 1 }) |w| while (i + w <= n) : (i += w) {
        const W = @Vector(w, f64);
        const second: W = @splat(v[1]);
        const third: W = @splat(v[2]);
        var x: [3]W = undefined;
        inline for (&x, 0..) |*row, k| row.* = a[k * stride + i ..][0..w].*;
        const sum = simd.fma(W, third, x[2], simd.fma(W, second, x[1], x[0]));
        const t = @as(W, @splat(-tau)) * sum;
        a[i..][0..w].* = x[0] + t;
        a[stride + i ..][0..w].* = simd.fma(W, second, t, x[1]);
        a[2 * stride + i ..][0..w].* = simd.fma(W, third, t, x[2]);
    };
}

/// `reflectColumns` of three columns, v_0 = 1.
pub noinline fn reflectColumns3(m: usize, tau: f64, v: *const [3]f64, a: [*]f64, stride: usize) void {
    for (0..m) |i| {
        const x = a[i * stride ..][0..3];
        const sum = simd.fma(f64, v[2], x[2], simd.fma(f64, v[1], x[1], x[0]));
        const t = -tau * sum;
        x.* = .{ x[0] + t, simd.fma(f64, v[1], t, x[1]), simd.fma(f64, v[2], t, x[2]) };
    }
}

/// n elements, `stride` apart.
pub fn gather(n: usize, src: [*]const f64, stride: usize, dst: [*]f64) void {
    for (0..n) |i| dst[i] = src[i * stride];
}

pub fn identity(m: usize, n: usize, a: [*]f64) void {
    @memset(a[0 .. m * n], 0);
    for (0..@min(m, n)) |i| a[i * n + i] = 1;
}

test "sums, rotations and reflections over all lengths" {
    var generator: std.Random.DefaultPrng = .init(1);
    const random = generator.random();
    var x: [160]f64 = undefined;
    var y: [40]f64 = undefined;
    for (&x) |*v| v.* = random.floatNorm(f64);
    for (&y) |*v| v.* = random.floatNorm(f64);
    for (0..40) |n| {
        var sum: f64 = 0;
        for (x[0..n], y[0..n]) |a, b| sum += a * b;
        try std.testing.expectApproxEqAbs(sum, dot(n, &x, &y), 1e-12);
        var z = y;
        axpy4(n, .{ 1, -2, 3, 0.5 }, &x, 40, &z);
        for (0..40) |i| {
            const more = if (i < n) x[i] - 2 * x[40 + i] + 3 * x[80 + i] + 0.5 * x[120 + i] else 0;
            try std.testing.expectApproxEqAbs(y[i] + more, z[i], 1e-12);
        }
        // H x is (beta, 0, ...), as long as x.
        var v: [40]f64 = x[0..40].*;
        const tau = reflector(n, &v);
        if (n == 0) continue;
        const beta = v[0];
        try std.testing.expectApproxEqRel(@abs(beta), norm(n, &x), 1e-14);
        v[0] = 1;
        var image: [40]f64 = x[0..40].*;
        reflectColumns(1, n, tau, &v, &image, n);
        for (image[0..n], 0..) |e, i| {
            try std.testing.expectApproxEqAbs(if (i == 0) beta else 0, e, 1e-13);
        }
    }
    const huge = [_]f64{ 3e200, 4e200 };
    const tiny = [_]f64{ 3e-200, 4e-200 };
    try std.testing.expectApproxEqRel(@as(f64, 5e200), norm(2, &huge), 1e-15);
    try std.testing.expectApproxEqRel(@as(f64, 5e-200), norm(2, &tiny), 1e-15);
}
