//! The rows of linalg.zig that take a fixed number of steps: factorisations, systems, determinants.
//! They are computed in their own dtype: matrices up to 8 x 8 a vector of them at a time
//! (linalg_lanes.zig), larger ones each by itself (linalg_dense.zig, linalg_qr.zig).
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const lanes_zig = @import("linalg_lanes.zig");
const linalg_job = @import("linalg_job.zig");
const Small = @import("linalg_small.zig").Small;
const Large = @import("linalg_large.zig").Large;
const Plan = plan.Plan;
const Call = plan.Call;
const Job = linalg_job.Job;
const State = linalg_job.State;
const denseLie = linalg_job.denseLie;
const lieOf = linalg_job.lieOf;
const matrixOf = linalg_job.matrixOf;
const none = linalg_job.none;
const nowhere = linalg_job.nowhere;
const ranks = linalg_job.ranks;
const results = linalg_job.results;
pub const Op = linalg_job.Op;

pub fn prepare(p: *Plan, op: Op) plan.PrepareError!void {
    const missing = results(op) - p.n_out;
    const operand = p.operands[matrixOf(op) - missing];
    const shape = operand.shape;
    const s = try p.create(State);
    s.* = .{
        .op = op,
        .small = false,
        .batch = 1,
        .m = @intCast(shape[shape.len - 2]),
        .n = @intCast(shape[shape.len - 1]),
        .r = 0,
        .flags = @splat(false),
        .most = if (p.floats.len > 0) p.floats[0] else 0,
        .lie = @splat(.{}),
        .place = @splat(nowhere),
    };
    for (shape[0 .. shape.len - 2]) |size| s.batch *= @intCast(size);
    for (ranks(op), 0..) |rank, k| {
        if (k >= p.n_out and k < results(op)) continue;
        s.place[k] = @intCast(if (k < p.n_out) k else k - missing);
        const o = p.operands[s.place[k]];
        s.lie[k] = lieOf(o, rank);
        if (widens and o.dtype == .float32) s.lie[k] = denseLie(s.lie[k]);
    }
    for (p.ints, 0..) |flag, i| s.flags[i] = flag != 0;
    switch (op) {
        .lu_solve, .solve, .cholesky_solve, .triangle, .reflect, .qr, .lstsq => s.r = s.lie[0].columns,
        else => {},
    }
    if (p.operands[0].ndim() < ranks(op)[0]) s.r = 0;
    const fixed = switch (op) {
        .lu => s.m == s.n,
        .eigh, .svd => false,
        else => true,
    };
    s.small = fixed and s.m <= lanes_zig.most and s.n <= lanes_zig.most and s.r <= 2 * lanes_zig.most;
    p.run = switch (operand.dtype) {
        .float32 => if (widens) runWidened else Systems(f32).run,
        .float64 => Systems(f64).run,
        else => return error.Unsupported,
    };
}

/// Whether float32 is computed in float64, by copies of all operands: where half the code is worth
/// more than the time, on CPUs of the baseline x86-64.
const widens = !simd.has_fma;

fn runWidened(p: *const Plan, call: *Call) void {
    var wide = call.*;
    var total: usize = 0;
    for (p.operands) |o| total += o.numel();
    const memory = services.allocSlice(f64, total + 1) orelse return call.fail(.out_of_memory, @splat(0));
    defer services.free(@ptrCast(memory.ptr));
    for ([_]bool{ false, true }) |back| {
        var at: usize = 0;
        for (p.operands, 0..) |o, k| {
            const n = o.numel();
            defer at += n;
            if (o.dtype != .float32 or call.ptr[k] == null) continue;
            wide.ptr[k] = @ptrCast(memory.ptr + at);
            if (back != (k < p.n_out)) continue;
            const narrow = call.at(f32, k);
            for (0..n) |i| {
                var rest = i;
                var offset: usize = 0;
                var d = o.shape.len;
                while (d > 0) {
                    d -= 1;
                    const size: usize = @intCast(o.shape[d]);
                    offset += rest % size * @as(usize, @intCast(o.strides[d]));
                    rest /= size;
                }
                if (back) narrow[offset] = @floatCast(memory[at + i]) else memory[at + i] = narrow[offset];
            }
        }
        if (!back) Systems(f64).run(p, &wide);
    }
    if (wide.status.load(.monotonic) != 0) call.fail(@fromBackingInt(wide.status.load(.monotonic)), wide.detail);
}

fn Systems(comptime T: type) type {
    return struct {
        const lanes = lanes_zig.Lanes(T).count;

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            var failed: std.atomic.Value(u64) = .init(none);
            const job: Job = .{ .s = s, .plan = p, .call = call, .failed = &failed };
            // What is iterated takes longer, small ones above all.
            const more: usize = if (s.op == .eigh or s.op == .svd) 32 else 1;
            const cost = more * ((s.m + s.r) * s.n * @min(s.m, s.n) + 64);
            if (s.small) {
                const groups = (s.batch + lanes - 1) / lanes;
                services.parallelFor(groups, @max(1, (1 << 12) / cost), job, Small(T).small);
            } else services.parallelFor(s.batch, @max(1, (1 << 17) / cost), job, Large(T).large);
            const first = failed.load(.monotonic);
            const checked = switch (s.op) {
                .lu, .solve, .cholesky => s.flags[0],
                .lstsq => p.n_out == 1,
                .eigh => call.ptr[2] == null,
                .svd => call.ptr[3] == null,
                else => false,
            };
            if (checked and first != none) {
                const batched: i64 = if (p.operands[0].ndim() > ranks(s.op)[0]) 1 else 0;
                const info: i32 = @bitCast(@as(u32, @truncate(first)));
                call.fail(.singular, .{ @intCast(first >> 32), info, batched });
            }
        }
    };
}
