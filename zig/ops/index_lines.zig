//! The loop nest of gather and scatter: an index for every element, along one dimension.
//!
//! Three tensors go side by side over the index tensor's shape: `indexed` (whose dimension
//! `dim` the index chooses in), `other`, and `index` itself. A line is what differs in `dim`
//! alone: its elements are taken in order, by one thread, where an action depends on order.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const Operand = planning.Operand;
const Space = index_space.Space;

const free_block: usize = 4096;

pub const Lines = struct {
    dim: usize,
    /// Elements to choose among, and elements of the index, along `dim`.
    size: i64,
    length: usize,
    /// Strides along `dim`, and all other dimensions: indexed, other, index.
    step: [3]usize,
    outer: Space(3) = .{},
    column: Space(3).Inner = undefined,
    /// The innermost loop goes along `dim`.
    along: bool = undefined,

    pub fn init(
        indexed: Operand,
        indexed_strides: []const i64,
        other: Operand,
        index: Operand,
        dim: usize,
    ) error{Unsupported}!Lines {
        const n = index.ndim();
        if (index.dtype != .int64 or indexed.ndim() != n or other.ndim() != n) {
            return error.Unsupported;
        }
        // 0-d tensors are lines of one element.
        var l: Lines = if (n == 0) .{
            .dim = 0,
            .size = 1,
            .length = 1,
            .step = @splat(1),
        } else .{
            .dim = dim,
            .size = indexed.shape[dim],
            .length = @intCast(index.shape[dim]),
            .step = .{
                @intCast(indexed_strides[dim]),
                @intCast(other.strides[dim]),
                @intCast(index.strides[dim]),
            },
        };
        for (0..n) |d| {
            if (d == dim) continue;
            const strides = .{ indexed_strides[d], other.strides[d], index.strides[d] };
            try l.outer.add(index.shape[d], strides);
        }
        l.outer.sortBy(1);
        l.outer.coalesce();
        l.column = l.outer.popInner();
        l.along = l.column.size == 1 or l.step[1] < l.column.strides[1];
        return l;
    }
};

/// Runs `element.span` over all of `lines`. An element has `indexed` and `other` pointers and
///     span(n, index, index_step, indexed, indexed_step, other, other_step) ?i64
/// which gives back the first index that is out of range.
/// `ordered`: a line must stay in one piece.
pub fn forEach(
    lines: *const Lines,
    call: *Call,
    index: [*]const i64,
    element: anytype,
    ordered: bool,
) void {
    // The nest is compiled once, for whatever the element is.
    const erased = struct {
        fn span(
            opaque_element: *const anyopaque,
            n: usize,
            from: [*]const i64,
            at: [2]usize,
            steps: *const [3]usize,
        ) ?i64 {
            // A copy: writing through `other` could change what is behind the pointer.
            const e = @as(*const @TypeOf(element), @ptrCast(@alignCast(opaque_element))).*;
            const indexed = e.indexed + at[0];
            const other = e.other + at[1];
            return e.span(n, from, steps[2], indexed, steps[0], other, steps[1]);
        }
    };
    const length_blocks = if (ordered) 1 else blocksOf(lines.length, free_block);
    // What the index chooses among for one block of columns stays in the cache.
    const among: usize = @max(1, @as(usize, @intCast(lines.size)));
    const column_block: usize = std.math.clamp((1 << 16) / among / 16 * 16, 16, 512);
    const column_blocks = blocksOf(lines.column.size, column_block);
    if (lines.length == 0 or lines.column.size == 0) return;
    const job: Nest = .{
        .lines = lines,
        .call = call,
        .index = index,
        .element = &element,
        .span = erased.span,
        .length_block = if (ordered) lines.length else free_block,
        .length_blocks = length_blocks,
        .column_block = column_block,
        .column_blocks = column_blocks,
    };
    const unit_length: usize = @min(lines.length, job.length_block);
    const unit_work: usize = @min(lines.column.size, column_block) * unit_length;
    const units = lines.outer.count * column_blocks * length_blocks;
    services.parallelFor(units, @max(1, (1 << 14) / unit_work), job, Nest.part);
}

/// How many of the indices, eight at a time from the first one on, lie within [0, size).
pub fn inRange(index: []const i64, size: i64) usize {
    const U = @Vector(8, u64);
    var i: usize = 0;
    while (i + 8 <= index.len) : (i += 8) {
        const x: U = @bitCast(@as(@Vector(8, i64), index[i..][0..8].*));
        if (@reduce(.Or, x >= @as(U, @splat(@intCast(size))))) return i;
    }
    return i;
}

fn blocksOf(n: usize, block: usize) usize {
    return std.math.divCeil(usize, n, block) catch unreachable;
}

const Nest = struct {
    lines: *const Lines,
    call: *Call,
    index: [*]const i64,
    element: *const anyopaque,
    span: *const fn (*const anyopaque, usize, [*]const i64, [2]usize, *const [3]usize) ?i64,
    length_block: usize,
    length_blocks: usize,
    column_block: usize,
    column_blocks: usize,

    fn part(job: *const Nest, begin: usize, end: usize) void {
        const l = job.lines;
        for (begin..end) |unit| {
            const w = l.outer.walk(unit / job.length_blocks / job.column_blocks);
            const first_column = unit / job.length_blocks % job.column_blocks * job.column_block;
            const columns: usize = @min(job.column_block, l.column.size - first_column);
            const first = unit % job.length_blocks * job.length_block;
            const length: usize = @min(job.length_block, l.length - first);
            var at: [3]usize = undefined;
            for (&at, w.offset, l.column.strides, l.step, 0..) |*x, o, c, s, tensor| {
                x.* = o + first_column * c;
                // Along `dim` the index alone says where in `indexed`.
                if (tensor != 0) x.* += first * s;
            }
            if (!job.block(at, columns, length)) return;
        }
    }

    fn block(job: *const Nest, at: [3]usize, columns: usize, length: usize) bool {
        const l = job.lines;
        const along_dim: [3]usize = .{ 0, l.step[1], l.step[2] };
        const inner, const outer = if (l.along)
            .{ along_dim, l.column.strides }
        else
            .{ l.column.strides, along_dim };
        const n, const spans = if (l.along) .{ length, columns } else .{ columns, length };
        for (0..spans) |i| {
            const from = job.index + at[2] + i * outer[2];
            const here: [2]usize = .{ at[0] + i * outer[0], at[1] + i * outer[1] };
            const bad = job.span(job.element, n, from, here, &inner) orelse continue;
            job.call.fail(.index_out_of_range, .{ bad, l.size, @intCast(l.dim) });
            return false;
        }
        return true;
    }
};
