//! The rows of linalg.zig that take a fixed number of steps: factorisations, systems, determinants.
//! They are computed in their own dtype: matrices up to 8 x 8 a vector of them at a time
//! (linalg_lanes.zig), larger ones each by itself (linalg_dense.zig, linalg_qr.zig).
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const log = @import("../math/log.zig").log;
const shared = @import("gemm_shared.zig");
const lanes_zig = @import("linalg_lanes.zig");
const Dense = @import("linalg_dense.zig").Dense;
const Qr = @import("linalg_qr.zig").Qr;
const Spectral = @import("linalg_spectral.zig").Spectral;
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { lu, lu_solve, solve, det, slogdet, cholesky, cholesky_solve, triangle, geqrf, reflect, qr, lstsq, eigh, svd };

/// How many dimensions of each operand belong to the matrix.
fn ranks(op: Op) []const u8 {
    return switch (op) {
        .lu => &.{ 2, 1, 0, 2 },
        .lu_solve => &.{ 2, 2, 1, 2 },
        .solve => &.{ 2, 2, 1, 0, 2, 2 },
        .det => &.{ 0, 2 },
        .slogdet => &.{ 0, 0, 2 },
        .cholesky => &.{ 2, 0, 2 },
        .cholesky_solve => &.{ 2, 2, 2 },
        .triangle => &.{ 2, 2, 2 },
        .geqrf => &.{ 2, 1, 2 },
        .reflect => &.{ 2, 2, 2, 1 },
        .qr => &.{ 2, 2, 2 },
        .lstsq => &.{ 2, 0, 2, 2 },
        .eigh => &.{ 1, 2, 0, 2 },
        .svd => &.{ 1, 2, 2, 0, 2 },
    };
}

/// Which operand the decomposed matrix is.
fn matrixOf(op: Op) usize {
    return switch (op) {
        .lu_solve, .triangle, .det => 1,
        .cholesky_solve, .cholesky, .geqrf, .reflect, .qr, .slogdet, .lstsq => 2,
        .lu, .eigh => 3,
        .solve, .svd => 4,
    };
}

/// Results, of which a plan may leave out the last ones.
fn results(op: Op) usize {
    return switch (op) {
        .solve, .svd => 4,
        .lu, .eigh => 3,
        .slogdet, .cholesky, .geqrf, .qr, .lstsq => 2,
        else => 1,
    };
}

const nowhere = 255;
/// The info -1.
const unknown: usize = 0xffff_ffff;

/// How the matrices of an operand lie, in elements.
const Lie = struct {
    rows: usize = 1,
    columns: usize = 1,
    rs: usize = 0,
    cs: usize = 1,
    /// From one matrix of the batch to the next, where that is even.
    step: usize = 0,
    even: bool = true,
};

const State = struct {
    op: Op,
    small: bool,
    batch: usize,
    m: usize,
    n: usize,
    /// Columns of the right-hand side, or of Q.
    r: usize,
    flags: [2]bool,
    /// lstsq: up to which condition number it is sure of itself.
    most: f64,
    lie: [6]Lie,
    /// Which operand of the plan is the one of this number in `ranks`.
    place: [6]u8,
};

fn lieOf(o: plan.Operand, rank: u8) Lie {
    var it: Lie = .{};
    if (o.ndim() < rank) return it; // left out
    var d = o.shape.len;
    if (rank > 0) {
        d -= 1;
        it.columns = @intCast(o.shape[d]);
        it.cs = @intCast(o.strides[d]);
    }
    if (rank > 1) {
        d -= 1;
        it.rows = @intCast(o.shape[d]);
        it.rs = @intCast(o.strides[d]);
        // A single row or column may lie anyhow.
        if (it.columns == 1) it.cs = 1;
        if (it.rows == 1) it.rs = if (it.cs == 1) it.columns else 1;
    }
    var known: usize = 1; // matrices in the dimensions seen
    while (d > 0) {
        d -= 1;
        const size: usize = @intCast(o.shape[d]);
        const stride: usize = @intCast(o.strides[d]);
        if (size == 1) continue;
        if (known == 1) it.step = stride else if (stride != known * it.step) it.even = false;
        known *= size;
    }
    return it;
}

pub fn prepare(p: *Plan, op: Op) plan.PrepareError!void {
    const missing = results(op) - p.n_out;
    const operand = p.operands[matrixOf(op) - missing];
    const shape = operand.shape;
    const s = try p.create(State);
    s.* = .{
        .op = op,
        .small = false,
        .batch = 1,
        .m = @intCast(shape[shape.len - 2]),
        .n = @intCast(shape[shape.len - 1]),
        .r = 0,
        .flags = @splat(false),
        .most = if (p.floats.len > 0) p.floats[0] else 0,
        .lie = @splat(.{}),
        .place = @splat(nowhere),
    };
    for (shape[0 .. shape.len - 2]) |size| s.batch *= @intCast(size);
    for (ranks(op), 0..) |rank, k| {
        if (k >= p.n_out and k < results(op)) continue;
        s.place[k] = @intCast(if (k < p.n_out) k else k - missing);
        const o = p.operands[s.place[k]];
        s.lie[k] = lieOf(o, rank);
        if (widens and o.dtype == .float32) s.lie[k] = denseLie(s.lie[k]);
    }
    for (p.ints, 0..) |flag, i| s.flags[i] = flag != 0;
    switch (op) {
        .lu_solve, .solve, .cholesky_solve, .triangle, .reflect, .qr, .lstsq => s.r = s.lie[0].columns,
        else => {},
    }
    if (p.operands[0].ndim() < ranks(op)[0]) s.r = 0;
    const fixed = switch (op) {
        .lu => s.m == s.n,
        .eigh, .svd => false,
        else => true,
    };
    s.small = fixed and s.m <= lanes_zig.most and s.n <= lanes_zig.most and s.r <= 2 * lanes_zig.most;
    p.run = switch (operand.dtype) {
        .float32 => if (widens) runWidened else Systems(f32).run,
        .float64 => Systems(f64).run,
        else => return error.Unsupported,
    };
}

/// Whether float32 is computed in float64, by copies of all operands: where half the code is worth
/// more than the time, on CPUs of the baseline x86-64.
const widens = !simd.has_fma;

fn denseLie(it: Lie) Lie {
    return .{ .rows = it.rows, .columns = it.columns, .rs = it.columns, .step = it.rows * it.columns };
}

fn runWidened(p: *const Plan, call: *Call) void {
    var wide = call.*;
    var total: usize = 0;
    for (p.operands) |o| total += o.numel();
    const memory = services.allocSlice(f64, total + 1) orelse return call.fail(.out_of_memory, @splat(0));
    defer services.free(@ptrCast(memory.ptr));
    for ([_]bool{ false, true }) |back| {
        var at: usize = 0;
        for (p.operands, 0..) |o, k| {
            const n = o.numel();
            defer at += n;
            if (o.dtype != .float32 or call.ptr[k] == null) continue;
            wide.ptr[k] = @ptrCast(memory.ptr + at);
            if (back != (k < p.n_out)) continue;
            const narrow = call.at(f32, k);
            for (0..n) |i| {
                var rest = i;
                var offset: usize = 0;
                var d = o.shape.len;
                while (d > 0) {
                    d -= 1;
                    const size: usize = @intCast(o.shape[d]);
                    offset += rest % size * @as(usize, @intCast(o.strides[d]));
                    rest /= size;
                }
                if (back) narrow[offset] = @floatCast(memory[at + i]) else memory[at + i] = narrow[offset];
            }
        }
        if (!back) Systems(f64).run(p, &wide);
    }
    if (wide.status.load(.monotonic) != 0) call.fail(@fromBackingInt(wide.status.load(.monotonic)), wide.detail);
}

const none = std.math.maxInt(u64);

const Job = struct {
    s: *const State,
    plan: *const Plan,
    call: *Call,
    /// The first matrix whose info is not 0, and the info: number << 32 | info.
    failed: *std.atomic.Value(u64),

    fn has(j: *const Job, k: usize) bool {
        return j.s.place[k] != nowhere and j.call.ptr[j.s.place[k]] != null;
    }
    fn wrongPivot(j: *const Job) void {
        j.call.fail(.invalid_value, .{ @intCast(j.s.n), 0, 0 });
    }
    fn fail(j: *const Job, b: usize, info: usize) void {
        if (info != 0) _ = j.failed.fetchMin((b << 32) | (info & 0xffff_ffff), .monotonic);
    }
};

fn Systems(comptime T: type) type {
    return struct {
        const D = Dense(T);
        const Q = Qr(T);
        const L = lanes_zig.Lanes(T);
        const S = Spectral(T);
        const V = L.V;
        const Matrix = shared.Matrix(T);

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            var failed: std.atomic.Value(u64) = .init(none);
            const job: Job = .{ .s = s, .plan = p, .call = call, .failed = &failed };
            // What is iterated takes longer, small ones above all.
            const more: usize = if (s.op == .eigh or s.op == .svd) 32 else 1;
            const cost = more * ((s.m + s.r) * s.n * @min(s.m, s.n) + 64);
            if (s.small) {
                const groups = (s.batch + L.count - 1) / L.count;
                services.parallelFor(groups, @max(1, (1 << 12) / cost), job, small);
            } else services.parallelFor(s.batch, @max(1, (1 << 17) / cost), job, large);
            const first = failed.load(.monotonic);
            const checked = switch (s.op) {
                .lu, .solve, .cholesky => s.flags[0],
                .lstsq => p.n_out == 1,
                .eigh => call.ptr[2] == null,
                .svd => call.ptr[3] == null,
                else => false,
            };
            if (checked and first != none) {
                const batched: i64 = if (p.operands[0].ndim() > ranks(s.op)[0]) 1 else 0;
                const info: i32 = @bitCast(@as(u32, @truncate(first)));
                call.fail(.singular, .{ @intCast(first >> 32), info, batched });
            }
        }

        noinline fn offset(job: *const Job, k: usize, b: usize) usize {
            const lie = job.s.lie[k];
            if (lie.even) return b * lie.step;
            const operand = job.plan.operands[job.s.place[k]];
            var d = operand.shape.len - ranks(job.s.op)[k];
            var rest = b;
            var at: usize = 0;
            while (d > 0) {
                d -= 1;
                const size: usize = @intCast(operand.shape[d]);
                at += rest % size * @as(usize, @intCast(operand.strides[d]));
                rest /= size;
            }
            return at;
        }
        noinline fn matrix(job: *const Job, k: usize, b: usize) Matrix {
            const lie = job.s.lie[k];
            return .{ .ptr = job.call.at(T, job.s.place[k]) + offset(job, k, b), .rs = lie.rs, .cs = lie.cs };
        }
        fn whole(job: *const Job, k: usize, b: usize) [*]i32 {
            return job.call.at(i32, job.s.place[k]) + offset(job, k, b);
        }

        // ------------------------------------------------------------------ small ones

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

        fn small(job: *const Job, begin: usize, end: usize) void {
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

        // ------------------------------------------------------------------ large ones

        fn large(job: *const Job, begin: usize, end: usize) void {
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
