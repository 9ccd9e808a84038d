//! Convolutions whose output rows are no good vectors (short, or strided in the image): vectors
//! go across output channels instead. A tile is some positions, wherever they lie, times one or two vectors of
//! channels; each step of k = (channel, tap) takes one element of the image for each position, at
//! an offset that is the same for all, and the weights' vectors. Sums of a chunk of positions are
//! turned when they are done. Same sums in the same order as the matrix product (chains of 512),
//! and so the same bits.
const std = @import("std");
const builtin = @import("builtin");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const pack = @import("gemm_pack.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const conv_image = @import("conv_image.zig");
const kc_max = gemm_kernel.kc_max;

pub fn Across(comptime T: type) type {
    return struct {
        /// Written for x86's registers: one or two vectors of channels, which a square covers.
        pub const available = T == f32 and builtin.cpu.arch == .x86_64 and simd.has_fma;
        const Images = conv_image.Images(T);
        const Problem = conv_image.Problem(T);
        const Micro = gemm_kernel.Kernel(T);
        const vl = Micro.vl;
        const nr = Micro.nr;
        const height = Micro.mr;
        const V = @Vector(vl, T);
        /// Positions whose sums are turned together, in squares.
        const chunk = 112 / height * height;
        const square = 16;
        const Square = [square]@Vector(square, T);
        const Failure = error{OutOfMemory};

        /// Channels with those that fill the last vector.
        fn padded(p: *const Problem) usize {
            return (p.rows + vl - 1) / vl * vl;
        }
        fn total(p: *const Problem) usize {
            return p.count * p.images.positions();
        }
        /// The place of position number q of an image, its steps being `step`.
        fn place(p: *const Problem, q: usize, step: [3]usize) usize {
            const grid = p.images.grid;
            const row = q / grid[2];
            return row / grid[1] * step[0] + row % grid[1] * step[1] + q % grid[2] * step[2];
        }

        const Job = struct {
            p: *const Problem,
            /// Of every step of k from a position.
            offsets: []const usize,
            /// Of each group and block of at most nr channels: [k][width].
            panels: [*]const T,
        };

        pub fn run(p: *const Problem) Failure!void {
            const steps = p.steps();
            const offsets = services.allocSlice(usize, steps) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(offsets.ptr));
            for (offsets, 0..) |*o, k| {
                const taps = p.images.taps;
                o.* = k / taps.len * p.images.channel + taps[k % taps.len];
            }
            const panels = services.allocSlice(T, p.groups * padded(p) * steps) orelse
                return error.OutOfMemory;
            defer services.free(@ptrCast(panels.ptr));
            const job: Job = .{ .p = p, .offsets = offsets, .panels = panels.ptr };
            const vectors = p.groups * padded(p) / vl;
            services.parallelFor(vectors, gemm.grain(gemm.piece_packed, vl * steps), job, packVectors);
            const chunks = (total(p) + chunk - 1) / chunk;
            const flops = 2 * p.rows * @max(1, steps) * @min(chunk, total(p));
            services.parallelFor(chunks * p.groups, gemm.grain(gemm.piece_flops, flops), job, computeItems);
        }

        /// Channels of the block that begins at `row`: one or two vectors.
        fn width(p: *const Problem, row: usize) usize {
            return @min(nr, padded(p) - row);
        }

        fn packVectors(job: *const Job, begin: usize, end: usize) void {
            const p = job.p;
            const steps = p.steps();
            const taps = p.weight_taps;
            const per_group = padded(p) / vl;
            for (begin..end) |item| {
                const row = item % per_group * vl;
                const group = item / per_group;
                const block = row / nr * nr;
                const step = width(p, block);
                var to = @constCast(job.panels) + (group * padded(p) + block) * steps + row - block;
                var rows: [vl][*]const T = undefined;
                for (&rows, row..) |*from, r|
                    from.* = p.weights + group * p.weight_group + @min(r, p.rows - 1) * p.weight_row;
                for (0..p.channels) |c| for (taps) |tap| {
                    const at = c * p.weight_channel + tap;
                    var values: [vl]T = undefined;
                    for (&values, rows) |*v, from| v.* = from[at];
                    to[0..vl].* = values;
                    to += step;
                };
            }
        }

        fn computeItems(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |item| compute(job, item % job.p.groups, item / job.p.groups * chunk);
        }

        /// Positions first .. first + chunk of all images, all channels of a group.
        fn compute(job: *const Job, group: usize, first: usize) void {
            const p = job.p;
            const s = &p.images;
            const steps = p.steps();
            const count = @min(chunk, total(p) - first);
            const size = s.positions();
            var from: [chunk][*]const T = undefined;
            const own = s.ptr + group * p.channels * s.channel;
            for (&from, 0..) |*at, i| {
                const q = first + @min(i, count - 1);
                at.* = own + q / size * s.image + place(p, q % size, .{ s.step[0], s.step[1], p.column });
            }
            var sums: [chunk * nr]T align(64) = undefined;
            var row: usize = 0;
            while (row < p.rows) : (row += nr) {
                const w = width(p, row);
                const panel = job.panels + (group * padded(p) + row) * steps;
                var k: usize = 0;
                while (k < steps or k == 0) : (k += kc_max) {
                    const kc = @min(kc_max, steps - k);
                    var i: usize = 0;
                    while (i < count) : (i += height) {
                        const to = @as([*]T, &sums) + i * nr;
                        inline for (.{ 1, 2 }) |vectors| if (w == vectors * vl)
                            multiply(vectors, kc, from[i..][0..height], job.offsets.ptr + k, panel + k * w, to, k > 0);
                    }
                }
                finish(p, group * p.rows + row, @min(nr, p.rows - row), first, count, &sums);
            }
        }

        fn multiply(
            comptime vectors: usize,
            k: usize,
            from: *const [height][*]const T,
            offsets: [*]const usize,
            panel: [*]const T,
            sums: [*]T,
            adds: bool,
        ) void {
            const x = from.*;
            var acc: [height][vectors]V = @splat(@splat(@splat(0)));
            var w = panel;
            for (offsets[0..k]) |offset| {
                var wv: [vectors]V = undefined;
                inline for (0..vectors) |j| wv[j] = w[j * vl ..][0..vl].*;
                inline for (0..height) |i| addProducts(vectors, x[i], offset, &wv, &acc[i]);
                w += vectors * vl;
            }
            inline for (0..height) |i| inline for (0..vectors) |j| {
                const to = sums[i * nr + j * vl ..][0..vl];
                to.* = if (adds) @as(V, to.*) + acc[i][j] else acc[i][j];
            };
        }

        /// acc += from[offset] * w. In the order of the text: the compiler would read all
        /// positions' elements first, for which there are no registers.
        inline fn addProducts(
            comptime vectors: usize,
            from: [*]const T,
            offset: usize,
            w: *const [vectors]V,
            acc: *[vectors]V,
        ) void {
            comptime std.debug.assert(available);
            const broadcast = "vbroadcastss (%[from],%[offset],4), %[x]\n";
            const first = "vfmadd231ps %[w0], %[x], %[a0]\n";
            var x: V = undefined;
            var a0 = acc[0];
            if (vectors == 1) {
                asm volatile (broadcast ++ first
                    : [x] "=&v" (x),
                      [a0] "+v" (a0),
                    : [from] "r" (from),
                      [offset] "r" (offset),
                      [w0] "v" (w[0]),
                );
                acc.* = .{a0};
            } else {
                var a1 = acc[1];
                asm volatile (broadcast ++ first ++ "vfmadd231ps %[w1], %[x], %[a1]"
                    : [x] "=&v" (x),
                      [a0] "+v" (a0),
                      [a1] "+v" (a1),
                    : [from] "r" (from),
                      [offset] "r" (offset),
                      [w0] "v" (w[0]),
                      [w1] "v" (w[1]),
                );
                acc.* = .{ a0, a1 };
            }
        }

        /// Sums of positions (first, count) and `rows` channels from `row` on, with the bias, to their place.
        fn finish(p: *const Problem, row: usize, rows: usize, first: usize, count: usize, sums: [*]const T) void {
            const size = p.images.positions();
            var done: usize = 0;
            while (done < count) {
                const q = (first + done) % size;
                const n = @min(square, @min(count - done, size - q));
                const image = (first + done) / size * p.out_image;
                var at: [square]usize = undefined;
                for (&at, q..) |*a, position| a.* = image + place(p, @min(position, size - 1), p.out_step);
                const together = at[n - 1] - at[0] == n - 1;
                var c: usize = 0;
                while (c < rows) : (c += square) {
                    var block: Square = undefined;
                    for (&block, 0..) |*b, i| b.* = sums[(done + @min(i, n - 1)) * nr + c ..][0..square].*;
                    pack.transpose(T, square, &block);
                    for (block[0..@min(square, rows - c)], row + c..) |b, channel| {
                        const values: [square]T = b + @as(@Vector(square, T), @splat(p.bias[channel]));
                        const to = p.out + channel * p.out_channel;
                        if (together and n == square) {
                            to[at[0]..][0..square].* = values;
                        } else for (at[0..n], values[0..n]) |a, v| {
                            to[a] = v;
                        }
                    }
                }
                done += n;
            }
        }
    };
}
