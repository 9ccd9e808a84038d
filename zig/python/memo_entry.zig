//! What a Memo (memo.zig) knows of one key: what to do instead of asking the function again, and
//! where the gradients of such a call go.
const api = @import("api.zig");
const call_zig = @import("call.zig");
const graph = @import("graph.zig");
const key_zig = @import("key.zig");
const memo_chain = @import("memo_chain.zig");
const memo_watch = @import("memo_watch.zig");
const objects = @import("objects.zig");
const plan_zig = @import("../plan.zig");
const Key = key_zig.Key;
const PlanObject = objects.PlanObject;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

pub const Action = enum { nothing, same, view, plan, all, write, empty, chain, reshape };
pub const left_out = 255;

pub const Entry = struct {
    key: []u64,
    hash: u64,
    /// The table, and the calls that are answered by it now.
    holders: usize = 1,
    /// How often it was not what it took.
    failures: u8 = 0,
    action: Action = .nothing,
    /// Which of the tensors is returned.
    which: u8 = 0,
    n_operands: u8 = 0,
    /// For each operand of the plan in which of the tensors it lies, and how many bytes behind its first element.
    operands: [plan_zig.max_operands]u8 = undefined,
    shifts: [plan_zig.max_operands]usize = undefined,
    /// Whether None is returned.
    silent: bool = false,
    scalars: [plan_zig.max_scalars]plan_zig.Scalar = undefined,
    plan: ?O = null,
    /// Of the result; of all results what makes them out of a tuple (None: the tuple itself).
    layout: ?O = null,
    /// Of a view, in bytes; of an empty tensor: how many bytes.
    offset: usize = 0,
    /// The tensors that want a gradient (bit i: tensor i), and how the result is recorded; null: not at all.
    choice: u32 = 0,
    recipe: ?O = null,
    chain: ?*memo_chain.Chain = null,

    pub fn make(key: *const Key) ?*Entry {
        const e: *Entry = @ptrCast(@alignCast(py.PyMem_RawMalloc(@sizeOf(Entry)) orelse return null));
        const words: [*]u64 = @ptrCast(@alignCast(py.PyMem_RawMalloc(8 * key.n) orelse {
            py.PyMem_RawFree(e);
            return null;
        }));
        @memcpy(words[0..key.n], key.tokens[0..key.n]);
        e.* = .{ .key = words[0..key.n], .hash = key.hash };
        key_zig.keepAll(e.key);
        return e;
    }

    pub fn release(e: *Entry) void {
        e.holders -= 1;
        if (e.holders > 0) return;
        key_zig.dropAll(e.key);
        api.drop(e.plan);
        api.drop(e.layout);
        api.drop(e.recipe);
        if (e.chain) |c| c.release();
        py.PyMem_RawFree(e.key.ptr);
        py.PyMem_RawFree(e);
    }

    // -------------------------------------------------------------- answers

    pub const Answer = union(enum) { done: ?O, unknown };

    pub inline fn answer(e: *Entry, key: *const Key) Answer {
        return switch (e.action) {
            .nothing => .unknown,
            .same => .{ .done = api.keep(key.tensors[e.which]) },
            .view => e.takeView(key),
            .plan, .all => e.runPlan(key),
            .write => e.writePlan(key),
            .chain => e.runChain(key),
            .reshape => e.reshape(key),
            .empty => .{ .done = call_zig.newEmpty(e.offset, e.layout.?) orelse return .unknown },
        };
    }

    fn fill(e: *const Entry, key: *const Key, call: *plan_zig.Call, first: usize) bool {
        const n = e.n_operands;
        for (e.operands[0..n], e.shifts[0..n], call.ptr[first..][0..n]) |i, shift, *ptr| {
            if (i != left_out) ptr.* = @ptrFromInt((Tensor.address(key.tensors[i]) orelse return false) +% shift);
        }
        call.scalar = e.scalars;
        return true;
    }

    fn runPlan(e: *Entry, key: *const Key) Answer {
        var edges: Edges = .{};
        defer edges.release();
        if (!edges.find(key)) return .{ .done = null };
        if (edges.choice != e.choice) return .unknown;
        var call: plan_zig.Call = .{};
        const plan: *PlanObject = @ptrCast(e.plan.?);
        if (!e.fill(key, &call, plan.plan.n_out)) return .unknown;
        if (plan.plan.n_out > 1) return .{ .done = e.runSeveral(key, plan, &call, &edges) };
        const t = call_zig.newTensor(plan, &call) orelse return .{ .done = e.failed(plan, key) };
        if (memo_watch.isOn()) e.noteRun(key, plan, t, &call);
        return .{ .done = e.recorded(t, key, &edges, null) };
    }

    /// `t` in the graph, if it belongs there.
    inline fn recorded(e: *Entry, t: O, key: *const Key, edges: *Edges, results: ?O) ?O {
        const how = e.recipe orelse return t;
        if (edges.record(how, t, key, results)) return t;
        api.drop(t);
        return null;
    }

    fn runSeveral(e: *Entry, key: *const Key, plan: *PlanObject, call: *plan_zig.Call, edges: *Edges) ?O {
        const results = call_zig.runSeveral(plan, call) orelse return e.failed(plan, key);
        if (memo_watch.isOn()) e.noteRun(key, plan, results, call);
        if (e.action == .all) {
            if (e.layout.? == api.none) return results;
            defer api.drop(results);
            return api.callObject(e.layout.?, &.{results});
        }
        defer api.drop(results);
        return e.recorded(api.keep(py.PyTuple_GetItem(results, e.which).?), key, edges, results);
    }

    fn noteRun(e: *const Entry, key: *const Key, plan: *const PlanObject, t: ?O, call: *const plan_zig.Call) void {
        var list: [plan_zig.max_operands]O = undefined;
        for (e.operands[0..e.n_operands], list[0..e.n_operands]) |i, *o| {
            o.* = if (i == left_out) api.none else key.tensors[i];
        }
        memo_watch.note(plan, t, list[0..e.n_operands], call);
    }

    fn failed(e: *const Entry, plan: *const PlanObject, key: *const Key) ?O {
        _ = e;
        return call_zig.raise(plan, key.tensors[0..key.n_tensors]);
    }

    fn runChain(e: *Entry, key: *const Key) Answer {
        var edges: Edges = .{};
        defer edges.release();
        if (!edges.find(key)) return .{ .done = null };
        if (edges.choice != e.choice) return .unknown;
        const result = e.chain.?.run(key, edges.wanted()) orelse
            return if (py.PyErr_Occurred() != null) .{ .done = null } else .unknown;
        if (!e.silent) return .{ .done = result };
        api.drop(result);
        return .{ .done = api.keep(api.none) };
    }

    fn writePlan(e: *Entry, key: *const Key) Answer {
        const target = key.tensors[e.which];
        const storage = Tensor.slots.get(target, "_storage").?;
        const s = objects.Storage.of(storage) orelse return .unknown;
        if (!mayWrite(key, target, storage)) return .unknown;
        var call: plan_zig.Call = .{};
        if (!e.fill(key, &call, 0)) return .unknown;
        const plan: *PlanObject = @ptrCast(e.plan.?);
        const done = call_zig.execute(plan, &call);
        s.version += 1;
        if (!done) return .{ .done = e.failed(plan, key) };
        if (memo_watch.isOn()) e.noteRun(key, plan, null, &call);
        return .{ .done = api.keep(if (e.silent) api.none else target) };
    }

    fn reshape(e: *const Entry, key: *const Key) Answer {
        const t = key.tensors[0];
        if (!isFree(t)) return .unknown;
        memo_watch.noteReshape();
        Tensor.slots.set(t, "_layout", api.keep(e.layout.?));
        return .{ .done = api.keep(t) };
    }

    /// Whether a view of `x` is one like all others.
    pub inline fn isPlain(x: O) bool {
        return Tensor.slots.get(x, "_view_mode") == api.none and (objects.Mode.enabled or !Tensor.wants(x));
    }

    fn takeView(e: *Entry, key: *const Key) Answer {
        var edges: Edges = .{};
        defer edges.release();
        if (!edges.find(key)) return .{ .done = null };
        const x = key.tensors[0];
        if (edges.choice != e.choice or !isPlain(x)) return .unknown;
        const t = Tensor.view(x, e.layout.?, e.offset) orelse return .{ .done = null };
        return .{ .done = e.recorded(t, key, &edges, null) };
    }
};

/// Whether `t` and what it is a view of are of no graph, so that it may take another shape.
pub fn isFree(t: O) bool {
    return Tensor.slots.get(t, "_grad_fn") == api.none and Tensor.slots.get(t, "_view_mode") == api.none and !Tensor.wants(t);
}

/// Whether autograd does not care that `target` is written to, and no other of the tensors lies in its memory.
pub fn mayWrite(key: *const Key, target: O, storage: O) bool {
    const recording = objects.Mode.enabled;
    for (key.tensors[0..key.n_tensors]) |t| {
        if (t == target) continue;
        if (Tensor.slots.get(t, "_storage") == storage) return false;
        if (recording and Tensor.wants(t)) return false;
    }
    if (!recording) return true;
    const wanted = Tensor.slots.get(target, "_requires_grad");
    const base = Tensor.slots.get(target, "_view").?;
    if (base == api.none) return wanted == api.false_;
    return wanted != api.true_ and Tensor.slots.get(base, "_requires_grad") == api.false_ and
        Tensor.slots.get(target, "_view_mode") == api.none;
}

/// Where gradients of a call's tensors go.
pub const Edges = struct {
    list: [key_zig.max_tensors]?O = undefined,
    n: usize = 0,
    choice: u32 = 0,

    /// False: an exception.
    pub inline fn find(s: *Edges, key: *const Key) bool {
        if (!objects.Mode.enabled) return true;
        for (key.tensors[0..key.n_tensors]) |t| {
            if (Tensor.wants(t)) return s.findAll(key);
        }
        return true;
    }
    fn findAll(s: *Edges, key: *const Key) bool {
        for (key.tensors[0..key.n_tensors], 0..) |t, i| {
            var edge: ?O = null;
            if (Tensor.wants(t)) {
                edge = graph.edgeOf(t) orelse return false;
                if (edge == api.none) {
                    api.drop(edge);
                    edge = null;
                } else s.choice |= @as(u32, 1) << @intCast(i);
            }
            s.list[i] = edge;
            s.n = i + 1;
        }
        return true;
    }
    pub fn release(s: *const Edges) void {
        for (s.list[0..s.n]) |e| api.drop(e);
    }
    /// For each tensor of the key its edge; empty: no gradient is wanted.
    pub fn wanted(s: *const Edges) []const ?O {
        return if (s.choice == 0) &.{} else s.list[0..s.n];
    }
    /// recipe: (name, rule, kept, own, places): places[i] is the tensor that the node's edge i belongs to.
    pub fn record(s: *Edges, recipe: O, t: O, key: *const Key, results: ?O) bool {
        const places = py.PyTuple_GetItem(recipe, 4).?;
        const n: usize = @intCast(py.PyTuple_Size(places));
        var edges: [key_zig.max_tensors]?O = undefined;
        for (edges[0..n], 0..) |*e, i| {
            const place = py.PyLong_AsSize_t(py.PyTuple_GetItem(places, @intCast(i)).?);
            e.* = if (place == left_out) null else api.keep(s.list[place].?);
        }
        return graph.record(recipe, t, key.tensors[0..key.n_tensors], edges[0..n], results);
    }
};
