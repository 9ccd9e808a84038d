//! A plan run once for each member of a batch.
//!
//! dlgrad.func.vmap hides the dimension of its batch from an operation: the operation's plan is
//! made for one member, and the plan made here runs it over all of them, each operand moved on
//! by its own step (0: the same for all). Kernels know nothing of it.
const std = @import("std");
const plan_zig = @import("plan.zig");
const memory = @import("memory.zig");

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;

const Repeat = struct {
    inner: *const Plan,
    sizes: []const i64,
    /// In bytes, for each operand one for each dimension of the batch.
    steps: []const i64,
};

/// numbers: bytes of operand 0 for the whole batch, the batch's sizes (ndim), then the steps of
/// each operand. The result does not own `inner`, which must outlive it.
pub fn make(inner: *const Plan, ndim: usize, numbers: [*]const i64) ?*Plan {
    const n_steps = inner.operands.len * ndim;
    const at_numbers = std.mem.alignForward(usize, @sizeOf(Repeat), 64);
    const state = memory.alloc(at_numbers + (ndim + n_steps) * 8) orelse return null;
    const own: [*]i64 = @ptrCast(@alignCast(state + at_numbers));
    @memcpy(own[0 .. ndim + n_steps], numbers[1..]);
    const r: *Repeat = @ptrCast(@alignCast(state));
    r.* = .{ .inner = inner, .sizes = own[0..ndim], .steps = own[ndim..][0..n_steps] };

    const block = memory.alloc(@sizeOf(Plan)) orelse {
        memory.free(state);
        return null;
    };
    const p: *Plan = @ptrCast(block);
    p.* = inner.*;
    p.entry = entry;
    p.out_bytes = @intCast(numbers[0]);
    p.state = state;
    p.state_bytes = @sizeOf(Repeat);
    return p;
}

fn entry(p: *const Plan, call: *Call) callconv(.c) void {
    const r = p.stateAs(Repeat);
    const ndim = r.sizes.len;
    const n_operands = r.inner.operands.len;
    for (r.sizes) |s| if (s == 0) return;

    var at: [max_batch_dims]i64 = @splat(0);
    var ptr = call.ptr;
    while (true) {
        var one: Call = .{ .ptr = ptr, .scalar = call.scalar };
        r.inner.entry(r.inner, &one);
        const status = one.status.load(.monotonic);
        if (status != 0) {
            call.detail = one.detail;
            call.status.store(status, .monotonic);
            return;
        }
        var d = ndim;
        while (true) {
            if (d == 0) return;
            d -= 1;
            at[d] += 1;
            const back: i64 = if (at[d] == r.sizes[d]) r.sizes[d] - 1 else -1;
            for (0..n_operands) |i| move(&ptr[i], -back * r.steps[i * ndim + d]);
            if (back < 0) break;
            at[d] = 0;
        }
    }
}

/// Dimensions of a batch: as many nested vmaps.
pub const max_batch_dims = 16;

fn move(ptr: *?[*]u8, bytes: i64) void {
    const p = ptr.* orelse return;
    ptr.* = @ptrFromInt(@as(usize, @bitCast(@as(isize, @bitCast(@intFromPtr(p))) +% bytes)));
}

test "each member of a batch of two dimensions is run, moved on by the operands' steps" {
    const Sum = struct { // out = a + 1, of one element
        fn run(_: *const Plan, call: *Call) callconv(.c) void {
            call.at(i64, 0)[0] = call.at(i64, 1)[0] + 1;
        }
    };
    const scalar: plan_zig.Operand = .{ .dtype = .int64, .shape = &.{}, .strides = &.{} };
    var inner = plan_zig.testPlan(&.{ scalar, scalar }, 1, 0, &.{}, &.{});
    inner.entry = Sum.run;
    // The first dimension repeats the input.
    const p = make(&inner, 2, &.{ 48, 2, 3, 24, 8, 0, 8 }).?;
    defer {
        plan_zig.destroyState(p);
        memory.free(@ptrCast(p));
    }
    var a = [_]i64{ 10, 20, 30 };
    var out: [6]i64 = undefined;
    var call: Call = .{};
    call.ptr[0] = @ptrCast(&out);
    call.ptr[1] = @ptrCast(&a);
    p.entry(p, &call);
    try std.testing.expectEqual([6]i64{ 11, 21, 31, 11, 21, 31 }, out);
}
