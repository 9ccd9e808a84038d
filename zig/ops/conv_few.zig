//! Convolutions with few positions and many weights (the last layers of a network, one image at a
//! time): the window of every position is gathered to a row, and an output is the product of two
//! rows, with vectors along (channel, tap). The weights, most of what there is to read, are read
//! once, front to back, where they lie.
//!
//! Bits: lane l of a sum takes the steps k = l modulo 16 in order; the lanes are added by halves.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const Images = @import("conv_image.zig").Images(f32);
const conv_geometry = @import("conv_geometry.zig");
const Geometry = conv_geometry.Geometry;
const product = conv_geometry.product;

const W = simd.lanes(f32);
const V = simd.Vec(f32);
const most_positions = 64;
/// Output channels of an item; channels and positions whose sums the registers hold.
const item_rows = 8;
const side = if (gemm_kernel.Kernel(f32).mr == 14) 4 else 2;
/// Steps of rows that stay in the L1 cache.
const block = 512;

/// Whether the convolution is computed here: a matter of its shape.
pub fn fits(g: *const Geometry) bool {
    return simd.has_fma and g.images * product(g.out) <= most_positions and g.ci * g.taps() >= 256 and g.co >= 16;
}

pub const Few = struct {
    g: *const Geometry,
    /// With the taps of the window, and from a column of positions to the next.
    images: *const Images,
    column: usize,
    /// (groups * co, ci * taps), contiguous.
    weights: [*]const f32,
    bias: []const f32,
    out: [*]f32,
    /// Where the steps lie from a position.
    offsets: []usize = &.{},
    /// (groups, positions, ci * taps), rows `row` apart.
    windows: [*]f32 = undefined,

    fn steps(f: *const Few) usize {
        return f.g.ci * f.g.taps();
    }
    fn row(f: *const Few) usize {
        return (f.steps() + W - 1) / W * W;
    }
    fn positions(f: *const Few) usize {
        return f.g.images * product(f.g.out);
    }

    pub fn run(given: Few) error{OutOfMemory}!void {
        var f = given;
        const g = f.g;
        f.offsets = services.allocSlice(usize, f.steps()) orelse return error.OutOfMemory;
        defer services.free(@ptrCast(f.offsets.ptr));
        const taps = f.images.taps;
        for (0..g.ci) |c| for (taps, f.offsets[c * taps.len ..][0..taps.len]) |tap, *to| {
            to.* = c * f.images.channel + tap;
        };
        const memory = services.allocSlice(f32, g.groups * f.positions() * f.row()) orelse return error.OutOfMemory;
        defer services.free(@ptrCast(memory.ptr));
        f.windows = memory.ptr;
        services.parallelFor(g.groups * f.positions(), gemm.grain(gemm.piece_packed, f.row()), f, gather);
        const items = g.groups * ((g.co + item_rows - 1) / item_rows);
        const flops = 2 * item_rows * f.positions() * f.row();
        services.parallelFor(items, gemm.grain(gemm.piece_flops, flops), f, multiply);
    }

    fn gather(f: *const Few, begin: usize, end: usize) void {
        const g = f.g;
        const s = f.images;
        const steps_count = f.steps();
        // Three neighbours go as four: what is too much is overwritten.
        const threes = !s.exact and g.kernel[2] == 3 and g.dilation[2] == 1;
        for (begin..end) |item| {
            const p = item % f.positions();
            const at = p / g.out[2];
            const src = s.ptr + item / f.positions() * g.ci * s.channel + at / g.out[1] / g.out[0] * s.image +
                at / g.out[1] % g.out[0] * s.step[0] + at % g.out[1] * s.step[1] + p % g.out[2] * f.column;
            const to = f.windows + item * f.row();
            var k: usize = 0;
            if (threes) while (k + 3 < steps_count) : (k += 3) {
                to[k..][0..4].* = src[f.offsets[k]..][0..4].*;
            };
            while (k < steps_count) : (k += 1) to[k] = src[f.offsets[k]];
            @memset(to[steps_count..f.row()], 0);
        }
    }

    fn multiply(f: *const Few, begin: usize, end: usize) void {
        const g = f.g;
        const per_group = (g.co + item_rows - 1) / item_rows;
        const count = f.positions();
        var sums: [item_rows][most_positions]V = undefined;
        for (begin..end) |item| {
            const group = item / per_group;
            const first = item % per_group * item_rows;
            const windows = f.windows + group * count * f.row();
            var k: usize = 0;
            while (k < f.steps()) : (k += block) {
                const length = @min(block, f.steps() - k);
                var p: usize = 0;
                while (p < count) : (p += side) {
                    var x: [side][*]const f32 = undefined;
                    for (&x, p..) |*at, i| at.* = windows + @min(i, count - 1) * f.row() + k;
                    inline for (0..item_rows / side) |r| {
                        var w: [side][*]const f32 = undefined;
                        for (&w, first + r * side..) |*at, o|
                            at.* = f.weights + (group * g.co + @min(o, g.co - 1)) * f.steps() + k;
                        tile(w, x, length, sums[r * side ..][0..side], p, k > 0);
                    }
                }
            }
            const plane = product(g.out);
            for (first..@min(g.co, first + item_rows), 0..) |o, r| {
                const channel = group * g.co + o;
                for (sums[r][0..count], 0..) |lanes, p| {
                    const at = (p / plane * g.groups * g.co + channel) * plane + p % plane;
                    f.out[at] = simd.reduceAdd(lanes) + f.bias[channel];
                }
            }
        }
    }

    noinline fn tile(w: [side][*]const f32, x: [side][*]const f32, n: usize, sums: *[side][most_positions]V, p: usize, adds: bool) void {
        var acc: [side][side]V = @splat(@splat(@splat(0)));
        if (adds) inline for (0..side) |r| inline for (0..side) |c| {
            acc[r][c] = sums[r][p + c];
        };
        var k: usize = 0;
        while (k + W <= n) : (k += W) {
            var xv: [side]V = undefined;
            inline for (0..side) |c| xv[c] = simd.load(f32, x[c] + k);
            inline for (0..side) |r| {
                const wv = simd.load(f32, w[r] + k);
                inline for (0..side) |c| acc[r][c] = simd.fma(V, wv, xv[c], acc[r][c]);
            }
        }
        if (k < n) inline for (0..side) |r| {
            const wv = simd.loadPart(f32, w[r] + k, n - k, 0);
            inline for (0..side) |c| acc[r][c] = simd.fma(V, wv, simd.load(f32, x[c] + k), acc[r][c]);
        };
        inline for (0..side) |r| inline for (0..side) |c| {
            sums[r][p + c] = acc[r][c];
        };
    }
};
