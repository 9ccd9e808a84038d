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
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { cumsum, cumprod, logcumsumexp, cummax, cummin };

pub const names: []const []const u8 = std.meta.fieldNames(Op);

const Scan = struct {
    geometry: along.Along,
    outputs: usize,
    /// So few lines that each is walked by itself.
    single: bool,
    /// Lines that are walked side by side.
    tile: usize,
    reverse: bool,
};

const max_tile = 32;
/// Elements of a line that are converted at a time.
const chunk = 128;
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
        .single = a.across.size < 4 and op != .logcumsumexp,
        .tile = if (a.n >= 1 << 14) 8 else max_tile,
        .reverse = p.ints.len > 1 and p.ints[1] != 0,
    };
    p.run = switch (op) {
        .logcumsumexp => Runner(f64, .logcumsumexp).run,
        inline else => |o| if (float) Runner(f64, o).run else Runner(i64, o).run,
    };
}

fn Runner(comptime T: type, comptime op: Op) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const VI = simd.Vec(i64);
    const float = T == f64;
    const arg = op == .cummax or op == .cummin;
    const lowest = if (float) -std.math.inf(T) else std.math.minInt(T);
    const highest = if (float) std.math.inf(T) else std.math.maxInt(T);

    return struct {
        const start: T = switch (op) {
            .cumsum => 0,
            .cumprod => 1,
            .cummax, .logcumsumexp => lowest,
            .cummin => highest,
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

        fn linesPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            var values: [chunk * max_tile]T align(64) = undefined;
            var indices: [if (arg) chunk * max_tile else 0]i64 align(64) = undefined;
            for (begin..end) |line| {
                const o = a.at(line / a.across.size, line % a.across.size);
                var total: T = start;
                var best: i64 = if (s.reverse) @intCast(a.n - 1) else 0;
                var done: usize = 0;
                while (done < a.n) {
                    const n = @min(values.len, a.n - done);
                    const first = if (s.reverse) a.n - done - n else done;
                    load(job, o, first, n, 1, &values, 1);
                    for (0..n) |k| {
                        const i = if (s.reverse) n - 1 - k else k;
                        const x = values[i];
                        if (arg) {
                            if (x != x or (if (op == .cummax) x >= total else x <= total)) {
                                total = x;
                                best = @intCast(first + i);
                            }
                            indices[i] = best;
                        } else if (op != .logcumsumexp) total = next(T, total, x);
                        values[i] = total;
                    }
                    store(T, job, 0, o, first, n, 1, &values, 1);
                    if (arg) store(i64, job, 1, o, first, n, 1, &indices, 1);
                    done += n;
                }
            }
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
                            const x = simd.load(T, values[at..].ptr);
                            if (arg) {
                                const ordered = if (op == .cummax) x >= total else x <= total;
                                const better = (x != x) | ordered;
                                const here: VI = @splat(@intCast(first + i));
                                total = @select(T, better, x, total);
                                index = @select(i64, better, here, index);
                                simd.store(i64, indices[at..].ptr, index);
                            } else total = next(V, total, x);
                            simd.store(T, values[at..].ptr, total);
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
