//! Windows of one element to a single channel (the last layer of a network that says one number a
//! pixel), and its gradients: nothing for a matrix product to reuse, so each is one pass over x.
//!
//! Bits: an output is one chain over the channels; the gradient of a weight has four vectors of
//! lanes, of position p the lane p modulo 64, image after image, which are added by halves.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const Geometry = @import("conv_geometry.zig").Geometry;
const product = @import("conv_geometry.zig").product;
const Tensor = @import("conv_image.zig").Tensor;

const W = simd.lanes(f32);
const V = simd.Vec(f32);
/// Positions of an item; channels that go together.
const block = 1024;
const together = 4;

pub const Single = struct {
    g: *const Geometry,
    x: [*]const f32,
    image: usize,
    weight: [*]const f32,
    weight_step: usize,
    bias: []const f32,
    out: [*]f32,

    /// Whether the convolution is computed here: a matter of its shape.
    pub fn fits(g: *const Geometry) bool {
        if (!simd.has_fma or g.groups != 1 or g.co != 1 or g.taps() != 1 or product(g.stride) != 1) return false;
        return g.padding[0] == 0 and g.padding[1] == 0 and g.padding[2] == 0 and product(g.in) >= W;
    }

    /// Whether the planes of `t` are vectors, one behind the other.
    pub fn isDense(t: Tensor) bool {
        const plane = [3]usize{ t.size[1] * t.size[2], t.size[2], 1 };
        for (t.size, t.step, plane) |n, step, wanted| if (n != 1 and step != wanted) return false;
        return t.channel == product(t.size);
    }

    pub fn forward(s: Single) void {
        const blocks = (product(s.g.out) + block - 1) / block;
        services.parallelFor(s.g.images * blocks, gemm.grain(gemm.piece_flops, 4 * block * s.g.ci), s, forwardBlocks);
    }

    fn forwardBlocks(s: *const Single, begin: usize, end: usize) void {
        const plane = product(s.g.out);
        const blocks = (plane + block - 1) / block;
        for (begin..end) |item| {
            const first = item % blocks * block;
            const n = @min(block, plane - first);
            const to = s.out + item / blocks * plane + first;
            const from = s.x + item / blocks * s.image + first;
            @memset(to[0..n], 0);
            var c: usize = 0;
            while (c + together <= s.g.ci) : (c += together) s.add(together, c, from + c * plane, to, n);
            while (c < s.g.ci) : (c += 1) s.add(1, c, from + c * plane, to, n);
            if (s.bias[0] != 0) for (to[0..n]) |*y| {
                y.* += s.bias[0];
            };
        }
    }

    /// to += the channels c, c + 1, ... times their weights.
    fn add(s: *const Single, comptime count: usize, c: usize, from: [*]const f32, to: [*]f32, n: usize) void {
        const plane = product(s.g.out);
        var w: [count]f32 = undefined;
        for (&w, c..) |*x, i| x.* = s.weight[i * s.weight_step];
        var p: usize = 0;
        while (p + W <= n) : (p += W) {
            var sum = simd.load(f32, to + p);
            inline for (0..count) |i| sum = simd.fma(V, @splat(w[i]), simd.load(f32, from + i * plane + p), sum);
            simd.store(f32, to + p, sum);
        }
        while (p < n) : (p += 1) inline for (0..count) |i| {
            to[p] = simd.fma(f32, w[i], from[i * plane + p], to[p]);
        };
    }

    /// x is gout, out the gradient of the input.
    pub fn gradInput(s: Single) void {
        const plane = product(s.g.in);
        services.parallelFor(s.g.images * s.g.ci, gemm.grain(gemm.piece_packed, plane), s, gradPlanes);
    }

    fn gradPlanes(s: *const Single, begin: usize, end: usize) void {
        const plane = product(s.g.in);
        for (begin..end) |item| {
            const i = item % s.g.ci;
            const from = s.x + item / s.g.ci * s.image;
            const w: V = @splat(s.weight[i * s.weight_step]);
            const b: V = @splat(s.bias[i]);
            const to = s.out + item * plane;
            // The last vector overlaps the one before.
            var p: usize = 0;
            while (p < plane) : (p += W) {
                const at = @min(p, plane - W);
                simd.store(f32, to + at, w * simd.load(f32, from + at) + b);
            }
        }
    }

    /// weight is gout here, an image `weight_step` elements; out the gradient of the weights.
    pub fn gradWeight(s: Single) void {
        const flops = 4 * s.g.images * product(s.g.out);
        services.parallelFor(s.g.ci, gemm.grain(gemm.piece_flops, flops), s, gradWeights);
    }

    fn gradWeights(s: *const Single, begin: usize, end: usize) void {
        const plane = product(s.g.out);
        for (begin..end) |i| {
            var acc: [4]V = @splat(@splat(0));
            for (0..s.g.images) |n| {
                const x = s.x + n * s.image + i * plane;
                const gout = s.weight + n * s.weight_step;
                var p: usize = 0;
                while (p + 4 * W <= plane) : (p += 4 * W) inline for (0..4) |k| {
                    acc[k] = simd.fma(V, simd.load(f32, x + p + k * W), simd.load(f32, gout + p + k * W), acc[k]);
                };
                var k: usize = 0;
                while (p < plane) : (p += W) {
                    const left = @min(W, plane - p);
                    acc[k] = simd.fma(V, simd.loadPart(f32, x + p, left, 0), simd.loadPart(f32, gout + p, left, 0), acc[k]);
                    k += 1;
                }
            }
            s.out[i] = simd.reduceAdd((acc[0] + acc[1]) + (acc[2] + acc[3]));
        }
    }
};
