//! Advanced indexing: whole positions of a tensor, chosen by index tensors.
//!
//! A tensor `self` has the shape (A..., D1..Dk, R...): `start` dimensions before the k
//! indexed ones. The k index tensors (int64, k <= 8) have one shape I (Python broadcasts
//! them; strides may be 0), so that what is picked has the shape (A..., I..., R...).
//!
//! index: outputs out (A..., I..., R...); inputs self, index 1..k.
//!     ints: k, start, allow_negative
//! index_put: outputs self, in place; inputs index 1..k, values (A..., I..., R...).
//!     ints: k, start, allow_negative, accumulate
//! embedding_backward: outputs grad_weight (V, R...), contiguous, wholly written; inputs
//!     index (I...), grad (I..., R...).  ints: padding_idx, or a negative number for none
//! bag: see bag.zig
//!
//! No scalars, no floats. All dtypes; self, out and values share one. Any strides, also on
//! the outputs; `values` may have strides of 0.
//! An index outside of its dimension is reported as index_out_of_range {index, size,
//! dimension of self} before anything is written. With allow_negative, -size..-1 count from
//! the end. embedding_backward allows no negative index and skips the rows of padding_idx.
//!
//! Positions are taken in the row-major order of I: with repeated indices index_put keeps
//! the last value, or with accumulate sums all of them in that order, whatever the number of
//! threads. float16 and bfloat16 sums are kept in float32 and rounded once; integers wrap;
//! bool accumulates by `or`.
//!
//! Rows of PyTorch that are these: index_select, take (self flattened), embedding (index;
//! k = 1), index_copy, index_fill, index_add (index_put, accumulate, source times alpha),
//! put, bincount (index_put of ones into zeros, allow_negative = 0).
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const index_space = @import("index_space.zig");
const index_cell = @import("index_cell.zig");
const bag = @import("bag.zig");
const Chains = @import("index_chains.zig").Chains;
const copyBytes = @import("join.zig").copyBytes;
const Plan = planning.Plan;
const Call = planning.Call;
const Operand = planning.Operand;
const DType = dtype.DType;
const Space = index_space.Space;

const Row = enum(u32) { index, index_put, embedding_backward, bag };
pub const names: []const []const u8 = &.{ "index", "index_put", "embedding_backward", "bag" };
pub const family: planning.Family = .{ .prepare = prepare };

const max_indices = 8;
/// Positions whose offsets `index` works out at once.
const tile: usize = 256;
/// Elements of a run that are one unit of work; in columns.
const get_block: usize = 4096;
pub const put_block: usize = 1024;
const column_block: usize = 64;
/// Positions are dealt to this many owners by a hash of the row they write to.
const owners = 256;
/// A skipped position (padding).
pub const skip = std.math.maxInt(usize);

pub const State = struct {
    k: usize,
    start: usize,
    allow_negative: bool,
    padding: i64 = -1,
    /// What is written to is 0 at first.
    zeroed: bool = false,
    first_index: usize,
    /// The operand that has the picked shape, and `self`.
    other_operand: usize,
    self_operand: usize,
    /// The index shape: tensor 0 is the other operand, 1..k are the index tensors.
    at: Space(max_indices + 1) = .{},
    size: [max_indices]i64 = undefined,
    self_stride: [max_indices]usize = undefined,
    /// All dimensions that are not indexed: self, other. Its innermost one is `run`.
    rest: Space(2) = .{},
    run: Space(2).Inner = undefined,
    /// Go through the positions for each element of a run, not through the run for each
    /// position.
    columns: bool = false,
    /// Elements of a run that are one unit of work.
    block: usize = undefined,
    /// Positions lie side by side in the other operand.
    dense: bool = false,
    /// Half-precision sums of whole runs: those of a place one after the other (index_chains.zig).
    chained: bool = false,
    /// Single elements by one dense index into a dense result: no offsets need be worked out.
    flat: bool = false,

    pub fn blocks(s: *const State) usize {
        return std.math.divCeil(usize, s.run.size, s.block) catch unreachable;
    }
    /// Units of work that the rest is cut into.
    pub fn units(s: *const State) usize {
        return s.rest.count * s.blocks();
    }
};

fn prepare(p: *Plan) planning.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    if (row == .bag) return bag.prepare(p);
    const accumulate = row == .embedding_backward or (row == .index_put and p.ints[3] != 0);
    return prepareFor(p, switch (row) {
        .index => .{
            .k = @intCast(p.ints[0]),
            .start = @intCast(p.ints[1]),
            .allow_negative = p.ints[2] != 0,
            .other_operand = 0,
            .self_operand = 1,
            .first_index = 2,
        },
        .index_put => .{
            .k = @intCast(p.ints[0]),
            .start = @intCast(p.ints[1]),
            .allow_negative = p.ints[2] != 0,
            .other_operand = 1 + @as(usize, @intCast(p.ints[0])),
            .self_operand = 0,
            .first_index = 1,
        },
        .embedding_backward => .{
            .k = 1,
            .start = 0,
            .allow_negative = false,
            .padding = if (p.ints[0] < 0) -1 else p.ints[0],
            .other_operand = 2,
            .self_operand = 0,
            .first_index = 1,
            .zeroed = true,
        },
        .bag => unreachable,
    }, row, accumulate);
}

/// Whether index_put into a vector does what an operation with its operands wants, and sooner; values may be longer
/// than the index. It is then prepared.
pub fn preparedVector(p: *Plan, accumulate: bool) planning.PrepareError!bool {
    for (p.operands) |o| if (o.ndim() != 1) return false;
    const d = p.operands[0].dtype;
    if (!simd.has_fma or d.size() < 4 or (accumulate and d == .int32)) return false;
    const state: State = .{ .k = 1, .start = 0, .allow_negative = false, .other_operand = 2, .self_operand = 0, .first_index = 1 };
    try prepareFor(p, state, .index_put, accumulate);
    return true;
}

fn prepareFor(p: *Plan, about: State, row: Row, accumulate: bool) planning.PrepareError!void {
    var state = about;
    var self = p.operands[state.self_operand];
    const other = p.operands[state.other_operand];
    const k = state.k;
    if (k > max_indices or k == 0 or self.dtype != other.dtype) return error.Unsupported;
    const index_dims = p.operands[state.first_index].ndim();
    for (p.operands[state.first_index..][0..k]) |o| {
        if (o.dtype != .int64 or o.ndim() != index_dims) return error.Unsupported;
    }
    if (other.ndim() != self.ndim() - k + index_dims) return error.Unsupported;

    // Half-precision sums go to a contiguous float32 copy of self.
    const half = self.dtype == .float16 or self.dtype == .bfloat16;
    var staged_strides: [index_space.max_dims]i64 = undefined;
    if (accumulate and half) {
        if (self.ndim() > index_space.max_dims) return error.Unsupported;
        index_space.contiguousStrides(self.shape, &staged_strides);
        state.chained = std.mem.eql(i64, self.strides, staged_strides[0..self.ndim()]);
        self.strides = staged_strides[0..self.ndim()];
    }

    const start = state.start;
    for (0..k) |i| {
        state.size[i] = self.shape[start + i];
        state.self_stride[i] = @intCast(self.strides[start + i]);
    }
    for (0..index_dims) |d| {
        var strides: [max_indices + 1]i64 = @splat(0);
        strides[0] = other.strides[start + d];
        for (0..k) |i| strides[1 + i] = p.operands[state.first_index + i].strides[d];
        try state.at.add(p.operands[state.first_index].shape[d], strides);
    }
    state.at.coalesce();
    state.dense = state.at.ndim == 1 and state.at.strides[0][0] == 1;
    for (0..self.ndim()) |d| {
        if (d >= start and d < start + k) continue;
        const e = if (d < start) d else d - k + index_dims;
        try state.rest.add(self.shape[d], .{ self.strides[d], other.strides[e] });
    }
    state.rest.sortBy(if (row == .index) 1 else 0);
    state.rest.coalesce();
    state.run = state.rest.popInner();
    // A run of one element leaves the positions as the only loop worth having inside. So
    // does a run that jumps farther than the positions do.
    const inner = state.at.ndim -| 1;
    state.flat = k == 1 and state.dense and state.at.strides[1][0] == 1 and state.run.size == 1 and
        state.rest.count == 1 and state.padding < 0;
    state.columns = state.run.size < 4 or (state.at.ndim > 0 and state.run.strides[1] != 1 and
        state.at.strides[0][inner] < state.run.strides[1]);
    state.chained = simd.has_fma and state.chained and !state.columns and state.run.strides[0] == 1;
    state.block = if (state.columns) column_block else if (row == .index) get_block else put_block;

    p.run = switch (row) {
        .index => switch (self.dtype.size()) {
            1 => &Get(u8).run,
            2 => &Get(u16).run,
            4 => &Get(u32).run,
            else => &Get(u64).run,
        },
        else => if (accumulate)
            index_cell.summing(Put, self.dtype)
        else
            index_cell.moving(Put, self.dtype.size()),
    };
    (try p.create(State)).* = state;
}

/// Works out where positions [begin, begin + self_at.len) of the index shape begin in self
/// and in the other operand. False: an index was out of range, and the call has failed.
pub fn locate(
    plan: *const Plan,
    call: *Call,
    begin: usize,
    self_at: []usize,
    other_at: []usize,
) bool {
    const s = plan.stateAs(State);
    @memset(self_at, 0);
    var walker = s.at.walk(begin);
    const inner = s.at.ndim -| 1;
    var i: usize = 0;
    while (i < self_at.len) {
        const n: usize = @min(walker.runLeft(), self_at.len - i);
        const step = if (s.at.ndim == 0) 0 else s.at.strides[0][inner];
        for (other_at[i..][0..n], 0..) |*x, j| x.* = walker.offset[0] + j * step;
        for (0..s.k) |t| {
            const index = call.at(i64, s.first_index + t) + walker.offset[1 + t];
            const index_step = if (s.at.ndim == 0) 0 else s.at.strides[1 + t][inner];
            const size = s.size[t];
            const done = if (index_step == 1 and s.padding < 0)
                addRows(index[0..n], size, s.allow_negative, s.self_stride[t], self_at[i..].ptr)
            else
                0;
            for (self_at[i + done ..][0 .. n - done], done..) |*x, j| {
                const given = index[j * index_step];
                const value = if (given < 0 and s.allow_negative) given +% size else given;
                if (value < 0 or value >= size) {
                    call.fail(.index_out_of_range, .{ given, size, @intCast(s.start + t) });
                    return false;
                }
                if (value == s.padding) {
                    x.* = skip;
                } else x.* += @as(usize, @intCast(value)) * s.self_stride[t];
            }
        }
        walker.advance(n);
        i += n;
    }
    return true;
}

/// to[i] += index[i] * stride, eight at a time, for as long as all of them are in range.
/// Gives back how many were done.
fn addRows(index: []const i64, size: i64, allow_negative: bool, stride: usize, to: [*]usize) usize {
    const limit = std.math.maxInt(u32);
    if (size > limit or stride > limit) return 0; // the product of halves is the cheap one
    const V = @Vector(8, i64);
    const U = @Vector(8, u64);
    const H = @Vector(8, u32);
    const step: H = @splat(@intCast(stride));
    const wrap: V = @splat(if (allow_negative) size else 0);
    var i: usize = 0;
    while (i + 8 <= index.len) : (i += 8) {
        const given: V = index[i..][0..8].*;
        const value: U = @bitCast(@select(i64, given < @as(V, @splat(0)), given +% wrap, given));
        // A negative number is a large one here.
        if (@reduce(.Or, value >= @as(U, @splat(@intCast(size))))) return i;
        const row: H = @truncate(value);
        to[i..][0..8].* = @as(U, to[i..][0..8].*) + @as(U, row) * @as(U, step);
    }
    return i;
}

/// Whether positions [begin, end) have all their indices in range; false where this is not seen at a glance.
fn allInside(plan: *const Plan, call: *Call, begin: usize, end: usize) bool {
    const s = plan.stateAs(State);
    if (s.at.ndim != 1 or end - begin < 8) return false;
    const U = @Vector(8, u64);
    for (0..s.k) |t| {
        if (s.at.strides[1 + t][0] != 1) return false;
        const index = call.at(i64, s.first_index + t)[begin..end];
        const low: i64 = if (s.allow_negative) -s.size[t] else 0;
        var bad: @Vector(8, bool) = @splat(false);
        var i: usize = 0;
        while (i < index.len) : (i += 8) {
            const x: @Vector(8, i64) = index[@min(i, index.len - 8)..][0..8].*;
            bad = bad | (@as(U, @bitCast(x -% @as(@Vector(8, i64), @splat(low)))) >= @as(U, @splat(@intCast(s.size[t] - low))));
        }
        if (@reduce(.Or, bad)) return false;
    }
    return true;
}

fn Get(comptime T: type) type {
    return struct {
        plan: *const Plan,
        call: *Call,
        /// Positions in a tile; units of the rest that one piece of work takes.
        tile_size: usize,
        units: usize,
        units_a_piece: usize,
        pieces: usize,

        const Job = @This();

        pub fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(State);
            const positions = s.at.count;
            const units = s.units();
            if (positions == 0 or units == 0) return;
            // A piece: up to `tile` positions of up to about get_block elements each.
            const unit_size: usize = @min(s.run.size, s.block);
            const units_a_piece: usize =
                if (s.columns) 1 else @min(units, @max(1, get_block / unit_size));
            const piece_size: usize = units_a_piece * unit_size;
            const tile_size: usize =
                if (s.columns) tile else std.math.clamp(4 * get_block / piece_size, 1, tile);
            const tiles = std.math.divCeil(usize, positions, tile_size) catch unreachable;
            const pieces = std.math.divCeil(usize, units, units_a_piece) catch unreachable;
            const job: Job = .{
                .plan = plan,
                .call = call,
                .tile_size = tile_size,
                .units = units,
                .units_a_piece = units_a_piece,
                .pieces = pieces,
            };
            const grain = @max(1, (1 << 15) / (tile_size * piece_size));
            services.parallelFor(tiles * pieces, grain, job, part);
        }

        /// Positions [begin, end) of a `flat` call.
        fn flat(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(State);
            const index = job.call.at(i64, s.first_index)[0..s.at.count];
            const from = job.call.at(T, s.self_operand);
            const to = job.call.at(T, s.other_operand)[0..s.at.count];
            const step = s.self_stride[0];
            const size = s.size[0];
            const block = 64;
            var i = begin;
            while (i < end) {
                const n = @min(block, end - i);
                if (n == block and inside(index[i..][0..block], size)) {
                    for (to[i..][0..block], index[i..][0..block]) |*y, x| y.* = from[@as(usize, @intCast(x)) * step];
                } else for (to[i..][0..n], index[i..][0..n]) |*y, given| {
                    const x = if (given < 0 and s.allow_negative) given +% size else given;
                    if (x < 0 or x >= size) {
                        return job.call.fail(.index_out_of_range, .{ given, size, @intCast(s.start) });
                    }
                    y.* = from[@as(usize, @intCast(x)) * step];
                }
                i += n;
            }
        }

        /// Whether all indices lie within [0, size).
        fn inside(index: *const [64]i64, size: i64) bool {
            const U = @Vector(8, u64);
            var bad: @Vector(8, bool) = @splat(false);
            inline for (0..8) |v| {
                const x: U = @bitCast(@as(@Vector(8, i64), index[8 * v ..][0..8].*));
                bad = bad | (x >= @as(U, @splat(@intCast(size))));
            }
            return !@reduce(.Or, bad);
        }

        fn part(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(State);
            if (s.flat) {
                return job.flat(begin * job.tile_size, @min(end * job.tile_size, s.at.count));
            }
            var self_at: [tile]usize = undefined;
            var other_at: [tile]usize = undefined;
            var located: usize = std.math.maxInt(usize);
            var n: usize = 0;
            for (begin..end) |w| {
                const at = w / job.pieces;
                if (at != located) {
                    const first = at * job.tile_size;
                    n = @min(job.tile_size, s.at.count - first);
                    if (!locate(job.plan, job.call, first, self_at[0..n], other_at[0..n])) return;
                    located = at;
                }
                const unit = w % job.pieces * job.units_a_piece;
                for (unit..@min(unit + job.units_a_piece, job.units)) |u| {
                    job.unitOf(u, self_at[0..n], other_at[0..n]);
                }
            }
        }

        fn unitOf(
            job: *const Job,
            unit: usize,
            self_at: []const usize,
            other_at: []const usize,
        ) void {
            const s = job.plan.stateAs(State);
            const walker = s.rest.walk(unit / s.blocks());
            const first = unit % s.blocks() * s.block;
            const n: usize = @min(s.block, s.run.size - first);
            const from_step, const to_step = s.run.strides;
            const from = job.call.at(T, s.self_operand) + walker.offset[0] + first * from_step;
            const to = job.call.at(T, s.other_operand) + walker.offset[1] + first * to_step;
            if (s.columns) {
                for (0..n) |i| {
                    const a = from + i * from_step;
                    const b = to + i * to_step;
                    if (s.dense) {
                        for (self_at, b[other_at[0]..][0..self_at.len]) |x, *y| y.* = a[x];
                    } else for (self_at, other_at) |x, y| b[y] = a[x];
                }
            } else if (from_step == 1 and to_step == 1) {
                if (n * @sizeOf(T) < 16) {
                    for (self_at, other_at) |x, y| {
                        for (to[y..][0..n], from[x..][0..n]) |*b, a| b.* = a;
                    }
                } else for (self_at, other_at, 1..) |x, y, next| {
                    // Rows far apart come late: we ask for the next ones ahead.
                    const ahead = from + self_at[@min(next + 3, self_at.len - 1)];
                    inline for (0..4) |line| @prefetch(@as([*]const u8, @ptrCast(ahead)) + 64 * line, .{});
                    copyBytes(@ptrCast(to + y), @ptrCast(from + x), n * @sizeOf(T));
                }
            } else for (self_at, other_at) |x, y| {
                for (0..n) |i| to[y + i * to_step] = from[x + i * from_step];
            }
        }
    };
}

/// Puts values (of type C.Value) into self, or into its staged float32 copy, of type C.T.
fn Put(comptime C: type) type {
    return struct {
        const T = C.T;
        const Value = C.Value;

        plan: *const Plan,
        call: *Call,
        self: [*]T,
        /// Where positions lie, and who writes them; only for the split by owners.
        stored: ?Stored = null,

        const Job = @This();
        const Stored = struct { self_at: []usize, other_at: []usize, owner: []u8 };

        pub fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(State);
            const self = plan.operands[s.self_operand];
            const bytes = self.numel() * self.dtype.size();
            if (s.zeroed and bytes > 0) @memset(call.at(u8, s.self_operand)[0..bytes], 0);
            const positions = s.at.count;
            const rest = s.rest.count * s.run.size;
            if (positions == 0 or rest == 0) return;

            if (simd.has_fma and C.staged and s.chained) return Chains.run(plan, call, @ptrCast(&C.run));
            // Many positions, and rows too short to be cut: threads share the rows.
            const by_owner = !C.staged and positions * rest >= 1 << 15 and s.units() < 8 and rest >= 8;
            var job: Job = .{ .plan = plan, .call = call, .self = undefined };
            var memory: ?[]align(64) usize = null;
            defer if (memory) |m| services.free(@ptrCast(m.ptr));
            if (by_owner) {
                const words = 2 * positions + positions / @sizeOf(usize) + 1;
                memory = services.allocSlice(usize, words) orelse
                    return outOfMemory(call, words * 8);
                const owner: [*]u8 = @ptrCast(memory.?.ptr + 2 * positions);
                job.stored = .{
                    .self_at = memory.?[0..positions],
                    .other_at = memory.?[positions..][0..positions],
                    .owner = owner[0..positions],
                };
            }
            services.parallelFor(positions, if (by_owner) 1 << 14 else 1 << 17, job, checkPart);
            if (call.status.load(.acquire) != 0) return;

            if (C.staged) {
                const half = call.at(u16, s.self_operand);
                const copy = index_space.Staged.init(self, half) orelse
                    return outOfMemory(call, self.numel() * 4);
                defer copy.deinit();
                job.self = copy.values.ptr;
                job.putAll();
                copy.finish();
            } else {
                job.self = call.at(T, s.self_operand);
                job.putAll();
            }
        }

        fn outOfMemory(call: *Call, bytes: usize) void {
            call.fail(.out_of_memory, .{ @intCast(bytes), 0, 0 });
        }

        /// Sees to it that all indices are good before anything is written.
        fn checkPart(job: *const Job, begin: usize, end: usize) void {
            if (C.staged) {} else if (job.stored) |w| {
                const self_at = w.self_at[begin..end];
                if (!locate(job.plan, job.call, begin, self_at, w.other_at[begin..end])) return;
                for (w.owner[begin..end], self_at) |*o, x| {
                    o.* = @intCast((@as(u64, x) *% 0x9e3779b97f4a7c15) >> 56);
                }
                return;
            }
            if (allInside(job.plan, job.call, begin, end)) return;
            var self_at: [tile]usize = undefined;
            var other_at: [tile]usize = undefined;
            var first = begin;
            while (first < end) : (first += tile) {
                const n: usize = @min(tile, end - first);
                if (!locate(job.plan, job.call, first, self_at[0..n], other_at[0..n])) return;
            }
        }

        /// Every element of self belongs to one thread, which goes through the positions in
        /// their order: so the split changes nothing.
        fn putAll(job: *const Job) void {
            const s = job.plan.stateAs(State);
            if (C.flat and s.flat) return job.flat();
            if (!C.staged and job.stored != null) return services.parallelFor(owners, 8, job.*, ownersPart);
            const unit_work: usize = s.at.count * @min(s.run.size, s.block);
            const grain = @max(1, (1 << 14) / unit_work);
            services.parallelFor(s.units(), grain, job.*, unitsPart);
        }

        /// One thread is quicker than several that look which of the places are theirs.
        fn flat(job: *const Job) void {
            const s = job.plan.stateAs(State);
            const index = job.call.at(i64, s.first_index)[0..s.at.count];
            const step = s.self_stride[0];
            const wrap = if (s.allow_negative) s.size[0] else 0;
            for (index, job.call.at(Value, s.other_operand)) |given, y| {
                const at: usize = @intCast(given + (wrap & (given >> 63)));
                C.put(&job.self[at * step], y);
            }
        }

        fn ownersPart(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(State);
            const w = job.stored.?;
            for (0..s.units()) |unit| {
                const n, const to, const from = job.place(unit);
                const to_step, const from_step = s.run.strides;
                for (w.self_at, w.other_at, w.owner) |x, y, owner| {
                    if (owner < begin or owner >= end or x == skip) continue;
                    C.run(n, to + x, to_step, from + y, from_step);
                }
            }
        }

        fn unitsPart(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(State);
            var self_at: [tile]usize = undefined;
            var other_at: [tile]usize = undefined;
            var first: usize = 0;
            while (first < s.at.count) : (first += tile) {
                const n: usize = @min(tile, s.at.count - first);
                if (!locate(job.plan, job.call, first, self_at[0..n], other_at[0..n])) return;
                for (begin..end) |unit| job.putTile(unit, self_at[0..n], other_at[0..n]);
            }
        }

        fn putTile(
            job: *const Job,
            unit: usize,
            self_at: []const usize,
            other_at: []const usize,
        ) void {
            const s = job.plan.stateAs(State);
            const n, const to, const from = job.place(unit);
            const to_step, const from_step = s.run.strides;
            if (s.columns) {
                for (0..n) |i| {
                    const a = from + i * from_step;
                    const b = to + i * to_step;
                    if (s.dense and s.padding < 0) {
                        for (self_at, a[other_at[0]..][0..self_at.len]) |x, y| C.put(&b[x], y);
                    } else for (self_at, other_at) |x, y| if (x != skip) C.put(&b[x], a[y]);
                }
            } else for (self_at, other_at) |x, y| {
                if (x != skip) C.run(n, to + x, to_step, from + y, from_step);
            }
        }

        /// How many elements unit `unit` of the rest has, and where it begins.
        fn place(job: *const Job, unit: usize) struct { usize, [*]T, [*]const Value } {
            const s = job.plan.stateAs(State);
            const walker = s.rest.walk(unit / s.blocks());
            const first = unit % s.blocks() * s.block;
            const to_step, const from_step = s.run.strides;
            return .{
                @min(s.block, s.run.size - first),
                job.self + walker.offset[0] + first * to_step,
                job.call.at(Value, s.other_operand) + walker.offset[1] + first * from_step,
            };
        }
    };
}

test {
    _ = bag;
    _ = @import("index_test.zig");
}
