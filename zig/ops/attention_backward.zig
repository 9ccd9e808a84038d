//! The gradients of attention, from scores computed again. The contract is on top of
//! attention.zig.
//!
//! With p = exp(s - lse), dp = grad_out v^T and delta = grad_out . out for each query:
//! grad_v = p^T grad_out, ds = scale p (dp - delta), grad_q = ds k, grad_k = ds^T q.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const tile = @import("attention_tile.zig");
const exp = @import("../math/exp.zig").exp;
const Plan = planning.Plan;
const Call = planning.Call;
const block_q = tile.block_q;
const block_k = tile.block_k;

pub fn Backward(comptime T: type) type {
    return struct {
        call: *Call,
        scores: tile.Scores(T),
        q: tile.View,
        k: tile.Heads(T),
        v: tile.Heads(T),
        out: tile.View,
        lse: tile.View,
        grad_out: tile.View,
        /// Where wanted.
        grad_q: ?tile.View,
        grad_k: ?tile.View,
        grad_v: ?tile.View,

        const Job = @This();
        const lanes = simd.lanes(T);
        const V = simd.Vec(T);

        pub fn run(p: *const Plan, call: *Call) void {
            const sizes = p.stateAs(tile.Sizes);
            const k_view: tile.View = .init(p.operands[5], call.ptr[5]);
            const k = tile.Heads(T).init(p.operands[5], k_view, true) orelse
                return outOfMemory(call, p.operands[5].numel());
            defer k.deinit();
            const v_view: tile.View = .init(p.operands[6], call.ptr[6]);
            const v = tile.Heads(T).init(p.operands[6], v_view, false) orelse
                return outOfMemory(call, p.operands[6].numel());
            defer v.deinit();
            var job: Job = .{
                .call = call,
                .scores = .{
                    .sizes = sizes.*,
                    .scale = @floatCast(p.floats[0]),
                    .causal = p.ints[0] != 0,
                    .mask = if (p.ints[1] != 0) .init(p.operands[7], call.ptr[7]) else null,
                },
                .grad_out = .init(p.operands[3], call.ptr[3]),
                .q = .init(p.operands[4], call.ptr[4]),
                .k = k,
                .v = v,
                .out = .init(p.operands[8], call.ptr[8]),
                .lse = .init(p.operands[9], call.ptr[9]),
                .grad_q = if (call.ptr[0]) |x| .init(p.operands[0], x) else null,
                .grad_k = if (call.ptr[1]) |x| .init(p.operands[1], x) else null,
                .grad_v = if (call.ptr[2]) |x| .init(p.operands[2], x) else null,
            };
            const heads = sizes.batch * sizes.kv_heads;
            const key_tiles = tile.ceilDiv(sizes.keys, block_k);
            if (heads >= services.threadCount() or heads == 0 or key_tiles * sizes.tiles() <= 1) {
                return services.parallelFor(heads, 1, job, headPart);
            }
            // Few heads: first the queries' gradients by query tile, then those of keys and
            // values by key tile. The scores are computed twice, the sums are the same.
            const grad_k, const grad_v = .{ job.grad_k, job.grad_v };
            if (job.grad_q != null) {
                job.grad_k = null;
                job.grad_v = null;
                const units = sizes.batch * sizes.heads * sizes.tiles();
                services.parallelFor(units, 1, job, queryPart);
            }
            if (grad_k == null and grad_v == null) return;
            job.grad_q = null;
            job.grad_k = grad_k;
            job.grad_v = grad_v;
            services.parallelFor(heads * key_tiles, 1, job, keyPart);
        }

        fn outOfMemory(call: *Call, elements: usize) void {
            call.fail(.out_of_memory, .{ @intCast(elements * @sizeOf(T)), 0, 0 });
        }

        /// What a thread works in.
        const Work = struct {
            memory: []align(64) T,
            /// (block_k, block_q) each.
            p: [*]T,
            ds: [*]T,
            /// A tile of queries and of grad_out, (block_q, width); transposed, (d, block_q).
            q: [*]T,
            packed_q: [*]T,
            grad: [*]T,
            packed_grad: [*]T,
            grad_q: [*]T,
            /// Sums for `keys` keys from the first one on, (keys, width).
            grad_k: [*]T,
            grad_v: [*]T,
            lse: [*]T,
            delta: [*]T,
            /// One row of the output.
            out: [*]T,

            fn init(job: *const Job, keys: usize) ?Work {
                const sizes = job.scores.sizes;
                const d = tile.roundUp(T, sizes.d);
                const dv = tile.roundUp(T, sizes.dv);
                const lengths = [_]usize{
                    block_q * block_k, block_q * block_k, block_q * d, block_q * d,
                    block_q * dv,      block_q * dv,      block_q * d, keys * d,
                    keys * dv,         block_q,           block_q,     dv,
                };
                var total: usize = 0;
                for (lengths) |n| total += n;
                const memory = services.allocSlice(T, total) orelse {
                    outOfMemory(job.call, total);
                    return null;
                };
                var w: Work = undefined;
                w.memory = memory;
                var at: [*]T = memory.ptr;
                inline for (.{
                    "p",      "ds",     "q",   "packed_q", "grad", "packed_grad", "grad_q",
                    "grad_k", "grad_v", "lse", "delta",    "out",
                }, lengths) |name, n| {
                    @field(w, name) = at;
                    at += n;
                }
                @memset(w.grad_k[0 .. keys * d], 0);
                @memset(w.grad_v[0 .. keys * dv], 0);
                return w;
            }
            fn deinit(w: *const Work) void {
                services.free(@ptrCast(w.memory.ptr));
            }
        };

        /// Units: key heads. Everything at once.
        fn headPart(job: *const Job, begin: usize, end: usize) void {
            const sizes = job.scores.sizes;
            const group = if (sizes.kv_heads == 0) 0 else sizes.heads / sizes.kv_heads;
            for (begin..end) |unit| {
                const w = Work.init(job, sizes.keys) orelse return;
                defer w.deinit();
                const b = unit / sizes.kv_heads;
                const kv_head = unit % sizes.kv_heads;
                for (kv_head * group..(kv_head + 1) * group) |h| {
                    for (0..sizes.tiles()) |t| job.queryTile(&w, b, h, t, 0, sizes.keys);
                }
                job.writeKeys(&w, b, kv_head, 0, sizes.keys);
            }
        }

        /// Units: query tiles.
        fn queryPart(job: *const Job, begin: usize, end: usize) void {
            const sizes = job.scores.sizes;
            const w = Work.init(job, 0) orelse return;
            defer w.deinit();
            for (begin..end) |unit| {
                const head = unit / sizes.tiles();
                const t = unit % sizes.tiles();
                job.queryTile(&w, head / sizes.heads, head % sizes.heads, t, 0, sizes.keys);
            }
        }

        /// Units: key tiles.
        fn keyPart(job: *const Job, begin: usize, end: usize) void {
            const sizes = job.scores.sizes;
            const key_tiles = tile.ceilDiv(sizes.keys, block_k);
            const group = sizes.heads / sizes.kv_heads;
            for (begin..end) |unit| {
                const w = Work.init(job, block_k) orelse return;
                defer w.deinit();
                const b = unit / key_tiles / sizes.kv_heads;
                const kv_head = unit / key_tiles % sizes.kv_heads;
                const first = unit % key_tiles * block_k;
                const last: usize = @min(sizes.keys, first + block_k);
                for (kv_head * group..(kv_head + 1) * group) |h| {
                    for (0..sizes.tiles()) |t| job.queryTile(&w, b, h, t, first, last);
                }
                job.writeKeys(&w, b, kv_head, first, last);
            }
        }

        fn writeKeys(
            job: *const Job,
            w: *const Work,
            b: usize,
            h: usize,
            first: usize,
            last: usize,
        ) void {
            const sizes = job.scores.sizes;
            const d = tile.roundUp(T, sizes.d);
            const dv = tile.roundUp(T, sizes.dv);
            for (first..last) |t| {
                const i = t - first;
                if (job.grad_k) |g| g.write(T, b, h, t, w.grad_k[i * d ..][0..sizes.d]);
                if (job.grad_v) |g| g.write(T, b, h, t, w.grad_v[i * dv ..][0..sizes.dv]);
            }
        }

        /// Query tile `t` against the keys [first_key, last_key), which begin a block.
        fn queryTile(
            job: *const Job,
            w: *const Work,
            b: usize,
            h: usize,
            t: usize,
            first_key: usize,
            last_key: usize,
        ) void {
            const sizes = job.scores.sizes;
            const first = t * block_q;
            const n: usize = @min(block_q, sizes.queries - first);
            const visible: usize = @min(last_key, job.scores.visible(first, n));
            if (visible <= first_key and job.grad_q == null) return;
            const kv_head = h / (sizes.heads / sizes.kv_heads);
            const d = tile.roundUp(T, sizes.d);
            const dv = tile.roundUp(T, sizes.dv);
            job.loadQueries(w, b, h, first, n);
            if (visible <= first_key) @memset(w.grad_q[0 .. n * d], 0);
            var key = first_key;
            while (key < visible) : (key += block_k) {
                const nk: usize = @min(block_k, visible - key);
                const k = job.k.at(b, kv_head, key);
                const k_rs = job.k.strides[2];
                const v = job.v.at(b, kv_head, key);
                const v_rs, const v_cs = job.v.strides[2..4].*;
                const cols = tile.roundUp(T, n);
                const s = &job.scores;
                s.compute(b, h, first, n, w.q, w.packed_q, key, nk, k, job.k.strides, w.p);
                const grad = w.packed_grad;
                const dp = w.ds;
                const n_dv = sizes.dv;
                tile.multiply(T, nk, cols, n_dv, v, v_rs, v_cs, grad, block_q, dp, block_q, false);
                job.differentiate(w, nk, cols);
                if (job.grad_v != null) {
                    const to = w.grad_v + (key - first_key) * dv;
                    tile.multiply(T, nk, dv, n, w.p, block_q, 1, w.grad, dv, to, dv, true);
                }
                if (job.grad_k != null) {
                    const to = w.grad_k + (key - first_key) * d;
                    tile.multiply(T, nk, d, n, w.ds, block_q, 1, w.q, d, to, d, true);
                }
                if (job.grad_q != null) {
                    const adds = key > first_key;
                    tile.multiply(T, n, d, nk, w.ds, 1, block_q, k, k_rs, w.grad_q, d, adds);
                }
            }
            if (job.grad_q) |g| {
                for (0..n) |i| g.write(T, b, h, first + i, w.grad_q[i * d ..][0..sizes.d]);
            }
        }

        fn loadQueries(
            job: *const Job,
            w: *const Work,
            b: usize,
            h: usize,
            first: usize,
            n: usize,
        ) void {
            const sizes = job.scores.sizes;
            tile.loadTile(T, job.q, b, h, first, n, sizes.d, w.q, w.packed_q);
            tile.loadTile(T, job.grad_out, b, h, first, n, sizes.dv, w.grad, w.packed_grad);
            const s = job.lse.strides;
            const lse = @as([*]const T, @ptrCast(@alignCast(job.lse.ptr))) + b * s[0] + h * s[1];
            const dv = tile.roundUp(T, sizes.dv);
            const out = w.out[0..dv];
            @memset(out[sizes.dv..], 0);
            for (0..n) |i| {
                const x = lse[(first + i) * s[2]];
                // Nothing seen: weights of exp(-inf) = 0, not of exp(-inf + inf).
                w.lse[i] = if (x == -std.math.inf(T)) std.math.inf(T) else x;
                job.out.read(T, b, h, first + i, out[0..sizes.dv]);
                var sum: V = @splat(0);
                var j: usize = 0;
                while (j < dv) : (j += lanes) {
                    const g = simd.load(T, w.grad + i * dv + j);
                    sum = simd.fma(V, simd.load(T, out.ptr + j), g, sum);
                }
                w.delta[i] = simd.reduceAdd(sum);
            }
            @memset(w.lse[n..block_q], std.math.inf(T));
            @memset(w.delta[n..block_q], 0);
        }

        /// w.p: scores to weights; w.ds: gradients of weights to those of q . k.
        fn differentiate(job: *const Job, w: *const Work, nk: usize, cols: usize) void {
            const scale: V = @splat(job.scores.scale);
            var c: usize = 0;
            while (c < cols) : (c += lanes) {
                const lse = simd.load(T, w.lse + c);
                const delta = simd.load(T, w.delta + c);
                for (0..nk) |r| {
                    const at = r * block_q + c;
                    const p = exp(V, simd.load(T, w.p + at) - lse);
                    simd.store(T, w.p + at, p);
                    simd.store(T, w.ds + at, p * (simd.load(T, w.ds + at) - delta) * scale);
                }
            }
        }
    };
}
