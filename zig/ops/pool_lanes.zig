//! Pooling of small planes of float32, whose rows fill no vector: eight planes at a time, an element of each in a
//! vector. Sums and choices take the elements of a window in the order that pool.zig does.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const plane_lanes = @import("plane_lanes.zig");
const pool = @import("pool.zig");
const State = pool.State;
const product = pool.product;
const P = pool.Pool(f32);
const Average = @import("pool_average.zig").Average(f32);
const span = @import("pool_adaptive.zig").span;

/// Planes together.
const L = plane_lanes.L;
const V = plane_lanes.V;
const I = plane_lanes.I;
const largest = 1024;

/// Whether a job is done here: a matter of its layouts.
pub fn fits(job: *const P.Job) bool {
    const s = job.s;
    switch (job.row) {
        .max_pool, .avg_pool, .avg_pool_backward, .adaptive_max_pool => {},
        else => return false,
    }
    const in = read(job.row);
    return simd.has_fma and job.p.operands[in].dtype == .float32 and s.contiguous >> @intCast(in) & 1 != 0 and
        s.out[2] < 16 and product(s.in) <= largest and product(s.out) <= largest;
}

/// The operand whose elements are read.
fn read(row: pool.Row) usize {
    return if (row == .avg_pool_backward) 1 else row.large();
}

/// Positions of the plane along one dimension that an output sees.
const Window = struct {
    first: usize,
    count: usize,
    step: usize,
    /// What of it an average counts.
    counted: usize = 1,

    fn of(s: *const State, row: pool.Row, k: usize, o: usize) Window {
        if (row == .adaptive_max_pool) {
            const a = span(s, k, o);
            return .{ .first = a.start, .count = a.stop - a.start, .step = 1 };
        }
        const step = s.dilation[k];
        const before = s.padding[k] -| o * s.stride[k];
        const skipped = (before + step - 1) / step;
        const first = o * s.stride[k] + skipped * step - s.padding[k];
        const room = if (first < s.in[k]) (s.in[k] - first + step - 1) / step else 0;
        return .{
            .first = first,
            .count = @min(s.kernel[k] -| skipped, room),
            .step = step,
            .counted = if (row == .adaptive_max_pool) 1 else Average.windowCount(s, k, o),
        };
    }
};

pub fn planes(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
    const s = job.s;
    const in, const out = .{ product(s.in), product(s.out) };
    const rows = @max(out, L);
    const memory = try P.alloc(V, @max(in, L) + 2 * rows);
    defer services.free(@ptrCast(memory.ptr));
    const x = memory.ptr;
    const values = x + @max(in, L);
    const indices: [*]I = @ptrCast(values + rows);
    const from: [*]const f32 = @ptrCast(@alignCast(job.call.ptr[read(job.row)].?));
    const to: [*]f32 = @ptrCast(@alignCast(job.call.ptr[0].?));
    const windows = try P.alloc(Window, s.out[0] + s.out[1] + s.out[2]);
    defer services.free(@ptrCast(windows.ptr));
    var at: usize = 0;
    for (s.out, 0..) |n, k| for (0..n) |o| {
        windows[at] = .of(s, job.row, k, o);
        at += 1;
    };
    var number = begin;
    while (number < end) : (number += L) {
        const count = @min(L, end - number);
        if (job.row == .avg_pool_backward) {
            plane_lanes.load(from + number * out, out, count, values);
            @memset(x[0..@max(in, L)], @splat(0));
            addShares(s, windows.ptr, values, x);
            plane_lanes.store(f32, to, number, count, end, in, x);
            continue;
        }
        plane_lanes.load(from + number * in, in, count, x);
        compute(job, windows.ptr, x, values, indices);
        plane_lanes.store(f32, to, number, count, end, out, values);
        if (job.row == .avg_pool) continue;
        if (job.call.ptr[1]) |p| plane_lanes.store(i64, @ptrCast(@alignCast(p)), number, count, end, out, @ptrCast(indices));
    }
}

fn divisor(s: *const State, w: [3]*const Window) V {
    const counted = @max(1, w[0].counted * w[1].counted * w[2].counted);
    const by: f32 = @floatFromInt(if (s.divisor == 0) @as(i64, @intCast(counted)) else s.divisor);
    return @splat(by);
}

/// x += each output's share, in its window. In the order of Average.backward: the last output of a row first.
fn addShares(s: *const State, windows: [*]const Window, values: [*]const V, x: [*]V) void {
    const columns = windows + s.out[0] + s.out[1];
    for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| {
        const row = (o0 * s.out[1] + o1) * s.out[2];
        var o2 = s.out[2];
        while (o2 > 0) {
            o2 -= 1;
            const w = [3]*const Window{ &windows[o0], &windows[s.out[0] + o1], &columns[o2] };
            const share = values[row + o2] / divisor(s, w);
            for (0..w[0].count) |k0| for (0..w[1].count) |k1| {
                const place = ((w[0].first + k0) * s.in[1] + w[1].first + k1) * s.in[2] + w[2].first;
                for (x[place..][0..w[2].count]) |*to| to.* += share;
            };
        }
    };
}

fn compute(job: *const P.Job, windows: [*]const Window, x: [*]const V, values: [*]V, indices: [*]I) void {
    const s = job.s;
    const average = job.row == .avg_pool;
    var at: usize = 0;
    for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| for (0..s.out[2]) |o2| {
        const w = [3]*const Window{ &windows[o0], &windows[s.out[0] + o1], &windows[s.out[0] + s.out[1] + o2] };
        const first = (w[0].first * s.in[1] + w[1].first) * s.in[2] + w[2].first;
        var sum: V = @splat(0);
        var best: V = @splat(P.lowest);
        var which: I = @splat(@intCast(first));
        for (0..w[0].count) |k0| for (0..w[1].count) |k1| {
            var place = first + (k0 * w[0].step * s.in[1] + k1 * w[1].step) * s.in[2];
            for (0..w[2].count) |_| {
                const v = x[place];
                if (average) {
                    sum += v;
                } else {
                    const wins = (v > best) | (v != v);
                    best = @select(f32, wins, v, best);
                    which = @select(i32, wins, @as(I, @splat(@intCast(place))), which);
                }
                place += w[2].step;
            }
        };
        if (average) {
            best = sum / divisor(s, w);
        }
        values[at] = best;
        indices[at] = which;
        at += 1;
    };
}
