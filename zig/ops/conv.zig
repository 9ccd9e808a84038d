//! Convolution in 1 to 3 spatial dimensions, and its two gradients (which are also what
//! conv_transpose is made of).
//!
//! | row              | operands (outputs first)                                             |
//! |------------------|----------------------------------------------------------------------|
//! | conv             | out (N, Cout, *So), x (N, Cin, *S), w (Cout, Cin/g, *K), bias (Cout) |
//! | conv_grad_input  | gx (N, Cin, *S), gout (N, Cout, *So), w (Cout, Cin/g, *K), bias (Cin)|
//! | conv_grad_weight | gw (Cout, Cin/g, *K), gout (N, Cout, *So), x (N, Cin, *S)            |
//!
//! ints, all rows: spatial_dims, groups, has_bias, stride..., padding..., dilation...
//! (spatial_dims of each of the last three). One dtype: float16, bfloat16 (summed in float32,
//! rounded once), float32 or float64. Outputs contiguous; inputs with any strides. With
//! has_bias = 0 the bias is 0-d with no address, or left away.
//!
//! conv:             out[n, o, p] = bias[o] + sum over i, t of x[n, i, p * stride - padding + t * dilation] * w[o, i, t]
//! conv_grad_input:  the transpose of that in x; the size of gx decides which elements of an
//!                   incomplete last stride there are (so conv_transpose(x, w, bias,
//!                   output_padding) is this row with gout = x and a gx of the wanted size;
//!                   its bias is of gx's channels).
//! conv_grad_weight: the transpose of that in w.
//! Padding is symmetric and may exceed the kernel; other padding is Python's `pad`.
//!
//! Bits: conv sums over k = (i, t), grad_input over (o, t) with t ascending among the taps
//! that meet the element, grad_weight over (n, p), as a matrix product does (chains of 384);
//! grad_weight also starts a new chain at the border of every slab of images, whose length
//! depends on the shapes. Windows of 3x3 over 16, 32 ... channels in float32 are computed by
//! Winograd's algorithm, with its own order and error (conv_winograd.zig). The other float32
//! gradients of weights over 16, 32 ... channels sum in shorter chains (conv_pixels.zig), those
//! over few channels in fixed lanes (conv_lanes.zig). Depthwise convolutions
//! (conv_depthwise.zig, conv_depthwise_pixels.zig) sum over taps in one chain, in order or by
//! columns of a 3 or 5 high window, and their grad_weight in fixed lanes. Float16 and bfloat16
//! are float32 all the way, and rounded at the end.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const conv_image = @import("conv_image.zig");
const conv_across = @import("conv_across.zig");
const conv_depthwise = @import("conv_depthwise.zig");
const depthwise_pixels = @import("conv_depthwise_pixels.zig");
const conv_direct = @import("conv_direct.zig");
const conv_lanes = @import("conv_lanes.zig");
const conv_pixels = @import("conv_pixels.zig");
const conv_winograd = @import("conv_winograd.zig");
const conv_geometry = @import("conv_geometry.zig");
const Geometry = conv_geometry.Geometry;
const Phase = conv_geometry.Phase;
const Phases = conv_geometry.Phases;
const TapIterator = conv_geometry.TapIterator;
const product = conv_geometry.product;
const conv_output = @import("conv_output.zig");
const Tensor = conv_image.Tensor;
const Layout = conv_image.Layout;
const Plan = plan.Plan;
const Call = plan.Call;

pub const Row = enum(u32) { conv, conv_grad_input, conv_grad_weight };
pub const names: []const []const u8 = std.meta.fieldNames(Row);
pub const family: plan.Family = .{ .prepare = prepare };

const State = struct { geometry: Geometry };

fn prepare(p: *Plan) plan.PrepareError!void {
    const d = p.operands[0].dtype;
    if (!d.isFloat() or p.ints[0] < 1 or p.ints[0] > 3) return error.Unsupported;
    const row: Row = @fromBackingInt(p.op);
    const reads: usize = if (row == .conv_grad_weight or p.ints[2] == 0) 3 else 4;
    for (p.operands[0..reads]) |o| {
        if (o.dtype != d) return error.Unsupported;
    }
    const s = try p.create(State);
    s.geometry = describe(p, row);
    p.run = if (d == .float64) Convolution(f64).run else Convolution(f32).run;
}

fn describe(p: *const Plan, row: Row) Geometry {
    const x = p.operands[
        switch (row) {
            .conv => 1,
            .conv_grad_input => 0,
            .conv_grad_weight => 2,
        }
    ];
    const out = p.operands[if (row == .conv) 0 else 1];
    const w = p.operands[if (row == .conv_grad_weight) 0 else 2];
    const dims: usize = @intCast(p.ints[0]);
    const groups: usize = @intCast(p.ints[1]);
    var g: Geometry = .{
        .images = @intCast(x.shape[0]),
        .groups = groups,
        .ci = @intCast(w.shape[1]),
        .co = @as(usize, @intCast(w.shape[0])) / groups,
        .in = @splat(1),
        .out = @splat(1),
        .kernel = @splat(1),
        .stride = @splat(1),
        .padding = @splat(0),
        .dilation = @splat(1),
        .has_bias = p.ints[2] != 0 and row != .conv_grad_weight,
    };
    for (0..dims) |i| {
        const d = 3 - dims + i;
        g.in[d] = @intCast(x.shape[2 + i]);
        g.out[d] = @intCast(out.shape[2 + i]);
        g.kernel[d] = @intCast(w.shape[2 + i]);
        g.stride[d] = @intCast(p.ints[3 + i]);
        g.padding[d] = p.ints[3 + dims + i];
        g.dilation[d] = @intCast(p.ints[3 + 2 * dims + i]);
    }
    return g;
}

/// Operand i of a call, (N, C, spatial...), as an image tensor (a weight too: (O, I, taps...)).
fn tensor(p: *const Plan, call: *const Call, i: usize) Tensor {
    const o = p.operands[i];
    const dims = o.ndim() - 2;
    var t: Tensor = .{
        .ptr = call.ptr[i].?,
        .dtype = o.dtype,
        .image = @intCast(o.strides[0]),
        .channel = @intCast(o.strides[1]),
        .step = @splat(0),
        .size = @splat(1),
    };
    for (0..dims) |k| {
        t.step[3 - dims + k] = @intCast(o.strides[2 + k]);
        t.size[3 - dims + k] = @intCast(o.shape[2 + k]);
    }
    return t;
}

fn Convolution(comptime T: type) type {
    return struct {
        const G = gemm.Gemm(T);
        const Images = conv_image.Images(T);
        const Depthwise = conv_depthwise.Depthwise(T);
        const Across = conv_across.Across(T);
        const Direct = conv_direct.Direct(T);
        const native: DType = if (T == f32) .float32 else .float64;

        const Source = Images.Source;
        const Output = conv_output.Output(T);
        const large_group = 4 * gemm.piece_flops;
        const Failure = error{OutOfMemory};
        const short_row = 16;

        fn run(p: *const Plan, call: *Call) void {
            const g = &p.stateAs(State).geometry;
            if (call.ptr[0] == null or p.operands[0].numel() == 0) return;
            const done = if (p.operands[0].dtype == native) dispatch(p, g, call) else widened(p, g, call);
            done catch call.fail(.out_of_memory, .{ 0, 0, 0 });
        }

        /// In T from copies of the operands, and rounded once.
        fn widened(p: *const Plan, g: *const Geometry, call: *Call) Failure!void {
            var inner = p.*;
            var operands: [4]plan.Operand = undefined;
            inner.operands = operands[0..p.operands.len];
            var strides: [4][5]i64 = undefined;
            var copies: Call = .{};
            defer for (copies.ptr[0..p.operands.len]) |memory| if (memory) |m| services.free(@alignCast(m));
            for (p.operands, operands[0..p.operands.len], 0..) |from, *to, i| {
                var step: i64 = 1;
                for (0..from.ndim()) |back| {
                    const d = from.ndim() - 1 - back;
                    strides[i][d] = step;
                    step *= from.shape[d];
                }
                to.* = .{ .dtype = native, .shape = from.shape, .strides = strides[i][0..from.ndim()] };
                const source = call.ptr[i] orelse continue;
                const copy = try allocSlice(from.numel() + conv_image.slack);
                copies.ptr[i] = @ptrCast(copy.ptr);
                if (i == 0) continue;
                if (from.isContiguous()) {
                    const widening: Widening = .{ .from = source, .to = copy.ptr, .dtype = from.dtype };
                    services.parallelFor(from.numel(), gemm.piece_packed, widening, Widening.run);
                } else if (from.ndim() == 1) {
                    pack.load(T, from.dtype, copy.ptr, source, from.numel(), @intCast(from.strides[0]));
                } else if (from.ndim() > 1) {
                    const t = tensor(p, call, i);
                    const layout: Layout = .{ .left = @splat(0), .size = t.size };
                    Images.stage(t, layout, @intCast(from.shape[1]), 0, @intCast(from.shape[0]), copy.ptr);
                }
            }
            try dispatch(&inner, g, &copies);
            const status = copies.status.load(.monotonic);
            if (status != 0) return error.OutOfMemory;
            const rounding: Rounding = .{
                .from = @ptrCast(@alignCast(copies.ptr[0].?)),
                .to = call.ptr[0].?,
                .dtype = p.operands[0].dtype,
            };
            services.parallelFor(p.operands[0].numel(), gemm.piece_packed, rounding, Rounding.run);
        }

        const Widening = struct {
            from: [*]const u8,
            to: [*]T,
            dtype: DType,
            fn run(w: *const Widening, begin: usize, end: usize) void {
                pack.load(T, w.dtype, w.to + begin, w.from + begin * w.dtype.size(), end - begin, 1);
            }
        };
        const Rounding = struct {
            from: [*]const T,
            to: [*]u8,
            dtype: DType,
            fn run(r: *const Rounding, begin: usize, end: usize) void {
                pack.store(T, r.dtype, r.to + begin * r.dtype.size(), r.from + begin, end - begin);
            }
        };

        fn dispatch(p: *const Plan, g: *const Geometry, call: *Call) Failure!void {
            const row: Row = @fromBackingInt(p.op);
            const out: [*]T = @ptrCast(@alignCast(call.ptr[0].?));
            const numel = p.operands[0].numel();
            if (row == .conv_grad_weight) {
                if (g.images * product(g.out) == 0) return @memset(out[0..numel], 0);
                const gout = tensor(p, call, 1);
                const x = tensor(p, call, 2);
                if (g.isDepthwise()) return Depthwise.gradWeight(g, gout, x, out);
                if (T == f32 and simd.has_fma) {
                    if (conv_winograd.fits(g)) return conv_winograd.gradWeight(g, gout, x, out);
                    if (conv_pixels.fits(g)) return conv_pixels.gradWeight(g, gout, x, out);
                }
                return gradWeight(g, gout, x, out, call);
            }
            // Nothing to sum: only the bias is left. (No staged image could be read.)
            const read = if (row == .conv) g.ci * product(g.in) else g.co * product(g.out);
            const channels = g.groups * if (row == .conv) g.co else g.ci;
            const bias = try allocSlice(channels);
            defer services.free(@ptrCast(bias.ptr));
            if (g.has_bias) {
                pack.load(T, native, bias.ptr, call.ptr[3].?, channels, @intCast(p.operands[3].strides[0]));
            } else @memset(bias, 0);
            if (read == 0) return Output.fillBias(
                bias,
                numel / (g.images * channels),
                g.images,
                out,
            );

            const image = tensor(p, call, 1);
            if (T == f32 and simd.has_fma) {
                if (conv_winograd.fits(g))
                    return conv_winograd.forward(g, image, tensor(p, call, 2), bias, out, row != .conv);
            }
            const weight: Weight = .from(tensor(p, call, 2));
            const job: Job = .{
                .g = g,
                .call = call,
                .out = out,
                .bias = bias,
                .weight = weight,
            };
            if (g.isDepthwise()) {
                if (T == f32 and row == .conv and depthwise_pixels.fits(g, g.out[2], g.stride[2]))
                    return depthwise_pixels.forward(g, image, weight.view(), bias, out);
                if (T == f32 and row != .conv and product(g.stride) == 1 and depthwise_pixels.fits(g, g.in[2], 1))
                    return depthwise_pixels.gradInput(g, image, weight.view(), bias, out);
                return if (row == .conv)
                    Depthwise.forward(g, image, weight.view(), bias, out)
                else
                    Depthwise.gradInput(g, image, weight.view(), bias, out);
            }
            if (row == .conv) try job.forward(image) else try job.gradInput(image);
        }

        fn allocSlice(n: usize) Failure![]align(64) T {
            return services.allocSlice(T, n) orelse error.OutOfMemory;
        }

        /// w[o, i, tap].
        const Weight = struct {
            ptr: [*]const T,
            /// Strides of o, i and of the taps' three dimensions.
            o: usize,
            i: usize,
            step: [3]usize,

            fn from(t: Tensor) Weight {
                return .{
                    .ptr = @ptrCast(@alignCast(t.ptr)),
                    .o = t.image,
                    .i = t.channel,
                    .step = t.step,
                };
            }
            fn at(w: Weight, t: [3]usize) usize {
                return t[0] * w.step[0] + t[1] * w.step[1] + t[2] * w.step[2];
            }
            fn view(w: Weight) Depthwise.Weight {
                return .{ .ptr = w.ptr, .o = w.o, .step = w.step };
            }
        };

        /// Rows of A: channels of the result; k: (channel of the image, tap).
        const WeightRows = struct {
            ptr: [*]const T,
            row: usize,
            channel: usize,
            taps: []const usize,
            /// The taps of a channel, and so all of k, lie side by side.
            contiguous: bool,

            fn packA(
                c: *const anyopaque,
                dst: [*]T,
                first: usize,
                count: usize,
                k0: usize,
                kc: usize,
            ) void {
                const w: *const WeightRows = @ptrCast(@alignCast(c));
                const mr = G.Micro.mr;
                const from = w.ptr + first * w.row;
                if (w.contiguous) return pack.packPanel(T, mr, dst, from + k0, w.row, 1, count, kc);
                if (count < mr) @memset(dst[0 .. kc * mr], 0);
                var tap = k0 % w.taps.len;
                var channel = k0 / w.taps.len * w.channel;
                for (0..kc) |k| {
                    const src = from + channel + w.taps[tap];
                    for (0..count) |i| dst[k * mr + i] = src[i * w.row];
                    tap += 1;
                    if (tap == w.taps.len) {
                        tap = 0;
                        channel += w.channel;
                    }
                }
            }
        };

        /// conv and conv_grad_input: an image under a sliding window, times weights.
        const Job = struct {
            g: *const Geometry,
            call: *Call,
            out: [*]T,
            bias: []const T,
            weight: Weight,

            fn forward(job: *const Job, x: Tensor) Failure!void {
                const g = job.g;
                const taps = try allocTaps(g.taps());
                defer services.free(@ptrCast(taps.image.ptr));
                // Short rows, too: a vector may read beyond one that is staged.
                const short = g.out[2] < short_row and g.taps() > 1 and g.co <= 64;
                const across = goesAcross(
                    g.co,
                    if (isPlain(g)) product(g.out) else g.out[2],
                    g.stride[2],
                );
                var layout = g.inputLayout();
                if (across) layout.phases = 1;
                const staged = if (across) isPadded(g) else short or needsStage(x, g);
                // In place, and with no sums to keep, all images at once.
                const slab = if (staged) conv_geometry.slabForThreads(g.images, g.largest()) else g.images;
                const source: Source = try .init(x, layout, g.groups * g.ci, slab, staged);
                defer source.deinit();
                windowTaps(g, &source, taps.image);
                var all_taps: TapIterator = .{ .kernel = g.kernel };
                for (taps.weight) |*to| to.* = job.weight.at(all_taps.next().?);
                var first: usize = 0;
                while (first < g.images) : (first += slab) {
                    const count = @min(slab, g.images - first);
                    source.load(first, count);
                    try job.window(.{
                        .images = source.images(first, g.out, g.stride[0..2].*, taps.image),
                        .first = first,
                        .count = count,
                        .rows = g.co,
                        .channels = g.ci,
                        .weight_row = job.weight.o,
                        .weight_channel = job.weight.i,
                        .weight_taps = taps.weight,
                        .grid = g.out,
                        .size = g.out,
                        .origin = .{ 0, 0, 0 },
                        .step = .{ 1, 1, 1 },
                        .across = across,
                        .column = if (!across) 1 else if (staged) g.stride[2] else g.stride[2] * x.step[2],
                    });
                }
            }

            /// Elements of gx with the same remainder of (position + padding) modulo the stride
            /// meet the same taps: each such phase is a convolution of gout with stride 1.
            fn gradInput(job: *const Job, gout: Tensor) Failure!void {
                const g = job.g;
                const phases: Phases = try .init(g);
                defer phases.deinit();
                const layout = phases.layout;
                const taps = try allocTaps(g.taps());
                defer services.free(@ptrCast(taps.image.ptr));
                const plain = isPlain(g);
                const staged = !plain or needsStage(gout, g);
                const largest = g.groups * @max(g.co * layout.channel(), g.ci * product(g.in));
                const slab = conv_geometry.slabForThreads(g.images, largest);
                const source: Source = try .init(gout, layout, g.groups * g.co, slab, staged);
                defer source.deinit();
                var first: usize = 0;
                while (first < g.images) : (first += slab) {
                    const count = @min(slab, g.images - first);
                    source.load(first, count);
                    for (phases.of[0]) |d0| for (phases.of[1]) |d1| for (phases.of[2]) |d2| {
                        const phase = [3]Phase{ d0, d1, d2 };
                        const grid = [3]usize{ d0.count, d1.count, d2.count };
                        if (product(grid) == 0) continue;
                        var n: usize = 0;
                        var all_taps: TapIterator = .{ .kernel = .{ d0.taps, d1.taps, d2.taps } };
                        while (all_taps.next()) |t| : (n += 1) {
                            const met = phases.meet(g, phase, t);
                            taps.image[n] = source.at(met.at);
                            taps.weight[n] = job.weight.at(met.tap);
                        }
                        try job.window(.{
                            .images = source.images(first, grid, .{ 1, 1 }, taps.image[0..n]),
                            .first = first,
                            .count = count,
                            .rows = g.ci,
                            .channels = g.co,
                            .weight_row = job.weight.i,
                            .weight_channel = job.weight.o,
                            .weight_taps = taps.weight[0..n],
                            .grid = grid,
                            .size = g.in,
                            .origin = .{ d0.origin, d1.origin, d2.origin },
                            .step = g.stride,
                            .across = goesAcross(g.ci, if (plain) product(grid) else grid[2], 1),
                            .column = if (staged) 1 else gout.step[2],
                        });
                    };
                }
            }

            /// One slab (and phase): for every group, weights (rows, k) @ images (k, positions).
            const Window = struct {
                images: Images,
                first: usize,
                count: usize,
                rows: usize,
                channels: usize,
                weight_row: usize,
                weight_channel: usize,
                weight_taps: []const usize,
                /// Where position p of the grid is in the result: origin + p * step, of `size`.
                grid: [3]usize,
                size: [3]usize,
                origin: [3]usize,
                step: [3]usize,
                /// Vectors go across channels.
                across: bool,
                column: usize,
            };

            const Groups = struct { job: *const Job, w: *const Window, sum: ?[*]T };

            fn window(job: *const Job, w: Window) Failure!void {
                // Rows without gaps in the image are one, but not where the output has gaps.
                var images = w.images;
                if (product(w.step) != 1) images.grid = w.grid;
                if (Across.available and w.across) return job.slideAcross(images, w);
                if (simd.has_fma and Direct.fits(&images, w.rows))
                    return job.slide(images, w);
                const whole = product(w.step) == 1;
                const columns = w.count * product(w.grid);
                const sum = try allocSlice(if (whole) 0 else job.g.groups * w.rows * columns);
                defer services.free(@ptrCast(sum.ptr));
                const ctx: Groups = .{ .job = job, .w = &w, .sum = if (whole) null else sum.ptr };
                const flops = 2 * w.rows * columns * w.channels * @max(1, w.weight_taps.len);
                // Large groups one after the other, each by all threads.
                const groups = job.g.groups;
                const grain = if (flops > large_group) groups else gemm.grain(gemm.piece_flops, flops);
                services.parallelFor(groups, grain, ctx, runGroups);
            }

            fn slideAcross(job: *const Job, merged: Images, w: Window) Failure!void {
                const g = job.g;
                const size = product(w.size);
                const origin = (w.origin[0] * w.size[1] + w.origin[1]) * w.size[2] + w.origin[2];
                var images = merged;
                images.grid = w.grid;
                try Across.run(&.{
                    .images = images,
                    .column = w.column,
                    .count = w.count,
                    .groups = g.groups,
                    .channels = w.channels,
                    .rows = w.rows,
                    .weights = job.weight.ptr,
                    .weight_group = g.co * job.weight.o,
                    .weight_row = w.weight_row,
                    .weight_channel = w.weight_channel,
                    .weight_taps = w.weight_taps,
                    .bias = job.bias,
                    .out = job.out + w.first * g.groups * w.rows * size + origin,
                    .out_image = g.groups * w.rows * size,
                    .out_channel = size,
                    .out_step = .{
                        w.step[0] * w.size[1] * w.size[2],
                        w.step[1] * w.size[2],
                        w.step[2],
                    },
                });
            }

            fn slide(job: *const Job, images: Images, w: Window) Failure!void {
                const g = job.g;
                const size = product(w.size);
                const origin = (w.origin[0] * w.size[1] + w.origin[1]) * w.size[2] + w.origin[2];
                try Direct.run(&.{
                    .images = images,
                    .count = w.count,
                    .groups = g.groups,
                    .channels = w.channels,
                    .rows = w.rows,
                    .weights = job.weight.ptr,
                    .weight_group = g.co * job.weight.o,
                    .weight_row = w.weight_row,
                    .weight_channel = w.weight_channel,
                    .weight_taps = w.weight_taps,
                    .bias = job.bias,
                    .out = job.out + w.first * g.groups * w.rows * size + origin,
                    .out_image = g.groups * w.rows * size,
                    .out_channel = size,
                    .out_step = .{
                        w.step[0] * w.size[1] * w.size[2],
                        w.step[1] * w.size[2],
                        w.step[2],
                    },
                });
            }

            fn runGroups(ctx: *const Groups, begin: usize, end: usize) void {
                const job = ctx.job;
                const w = ctx.w;
                const g = job.g;
                const size = product(w.size);
                const columns = w.count * product(w.grid);
                const all_rows = g.groups * w.rows;
                for (begin..end) |group| {
                    const at = (w.first * all_rows + group * w.rows) * size +
                        (w.origin[0] * w.size[1] + w.origin[1]) * w.size[2] + w.origin[2];
                    const out = job.out + at;
                    const sum: ?[*]T = if (ctx.sum) |s| s + group * w.rows * columns else null;
                    var finish: Output = .{
                        .sum = sum,
                        .stride = columns,
                        .bias = job.bias[group * w.rows ..][0..w.rows],
                        .out = out,
                        .image = all_rows * size,
                        .channel = size,
                        .grid = w.grid,
                        .step = .{
                            w.step[0] * w.size[1] * w.size[2],
                            w.step[1] * w.size[2],
                            w.step[2],
                        },
                    };
                    if (product(w.step) == 1) finish.grid = .{ 1, 1, size };
                    const rows: WeightRows = .{
                        .ptr = job.weight.ptr + group * g.co * job.weight.o,
                        .row = w.weight_row,
                        .channel = w.weight_channel,
                        .taps = w.weight_taps,
                        .contiguous = isContiguous(w.weight_taps, w.weight_channel),
                    };
                    var images = w.images;
                    images.ptr += group * w.channels * images.channel;
                    const target: G.Target = if (sum) |s| .{
                        .ptr = s,
                        .rs = columns,
                    } else .{
                        .ptr = out,
                        .rs = size,
                        .group = size,
                        .group_stride = all_rows * size,
                    };
                    const finishes = sum != null or g.has_bias;
                    G.run(&.{
                        .m = w.rows,
                        .n = columns,
                        .k = w.channels * w.weight_taps.len,
                        .a = .{ .ctx = &rows, .pack = WeightRows.packA },
                        .b = .{ .ctx = &images, .pack = Images.packColumns },
                        .a_view = if (rows.contiguous) .{ .ptr = rows.ptr, .si = rows.row, .sk = 1 } else null,
                        .c = target,
                        .epilogue = if (finishes) .{ .ctx = &finish, .run = Output.run } else null,
                    }, job.call);
                }
            }
        };

        fn isContiguous(taps: []const usize, channel: usize) bool {
            for (taps, 0..) |t, i| if (t != i) return false;
            return channel == taps.len;
        }

        /// Whether positions aren't neighbours in memory as they are, or there is padding.
        fn needsStage(t: Tensor, g: *const Geometry) bool {
            return (t.step[2] != 1 and t.size[2] != 1) or g.stride[2] != 1 or
                isPadded(g);
        }
        /// 1x1: a matrix product of the image as it is.
        fn isPlain(g: *const Geometry) bool {
            return g.taps() == 1 and product(g.stride) == 1 and !isPadded(g);
        }
        fn isPadded(g: *const Geometry) bool {
            return g.padding[0] != 0 or g.padding[1] != 0 or g.padding[2] != 0;
        }

        /// Whether vectors go across the `rows` output channels rather than along output rows of
        /// `length`: where they would fill those less, or read columns far apart.
        fn goesAcross(rows: usize, length: usize, stride: usize) bool {
            if (!Across.available) return false;
            const vl = G.Micro.vl;
            const filled = 100 * length / ((length + vl - 1) / vl * vl);
            if (rows % G.Micro.nr == 0) return filled < 90 or stride > 2;
            // One vector of channels: as many broadcasts as products, which take twice as long.
            return rows == vl and filled <= 65;
        }

        const Taps = struct { image: []usize, weight: []usize };
        /// Both lists in one allocation, that of `image`.
        fn allocTaps(n: usize) Failure!Taps {
            const both = services.allocSlice(usize, 2 * n) orelse return error.OutOfMemory;
            return .{ .image = both[0..n], .weight = both[n..] };
        }

        /// Where the taps of x lie from a position's first one.
        fn windowTaps(g: *const Geometry, x: *const Source, to: []usize) void {
            var all_taps: TapIterator = .{ .kernel = g.kernel };
            for (to) |*offset| {
                const t = all_taps.next().?;
                var at: [3]usize = undefined;
                for (0..3) |d| at[d] = t[d] * g.dilation[d];
                offset.* = x.at(at);
            }
        }

        // --- The gradient of the weights ------------------------------------------------------

        fn gradWeight(
            g: *const Geometry,
            gout: Tensor,
            x: Tensor,
            sum: [*]T,
            call: *Call,
        ) Failure!void {
            const slab = g.slab();
            const images: Source = try .init(
                x,
                g.inputLayout(),
                g.groups * g.ci,
                slab,
                needsStage(x, g),
            );
            defer images.deinit();
            const rows_apart = gout.step[2] != 1 and gout.size[2] != 1;
            const grads: Source = try .init(
                gout,
                .{ .left = @splat(0), .size = g.out },
                g.groups * g.co,
                slab,
                rows_apart,
            );
            defer grads.deinit();
            const taps = try allocTaps(g.taps());
            defer services.free(@ptrCast(taps.image.ptr));
            windowTaps(g, &images, taps.image);
            var first: usize = 0;
            while (first < g.images) : (first += slab) {
                const count = @min(slab, g.images - first);
                images.load(first, count);
                grads.load(first, count);
                const job: Slab = .{
                    .g = g,
                    .call = call,
                    .sum = sum,
                    .adds = first > 0,
                    .steps = count * product(g.out),
                    .x = images.images(first, g.out, g.stride[0..2].*, taps.image),
                    .gout = grads.images(first, g.out, .{ 1, 1 }, &.{0}),
                };
                if (T == f32 and simd.has_fma and conv_lanes.fits(g, T)) {
                    const lanes: conv_lanes.Lanes(T) = .{
                        .g = g,
                        .x = job.x,
                        .gout = job.gout,
                        .count = count,
                        .sum = sum,
                        .adds = first > 0,
                    };
                    lanes.run();
                    continue;
                }
                const flops = 2 * g.co * g.ci * g.taps() * job.steps;
                // Large groups one after the other, each by all threads.
                const grain = if (flops > large_group) g.groups else gemm.grain(gemm.piece_flops, flops);
                services.parallelFor(g.groups, grain, job, slabGroups);
            }
        }

        const Slab = struct {
            g: *const Geometry,
            call: *Call,
            sum: [*]T,
            adds: bool,
            steps: usize,
            x: Images,
            gout: Images,
        };

        fn slabGroups(s: *const Slab, begin: usize, end: usize) void {
            const g = s.g;
            const n = g.ci * g.taps();
            for (begin..end) |group| {
                var x = s.x;
                x.ptr += group * g.ci * x.channel;
                var gout = s.gout;
                gout.ptr += group * g.co * gout.channel;
                G.run(&.{
                    .m = g.co,
                    .n = n,
                    .k = s.steps,
                    .a = .{ .ctx = &gout, .pack = Images.packStepsA },
                    .b = .{ .ctx = &x, .pack = Images.packStepsB },
                    .c = .{ .ptr = s.sum + group * g.co * n, .rs = n },
                    .adds = s.adds,
                }, s.call);
            }
        }
    };
}

test {
    _ = @import("conv_test.zig");
}
