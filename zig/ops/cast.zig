//! Copies between layouts and dtypes.
//!
//! `copy`: out (any dtype, any strides) = x (same shape, any dtype, any strides). Conversions
//! are those of convert.zig: integers wrap, float to integer truncates (what does not fit
//! gives the smallest integer), float to bool is x != 0.
//!
//! `join`: several tensors one behind the other in one (join.zig).
const std = @import("std");
const plan = @import("../plan.zig");
const view = @import("../view.zig");
const services = @import("../services.zig");
const elementwise = @import("elementwise.zig");
const elementwise_row = @import("elementwise_row.zig");
const convert = @import("convert.zig");
const formulas = @import("unary_formulas.zig");
const transpose = @import("transpose.zig");
const stream = @import("stream.zig");
const join = @import("join.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const names: []const []const u8 = &.{ "copy", "join" };
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    if (p.op == 1) return join.prepare(p);
    if (p.operands.len != 2 or p.n_out != 1) return error.Unsupported;
    const out = p.operands[0].dtype;
    const in = p.operands[1].dtype;
    // Bytes become one another unchanged, but that a bool must be 0 or 1.
    const same = out == in or (out.size() == 1 and in.size() == 1 and out != .bool);
    if (same) {
        const v = try view.View.init(p.operands);
        if (v.ndim == 1 and v.strides[0][0] == v.element[0] and v.strides[1][0] == v.element[0]) {
            return join.prepareWhole(p, v.n * v.element[0]);
        }
        if (alongOf(&v)) |along| return prepareTransposed(p, v, along);
        if (isRows(&v)) {
            (try p.create(view.View)).* = v;
            p.run = runRows;
            return;
        }
    }
    if (out == .bool and in.size() == 1) {
        return elementwise.prepare(p, .{
            .kernel = elementwise.kernelOf(formulas.notZero, u8, 1, .{ .to_bool = true }),
            .out = .raw1,
            .in = @splat(.raw1),
            .n_in = 1,
            .grain = elementwise.cheap * 4,
        });
    }
    const between = convert.between(in, out);
    const tile = if (same or between != null)
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
        .load = between,
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
            const v_ = j.v;
            const bytes = v_.inner() * v_.element[0];
            const outer = v_.ndim - 2;
            const out = j.call.ptr[0].?;
            const in = j.call.ptr[1].?;
            if (out == in) return; // copied onto itself
            var cursor = view.Cursor.init(v_, begin);
            var row = begin;
            while (row < end) {
                const n = @min(end - row, v_.sizes[outer] - cursor.coordinate[outer]);
                var to = out + cursor.offset[0];
                var from = in + cursor.offset[1];
                for (0..n) |_| {
                    join.copyBytes(to, from, bytes);
                    to += v_.strides[0][outer];
                    from += v_.strides[1][outer];
                }
                row += n;
                cursor.advance(v_, n);
            }
        }
    };
    const v = p.stateAs(view.View);
    const job: Job = .{ .v = v, .call = call };
    const row_bytes = v.inner() * v.element[0];
    services.parallelFor(v.n / v.inner(), 1 + (128 << 10) / row_bytes, job, Job.run);
}

// ------------------------------------------------------------------ transposed copies

/// Written along one dimension, read along another.
const Transposed = struct {
    view: view.View,
    /// The dimension along which the input is contiguous (the output is along the last).
    along: usize,
    move: transpose.Mover,
    /// Whether it pays to go around the cache, and out's rows begin at cache lines if out does.
    streamed: bool,
    /// Elements along each side of what a thread takes at a time: a square, or all of the shorter side.
    side: usize,

    /// Elements from one piece to the next along a dimension, how many pieces it has, and the elements of one.
    inline fn step(s: *const Transposed, d: usize) usize {
        return if (d == s.along or d == s.view.ndim - 1) s.side else 1;
    }
    inline fn pieces(s: *const Transposed, d: usize) usize {
        return (s.view.sizes[d] + s.step(d) - 1) / s.step(d);
    }
    inline fn length(s: *const Transposed, d: usize, piece: usize) usize {
        return @min(s.side, s.view.sizes[d] - piece * s.side);
    }
};
/// Outputs of copies that are written in short pieces go around the cache from this size.
const streamed_from = 16 << 20;
/// The dimension along which the input of a transposed copy is contiguous; null for others.
fn alongOf(v: *const view.View) ?usize {
    if (v.ndim < 2) return null;
    const last = v.ndim - 1;
    const e = v.element[0];
    if (v.strides[0][last] != e or v.strides[1][last] == e or v.strides[1][last] == 0) return null;
    for (0..last) |d| {
        if (v.strides[1][d] != e) continue;
        if (v.sizes[last] >= 8 and v.sizes[d] >= 8) return d;
        if (narrowMover(v, d) != null) return d;
    }
    return null;
}

/// For copies of which one side is short.
fn narrowMover(v: *const view.View, along: usize) ?transpose.Mover {
    const last = v.ndim - 1;
    const e = v.element[0];
    const rows = v.sizes[along];
    const columns = v.sizes[last];
    if (rows >= 8 and v.strides[0][along] == columns * e) return transpose.weaver(e, columns);
    if (columns >= 8 and v.strides[1][last] == rows * e) return transpose.unweaver(e, rows);
    return null;
}

fn prepareTransposed(p: *Plan, v: view.View, along: usize) plan.PrepareError!void {
    const s = try p.create(Transposed);
    const e = v.element[0];
    const narrow = if (v.sizes[v.ndim - 1] < 8 or v.sizes[along] < 8) narrowMover(&v, along) else null;
    s.* = .{
        .view = v,
        .along = along,
        .move = narrow orelse transpose.mover(e),
        .streamed = narrow == null and e == 4 and v.n * e >= streamed_from and for (v.strides[0][0 .. v.ndim - 1]) |stride| {
            if (stride % 64 != 0) break false;
        } else true,
        .side = if (narrow == null) 64 else 1024,
    };
    p.run = runTransposed;
}

fn runTransposed(p: *const Plan, call: *Call) void {
    const s = p.stateAs(Transposed);
    const v = &s.view;
    if (v.n == 0) return;
    var squares: usize = 1;
    for (0..v.ndim) |d| squares *= s.pieces(d);
    const Job = struct {
        s: *const Transposed,
        call: *Call,
        move: transpose.Mover,

        fn run(j: *const @This(), begin: usize, end: usize) void {
            const view_ = &j.s.view;
            const last = view_.ndim - 1;
            // Which piece along each dimension, and where it begins.
            var piece: [view.max_dims]usize = undefined;
            var at: [2]usize = .{ 0, 0 };
            var rest = begin;
            for (0..view_.ndim) |i| {
                const d = last - i;
                piece[d] = rest % j.s.pieces(d);
                rest /= j.s.pieces(d);
                for (&at, 0..) |*x, k| x.* += piece[d] * j.s.step(d) * view_.strides[k][d];
            }
            for (begin..end) |_| {
                const rows = j.s.length(j.s.along, piece[j.s.along]);
                const columns = j.s.length(last, piece[last]);
                const out = j.call.ptr[0].? + at[0];
                const in = j.call.ptr[1].? + at[1];
                j.move(out, in, rows, columns, view_.strides[0][j.s.along], view_.strides[1][last]);
                var d = last;
                while (true) : (d -= 1) {
                    const step = j.s.step(d);
                    piece[d] += 1;
                    for (&at, 0..) |*x, k| x.* += step * view_.strides[k][d];
                    if (d == 0 or piece[d] < j.s.pieces(d)) break;
                    for (&at, 0..) |*x, k| x.* -= piece[d] * step * view_.strides[k][d];
                    piece[d] = 0;
                }
            }
            stream.fence();
        }
    };
    const streamed = s.streamed and @intFromPtr(call.ptr[0].?) % 64 == 0;
    const job: Job = .{ .s = s, .call = call, .move = if (streamed) transpose.streamer else s.move };
    const square = s.length(s.along, 0) * s.length(v.ndim - 1, 0);
    services.parallelFor(squares, 1 + (1 << 16) / square, job, Job.run);
}

test {
    _ = join;
}
