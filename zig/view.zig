//! Coalesced iteration over several operands of one shape, and how it is split.
//!
//! `View.init` drops dimensions of size 1, sorts the others so that the first operand's
//! smallest stride is innermost, and merges neighbours that every operand walks through as
//! if they were one. What is left is what a kernel's loops have to follow: a contiguous
//! (2, 3, 4) tensor becomes one dimension of 24, so does a permuted one whose partners are
//! permuted alike.
const std = @import("std");
const plan = @import("plan.zig");
const Operand = plan.Operand;

/// Merged dimensions; more than this is `error.Unsupported`.
pub const max_dims = 16;
pub const max_operands = 6;
const max_raw_dims = 64;

pub const View = struct {
    /// Elements in all; 0 when any dimension is empty.
    n: usize = 0,
    /// At least 1: a 0-d tensor is one dimension of size 1.
    ndim: usize = 1,
    /// Outermost first.
    sizes: [max_dims]usize = @splat(1),
    /// In bytes, of every operand; 0 where it is broadcast.
    strides: [max_operands][max_dims]usize = @splat(@splat(0)),
    /// Bytes of an element, of every operand.
    element: [max_operands]usize = @splat(0),
    count: usize = 0,

    /// All operands have the shape of the first one, whose strides decide the order.
    pub fn init(operands: []const Operand) error{Unsupported}!View {
        std.debug.assert(operands.len >= 1);
        if (operands.len > max_operands) return error.Unsupported;
        var v: View = .{ .count = operands.len };
        const shape = operands[0].shape;
        if (shape.len > max_raw_dims) return error.Unsupported;
        for (operands, 0..) |o, k| {
            std.debug.assert(o.shape.len == shape.len);
            v.element[k] = o.dtype.size();
        }

        // The dimensions that are walked at all, sorted from the outermost to the innermost.
        var order: [max_raw_dims]u8 = undefined;
        var kept: usize = 0;
        v.n = 1;
        for (shape, 0..) |size, d| {
            v.n *= @intCast(size);
            if (size == 1) continue;
            var at = kept;
            while (at > 0 and before(operands, d, order[at - 1])) : (at -= 1) {
                order[at] = order[at - 1];
            }
            order[at] = @intCast(d);
            kept += 1;
        }
        if (v.n == 0) return v;

        var used: usize = 0;
        for (order[0..kept]) |d| {
            if (used > 0 and mergeable(&v, operands, used - 1, d)) {
                v.sizes[used - 1] *= @intCast(shape[d]);
            } else {
                if (used == max_dims) return error.Unsupported;
                v.sizes[used] = @intCast(shape[d]);
                used += 1;
            }
            for (operands, 0..) |o, k| v.strides[k][used - 1] = byteStride(o, d);
        }
        v.ndim = @max(used, 1);
        return v;
    }

    pub fn inner(v: *const View) usize {
        return v.sizes[v.ndim - 1];
    }
    pub fn innerStride(v: *const View, k: usize) usize {
        return v.strides[k][v.ndim - 1];
    }

    /// Operand k's elements follow one another without gaps, in the order of iteration.
    pub fn isFlat(v: *const View, k: usize) bool {
        var want = v.element[k];
        var d = v.ndim;
        while (d > 0) {
            d -= 1;
            if (v.sizes[d] == 1) continue;
            if (v.strides[k][d] != want) return false;
            want *= v.sizes[d];
        }
        return true;
    }

    /// After how many elements of the iteration operand k begins anew: 1 if it is one
    /// element repeated, n if it never does.
    pub fn period(v: *const View, k: usize) usize {
        var outer: usize = 0;
        while (outer < v.ndim and v.strides[k][outer] == 0) outer += 1;
        var p: usize = 1;
        for (v.sizes[outer..v.ndim]) |size| p *= size;
        return p;
    }

    /// Where element number i of the iteration lies in operand k, in bytes.
    pub fn offset(v: *const View, k: usize, i: usize) usize {
        var rest = i;
        var sum: usize = 0;
        var d = v.ndim;
        while (d > 1) {
            d -= 1;
            sum += (rest % v.sizes[d]) * v.strides[k][d];
            rest /= v.sizes[d];
        }
        return sum + rest * v.strides[k][0];
    }
};

/// Walks the rows (all but the innermost dimension) of a view.
pub const Cursor = struct {
    coordinate: [max_dims]usize,
    /// Of the row's first element, in every operand, in bytes.
    offset: [max_operands]usize,

    pub fn init(v: *const View, row: usize) Cursor {
        var c: Cursor = .{ .coordinate = @splat(0), .offset = @splat(0) };
        var rest = row;
        var d = v.ndim - 1;
        while (d > 0) {
            d -= 1;
            c.coordinate[d] = rest % v.sizes[d];
            rest /= v.sizes[d];
            for (0..v.count) |k| c.offset[k] += c.coordinate[d] * v.strides[k][d];
        }
        return c;
    }

    pub fn next(c: *Cursor, v: *const View) void {
        c.advance(v, 1);
    }

    /// By `count` rows, which must not lead beyond the first of the next line of rows.
    pub fn advance(c: *Cursor, v: *const View, count: usize) void {
        var d = v.ndim - 1;
        var by = count;
        while (d > 0) : (by = 1) {
            d -= 1;
            c.coordinate[d] += by;
            if (c.coordinate[d] < v.sizes[d]) {
                for (0..v.count) |k| c.offset[k] += by * v.strides[k][d];
                return;
            }
            c.coordinate[d] = 0;
            for (0..v.count) |k| c.offset[k] -= (v.sizes[d] - by) * v.strides[k][d];
        }
    }
};

fn byteStride(o: Operand, d: usize) usize {
    return @as(usize, @intCast(o.strides[d])) * o.dtype.size();
}

/// Dimension a belongs outside of dimension b: the first operand that has an opinion says.
fn before(operands: []const Operand, a: usize, b: usize) bool {
    for (operands) |o| {
        if (o.strides[a] == o.strides[b]) continue;
        // A broadcast dimension of an input says nothing about the order.
        if (o.strides[a] == 0 or o.strides[b] == 0) continue;
        return o.strides[a] > o.strides[b];
    }
    return false;
}

fn mergeable(v: *const View, operands: []const Operand, outer: usize, d: usize) bool {
    for (operands, 0..) |o, k| {
        const stride = byteStride(o, d);
        if (v.strides[k][outer] != stride * @as(usize, @intCast(o.shape[d]))) return false;
    }
    return true;
}

fn operand(dtype: @import("dtype.zig").DType, shape: []const i64, strides: []const i64) Operand {
    return .{ .dtype = dtype, .shape = shape, .strides = strides };
}

test "contiguous operands become one dimension" {
    const shape = [_]i64{ 2, 1, 3, 4 };
    const a = operand(.float32, &shape, &.{ 12, 77, 4, 1 });
    const b = operand(.int64, &shape, &.{ 12, 5, 4, 1 });
    const v = try View.init(&.{ a, b });
    try std.testing.expect(v.n == 24 and v.ndim == 1 and v.sizes[0] == 24);
    try std.testing.expect(v.innerStride(0) == 4 and v.innerStride(1) == 8);
    try std.testing.expect(v.isFlat(0) and v.isFlat(1) and v.period(0) == 24);
}

test "a common permutation is undone, a broadcast row stays" {
    const shape = [_]i64{ 5, 3, 7 };
    const t = operand(.float32, &shape, &.{ 1, 35, 5 }); // (3, 7, 5) in memory
    const v = try View.init(&.{ t, t });
    try std.testing.expect(v.ndim == 1 and v.sizes[0] == 105);

    const m = operand(.float32, &.{ 6, 8 }, &.{ 8, 1 });
    const bias = operand(.float32, &.{ 6, 8 }, &.{ 0, 1 });
    const w = try View.init(&.{ m, m, bias });
    try std.testing.expect(w.ndim == 2 and w.inner() == 8);
    try std.testing.expect(w.isFlat(0) and !w.isFlat(2) and w.period(2) == 8);
    try std.testing.expect(w.offset(2, 19) == 3 * 4 and w.offset(0, 19) == 19 * 4);
    var c = Cursor.init(&w, 1);
    c.next(&w);
    try std.testing.expect(c.offset[0] == 2 * 32 and c.offset[2] == 0);
}

test "empty, 0-d and too many dimensions" {
    const e = try View.init(&.{operand(.float32, &.{ 3, 0 }, &.{ 0, 1 })});
    try std.testing.expect(e.n == 0);
    const s = try View.init(&.{operand(.float32, &.{}, &.{})});
    try std.testing.expect(s.n == 1 and s.ndim == 1 and s.isFlat(0));
    // 17 dimensions of size 2 with a gap between each two.
    const shape: [17]i64 = @splat(2);
    var strides: [17]i64 = undefined;
    for (&strides, 0..) |*x, d| x.* = @as(i64, 3) << @intCast(16 - d) << @intCast(16 - d);
    const many = operand(.uint8, &shape, &strides);
    try std.testing.expectError(error.Unsupported, View.init(&.{many}));
}
