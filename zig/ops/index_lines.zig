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

/// Runs `Element.span` over all of `lines`. `Element` has `indexed` and `other` pointers and
///     span(n, index, index_step, indexed, indexed_step, other, other_step) ?i64
/// which gives back the first index that is out of range.
/// `ordered`: a line must stay in one piece.
pub fn forEach(
    lines: *const Lines,
    call: *Call,
    index: [*]const i64,
    element: anytype,
    comptime ordered: bool,
) void {
    const Job = Nest(@TypeOf(element), ordered);
    const length_blocks = if (ordered) 1 else blocksOf(lines.length, free_block);
    // What the index chooses among for one block of columns stays in the cache.
    const among: usize = @max(1, @as(usize, @intCast(lines.size)));
    const column_block: usize = std.math.clamp((1 << 16) / among / 16 * 16, 16, 512);
    const column_blocks = blocksOf(lines.column.size, column_block);
    if (lines.length == 0 or lines.column.size == 0) return;
    const job: Job = .{
        .lines = lines,
        .call = call,
        .index = index,
        .element = element,
        .length_blocks = length_blocks,
        .column_block = column_block,
        .column_blocks = column_blocks,
    };
    const unit_length: usize = if (ordered) lines.length else @min(lines.length, free_block);
    const unit_work: usize = @min(lines.column.size, column_block) * unit_length;
    const units = lines.outer.count * column_blocks * length_blocks;
    services.parallelFor(units, @max(1, (1 << 14) / unit_work), job, Job.part);
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

fn Nest(comptime Element: type, comptime ordered: bool) type {
    return struct {
        lines: *const Lines,
        call: *Call,
        index: [*]const i64,
        element: Element,
        length_blocks: usize,
        column_block: usize,
        column_blocks: usize,

        fn part(job: *const @This(), begin: usize, end: usize) void {
            const l = job.lines;
            const column_block = job.column_block;
            for (begin..end) |unit| {
                const w = l.outer.walk(unit / job.length_blocks / job.column_blocks);
                const first_column = unit / job.length_blocks % job.column_blocks * column_block;
                const columns: usize = @min(column_block, l.column.size - first_column);
                const first = if (ordered) 0 else unit % job.length_blocks * free_block;
                const length: usize = if (ordered) l.length else @min(free_block, l.length - first);
                var at: [3]usize = undefined;
                for (&at, w.offset, l.column.strides, l.step, 0..) |*x, o, c, s, tensor| {
                    x.* = o + first_column * c;
                    // Along `dim` the index alone says where in `indexed`.
                    if (tensor != 0) x.* += first * s;
                }
                if (!job.block(at, columns, length)) return;
            }
        }

        fn block(job: *const @This(), at: [3]usize, columns: usize, length: usize) bool {
            const l = job.lines;
            const e = job.element;
            const c = l.column.strides;
            const s = l.step;
            const index = job.index + at[2];
            const indexed = e.indexed + at[0];
            const other = e.other + at[1];
            const bad = if (l.along) for (0..columns) |i| {
                const here = index + i * c[2];
                const to = indexed + i * c[0];
                if (e.span(length, here, s[2], to, 0, other + i * c[1], s[1])) |x| break x;
            } else null else for (0..length) |j| {
                const here = index + j * s[2];
                if (e.span(columns, here, c[2], indexed, c[0], other + j * s[1], c[1])) |x| break x;
            } else null;
            const x = bad orelse return true;
            job.call.fail(.index_out_of_range, .{ x, l.size, @intCast(l.dim) });
            return false;
        }
    };
}
