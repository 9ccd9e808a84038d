//! Factorisations in a fixed number of steps, of matrices too large for linalg_lanes.zig: LU,
//! Cholesky, and systems with a triangle. By halves (S. Toledo, "Locality of reference in LU
//! decomposition with partial pivoting", 1997), so that nearly all is matrix products
//! (gemm_shared.zig), down to panels of `width` columns, which lie column by column.
//!
//! What an element is summed up of depends on the shape only: the halves, and the order of
//! matmul's chains.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const shared = @import("gemm_shared.zig");
const transpose = @import("gemm_pack.zig").transpose;

pub const Triangle = struct { upper: bool, unit: bool };

pub fn Dense(comptime T: type) type {
    return struct {
        pub const Matrix = shared.Matrix(T);
        pub const lanes = simd.elementwiseLanes(T);
        pub const V = @Vector(simd.elementwiseLanes(T), T);
        /// Columns of a panel.
        pub const width = 32;

        /// The length of a panel's column of n numbers: whole vectors.
        pub fn padded(n: usize) usize {
            return (n + lanes - 1) / lanes * lanes;
        }

        /// The same for rows that are read side by side: not a multiple of 512 bytes, as such
        /// rows would drive each other out of the cache.
        pub fn pitch(n: usize) usize {
            const length = padded(n);
            return if (length * @sizeOf(T) % 512 == 0) length + lanes else length;
        }

        pub noinline fn subtract(m: usize, n: usize, k: usize, a: Matrix, b: Matrix, c: Matrix, call: *plan.Call) void {
            shared.product(T, .{ .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .subtracts = true }, call);
        }

        /// Where the first half of n columns ends: a whole number of panels.
        pub fn half(n: usize) usize {
            return (n / 2 + width - 1) / width * width;
        }

        // ------------------------------------------------------------------ copies

        /// dst (m, n) = src, whatever their strides.
        pub noinline fn copy(m: usize, n: usize, src: Matrix, dst: Matrix) void {
            if (src.cs == 1 and dst.cs == 1) {
                for (0..m) |i| @memcpy(dst.ptr[i * dst.rs ..][0..n], src.ptr[i * src.rs ..][0..n]);
            } else if (src.rs == 1 and dst.rs == 1) {
                copy(n, m, src.transposed(), dst.transposed());
            } else if (src.rs == 1 and dst.cs == 1) {
                transposeInto(m, n, src, dst);
            } else if (src.cs == 1 and dst.rs == 1) {
                transposeInto(n, m, src.transposed(), dst.transposed());
            } else for (0..m) |i| for (0..n) |j| {
                dst.get(i, j).* = src.get(i, j).*;
            };
        }

        /// dst (m, n), row by row, from a src that lies column by column: squares in registers.
        noinline fn transposeInto(m: usize, n: usize, src: Matrix, dst: Matrix) void {
            const B = 8;
            var i: usize = 0;
            while (i + B <= m) : (i += B) {
                var j: usize = 0;
                while (j + B <= n) : (j += B) {
                    var block: [B]@Vector(B, T) = undefined;
                    inline for (0..B) |l| block[l] = src.ptr[(j + l) * src.cs + i ..][0..B].*;
                    transpose(T, B, &block);
                    inline for (0..B) |l| dst.ptr[(i + l) * dst.rs + j ..][0..B].* = block[l];
                }
                while (j < n) : (j += 1) for (0..B) |l| {
                    dst.ptr[(i + l) * dst.rs + j] = src.ptr[j * src.cs + i + l];
                };
            }
            while (i < m) : (i += 1) for (0..n) |j| {
                dst.ptr[i * dst.rs + j] = src.ptr[j * src.cs + i];
            };
        }

        pub noinline fn swap(n: usize, x: [*]T, y: [*]T) void {
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) {
                const a = simd.loadN(lanes, T, x + i);
                simd.storeN(lanes, T, x + i, simd.loadN(lanes, T, y + i));
                simd.storeN(lanes, T, y + i, a);
            }
            while (i < n) : (i += 1) std.mem.swap(T, &x[i], &y[i]);
        }

        // ------------------------------------------------------------------ LU

        /// Numbers of work for `lu` of m rows.
        pub fn luWork(m: usize) usize {
            return width * padded(m);
        }

        /// a (m, n; rows without gaps) = P L U with the largest pivots: L (unit diagonal, not
        /// stored) below the diagonal, U on and above it. Row i was swapped with row
        /// pivots[i] - 1, for i = 0, 1, ... in this order. Returns the number (from 1) of the
        /// first pivot that is zero, or 0.
        pub fn lu(m: usize, n: usize, a: Matrix, pivots: [*]i32, work: [*]T, call: *plan.Call) usize {
            const k = @min(m, n);
            if (n <= width) return luPanel(m, n, a, pivots, work);
            const left = if (n > k) k else half(n);
            var info = lu(m, left, a, pivots, work, call);
            const done = @min(m, left);
            const right = a.at(0, left);
            swapRows(done, n - left, right, pivots);
            solve(done, n - left, a, right, .{ .upper = false, .unit = true }, call);
            if (left >= m) return info;
            const rest = a.at(left, left);
            subtract(m - left, n - left, left, a.at(left, 0), right, rest, call);
            const later = lu(m - left, n - left, rest, pivots + left, work, call);
            if (info == 0 and later != 0) info = left + later;
            swapRows(k - left, left, a.at(left, 0), pivots + left);
            for (pivots[left..k]) |*p| p.* += @intCast(left);
            return info;
        }

        /// Exchanges rows of a (.., n) as the `count` pivots say.
        pub noinline fn swapRows(count: usize, n: usize, a: Matrix, pivots: [*]const i32) void {
            for (0..count) |i| {
                const other: usize = @intCast(pivots[i] - 1);
                if (other != i) swap(n, a.ptr + i * a.rs, a.ptr + other * a.rs);
            }
        }

        fn luPanel(m: usize, n: usize, a: Matrix, pivots: [*]i32, work: [*]T) usize {
            const ld = padded(m);
            const columns: Matrix = .{ .ptr = work, .rs = 1, .cs = ld };
            copy(m, n, a, columns);
            for (0..n) |j| @memset(work[j * ld + m .. (j + 1) * ld], 0);
            const steps = @min(m, n);
            var info: usize = 0;
            var first: usize = 0;
            while (first < steps) : (first += 4) {
                const end = @min(first + 4, steps);
                for (first..end) |j| {
                    const column = work + j * ld;
                    const best = largestFrom(j, m, column);
                    pivots[j] = @intCast(best + 1);
                    if (best != j) for (0..n) |c| std.mem.swap(T, &work[c * ld + j], &work[c * ld + best]);
                    if (column[j] == 0) {
                        if (info == 0) info = j + 1;
                        continue;
                    }
                    divide(j + 1, m, column, column[j]);
                    // Of the last ones, fewer than 4, all that is right of them.
                    const until = if (end - first == 4) end else n;
                    eliminate(1, j, m, work, ld, j + 1, until);
                }
                if (end - first == 4) eliminate(4, first, m, work, ld, end, n);
            }
            copy(m, n, columns, a);
            return info;
        }

        /// Lanes of the vector at `at` that are number `from` or later ones.
        inline fn lanesFrom(from: usize, at: usize) @Vector(lanes, bool) {
            const I = @Int(.unsigned, @bitSizeOf(T));
            const head: I = @intCast(from -| at);
            return simd.iota(lanes, I) >= @as(@Vector(lanes, I), @splat(head));
        }

        /// Columns c_0 .. c_end of the panel `a`: subtracts what columns j .. j + k are to eliminate.
        /// (Whole vectors: beyond m too.)
        noinline fn eliminate(comptime k: usize, j: usize, m: usize, a: [*]T, ld: usize, c_0: usize, c_end: usize) void {
            const from = j + k;
            const l = a + j * ld;
            var c = a + c_0 * ld;
            for (c_0..c_end) |_| {
                inline for (0..k) |q| inline for (q + 1..k) |i| {
                    c[j + i] = simd.fma(T, -c[j + q], l[q * ld + j + i], c[j + i]);
                };
                var factors: [k]V = undefined;
                inline for (0..k) |q| factors[q] = @splat(-c[j + q]);
                var i = from - from % lanes;
                while (i < m) : (i += lanes) {
                    const old = simd.loadN(lanes, T, c + i);
                    var x = old;
                    inline for (0..k) |q| x = simd.fma(V, factors[q], simd.loadN(lanes, T, l + q * ld + i), x);
                    if (i < from) x = @select(T, lanesFrom(from, i), x, old);
                    simd.storeN(lanes, T, c + i, x);
                }
                c += ld;
            }
        }

        /// c[from..m] /= by. (Whole vectors: beyond m too.)
        pub noinline fn divide(from: usize, m: usize, c: [*]T, by: T) void {
            const divisor: V = @splat(by);
            var i = from - from % lanes;
            while (i < m) : (i += lanes) {
                const old = simd.loadN(lanes, T, c + i);
                simd.storeN(lanes, T, c + i, @select(T, lanesFrom(from, i), old / divisor, old));
            }
        }

        /// Where the largest |c| from j on is, the first of equal ones. Beyond m there are zeros.
        noinline fn largestFrom(j: usize, m: usize, c: [*]const T) usize {
            var most: V = @splat(-1);
            const head = j - j % lanes;
            var i = head;
            while (i < m) : (i += lanes) {
                const x = @abs(simd.loadN(lanes, T, c + i));
                most = simd.maxFast(V, @select(T, lanesFrom(j, i), x, most), most);
            }
            const top: V = @splat(simd.reduceMax(most));
            i = head;
            while (i < m) : (i += lanes) {
                const found = (@abs(simd.loadN(lanes, T, c + i)) == top) & lanesFrom(j, i);
                const bits: @Int(.unsigned, lanes) = @bitCast(found);
                if (bits != 0) return @min(i + @ctz(bits), m - 1);
            }
            return j; // nothing but nan
        }

        // ------------------------------------------------------------------ triangles

        /// x (n, r; rows or columns without gaps) becomes T^-1 x, T a triangle of t (n, n).
        pub fn solve(n: usize, r: usize, t: Matrix, x: Matrix, how: Triangle, call: *plan.Call) void {
            if (n == 0 or r == 0) return;
            if (n <= width) return solveBlock(n, r, t, x, how);
            const h = half(n);
            const lower = t.at(h, h);
            const below = x.at(h, 0);
            if (how.upper) {
                solve(n - h, r, lower, below, how, call);
                subtract(h, r, n - h, t.at(0, h), below, x, call);
                solve(h, r, t, x, how, call);
            } else {
                solve(h, r, t, x, how, call);
                subtract(n - h, r, h, t.at(h, 0), x, below, call);
                solve(n - h, r, lower, below, how, call);
            }
        }

        /// Right-hand sides that are solved at a time, where they don't lie side by side.
        const strip = 64;

        fn solveBlock(n: usize, r: usize, t: Matrix, x: Matrix, how: Triangle) void {
            if (r <= 2) return solveFew(n, r, t, x, how);
            // The triangle, its rows in the order in which they are solved, negative.
            var rows: [width * width]T align(64) = undefined;
            var diagonal: [width]T = undefined;
            for (0..n) |step| {
                const i = if (how.upper) n - 1 - step else step;
                diagonal[step] = if (how.unit) 1 else t.get(i, i).*;
                for (0..step) |before| {
                    const j = if (how.upper) n - 1 - before else before;
                    rows[step * width + before] = -t.get(i, j).*;
                }
            }
            if (x.cs == 1) return solveRows(n, r, &rows, if (how.unit) null else &diagonal, x, how.upper);
            var lines: [width * strip]T align(64) = undefined;
            const copied: Matrix = .{ .ptr = &lines, .rs = strip };
            var done: usize = 0;
            while (done < r) : (done += strip) {
                const count = @min(strip, r - done);
                copy(n, count, x.at(0, done), copied);
                solveRows(n, count, &rows, if (how.unit) null else &diagonal, copied, how.upper);
                copy(n, count, copied, x.at(0, done));
            }
        }

        noinline fn solveRows(n: usize, r: usize, rows: [*]const T, diagonal: ?[*]const T, x: Matrix, upper: bool) void {
            var at: usize = 0;
            while (at + 4 * lanes <= r) : (at += 4 * lanes) solveStrip(4, lanes, n, rows, diagonal, x.at(0, at), upper);
            while (at + 2 * lanes <= r) : (at += 2 * lanes) solveStrip(2, lanes, n, rows, diagonal, x.at(0, at), upper);
            while (at + lanes <= r) : (at += lanes) solveStrip(1, lanes, n, rows, diagonal, x.at(0, at), upper);
            if (at < r) solveStrip(1, r - at, n, rows, diagonal, x.at(0, at), upper);
        }

        /// `count` vectors of x's columns, of the last of them `last` lanes.
        inline fn solveStrip(comptime count: usize, last: usize, n: usize, rows: [*]const T, diagonal: ?[*]const T, x: Matrix, upper: bool) void {
            const top: usize = if (upper) n - 1 else 0;
            for (0..n) |step| {
                const line = x.ptr + (if (upper) top - step else step) * x.rs;
                var sums: [count]V = undefined;
                inline for (0..count) |v| sums[v] = part(line + v * lanes, last);
                for (0..step) |before| {
                    const other = x.ptr + (if (upper) top - before else before) * x.rs;
                    const factor: V = @splat(rows[step * width + before]);
                    inline for (0..count) |v| sums[v] = simd.fma(V, factor, part(other + v * lanes, last), sums[v]);
                }
                inline for (0..count) |v| {
                    if (diagonal) |d| sums[v] /= @as(V, @splat(d[step]));
                    putPart(line + v * lanes, last, sums[v]);
                }
            }
        }

        inline fn part(p: [*]const T, count: usize) V {
            if (count == lanes) return simd.loadN(lanes, T, p);
            if (comptime lanes == simd.lanes(T)) return simd.loadPart(T, p, count, 0);
            var x: [lanes]T = @splat(0);
            for (x[0..count], p[0..count]) |*to, from| to.* = from;
            return x;
        }
        inline fn putPart(p: [*]T, count: usize, x: V) void {
            if (count == lanes) return simd.storeN(lanes, T, p, x);
            if (comptime lanes == simd.lanes(T)) return simd.storePart(T, p, count, x);
            for (p[0..count], @as([lanes]T, x)[0..count]) |*to, from| to.* = from;
        }

        /// One right-hand side after the other, along the triangle's columns.
        noinline fn solveFew(n: usize, r: usize, t: Matrix, x: Matrix, how: Triangle) void {
            var columns: [width * width]T align(64) = undefined;
            copy(n, n, t, .{ .ptr = &columns, .rs = 1, .cs = width });
            var line: [width]T align(64) = undefined;
            for (0..r) |c| {
                for (line[0..n], 0..) |*e, i| e.* = x.get(i, c).*;
                for (0..n) |step| {
                    const j = if (how.upper) n - 1 - step else step;
                    const column = @as([*]T, &columns) + j * width;
                    if (!how.unit) line[j] /= column[j];
                    const factor: V = @splat(-line[j]);
                    // The rows that are left: below j, or above it.
                    var i = if (how.upper) 0 else j - j % lanes;
                    const end = if (how.upper) j else n;
                    while (i < end) : (i += lanes) {
                        const old = simd.loadN(lanes, T, line[i..].ptr);
                        const new = simd.fma(V, factor, simd.loadN(lanes, T, column + i), old);
                        const later = lanesFrom(if (how.upper) j else j + 1, i);
                        simd.storeN(lanes, T, line[i..].ptr, if (how.upper) @select(T, later, old, new) else @select(T, later, new, old));
                    }
                }
                for (line[0..n], 0..) |e, i| x.get(i, c).* = e;
            }
        }

        // ------------------------------------------------------------------ Cholesky

        /// The lower triangle of a (n, n; rows without gaps) becomes L, a = L L^T.
        /// Returns the order of the first leading minor that is not positive, or 0.
        pub fn cholesky(n: usize, a: Matrix, call: *plan.Call) usize {
            if (n <= width) return choleskyBlock(n, a);
            const h = half(n);
            const info = cholesky(h, a, call);
            if (info != 0) return info;
            const below = a.at(h, 0);
            // X L^T = A_21, as L X^T = A_21^T.
            solve(h, n - h, a, below.transposed(), .{ .upper = false, .unit = false }, call);
            // Of the symmetric rest the lower triangle, by blocks.
            const block = 4 * width;
            var i: usize = 0;
            while (h + i < n) : (i += block) {
                const rows = @min(block, n - h - i);
                subtract(rows, i + rows, h, below.at(i, 0), below.transposed(), a.at(h + i, h), call);
            }
            const later = cholesky(n - h, a.at(h, h), call);
            return if (later != 0) h + later else 0;
        }

        /// Column after column, which lie as rows of a square here.
        fn choleskyBlock(n: usize, a: Matrix) usize {
            var columns: [width * width]T align(64) = @splat(0);
            const square: Matrix = .{ .ptr = &columns, .rs = 1, .cs = width };
            copy(n, n, a, square);
            for (0..n) |j| {
                const column = @as([*]T, &columns) + j * width;
                const pivot = column[j];
                if (!(pivot > 0)) return j + 1;
                const root = @sqrt(pivot);
                divide(j + 1, n, column, root);
                column[j] = root;
                for (j + 1..n) |c| {
                    const target = @as([*]T, &columns) + c * width;
                    const factor: V = @splat(-column[c]);
                    var i = c - c % lanes;
                    while (i < n) : (i += lanes) {
                        simd.storeN(lanes, T, target + i, simd.fma(V, factor, simd.loadN(lanes, T, column + i), simd.loadN(lanes, T, target + i)));
                    }
                }
            }
            for (0..n) |i| for (0..i + 1) |j| {
                a.ptr[i * a.rs + j] = columns[j * width + i];
            };
            return 0;
        }

        // ------------------------------------------------------------------ vectors

        /// The sum of x_i y_i, i < n: over whole vectors, of which the last has zeros behind n.
        pub noinline fn dot(n: usize, x: [*]const T, y: [*]const T) T {
            var sums: [4]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) {
                inline for (0..4) |q| {
                    const at = i + q * lanes;
                    sums[q] = simd.fma(V, simd.loadN(lanes, T, x + at), simd.loadN(lanes, T, y + at), sums[q]);
                }
            }
            while (i < n) : (i += lanes) sums[0] = simd.fma(V, simd.loadN(lanes, T, x + i), simd.loadN(lanes, T, y + i), sums[0]);
            return simd.reduceAdd((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }

        /// The sum of squares.
        pub fn sumOfSquares(n: usize, x: [*]const T) T {
            const whole = n - n % lanes;
            var sum = dot(whole, x, x);
            for (x[whole..n]) |e| sum = simd.fma(T, e, e, sum);
            return sum;
        }

        /// y += a x, whole vectors.
        pub noinline fn axpy(n: usize, a: T, x: [*]const T, y: [*]T) void {
            const factor: V = @splat(a);
            var i: usize = 0;
            while (i < n) : (i += lanes) {
                simd.storeN(lanes, T, y + i, simd.fma(V, factor, simd.loadN(lanes, T, x + i), simd.loadN(lanes, T, y + i)));
            }
        }
    };
}
