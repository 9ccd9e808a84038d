//! Rows of the sort family that read what is sorted: run_count, runs.
//! The contract is on top of sort.zig.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const sort_sets = @import("sort_sets.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const DType = dtype.DType;

pub fn prepareRuns(p: *Plan, count_only: bool) planning.PrepareError!void {
    const self = p.inputs()[0];
    if (self.ndim() != 2) return error.Unsupported;
    p.run = switch (self.dtype.size()) {
        1 => runsOf(u8, count_only),
        2 => runsOf(u16, count_only),
        4 => runsOf(u32, count_only),
        else => runsOf(u64, count_only),
    };
}
fn runsOf(comptime T: type, count_only: bool) planning.Run {
    return if (count_only) &Runs(T).countRun else &Runs(T).runsRun;
}

pub fn comparable(comptime d: DType, x: d.Type()) if (d == .bfloat16) f32 else d.Type() {
    return if (d == .bfloat16) x.toF32() else x;
}

/// T: the bits of an element.
fn Runs(comptime T: type) type {
    return struct {
        memory: [*]const T,
        /// Of a float; else all bits.
        magnitude: T,
        infinity: T,
        columns: usize,
        step: [2]usize,
        total: *std.atomic.Value(usize),

        const Job = @This();

        /// Whether row i (> 0) is unlike the one before it.
        fn begins(job: *const Job, i: usize) bool {
            const here = job.memory + i * job.step[0];
            const before = here - job.step[0];
            for (0..job.columns) |j| {
                const at = j * job.step[1];
                const x, const y = .{ here[at], before[at] };
                // nan is like nothing, 0 like -0
                if (x & job.magnitude > job.infinity or (x != y and (x | y) & job.magnitude != 0)) return true;
            }
            return false;
        }

        const width = 64;
        /// Which of the rows i to i + 63 (i > 0) are unlike the ones before them.
        fn beginsOf(job: *const Job, i: usize) u64 {
            var bits: u64 = 0;
            for (0..width) |k| bits |= @as(u64, @intFromBool(job.begins(i + k))) << @intCast(k);
            return bits;
        }

        fn init(plan: *const Plan, call: *Call, total: *std.atomic.Value(usize)) Job {
            const self = plan.inputs()[0];
            return .{
                .memory = call.at(T, plan.n_out),
                .magnitude = @truncate(~sort_sets.signOf(self.dtype)),
                .infinity = if (self.dtype.isFloat()) @truncate(sort_sets.infinityOf(self.dtype)) else std.math.maxInt(T),
                .columns = @intCast(self.shape[1]),
                .step = .{ @intCast(self.strides[0]), @intCast(self.strides[1]) },
                .total = total,
            };
        }

        fn countRun(plan: *const Plan, call: *Call) void {
            const n: usize = @intCast(plan.inputs()[0].shape[0]);
            var total: std.atomic.Value(usize) = .init(@min(n, 1));
            if (n > 1) services.parallelFor(n - 1, 1 << 13, init(plan, call, &total), countPart);
            call.at(i64, 0)[0] = @intCast(total.load(.monotonic));
        }
        fn countPart(job: *const Job, begin: usize, end: usize) void {
            var sum: usize = 0;
            var i = begin + 1;
            while (i + width <= end + 1) : (i += width) sum += @popCount(job.beginsOf(i));
            while (i < end + 1) : (i += 1) sum += @intFromBool(job.begins(i));
            _ = job.total.fetchAdd(sum, .monotonic);
        }

        fn runsRun(plan: *const Plan, call: *Call) void {
            const n: usize = @intCast(plan.inputs()[0].shape[0]);
            const runs: usize = @intCast(plan.operands[0].shape[0]);
            var unused: std.atomic.Value(usize) = .init(0);
            if (n == 0) return;
            const job = init(plan, call, &unused);
            const starts = call.at(i64, 0);
            const inverse: ?[*]i64 = @ptrCast(@alignCast(call.ptr[1]));
            const counts: ?[*]i64 = @ptrCast(@alignCast(call.ptr[2]));
            const order: ?[*]const i64 = @ptrCast(@alignCast(call.ptr[4]));
            const step = stepOf(plan, 0);
            // The starts first, 64 rows at a time, as far as there is room for them.
            starts[0] = 0;
            var run: usize = 1;
            var i: usize = 1;
            while (i < n) : (i += width) {
                var bits = if (i + width <= n) job.beginsOf(i) else blk: {
                    var some: u64 = 0;
                    for (i..n) |k| some |= @as(u64, @intFromBool(job.begins(k))) << @intCast(k - i);
                    break :blk some;
                };
                while (bits != 0 and run < runs) : (bits &= bits - 1) {
                    starts[run * step] = @intCast(i + @ctz(bits));
                    run += 1;
                }
                if (bits != 0) run += 1; // not the count that run_count gives
            }
            if (run != runs) return call.fail(.invalid_value, .{ @intCast(run), @intCast(runs), 0 });
            for (0..runs) |r| {
                const first: usize = @intCast(starts[r * step]);
                const end: usize = if (r + 1 < runs) @intCast(starts[(r + 1) * step]) else n;
                if (counts) |to| to[r * stepOf(plan, 2)] = @intCast(end - first);
                const to = inverse orelse continue;
                for (first..end) |k| {
                    const at = if (order) |o| o[k * stepOf(plan, 4)] else @as(i64, @intCast(k));
                    if (at < 0 or at >= n) return call.fail(.index_out_of_range, .{ at, @intCast(n), 0 });
                    to[@as(usize, @intCast(at)) * stepOf(plan, 1)] = @intCast(r);
                }
            }
        }
        fn stepOf(plan: *const Plan, operand: usize) usize {
            const o = plan.operands[operand];
            return if (o.ndim() == 0) 0 else @intCast(o.strides[0]);
        }
    };
}
