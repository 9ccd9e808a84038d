//! Writing elements where an index, a mask or a view says.
//!
//! scatter, scatter_add: outputs self, in place; inputs index (int64), src.  ints: dim
//!     scatter_add with a second int: self and src, given as int64, hold pairs of float32
//! scatter_reduce: the same operands.  ints: dim, reduction (0 sum, 1 prod, 2 amax, 3 amin)
//! scatter_value: outputs self, in place; inputs index.  ints: dim
//!     scalars: the value (.f where self is a float, else .i)
//!     self[i][index[i][j][k]][k] (op)= src[i][j][k] for dim = 1, over the shape of index.
//!     src may be longer than index in every dimension, and have strides of 0; self may be
//!     longer than index but in dim. Along a line the order of j counts: of repeated indices
//!     the last one stays, sums go in order, whatever the number of threads. For
//!     include_self=False Python first fills the places (scatter_value) with the identity;
//!     mean is a sum divided by a scatter_add of ones. amax and amin pass nan on.
//! masked_scatter: outputs self, in place; inputs mask (bool, the shape of self), source
//!     (1-d, any stride). The elements of self where mask holds, in row-major order, become
//!     those of source. Too short a source: invalid_value {needed, given, 0}.
//!
//! All dtypes; self, src and source share one. Any strides. No floats. float16 and bfloat16
//! sums and products are kept in float32 and rounded once; integers wrap; bool sums by `or`.
//! An index out of range (negative ones are): index_out_of_range {index, size, dim}; some
//! elements may then have been written.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const index_space = @import("index_space.zig");
const index_cell = @import("index_cell.zig");
const index_lines = @import("index_lines.zig");
const index_mask = @import("index_mask.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const DType = dtype.DType;

const Row = enum(u32) {
    scatter,
    scatter_add,
    scatter_reduce,
    scatter_value,
    masked_scatter,
};
pub const names: []const []const u8 = &.{
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "scatter_value",
    "masked_scatter",
};
pub const family: planning.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) planning.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    const d = p.operands[0].dtype;
    switch (row) {
        .scatter, .scatter_add, .scatter_reduce => {
            const sums = row != .scatter;
            (try p.create(index_lines.Lines)).* = try linesOf(p, p.operands[2], sums);
            p.run = if (row == .scatter)
                index_cell.moving(Scatter, d.size())
            else if (row == .scatter_add and p.ints.len > 1)
                &Scatter(index_cell.Cell(index_cell.Pair, index_cell.Pair, .sum)).run
            else if (row == .scatter_add or p.ints[1] == 0)
                index_cell.summing(Scatter, d)
            else
                reducing(d);
        },
        .scatter_value => {
            // The value stands in for src: one element with strides of 0.
            const index = p.operands[1];
            var zeros: [index_space.max_dims]i64 = @splat(0);
            if (index.ndim() > zeros.len) return error.Unsupported;
            const strides = zeros[0..index.ndim()];
            const value: planning.Operand =
                .{ .dtype = d, .shape = index.shape, .strides = strides };
            (try p.create(index_lines.Lines)).* = try linesOf(p, value, false);
            p.run = index_cell.moving(ScatterValue, d.size());
        },
        .masked_scatter => {
            if (p.operands[1].dtype != .bool or p.operands[2].dtype != d or
                p.operands[1].ndim() != p.operands[0].ndim()) return error.Unsupported;
            var state: Masked = .{ .mask = try .init(p.operands[1]) };
            for (p.operands[0].shape, p.operands[0].strides) |n, s| try state.self.add(n, .{s});
            state.self.coalesce();
            (try p.create(Masked)).* = state;
            p.run = switch (d.size()) {
                1 => &MaskedScatter(u8).run,
                2 => &MaskedScatter(u16).run,
                4 => &MaskedScatter(u32).run,
                else => &MaskedScatter(u64).run,
            };
        },
    }
}

fn linesOf(p: *const Plan, src: planning.Operand, sums: bool) error{Unsupported}!index_lines.Lines {
    const self = p.operands[0];
    if (src.dtype != self.dtype or self.ndim() > index_space.max_dims) return error.Unsupported;
    // Half-precision sums go to a contiguous float32 copy.
    var buffer: [index_space.max_dims]i64 = undefined;
    var strides = self.strides;
    if (sums and (self.dtype == .float16 or self.dtype == .bfloat16)) {
        index_space.contiguousStrides(self.shape, &buffer);
        strides = buffer[0..self.ndim()];
    }
    return .init(self, strides, src, p.operands[1], @intCast(p.ints[0]));
}

fn reducing(d: DType) planning.Run {
    const Cell = index_cell.Cell;
    const action: index_cell.Action = .reduce;
    return switch (d) {
        .bool, .uint8 => &Scatter(Cell(u8, u8, action)).run,
        .int8 => &Scatter(Cell(i8, i8, action)).run,
        .int16 => &Scatter(Cell(i16, i16, action)).run,
        .int32 => &Scatter(Cell(i32, i32, action)).run,
        .int64 => &Scatter(Cell(i64, i64, action)).run,
        .float16 => &Scatter(Cell(f32, f16, action)).run,
        .bfloat16 => &Scatter(Cell(f32, dtype.BFloat16, action)).run,
        .float32 => &Scatter(Cell(f32, f32, action)).run,
        .float64 => &Scatter(Cell(f64, f64, action)).run,
    };
}

fn outOfMemory(call: *Call, bytes: usize) void {
    call.fail(.out_of_memory, .{ @intCast(bytes), 0, 0 });
}

/// What `index_lines` does with a run of indices: C.put (or C.reduce) for each of them.
fn Element(comptime C: type) type {
    return struct {
        indexed: [*]C.T,
        other: [*]const C.Value,
        step: usize,
        size: i64,
        how: index_cell.Reduction = .prod,

        inline fn put(e: @This(), to: *C.T, from: C.Value) void {
            if (C.reduces) C.reduce(e.how, to, from) else C.put(to, from);
        }

        pub fn span(
            e: @This(),
            n: usize,
            index: [*]const i64,
            index_step: usize,
            to: [*]C.T,
            to_step: usize,
            from: [*]const C.Value,
            from_step: usize,
        ) ?i64 {
            if (!C.reduces and index_step == 0 and to_step == 1) { // an index expanded over the columns
                const x = index[0];
                if (x < 0 or x >= e.size) return x;
                C.run(n, to + @as(usize, @intCast(x)) * e.step, 1, from, from_step);
                return null;
            }
            var i: usize = 0;
            if (index_step == 1) {
                i = index_lines.inRange(index[0..n], e.size);
                if (to_step == 0 and from_step == 1) { // along the dimension
                    for (index[0..i], from[0..i]) |x, y| e.put(&to[@as(usize, @intCast(x)) * e.step], y);
                } else for (index[0..i], 0..) |x, j| {
                    const at = j * to_step + @as(usize, @intCast(x)) * e.step;
                    e.put(&to[at], from[j * from_step]);
                }
            }
            while (i < n) : (i += 1) {
                const x = index[i * index_step];
                if (x < 0 or x >= e.size) return x;
                e.put(&to[i * to_step + @as(usize, @intCast(x)) * e.step], from[i * from_step]);
            }
            return null;
        }
    };
}

fn Scatter(comptime C: type) type {
    return struct {
        pub fn run(plan: *const Plan, call: *Call) void {
            const lines = plan.stateAs(index_lines.Lines);
            const self = plan.operands[0];
            if (plan.operands[1].numel() == 0) return;
            var element: Element(C) = .{
                .indexed = undefined,
                .other = call.at(C.Value, 2),
                .step = lines.step[0],
                .size = lines.size,
            };
            if (C.reduces) element.how = @fromBackingInt(@intCast(plan.ints[1] - 1));
            if (C.staged) {
                const half = call.at(u16, 0);
                const copy = index_space.Staged.init(self, half) orelse
                    return outOfMemory(call, self.numel() * 4);
                defer copy.deinit();
                element.indexed = copy.values.ptr;
                index_lines.forEach(lines, call, call.at(i64, 1), element, true);
                if (call.status.load(.acquire) == 0) copy.finish();
            } else {
                element.indexed = call.at(C.T, 0);
                index_lines.forEach(lines, call, call.at(i64, 1), element, true);
            }
        }
    };
}

fn ScatterValue(comptime C: type) type {
    return struct {
        pub fn run(plan: *const Plan, call: *Call) void {
            const lines = plan.stateAs(index_lines.Lines);
            if (plan.operands[1].numel() == 0) return;
            const value = [1]C.T{bitsOf(C.T, plan.operands[0].dtype, call.scalar[0])};
            const element: Element(C) = .{
                .indexed = call.at(C.T, 0),
                .other = &value,
                .step = lines.step[0],
                .size = lines.size,
            };
            index_lines.forEach(lines, call, call.at(i64, 1), element, true);
        }
    };
}

/// The bits of a scalar as an element of type `d`.
fn bitsOf(comptime T: type, d: DType, scalar: planning.Scalar) T {
    const bits: u64 = switch (d) {
        .bool => @intFromBool(scalar.i != 0),
        .float16 => @as(u16, @bitCast(@as(f16, @floatCast(scalar.f)))),
        .bfloat16 => dtype.BFloat16.fromF32(@floatCast(scalar.f)).bits,
        .float32 => @as(u32, @bitCast(@as(f32, @floatCast(scalar.f)))),
        .float64 => @bitCast(scalar.f),
        else => @bitCast(scalar.i),
    };
    return @truncate(bits);
}

const Masked = struct {
    mask: index_mask.Mask,
    self: index_space.Space(1) = .{},
};

fn MaskedScatter(comptime T: type) type {
    return struct {
        found: index_mask.Found,
        self: *const index_space.Space(1),
        to: [*]T,
        from: [*]T,
        from_step: usize,

        const Job = @This();

        pub fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(Masked);
            if (s.self.count == 0) return;
            const found = s.mask.locate(call, call.ptr[1], null) orelse return;
            defer found.deinit();
            const source = plan.operands[2];
            const needed = found.before[found.blocks()];
            if (needed == 0) return;
            if (needed > source.numel()) {
                return call.fail(.invalid_value, .{ @intCast(needed), source.shape[0], 0 });
            }
            const job: Job = .{
                .found = found,
                .self = &s.self,
                .to = call.at(T, 0),
                .from = call.at(T, 2),
                .from_step = @intCast(source.strides[0]),
            };
            services.parallelFor(found.blocks(), 4, job, part);
        }

        fn part(job: *const Job, begin: usize, end: usize) void {
            var buffer: [index_mask.block]u16 = undefined;
            for (begin..end) |b| {
                const positions = job.found.positions(b, &buffer);
                const line = job.from + job.found.before[b] * job.from_step;
                index_mask.pick(T, job.self, job.to, b, positions, line, job.from_step, true);
            }
        }
    };
}

test {
    _ = @import("scatter_test.zig");
}
