//! Convolution of 3x3 windows by Winograd's F(4x4, 3x3) (Lavin and Gray 2016, "Fast algorithms
//! for convolutional neural networks"), forward and both gradients: 36 products for 16 outputs
//! where the definition takes 144.
//!
//!     Y = A' [ sum over channels (G w G') * (B' x B) ] A,      x 6x6, w 3x3, Y 4x4
//!
//! at the points 0, +-1/sqrt(2), +-sqrt(2) and infinity, whose matrices grow errors least: the
//! error is about twice (rms; at most 8 times, tested) that of the definition in float32.
//! An infinity or nan spreads to the 4x4 outputs of its tiles.
//!
//! Whether a convolution is computed like this depends on its shape only (`fits`). All
//! transforms are elementwise over channels; each of the 36 products is a matrix product whose
//! chains are cut at fixed numbers of channels (or, for the weights' gradient, of tiles).
//!
//! An image is read 16 channels at a time into channels-last order with its padding; a tile's
//! transform goes to `Tiles`; then tasks of 32 output channels make their transformed weights,
//! multiply, and transform back.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const gemm = @import("gemm.zig");
const pixels = @import("conv_pixels.zig");
const tiles_of = @import("conv_winograd_tiles.zig");
const transpose = @import("gemm_pack.zig").transpose;
const Geometry = @import("conv_geometry.zig").Geometry;
const Tensor = @import("conv_image.zig").Tensor;

const W = pixels.W;
const V = pixels.V;
const Failure = pixels.Failure;
const alloc = pixels.alloc;
const free = pixels.free;
const apart = pixels.apart;
const ceilDiv = pixels.ceilDiv;
const Micro = gemm.Gemm(f32).Micro;

const points = tiles_of.points;
const Tiles = tiles_of.Tiles;
const Grid = tiles_of.Grid;
const Transform = tiles_of.Transform;
const both = tiles_of.both;
const outputLine = tiles_of.outputLine;
const weightLine = tiles_of.weightLine;
const weightLineTransposed = tiles_of.weightLineTransposed;

/// Output channels of a task.
const width = 2 * W;
/// Tiles that are multiplied together before they are transformed back.
const chunk_tiles = 28;
/// Channels in a chain of the forward product, tiles in one of the weights' gradient.
const chain_channels = 128;
const chain_tiles = 192;
/// Elements of transformed images at a time. (In tests less, to have several slabs.)
const slab_elements: usize = if (builtin.is_test) 1 << 17 else 1 << 19;

/// Whether the convolution is computed here: a matter of its shape.
pub fn fits(g: *const Geometry) bool {
    if (g.ci % W != 0 or g.co % W != 0) return false;
    for ([3]usize{ 1, 3, 3 }, g.kernel, g.stride, g.dilation) |k, kernel, stride, dilation| {
        if (kernel != k or stride != 1 or dilation != 1) return false;
    }
    if (g.in[0] != 1 or g.padding[0] != 0) return false;
    if (g.padding[1] < 0 or g.padding[1] > 2 or g.padding[2] < 0 or g.padding[2] > 2) return false;
    const tiles = g.images * ceilDiv(g.out[1], 4) * ceilDiv(g.out[2], 4);
    // Half of the definition's products at most, and enough tiles for the weights' transform.
    return tiles >= 16 and 8 * tiles <= g.images * g.out[1] * g.out[2];
}

// --- Forward, and the gradient of the input --------------------------------------------------------

/// Weights w[o][i][3][3], contiguous, as a convolution to `outputs` from `inputs` channels.
const Filters = struct {
    ptr: [*]const f32,
    outputs: usize,
    inputs: usize,
    /// The gradient of the input: i is the output, and taps are reversed.
    transposed: bool,

    /// Channels k0 .. k0 + count transformed for outputs o .. o + 16: channel k at to[k * width], point
    /// after point `apart(count * width)` on.
    fn transform(f: *const Filters, o: usize, k0: usize, count: usize, to: [*]f32) void {
        if (f.transposed) {
            for (0..count) |k| {
                const at = (k0 + k) * f.outputs + o;
                const is_last = at + W == f.inputs * f.outputs;
                if (k + 8 < count) { // the next ones are in other pages
                    const ahead = f.ptr + (at + 8 * f.outputs) * 9;
                    inline for (0..10) |line| @prefetch(ahead + line * W, .{});
                }
                var w = filters(f.ptr + at * 9, is_last);
                std.mem.reverse(V, &w);
                put(w, to + k * width, apart(count * width));
            }
            return;
        }
        var k: usize = 0;
        while (k < count) : (k += W) {
            var taps: [9 * W]V = undefined;
            for (0..9) |b| {
                var block: [W]V = undefined;
                inline for (0..W) |i| {
                    block[i] = f.ptr[((o + i) * f.inputs + k0 + k) * 9 + b * W ..][0..W].*;
                }
                transpose(f32, W, &block);
                taps[b * W ..][0..W].* = block;
            }
            for (0..W) |i| put(taps[i * 9 ..][0..9].*, to + (k + i) * width, apart(count * width));
        }
    }

    /// 16 filters that lie side by side, by taps.
    fn filters(from: [*]const f32, is_last: bool) [9]V {
        var copy: [16 * 9 + 7]f32 = undefined;
        var src = from;
        if (is_last) { // don't read beyond the weights
            @memcpy(copy[0 .. 16 * 9], from);
            src = &copy;
        }
        var block: [W]V = undefined;
        inline for (0..W) |i| block[i] = src[i * 9 ..][0..W].*;
        transpose(f32, W, &block);
        return block[0..9].*;
    }

    fn put(w: [9]V, to: [*]f32, point: usize) void {
        const square: [3][3]V = .{ w[0..3].*, w[3..6].*, w[6..9].* };
        const u = both(3, 6, weightLine, &square);
        inline for (0..6) |r| inline for (0..6) |c| {
            to[(r * 6 + c) * point ..][0..W].* = u[r][c];
        };
    }
};

/// From a point's sums of a chunk to the next point's.
const sum_point = apart(chunk_tiles * width);

const Product = struct {
    filters: Filters,
    tiles: *const Tiles,
    grid: Grid,
    /// Tiles there are, and of a task.
    total: usize,
    part: usize,
    out: [*]f32,
    /// Elements of an image of the output, with all groups.
    out_image: usize,
    bias: []const f32,
    failed: *std.atomic.Value(bool),

    fn run(p: Product) Failure!void {
        const tasks = ceilDiv(p.filters.outputs, width) * ceilDiv(p.total, p.part);
        const flops = 2 * points * p.filters.inputs * width * p.part;
        services.parallelFor(tasks, gemm.grain(gemm.piece_flops, flops), p, computeTasks);
        if (p.failed.load(.monotonic)) return error.OutOfMemory;
    }

    fn computeTasks(p: *const Product, begin: usize, end: usize) void {
        p.compute(begin, end) catch p.failed.store(true, .monotonic);
    }

    fn compute(p: *const Product, begin: usize, end: usize) Failure!void {
        const channels = p.filters.inputs;
        const most: usize = @min(channels, chain_channels);
        const kept = if (channels > most) ceilDiv(p.part, chunk_tiles) else 1;
        const weights = try alloc(points * apart(most * width));
        defer free(weights);
        const sums = try alloc(kept * points * sum_point);
        defer free(sums);
        const parts = ceilDiv(p.total, p.part);
        for (begin..end) |task| {
            const o = task / parts * width;
            const halves: usize = @min(2, (p.filters.outputs - o) / W);
            const first = task % parts * p.part;
            const stop = @min(p.total, first + p.part);
            var k0: usize = 0;
            while (k0 < channels) : (k0 += most) {
                const count: usize = @min(most, channels - k0);
                for (0..halves) |h| p.filters.transform(o + h * W, k0, count, weights.ptr + h * W);
                var tile = first;
                while (tile < stop) : (tile += chunk_tiles) {
                    const tiles: usize = @min(chunk_tiles, stop - tile);
                    const at = if (kept > 1) (tile - first) / chunk_tiles else 0;
                    const sum = sums.ptr + at * points * sum_point;
                    for (0..points) |q| multiply(
                        tiles,
                        halves * W,
                        count,
                        .{ .ptr = p.tiles.at(q, tile) + k0, .row = p.tiles.row, .step = 1 },
                        weights.ptr + q * apart(count * width),
                        width,
                        .{ .ptr = sum + q * sum_point, .rs = width },
                        k0 > 0,
                    );
                    if (k0 + count < channels) continue;
                    for (tile..tile + tiles) |t| for (0..halves) |h|
                        p.finish(t, o + h * W, sum + (t - tile) * width + h * W);
                }
            }
        }
    }

    /// Transforms a tile of 16 channels back, to its place.
    fn finish(p: *const Product, tile: usize, o: usize, sum: [*]const f32) void {
        var m: [6][6]V = undefined;
        inline for (0..6) |r| inline for (0..6) |c| {
            m[r][c] = sum[(r * 6 + c) * sum_point ..][0..W].*;
        };
        const y = both(6, 4, outputLine, &m);
        const bias: V = p.bias[o..][0..W].*;
        var block: [W]V = undefined;
        inline for (0..4) |r| inline for (0..4) |c| {
            block[r * 4 + c] = y[r][c] + bias;
        };
        transpose(f32, W, &block);
        const grid = p.grid;
        const image = tile / grid.tiles();
        const row = tile % grid.tiles() / grid.columns * 4;
        const column = tile % grid.columns * 4;
        const plane = grid.height * grid.length;
        var to = p.out + image * p.out_image + o * plane + row * grid.length + column;
        if (row + 4 <= grid.height and column + 4 <= grid.length) {
            inline for (0..W) |i| {
                const values: [W]f32 = block[i];
                inline for (0..4) |r| to[r * grid.length ..][0..4].* = values[r * 4 ..][0..4].*;
                to += plane;
            }
            return;
        }
        const rows: usize = @min(4, grid.height - row);
        const columns: usize = @min(4, grid.length - column);
        for (block) |b| {
            const values: [W]f32 = b;
            for (0..rows) |r| for (0..columns) |c| {
                to[r * grid.length + c] = values[r * 4 + c];
            };
            to += plane;
        }
    }
};

const Left = struct { ptr: [*]const f32, row: usize, step: usize };

/// C (rows, columns) = or += A (rows, k) B (k, columns), all in place, in one chain.
fn multiply(
    rows: usize,
    columns: usize,
    k: usize,
    a: Left,
    b: [*]const f32,
    b_row: usize,
    c: Micro.Target,
    adds: bool,
) void {
    var column: usize = 0;
    while (column < columns) : (column += Micro.nr) {
        const count = @min(Micro.nr, columns - column);
        const operands: Micro.Operands = .{ .k = k, .a = a.ptr, .a_rs = a.row, .a_cs = a.step, .b = b + column, .b_rs = b_row };
        Micro.panels(operands, c, .{ .rows = rows, .col = column, .cols = count }, adds);
    }
}

/// What is computed group by group.
const Groups = struct {
    g: *const Geometry,
    /// x or gout, and weights; for the weights' gradient gout and x.
    first: Tensor,
    second: Tensor,
    bias: []const f32 = &.{},
    out: [*]f32,
    kind: enum { forward, transposed, weight },
    failed: *std.atomic.Value(bool),

    fn run(groups: Groups) Failure!void {
        const g = groups.g;
        var failed: std.atomic.Value(bool) = .init(false);
        var job = groups;
        job.failed = &failed;
        // One after the other, each by all threads, where the threads would not have as many each.
        const threads = services.threadCount();
        const apiece = g.groups >= 4 * threads or g.groups % threads == 0;
        const flops = 6 * g.images * g.co * g.ci * g.out[1] * g.out[2];
        services.parallelFor(g.groups, if (apiece) gemm.grain(gemm.piece_flops, flops) else g.groups, job, compute);
        if (failed.load(.monotonic)) return error.OutOfMemory;
    }

    fn compute(job: *const Groups, begin: usize, end: usize) void {
        for (begin..end) |group| job.one(group) catch job.failed.store(true, .monotonic);
    }

    fn one(job: *const Groups, group: usize) Failure!void {
        const g = job.g;
        if (job.kind == .weight) return gradWeightOfGroup(
            g,
            from(job.first, group * g.co * job.first.channel),
            from(job.second, group * g.ci * job.second.channel),
            job.out + group * g.co * g.ci * 9,
        );
        const transposed = job.kind == .transposed;
        const channels = if (transposed) g.co else g.ci;
        const outputs = if (transposed) g.ci else g.co;
        var pass: Pass = .{
            .g = g,
            .image = from(job.first, group * channels * job.first.channel),
            .weights = from(job.second, group * g.co * job.second.image),
            .bias = job.bias[group * outputs ..][0..outputs],
            .out = job.out,
            .transposed = transposed,
        };
        const grid = pass.places();
        pass.out += group * outputs * grid.height * grid.length;
        return pass.computeGroup();
    }

    /// `t` without its first elements.
    fn from(t: Tensor, elements: usize) Tensor {
        var rest = t;
        rest.ptr += elements * @sizeOf(f32);
        return rest;
    }
};

/// out (N, co, *out) of x, or out (N, ci, *in) of gout (`transposed`).
pub const Pass = struct {
    g: *const Geometry,
    image: Tensor,
    weights: Tensor,
    bias: []const f32,
    out: [*]f32,
    transposed: bool,

    pub fn run(p: Pass) Failure!void {
        return Groups.run(.{
            .g = p.g,
            .first = p.image,
            .second = p.weights,
            .bias = p.bias,
            .out = p.out,
            .kind = if (p.transposed) .transposed else .forward,
            .failed = undefined,
        });
    }

    fn places(p: *const Pass) Grid {
        return .init(if (p.transposed) p.g.in else p.g.out);
    }

    /// One group: the tensors, the bias and out are its own.
    fn computeGroup(p: *const Pass) Failure!void {
        const g = p.g;
        const grid = p.places();
        const channels = if (p.transposed) g.co else g.ci;
        const outputs = p.bias.len;
        const out_image = g.groups * outputs * grid.height * grid.length;
        const contiguous = try contiguousWeights(p.weights, g);
        defer if (contiguous) |copy| free(copy);
        const own: [*]const f32 = @ptrCast(@alignCast(p.weights.ptr));
        const slab = slabOf(g.images, grid.tiles() * points * apart(channels), services.threadCount());
        const tiles: Tiles = try .init(slab * grid.tiles(), chunk_tiles, channels);
        defer free(tiles.memory);
        var failed: std.atomic.Value(bool) = .init(false);
        var first: usize = 0;
        while (first < g.images) : (first += slab) {
            const count = @min(slab, g.images - first);
            const transform: Transform = .{
                .image = p.image,
                .first = first,
                .channels = channels,
                .grid = grid,
                .top = if (p.transposed) 2 - g.padding[1] else g.padding[1],
                .left = if (p.transposed) 2 - g.padding[2] else g.padding[2],
                .tiles = &tiles,
                .failed = &failed,
            };
            try transform.run(6, count);
            const total = count * grid.tiles();
            const product: Product = .{
                .filters = .{
                    .ptr = if (contiguous) |copy| copy.ptr else own,
                    .outputs = outputs,
                    .inputs = channels,
                    .transposed = p.transposed,
                },
                .tiles = &tiles,
                .grid = grid,
                .total = total,
                .part = chunk_tiles * partChunks(total, channels, outputs),
                .out = p.out + first * out_image,
                .out_image = out_image,
                .bias = p.bias,
                .failed = &failed,
            };
            try product.run();
        }
    }
};

/// Chunks of a task: all sums are kept where the channels take several chains; where they don't,
/// enough tasks for the threads.
fn partChunks(total: usize, channels: usize, outputs: usize) usize {
    const chunks = ceilDiv(total, chunk_tiles);
    if (channels > chain_channels) return @min(chunks, 3);
    const blocks = ceilDiv(outputs, width);
    const tasks = 4 * services.threadCount();
    return std.math.clamp(ceilDiv(chunks * blocks, tasks), @min(chunks, 4), chunks);
}

/// Images at a time, about the same each time.
fn slabOf(images: usize, size: usize, times: usize) usize {
    const most = @min(images, times * @max(1, slab_elements / size));
    return ceilDiv(images, ceilDiv(images, most));
}

/// A copy of w where it isn't contiguous.
fn contiguousWeights(t: Tensor, g: *const Geometry) Failure!?[]align(64) f32 {
    if (t.step[1] == 3 and t.step[2] == 1 and t.channel == 9 and t.image == 9 * g.ci) return null;
    const copy = try alloc(g.co * g.ci * 9);
    const from: [*]const f32 = @ptrCast(@alignCast(t.ptr));
    for (0..g.co) |o| for (0..g.ci) |i| for (0..9) |tap| {
        const at = o * t.image + i * t.channel + tap / 3 * t.step[1] + tap % 3 * t.step[2];
        copy[(o * g.ci + i) * 9 + tap] = from[at];
    };
    return copy;
}

// --- The gradient of the weights -------------------------------------------------------------------

/// Output and input channels of a block of the gradient, whose 36 products are kept.
const block_channels = 128;

const Gradient = struct {
    g: *const Geometry,
    x: *const Tiles,
    gout: *const Tiles,
    tiles: usize,
    o: usize,
    i: usize,
    outputs: usize,
    inputs: usize,
    /// Point q of (output, input) at [q * point + output * inputs + input].
    sums: [*]f32,
    out: [*]f32,
    adds: bool,

    fn point(s: *const Gradient) usize {
        return apart(s.outputs * s.inputs);
    }

    fn multiplyPoints(s: *const Gradient, begin: usize, end: usize) void {
        // Two halves of the outputs a point: 36 items are few for many threads.
        const half = ceilDiv(s.outputs, 2 * Micro.mr) * Micro.mr;
        for (begin..end) |item| {
            const q = item / 2;
            const first = item % 2 * half;
            if (first >= s.outputs) continue;
            const rows = @min(half, s.outputs - first);
            const sum = s.sums + q * s.point() + first * s.inputs;
            var t: usize = 0;
            while (t < s.tiles) : (t += chain_tiles) multiply(
                rows,
                s.inputs,
                @min(chain_tiles, s.tiles - t),
                .{ .ptr = s.gout.at(q, t) + s.o + first, .row = 1, .step = s.gout.row },
                s.x.at(q, t) + s.i,
                s.x.row,
                .{ .ptr = sum, .rs = s.inputs },
                t > 0,
            );
        }
    }

    fn finishRows(s: *const Gradient, begin: usize, end: usize) void {
        for (begin..end) |o| {
            var i: usize = 0;
            while (i < s.inputs) : (i += W) {
                var u: [6][6]V = undefined;
                inline for (0..6) |r| inline for (0..6) |c| {
                    u[r][c] = s.sums[(r * 6 + c) * s.point() + o * s.inputs + i ..][0..W].*;
                };
                const w = both(6, 3, weightLineTransposed, &u);
                var block: [W]V = @splat(@splat(0));
                inline for (0..3) |r| block[r * 3 ..][0..3].* = w[r];
                transpose(f32, W, &block);
                var to = s.out + ((s.o + o) * s.g.ci + s.i + i) * 9;
                inline for (0..W) |lane| {
                    const values: [W]f32 = block[lane];
                    const head: @Vector(8, f32) = values[0..8].*;
                    if (s.adds) {
                        to[0..8].* = @as(@Vector(8, f32), to[0..8].*) + head;
                        to[8] += values[8];
                    } else {
                        to[0..8].* = head;
                        to[8] = values[8];
                    }
                    to += 9;
                }
            }
        }
    }
};

/// out (co, ci, 3, 3) of gout and x.
pub fn gradWeight(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]f32) Failure!void {
    return Groups.run(.{ .g = g, .first = gout, .second = x, .out = out, .kind = .weight, .failed = undefined });
}

fn gradWeightOfGroup(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]f32) Failure!void {
    const grid: Grid = .init(g.out);
    const slab = slabOf(g.images, grid.tiles() * points * apart(@max(g.ci, g.co)), 1);
    const total = slab * grid.tiles();
    const x_tiles: Tiles = try .init(total, total, g.ci);
    defer free(x_tiles.memory);
    const gout_tiles: Tiles = try .init(total, total, g.co);
    defer free(gout_tiles.memory);
    const most_outputs: usize = @min(g.co, block_channels);
    const most_inputs: usize = @min(g.ci, block_channels);
    const sums = try alloc(points * apart(most_outputs * most_inputs));
    defer free(sums);
    var failed: std.atomic.Value(bool) = .init(false);
    var first: usize = 0;
    while (first < g.images) : (first += slab) {
        const count = @min(slab, g.images - first);
        var transform: Transform = .{
            .image = x,
            .first = first,
            .channels = g.ci,
            .grid = grid,
            .top = g.padding[1],
            .left = g.padding[2],
            .tiles = &x_tiles,
            .failed = &failed,
        };
        try transform.run(6, count);
        transform.image = gout;
        transform.channels = g.co;
        transform.top = 0;
        transform.left = 0;
        transform.tiles = &gout_tiles;
        try transform.run(4, count);
        var o: usize = 0;
        while (o < g.co) : (o += block_channels) {
            var i: usize = 0;
            while (i < g.ci) : (i += block_channels) {
                const s: Gradient = .{
                    .g = g,
                    .x = &x_tiles,
                    .gout = &gout_tiles,
                    .tiles = count * grid.tiles(),
                    .o = o,
                    .i = i,
                    .outputs = @min(block_channels, g.co - o),
                    .inputs = @min(block_channels, g.ci - i),
                    .sums = sums.ptr,
                    .out = out,
                    .adds = first > 0,
                };
                const flops = s.tiles * s.outputs * s.inputs;
                services.parallelFor(2 * points, gemm.grain(gemm.piece_flops, flops), s, Gradient.multiplyPoints);
                const cost = points * s.inputs;
                services.parallelFor(s.outputs, gemm.grain(gemm.piece_packed, cost), s, Gradient.finishRows);
            }
        }
    }
}

test {
    _ = @import("conv_winograd_test.zig");
}
