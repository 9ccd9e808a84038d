//! What a kernel may ask of the library around it: memory and threads.
//!
//! Every object of kernel families (objects.zon) is compiled for every CPU level, and all share
//! one pool and one allocator, which live in the root object (compiled for the baseline).
//! So a kernel reaches them through hidden symbols; in a family's own tests, which are one
//! compilation, directly.
const std = @import("std");
const builtin = @import("builtin");

pub const Body = *const fn (ctx: *const anyopaque, begin: usize, end: usize) callconv(.c) void;

const external = struct {
    extern fn dlgrad_internal_alloc(bytes: usize) callconv(.c) ?[*]align(64) u8;
    extern fn dlgrad_internal_free(ptr: [*]u8) callconv(.c) void;
    extern fn dlgrad_internal_parallel(n: usize, grain: usize, ctx: *const anyopaque, body: Body) callconv(.c) void;
    extern fn dlgrad_internal_threads() callconv(.c) u32;
};
const direct = struct {
    const threads = @import("threads.zig");
    const memory = @import("memory.zig");
};

/// 64-byte aligned working memory, or null. Give it back with `free`.
pub fn alloc(bytes: usize) ?[*]align(64) u8 {
    return if (builtin.is_test) direct.memory.alloc(bytes) else external.dlgrad_internal_alloc(bytes);
}
pub fn allocSlice(comptime T: type, n: usize) ?[]align(64) T {
    const p = alloc(n * @sizeOf(T)) orelse return null;
    return @as([*]align(64) T, @ptrCast(p))[0..n];
}
pub fn free(ptr: [*]u8) void {
    if (builtin.is_test) direct.memory.free(ptr) else external.dlgrad_internal_free(ptr);
}

/// How many threads a parallel region may use. Must never decide a result (DESIGN.md 4).
pub fn threadCount() u32 {
    return if (builtin.is_test) direct.threads.count() else external.dlgrad_internal_threads();
}

/// Runs `f(&ctx, begin, end)` over [0, n) in pieces of at least `grain`, on all threads.
/// The pieces' borders depend on the number of threads: what must not is the result.
pub fn parallelFor(n: usize, grain: usize, ctx: anytype, comptime f: fn (*const @TypeOf(ctx), usize, usize) void) void {
    if (n == 0) return;
    if (n <= grain) return f(&ctx, 0, n);
    const erased = struct {
        fn body(p: *const anyopaque, begin: usize, end: usize) callconv(.c) void {
            f(@ptrCast(@alignCast(p)), begin, end);
        }
    };
    if (builtin.is_test) {
        direct.threads.parallel(n, grain, &ctx, erased.body);
    } else external.dlgrad_internal_parallel(n, grain, &ctx, erased.body);
}
