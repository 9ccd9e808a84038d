//! The matrix product for kernels of other objects: compiled once, in the object of matmul
//! (kernel_object.zig exports `Entry`), and reached from others by its hidden symbol.
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const DType = @import("../dtype.zig").DType;
const gemm = @import("gemm.zig");
const pack = @import("gemm_pack.zig");

/// A matrix, or a part of one: element (i, j) at ptr[i * rs + j * cs].
pub fn Matrix(comptime T: type) type {
    return extern struct {
        const Self = @This();
        ptr: [*]T,
        rs: usize,
        cs: usize = 1,

        pub fn at(a: Self, i: usize, j: usize) Self {
            return .{ .ptr = a.ptr + i * a.rs + j * a.cs, .rs = a.rs, .cs = a.cs };
        }
        pub fn get(a: Self, i: usize, j: usize) *T {
            return &a.ptr[i * a.rs + j * a.cs];
        }
        pub fn transposed(a: Self) Self {
            return .{ .ptr = a.ptr, .rs = a.cs, .cs = a.rs };
        }
    };
}

/// C (m, n) -= A (m, k) @ B (k, n), or = where it does not subtract. C's rows or its columns are
/// without gaps.
pub fn Problem(comptime T: type) type {
    return extern struct {
        m: usize,
        n: usize,
        k: usize,
        a: Matrix(T),
        b: Matrix(T),
        c: Matrix(T),
        subtracts: bool,
    };
}

pub fn name(comptime T: type, comptime level: []const u8) [:0]const u8 {
    return "dlgrad_product_" ++ @typeName(T) ++ "_" ++ level;
}

/// All threads share it, unless it is called in a piece of a parallel region.
pub inline fn product(comptime T: type, p: Problem(T), call: *plan.Call) void {
    if (p.m == 0 or p.n == 0) return;
    if (builtin.is_test) return Entry(T).run(&p, call);
    const run = @extern(*const fn (*const Problem(T), *plan.Call) callconv(.c) void, .{
        .name = name(T, @import("build_options").level),
        .visibility = .hidden,
    });
    run(&p, call);
}

pub fn Entry(comptime T: type) type {
    return struct {
        const G = gemm.Gemm(T);
        const Strided = pack.Strided(T);

        pub fn run(given: *const Problem(T), call: *plan.Call) callconv(.c) void {
            // Where C is column after column, its transpose is computed.
            const p: Problem(T) = if (given.c.cs == 1) given.* else .{
                .m = given.n,
                .n = given.m,
                .k = given.k,
                .a = given.b.transposed(),
                .b = given.a.transposed(),
                .c = given.c.transposed(),
                .subtracts = given.subtracts,
            };
            const dtype: DType = if (T == f32) .float32 else .float64;
            const a: Strided = .{ .ptr = @ptrCast(p.a.ptr), .dtype = dtype, .si = p.a.rs, .sk = p.a.cs };
            const b: Strided = .{ .ptr = @ptrCast(p.b.ptr), .dtype = dtype, .si = p.b.cs, .sk = p.b.rs };
            G.run(&.{
                .m = p.m,
                .n = p.n,
                .k = p.k,
                .a = .{ .ctx = &a, .pack = if (p.subtracts) packNegated else Strided.packA },
                .b = .{ .ctx = &b, .pack = Strided.packB },
                .a_view = if (p.subtracts) null else .{ .ptr = p.a.ptr, .si = a.si, .sk = a.sk },
                .b_view = .{ .ptr = p.b.ptr, .si = b.si, .sk = b.sk },
                .c = .{ .ptr = p.c.ptr, .rs = p.c.rs },
                .adds = p.subtracts,
            }, call);
        }

        fn packNegated(ctx: *const anyopaque, dst: [*]T, first: usize, count: usize, k0: usize, kc: usize) void {
            Strided.packA(ctx, dst, first, count, k0, kc);
            const total = kc * G.Micro.mr;
            const W = simd.lanes(T);
            var i: usize = 0;
            while (i + W <= total) : (i += W) simd.store(T, dst + i, -simd.load(T, dst + i));
            while (i < total) : (i += 1) dst[i] = -dst[i];
        }
    };
}
