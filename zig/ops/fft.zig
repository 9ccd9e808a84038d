//! The discrete Fourier transform along one dimension, of f32 and f64.
//!
//! | row    | output              | input               |
//! |--------|---------------------|---------------------|
//! | fft    | y: (..., n, ..., 2) | x: (..., n, ..., 2) |
//! | rfft   | y: (..., h, ..., 2) | x: (..., n, ...)    |
//! | irfft  | y: (..., n, ...)    | x: (..., h, ..., 2) |
//!
//! h = n / 2 + 1, but for rfft also n: the whole spectrum, with ints[1] that of the other sign. A last dimension of 2 holds real and imaginary part and has stride 1; other
//! strides are free. ints[0]: the dimension that is transformed; ints[1]: 1 for the exponent
//! +2 pi i j k / n (irfft: always +); ints[2]: n. floats[0]: a factor of all.
//!
//! rfft gives the first half of the spectrum of real numbers; irfft takes that half for the
//! whole (of its first number, and of the last where n is even, the imaginary part counts 0).
//!
//! A line of real numbers of even length is a line of half as many complex ones, whose parts are neighbours; the
//! spectrum of the one follows from that of the other by a pass over both ends (`fold`). How lines of complex numbers
//! are transformed: fft_passes.zig; with a prime factor above 13, as a convolution of a length that is a power of two
//! (Bluestein 1970). The order of additions depends on n, the dimension, and whether there are few lines.
//!
//! Lines of which no number is next to the line's next one are transformed side by side, one in each lane of the
//! vectors: element k of line l lies at k * batch + l, which for the passes is a longer stride and nothing else.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const passes = @import("fft_passes.zig");
const transpose = @import("transpose.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { fft, rfft, irfft };
pub const names: []const []const u8 = std.meta.fieldNames(Op);

const work_size = 1 << 13;
/// Longer lines side by side would not stay in the cache.
const max_batched = 1 << 12;

fn State(comptime T: type) type {
    return struct {
        const Self = @This();
        op: Op,
        dim: usize,
        /// Of the transform that is asked for, and of that of complex numbers which it comes down to.
        n: usize,
        m: usize,
        inverse: bool,
        /// Of real numbers the whole spectrum, and not the first half.
        whole: bool,
        factor: T,
        /// Of imaginary parts.
        factor_im: T,
        lines: usize,
        /// Lines that are transformed side by side.
        batch: usize,
        passes: passes.Passes(T),
        /// exp(-pi i k^2 / m), and the transform of its conjugate, by length: where m has a large prime.
        convolves: bool,
        chirp: passes.Planes(T),
        filter: passes.Planes(T),
        /// -i exp(-2 pi i k / n), for k <= m / 2, where lines are halved.
        folds: passes.Planes(T),

        fn halved(s: *const Self) bool {
            return s.m != s.n;
        }
        fn flipped(s: *const Self) bool {
            return if (s.op == .fft) s.inverse else s.op == .irfft;
        }
        /// Numbers that a line of the output has (of a real one: pairs of them).
        fn outputs(s: *const Self) usize {
            return if (s.op == .rfft and !s.whole) s.n / 2 + 1 else if (s.op == .rfft) s.n else s.m;
        }
        /// Numbers of a plane that a thread works on, of four: two arrays, each of real and imaginary parts.
        fn planeSize(s: *const Self) usize {
            return (@max(s.passes.n, s.outputs(), s.m + 1) + 1) * s.batch + passes.Passes(T).slack;
        }
    };
}

fn prepare(p: *Plan) plan.PrepareError!void {
    return switch (p.operands[0].dtype) {
        .float32 => Runner(f32).prepare(p),
        .float64 => Runner(f64).prepare(p),
        else => error.Unsupported,
    };
}

fn Runner(comptime T: type) type {
    return struct {
        const S = State(T);
        const P = passes.Passes(T);
        const Planes = passes.Planes(T);
        const W = simd.lanes(T);
        const V = @Vector(W, T);

        fn prepare(p: *Plan) plan.PrepareError!void {
            if (p.operands[1].dtype != p.operands[0].dtype) return error.Unsupported;
            const n: usize = @intCast(p.ints[2]);
            if (n == 0) return error.Unsupported;
            const op: Op = @fromBackingInt(@as(u2, @intCast(p.op)));
            const dim: usize = @intCast(p.ints[0]);
            // The operand without a last dimension of 2, if there is one, has the lines' shape.
            const whole = p.operands[if (op == .rfft) 1 else 0];
            const ndim = if (op == .fft) whole.ndim() - 1 else whole.ndim();
            var lines: usize = 1;
            for (whole.shape[0..ndim], 0..) |size, d| lines *= if (d == dim) 1 else @intCast(size);

            const m = if (op != .fft and n % 2 == 0) n / 2 else n;
            const convolves = !passes.smooth(m);
            const length = if (convolves) std.math.ceilPowerOfTwo(usize, 2 * m - 1) catch return error.Unsupported else m;
            const cuts = length % W == 0;
            const beside = lines >= 4 and !convolves and n <= max_batched and (!cuts or dim + 1 < ndim);
            const table = P.tableSize(length, cuts and !beside);
            const folds = if (m != n) m / 2 + 1 else 0;
            const numbers = table + 2 * folds + if (convolves) 2 * (m + length) else 0;
            const head = std.mem.alignForward(usize, @sizeOf(S), 64);
            const bytes = head + numbers * @sizeOf(T);
            const memory = services.alloc(bytes) orelse return error.OutOfMemory;
            p.state = memory;
            p.state_bytes = bytes;
            const s: *S = @ptrCast(@alignCast(memory));
            const tables: [*]T = @ptrCast(@alignCast(memory + head));
            const more = tables + table + 2 * folds;
            const factor: T = @floatCast(p.floats[0] * @as(f64, if (m != n and op == .rfft) 0.5 else 1));
            s.* = .{
                .op = op,
                .dim = dim,
                .n = n,
                .m = m,
                .inverse = p.ints[1] != 0,
                .whole = op == .rfft and p.operands[0].shape[dim] == n,
                .factor = factor,
                .factor_im = if (op == .rfft and p.ints[1] != 0) -factor else factor,
                .lines = lines,
                .batch = if (beside) W else 1,
                .passes = .init(length, cuts and !beside, tables),
                .convolves = convolves,
                .folds = .{ tables + table, tables + table + folds },
                .chirp = .{ more, more + m },
                .filter = .{ more + 2 * m, more + 2 * m + length },
            };
            for (0..folds) |k| {
                const root = passes.unitRoot(2 * k, n);
                s.folds[0][k] = @floatCast(root[1]);
                s.folds[1][k] = @floatCast(-root[0]);
            }
            if (convolves) try makeFilter(s);
            p.run = run;
        }

        fn makeFilter(s: *S) plan.PrepareError!void {
            const m = s.m;
            const length = s.passes.n;
            for (0..m) |k| {
                P.setRoot(s.chirp, k, @intCast(@as(u128, k) * k % (2 * m)), m);
            }
            const size = s.planeSize();
            const work = services.allocSlice(T, 4 * size) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(work.ptr));
            const a, const b = arrays(work, size);
            for (a) |part| @memset(part[0..length], 0);
            for (0..m) |k| {
                for ([_]usize{ k, (length - k) % length }) |at| {
                    a[0][at] = s.chirp[0][k];
                    a[1][at] = -s.chirp[1][k];
                }
            }
            const result = if (s.passes.run(1, a, b)) b else a;
            for (s.filter, result) |to, from| @memcpy(to[0..length], from[0..length]);
        }

        fn arrays(work: []T, size: usize) [2]Planes {
            return .{ .{ work.ptr, work.ptr + size }, .{ work.ptr + 2 * size, work.ptr + 3 * size } };
        }

        const Job = struct { s: *const S, plan: *const Plan, call: *Call };

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(S);
            const blocks = (s.lines + s.batch - 1) / s.batch;
            const grain = @max(1, work_size / (s.passes.n * s.batch));
            services.parallelFor(blocks, grain, Job{ .s = s, .plan = p, .call = call }, piece);
        }

        fn piece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const size = s.planeSize();
            const work = services.allocSlice(T, 4 * size) orelse
                return job.call.fail(.out_of_memory, .{ @intCast(4 * size * @sizeOf(T)), 0, 0 });
            defer services.free(@ptrCast(work.ptr));
            const a, const b = arrays(work, size);
            for (begin..end) |block| {
                const first = block * s.batch;
                var lines: Lines = undefined;
                lines.init(job, first, @min(s.batch, s.lines - first));
                if (lines.count < s.batch) @memset(work[0 .. 2 * size], 0);
                lines.read(a);
                if (s.halved() and s.op == .irfft) {
                    for (a[1][0..s.batch]) |*x| x.* = 0; // of the first and of the last number only the real
                    for (a[1][s.m * s.batch ..][0..s.batch]) |*x| x.* = 0; // parts count
                    fold(s, a);
                }
                const result = transform(s, a, b);
                if (s.halved() and s.op == .rfft) {
                    for (result) |part| @memcpy(part[s.m * s.batch ..][0..s.batch], part[0..s.batch]);
                    fold(s, result);
                }
                if (s.whole) mirror(s, result);
                lines.write(result);
            }
        }

        /// The transform of `a`, which is then in the array returned. With the other sign in the exponent, it is the
        /// transform of numbers whose parts have changed places, the same of the result.
        fn transform(s: *const S, a: Planes, b: Planes) Planes {
            const flipped = s.flipped();
            const x: Planes = if (flipped) .{ a[1], a[0] } else a;
            const y: Planes = if (flipped) .{ b[1], b[0] } else b;
            if (!s.convolves) return if (s.passes.run(s.batch, x, y)) b else a;
            const length = s.passes.n;
            multiply(x, s.chirp, s.m, 1);
            for (x) |part| @memset(part[s.m..length], 0);
            const there = s.passes.run(1, x, y);
            const spectrum = if (there) y else x;
            const other = if (there) x else y;
            multiply(spectrum, s.filter, length, 1);
            // Back, again by exchanging the parts.
            const turned: Planes = .{ spectrum[1], spectrum[0] };
            const result = if (s.passes.run(1, turned, .{ other[1], other[0] })) other else spectrum;
            multiply(result, s.chirp, s.m, 1 / @as(T, @floatFromInt(length)));
            return if (flipped) .{ result[1], result[0] } else result;
        }

        fn multiply(x: Planes, w: Planes, n: usize, factor: T) void {
            var k: usize = 0;
            while (k + W <= n) : (k += W) product(V, x, w, k, factor);
            while (k < n) : (k += 1) product(@Vector(1, T), x, w, k, factor);
        }
        inline fn product(comptime U: type, x: Planes, w: Planes, k: usize, factor: T) void {
            const by: passes.Number(U) = .load(w, k);
            const y = passes.Number(U).load(x, k).times(by.re, by.im);
            const scale: U = @splat(factor);
            (passes.Number(U){ .re = y.re * scale, .im = y.im * scale }).store(x, k);
        }

        /// rfft: from the transform Z of the halved line (Z[m] = Z[0]) twice the spectrum of the line; irfft: back.
        /// With d = Z[k] - conj Z[m-k] and o = -i d exp(-2 pi i k / n) (irfft: its conjugate factor) both are
        /// Z[k] + conj Z[m-k] + o at k, and the conjugate of Z[k] + conj Z[m-k] - o at m - k.
        fn fold(s: *const S, z: Planes) void {
            const m = s.m;
            const sign: T = if (s.op == .irfft) -1 else 1;
            var k: usize = 0;
            if (s.batch == 1) {
                while (2 * k + 2 * W - 2 < m) : (k += W) {
                    const w: Planes = .{ s.folds[0] + k, s.folds[1] + k };
                    foldPair(V, true, z, k, m - k - (W - 1), w[0][0..W].*, w[1][0..W].*, sign);
                }
                while (2 * k <= m) : (k += 1) {
                    foldPair(@Vector(1, T), false, z, k, m - k, .{s.folds[0][k]}, .{s.folds[1][k]}, sign);
                }
            } else while (2 * k <= m) : (k += 1) {
                foldPair(V, false, z, k * W, (m - k) * W, @splat(s.folds[0][k]), @splat(s.folds[1][k]), sign);
            }
        }
        inline fn foldPair(comptime U: type, comptime back: bool, z: Planes, low: usize, high: usize, re: U, im: U, sign: T) void {
            const N = passes.Number(U);
            const a: N = .load(z, low);
            var b: N = .load(z, high);
            if (back) b = .{ .re = std.simd.reverseOrder(b.re), .im = std.simd.reverseOrder(b.im) };
            const e: N = .{ .re = a.re + b.re, .im = a.im - b.im };
            const d: N = .{ .re = a.re - b.re, .im = a.im + b.im };
            const o = d.times(re, im * @as(U, @splat(sign)));
            var y = e.minus(o);
            y.im = -y.im;
            if (back) y = .{ .re = std.simd.reverseOrder(y.re), .im = std.simd.reverseOrder(y.im) };
            e.plus(o).store(z, low);
            y.store(z, high);
        }

        /// The second half of the spectrum of real numbers, which is the conjugate of the first.
        fn mirror(s: *const S, z: Planes) void {
            const end = (s.n + 1) / 2;
            var k: usize = 1;
            if (s.batch == W) {
                while (k < end) : (k += 1) mirrored(V, false, z, k * W, (s.n - k) * W);
            } else {
                while (k + W <= end) : (k += W) mirrored(V, true, z, k, s.n - k - (W - 1));
                while (k < end) : (k += 1) mirrored(@Vector(1, T), false, z, k, s.n - k);
            }
        }
        inline fn mirrored(comptime U: type, comptime back: bool, z: Planes, low: usize, high: usize) void {
            const x: passes.Number(U) = .load(z, low);
            const y: passes.Number(U) = if (back) .{ .re = std.simd.reverseOrder(x.re), .im = std.simd.reverseOrder(x.im) } else x;
            (passes.Number(U){ .re = y.re, .im = -y.im }).store(z, high);
        }

        /// Elements from the start of an operand to a line's first number.
        fn offset(s: *const S, operand: plan.Operand, ndim: usize, line: usize) usize {
            var at: usize = 0;
            var rest = line;
            var d = ndim;
            while (d > 0) {
                d -= 1;
                if (d == s.dim) continue;
                const size: usize = @intCast(operand.shape[d]);
                at += rest % size * @as(usize, @intCast(operand.strides[d]));
                rest /= size;
            }
            return at;
        }

        /// How the numbers of a line lie: real parts `step` apart, an imaginary part `part` behind (0: they have none).
        const Spread = struct {
            step: usize,
            part: usize,

            fn of(s: *const S, operand: plan.Operand, real: bool) Spread {
                const stride: usize = @intCast(operand.strides[s.dim]);
                if (!real) return .{ .step = stride, .part = 1 };
                return if (s.halved()) .{ .step = 2 * stride, .part = stride } else .{ .step = stride, .part = 0 };
            }
            fn packed_(l: Spread) bool {
                return l.step == 2 and l.part == 1;
            }
        };

        /// Lines that are transformed side by side: where they begin in input and output.
        const Lines = struct {
            s: *const S,
            count: usize,
            from: [W][*]const T,
            to: [W][*]T,
            x: Spread,
            y: Spread,

            fn init(l: *Lines, job: *const Job, first: usize, count: usize) void {
                const s = job.s;
                const x = job.plan.operands[1];
                const y = job.plan.operands[0];
                l.s = s;
                l.count = count;
                l.x = .of(s, x, s.op == .rfft);
                l.y = .of(s, y, s.op == .irfft);
                const x_dims = if (s.op == .rfft) x.ndim() else x.ndim() - 1;
                const y_dims = if (s.op == .irfft) y.ndim() else y.ndim() - 1;
                for (0..count) |i| {
                    l.from[i] = job.call.at(T, 1) + offset(s, x, x_dims, first + i);
                    l.to[i] = job.call.at(T, 0) + offset(s, y, y_dims, first + i);
                }
            }

            /// Whether the lines fill a vector and are neighbours of each other, `step` numbers apart.
            fn adjacent(l: *const Lines, lines: anytype, step: usize) bool {
                if (l.count < W) return false;
                for (lines, 0..) |line, i| if (line != lines[0] + i * step) return false;
                return true;
            }

            fn read(l: *const Lines, to: Planes) void {
                const s = l.s;
                const half_given = s.op == .irfft;
                const n = if (half_given) s.n / 2 + 1 else s.m;
                l.readNumbers(to, n);
                if (!half_given or s.halved()) return;
                // The other half is the conjugate of this one.
                for (to[1][0..s.batch]) |*x| x.* = 0;
                for (1..n) |k| for (0..s.batch) |lane| {
                    to[0][(s.n - k) * s.batch + lane] = to[0][k * s.batch + lane];
                    to[1][(s.n - k) * s.batch + lane] = -to[1][k * s.batch + lane];
                };
            }

            fn readNumbers(l: *const Lines, to: Planes, n: usize) void {
                const step = l.x.step;
                const part = l.x.part;
                var k: usize = 0;
                if (l.s.batch == 1) {
                    if (l.x.packed_()) {
                        while (k + W <= n) : (k += W) parted(l.from[0] + 2 * k).store(to, k);
                    }
                } else if (l.x.packed_() and l.count == W) {
                    while (k + W / 2 <= n) : (k += W / 2) {
                        var rows: [W]V = undefined;
                        inline for (0..W) |i| rows[i] = l.from[i][2 * k ..][0..W].*;
                        rows = transpose.exchanged(T, W, rows);
                        inline for (0..W / 2) |i| {
                            (passes.Number(V){ .re = rows[2 * i], .im = rows[2 * i + 1] }).store(to, (k + i) * W);
                        }
                    }
                } else if (part == 1 and l.adjacent(l.from, 2)) {
                    while (k < n) : (k += 1) parted(l.from[0] + k * step).store(to, k * W);
                } else if (part != 1 and l.adjacent(l.from, 1)) {
                    while (k < n) : (k += 1) {
                        const line = l.from[0] + k * step;
                        to[0][k * W ..][0..W].* = line[0..W].*;
                        to[1][k * W ..][0..W].* = if (part == 0) @as(V, @splat(0)) else line[part..][0..W].*;
                    }
                }
                while (k < n) : (k += 1) for (l.from[0..l.count], 0..) |from, lane| {
                    to[0][k * l.s.batch + lane] = from[k * step];
                    to[1][k * l.s.batch + lane] = if (part == 0) 0 else from[k * step + part];
                };
            }

            fn write(l: *const Lines, from: Planes) void {
                const s = l.s;
                const n = s.outputs();
                const step = l.y.step;
                const part = l.y.part;
                const scale: V = @splat(s.factor);
                const scale_im: V = @splat(s.factor_im);
                var k: usize = 0;
                if (s.batch == 1) {
                    if (l.y.packed_()) {
                        while (k + W <= n) : (k += W) joined(l.to[0] + 2 * k, .load(from, k), scale, scale_im);
                    }
                } else if (l.y.packed_() and l.count == W) {
                    while (k + W / 2 <= n) : (k += W / 2) {
                        var rows: [W]V = undefined;
                        inline for (0..W / 2) |i| {
                            const x: passes.Number(V) = .load(from, (k + i) * W);
                            rows[2 * i] = x.re * scale;
                            rows[2 * i + 1] = x.im * scale_im;
                        }
                        rows = transpose.exchanged(T, W, rows);
                        inline for (0..W) |i| l.to[i][2 * k ..][0..W].* = rows[i];
                    }
                } else if (part == 1 and l.adjacent(l.to, 2)) {
                    while (k < n) : (k += 1) joined(l.to[0] + k * step, .load(from, k * W), scale, scale_im);
                } else if (part != 1 and l.adjacent(l.to, 1)) {
                    while (k < n) : (k += 1) {
                        const x: passes.Number(V) = .load(from, k * W);
                        const line = l.to[0] + k * step;
                        line[0..W].* = x.re * scale;
                        if (part != 0) line[part..][0..W].* = x.im * scale_im;
                    }
                }
                while (k < n) : (k += 1) for (l.to[0..l.count], 0..) |to, lane| {
                    to[k * step] = from[0][k * s.batch + lane] * s.factor;
                    if (part != 0) to[k * step + part] = from[1][k * s.batch + lane] * s.factor_im;
                };
            }
        };

        /// W complex numbers, whose parts are neighbours.
        inline fn parted(from: [*]const T) passes.Number(V) {
            const a: V = from[0..W].*;
            const b: V = from[W..][0..W].*;
            return .{
                .re = @shuffle(T, a, b, picked(0)),
                .im = @shuffle(T, a, b, picked(1)),
            };
        }
        fn picked(comptime from: usize) @Vector(W, i32) {
            var mask: [W]i32 = undefined;
            for (&mask, 0..) |*x, i| {
                const at: i32 = 2 * i + from;
                x.* = if (at < W) at else ~(at - W);
            }
            return mask;
        }
        inline fn joined(to: [*]T, x: passes.Number(V), scale: V, scale_im: V) void {
            const re = x.re * scale;
            const im = x.im * scale_im;
            to[0..W].* = @shuffle(T, re, im, paired(0));
            to[W..][0..W].* = @shuffle(T, re, im, paired(W / 2));
        }
        fn paired(comptime from: i32) @Vector(W, i32) {
            var mask: [W]i32 = undefined;
            for (&mask, 0..) |*x, i| {
                const at: i32 = from + @as(i32, i / 2);
                x.* = if (i % 2 == 0) at else ~at;
            }
            return mask;
        }
    };
}

test {
    _ = @import("fft_test.zig");
}
