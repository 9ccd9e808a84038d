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
const builtin = @import("builtin");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const kernels = @import("elementwise_kernel.zig");
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

/// How elements go from memory to a tile, or from a tile to memory.
pub const Move = struct {
    /// None: as they are.
    core: ?*const Core,
    tile_size: u8,
    memory_size: u8,
    stores: bool = false,

    /// n elements between a packed tile and memory with `stride` bytes from one to the next.
    pub fn run(m: *const Move, tile: [*]u8, memory: [*]u8, n: usize, stride: usize) void {
        const size: usize = m.memory_size;
        if (stride == size) return m.whole(tile, memory, n);
        if (m.core == null) return m.strided(tile, memory, n, stride);
        var buffer: Piece align(64) = undefined;
        var done: usize = 0;
        while (done < n) {
            const count = @min(n - done, piece);
            const at = memory + done * stride;
            const to = tile + done * m.tile_size;
            if (m.stores) m.whole(to, &buffer, count);
            m.strided(&buffer, at, count, stride);
            if (!m.stores) m.whole(to, &buffer, count);
            done += count;
        }
    }

    /// Elements of the memory's kind, packed or with a stride.
    pub fn strided(m: *const Move, packed_: [*]u8, memory: [*]u8, n: usize, stride: usize) void {
        const size = m.memory_size;
        if (m.stores)
            copyStrided(size, memory, stride, packed_, size, n)
        else
            copyStrided(size, packed_, size, memory, stride, n);
    }

    /// n elements, packed on both sides.
    pub fn whole(m: *const Move, tile: [*]u8, memory: [*]u8, n: usize) void {
        const core = m.core orelse {
            const bytes = n * m.memory_size;
            return if (m.stores) @memcpy(memory[0..bytes], tile[0..bytes]) else @memcpy(tile[0..bytes], memory[0..bytes]);
        };
        const left = n % chunk;
        if (n >= chunk) core(n / chunk, tile, memory);
        if (left == 0) return;
        if (n >= chunk and tile != memory) {
            // The last whole chunk, part of which is done already.
            return core(1, tile + (n - chunk) * m.tile_size, memory + (n - chunk) * m.memory_size);
        }
        const t = tile + (n - left) * m.tile_size;
        const x = memory + (n - left) * m.memory_size;
        var part: [2][chunk * 8]u8 align(64) = @splat(@splat(0));
        if (m.stores) {
            kernels.copyPart(&part[0], t, left * m.tile_size);
            core(1, &part[0], &part[1]);
            kernels.copyPart(x, &part[1], left * m.memory_size);
        } else {
            kernels.copyPart(&part[1], x, left * m.memory_size);
            core(1, &part[0], &part[1]);
            kernels.copyPart(t, &part[0], left * m.tile_size);
        }
    }
};
/// Elements that go through a buffer at a time.
pub const piece = 256;
pub const Piece = [piece * 8 + 64]u8;

/// Converts `count` chunks, packed on both sides.
const Core = fn (count: usize, tile: [*]u8, memory: [*]u8) void;
const chunk = simd.lanes(f32);

/// n elements of `size` bytes, from one stride to another.
pub fn copyStrided(size: usize, to: [*]u8, to_step: usize, from: [*]const u8, from_step: usize, n: usize) void {
    switch (size) {
        inline 1, 2, 4, 8, 16 => |bytes| {
            const done = if (simd.has_fma and bytes < 16 and to_step == bytes and from_step == 2 * bytes) everySecond(bytes, to, from, n) else 0;
            for (done..n) |i| {
                to[i * to_step ..][0..bytes].* = from[i * from_step ..][0..bytes].*;
            }
        },
        else => unreachable,
    }
}

/// The 1st, 3rd, 5th ... element, by vectors; how many. Of the one behind the last nothing is read.
fn everySecond(comptime bytes: usize, to: [*]u8, from: [*]const u8, n: usize) usize {
    const T = @Int(.unsigned, 8 * bytes);
    const lanes = 64 / bytes;
    const even = comptime blk: {
        var m: [lanes]i32 = undefined;
        for (&m, 0..) |*k, i| k.* = if (i < lanes / 2) 2 * i else ~@as(i32, 2 * i - lanes);
        break :blk m;
    };
    const V = @Vector(lanes, T);
    const y: [*]T = @ptrCast(@alignCast(to));
    const x: [*]const T = @ptrCast(@alignCast(from));
    var i: usize = 0;
    while (i + lanes < n) : (i += lanes) {
        const a: V = x[2 * i ..][0..lanes].*;
        const b: V = x[2 * i + lanes ..][0..lanes].*;
        y[i..][0..lanes].* = @shuffle(T, a, b, even);
    }
    return i;
}

/// Memory of dtype d to a tile.
pub fn loader(d: DType, tile: Tile) Move {
    return mover(d, tile, &loaders, false);
}
/// A tile to memory of dtype d.
pub fn storer(d: DType, tile: Tile) Move {
    return mover(d, tile, &storers, true);
}
fn mover(d: DType, tile: Tile, cores: *const Cores, stores: bool) Move {
    return .{
        .core = switch (tile) {
            .f32, .f64, .i64 => cores[@backingInt(tile)][@backingInt(d)],
            else => null,
        },
        .tile_size = @intCast(tile.size()),
        .memory_size = @intCast(d.size()),
        .stores = stores,
    };
}

/// Integers of one dtype to another or from and to bfloat16, both in memory: how to load those of
/// `in` to tiles of out's bytes. Null where it takes a tile between them.
pub fn between(in: DType, out: DType) ?Move {
    const core: *const Core = switch (out) {
        .bool => switch (in) {
            .int16 => Direct(i16, Bool).convert,
            .int32 => Direct(i32, Bool).convert,
            else => return null,
        },
        .int8, .uint8 => switch (in) {
            .int16 => Direct(i16, i8).convert,
            .int32 => Direct(i32, i8).convert,
            else => return null,
        },
        .int16 => switch (in) {
            .bool, .uint8 => Direct(u8, i16).convert,
            .int8 => Direct(i8, i16).convert,
            .int32 => Direct(i32, i16).convert,
            .bfloat16 => ByFloat(dtype.BFloat16, i16).convert,
            else => return null,
        },
        .int32 => switch (in) {
            .bool, .uint8 => Direct(u8, i32).convert,
            .int8 => Direct(i8, i32).convert,
            .int16 => Direct(i16, i32).convert,
            .bfloat16 => ByFloat(dtype.BFloat16, i32).convert,
            else => return null,
        },
        .bfloat16 => switch (in) {
            .int16 => ByFloat(i16, dtype.BFloat16).convert,
            .int32 => ByFloat(i32, dtype.BFloat16).convert,
            else => return null,
        },
        else => return null,
    };
    return .{ .core = core, .tile_size = @intCast(out.size()), .memory_size = @intCast(in.size()) };
}

/// A number (.f, or .i if `is_int`) as an element of dtype d, in the first bytes.
pub fn bitsOf(d: DType, x: Scalar, is_int: bool) i64 {
    var number = x;
    var bits: i64 = 0;
    const tile: Tile = if (is_int) .i64 else .f64;
    storer(d, tile).whole(@ptrCast(&number), @ptrCast(&bits), 1);
    return bits;
}

const n_dtypes = @typeInfo(DType).@"enum".field_names.len;
const compute_tiles = [_]Tile{ .f32, .f64, .i64 };

const Cores = [compute_tiles.len][n_dtypes]?*const Core;
const loaders: Cores = blk: {
    var t: Cores = undefined;
    for (compute_tiles, &t) |tile, *row| for (row, 0..) |*core, d| {
        const M = Memory(@fromBackingInt(d));
        core.* = if (M == tile.Type()) null else Mover(tile.Type(), M).load;
    };
    break :blk t;
};
const storers: Cores = blk: {
    var t: Cores = undefined;
    for (compute_tiles, &t) |tile, *row| for (row, 0..) |*core, d| {
        const M = Memory(@fromBackingInt(d));
        core.* = if (M == tile.Type()) null else Mover(tile.Type(), M).store;
    };
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

fn Mover(comptime T: type, comptime M: type) type {
    const B = Bits(M);
    return struct {
        fn load(count: usize, tile_bytes: [*]u8, memory: [*]u8) void {
            var tile: [*]T = @ptrCast(@alignCast(tile_bytes));
            var m: [*]const B = @ptrCast(@alignCast(memory));
            for (0..count) |_| {
                askAhead(m);
                askAhead(tile);
                tile[0..chunk].* = toTile(T, M, chunk, m[0..chunk].*);
                tile += chunk;
                m += chunk;
            }
        }
        fn store(count: usize, tile_bytes: [*]u8, memory: [*]u8) void {
            var tile: [*]const T = @ptrCast(@alignCast(tile_bytes));
            var m: [*]B = @ptrCast(@alignCast(memory));
            for (0..count) |_| {
                askAhead(m);
                askAhead(tile);
                m[0..chunk].* = fromTile(T, M, chunk, tile[0..chunk].*);
                tile += chunk;
                m += chunk;
            }
        }
    };
}

/// Every line of a chunk.
inline fn askAhead(p: anytype) void {
    const bytes: [*]const u8 = @ptrCast(p);
    inline for (0..(chunk * @sizeOf(@TypeOf(p[0])) + 63) / 64) |line| simd.askAhead(bytes + 64 * line, 2048);
}

/// Integers A to integers or bools B: a whole virtual vector of the smaller ones at a time would
/// be less work than a chunk, but memory is what it waits for.
fn Direct(comptime A: type, comptime B: type) type {
    return struct {
        fn convert(count: usize, to_bytes: [*]u8, from_bytes: [*]u8) void {
            var to: [*]Bits(B) = @ptrCast(@alignCast(to_bytes));
            var from: [*]const A = @ptrCast(@alignCast(from_bytes));
            for (0..count) |_| {
                askAhead(from);
                askAhead(to);
                const x: @Vector(chunk, A) = from[0..chunk].*;
                to[0..chunk].* = if (B == Bool)
                    @intFromBool(x != @as(@Vector(chunk, A), @splat(0)))
                else if (@sizeOf(B) > @sizeOf(A)) x else truncate(B, A, chunk, x);
                to += chunk;
                from += chunk;
            }
        }
    };
}

/// A to B by way of float32, without a tile of it.
fn ByFloat(comptime A: type, comptime B: type) type {
    return struct {
        fn convert(count: usize, to_bytes: [*]u8, from_bytes: [*]u8) void {
            var to: [*]Bits(B) = @ptrCast(@alignCast(to_bytes));
            var from: [*]const Bits(A) = @ptrCast(@alignCast(from_bytes));
            for (0..count) |_| {
                askAhead(from);
                askAhead(to);
                to[0..chunk].* = fromTile(f32, B, chunk, toTile(f32, A, chunk, from[0..chunk].*));
                to += chunk;
                from += chunk;
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
    if (M == f16) return toInt(T, f32, n, @floatCast(x));
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
    if (comptime I == i32 and has_truncation) return truncated(T, n, x);
    const V = @Vector(n, T);
    const bits = @typeInfo(I).int.bits;
    const limit: V = @splat(@floatFromInt(@as(i128, 1) << (bits - 1)));
    const fits = (x >= -limit) & (x < limit);
    const safe: @Vector(n, I) = @intFromFloat(@select(T, fits, x, @as(V, @splat(0))));
    return @select(I, fits, safe, @as(@Vector(n, I), @splat(std.math.minInt(I))));
}

/// The instruction does just that; @intFromFloat is undefined where it matters.
const has_truncation = builtin.cpu.arch == .x86_64 and builtin.zig_backend == .stage2_llvm and simd.has_fma;

inline fn truncated(comptime T: type, comptime n: comptime_int, x: @Vector(n, T)) @Vector(n, i32) {
    const most = (if (simd.has_scale) 64 else 32) / @sizeOf(T);
    if (n > most) {
        const half = n / 2;
        const low = truncated(T, half, std.simd.extract(x, 0, half));
        const high = truncated(T, half, std.simd.extract(x, half, half));
        return std.simd.join(low, high);
    }
    return asm ((if (T == f32) "vcvttps2dq" else "vcvttpd2dq") ++ " %[x], %[out]"
        : [out] "=v" (-> @Vector(n, i32)),
        : [x] "v" (x),
    );
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
    storer(.int32, .f32).run(@ptrCast(&x), @ptrCast(&i32s), x.len, 4);
    const low = std.math.minInt(i32);
    const want = [_]i32{
        1, -1, low, low, low, low, low, 300, 0, 0, 0, 2147483520, low, low, 5, 6, 7, -1,
    };
    try std.testing.expectEqualSlices(i32, &want, &i32s);
    var u8s: [18]u8 = undefined;
    storer(.uint8, .f32).run(@ptrCast(&x), @ptrCast(&u8s), x.len, 1);
    try expect(u8s[1] == 255 and u8s[7] == 44 and u8s[2] == 0 and u8s[17] == 255);
    storer(.bool, .f32).run(@ptrCast(&x), @ptrCast(&u8s), x.len, 1);
    try expect(u8s[2] == 1 and u8s[8] == 0 and u8s[9] == 0 and u8s[10] == 1);
    var i64s: [18]i64 = undefined;
    storer(.int64, .f32).run(@ptrCast(&x), @ptrCast(&i64s), x.len, 8);
    try expect(i64s[12] == std.math.minInt(i64) and i64s[5] == 3_000_000_000 and i64s[17] == -1);
}

test "every second element, and nothing behind the last" {
    inline for (.{ u8, u16, u32, u64 }) |T| for ([_]usize{ 1, 7, 8, 9, 16, 33, 64, 65, 129, 200 }) |n| {
        var x: [399]T = undefined;
        for (&x, 0..) |*e, i| e.* = @intCast((i * 7) % 251);
        var got: [201]T = @splat(99);
        // What lies at the end of the memory, as the last element does.
        const from = x[x.len - (2 * n - 1) ..];
        copyStrided(@sizeOf(T), @ptrCast(&got), @sizeOf(T), @ptrCast(from.ptr), 2 * @sizeOf(T), n);
        for (got[0..n], 0..) |e, i| try std.testing.expectEqual(from[2 * i], e);
        try std.testing.expectEqual(99, got[n]);
    };
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
            storer(d, .i64).run(@ptrCast(&numbers), &memory, 19, size);
            loader(d, t).run(&tile, &memory, 19, size);
            storer(d, t).run(&tile, &back, 19, size);
            try std.testing.expectEqualSlices(u8, memory[0 .. 19 * size], back[0 .. 19 * size]);
            storer(d, t).run(&tile, &back, 19, 2 * size);
            loader(d, t).run(&tile_strided, &back, 19, 2 * size);
            const n = 19 * t.size();
            try std.testing.expectEqualSlices(u8, tile[0..n], tile_strided[0..n]);
        }
    }
}
