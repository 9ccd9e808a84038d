//! Operands of the CPU's dot products (gemm_kernel.zig, `Op.dot`): bfloat16 in pairs and bytes
//! in fours along k, each a word of 32 bits that is one step of the product. Words move as
//! elements of T, which packs and multiplies what they hold.
//!
//! Bytes of B become unsigned by 128 more, as the instruction wants them; what that adds to an
//! element of the product, 128 times the sum of A's row, `offsets` tells.
const std = @import("std");
const services = @import("../services.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const pack = @import("gemm_pack.zig");
const Kernel = gemm_kernel.Kernel;

/// An operand: element i of step k is ptr[i * si + k * sk], i < length and k < steps.
pub fn Words(comptime T: type) type {
    return struct {
        const Self = @This();
        pub const Element = if (T == f32) u16 else u8;
        pub const per = 4 / @sizeOf(Element);

        ptr: [*]const Element,
        si: usize,
        sk: usize,
        steps: usize,
        length: usize,
        /// Adds 128 to every byte.
        flips: bool = false,

        pub fn count(s: *const Self) usize {
            return (s.steps + per - 1) / per;
        }

        /// Whether the words lie in memory as they are.
        pub fn areWords(s: *const Self) bool {
            return s.sk == 1 and s.si % per == 0 and @intFromPtr(s.ptr) % 4 == 0;
        }
        pub fn words(s: *const Self) [*]const T {
            return @ptrCast(@alignCast(s.ptr));
        }

        pub fn packA(c: *const anyopaque, dst: [*]T, first: usize, n: usize, k0: usize, kc: usize) void {
            packPanel(Kernel(T).mr, @ptrCast(@alignCast(c)), dst, first, n, k0, kc);
        }
        pub fn packB(c: *const anyopaque, dst: [*]T, first: usize, n: usize, k0: usize, kc: usize) void {
            packPanel(Kernel(T).nr, @ptrCast(@alignCast(c)), dst, first, n, k0, kc);
        }

        /// dst[k * width + i] = word k0 + k of element first + i, for k < kc and i < n.
        fn packPanel(comptime width: usize, s: *const Self, dst: [*]T, first: usize, n: usize, k0: usize, kc: usize) void {
            var done: usize = 0;
            if (s.areWords()) {
                done = @min(kc, s.steps / per - k0);
                pack.packPanel(T, width, dst, s.words() + first * (s.si / per) + k0, s.si / per, 1, n, done);
            }
            while (done < kc) : (done += 1) {
                weave(width, s, dst + done * width, first, n, (k0 + done) * per);
            }
            if (s.flips) {
                const U = @Vector(width, u32);
                for (0..kc) |k| {
                    const word = @as(*align(4) [width]u32, @ptrCast(dst + k * width));
                    word.* = @as(U, word.*) ^ @as(U, @splat(0x8080_8080));
                }
            }
        }

        /// One word of n elements, of the steps from k0 on (those past the last are 0).
        inline fn weave(comptime width: usize, s: *const Self, dst: [*]T, first: usize, n: usize, k0: usize) void {
            const W = (width + 15) / 16 * 16;
            const U = @Vector(W, u32);
            const in_row = s.si == 1 and first + W <= s.length;
            var sum: U = @splat(0);
            inline for (0..per) |part| if (k0 + part < s.steps) {
                const at = s.ptr + first * s.si + (k0 + part) * s.sk;
                const row: @Vector(W, Element) = if (in_row) at[0..W].* else gather(W, s, at, n);
                sum |= @as(U, row) << @splat(part * 8 * @sizeOf(Element));
            };
            dst[0..width].* = @bitCast(@as([W]u32, sum)[0..width].*);
        }
        noinline fn gather(comptime W: usize, s: *const Self, from: [*]const Element, n: usize) @Vector(W, Element) {
            var row: [W]Element = @splat(0);
            for (0..n) |i| row[i] = from[i * s.si];
            return row;
        }

        /// out[i] = -128 * the sum of row i's bytes, for m rows: what a flipped B adds, negated.
        pub fn offsets(s: *const Self, out: [*]T, m: usize) void {
            const W = 64;
            const signed: [*]const i8 = @ptrCast(s.ptr);
            for (0..m) |i| {
                const row = signed + i * s.si;
                var sum: i32 = 0;
                var k: usize = 0;
                if (s.sk == 1) {
                    var acc: @Vector(W / 4, T) = @splat(0);
                    const ones: @Vector(W / 4, T) = @splat(0x0101_0101);
                    while (k + W <= s.steps) : (k += W) {
                        const x: @Vector(W, i8) = row[k..][0..W].*;
                        acc = gemm_kernel.dot(T, W / 4, acc, @bitCast(x), ones);
                    }
                    inline for (0..W / 4) |l| sum +%= acc[l];
                }
                while (k < s.steps) : (k += 1) sum +%= row[k * s.sk];
                out[i] = -%(sum *% 128);
            }
        }
    };
}
