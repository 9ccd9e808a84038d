//! The k-th smallest of words (no two are equal), and how lanes are put side by side.
const std = @import("std");
const builtin = @import("builtin");
const simd = @import("../simd.zig");
const radix = @import("sort_radix.zig");

const has_permute = builtin.cpu.arch == .x86_64 and builtin.zig_backend == .stage2_llvm and builtin.cpu.has(.x86, .avx2);

/// For each mask of eight bits the numbers of those that are set, a byte each.
const packed_lanes: [256]u64 = blk: {
    @setEvalBranchQuota(10_000);
    var table: [256]u64 = @splat(0);
    for (&table, 0..) |*t, mask| {
        var n: u6 = 0;
        for (0..8) |lane| if (mask >> lane & 1 != 0) {
            t.* |= lane << 8 * n;
            n += 1;
        };
    }
    break :blk table;
};

/// Writes the lanes of x that are in the mask to `to`, one behind the other; there is room for all lanes there.
/// Returns how many they are.
pub inline fn compress(comptime T: type, to: [*]T, x: @Vector(8, T), mask: u8) usize {
    if (!has_permute) {
        var n: usize = 0;
        const all: [8]T = x;
        inline for (0..8) |lane| {
            to[n] = all[lane];
            n += mask >> lane & 1;
        }
        return n;
    }
    if (T == u64) {
        const half: [2]@Vector(8, u32) = @bitCast(x);
        const low = bytes(packed_halves[mask & 15]);
        const high = bytes(packed_halves[mask >> 4]);
        const n: usize = @popCount(mask & 15);
        to[0..4].* = @bitCast(permuted(half[0], low));
        to[n..][0..4].* = @bitCast(permuted(half[1], high));
        return @popCount(mask);
    }
    const together: [8]T = @as(@Vector(8, T), @truncate(permuted(x, bytes(packed_lanes[mask]))));
    to[0..8].* = together;
    return @popCount(mask);
}
inline fn bytes(word: u64) @Vector(8, u32) {
    return @as(@Vector(8, u8), @bitCast(word));
}
/// For each mask of four bits the halves of the words whose bits are set.
const packed_halves: [16]u64 = blk: {
    var table: [16]u64 = @splat(0);
    for (&table, 0..) |*t, mask| {
        var n: u6 = 0;
        for (0..8) |half| if (mask >> half / 2 & 1 != 0) {
            t.* |= half << 8 * n;
            n += 1;
        };
    }
    break :blk table;
};
inline fn permuted(x: @Vector(8, u32), lanes: @Vector(8, u32)) @Vector(8, u32) {
    return asm ("vpermd %[x], %[lanes], %[out]"
        : [out] "=x" (-> @Vector(8, u32)),
        : [x] "x" (x),
          [lanes] "x" (lanes),
    );
}

/// Lanes `by` and on, and then those before.
pub inline fn rotated(x: @Vector(8, i32), by: usize) @Vector(8, i32) {
    const lanes = (simd.iota(8, u32) + @as(@Vector(8, u32), @splat(@intCast(by)))) & @as(@Vector(8, u32), @splat(7));
    if (has_permute) return @bitCast(permuted(@bitCast(x), lanes));
    const from: [8]i32 = x;
    var to: [8]i32 = undefined;
    for (&to, @as([8]u32, lanes)) |*y, lane| y.* = from[lane];
    return to;
}

/// What `between` found: how many lie below, and how many between the bounds.
pub const Found = struct { below: usize, count: usize };

/// Words that are taken as a sample from a range, where it is long and where it is short.
pub const long_sample = 256;
const short_sample = 16;
/// From this length on a larger sample pays.
const long = 2048;

/// Bounds between which the k-th smallest of n probably lies, from a sample in ascending order.
pub fn bracket(sample: []const u64, n: usize, k: usize) [2]u64 {
    const m: f32 = @floatFromInt(sample.len);
    const p = @as(f32, @floatFromInt(k - 1)) / @as(f32, @floatFromInt(n));
    const at = p * m;
    const slack = 1 + 2 * @sqrt(m * p * (1 - p));
    return .{
        if (at - slack < 1) 0 else sample[@trunc(at - slack)],
        if (at + slack >= m - 1) std.math.maxInt(u64) else sample[@trunc(at + slack + 1)],
    };
}

/// The k-th smallest (k >= 1) of `words`, which are changed; `other` has room for as many, and 8 more.
pub fn nth(words: []u64, other: []u64, k: usize) u64 {
    var from = words;
    var to = other;
    var rank = k;
    var rounds: usize = 0;
    while (from.len > 16) : (rounds += 1) {
        // Words that were made to defeat the sample.
        if (rounds == 32) return radix.sort(from, to[0..from.len], .{ .low = 0, .high = 64 })[rank - 1];
        var low, var high = sampled(from, rank);
        var found = between(from, low, high, to.ptr);
        while (rank <= found.below or rank > found.below + found.count) {
            if (rank <= found.below) {
                high = low - 1;
                low = 0;
            } else {
                low = high + 1;
                high = std.math.maxInt(u64);
            }
            found = between(from, low, high, to.ptr);
        }
        rank -= found.below;
        const kept = to[0..found.count];
        to = from.ptr[0 .. found.count + 8];
        from = kept;
    }
    radix.sortFew(from);
    return from[rank - 1];
}
fn sampled(words: []const u64, k: usize) [2]u64 {
    var buffer: [2 * long_sample]u64 = undefined;
    const m: usize = if (words.len >= long) long_sample else short_sample;
    const step = words.len / m;
    for (buffer[0..m], 0..) |*x, i| x.* = words[i * step];
    if (m == long_sample) return bracket(sortedSample(&buffer, m), words.len, k);
    radix.rankSort(buffer[0..16]);
    const at = @as(u32, @intCast(k - 1)) * 16 / @as(u32, @intCast(words.len));
    return .{ if (at < 3) 0 else buffer[at - 3], if (at > 12) std.math.maxInt(u64) else buffer[at + 3] };
}
/// The first m of the buffer, in order; the rest is room to work in.
pub fn sortedSample(buffer: *[2 * long_sample]u64, m: usize) []const u64 {
    return radix.sort(buffer[0..m], buffer[m..][0..m], .{ .low = 0, .high = 64 });
}

/// Collects the words from low to high in `to`, which has room for 8 more.
pub fn between(words: []const u64, low: u64, high: u64, to: [*]u64) Found {
    const V = @Vector(8, u64);
    var below: V = @splat(0);
    var n: usize = 0;
    var i: usize = 0;
    if (simd.has_fma) while (i + 8 <= words.len) : (i += 8) {
        const x: V = words[i..][0..8].*;
        const under = x < @as(V, @splat(low));
        below += @intFromBool(under);
        const mask: u8 = @bitCast(~under & (x <= @as(V, @splat(high))));
        n += compress(u64, to + n, x, mask);
    };
    var sum = @reduce(.Add, below);
    while (i < words.len) : (i += 1) {
        const x = words[i];
        sum += @intFromBool(x < low);
        to[n] = x;
        n += @intFromBool(x >= low and x <= high);
    }
    return .{ .below = sum, .count = n };
}

test nth {
    var prng: std.Random.DefaultPrng = .init(1);
    const random = prng.random();
    const gpa = std.testing.allocator;
    for ([_]usize{ 1, 16, 17, 40, 500, 5000 }) |n| {
        const words = try gpa.alloc(u64, 3 * n + 8);
        defer gpa.free(words);
        for ([_]u64{ 3, std.math.maxInt(u64) }) |most| for ([_]usize{ 1, n / 2 + 1, n }) |k| {
            for (words[0..n], 0..) |*x, i| x.* = random.uintAtMost(u64, most) << 13 | i;
            @memcpy(words[2 * n + 8 ..], words[0..n]);
            const sorted = words[2 * n + 8 ..];
            std.mem.sortUnstable(u64, sorted, {}, std.sort.asc(u64));
            try std.testing.expectEqual(sorted[k - 1], nth(words[0..n], words[n .. 2 * n + 8], k));
        };
    }
}
