//! `Function`: an operation whose usual case never leaves this library.
//!
//! Function(slow, recipe, arity) is called like slow(inputs...), whose answers it learns: where
//! all inputs are tensors (or None, or one a number) and their layouts were seen before, it runs
//! the plan that slow() has left with `remember(key..., plan)`, and records the graph node by what
//! recipe(plan, choice) said of this choice of inputs that want a gradient (bit i: input i):
//! None (there is no derivative) or (name, rule, kept, own): kept are the numbers of the inputs
//! that the rule gets (`result`: the result without its history, whose place is `own`).
const std = @import("std");
const api = @import("api.zig");
const call_zig = @import("call.zig");
const graph = @import("graph.zig");
const objects = @import("objects.zig");
const memo_watch = @import("memo_watch.zig");
const memory = @import("../memory.zig");
const plan_zig = @import("../plan.zig");
const Object = api.Object;
const PlanObject = objects.PlanObject;
const Tensor = objects.Tensor;
const O = *Object;
const py = &api.py;

pub const max_inputs = 3;
const choices = 1 << max_inputs;

/// What is known of calls with these layouts.
const Entry = struct {
    /// For each input its layout; for None that; for a number its type.
    key: [max_inputs]?O = @splat(null),
    plan: *PlanObject = undefined,
    /// The numbers that the plan is for; `low > high`: it takes floats.
    low: i64 = 1,
    high: i64 = 0,
    recipes: [choices]?O = @splat(null),

    fn isEmpty(e: *const Entry) bool {
        return e.key[0] == null;
    }
    fn release(e: *Entry) void {
        for (e.key) |k| api.drop(k);
        for (e.recipes) |r| api.drop(r);
        api.drop(&e.plan.head);
        e.* = .{};
    }
};

const Function = extern struct {
    head: Object,
    vectorcall: *const fn (O, [*]const O, usize, ?O) callconv(.c) ?O,
    slow: O,
    recipe: O,
    name: ?O,
    arity: usize,
    /// Open addressing; a power of two, at most half of it in use.
    entries: ?[*]Entry,
    size: usize,
    used: usize,

    var kind: O = undefined;
    const most = 512;

    fn vectorcall_(o: O, args: [*]const O, nf: usize, names: ?O) callconv(.c) ?O {
        const f: *Function = @ptrCast(o);
        const n = nf & ~api.offset_bit;
        if (names == null and n == f.arity) {
            switch (f.quick(args[0..n])) {
                .done => |result| return result,
                .unknown => {},
            }
        }
        const keywords = if (names) |list| keywordsOf(list, args + n) orelse return null else null;
        defer api.drop(keywords);
        return py.PyObject_VectorcallDict(f.slow, @ptrCast(args), nf, keywords);
    }

    fn keywordsOf(names: O, values: [*]const O) ?O {
        const dict = py.PyDict_New() orelse return null;
        for (0..@intCast(py.PyTuple_Size(names))) |i| {
            const name = py.PyTuple_GetItem(names, @intCast(i)).?;
            if (py.PyDict_SetItem(dict, name, values[i]) != 0) return null;
        }
        return dict;
    }

    const Outcome = union(enum) { done: ?O, unknown };

    inline fn quick(f: *Function, args: []const O) Outcome {
        var key: [max_inputs]?O = @splat(null);
        var call: plan_zig.Call = .{};
        var number: ?O = null;
        var wanting: u8 = 0;
        var at: usize = 1;
        for (args, 0..) |a, i| {
            if (a.kind == Tensor.slots.kind or a.kind == Tensor.parameter) {
                key[i] = Tensor.slots.get(a, "_layout");
                call.ptr[at] = @ptrFromInt(Tensor.address(a) orelse return .unknown);
                at += 1;
                if (Tensor.slots.get(a, "_requires_grad") != api.false_) {
                    wanting |= @as(u8, 1) << @intCast(i);
                }
            } else if (a == api.none) {
                key[i] = a;
                at += 1;
            } else {
                key[i] = a.kind;
                number = a;
            }
        }
        const e = f.find(key) orelse return .unknown;
        if (number) |x| {
            if (e.low > e.high) {
                call.scalar[0] = .{ .f = py.PyFloat_AsDouble(x) };
            } else {
                const whole = py.PyLong_AsLongLong(x);
                call.scalar[0] = .{ .i = whole };
                if (whole < e.low or whole > e.high) return .unknown;
            }
            if (py.PyErr_Occurred() != null) {
                py.PyErr_Clear();
                return .unknown;
            }
        }
        const plan = e.plan;
        _ = api.keep(&plan.head); // another thread may drop it from the cache
        defer api.drop(&plan.head);
        const t = call_zig.newTensor(plan, &call) orelse return .{ .done = f.failed(plan, args) };
        f.note(plan, t, args, &call);
        if (wanting != 0 and objects.Mode.enabled) {
            if (!f.record(key, plan, t, args, wanting)) {
                api.drop(t);
                return .{ .done = null };
            }
        }
        return .{ .done = t };
    }

    inline fn note(_: *Function, plan: *const PlanObject, t: O, args: []const O, call: *const plan_zig.Call) void {
        if (!memo_watch.isOn()) return;
        // A number is none of the plan's operands; those behind the last argument are left out.
        const n = plan.plan.operands.len - 1;
        const first = if (args.len > n and !Tensor.is(args[0])) args.len - n else 0;
        var operands: [plan_zig.max_operands]O = @splat(api.none);
        const given = @min(n, args.len - first);
        @memcpy(operands[0..given], args[first..][0..given]);
        memo_watch.note(plan, t, operands[0..n], call);
    }

    fn failed(_: *Function, plan: *const PlanObject, args: []const O) ?O {
        var tensors: [max_inputs]O = undefined;
        var n: usize = 0;
        for (args) |a| if (Tensor.is(a)) {
            tensors[n] = a;
            n += 1;
        };
        return call_zig.raise(plan, tensors[0..n]);
    }

    // -------------------------------------------------------------- the graph

    fn record(f: *Function, key: [max_inputs]?O, plan: *PlanObject, t: O, args: []const O, wanting: u8) bool {
        var edges: [max_inputs]?O = @splat(null);
        defer for (edges) |e| api.drop(e);
        var choice: u8 = 0;
        for (args, 0..) |a, i| {
            if (wanting >> @intCast(i) & 1 == 0) continue;
            const edge = graph.edgeOf(a) orelse return false;
            if (edge == api.none) {
                api.drop(edge);
                continue;
            }
            edges[i] = edge;
            choice |= @as(u8, 1) << @intCast(i);
        }
        if (choice == 0) return true;
        const recipe = f.recipeFor(key, plan, choice) orelse return false;
        defer api.drop(recipe);
        if (recipe == api.none) return true;
        return graph.record(recipe, t, args, edges[0..args.len], null);
    }

    fn recipeFor(f: *Function, key: [max_inputs]?O, plan: *PlanObject, choice: u8) ?O {
        if (f.find(key)) |e| if (e.plan == plan) if (e.recipes[choice]) |r| return api.keep(r);
        const number = py.PyLong_FromSize_t(choice) orelse return null;
        defer api.drop(number);
        const recipe = api.callObject(f.recipe, &.{ &plan.head, number }) orelse return null;
        if (f.find(key)) |e| if (e.plan == plan and e.recipes[choice] == null) {
            e.recipes[choice] = api.keep(recipe);
        };
        return recipe;
    }

    // -------------------------------------------------------------- the cache

    inline fn hash(key: [max_inputs]?O) usize {
        var h: usize = 0;
        for (key) |k| h = (h ^ (@intFromPtr(k) >> 4)) *% 0x9E3779B97F4A7C15;
        return h >> (@bitSizeOf(usize) / 2);
    }

    inline fn find(f: *Function, key: [max_inputs]?O) ?*Entry {
        const entries = f.entries orelse return null;
        var i = hash(key) & (f.size - 1);
        while (!entries[i].isEmpty()) : (i = (i + 1) & (f.size - 1)) {
            if (std.meta.eql(entries[i].key, key)) return &entries[i];
        }
        return null;
    }

    /// remember(key..., plan)
    fn remember(o: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
        const f: *Function = @ptrCast(o.?);
        const plan = (if (n == f.arity + 1) PlanObject.of(args[f.arity]) else null) orelse
            return api.typeError("remember(): expected a key for each input, and a plan");
        var entry: Entry = .{ .plan = plan };
        for (args[0..f.arity], entry.key[0..f.arity]) |a, *k| k.* = a;
        if (f.find(entry.key) != null) return api.keep(api.none);
        if (!bounds(plan, &entry)) return null;
        if (2 * (f.used + 1) > f.size and !f.grow()) return py.PyErr_NoMemory();
        for (entry.key) |k| py.Py_IncRef(k);
        _ = api.keep(&plan.head);
        f.insert(entry);
        return api.keep(api.none);
    }

    fn bounds(plan: *const PlanObject, e: *Entry) bool {
        const pair = plan.bounds orelse return true;
        if (pair == api.none) return true;
        if (py.PyTuple_Size(pair) != 2) return false;
        e.low = py.PyLong_AsLongLong(py.PyTuple_GetItem(pair, 0).?);
        e.high = py.PyLong_AsLongLong(py.PyTuple_GetItem(pair, 1).?);
        return py.PyErr_Occurred() == null;
    }

    fn insert(f: *Function, entry: Entry) void {
        var i = hash(entry.key) & (f.size - 1);
        while (!f.entries.?[i].isEmpty()) i = (i + 1) & (f.size - 1);
        f.entries.?[i] = entry;
        f.used += 1;
    }

    /// Twice the room; at the bound, all is forgotten.
    fn grow(f: *Function) bool {
        const old = f.entries;
        const old_size = f.size;
        const size: usize = if (old_size == 0) 8 else @min(2 * old_size, most);
        const block = memory.alloc(size * @sizeOf(Entry)) orelse return false;
        const entries: [*]Entry = @ptrCast(block);
        for (entries[0..size]) |*e| e.* = .{};
        f.entries = entries;
        f.size = size;
        f.used = 0;
        const full = old_size == most;
        if (old) |list| {
            if (!full) for (list[0..old_size]) |e| {
                if (!e.isEmpty()) f.insert(e);
            };
            // Only now, as what is dropped may run anything.
            if (full) for (list[0..old_size]) |*e| {
                if (!e.isEmpty()) e.release();
            };
            memory.free(@ptrCast(list));
        }
        return true;
    }

    /// forget(): empties the cache.
    fn forget(o: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
        const f: *Function = @ptrCast(o.?);
        const old = f.entries;
        const size = f.size;
        f.entries = null;
        f.size = 0;
        f.used = 0;
        if (old) |list| {
            for (list[0..size]) |*e| if (!e.isEmpty()) e.release();
            memory.free(@ptrCast(list));
        }
        return api.keep(api.none);
    }

    // -------------------------------------------------------------- the type

    /// Function(slow, recipe, arity)
    fn new(cls: O, args: O, _: ?O) callconv(.c) ?O {
        if (py.PyTuple_Size(args) != 3) return api.typeError("Function(): expected slow, recipe, arity");
        const arity = py.PyLong_AsSize_t(py.PyTuple_GetItem(args, 2).?);
        if (arity > max_inputs) return api.typeError("Function(): too many inputs");
        const f: *Function = @ptrCast(py.PyType_GenericAlloc(cls, 0) orelse return null);
        f.vectorcall = vectorcall_;
        f.slow = api.keep(py.PyTuple_GetItem(args, 0).?);
        f.recipe = api.keep(py.PyTuple_GetItem(args, 1).?);
        f.arity = arity;
        return &f.head;
    }

    fn dealloc(o: O) callconv(.c) void {
        const f: *Function = @ptrCast(o);
        api.drop(forget(o, undefined, 0));
        api.drop(f.slow);
        api.drop(f.recipe);
        api.drop(f.name);
        py.PyObject_Free(o);
        api.drop(kind);
    }

    const bound_methods = [_]api.MethodDef{
        .{ .name = "remember", .function = &remember },
        .{ .name = "forget", .function = &forget },
        .{ .flags = 0 },
    };
    const members = [_]api.MemberDef{
        objects.member("__vectorcalloffset__", @offsetOf(Function, "vectorcall"), api.MemberDef.ssize, true),
        objects.member("__wrapped__", @offsetOf(Function, "slow"), api.MemberDef.object, true),
        objects.member("__name__", @offsetOf(Function, "name"), api.MemberDef.object, false),
        .{},
    };
    const spec: api.Spec = .{
        .name = "dlgrad._native.Function",
        .size = @sizeOf(Function),
        .flags = api.Spec.basic | api.Spec.vectorcall | api.Spec.method,
        .slots = &[_]api.Slot{
            .{ .number = api.Slot.new, .value = &new },
            .{ .number = api.Slot.dealloc, .value = &dealloc },
            .{ .number = api.Slot.call, .value = undefined },
            .{ .number = api.Slot.descr_get, .value = &objects.bound },
            .{ .number = api.Slot.members, .value = &members },
            .{ .number = api.Slot.methods, .value = &bound_methods },
            .{},
        },
    };
};

pub fn register(namespace: O) bool {
    // The slot's value is known only now.
    var slots: [7]api.Slot = Function.spec.slots[0..7].*;
    slots[2].value = py.PyVectorcall_Call;
    var spec = Function.spec;
    spec.slots = &slots;
    Function.kind = py.PyType_FromSpec(&spec) orelse return false;
    return objects.put(namespace, "Function", Function.kind);
}
