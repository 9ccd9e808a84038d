//! Tensors with any layout and plans run by hand, for the tests of the families that reduce.
const std = @import("std");
const plan = @import("../plan.zig");
const stage = @import("reduce_stage.zig");
const threads = @import("../threads.zig");
const DType = @import("../dtype.zig").DType;
const gpa = std.testing.allocator;

pub const max_dims = 6;

pub const Layout = enum { contiguous, permuted, gaps, broadcast, sliced };

pub const Tensor = struct {
    dtype: DType,
    ndim: usize,
    shape: [max_dims]i64,
    strides: [max_dims]i64,
    bytes: []align(64) u8,

    /// Values between -spread and spread; for integers whole, for bools both.
    pub fn init(
        dtype: DType,
        shape: []const i64,
        layout: Layout,
        random: std.Random,
        spread: f64,
    ) !Tensor {
        var t: Tensor = .{
            .dtype = dtype,
            .ndim = shape.len,
            .shape = undefined,
            .strides = undefined,
            .bytes = undefined,
        };
        @memcpy(t.shape[0..shape.len], shape);
        var s: i64 = if (layout == .gaps) 3 else 1;
        for (0..shape.len) |i| {
            const d = if (layout == .permuted) i else shape.len - 1 - i;
            const repeated = layout == .broadcast and d % 2 == 1;
            t.strides[d] = if (repeated) 0 else s;
            if (!repeated) s *= @max(1, shape[d]);
            if (layout == .sliced and i == 0) s += 5;
        }
        var last: usize = 0;
        for (shape, t.strides[0..shape.len]) |n, stride| last += @intCast(@max(0, n - 1) * stride);
        t.bytes = try gpa.alignedAlloc(u8, .@"64", (last + 1) * dtype.size());
        for (0..last + 1) |i| {
            const float = (random.float(f64) * 2 - 1) * spread;
            t.put(i, if (dtype.isFloat()) float else switch (dtype) {
                .bool => @floatFromInt(@intFromBool(float > 0)),
                .uint8 => @abs(@round(float)),
                else => @round(float),
            });
        }
        return t;
    }
    pub fn deinit(t: Tensor) void {
        gpa.free(t.bytes);
    }
    pub fn operand(t: *const Tensor) plan.Operand {
        return .{ .dtype = t.dtype, .shape = t.shape[0..t.ndim], .strides = t.strides[0..t.ndim] };
    }
    pub fn numel(t: *const Tensor) usize {
        return t.operand().numel();
    }
    /// Where the element with this row-major number lies.
    pub fn offset(t: *const Tensor, number: usize) usize {
        var rest = number;
        var o: usize = 0;
        var d = t.ndim;
        while (d > 0) {
            d -= 1;
            const size: usize = @intCast(t.shape[d]);
            o += rest % size * @as(usize, @intCast(t.strides[d]));
            rest /= size;
        }
        return o;
    }
    pub fn at(t: *const Tensor, number: usize) f64 {
        return t.as(f64, number);
    }
    pub fn as(t: *const Tensor, comptime T: type, number: usize) T {
        var v: [1]T = undefined;
        stage.load(T, t.dtype, t.bytes.ptr + t.offset(number) * t.dtype.size(), 1, 1, &v, 1);
        return v[0];
    }
    /// Sets the element at this offset in memory.
    pub fn put(t: *const Tensor, i: usize, v: f64) void {
        stage.store(f64, t.dtype, &[1]f64{v}, 1, 1, t.bytes.ptr + i * t.dtype.size(), 1);
    }
    pub fn set(t: *const Tensor, number: usize, v: f64) void {
        t.put(t.offset(number), v);
    }
};

/// The row's number.
pub fn find(names: []const []const u8, name: []const u8) u32 {
    for (names, 0..) |n, i| if (std.mem.eql(u8, n, name)) return @intCast(i);
    unreachable;
}

/// Runs a plan on 1, 2 and 3 threads, from the same outputs, to the same bits.
/// A null operand is one that the caller left out.
pub fn run(
    family: plan.Family,
    op: u32,
    tensors: []const ?*const Tensor,
    n_out: u32,
    ints: []const i64,
    floats: []const f64,
) !plan.Call {
    return runWith(family, op, tensors, n_out, ints, floats, &.{});
}

pub fn runWith(
    family: plan.Family,
    op: u32,
    tensors: []const ?*const Tensor,
    n_out: u32,
    ints: []const i64,
    floats: []const f64,
    scalars: []const plan.Scalar,
) !plan.Call {
    var operands: [plan.max_operands]plan.Operand = undefined;
    for (tensors, 0..) |t, k| operands[k] = if (t) |x|
        x.operand()
    else
        .{ .dtype = .float32, .shape = &.{}, .strides = &.{} };
    var p = plan.testPlan(operands[0..tensors.len], n_out, op, ints, floats);
    try family.prepare(&p);
    defer plan.destroyState(&p);
    var before: std.ArrayList(u8) = .empty;
    defer before.deinit(gpa);
    var first: std.ArrayList(u8) = .empty;
    defer first.deinit(gpa);
    for (tensors[0..n_out]) |t| if (t) |x| try before.appendSlice(gpa, x.bytes);
    var call: plan.Call = undefined;
    for ([_]u32{ 1, 2, 3 }) |n| {
        _ = threads.setCount(n);
        call = .{};
        @memcpy(call.scalar[0..scalars.len], scalars);
        var rest: []const u8 = before.items;
        for (tensors[0..n_out]) |t| if (t) |x| {
            @memcpy(x.bytes, rest[0..x.bytes.len]);
            rest = rest[x.bytes.len..];
        };
        for (tensors, 0..) |t, k| call.ptr[k] = if (t) |x| x.bytes.ptr else null;
        p.run(&p, &call);
        if (call.status.load(.monotonic) != 0) return call;
        rest = first.items;
        for (tensors[0..n_out]) |t| if (t) |x| {
            if (n == 1) {
                try first.appendSlice(gpa, x.bytes);
            } else {
                try std.testing.expectEqualSlices(u8, rest[0..x.bytes.len], x.bytes);
                rest = rest[x.bytes.len..];
            }
        };
    }
    return call;
}

pub fn tolerance(dtype: DType) f64 {
    return switch (dtype) {
        .float16 => 1e-3,
        .bfloat16 => 8e-3,
        .float32 => 2e-6,
        .float64 => 1e-13,
        else => 0,
    };
}

/// Equal, both nan, or apart by no more than rounding a number of size `size`.
pub fn expectClose(expected: f64, got: f64, dtype: DType, size: f64) !void {
    if (expected == got or (expected != expected and got != got)) return;
    if (@abs(expected - got) <= tolerance(dtype) * @max(size, @abs(expected))) return;
    std.debug.print("{t}: {d}, not {d}\n", .{ dtype, got, expected });
    return error.Wrong;
}
