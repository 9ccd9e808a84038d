//! Lines of at most 32 elements, eight lines at a time: each has a lane of its own. An element's rank is the number of
//! elements before it in the stable order, by comparison with each of them: no branch depends on the data, and
//! nothing waits for what was just written elsewhere in the memory.
const std = @import("std");
const simd = @import("../simd.zig");

/// Lines at a time.
pub const lanes = 8;
/// The longest line.
pub const most = 32;
/// Elements that are compared with the others together.
const block = 4;

/// A number for each line.
const Numbers = @Vector(lanes, i32);
const Ranks = [most * lanes]i32;

/// Keys of the i-th elements of all lines, one behind the other: int32, or int64 for elements of 8 bytes.
pub const Columns = extern union {
    narrow: [most * lanes]i32 align(64),
    wide: [most * lanes]i64 align(64),

    pub fn of(c: *Columns, comptime I: type) *align(64) [most * lanes]I {
        return if (I == i64) &c.wide else &c.narrow;
    }
};

/// Lines side by side.
pub const Group = struct {
    memory: [lanes][*]const u8,
    values: [lanes]?[*]u8,
    indices: [lanes]?[*]i64,
    /// So many are wanted; the others are copies of the last one.
    count: usize,
    /// Whether the lines' elements alternate in the memory.
    alternate: bool,
};

inline fn at(comptime I: type, columns: *const Columns, i: usize) @Vector(lanes, I) {
    const keys = if (I == i64) &columns.wide else &columns.narrow;
    return keys[i * lanes ..][0..lanes].*;
}
fn read(s: anytype, g: *const Group, columns: *Columns) void {
    s.codec.columns.?(g, s.step[2], s.n, s.descending, columns);
}
fn nanOf(comptime I: type, s: anytype) @Vector(lanes, I) {
    return @splat(if (s.codec.key_bytes < 4) @intCast(s.codec.nan_key) else std.math.maxInt(I));
}
fn countNans(comptime I: type, s: anytype, columns: *const Columns) Numbers {
    var sum: @Vector(lanes, I) = @splat(0);
    for (0..s.n) |i| sum += @intFromBool(at(I, columns, i) == nanOf(I, s));
    return @intCast(sum);
}

/// Writes the first k of each line's order. `s` is sort.zig's State.
pub fn order(s: anytype, g: *const Group) void {
    var columns: Columns = undefined;
    var ranks: Ranks align(64) = undefined;
    read(s, g, &columns);
    rank(s, &columns, &ranks);
    if (s.k == s.n) return s.codec.spread(g, s.step, &ranks, s.n);
    var places: Ranks align(64) = undefined;
    for (0..s.k) |k| places[k * lanes ..][0..lanes].* = placesOf(&ranks, s.n, @splat(@intCast(k)));
    s.codec.pick(g, s.step, &places, s.k);
}

/// Writes the element at place k (from 0) of each line's order; null: the lower median, or the first nan where there
/// is one (ignore_nan: where there is nothing else).
pub fn choose(s: anytype, g: *const Group, k: ?usize) void {
    var columns: Columns = undefined;
    var ranks: Ranks align(64) = undefined;
    read(s, g, &columns);
    var wanted: Numbers = @splat(@intCast(k orelse (s.n - 1) / 2));
    if (k == null and s.codec.is_float) {
        const nans = if (s.codec.key_bytes == 8) countNans(i64, s, &columns) else countNans(i32, s, &columns);
        const others = @as(Numbers, @splat(@intCast(s.n))) - nans;
        const middle = (others - @as(Numbers, @splat(1))) >> @splat(1);
        const least: Numbers = @splat(@intCast(if (s.ignore_nan) 1 else s.n));
        wanted = @select(i32, others < least, others, middle);
    }
    rank(s, &columns, &ranks);
    ranks[0..lanes].* = placesOf(&ranks, s.n, wanted);
    s.codec.pick(g, s.step, &ranks, 1);
}

/// Writes the last of each line's most frequent elements, the smallest of several. Returns which lines have a nan:
/// nothing is said of those.
pub fn mode(comptime I: type, s: anytype, g: *const Group) u8 {
    const V = @Vector(lanes, I);
    var columns: Columns = undefined;
    read(s, g, &columns);
    var best = at(I, &columns, 0);
    var best_count: V = @splat(0);
    var place: V = @splat(0);
    var is_nan: @Vector(lanes, bool) = @splat(false);
    for (0..s.n) |i| {
        const x = at(I, &columns, i);
        var n: V = @splat(0);
        for (0..s.n) |j| n += @intFromBool(at(I, &columns, j) == x);
        if (s.codec.is_float) is_nan |= x == nanOf(I, s);
        const better = (n > best_count) | ((n == best_count) & (x <= best));
        best = @select(I, better, x, best);
        best_count = @select(I, better, n, best_count);
        place = @select(I, better, @as(V, @splat(@intCast(i))), place);
    }
    const to: [lanes]i32 align(64) = @as(Numbers, @intCast(place));
    s.codec.pick(g, s.step, &to, 1);
    return @bitCast(is_nan);
}

/// For each key how many of its line come before it; of equal ones those to the left do.
fn rank(s: anytype, columns: *Columns, ranks: *align(64) Ranks) void {
    if (s.codec.key_bytes == 8 and (s.codec.is_float or !narrow(columns, s.n))) return rankOf(i64, &columns.wide, s.n, ranks);
    rankOf(i32, &columns.narrow, s.n, ranks);
}
/// int64 keys become int32 ones where they are that small.
fn narrow(columns: *Columns, n: usize) bool {
    const U = @Vector(lanes, u64);
    var upper: U = @splat(0);
    for (0..n) |i| upper |= (@as(U, @bitCast(at(i64, columns, i))) +% @as(U, @splat(1 << 31))) >> @splat(32);
    if (@reduce(.Or, upper) != 0) return false;
    for (0..n) |i| columns.narrow[i * lanes ..][0..lanes].* = @as(Numbers, @truncate(at(i64, columns, i)));
    return true;
}
noinline fn rankOf(comptime I: type, columns: *align(64) [most * lanes]I, n: usize, ranks: *align(64) Ranks) void {
    // As many as AVX2 has in a register.
    const width = if (I == i64) lanes / 2 else lanes;
    const W = @Vector(width, I);
    // What is behind the last key comes before none.
    for (n..(n + block - 1) / block * block) |i| columns[i * lanes ..][0..lanes].* = @splat(std.math.maxInt(I));
    for (0..lanes / width) |part| {
        const keys = columns[part * width ..].ptr;
        const to = ranks[part * width ..].ptr;
        var first: usize = 0;
        while (first < n) : (first += block) {
            var x: [block]W = undefined;
            var before: [block]W = undefined;
            inline for (&x, &before, 0..) |*y, *b, i| {
                y.* = keys[(first + i) * lanes ..][0..width].*;
                b.* = @splat(@intCast(first + i));
            }
            for (0..first) |j| {
                const k: W = keys[j * lanes ..][0..width].*;
                inline for (x, &before) |y, *b| b.* -= @intFromBool(k > y);
            }
            inline for (0..block) |j| inline for (0..j) |i| {
                const swaps = x[i] > x[j];
                before[j] -= @intFromBool(swaps);
                before[i] += @intFromBool(swaps);
            };
            for (@min(n, first + block)..n) |j| {
                const k: W = keys[j * lanes ..][0..width].*;
                inline for (x, &before) |y, *b| b.* += @intFromBool(y > k);
            }
            inline for (before, 0..) |b, i| to[(first + i) * lanes ..][0..width].* = @as(@Vector(width, i32), @intCast(b));
        }
    }
}

/// Where each line's rank is the wanted one.
fn placesOf(ranks: *align(64) const Ranks, n: usize, wanted: Numbers) Numbers {
    var place: Numbers = @splat(0);
    for (0..n) |i| {
        const here: Numbers = ranks[i * lanes ..][0..lanes].*;
        place = @select(i32, here == wanted, @as(Numbers, @splat(@intCast(i))), place);
    }
    return place;
}

/// How elements of K's size get to the outputs. step: of values, indices and the lines.
pub fn Moving(comptime K: type) type {
    return struct {
        /// Each of n elements to the place that its rank says.
        pub fn spread(g: *const Group, step: [3]usize, ranks: [*]align(64) const i32, n: usize) void {
            for (0..g.count) |lane| {
                const from: [*]const K = @ptrCast(@alignCast(g.memory[lane]));
                var rest: K = undefined;
                var rest_index: i64 = undefined;
                const values, const by = if (g.values[lane]) |v| .{ @as([*]K, @ptrCast(@alignCast(v))), step[0] } else .{ @as([*]K, @ptrCast(&rest)), 0 };
                const indices, const index_by = if (g.indices[lane]) |x| .{ x, step[1] } else .{ @as([*]i64, @ptrCast(&rest_index)), 0 };
                for (0..n) |i| {
                    const r = simd.opaquely(@intCast(ranks[i * lanes + lane]));
                    values[r * by] = from[i * step[2]];
                    indices[r * index_by] = @intCast(i);
                }
            }
        }
        /// The k elements at some places.
        pub fn pick(g: *const Group, step: [3]usize, places: [*]align(64) const i32, k: usize) void {
            for (0..g.count) |lane| {
                const from: [*]const K = @ptrCast(@alignCast(g.memory[lane]));
                for (0..k) |i| {
                    const place = simd.opaquely(@intCast(places[i * lanes + lane]));
                    if (g.values[lane]) |to| @as([*]K, @ptrCast(@alignCast(to)))[i * step[0]] = from[place * step[2]];
                    if (g.indices[lane]) |to| to[i * step[1]] = @intCast(place);
                }
            }
        }
    };
}
