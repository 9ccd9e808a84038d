//! Decompositions of matrices and systems of linear equations, batch by batch.
//!
//! | row       | outputs                                | inputs               | ints        |
//! |-----------|----------------------------------------|----------------------|-------------|
//! | lu        | LU (m, n), pivots (k), info            | A (m, n)             |             |
//! | lu_solve  | X (n, r)                               | LU (n, n), pivots, B | transposed  |
//! | cholesky  | L (n, n), info                         | A (n, n)             |             |
//! | triangle  | X (n, r)                               | T (n, n), B (n, r)   | upper, unit |
//! | geqrf     | A' (m, n), tau (k)                     | A (m, n)             |             |
//! | reflect   | Q C (m, r)                             | C, A' (m, >= t), tau (t) | transposed |
//! | eigh      | values (n), V (n, n) or none, info     | A (n, n)             |             |
//! | ldl       | LD (n, n), pivots (n), info            | A (n, n)             |             |
//! | ldl_solve | X (n, r)                               | LD, pivots, B (n, r) |             |
//! | eig       | values (n, 2), V (n, 2 n) or none, info | A (n, n)            |             |
//! | svd       | S (k), U (m, k or m), Vh (k or n, n), info | A (m, n)         |             |
//!
//! k = min(m, n). Before these dimensions all operands have the same batch dimensions; strides
//! are free, of the outputs too. Floating operands are float32 or float64, all alike, and are
//! computed in float64; pivots and info (one for each matrix) are int32.
//! lu: A = P L U, pivots from 1, as LAPACK's getrf; info: the first zero pivot, from 1, or 0.
//! lu_solve: with `transposed`, LU is a transposed one and the system A^T X = B.
//! cholesky: of the lower triangle; info: the first minor that is not positive, from 1, or 0.
//! geqrf, reflect: R on and above the diagonal, reflections below it, as LAPACK's geqrf and ormqr;
//! with `transposed` reflect gives Q^T C. eig: complex numbers, real and imaginary part in turn;
//! V's columns are of length 1, their largest element real. eigh: of the lower triangle,
//! ascending, V's columns.
//! ldl: of the lower triangle, LAPACK's sytrf: A = L D L^T with exchanges, D of blocks of 1 and 2.
//! svd: U and Vh are both there or both left out. info of eig, eigh and svd: 0; the number of the
//! value that did not converge; or -1: A holds an infinity or nan, and the results are nan.
//! Each matrix is one thread's: a result depends neither on the batch nor on the threads.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const vector = @import("linalg_vector.zig");
const factor = @import("linalg_factor.zig");
const symmetric = @import("linalg_symmetric.zig");
const general = @import("linalg_general.zig");
const spectral = @import("linalg_spectral.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum {
    lu,
    lu_solve,
    cholesky,
    triangle,
    geqrf,
    reflect,
    eigh,
    eig,
    svd,
    ldl,
    ldl_solve,
};

pub const names: []const []const u8 = std.meta.fieldNames(Op);

/// How many dimensions of each operand belong to the matrix.
fn ranks(op: Op) []const u8 {
    return switch (op) {
        .lu, .ldl => &.{ 2, 1, 0, 2 },
        .lu_solve, .ldl_solve => &.{ 2, 2, 1, 2 },
        .cholesky => &.{ 2, 0, 2 },
        .triangle => &.{ 2, 2, 2 },
        .geqrf => &.{ 2, 1, 2 },
        .reflect => &.{ 2, 2, 2, 1 },
        .eigh => &.{ 1, 2, 0, 2 },
        .eig => &.{ 2, 2, 0, 2 },
        .svd => &.{ 1, 2, 2, 0, 2 },
    };
}

const Linalg = struct {
    op: Op,
    batch: usize,
    /// Of the decomposed matrix.
    m: usize,
    n: usize,
    /// Columns of the right-hand side.
    r: usize,
    /// svd: vectors of the longer side.
    long: usize,
    /// Numbers of work for one matrix.
    work: usize,
    flags: [2]bool,
};

fn prepare(p: *Plan) plan.PrepareError!void {
    const op: Op = @fromBackingInt(@as(u4, @intCast(p.op)));
    const matrix: usize = switch (op) {
        .lu_solve, .ldl_solve, .triangle => 1,
        .reflect => 2,
        else => p.operands.len - 1,
    };
    const dtype = p.operands[matrix].dtype;
    if (dtype != .float32 and dtype != .float64) return error.Unsupported;
    const s = try p.create(Linalg);
    const shape = p.operands[matrix].shape;
    s.* = .{
        .op = op,
        .batch = 1,
        .m = @intCast(shape[shape.len - 2]),
        .n = @intCast(shape[shape.len - 1]),
        .r = 0,
        .long = 0,
        .work = 0,
        .flags = @splat(false),
    };
    for (shape[0 .. shape.len - 2]) |size| s.batch *= @intCast(size);
    for (p.ints, 0..) |flag, i| s.flags[i] = flag != 0;
    switch (op) {
        .lu_solve, .ldl_solve, .triangle, .reflect => {
            const out = p.operands[0].shape;
            s.r = @intCast(out[out.len - 1]);
        },
        else => {},
    }
    const m, const n, const r = .{ s.m, s.n, s.r };
    s.work = switch (op) {
        .lu, .ldl => m * n + @min(m, n),
        .lu_solve, .ldl_solve, .triangle => n * n + n * r + n,
        .cholesky => n * n,
        .geqrf => m * n + 2 * n + m,
        .reflect => m * n + m * r + m + r + n,
        .eigh => 2 * n * n + 4 * n,
        .eig => 4 * n * n + 6 * n,
        .svd => work: {
            const tall, const k = .{ @max(m, n), @min(m, n) };
            const u, const vh = .{ p.operands[1].shape, p.operands[2].shape };
            if (u.len > 0) s.long = @intCast(if (m < n) vh[vh.len - 2] else u[u.len - 1]);
            break :work tall * k + 3 * k * k + 8 * k + tall + s.long * tall;
        },
    };
    p.run = run;
}

const Job = struct { s: *const Linalg, plan: *const Plan, call: *Call };

fn run(p: *const Plan, call: *Call) void {
    const s = p.stateAs(Linalg);
    const cost = (s.m + s.r) * s.n * @min(s.m, s.n);
    const grain = @max(1, (1 << 16) / (cost + 64));
    const job: Job = .{ .s = s, .plan = p, .call = call };
    services.parallelFor(s.batch, grain, job, piece);
}

fn piece(job: *const Job, begin: usize, end: usize) void {
    const work = services.allocSlice(f64, job.s.work + 1) orelse
        return job.call.fail(.out_of_memory, @splat(0));
    defer services.free(@ptrCast(work.ptr));
    for (begin..end) |b| {
        const one: One = .{ .job = job, .b = b };
        switch (job.s.op) {
            .lu => one.lu(work.ptr),
            .lu_solve, .ldl_solve, .triangle => one.solve(work.ptr),
            .ldl => one.ldl(work.ptr),
            .cholesky => one.cholesky(work.ptr),
            .geqrf => one.geqrf(work.ptr),
            .reflect => one.reflect(work.ptr),
            .eigh => one.eigh(work.ptr),
            .eig => one.eig(work.ptr),
            .svd => one.svd(work.ptr),
        }
    }
}

/// Where one matrix of an operand lies.
const Place = struct { base: [*]u8, rows: usize, columns: usize, row: usize, column: usize };

/// One matrix of the batch: from the operands into work, and back.
const One = struct {
    job: *const Job,
    b: usize,

    fn place(o: One, k: usize) Place {
        const operand = o.job.plan.operands[k];
        const rank = ranks(o.job.s.op)[k];
        var d = operand.shape.len;
        var it: Place = .{ .base = undefined, .rows = 1, .columns = 1, .row = 0, .column = 0 };
        if (rank > 0) {
            d -= 1;
            it.columns = @intCast(operand.shape[d]);
            it.column = @intCast(operand.strides[d]);
        }
        if (rank > 1) {
            d -= 1;
            it.rows = @intCast(operand.shape[d]);
            it.row = @intCast(operand.strides[d]);
        }
        var rest = o.b;
        var offset: usize = 0;
        while (d > 0) {
            d -= 1;
            const size: usize = @intCast(operand.shape[d]);
            offset += rest % size * @as(usize, @intCast(operand.strides[d]));
            rest /= size;
        }
        it.base = o.job.call.ptr[k].? + offset * operand.dtype.size();
        return it;
    }

    /// Operand k into dst, row by row, or column by column (`transposed`).
    fn get(o: One, k: usize, dst: [*]f64, transposed: bool) void {
        switch (o.job.plan.operands[k].dtype) {
            .int32 => copy(i32, o.place(k), dst, transposed, .get),
            .float32 => copy(f32, o.place(k), dst, transposed, .get),
            else => copy(f64, o.place(k), dst, transposed, .get),
        }
    }
    fn put(o: One, k: usize, src: [*]f64, transposed: bool) void {
        switch (o.job.plan.operands[k].dtype) {
            .int32 => copy(i32, o.place(k), src, transposed, .put),
            .float32 => copy(f32, o.place(k), src, transposed, .put),
            else => copy(f64, o.place(k), src, transposed, .put),
        }
    }
    fn putInfo(o: One, k: usize, info: i32) void {
        @as(*i32, @ptrCast(@alignCast(o.place(k).base))).* = info;
    }

    fn lu(o: One, a: [*]f64) void {
        const s = o.job.s;
        const pivots = a + s.m * s.n;
        o.get(3, a, false);
        const info = factor.lu(s.m, s.n, a, pivots);
        o.put(0, a, false);
        o.put(1, pivots, false);
        o.putInfo(2, @intCast(info));
    }

    fn solve(o: One, a: [*]f64) void {
        const s = o.job.s;
        const n = s.n;
        const x = a + n * n;
        const pivots = x + n * s.r;
        o.get(1, a, s.op == .ldl_solve);
        if (s.op != .triangle) {
            o.get(3, x, true);
            o.get(2, pivots, false);
            if (s.op == .ldl_solve) {
                symmetric.solve(n, s.r, a, pivots, x);
            } else factor.solveLu(n, s.r, a, pivots, x, s.flags[0]);
        } else {
            o.get(2, x, true);
            factor.solveTriangle(n, s.r, a, x, .{ .upper = s.flags[0], .unit = s.flags[1] });
        }
        o.put(0, x, true);
    }

    fn ldl(o: One, a: [*]f64) void {
        const n = o.job.s.n;
        const pivots = a + n * n;
        o.get(3, a, true);
        const info = symmetric.ldl(n, a, pivots);
        for (0..n) |i| @memset(a[i * n ..][0..i], 0);
        o.put(0, a, true);
        o.put(1, pivots, false);
        o.putInfo(2, @intCast(info));
    }

    fn cholesky(o: One, a: [*]f64) void {
        o.get(2, a, false);
        const info = factor.cholesky(o.job.s.n, a);
        o.put(0, a, false);
        o.putInfo(1, @intCast(info));
    }

    fn geqrf(o: One, a: [*]f64) void {
        const s = o.job.s;
        const tau = a + s.m * s.n;
        const column = tau + s.n;
        o.get(2, a, false);
        factor.qr(s.m, s.n, a, tau, column, column + s.m);
        o.put(0, a, false);
        o.put(1, tau, false);
    }

    fn reflect(o: One, c: [*]f64) void {
        const s = o.job.s;
        const v = c + s.m * s.r;
        const tau = v + s.m * s.n;
        const column = tau + s.n;
        const count = o.place(3).columns;
        o.get(1, c, false);
        o.get(2, v, false);
        o.get(3, tau, false);
        factor.applyQ(s.m, s.r, c, v, s.n, tau, count, s.flags[0], column, column + s.m);
        o.put(0, c, false);
    }

    fn eigh(o: One, a: [*]f64) void {
        const n = o.job.s.n;
        const z = a + n * n;
        const d = z + n * n;
        const vectors = o.job.call.ptr[1] != null;
        o.get(3, a, false);
        for (0..n) |i| for (0..i) |j| {
            a[j * n + i] = a[i * n + j];
        };
        const scale = scaled(n * n, a);
        var info: i32 = -1;
        if (scale > 0) {
            const failed = spectral.symmetric(n, a, d, if (vectors) z else null, d + n);
            info = @intCast(failed);
            for (d[0..n]) |*value| value.* /= scale;
        } else @memset(z[0 .. n * n + n], std.math.nan(f64));
        o.put(0, d, false);
        if (vectors) o.put(1, z, true);
        o.putInfo(2, info);
    }

    fn eig(o: One, h: [*]f64) void {
        const n = o.job.s.n;
        const v = h + n * n;
        const pairs = v + n * n;
        const values = pairs + 2 * n * n;
        const re = values + 2 * n;
        const im = re + n;
        const vectors = o.job.call.ptr[1] != null;
        o.get(3, h, false);
        const scale = scaled(n * n, h);
        var info: i32 = -1;
        if (scale > 0) {
            const it: general.General = .{
                .n = n,
                .h = h,
                .re = re,
                .im = im,
                .v = if (vectors) v else null,
                .work = im + n,
            };
            info = @intCast(it.run());
            for (0..n) |j| {
                values[2 * j] = re[j] / scale;
                values[2 * j + 1] = im[j] / scale;
            }
            if (vectors) general.pairs(n, v, im, pairs);
        } else @memset(pairs[0 .. 2 * n * n + 2 * n], std.math.nan(f64));
        o.put(0, values, false);
        if (vectors) o.put(1, pairs, false);
        o.putInfo(2, info);
    }

    fn svd(o: One, a: [*]f64) void {
        const s = o.job.s;
        // A wide matrix is the transpose of a tall one.
        const wide = s.m < s.n;
        const m, const n = .{ @max(s.m, s.n), @min(s.m, s.n) };
        const square = a + m * n;
        const left = square + n * n;
        const right = left + n * n;
        const d = right + n * n;
        const tau = d + 2 * n;
        const work = tau + n;
        const column = work + 4 * n;
        const long = column + m;
        const vectors = o.job.call.ptr[1] != null;
        o.get(4, a, wide);
        const scale = scaled(m * n, a);
        var info: i32 = -1;
        if (scale > 0) {
            // A tall one is Q R, and R has its values.
            if (m > n) factor.qr(m, n, a, tau, column, work);
            for (0..n) |i| for (0..n) |j| {
                square[i * n + j] = if (m > n and j < i) 0 else a[i * n + j];
            };
            const it: spectral.Singular = .{
                .n = n,
                .a = square,
                .d = d,
                .e = d + n,
                .left = if (vectors) left else null,
                .right = if (vectors) right else null,
                .work = work,
            };
            info = @intCast(it.run());
            for (d[0..n]) |*value| value.* /= scale;
            if (vectors and m > n) widen(m, n, s.long, a, tau, left, long, column);
        } else {
            @memset(left[0 .. 2 * n * n + n], std.math.nan(f64));
            @memset(long[0 .. s.long * m], std.math.nan(f64));
        }
        o.put(0, d, false);
        if (vectors) {
            const across = if (m > n) long else left;
            // Both lie as rows of vectors; U has them as columns.
            o.put(1, if (wide) right else across, true);
            o.put(2, if (wide) across else right, false);
        }
        o.putInfo(3, info);
    }
};

/// The left vectors of Q R (m, n), `count` rows of m, from those of R and the reflections in a:
/// after the first n, what completes them.
fn widen(
    m: usize,
    n: usize,
    count: usize,
    a: [*]const f64,
    tau: [*]const f64,
    left: [*]const f64,
    long: [*]f64,
    column: [*]f64,
) void {
    vector.identity(count, m, long);
    for (0..n) |i| @memcpy(long[i * m ..][0..n], left[i * n ..][0..n]);
    for (0..n) |step| {
        const k = n - 1 - step;
        factor.gather(m - k, a + k * n + k, n, column);
        column[0] = 1;
        vector.reflectColumns(count, m - k, tau[k], column, long + k, m);
    }
}

/// Multiplies by a power of two that brings the largest element near 1, and returns it; 0 if an
/// element is infinite or nan.
fn scaled(n: usize, a: [*]f64) f64 {
    const size = vector.largest(n, a);
    if (!std.math.isFinite(size)) return 0;
    if (size == 0) return 1;
    const exponent = std.math.clamp(std.math.ilogb(size), -1000, 1000);
    const scale = std.math.ldexp(@as(f64, 1), -exponent);
    for (a[0..n]) |*x| x.* *= scale;
    return scale;
}

const Way = enum { get, put };
noinline fn copy(comptime T: type, p: Place, work: [*]f64, transposed: bool, way: Way) void {
    for (0..p.rows) |i| for (0..p.columns) |j| {
        const at = if (transposed) j * p.rows + i else i * p.columns + j;
        const offset = i * p.row + j * p.column;
        const element = &@as([*]T, @ptrCast(@alignCast(p.base)))[offset];
        if (T == i32) {
            if (way == .get) work[at] = @floatFromInt(element.*) else element.* = @trunc(work[at]);
        } else {
            if (way == .get) work[at] = element.* else element.* = @floatCast(work[at]);
        }
    };
}

test {
    _ = vector;
    _ = @import("linalg_test.zig");
}
