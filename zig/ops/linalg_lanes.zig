//! Factorisations of small matrices, up to `most` rows and columns, a vector of them at a time:
//! each lane is another matrix of the batch. Element (i, j) of an (m, n) is a[i * n + j].
const std = @import("std");
const simd = @import("../simd.zig");

pub const most = 8;

pub fn Lanes(comptime T: type) type {
    return struct {
        pub const count = simd.elementwiseLanes(T);
        pub const V = @Vector(simd.elementwiseLanes(T), T);
        const Mask = @Vector(count, bool);

        inline fn all(x: T) V {
            return @splat(x);
        }
        inline fn any(mask: Mask) bool {
            return @reduce(.Or, mask);
        }

        /// a (n, n) = P L U, as linalg_dense.zig's. Returns the infos.
        pub fn lu(n: usize, a: [*]V, pivots: [*]V) V {
            var info = all(0);
            for (0..n) |j| {
                // The largest of column j to row j: the rows change places one after the other.
                var largest = @abs(a[j * n + j]);
                var place = all(@floatFromInt(j));
                for (j + 1..n) |i| {
                    const size = @abs(a[i * n + j]);
                    const larger = size > largest;
                    largest = @select(T, larger, size, largest);
                    place = @select(T, larger, all(@floatFromInt(i)), place);
                }
                pivots[j] = place + all(1);
                for (j + 1..n) |i| {
                    const here = place == all(@floatFromInt(i));
                    if (!any(here)) continue;
                    for (0..n) |c| {
                        const x = a[j * n + c];
                        const y = a[i * n + c];
                        a[j * n + c] = @select(T, here, y, x);
                        a[i * n + c] = @select(T, here, x, y);
                    }
                }
                const pivot = a[j * n + j];
                const zero = pivot == all(0);
                info = @select(T, zero & (info == all(0)), all(@floatFromInt(j + 1)), info);
                const divisor = @select(T, zero, all(1), pivot);
                for (j + 1..n) |i| {
                    const l = a[i * n + j] / divisor;
                    a[i * n + j] = l;
                    for (j + 1..n) |c| a[i * n + c] = simd.fma(V, -l, a[j * n + c], a[i * n + c]);
                }
            }
            return info;
        }

        /// x (n, r): row i is exchanged with row pivots[i], in turn or the other way round.
        pub noinline fn permute(n: usize, r: usize, pivots: [*]const V, x: [*]V, backwards: bool) void {
            for (0..n) |step| {
                const i = if (backwards) n - 1 - step else step;
                for (i + 1..n) |other| {
                    const here = pivots[i] == all(@floatFromInt(other + 1));
                    if (!any(here)) continue;
                    for (0..r) |c| {
                        const a = x[i * r + c];
                        const b = x[other * r + c];
                        x[i * r + c] = @select(T, here, b, a);
                        x[other * r + c] = @select(T, here, a, b);
                    }
                }
            }
        }

        /// x (n, r) becomes T^-1 x, T a triangle of t, element (i, j) at t[i * rs + j * cs].
        pub noinline fn solve(n: usize, r: usize, t: [*]const V, rs: usize, cs: usize, x: [*]V, upper: bool, unit: bool) void {
            for (0..n) |step| {
                const i = if (upper) n - 1 - step else step;
                const from = if (upper) i + 1 else 0;
                for (0..r) |c| {
                    var sum = x[i * r + c];
                    for (from..from + step) |j| sum = simd.fma(V, -t[i * rs + j * cs], x[j * r + c], sum);
                    x[i * r + c] = if (unit) sum else sum / t[i * rs + i * cs];
                }
            }
        }

        /// a = L L^T of the lower triangle; the upper one becomes 0. Returns the infos.
        pub fn cholesky(n: usize, a: [*]V) V {
            var info = all(0);
            for (0..n) |j| {
                const pivot = a[j * n + j];
                const bad = ~(pivot > all(0)) & (info == all(0));
                info = @select(T, bad, all(@floatFromInt(j + 1)), info);
                const root = @sqrt(@select(T, info == all(0), pivot, all(1)));
                a[j * n + j] = @select(T, info == all(0), root, pivot);
                for (j + 1..n) |i| {
                    a[i * n + j] = @select(T, info == all(0), a[i * n + j] / root, a[i * n + j]);
                    a[j * n + i] = all(0);
                }
                for (j + 1..n) |c| for (c..n) |i| {
                    const next = simd.fma(V, -a[i * n + j], a[c * n + j], a[i * n + c]);
                    a[i * n + c] = @select(T, info == all(0), next, a[i * n + c]);
                };
            }
            return info;
        }

        /// a (m, n) = Q R by reflections, as LAPACK's geqrf.
        pub fn qr(m: usize, n: usize, a: [*]V, tau: [*]V) void {
            for (0..@min(m, n)) |k| {
                var largest = all(0);
                for (k + 1..m) |i| largest = simd.maxNan(V, largest, @abs(a[i * n + k]));
                const flat = largest == all(0); // nothing to do: H = 1
                const head = a[k * n + k];
                const size = simd.maxNan(V, largest, @abs(head));
                const scale = @select(T, flat, all(1), size);
                var sum = (head / scale) * (head / scale);
                for (k + 1..m) |i| {
                    const x = a[i * n + k] / scale;
                    sum = simd.fma(V, x, x, sum);
                }
                const norm = scale * @sqrt(sum);
                const beta = @select(T, head < all(0), norm, -norm);
                tau[k] = @select(T, flat, all(0), (beta - head) / beta);
                const divisor = @select(T, flat, all(1), head - beta);
                for (k + 1..m) |i| a[i * n + k] /= divisor;
                a[k * n + k] = @select(T, flat, head, beta);
                reflect(m, n, k, a, n, tau[k], a, n, k + 1);
            }
        }

        /// Rows k .. m of c (.., n), columns `from` .. n, become H c, H = 1 - tau v v^T with v in
        /// column k of `vectors` (.., ld).
        pub noinline fn reflect(m: usize, n: usize, k: usize, vectors: [*]const V, ld: usize, tau: V, c: [*]V, c_ld: usize, from: usize) void {
            for (from..n) |j| {
                var sum = c[k * c_ld + j];
                for (k + 1..m) |i| sum = simd.fma(V, vectors[i * ld + k], c[i * c_ld + j], sum);
                const factor = -tau * sum;
                c[k * c_ld + j] += factor;
                for (k + 1..m) |i| c[i * c_ld + j] = simd.fma(V, factor, vectors[i * ld + k], c[i * c_ld + j]);
            }
        }
    };
}
