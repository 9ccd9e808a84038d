//! A pool of worker threads that lives as long as the process.
//!
//! The caller always works too, and never waits for a worker that has not joined in: a job
//! is open from `parallel` until the caller finds no chunk left; a worker that wakes up
//! later finds it closed and goes back to sleep.
const std = @import("std");
const builtin = @import("builtin");
const futex = @import("futex.zig");
const cpu_limit = @import("cpu_limit.zig");
const Word = std.atomic.Value(u32);

pub const Body = *const fn (ctx: *const anyopaque, begin: usize, end: usize) callconv(.c) void;

const max_threads = 256;
const open_bit: u32 = 1 << 31;
const spins_worker = 2000; // about 20 to 60 us
const spins_caller = 2000;

const Job = struct { ctx: *const anyopaque, run: Body, n: usize, chunk: usize };

var job: Job = undefined; // written only while closed and no worker is in it
var next: std.atomic.Value(usize) align(64) = .init(0);
/// open_bit | workers inside the job
var state: Word align(64) = .init(0);
/// Counts the jobs: what workers sleep on.
var generation: Word align(64) = .init(0);
var sleepers: Word align(64) = .init(0);
var busy: std.atomic.Value(bool) align(64) = .init(false);

var wanted: Word = .init(0); // threads with the caller; 0: not yet asked for
var spawned: u32 = 0; // changed only by the holder of `busy`

/// Sets how many threads a job may use (0: one for each CPU that this process may use, by its
/// affinity and its control group's limit). Returns the number chosen.
pub fn setCount(n: u32) u32 {
    const chosen = @min(if (n != 0) n else cpu_limit.threadCount(), max_threads);
    wanted.store(chosen, .monotonic);
    return chosen;
}

pub fn count() u32 {
    const w = wanted.load(.monotonic);
    return if (w != 0) w else setCount(0);
}

/// Worker threads alive now (0 until a job was first large enough to be split).
pub fn workers() u32 {
    return spawned;
}

/// In the child of a fork: its worker threads are gone, and so is whoever held the pool.
/// The C library calls it; for a caller that does not fork through it, calling it again is
/// harmless.
pub fn afterFork() callconv(.c) void {
    spawned = 0;
    state.store(0, .monotonic);
    sleepers.store(0, .monotonic);
    busy.store(false, .monotonic);
}

/// How much of n a thread takes at a time: four pieces for each thread, which even out their
/// speeds, but none smaller than the grain. The last piece is what is left.
pub fn piece(n: usize, grain: usize, threads: u32) usize {
    const even = std.math.divCeil(usize, n, @as(usize, threads) * 4) catch unreachable;
    return @max(grain, even);
}

/// Runs `body(ctx, begin, end)` over [0, n), in chunks of `grain` or more. A body writes through
/// pointers in `ctx`, never into `ctx` itself: the compiler may take a const argument at its word.
pub fn parallel(n: usize, grain: usize, ctx: *const anyopaque, body: Body) void {
    if (n == 0) return;
    const threads = count();
    // Serial when small, and when the pool is in use: a call from a second Python thread
    // (cffi lets go of the GIL), or from inside a job.
    if (n <= grain or threads == 1 or busy.swap(true, .acquire)) return body(ctx, 0, n);
    defer busy.store(false, .release);
    ensureWorkers(threads);

    const chunk = piece(n, grain, threads);
    job = .{ .ctx = ctx, .run = body, .n = n, .chunk = chunk };
    next.store(0, .monotonic);
    state.store(open_bit, .release);
    _ = generation.fetchAdd(1, .seq_cst);
    if (sleepers.load(.seq_cst) != 0) futex.wakeAll(&generation);

    work();

    var s = state.fetchAnd(~open_bit, .acq_rel) & ~open_bit;
    var spins: u32 = 0;
    while (s != 0) : (s = state.load(.acquire)) {
        if (spins < spins_caller) {
            spins += 1;
            std.atomic.spinLoopHint();
        } else futex.wait(&state, s);
    }
}

fn work() void {
    const j = job;
    while (true) {
        const begin = next.fetchAdd(j.chunk, .monotonic);
        if (begin >= j.n) return;
        j.run(j.ctx, begin, @min(begin + j.chunk, j.n));
    }
}

fn worker(number: u32, first_seen: u32) void {
    var seen = first_seen;
    while (true) {
        var spins: u32 = 0;
        while (generation.load(.acquire) == seen) {
            if (spins < spins_worker) {
                spins += 1;
                std.atomic.spinLoopHint();
                continue;
            }
            _ = sleepers.fetchAdd(1, .seq_cst);
            if (generation.load(.seq_cst) == seen) futex.wait(&generation, seen);
            _ = sleepers.fetchSub(1, .seq_cst);
        }
        seen = generation.load(.acquire);
        // More threads than are wanted now, from when more were.
        if (number >= wanted.load(.monotonic)) continue;
        // Join the job, if it is still open.
        var s = state.load(.monotonic);
        const joined = while (s & open_bit != 0) {
            s = state.cmpxchgWeak(s, s + 1, .acquire, .monotonic) orelse break true;
        } else false;
        if (!joined) continue;
        work();
        // The last one out of a closed job wakes the caller.
        if (state.fetchSub(1, .acq_rel) == 1) futex.wakeAll(&state);
    }
}

fn ensureWorkers(threads: u32) void {
    if (spawned + 1 < threads) registerAtFork();
    while (spawned + 1 < threads) : (spawned += 1) {
        const about = .{ spawned + 1, generation.load(.acquire) };
        const t = std.Thread.spawn(.{ .stack_size = 4 << 20 }, worker, about) catch {
            wanted.store(spawned + 1, .monotonic); // go on with what there is
            return;
        };
        t.detach();
    }
}

fn registerAtFork() void {
    const once = struct {
        var done: bool = false;
        const Handler = ?*const fn () callconv(.c) void;
        extern "c" fn pthread_atfork(Handler, Handler, Handler) c_int;
    };
    if (builtin.os.tag == .windows or once.done) return;
    once.done = true; // by the holder of `busy`
    _ = once.pthread_atfork(null, null, afterFork);
}

test {
    _ = cpu_limit;
    _ = @import("threads_test.zig");
}

test "every index is visited once" {
    const n = 100_003;
    const Ctx = struct {
        seen: []u8,
        fn run(p: *const anyopaque, begin: usize, end: usize) callconv(.c) void {
            const c: *const @This() = @ptrCast(@alignCast(p));
            for (c.seen[begin..end]) |*x| x.* += 1;
        }
    };
    const seen = try std.testing.allocator.alloc(u8, n);
    defer std.testing.allocator.free(seen);
    const ctx: Ctx = .{ .seen = seen };
    for ([_]u32{ 1, 2, 3, 8 }) |threads| {
        _ = setCount(threads);
        for (0..200) |_| {
            @memset(seen, 0);
            parallel(n, 64, &ctx, Ctx.run);
            for (seen) |x| try std.testing.expectEqual(1, x);
        }
    }
}

test "the child of a fork has a pool of its own" {
    if (builtin.os.tag == .windows) return;
    const c = struct {
        extern "c" fn fork() c_int;
        extern "c" fn waitpid(pid: c_int, status: *c_int, options: c_int) c_int;
        extern "c" fn _exit(code: c_int) noreturn;
    };
    const Sum = struct {
        total: *std.atomic.Value(usize),
        fn run(p: *const anyopaque, begin: usize, end: usize) callconv(.c) void {
            const self: *const @This() = @ptrCast(@alignCast(p));
            var t: usize = 0;
            for (begin..end) |i| t += i;
            _ = self.total.fetchAdd(t, .monotonic);
        }
        fn right() bool {
            var total: std.atomic.Value(usize) = .init(0);
            parallel(100_000, 100, &@This(){ .total = &total }, run);
            return total.raw == 100_000 * 99_999 / 2;
        }
    };
    _ = setCount(3);
    try std.testing.expect(Sum.right() and workers() >= 2);
    const pid = c.fork();
    if (pid == 0) {
        if (workers() != 0) c._exit(1); // those are the parent's
        for (0..50) |_| if (!Sum.right()) c._exit(2);
        c._exit(if (workers() == 2) 0 else 3);
    }
    var status: c_int = -1;
    try std.testing.expect(c.waitpid(pid, &status, 0) == pid);
    try std.testing.expectEqual(0, status);
    try std.testing.expect(Sum.right());
}
