//! `Memo`: a Python function whose answers of a usual kind are given again without it.
//!
//! Memo(slow) is called like slow(...). What it is called with is read as a key: tensors by their
//! layout, all else (ints, floats, strings, dtypes, None, slices, tuples and lists of these) by
//! value. Where slow() did nothing but one of these, the next call with that key does it here:
//!   same   returned one of its tensors
//!   view   returned a view of its first tensor
//!   plan   ran one plan over its tensors, and recorded the result (the first, where it has several) by a rule
//!   all    ran one plan, and returned all its results as a tuple, none of which is recorded
//!   empty  made a tensor that nothing was written to
//!   write  ran one plan into (a part of) one of its tensors, and returned that or None
//!   reshape  gave its only tensor another layout, and returned that
//!   chain  ran some plans over its tensors and their results, and returned some of these or views of them (or None, where
//!          the first was written to); the last plans may write into its tensors, which then may get a new history
//! What it did is seen from outside: from the plans that were run meanwhile (`note`) and from the
//! result, whose node Python reads (`recipe_of` in autograd/learned.py). A key is learned when it comes
//! for the second time. Only functions whose way depends on nothing but the key may be wrapped.
const std = @import("std");
const api = @import("api.zig");
const key_zig = @import("key.zig");
const memo_chain = @import("memo_chain.zig");
const memo_entry = @import("memo_entry.zig");
const memo_graph = @import("memo_graph.zig");
const memo_watch = @import("memo_watch.zig");
const objects = @import("objects.zig");
const Edges = memo_entry.Edges;
const Entry = memo_entry.Entry;
const Key = key_zig.Key;
const Note = memo_watch.Note;
const Object = api.Object;
const PlanObject = objects.PlanObject;
const Tensor = objects.Tensor;
const O = *Object;
const py = &api.py;
const left_out = memo_entry.left_out;
const mayWrite = memo_entry.mayWrite;

/// learned.recipe_of
var recipe_of: ?O = null;
/// Hashes that came once, in sets whose newest comes first: keys that take turns do not drive each other out.
var sightings: [1024][4]u64 = @splat(@splat(0));

fn wasSeen(hash: u64) bool {
    const set = &sightings[@intCast(hash % sightings.len)];
    for (set) |h| if (h == hash) return true;
    std.mem.copyBackwards(u64, set[1..], set[0..3]);
    set[0] = hash;
    return false;
}

pub const Memo = extern struct {
    head: Object,
    vectorcall: *const fn (O, [*]const O, usize, ?O) callconv(.c) ?O,
    slow: O,
    dict: ?O,
    weak: ?O,
    /// Open addressing; a power of two, at most half of it in use.
    entries: ?[*]?*Entry,
    size: usize,
    used: usize,

    var kind: O = undefined;
    const most = 2048;

    fn call(o: O, args: [*]const O, nf: usize, names: ?O) callconv(.c) ?O {
        const m: *Memo = @ptrCast(o);
        var key: Key = .start();
        if (!key.read(args, nf & ~api.offset_bit, names)) return m.ask(args, nf, names);
        if (m.find(&key)) |e| {
            e.holders += 1;
            defer e.release();
            switch (e.answer(&key)) {
                .done => |result| return result,
                .unknown => {},
            }
            if (e.failures > 2) return m.ask(args, nf, names);
        } else if (!wasSeen(key.hash)) return m.ask(args, nf, names);
        return m.askAndLearn(&key, args, nf, names);
    }

    /// slow(...)
    fn ask(m: *Memo, args: [*]const O, nf: usize, names: ?O) ?O {
        const n = nf & ~api.offset_bit;
        const keywords = if (names) |list| keywordsOf(list, args + n) orelse return null else null;
        defer api.drop(keywords);
        return py.PyObject_VectorcallDict(m.slow, @ptrCast(args), nf, keywords);
    }

    fn keywordsOf(names: O, values: [*]const O) ?O {
        const dict = py.PyDict_New() orelse return null;
        for (0..@intCast(py.PyTuple_Size(names))) |i| {
            const name = py.PyTuple_GetItem(names, @intCast(i)).?;
            if (py.PyDict_SetItem(dict, name, values[i]) != 0) {
                api.drop(dict);
                return null;
            }
        }
        return dict;
    }

    fn askAndLearn(m: *Memo, key: *const Key, args: [*]const O, nf: usize, names: ?O) ?O {
        @branchHint(.cold);
        const before: Before = .of(key);
        defer before.release();
        const mark = memo_watch.begin();
        const result = m.ask(args, nf, names);
        if (result) |r| m.learn(key, r, &before, memo_watch.since(mark));
        memo_watch.end();
        return result;
    }

    // -------------------------------------------------------------- learning

    fn learn(m: *Memo, key: *const Key, result: O, before: *const Before, done: ?[]const Note) void {
        const e = m.find(key) orelse m.add(key) orelse return;
        e.holders += 1;
        defer e.release();
        const notes = done orelse {
            e.failures +|= 1;
            return;
        };
        const learned = if (notes.len == 1 and notes[0].isReshape())
            learnReshape(e, key, result)
        else
            before.isNow(key) and (whatWasDone(e, key, result, notes) or learnChain(e, key, before, result, notes));
        if (!learned) e.failures +|= 1;
        if (py.PyErr_Occurred() != null) py.PyErr_Clear();
    }

    fn whatWasDone(e: *Entry, key: *const Key, result: O, notes: []const Note) bool {
        if (notes.len > 1) return false;
        const step = if (notes.len == 1) &notes[0] else null;
        for (key.tensors[0..key.n_tensors], 0..) |t, i| if (t == result) {
            if (step) |n| return learnWrite(e, key, n, @intCast(i), false);
            if (e.action != .nothing) return false;
            e.which = @intCast(i);
            e.action = .same;
            return true;
        };
        if (e.action != .nothing) return false;
        const is_tensor = result.kind == Tensor.slots.kind;
        const n = step orelse return is_tensor and learnView(e, key, result);
        if (result == api.none) return key.n_tensors > 0 and learnWrite(e, key, n, 0, true);
        if (!is_tensor) return learnAll(e, key, n, result);
        if (n.plan == null) return n.result == result and !n.constant and learnEmpty(e, result);
        return learnPlan(e, key, n, result);
    }

    fn learnReshape(e: *Entry, key: *const Key, result: O) bool {
        if (e.action != .nothing or key.n_tensors != 1 or result != key.tensors[0] or !memo_entry.isFree(result)) return false;
        e.layout = api.keep(Tensor.slots.get(result, "_layout").?);
        e.action = .reshape;
        return true;
    }

    /// Several steps.
    fn learnChain(e: *Entry, key: *const Key, before: *const Before, result: O, notes: []const Note) bool {
        if (e.action != .nothing) return false;
        e.choice = before.edges.choice;
        e.silent = result == api.none and key.n_tensors > 0;
        const written = if (e.silent) key.tensors[0] else result;
        e.chain = memo_chain.learn(key, before.edges.wanted(), notes, written, e.silent) orelse return false;
        e.action = .chain;
        return true;
    }

    fn learnWrite(e: *Entry, key: *const Key, n: *const Note, which: u8, silent: bool) bool {
        const storage = Tensor.slots.get(key.tensors[which], "_storage").?;
        if (e.action != .nothing or n.plan == null or n.result != null or
            !mayWrite(key, key.tensors[which], storage) or !learnOperands(e, key, n)) return false;
        if (e.operands[0] != which or !silent and n.operands[0] != key.tensors[which]) return false;
        e.which = which;
        e.silent = silent;
        e.action = .write;
        return true;
    }

    fn learnEmpty(e: *Entry, result: O) bool {
        const storage = objects.Storage.of(Tensor.slots.get(result, "_storage").?) orelse return false;
        if (Tensor.slots.get(result, "_requires_grad") != api.false_) return false;
        e.layout = api.keep(Tensor.slots.get(result, "_layout").?);
        e.offset = @intCast(storage.nbytes);
        e.action = .empty;
        return true;
    }

    fn learnPlan(e: *Entry, key: *const Key, n: *const Note, result: O) bool {
        const made = n.result orelse return false;
        var results: ?O = null;
        if (made != result) {
            results = made;
            if (made.kind != py.PyTuple_Type) return false;
            e.which = for (0..@intCast(py.PyTuple_Size(made))) |i| {
                if (py.PyTuple_GetItem(made, @intCast(i)) == result) break @intCast(i);
            } else return false;
        }
        if (Tensor.slots.get(result, "_view") != api.none or !learnOperands(e, key, n) or
            !learnRecipe(e, key, result, results)) return false;
        e.action = .plan;
        return true;
    }

    /// A tuple (or one of its classes) of all that a plan has made.
    fn learnAll(e: *Entry, key: *const Key, note: *const Note, result: O) bool {
        const made = note.result orelse return false;
        if (note.plan == null or made.kind != py.PyTuple_Type or py.PyType_IsSubtype(result.kind, py.PyTuple_Type) == 0) return false;
        const n = py.PyTuple_Size(made);
        if (py.PyTuple_Size(result) != n) return false;
        var i: isize = 0;
        while (i < n) : (i += 1) {
            const t = py.PyTuple_GetItem(result, i).?;
            if (t != py.PyTuple_GetItem(made, i)) return false;
            if (t == api.none or t.kind != Tensor.slots.kind or
                Tensor.slots.get(t, "_requires_grad") != api.false_) return false;
        }
        if (!learnOperands(e, key, note)) return false;
        e.layout = if (result == made)
            api.keep(api.none)
        else
            py.PyObject_GetAttrString(result, "_make") orelse return false;
        e.action = .all;
        return true;
    }

    /// How many bytes behind `x` its plain view `t` starts; null: it is none.
    fn viewOffset(x: O, t: O) ?usize {
        if (t.kind != Tensor.slots.kind) return null;
        const base = Tensor.slots.get(x, "_view").?;
        const view = Tensor.slots.get(t, "_view").?;
        if (view == api.none or view != if (base == api.none) x else base) return null;
        if (Tensor.slots.get(t, "_view_mode") != api.none) return null;
        return (Tensor.address(t) orelse return null) -% (Tensor.address(x) orelse return null);
    }

    fn learnOperands(e: *Entry, key: *const Key, note: *const Note) bool {
        const plan: *const PlanObject = @ptrCast(note.plan.?);
        const into = note.result == null;
        if (into and plan.plan.n_out != 1) return false;
        const n = plan.plan.operands.len - if (into) 0 else plan.plan.n_out;
        for (note.operands[0..n], note.addresses[0..n], e.operands[0..n], e.shifts[0..n]) |operand, address, *place, *shift| {
            const o = operand.?;
            place.* = if (o == api.none) left_out else placeOf(key, o) orelse return false;
            if (place.* == left_out) continue;
            shift.* = @intFromPtr(address) -% (Tensor.address(key.tensors[place.*]) orelse return false);
        }
        e.n_operands = @intCast(n);
        e.scalars = note.scalars;
        api.drop(e.plan);
        e.plan = api.keep(note.plan.?);
        return true;
    }

    /// Which of the tensors an operand is, or lies in.
    fn placeOf(key: *const Key, o: O) ?u8 {
        const storage = Tensor.slots.get(o, "_storage");
        var found: ?u8 = null;
        for (key.tensors[0..key.n_tensors], 0..) |t, i| {
            if (t == o) return @intCast(i);
            if (Tensor.slots.get(t, "_storage") != storage) continue;
            if (found != null) return null;
            found = @intCast(i);
        }
        return found;
    }

    fn learnView(e: *Entry, key: *const Key, result: O) bool {
        if (key.n_tensors != 1) return false;
        e.offset = viewOffset(key.tensors[0], result) orelse return false;
        if (!learnRecipe(e, key, result, null)) return false;
        e.layout = api.keep(Tensor.slots.get(result, "_layout").?);
        e.action = .view;
        return true;
    }

    fn learnRecipe(e: *Entry, key: *const Key, result: O, results: ?O) bool {
        var edges: Edges = .{};
        defer edges.release();
        if (!edges.find(key)) return false;
        const recorded = Tensor.slots.get(result, "_requires_grad") == api.true_;
        e.choice = edges.choice;
        if (!recorded) return edges.choice == 0 or Tensor.slots.get(result, "_view") == api.none;
        if (edges.choice == 0) return false;
        const recipe = readRecipe(key, &edges, result, results orelse api.none) orelse return false;
        if (recipe != api.none) e.recipe = recipe else api.drop(recipe);
        return recipe != api.none;
    }

    fn readRecipe(key: *const Key, edges: *const Edges, result: O, results: O) ?O {
        const n = key.n_tensors;
        const tensors = py.PyTuple_New(@intCast(n)) orelse return null;
        defer api.drop(tensors);
        const list = py.PyTuple_New(@intCast(n)) orelse return null;
        defer api.drop(list);
        for (key.tensors[0..n], edges.list[0..n], 0..) |t, edge, i| {
            _ = py.PyTuple_SetItem(tensors, @intCast(i), api.keep(t));
            _ = py.PyTuple_SetItem(list, @intCast(i), api.keep(edge orelse api.none));
        }
        return api.callObject(recipe_of orelse return null, &.{ result, tensors, list, results });
    }

    // -------------------------------------------------------------- the cache

    inline fn find(m: *const Memo, key: *const Key) ?*Entry {
        const entries = m.entries orelse return null;
        var i = key.hash >> 20 & (m.size - 1);
        while (entries[i]) |e| : (i = (i + 1) & (m.size - 1)) {
            if (e.hash == key.hash and std.mem.eql(u64, e.key, key.tokens[0..key.n])) return e;
        }
        return null;
    }

    fn add(m: *Memo, key: *const Key) ?*Entry {
        if (2 * (m.used + 1) > m.size and !m.grow()) return null;
        const e = Entry.make(key) orelse return null;
        m.insert(e);
        return e;
    }

    fn insert(m: *Memo, e: *Entry) void {
        var i = e.hash >> 20 & (m.size - 1);
        while (m.entries.?[i] != null) i = (i + 1) & (m.size - 1);
        m.entries.?[i] = e;
        m.used += 1;
    }

    /// Twice the room; at the bound, all is forgotten.
    fn grow(m: *Memo) bool {
        const old = if (m.entries) |list| list[0..m.size] else &.{};
        const full = m.size == most;
        const size: usize = if (m.size == 0) 8 else @min(2 * m.size, most);
        const entries: [*]?*Entry = @ptrCast(@alignCast(py.PyMem_RawMalloc(size * @sizeOf(?*Entry)) orelse return false));
        @memset(entries[0..size], null);
        m.entries = entries;
        m.size = size;
        m.used = 0;
        if (!full) for (old) |e| if (e) |x| m.insert(x);
        // Only now, as what is dropped may run anything.
        if (full) for (old) |e| if (e) |x| x.release();
        if (old.len > 0) py.PyMem_RawFree(@ptrCast(@constCast(old.ptr)));
        return true;
    }

    /// forget(): empties the cache.
    fn forget(o: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
        const m: *Memo = @ptrCast(o.?);
        const old = if (m.entries) |list| list[0..m.size] else &.{};
        m.entries = null;
        m.size = 0;
        m.used = 0;
        for (old) |e| if (e) |x| x.release();
        if (old.len > 0) py.PyMem_RawFree(@ptrCast(@constCast(old.ptr)));
        return api.keep(api.none);
    }

    /// known(): how many keys it can answer.
    fn known(o: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
        const m: *Memo = @ptrCast(o.?);
        var n: usize = 0;
        if (m.entries) |list| for (list[0..m.size]) |e| if (e) |x| {
            n += @intFromBool(x.action != .nothing);
        };
        return py.PyLong_FromSize_t(n);
    }

    // -------------------------------------------------------------- the type

    /// The function behind `o`, if that is a memo, else `o`.
    pub fn functionOf(o: O) O {
        if (o.kind != kind) return o;
        const m: *const Memo = @ptrCast(o);
        return m.slow;
    }

    /// Memo(slow)
    fn new(cls: O, args: O, _: ?O) callconv(.c) ?O {
        if (py.PyTuple_Size(args) != 1) return api.typeError("Memo(): expected a function");
        const m: *Memo = @ptrCast(py.PyType_GenericAlloc(cls, 0) orelse return null);
        m.vectorcall = call;
        m.slow = api.keep(py.PyTuple_GetItem(args, 0).?);
        return &m.head;
    }

    fn dealloc(o: O) callconv(.c) void {
        const m: *Memo = @ptrCast(o);
        if (m.weak != null) py.PyObject_ClearWeakRefs(o);
        api.drop(forget(o, undefined, 0));
        api.drop(m.slow);
        api.drop(m.dict);
        py.PyObject_Free(o);
        api.drop(kind);
    }

    /// What it has not, its function may have.
    fn getAttribute(o: O, name: O) callconv(.c) ?O {
        if (py.PyObject_GenericGetAttr(o, name)) |found| return found;
        if (py.PyErr_ExceptionMatches(py.PyExc_AttributeError.*) == 0) return null;
        py.PyErr_Clear();
        const m: *Memo = @ptrCast(o);
        return py.PyObject_GetAttr(m.slow, name);
    }

    /// It passes for a function.
    fn getClass(o: O, _: ?*anyopaque) callconv(.c) ?O {
        const m: *Memo = @ptrCast(o);
        return api.keep(m.slow.kind);
    }

    const methods = [_]api.MethodDef{
        .{ .name = "forget", .function = &forget },
        .{ .name = "known", .function = &known },
        .{ .flags = 0 },
    };
    const members = [_]api.MemberDef{
        objects.member("__vectorcalloffset__", @offsetOf(Memo, "vectorcall"), api.MemberDef.ssize, true),
        objects.member("__dictoffset__", @offsetOf(Memo, "dict"), api.MemberDef.ssize, true),
        objects.member("__weaklistoffset__", @offsetOf(Memo, "weak"), api.MemberDef.ssize, true),
        objects.member("__wrapped__", @offsetOf(Memo, "slow"), api.MemberDef.object, true),
        .{},
    };
};

/// What the tensors of a key were: a function may give one another layout or memory (`out=` of another shape), or another
/// history.
const Before = struct {
    n: usize,
    edges: Edges = .{},
    layouts: [key_zig.max_tensors]?O = undefined,
    storages: [key_zig.max_tensors]?O = undefined,

    fn of(key: *const Key) Before {
        var b: Before = .{ .n = key.n_tensors };
        for (key.tensors[0..b.n], b.layouts[0..b.n], b.storages[0..b.n]) |t, *layout, *storage| {
            layout.* = api.keep(Tensor.slots.get(t, "_layout").?);
            storage.* = api.keep(Tensor.slots.get(t, "_storage").?);
        }
        if (!b.edges.find(key)) { // the function will say why
            py.PyErr_Clear();
            b.edges.release();
            b.edges = .{};
        }
        return b;
    }
    fn isNow(b: *const Before, key: *const Key) bool {
        for (key.tensors[0..b.n], b.layouts[0..b.n], b.storages[0..b.n]) |t, layout, storage| {
            if (Tensor.slots.get(t, "_layout") != layout or Tensor.slots.get(t, "_storage") != storage) return false;
        }
        return true;
    }
    fn release(b: *const Before) void {
        b.edges.release();
        for (b.layouts[0..b.n], b.storages[0..b.n]) |layout, storage| {
            api.drop(layout);
            api.drop(storage);
        }
    }
};

/// The slots' values that are known at run time are given to it there.
pub fn register(namespace: O) bool {
    const getset = [_]api.GetSetDef{
        .{ .name = "__dict__", .get = py.PyObject_GenericGetDict },
        .{ .name = "__class__", .get = Memo.getClass },
        .{},
    };
    const slots = [_]api.Slot{
        .{ .number = api.Slot.new, .value = &Memo.new },
        .{ .number = api.Slot.dealloc, .value = &Memo.dealloc },
        .{ .number = api.Slot.call, .value = py.PyVectorcall_Call },
        .{ .number = api.Slot.descr_get, .value = &objects.bound },
        .{ .number = api.Slot.getattro, .value = &Memo.getAttribute },
        .{ .number = api.Slot.members, .value = &Memo.members },
        .{ .number = api.Slot.methods, .value = &Memo.methods },
        .{ .number = api.Slot.getset, .value = lasting(&getset) orelse return false },
        .{},
    };
    const spec: api.Spec = .{
        .name = "dlgrad._native.Memo",
        .size = @sizeOf(Memo),
        .flags = api.Spec.basic | api.Spec.vectorcall | api.Spec.method,
        .slots = &slots,
    };
    Memo.kind = py.PyType_FromSpec(&spec) orelse return false;
    return objects.put(namespace, "Memo", Memo.kind) and objects.putAll(namespace, &functions);
}

/// A copy that stays: descriptors point into it.
fn lasting(list: []const api.GetSetDef) ?[*]api.GetSetDef {
    const block = py.PyMem_RawMalloc(list.len * @sizeOf(api.GetSetDef)) orelse return null;
    const copy: [*]api.GetSetDef = @ptrCast(@alignCast(block));
    @memcpy(copy[0..list.len], list);
    return copy;
}

/// bind_memo(recipe_of, script_of, Output, MAYBE, types that are keys by identity: Layout, dtype, Size, three others)
fn bind(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 10) return api.typeError("bind_memo()");
    recipe_of = api.keep(args[0]);
    memo_graph.script_of = api.keep(args[1]);
    memo_graph.output_type = api.keep(args[2]);
    Tensor.maybe = api.keep(args[3]);
    key_zig.layout_type = api.keep(args[4]);
    key_zig.dtype_type = api.keep(args[5]);
    key_zig.size_type = api.keep(args[6]);
    for (&key_zig.other_types, args[7..10]) |*to, kind| to.* = api.keep(kind);
    return api.keep(api.none);
}

/// forget_all(): something that functions look at beside their arguments has changed.
fn forgetAll(_: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
    key_zig.epoch += 1;
    return api.keep(api.none);
}

/// note_other()
fn noteOtherCalled(_: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
    memo_watch.noteOther();
    return api.keep(api.none);
}

/// note_reshape()
fn noteReshape(_: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
    memo_watch.noteReshape();
    return api.keep(api.none);
}

/// note_constant(tensor, ...)
fn noteConstant(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    for (args[0..@intCast(n)]) |t| memo_watch.noteConstant(t);
    return api.keep(api.none);
}

const functions = [_]api.MethodDef{
    .{ .name = "note_constant", .function = &noteConstant },
    .{ .name = "note_reshape", .function = &noteReshape },
    .{ .name = "note_other", .function = &noteOtherCalled },
    .{ .name = "bind_memo", .function = &bind },
    .{ .name = "forget_all", .function = &forgetAll },
};
