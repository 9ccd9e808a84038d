//! Average pooling, and its backward.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const DType = @import("../dtype.zig").DType;
const pack = @import("gemm_pack.zig");
const conv_image = @import("conv_image.zig");
const pool = @import("pool.zig");
const State = pool.State;
const Layout = conv_image.Layout;
const planeOf = pool.planeOf;
const product = pool.product;

pub fn Average(comptime T: type) type {
    return struct {
        const P = pool.Pool(T);
        const Images = conv_image.Images(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        const Failure = P.Failure;
        const Job = P.Job;
        const native = P.native;
        const alloc = P.alloc;
        const output = P.output;
        const contiguous = P.contiguous;
        const Reading = P.Reading;
        const readings = P.readings;
        const readingOf = P.readingOf;
        const read = P.read;

        /// What a sum is divided by, as a product over the dimensions: the elements of window
        /// o in dimension k, with or without the padding (but never past it).
        pub fn windowCount(s: *const State, k: usize, o: usize) usize {
            const start = o * s.stride[k]; // in padded coordinates
            const stop = @min(start + s.kernel[k], s.in[k] + 2 * s.padding[k]);
            if (s.count_include_pad) return stop -| start;
            const low = @max(start, s.padding[k]);
            return @min(stop, s.in[k] + s.padding[k]) -| low;
        }

        /// Divisors of a row of outputs, padded to whole vectors.
        fn divisors(s: *const State, o0: usize, o1: usize, counts: []const T, dst: []T) void {
            const rows: T = @floatFromInt(windowCount(s, 0, o0) * windowCount(s, 1, o1));
            for (dst, counts) |*x, c| {
                x.* = if (s.divisor != 0) @floatFromInt(s.divisor) else rows * c;
                if (x.* == 0) x.* = 1; // a window of nothing: 0
            }
        }

        pub fn planes(job: *const Job, begin: usize, end: usize) Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const reading = readingOf(s, job.p, 1);
            var layout = s.layout();
            if (reading != .staged) layout.phases = 1;
            const padded = (s.out[2] + W - 1) / W * W;
            const memory = try alloc(T, layout.channel() + conv_image.slack + 2 * padded);
            defer services.free(@ptrCast(memory.ptr));
            const staged = memory.ptr;
            const counts = memory[memory.len - 2 * padded ..][0..padded];
            const by = memory[memory.len - padded ..];
            for (counts, 0..) |*c, o| c.* = if (o < s.out[2]) @floatFromInt(windowCount(s, 2, o)) else 1;
            for (begin..end) |number| {
                const x = planeOf(job.p, job.call, 1, number);
                var plane: [*]const T = staged;
                if (reading == .staged) {
                    Images.stageChannel(x, layout, x.ptr, staged, 0);
                } else plane = @ptrCast(@alignCast(x.ptr));
                const out = output(job, 0, number, s.out);
                for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| {
                    divisors(s, o0, o1, counts, by);
                    const to = out + (o0 * s.out[1] + o1) * s.out[2] * d.size();
                    const line = o0 * s.stride[0] * layout.size[1] + o1 * s.stride[1];
                    inline for (readings) |known| if (known == reading)
                        averageRow(known, s, layout, plane + line * layout.row(), by.ptr, to, d);
                };
            }
        }

        /// One row of outputs, whose windows begin at `plane`.
        fn averageRow(
            comptime reading: Reading,
            s: *const State,
            layout: Layout,
            plane: [*]const T,
            by: [*]const T,
            to: [*]u8,
            d: DType,
        ) void {
            var from: usize = 0;
            while (from < s.out[2]) : (from += W) {
                const o2 = if (reading == .staged) from else @min(from, s.out[2] - W);
                var sum: V = @splat(0);
                for (0..s.kernel[0]) |k0| for (0..s.kernel[1]) |k1| {
                    const row = plane + (k0 * layout.size[1] + k1) * layout.row();
                    for (0..s.kernel[2]) |k2| sum += read(reading, layout, row, o2, k2);
                };
                const values: [W]T = sum / simd.load(T, by + o2);
                P.putVector(d, to, o2, values, @min(W, s.out[2] - o2));
            }
        }

        /// Every output adds its share to its window, in the staged layout, where the windows
        /// of a row of outputs are contiguous for each tap.
        pub fn backward(job: *const Job, begin: usize, end: usize) Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const layout = s.layout();
            const padded = (s.out[2] + W - 1) / W * W;
            const memory = try alloc(
                T,
                layout.channel() + conv_image.slack + 3 * padded + product(s.out) + s.in[2],
            );
            defer services.free(@ptrCast(memory.ptr));
            const staged = memory.ptr;
            const rest = memory[layout.channel() + conv_image.slack ..];
            const counts = rest[0..padded];
            const by = rest[padded..][0..padded];
            const share = rest[2 * padded ..][0..padded];
            const buffer = rest[3 * padded ..][0..product(s.out)];
            const line_buffer = rest[3 * padded + product(s.out) ..];
            for (counts, 0..) |*c, o| c.* = if (o < s.out[2]) @floatFromInt(windowCount(s, 2, o)) else 1;
            // Every element in one window at most.
            var apart = true;
            for (s.kernel, s.stride, s.padding) |kernel, stride, padding| {
                if (kernel != stride or padding != 0) apart = false;
            }
            for (begin..end) |number| {
                const gout = contiguous(T, native, planeOf(job.p, job.call, 1, number), buffer.ptr);
                if (apart) {
                    const plane: [*]T = if (d == native) @ptrCast(@alignCast(output(job, 0, number, s.in))) else staged;
                    averageBackwardApart(s, gout, counts, by, line_buffer, plane);
                    if (d != native) pack.store(T, d, output(job, 0, number, s.in), plane, product(s.in));
                    continue;
                }
                @memset(staged[0..layout.channel()], 0);
                for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| {
                    divisors(s, o0, o1, counts, by);
                    const from = gout + (o0 * s.out[1] + o1) * s.out[2];
                    for (0..s.out[2]) |o2| share[o2] = from[o2] / by[o2];
                    for (0..s.kernel[0]) |k0| for (0..s.kernel[1]) |k1| {
                        const line = (o0 * s.stride[0] + k0) * layout.size[1] + o1 * s.stride[1] + k1;
                        for (0..s.kernel[2]) |k2| {
                            addTo(
                                staged + line * layout.row() + layout.column(k2),
                                share.ptr,
                                s.out[2],
                            );
                        }
                    };
                };
                unstage(s, layout, staged, line_buffer.ptr, output(job, 0, number, s.in), d);
            }
        }

        /// The same where windows lie beside each other: each element is a share, or 0.
        fn averageBackwardApart(
            s: *const State,
            gout: [*]const T,
            counts: []const T,
            by: []T,
            line: []T,
            plane: [*]T,
        ) void {
            const width = s.in[2];
            @memset(line, 0);
            for (0..s.in[0]) |x0| for (0..s.in[1]) |x1| {
                const o0 = x0 / s.kernel[0];
                const o1 = x1 / s.kernel[1];
                const to = plane + (x0 * s.in[1] + x1) * width;
                if (o0 >= s.out[0] or o1 >= s.out[1]) {
                    @memset(to[0..width], 0);
                    continue;
                }
                if (x1 % s.kernel[1] == 0) {
                    divisors(s, o0, o1, counts, by);
                    shares(s, gout + (o0 * s.out[1] + o1) * s.out[2], by.ptr, line);
                }
                @memcpy(to[0..width], line);
            };
        }

        /// A row's shares, each as often as the window is wide.
        fn shares(s: *const State, gout: [*]const T, by: [*]const T, line: []T) void {
            const times = s.kernel[2];
            var o: usize = 0;
            if (times == 2) {
                comptime var twice: [2][W]i32 = undefined;
                comptime for (0..W) |l| {
                    twice[0][l] = l / 2;
                    twice[1][l] = (W + l) / 2;
                };
                while (o + W <= s.out[2] and 2 * (o + W) <= line.len) : (o += W) {
                    const share = simd.load(T, gout + o) / simd.load(T, by + o);
                    inline for (twice, 0..) |mask, half| {
                        simd.store(T, line.ptr + 2 * o + half * W, @shuffle(T, share, undefined, mask));
                    }
                }
            }
            while (o < s.out[2]) : (o += 1) {
                const share = gout[o] / by[o];
                for (line[@min(line.len, o * times)..@min(line.len, (o + 1) * times)]) |*x| x.* = share;
            }
        }

        /// to[0..n] += from[0..n]
        fn addTo(to: [*]T, from: [*]const T, n: usize) void {
            var i: usize = 0;
            while (i + W <= n) : (i += W) simd.store(
                T,
                to + i,
                simd.load(T, to + i) + simd.load(T, from + i),
            );
            while (i < n) : (i += 1) to[i] += from[i];
        }

        /// The plane itself out of its staged form, into contiguous memory.
        fn unstage(
            s: *const State,
            layout: Layout,
            staged: [*]const T,
            line: [*]T,
            out: [*]u8,
            d: DType,
        ) void {
            var to = out;
            for (0..s.in[0]) |x0| for (0..s.in[1]) |x1| {
                const at = (x0 + s.padding[0]) * layout.size[1] + x1 + s.padding[1];
                var row = staged + at * layout.row();
                if (layout.phases == 1) {
                    row += s.padding[2];
                } else {
                    for (0..s.in[2]) |x2| line[x2] = row[layout.column(x2 + s.padding[2])];
                    row = line;
                }
                pack.store(T, d, to, row, s.in[2]);
                to += s.in[2] * d.size();
            };
        }
    };
}
