//! A function's steps (memo.zig), to be taken again: plans that run on the tensors of a key and on
//! each other's results. How these are recorded then is in memo_graph.zig.
//!
//! A place is a tensor of the key, or after these a result of a step, in their order.
const api = @import("api.zig");
const call_zig = @import("call.zig");
const key_zig = @import("key.zig");
const memo_graph = @import("memo_graph.zig");
const memo_watch = @import("memo_watch.zig");
const objects = @import("objects.zig");
const plan_zig = @import("../plan.zig");
const Key = key_zig.Key;
const Note = memo_watch.Note;
const PlanObject = objects.PlanObject;
const Storage = objects.Storage;
const Tensor = objects.Tensor;
const O = *api.Object;
const py = &api.py;

const max_places = key_zig.max_tensors + 2 * memo_watch.most;
const max_operands = 256;
const max_outs = 64;
const none = 255;

/// The memory that lies `shift` bytes behind the first element of the tensor at `place`; place `none`: left out.
pub const Operand = struct { place: u8 = none, shift: usize = 0 };

pub const Chain = struct {
    steps: []Step,
    operands: []Operand,
    outs: []Out,
    /// For each result the step after which nobody needs it.
    last: []u8,
    /// What makes a tuple of a class of the results' tuple; None: that tuple; null: there is one result.
    make: ?O,
    /// How the results are recorded; null: not at all.
    script: ?O,
    /// The first of the steps that write into tensors of the key, which are the last.
    first_write: usize,
    /// How the tensors of the key must lie, where some share memory so that nobody knows which one was meant; empty: as they like.
    ties: []Tie,
    /// The tensors of the key that a write gives another history.
    recorded: u32,

    pub fn release(c: *Chain) void {
        for (c.steps) |*s| {
            if (s.plan) |p| api.drop(&p.head);
            api.drop(s.layout);
            api.drop(s.constant);
        }
        for (c.outs) |*o| api.drop(o.layout);
        api.drop(c.make);
        api.drop(c.script);
        py.PyMem_RawFree(@ptrCast(c));
    }

    /// What the function returns; null: it must be asked, as something is in the way. Nobody sees
    /// what was done until then.
    pub fn run(c: *const Chain, key: *const Key, edges: []const ?O) ?O {
        var t: Tensors = .{ .n = key.n_tensors, .first = key.n_tensors };
        defer t.release();
        const writes = c.first_write < c.steps.len;
        for (key.tensors[0..key.n_tensors], t.list[0..t.n], t.address[0..t.n]) |k, *o, *address| {
            o.* = k;
            address.* = Tensor.address(k) orelse return null;
            // So that nothing is in the way after something was written.
            if (writes and Tensor.slots.get(k, "_view_mode") != api.none) return null;
        }
        for (c.ties, 0..) |tie, i| {
            const now: Tie = .of(key.tensors[0..key.n_tensors], i);
            if (now.first != tie.first or now.shift != tie.shift or now.mode != tie.mode) return null;
        }
        var operands = c.operands;
        for (c.steps, 0..) |*step, i| {
            const made = t.n;
            const own = operands[0..step.n_operands];
            if (i == c.first_write and !c.mayWrite(key, operands)) return null;
            if (!step.take(&t, own)) return null;
            for (own) |o| c.dropAfter(&t, o.place, i);
            for (made..t.n) |place| c.dropAfter(&t, place, i);
            operands = operands[own.len..];
        }
        if (c.script) |s| if (!memo_graph.follow(s, &t.list, &t.n, t.first, edges)) return null;
        return c.results(&t);
    }

    /// Whether none of the tensors that are written to shares memory with another, and they may get a history.
    fn mayWrite(c: *const Chain, key: *const Key, operands: []const Operand) bool {
        var own = operands;
        for (c.steps[c.first_write..]) |*step| {
            for (own[0..step.plan.?.plan.n_out]) |o| {
                if (o.place >= key.n_tensors) continue;
                if (!isAlone(key, o.place)) return false;
                if (c.recorded & bitOf(o.place) != 0 and !mayRecord(key.tensors[o.place])) return false;
            }
            own = own[step.n_operands..];
        }
        return true;
    }

    /// Lets go of the result at the place, if nobody needs it after this step.
    fn dropAfter(c: *const Chain, t: *Tensors, place: usize, step: usize) void {
        if (place < t.first or place == none or c.last[place - t.first] != step) return;
        api.drop(t.list[place]);
        t.list[place] = null;
    }

    fn results(c: *const Chain, t: *const Tensors) ?O {
        const make = c.make orelse return c.outs[0].tensor(t);
        const tuple = py.PyTuple_New(@intCast(c.outs.len)) orelse return null;
        for (c.outs, 0..) |*out, i| {
            const x = out.tensor(t) orelse {
                api.drop(tuple);
                return null;
            };
            _ = py.PyTuple_SetItem(tuple, @intCast(i), x);
        }
        if (make == api.none) return tuple;
        defer api.drop(tuple);
        return api.callObject(make, &.{tuple});
    }
};

/// Which is the first tensor of the key that is in the same memory as this one and a view of the same tensor, and how far
/// from it this one is. mode: of the view that it is.
const Tie = struct {
    first: usize,
    shift: usize,
    mode: ?O,

    fn of(tensors: []const O, i: usize) Tie {
        const t = tensors[i];
        const first = for (tensors[0..i], 0..) |x, k| {
            if (areKin(x, t)) break k;
        } else i;
        return .{
            .first = first,
            .shift = (Tensor.address(t) orelse 0) -% (Tensor.address(tensors[first]) orelse 0),
            .mode = Tensor.slots.get(t, "_view_mode"),
        };
    }
};

fn areKin(x: O, t: O) bool {
    return baseOf(x) == baseOf(t) and Tensor.slots.get(x, "_storage") == Tensor.slots.get(t, "_storage");
}

/// What a view of `t` is a view of.
fn baseOf(t: O) O {
    const base = Tensor.slots.get(t, "_view").?;
    return if (base == api.none) t else base;
}

/// What is at the places.
const Tensors = struct {
    n: usize,
    /// Where results begin.
    first: usize,
    list: [memo_graph.most_values]?O = undefined,
    address: [max_places]usize = undefined,

    fn add(t: *Tensors, o: O) bool {
        t.n += 1;
        t.list[t.n - 1] = null;
        if (o == api.none) return true;
        t.address[t.n - 1] = Tensor.address(o) orelse return false;
        t.list[t.n - 1] = api.keep(o);
        return true;
    }
    fn release(t: *Tensors) void {
        for (t.list[t.first..t.n]) |o| api.drop(o);
    }
};

const Step = struct {
    /// Null: new memory, `nbytes` of it, or
    plan: ?*PlanObject,
    layout: ?O = null,
    nbytes: usize = 0,
    /// a tensor that is the same each time.
    constant: ?O = null,
    /// Whether it writes into its first operands.
    into: bool = false,
    n_operands: u8 = 0,
    scalars: [plan_zig.max_scalars]plan_zig.Scalar = undefined,

    fn take(step: *const Step, t: *Tensors, operands: []const Operand) bool {
        if (step.constant) |x| return t.add(x);
        const p = step.plan orelse {
            const new = call_zig.newEmpty(step.nbytes, step.layout.?) orelse return false;
            defer api.drop(new);
            return t.add(new);
        };
        var call: plan_zig.Call = .{ .scalar = step.scalars };
        const first = if (step.into) 0 else p.plan.n_out;
        for (operands, call.ptr[first..][0..operands.len]) |o, *ptr| {
            if (o.place != none) ptr.* = @ptrFromInt(t.address[o.place] +% o.shift);
        }
        if (step.into) {
            const done = call_zig.execute(p, &call);
            for (operands[0..p.plan.n_out]) |o| {
                // Those of results stay: nobody has seen them.
                if (o.place >= t.first) continue;
                if (Storage.of(Tensor.slots.get(t.list[o.place].?, "_storage").?)) |s| s.version += 1;
            }
            if (done) step.note(p, null, t, operands, &call);
            return done;
        }
        const new = (if (p.plan.n_out == 1) call_zig.newTensor(p, &call) else call_zig.runSeveral(p, &call)) orelse return false;
        defer api.drop(new);
        step.note(p, new, t, operands, &call);
        if (p.plan.n_out == 1) return t.add(new);
        for (0..p.plan.n_out) |i| if (!t.add(py.PyTuple_GetItem(new, @intCast(i)).?)) return false;
        return true;
    }

    fn note(_: *const Step, p: *const PlanObject, new: ?O, t: *const Tensors, operands: []const Operand, call: *const plan_zig.Call) void {
        if (!memo_watch.isOn()) return;
        var list: [plan_zig.max_operands]O = undefined;
        for (operands, list[0..operands.len]) |o, *x| x.* = if (o.place == none) api.none else t.list[o.place].?;
        memo_watch.note(p, new, list[0..operands.len], call);
    }
};

/// A tensor that is returned: the one at the place, or with a layout one in its memory.
const Out = struct {
    at: Operand,
    layout: ?O = null,
    is_view: bool = false,

    fn tensor(o: *const Out, t: *const Tensors) ?O {
        if (o.at.place == none) return api.keep(api.none);
        const x = t.list[o.at.place].?;
        const layout = o.layout orelse return api.keep(x);
        if (Tensor.slots.get(x, "_view_mode") != api.none) return null;
        return if (o.is_view) Tensor.view(x, layout, o.at.shift) else Tensor.inMemoryOf(x, layout, o.at.shift);
    }
};

/// Whether no other tensor of the key lies in the memory of this one.
fn isAlone(key: *const Key, place: usize) bool {
    const storage = Tensor.slots.get(key.tensors[place], "_storage");
    for (key.tensors[0..key.n_tensors], 0..) |t, i| {
        if (i != place and Tensor.slots.get(t, "_storage") == storage) return false;
    }
    return true;
}

fn bitOf(place: usize) u32 {
    return @as(u32, 1) << @intCast(place);
}

/// Whether a write to the tensor gives it a history of its own, and nobody asks for its gradient before that.
fn mayRecord(t: O) bool {
    if (Tensor.slots.get(t, "_view") != api.none) return false;
    if (Tensor.wants(t) and Tensor.slots.get(t, "_grad_fn") == api.none) return false;
    const retains = py.PyObject_GetAttrString(t, "_retain") orelse return false;
    defer api.drop(retains);
    return retains == api.false_;
}

/// A chain that is being learned.
const Student = struct {
    key: *const Key,
    /// Of the key's tensors, before.
    edges: []const ?O,
    /// The tensors at the places (None: a result that was left out), which the notes keep.
    places: [max_places]O = undefined,
    n_places: usize,
    steps: [memo_watch.most]Step = undefined,
    operands: [max_operands]Operand = undefined,
    n_operands: usize = 0,
    outs: [max_outs]Out = undefined,
    n_outs: usize = 0,
    last: [max_places]u8 = undefined,
    script: ?O = null,
    first_write: usize = 0,
    /// The tensors of the key that were read, and written to.
    was_read: u32 = 0,
    was_written: u32 = 0,
    recorded: u32 = 0,
    is_constant: [max_places]bool = @splat(false),
    /// Memory that no step has written to: who reads it reads what nobody told us of.
    is_blank: [max_places]bool = @splat(false),
    /// Whether some tensor of the key stands for others that share its memory.
    is_tied: bool = false,

    fn read(s: *Student, notes: []const Note) bool {
        s.first_write = notes.len;
        for (notes, 0..) |*n, i| {
            const before = s.was_written;
            s.steps[i] = s.step(n, i) orelse return false;
            if (s.was_written != before) s.first_write = @min(s.first_write, i) else if (i > s.first_write) return false;
        }
        // What fails after its first write is asked again, and must find what it reads.
        return notes.len <= s.first_write + 1 or s.was_read & s.was_written == 0;
    }

    fn step(s: *Student, n: *const Note, i: usize) ?Step {
        if (n.plan == null) {
            const t = n.result orelse return null;
            const storage = Storage.of(Tensor.slots.get(t, "_storage").?) orelse return null;
            if (!s.addPlace(t, i)) return null;
            s.is_constant[s.n_places - 1] = n.constant;
            s.is_blank[s.n_places - 1] = !n.constant;
            if (n.constant) return .{ .plan = null, .constant = t };
            return .{ .plan = null, .layout = Tensor.slots.get(t, "_layout").?, .nbytes = @intCast(storage.nbytes) };
        }
        const p: *PlanObject = @ptrCast(n.plan.?);
        const count = p.plan.operands.len - if (n.result == null) 0 else p.plan.n_out;
        if (s.n_operands + count > max_operands) return null;
        for (n.operands[0..count], n.addresses[0..count], s.operands[s.n_operands..][0..count], 0..) |o, address, *to, k| {
            to.* = if (o.? == api.none) .{} else s.find(o.?, @intFromPtr(address)) orelse return null;
            if (to.place == none) continue;
            const own = to.place >= s.key.n_tensors;
            const bit = if (own) 0 else bitOf(to.place);
            if (own) s.last[to.place - s.key.n_tensors] = @intCast(i);
            if (n.result == null and k < p.plan.n_out) {
                if (own) {
                    if (s.is_constant[to.place]) return null;
                    s.is_blank[to.place] = false;
                } else {
                    if (!isAlone(s.key, to.place)) return null;
                    const wanted = s.edges.len > 0 and s.edges[to.place] != null;
                    const target = s.key.tensors[to.place]; // or a view of it was written to
                    if (wanted or objects.Mode.enabled and (Tensor.wants(target) or Tensor.wants(o.?))) {
                        if (!s.wasRecorded(target, to.place)) return null;
                        s.recorded |= bit;
                    }
                    if (s.was_written & bit != 0) return null;
                    s.was_written |= bit;
                }
            } else {
                if (s.is_blank[to.place]) return null;
                s.was_read |= bit;
            }
        }
        s.n_operands += count;
        if (n.result) |result| {
            if (p.plan.n_out == 1) {
                if (!s.addPlace(result, i)) return null;
            } else for (0..p.plan.n_out) |k| {
                if (!s.addPlace(py.PyTuple_GetItem(result, @intCast(k)).?, i)) return null;
            }
        }
        return .{ .plan = p, .into = n.result == null, .n_operands = @intCast(count), .scalars = n.scalars };
    }

    /// Whether a tensor of the key that was written to got another history.
    fn wasRecorded(s: *const Student, t: O, place: usize) bool {
        if (s.edges.len == 0 or !mayRecord(t)) return false;
        const f = Tensor.slots.get(t, "_grad_fn").?;
        return f != api.none and f != s.edges[place];
    }

    fn addPlace(s: *Student, t: O, i: usize) bool {
        if (s.n_places == max_places) return false;
        s.places[s.n_places] = t;
        s.last[s.n_places - s.key.n_tensors] = @intCast(i);
        s.n_places += 1;
        return true;
    }

    /// Where the memory at `address`, of tensor `o`, is found the next time.
    fn find(s: *Student, o: O, address: usize) ?Operand {
        const storage = Tensor.slots.get(o, "_storage");
        var found: ?usize = null;
        for (s.places[0..s.n_places], 0..) |t, i| {
            if (t == o) {
                found = i;
                break;
            }
            if (t == api.none or Tensor.slots.get(t, "_storage") != storage) continue;
            // Of two tensors in the same memory it may be either, which is the same where they lie so the next time.
            if (found) |first| {
                if (i >= s.key.n_tensors or !areKin(s.places[first], t)) return null;
                s.is_tied = true;
            } else found = i;
        }
        const place = found orelse return null;
        return .{ .place = @intCast(place), .shift = address -% (Tensor.address(s.places[place]) orelse return null) };
    }

    fn readOut(s: *Student, t: O) bool {
        if (t == api.none and s.n_outs < max_outs) {
            s.outs[s.n_outs] = .{ .at = .{} };
            s.n_outs += 1;
            return true;
        }
        if (s.n_outs == max_outs or t.kind != Tensor.slots.kind or Tensor.wants(t) or
            Tensor.slots.get(t, "_view_mode") != api.none) return false;
        const at = s.find(t, Tensor.address(t) orelse return false) orelse return false;
        if (s.is_constant[at.place]) return false;
        if (at.place >= s.key.n_tensors) s.last[at.place - s.key.n_tensors] = none;
        s.outs[s.n_outs] = .{ .at = at };
        if (t != s.places[at.place]) {
            s.outs[s.n_outs].layout = Tensor.slots.get(t, "_layout").?;
            s.outs[s.n_outs].is_view = Tensor.slots.get(t, "_view") != api.none;
            if (at.place < s.key.n_tensors and !s.outs[s.n_outs].is_view) return false;
        }
        s.n_outs += 1;
        return true;
    }

    /// How the results are recorded, and where they are then.
    fn readScript(s: *Student, results: O, edges: []const ?O) bool {
        const found = memo_graph.read(results, s.places[0..s.n_places], s.key.n_tensors, edges) orelse return false;
        defer api.drop(found);
        if (found == api.none) return false;
        const at = py.PyTuple_GetItem(found, 1).?;
        s.n_outs = @intCast(py.PyTuple_Size(at));
        if (s.n_outs > max_outs) return false;
        for (s.outs[0..s.n_outs], 0..) |*out, i| {
            out.* = .{ .at = .{ .place = @intCast(py.PyLong_AsSize_t(py.PyTuple_GetItem(at, @intCast(i)).?)) } };
        }
        const used = py.PyTuple_GetItem(found, 2).?;
        for (0..@intCast(py.PyTuple_Size(used))) |i| {
            const place = py.PyLong_AsSize_t(py.PyTuple_GetItem(used, @intCast(i)).?);
            if (place >= s.key.n_tensors) s.last[place - s.key.n_tensors] = none;
        }
        s.script = api.keep(py.PyTuple_GetItem(found, 0).?);
        if (py.PyTuple_GetItem(found, 3).? == api.true_) s.is_tied = true;
        return true;
    }

    fn finish(s: *Student, edges: []const ?O, n_steps: usize, results: O, make: ?O) ?*Chain {
        if (edges.len > 0) {
            if (!s.readScript(results, edges)) return null;
        } else for (0..@intCast(py.PyTuple_Size(results))) |i| {
            if (!s.readOut(py.PyTuple_GetItem(results, @intCast(i)).?)) return null;
        }
        return s.chain(n_steps, make) orelse {
            api.drop(s.script);
            return null;
        };
    }

    fn chain(s: *const Student, n_steps: usize, make: ?O) ?*Chain {
        const n_last = s.n_places - s.key.n_tensors;
        const n_ties = if (s.is_tied) s.key.n_tensors else 0;
        const sizes = [_]usize{ @sizeOf(Chain), n_steps * @sizeOf(Step), s.n_operands * @sizeOf(Operand), s.n_outs * @sizeOf(Out), n_ties * @sizeOf(Tie) };
        const bytes: [*]align(16) u8 = @ptrCast(@alignCast(py.PyMem_RawMalloc(sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4] + n_last) orelse return null));
        const c: *Chain = @ptrCast(bytes);
        var at: [*]align(8) u8 = @alignCast(bytes + sizes[0]);
        c.steps = @as([*]Step, @ptrCast(at))[0..n_steps];
        at = @alignCast(at + sizes[1]);
        c.operands = @as([*]Operand, @ptrCast(at))[0..s.n_operands];
        at = @alignCast(at + sizes[2]);
        c.outs = @as([*]Out, @ptrCast(at))[0..s.n_outs];
        at = @alignCast(at + sizes[3]);
        c.ties = @as([*]Tie, @ptrCast(at))[0..n_ties];
        c.last = (at + sizes[4])[0..n_last];
        for (c.ties, 0..) |*tie, i| tie.* = .of(s.key.tensors[0..n_ties], i);
        @memcpy(c.steps, s.steps[0..n_steps]);
        @memcpy(c.operands, s.operands[0..s.n_operands]);
        @memcpy(c.outs, s.outs[0..s.n_outs]);
        @memcpy(c.last, s.last[0..n_last]);
        c.make = make;
        c.script = s.script;
        c.first_write = s.first_write;
        c.recorded = s.recorded;
        for (c.steps) |*x| {
            if (x.plan) |p| _ = api.keep(&p.head);
            if (x.layout) |l| _ = api.keep(l);
            if (x.constant) |k| _ = api.keep(k);
        }
        for (c.outs) |*x| if (x.layout) |l| {
            _ = api.keep(l);
        };
        return c;
    }
};

/// The steps that led from the key's tensors to the result, which is recorded if `edges` has any; null: these alone don't
/// lead there. silent: the result is the first of the key's tensors, which was written to.
pub fn learn(key: *const Key, edges: []const ?O, notes: []const Note, result: O, silent: bool) ?*Chain {
    if (key.n_tensors == 0 and notes.len == 0) return null;
    var s: Student = .{ .key = key, .edges = edges, .n_places = key.n_tensors };
    @memcpy(s.places[0..key.n_tensors], key.tensors[0..key.n_tensors]);
    if (!s.read(notes) or silent and s.was_written & bitOf(0) == 0) return null;
    if (result.kind == Tensor.slots.kind) {
        const single = py.PyTuple_New(1) orelse return null;
        defer api.drop(single);
        _ = py.PyTuple_SetItem(single, 0, api.keep(result));
        return s.finish(edges, notes.len, single, null);
    }
    if (py.PyType_IsSubtype(result.kind, py.PyTuple_Type) == 0) return null;
    const make = if (result.kind == py.PyTuple_Type)
        api.keep(api.none)
    else
        py.PyObject_GetAttrString(result, "_make") orelse return null;
    return s.finish(edges, notes.len, result, make) orelse {
        api.drop(make);
        return null;
    };
}
