//! Copies that show the input's positions in another order: `flip`, `roll`, `pad` (fill.zig).
//!
//! Each dimension of out is a few segments, along which the positions of x run forwards or
//! backwards or stay, or there is none and the padding's value stands. Dimensions that lie together
//! in memory and are copied together are one. Rows of the last dimension go segment by segment, a
//! block of them at a time.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const join = @import("join.zig");
const convert = @import("convert.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Operand = plan.Operand;

pub const Kind = enum { flip, roll, pad };
const Mode = enum(i64) { constant, reflect, replicate, circular };
const Way = enum { forward, backward, stay, none };

const Segment = struct {
    begin: usize,
    end: usize,
    /// Where it begins in x.
    from: usize,
    way: Way,
};

const Axis = struct {
    size: usize,
    /// Of out and x, in bytes.
    stride: [2]isize,
    segment: [3]Segment = undefined,
    count: usize = 0,

    fn add(a: *Axis, n: usize, from: usize, way: Way) void {
        if (n == 0) return;
        const begin = if (a.count == 0) 0 else a.segment[a.count - 1].end;
        a.segment[a.count] = .{ .begin = begin, .end = begin + n, .from = from, .way = way };
        a.count += 1;
    }
    /// Which segment is what the padding stands around.
    fn kept(a: *const Axis) usize {
        return @intFromBool(a.segment[0].way == .none);
    }
    /// Whether it is one segment of this way, all of x.
    fn is(a: *const Axis, way: Way, x_size: usize) bool {
        return a.count == 1 and a.segment[0].way == way and a.size == x_size;
    }
};

const max_axes = 33;
/// No position of x.
const nowhere = std.math.maxInt(u16);
const State = struct {
    axis: [max_axes]Axis = undefined,
    /// Sizes of x.
    from: [max_axes]usize = undefined,
    count: usize = 0,
    element: usize,
    /// Small planes of words (or of two): where each element of out comes from in the plane of x, if `planes` isn't 0.
    table: [1024]u16 = undefined,
    planes: usize = 0,
    sizes: [2]usize = undefined,
    /// The segment of each row that is moved by lines, with few words of x beside it: see copyEdged.
    body: ?usize = null,

    /// Fills in the table, where rows are too short to be moved by vectors.
    fn tabulate(s: *State) void {
        const line = &s.axis[s.count - 1];
        const framed = line.segment[line.count - 1].way == .none or line.segment[0].way == .none;
        if (s.element < 4 or line.size > @as(usize, if (framed) 9 else if (line.count == 1) 8 else 32)) return;
        var sizes: [2]usize = .{ 1, 1 };
        var d = s.count;
        while (d > 0) {
            d -= 1;
            const a = &s.axis[d];
            for (a.stride, sizes) |stride, size| if (stride != @as(isize, @intCast(s.element * size))) return;
            if (d == 0) break;
            sizes[0] *= a.size;
            sizes[1] *= s.from[d];
        }
        if (sizes[0] > s.table.len or sizes[1] >= nowhere or !s.axis[0].is(.forward, s.from[0])) return;
        for (s.table[0..sizes[0]], 0..) |*to, i| {
            var rest = i;
            var at: usize = 0;
            var step: usize = 1;
            var none = false;
            d = s.count;
            while (d > 1) {
                d -= 1;
                const a = &s.axis[d];
                const k = rest % a.size;
                rest /= a.size;
                for (a.segment[0..a.count]) |g| if (k >= g.begin and k < g.end) {
                    none = none or g.way == .none;
                    at += step * source(g, k);
                };
                step *= s.from[d];
            }
            to.* = if (none) nowhere else @intCast(at);
        }
        s.sizes = sizes;
        s.planes = s.axis[0].size;
    }

    fn findBody(s: *State) void {
        const a = &s.axis[s.count - 1];
        if (!simd.has_fma or s.element < 4 or a.stride[0] != s.element or a.stride[1] != s.element or a.count < 2) return;
        for (s.axis[0..s.count]) |any| for (any.segment[0..any.count]) |g| if (g.way == .none) return;
        for (a.segment[0..a.count], 0..) |g, i| {
            const n = g.end - g.begin;
            if (g.way == .forward and n > 8 and n <= 512 and a.size - n <= 16 and (i == 1 or a.count == 2)) s.body = i;
        }
    }

    /// Takes a dimension in, the innermost last.
    fn push(s: *State, axis: Axis, from: usize) void {
        if (axis.size == 1 and from == 1 and axis.segment[0].way != .none) return;
        if (s.count > 0 and s.merge(axis, from)) return;
        s.axis[s.count] = axis;
        s.from[s.count] = from;
        s.count += 1;
    }
    fn merge(s: *State, inner: Axis, from: usize) bool {
        const a = &s.axis[s.count - 1];
        inline for (0..2) |k| {
            const n = if (k == 0) inner.size else from;
            if (a.stride[k] != inner.stride[k] * @as(isize, @intCast(n))) return false;
        }
        const turned = a.is(.backward, s.from[s.count - 1]) and inner.is(.backward, from);
        if (!turned) {
            if (!inner.is(.forward, from)) return false;
            for (a.segment[0..a.count]) |g| if (g.way != .forward and g.way != .none) return false;
        }
        for (a.segment[0..a.count]) |*g| {
            g.begin *= from;
            g.end *= from;
            g.from = if (turned) g.end - 1 else g.from * from;
        }
        a.size *= from;
        a.stride = inner.stride;
        s.from[s.count - 1] *= from;
        return true;
    }
};

pub fn prepare(p: *Plan, kind: Kind) plan.PrepareError!void {
    const out, const x = .{ p.operands[0], p.operands[1] };
    if (out.ndim() >= max_axes) return error.Unsupported;
    var s: State = .{ .element = out.dtype.size() };
    for (0..out.ndim()) |d| {
        const size: usize = @intCast(x.shape[d]);
        const e: isize = @intCast(s.element);
        var a: Axis = .{ .size = @intCast(out.shape[d]), .stride = .{ @as(isize, @intCast(out.strides[d])) * e, @as(isize, @intCast(x.strides[d])) * e } };
        switch (kind) {
            .flip => a.add(size, if (hasDim(p, d)) size -| 1 else 0, if (hasDim(p, d)) .backward else .forward),
            .roll => {
                const back = shiftOf(p, d, size);
                a.add(size - back, back, .forward);
                a.add(back, 0, .forward);
            },
            .pad => {
                // The dimension of the parts of complex numbers has no amounts.
                const amounts: [2]i64 = if (3 + 2 * d < p.ints.len) p.ints[2 + 2 * d ..][0..2].* else .{ 0, 0 };
                pad(&a, size, @fromBackingInt(p.ints[0]), amounts[0], amounts[1]);
            },
        }
        s.push(a, size);
    }
    while (s.count < 2) { // rows in a column
        s.axis[1] = s.axis[0];
        s.axis[0] = .{ .size = 1, .stride = .{ 0, 0 } };
        s.axis[0].add(1, 0, .forward);
        if (s.count == 0) s.axis[1] = s.axis[0];
        s.count = 2;
    }
    s.findBody();
    if (s.body == null) s.tabulate();
    (try p.create(State)).* = s;
    p.run = run;
}

fn hasDim(p: *const Plan, d: usize) bool {
    return std.mem.findScalar(i64, p.ints, @intCast(d)) != null;
}

/// By how much roll reads ahead along `d`.
fn shiftOf(p: *const Plan, d: usize, size: usize) usize {
    var sum: i64 = 0;
    if (size == 0) return 0;
    const n: i64 = @intCast(size);
    var i: usize = 0;
    while (i + 1 < p.ints.len) : (i += 2) {
        if (p.ints[i + 1] == d) sum = @mod(sum - @mod(p.ints[i], n), n);
    }
    return @intCast(sum);
}

/// Negative amounts cut.
fn pad(a: *Axis, size: usize, mode: Mode, before: i64, after: i64) void {
    const b: usize, const cut: usize = .{ @intCast(@max(before, 0)), @intCast(@max(-before, 0)) };
    const e: usize = @intCast(@max(after, 0));
    const kept = (size -| cut) -| @as(usize, @intCast(@max(-after, 0)));
    switch (mode) {
        .constant => a.add(@min(b, a.size), 0, .none),
        .reflect => a.add(b, b, .backward),
        .replicate => a.add(b, 0, .stay),
        .circular => a.add(b, size - b, .forward),
    }
    a.add(kept, cut, .forward);
    switch (mode) {
        .constant => a.add(a.size - @min(a.size, b + kept), 0, .none),
        .reflect => a.add(e, size -| 2, .backward),
        .replicate => a.add(e, size - 1, .stay),
        .circular => a.add(e, 0, .forward),
    }
}

/// Elements that a thread moves at a time, and bytes of rows that go together.
const piece = 32768;
const together = 16384;

const Line = [32]u8;

const Job = struct {
    s: *const State,
    out: [*]u8,
    x: [*]u8,
    /// The padding's, over and over.
    value: Line,
    pieces: usize,

    /// Planes by the table.
    fn planes(j: *const Job, begin: usize, end: usize) void {
        if (j.s.element == 4) j.planesOf(u32, begin, end) else j.planesOf(u64, begin, end);
    }

    fn planesOf(j: *const Job, comptime T: type, begin: usize, end: usize) void {
        const s = j.s;
        const value: T = @bitCast(j.value[0..@sizeOf(T)].*);
        var to: [*]T = @as([*]T, @ptrCast(@alignCast(j.out))) + begin * s.sizes[0];
        var from: [*]const T = @as([*]const T, @ptrCast(@alignCast(j.x))) + begin * s.sizes[1];
        for (begin..end) |_| {
            for (s.table[0..s.sizes[0]], to[0..s.sizes[0]]) |at, *x| {
                const place: *const T = if (at == nowhere) &value else &from[at];
                x.* = place.*;
            }
            to += s.sizes[0];
            from += s.sizes[1];
        }
    }

    fn part(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const width = s.axis[s.count - 1].size;
        if (j.pieces > 1) {
            for (begin..end) |k| {
                const first = k % j.pieces * piece;
                j.rows(k / j.pieces, 1, first, @min(width, first + piece));
            }
            return;
        }
        const column = s.axis[s.count - 2].size;
        const most = if (s.axis[s.count - 1].count == 1 or s.body != null) column else 1 + together / (width * s.element);
        var r = begin;
        while (r < end) {
            const m = @min(end - r, column - r % column, most);
            j.rows(r, m, 0, width);
            r += m;
        }
    }

    /// The elements [first, last) of `m` rows from the `row`-th one on, in one column.
    fn rows(j: *const Job, row: usize, m: usize, first: usize, last: usize) void {
        const axes = j.s.axis[0..j.s.count];
        const column = &axes[axes.len - 2];
        var to = j.out;
        var from = j.x;
        var none = false;
        var rest = row / column.size;
        var d = axes.len - 2;
        while (d > 0) {
            d -= 1;
            const a = &axes[d];
            const i = rest % a.size;
            rest /= a.size;
            to = moved(to, i, a.stride[0]);
            for (a.segment[0..a.count]) |g| if (i >= g.begin and i < g.end) {
                none = none or g.way == .none;
                from = moved(from, source(g, i), a.stride[1]);
            };
        }
        const begin = row % column.size;
        for (column.segment[0..column.count]) |g| {
            const lo, const hi = .{ @max(begin, g.begin), @min(begin + m, g.end) };
            if (lo >= hi) continue;
            var b: Block = .{
                .n = hi - lo,
                .to = moved(to, lo, column.stride[0]),
                .from = moved(from, source(g, lo), column.stride[1]),
                .pitch = .{ column.stride[0], pitchOf(g, column.stride[1]) },
            };
            if (simd.has_fma) if (j.s.body) |body| {
                const line = &axes[axes.len - 1];
                if (j.s.element == 4) b.copyEdged(u32, line, body) else b.copyEdged(u64, line, body);
                continue;
            };
            if (g.way == .backward) b.turn();
            j.across(b, none or g.way == .none, first, last);
        }
    }

    fn across(j: *const Job, b: Block, none: bool, first: usize, last: usize) void {
        const a = &j.s.axis[j.s.count - 1];
        if (none) {
            var c = b;
            c.to = moved(b.to, first, a.stride[0]);
            return c.fill(j, last - first);
        }
        if (j.isFramed(last - first)) return b.copyFramed(j, a);
        for (a.segment[0..a.count]) |g| {
            const lo, const hi = .{ @max(first, g.begin), @min(last, g.end) };
            if (lo >= hi) continue;
            var c = b;
            c.to = moved(b.to, lo, a.stride[0]);
            if (g.way == .none) {
                c.fill(j, hi - lo);
            } else {
                c.from = moved(b.from, source(g, lo), a.stride[1]);
                c.copy(j.s.element, hi - lo, .{ a.stride[0], pitchOf(g, a.stride[1]) });
            }
        }
    }

    /// Whether the rows are copies with so little around them that a line covers it.
    fn isFramed(j: *const Job, n: usize) bool {
        const a = &j.s.axis[j.s.count - 1];
        const size: isize = @intCast(j.s.element);
        if (a.count < 2 or n != a.size or a.stride[0] != size or a.stride[1] != size) return false;
        const g = a.segment[a.kept()];
        for (a.segment[0..a.count], 0..) |other, i| {
            if (other.way != if (i == a.kept()) Way.forward else Way.none) return false;
        }
        const kept = (g.end - g.begin) * j.s.element;
        return kept >= 32 and kept <= 1024 and a.size * j.s.element - kept <= 32;
    }
};

inline fn source(g: Segment, i: usize) usize {
    return switch (g.way) {
        .forward => g.from + (i - g.begin),
        .backward => g.from - (i - g.begin),
        .stay, .none => g.from,
    };
}

inline fn pitchOf(g: Segment, stride: isize) isize {
    return switch (g.way) {
        .forward => stride,
        .backward => -stride,
        .stay, .none => 0,
    };
}

inline fn moved(p: [*]u8, i: usize, stride: isize) [*]u8 {
    return @ptrFromInt(@intFromPtr(p) +% i *% @as(usize, @bitCast(stride)));
}

/// n rows, with bytes from one to the next of out and x.
const Block = struct {
    n: usize,
    to: [*]u8,
    from: [*]u8,
    pitch: [2]isize,

    /// The last row first: x is read forwards then.
    fn turn(b: *Block) void {
        b.to = moved(b.to, b.n - 1, b.pitch[0]);
        b.from = moved(b.from, b.n - 1, b.pitch[1]);
        b.pitch = .{ -b.pitch[0], -b.pitch[1] };
    }

    /// All with the padding's value.
    fn fill(b: *Block, j: *const Job, width: usize) void {
        const size: isize = @intCast(j.s.element);
        var n = width;
        if (b.pitch[0] == size * @as(isize, @intCast(n))) {
            n *= b.n;
            b.n = 1;
        }
        const bytes = n * j.s.element;
        if (bytes < 32) {
            b.from = @constCast(&j.value);
            b.pitch[1] = 0;
            return b.copy(j.s.element, n, .{ size, 0 });
        }
        for (0..b.n) |_| {
            var i: usize = 0;
            while (i + 32 <= bytes) : (i += 32) b.to[i..][0..32].* = j.value;
            b.to[bytes - 32 ..][0..32].* = j.value;
            b.to = moved(b.to, 1, b.pitch[0]);
        }
    }

    /// Rows with an edge on both sides: behind each a line of the padding's value, which the next row
    /// covers in part. See isFramed.
    fn copyFramed(b: Block, j: *const Job, a: *const Axis) void {
        const size = j.s.element;
        const kept = a.segment[a.kept()];
        const left, const right = .{ kept.begin * size, (a.size - kept.end) * size };
        const n = (kept.end - kept.begin) * size;
        var to = b.to;
        @memcpy(to[0..left], j.value[0..left]);
        to += left;
        var from = moved(b.from, kept.from, a.stride[1]);
        for (0..b.n) |r| {
            const step: usize = @intCast(b.pitch[0]);
            var i: usize = 0;
            while (i + 32 <= n) : (i += 32) to[i..][0..32].* = @as(Line, from[i..][0..32].*);
            if (i < n) to[n - 32 ..][0..32].* = @as(Line, from[n - 32 ..][0..32].*);
            if (r + 1 == b.n) return @memcpy(to[n..][0..right], j.value[0..right]);
            to[n..][0..32].* = j.value;
            to += step;
            from = moved(from, 1, b.pitch[1]);
        }
    }

    /// Rows of words (or of two): the long segment by lines, the others, at its ends, one by one.
    fn copyEdged(b: Block, comptime T: type, a: *const Axis, body: usize) void {
        const size = @sizeOf(T);
        const kept = a.segment[body];
        const n = (kept.end - kept.begin) * size;
        // Before and behind: where they are, and where from.
        var edge: [2]Segment = @splat(.{ .begin = 0, .end = 0, .from = 0, .way = .stay });
        for (a.segment[0..a.count], 0..) |g, k| {
            if (k != body) edge[@intFromBool(k > body)] = g;
        }
        const steps: [2]usize = .{ @bitCast(pitchOf(edge[0], size)), @bitCast(pitchOf(edge[1], size)) };
        var to, var from = .{ b.to, b.from };
        for (0..b.n) |_| {
            const line, const source_line = .{ to + kept.begin * size, from + kept.from * size };
            var i: usize = 0;
            while (i + 32 <= n) : (i += 32) line[i..][0..32].* = @as(Line, source_line[i..][0..32].*);
            if (i < n) line[n - 32 ..][0..32].* = @as(Line, source_line[n - 32 ..][0..32].*);
            inline for (edge, steps) |g, step| {
                var x = @intFromPtr(from) + size * g.from;
                for (g.begin..g.end) |w| {
                    @as([*]T, @ptrCast(@alignCast(to)))[w] = @as(*const T, @ptrFromInt(x)).*;
                    x +%= step;
                }
            }
            to = moved(to, 1, b.pitch[0]);
            from = moved(from, 1, b.pitch[1]);
        }
    }

    fn copy(b: Block, size: usize, n: usize, step: [2]isize) void {
        if (step[0] == size and step[1] == size and n > 2) return b.copyBytes(n * size);
        switch (size) {
            inline 1, 2, 4, 8 => |s| {
                const T = @Int(.unsigned, 8 * s);
                if (n > 2 and step[0] == s and (step[1] == 0 or step[1] == -@as(isize, s))) return b.fillOrReverse(T, n, step[1] == 0);
                // Down the columns.
                for (0..n) |i| {
                    var to = moved(b.to, i, step[0]);
                    var from = moved(b.from, i, step[1]);
                    for (0..b.n) |_| {
                        @as(*T, @ptrCast(@alignCast(to))).* = @as(*const T, @ptrCast(@alignCast(from))).*;
                        to = moved(to, 1, b.pitch[0]);
                        from = moved(from, 1, b.pitch[1]);
                    }
                }
            },
            else => unreachable,
        }
    }

    fn copyBytes(b: Block, n: usize) void {
        var to, var from = .{ b.to, b.from };
        for (0..b.n) |_| {
            if (n < 32 or n > 512) join.copyBytes(to, from, n) else {
                var i: usize = 0;
                while (i + 32 <= n) : (i += 32) to[i..][0..32].* = @as(Line, from[i..][0..32].*);
                if (i < n) to[n - 32 ..][0..32].* = @as(Line, from[n - 32 ..][0..32].*);
            }
            to = moved(to, 1, b.pitch[0]);
            from = moved(from, 1, b.pitch[1]);
        }
    }

    fn fillOrReverse(b: Block, comptime T: type, n: usize, filled: bool) void {
        for (0..b.n) |r| {
            const to: [*]T = @ptrCast(@alignCast(moved(b.to, r, b.pitch[0])));
            const from: [*]const T = @ptrCast(@alignCast(moved(b.from, r, b.pitch[1])));
            if (filled) @memset(to[0..n], from[0]) else reverse(T, to, from - (n - 1), n);
        }
    }
};

/// out[i] = x[n - 1 - i]: by lines, the last over what the one before wrote, or by halves or quarters of one.
fn reverse(comptime T: type, out: [*]T, x: [*]const T, n: usize) void {
    const lanes = 32 / @sizeOf(T);
    if (n >= lanes) return reverseBy(T, lanes, out, x, n);
    if (simd.has_fma and lanes >= 4 and n >= lanes / 2) return reverseBy(T, lanes / 2, out, x, n);
    if (simd.has_fma and lanes >= 8 and n >= lanes / 4) return reverseBy(T, lanes / 4, out, x, n);
    for (0..n) |i| out[n - 1 - i] = x[i];
}

inline fn reverseBy(comptime T: type, comptime lanes: usize, out: [*]T, x: [*]const T, n: usize) void {
    const V = @Vector(lanes, T);
    const mask = comptime blk: {
        var m: [lanes]i32 = undefined;
        for (&m, 0..) |*k, i| k.* = lanes - 1 - @as(i32, @intCast(i));
        break :blk m;
    };
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        const y: V = x[i..][0..lanes].*;
        out[n - i - lanes ..][0..lanes].* = @shuffle(T, y, undefined, mask);
    }
    if (i == n) return;
    const y: V = x[n - lanes ..][0..lanes].*;
    out[0..lanes].* = @shuffle(T, y, undefined, mask);
}

fn run(p: *const Plan, call: *Call) void {
    const s = p.stateAs(State);
    const out = p.operands[0];
    const n = out.numel();
    if (n == 0) return;
    const width = s.axis[s.count - 1].size;
    var job: Job = .{
        .s = s,
        .out = call.ptr[0].?,
        .x = call.ptr[1].?,
        .value = undefined,
        .pieces = (width + piece - 1) / piece,
    };
    const bits: [8]u8 = @bitCast(convert.bitsOf(out.dtype, call.scalar[0], p.ints.len < 2 or p.ints[1] == 1));
    for (0..32) |i| job.value[i] = bits[i % s.element];
    if (s.planes > 0) return services.parallelFor(s.planes, 1 + piece / s.sizes[0], job, Job.planes);
    services.parallelFor(n / width * job.pieces, 1 + piece / 2 / width, job, Job.part);
}

test {
    _ = @import("remap_test.zig");
}
