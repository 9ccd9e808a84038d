//! cross_entropy of class indices. The operands are listed in loss.zig.
//!
//! A line is the C logits of one sample. Long contiguous lines are walked by vectors along
//! them; short ones, and those whose logits lie apart, are taken a tile of lines at a time with
//! vectors across. Samples are numbered as the targets are, row-major.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const stage = @import("reduce_stage.zig");
const along = @import("along.zig");
const logical = @import("logical.zig");
const Reduction = @import("loss_pointwise.zig").Reduction;
const Plan = plan.Plan;
const Call = plan.Call;
const Logical = logical.Logical;
const part = logical.part;
const put = logical.put;
const only = logical.only;

const max_tile = 256;

pub const Classes = struct {
    geometry: along.Along,
    reduction: Reduction,
    ignore: i64,
    smoothing: f64,
    weighted: bool,
    rows: bool,
    /// Samples that one work item takes: a tile, or so many rows.
    block: usize,
    blocks: usize,
    /// logits (and gx) may be touched where they lie
    direct_in: bool,
    direct_out: bool,
    /// Of g or loss, and of the targets
    each: Logical,
    target: Logical,
    weight: Logical,
};

pub fn divCeil(a: usize, b: usize) usize {
    return std.math.divCeil(usize, a, b) catch unreachable;
}

pub fn initial(
    p: *Plan,
    walked: []const plan.Operand,
    target: usize,
    each: usize,
    weight: usize,
) plan.PrepareError!*Classes {
    const s = try p.create(Classes);
    const a = try along.Along.init(walked, 1);
    s.* = .{
        .geometry = a,
        .reduction = @fromBackingInt(@as(u8, @intCast(p.ints[0]))),
        .ignore = p.ints[1],
        .smoothing = if (p.floats.len > 0) p.floats[0] else 0,
        .weighted = p.operands[weight].ndim() > 0,
        .rows = false,
        .block = max_tile,
        .blocks = 0,
        .direct_in = false,
        .direct_out = false,
        .each = try .init(p.operands[each]),
        .target = try .init(p.operands[target]),
        .weight = try .init(p.operands[weight]),
    };
    return s;
}

pub fn prepareCrossEntropy(p: *Plan, backward: bool) plan.PrepareError!void {
    // loss, saved, total, logits, target, weight; gx, g, logits, target, saved, total, weight
    const logits = p.operands[if (backward) 2 else 3];
    if (!logits.dtype.isFloat() or logits.ndim() < 2) return error.Unsupported;
    const s = if (backward)
        try initial(p, &.{ p.operands[0], logits }, 3, 1, 6)
    else
        try initial(p, &.{logits}, 4, 0, 5);
    const a = &s.geometry;
    const in: usize = @intFromBool(backward);
    s.rows = a.across.size == 1 or (a.step[in] < a.across.stride[in] and a.n >= 32);
    s.block = if (s.rows)
        std.math.clamp((1 << 16) / @max(1, a.n), 1, 1024)
    else
        std.math.clamp((1 << 14) / @max(1, a.n) / 16 * 16, 16, max_tile);
    s.blocks = if (s.rows)
        divCeil(a.lines, s.block)
    else if (a.lines == 0)
        0
    else
        divCeil(a.across.size, s.block) * (a.lines / a.across.size);
    const double = logits.dtype == .float64;
    const native = if (double) stage.native(f64) else stage.native(f32);
    const packed_in = (if (s.rows) a.step[in] else a.across.stride[in]) == 1;
    const packed_out = (if (s.rows) a.step[0] else a.across.stride[0]) == 1;
    s.direct_in = logits.dtype == native and packed_in;
    s.direct_out = p.operands[0].dtype == native and packed_out;
    p.run = if (double) Runner(f64).chosen(backward) else Runner(f32).chosen(backward);
}

fn Runner(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const Scratch = logical.Scratch(T);
    const low = -std.math.inf(T);

    return struct {
        const Job = struct {
            s: *const Classes,
            plan: *const Plan,
            call: *Call,
            backward: bool,
            /// (C), ones without weights (there is none if nobody asks for it); and its sum
            weight: [*]const T,
            weight_sum: f64 = 0,
            /// Of every block: the sum of losses, the sum of target weights.
            partial: [*][2]f64 = undefined,
            /// Backward: 1, or the one gradient over the total weight
            scale: f64 = 1,
        };
        /// Some lines: from class to class `step`, from line to line `line` (columns: 1).
        const Tile = struct {
            x: [*]const T,
            x_step: usize,
            x_line: usize,
            gx: [*]T,
            gx_step: usize,
            gx_line: usize,
        };

        fn chosen(backward: bool) plan.Run {
            return if (backward) runBackward else runForward;
        }
        fn outOfMemory(call: *Call) void {
            call.fail(.out_of_memory, .{ 0, 0, 0 });
        }

        fn scratchFor(s: *const Classes) ?Scratch {
            return Scratch.init(if (s.weighted or s.smoothing != 0) 1 else 0, s.geometry.n);
        }
        fn start(p: *const Plan, call: *Call, backward: bool, weight: usize, scratch: *Scratch) Job {
            const s = p.stateAs(Classes);
            const c = s.geometry.n;
            var job: Job = .{
                .s = s,
                .plan = p,
                .call = call,
                .backward = backward,
                .weight = undefined,
                .weight_sum = @floatFromInt(c),
            };
            if (scratch.memory.len == 0) return job;
            const buffer = scratch.take(c);
            job.weight = buffer;
            if (s.weighted) {
                job.weight = s.weight.read(T, call.ptr[weight].?, 0, c, buffer);
                job.weight_sum = 0;
                for (job.weight[0..c]) |w| job.weight_sum += w;
            } else @memset(buffer[0..c], 1);
            return job;
        }

        fn runForward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Classes);
            var scratch = scratchFor(s) orelse return outOfMemory(call);
            defer scratch.deinit();
            var job = start(p, call, false, 5, &scratch);
            const partial = services.allocSlice([2]f64, @max(1, s.blocks)) orelse
                return outOfMemory(call);
            defer services.free(@ptrCast(partial.ptr));
            job.partial = partial.ptr;
            walk(&job);
            if (call.status.load(.monotonic) != 0) return;
            var total: [2]f64 = .{ 0, 0 };
            for (partial[0..s.blocks]) |v| {
                total[0] += v[0];
                total[1] += v[1];
            }
            if (call.ptr[2] != null) call.at(T, 2)[0] = @floatCast(total[1]);
            if (s.reduction == .none) return;
            const loss = if (s.reduction == .mean) total[0] / total[1] else total[0];
            s.each.write(T, call.ptr[0].?, 0, 1, &.{@floatCast(loss)});
        }

        fn runBackward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Classes);
            var scratch = scratchFor(s) orelse return outOfMemory(call);
            defer scratch.deinit();
            var job = start(p, call, true, 6, &scratch);
            if (s.reduction != .none) {
                var buffer: [1]T = undefined;
                job.scale = s.each.read(T, call.ptr[1].?, 0, 1, &buffer)[0];
                if (s.reduction == .mean) job.scale /= call.at(T, 5)[0];
            }
            walk(&job);
        }

        fn walk(job: *const Job) void {
            const s = job.s;
            const size = @max(1, s.block * s.geometry.n);
            services.parallelFor(s.blocks, @max(1, (1 << 13) / size), job.*, piece);
        }

        fn piece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            const call = job.call;
            const in: usize = @intFromBool(job.backward);
            // Rows that lie where the kernels want them are taken together too.
            const direct = s.rows and s.direct_in and (s.direct_out or !job.backward);
            const lines: usize = if (direct) max_tile else if (s.rows) 1 else s.block;
            const size = a.n * lines;
            var scratch = Scratch.init(if (direct) 0 else 2, size) orelse return outOfMemory(call);
            defer scratch.deinit();
            const x_buffer = if (direct) undefined else scratch.take(size);
            const gx_buffer = if (direct) undefined else scratch.take(size);
            const k: usize = if (job.backward) 2 else 3; // logits
            const dtype = job.plan.operands[k].dtype;
            const tiles = if (s.rows) 0 else divCeil(a.across.size, s.block);
            for (begin..end) |b| {
                var sums: [2]f64 = .{ 0, 0 };
                // The samples of this block: `count` of them from `first`, `lines` at a time.
                const column = if (s.rows) 0 else b % tiles * s.block;
                const first = if (s.rows) b * s.block else b / tiles * a.across.size + column;
                const left = if (s.rows) a.lines - first else a.across.size - column;
                const count = @min(s.block, left);
                var sample = first;
                var width: usize = 0;
                while (sample < first + count) : (sample += width) {
                    const beside = a.across.size - sample % a.across.size;
                    width = @min(lines, first + count - sample, beside);
                    const o = a.at(sample / a.across.size, sample % a.across.size);
                    const memory = call.ptr[k].? + o[in] * dtype.size();
                    // Kernels work on whole vectors of columns.
                    const whole = s.rows or width % lanes == 0;
                    var t: Tile = undefined;
                    t.x_line = if (s.rows) a.across.stride[in] else 1;
                    t.gx_line = if (s.rows) a.across.stride[0] else 1;
                    // Lines a multiple of 4 KiB apart meet in one set of the cache: packed, as
                    // they are read twice.
                    const collide = !s.rows and !job.backward and a.n > 8 and
                        a.step[in] * @sizeOf(T) % 4096 == 0;
                    if (s.direct_in and whole and !collide) {
                        t.x = @ptrCast(@alignCast(memory));
                        t.x_step = a.step[in];
                    } else {
                        t.x = x_buffer;
                        t.x_step = lines;
                        stage.loadTile(
                            T,
                            dtype,
                            memory,
                            if (s.rows) 1 else a.n,
                            if (s.rows) 0 else a.step[in],
                            if (s.rows) a.n else width,
                            if (s.rows) a.step[in] else a.across.stride[in],
                            x_buffer,
                            lines,
                        );
                    }
                    if (!job.backward) {
                        forwardTile(job, t, sample, width, &sums);
                        continue;
                    }
                    const out = job.plan.operands[0].dtype;
                    const gx_memory = call.ptr[0].? + o[0] * out.size();
                    const in_place = s.direct_out and whole;
                    t.gx = if (in_place) @ptrCast(@alignCast(gx_memory)) else gx_buffer;
                    t.gx_step = if (in_place) a.step[0] else lines;
                    backwardTile(job, t, sample, width);
                    if (in_place) continue;
                    if (s.rows)
                        stage.store(T, out, gx_buffer, 1, a.n, gx_memory, a.step[0])
                    else
                        stage.storeTile(
                            T,
                            out,
                            gx_buffer,
                            lines,
                            a.n,
                            width,
                            gx_memory,
                            a.step[0],
                            a.across.stride[0],
                        );
                }
                if (!job.backward) job.partial[b] = sums;
            }
        }

        /// Targets of samples; false when one of them is no class.
        fn targets(job: *const Job, sample: usize, width: usize, out: *[max_tile]i64) bool {
            const s = job.s;
            const k: usize = if (job.backward) 3 else 4;
            const read = s.target.read(i64, job.call.ptr[k].?, sample, width, out);
            if (read != out) @memcpy(out[0..width], read[0..width]);
            for (out[0..width]) |t| {
                if (t == s.ignore or (t >= 0 and t < s.geometry.n)) continue;
                job.call.fail(.index_out_of_range, .{ t, @intCast(s.geometry.n), 0 });
                return false;
            }
            return true;
        }

        // --- Forward ------------------------------------------------------------------------

        fn forwardTile(job: *const Job, t: Tile, sample: usize, width: usize, sums: *[2]f64) void {
            const s = job.s;
            const c = s.geometry.n;
            var target: [max_tile]i64 = undefined;
            if (!targets(job, sample, width, &target)) return;
            // Of every line: the maximum, the sum of exp(x - maximum), the smoothing term
            var maximum: [max_tile]T align(64) = undefined;
            var total: [max_tile]T align(64) = undefined;
            var smooth: [max_tile]T align(64) = undefined;
            if (s.rows) {
                var j: usize = 0;
                while (j < width) : (j += lanes)
                    rows(t.x + j * t.x_line, t.x_line, c, width - j, maximum[j..], total[j..]);
                if (s.smoothing != 0) for (0..width) |k| {
                    smooth[k] = rowSmooth(t.x + k * t.x_line, job.weight, c, maximum[k]);
                };
            } else {
                columns(job, t.x, t.x_step, divCeil(width, lanes), .{ &maximum, &total, &smooth });
            }
            const saved: ?[*]T = if (job.call.ptr[1] == null) null else job.call.at(T, 1);
            var i: usize = 0;
            while (i < width) : (i += lanes) {
                const v: [lanes]T = math.log(V, part(T, total[i..].ptr, width - i, 1));
                for (0..@min(lanes, width - i)) |k| total[i + k] = v[k];
            }
            for (0..width) |j| {
                const m: f64 = maximum[j];
                const log_total: f64 = total[j];
                if (saved) |to| {
                    to[sample + j] = maximum[j];
                    to[s.geometry.lines + sample + j] = total[j];
                }
                var loss: f64 = 0;
                if (target[j] != s.ignore) {
                    const y: usize = @intCast(target[j]);
                    const w: f64 = if (s.weighted) job.weight[y] else 1;
                    const x: f64 = t.x[(if (s.rows) y else y * t.x_step) + j * t.x_line];
                    loss = -w * ((x - m) - log_total);
                    if (s.smoothing != 0) {
                        const share = s.smoothing / @as(f64, @floatFromInt(c));
                        const spread = smooth[j] - job.weight_sum * log_total;
                        loss = (1 - s.smoothing) * loss - share * spread;
                    }
                    sums[0] += loss;
                    sums[1] += w;
                }
                if (s.reduction == .none)
                    s.each.write(T, job.call.ptr[0].?, sample + j, 1, &.{@floatCast(loss)});
            }
        }

        /// The maxima of rows of n, `line` apart, and their sums of exponentials: of a vector's
        /// lanes of them, or of the `left` that there are.
        fn rows(x: [*]const T, line: usize, n: usize, left: usize, maximum: []T, total: []T) void {
            const count = @min(lanes, left);
            var ends: [lanes]V = @splat(@splat(0));
            for (ends[0..count], 0..) |*end, k| end.* = rowMaximum(x + k * line, n);
            simd.store(T, maximum.ptr, simd.trees(T, &ends, simd.maxFast));
            for (ends[0..count], 0..) |*end, k|
                end.* = rowExponentials(x + k * line, n, maximum[k]);
            simd.store(T, total.ptr, simd.trees(T, &ends, add));
        }
        inline fn add(comptime W: type, a: W, b: W) W {
            return a + b;
        }
        /// In every lane. nan may get lost: it comes back with the exponentials.
        noinline fn rowMaximum(x: [*]const T, n: usize) V {
            var m: [4]V = @splat(@splat(low));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) inline for (0..4) |k| {
                m[k] = simd.maxFast(V, simd.load(T, x + i + k * lanes), m[k]);
            };
            while (i < n) : (i += lanes) m[0] = simd.maxFast(V, part(T, x + i, n - i, low), m[0]);
            const a = simd.maxFast(V, m[0], m[1]);
            const b = simd.maxFast(V, m[2], m[3]);
            return simd.maxFast(V, a, b);
        }
        noinline fn rowExponentials(x: [*]const T, n: usize, maximum: T) V {
            const m: V = @splat(maximum);
            var total: V = @splat(0);
            var i: usize = 0;
            while (i < n) {
                const end = @min(n, i + 4096);
                var sums: [2]V = @splat(@splat(0));
                while (i + 2 * lanes <= end) : (i += 2 * lanes) inline for (0..2) |k| {
                    sums[k] += math.exp(V, simd.load(T, x + i + k * lanes) - m);
                };
                // Not of -inf: what underflows takes several times as long.
                while (i < end) : (i += lanes) sums[0] +=
                    only(T, end - i, math.exp(V, part(T, x + i, end - i, maximum) - m));
                total += sums[0] + sums[1];
            }
            return total;
        }
        /// The sum of weight (x - maximum)
        fn rowSmooth(x: [*]const T, weight: [*]const T, n: usize, maximum: T) T {
            const m: V = @splat(maximum);
            var total: f64 = 0;
            var i: usize = 0;
            while (i < n) {
                const end = @min(n, i + 4096);
                var sum: V = @splat(0);
                while (i < end) : (i += lanes) {
                    const w = part(T, weight + i, end - i, 0);
                    sum = simd.fma(V, w, part(T, x + i, end - i, maximum) - m, sum);
                }
                total += simd.reduceAdd(sum);
            }
            return @floatCast(total);
        }
        /// The same three of vectors of lines side by side. Row after row, as memory lies.
        fn columns(job: *const Job, x: [*]const T, step: usize, vectors: usize, out: [3]*[max_tile]T) void {
            const n = job.s.geometry.n;
            var m: [max_tile / lanes]V = @splat(@splat(low));
            for (0..n) |i| for (m[0..vectors], 0..) |*v, k| {
                v.* = simd.maxFast(V, simd.load(T, x + i * step + k * lanes), v.*);
            };
            var total: [max_tile / lanes]V = @splat(@splat(0));
            var i: usize = 0;
            while (i < n) {
                var sums: [max_tile / lanes]V = @splat(@splat(0));
                const end = @min(n, i + 128);
                while (i < end) : (i += 1) for (sums[0..vectors], m[0..vectors], 0..) |*sum, v, k| {
                    sum.* += math.exp(V, simd.load(T, x + i * step + k * lanes) - v);
                };
                for (&total, sums) |*t, sum| t.* += sum;
            }
            for (0..vectors) |k| {
                simd.store(T, out[0][k * lanes ..].ptr, m[k]);
                simd.store(T, out[1][k * lanes ..].ptr, total[k]);
                var smooth: V = @splat(0);
                if (job.s.smoothing != 0) for (0..n) |r| {
                    const d = simd.load(T, x + r * step + k * lanes) - m[k];
                    smooth = simd.fma(V, @splat(job.weight[r]), d, smooth);
                };
                simd.store(T, out[2][k * lanes ..].ptr, smooth);
            }
        }

        // --- Backward -----------------------------------------------------------------------

        /// One line of gx but for the target. numbers: maximum, log_total, a, b
        fn rowGradient(job: *const Job, gx: [*]T, x: [*]const T, numbers: [4]V) void {
            const m, const log_total, const a, const b = numbers;
            const c = job.s.geometry.n;
            const smooth = job.s.smoothing != 0;
            var i: usize = 0;
            if (!smooth) while (i + 2 * lanes <= c) : (i += 2 * lanes) inline for (0..2) |k| {
                const p = math.exp(V, (simd.load(T, x + i + k * lanes) - m) - log_total);
                simd.store(T, gx + i + k * lanes, p * a);
            };
            while (i < c) : (i += lanes) {
                const p = math.exp(V, (part(T, x + i, c - i, 0) - m) - log_total);
                var v = p * a;
                if (smooth) v = simd.fma(V, part(T, job.weight + i, c - i, 0), b, v);
                put(T, gx + i, c - i, v);
            }
        }

        /// gx = p a + w b, and then gx[target] -= d, with numbers of every line
        fn backwardTile(job: *const Job, t: Tile, sample: usize, width: usize) void {
            const s = job.s;
            const c = s.geometry.n;
            var target: [max_tile]i64 = undefined;
            if (!targets(job, sample, width, &target)) return;
            var g_buffer: [max_tile]T = undefined;
            const each = s.reduction == .none;
            const g = if (each)
                s.each.read(T, job.call.ptr[1].?, sample, width, &g_buffer)
            else
                undefined;
            const share = s.smoothing / @as(f64, @floatFromInt(c));
            var a: [max_tile]T align(64) = @splat(0);
            var b: [max_tile]T align(64) = @splat(0);
            var d: [max_tile]T = undefined;
            for (0..width) |j| {
                if (target[j] == s.ignore) continue;
                const scale = if (each) @as(f64, g[j]) else job.scale;
                const w = if (s.weighted) job.weight[@intCast(target[j])] else 1;
                const own = (1 - s.smoothing) * w * scale;
                a[j] = @floatCast(own + scale * share * job.weight_sum);
                b[j] = @floatCast(-scale * share);
                d[j] = @floatCast(own);
            }
            const saved = job.call.at(T, 4) + sample;
            const log_totals = saved + s.geometry.lines;
            if (s.rows) {
                for (0..width) |j|
                    rowGradient(job, t.gx + j * t.gx_line, t.x + j * t.x_line, .{
                        @splat(saved[j]),
                        @splat(log_totals[j]),
                        @splat(a[j]),
                        @splat(b[j]),
                    });
            } else {
                var m: [max_tile]T align(64) = undefined;
                var log_total: [max_tile]T align(64) = undefined;
                @memcpy(m[0..width], saved[0..width]);
                @memcpy(log_total[0..width], log_totals[0..width]);
                for (0..c) |k| {
                    const w: V = @splat(if (s.smoothing != 0) job.weight[k] else 0);
                    var i: usize = 0;
                    while (i < width) : (i += lanes) {
                        const x = simd.load(T, t.x + k * t.x_step + i) - simd.load(T, m[i..].ptr);
                        const p = math.exp(V, x - simd.load(T, log_total[i..].ptr));
                        var v = p * simd.load(T, a[i..].ptr);
                        if (s.smoothing != 0) v = simd.fma(V, w, simd.load(T, b[i..].ptr), v);
                        simd.store(T, t.gx + k * t.gx_step + i, v);
                    }
                }
            }
            for (0..width) |j| {
                const line = t.gx + j * t.gx_line;
                const step = if (s.rows) 1 else t.gx_step;
                // Without a gradient even where p is nan
                if (target[j] == s.ignore) {
                    for (0..c) |k| line[k * step] = 0;
                } else line[@as(usize, @intCast(target[j])) * step] -= d[j];
            }
        }
    };
}
