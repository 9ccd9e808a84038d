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

        /// Any product, here if it is of that kind.
        pub fn multiply(p: *const Problem, call: *plan.Call) void {
            if (comptime simd.has_fma and @typeInfo(T) == .float) if (fits(p)) return run(p);
            G.run(p, call);
        }

        fn fits(p: *const Problem) bool {
            if (p.k == 0 or p.k > 24 or p.n < 8 * W or p.m * p.n * @sizeOf(T) < least_bytes) return false;
            const b = p.b_view orelse return false;
            return p.a_view != null and b.si == 1 and p.output == null and p.op == .multiply_add and p.c.isRun(0, p.n);
        }

        fn run(p: *const Problem) void {
            const items = (p.m + together - 1) / together;
            services.parallelFor(items, gemm.grain(gemm.piece_flops, 16 * together * p.n), p.*, rows);
        }

        noinline fn rows(p: *const Problem, begin: usize, end: usize) void {
            for (begin..end) |item| {
                const first = item * together;
                const count = @min(together, p.m - first);
                if (count == together) strips(together, p, first) else for (first..p.m) |row| strips(1, p, row);
                p.finish(first, count, 0, p.n);
            }
        }

        fn strips(comptime height: usize, p: *const Problem, row: usize) void {
            var j: usize = 0;
            while (j + vectors * W <= p.n) : (j += vectors * W) strip(height, vectors, p, row, j, W);
            while (j < p.n) : (j += W) strip(height, 1, p, row, j, @min(W, p.n - j));
        }

        /// `count` of the last vector's columns.
        inline fn strip(comptime height: usize, comptime width: usize, p: *const Problem, row: usize, j: usize, count: usize) void {
            const a = p.a_view.?;
            const b = p.b_view.?;
            var acc: [height][width]V = @splat(@splat(@splat(0)));
            var left = a.ptr + row * a.si;
            var right = b.ptr + j;
            for (0..p.k) |_| {
                var x: [width]V = undefined;
                inline for (&x, 0..) |*v, l| v.* = if (width > 1) simd.load(T, right + l * W) else part(right, count);
                inline for (&acc, 0..) |*sums, i| {
                    const y: V = @splat(left[i * a.si]);
                    inline for (sums, x) |*sum, v| sum.* = simd.fma(V, y, v, sum.*);
                }
                left += a.sk;
                right += b.sk;
            }
            inline for (acc, 0..) |sums, i| {
                const to = p.c.at(row + i, j);
                inline for (sums, 0..) |sum, l| {
                    var y = sum;
                    if (p.adds) y = (if (width > 1) simd.load(T, to + l * W) else part(to, count)) + sum;
                    if (width > 1 or count == W) simd.store(T, to + l * W, y) else simd.storePart(T, to, count, y);
                }
            }
        }

        inline fn part(from: [*]const T, count: usize) V {
            return if (count == W) simd.load(T, from) else simd.loadPart(T, from, count, 0);
        }
    };
}
