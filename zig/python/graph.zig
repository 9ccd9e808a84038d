//! The graph's nodes: how an operation is recorded.
const std = @import("std");
const api = @import("api.zig");
const objects = @import("objects.zig");
const Node = objects.Node;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// Nodes are numbered as they are made.
var numbers: usize = 0;
/// Python's Node class is called with every new node (anomaly detection, saved-tensor hooks).
var special: bool = false;
/// graph.edge_of, for views.
var edge_of: O = undefined;
/// Stands in `kept` for the result.
const result = 255;
/// Is what a tuple of one stands for.
const constant = 256;
/// From here on: the others of several results.
const another = 512;

/// Where a gradient of `t` goes (a new reference), None, or null for an exception.
pub inline fn edgeOf(t: O) ?O {
    if (Tensor.slots.get(t, "_view") != api.none) return edgeOfView(t);
    const f = Tensor.slots.get(t, "_grad_fn").?;
    return api.keep(if (f == api.none) t else f);
}

fn edgeOfView(t: O) ?O {
    if (!Tensor.wants(t)) return api.keep(api.none);
    const storage = objects.Storage.of(Tensor.slots.get(t, "_storage").?);
    const version = Tensor.slots.get(t, "_view_version");
    if (storage == null or version == null or py.PyLong_AsSsize_t(version.?) != storage.?.version) {
        return api.callObject(edge_of, &.{t});
    }
    const f = Tensor.slots.get(t, "_grad_fn").?;
    if (f == api.none and Tensor.slots.get(t, "_requires_grad") != Tensor.maybe) return api.keep(t);
    return api.keep(f);
}

/// Makes the node of result `t` by a recipe (row.zig). Takes the edges over.
/// results: of a plan with several, all of them.
pub fn record(recipe: O, t: O, args: []const O, edges: []?O, results: ?O) bool {
    const node = make(recipe, t, args, edges, results) orelse return false;
    Tensor.slots.set(t, "_requires_grad", api.keep(api.true_));
    Tensor.slots.set(t, "_grad_fn", node);
    return true;
}

/// The node alone. Takes the edges over.
pub fn make(recipe: O, t: O, args: []const O, edges: []?O, results: ?O) ?O {
    const kept = py.PyTuple_GetItem(recipe, 2).?;
    const n: usize = @intCast(py.PyTuple_Size(kept));
    const edge_tuple = py.PyTuple_New(@intCast(edges.len)) orelse return null;
    for (edges, 0..) |*e, i| {
        _ = py.PyTuple_SetItem(edge_tuple, @intCast(i), e.* orelse api.keep(api.none));
        e.* = null;
    }
    var saved = kept; // the empty tuple
    var versions = kept;
    if (n == 0) {
        _ = api.keep(kept);
        _ = api.keep(kept);
    } else {
        saved = py.PyTuple_New(@intCast(n)) orelse return null;
        versions = py.PyTuple_New(@intCast(n)) orelse return null;
        for (0..n) |i| {
            const what = py.PyTuple_GetItem(kept, @intCast(i)).?;
            const which = if (what.kind == py.PyTuple_Type) constant else py.PyLong_AsSize_t(what);
            const value = if (which == constant)
                api.keep(py.PyTuple_GetItem(what, 0).?)
            else if (which >= another)
                api.keep(py.PyTuple_GetItem(results.?, @intCast(which - another)).?)
            else if (which == result) Tensor.alias(t) orelse return null else api.keep(args[which]);
            _ = py.PyTuple_SetItem(saved, @intCast(i), value);
            _ = py.PyTuple_SetItem(versions, @intCast(i), versionOf(value));
        }
    }
    const name = api.keep(py.PyTuple_GetItem(recipe, 0).?);
    const rule = api.keep(py.PyTuple_GetItem(recipe, 1).?);
    const own = api.keep(py.PyTuple_GetItem(recipe, 3).?);
    if (special) {
        const node = api.callObject(Node.kind, &.{ name, edge_tuple, rule, saved, versions, own });
        for ([_]O{ name, edge_tuple, rule, saved, versions, own }) |x| api.drop(x);
        return node;
    }
    numbers += 1;
    const seq = py.PyLong_FromSize_t(numbers) orelse return null;
    const node = py.PyType_GenericAlloc(Node.kind, 0) orelse return null;
    Node.init(node, "seq", seq);
    Node.init(node, "name_", name);
    Node.init(node, "edges", edge_tuple);
    Node.init(node, "rule", rule);
    Node.init(node, "saved", saved);
    Node.init(node, "versions", versions);
    Node.init(node, "own", own);
    Node.init(node, "outputs", py.PyLong_FromSize_t(0).?);
    Node.init(node, "hooks", api.keep(api.none));
    Node.init(node, "trace", api.keep(api.none));
    return node;
}

fn versionOf(value: O) ?O {
    if (!Tensor.is(value)) return api.keep(api.none);
    const s = objects.Storage.of(Tensor.slots.get(value, "_storage").?) orelse return api.keep(api.none);
    return py.PyLong_FromSsize_t(s.version);
}

/// next_number()
fn nextNumber(_: ?O, _: [*]const O, _: isize) callconv(.c) ?O {
    numbers += 1;
    return py.PyLong_FromSize_t(numbers);
}

fn setSpecial(_: ?O, args: [*]const O, _: isize) callconv(.c) ?O {
    special = args[0] == api.true_;
    return api.keep(api.none);
}

/// bind_graph(edge_of, Node, offsets...)
fn bindGraph(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != Node.count + 2 or !Node.bind(args + 1)) return api.typeError("bind_graph()");
    edge_of = api.keep(args[0]);
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "next_number", .function = &nextNumber },
    .{ .name = "set_special", .function = &setSpecial },
    .{ .name = "bind_graph", .function = &bindGraph },
};
