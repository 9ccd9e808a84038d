//! Depthwise convolutions over small planes, or with windows that are spread: 16 channels at a
//! time, channels last, so that vectors are full whatever the rows are. Each output is one chain
//! over the taps, in order. The weights' gradient: a chain over the positions of an image for
//! each channel and tap, and these are added image by image.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const pixels = @import("conv_pixels.zig");
const conv_geometry = @import("conv_geometry.zig");
const Depthwise = @import("conv_depthwise.zig").Depthwise(f32);
const transpose = @import("gemm_pack.zig").transpose;
const Geometry = conv_geometry.Geometry;
const Phases = conv_geometry.Phases;
const TapIterator = conv_geometry.TapIterator;
const product = conv_geometry.product;
const Tensor = @import("conv_image.zig").Tensor;
const W = pixels.W;
const V = pixels.V;
const Failure = pixels.Failure;
const ceilDiv = pixels.ceilDiv;

/// Positions whose sums are in registers together.
const height = if (builtin.cpu.arch == .x86_64 and !builtin.cpu.has(.x86, .avx512f)) 4 else 8;

/// Whether `length` long rows of outputs are computed here, which are `stride` apart in the image.
pub fn fits(g: *const Geometry, length: usize, stride: usize) bool {
    if (!simd.has_fma or g.co != 1 or g.groups < W) return false;
    if (g.in[0] != 1 or g.out[0] != 1 or g.kernel[0] != 1) return false;
    const size = g.inputLayout();
    if (size.size[1] * size.size[2] > 1 << 14) return false;
    if (stride > 1 or g.dilation[1] > 1 or g.dilation[2] > 1) return true;
    return length < 24 or (g.kernel[1] != 3 and g.kernel[1] != 5 and g.kernel[1] != 7);
}

/// The first channel of a block of 16: the last block has some of the one before.
fn channelOf(block: usize, channels: usize) usize {
    return @min(block * W, channels - W);
}

const Job = struct {
    images: usize,
    channels: usize,
    image: Tensor,
    part: pixels.Part,
    /// Of each tap, and of 16 channels after the others its weights.
    offsets: []const usize,
    weights: []const f32,
    bias: []const f32,
    out: [*]f32,
    grid: [2]usize,
    /// From a position to the next below, and beside, in elements of the staged image.
    step: [2]usize,
    /// Where the stride of a gradient makes positions meet different taps.
    phases: ?*const Phases,
    failed: *std.atomic.Value(bool),

    fn run(job: Job) Failure!void {
        const flops = 4 * W * job.offsets.len * job.grid[0] * job.grid[1];
        const items = job.images * ceilDiv(job.channels, W);
        services.parallelFor(items, gemm.grain(gemm.piece_flops, flops), job, computeItems);
        if (job.failed.load(.monotonic)) return error.OutOfMemory;
    }

    fn computeItems(job: *const Job, begin: usize, end: usize) void {
        job.compute(begin, end) catch job.failed.store(true, .monotonic);
    }

    fn compute(job: *const Job, begin: usize, end: usize) Failure!void {
        const t = job.image;
        const own: [*]const f32 = @ptrCast(@alignCast(t.ptr));
        const image_size = job.part.rows * job.part.length * W;
        const staged = try pixels.alloc(image_size + if (job.phases == null) 0 else job.stripRows() * job.grid[1] * W);
        defer pixels.free(staged);
        const blocks = ceilDiv(job.channels, W);
        const positions = job.grid[0] * job.grid[1];
        for (begin..end) |item| {
            const block = item % blocks;
            const channel = channelOf(block, job.channels);
            const image = item / blocks;
            pixels.stage(t, own + image * t.image + channel * t.channel, job.part, staged.ptr);
            const weights = job.weights[block * job.offsets.len * W ..].ptr;
            const bias: V = job.bias[channel..][0..W].*;
            const to = job.out + (image * job.channels + channel) * positions;
            const done = block * W - channel;
            if (job.phases) |phases| {
                job.spread(phases, staged.ptr, staged.ptr + image_size, weights, bias, to, done);
                continue;
            }
            var q: usize = 0;
            while (q < positions) : (q += W) {
                const n = @min(W, positions - q);
                var sums: [W]V = undefined;
                var i: usize = 0;
                while (i < n) : (i += height) {
                    var from: [height][*]const f32 = undefined;
                    for (&from, q + i..) |*f, p| {
                        const at = @min(p, positions - 1);
                        f.* = staged.ptr + at / job.grid[1] * job.step[0] + at % job.grid[1] * job.step[1];
                    }
                    chains(&from, job.offsets, weights, sums[i..][0..height]);
                }
                put(&sums, bias, to + q, positions, done, n);
            }
        }
    }

    /// Sums of `n` positions, of the channels from `done` on, which are `positions` apart in the result.
    noinline fn put(sums: *[W]V, bias: V, to: [*]f32, positions: usize, done: usize, n: usize) void {
        for (sums[0..n]) |*s| s.* += bias;
        transpose(f32, W, sums);
        for (sums[done..], done..) |s, c| {
            const values: [W]f32 = s;
            const row = to + c * positions;
            if (n == W) row[0..W].* = values else @memcpy(row[0..n], values[0..n]);
        }
    }

    /// Rows whose sums are put together: some vectors of positions.
    fn stripRows(job: *const Job) usize {
        return @min(job.grid[0], ceilDiv(256, job.grid[1]));
    }

    /// Each phase's positions with its own taps, row by row into `strip`, and from there to `to`.
    fn spread(
        job: *const Job,
        phases: *const Phases,
        staged: [*]const f32,
        strip: [*]f32,
        weights: [*]const f32,
        bias: V,
        to: [*]f32,
        done: usize,
    ) void {
        const width = job.grid[1];
        var row: usize = 0;
        while (row < job.grid[0]) {
            const first = row;
            const end = @min(job.grid[0], first + job.stripRows());
            while (row < end) : (row += 1) {
                var tap: usize = 0;
                for (phases.of[1]) |d1| for (phases.of[2]) |d2| {
                    const taps = d1.taps * d2.taps;
                    defer tap += taps;
                    if (row < d1.origin or (row - d1.origin) % phases.of[1].len != 0) continue;
                    const from = staged + (row - d1.origin) / phases.of[1].len * job.step[0];
                    const sums = strip + ((row - first) * width + d2.origin) * W;
                    var i: usize = 0;
                    while (i < d2.count) : (i += height) {
                        var at: [height][*]const f32 = undefined;
                        for (&at, i..) |*a, p| a.* = from + @min(p, d2.count - 1) * job.step[1];
                        var part: [height]V = undefined;
                        chains(&at, job.offsets[tap..][0..taps], weights + tap * W, &part);
                        for (part[0..@min(height, d2.count - i)], i..) |sum, p| sums[p * phases.of[2].len * W ..][0..W].* = sum;
                    }
                };
            }
            const positions = (end - first) * width;
            var q: usize = 0;
            while (q < positions) : (q += W) {
                const n = @min(W, positions - q);
                var sums: [W]V = undefined;
                for (sums[0..n], q..) |*s, p| s.* = strip[p * W ..][0..W].*;
                put(&sums, bias, to + first * width + q, job.grid[0] * width, done, n);
            }
        }
    }

    noinline fn chains(from: *const [height][*]const f32, offsets: []const usize, weights: [*]const f32, sums: *[height]V) void {
        var acc: [height]V = @splat(@splat(0));
        for (offsets, 0..) |offset, k| {
            const w: V = weights[k * W ..][0..W].*;
            inline for (0..height) |i| acc[i] = simd.fma(V, from[i][offset..][0..W].*, w, acc[i]);
        }
        sums.* = acc;
    }
};

/// out (N, C, *out) of x.
pub fn forward(g: *const Geometry, x: Tensor, w: Depthwise.Weight, bias: []const f32, out: [*]f32) Failure!void {
    const size = g.inputLayout().size;
    const part: pixels.Part = .{
        .top = -g.padding[1],
        .left = -g.padding[2],
        .rows = size[1],
        .length = size[2],
        .pixel = W,
    };
    const steps = [2]usize{ g.stride[1] * size[2] * W, g.stride[2] * W };
    try run(g, x, part, w, bias, out, .{ g.out[1], g.out[2] }, steps, null);
}

/// gx (N, C, *in) of gout.
pub fn gradInput(g: *const Geometry, gout: Tensor, w: Depthwise.Weight, bias: []const f32, out: [*]f32) Failure!void {
    const phases: Phases = try .init(g);
    defer phases.deinit();
    const layout = phases.layout;
    const part: pixels.Part = .{
        .top = -layout.left[1],
        .left = -layout.left[2],
        .rows = layout.size[1],
        .length = layout.size[2],
        .pixel = W,
    };
    const steps = [2]usize{ layout.size[2] * W, W };
    try run(g, gout, part, w, bias, out, .{ g.in[1], g.in[2] }, steps, &phases);
}

fn run(
    g: *const Geometry,
    image: Tensor,
    part: pixels.Part,
    w: Depthwise.Weight,
    bias: []const f32,
    out: [*]f32,
    grid: [2]usize,
    step: [2]usize,
    phases: ?*const Phases,
) Failure!void {
    const offsets = services.allocSlice(usize, g.taps()) orelse return error.OutOfMemory;
    defer services.free(@ptrCast(offsets.ptr));
    const blocks = ceilDiv(g.groups, W);
    const weights = try pixels.alloc(blocks * W * g.taps());
    defer pixels.free(weights);
    const taps: Taps = .{ .g = g, .w = w, .length = part.length, .offsets = offsets, .weights = weights.ptr };
    var k: usize = 0;
    if (phases) |p| {
        for (p.of[1]) |d1| for (p.of[2]) |d2| {
            var all: TapIterator = .{ .kernel = .{ 1, d1.taps, d2.taps } };
            while (all.next()) |t| : (k += 1) {
                const met = p.meet(g, .{ p.of[0][0], d1, d2 }, t);
                taps.set(k, met.at, met.tap);
            }
        };
    } else {
        var all: TapIterator = .{ .kernel = g.kernel };
        while (all.next()) |t| : (k += 1) taps.set(k, .{ 0, t[1] * g.dilation[1], t[2] * g.dilation[2] }, t);
    }
    var failed: std.atomic.Value(bool) = .init(false);
    const job: Job = .{
        .images = g.images,
        .channels = g.groups,
        .image = image,
        .part = part,
        .offsets = offsets,
        .weights = weights,
        .bias = bias,
        .out = out,
        .grid = grid,
        .step = step,
        .phases = if (product(g.stride) == 1) null else phases,
        .failed = &failed,
    };
    try job.run();
}

/// Where the taps lie in the staged image, and their weights, 16 channels together.
const Taps = struct {
    g: *const Geometry,
    w: Depthwise.Weight,
    length: usize,
    offsets: []usize,
    weights: [*]f32,

    /// Number k: `at` in the image, `tap` of the weights.
    fn set(t: *const Taps, k: usize, at: [3]usize, tap: [3]usize) void {
        t.offsets[k] = (at[1] * t.length + at[2]) * W;
        for (0..ceilDiv(t.g.groups, W)) |b| for (t.weights[(b * t.offsets.len + k) * W ..][0..W], channelOf(b, t.g.groups)..) |*to, c| {
            to.* = t.w.at(c, tap);
        };
    }
};

// --- The gradient of the weights ------------------------------------------------------------------

/// Whether it is computed here.
pub fn fitsWeight(g: *const Geometry) bool {
    if (!simd.has_fma or g.co != 1 or g.groups < W or g.dilation[2] != 1) return false;
    if (g.in[0] != 1 or g.out[0] != 1 or g.kernel[0] != 1) return false;
    const size = g.inputLayout();
    if (size.size[1] * size.size[2] > 1 << 11) return false;
    return switch (g.kernel[2]) {
        3 => g.kernel[1] % 3 == 0,
        5, 7 => true,
        else => false,
    };
}

const Weights = struct {
    g: *const Geometry,
    gout: Tensor,
    x: Tensor,
    out: [*]f32,
    failed: *std.atomic.Value(bool),

    fn blocks(job: *const Weights, begin: usize, end: usize) void {
        job.compute(begin, end) catch job.failed.store(true, .monotonic);
    }

    fn compute(job: *const Weights, begin: usize, end: usize) Failure!void {
        const g = job.g;
        const size = g.inputLayout().size;
        const taps = g.taps();
        const part: pixels.Part = .{ .top = -g.padding[1], .left = -g.padding[2], .rows = size[1], .length = size[2], .pixel = W };
        const places: pixels.Part = .{ .top = 0, .left = 0, .rows = g.out[1], .length = g.out[2], .pixel = W };
        const pixel_count = part.rows * part.length;
        const memory = try pixels.alloc((pixel_count + places.rows * places.length + taps) * W);
        defer pixels.free(memory);
        const x = memory.ptr;
        const gout = x + pixel_count * W;
        const sums: [*]V = @ptrCast(@alignCast(memory[memory.len - taps * W ..].ptr));
        for (begin..end) |block| {
            const channel = channelOf(block, g.groups);
            @memset(sums[0..taps], @splat(0));
            for (0..g.images) |image| {
                for ([_]Tensor{ job.x, job.gout }, [_]pixels.Part{ part, places }, [_][*]f32{ x, gout }) |t, of, to| {
                    const from: [*]const f32 = @ptrCast(@alignCast(t.ptr));
                    pixels.stage(t, from + image * t.image + channel * t.channel, of, to);
                }
                var row: usize = 0;
                while (row < g.kernel[1]) {
                    const to = sums + row * g.kernel[2];
                    const from = x + row * g.dilation[1] * part.length * W;
                    row += switch (g.kernel[2]) {
                        3 => correlate(3, 3, g, from, gout, to),
                        5 => correlate(1, 5, g, from, gout, to),
                        else => correlate(1, 7, g, from, gout, to),
                    };
                }
            }
            const done = block * W - channel;
            for (0..taps) |t| for (@as([W]f32, sums[t])[done..], channel + done..) |sum, c| {
                job.out[c * taps + t] = sum;
            };
        }
    }

    /// Adds the products of gout with x for some rows of taps.
    fn correlate(comptime rows: usize, comptime width: usize, g: *const Geometry, x: [*]const f32, gout: [*]const f32, sums: [*]V) usize {
        const length = g.inputLayout().size[2] * W;
        var acc: [rows][width]V = @splat(@splat(@splat(0)));
        var at = gout;
        for (0..g.out[1]) |i| {
            var from = x + i * g.stride[1] * length;
            for (0..g.out[2]) |_| {
                const gv: V = at[0..W].*;
                inline for (0..rows) |r| {
                    const line = from + r * g.dilation[1] * length;
                    inline for (0..width) |c| acc[r][c] = simd.fma(V, gv, line[c * W ..][0..W].*, acc[r][c]);
                }
                at += W;
                from += g.stride[2] * W;
            }
        }
        inline for (0..rows) |r| inline for (0..width) |c| {
            sums[r * width + c] += acc[r][c];
        };
        return rows;
    }
};

/// gw (C, 1, *kernel) of gout and x.
pub fn gradWeight(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]f32) Failure!void {
    var failed: std.atomic.Value(bool) = .init(false);
    const job: Weights = .{ .g = g, .gout = gout, .x = x, .out = out, .failed = &failed };
    const flops = 4 * W * g.images * (g.taps() + 8) * g.out[1] * g.out[2];
    services.parallelFor(ceilDiv(g.groups, W), gemm.grain(gemm.piece_flops, flops), job, Weights.blocks);
    if (failed.load(.monotonic)) return error.OutOfMemory;
}
