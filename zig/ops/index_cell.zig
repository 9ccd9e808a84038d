//! What index_put and the scatter rows do with one element, or with a run of them.
const std = @import("std");
const planning = @import("../plan.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const index_space = @import("index_space.zig");
const DType = dtype.DType;

/// reduce: prod, max or min, chosen when it runs.
pub const Action = enum { set, sum, either, reduce };
pub const Reduction = enum { prod, max, min };

/// Puts elements of type Value into elements of type T: the same type, or float32 that
/// stands for a half-precision tensor while it is accumulated into (index_space.Staged).
pub fn Cell(comptime ElementType: type, comptime ValueType: type, comptime action: Action) type {
    return struct {
        pub const T = ElementType;
        pub const Value = ValueType;
        pub const staged = T != Value;
        pub const reduces = action == .reduce;
        /// Whether a loop of its own for single elements of a vector is worth its code.
        pub const flat = simd.has_fma and !staged and ((action == .set and @sizeOf(T) >= 4) or (action == .sum and (T == f32 or @sizeOf(T) == 8)));
        pub const reduces_all = simd.has_fma and reduces and @sizeOf(T) >= 4;
        const is_int = @typeInfo(T) == .int;
        const is_pair = @typeInfo(T) == .vector;

        pub inline fn put(to: *T, from: Value) void {
            if (action == .set) {
                to.* = from;
                return;
            }
            const x: T = if (staged) index_space.widen(Value, from) else from;
            const y = to.*;
            to.* = switch (action) {
                .set, .reduce => unreachable,
                .either => y | x,
                .sum => if (is_int) y +% x else y + x,
            };
        }

        pub inline fn reduce(how: Reduction, to: *T, x: T) void {
            const y = to.*;
            to.* = switch (how) {
                .prod => if (is_int) y *% x else y * x,
                // nan wins, as in torch.maximum; written so that no branch depends on the values
                .max => if (x != x) x else if (x > y) x else y,
                .min => if (x != x) x else if (x < y) x else y,
            };
        }
        /// `reduce` of neighbours, each into its own place.
        pub noinline fn reduceAll(how: Reduction, n: usize, to: [*]T, from: [*]const T) void {
            const lanes = simd.lanes(T);
            const V = @Vector(lanes, T);
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) {
                const x: V = from[i..][0..lanes].*;
                const y: V = to[i..][0..lanes].*;
                to[i..][0..lanes].* = switch (how) {
                    .prod => if (is_int) y *% x else y * x,
                    .max => @select(T, (x != x) | (x > y), x, y),
                    .min => @select(T, (x != x) | (x < y), x, y),
                };
            }
            while (i < n) : (i += 1) {
                simd.once();
                reduce(how, &to[i], from[i]);
            }
        }

        /// to[i * to_step] (action)= from[i * from_step]. With to_step == 0 in order of i.
        pub noinline fn run(
            n: usize,
            to: [*]T,
            to_step: usize,
            from: [*]const Value,
            from_step: usize,
        ) void {
            if (to_step != 1 or from_step > 1) {
                for (0..n) |i| put(&to[i * to_step], from[i * from_step]);
                return;
            }
            if (action == .set) {
                if (from_step == 0) return @memset(to[0..n], from[0]);
                if (n * @sizeOf(T) > 64) return @memcpy(to[0..n], from[0..n]);
            }
            var i: usize = 0;
            if (is_pair) {
                const Half = Cell(f32, f32, action);
                if (from_step == 1) return Half.run(2 * n, @ptrCast(to), 1, @ptrCast(from), 1);
            } else if (action == .sum) {
                const lanes = simd.lanes(T);
                const V = @Vector(lanes, T);
                while (i + lanes <= n) : (i += lanes) {
                    const Bits = if (Value == dtype.BFloat16) u16 else Value;
                    const bits: [*]const Bits = @ptrCast(from);
                    const given: @Vector(lanes, Bits) =
                        if (from_step == 0) @splat(bits[0]) else bits[i..][0..lanes].*;
                    const x = if (Value == dtype.BFloat16)
                        @as(V, @bitCast(@as(@Vector(lanes, u32), given) << @splat(16)))
                    else
                        given;
                    const y: V = to[i..][0..lanes].*;
                    to[i..][0..lanes].* = if (is_int) y +% x else y + @as(V, x);
                }
            }
            while (i < n) : (i += 1) {
                if (action == .sum or action == .set) simd.once();
                put(&to[i], from[i * from_step]);
            }
        }
    };
}

/// A complex64.
pub const Pair = @Vector(2, f32);

/// The run function `Kernel(Cell).run` for copies of `size` bytes.
pub fn moving(comptime Kernel: fn (type) type, size: usize) planning.Run {
    return switch (size) {
        1 => &Kernel(Cell(u8, u8, .set)).run,
        2 => &Kernel(Cell(u16, u16, .set)).run,
        4 => &Kernel(Cell(u32, u32, .set)).run,
        else => &Kernel(Cell(u64, u64, .set)).run,
    };
}

/// The same for sums: integers wrap (signed or not), bool is or-ed.
pub fn summing(comptime Kernel: fn (type) type, d: DType) planning.Run {
    return switch (d) {
        .bool => &Kernel(Cell(u8, u8, .either)).run,
        .uint8, .int8 => &Kernel(Cell(u8, u8, .sum)).run,
        .int16 => &Kernel(Cell(u16, u16, .sum)).run,
        .int32 => &Kernel(Cell(u32, u32, .sum)).run,
        .int64 => &Kernel(Cell(u64, u64, .sum)).run,
        .float16 => &Kernel(Cell(f32, f16, .sum)).run,
        .bfloat16 => &Kernel(Cell(f32, dtype.BFloat16, .sum)).run,
        .float32 => &Kernel(Cell(f32, f32, .sum)).run,
        .float64 => &Kernel(Cell(f64, f64, .sum)).run,
    };
}
