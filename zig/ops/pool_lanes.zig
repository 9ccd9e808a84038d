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
        .max_pool, .avg_pool, .adaptive_max_pool => {},
        else => return false,
    }
    const in = job.row.large();
    return simd.has_fma and job.p.operands[in].dtype == .float32 and s.contiguous >> @intCast(in) & 1 != 0 and
        s.out[2] < 16 and product(s.in) <= largest and product(s.out) <= largest;
}

/// Positions of the plane along one dimension that an output sees.
const Window = struct {
    first: usize,
    count: usize,
    step: usize,

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
        return .{ .first = first, .count = @min(s.kernel[k] -| skipped, room), .step = step };
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
    const from: [*]const f32 = @ptrCast(@alignCast(job.call.ptr[job.row.large()].?));
    const to: [*]f32 = @ptrCast(@alignCast(job.call.ptr[0].?));
    var number = begin;
    while (number < end) : (number += L) {
        const count = @min(L, end - number);
        plane_lanes.load(from + number * in, in, count, x);
        compute(job, x, values, indices);
        plane_lanes.store(f32, to, number, count, end, out, values);
        if (job.row == .avg_pool) continue;
        if (job.call.ptr[1]) |p| plane_lanes.store(i64, @ptrCast(@alignCast(p)), number, count, end, out, @ptrCast(indices));
    }
}

fn compute(job: *const P.Job, x: [*]const V, values: [*]V, indices: [*]I) void {
    const s = job.s;
    const average = job.row == .avg_pool;
    var at: usize = 0;
    for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| for (0..s.out[2]) |o2| {
        var w: [3]Window = undefined;
        for (&w, [3]usize{ o0, o1, o2 }, 0..) |*window, o, k| window.* = .of(s, job.row, k, o);
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
            var by: f32 = @floatFromInt(s.divisor);
            if (s.divisor == 0) by = @floatFromInt(@max(1, Average.windowCount(s, 0, o0) * Average.windowCount(s, 1, o1) * Average.windowCount(s, 2, o2)));
            best = sum / @as(V, @splat(by));
        }
        values[at] = best;
        indices[at] = which;
        at += 1;
    };
}
