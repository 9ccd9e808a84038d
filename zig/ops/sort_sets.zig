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
        inline fn unlike(comptime m: usize, x: @Vector(m, T), before: @Vector(m, T), is_float: bool, sign_bit: T, infinity: T) @Vector(m, bool) {
            if (!is_float) return x != before;
            const W = @Vector(m, T);
            const zero: W = @splat(0);
            const sign: W = @splat(sign_bit);
            const magnitude = x & ~sign;
            const a = @select(T, magnitude == zero, zero, x);
            const b = @select(T, before & ~sign == zero, zero, before);
            return (a != b) | (magnitude > @as(W, @splat(infinity)));
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
            const sign: T = @truncate(signOf(d));
            const infinity: T = @truncate(infinityOf(d));
            values[0] = memory[0];
            if (starts) |to| to[0] = 0;
            if (inverse) |to| to[if (order) |o| @intCast(o[0]) else 0] = 0;
            var count: usize = 1;
            var i: usize = 1;
            if (simd.has_fma) while (i + 8 <= n) : (i += 8) {
                const x: V = memory[i..][0..8].*;
                const mask: u8 = @bitCast(unlike(8, x, memory[i - 1 ..][0..8].*, d.isFloat(), sign, infinity));
                if (inverse) |to| {
                    const runs = runsOf(mask) + @as(@Vector(8, u64), @splat(count - 1));
                    if (order) |o| {
                        for (o[i..][0..8], @as([8]u64, runs)) |at, r| to[@intCast(at)] = @intCast(r);
                    } else to[i..][0..8].* = @bitCast(runs);
                }
                if (mask == 0) continue;
                if (starts) |to| _ = select.compress(u64, to + count, simd.iota(8, u64) + @as(@Vector(8, u64), @splat(i)), mask);
                count += select.compress(T, values + count, x, mask);
            };
            while (i < n) : (i += 1) {
                if (unlike(1, .{memory[i]}, .{memory[i - 1]}, d.isFloat(), sign, infinity)[0]) {
                    values[count] = memory[i];
                    if (starts) |to| to[count] = i;
                    count += 1;
                }
                if (inverse) |to| to[if (order) |o| @intCast(o[i]) else i] = @intCast(count - 1);
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
            if (n > 24) while (n > 0 and memory[n - 1] != memory[n - 1]) : (n -= 1) {}; // nan, which equals nothing
            const job: Job = .{ .call = call, .among = memory[0..n], .invert = @intCast(plan.ints[0]) };
            services.parallelFor(@intCast(plan.operands[0].shape[0]), 1024, job, part);
        }
        fn part(job: *const Job, begin: usize, end: usize) void {
            const out = job.call.at(u8, 0)[begin..end];
            const values = job.call.at(T, 1)[begin..end];
            if (!simd.has_fma) return job.halved(values, out);
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
        /// By halves, or with each of a few: short code for old CPUs.
        fn halved(job: *const Job, values: []const T, out: []u8) void {
            for (values, out) |x, *to| {
                var rest = job.among;
                while (rest.len > 24) {
                    const half = rest.len / 2;
                    rest = if (rest[half] <= x) rest[half..] else rest[0..half];
                }
                to.* = @intFromBool(std.mem.indexOfScalar(T, rest, x) != null) ^ job.invert;
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
