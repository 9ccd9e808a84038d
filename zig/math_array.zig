//! The functions of math.zig over arrays, as a C library for scripts/check_math.py:
//! `math_exp_f32(x, out, n)`, `math_pow_f64(x, y, out, n)` ...
const simd = @import("simd.zig");
const math = @import("math.zig");

comptime {
    @setEvalBranchQuota(100_000);
    for ([_]type{ f32, f64 }) |T| {
        for (math.unary_names) |name| {
            const f = Unary(T, @field(math, name));
            @export(&f.run, .{ .name = "math_" ++ name ++ "_" ++ @typeName(T) });
        }
        for (math.binary_names) |name| {
            const f = Binary(T, @field(math, name));
            @export(&f.run, .{ .name = "math_" ++ name ++ "_" ++ @typeName(T) });
        }
    }
}

fn Unary(comptime T: type, comptime f: anytype) type {
    const V = simd.Vec(T);
    const n = simd.lanes(T);
    return struct {
        fn run(x: [*]const T, out: [*]T, length: usize) callconv(.c) void {
            var i: usize = 0;
            while (i + n <= length) : (i += n) simd.store(T, out + i, f(V, simd.load(T, x + i)));
            const rest = length - i;
            if (rest > 0) simd.storePart(T, out + i, rest, f(V, simd.loadPart(T, x + i, rest, 1)));
        }
    };
}

fn Binary(comptime T: type, comptime f: anytype) type {
    const V = simd.Vec(T);
    const n = simd.lanes(T);
    return struct {
        fn run(x: [*]const T, y: [*]const T, out: [*]T, length: usize) callconv(.c) void {
            var i: usize = 0;
            while (i + n <= length) : (i += n) {
                simd.store(T, out + i, f(V, simd.load(T, x + i), simd.load(T, y + i)));
            }
            const rest = length - i;
            if (rest > 0) simd.storePart(T, out + i, rest, f(
                V,
                simd.loadPart(T, x + i, rest, 1),
                simd.loadPart(T, y + i, rest, 1),
            ));
        }
    };
}
