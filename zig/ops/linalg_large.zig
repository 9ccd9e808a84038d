//! Systems of large matrices (linalg_systems.zig): one matrix after the other, by blocks on the matrix
//! product's kernel (linalg_dense.zig, linalg_qr.zig) or by passes (linalg_spectral.zig).
const std = @import("std");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const log = @import("../math/log.zig").log;
const shared = @import("gemm_shared.zig");
const lanes_zig = @import("linalg_lanes.zig");
const Dense = @import("linalg_dense.zig").Dense;
const Qr = @import("linalg_qr.zig").Qr;
const Spectral = @import("linalg_spectral.zig").Spectral;
const linalg_job = @import("linalg_job.zig");
const matrixOf = linalg_job.matrixOf;
const results = linalg_job.results;
const unknown = linalg_job.unknown;
const nowhere = linalg_job.nowhere;
const State = linalg_job.State;
const Job = linalg_job.Job;

pub fn Large(comptime T: type) type {
    return struct {
        const D = Dense(T);
        const Q = Qr(T);
        const S = Spectral(T);
        const L = lanes_zig.Lanes(T);
        const V = L.V;
        const Matrix = shared.Matrix(T);
        const matrix = linalg_job.Access(T).matrix;
        const whole = linalg_job.Access(T).whole;

        pub fn large(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const k = @min(s.m, s.n);
            // The matrix, the right-hand side, pivots or tau, and work.
            const most = @max(s.n, s.r);
            const square = D.padded(s.m * s.n) * @as(usize, if (s.op == .lstsq) 2 else 1);
            const right = D.padded(s.m * @max(s.r, 1));
            const numbers = D.padded(@max(k, s.m) + 1);
            const work = switch (s.op) {
                .geqrf, .reflect, .qr, .lstsq => Q.work(s.m, most),
                .eigh => s.n * D.pitch(s.n) * 2 + S.workFor(s.n),
                .svd => svdWork(s),
                else => D.luWork(s.m),
            };
            const memory = services.allocSlice(T, square + right + numbers + work) orelse
                return job.call.fail(.out_of_memory, @splat(0));
            defer services.free(@ptrCast(memory.ptr));
            for (begin..end) |b| {
                const one: One = .{
                    .job = job,
                    .b = b,
                    .a = memory.ptr,
                    .x = memory.ptr + square,
                    .numbers = memory.ptr + square + right,
                    .work = memory.ptr + square + right + numbers,
                };
                one.compute();
            }
        }

        const One = struct {
            job: *const Job,
            b: usize,
            a: [*]T,
            x: [*]T,
            numbers: [*]T,
            work: [*]T,

            /// Result k where it can be computed in its place, else in `memory`.
            noinline fn place(o: One, k: usize, rows: usize, columns: usize, memory: [*]T) Matrix {
                const lie = o.job.s.lie[k];
                if (o.job.has(k) and lie.cs == 1 and (lie.rs >= columns or rows < 2)) return matrix(o.job, k, o.b);
                return .{ .ptr = memory, .rs = columns };
            }
            /// What was computed to result k, unless it is there already.
            noinline fn put(o: One, k: usize, it: Matrix) void {
                const lie = o.job.s.lie[k];
                if (!o.job.has(k)) return;
                const to = matrix(o.job, k, o.b);
                if (to.ptr != it.ptr) D.copy(lie.rows, lie.columns, it, to);
            }
            noinline fn get(o: One, k: usize, to: Matrix) void {
                const lie = o.job.s.lie[k];
                D.copy(lie.rows, lie.columns, matrix(o.job, k, o.b), to);
            }
            noinline fn putWhole(o: One, k: usize, src: [*]const i32) void {
                const lie = o.job.s.lie[k];
                if (!o.job.has(k)) return;
                const to = whole(o.job, k, o.b);
                for (0..lie.columns) |j| to[j * lie.cs] = src[j];
            }
            noinline fn putInfo(o: One, k: usize, info: usize) void {
                const number: i32 = @bitCast(@as(u32, @truncate(info)));
                o.putWhole(k, @ptrCast(&number));
                o.job.fail(o.b, info);
            }

            noinline fn compute(o: One) void {
                const s = o.job.s;
                const m, const n, const r = .{ s.m, s.n, s.r };
                const call = o.job.call;
                switch (s.op) {
                    .lu => o.putInfo(2, o.lu(0, 1)[1]),
                    .det, .slogdet => o.determinant(),
                    .solve => {
                        const a, const info = o.lu(1, 2);
                        const x = o.place(0, n, r, o.x);
                        if (o.job.has(5)) o.get(5, x) else unitMatrix(n, n, x);
                        D.swapRows(n, r, x, @ptrCast(o.numbers));
                        D.solve(n, r, a, x, .{ .upper = false, .unit = true }, call);
                        D.solve(n, r, a, x, .{ .upper = true, .unit = false }, call);
                        o.put(0, x);
                        o.putInfo(3, info);
                    },
                    .lu_solve => {
                        const x = o.place(0, n, r, o.x);
                        o.get(3, x);
                        const pivots: [*]i32 = @ptrCast(o.numbers);
                        const from = whole(o.job, 2, o.b);
                        for (0..n) |i| {
                            pivots[i] = from[i * s.lie[2].cs];
                            if (pivots[i] < 1 or pivots[i] > n) return o.job.wrongPivot();
                        }
                        const a = matrix(o.job, 1, o.b);
                        if (s.flags[0]) {
                            D.solve(n, r, a.transposed(), x, .{ .upper = false, .unit = false }, call);
                            D.solve(n, r, a.transposed(), x, .{ .upper = true, .unit = true }, call);
                            var i = n;
                            while (i > 0) : (i -= 1) {
                                const other: usize = @intCast(pivots[i - 1] - 1);
                                if (other != i - 1) D.swap(r, x.ptr + (i - 1) * x.rs, x.ptr + other * x.rs);
                            }
                        } else {
                            D.swapRows(n, r, x, pivots);
                            D.solve(n, r, a, x, .{ .upper = false, .unit = true }, call);
                            D.solve(n, r, a, x, .{ .upper = true, .unit = false }, call);
                        }
                        o.put(0, x);
                    },
                    .cholesky => {
                        const a = o.place(0, n, n, o.a);
                        o.get(2, a);
                        const info = D.cholesky(n, a, call);
                        for (0..n) |i| @memset(a.ptr[i * a.rs ..][i + 1 .. n], 0);
                        o.put(0, a);
                        o.putInfo(1, info);
                    },
                    .triangle => {
                        const x = o.place(0, n, r, o.x);
                        o.get(2, x);
                        D.solve(n, r, matrix(o.job, 1, o.b), x, .{ .upper = s.flags[0], .unit = s.flags[1] }, call);
                        o.put(0, x);
                    },
                    .cholesky_solve => {
                        const x = o.place(0, n, r, o.x);
                        o.get(1, x);
                        const given = matrix(o.job, 2, o.b);
                        const a = if (s.flags[0]) given.transposed() else given;
                        D.solve(n, r, a, x, .{ .upper = false, .unit = false }, call);
                        D.solve(n, r, a.transposed(), x, .{ .upper = true, .unit = false }, call);
                        o.put(0, x);
                    },
                    .geqrf => {
                        const a = o.place(0, m, n, o.a);
                        o.get(2, a);
                        Q.factor(m, n, a, o.numbers, o.work, call);
                        o.put(0, a);
                        const tau = matrix(o.job, 1, o.b);
                        for (0..@min(m, n)) |i| tau.ptr[i * tau.cs] = o.numbers[i];
                    },
                    .reflect => {
                        const x = o.place(0, m, r, o.x);
                        o.get(1, x);
                        const tau = matrix(o.job, 3, o.b);
                        const count = s.lie[3].columns;
                        for (0..count) |i| o.numbers[i] = tau.ptr[i * tau.cs];
                        Q.apply(m, r, x, matrix(o.job, 2, o.b), o.numbers, count, s.flags[0], false, o.work, call);
                        o.put(0, x);
                    },
                    .qr => {
                        const a: Matrix = .{ .ptr = o.a, .rs = n };
                        o.get(2, a);
                        Q.factor(m, n, a, o.numbers, o.work, call);
                        if (o.job.has(0)) {
                            const x = o.place(0, m, r, o.x);
                            unitMatrix(m, r, x);
                            Q.apply(m, r, x, a, o.numbers, @min(m, n), false, true, o.work, call);
                            o.put(0, x);
                        }
                        for (1..@max(m, 1)) |i| @memset(o.a[i * n ..][0..@min(i, n)], 0);
                        o.put(1, a);
                    },
                    .lstsq => {
                        const a: Matrix = .{ .ptr = o.a, .rs = n };
                        o.get(2, a);
                        Q.factor(m, n, a, o.numbers, o.work, call);
                        if (o.job.has(0)) {
                            const x: Matrix = .{ .ptr = o.x, .rs = r };
                            o.get(3, x);
                            Q.apply(m, r, x, a, o.numbers, n, true, false, o.work, call);
                            D.solve(n, r, a, x, .{ .upper = true, .unit = false }, call);
                            o.put(0, x);
                        }
                        const number = o.condition(a);
                        if (o.job.has(1)) matrix(o.job, 1, o.b).ptr[0] = number;
                        o.job.fail(o.b, @intFromBool(!(number < s.most)));
                    },
                    .eigh => o.eigh(),
                    .svd => o.svd(),
                }
            }

            /// The product of the Frobenius norms of the upper triangle of a (n, n) and of its
            /// inverse: no less than its condition number.
            noinline fn condition(o: One, a: Matrix) T {
                const n = o.job.s.n;
                const inverse: Matrix = .{ .ptr = o.a + D.padded(o.job.s.m * n), .rs = n };
                unitMatrix(n, n, inverse);
                var j: usize = 0;
                while (j < n) : (j += D.width) { // no more of a column than is not 0
                    const w = @min(D.width, n - j);
                    D.solve(j + w, w, a, inverse.at(0, j), .{ .upper = true, .unit = false }, o.job.call);
                }
                var sums: [2]T = @splat(0);
                for (0..n) |i| {
                    @memset(o.a[i * n ..][0..i], 0);
                    sums[0] += D.sumOfSquares(n, a.ptr + i * n);
                    sums[1] += D.sumOfSquares(n, inverse.ptr + i * n);
                }
                return @sqrt(sums[0]) * @sqrt(sums[1]);
            }

            /// LU of the matrix, to results `k` and `pivots`, where they are wanted.
            fn lu(o: One, k: usize, pivots: usize) struct { Matrix, usize } {
                const s = o.job.s;
                const a: Matrix = if (k == nowhere) .{ .ptr = o.a, .rs = s.n } else o.place(k, s.m, s.n, o.a);
                o.get(matrixOf(s.op), a);
                const info = D.lu(s.m, s.n, a, @ptrCast(o.numbers), o.work, o.job.call);
                if (k != nowhere) {
                    o.put(k, a);
                    o.putWhole(pivots, @ptrCast(o.numbers));
                }
                return .{ a, info };
            }

            noinline fn eigh(o: One) void {
                const n = o.job.s.n;
                const ld = D.pitch(n);
                const a = o.work;
                const z = a + n * ld;
                const it: Matrix = .{ .ptr = a, .rs = ld };
                o.get(3, it);
                for (0..n) |i| {
                    @memset(a[i * ld + n .. (i + 1) * ld], 0);
                    for (0..i) |j| a[j * ld + i] = a[i * ld + j];
                }
                const d = o.numbers;
                const scale = scaled(n * ld, a);
                var info: usize = 0;
                if (scale > 0) {
                    info = S.symmetric(n, a, d, if (o.job.has(1)) z else null, z + n * ld, o.job.call);
                    for (d[0..n]) |*value| value.* /= scale;
                } else {
                    @memset(z[0 .. n * ld], std.math.nan(T));
                    @memset(d[0..n], std.math.nan(T));
                }
                o.putLine(0, d);
                o.put(1, .{ .ptr = z, .rs = 1, .cs = ld });
                // Not finite: the results say so, but without an error.
                if (o.job.has(2)) o.putInfo(2, if (scale > 0) info else unknown) else o.job.fail(o.b, info);
            }

            noinline fn putLine(o: One, k: usize, src: [*]const T) void {
                const to = matrix(o.job, k, o.b);
                for (0..o.job.s.lie[k].columns) |j| to.ptr[j * to.cs] = src[j];
            }

            noinline fn svd(o: One) void {
                const s = o.job.s;
                // A wide matrix is the transpose of a tall one.
                const wide = s.m < s.n;
                const m, const n = .{ @max(s.m, s.n), @min(s.m, s.n) };
                const ld = D.pitch(n);
                const call = o.job.call;
                const left = o.work;
                const right = left + n * ld;
                const square = right + n * ld;
                const d = square + n * ld;
                const tau = d + 2 * ld;
                const more = tau + ld;
                const rest = more + S.workFor(n);
                const a: Matrix = .{ .ptr = o.a, .rs = n };
                o.get(4, if (wide) a.transposed() else a);
                const scale = scaled(m * n, o.a);
                const vectors = o.job.has(1);
                const long: usize = if (!vectors) 0 else if (wide) s.lie[2].rows else s.lie[1].columns;
                const across: Matrix = .{ .ptr = rest + Q.work(m, @max(n, long)), .rs = 1, .cs = m };
                var info = unknown;
                if (scale > 0) {
                    // A tall one is Q R, and R has its values.
                    if (m > n) Q.factor(m, n, a, tau, rest, call);
                    for (0..n) |i| {
                        const skip = if (m > n) i else 0;
                        @memset(square[i * ld ..][0..ld], 0);
                        @memcpy(square[i * ld + skip .. i * ld + n], a.ptr[i * n + skip .. (i + 1) * n]);
                    }
                    var it: S.Singular = .{
                        .n = n,
                        .a = square,
                        .d = d,
                        .e = d + ld,
                        .left = if (vectors) left else null,
                        .right = if (vectors) right else null,
                        .work = more,
                        .call = call,
                    };
                    info = it.run();
                    for (d[0..n]) |*value| value.* /= scale;
                    if (long > 0 and m > n) {
                        // U of Q R from that of R; after the first n, what completes it.
                        const all = across.ptr[0 .. long * m];
                        @memset(all, 0);
                        for (0..long) |i| if (i < n) @memcpy(all[i * m ..][0..n], left[i * ld ..][0..n]) else {
                            all[i * m + i] = 1;
                        };
                        Q.apply(m, long, across, a, tau, n, false, false, rest, call);
                    }
                } else {
                    @memset(left[0 .. 2 * n * ld], std.math.nan(T));
                    @memset(d[0..n], std.math.nan(T));
                    @memset(across.ptr[0 .. long * m], std.math.nan(T));
                }
                o.putLine(0, d);
                // Vectors lie as rows; U has them as columns.
                const rows: Matrix = .{ .ptr = right, .rs = ld };
                const columns: Matrix = if (m > n) across else .{ .ptr = left, .rs = 1, .cs = ld };
                o.put(1, if (wide) rows.transposed() else columns);
                o.put(2, if (wide) columns.transposed() else rows);
                if (o.job.has(3)) o.putInfo(3, info) else o.job.fail(o.b, info);
            }

            noinline fn determinant(o: One) void {
                const s = o.job.s;
                const n = s.n;
                const signed = s.op == .slogdet;
                const a, _ = o.lu(nowhere, nowhere);
                const pivots: [*]const i32 = @ptrCast(o.numbers);
                var sign: T = 1;
                var size: T = if (signed) 0 else 1;
                for (0..n) |i| {
                    const d = a.ptr[i * a.rs + i];
                    if (pivots[i] != i + 1) sign = -sign;
                    if (!signed) {
                        size *= d;
                    } else if (d < 0) sign = -sign else if (d == 0) sign = 0;
                }
                if (signed) {
                    var i: usize = 0;
                    var sums: V = @splat(0);
                    while (i < n) : (i += L.count) {
                        var part: [L.count]T = @splat(1);
                        for (i..@min(n, i + L.count)) |j| part[j - i] = @abs(a.ptr[j * a.rs + j]);
                        sums += log(V, part);
                    }
                    size = simd.reduceAdd(sums);
                    matrix(o.job, 0, o.b).ptr[0] = sign;
                } else size *= sign;
                matrix(o.job, if (signed) 1 else 0, o.b).ptr[0] = size;
            }
        };

        fn svdWork(s: *const State) usize {
            const m, const n = .{ @max(s.m, s.n), @min(s.m, s.n) };
            const wide = s.m < s.n;
            const long = @max(if (wide) s.lie[2].rows else s.lie[1].columns, n);
            return 3 * (n + 1) * D.pitch(n) + S.workFor(n) + Q.work(m, long) + long * m;
        }

        /// Multiplies by a power of two that brings the largest element near 1, and returns it; 0 if
        /// an element is infinite or nan.
        noinline fn scaled(n: usize, a: [*]T) T {
            var most: V = @splat(0);
            const even = n - n % L.count;
            var i: usize = 0;
            while (i < even) : (i += L.count) most = simd.maxNan(V, most, @abs(simd.loadN(L.count, T, a + i)));
            var size = simd.reduceMax(most);
            for (a[even..n]) |x| size = simd.maxNan(T, size, @abs(x));
            if (!std.math.isFinite(size)) return 0;
            if (size == 0) return 1;
            const limit = if (T == f32) 120 else 1000;
            const scale = std.math.ldexp(@as(T, 1), -std.math.clamp(std.math.ilogb(size), -limit, limit));
            i = 0;
            while (i < even) : (i += L.count) simd.storeN(L.count, T, a + i, simd.loadN(L.count, T, a + i) * @as(V, @splat(scale)));
            for (a[even..n]) |*x| x.* *= scale;
            return scale;
        }

        noinline fn unitMatrix(m: usize, n: usize, x: Matrix) void {
            for (0..m) |i| {
                @memset(x.ptr[i * x.rs ..][0..n], 0);
                if (i < n) x.ptr[i * x.rs + i] = 1;
            }
        }
    };
}
