//! Convolutions with one input channel a group: no matrix product worth the name, so each
//! plane is staged and the window slides over it, vectors along the output's rows.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const conv_geometry = @import("conv_geometry.zig");
const conv_image = @import("conv_image.zig");
const Geometry = conv_geometry.Geometry;
const Phases = conv_geometry.Phases;
const TapIterator = conv_geometry.TapIterator;
const product = conv_geometry.product;
const Tensor = conv_image.Tensor;
const Layout = conv_image.Layout;

pub fn Depthwise(comptime T: type) type {
    return struct {
        const Images = conv_image.Images(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        const Failure = error{OutOfMemory};
        /// Vectors of a row in a tile of several: where there are registers, enough chains to hide an addition's latency.
        const beside = if (builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx512f)) 2 else 1;

        /// w[o, tap] of all output channels.
        pub const Weight = struct {
            ptr: [*]const T,
            o: usize,
            step: [3]usize,

            pub fn at(w: Weight, o: usize, t: [3]usize) T {
                return w.ptr[o * w.o + t[0] * w.step[0] + t[1] * w.step[1] + t[2] * w.step[2]];
            }
        };

        const Job = struct {
            g: *const Geometry,
            image: Tensor,
            weight: Weight,
            bias: []const T,
            out: [*]T,
            phases: ?*const Phases,
            failed: *std.atomic.Value(bool),
        };

        pub fn forward(
            g: *const Geometry,
            x: Tensor,
            w: Weight,
            bias: []const T,
            out: [*]T,
        ) Failure!void {
            var failed: std.atomic.Value(bool) = .init(false);
            const job: Job = .{
                .g = g,
                .image = x,
                .weight = w,
                .bias = bias,
                .out = out,
                .phases = null,
                .failed = &failed,
            };
            const flops = 8 * g.co * g.taps() * product(g.out); // far from the peak
            services.parallelFor(
                g.images * g.groups,
                gemm.grain(gemm.piece_flops, flops),
                job,
                forwardPlanes,
            );
            if (failed.load(.monotonic)) return error.OutOfMemory;
        }

        fn forwardPlanes(job: *const Job, begin: usize, end: usize) void {
            forwardPlanesOf(job, begin, end) catch job.failed.store(true, .monotonic);
        }

        fn forwardPlanesOf(job: *const Job, begin: usize, end: usize) Failure!void {
            const g = job.g;
            const layout = g.inputLayout();
            const planes: Planes = try .init(job, layout, 1);
            defer planes.deinit();
            const window: Window = try .init(g.taps());
            defer window.deinit();
            var all_taps: TapIterator = .{ .kernel = g.kernel };
            var n: usize = 0;
            while (all_taps.next()) |t| : (n += 1) window.offset[n] = tapOffset(layout, g, t);
            for (begin..end) |item| {
                const image = item / g.groups;
                const group = item % g.groups;
                const plane = planes.take(begin, item, end);
                for (group * g.co..(group + 1) * g.co) |o| {
                    all_taps = .{ .kernel = g.kernel };
                    n = 0;
                    while (all_taps.next()) |t| : (n += 1) window.weight[n] = job.weight.at(o, t);
                    const at = (image * g.groups * g.co + o) * product(g.out);
                    slide(.{
                        .src = plane,
                        .step = .{ g.stride[0] * layout.size[1] * layout.row(), g.stride[1] * layout.row() },
                        .window = window,
                        .count = n,
                        .grid = g.out,
                        .bias = job.bias[o],
                        .out = job.out + at,
                        .out_step = .{ g.out[1] * g.out[2], g.out[2], 1 },
                        .kernel = g.kernel[1..3].*,
                    });
                }
            }
        }

        pub fn gradInput(
            g: *const Geometry,
            gout: Tensor,
            w: Weight,
            bias: []const T,
            out: [*]T,
        ) Failure!void {
            const phases: Phases = try .init(g);
            defer phases.deinit();
            var failed: std.atomic.Value(bool) = .init(false);
            const job: Job = .{
                .g = g,
                .image = gout,
                .weight = w,
                .bias = bias,
                .out = out,
                .phases = &phases,
                .failed = &failed,
            };
            const flops = 8 * g.co * g.taps() * product(g.out);
            services.parallelFor(
                g.images * g.groups,
                gemm.grain(gemm.piece_flops, flops),
                job,
                gradPlanes,
            );
            if (failed.load(.monotonic)) return error.OutOfMemory;
        }

        fn gradPlanes(job: *const Job, begin: usize, end: usize) void {
            gradPlanesOf(job, begin, end) catch job.failed.store(true, .monotonic);
        }

        /// A phase: its taps from number `first` on, in the window of all phases.
        const PhaseGrid = struct {
            grid: [3]usize,
            origin: [3]usize,
            kernel: [2]usize,
            first: usize,
            count: usize,
        };

        fn gradPlanesOf(job: *const Job, begin: usize, end: usize) Failure!void {
            const g = job.g;
            const w = job.weight;
            const phases = job.phases.?;
            const layout = phases.layout;
            const planes: Planes = try .init(job, layout, g.co);
            defer planes.deinit();
            const n_taps = g.co * g.taps();
            const window: Window = try .init(n_taps);
            defer window.deinit();
            const of = services.allocSlice(PhaseGrid, product(g.stride)) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(of.ptr));
            const weight_at = services.allocSlice(usize, n_taps) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(weight_at.ptr));
            const grids = of[0..gather(job, window.offset, weight_at, of)];
            for (begin..end) |item| {
                const group = item % g.groups;
                const plane = planes.take(begin, item, end);
                for (window.weight, weight_at) |*to, at| to.* = w.ptr[group * g.co * w.o + at];
                const out = job.out + item * product(g.in);
                for (grids) |p| {
                    const at = (p.origin[0] * g.in[1] + p.origin[1]) * g.in[2] + p.origin[2];
                    slide(.{
                        .src = plane,
                        .step = .{ layout.size[1] * layout.row(), layout.row() },
                        .window = .{ .offset = window.offset[p.first..], .weight = window.weight[p.first..] },
                        .count = p.count,
                        .grid = p.grid,
                        .bias = job.bias[group],
                        .out = out + at,
                        .out_step = .{
                            g.stride[0] * g.in[1] * g.in[2],
                            g.stride[1] * g.in[2],
                            g.stride[2],
                        },
                        .kernel = p.kernel,
                    });
                }
            }
        }

        /// The phases with any positions, and where their taps are; gives back how many.
        fn gather(job: *const Job, offset: []usize, weight_at: []usize, of: []PhaseGrid) usize {
            const g = job.g;
            const w = job.weight;
            const phases = job.phases.?;
            const layout = phases.layout;
            var n: usize = 0;
            var count: usize = 0;
            for (phases.of[0]) |d0| for (phases.of[1]) |d1| for (phases.of[2]) |d2| {
                const grid = [3]usize{ d0.count, d1.count, d2.count };
                if (product(grid) == 0) continue;
                const first = n;
                for (0..g.co) |o| {
                    var all_taps: TapIterator = .{ .kernel = .{ d0.taps, d1.taps, d2.taps } };
                    while (all_taps.next()) |t| : (n += 1) {
                        const met = phases.meet(g, .{ d0, d1, d2 }, t);
                        const row = met.at[0] * layout.size[1] + met.at[1];
                        offset[n] = o * layout.channel() + row * layout.row() + met.at[2];
                        weight_at[n] = o * w.o + met.tap[0] * w.step[0] + met.tap[1] * w.step[1] + met.tap[2] * w.step[2];
                    }
                }
                of[count] = .{
                    .grid = grid,
                    .origin = .{ d0.origin, d1.origin, d2.origin },
                    .kernel = .{ d1.taps, d2.taps },
                    .first = first,
                    .count = n - first,
                };
                count += 1;
            };
            return count;
        }

        fn allocSlice(n: usize) Failure![]align(64) T {
            return services.allocSlice(T, n) orelse error.OutOfMemory;
        }

        fn tapOffset(layout: Layout, g: *const Geometry, t: [3]usize) usize {
            const row = t[0] * g.dilation[0] * layout.size[1] + t[1] * g.dilation[1];
            return row * layout.row() + layout.column(t[2] * g.dilation[2]);
        }

        /// Between what is zero already.
        fn stage(t: Tensor, layout: Layout, image: usize, channel: usize, dst: [*]T) void {
            const at = image * t.image + channel * t.channel;
            Images.stageChannel(t, layout, t.ptr + at * t.dtype.size(), dst, null);
        }

        /// Copies of a group's planes and, of small ones, of those of the next, which are made before the first are
        /// read: what was just written is slow to read askew.
        const Planes = struct {
            job: *const Job,
            layout: Layout,
            /// Of a group.
            count: usize,
            size: usize,
            memory: []align(64) T,
            const small = 2048;

            fn init(job: *const Job, layout: Layout, count: usize) Failure!Planes {
                const size = count * layout.channel() + conv_image.slack;
                const memory = try allocSlice(2 * size);
                @memset(memory, 0);
                return .{ .job = job, .layout = layout, .count = count, .size = size, .memory = memory };
            }
            fn deinit(p: Planes) void {
                services.free(@ptrCast(p.memory.ptr));
            }

            /// Those of an item of begin .. end, which are asked for in order.
            fn take(p: *const Planes, begin: usize, item: usize, end: usize) [*]const T {
                if (item == begin or p.size > small) p.load(item);
                if (item + 1 < end and p.size <= small) p.load(item + 1);
                return p.memory.ptr + item % 2 * p.size;
            }
            noinline fn load(p: *const Planes, item: usize) void {
                const groups = p.job.g.groups;
                const to = p.memory.ptr + item % 2 * p.size;
                for (0..p.count) |o| {
                    const channel = item % groups * p.count + o;
                    stage(p.job.image, p.layout, item / groups, channel, to + o * p.layout.channel());
                }
            }
        };

        const Window = struct {
            offset: []usize,
            weight: []T,

            fn init(n: usize) Failure!Window {
                const offset = services.allocSlice(usize, n) orelse return error.OutOfMemory;
                errdefer services.free(@ptrCast(offset.ptr));
                return .{ .offset = offset, .weight = try allocSlice(n) };
            }
            fn deinit(w: Window) void {
                services.free(@ptrCast(w.offset.ptr));
                services.free(@ptrCast(w.weight.ptr));
            }
        };

        const Slide = struct {
            src: [*]const T,
            /// From a position to the next in the first two dimensions.
            step: [2]usize,
            window: Window,
            count: usize,
            grid: [3]usize,
            bias: T,
            out: [*]T,
            out_step: [3]usize,
            /// Taps that lie in a plane: rows and columns of them.
            kernel: [2]usize,

            /// Whether the taps of a column lie where outputs of a column do: up or down.
            fn direction(s: *const Slide) enum { none, down, up } {
                if (s.count != s.kernel[0] * s.kernel[1] or s.kernel[0] < 2 or s.count == 0) return .none;
                const first = s.window.offset[0];
                const next = s.window.offset[s.kernel[1]];
                if (next == first + s.step[1]) return .down;
                return if (first == next + s.step[1]) .up else .none;
            }
        };

        /// out[p] = bias + the chain over the taps, for every position: vectors of 7 neighbouring rows at a
        /// time (images are often 7 times something high), or 8 of one; the last vector of a row overlaps the one before.
        fn slide(s: Slide) void {
            if (s.grid[1] > 1) slideAll(7, beside, &s) else slideAll(1, 8, &s);
        }

        fn slideAll(comptime rows: usize, comptime n: usize, s: *const Slide) void {
            const by_columns = simd.has_fma and rows > 1; // elsewhere not worth the code
            const shared = by_columns and s.grid[1] >= rows and s.direction() != .none;
            for (0..s.grid[0]) |p0| {
                var p1: usize = 0;
                while (p1 < s.grid[1]) : (p1 += rows) {
                    if (by_columns) {
                        const first = @min(p1, s.grid[1] -| rows);
                        if (shared and s.kernel[0] == 3) {
                            slideColumns(3, rows, n, s, p0, first);
                            continue;
                        } else if (shared and s.kernel[0] == 5) {
                            slideColumns(5, rows, n, s, p0, first);
                            continue;
                        } else if (T == f32 and n > 1 and shared and s.kernel[0] == 7) {
                            slideColumns(7, rows, n, s, p0, first);
                            continue;
                        }
                    }
                    slideRows(rows, n, s, p0, p1, if (T == f32 and shared and s.kernel[0] == 7) .ofColumns(s) else .{ .steps = .{ s.count, 1 }, .counts = .{ 1, s.count } });
                }
            }
        }

        /// Taps by columns: what is read of a row serves all outputs that it meets.
        fn slideColumns(comptime taps: usize, comptime rows: usize, comptime n: usize, s: *const Slide, p0: usize, p1: usize) void {
            const src = s.src + p0 * s.step[0] + p1 * s.step[1];
            const columns = s.kernel[1];
            const up = s.direction() == .up;
            const last = s.grid[2] -| W;
            var p2: usize = 0;
            while (p2 < s.grid[2]) : (p2 += n * W) {
                const x = columnsFrom(n, p2, last);
                var acc: [rows][n]V = @splat(@splat(@splat(0)));
                for (0..columns) |column| {
                    var w: [taps]V = undefined;
                    inline for (0..taps) |t| {
                        const tap = if (up) taps - 1 - t else t;
                        w[t] = @splat(s.window.weight[tap * columns + column]);
                    }
                    const from = src + s.window.offset[if (up) (taps - 1) * columns + column else column];
                    inline for (0..rows + taps - 1) |i| inline for (0..n) |j| {
                        const xv = simd.load(T, from + i * s.step[1] + x[j]);
                        inline for (0..rows) |r| if (comptime i >= r and i - r < taps) {
                            acc[r][j] = simd.fma(V, w[i - r], xv, acc[r][j]);
                        };
                        // The compiler would read all rows first, for which there are no registers.
                        if (j + 1 == n) asm volatile ("" ::: .{ .memory = true });
                    };
                }
                finish(rows, n, s, p0, p1, rows, x, &acc);
            }
        }

        /// Where vectors begin from column `first` on, the last one at `last`.
        inline fn columnsFrom(comptime n: usize, first: usize, last: usize) [n]usize {
            var x: [n]usize = undefined;
            inline for (&x, 0..) |*at, k| at.* = @min(first + k * W, last);
            return x;
        }

        inline fn finish(
            comptime rows: usize,
            comptime n: usize,
            s: *const Slide,
            p0: usize,
            p1: usize,
            count: usize,
            x: [n]usize,
            acc: *const [rows][n]V,
        ) void {
            const b: V = @splat(s.bias);
            const whole = s.out_step[2] == 1 and s.grid[2] >= W;
            var sums: [rows][n]V = undefined;
            inline for (0..rows) |r| inline for (0..n) |j| {
                sums[r][j] = acc[r][j] + b;
            };
            for (sums[0..count], p1..) |row, r| {
                const to = p0 * s.out_step[0] + r * s.out_step[1];
                for (row, x) |sum, column| {
                    if (whole) {
                        simd.store(T, s.out + to + column, sum);
                    } else putPart(s, to + column * s.out_step[2], &@as([W]T, sum));
                }
            }
        }

        noinline fn putPart(s: *const Slide, at: usize, values: *const [W]T) void {
            const to = s.out + at;
            for (values[0..@min(W, s.grid[2])], 0..) |v, i| to[i * s.out_step[2]] = v;
        }

        /// In which order the taps are added: those of a column one after the other, or as they lie.
        const Order = struct {
            first: usize = 0,
            counts: [2]usize,
            steps: [2]usize,

            /// As slideColumns does, for which there may be too few registers.
            fn ofColumns(s: *const Slide) Order {
                const rows, const columns = s.kernel;
                const up = s.direction() == .up;
                return .{
                    .first = if (up) (rows - 1) * columns else 0,
                    .counts = .{ columns, rows },
                    .steps = .{ 1, if (up) 0 -% columns else columns },
                };
            }
        };

        fn slideRows(comptime rows: usize, comptime n: usize, s: *const Slide, p0: usize, p1: usize, order: Order) void {
            const count = @min(rows, s.grid[1] - p1);
            var src: [rows][*]const T = undefined;
            for (&src, 0..) |*row, r| {
                row.* = s.src + p0 * s.step[0] + (p1 + @min(r, count - 1)) * s.step[1];
            }
            const last = s.grid[2] -| W;
            var p2: usize = 0;
            while (p2 < s.grid[2]) : (p2 += n * W) {
                const x = columnsFrom(n, p2, last);
                var acc: [rows][n]V = @splat(@splat(@splat(0)));
                for (0..order.counts[0]) |i| for (0..order.counts[1]) |k| {
                    const tap = order.first +% i * order.steps[0] +% k *% order.steps[1];
                    const offset = s.window.offset[tap];
                    const w: V = @splat(s.window.weight[tap]);
                    inline for (0..rows) |r| inline for (0..n) |j| {
                        acc[r][j] = simd.fma(V, w, simd.load(T, src[r] + offset + x[j]), acc[r][j]);
                    };
                };
                finish(rows, n, s, p0, p1, count, x, &acc);
            }
        }

        // --- The gradient of the weights ---------------------------------------------------------

        const Grad = struct {
            g: *const Geometry,
            gout: Tensor,
            x: Tensor,
            out: [*]T,
            failed: *std.atomic.Value(bool),
        };

        /// Lane l of a tap's sum takes the columns l modulo `lanes` of every row of gout in
        /// order, image after image; the lanes are added by halves.
        pub fn gradWeight(
            g: *const Geometry,
            gout: Tensor,
            x: Tensor,
            out: [*]T,
        ) Failure!void {
            var failed: std.atomic.Value(bool) = .init(false);
            const job: Grad = .{
                .g = g,
                .gout = gout,
                .x = x,
                .out = out,
                .failed = &failed,
            };
            const flops = 8 * g.co * g.taps() * product(g.out) * g.images;
            services.parallelFor(g.groups, gemm.grain(gemm.piece_flops, flops), job, gradWeights);
            if (failed.load(.monotonic)) return error.OutOfMemory;
        }

        fn gradWeights(job: *const Grad, begin: usize, end: usize) void {
            gradWeightsOf(job, begin, end) catch job.failed.store(true, .monotonic);
        }

        fn gradWeightsOf(job: *const Grad, begin: usize, end: usize) Failure!void {
            const g = job.g;
            const n_taps = g.taps();
            const layout = g.inputLayout();
            const g_layout: Layout = .{ .left = @splat(0), .size = g.out };
            const memory = try allocSlice(
                layout.channel() + g_layout.channel() + 2 * conv_image.slack,
            );
            defer services.free(@ptrCast(memory.ptr));
            @memset(memory, 0);
            const x = memory.ptr;
            const gout = memory.ptr + layout.channel() + conv_image.slack;
            const sums = try allocSlice(g.co * n_taps * W);
            defer services.free(@ptrCast(sums.ptr));
            const window: Window = try .init(n_taps);
            defer window.deinit();
            var all_taps: TapIterator = .{ .kernel = g.kernel };
            var n: usize = 0;
            while (all_taps.next()) |t| : (n += 1) window.offset[n] = tapOffset(layout, g, t);
            for (begin..end) |group| {
                @memset(sums, 0);
                for (0..g.images) |image| {
                    stage(job.x, layout, image, group, x);
                    for (0..g.co) |o| {
                        stage(job.gout, g_layout, image, group * g.co + o, gout);
                        const acc = sums.ptr + o * n_taps * W;
                        var t: usize = 0;
                        // 9 = 5 + 4, 25 = 5 * 5: enough at once to hide an addition's latency.
                        while (t < n_taps) {
                            const rest = n_taps - t;
                            const at = window.offset[t..].ptr;
                            if (rest >= 5 and rest != 8) {
                                correlate(5, g, layout, x, gout, at[0..5], acc + t * W);
                                t += 5;
                            } else if (simd.has_fma and rest >= 4) {
                                correlate(4, g, layout, x, gout, at[0..4], acc + t * W);
                                t += 4;
                            } else {
                                correlate(1, g, layout, x, gout, at[0..1], acc + t * W);
                                t += 1;
                            }
                        }
                    }
                }
                for (0..g.co * n_taps) |i| {
                    job.out[group * g.co * n_taps + i] = simd.reduceAdd(simd.load(T, sums.ptr + i * W));
                }
            }
        }

        fn correlate(
            comptime n: usize,
            g: *const Geometry,
            layout: Layout,
            x: [*]const T,
            gout: [*]const T,
            offset: *const [n]usize,
            sums: [*]T,
        ) void {
            var acc: [n]V = undefined;
            inline for (0..n) |i| acc[i] = simd.load(T, sums + i * W);
            const width = g.out[2];
            const rest = width % W;
            const in = simd.iota(W, u8) < @as(@Vector(W, u8), @splat(@intCast(rest)));
            for (0..g.out[0]) |p0| for (0..g.out[1]) |p1| {
                const from = gout + (p0 * g.out[1] + p1) * width;
                const row = x + (p0 * g.stride[0] * layout.size[1] + p1 * g.stride[1]) * layout.row();
                var p2: usize = 0;
                while (p2 + W <= width) : (p2 += W) {
                    const gv = simd.load(T, from + p2);
                    inline for (0..n) |i| acc[i] = simd.fma(V, gv, simd.load(T, row + offset[i] + p2), acc[i]);
                }
                if (rest > 0) {
                    const gv = simd.load(T, from + p2);
                    inline for (0..n) |i| {
                        const sum = simd.fma(V, gv, simd.load(T, row + offset[i] + p2), acc[i]);
                        acc[i] = @select(T, in, sum, acc[i]);
                    }
                }
            };
            inline for (0..n) |i| simd.store(T, sums + i * W, acc[i]);
        }
    };
}
