//! Tensors of any layout for the tests of the elementwise families, read and written one
//! element at a time: the reference that the driver is held against.
const std = @import("std");
const plan = @import("../plan.zig");
const convert = @import("convert.zig");
const DType = @import("../dtype.zig").DType;

pub const max_dims = 6;

pub const Layout = enum { contiguous, reversed, gaps, broadcast, every_second };

pub const Tensor = struct {
    dtype: DType,
    shape: []const i64,
    strides: [max_dims]i64,
    memory: []align(64) u8,

    /// Filled with 0, 1, 2 ... in memory order, modulo a small prime.
    pub fn init(dtype: DType, shape: []const i64, layout: Layout) !Tensor {
        var t: Tensor = .{
            .dtype = dtype,
            .shape = shape,
            .strides = @splat(0),
            .memory = undefined,
        };
        var next: i64 = if (layout == .every_second) 2 else 1;
        for (0..shape.len) |i| {
            const d = if (layout == .reversed) i else shape.len - 1 - i;
            if (layout == .broadcast and (shape.len - i) % 2 == 1) continue;
            t.strides[d] = next;
            next *= @max(shape[d], 1);
            if (layout == .gaps) next += 3;
        }
        const n: usize = @intCast(next + 8);
        t.memory = try std.testing.allocator.alignedAlloc(u8, .@"64", n * dtype.size());
        for (0..n) |i| {
            const x: i64 = if (dtype == .bool) @intCast(i % 2) else @intCast(i * 7 % 101);
            t.write(i * dtype.size(), @floatFromInt(x));
        }
        return t;
    }
    pub fn deinit(t: Tensor) void {
        std.testing.allocator.free(t.memory);
    }
    pub fn operand(t: *const Tensor) plan.Operand {
        return .{ .dtype = t.dtype, .shape = t.shape, .strides = t.strides[0..t.shape.len] };
    }
    pub fn numel(t: *const Tensor) usize {
        return t.operand().numel();
    }
    /// Element number i in row-major order.
    pub fn get(t: *const Tensor, i: usize) f64 {
        var x: f64 = undefined;
        convert.loader(t.dtype, .f64).run(@ptrCast(&x), t.memory.ptr + t.offset(i), 1, 0);
        return x;
    }
    pub fn set(t: *Tensor, i: usize, x: f64) void {
        t.write(t.offset(i), x);
    }
    fn write(t: *Tensor, at: usize, x: f64) void {
        var y = x;
        convert.storer(t.dtype, .f64).run(@ptrCast(&y), t.memory.ptr + at, 1, t.dtype.size());
    }
    fn offset(t: *const Tensor, i: usize) usize {
        var rest = i;
        var sum: usize = 0;
        var d = t.shape.len;
        while (d > 0) {
            d -= 1;
            const size: usize = @intCast(t.shape[d]);
            sum += rest % size * @as(usize, @intCast(t.strides[d]));
            rest /= size;
        }
        return sum * t.dtype.size();
    }
};

pub const Parameters = struct { ints: []const i64 = &.{}, scalars: []const plan.Scalar = &.{} };

/// Runs row `name` of a family; the output first. Its status.
pub fn call(
    comptime family: type,
    name: []const u8,
    tensors: []const *const Tensor,
    parameters: Parameters,
) !plan.Status {
    const op = for (family.names, 0..) |n, i| {
        if (std.mem.eql(u8, n, name)) break i;
    } else return error.NoSuchRow;
    var operands: [4]plan.Operand = undefined;
    var c: plan.Call = .{};
    for (tensors, 0..) |t, i| {
        operands[i] = t.operand();
        c.ptr[i] = t.memory.ptr;
    }
    @memcpy(c.scalar[0..parameters.scalars.len], parameters.scalars);
    var p = plan.testPlan(operands[0..tensors.len], 1, @intCast(op), parameters.ints, &.{});
    try family.family.prepare(&p);
    defer plan.destroyState(&p);
    p.run(&p, &c);
    return @fromBackingInt(c.status.load(.monotonic));
}

pub fn float(x: f64) plan.Scalar {
    return .{ .f = x };
}
pub fn int(x: i64) plan.Scalar {
    return .{ .i = x };
}
