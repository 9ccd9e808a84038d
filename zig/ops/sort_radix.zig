//! Sorting of words: the key above, the position below. No two are equal, so every algorithm here gives the same
//! result, that of a stable sort. A word's bits below `low` ascend to begin with.
const std = @import("std");
const services = @import("../services.zig");
const simd = @import("../simd.zig");

/// Bits of the words by which they are sorted.
pub const Bits = struct {
    low: u7,
    high: u7,

    pub inline fn shift(b: Bits) u6 {
        return @intCast(b.low);
    }
};

/// Sorts `words`, with `other` (as long) to work in. The result is in the slice that comes back, one of the two.
pub fn sort(words: []u64, other: []u64, bits: Bits) []u64 {
    if (bits.high <= bits.low) return words;
    const width: usize = bits.high - bits.low;
    const passes = (width + 7) / 8;
    if (words.len <= if (passes == 1) one_pass_length else small_length * @max(1, passes / 4)) return mergeSort(words, other);
    return radixSort(words, other, bits);
}
/// Up to here (for keys of 4 bytes) merging is quicker than counting in 256 bins.
pub const small_length = 192;
/// The same for keys of a byte at most.
const one_pass_length = 48;

fn mergeSort(words: []u64, other: []u64) []u64 {
    var width: usize = 16;
    var first: usize = 0;
    while (first < words.len) : (first += width) {
        const group = words[first..@min(words.len, first + width)];
        if (group.len == 16) rankSort(group[0..16]) else sortFew(group);
    }
    var from = words;
    var to = other;
    while (width < words.len) : (width *= 2) {
        first = 0;
        while (first < words.len) : (first += 2 * width) {
            const mid: usize = @min(words.len, first + width);
            const end: usize = @min(words.len, first + 2 * width);
            merge(from[first..mid], from[mid..end], to[first..end]);
        }
        std.mem.swap([]u64, &from, &to);
    }
    return from;
}

/// Each of 16 words to the place that the number of smaller ones says: no branch at all.
pub fn rankSort(words: *[16]u64) void {
    const V = @Vector(16, u64);
    const all: V = words.*;
    const from: [16]u64 = words.*;
    var ranks: V = @splat(0);
    for (from) |x| ranks += @intFromBool(@as(V, @splat(x)) < all);
    const places: [16]u64 = ranks;
    for (from, places) |x, place| words[@intCast(place & 15)] = x;
}

/// At most 16 words, as `rankSort` does it.
pub fn sortFew(words: []u64) void {
    if (words.len < 2) return;
    const V = @Vector(16, u64);
    var from: [16]u64 = @splat(0);
    @memcpy(from[0..words.len], words);
    const all: V = from;
    var ranks: V = @splat(0);
    for (from[0..words.len]) |x| ranks += @intFromBool(@as(V, @splat(x)) < all);
    const places: [16]u64 = ranks;
    for (from[0..words.len], places[0..words.len]) |x, place| words[place & 15] = x;
}

fn merge(left: []const u64, right: []const u64, to: []u64) void {
    var i: usize = 0;
    var j: usize = 0;
    var n: usize = 0;
    while (i < left.len and j < right.len) : (n += 1) {
        const l = left[i];
        const r = right[j];
        const take_left = l < r;
        to[n] = if (take_left) l else r;
        i += @intFromBool(take_left);
        j += @intFromBool(!take_left);
    }
    const rest = if (i < left.len) left[i..] else right[j..];
    @memcpy(to[n..], rest[0 .. to.len - n]);
}

const most_bits = 11;
/// From this length on the digits have up to `most_bits` bits, else 8.
const wide_length = 1 << 13;

/// By the lowest digit first.
fn radixSort(words: []u64, other: []u64, bits: Bits) []u64 {
    const width: usize = bits.high - bits.low;
    const most: usize = if (words.len >= wide_length) most_bits else 8;
    const passes = (width + most - 1) / most;
    const digit: u6 = @intCast((width + passes - 1) / passes);
    const bins = @as(usize, 1) << digit;
    const mask: u64 = bins - 1;
    var counts: [1 << most_bits]u32 = undefined;
    const here = counts[0..bins];
    var from = words;
    var to = other;
    for (0..passes) |pass| {
        const shift: u6 = @intCast(bits.low + pass * digit);
        if (bins == 2) {
            partition(from, to, shift);
            std.mem.swap([]u64, &from, &to);
            continue;
        }
        @memset(here, 0);
        for (from) |x| here[x >> shift & mask] += 1;
        // All alike in this digit: nothing to do.
        if (here[from[0] >> shift & mask] == from.len) continue;
        var sum: u32 = 0;
        for (here) |*x| {
            const count = x.*;
            x.* = sum;
            sum += count;
        }
        for (from) |x| {
            const at = &here[x >> shift & mask];
            to[at.*] = x;
            at.* += 1;
        }
        std.mem.swap([]u64, &from, &to);
    }
    return from;
}

/// By one bit: two counters in memory would each wait for their last store.
fn partition(from: []const u64, to: []u64, shift: u6) void {
    var ones: usize = 0;
    for (from) |x| ones += x >> shift & 1;
    const first_one = from.len - ones;
    var zeros: usize = 0;
    for (from, 0..) |x, i| {
        const bit = simd.opaquely(x >> shift & 1);
        const place = first_one + i - zeros;
        to[zeros ^ ((zeros ^ place) & (0 -% bit))] = x;
        zeros += bit ^ 1;
    }
}

/// From this length on a line is cut by its highest bits into parts, which the threads share.
pub const long_length: usize = 1 << 16;
const chunks = 16;

/// Sorts a long line on all threads. `source.fill(first, words)` gives the words, `source.take(first,
/// bits, words, other)` gets those of places `first` and on, to sort them. False where there is no memory.
pub fn sortLong(source: anytype, to: []u64, other: []u64, bits: Bits) bool {
    // One digit for all, or parts of a few thousand words, which stay in the nearest cache.
    const width: usize = bits.high - bits.low;
    const digit: u6 = @intCast(if (width <= most_bits) width else std.math.clamp(std.math.log2_int(usize, to.len) -| 12, 4, most_bits));
    const bins = @as(usize, 1) << digit;
    // Chunks' counts lie in cache lines of their own.
    const apart = @max(bins, 16);
    const counts = services.allocSlice(u32, chunks * apart) orelse return false;
    defer services.free(@ptrCast(counts.ptr));
    const Job = Parts(@TypeOf(source));
    const job: Job = .{
        .source = source,
        .words = other,
        .other = to,
        .bits = .{ .low = bits.low, .high = bits.high - digit },
        .mask = @intCast(bins - 1),
        .counts = counts.ptr,
        .apart = apart,
    };
    services.parallelFor(chunks, 1, job, Job.count);
    var sum: u32 = 0;
    for (0..bins) |bin| for (0..chunks) |chunk| {
        const x = &counts[chunk * apart + bin];
        const here = x.*;
        x.* = sum;
        sum += here;
    };
    services.parallelFor(chunks, 1, job, Job.scatter);
    // Now the last chunk's counts are where the bins end.
    services.parallelFor(bins, @max(1, bins / 128), job, Job.sortBins);
    return true;
}

fn Parts(comptime Source: type) type {
    return struct {
        source: Source,
        words: []u64,
        other: []u64,
        /// Below the digit by which the line is cut.
        bits: Bits,
        mask: u32,
        counts: [*]u32,
        apart: usize,

        const Job = @This();
        const block = 512;

        fn part(job: *const Job, chunk: usize) [2]usize {
            const n = job.words.len;
            return .{ n * chunk / chunks, n * (chunk + 1) / chunks };
        }
        fn countsOf(job: *const Job, chunk: usize) [*]u32 {
            return job.counts + chunk * job.apart;
        }
        fn count(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |chunk| {
                const counts = job.countsOf(chunk);
                @memset(counts[0 .. job.mask + 1], 0);
                job.walk(chunk, counts, false);
            }
        }
        fn scatter(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |chunk| job.walk(chunk, job.countsOf(chunk), true);
        }
        fn walk(job: *const Job, chunk: usize, counts: [*]u32, comptime moves: bool) void {
            var words: [block]u64 = undefined;
            const shift: u6 = @intCast(job.bits.high);
            var first, const end = job.part(chunk);
            while (first < end) {
                const here = words[0..@min(block, end - first)];
                job.source.fill(first, here);
                for (here) |x| {
                    const at = &counts[x >> shift & job.mask];
                    if (moves) job.words[at.*] = x;
                    at.* += 1;
                }
                first += here.len;
            }
        }
        fn sortBins(job: *const Job, begin: usize, end: usize) void {
            const ends = job.countsOf(chunks - 1);
            for (begin..end) |bin| {
                const first = if (bin == 0) 0 else ends[bin - 1];
                if (first == ends[bin]) continue;
                job.source.take(first, job.bits, job.words[first..ends[bin]], job.other[first..ends[bin]]);
            }
        }
    };
}
