//! The backward passes of norm_channels.zig: sums of every channel or plane, then
//! gx = a g + b (x - mean) + c.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const logical = @import("logical.zig");
const channels = @import("norm_channels.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Channels = channels.Channels;
const Sums = channels.Sums;
const sum_block = channels.sum_block;
const part = logical.part;
const put = logical.put;

pub fn Backward(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const Scratch = logical.Scratch(T);
    const Common = channels.Runner(T);

    return struct {
        const Job = Common.Job;
        const outOfMemory = Common.outOfMemory;
        const scratchFor = Common.scratchFor;
        const slice = Common.slice;
        const parameters = Common.parameters;
        const walk = Common.walk;
        const walkRows = Common.walkRows;
        const fixedStatistics = Common.fixedStatistics;
        const sumRows = Common.sumRows;
        const joined = Common.joined;
        const allocPartial = Common.allocPartial;

        // Operands: gx, gw, gb, g, x, mean, rstd, weight; `fixed` has running_mean and
        // running_var for mean and rstd.

        pub fn run(p: *const Plan, call: *Call) void {
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
            if (!per_plane) for (0..s.c) |c| @memset(job.mean[c * repeat ..][0..repeat], mean[c]);

            // Sums of every channel (batch) or plane (group)
            const sums = services.allocSlice(Sums, @max(1, planes)) orelse return outOfMemory(call);
            defer services.free(@ptrCast(sums.ptr));
            job.sums = sums.ptr;
            if (s.row_block > 0 and !per_plane) {
                const memory = allocPartial(&job) orelse return outOfMemory(call);
                defer services.free(@ptrCast(memory.ptr));
                walkRows(&job, sumRows(.gradients));
                for (0..s.c) |c| {
                    const channel: Sums = .{ joined(&job, c, 0), joined(&job, c, 1) };
                    giveAffine(&job, c, channel, rstd[c]);
                    setGradient(&job, c * s.s, s.s, weight[c], rstd[c], channel);
                }
            } else if (per_plane) {
                job.weight = weight;
                const grain = @max(1, channels.work_size / @max(1, s.in_group * s.s));
                services.parallelFor(s.n * s.groups, grain, job, groupsBackward);
                if (!groupParameters(&job, rstd)) return outOfMemory(call);
            } else {
                walk(&job, sumPlanes);
                for (0..s.c) |c| {
                    var channel: Sums = .{ 0, 0 };
                    for (0..s.n) |n| for (&channel, sums[n * s.c + c]) |*t, v| {
                        t.* += v;
                    };
                    giveAffine(&job, c, channel, rstd[c]);
                    setGradient(&job, c, 1, weight[c], rstd[c], channel);
                }
            }
            if (!s.present[0] or s.atOnce()) return;
            if (s.row_block > 0) walkRows(&job, gradientRows) else walk(&job, gradientPlanes);
        }

        /// gb = the sum of g; gw = that of g (x - mean), times rstd
        fn giveAffine(job: *const Job, c: usize, channel: Sums, rstd: T) void {
            const values: [2]T = .{ @floatCast(channel[1] * rstd), @floatCast(channel[0]) };
            for (values, 1..) |v, k| if (job.s.present[k]) {
                var buffer: [1]T = undefined;
                const memory = job.call.ptr[k].?;
                const to = job.s.operand[k].place(T, memory, c, &buffer);
                to[0] = v;
                job.s.operand[k].write(T, memory, c, 1, to);
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

        /// The sums of groups' planes and the numbers that follow; with enough groups for all
        /// threads gx as well, while x and g are in the cache.
        fn groupsBackward(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const count: f64 = @floatFromInt(s.in_group * s.s);
            for (begin..end) |group| {
                const first = group * s.in_group;
                @memset(job.mean[first..][0..s.in_group], job.call.at(T, 5)[group]);
                sumPlanes(job, first, first + s.in_group);
                const weight = job.weight[first % s.c ..][0..s.in_group];
                var total: @Vector(2, f64) = @splat(0);
                for (job.sums[first..][0..s.in_group], weight) |plane, w|
                    total += @as(@Vector(2, f64), plane) * @as(@Vector(2, f64), @splat(w));
                const r: f64 = job.call.at(T, 6)[group];
                @memset(job.b[first..][0..s.in_group], @floatCast(-r * r * r * total[1] / count));
                @memset(job.c[first..][0..s.in_group], @floatCast(-r * total[0] / count));
                for (job.a[first..][0..s.in_group], weight) |*a, w| a.* = @floatCast(r * w);
                if (s.present[0] and s.atOnce()) gradientPlanes(job, first, first + s.in_group);
            }
        }

        fn groupParameters(job: *const Job, rstd: [*]const T) bool {
            const s = job.s;
            if (!s.present[1] and !s.present[2]) return true;
            const of_channels = services.allocSlice(@Vector(2, f64), s.c) orelse return false;
            defer services.free(@ptrCast(of_channels.ptr));
            @memset(of_channels, @splat(0));
            for (0..s.n * s.groups) |group| {
                const first = group * s.in_group;
                const scale: @Vector(2, f64) = .{ 1, rstd[group] };
                for (job.sums[first..][0..s.in_group], of_channels[first % s.c ..][0..s.in_group]) |plane, *sum|
                    sum.* += @as(@Vector(2, f64), plane) * scale;
            }
            for (of_channels, 0..) |sums, c| giveAffine(job, c, sums, 1);
            return true;
        }

        /// Planes of one element.
        fn sumElements(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const n = end - begin;
            var scratch = scratchFor(s, &.{ job.x, job.other }, n) orelse return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = slice(&scratch, n);
            const x = s.operand[job.x].read(T, job.call.ptr[job.x].?, begin, n, x_buffer);
            const g_buffer = slice(&scratch, n);
            const g = s.operand[job.other].read(T, job.call.ptr[job.other].?, begin, n, g_buffer);
            for (job.sums[begin..end], job.mean[begin..end], x, g) |*to, mean, v, u| to.* = .{ u, u * (v - mean) };
        }

        fn sumPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            if (s.s == 1) return sumElements(job, begin, end);
            var scratch = scratchFor(s, &.{ job.x, job.other }, s.s) orelse
                return outOfMemory(job.call);
            defer scratch.deinit();
            const x_buffer = slice(&scratch, s.s);
            const g_buffer = slice(&scratch, s.s);
            const direct = scratch.memory.len == 0;
            const short = s.s <= sum_block;
            var firsts: [lanes]V = @splat(@splat(0));
            var seconds: [lanes]V = @splat(@splat(0));
            var channel = begin % s.c;
            for (begin..end) |i| {
                const at = i * s.s;
                const x = if (direct) job.call.at(T, job.x) + at else s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, x_buffer);
                const g_memory = job.call.ptr[job.other].?;
                const g = if (direct) job.call.at(T, job.other) + at else s.operand[job.other].read(T, g_memory, at, s.s, g_buffer);
                const mean = job.mean[if (s.kind == .group) i else channel];
                channel = if (channel + 1 == s.c) 0 else channel + 1;
                if (!short) {
                    job.sums[i] = .{ 0, 0 };
                    var j: usize = 0;
                    while (j < s.s) : (j += sum_block) {
                        const both = planeSums(x + j, g + j, @min(sum_block, s.s - j), mean);
                        inline for (&job.sums[i], both) |*to, v| to.* += simd.reduceAdd(v);
                    }
                    continue;
                }
                // The ends of many planes are summed together.
                const k = (i - begin) % lanes;
                firsts[k], seconds[k] = planeSums(x, g, s.s, mean);
                if (k + 1 < lanes and i + 1 < end) continue;
                const first: [lanes]T = simd.trees(T, &firsts, add);
                const second: [lanes]T = simd.trees(T, &seconds, add);
                for (job.sums[i - k .. i + 1], 0..) |*to, r| to.* = .{ first[r], second[r] };
            }
        }
        inline fn add(comptime W: type, a: W, b: W) W {
            return a + b;
        }
        /// The sums of g and g (x - mean) in every lane, of at most a block.
        inline fn planeSums(x: [*]const T, g: [*]const T, n: usize, m: T) [2]V {
            const mean: V = @splat(m);
            var first: [2]V = @splat(@splat(0));
            var second: [2]V = @splat(@splat(0));
            var j: usize = 0;
            while (j + 2 * lanes <= n) : (j += 2 * lanes) inline for (0..2) |k| {
                const u = simd.load(T, g + j + k * lanes);
                const d = simd.load(T, x + j + k * lanes) - mean;
                first[k] += u;
                second[k] = simd.fma(V, u, d, second[k]);
            };
            while (j < n) : (j += lanes) {
                const u = part(T, g + j, n - j, 0);
                first[0] += u;
                second[0] = simd.fma(V, u, part(T, x + j, n - j, m) - mean, second[0]);
            }
            return .{ first[0] + first[1], second[0] + second[1] };
        }

        fn gradientPlanes(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var scratch = scratchFor(s, &.{ job.x, job.other, 0 }, s.s) orelse
                return outOfMemory(job.call);
            defer scratch.deinit();
            var buffers: [3][*]T = undefined;
            for (&buffers) |*p| p.* = slice(&scratch, s.s);
            const direct = scratch.memory.len == 0;
            var channel = begin % s.c;
            for (begin..end) |i| {
                const at = i * s.s;
                const x = if (direct) job.call.at(T, job.x) + at else s.operand[job.x].read(T, job.call.ptr[job.x].?, at, s.s, buffers[0]);
                const g = if (direct) job.call.at(T, job.other) + at else s.operand[job.other].read(T, job.call.ptr[job.other].?, at, s.s, buffers[1]);
                const gx = if (direct) job.call.at(T, 0) + at else s.operand[0].place(T, job.call.ptr[0].?, at, buffers[2]);
                const k = if (s.kind == .group) i else channel;
                channel = if (channel + 1 == s.c) 0 else channel + 1;
                const mean: V = @splat(job.mean[k]);
                const a: V = @splat(job.a[k]);
                const b: V = @splat(job.b[k]);
                const c: V = @splat(job.c[k]);
                var j: usize = 0;
                while (j + lanes <= s.s) : (j += lanes) {
                    const rest = simd.fma(V, simd.load(T, x + j) - mean, b, c);
                    simd.store(T, gx + j, simd.fma(V, simd.load(T, g + j), a, rest));
                }
                if (j < s.s) {
                    const left = s.s - j;
                    const rest = simd.fma(V, part(T, x + j, left, 0) - mean, b, c);
                    put(T, gx + j, left, simd.fma(V, part(T, g + j, left, 0), a, rest));
                }
                if (!direct) s.operand[0].write(T, job.call.ptr[0].?, at, s.s, gx);
            }
        }

        fn gradientRows(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const columns = s.c * s.s;
            var scratch = scratchFor(s, &.{ job.x, job.other, 0 }, columns) orelse
                return outOfMemory(job.call);
            defer scratch.deinit();
            var buffers: [3][*]T = undefined;
            for (&buffers) |*b| b.* = slice(&scratch, columns);
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
                const tables = if (s.kind == .group) at else 0;
                var j: usize = 0;
                while (j < columns) : (j += lanes) {
                    const left = columns - j;
                    const k = tables + j;
                    const d = part(T, x + j, left, 0) - part(T, job.mean + k, left, 0);
                    const b = part(T, job.b + k, left, 0);
                    const rest = simd.fma(V, d, b, part(T, job.c + k, left, 0));
                    const a = part(T, job.a + k, left, 0);
                    put(T, gx + j, left, simd.fma(V, part(T, g + j, left, 0), a, rest));
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, columns, gx);
            }
        }
    };
}
