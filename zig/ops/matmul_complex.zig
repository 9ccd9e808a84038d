//! Complex matrix products by one real product of twice the size: with the parts apart,
//!
//!     | Cr |   | Ar  -Ai |   | Br |
//!     | Ci | = | Ai   Ar | @ | Bi |
//!
//! so an element is the real chain (gemm_kernel.zig) over the 2 k steps of its row. Four real
//! products' work: with three (Karatsuba) small parts would lose digits to large ones.
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const gemm = @import("gemm.zig");
const pack = @import("gemm_pack.zig");
const DType = @import("../dtype.zig").DType;
const Call = plan.Call;

/// One matrix: element (i, j) at ptr[i * rs + j * cs], its imaginary part `part` after it.
pub fn Matrix(comptime T: type) type {
    return struct { ptr: [*]const T, rs: usize, cs: usize, part: usize };
}

/// out (m, n, 2), contiguous = a (m, k) @ b (k, n).
pub fn product(
    comptime T: type,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix(T),
    b: Matrix(T),
    out: [*]T,
    call: *Call,
) void {
    const G = gemm.Gemm(T);
    const Strided = pack.Strided(T);
    const memory = services.allocSlice(T, 4 * m * k + 2 * k * n + 2 * m * n) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(memory.ptr));
    const left = memory.ptr;
    const right = left + 4 * m * k;
    const sums = right + 2 * k * n;
    const job: Parts(T) = .{ .m = m, .n = n, .k = k, .a = a, .b = b, .left = left, .right = right, .sums = sums, .out = out };
    services.parallelFor(m, gemm.grain(gemm.piece_packed, 4 * k), job, Parts(T).spreadA);
    services.parallelFor(k, gemm.grain(gemm.piece_packed, 2 * n), job, Parts(T).spreadB);
    const d: DType = if (T == f32) .float32 else .float64;
    const x: Strided = .{ .ptr = @ptrCast(left), .dtype = d, .si = 2 * k, .sk = 1 };
    const y: Strided = .{ .ptr = @ptrCast(right), .dtype = d, .si = 1, .sk = n };
    G.run(&.{
        .m = 2 * m,
        .n = n,
        .k = 2 * k,
        .a = .{ .ctx = &x, .pack = Strided.packA },
        .b = .{ .ctx = &y, .pack = Strided.packB },
        .a_view = .{ .ptr = left, .si = 2 * k, .sk = 1 },
        .b_view = .{ .ptr = right, .si = 1, .sk = n },
        .c = .{ .ptr = sums, .rs = n },
    }, call);
    services.parallelFor(m, gemm.grain(gemm.piece_packed, 2 * n), job, Parts(T).join);
}

fn Parts(comptime T: type) type {
    return struct {
        m: usize,
        n: usize,
        k: usize,
        a: Matrix(T),
        b: Matrix(T),
        left: [*]T,
        right: [*]T,
        sums: [*]T,
        out: [*]T,

        fn spreadA(p: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |i| {
                const top = p.left + i * 2 * p.k;
                const bottom = p.left + (p.m + i) * 2 * p.k;
                for (0..p.k) |j| {
                    const at = p.a.ptr + i * p.a.rs + j * p.a.cs;
                    const re = at[0];
                    const im = at[p.a.part];
                    top[j] = re;
                    top[p.k + j] = -im;
                    bottom[j] = im;
                    bottom[p.k + j] = re;
                }
            }
        }

        fn spreadB(p: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |i| for (0..p.n) |j| {
                const at = p.b.ptr + i * p.b.rs + j * p.b.cs;
                p.right[i * p.n + j] = at[0];
                p.right[(p.k + i) * p.n + j] = at[p.b.part];
            };
        }

        fn join(p: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |i| {
                const re = p.sums + i * p.n;
                const im = p.sums + (p.m + i) * p.n;
                const to = p.out + i * p.n * 2;
                for (0..p.n) |j| {
                    to[2 * j] = re[j];
                    to[2 * j + 1] = im[j];
                }
            }
        }
    };
}
