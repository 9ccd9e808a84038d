//! Rows of the sort family about equal elements: distinct, isin. The contract is on top of sort.zig.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const select = @import("sort_select.zig");
const sort_runs = @import("sort_runs.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const DType = dtype.DType;

pub fn prepareDistinct(p: *Plan) planning.PrepareError!void {
    const self = p.inputs()[0];
    for (p.operands) |o| if (o.ndim() > 1 or (o.ndim() == 1 and o.shape[0] > 1 and o.strides[0] != 1)) return error.Unsupported;
    if (self.ndim() != 1 or self.shape[0] > std.math.maxInt(u32)) return error.Unsupported;
    p.run = switch (self.dtype.size()) {
        1 => &Distinct(u8).run,
        2 => &Distinct(u16).run,
        4 => &Distinct(u32).run,
        else => &Distinct(u64).run,
    };
}

/// The sign and infinity in the bits of a float.
fn signOf(d: DType) u64 {
    return if (d.isFloat()) @as(u64, 1) << @intCast(8 * d.size() - 1) else 0;
}
fn infinityOf(d: DType) u64 {
    return switch (d) {
        .float16 => 0x7c00,
        .bfloat16 => 0x7f80,
        .float32 => 0x7f80_0000,
        .float64 => 0x7ff0_0000_0000_0000,
        else => 0,
    };
}

/// T: the bits of an element.
fn Distinct(comptime T: type) type {
    return struct {
        const V = @Vector(8, T);

        /// Which elements are unlike those before them: nan is, and 0 is like -0.
        inline fn unlike(x: V, before: V, is_float: bool, sign: V, infinity: V) u8 {
            if (!is_float) return @bitCast(x != before);
            const zero: V = @splat(0);
            const magnitude = x & ~sign;
            const a = @select(T, magnitude == zero, zero, x);
            const b = @select(T, before & ~sign == zero, zero, before);
            return @bitCast((a != b) | (magnitude > infinity));
        }

        fn run(plan: *const Plan, call: *Call) void {
            const n: usize = @intCast(plan.inputs()[0].shape[0]);
            const total = call.at(i64, 3);
            total[0] = 0;
            if (n == 0) return;
            const memory = call.at(T, 4);
            const values = call.at(T, 0);
            const inverse: ?[*]i64 = @ptrCast(@alignCast(call.ptr[1]));
            const starts: ?[*]u64 = @ptrCast(@alignCast(call.ptr[2]));
            const order: ?[*]const i64 = @ptrCast(@alignCast(call.ptr[5]));
            const d = plan.inputs()[0].dtype;
            const sign: V = @splat(@truncate(signOf(d)));
            const infinity: V = @splat(@truncate(infinityOf(d)));
            values[0] = memory[0];
            if (starts) |to| to[0] = 0;
            if (inverse) |to| to[if (order) |o| @intCast(o[0]) else 0] = 0;
            var count: usize = 1;
            var i: usize = 1;
            while (i < n) : (i += 8) {
                const m = @min(8, n - i);
                var x: V = @splat(memory[n - 1]);
                var before = x;
                if (m == 8) {
                    x = memory[i..][0..8].*;
                    before = memory[i - 1 ..][0..8].*;
                } else {
                    var ends: [2][8]T = .{ x, x };
                    @memcpy(ends[0][0..m], memory[i..][0..m]);
                    @memcpy(ends[1][0..m], memory[i - 1 ..][0..m]);
                    x = ends[0];
                    before = ends[1];
                }
                const mask = unlike(x, before, d.isFloat(), sign, infinity) & @as(u8, @truncate((@as(u16, 1) << @intCast(m)) - 1));
                if (inverse) |to| {
                    const runs = runsOf(mask) + @as(@Vector(8, u64), @splat(count - 1));
                    if (m == 8 and order == null)
                        to[i..][0..8].* = @bitCast(runs)
                    else for (0..m, @as([8]u64, runs)[0..m]) |k, r| to[if (order) |o| @intCast(o[i + k]) else i + k] = @intCast(r);
                }
                if (m < 8) { // no room for eight
                    for (0..m) |k| if (mask >> @intCast(k) & 1 != 0) {
                        values[count] = memory[i + k];
                        if (starts) |to| to[count] = i + k;
                        count += 1;
                    };
                    break;
                }
                if (mask == 0) continue;
                if (starts) |to| _ = select.compress(u64, to + count, simd.iota(8, u64) + @as(@Vector(8, u64), @splat(i)), mask);
                count += select.compress(T, values + count, x, mask);
            }
            if (starts) |to| for (0..count) |r| {
                to[r] = (if (r + 1 < count) to[r + 1] else n) - to[r];
            };
            total[0] = @intCast(count);
        }
        /// How many bits up to and with each of eight are set.
        inline fn runsOf(mask: u8) @Vector(8, u64) {
            const bit: @Vector(8, u8) = .{ 1, 2, 4, 8, 16, 32, 64, 128 };
            const set: @Vector(8, u8) = @intFromBool(@as(@Vector(8, u8), @splat(mask)) & bit != @as(@Vector(8, u8), @splat(0)));
            return @as(@Vector(8, u8), @bitCast(@as(u64, @bitCast(set)) *% 0x0101010101010101));
        }
    };
}

pub fn prepareIsin(p: *Plan) planning.PrepareError!void {
    for (p.operands) |o| if (o.ndim() != 1 or (o.shape[0] > 1 and o.strides[0] != 1)) return error.Unsupported;
    p.run = switch (p.operands[1].dtype) {
        inline .int32, .int64, .float32, .float64 => |d| &Membership(d).run,
        else => return error.Unsupported,
    };
}

fn Membership(comptime d: DType) type {
    const T = d.Type();
    return struct {
        call: *Call,
        among: []const T,
        invert: u8,

        const Job = @This();
        const Nodes = sort_runs.Searching(d).Nodes;

        fn run(plan: *const Plan, call: *Call) void {
            var n: usize = @intCast(plan.operands[2].shape[0]);
            const memory = call.at(T, 2);
            if (n >= Nodes.fan) while (n > 0 and memory[n - 1] != memory[n - 1]) : (n -= 1) {}; // nan, which equals nothing
            const job: Job = .{ .call = call, .among = memory[0..n], .invert = @intCast(plan.ints[0]) };
            services.parallelFor(@intCast(plan.operands[0].shape[0]), 1024, job, part);
        }
        fn part(job: *const Job, begin: usize, end: usize) void {
            const out = job.call.at(u8, 0)[begin..end];
            const values = job.call.at(T, 1)[begin..end];
            if (job.among.len <= 24) return job.compared(values, out);
            const nodes: Nodes = .init(job.among.ptr, job.among.len, false);
            var places: [256]i64 = undefined;
            var first: usize = 0;
            while (first < values.len) : (first += places.len) {
                const here = values[first..@min(values.len, first + places.len)];
                nodes.find(here, &places);
                for (here, places[0..here.len], out[first..][0..here.len]) |x, at, *to| {
                    const y = job.among[@min(@as(usize, @intCast(at)), job.among.len - 1)];
                    to.* = @intFromBool(x == y) ^ job.invert;
                }
            }
        }
        /// With each of a few.
        fn compared(job: *const Job, values: []const T, out: []u8) void {
            const V = @Vector(16, T);
            var i: usize = 0;
            while (i < values.len) : (i += 16) {
                const m = @min(16, values.len - i);
                var some: [16]T = undefined;
                if (m < 16) @memcpy(some[0..m], values[i..][0..m]);
                const x: V = if (m < 16) some else values[i..][0..16].*;
                var found: @Vector(16, bool) = @splat(false);
                for (job.among) |y| found |= x == @as(V, @splat(y));
                const bytes: [16]u8 = @as(@Vector(16, u8), @intFromBool(found)) ^ @as(@Vector(16, u8), @splat(job.invert));
                if (m < 16) @memcpy(out[i..][0..m], bytes[0..m]) else out[i..][0..16].* = bytes;
            }
        }
    };
}
