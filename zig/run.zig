//! Running a plan: every kernel run of the library passes through `execute`.
const std = @import("std");
const plan_zig = @import("plan.zig");
const memory = @import("memory.zig");
const Plan = plan_zig.Plan;
const Call = plan_zig.Call;

/// Why the calling thread's last call failed.
pub const Failure = struct { status: i32 = 0, detail: [3]i64 = .{ 0, 0, 0 } };
pub threadlocal var failure: Failure = .{};

pub fn fail(status: plan_zig.Status) void {
    failure = .{ .status = @backingInt(status) };
}

/// 0, or a status that `failure` has too.
pub inline fn execute(plan: *const Plan, call: *Call) i32 {
    plan.entry(plan, call);
    const status = call.status.load(.monotonic);
    if (status != 0) failure = .{ .status = status, .detail = call.detail };
    return status;
}

/// Allocates operand 0 and computes it; null: see `failure`.
pub inline fn new(plan: *const Plan, call: *Call) ?[*]u8 {
    const out = memory.alloc(plan.out_bytes) orelse {
        fail(.out_of_memory);
        return null;
    };
    call.ptr[0] = out;
    if (execute(plan, call) == 0) return out;
    memory.free(out);
    return null;
}
