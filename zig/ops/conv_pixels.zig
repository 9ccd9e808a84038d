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
const Images = @import("conv_image.zig").Images;
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
            } else if (count == W and run.step == 2) {
                for (&block, 0..) |*b, i| b.* = Images(f32).everySecond(W, src + i * run.channel + 2 * at);
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
const slab_elements: usize = if (builtin.is_test) 1 << 16 else 1 << 19;
/// Positions in a chain, about; channels of a block.
const chain_positions = 128;
const block_rows = 64;
const block_lanes = 32;
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

    /// Of an image: planes of a block of channels.
    fn planes(p: *const Pixels) usize {
        return p.size[0] * (p.channels / W);
    }

    /// Planes begin .. end of the images from `first` on.
    fn loadPlanes(p: *const Pixels, first: usize, begin: usize, end: usize) void {
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
            const from = own + (first + image) * p.tensor.image + channel * p.tensor.channel +
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

/// Copies of both operands' images, in one go.
const Loading = struct {
    pixels: [2]*const Pixels,
    first: usize,
    /// Planes of the first operand, then those of the second.
    planes: [2]usize,

    fn run(l: *const Loading, begin: usize, end: usize) void {
        const own = l.planes[0];
        l.pixels[0].loadPlanes(l.first, @min(begin, own), @min(end, own));
        l.pixels[1].loadPlanes(l.first, begin -| own, end -| own);
    }
};

/// One of the operands: its pixels, and from a position to the next.
const Side = struct {
    pixels: *const Pixels,
    steps: [4]usize,

    fn of(pixels: *const Pixels, stride: [3]usize) Side {
        const row = pixels.size[2] * pixels.pixel;
        const plane = pixels.size[1] * row;
        return .{
            .pixels = pixels,
            .steps = .{ pixels.size[0] * plane, stride[0] * plane, stride[1] * row, stride[2] * pixels.pixel },
        };
    }
    fn at(s: Side, position: [4]usize) [*]const f32 {
        var place: [*]const f32 = s.pixels.memory.ptr;
        for (position, s.steps) |p, step| place += p * step;
        return place;
    }
};

/// Positions of one chain: how many images, rows and columns, and from one to the next in both operands.
const Walk = struct {
    counts: [3]usize,
    a: [3]usize,
    b: [3]usize,

    /// C (heightOf(n), n vectors) += the sum over positions of a (heightOf(n)) times b (n vectors).
    fn tile(walk: *const Walk, comptime n: usize, a_first: [*]const f32, b_first: [*]const f32, c: [*]f32, ldc: usize, adds: bool) void {
        const height = comptime heightOf(n);
        var acc: [height][n]V = @splat(@splat(@splat(0)));
        for (0..walk.counts[0]) |i| for (0..walk.counts[1]) |r| {
            var a = a_first + i * walk.a[0] + r * walk.a[1];
            var b = b_first + i * walk.b[0] + r * walk.b[1];
            for (0..walk.counts[2]) |_| {
                var bv: [n]V = undefined;
                inline for (0..n) |j| bv[j] = b[j * W ..][0..W].*;
                inline for (0..height) |h| {
                    const av: V = @splat(a[h]);
                    inline for (0..n) |j| acc[h][j] = simd.fma(V, av, bv[j], acc[h][j]);
                }
                a += walk.a[2];
                b += walk.b[2];
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
    /// Rows of a tile are channels of `a`, which is read number by number; its vectors those of `b`.
    a: Side,
    b: Side,
    /// Whether a is x (and not gout).
    turned: bool,
    images: usize,
    /// Of tap t: (channels of a, channels of b) at t * co * ci.
    sums: [*]f32,
    out: [*]f32,
    adds: bool,
    items: usize = 1,

    fn rows(s: *const Gradient) usize {
        return s.a.pixels.channels;
    }
    fn lanes(s: *const Gradient) usize {
        return s.b.pixels.channels;
    }

    /// Rows of a block, and its units: some rows of a tap.
    fn blockRows(s: *const Gradient) usize {
        return @min(block_rows, s.rows());
    }
    fn perTap(s: *const Gradient) usize {
        return s.blockRows() / W;
    }
    fn perBlock(s: *const Gradient) usize {
        return s.g.taps() * s.perTap();
    }
    fn units(s: *const Gradient) usize {
        return ceilDiv(s.rows(), s.blockRows()) * ceilDiv(s.lanes(), block_lanes) * s.perBlock();
    }

    fn computeItems(s: *const Gradient, begin: usize, end: usize) void {
        for (begin..end) |item| s.computeUnits(s.units() * item / s.items, s.units() * (item + 1) / s.items);
    }

    /// Units, those of a block together: what they read is read once.
    fn computeUnits(s: *const Gradient, begin: usize, end: usize) void {
        var first = begin;
        while (first < end) {
            const block = first / s.perBlock();
            const last = @min(end, (block + 1) * s.perBlock());
            const across = ceilDiv(s.lanes(), block_lanes);
            s.compute(first % s.perBlock(), last - block * s.perBlock(), block / across * s.blockRows(), block % across * block_lanes);
            first = last;
        }
    }

    /// Units begin .. end of the block of channels from (row, lane) on.
    fn compute(s: *const Gradient, begin: usize, end: usize, row: usize, lane: usize) void {
        const out = s.g.out;
        const columns: usize = @min(out[2], chain_positions);
        const lines = @max(1, @min(out[1], chain_positions / out[2]));
        const together = if (out[0] == 1) @max(1, @min(s.images, chain_positions / (out[1] * out[2]))) else 1;
        var adds = s.adds;
        var n: usize = 0;
        while (n < s.images) : (n += together) for (0..out[0]) |d| {
            var r: usize = 0;
            while (r < out[1]) : (r += lines) {
                var c: usize = 0;
                while (c < out[2]) : (c += columns) {
                    const a = s.a.steps;
                    const b = s.b.steps;
                    const walk: Walk = .{
                        .counts = .{
                            @min(together, s.images - n),
                            @min(lines, out[1] - r),
                            @min(columns, out[2] - c),
                        },
                        .a = .{ a[0], a[2], a[3] },
                        .b = .{ b[0], b[2], b[3] },
                    };
                    const position = [4]usize{ n, d, r, c };
                    s.chains(&walk, begin, end, s.a.at(position) + row, s.b.at(position) + lane, row, lane, adds);
                    adds = true;
                }
            }
        };
    }

    fn chains(s: *const Gradient, walk: *const Walk, begin: usize, end: usize, a: [*]const f32, b: [*]const f32, row: usize, lane: usize, adds: bool) void {
        const g = s.g;
        const x = if (s.turned) s.a.pixels else s.b.pixels;
        const columns = @min(block_lanes, s.lanes() - lane);
        var t = begin / s.perTap();
        while (t * s.perTap() < end) : (t += 1) {
            const at = [3]usize{ t / g.kernel[2] / g.kernel[1], t / g.kernel[2] % g.kernel[1], t % g.kernel[2] };
            var lag: usize = 0;
            for (at, g.dilation, x.size) |k, dilation, size| lag = lag * size + k * dilation;
            lag *= x.pixel;
            const from = a + if (s.turned) lag else 0;
            const beside = b + if (s.turned) 0 else lag;
            const first = (begin -| t * s.perTap()) * W;
            const last = @min(s.rows() - row, @min(s.perTap(), end - t * s.perTap()) * W);
            const sums = s.sums + (t * s.rows() + row) * s.lanes() + lane;
            var c: usize = 0;
            while (c < columns) : (c += vectors * W) {
                const n = @min(vectors, (columns - c) / W);
                var o = first;
                while (o < last) : (o += heightOf(n)) {
                    const to = sums + o * s.lanes() + c;
                    if (n == vectors) {
                        walk.tile(vectors, from + o, beside + c, to, s.lanes(), adds);
                    } else walk.tile(1, from + o, beside + c, to, s.lanes(), adds);
                }
            }
        }
    }

    /// From (tap, row, lane) to (output, input, tap).
    fn finishRows(s: *const Gradient, begin: usize, end: usize) void {
        const g = s.g;
        const taps = g.taps();
        const steps = if (s.turned) [2]usize{ taps, g.ci * taps } else .{ g.ci * taps, taps };
        for (begin..end) |row| {
            var lane: usize = 0;
            while (lane < s.lanes()) : (lane += W) {
                var tap: usize = 0;
                while (tap < taps) : (tap += W) {
                    const count: usize = @min(W, taps - tap);
                    var block: [W]V = @splat(@splat(0));
                    for (block[0..count], tap..) |*b, t| b.* = s.sums[(t * s.rows() + row) * s.lanes() + lane ..][0..W].*;
                    transpose(f32, W, &block);
                    for (block, lane..) |b, l| {
                        const values: [W]f32 = b;
                        put(s.out + row * steps[0] + l * steps[1] + tap, &values, count);
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

/// out (co, ci, *kernel) of gout and x. Sums go over positions, in chains of about `chain_positions`.
pub fn gradWeight(given: *const Geometry, gout: Tensor, image: Tensor, out: [*]f32) Failure!void {
    var geometry = given.*;
    const g = &geometry;
    var x = image;
    var size: [3]usize = undefined;
    for (0..3) |d| if (g.kernel[d] == 1 and g.padding[d] == 0) {
        // What lies between strides isn't read.
        x.step[d] *= g.stride[d];
        x.size[d] = g.out[d];
        geometry.stride[d] = 1;
        size[d] = g.out[d];
    } else {
        size[d] = (g.out[d] - 1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1;
    };
    const largest = @max(product(size) * apart(g.ci), product(g.out) * apart(g.co));
    const most = @max(1, @min(g.images, slab_elements / largest));
    const slab = ceilDiv(g.images, ceilDiv(g.images, most));
    const x_pixels: Pixels = try .init(x, g.ci, size, g.padding, slab);
    defer free(x_pixels.memory);
    const gout_pixels: Pixels = try .init(gout, g.co, g.out, @splat(0), slab);
    defer free(gout_pixels.memory);
    const direct = g.taps() == 1; // sums lie as the gradient does
    const sums = try alloc(if (direct) 0 else g.taps() * g.co * g.ci);
    defer free(sums);
    // Pairs of vectors read fewer numbers than single ones.
    const turned = wide and !direct and g.ci % (2 * W) != 0 and g.co % (2 * W) == 0;
    const sides = [2]Side{ .of(&gout_pixels, @splat(1)), .of(&x_pixels, g.stride) };
    var s: Gradient = .{
        .g = g,
        .a = sides[@intFromBool(turned)],
        .b = sides[@intFromBool(!turned)],
        .turned = turned,
        .images = 0,
        .sums = if (direct) out else sums.ptr,
        .out = out,
        .adds = false,
    };
    var first: usize = 0;
    while (first < g.images) : (first += slab) {
        s.images = @min(slab, g.images - first);
        const loading: Loading = .{
            .pixels = .{ &x_pixels, &gout_pixels },
            .first = first,
            .planes = .{ s.images * x_pixels.planes(), s.images * gout_pixels.planes() },
        };
        services.parallelFor(loading.planes[0] + loading.planes[1], gemm.grain(gemm.piece_packed, size[1] * size[2] * W), loading, Loading.run);
        const flops = 2 * g.taps() * g.co * g.ci * s.images * product(g.out);
        s.items = @max(1, @min(flops / gemm.piece_flops, @max(services.threadCount(), s.units() / block_rows)));
        services.parallelFor(s.items, 1, s, Gradient.computeItems);
        s.adds = true;
    }
    if (!direct) services.parallelFor(s.rows(), gemm.grain(gemm.piece_packed, s.lanes() * g.taps()), s, Gradient.finishRows);
}
