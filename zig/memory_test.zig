//! Tests of memory.zig through what it offers.
const std = @import("std");
const builtin = @import("builtin");
const memory = @import("memory.zig");
const expect = std.testing.expect;

const sizes = [_]usize{
    0,              1,              56,      57,      64,            100,     4096,
    65536,          65_537,         100_000, 1 << 20, (2 << 20) + 1, 5 << 20,
        // The last bytes of a class: 56 beyond its multiple of 64.
    (11 << 13) + 56,
    (9 << 17) + 56, (1 << 21) + 56,
};

test "blocks are aligned, apart, and reused" {
    memory.emptyCache();
    const before = memory.stats();
    var blocks: [sizes.len * 4][*]u8 = undefined;
    for (&blocks, 0..) |*b, i| {
        const n = sizes[i % sizes.len];
        b.* = memory.alloc(n) orelse return error.OutOfMemory;
        try expect(@intFromPtr(b.*) % 64 == 0);
        @memset(b.*[0..n], @truncate(i));
    }
    for (blocks, 0..) |b, i| {
        for (b[0..sizes[i % sizes.len]]) |x| if (x != @as(u8, @truncate(i))) return error.Overlap;
    }
    for (blocks) |b| memory.free(b);
    try expect(memory.stats().live == before.live);
    try expect(memory.stats().cached > 0);

    const asked = memory.stats().system_allocations;
    for (&blocks, 0..) |*b, i| b.* = memory.alloc(sizes[i % sizes.len]).?;
    try expect(memory.stats().system_allocations == asked); // all from what was kept
    for (blocks) |b| memory.free(b);
    memory.emptyCache();
    try expect(memory.stats().cached == before.cached);
}

test "a slab without live blocks serves another class" {
    memory.emptyCache();
    var blocks: [40_000][*]u8 = undefined;
    for (&blocks) |*b| b.* = memory.alloc(64).?; // some slabs
    for (blocks) |b| memory.free(b);
    const asked = memory.stats().system_allocations;
    for (blocks[0..10_000]) |*b| b.* = memory.alloc(200).?;
    for (blocks[0..10_000]) |b| memory.free(b);
    try expect(memory.stats().system_allocations == asked);
}

test "what is kept is bounded" {
    memory.emptyCache();
    const base = memory.stats().live;
    // Sizes that never repeat: 64 MiB to 128 MiB, one after the other, untouched.
    var bytes: usize = 64 << 20;
    while (bytes < 128 << 20) : (bytes += bytes / 8) {
        memory.free(memory.alloc(bytes) orelse return error.OutOfMemory);
        const s = memory.stats();
        try expect(s.cached + s.live <= base + (145 << 20) * 5 / 4 + (256 << 20));
    }
    memory.emptyCache();
}

test "peak and limit" {
    memory.resetPeak();
    const start = memory.stats();
    const p = memory.alloc(1 << 20).?;
    memory.free(p);
    const s = memory.stats();
    try expect(s.live == start.live and s.peak >= start.live + (1 << 20));
    memory.resetPeak();
    try expect(memory.stats().peak == start.live);

    memory.setLimit(start.live + (1 << 20));
    defer memory.setLimit(0);
    try expect(memory.alloc(1 << 20) == null);
    const q = memory.alloc(1 << 19) orelse return error.OutOfMemory;
    memory.free(q);
    try expect(memory.stats().live == start.live);
    try expect(memory.alloc(1 << 50) == null);
}

test "several threads at once" {
    const worker = struct {
        fn run(seed: u64, failed: *std.atomic.Value(bool)) void {
            var prng: std.Random.DefaultPrng = .init(seed);
            var held: [64]?[]u8 = @splat(null);
            for (0..20_000) |_| {
                const slot = &held[prng.random().uintLessThan(usize, held.len)];
                if (slot.*) |b| {
                    for (b[0..@min(b.len, 64)]) |x| {
                        if (x != @as(u8, @truncate(seed))) failed.store(true, .monotonic);
                    }
                    memory.free(b.ptr);
                    slot.* = null;
                } else {
                    const most = @as(usize, 1) << prng.random().uintLessThan(u6, 18);
                    const n = prng.random().uintLessThan(usize, most);
                    const b = memory.alloc(n).?[0..n];
                    @memset(b[0..@min(n, 64)], @truncate(seed));
                    slot.* = b;
                }
            }
            for (held) |b| if (b) |x| memory.free(x.ptr);
        }
    }.run;
    const live = memory.stats().live;
    var failed: std.atomic.Value(bool) = .init(false);
    var threads: [4]std.Thread = undefined;
    for (&threads, 1..) |*t, seed| {
        t.* = try std.Thread.spawn(.{ .stack_size = 4 << 20 }, worker, .{ seed, &failed });
    }
    for (threads) |t| t.join();
    try expect(!failed.load(.monotonic));
    try expect(memory.stats().live == live);
}

extern "c" fn fork() c_int;
extern "c" fn waitpid(pid: c_int, status: *c_int, options: c_int) c_int;
extern "c" fn _exit(code: c_int) noreturn;

test "the child of a fork can allocate, whatever other threads were doing" {
    if (builtin.os.tag == .windows) return;
    const busy = struct {
        fn run(stop: *std.atomic.Value(bool)) void {
            while (!stop.load(.monotonic)) memory.free(memory.alloc(100).?);
        }
    }.run;
    var stop: std.atomic.Value(bool) = .init(false);
    const t = try std.Thread.spawn(.{ .stack_size = 4 << 20 }, busy, .{&stop});
    defer t.join();
    defer stop.store(true, .monotonic);
    for (0..20) |_| {
        const pid = fork();
        if (pid == 0) {
            memory.afterFork();
            const p = memory.alloc(1000) orelse _exit(1);
            memory.free(p);
            _exit(0);
        }
        var status: c_int = -1;
        try expect(waitpid(pid, &status, 0) == pid);
        try expect(status == 0);
    }
}
