//! Factorisations in a fixed number of steps: LU, Cholesky, QR; triangular systems.
//! Matrices are row-major without gaps, float64, and are overwritten.
const std = @import("std");
const simd = @import("../simd.zig");
const vector = @import("linalg_vector.zig");
const axpy = vector.axpy;

/// Columns that are eliminated before the rows below are brought up to date, in one pass.
const panel = 4;

/// a (m, n) = P L U with the largest pivots: L (unit diagonal, not stored) below the diagonal,
/// U on and above it. Row i was swapped with row pivots[i] - 1, for i = 0, 1, ... in this order.
/// Returns the number (from 1) of the first pivot that is zero, or 0.
pub fn lu(m: usize, n: usize, a: [*]f64, pivots: [*]f64) usize {
    const steps = @min(m, n);
    var info: usize = 0;
    var first: usize = 0;
    while (first < steps) : (first += panel) {
        const end = @min(first + panel, steps);
        for (first..end) |j| {
            const pivot = swapPivot(m, n, a, j);
            pivots[j] = @floatFromInt(pivot + 1);
            const value = a[j * n + j];
            if (value == 0) {
                if (info == 0) info = j + 1;
                continue;
            }
            for (j + 1..m) |i| {
                const row = a + i * n;
                row[j] /= value;
                for (j + 1..end) |c| row[c] = simd.fma(f64, -row[j], a[j * n + c], row[c]);
            }
        }
        for (first..end) |j| for (j + 1..end) |i| {
            axpy(n - end, -a[i * n + j], a + j * n + end, a + i * n + end);
        };
        for (end..m) |i| {
            const row = a + i * n;
            if (end - first == panel) {
                const l = [4]f64{ -row[first], -row[first + 1], -row[first + 2], -row[first + 3] };
                vector.axpy4(n - end, l, a + first * n + end, n, row + end);
            } else for (first..end) |j| axpy(n - end, -row[j], a + j * n + end, row + end);
        }
    }
    return info;
}

/// Brings the largest element of column j, from row j on, to row j. Returns where it was.
fn swapPivot(m: usize, n: usize, a: [*]f64, j: usize) usize {
    var best = j;
    for (j + 1..m) |i| {
        if (@abs(a[i * n + j]) > @abs(a[best * n + j])) best = i;
    }
    if (best != j) vector.swap(n, a + j * n, a + best * n);
    return best;
}

/// a = L L^T, from the lower triangle; the upper one becomes 0.
/// Returns the order of the first leading minor that is not positive, or 0.
pub fn cholesky(n: usize, a: [*]f64) usize {
    for (0..n) |i| {
        const row = a + i * n;
        for (0..i) |j| row[j] = (row[j] - vector.dot(j, row, a + j * n)) / a[j * n + j];
        const square = row[i] - vector.dot(i, row, row);
        if (!(square > 0)) return i + 1;
        row[i] = @sqrt(square);
        @memset(row[i + 1 .. n], 0);
    }
    return 0;
}

pub const Triangle = struct { upper: bool, unit: bool };

/// Solves T x = b for each of the `count` rows of x (count, n), which holds the b; T is a
/// triangle of a (n, n).
pub fn solveTriangle(n: usize, count: usize, a: [*]const f64, x: [*]f64, t: Triangle) void {
    for (0..n) |step| {
        const i = if (t.upper) n - 1 - step else step;
        const from = if (t.upper) i + 1 else 0;
        const row = a + i * n;
        for (0..count) |r| {
            const line = x + r * n;
            const rest = line[i] - vector.dot(step, row + from, line + from);
            line[i] = if (t.unit) rest else rest / row[i];
        }
    }
}

/// Solves A x = b for each row of x, `a` being A's LU. With `transposed`, `a` is the transpose
/// of an LU, and the system is A^T x = b.
pub fn solveLu(
    n: usize,
    count: usize,
    a: [*]const f64,
    pivots: [*]const f64,
    x: [*]f64,
    transposed: bool,
) void {
    if (!transposed) permute(n, count, pivots, x, false);
    solveTriangle(n, count, a, x, .{ .upper = false, .unit = !transposed });
    solveTriangle(n, count, a, x, .{ .upper = true, .unit = transposed });
    if (transposed) permute(n, count, pivots, x, true);
}

fn permute(n: usize, count: usize, pivots: [*]const f64, x: [*]f64, backwards: bool) void {
    for (0..n) |step| {
        const i = if (backwards) n - 1 - step else step;
        const other: usize = @trunc(pivots[i] - 1);
        for (0..count) |r| std.mem.swap(f64, &x[r * n + i], &x[r * n + other]);
    }
}

/// a (m, n) = Q R by Householder reflections: R on and above the diagonal, below it the vectors
/// of H_0, H_1, ... (their first element is 1, and not stored), Q = H_0 H_1 ... .
/// column: m numbers; work: n.
pub fn qr(m: usize, n: usize, a: [*]f64, tau: [*]f64, column: [*]f64, work: [*]f64) void {
    for (0..@min(m, n)) |k| {
        gather(m - k, a + k * n + k, n, column);
        tau[k] = vector.reflector(m - k, column);
        for (k..m) |i| a[i * n + k] = column[i - k];
        column[0] = 1;
        vector.reflectRows(m - k, n - k - 1, tau[k], column, a + k * n + k + 1, n, work);
    }
}

/// c (m, n) becomes Q c, or Q^T c: `count` reflections, their vectors in the columns of v
/// (m, width).
pub fn applyQ(
    m: usize,
    n: usize,
    c: [*]f64,
    v: [*]const f64,
    width: usize,
    tau: [*]const f64,
    count: usize,
    transposed: bool,
    column: [*]f64,
    work: [*]f64,
) void {
    for (0..count) |step| {
        const k = if (transposed) step else count - 1 - step;
        gather(m - k, v + k * width + k, width, column);
        column[0] = 1;
        vector.reflectRows(m - k, n, tau[k], column, c + k * n, n, work);
    }
}

/// n elements, `stride` apart.
pub fn gather(n: usize, src: [*]const f64, stride: usize, dst: [*]f64) void {
    for (0..n) |i| dst[i] = src[i * stride];
}
