//! Reading operands for the matrix product: conversion to the type computed in, and packing
//! into panels, through any strides.
//!
//! A panel of width W holds W rows of A (or W columns of B) over kc steps of k as
//! panel[k * W + i], so that the micro-kernel reads it front to back. Lanes past the operand's
//! edge hold zero or a copy of some element: what they produce is never stored.
const std = @import("std");
const builtin = @import("builtin");
const DType = @import("../dtype.zig").DType;
const dtypes = @import("../dtype.zig");
const simd = @import("../simd.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const Kernel = gemm_kernel.Kernel;

/// The type that a matrix product of `d` is computed in.
pub fn Compute(comptime d: DType) type {
    return switch (d) {
        .float16, .bfloat16, .float32 => f32,
        .float64 => f64,
        .bool, .uint8, .int8, .int16, .int32 => i32,
        .int64 => i64,
    };
}

fn isComputedIn(comptime T: type, comptime d: DType) bool {
    return Compute(d) == T;
}

/// dst[i] = src[i * stride], widened, i < n. `src` points at elements of `d`.
pub fn load(comptime T: type, d: DType, dst: [*]T, src: [*]const u8, n: usize, stride: usize) void {
    switch (d) {
        inline else => |known| if (comptime isComputedIn(T, known)) {
            const S = known.Type();
            const from: [*]const S = @ptrCast(@alignCast(src));
            var i: usize = 0;
            if (stride == 1) {
                if (S == T) return @memcpy(dst[0..n], from[0..n]);
                inline for (.{ 16, 4 }) |W| {
                    while (i + W <= n) : (i += W)
                        dst[i..][0..W].* = widen(T, known, W, @ptrCast(from + i));
                }
            }
            while (i < n) : (i += 1) {
                if (S != T) simd.once();
                const x: [1]T = widen(T, known, 1, @ptrCast(from + i * stride));
                dst[i] = x[0];
            }
        } else unreachable,
    }
}

inline fn widen(
    comptime T: type,
    comptime d: DType,
    comptime W: usize,
    src: *const [W]d.Type(),
) @Vector(W, T) {
    if (d == .bfloat16) return dtypes.widenBF16(W, @as(*const [W]u16, @ptrCast(src)).*);
    return @as(@Vector(W, d.Type()), src.*);
}

/// dst[i] = src[i] rounded (floats, to nearest even) or wrapped (integers) to `d`.
pub fn store(comptime T: type, d: DType, dst: [*]u8, src: [*]const T, n: usize) void {
    storeRows(T, d, dst, 0, src, 0, 1, n, null);
}

/// `store` of several rows, whose beginnings are dst_rs and src_rs elements apart; each plus
/// `added`, if given.
pub fn storeRows(
    comptime T: type,
    d: DType,
    dst: [*]u8,
    dst_rs: usize,
    src: [*]const T,
    src_rs: usize,
    rows: usize,
    n: usize,
    added: ?[*]const T,
) void {
    switch (d) {
        inline else => |known| if (comptime isComputedIn(T, known)) {
            const S = known.Type();
            for (0..rows) |row| {
                const to = @as([*]S, @ptrCast(@alignCast(dst))) + row * dst_rs;
                const from = src + row * src_rs;
                if (S == T and added == null) {
                    @memcpy(to[0..n], from[0..n]);
                    continue;
                }
                const W = 16;
                var i: usize = 0;
                inline for (.{ W, 1 }) |w| while (i + w <= n) : (i += w) {
                    var x: @Vector(w, T) = from[i..][0..w].*;
                    if (added) |more| x = gemm_kernel.add(x, @as(@Vector(w, T), more[i..][0..w].*));
                    narrow(T, known, w, to[i..][0..w], x);
                };
            }
        } else unreachable,
    }
}

inline fn narrow(
    comptime T: type,
    comptime d: DType,
    comptime W: usize,
    dst: *[W]d.Type(),
    x: @Vector(W, T),
) void {
    switch (d) {
        .bfloat16 => @as(*[W]u16, @ptrCast(dst)).* = dtypes.narrowBF16(W, x),
        .float16, .float32, .float64 => dst.* = @as(@Vector(W, d.Type()), @floatCast(x)),
        .bool => {
            const ones: @Vector(W, u8) = @splat(1);
            const zeros: @Vector(W, u8) = @splat(0);
            dst.* = @select(u8, x != @as(@Vector(W, T), @splat(0)), ones, zeros);
        },
        else => {
            const Bits = @Int(.unsigned, @bitSizeOf(T));
            const Narrow = @Int(.unsigned, @bitSizeOf(d.Type()));
            const bits: @Vector(W, Bits) = @bitCast(x);
            dst.* = @bitCast(@as(@Vector(W, Narrow), @truncate(bits)));
        },
    }
}

/// dst[k * width + i] = src[i * si + k * sk] for i < count, k < kc.
pub fn packPanel(
    comptime T: type,
    comptime width: usize,
    dst: [*]T,
    src: [*]const T,
    si: usize,
    sk: usize,
    count: usize,
    kc: usize,
) void {
    if (si == 1 or count == 1) {
        if (count == width) {
            packColumns(T, width, dst, 0, src, sk, 1, kc);
        } else {
            @memset(dst[0 .. kc * width], 0);
            for (0..kc) |k| {
                var i: usize = 0;
                inline for (.{ 8, 1 }) |w| while (i + w <= count) : (i += w) {
                    dst[k * width + i ..][0..w].* = src[k * sk + i ..][0..w].*;
                };
            }
        }
        return;
    }
    if (sk == 1) return transposePanel(T, width, dst, src, si, count, kc);
    if (count < width) @memset(dst[0 .. kc * width], 0);
    for (0..kc) |k| {
        for (0..count) |i| dst[k * width + i] = src[k * sk + i * si];
    }
}

/// `panels` whole panels beside each other, `apart` elements from one to the next: each step's
/// elements for all of them in turn, as they lie.
pub fn packColumns(
    comptime T: type,
    comptime width: usize,
    dst: [*]T,
    apart: usize,
    src: [*]const T,
    sk: usize,
    panels: usize,
    kc: usize,
) void {
    const vl = Kernel(T).vl;
    const whole = if (gemm_kernel.masks) width - width % vl else width;
    const most = (1 << width % vl) - 1;
    for (0..kc) |k| {
        var from = src + k * sk;
        var to = dst + k * width;
        for (0..panels) |_| {
            to[0..whole].* = from[0..whole].*;
            if (whole < width) Kernel(T).storeMasked(to + whole, Kernel(T).loadMasked(from + whole, most), most);
            from += width;
            to += apart;
        }
    }
}

fn transposePanel(
    comptime T: type,
    comptime width: usize,
    dst: [*]T,
    src: [*]const T,
    si: usize,
    count: usize,
    kc: usize,
) void {
    if (comptime gemm_kernel.masks) if (kc >= Kernel(T).vl) {
        // The same code for floats and integers.
        const Bits = @Int(.unsigned, @bitSizeOf(T));
        return transposeStrided(Bits, width, Kernel(T).vl, @ptrCast(dst), @ptrCast(src), si, count, kc);
    };
    var rows: [width][*]const T = undefined;
    for (0..width) |i| rows[i] = src + @min(i, count - 1) * si;
    transposeRows(T, width, dst, &rows, kc, false);
}

/// In blocks of registers; the last one may begin in the one before.
noinline fn transposeStrided(
    comptime T: type,
    comptime width: usize,
    comptime B: usize,
    dst: [*]T,
    src: [*]const T,
    si: usize,
    count: usize,
    kc: usize,
) void {
    var rows: [width][*]const T = undefined;
    for (&rows, 0..) |*row, i| row.* = src + @min(i, count - 1) * si;
    var next: usize = 0;
    while (next < kc) : (next += B) {
        const k = @min(next, kc - B);
        var first: usize = 0;
        while (first + B <= width) : (first += B) transposeBlock(T, width, B, B, dst + k * width + first, rows[first..].ptr, k);
        if (width % B > 0) transposeBlock(T, width, B, width % B, dst + k * width + width / B * B, rows[width / B * B ..], k);
    }
}

inline fn transposeBlock(
    comptime T: type,
    comptime width: usize,
    comptime B: usize,
    comptime height: usize,
    dst: [*]T,
    rows: [*]const [*]const T,
    k: usize,
) void {
    var block: [B]@Vector(B, T) = undefined;
    inline for (0..B) |i| block[i] = rows[@min(i, height - 1)][k..][0..B].*;
    transpose(T, B, &block);
    inline for (0..B) |l| putLanes(T, B, height, dst + l * width, block[l]);
}

/// The first `count` lanes.
inline fn putLanes(comptime T: type, comptime B: usize, comptime count: usize, to: [*]T, x: @Vector(B, T)) void {
    if (count < B and B * @sizeOf(T) == 64 and gemm_kernel.masks) {
        Kernel(T).storeMasked(to, x, (1 << count) - 1);
    } else to[0..count].* = @as([B]T, x)[0..count].*;
}

/// dst[k * width + i] = rows[i][k], k < kc: blocks of 8 x 8 (4 x 4) transposed in registers.
/// `spills`: may read past the rows' ends, and write the steps after kc up to a block's end.
pub fn transposeRows(
    comptime T: type,
    comptime width: usize,
    dst: [*]T,
    rows: *const [width][*]const T,
    kc: usize,
    spills: bool,
) void {
    const B = @min(8, @max(4, Kernel(T).vl));
    const whole = if (spills) (kc + B - 1) / B * B else kc - kc % B;
    comptime var first: usize = 0;
    inline while (first < width) : (first += B) {
        const height = @min(B, width - first);
        var k: usize = 0;
        while (k < whole) : (k += B) {
            var block: [B]@Vector(B, T) = undefined;
            inline for (0..B) |i| block[i] = rows[first + @min(i, height - 1)][k..][0..B].*;
            transpose(T, B, &block);
            const to = dst + k * width + first;
            inline for (0..B) |l| to[l * width ..][0..height].* = @as([B]T, block[l])[0..height].*;
        }
        while (k < kc) : (k += 1) {
            simd.once();
            inline for (0..height) |i| dst[k * width + first + i] = rows[first + i][k];
        }
    }
}

/// to[i] += from[i] for `count` vectors.
pub noinline fn addTo(comptime T: type, comptime width: usize, to: [*]T, from: [*]const T, count: usize) void {
    for (0..count) |i| {
        const sum: @Vector(width, T) = to[i * width ..][0..width].*;
        to[i * width ..][0..width].* = sum + @as(@Vector(width, T), from[i * width ..][0..width].*);
    }
}

/// An n x n transpose in log2(n) rounds: of the elements in 16 bytes, which instructions interleave,
/// then of these.
pub inline fn transpose(comptime T: type, comptime n: usize, block: *[n]@Vector(n, T)) void {
    const lane = comptime @min(n, 16 / @sizeOf(T));
    const groups = n / lane;
    comptime var interleaved: [2][n]i32 = undefined;
    comptime var every_second: [2][n]i32 = undefined;
    comptime for (0..n) |l| for (0..2) |high| {
        const at = l / lane * lane + high * (lane / 2) + l % lane / 2;
        interleaved[high][l] = if (l % 2 == 0) at else ~@as(i32, at);
        const from = (l / lane * 2 % @max(1, groups) + high) * lane + l % lane;
        every_second[high][l] = if (l < n / 2) from else ~@as(i32, from);
    };
    const low, const high = comptime .{ interleaved[0], interleaved[1] };
    comptime var unit: usize = 1;
    inline while (unit < lane) : (unit *= 2) {
        const old = block.*;
        inline for (0..n / 2) |pair| {
            const i = comptime pair / (lane / 2) * lane + pair % (lane / 2);
            const to = comptime pair / (lane / 2) * lane + 2 * (pair % (lane / 2));
            block[to] = @shuffle(T, old[i], old[i + lane / 2], low);
            block[to + 1] = @shuffle(T, old[i], old[i + lane / 2], high);
        }
        inline for (block) |*row| row.* = separate(row.*);
    }
    const even, const odd = comptime .{ every_second[0], every_second[1] };
    inline while (unit < n) : (unit *= 2) {
        const old = block.*;
        inline for (0..n / 2) |pair| {
            const i = comptime pair / lane * 2 * lane + pair % lane;
            block[pair] = @shuffle(T, old[i], old[i + lane], even);
            block[pair + n / 2] = @shuffle(T, old[i], old[i + lane], odd);
        }
    }
}

/// The compiler would make other shuffles, and more, of those of several rounds.
inline fn separate(x: anytype) @TypeOf(x) {
    if (builtin.cpu.arch != .x86_64 or @sizeOf(@TypeOf(x)) > Kernel(f32).vl * 4 or @sizeOf(@TypeOf(x)) < 16) return x;
    return asm (""
        : [y] "=v" (-> @TypeOf(x)),
        : [x] "0" (x),
    );
}

test "blocks are transposed" {
    inline for (.{ u32, u64 }) |T| inline for (.{ 2, 4, 8, 16 }) |n| {
        var block: [n]@Vector(n, T) = undefined;
        for (0..n) |i| {
            const row: @Vector(n, T) = @splat(@intCast(i * n));
            block[i] = row + simd.iota(n, T);
        }
        transpose(T, n, &block);
        for (0..n) |i| for (0..n) |j| try std.testing.expectEqual(@as(T, @intCast(j * n + i)), @as([n]T, block[i])[j]);
    };
}

/// Elements 0 and 1 exchanged, 2 and 3, ...; a last one without another stays.
fn swapPairs(comptime T: type, x: []T) void {
    const W = 16;
    const order = comptime simd.iota(W, i32) ^ @as(@Vector(W, i32), @splat(1));
    var i: usize = 0;
    while (i + W <= x.len) : (i += W) x[i..][0..W].* = @shuffle(T, @as(@Vector(W, T), x[i..][0..W].*), undefined, order);
    while (i + 2 <= x.len) : (i += 2) std.mem.swap(T, &x[i], &x[i + 1]);
}

/// An operand in memory as (rows or columns i, steps k), any strides and any dtype that is
/// computed in T. Steps of bfloat16 go in pairs, the second before the first: the order of the
/// CPUs that multiply pairs (gemm_kernel.zig, `Op.dot`).
pub fn Strided(comptime T: type) type {
    return struct {
        const Self = @This();
        ptr: [*]const u8,
        dtype: DType,
        si: usize,
        sk: usize,

        pub fn packA(
            c: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            pack(Kernel(T).mr, @ptrCast(@alignCast(c)), dst, first, count, k0, kc);
        }
        pub fn packB(
            c: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            pack(Kernel(T).nr, @ptrCast(@alignCast(c)), dst, first, count, k0, kc);
        }

        fn pack(
            comptime width: usize,
            s: *const Self,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            const native = comptime switch (T) {
                f32 => DType.float32,
                f64 => DType.float64,
                i32 => DType.int32,
                i64 => DType.int64,
                else => unreachable,
            };
            const size = s.dtype.size();
            const from = s.ptr + (first * s.si + k0 * s.sk) * size;
            if (s.dtype == native) {
                const src: [*]const T = @ptrCast(@alignCast(from));
                return packPanel(T, width, dst, src, s.si, s.sk, count, kc);
            }
            if (s.si == 1) {
                if (count < width) @memset(dst[0 .. kc * width], 0);
                for (0..kc) |k| {
                    const step = if (s.dtype == .bfloat16 and k ^ 1 < kc) k ^ 1 else k;
                    load(T, s.dtype, dst + k * width, from + step * s.sk * size, count, 1);
                }
                return;
            }
            // Widen some steps of every row, then pack those.
            const steps = 64;
            var rows: [width * steps]T = undefined;
            var k: usize = 0;
            while (k < kc) : (k += steps) {
                const n = @min(steps, kc - k);
                for (0..count) |i| {
                    const row = from + (i * s.si + k * s.sk) * size;
                    const to = @as([*]T, &rows) + i * steps;
                    load(T, s.dtype, to, row, n, s.sk);
                    if (s.dtype == .bfloat16) swapPairs(T, to[0..n]);
                }
                packPanel(T, width, dst + k * width, &rows, steps, 1, count, n);
            }
        }
    };
}

test "packing reads any strides and dtypes" {
    var prng = std.Random.DefaultPrng.init(1);
    const random = prng.random();
    var source: [40 * 200]f32 = undefined;
    for (&source) |*x| x.* = random.float(f32);
    var half: [source.len]f16 = undefined;
    for (&half, source) |*h, x| h.* = @floatCast(x);
    var out: [32 * 100]f32 = undefined;
    inline for (.{ 14, 32, 6, 12 }) |width| {
        for ([_][2]usize{ .{ 1, 40 }, .{ 97, 1 }, .{ 2, 41 }, .{ 0, 1 }, .{ 1, 0 } }) |strides| {
            for ([_]usize{ 1, 3, width - 1, width }) |count| for ([_]usize{ 1, 7, 64, 70 }) |kc| {
                for ([_]DType{ .float32, .float16 }) |d| {
                    const s: Strided(f32) = .{
                        .ptr = if (d == .float32) @ptrCast(&source) else @ptrCast(&half),
                        .dtype = d,
                        .si = strides[0],
                        .sk = strides[1],
                    };
                    Strided(f32).pack(width, &s, &out, 2, count, 3, kc);
                    for (0..kc) |k| for (0..count) |i| {
                        const at = (i + 2) * strides[0] + (k + 3) * strides[1];
                        const want = if (d == .float32) source[at] else @as(f32, half[at]);
                        try std.testing.expectEqual(want, out[k * width + i]);
                    };
                }
            };
        }
    }
}
