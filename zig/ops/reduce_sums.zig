//! Sums with ways of their own: of float16 and bfloat16, widened as they are read, and of pairs
//! (complex numbers), whose two sums lie in alternate lanes. Small CPUs go without.
const std = @import("std");
const simd = @import("../simd.zig");
const dt = @import("../dtype.zig");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const kernels = @import("reduce_kernels.zig");
const reduction = @import("reduction.zig");
const integers = @import("reduce_integers.zig");
const DType = dt.DType;
const Cell = kernels.Cell;
const max_tile = kernels.max_tile;

const lanes = 16;
const V = @Vector(lanes, f32);

/// What reads elements of these dtypes where they lie.
pub fn halves(dtype: DType) ?integers.Kernel {
    if (!simd.has_fma or simd.vector_bytes != 4 * lanes) return null;
    return switch (dtype) {
        inline .float16, .bfloat16 => |d| .{
            .order = .{ .flip = 0, .keep = 0 },
            .size = 2,
            .row = Halves(d).row,
            .column = Halves(d).column,
        },
        else => null,
    };
}

fn Halves(comptime d: DType) type {
    return struct {
        inline fn widened(bits: @Vector(lanes, u16)) V {
            if (d == .bfloat16) return dt.widenBF16(lanes, bits);
            return @floatCast(@as(@Vector(lanes, f16), @bitCast(bits)));
        }

        fn row(_: *const integers.Kernel, x: [*]const u8, n: usize) Cell {
            const p: [*]const u16 = @ptrCast(@alignCast(x));
            var acc: [4]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) {
                inline for (&acc, 0..) |*a, j| {
                    if (j % 2 == 0) simd.askAhead(p + i + j * lanes, 2048);
                    a.* += widened(p[i + j * lanes ..][0..lanes].*);
                }
            }
            while (i + lanes <= n) : (i += lanes) acc[0] += widened(p[i..][0..lanes].*);
            var total = simd.reduceAdd((acc[0] + acc[1]) + (acc[2] + acc[3]));
            while (i < n) : (i += 1) total += widened(@splat(p[i]))[0];
            return .{ .f = total };
        }

        fn column(_: *const integers.Kernel, x: [*]const u8, offsets: []const usize, width: usize, out: [*]Cell) void {
            const p: [*]const u16 = @ptrCast(@alignCast(x));
            var room: [max_tile / lanes]V = @splat(@splat(0));
            const acc = room[0 .. (width + lanes - 1) / lanes];
            var r: usize = 0;
            while (r < offsets.len) {
                const left = offsets.len - r;
                for (acc, 0..) |*a, i| {
                    const q = p + @min(i * lanes, width - lanes);
                    a.* += widened((q + offsets[r])[0..lanes].*);
                    if (left < 4) continue;
                    inline for (1..4) |k| a.* += widened((q + offsets[r + k])[0..lanes].*);
                }
                r += if (left < 4) 1 else 4;
            }
            for (acc, 0..) |a, i| {
                @as([*]f64, @ptrCast(out + @min(i * lanes, width - lanes)))[0..lanes].* = a;
            }
        }
    };
}

/// Sums of many contiguous rows of pairs, of float32 or float64.
pub fn runPairs(p: *const plan.Plan, call: *plan.Call) void {
    const r = p.stateAs(reduction.Reduction);
    const job: reduction.Job = .{ .plan = p, .r = r, .call = call };
    const grain = @max(1, reduction.work_size / (2 * r.length));
    if (r.compute == .f32)
        services.parallelFor(r.results / 2, grain, job, Pairs(f32).piece)
    else
        services.parallelFor(r.results / 2, grain, job, Pairs(f64).piece);
}

fn Pairs(comptime T: type) type {
    const n_lanes = simd.lanes(T);
    const W = simd.Vec(T);
    const Half = @Vector(n_lanes / 2, f64);
    const even, const odd = comptime halfMasks(n_lanes);
    return struct {
        fn piece(j: *const reduction.Job, begin: usize, end: usize) void {
            const x = j.call.at(T, j.r.outputs);
            const length = 2 * j.r.length;
            var results: [kernels.planes * max_tile]Cell = undefined;
            var i = begin;
            while (i < end) {
                const n: usize = @min(end - i, max_tile / 2);
                for (0..n) |k| {
                    const row = x + (i + k) * length;
                    var total: [2]f64 = @splat(0);
                    var first: usize = 0;
                    while (first < length) : (first += kernels.row_block)
                        sum(row + first, @min(length - first, kernels.row_block), &total);
                    results[2 * k] = .{ .f = total[0] };
                    results[2 * k + 1] = .{ .f = total[1] };
                }
                reduction.finish(j.plan, j.r, j.call, &results, 2 * n, 2 * i, 1);
                i += n;
            }
        }

        fn sum(p: [*]const T, n: usize, total: *[2]f64) void {
            var acc: [4]W = @splat(@splat(0));
            var i: usize = 0;
            while (i + 4 * n_lanes <= n) : (i += 4 * n_lanes) {
                inline for (&acc, 0..) |*a, j| a.* += simd.load(T, p + i + j * n_lanes);
            }
            while (i < n) : (i += n_lanes) {
                const left = n - i;
                acc[0] += if (left >= n_lanes) simd.load(T, p + i) else simd.loadPart(T, p + i, left, 0);
            }
            const all = (acc[0] + acc[1]) + (acc[2] + acc[3]);
            total[0] += simd.reduceAdd(@as(Half, @shuffle(T, all, undefined, even)));
            total[1] += simd.reduceAdd(@as(Half, @shuffle(T, all, undefined, odd)));
        }
    };
}

fn halfMasks(comptime n: comptime_int) [2]@Vector(n / 2, i32) {
    var masks: [2][n / 2]i32 = undefined;
    for (0..n / 2) |i| {
        masks[0][i] = 2 * i;
        masks[1][i] = 2 * i + 1;
    }
    return .{ masks[0], masks[1] };
}
