//! The matrix product C (m, n) = A (m, k) @ B (k, n) around the micro-kernel: blocking for
//! the caches, packing, threads.
//!
//! A and B are *sources*: functions that pack one panel (gemm_pack.zig), so that the same
//! code multiplies strided matrices, half-precision ones, and images seen through a
//! convolution's window. The order in which tiles are computed, and by whom, is free; the
//! value of an element is not: the sums of the blocks of `kc_max` steps, in order.
const std = @import("std");
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const pack = @import("gemm_pack.zig");
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

/// At most `most` of `all` columns for a piece, so that the thread with the most has the fewest.
pub noinline fn evenly(all: usize, most: usize, threads: usize) usize {
    var best = most;
    if (threads > 1) for (most / 2 + 1..most) |c| {
        if (ceilDiv(ceilDiv(all, c), threads) * c < ceilDiv(ceilDiv(all, best), threads) * best) best = c;
    };
    return best;
}

const Run = *const fn (ctx: *const anyopaque, begin: usize, end: usize) void;
/// Large items one by one, so that at the end no thread waits for several of another's.
noinline fn takeEach(items: usize, ctx: *const anyopaque, run: Run) void {
    const threads = services.threadCount();
    if (threads == 1) return run(ctx, 0, items);
    const Taking = struct {
        next: *std.atomic.Value(usize),
        items: usize,
        ctx: *const anyopaque,
        run: Run,

        fn take(t: *const @This(), _: usize, _: usize) void {
            while (true) {
                const item = t.next.fetchAdd(1, .monotonic);
                if (item >= t.items) return;
                t.run(t.ctx, item, item + 1);
            }
        }
    };
    var next: std.atomic.Value(usize) = .init(0);
    const taking: Taking = .{ .next = &next, .items = items, .ctx = ctx, .run = run };
    services.parallelFor(@min(items, threads), 1, taking, Taking.take);
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

        /// Rows that it takes at a time.
        const output_rows = 5 * mr;
        /// Takes the sums of rows x cols elements of C, `nr` apart from row to row.
        pub const Output = struct {
            ctx: *const anyopaque,
            put: *const fn (ctx: *const anyopaque, from: [*]T, row: usize, rows: usize, col: usize, cols: usize) void,
            /// Where they go, to be fetched meanwhile: bytes from row to row and column to column.
            to: [*]const u8,
            row_bytes: usize,
            column_bytes: usize,

            fn fetch(o: *const Output, row: usize, rows: usize, col: usize) void {
                for (row..row + rows) |i| @prefetch(o.to + i * o.row_bytes + col * o.column_bytes, .{ .rw = .write });
            }
        };

        /// An operand whose elements are of T in memory: element i of step k is at
        /// ptr[i * si + k * sk].
        pub const View = struct { ptr: [*]const T, si: usize, sk: usize };

        pub const Problem = struct {
            m: usize,
            n: usize,
            k: usize,
            a: Source,
            b: Source,
            /// The same operands, where they can be read in place.
            a_view: ?View = null,
            b_view: ?View = null,
            c: Target,
            /// Add to C, for a k that comes in several calls.
            adds: bool = false,
            /// With `dot` k counts words, and sources pack them.
            op: gemm_kernel.Op = .multiply_add,
            /// Steps of a chain.
            block: usize = kc_max,
            epilogue: ?Epilogue = null,
            /// Instead of C, for a k of one block: gets each tile while it is in the L1 cache.
            output: ?Output = null,
            /// With `dot`: what the sums begin with; where they go instead of C (which holds those of
            /// several blocks on their way), but for the `epilogue` to round where threads share a k.
            begin: ?[*]const T = null,
            rounded: ?Micro.Rounded = null,

            pub fn finish(p: *const Problem, row: usize, rows: usize, col: usize, cols: usize) void {
                if (p.epilogue) |e| e.run(e.ctx, row, rows, col, cols);
            }
            /// Steps k0 .. k0 + kc, for the part of C that begins at (row, col).
            fn operands(p: *const Problem, a: View, b: View, row: usize, col: usize, k0: usize, kc: usize) Micro.Operands {
                var o: Micro.Operands = .{ .op = p.op, .k = kc, .a = a.ptr, .a_rs = a.si, .a_cs = a.sk, .b = b.ptr, .b_rs = b.sk };
                if (k0 == 0) if (p.begin) |begin| {
                    o.begin = begin + row;
                };
                if (k0 + kc == p.k) if (p.rounded) |r| {
                    o.rounded = .{ .ptr = r.ptr + row * r.rs + col, .rs = r.rs, .added = if (r.added) |added| added + col else null };
                };
                return o;
            }
        };

        pub noinline fn run(p: *const Problem, call: *plan.Call) void {
            if (p.m == 0 or p.n == 0) return;
            if (p.k == 0) return runEmpty(p);
            if (splitsK(p)) return runSplitK(p, call);
            runChunks(p, call);
        }

        /// A sum over nothing: zeros, as 0-step chains.
        fn runEmpty(p: *const Problem) void {
            var zero: [nr]T = @splat(0);
            const none: Micro.Operands = .{ .k = 0, .a = &zero, .a_rs = 0, .a_cs = 0, .b = &zero, .b_rs = 0 };
            var col: usize = 0;
            while (col < p.n) : (col += nr) {
                Micro.panels(none, p.c, .{ .rows = p.m, .col = col, .cols = @min(nr, p.n - col) }, p.adds);
            }
            p.finish(0, p.m, 0, p.n);
        }

        // --- Chunks of C, each by one thread ------------------------------------------------
        // Within a chunk, for `depth` steps of k: a part of A's rows, in place or packed, stays in the
        // L2 cache and meets the panels of B (nr columns), each packed when the first part needs it,
        // unless it is good where it is. A tile goes through all blocks of these steps at once.

        /// Packed elements of A in one round, for the outer caches. (In tests less, so that small
        /// products take several rounds.)
        const packed_budget = (if (builtin.is_test) 1 << 17 else 9 << 20) / @sizeOf(T);
        /// Rows of a chunk: enough of them to pay for packing B.
        const chunk_rows = (if (builtin.is_test) 5 else 147) * mr;
        /// Bytes of B in a chunk, and of A in a part of its rows, that stay in the L2 cache.
        const chunk_bytes = 256 << 10;
        const part_bytes = 200 << 10;

        const depth_most = 4096 / @sizeOf(T);
        /// Steps of k that a tile goes through at once: whole blocks.
        fn depthOf(p: *const Problem) usize {
            return @min(p.k, depth_most / p.block * p.block);
        }
        /// `rows` of a chunk in even parts.
        fn partRows(r: *const Round, rows: usize) usize {
            const most = @max(1, part_bytes / (depthOf(r.p) * @sizeOf(T)));
            const unit = if (r.rows_are_close) Micro.close_rows else mr;
            return ceilDiv(ceilDiv(rows, ceilDiv(rows, most)), unit) * unit;
        }

        /// Where A comes from: its own memory; packed once for all threads, before; packed by the
        /// chunk that uses it, which then has all columns.
        const Reading = enum { in_place, shared, local };

        const Round = struct {
            p: *const Problem,
            call: *plan.Call,
            reading: Reading,
            /// A is in place, and its rows a multiple of 4 KB apart.
            rows_are_close: bool = false,
            b_in_place: bool,
            /// Rows and steps of this round, packed where they are shared.
            row0: usize,
            rows: usize,
            k0: usize,
            steps: usize,
            packed_a: [*]T,
            /// A chunk: multiples of mr and nr.
            chunk_m: usize,
            chunk_n: usize,

            /// What is packed from step `k` of the round on: panels one after the other, each of
            /// `depth` steps.
            fn packedFrom(r: *const Round, k: usize) [*]T {
                return r.packed_a + k * ceilDiv(r.rows, mr) * mr;
            }
        };

        fn runChunks(p: *const Problem, call: *plan.Call) void {
            var round: Round = .{
                .p = p,
                .call = call,
                .reading = readingOfA(p),
                .b_in_place = readsBInPlace(p),
                .row0 = 0,
                .rows = p.m,
                .k0 = 0,
                .steps = p.k,
                .packed_a = undefined,
                .chunk_m = 0,
                .chunk_n = 0,
            };
            if (@typeInfo(T) == .float and round.reading == .in_place) round.rows_are_close = p.a_view.?.si * @sizeOf(T) % (4 << 10) == 0;
            chooseChunks(&round);
            if (round.reading != .shared) return runRound(&round);

            // As many rows as fit; if all do, more of k.
            const padded = ceilDiv(p.m, mr) * mr;
            const depth = depthOf(p);
            // In even rounds: few rows would not pay for packing B again.
            const count = ceilDiv(padded / mr, ceilDiv(padded, @max(mr, packed_budget / depth))) * mr;
            const times = if (count < padded) 1 else @max(1, packed_budget / (padded * depth));
            const steps = @min(p.k, times * depth);
            const memory = services.allocSlice(T, count * steps) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));
            round.packed_a = memory.ptr;
            while (round.row0 < p.m) : (round.row0 += count) {
                round.rows = @min(count, p.m - round.row0);
                round.k0 = 0;
                while (round.k0 < p.k) : (round.k0 += steps) {
                    round.steps = @min(steps, p.k - round.k0);
                    const items = ceilDiv(round.rows, mr) * ceilDiv(round.steps, depth);
                    services.parallelFor(items, grain(piece_packed, mr * @min(depth, round.steps)), round, packShared);
                    runRound(&round);
                }
            }
        }

        fn readingOfA(p: *const Problem) Reading {
            if (p.a_view) |a| {
                if (p.m <= mr or p.n <= nr or p.m * p.n * p.k <= 160 * 160 * 160) return .in_place;
                // Rows a multiple of 16 KB apart would drive each other out of the L2 cache.
                if (a.sk == 1 and a.si * @sizeOf(T) % (16 << 10) != 0) return .in_place;
            }
            // Chunks of few rows: with several threads each of them packs B again.
            const few = p.n <= p.m and p.n <= 512;
            return if (few and (p.a_view == null or services.threadCount() == 1)) .local else .shared;
        }

        fn readsBInPlace(p: *const Problem) bool {
            const b = p.b_view orelse return false;
            if (b.si != 1 or !(gemm_kernel.masks or p.n % Micro.vl == 0)) return false;
            return p.m < 3 * mr or p.n * p.k * @sizeOf(T) <= 64 << 10;
        }

        /// Chunks that go round among the threads, four for each.
        fn chooseChunks(r: *Round) void {
            const p = r.p;
            const threads = services.threadCount();
            const pieces = if (threads == 1) 1 else 4 * threads;
            const row_panels = ceilDiv(p.m, mr);
            const col_panels = ceilDiv(p.n, nr);
            var cols = col_panels;
            if (r.reading != .local) {
                const most = chunk_bytes * 3 / 2;
                cols = @min(cols, @max(1, most / (depthOf(p) * @sizeOf(T) * nr)));
                // Of many, not fewer than share the cost of reading A.
                const least: usize = if (col_panels >= 16) 2 else 1;
                cols = @min(cols, @max(least, col_panels / pieces));
                cols = evenly(col_panels, cols, threads);
            }
            const across = ceilDiv(col_panels, cols);
            var rows = @min(row_panels, chunk_rows / mr);
            // Fewer rows only where there are too few columns.
            rows = @min(rows, @max(@min(row_panels, 4), row_panels * across / pieces));
            const down = ceilDiv(row_panels, rows);
            r.chunk_m = ceilDiv(row_panels, down) * mr;
            r.chunk_n = ceilDiv(col_panels, across) * nr;
        }

        fn runRound(r: *const Round) void {
            const p = r.p;
            const items = ceilDiv(r.rows, r.chunk_m) * ceilDiv(p.n, r.chunk_n);
            const flops = 2 * @min(r.chunk_m, r.rows) * @min(r.chunk_n, p.n) * r.steps;
            const least = grain(piece_flops, flops);
            if (least > 1) return services.parallelFor(items, least, r.*, computeChunks);
            takeEach(items, r, struct {
                fn run(ctx: *const anyopaque, begin: usize, end: usize) void {
                    computeChunks(@ptrCast(@alignCast(ctx)), begin, end);
                }
            }.run);
        }

        noinline fn packShared(r: *const Round, begin: usize, end: usize) void {
            const panels = ceilDiv(r.rows, mr);
            var item = begin;
            while (item < end) {
                const done = item / panels * depthOf(r.p);
                const at = item % panels * mr;
                const depth = @min(depthOf(r.p), r.steps - done);
                const count = @min(end - item, panels - item % panels);
                packRows(r.p, r.packedFrom(done) + at * depth, r.row0 + at, @min(count * mr, r.rows - at), r.k0 + done, depth);
                item += count;
            }
        }

        /// `count` rows of A: panels one after the other, each of `depth` steps.
        fn packRows(p: *const Problem, dst: [*]T, first: usize, count: usize, k0: usize, depth: usize) void {
            var i: usize = 0;
            while (i < count) {
                // As A lies, several panels at once; not more: what is written is lines of the same
                // set of the L1 cache.
                const whole = @min(8, (count - i) / mr);
                if (p.a_view) |a| if (a.si == 1 and whole > 0) {
                    pack.packColumns(T, mr, dst + i * depth, mr * depth, a.ptr + first + i + k0 * a.sk, a.sk, whole, depth);
                    i += whole * mr;
                    continue;
                };
                packBlocks(p, mr, p.a, dst + i * depth, first + i, @min(mr, count - i), k0, depth);
                i += mr;
            }
        }

        /// A panel of `depth` steps: blocks one after the other.
        fn packBlocks(p: *const Problem, width: usize, from: Source, dst: [*]T, first: usize, count: usize, k0: usize, depth: usize) void {
            var k: usize = 0;
            while (k < depth) : (k += p.block) from.pack(from.ctx, dst + k * width, first, count, k0 + k, @min(p.block, depth - k));
        }

        noinline fn computeChunks(r: *const Round, begin: usize, end: usize) void {
            const p = r.p;
            const most = @min(depthOf(p), r.steps);
            const part_rows = partRows(r, @min(r.chunk_m, r.rows));
            const a_size = if (r.reading == .local) part_rows * most else 0;
            // One panel of B lies on the stack; several, for the next parts, do not.
            var panel: [depth_most * nr]T align(64) = undefined;
            const keeps_b = !r.b_in_place and @min(r.chunk_m, r.rows) > part_rows;
            const b_size = if (keeps_b) r.chunk_n * most else 0;
            var memory: []align(64) T = &.{};
            if (a_size + b_size > 0) memory = services.allocSlice(T, a_size + b_size) orelse
                return r.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer if (a_size + b_size > 0) services.free(@ptrCast(memory.ptr));
            const local = memory.ptr;
            const packed_b: [*]T = if (keeps_b) memory.ptr + a_size else &panel;
            const across = ceilDiv(p.n, r.chunk_n);
            for (begin..end) |item| {
                const first = item / across * r.chunk_m;
                const rows = @min(r.chunk_m, r.rows - first);
                const col = item % across * r.chunk_n;
                const cols = @min(r.chunk_n, p.n - col);
                var done: usize = 0;
                while (done < r.steps) : (done += depthOf(p)) {
                    const depth = @min(depthOf(p), r.steps - done);
                    const k0 = r.k0 + done;
                    var a: View = .{ .ptr = local, .si = 1, .sk = mr };
                    switch (r.reading) {
                        .in_place => {
                            a = p.a_view.?;
                            a.ptr += first * a.si + k0 * a.sk;
                        },
                        .shared => a.ptr = r.packedFrom(done) + first * depth,
                        .local => {},
                    }
                    var at: usize = 0;
                    while (at < rows) : (at += part_rows) {
                        var part = a;
                        const part_count = @min(part_rows, rows - at);
                        switch (r.reading) {
                            .in_place => part.ptr += at * a.si,
                            .shared => part.ptr += at * depth,
                            .local => packRows(p, local, first + at, part_count, k0, depth),
                        }
                        const row = r.row0 + first + at;
                        multiply(r, part, row, part_count, col, cols, k0, depth, packed_b, keeps_b, at == 0);
                    }
                }
            }
        }

        /// C[row.., col..] (rows, cols) = or += A @ B over `depth` steps, panel by panel of B.
        fn multiply(
            r: *const Round,
            a: View,
            row: usize,
            rows: usize,
            col: usize,
            cols: usize,
            k0: usize,
            depth: usize,
            packed_b: [*]T,
            keeps_b: bool,
            is_first: bool,
        ) void {
            const p = r.p;
            const in_place = r.reading == .in_place;
            const step = if (!in_place) mr else if (p.output == null and depth <= p.block) rows else output_rows;
            // Sums of several blocks that are rounded stay in the L1 cache.
            const stay = p.rounded != null and depth == p.k;
            var sums: [output_rows * nr]T align(64) = undefined;
            const local: Target = .{ .ptr = &sums, .rs = nr };
            const tiles = ceilDiv(rows, mr);
            var j: usize = 0;
            while (j < cols) : (j += nr) {
                const width = @min(nr, cols - j);
                const buffer = if (keeps_b) packed_b + j * depth else packed_b;
                var b: View = .{ .ptr = buffer, .si = 1, .sk = nr };
                const copies = !r.b_in_place and is_first and copiesB(p, rows, col + j, width);
                if (r.b_in_place) {
                    b = p.b_view.?;
                    b.ptr += col + j + k0 * b.sk;
                } else if (is_first and !copies) packBlocks(p, nr, p.b, buffer, col + j, width, k0, depth);
                // Sums of all but the last block: C is written once, and read once where it is added to.
                const gathers = @typeInfo(T) == .float and p.op == .multiply_add and depth > p.block and Micro.isStraight(p.c, col + j, width);
                // Meanwhile the next panel of B is fetched, or the next part of A.
                var ahead: Micro.Ahead = .{};
                const more = j + nr < cols;
                if (is_first) {
                    // As it lies, to be packed.
                    if (p.b_view) |v| if (more and v.sk == 1 and v.si == depth) {
                        ahead = .{ .ptr = @ptrCast(v.ptr + (col + j + nr) * depth), .bytes = ceilDiv(nr * @sizeOf(T), tiles) };
                    };
                } else if (keeps_b and more) {
                    ahead = .{ .ptr = @ptrCast(buffer + nr * depth), .bytes = ceilDiv(nr * @sizeOf(T), tiles) };
                } else if (keeps_b and r.reading == .shared) {
                    ahead = .{ .ptr = @ptrCast(a.ptr + rows * depth), .bytes = ceilDiv(rows * @sizeOf(T), tiles) };
                }
                var i: usize = 0;
                while (i < rows) {
                    const first = @typeInfo(T) == .float and copies and i == 0;
                    const count = if (first) mr else if (r.rows_are_close) Micro.evenRows(rows - i, Micro.close_rows) else @min(step, rows - i);
                    const part: Micro.Part = .{ .row = row + i, .rows = count, .col = col + j, .cols = width };
                    if (p.output) |*output| output.fetch(part.row, part.rows, part.col);
                    if (@typeInfo(T) == .float and in_place and j == 0 and a.sk == 1) {
                        // The beginnings of the next rows: what follows them in a page, the CPU fetches.
                        for (i + count..i + 2 * count) |next| inline for (0..4) |line| {
                            @prefetch(a.ptr + next * a.si + line * 64 / @sizeOf(T), .{ .locality = 2 });
                        };
                    }
                    var k: usize = 0;
                    while (k < depth) : (k += p.block) {
                        const kc = @min(p.block, depth - k);
                        const adds = p.adds or k0 + k > 0;
                        const from: View = .{
                            .ptr = a.ptr + if (in_place) i * a.si + k * a.sk else i * depth + k * mr,
                            .si = a.si,
                            .sk = a.sk,
                        };
                        const with: View = .{ .ptr = b.ptr + k * b.sk, .si = 1, .sk = b.sk };
                        var operands = p.operands(from, with, part.row, part.col, k0 + k, kc);
                        operands.ahead = ahead;
                        ahead.advance(ceilDiv(part.rows, mr) * kc);
                        const is_sum = gathers and k + kc < depth;
                        const to: Target = if (is_sum) local else p.c;
                        const place: Micro.Part = if (is_sum) .{ .rows = part.rows, .cols = width } else part;
                        if (gathers and adds) operands.old = if (k > 0) .{ .ptr = &sums, .rs = nr } else .{ .ptr = p.c.at(part.row, part.col), .rs = p.c.rs };
                        if (first) {
                            const v = p.b_view.?;
                            operands.b = v.ptr + part.col + (k0 + k) * v.sk;
                            operands.b_rs = v.sk;
                            Micro.panelCopying(operands, to.at(place.row, place.col), to.rs, adds, buffer + k * nr);
                        } else if (p.output != null or stay) {
                            Micro.panels(operands, local, .{ .rows = part.rows, .cols = width }, k > 0);
                        } else Micro.panels(operands, to, place, adds);
                    }
                    if (p.output) |*output| output.put(output.ctx, &sums, part.row, part.rows, part.col, width);
                    i += part.rows;
                }
                if (k0 + depth == p.k and p.rounded == null) p.finish(row, rows, col + j, width);
            }
        }

        /// Whether the first rows of A are multiplied while the panel is packed.
        fn copiesB(p: *const Problem, rows: usize, col: usize, cols: usize) bool {
            if (@typeInfo(T) != .float or p.output != null) return false;
            const b = p.b_view orelse return false;
            return b.si == 1 and cols == nr and rows >= mr and p.c.isRun(col, cols);
        }

        // --- A small C with a long k ------------------------------------------------------

        /// Few tiles and many blocks of k: the blocks are what the threads can share.
        fn splitsK(p: *const Problem) bool {
            const threads = services.threadCount();
            const tiles = ceilDiv(p.m, mr) * ceilDiv(p.n, nr);
            return threads > 1 and tiles < 4 * threads and p.k >= 2 * threads * p.block and
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
            const most = @max(1, @min(ceilDiv(p.k, p.block), packed_budget / size));
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
            while (split.k0 < p.k) : (split.k0 += most * p.block) {
                split.blocks = @min(most, ceilDiv(p.k - split.k0, p.block));
                services.parallelFor(
                    split.blocks,
                    grain(piece_flops, 2 * size * p.block),
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
            if (p.a_view != null and readsBInPlace(p)) return splitInPlace(s, begin, end);
            const m_padded = ceilDiv(p.m, mr) * mr;
            const n_padded = ceilDiv(p.n, nr) * nr;
            const memory = services.allocSlice(T, (m_padded + n_padded) * p.block) orelse
                return s.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(memory.ptr));
            const a = memory.ptr;
            const b = memory.ptr + m_padded * p.block;
            for (begin..end) |q| {
                const k0 = s.k0 + q * p.block;
                const kc = @min(p.block, p.k - k0);
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
                i = 0;
                while (i < p.m) : (i += mr) {
                    const panel: View = .{ .ptr = a + i * kc, .si = 1, .sk = mr };
                    j = 0;
                    while (j < p.n) : (j += nr) {
                        var operands = p.operands(panel, .{ .ptr = b + j * kc, .si = 1, .sk = nr }, i, j, k0, kc);
                        operands.rounded = null;
                        const part: Micro.Part = .{ .row = i, .rows = @min(mr, p.m - i), .col = j, .cols = @min(nr, p.n - j) };
                        Micro.panels(operands, c, part, false);
                    }
                }
            }
        }

        fn splitInPlace(s: *const Split, begin: usize, end: usize) void {
            const p = s.p;
            const a = p.a_view.?;
            const b = p.b_view.?;
            for (begin..end) |q| {
                const k0 = s.k0 + q * p.block;
                const kc = @min(p.block, p.k - k0);
                const c: Target = .{ .ptr = s.partial + q * p.m * p.n, .rs = p.n };
                const steps: View = .{ .ptr = a.ptr + k0 * a.sk, .si = a.si, .sk = a.sk };
                var j: usize = 0;
                while (j < p.n) : (j += nr) {
                    const operands = p.operands(steps, .{ .ptr = b.ptr + k0 * b.sk + j, .si = 1, .sk = b.sk }, 0, j, k0, kc);
                    Micro.panels(operands, c, .{ .rows = p.m, .col = j, .cols = @min(nr, p.n - j) }, false);
                }
            }
        }

        fn sumBlocks(s: *const Split, begin: usize, end: usize) void {
            const p = s.p;
            for (begin..end) |i| for (0..s.blocks) |q| {
                const from = s.partial + (q * p.m + i) * p.n;
                p.c.putSegment(i, 0, p.n, from, p.adds or s.k0 + q > 0);
            };
        }
    };
}
