//! How the results of a chain (memo_chain.zig) are recorded: the graph that its function made, made again.
//!
//! A script is a tuple of steps that Python read off the graph of the results (`script_of` in
//! autograd/learned.py). Values are counted: first the chain's places, then what these steps make.
//!   (place, bytes behind it, layout, is a view, view mode)    the next value: memory of that at the place
//!   (name, rule, kept, own, edges, results, layouts)          the next node. edges: None, a tensor of the key, or
//!                                                             behind these a node (or (node, number): one of its results);
//!                                                             results: None, or how many
//!   (value, node, number)                                     the value is that result of the node (None: the only one); a
//!                                                             tensor of the key is one if it was written to
const api = @import("api.zig");
const graph = @import("graph.zig");
const objects = @import("objects.zig");
const Node = objects.Node;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// As script_of keeps to.
pub const most_values = 250;
const most_nodes = 64;
const most_edges = 64;

/// learned.script_of and graph.Output
pub var script_of: ?O = null;
pub var output_type: ?O = null;

/// (script, the values that are results, the places that it uses, whether a tensor of the key stands for others that share
/// its memory), or None; null: an exception.
pub fn read(results: O, places: []const O, n: usize, edges: []const ?O) ?O {
    const list = tupleOf(O, places) orelse return null;
    defer api.drop(list);
    const from = tupleOf(?O, edges) orelse return null;
    defer api.drop(from);
    const count = py.PyLong_FromSize_t(n) orelse return null;
    defer api.drop(count);
    return api.callObject(script_of orelse return null, &.{ results, list, count, from });
}

fn tupleOf(comptime T: type, items: []const T) ?O {
    const tuple = py.PyTuple_New(@intCast(items.len)) orelse return null;
    for (items, 0..) |x, i| {
        const o: ?O = x;
        _ = py.PyTuple_SetItem(tuple, @intCast(i), api.keep(o orelse api.none));
    }
    return tuple;
}

const Graph = struct {
    values: *[most_values]?O,
    n_values: *usize,
    from: []const ?O,
    n_key: usize,
    nodes: [most_nodes]O = undefined,
    n_nodes: usize = 0,

    fn take(g: *Graph, step: O) bool {
        return switch (py.PyTuple_Size(step)) {
            3 => g.attach(step),
            5 => g.derive(step),
            else => g.add(step),
        };
    }

    fn derive(g: *Graph, step: O) bool {
        const x = g.values[number(step, 0)].?;
        const shift = number(step, 1);
        const layout = item(step, 2);
        // Those of the key may be views of another kind this time.
        if (Tensor.slots.get(x, "_view_mode") != api.none) return false;
        const t = if (item(step, 3) == api.true_)
            Tensor.view(x, layout, shift) orelse return false
        else
            Tensor.inMemoryOf(x, layout, shift) orelse return false;
        Tensor.slots.set(t, "_view_mode", api.keep(item(step, 4)));
        g.values[g.n_values.*] = t;
        g.n_values.* += 1;
        return true;
    }

    fn add(g: *Graph, step: O) bool {
        const places = item(step, 4);
        const n: usize = @intCast(py.PyTuple_Size(places));
        var edges: [most_edges]?O = undefined;
        for (edges[0..n], 0..) |*e, i| {
            e.* = null;
            const place = item(places, i);
            if (place == api.none) continue;
            e.* = if (place.kind == py.PyTuple_Type)
                g.resultOf(g.nodes[number(place, 0) - g.n_key], item(place, 1)) orelse return false
            else
                g.edge(py.PyLong_AsSize_t(place));
        }
        const node = graph.make(step, api.none, @ptrCast(g.values[0..g.n_values.*]), edges[0..n], null) orelse return false;
        g.nodes[g.n_nodes] = node;
        g.n_nodes += 1;
        const results = item(step, 5);
        if (results == api.none) return true;
        Node.set(node, "outputs", api.keep(results));
        return py.PyObject_SetAttrString(node, "layouts", item(step, 6)) == 0;
    }

    fn attach(g: *Graph, step: O) bool {
        const value = g.values[number(step, 0)].?;
        const node = g.nodes[number(step, 1)];
        const which = item(step, 2);
        const to = if (which == api.none) api.keep(node) else g.resultOf(node, which) orelse return false;
        Tensor.slots.set(value, "_requires_grad", api.keep(api.true_));
        Tensor.slots.set(value, "_grad_fn", to);
        return true;
    }

    fn edge(g: *const Graph, at: usize) ?O {
        return api.keep(if (at < g.n_key) g.from[at].? else g.nodes[at - g.n_key]);
    }

    fn resultOf(_: *const Graph, node: O, which: O) ?O {
        return api.callObject(output_type.?, &.{ node, which });
    }

    fn release(g: *Graph) void {
        for (g.nodes[0..g.n_nodes]) |x| api.drop(x);
    }
};

inline fn item(tuple: O, i: usize) O {
    return py.PyTuple_GetItem(tuple, @intCast(i)).?;
}
inline fn number(tuple: O, i: usize) usize {
    return py.PyLong_AsSize_t(item(tuple, i));
}

/// Makes the nodes, which hang on to the edges of the key's tensors, and the values that belong to them. False: something
/// is in the way.
pub fn follow(script: O, values: *[most_values]?O, n_values: *usize, n_key: usize, from: []const ?O) bool {
    var g: Graph = .{ .values = values, .n_values = n_values, .n_key = n_key, .from = from };
    defer g.release();
    for (0..@intCast(py.PyTuple_Size(script))) |i| {
        if (!g.take(item(script, i))) return false;
    }
    return true;
}
