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
            const whole = @min(kc, s.steps / per - k0);
            const W = (width + 15) / 16 * 16;
            var done: usize = 0;
            var flipped: usize = 0;
            const flip: u16 = if (s.flips) 0x8080 else 0;
            if (s.areWords()) {
                pack.packPanel(T, width, dst, s.words() + first * (s.si / per) + k0, s.si / per, 1, n, whole);
                done = whole;
            } else if (s.si == 1 and first + W <= s.length) {
                while (done < whole) : (done += 1) {
                    var rows: [per]@Vector(W, Element) = undefined;
                    inline for (&rows, 0..) |*row, part| row.* = s.ptr[first + ((k0 + done) * per + part) * s.sk ..][0..W].*;
                    dst[done * width ..][0..width].* = @bitCast(@as([W]u32, weave(W, rows, flip))[0..width].*);
                }
                flipped = whole;
            }
            while (done < kc) : (done += 1) s.gather(dst + done * width, width, first, n, (k0 + done) * per);
            if (s.flips) {
                const U = @Vector(width, u32);
                for (flipped..kc) |k| {
                    const word = @as(*align(4) [width]u32, @ptrCast(dst + k * width));
                    word.* = @as(U, word.*) ^ @as(U, @splat(0x8080_8080));
                }
            }
        }

        /// Words of the elements side by side; bytes with the bits of `flip` changed.
        inline fn weave(comptime W: usize, rows: [per]@Vector(W, Element), flip: u16) @Vector(W, u32) {
            if (per == 2) return pairs(W, rows[0], rows[1]);
            const H = @Vector(W, u16);
            const eight: @Vector(W, u4) = @splat(8);
            const low = rows[0] | @as(H, rows[1]) << eight;
            const high = rows[2] | @as(H, rows[3]) << eight;
            return pairs(W, low ^ @as(H, @splat(flip)), high ^ @as(H, @splat(flip)));
        }
        inline fn pairs(comptime W: usize, low: @Vector(W, u16), high: @Vector(W, u16)) @Vector(W, u32) {
            return @bitCast(std.simd.interlace(.{ low, high }));
        }

        /// One word of each of n elements, of the steps from k0 on (those past the last are 0).
        fn gather(s: *const Self, dst: [*]T, width: usize, first: usize, n: usize, k0: usize) void {
            const parts = @min(per, s.steps - k0);
            for (0..width) |i| {
                var word: u32 = 0;
                if (i < n) for (0..parts) |part| {
                    const x: u32 = s.ptr[(first + i) * s.si + (k0 + part) * s.sk];
                    word |= x << @intCast(part * 8 * @sizeOf(Element));
                };
                dst[i] = @bitCast(word);
            }
        }

        /// `storeRows` of gemm_pack.zig to bfloat16, by the instruction of the CPUs that multiply it
        /// (which rounds numbers below 2^-126 to 0).
        pub fn storeRows(dst: [*]u16, dst_rs: usize, src: [*]const f32, src_rs: usize, rows: usize, n: usize, added: ?[*]const f32) void {
            const V = @Vector(16, f32);
            const whole = n / 32 * 32;
            for (0..rows) |row| {
                var i: usize = 0;
                while (i < whole) : (i += 32) {
                    var low: V = src[row * src_rs + i ..][0..16].*;
                    var high: V = src[row * src_rs + i + 16 ..][0..16].*;
                    if (added) |more| {
                        low += @as(V, more[i..][0..16].*);
                        high += @as(V, more[i + 16 ..][0..16].*);
                    }
                    dst[row * dst_rs + i ..][0..32].* = asm ("vcvtne2ps2bf16 %[low], %[high], %[y]"
                        : [y] "=v" (-> @Vector(32, u16)),
                        : [low] "v" (low),
                          [high] "v" (high),
                    );
                }
            }
            if (whole == n) return;
            const more = if (added) |a| a + whole else null;
            pack.storeRows(f32, .bfloat16, @ptrCast(dst + whole), dst_rs, src + whole, src_rs, rows, n - whole, more);
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
