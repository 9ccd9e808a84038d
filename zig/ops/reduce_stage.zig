//! Runs of elements between memory (any dtype, any stride) and packed buffers of the type
//! that a kernel computes in: f32, f64 or i64. Shared by the families that reduce.
const std = @import("std");
const dt = @import("../dtype.zig");
const simd = @import("../simd.zig");
const DType = dt.DType;

/// The dtype that memory has when a packed buffer of T is that memory itself.
pub fn native(comptime T: type) DType {
    return switch (T) {
        f32 => .float32,
        f64 => .float64,
        i64 => .int64,
        else => unreachable,
    };
}

/// Float to integer as PyTorch on x86-64 does it: towards zero, and what does not fit (nan,
/// infinity) becomes the smallest number. Written out so that every CPU agrees.
fn truncate(x: f64) i64 {
    const limit = 9223372036854775808.0;
    if (!(x >= -limit and x < limit)) return std.math.minInt(i64);
    return @trunc(x);
}

/// The low bits.
inline fn cut(comptime I: type, x: i64) I {
    return @bitCast(@as(@Int(.unsigned, @bitSizeOf(I)), @truncate(@as(u64, @bitCast(x)))));
}

pub inline fn widen(comptime T: type, comptime d: DType, x: d.Type()) T {
    if (T == i64) return switch (d) {
        .bfloat16 => truncate(x.toF32()),
        .float16, .float32, .float64 => truncate(x),
        else => x,
    };
    return switch (d) {
        .bfloat16 => x.toF32(),
        .float16 => @as(f32, x),
        .float32, .float64 => @floatCast(x),
        else => @floatFromInt(x),
    };
}

pub inline fn narrow(comptime T: type, comptime d: DType, x: T) d.Type() {
    if (T == i64) return switch (d) {
        .bfloat16 => .fromF32(@floatFromInt(x)),
        .float16, .float32, .float64 => @floatFromInt(x),
        .bool => @intFromBool(x != 0),
        else => cut(d.Type(), x),
    };
    return switch (d) {
        .bfloat16 => .fromF32(@floatCast(x)),
        .float16 => @floatCast(@as(f32, @floatCast(x))),
        .float32, .float64 => @floatCast(x),
        .bool => @intFromBool(x != 0),
        else => cut(d.Type(), truncate(x)),
    };
}

const chunk = 16;
/// Old CPUs convert one by one: their code stays small.
const in_chunks = simd.has_fma;

inline fn widenChunk(comptime T: type, comptime d: DType, p: [*]const d.Type()) @Vector(chunk, T) {
    const f: @Vector(chunk, f32) = switch (d) {
        .bfloat16 => dt.widenBF16(chunk, @as([*]const u16, @ptrCast(p))[0..chunk].*),
        .float16 => @floatCast(@as(@Vector(chunk, f16), p[0..chunk].*)),
        .float32, .float64 => return @floatCast(@as(@Vector(chunk, d.Type()), p[0..chunk].*)),
        else => {
            const v: @Vector(chunk, d.Type()) = p[0..chunk].*;
            return if (T == i64) v else @floatFromInt(v);
        },
    };
    return @floatCast(f);
}

inline fn narrowChunk(
    comptime T: type,
    comptime d: DType,
    v: @Vector(chunk, T),
    p: [*]d.Type(),
) void {
    const f: @Vector(chunk, f32) = @floatCast(v);
    switch (d) {
        .bfloat16 => @as([*]u16, @ptrCast(p))[0..chunk].* = dt.narrowBF16(chunk, f),
        .float16 => p[0..chunk].* = @as(@Vector(chunk, f16), @floatCast(f)),
        else => p[0..chunk].* = @as(@Vector(chunk, d.Type()), @floatCast(v)),
    }
}

fn loadAs(
    comptime T: type,
    comptime d: DType,
    src: [*]const d.Type(),
    n: usize,
    stride: usize,
    dst: [*]T,
    dst_stride: usize,
) void {
    var i: usize = 0;
    if (stride == 1 and dst_stride == 1) {
        if (comptime d == native(T)) return @memcpy(dst[0..n], src[0..n]);
        // Floats become integers rarely enough to leave that to the scalar loop.
        if (in_chunks and (T != i64 or !comptime d.isFloat())) {
            while (i + chunk <= n) : (i += chunk) dst[i..][0..chunk].* = widenChunk(T, d, src + i);
        }
        // After chunks, a few are left.
        while (i < n) : (i += 1) {
            if (in_chunks and (T != i64 or !comptime d.isFloat())) simd.once();
            dst[i] = widen(T, d, src[i]);
        }
        return;
    }
    // Unrolled where nothing is converted, which is what programs do.
    if (comptime d == native(T)) while (i + 4 <= n) : (i += 4) {
        const s = src + i * stride;
        const o = dst + i * dst_stride;
        inline for (0..4) |k| o[k * dst_stride] = widen(T, d, s[k * stride]);
    };
    while (i < n) : (i += 1) {
        if (comptime d != native(T)) simd.once();
        dst[i * dst_stride] = widen(T, d, src[i * stride]);
    }
}

/// `runs` runs of n elements, which lie `stride` apart, packed or spread in the same way.
fn loadRuns(
    comptime T: type,
    dtype: DType,
    src: [*]const u8,
    runs: usize,
    src_step: usize,
    n: usize,
    stride: usize,
    dst: [*]T,
    dst_step: usize,
    dst_stride: usize,
) void {
    // One behind the other, on both sides: as one run.
    const whole = stride == 1 and dst_stride == 1 and src_step == n and dst_step == n;
    const count = if (whole) 1 else runs;
    const length = if (whole) runs * n else n;
    switch (dtype) {
        inline else => |d| {
            const s: [*]const d.Type() = @ptrCast(@alignCast(src));
            for (0..count) |r|
                loadAs(T, d, s + r * src_step, length, stride, dst + r * dst_step, dst_stride);
        },
    }
}

/// dst[i * dst_stride] = element i of a run of n elements that lie `stride` apart.
pub fn load(
    comptime T: type,
    dtype: DType,
    src: [*]const u8,
    n: usize,
    stride: usize,
    dst: [*]T,
    dst_stride: usize,
) void {
    loadRuns(T, dtype, src, 1, 0, n, stride, dst, 0, dst_stride);
}

fn storeAs(
    comptime T: type,
    comptime d: DType,
    src: [*]const T,
    src_stride: usize,
    n: usize,
    dst: [*]d.Type(),
    stride: usize,
) void {
    var i: usize = 0;
    if (stride == 1 and src_stride == 1) {
        if (comptime d == native(T)) return @memcpy(dst[0..n], src[0..n]);
        if (in_chunks and T != i64 and comptime d.isFloat()) {
            while (i + chunk <= n) : (i += chunk) narrowChunk(T, d, src[i..][0..chunk].*, dst + i);
        }
        while (i < n) : (i += 1) {
            if (in_chunks and T != i64 and comptime d.isFloat()) simd.once();
            dst[i] = narrow(T, d, src[i]);
        }
        return;
    }
    while (i < n) : (i += 1) {
        if (comptime d != native(T)) simd.once();
        dst[i * stride] = narrow(T, d, src[i * src_stride]);
    }
}

/// The way back: n elements, `src_stride` apart, rounded once into memory `stride` apart.
pub fn store(
    comptime T: type,
    dtype: DType,
    src: [*]const T,
    src_stride: usize,
    n: usize,
    dst: [*]u8,
    stride: usize,
) void {
    switch (dtype) {
        inline else => |d| storeAs(T, d, src, src_stride, n, @ptrCast(@alignCast(dst)), stride),
    }
}

/// dst (rows, columns), rows `dst_stride` apart, from memory with any two strides.
pub fn loadTile(
    comptime T: type,
    dtype: DType,
    src: [*]const u8,
    rows: usize,
    row_stride: usize,
    columns: usize,
    column_stride: usize,
    dst: [*]T,
    dst_stride: usize,
) void {
    // Along what is closer together in memory
    if (rows == 1 or column_stride <= row_stride)
        loadRuns(T, dtype, src, rows, row_stride, columns, column_stride, dst, dst_stride, 1)
    else
        loadRuns(T, dtype, src, columns, column_stride, rows, row_stride, dst, 1, dst_stride);
}

pub fn storeTile(
    comptime T: type,
    dtype: DType,
    src: [*]const T,
    src_stride: usize,
    rows: usize,
    columns: usize,
    dst: [*]u8,
    row_stride: usize,
    column_stride: usize,
) void {
    const size = dtype.size();
    if (rows == 1 or column_stride <= row_stride) {
        for (0..rows) |r|
            store(
                T,
                dtype,
                src + r * src_stride,
                1,
                columns,
                dst + r * row_stride * size,
                column_stride,
            );
    } else for (0..columns) |c|
        store(T, dtype, src + c, src_stride, rows, dst + c * column_stride * size, row_stride);
}

/// One dimension that a kernel walks: its extent, and how far apart its elements lie in the
/// input (`stride`) and in the output (`out`).
pub const Dim = struct { size: usize, stride: usize, out: usize = 0 };

pub const max_dims = 24;

/// A few dimensions, outermost first.
pub const Dims = struct {
    n: usize = 0,
    d: [max_dims]Dim = undefined,

    pub fn slice(s: *const Dims) []const Dim {
        return s.d[0..s.n];
    }
    pub fn append(s: *Dims, x: Dim) error{Unsupported}!void {
        if (x.size == 1) return;
        if (s.n == max_dims) return error.Unsupported;
        s.d[s.n] = x;
        s.n += 1;
    }
    pub fn numel(s: *const Dims) usize {
        var n: usize = 1;
        for (s.slice()) |x| n *= x.size;
        return n;
    }
    /// Largest input stride outermost: memory order.
    pub fn sort(s: *Dims) void {
        var i: usize = 1;
        while (i < s.n) : (i += 1) {
            const x = s.d[i];
            var j = i;
            while (j > 0 and s.d[j - 1].stride < x.stride) : (j -= 1) s.d[j] = s.d[j - 1];
            s.d[j] = x;
        }
    }
    /// Joins neighbours that are one run in both tensors.
    pub fn coalesce(s: *Dims) void {
        var n: usize = 0;
        for (s.d[0..s.n]) |x| {
            if (n > 0) {
                const a = &s.d[n - 1];
                if (a.stride == x.size * x.stride and a.out == x.size * x.out) {
                    a.* = .{ .size = a.size * x.size, .stride = x.stride, .out = x.out };
                    continue;
                }
            }
            s.d[n] = x;
            n += 1;
        }
        s.n = n;
    }
    /// Takes the innermost dimension away; one of size 1 if there is none.
    pub fn pop(s: *Dims) Dim {
        if (s.n == 0) return .{ .size = 1, .stride = 0, .out = 0 };
        s.n -= 1;
        return s.d[s.n];
    }
    pub const Offsets = struct { in: usize, out: usize };
    /// Where the element with this row-major number lies.
    pub fn at(s: *const Dims, number: usize) Offsets {
        var rest = number;
        var o: Offsets = .{ .in = 0, .out = 0 };
        var i = s.n;
        while (i > 0) {
            i -= 1;
            const x = s.d[i];
            const k = rest % x.size;
            rest /= x.size;
            o.in += k * x.stride;
            o.out += k * x.out;
        }
        return o;
    }
};
