//! Integers, mostly narrower than 64 bits, that lie one behind the other, reduced in lanes of their own
//! width: what is exact in any order and needs no room for a total. Extrema, and how many
//! elements are not 0 (which is the sum of bools as well). Small CPUs go without.
const std = @import("std");
const simd = @import("../simd.zig");
const kernels = @import("reduce_kernels.zig");
const DType = @import("../dtype.zig").DType;
const Cell = kernels.Cell;
const max_tile = kernels.max_tile;

/// Elements of a row that are taken at once.
pub const row_block = 1 << 15;

/// One code finds all extrema: the largest of what `flip` turned around.
pub const Order = struct {
    flip: i64,
    /// The bits of the element, which may be unsigned, in the flipped result.
    keep: i64,

    fn of(dtype: DType, smallest: bool) Order {
        const unsigned = dtype == .bool or dtype == .uint8;
        const turned: i64 = if (smallest) -1 else 0;
        return .{
            .flip = turned ^ @as(i64, if (unsigned) -128 else 0),
            .keep = if (unsigned) 255 else -1,
        };
    }
};

pub const Kernel = struct {
    order: Order,
    /// Bytes of an element.
    size: usize,
    /// n >= 1 neighbours.
    row: *const fn (k: *const Kernel, x: [*]const u8, n: usize) Cell,
    /// As reduce_kernels' `column`, of at least a vector. Null: int64 does as well.
    column: ?*const fn (k: *const Kernel, x: [*]const u8, offsets: []const usize, width: usize, out: [*]Cell) void,
};

/// The width of column tiles, none of which is narrower than a vector; null: there is none.
pub fn tileOf(k: *const Kernel, columns: usize) ?usize {
    const tiles = (columns + max_tile - 1) / max_tile;
    const tile = (columns + tiles - 1) / tiles;
    const last = columns - (tiles - 1) * tile;
    return if (k.column != null and last * k.size >= simd.vector_bytes) tile else null;
}

pub fn extremum(dtype: DType, smallest: bool) ?Kernel {
    if (!simd.has_fma or dtype.isFloat()) return null;
    switch (dtype.size()) {
        inline 1, 2, 4 => |bytes| {
            const T = @Int(.signed, 8 * bytes);
            return .{
                .order = .of(dtype, smallest),
                .size = bytes,
                .row = Extremum(T).row,
                .column = Columns(T, Extremum(T).step, std.math.minInt(T)).column,
            };
        },
        else => return null,
    }
}

/// Of float16 and bfloat16, as integers in the same order; `keep` is infinity. nan is the largest.
pub fn extremumOfHalves(dtype: DType, smallest: bool) ?Kernel {
    if (!simd.has_fma or dtype.size() != 2 or !dtype.isFloat()) return null;
    return .{
        .order = .{ .flip = if (smallest) -1 else 0, .keep = if (dtype == .float16) 0x7c00 else 0x7f80 },
        .size = 2,
        .row = rowOfHalves,
        .column = columnOfHalves,
    };
}

const Halves = simd.Vec(i16);
inline fn splatHalves(x: i64) Halves {
    return @splat(@truncate(x));
}
/// The sign turns the other bits around.
inline fn ordered(x: Halves) Halves {
    return x ^ ((x >> @splat(15)) & splatHalves(0x7fff));
}
inline fn stepHalves(a: Halves, x: Halves, order: Order) Halves {
    const nan = (x & splatHalves(0x7fff)) > splatHalves(order.keep);
    return @max(a, @select(i16, nan, splatHalves(0x7fff), ordered(x) ^ splatHalves(order.flip)));
}
noinline fn writeHalves(from: *const Halves, order: Order, to: [*]Cell) void {
    const bits: [simd.lanes(i16)]u16 = @bitCast(ordered(from.* ^ splatHalves(order.flip)));
    const keys: [simd.lanes(i16)]i16 = from.*;
    for (to[0..bits.len], bits, keys) |*cell, b, key| {
        const wide: f32 = @bitCast(@as(u32, b) << 16);
        const half: f16 = @bitCast(b);
        cell.f = if (key == 0x7fff) std.math.nan(f64) else if (order.keep == 0x7c00) half else wide;
    }
}
fn rowOfHalves(k: *const Kernel, x: [*]const u8, n: usize) Cell {
    const lanes = simd.lanes(i16);
    const p: [*]const i16 = @ptrCast(@alignCast(x));
    const order = k.order;
    var acc: [4]Halves = @splat(@splat(std.math.minInt(i16)));
    var i: usize = 0;
    while (i + 4 * lanes <= n) : (i += 4 * lanes) {
        inline for (&acc, 0..) |*a, j| {
            simd.askAhead(p + i + j * lanes, 2048);
            a.* = stepHalves(a.*, simd.load(i16, p + i + j * lanes), order);
        }
    }
    while (i < n) : (i += lanes) {
        const left = n - i;
        acc[0] = stepHalves(acc[0], if (left >= lanes) simd.load(i16, p + i) else simd.loadPart(i16, p + i, left, p[i]), order);
    }
    var cells: [lanes]Cell = undefined;
    const all: Halves = @splat(@reduce(.Max, @max(@max(acc[0], acc[1]), @max(acc[2], acc[3]))));
    writeHalves(&all, order, &cells);
    return cells[0];
}
fn columnOfHalves(k: *const Kernel, x: [*]const u8, offsets: []const usize, width: usize, out: [*]Cell) void {
    const lanes = simd.lanes(i16);
    const p: [*]const i16 = @ptrCast(@alignCast(x));
    const order = k.order;
    var room: [max_tile / lanes]Halves = @splat(@splat(std.math.minInt(i16)));
    const acc = room[0 .. (width + lanes - 1) / lanes];
    var r: usize = 0;
    while (r < offsets.len) {
        const o = offsets[r..];
        for (acc, 0..) |*a, i| {
            const q = p + @min(i * lanes, width - lanes);
            a.* = stepHalves(a.*, simd.load(i16, q + o[0]), order);
            if (o.len < 4) continue;
            inline for (1..4) |j| a.* = stepHalves(a.*, simd.load(i16, q + o[j]), order);
        }
        r += if (o.len < 4) 1 else 4;
    }
    for (acc, 0..) |*a, i| writeHalves(a, order, out + @min(i * lanes, width - lanes));
}

pub fn count(dtype: DType) ?Kernel {
    const size = dtype.size();
    if (!simd.has_fma or dtype.isFloat()) return null;
    // 128 rows of a column block are -128 as int8.
    const unsigned: Order = .{ .flip = 0, .keep = 255 };
    const column = Columns(i8, addNonzero, 0).column;
    return .{ .order = unsigned, .size = size, .row = countRow, .column = if (size == 1) column else null };
}

fn Extremum(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const start = std.math.minInt(T);
    return struct {
        inline fn step(a: V, x: V, flip: V) V {
            return @max(a, x ^ flip);
        }

        fn row(k: *const Kernel, x: [*]const u8, n: usize) Cell {
            const p: [*]const T = @ptrCast(@alignCast(x));
            const flip: V = @splat(@truncate(k.order.flip));
            var acc: [4]V = @splat(@splat(start));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) {
                inline for (&acc, 0..) |*a, j| {
                    simd.askAhead(p + i + j * lanes, 2048);
                    a.* = step(a.*, simd.load(T, p + i + j * lanes), flip);
                }
            }
            while (i < n) : (i += lanes) {
                const left = n - i;
                acc[0] = step(acc[0], if (left >= lanes) simd.load(T, p + i) else simd.loadPart(T, p + i, left, p[i]), flip);
            }
            const all = @max(@max(acc[0], acc[1]), @max(acc[2], acc[3]));
            return .{ .i = (@reduce(.Max, all) ^ k.order.flip) & k.order.keep };
        }
    };
}

/// How many elements are not 0, whatever their size: a bit for each byte, and of an element's
/// bits the lowest for all.
fn countRow(k: *const Kernel, x: [*]const u8, n: usize) Cell {
    const lanes = simd.lanes(u8);
    const Mask = @Int(.unsigned, lanes);
    const one: u3 = if (k.size > 1) 1 else 0;
    const two: u3 = if (k.size > 2) 2 else 0;
    const four: u3 = if (k.size > 4) 4 else 0;
    const lowest: Mask = switch (k.size) {
        1 => std.math.maxInt(Mask),
        2 => std.math.maxInt(Mask) / 3,
        4 => std.math.maxInt(Mask) / 15,
        else => std.math.maxInt(Mask) / 255,
    };
    const zero: simd.Vec(u8) = @splat(0);
    const bytes = n * k.size;
    var total: i64 = 0;
    var i: usize = 0;
    while (i < bytes) : (i += lanes) {
        const left = bytes - i;
        const v = if (left >= lanes) simd.load(u8, x + i) else simd.loadPart(u8, x + i, left, 0);
        var mask: Mask = @bitCast(v != zero);
        mask |= mask >> one;
        mask |= mask >> two;
        mask |= mask >> four;
        total += @popCount(mask & lowest);
    }
    return .{ .i = total };
}

/// A column block has few enough rows for a count of them to fit.
inline fn addNonzero(a: simd.Vec(i8), x: simd.Vec(i8), flip: simd.Vec(i8)) simd.Vec(i8) {
    return a -% @select(i8, x != flip, @as(simd.Vec(i8), @splat(-1)), @as(simd.Vec(i8), @splat(0)));
}

fn Columns(comptime T: type, comptime step: anytype, comptime start: T) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    return struct {
        inline fn four(a: V, q: [*]const T, o: *const [4]usize, flip: V) V {
            var v = a;
            inline for (o) |offset| v = step(v, simd.load(T, q + offset), flip);
            return v;
        }

        fn column(k: *const Kernel, x: [*]const u8, offsets: []const usize, width: usize, out: [*]Cell) void {
            const p: [*]const T = @ptrCast(@alignCast(x));
            const flip: V = @splat(@truncate(k.order.flip));
            var room: [max_tile / lanes]V = @splat(@splat(start));
            const acc = room[0 .. (width + lanes - 1) / lanes];
            var r: usize = 0;
            while (r < offsets.len) {
                const o = offsets[r..];
                const together: usize = if (o.len < 4) 1 else 4;
                for (acc, 0..) |*a, i| {
                    const q = p + @min(i * lanes, width - lanes);
                    a.* = if (together == 4) four(a.*, q, o[0..4], flip) else step(a.*, simd.load(T, q + o[0]), flip);
                }
                r += together;
            }
            for (acc, 0..) |*a, i| write(T, a, k.order, out + @min(i * lanes, width - lanes));
        }
    };
}

/// A vector of results into cells, turned back.
noinline fn write(comptime T: type, from: *const simd.Vec(T), order: Order, to: [*]Cell) void {
    const W = @Vector(8, i64);
    const flip: W = @splat(order.flip);
    const keep: W = @splat(order.keep);
    const x: [*]const T = @ptrCast(from);
    const cells: [*]i64 = @ptrCast(to);
    var i: usize = 0;
    while (i < simd.lanes(T)) : (i += 8) {
        const v: W = @as(@Vector(8, T), x[i..][0..8].*);
        cells[i..][0..8].* = (v ^ flip) & keep;
    }
}
