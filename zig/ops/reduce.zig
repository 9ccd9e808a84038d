//! Reductions: sums, products, extrema, norms, variances over any set of dimensions.
//!
//! Operands: the outputs, then the input x. An output's shape is that of x without the
//! reduced dimensions (keepdim is a view, made in Python), contiguous.
//! ints: the reduced dimensions of x, non-negative, each once, in any order; none: x is copied.
//!
//! | row                                    | outputs (dtype)              | floats     |
//! |----------------------------------------|------------------------------|------------|
//! | sum prod nansum                        | any dtype (1)                |            |
//! | mean sum_squares norm1 norm2 norm_inf  | float (2)                    |            |
//! | norm_neg_inf norm0 logsumexp           | float (2)                    |            |
//! | norm_p                                 | float (2)                    | p          |
//! | var std                                | float (2)                    | correction |
//! | var_mean std_mean                      | two of a float dtype (2)     | correction |
//! | max min                                | the dtype of x               |            |
//! | any all                                | bool                         |            |
//! | count_nonzero                          | int64                        |            |
//! | max_dim min_dim                        | values (dtype of x), int64   |            |
//! | argmax argmin                          | int64                        |            |
//!
//! (1) An integer or bool output sums in int64 (wrapping), x converted element by element; a
//!     float one in f32 blocks joined in f64, in f64 throughout if x or the output is float64
//!     or x is integer.
//! (2) Computed as a float sum is.
//! Every row takes x of every dtype. Extrema: nan wins; indices are those of the first such
//! element, counted over the reduced dimensions together, in their order in x, row-major (for
//! all dimensions: into the flattened x).
//! Nothing to reduce: sum 0, prod 1, any false, all true, mean, var, std nan, logsumexp -inf;
//! Python refuses it for the extrema.
const std = @import("std");
const plan = @import("../plan.zig");
const kernels = @import("reduce_kernels.zig");
const stage = @import("reduce_stage.zig");
const reduction = @import("reduction.zig");
const integers = @import("reduce_integers.zig");
const rows = @import("reduce_rows.zig");
const columns = @import("reduce_columns.zig");
const sums = @import("reduce_sums.zig");
const simd = @import("../simd.zig");
const DType = @import("../dtype.zig").DType;
const Plan = plan.Plan;
const Kernel = kernels.Kernel;
const Reduction = reduction.Reduction;
const Compute = reduction.Compute;
const max_tile = kernels.max_tile;
const row_block = kernels.row_block;
const column_block = kernels.column_block;
const super_block = reduction.super_block;
const long_run = reduction.long_run;
const work_size = reduction.work_size;

/// Columns that fit a tile whose elements are converted, however many rows it has.
const one_tile = row_block / column_block;
/// Results of at most so many elements are computed side by side.
const short = 64;

pub const family: plan.Family = .{ .prepare = prepare };

const Row = struct {
    name: []const u8,
    op: kernels.Op,
    map: reduction.Map = .none,
    finish: reduction.Finish = .none,
};

const table = [_]Row{
    .{ .name = "sum", .op = .sum },
    .{ .name = "prod", .op = .prod },
    .{ .name = "mean", .op = .sum, .finish = .mean },
    .{ .name = "max", .op = .max },
    .{ .name = "min", .op = .min },
    .{ .name = "any", .op = .sum, .map = .is_nonzero, .finish = .any },
    .{ .name = "all", .op = .sum, .map = .is_nonzero, .finish = .all },
    .{ .name = "count_nonzero", .op = .sum, .map = .is_nonzero, .finish = .count },
    .{ .name = "nansum", .op = .sum_of_numbers },
    .{ .name = "sum_squares", .op = .sum_of_squares },
    .{ .name = "norm0", .op = .sum, .map = .is_nonzero },
    .{ .name = "norm1", .op = .sum_of_magnitudes },
    .{ .name = "norm2", .op = .sum_of_squares, .finish = .root },
    .{ .name = "norm_inf", .op = .max, .map = .magnitude },
    .{ .name = "norm_neg_inf", .op = .min, .map = .magnitude },
    .{ .name = "norm_p", .op = .sum, .map = .magnitude_to_p, .finish = .root_p },
    .{ .name = "var", .op = .moments, .finish = .variance },
    .{ .name = "std", .op = .moments, .finish = .deviation },
    .{ .name = "var_mean", .op = .moments, .finish = .variance },
    .{ .name = "std_mean", .op = .moments, .finish = .deviation },
    .{ .name = "logsumexp", .op = .logsumexp, .finish = .log },
    .{ .name = "max_dim", .op = .argmax },
    .{ .name = "min_dim", .op = .argmin },
    .{ .name = "argmax", .op = .argmax },
    .{ .name = "argmin", .op = .argmin },
};

pub const names: []const []const u8 = blk: {
    var list: [table.len][]const u8 = undefined;
    for (table, &list) |row, *name| name.* = row.name;
    const done = list;
    break :blk &done;
};

fn prepare(p: *Plan) plan.PrepareError!void {
    const x = p.inputs()[0];
    var row = table[p.op];
    const compute = computeOf(row, x.dtype, p.operands[0].dtype);
    if (compute == .f64) switch (row.op) { // kernels that float64 goes without
        .sum_of_magnitudes => row = .{ .name = row.name, .op = .sum, .map = .magnitude },
        .sum_of_numbers => if (comptime !simd.has_fma) {
            row = .{ .name = row.name, .op = .sum, .map = .number };
        },
        else => {},
    };
    const integers_only = compute == .i64 and row.op == .sum_of_numbers;
    const r = try p.create(Reduction);
    r.* = .{
        .kernel = choose(compute, if (integers_only) .sum else row.op),
        .map = row.map,
        .finish = row.finish,
        .compute = compute,
        .in_size = x.dtype.size(),
        .outputs = p.n_out,
        .length = 1,
        .results = 1,
        .parameter = if (p.floats.len > 0) p.floats[0] else 0,
        .kept = .{},
        .reduced = .{},
        .inner_kept = undefined,
        .inner_reduced = undefined,
        .direct = false,
        .integers = null,
        .arg = row.op == .argmax or row.op == .argmin,
        .together = false,
        .fold = 1,
        .tile = 0,
        .blocks = 0,
        .block = row_block,
        .blocks_in_run = 0,
    };
    p.run = reduction.runEmpty;
    try describe(r, x, p.ints);
    if (r.results == 0 or r.length == 0) return;
    const plain_sum = row.op == .sum and r.map == .none;
    const narrow = switch (compute) {
        .i64 => narrowKernel(row, x.dtype),
        .f32 => if (plain_sum) sums.halves(x.dtype) else if (r.map == .none and (row.op == .max or row.op == .min))
            integers.extremumOfHalves(x.dtype, row.op == .min)
        else
            null,
        .f64 => null,
    };
    p.run = chooseWay(r, plain_sum, r.map == .none and x.dtype == switch (compute) {
        .f32 => DType.float32,
        .f64 => .float64,
        .i64 => .int64,
    }, narrow);
}

/// What reduces elements as narrow as these without making int64 of them.
fn narrowKernel(row: Row, x: DType) ?integers.Kernel {
    return switch (row.op) {
        .max, .min => integers.extremum(x, row.op == .min),
        .sum => if (x == .bool or row.map == .is_nonzero) integers.count(x) else null,
        else => null,
    };
}

/// What a row computes in.
fn computeOf(row: Row, x: DType, out: DType) Compute {
    return switch (row.op) {
        .max, .min, .argmax, .argmin => if (row.map == .none) ofElement(x) else ofFloat(x, out),
        .sum, .sum_of_numbers, .prod => switch (row.finish) {
            .any, .all, .count => ofElement(x),
            else => if (out.isFloat()) ofFloat(x, out) else .i64,
        },
        else => ofFloat(x, out),
    };
}

/// The dimensions of x, kept ones and reduced ones, as few as they can be.
pub fn describe(r: *Reduction, x: plan.Operand, dims: []const i64) plan.PrepareError!void {
    var out_stride: usize = 1;
    for (0..x.ndim()) |back| {
        const d = x.ndim() - 1 - back;
        const size: usize = @intCast(x.shape[d]);
        const stride: usize = @intCast(x.strides[d]);
        if (isReduced(dims, d)) {
            r.length *= size;
            try r.reduced.append(.{ .size = size, .stride = stride });
        } else {
            r.results *= size;
            try r.kept.append(.{ .size = size, .stride = stride, .out = out_stride });
            out_stride *= size;
        }
    }
    if (r.results == 0 or r.length == 0) return;
    for ([_]*stage.Dims{ &r.kept, &r.reduced }) |list|
        std.mem.reverse(stage.Dim, list.d[0..list.n]);
    // An index counts in the order of the dimensions; to any other result the order in
    // memory is as good.
    if (!r.arg) r.reduced.sort();
    r.kept.sort();
    r.reduced.coalesce();
    r.kept.coalesce();
    r.inner_kept = r.kept.pop();
    r.inner_reduced = r.reduced.pop();
    // Vectors that go across few short rows would be mostly empty.
    if (r.length <= short and r.inner_kept.size < 16 and !inGroups(r)) for (r.kept.d[0..r.kept.n]) |*wide| {
        if (wide.size > r.inner_kept.size) std.mem.swap(stage.Dim, wide, &r.inner_kept);
    };
}

/// The kept dimensions are the outermost and the innermost one, and all lies one behind the other.
fn inGroups(r: *const Reduction) bool {
    const width = r.inner_kept.size;
    return r.reduced.n == 0 and r.inner_kept.stride == 1 and r.inner_reduced.stride == width and
        r.length > 1 and r.kept.n == 1 and r.kept.d[0].stride == r.length * width and
        r.kept.d[0].out == width;
}

/// Along rows or across them. `native`: memory is what the kernel reads; or it is what `narrow` does.
fn chooseWay(r: *Reduction, plain_sum: bool, native: bool, narrow: ?integers.Kernel) plan.Run {
    const lanes: usize = if (r.compute == .f32) 16 else 8;
    if (simd.has_fma and inGroups(r)) {
        const width = r.inner_kept.size;
        if (width == 2 and plain_sum and native and r.compute != .i64) return sums.runPairs;
        r.tile = columns.groupsTogether(lanes, r.length, width);
        r.direct = native;
        if (r.tile > 0) return columns.runGroups;
    }
    const widened = narrow != null and r.compute == .f32;
    const rows_by_stride = r.inner_reduced.stride < r.inner_kept.stride or r.inner_kept.size == 1;
    const run = r.inner_reduced.size;
    const one_block = run <= row_block and (r.reduced.n == 0 or run >= 64);
    r.together = r.kernel.rows != null and one_block and r.results >= 16 and !(widened and run > short);
    // Other short rows are turned, so that vectors go across them.
    const turn = !r.together and r.length <= short and r.inner_kept.size >= 16;
    if (rows_by_stride and !turn and r.length > 1) {
        if (r.together or run >= long_run or r.reduced.n == 0) {
            const other = if (r.together) null else narrow;
            r.direct = (native or other != null) and (r.inner_reduced.stride == 1 or run == 1);
            if (r.direct) r.integers = other;
            if (r.integers != null and r.compute == .i64) r.block = integers.row_block;
            r.blocks_in_run = std.math.divCeil(usize, run, r.block) catch unreachable;
            r.blocks = r.blocks_in_run * (r.length / run);
        } else r.blocks = std.math.divCeil(usize, r.length, row_block) catch unreachable;
        const shares = r.results < 64 and r.length * r.results >= 2 * work_size and r.blocks > 1;
        return if (shares) rows.runRowsInBlocks else rows.runRows;
    }
    // Joining results takes longer than reading another row, but for narrow integers.
    r.fold = foldOf(r, if (native or widened) 64 else if (narrow != null) max_tile else one_tile);
    if (narrow) |*k| {
        if (integers.tileOf(k, r.inner_kept.size * r.fold) == null) r.fold = foldOf(r, one_tile);
    }
    const height = r.length / r.fold;
    r.inner_kept.size *= r.fold;
    if (r.fold > 1) r.inner_reduced = .{ .size = height, .stride = r.inner_kept.size };
    const tile: ?usize = if (narrow) |*k| integers.tileOf(k, r.inner_kept.size) else if (native) max_tile else null;
    r.direct = tile != null and r.inner_kept.stride == 1 and r.inner_kept.size >= lanes;
    if (r.direct) r.integers = narrow;
    const most: usize = @min(height, column_block);
    // The buffer has room for a block of 8 bytes an element.
    const room: usize = if (r.compute == .f32) 2 * row_block else row_block;
    r.tile = if (r.direct) tile.? else @min(max_tile, room / most / 16 * 16);
    r.blocks = std.math.divCeil(usize, height, super_block) catch unreachable;
    return if (r.blocks > 1) columns.runColumnsInBlocks else columns.runColumns;
}

/// How many rows of few columns, one run of memory, to take for a row; it divides their number.
fn foldOf(r: *const Reduction, widest: usize) usize {
    const width = r.inner_kept.size;
    const run = r.reduced.n == 0 and r.inner_kept.stride == 1 and
        r.inner_reduced.stride == width;
    if (!run or width >= 64 or r.length < 64) return 1;
    var fold = @max(1, widest / width);
    while (r.length % fold != 0) fold -= 1;
    return fold;
}
fn isReduced(dims: []const i64, d: usize) bool {
    for (dims) |x| if (x == @as(i64, @intCast(d))) return true;
    return false;
}
fn ofElement(x: DType) Compute {
    return switch (x) {
        .float64 => .f64,
        .float16, .bfloat16, .float32 => .f32,
        else => .i64,
    };
}
fn ofFloat(x: DType, out: DType) Compute {
    return if (out == .float64 or ofElement(x) != .f32) .f64 else .f32;
}
fn choose(compute: Compute, op: kernels.Op) Kernel {
    switch (compute) {
        inline else => |c| switch (op) {
            inline else => |o| {
                const T = switch (c) {
                    .f32 => f32,
                    .f64 => f64,
                    .i64 => i64,
                };
                const integer = switch (o) {
                    .sum, .prod, .max, .min, .argmax, .argmin => true,
                    else => false,
                };
                if (T == i64 and !integer) unreachable;
                if (T == f64 and (o == .sum_of_magnitudes or (o == .sum_of_numbers and !simd.has_fma))) unreachable;
                return comptime kernels.kernel(T, o);
            },
        },
    }
}

test {
    _ = @import("reduce_test.zig");
}
