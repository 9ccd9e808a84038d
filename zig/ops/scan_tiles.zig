//! Many lines that are scanned side by side: tiles of (lines' group, place on the line, column),
//! converted into a buffer and back, or read and written where they lie.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const stage = @import("reduce_stage.zig");
const along = @import("along.zig");
const Plan = plan.Plan;
const Call = plan.Call;

/// Elements of a tile: it stays in the nearest cache.
const room = 2048;
/// Columns that a tile has at most.
const widest = 128;
/// Lines that are walked together.
const lanes = if (simd.has_fma) 4 else 1;

pub const Tiles = struct {
    /// The lines are groups (all but `across`) of columns, which lie closest together (`across`).
    geometry: along.Along,
    outputs: usize,
    reverse: bool,
    /// cummin is cummax of what has these bits turned around.
    flip: u64,
    product: bool,
    /// Nothing is converted, and all operands lie alike.
    direct: bool,
    /// The kernel: `scan` of one.
    scan: *const fn (tile: *Tile) void,
    /// A tile's columns, places on the line, and groups.
    columns: usize,
    rows: usize,
    together: usize,

    /// Null: there are too few lines.
    pub fn init(operands: []const plan.Operand, outputs: usize, from: *const along.Along, reverse: bool, flip: u64, product: bool, direct: bool, scan: *const fn (tile: *Tile) void) ?Tiles {
        var a = from.*;
        for (a.outer[0..a.outer_count]) |*x| {
            if (x.stride[0] < a.across.stride[0]) std.mem.swap(along.Axis, x, &a.across);
        }
        if (a.step[0] < a.across.stride[0]) {
            // Lines that are runs: each is a group.
            a.outer[a.outer_count] = a.across;
            a.outer_count += 1;
            a.across = .{ .size = 1, .stride = @splat(0) };
        }
        if (lanes > 1 and a.across.size == 1 and (a.outer_count == 0 or a.outer[a.outer_count - 1].size < lanes)) return null;
        var alike = true;
        for (1..operands.len) |k| {
            if (a.step[k] != a.step[0] or a.across.stride[k] != a.across.stride[0]) alike = false;
            for (a.outer[0..a.outer_count]) |x| if (x.stride[k] != x.stride[0]) {
                alike = false;
            };
        }
        const is_direct = direct and alike;
        const columns = @min(a.across.size, widest);
        const whole = columns == a.across.size;
        const few: usize = if (!whole or columns >= 16) 1 else if (columns > 1) 4 else 8;
        const together = if (is_direct) a.lines else if (whole) @max(few, room / (a.n * columns)) else 1;
        return .{
            .geometry = a,
            .outputs = outputs,
            .reverse = reverse,
            .flip = flip,
            .product = product,
            .direct = is_direct,
            .scan = scan,
            .columns = columns,
            .rows = if (is_direct) a.n else @min(a.n, room / (together * columns)),
            .together = together,
        };
    }
};

const Job = struct { t: *const Tiles, plan: *const Plan, call: *Call };

/// One tile, of what is computed with: `count` groups, `apart` from one another, of rows `step` apart.
pub const Tile = struct {
    x: [*]const u8,
    y: [*]u8,
    /// x and y are float32, or int32, after all.
    narrow: bool,
    indices: [*]i64,
    count: usize,
    apart: usize,
    /// Between those that are walked together.
    between: usize,
    rows: usize,
    step: usize,
    width: usize,
    first: usize,
    reverse: bool,
    flip: u64,
    product: bool,
    /// A line's elements. Where the tile has fewer: what those so far come to.
    whole: usize,
    totals: [*]u64,
    best: [*]i64,
    resumed: bool,
};

pub fn run(p: *const Plan, call: *Call) void {
    const t = p.stateAs(Tiles);
    const a = &t.geometry;
    const job: Job = .{ .t = t, .plan = p, .call = call };
    const tiles = std.math.divCeil(usize, a.across.size, t.columns) catch unreachable;
    const groups = a.lines / a.across.size;
    services.parallelFor(groups * tiles, @max(1, (1 << 14) / (a.n * t.columns)), job, piece);
}

fn piece(job: *const Job, begin: usize, end: usize) void {
    const t = job.t;
    const a = &t.geometry;
    const k = t.outputs;
    const call = job.call;
    var values: [room]u64 align(64) = undefined;
    var results: [room]u64 align(64) = undefined;
    var indices: [room]i64 align(64) = undefined;
    var totals: [widest]u64 = undefined;
    var best: [widest]i64 = undefined;
    const tiles = std.math.divCeil(usize, a.across.size, t.columns) catch unreachable;
    const outer = if (a.outer_count > 0) a.outer[a.outer_count - 1] else a.across;
    var unit = begin;
    while (unit < end) {
        var group = unit / tiles;
        // The last tile is as wide as the others.
        const column = @min(unit % tiles * t.columns, a.across.size - t.columns);
        var count: usize = 1;
        if (tiles == 1 and a.outer_count > 0) count = @min(end - unit, t.together, outer.size - group % outer.size);
        unit += count;
        // Lanes are groups: there are enough, if some are computed twice.
        if (t.columns < lanes and count < lanes and outer.size >= lanes and a.outer_count > 0) {
            count = lanes;
            group -= group % outer.size - @min(group % outer.size, outer.size - count);
        }
        const o = a.at(group, column);
        var tile: Tile = .{
            .x = @ptrCast(&values),
            .y = @ptrCast(&results),
            .narrow = false,
            .indices = &indices,
            .count = count,
            .apart = outer.stride[0],
            .between = undefined,
            .rows = a.n,
            .step = a.step[0],
            .width = t.columns,
            .first = 0,
            .reverse = t.reverse,
            .flip = t.flip,
            .product = t.product,
            .whole = a.n,
            .totals = &totals,
            .best = &best,
            .resumed = false,
        };
        if (t.direct) {
            const size = job.plan.operands[k].dtype.size();
            tile.x = call.ptr[k].? + o[k] * size;
            tile.y = call.ptr[0].? + o[0] * size;
            tile.narrow = size == 4;
            if (k == 2) tile.indices = call.at(i64, 1) + o[1];
            t.scan(&tile);
            continue;
        }
        tile.step = tile.width;
        var done: usize = 0;
        while (done < a.n) : (done += tile.rows) {
            tile.resumed = done > 0;
            tile.rows = @min(t.rows, a.n - done);
            tile.first = if (t.reverse) a.n - done - tile.rows else done;
            tile.apart = tile.rows * tile.width;
            move(job, k, &tile, outer, o[k], &values);
            t.scan(&tile);
            move(job, 0, &tile, outer, o[0], &results);
            if (k == 2) move(job, 1, &tile, outer, o[1], @ptrCast(&indices));
        }
    }
}

/// Between the buffer and operand k, whose groups begin at `o`: into the buffer if that is the input.
fn move(job: *const Job, k: usize, tile: *const Tile, outer: along.Axis, o: usize, buffer: [*]u64) void {
    const a = &job.t.geometry;
    const dtype = job.plan.operands[k].dtype;
    const memory = job.call.ptr[k].? + (o + tile.first * a.step[k]) * dtype.size();
    const alone = a.across.size == 1;
    const stride = if (alone) a.step[k] else a.across.stride[k];
    // A group's rows are one run where there is nothing between them.
    const one_run = alone or a.step[k] == tile.width * stride;
    var groups = tile.count;
    var runs = tile.rows;
    var step = a.step[k];
    var length = tile.width;
    if (one_run) {
        groups = 1;
        runs = tile.count;
        step = outer.stride[k];
        length = tile.apart;
        if (step == length * stride) {
            runs = 1;
            length *= tile.count;
        }
    }
    for (0..groups) |g| {
        const at = memory + g * outer.stride[k] * dtype.size();
        const b = buffer + g * tile.apart;
        const float = job.plan.operands[0].dtype.isFloat() and (k != 1 or job.t.outputs == 1);
        switch (float) {
            inline else => |f| {
                const T = if (f) f64 else i64;
                if (k == job.t.outputs)
                    stage.loadTile(T, dtype, at, runs, step, length, stride, @ptrCast(b), length)
                else
                    stage.storeTile(T, dtype, @ptrCast(b), length, runs, length, at, step, stride);
            },
        }
    }
}

/// The sums and products of T, or its extrema.
pub fn Kernel(comptime T: type, comptime arg: bool) type {
    const n = lanes;
    const V = @Vector(n, T);
    const VI = @Vector(n, i64);
    const float = T == f64;
    const start = if (!arg) 0 else if (float) -std.math.inf(T) else std.math.minInt(T);
    const Narrow = if (float) f32 else i32;

    return struct {
        /// Lines that are walked together, each lane one of them.
        const Strand = struct { from: usize, total: V, best: VI };

        pub fn scan(tile: *Tile) void {
            if (n == 1 or tile.width > 1) return together(tile);
            switch (tile.narrow) {
                inline else => |narrow| switch (tile.product) {
                    inline else => |product| if (!(arg and product) and (arg or float or !narrow))
                        Walk(if (narrow) Narrow else T, product).runs(tile),
                },
            }
        }

        /// All lines of a tile, n at a time: those of a few groups and columns. The last begin so
        /// early that they are as many: what they share with those before is computed twice, alike.
        fn together(tile: *Tile) void {
            const columns: usize = @min(n, if (tile.width == 3) 2 else tile.width);
            // Of one group, the lanes are the same columns several times.
            const groups: usize = @min(n / columns, tile.count);
            tile.between = if (groups * columns < n) 0 else tile.apart;
            var number: usize = 0;
            var group: usize = 0;
            var column: usize = 0;
            while (group < tile.count) : (number += 2 * n) {
                // Two at once, as each waits for its sums; the first again where there is one.
                var strands: [2]Strand = undefined;
                for (&strands, 0..) |*s, q| {
                    if (group >= tile.count) {
                        s.* = strands[0];
                        continue;
                    }
                    begin(s, tile, @min(group, tile.count - groups) * tile.apart + @min(column, tile.width - columns), number + q * n);
                    column += columns;
                    if (column < tile.width) continue;
                    column = 0;
                    group += groups;
                }
                switch (tile.narrow) {
                    inline else => |narrow| switch (tile.product) {
                        inline else => |product| if (!(arg and product) and (arg or float or !narrow))
                            Walk(if (narrow) Narrow else T, product).walk(tile, &strands, columns),
                    },
                }
                for (&strands, 0..) |*s, q| keep(tile, s, number + q * n);
            }
        }
        inline fn begin(s: *Strand, tile: *const Tile, from: usize, number: usize) void {
            s.from = from;
            s.total = @splat(if (tile.product) 1 else start);
            s.best = @splat(@intCast(if (tile.reverse) tile.first + tile.rows - 1 else tile.first));
            if (tile.resumed) {
                s.total = @as([*]T, @ptrCast(tile.totals))[number..][0..n].*;
                if (arg) s.best = tile.best[number..][0..n].*;
            }
        }
        inline fn keep(tile: *const Tile, s: *const Strand, number: usize) void {
            if (tile.rows == tile.whole) return;
            @as([*]T, @ptrCast(tile.totals))[number..][0..n].* = s.total;
            if (arg) tile.best[number..][0..n].* = s.best;
        }

        /// Of x and y in memory as E.
        fn Walk(comptime E: type, comptime product: bool) type {
            const VE = @Vector(n, E);
            return struct {
                /// With one more element of each line: what comes of it.
                inline fn next(s: *Strand, flip: u64, e: VE, i: VI) VE {
                    const v: V = e;
                    if (arg) {
                        const x = flipped(v, flip);
                        const better = (x != x) | (x >= s.total);
                        s.total = @select(T, better, x, s.total);
                        s.best = @select(i64, better, i, s.best);
                        return narrowed(flipped(s.total, flip));
                    }
                    s.total = added(s.total, v);
                    return narrowed(s.total);
                }
                inline fn added(total: V, v: V) V {
                    return if (product) (if (float) total * v else total *% v) else if (float) total + v else total +% v;
                }
                inline fn flipped(x: V, flip: u64) V {
                    const bits: @Vector(n, u64) = @bitCast(x);
                    return @bitCast(bits ^ @as(@Vector(n, u64), @splat(flip)));
                }
                inline fn narrowed(x: V) VE {
                    return if (E == T) x else if (float) @floatCast(x) else @truncate(x);
                }

                fn walk(tile: *const Tile, strands: *[2]Strand, columns: usize) void {
                    const x: [*]const E = @ptrCast(@alignCast(tile.x));
                    const y: [*]E = @ptrCast(@alignCast(tile.y));
                    if (columns == n) return steps(n, tile, strands, x, y);
                    if (n > 1) steps(2, tile, strands, x, y);
                }

                /// Place after place: of `columns` columns, and as many groups as make n lines.
                inline fn steps(comptime columns: comptime_int, tile: *const Tile, strands: *[2]Strand, x: [*]const E, y: [*]E) void {
                    var both = strands.*;
                    const apart = tile.between;
                    for (0..tile.rows) |done| {
                        const i = if (tile.reverse) tile.rows - 1 - done else done;
                        const here: VI = @splat(@intCast(tile.first + i));
                        inline for (&both) |*s| {
                            const at = s.from + i * tile.step;
                            write(E, columns, y + at, apart, next(s, tile.flip, read(E, columns, x + at, apart), here));
                            if (arg) write(i64, columns, tile.indices + at, apart, s.best);
                        }
                    }
                    strands.* = both;
                }

                /// Lines that are runs, n at a time.
                fn runs(tile: *const Tile) void {
                    const x: [*]const E = @ptrCast(@alignCast(tile.x));
                    const y: [*]E = @ptrCast(@alignCast(tile.y));
                    const short = !arg and (tile.rows == 2 or tile.rows == 3) and tile.apart == tile.rows and tile.step == 1;
                    var group: usize = 0;
                    while (group < tile.count) {
                        var s: Strand = undefined;
                        begin(&s, tile, @min(group, tile.count - n) * tile.apart, group);
                        squares(tile, &s, x, y);
                        keep(tile, &s, group);
                        group += n;
                        if (short and group == n) group = windows(tile, group, x, y);
                    }
                }

                /// Lines of two or three next to one another, from `group` on but for the last few, in vectors:
                /// of each element those before it, neutral ones where they are of another line. Returns where it ends.
                inline fn windows(tile: *const Tile, group: usize, x: [*]const E, y: [*]E) usize {
                    const rows = tile.rows;
                    const period = 3 * n;
                    var has: [2][period]bool = undefined;
                    for (0..period) |k| {
                        const before = if (tile.reverse) rows - 1 - k % rows else k % rows;
                        for (&has, 0..) |*h, d| h[k] = before > d;
                    }
                    const ahead = if (tile.reverse) 1 else @as(usize, 0) -% 1;
                    const neutral: V = @splat(if (product) 1 else start);
                    var i = group * rows;
                    while (i + period + rows <= tile.count * rows) : (i += period) {
                        inline for (0..3) |k| {
                            const at = i + k * n;
                            var total = neutral;
                            inline for (.{ 1, 0 }) |d| {
                                const v: V = @as(VE, x[at +% (d + 1) *% ahead ..][0..n].*);
                                total = added(total, @select(T, @as(@Vector(n, bool), has[d][k * n ..][0..n].*), v, neutral));
                            }
                            y[at..][0..n].* = narrowed(added(total, @as(VE, x[at..][0..n].*)));
                        }
                    }
                    return i / rows;
                }

                /// Squares of lines that are runs are turned.
                inline fn squares(tile: *const Tile, strand: *Strand, x: [*]const E, y: [*]E) void {
                    var s = strand.*;
                    const apart = tile.apart;
                    const indices = tile.indices;
                    var done: usize = 0;
                    while (done < tile.rows) {
                        const m: usize = if (tile.rows - done < n) 1 else n;
                        const i = if (tile.reverse) tile.rows - done - m else done;
                        const here: VI = @splat(@intCast(tile.first + i));
                        const at = s.from + i;
                        done += m;
                        if (m == 1) {
                            write(E, 1, y + at, apart, next(&s, tile.flip, read(E, 1, x + at, apart), here));
                            if (arg) write(i64, 1, indices + at, apart, s.best);
                            continue;
                        }
                        var square: [n]VE = undefined;
                        var best: [n]VI = undefined;
                        inline for (&square, 0..) |*v, k| v.* = x[at + k * apart ..][0..n].*;
                        transpose(E, &square);
                        if (tile.reverse) turnAround(VE, &square);
                        inline for (&square, &best, 0..) |*v, *b, k| {
                            const j: i64 = if (tile.reverse) n - 1 - k else k;
                            v.* = next(&s, tile.flip, v.*, here + @as(VI, @splat(j)));
                            b.* = s.best;
                        }
                        if (tile.reverse) turnAround(VE, &square);
                        transpose(E, &square);
                        inline for (square, 0..) |v, k| y[at + k * apart ..][0..n].* = v;
                        if (arg) {
                            if (tile.reverse) turnAround(VI, &best);
                            transpose(i64, &best);
                            inline for (best, 0..) |v, k| indices[at + k * apart ..][0..n].* = v;
                        }
                    }
                    strand.* = s;
                }
            };
        }
    };
}

/// `columns` neighbours of each of several groups.
inline fn read(comptime E: type, comptime columns: comptime_int, x: [*]const E, apart: usize) @Vector(lanes, E) {
    if (columns == lanes) return x[0..lanes].*;
    var v: @Vector(lanes, E) = undefined;
    inline for (0..lanes) |k| v[k] = x[k % columns + k / columns * apart];
    return v;
}
inline fn write(comptime E: type, comptime columns: comptime_int, y: [*]E, apart: usize, v: @Vector(lanes, E)) void {
    if (columns == lanes) {
        y[0..lanes].* = v;
    } else inline for (0..lanes) |k| {
        y[k % columns + k / columns * apart] = v[k];
    }
}

/// The last becomes the first.
inline fn turnAround(comptime V: type, x: *[4]V) void {
    const from = x.*;
    x.* = .{ from[3], from[2], from[1], from[0] };
}
/// Four rows of four become columns.
inline fn transpose(comptime T: type, rows: *[4]@Vector(4, T)) void {
    const wide = @sizeOf(T) == 8;
    // Pairs of rows that are next to one another, or not: what is one instruction.
    const second: usize = if (wide) 1 else 2;
    const low = if (wide) [4]i32{ 0, -1, 2, -3 } else [4]i32{ 0, -1, 1, -2 };
    const high = if (wide) [4]i32{ 1, -2, 3, -4 } else [4]i32{ 2, -3, 3, -4 };
    const a = @shuffle(T, rows[0], rows[second], low);
    const b = @shuffle(T, rows[0], rows[second], high);
    const c = @shuffle(T, rows[3 - second], rows[3], low);
    const d = @shuffle(T, rows[3 - second], rows[3], high);
    if (wide) {
        const left = [4]i32{ 0, 1, -1, -2 };
        const right = [4]i32{ 2, 3, -3, -4 };
        rows.* = .{ @shuffle(T, a, c, left), @shuffle(T, b, d, left), @shuffle(T, a, c, right), @shuffle(T, b, d, right) };
    } else rows.* = .{ @shuffle(T, a, c, low), @shuffle(T, a, c, high), @shuffle(T, b, d, low), @shuffle(T, b, d, high) };
}
