//! reduce_products.zig against one number after the other.
const std = @import("std");
const scan = @import("scan.zig");
const testing = @import("reduce_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

test "products of complex numbers against one after the other" {
    var generator: std.Random.DefaultPrng = .init(9);
    const random = generator.random();
    const row: u32 = for (scan.names, 0..) |name, i| {
        if (std.mem.eql(u8, name, "prod_complex")) break @intCast(i);
    } else unreachable;
    for ([_]DType{ .float32, .float64 }) |dtype| for ([_][3]i64{ .{ 3, 40, 5 }, .{ 2, 9, 37 }, .{ 1, 9000, 1 }, .{ 2, 4100, 3 } }) |shape| {
        const x = try Tensor.init(dtype, &.{ shape[0], shape[1], shape[2], 2 }, .contiguous, random, 1.2);
        defer x.deinit();
        const y = try Tensor.init(dtype, &.{ shape[0], shape[2], 2 }, .contiguous, random, 1);
        defer y.deinit();
        // Of magnitude 1, so that many of them neither vanish nor overflow.
        for (0..x.numel() / 2) |i| {
            const angle = x.at(2 * i) + 0.3;
            x.set(2 * i, @cos(angle));
            x.set(2 * i + 1, @sin(angle));
        }
        _ = try testing.run(scan.family, row, &.{ &y, &x }, 1, &.{1}, &.{});
        const n: usize = @intCast(shape[1]);
        const inner: usize = @intCast(shape[2]);
        for (0..y.numel() / 2) |i| {
            var re: f64 = 1;
            var im: f64 = 0;
            for (0..n) |k| {
                const at = 2 * ((i / inner * n + k) * inner + i % inner);
                const a = x.at(at);
                const b = x.at(at + 1);
                const next = re * a - im * b;
                im = re * b + im * a;
                re = next;
            }
            const tolerance: f64 = if (dtype == .float32) 2e-4 else 1e-11;
            try std.testing.expectApproxEqAbs(re, y.at(2 * i), tolerance);
            try std.testing.expectApproxEqAbs(im, y.at(2 * i + 1), tolerance);
        }
    };
}
