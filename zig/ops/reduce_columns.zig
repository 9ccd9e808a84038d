//! Reductions across rows: neighbouring results, computed together by vectors that go across
//! them, in tiles of columns and blocks of rows.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const kernels = @import("reduce_kernels.zig");
const reduction = @import("reduction.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Cell = kernels.Cell;
const Reduction = reduction.Reduction;
const Buffer = reduction.Buffer;
const Job = reduction.Job;
const load = reduction.load;
const row_block = kernels.row_block;
const applyMap = reduction.applyMap;
const finish = reduction.finish;
const planes = kernels.planes;
const mergePairs = @import("reduce_rows.zig").mergePairs;
const max_tile = kernels.max_tile;
const column_block = kernels.column_block;
const super_block = reduction.super_block;
const work_size = reduction.work_size;

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
        if (r.integers) |*k| {
            k.column.?(k, x, offsets[0..n], t.width, into);
        } else if (r.direct) {
            r.kernel.column(x, offsets[0..n], t.width, @intCast(first), into);
        } else {
            if (r.map != .none) applyMap(r, &buffer, n * r.tile);
            r.kernel.column(&buffer.bytes, offsets[0..n], t.width, @intCast(first), into);
        }
        if (first != begin) r.kernel.merge(out, into, max_tile, t.width);
        first += n;
    }
}

/// The results of rows that were taken together, joined; how many there are.
fn unfold(r: *const Reduction, results: [*]Cell, width: usize) usize {
    const n = width / r.fold;
    // Rows of the tile are several of the tensor's.
    if (r.arg and r.fold > 1) for (results[max_tile..][0..width], 0..) |*index, c| {
        index.i = index.i * @as(i64, @intCast(r.fold)) + @as(i64, @intCast(c / n));
    };
    var left = r.fold;
    while (left > 1) {
        // The upper half onto the lower one; of an odd number the last first.
        const half = if (left % 2 == 0) left / 2 else 1;
        left -= half;
        r.kernel.merge(results, results + left * n, max_tile, half * n);
    }
    return n;
}

pub fn runColumns(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const count = tiles(r) * r.kept.numel();
    const job: Job = .{ .plan = p, .r = r, .call = call };
    const elements = r.length * @min(r.tile, r.inner_kept.size);
    services.parallelFor(count, @max(1, work_size / elements), job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            var results: [planes * max_tile]Cell = undefined;
            for (begin..end) |i| {
                const t = tileAt(j.r, i);
                const height = j.r.length / j.r.fold;
                columnRows(j.plan, j.r, j.call.ptr[j.r.outputs].?, t, 0, height, &results);
                const width = unfold(j.r, &results, t.width);
                finish(j.plan, j.r, j.call, &results, width, t.out, j.r.inner_kept.out);
            }
        }
    }.piece);
}

/// Groups of a few rows of a few columns, all one behind the other: a group after the other, and
/// the results of many written together.
pub fn runGroups(p: *const Plan, call: *Call) void {
    const r = p.stateAs(Reduction);
    const job: Job = .{ .plan = p, .r = r, .call = call };
    const batches = std.math.divCeil(usize, r.kept.numel(), r.tile) catch unreachable;
    const elements = r.tile * r.length * r.inner_kept.size;
    services.parallelFor(batches, @max(1, work_size / elements), job, struct {
        fn piece(j: *const Job, begin: usize, end: usize) void {
            const s = j.r;
            const width = s.inner_kept.size;
            const size = s.length * width;
            const all = s.kept.numel();
            var offsets: [column_block]usize = undefined;
            for (offsets[0..s.length], 0..) |*o, k| o.* = k * width;
            var buffer: Buffer = undefined;
            var results: [planes * max_tile]Cell = undefined;
            for (begin..end) |b| {
                const first = b * s.tile;
                const n = @min(s.tile, all - first);
                var from: [*]const u8 = j.call.ptr[s.outputs].? + first * size * s.in_size;
                // What lies behind the last group may not be read.
                if (!s.direct or first + n == all) {
                    load(s, j.plan.inputs()[0].dtype, from, 1, 0, n * size, 1, &buffer, 0, 0);
                    if (s.map != .none) applyMap(s, &buffer, n * size);
                    from = &buffer.bytes;
                }
                for (0..n) |g| {
                    const group = from + g * size * s.compute.size();
                    s.kernel.column(group, offsets[0..s.length], width, 0, results[g * width ..].ptr);
                }
                finish(j.plan, s, j.call, &results, n * width, first * width, 1);
            }
        }
    }.piece);
}

/// How many groups of these extents `runGroups` takes together; 0: they are not for it.
pub fn groupsTogether(lanes: usize, length: usize, width: usize) usize {
    if (length > column_block or width < 4 or width >= 64) return 0;
    return @min((row_block - lanes) / (length * width), (max_tile - lanes) / width);
}

pub fn runColumnsInBlocks(p: *const Plan, call: *Call) void {
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
                const last: usize = @min(first + super_block, j.r.length / j.r.fold);
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
                mergePairs(&j.r.kernel, mine, j.r.blocks, size, t.width);
                const width = unfold(j.r, mine, t.width);
                finish(j.plan, j.r, j.call, mine, width, t.out, j.r.inner_kept.out);
            }
        }
    }.piece);
}
