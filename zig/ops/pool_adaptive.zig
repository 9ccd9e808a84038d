//! Adaptive pooling: windows that divide the plane into as many parts as the output has.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const pool = @import("pool.zig");
const State = pool.State;
const planeOf = pool.planeOf;
const product = pool.product;

pub fn Adaptive(comptime T: type) type {
    return struct {
        const P = pool.Pool(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);

        const Span = struct { start: usize, stop: usize };

        fn span(s: *const State, k: usize, o: usize) Span {
            return .{
                .start = o * s.in[k] / s.out[k],
                .stop = ((o + 1) * s.in[k] + s.out[k] - 1) / s.out[k],
            };
        }

        /// Walks over the windows in row-major order of the outputs.
        const Windows = struct {
            s: *const State,
            at: usize = 0,

            fn next(w: *Windows) ?[3]Span {
                const s = w.s;
                if (w.at == product(s.out)) return null;
                defer w.at += 1;
                const row = w.at / s.out[2];
                return .{
                    span(s, 0, row / s.out[1]),
                    span(s, 1, row % s.out[1]),
                    span(s, 2, w.at % s.out[2]),
                };
            }
        };

        pub fn averagePlanes(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const buffer = try P.alloc(T, product(s.in) + product(s.out));
            defer services.free(@ptrCast(buffer.ptr));
            const values = buffer[product(s.in)..];
            for (begin..end) |number| {
                const x = P.contiguous(T, P.native, planeOf(job.p, job.call, 1, number), buffer.ptr);
                var windows: Windows = .{ .s = s };
                while (windows.next()) |w| {
                    const height = w[1].stop - w[1].start;
                    const width = w[2].stop - w[2].start;
                    // Rows that follow each other without a gap are one.
                    const joins = s.out[2] == 1;
                    var sum: V = @splat(0);
                    for (w[0].start..w[0].stop) |x0| {
                        var x1 = w[1].start;
                        while (x1 < w[1].stop) : (x1 += if (joins) height else 1) {
                            const row = x + (x0 * s.in[1] + x1) * s.in[2] + w[2].start;
                            sum = addRow(sum, row, if (joins) height * width else width);
                        }
                    }
                    const count: T = @floatFromInt((w[0].stop - w[0].start) * height * width);
                    values[windows.at - 1] = simd.reduceAdd(sum) / count;
                }
                pack.store(T, d, P.output(job, 0, number, s.out), values.ptr, values.len);
            }
        }

        /// Lane l takes the elements l modulo `lanes`.
        fn addRow(start: V, row: [*]const T, n: usize) V {
            var sum = start;
            var i: usize = 0;
            while (i + W <= n) : (i += W) sum += simd.load(T, row + i);
            if (i < n) sum += simd.loadPart(T, row + i, n - i, 0);
            return sum;
        }

        pub fn backward(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const large = product(s.in);
            const buffer = try P.alloc(T, product(s.out) + if (d == P.native) 0 else large);
            defer services.free(@ptrCast(buffer.ptr));
            for (begin..end) |number| {
                const gout = P.contiguous(T, P.native, planeOf(job.p, job.call, 1, number), buffer.ptr);
                const out = P.output(job, 0, number, s.in);
                const sums: [*]T = if (d == P.native) @ptrCast(@alignCast(out)) else buffer.ptr + product(s.out);
                @memset(sums[0..large], 0);
                var windows: Windows = .{ .s = s };
                while (windows.next()) |w| {
                    const width = w[2].stop - w[2].start;
                    const count = (w[0].stop - w[0].start) * (w[1].stop - w[1].start) * width;
                    const share = gout[windows.at - 1] / @as(T, @floatFromInt(count));
                    for (w[0].start..w[0].stop) |x0| for (w[1].start..w[1].stop) |x1| {
                        const row = sums + (x0 * s.in[1] + x1) * s.in[2] + w[2].start;
                        for (row[0..width]) |*v| v.* += share;
                    };
                }
                if (d != P.native) pack.store(T, d, out, sums, large);
            }
        }

        pub fn maxPlanes(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const buffer = try P.alloc(T, product(s.in) + product(s.out));
            defer services.free(@ptrCast(buffer.ptr));
            const values = buffer[product(s.in)..];
            for (begin..end) |number| {
                const x = P.contiguous(T, P.native, planeOf(job.p, job.call, 2, number), buffer.ptr);
                const indices: ?[*]i64 = if (job.call.ptr[1] == null)
                    null
                else
                    @ptrCast(@alignCast(P.output(job, 1, number, s.out)));
                var windows: Windows = .{ .s = s };
                while (windows.next()) |w| {
                    var best: T = P.lowest;
                    var which = (w[0].start * s.in[1] + w[1].start) * s.in[2] + w[2].start;
                    for (w[0].start..w[0].stop) |x0| for (w[1].start..w[1].stop) |x1| {
                        const row = (x0 * s.in[1] + x1) * s.in[2];
                        for (row + w[2].start..row + w[2].stop) |i| {
                            if (x[i] > best or x[i] != x[i]) {
                                best = x[i];
                                which = i;
                            }
                        }
                    };
                    values[windows.at - 1] = best;
                    if (indices) |i| i[windows.at - 1] = @intCast(which);
                }
                pack.store(T, d, P.output(job, 0, number, s.out), values.ptr, values.len);
            }
        }
    };
}
