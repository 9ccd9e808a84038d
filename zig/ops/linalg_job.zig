//! What linalg_systems.zig's kernels share: the operations, how their operands lie, and the job of
//! one call.
const std = @import("std");
const plan = @import("../plan.zig");
const shared = @import("gemm_shared.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { lu, lu_solve, solve, det, slogdet, cholesky, cholesky_solve, triangle, geqrf, reflect, qr, lstsq, eigh, svd };

/// How many dimensions of each operand belong to the matrix.
pub fn ranks(op: Op) []const u8 {
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
pub fn matrixOf(op: Op) usize {
    return switch (op) {
        .lu_solve, .triangle, .det => 1,
        .cholesky_solve, .cholesky, .geqrf, .reflect, .qr, .slogdet, .lstsq => 2,
        .lu, .eigh => 3,
        .solve, .svd => 4,
    };
}

/// Results, of which a plan may leave out the last ones.
pub fn results(op: Op) usize {
    return switch (op) {
        .solve, .svd => 4,
        .lu, .eigh => 3,
        .slogdet, .cholesky, .geqrf, .qr, .lstsq => 2,
        else => 1,
    };
}

pub const nowhere = 255;
/// The info -1.
pub const unknown: usize = 0xffff_ffff;

/// How the matrices of an operand lie, in elements.
pub const Lie = struct {
    rows: usize = 1,
    columns: usize = 1,
    rs: usize = 0,
    cs: usize = 1,
    /// From one matrix of the batch to the next, where that is even.
    step: usize = 0,
    even: bool = true,
};

pub const State = struct {
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

pub fn lieOf(o: plan.Operand, rank: u8) Lie {
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

pub fn denseLie(it: Lie) Lie {
    return .{ .rows = it.rows, .columns = it.columns, .rs = it.columns, .step = it.rows * it.columns };
}

pub const none = std.math.maxInt(u64);

pub const Job = struct {
    s: *const State,
    plan: *const Plan,
    call: *Call,
    /// The first matrix whose info is not 0, and the info: number << 32 | info.
    failed: *std.atomic.Value(u64),

    pub fn has(j: *const Job, k: usize) bool {
        return j.s.place[k] != nowhere and j.call.ptr[j.s.place[k]] != null;
    }
    pub fn wrongPivot(j: *const Job) void {
        j.call.fail(.invalid_value, .{ @intCast(j.s.n), 0, 0 });
    }
    pub fn fail(j: *const Job, b: usize, info: usize) void {
        if (info != 0) _ = j.failed.fetchMin((b << 32) | (info & 0xffff_ffff), .monotonic);
    }
};

/// Matrix `b` of a batch of operand `k`.
pub fn Access(comptime T: type) type {
    return struct {
        const Matrix = shared.Matrix(T);

        pub noinline fn offset(job: *const Job, k: usize, b: usize) usize {
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
        pub noinline fn matrix(job: *const Job, k: usize, b: usize) Matrix {
            const lie = job.s.lie[k];
            return .{ .ptr = job.call.at(T, job.s.place[k]) + offset(job, k, b), .rs = lie.rs, .cs = lie.cs };
        }
        pub fn whole(job: *const Job, k: usize, b: usize) [*]i32 {
            return job.call.at(i32, job.s.place[k]) + offset(job, k, b);
        }
    };
}
