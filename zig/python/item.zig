//! `Tensor.item` and `Tensor.tolist`: elements of a tensor whose layout was seen before are read here; of any other,
//! and where there are none, Python's own method (the slow one) reads them or raises, and leaves with
//! `remember_numbers(layout, format, sizes, steps)` what the next ones need.
const api = @import("api.zig");
const memo_watch = @import("memo_watch.zig");
const objects = @import("objects.zig");
const BFloat16 = @import("../dtype.zig").BFloat16;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

const max_dims = 8;
/// A layout, the letter that the struct module has for its dtype (bfloat16: 'g'), and along each dimension the size and
/// the step in bytes.
const Known = struct {
    layout: ?O = null,
    format: u8 = 0,
    ndim: u8 = 0,
    size: [max_dims]usize = undefined,
    step: [max_dims]usize = undefined,
};
var known: [64]Known = @splat(.{});
var slow: [2]?O = @splat(null);
/// Whether the elements of lists lie where we think, and how to have True and False once more.
var plain_lists = false;
var immortal = false;

fn place(layout: O) *Known {
    return &known[(@intFromPtr(layout) >> 5) % known.len];
}
/// What is known of a tensor, and its address.
fn find(t: O) ?struct { *const Known, usize } {
    const layout = Tensor.slots.get(t, "_layout") orelse return null;
    const k = place(layout);
    if (k.layout != layout) return null;
    return .{ k, Tensor.address(t) orelse return null };
}

fn item(t: O, _: ?O) callconv(.c) ?O {
    memo_watch.noteOther(); // what follows may depend on the element
    const k, const address = find(t) orelse return slowly(0, t);
    for (k.size[0..k.ndim]) |n| if (n != 1) return slowly(0, t);
    return switch (k.format) {
        inline 'e', 'g', 'f', 'd', 'q', 'i', 'h', 'b', 'B', '?' => |format| number(format, address),
        else => slowly(0, t),
    };
}

/// A Python number of the element at an address.
inline fn number(comptime format: u8, address: usize) ?O {
    return switch (format) {
        'e' => py.PyFloat_FromDouble(read(f16, address)),
        'g' => py.PyFloat_FromDouble(read(BFloat16, address).toF32()),
        'f' => py.PyFloat_FromDouble(read(f32, address)),
        'd' => py.PyFloat_FromDouble(read(f64, address)),
        'q' => py.PyLong_FromLongLong(read(i64, address)),
        'i' => py.PyLong_FromLongLong(read(i32, address)),
        'h' => py.PyLong_FromLongLong(read(i16, address)),
        'b' => py.PyLong_FromLongLong(read(i8, address)),
        'B' => py.PyLong_FromLongLong(read(u8, address)),
        '?' => again(if (read(u8, address) != 0) api.true_ else api.false_),
        else => null,
    };
}
inline fn read(comptime T: type, address: usize) T {
    return @as(*const T, @ptrFromInt(address)).*;
}
inline fn again(o: O) O {
    if (!immortal) o.references += 1;
    return o;
}

fn tolist(t: O, _: ?O) callconv(.c) ?O {
    memo_watch.noteOther();
    const k, const address = find(t) orelse return slowly(1, t);
    if (k.ndim == 0 or !plain_lists) return slowly(1, t);
    return list(k, 0, address);
}

const List = extern struct { head: api.Object, count: isize, items: [*]?O };

fn list(k: *const Known, dim: usize, address: usize) ?O {
    const n = k.size[dim];
    const new = py.PyList_New(@intCast(n)) orelse return null;
    if (n == 0) return new;
    const items = @as(*const List, @ptrCast(new)).items[0..n];
    const step = k.step[dim];
    if (dim + 1 < k.ndim) {
        for (items, 0..) |*x, i| x.* = list(k, dim + 1, address + i * step) orelse return dropped(new);
        return new;
    }
    switch (k.format) {
        inline 'e', 'g', 'f', 'd', 'q', 'i', 'h', 'b', 'B', '?' => |format| {
            for (items, 0..) |*x, i| x.* = number(format, address + i * step) orelse return dropped(new);
        },
        else => return dropped(new),
    }
    return new;
}
fn dropped(o: O) ?O {
    api.drop(o);
    return null;
}

fn slowly(which: usize, t: O) ?O {
    return api.callObject(slow[which] orelse return api.typeError("item(): not bound"), &.{t});
}

/// bind_numbers(Tensor, item, tolist): the methods
fn bind(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 3) return api.typeError("bind_numbers(): expected a class and two functions");
    slow = .{ api.keep(args[1]), api.keep(args[2]) };
    const before = api.true_.references;
    immortal = api.keep(api.true_).references == before;
    if (!immortal) api.drop(api.true_);
    plain_lists = checkLists();
    const methods = py.PyTuple_New(definitions.len) orelse return null;
    for (&definitions, 0..) |*d, i| {
        _ = py.PyTuple_SetItem(methods, @intCast(i), py.PyDescr_NewMethod(args[0], d) orelse return dropped(methods));
    }
    return methods;
}

/// Whether the items of a list lie where CPython has had them since 2.x.
fn checkLists() bool {
    const probe = py.PyList_New(3) orelse return false;
    defer api.drop(probe);
    for (0..3) |i| _ = py.PyList_SetItem(probe, @intCast(i), api.keep(api.none));
    const l: *const List = @ptrCast(probe);
    return l.count == 3 and l.items[0] == api.none and l.items[2] == api.none;
}

const definitions = [_]api.MethodDef{
    .{
        .name = "item",
        .function = &item,
        .flags = 4, // without arguments
        .doc = "item($self, /)\n--\n\nThe single element as a Python number. Raises RuntimeError for more or fewer elements.",
    },
    .{
        .name = "tolist",
        .function = &tolist,
        .flags = 4,
        .doc = "tolist($self, /)\n--\n\nNested lists of Python numbers (a number for a 0-d tensor).",
    },
};

/// remember_numbers(layout, ord(format), sizes, steps)
fn remember(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 4) return api.typeError("remember_numbers(): expected a layout, a letter, sizes and steps");
    var new: Known = .{ .layout = args[0], .format = @truncate(py.PyLong_AsSize_t(args[1])) };
    const ndim = py.PyTuple_Size(args[2]);
    if (ndim < 0 or ndim > max_dims or py.PyTuple_Size(args[3]) != ndim) return api.keep(api.none);
    new.ndim = @intCast(ndim);
    for (0..new.ndim) |d| {
        new.size[d] = py.PyLong_AsSize_t(py.PyTuple_GetItem(args[2], @intCast(d)).?);
        new.step[d] = py.PyLong_AsSize_t(py.PyTuple_GetItem(args[3], @intCast(d)).?);
    }
    if (py.PyErr_Occurred() != null) return null;
    const k = place(args[0]);
    const old = k.layout;
    _ = api.keep(args[0]);
    k.* = new;
    api.drop(old);
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "bind_numbers", .function = &bind },
    .{ .name = "remember_numbers", .function = &remember },
};
