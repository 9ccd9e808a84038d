//! What a kernel call is, except its addresses.
//!
//! Python describes a call once (family, row, dtypes, shapes, strides, parameters); the
//! family's `prepare` checks nothing a user can get wrong (Python has), chooses the kernel,
//! and leaves a function pointer and its own state in the plan. A run then needs only the
//! addresses, and the scalars that may change from call to call.
const std = @import("std");
const builtin = @import("builtin");
const DType = @import("dtype.zig").DType;
const services = @import("services.zig");

pub const max_operands = 24;
pub const max_scalars = 8;

pub const Status = enum(i32) {
    ok = 0,
    out_of_memory = 1,
    /// detail: the index, the size it must lie within, the dimension
    index_out_of_range = 2,
    /// The family has no kernel for these dtypes or this many dimensions.
    unsupported = 3,
    /// A linear-algebra routine met a singular or not positive definite matrix. detail: its number
    singular = 4,
    invalid_value = 5,
};

/// One tensor of a call. Strides are in elements and never negative; 0 repeats (a broadcast
/// dimension: Python has already expanded the operands of elementwise rows to one shape).
pub const Operand = struct {
    dtype: DType,
    shape: []const i64,
    strides: []const i64,

    pub fn ndim(o: Operand) usize {
        return o.shape.len;
    }
    pub fn numel(o: Operand) usize {
        var n: usize = 1;
        for (o.shape) |s| n *= @intCast(s);
        return n;
    }
    /// Row-major without gaps (dimensions of size 1 may have any stride).
    pub fn isContiguous(o: Operand) bool {
        var want: i64 = 1;
        var d = o.shape.len;
        while (d > 0) {
            d -= 1;
            if (o.shape[d] == 0) return true;
            if (o.shape[d] != 1 and o.strides[d] != want) return false;
            want *= o.shape[d];
        }
        return true;
    }
};

pub const Scalar = extern union { f: f64, i: i64 };

/// One run: addresses (outputs first, in the order of the plan's operands) and scalars.
/// An operand that the caller left out has the address 0 and, in the plan, `ndim() == 0`.
pub const Call = struct {
    ptr: [max_operands]?[*]u8 = @splat(null),
    scalar: [max_scalars]Scalar = @splat(.{ .i = 0 }),
    status: std.atomic.Value(i32) = .init(0),
    detail: [3]i64 = .{ 0, 0, 0 },

    /// Reports a failure from any thread; the first one stays.
    pub fn fail(c: *Call, status: Status, detail: [3]i64) void {
        if (c.status.cmpxchgStrong(0, @backingInt(status), .acq_rel, .monotonic) == null) c.detail = detail;
    }
    pub fn at(c: *const Call, comptime T: type, i: usize) [*]T {
        return @ptrCast(@alignCast(c.ptr[i].?));
    }
};

pub const Run = *const fn (plan: *const Plan, call: *Call) void;

pub const Plan = struct {
    run: Run,
    /// `run` for callers in another compilation (kernel_object.zig), where Zig's own calling
    /// convention may not be the same.
    entry: *const fn (plan: *const Plan, call: *Call) callconv(.c) void = undefined,
    /// The row's number in its family's table, and the family's own state.
    op: u32,
    family: u32,
    operands: []const Operand,
    /// The first n_out operands are written, the others read.
    n_out: u32,
    /// Parameters that belong to the plan (dimensions, kernel sizes, flags ...).
    ints: []const i64,
    floats: []const f64,
    /// Bytes of operand 0, which the run functions allocate.
    out_bytes: usize,
    state: ?*anyopaque = null,
    state_bytes: usize = 0,

    /// Memory for the family's own state, freed with the plan. Call it once, in `prepare`.
    pub fn create(p: *Plan, comptime T: type) error{OutOfMemory}!*T {
        comptime std.debug.assert(@alignOf(T) <= 64);
        std.debug.assert(p.state == null);
        const memory = services.alloc(@sizeOf(T)) orelse return error.OutOfMemory;
        p.state = memory;
        p.state_bytes = @sizeOf(T);
        return @ptrCast(@alignCast(memory));
    }
    pub fn stateAs(p: *const Plan, comptime T: type) *const T {
        return @ptrCast(@alignCast(p.state.?));
    }
    pub fn inputs(p: *const Plan) []const Operand {
        return p.operands[p.n_out..];
    }
};

pub const PrepareError = error{ OutOfMemory, Unsupported };

/// What a family file gives (`pub const family: plan.Family = ...`).
pub const Family = struct {
    prepare: *const fn (*Plan) PrepareError!void,
};

/// A plan made by hand, for the tests of a family: no heap, no C ABI.
pub fn testPlan(operands: []const Operand, n_out: u32, op: u32, ints: []const i64, floats: []const f64) Plan {
    return .{
        .run = undefined,
        .op = op,
        .family = 0,
        .operands = operands,
        .n_out = n_out,
        .ints = ints,
        .floats = floats,
        .out_bytes = if (operands.len > 0) operands[0].numel() * operands[0].dtype.size() else 0,
    };
}

pub fn destroyState(p: *Plan) void {
    if (p.state) |s| services.free(@ptrCast(s));
    p.state = null;
}
