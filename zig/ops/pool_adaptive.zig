//! Adaptive pooling: windows that divide the plane into as many parts as the output has.
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const pool = @import("pool.zig");
const State = pool.State;
const planeOf = pool.planeOf;
const product = pool.product;

pub const Span = struct { start: usize, stop: usize };

/// Window o along dimension k.
pub fn span(s: *const State, k: usize, o: usize) Span {
    return .{
        .start = o * s.in[k] / s.out[k],
        .stop = ((o + 1) * s.in[k] + s.out[k] - 1) / s.out[k],
    };
}

pub fn Adaptive(comptime T: type) type {
    return struct {
        const P = pool.Pool(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);

        /// The windows of one dimension after the other, and of a plane in row-major order.
        const Windows = struct {
            s: *const State,
            spans: []align(64) Span,

            fn init(s: *const State) P.Failure!Windows {
                const w: Windows = .{
                    .s = s,
                    .spans = try P.alloc(Span, s.out[0] + s.out[1] + s.out[2]),
                };
                var at: usize = 0;
                for (0..3) |k| for (0..s.out[k]) |o| {
                    w.spans[at] = span(s, k, o);
                    at += 1;
                };
                return w;
            }
            fn deinit(w: Windows) void {
                services.free(@ptrCast(w.spans.ptr));
            }
            /// Those along dimension k.
            fn of(w: *const Windows, k: usize) []const Span {
                const first = [3]usize{ 0, w.s.out[0], w.s.out[0] + w.s.out[1] };
                return w.spans[first[k]..][0..w.s.out[k]];
            }

            /// One row of outputs: the rows of the windows are added up first.
            fn averageRow(w: *const Windows, x: [*]const T, sums: []T, slices: Span, rows: Span, out: [*]T) void {
                const s = w.s;
                const width = s.in[2];
                const height = rows.stop - rows.start;
                const lines = (slices.stop - slices.start) * height;
                if (s.out[2] == 1) { // whole rows follow each other
                    var sum: V = @splat(0);
                    for (slices.start..slices.stop) |x0| {
                        sum = addRow(sum, x + (x0 * s.in[1] + rows.start) * width, height * width);
                    }
                    out[0] = simd.reduceAdd(sum) / @as(T, @floatFromInt(lines * width));
                    return;
                }
                var line = x + (slices.start * s.in[1] + rows.start) * width;
                if (lines > 1) {
                    @memset(sums, 0);
                    for (slices.start..slices.stop) |x0| for (rows.start..rows.stop) |x1| {
                        addTo(sums, x + (x0 * s.in[1] + x1) * width);
                    };
                    line = sums.ptr;
                }
                const count: T = @floatFromInt(lines);
                for (w.of(2), out) |span_, *to| {
                    const n = span_.stop - span_.start;
                    to.* = sumOf(line + span_.start, n) / (count * @as(T, @floatFromInt(n)));
                }
            }

            /// The gradient of that row: every element of a window gets its part.
            fn shareRow(w: *const Windows, g: [*]const T, parts: []T, slices: Span, rows: Span, image: [*]T) void {
                const s = w.s;
                const width = s.in[2];
                const count: T = @floatFromInt((slices.stop - slices.start) * (rows.stop - rows.start));
                @memset(parts, 0);
                for (w.of(2), g) |span_, here| {
                    const part = here / (count * @as(T, @floatFromInt(span_.stop - span_.start)));
                    for (parts[span_.start..span_.stop]) |*x| x.* += part;
                }
                for (slices.start..slices.stop) |x0| for (rows.start..rows.stop) |x1| {
                    addTo((image + (x0 * s.in[1] + x1) * width)[0..width], parts.ptr);
                };
            }

            /// f(context, number, window) of each.
            inline fn each(w: *const Windows, context: anytype, comptime f: anytype) void {
                const out = w.s.out;
                var number: usize = 0;
                for (w.spans[0..out[0]]) |a| for (w.spans[out[0]..][0..out[1]]) |b| {
                    for (w.spans[out[0] + out[1] ..][0..out[2]]) |c| {
                        f(context, number, .{ a, b, c });
                        number += 1;
                    }
                };
            }
        };

        /// A window as runs of memory: whole rows that follow each other are one.
        const Runs = struct {
            count: usize,
            n: usize,
            fn init(s: *const State, w: [3]Span) Runs {
                const height = w[1].stop - w[1].start;
                const width = w[2].stop - w[2].start;
                if (s.out[2] == 1) return .{ .count = 1, .n = height * width };
                return .{ .count = height, .n = width };
            }
            /// Where run r of slice x0 begins in the plane.
            inline fn at(s: *const State, w: [3]Span, x0: usize, r: usize) usize {
                return (x0 * s.in[1] + w[1].start + r) * s.in[2] + w[2].start;
            }
        };

        pub fn averagePlanes(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const windows: Windows = try .init(s);
            defer windows.deinit();
            const buffer = try P.alloc(T, product(s.in) + s.in[2] + product(s.out));
            defer services.free(@ptrCast(buffer.ptr));
            const sums = buffer[product(s.in)..][0..s.in[2]];
            const values = buffer[product(s.in) + s.in[2] ..];
            for (begin..end) |number| {
                const x = P.contiguous(T, P.native, planeOf(job.p, job.call, 1, number), buffer.ptr);
                var to = values.ptr;
                for (windows.of(0)) |slices| for (windows.of(1)) |rows| {
                    windows.averageRow(x, sums, slices, rows, to);
                    to += s.out[2];
                };
                pack.store(T, d, P.output(job, 0, number, s.out), values.ptr, values.len);
            }
        }

        /// Lane l takes the elements l modulo `lanes`.
        fn addRow(start: V, row: [*]const T, n: usize) V {
            var sum = start;
            var i: usize = 0;
            if (n >= 8 * W) {
                var sums: [4]V = @splat(@splat(0));
                while (i + 4 * W <= n) : (i += 4 * W) inline for (&sums, 0..) |*v, k| {
                    v.* += simd.load(T, row + i + k * W);
                };
                sum += (sums[0] + sums[1]) + (sums[2] + sums[3]);
            }
            while (i + W <= n) : (i += W) sum += simd.load(T, row + i);
            if (i < n) sum += simd.loadPart(T, row + i, n - i, 0);
            return sum;
        }

        fn addTo(to: []T, from: [*]const T) void {
            var i: usize = 0;
            while (i + W <= to.len) : (i += W) to[i..][0..W].* = simd.load(T, to.ptr + i) + simd.load(T, from + i);
            for (to[i..], from[i..]) |*x, y| x.* += y;
        }
        fn sumOf(x: [*]const T, n: usize) T {
            if (n >= 2 * W) return simd.reduceAdd(addRow(@splat(0), x, n));
            var sum: @Vector(4, T) = @splat(0);
            var rest: T = 0;
            var i: usize = 0;
            while (i + 4 <= n) : (i += 4) sum += x[i..][0..4].*;
            for (x[i..n]) |y| rest += y;
            return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
        }

        pub fn backward(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const large = product(s.in);
            const buffer = try P.alloc(T, product(s.out) + s.in[2] + if (d == P.native) 0 else large);
            defer services.free(@ptrCast(buffer.ptr));
            const parts = buffer[product(s.out)..][0..s.in[2]];
            const windows: Windows = try .init(s);
            defer windows.deinit();
            for (begin..end) |number| {
                var g = P.contiguous(T, P.native, planeOf(job.p, job.call, 1, number), buffer.ptr);
                const out = P.output(job, 0, number, s.in);
                const sums: [*]T = if (d == P.native) @ptrCast(@alignCast(out)) else parts.ptr + parts.len;
                @memset(sums[0..large], 0);
                for (windows.of(0)) |slices| for (windows.of(1)) |rows| {
                    windows.shareRow(g, parts, slices, rows, sums);
                    g += s.out[2];
                };
                if (d != P.native) pack.store(T, d, out, sums, large);
            }
        }

        pub fn maxPlanes(job: *const P.Job, begin: usize, end: usize) P.Failure!void {
            const s = job.s;
            const d = job.p.operands[0].dtype;
            const windows: Windows = try .init(s);
            defer windows.deinit();
            const buffer = try P.alloc(T, product(s.in) + product(s.out));
            defer services.free(@ptrCast(buffer.ptr));
            const values = buffer[product(s.in)..];
            for (begin..end) |number| {
                const x = P.contiguous(T, P.native, planeOf(job.p, job.call, 2, number), buffer.ptr);
                const indices: ?[*]i64 = if (job.call.ptr[1] == null)
                    null
                else
                    @ptrCast(@alignCast(P.output(job, 1, number, s.out)));
                windows.each(.{ s, x, values.ptr, indices }, struct {
                    fn f(context: struct { *const State, [*]const T, [*]T, ?[*]i64 }, o: usize, w: [3]Span) void {
                        const best = maximum(context[0], context[1], w);
                        context[2][o] = best;
                        if (context[3]) |i| i[o] = @intCast(find(context[0], context[1], w, best));
                    }
                }.f);
                pack.store(T, d, P.output(job, 0, number, s.out), values.ptr, values.len);
            }
        }
        fn maximum(s: *const State, x: [*]const T, w: [3]Span) T {
            const runs: Runs = .init(s, w);
            var best: V = @splat(P.lowest);
            for (w[0].start..w[0].stop) |x0| for (0..runs.count) |r| {
                const row = x + Runs.at(s, w, x0, r);
                var i: usize = 0;
                while (i + W <= runs.n) : (i += W) best = simd.maxNan(V, best, simd.load(T, row + i));
                if (i < runs.n)
                    best = simd.maxNan(V, best, simd.loadPart(T, row + i, runs.n - i, P.lowest));
            };
            return simd.reduceMax(best);
        }
        /// Where the first element of the window lies that is `best`; of nans the last.
        fn find(s: *const State, x: [*]const T, w: [3]Span, best: T) usize {
            const runs: Runs = .init(s, w);
            const wanted: V = @splat(best);
            var found = Runs.at(s, w, w[0].start, 0);
            for (w[0].start..w[0].stop) |x0| for (0..runs.count) |r| {
                const first = Runs.at(s, w, x0, r);
                var i: usize = 0;
                while (i + W <= runs.n) : (i += W) {
                    const v = simd.load(T, x + first + i);
                    if (@reduce(.Or, (v == wanted) | (v != v))) break;
                }
                while (i < runs.n) : (i += 1) {
                    const v = x[first + i];
                    if (v == best) return first + i;
                    if (v != v) found = first + i;
                }
            };
            return found;
        }
    };
}
