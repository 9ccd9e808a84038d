const simd = @import("simd.zig");
const math = @import("math.zig");
comptime {
    @setEvalBranchQuota(100_000);
    for ([_]type{ f32, f64 }) |T| {
        for (@import("tmp_names.zig").unary) |name| {
            const f = Unary(T, @field(math, name));
            @export(&f.run, .{ .name = "math_" ++ name ++ "_" ++ @typeName(T) });
        }
        for (@import("tmp_names.zig").binary) |name| {
            const f = Binary(T, @field(math, name));
            @export(&f.run, .{ .name = "math_" ++ name ++ "_" ++ @typeName(T) });
        }
    }
}
fn Unary(comptime T: type, comptime f: anytype) type {
    const n = simd.lanes(T) * @import("tmp_names.zig").unroll;
    const V = @Vector(n, T);
    return struct {
        fn run(x: [*]const T, out: [*]T, length: usize) callconv(.c) void {
            var i: usize = 0;
            while (i + n <= length) : (i += n) simd.storeN(n, T, out + i, @call(.always_inline, f, .{ V, simd.loadN(n, T, x + i) }));
        }
    };
}

fn Binary(comptime T: type, comptime f: anytype) type {
    const n = simd.lanes(T) * @import("tmp_names.zig").unroll;
    const V = @Vector(n, T);
    return struct {
        fn run(x: [*]const T, y: [*]const T, out: [*]T, length: usize) callconv(.c) void {
            var i: usize = 0;
            while (i + n <= length) : (i += n) {
                simd.storeN(n, T, out + i, @call(.always_inline, f, .{ V, simd.loadN(n, T, x + i), simd.loadN(n, T, y + i) }));
            }
        }
    };
}
export fn loop1(f: *const fn (*anyopaque, *anyopaque, usize) callconv(.c) void, x: *anyopaque, o: *anyopaque, n: usize, reps: usize) void {
    for (0..reps) |_| f(x, o, n);
}
export fn loop2(f: *const fn (*anyopaque, *anyopaque, *anyopaque, usize) callconv(.c) void, x: *anyopaque, y: *anyopaque, o: *anyopaque, n: usize, reps: usize) void {
    for (0..reps) |_| f(x, y, o, n);
}
