//! The discrete Fourier transform along one dimension, of f32 and f64.
//!
//! | row    | output              | input               |
//! |--------|---------------------|---------------------|
//! | fft    | y: (..., n, ..., 2) | x: (..., n, ..., 2) |
//! | rfft   | y: (..., h, ..., 2) | x: (..., n, ...)    |
//! | irfft  | y: (..., n, ...)    | x: (..., h, ..., 2) |
//!
//! h = n / 2 + 1. A last dimension of 2 holds real and imaginary part and has stride 1; other
//! strides are free. ints[0]: the dimension that is transformed; ints[1]: 1 for the exponent
//! +2 pi i j k / n (rfft: always -, irfft: always +); ints[2]: n. floats[0]: a factor of all.
//!
//! rfft gives the first half of the spectrum of real numbers; irfft takes that half for the
//! whole (of its first number, and of the last where n is even, the imaginary part counts 0).
//!
//! n is cut into factors 4, 2, 3, 5 and primes up to 13, each a pass that also sorts (Stockham
//! 1966, in the form of Swarztrauber 1984, "FFT algorithms for vector computers"); with a larger
//! prime factor, the transform is a convolution of a length that is a power of two (Bluestein
//! 1970). The order of additions depends on n alone.
//!
//! Several lines are transformed side by side, one in each lane of the vectors: element k of line
//! l lies at k * batch + l, which for the passes is a longer stride and nothing else.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const trig = @import("../math/trig.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { fft, rfft, irfft };
pub const names: []const []const u8 = std.meta.fieldNames(Op);

const max_prime = 13;
const work_size = 1 << 13;
/// Longer lines side by side would not stay in the cache.
const max_batched = 1 << 12;

/// A length without large primes, and the roots of unity that its passes take.
fn Passes(comptime T: type) type {
    return struct {
        const Self = @This();
        n: usize,
        count: usize,
        radices: [64]u8,
        /// exp(-2 pi i k / n)
        re: [*]T,
        im: [*]T,

        fn init(n: usize, memory: [*]T) Self {
            var s: Self = .{ .n = n, .count = 0, .radices = undefined, .re = memory, .im = memory + n };
            var rest = n;
            for ([_]u8{ 4, 2, 3, 5, 7, 11, 13 }) |r| {
                while (rest % r == 0) : (rest /= r) {
                    s.radices[s.count] = r;
                    s.count += 1;
                }
            }
            std.debug.assert(rest == 1);
            for (0..n) |k| {
                const root = unitRoot(2 * k, n);
                s.re[k] = @floatCast(root[0]);
                s.im[k] = @floatCast(root[1]);
            }
            return s;
        }

        /// Transforms `batch` lines (re, im); the result is there, or in (to_re, to_im): says which.
        fn run(s: *const Self, batch: usize, re: [*]T, im: [*]T, to_re: [*]T, to_im: [*]T) bool {
            var from: [2][*]T = .{ re, im };
            var to: [2][*]T = .{ to_re, to_im };
            var stride: usize = 1;
            var length = s.n;
            for (s.radices[0..s.count]) |radix| {
                length /= radix;
                switch (radix) {
                    inline 2, 3, 4, 5, 7, 11, 13 => |r| s.pass(r, length, stride, batch, from, to),
                    else => unreachable,
                }
                stride *= radix;
                std.mem.swap([2][*]T, &from, &to);
            }
            return s.count % 2 == 1;
        }

        /// One pass: `length` groups of r numbers, each number `stride` neighbours.
        fn pass(
            s: *const Self,
            comptime r: usize,
            length: usize,
            stride: usize,
            batch: usize,
            from: [2][*]T,
            to: [2][*]T,
        ) void {
            const lanes = simd.lanes(T);
            const wide = stride * batch;
            for (0..length) |p| {
                var w: [r][2]T = undefined;
                inline for (0..r) |k| w[k] = .{ s.re[p * k * stride], s.im[p * k * stride] };
                var q: usize = 0;
                while (q + lanes <= wide) : (q += lanes) s.group(r, @Vector(lanes, T), length, wide, p, q, &w, from, to);
                while (q < wide) : (q += 1) s.group(r, @Vector(1, T), length, wide, p, q, &w, from, to);
            }
        }

        inline fn group(
            s: *const Self,
            comptime r: usize,
            comptime V: type,
            length: usize,
            stride: usize,
            p: usize,
            q: usize,
            w: *const [r][2]T,
            from: [2][*]T,
            to: [2][*]T,
        ) void {
            const n = @typeInfo(V).vector.len;
            var a: [r]Number(V) = undefined;
            inline for (0..r) |j| {
                const at = q + stride * (p + j * length);
                a[j] = .{ .re = from[0][at..][0..n].*, .im = from[1][at..][0..n].* };
            }
            const b = s.butterfly(r, V, a);
            inline for (0..r) |k| {
                const at = q + stride * (r * p + k);
                const y = if (k == 0) b[k] else b[k].times(@splat(w[k][0]), @splat(w[k][1]));
                to[0][at..][0..n].* = y.re;
                to[1][at..][0..n].* = y.im;
            }
        }

        /// The transform of r numbers.
        inline fn butterfly(s: *const Self, comptime r: usize, comptime V: type, a: [r]Number(V)) [r]Number(V) {
            switch (r) {
                2 => return .{ a[0].plus(a[1]), a[0].minus(a[1]) },
                4 => {
                    const t0 = a[0].plus(a[2]);
                    const t1 = a[0].minus(a[2]);
                    const t2 = a[1].plus(a[3]);
                    const t3 = a[1].minus(a[3]).timesMinusI();
                    return .{ t0.plus(t2), t1.plus(t3), t0.minus(t2), t1.minus(t3) };
                },
                else => {
                    // Pairs j and r - j share their cosines, and their sines but for the sign.
                    const half = r / 2;
                    var sums: [half]Number(V) = undefined;
                    var differences: [half]Number(V) = undefined;
                    inline for (0..half) |j| {
                        sums[j] = a[j + 1].plus(a[r - 1 - j]);
                        differences[j] = a[j + 1].minus(a[r - 1 - j]).timesMinusI();
                    }
                    var b: [r]Number(V) = undefined;
                    b[0] = a[0];
                    inline for (sums) |x| b[0] = b[0].plus(x);
                    const root = s.n / r;
                    inline for (1..half + 1) |k| {
                        var even = a[0];
                        var odd: Number(V) = .{ .re = @splat(0), .im = @splat(0) };
                        inline for (0..half) |j| {
                            const at = (k * (j + 1)) % r * root;
                            even = even.plus(sums[j].scaled(@splat(s.re[at])));
                            odd = odd.plus(differences[j].scaled(@splat(-s.im[at])));
                        }
                        b[k] = even.plus(odd);
                        b[r - k] = even.minus(odd);
                    }
                    return b;
                },
            }
        }
    };
}

fn Number(comptime V: type) type {
    return struct {
        const Self = @This();
        re: V,
        im: V,

        inline fn plus(a: Self, b: Self) Self {
            return .{ .re = a.re + b.re, .im = a.im + b.im };
        }
        inline fn minus(a: Self, b: Self) Self {
            return .{ .re = a.re - b.re, .im = a.im - b.im };
        }
        inline fn times(a: Self, re: V, im: V) Self {
            return .{ .re = a.re * re - a.im * im, .im = a.re * im + a.im * re };
        }
        inline fn scaled(a: Self, factor: V) Self {
            return .{ .re = a.re * factor, .im = a.im * factor };
        }
        inline fn timesMinusI(a: Self) Self {
            return .{ .re = a.im, .im = -a.re };
        }
    };
}

/// exp(-pi i k / n), for k < 2n.
fn unitRoot(k: usize, n: usize) [2]f64 {
    const turned: i64 = if (k > n) @as(i64, @intCast(k)) - 2 * @as(i64, @intCast(n)) else @intCast(k);
    const x: @Vector(8, f64) = @splat(@as(f64, @floatFromInt(turned)) / @as(f64, @floatFromInt(n)));
    const root = trig.sincosPi(@Vector(8, f64), x);
    return .{ root.cos[0], -root.sin[0] };
}

fn smooth(n: usize) bool {
    var rest = n;
    for (2..max_prime + 1) |r| {
        while (rest % r == 0) rest /= r;
    }
    return rest == 1;
}

fn State(comptime T: type) type {
    return struct {
        const Self = @This();
        op: Op,
        dim: usize,
        n: usize,
        inverse: bool,
        factor: T,
        lines: usize,
        /// Lines that are transformed side by side.
        batch: usize,
        passes: Passes(T),
        /// exp(-pi i k^2 / n), and the transform of its conjugate, by length: where n has a large prime.
        convolves: bool,
        chirp: [2][*]T,
        filter: [2][*]T,

        /// Numbers that a thread works on: two arrays, each of real and imaginary parts.
        fn scratch(s: *const Self) usize {
            return 4 * s.passes.n * s.batch;
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
        const lane_count = simd.lanes(T);

        fn prepare(p: *Plan) plan.PrepareError!void {
            if (p.operands[1].dtype != p.operands[0].dtype) return error.Unsupported;
            const n: usize = @intCast(p.ints[2]);
            if (n == 0) return error.Unsupported;
            const convolves = !smooth(n);
            const length = if (convolves) std.math.ceilPowerOfTwo(usize, 2 * n - 1) catch return error.Unsupported else n;
            const numbers = 2 * length + if (convolves) 2 * n + 2 * length else 0;
            const head = std.mem.alignForward(usize, @sizeOf(S), 64);
            const bytes = head + numbers * @sizeOf(T);
            const memory = services.alloc(bytes) orelse return error.OutOfMemory;
            p.state = memory;
            p.state_bytes = bytes;
            const s: *S = @ptrCast(@alignCast(memory));
            const tables: [*]T = @ptrCast(@alignCast(memory + head));
            const dim: usize = @intCast(p.ints[0]);
            // The operand without a last dimension of 2, if there is one, has the lines' shape.
            const whole = p.operands[if (p.op == @backingInt(Op.rfft)) 1 else 0];
            var lines: usize = 1;
            const ndim = if (p.op == @backingInt(Op.fft)) whole.ndim() - 1 else whole.ndim();
            for (whole.shape[0..ndim], 0..) |size, d| lines *= if (d == dim) 1 else @intCast(size);
            s.* = .{
                .op = @fromBackingInt(@as(u2, @intCast(p.op))),
                .dim = dim,
                .n = n,
                .inverse = p.ints[1] != 0,
                .factor = @floatCast(p.floats[0]),
                .lines = lines,
                .batch = if (lines >= 4 and !convolves and n <= max_batched) lane_count else 1,
                .passes = .init(length, tables),
                .convolves = convolves,
                .chirp = .{ tables + 2 * length, tables + 2 * length + n },
                .filter = .{ tables + 2 * length + 2 * n, tables + 3 * length + 2 * n },
            };
            if (convolves) try makeFilter(s);
            p.run = run;
        }

        fn makeFilter(s: *S) plan.PrepareError!void {
            const n = s.n;
            const length = s.passes.n;
            for (0..n) |k| {
                const square: usize = @intCast(@as(u128, k) * k % (2 * n));
                const root = unitRoot(square, n);
                s.chirp[0][k] = @floatCast(root[0]);
                s.chirp[1][k] = @floatCast(root[1]);
            }
            const work = services.allocSlice(T, 2 * length) orelse return error.OutOfMemory;
            defer services.free(@ptrCast(work.ptr));
            for (s.filter) |part| @memset(part[0..length], 0);
            for (0..n) |k| {
                for ([_]usize{ k, (length - k) % length }) |at| {
                    s.filter[0][at] = s.chirp[0][k];
                    s.filter[1][at] = -s.chirp[1][k];
                }
            }
            if (s.passes.run(1, s.filter[0], s.filter[1], work.ptr, work.ptr + length)) {
                @memcpy(s.filter[0][0..length], work[0..length]);
                @memcpy(s.filter[1][0..length], work[length..]);
            }
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
            const length = s.passes.n;
            const work = services.allocSlice(T, s.scratch()) orelse
                return job.call.fail(.out_of_memory, .{ @intCast(s.scratch() * @sizeOf(T)), 0, 0 });
            defer services.free(@ptrCast(work.ptr));
            const part = length * s.batch;
            const a: [2][*]T = .{ work.ptr, work.ptr + part };
            const b: [2][*]T = .{ work.ptr + 2 * part, work.ptr + 3 * part };
            for (begin..end) |block| {
                const first = block * s.batch;
                const lines: Lines = .init(job, first, @min(s.batch, s.lines - first));
                if (lines.count < s.batch) @memset(work[0 .. 2 * part], 0);
                lines.read(a);
                lines.write(transform(s, a, b));
            }
        }

        /// The transform of `a`, which is then in the array returned. With the other sign in the exponent, it is the
        /// transform of numbers whose parts have changed places, the same of the result.
        fn transform(s: *const S, a: [2][*]T, b: [2][*]T) [2][*]T {
            const flipped = s.inverse or s.op == .irfft;
            const x: [2][*]T = if (flipped) .{ a[1], a[0] } else a;
            const y: [2][*]T = if (flipped) .{ b[1], b[0] } else b;
            if (!s.convolves) return if (s.passes.run(s.batch, x[0], x[1], y[0], y[1])) b else a;
            const length = s.passes.n;
            multiply(x, s.chirp, s.n);
            for (x) |part| @memset(part[s.n..length], 0);
            const there = s.passes.run(1, x[0], x[1], y[0], y[1]);
            const spectrum = if (there) y else x;
            const other = if (there) x else y;
            multiply(spectrum, s.filter, length);
            // Back, again by exchanging the parts.
            const back = s.passes.run(1, spectrum[1], spectrum[0], other[1], other[0]);
            const result = if (back) other else spectrum;
            multiply(result, s.chirp, s.n);
            const scale = 1 / @as(T, @floatFromInt(length));
            for (result) |part| {
                for (part[0..s.n]) |*v| v.* *= scale;
            }
            return if (flipped) .{ result[1], result[0] } else result;
        }

        fn multiply(x: [2][*]T, w: [2][*]T, n: usize) void {
            for (0..n) |k| {
                const re = x[0][k] * w[0][k] - x[1][k] * w[1][k];
                x[1][k] = x[0][k] * w[1][k] + x[1][k] * w[0][k];
                x[0][k] = re;
            }
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

        /// Lines that are transformed side by side: where they begin in input and output.
        const Lines = struct {
            s: *const S,
            count: usize,
            from: [lane_count][*]const T = undefined,
            to: [lane_count][*]T = undefined,
            from_step: usize,
            to_step: usize,

            fn init(job: *const Job, first: usize, count: usize) Lines {
                const s = job.s;
                const x = job.plan.operands[1];
                const y = job.plan.operands[0];
                var l: Lines = .{
                    .s = s,
                    .count = count,
                    .from_step = @intCast(x.strides[s.dim]),
                    .to_step = @intCast(y.strides[s.dim]),
                };
                const x_dims = if (s.op == .rfft) x.ndim() else x.ndim() - 1;
                const y_dims = if (s.op == .irfft) y.ndim() else y.ndim() - 1;
                for (0..count) |i| {
                    l.from[i] = job.call.at(T, 1) + offset(s, x, x_dims, first + i);
                    l.to[i] = job.call.at(T, 0) + offset(s, y, y_dims, first + i);
                }
                return l;
            }

            /// Elements of a line that are moved before the next line's: all lines' stay in the cache.
            const run_length = 16;

            fn read(l: *const Lines, to: [2][*]T) void {
                const s = l.s;
                const n = if (s.op == .irfft) s.n / 2 + 1 else s.n;
                var begin: usize = 0;
                while (begin < n) : (begin += run_length) {
                    const end = @min(begin + run_length, n);
                    for (l.from[0..l.count], 0..) |from, lane| switch (s.op) {
                        .fft => for (begin..end) |k| {
                            to[0][k * s.batch + lane] = from[k * l.from_step];
                            to[1][k * s.batch + lane] = from[k * l.from_step + 1];
                        },
                        .rfft => for (begin..end) |k| {
                            to[0][k * s.batch + lane] = from[k * l.from_step];
                            to[1][k * s.batch + lane] = 0;
                        },
                        .irfft => for (begin..end) |k| {
                            const real = k == 0 or 2 * k == s.n;
                            const re = from[k * l.from_step];
                            const im = if (real) 0 else from[k * l.from_step + 1];
                            to[0][k * s.batch + lane] = re;
                            to[1][k * s.batch + lane] = im;
                            if (real) continue;
                            to[0][(s.n - k) * s.batch + lane] = re;
                            to[1][(s.n - k) * s.batch + lane] = -im;
                        },
                    };
                }
            }

            fn write(l: *const Lines, from: [2][*]T) void {
                const s = l.s;
                const n = if (s.op == .rfft) s.n / 2 + 1 else s.n;
                var begin: usize = 0;
                while (begin < n) : (begin += run_length) {
                    const end = @min(begin + run_length, n);
                    for (l.to[0..l.count], 0..) |to, lane| {
                        for (begin..end) |k| {
                            to[k * l.to_step] = from[0][k * s.batch + lane] * s.factor;
                            if (s.op != .irfft) to[k * l.to_step + 1] = from[1][k * s.batch + lane] * s.factor;
                        }
                    }
                }
            }
        };
    };
}

test {
    _ = @import("fft_test.zig");
}
