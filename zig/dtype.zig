//! Element types. The numbering is shared with dlgrad/dtype.py through `zig build abi`.
const std = @import("std");

pub const DType = enum(u8) {
    bool = 0,
    uint8 = 1,
    int8 = 2,
    int16 = 3,
    int32 = 4,
    int64 = 5,
    float16 = 6,
    bfloat16 = 7,
    float32 = 8,
    float64 = 9,

    pub fn size(d: DType) usize {
        return switch (d) {
            .bool, .uint8, .int8 => 1,
            .int16, .float16, .bfloat16 => 2,
            .int32, .float32 => 4,
            .int64, .float64 => 8,
        };
    }

    pub fn isFloat(d: DType) bool {
        return switch (d) {
            .float16, .bfloat16, .float32, .float64 => true,
            else => false,
        };
    }

    /// The type in memory. A bool is one byte holding 0 or 1; bfloat16 is its 16 bits.
    pub fn Type(comptime d: DType) type {
        return switch (d) {
            .bool, .uint8 => u8,
            .int8 => i8,
            .int16 => i16,
            .int32 => i32,
            .int64 => i64,
            .float16 => f16,
            .bfloat16 => BFloat16,
            .float32 => f32,
            .float64 => f64,
        };
    }
};

const little_endian = @import("builtin").cpu.arch.endian() == .little;

/// bfloat16 in memory: the upper half of a float32.
pub const BFloat16 = extern struct {
    bits: u16,

    pub fn fromF32(x: f32) BFloat16 {
        return .{ .bits = roundF32(x) };
    }
    pub fn toF32(b: BFloat16) f32 {
        return @bitCast(@as(u32, b.bits) << 16);
    }

    /// Round to nearest, ties to even; every nan becomes the quiet 0x7fc0 of its sign.
    fn roundF32(x: f32) u16 {
        const u: u32 = @bitCast(x);
        if (x != x) return @intCast((u >> 16 & 0x8000) | 0x7fc0);
        return @intCast((u +% 0x7fff +% ((u >> 16) & 1)) >> 16);
    }
};

/// N bfloat16 widened (exact).
pub inline fn widenBF16(comptime N: comptime_int, bits: @Vector(N, u16)) @Vector(N, f32) {
    return @bitCast(@as(@Vector(N, u32), bits) << @splat(16));
}

/// N float32 rounded to bfloat16: to nearest, ties to even.
pub inline fn narrowBF16(comptime N: comptime_int, x: @Vector(N, f32)) @Vector(N, u16) {
    const U = @Vector(N, u32);
    const bits: U = @bitCast(x);
    const quiet = (bits & @as(U, @splat(0x8000_0000))) | @as(U, @splat(0x7fc0_0000));
    const u = @select(u32, x != x, quiet, bits);
    const lsb = (u >> @splat(16)) & @as(U, @splat(1));
    const rounded = u +% @as(U, @splat(0x7fff)) +% lsb;
    comptime var upper: [N]i32 = undefined;
    inline for (0..N) |i| upper[i] = 2 * i + @intFromBool(little_endian);
    return @shuffle(u16, @as(@Vector(2 * N, u16), @bitCast(rounded)), undefined, upper);
}

test "bfloat16 rounds to nearest even and keeps nan and infinity" {
    const expect = std.testing.expect;
    try expect(BFloat16.fromF32(1.0).bits == 0x3f80);
    try expect(BFloat16.fromF32(1.0 + 1.0 / 256.0).bits == 0x3f80); // tie, to even
    try expect(BFloat16.fromF32(1.0 + 3.0 / 256.0).bits == 0x3f82); // tie, to even
    try expect(BFloat16.fromF32(std.math.inf(f32)).bits == 0x7f80);
    try expect(BFloat16.fromF32(std.math.nan(f32)).bits & 0x7fff == 0x7fc0);
    const v = narrowBF16(4, .{ 1.0, -2.5, 3.4e38, std.math.nan(f32) });
    inline for (0..4) |i| try expect(v[i] == BFloat16.fromF32(([4]f32{ 1.0, -2.5, 3.4e38, std.math.nan(f32) })[i]).bits);
}
