//! Blocks of a matrix with rows and columns exchanged, in registers.
const std = @import("std");
const simd = @import("../simd.zig");
const stream = @import("stream.zig");

/// out[r][c] = in[c][r]: `out_row` bytes from row to row of out, `in_column` bytes from
/// column to column in the input, whose rows lie side by side.
pub const Mover = *const fn (
    out: [*]u8,
    in: [*]const u8,
    rows: usize,
    columns: usize,
    out_row: usize,
    in_column: usize,
) void;

/// For elements of this many bytes.
pub fn mover(size: usize) Mover {
    return switch (size) {
        1 => Block(u8, false).move,
        2 => Block(u16, false).move,
        4 => Block(u32, false).move,
        else => Block(u64, false).move,
    };
}

/// For elements of 4 bytes where rows of out begin at cache lines: goes around the cache, if a vector is a line. Call
/// stream.fence behind it.
pub const streamer: Mover = Block(u32, simd.vector_bytes == 64).move;

/// As `mover` where there are but 2 to 4 columns, side by side in out (out_row is their size); null where there is none
/// (see `wovenOf`).
pub fn weaver(size: usize, columns: usize) ?Mover {
    return wovenOf(Mover, "weave", size, columns);
}
/// As `mover` where there are but 2 to 4 rows, side by side in the input (in_column is their size).
pub fn unweaver(size: usize, rows: usize) ?Mover {
    return wovenOf(Mover, "unweave", size, rows);
}
/// out = one element of each of `lists` in turns.
pub const Weaver = *const fn (out: [*]u8, lists: [*]const [*]const u8, n: usize) void;
pub fn listWeaver(size: usize, lists: usize) ?Weaver {
    return wovenOf(Weaver, "weaveLists", size, lists);
}
/// There are such for 2 to 4 lists of elements of 1 or 4 bytes: colours of pixels, coordinates.
fn wovenOf(comptime F: type, comptime name: []const u8, size: usize, k: usize) ?F {
    return switch (size) {
        inline 1, 4 => |s| switch (k) {
            inline 2, 3, 4 => |n| &@field(Woven(if (s == 1) u8 else u32, n), name),
            else => null,
        },
        else => null,
    };
}

/// k lists of elements, and one of theirs in turns.
fn Woven(comptime T: type, comptime k: comptime_int) type {
    const n = 16 / @sizeOf(T);
    const V = @Vector(n, T);
    return struct {
        fn weave(out: [*]u8, in: [*]const u8, rows: usize, columns: usize, out_row: usize, in_column: usize) void {
            std.debug.assert(columns == k and out_row == k * @sizeOf(T));
            var lists: [k][*]const u8 = undefined;
            for (&lists, 0..) |*l, c| l.* = in + c * in_column;
            weaveLists(out, &lists, rows);
        }
        fn weaveLists(out: [*]u8, lists: [*]const [*]const u8, rows: usize) void {
            const to: [*]T = @ptrCast(@alignCast(out));
            var from: [k][*]const T = undefined;
            for (&from, lists[0..k]) |*l, list_| l.* = @ptrCast(@alignCast(list_));
            var r: usize = 0;
            while (r + n <= rows) : (r += n) {
                var x: [k]V = undefined;
                inline for (&x, from) |*v, l| v.* = l[r..][0..n].*;
                inline for (0..k) |part| {
                    var y: V = undefined;
                    inline for (0..k) |c| y = @shuffle(T, y, x[c], woven(part, c));
                    to[r * k + part * n ..][0..n].* = y;
                }
            }
            while (r < rows) : (r += 1) {
                inline for (from, 0..) |l, c| to[r * k + c] = l[r];
            }
        }
        fn unweave(out: [*]u8, in: [*]const u8, rows: usize, columns: usize, out_row: usize, in_column: usize) void {
            std.debug.assert(rows == k and in_column == k * @sizeOf(T));
            const from: [*]const T = @ptrCast(@alignCast(in));
            var c: usize = 0;
            while (c + n <= columns) : (c += n) {
                var x: [k]V = undefined;
                inline for (&x, 0..) |*v, part| v.* = from[c * k + part * n ..][0..n].*;
                inline for (0..k) |r| {
                    var y: V = undefined;
                    inline for (0..k) |part| y = @shuffle(T, y, x[part], unwoven(part, r));
                    const to: [*]T = @constCast(list(out, out_row, r));
                    to[c..][0..n].* = y;
                }
            }
            while (c < columns) : (c += 1) {
                inline for (0..k) |r| @constCast(list(out, out_row, r))[c] = from[c * k + r];
            }
        }
        inline fn list(p: [*]const u8, step: usize, i: usize) [*]const T {
            return @ptrCast(@alignCast(p + i * step));
        }
        /// Puts what list c has of the n woven elements of a part among those that are there.
        fn woven(part: usize, c: usize) [n]i32 {
            var mask: [n]i32 = undefined;
            for (&mask, 0..) |*m, l| {
                const at = part * n + l;
                m.* = if (at % k == c) ~@as(i32, @intCast(at / k)) else @intCast(l);
            }
            return mask;
        }
        /// Puts what a part of the woven elements has of list r among those that are there.
        fn unwoven(part: usize, r: usize) [n]i32 {
            var mask: [n]i32 = undefined;
            for (&mask, 0..) |*m, l| {
                const at = l * k + r;
                m.* = if (at / n == part) ~@as(i32, @intCast(at % n)) else @intCast(l);
            }
            return mask;
        }
    };
}

test "lists in turns and apart" {
    inline for (.{ u8, u32 }) |T| inline for (.{ 2, 3, 4 }) |k| {
        const n = 37;
        var lists: [k][n + 3]T = undefined;
        for (&lists, 0..) |*l, c| for (l, 0..) |*x, i| {
            x.* = @intCast(40 * c + i);
        };
        var together: [n * k]T = undefined;
        weaver(@sizeOf(T), k).?(@ptrCast(&together), @ptrCast(&lists), n, k, k * @sizeOf(T), @sizeOf(@TypeOf(lists[0])));
        for (together, 0..) |x, i| try std.testing.expectEqual(lists[i % k][i / k], x);
        var apart: [k][n + 3]T = lists;
        for (&apart) |*l| @memset(l[0..n], 0);
        unweaver(@sizeOf(T), k).?(@ptrCast(&apart), @ptrCast(&together), k, n, @sizeOf(@TypeOf(lists[0])), k * @sizeOf(T));
        try std.testing.expectEqualDeep(lists, apart);
    };
}

fn Block(comptime T: type, comptime streamed: bool) type {
    const n = @min(16, simd.vector_bytes / @sizeOf(T)); // rows of a block, at most a cache line long
    return struct {
        fn move(
            out: [*]u8,
            in: [*]const u8,
            rows: usize,
            columns: usize,
            out_row: usize,
            in_column: usize,
        ) void {
            var r: usize = 0;
            while (r + n <= rows) : (r += n) {
                var column: usize = 0;
                while (column + n <= columns) : (column += n) {
                    block(
                        out + r * out_row + column * @sizeOf(T),
                        in + column * in_column + r * @sizeOf(T),
                        out_row,
                        in_column,
                    );
                }
                single(out, in, r, r + n, column, columns, out_row, in_column);
            }
            single(out, in, r, rows, 0, columns, out_row, in_column);
        }

        fn single(
            out: [*]u8,
            in: [*]const u8,
            r0: usize,
            r1: usize,
            c0: usize,
            c1: usize,
            out_row: usize,
            in_column: usize,
        ) void {
            for (r0..r1) |r| for (c0..c1) |column| {
                const x: *const T = @ptrCast(@alignCast(in + column * in_column + r * @sizeOf(T)));
                const y: *T = @ptrCast(@alignCast(out + r * out_row + column * @sizeOf(T)));
                y.* = x.*;
            };
        }

        inline fn block(out: [*]u8, in: [*]const u8, out_row: usize, in_column: usize) void {
            const V = @Vector(n, T);
            var x: [n]V = undefined;
            inline for (&x, 0..) |*row, i| {
                const q: *const [n]T = @ptrCast(@alignCast(in + i * in_column));
                row.* = q.*;
            }
            x = exchanged(T, n, x);
            inline for (x, 0..) |row, i| {
                if (streamed) {
                    stream.storeLine(out + i * out_row, @bitCast(row));
                } else {
                    const q: *[n]T = @ptrCast(@alignCast(out + i * out_row));
                    q.* = row;
                }
            }
        }
    };
}

/// An n x n matrix with rows and columns exchanged, in registers. Elements of 4 and of 8 bytes: first within the
/// 128-bit parts of rows, which x86 does in one instruction, then the parts; others: log2(n) rounds of interleaving
/// row i with row i + n/2.
pub inline fn exchanged(comptime T: type, comptime n: comptime_int, rows: [n]@Vector(n, T)) [n]@Vector(n, T) {
    @setEvalBranchQuota(20_000);
    const part = 16 / @sizeOf(T); // elements of 128 bits
    var x = rows;
    if (part > 4 or n <= part) {
        comptime var step = 1;
        inline while (step < n) : (step *= 2) {
            var y: @TypeOf(x) = undefined;
            inline for (0..n / 2) |i| {
                y[2 * i] = @shuffle(T, x[i], x[i + n / 2], zipped(n, n, 0));
                y[2 * i + 1] = @shuffle(T, x[i], x[i + n / 2], zipped(n, n, n / 2));
            }
            x = y;
        }
        return x;
    }
    // Squares of part x part elements on the spot, by the same rounds.
    comptime var step = 1;
    inline while (step < part) : (step *= 2) {
        var y: @TypeOf(x) = undefined;
        inline for (0..n / part) |square| inline for (0..part / 2) |i| {
            const at = square * part;
            y[at + 2 * i] = @shuffle(T, x[at + i], x[at + i + part / 2], zipped(n, part, 0));
            y[at + 2 * i + 1] = @shuffle(T, x[at + i], x[at + i + part / 2], zipped(n, part, part / 2));
        };
        x = y;
    }
    // The squares below the diagonal against those above: first the large ones.
    comptime var size = n / 2;
    inline while (size >= part) : (size /= 2) {
        inline for (0..n) |i| if (i & size == 0) {
            const a = x[i];
            const b = x[i + size];
            x[i] = @shuffle(T, a, b, swapped(n, size, false));
            x[i + size] = @shuffle(T, a, b, swapped(n, size, true));
        };
    }
    return x;
}

/// In each `part` of n lanes: half of the part's, from `from` on, of two vectors in turns.
fn zipped(comptime n: comptime_int, comptime part: comptime_int, comptime from: i32) @Vector(n, i32) {
    var mask: [n]i32 = undefined;
    for (0..n / 2) |i| {
        const lane: i32 = @intCast(i / (part / 2) * part + i % (part / 2));
        mask[2 * i] = from + lane;
        mask[2 * i + 1] = ~(from + lane);
    }
    return mask;
}
/// The lanes of which `size` is no part from two vectors, one behind the other; `high`: the others.
fn swapped(comptime n: comptime_int, comptime size: comptime_int, comptime high: bool) @Vector(n, i32) {
    var mask: [n]i32 = undefined;
    for (&mask, 0..) |*m, lane| {
        const from = if (high) lane | size else lane & ~@as(usize, size);
        m.* = if (lane & size == 0) @intCast(from) else ~@as(i32, @intCast(from));
    }
    return mask;
}
