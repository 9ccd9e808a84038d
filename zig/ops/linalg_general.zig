//! Eigenvalues and vectors of a matrix without symmetry: to Hessenberg form by Householder
//! reflections, to the real Schur form by implicit double QR steps, vectors by back-substitution.
//! The steps are those of EISPACK's hqr2. Matrices are row-major, float64.
const std = @import("std");
const vector = @import("linalg_vector.zig");
const gather = vector.gather;

const eps = std.math.floatEps(f64);
/// A difference of eigenvalues below this part of the matrix's size is none: dividing by it could overflow.
const none = eps * eps;
const max_steps = 60;

const Complex = struct {
    re: f64,
    im: f64,

    fn divide(a: Complex, b: Complex) Complex {
        if (@abs(b.re) > @abs(b.im)) {
            const r = b.im / b.re;
            const d = b.re + r * b.im;
            return .{ .re = (a.re + r * a.im) / d, .im = (a.im - r * a.re) / d };
        }
        const r = b.re / b.im;
        const d = b.im + r * b.re;
        return .{ .re = (r * a.re + a.im) / d, .im = (r * a.im - a.re) / d };
    }
};

/// The eigenvalues re + i im of h (n, n; rows `ld` apart), which is overwritten; conjugate pairs lie side by side,
/// the one with the positive imaginary part first. v (n, n) or null: the vectors as columns, for
/// a pair the real and the imaginary part of the first.
pub const General = struct {
    n: usize,
    h: [*]f64,
    ld: usize,
    re: [*]f64,
    im: [*]f64,
    v: ?[*]f64,
    /// 2 n numbers.
    work: [*]f64,

    /// Returns 0, or the number (from 1) of the value that did not converge.
    pub fn run(s: General) usize {
        s.hessenberg();
        var size: f64 = 0;
        for (0..s.n) |i| for (i -| 1..s.n) |j| {
            size += @abs(s.h[i * s.ld + j]);
        };
        const failed = s.schur(size);
        if (failed != 0 or s.v == null or size == 0) return failed;
        s.substitute(size);
        s.transform();
        return 0;
    }

    inline fn at(s: General, i: usize, j: usize) *f64 {
        return &s.h[i * s.ld + j];
    }

    /// (Until `transform` the vectors are rows, so that what becomes of them goes along them.)
    noinline fn hessenberg(s: General) void {
        const n = s.n;
        if (s.v) |v| vector.identity(n, n, v);
        for (1..@max(n, 2) - 1) |i| {
            const k = i - 1;
            const length = n - i;
            const column = s.work;
            gather(length, s.h + i * s.ld + k, s.ld, column);
            const tau = vector.reflector(length, column);
            s.at(i, k).* = column[0];
            for (i + 1..n) |j| s.at(j, k).* = 0;
            column[0] = 1;
            vector.reflectRows(length, length, tau, column, s.h + i * s.ld + i, s.ld, s.work + n);
            vector.reflectColumns(n, length, tau, column, s.h + i, s.ld);
            if (s.v) |v| vector.reflectRows(length, n, tau, column, v + i * n, n, s.work + n);
        }
    }

    /// To the real Schur form, the last values first.
    noinline fn schur(s: General, size: f64) usize {
        var end = s.n;
        var steps: usize = 0;
        var shifted: f64 = 0;
        while (end > 0) {
            const last = end - 1;
            var l = last;
            while (l > 0) : (l -= 1) {
                var scale = @abs(s.at(l - 1, l - 1).*) + @abs(s.at(l, l).*);
                if (scale == 0) scale = size;
                if (@abs(s.at(l, l - 1).*) <= eps * (scale + eps * eps * size)) break;
            }
            if (l + 2 > last) {
                s.at(last, last).* += shifted;
                if (l == last) {
                    s.re[last] = s.at(last, last).*;
                    s.im[last] = 0;
                } else {
                    s.at(l, l).* += shifted;
                    s.pair(last);
                }
                end = l;
                steps = 0;
                continue;
            }
            if (steps == max_steps) return end;
            steps += 1;
            s.stepQr(l, last, steps, &shifted);
        }
        return 0;
    }

    /// The block of 2 that ends at `last`: real values are split.
    noinline fn pair(s: General, last: usize) void {
        const n = s.n;
        const first = last - 1;
        const w = s.at(last, first).* * s.at(first, last).*;
        var p = (s.at(first, first).* - s.at(last, last).*) / 2;
        var q = p * p + w;
        var z = @sqrt(@abs(q));
        const x = s.at(last, last).*;
        if (q < 0) {
            s.re[first] = x + p;
            s.re[last] = x + p;
            s.im[first] = z;
            s.im[last] = -z;
            return;
        }
        z = p + std.math.copysign(z, p);
        s.re[first] = x + z;
        s.re[last] = if (z != 0) x - w / z else x + z;
        s.im[first] = 0;
        s.im[last] = 0;
        const v = s.v orelse return;
        const off = s.at(last, first).*;
        const r = vector.hypot(off, z);
        p = off / r;
        q = z / r;
        vector.rotate(n - first, q, p, s.h + first * s.ld + first, s.h + last * s.ld + first);
        rotateColumns(last + 1, s.ld, s.h + first, q, p);
        vector.rotate(n, q, p, v + first * n, v + last * n);
    }

    fn rotateColumns(count: usize, stride: usize, a: [*]f64, q: f64, p: f64) void {
        for (0..count) |i| {
            const x = a[i * stride];
            const y = a[i * stride + 1];
            a[i * stride] = q * x + p * y;
            a[i * stride + 1] = q * y - p * x;
        }
    }

    /// A double QR step on rows l ... last.
    noinline fn stepQr(s: General, l: usize, last: usize, step: usize, shifted: *f64) void {
        var x = s.at(last, last).*;
        var y = s.at(last - 1, last - 1).*;
        var w = s.at(last, last - 1).* * s.at(last - 1, last).*;
        if (step == 11 or step == 31) { // an exceptional shift
            shifted.* += x;
            for (0..last + 1) |i| s.at(i, i).* -= x;
            const off = @abs(s.at(last, last - 1).*) + @abs(s.at(last - 1, last - 2).*);
            x = 0.75 * off;
            y = x;
            w = -0.4375 * off * off;
        }
        // From where on: two small elements in a row below the diagonal.
        var m = last - 2;
        var v: [3]f64 = undefined;
        while (true) : (m -= 1) {
            const z = s.at(m, m).*;
            const r = x - z;
            const t = y - z;
            v[0] = (r * t - w) / s.at(m + 1, m).* + s.at(m, m + 1).*;
            v[1] = s.at(m + 1, m + 1).* - z - r - t;
            v[2] = s.at(m + 2, m + 1).*;
            const scale = @abs(v[0]) + @abs(v[1]) + @abs(v[2]);
            for (&v) |*e| e.* /= scale;
            if (m == l) break;
            const beside = @abs(s.at(m - 1, m - 1).*) + @abs(z) + @abs(s.at(m + 1, m + 1).*);
            const below = @abs(s.at(m, m - 1).*) * (@abs(v[1]) + @abs(v[2]));
            if (below < eps * @abs(v[0]) * beside) break;
        }
        for (m + 2..last + 1) |i| {
            s.at(i, i - 2).* = 0;
            if (i > m + 2) s.at(i, i - 3).* = 0;
        }
        // What is outside of rows and columns l ... last is of use for vectors only.
        const n = s.n;
        const top = if (s.v == null) l else 0;
        const right = if (s.v == null) last + 1 else n;
        for (m..last) |k| {
            const length: usize = if (k + 1 < last) 3 else 2;
            if (k > m) v = .{ s.at(k, k - 1).*, s.at(k + 1, k - 1).*, if (length == 3) s.at(k + 2, k - 1).* else 0 };
            const tau = if (length == 3) vector.reflector3(&v) else vector.reflector(2, &v);
            const beta = v[0];
            if (k > m) {
                s.at(k, k - 1).* = beta;
                for (1..length) |i| s.at(k + i, k - 1).* = 0;
            } else if (l < m and tau != 0) {
                // The reflection turns the sign of what is beside it.
                s.at(k, k - 1).* *= 1 - tau;
            }
            v[0] = 1;
            const columns = s.h + top * s.ld + k;
            const height = @min(last, k + 3) + 1 - top;
            if (length == 3) {
                vector.reflectRows3(right - k, tau, &v, s.h + k * s.ld + k, s.ld);
                vector.reflectColumns3(height, tau, &v, columns, s.ld);
                if (s.v) |all| vector.reflectRows3(n, tau, &v, all + k * n, n);
            } else {
                vector.reflectRows(2, right - k, tau, &v, s.h + k * s.ld + k, s.ld, s.work);
                vector.reflectColumns(height, 2, tau, &v, columns, s.ld);
                if (s.v) |all| vector.reflectRows(2, n, tau, &v, all + k * n, n, s.work);
            }
        }
    }

    /// The vectors of the triangular form, over h, the last first.
    noinline fn substitute(s: General, size: f64) void {
        for (0..s.n) |step| {
            const k = s.n - 1 - step;
            if (s.im[k] == 0) s.realVector(k, size) else if (s.im[k] < 0) s.complexVector(k, size);
        }
    }

    noinline fn realVector(s: General, k: usize, size: f64) void {
        const value = s.re[k];
        var l = k;
        var z: f64 = 0;
        var below: f64 = 0;
        s.at(k, k).* = 1;
        // The column, side by side.
        const x_k = s.work;
        x_k[k] = 1;
        var i = k;
        while (i > 0) {
            i -= 1;
            const w = s.at(i, i).* - value;
            const r = vector.dot(k + 1 - l, s.h + i * s.ld + l, x_k + l);
            if (s.im[i] < 0) { // the second row of a block
                z = w;
                below = r;
                continue;
            }
            l = i;
            if (s.im[i] == 0) {
                s.at(i, k).* = -r / (if (@abs(w) > none * size) w else eps * size);
            } else {
                const x = s.at(i, i + 1).*;
                const y = s.at(i + 1, i).*;
                const d = s.re[i] - value;
                const t = (x * below - z * r) / @max(d * d + s.im[i] * s.im[i], none * size * none * size);
                s.at(i, k).* = t;
                const next = if (@abs(x) > @abs(z)) (-r - w * t) / x else (-below - y * t) / z;
                s.at(i + 1, k).* = next;
                x_k[i + 1] = next;
            }
            x_k[i] = s.at(i, k).*;
            const t = @abs(x_k[i]);
            if (eps * t * t > 1) for (i..k + 1) |j| {
                x_k[j] /= t;
                s.at(j, k).* = x_k[j];
            };
        }
    }

    /// In both columns, and where they lie side by side.
    fn setPair(s: General, i: usize, k: usize, c: Complex) void {
        s.at(i, k - 1).* = c.re;
        s.at(i, k).* = c.im;
        s.work[i] = c.re;
        s.work[s.n + i] = c.im;
    }

    /// Columns k - 1 and k: the real and the imaginary part.
    noinline fn complexVector(s: General, k: usize, size: f64) void {
        const p = s.re[k];
        const q = s.im[k];
        const first = k - 1;
        if (@abs(s.at(k, first).*) > @abs(s.at(first, k).*)) {
            const off = s.at(k, first).*;
            s.setPair(first, k, .{ .re = q / off, .im = -(s.at(k, k).* - p) / off });
        } else {
            const above: Complex = .{ .re = 0, .im = -s.at(first, k).* };
            s.setPair(first, k, above.divide(.{ .re = s.at(first, first).* - p, .im = q }));
        }
        s.setPair(k, k, .{ .re = 0, .im = 1 });
        var l = first;
        var z: f64 = 0;
        var below: Complex = .{ .re = 0, .im = 0 };
        var i = first;
        while (i > 0) {
            i -= 1;
            const row = s.h + i * s.ld + l;
            const r: Complex = .{
                .re = vector.dot(k + 1 - l, row, s.work + l),
                .im = vector.dot(k + 1 - l, row, s.work + s.n + l),
            };
            const w = s.at(i, i).* - p;
            if (s.im[i] < 0) {
                z = w;
                below = r;
                continue;
            }
            l = i;
            if (s.im[i] == 0) {
                const negative: Complex = .{ .re = -r.re, .im = -r.im };
                const apart = @abs(w) + @abs(q) > none * size;
                s.setPair(i, k, negative.divide(.{ .re = if (apart) w else eps * size, .im = q }));
            } else s.block(i, k, w, z, r, below, size);
            const t = @max(@abs(s.at(i, first).*), @abs(s.at(i, k).*));
            if (eps * t * t > 1) for (i..k + 1) |j| {
                s.setPair(j, k, .{ .re = s.work[j] / t, .im = s.work[s.n + j] / t });
            };
        }
    }

    /// Rows i and i + 1 of a complex vector, where they are a block of 2.
    fn block(
        s: General,
        i: usize,
        k: usize,
        w: f64,
        z: f64,
        r: Complex,
        below: Complex,
        size: f64,
    ) void {
        const q = s.im[k];
        const x = s.at(i, i + 1).*;
        const y = s.at(i + 1, i).*;
        const d = s.re[i] - s.re[k];
        var divisor: Complex = .{ .re = d * d + s.im[i] * s.im[i] - q * q, .im = d * 2 * q };
        const small = eps * size * (@abs(w) + @abs(q) + @abs(x) + @abs(y) + @abs(z));
        if (@abs(divisor.re) + @abs(divisor.im) <= none * small) divisor.re = small;
        const above: Complex = .{
            .re = x * below.re - z * r.re + q * r.im,
            .im = x * below.im - z * r.im - q * r.re,
        };
        const u = above.divide(divisor);
        s.setPair(i, k, u);
        if (@abs(x) > @abs(z) + @abs(q)) {
            s.setPair(i + 1, k, .{
                .re = (-r.re - w * u.re + q * u.im) / x,
                .im = (-r.im - w * u.im - q * u.re) / x,
            });
        } else {
            const rest: Complex = .{ .re = -below.re - y * u.re, .im = -below.im - y * u.im };
            s.setPair(i + 1, k, rest.divide(.{ .re = z, .im = q }));
        }
    }

    /// From the Schur form's vectors to the matrix's: v times the upper triangle of h. Each of
    /// length 1, its largest element real.
    noinline fn transform(s: General) void {
        const n = s.n;
        const v = s.v.?;
        for (0..n) |i| for (0..i) |j| std.mem.swap(f64, &v[i * n + j], &v[j * n + i]);
        for (0..n) |i| {
            @memset(s.work[0..n], 0);
            for (0..n) |k| vector.axpy(n - k, v[i * n + k], s.h + k * s.ld + k, s.work + k);
            @memcpy(v[i * n ..][0..n], s.work[0..n]);
        }
        for (0..n) |j| {
            if (s.im[j] < 0) continue;
            const complex = s.im[j] > 0;
            // Squares that stay in range: the substitution keeps its numbers below 1 / sqrt(eps).
            var total: f64 = 0;
            var largest: f64 = 0;
            var best: usize = 0;
            for (0..n) |i| {
                const re = v[i * n + j];
                const im = if (complex) v[i * n + j + 1] else 0;
                const square = re * re + im * im;
                total += square;
                if (square > largest) {
                    largest = square;
                    best = i;
                }
            }
            const length = @sqrt(total);
            const size = @sqrt(largest);
            const turn: Complex = if (complex) .{
                .re = v[best * n + j] / size,
                .im = -v[best * n + j + 1] / size,
            } else .{ .re = 1, .im = 0 };
            for (0..n) |i| {
                const re = v[i * n + j] / length;
                if (!complex) {
                    v[i * n + j] = re;
                    continue;
                }
                const im = v[i * n + j + 1] / length;
                v[i * n + j] = re * turn.re - im * turn.im;
                v[i * n + j + 1] = re * turn.im + im * turn.re;
            }
            if (complex) v[best * n + j + 1] = 0; // not only nearly
        }
    }
};

/// The vectors of `General` as complex numbers, dst (n, n, 2).
pub fn pairs(n: usize, v: [*]const f64, im: [*]const f64, dst: [*]f64) void {
    for (0..n) |i| for (0..n) |j| {
        const row = v + i * n;
        const to = dst + 2 * (i * n + j);
        to[0] = row[if (im[j] < 0) j - 1 else j];
        to[1] = if (im[j] > 0) row[j + 1] else if (im[j] < 0) -row[j] else 0;
    };
}
