//! The row of the sort family about equal elements: distinct. The contract is on top of sort.zig.
const std = @import("std");
const planning = @import("../plan.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const select = @import("sort_select.zig");
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
pub fn signOf(d: DType) u64 {
    return if (d.isFloat()) @as(u64, 1) << @intCast(8 * d.size() - 1) else 0;
}
pub fn infinityOf(d: DType) u64 {
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
                const last: @Vector(8, u64) = @splat(count - 1);
                if (inverse) |to| {
                    if (order) |o| {
                        for (o[i..][0..8], @as([8]u64, runsOf(mask) + last)) |at, r| to[@intCast(at)] = @intCast(r);
                    } else to[i..][0..8].* = @bitCast(if (mask == 0) last else runsOf(mask) + last);
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
