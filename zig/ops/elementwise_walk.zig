//! Elements of an operand, in the order of the iteration, into a packed tile and back.
const std = @import("std");
const view = @import("../view.zig");
const simd = @import("../simd.zig");
const convert = @import("convert.zig");
const join = @import("join.zig");
const Slot = @import("elementwise.zig").Slot;
const View = view.View;

/// Elements [at, at + n) of the iteration between operand k and a packed tile. `slack`: the tile
/// has some behind its end.
pub noinline fn walk(
    v: *const View,
    k: usize,
    slot: Slot,
    base: [*]u8,
    tile: [*]u8,
    at: usize,
    n: usize,
    slack: bool,
) void {
    const m = &slot.move;
    if (m.core == null) return walkRaw(v, k, m, base, tile, at, n, slack);
    var buffer: convert.Piece align(64) = undefined;
    var done: usize = 0;
    while (done < n) {
        const count = @min(n - done, convert.piece);
        const to = tile + done * m.tile_size;
        if (m.stores) m.whole(to, &buffer, count);
        walkRaw(v, k, m, base, &buffer, at + done, count, true);
        if (!m.stores) m.whole(to, &buffer, count);
        done += count;
    }
}

/// The same of elements as they are in memory.
noinline fn walkRaw(
    v: *const View,
    k: usize,
    move: *const convert.Move,
    base: [*]u8,
    tile: [*]u8,
    at: usize,
    n: usize,
    slack: bool,
) void {
    const stride = v.innerStride(k);
    const size: usize = move.memory_size;
    const spreads = slack and stride == 0 and !move.stores;
    var rows: Rows = .init(v, k, base, at);
    var done: usize = 0;
    var column = at % rows.inner;
    while (true) {
        const to = tile + done * size;
        if (slack and !move.stores and column == 0 and v.ndim > 1 and stride <= size) {
            const several = @min((n - done) / rows.inner, rows.leftInDimension());
            const step = v.strides[k][v.ndim - 2];
            if (several > 1 and (spreads or step == 0)) {
                if (spreads)
                    spreadRows(size, to, rows.memory, rows.inner, several, step)
                else
                    repeatRow(to, rows.memory, rows.inner * size, several);
                done += several * rows.inner;
                if (done == n) return;
                rows.advance(several);
                continue;
            }
        }
        const m = @min(n - done, rows.inner - column);
        const memory = rows.memory + column * stride;
        if (spreads) {
            spreadRows(size, to, memory, m, 1, 0);
        } else if (stride == size) {
            copyBytes(if (move.stores) memory else to, if (move.stores) to else memory, m * size);
        } else move.strided(to, memory, m, stride);
        done += m;
        if (done == n) return;
        column = 0;
        rows.next();
    }
}

noinline fn copyBytes(to: [*]u8, from: [*]const u8, n: usize) void {
    join.copyBytes(to, from, n);
}

/// A row of n bytes, `count` times.
fn repeatRow(tile: [*]u8, memory: [*]const u8, n: usize, count: usize) void {
    copyBytes(tile, memory, n);
    var done = n;
    while (done < n * count) {
        const m = @min(done, n * count - done);
        copyBytes(tile + done, tile, m);
        done += m;
    }
}

/// `count` rows of n elements in the tile, each full of one element; the tile has slack.
noinline fn spreadRows(
    size: usize,
    tile: [*]u8,
    memory: [*]const u8,
    n: usize,
    count: usize,
    step: usize,
) void {
    switch (size) {
        inline 1, 2, 4, 8 => |bytes| {
            const T = @Int(.unsigned, bytes * 8);
            const lanes = simd.lanes(T);
            var to: [*]T = @ptrCast(@alignCast(tile));
            var from = memory;
            if (n >= lanes) return spreadLongRows(T, to, from, n, count, step);
            for (0..count) |_| {
                const x: @Vector(lanes, T) = @splat(@as(*const T, @ptrCast(@alignCast(from))).*);
                var i: usize = 0;
                while (i < n) : (i += lanes) to[i..][0..lanes].* = x;
                to += n;
                from += step;
            }
        },
        else => unreachable,
    }
}

/// The same of rows of at least a vector: every store is a whole vector behind the one before.
fn spreadLongRows(
    comptime T: type,
    tile: [*]T,
    memory: [*]const u8,
    n: usize,
    count: usize,
    step: usize,
) void {
    const V = simd.Vec(T);
    var to = tile;
    var from = memory;
    var x: V = @splat(@as(*const T, @ptrCast(@alignCast(from))).*);
    var left = n;
    var rows = count;
    while (true) {
        while (left >= simd.lanes(T)) : (left -= simd.lanes(T)) {
            to[0..simd.lanes(T)].* = x;
            to += simd.lanes(T);
        }
        rows -= 1;
        if (rows == 0) break;
        from += step;
        const next: V = @splat(@as(*const T, @ptrCast(@alignCast(from))).*);
        if (left == 0) {
            left = n;
        } else {
            to[0..simd.lanes(T)].* = @select(T, simd.firstLanes(T, left), x, next);
            to += simd.lanes(T);
            left += n - simd.lanes(T);
        }
        x = next;
    }
    if (left > 0) to[0..simd.lanes(T)].* = x;
}

/// The rows of one operand, one after the other.
const Rows = struct {
    view: *const View,
    k: usize,
    inner: usize,
    memory: [*]u8,
    coordinate: [view.max_dims]usize,

    /// At the row of element `at`.
    fn init(v: *const View, k: usize, base: [*]u8, at: usize) Rows {
        var r: Rows = .{
            .view = v,
            .k = k,
            .inner = v.inner(),
            .memory = base,
            .coordinate = undefined,
        };
        var rest = at / r.inner;
        var d = v.ndim - 1;
        while (d > 0) {
            d -= 1;
            r.coordinate[d] = rest % v.sizes[d];
            rest /= v.sizes[d];
            r.memory += r.coordinate[d] * v.strides[k][d];
        }
        return r;
    }

    /// Rows up to the end of the last dimension but one.
    inline fn leftInDimension(r: *const Rows) usize {
        const d = r.view.ndim - 2;
        return r.view.sizes[d] - r.coordinate[d];
    }

    inline fn next(r: *Rows) void {
        r.advance(1);
    }

    /// By not more than leftInDimension, where that is not 1.
    inline fn advance(r: *Rows, count: usize) void {
        const v = r.view;
        var d = v.ndim - 1;
        var by = count;
        while (d > 0) : (by = 1) {
            d -= 1;
            r.coordinate[d] += by;
            r.memory += by * v.strides[r.k][d];
            if (r.coordinate[d] < v.sizes[d]) return;
            r.memory -= v.sizes[d] * v.strides[r.k][d];
            r.coordinate[d] = 0;
        }
    }
};
