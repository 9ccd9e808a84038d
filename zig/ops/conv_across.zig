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
        /// AVX-512: more positions than there are registers for their addresses.
        const wide = height == 14;
        const V = @Vector(vl, T);
        /// Positions whose sums are turned together, in squares: at most so many tiles.
        const chunk_tiles = 112 / height;
        const most = chunk_tiles * height;
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
        /// Positions one after the other, images too, and their places where steps are `step`.
        const Walk = struct {
            grid: [3]usize,
            step: [3]usize,
            image_step: usize,
            image: usize = 0,
            at: [3]usize,
            /// Where the row begins.
            row: usize = 0,

            /// From position number q on.
            fn from(p: *const Problem, q: usize, image_step: usize, step: [3]usize) Walk {
                const grid = p.images.grid;
                const row = q / grid[2];
                const plane = row / grid[1];
                var w: Walk = .{
                    .grid = grid,
                    .step = step,
                    .image_step = image_step,
                    .image = plane / grid[0] * image_step,
                    .at = .{ plane % grid[0], row % grid[1], q % grid[2] },
                };
                w.beginRow();
                return w;
            }
            fn beginRow(w: *Walk) void {
                w.row = w.image + w.at[0] * w.step[0] + w.at[1] * w.step[1];
            }
            /// The place of this position; the next one follows.
            inline fn take(w: *Walk) usize {
                const place = w.row + w.at[2] * w.step[2];
                w.at[2] += 1;
                if (w.at[2] == w.grid[2]) {
                    w.at[2] = 0;
                    w.at[1] += 1;
                    if (w.at[1] == w.grid[1]) {
                        w.at[1] = 0;
                        w.at[0] += 1;
                    }
                    if (w.at[0] == w.grid[0]) {
                        w.at[0] = 0;
                        w.image += w.image_step;
                    }
                    w.beginRow();
                }
                return place;
            }
        };

        const Job = struct {
            p: *const Problem,
            /// Of every step of k from a position.
            offsets: []const usize,
            /// Of each group and block of at most nr channels: [k][width].
            panels: [*]const T,
            /// Positions of an item.
            chunk: usize,
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
            const tiles = (total(p) + height - 1) / height;
            const chunk = height * gemm.evenly(tiles, @min(tiles, chunk_tiles), services.threadCount());
            const job: Job = .{ .p = p, .offsets = offsets, .panels = panels.ptr, .chunk = chunk };
            const vectors = p.groups * padded(p) / vl;
            if (p.hasContiguousSteps() and p.rows % nr == 0) {
                services.parallelFor(vectors / 2, gemm.grain(gemm.piece_packed, nr * steps), job, packBlocks);
            } else services.parallelFor(vectors, gemm.grain(gemm.piece_packed, vl * steps), job, packVectors);
            const chunks = (total(p) + chunk - 1) / chunk;
            const flops = 2 * p.rows * @max(1, steps) * @min(chunk, total(p));
            services.parallelFor(chunks * p.groups, gemm.grain(gemm.piece_flops, flops), job, computeItems);
        }

        /// Channels of the block that begins at `row`: one or two vectors.
        fn width(p: *const Problem, row: usize) usize {
            return @min(nr, padded(p) - row);
        }

        /// Blocks of nr channels whose weights lie together.
        fn packBlocks(job: *const Job, begin: usize, end: usize) void {
            const p = job.p;
            const steps = p.steps();
            const per_group = p.rows / nr;
            for (begin..end) |item| {
                const from = p.weights + item / per_group * p.weight_group + item % per_group * nr * p.weight_row;
                pack.packPanel(T, nr, @constCast(job.panels) + item * nr * steps, from, p.weight_row, 1, nr, steps);
            }
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
                // All but the last channel's may be read beyond the taps.
                var first: usize = 0;
                const beside = taps.len > 1 and p.weight_row <= square and std.mem.max(usize, taps) < p.weight_row;
                if (wide and beside and p.weight_channel >= square * p.weight_row) {
                    first = p.channels - 1;
                    turnTaps(p, &rows, first, to, step);
                    to += first * taps.len * step;
                }
                const side_by_side = p.weight_row == 1 and row + vl <= p.rows;
                for (first..p.channels) |c| for (taps) |tap| {
                    const at = c * p.weight_channel + tap;
                    if (side_by_side) {
                        @prefetch(rows[0] + at + 8 * p.weight_channel, .{}); // in another page
                        to[0..vl].* = rows[0][at..][0..vl].*;
                        to += step;
                        continue;
                    }
                    var values: [vl]T = undefined;
                    for (&values, rows) |*v, from| v.* = from[at];
                    to[0..vl].* = values;
                    to += step;
                };
            }
        }

        /// The same for the taps of all rows of a channel at once, which lie side by side: the gradient
        /// of the input reads weights so.
        fn turnTaps(p: *const Problem, rows: *const [vl][*]const T, channels: usize, dst: [*]T, step: usize) void {
            var to = dst;
            for (0..channels) |c| {
                const at = c * p.weight_channel;
                const ahead = rows[0] + at + 8 * p.weight_channel; // in another page
                inline for (0..10) |line| @prefetch(ahead + line * 16, .{});
                var block: Square = undefined;
                inline for (&block, 0..) |*b, i| b.* = rows[i % vl][at..][0..square].*;
                pack.transpose(T, square, &block);
                for (p.weight_taps) |tap| {
                    to[0..vl].* = @as([square]T, block[tap])[0..vl].*;
                    to += step;
                }
            }
        }

        fn computeItems(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |item| compute(job, item % job.p.groups, item / job.p.groups * job.chunk);
        }

        /// Positions first .. first + job.chunk of all images, all channels of a group.
        fn compute(job: *const Job, group: usize, first: usize) void {
            const p = job.p;
            const s = &p.images;
            const steps = p.steps();
            const count = @min(job.chunk, total(p) - first);
            var from: [most][*]const T = undefined;
            const own = s.ptr + group * p.channels * s.channel;
            var walk: Walk = .from(p, first, s.image, .{ s.step[0], s.step[1], p.column });
            for (from[0..count]) |*at| at.* = own + walk.take();
            @memset(from[count..], from[0]);
            var sums: [most * nr]T align(64) = undefined;
            var row: usize = 0;
            while (row < p.rows) : (row += nr) {
                const w = width(p, row);
                const panel = job.panels + (group * padded(p) + row) * steps;
                var k: usize = 0;
                while (k < steps or k == 0) : (k += p.block()) {
                    const kc = @min(p.block(), steps - k);
                    var i: usize = 0;
                    while (i < count) : (i += height) {
                        const to = @as([*]T, &sums) + i * nr;
                        inline for (comptime gemm_kernel.opsOf(T)) |op| inline for (.{ 1, 2 }) |vectors| if (p.op == op and w == vectors * vl) {
                            const at = from[i..][0..height];
                            const offsets = job.offsets.ptr + k;
                            if (wide and s.grid[2] % 2 == 0)
                                multiply(op, vectors, true, kc, at, p.column, offsets, panel + k * w, to, k > 0)
                            else
                                multiply(op, vectors, false, kc, at, 0, offsets, panel + k * w, to, k > 0);
                        };
                    }
                }
                finish(p, group * p.rows + row, @min(nr, p.rows - row), first, count, &sums);
            }
        }

        /// `twos`: positions 0 and 1, 2 and 3 ... are a column apart, and so half of the addresses are
        /// enough, for which there are registers.
        fn multiply(
            comptime op: gemm_kernel.Op,
            comptime vectors: usize,
            comptime twos: bool,
            k: usize,
            from: *const [height][*]const T,
            column: usize,
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
                const at = [2]usize{ offset, if (twos) offset + column else offset };
                inline for (0..height) |i| addProducts(op, vectors, x[if (twos) i & ~@as(usize, 1) else i], at[i % 2], &wv, &acc[i]);
                w += vectors * vl;
            }
            var block: [height * nr]T align(64) = undefined;
            const to: [*]T = if (adds) &block else sums;
            inline for (0..height) |i| inline for (0..nr / vl) |j| {
                to[i * nr + j * vl ..][0..vl].* = if (j < vectors) acc[i][j] else @splat(0);
            };
            if (adds) pack.addTo(T, vl, sums, &block, height * nr / vl);
        }

        /// acc += from[offset] * w. In the order of the text: the compiler would read all
        /// positions' elements first, for which there are no registers.
        inline fn addProducts(
            comptime op: gemm_kernel.Op,
            comptime vectors: usize,
            from: [*]const T,
            offset: usize,
            w: *const [vectors]V,
            acc: *[vectors]V,
        ) void {
            comptime std.debug.assert(available);
            const broadcast = "vbroadcastss (%[from],%[offset],4), %[x]\n";
            const multiplies = if (op == .dot) "vdpbf16ps" else "vfmadd231ps";
            const first = multiplies ++ " %[w0], %[x], %[a0]\n";
            var x: V = undefined;
            var a0 = acc[0];
            if (vectors == 1 and wide) {
                asm volatile (multiplies ++ " (%[from],%[offset],4){1to16}, %[w0], %[a0]"
                    : [a0] "+v" (a0),
                    : [from] "r" (from),
                      [offset] "r" (offset),
                      [w0] "v" (w[0]),
                );
                acc.* = .{a0};
            } else if (vectors == 1) {
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
                asm volatile (broadcast ++ first ++ multiplies ++ " %[w1], %[x], %[a1]"
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
            var walk: Walk = .from(p, first, p.out_image, p.out_step);
            var done: usize = 0;
            while (done < count) {
                const n = @min(square, count - done);
                var at: [square]usize = undefined;
                for (at[0..n]) |*a| a.* = walk.take();
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
                        } else if (gemm_kernel.masks and at[n - 1] - at[0] == 2 * square - 2) {
                            Images.storeEverySecond(to + at[0], values);
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
