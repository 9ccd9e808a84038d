//! What a Python function did while a Memo (memo.zig) asked it: the plans that were run, in their
//! order. The door's calls tell it here.
const plan_zig = @import("../plan.zig");
const api = @import("api.zig");
const PlanObject = @import("objects.zig").PlanObject;
const O = *api.Object;
const py = &api.py;

/// So many steps of a function are remembered.
pub const most = 64;

/// One step.
pub const Note = struct {
    /// Null: memory that nothing was written to, or
    plan: ?O,
    /// a tensor that is the same each time; or (there is no result) a tensor was given another layout.
    constant: bool = false,
    /// A tensor, or a tuple of several; null: it was written into the first of the operands.
    result: ?O,
    /// The tensors that it was given (None: left out), and where it found their elements.
    operands: [plan_zig.max_operands]?O = @splat(null),
    addresses: [plan_zig.max_operands]?[*]u8 = @splat(null),
    scalars: [plan_zig.max_scalars]plan_zig.Scalar = undefined,

    pub fn isReshape(n: *const Note) bool {
        return n.plan == null and n.result == null;
    }
    fn release(n: *const Note) void {
        api.drop(n.plan);
        api.drop(n.result);
        for (n.operands) |o| api.drop(o);
    }
};

/// What this thread does, kept while some Memo asks its function.
const Watch = struct {
    depth: usize = 0,
    /// How many steps there were, and how many of them are no longer in the list.
    count: usize = 0,
    lost: usize = 0,
    /// What was done that no Memo can repeat.
    others: usize = 0,
    list: ?*[most]Note = null,

    fn add(w: *Watch, n: Note) void {
        if (w.count - w.lost == most) w.clear();
        const list = w.list orelse {
            w.others += 1;
            return n.release();
        };
        list[w.count - w.lost] = n;
        w.count += 1;
    }

    /// Empties the list. What is dropped may run anything, so nobody finds it meanwhile.
    fn clear(w: *Watch) void {
        const list = w.list orelse return;
        const n = w.count - w.lost;
        w.lost = w.count;
        w.list = null;
        for (list[0..n]) |*old| old.release();
        if (w.list == null) w.list = list else py.PyMem_RawFree(@ptrCast(list));
    }
};
threadlocal var watch: Watch = .{};

/// Whether anybody wants to know.
pub inline fn isOn() bool {
    return watch.depth > 0;
}

/// Where a function starts.
pub const Mark = struct { count: usize, others: usize };

pub fn begin() Mark {
    watch.depth += 1;
    if (watch.list == null) {
        if (py.PyMem_RawMalloc(@sizeOf([most]Note))) |block| watch.list = @ptrCast(@alignCast(block));
    }
    return .{ .count = watch.count, .others = watch.others };
}

/// All that was done since; null: it was something else, or too much.
pub fn since(mark: Mark) ?[]const Note {
    if (watch.others != mark.others or mark.count < watch.lost) return null;
    const list = watch.list orelse return null;
    return list[mark.count - watch.lost .. watch.count - watch.lost];
}

pub fn end() void {
    watch.depth -= 1;
    if (watch.depth > 0) return;
    watch.clear();
    if (watch.list) |list| py.PyMem_RawFree(@ptrCast(list));
    watch.list = null;
}

/// A plan was run on these tensors (None: left out): its inputs, where there is a new result, else
/// those that were written to and its inputs.
pub inline fn note(p: *const PlanObject, result: ?O, tensors: []const O, call: *const plan_zig.Call) void {
    if (isOn()) remember(p, result, tensors, call);
}

/// A tensor was made of memory that nothing was written to.
pub inline fn noteEmpty(t: O) void {
    if (isOn()) watch.add(.{ .plan = null, .result = api.keep(t) });
}

/// A tensor is used that does not depend on the function's arguments, and that nobody writes to.
pub fn noteConstant(t: O) void {
    if (isOn()) watch.add(.{ .plan = null, .constant = true, .result = api.keep(t) });
}

/// A tensor was given another layout, in the memory that it had.
pub fn noteReshape() void {
    if (isOn()) watch.add(.{ .plan = null, .result = null });
}

/// Something was done that no Memo can repeat.
pub inline fn noteOther() void {
    watch.others += 1;
}

fn remember(p: *const PlanObject, result: ?O, tensors: []const O, call: *const plan_zig.Call) void {
    @branchHint(.cold);
    var n: Note = .{ .plan = api.keep(@constCast(&p.head)), .result = null, .scalars = call.scalar };
    const first = if (result) |r| blk: {
        n.result = api.keep(r);
        break :blk p.plan.n_out;
    } else 0;
    for (tensors, n.operands[0..tensors.len]) |t, *o| o.* = api.keep(t);
    @memcpy(n.addresses[0..tensors.len], call.ptr[first..][0..tensors.len]);
    watch.add(n);
}
