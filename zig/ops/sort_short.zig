//! Lines of at most 128 elements: what is in order is found by counting, without branches that data decide.
//!
//! Elements become int32 keys (sort_keys.zig, `short`). An element's rank is the number of elements before it in the
//! stable order: a comparison with each of them, many at a time. Where not all of the order is wanted, a sample first
//! shows which elements can matter.
const std = @import("std");
const select = @import("sort_select.zig");
const simd = @import("../simd.zig");

/// The longest line.
pub const most = 128;
/// Keys are read some behind the last one.
pub const Buffer = [most + 32]i32;
/// Lines up to here are ranked as a whole.
const few = 32;

/// How int32 keys stand for the elements of a line.
pub const Kind = struct {
    /// Keys could be made.
    fits: bool = true,
    /// Equal keys are equal elements.
    exact: bool = true,
    has_nan: bool = false,
};

/// Keys [i, i + 8) of n from those that begin at `at`, which is less than i where the last ones are not as many. Each
/// place is written once, and by eight, as it is read: then what is read need not wait for the memory.
pub inline fn store(keys: *Buffer, n: usize, i: usize, at: usize, given: Lanes) void {
    var x = given;
    if (i + 8 > n) {
        x = select.rotated(x, i - at);
        x = @select(i32, simd.iota(8, i32) < @as(Lanes, @splat(@intCast(n - i))), x, @as(Lanes, @splat(std.math.maxInt(i32))));
        keys[i + 8 ..][0..24].* = @splat(std.math.maxInt(i32));
    } else if (i + 8 == n) keys[n..][0..24].* = @splat(std.math.maxInt(i32));
    keys[i..][0..8].* = x;
}

/// For each of n keys how many come before it; of equal ones those to the left do. No key is the smallest int32.
fn rank(keys: *const Buffer, n: usize, to: *Buffer) void {
    if (n <= 16) rankBy(16, keys, n, to) else rankBy(32, keys, n, to);
}
// Two functions: where LLVM sees both it shares their ends, lane by lane.
noinline fn rankBy(comptime lanes: usize, keys: *const Buffer, n: usize, to: *Buffer) void {
    const V = @Vector(lanes, i32);
    const window = @as([lanes]i32, @splat(0)) ++ @as([lanes]i32, @splat(-1));
    var first: usize = 0;
    while (first < n) : (first += lanes) {
        const end = @min(n, first + lanes);
        const x: V = keys[first..][0..lanes].*;
        var before: V = @splat(@intCast(first));
        for (keys[0..first]) |k| before -= @intFromBool(@as(V, @splat(k)) > x);
        for (keys[first..end], 1..) |k, j| {
            // Lanes to the right of k come after it where they are equal.
            const right: V = window[lanes - j ..][0..lanes].*;
            before += @intFromBool(x > @as(V, @splat(k)) + right);
        }
        for (keys[end..n]) |k| before += @intFromBool(x > @as(V, @splat(k)));
        to[first..][0..lanes].* = before;
    }
}

const Lanes = @Vector(8, i32);

/// The numbers of the keys up to `high`: how many. Few go as if they were `least`: how many they are nobody could foresee.
noinline fn upTo(keys: *const Buffer, n: usize, high: i32, least: usize, places: *[most + 16]u8) usize {
    const at_once = if (n > 64) least / 2 else least;
    var count: usize = 0;
    var first: usize = 0;
    while (first < n) : (first += 64) {
        var bits: u64 = 0;
        var i: usize = @min(n, first + 64);
        i = (i - first + 7) / 8 * 8;
        while (i > 0) {
            i -= 8;
            const mask: u8 = @bitCast(@as(Lanes, keys[first + i ..][0..8].*) <= @as(Lanes, @splat(high)));
            bits = bits << 8 | mask;
        }
        if (n - first < 64) bits &= (@as(u64, 1) << @intCast(n - first)) - 1;
        const found = @popCount(bits);
        for (places[count..][0..@max(found, at_once)]) |*at| {
            at.* = @intCast(first + @ctz(bits));
            bits &= bits -% 1;
        }
        count += found;
    }
    return count;
}

/// Writes the keys from low to high to `to`. Returns how many are less, and between.
noinline fn between(keys: *const Buffer, n: usize, low: i32, high: i32, to: *Buffer) select.Found {
    var below: Lanes = @splat(0);
    var count: usize = 0;
    var i: usize = 0;
    while (i < n) : (i += 8) {
        const x: Lanes = keys[i..][0..8].*;
        const number = simd.iota(8, i32) + @as(Lanes, @splat(@intCast(i)));
        const under = x < @as(Lanes, @splat(low));
        below += @intFromBool(under);
        const inside = ~under & (x <= @as(Lanes, @splat(high))) & (number < @as(Lanes, @splat(@intCast(n))));
        const mask: u8 = @bitCast(inside);
        count += select.compress(u32, @ptrCast(to[count..].ptr), @bitCast(x), mask);
    }
    // What is behind the last key is not less than any.
    return .{ .below = @intCast(@reduce(.Add, below)), .count = count };
}

/// How many of some keys are less than each of x.
inline fn lessThan(x: anytype, keys: []const i32) @TypeOf(x) {
    var less: @TypeOf(x) = @splat(0);
    for (keys) |k| less += @intFromBool(x > @as(@TypeOf(x), @splat(k)));
    return less;
}
/// The greatest of x that at most `most_less` are less than: the key of that place in their order.
inline fn greatest(x: anytype, less: @TypeOf(x), most_less: usize) i32 {
    const V = @TypeOf(x);
    return @reduce(.Max, @select(i32, less <= @as(V, @splat(@intCast(most_less))), x, @as(V, @splat(std.math.minInt(i32)))));
}
/// A key that at least k of n (k <= lanes <= n) do not exceed, and hardly more do: of the least ones of lanes.
inline fn bound(comptime lanes: usize, keys: *const Buffer, n: usize, k: usize) i32 {
    var least: @Vector(lanes, i32) = keys[0..lanes].*;
    var i: usize = lanes;
    while (i < n) : (i += lanes) least = @min(least, @as(@Vector(lanes, i32), keys[i..][0..lanes].*));
    return greatest(least, lessThan(least, &@as([lanes]i32, least)), k - 1);
}
/// A key that at least k of n > `few` do not exceed, and few more do.
fn limit(keys: *const Buffer, n: usize, k: usize) i32 {
    return if (k <= 10) bound(16, keys, n, k) else if (k <= 22) bound(32, keys, n, k) else nth(keys, n, k);
}

/// Keys between which the k-th smallest of n probably lies, from a sample.
inline fn sampled(comptime lanes: usize, from: *const Buffer, n: usize, k: usize) [2]i32 {
    const slack = if (lanes == 16) 3 else 4;
    const step = n / lanes;
    var sample: @Vector(lanes, i32) = undefined;
    inline for (0..lanes) |i| sample[i] = from[i * step];
    const less = lessThan(sample, &@as([lanes]i32, sample));
    const at = (k - 1) * lanes / n;
    return .{
        if (at < slack) std.math.minInt(i32) else greatest(sample, less, at - slack),
        if (at >= lanes - slack) std.math.maxInt(i32) else greatest(sample, less, at + slack),
    };
}
/// The k-th smallest key (k >= 1) of n.
noinline fn nth(keys: *const Buffer, n: usize, k: usize) i32 {
    var buffers: [2]Buffer align(64) = undefined;
    var from = keys;
    var length = n;
    var left = k;
    for (0..3) |round| {
        if (length <= few) break;
        const low, const high = if (length >= 64) sampled(32, from, length, left) else sampled(16, from, length, left);
        const to = &buffers[round % 2];
        var found = between(from, length, low, high, to);
        if (left <= found.below) {
            found = between(from, length, std.math.minInt(i32), low - 1, to);
        } else if (left > found.below + found.count) {
            found = between(from, length, high + 1, std.math.maxInt(i32), to);
        } else if (low == high) return low;
        to[found.count..][0..16].* = @splat(std.math.maxInt(i32));
        left -= found.below;
        length = found.count;
        from = to;
    }
    var result: i32 = std.math.minInt(i32);
    var first: usize = 0;
    while (first < length) : (first += 16) {
        const x: @Vector(16, i32) = from[first..][0..16].*;
        result = @max(result, greatest(x, lessThan(x, from[0..length]), left - 1));
    }
    return result;
}

/// The number of the key that is x, after `skipped` others that are.
noinline fn placeOf(keys: *const Buffer, n: usize, x: i32, skipped: usize) usize {
    var left = skipped;
    var i: usize = 0;
    while (i + 8 < n) : (i += 8) {
        const mask: u8 = @bitCast(@as(Lanes, keys[i..][0..8].*) == @as(Lanes, @splat(x)));
        if (@popCount(mask) > left) break;
        left -= @popCount(mask);
    }
    while (true) : (i += 1) {
        if (keys[i] != x) continue;
        if (left == 0) return i;
        left -= 1;
    }
}

/// Writes the first k of a line's stable order. False where keys don't tell.
pub fn order(l: anytype) bool {
    return orderBy(l, false) or (l.s.codec.key_bytes == 8 and orderBy(l, true));
}
noinline fn orderBy(l: anytype, careful: bool) bool {
    const s = l.s;
    var all: Buffer align(64) = undefined;
    const kind = s.codec.short.?(l.memory, l.stride, s.n, s.descending, careful, &all);
    if (!kind.fits) return false;
    var some: Buffer align(64) = undefined;
    var places: [most + 16]u8 = undefined;
    var ranks: Buffer align(64) = undefined;
    var sorted: [most]u8 = undefined;
    var count = s.n;
    if (s.n > few and s.k < s.n) {
        const least: usize = if (s.k <= 5) 8 else 16;
        count = upTo(&all, s.n, limit(&all, s.n, s.k), least, &places);
        const whole = @max(count, least);
        for (places[0..whole], some[0..whole]) |at, *x| x.* = all[at];
        some[count..][0..16].* = @splat(std.math.maxInt(i32));
        rank(&some, whole, &ranks);
        for (places[0..whole], ranks[0..whole]) |at, r| sorted[@intCast(r)] = at;
    } else {
        rank(&all, count, &ranks);
        for (ranks[0..count], 0..) |r, at| sorted[@intCast(r)] = @intCast(at);
    }
    if (!kind.exact) for (sorted[0 .. count - 1], sorted[1..count]) |a, b| {
        if (all[a] == all[b] and keyAt(l, a) != keyAt(l, b)) return false;
    };
    if (l.values) |to| s.codec.place(l.memory, l.stride, sorted[0..s.k], to, s.step[0]);
    if (l.indices) |to| for (sorted[0..s.k], 0..) |at, i| {
        to[i * s.step[1]] = at;
    };
    return true;
}

/// The place of the k-th (k >= 1) in a line's stable order; null where keys don't tell, or for nan where that matters.
pub fn choose(l: anytype, k: usize, without_nan: bool) ?u32 {
    return chooseBy(l, k, without_nan, false) orelse
        if (l.s.codec.key_bytes == 8) chooseBy(l, k, without_nan, true) else null;
}
noinline fn chooseBy(l: anytype, k: usize, without_nan: bool, careful: bool) ?u32 {
    const s = l.s;
    var keys: Buffer align(64) = undefined;
    const kind = s.codec.short.?(l.memory, l.stride, s.n, false, careful, &keys);
    if (!kind.fits or (without_nan and kind.has_nan)) return null;
    var at: usize = undefined;
    if (s.n <= few) {
        var ranks: Buffer align(64) = undefined;
        rank(&keys, s.n, &ranks);
        at = placeOf(&ranks, s.n, @intCast(k - 1), 0);
    } else {
        const x = nth(&keys, s.n, k);
        var less: Lanes = @splat(0);
        var i: usize = 0;
        while (i < s.n) : (i += 8) less += @intFromBool(@as(Lanes, keys[i..][0..8].*) < @as(Lanes, @splat(x)));
        at = placeOf(&keys, s.n, x, k - 1 - @as(usize, @intCast(@reduce(.Add, less))));
    }
    if (!kind.exact) for (keys[0..s.n], 0..) |y, other| {
        if (y == keys[at] and keyAt(l, other) != keyAt(l, at)) return null;
    };
    return @intCast(at);
}

fn keyAt(l: anytype, at: usize) u64 {
    return l.s.codec.keyAt(l.memory, at * l.stride, false);
}
