//! Memory from the operating system, for memory.zig: mapped pages, and the C library's heap
//! for the sizes in between.
const std = @import("std");
const builtin = @import("builtin");

const windows = builtin.os.tag == .windows;
pub const page_bytes = std.heap.page_size_max;
pub const huge_page_bytes = 2 << 20;

/// What `map` aligns to without effort.
pub const map_granularity = if (windows) 64 << 10 else page_bytes;

/// `bytes` (a multiple of `page_bytes`) of zeros at a multiple of `alignment`, or null.
/// On Windows `alignment` must not exceed `map_granularity`.
pub fn map(bytes: usize, alignment: usize) ?[*]align(64) u8 {
    std.debug.assert(bytes % page_bytes == 0 and std.math.isPowerOfTwo(alignment));
    if (windows) {
        std.debug.assert(alignment <= map_granularity);
        const p = kernel32.VirtualAlloc(null, bytes, commit_and_reserve, read_write);
        return @ptrCast(@alignCast(p));
    }
    // Map more, and give what stands out on either side back.
    const extra = if (alignment > page_bytes) alignment else 0;
    const total = std.math.add(usize, bytes, extra) catch return null;
    const flags: std.c.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
    const raw = std.c.mmap(null, total, .{ .READ = true, .WRITE = true }, flags, -1, 0);
    if (raw == std.c.MAP_FAILED) return null;
    const start = @intFromPtr(raw);
    const aligned = std.mem.alignForward(usize, start, @max(alignment, 64));
    release(start, aligned - start);
    release(aligned + bytes, start + total - (aligned + bytes));
    return @ptrFromInt(aligned);
}

fn release(start: usize, bytes: usize) void {
    if (bytes != 0) _ = std.c.munmap(@ptrFromInt(start), bytes);
}

pub fn unmap(start: [*]align(64) u8, bytes: usize) void {
    if (windows) {
        _ = kernel32.VirtualFree(start, 0, release_all);
    } else release(@intFromPtr(start), bytes);
}

/// Asks for 2 MiB pages: one page fault instead of 512. A wish; nothing depends on it.
pub fn adviseHuge(start: [*]align(64) u8, bytes: usize) void {
    if (builtin.os.tag != .linux) return;
    _ = std.c.madvise(@ptrCast(@alignCast(start)), bytes, std.c.MADV.HUGEPAGE);
}

/// 64-byte aligned memory from the C library, or null.
pub fn heapAlloc(bytes: usize) ?[*]align(64) u8 {
    if (windows) return map(std.mem.alignForward(usize, bytes, page_bytes), 64);
    var p: ?*anyopaque = null;
    if (posix_memalign(&p, 64, bytes) != 0) return null;
    return @ptrCast(@alignCast(p));
}

pub fn heapFree(start: [*]align(64) u8) void {
    if (windows) return unmap(start, 0);
    std.c.free(start);
}

extern "c" fn posix_memalign(out: *?*anyopaque, alignment: usize, bytes: usize) c_int;

const commit_and_reserve = 0x3000;
const read_write = 0x04;
const release_all = 0x8000;
const kernel32 = struct {
    extern "kernel32" fn VirtualAlloc(?*anyopaque, usize, u32, u32) callconv(.winapi) ?*anyopaque;
    extern "kernel32" fn VirtualFree(?*anyopaque, usize, u32) callconv(.winapi) c_int;
};

test "maps are aligned, zero and writable" {
    for ([_]usize{ map_granularity, 1 << 20 }) |alignment| {
        if (windows and alignment > map_granularity) continue;
        const bytes = 4 * page_bytes;
        const p = map(bytes, alignment) orelse return error.OutOfMemory;
        defer unmap(p, bytes);
        try std.testing.expect(@intFromPtr(p) % alignment == 0);
        try std.testing.expect(p[0] == 0 and p[bytes - 1] == 0);
        @memset(p[0..bytes], 1);
    }
    const h = heapAlloc(1000) orelse return error.OutOfMemory;
    defer heapFree(h);
    @memset(h[0..1000], 1);
    try std.testing.expectEqual(null, map((1 << 47) / page_bytes * page_bytes, page_bytes));
}
