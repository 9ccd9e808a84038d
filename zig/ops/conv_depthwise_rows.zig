//! Depthwise convolutions over narrow planes: a row is one vector, or the rows of two planes are.
//! What is read of a row serves all outputs that it meets, so that a window of 5x5 costs 5 loads a
//! row. Each output is one chain over the taps that meet the plane's rows, column by column.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const pixels = @import("conv_pixels.zig");
const conv_geometry = @import("conv_geometry.zig");
const Depthwise = @import("conv_depthwise.zig").Depthwise(f32);
const Geometry = conv_geometry.Geometry;
const Tensor = @import("conv_image.zig").Tensor;
const W = pixels.W;
const V = pixels.V;
const Failure = pixels.Failure;
const ceilDiv = pixels.ceilDiv;

/// From a row of a plane's copy to the next: as many zeros before each as there are elements.
const row_size = 2 * W;
const half = W / 2;
const Half = @Vector(half, f32);
const wide = builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx512f);
/// Of a row, or of two: what leaves registers for the weights.
const lanes = if (wide) W else half;
const Row = @Vector(lanes, f32);

/// Whether sums of `size` are computed here, of windows that begin `left` before the plane. (Very
/// small planes leave too many lanes empty.)
pub fn fits(g: *const Geometry, size: [3]usize, left: i64) bool {
    if (!simd.has_fma or g.co != 1 or g.in[0] != 1 or g.out[0] != 1 or g.kernel[0] != 1) return false;
    for (1..3) |d| if (g.stride[d] != 1 or g.dilation[d] != 1) return false;
    if (@min(size[1], size[2]) < 5) return false;
    const right = @as(i64, @intCast(g.kernel[2])) - 1 - left;
    if (@max(g.in[2], g.out[2]) > W or @max(left, right) > W) return false;
    return g.kernel[1] == 3 or g.kernel[1] == 5 or g.kernel[1] == 7;
}

const Job = struct {
    planes: usize,
    channels: usize,
    image: Tensor,
    /// Behind its last element.
    image_end: usize = undefined,
    /// Where the first window begins before the plane's first element.
    top: usize,
    left: usize,
    kernel: [2]usize,
    /// Of a channel the tap that comes first, and from one to the next (backwards in gradients).
    weight: [*]const f32,
    weight_first: usize,
    weight_channel: usize,
    weight_step: [2]usize,
    bias: []const f32,
    out: [*]f32,
    grid: [2]usize,
    failed: *std.atomic.Value(bool) = undefined,

    fn run(given: Job) Failure!void {
        if (!simd.has_fma) return; // as `fits` says
        var failed: std.atomic.Value(bool) = .init(false);
        var job = given;
        job.failed = &failed;
        const t = &job.image;
        job.image_end = (job.planes / job.channels - 1) * t.image + (job.channels - 1) * t.channel + 1;
        for (t.size, t.step) |size, step| job.image_end += (size - 1) * step;
        const flops = 4 * W * job.kernel[0] * job.kernel[1] * job.grid[0];
        const items = ceilDiv(job.planes, job.together());
        services.parallelFor(items, gemm.grain(gemm.piece_flops, flops), job, computeItems);
        if (failed.load(.monotonic)) return error.OutOfMemory;
    }

    fn together(job: *const Job) usize {
        return if (wide and job.grid[1] <= half) 2 else 1;
    }

    fn computeItems(job: *const Job, begin: usize, end: usize) void {
        job.compute(begin, end) catch job.failed.store(true, .monotonic);
    }

    fn compute(job: *const Job, begin: usize, end: usize) Failure!void {
        const n = job.together();
        const size = job.image.size[1] * row_size + W;
        // The next planes are copied before these are read: what was just written is slow to read askew.
        const memory = try pixels.alloc(2 * n * size);
        defer pixels.free(memory);
        @memset(memory, 0);
        var current: [*]f32 = memory.ptr;
        var next = current + n * size;
        for (0..n) |i| job.stage(job.planeOf(begin, n, i), current + i * size);
        for (begin..end) |item| {
            if (item + 1 < end) for (0..n) |i| job.stage(job.planeOf(item + 1, n, i), next + i * size);
            switch (n) {
                inline 1, 2 => |count| if (wide or count == 1) {
                    var of: [count]usize = undefined;
                    var from: [count][*]const f32 = undefined;
                    inline for (0..count) |i| {
                        of[i] = job.planeOf(item, count, i);
                        from[i] = current + i * size;
                    }
                    switch (job.kernel[0]) {
                        inline 3, 5, 7 => |taps| job.slide(count, taps, of, from),
                        else => unreachable,
                    }
                },
                else => unreachable,
            }
            std.mem.swap([*]f32, &current, &next);
        }
    }

    fn planeOf(job: *const Job, item: usize, n: usize, i: usize) usize {
        return @min(item * n + i, job.planes - 1);
    }

    /// The plane's rows, each after W zeros.
    noinline fn stage(job: *const Job, plane: usize, to: [*]f32) void {
        const t = &job.image;
        const own: [*]const f32 = @ptrCast(@alignCast(t.ptr));
        const first = plane / job.channels * t.image + plane % job.channels * t.channel;
        const size = t.size[2];
        if (t.step[2] != 1) {
            for (0..t.size[1]) |r| for (0..size) |c| {
                to[r * row_size + W + c] = own[first + r * t.step[1] + c * t.step[2]];
            };
            return;
        }
        const inside = simd.firstLanes(f32, size);
        var at = first;
        for (0..t.size[1]) |r| {
            const row: V = if (at + W <= job.image_end)
                @select(f32, inside, @as(V, own[at..][0..W].*), @as(V, @splat(0)))
            else
                simd.loadPart(f32, own + at, size, 0);
            (to + r * row_size + W)[0..W].* = row;
            at += t.step[1];
        }
    }

    /// All outputs of planes `of`, of which `from` are the copies.
    noinline fn slide(job: *const Job, comptime n: usize, comptime taps: usize, of: [n]usize, from: [n][*]const f32) void {
        const rows = comptime tile(n);
        var weights: [n][*]const f32 = undefined;
        inline for (0..n) |i| weights[i] = job.weight + of[i] % job.channels * job.weight_channel;
        var p: usize = 0;
        while (p < job.grid[0]) : (p += rows) {
            const met = job.rowsMet(p, rows + taps - 1);
            var left: usize = 0;
            while (left < job.grid[1]) : (left += lanes) {
                const c = @min(left, job.grid[1] -| lanes);
                // It may begin before the copy, where no bit is set.
                const start = (p -% job.top) *% (4 * row_size) +% 4 * (W + c -% job.left);
                var acc: [rows]Row = @splat(@splat(0));
                for (0..job.kernel[1]) |column| {
                    var w: [taps]Row = undefined;
                    inline for (0..taps) |t| {
                        var values: [n]f32 = undefined;
                        inline for (0..n) |i| values[i] = weights[i][job.weight_first +% t *% job.weight_step[0] +% column *% job.weight_step[1]];
                        w[t] = beside(n, values);
                    }
                    var x: [n]usize = undefined;
                    inline for (0..n) |i| x[i] = simd.opaquely(@intFromPtr(from[i]) +% start +% 4 * column);
                    // One loop for all sets of bits, and one address for all rows.
                    const bits = simd.opaquely(met);
                    inline for (0..rows + taps - 1) |i| if (bits >> i & 1 != 0) {
                        var parts: [n]@Vector(lanes / n, f32) = undefined;
                        inline for (0..n) |k| parts[k] = @as([*]const f32, @ptrFromInt(x[k] +% i * 4 * row_size))[0 .. lanes / n].*;
                        const xv = if (n == 1) parts[0] else join(parts[0], parts[1]);
                        inline for (0..rows) |r| if (comptime i >= r and i - r < taps) {
                            acc[r] = simd.fma(Row, w[i - r], xv, acc[r]);
                        };
                    };
                }
                const sums = acc; // (its own memory: that of `acc` would be kept up to date)
                job.put(n, of, p, c, &sums);
            }
        }
    }

    /// A bit for every row of the image among `n` that the tile at row p meets.
    noinline fn rowsMet(job: *const Job, p: usize, n: usize) usize {
        const before: i64 = @bitCast(job.top -% p);
        const most: i64 = @intCast(n);
        const first: u6 = @intCast(@max(0, @min(most, before)));
        const end: u6 = @intCast(@max(0, @min(most, before + @as(i64, @intCast(job.image.size[1])))));
        return (@as(usize, 1) << end) - (@as(usize, 1) << first);
    }

    /// Rows of outputs in registers.
    fn tile(n: usize) usize {
        return if (wide and n == 1) 16 else 8;
    }

    /// Rows p .. of the sums, from column c on.
    noinline fn put(job: *const Job, comptime n: usize, of: [n]usize, p: usize, c: usize, sums: *const [tile(n)]Row) void {
        const height = job.grid[0];
        const width = job.grid[1];
        var bias: [n]f32 = undefined;
        inline for (0..n) |i| bias[i] = job.bias[of[i] % job.channels];
        const b = beside(n, bias);
        for (sums[0..@min(sums.len, height - p)], p..) |without, row| inline for (0..n) |i| {
            const sum = without + b;
            const to = job.out + (of[i] * height + row) * width + c;
            const own = if (n == 1) sum else part(i, sum);
            const length = @typeInfo(@TypeOf(own)).vector.len;
            if (row + 1 == height and width < length) {
                simd.storePart(f32, to, width, if (length == W) own else join(own, own));
            } else to[0..length].* = own; // what is too much is overwritten by the next row
        };
    }

    inline fn beside(comptime n: usize, values: [n]f32) Row {
        return if (n == 1) @splat(values[0]) else join(@splat(values[0]), @splat(values[1]));
    }

    inline fn part(comptime i: usize, v: V) Half {
        return @shuffle(f32, v, undefined, std.simd.iota(i32, half) + @as(@Vector(half, i32), @splat(i * half)));
    }

    inline fn join(a: Half, b: Half) V {
        comptime var which: [W]i32 = undefined;
        inline for (&which, 0..) |*l, i| l.* = if (i < half) i else ~@as(i32, i - half);
        return @shuffle(f32, a, b, which);
    }
};

/// out (N, C, *out) of x.
pub fn forward(g: *const Geometry, x: Tensor, w: Depthwise.Weight, bias: []const f32, out: [*]f32) Failure!void {
    try Job.run(.{
        .planes = g.images * g.groups,
        .channels = g.groups,
        .image = x,
        .top = @bitCast(g.padding[1]),
        .left = @bitCast(g.padding[2]),
        .kernel = g.kernel[1..3].*,
        .weight = w.ptr,
        .weight_first = 0,
        .weight_channel = w.o,
        .weight_step = w.step[1..3].*,
        .bias = bias,
        .out = out,
        .grid = g.out[1..3].*,
    });
}

/// gx (N, C, *in) of gout: the windows turned round.
pub fn gradInput(g: *const Geometry, gout: Tensor, w: Depthwise.Weight, bias: []const f32, out: [*]f32) Failure!void {
    var job: Job = .{
        .planes = g.images * g.groups,
        .channels = g.groups,
        .image = gout,
        .top = g.kernel[1] - 1 -% @as(usize, @bitCast(g.padding[1])),
        .left = g.kernel[2] - 1 -% @as(usize, @bitCast(g.padding[2])),
        .kernel = g.kernel[1..3].*,
        .weight = w.ptr,
        .weight_first = (g.kernel[1] - 1) * w.step[1] + (g.kernel[2] - 1) * w.step[2],
        .weight_channel = w.o,
        .weight_step = undefined,
        .bias = bias,
        .out = out,
        .grid = g.in[1..3].*,
    };
    for (&job.weight_step, w.step[1..3]) |*to, step| to.* = 0 -% step;
    try job.run();
}
