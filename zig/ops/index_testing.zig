//! Tensors with random layouts, for the tests of the index, gather, scatter and sort families.
const std = @import("std");
const planning = @import("../plan.zig");
const dtype = @import("../dtype.zig");
const threads = @import("../threads.zig");
const DType = dtype.DType;
const allocator = std.testing.allocator;

pub const max_dims = 8;

pub const Tensor = struct {
    dtype: DType,
    ndim: usize,
    shape: [max_dims]i64 = undefined,
    strides: [max_dims]i64 = undefined,
    memory: []align(64) u8,

    /// Dimensions in a random order, some of them with gaps.
    pub fn init(random: std.Random, d: DType, shape: []const i64, contiguous: bool) !Tensor {
        var t: Tensor = .{ .dtype = d, .ndim = shape.len, .memory = undefined };
        @memcpy(t.shape[0..shape.len], shape);
        var order: [max_dims]usize = .{ 0, 1, 2, 3, 4, 5, 6, 7 };
        if (!contiguous) random.shuffle(usize, order[0..shape.len]);
        var want: i64 = 1;
        for (0..shape.len) |i| {
            const dim = order[shape.len - 1 - i];
            if (!contiguous and random.uintLessThan(u8, 4) == 0) want *= 2;
            t.strides[dim] = want;
            want *= @max(1, shape[dim]);
        }
        t.memory = try allocator.alignedAlloc(u8, .@"64", @as(usize, @intCast(want)) * d.size());
        @memset(t.memory, 0);
        return t;
    }
    pub fn deinit(t: Tensor) void {
        allocator.free(t.memory);
    }
    pub fn operand(t: *const Tensor) planning.Operand {
        return .{ .dtype = t.dtype, .shape = t.shape[0..t.ndim], .strides = t.strides[0..t.ndim] };
    }
    pub fn numel(t: *const Tensor) usize {
        return t.operand().numel();
    }
    /// The offset of row-major position `i`.
    pub fn offset(t: *const Tensor, i: usize) usize {
        var rest = i;
        var at: usize = 0;
        var d = t.ndim;
        while (d > 0) {
            d -= 1;
            const n: usize = @intCast(t.shape[d]);
            at += rest % n * @as(usize, @intCast(t.strides[d]));
            rest /= n;
        }
        return at;
    }
    pub fn coords(t: *const Tensor, i: usize) [max_dims]usize {
        var rest = i;
        var c: [max_dims]usize = @splat(0);
        var d = t.ndim;
        while (d > 0) {
            d -= 1;
            const n: usize = @intCast(t.shape[d]);
            c[d] = rest % n;
            rest /= n;
        }
        return c;
    }
    pub fn atCoords(t: *const Tensor, c: []const usize) usize {
        var at: usize = 0;
        for (c[0..t.ndim], t.strides[0..t.ndim]) |x, s| at += x * @as(usize, @intCast(s));
        return at;
    }
    pub fn data(t: *const Tensor, comptime T: type) [*]T {
        return @ptrCast(@alignCast(t.memory.ptr));
    }
    /// Small whole numbers, which every type holds and whose sums are exact in any order...
    pub fn fill(t: *Tensor, random: std.Random, low: i64, high: i64) void {
        for (0..t.numel()) |i| t.set(i, @floatFromInt(random.intRangeLessThan(i64, low, high)));
    }
    /// ... and values whose sums are not.
    pub fn fillReal(t: *Tensor, random: std.Random) void {
        for (0..t.numel()) |i| t.set(i, random.float(f64) * 2 - 1);
    }
    pub fn get(t: *const Tensor, i: usize) f64 {
        return t.getOffset(t.offset(i));
    }
    pub fn getOffset(t: *const Tensor, at: usize) f64 {
        switch (t.dtype) {
            inline else => |d| {
                const x = t.data(d.Type())[at];
                if (d == .bfloat16) return x.toF32();
                return if (comptime d.isFloat()) x else @floatFromInt(x);
            },
        }
    }
    pub fn set(t: *Tensor, i: usize, x: f64) void {
        t.setOffset(t.offset(i), x);
    }
    pub fn setOffset(t: *Tensor, at: usize, x: f64) void {
        switch (t.dtype) {
            inline else => |d| {
                const p = &t.data(d.Type())[at];
                if (d == .bfloat16) {
                    p.* = .fromF32(@floatCast(x));
                } else if (comptime d.isFloat()) {
                    p.* = @floatCast(x);
                } else p.* = @intFromFloat(x);
            },
        }
    }
};

/// Prepares and runs one row; returns the call for its status.
pub fn run(
    comptime family: planning.Family,
    op: u32,
    tensors: []const *const Tensor,
    n_out: u32,
    ints: []const i64,
    scalars: []const planning.Scalar,
) !planning.Call {
    var operands: [16]planning.Operand = undefined;
    var call: planning.Call = .{};
    for (tensors, 0..) |t, i| {
        operands[i] = t.operand();
        call.ptr[i] = t.memory.ptr;
    }
    for (scalars, 0..) |s, i| call.scalar[i] = s;
    var p = planning.testPlan(operands[0..tensors.len], n_out, op, ints, &.{});
    defer planning.destroyState(&p);
    try family.prepare(&p);
    p.run(&p, &call);
    return call;
}

/// Runs a row that must not fail, without scalars.
pub fn runOk(
    comptime family: planning.Family,
    op: u32,
    tensors: []const *const Tensor,
    n_out: u32,
    ints: []const i64,
) !void {
    try expectOk(try run(family, op, tensors, n_out, ints, &.{}));
}

pub fn expectOk(call: planning.Call) !void {
    try std.testing.expectEqual(@as(i32, 0), call.status.raw);
}

pub fn setThreads(n: u32) void {
    _ = threads.setCount(n);
}
