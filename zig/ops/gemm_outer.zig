//! Matrix products of few steps (the gradient of a layer's weights from a few rows; outer products):
//! there is more to write than to compute, so C is written a few rows at a time, from their
//! beginnings to their ends, as the CPU fetches memory. Tiles go down the columns, from page to page.
//!
//! Bits: the chain of an element is the one of gemm.zig, of one block.
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");

pub fn Outer(comptime T: type) type {
    return struct {
        const G = gemm.Gemm(T);
        const Problem = G.Problem;
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        /// Rows that go together; vectors of each that the registers hold.
        const together = 4;
        const vectors = if (gemm_kernel.masks) 4 else 1;
        /// Of C: less stays in the caches (in tests all goes this way).
        const least_bytes = if (builtin.is_test) 0 else 256 << 10;

        /// Any product, here if it is of that kind (in float32: elsewhere it would be more code than it is worth).
        pub noinline fn multiply(p: *const Problem, call: *plan.Call) void {
            if (comptime simd.has_fma and T == f32) if (fits(p)) return run(p);
            G.run(p, call);
        }

        fn fits(p: *const Problem) bool {
            if (p.k == 0 or p.k > 24 or p.n < 8 * W or p.m < together or p.m * p.n * @sizeOf(T) < least_bytes) return false;
            // (The last rows and columns may be written twice, rows after they were finished.)
            if (p.adds and p.n % W != 0 or (p.adds or p.epilogue != null) and p.m % together != 0) return false;
            const b = p.b_view orelse return false;
            return p.a_view != null and b.si == 1 and p.output == null and p.op == .multiply_add and p.c.isRun(0, p.n);
        }

        fn run(p: *const Problem) void {
            const items = (p.m + together - 1) / together;
            services.parallelFor(items, gemm.grain(gemm.piece_flops, 16 * together * p.n), p.*, rows);
        }

        noinline fn rows(p: *const Problem, begin: usize, end: usize) void {
            for (begin..end) |item| {
                const row = @min(item * together, p.m - together);
                var j: usize = 0;
                while (j + vectors * W <= p.n) : (j += vectors * W) strip(vectors, p, row, j);
                while (j < p.n) : (j += W) strip(1, p, row, @min(j, p.n - W));
                p.finish(row, together, 0, p.n);
            }
        }

        inline fn strip(comptime width: usize, p: *const Problem, row: usize, j: usize) void {
            const a = p.a_view.?;
            const b = p.b_view.?;
            var acc: [together][width]V = @splat(@splat(@splat(0)));
            var left = a.ptr + row * a.si;
            var right = b.ptr + j;
            for (0..p.k) |_| {
                inline for (0..width) |l| {
                    const x = simd.load(T, right + l * W);
                    inline for (&acc, 0..) |*sums, i| sums[l] = simd.fma(V, @splat(left[i * a.si]), x, sums[l]);
                }
                left += a.sk;
                right += b.sk;
            }
            inline for (acc, 0..) |sums, i| {
                const to = p.c.at(row + i, j);
                inline for (sums, 0..) |sum, l| {
                    simd.store(T, to + l * W, if (p.adds) simd.load(T, to + l * W) + sum else sum);
                }
            }
        }
    };
}
