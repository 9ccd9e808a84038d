//! Weighted picks along the last two dimensions: interpolation, and padding that repeats what is there.
//!
//! `resample`: out (P, OH, OW) = sum over a < KH, b < KW of
//!     wy[i][a] wx[j][b] x[p][y[i][a]][x[j][b]]
//! of x (P, H, W). Further operands: y (OH, KH), x (OW, KW), int64 within range; their weights wy, wx
//! (of the dtype of out), which may be left out where there is one pick: 1. For each row of out the rows of x that it takes
//! are resampled along the row first, and kept while they are needed; so the order is: b, then a.
//! `resample_backward`: its transpose: grad_x (P, H, W) of grad_out (P, OH, OW), with the same four.
//! ints: H, W. float32 and float64, contiguous. The rows of grid_sample.zig, fold.zig and pad_backward.zig are here too.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const join = @import("join.zig");
const grid_sample = @import("grid_sample.zig");
const fold = @import("fold.zig");
const pad_backward = @import("pad_backward.zig");
const plane_lanes = @import("plane_lanes.zig");
const L = plane_lanes.L;
const Plan = plan.Plan;
const Call = plan.Call;

const Op = enum { resample, resample_backward };
pub const names: []const []const u8 = std.meta.fieldNames(Op) ++ std.meta.fieldNames(grid_sample.Op) ++ std.meta.fieldNames(fold.Op) ++
    std.meta.fieldNames(pad_backward.Op);
pub const family: plan.Family = .{ .prepare = prepare };

const first_sample = std.meta.fieldNames(Op).len;
const first_fold = first_sample + std.meta.fieldNames(grid_sample.Op).len;

const max_taps = 4;

fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.op >= first_fold + std.meta.fieldNames(fold.Op).len) return pad_backward.prepare(p);
    if (p.op >= first_fold) return fold.prepare(p, @fromBackingInt(@intCast(p.op - first_fold)));
    if (p.op >= first_sample) return grid_sample.prepare(p, @fromBackingInt(@intCast(p.op - first_sample)));
    if (p.operands.len != 6 or p.operands[2].shape[1] > max_taps or p.operands[3].shape[1] > max_taps) {
        return error.Unsupported;
    }
    for (p.operands[0..4]) |o| if (!o.isContiguous()) return error.Unsupported;
    for (p.operands[2..4], p.operands[4..6]) |at, weight| {
        if (weight.ndim() == 0 and at.shape[1] != 1) return error.Unsupported;
    }
    const forward = p.op == @backingInt(Op.resample);
    p.run = switch (p.operands[0].dtype) {
        .float32 => if (forward) &Planes(f32).forward else &Planes(f32).backward,
        .float64 => if (forward) &Planes(f64).forward else &Planes(f64).backward,
        else => return error.Unsupported,
    };
}

/// One of the two dimensions: `size` positions in x, `count` in out, `taps` picks each.
fn Axis(comptime T: type) type {
    return struct {
        size: usize,
        count: usize,
        taps: usize,
        at: [*]const i64,
        weight: ?[*]const T,
        /// Positions of out, one behind the other, that show such ones of x.
        run: [2]usize = .{ 0, 0 },

        fn init(p: *const Plan, call: *const Call, dim: usize) @This() {
            const table = p.operands[2 + dim];
            var a: @This() = .{
                .size = @intCast(p.ints[dim]),
                .count = @intCast(table.shape[0]),
                .taps = @intCast(table.shape[1]),
                .at = call.at(i64, 2 + dim),
                .weight = if (p.operands[4 + dim].ndim() == 0) null else call.at(T, 4 + dim),
            };
            if (a.weight == null and dim == 1) a.findRun();
            return a;
        }
        /// The longest run; padding has one, with a few positions on both sides.
        fn findRun(a: *@This()) void {
            var begin: usize = 0;
            for (1..a.count + 1) |k| {
                if (k < a.count and a.at[k] == a.at[k - 1] + 1) continue;
                if (k - begin > a.run[1] - a.run[0]) a.run = .{ begin, k };
                begin = k;
            }
        }
        fn source(a: *const @This(), i: usize, tap: usize) usize {
            return @intCast(a.at[i * a.taps + tap]);
        }
        fn share(a: *const @This(), i: usize, tap: usize) T {
            return if (a.weight) |w| w[i * a.taps + tap] else 1;
        }
    };
}

fn Planes(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = @Vector(lanes, T);
    return struct {
        const Self = @This();
        y: Axis(T),
        x: Axis(T),
        image: [*]T,
        result: [*]T,
        call: *Call,

        fn init(p: *const Plan, call: *Call, image: usize, result: usize) Self {
            return .{
                .y = .init(p, call, 0),
                .x = .init(p, call, 1),
                .image = call.at(T, image),
                .result = call.at(T, result),
                .call = call,
            };
        }

        fn forward(p: *const Plan, call: *Call) void {
            const planes = p.operands[0].numel();
            if (planes == 0) return;
            const job: Self = .init(p, call, 1, 0);
            if (T == f32 and job.isSmall()) return services.parallelFor(@intCast(p.operands[0].shape[0]), 1 + (1 << 14) / (job.x.count * job.y.count), job, forwardSmall);
            const rows: usize = @intCast(p.operands[0].shape[0] * p.operands[0].shape[1]);
            services.parallelFor(rows, 1 + (1 << 14) / job.x.count, job, forwardRows);
        }

        /// Small planes, whose rows fill no vectors: a vector takes an element of each of some planes. All rows are
        /// resampled along themselves first, forward; last, backward.
        fn isSmall(j: *const Self) bool {
            return T == f32 and simd.has_fma and j.x.count <= 32 and j.x.weight != null and
                j.x.count * j.y.count <= 1024 and j.x.size * j.y.size <= 1024 and j.x.count * j.y.size <= 1024;
        }
        fn forwardSmall(j: *const Self, begin: usize, end: usize) void {
            j.small(true, begin, end) catch j.outOfMemory();
        }
        fn backwardSmall(j: *const Self, begin: usize, end: usize) void {
            j.small(false, begin, end) catch j.outOfMemory();
        }
        fn outOfMemory(j: *const Self) void {
            j.call.fail(.out_of_memory, .{ 3 << 15, 0, 0 });
        }

        fn small(j: *const Self, comptime forwards: bool, begin: usize, end: usize) error{OutOfMemory}!void {
            if (T != f32) unreachable;
            const x, const y = .{ &j.x, &j.y };
            const between = y.size * x.count;
            const in, const out = .{ x.size * y.size, x.count * y.count };
            const memory = services.allocSlice(plane_lanes.V, @max(in, L) + between + @max(out, L)) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(memory.ptr));
            const image = memory.ptr;
            const middle = image + @max(in, L);
            const result = middle + between;
            var number = begin;
            while (number < end) : (number += L) {
                const count = @min(L, end - number);
                if (forwards) {
                    plane_lanes.load(j.image + number * in, in, count, image);
                    for (0..y.size) |r| pass(true, x, middle + r * x.count, 1, image + r * x.size, 1, 1);
                    pass(true, y, result, x.count, middle, x.count, x.count);
                    plane_lanes.store(T, j.result, number, count, end, out, result);
                } else {
                    plane_lanes.load(j.result + number * out, out, count, result);
                    @memset(memory[0 .. middle - image + between], @splat(0));
                    pass(false, y, result, x.count, middle, x.count, x.count);
                    for (0..y.size) |r| pass(false, x, middle + r * x.count, 1, image + r * x.size, 1, 1);
                    plane_lanes.store(T, j.image, number, count, end, in, image);
                }
            }
        }

        /// to[k] = the sum of the picks of `from`, or their transpose; `n` together.
        fn pass(comptime forwards: bool, a: *const Axis(T), to: [*]plane_lanes.V, to_step: usize, from: [*]plane_lanes.V, from_step: usize, n: usize) void {
            for (0..a.count) |k| for (0..a.taps) |tap| {
                const w: plane_lanes.V = @splat(@floatCast(a.share(k, tap)));
                const own = to[k * to_step ..][0..n];
                for (own, from[a.source(k, tap) * from_step ..][0..n]) |*o, *i| {
                    if (!forwards) i.* += o.* * w else o.* = if (tap == 0) i.* * w else o.* + i.* * w;
                }
            };
        }

        /// Rows [begin, end) of out, counted through all planes.
        fn forwardRows(j: *const Self, begin: usize, end: usize) void {
            const width = j.x.count;
            // Up to max_taps rows of x, resampled along themselves: which, and where.
            const kept = services.allocSlice(T, max_taps * width) orelse
                return j.call.fail(.out_of_memory, .{ @intCast(max_taps * width * @sizeOf(T)), 0, 0 });
            defer services.free(@ptrCast(kept.ptr));
            var which: [max_taps]usize = @splat(std.math.maxInt(usize));
            const single = j.y.taps == 1 and j.y.weight == null;
            for (begin..end) |r| {
                const i = r % j.y.count;
                const plane = r / j.y.count * j.y.size;
                const out = j.result[r * width ..][0..width];
                if (single) {
                    const row = plane + j.y.source(i, 0);
                    // The row above may have been made from the same one.
                    if (r > begin and which[0] == row) {
                        @memcpy(out, j.result[(r - 1) * width ..][0..width]);
                    } else j.across(j.image[row * j.x.size ..], out);
                    which[0] = row;
                    continue;
                }
                var wanted: [max_taps]usize = undefined;
                for (wanted[0..j.y.taps], 0..) |*row, a| row.* = plane + j.y.source(i, a);
                var slots: [max_taps]usize = undefined;
                for (wanted[0..j.y.taps], slots[0..j.y.taps], 0..) |row, *slot, a| {
                    slot.* = std.mem.findScalar(usize, &which, row) orelse blk: {
                        const free = freeSlot(&which, wanted[0..j.y.taps], slots[0..a]);
                        j.across(j.image[row * j.x.size ..], kept[free * width ..][0..width]);
                        which[free] = row;
                        break :blk free;
                    };
                }
                for (0..j.y.taps) |a| {
                    combine(out, kept[slots[a] * width ..][0..width], j.y.share(i, a), a > 0);
                }
            }
        }

        /// A slot whose row is not wanted. There is one: no more rows are wanted than there are slots.
        fn freeSlot(which: *const [max_taps]usize, wanted: []const usize, taken: []const usize) usize {
            for (which, 0..) |row, slot| {
                if (std.mem.findScalar(usize, wanted, row) == null and
                    std.mem.findScalar(usize, taken, slot) == null) return slot;
            }
            unreachable;
        }

        /// out = or += w * row.
        fn combine(out: []T, row: []const T, w: T, add: bool) void {
            const v: V = @splat(w);
            var i: usize = 0;
            while (i + lanes <= out.len) : (i += lanes) {
                const term = @as(V, row[i..][0..lanes].*) * v;
                out[i..][0..lanes].* = if (add) @as(V, out[i..][0..lanes].*) + term else term;
            }
            while (i < out.len) : (i += 1) out[i] = if (add) out[i] + row[i] * w else row[i] * w;
        }

        /// One row, resampled along itself.
        fn across(j: *const Self, row: [*]const T, out: []T) void {
            const at = j.x.at;
            const w = j.x.weight orelse {
                const begin, const end = j.x.run;
                for (out[0..begin], at[0..begin]) |*o, k| o.* = row[@intCast(k)];
                join.copyBytes(@ptrCast(out.ptr + begin), @ptrCast(row + @as(usize, @intCast(at[begin]))), (end - begin) * @sizeOf(T));
                for (out[end..], at[end..out.len]) |*o, k| o.* = row[@intCast(k)];
                return;
            };
            switch (j.x.taps) {
                inline 1...max_taps => |taps| for (out, 0..) |*o, k| {
                    var sum: T = row[@intCast(at[k * taps])] * w[k * taps];
                    inline for (1..taps) |b| sum += row[@intCast(at[k * taps + b])] * w[k * taps + b];
                    o.* = sum;
                },
                else => unreachable,
            }
        }

        fn backward(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            if (n == 0) return;
            const planes: usize = @intCast(p.operands[0].shape[0]);
            const job: Self = .init(p, call, 0, 1);
            if (T == f32 and job.isSmall()) return services.parallelFor(planes, 1 + (1 << 14) / (job.x.count * job.y.count), job, backwardSmall);
            services.parallelFor(planes, 1 + (1 << 14) / (n / planes), job, backwardPlanes);
        }

        fn backwardPlanes(j: *const Self, begin: usize, end: usize) void {
            const width = j.x.size;
            const row = services.allocSlice(T, width) orelse
                return j.call.fail(.out_of_memory, .{ @intCast(width * @sizeOf(T)), 0, 0 });
            defer services.free(@ptrCast(row.ptr));
            for (begin..end) |plane| {
                const image = j.image[plane * j.y.size * width ..][0 .. j.y.size * width];
                @memset(image, 0);
                for (0..j.y.count) |i| {
                    const g = j.result[(plane * j.y.count + i) * j.x.count ..][0..j.x.count];
                    @memset(row, 0);
                    j.back(g, row);
                    for (0..j.y.taps) |a| {
                        combine(image[j.y.source(i, a) * width ..][0..width], row, j.y.share(i, a), true);
                    }
                }
            }
        }

        /// Adds a row of the gradient where its elements came from.
        fn back(j: *const Self, g: []const T, row: []T) void {
            const at = j.x.at;
            const w = j.x.weight orelse {
                for (g, 0..) |v, k| row[@intCast(at[k])] += v;
                return;
            };
            switch (j.x.taps) {
                inline 1...max_taps => |taps| for (g, 0..) |v, k| {
                    inline for (0..taps) |b| row[@intCast(at[k * taps + b])] += v * w[k * taps + b];
                },
                else => unreachable,
            }
        }
    };
}

// ------------------------------------------------------------------ tests

/// x (2, 3, 4) to (2, 4, 6), with two weighted picks or a bare one, against the sum that defines it.
fn check(comptime T: type, comptime taps: usize) !void {
    const planes = 11;
    const sizes = [2]usize{ 3, 4 };
    const counts = [2]usize{ 4, 6 };
    var prng: std.Random.DefaultPrng = .init(3);
    const random = prng.random();
    var x: [planes * 12]T = undefined;
    var g: [planes * 24]T = undefined;
    var at: [2][6 * taps]i64 = undefined;
    var w: [2][6 * taps]T = undefined;
    for (&x) |*v| v.* = random.float(T) - 0.5;
    for (&g) |*v| v.* = random.float(T) - 0.5;
    for (0..2) |d| for (&at[d], &w[d]) |*a, *v| {
        a.* = random.intRangeLessThan(i64, 0, @intCast(sizes[d]));
        v.* = if (taps > 1) random.float(T) else 1;
    };
    var out: [planes * 24]T = undefined;
    var back: [planes * 12]T = undefined;
    var want: [planes * 24]T = @splat(0);
    var want_back: [planes * 12]T = @splat(0);
    for (0..planes) |p| for (0..counts[0]) |i| for (0..counts[1]) |j| for (0..taps) |a| for (0..taps) |b| {
        const row: usize = @intCast(at[0][taps * i + a]);
        const column: usize = @intCast(at[1][taps * j + b]);
        const from = (p * sizes[0] + row) * sizes[1] + column;
        const to = (p * counts[0] + i) * counts[1] + j;
        const share = w[0][taps * i + a] * w[1][taps * j + b];
        want[to] += share * x[from];
        want_back[from] += share * g[to];
    };
    const d: @import("../dtype.zig").DType = if (T == f32) .float32 else .float64;
    const none: plan.Operand = .{ .dtype = d, .shape = &.{}, .strides = &.{} };
    const table: [2]plan.Operand = .{
        .{ .dtype = .int64, .shape = &.{ 4, taps }, .strides = &.{ taps, 1 } },
        .{ .dtype = .int64, .shape = &.{ 6, taps }, .strides = &.{ taps, 1 } },
    };
    var weight = table;
    for (&weight) |*o| o.dtype = d;
    const small: plan.Operand = .{ .dtype = d, .shape = &.{ planes, 3, 4 }, .strides = &.{ 12, 4, 1 } };
    const large: plan.Operand = .{ .dtype = d, .shape = &.{ planes, 4, 6 }, .strides = &.{ 24, 6, 1 } };
    for (0..2) |op| {
        const operands = [_]plan.Operand{
            if (op == 0) large else small,
            if (op == 0) small else large,
            table[0],
            table[1],
            if (taps > 1) weight[0] else none,
            if (taps > 1) weight[1] else none,
        };
        var p: Plan = .{
            .run = undefined,
            .op = @intCast(op),
            .family = 0,
            .operands = &operands,
            .n_out = 1,
            .ints = &.{ @intCast(sizes[0]), @intCast(sizes[1]) },
            .floats = &.{},
            .out_bytes = 0,
        };
        try prepare(&p);
        var call: Call = .{};
        call.ptr[0..6].* = .{
            if (op == 0) @ptrCast(&out) else @ptrCast(&back),
            if (op == 0) @ptrCast(&x) else @ptrCast(&g),
            @ptrCast(&at[0]),
            @ptrCast(&at[1]),
            @ptrCast(&w[0]),
            @ptrCast(&w[1]),
        };
        p.run(&p, &call);
    }
    for (want, out) |a, b| try std.testing.expectApproxEqAbs(a, b, 1e-6);
    for (want_back, back) |a, b| try std.testing.expectApproxEqAbs(a, b, 1e-6);
}

test "weighted picks and their transpose" {
    inline for (.{ f32, f64 }) |T| inline for (.{ 1, 2 }) |taps| try check(T, taps);
}

test {
    _ = grid_sample;
    _ = fold;
    _ = pad_backward;
}
