//! Systems of small matrices (linalg_systems.zig): as many matrices of the batch at a time as there
//! are lanes, one to a lane (linalg_lanes.zig).
const simd = @import("../simd.zig");
const log = @import("../math/log.zig").log;
const lanes_zig = @import("linalg_lanes.zig");
const linalg_job = @import("linalg_job.zig");
const matrixOf = linalg_job.matrixOf;
const Job = linalg_job.Job;

pub fn Small(comptime T: type) type {
    return struct {
        const L = lanes_zig.Lanes(T);
        const V = L.V;
        const matrix = linalg_job.Access(T).matrix;
        const whole = linalg_job.Access(T).whole;

        const Group = struct {
            job: *const Job,
            first: usize,
            count: usize,

            noinline fn load(g: Group, k: usize, dst: [*]V) void {
                const lie = g.job.s.lie[k];
                const to: [*]T = @ptrCast(dst);
                for (0..g.count) |lane| {
                    const from = matrix(g.job, k, g.first + lane);
                    for (0..lie.rows) |i| for (0..lie.columns) |j| {
                        const x = from.ptr[i * lie.rs + j * lie.cs];
                        const e = i * lie.columns + j;
                        if (lane == 0 and g.count < L.count) dst[e] = @splat(x) else to[e * L.count + lane] = x;
                    };
                }
            }
            noinline fn store(g: Group, k: usize, src: [*]const V) void {
                const lie = g.job.s.lie[k];
                if (!g.job.has(k)) return;
                const from: [*]const T = @ptrCast(src);
                for (0..g.count) |lane| {
                    const to = matrix(g.job, k, g.first + lane);
                    for (0..lie.rows) |i| for (0..lie.columns) |j| {
                        to.ptr[i * lie.rs + j * lie.cs] = from[(i * lie.columns + j) * L.count + lane];
                    };
                }
            }
            noinline fn loadWhole(g: Group, k: usize, dst: [*]V) void {
                const lie = g.job.s.lie[k];
                const to: [*]T = @ptrCast(dst);
                for (0..lie.columns) |j| for (0..L.count) |lane| {
                    const from = whole(g.job, k, g.first + @min(lane, g.count - 1));
                    const pivot = from[j * lie.cs];
                    if (pivot < 1 or pivot > g.job.s.n) g.job.wrongPivot();
                    to[j * L.count + lane] = @floatFromInt(pivot);
                };
            }
            noinline fn storeWhole(g: Group, k: usize, src: [*]const V) void {
                const lie = g.job.s.lie[k];
                if (!g.job.has(k)) return;
                const from: [*]const T = @ptrCast(src);
                for (0..g.count) |lane| {
                    const to = whole(g.job, k, g.first + lane);
                    for (0..lie.columns) |j| to[j * lie.cs] = @trunc(from[j * L.count + lane]);
                }
            }
            noinline fn infos(g: Group, k: usize, info: V) void {
                g.storeWhole(k, @ptrCast(&info));
                if (!@reduce(.Or, info != @as(V, @splat(0)))) return;
                const each: [L.count]T = info;
                for (each[0..g.count], 0..) |x, lane| g.job.fail(g.first + lane, @trunc(x));
            }
        };

        pub fn small(job: *const Job, begin: usize, end: usize) void {
            const most = lanes_zig.most;
            var a: [most * most]V = undefined;
            var x: [2 * most * most]V = undefined;
            var line: [2 * most]V = undefined;
            const s = job.s;
            const m, const n, const r = .{ s.m, s.n, s.r };
            const k = matrixOf(s.op);
            for (begin..end) |group| {
                const first = group * L.count;
                const g: Group = .{ .job = job, .first = first, .count = @min(L.count, s.batch - first) };
                if (s.op != .reflect) g.load(k, &a);
                switch (s.op) {
                    .lu => {
                        const info = L.lu(n, &a, &line);
                        g.store(0, &a);
                        g.storeWhole(1, &line);
                        g.infos(2, info);
                    },
                    .solve => {
                        const info = L.lu(n, &a, &line);
                        if (job.has(5)) g.load(5, &x) else unit(n, n, &x);
                        L.permute(n, r, &line, &x, false);
                        L.solve(n, r, &a, n, 1, &x, false, true);
                        L.solve(n, r, &a, n, 1, &x, true, false);
                        g.store(0, &x);
                        g.store(1, &a);
                        g.storeWhole(2, &line);
                        g.infos(3, info);
                    },
                    .lu_solve => {
                        g.loadWhole(2, &line);
                        g.load(3, &x);
                        const back = s.flags[0];
                        if (!back) L.permute(n, r, &line, &x, false);
                        const rs, const cs = if (back) .{ 1, n } else .{ n, 1 };
                        L.solve(n, r, &a, rs, cs, &x, false, !back);
                        L.solve(n, r, &a, rs, cs, &x, true, back);
                        if (back) L.permute(n, r, &line, &x, true);
                        g.store(0, &x);
                    },
                    .det, .slogdet => {
                        _ = L.lu(n, &a, &line);
                        determinants(g, &a, &line);
                    },
                    .cholesky => {
                        const info = L.cholesky(n, &a);
                        g.store(0, &a);
                        g.infos(1, info);
                    },
                    .triangle => {
                        g.load(2, &x);
                        L.solve(n, r, &a, n, 1, &x, s.flags[0], s.flags[1]);
                        g.store(0, &x);
                    },
                    .cholesky_solve => {
                        g.load(1, &x);
                        const upper = s.flags[0];
                        L.solve(n, r, &a, if (upper) 1 else n, if (upper) n else 1, &x, false, false);
                        L.solve(n, r, &a, if (upper) n else 1, if (upper) 1 else n, &x, true, false);
                        g.store(0, &x);
                    },
                    .geqrf => {
                        L.qr(m, n, &a, &line);
                        g.store(0, &a);
                        g.store(1, &line);
                    },
                    .reflect => {
                        g.load(2, &a);
                        g.load(1, &x);
                        g.load(3, &line);
                        const count = s.lie[3].columns;
                        for (0..count) |step| {
                            const i = if (s.flags[0]) step else count - 1 - step;
                            L.reflect(m, r, i, &a, n, line[i], &x, r, 0);
                        }
                        g.store(0, &x);
                    },
                    .qr => {
                        L.qr(m, n, &a, &line);
                        unit(m, r, &x);
                        const count = if (r == 0) 0 else @min(m, n);
                        for (0..count) |step| {
                            const i = count - 1 - step;
                            L.reflect(m, r, i, &a, n, line[i], &x, r, i);
                        }
                        g.store(0, &x);
                        for (1..@max(m, 1)) |i| @memset(a[i * n ..][0..@min(i, n)], @splat(0));
                        g.store(1, &a);
                    },
                    .lstsq => {
                        L.qr(m, n, &a, &line);
                        if (job.has(0)) {
                            g.load(3, &x);
                            for (0..n) |i| L.reflect(m, r, i, &a, n, line[i], &x, r, 0);
                            L.solve(n, r, &a, n, 1, &x, true, false);
                            g.store(0, &x);
                        }
                        // The norms of R and of its inverse.
                        unit(n, n, &x);
                        L.solve(n, n, &a, n, 1, &x, true, false);
                        var sums: [2]V = @splat(@splat(0));
                        for (0..n) |i| for (i..n) |j| {
                            sums[0] = simd.fma(V, a[i * n + j], a[i * n + j], sums[0]);
                            sums[1] = simd.fma(V, x[i * n + j], x[i * n + j], sums[1]);
                        };
                        const both = @sqrt(sums[0]) * @sqrt(sums[1]);
                        g.store(1, @ptrCast(&both));
                        const condition: [L.count]T = both;
                        for (condition[0..g.count], 0..) |c, lane| job.fail(first + lane, @intFromBool(!(c < s.most)));
                    },
                    .eigh, .svd => unreachable,
                }
            }
        }

        noinline fn unit(m: usize, n: usize, x: [*]V) void {
            for (0..m) |i| for (0..n) |j| {
                x[i * n + j] = @splat(if (i == j) 1 else 0);
            };
        }

        noinline fn determinants(g: Group, a: [*]const V, pivots: [*]const V) void {
            const s = g.job.s;
            const one: V = @splat(1);
            var sign = one;
            var size: V = if (s.op == .det) one else @splat(0);
            for (0..s.n) |i| {
                const place: V = @splat(@floatFromInt(i + 1));
                const turned = pivots[i] != place;
                sign = @select(T, turned, -sign, sign);
                const d = a[i * s.n + i];
                if (s.op == .det) {
                    size *= d;
                } else {
                    sign = @select(T, d < @as(V, @splat(0)), -sign, @select(T, d == @as(V, @splat(0)), @as(V, @splat(0)), sign));
                    size += log(V, @abs(d));
                }
            }
            if (s.op == .det) size *= sign;
            if (s.op == .slogdet) g.store(0, @ptrCast(&sign));
            g.store(if (s.op == .det) 0 else 1, @ptrCast(&size));
        }
    };
}
