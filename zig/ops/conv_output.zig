//! From the sums of a convolution to its output: bias, and the way to their place.
const services = @import("../services.zig");
const gemm = @import("gemm.zig");
const product = @import("conv_geometry.zig").product;

/// The epilogue of a matrix product whose rows are channels and whose columns are positions.
pub fn Output(comptime T: type) type {
    return struct {
        const Self = @This();
        /// C, row-major with `stride`, or null: the output itself.
        sum: ?[*]const T,
        stride: usize,
        bias: []const T,
        out: [*]T,
        /// Strides of the output in elements; positions (merged where they can be).
        image: usize,
        channel: usize,
        grid: [3]usize,
        step: [3]usize,

        pub fn run(c: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void {
            const f: *const Self = @ptrCast(@alignCast(c));
            const plane = product(f.grid);
            for (row..row + rows) |i| {
                var j = col;
                while (j < col + cols) {
                    const q = j % plane;
                    const o2 = q % f.grid[2];
                    const r = q / f.grid[2];
                    const n = @min(col + cols - j, f.grid[2] - o2);
                    const to = f.out + j / plane * f.image + i * f.channel + r / f.grid[1] * f.step[0] +
                        r % f.grid[1] * f.step[1] + o2 * f.step[2];
                    const from: [*]const T = if (f.sum) |s| s + i * f.stride + j else to;
                    const bias = f.bias[i];
                    if (f.step[2] == 1) {
                        addBias(to, from, n, bias);
                    } else for (from[0..n], 0..) |x, k| {
                        to[k * f.step[2]] = x + bias;
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

        const Filling = struct {
            bias: []const T,
            plane: usize,
            out: [*]T,

            fn run(f: *const Filling, begin: usize, end: usize) void {
                for (begin..end) |i| @memset(f.out[i * f.plane ..][0..f.plane], f.bias[i % f.bias.len]);
            }
        };

        /// The output of a sum over nothing.
        pub fn fillBias(bias: []const T, plane: usize, images: usize, out: [*]T) void {
            const filling: Filling = .{ .bias = bias, .plane = plane, .out = out };
            services.parallelFor(images * bias.len, gemm.grain(gemm.piece_packed, plane), filling, Filling.run);
        }
    };
}
