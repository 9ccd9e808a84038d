//! How work is cut for 1, 2, 16 and 64 threads: all of it, once, and evenly.
const std = @import("std");
const threads = @import("threads.zig");
const expect = std.testing.expect;

/// n and grain as the kernels give them to `parallel`.
const Work = struct { what: []const u8, n: usize, grain: usize };

const works = [_]Work{
    // Elementwise: units of 64 elements (ops/elementwise.zig).
    .{ .what = "add, 10 K elements", .n = 10_000 / 64 + 1, .grain = 32768 / 64 },
    .{ .what = "add, 100 K elements", .n = 100_000 / 64 + 1, .grain = 32768 / 64 },
    .{ .what = "add, 1 M elements", .n = 1_000_000 / 64, .grain = 32768 / 64 },
    .{ .what = "exp, 100 K elements", .n = 100_000 / 64 + 1, .grain = 8192 / 64 },
    .{ .what = "add, 16 M elements", .n = 16_000_000 / 64, .grain = 32768 / 64 },
    // Rows: as many as are worth a thread together.
    .{ .what = "softmax, 7 rows of 8192", .n = 7, .grain = 1 },
    .{ .what = "softmax, 1000 rows of 1000", .n = 1000, .grain = 8 },
    .{ .what = "layer_norm, 2048 rows of 128", .n = 2048, .grain = 64 },
    .{ .what = "sum, 123 blocks of 4096", .n = 123, .grain = 8 },
    // Products and convolutions: tiles of the output.
    .{ .what = "a product of 512 x 512", .n = 37 * 16, .grain = 1 },
    .{ .what = "a product of 1000 x 1000", .n = 72 * 32, .grain = 1 },
    .{ .what = "a product of 14 x 32, one tile", .n = 1, .grain = 1 },
    .{ .what = "65 products of a batch", .n = 65, .grain = 1 },
    .{ .what = "a convolution of 16 images", .n = 16 * 32, .grain = 2 },
    .{ .what = "attention, 12 heads", .n = 12, .grain = 1 },
    // Optimizers: chunks of 8192 elements.
    .{ .what = "Adam, 124 M elements", .n = 124_000_000 / 8192 + 148, .grain = 4 },
    .{ .what = "Adam, 3 chunks", .n = 3, .grain = 4 },
};

/// The length of the longest thread's share where each takes the next piece when it is done, at
/// one speed, and how many pieces there are. Fails where a part is left out or done twice.
fn share(w: Work, count: u32) !struct { longest: usize, pieces: usize } {
    if (w.n <= w.grain or count == 1) return .{ .longest = w.n, .pieces = 1 };
    const length = threads.piece(w.n, w.grain, count);
    try expect(length >= w.grain);
    var loads: [64]usize = @splat(0);
    var begin: usize = 0;
    var pieces: usize = 0;
    while (begin < w.n) : (begin += length) {
        loads[std.mem.findMin(usize, loads[0..count])] += @min(length, w.n - begin);
        pieces += 1;
    }
    var all: usize = 0;
    for (loads[0..count]) |l| all += l;
    try expect(all == w.n);
    return .{ .longest = std.mem.max(usize, loads[0..count]), .pieces = pieces };
}

test "all of the work is cut evenly, into pieces that are worth a thread" {
    for (works) |w| for ([_]u32{ 1, 2, 16, 64 }) |count| {
        const s = try share(w, count);
        errdefer std.debug.print("{s}, {d} threads\n", .{ w.what, count });
        // Never more than four pieces a thread, and as many threads at work as there are grains.
        try expect(s.pieces <= 4 * count);
        try expect(s.pieces >= @min(count, w.n / w.grain) / 2);
        // The longest share exceeds the even one by less than one piece: of four, or of one grain.
        const even = std.math.divCeil(usize, w.n, count) catch unreachable;
        try expect(s.longest <= even + @max(w.grain, even / 4 + 1));
        // Where there is much to do: by no more than a piece's rounding.
        if (w.n >= 64 * @as(usize, count) * w.grain) try expect(s.longest <= even + 4);
    };
}

test "every index is visited once, whatever the number of threads" {
    const Seen = struct {
        counts: []std.atomic.Value(u8),
        fn run(p: *const anyopaque, begin: usize, end: usize) callconv(.c) void {
            const self: *const @This() = @ptrCast(@alignCast(p));
            for (self.counts[begin..end]) |*c| _ = c.fetchAdd(1, .monotonic);
        }
    };
    const counts = try std.testing.allocator.alloc(std.atomic.Value(u8), 20_000);
    defer std.testing.allocator.free(counts);
    for ([_]u32{ 1, 2, 16, 64 }) |count| {
        _ = threads.setCount(count);
        for (works) |w| {
            const n = @min(w.n, counts.len);
            for (counts) |*c| c.* = .init(0);
            threads.parallel(n, w.grain, &Seen{ .counts = counts[0..n] }, Seen.run);
            for (counts, 0..) |*c, i| try expect(c.load(.monotonic) == @intFromBool(i < n));
        }
    }
    _ = threads.setCount(2);
}
