//! dlgrad's kernels, for Zig programs: the table of contents.
//!
//! A computation is a *plan* (which kernel, for which dtypes, shapes and strides), made once,
//! and a run of it on addresses:
//!
//!     const plan = try dlgrad.Plan.make("binary", "add", .{
//!         .outputs = &.{.{ .dtype = .float32, .shape = &.{3}, .strides = &.{1} }},
//!         .inputs = &.{ x, x },
//!     });
//!     defer plan.free();
//!     try plan.run(&.{ out, a, b }, &.{});
//!
//! The rows of each family, their operands and parameters are described on top of
//! zig/ops/<family>.zig. The same library through C: abi.zig, include/dlgrad.h.
const std = @import("std");
const plan_zig = @import("plan.zig");

/// The exported C functions.
pub const abi = @import("abi.zig");
/// Choice of the kernels for this CPU.
pub const dispatch = @import("dispatch.zig");
pub const cpu = @import("cpu.zig");
/// The caching allocator and the thread pool that the kernels use.
pub const memory = @import("memory.zig");
pub const threads = @import("threads.zig");

pub const DType = @import("dtype.zig").DType;
pub const BFloat16 = @import("dtype.zig").BFloat16;
/// One tensor of a call: dtype, shape, strides in elements.
pub const Operand = plan_zig.Operand;
pub const Scalar = plan_zig.Scalar;

const families = @import("families.zig");

pub const MakeError = plan_zig.PrepareError;
pub const RunError = error{ OutOfMemory, IndexOutOfRange, Unsupported, Singular, InvalidValue };

pub const Plan = opaque {
    pub const Description = struct {
        outputs: []const Operand,
        inputs: []const Operand,
        ints: []const i64 = &.{},
        floats: []const f64 = &.{},
    };

    /// Chooses the kernel. Keeps nothing of the description.
    pub fn make(comptime family: []const u8, comptime row: []const u8, d: Description) MakeError!*Plan {
        const numbers = comptime numbersOf(family, row);
        var length: usize = 4 + d.ints.len + d.floats.len;
        for ([_][]const Operand{ d.outputs, d.inputs }) |operands| {
            for (operands) |o| length += 2 + 2 * o.ndim();
        }
        const block = memory.alloc(length * 8) orelse return error.OutOfMemory;
        defer memory.free(block);
        var list: std.ArrayList(i64) = .initBuffer(@as([*]i64, @ptrCast(block))[0..length]);
        list.appendSliceAssumeCapacity(&.{
            @intCast(d.outputs.len + d.inputs.len), @intCast(d.outputs.len),
            @intCast(d.ints.len),                   @intCast(d.floats.len),
        });
        for ([_][]const Operand{ d.outputs, d.inputs }) |operands| {
            for (operands) |o| {
                list.appendSliceAssumeCapacity(&.{ @backingInt(o.dtype), @intCast(o.ndim()) });
                list.appendSliceAssumeCapacity(o.shape);
                list.appendSliceAssumeCapacity(o.strides);
            }
        }
        list.appendSliceAssumeCapacity(d.ints);
        for (d.floats) |f| list.appendAssumeCapacity(@bitCast(f));
        const made = abi.dlgrad_plan_make(numbers[0], numbers[1], list.items.ptr, length);
        return @ptrCast(made orelse return switch (lastStatus()) {
            .out_of_memory => error.OutOfMemory,
            else => error.Unsupported,
        });
    }

    pub fn free(p: *Plan) void {
        abi.dlgrad_plan_free(@ptrCast(@alignCast(p)));
    }

    /// Runs it on the addresses of its operands, outputs first.
    pub fn run(p: *const Plan, operands: []const ?[*]u8, scalars: []const Scalar) RunError!void {
        const plan: *const plan_zig.Plan = @ptrCast(@alignCast(p));
        const status = abi.dlgrad_call(plan, operands.ptr, @ptrCast(scalars.ptr), scalars.len);
        return switch (@as(plan_zig.Status, @fromBackingInt(status))) {
            .ok => {},
            .out_of_memory => error.OutOfMemory,
            .index_out_of_range => error.IndexOutOfRange,
            .unsupported => error.Unsupported,
            .singular => error.Singular,
            .invalid_value => error.InvalidValue,
        };
    }
};

fn lastStatus() plan_zig.Status {
    var failure: [4]i64 = undefined;
    abi.dlgrad_error(&failure);
    return @fromBackingInt(@intCast(failure[0]));
}

/// The numbers of a family and of its row.
fn numbersOf(comptime family: []const u8, comptime row: []const u8) [2]u32 {
    @setEvalBranchQuota(100_000);
    for (dispatch.names, 0..) |name, f| {
        if (!std.mem.eql(u8, name, family)) continue;
        for (@field(families, family).names, 0..) |r, i| {
            if (std.mem.eql(u8, r, row)) return .{ f, i };
        }
        @compileError("family " ++ family ++ " has no row " ++ row);
    }
    @compileError("no family " ++ family);
}
