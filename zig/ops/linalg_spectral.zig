//! Eigenvalues of symmetric matrices and singular values: to tridiagonal (bidiagonal) form by
//! Householder reflections, then implicit QL (QR) steps. Vectors are kept as rows, which is
//! where the rotations are quick.
//!
//! Golub, Van Loan: Matrix Computations, 8.3 and 8.6; the steps as in EISPACK's imtql2 and
//! LINPACK's dsvdc. Matrices are row-major without gaps, float64, and are overwritten.
const std = @import("std");
const vector = @import("linalg_vector.zig");
const gather = @import("linalg_factor.zig").gather;
const hypot = vector.hypot;

const eps = std.math.floatEps(f64);
const tiny = 0x1p-966;
/// Steps for one value after which the iteration is given up. 2 or 3 are usual.
const max_steps = 75;

/// The rows of z (n, n) become Q^T, Q = H_0 H_1 ..., where H_k acts on k + 1, ..., n - 1 and its
/// vector lies in row k of a, from k + 1 on.
fn accumulate(n: usize, a: [*]const f64, tau: [*]const f64, z: [*]f64) void {
    vector.identity(n, n, z);
    for (1..@max(n, 1)) |step| {
        const k = n - 1 - step;
        const from = k + 1;
        const corner = z + from * n + from;
        vector.reflectColumns(n - from, n - from, tau[k], a + k * n + from, corner, n);
    }
}

/// a (symmetric, both triangles) = Q T Q^T: d is the diagonal of T, e (n) the one beside it.
fn tridiagonal(n: usize, a: [*]f64, d: [*]f64, e: [*]f64, tau: [*]f64, work: [*]f64) void {
    for (0..n) |k| {
        d[k] = a[k * n + k];
        e[k] = 0;
        if (k + 1 == n) break;
        const size = n - k - 1;
        const v = a + k * n + k + 1;
        tau[k] = vector.reflector(size, v);
        e[k] = v[0];
        v[0] = 1;
        if (tau[k] == 0) continue;
        const block = a + (k + 1) * n + k + 1;
        for (0..size) |i| work[i] = tau[k] * vector.dot(size, block + i * n, v);
        vector.axpy(size, -0.5 * tau[k] * vector.dot(size, work, v), v, work);
        for (0..size) |i| {
            vector.axpy(size, -v[i], work, block + i * n);
            vector.axpy(size, -work[i], v, block + i * n);
        }
    }
}

/// Eigenvalues d, ascending, of the symmetric a (n, n); z (n, n): the eigenvectors as rows, or
/// null. work: 3 n numbers. Returns 0, or the number (from 1) of the value that did not converge.
pub fn symmetric(n: usize, a: [*]f64, d: [*]f64, z: ?[*]f64, work: [*]f64) usize {
    const e = work;
    const tau = work + n;
    tridiagonal(n, a, d, e, tau, work + 2 * n);
    if (z) |rows| accumulate(n, a, tau, rows);
    for (0..n) |l| {
        var steps: usize = 0;
        while (true) : (steps += 1) {
            var m = l;
            while (m + 1 < n) : (m += 1) {
                if (@abs(e[m]) <= tiny + eps * (@abs(d[m]) + @abs(d[m + 1]))) break;
            }
            if (m == l) break;
            if (steps == max_steps) return l + 1;
            stepQl(n, d, e, l, m, z);
        }
    }
    sort(n, d, &.{.{ .rows = z, .n = n }}, false);
    return 0;
}

/// c f + s g = r, c g - s f = 0.
const Rotation = struct { c: f64, s: f64, r: f64 };

fn rotation(f: f64, g: f64) Rotation {
    const r = hypot(f, g);
    if (r == 0) return .{ .c = 1, .s = 0, .r = 0 };
    if (!(r < vector.small)) return .{ .c = f / r, .s = g / r, .r = r };
    const q = rotation(f / vector.small, g / vector.small);
    return .{ .c = q.c, .s = q.s, .r = q.r * vector.small };
}

/// An implicit QL step on rows l ... m of a tridiagonal matrix.
fn stepQl(n: usize, d: [*]f64, e: [*]f64, l: usize, m: usize, z: ?[*]f64) void {
    var g = (d[l + 1] - d[l]) / (2 * e[l]);
    g = d[m] - d[l] + e[l] / (g + std.math.copysign(hypot(g, 1), g));
    var s: f64 = 1;
    var c: f64 = 1;
    var p: f64 = 0;
    var i = m;
    while (i > l) {
        i -= 1;
        const f = s * e[i];
        const b = c * e[i];
        const q = rotation(g, f);
        e[i + 1] = q.r;
        if (q.r == 0) { // it falls in two here
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = q.s;
        c = q.c;
        g = d[i + 1] - p;
        const t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        if (z) |rows| vector.rotate(n, c, s, rows + (i + 1) * n, rows + i * n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

const Vectors = struct { rows: ?[*]f64, n: usize };

/// Brings the values into order, and rows of vectors with them.
fn sort(n: usize, d: [*]f64, vectors: []const Vectors, descending: bool) void {
    for (0..n) |i| {
        var best = i;
        for (i + 1..n) |j| {
            if (if (descending) d[j] > d[best] else d[j] < d[best]) best = j;
        }
        if (best == i) continue;
        std.mem.swap(f64, &d[i], &d[best]);
        for (vectors) |v| if (v.rows) |rows| vector.swap(v.n, rows + i * v.n, rows + best * v.n);
    }
}

/// The singular values of a square matrix a (n, n).
pub const Singular = struct {
    n: usize,
    a: [*]f64,
    /// n values; n numbers of work.
    d: [*]f64,
    e: [*]f64,
    /// The left and the right vectors as rows (n, n); null, both, where only the values are wanted.
    left: ?[*]f64,
    right: ?[*]f64,
    /// 4 n numbers.
    work: [*]f64,

    /// a = U B V^T, B upper bidiagonal: d on the diagonal, e above it.
    fn bidiagonal(s: Singular) void {
        const n = s.n;
        const tau_left = s.work;
        const tau_right = s.work + n;
        const row = s.work + 2 * n;
        const column = s.work + 3 * n;
        for (0..n) |k| {
            gather(n - k, s.a + k * n + k, n, column);
            tau_left[k] = vector.reflector(n - k, column);
            s.d[k] = column[0];
            column[0] = 1;
            for (k..n) |i| s.a[i * n + k] = column[i - k];
            const rest = n - k - 1;
            const corner = s.a + k * n + k + 1;
            vector.reflectRows(n - k, rest, tau_left[k], column, corner, n, row);
            s.e[k] = 0;
            if (rest == 0) break;
            tau_right[k] = vector.reflector(rest, corner);
            s.e[k] = corner[0];
            corner[0] = 1;
            vector.reflectColumns(rest, rest, tau_right[k], corner, corner + n, n);
        }
        if (s.right) |v| accumulate(n, s.a, tau_right, v);
        const u = s.left orelse return;
        vector.identity(n, n, u);
        for (0..n) |step| {
            const k = n - 1 - step;
            gather(n - k, s.a + k * n + k, n, column);
            vector.reflectColumns(n - k, n - k, tau_left[k], column, u + k * n + k, n);
        }
    }

    /// The values, descending, with their vectors.
    /// Returns 0, or the number (from 1) of the value that did not converge.
    pub fn run(s: Singular) usize {
        s.bidiagonal();
        const d, const e = .{ s.d, s.e };
        var p = s.n;
        var steps: usize = 0;
        while (p > 0) {
            // The last block k ... p - 1 that hangs together.
            var k = p - 1;
            while (k > 0) : (k -= 1) {
                if (@abs(e[k - 1]) <= tiny + eps * (@abs(d[k - 1]) + @abs(d[k]))) {
                    e[k - 1] = 0;
                    break;
                }
            }
            if (k == p - 1) {
                if (d[k] < 0) if (s.right) |v| for (v[k * s.n ..][0..s.n]) |*x| {
                    x.* = -x.*;
                };
                d[k] = @abs(d[k]);
                p -= 1;
                steps = 0;
                continue;
            }
            if (steps == max_steps) return p;
            steps += 1;
            const zero = s.negligible(k, p) orelse {
                s.stepQr(k, p);
                continue;
            };
            d[zero] = 0;
            if (zero == p - 1) s.clearColumn(k, p) else s.clearRow(zero, p);
        }
        sort(s.n, d, &.{
            .{ .rows = s.left, .n = s.n },
            .{ .rows = s.right, .n = s.n },
        }, true);
        return 0;
    }

    /// The last diagonal element of the block k ... p - 1 that is as good as zero.
    fn negligible(s: Singular, k: usize, p: usize) ?usize {
        var i = p;
        while (i > k) {
            i -= 1;
            const above = if (i > k) @abs(s.e[i - 1]) else 0;
            const beside = if (i + 1 < p) @abs(s.e[i]) else 0;
            if (@abs(s.d[i]) <= tiny + eps * (above + beside)) return i;
        }
        return null;
    }

    fn rotateLeft(s: Singular, q: Rotation, i: usize, j: usize) void {
        if (s.left) |u| vector.rotate(s.n, q.c, q.s, u + i * s.n, u + j * s.n);
    }
    fn rotateRight(s: Singular, q: Rotation, i: usize, j: usize) void {
        if (s.right) |v| vector.rotate(s.n, q.c, q.s, v + i * s.n, v + j * s.n);
    }

    /// The last diagonal element is zero: what is above it goes too.
    fn clearColumn(s: Singular, k: usize, p: usize) void {
        var f = s.e[p - 2];
        s.e[p - 2] = 0;
        var j = p - 1;
        while (j > k) {
            j -= 1;
            const q = rotation(s.d[j], f);
            s.d[j] = q.r;
            if (j > k) {
                f = -q.s * s.e[j - 1];
                s.e[j - 1] *= q.c;
            }
            s.rotateRight(q, j, p - 1);
        }
    }

    /// Diagonal element `zero` is zero: what is beside it goes too.
    fn clearRow(s: Singular, zero: usize, p: usize) void {
        var f = s.e[zero];
        s.e[zero] = 0;
        for (zero + 1..p) |j| {
            const q = rotation(s.d[j], f);
            s.d[j] = q.r;
            f = -q.s * s.e[j];
            s.e[j] *= q.c;
            s.rotateLeft(q, j, zero);
        }
    }

    /// An implicit QR step on the block k ... p - 1.
    fn stepQr(s: Singular, k: usize, p: usize) void {
        const d, const e = .{ s.d, s.e };
        const size = @max(@abs(d[p - 1]), @abs(d[p - 2]), @abs(e[p - 2]), @abs(d[k]), @abs(e[k]));
        const last = d[p - 1] / size;
        const before = d[p - 2] / size;
        const off = e[p - 2] / size;
        const b = ((before + last) * (before - last) + off * off) / 2;
        const c = (last * off) * (last * off);
        var shift: f64 = 0;
        if (b != 0 or c != 0) shift = c / (b + std.math.copysign(@sqrt(b * b + c), b));
        const head = d[k] / size;
        var f = (head + last) * (head - last) + shift;
        var g = head * (e[k] / size);
        for (k..p - 1) |j| {
            const right = rotation(f, g);
            if (j > k) e[j - 1] = right.r;
            f = right.c * d[j] + right.s * e[j];
            e[j] = right.c * e[j] - right.s * d[j];
            g = right.s * d[j + 1];
            d[j + 1] *= right.c;
            s.rotateRight(right, j, j + 1);
            const left = rotation(f, g);
            d[j] = left.r;
            f = left.c * e[j] + left.s * d[j + 1];
            d[j + 1] = left.c * d[j + 1] - left.s * e[j];
            g = left.s * e[j + 1];
            e[j + 1] *= left.c;
            s.rotateLeft(left, j, j + 1);
        }
        e[p - 2] = f;
    }
};
