//! Stores that go around the cache, for outputs that would not fit in it: the cache lines
//! written are not read first, and what is in the cache stays.
const std = @import("std");
const builtin = @import("builtin");

pub const available = builtin.cpu.arch == .x86_64;

/// Outputs from this size are streamed (more than any L2 and than a core's share of most L3).
pub const from_bytes: usize = 32 << 20;

/// Whether one instruction stores a line: stores of half of one, with other work between the lines,
/// are slower than a line by way of the cache.
pub const whole_lines = available and builtin.zig_backend == .stage2_llvm and builtin.cpu.has(.x86, .avx512f);

const bytes = if (available and builtin.cpu.has(.x86, .avx)) 32 else 16;
const V = @Vector(bytes, u8);

/// n bytes. Call `fence` before another thread may read them.
pub fn copy(to: [*]u8, from: [*]const u8, n: usize) void {
    const head = @min(n, -%@intFromPtr(to) % bytes);
    @memcpy(to[0..head], from[0..head]);
    var i = head;
    while (i + 4 * bytes <= n) : (i += 4 * bytes) {
        inline for (0..4) |k| store(to + i + k * bytes, from[i + k * bytes ..][0..bytes].*);
    }
    @memcpy(to[i..n], from[i..n]);
}

/// 64 bytes to a multiple of 64.
pub inline fn storeLine(to: [*]u8, x: @Vector(64, u8)) void {
    if (whole_lines) return asm volatile ("vmovntdq %[x], (%[to])"
        :
        : [x] "v" (x),
          [to] "r" (to),
        : .{ .memory = true });
    const parts: [64 / bytes]V = @bitCast(x);
    inline for (parts, 0..) |part, k| store(to + k * bytes, part);
}

inline fn store(to: [*]u8, x: V) void {
    if (bytes == 32) {
        asm volatile ("vmovntdq %[x], (%[to])"
            :
            : [x] "x" (x),
              [to] "r" (to),
            : .{ .memory = true });
    } else if (available) {
        asm volatile ("movntdq %[x], (%[to])"
            :
            : [x] "x" (x),
              [to] "r" (to),
            : .{ .memory = true });
    } else to[0..bytes].* = x;
}

pub fn fence() void {
    if (available) asm volatile ("sfence" ::: .{ .memory = true });
}

test "streamed bytes arrive, at any alignment" {
    var from: [1000]u8 = undefined;
    for (&from, 0..) |*x, i| x.* = @truncate(i *% 7);
    var to: [1100]u8 align(64) = undefined;
    for ([_]usize{ 0, 1, 13, 32, 63 }) |shift| for ([_]usize{ 0, 1, 31, 127, 128, 500, 1000 }) |n| {
        @memset(&to, 0xee);
        copy(to[shift..].ptr, &from, n);
        fence();
        try std.testing.expectEqualSlices(u8, from[0..n], to[shift..][0..n]);
        try std.testing.expect(to[shift + n] == 0xee and (shift == 0 or to[shift - 1] == 0xee));
    };
}
