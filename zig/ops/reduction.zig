//! What `prepare` of reduce.zig finds out, and what rows and columns share: reading elements
//! into a block, and turning totals into results.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const kernels = @import("reduce_kernels.zig");
const integers = @import("reduce_integers.zig");
const stage = @import("reduce_stage.zig");
const DType = @import("../dtype.zig").DType;
const Plan = plan.Plan;
const Call = plan.Call;
const Cell = kernels.Cell;
const Kernel = kernels.Kernel;
const planes = kernels.planes;
const max_tile = kernels.max_tile;
const row_block = kernels.row_block;
const column_block = kernels.column_block;

/// What happens to an element before the kernel sees it.
pub const Map = enum { none, number, magnitude, magnitude_to_p, is_nonzero };

/// What makes the result from the total.
pub const Finish = enum {
    none,
    mean,
    root,
    root_p,
    variance,
    deviation,
    log,
    /// The total is a count: of type int64, or whether it is above zero, or all.
    count,
    any,
    all,
};

pub const Compute = enum {
    f32,
    f64,
    i64,

    pub fn size(c: Compute) usize {
        return if (c == .f32) 4 else 8;
    }
};

/// What `prepare` finds out.
pub const Reduction = struct {
    kernel: Kernel,
    map: Map,
    finish: Finish,
    compute: Compute,
    in_size: usize,
    outputs: usize,
    /// Elements that one result is made of, and results.
    length: usize,
    results: usize,
    /// p, or the correction
    parameter: f64,
    kept: stage.Dims,
    reduced: stage.Dims,
    /// The innermost of each, taken out of the lists.
    inner_kept: stage.Dim,
    inner_reduced: stage.Dim,
    /// The kernel may read x where it lies.
    direct: bool,
    /// What takes the place of the kernel's row and column where narrow elements are read as they lie.
    integers: ?integers.Kernel,
    /// The results are indices.
    arg: bool,
    /// Rows: a run is one block, and the kernel takes those of several results.
    together: bool,
    /// Columns: of a few, this many rows are taken for one, and their results joined.
    fold: usize,
    /// Columns: how many go into one tile; groups: how many of them are taken together.
    tile: usize,
    /// Rows: blocks a result is cut into.
    blocks: usize,
    /// Rows: elements in a block of one run.
    block: usize,
    /// Rows: blocks in one run of the innermost reduced dimension; 0: runs are so short that
    /// several are packed into a block.
    blocks_in_run: usize,
};

/// Runs at least this long are cut into blocks by themselves.
pub const long_run = 512;
/// Blocks of rows of a column tile that one work item takes.
pub const super_block = 4 * column_block;
/// Elements that a work item should have.
pub const work_size = 1 << 15;

/// What the threads of one call share.
pub const Job = struct {
    plan: *const Plan,
    r: *const Reduction,
    call: *Call,
    partial: [*]Cell = undefined,
};

// --- Reading ------------------------------------------------------------------------------

/// Room for one block, converted.
pub const Buffer = struct { bytes: [row_block * 8]u8 align(64) };

/// (rows, columns) elements of x into the buffer, as the type that the kernel computes in.
pub noinline fn load(
    r: *const Reduction,
    dtype: DType,
    src: [*]const u8,
    rows: usize,
    row_stride: usize,
    columns: usize,
    column_stride: usize,
    dst: *Buffer,
    at: usize,
    dst_stride: usize,
) void {
    switch (r.compute) {
        inline else => |c| {
            const T = switch (c) {
                .f32 => f32,
                .f64 => f64,
                .i64 => i64,
            };
            const d: [*]T = @ptrCast(&dst.bytes);
            stage.loadTile(
                T,
                dtype,
                src,
                rows,
                row_stride,
                columns,
                column_stride,
                d + at,
                dst_stride,
            );
        },
    }
}

/// The first n elements of the buffer as `map` makes them.
pub noinline fn applyMap(r: *const Reduction, buffer: *Buffer, n: usize) void {
    switch (r.compute) {
        inline else => |c| {
            const T = switch (c) {
                .f32 => f32,
                .f64 => f64,
                .i64 => i64,
            };
            const x: [*]T = @ptrCast(&buffer.bytes);
            switch (r.map) {
                .none => {},
                inline else => |map| if ((T == i64 and map != .is_nonzero) or (map == .number and simd.has_fma)) unreachable else mapAll(map, T, x, n, r.parameter),
            }
        },
    }
}

/// Without fma a power is a lot of code for each lane.
const power_lanes = if (simd.has_fma) 16 else 2;

/// Past n as well, up to the vector: the buffer is a multiple of it.
fn mapAll(comptime map: Map, comptime T: type, x: [*]T, n: usize, parameter: f64) void {
    const lanes = if (map == .magnitude_to_p) @min(simd.lanes(T), power_lanes) else simd.lanes(T);
    const V = @Vector(lanes, T);
    const zero: V = @splat(0);
    var i: usize = 0;
    while (i < n) : (i += lanes) {
        const v: V = x[i..][0..lanes].*;
        x[i..][0..lanes].* = switch (map) {
            .none => comptime unreachable,
            .number => @select(T, v == v, v, zero),
            .is_nonzero => @select(T, v != zero, @as(V, @splat(1)), zero),
            .magnitude => @abs(v),
            .magnitude_to_p => math.pow(V, @abs(v), @splat(@floatCast(parameter))),
        };
    }
}

// --- Writing --------------------------------------------------------------------------------

pub fn runEmpty(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    for (0..r.results) |i| {
        var results: [planes * max_tile]Cell = undefined;
        inline for (0..planes) |q| results[q * max_tile] = r.kernel.identity[q];
        finish(p, r, call, &results, 1, i, 1);
    }
}

/// From the totals of n results to the outputs, which begin at element `at`.
pub noinline fn finish(
    p: *const Plan,
    r: *const Reduction,
    call: *Call,
    totals: [*]Cell,
    n: usize,
    at: usize,
    stride: usize,
) void {
    const length: f64 = @floatFromInt(r.length);
    const divisor: f64 = @max(0, length - r.parameter);
    const second = totals + max_tile;
    var values = totals;
    switch (r.finish) {
        .none => {},
        .mean => scale(totals, n, length, r.compute == .f32),
        .root => roots(totals, n),
        .root_p => for (totals[0..n]) |*x| {
            x.f = math.pow(@Vector(@min(8, power_lanes), f64), @splat(x.f), @splat(1 / r.parameter))[0];
        },
        .variance, .deviation => {
            scale(second, n, divisor, false);
            if (r.finish == .deviation) roots(second, n);
            // nan, not 0, is the mean of nothing
            if (r.length == 0) for (totals[0..n]) |*x| {
                x.f = std.math.nan(f64);
            };
            values = second;
        },
        .log => for (totals[0..n], second[0..n]) |*x, s| {
            x.f += math.log(@Vector(8, f64), @splat(s.f))[0];
        },
        .count, .any, .all => for (totals[0..n]) |*x| {
            const count: i64 = if (r.compute == .i64) x.i else @trunc(x.f);
            x.i = switch (r.finish) {
                .any => @intFromBool(count > 0),
                .all => @intFromBool(count == @as(i64, @intCast(r.length))),
                else => count,
            };
        },
    }
    if (r.arg) {
        if (r.outputs == 2) put(p, call, 0, totals, n, at, stride);
        return put(p, call, r.outputs - 1, second, n, at, stride);
    }
    put(p, call, 0, values, n, at, stride);
    if (r.outputs == 2) put(p, call, 1, totals, n, at, stride);
}

/// The totals over their number: times its reciprocal, where the result is rounded to f32 anyway.
fn scale(totals: [*]Cell, n: usize, length: f64, reciprocal: bool) void {
    const V = @Vector(8, f64);
    const x: [*]f64 = @ptrCast(totals);
    var i: usize = 0;
    // Past n as well, up to the vector: there is room for it.
    while (i < n) : (i += 8) {
        const v: V = x[i..][0..8].*;
        const over: V = @splat(if (reciprocal) 1 / length else length);
        x[i..][0..8].* = if (reciprocal) v * over else v / over;
    }
}

/// Past n as well, as `scale`.
fn roots(totals: [*]Cell, n: usize) void {
    const x: [*]f64 = @ptrCast(totals);
    var i: usize = 0;
    while (i < n) : (i += 8) {
        const v: @Vector(8, f64) = x[i..][0..8].*;
        const root = @sqrt(v);
        x[i..][0..8].* = root;
    }
}

fn put(
    p: *const Plan,
    call: *Call,
    k: usize,
    x: [*]const Cell,
    n: usize,
    at: usize,
    stride: usize,
) void {
    const dtype = p.operands[k].dtype;
    const dst = call.ptr[k].? + at * dtype.size();
    if (dtype.isFloat())
        stage.store(f64, dtype, @ptrCast(x), 1, n, dst, stride)
    else
        stage.store(i64, dtype, @ptrCast(x), 1, n, dst, stride);
}
