//! A step of an optimizer (optim/_engine.py) in its usual case: the table of a kernel's words made
//! from parameters, their gradients and their states, and the kernel's call.
const std = @import("std");
const api = @import("api.zig");
const call_zig = @import("call.zig");
const key = @import("key.zig");
const memo_watch = @import("memo_watch.zig");
const objects = @import("objects.zig");
const plan_zig = @import("../plan.zig");
const PlanObject = objects.PlanObject;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// Of layout.Layout.
const Layout = objects.Slots(&.{ "dtype", "numel", "contiguous" });
var grad_name: O = undefined;
var double: O = undefined;

/// The words, and the storages that are written to.
const Table = struct {
    words: [*]usize,
    written: [*]*objects.Storage,
    n: usize = 1,
    n_written: usize = 0,

    fn put(t: *Table, word: usize) void {
        t.words[t.n] = word;
        t.n += 1;
    }

    /// The address of a tensor that the kernel writes to; false: it is none that it takes.
    fn putWritten(t: *Table, o: O, mark: usize) bool {
        if (!Tensor.is(o)) return false;
        const s = objects.Storage.of(Tensor.slots.get(o, "_storage").?) orelse return false;
        t.put((Tensor.address(o) orelse return false) + mark);
        t.written[t.n_written] = s;
        t.n_written += 1;
        return true;
    }
};

/// run_step(plan, dtype, params, states, fields, numbers, tail, scalars): True, or False (and nothing done) where a parameter
/// with a gradient is of another dtype or layout than the kernel takes or has no state yet.
/// fields: the names of a state's tensors; numbers: of its tensors of one element; tail: words at each row's end.
fn runStep(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    const plan = (if (n == 8) PlanObject.of(args[0]) else null) orelse
        return api.typeError("run_step(): expected a plan and seven more");
    const params = args[2];
    const fields = args[4];
    const numbers = args[5];
    const tail = args[6];
    const count: usize = @intCast(py.PyList_Size(params));
    const n_fields: usize = @intCast(py.PyTuple_Size(fields));
    const n_numbers: usize = @intCast(py.PyTuple_Size(numbers));
    const n_tail: usize = @intCast(py.PyTuple_Size(tail));
    const row = 3 + n_fields + n_numbers + n_tail;
    const block = py.PyMem_RawMalloc(8 * (1 + 2 * count * row)) orelse return py.PyErr_NoMemory();
    defer py.PyMem_RawFree(block);
    const words: [*]usize = @ptrCast(@alignCast(block));
    var table: Table = .{ .words = words, .written = @ptrCast(words + 1 + count * row) };
    var rows: usize = 0;
    for (0..count) |i| {
        const p = py.PyList_GetItem(params, @intCast(i)) orelse return null;
        if (!Tensor.is(p)) return api.keep(api.false_);
        const grad = py.PyObject_GetAttr(p, grad_name) orelse return null;
        defer api.drop(grad); // the parameter holds it
        if (grad == api.none) continue;
        const layout = Tensor.slots.get(p, "_layout").?;
        if (!Tensor.is(grad) or layout.kind != key.layout_type or Tensor.slots.get(grad, "_layout") != layout or
            Layout.get(layout, "dtype") != args[1] or Layout.get(layout, "contiguous") != api.true_) return api.keep(api.false_);
        table.put(py.PyLong_AsSize_t(Layout.get(layout, "numel").?));
        if (!table.putWritten(p, 0)) return api.keep(api.false_);
        table.put(Tensor.address(grad) orelse return api.keep(api.false_));
        if (n_fields + n_numbers > 0 and !stateOf(&table, args[3], p, layout, fields, numbers)) {
            return if (py.PyErr_Occurred() == null) api.keep(api.false_) else null;
        }
        for (0..n_tail) |k| table.put(py.PyLong_AsSize_t(py.PyTuple_GetItem(tail, @intCast(k)).?));
        rows += 1;
    }
    if (py.PyErr_Occurred() != null) return null;
    if (rows == 0) return api.keep(api.true_);
    words[0] = rows;
    for (table.written[0..table.n_written]) |s| s.version += 1;
    return run(plan, words, args[7]);
}

fn run(plan: *const PlanObject, words: [*]usize, scalars: O) ?O {
    var call: plan_zig.Call = .{};
    const n: usize = @intCast(py.PyTuple_Size(scalars));
    for (call.scalar[0..n], 0..) |*s, i| {
        s.* = .{ .f = py.PyFloat_AsDouble(py.PyTuple_GetItem(scalars, @intCast(i)).?) };
    }
    if (py.PyErr_Occurred() != null) return null;
    call.ptr[0] = @ptrCast(words);
    memo_watch.noteOther();
    if (!call_zig.executeApart(plan, &call)) return call_zig.raise(plan, &.{});
    return api.keep(api.true_);
}

/// The words of a parameter's state; false: it is not as the kernel wants it.
fn stateOf(table: *Table, states: O, p: O, layout: O, fields: O, numbers: O) bool {
    const state = py.PyDict_GetItem(states, p) orelse return false;
    for (0..@intCast(py.PyTuple_Size(fields))) |i| {
        const t = py.PyDict_GetItem(state, py.PyTuple_GetItem(fields, @intCast(i)).?) orelse {
            table.put(0);
            continue;
        };
        if (!Tensor.is(t) or Tensor.slots.get(t, "_layout") != layout or !table.putWritten(t, 0)) return false;
    }
    for (0..@intCast(py.PyTuple_Size(numbers))) |i| {
        const t = py.PyDict_GetItem(state, py.PyTuple_GetItem(numbers, @intCast(i)).?) orelse return false;
        if (!Tensor.is(t)) return false;
        const own = Tensor.slots.get(t, "_layout").?;
        if (own.kind != key.layout_type) return false;
        if (!table.putWritten(t, @intFromBool(Layout.get(own, "dtype") == double))) return false;
    }
    return true;
}

/// bind_step("_grad", float64, Layout, offsets of its slots)
fn bind(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 3 + Layout.count or !Layout.bind(args + 2)) return api.typeError("bind_step()");
    grad_name = api.keep(args[0]);
    double = api.keep(args[1]);
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "run_step", .function = &runStep },
    .{ .name = "bind_step", .function = &bind },
};
