//! Running totals along one dimension.
//!
//! | row           | outputs                                      | input |
//! |---------------|----------------------------------------------|-------|
//! | cumsum        | y: any dtype                                 | x     |
//! | cumprod       | y: any dtype                                 | x     |
//! | logcumsumexp  | y: a float dtype                             | x     |
//! | cummax cummin | values: the dtype of x; indices: int64       | x     |
//!
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
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { cumsum, cumprod, logcumsumexp, cummax, cummin };

pub const names: []const []const u8 = std.meta.fieldNames(Op);

const Scan = struct {
    geometry: along.Along,
    outputs: usize,
    /// Each line is walked by itself: it is contiguous, or there are few of them.
    single: bool,
    /// Lines that are walked side by side.
    tile: usize,
    reverse: bool,
    /// cummin is cummax of what has these bits turned around: the order is the other way then.
    flip: u64,
};

const max_tile = 32;
/// Elements of a line that are converted at a time.
const chunk = 128;
/// Elements of a line that is walked by itself: they stay in the nearest cache.
const line_chunk = 512;
const work_size = 1 << 14;

fn prepare(p: *Plan) plan.PrepareError!void {
    const op: Op = @fromBackingInt(@as(u3, @intCast(p.op)));
    const float = p.operands[0].dtype.isFloat();
    if (op == .logcumsumexp and !float) return error.Unsupported;
    const s = try p.create(Scan);
    const a = try along.Along.init(p.operands, if (p.ints.len > 0) @intCast(p.ints[0]) else 0);
    s.* = .{
        .geometry = a,
        .outputs = p.n_out,
        .single = a.across.size < 4 or (a.n >= 16 and (a.step[p.n_out] == 1 or a.across.size < along.narrow)),
        .tile = if (a.n >= 1 << 14) 8 else max_tile,
        .reverse = p.ints.len > 1 and p.ints[1] != 0,
        .flip = if (op != .cummin) 0 else if (float) 1 << 63 else std.math.maxInt(u64),
    };
    p.run = switch (op) {
        .logcumsumexp => Runner(f64, .logcumsumexp).run,
        .cummin => if (float) Runner(f64, .cummax).run else Runner(i64, .cummax).run,
        inline else => |o| if (float) Runner(f64, o).run else Runner(i64, o).run,
    };
}

fn Runner(comptime T: type, comptime op: Op) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const VI = simd.Vec(i64);
    const float = T == f64;
    const arg = op == .cummax;
    const lowest = if (float) -std.math.inf(T) else std.math.minInt(T);

    return struct {
        const start: T = switch (op) {
            .cumsum => 0,
            .cumprod => 1,
            .cummax, .cummin, .logcumsumexp => lowest,
        };
        const Job = struct { s: *const Scan, plan: *const Plan, call: *Call };

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Scan);
            const a = &s.geometry;
            if (a.lines == 0 or a.n == 0) return;
            const job: Job = .{ .s = s, .plan = p, .call = call };
            if (s.single) {
                services.parallelFor(a.lines, @max(1, work_size / a.n), job, linesPiece);
            } else {
                const tiles = std.math.divCeil(usize, a.across.size, s.tile) catch unreachable;
                const elements = a.n * @min(s.tile, a.across.size);
                const groups = a.lines / a.across.size;
                services.parallelFor(
                    groups * tiles,
                    @max(1, work_size / elements),
                    job,
                    tilesPiece,
                );
            }
        }

        inline fn next(comptime W: type, total: W, x: W) W {
            return switch (op) {
                .cumsum => if (float) total + x else total +% x,
                .cumprod => if (float) total * x else total *% x,
                .logcumsumexp => addExponentials(total, x),
                else => unreachable,
            };
        }
        /// log(exp(total) + exp(x)); equal infinities stay.
        inline fn addExponentials(total: V, x: V) V {
            const large = simd.maxNan(V, total, x);
            const small = simd.minNan(V, total, x);
            const infinity: V = @splat(std.math.inf(T));
            const sum = math.log1p(V, math.exp(V, small - large)) + large;
            return @select(T, (small == large) & (@abs(small) == infinity), x, sum);
        }

        const Lines = struct {
            values: [line_chunk]T align(64) = undefined,
            indices: [if (arg) line_chunk else 0]i64 align(64) = undefined,
            total: T = start,
            best: i64,
            flip: u64,
        };
        inline fn flipped(comptime W: type, x: W, flip: u64) W {
            const n = @sizeOf(W) / 8;
            const bits: @Vector(n, u64) = @bitCast(x);
            return @bitCast(bits ^ @as(@Vector(n, u64), @splat(flip)));
        }

        fn linesPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            var l: Lines = .{ .best = undefined, .flip = s.flip };
            const sum = op == .cumsum or op == .cumprod;
            const k = s.outputs;
            const native = stage.native(T);
            const direct = sum and a.step[0] == 1 and a.step[k] == 1 and
                job.plan.operands[0].dtype == native and job.plan.operands[k].dtype == native;
            for (begin..end) |line| {
                const o = a.at(line / a.across.size, line % a.across.size);
                if (sum and direct) {
                    const x: [*]const T = job.call.at(T, k) + o[k];
                    const y = job.call.at(T, 0) + o[0];
                    switch (s.reverse) {
                        inline else => |reverse| _ = prefixes(reverse, y, x, a.n, start),
                    }
                    continue;
                }
                l.total = start;
                l.best = if (s.reverse) @intCast(a.n - 1) else 0;
                var done: usize = 0;
                while (done < a.n) {
                    const n = @min(l.values.len, a.n - done);
                    const first = if (s.reverse) a.n - done - n else done;
                    load(job, o, first, n, 1, &l.values, 1);
                    if (arg)
                        extrema(s.reverse, &l, first, n)
                    else if (s.reverse) lineChunk(true, &l, n) else lineChunk(false, &l, n);
                    store(T, job, 0, o, first, n, 1, &l.values, 1);
                    if (arg) store(i64, job, 1, o, first, n, 1, &l.indices, 1);
                    done += n;
                }
            }
        }

        /// The scan of values[0..n].
        fn lineChunk(comptime reverse: bool, l: *Lines, n: usize) void {
            switch (op) {
                .cumsum, .cumprod => l.total = prefixes(reverse, &l.values, &l.values, n, l.total),
                .logcumsumexp => {
                    var done: usize = 0;
                    while (done < n) {
                        const m = @min(chunk, n - done);
                        const at = if (reverse) n - done - m else done;
                        exponentials(reverse, l, l.values[at..][0..m]);
                        done += m;
                    }
                },
                .cummax, .cummin => comptime unreachable,
            }
        }

        fn extrema(reverse: bool, l: *Lines, first: usize, n: usize) void {
            // Most often nothing changes for long: several vectors, then one, then its elements.
            var done: usize = 0;
            while (done < n) {
                var m: usize = @min(n - done, 4 * lanes);
                const many = if (reverse) n - done - m else done;
                if (m < 4 * lanes or !holds(4, l, many)) {
                    const end = done + m;
                    while (done < end) : (done += m) {
                        m = if (end - done >= lanes) lanes else 1;
                        const at = if (reverse) n - done - m else done;
                        if (m == 1 or !holds(1, l, at)) {
                            for (0..m) |k| one(l, first, if (reverse) at + m - 1 - k else at + k);
                        }
                    }
                } else done += m;
            }
        }
        fn one(l: *Lines, first: usize, i: usize) void {
            const x = flipped(T, l.values[i], l.flip);
            if (x != x or x >= l.total) {
                l.total = x;
                l.best = @intCast(first + i);
            }
            l.values[i] = flipped(T, l.total, l.flip);
            l.indices[i] = l.best;
        }
        /// Whether the extremum so far stays that of the vectors from `i` on, which then get it.
        inline fn holds(comptime vectors: comptime_int, l: *Lines, i: usize) bool {
            const total: V = @splat(l.total);
            var worse: @Vector(lanes, bool) = @splat(true);
            inline for (0..vectors) |k| {
                const x = flipped(V, simd.load(T, l.values[i + k * lanes ..].ptr), l.flip);
                worse = worse & ~(x >= total) & (x == x);
            }
            if (!@reduce(.And, worse)) return false;
            inline for (0..vectors) |k| {
                simd.store(T, l.values[i + k * lanes ..].ptr, flipped(V, total, l.flip));
                simd.store(i64, l.indices[i + k * lanes ..].ptr, @splat(l.best));
            }
            return true;
        }

        inline fn add(comptime W: type, a: W, b: W) W {
            return if (op == .cumprod) (if (float) a * b else a *% b) else if (float) a + b else a +% b;
        }
        /// y = the running totals of x[0..n] after `carry`: within vectors by doubling steps.
        /// Returns the last. y may be x.
        noinline fn prefixes(comptime reverse: bool, y: [*]T, x: [*]const T, n: usize, carry: T) T {
            // Not known to the compiler: for shuffles with a zero it finds slow instructions.
            var neutral: V = @splat(if (op == .cumprod) 1 else 0);
            std.mem.doNotOptimizeAway(&neutral);
            const last: @Vector(lanes, i32) = @splat(if (reverse) 0 else lanes - 1);
            var totals: V = @splat(carry);
            var done: usize = 0;
            while (done + lanes <= n) : (done += lanes) {
                const at = if (reverse) n - done - lanes else done;
                var v = simd.load(T, x + at);
                comptime var step = 1;
                inline while (step < lanes) : (step *= 2) {
                    v = add(V, @shuffle(T, v, neutral, shifted(reverse, step)), v);
                }
                simd.store(T, y + at, add(V, totals, v));
                totals = add(V, totals, @shuffle(T, v, undefined, last));
            }
            var total = totals[0];
            while (done < n) : (done += 1) {
                const i = if (reverse) n - 1 - done else done;
                total = add(T, total, x[i]);
                y[i] = total;
            }
            return total;
        }
        /// Every lane from the one `step` before it in the scan's order; none there: neutral.
        fn shifted(reverse: bool, step: comptime_int) @Vector(lanes, i32) {
            var from: [lanes]i32 = undefined;
            for (&from, 0..) |*f, i| {
                const k: i32 = @as(i32, @intCast(i)) + (if (reverse) step else -step);
                f.* = if (k < 0 or k >= lanes) -1 else k;
            }
            return from;
        }

        /// log(exp(total) + exp(x[0]) + ...) of a few elements, in place: sums of exp(x - m), m
        /// the largest, unless they would vanish beside it.
        fn exponentials(comptime reverse: bool, l: *Lines, x: []T) void {
            const head = x[if (reverse) x.len - 1 else 0];
            var m = l.total;
            for (x) |v| m = simd.maxNan(T, m, v);
            if (!(m - @max(l.total, head) < 600) or @abs(m) == std.math.inf(T)) {
                for (0..x.len) |k| {
                    const i = if (reverse) x.len - 1 - k else k;
                    x[i] = addExponentials(@splat(l.total), @splat(x[i]))[0];
                    l.total = x[i];
                }
                return;
            }
            const shift: V = @splat(m);
            var sums: [chunk]T align(64) = undefined;
            var i: usize = 0;
            while (i < x.len) : (i += lanes) {
                const v = logical.part(T, x.ptr + i, x.len - i, m);
                simd.store(T, sums[i..].ptr, math.exp(V, v - shift));
            }
            _ = prefixes(reverse, &sums, &sums, x.len, math.exp(V, @splat(l.total - m))[0]);
            i = 0;
            while (i < x.len) : (i += lanes) {
                const v = math.log(V, simd.load(T, sums[i..].ptr)) + shift;
                logical.put(T, x.ptr + i, x.len - i, v);
            }
            l.total = x[if (reverse) 0 else x.len - 1];
        }

        fn tilesPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            const tile = s.tile;
            const tiles = std.math.divCeil(usize, a.across.size, tile) catch unreachable;
            const rows = chunk * max_tile / tile;
            var values: [chunk * max_tile]T align(64) = undefined;
            var indices: [if (arg) chunk * max_tile else 0]i64 align(64) = undefined;
            for (begin..end) |number| {
                const column = number % tiles * tile;
                const width: usize = @min(tile, a.across.size - column);
                const o = a.at(number / tiles, column);
                var totals: [max_tile / lanes]V = @splat(@splat(start));
                var best: [max_tile / lanes]VI =
                    @splat(@splat(if (s.reverse) @as(i64, @intCast(a.n)) - 1 else 0));
                var done: usize = 0;
                while (done < a.n) {
                    const n = @min(rows, a.n - done);
                    const first = if (s.reverse) a.n - done - n else done;
                    load(job, o, first, n, width, &values, tile);
                    var c: usize = 0;
                    while (c < width) : (c += lanes) {
                        var total = totals[c / lanes];
                        var index = best[c / lanes];
                        for (0..n) |k| {
                            const i = if (s.reverse) n - 1 - k else k;
                            const at = i * tile + c;
                            const x = flipped(V, simd.load(T, values[at..].ptr), s.flip);
                            if (arg) {
                                const better = (x != x) | (x >= total);
                                const here: VI = @splat(@intCast(first + i));
                                total = @select(T, better, x, total);
                                index = @select(i64, better, here, index);
                                simd.store(i64, indices[at..].ptr, index);
                            } else total = next(V, total, x);
                            simd.store(T, values[at..].ptr, flipped(V, total, s.flip));
                        }
                        totals[c / lanes] = total;
                        best[c / lanes] = index;
                    }
                    store(T, job, 0, o, first, n, width, &values, tile);
                    if (arg) store(i64, job, 1, o, first, n, width, &indices, tile);
                    done += n;
                }
            }
        }

        /// Rows [first, first + n) of a tile, `dst` (n, dst_stride).
        fn load(
            job: *const Job,
            o: [along.max_operands]usize,
            first: usize,
            n: usize,
            width: usize,
            dst: [*]T,
            dst_stride: usize,
        ) void {
            const a = &job.s.geometry;
            const k = job.s.outputs;
            const dtype = job.plan.operands[k].dtype;
            const src = job.call.ptr[k].? + (o[k] + first * a.step[k]) * dtype.size();
            // One line is a row of a tile, not a column of elements far apart.
            if (dst_stride == 1) return stage.load(T, dtype, src, n, a.step[k], dst, 1);
            stage.loadTile(T, dtype, src, n, a.step[k], width, a.across.stride[k], dst, dst_stride);
        }
        fn store(
            comptime U: type,
            job: *const Job,
            k: usize,
            o: [along.max_operands]usize,
            first: usize,
            n: usize,
            width: usize,
            src: [*]const U,
            src_stride: usize,
        ) void {
            const a = &job.s.geometry;
            const dtype = job.plan.operands[k].dtype;
            const dst = job.call.ptr[k].? + (o[k] + first * a.step[k]) * dtype.size();
            if (src_stride == 1) return stage.store(U, dtype, src, 1, n, dst, a.step[k]);
            stage.storeTile(
                U,
                dtype,
                src,
                src_stride,
                n,
                width,
                dst,
                a.step[k],
                a.across.stride[k],
            );
        }
    };
}

test {
    _ = @import("scan_test.zig");
}
