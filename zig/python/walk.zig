//! The walk back over the graph (autograd/engine.py, run) where gradients are accumulated or captured in
//! leaves: the order of the nodes, the gradients that wait for theirs, and the calls of plain rules.
//! Nodes with hooks or of several results are Python's (`step`), and so is what happens at a leaf.
const std = @import("std");
const api = @import("api.zig");
const memo = @import("memo.zig");
const objects = @import("objects.zig");
const Node = objects.Node;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

/// Python's share: see bind.
var output: struct { kind: O, node: usize, number: usize } = undefined;
var accumulate: O = undefined;
var collect: O = undefined;
var step: O = undefined;
var add: O = undefined;
var add_into: O = undefined;
/// rule -> what adds its gradient to a leaf's as it is computed; see `intoLeaf`.
var adding: O = undefined;
var freed: O = undefined;
var zero: O = undefined;

/// From here on (in bytes) a sum is written into the gradient that waits, where nobody else has it.
const in_place = 1 << 16;
const most_saved = 24;

/// A node that gradients have reached; of one with several results the gradients are a dict.
const Waiting = struct { seq: usize = 0, node: O = undefined, grad: O = undefined };

const Walk = struct {
    /// By seq: open addressing, a power of two, at most half of it in use.
    table: []Waiting = &.{},
    /// The seqs, the largest first.
    heap: []usize = &.{},
    n: usize = 0,
    retain: O,
    /// Whether the walk is recorded.
    create: O,
    /// Only the gradients of some leaves are wanted: what Python knows of these, by their addresses, where
    /// it collects the gradients, and the seqs of the nodes on the way.
    capture: ?struct { leaves: O, found: O, needed: O } = null,

    fn release(w: *Walk) void {
        for (w.table) |e| if (e.seq != 0) {
            api.drop(e.node);
            api.drop(e.grad);
        };
        w.freeRoom();
    }

    fn freeRoom(w: *const Walk) void {
        if (w.table.len == 0) return;
        py.PyMem_RawFree(w.table.ptr);
        py.PyMem_RawFree(w.heap.ptr);
    }

    // -------------------------------------------------------------- what waits

    inline fn place(w: *const Walk, seq: usize) usize {
        return seq *% 0x9E3779B97F4A7C15 >> 20 & (w.table.len - 1);
    }

    fn find(w: *Walk, seq: usize) ?*Waiting {
        if (w.n == 0) return null;
        var i = w.place(seq);
        while (w.table[i].seq != 0) : (i = (i + 1) & (w.table.len - 1)) {
            if (w.table[i].seq == seq) return &w.table[i];
        }
        return null;
    }

    /// Takes `grad` over.
    fn insert(w: *Walk, seq: usize, node: O, grad: O) bool {
        if (2 * (w.n + 1) > w.table.len and !w.grow()) {
            api.drop(grad);
            _ = py.PyErr_NoMemory();
            return false;
        }
        w.put(.{ .seq = seq, .node = api.keep(node), .grad = grad });
        var i = w.n;
        w.n += 1;
        while (i > 0 and w.heap[(i - 1) / 2] < seq) : (i = (i - 1) / 2) w.heap[i] = w.heap[(i - 1) / 2];
        w.heap[i] = seq;
        return true;
    }

    fn put(w: *Walk, e: Waiting) void {
        var i = w.place(e.seq);
        while (w.table[i].seq != 0) i = (i + 1) & (w.table.len - 1);
        w.table[i] = e;
    }

    fn grow(w: *Walk) bool {
        const size: usize = @max(16, 2 * w.table.len);
        const table: [*]Waiting = @ptrCast(@alignCast(py.PyMem_RawMalloc(size * @sizeOf(Waiting)) orelse return false));
        const heap: [*]usize = @ptrCast(@alignCast(py.PyMem_RawMalloc(size / 2 * @sizeOf(usize)) orelse {
            py.PyMem_RawFree(table);
            return false;
        }));
        @memset(table[0..size], .{});
        @memcpy(heap[0..w.n], w.heap[0..w.n]);
        const before = w.*;
        w.table = table[0..size];
        w.heap = heap[0 .. size / 2];
        for (before.table) |e| if (e.seq != 0) w.put(e);
        before.freeRoom();
        return true;
    }

    /// The node with the largest number; it is the caller's then.
    fn take(w: *Walk) Waiting {
        const seq = w.heap[0];
        w.n -= 1;
        const last = w.heap[w.n];
        var i: usize = 0;
        while (2 * i + 1 < w.n) {
            var child = 2 * i + 1;
            if (child + 1 < w.n and w.heap[child + 1] > w.heap[child]) child += 1;
            if (w.heap[child] <= last) break;
            w.heap[i] = w.heap[child];
            i = child;
        }
        w.heap[i] = last;
        return w.remove(seq);
    }

    fn remove(w: *Walk, seq: usize) Waiting {
        const mask = w.table.len - 1;
        var i = w.place(seq);
        while (w.table[i].seq != seq) i = (i + 1) & mask;
        const taken = w.table[i];
        // Those behind it that it has pushed away move up.
        var j = i;
        while (true) {
            j = (j + 1) & mask;
            if (w.table[j].seq == 0) break;
            if ((j -% w.place(w.table[j].seq)) & mask < (j -% i) & mask) continue;
            w.table[i] = w.table[j];
            i = j;
        }
        w.table[i] = .{};
        return taken;
    }

    // -------------------------------------------------------------- gradients on their way

    /// Sends the gradient `g` (which it takes over) along an edge. fresh: nobody else holds it.
    fn send(w: *Walk, edge: O, g: O, fresh: bool) bool {
        if (edge.kind == Node.kind) return w.reach(edge, zero, g);
        if (edge.kind == output.kind) {
            const node: *?O = @ptrFromInt(@intFromPtr(edge) + output.node);
            const number: *?O = @ptrFromInt(@intFromPtr(edge) + output.number);
            return w.reach(node.*.?, number.*.?, g);
        }
        defer api.drop(g);
        const done = if (w.capture) |c|
            if (holdsAddress(c.leaves, edge)) api.callObject(collect, &.{ edge, g, c.leaves, c.found }) else api.keep(api.none)
        else
            api.callObject(accumulate, &.{ edge, g, if (fresh) api.true_ else api.false_, w.create });
        api.drop(done);
        return done != null;
    }

    fn reach(w: *Walk, node: O, number: O, g: O) bool {
        const seq = py.PyLong_AsSize_t(Node.get(node, "seq").?);
        const single = Node.get(node, "outputs") == zero;
        const e = w.find(seq) orelse {
            if (!w.isNeeded(node)) {
                api.drop(g);
                return true;
            }
            if (single) return w.insert(seq, node, g);
            defer api.drop(g);
            const dict = py.PyDict_New() orelse return false;
            if (py.PyDict_SetItem(dict, number, g) != 0) {
                api.drop(dict);
                return false;
            }
            return w.insert(seq, node, dict);
        };
        defer api.drop(g);
        if (!single) return addToDict(e.grad, number, g);
        const have = e.grad;
        if (w.create == api.false_ and isOurs(have) and Tensor.slots.get(have, "_layout") == Tensor.slots.get(g, "_layout")) {
            const done = api.callObject(add_into, &.{ have, g });
            api.drop(done);
            return done != null;
        }
        const sum = api.callObject(add, &.{ have, g }) orelse return false;
        // Whatever ran meanwhile, this walk has not gone on.
        e.grad = sum;
        api.drop(have);
        return true;
    }

    fn addToDict(dict: O, number: O, g: O) bool {
        const have = py.PyDict_GetItem(dict, number) orelse return py.PyDict_SetItem(dict, number, g) == 0;
        const sum = api.callObject(add, &.{ have, g }) orelse return false;
        defer api.drop(sum);
        return py.PyDict_SetItem(dict, number, sum) == 0;
    }

    /// Whether nobody but the walk holds a gradient, and it is large enough that writing into it pays.
    fn isOurs(g: O) bool {
        const storage = Tensor.slots.get(g, "_storage").?;
        const s = objects.Storage.of(storage) orelse return false;
        return s.nbytes > in_place and g.references == 1 and storage.references == 1 and
            Tensor.slots.get(g, "_requires_grad") == api.false_;
    }

    // -------------------------------------------------------------- what is wanted

    fn isNeeded(w: *const Walk, node: O) bool {
        const c = w.capture orelse return true;
        return py.PyDict_GetItem(c.needed, Node.get(node, "seq").?) != null;
    }

    fn isOnTheWay(w: *const Walk, edge: O) bool {
        const c = w.capture orelse return true;
        return leads(edge, c.leaves, c.needed);
    }

    // -------------------------------------------------------------- nodes

    fn pass(w: *Walk, e: Waiting) bool {
        defer api.drop(e.node);
        defer api.drop(e.grad);
        const rule = Node.get(e.node, "rule").?;
        const edges = Node.get(e.node, "edges").?;
        const hooked = Node.get(e.node, "hooks") != api.none;
        const simple = !hooked and Node.get(e.node, "outputs") == zero and py.PyTuple_Size(Node.get(e.node, "saved").?) <= most_saved;
        if (simple and rule.kind == py.PyTuple_Type) {
            const saved = w.savedOf(e.node) orelse return false;
            defer api.drop(saved);
            return w.apply(rule, edges, e.grad, saved);
        }
        _ = api.keep(edges);
        defer api.drop(edges);
        const grads = (if (simple)
            w.ask(e.node, rule, e.grad)
        else
            api.callObject(step, &.{ e.node, e.grad, w.retain })) orelse return false;
        defer api.drop(grads);
        if (Tensor.is(grads)) {
            const edge = py.PyTuple_GetItem(edges, 0).?;
            return edge == api.none or w.send(edge, api.keep(grads), isFresh(grads, e.grad, null));
        }
        if (grads == api.none) return true;
        if (grads.kind != py.PyTuple_Type and grads.kind != py.PyList_Type) return api.typeError("a rule returned no tuple") != null;
        const n = if (grads.kind == py.PyTuple_Type) py.PyTuple_Size(grads) else py.PyList_Size(grads);
        var last: ?O = null;
        for (0..@intCast(@min(n, py.PyTuple_Size(edges)))) |i| {
            const at: isize = @intCast(i);
            const edge = py.PyTuple_GetItem(edges, at).?;
            const g = (if (grads.kind == py.PyTuple_Type) py.PyTuple_GetItem(grads, at) else py.PyList_GetItem(grads, at)).?;
            if (edge == api.none or g == api.none) continue;
            if (!Tensor.is(g)) return api.typeError("a rule returned a gradient that is no Tensor") != null;
            if (!w.send(edge, api.keep(g), !hooked and isFresh(g, e.grad, last))) return false;
            last = g;
        }
        return true;
    }

    /// rule(g, saved...), one rule for all inputs.
    fn ask(w: *Walk, node: O, rule: O, g: O) ?O {
        const saved = w.savedOf(node) orelse return null;
        defer api.drop(saved);
        _ = api.keep(rule);
        defer api.drop(rule);
        var args: [1 + most_saved]O = undefined;
        args[0] = g;
        const n = spread(saved, args[1..]);
        return api.callObject(rule, args[0 .. 1 + n]);
    }

    /// Puts the items of a tuple there. How many they are.
    fn spread(saved: O, to: []O) usize {
        const n: usize = @intCast(py.PyTuple_Size(saved));
        for (to[0..n], 0..) |*a, i| a.* = py.PyTuple_GetItem(saved, @intCast(i)).?;
        return n;
    }

    inline fn isFresh(g: O, of: O, last: ?O) bool {
        return g != of and g != last and Tensor.slots.get(g, "_view") == api.none;
    }

    /// The saved values (a new reference), after the check that none was overwritten since.
    fn savedOf(w: *Walk, node: O) ?O {
        const saved = Node.get(node, "saved").?;
        const versions = Node.get(node, "versions").?;
        if (py.PyTuple_Size(saved) == 0) return api.keep(saved);
        if (saved == freed or Node.get(node, "trace") != api.none) return w.unpack(node);
        // Its own result is saved without its history.
        if (w.create == api.true_ and py.PyLong_AsSsize_t(Node.get(node, "own").?) >= 0) return w.unpack(node);
        for (0..@intCast(py.PyTuple_Size(saved))) |i| {
            const version = py.PyTuple_GetItem(versions, @intCast(i)).?;
            if (version == api.none) continue;
            const storage = Tensor.slots.get(py.PyTuple_GetItem(saved, @intCast(i)).?, "_storage").?;
            const s = objects.Storage.of(storage) orelse return w.unpack(node);
            if (s.version != py.PyLong_AsSsize_t(version)) return w.unpack(node);
        }
        const kept = api.keep(saved);
        if (w.retain == api.false_) Node.set(node, "saved", api.keep(freed));
        return kept;
    }

    /// By Python, which says what is wrong.
    fn unpack(w: *Walk, node: O) ?O {
        const method = py.PyObject_GetAttrString(node, "unpack") orelse return null;
        defer api.drop(method);
        const saved = api.callObject(method, &.{}) orelse return null;
        if (w.retain == api.false_) Node.set(node, "saved", api.keep(freed));
        return saved;
    }

    /// Whether the gradient by `rule` was added to the leaf's own (null: it raised). args: the leaf,
    /// the gradient of the node, what the node has saved.
    fn intoLeaf(rule: O, args: []const O) ?bool {
        const s = objects.Storage.of(Tensor.slots.get(args[0], "_storage").?) orelse return false;
        if (s.nbytes <= in_place) return false;
        const into = py.PyDict_GetItem(adding, memo.Memo.functionOf(rule)) orelse return false;
        const done = api.callObject(into, args) orelse return null;
        defer api.drop(done);
        return done == api.true_;
    }

    /// The rules of a node, one an input.
    fn apply(w: *Walk, rules: O, edges: O, g: O, saved: O) bool {
        _ = api.keep(rules);
        defer api.drop(rules);
        _ = api.keep(edges);
        defer api.drop(edges);
        var args: [2 + most_saved]O = undefined;
        args[1] = g;
        const n_saved = spread(saved, args[2..]);
        const n: usize = @intCast(@min(py.PyTuple_Size(rules), py.PyTuple_Size(edges)));
        var last: ?O = null;
        for (0..n) |i| {
            const edge = py.PyTuple_GetItem(edges, @intCast(i)).?;
            if (edge == api.none or !w.isOnTheWay(edge)) continue;
            const rule = py.PyTuple_GetItem(rules, @intCast(i)).?;
            if (w.capture == null and w.create != api.true_ and Tensor.is(edge)) {
                args[0] = edge;
                const done = intoLeaf(rule, args[0 .. 2 + n_saved]) orelse return false;
                if (done) continue;
            }
            const grad = api.callObject(rule, args[1 .. 2 + n_saved]) orelse return false;
            if (grad == api.none) {
                api.drop(grad);
                continue;
            }
            if (!Tensor.is(grad)) {
                api.drop(grad);
                return api.typeError("a rule returned a gradient that is no Tensor") != null;
            }
            const fresh = isFresh(grad, g, last);
            last = grad; // compared only
            if (!w.send(edge, grad, fresh)) return false;
        }
        return true;
    }
};

/// The node of an edge that is no leaf.
fn nodeOf(edge: O) ?O {
    if (edge.kind == Node.kind) return edge;
    if (edge.kind != output.kind) return null;
    const node: *?O = @ptrFromInt(@intFromPtr(edge) + output.node);
    return node.*;
}

fn holdsAddress(dict: O, x: O) bool {
    const id = py.PyLong_FromSize_t(@intFromPtr(x)) orelse return false;
    defer api.drop(id);
    return py.PyDict_GetItem(dict, id) != null;
}

/// Whether an edge leads to one of the leaves, given the nodes that do.
fn leads(edge: O, leaves: O, needed: O) bool {
    const node = nodeOf(edge) orelse return holdsAddress(leaves, edge);
    return py.PyDict_GetItem(needed, Node.get(node, "seq").?) != null;
}

const Nodes = struct {
    list: [*]O = undefined,
    n: usize = 0,
    room: usize = 0,

    fn add(l: *Nodes, node: O) bool {
        if (l.n == l.room) {
            const room = @max(64, 2 * l.room);
            const list: [*]O = @ptrCast(@alignCast(py.PyMem_RawMalloc(room * @sizeOf(O)) orelse return false));
            @memcpy(list[0..l.n], l.list[0..l.n]);
            l.release();
            l.* = .{ .list = list, .n = l.n, .room = room };
        }
        l.list[l.n] = node;
        l.n += 1;
        return true;
    }
    fn release(l: *Nodes) void {
        if (l.room > 0) py.PyMem_RawFree(@ptrCast(l.list));
    }
    fn isBefore(_: void, a: O, b: O) bool {
        return py.PyLong_AsSize_t(Node.get(a, "seq").?) < py.PyLong_AsSize_t(Node.get(b, "seq").?);
    }
};

/// on_the_way([(edge, gradient), ...], {address of a leaf: ...}): {seq: True} of the nodes through which a leaf is reached
fn onTheWay(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 2 or args[0].kind != py.PyList_Type) return api.typeError("on_the_way(): expected roots and leaves");
    const needed = py.PyDict_New() orelse return null;
    if (findWay(args[0], args[1], needed)) return needed;
    api.drop(needed);
    return if (py.PyErr_Occurred() == null) py.PyErr_NoMemory() else null;
}

fn findWay(roots: O, leaves: O, needed: O) bool {
    const met = py.PyDict_New() orelse return false;
    defer api.drop(met);
    var nodes: Nodes = .{};
    defer nodes.release();
    for (0..@intCast(py.PyList_Size(roots))) |i| {
        const root = py.PyList_GetItem(roots, @intCast(i)).?;
        if (!meet(&nodes, met, py.PyTuple_GetItem(root, 0).?)) return false;
    }
    var i: usize = 0;
    while (i < nodes.n) : (i += 1) {
        const edges = Node.get(nodes.list[i], "edges").?;
        for (0..@intCast(py.PyTuple_Size(edges))) |k| {
            if (!meet(&nodes, met, py.PyTuple_GetItem(edges, @intCast(k)).?)) return false;
        }
    }
    // An edge leads to a node of a smaller number.
    std.mem.sort(O, nodes.list[0..nodes.n], {}, Nodes.isBefore);
    for (nodes.list[0..nodes.n]) |node| {
        const edges = Node.get(node, "edges").?;
        for (0..@intCast(py.PyTuple_Size(edges))) |k| {
            const edge = py.PyTuple_GetItem(edges, @intCast(k)).?;
            if (edge == api.none or !leads(edge, leaves, needed)) continue;
            if (py.PyDict_SetItem(needed, Node.get(node, "seq").?, api.true_) != 0) return false;
            break;
        }
    }
    return true;
}

fn meet(nodes: *Nodes, met: O, edge: O) bool {
    const node = nodeOf(edge) orelse return true;
    const seq = Node.get(node, "seq").?;
    if (py.PyDict_GetItem(met, seq) != null) return true;
    return nodes.add(node) and py.PyDict_SetItem(met, seq, api.true_) == 0;
}

/// walk([(edge, gradient), ...], retain_graph, create_graph[, leaves, found, needed])
fn walk(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if ((n != 3 and n != 6) or args[0].kind != py.PyList_Type) return api.typeError("walk(): expected roots and whether graphs stay");
    var w: Walk = .{ .retain = args[1], .create = args[2] };
    if (n == 6) w.capture = .{ .leaves = args[3], .found = args[4], .needed = args[5] };
    const before = objects.Mode.enabled;
    objects.Mode.enabled = w.create == api.true_;
    defer objects.Mode.enabled = before;
    defer w.release();
    for (0..@intCast(py.PyList_Size(args[0]))) |i| {
        const root = py.PyList_GetItem(args[0], @intCast(i)).?;
        if (!w.send(py.PyTuple_GetItem(root, 0).?, api.keep(py.PyTuple_GetItem(root, 1).?), false)) return null;
    }
    while (w.n > 0) if (!w.pass(w.take())) return null;
    return api.keep(api.none);
}

/// bind_walk(Output, offsets of its node and number, accumulate, collect, step, add, add_into, FREED, adding)
fn bind(_: ?O, args: [*]const O, n: isize) callconv(.c) ?O {
    if (n != 10) return api.typeError("bind_walk()");
    output = .{ .kind = api.keep(args[0]), .node = py.PyLong_AsSize_t(args[1]), .number = py.PyLong_AsSize_t(args[2]) };
    accumulate = api.keep(args[3]);
    collect = api.keep(args[4]);
    step = api.keep(args[5]);
    add = api.keep(args[6]);
    add_into = api.keep(args[7]);
    freed = api.keep(args[8]);
    adding = api.keep(args[9]);
    zero = py.PyLong_FromSize_t(0) orelse return null;
    return api.keep(api.none);
}

pub const functions = [_]api.MethodDef{
    .{ .name = "walk", .function = &walk },
    .{ .name = "on_the_way", .function = &onTheWay },
    .{ .name = "bind_walk", .function = &bind },
};
