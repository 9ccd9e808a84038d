//! Tensors from numbers, and copies that keep or move elements by their index.
//!
//! Operand 0 is the output; any strides unless said.
//! - `fill`: out (any shape, any dtype) = scalar[0]. ints[0]: 0: the scalar is .f; 1: .i.
//! - `arange`: out (n) = scalar[0] + i scalar[1]. ints[0]: 0: in float64 from .f, rounded on the
//!   way as PyTorch does it; 1: in int64 (wrapping) from .i. Any dtype.
//! - `linspace`: out (n), from scalar[0].f to scalar[1].f, both included; the first half is
//!   start + i step, the second end - (n - 1 - i) step, so it is symmetric. n = 1: start.
//!   Computed in the output's own dtype, for integers in float64. Any dtype.
//! - `eye`: out (rows, columns): 1 on the diagonal, else 0. Any dtype.
//! - `tril`, `triu`: out, x (..., rows, columns), one dtype: elements with column <= row + d
//!   (tril) or column >= row + d (triu), zero elsewhere. ints[0] = d. out may be x itself.
//! - `tri_indices`: out (2, n), int64 or int32: the rows and columns of the elements that tril or
//!   triu keeps, row by row. ints: d, 0 (tril) or 1 (triu), rows, columns.
//! - `flip`: out, x of one shape and dtype: x reversed along the dimensions ints[0..].
//! - `roll`: out, x of one shape and dtype; ints: shift, dimension, shift, dimension, ... :
//!   out[(i + shift) mod size] = x[i]. Shifts may be negative or beyond the size; a dimension
//!   may come more than once.
//! - `pad`: out, x of one dtype. ints: mode (0 constant, 1 reflect, 2 replicate, 3 circular), how
//!   scalar[0], the constant, is given (as for fill), then for each dimension the positions of out
//!   before those of x and behind them; negative ones are cut off.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const join = @import("join.zig");
const remap = @import("remap.zig");
const simd = @import("../simd.zig");
const elementwise = @import("elementwise.zig");
const convert = @import("convert.zig");
const DType = @import("../dtype.zig").DType;
const BFloat16 = @import("../dtype.zig").BFloat16;
const Plan = plan.Plan;
const Call = plan.Call;
const Operand = plan.Operand;

const RowKind = enum { fill, arange, linspace, eye, tril, triu, tri_indices, flip, roll, pad };

pub const names: []const []const u8 = @typeInfo(RowKind).@"enum".field_names;
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    const kind: RowKind = @fromBackingInt(@intCast(p.op));
    if (p.n_out != 1) return error.Unsupported;
    switch (kind) {
        .fill, .eye => {
            const s = try fillState(p.operands);
            (try p.create(elementwise.State)).* = s;
            p.run = if (kind == .fill) runFill else runEye;
        },
        .arange, .linspace => {
            if (p.operands[0].ndim() != 1) return error.Unsupported;
            p.run = if (kind == .arange) runArange else runLinspace;
        },
        .tril, .triu => {
            if (p.operands[0].ndim() < 2 or !sameKind(p)) return error.Unsupported;
            p.run = runTriangle;
        },
        .tri_indices => p.run = switch (p.operands[0].dtype) {
            .int64 => &TriangleIndices(i64).run,
            .int32 => &TriangleIndices(i32).run,
            else => return error.Unsupported,
        },
        .flip, .roll, .pad => {
            if (!sameKind(p)) return error.Unsupported;
            try remap.prepare(p, switch (kind) {
                .flip => .flip,
                .roll => .roll,
                else => .pad,
            });
        },
    }
}

fn sameKind(p: *const Plan) bool {
    return p.operands.len == 2 and p.operands[0].dtype == p.operands[1].dtype;
}

// ------------------------------------------------------------------ fill, eye

fn fillState(operands: []const Operand) plan.PrepareError!elementwise.State {
    const tile = convert.Tile.raw(operands[0].dtype.size());
    return elementwise.init(operands[0..1], .{
        .kernel = elementwise.moveKernel(tile.size()),
        .out = tile,
        .in = @splat(tile),
        .n_in = 1,
        .scalar_input = 0,
        .grain = elementwise.cheap * 4 / tile.size(),
    });
}

fn fillBits(s: *const elementwise.State, call: *Call, bits: i64) void {
    // The driver spreads scalar[0] as it is.
    var inner: Call = .{ .ptr = call.ptr };
    inner.scalar[0] = .{ .i = bits };
    elementwise.execute(s, s.kernel, &inner);
}

fn runFill(p: *const Plan, call: *Call) void {
    const s = p.stateAs(elementwise.State);
    fillBits(s, call, convert.bitsOf(p.operands[0].dtype, call.scalar[0], p.ints[0] == 1));
}

fn runEye(p: *const Plan, call: *Call) void {
    // out (rows, columns)
    const out = p.operands[0];
    if (out.numel() == 0) return;
    fillBits(p.stateAs(elementwise.State), call, 0);
    const bits = convert.bitsOf(out.dtype, .{ .i = 1 }, true);
    const size = out.dtype.size();
    const bytes: *const [8]u8 = @ptrCast(&bits);
    const step = (stride(out, 0) + stride(out, 1));
    for (0..@intCast(@min(out.shape[0], out.shape[1]))) |i| {
        @memcpy(call.ptr[0].?[i * step ..][0..size], bytes[0..size]);
    }
}

fn stride(o: Operand, d: usize) usize {
    return @as(usize, @intCast(o.strides[d])) * o.dtype.size();
}

// ------------------------------------------------------------------ arange, linspace

const block = 512;

fn runArange(p: *const Plan, call: *Call) void {
    switch (p.operands[0].dtype) {
        .float16 => arange(f16, p, call),
        .bfloat16 => arange(BFloat16, p, call),
        .float32 => arange(f32, p, call),
        else => arange(f64, p, call),
    }
}

/// x rounded to T.
fn rounded(comptime T: type, x: f64) f64 {
    return if (T == BFloat16) BFloat16.fromF32(@floatCast(x)).toF32() else @as(T, @floatCast(x));
}

/// PyTorch's last bits: it goes on from a rounded element at the head of each AVX2 vector, in
/// the whole pairs of vectors, and counts from the start in what is left over.
fn arange(comptime T: type, p: *const Plan, call: *Call) void {
    const lanes = 32 / @sizeOf(T);
    const Arange = struct {
        start: plan.Scalar,
        step: plan.Scalar,
        paired: usize,
        is_int: bool,
        fn float(c: @This(), i: usize) f64 {
            const within = if (i < c.paired) i % lanes else 0;
            const head = c.after(c.start.f, i - within);
            return if (within == 0) head else c.after(rounded(T, head), within);
        }
        /// float(i) to float(i + 7), for an i that is a multiple of 8.
        fn floats(c: @This(), i: usize) [8]f64 {
            const V = @Vector(8, f64);
            if (lanes < 8 or i + 8 > c.paired) {
                var x: [8]f64 = undefined;
                for (&x, i..) |*y, k| y.* = c.float(k);
                return x;
            }
            const within = i % lanes;
            const head = c.after(c.start.f, i - within);
            const count = std.simd.iota(f64, 8) + @as(V, @splat(@floatFromInt(within)));
            var x: [8]f64 = @mulAdd(V, @splat(c.step.f), count, @as(V, @splat(rounded(T, head))));
            if (within == 0) x[0] = head;
            return x;
        }
        fn after(c: @This(), start: f64, count: usize) f64 {
            return @mulAdd(f64, c.step.f, @floatFromInt(count), start);
        }
        fn int(c: @This(), i: usize) i64 {
            return c.start.i +% @as(i64, @intCast(i)) *% c.step.i;
        }
        /// int(i) to int(i + 7).
        fn ints(c: @This(), i: usize) [8]i64 {
            const V = @Vector(8, i64);
            return @as(V, @splat(c.int(i))) +% std.simd.iota(i64, 8) *% @as(V, @splat(c.step.i));
        }
    };
    const n = p.operands[0].numel();
    const rule: Arange = .{
        .start = call.scalar[0],
        .step = call.scalar[1],
        .paired = n - n % (2 * lanes),
        .is_int = p.ints[0] == 1,
    };
    sequence(p, call, rule);
}

fn runLinspace(p: *const Plan, call: *Call) void {
    switch (p.operands[0].dtype) {
        .float16 => linspace(f16, p, call),
        .bfloat16 => linspace(BFloat16, p, call),
        .float32 => linspace(f32, p, call),
        else => linspace(f64, p, call),
    }
}

/// In the arithmetic of T, as PyTorch does it: float32 and float64 (also for integers) with one
/// rounding for product and sum, the 16-bit types with one for each operation.
fn linspace(comptime T: type, p: *const Plan, call: *Call) void {
    const Linspace = struct {
        start: f64,
        end: f64,
        step: f64,
        n: usize,
        comptime is_int: bool = false,
        fn float(c: @This(), i: usize) f64 {
            if (i < c.n / 2 or c.n == 1) return mulAdd(c.step, i, c.start);
            return mulAdd(-c.step, c.n - 1 - i, c.end);
        }
        /// float(i) to float(i + 7).
        fn floats(c: @This(), i: usize) [8]f64 {
            const low = i + 8 <= c.n / 2;
            if (T != f32 or c.n == 1 or c.n >= 1 << 24 or (i < c.n / 2 and !low)) {
                var x: [8]f64 = undefined;
                for (&x, i..) |*y, k| y.* = c.float(k);
                return x;
            }
            const V = @Vector(8, f32);
            const steps = std.simd.iota(f32, 8);
            const from: V = @splat(@floatFromInt(if (low) i else c.n - 1 - i));
            const count = if (low) from + steps else from - steps;
            const step: f32 = @floatCast(if (low) c.step else -c.step);
            const start: f32 = @floatCast(if (low) c.start else c.end);
            return @as(@Vector(8, f64), @floatCast(@mulAdd(V, @splat(step), count, @as(V, @splat(start)))));
        }
        fn mulAdd(step: f64, count: usize, start: f64) f64 {
            const k: f64 = @floatFromInt(count);
            if (T == f32) return @mulAdd(f32, @floatCast(step), @floatCast(k), @floatCast(start));
            if (T == f64) return @mulAdd(f64, step, k, start);
            return rounded(T, start + rounded(T, step * rounded(T, k)));
        }
        fn int(_: @This(), _: usize) i64 {
            unreachable;
        }
        fn ints(_: @This(), _: usize) [8]i64 {
            unreachable;
        }
    };
    const n = p.operands[0].numel();
    const start = rounded(T, call.scalar[0].f);
    const end = rounded(T, call.scalar[1].f);
    const width = rounded(T, end - start);
    const step = if (n > 1) rounded(T, width / rounded(T, @floatFromInt(n - 1))) else 0;
    sequence(p, call, Linspace{ .start = start, .end = end, .step = step, .n = n });
}

/// out (n), any dtype: element i from rule.float(i) or rule.int(i).
fn sequence(p: *const Plan, call: *Call, rule: anytype) void {
    const Job = struct {
        out: [*]u8,
        stride: usize,
        store: convert.Move,
        n: usize,
        rule: @TypeOf(rule),
        fn run(j: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |b| {
                const first = b * block;
                const n = @min(block, j.n - first);
                var tile: [block]plan.Scalar align(64) = undefined;
                const whole = n - n % 8;
                var k: usize = 0;
                if (j.rule.is_int) {
                    while (k < whole) : (k += 8) {
                        @as(*[8]i64, @ptrCast(tile[k..][0..8])).* = j.rule.ints(first + k);
                    }
                    for (tile[k..n], first + k..) |*x, i| x.* = .{ .i = j.rule.int(i) };
                } else {
                    while (k < whole) : (k += 8) {
                        @as(*[8]f64, @ptrCast(tile[k..][0..8])).* = j.rule.floats(first + k);
                    }
                    for (tile[k..n], first + k..) |*x, i| x.* = .{ .f = j.rule.float(i) };
                }
                j.store.run(@ptrCast(&tile), j.out + first * j.stride, n, j.stride);
            }
        }
    };
    const out = p.operands[0];
    const n = out.numel();
    if (n == 0) return;
    const job: Job = .{
        .out = call.ptr[0].?,
        .stride = stride(out, 0),
        .store = convert.storer(out.dtype, if (rule.is_int) .i64 else .f64),
        .n = n,
        .rule = rule,
    };
    services.parallelFor((n + block - 1) / block, 32, job, Job.run);
}

// ------------------------------------------------------------------ tril, triu, tri_indices

/// Rows of at most so many bytes are copied whole, by lines of which what goes is 0.
const short_row = 1024;

fn runTriangle(p: *const Plan, call: *Call) void {
    // out, x (..., rows, columns)
    const out, const x = .{ p.operands[0], p.operands[1] };
    const n = out.numel();
    if (n == 0) return;
    const kind: RowKind = @fromBackingInt(@intCast(p.op));
    const d = out.ndim();
    const columns: usize = @intCast(out.shape[d - 1]);
    const size = out.dtype.size();
    const job: Triangle = .{
        .p = p,
        .call = call,
        .upper = kind == .triu,
        .width = columns,
        .rows = @intCast(out.shape[d - 2]),
        .by_lines = columns * size <= short_row and stride(out, d - 1) == size and stride(x, d - 1) == size,
    };
    services.parallelFor(n / columns, 1 + 32768 / columns, job, Triangle.run);
}

const Triangle = struct {
    p: *const Plan,
    call: *Call,
    upper: bool,
    width: usize,
    rows: usize,
    by_lines: bool,

    fn run(j: *const Triangle, begin: usize, end: usize) void {
        var index = begin;
        while (index < end) {
            const r = index % j.rows;
            const m = @min(end - index, j.rows - r);
            const to = j.call.ptr[0].? + rowOffset(j.p.operands[0], index);
            const from = j.call.ptr[1].? + rowOffset(j.p.operands[1], index);
            // The first column of row r that is not kept (lower), or that is (upper).
            const border = @as(i64, @intCast(r)) +| j.p.ints[0] +| @intFromBool(!j.upper);
            if (j.by_lines) j.byLines(m, to, from, border) else j.byRows(m, to, from, border);
            index += m;
        }
    }

    /// `m` rows of one matrix.
    fn byRows(j: *const Triangle, m: usize, to: [*]u8, from: [*]u8, border: i64) void {
        const out, const x = .{ j.p.operands[0], j.p.operands[1] };
        const d = out.ndim();
        const size = out.dtype.size();
        const step, const x_step = .{ stride(out, d - 1), stride(x, d - 1) };
        for (0..m) |r| {
            const cut: usize = @intCast(std.math.clamp(border +| @as(i64, @intCast(r)), 0, @as(i64, @intCast(j.width))));
            const kept: [2]usize = if (j.upper) .{ cut, j.width } else .{ 0, cut };
            const gone: [2]usize = if (j.upper) .{ 0, cut } else .{ cut, j.width };
            const y, const z = .{ to + r * stride(out, d - 2), from + r * stride(x, d - 2) };
            clear(y + gone[0] * step, gone[1] - gone[0], step, size);
            copyRow(size, y + kept[0] * step, z + kept[0] * x_step, kept[1] - kept[0], @intCast(step), @intCast(x_step));
        }
    }

    /// Rows whose bytes lie together, the last line of each over the one before. In place it may read
    /// what that wrote: that is kept or 0 as well.
    fn byLines(j: *const Triangle, m: usize, first: [*]u8, first_x: [*]const u8, border: i64) void {
        const out, const x = .{ j.p.operands[0], j.p.operands[1] };
        const d = out.ndim();
        const size: i64 = @intCast(out.dtype.size());
        const n = j.width * out.dtype.size();
        const pitch, const x_pitch = .{ stride(out, d - 2), stride(x, d - 2) };
        // In bytes; may lie before or behind the row.
        var cut = border *| size;
        const turned: u8 = if (j.upper) 0xff else 0;
        var to, var from = .{ first, first_x };
        for (0..m) |_| {
            const byte: usize = @intCast(std.math.clamp(cut, 0, short_row));
            if (n >= 32) {
                var i: usize = 0;
                while (i + 32 <= n) : (i += 32) cutLine(turned, 32, to + i, from + i, byte -| i);
                if (i < n) cutLine(turned, 32, to + n - 32, from + n - 32, byte -| (n - 32));
            } else inline for (.{ 16, 8, 4, 2, 1 }) |length| if (n >= length and n < 2 * length) {
                cutLine(turned, length, to, from, byte);
                if (n > length) cutLine(turned, length, to + n - length, from + n - length, byte -| (n - length));
            };
            cut +|= size;
            to += pitch;
            from += x_pitch;
        }
    }
};

/// The bytes before the `cut`-th, or, turned, the others; 0 elsewhere.
inline fn cutLine(turned: u8, comptime length: usize, to: [*]u8, from: [*]const u8, cut: usize) void {
    const V = @Vector(length, u8);
    const x: V = from[0..length].*;
    const low = std.simd.iota(u8, length) < @as(V, @splat(@intCast(@min(cut, length))));
    const kept = @select(u8, low, @as(V, @splat(0xff)), @as(V, @splat(0))) ^ @as(V, @splat(turned));
    to[0..length].* = x & kept;
}

fn TriangleIndices(comptime T: type) type {
    return struct {
        const Self = @This();
        rows: [*]T,
        columns: [*]T,
        diagonal: i64,
        upper: bool,
        width: i64,

        fn run(p: *const Plan, call: *Call) void {
            const n: usize = @intCast(p.operands[0].shape[1]);
            if (n == 0) return;
            const job: Self = .{
                .rows = call.at(T, 0),
                .columns = call.at(T, 0) + n,
                .diagonal = p.ints[0],
                .upper = p.ints[1] == 1,
                .width = p.ints[3],
            };
            const rows: usize = @intCast(p.ints[2]);
            services.parallelFor(rows, 1 + 32768 * rows / n, job, part);
        }

        /// The columns that row r keeps.
        fn kept(j: *const Self, r: usize) [2]usize {
            const border = @as(i64, @intCast(r)) +| j.diagonal +| @intFromBool(!j.upper);
            const cut: usize = @intCast(std.math.clamp(border, 0, j.width));
            return if (j.upper) .{ cut, @intCast(j.width) } else .{ 0, cut };
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            const lanes = simd.lanes(T);
            const V = @Vector(lanes, T);
            var at: usize = 0;
            for (0..begin) |r| at += j.kept(r)[1] - j.kept(r)[0];
            for (begin..end) |r| {
                const first, const last = j.kept(r);
                const row: V = @splat(@intCast(r));
                var column = std.simd.iota(T, lanes) + @as(V, @splat(@intCast(first)));
                const n = last - first;
                var k: usize = 0;
                while (k + lanes <= n) : (k += lanes) {
                    simd.store(T, j.rows + at + k, row);
                    simd.store(T, j.columns + at + k, column);
                    column += @splat(lanes);
                }
                if (k < n) {
                    simd.storePart(T, j.rows + at + k, n - k, row);
                    simd.storePart(T, j.columns + at + k, n - k, column);
                }
                at += n;
            }
        }
    };
}

/// Bytes from the start to row `index` (of all dimensions but the last).
fn rowOffset(o: Operand, index: usize) usize {
    var rest = index;
    var sum: usize = 0;
    var d = o.ndim() - 1;
    while (d > 0) {
        d -= 1;
        const size: usize = @intCast(o.shape[d]);
        sum += (rest % size) * stride(o, d);
        rest /= size;
    }
    return sum;
}

fn clear(to: [*]u8, n: usize, step: usize, size: usize) void {
    if (step == size) return @memset(to[0 .. n * size], 0);
    for (0..n) |i| @memset(to[i * step ..][0..size], 0);
}

/// n elements of `size` bytes; steps in bytes, the input's may be negative.
fn copyRow(size: usize, to: [*]u8, from: [*]u8, n: usize, to_step: isize, from_step: isize) void {
    if (n == 0 or (to == from and to_step == from_step)) return;
    if (to_step == size and from_step == size) {
        return join.copyBytes(to, from, n * size);
    }
    switch (size) {
        inline 1, 2, 4, 8 => |s| {
            var x = @intFromPtr(from);
            var y = @intFromPtr(to);
            for (0..n) |_| {
                @as(*[s]u8, @ptrFromInt(y)).* = @as(*const [s]u8, @ptrFromInt(x)).*;
                x +%= @bitCast(from_step);
                y +%= @bitCast(to_step);
            }
        },
        else => unreachable,
    }
}

test {
    _ = remap;
}
