//! Eigenvalues of symmetric matrices and singular values: to tridiagonal (bidiagonal) form by
//! Householder reflections, then implicit QL (QR) steps. Vectors are kept as rows, which is
//! where the rotations are quick.
//!
//! Golub, Van Loan: Matrix Computations, 8.3 and 8.6; the steps as in EISPACK's imtql2 and
//! LINPACK's dsvdc. A reflection's update waits for the next one, and is made in the same pass as
//! what that one needs of the matrix (Howell et al., "Cache efficient bidiagonalization using BLAS
//! 2.5 operators", 2008). Rows are padded with zeros to whole vectors, ld numbers; matrices are
//! overwritten.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const shared = @import("gemm_shared.zig");
const Dense = @import("linalg_dense.zig").Dense;
const Qr = @import("linalg_qr.zig").Qr;
const Values = @import("linalg_values.zig").Values;

/// Steps for one value after which the iteration is given up. 2 or 3 are usual.
const max_steps = 75;

/// c f + s g = r, c g - s f = 0.
fn Rotation(comptime T: type) type {
    return struct {
        c: T,
        s: T,
        r: T,

        noinline fn of(f: T, g: T) @This() {
            const sum = simd.fma(T, f, f, g * g);
            if (sum > lowest and sum < highest) {
                const r = @sqrt(sum);
                const inverse = 1 / r;
                return .{ .c = f * inverse, .s = g * inverse, .r = r };
            }
            // Without overflow, and without numbers that have few digits.
            const large = @max(@abs(f), @abs(g));
            if (large == 0) return .{ .c = 1, .s = 0, .r = 0 };
            const x = f / large;
            const y = g / large;
            const r = @sqrt(simd.fma(T, x, x, y * y));
            return .{ .c = x / r, .s = y / r, .r = large * r };
        }
        const lowest: T = if (T == f32) 1e-30 else 1e-280;
        const highest: T = if (T == f32) 1e30 else 1e280;
    };
}

/// Rotations of rows, kept until there are many of them: then all are made in some columns after
/// the other, by all threads.
fn Rotations(comptime T: type) type {
    return struct {
        const Self = @This();
        const lanes = simd.elementwiseLanes(T);
        const V = @Vector(simd.elementwiseLanes(T), T);
        const Entry = struct { x: u32, y: u32, c: T, s: T };
        const most = 2048;

        /// Null: nobody wants them.
        rows: ?[*]T,
        ld: usize,
        entries: [*]Entry,
        room: usize,
        count: usize = 0,

        fn roomFor(n: usize) usize {
            return @min(most, 16 * n);
        }
        /// In numbers of T.
        fn size(n: usize) usize {
            return roomFor(n) * @sizeOf(Entry) / @sizeOf(T);
        }

        /// Rows x and y become c x + s y and c y - s x.
        noinline fn add(r: *Self, c: T, s: T, x: usize, y: usize) void {
            if (r.rows == null) return;
            r.entries[r.count] = .{ .x = @intCast(x), .y = @intCast(y), .c = c, .s = s };
            r.count += 1;
            if (r.count == r.room) r.flush();
        }

        noinline fn flush(r: *Self) void {
            if (r.count == 0) return;
            const strips = (r.ld / lanes + 3) / 4;
            // One piece a thread, mostly the same ones each time: what they hold stays in its caches.
            const apiece = (strips + services.threadCount() - 1) / services.threadCount();
            services.parallelFor(strips, @max(apiece, (1 << 11) / r.count), r.*, piece);
            r.count = 0;
        }

        fn piece(r: *const Self, begin: usize, end: usize) void {
            const vectors = @min(r.ld / lanes, 4 * end);
            var at = 4 * begin;
            while (at + 4 <= vectors) : (at += 4) strip(4, r, r.rows.? + at * lanes);
            while (at < vectors) : (at += 1) strip(1, r, r.rows.? + at * lanes);
        }

        /// A row that two rotations in turn have in common stays in registers.
        fn strip(comptime width: usize, r: *const Self, rows: [*]T) void {
            var held: u32 = std.math.maxInt(u32);
            var x: [width]V = undefined;
            for (r.entries[0..r.count]) |e| {
                if (e.x != held) {
                    if (held != std.math.maxInt(u32)) put(width, rows + held * r.ld, x);
                    x = get(width, rows + e.x * r.ld);
                }
                const y = get(width, rows + e.y * r.ld);
                const c: V = @splat(e.c);
                const s: V = @splat(e.s);
                var out: [width]V = undefined;
                inline for (0..width) |q| {
                    out[q] = simd.fma(V, c, x[q], s * y[q]);
                    x[q] = simd.fma(V, c, y[q], -s * x[q]);
                }
                put(width, rows + e.x * r.ld, out);
                held = e.y;
            }
            put(width, rows + held * r.ld, x);
        }
        inline fn get(comptime width: usize, p: [*]const T) [width]V {
            var x: [width]V = undefined;
            inline for (0..width) |q| x[q] = simd.loadN(lanes, T, p + q * lanes);
            return x;
        }
        inline fn put(comptime width: usize, p: [*]T, x: [width]V) void {
            inline for (0..width) |q| simd.storeN(lanes, T, p + q * lanes, x[q]);
        }
    };
}

pub fn Spectral(comptime T: type) type {
    return struct {
        const D = Dense(T);
        const Q = Qr(T);
        const V = @Vector(simd.elementwiseLanes(T), T);
        const lanes = simd.elementwiseLanes(T);
        const Matrix = shared.Matrix(T);
        const Turn = Rotation(T);
        const eps = std.math.floatEps(T);
        /// Squares of what is as good as 0.
        const least: T = if (T == f32) 0x1p-126 else 0x1p-1022;
        const tiny: T = if (T == f32) 0x1p-110 else 0x1p-966;

        fn hypot(a: T, b: T) T {
            return Turn.of(a, b).r;
        }

        /// Reflections of so few rows take less time than products of matrices.
        const few = 16;

        /// The rows of z (n, n) become Q^T, Q = H_0 H_1 ..., of `count` reflections in a.
        noinline fn accumulate(n: usize, from: usize, a: Matrix, ld: usize, tau: [*]const T, z: [*]T, work: [*]T, call: *plan.Call) void {
            @memset(z[0 .. n * ld], 0);
            for (0..n) |i| z[i * ld + i] = 1;
            const left = n -| from;
            if (left == 0) return;
            if (simd.has_fma and n <= few) { // one by one
                const v = work;
                var k = left;
                while (k > 0) {
                    k -= 1;
                    @memset(v[0..ld], 0);
                    v[from + k] = 1;
                    D.copy(left - k - 1, 1, a.at(k + 1, k), .{ .ptr = v + from + k + 1, .rs = 1 });
                    for (from + k..n) |i| D.axpy(ld, -tau[k] * D.dot(ld, v, z + i * ld), v, z + i * ld);
                }
                return;
            }
            const corner: Matrix = .{ .ptr = z + from * ld + from, .rs = 1, .cs = ld };
            Q.apply(left, left, corner, a, tau, left, false, true, work, call);
        }

        // ------------------------------------------------------------------ passes

        /// Rows y_0, y_1, ... of `a` get x_i z + w_i v added; returns their products with p.
        noinline fn updateAndDot(comptime rows: usize, n: usize, from: usize, a: [*]T, ld: usize, x: [*]const T, z: [*]const T, w: [*]const T, v: [*]const T, p: [*]const T) [rows]T {
            var sums: [rows]V = @splat(@splat(0));
            var j = from - from % lanes;
            while (j < n) : (j += lanes) {
                const zj = simd.loadN(lanes, T, z + j);
                const vj = simd.loadN(lanes, T, v + j);
                const pj = simd.loadN(lanes, T, p + j);
                inline for (0..rows) |i| {
                    var e = simd.loadN(lanes, T, a + i * ld + j);
                    e = simd.fma(V, @splat(x[i]), zj, e);
                    e = simd.fma(V, @splat(w[i]), vj, e);
                    simd.storeN(lanes, T, a + i * ld + j, e);
                    sums[i] = simd.fma(V, e, pj, sums[i]);
                }
            }
            var out: [rows]T = undefined;
            inline for (0..rows) |i| out[i] = simd.reduceAdd(sums[i]);
            return out;
        }

        /// The same, but the rows times f_i are added to y.
        noinline fn updateAndSum(comptime rows: usize, n: usize, from: usize, a: [*]T, ld: usize, x: [*]const T, z: [*]const T, w: [*]const T, v: [*]const T, f: [*]const T, y: [*]T) void {
            var j = from - from % lanes;
            while (j < n) : (j += lanes) {
                const zj = simd.loadN(lanes, T, z + j);
                const vj = simd.loadN(lanes, T, v + j);
                var sum = simd.loadN(lanes, T, y + j);
                inline for (0..rows) |i| {
                    var e = simd.loadN(lanes, T, a + i * ld + j);
                    e = simd.fma(V, @splat(x[i]), zj, e);
                    e = simd.fma(V, @splat(w[i]), vj, e);
                    simd.storeN(lanes, T, a + i * ld + j, e);
                    sum = simd.fma(V, @splat(f[i]), e, sum);
                }
                simd.storeN(lanes, T, y + j, sum);
            }
        }

        // ------------------------------------------------------------------ symmetric

        /// a (symmetric, both triangles) = Q T Q^T: d is the diagonal of T, e (n) the one beside
        /// it. The vector of H_k, which acts on k + 1, ..., n - 1, is left in row k of a, from
        /// k + 1 on. work: 4 ld numbers.
        noinline fn tridiagonal(n: usize, a: [*]T, ld: usize, d: [*]T, e: [*]T, tau: [*]T, work: [*]T) void {
            @memset(work[0 .. 4 * ld], 0);
            var v = work;
            var next = work + ld;
            const w = work + 2 * ld; // with a minus, as the update takes it
            const minus = work + 3 * ld; // -v
            for (0..n) |k| {
                const row = a + k * ld;
                if (k > 0) {
                    D.axpy(ld, minus[k], w, row); // - v_k w - w_k v, w with its minus
                    D.axpy(ld, w[k], minus, row);
                }
                d[k] = row[k];
                e[k] = 0;
                if (k + 1 == n) break;
                const from = k + 1;
                @memcpy(next[0..ld], row[0..ld]);
                @memset(next[0..from], 0);
                const start = from - from % lanes;
                tau[k] = Q.reflector(n - start, from - start, next + start);
                e[k] = next[from];
                @memcpy(row[from..n], next[from..n]);
                next[from] = 1;
                var i = from;
                const p = v; // no longer needed
                var products: [2]T = undefined;
                while (i < n) : (i += 2) {
                    const two = i + 1 < n;
                    if (two) {
                        products = updateAndDot(2, n, from, a + i * ld, ld, minus + i, w, w + i, minus, next);
                        p[i + 1] = products[1];
                    } else products[0] = updateAndDot(1, n, from, a + i * ld, ld, minus + i, w, w + i, minus, next)[0];
                    p[i] = products[0];
                }
                @memset(p[0..from], 0);
                const half = -0.5 * tau[k] * D.dot(ld, p, next);
                D.axpy(ld, half, next, p);
                // - v w^T - w v^T with w = tau (p + half v)
                for (0..ld / lanes) |q| {
                    const both = simd.loadN(lanes, T, p + q * lanes) * @as(V, @splat(tau[k]));
                    simd.storeN(lanes, T, w + q * lanes, both);
                    simd.storeN(lanes, T, minus + q * lanes, -simd.loadN(lanes, T, next + q * lanes));
                }
                v = next;
                next = p;
            }
        }

        /// Numbers of work for `symmetric` and `Singular`.
        pub fn workFor(n: usize) usize {
            const ld = D.pitch(n);
            return 8 * ld + 2 * Rotations(T).size(n) + Q.work(n, n);
        }

        /// Eigenvalues d, ascending, of the symmetric a (n, n); z (n, n): the eigenvectors as rows,
        /// or null. Returns 0, or the number (from 1) of the value that did not converge.
        pub noinline fn symmetric(n: usize, a: [*]T, d: [*]T, z: ?[*]T, work: [*]T, call: *plan.Call) usize {
            const ld = D.pitch(n);
            const e = work;
            const tau = work + ld;
            const more = work + 2 * ld;
            tridiagonal(n, a, ld, d, e, tau, more);
            var turns: Rotations(T) = .{ .rows = z, .ld = ld, .entries = @ptrCast(@alignCast(more)), .room = Rotations(T).roomFor(n) };
            if (z) |rows| {
                const reflections: Matrix = .{ .ptr = a + 1, .rs = 1, .cs = ld };
                accumulate(n, 1, reflections, ld, tau, rows, more, call);
            }
            if (z == null) return valuesOnly(n, d, e);
            for (0..n) |l| {
                var steps: usize = 0;
                while (true) : (steps += 1) {
                    var m = l;
                    while (m + 1 < n) : (m += 1) {
                        if (@abs(e[m]) <= tiny + eps * (@abs(d[m]) + @abs(d[m + 1]))) break;
                    }
                    if (m == l) break;
                    if (steps == max_steps) return l + 1;
                    stepQl(d, e, l, m, &turns);
                }
            }
            turns.flush();
            sort(n, d, &.{z}, ld, false);
            return 0;
        }

        /// The eigenvalues of a tridiagonal matrix by steps without roots, on the squares of e
        /// (Pal, Walker and Kahan; LAPACK's sterf).
        noinline fn valuesOnly(n: usize, d: [*]T, e: [*]T) usize {
            for (e[0..n]) |*x| x.* *= x.*;
            for (0..n) |l| {
                var steps: usize = 0;
                while (true) : (steps += 1) {
                    var m = l;
                    while (m + 1 < n) : (m += 1) {
                        if (e[m] <= least + eps * eps * @abs(d[m] * d[m + 1])) break;
                    }
                    if (m == l) break;
                    if (steps == max_steps) return l + 1;
                    const root = @sqrt(e[l]);
                    const g = (d[l + 1] - d[l]) / (2 * root);
                    const shift = d[l] - root / (g + std.math.copysign(hypot(g, 1), g));
                    var c: T = 1;
                    var s: T = 0;
                    var gamma = d[m] - shift;
                    var p = gamma * gamma;
                    e[m] = 0;
                    var i = m;
                    while (i > l) {
                        i -= 1;
                        const b = e[i];
                        const r = p + b;
                        if (i + 1 < m) e[i + 1] = s * r;
                        const before = c;
                        const inverse = 1 / r;
                        c = p * inverse;
                        s = b * inverse;
                        const last = gamma;
                        gamma = simd.fma(T, c, d[i] - shift, -s * last);
                        d[i + 1] = last + (d[i] - gamma);
                        p = if (c != 0) gamma * gamma / c else before * b;
                    }
                    e[l] = s * p;
                    d[l] = shift + gamma;
                }
            }
            sort(n, d, &.{}, 0, false);
            return 0;
        }

        /// An implicit QL step on rows l ... m of a tridiagonal matrix.
        noinline fn stepQl(d: [*]T, e: [*]T, l: usize, m: usize, turns: *Rotations(T)) void {
            var g = (d[l + 1] - d[l]) / (2 * e[l]);
            g = d[m] - d[l] + e[l] / (g + std.math.copysign(hypot(g, 1), g));
            var s: T = 1;
            var c: T = 1;
            var p: T = 0;
            var i = m;
            while (i > l) {
                i -= 1;
                const f = s * e[i];
                const b = c * e[i];
                const q = Turn.of(g, f);
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
                turns.add(c, s, i + 1, i);
            }
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }

        /// Brings the values into order, and rows of vectors with them.
        noinline fn sort(n: usize, d: [*]T, vectors: []const ?[*]T, ld: usize, descending: bool) void {
            for (0..n) |i| {
                var best = i;
                for (i + 1..n) |j| {
                    if (if (descending) d[j] > d[best] else d[j] < d[best]) best = j;
                }
                if (best == i) continue;
                std.mem.swap(T, &d[i], &d[best]);
                for (vectors) |v| if (v) |rows| D.swap(ld, rows + i * ld, rows + best * ld);
            }
        }

        /// The singular values of a square matrix a (n, n).
        pub const Singular = struct {
            n: usize,
            a: [*]T,
            /// n values; n numbers of work.
            d: [*]T,
            e: [*]T,
            /// The left and the right vectors as rows (n, n); null, both, where only the values are wanted.
            left: ?[*]T,
            right: ?[*]T,
            work: [*]T,
            call: *plan.Call,
            turns_left: Rotations(T) = undefined,
            turns_right: Rotations(T) = undefined,

            /// a = U B V^T, B upper bidiagonal: d on the diagonal, e above it.
            noinline fn bidiagonal(s: *Singular) void {
                const n = s.n;
                const ld = D.pitch(n);
                const tau_left = s.work;
                const tau_right = s.work + ld;
                const lines = s.work + 2 * ld;
                @memset(lines[0 .. 5 * ld], 0);
                // What waits: a += u z^T + w v^T.
                const u = lines;
                const z = lines + ld;
                const w = lines + 2 * ld;
                const v = lines + 3 * ld;
                const next = lines + 4 * ld;
                for (0..n) |k| {
                    for (k..n) |i| next[i] = s.a[i * ld + k] + u[i] * z[k] + w[i] * v[k];
                    @memset(next[0..k], 0);
                    z[k] = 0;
                    v[k] = 0;
                    var start = k - k % lanes;
                    tau_left[k] = Q.reflector(n - start, k - start, next + start);
                    s.d[k] = next[k];
                    next[k] = 1;
                    for (k..n) |i| s.a[i * ld + k] = next[i];
                    s.e[k] = 0;
                    if (k + 1 == n) break;
                    const from = k + 1;
                    // y = A^T next, the updates made on the way.
                    const y = s.work + 7 * ld;
                    @memset(y[0..ld], 0);
                    var i = k;
                    while (i + 4 <= n) : (i += 4) updateAndSum(4, n, from, s.a + i * ld, ld, u + i, z, w + i, v, next + i, y);
                    while (i < n) : (i += 1) updateAndSum(1, n, from, s.a + i * ld, ld, u + i, z, w + i, v, next + i, y);
                    @memset(y[0..from], 0);
                    @memset(z[0..ld], 0);
                    D.axpy(ld, -tau_left[k], y, z);
                    @memcpy(u[0..ld], next[0..ld]);
                    // Row k is final but for the reflection from the right.
                    const row = s.a + k * ld;
                    @memcpy(v[0..ld], row[0..ld]);
                    @memset(v[0..from], 0);
                    D.axpy(ld, 1, z, v);
                    start = from - from % lanes;
                    tau_right[k] = Q.reflector(n - start, from - start, v + start);
                    s.e[k] = v[from];
                    @memcpy(row[from..n], v[from..n]);
                    v[from] = 1;
                    const tau = -tau_right[k];
                    const across = D.dot(ld, z, v);
                    for (from..n) |r| {
                        const both = D.dot(n - start, s.a + r * ld + start, v + start);
                        w[r] = tau * simd.fma(T, u[r], across, both);
                    }
                }
                const more = s.work + 2 * ld;
                if (s.right) |rows| accumulate(n, 1, .{ .ptr = s.a + 1, .rs = 1, .cs = ld }, ld, tau_right, rows, more, s.call);
                if (s.left) |rows| accumulate(n, 0, .{ .ptr = s.a, .rs = ld }, ld, tau_left, rows, more, s.call);
            }

            /// The values, descending, with their vectors.
            /// Returns 0, or the number (from 1) of the value that did not converge.
            pub noinline fn run(s: *Singular) usize {
                s.bidiagonal();
                if (s.left == null and Values.run(T, s.n, s.d, s.e, @ptrCast(@alignCast(s.work)))) {
                    sort(s.n, s.d, &.{}, 0, true);
                    return 0;
                }
                const ld = D.pitch(s.n);
                const room = Rotations(T).roomFor(s.n);
                const more = s.work + 2 * ld;
                const other = more + Rotations(T).size(s.n);
                s.turns_left = .{ .rows = s.left, .ld = ld, .entries = @ptrCast(@alignCast(more)), .room = room };
                s.turns_right = .{ .rows = s.right, .ld = ld, .entries = @ptrCast(@alignCast(other)), .room = room };
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
                s.turns_left.flush();
                s.turns_right.flush();
                for (0..s.n) |i| if (d[i] < 0) {
                    d[i] = -d[i];
                    if (s.right) |rows| for (rows[i * ld ..][0..s.n]) |*x| {
                        x.* = -x.*;
                    };
                };
                sort(s.n, d, &.{ s.left, s.right }, ld, true);
                return 0;
            }

            /// The last diagonal element of the block k ... p - 1 that is as good as zero.
            fn negligible(s: *Singular, k: usize, p: usize) ?usize {
                var i = p;
                while (i > k) {
                    i -= 1;
                    const above = if (i > k) @abs(s.e[i - 1]) else 0;
                    const beside = if (i + 1 < p) @abs(s.e[i]) else 0;
                    if (@abs(s.d[i]) <= tiny + eps * (above + beside)) return i;
                }
                return null;
            }

            fn rotateLeft(s: *Singular, q: Turn, i: usize, j: usize) void {
                s.turns_left.add(q.c, q.s, i, j);
            }
            fn rotateRight(s: *Singular, q: Turn, i: usize, j: usize) void {
                s.turns_right.add(q.c, q.s, i, j);
            }

            /// The last diagonal element is zero: what is above it goes too.
            fn clearColumn(s: *Singular, k: usize, p: usize) void {
                var f = s.e[p - 2];
                s.e[p - 2] = 0;
                var j = p - 1;
                while (j > k) {
                    j -= 1;
                    const q = Turn.of(s.d[j], f);
                    s.d[j] = q.r;
                    if (j > k) {
                        f = -q.s * s.e[j - 1];
                        s.e[j - 1] *= q.c;
                    }
                    s.rotateRight(q, j, p - 1);
                }
            }

            /// Diagonal element `zero` is zero: what is beside it goes too.
            fn clearRow(s: *Singular, zero: usize, p: usize) void {
                var f = s.e[zero];
                s.e[zero] = 0;
                for (zero + 1..p) |j| {
                    const q = Turn.of(s.d[j], f);
                    s.d[j] = q.r;
                    f = -q.s * s.e[j];
                    s.e[j] *= q.c;
                    s.rotateLeft(q, j, zero);
                }
            }

            /// An implicit QR step on the block k ... p - 1.
            noinline fn stepQr(s: *Singular, k: usize, p: usize) void {
                const d, const e = .{ s.d, s.e };
                const size = @max(@abs(d[p - 1]), @abs(d[p - 2]), @abs(e[p - 2]), @abs(d[k]), @abs(e[k]));
                const last = d[p - 1] / size;
                const before = d[p - 2] / size;
                const off = e[p - 2] / size;
                const b = ((before + last) * (before - last) + off * off) / 2;
                const c = (last * off) * (last * off);
                var shift: T = 0;
                if (b != 0 or c != 0) shift = c / (b + std.math.copysign(@sqrt(b * b + c), b));
                const head = d[k] / size;
                var f = (head + last) * (head - last) + shift;
                var g = head * (e[k] / size);
                for (k..p - 1) |j| {
                    const right = Turn.of(f, g);
                    if (j > k) e[j - 1] = right.r;
                    f = right.c * d[j] + right.s * e[j];
                    e[j] = right.c * e[j] - right.s * d[j];
                    g = right.s * d[j + 1];
                    d[j + 1] *= right.c;
                    s.rotateRight(right, j, j + 1);
                    const left = Turn.of(f, g);
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
    };
}
