//! The arguments of a call as words that can be compared and hashed.
//!
//! A word has a tag in its four lowest bits. Objects stand there by address, which `keepAll` holds on to.
const std = @import("std");
const api = @import("api.zig");
const objects = @import("objects.zig");
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

pub const max_tensors = 24;
const max_tokens = 80;

pub var layout_type: ?O = null;
pub var dtype_type: ?O = null;
pub var size_type: ?O = null;
/// Of things that never change: Ellipsis, devices, memory formats.
pub var other_types: [3]?O = @splat(null);
/// Counts what makes all keys new.
pub var epoch: u64 = 0;

const Tag = enum(u4) {
    /// Of a tensor that did not come before: the layout,
    layout = 1,
    /// and where it wants a gradient (rules look at that, though nothing is recorded while they run).
    wanting,
    object,
    /// The name of the argument that follows.
    name,
    /// A tensor that came before: which.
    again,
    /// How many items follow.
    tuple,
    list,
    slice,
    int,
    /// The next word is its bits.
    float,
};

inline fn word(tag: Tag, value: usize) u64 {
    return @as(u64, value) | @backingInt(tag);
}

pub const Key = struct {
    n: usize,
    n_tensors: usize,
    hash: u64,
    tokens: [max_tokens]u64,
    tensors: [max_tensors]O,

    pub inline fn start() Key {
        var k: Key = undefined;
        k.n = 0;
        k.n_tensors = 0;
        k.hash = 0;
        return k;
    }

    /// False: there is something among them that makes no key.
    pub inline fn read(k: *Key, args: [*]const O, n: usize, names: ?O) bool {
        _ = k.put(epoch << 5 | @as(u64, @intFromBool(objects.Mode.enabled)) << 4 | @backingInt(Tag.int));
        for (args[0..n]) |a| if (!k.add(a)) return false;
        if (names) |list| for (0..@intCast(py.PyTuple_Size(list))) |i| {
            const name = py.PyTuple_GetItem(list, @intCast(i)).?;
            if (!k.put(word(.name, @intFromPtr(name))) or !k.add(args[n + i])) return false;
        };
        return true;
    }

    inline fn put(k: *Key, token: u64) bool {
        if (k.n == max_tokens) return false;
        k.tokens[k.n] = token;
        k.n += 1;
        const mixed = (k.hash ^ token) *% 0x9E3779B97F4A7C15;
        k.hash = mixed ^ mixed >> 32;
        return true;
    }

    fn add(k: *Key, o: O) bool {
        const kind = o.kind;
        if (kind == Tensor.slots.kind or kind == Tensor.parameter) return k.addTensor(o);
        if (kind == py.PyLong_Type) {
            const value = py.PyLong_AsLongLong(o);
            if (value == -1 and py.PyErr_Occurred() != null) {
                py.PyErr_Clear();
                return false;
            }
            if (value << 4 >> 4 != value) return false;
            return k.put(@as(u64, @bitCast(value)) << 4 | @backingInt(Tag.int));
        }
        if (o == api.none or o == api.true_ or o == api.false_ or kind == dtype_type or kind == py.PyUnicode_Type) return k.put(word(.object, @intFromPtr(o)));
        return k.addOther(o, kind);
    }

    fn addTensor(k: *Key, t: O) bool {
        for (k.tensors[0..k.n_tensors], 0..) |u, i| {
            if (u == t) return k.put(word(.again, i << 4));
        }
        const layout = Tensor.slots.get(t, "_layout") orelse return false;
        if (layout.kind != layout_type or k.n_tensors == max_tensors) return false;
        k.tensors[k.n_tensors] = t;
        k.n_tensors += 1;
        return k.put(word(if (Tensor.wants(t)) .wanting else .layout, @intFromPtr(layout)));
    }

    fn addOther(k: *Key, o: O, kind: O) bool {
        if (kind == py.PyTuple_Type or kind == size_type) return k.addTuple(o);
        if (kind == py.PyList_Type) {
            const n: usize = @intCast(py.PyList_Size(o));
            if (!k.put(word(.list, n << 4))) return false;
            for (0..n) |i| if (!k.add(py.PyList_GetItem(o, @intCast(i)) orelse return false)) return false;
            return true;
        }
        if (kind == py.PyFloat_Type) {
            return k.put(@backingInt(Tag.float)) and k.put(@bitCast(py.PyFloat_AsDouble(o)));
        }
        if (kind == py.PySlice_Type) {
            const s: *Slice = @ptrCast(o);
            return k.put(@backingInt(Tag.slice)) and k.add(s.start) and k.add(s.stop) and k.add(s.step);
        }
        for (other_types) |t| if (kind == t) return k.put(word(.object, @intFromPtr(o)));
        // Named tuples
        return py.PyType_IsSubtype(kind, py.PyTuple_Type) != 0 and k.put(word(.object, @intFromPtr(kind))) and k.addTuple(o);
    }

    fn addTuple(k: *Key, o: O) bool {
        const n: usize = @intCast(py.PyTuple_Size(o));
        if (!k.put(word(.tuple, n << 4))) return false;
        for (0..n) |i| if (!k.add(py.PyTuple_GetItem(o, @intCast(i)).?)) return false;
        return true;
    }
};

const Slice = extern struct { head: api.Object, start: O, stop: O, step: O };

pub fn keepAll(key: []const u64) void {
    each(key, api.py.Py_IncRef);
}
pub fn dropAll(key: []const u64) void {
    each(key, api.py.Py_DecRef);
}

fn each(key: []const u64, f: *const fn (?O) callconv(.c) void) void {
    var i: usize = 0;
    while (i < key.len) : (i += 1) switch (@as(Tag, @fromBackingInt(@intCast(key[i] & 15)))) {
        .layout, .wanting, .object, .name => f(@ptrFromInt(@as(usize, @intCast(key[i] & ~@as(u64, 15))))),
        .float => i += 1,
        else => {},
    };
}
