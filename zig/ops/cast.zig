//! Copies between layouts and dtypes.
//!
//! `copy`: out (any dtype, any strides) = x (same shape, any dtype, any strides). Conversions
//! are those of convert.zig: integers wrap, float to integer truncates (what does not fit
//! gives the smallest integer), float to bool is x != 0.
const std = @import("std");
const plan = @import("../plan.zig");
const view = @import("../view.zig");
const services = @import("../services.zig");
const elementwise = @import("elementwise.zig");
const elementwise_row = @import("elementwise_row.zig");
const convert = @import("convert.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const names: []const []const u8 = &.{"copy"};
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.operands.len != 2 or p.n_out != 1) return error.Unsupported;
    const out = p.operands[0].dtype;
    const in = p.operands[1].dtype;
    // Bytes become one another unchanged, but that a bool must be 0 or 1.
    const same = out == in or (out.size() == 1 and in.size() == 1 and out != .bool);
    if (same) {
        const v = try view.View.init(p.operands);
        if (isTransposed(&v)) return prepareTransposed(p, v);
        if (isRows(&v)) {
            (try p.create(view.View)).* = v;
            p.run = runRows;
            return;
        }
    }
    const tile = if (same)
        convert.Tile.raw(out.size())
    else
        elementwise_row.computeTile(p.operands, true);
    return elementwise.prepare(p, .{
        .kernel = elementwise.moveKernel(tile.size()),
        .out = tile,
        .in = @splat(tile),
        .n_in = 1,
        .grain = elementwise.cheap * 4 / @max(out.size(), 1),
        .is_move = true,
    });
}

// ------------------------------------------------------------------ rows

fn isRows(v: *const view.View) bool {
    const e = v.element[0];
    if (v.n == 0 or v.ndim < 2 or v.inner() < 4) return false;
    return v.innerStride(0) == e and v.innerStride(1) == e;
}

/// Both have contiguous rows.
fn runRows(p: *const Plan, call: *Call) void {
    const Job = struct {
        v: *const view.View,
        call: *Call,
        fn run(j: *const @This(), begin: usize, end: usize) void {
            const bytes = j.v.inner() * j.v.element[0];
            const out = j.call.ptr[0].?;
            const in = j.call.ptr[1].?;
            if (out == in) return; // copied onto itself
            var cursor = view.Cursor.init(j.v, begin);
            for (begin..end) |_| {
                copyBytes(out + cursor.offset[0], in + cursor.offset[1], bytes);
                cursor.next(j.v);
            }
        }
    };
    const v = p.stateAs(view.View);
    const job: Job = .{ .v = v, .call = call };
    const row_bytes = v.inner() * v.element[0];
    services.parallelFor(v.n / v.inner(), 1 + (128 << 10) / row_bytes, job, Job.run);
}

/// A call of memcpy would cost more than a short row.
inline fn copyBytes(to: [*]u8, from: [*]const u8, n: usize) void {
    if (n > 1024 or n < 16) return @memcpy(to[0..n], from[0..n]);
    const V = @Vector(16, u8);
    var i: usize = 0;
    while (i + 64 <= n) : (i += 64) {
        const x: @Vector(64, u8) = from[i..][0..64].*;
        to[i..][0..64].* = x;
    }
    while (i + 16 <= n) : (i += 16) to[i..][0..16].* = @as(V, from[i..][0..16].*);
    if (i < n) to[n - 16 ..][0..16].* = @as(V, from[n - 16 ..][0..16].*);
}

// ------------------------------------------------------------------ transposed copies

/// Written along one dimension, read along another.
const Transposed = struct {
    view: view.View,
    /// The dimension along which the input is contiguous (the output is along the last).
    along: usize,
    move: *const fn (
        out: [*]u8,
        in: [*]const u8,
        rows: usize,
        columns: usize,
        out_row: usize,
        in_column: usize,
    ) void,
};
/// Elements along each side of the square that a thread takes at a time.
const side = 64;

fn isTransposed(v: *const view.View) bool {
    if (v.ndim < 2) return false;
    const last = v.ndim - 1;
    const e = v.element[0];
    if (v.strides[0][last] != e or v.strides[1][last] == e or v.strides[1][last] == 0) return false;
    if (v.sizes[last] < 8) return false;
    for (0..last) |d| if (v.strides[1][d] == e and v.sizes[d] >= 8) return true;
    return false;
}

fn prepareTransposed(p: *Plan, v: view.View) plan.PrepareError!void {
    const s = try p.create(Transposed);
    const e = v.element[0];
    const along = for (0..v.ndim - 1) |d| {
        if (v.strides[1][d] == e and v.sizes[d] >= 8) break d;
    } else unreachable;
    s.* = .{
        .view = v,
        .along = along,
        .move = switch (e) {
            1 => Block(u8).move,
            2 => Block(u16).move,
            4 => Block(u32).move,
            else => Block(u64).move,
        },
    };
    p.run = runTransposed;
}

fn runTransposed(p: *const Plan, call: *Call) void {
    const s = p.stateAs(Transposed);
    const v = &s.view;
    if (v.n == 0) return;
    var squares: usize = 1;
    for (v.sizes[0..v.ndim], 0..) |size, d| {
        squares *= if (d == s.along or d == v.ndim - 1) (size + side - 1) / side else size;
    }
    const Job = struct {
        s: *const Transposed,
        call: *Call,
        fn run(j: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |i| j.square(i);
        }
        fn square(j: *const @This(), index: usize) void {
            const view_ = &j.s.view;
            const last = view_.ndim - 1;
            var rest = index;
            var at: [2]usize = .{ 0, 0 };
            var rows: usize = 0;
            var columns: usize = 0;
            var d = view_.ndim;
            while (d > 0) {
                d -= 1;
                const size = view_.sizes[d];
                const cut = d == last or d == j.s.along;
                const pieces = if (cut) (size + side - 1) / side else size;
                const step: usize = if (cut) side else 1;
                const from = (rest % pieces) * step;
                rest /= pieces;
                for (&at, 0..) |*x, k| x.* += from * view_.strides[k][d];
                if (d == last) columns = @min(side, size - from);
                if (d == j.s.along) rows = @min(side, size - from);
            }
            const out = j.call.ptr[0].? + at[0];
            const in = j.call.ptr[1].? + at[1];
            j.s.move(out, in, rows, columns, view_.strides[0][j.s.along], view_.strides[1][last]);
        }
    };
    const job: Job = .{ .s = s, .call = call };
    services.parallelFor(squares, 16, job, Job.run);
}

/// out[r][c] = in[c][r]: `out_row` bytes from row to row of out, `in_column` bytes from
/// column to column in the input, whose rows lie side by side.
fn Block(comptime T: type) type {
    const n = @min(16, 32 / @sizeOf(T)); // one 32-byte row of a block, 16 of them at most
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
