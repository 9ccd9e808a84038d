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
//! that meet the element, grad_weight over (n, p), as a matrix product does (chains of 512);
//! grad_weight also starts a new chain at the border of every slab of images, whose length
//! depends on the shapes. conv of float32 to few positions sums in fixed lanes (conv_few.zig).
//! Windows of 3x3 over 16, 32 ... channels (of a group) in float32 are computed by Winograd's
//! algorithm, with its own order and error (conv_winograd.zig). The other float32 gradients of
//! weights over 16, 32 ... channels sum in shorter chains (conv_pixels.zig), those over few
//! channels, or of windows of one element to one channel, in fixed lanes (conv_lanes.zig,
//! conv_single.zig). One image of one position is a vector in float32 (gemm_vector.zig). grad_input over few positions adds up positions last (conv_scatter.zig). Depthwise convolutions (conv_depthwise.zig,
//! conv_depthwise_pixels.zig, conv_depthwise_rows.zig) sum over taps in one chain, in order or by
//! columns of a 3, 5 or 7 high window, and their grad_weight in fixed lanes. Float16 is float32 all the way, and rounded at
//! the end; so is bfloat16 there and where Winograd's algorithm is used, otherwise it goes by
//! pairs (conv_pairs.zig): k = (pair of channels, tap) and in grad_weight (pair of images, p), of
//! a pair the second first.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const gemm_outer = @import("gemm_outer.zig");
const gemm_vector = @import("gemm_vector.zig");
const conv_image = @import("conv_image.zig");
const conv_depthwise = @import("conv_depthwise.zig");
const depthwise_pixels = @import("conv_depthwise_pixels.zig");
const depthwise_rows = @import("conv_depthwise_rows.zig");
const conv_lanes = @import("conv_lanes.zig");
const conv_pairs = @import("conv_pairs.zig");
const conv_pixels = @import("conv_pixels.zig");
const Single = @import("conv_single.zig").Single;
const conv_windows = @import("conv_windows.zig");
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
        const Images = conv_image.Images(T);
        const Depthwise = conv_depthwise.Depthwise(T);
        const Windows = conv_windows.Windows(T);
        const native: DType = if (T == f32) .float32 else .float64;

        const Source = Images.Source;
        const Output = conv_output.Output(T);
        const Failure = error{OutOfMemory};

        fn run(p: *const Plan, call: *Call) void {
            const g = &p.stateAs(State).geometry;
            if (call.ptr[0] == null or p.operands[0].numel() == 0) return;
            const dtype = p.operands[0].dtype;
            const done = if (dtype == native)
                dispatch(p, g, call)
            else if (T == f32 and simd.has_fma and dtype == .bfloat16 and goesByPairs(p, g))
                paired(p, g, call)
            else
                widened(p, g, call);
            done catch call.fail(.out_of_memory, .{ 0, 0, 0 });
        }

        /// Whether bfloat16 is multiplied by pairs: where no other algorithm does with less, and pairs are full.
        fn goesByPairs(p: *const Plan, g: *const Geometry) bool {
            for (p.operands[1..3]) |o| if (o.numel() == 0) return false;
            if (g.isDepthwise() or conv_winograd.fits(g)) return false;
            return 1 < switch (@as(Row, @fromBackingInt(p.op))) {
                .conv => g.ci,
                .conv_grad_input => g.co,
                .conv_grad_weight => g.images,
            };
        }

        /// bfloat16 by pairs (conv_pairs.zig), rounded once.
        fn paired(p: *const Plan, given: *const Geometry, call: *Call) Failure!void {
            const row: Row = @fromBackingInt(p.op);
            var half = given.*;
            const g = &half;
            var memory: [2]?[]align(64) T = @splat(null);
            defer for (memory) |m| if (m) |x| services.free(@ptrCast(x.ptr));
            var first = tensor(p, call, 1);
            var second = tensor(p, call, 2);
            const all = g.groups * g.co;
            switch (row) {
                .conv => {
                    g.ci = (g.ci + 1) / 2;
                    try words(&first, .ofChannels(first, g.images, g.groups, given.ci), &memory[0], g.groups * g.ci);
                    try words(&second, .ofChannels(second, all, 1, given.ci), &memory[1], g.ci);
                },
                .conv_grad_input => {
                    g.co = (g.co + 1) / 2;
                    try words(&first, .ofChannels(first, g.images, g.groups, given.co), &memory[0], g.groups * g.co);
                    try words(&second, .ofImages(second, g.groups, given.co, g.ci), &memory[1], g.ci);
                },
                .conv_grad_weight => {
                    g.images = (g.images + 1) / 2;
                    try words(&first, .ofImages(first, 1, given.images, all), &memory[0], all);
                    try words(&second, .ofImages(second, 1, given.images, g.groups * g.ci), &memory[1], g.groups * g.ci);
                },
            }
            const numel = p.operands[0].numel();
            const sum = try allocSlice(numel);
            defer services.free(@ptrCast(sum.ptr));
            const elements: conv_pairs.Elements = .ofWords();
            if (row == .conv_grad_weight) {
                try gradWeight(g, first, second, sum.ptr, call, elements);
            } else {
                const bias = try loadBias(p, g, call);
                defer services.free(@ptrCast(bias.ptr));
                const job: Windows.Job = .{
                    .g = g,
                    .call = call,
                    .out = sum.ptr,
                    .bias = bias,
                    .weight = .from(second),
                    .elements = elements,
                };
                if (row == .conv) try job.forward(first) else try job.gradInput(first);
            }
            const rounding: Rounding = .{ .from = sum.ptr, .to = call.ptr[0].?, .dtype = .bfloat16 };
            services.parallelFor(numel, gemm.piece_packed, rounding, Rounding.run);
        }

        /// `t` becomes the words of its pairs, of `channels`.
        fn words(t: *Tensor, pairs: conv_pairs.Pairs, memory: *?[]align(64) T, channels: usize) Failure!void {
            t.ptr = @ptrCast(try pairs.words(memory));
            t.dtype = native;
            t.step = .{ t.size[1] * t.size[2], t.size[2], 1 };
            t.channel = product(t.size);
            t.image = channels * t.channel;
        }

        /// The bias in T; zeros where there is none.
        fn loadBias(p: *const Plan, g: *const Geometry, call: *const Call) Failure![]align(64) T {
            const channels = g.groups * if (p.op == @backingInt(Row.conv)) g.co else g.ci;
            const bias = try allocSlice(channels);
            if (g.has_bias) {
                const from = p.operands[3];
                pack.load(T, from.dtype, bias.ptr, call.ptr[3].?, channels, @intCast(from.strides[0]));
            } else @memset(bias, 0);
            return bias;
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
                if (T == f32 and g.isProduct() and g.images <= few_images) return outerProduct(g, gout, x, out, call);
                if (T == f32 and g.isDepthwise() and depthwise_pixels.fitsWeight(g)) return depthwise_pixels.gradWeight(g, gout, x, out);
                if (T == f32 and g.isDepthwise()) return Depthwise.gradWeight(g, gout, x, out);
                if (T == f32 and simd.has_fma) {
                    if (Single.fits(g)) {
                        var planes: [2]Planes = undefined;
                        planes[0] = try .init(x, g.images, g.ci);
                        defer planes[0].deinit();
                        planes[1] = try .init(gout, g.images, 1);
                        defer planes[1].deinit();
                        return Single.gradWeight(.{
                            .g = g,
                            .x = planes[0].ptr,
                            .image = planes[0].image,
                            .weight = planes[1].ptr,
                            .weight_step = planes[1].image,
                            .bias = &.{},
                            .out = out,
                        });
                    }
                    if (conv_winograd.fits(g)) return conv_winograd.gradWeight(g, gout, x, out);
                    if (conv_pixels.fits(g)) return conv_pixels.gradWeight(g, gout, x, out);
                }
                return gradWeight(g, gout, x, out, call, .numbers);
            }
            // Nothing to sum: only the bias is left. (No staged image could be read.)
            const read = if (row == .conv) g.ci * product(g.in) else g.co * product(g.out);
            const bias = try loadBias(p, g, call);
            defer services.free(@ptrCast(bias.ptr));
            if (read == 0) return Output.fillBias(
                bias,
                numel / (g.images * bias.len),
                g.images,
                out,
            );

            const image = tensor(p, call, 1);
            if (T == f32 and g.isProduct() and g.images == 1) {
                const w = tensor(p, call, 2);
                const x: gemm_vector.View = .{ .ptr = image.ptr, .dtype = native, .sj = 0, .sk = image.channel };
                const across, const along = if (row == .conv) .{ w.image, w.channel } else .{ w.channel, w.image };
                const m: gemm_vector.View = .{ .ptr = w.ptr, .dtype = native, .sj = across, .sk = along };
                gemm_vector.Vector(T).run(numel, read, x, m, out, call);
                if (g.has_bias) for (out[0..numel], bias) |*y, b| {
                    y.* += b;
                };
                return;
            }
            if (T == f32 and simd.has_fma) {
                if (conv_winograd.fits(g))
                    return conv_winograd.Pass.run(.{
                        .g = g,
                        .image = image,
                        .weights = tensor(p, call, 2),
                        .bias = bias,
                        .out = out,
                        .transposed = row != .conv,
                    });
            }
            const weight: Windows.Weight = .from(tensor(p, call, 2));
            if (T == f32 and Single.fits(g)) {
                const planes: Planes = try .init(image, g.images, if (row == .conv) g.ci else 1);
                defer planes.deinit();
                const single: Single = .{
                    .g = g,
                    .x = planes.ptr,
                    .image = planes.image,
                    .weight = weight.ptr,
                    .weight_step = weight.i,
                    .bias = bias,
                    .out = out,
                };
                return if (row == .conv) single.forward() else single.gradInput();
            }
            const job: Windows.Job = .{
                .g = g,
                .call = call,
                .out = out,
                .bias = bias,
                .weight = weight,
            };
            if (T == f32 and g.isDepthwise()) {
                if (row == .conv and depthwise_rows.fits(g, g.out, g.padding[2]))
                    return depthwise_rows.forward(g, image, weight.view(), bias, out);
                if (row != .conv and depthwise_rows.fits(g, g.in, @as(i64, @intCast(g.kernel[2])) - 1 - g.padding[2]))
                    return depthwise_rows.gradInput(g, image, weight.view(), bias, out);
                if (row == .conv and depthwise_pixels.fits(g, g.out[2], g.stride[2]))
                    return depthwise_pixels.forward(g, image, weight.view(), bias, out);
                if (row != .conv and depthwise_pixels.fits(g, g.in[2], @max(g.stride[1], g.stride[2])))
                    return depthwise_pixels.gradInput(g, image, weight.view(), bias, out);
                return if (row == .conv)
                    Depthwise.forward(g, image, weight.view(), bias, out)
                else
                    Depthwise.gradInput(g, image, weight.view(), bias, out);
            }
            if (row == .conv) try job.forward(image) else try job.gradInput(image);
        }

        /// Images whose planes are vectors, one behind the other: as they are, or copies.
        const Planes = struct {
            ptr: [*]const T,
            image: usize,
            copy: ?[]align(64) T = null,

            fn init(t: Tensor, images: usize, channels: usize) Failure!Planes {
                if (Single.isDense(t)) return .{ .ptr = @ptrCast(@alignCast(t.ptr)), .image = t.image };
                const image = channels * product(t.size);
                const copy = try allocSlice(images * image + conv_image.slack);
                Images.stage(t, .{ .left = @splat(0), .size = t.size }, channels, 0, images, copy.ptr);
                return .{ .ptr = copy.ptr, .image = image, .copy = copy };
            }
            fn deinit(p: Planes) void {
                if (p.copy) |copy| services.free(@ptrCast(copy.ptr));
            }
        };

        fn allocSlice(n: usize) Failure![]align(64) T {
            return services.allocSlice(T, n) orelse error.OutOfMemory;
        }

        // --- The gradient of the weights ------------------------------------------------------

        const few_images = 24;
        /// Of images of one position.
        fn outerProduct(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]T, call: *Call) void {
            const Strided = pack.Strided(T);
            const a: Strided = .{ .ptr = gout.ptr, .dtype = native, .si = gout.channel, .sk = gout.image };
            const b: Strided = .{ .ptr = x.ptr, .dtype = native, .si = x.channel, .sk = x.image };
            gemm_outer.Outer(T).multiply(&.{
                .m = g.co,
                .n = g.ci,
                .k = g.images,
                .a = .{ .ctx = &a, .pack = Strided.packA },
                .b = .{ .ctx = &b, .pack = Strided.packB },
                .a_view = .{ .ptr = @ptrCast(@alignCast(a.ptr)), .si = a.si, .sk = a.sk },
                .b_view = .{ .ptr = @ptrCast(@alignCast(b.ptr)), .si = b.si, .sk = b.sk },
                .c = .{ .ptr = out, .rs = g.ci },
            }, call);
        }

        fn gradWeight(
            g: *const Geometry,
            gout: Tensor,
            x: Tensor,
            sum: [*]T,
            call: *Call,
            elements: conv_pairs.Elements,
        ) Failure!void {
            const slab = g.slab();
            const images: Source = try .init(
                x,
                g.inputLayout(),
                g.groups * g.ci,
                slab,
                Windows.needsStage(x, g),
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
            const taps = try Windows.allocTaps(g.taps());
            defer services.free(@ptrCast(taps.image.ptr));
            Windows.windowTaps(g, &images, taps.image);
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
                    .elements = elements,
                    .steps = count * product(g.out),
                    .x = images.images(first, g.out, g.stride[0..2].*, taps.image),
                    .gout = grads.images(first, g.out, .{ 1, 1 }, &.{0}),
                };
                if (T == f32 and simd.has_fma and elements == .numbers and conv_lanes.fits(g, T)) {
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
                const grain = if (flops > Windows.large_group) g.groups else gemm.grain(gemm.piece_flops, flops);
                services.parallelFor(g.groups, grain, job, slabGroups);
            }
        }

        const Slab = struct {
            g: *const Geometry,
            call: *Call,
            sum: [*]T,
            adds: bool,
            elements: conv_pairs.Elements,
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
                conv_pairs.multiply(T, s.elements, .{
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
