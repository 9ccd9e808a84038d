//! From the sums of a convolution to its output: bias, rounding, and the way to their place.
const DType = @import("../dtype.zig").DType;
const pack = @import("gemm_pack.zig");
const product = @import("conv_geometry.zig").product;

/// The epilogue of a matrix product whose rows are channels and whose columns are positions.
pub fn Output(comptime T: type) type {
    return struct {
        const Self = @This();
        /// C, row-major with `stride`, or null: the output itself.
        sum: ?[*]const T,
        stride: usize,
        bias: []const T,
        out: [*]u8,
        dtype: DType,
        /// Strides of the output in elements; positions (merged where they can be).
        image: usize,
        channel: usize,
        grid: [3]usize,
        step: [3]usize,

        pub fn run(c: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void {
            const f: *const Self = @ptrCast(@alignCast(c));
            const bytes = f.dtype.size();
            const plane = product(f.grid);
            var values: [256]T align(64) = undefined;
            var rounded: [256 * 8]u8 align(64) = undefined;
            for (row..row + rows) |i| {
                var j = col;
                while (j < col + cols) {
                    const q = j % plane;
                    const o2 = q % f.grid[2];
                    const r = q / f.grid[2];
                    const n = @min(values.len, @min(col + cols - j, f.grid[2] - o2));
                    const at = j / plane * f.image + i * f.channel + r / f.grid[1] * f.step[0] +
                        r % f.grid[1] * f.step[1] + o2 * f.step[2];
                    const to = f.out + at * bytes;
                    const from: [*]const T = if (f.sum) |s|
                        s + i * f.stride + j
                    else
                        @ptrCast(@alignCast(to));
                    addBias(&values, from, n, f.bias[i]);
                    if (f.step[2] == 1) {
                        pack.store(T, f.dtype, to, &values, n);
                    } else {
                        pack.store(T, f.dtype, &rounded, &values, n);
                        spread(to, &rounded, n, f.step[2], bytes);
                    }
                    j += n;
                }
            }
        }

        fn addBias(dst: [*]T, src: [*]const T, n: usize, bias: T) void {
            const W = 16;
            var i: usize = 0;
            while (i + W <= n) : (i += W) {
                const b: @Vector(W, T) = @splat(bias);
                dst[i..][0..W].* = @as(@Vector(W, T), src[i..][0..W].*) + b;
            }
            while (i < n) : (i += 1) dst[i] = src[i] + bias;
        }

        fn spread(to: [*]u8, from: [*]const u8, n: usize, step: usize, bytes: usize) void {
            switch (bytes) {
                inline 2, 4, 8 => |size| for (0..n) |i| {
                    to[i * step * size ..][0..size].* = from[i * size ..][0..size].*;
                },
                else => unreachable,
            }
        }

        /// The output of a sum over nothing.
        pub fn fillBias(bias: []const T, plane: usize, images: usize, out: [*]u8, d: DType) void {
            var one: [1]T = undefined;
            for (0..images) |n| for (bias, 0..) |b, c| for (0..plane) |i| {
                one[0] = b;
                pack.store(T, d, out + ((n * bias.len + c) * plane + i) * d.size(), &one, 1);
            };
        }
    };
}
