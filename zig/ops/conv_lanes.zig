//! The gradient of a convolution's weights where an image has few channels: vectors along the
//! rows of both images, which are read in place; a tile is some output channels times some
//! (channel, tap), whose sums stay in registers over all positions.
const simd = @import("../simd.zig");
const services = @import("../services.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const conv_image = @import("conv_image.zig");
const Geometry = @import("conv_geometry.zig").Geometry;

/// Whether rows fill most of their vectors, and packing would cost more than it saves.
pub fn fits(g: *const Geometry, comptime T: type) bool {
    const W = simd.lanes(T);
    const padded = (g.out[2] + W - 1) / W * W;
    return 2 * g.out[2] >= padded and (g.ci * g.taps() <= 256 or g.co <= 16);
}

pub fn Lanes(comptime T: type) type {
    return struct {
        const Self = @This();
        const Images = conv_image.Images(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        const wide = gemm_kernel.Kernel(T).mr == 14;

        g: *const Geometry,
        /// The images, with the taps of x, and how many of them.
        x: Images,
        gout: Images,
        count: usize,
        /// (groups * co, ci * taps).
        sum: [*]T,
        adds: bool,

        /// Lane l of an element's sum takes the columns l modulo `lanes` of every row in order,
        /// image after image; the lanes are added by halves.
        pub fn run(s: Self) void {
            const rows = s.tileRows();
            const columns = s.tileColumns();
            const items = s.g.groups * tiles(s.g.co, rows) * tiles(s.inputs(), columns);
            const flops = 2 * rows * columns * s.count * s.gout.positions();
            services.parallelFor(items, gemm.grain(gemm.piece_flops, flops), s, computeItems);
        }

        fn inputs(s: *const Self) usize {
            return s.g.ci * s.x.taps.len;
        }
        fn tiles(n: usize, size: usize) usize {
            return (n + size - 1) / size;
        }
        const sizes: [2][]const usize = if (wide) .{ &.{ 3, 4 }, &.{ 5, 6 } } else .{ &.{2}, &.{2} };
        // Sizes that the registers hold, whichever leaves fewer over.
        fn tileRows(s: *const Self) usize {
            if (!wide) return 2;
            return if (s.g.co % 4 != 0 and s.g.co % 3 == 0) 3 else 4;
        }
        fn tileColumns(s: *const Self) usize {
            if (!wide) return 2;
            return if (s.inputs() % 5 == 0) 5 else 6;
        }

        fn computeItems(s: *const Self, begin: usize, end: usize) void {
            const rows = s.tileRows();
            const columns = s.tileColumns();
            const across = tiles(s.inputs(), columns);
            const down = tiles(s.g.co, rows);
            for (begin..end) |item| {
                const group = item / across / down;
                const o = item / across % down * rows;
                const i = item % across * columns;
                inline for (sizes[0]) |r| inline for (sizes[1]) |c| {
                    if (rows == r and columns == c) s.compute(r, c, group, o, i);
                };
            }
        }

        fn compute(s: *const Self, comptime rows: usize, comptime columns: usize, group: usize, o: usize, i: usize) void {
            const g = s.g;
            var from: [rows][*]const T = undefined;
            var offset: [columns]usize = undefined;
            const taps = s.x.taps;
            for (&from, 0..) |*f, r|
                f.* = s.gout.ptr + (group * g.co + @min(o + r, g.co - 1)) * s.gout.channel;
            for (&offset, i..) |*at, column| {
                const c = @min(column, s.inputs() - 1);
                at.* = (group * g.ci + c / taps.len) * s.x.channel + taps[c % taps.len];
            }
            // Where both merged their rows, they are longer.
            const grid = if (s.x.grid[2] == s.gout.grid[2]) s.x.grid else g.out;
            var acc: [rows][columns]V = @splat(@splat(@splat(0)));
            for (0..s.count) |n| for (0..grid[0]) |d| for (0..grid[1]) |h| {
                const at = n * s.gout.image + d * s.gout.step[0] + h * s.gout.step[1];
                const x = s.x.ptr + n * s.x.image + d * s.x.step[0] + h * s.x.step[1];
                var p: usize = 0;
                while (p + W <= grid[2]) : (p += W) {
                    var gv: [rows]V = undefined;
                    inline for (0..rows) |r| gv[r] = simd.load(T, from[r] + at + p);
                    inline for (0..columns) |c| {
                        const xv = simd.load(T, x + offset[c] + p);
                        inline for (0..rows) |r| acc[r][c] = simd.fma(V, gv[r], xv, acc[r][c]);
                    }
                }
                if (p == grid[2]) continue;
                const rest = grid[2] - p;
                var gv: [rows]V = undefined;
                inline for (0..rows) |r| gv[r] = simd.loadPart(T, from[r] + at + p, rest, 0);
                inline for (0..columns) |c| {
                    const xv = simd.loadPart(T, x + offset[c] + p, rest, 0);
                    inline for (0..rows) |r| acc[r][c] = simd.fma(V, gv[r], xv, acc[r][c]);
                }
            };
            for (acc, o..) |row, output| for (row, i..) |lanes, input| {
                if (output >= g.co or input >= s.inputs()) continue;
                const to = &s.sum[(group * g.co + output) * s.inputs() + input];
                const sum = simd.reduceAdd(lanes);
                to.* = if (s.adds) to.* + sum else sum;
            };
        }
    };
}
