//! fft.zig against the sum that defines the transform.
const std = @import("std");
const fft = @import("fft.zig");
const testing = @import("reduce_testing.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;

const gpa = std.testing.allocator;

/// The transform of one line, and the largest that a number of it can be.
fn reference(x: []const [2]f64, y: [][2]f64, inverse: bool) f64 {
    const n = x.len;
    var size: f64 = 0;
    for (x) |v| size += @abs(v[0]) + @abs(v[1]);
    for (y, 0..) |*out, k| {
        out.* = .{ 0, 0 };
        for (x, 0..) |v, j| {
            const angle = 2 * std.math.pi * @as(f64, @floatFromInt(j * k % n)) / @as(f64, @floatFromInt(n));
            const c = @cos(angle);
            const s = if (inverse) @sin(angle) else -@sin(angle);
            out[0] += v[0] * c - v[1] * s;
            out[1] += v[0] * s + v[1] * c;
        }
    }
    return size;
}

fn check(row: u32, dtype: DType, n: usize, layout: testing.Layout, inverse: bool, lines: usize, random: std.Random) !void {
    const half: i64 = @intCast(n / 2 + 1);
    const full: i64 = @intCast(n);
    const count: i64 = @intCast(lines);
    // The transformed dimension comes first: lines lie side by side.
    const x_parts = [_]i64{ if (row == 2) half else full, count, 2 };
    const y_parts = [_]i64{ if (row == 1) half else full, count, 2 };
    const x = try Tensor.init(dtype, x_parts[0..if (row == 1) 2 else 3], if (row == 1) layout else .contiguous, random, 1);
    defer x.deinit();
    const y = try Tensor.init(dtype, y_parts[0..if (row == 2) 2 else 3], .contiguous, random, 1);
    defer y.deinit();
    const factor = 0.5;
    _ = try testing.run(fft.family, row, &.{ &y, &x }, 1, &.{ 0, @intFromBool(inverse), full }, &.{factor});

    const a = try gpa.alloc([2]f64, n);
    defer gpa.free(a);
    const b = try gpa.alloc([2]f64, n);
    defer gpa.free(b);
    for (0..lines) |line| {
        for (a, 0..) |*v, k| v.* = switch (row) {
            0 => .{ x.at((k * lines + line) * 2), x.at((k * lines + line) * 2 + 1) },
            1 => .{ x.at(k * lines + line), 0 },
            else => blk: {
                const from = if (2 * k > n) n - k else k;
                const im = if (from == 0 or 2 * from == n) 0 else x.at((from * lines + line) * 2 + 1);
                break :blk .{ x.at((from * lines + line) * 2), if (2 * k > n) -im else im };
            },
        };
        const size = reference(a, b, inverse or row == 2);
        const tolerance = (if (dtype == .float32) @as(f64, 1e-6) else 1e-14) * (size + 1);
        for (0..if (row == 1) n / 2 + 1 else n) |k| {
            const at = k * lines + line;
            if (row == 2) {
                try std.testing.expectApproxEqAbs(b[k][0] * factor, y.at(at), tolerance);
            } else {
                try std.testing.expectApproxEqAbs(b[k][0] * factor, y.at(2 * at), tolerance);
                try std.testing.expectApproxEqAbs(b[k][1] * factor, y.at(2 * at + 1), tolerance);
            }
        }
    }
}

test "every row, length and sign is the sum that defines it" {
    var prng: std.Random.DefaultPrng = .init(1);
    const random = prng.random();
    // Each radix alone and mixed, and lengths with large primes (17, 34, 101).
    for ([_]usize{ 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 25, 34, 49, 60, 64, 77, 101, 128, 240, 256 }) |n| {
        for ([_]DType{ .float32, .float64 }) |dtype| {
            // One line after the other; a vector of lines and a part of one.
            for ([_]usize{ 3, 19 }) |lines| {
                for ([_]bool{ false, true }) |inverse| try check(0, dtype, n, .contiguous, inverse, lines, random);
                for ([_]testing.Layout{ .contiguous, .permuted, .gaps }) |layout| {
                    try check(1, dtype, n, layout, false, lines, random);
                }
                try check(2, dtype, n, .contiguous, true, lines, random);
            }
        }
    }
}
