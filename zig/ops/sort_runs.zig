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
    p.run = if (count_only) &Job.countRun else &Job.runsRun;
}

/// T: the bits of an element.
fn unlike(comptime T: type) *const fn (*const Job, usize) bool {
    return &struct {
        fn f(job: *const Job, i: usize) bool {
            const here = @as([*]const T, @ptrCast(@alignCast(job.memory))) + i * job.step[0];
            const before = here - job.step[0];
            const magnitude: T = @truncate(job.magnitude);
            for (0..job.columns) |j| {
                const at = j * job.step[1];
                const x, const y = .{ here[at], before[at] };
                // nan is like nothing, 0 like -0
                if (x & magnitude > job.infinity or (x != y and (x | y) & magnitude != 0)) return true;
            }
            return false;
        }
    }.f;
}

const Job = struct {
    memory: [*]const u8,
    /// Whether row i (> 0) is unlike the one before it.
    begins: *const fn (*const Job, usize) bool,
    /// Of a float; else all bits.
    magnitude: u64,
    infinity: u64,
    columns: usize,
    step: [2]usize,
    total: *std.atomic.Value(usize),

    fn init(plan: *const Plan, call: *Call, total: *std.atomic.Value(usize)) Job {
        const self = plan.inputs()[0];
        return .{
            .memory = call.ptr[plan.n_out].?,
            .begins = switch (self.dtype.size()) {
                1 => unlike(u8),
                2 => unlike(u16),
                4 => unlike(u32),
                else => unlike(u64),
            },
            .magnitude = ~sort_sets.signOf(self.dtype),
            .infinity = if (self.dtype.isFloat()) sort_sets.infinityOf(self.dtype) else std.math.maxInt(u64),
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
        for (begin + 1..end + 1) |i| sum += @intFromBool(job.begins(job, i));
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
        // The starts first, as far as there is room for them.
        starts[0] = 0;
        var run: usize = 1;
        for (1..n) |i| {
            if (!job.begins(&job, i)) continue;
            if (run < runs) starts[run * step] = @intCast(i);
            run += 1;
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
