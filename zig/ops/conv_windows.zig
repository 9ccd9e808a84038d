//! conv and conv_grad_input (conv.zig) where no kernel of its own fits: an image under a sliding
//! window, times weights. The window slides over the image in place (conv_across.zig,
//! conv_direct.zig), or a matrix product packs its columns from there.
const services = @import("../services.zig");
const plan = @import("../plan.zig");
const gemm = @import("gemm.zig");
const pack = @import("gemm_pack.zig");
const conv_image = @import("conv_image.zig");
const conv_across = @import("conv_across.zig");
const conv_depthwise = @import("conv_depthwise.zig");
const conv_few = @import("conv_few.zig");
const conv_direct = @import("conv_direct.zig");
const conv_geometry = @import("conv_geometry.zig");
const conv_output = @import("conv_output.zig");
const conv_pairs = @import("conv_pairs.zig");
const conv_scatter = @import("conv_scatter.zig");
const Geometry = conv_geometry.Geometry;
const Phase = conv_geometry.Phase;
const Phases = conv_geometry.Phases;
const TapIterator = conv_geometry.TapIterator;
const product = conv_geometry.product;
const Tensor = conv_image.Tensor;
const Call = plan.Call;

pub fn Windows(comptime T: type) type {
    return struct {
        const G = gemm.Gemm(T);
        const Images = conv_image.Images(T);
        const Problem = conv_image.Problem(T);
        const Across = conv_across.Across(T);
        const Depthwise = conv_depthwise.Depthwise(T);
        const Direct = conv_direct.Direct(T);
        const Source = Images.Source;
        const Output = conv_output.Output(T);
        const Failure = error{OutOfMemory};
        /// Operations from which on a group is shared by all threads.
        pub const large_group = 4 * gemm.piece_flops;
        const short_row = 16;
        const few_positions = 64;

        fn allocSlice(n: usize) Failure![]align(64) T {
            return services.allocSlice(T, n) orelse error.OutOfMemory;
        }

        /// w[o, i, tap].
        pub const Weight = struct {
            ptr: [*]const T,
            /// Strides of o, i and of the taps' three dimensions.
            o: usize,
            i: usize,
            step: [3]usize,

            pub fn from(t: Tensor) Weight {
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
            pub fn view(w: Weight) Depthwise.Weight {
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
                if (w.taps.len == 1) return pack.packPanel(T, mr, dst, from + k0 * w.channel + w.taps[0], w.row, w.channel, count, kc);
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
        pub const Job = struct {
            g: *const Geometry,
            call: *Call,
            out: [*]T,
            bias: []const T,
            weight: Weight,
            elements: conv_pairs.Elements = .numbers,

            pub fn forward(job: *const Job, x: Tensor) Failure!void {
                const g = job.g;
                if (T == f32 and job.elements == .numbers and conv_few.fits(g)) return job.few(x);
                const taps = try allocTaps(g.taps());
                defer services.free(@ptrCast(taps.image.ptr));
                // Short rows, too: a vector may read beyond one that is staged.
                const short = g.out[2] < short_row and g.taps() > 1 and g.co <= 64;
                const across = job.slides() and !job.readsWeightsOnce() and goesAcross(
                    g.co,
                    if (isPlain(g)) product(g.out) else g.out[2],
                    g.stride[2],
                );
                var layout = g.inputLayout();
                if (across) layout.phases = 1;
                const apart = x.step[2] != 1 and g.kernel[2] != 1;
                const staged = if (across) isPadded(g) or apart else short or needsStage(x, g);
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

            /// Few positions (conv_few.zig).
            fn few(job: *const Job, x: Tensor) Failure!void {
                const g = job.g;
                const taps = try allocTaps(g.taps());
                defer services.free(@ptrCast(taps.image.ptr));
                var layout = g.inputLayout();
                layout.phases = 1;
                const staged = isPadded(g) or (x.step[2] != 1 and x.size[2] != 1);
                const source: Source = try .init(x, layout, g.groups * g.ci, g.images, staged);
                defer source.deinit();
                windowTaps(g, &source, taps.image);
                source.load(0, g.images);
                const images = source.images(0, g.out, g.stride[0..2].*, taps.image);
                var copy: ?[]align(64) T = null;
                defer if (copy) |c| services.free(@ptrCast(c.ptr));
                const weights = try job.contiguousWeights(&copy);
                const job_few: conv_few.Few = .{
                    .g = g,
                    .images = &images,
                    .column = g.stride[2],
                    .weights = weights,
                    .bias = job.bias,
                    .out = job.out,
                };
                return job_few.run();
            }

            /// The weights as (groups * co, ci, *kernel) without gaps, where they are or copied.
            fn contiguousWeights(job: *const Job, copy: *?[]align(64) T) Failure![*]const T {
                const g = job.g;
                const w = job.weight;
                const outputs = g.groups * g.co;
                const kernel = g.kernel;
                const size = g.ci * g.taps();
                const steps = [5]usize{ w.o, w.i, w.step[0], w.step[1], w.step[2] };
                const wanted = [5]usize{ size, g.taps(), kernel[1] * kernel[2], kernel[2], 1 };
                const sizes = [5]usize{ outputs, g.ci, kernel[0], kernel[1], kernel[2] };
                for (steps, wanted, sizes) |step, want, n| if (n > 1 and step != want) {
                    const memory = try allocSlice(outputs * size);
                    copy.* = memory;
                    const tensor: Tensor = .{
                        .ptr = @ptrCast(w.ptr),
                        .dtype = if (T == f32) .float32 else .float64,
                        .image = w.o,
                        .channel = w.i,
                        .step = w.step,
                        .size = kernel,
                    };
                    Images.stage(tensor, .{ .left = @splat(0), .size = kernel }, g.ci, 0, outputs, memory.ptr);
                    return memory.ptr;
                };
                return w.ptr;
            }

            /// Elements of gx with the same remainder of (position + padding) modulo the stride
            /// meet the same taps: each such phase is a convolution of gout with stride 1.
            pub fn gradInput(job: *const Job, gout: Tensor) Failure!void {
                const g = job.g;
                if (T == f32 and Across.available and job.elements == .numbers and conv_scatter.fits(g)) return job.scatter(gout);
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
                    if (phases.areIncomplete()) {
                        const plane = product(g.in);
                        Output.fillBias(job.bias, plane, count, job.out + first * job.bias.len * plane);
                    }
                    for (phases.of[0]) |d0| for (phases.of[1]) |d1| for (phases.of[2]) |d2| {
                        const phase = [3]Phase{ d0, d1, d2 };
                        const grid = [3]usize{ d0.count, d1.count, d2.count };
                        if (product(grid) * d0.taps * d1.taps * d2.taps == 0) continue;
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
                            .across = job.slides() and goesAcross(g.ci, if (plain) product(grid) else grid[2], 1),
                            .column = if (staged) 1 else gout.step[2],
                        });
                    };
                }
            }

            /// Whether there are so few positions that packing the weights would cost as much as the
            /// product, which can read them in place.
            fn readsWeightsOnce(job: *const Job) bool {
                const g = job.g;
                if (g.images * product(g.out) > few_positions) return false;
                const wanted = [3]usize{ g.kernel[1] * g.kernel[2], g.kernel[2], 1 };
                for (g.kernel, job.weight.step, wanted) |n, step, want| if (n > 1 and step != want) return false;
                return job.weight.i == g.taps();
            }

            /// Few positions, the other way (conv_scatter.zig).
            fn scatter(job: *const Job, gout: Tensor) Failure!void {
                var copy: ?[]align(64) T = null;
                defer if (copy) |c| services.free(@ptrCast(c.ptr));
                const scattered: conv_scatter.Scatter = .{
                    .g = job.g,
                    .call = job.call,
                    .gout = gout,
                    .weights = try job.contiguousWeights(&copy),
                    .bias = job.bias,
                    .out = job.out,
                };
                return scattered.run();
            }

            /// Whether there is code that slides over the image in place.
            fn slides(job: *const Job) bool {
                return job.elements != .expanded;
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
                if (Across.available and w.across) {
                    var merged = job.problem(images, &w);
                    merged.images.grid = w.grid;
                    return Across.run(&merged);
                }
                if (Direct.available and job.slides() and Direct.fits(&images, w.rows)) return Direct.run(&job.problem(images, &w));
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

            /// For the kernels that slide over `images` in place.
            fn problem(job: *const Job, images: Images, w: *const Window) Problem {
                const g = job.g;
                const size = product(w.size);
                const origin = (w.origin[0] * w.size[1] + w.origin[1]) * w.size[2] + w.origin[2];
                return .{
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
                    .op = if (job.elements == .words) .dot else .multiply_add,
                    .out = job.out + w.first * g.groups * w.rows * size + origin,
                    .out_image = g.groups * w.rows * size,
                    .out_channel = size,
                    .out_step = .{
                        w.step[0] * w.size[1] * w.size[2],
                        w.step[1] * w.size[2],
                        w.step[2],
                    },
                };
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
                    conv_pairs.multiply(T, job.elements, .{
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
        pub fn needsStage(t: Tensor, g: *const Geometry) bool {
            return (t.step[2] != 1 and t.size[2] != 1) or g.stride[2] != 1 or
                isPadded(g);
        }
        /// 1x1: a matrix product of the image as it is.
        fn isPlain(g: *const Geometry) bool {
            return g.taps() == 1 and product(g.stride) == 1 and !isPadded(g);
        }
        pub fn isPadded(g: *const Geometry) bool {
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

        pub const Taps = struct { image: []usize, weight: []usize };
        /// Both lists in one allocation, that of `image`.
        pub fn allocTaps(n: usize) Failure!Taps {
            const both = services.allocSlice(usize, 2 * n) orelse return error.OutOfMemory;
            return .{ .image = both[0..n], .weight = both[n..] };
        }

        /// Where the taps of x lie from a position's first one.
        pub fn windowTaps(g: *const Geometry, x: *const Source, to: []usize) void {
            var all_taps: TapIterator = .{ .kernel = g.kernel };
            for (to) |*offset| {
                const t = all_taps.next().?;
                var at: [3]usize = undefined;
                for (0..3) |d| at[d] = t[d] * g.dilation[d];
                offset.* = x.at(at);
            }
        }
    };
}
