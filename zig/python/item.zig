//! `Tensor.item`: the element of a tensor whose layout was seen before is read here; of any other,
//! and where there is none or several, Python's own `item` (the slow one) reads it or raises, and
//! leaves with `remember_item(layout, format)` what the next ones need.
const api = @import("api.zig");
const memo = @import("memo.zig");
const objects = @import("objects.zig");
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// A layout of one element, and the letter that the struct module has for its dtype.
const Known = struct { layout: ?O = null, format: u8 = 0 };
var known: [64]Known = @splat(.{});
var slow: ?O = null;

fn place(layout: O) *Known {
    return &known[(@intFromPtr(layout) >> 5) % known.len];
}

fn item(t: O, _: ?O) callconv(.c) ?O {
    memo.noteOther(); // what follows may depend on the element
    const layout = Tensor.slots.get(t, "_layout") orelse return slowly(t);
    const k = place(layout);
    if (k.layout != layout) return slowly(t);
    const address = Tensor.address(t) orelse return slowly(t);
    return switch (k.format) {
        'f' => py.PyFloat_FromDouble(read(f32, address)),
        'd' => py.PyFloat_FromDouble(read(f64, address)),
        'q' => py.PyLong_FromLongLong(read(i64, address)),
        'i' => py.PyLong_FromLongLong(read(i32, address)),
        'h' => py.PyLong_FromLongLong(read(i16, address)),
        'b' => py.PyLong_FromLongLong(read(i8, address)),
        'B' => py.PyLong_FromLongLong(read(u8, address)),
        '?' => api.keep(if (read(u8, address) != 0) api.true_ else api.false_),
        else => slowly(t),
    };
}

inline fn read(comptime T: type, address: usize) T {
    return @as(*const T, @ptrFromInt(address)).*;
}

fn slowly(t: O) ?O {
    return api.callObject(slow orelse return api.typeError("item(): not bound"), &.{t});
}

/// bind_item(Tensor, slow): the method
fn bind(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 2) return api.typeError("bind_item(): expected a class and a function");
    slow = api.keep(args[1]);
    return py.PyDescr_NewMethod(args[0], &definition);
}

const definition: api.MethodDef = .{
    .name = "item",
    .function = &item,
    .flags = 4, // without arguments
    .doc = "item($self, /)\n--\n\nThe single element as a Python number. Raises RuntimeError for more or fewer elements.",
};

/// remember_item(layout, ord(format))
fn remember(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 2) return api.typeError("remember_item(): expected a layout and a letter");
    const format = py.PyLong_AsSize_t(args[1]);
    if (py.PyErr_Occurred() != null) return null;
    const k = place(args[0]);
    const old = k.layout;
    k.* = .{ .layout = api.keep(args[0]), .format = @truncate(format) };
    api.drop(old);
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "bind_item", .function = &bind },
    .{ .name = "remember_item", .function = &remember },
};
