//! Reductions along rows: a result is one row of neighbours in memory, or many runs of them,
//! cut into blocks whose partial results are merged as a tree.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const kernels = @import("reduce_kernels.zig");
const stage = @import("reduce_stage.zig");
const reduction = @import("reduction.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Cell = kernels.Cell;
const State = kernels.State;
const Kernel = kernels.Kernel;
const Reduction = reduction.Reduction;
const Buffer = reduction.Buffer;
const Job = reduction.Job;
const load = reduction.load;
const applyMap = reduction.applyMap;
const finish = reduction.finish;
const planes = kernels.planes;
const max_tile = kernels.max_tile;
const row_block = kernels.row_block;
const work_size = reduction.work_size;

pub fn runRows(p: *const Plan, call: *Call) void {
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
        if (r.together) {
            rowsTogether(job.plan, r, x, o.in + column * inner.stride, n, &buffer, &results);
        } else for (0..n) |k| {
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

/// The totals of n results of runs of one block; the first result's begin at element `begin`.
fn rowsTogether(
    p: *const Plan,
    r: *const Reduction,
    x: [*]const u8,
    begin: usize,
    n: usize,
    buffer: *Buffer,
    results: [*]Cell,
) void {
    const width = 16;
    const group = max_tile / width;
    var partial: [planes * max_tile]Cell = undefined;
    const run = r.inner_reduced.size;
    const room = row_block / run;
    const most: usize = if (r.direct) r.kernel.together else @min(r.kernel.together, room);
    var done: usize = 0;
    while (done < n) {
        const m: usize = @min(most, n - done);
        const start = begin + done * r.inner_kept.stride;
        const totals = results + done;
        if (r.reduced.n == 0) {
            runsTogether(p, r, x + start * r.in_size, m, buffer, totals);
        } else for (0..r.blocks) |b| {
            const at = b % group;
            const src = x + (start + r.reduced.at(b).in) * r.in_size;
            runsTogether(p, r, src, m, buffer, partial[at * width ..].ptr);
            if (at + 1 < group and b + 1 < r.blocks) continue;
            mergePairs(&r.kernel, &partial, at + 1, width, m);
            if (b < group) {
                inline for (0..planes) |q| {
                    const plane = q * max_tile;
                    @memcpy(totals[plane..][0..m], partial[plane..][0..m]);
                }
            } else r.kernel.merge(totals, &partial, max_tile, m);
        }
        done += m;
    }
}

/// A run of each of m results.
fn runsTogether(
    p: *const Plan,
    r: *const Reduction,
    src: [*]const u8,
    m: usize,
    buffer: *Buffer,
    out: [*]Cell,
) void {
    const rows = r.kernel.rows.?;
    const kept = r.inner_kept.stride;
    const run = r.inner_reduced;
    if (r.direct) return rows(src, run.size, kept, m, out);
    load(r, p.inputs()[0].dtype, src, m, kept, run.size, run.stride, buffer, 0, run.size);
    if (r.map != .none) applyMap(r, buffer, m * run.size);
    rows(&buffer.bytes, run.size, run.size, m, out);
}

/// The first of `count` partial results of `width` values, `apart` cells apart, becomes that
/// of all: pairs, pairs of pairs ...
pub fn mergePairs(k: *const Kernel, x: [*]Cell, count: usize, apart: usize, width: usize) void {
    var step: usize = 1;
    while (step < count) : (step *= 2) {
        var i: usize = 0;
        while (i + step < count) : (i += 2 * step)
            k.merge(x + i * apart, x + (i + step) * apart, max_tile, width);
    }
}

pub fn runRowsInBlocks(p: *const Plan, call: *Call) void {
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
            var i = begin;
            while (i < end) {
                const result = i / j.r.blocks;
                const at = j.r.kept.at(result / j.r.inner_kept.size).in +
                    result % j.r.inner_kept.size * j.r.inner_kept.stride;
                const src = x + at * j.r.in_size;
                const out: [*]State = @ptrCast(j.partial + i * planes);
                const n = wholeBlocks(j.r, src, i % j.r.blocks, end - i, out);
                if (n == 0) rowBlock(j.plan, j.r, src, i % j.r.blocks, &buffer, &out[0]);
                i += @max(1, n);
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

/// The partial results of whole blocks of one run of memory, at most `most`, that the kernel
/// takes together; how many there were.
fn wholeBlocks(
    r: *const Reduction,
    x: [*]const u8,
    block: usize,
    most: usize,
    out: [*]State,
) usize {
    const rows = r.kernel.rows orelse return 0;
    if (!r.direct or r.integers != null) return 0;
    const begin = block % r.blocks_in_run * row_block;
    const whole = (r.inner_reduced.size - begin) / row_block;
    const n = @min(r.kernel.together, whole, most);
    if (n == 0) return 0;
    var results: [planes * max_tile]Cell = undefined;
    const at = r.reduced.at(block / r.blocks_in_run).in + begin;
    rows(x + at * r.in_size, row_block, row_block, n, &results);
    for (out[0..n], 0..) |*state, k| {
        inline for (0..planes) |q| state[q] = results[q * max_tile + k];
    }
    return n;
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
        const begin = block % r.blocks_in_run * r.block;
        first = number * run + begin;
        n = @min(r.block, run - begin);
        const src = x + (r.reduced.at(number).in + begin * stride) * r.in_size;
        if (r.integers) |*k| {
            out[0] = k.row(k, src, n);
            return;
        }
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
