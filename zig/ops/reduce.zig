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
const services = @import("../services.zig");
const math = @import("../math.zig");
const kernels = @import("reduce_kernels.zig");
const stage = @import("reduce_stage.zig");
const DType = @import("../dtype.zig").DType;
const Plan = plan.Plan;
const Call = plan.Call;
const Cell = kernels.Cell;
const State = kernels.State;
const Kernel = kernels.Kernel;
const planes = kernels.planes;
const max_tile = kernels.max_tile;
const row_block = kernels.row_block;
const column_block = kernels.column_block;

pub const family: plan.Family = .{ .prepare = prepare };

/// What happens to an element before the kernel sees it.
const Map = enum { none, magnitude, magnitude_to_p, is_nonzero, nan_to_zero };

/// What makes the result from the total.
const Finish = enum {
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

const Row = struct {
    name: []const u8,
    op: kernels.Op,
    map: Map = .none,
    finish: Finish = .none,
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
    .{ .name = "nansum", .op = .sum, .map = .nan_to_zero },
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

const Compute = enum { f32, f64, i64 };

/// What `prepare` finds out.
const Reduction = struct {
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
    /// Columns: how many go into one tile. Rows: blocks a result is cut into.
    tile: usize,
    blocks: usize,
    /// Rows: blocks in one run of the innermost reduced dimension; 0: runs are so short that
    /// several are packed into a block.
    blocks_in_run: usize,
};

/// Runs at least this long are cut into blocks by themselves.
const long_run = 512;
/// Blocks of rows of a column tile that one work item takes.
const super_block = 4 * column_block;
/// Elements that a work item should have.
const work_size = 1 << 15;

fn prepare(p: *Plan) plan.PrepareError!void {
    const x = p.inputs()[0];
    const out = p.operands[0];
    const row = table[p.op];
    const op = row.op;
    const arg = op == .argmax or op == .argmin;

    const compute: Compute = switch (op) {
        .max, .min, .argmax, .argmin => if (row.map == .none)
            ofElement(x.dtype)
        else
            ofFloat(x.dtype, out.dtype),
        .sum, .prod => switch (row.finish) {
            .any, .all, .count => ofElement(x.dtype),
            else => if (out.dtype.isFloat()) ofFloat(x.dtype, out.dtype) else .i64,
        },
        else => ofFloat(x.dtype, out.dtype),
    };
    const r = try p.create(Reduction);
    r.* = .{
        .kernel = choose(compute, op),
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
        .tile = 0,
        .blocks = 0,
        .blocks_in_run = 0,
    };
    var out_stride: usize = 1;
    for (0..x.ndim()) |back| {
        const d = x.ndim() - 1 - back;
        const size: usize = @intCast(x.shape[d]);
        const stride: usize = @intCast(x.strides[d]);
        if (isReduced(p.ints, d)) {
            r.length *= size;
            try r.reduced.append(.{ .size = size, .stride = stride });
        } else {
            r.results *= size;
            try r.kept.append(.{ .size = size, .stride = stride, .out = out_stride });
            out_stride *= size;
        }
    }
    p.run = runEmpty;
    if (r.results == 0 or r.length == 0) return;
    for ([_]*stage.Dims{ &r.kept, &r.reduced }) |dims|
        std.mem.reverse(stage.Dim, dims.d[0..dims.n]);
    // An index counts in the order of the dimensions; to any other result the order in
    // memory is as good.
    if (!arg) r.reduced.sort();
    r.kept.sort();
    r.reduced.coalesce();
    r.kept.coalesce();
    r.inner_kept = r.kept.pop();
    r.inner_reduced = r.reduced.pop();

    const native = r.map == .none and x.dtype == switch (compute) {
        .f32 => DType.float32,
        .f64 => .float64,
        .i64 => .int64,
    };
    const lanes: usize = if (compute == .f32) 16 else 8;
    const rows_by_stride = r.inner_reduced.stride < r.inner_kept.stride or r.inner_kept.size == 1;
    // Short rows are turned, so that vectors go across them.
    const turn = r.length <= 64 and r.inner_kept.size >= 16;
    if (rows_by_stride and !turn and r.length > 1) {
        const run = r.inner_reduced.size;
        if (run >= long_run or r.reduced.n == 0) {
            r.blocks_in_run = std.math.divCeil(usize, run, row_block) catch unreachable;
            r.blocks = r.blocks_in_run * (r.length / run);
        } else r.blocks = std.math.divCeil(usize, r.length, row_block) catch unreachable;
        r.direct = native and r.blocks_in_run > 0 and (r.inner_reduced.stride == 1 or run == 1);
        p.run = if (r.results < 64 and r.length * r.results >= 2 * work_size and r.blocks > 1)
            runRowsInBlocks
        else
            runRows;
    } else {
        r.direct = native and r.inner_kept.stride == 1 and r.inner_kept.size >= lanes;
        const rows: usize = @min(r.length, column_block);
        r.tile = if (r.direct) max_tile else @min(max_tile, row_block / rows / 16 * 16);
        r.blocks = std.math.divCeil(usize, r.length, super_block) catch unreachable;
        p.run = if (r.blocks > 1) runColumnsInBlocks else runColumns;
    }
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
                return comptime kernels.kernel(T, o);
            },
        },
    }
}

// --- Reading ------------------------------------------------------------------------------

/// Room for one block, converted.
const Buffer = struct { bytes: [row_block * 8]u8 align(64) };

fn load(
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
fn applyMap(r: *const Reduction, buffer: *Buffer, n: usize) void {
    switch (r.compute) {
        inline else => |c| {
            const T = switch (c) {
                .f32 => f32,
                .f64 => f64,
                .i64 => i64,
            };
            const lanes = 64 / @sizeOf(T);
            const V = @Vector(lanes, T);
            const zero: V = @splat(0);
            const x: [*]T = @ptrCast(&buffer.bytes);
            var i: usize = 0;
            // Past n as well, up to the vector: the buffer is a multiple of it.
            while (i < n) : (i += lanes) {
                const v: V = x[i..][0..lanes].*;
                x[i..][0..lanes].* = switch (r.map) {
                    .none => v,
                    .is_nonzero => @select(T, v != zero, @as(V, @splat(1)), zero),
                    .nan_to_zero => @select(T, v == v, v, zero),
                    .magnitude => if (T == i64) unreachable else @abs(v),
                    .magnitude_to_p => if (T == i64) unreachable else math.pow(
                        V,
                        @abs(v),
                        @splat(@floatCast(r.parameter)),
                    ),
                };
            }
        },
    }
}

/// The partial result of block `block` of the row that begins at `x`.
fn rowBlock(
    p: *const Plan,
    r: *const Reduction,
    x: [*]const u8,
    block: usize,
    buffer: *Buffer,
    out: *State,
) void {
    const dtype = p.inputs()[0].dtype;
    const run = r.inner_reduced.size;
    const stride = r.inner_reduced.stride;
    var first = block * row_block;
    var n: usize = @min(row_block, r.length - @min(r.length, first));
    if (r.blocks_in_run > 0) {
        const number = block / r.blocks_in_run;
        const begin = block % r.blocks_in_run * row_block;
        first = number * run + begin;
        n = @min(row_block, run - begin);
        const src = x + (r.reduced.at(number).in + begin * stride) * r.in_size;
        if (r.direct) return r.kernel.row(src, n, @intCast(first), out);
        load(r, dtype, src, 1, 0, n, stride, buffer, 0, 0);
    } else {
        var done: usize = 0;
        while (done < n) {
            const number = (first + done) / run;
            const begin = (first + done) % run;
            const src = x + (r.reduced.at(number).in + begin * stride) * r.in_size;
            // Whole runs go together as far as their dimension reaches.
            const outer: stage.Dim = r.reduced.d[r.reduced.n - 1];
            const left = outer.size - number % outer.size;
            const together: usize = if (begin == 0) @min((n - done) / run, left) else 0;
            if (together > 0) {
                load(r, dtype, src, together, outer.stride, run, stride, buffer, done, run);
                done += together * run;
            } else {
                const m: usize = @min(n - done, run - begin);
                load(r, dtype, src, 1, 0, m, stride, buffer, done, 0);
                done += m;
            }
        }
    }
    if (r.map != .none) applyMap(r, buffer, n);
    r.kernel.row(&buffer.bytes, n, @intCast(first), out);
}

/// Partial results that are merged as a tree: pairs, pairs of pairs ... in their order.
const Cascade = struct {
    level: [48]State = undefined,
    count: usize = 0,

    fn push(c: *Cascade, k: *const Kernel, x: *const State) void {
        var depth = @ctz(~c.count);
        c.count += 1;
        // The levels below `depth` are full: they lie before x.
        var sum = x.*;
        const target = depth;
        depth = 0;
        while (depth < target) : (depth += 1) {
            var left = c.level[depth];
            k.merge(&left, &sum, 1, 1);
            sum = left;
        }
        c.level[target] = sum;
    }
    fn total(c: *Cascade, k: *const Kernel) State {
        var depth = @ctz(c.count);
        var sum = c.level[depth];
        depth += 1;
        while (c.count >> @intCast(depth) != 0) : (depth += 1) {
            if (c.count >> @intCast(depth) & 1 == 0) continue;
            var left = c.level[depth];
            k.merge(&left, &sum, 1, 1);
            sum = left;
        }
        return sum;
    }
};

// --- Rows: a result is one row, or many runs ------------------------------------------------

const Job = struct {
    plan: *const Plan,
    r: *const Reduction,
    call: *Call,
    partial: [*]Cell = undefined,
};

fn runRows(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const job: Job = .{ .plan = p, .r = r, .call = call };
    services.parallelFor(r.results, @max(1, work_size / r.length), job, rowsPiece);
}

fn rowsPiece(job: *const Job, begin: usize, end: usize) void {
    const r = job.r;
    const x = job.call.ptr[r.outputs].?;
    var buffer: Buffer = undefined;
    var results: [planes * max_tile]Cell = undefined;
    // Results that follow one another in the output are written together.
    const inner = r.inner_kept;
    var i = begin;
    while (i < end) {
        const column = i % inner.size;
        const n: usize = @min(end - i, inner.size - column, 64);
        const o = r.kept.at(i / inner.size);
        for (0..n) |k| {
            const at = x + (o.in + (column + k) * inner.stride) * r.in_size;
            var state: State = undefined;
            if (r.blocks == 1) {
                rowBlock(job.plan, r, at, 0, &buffer, &state);
            } else {
                var cascade: Cascade = .{};
                for (0..r.blocks) |b| {
                    rowBlock(job.plan, r, at, b, &buffer, &state);
                    cascade.push(&r.kernel, &state);
                }
                state = cascade.total(&r.kernel);
            }
            inline for (0..planes) |q| results[q * max_tile + k] = state[q];
        }
        finish(job.plan, r, job.call, &results, n, o.out + column * inner.out, inner.out);
        i += n;
    }
}

fn runRowsInBlocks(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const partial = services.allocSlice(State, r.results * r.blocks) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(partial.ptr));
    const job: Job = .{ .plan = p, .r = r, .call = call, .partial = @ptrCast(partial.ptr) };
    const block: usize = @max(1, r.length / r.blocks);
    services.parallelFor(r.results * r.blocks, @max(1, work_size / block), job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            const x = j.call.ptr[j.r.outputs].?;
            var buffer: Buffer = undefined;
            for (begin..end) |i| {
                const result = i / j.r.blocks;
                const at = j.r.kept.at(result / j.r.inner_kept.size).in +
                    result % j.r.inner_kept.size * j.r.inner_kept.stride;
                const out: *State = @ptrCast(j.partial + i * planes);
                rowBlock(j.plan, j.r, x + at * j.r.in_size, i % j.r.blocks, &buffer, out);
            }
        }
    }.piece);
    for (0..r.results) |i| {
        var cascade: Cascade = .{};
        for (partial[i * r.blocks ..][0..r.blocks]) |*state| cascade.push(&r.kernel, state);
        const state = cascade.total(&r.kernel);
        var results: [planes * max_tile]Cell = undefined;
        inline for (0..planes) |q| results[q * max_tile] = state[q];
        const o = r.kept.at(i / r.inner_kept.size);
        finish(p, r, call, &results, 1, o.out + i % r.inner_kept.size * r.inner_kept.out, 1);
    }
}

// --- Columns: neighbouring results, vectors across them -------------------------------------

const Tile = struct { in: usize, out: usize, width: usize };

fn tiles(r: *const Reduction) usize {
    return std.math.divCeil(usize, r.inner_kept.size, r.tile) catch unreachable;
}
fn tileAt(r: *const Reduction, number: usize) Tile {
    const across = tiles(r);
    const o = r.kept.at(number / across);
    const column = number % across * r.tile;
    return .{
        .in = o.in + column * r.inner_kept.stride,
        .out = o.out + column * r.inner_kept.out,
        .width = @min(r.tile, r.inner_kept.size - column),
    };
}

/// Rows [begin, end) of one tile.
fn columnRows(
    p: *const Plan,
    r: *const Reduction,
    x: [*]const u8,
    t: Tile,
    begin: usize,
    end: usize,
    out: [*]Cell,
) void {
    const dtype = p.inputs()[0].dtype;
    var buffer: Buffer = undefined;
    var offsets: [column_block]usize = undefined;
    var more: [planes * max_tile]Cell = undefined;
    const run = r.inner_reduced;
    var first = begin;
    while (first < end) {
        const n: usize = @min(column_block, end - first);
        const into = if (first == begin) out else &more;
        var done: usize = 0;
        // The rows of one run together.
        while (done < n) {
            const at = (first + done) % run.size;
            const m: usize = @min(n - done, run.size - at);
            const start = t.in + r.reduced.at((first + done) / run.size).in + at * run.stride;
            if (r.direct) {
                for (0..m) |k| offsets[done + k] = start + k * run.stride;
            } else {
                const src = x + start * r.in_size;
                load(
                    r,
                    dtype,
                    src,
                    m,
                    run.stride,
                    t.width,
                    r.inner_kept.stride,
                    &buffer,
                    done * r.tile,
                    r.tile,
                );
                for (0..m) |k| offsets[done + k] = (done + k) * r.tile;
            }
            done += m;
        }
        if (r.direct) {
            r.kernel.column(x, offsets[0..n], t.width, @intCast(first), into);
        } else {
            if (r.map != .none) applyMap(r, &buffer, n * r.tile);
            r.kernel.column(&buffer.bytes, offsets[0..n], t.width, @intCast(first), into);
        }
        if (first != begin) r.kernel.merge(out, into, max_tile, t.width);
        first += n;
    }
}

fn runColumns(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const count = tiles(r) * r.kept.numel();
    const job: Job = .{ .plan = p, .r = r, .call = call };
    const elements = r.length * @min(r.tile, r.inner_kept.size);
    services.parallelFor(count, @max(1, work_size / elements), job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            var results: [planes * max_tile]Cell = undefined;
            for (begin..end) |i| {
                const t = tileAt(j.r, i);
                columnRows(j.plan, j.r, j.call.ptr[j.r.outputs].?, t, 0, j.r.length, &results);
                finish(j.plan, j.r, j.call, &results, t.width, t.out, j.r.inner_kept.out);
            }
        }
    }.piece);
}

fn runColumnsInBlocks(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const count = tiles(r) * r.kept.numel();
    const size = planes * max_tile;
    const partial = services.allocSlice(Cell, count * r.blocks * size) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(partial.ptr));
    const job: Job = .{ .plan = p, .r = r, .call = call, .partial = partial.ptr };
    const elements = super_block * @min(r.tile, r.inner_kept.size);
    services.parallelFor(count * r.blocks, @max(1, work_size / elements), job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            for (begin..end) |i| {
                const t = tileAt(j.r, i / j.r.blocks);
                const first = i % j.r.blocks * super_block;
                const last: usize = @min(first + super_block, j.r.length);
                columnRows(
                    j.plan,
                    j.r,
                    j.call.ptr[j.r.outputs].?,
                    t,
                    first,
                    last,
                    j.partial + i * size,
                );
            }
        }
    }.piece);
    services.parallelFor(count, 16, job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            for (begin..end) |i| {
                const t = tileAt(j.r, i);
                const mine = j.partial + i * j.r.blocks * size;
                var step: usize = 1;
                while (step < j.r.blocks) : (step *= 2) {
                    var k: usize = 0;
                    while (k + step < j.r.blocks) : (k += 2 * step)
                        j.r.kernel.merge(
                            mine + k * size,
                            mine + (k + step) * size,
                            max_tile,
                            t.width,
                        );
                }
                finish(j.plan, j.r, j.call, mine, t.width, t.out, j.r.inner_kept.out);
            }
        }
    }.piece);
}

// --- Writing --------------------------------------------------------------------------------

fn runEmpty(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    for (0..r.results) |i| {
        var results: [planes * max_tile]Cell = undefined;
        inline for (0..planes) |q| results[q * max_tile] = r.kernel.identity[q];
        finish(p, r, call, &results, 1, i, 1);
    }
}

/// From the totals of n results to the outputs, which begin at element `at`.
fn finish(
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
        .mean => for (totals[0..n]) |*x| {
            x.f /= length;
        },
        .root => for (totals[0..n]) |*x| {
            x.f = @sqrt(x.f);
        },
        .root_p => for (totals[0..n]) |*x| {
            x.f = math.pow(@Vector(8, f64), @splat(x.f), @splat(1 / r.parameter))[0];
        },
        .variance, .deviation => {
            for (second[0..n]) |*x| {
                x.f /= divisor;
                if (r.finish == .deviation) x.f = @sqrt(x.f);
            }
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
    const row = table[p.op];
    if (row.op == .argmax or row.op == .argmin) {
        if (r.outputs == 2) put(p, r, call, 0, totals, n, at, stride);
        return put(p, r, call, r.outputs - 1, second, n, at, stride);
    }
    put(p, r, call, 0, values, n, at, stride);
    if (r.outputs == 2) put(p, r, call, 1, totals, n, at, stride);
}

fn put(
    p: *const Plan,
    r: *const Reduction,
    call: *Call,
    k: usize,
    x: [*]const Cell,
    n: usize,
    at: usize,
    stride: usize,
) void {
    const dtype = p.operands[k].dtype;
    const dst = call.ptr[k].? + at * dtype.size();
    _ = r;
    if (dtype.isFloat())
        stage.store(f64, dtype, @ptrCast(x), 1, n, dst, stride)
    else
        stage.store(i64, dtype, @ptrCast(x), 1, n, dst, stride);
}

test {
    _ = @import("reduce_test.zig");
}
