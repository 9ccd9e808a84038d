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

const Channels = struct {
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
    row_block: usize,
};
const work_size = 1 << 14;
/// Elements of a plane that are summed in T before their sum joins the others in f64.
const sum_block = 4096;

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
        .row_block = if (kind != .group and plane < 16) std.math.clamp(n / 16, 16, 128) else 0,
    };
    for (p.operands, 0..) |o, k| {
        s.operand[k] = try .init(o);
        s.present[k] = o.ndim() > 0;
    }
}

pub fn run(comptime T: type, backward: bool) plan.Run {
    return if (backward) Runner(T).backward else Runner(T).forward;
}

/// Sums of a plane or of a channel: of v, and of v (x - mean).
const Sums = [2]f64;

fn Runner(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const Scratch = logical.Scratch(T);
    const moments = kernels.kernel(T, .moments);

    return struct {
        const Job = struct {
            plan: *const Plan,
            s: *const Channels,
            call: *Call,
            /// The operands that are walked: x and y, or x, g and gx.
            x: usize,
            other: usize,
            out: usize = 0,
            /// Of every channel, or of every plane: see `tableIndex`.
            mean: [*]T = undefined,
            a: [*]T = undefined,
            b: [*]T = undefined,
            c: [*]T = undefined,
            states: [*]kernels.State = undefined,
            sums: [*]Sums = undefined,
            /// Columns: (blocks, 2, columns)
            partial: [*]T = undefined,
        };

        fn outOfMemory(call: *Call) void {
            call.fail(.out_of_memory, .{ 0, 0, 0 });
        }
        fn parameters(
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
        fn walk(job: *const Job, comptime piece: fn (*const Job, usize, usize) void) void {
            const s = job.s;
            services.parallelFor(s.n * s.c, @max(1, work_size / @max(1, s.s)), job.*, piece);
        }
        fn walkRows(job: *const Job, comptime piece: fn (*const Job, usize, usize) void) void {
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
                    if (!planeStatistics(&job)) return outOfMemory(call);
                    const mean = call.at(T, 1);
                    const rstd = call.at(T, 2);
                    for (0..s.n * s.c) |i| {
                        const group = i / s.in_group;
                        job.mean[i] = mean[group];
                        job.a[i] = rstd[group] * weight[i % s.c];
                        job.c[i] = bias[i % s.c];
                    }
                },
            }
            if (s.row_block > 0) walkRows(&job, applyRows) else walk(&job, applyPlanes);
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

        fn fixedStatistics(s: *const Channels, call: *Call, k: usize, mean: [*]T, rstd: [*]T) void {
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
                const old: f64 = s.operand[k].read(T, job.call.ptr[k].?, i, 1, &buffer)[0];
                const new: [1]T = .{@floatCast(old + job.call.scalar[0].f * (now - old))};
                s.operand[k].write(T, job.call.ptr[k].?, i, 1, &new);
            };
        }

        fn planeStatistics(job: *Job) bool {
            const s = job.s;
            const states = services.allocSlice(kernels.State, s.n * s.c) orelse return false;
            defer services.free(@ptrCast(states.ptr));
            job.states = states.ptr;
            walk(job, momentPlanes);
            // A batch's planes of a channel lie C apart, a group's are neighbours.
            const count = if (s.kind == .batch) s.c else s.n * s.groups;
            for (0..count) |i| {
                const first, const step, const planes = if (s.kind == .batch)
                    .{ i, s.c, s.n }
                else
                    .{ i * s.in_group, 1, s.in_group };
                var total = states[first];
                for (1..planes) |k| moments.merge(&total, &states[first + k * step], 1, 1);
                setStatistics(job, i, &total);
            }
            return true;
        }
        fn momentPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = Scratch.init(1, s.s) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const buffer = scratch.take(s.s);
            for (begin..end) |i| {
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, i * s.s, s.s, buffer);
                var k: usize = 0;
                while (k < s.s) : (k += kernels.row_block) {
                    var state: kernels.State = undefined;
                    moments.row(@ptrCast(x + k), @min(kernels.row_block, s.s - k), 0, &state);
                    if (k == 0)
                        job.states[i] = state
                    else
                        moments.merge(&job.states[i], &state, 1, 1);
                }
            }
        }

        fn applyPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = Scratch.init(2, s.s) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = scratch.take(s.s);
            const y_buffer = scratch.take(s.s);
            for (begin..end) |i| {
                const at = i * s.s;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, x_buffer);
                const y = s.operand[0].place(T, job.call.ptr[0].?, at, y_buffer);
                const k = if (s.kind == .group) i else i % s.c;
                const mean: V = @splat(job.mean[k]);
                const scale: V = @splat(job.a[k]);
                const bias: V = @splat(job.c[k]);
                var j: usize = 0;
                while (j < s.s) : (j += lanes) {
                    const left = s.s - j;
                    put(T, y + j, left, simd.fma(V, part(T, x + j, left, 0) - mean, scale, bias));
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, s.s, y);
            }
        }

        fn applyRows(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const columns = s.c * s.s;
            var scratch = Scratch.init(2, columns) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = scratch.take(columns);
            const y_buffer = scratch.take(columns);
            for (begin * s.row_block..@min(end * s.row_block, s.n)) |i| {
                const at = i * columns;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, columns, x_buffer);
                const y = s.operand[0].place(T, job.call.ptr[0].?, at, y_buffer);
                var j: usize = 0;
                while (j < columns) : (j += lanes) {
                    const left = columns - j;
                    const d = part(T, x + j, left, 0) - part(T, job.mean + j, left, 0);
                    const scale = part(T, job.a + j, left, 0);
                    put(T, y + j, left, simd.fma(V, d, scale, part(T, job.c + j, left, 0)));
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

        fn sumRows(comptime what: What) fn (*const Job, usize, usize) void {
            return struct {
                fn piece(job: *const Job, begin: usize, end: usize) void {
                    const s = job.s;
                    const columns = s.c * s.s;
                    const stride = std.mem.alignForward(usize, columns, lanes);
                    var scratch = Scratch.init(2, columns) orelse return outOfMemory(job.call);
                    defer scratch.deinit();
                    const x_buffer = scratch.take(columns);
                    const g_buffer = scratch.take(columns);
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
        fn joined(job: *const Job, c: usize, which: usize) f64 {
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
        fn allocPartial(job: *Job) ?[]align(64) T {
            const s = job.s;
            const stride = std.mem.alignForward(usize, s.c * s.s, lanes);
            const blocks = std.math.divCeil(usize, s.n, s.row_block) catch unreachable;
            const memory = services.allocSlice(T, 2 * blocks * stride) orelse return null;
            job.partial = memory.ptr;
            return memory;
        }

        /// Two passes: the means; then deviations from them, whose sum corrects their rounding.
        fn columnStatistics(job: *Job) bool {
            const s = job.s;
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

        // --- Backward -----------------------------------------------------------------------
        // Operands: gx, gw, gb, g, x, mean, rstd, weight; `fixed` has running_mean and
        // running_var for mean and rstd.

        pub fn backward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Channels);
            const planes = s.n * s.c;
            if (planes * s.s == 0) {
                for ([2]usize{ 1, 2 }) |k| if (s.present[k]) for (0..s.c) |c| {
                    s.operand[k].write(T, call.ptr[k].?, c, 1, &.{0});
                };
                return;
            }
            const per_plane = s.kind == .group;
            const count = if (per_plane) planes else if (s.row_block > 0) s.c * s.s else s.c;
            var scratch = Scratch.init(7, @max(count, s.c)) orelse return outOfMemory(call);
            defer scratch.deinit();
            const weight = parameters(s, call, 7, 1, scratch.take(s.c));
            var job: Job = .{ .plan = p, .s = s, .call = call, .x = 4, .other = 3 };
            job.mean = scratch.take(count);
            job.a = scratch.take(count);
            job.b = scratch.take(count);
            job.c = scratch.take(count);
            var mean: [*]const T = undefined;
            var rstd: [*]const T = undefined;
            if (s.kind == .fixed) {
                const m = scratch.take(s.c);
                const r = scratch.take(s.c);
                fixedStatistics(s, call, 5, m, r);
                mean = m;
                rstd = r;
            } else {
                mean = call.at(T, 5);
                rstd = call.at(T, 6);
            }
            const repeat = if (s.row_block > 0) s.s else 1;
            for (0..count) |i| job.mean[i] = mean[if (per_plane) i / s.in_group else i / repeat];

            // Sums of every channel (batch) or plane (group)
            const sums = services.allocSlice(Sums, @max(1, planes)) orelse return outOfMemory(call);
            defer services.free(@ptrCast(sums.ptr));
            job.sums = sums.ptr;
            if (s.row_block > 0) {
                const memory = allocPartial(&job) orelse return outOfMemory(call);
                defer services.free(@ptrCast(memory.ptr));
                walkRows(&job, sumRows(.gradients));
                for (0..s.c) |c| {
                    const channel: Sums = .{ joined(&job, c, 0), joined(&job, c, 1) };
                    giveAffine(&job, c, channel, rstd[c]);
                    setGradient(&job, c * s.s, s.s, weight[c], rstd[c], channel);
                }
            } else {
                walk(&job, sumPlanes);
                if (per_plane) groupGradients(&job, rstd, weight) else for (0..s.c) |c| {
                    var channel: Sums = .{ 0, 0 };
                    for (0..s.n) |n| for (&channel, sums[n * s.c + c]) |*t, v| {
                        t.* += v;
                    };
                    giveAffine(&job, c, channel, rstd[c]);
                    setGradient(&job, c, 1, weight[c], rstd[c], channel);
                }
            }
            if (!s.present[0]) return;
            if (s.row_block > 0) walkRows(&job, gradientRows) else walk(&job, gradientPlanes);
        }

        /// gb = the sum of g; gw = that of g (x - mean), times rstd
        fn giveAffine(job: *const Job, c: usize, channel: Sums, rstd: T) void {
            const values: [2]T = .{ @floatCast(channel[1] * rstd), @floatCast(channel[0]) };
            for (values, 1..) |v, k| if (job.s.present[k]) {
                job.s.operand[k].write(T, job.call.ptr[k].?, c, 1, &.{v});
            };
        }

        /// gx = w rstd (g - mean(g) - (x - mean) rstd^2 mean(g (x - mean)))
        fn setGradient(
            job: *const Job,
            at: usize,
            n: usize,
            weight: T,
            rstd: T,
            channel: Sums,
        ) void {
            const s = job.s;
            const count: f64 = @floatFromInt(s.n * s.s);
            const r: f64 = rstd;
            const a = r * weight;
            const moving = s.kind == .batch; // the statistics depend on x
            for (at..at + n) |i| {
                job.a[i] = @floatCast(a);
                job.b[i] = if (moving) @floatCast(-a * r * r * channel[1] / count) else 0;
                job.c[i] = if (moving) @floatCast(-a * channel[0] / count) else 0;
            }
        }

        fn groupGradients(job: *const Job, rstd: [*]const T, weight: [*]const T) void {
            const s = job.s;
            const count: f64 = @floatFromInt(s.in_group * s.s);
            for (0..s.c) |c| {
                var channel: Sums = .{ 0, 0 };
                for (0..s.n) |n| {
                    const plane = job.sums[n * s.c + c];
                    channel[0] += plane[0];
                    channel[1] += plane[1] * rstd[n * s.groups + c / s.in_group];
                }
                giveAffine(job, c, channel, 1);
            }
            for (0..s.n * s.groups) |group| {
                const first = group * s.in_group;
                const r: f64 = rstd[group];
                var total: Sums = .{ 0, 0 };
                for (first..first + s.in_group) |i| for (&total, job.sums[i]) |*t, v| {
                    t.* += v * weight[i % s.c];
                };
                for (first..first + s.in_group) |i| {
                    job.a[i] = @floatCast(r * weight[i % s.c]);
                    job.b[i] = @floatCast(-r * r * r * total[1] / count);
                    job.c[i] = @floatCast(-r * total[0] / count);
                }
            }
        }

        fn sumPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = Scratch.init(2, s.s) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = scratch.take(s.s);
            const g_buffer = scratch.take(s.s);
            for (begin..end) |i| {
                const at = i * s.s;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, x_buffer);
                const g = s.operand[job.other].read(
                    T,
                    job.call.ptr[job.other].?,
                    at,
                    s.s,
                    g_buffer,
                );
                const m = job.mean[if (s.kind == .group) i else i % s.c];
                const mean: V = @splat(m);
                var total: Sums = .{ 0, 0 };
                var j: usize = 0;
                while (j < s.s) {
                    const stop = @min(s.s, j + sum_block);
                    var first: [2]V = @splat(@splat(0));
                    var second: [2]V = @splat(@splat(0));
                    while (j + 2 * lanes <= stop) : (j += 2 * lanes) inline for (0..2) |k| {
                        const u = simd.load(T, g + j + k * lanes);
                        first[k] += u;
                        second[k] = simd.fma(
                            V,
                            u,
                            simd.load(T, x + j + k * lanes) - mean,
                            second[k],
                        );
                    };
                    while (j < stop) : (j += lanes) {
                        const u = part(T, g + j, stop - j, 0);
                        first[0] += u;
                        second[0] = simd.fma(V, u, part(T, x + j, stop - j, m) - mean, second[0]);
                    }
                    total[0] += simd.reduceAdd(first[0] + first[1]);
                    total[1] += simd.reduceAdd(second[0] + second[1]);
                }
                job.sums[i] = total;
            }
        }

        fn gradientPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = Scratch.init(3, s.s) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const buffers: [3][*]T = .{ scratch.take(s.s), scratch.take(s.s), scratch.take(s.s) };
            for (begin..end) |i| {
                const at = i * s.s;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, buffers[0]);
                const g = s.operand[job.other].read(
                    T,
                    job.call.ptr[job.other].?,
                    at,
                    s.s,
                    buffers[1],
                );
                const gx = s.operand[0].place(T, job.call.ptr[0].?, at, buffers[2]);
                const k = if (s.kind == .group) i else i % s.c;
                const mean: V = @splat(job.mean[k]);
                const a: V = @splat(job.a[k]);
                const b: V = @splat(job.b[k]);
                const c: V = @splat(job.c[k]);
                var j: usize = 0;
                while (j < s.s) : (j += lanes) {
                    const left = s.s - j;
                    const rest = simd.fma(V, part(T, x + j, left, 0) - mean, b, c);
                    put(T, gx + j, left, simd.fma(V, part(T, g + j, left, 0), a, rest));
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, s.s, gx);
            }
        }

        fn gradientRows(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const columns = s.c * s.s;
            var scratch = Scratch.init(3, columns) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            var buffers: [3][*]T = undefined;
            for (&buffers) |*b| b.* = scratch.take(columns);
            for (begin * s.row_block..@min(end * s.row_block, s.n)) |i| {
                const at = i * columns;
                const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, at, columns, buffers[0]);
                const g = s.operand[job.other].read(
                    T,
                    job.call.ptr[job.other].?,
                    at,
                    columns,
                    buffers[1],
                );
                const gx = s.operand[0].place(T, job.call.ptr[0].?, at, buffers[2]);
                var j: usize = 0;
                while (j < columns) : (j += lanes) {
                    const left = columns - j;
                    const d = part(T, x + j, left, 0) - part(T, job.mean + j, left, 0);
                    const rest = simd.fma(
                        V,
                        d,
                        part(T, job.b + j, left, 0),
                        part(T, job.c + j, left, 0),
                    );
                    put(
                        T,
                        gx + j,
                        left,
                        simd.fma(V, part(T, g + j, left, 0), part(T, job.a + j, left, 0), rest),
                    );
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, columns, gx);
            }
        }
    };
}
