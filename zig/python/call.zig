//! Running plans from Python: `run` gives tensors, `write` writes into them; `run1`, `run2`, `run3` and
//! `into` are the C functions of the same names (abi.zig), with addresses as ints.
const std = @import("std");
const api = @import("api.zig");
const objects = @import("objects.zig");
const memo_watch = @import("memo_watch.zig");
const memory = @import("../memory.zig");
const plan_zig = @import("../plan.zig");
const running = @import("../run.zig");
const Call = plan_zig.Call;
const Plan = plan_zig.Plan;
const PlanObject = objects.PlanObject;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// Runs the kernel (of a plan that the caller holds); other Python threads go on meanwhile, unless it is done at once.
pub inline fn execute(p: *const PlanObject, call: *Call) bool {
    if (p.quick) return running.execute(p.plan, call) == 0;
    return executeApart(p, call);
}

pub fn executeApart(p: *const PlanObject, call: *Call) bool {
    const plan = p.plan;
    const state = py.PyEval_SaveThread();
    const status = running.execute(plan, call);
    py.PyEval_RestoreThread(state);
    return status == 0;
}

/// Allocates operand 0, computes it, and makes a tensor of it.
pub inline fn newTensor(p: *const PlanObject, call: *Call) ?O {
    const bytes = p.plan.out_bytes;
    const out = memory.alloc(bytes) orelse {
        running.fail(.out_of_memory);
        return null;
    };
    call.ptr[0] = out;
    if (!execute(p, call)) {
        memory.free(out);
        return null;
    }
    return Tensor.make(out, bytes, p.layout.?);
}

/// Raises what plan.fail() makes of the library's last failure, unless an exception is set.
pub fn raise(p: *const PlanObject, inputs: []const O) ?O {
    @branchHint(.cold);
    if (py.PyErr_Occurred() != null) return null;
    const fail = py.PyObject_GetAttrString(@constCast(&p.head), "fail") orelse return null;
    defer api.drop(fail);
    const result = api.callObject(fail, inputs);
    if (result) |r| api.drop(r);
    return if (py.PyErr_Occurred() == null) api.typeError("a plan failed") else null;
}

/// The addresses of tensors (None: none) from `first` on, then the scalars behind them.
pub fn fill(p: *const PlanObject, call: *Call, first: usize, args: []const O) bool {
    const n_tensors = p.plan.operands.len - first;
    if (args.len < n_tensors or args.len - n_tensors > plan_zig.max_scalars) {
        _ = api.typeError("a plan is run with another number of operands");
        return false;
    }
    for (args[0..n_tensors], call.ptr[first..][0..n_tensors]) |a, *ptr| {
        if (a == api.none) continue;
        const address = if (Tensor.is(a)) Tensor.address(a) else null;
        ptr.* = @ptrFromInt(address orelse {
            _ = api.typeError("an operand is no Tensor");
            return false;
        });
    }
    for (args[n_tensors..], call.scalar[0 .. args.len - n_tensors]) |a, *s| {
        if (!scalar(a, s)) return false;
    }
    return true;
}

pub var float_type: O = undefined;

/// A float as one, anything else as an integer.
fn scalar(a: O, s: *plan_zig.Scalar) bool {
    if (a.kind == float_type) {
        s.* = .{ .f = py.PyFloat_AsDouble(a) };
        return true;
    }
    s.* = .{ .i = py.PyLong_AsLongLong(a) };
    return s.i != -1 or py.PyErr_Occurred() == null;
}

/// run(plan, inputs..., scalars...) -> the result, or a tuple of several (plan.outs)
fn run(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    const p = (if (n > 0) PlanObject.of(args[0]) else null) orelse
        return api.typeError("run(): expected a plan");
    const inputs = args[1..@intCast(n)];
    var call: Call = .{};
    if (!fill(p, &call, p.plan.n_out, inputs)) return null;
    if (p.plan.n_out == 1) {
        const t = newTensor(p, &call) orelse return raise(p, inputs);
        memo_watch.note(p, t, inputs[0 .. p.plan.operands.len - 1], &call);
        return t;
    }
    const results = runSeveral(p, &call) orelse return raise(p, inputs);
    memo_watch.note(p, results, inputs[0 .. p.plan.operands.len - p.plan.n_out], &call);
    return results;
}

/// Allocates all results, computes them, and makes a tuple of tensors of them (plan.outs; None: left out).
pub fn runSeveral(p: *const PlanObject, call: *Call) ?O {
    const outs = p.outs orelse api.none;
    const n = p.plan.n_out;
    if (py.PyTuple_Size(outs) != n) return api.typeError("a plan with another number of results");
    var blocks: [plan_zig.max_operands]?[*]u8 = @splat(null);
    defer for (blocks[0..n]) |b| if (b) |x| memory.free(x);
    var bytes: [plan_zig.max_operands]usize = undefined;
    for (0..n) |i| {
        const layout = py.PyTuple_GetItem(outs, @intCast(i)).?;
        if (layout == api.none) continue;
        const number = py.PyObject_GetAttrString(layout, "nbytes") orelse return null;
        bytes[i] = py.PyLong_AsSize_t(number);
        api.drop(number);
        blocks[i] = memory.alloc(bytes[i]) orelse {
            running.fail(.out_of_memory);
            return null;
        };
        call.ptr[i] = blocks[i];
    }
    if (!execute(p, call)) return null;
    const results = py.PyTuple_New(n) orelse return null;
    for (0..n) |i| {
        const layout = py.PyTuple_GetItem(outs, @intCast(i)).?;
        var t = layout;
        if (blocks[i]) |b| {
            blocks[i] = null;
            t = Tensor.make(b, bytes[i], layout) orelse {
                api.drop(results);
                return null;
            };
        } else _ = api.keep(t);
        _ = py.PyTuple_SetItem(results, @intCast(i), t);
    }
    return results;
}

/// write(plan, results..., inputs..., scalars...): into tensors that are there; their storages'
/// versions are counted up.
fn write(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    const p = (if (n > 0) PlanObject.of(args[0]) else null) orelse
        return api.typeError("write(): expected a plan");
    const operands = args[1..@intCast(n)];
    var call: Call = .{};
    if (!fill(p, &call, 0, operands)) return null;
    const done = execute(p, &call);
    for (operands[0..p.plan.n_out]) |t| {
        if (t == api.none) continue;
        if (objects.Storage.of(Tensor.slots.get(t, "_storage").?)) |s| s.version += 1;
    }
    if (!done) return raise(p, operands[p.plan.n_out..]);
    memo_watch.note(p, null, operands[0..p.plan.operands.len], &call);
    return api.keep(api.none);
}

// ------------------------------------------------------------------ the C functions

/// f(handle, addresses...): the address of a new result, or 0; or, where the first of the addresses
/// is the result's, a status.
fn byAddress(comptime into: bool, comptime addresses: usize) api.Fast {
    return struct {
        fn f(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
            if (n != 1 + addresses) {
                return api.typeError("a plan is run with another number of operands");
            }
            const plan: *const Plan = @ptrFromInt(py.PyLong_AsSize_t(args[0]));
            var call: Call = .{};
            const first: usize = @intFromBool(!into);
            for (args[1..][0..addresses], call.ptr[first..][0..addresses]) |a, *ptr| {
                ptr.* = @ptrFromInt(py.PyLong_AsSize_t(a));
            }
            if (py.PyErr_Occurred() != null) return null;
            memo_watch.noteOther();
            const state = py.PyEval_SaveThread();
            const done: usize = if (into)
                @intCast(running.execute(plan, &call))
            else
                @intFromPtr(running.new(plan, &call));
            py.PyEval_RestoreThread(state);
            return py.PyLong_FromSize_t(done);
        }
    }.f;
}

/// run_at(handle, addresses...): a status.
fn runAt(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n < 1) return api.typeError("run_at(): expected a plan and addresses");
    const plan: *const Plan = @ptrFromInt(py.PyLong_AsSize_t(args[0]));
    const addresses = args[1..@intCast(n)];
    if (addresses.len != plan.operands.len) return api.typeError("a plan is run with another number of operands");
    var call: Call = .{};
    for (addresses, call.ptr[0..addresses.len]) |a, *ptr| ptr.* = @ptrFromInt(py.PyLong_AsSize_t(a));
    if (py.PyErr_Occurred() != null) return null;
    memo_watch.noteOther();
    const state = py.PyEval_SaveThread();
    const status = running.execute(plan, &call);
    py.PyEval_RestoreThread(state);
    return py.PyLong_FromSsize_t(status);
}

/// alloc(nbytes): the address of a new block, or 0.
fn alloc(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 1) return api.typeError("alloc(): expected a number of bytes");
    const bytes = py.PyLong_AsSize_t(args[0]);
    if (py.PyErr_Occurred() != null) return null;
    const block = memory.alloc(bytes);
    if (block == null) running.fail(.out_of_memory);
    return py.PyLong_FromSize_t(@intFromPtr(block));
}

/// A tensor over a new block; null: there is none.
pub fn newEmpty(bytes: usize, layout: O) ?O {
    const block = memory.alloc(bytes) orelse return null;
    const t = Tensor.make(block, bytes, layout) orelse return null;
    memo_watch.noteEmpty(t);
    return t;
}

/// empty(nbytes, layout): a tensor over a new block, or None.
fn empty(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 2) return api.typeError("empty(): expected a number of bytes and a layout");
    const bytes = py.PyLong_AsSize_t(args[0]);
    if (py.PyErr_Occurred() != null) return null;
    return newEmpty(bytes, args[1]) orelse api.keep(api.none);
}

/// run_table(plan, [[word, ...], ...], (float, ...)): a plan whose one operand is a table of words, their number
/// of rows first, and whose scalars are these numbers.
fn runTable(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    const plan = (if (n == 3) PlanObject.of(args[0]) else null) orelse
        return api.typeError("run_table(): expected a plan, rows, scalars");
    var call: Call = .{};
    const n_scalars: usize = @intCast(py.PyTuple_Size(args[2]));
    for (call.scalar[0..n_scalars], 0..) |*s, i| {
        s.* = .{ .f = py.PyFloat_AsDouble(py.PyTuple_GetItem(args[2], @intCast(i)).?) };
    }
    const rows: usize = @intCast(py.PyList_Size(args[1]));
    var total: usize = 1;
    for (0..rows) |i| total += @intCast(py.PyList_Size(py.PyList_GetItem(args[1], @intCast(i)).?));
    if (py.PyErr_Occurred() != null) return null;
    const block = py.PyMem_RawMalloc(8 * total) orelse return py.PyErr_NoMemory();
    defer py.PyMem_RawFree(block);
    const words: [*]i64 = @ptrCast(@alignCast(block));
    words[0] = @intCast(rows);
    var at: usize = 1;
    for (0..rows) |i| {
        const row = py.PyList_GetItem(args[1], @intCast(i)).?;
        for (0..@intCast(py.PyList_Size(row))) |k| {
            words[at] = py.PyLong_AsLongLong(py.PyList_GetItem(row, @intCast(k)).?);
            at += 1;
        }
    }
    if (py.PyErr_Occurred() != null) return null;
    call.ptr[0] = @ptrCast(block);
    memo_watch.noteOther();
    if (!executeApart(plan, &call)) return raise(plan, &.{});
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "alloc", .function = &alloc },
    .{ .name = "empty", .function = &empty },
    .{ .name = "run", .function = &run },
    .{ .name = "write", .function = &write },
    .{ .name = "run_table", .function = &runTable },
    .{ .name = "run_at", .function = &runAt },
    .{ .name = "run1", .function = &byAddress(false, 1) },
    .{ .name = "run2", .function = &byAddress(false, 2) },
    .{ .name = "run3", .function = &byAddress(false, 3) },
    .{ .name = "into", .function = &byAddress(true, 4) },
};
