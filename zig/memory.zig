//! The allocator: 64-byte aligned blocks, kept for reuse. Fresh pages, and not arithmetic,
//! are what makes large tensors slow, so a freed block waits here for the next of its size.
//!
//! Sizes are rounded up to classes, eight for every doubling: at most 1/8 is wasted, and a
//! power of two not at all. Blocks up to a few KiB are cut from slabs (1 MiB of one class);
//! a slab without live blocks may serve another class. Larger blocks come from the C
//! library's heap, those of 2 MiB and more from mmap with huge pages advised; freed ones
//! stand in a list for each class, and in one list by age.
//!
//! What is kept is bounded by what the program recently needed: live and kept bytes together
//! stay below 5/4 of the largest live size among the last 65,536 to 131,072 allocations, plus
//! 256 MiB. Beyond it the longest unused goes back to the system, so a program whose
//! sizes never repeat does not grow. When the system has no memory, everything that is
//! kept is given back, and it is asked once more.
const std = @import("std");
const builtin = @import("builtin");
const pages = @import("pages.zig");

const windows = builtin.os.tag == .windows;

// ------------------------------------------------------------------ size classes

/// A block is `units` * 64 + 56 bytes for its user: the 8 bytes before it are its header,
/// so that powers of two fit without waste.
fn unitsFor(bytes: usize) usize {
    return (bytes + 7) / 64;
}

/// The class for this many units: one for each number up to 8, then eight each doubling.
fn classOf(units: usize) u32 {
    if (units <= 8) return @intCast(units);
    const shift: u6 = @intCast(60 - @clz(@as(u64, units - 1)));
    return @intCast(8 * @as(usize, shift) + ((units - 1) >> shift) + 1);
}

/// The most units that a block of the class holds.
fn classUnits(class: u32) usize {
    if (class <= 8) return class;
    const shift: u6 = @intCast((class - 9) / 8);
    return @as(usize, (class - 1) % 8 + 9) << shift;
}

/// Bytes from one block of the class to the next.
fn strideOf(class: u32) usize {
    return (classUnits(class) + 1) * 64;
}

const max_bytes = 1 << 46;
const n_classes = classOf(unitsFor(max_bytes)) + 1;

/// Windows maps at multiples of 64 KiB; elsewhere the alignment of a slab can be had.
const slab_bytes = if (windows) 64 << 10 else 1 << 20;
const small_classes = classOf(slab_bytes / 16 / 64) + 1;

const small_strides: [small_classes]u32 = blk: {
    var list: [small_classes]u32 = undefined;
    for (&list, 0..) |*s, class| s.* = strideOf(class);
    break :blk list;
};

// ------------------------------------------------------------------ blocks

/// Directly before every block.
const Header = extern struct {
    class: u32,
    state: u32,

    const live: u32 = 0x6576696c;
    const free: u32 = 0x65657266;
};

fn headerOf(block: [*]u8) *Header {
    return @ptrCast(@alignCast(block - @sizeOf(Header)));
}

/// The 64 bytes before a large block; its header is the end of it.
const Large = extern struct {
    // While it is free: its neighbours in the list of its class (newest first), and in the
    // list by age.
    class_next: ?*Large,
    class_prev: ?*Large,
    older: ?*Large,
    newer: ?*Large,
    /// What it takes from the system, and whether from mmap.
    bytes: usize,
    mapped: bool,
    unused: [15]u8,
    header: Header,

    fn of(block: [*]u8) *Large {
        return @ptrCast(@alignCast(block - @sizeOf(Large)));
    }
    fn data(l: *Large) [*]align(64) u8 {
        return @alignCast(@as([*]u8, @ptrCast(l)) + @sizeOf(Large));
    }
};

/// The start of a slab: the blocks of one class that lie in it.
const Slab = extern struct {
    // Its neighbours among the slabs of its class that have room.
    next: ?*Slab,
    prev: ?*Slab,
    free: ?*FreeBlock,
    class: u32,
    live: u32,
    /// Blocks that were ever cut from it; beyond lies untouched memory.
    cut: u32,
    capacity: u32,

    fn of(block: [*]u8) *Slab {
        return @ptrFromInt(@intFromPtr(block) & ~@as(usize, slab_bytes - 1));
    }
    fn hasRoom(s: *const Slab) bool {
        return s.free != null or s.cut < s.capacity;
    }
};
const first_block = 128;
const FreeBlock = extern struct { next: ?*FreeBlock };

comptime {
    std.debug.assert(@sizeOf(Large) == 64);
    std.debug.assert(@offsetOf(Large, "header") == 64 - @sizeOf(Header));
    std.debug.assert(@sizeOf(Slab) <= first_block - @sizeOf(Header));
}

// ------------------------------------------------------------------ state

pub const Stats = struct {
    /// Bytes in blocks that are in use (rounded up to their classes), and their maximum.
    live: usize,
    peak: usize,
    /// Bytes that were taken from the system and are not in use.
    cached: usize,
    /// Calls of `alloc`, and how often the system was asked.
    allocations: usize,
    system_allocations: usize,
};

const State = struct {
    live: usize = 0,
    peak: usize = 0,
    reserved: usize = 0,
    allocations: usize = 0,
    system_allocations: usize = 0,
    limit: usize = std.math.maxInt(usize),
    /// Largest `live` in this window of allocations, and in the one before.
    window_peak: usize = 0,
    previous_peak: usize = 0,

    /// Slabs of each class that have room; slabs of none.
    partial: [small_classes]?*Slab = @splat(null),
    empty: ?*Slab = null,
    n_empty: usize = 0,
    /// Free large blocks.
    large: [n_classes]?*Large = @splat(null),
    oldest: ?*Large = null,
    newest: ?*Large = null,
};
var state: State = .{};

const window = 1 << 16;
const slack = 256 << 20;
const kept_empty_slabs = 16;

fn bound() usize {
    const recent = @max(state.window_peak, state.previous_peak);
    return recent + recent / 4 + slack;
}

/// Held for some tens of nanoseconds, never during a system call.
var mutex: std.atomic.Value(u32) = .init(0);

inline fn lock() void {
    if (mutex.swap(1, .acquire) != 0) lockSlow();
}
fn lockSlow() void {
    @branchHint(.cold);
    var spins: u32 = 0;
    while (true) : (spins += 1) {
        if (mutex.load(.monotonic) == 0 and mutex.swap(1, .acquire) == 0) return;
        // Its holder may have lost the CPU.
        if (spins < 100) std.atomic.spinLoopHint() else std.Thread.yield() catch {};
    }
}
inline fn unlock() void {
    mutex.store(0, .release);
}

/// A fork must not copy the lists in the middle of a change by another thread.
const at_fork = struct {
    fn before() callconv(.c) void {
        lock();
    }
    fn after() callconv(.c) void {
        unlock();
    }
    var registered: std.atomic.Value(bool) = .init(false);
    fn register() void {
        if (windows or registered.swap(true, .monotonic)) return;
        _ = pthread_atfork(before, after, after);
    }
    const Handler = *const fn () callconv(.c) void;
    extern "c" fn pthread_atfork(Handler, Handler, Handler) c_int;
};

/// In the child of a fork, where the C library may not have called the handlers.
pub fn afterFork() void {
    unlock();
}

// ------------------------------------------------------------------ alloc and free

/// A block of at least `bytes`, or null when there is no memory. 0 bytes are a block too.
pub fn alloc(bytes: usize) ?[*]align(64) u8 {
    if (bytes > max_bytes) return null;
    const class = classOf(unitsFor(bytes));
    if (class < small_classes) return allocSmall(class);
    return allocLarge(class);
}

/// Gives a block back. Freeing it twice is a defect of the caller: an assertion in the safe
/// modes; the others leave it alone where they see it.
pub fn free(ptr: [*]u8) void {
    const header = headerOf(ptr);
    lock();
    if (header.state != Header.live) {
        unlock();
        if (std.debug.runtime_safety) @panic("block is freed twice, or none of ours");
        return;
    }
    header.state = Header.free;
    if (header.class < small_classes) {
        state.live -= small_strides[header.class];
        freeSmall(ptr);
    } else {
        state.live -= strideOf(header.class);
        freeLarge(Large.of(ptr));
    }
    const over = state.reserved > bound();
    unlock();
    if (over) trim();
}

/// Books a block of `stride` bytes; false beyond the limit. With the lock.
inline fn book(stride: usize) bool {
    if (state.live + stride > state.limit) return false;
    state.live += stride;
    if (state.live > state.peak) state.peak = state.live;
    if (state.live > state.window_peak) state.window_peak = state.live;
    state.allocations += 1;
    if (state.allocations % window == 0) {
        state.previous_peak = state.window_peak;
        state.window_peak = state.live;
    }
    return true;
}

fn allocSmall(class: u32) ?[*]align(64) u8 {
    const stride = small_strides[class];
    lock();
    if (!book(stride)) {
        unlock();
        return null;
    }
    const slab = state.partial[class] orelse slabFor(class) orelse {
        state.live -= stride;
        unlock();
        return null;
    };
    const block: [*]u8 = if (slab.free) |f| blk: {
        slab.free = f.next;
        break :blk @ptrCast(f);
    } else blk: {
        const at = first_block + @as(usize, slab.cut) * stride;
        slab.cut += 1;
        break :blk @as([*]u8, @ptrCast(slab)) + at;
    };
    slab.live += 1;
    if (!slab.hasRoom()) unlinkSlab(slab);
    unlock();
    headerOf(block).* = .{ .class = class, .state = Header.live };
    return @alignCast(block);
}

fn freeSmall(block: [*]u8) void {
    const slab = Slab.of(block);
    const had_room = slab.hasRoom();
    const f: *FreeBlock = @ptrCast(@alignCast(block));
    f.next = slab.free;
    slab.free = f;
    slab.live -= 1;
    if (!had_room) linkSlab(slab);
    // One slab stays with its class, for a block that comes and goes.
    if (slab.live == 0 and (slab.next != null or slab.prev != null)) {
        unlinkSlab(slab);
        pushEmpty(slab);
    }
}

fn linkSlab(slab: *Slab) void {
    const head = state.partial[slab.class];
    slab.prev = null;
    slab.next = head;
    if (head) |h| h.prev = slab;
    state.partial[slab.class] = slab;
}

fn unlinkSlab(slab: *Slab) void {
    if (slab.prev) |p| p.next = slab.next else state.partial[slab.class] = slab.next;
    if (slab.next) |n| n.prev = slab.prev;
    slab.next = null;
    slab.prev = null;
}

fn pushEmpty(slab: *Slab) void {
    slab.next = state.empty;
    state.empty = slab;
    state.n_empty += 1;
}

fn popEmpty() ?*Slab {
    const slab = state.empty orelse return null;
    state.empty = slab.next;
    state.n_empty -= 1;
    return slab;
}

/// A slab with room for the class, in its list. Lets go of the lock while it asks the system.
fn slabFor(class: u32) ?*Slab {
    @branchHint(.unlikely);
    const slab = popEmpty() orelse blk: {
        unlock();
        at_fork.register();
        const p = tryTwice(slab_bytes, newSlab);
        lock();
        // Another thread may have been here meanwhile; a slab more does no harm.
        const memory = p orelse return null;
        state.reserved += slab_bytes;
        state.system_allocations += 1;
        break :blk @as(*Slab, @ptrCast(memory));
    };
    slab.* = .{
        .next = null,
        .prev = null,
        .free = null,
        .class = class,
        .live = 0,
        .cut = 0,
        .capacity = (slab_bytes - first_block) / small_strides[class],
    };
    linkSlab(slab);
    return slab;
}

fn newSlab(bytes: usize) ?[*]align(64) u8 {
    return pages.map(bytes, slab_bytes);
}

fn allocLarge(class: u32) ?[*]align(64) u8 {
    const stride = strideOf(class);
    lock();
    if (!book(stride)) {
        unlock();
        return null;
    }
    if (state.large[class]) |l| {
        unlinkLarge(l);
        l.header.state = Header.live;
        unlock();
        return l.data();
    }
    unlock();

    at_fork.register();
    const mapped = stride >= pages.huge_page_bytes;
    const size = stride + 64 - @sizeOf(Header); // no next block, whose first 56 bytes are the user's
    const bytes = if (mapped) std.mem.alignForward(usize, size, pages.page_bytes) else size;
    const memory = tryTwice(bytes, if (mapped) mapLarge else pages.heapAlloc);
    lock();
    defer unlock();
    const start = memory orelse {
        state.live -= stride;
        return null;
    };
    state.reserved += bytes;
    state.system_allocations += 1;
    const l: *Large = @ptrCast(start);
    l.bytes = bytes;
    l.mapped = mapped;
    l.header = .{ .class = class, .state = Header.live };
    return l.data();
}

fn mapLarge(bytes: usize) ?[*]align(64) u8 {
    const alignment = if (windows) pages.map_granularity else pages.huge_page_bytes;
    const p = pages.map(bytes, alignment) orelse return null;
    pages.adviseHuge(p, bytes);
    return p;
}

/// Asks the system, and once more with nothing kept here. Without the lock.
fn tryTwice(bytes: usize, ask: *const fn (usize) ?[*]align(64) u8) ?[*]align(64) u8 {
    return ask(bytes) orelse {
        emptyCache();
        return ask(bytes);
    };
}

fn freeLarge(l: *Large) void {
    l.class_prev = null;
    l.class_next = state.large[l.header.class];
    if (l.class_next) |n| n.class_prev = l;
    state.large[l.header.class] = l;

    l.newer = null;
    l.older = state.newest;
    if (state.newest) |n| n.newer = l else state.oldest = l;
    state.newest = l;
}

fn unlinkLarge(l: *Large) void {
    const head = &state.large[l.header.class];
    if (l.class_prev) |p| p.class_next = l.class_next else head.* = l.class_next;
    if (l.class_next) |n| n.class_prev = l.class_prev;
    if (l.newer) |n| n.older = l.older else state.newest = l.older;
    if (l.older) |o| o.newer = l.newer else state.oldest = l.newer;
}

// ------------------------------------------------------------------ giving memory back

/// One piece that is not needed, out of the lists: the longest unused large block, or a slab
/// beyond the `keep_slabs` that are kept for the next small blocks. With the lock.
const Piece = union(enum) { large: *Large, slab: *Slab };

fn takeUnused(keep_slabs: usize) ?Piece {
    if (state.n_empty > keep_slabs) {
        state.reserved -= slab_bytes;
        return .{ .slab = popEmpty().? };
    }
    const l = state.oldest orelse return null;
    unlinkLarge(l);
    state.reserved -= l.bytes;
    return .{ .large = l };
}

fn release(piece: Piece) void {
    switch (piece) {
        .slab => |s| pages.unmap(@ptrCast(@alignCast(s)), slab_bytes),
        .large => |l| {
            const start: [*]align(64) u8 = @ptrCast(@alignCast(l));
            if (l.mapped) pages.unmap(start, l.bytes) else pages.heapFree(start);
        },
    }
}

/// Back below the bound.
fn trim() void {
    while (true) {
        lock();
        const piece = if (state.reserved > bound()) takeUnused(kept_empty_slabs) else null;
        unlock();
        release(piece orelse return);
    }
}

/// Gives everything that is not in use back to the system.
pub fn emptyCache() void {
    lock();
    for (state.partial) |head| {
        var next = head;
        while (next) |slab| {
            next = slab.next;
            if (slab.live == 0) {
                unlinkSlab(slab);
                pushEmpty(slab);
            }
        }
    }
    unlock();
    while (true) {
        lock();
        const piece = takeUnused(0);
        unlock();
        release(piece orelse return);
    }
}

// ------------------------------------------------------------------ numbers

pub fn stats() Stats {
    lock();
    defer unlock();
    return .{
        .live = state.live,
        .peak = state.peak,
        .cached = state.reserved -| state.live,
        .allocations = state.allocations,
        .system_allocations = state.system_allocations,
    };
}

/// The maximum counts from now on.
pub fn resetPeak() void {
    lock();
    defer unlock();
    state.peak = state.live;
}

/// Live bytes beyond which `alloc` gives null (0: no limit), to see a program run out of memory.
pub fn setLimit(bytes: usize) void {
    lock();
    defer unlock();
    state.limit = if (bytes == 0) std.math.maxInt(usize) else bytes;
}

test {
    _ = @import("memory_test.zig");
    _ = pages;
}

test "size classes waste an eighth at most, and are consistent" {
    const expect = std.testing.expect;
    var class: u32 = 0;
    while (class < n_classes) : (class += 1) try expect(classOf(classUnits(class)) == class);
    var bytes: usize = 0;
    while (bytes < 1 << 20) : (bytes += 7) {
        const holds = strideOf(classOf(unitsFor(bytes))) - @sizeOf(Header);
        try expect(holds >= bytes);
        try expect(holds - bytes <= @max(64, bytes / 8 + 64));
    }
    for (6..46) |e| {
        const power = @as(usize, 1) << @intCast(e);
        try expect(strideOf(classOf(unitsFor(power))) == power + 64);
    }
}
