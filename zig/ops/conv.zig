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
//! depends on the shapes. Depthwise convolutions (conv_depthwise.zig) sum over taps in one
//! chain, and their grad_weight in fixed lanes.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const conv_image = @import("conv_image.zig");
const conv_depthwise = @import("conv_depthwise.zig");
const conv_geometry = @import("conv_geometry.zig");
const Geometry = conv_geometry.Geometry;
const Phase = conv_geometry.Phase;
const Phases = conv_geometry.Phases;
const TapIterator = conv_geometry.TapIterator;
const product = conv_geometry.product;
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
    const x = p.operands[switch (row) {
        .conv => 1,
        .conv_grad_input => 0,
        .conv_grad_weight => 2,
    }];
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
        const native: DType = if (T == f32) .float32 else .float64;

        const Failure = error{OutOfMemory};

        fn run(p: *const Plan, call: *Call) void {
            const g = &p.stateAs(State).geometry;
            dispatch(p, g, call) catch call.fail(.out_of_memory, .{ 0, 0, 0 });
        }

        fn dispatch(p: *const Plan, g: *const Geometry, call: *Call) Failure!void {
            const d = p.operands[0].dtype;
            const row: Row = @fromBackingInt(p.op);
            const out = call.ptr[0] orelse return;
            const numel = p.operands[0].numel();
            if (numel == 0) return;
            if (row == .conv_grad_weight) {
                if (g.images * product(g.out) == 0) return @memset(out[0 .. numel * d.size()], 0);
                const gout = tensor(p, call, 1);
                const x = tensor(p, call, 2);
                if (g.isDepthwise()) return Depthwise.gradWeight(g, gout, x, out, d);
                return gradWeight(g, gout, x, out, d, call);
            }
            // Nothing to sum: only the bias is left. (No staged image could be read.)
            const empty = if (row == .conv) g.ci * product(g.in) == 0 else g.co * product(g.out) == 0;
            const channels = g.groups * if (row == .conv) g.co else g.ci;
            const bias = try allocSlice(channels);
            defer services.free(@ptrCast(bias.ptr));
            if (g.has_bias) {
                const b = p.operands[3];
                pack.load(T, b.dtype, bias.ptr, call.ptr[3].?, channels, @intCast(b.strides[0]));
            } else @memset(bias, 0);
            if (empty) return fillBias(bias, numel / (g.images * channels), g.images, out, d);

            const weight = try Weight.from(tensor(p, call, 2), g);
            defer weight.free();
            const image = tensor(p, call, 1);
            const job: Job = .{ .g = g, .call = call, .out = out, .dtype = d, .bias = bias, .weight = weight };
            if (g.isDepthwise()) {
                return if (row == .conv)
                    Depthwise.forward(g, image, weight.view(), bias, out, d)
                else
                    Depthwise.gradInput(g, image, weight.view(), bias, out, d);
            }
            if (row == .conv) try job.forward(image) else try job.gradInput(image);
        }

        fn allocSlice(n: usize) Failure![]align(64) T {
            return services.allocSlice(T, n) orelse error.OutOfMemory;
        }

        fn fillBias(bias: []const T, plane: usize, images: usize, out: [*]u8, d: DType) void {
            var one: [1]T = undefined;
            for (0..images) |n| for (bias, 0..) |b, c| for (0..plane) |i| {
                one[0] = b;
                pack.store(T, d, out + ((n * bias.len + c) * plane + i) * d.size(), &one, 1);
            };
        }

        /// w[o, i, tap] in T, in place or copied.
        const Weight = struct {
            ptr: [*]const T,
            /// Strides of o, i and of the taps' three dimensions.
            o: usize,
            i: usize,
            step: [3]usize,
            owned: bool,

            fn from(t: Tensor, g: *const Geometry) Failure!Weight {
                if (t.dtype == native) return .{
                    .ptr = @ptrCast(@alignCast(t.ptr)),
                    .o = t.image,
                    .i = t.channel,
                    .step = t.step,
                    .owned = false,
                };
                const n = g.taps();
                const copy = try allocSlice(g.groups * g.co * g.ci * n);
                const layout: Layout = .{ .left = @splat(0), .size = g.kernel };
                Images.stage(t, layout, g.ci, 0, g.groups * g.co, copy.ptr);
                return .{
                    .ptr = copy.ptr,
                    .o = g.ci * n,
                    .i = n,
                    .step = .{ g.kernel[1] * g.kernel[2], g.kernel[2], 1 },
                    .owned = true,
                };
            }
            fn at(w: Weight, t: [3]usize) usize {
                return t[0] * w.step[0] + t[1] * w.step[1] + t[2] * w.step[2];
            }
            fn free(w: Weight) void {
                if (w.owned) services.free(@ptrCast(@constCast(w.ptr)));
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

            fn packA(c: *const anyopaque, dst: [*]T, first: usize, count: usize, k0: usize, kc: usize) void {
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

        /// From a region of C to the output: bias, rounding, and the way to its place.
        const Finish = struct {
            /// C, row-major with `stride`, or null: the output itself.
            sum: ?[*]const T,
            stride: usize,
            bias: []const T,
            out: [*]u8,
            dtype: DType,
            /// Strides of the output in elements; positions (merged where they can be).
            image: usize,
            channel: usize,
            grid: [3]usize,
            step: [3]usize,

            fn run(c: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void {
                const f: *const Finish = @ptrCast(@alignCast(c));
                const bytes = f.dtype.size();
                const plane = product(f.grid);
                var values: [256]T align(64) = undefined;
                var rounded: [256 * 8]u8 align(64) = undefined;
                for (row..row + rows) |i| {
                    var j = col;
                    while (j < col + cols) {
                        const q = j % plane;
                        const o2 = q % f.grid[2];
                        const r = q / f.grid[2];
                        const n = @min(values.len, @min(col + cols - j, f.grid[2] - o2));
                        const at = j / plane * f.image + i * f.channel + r / f.grid[1] * f.step[0] +
                            r % f.grid[1] * f.step[1] + o2 * f.step[2];
                        const to = f.out + at * bytes;
                        const from: [*]const T = if (f.sum) |s| s + i * f.stride + j else @ptrCast(@alignCast(to));
                        addBias(&values, from, n, f.bias[i]);
                        if (f.step[2] == 1) {
                            pack.store(T, f.dtype, to, &values, n);
                        } else {
                            pack.store(T, f.dtype, &rounded, &values, n);
                            spread(to, &rounded, n, f.step[2], bytes);
                        }
                        j += n;
                    }
                }
            }

            fn addBias(dst: [*]T, src: [*]const T, n: usize, bias: T) void {
                const W = 16;
                var i: usize = 0;
                while (i + W <= n) : (i += W) {
                    const b: @Vector(W, T) = @splat(bias);
                    dst[i..][0..W].* = @as(@Vector(W, T), src[i..][0..W].*) + b;
                }
                while (i < n) : (i += 1) dst[i] = src[i] + bias;
            }

            fn spread(to: [*]u8, from: [*]const u8, n: usize, step: usize, bytes: usize) void {
                switch (bytes) {
                    inline 2, 4, 8 => |size| for (0..n) |i| {
                        to[i * step * size ..][0..size].* = from[i * size ..][0..size].*;
                    },
                    else => unreachable,
                }
            }
        };

        /// conv and conv_grad_input: an image under a sliding window, times weights.
        const Job = struct {
            g: *const Geometry,
            call: *Call,
            out: [*]u8,
            dtype: DType,
            bias: []const T,
            weight: Weight,

            fn forward(job: *const Job, x: Tensor) Failure!void {
                const g = job.g;
                const layout = g.inputLayout();
                const offsets = try allocTaps(g.taps());
                defer services.free(@ptrCast(offsets.image.ptr));
                const staged = needsStage(x, g);
                const row = if (staged) layout.row() else x.step[1];
                const plane = if (staged) layout.size[1] * row else x.step[0];
                var all_taps: TapIterator = .{ .kernel = g.kernel };
                var i: usize = 0;
                while (all_taps.next()) |t| : (i += 1) {
                    const c = t[2] * g.dilation[2];
                    offsets.image[i] = t[0] * g.dilation[0] * plane + t[1] * g.dilation[1] * row +
                        if (staged) layout.column(c) else c;
                    offsets.weight[i] = job.weight.at(t);
                }
                const slab = if (staged or job.dtype != native) g.slab() else g.images;
                const memory = try allocSlice(if (staged) slab * g.groups * g.ci * layout.channel() + conv_image.slack else 0);
                defer services.free(@ptrCast(memory.ptr));
                var first: usize = 0;
                while (first < g.images) : (first += slab) {
                    const count = @min(slab, g.images - first);
                    if (staged) Images.stage(x, layout, g.groups * g.ci, first, count, memory.ptr);
                    var images: Images = .{
                        .ptr = if (staged) memory.ptr else @as([*]const T, @ptrCast(@alignCast(x.ptr))) + first * x.image,
                        .image = if (staged) g.groups * g.ci * layout.channel() else x.image,
                        .channel = if (staged) layout.channel() else x.channel,
                        .grid = g.out,
                        .step = .{ g.stride[0] * plane, g.stride[1] * row, 1 },
                        .taps = offsets.image,
                        .exact = !staged,
                    };
                    images.merge();
                    try job.window(.{
                        .images = images,
                        .first = first,
                        .count = count,
                        .rows = g.co,
                        .channels = g.ci,
                        .weight_group = g.co * job.weight.o,
                        .weight_row = job.weight.o,
                        .weight_channel = job.weight.i,
                        .weight_taps = offsets.weight,
                        .grid = g.out,
                        .size = g.out,
                        .origin = .{ 0, 0, 0 },
                        .step = .{ 1, 1, 1 },
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
                const offsets = try allocTaps(g.taps());
                defer services.free(@ptrCast(offsets.image.ptr));
                const plain = g.taps() == 1 and product(g.stride) == 1 and
                    g.padding[0] == 0 and g.padding[1] == 0 and g.padding[2] == 0;
                const staged = !plain or needsStage(gout, g);
                const row = if (staged) layout.row() else gout.step[1];
                const plane = if (staged) layout.size[1] * row else gout.step[0];
                const largest = g.groups * @max(g.co * layout.channel(), g.ci * product(g.in));
                const slab = @max(1, @min(g.images, conv_geometry.slab_elements / @max(1, largest)));
                const memory = try allocSlice(if (staged) slab * g.groups * g.co * layout.channel() + conv_image.slack else 0);
                defer services.free(@ptrCast(memory.ptr));
                var first: usize = 0;
                while (first < g.images) : (first += slab) {
                    const count = @min(slab, g.images - first);
                    if (staged) Images.stage(gout, layout, g.groups * g.co, first, count, memory.ptr);
                    for (phases.of[0]) |d0| for (phases.of[1]) |d1| for (phases.of[2]) |d2| {
                        const phase = [3]Phase{ d0, d1, d2 };
                        const grid = [3]usize{ d0.count, d1.count, d2.count };
                        if (product(grid) == 0) continue;
                        var n: usize = 0;
                        var all_taps: TapIterator = .{ .kernel = .{ d0.taps, d1.taps, d2.taps } };
                        while (all_taps.next()) |t| : (n += 1) {
                            const met = phases.meet(g, phase, t);
                            offsets.image[n] = met.at[0] * plane + met.at[1] * row + met.at[2];
                            offsets.weight[n] = job.weight.at(met.tap);
                        }
                        var images: Images = .{
                            .ptr = if (staged) memory.ptr else @as([*]const T, @ptrCast(@alignCast(gout.ptr))) + first * gout.image,
                            .image = if (staged) g.groups * g.co * layout.channel() else gout.image,
                            .channel = if (staged) layout.channel() else gout.channel,
                            .grid = grid,
                            .step = .{ plane, row, 1 },
                            .taps = offsets.image[0..n],
                            .exact = !staged,
                        };
                        images.merge();
                        try job.window(.{
                            .images = images,
                            .first = first,
                            .count = count,
                            .rows = g.ci,
                            .channels = g.co,
                            .weight_group = g.co * job.weight.o,
                            .weight_row = job.weight.i,
                            .weight_channel = job.weight.o,
                            .weight_taps = offsets.weight[0..n],
                            .grid = grid,
                            .size = g.in,
                            .origin = .{ d0.origin, d1.origin, d2.origin },
                            .step = g.stride,
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
                weight_group: usize,
                weight_row: usize,
                weight_channel: usize,
                weight_taps: []const usize,
                /// Where position p of the grid is in the result: origin + p * step, of `size`.
                grid: [3]usize,
                size: [3]usize,
                origin: [3]usize,
                step: [3]usize,
            };

            const Groups = struct { job: *const Job, w: *const Window, sum: ?[*]T };

            fn window(job: *const Job, w: Window) Failure!void {
                const whole = product(w.step) == 1;
                const direct = whole and job.dtype == native;
                const columns = w.count * product(w.grid);
                const sum = try allocSlice(if (direct) 0 else job.g.groups * w.rows * columns);
                defer services.free(@ptrCast(sum.ptr));
                const ctx: Groups = .{ .job = job, .w = &w, .sum = if (direct) null else sum.ptr };
                const flops = 2 * w.rows * columns * w.channels * @max(1, w.weight_taps.len);
                // Large groups one after the other, each by all threads.
                if (flops > 4 * gemm.piece_flops) return runGroups(&ctx, 0, job.g.groups);
                services.parallelFor(job.g.groups, gemm.grain(gemm.piece_flops, flops), ctx, runGroups);
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
                    const out = job.out + at * job.dtype.size();
                    const sum: ?[*]T = if (ctx.sum) |s| s + group * w.rows * columns else null;
                    var finish: Finish = .{
                        .sum = sum,
                        .stride = columns,
                        .bias = job.bias[group * w.rows ..][0..w.rows],
                        .out = out,
                        .dtype = job.dtype,
                        .image = all_rows * size,
                        .channel = size,
                        .grid = w.grid,
                        .step = .{ w.step[0] * w.size[1] * w.size[2], w.step[1] * w.size[2], w.step[2] },
                    };
                    if (product(w.step) == 1) finish.grid = .{ 1, 1, size };
                    const rows: WeightRows = .{
                        .ptr = job.weight.ptr + group * w.weight_group,
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
                        .ptr = @ptrCast(@alignCast(out)),
                        .rs = size,
                        .group = size,
                        .group_stride = all_rows * size,
                    };
                    G.run(&.{
                        .m = w.rows,
                        .n = columns,
                        .k = w.channels * w.weight_taps.len,
                        .a = .{ .ctx = &rows, .pack = WeightRows.packA },
                        .b = .{ .ctx = &images, .pack = Images.packColumns },
                        .c = target,
                        .epilogue = if (sum != null or g.has_bias) .{ .ctx = &finish, .run = Finish.run } else null,
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
            return t.dtype != native or (t.step[2] != 1 and t.size[2] != 1) or g.stride[2] != 1 or
                g.padding[0] != 0 or g.padding[1] != 0 or g.padding[2] != 0;
        }

        const Taps = struct { image: []usize, weight: []usize };
        /// Both lists in one allocation, that of `image`.
        fn allocTaps(n: usize) Failure!Taps {
            const both = services.allocSlice(usize, 2 * n) orelse return error.OutOfMemory;
            return .{ .image = both[0..n], .weight = both[n..] };
        }

        // --- The gradient of the weights ------------------------------------------------------

        fn gradWeight(g: *const Geometry, gout: Tensor, x: Tensor, out: [*]u8, d: DType, call: *Call) Failure!void {
            const layout = g.inputLayout();
            const n_taps = g.taps();
            const slab = g.slab();
            const stages_x = needsStage(x, g);
            const stages_g = gout.dtype != native or (gout.step[2] != 1 and gout.size[2] != 1);
            const g_layout: Layout = .{ .left = @splat(0), .size = g.out };
            const x_size = if (stages_x) slab * g.groups * g.ci * layout.channel() + conv_image.slack else 0;
            const g_size = if (stages_g) slab * g.groups * g.co * g_layout.channel() + conv_image.slack else 0;
            const numel = g.groups * g.co * g.ci * n_taps;
            const memory = try allocSlice(x_size + g_size + if (d == native) 0 else numel);
            defer services.free(@ptrCast(memory.ptr));
            const sum: [*]T = if (d == native) @ptrCast(@alignCast(out)) else memory.ptr + x_size + g_size;

            const offsets = try allocTaps(n_taps);
            defer services.free(@ptrCast(offsets.image.ptr));
            const row = if (stages_x) layout.row() else x.step[1];
            const plane = if (stages_x) layout.size[1] * row else x.step[0];
            var all_taps: TapIterator = .{ .kernel = g.kernel };
            var i: usize = 0;
            while (all_taps.next()) |t| : (i += 1) {
                const c = t[2] * g.dilation[2];
                offsets.image[i] = t[0] * g.dilation[0] * plane + t[1] * g.dilation[1] * row +
                    if (stages_x) layout.column(c) else c;
            }
            var first: usize = 0;
            while (first < g.images) : (first += slab) {
                const count = @min(slab, g.images - first);
                if (stages_x) Images.stage(x, layout, g.groups * g.ci, first, count, memory.ptr);
                if (stages_g) Images.stage(gout, g_layout, g.groups * g.co, first, count, memory.ptr + x_size);
                var slabs: Slab = .{
                    .g = g,
                    .call = call,
                    .sum = sum,
                    .adds = first > 0,
                    .steps = count * product(g.out),
                    .x = .{
                        .ptr = if (stages_x) memory.ptr else @as([*]const T, @ptrCast(@alignCast(x.ptr))) + first * x.image,
                        .image = if (stages_x) g.groups * g.ci * layout.channel() else x.image,
                        .channel = if (stages_x) layout.channel() else x.channel,
                        .grid = g.out,
                        .step = .{ g.stride[0] * plane, g.stride[1] * row, 1 },
                        .taps = offsets.image,
                        .exact = !stages_x,
                    },
                    .gout = .{
                        .ptr = if (stages_g) memory.ptr + x_size else @as([*]const T, @ptrCast(@alignCast(gout.ptr))) + first * gout.image,
                        .image = if (stages_g) g.groups * g.co * g_layout.channel() else gout.image,
                        .channel = if (stages_g) g_layout.channel() else gout.channel,
                        .grid = g.out,
                        .step = if (stages_g)
                            .{ g.out[1] * g.out[2], g.out[2], 1 }
                        else
                            .{ gout.step[0], gout.step[1], 1 },
                        .taps = &.{0},
                        .exact = !stages_g,
                    },
                };
                slabs.x.merge();
                slabs.gout.merge();
                const flops = 2 * g.co * g.ci * n_taps * slabs.steps;
                if (flops > 4 * gemm.piece_flops) {
                    slabGroups(&slabs, 0, g.groups);
                } else services.parallelFor(g.groups, gemm.grain(gemm.piece_flops, flops), slabs, slabGroups);
            }
            if (d != native) pack.store(T, d, out, sum, numel);
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
