//! Decompositions of matrices and systems of linear equations, batch by batch.
//!
//! | row            | outputs                                        | inputs                   | ints        |
//! |----------------|------------------------------------------------|--------------------------|-------------|
//! | lu             | LU (m, n), pivots (k), info                    | A (m, n)                 | checked     |
//! | lu_solve       | X (n, r)                                       | LU (n, n), pivots, B     | transposed  |
//! | solve          | X (n, r); or none: LU (n, n), pivots (n), info | A (n, n), B or none      | checked     |
//! | det            | det                                            | A (n, n)                 |             |
//! | slogdet        | sign, log                                      | A (n, n)                 |             |
//! | cholesky       | L (n, n), info or none                         | A (n, n)                 | checked     |
//! | cholesky_solve | X (n, r)                                       | B (n, r), L (n, n)       | upper       |
//! | triangle       | X (n, r)                                       | T (n, n), B (n, r)       | upper, unit |
//! | geqrf          | A' (m, n), tau (k)                             | A (m, n)                 |             |
//! | reflect        | Q C (m, r)                                     | C, A' (m, >= t), tau (t) | transposed  |
//! | qr             | Q (m, k or m) or none, R (k or m, n)           | A (m, n)                 |             |
//! | lstsq          | X (n, r) or none; or none: condition           | A (m, n), B (m, r)/none  | floats: c   |
//! | eigh           | values (n), V (n, n) or none, info             | A (n, n)                 |             |
//! | eig            | values (n, 2), V (n, 2 n) or none, info        | A (n, n)                 |             |
//! | svd            | S (k), U (m, k or m), Vh (k or n, n), info     | A (m, n)                 |             |
//! | ldl            | LD (n, n), pivots (n), info                    | A (n, n)                 |             |
//! | ldl_solve      | X (n, r)                                       | LD, pivots, B (n, r)     |             |
//! | lu_unpack      | P (m, m), L (m, k), U (k, n), or none of these | LU (m, n), pivots (k)    |             |
//!
//! k = min(m, n). Before these dimensions all operands have the same batch dimensions; strides
//! are free, of the outputs too. Floating operands are float32 or float64, all alike; eig
//! and ldl are computed in float64. Pivots and info (one for each matrix) are int32.
//! lu_unpack: of contiguous rows; fails as lu_solve does.
//! lu: A = P L U, pivots from 1, as LAPACK's getrf; info: the first zero pivot, from 1, or 0.
//! lu_solve: with `transposed` the system A^T X = B; fails as `invalid_value` where a pivot is no
//! row's number. solve: without B the inverse. With `checked` a
//! call fails as `singular` where an info is not 0: which matrix, its info, and whether there are
//! batch dimensions.
//! cholesky: of the lower triangle; info: the first minor that is not positive, from 1, or 0.
//! cholesky_solve: A = L L^T, or U^T U with `upper`.
//! lstsq: X of the smallest ||A X - B||, m >= n, by QR; condition: ||R|| ||R^-1|| in the Frobenius
//! norm, no less than the ratio of the largest singular value to the smallest, and up to n times as
//! large. Where condition is left out of the plan, a call fails as `singular` unless it is below c.
//! geqrf, reflect: R on and above the diagonal, reflections below it, as LAPACK's geqrf and ormqr;
//! with `transposed` reflect gives Q^T C. eig: complex numbers, real and imaginary part in turn;
//! V's columns are of length 1, their largest element real. eigh: of the lower triangle,
//! ascending, V's columns.
//! ldl: of the lower triangle, LAPACK's sytrf: A = L D L^T with exchanges, D of blocks of 1 and 2.
//! svd: U and Vh are both there or both left out. info of eig, eigh and svd: 0; the number of the
//! value that did not converge; or -1: A holds an infinity or nan, and the results are nan. Where
//! it is left out, a call fails as `singular` (eigh: not for -1).
//! The last results of a row may be left out of the plan too. A result depends neither on the batch nor on the threads.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const vector = @import("linalg_vector.zig");
const systems = @import("linalg_systems.zig");
const symmetric = @import("linalg_symmetric.zig");
const general = @import("linalg_general.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

/// What linalg_systems.zig does not do.
const Op = enum { eig, ldl, ldl_solve, lu_unpack };
const steady = std.meta.fieldNames(systems.Op);

pub const names: []const []const u8 = steady ++ std.meta.fieldNames(Op);

/// How many dimensions of each operand belong to the matrix.
fn ranks(op: Op) []const u8 {
    return switch (op) {
        .ldl => &.{ 2, 1, 0, 2 },
        .ldl_solve => &.{ 2, 2, 1, 2 },
        .lu_unpack => &.{ 2, 2, 2, 2, 1 },
        .eig => &.{ 2, 2, 0, 2 },
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
    /// Numbers of work for one matrix.
    work: usize,
};

fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.op < steady.len) return systems.prepare(p, std.enums.values(systems.Op)[p.op]);
    const op = std.enums.values(Op)[p.op - steady.len];
    const matrix: usize = switch (op) {
        .ldl_solve => 1,
        .lu_unpack => 3,
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
        .work = 0,
    };
    for (shape[0 .. shape.len - 2]) |size| s.batch *= @intCast(size);
    if (op == .ldl_solve) {
        const out = p.operands[0].shape;
        s.r = @intCast(out[out.len - 1]);
    }
    const m, const n, const r = .{ s.m, s.n, s.r };
    s.work = switch (op) {
        .ldl => m * n + @min(m, n),
        .ldl_solve => n * n + n * r + n,
        .eig => 4 * n * n + 6 * n,
        .lu_unpack => m,
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
            .ldl_solve => one.solve(work.ptr),
            .ldl => one.ldl(work.ptr),
            .eig => one.eig(work.ptr),
            .lu_unpack => if (job.plan.operands[3].dtype == .float32) one.unpack(f32, work.ptr) else one.unpack(f64, work.ptr),
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
    /// Without a place for it an info makes the call fail.
    fn putInfo(o: One, k: usize, info: i32) void {
        if (o.job.call.ptr[k] != null) {
            @as(*i32, @ptrCast(@alignCast(o.place(k).base))).* = info;
        } else if (info > 0 or info < 0) {
            const values = o.job.plan.operands[0].ndim() - ranks(o.job.s.op)[0];
            o.job.call.fail(.singular, .{ @intCast(o.b), info, @intCast(values) });
        }
    }

    fn solve(o: One, a: [*]f64) void {
        const s = o.job.s;
        const x = a + s.n * s.n;
        const pivots = x + s.n * s.r;
        o.get(1, a, true);
        o.get(3, x, true);
        o.get(2, pivots, false);
        symmetric.solve(s.n, s.r, a, pivots, x);
        o.put(0, x, true);
    }

    fn unpack(o: One, comptime T: type, work: [*]f64) void {
        const s = o.job.s;
        const k = @min(s.m, s.n);
        const ptr = o.job.call.ptr;
        if (ptr[0] != null) o.permutation(T, @ptrCast(work), k);
        const lu = o.place(3);
        for (0..s.m) |i| {
            const row = @as([*]const T, @ptrCast(@alignCast(lu.base))) + i * lu.row;
            const below = @min(i, k);
            if (ptr[1] != null) {
                const l = (@as([*]T, @ptrCast(@alignCast(o.place(1).base))) + i * k)[0..k];
                @memcpy(l[0..below], row);
                @memset(l[below..], 0);
                if (i < k) l[i] = 1;
            }
            if (ptr[2] != null and i < k) {
                const u = (@as([*]T, @ptrCast(@alignCast(o.place(2).base))) + i * s.n)[0..s.n];
                @memset(u[0..i], 0);
                @memcpy(u[i..], row[i..]);
            }
        }
    }
    fn permutation(o: One, comptime T: type, order: [*]u64, k: usize) void {
        const m = o.job.s.m;
        const p = @as([*]T, @ptrCast(@alignCast(o.place(0).base)))[0 .. m * m];
        for (0..m) |i| order[i] = i;
        const at = o.place(4);
        const pivots: [*]const i32 = @ptrCast(@alignCast(at.base));
        for (0..k) |i| {
            const other = pivots[i * at.column];
            if (other < 1 or other > m) return o.job.call.fail(.invalid_value, .{ @intCast(m), 0, 0 });
            std.mem.swap(u64, &order[i], &order[@intCast(other - 1)]);
        }
        @memset(p, 0);
        for (0..m) |i| p[order[i] * m + i] = 1;
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
            // Rows a multiple of 512 bytes apart would drive each other out of the cache (there is room
            // where the pairs come to lie).
            const ld = if (n % 64 == 0) n + 8 else n;
            if (ld != n) for (0..n) |i| @memcpy(pairs[i * ld ..][0..n], h[i * n ..][0..n]);
            const it: general.General = .{
                .n = n,
                .h = if (ld != n) pairs else h,
                .ld = ld,
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
};

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
    _ = @import("linalg_values.zig");
}
