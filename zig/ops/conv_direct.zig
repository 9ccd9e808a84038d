//! Convolutions whose output rows fill vectors: the window slides over the image in place, and
//! nothing is packed but the weights. A tile is some output channels times two vectors of
//! positions; each step of k = (channel, tap) takes a vector from the image at an offset that is
//! the same for all tiles. Same sums in the same order as the matrix product (chains of 512), and
//! so the same bits.
const std = @import("std");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const pack = @import("gemm_pack.zig");
const conv_image = @import("conv_image.zig");

pub fn Direct(comptime T: type) type {
    return struct {
        /// Float64 is rare: packing serves it.
        pub const available = T == f32 and simd.has_fma;
        const Images = conv_image.Images(T);
        const Problem = conv_image.Problem(T);
        const Micro = gemm_kernel.Kernel(T);
        const vl = Micro.vl;
        const V = @Vector(vl, T);
        const Failure = error{OutOfMemory};
        /// Vectors of positions in a tile, and heights there is code for.
        const vectors = 2;
        const heights = switch (Micro.mr) {
            14 => [_]usize{ 14, 8, 6, 4, 2, 1 },
            8 => [_]usize{ 8, 4, 2, 1 },
            else => [_]usize{ 6, 4, 2, 1 },
        };
        const highest = heights[0];

        /// Whether rows of positions fill most of their vectors, or packing would cost more.
        pub fn fits(images: *const Images, rows: usize) bool {
            const length = images.grid[2];
            if (length < vl and images.exact) return false;
            const padded = (length + vl - 1) / vl * vl;
            return length * 4 >= padded * 3 or (rows <= 64 and 2 * length >= padded) or rows <= 4;
        }

        const Job = struct {
            p: *const Problem,
            /// Of every step of k from a position.
            offsets: []const usize,
            /// Panels of each group, one after the other: [k][height].
            panels: [*]const T,
            /// Vectors of an image, of a row, of all images, and of an item.
            per_image: usize,
            per_row: usize,
            total: usize,
            per_item: usize,
        };

        pub fn run(p: *const Problem) Failure!void {
            const steps = p.steps();
            const offsets = services.allocSlice(usize, steps) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(offsets.ptr));
            for (offsets, 0..) |*o, k| {
                const taps = p.images.taps;
                o.* = k / taps.len * p.images.channel + taps[k % taps.len];
            }
            const panels = services.allocSlice(T, p.groups * p.rows * steps) orelse
                return error.OutOfMemory;
            defer services.free(@ptrCast(panels.ptr));
            const per_row = (p.images.grid[2] + vl - 1) / vl;
            const per_image = p.images.grid[0] * p.images.grid[1] * per_row;
            const flops = 2 * p.rows * @max(1, steps) * vl;
            const total = p.count * per_image;
            const per_item = @max(vectors, @min(total, gemm.piece_flops / flops));
            const job: Job = .{
                .p = p,
                .offsets = offsets,
                .panels = panels.ptr,
                .per_image = per_image,
                .per_row = per_row,
                .total = total,
                .per_item = (per_item + vectors - 1) / vectors * vectors,
            };
            services.parallelFor(p.groups * panelsOfGroup(p), gemm.grain(gemm.piece_packed, highest * steps), job, packPanels);
            const chunks = (total + job.per_item - 1) / job.per_item;
            const grain = gemm.grain(gemm.piece_flops, flops * job.per_item);
            services.parallelFor(chunks * p.groups, grain, job, computeItems);
        }

        /// The next panel's height: some of 8 rather than 14 and a low one, which waits for its
        /// own sums.
        fn height(rest: usize) usize {
            if (highest == 14 and ((rest > 14 and rest < 18) or rest == 24 or rest == 32)) return 8;
            for (heights) |h| if (h <= rest) return h;
            unreachable;
        }

        fn panelsOfGroup(p: *const Problem) usize {
            var n: usize = 0;
            var row: usize = 0;
            while (row < p.rows) : (n += 1) row += height(p.rows - row);
            return n;
        }

        /// Panels of all groups, one after the other.
        fn packPanels(job: *const Job, begin: usize, end: usize) void {
            const p = job.p;
            const steps = p.steps();
            const per_group = panelsOfGroup(p);
            for (begin..end) |item| {
                const group = item / per_group;
                var row: usize = 0;
                for (0..item % per_group) |_| row += height(p.rows - row);
                const h = height(p.rows - row);
                const apart = p.weight_row;
                const from = p.weights + group * p.weight_group + row * apart;
                var to = @constCast(job.panels) + (group * p.rows + row) * steps;
                if (h == Micro.mr and (p.weight_taps.len == 1 or p.hasContiguousSteps())) {
                    const step = if (p.weight_taps.len == 1) p.weight_channel else 1;
                    pack.packPanel(T, Micro.mr, to, from + p.weight_taps[0], apart, step, h, steps);
                } else for (0..p.channels) |c| for (p.weight_taps) |tap| {
                    const src = from + c * p.weight_channel + tap;
                    for (0..h) |i| to[i] = src[i * apart];
                    to += h;
                };
            }
        }

        fn computeItems(job: *const Job, begin: usize, end: usize) void {
            const groups = job.p.groups;
            for (begin..end) |item| {
                const first = item / groups * job.per_item;
                const stop = @min(job.total, first + job.per_item);
                var v = first;
                while (v < stop) : (v += vectors) computeTile(job, item % groups, v, @min(vectors, stop - v));
            }
        }

        const Place = struct { from: [*]const T, to: [*]T };

        fn place(job: *const Job, group: usize, v: usize) Place {
            const p = job.p;
            const s = &p.images;
            const image = v / job.per_image;
            const row = v % job.per_image / job.per_row;
            const x = @min(v % job.per_row * vl, s.grid[2] -| vl);
            const outer = row / s.grid[1];
            const inner = row % s.grid[1];
            const channel = group * p.rows;
            return .{
                .from = s.ptr + image * s.image + group * p.channels * s.channel +
                    outer * s.step[0] + inner * s.step[1] + x,
                .to = p.out + image * p.out_image + channel * p.out_channel +
                    outer * p.out_step[0] + inner * p.out_step[1] + x * p.out_step[2],
            };
        }

        fn computeTile(job: *const Job, group: usize, first: usize, count: usize) void {
            const p = job.p;
            const steps = p.steps();
            var places: [vectors]Place = undefined;
            for (&places, 0..) |*at, i| at.* = place(job, group, first + @min(i, count - 1));
            const from: [vectors][*]const T = .{ places[0].from, places[1].from };
            var sums: [highest * vectors * vl]T align(64) = undefined;
            var panel = job.panels + group * p.rows * steps;
            var row: usize = 0;
            while (row < p.rows) {
                const h = height(p.rows - row);
                var k: usize = 0;
                while (k < steps or k == 0) : (k += p.block()) {
                    const kc = @min(p.block(), steps - k);
                    inline for (comptime gemm_kernel.opsOf(T)) |op| inline for (heights) |known| if (p.op == op and h == known)
                        multiply(op, known, kc, panel + k * h, from, job.offsets.ptr + k, &sums, k > 0);
                }
                const bias = p.bias.ptr + group * p.rows + row;
                for (0..count) |j| for (0..h) |i| {
                    const to = places[j].to + (row + i) * p.out_channel;
                    put(p, to, sums[(i * vectors + j) * vl ..][0..vl].* + @as(V, @splat(bias[i])));
                };
                panel += h * steps;
                row += h;
            }
        }

        inline fn put(p: *const Problem, to: [*]T, sum: V) void {
            const n = @min(vl, p.images.grid[2]);
            if (n == vl and p.out_step[2] == 1) {
                to[0..vl].* = sum;
            } else if (gemm_kernel.masks and n == vl and p.out_step[2] == 2) {
                Images.storeEverySecond(to, sum);
            } else {
                const values: [vl]T = sum;
                for (values[0..n], 0..) |value, i| to[i * p.out_step[2]] = value;
            }
        }

        fn multiply(
            comptime op: gemm_kernel.Op,
            comptime h: usize,
            k: usize,
            a: [*]const T,
            b: [vectors][*]const T,
            offsets: [*]const usize,
            sums: [*]T,
            adds: bool,
        ) void {
            var acc: [h][vectors]V = @splat(@splat(@splat(0)));
            var ap = a;
            for (offsets[0..k]) |offset| {
                var bv: [vectors]V = undefined;
                inline for (0..vectors) |j| bv[j] = b[j][offset..][0..vl].*;
                inline for (0..h) |i| {
                    const av: V = @splat(ap[i]);
                    inline for (0..vectors) |j| acc[i][j] = gemm_kernel.step(op, T, vl, av, bv[j], acc[i][j]);
                }
                ap += h;
            }
            // Additions are a loop: unrolled, they would be as much code as the products.
            var block: [h * vectors * vl]T align(64) = undefined;
            const to: [*]T = if (adds) &block else sums;
            inline for (0..h) |i| inline for (0..vectors) |j| {
                to[(i * vectors + j) * vl ..][0..vl].* = acc[i][j];
            };
            if (adds) pack.addTo(T, vl, sums, &block, h * vectors);
        }
    };
}
