//! Scaled dot-product attention, in tiles, without the (Tq, Tk) matrix.
//!
//! Dao et al., FlashAttention-2, 2023 (arXiv 2307.08691): softmax(scale q k^T + mask) v with
//! the maximum and the sum of the softmax corrected as the keys come in; backward computes
//! the scores again from the logsumexp.
//!
//! attention: outputs out (B, H, Tq, Dv), lse (B, H, Tq) (or left out); inputs q (B, H, Tq, D),
//!     k (B, Hkv, Tk, D), v (B, Hkv, Tk, Dv), mask (B, H, Tq, Tk) or left out (0-d).
//! attention_backward: outputs grad_q, grad_k, grad_v (of the shapes of q, k, v; each may be
//!     left out); inputs grad_out, q, k, v, mask (or left out), out, lse.
//!     ints: causal, has_mask.  floats: scale.  No scalars.
//!
//! float16, bfloat16, float32, float64; all of a call alike, but lse is float32 for the half
//! types (which are computed in float32 and rounded once). The mask is bool (true: take part)
//! or of the dtype of q (added). Any strides, also on the outputs; Python expands the mask
//! with strides of 0. H is a multiple of Hkv: head h reads key head h / (H / Hkv) (enable_gqa).
//! causal: query i sees the keys j <= i, counted from the first, as is_causal; with a mask,
//! both hold. A query that sees nothing gives zeros and lse = -inf, and no gradient, as in
//! PyTorch 2.13. With Tk = 0 all do.
//!
//! Not here: dropout of the weights and the gradient of the mask (Python composes these).
//!
//! Bits: tiles of 64 queries and 128 keys (a tile of at most 4 queries takes its scores from
//! dot products by lanes, a larger one from chains of fused multiply-adds over D); keys in
//! ascending order; the gradients of k and v
//! sum over heads of the group, then query tiles, in ascending order. The split among threads
//! changes none of it.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const tile = @import("attention_tile.zig");
const attention_backward = @import("attention_backward.zig");
const decode = @import("attention_decode.zig");
const exp = @import("../math/exp.zig").exp;
const log = @import("../math/log.zig").log;
const Plan = planning.Plan;
const Call = planning.Call;
const block_q = tile.block_q;
const block_k = tile.block_k;

const Row = enum(u32) { attention, attention_backward };
pub const names: []const []const u8 = &.{ "attention", "attention_backward" };
pub const family: planning.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) planning.PrepareError!void {
    const backward = p.op == @backingInt(Row.attention_backward);
    const q = if (backward) p.operands[4] else p.operands[2];
    const k, const v = if (backward) p.operands[5..7].* else p.operands[3..5].*;
    const mask = if (backward) p.operands[7] else p.operands[5];
    if (p.ints[1] != 0) {
        if (mask.ndim() != 4) return error.Unsupported;
        if (mask.dtype != .bool and mask.dtype != q.dtype) return error.Unsupported;
    }
    (try p.create(tile.Sizes)).* = try .init(q, k, v);
    p.run = switch (q.dtype) {
        .float64 => if (backward) &attention_backward.Backward(f64).run else &Forward(f64).run,
        .float16, .bfloat16, .float32 => if (backward)
            &attention_backward.Backward(f32).run
        else
            &Forward(f32).run,
        else => return error.Unsupported,
    };
}

fn Forward(comptime T: type) type {
    return struct {
        call: *Call,
        scores: tile.Scores(T),
        q: tile.View,
        k: tile.Heads(T),
        v: tile.Heads(T),
        out: tile.View,
        /// Where wanted.
        lse: ?tile.View,

        const Job = @This();
        const lanes = simd.lanes(T);
        const V = simd.Vec(T);

        fn run(p: *const Plan, call: *Call) void {
            const sizes = p.stateAs(tile.Sizes);
            const units = sizes.batch * sizes.heads * sizes.tiles();
            if (units == 0) return;
            const k_view: tile.View = .init(p.operands[3], call.ptr[3]);
            const k = tile.Heads(T).init(p.operands[3], k_view, sizes.endsWithFew()) orelse
                return outOfMemory(call, p.operands[3].numel());
            defer k.deinit();
            const v_view: tile.View = .init(p.operands[4], call.ptr[4]);
            const v = tile.Heads(T).init(p.operands[4], v_view, true) orelse
                return outOfMemory(call, p.operands[4].numel());
            defer v.deinit();
            const job: Job = .{
                .call = call,
                .scores = .{
                    .sizes = sizes.*,
                    .scale = @floatCast(p.floats[0]),
                    .causal = p.ints[0] != 0,
                    .mask = if (p.ints[1] != 0) .init(p.operands[5], call.ptr[5]) else null,
                },
                .q = .init(p.operands[2], call.ptr[2]),
                .k = k,
                .v = v,
                .out = .init(p.operands[0], call.ptr[0]),
                .lse = if (call.ptr[1] != null) .init(p.operands[1], call.ptr[1]) else null,
            };
            const queries: usize = @min(block_q, sizes.queries);
            const flops = 2 * queries * sizes.keys * (sizes.d + sizes.dv);
            const grain = @max(1, 1_000_000 / @max(1, flops));
            if (sizes.queries == 1) return services.parallelFor(units, grain, job, decodePart);
            services.parallelFor(units, grain, job, part);
        }

        fn outOfMemory(call: *Call, elements: usize) void {
            call.fail(.out_of_memory, .{ @intCast(elements * @sizeOf(T)), 0, 0 });
        }

        fn part(job: *const Job, begin: usize, end: usize) void {
            const sizes = job.scores.sizes;
            const width = tile.roundUp(T, sizes.dv);
            const q_width = tile.roundUp(T, sizes.d);
            const elements = block_q * (sizes.d + q_width + width + block_k);
            const work = services.allocSlice(T, elements) orelse
                return outOfMemory(job.call, elements);
            defer services.free(@ptrCast(work.ptr));
            const scores = work.ptr;
            const packed_q = scores + block_q * block_k;
            const q = packed_q + block_q * sizes.d;
            const sums = q + block_q * q_width;
            for (begin..end) |unit| {
                const head = unit / sizes.tiles();
                // The longest rows of a causal tile first: threads end together.
                const at = if (job.scores.causal)
                    sizes.tiles() - 1 - unit % sizes.tiles()
                else
                    unit % sizes.tiles();
                const b = head / sizes.heads;
                const h = head % sizes.heads;
                const first = at * block_q;
                const n: usize = @min(block_q, sizes.queries - first);
                tile.loadTile(T, job.q, b, h, first, n, sizes.d, q, packed_q);
                job.queryTile(b, h, first, n, q, packed_q, scores, sums);
            }
        }

        /// Units: heads, of one query each.
        fn decodePart(job: *const Job, begin: usize, end: usize) void {
            const sizes = job.scores.sizes;
            const q_width = tile.roundUp(T, sizes.d);
            const width = tile.roundUp(T, sizes.dv);
            const work = services.allocSlice(T, q_width + width) orelse
                return outOfMemory(job.call, q_width + width);
            defer services.free(@ptrCast(work.ptr));
            const q = work[0..q_width];
            const sums = work[q_width..][0..width];
            for (begin..end) |unit| {
                const b = unit / sizes.heads;
                const h = unit % sizes.heads;
                job.q.read(T, b, h, 0, q[0..sizes.d]);
                @memset(q[sizes.d..], 0);
                const lse = decode.Decode(T).query(&job.scores, b, h, q.ptr, &job.k, &job.v, sums);
                job.out.write(T, b, h, 0, sums[0..sizes.dv]);
                if (job.lse) |view| view.write(T, b, h, 0, @as(*const [1]T, &lse));
            }
        }

        fn queryTile(
            job: *const Job,
            b: usize,
            h: usize,
            first: usize,
            n: usize,
            q: [*]const T,
            packed_q: [*]const T,
            scores: [*]T,
            sums: [*]T,
        ) void {
            const sizes = job.scores.sizes;
            const width = tile.roundUp(T, sizes.dv);
            const kv_head = h / (sizes.heads / sizes.kv_heads);
            const v_rs = job.v.strides[2];
            var state: Softmax(T) = .{};
            const visible = job.scores.visible(first, n);
            var key: usize = 0;
            while (key < visible) : (key += block_k) {
                const nk: usize = @min(block_k, visible - key);
                const k = job.k.at(b, kv_head, key);
                const s = &job.scores;
                s.compute(b, h, first, n, q, packed_q, key, nk, k, job.k.strides, scores);
                var factors: [block_q]T align(64) = undefined;
                state.add(scores, nk, tile.roundUp(T, n), &factors);
                if (key > 0) scaleRows(sums, n, width, &factors);
                const v = job.v.at(b, kv_head, key);
                tile.multiply(T, n, width, nk, scores, 1, block_q, v, v_rs, sums, width, key > 0);
            }
            for (0..n) |i| {
                const row = sums[i * width ..][0..width];
                // A query that saw nothing but masked keys has the sum 0, not nan.
                if (state.sum[i] == 0) @memset(row, 0) else {
                    const divisor: V = @splat(state.sum[i]);
                    var j: usize = 0;
                    while (j < width) : (j += lanes) {
                        simd.store(T, row.ptr + j, simd.load(T, row.ptr + j) / divisor);
                    }
                }
                job.out.write(T, b, h, first + i, row[0..sizes.dv]);
            }
            job.writeLse(b, h, first, n, &state);
        }

        fn writeLse(
            job: *const Job,
            b: usize,
            h: usize,
            first: usize,
            n: usize,
            state: *const Softmax(T),
        ) void {
            const view = job.lse orelse return;
            const s = view.strides;
            const lse = @as([*]T, @ptrCast(@alignCast(view.ptr))) + b * s[0] + h * s[1];
            var c: usize = 0;
            while (c < n) : (c += lanes) {
                const max: V = state.max[c..][0..lanes].*;
                const sum: V = state.sum[c..][0..lanes].*;
                const values: [lanes]T = max + log(V, sum);
                for (c..@min(n, c + lanes)) |i| {
                    const x = if (state.sum[i] == 0) -std.math.inf(T) else values[i - c];
                    lse[(first + i) * s[2]] = x;
                }
            }
        }

        /// Row i times factors[i].
        fn scaleRows(rows: [*]T, n: usize, width: usize, factors: *const [block_q]T) void {
            for (factors[0..n], 0..) |factor, i| {
                if (factor == 1) continue; // the maximum is what it was
                const f: V = @splat(factor);
                var j: usize = 0;
                while (j < width) : (j += lanes) {
                    const at = rows + i * width + j;
                    simd.store(T, at, simd.load(T, at) * f);
                }
            }
        }
    };
}

/// The softmax of each query of a tile over the keys so far.
fn Softmax(comptime T: type) type {
    return struct {
        max: [block_q]T align(64) = @splat(-std.math.inf(T)),
        sum: [block_q]T align(64) = @splat(0),

        const lanes = simd.lanes(T);
        const V = simd.Vec(T);

        /// Turns `nk` rows of scores into exp(score - max); what was summed up before is to
        /// be multiplied by `factors`.
        fn add(s: *@This(), scores: [*]T, nk: usize, cols: usize, factors: *[block_q]T) void {
            const low: V = @splat(-std.math.inf(T));
            var c: usize = 0;
            while (c < cols) : (c += lanes) {
                const old: V = s.max[c..][0..lanes].*;
                var max = old;
                for (0..nk) |r| max = simd.maxFast(V, simd.load(T, scores + r * block_q + c), max);
                // All masked so far: any finite shift will do, -inf would make nan.
                const shift = @select(T, max == low, @as(V, @splat(0)), max);
                var sum: V = @splat(0);
                for (0..nk) |r| {
                    const at = scores + r * block_q + c;
                    const e = exp(V, simd.load(T, at) - shift);
                    simd.store(T, at, e);
                    sum += e;
                }
                const factor = exp(V, old - shift);
                s.sum[c..][0..lanes].* = simd.fma(V, s.sum[c..][0..lanes].*, factor, sum);
                s.max[c..][0..lanes].* = max;
                factors[c..][0..lanes].* = factor;
            }
        }
    };
}

test {
    _ = @import("attention_test.zig");
}
