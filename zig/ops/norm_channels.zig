//! batch_norm and group_norm: x is (N, C, S), every channel has its own weight and bias, and
//! statistics belong to a channel (batch) or to a sample's group of channels (group).
//! The rows of operands are listed in norm.zig.
//!
//! Work is cut into planes (n, c) of S elements. Where S is small (a batch_norm of (N, C)
//! above all) batch_norm goes over rows of C * S columns instead, vectors across channels.
//!
//! Whatever the row, forward is y = (x - mean) scale + bias, and backward is
//! gx = a g + b (x - mean) + c, with numbers of the plane (or column).
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const kernels = @import("reduce_kernels.zig");
const logical = @import("logical.zig");
const mergePairs = @import("reduce_rows.zig").mergePairs;
const gradients = @import("norm_channels_backward.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Logical = logical.Logical;
const part = logical.part;
const put = logical.put;

pub const Kind = enum {
    /// statistics of this batch
    batch,
    /// running statistics, given
    fixed,
    group,
};

const max_operands = 8;

pub const Channels = struct {
    kind: Kind,
    operand: [max_operands]Logical,
    present: [max_operands]bool,
    n: usize,
    c: usize,
    s: usize,
    /// Channels that share a mean, and how many such groups a sample has.
    in_group: usize,
    groups: usize,
    eps: f64,
    /// Columns: rows whose sums are joined in T before they join the others in f64; 0: planes.
    /// (group: only results go by columns, and statistics by groups)
    row_block: usize,

    /// Whether a thread does all of a group: there are enough of them.
    pub fn atOnce(s: *const Channels) bool {
        return s.kind == .group and s.row_block == 0 and s.n * s.groups >= 16;
    }
};
pub const work_size = 1 << 15;
/// Elements of a plane that are summed in T before their sum joins the others in f64.
pub const sum_block = 4096;

pub fn prepare(p: *Plan, x: plan.Operand, kind: Kind) plan.PrepareError!void {
    if (x.ndim() < 2) return error.Unsupported;
    const s = try p.create(Channels);
    const n: usize = @intCast(x.shape[0]);
    const c: usize = @intCast(x.shape[1]);
    var plane: usize = 1;
    for (x.shape[2..]) |size| plane *= @intCast(size);
    const groups: usize = if (kind == .group) @intCast(p.ints[0]) else 1;
    s.* = .{
        .kind = kind,
        .operand = undefined,
        .present = @splat(false),
        .n = n,
        .c = c,
        .s = plane,
        .in_group = if (groups == 0) 0 else c / groups,
        .groups = groups,
        .eps = if (p.floats.len > 0) p.floats[0] else 0,
        .row_block = if (if (kind == .group) plane == 1 else plane < 16 or (plane < 64 and n >= 8))
            std.math.clamp(n / 16, 16, 128)
        else
            0,
    };
    for (p.operands, 0..) |o, k| {
        s.operand[k] = try .init(o);
        s.present[k] = o.ndim() > 0;
    }
}

pub fn run(comptime T: type, backward: bool) plan.Run {
    return if (backward) gradients.Backward(T).run else Runner(T).forward;
}

/// Sums of a plane or of a channel: of v, and of v (x - mean).
pub const Sums = [2]f64;

pub fn Runner(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const Scratch = logical.Scratch(T);
    const moments = kernels.kernel(T, .moments);

    return struct {
        pub const Job = struct {
            plan: *const Plan,
            s: *const Channels,
            call: *Call,
            /// The operands that are walked: x and y, or x, g and gx.
            x: usize,
            other: usize,
            out: usize = 0,
            /// Of every channel, or of every plane: see `tableIndex`.
            mean: [*]T = undefined,
            weight: [*]const T = undefined,
            bias: [*]const T = undefined,
            a: [*]T = undefined,
            b: [*]T = undefined,
            c: [*]T = undefined,
            states: [*]kernels.State = undefined,
            /// Columns of channels: (tiles, blocks, planes, max_tile)
            cells: [*]kernels.Cell = undefined,
            /// Elements that one state is of.
            run: usize = 0,
            sums: [*]Sums = undefined,
            /// Columns: (blocks, 2, columns)
            partial: [*]T = undefined,
        };

        pub fn outOfMemory(call: *Call) void {
            call.fail(.out_of_memory, .{ 0, 0, 0 });
        }
        pub fn parameters(
            s: *const Channels,
            call: *Call,
            k: usize,
            absent: T,
            buffer: [*]T,
        ) [*]const T {
            if (s.present[k]) return s.operand[k].read(T, call.ptr[k].?, 0, s.c, buffer);
            @memset(buffer[0..s.c], absent);
            return buffer;
        }
        /// Room for `n` elements of each of these operands, none if all may be touched in place.
        pub fn scratchFor(s: *const Channels, operands: []const usize, n: usize) ?Scratch {
            for (operands) |k| if (!s.operand[k].direct(T)) return Scratch.init(operands.len, n);
            return Scratch.init(0, n);
        }
        pub fn slice(scratch: *Scratch, n: usize) [*]T {
            return if (scratch.memory.len == 0) undefined else scratch.take(n);
        }
        pub fn walk(job: *const Job, comptime piece: fn (*const Job, usize, usize) void) void {
            const s = job.s;
            services.parallelFor(s.n * s.c, @max(1, work_size / @max(1, s.s)), job.*, piece);
        }
        pub fn walkRows(job: *const Job, comptime piece: fn (*const Job, usize, usize) void) void {
            const s = job.s;
            const blocks = std.math.divCeil(usize, s.n, s.row_block) catch unreachable;
            services.parallelFor(
                blocks,
                @max(1, work_size / (s.row_block * s.c * s.s)),
                job.*,
                piece,
            );
        }

        // --- Forward ----------------------------------------------------------------------

        pub fn forward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Channels);
            // The operands after y, and after the statistics
            const x: usize = switch (s.kind) {
                .fixed => 1,
                .batch => 5,
                .group => 3,
            };
            const elements = s.n * s.c * s.s;
            if (elements == 0) return;
            const per_plane = s.kind == .group;
            const count = if (per_plane) s.n * s.c else if (s.row_block > 0) s.c * s.s else s.c;
            // weight, bias; mean, scale, bias of every plane or column; mean, rstd of channels
            var scratch = Scratch.init(7, @max(count, s.c)) orelse return outOfMemory(call);
            defer scratch.deinit();
            const weight = parameters(s, call, x + 1, 1, scratch.take(s.c));
            const bias = parameters(s, call, x + 2, 0, scratch.take(s.c));
            var job: Job = .{ .plan = p, .s = s, .call = call, .x = x, .other = x };
            job.mean = scratch.take(count);
            job.a = scratch.take(count);
            job.c = scratch.take(count);
            switch (s.kind) {
                .fixed => {
                    const mean = scratch.take(s.c);
                    const rstd = scratch.take(s.c);
                    fixedStatistics(s, call, x + 3, mean, rstd);
                    fill(s, &job, mean, rstd, weight, bias);
                },
                .batch => {
                    const columns = s.row_block > 0;
                    const done = if (columns) columnStatistics(&job) else planeStatistics(&job);
                    if (!done) return outOfMemory(call);
                    fill(s, &job, call.at(T, 1), call.at(T, 2), weight, bias);
                },
                .group => {
                    job.weight = weight;
                    job.bias = bias;
                    if (!planeStatistics(&job)) return outOfMemory(call);
                    if (s.atOnce()) return;
                },
            }
            if (s.row_block > 0) walkRows(&job, applyRows) else walk(&job, applyPlanes);
        }

        /// The statistics of groups, and the numbers of their planes; with enough groups for all
        /// threads the results as well, while x is in the cache.
        fn groupsForward(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var group = begin;
            while (group < end) {
                const last = @min(group + lanes, end);
                momentRuns(job, group, last);
                const planes = [2]usize{ group * s.in_group, last * s.in_group };
                while (group < last) : (group += 1) {
                    setStatistics(job, group, &job.states[group]);
                    const first = group * s.in_group;
                    const mean = job.call.at(T, 1)[group];
                    const rstd = job.call.at(T, 2)[group];
                    @memset(job.mean[first..][0..s.in_group], mean);
                    const w = job.weight[first % s.c ..][0..s.in_group];
                    for (job.a[first..][0..s.in_group], w) |*a, x| a.* = rstd * x;
                    @memcpy(job.c[first..][0..s.in_group], job.bias[first % s.c ..]);
                }
                if (s.atOnce()) applyPlanes(job, planes[0], planes[1]);
            }
        }

        /// The numbers of every channel, or of every column.
        fn fill(
            s: *const Channels,
            job: *const Job,
            mean: [*]const T,
            rstd: [*]const T,
            weight: [*]const T,
            bias: [*]const T,
        ) void {
            const repeat = if (s.row_block > 0) s.s else 1;
            for (0..s.c) |c| for (0..repeat) |k| {
                job.mean[c * repeat + k] = mean[c];
                job.a[c * repeat + k] = rstd[c] * weight[c];
                job.c[c * repeat + k] = bias[c];
            };
        }

        pub fn fixedStatistics(s: *const Channels, call: *Call, k: usize, mean: [*]T, rstd: [*]T) void {
            const m = s.operand[k].read(T, call.ptr[k].?, 0, s.c, mean);
            if (m != mean) @memcpy(mean[0..s.c], m[0..s.c]);
            const v = s.operand[k + 1].read(T, call.ptr[k + 1].?, 0, s.c, rstd);
            for (0..s.c) |c| rstd[c] = @floatCast(1 / @sqrt(@as(f64, v[c]) + s.eps));
        }

        /// mean, rstd, and a batch's running statistics, from the merged states.
        fn setStatistics(job: *const Job, i: usize, state: *const kernels.State) void {
            const s = job.s;
            const variance = state[1].f / state[2].f;
            job.call.at(T, 1)[i] = @floatCast(state[0].f);
            job.call.at(T, 2)[i] = @floatCast(1 / @sqrt(variance + s.eps));
            if (s.kind != .batch) return;
            const unbiased = state[1].f / (state[2].f - 1);
            for ([2]usize{ 3, 4 }, [2]f64{ state[0].f, unbiased }) |k, now| if (s.present[k]) {
                var buffer: [1]T = undefined;
                const memory = job.call.ptr[k].?;
                const old: f64 = s.operand[k].read(T, memory, i, 1, &buffer)[0];
                const new = s.operand[k].place(T, memory, i, &buffer);
                new[0] = @floatCast(old + job.call.scalar[0].f * (now - old));
                s.operand[k].write(T, memory, i, 1, new);
            };
        }

        /// The states of planes (batch), or of groups, whose planes are one run.
        fn planeStatistics(job: *Job) bool {
            const s = job.s;
            const groups = s.kind == .group;
            const units = if (groups) s.n * s.groups else s.n * s.c;
            job.run = if (groups) s.in_group * s.s else s.s;
            const states = services.allocSlice(kernels.State, units) orelse return false;
            defer services.free(@ptrCast(states.ptr));
            job.states = states.ptr;
            const grain = @max(1, work_size / @max(1, job.run));
            if (groups) {
                services.parallelFor(units, grain, job.*, groupsForward);
                return true;
            }
            services.parallelFor(units, grain, job.*, momentRuns);
            for (0..s.c) |c| {
                var total = states[c];
                for (1..s.n) |n| moments.merge(&total, &states[c + n * s.c], 1, 1);
                setStatistics(job, c, &total);
            }
            return true;
        }
        fn momentRuns(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const n = job.run;
            var scratch = scratchFor(s, &.{job.x}, n) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const buffer = slice(&scratch, n);
            const together = moments.rows != null and n <= kernels.row_block and
                s.operand[job.x].direct(T);
            for (begin..end) |i| {
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, i * n, n, buffer);
                if (together) {
                    if ((i - begin) % lanes == 0)
                        momentsOfRows(x, n, job.states[i..@min(i + lanes, end)]);
                    continue;
                }
                var k: usize = 0;
                while (k < n) : (k += kernels.row_block) {
                    var state: kernels.State = undefined;
                    moments.row(@ptrCast(x + k), @min(kernels.row_block, n - k), 0, &state);
                    if (k == 0)
                        job.states[i] = state
                    else
                        moments.merge(&job.states[i], &state, 1, 1);
                }
            }
        }

        /// The states of runs of n that lie one behind the other.
        fn momentsOfRows(x: [*]const T, n: usize, states: []kernels.State) void {
            var cells: [kernels.planes * kernels.max_tile]kernels.Cell = undefined;
            moments.rows.?(@ptrCast(x), n, n, states.len, &cells);
            for (states, 0..) |*state, i| {
                inline for (state, 0..) |*cell, q| cell.* = cells[q * kernels.max_tile + i];
            }
        }

        fn applyPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = scratchFor(s, &.{ job.x, 0 }, s.s) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = slice(&scratch, s.s);
            const y_buffer = slice(&scratch, s.s);
            const direct = scratch.memory.len == 0;
            var c = begin % s.c;
            for (begin..end) |i| {
                const at = i * s.s;
                const x = if (direct) job.call.at(T, job.x) + at else s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, x_buffer);
                const y = if (direct) job.call.at(T, 0) + at else s.operand[0].place(T, job.call.ptr[0].?, at, y_buffer);
                const k = if (s.kind == .group) i else c;
                c = if (c + 1 == s.c) 0 else c + 1;
                const mean: V = @splat(job.mean[k]);
                const scale: V = @splat(job.a[k]);
                const bias: V = @splat(job.c[k]);
                var j: usize = 0;
                while (j + lanes <= s.s) : (j += lanes)
                    simd.store(T, y + j, simd.fma(V, simd.load(T, x + j) - mean, scale, bias));
                if (j < s.s)
                    put(T, y + j, s.s - j, simd.fma(V, part(T, x + j, s.s - j, 0) - mean, scale, bias));
                if (!direct) s.operand[0].write(T, job.call.ptr[0].?, at, s.s, y);
            }
        }

        fn applyRows(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const columns = s.c * s.s;
            var scratch = scratchFor(s, &.{ job.x, 0 }, columns) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = slice(&scratch, columns);
            const y_buffer = slice(&scratch, columns);
            for (begin * s.row_block..@min(end * s.row_block, s.n)) |i| {
                const at = i * columns;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, columns, x_buffer);
                const y = s.operand[0].place(T, job.call.ptr[0].?, at, y_buffer);
                const tables = if (s.kind == .group) at else 0;
                var j: usize = 0;
                while (j < columns) : (j += lanes) {
                    const left = columns - j;
                    const k = tables + j;
                    const d = part(T, x + j, left, 0) - part(T, job.mean + k, left, 0);
                    const scale = part(T, job.a + k, left, 0);
                    put(T, y + j, left, simd.fma(V, d, scale, part(T, job.c + k, left, 0)));
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, columns, y);
            }
        }

        // --- Sums over rows of columns -----------------------------------------------------

        const What = enum {
            /// the sum of x
            total,
            /// the sums of d and d^2, d = x - mean
            deviations,
            /// the sums of g and g (x - mean)
            gradients,
        };

        pub fn sumRows(comptime what: What) fn (*const Job, usize, usize) void {
            return struct {
                fn piece(job: *const Job, begin: usize, end: usize) void {
                    const s = job.s;
                    const columns = s.c * s.s;
                    const stride = std.mem.alignForward(usize, columns, lanes);
                    var scratch = scratchFor(s, &.{ job.x, job.other }, columns) orelse
                        return outOfMemory(job.call);
                    defer scratch.deinit();
                    const x_buffer = slice(&scratch, columns);
                    const g_buffer = slice(&scratch, columns);
                    for (begin..end) |b| {
                        const first = job.partial + 2 * b * stride;
                        const second = first + stride;
                        @memset(first[0 .. 2 * stride], 0);
                        for (b * s.row_block..@min((b + 1) * s.row_block, s.n)) |i| {
                            const at = i * columns;
                            const x = s.operand[job.x].read(
                                T,
                                job.call.ptr[job.x].?,
                                at,
                                columns,
                                x_buffer,
                            );
                            const g = if (what == .gradients)
                                s.operand[job.other].read(
                                    T,
                                    job.call.ptr[job.other].?,
                                    at,
                                    columns,
                                    g_buffer,
                                );
                            var j: usize = 0;
                            while (j < columns) : (j += lanes) {
                                const left = columns - j;
                                const v = part(T, x + j, left, 0);
                                const d = if (what == .total)
                                    v
                                else
                                    v - part(T, job.mean + j, left, 0);
                                const u = if (what == .gradients) part(T, g + j, left, 0) else d;
                                simd.store(T, first + j, simd.load(T, first + j) + u);
                                if (what != .total)
                                    simd.store(
                                        T,
                                        second + j,
                                        simd.fma(V, u, d, simd.load(T, second + j)),
                                    );
                            }
                        }
                    }
                }
            }.piece;
        }

        /// One channel's sum, of plane 0 or 1 of the partial sums, in f64.
        pub fn joined(job: *const Job, c: usize, which: usize) f64 {
            const s = job.s;
            const stride = std.mem.alignForward(usize, s.c * s.s, lanes);
            const blocks = std.math.divCeil(usize, s.n, s.row_block) catch unreachable;
            var sum: f64 = 0;
            for (0..blocks) |b| {
                const src = job.partial + (2 * b + which) * stride + c * s.s;
                for (src[0..s.s]) |v| sum += v;
            }
            return sum;
        }
        pub fn allocPartial(job: *Job) ?[]align(64) T {
            const s = job.s;
            const stride = std.mem.alignForward(usize, s.c * s.s, lanes);
            const blocks = std.math.divCeil(usize, s.n, s.row_block) catch unreachable;
            const memory = services.allocSlice(T, 2 * blocks * stride) orelse return null;
            job.partial = memory.ptr;
            return memory;
        }

        /// Where a channel is a column of at least a vector of them in memory.
        fn columnMoments(job: *Job) bool {
            const s = job.s;
            const size = kernels.planes * kernels.max_tile;
            const tiles = std.math.divCeil(usize, s.c, kernels.max_tile) catch unreachable;
            const blocks = std.math.divCeil(usize, s.n, kernels.column_block) catch unreachable;
            const cells = services.allocSlice(kernels.Cell, tiles * blocks * size) orelse
                return false;
            defer services.free(@ptrCast(cells.ptr));
            job.cells = cells.ptr;
            const block: usize = kernels.column_block * @as(usize, @min(s.c, kernels.max_tile));
            services.parallelFor(tiles * blocks, @max(1, work_size / block), job.*, momentTiles);
            for (0..tiles) |tile| {
                const first = tile * kernels.max_tile;
                const width: usize = @min(kernels.max_tile, s.c - first);
                const total = cells[tile * blocks * size ..];
                mergePairs(&moments, total.ptr, blocks, size, width);
                for (0..width) |c| {
                    var state: kernels.State = undefined;
                    inline for (&state, 0..) |*cell, q| cell.* = total[q * kernels.max_tile + c];
                    setStatistics(job, first + c, &state);
                }
            }
            return true;
        }
        fn momentTiles(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const blocks = std.math.divCeil(usize, s.n, kernels.column_block) catch unreachable;
            for (begin..end) |i| {
                const column = i / blocks * kernels.max_tile;
                const row = i % blocks * kernels.column_block;
                const rows: usize = @min(kernels.column_block, s.n - row);
                var offsets: [kernels.column_block]usize = undefined;
                for (offsets[0..rows], row..) |*o, r| o.* = r * s.c + column;
                const width: usize = @min(kernels.max_tile, s.c - column);
                const out = job.cells + i * kernels.planes * kernels.max_tile;
                moments.column(job.call.ptr[job.x].?, offsets[0..rows], width, 0, out);
            }
        }

        /// Two passes: the means; then deviations from them, whose sum corrects their rounding.
        fn columnStatistics(job: *Job) bool {
            const s = job.s;
            if (T == f32 and s.s == 1 and s.c >= lanes and s.operand[job.x].direct(T))
                return columnMoments(job);
            const memory = allocPartial(job) orelse return false;
            defer services.free(@ptrCast(memory.ptr));
            const count: f64 = @floatFromInt(s.n * s.s);
            walkRows(job, sumRows(.total));
            for (0..s.c) |c| {
                const mean: T = @floatCast(joined(job, c, 0) / count);
                for (0..s.s) |k| job.mean[c * s.s + k] = mean;
            }
            walkRows(job, sumRows(.deviations));
            for (0..s.c) |c| {
                const d = joined(job, c, 0) / count;
                const m2 = joined(job, c, 1) - d * d * count;
                const state: kernels.State = .{
                    .{ .f = job.mean[c * s.s] + d },
                    .{ .f = if (m2 < 0) 0 else m2 },
                    .{ .f = count },
                };
                setStatistics(job, c, &state);
            }
            return true;
        }
    };
}
