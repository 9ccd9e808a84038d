//! What a Python function did while a Memo (memo.zig) asked it: the plan that was run last, and how
//! much was done. The door's calls tell it here.
const plan_zig = @import("../plan.zig");
const api = @import("api.zig");
const PlanObject = @import("objects.zig").PlanObject;
const O = *api.Object;

/// The plan that this thread ran last, kept while some Memo asks its function.
pub const Watch = struct {
    depth: usize = 0,
    count: usize = 0,
    plan: ?O = null,
    result: ?O = null,
    operands: [plan_zig.max_operands]?O = @splat(null),
    scalars: [plan_zig.max_scalars]plan_zig.Scalar = undefined,

    pub fn clear(w: *Watch) void {
        const old = w.*;
        w.plan = null;
        w.result = null;
        w.operands = @splat(null);
        api.drop(old.plan);
        api.drop(old.result);
        for (old.operands) |o| api.drop(o);
    }
};
pub threadlocal var watch: Watch = .{};

/// A plan was run on these tensors (None: left out): its inputs, where there is a new result, else
/// the one that was written to and its inputs.
pub inline fn note(p: *const PlanObject, result: ?O, tensors: []const O, call: *const plan_zig.Call) void {
    if (watch.depth > 0) remember(p, result, tensors, call);
}

/// A tensor was made of memory that nothing was written to.
pub inline fn noteEmpty(t: O) void {
    if (watch.depth == 0) return;
    watch.clear();
    watch.count += 1;
    watch.result = api.keep(t);
}

/// Something was done that no Memo can repeat.
pub inline fn noteOther() void {
    watch.count += 2;
}

fn remember(p: *const PlanObject, result: ?O, tensors: []const O, call: *const plan_zig.Call) void {
    @branchHint(.cold);
    watch.clear();
    watch.count += 1;
    watch.plan = api.keep(@constCast(&p.head));
    if (result) |r| watch.result = api.keep(r);
    for (tensors, watch.operands[0..tensors.len]) |t, *o| o.* = api.keep(t);
    watch.scalars = call.scalar;
}
