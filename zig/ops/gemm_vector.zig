//! Matrix-vector products and dot products: y[j] = sum over k of x[k] * m[j, k].
//!
//! These read every element of the matrix once, so they follow an order of their own, chosen
//! by the shape alone: k is cut into blocks of `block` steps; within one, lane l of `lanes`
//! sums the k = l modulo `lanes` by fused multiply-adds, the lanes are added by halves, and
//! the blocks' sums are added in order. Rows along k and rows across k give the same bits.
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const mulAdd = gemm_kernel.mulAdd;
const add = gemm_kernel.add;

pub const block = 16_384;
/// Elements of a matrix read in about 20 us.
const piece_elements = 65_536;

pub const View = struct {
    ptr: [*]const u8,
    dtype: DType,
    /// Strides in elements: of the output (0 for the vector), of k.
    sj: usize,
    sk: usize,

    fn at(v: View, j: usize, k: usize) [*]const u8 {
        return v.ptr + (j * v.sj + k * v.sk) * v.dtype.size();
    }
};

pub fn Vector(comptime T: type) type {
    return struct {
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        const lanes = 2 * W;
        const native: DType = switch (T) {
            f32 => .float32,
            f64 => .float64,
            i32 => .int32,
            i64 => .int64,
            else => unreachable,
        };
        /// Outputs of one item: rows read together, or columns that share their lanes.
        const rows_group = 4;
        const columns_group = 16 * W;
        /// Steps of a lane that are added to its sums in one go.
        const rounds = 8;

        const Job = struct {
            n: usize,
            k: usize,
            blocks: usize,
            x: [*]const T,
            m: View,
            along_k: bool,
            group: usize,
            /// Of rows across k.
            lanes: usize,
            /// Sum of block b of output j at partial[b * n + j].
            partial: [*]T,
        };

        /// out[0..n], contiguous.
        pub fn run(n: usize, k: usize, x: View, m: View, out: [*]T, call: *plan.Call) void {
            runBy(lanes, n, k, x, m, out, call);
        }

        /// Of rows across k, where each step stands for the two of a complex number (at most half a block
        /// of them): half of the lanes. n >= W.
        pub fn runAcross(n: usize, k: usize, x: View, m: View, out: [*]T, call: *plan.Call) void {
            runBy(lanes / 2, n, k, x, m, out, call);
        }

        noinline fn runBy(by_lanes: usize, n: usize, k: usize, x: View, m: View, out: [*]T, call: *plan.Call) void {
            if (n == 0) return;
            if (k == 0) return @memset(out[0..n], 0);
            const blocks = (k + block - 1) / block;
            const copies = x.dtype != native or x.sk != 1;
            const scratch = (if (copies) k else 0) + (if (blocks > 1) blocks * n else 0);
            var memory: []align(64) T = &.{};
            if (scratch > 0) memory = services.allocSlice(T, scratch) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer if (scratch > 0) services.free(@ptrCast(memory.ptr));

            var xs: [*]const T = @ptrCast(@alignCast(x.ptr));
            if (copies) {
                pack.load(T, x.dtype, memory.ptr, x.ptr, k, x.sk);
                xs = memory.ptr;
            }
            const along_k = by_lanes == lanes and (m.sk == 1 or m.sj != 1 or n == 1);
            const job: Job = .{
                .n = n,
                .k = k,
                .blocks = blocks,
                .x = xs,
                .m = m,
                .along_k = along_k,
                .group = if (along_k) rows_group else columns_group,
                .lanes = by_lanes,
                .partial = if (blocks > 1) memory.ptr + (scratch - blocks * n) else out,
            };
            const groups = (n + job.group - 1) / job.group;
            const cost = @min(n, job.group) * @min(k, block);
            services.parallelFor(groups * blocks, @max(1, piece_elements / cost), job, items);
            if (blocks == 1) return;
            for (0..n) |j| {
                var sum = job.partial[j];
                for (1..blocks) |b| sum = add(sum, job.partial[b * n + j]);
                out[j] = sum;
            }
        }

        // --- A few vectors with one matrix ------------------------------------------------

        pub const most_vectors = 4;
        /// Whether the vectors of a layer's input are few, and each is long.
        pub fn areFew(count: usize, n: usize, k: usize) bool {
            return count > 1 and count <= most_vectors and n >= W and k >= 8 * lanes and k <= block;
        }

        /// Vector i of `count`, `si` elements after the one before, to out[i * n ..][0..n]: as `run` does it,
        /// with the matrix read once if its rows lie along k.
        pub noinline fn runFew(count: usize, n: usize, k: usize, x: View, si: usize, m: View, out: [*]T, call: *plan.Call) void {
            if (comptime !simd.has_fma or T != f32) return each(count, n, k, x, si, m, out, call);
            if (n < 2 or k > block or x.dtype != native or m.dtype != native or x.sk != 1 or m.sk != 1) {
                return each(count, n, k, x, si, m, out, call);
            }
            const few: Few = .{ .count = count, .n = n, .k = k, .x = @ptrCast(@alignCast(x.ptr)), .si = si, .m = m, .out = out };
            services.parallelFor((n + 1) / 2, @max(1, piece_elements / (2 * k)), few, runPairs);
        }

        noinline fn each(count: usize, n: usize, k: usize, x: View, si: usize, m: View, out: [*]T, call: *plan.Call) void {
            for (0..count) |i| {
                var row = x;
                row.ptr += i * si * x.dtype.size();
                run(n, k, row, m, out + i * n, call);
            }
        }

        const Few = struct { count: usize, n: usize, k: usize, x: [*]const T, si: usize, m: View, out: [*]T };

        /// Two rows of the matrix at a time, which stay in the L1 cache.
        fn runPairs(f: *const Few, begin: usize, end: usize) void {
            for (begin..end) |pair| {
                // (The last one may overlap the one before.)
                const j = @min(2 * pair, f.n - 2);
                const row: [2][*]const T = .{ @ptrCast(@alignCast(f.m.at(j, 0))), @ptrCast(@alignCast(f.m.at(j + 1, 0))) };
                var i: usize = 0;
                while (i < f.count) : (i += 2) {
                    const first = @min(i, f.count - 2);
                    const x = f.x + first * f.si;
                    dots(2, 2, .{ x, x + f.si }, row, f.k, f.out + first * f.n + j, f.n);
                }
            }
        }

        fn items(job: *const Job, begin: usize, end: usize) void {
            const groups = (job.n + job.group - 1) / job.group;
            for (begin..end) |item| {
                const b = item / groups;
                const k0 = b * block;
                const count = @min(block, job.k - k0);
                const j0 = item % groups * job.group;
                const n = @min(job.group, job.n - j0);
                const out = job.partial + b * job.n + j0;
                if (job.along_k or n < W) rows(job, j0, n, k0, count, out) else columns(job, j0, n, k0, count, out);
            }
        }

        // --- Rows along k: lanes are vectors ----------------------------------------------

        fn rows(job: *const Job, j0: usize, n: usize, k0: usize, count: usize, out: [*]T) void {
            const x = job.x + k0;
            if (job.m.dtype == native and job.m.sk == 1) {
                var row: [rows_group][*]const T = undefined;
                for (0..n) |j| row[j] = @ptrCast(@alignCast(job.m.at(j0 + j, k0)));
                // (Of old CPUs few are left: they get small code.)
                if (simd.has_fma and n == rows_group) return dots(1, rows_group, .{x}, row, count, out, 0);
                for (0..n) |j| dots(1, 1, .{x}, .{row[j]}, count, out + j, 0);
                return;
            }
            var copy: [block]T align(64) = undefined;
            for (0..n) |j| {
                pack.load(T, job.m.dtype, &copy, job.m.at(j0 + j, k0), count, job.m.sk);
                dots(1, 1, .{x}, .{&copy}, count, out + j, 0);
            }
        }

        /// out[i * rs + j] = x[i] and row[j].
        fn dots(
            comptime m: usize,
            comptime n: usize,
            x: [m][*]const T,
            row: [n][*]const T,
            count: usize,
            out: [*]T,
            rs: usize,
        ) void {
            var acc: [m][n][2]V = @splat(@splat(@splat(@splat(0))));
            var k: usize = 0;
            while (k + lanes <= count) : (k += lanes) {
                inline for (0..2) |h| {
                    inline for (0..m) |i| {
                        const xv = simd.load(T, x[i] + k + h * W);
                        inline for (0..n) |j| {
                            acc[i][j][h] = mulAdd(V, xv, simd.load(T, row[j] + k + h * W), acc[i][j][h]);
                        }
                    }
                }
            }
            inline for (0..2) |h| if (k < count) {
                const rest = @min(W, count - k);
                const in = simd.iota(W, u8) < @as(@Vector(W, u8), @splat(@intCast(rest)));
                inline for (0..m) |i| {
                    const xv = simd.loadPart(T, x[i] + k, rest, 0);
                    inline for (0..n) |j| {
                        const sum = mulAdd(V, xv, simd.loadPart(T, row[j] + k, rest, 0), acc[i][j][h]);
                        acc[i][j][h] = @select(T, in, sum, acc[i][j][h]);
                    }
                }
                k += rest;
            };
            inline for (0..m) |i| inline for (0..n) |j| {
                out[i * rs + j] = simd.reduceAdd(add(acc[i][j][0], acc[i][j][1]));
            };
        }

        // --- Rows across k: a lane is a row of sums in the L1 cache ------------------------

        /// n >= W columns. A whole vector's sums lie at their columns; those of the last n % W
        /// columns in one more vector, which starts at column n - W.
        fn columns(job: *const Job, j0: usize, n: usize, k0: usize, count: usize, out: [*]T) void {
            var acc: [lanes][columns_group]T align(64) = undefined;
            const whole = n / W * W;
            const used = whole + @as(usize, if (whole < n) W else 0);
            for (acc[0..job.lanes]) |*sums| @memset(sums[0..used], 0);
            var k: usize = 0;
            while (k < count) : (k += job.lanes * rounds) {
                for (k..@min(count, k + job.lanes)) |first| {
                    const sums: [*]T = &acc[first - k];
                    const steps = (@min(count - first, job.lanes * rounds) + job.lanes - 1) / job.lanes;
                    var j: usize = 0;
                    inline for (if (@typeInfo(T) == .float and simd.has_fma) .{ 8, 4, 2, 1 } else .{1}) |vectors| while (whole - j >= vectors * W) : (j += vectors * W) {
                        addRows(vectors, job, j0 + j, k0 + first, steps, sums + j);
                    };
                    if (whole < n) addRows(1, job, j0 + n - W, k0 + first, steps, sums + whole);
                }
            }
            var half: usize = job.lanes / 2;
            while (half > 0) : (half /= 2) for (0..half) |l| {
                var j: usize = 0;
                while (j < used) : (j += W) {
                    const sum = add(
                        simd.load(T, acc[l][j..].ptr),
                        simd.load(T, acc[l + half][j..].ptr),
                    );
                    simd.store(T, acc[l][j..].ptr, sum);
                }
            };
            @memcpy(out[0..whole], acc[0][0..whole]);
            if (whole < n) @memcpy(out[n - W .. n], acc[0][whole..][0..W]);
        }

        /// sums[0 .. vectors * W] += x[k] * m[j.., k] for `steps` k, `lanes` apart.
        inline fn addRows(
            comptime vectors: usize,
            job: *const Job,
            j: usize,
            k: usize,
            steps: usize,
            sums: [*]T,
        ) void {
            var acc: [vectors]V = undefined;
            inline for (&acc, 0..) |*s, v| s.* = sums[v * W ..][0..W].*;
            for (0..steps) |step| {
                const at = k + step * job.lanes;
                const x: V = @splat(job.x[at]);
                const from = job.m.at(j, at);
                if (job.m.dtype == native) {
                    const row: [*]const T = @ptrCast(@alignCast(from));
                    inline for (&acc, 0..) |*s, v| {
                        // Two rows on: that is where the next steps are.
                        @prefetch(row + 2 * job.m.sk + v * W, .{});
                        s.* = mulAdd(V, x, row[v * W ..][0..W].*, s.*);
                    }
                } else {
                    var copy: [vectors * W]T = undefined;
                    pack.load(T, job.m.dtype, &copy, from, vectors * W, 1);
                    inline for (&acc, 0..) |*s, v| s.* = mulAdd(V, x, copy[v * W ..][0..W].*, s.*);
                }
            }
            inline for (acc, 0..) |s, v| sums[v * W ..][0..W].* = s;
        }
    };
}
