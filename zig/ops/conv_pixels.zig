//! Images with their channels last, as convolutions over 16, 32 ... channels read them: every
//! pixel is a row of channels, so that a window's taps are rows of a matrix wherever the window
//! stands, and nothing needs packing. Here: how such images are made, and the gradient of the
//! weights from them.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const conv_geometry = @import("conv_geometry.zig");
const transpose = @import("gemm_pack.zig").transpose;
const Geometry = conv_geometry.Geometry;
const product = conv_geometry.product;
const Tensor = @import("conv_image.zig").Tensor;

/// Channels that are moved together.
pub const W = 16;
pub const V = @Vector(W, f32);
pub const Failure = error{OutOfMemory};

pub fn ceilDiv(a: usize, b: usize) usize {
    return (a + b - 1) / b;
}

pub fn alloc(n: usize) Failure![]align(64) f32 {
    return services.allocSlice(f32, n) orelse error.OutOfMemory;
}
pub fn free(memory: []align(64) f32) void {
    services.free(@ptrCast(memory.ptr));
}

/// `n` and up to a cache line: an odd number of lines, so that rows that far apart don't fall on
/// the same cache sets.
pub fn apart(n: usize) usize {
    return (n / W | 1) * W;
}

/// A part of a plane that is read, with zeros where there is nothing.
pub const Part = struct {
    /// The first row and column, from the plane's own (negative: zeros).
    top: i64,
    left: i64,
    rows: usize,
    length: usize,
    /// From a pixel to the next in `dst`.
    pixel: usize,
};

/// 16 channels of a plane, which begin at `src`, channels last: the part's pixel (y, x) at
/// dst[(y * length + x) * pixel].
pub fn stage(t: Tensor, src: [*]const f32, part: Part, dst: [*]f32) void {
    const rows: i64 = @intCast(part.rows);
    const above: usize = @intCast(@max(0, @min(rows, -part.top)));
    const end: usize = @intCast(@max(0, @min(rows, @as(i64, @intCast(t.size[1])) - part.top)));
    const skipped: usize = @intCast(@max(0, part.left));
    const before: usize = @min(part.length, @as(usize, @intCast(@max(0, -part.left))));
    const stop: usize = @intCast(@max(0, @min(
        @as(i64, @intCast(part.length)),
        @as(i64, @intCast(t.size[2])) - part.left,
    )));
    const nothing = end <= above or stop <= before;
    if (nothing) return zeros(dst, part.rows * part.length, part.pixel);
    const row = part.length * part.pixel;
    zeros(dst, above * part.length, part.pixel);
    zeros(dst + end * row, (part.rows - end) * part.length, part.pixel);
    for (above..end) |r| {
        zeros(dst + r * row, before, part.pixel);
        zeros(dst + r * row + stop * part.pixel, part.length - stop, part.pixel);
    }
    const run: Run = .{
        .channel = t.channel,
        .step = t.step[2],
        .length = stop - before,
        .pixel = part.pixel,
        .gap = (part.length - (stop - before)) * part.pixel,
    };
    const first_row: usize = @intCast(part.top + @as(i64, @intCast(above)));
    const from = src + first_row * t.step[1] + skipped * t.step[2];
    const to = dst + above * row + before * part.pixel;
    if (t.step[2] == 1 and t.step[1] == run.length) {
        run.copy(from, (end - above) * run.length, to);
    } else for (0..end - above) |r| run.copy(from + r * t.step[1], run.length, to + r * row);
}

fn zeros(dst: [*]f32, pixels: usize, pixel: usize) void {
    const zero: V = @splat(0);
    for (0..pixels) |i| dst[i * pixel ..][0..W].* = zero;
}

/// Rows that follow each other in the image and are `gap` apart in the copy.
const Run = struct {
    channel: usize,
    step: usize,
    length: usize,
    pixel: usize,
    gap: usize,

    fn copy(run: *const Run, src: [*]const f32, n: usize, dst: [*]f32) void {
        var to = dst;
        var column: usize = 0;
        var at: usize = 0;
        while (at < n) : (at += W) {
            var block: [W]V = undefined;
            const count: usize = @min(W, n - at);
            if (count == W and run.step == 1) {
                inline for (0..W) |i| block[i] = src[i * run.channel + at ..][0..W].*;
            } else for (&block, 0..) |*b, i| {
                var values: [W]f32 = @splat(0);
                for (values[0..count], at..) |*v, x| v.* = src[i * run.channel + x * run.step];
                b.* = values;
            }
            transpose(f32, W, &block);
            if (count == W and column + W <= run.length) {
                inline for (0..W) |i| to[i * run.pixel ..][0..W].* = block[i];
                to += W * run.pixel;
                column += W;
                if (column == run.length) {
                    column = 0;
                    to += run.gap;
                }
            } else for (block[0..count]) |pixel| {
                to[0..W].* = pixel;
                to += run.pixel;
                column += 1;
                if (column == run.length) {
                    column = 0;
                    to += run.gap;
                }
            }
        }
    }
};

// --- The gradient of the weights ------------------------------------------------------------------

/// Elements of an image's copy at a time. (In tests less, to have several slabs.)
const slab_elements: usize = if (builtin.is_test) 1 << 16 else 1 << 18;
/// Positions in a chain, about; channels in an item.
const chain_positions = 64;
const item_outputs = 64;
const item_inputs = 32;
/// Vectors of input channels in a tile, and output channels, of which more go with a single one.
const vectors = if (wide) 2 else 1;
fn heightOf(n: usize) usize {
    return if (wide) 16 / n else 4;
}
const wide = builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx512f);

pub fn fits(g: *const Geometry) bool {
    const is_long = g.images * product(g.out) >= 128;
    return is_long and g.groups == 1 and g.ci % W == 0 and g.co % W == 0;
}

/// Copies of some images: `pixel` elements a pixel, of which there are `size` in an image.
const Pixels = struct {
    memory: []align(64) f32,
    tensor: Tensor,
    channels: usize,
    size: [3]usize,
    before: [3]i64,
    pixel: usize,

    fn init(tensor: Tensor, channels: usize, size: [3]usize, before: [3]i64, images: usize) Failure!Pixels {
        const pixel = apart(channels);
        return .{
            .memory = try alloc(images * product(size) * pixel),
            .tensor = tensor,
            .channels = channels,
            .size = size,
            .before = before,
            .pixel = pixel,
        };
    }

    const Load = struct { pixels: *const Pixels, first: usize };

    fn load(p: *const Pixels, first: usize, count: usize) void {
        const items = count * p.size[0] * (p.channels / W);
        const grain = gemm.grain(gemm.piece_packed, p.size[1] * p.size[2] * W);
        services.parallelFor(items, grain, Load{ .pixels = p, .first = first }, loadPlanes);
    }

    fn loadPlanes(l: *const Load, begin: usize, end: usize) void {
        const p = l.pixels;
        const own: [*]const f32 = @ptrCast(@alignCast(p.tensor.ptr));
        const blocks = p.channels / W;
        for (begin..end) |item| {
            const channel = item % blocks * W;
            const depth = item / blocks % p.size[0];
            const image = item / blocks / p.size[0];
            const at = (image * p.size[0] + depth) * p.size[1] * p.size[2] * p.pixel + channel;
            const source = @as(i64, @intCast(depth)) - p.before[0];
            if (source < 0 or source >= p.tensor.size[0]) {
                zeros(p.memory.ptr + at, p.size[1] * p.size[2], p.pixel);
                continue;
            }
            const from = own + (l.first + image) * p.tensor.image + channel * p.tensor.channel +
                @as(usize, @intCast(source)) * p.tensor.step[0];
            stage(p.tensor, from, .{
                .top = -p.before[1],
                .left = -p.before[2],
                .rows = p.size[1],
                .length = p.size[2],
                .pixel = p.pixel,
            }, p.memory.ptr + at);
        }
    }
};

/// Positions of one chain: how many images, rows and columns, and from one to the next in x.
const Walk = struct {
    counts: [3]usize,
    steps: [3]usize,
    gout_pixel: usize,

    /// C (heightOf(n), n vectors) += the sum over positions of gout (heightOf(n)) times x (n vectors).
    fn tile(walk: *const Walk, comptime n: usize, gout: [*]const f32, x: [*]const f32, c: [*]f32, ldc: usize, adds: bool) void {
        const height = comptime heightOf(n);
        var acc: [height][n]V = @splat(@splat(@splat(0)));
        var a = gout;
        for (0..walk.counts[0]) |i| for (0..walk.counts[1]) |r| {
            var b = x + i * walk.steps[0] + r * walk.steps[1];
            for (0..walk.counts[2]) |_| {
                var bv: [n]V = undefined;
                inline for (0..n) |j| bv[j] = b[j * W ..][0..W].*;
                inline for (0..height) |h| {
                    const av: V = @splat(a[h]);
                    inline for (0..n) |j| acc[h][j] = simd.fma(V, av, bv[j], acc[h][j]);
                }
                a += walk.gout_pixel;
                b += walk.steps[2];
            }
        };
        inline for (0..height) |h| inline for (0..n) |j| {
            const to = c[h * ldc + j * W ..][0..W];
            to.* = if (adds) @as(V, to.*) + acc[h][j] else acc[h][j];
        };
    }
};

const Gradient = struct {
    g: *const Geometry,
    x: *const Pixels,
    gout: *const Pixels,
    images: usize,
    /// Of tap t: (co, ci) at t * co * ci.
    sums: [*]f32,
    out: [*]f32,
    adds: bool,
    /// Taps of an item.
    taps: usize,

    /// Items without a division of the taps.
    fn blocks(g: *const Geometry) usize {
        return ceilDiv(g.co, item_outputs) * ceilDiv(g.ci, item_inputs);
    }

    /// Taps of an item: what they read is read once, so as many as leave two items a thread.
    fn tapsTogether(g: *const Geometry) usize {
        const wanted = ceilDiv(2 * services.threadCount(), blocks(g));
        return ceilDiv(g.taps(), @min(wanted, g.taps()));
    }

    fn computeItems(s: *const Gradient, begin: usize, end: usize) void {
        const g = s.g;
        const inputs = ceilDiv(g.ci, item_inputs);
        for (begin..end) |item| {
            const block = item % blocks(g);
            const tap = item / blocks(g) * s.taps;
            s.compute(tap, @min(g.taps(), tap + s.taps), block / inputs * item_outputs, block % inputs * item_inputs);
        }
    }

    /// Taps tap .. last of a block of channels.
    fn compute(s: *const Gradient, tap: usize, last: usize, o: usize, i: usize) void {
        const g = s.g;
        const out = g.out;
        const x = s.x;
        const row = x.size[2] * x.pixel;
        const plane = x.size[1] * row;
        const columns: usize = @min(out[2], chain_positions);
        const rows = @max(1, @min(out[1], chain_positions / out[2]));
        const together = if (out[0] == 1) @max(1, @min(s.images, chain_positions / (out[1] * out[2]))) else 1;
        var adds = s.adds;
        var n: usize = 0;
        while (n < s.images) : (n += together) for (0..out[0]) |d| {
            var r: usize = 0;
            while (r < out[1]) : (r += rows) {
                var c: usize = 0;
                while (c < out[2]) : (c += columns) {
                    const walk: Walk = .{
                        .counts = .{
                            @min(together, s.images - n),
                            @min(rows, out[1] - r),
                            @min(columns, out[2] - c),
                        },
                        .steps = .{ x.size[0] * plane, g.stride[1] * row, g.stride[2] * x.pixel },
                        .gout_pixel = s.gout.pixel,
                    };
                    const p = ((n * out[0] + d) * out[1] + r) * out[2] + c;
                    const from = x.memory.ptr + (n * x.size[0] + d * g.stride[0]) * plane +
                        r * g.stride[1] * row + c * g.stride[2] * x.pixel;
                    for (tap..last) |t| {
                        const at = [3]usize{
                            t / g.kernel[2] / g.kernel[1],
                            t / g.kernel[2] % g.kernel[1],
                            t % g.kernel[2],
                        };
                        const lag = at[0] * g.dilation[0] * plane + at[1] * g.dilation[1] * row +
                            at[2] * g.dilation[2] * x.pixel;
                        s.chain(&walk, s.gout.memory.ptr + p * s.gout.pixel, from + lag, t, o, i, adds);
                    }
                    adds = true;
                }
            }
        };
    }

    fn chain(s: *const Gradient, walk: *const Walk, gout: [*]const f32, x: [*]const f32, tap: usize, first: usize, i: usize, adds: bool) void {
        const g = s.g;
        const sums = s.sums + tap * g.co * g.ci;
        const last = @min(g.ci, i + item_inputs);
        var c = i;
        while (c < last) : (c += vectors * W) {
            const n = @min(vectors, (last - c) / W);
            var o = first;
            while (o < @min(g.co, first + item_outputs)) : (o += heightOf(n)) {
                const to = sums + o * g.ci + c;
                if (n == vectors) {
                    walk.tile(vectors, gout + o, x + c, to, g.ci, adds);
                } else walk.tile(1, gout + o, x + c, to, g.ci, adds);
            }
        }
    }

    /// From (tap, output, input) to (output, input, tap).
    fn finishRows(s: *const Gradient, begin: usize, end: usize) void {
        const g = s.g;
        const taps = g.taps();
        for (begin..end) |o| {
            var i: usize = 0;
            while (i < g.ci) : (i += W) {
                var tap: usize = 0;
                while (tap < taps) : (tap += W) {
                    const count: usize = @min(W, taps - tap);
                    var block: [W]V = @splat(@splat(0));
                    for (block[0..count], tap..) |*b, t| b.* = s.sums[(t * g.co + o) * g.ci + i ..][0..W].*;
                    transpose(f32, W, &block);
                    for (block, i..) |b, input| {
                        const values: [W]f32 = b;
                        put(s.out + (o * g.ci + input) * taps + tap, &values, count);
                    }
                }
            }
        }
    }
};

/// to[0..n] = from[0..n], n <= 16.
fn put(to: [*]f32, from: [*]const f32, n: usize) void {
    var i: usize = 0;
    comptime var width: usize = W;
    inline while (width > 0) : (width /= 2) {
        if (n - i >= width) {
            to[i..][0..width].* = from[i..][0..width].*;
            i += width;
        }
    }
}

/// out (co, ci, *kernel) of gout and x. Sums go over positions, in chains of about 64.
pub fn gradWeight(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]f32) Failure!void {
    var size: [3]usize = undefined;
    for (0..3) |d| size[d] = (g.out[d] - 1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1;
    const largest = @max(product(size) * apart(g.ci), product(g.out) * apart(g.co));
    const slab = @max(1, @min(g.images, slab_elements / largest));
    const x_pixels: Pixels = try .init(x, g.ci, size, g.padding, slab);
    defer free(x_pixels.memory);
    const gout_pixels: Pixels = try .init(gout, g.co, g.out, @splat(0), slab);
    defer free(gout_pixels.memory);
    const direct = g.taps() == 1; // sums lie as the gradient does
    const sums = try alloc(if (direct) 0 else g.taps() * g.co * g.ci);
    defer free(sums);
    var s: Gradient = .{
        .g = g,
        .x = &x_pixels,
        .gout = &gout_pixels,
        .images = 0,
        .sums = if (direct) out else sums.ptr,
        .out = out,
        .adds = false,
        .taps = Gradient.tapsTogether(g),
    };
    const items = Gradient.blocks(g) * ceilDiv(g.taps(), s.taps);
    var first: usize = 0;
    while (first < g.images) : (first += slab) {
        s.images = @min(slab, g.images - first);
        x_pixels.load(first, s.images);
        gout_pixels.load(first, s.images);
        const flops = 2 * item_outputs * item_inputs * s.taps * s.images * product(g.out);
        services.parallelFor(items, gemm.grain(gemm.piece_flops, flops), s, Gradient.computeItems);
        s.adds = true;
    }
    if (!direct) services.parallelFor(g.co, gemm.grain(gemm.piece_packed, g.ci * g.taps()), s, Gradient.finishRows);
}
