//! Blocks of a matrix with rows and columns exchanged, in registers.
const std = @import("std");

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
        1 => Block(u8).move,
        2 => Block(u16).move,
        4 => Block(u32).move,
        else => Block(u64).move,
    };
}

fn Block(comptime T: type) type {
    const n = @min(16, 64 / @sizeOf(T)); // rows of a block, at most a cache line long
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

        /// An n x n transpose in registers: log2(n) rounds of interleaving row i with row
        /// i + n/2.
        inline fn block(out: [*]u8, in: [*]const u8, out_row: usize, in_column: usize) void {
            const V = @Vector(n, T);
            var x: [n]V = undefined;
            inline for (&x, 0..) |*row, i| {
                const q: *const [n]T = @ptrCast(@alignCast(in + i * in_column));
                row.* = q.*;
            }
            comptime var step = 1;
            inline while (step < n) : (step *= 2) {
                var y: [n]V = undefined;
                inline for (0..n / 2) |i| {
                    y[2 * i] = @shuffle(T, x[i], x[i + n / 2], interleave(0));
                    y[2 * i + 1] = @shuffle(T, x[i], x[i + n / 2], interleave(n / 2));
                }
                x = y;
            }
            inline for (x, 0..) |row, i| {
                const q: *[n]T = @ptrCast(@alignCast(out + i * out_row));
                q.* = row;
            }
        }
        fn interleave(comptime from: i32) @Vector(n, i32) {
            var mask: [n]i32 = undefined;
            for (0..n / 2) |i| {
                mask[2 * i] = from + @as(i32, @intCast(i));
                mask[2 * i + 1] = ~(from + @as(i32, @intCast(i)));
            }
            return mask;
        }
    };
}
