//! Elements of any dtype and stride into a packed tile of a compute type, and back.
//!
//! Elementwise kernels compute in f32 (float16, bfloat16, float32), f64 or i64 (bool and all
//! integers), or move bytes. Everything else comes through here, 16 elements at a time.
//!
//! Rounding and ranges: an integer is rounded to the nearest float, float64 reaches
//! float16 and bfloat16 through float32 (as in PyTorch), integers wrap, float to bool is
//! x != 0 (so nan is true), float to integer truncates; what does not fit into int64 (for
//! the smaller integers: into int32) becomes its smallest value, as cvttss2si has it.
const std = @import("std");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const DType = dtype.DType;
const Scalar = @import("../plan.zig").Scalar;

/// What a tile holds.
pub const Tile = enum(u8) {
    f32,
    f64,
    i64,
    // Elements that are only moved, or computed in their own type.
    raw1,
    raw2,
    raw4,
    raw8,

    pub fn size(t: Tile) usize {
        return switch (t) {
            .raw1 => 1,
            .raw2 => 2,
            .f32, .raw4 => 4,
            .f64, .i64, .raw8 => 8,
        };
    }
    /// A tensor of this dtype lies in memory as the tile would.
    pub fn isMemoryOf(t: Tile, d: DType) bool {
        return switch (t) {
            .f32 => d == .float32,
            .f64 => d == .float64,
            .i64 => d == .int64,
            else => d.size() == t.size(),
        };
    }
    pub fn raw(bytes: usize) Tile {
        return switch (bytes) {
            1 => .raw1,
            2 => .raw2,
            4 => .raw4,
            else => .raw8,
        };
    }
    fn Type(comptime t: Tile) type {
        return switch (t) {
            .f32 => f32,
            .f64 => f64,
            .i64 => i64,
            .raw1 => u8,
            .raw2 => u16,
            .raw4 => u32,
            .raw8 => u64,
        };
    }
};

/// n elements between a packed tile and memory with `stride` bytes from one to the next.
pub const Move = *const fn (tile: [*]u8, memory: [*]u8, n: usize, stride: usize) void;

/// Memory of dtype d to a tile.
pub fn loader(d: DType, tile: Tile) Move {
    return switch (tile) {
        .f32, .f64, .i64 => loaders[@backingInt(tile)][@backingInt(d)],
        else => raw_loaders[@backingInt(tile) - @backingInt(Tile.raw1)],
    };
}
/// A tile to memory of dtype d.
pub fn storer(d: DType, tile: Tile) Move {
    return switch (tile) {
        .f32, .f64, .i64 => storers[@backingInt(tile)][@backingInt(d)],
        else => raw_storers[@backingInt(tile) - @backingInt(Tile.raw1)],
    };
}

/// A number (.f, or .i if `is_int`) as an element of dtype d, in the first bytes.
pub fn bitsOf(d: DType, x: Scalar, is_int: bool) i64 {
    var number = x;
    var bits: i64 = 0;
    const tile: Tile = if (is_int) .i64 else .f64;
    storer(d, tile)(@ptrCast(&number), @ptrCast(&bits), 1, d.size());
    return bits;
}

const n_dtypes = @typeInfo(DType).@"enum".field_names.len;
const compute_tiles = [_]Tile{ .f32, .f64, .i64 };
const raw_tiles = [_]Tile{ .raw1, .raw2, .raw4, .raw8 };

const loaders: [3][n_dtypes]Move = blk: {
    var t: [3][n_dtypes]Move = undefined;
    for (compute_tiles, 0..) |tile, i| for (0..n_dtypes) |d| {
        t[i][d] = Mover(tile.Type(), Memory(@fromBackingInt(d))).load;
    };
    break :blk t;
};
const storers: [3][n_dtypes]Move = blk: {
    var t: [3][n_dtypes]Move = undefined;
    for (compute_tiles, 0..) |tile, i| for (0..n_dtypes) |d| {
        t[i][d] = Mover(tile.Type(), Memory(@fromBackingInt(d))).store;
    };
    break :blk t;
};
const raw_loaders: [4]Move = blk: {
    var t: [4]Move = undefined;
    for (raw_tiles, 0..) |tile, i| t[i] = Mover(tile.Type(), tile.Type()).load;
    break :blk t;
};
const raw_storers: [4]Move = blk: {
    var t: [4]Move = undefined;
    for (raw_tiles, 0..) |tile, i| t[i] = Mover(tile.Type(), tile.Type()).store;
    break :blk t;
};

/// Tells bool from uint8, whose type in memory is the same.
const Bool = enum(u8) { _ };

fn Memory(comptime d: DType) type {
    return if (d == .bool) Bool else d.Type();
}

/// The type that is loaded and stored: a vector cannot hold structs or enums.
fn Bits(comptime M: type) type {
    return switch (M) {
        Bool => u8,
        dtype.BFloat16 => u16,
        else => M,
    };
}

/// More than a tile: what is converted goes to memory that may lie far away.
const large = 8192;

fn Mover(comptime T: type, comptime M: type) type {
    const B = Bits(M);
    const lanes = simd.lanes(f32);
    return struct {
        fn load(tile_bytes: [*]u8, memory: [*]u8, n: usize, stride: usize) void {
            const tile: [*]T = @ptrCast(@alignCast(tile_bytes));
            var i: usize = 0;
            if (stride == @sizeOf(B)) {
                const m: [*]const B = @ptrCast(@alignCast(memory));
                while (i + lanes <= n) : (i += lanes) {
                    if (n >= large) simd.askAhead(tile + i);
                    tile[i..][0..lanes].* = toTile(T, M, lanes, m[i..][0..lanes].*);
                }
                while (i < n) : (i += 1) tile[i] = toTile(T, M, 1, m[i..][0..1].*)[0];
            } else if (stride == 0) {
                const m: *const B = @ptrCast(@alignCast(memory));
                const x: T = toTile(T, M, 1, .{m.*})[0];
                while (i + lanes <= n) : (i += lanes) tile[i..][0..lanes].* = @splat(x);
                while (i < n) : (i += 1) tile[i] = x;
            } else {
                var at = memory;
                while (i < n) : (i += 1) {
                    const m: *const B = @ptrCast(@alignCast(at));
                    tile[i] = toTile(T, M, 1, .{m.*})[0];
                    at += stride;
                }
            }
        }
        fn store(tile_bytes: [*]u8, memory: [*]u8, n: usize, stride: usize) void {
            const tile: [*]const T = @ptrCast(@alignCast(tile_bytes));
            var i: usize = 0;
            if (stride == @sizeOf(B)) {
                const m: [*]B = @ptrCast(@alignCast(memory));
                while (i + lanes <= n) : (i += lanes) {
                    if (n >= large) simd.askAhead(m + i);
                    m[i..][0..lanes].* = fromTile(T, M, lanes, tile[i..][0..lanes].*);
                }
                while (i < n) : (i += 1) m[i] = fromTile(T, M, 1, tile[i..][0..1].*)[0];
            } else {
                var at = memory;
                while (i < n) : (i += 1) {
                    const m: *B = @ptrCast(@alignCast(at));
                    m.* = fromTile(T, M, 1, tile[i..][0..1].*)[0];
                    at += stride;
                }
            }
        }
    };
}

inline fn toTile(
    comptime T: type,
    comptime M: type,
    comptime n: comptime_int,
    x: @Vector(n, Bits(M)),
) @Vector(n, T) {
    if (Bits(M) == T) return x;
    if (M == dtype.BFloat16) {
        const wide = dtype.widenBF16(n, x);
        return if (@typeInfo(T) == .float) @floatCast(wide) else toInt(T, f32, n, wide);
    }
    if (@typeInfo(T) == .float) {
        return if (@typeInfo(Bits(M)) == .float) @floatCast(x) else @floatFromInt(x);
    }
    if (@typeInfo(Bits(M)) == .float) return toInt(T, Bits(M), n, x);
    return @intCast(x);
}

inline fn fromTile(
    comptime T: type,
    comptime M: type,
    comptime n: comptime_int,
    x: @Vector(n, T),
) @Vector(n, Bits(M)) {
    if (M == Bool) return @intFromBool(x != @as(@Vector(n, T), @splat(0)));
    if (M == T) return x;
    const F = @Vector(n, f32);
    if (@typeInfo(T) == .float) {
        if (M == dtype.BFloat16) return dtype.narrowBF16(n, @as(F, @floatCast(x)));
        if (M == f16) return @floatCast(@as(F, @floatCast(x)));
        if (@typeInfo(M) == .float) return @floatCast(x);
        if (M == i64) return toInt(i64, T, n, x);
        return truncate(M, i32, n, toInt(i32, T, n, x));
    }
    if (M == dtype.BFloat16) return dtype.narrowBF16(n, @as(F, @floatFromInt(x)));
    if (M == f16) return @floatCast(@as(F, @floatFromInt(x)));
    if (@typeInfo(M) == .float) return @floatFromInt(x);
    return truncate(M, i64, n, x);
}

/// Wrapping.
inline fn truncate(
    comptime I: type,
    comptime J: type,
    comptime n: comptime_int,
    x: @Vector(n, J),
) @Vector(n, I) {
    const bits = @typeInfo(I).int.bits;
    if (bits == @typeInfo(J).int.bits) return @bitCast(x);
    const u: @Vector(n, @Int(.unsigned, @typeInfo(J).int.bits)) = @bitCast(x);
    return @bitCast(@as(@Vector(n, @Int(.unsigned, bits)), @truncate(u)));
}

/// Truncated; the smallest I for nan and what does not fit.
pub inline fn toInt(
    comptime I: type,
    comptime T: type,
    comptime n: comptime_int,
    x: @Vector(n, T),
) @Vector(n, I) {
    const V = @Vector(n, T);
    const bits = @typeInfo(I).int.bits;
    const limit: V = @splat(@floatFromInt(@as(i128, 1) << (bits - 1)));
    const whole = @trunc(x);
    const fits = (whole >= -limit) & (whole < limit);
    const safe: @Vector(n, I) = @intFromFloat(@select(T, fits, whole, @as(V, @splat(0))));
    return @select(I, fits, safe, @as(@Vector(n, I), @splat(std.math.minInt(I))));
}

test "conversions at the edges of their ranges" {
    const expect = std.testing.expect;
    const nan = std.math.nan(f32);
    const inf = std.math.inf(f32);
    var x = [_]f32{
        1.9,  -1.9,  nan,        inf,  -inf,  3e9, -3e9, 300, 0,
        -0.0, 1e-30, 2147483520, 1e19, -1e19, 5,   6,    7,   -1,
    };
    var i32s: [18]i32 = undefined;
    storer(.int32, .f32)(@ptrCast(&x), @ptrCast(&i32s), x.len, 4);
    const low = std.math.minInt(i32);
    const want = [_]i32{
        1, -1, low, low, low, low, low, 300, 0, 0, 0, 2147483520, low, low, 5, 6, 7, -1,
    };
    try std.testing.expectEqualSlices(i32, &want, &i32s);
    var u8s: [18]u8 = undefined;
    storer(.uint8, .f32)(@ptrCast(&x), @ptrCast(&u8s), x.len, 1);
    try expect(u8s[1] == 255 and u8s[7] == 44 and u8s[2] == 0 and u8s[17] == 255);
    storer(.bool, .f32)(@ptrCast(&x), @ptrCast(&u8s), x.len, 1);
    try expect(u8s[2] == 1 and u8s[8] == 0 and u8s[9] == 0 and u8s[10] == 1);
    var i64s: [18]i64 = undefined;
    storer(.int64, .f32)(@ptrCast(&x), @ptrCast(&i64s), x.len, 8);
    try expect(i64s[12] == std.math.minInt(i64) and i64s[5] == 3_000_000_000 and i64s[17] == -1);
}

test "every dtype through every tile, contiguous and strided alike" {
    var memory: [64 * 8]u8 align(64) = @splat(0);
    var back: [64 * 8]u8 align(64) = undefined;
    var tile: [32 * 8]u8 align(64) = undefined;
    var tile_strided: [32 * 8]u8 align(64) = undefined;
    inline for (@typeInfo(DType).@"enum".field_names) |name| {
        const d = @field(DType, name);
        for (compute_tiles) |t| {
            const size = d.size();
            // Small whole numbers are exact everywhere.
            var numbers: [19]i64 = undefined;
            for (&numbers, 0..) |*x, i| x.* = if (d == .bool) @intCast(i & 1) else @intCast(i * 3);
            storer(d, .i64)(@ptrCast(&numbers), &memory, 19, size);
            loader(d, t)(&tile, &memory, 19, size);
            storer(d, t)(&tile, &back, 19, size);
            try std.testing.expectEqualSlices(u8, memory[0 .. 19 * size], back[0 .. 19 * size]);
            storer(d, t)(&tile, &back, 19, 2 * size);
            loader(d, t)(&tile_strided, &back, 19, 2 * size);
            const n = 19 * t.size();
            try std.testing.expectEqualSlices(u8, tile[0..n], tile_strided[0..n]);
        }
    }
}
