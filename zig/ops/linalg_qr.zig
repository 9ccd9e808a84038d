//! QR by Householder reflections, blocks of them at a time as 1 - V T V^T (Schreiber and Van Loan,
//! "A storage-efficient WY representation for products of Householder transformations", 1989).
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const shared = @import("gemm_shared.zig");
const Dense = @import("linalg_dense.zig").Dense;

pub fn Qr(comptime T: type) type {
    return struct {
        const D = Dense(T);
        pub const Matrix = shared.Matrix(T);
        const width = D.width;
        const V = @Vector(simd.elementwiseLanes(T), T);
        /// Sums of squares between these have all their digits.
        const least: T = if (T == f32) 1e-25 else 1e-250;
        const most: T = if (T == f32) 1e30 else 1e250;

        /// Numbers of work for matrices of m rows and up to n columns.
        pub fn work(m: usize, n: usize) usize {
            return width * D.padded(m) + 2 * width * width + 2 * width * n;
        }

        /// A block of `count` reflections of length `rows`.
        const Block = struct {
            rows: usize,
            count: usize,
            /// The vectors as rows, ld from one to the next, zeros behind them.
            v: [*]T,
            ld: usize,
            t: [*]T,
            gram: [*]T,
            /// Two (width, columns).
            rest: [*]T,

            fn init(memory: [*]T, rows: usize, count: usize) Block {
                const ld = D.padded(rows);
                const t = memory + width * ld;
                return .{
                    .rows = rows,
                    .count = count,
                    .v = memory,
                    .ld = ld,
                    .t = t,
                    .gram = t + width * width,
                    .rest = t + 2 * width * width,
                };
            }

            /// The vectors from below the diagonal of a; their first element is 1.
            fn load(b: Block, a: Matrix) void {
                D.copy(b.rows, b.count, a, .{ .ptr = b.v, .rs = 1, .cs = b.ld });
                for (0..b.count) |j| {
                    const v = b.v + j * b.ld;
                    @memset(v[0..j], 0);
                    v[j] = 1;
                    @memset(v[b.rows..b.ld], 0);
                }
            }

            /// T, upper triangular: H_0 H_1 ... = 1 - V T V^T.
            fn factor(b: Block, tau: [*]const T, call: *plan.Call) void {
                const vt: Matrix = .{ .ptr = b.v, .rs = b.ld };
                const gram: Matrix = .{ .ptr = b.gram, .rs = width };
                multiply(b.count, b.count, b.rows, vt, vt.transposed(), gram, call);
                for (0..b.count) |j| {
                    for (0..width) |i| b.t[i * width + j] = 0;
                    b.t[j * width + j] = tau[j];
                    for (0..j) |i| {
                        var sum: T = 0;
                        for (i..j) |k| sum = simd.fma(T, b.t[i * width + k], b.gram[k * width + j], sum);
                        b.t[i * width + j] = -tau[j] * sum;
                    }
                }
            }

            /// c (rows, n) becomes (1 - V T V^T) c, or with `transposed` (1 - V T^T V^T) c.
            fn apply(b: Block, n: usize, c: Matrix, transposed: bool, call: *plan.Call) void {
                if (n == 0) return;
                const vt: Matrix = .{ .ptr = b.v, .rs = b.ld };
                const t: Matrix = .{ .ptr = b.t, .rs = width };
                const first: Matrix = .{ .ptr = b.rest, .rs = n };
                const second: Matrix = .{ .ptr = b.rest + width * n, .rs = n };
                multiply(b.count, n, b.rows, vt, c, first, call);
                multiply(b.count, n, b.count, if (transposed) t.transposed() else t, first, second, call);
                D.subtract(b.rows, n, b.count, vt.transposed(), second, c, call);
            }
        };

        fn multiply(m: usize, n: usize, k: usize, a: Matrix, b: Matrix, c: Matrix, call: *plan.Call) void {
            shared.product(T, .{ .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .subtracts = false }, call);
        }

        /// a (m, n; rows without gaps) = Q R: R on and above the diagonal, below it the vectors of
        /// H_0, H_1, ... (their first element is 1, and not stored), Q = H_0 H_1 ... .
        pub fn factor(m: usize, n: usize, a: Matrix, tau: [*]T, memory: [*]T, call: *plan.Call) void {
            const steps = @min(m, n);
            var first: usize = 0;
            while (first < steps) : (first += width) {
                const count = @min(width, steps - first);
                const b: Block = .init(memory, m - first, count);
                const here = a.at(first, first);
                panel(b, here, tau + first);
                const rest = n - first - count;
                if (rest == 0) continue;
                b.load(here);
                b.factor(tau + first, call);
                b.apply(rest, a.at(first, first + count), true, call);
            }
        }

        fn panel(b: Block, a: Matrix, tau: [*]T) void {
            const columns: Matrix = .{ .ptr = b.v, .rs = 1, .cs = b.ld };
            D.copy(b.rows, b.count, a, columns);
            for (0..b.count) |j| @memset(b.v[j * b.ld + b.rows .. (j + 1) * b.ld], 0);
            for (0..b.count) |j| {
                const whole = b.v + j * b.ld;
                // In whole vectors, so from before j: what is there is set aside meanwhile.
                const start = j - j % D.lanes;
                var above: [D.lanes]T = undefined;
                const kept = above[0 .. j - start];
                @memcpy(kept, whole[start..j]);
                @memset(whole[start..j], 0);
                const length = b.rows - start;
                tau[j] = reflector(length, j - start, whole + start);
                const beta = whole[j];
                whole[j] = 1;
                if (tau[j] != 0) for (j + 1..b.count) |k| {
                    const other = b.v + k * b.ld + start;
                    D.axpy(length, -tau[j] * D.dot(length, whole + start, other), whole + start, other);
                };
                whole[j] = beta;
                @memcpy(whole[start..j], kept);
            }
            D.copy(b.rows, b.count, columns, a);
        }

        /// x[head..n], with zeros before and behind, becomes (beta, v_1, v_2, ...) with
        /// H x = (beta, 0, 0, ...), H = 1 - tau v v^T, v_0 = 1. Returns tau (0: H = 1). LAPACK's
        /// larfg: beta has the sign that the first element has not.
        pub fn reflector(n: usize, head: usize, x: [*]T) T {
            var alpha = x[head];
            x[head] = 0;
            var below = D.dot(n, x, x);
            var scale: T = 1;
            if (!(below > least and below < most and alpha * alpha < most)) {
                var size: T = 0;
                for (x[0..n]) |e| size = simd.maxNan(T, size, @abs(e));
                if (size == 0) {
                    x[head] = alpha;
                    return 0;
                }
                size = simd.maxNan(T, size, @abs(alpha));
                if (std.math.isFinite(size)) scale = std.math.ldexp(@as(T, 1), std.math.ilogb(size));
                alpha /= scale;
                D.divide(0, n, x, scale);
                below = D.dot(n, x, x);
            }
            const beta = -std.math.copysign(@sqrt(simd.fma(T, alpha, alpha, below)), alpha);
            D.divide(0, n, x, alpha - beta);
            x[head] = beta * scale;
            return (beta - alpha) / beta;
        }

        /// c (m, n; rows or columns without gaps) becomes Q c, or Q^T c, of the first `count`
        /// reflections in a. `growing`: c is an identity, whose columns reflections before their
        /// number do not touch.
        pub fn apply(m: usize, n: usize, c: Matrix, a: Matrix, tau: [*]const T, count: usize, transposed: bool, growing: bool, memory: [*]T, call: *plan.Call) void {
            const blocks = (count + width - 1) / width;
            for (0..blocks) |step| {
                const first = (if (transposed) step else blocks - 1 - step) * width;
                const b: Block = .init(memory, m - first, @min(width, count - first));
                b.load(a.at(first, first));
                b.factor(tau + first, call);
                const from = if (growing) first else 0;
                b.apply(n - from, c.at(first, from), transposed, call);
            }
        }
    };
}
