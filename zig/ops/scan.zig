//! Running totals along one dimension.
//!
//! | row           | outputs                                      | input |
//! |---------------|----------------------------------------------|-------|
//! | cumsum        | y: any dtype                                 | x     |
//! | cumprod       | y: any dtype                                 | x     |
//! | logcumsumexp  | y: a float dtype                             | x     |
//! | cummax cummin | values: the dtype of x; indices: int64       | x     |
//!
//! And `prod_complex` (reduce_products.zig), a reduction.
//! All operands have one shape; strides are free, of the outputs too. x is of any dtype.
//! ints[0]: the dimension (0 for a 0-d x); ints[1] (optional): 1 to run from the end to the
//! beginning (indices stay those of x).
//! Computed in f64 for a float output (each result rounded once), in wrapping int64 for an
//! integer or bool one. Extrema as in PyTorch: nan wins, the index is that of the last such
//! element so far.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const stage = @import("reduce_stage.zig");
const along = @import("along.zig");
const logical = @import("logical.zig");
const scan_tiles = @import("scan_tiles.zig");
const DType = @import("../dtype.zig").DType;
const products = @import("reduce_products.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { cumsum, cumprod, logcumsumexp, cummax, cummin, prod_complex };

pub const names: []const []const u8 = std.meta.fieldNames(Op);

/// Lines that are walked one by one.
const Scan = struct {
    op: Op,
    geometry: along.Along,
    outputs: usize,
    reverse: bool,
    /// cummin is cummax of what has these bits turned around: the order is the other way then.
    flip: u64,
};

/// Elements of a line that are converted at a time: they stay in the nearest cache.
const line_chunk = 512;
/// Of those, how many are scaled alike for logcumsumexp.
const chunk = 128;
const work_size = 1 << 14;

fn prepare(p: *Plan) plan.PrepareError!void {
    const op: Op = @fromBackingInt(@as(u3, @intCast(p.op)));
    const float = p.operands[0].dtype.isFloat();
    if (op == .prod_complex) return products.prepare(p);
    if (op == .logcumsumexp and !float) return error.Unsupported;
    var a = try along.Along.init(p.operands, if (p.ints.len > 0) @intCast(p.ints[0]) else 0);
    a.widen();
    const reverse = p.ints.len > 1 and p.ints[1] != 0;
    const flip: u64 = if (op != .cummin) 0 else if (float) 1 << 63 else std.math.maxInt(u64);
    if (op != .logcumsumexp and a.lines * a.n > 0) {
        const arg = op == .cummax or op == .cummin;
        const x = p.inputs()[0].dtype;
        const direct = p.operands[0].dtype == x and switch (x) {
            .float32, .float64, .int64 => true,
            .int32 => arg,
            else => false,
        };
        const scan = switch (float) {
            inline else => |f| switch (arg) {
                inline else => |e| &scan_tiles.Kernel(if (f) f64 else i64, e).scan,
            },
        };
        if (scan_tiles.Tiles.init(p.operands, p.n_out, &a, reverse, flip, op == .cumprod, direct, scan)) |tiles| {
            const t = try p.create(scan_tiles.Tiles);
            t.* = tiles;
            p.run = scan_tiles.run;
            return;
        }
    }
    const s = try p.create(Scan);
    s.* = .{ .op = op, .geometry = a, .outputs = p.n_out, .reverse = reverse, .flip = flip };
    p.run = if (float) Lines(f64).run else Lines(i64).run;
}

fn Lines(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const float = T == f64;
    const lowest = if (float) -std.math.inf(T) else std.math.minInt(T);
    const Job = struct { s: *const Scan, plan: *const Plan, call: *Call };

    return struct {
        const Self = @This();
        values: [line_chunk]T align(64) = undefined,
        indices: [line_chunk]i64 align(64) = undefined,
        total: T,
        best: i64,
        flip: u64,

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Scan);
            const a = &s.geometry;
            if (a.lines == 0 or a.n == 0) return;
            const job: Job = .{ .s = s, .plan = p, .call = call };
            services.parallelFor(a.lines, @max(1, work_size / a.n), job, piece);
        }

        fn piece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            const k = s.outputs;
            const operands = job.plan.operands;
            const start: T = switch (s.op) {
                .cumsum => 0,
                .cumprod => 1,
                else => lowest,
            };
            var l: Self = .{ .best = undefined, .total = undefined, .flip = s.flip };
            const sum = s.op == .cumsum or s.op == .cumprod;
            const native = stage.native(T);
            const direct = simd.has_fma and sum and !s.reverse and a.step[0] == 1 and a.step[k] == 1 and
                operands[0].dtype == native and operands[k].dtype == native;
            for (begin..end) |line| {
                const o = a.at(line / a.across.size, line % a.across.size);
                if (direct) {
                    _ = sums(s.op == .cumprod, job.call.at(T, 0) + o[0], job.call.at(T, k) + o[k], a.n, start);
                    continue;
                }
                l.total = start;
                l.best = if (s.reverse) @intCast(a.n - 1) else 0;
                var done: usize = 0;
                while (done < a.n) {
                    const n = @min(l.values.len, a.n - done);
                    const first = if (s.reverse) a.n - done - n else done;
                    const values = l.values[0..n];
                    const from = operands[k].dtype;
                    stage.load(T, from, job.call.ptr[k].? + (o[k] + first * a.step[k]) * from.size(), n, a.step[k], &l.values, 1);
                    if (s.reverse) std.mem.reverse(T, values);
                    if (s.op == .logcumsumexp) {
                        if (float) l.exponentials(values);
                    } else if (!simd.has_fma) {
                        unreachable;
                    } else if (sum) {
                        l.total = sums(s.op == .cumprod, &l.values, &l.values, n, l.total);
                    } else l.extrema(first, n, s.reverse);
                    if (s.reverse) std.mem.reverse(T, values);
                    const to = operands[0].dtype;
                    stage.store(T, to, &l.values, 1, n, job.call.ptr[0].? + (o[0] + first * a.step[0]) * to.size(), a.step[0]);
                    if (k == 2) {
                        if (s.reverse) std.mem.reverse(i64, l.indices[0..n]);
                        stage.store(i64, .int64, &l.indices, 1, n, @ptrCast(job.call.at(i64, 1) + o[1] + first * a.step[1]), a.step[1]);
                    }
                    done += n;
                }
            }
        }

        /// The extrema of n elements, whose first has the number `first` (the last, if `reverse`).
        fn extrema(l: *Self, first: usize, n: usize, reverse: bool) void {
            // Most often nothing changes for long.
            var done: usize = 0;
            while (done < n) {
                const m: usize = @min(n - done, 4 * lanes);
                if (m < 4 * lanes or !l.holds(done)) for (done..done + m) |i| {
                    const x = flipped(T, l.values[i], l.flip);
                    if (x != x or x >= l.total) {
                        l.total = x;
                        l.best = @intCast(first + if (reverse) n - 1 - i else i);
                    }
                    l.values[i] = flipped(T, l.total, l.flip);
                    l.indices[i] = l.best;
                };
                done += m;
            }
        }
        inline fn flipped(comptime W: type, x: W, flip: u64) W {
            const n = @sizeOf(W) / 8;
            const bits: @Vector(n, u64) = @bitCast(x);
            return @bitCast(bits ^ @as(@Vector(n, u64), @splat(flip)));
        }
        /// Whether the extremum so far stays that of the four vectors from `i` on, which then get it.
        inline fn holds(l: *Self, i: usize) bool {
            const total: V = @splat(l.total);
            var worse: @Vector(lanes, bool) = @splat(true);
            inline for (0..4) |k| {
                const x = flipped(V, simd.load(T, l.values[i + k * lanes ..].ptr), l.flip);
                worse = worse & ~(x >= total) & (x == x);
            }
            if (!@reduce(.And, worse)) return false;
            inline for (0..4) |k| {
                simd.store(T, l.values[i + k * lanes ..].ptr, flipped(V, total, l.flip));
                simd.store(i64, l.indices[i + k * lanes ..].ptr, @splat(l.best));
            }
            return true;
        }

        fn sums(product: bool, y: [*]T, x: [*]const T, n: usize, carry: T) T {
            return switch (product) {
                inline else => |p| prefixes(p, y, x, n, carry),
            };
        }
        /// y = the running totals of x[0..n] after `carry`: within vectors by doubling steps.
        /// Returns the last. y may be x.
        noinline fn prefixes(comptime product: bool, y: [*]T, x: [*]const T, n: usize, carry: T) T {
            const add = struct {
                inline fn add(comptime W: type, a: W, b: W) W {
                    return if (product) (if (float) a * b else a *% b) else if (float) a + b else a +% b;
                }
            }.add;
            // Not known to the compiler: for shuffles with a zero it finds slow instructions.
            var neutral: V = @splat(if (product) 1 else 0);
            std.mem.doNotOptimizeAway(&neutral);
            const last: @Vector(lanes, i32) = @splat(lanes - 1);
            var totals: V = @splat(carry);
            var done: usize = 0;
            // Products of integers take as long one by one.
            while ((float or !product) and done + lanes <= n) : (done += lanes) {
                var v = simd.load(T, x + done);
                comptime var step = 1;
                inline while (step < lanes) : (step *= 2) {
                    v = add(V, @shuffle(T, v, neutral, shifted(step)), v);
                }
                simd.store(T, y + done, add(V, totals, v));
                totals = add(V, totals, @shuffle(T, v, undefined, last));
            }
            var total = totals[0];
            while (done < n) : (done += 1) {
                total = add(T, total, x[done]);
                y[done] = total;
            }
            return total;
        }
        /// Every lane from the one `step` before it; none there: neutral.
        fn shifted(step: comptime_int) @Vector(lanes, i32) {
            var from: [lanes]i32 = undefined;
            for (&from, 0..) |*f, i| f.* = if (i < step) -1 else i - step;
            return from;
        }

        /// log(exp(total) + exp(x[0]) + ...), in place: sums of exp(x - m), m the largest of a
        /// few, unless they would vanish beside it.
        fn exponentials(l: *Self, values: []T) void {
            var done: usize = 0;
            while (done < values.len) {
                const x = values[done..@min(values.len, done + chunk)];
                done += x.len;
                var m = l.total;
                for (x) |v| m = simd.maxNan(T, m, v);
                if (!(m - @max(l.total, x[0]) < 600) or @abs(m) == std.math.inf(T)) {
                    for (x) |*v| {
                        v.* = addExponentials(@splat(l.total), @splat(v.*))[0];
                        l.total = v.*;
                    }
                    continue;
                }
                const shift: V = @splat(m);
                var powers: [chunk]T align(64) = undefined;
                var i: usize = 0;
                while (i < x.len) : (i += lanes) {
                    const v = logical.part(T, x.ptr + i, x.len - i, m);
                    simd.store(T, powers[i..].ptr, math.exp(V, v - shift));
                }
                _ = prefixes(false, &powers, &powers, x.len, math.exp(V, @splat(l.total - m))[0]);
                i = 0;
                while (i < x.len) : (i += lanes) {
                    const v = math.log(V, simd.load(T, powers[i..].ptr)) + shift;
                    logical.put(T, x.ptr + i, x.len - i, v);
                }
                l.total = x[x.len - 1];
            }
        }
        /// log(exp(total) + exp(x)); equal infinities stay.
        inline fn addExponentials(total: V, x: V) V {
            const large = simd.maxNan(V, total, x);
            const small = simd.minNan(V, total, x);
            const infinity: V = @splat(std.math.inf(T));
            const sum = math.log1p(V, math.exp(V, small - large)) + large;
            return @select(T, (small == large) & (@abs(small) == infinity), x, sum);
        }
    };
}

test {
    _ = @import("scan_test.zig");
    _ = products;
}
