//! Keys that sort as unsigned integers, and the sorting of them.
//!
//! An element becomes an integer that keeps its order (nan above everything, -0 equal to 0),
//! with its position in the lower 32 bits: a pair. No two pairs are equal, and their order is
//! that of a stable sort: so every algorithm here gives the same result.
const std = @import("std");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const DType = dtype.DType;

/// Key and position together: u64 for keys of up to 32 bits, u128 for 64.
pub fn Pair(comptime key_bytes: usize) type {
    return if (key_bytes <= 4) u64 else u128;
}

/// How elements of a dtype become keys.
pub fn Keys(comptime d: DType) type {
    return struct {
        const T = d.Type();
        pub const bytes = @sizeOf(T);
        pub const K = @Int(.unsigned, bytes * 8);
        pub const P = Pair(bytes);
        const Signed = @Int(.signed, bytes * 8);
        const sign: K = 1 << (bytes * 8 - 1);
        const is_float = d.isFloat();
        const is_signed = switch (d) {
            .int8, .int16, .int32, .int64 => true,
            else => false,
        };
        /// Keys at and above this one are nan.
        pub const nan_key: K = std.math.maxInt(K);
        const infinity_bits: K = switch (d) {
            .float16 => 0x7c00,
            .bfloat16 => 0x7f80,
            .float32 => 0x7f80_0000,
            .float64 => 0x7ff0_0000_0000_0000,
            else => 0,
        };

        /// The key of the element with the bits u.
        pub inline fn of(u: K) K {
            if (is_signed) return u ^ sign;
            if (!is_float) return u;
            const magnitude = u & ~sign;
            if (magnitude > infinity_bits) return nan_key;
            if (magnitude == 0) return sign; // +0 and -0
            return if (u & sign != 0) ~u else u | sign;
        }
        /// The bits of the element with this key; null where several have it (nan, zero).
        pub inline fn element(key: K) ?K {
            if (is_signed) return key ^ sign;
            if (!is_float) return key;
            if (key == nan_key or key == sign) return null;
            return if (key & sign != 0) key & ~sign else ~key;
        }
        pub inline fn pair(x: K, position: usize, descending: bool) P {
            const key = if (descending) ~of(x) else of(x);
            return @as(P, key) << 32 | @as(u32, @intCast(position));
        }
        pub inline fn keyOf(p: P, descending: bool) K {
            const key: K = @truncate(p >> 32);
            return if (descending) ~key else key;
        }

        /// The pairs of elements [first, first + n) of a line.
        pub fn fill(
            memory: [*]const u8,
            stride: usize,
            first: usize,
            n: usize,
            descending: bool,
            pairs: *anyopaque,
        ) void {
            const line: [*]const K = @ptrCast(@alignCast(memory));
            const to: [*]P = @ptrCast(@alignCast(pairs));
            for (to[0..n], first..) |*p, i| p.* = pair(line[i * stride], i, descending);
        }
        /// The elements that n pairs stand for.
        pub fn emit(
            pairs: *const anyopaque,
            n: usize,
            memory: [*]const u8,
            stride: usize,
            descending: bool,
            out: [*]u8,
            out_stride: usize,
        ) void {
            const from: [*]const P = @ptrCast(@alignCast(pairs));
            const line: [*]const K = @ptrCast(@alignCast(memory));
            const to: [*]K = @ptrCast(@alignCast(out));
            for (from[0..n], 0..) |p, i| {
                to[i * out_stride] =
                    element(keyOf(p, descending)) orelse line[positionOf(p) * stride];
            }
        }
    };
}

/// What the sorting of a dtype's lines needs to know of the dtype.
pub const Codec = struct {
    fill: *const fn ([*]const u8, usize, usize, usize, bool, *anyopaque) void,
    emit: *const fn (*const anyopaque, usize, [*]const u8, usize, bool, [*]u8, usize) void,
    key_bytes: usize,
    is_float: bool,

    pub fn of(d: DType) Codec {
        switch (d) {
            .bool, .uint8 => return make(.uint8),
            inline else => |e| return make(e),
        }
    }
    fn make(comptime d: DType) Codec {
        const K = Keys(d);
        return .{
            .fill = &K.fill,
            .emit = &K.emit,
            .key_bytes = K.bytes,
            .is_float = d.isFloat(),
        };
    }
};

pub inline fn positionOf(pair: anytype) u32 {
    return @truncate(pair);
}

/// Sorts `pairs`, with `other` (as long) to work in. `key_bytes` tells how many bytes of the
/// keys may differ. The result is in the slice that comes back, one of the two.
pub fn sort(comptime P: type, pairs: []P, other: []P, key_bytes: usize) []P {
    if (pairs.len <= small_length * @max(1, key_bytes / 4)) return mergeSort(P, pairs, other);
    return radixSort(P, pairs, other, key_bytes);
}
/// Up to here (for keys of 4 bytes) merging is quicker than counting in 256 bins.
const small_length = 192;

fn mergeSort(comptime P: type, pairs: []P, other: []P) []P {
    var width: usize = 16;
    var first: usize = 0;
    while (first < pairs.len) : (first += width) {
        const group = pairs[first..@min(pairs.len, first + width)];
        if (P == u64 and group.len == 16) rankSort(group[0..16]) else insertionSort(P, group);
    }
    var from = pairs;
    var to = other;
    while (width < pairs.len) : (width *= 2) {
        first = 0;
        while (first < pairs.len) : (first += 2 * width) {
            const mid: usize = @min(pairs.len, first + width);
            const end: usize = @min(pairs.len, first + 2 * width);
            merge(P, from[first..mid], from[mid..end], to[first..end]);
        }
        std.mem.swap([]P, &from, &to);
    }
    return from;
}

/// Each of 16 pairs to the place that the number of smaller ones says: no branch at all.
fn rankSort(pairs: *[16]u64) void {
    const V = @Vector(16, u64);
    const all: V = pairs.*;
    const from: [16]u64 = pairs.*;
    var ranks: V = @splat(0);
    for (from) |x| ranks += @intFromBool(@as(V, @splat(x)) < all);
    const places: [16]u64 = ranks;
    for (from, places) |x, place| pairs[@intCast(place & 15)] = x;
}

/// Merges the two as far as `to` is long.
fn merge(comptime P: type, left: []const P, right: []const P, to: []P) void {
    var i: usize = 0;
    var j: usize = 0;
    var n: usize = 0;
    while (i < left.len and j < right.len and n < to.len) : (n += 1) {
        const l = left[i];
        const r = right[j];
        const take_left = l < r;
        to[n] = if (take_left) l else r;
        i += @intFromBool(take_left);
        j += @intFromBool(!take_left);
    }
    if (n == to.len) return;
    const rest = if (i < left.len) left[i..] else right[j..];
    @memcpy(to[n..], rest[0 .. to.len - n]);
}

pub fn insertionSort(comptime P: type, pairs: []P) void {
    if (pairs.len < 2) return;
    for (1..pairs.len) |i| {
        const x = pairs[i];
        var j = i;
        while (j > 0 and pairs[j - 1] > x) : (j -= 1) pairs[j] = pairs[j - 1];
        pairs[j] = x;
    }
}

/// By the lowest byte of the key first. Needs pairs in ascending position to begin with.
fn radixSort(comptime P: type, pairs: []P, other: []P, key_bytes: usize) []P {
    var counts: [8][256]u32 = undefined;
    for (counts[0..key_bytes]) |*c| @memset(c, 0);
    for (pairs) |p| {
        var key = p >> 32;
        for (counts[0..key_bytes]) |*c| {
            c[@as(u8, @truncate(key))] += 1;
            key >>= 8;
        }
    }
    var from = pairs;
    var to = other;
    for (counts[0..key_bytes], 0..) |*c, byte| {
        const shift: std.math.Log2Int(P) = @intCast(32 + 8 * byte);
        // All keys alike in this byte: nothing to do.
        if (c[@as(u8, @truncate(from[0] >> shift))] == from.len) continue;
        var sum: u32 = 0;
        for (c) |*x| {
            const here = x.*;
            x.* = sum;
            sum += here;
        }
        for (from) |p| {
            const at = &c[@as(u8, @truncate(p >> shift))];
            to[at.*] = p;
            at.* += 1;
        }
        std.mem.swap([]P, &from, &to);
    }
    return from;
}

/// Sorts one long line on all threads: blocks of fixed length, merged two by two.
pub fn sortLong(comptime P: type, pairs: []P, other: []P, key_bytes: usize) []P {
    const Blocks = struct {
        pairs: []P,
        other: []P,
        key_bytes: usize,
        fn part(job: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |b| {
                const first = b * long_block;
                const last: usize = @min(first + long_block, job.pairs.len);
                const block = job.pairs[first..last];
                const sorted = sort(P, block, job.other[first..last], job.key_bytes);
                if (sorted.ptr != block.ptr) @memcpy(block, sorted);
            }
        }
    };
    const blocks = std.math.divCeil(usize, pairs.len, long_block) catch unreachable;
    const sort_job: Blocks = .{ .pairs = pairs, .other = other, .key_bytes = key_bytes };
    services.parallelFor(blocks, 1, sort_job, Blocks.part);
    var from = pairs;
    var to = other;
    var width = long_block;
    while (width < pairs.len) : (width *= 2) {
        const job: Merge(P) = .{ .from = from, .to = to, .width = width };
        const parts = std.math.divCeil(usize, pairs.len, merge_block) catch unreachable;
        services.parallelFor(parts, 1, job, Merge(P).part);
        std.mem.swap([]P, &from, &to);
    }
    return from;
}
pub const long_block: usize = 1 << 16;
const merge_block: usize = 1 << 14; // divides long_block

fn Merge(comptime P: type) type {
    return struct {
        from: []const P,
        to: []P,
        width: usize,

        fn part(job: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |b| {
                const out = b * merge_block;
                const first = out / (2 * job.width) * 2 * job.width;
                const n = job.from.len;
                const left = job.from[first..@min(n, first + job.width)];
                const right = job.from[@min(n, first + job.width)..@min(n, first + 2 * job.width)];
                mergePart(left, right, out - first, job.to[out..@min(n, out + merge_block)]);
            }
        }

        /// Writes to.len pairs of the merged sequence from its place `at` on.
        fn mergePart(left: []const P, right: []const P, at: usize, to: []P) void {
            // How many of the first `at` come from the left: the smallest i for which the
            // next of the left is not among them.
            var low = at -| right.len;
            var high: usize = @min(at, left.len);
            while (low < high) {
                const i = (low + high) / 2;
                if (left[i] < right[at - i - 1]) low = i + 1 else high = i;
            }
            merge(P, left[low..], right[at - low ..], to);
        }
    };
}

/// Moves the k smallest pairs to the front, in no order, and the k-th of them (k >= 1) to
/// pairs[k - 1]. Quickselect with the median of three.
pub fn select(comptime P: type, pairs: []P, k: usize) void {
    var low: usize = 0;
    var high = pairs.len; // [low, high) holds place k - 1
    var rounds: usize = 0;
    while (high - low > 32) : (rounds += 1) {
        const mid = low + (high - low) / 2;
        var pivot = median3(P, pairs[low], pairs[mid], pairs[high - 1]);
        if (rounds > 40) pivot = spread(P, pairs[low..high], rounds);
        // The pairs below the pivot to the front, without a branch that nobody could foresee.
        var split = low;
        for (pairs[low..high]) |*p| {
            const x = p.*;
            p.* = pairs[split];
            pairs[split] = x;
            split += @intFromBool(x < pivot);
        }
        // The pivot is not the smallest and stays above: both sides are shorter than the whole.
        if (k - 1 < split) high = split else low = split;
    }
    insertionSort(P, pairs[low..high]);
}
fn median3(comptime P: type, a: P, b: P, c: P) P {
    return @max(@min(a, b), @min(@max(a, b), c));
}
/// A pivot from an arbitrary place: against inputs made to defeat the median of three.
fn spread(comptime P: type, pairs: []P, round: usize) P {
    const place = (round *% 0x9e3779b97f4a7c15) >> 16;
    // The greater of two: never the smallest one, which would leave the range as it is.
    const a = pairs[place % pairs.len];
    const b = pairs[(place + pairs.len / 3) % pairs.len];
    return @max(a, b);
}
