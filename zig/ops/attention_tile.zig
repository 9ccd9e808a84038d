//! What attention's forward and backward share: tensors seen head by head, and the tile of
//! scores of `block_q` queries and `block_k` keys.
//!
//! Tiles of scores are kept transposed, a row for each key and a lane for each query. So
//! the softmax runs down the columns without a sum across lanes, keys and values are read
//! where they lie, and only the queries are packed, once for all keys.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const simd = @import("../simd.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const gemm_pack = @import("gemm_pack.zig");
const exp = @import("../math/exp.zig").exp;
const Plan = planning.Plan;
const Call = planning.Call;
const Operand = planning.Operand;
const DType = dtype.DType;

pub const block_q: usize = 64;
pub const block_k: usize = 128;
/// Up to here queries are not worth a matrix product.
pub const few_queries: usize = 4;

pub fn roundUp(comptime T: type, n: usize) usize {
    return (n + simd.lanes(T) - 1) / simd.lanes(T) * simd.lanes(T);
}
pub fn ceilDiv(a: usize, b: usize) usize {
    return std.math.divCeil(usize, a, b) catch unreachable;
}

/// A (B, H, T, D) tensor in memory.
pub const View = struct {
    ptr: [*]u8,
    dtype: DType,
    strides: [4]usize,

    pub fn init(o: Operand, ptr: ?[*]u8) View {
        var v: View = .{ .ptr = ptr orelse undefined, .dtype = o.dtype, .strides = @splat(0) };
        for (v.strides[0..o.ndim()], o.strides) |*s, given| s.* = @intCast(given);
        return v;
    }
    fn offset(v: View, b: usize, h: usize, t: usize) usize {
        return b * v.strides[0] + h * v.strides[1] + t * v.strides[2];
    }

    /// One row, widened to T.
    pub fn read(v: View, comptime T: type, b: usize, h: usize, t: usize, to: []T) void {
        const at = v.offset(b, h, t);
        const step = v.strides[3];
        if (T == f64 or v.dtype == .float32) {
            const from = @as([*]const T, @ptrCast(@alignCast(v.ptr))) + at;
            if (step == 1) return @memcpy(to, from[0..to.len]);
            for (to, 0..) |*x, i| x.* = from[i * step];
        } else if (v.dtype == .float16) {
            const from = @as([*]const f16, @ptrCast(@alignCast(v.ptr))) + at;
            var i: usize = 0;
            if (step == 1) while (i + 16 <= to.len) : (i += 16) {
                to[i..][0..16].* = @as(@Vector(16, f32), @as(@Vector(16, f16), from[i..][0..16].*));
            };
            while (i < to.len) : (i += 1) to[i] = from[i * step];
        } else {
            const from = @as([*]const u16, @ptrCast(@alignCast(v.ptr))) + at;
            for (to, 0..) |*x, i| x.* = @bitCast(@as(u32, from[i * step]) << 16);
        }
    }

    /// One row, rounded from T.
    pub fn write(v: View, comptime T: type, b: usize, h: usize, t: usize, from: []const T) void {
        const at = v.offset(b, h, t);
        const step = v.strides[3];
        if (T == f64 or v.dtype == .float32) {
            const to = @as([*]T, @ptrCast(@alignCast(v.ptr))) + at;
            if (step == 1) return @memcpy(to[0..from.len], from);
            for (from, 0..) |x, i| to[i * step] = x;
        } else if (v.dtype == .float16) {
            const to = @as([*]f16, @ptrCast(@alignCast(v.ptr))) + at;
            for (from, 0..) |x, i| to[i * step] = @floatCast(x);
        } else {
            const to = @as([*]dtype.BFloat16, @ptrCast(@alignCast(v.ptr))) + at;
            for (from, 0..) |x, i| to[i * step] = .fromF32(x);
        }
    }
};

/// Keys or values as T, for the matrix products.
pub fn Heads(comptime T: type) type {
    return struct {
        ptr: [*]const T,
        strides: [4]usize,
        memory: ?[]align(64) T = null,

        const Self = @This();

        /// In place where that works, else a copy. `padded`: rows are read in whole vectors.
        pub fn init(o: Operand, view: View, padded: bool) ?Self {
            const d: usize = @intCast(o.shape[3]);
            const native = T == f64 or view.dtype == .float32;
            const whole = view.strides[3] == 1 and d % simd.lanes(T) == 0;
            if (native and (whole or !padded)) {
                return .{ .ptr = @ptrCast(@alignCast(view.ptr)), .strides = view.strides };
            }
            const b: usize, const h: usize, const t: usize =
                .{ @intCast(o.shape[0]), @intCast(o.shape[1]), @intCast(o.shape[2]) };
            const width = roundUp(T, d);
            const memory = services.allocSlice(T, b * h * t * width) orelse return null;
            const Copy = struct {
                view: View,
                to: []T,
                h: usize,
                t: usize,
                d: usize,
                width: usize,
                fn part(c: *const @This(), begin: usize, end: usize) void {
                    for (begin..end) |i| {
                        const row = c.to[i * c.width ..][0..c.width];
                        c.view.read(T, i / c.t / c.h, i / c.t % c.h, i % c.t, row[0..c.d]);
                        @memset(row[c.d..], 0);
                    }
                }
            };
            const copy: Copy =
                .{ .view = view, .to = memory, .h = h, .t = t, .d = d, .width = width };
            services.parallelFor(b * h * t, @max(1, (1 << 14) / @max(1, width)), copy, Copy.part);
            return .{
                .ptr = memory.ptr,
                .strides = .{ h * t * width, t * width, width, 1 },
                .memory = memory,
            };
        }
        pub fn deinit(s: Self) void {
            if (s.memory) |m| services.free(@ptrCast(m.ptr));
        }
        pub fn at(s: Self, b: usize, h: usize, t: usize) [*]const T {
            return s.ptr + b * s.strides[0] + h * s.strides[1] + t * s.strides[2];
        }
    };
}

/// c (m, n) = or += a (m, k) @ b (k, n); n a multiple of the vector, c and b that wide.
pub fn multiply(
    comptime T: type,
    m: usize,
    n: usize,
    k: usize,
    a: [*]const T,
    a_rs: usize,
    a_cs: usize,
    b: [*]const T,
    b_rs: usize,
    c: [*]T,
    c_rs: usize,
    adds: bool,
) void {
    const Micro = gemm_kernel.Kernel(T);
    const target: Micro.Target = .{ .ptr = c, .rs = c_rs };
    var row: usize = 0;
    while (row < m) : (row += Micro.mr) {
        const rows: usize = @min(Micro.mr, m - row);
        var col: usize = 0;
        while (col < n) : (col += Micro.nr) {
            const cols: usize = @min(Micro.nr, n - col);
            const operands: Micro.Operands = .{ .k = k, .a = a + row * a_rs, .a_rs = a_rs, .a_cs = a_cs, .b = b + col, .b_rs = b_rs };
            Micro.panels(operands, target, .{ .row = row, .rows = rows, .col = col, .cols = cols }, adds);
        }
    }
}

pub const Sizes = struct {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    /// Features of queries and keys; of values.
    d: usize,
    dv: usize,

    pub fn init(q: Operand, k: Operand, v: Operand) error{Unsupported}!Sizes {
        for ([_]Operand{ q, k, v }) |o| if (o.ndim() != 4) return error.Unsupported;
        const s: Sizes = .{
            .batch = @intCast(q.shape[0]),
            .heads = @intCast(q.shape[1]),
            .kv_heads = @intCast(k.shape[1]),
            .queries = @intCast(q.shape[2]),
            .keys = @intCast(k.shape[2]),
            .d = @intCast(q.shape[3]),
            .dv = @intCast(v.shape[3]),
        };
        if (k.dtype != q.dtype or v.dtype != q.dtype) return error.Unsupported;
        if (s.kv_heads == 0 and s.heads != 0) return error.Unsupported;
        if (s.heads != 0 and s.heads % s.kv_heads != 0) return error.Unsupported;
        return s;
    }
    /// Whether the last tile is one of few queries.
    pub fn endsWithFew(s: Sizes) bool {
        return (s.queries + block_q - 1) % block_q < few_queries;
    }
    pub fn tiles(s: Sizes) usize {
        return ceilDiv(s.queries, block_q);
    }
};

/// The scores of one tile: s = scale (q . k) + mask.
pub fn Scores(comptime T: type) type {
    return struct {
        sizes: Sizes,
        scale: T,
        causal: bool,
        mask: ?View,

        const Self = @This();
        const lanes = simd.lanes(T);
        const V = simd.Vec(T);
        const low: V = @splat(-std.math.inf(T));

        /// The keys that queries [first, first + n) may see.
        pub fn visible(s: *const Self, first: usize, n: usize) usize {
            return if (s.causal) @min(s.sizes.keys, first + n) else s.sizes.keys;
        }

        /// scores[key][query] for `nk` keys from `key` on, `nq` queries from `query` on.
        /// `q`: (nq, width), `packed_q`: (d, block_q), both zero beyond what there is. With
        /// few queries the rows of k are read to the whole vector.
        pub fn compute(
            s: *const Self,
            b: usize,
            h: usize,
            query: usize,
            nq: usize,
            q: [*]const T,
            packed_q: [*]const T,
            key: usize,
            nk: usize,
            k: [*]const T,
            k_strides: [4]usize,
            scores: [*]T,
        ) void {
            const cols = roundUp(T, nq);
            const rs = k_strides[2];
            const d = s.sizes.d;
            if (nq <= few_queries) {
                dots(nq, roundUp(T, d), q, nk, k, rs, scores);
            } else {
                const cs = k_strides[3];
                multiply(T, nk, cols, d, k, rs, cs, packed_q, block_q, scores, block_q, false);
            }
            const scale: V = @splat(s.scale);
            for (0..nk) |r| {
                var c: usize = 0;
                while (c < cols) : (c += lanes) {
                    const at = scores + r * block_q + c;
                    simd.store(T, at, simd.load(T, at) * scale);
                }
            }
            if (s.mask) |mask| s.applyMask(mask, b, h, query, nq, key, nk, scores);
            if (s.causal and key + nk > query + 1) {
                const first: @Vector(lanes, u32) = simd.iota(lanes, u32);
                for (0..nk) |r| {
                    var c: usize = 0;
                    while (c < cols) : (c += lanes) {
                        // Both counted from the tile's first query, against negative numbers.
                        const here = first + @as(@Vector(lanes, u32), @splat(@intCast(c)));
                        if (key + r <= query) continue;
                        const seen: usize = @min(key + r - query, block_q);
                        const limit: @Vector(lanes, u32) = @splat(@intCast(seen));
                        const at = scores + r * block_q + c;
                        simd.store(T, at, @select(T, here < limit, low, simd.load(T, at)));
                    }
                }
            }
        }

        /// A sum across lanes for every score: the reading of k in its order is what counts
        /// where the queries would fill but a part of a vector.
        fn dots(
            nq: usize,
            width: usize,
            q: [*]const T,
            nk: usize,
            k: [*]const T,
            k_rs: usize,
            scores: [*]T,
        ) void {
            for (0..nk) |r| {
                const row = k + r * k_rs;
                const to = scores + r * block_q;
                simd.store(T, to, @splat(0));
                for (0..nq) |i| {
                    var sum: V = @splat(0);
                    var j: usize = 0;
                    while (j < width) : (j += lanes) {
                        const x = simd.load(T, q + i * width + j);
                        sum = simd.fma(V, simd.load(T, row + j), x, sum);
                    }
                    to[i] = simd.reduceAdd(sum);
                }
            }
        }

        fn applyMask(
            s: *const Self,
            mask: View,
            b: usize,
            h: usize,
            query: usize,
            nq: usize,
            key: usize,
            nk: usize,
            scores: [*]T,
        ) void {
            _ = s;
            const at = mask.offset(b, h, query) + key * mask.strides[3];
            switch (mask.dtype) {
                .bool => applyMaskAs(u8, mask, at, nq, nk, scores),
                .float16 => applyMaskAs(f16, mask, at, nq, nk, scores),
                .bfloat16 => applyMaskAs(dtype.BFloat16, mask, at, nq, nk, scores),
                else => applyMaskAs(T, mask, at, nq, nk, scores),
            }
        }

        /// The mask of a single query on scores[0..nk], a lane for each key.
        pub fn maskRow(s: *const Self, b: usize, h: usize, key: usize, nk: usize, scores: [*]T) void {
            const mask = s.mask orelse return;
            const at = mask.offset(b, h, 0) + key * mask.strides[3];
            const step = mask.strides[3];
            switch (mask.dtype) {
                .bool => maskRowAs(u8, mask.ptr, at, step, nk, scores),
                .float16 => maskRowAs(f16, mask.ptr, at, step, nk, scores),
                .bfloat16 => maskRowAs(dtype.BFloat16, mask.ptr, at, step, nk, scores),
                else => maskRowAs(T, mask.ptr, at, step, nk, scores),
            }
        }
        fn maskRowAs(comptime M: type, ptr: [*]const u8, at: usize, step: usize, nk: usize, scores: [*]T) void {
            const from = @as([*]const M, @ptrCast(@alignCast(ptr))) + at;
            for (scores[0..nk], 0..) |*y, r| maskOne(M, y, from[r * step]);
        }
        inline fn maskOne(comptime M: type, y: *T, x: M) void {
            if (M != u8) y.* += value(M, x) else if (x == 0) y.* = low[0];
        }

        fn applyMaskAs(
            comptime M: type,
            mask: View,
            offset: usize,
            nq: usize,
            nk: usize,
            scores: [*]T,
        ) void {
            const from = @as([*]const M, @ptrCast(@alignCast(mask.ptr))) + offset;
            const q_step = mask.strides[2];
            const k_step = mask.strides[3];
            var done: usize = 0;
            if ((M == u8 or M == T) and q_step != 0 and k_step == 1) {
                // The mask's rows are queries: blocks of it are transposed in registers.
                while (done + lanes <= nk) : (done += lanes) {
                    var c: usize = 0;
                    while (c < nq) : (c += lanes) {
                        var block: [lanes]@Vector(lanes, M) = undefined;
                        inline for (&block, 0..) |*row, i| {
                            row.* = (from + @min(c + i, nq - 1) * q_step + done)[0..lanes].*;
                        }
                        gemm_pack.transpose(M, lanes, &block);
                        inline for (block, 0..) |x, l| {
                            const to = scores + (done + l) * block_q + c;
                            const y = simd.load(T, to);
                            simd.store(T, to, if (M == u8) @select(T, x == @as(@Vector(lanes, u8), @splat(0)), low, y) else y + x);
                        }
                    }
                }
            }
            for (done..nk) |r| {
                const row = scores + r * block_q;
                if (q_step == 0) { // the same for all queries: a padding mask
                    const x = from[r * k_step];
                    var c: usize = 0;
                    while (c < nq) : (c += lanes) { // the lanes beyond nq are never used
                        const y = simd.load(T, row + c);
                        if (M == u8) {
                            if (x == 0) simd.store(T, row + c, low);
                        } else simd.store(T, row + c, y + @as(V, @splat(value(M, x))));
                    }
                } else for (row[0..nq], 0..) |*y, i| maskOne(M, y, from[r * k_step + i * q_step]);
            }
        }
        fn value(comptime M: type, x: M) T {
            return if (M == dtype.BFloat16) x.toF32() else x;
        }
    };
}

/// The rows [t, t + n) of a head in `to` (n, width), and with them transposed in
/// `transposed` (d, block_q), zeros to the whole vector.
pub fn loadTile(
    comptime T: type,
    view: View,
    b: usize,
    h: usize,
    t: usize,
    n: usize,
    d: usize,
    to: [*]T,
    transposed: [*]T,
) void {
    const width = roundUp(T, d);
    for (0..n) |i| {
        const row = to[i * width ..][0..width];
        view.read(T, b, h, t + i, row[0..d]);
        @memset(row[d..], 0);
        for (row[0..d], 0..) |x, j| transposed[j * block_q + i] = x;
    }
    const cols = roundUp(T, n);
    if (cols == n) return;
    for (0..d) |j| @memset(transposed[j * block_q + n ..][0 .. cols - n], 0);
}
