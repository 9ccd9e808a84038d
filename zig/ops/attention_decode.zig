//! Attention of a single query over many keys: what a language model does for each new token.
//!
//! Every key and value is read once, so there is no tile of queries to fill: the scores of as
//! many keys as a vector has lanes come from as many sums, which are added across lanes
//! together; the values are summed up a few columns at a time.
const std = @import("std");
const simd = @import("../simd.zig");
const tile = @import("attention_tile.zig");
const exp = @import("../math/exp.zig").exp;
const log = @import("../math/log.zig").log;
const block = tile.block_k;

pub fn Decode(comptime T: type) type {
    return struct {
        const lanes = simd.lanes(T);
        const V = simd.Vec(T);
        const infinity = std.math.inf(T);

        /// sums = softmax(scores) v for the query `q` of head h, padded to whole vectors as keys
        /// and values are; returns the logsumexp, -inf where the query sees nothing.
        pub fn query(
            s: *const tile.Scores(T),
            b: usize,
            h: usize,
            q: [*]const T,
            k: *const tile.Heads(T),
            v: *const tile.Heads(T),
            sums: []T,
        ) T {
            const kv_head = h / (s.sizes.heads / s.sizes.kv_heads);
            const visible = s.visible(0, 1);
            var weights: [block]T align(64) = undefined;
            var max: T = -infinity;
            var total: V = @splat(0);
            @memset(sums, 0);
            var key: usize = 0;
            while (key < visible) : (key += block) {
                const nk = @min(block, visible - key);
                scores(s, q, k.at(b, kv_head, key), k.strides[2], nk, &weights);
                s.maskRow(b, h, key, nk, &weights);
                var largest: V = @splat(-infinity);
                var r: usize = 0;
                while (r < nk) : (r += lanes) largest = simd.maxFast(V, weights[r..][0..lanes].*, largest);
                const old = max;
                max = simd.maxFast(T, simd.tree(largest, simd.maxFast), old);
                // All masked so far: any finite shift will do, -inf would make nan.
                const shift: V = @splat(if (max == -infinity) 0 else max);
                const factor: V = if (old == max) @splat(1) else exp(V, @as(V, @splat(old)) - shift);
                total *= factor;
                r = 0;
                while (r < nk) : (r += lanes) {
                    const e = exp(V, @as(V, weights[r..][0..lanes].*) - shift);
                    weights[r..][0..lanes].* = e;
                    total += e;
                }
                addValues(&weights, nk, v.at(b, kv_head, key), v.strides[2], factor, sums);
            }
            const sum = simd.reduceAdd(total);
            if (sum == 0) { // nothing seen, or nothing but masked keys
                @memset(sums, 0);
                return -infinity;
            }
            const divisor: V = @splat(sum);
            var j: usize = 0;
            while (j < sums.len) : (j += lanes) {
                simd.store(T, sums.ptr + j, simd.load(T, sums.ptr + j) / divisor);
            }
            return max + log(V, divisor)[0];
        }

        /// to[0..nk] = scale q . k, and -inf to the end of the last vector.
        fn scores(
            s: *const tile.Scores(T),
            q: [*]const T,
            k: [*]const T,
            k_rs: usize,
            nk: usize,
            to: *[block]T,
        ) void {
            const width = tile.roundUp(T, s.sizes.d);
            var r: usize = 0;
            while (r < nk) : (r += lanes) {
                var rows: [lanes][*]const T = undefined;
                for (&rows, 0..) |*row, i| row.* = k + @min(r + i, nk - 1) * k_rs;
                var sums: [lanes]V = @splat(@splat(0));
                var j: usize = 0;
                while (j < width) : (j += lanes) {
                    const x = simd.load(T, q + j);
                    inline for (&sums, rows) |*sum, row| sum.* = simd.fma(V, simd.load(T, row + j), x, sum.*);
                }
                to[r..][0..lanes].* = addAcross(&sums) * @as(V, @splat(s.scale));
            }
            for (to[nk..@min(block, r)]) |*x| x.* = -infinity;
        }

        /// Lane i: the sum of vector i, by halves as simd.reduceAdd.
        inline fn addAcross(vectors: *[lanes]V) V {
            comptime var width = lanes;
            inline while (width > 1) : (width /= 2) {
                comptime var low: [lanes]i32 = undefined;
                comptime var high: [lanes]i32 = undefined;
                inline for (0..lanes) |l| {
                    // The rows of the first vector, then those of the second.
                    const place = comptime l % (lanes / 2);
                    const from: i32 = comptime @intCast(place / (width / 2) * width + place % (width / 2));
                    low[l] = comptime if (l < lanes / 2) from else ~from;
                    high[l] = comptime if (l < lanes / 2) from + width / 2 else ~(from + width / 2);
                }
                inline for (0..width / 2) |i| {
                    const a = vectors[2 * i];
                    const b = vectors[2 * i + 1];
                    vectors[i] = @shuffle(T, a, b, low) + @shuffle(T, a, b, high);
                }
            }
            return vectors[0];
        }

        /// sums = sums * factor + weights v.
        fn addValues(
            weights: *const [block]T,
            nk: usize,
            v: [*]const T,
            v_rs: usize,
            factor: V,
            sums: []T,
        ) void {
            var j: usize = 0;
            while (j + 4 * lanes <= sums.len) : (j += 4 * lanes) {
                addColumns(4, weights, nk, v + j, v_rs, factor, sums.ptr + j);
            }
            while (j < sums.len) : (j += lanes) {
                addColumns(1, weights, nk, v + j, v_rs, factor, sums.ptr + j);
            }
        }
        inline fn addColumns(
            comptime n: usize,
            weights: *const [block]T,
            nk: usize,
            v: [*]const T,
            v_rs: usize,
            factor: V,
            to: [*]T,
        ) void {
            // Even and odd keys apart: twice as many sums that do not wait for each other.
            var even: [n]V = undefined;
            var odd: [n]V = @splat(@splat(0));
            inline for (&even, 0..) |*x, i| x.* = simd.load(T, to + i * lanes) * factor;
            var r: usize = 0;
            while (r + 2 <= nk) : (r += 2) {
                const a: V = @splat(weights[r]);
                const b: V = @splat(weights[r + 1]);
                const row = v + r * v_rs;
                inline for (0..n) |i| {
                    even[i] = simd.fma(V, a, simd.load(T, row + i * lanes), even[i]);
                    odd[i] = simd.fma(V, b, simd.load(T, row + v_rs + i * lanes), odd[i]);
                }
            }
            if (r < nk) inline for (0..n) |i| {
                even[i] = simd.fma(V, @splat(weights[r]), simd.load(T, v + r * v_rs + i * lanes), even[i]);
            };
            inline for (0..n) |i| simd.store(T, to + i * lanes, even[i] + odd[i]);
        }
    };
}
