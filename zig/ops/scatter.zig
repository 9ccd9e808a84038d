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
const preparedVector = @import("index.zig").preparedVector;
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
            // A vector has no lines to deal to the threads.
            const dense = p.operands[2].ndim() == 1 and p.operands[2].strides[0] == 1;
            if (row != .scatter_reduce and p.ints.len == 1 and dense and try preparedVector(p, sums)) return;
            (try p.create(index_lines.Lines)).* = try linesOf(p, p.operands[2], sums);
            p.run = if (row == .scatter)
                index_cell.moving(Scatter, d.size())
            else if (row == .scatter_add and p.ints.len > 1)
                &Scatter(index_cell.Cell(index_cell.Pair, index_cell.Pair, .sum)).run
            else if (row == .scatter_add or p.ints[1] == 0)
                (if (isHalf(d)) &Scatter(index_cell.Cell(f32, f32, .sum)).runHalf else index_cell.summing(Scatter, d))
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
    if (sums and isHalf(self.dtype)) {
        index_space.contiguousStrides(self.shape, &buffer);
        strides = buffer[0..self.ndim()];
    }
    return .init(self, strides, src, p.operands[1], @intCast(p.ints[0]));
}

fn isHalf(d: DType) bool {
    return d == .float16 or d == .bfloat16;
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
        .float16, .bfloat16 => &Scatter(Cell(f32, f32, action)).runHalf,
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

        /// Indices that are checked at once.
        const checked = 512;

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
            // An index expanded over the columns.
            if (index_step == 0 and to_step == 1 and (!C.reduces or (C.reduces_all and from_step == 1))) {
                const x = index[0];
                if (x < 0 or x >= e.size) return x;
                const line = to + @as(usize, @intCast(x)) * e.step;
                if (C.reduces_all) C.reduceAll(e.how, n, line, from) else if (!C.reduces) C.run(n, line, 1, from, from_step);
                return null;
            }
            var i: usize = 0;
            if (index_step == 1 and to_step == 0) while (i < n) { // along the dimension
                const m = index_lines.inRange(index[i..@min(n, i + checked)], e.size);
                for (index[i..][0..m], i..) |x, j| e.put(&to[@as(usize, @intCast(x)) * e.step], from[j * from_step]);
                i += m;
                if (m < checked) break;
            };
            while (i < n) : (i += 1) {
                const x = index[i * index_step];
                if (x < 0 or x >= e.size) return x;
                e.put(&to[i * to_step + @as(usize, @intCast(x)) * e.step], from[i * from_step]);
            }
            return null;
        }
    };
}

/// An element of half precision: runs of it are widened for that of float32.
fn HalfElement(comptime Full: type) type {
    return struct {
        full: Full,
        indexed: [*]f32,
        other: [*]const u16,
        brain: bool,

        pub fn span(
            e: @This(),
            n: usize,
            index: [*]const i64,
            index_step: usize,
            to: [*]f32,
            to_step: usize,
            from: [*]const u16,
            from_step: usize,
        ) ?i64 {
            var values: [512]f32 = undefined;
            var i: usize = 0;
            while (i < n) : (i += values.len) {
                const here = values[0..@min(values.len, n - i)];
                const first = from + i * from_step;
                if (from_step == 1) {
                    index_space.widenAll(e.brain, here, first);
                } else for (here, 0..) |*x, j| x.* = index_space.widenBits(e.brain, first[j * from_step]);
                const bad = e.full.span(here.len, index + i * index_step, index_step, to + i * to_step, to_step, &values, 1);
                if (bad) |x| return x;
            }
            return null;
        }
    };
}

fn Scatter(comptime C: type) type {
    return struct {
        fn element(plan: *const Plan) Element(C) {
            const lines = plan.stateAs(index_lines.Lines);
            const how: index_cell.Reduction = if (C.reduces) @fromBackingInt(@intCast(plan.ints[1] - 1)) else .prod;
            return .{ .indexed = undefined, .other = undefined, .step = lines.step[0], .size = lines.size, .how = how };
        }
        pub fn run(plan: *const Plan, call: *Call) void {
            if (plan.operands[1].numel() == 0) return;
            var e = element(plan);
            e.indexed = call.at(C.T, 0);
            e.other = call.at(C.Value, 2);
            index_lines.forEach(plan.stateAs(index_lines.Lines), call, call.at(i64, 1), e, true);
        }
        /// For float16 and bfloat16, in a copy of float32.
        pub fn runHalf(plan: *const Plan, call: *Call) void {
            const self = plan.operands[0];
            if (plan.operands[1].numel() == 0) return;
            const copy = index_space.Staged.init(self, call.at(u16, 0)) orelse
                return outOfMemory(call, self.numel() * 4);
            defer copy.deinit();
            const e: HalfElement(Element(C)) = .{
                .full = element(plan),
                .indexed = copy.values.ptr,
                .other = call.at(u16, 2),
                .brain = self.dtype == .bfloat16,
            };
            index_lines.forEach(plan.stateAs(index_lines.Lines), call, call.at(i64, 1), e, true);
            if (call.status.load(.acquire) == 0) copy.finish();
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
