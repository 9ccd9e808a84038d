//! The objects that a call needs, as Python sees them: memory (`Storage`), prepared calls
//! (`Plan`), the thread's `Mode`; and tensors, whose class is written in Python: only the places
//! of its slots are known here.
const std = @import("std");
const api = @import("api.zig");
const memory = @import("../memory.zig");
const plan_zig = @import("../plan.zig");
const Object = api.Object;
const O = *Object;
const py = &api.py;

// ------------------------------------------------------------------ Storage

pub const Storage = extern struct {
    head: Object,
    ptr: usize,
    nbytes: isize,
    version: isize,
    /// Who frees the memory; null: this object.
    owner: ?O,
    weak: ?O,

    var kind: O = undefined;

    /// Takes over a block of the allocator's.
    pub fn make(ptr: [*]u8, nbytes: usize) ?O {
        const s: *Storage = @ptrCast(py.PyType_GenericAlloc(kind, 0) orelse {
            memory.free(ptr);
            return null;
        });
        s.ptr = @intFromPtr(ptr);
        s.nbytes = @intCast(nbytes);
        return &s.head;
    }

    pub fn of(o: O) ?*Storage {
        return if (o.kind == kind) @ptrCast(o) else null;
    }

    /// Storage(ptr, nbytes, owner=None)
    fn new(cls: O, args: O, _: ?O) callconv(.c) ?O {
        const n = py.PyTuple_Size(args);
        if (n != 2 and n != 3) return api.typeError("Storage(): expected ptr, nbytes, owner=None");
        const ptr = py.PyLong_AsSize_t(py.PyTuple_GetItem(args, 0).?);
        const nbytes = py.PyLong_AsSsize_t(py.PyTuple_GetItem(args, 1).?);
        if (py.PyErr_Occurred() != null) return null;
        const s: *Storage = @ptrCast(py.PyType_GenericAlloc(cls, 0) orelse return null);
        s.ptr = ptr;
        s.nbytes = nbytes;
        if (n == 3) if (api.ifSome(py.PyTuple_GetItem(args, 2).?)) |owner| {
            s.owner = api.keep(owner);
        };
        return &s.head;
    }

    fn dealloc(o: O) callconv(.c) void {
        const s: *Storage = @ptrCast(o);
        if (s.weak != null) py.PyObject_ClearWeakRefs(o);
        if (s.owner) |owner| {
            api.drop(owner);
        } else if (s.ptr != 0) memory.free(@ptrFromInt(s.ptr));
        py.PyObject_Free(o);
        api.drop(kind);
    }

    /// The buffer protocol: all of the memory, as bytes.
    fn getBuffer(o: O, view: *anyopaque, flags: c_int) callconv(.c) c_int {
        const s: *Storage = @ptrCast(o);
        return py.PyBuffer_FillInfo(view, o, @ptrFromInt(s.ptr), s.nbytes, 0, flags);
    }

    const members = [_]api.MemberDef{
        member("ptr", @offsetOf(Storage, "ptr"), api.MemberDef.ssize, true),
        member("nbytes", @offsetOf(Storage, "nbytes"), api.MemberDef.ssize, true),
        member("version", @offsetOf(Storage, "version"), api.MemberDef.ssize, false),
        member("owner", @offsetOf(Storage, "owner"), api.MemberDef.object, true),
        member("__weaklistoffset__", @offsetOf(Storage, "weak"), api.MemberDef.ssize, true),
        .{},
    };
    const spec: api.Spec = .{
        .name = "dlgrad._native.Storage",
        .size = @sizeOf(Storage),
        .flags = api.Spec.basic,
        .slots = &[_]api.Slot{
            .{ .number = api.Slot.new, .value = &new },
            .{ .number = api.Slot.dealloc, .value = &dealloc },
            .{ .number = api.Slot.members, .value = &members },
            .{ .number = api.Slot.get_buffer, .value = &getBuffer },
            .{},
        },
    };
};

pub fn member(name: [*:0]const u8, offset: usize, kind: c_int, read_only: bool) api.MemberDef {
    const flags: c_int = if (read_only) api.MemberDef.read_only else 0;
    return .{ .name = name, .kind = kind, .offset = @intCast(offset), .flags = flags };
}

// ------------------------------------------------------------------ Plan

pub const PlanObject = extern struct {
    head: Object,
    plan: *plan_zig.Plan,
    owns: bool,
    /// So little work that other threads need not run meanwhile.
    quick: bool,
    /// Of the result; the results' in a tuple (None: one that is left out), or null for one.
    layout: ?O,
    outs: ?O,
    name: ?O,
    /// The row's own.
    extra: ?O,
    /// None, or (low, high): its number is a whole one within these.
    bounds: ?O,
    /// The function of call.zig that runs it, where the row wants to know.
    run: ?O,

    var kind: O = undefined;

    pub fn of(o: O) ?*PlanObject {
        return if (o.kind == kind or py.PyType_IsSubtype(o.kind, kind) != 0) @ptrCast(o) else null;
    }

    /// Plan(handle, layout, name, outs=None, owns=True)
    fn new(cls: O, args: O, _: ?O) callconv(.c) ?O {
        const n = py.PyTuple_Size(args);
        if (n < 3 or n > 5) return api.typeError("Plan(): expected handle, layout, name, outs, owns");
        const handle = py.PyLong_AsSize_t(py.PyTuple_GetItem(args, 0).?);
        if (py.PyErr_Occurred() != null) return null;
        const p: *PlanObject = @ptrCast(py.PyType_GenericAlloc(cls, 0) orelse return null);
        p.plan = @ptrFromInt(handle);
        p.owns = n < 5 or py.PyTuple_GetItem(args, 4).? != api.false_;
        p.quick = isQuick(p.plan);
        p.layout = api.keep(py.PyTuple_GetItem(args, 1).?);
        p.name = api.keep(py.PyTuple_GetItem(args, 2).?);
        if (n > 3) if (api.ifSome(py.PyTuple_GetItem(args, 3).?)) |outs| {
            p.outs = api.keep(outs);
        };
        return &p.head;
    }

    fn isQuick(p: *const plan_zig.Plan) bool {
        var elements: usize = p.out_bytes / 4;
        for (p.operands) |o| elements += o.numel();
        return elements > 0 and elements <= 4096;
    }

    const held = [_][]const u8{ "layout", "outs", "name", "extra", "bounds", "run" };

    fn traverse(o: O, visit: *const fn (O, ?*anyopaque) callconv(.c) c_int, arg: ?*anyopaque) callconv(.c) c_int {
        const p: *PlanObject = @ptrCast(o);
        inline for (held) |name| if (@field(p, name)) |x| {
            const r = visit(x, arg);
            if (r != 0) return r;
        };
        return visit(o.kind, arg);
    }

    fn clear(o: O) callconv(.c) c_int {
        const p: *PlanObject = @ptrCast(o);
        inline for (held) |name| {
            const x = @field(p, name);
            @field(p, name) = null;
            api.drop(x);
        }
        return 0;
    }

    fn dealloc(o: O) callconv(.c) void {
        py.PyObject_GC_UnTrack(o);
        _ = clear(o);
        const p: *PlanObject = @ptrCast(o);
        if (p.owns) {
            plan_zig.destroyState(p.plan);
            memory.free(@ptrCast(p.plan));
        }
        const cls = o.kind;
        py.PyObject_GC_Del(o);
        api.drop(cls);
    }

    fn getHandle(o: O, _: ?*anyopaque) callconv(.c) ?O {
        const p: *PlanObject = @ptrCast(o);
        return py.PyLong_FromSize_t(@intFromPtr(p.plan));
    }

    const getset = [_]api.GetSetDef{ .{ .name = "handle", .get = getHandle }, .{} };
    const members = blk: {
        var list: [held.len + 1]api.MemberDef = @splat(.{});
        for (held, list[0..held.len]) |name, *m| {
            m.* = member(name ++ "", @offsetOf(PlanObject, name), api.MemberDef.object, false);
        }
        break :blk list;
    };
    const spec: api.Spec = .{
        .name = "dlgrad._native.Plan",
        .size = @sizeOf(PlanObject),
        .flags = api.Spec.basic | api.Spec.gc | api.Spec.base,
        .slots = &[_]api.Slot{
            .{ .number = api.Slot.new, .value = &new },
            .{ .number = api.Slot.dealloc, .value = &dealloc },
            .{ .number = api.Slot.traverse, .value = &traverse },
            .{ .number = api.Slot.clear, .value = &clear },
            .{ .number = api.Slot.members, .value = &members },
            .{ .number = api.Slot.getset, .value = &getset },
            .{},
        },
    };
};

// ------------------------------------------------------------------ Mode

/// Whether this thread records a graph, and whether it is in inference_mode.
pub const Mode = struct {
    pub threadlocal var enabled: bool = true;
    threadlocal var inference: bool = false;

    fn get(comptime which: []const u8) fn (O, ?*anyopaque) callconv(.c) ?O {
        return struct {
            fn get(_: O, _: ?*anyopaque) callconv(.c) ?O {
                return api.keep(if (@field(Mode, which)) api.true_ else api.false_);
            }
        }.get;
    }
    fn set(comptime which: []const u8) fn (O, ?O, ?*anyopaque) callconv(.c) c_int {
        return struct {
            fn set(_: O, value: ?O, _: ?*anyopaque) callconv(.c) c_int {
                const truth = py.PyObject_IsTrue(value orelse api.none);
                if (truth < 0) return -1;
                @field(Mode, which) = truth == 1;
                return 0;
            }
        }.set;
    }
    const getset = [_]api.GetSetDef{
        .{ .name = "enabled", .get = get("enabled"), .set = set("enabled") },
        .{ .name = "inference", .get = get("inference"), .set = set("inference") },
        .{},
    };
    const spec: api.Spec = .{
        .name = "dlgrad._native.Mode",
        .size = @sizeOf(Object),
        .flags = api.Spec.basic,
        .slots = &[_]api.Slot{ .{ .number = api.Slot.getset, .value = &getset }, .{} },
    };
};

// ------------------------------------------------------------------ tensors

/// Where the slots of a class's instances lie, from `bind`.
pub fn Slots(comptime names: []const []const u8) type {
    return struct {
        pub var kind: O = undefined;
        var offsets: [names.len]usize = undefined;

        pub const count = names.len;

        inline fn place(o: O, comptime name: []const u8) *?O {
            const at = comptime for (names, 0..) |n, i| {
                if (std.mem.eql(u8, n, name)) break i;
            } else unreachable;
            return @ptrFromInt(@intFromPtr(o) + offsets[at]);
        }
        pub inline fn get(o: O, comptime name: []const u8) ?O {
            return place(o, name).*;
        }
        /// For a slot of a new object; takes the reference over.
        pub inline fn init(o: O, comptime name: []const u8, value: O) void {
            place(o, name).* = value;
        }
        pub inline fn set(o: O, comptime name: []const u8, value: O) void {
            const p = place(o, name);
            const old = p.*;
            p.* = value;
            api.drop(old);
        }
        /// kind, offset, offset, ...
        pub fn bind(args: [*]const O) bool {
            kind = api.keep(args[0]);
            for (&offsets, args[1..]) |*offset, a| offset.* = py.PyLong_AsSize_t(a);
            return py.PyErr_Occurred() == null;
        }
    };
}

pub const Node = Slots(&.{
    "seq", "name_", "edges", "rule", "saved", "versions", "own", "outputs", "hooks", "trace",
});

const TensorSlots = Slots(&.{
    "_ptr", "_layout", "_storage", "_requires_grad", "_grad_fn", "_view", "_view_version", "_view_mode",
});
pub const Tensor = struct {
    pub const slots = TensorSlots;
    /// Its subclass of which most inputs are.
    pub var parameter: ?O = null;
    /// tensor.MAYBE
    pub var maybe: ?O = null;

    pub inline fn is(o: O) bool {
        return o.kind == slots.kind or o.kind == parameter or isOther(o);
    }
    fn isOther(o: O) bool {
        return py.PyType_IsSubtype(o.kind, slots.kind) != 0;
    }
    pub inline fn address(o: O) ?usize {
        const p = slots.get(o, "_ptr") orelse return null;
        return py.PyLong_AsSize_t(p);
    }

    /// A tensor outside of any graph. Takes the references to `ptr` and `storage` over.
    fn assemble(ptr: ?O, layout: O, storage: ?O) ?O {
        const t = py.PyType_GenericAlloc(slots.kind, 0) orelse {
            api.drop(ptr);
            api.drop(storage);
            return null;
        };
        slots.init(t, "_ptr", ptr.?);
        slots.init(t, "_layout", api.keep(layout));
        slots.init(t, "_storage", storage.?);
        slots.init(t, "_requires_grad", api.keep(api.false_));
        slots.init(t, "_grad_fn", api.keep(api.none));
        slots.init(t, "_view", api.keep(api.none));
        slots.init(t, "_view_mode", api.keep(api.none));
        return t;
    }

    /// A view of `x` that wants no gradient of itself, `offset` bytes behind its first element (make_view in
    /// ops/view_graph.py).
    pub fn view(x: O, layout: O, offset: usize) ?O {
        const storage = slots.get(x, "_storage").?;
        const version = py.PyLong_FromSsize_t(if (Storage.of(storage)) |s| s.version else 0) orelse return null;
        const t = inMemoryOf(x, layout, offset) orelse {
            api.drop(version);
            return null;
        };
        const base = slots.get(x, "_view").?;
        slots.init(t, "_view_version", version);
        slots.set(t, "_requires_grad", api.keep(maybe.?));
        slots.set(t, "_view", api.keep(if (base == api.none) x else base));
        return t;
    }

    /// A tensor of its own in the memory of `x`, `offset` bytes behind its first element.
    pub fn inMemoryOf(x: O, layout: O, offset: usize) ?O {
        const old = slots.get(x, "_ptr").?;
        const ptr = if (offset == 0) api.keep(old) else py.PyLong_FromSize_t(py.PyLong_AsSize_t(old) +% offset);
        return assemble(ptr, layout, api.keep(slots.get(x, "_storage").?));
    }

    /// Whether a gradient of `t` may be wanted: _requires_grad, without that of a view whose base wants none.
    pub inline fn wants(t: O) bool {
        const wanted = slots.get(t, "_requires_grad");
        if (wanted == api.false_) return false;
        if (wanted != maybe) return true;
        const base = slots.get(t, "_view").?;
        return base == api.none or slots.get(base, "_requires_grad") != api.false_;
    }

    /// Over a new block, which it takes over.
    pub fn make(block: [*]u8, nbytes: usize, layout: O) ?O {
        const storage = Storage.make(block, nbytes) orelse return null;
        const ptr = py.PyLong_FromSize_t(@intFromPtr(block)) orelse {
            api.drop(storage);
            return null;
        };
        return assemble(ptr, layout, storage);
    }

    /// make_tensor(ptr, layout, storage)
    fn makeTensor(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
        if (n != 3) return api.typeError("make_tensor(): expected ptr, layout, storage");
        return assemble(api.keep(args[0]), args[1], api.keep(args[2]));
    }

    /// The same memory without history.
    pub fn alias(t: O) ?O {
        return inMemoryOf(t, slots.get(t, "_layout").?, 0);
    }
};

/// bind(Tensor, offsets...): the class of tensors.
fn bindTensor(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != TensorSlots.count + 1 or !TensorSlots.bind(args)) return api.typeError("bind_tensor()");
    return api.keep(api.none);
}

fn bindParameter(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 1) return api.typeError("bind_parameter()");
    Tensor.parameter = api.keep(args[0]);
    return api.keep(api.none);
}

const functions = [_]api.MethodDef{
    .{ .name = "make_tensor", .function = &Tensor.makeTensor },
    .{ .name = "bind_tensor", .function = &bindTensor },
    .{ .name = "bind_parameter", .function = &bindParameter },
};

/// What a callable type is as a method (its __get__): bound to the tensor.
pub fn bound(o: O, instance: ?O, _: ?O) callconv(.c) ?O {
    const self = instance orelse return api.keep(o);
    if (self == api.none) return api.keep(o);
    return api.callObject(api.method_type, &.{ o, self });
}

/// Puts the types and functions of this file into a dict.
pub fn register(namespace: O) bool {
    Storage.kind = py.PyType_FromSpec(&Storage.spec) orelse return false;
    PlanObject.kind = py.PyType_FromSpec(&PlanObject.spec) orelse return false;
    const mode_type = py.PyType_FromSpec(&Mode.spec) orelse return false;
    const mode = py.PyType_GenericAlloc(mode_type, 0) orelse return false;
    return put(namespace, "Storage", Storage.kind) and put(namespace, "Plan", PlanObject.kind) and
        put(namespace, "mode", mode) and putAll(namespace, &functions);
}

pub fn put(namespace: O, name: [*:0]const u8, value: O) bool {
    return py.PyDict_SetItemString(namespace, name, value) == 0;
}

pub fn putAll(namespace: O, list: []const api.MethodDef) bool {
    for (list) |*def| {
        const f = py.PyCFunction_NewEx(def, null, null) orelse return false;
        if (!put(namespace, def.name.?, f)) return false;
    }
    return true;
}
