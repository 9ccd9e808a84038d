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
