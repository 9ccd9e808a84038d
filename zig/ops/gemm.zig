//! The matrix product C (m, n) = A (m, k) @ B (k, n) around the micro-kernel: blocking for
//! the caches, packing, threads.
//!
//! A and B are *sources*: functions that pack one panel (gemm_pack.zig), so that the same
//! code multiplies strided matrices, half-precision ones, and images seen through a
//! convolution's window. The order in which tiles are computed, and by whom, is free; the
//! value of an element is not: the sums of the blocks of `kc_max` steps, in order.
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const kc_max = gemm_kernel.kc_max;

/// Work below which a piece isn't worth a thread: about 20 us at 100 flop a nanosecond.
pub const piece_flops = 2_000_000;
/// Elements packed in about 20 us.
pub const piece_packed = 16_384;

/// How many items of `cost` make a piece of at least `least`.
pub fn grain(least: usize, cost: usize) usize {
    return @max(1, least / @max(1, cost));
}

fn ceilDiv(a: usize, b: usize) usize {
    return (a + b - 1) / b;
}

pub fn Gemm(comptime T: type) type {
    return struct {
        pub const Micro = gemm_kernel.Kernel(T);
        pub const Target = Micro.Target;
        const mr = Micro.mr;
        const nr = Micro.nr;

        /// Packs rows (columns) first .. first + count, at most one panel of them, over steps
        /// k0 .. k0 + kc: dst[k * width + i], width = mr for an A and nr for a B.
        pub const Pack = *const fn (
            ctx: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void;
        pub const Source = struct { ctx: *const anyopaque, pack: Pack };

        /// Called once for every part of C, when it is final, by the thread that has it in
        /// its cache.
        pub const Epilogue = struct {
            ctx: *const anyopaque,
            run: *const fn (ctx: *const anyopaque, row: usize, rows: usize, col: usize, cols: usize) void,
        };

        pub const Problem = struct {
            m: usize,
            n: usize,
            k: usize,
            a: Source,
            b: Source,
            c: Target,
            /// Add to C, for a k that comes in several calls.
            adds: bool = false,
            epilogue: ?Epilogue = null,

            fn finish(p: *const Problem, row: usize, rows: usize, col: usize, cols: usize) void {
                if (p.epilogue) |e| e.run(e.ctx, row, rows, col, cols);
            }
        };

        pub fn run(p: *const Problem, call: *plan.Call) void {
            if (p.m == 0 or p.n == 0) return;
            if (p.k == 0) return runEmpty(p);
            if (splitsK(p)) return runSplitK(p, call);
            runShared(p, call);
        }

        /// A sum over nothing: zeros, as 0-step chains.
        fn runEmpty(p: *const Problem) void {
            var zero: [1]T = .{0};
            var row: usize = 0;
            while (row < p.m) : (row += mr) {
                var col: usize = 0;
                while (col < p.n) : (col += nr) {
                    const rows = @min(mr, p.m - row);
                    const cols = @min(nr, p.n - col);
                    Micro.panels(
                        true,
                        0,
                        &zero,
                        1,
                        mr,
                        &zero,
                        nr,
                        p.c,
                        row,
                        rows,
                        col,
                        cols,
                        p.adds,
                    );
                }
            }
            p.finish(0, p.m, 0, p.n);
        }

        // --- One side packed for all threads, the other by the thread that uses it --------

        /// Packed elements of the shared side in one round: 4 MB, for the outer caches. (In
        /// tests less, so that small products take several rounds.)
        const shared_budget = (if (builtin.is_test) 1 << 17 else 4 << 20) / @sizeOf(T);

        const Round = struct {
            p: *const Problem,
            call: *plan.Call,
            /// A is the shared side, and chunks are columns; else B is, and they are rows.
            shares_a: bool,
            shared: [*]T,
            shared_first: usize,
            shared_count: usize,
            k0: usize,
            steps: usize,
            /// Rows or columns in a chunk, a multiple of their panel's width.
            chunk: usize,

            fn sharedWidth(r: *const Round) usize {
                return if (r.shares_a) mr else nr;
            }
            /// The packed block number q: panels one after the other.
            fn sharedBlock(r: *const Round, q: usize) [*]T {
                return r.shared + q * kc_max * ceilDiv(r.shared_count, r.sharedWidth()) * r.sharedWidth();
            }
        };

        fn runShared(p: *const Problem, call: *plan.Call) void {
            const shares_a = p.n >= p.m;
            const extent = if (shares_a) p.m else p.n;
            const width: usize = if (shares_a) mr else nr;
            const other = if (shares_a) p.n else p.m;
            const other_width: usize = if (shares_a) nr else mr;

            // As much of the shared side as fits; if all of it does, several blocks of k.
            const most = @max(1, shared_budget / kc_max / width) * width;
            const count = @min(extent, most);
            const padded = ceilDiv(count, width) * width;
            const blocks = if (count < extent) 1 else @max(1, shared_budget / (padded * kc_max));
            const steps = @min(p.k, blocks * kc_max);

            // Chunks that fit a core's own cache with the block they meet, smaller ones if
            // they would not go round.
            const threads = services.threadCount();
            const panels = ceilDiv(other, other_width);
            const chunk: usize = if (shares_a) 256 else 168;
            var chunk_panels = @max(1, chunk / other_width);
            if (threads > 1) chunk_panels = @min(
                chunk_panels,
                @max(2, ceilDiv(panels, 4 * threads)),
            );

            const memory = services.allocSlice(T, padded * steps) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));

            var round: Round = .{
                .p = p,
                .call = call,
                .shares_a = shares_a,
                .shared = memory.ptr,
                .shared_first = 0,
                .shared_count = 0,
                .k0 = 0,
                .steps = 0,
                .chunk = chunk_panels * other_width,
            };
            while (round.shared_first < extent) : (round.shared_first += count) {
                round.shared_count = @min(count, extent - round.shared_first);
                round.k0 = 0;
                while (round.k0 < p.k) : (round.k0 += steps) {
                    round.steps = @min(steps, p.k - round.k0);
                    const shared_panels = ceilDiv(round.shared_count, width);
                    const kc = @min(kc_max, round.steps);
                    const items = shared_panels * ceilDiv(round.steps, kc_max);
                    services.parallelFor(items, grain(piece_packed, width * kc), round, packShared);
                    const flops = 2 * round.chunk * round.shared_count * round.steps;
                    const chunks = ceilDiv(other, round.chunk);
                    services.parallelFor(chunks, grain(piece_flops, flops), round, computeChunks);
                }
            }
        }

        fn packShared(r: *const Round, begin: usize, end: usize) void {
            const width = r.sharedWidth();
            const panels = ceilDiv(r.shared_count, width);
            const source = if (r.shares_a) r.p.a else r.p.b;
            for (begin..end) |item| {
                const q = item / panels;
                const at = item % panels * width;
                const kc = @min(kc_max, r.steps - q * kc_max);
                const dst = r.sharedBlock(q) + at * kc;
                const count = @min(width, r.shared_count - at);
                source.pack(source.ctx, dst, r.shared_first + at, count, r.k0 + q * kc_max, kc);
            }
        }

        fn computeChunks(r: *const Round, begin: usize, end: usize) void {
            const p = r.p;
            const width: usize = if (r.shares_a) nr else mr;
            const source = if (r.shares_a) p.b else p.a;
            const extent = if (r.shares_a) p.n else p.m;
            const memory = services.allocSlice(T, r.chunk * @min(kc_max, r.steps)) orelse
                return r.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));
            for (begin..end) |item| {
                const first = item * r.chunk;
                const count = @min(r.chunk, extent - first);
                var done: usize = 0;
                while (done < r.steps) : (done += kc_max) {
                    const kc = @min(kc_max, r.steps - done);
                    var at: usize = 0;
                    while (at < count) : (at += width) {
                        const n = @min(width, count - at);
                        source.pack(
                            source.ctx,
                            memory.ptr + at * kc,
                            first + at,
                            n,
                            r.k0 + done,
                            kc,
                        );
                    }
                    const shared = r.sharedBlock(done / kc_max);
                    const adds = p.adds or r.k0 + done > 0;
                    if (r.shares_a) {
                        multiply(
                            p.c,
                            kc,
                            shared,
                            r.shared_first,
                            r.shared_count,
                            memory.ptr,
                            first,
                            count,
                            adds,
                        );
                    } else {
                        multiply(
                            p.c,
                            kc,
                            memory.ptr,
                            first,
                            count,
                            shared,
                            r.shared_first,
                            r.shared_count,
                            adds,
                        );
                    }
                }
                if (r.k0 + r.steps == p.k) {
                    if (r.shares_a) {
                        p.finish(r.shared_first, r.shared_count, first, count);
                    } else p.finish(first, count, r.shared_first, r.shared_count);
                }
            }
        }

        /// C[row.., col..] (rows, cols) = or += packed A @ packed B over one block of k.
        fn multiply(
            c: Target,
            kc: usize,
            a: [*]const T,
            row: usize,
            rows: usize,
            b: [*]const T,
            col: usize,
            cols: usize,
            adds: bool,
        ) void {
            // A part of A that stays in the L2 cache, against every panel of B, which stays
            // in the L1 for as long.
            const part = 168 / mr * mr;
            var start: usize = 0;
            while (start < rows) : (start += part) {
                const stop = @min(rows, start + part);
                var j: usize = 0;
                while (j < cols) : (j += nr) {
                    var i = start;
                    while (i < stop) : (i += mr) {
                        Micro.panels(
                            true,
                            kc,
                            a + i * kc,
                            1,
                            mr,
                            b + j * kc,
                            nr,
                            c,
                            row + i,
                            @min(mr, stop - i),
                            col + j,
                            @min(nr, cols - j),
                            adds,
                        );
                    }
                }
            }
        }

        // --- A small C with a long k ------------------------------------------------------

        /// Few tiles and many blocks of k: the blocks are what the threads can share.
        fn splitsK(p: *const Problem) bool {
            const threads = services.threadCount();
            const tiles = ceilDiv(p.m, mr) * ceilDiv(p.n, nr);
            return threads > 1 and tiles < 4 * threads and p.k >= 2 * threads * kc_max and
                p.m * p.n * p.k > piece_flops;
        }

        const Split = struct {
            p: *const Problem,
            call: *plan.Call,
            k0: usize,
            blocks: usize,
            /// The sum of block q over its own steps, (m, n) at partial + q * m * n.
            partial: [*]T,
        };

        fn runSplitK(p: *const Problem, call: *plan.Call) void {
            const size = p.m * p.n;
            const most = @max(1, @min(ceilDiv(p.k, kc_max), shared_budget / size));
            const memory = services.allocSlice(T, most * size) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));
            var split: Split = .{
                .p = p,
                .call = call,
                .k0 = 0,
                .blocks = 0,
                .partial = memory.ptr,
            };
            while (split.k0 < p.k) : (split.k0 += most * kc_max) {
                split.blocks = @min(most, ceilDiv(p.k - split.k0, kc_max));
                services.parallelFor(
                    split.blocks,
                    grain(piece_flops, 2 * size * kc_max),
                    split,
                    splitBlocks,
                );
                services.parallelFor(
                    p.m,
                    grain(piece_packed, p.n * split.blocks),
                    split,
                    sumBlocks,
                );
            }
            p.finish(0, p.m, 0, p.n);
        }

        fn splitBlocks(s: *const Split, begin: usize, end: usize) void {
            const p = s.p;
            const m_padded = ceilDiv(p.m, mr) * mr;
            const n_padded = ceilDiv(p.n, nr) * nr;
            const memory = services.allocSlice(T, (m_padded + n_padded) * kc_max) orelse
                return s.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));
            const a = memory.ptr;
            const b = memory.ptr + m_padded * kc_max;
            for (begin..end) |q| {
                const k0 = s.k0 + q * kc_max;
                const kc = @min(kc_max, p.k - k0);
                var i: usize = 0;
                while (i < p.m) : (i += mr) p.a.pack(
                    p.a.ctx,
                    a + i * kc,
                    i,
                    @min(mr, p.m - i),
                    k0,
                    kc,
                );
                var j: usize = 0;
                while (j < p.n) : (j += nr) p.b.pack(
                    p.b.ctx,
                    b + j * kc,
                    j,
                    @min(nr, p.n - j),
                    k0,
                    kc,
                );
                const c: Target = .{ .ptr = s.partial + q * p.m * p.n, .rs = p.n };
                multiply(c, kc, a, 0, p.m, b, 0, p.n, false);
            }
        }

        fn sumBlocks(s: *const Split, begin: usize, end: usize) void {
            const p = s.p;
            for (begin..end) |i| for (0..s.blocks) |q| {
                const from = s.partial + (q * p.m + i) * p.n;
                p.c.putSegment(i, 0, p.n, from, p.adds or s.k0 + q > 0);
            };
        }

        // --- Without packing ---------------------------------------------------------------

        const Direct = struct {
            m: usize,
            n: usize,
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            b_cs: usize,
            c: Target,
            epilogue: ?Epilogue,
        };

        /// For a C of few rows, and for small products: reads A in place, and B where its
        /// rows are contiguous.
        pub fn runDirect(d: Direct) void {
            const panels = ceilDiv(d.n, nr);
            services.parallelFor(panels, grain(piece_flops, 2 * d.m * nr * d.k), d, directPanels);
        }

        fn directPanels(d: *const Direct, begin: usize, end: usize) void {
            var packed_b: [kc_max * nr]T align(64) = undefined;
            for (begin..end) |panel| {
                const col = panel * nr;
                const cols = @min(nr, d.n - col);
                var k0: usize = 0;
                while (k0 < d.k or k0 == 0) : (k0 += kc_max) {
                    const kc = @min(kc_max, d.k - k0);
                    var b = d.b + k0 * d.b_rs + col * d.b_cs;
                    var b_rs = d.b_rs;
                    if (d.b_cs != 1 or cols % Micro.vl != 0) {
                        packPanel(T, nr, &packed_b, b, d.b_cs, d.b_rs, cols, kc);
                        b = &packed_b;
                        b_rs = nr;
                    }
                    var row: usize = 0;
                    while (row < d.m) : (row += mr) {
                        const a = d.a + row * d.a_rs + k0 * d.a_cs;
                        const rows = @min(mr, d.m - row);
                        Micro.panels(
                            false,
                            kc,
                            a,
                            d.a_rs,
                            d.a_cs,
                            b,
                            b_rs,
                            d.c,
                            row,
                            rows,
                            col,
                            cols,
                            k0 > 0,
                        );
                    }
                }
                if (d.epilogue) |e| e.run(e.ctx, 0, d.m, col, cols);
            }
        }
        const packPanel = @import("gemm_pack.zig").packPanel;
    };
}
