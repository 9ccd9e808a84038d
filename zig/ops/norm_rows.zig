//! layer_norm and rms_norm: a row of D elements is normalised by its own statistics.
//! The rows of operands are listed in norm.zig.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const kernels = @import("reduce_kernels.zig");
const logical = @import("logical.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Logical = logical.Logical;
const part = logical.part;
const put = logical.put;

const max_operands = 8;

const Rows = struct {
    operand: [max_operands]Logical,
    present: [max_operands]bool,
    /// x is (m, d)
    m: usize,
    d: usize,
    /// Backward: rows whose weight gradients are summed before they join the others.
    block: usize,
};
const work_size = 1 << 14;
/// Rows up to this long have their statistics found together: they stay in the cache meanwhile.
const short = 256;
/// Elements that are summed in T before their sum joins the others in f64.
const sum_block = 4096;

pub fn prepare(p: *Plan, x: plan.Operand) plan.PrepareError!void {
    const s = try p.create(Rows);
    const d: usize = @intCast(p.ints[0]);
    const m = if (d == 0) 0 else x.numel() / d;
    s.* = .{
        .operand = undefined,
        .present = @splat(false),
        .m = m,
        .d = d,
        .block = std.math.clamp(m / 64, 16, 256),
    };
    for (p.operands, 0..) |o, k| {
        s.operand[k] = try .init(o);
        s.present[k] = o.ndim() > 0;
    }
}

pub fn Runner(comptime T: type, comptime rms: bool) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const Scratch = logical.Scratch(T);
    const moments = kernels.kernel(T, if (rms) .sum_of_squares else .moments);

    return struct {
        const Job = struct {
            plan: *const Plan,
            s: *const Rows,
            call: *Call,
            weight: [*]const T,
            bias: [*]const T = undefined,
            partial: [*]T = undefined,
        };

        fn outOfMemory(call: *Call) void {
            call.fail(.out_of_memory, .{ 0, 0, 0 });
        }
        /// A vector of D parameters in T; `absent` in every place if it was left out.
        fn parameters(s: *const Rows, call: *Call, k: usize, absent: T, buffer: [*]T) [*]const T {
            if (s.present[k]) return s.operand[k].read(T, call.ptr[k].?, 0, s.d, buffer);
            @memset(buffer[0..s.d], absent);
            return buffer;
        }
        /// Slices of working memory for operands that may not be touched where they lie.
        fn buffers(s: *const Rows, operands: []const usize) usize {
            for (operands) |k| if (!s.present[k] or !s.operand[k].direct(T)) return operands.len;
            return 0;
        }
        fn slice(scratch: *Scratch, n: usize) [*]T {
            return if (scratch.memory.len == 0) undefined else scratch.take(n);
        }

        // Operands: y, mean, rstd, x, weight, bias; rms: y, rstd, x, weight
        const forward_x = if (rms) 2 else 3;
        const forward_rstd = if (rms) 1 else 2;

        pub fn forward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Rows);
            if (s.m == 0) return;
            const affine: []const usize = if (rms)
                &.{forward_x + 1}
            else
                &.{ forward_x + 1, forward_x + 2 };
            var scratch = Scratch.init(buffers(s, affine), s.d) orelse return outOfMemory(call);
            defer scratch.deinit();
            const job: Job = .{
                .plan = p,
                .s = s,
                .call = call,
                .weight = parameters(s, call, forward_x + 1, 1, slice(&scratch, s.d)),
                .bias = if (rms) undefined else parameters(
                    s,
                    call,
                    forward_x + 2,
                    0,
                    slice(&scratch, s.d),
                ),
            };
            services.parallelFor(s.m, @max(1, work_size / s.d), job, forwardPiece);
        }

        fn forwardPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const call = job.call;
            var scratch = Scratch.init(buffers(s, &.{ 0, forward_x }), s.d) orelse
                return outOfMemory(call);
            defer scratch.deinit();
            const x_buffer = slice(&scratch, s.d);
            const y_buffer = slice(&scratch, s.d);
            const eps = job.plan.floats[0];
            const together = moments.rows != null and s.d <= short and
                s.operand[forward_x].direct(T);
            var mean: [lanes]T = @splat(0);
            var rstd: [lanes]T = undefined;
            for (begin..end) |i| {
                const at = i * s.d;
                const x = s.operand[forward_x].read(T, call.ptr[forward_x].?, at, s.d, x_buffer);
                const y = s.operand[0].place(T, call.ptr[0].?, at, y_buffer);
                const k = if (together) (i - begin) % lanes else 0;
                if (!together)
                    mean[0], rstd[0] = statistics(x, s.d, eps)
                else if (k == 0)
                    statisticsOfRows(x, s.d, @min(lanes, end - i), eps, &mean, &rstd);
                if (s.present[forward_rstd]) {
                    if (!rms) call.at(T, 1)[i] = mean[k];
                    call.at(T, forward_rstd)[i] = rstd[k];
                }
                normalize(y, x, s.d, mean[k], rstd[k], job.weight, job.bias);
                s.operand[0].write(T, call.ptr[0].?, at, s.d, y);
            }
        }

        /// Of `count` rows of at most a block.
        fn statisticsOfRows(
            x: [*]const T,
            d: usize,
            count: usize,
            eps: f64,
            mean: *[lanes]T,
            rstd: *[lanes]T,
        ) void {
            const W = @Vector(lanes, f64);
            var cells: [kernels.planes * kernels.max_tile]kernels.Cell = undefined;
            moments.rows.?(@ptrCast(x), d, d, count, &cells);
            const planes: [*]const f64 = @ptrCast(&cells);
            const squares: W = planes[if (rms) 0 else kernels.max_tile..][0..lanes].*;
            const variance = squares / @as(W, @splat(@floatFromInt(d))) + @as(W, @splat(eps));
            rstd.* = @as(V, @floatCast(@as(W, @splat(1)) / @sqrt(variance)));
            if (!rms) mean.* = @as(V, @floatCast(@as(W, planes[0..lanes].*)));
        }

        fn statistics(x: [*]const T, d: usize, eps: f64) [2]T {
            var total: kernels.State = undefined;
            var i: usize = 0;
            while (i < d) : (i += kernels.row_block) {
                var state: kernels.State = undefined;
                moments.row(@ptrCast(x + i), @min(kernels.row_block, d - i), 0, &state);
                if (i == 0) total = state else moments.merge(&total, &state, 1, 1);
            }
            const count: f64 = @floatFromInt(d);
            if (rms) return .{ 0, @floatCast(1 / @sqrt(total[0].f / count + eps)) };
            return .{ @floatCast(total[0].f), @floatCast(1 / @sqrt(total[1].f / count + eps)) };
        }

        /// y = (x - mean) rstd weight + bias, all (d)
        fn normalize(
            y: [*]T,
            x: [*]const T,
            d: usize,
            mean: T,
            rstd: T,
            weight: [*]const T,
            bias: [*]const T,
        ) void {
            const m: V = @splat(mean);
            const r: V = @splat(rstd);
            var i: usize = 0;
            while (i < d) : (i += lanes) {
                const left = d - i;
                const v = part(T, x + i, left, 0);
                const w = part(T, weight + i, left, 0);
                const scaled = (if (rms) v else v - m) * r;
                put(T, y + i, left, if (rms)
                    scaled * w
                else
                    simd.fma(V, scaled, w, part(T, bias + i, left, 0)));
            }
        }

        // Operands: gx, gw, gb, g, x, mean, rstd, weight; rms: gx, gw, g, x, rstd, weight
        const backward_g = if (rms) 2 else 3;
        const backward_rstd = if (rms) 4 else 6;

        pub fn backward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Rows);
            const affine = s.present[1] or (!rms and s.present[2]);
            const blocks = std.math.divCeil(usize, s.m, s.block) catch unreachable;
            var scratch = Scratch.init(1 + (if (affine) 2 * blocks else 0), s.d) orelse
                return outOfMemory(call);
            defer scratch.deinit();
            const weight = parameters(s, call, backward_rstd + 1, 1, scratch.take(s.d));
            const stride = std.mem.alignForward(usize, s.d, lanes);
            const job: Job = .{
                .plan = p,
                .s = s,
                .call = call,
                .weight = weight,
                .partial = if (affine) scratch.take(2 * blocks * stride) else undefined,
            };
            const grain = @max(1, work_size / @max(1, s.d * s.block));
            if (!affine) return services.parallelFor(blocks, grain, job, backwardPiece(false));
            services.parallelFor(blocks, grain, job, backwardPiece(true));
            services.parallelFor(s.d, @max(256, work_size / (2 * blocks + 1)), job, sumPiece);
        }

        fn backwardPiece(comptime affine: bool) fn (*const Job, usize, usize) void {
            return struct {
                fn piece(job: *const Job, begin: usize, end: usize) void {
                    const s = job.s;
                    const call = job.call;
                    const d = s.d;
                    const walked = [_]usize{ backward_g, backward_g + 1, 0 };
                    var scratch = Scratch.init(buffers(s, &walked), d) orelse
                        return outOfMemory(call);
                    defer scratch.deinit();
                    var buffer: [3][*]T = undefined;
                    for (&buffer) |*p| p.* = slice(&scratch, d);
                    const stride = std.mem.alignForward(usize, d, lanes);
                    for (begin..end) |b| {
                        const gw = if (affine) job.partial + 2 * b * stride else undefined;
                        const gb = if (affine) gw + stride else undefined;
                        if (affine) @memset(gw[0 .. 2 * stride], 0);
                        for (b * s.block..@min((b + 1) * s.block, s.m)) |i| {
                            const at = i * d;
                            const g = s.operand[backward_g].read(
                                T,
                                call.ptr[backward_g].?,
                                at,
                                d,
                                buffer[0],
                            );
                            const x = s.operand[backward_g + 1].read(
                                T,
                                call.ptr[backward_g + 1].?,
                                at,
                                d,
                                buffer[1],
                            );
                            const mean = if (rms) 0 else call.at(T, 5)[i];
                            const rstd = call.at(T, backward_rstd)[i];
                            const sums = rowSums(affine, g, x, d, mean, rstd, job.weight, gw, gb);
                            if (!s.present[0]) continue;
                            const gx = s.operand[0].place(T, call.ptr[0].?, at, buffer[2]);
                            rowGradient(gx, g, x, d, mean, rstd, job.weight, sums);
                            s.operand[0].write(T, call.ptr[0].?, at, d, gx);
                        }
                    }
                }
            }.piece;
        }

        /// The means over a row of g w and of g w xhat; adds the row's part to gw and gb.
        fn rowSums(
            comptime affine: bool,
            g: [*]const T,
            x: [*]const T,
            d: usize,
            mean: T,
            rstd: T,
            weight: [*]const T,
            gw: [*]T,
            gb: [*]T,
        ) [2]T {
            const m: V = @splat(mean);
            const r: V = @splat(rstd);
            var first: f64 = 0;
            var second: f64 = 0;
            var i: usize = 0;
            while (i < d) {
                const end = @min(d, i + sum_block);
                var a: V = @splat(0);
                var b: V = @splat(0);
                while (i < end) : (i += lanes) {
                    const left = d - i;
                    const xhat = (part(T, x + i, left, mean) - m) * r;
                    const gv = part(T, g + i, left, 0);
                    const scaled = gv * part(T, weight + i, left, 0);
                    if (!rms) a += scaled;
                    b = simd.fma(V, scaled, xhat, b);
                    if (affine) { // these two are padded to whole vectors
                        simd.store(T, gw + i, simd.fma(V, gv, xhat, simd.load(T, gw + i)));
                        if (!rms) simd.store(T, gb + i, gv + simd.load(T, gb + i));
                    }
                }
                first += simd.reduceAdd(a);
                second += simd.reduceAdd(b);
            }
            const count: f64 = @floatFromInt(d);
            return .{ @floatCast(first / count), @floatCast(second / count) };
        }

        /// gx = rstd (g w - mean(g w) - xhat mean(g w xhat))
        fn rowGradient(
            gx: [*]T,
            g: [*]const T,
            x: [*]const T,
            d: usize,
            mean: T,
            rstd: T,
            weight: [*]const T,
            means: [2]T,
        ) void {
            const m: V = @splat(mean);
            const r: V = @splat(rstd);
            const first: V = @splat(means[0]);
            const second: V = @splat(-means[1]);
            var i: usize = 0;
            while (i < d) : (i += lanes) {
                const left = d - i;
                const xhat = (part(T, x + i, left, 0) - m) * r;
                const scaled = part(T, g + i, left, 0) * part(T, weight + i, left, 0);
                const centred = if (rms) scaled else scaled - first;
                put(T, gx + i, left, simd.fma(V, xhat, second, centred) * r);
            }
        }

        /// The blocks' parts of columns [begin, end) of gw and gb, joined in f64.
        fn sumPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const W = @Vector(lanes, f64);
            const stride = std.mem.alignForward(usize, s.d, lanes);
            const blocks = std.math.divCeil(usize, s.m, s.block) catch unreachable;
            for (0..if (rms) 1 else 2) |which| {
                if (!s.present[1 + which]) continue;
                var i = begin;
                while (i < end) : (i += lanes) {
                    const n = @min(lanes, end - i);
                    var sum: W = @splat(0);
                    // A vector that begins inside the columns may reach past the padding's
                    // end: those lanes are not used, but must lie in this block's part.
                    for (0..blocks) |b| {
                        const src = job.partial + (2 * b + which) * stride + i;
                        const v: V = part(T, src, stride - i, 0);
                        sum += @as(W, v);
                    }
                    const narrow: [lanes]T = @as(V, @floatCast(sum));
                    s.operand[1 + which].write(T, job.call.ptr[1 + which].?, i, n, &narrow);
                }
            }
        }
    };
}
