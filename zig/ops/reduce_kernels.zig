//! The kernels under reduce.zig: one block of elements to one partial result.
//!
//! A block is either a row (up to `row_block` neighbours in memory) or a column tile (up to
//! `column_block` rows of up to `max_tile` neighbouring columns, one result a column).
//! Partial results are up to three cells a value ("planes"), float ones in f64 whatever the
//! kernel computes in, so that merging blocks costs no accuracy. Within a block the tree is
//! fixed: lanes of the virtual vector, a fixed number of accumulators.
const std = @import("std");
const simd = @import("../simd.zig");
const math = @import("../math.zig");

pub const Cell = extern union { f: f64, i: i64 };

pub const row_block = 4096;
pub const column_block = 128;
pub const max_tile = 512;
pub const planes = 3;
/// Bytes ahead of a row that are asked for: the machine's own guesses end at every page.
const prefetched = 4096;

/// The partial result of one value: `count` cells are used.
pub const State = [planes]Cell;

pub const Op = enum {
    sum,
    /// nan counts as 0
    sum_of_numbers,
    sum_of_squares,
    sum_of_magnitudes,
    prod,
    max,
    min,
    /// planes: mean, sum of squared deviations from it, number of elements
    moments,
    /// planes: maximum, sum of exp(x - maximum)
    logsumexp,
    /// planes: the value, its index
    argmax,
    argmin,
};

/// The kernels of one operation and compute type, with the types erased.
pub const Kernel = struct {
    /// A contiguous block of n >= 1 elements, whose first has the number `first`.
    row: *const fn (block: [*]const u8, n: usize, first: i64, out: *State) void,
    /// `count` <= `together` rows of n >= 1 elements, which begin `stride` elements apart. Planes
    /// as `column` has them. Null: there is nothing better than row after row.
    rows: ?*const fn (
        base: [*]const u8,
        n: usize,
        stride: usize,
        count: usize,
        out: [*]Cell,
    ) void,
    /// How many rows `rows` takes at most.
    together: usize,
    /// Rows at `offsets` (in elements, from `base`) of `width` columns. Reads max(width,
    /// lanes) columns. Plane p of column c goes to out[p * max_tile + c].
    column: *const fn (
        base: [*]const u8,
        offsets: []const usize,
        width: usize,
        first: i64,
        out: [*]Cell,
    ) void,
    /// a = a and then b, for `width` values whose planes lie `stride` apart.
    merge: *const fn (a: [*]Cell, b: [*]const Cell, stride: usize, width: usize) void,
    identity: State,
};

pub fn kernel(comptime T: type, comptime op: Op) Kernel {
    const K = Kernels(T, op);
    return .{
        .row = K.row,
        .rows = if (K.together) K.rows else null,
        .together = simd.lanes(T),
        .column = K.column,
        .merge = K.merge,
        .identity = K.identity,
    };
}

fn Kernels(comptime T: type, comptime op: Op) type {
    const lanes = simd.lanes(T);
    const V = @Vector(lanes, T);
    const float = T != i64;
    const I = if (@sizeOf(T) == 4) i32 else i64;
    const VI = @Vector(lanes, I);
    const arg = op == .argmax or op == .argmin;
    const extremum = float and (arg or op == .max or op == .min or op == .logsumexp);

    return struct {
        /// Whether the ends of many rows are reduced together.
        const together = simd.has_fma and switch (op) {
            .sum => float,
            .sum_of_squares, .prod, .max, .min, .moments => T == f32,
            else => false,
        };

        const start: T = switch (op) {
            .sum, .sum_of_numbers, .sum_of_squares, .sum_of_magnitudes, .moments => 0,
            .prod => 1,
            .max, .argmax, .logsumexp => if (float) -std.math.inf(T) else std.math.minInt(T),
            .min, .argmin => if (float) std.math.inf(T) else std.math.maxInt(T),
        };
        const identity: State = .{
            cell(start),
            if (float and !arg) .{ .f = 0 } else .{ .i = 0 },
            if (float and !arg) .{ .f = 0 } else .{ .i = 0 },
        };

        inline fn cell(x: T) Cell {
            return if (float) .{ .f = x } else .{ .i = x };
        }

        /// The accumulator with one more element in every lane.
        inline fn step(a: V, x: V) V {
            return switch (op) {
                .sum, .moments => if (float) a + x else a +% x,
                .sum_of_numbers => a + @select(T, x == x, x, @as(V, @splat(0))),
                .sum_of_squares => if (float) simd.fma(V, x, x, a) else a +% x *% x,
                .sum_of_magnitudes => if (float) a + @abs(x) else unreachable,
                else => combine(V, a, x),
            };
        }
        inline fn combine(comptime W: type, a: W, b: W) W {
            return switch (op) {
                .prod => if (float) a * b else a *% b,
                .max, .argmax, .logsumexp => simd.maxNan(W, a, b),
                .min, .argmin => simd.minNan(W, a, b),
                else => if (float) a + b else a +% b,
            };
        }

        /// The extremum so far where nan does not count.
        inline fn stepPlain(a: V, x: V) V {
            return simd.pick(V, if (start < 0) x > a else x < a, x, a);
        }
        /// The extrema of a row's lanes, nan if there is one: seen to apart, two vectors at once.
        fn extremaOfRow(p: [*]const T, n: usize) V {
            var acc: [4]V = @splat(@splat(start));
            var nans: [2]@Vector(lanes, bool) = @splat(@splat(false));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) {
                ahead(4, p + i);
                var x: [4]V = undefined;
                inline for (&x, 0..) |*v, k| v.* = simd.load(T, p + i + k * lanes);
                inline for (&acc, x) |*a, v| a.* = stepPlain(a.*, v);
                inline for (&nans, 0..) |*nan, k|
                    nan.* = nan.* | ((x[2 * k] != x[2 * k]) | (x[2 * k + 1] != x[2 * k + 1]));
            }
            while (i < n) : (i += lanes) {
                ahead(1, p + i);
                const x = loadOrPart(p + i, n - i, start);
                acc[0] = stepPlain(acc[0], x);
                nans[0] = nans[0] | (x != x);
            }
            const all = stepPlain(stepPlain(acc[0], acc[1]), stepPlain(acc[2], acc[3]));
            return @select(T, nans[0] | nans[1], @as(V, @splat(std.math.nan(T))), all);
        }

        /// Asks for the vectors that a row, or what follows it, reads a little later.
        inline fn ahead(comptime vectors: comptime_int, p: [*]const T) void {
            const far = @as([*]const u8, @ptrCast(p)) + prefetched;
            inline for (0..vectors) |k| @prefetch(far + simd.vector_bytes * k, .{});
        }

        /// A row's total in every lane.
        inline fn lanesOfRow(p: [*]const T, n: usize) V {
            if (extremum) return extremaOfRow(p, n);
            var acc: [4]V = @splat(@splat(start));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) {
                ahead(4, p + i);
                inline for (0..4) |k| acc[k] = step(acc[k], simd.load(T, p + i + k * lanes));
            }
            while (i + lanes <= n) : (i += lanes) {
                ahead(1, p + i);
                acc[0] = step(acc[0], simd.load(T, p + i));
            }
            // `start` changes no accumulator, under any of the steps.
            if (i < n) {
                ahead(1, p + i);
                acc[1] = step(acc[1], simd.loadPart(T, p + i, n - i, start));
            }
            const low = combine(V, acc[0], acc[1]);
            const high = combine(V, acc[2], acc[3]);
            return combine(V, low, high);
        }
        fn reduceRow(p: [*]const T, n: usize) T {
            return simd.tree(lanesOfRow(p, n), combine);
        }

        fn rows(base: [*]const u8, n: usize, stride: usize, count: usize, out: [*]Cell) void {
            const p: [*]const T = @ptrCast(@alignCast(base));
            var totals: [lanes]V = @splat(@splat(0));
            for (totals[0..count], 0..) |*total, k| total.* = lanesOfRow(p + k * stride, n);
            const total = simd.trees(T, &totals, combine);
            if (op != .moments) return writePlane(out, 0, total);
            const each: f64 = @floatFromInt(n);
            const means = total / @as(V, @splat(@floatCast(each)));
            const mean: [lanes]T = means;
            var seconds: [lanes]V = @splat(@splat(0));
            for (0..count) |k| totals[k], seconds[k] = deviations(p + k * stride, n, mean[k]);
            const firsts = simd.trees(T, &totals, combine);
            setMoments(lanes, out, max_tile, means, firsts, simd.trees(T, &seconds, combine), each);
        }

        inline fn loadOrPart(p: [*]const T, left: usize, fill: T) V {
            return if (left >= lanes) simd.load(T, p) else simd.loadPart(T, p, left, fill);
        }

        fn row(block: [*]const u8, n: usize, first: i64, out: *State) void {
            const p: [*]const T = @ptrCast(@alignCast(block));
            const total = reduceRow(p, n);
            switch (op) {
                .moments => rowMoments(p, n, total, out),
                .logsumexp => rowExponentials(p, n, total, out),
                .argmax, .argmin => {
                    const k = find(p, n, total);
                    out[0] = cell(p[k]);
                    out[1] = .{ .i = first + @as(i64, @intCast(k)) };
                },
                else => out[0] = cell(total),
            }
        }

        /// The first element that is x, or is nan if x is. There is one.
        fn find(p: [*]const T, n: usize, x: T) usize {
            const wanted: V = @splat(x);
            const nan = x != x;
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) {
                const v = simd.load(T, p + i);
                const hit = if (nan) v != v else v == wanted;
                if (@reduce(.Or, hit)) break;
            }
            while (i < n) : (i += 1) if (p[i] == x or (nan and p[i] != p[i])) return i;
            unreachable;
        }

        /// Second pass over a block in the cache: deviations from the rounded mean, whose own
        /// sum corrects for that rounding.
        fn rowMoments(p: [*]const T, n: usize, total: T, out: *State) void {
            const count: f64 = @floatFromInt(n);
            const mean: T = @floatCast(@as(f64, total) / count);
            const first, const second = deviations(p, n, mean);
            const d = .{simd.reduceAdd(first)};
            setMoments(1, out, 1, .{mean}, d, .{simd.reduceAdd(second)}, count);
        }
        /// The sums of deviations and of their squares, in every lane.
        fn deviations(p: [*]const T, n: usize, mean: T) struct { V, V } {
            const m: V = @splat(mean);
            var first: [2]V = @splat(@splat(0));
            var second: [2]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 2 * lanes <= n) : (i += 2 * lanes) inline for (0..2) |k| {
                const d = simd.load(T, p + i + k * lanes) - m;
                first[k] += d;
                second[k] = simd.fma(V, d, d, second[k]);
            };
            while (i < n) : (i += lanes) {
                const x = loadOrPart(p + i, n - i, mean);
                const d = x - m;
                first[0] += d;
                second[0] = simd.fma(V, d, d, second[0]);
            }
            return .{ first[0] + first[1], second[0] + second[1] };
        }
        /// The planes of n values, `apart` from one another.
        inline fn setMoments(
            comptime n: comptime_int,
            out: [*]Cell,
            apart: usize,
            mean: @Vector(n, T),
            first: @Vector(n, T),
            second: @Vector(n, T),
            count: f64,
        ) void {
            const W = @Vector(n, f64);
            const to: [*]f64 = @ptrCast(out);
            const d = @as(W, first) / @as(W, @splat(count));
            to[0..n].* = @as(W, mean) + d;
            // nan stays (@max would drop it); rounding must not make a variance negative.
            const m2 = @as(W, second) - d * @as(W, first);
            const zero: W = @splat(0);
            (to + apart)[0..n].* = @select(f64, m2 < zero, zero, m2);
            (to + 2 * apart)[0..n].* = @as(W, @splat(count));
        }

        /// What exp's argument is shifted by: the maximum, unless that is infinite (inf - inf).
        inline fn shift(comptime W: type, maximum: W) W {
            const limit: W = @splat(std.math.inf(T));
            return @select(T, @abs(maximum) == limit, @as(W, @splat(0)), maximum);
        }
        fn rowExponentials(p: [*]const T, n: usize, maximum: T, out: *State) void {
            const m = shift(V, @splat(maximum));
            var acc: V = @splat(0);
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) acc += math.exp(V, simd.load(T, p + i) - m);
            // Not of -inf: what underflows takes several times as long.
            if (i < n) {
                const e = math.exp(V, simd.loadPart(T, p + i, n - i, m[0]) - m);
                acc += @select(T, simd.firstLanes(T, n - i), e, @as(V, @splat(0)));
            }
            out[0].f = maximum;
            out[1].f = if (maximum == std.math.inf(T)) 1 else simd.reduceAdd(acc);
        }

        // A tile is cut into vectors of columns. The last vector ends with the last column
        // and so may overlap the one before: those columns are computed twice, alike.

        inline fn columnOf(vector: usize, width: usize) usize {
            return if (width < lanes) 0 else @min(vector * lanes, width - lanes);
        }
        const Accumulators = [max_tile / lanes]V;

        fn column(
            base: [*]const u8,
            offsets: []const usize,
            width: usize,
            first: i64,
            out: [*]Cell,
        ) void {
            const p: [*]const T = @ptrCast(@alignCast(base));
            const vectors = (width + lanes - 1) / lanes;
            if (arg) return columnArg(p, offsets, width, first, out);
            var acc: Accumulators = undefined;
            columnTotals(p, offsets, width, acc[0..vectors]);
            switch (op) {
                .moments => return columnMoments(p, offsets, width, acc[0..vectors], out),
                .logsumexp => return columnExponentials(p, offsets, width, acc[0..vectors], out),
                else => {},
            }
            for (acc[0..vectors], 0..) |a, k| writePlane(out, columnOf(k, width), a);
        }
        inline fn writePlane(out: [*]Cell, at: usize, v: V) void {
            const wide: @Vector(lanes, if (float) f64 else i64) = v;
            @as([*]if (float) f64 else i64, @ptrCast(out + at))[0..lanes].* = wide;
        }

        fn columnTotals(p: [*]const T, offsets: []const usize, width: usize, acc: []V) void {
            @memset(acc, @splat(start));
            var r: usize = 0;
            while (r + 8 <= offsets.len) : (r += 8) {
                const o = offsets[r..][0..8];
                // The eight rows after these, or these again
                const later = offsets[if (r + 16 <= offsets.len) r + 8 else r..][0..8];
                for (acc, 0..) |*a, k| {
                    const q = p + columnOf(k, width);
                    inline for (0..8) |i| @prefetch(q + later[i], .{});
                    a.* = step8(a.*, q, o);
                }
            }
            for (offsets[r..]) |o| {
                for (acc, 0..) |*a, k| a.* = step(a.*, simd.load(T, p + o + columnOf(k, width)));
            }
        }

        /// The accumulator with eight more elements in every lane.
        inline fn step8(a: V, q: [*]const T, o: *const [8]usize) V {
            var v = a;
            if (!extremum) {
                inline for (0..8) |i| v = step(v, simd.load(T, q + o[i]));
                return v;
            }
            var nans: @Vector(lanes, bool) = @splat(false);
            inline for (0..4) |i| {
                const x = simd.load(T, q + o[2 * i]);
                const y = simd.load(T, q + o[2 * i + 1]);
                v = stepPlain(stepPlain(v, x), y);
                nans = nans | ((x != x) | (y != y));
            }
            return @select(T, nans, @as(V, @splat(std.math.nan(T))), v);
        }

        fn columnArg(
            p: [*]const T,
            offsets: []const usize,
            width: usize,
            first: i64,
            out: [*]Cell,
        ) void {
            const vectors = (width + lanes - 1) / lanes;
            var k: usize = 0;
            const pair = if (simd.has_fma) 2 else 1;
            // Side by side, as each waits for its comparisons; a last one alone is done twice.
            while (k < vectors) : (k += pair) {
                var at: [pair]usize = undefined;
                for (&at, k..) |*c, i| c.* = columnOf(@min(i, vectors - 1), width);
                var best: [pair]V = undefined;
                var index: [pair]VI = @splat(@splat(0));
                for (&best, at) |*b, c| b.* = simd.load(T, p + offsets[0] + c);
                for (offsets[1..], 1..) |o, r| inline for (&best, &index, at) |*b, *i, c| {
                    const x = simd.load(T, p + o + c);
                    // Not "worse or equal", so that a nan is better; nothing is better than one.
                    var better = if (op == .argmax) x <= b.* else x >= b.*;
                    better = ~better & (b.* == b.*);
                    b.* = @select(T, better, x, b.*);
                    i.* = @select(I, better, @as(VI, @splat(@intCast(r))), i.*);
                };
                inline for (best, index, at) |b, i, c| {
                    writePlane(out, c, b);
                    const wide: @Vector(lanes, i64) = i;
                    @as([*]i64, @ptrCast(out + max_tile + c))[0..lanes].* =
                        wide + @as(@Vector(lanes, i64), @splat(first));
                }
            }
        }

        fn columnMoments(
            p: [*]const T,
            offsets: []const usize,
            width: usize,
            totals: []const V,
            out: [*]Cell,
        ) void {
            const count: f64 = @floatFromInt(offsets.len);
            for (totals, 0..) |total, k| {
                const c = columnOf(k, width);
                const mean = total / @as(V, @splat(@floatCast(count)));
                var first: V = @splat(0);
                var second: V = @splat(0);
                for (offsets) |o| {
                    const d = simd.load(T, p + o + c) - mean;
                    first += d;
                    second = simd.fma(V, d, d, second);
                }
                setMoments(lanes, out + c, max_tile, mean, first, second, count);
            }
        }

        fn columnExponentials(
            p: [*]const T,
            offsets: []const usize,
            width: usize,
            maxima: []const V,
            out: [*]Cell,
        ) void {
            for (maxima, 0..) |maximum, k| {
                const c = columnOf(k, width);
                const m = shift(V, maximum);
                var acc: V = @splat(0);
                for (offsets) |o| acc += math.exp(V, simd.load(T, p + o + c) - m);
                const infinite = maximum == @as(V, @splat(std.math.inf(T)));
                writePlane(out, c, maximum);
                writePlane(out + max_tile, c, @select(T, infinite, @as(V, @splat(1)), acc));
            }
        }

        fn merge(a: [*]Cell, b: [*]const Cell, stride: usize, width: usize) void {
            var k: usize = 0;
            const alone = op != .moments and op != .logsumexp;
            if (alone and simd.has_fma) while (k + 8 <= width) : (k += 8) mergeCells(8, a + k, b + k, stride);
            while (k < width) : (k += 1) mergeOne(a + k, b + k, stride);
        }
        inline fn mergeOne(a: [*]Cell, b: [*]const Cell, stride: usize) void {
            switch (op) {
                .moments => mergeMoments(a, b, stride),
                .logsumexp => mergeExponentials(a, b, stride),
                else => mergeCells(1, a, b, stride),
            }
        }
        inline fn mergeCells(comptime n: comptime_int, a: [*]Cell, b: [*]const Cell, stride: usize) void {
            const C = if (float) f64 else i64;
            const to: [*]C = @ptrCast(a);
            const x: @Vector(n, C) = to[0..n].*;
            const y: @Vector(n, C) = @as([*]const C, @ptrCast(b))[0..n].*;
            if (!arg) {
                to[0..n].* = combine(@Vector(n, C), x, y);
                return;
            }
            const index: [*]i64 = @ptrCast(a + stride);
            const i: @Vector(n, i64) = index[0..n].*;
            const j: @Vector(n, i64) = @as([*]const i64, @ptrCast(b + stride))[0..n].*;
            // nan is better than any number; of equals the first is taken.
            const equal = (x == y) | ((x != x) & (y != y));
            const better = (if (op == .argmax) y > x else y < x) | ((y != y) & (x == x)) | (equal & (j < i));
            to[0..n].* = @select(C, better, y, x);
            index[0..n].* = @select(i64, better, j, i);
        }
        /// Chan, Golub, LeVeque 1979.
        inline fn mergeMoments(a: [*]Cell, b: [*]const Cell, stride: usize) void {
            const na = a[2 * stride].f;
            const nb = b[2 * stride].f;
            const n = na + nb;
            const d = b[0].f - a[0].f;
            const part = nb / n;
            a[stride].f = a[stride].f + b[stride].f + d * d * na * part;
            a[0].f = a[0].f + d * part;
            a[2 * stride].f = n;
        }
        inline fn mergeExponentials(a: [*]Cell, b: [*]const Cell, stride: usize) void {
            const W = @Vector(2, f64);
            const m = simd.maxNan(f64, a[0].f, b[0].f);
            const sums: W = .{ a[stride].f, b[stride].f };
            const x: W = .{ a[0].f, b[0].f };
            a[0].f = m;
            if (@abs(m) == std.math.inf(f64)) {
                a[stride].f = if (m > 0) 1 else 0;
                return;
            }
            const scaled = math.exp(W, x - @as(W, @splat(m))) * sums;
            a[stride].f = scaled[0] + scaled[1];
        }
    };
}
