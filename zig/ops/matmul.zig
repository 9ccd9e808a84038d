//! Matrix products. All operands of a call have one dtype; outputs are contiguous and overlap
//! no input; inputs may have any strides (a transposed view costs nothing: packing reads
//! through strides). float16 and bfloat16 are multiplied and summed in float32 and rounded
//! once; integers wrap (bool: logical or of ands). No ints or floats unless named. Products of
//! bfloat16 and of int8 use the CPU's dot products where it has them (gemm_words.zig).
//!
//! | row         | operands (outputs first)                                  | ints, scalars            |
//! |-------------|-----------------------------------------------------------|--------------------------|
//! | matmul      | out (B..., M, N), a (B..., M, K), b (B..., K, N)          |                          |
//! | matmul_bias | out, bias (B..., M, N), a, b as above                     | ints: relu, or none      |
//! | matmul_acc  | out, c (B..., M, N), a, b as above                        | scalars: alpha, beta     |
//! | linear      | out (..., N), a (..., K), w (N, K), bias (N)              | ints: has_bias, relu or none |
//! | dot         | out (), a (K), b (K)                                      |                          |
//! | int_mm      | out (M, N) int32, a (M, K) int8 or uint8, b (K, N) int8    |                          |
//! | matmul_into | out (M, N), a (M, K), b (K, N): what out holds, + a @ b   |                          |
//! | complex_matmul | out (B..., M, N, 2), a (B..., M, K, 2), b (B..., K, N, 2)|                       |
//!
//! complex_matmul: as matmul, with a last dimension of 2 for the parts; float32 and float64.
//! matmul_bias: a @ b + bias. matmul_acc: beta * c + alpha * (a @ b); with beta = 0 c is not
//! read. matmul_into: float32 and float64, K at most one chain. The scalars are `.f` for float dtypes and `.i` for integers. Batch dimensions, bias
//! and c come already expanded (stride 0 where broadcast). With has_bias = 0 the fourth
//! operand of linear is 0-d with no address. relu = 1, of float32 and float64: each block of the
//! output goes through relu while it is in the cache. `out` of linear has the leading dimensions of a.
//!
//! Bits: an element is a chain over ascending k cut every 512 steps (gemm_kernel.zig; of
//! bfloat16 k goes 1, 0, 3, 2, ..., and the CPU's dot products take numbers below 2^-126 for 0); where
//! M = 1 or N = 1, in dot, and in linear of float32 where 2 to 4 rows meet N >= 16 and K >= 256, it follows gemm_vector.zig. Python that folds leading
//! dimensions of `a` into M for a 2-d `b` gets the fast path for M = 1 too.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const extensions = @import("../extensions.zig");
const Extension = @import("../cpu.zig").Extension;
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const gemm_outer = @import("gemm_outer.zig");
const gemm_vector = @import("gemm_vector.zig");
const gemm_words = @import("gemm_words.zig");
const matmul_complex = @import("matmul_complex.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const Row = enum(u32) { matmul, matmul_bias, matmul_acc, linear, dot, complex_matmul, int_mm, matmul_into };
pub const names: []const []const u8 = std.meta.fieldNames(Row);
pub const family: plan.Family = .{ .prepare = prepare };
/// The product for kernels of other objects.
pub const shared = @import("gemm_shared.zig");

const max_batch_dims = 16;

/// A matrix product in the form that runs: batches of (m, k) @ (k, n).
const State = struct {
    m: usize,
    n: usize,
    k: usize,
    /// A vector order (gemm_vector.zig) instead of the chain.
    vector: bool,
    /// Rows of a linear layer so few that each is a vector.
    few: bool = false,
    /// Whether operand 3 is added, with which strides.
    adds: bool,
    /// Whether `out` is.
    into: bool = false,
    /// Whether the elements go through relu at the end.
    relu: bool = false,
    a_rs: usize,
    a_cs: usize,
    b_rs: usize,
    b_cs: usize,
    c_rs: usize = 0,
    c_cs: usize = 0,
    batch: usize = 1,
    batch_dims: usize = 0,
    sizes: [max_batch_dims]usize = undefined,
    a_strides: [max_batch_dims]usize = undefined,
    b_strides: [max_batch_dims]usize = undefined,
    c_strides: [max_batch_dims]usize = undefined,

    fn addBatchDim(s: *State, size: usize, a: usize, b: usize, c: usize) void {
        s.sizes[s.batch_dims] = size;
        s.a_strides[s.batch_dims] = a;
        s.b_strides[s.batch_dims] = b;
        s.c_strides[s.batch_dims] = c;
        s.batch_dims += 1;
        s.batch *= size;
    }

    /// Where a, b and c of one member of the batch begin, in elements.
    fn offsets(s: *const State, item: usize) [3]usize {
        var at: [3]usize = .{ 0, 0, 0 };
        var rest = item;
        var dim = s.batch_dims;
        while (dim > 0) {
            dim -= 1;
            const i = rest % s.sizes[dim];
            rest /= s.sizes[dim];
            at[0] += i * s.a_strides[dim];
            at[1] += i * s.b_strides[dim];
            at[2] += i * s.c_strides[dim];
        }
        return at;
    }

    /// The innermost batch dimension becomes rows, where b is the same for all of it and the
    /// rows lie evenly. (With m = 1 that would change the order of summation.)
    fn foldBatch(s: *State) void {
        while (s.batch_dims > 0) {
            const d = s.batch_dims - 1;
            if (s.sizes[d] != 1) {
                if (s.b_strides[d] != 0 or (s.m == 1 and s.n != 1)) return;
                if (s.m == 1) {
                    s.a_rs = s.a_strides[d];
                    s.c_rs = s.c_strides[d];
                } else {
                    if (s.a_strides[d] != s.m * s.a_rs) return;
                    if (s.adds and s.c_strides[d] != s.m * s.c_rs) return;
                }
                s.m *= s.sizes[d];
                s.batch /= s.sizes[d];
            }
            s.batch_dims = d;
        }
    }
};

fn prepare(p: *Plan) plan.PrepareError!void {
    const d = p.operands[0].dtype;
    const row: Row = @fromBackingInt(p.op);
    for (p.operands, 0..) |o, i| {
        const fits = if (row == .int_mm and i > 0) o.dtype.size() == 1 else o.dtype == d;
        if (!fits and !(i == 3 and o.ndim() == 0)) return error.Unsupported;
        if (o.ndim() > max_batch_dims) return error.Unsupported;
    }
    const s = try p.create(State);
    s.* = describe(p, row);
    if (row == .complex_matmul) {
        p.run = switch (d) {
            .float32 => Product(f32).runComplex,
            .float64 => Product(f64).runComplex,
            else => return error.Unsupported,
        };
        return;
    }
    s.vector = s.m == 1 or s.n == 1;
    s.into = row == .matmul_into;
    // (All rows, whether they fold or not.)
    s.few = row == .linear and d == .float32 and gemm_vector.Vector(f32).areFew(s.m * s.batch, s.n, s.k);
    const at: usize = if (row == .linear) 1 else 0;
    if ((row == .linear or row == .matmul_bias) and p.ints.len > at) {
        if (d != .float32 and d != .float64) return error.Unsupported;
        s.relu = p.ints[at] != 0;
    }
    if (s.into and (s.vector or s.k > gemm_kernel.kc_max or (d != .float32 and d != .float64))) return error.Unsupported;
    // An empty batch has nothing to fold (and nothing to run).
    if (s.batch != 0) s.foldBatch();
    p.run = switch (d) {
        .float16, .bfloat16, .float32 => Product(f32).run,
        .float64 => Product(f64).run,
        .bool, .uint8, .int8, .int16, .int32 => Product(i32).run,
        .int64 => Product(i64).run,
    };
}

/// The place of a among the operands: b is behind it.
fn placeOfA(row: Row) usize {
    return if (row == .matmul_bias or row == .matmul_acc) 2 else 1;
}

fn describe(p: *Plan, row: Row) State {
    const a = p.operands[placeOfA(row)];
    const b = p.operands[placeOfA(row) + 1];
    switch (row) {
        .matmul, .matmul_bias, .matmul_acc, .complex_matmul, .int_mm, .matmul_into => {
            const nd = a.ndim() - @as(usize, if (row == .complex_matmul) 1 else 0);
            var s: State = .{
                .m = sizeOf(a, nd - 2),
                .n = sizeOf(b, nd - 1),
                .k = sizeOf(a, nd - 1),
                .vector = false,
                .adds = row == .matmul_bias or row == .matmul_acc,
                .a_rs = strideOf(a, nd - 2),
                .a_cs = strideOf(a, nd - 1),
                .b_rs = strideOf(b, nd - 2),
                .b_cs = strideOf(b, nd - 1),
            };
            if (s.adds) {
                s.c_rs = strideOf(p.operands[1], nd - 2);
                s.c_cs = strideOf(p.operands[1], nd - 1);
            }
            for (0..nd - 2) |i| {
                const c = if (s.adds) strideOf(p.operands[1], i) else 0;
                s.addBatchDim(sizeOf(a, i), strideOf(a, i), strideOf(b, i), c);
            }
            return s;
        },
        .linear => {
            const nd = a.ndim();
            var s: State = .{
                .m = 1,
                .n = sizeOf(b, 0),
                .k = sizeOf(a, nd - 1),
                .vector = false,
                .adds = p.ints[0] != 0,
                .a_rs = 0,
                .a_cs = strideOf(a, nd - 1),
                .b_rs = strideOf(b, 1),
                .b_cs = strideOf(b, 0),
            };
            if (s.adds) s.c_cs = strideOf(p.operands[3], 0);
            // The order of summation goes by the number of all rows, so they become M before
            // the strides are looked at: the innermost dimension that isn't 1, then what folds.
            for (0..nd - 1) |i| {
                if (sizeOf(a, i) != 1) s.addBatchDim(sizeOf(a, i), strideOf(a, i), 0, 0);
            }
            if (s.batch_dims > 0) {
                s.batch_dims -= 1;
                s.m = s.sizes[s.batch_dims];
                s.a_rs = s.a_strides[s.batch_dims];
                if (s.m != 0) s.batch /= s.m;
            }
            return s;
        },
        .dot => return .{
            .m = 1,
            .n = 1,
            .k = sizeOf(a, 0),
            .vector = true,
            .adds = false,
            .a_rs = 0,
            .a_cs = strideOf(a, 0),
            .b_rs = strideOf(b, 0),
            .b_cs = 0,
        },
    }
}

fn sizeOf(o: plan.Operand, d: usize) usize {
    return @intCast(o.shape[d]);
}
fn strideOf(o: plan.Operand, d: usize) usize {
    return @intCast(o.strides[d]);
}

fn Product(comptime T: type) type {
    return struct {
        const G = gemm.Gemm(T);
        const Strided = pack.Strided(T);
        const native: DType = switch (T) {
            f32 => .float32,
            f64 => .float64,
            i32 => .int32,
            i64 => .int64,
            else => unreachable,
        };
        const is_float = @typeInfo(T) == .float;

        /// One product of the batch.
        const Matrices = struct {
            s: *const State,
            call: *Call,
            /// Of `out`, and of what is added.
            dtype: DType,
            a_dtype: DType,
            b_dtype: DType,
            a: [*]const u8,
            b: [*]const u8,
            c: ?[*]const u8,
            out: [*]u8,
            /// The product in T, row-major (m, n): `out` itself where that is of T.
            sum: [*]T,
            alpha: T,
            beta: T,
            /// The operands were exchanged: rows of the epilogue are columns of the output.
            swapped: bool = false,
            /// Tiles are finished one by one; `sum` is nowhere, unless it is `out`.
            straight: bool,

            fn isNative(x: *const Matrices) bool {
                return x.dtype == native;
            }
            fn readsNative(x: *const Matrices) bool {
                return x.a_dtype == native and x.b_dtype == native;
            }
            /// Whether this product is one of words, and the CPU has the instruction.
            fn usesDot(x: *const Matrices) bool {
                if (!comptime gemm_kernel.hasDot(T)) return false;
                const dtype: DType = if (T == f32) .bfloat16 else .int8;
                if (x.a_dtype != dtype or x.b_dtype != dtype or x.s.k == 0) return false;
                return extensions.extensions() & (if (T == f32) Extension.bfloat16_dot else Extension.int8_dot) != 0;
            }
        };

        const Batches = struct { p: *const Plan, call: *Call };

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            if (s.m == 0 or s.n == 0 or s.batch == 0) return;
            const batches: Batches = .{ .p = p, .call = call };
            const flops = 2 * s.m * s.n * @max(1, s.k);
            // Few large products: the threads share each of them.
            if (flops > 4 * gemm.piece_flops) return runBatches(&batches, 0, s.batch);
            // A matrix-vector product is bound by memory: fewer flop in the same time.
            const cost = if (s.vector) 16 * flops else flops;
            services.parallelFor(s.batch, gemm.grain(gemm.piece_flops, cost), batches, runBatches);
        }

        fn runComplex(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            if (s.m == 0 or s.n == 0 or s.batch == 0) return;
            if (s.k == 0) return @memset(call.at(T, 0)[0 .. 2 * s.m * s.n * s.batch], 0);
            const batches: Batches = .{ .p = p, .call = call };
            const flops = 8 * s.m * s.n * s.k;
            if (flops > 4 * gemm.piece_flops) return runComplexBatches(&batches, 0, s.batch);
            const cost = if (s.m == 1 or s.n == 1) 8 * flops else flops;
            services.parallelFor(s.batch, gemm.grain(gemm.piece_flops, cost), batches, runComplexBatches);
        }

        fn runComplexBatches(job: *const Batches, begin: usize, end: usize) void {
            const s = job.p.stateAs(State);
            const call = job.call;
            const a = job.p.operands[1];
            const b = job.p.operands[2];
            const Complex = matmul_complex.Matrix(T);
            for (begin..end) |item| {
                const at = s.offsets(item);
                const left: Complex = .{
                    .ptr = call.at(T, 1) + at[0],
                    .rs = s.a_rs,
                    .cs = s.a_cs,
                    .part = strideOf(a, a.ndim() - 1),
                };
                const right: Complex = .{
                    .ptr = call.at(T, 2) + at[1],
                    .rs = s.b_rs,
                    .cs = s.b_cs,
                    .part = strideOf(b, b.ndim() - 1),
                };
                const out = call.at(T, 0) + item * 2 * s.m * s.n;
                matmul_complex.product(T, s.m, s.n, s.k, left, right, out, call);
            }
        }

        fn runBatches(job: *const Batches, begin: usize, end: usize) void {
            const p = job.p;
            const call = job.call;
            const s = p.stateAs(State);
            const d = p.operands[0].dtype;
            const bytes = d.size();
            var memory: []align(64) T = &.{};
            const scaled = p.op == @backingInt(Row.matmul_acc);
            const alpha = if (scaled) scalar(call, 0) else 1;
            const beta = if (scaled) scalar(call, 1) else 1;
            const straight = alpha == 1 and beta == 1 and goesStraight(s);
            const sums = d != native and !straight;
            if (sums) memory = services.allocSlice(T, s.m * s.n) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer if (sums) services.free(@ptrCast(memory.ptr));
            const first = placeOfA(@fromBackingInt(p.op));
            const a_dtype = p.operands[first].dtype;
            const b_dtype = p.operands[first + 1].dtype;
            for (begin..end) |item| {
                const at = s.offsets(item);
                const out = call.ptr[0].? + item * s.m * s.n * bytes;
                const x: Matrices = .{
                    .s = s,
                    .call = call,
                    .dtype = d,
                    .a_dtype = a_dtype,
                    .b_dtype = b_dtype,
                    // With k = 0 an operand may have no memory.
                    .a = if (s.k == 0) out else call.ptr[first].? + at[0] * a_dtype.size(),
                    .b = if (s.k == 0) out else call.ptr[first + 1].? + at[1] * b_dtype.size(),
                    .c = if (s.adds) call.ptr[if (first == 1) 3 else 1].? + at[2] * bytes else null,
                    .out = out,
                    .sum = if (d == native) @ptrCast(@alignCast(out)) else memory.ptr,
                    .alpha = alpha,
                    .beta = beta,
                    .straight = straight,
                };
                if (s.vector or s.few) runVector(x) else runMatrix(x);
            }
        }

        /// Whether all of the product's k is in one block of sums that need nothing but a conversion
        /// and a row that is added to all.
        fn goesStraight(s: *const State) bool {
            if (T != f32 and T != i32) return false;
            return !s.vector and s.n > 8 and s.k != 0 and s.k <= gemm_kernel.kc_max and (!s.adds or s.c_rs == 0);
        }

        fn scalar(call: *const Call, i: usize) T {
            return if (is_float) @floatCast(call.scalar[i].f) else @truncate(call.scalar[i].i);
        }

        fn runVector(x: Matrices) void {
            const s = x.s;
            const a: gemm_vector.View = .{
                .ptr = x.a,
                .dtype = x.a_dtype,
                .sj = s.a_rs,
                .sk = s.a_cs,
            };
            const b: gemm_vector.View = .{
                .ptr = x.b,
                .dtype = x.b_dtype,
                .sj = s.b_cs,
                .sk = s.b_rs,
            };
            if (T == f32 and s.few) {
                gemm_vector.Vector(T).runFew(s.m, s.n, s.k, a, s.a_rs, b, x.sum, x.call);
                if (needsEpilogue(x)) finishing(s)(&x, 0, s.m, 0, s.n);
            } else if (s.m == 1) {
                gemm_vector.Vector(T).run(s.n, s.k, a, b, x.sum, x.call);
                if (needsEpilogue(x)) finishing(s)(&x, 0, 1, 0, s.n);
            } else {
                gemm_vector.Vector(T).run(s.m, s.k, b, a, x.sum, x.call);
                if (needsEpilogue(x)) finishing(s)(&x, 0, s.m, 0, 1);
            }
        }

        /// A product so small that setting out the large ones' ways takes longer: chains one by one.
        noinline fn runSmall(x: *const Matrices) void {
            const s = x.s;
            const a: [*]const T = @ptrCast(@alignCast(x.a));
            const b: [*]const T = @ptrCast(@alignCast(x.b));
            for (0..s.m) |i| for (0..s.n) |j| {
                var sum: T = 0;
                for (0..s.k) |l| sum = gemm_kernel.mulAdd(T, a[i * s.a_rs + l * s.a_cs], b[l * s.b_rs + j * s.b_cs], sum);
                x.sum[i * s.n + j] = sum;
            };
            if (needsEpilogue(x.*)) finishing(s)(x, 0, s.m, 0, s.n);
        }

        fn runMatrix(given: Matrices) void {
            var x = given;
            const s = x.s;
            if (comptime is_float) if (s.m * s.n * s.k <= 64 and s.k > 0 and !s.into and x.readsNative() and x.isNative()) return runSmall(&x);
            if (comptime gemm_kernel.hasDot(T)) if (x.usesDot()) return runWords(&x);
            // Few columns: the transposed product, with the long side along the vectors.
            x.swapped = s.n <= 8 and s.n < s.m and (s.a_rs == 1 or !x.readsNative());
            const m = if (x.swapped) s.n else s.m;
            const n = if (x.swapped) s.m else s.n;
            const a: Strided = .{ .ptr = x.a, .dtype = x.a_dtype, .si = s.a_rs, .sk = s.a_cs };
            const b: Strided = .{ .ptr = x.b, .dtype = x.b_dtype, .si = s.b_cs, .sk = s.b_rs };
            const left = if (x.swapped) b else a;
            const right = if (x.swapped) a else b;
            const target: G.Target = .{
                .ptr = x.sum,
                .rs = if (x.swapped) 1 else s.n,
                .cs = if (x.swapped) s.n else 1,
            };
            const by_tile = x.straight and !x.isNative();
            const finishes = needsEpilogue(x) and !by_tile;
            const in_place = x.readsNative();
            gemm_outer.Outer(T).multiply(&.{
                .m = m,
                .n = n,
                .k = s.k,
                .a = .{ .ctx = &left, .pack = Strided.packA },
                .b = .{ .ctx = &right, .pack = Strided.packB },
                .a_view = if (in_place) viewOf(left) else null,
                .b_view = if (in_place) viewOf(right) else null,
                .c = target,
                .adds = s.into,
                .epilogue = if (finishes) .{ .ctx = &x, .run = finishing(s) } else null,
                .output = if (by_tile) outputOf(&x) else null,
            }, x.call);
        }

        /// By dot products of words.
        fn runWords(x: *Matrices) void {
            const s = x.s;
            const Words = gemm_words.Words(T);
            const left: Words = .{ .ptr = @ptrCast(@alignCast(x.a)), .si = s.a_rs, .sk = s.a_cs, .steps = s.k, .length = s.m };
            const right: Words = .{
                .ptr = @ptrCast(@alignCast(x.b)),
                .si = s.b_cs,
                .sk = s.b_rs,
                .steps = s.k,
                .length = s.n,
                .flips = !is_float,
            };
            // Of bytes what the sums begin with; of bfloat16 what is added to each row.
            const alike = is_float and x.alpha == 1 and x.beta == 1 and (!s.adds or s.c_rs == 0);
            const count = if (!is_float) s.m else if (alike and s.adds) s.n else 0;
            var memory: []align(64) T = &.{};
            if (count != 0) memory = services.allocSlice(T, count) orelse return x.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer if (count != 0) services.free(@ptrCast(memory.ptr));
            if (!is_float) left.offsets(memory.ptr, s.m) else if (count != 0) pack.load(T, x.dtype, memory.ptr, x.c.?, s.n, s.c_cs);
            const by_tile = !is_float and x.straight and !x.isNative();
            G.run(&.{
                .m = s.m,
                .n = s.n,
                .k = left.count(),
                .a = .{ .ctx = &left, .pack = Words.packA },
                .b = .{ .ctx = &right, .pack = Words.packB },
                .a_view = if (left.areWords() and s.k % Words.per == 0)
                    .{ .ptr = left.words(), .si = s.a_rs / Words.per, .sk = 1 }
                else
                    null,
                .c = .{ .ptr = x.sum, .rs = s.n },
                .epilogue = if (needsEpilogue(x.*) and !by_tile) .{ .ctx = x, .run = finish } else null,
                .output = if (by_tile) outputOf(x) else null,
                .begin = if (is_float) null else memory.ptr,
                .rounded = if (!alike) null else .{
                    .ptr = @ptrCast(@alignCast(x.out)),
                    .rs = s.n,
                    .added = if (count != 0) @ptrCast(memory.ptr) else null,
                },
                .op = .dot,
                .block = if (is_float) gemm_kernel.kc_max / 2 else 256,
            }, x.call);
        }

        fn viewOf(s: Strided) G.View {
            return .{ .ptr = @ptrCast(@alignCast(s.ptr)), .si = s.si, .sk = s.sk };
        }

        fn finishing(s: *const State) *const fn (*const anyopaque, usize, usize, usize, usize) void {
            return if (is_float and s.relu) finishByRelu else finish;
        }

        fn needsEpilogue(x: Matrices) bool {
            return x.s.adds or !x.isNative() or x.alpha != 1 or x.s.relu;
        }

        /// out = relu(sum + c), or relu(sum) where there is no c, over a rectangle of the output.
        noinline fn finishByRelu(ctx: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void {
            const x: *const Matrices = @ptrCast(@alignCast(ctx));
            if (x.s.adds) finish(ctx, row, rows, col, cols);
            const at, const count, const size = if (x.swapped) .{ row + col * x.s.n, cols, rows } else .{ row * x.s.n + col, rows, cols };
            for (0..count) |i| {
                for (x.sum[at + i * x.s.n ..][0..size]) |*v| v.* = if (v.* < 0) 0 else v.*;
            }
        }

        /// out = round(beta * c + alpha * sum) over a rectangle of the output.
        fn finish(ctx: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void {
            const x: *const Matrices = @ptrCast(@alignCast(ctx));
            if (x.swapped) return finishRows(x, col, cols, row, rows);
            finishRows(x, row, rows, col, cols);
        }

        fn outputOf(x: *const Matrices) G.Output {
            const bytes = x.dtype.size();
            return .{ .ctx = x, .put = finishTile, .to = x.out, .row_bytes = x.s.n * bytes, .column_bytes = bytes };
        }

        /// `finish` of sums that lie elsewhere, `nr` apart.
        fn finishTile(ctx: *const anyopaque, from: [*]T, row: usize, rows: usize, col: usize, cols: usize) void {
            const x: *const Matrices = @ptrCast(@alignCast(ctx));
            finishAlike(x, from, G.Micro.nr, row, rows, col, cols);
        }

        fn finishRows(x: *const Matrices, row: usize, rows: usize, col: usize, cols: usize) void {
            const s = x.s;
            if (x.isNative() and x.alpha == 1 and x.beta == 1 and s.c_cs == 1) {
                for (row..row + rows) |i| {
                    addRow(x.sum + i * s.n + col, x.c.?, i * s.c_rs + col, cols);
                }
                return;
            }
            const reads_c = s.adds and x.beta != 0;
            if ((T == f32 or T == i32) and x.alpha == 1 and x.beta == 1 and (!reads_c or s.c_rs == 0)) {
                return finishAlike(x, x.sum + row * s.n + col, s.n, row, rows, col, cols);
            }
            if (s.n == 1 and rows > 1) return finishRow(x, row, rows, row * s.c_rs, s.c_rs);
            for (row..row + rows) |i| {
                finishRow(x, i * s.n + col, cols, i * s.c_rs + col * s.c_cs, s.c_cs);
            }
        }

        /// y[0..n] += c[at .. at + n].
        fn addRow(y: [*]T, c: [*]const u8, at: usize, n: usize) void {
            const W = simd.lanes(T);
            const from = @as([*]const T, @ptrCast(@alignCast(c))) + at;
            var i: usize = 0;
            inline for (.{ W, @max(1, W / 4), 1 }) |w| while (i + w <= n) : (i += w) {
                const V = @Vector(w, T);
                y[i..][0..w].* = gemm_kernel.add(@as(V, y[i..][0..w].*), @as(V, from[i..][0..w].*));
            };
        }

        /// out = round(sum + c), or of the sum alone, where c is the same for every row. Sums begin at
        /// `from`, rows of them `rs` apart.
        fn finishAlike(x: *const Matrices, from: [*]const T, rs: usize, row: usize, rows: usize, col: usize, cols: usize) void {
            const s = x.s;
            const bytes = x.dtype.size();
            var c: [64]T align(64) = undefined;
            var done: usize = 0;
            while (done < cols) : (done += c.len) {
                const n = @min(c.len, cols - done);
                const at = row * s.n + col + done;
                if (s.adds) pack.load(T, x.dtype, &c, x.c.? + (col + done) * s.c_cs * bytes, n, s.c_cs);
                const added: ?[*]const T = if (s.adds) &c else null;
                if (T == f32 and x.usesDot()) if (comptime gemm_kernel.hasDot(T)) {
                    const to = @as([*]u16, @ptrCast(@alignCast(x.out))) + at;
                    gemm_words.Words(T).storeRows(to, s.n, from + done, rs, rows, n, added);
                    continue;
                };
                pack.storeRows(T, x.dtype, x.out + at * bytes, s.n, from + done, rs, rows, n, added);
            }
        }

        /// Elements at .. at + count of the output, with c from `c_at` on.
        fn finishRow(
            x: *const Matrices,
            at: usize,
            count: usize,
            c_at: usize,
            c_stride: usize,
        ) void {
            const W = simd.lanes(T);
            const V = simd.Vec(T);
            const tile = 16 * W;
            const bytes = x.dtype.size();
            const reads_c = x.s.adds and x.beta != 0;
            var c: [tile]T align(64) = undefined;
            var y: [tile]T align(64) = undefined;
            var done: usize = 0;
            while (done < count) : (done += tile) {
                const n = @min(tile, count - done);
                @memcpy(y[0..n], x.sum[at + done ..][0..n]);
                if (x.alpha != 1) {
                    var i: usize = 0;
                    while (i < n) : (i += W) {
                        const v: V = y[i..][0..W].*;
                        const alpha: V = @splat(x.alpha);
                        y[i..][0..W].* = if (is_float) alpha * v else alpha *% v;
                    }
                }
                if (reads_c) {
                    const from = x.c.? + (c_at + done * c_stride) * bytes;
                    pack.load(T, x.dtype, &c, from, n, c_stride);
                    var i: usize = 0;
                    while (i < n) : (i += W) {
                        const beta: V = @splat(x.beta);
                        y[i..][0..W].* = gemm_kernel.mulAdd(
                            V,
                            beta,
                            c[i..][0..W].*,
                            y[i..][0..W].*,
                        );
                    }
                }
                pack.store(T, x.dtype, x.out + (at + done) * bytes, &y, n);
            }
        }
    };
}

test {
    _ = @import("matmul_test.zig");
}
