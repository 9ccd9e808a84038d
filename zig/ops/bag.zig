//! `bag`: the sum or mean of the rows of each bag of indices (embedding_bag).
//!
//! Operands: out (bags, C); weight (V, C); index (N); offsets (bags, or one more): where each bag
//! begins, from 0 on and never less than before; the last one ends at N, or at the last offset; share
//! (N), a factor of each row, or left out. ints: an index whose rows are left out (or -1); 1: the mean;
//! 1: the offsets end with that of the last bag's end. float32 and float64, contiguous.
//!
//! Rows are added in the order of their indices. An index out of range is reported as
//! index_out_of_range, bad offsets as invalid_value.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.operands.len != 5) return error.Unsupported;
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => &Bags(f32).run,
        .float64 => &Bags(f64).run,
        else => return error.Unsupported,
    };
}

fn Bags(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = @Vector(lanes, T);
    return struct {
        const Self = @This();
        p: *const Plan,
        call: *Call,
        bags: usize,
        columns: usize,

        fn run(p: *const Plan, call: *Call) void {
            const j: Self = .{
                .p = p,
                .call = call,
                .bags = @intCast(p.operands[0].shape[0]),
                .columns = @intCast(p.operands[0].shape[1]),
            };
            if (!j.ordered()) return call.fail(.invalid_value, .{ 0, 0, 0 });
            if (j.bags == 0) return;
            const work = j.columns * p.operands[2].numel() / j.bags;
            services.parallelFor(j.bags, 1 + (1 << 14) / (work + 1), j, part);
        }

        fn ordered(j: *const Self) bool {
            const offsets = j.call.at(i64, 3)[0..offsetCount(j.p)];
            if (offsets.len == 0) return j.bags == 0 and j.p.ints[2] == 0;
            if (offsets[0] != 0 or offsets[offsets.len - 1] > j.p.operands[2].numel()) return false;
            for (offsets[1..], offsets[0 .. offsets.len - 1]) |b, a| if (b < a) return false;
            return true;
        }

        fn offsetCount(p: *const Plan) usize {
            return p.operands[3].numel();
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            const offsets = j.call.at(i64, 3)[0..offsetCount(j.p)];
            const index = j.call.at(i64, 2);
            const weight = j.call.at(T, 1);
            const share: ?[*]const T = if (j.p.operands[4].ndim() == 0) null else j.call.at(T, 4);
            const size = j.p.operands[1].shape[0];
            for (begin..end) |bag| {
                const out = j.call.at(T, 0)[bag * j.columns ..][0..j.columns];
                const first: usize = @intCast(offsets[bag]);
                const last: usize = if (bag + 1 < offsets.len) @intCast(offsets[bag + 1]) else j.p.operands[2].numel();
                var count: usize = 0;
                for (first..last) |n| {
                    const i = index[n];
                    if (i < 0 or i >= size) return j.call.fail(.index_out_of_range, .{ i, size, 0 });
                    if (i == j.p.ints[0]) continue;
                    add(out, weight[@as(usize, @intCast(i)) * j.columns ..], if (share) |s| s[n] else 1, count > 0);
                    count += 1;
                }
                if (count == 0) @memset(out, 0);
                if (j.p.ints[1] == 1 and count > 1) {
                    const n: T = @floatFromInt(count);
                    for (out) |*x| x.* /= n;
                }
            }
        }

        /// out = or += row * share.
        inline fn add(out: []T, row: [*]const T, share: T, more: bool) void {
            const s: V = @splat(share);
            var i: usize = 0;
            while (i + lanes <= out.len) : (i += lanes) {
                const term = @as(V, row[i..][0..lanes].*) * s;
                out[i..][0..lanes].* = if (more) @as(V, out[i..][0..lanes].*) + term else term;
            }
            while (i < out.len) : (i += 1) {
                simd.once();
                out[i] = if (more) out[i] + row[i] * share else row[i] * share;
            }
        }
    };
}

test "bags: empty, padded, weighted, of the mean; bad offsets and indices" {
    const weight = [_]f32{ 1, 2, 3, 4, 5, 6 }; // (3, 2)
    const index = [_]i64{ 0, 2, 1, 1, 2 };
    const share = [_]f32{ 1, 2, 3, 4, 5 };
    const Case = struct { offsets: [4]i64, padding: i64 = -1, mean: i64 = 0, weighted: bool = false, want: [8]f32, status: i32 = 0 };
    const cases = [_]Case{
        .{ .offsets = .{ 0, 2, 2, 4 }, .want = .{ 6, 8, 0, 0, 6, 8, 5, 6 } },
        .{ .offsets = .{ 0, 2, 2, 4 }, .mean = 1, .want = .{ 3, 4, 0, 0, 3, 4, 5, 6 } },
        .{ .offsets = .{ 0, 2, 2, 4 }, .padding = 2, .want = .{ 1, 2, 0, 0, 6, 8, 0, 0 } },
        .{ .offsets = .{ 0, 2, 2, 4 }, .weighted = true, .want = .{ 11, 14, 0, 0, 21, 28, 25, 30 } },
        .{ .offsets = .{ 0, 2, 1, 4 }, .want = undefined, .status = 5 },
        .{ .offsets = .{ 0, 2, 3, 6 }, .want = undefined, .status = 5 },
    };
    for (cases) |c| {
        var out: [8]f32 = undefined;
        const operands = [_]plan.Operand{
            .{ .dtype = .float32, .shape = &.{ 4, 2 }, .strides = &.{ 2, 1 } },
            .{ .dtype = .float32, .shape = &.{ 3, 2 }, .strides = &.{ 2, 1 } },
            .{ .dtype = .int64, .shape = &.{5}, .strides = &.{1} },
            .{ .dtype = .int64, .shape = &.{4}, .strides = &.{1} },
            .{ .dtype = .float32, .shape = if (c.weighted) &.{5} else &.{}, .strides = if (c.weighted) &.{1} else &.{} },
        };
        var p: Plan = .{
            .run = undefined,
            .op = 0,
            .family = 0,
            .operands = &operands,
            .n_out = 1,
            .ints = &.{ c.padding, c.mean, 0 },
            .floats = &.{},
            .out_bytes = 0,
        };
        try prepare(&p);
        var call: Call = .{};
        call.ptr[0..5].* = .{
            @ptrCast(&out),                   @ptrCast(@constCast(&weight)), @ptrCast(@constCast(&index)),
            @ptrCast(@constCast(&c.offsets)), @ptrCast(@constCast(&share)),
        };
        p.run(&p, &call);
        try std.testing.expectEqual(c.status, call.status.load(.monotonic));
        if (c.status == 0) try std.testing.expectEqualSlices(f32, &c.want, &out);
    }
}
