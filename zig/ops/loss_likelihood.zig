//! nll_loss: one element of every line is gathered, or gets a gradient. The operands are listed
//! in loss.zig.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const stage = @import("reduce_stage.zig");
const logical = @import("logical.zig");
const classes = @import("loss_classes.zig");
const DType = @import("../dtype.zig").DType;
const Classes = classes.Classes;
const Plan = plan.Plan;
const Call = plan.Call;

/// Samples of one work item, whose losses are joined before they join the others.
const block = 256;

pub fn prepare(p: *Plan, backward: bool) plan.PrepareError!void {
    // loss, total, x, target, weight; gx, g, target, total, weight
    const x = p.operands[if (backward) 0 else 2];
    if (!x.dtype.isFloat() or x.ndim() < 2) return error.Unsupported;
    const s = if (backward)
        try classes.initial(p, &.{x}, 2, 1, 4)
    else
        try classes.initial(p, &.{x}, 3, 0, 4);
    s.blocks = classes.divCeil(s.geometry.lines, block);
    s.direct_out = x.isContiguous();
    p.run = if (backward) runBackward else runForward;
}

const Job = struct {
    s: *const Classes,
    plan: *const Plan,
    call: *Call,
    /// In f64: gathering is all there is to do, and one compute type is enough. Only if weighted
    weight: [*]const f64,
    partial: [*][2]f64 = undefined,
    scale: f64 = 1,
};

fn scratchFor(s: *const Classes) ?logical.Scratch(f64) {
    return .init(if (s.weighted) 1 else 0, s.geometry.n);
}
fn weights(s: *const Classes, call: *Call, scratch: *logical.Scratch(f64)) [*]const f64 {
    if (!s.weighted or s.geometry.n == 0) return undefined;
    return s.weight.read(f64, call.ptr[4].?, 0, s.geometry.n, scratch.take(s.geometry.n));
}

fn runForward(p: *const Plan, call: *Call) void {
    const s = p.stateAs(Classes);
    var scratch = scratchFor(s) orelse return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer scratch.deinit();
    const partial = services.allocSlice([2]f64, @max(1, s.blocks)) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(partial.ptr));
    const job: Job = .{
        .s = s,
        .plan = p,
        .call = call,
        .weight = weights(s, call, &scratch),
        .partial = partial.ptr,
    };
    services.parallelFor(s.blocks, 16, job, piece(false));
    var total: [2]f64 = .{ 0, 0 };
    for (partial[0..s.blocks]) |v| {
        total[0] += v[0];
        total[1] += v[1];
    }
    const dtype = p.operands[1].dtype;
    if (call.ptr[1]) |to| stage.store(f64, dtype, &.{total[1]}, 1, 1, to, 1);
    if (s.reduction == .none) return;
    const loss = if (s.reduction == .mean) total[0] / total[1] else total[0];
    s.each.write(f64, call.ptr[0].?, 0, 1, &.{loss});
}

fn runBackward(p: *const Plan, call: *Call) void {
    const s = p.stateAs(Classes);
    var scratch = scratchFor(s) orelse return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer scratch.deinit();
    var job: Job = .{
        .s = s,
        .plan = p,
        .call = call,
        .weight = weights(s, call, &scratch),
    };
    if (s.reduction != .none) {
        var buffer: [1]f64 = undefined;
        job.scale = s.each.read(f64, call.ptr[1].?, 0, 1, &buffer)[0];
        var total: [1]f64 = undefined;
        stage.load(f64, p.operands[3].dtype, call.ptr[3].?, 1, 1, &total, 1);
        if (s.reduction == .mean) job.scale /= total[0];
    }
    const gx = p.operands[0];
    if (s.direct_out) {
        services.parallelFor(gx.numel() * gx.dtype.size(), 1 << 17, job, struct {
            fn clear(j: *const Job, begin: usize, end: usize) void {
                @memset(j.call.ptr[0].?[begin..end], 0);
            }
        }.clear);
    }
    services.parallelFor(s.blocks, 16, job, piece(true));
}

fn piece(comptime backward: bool) fn (*const Job, usize, usize) void {
    return struct {
        fn f(job: *const Job, begin: usize, end: usize) void {
            const x: usize = if (backward) 0 else 2;
            for (begin..end) |b| {
                const sums = switch (job.plan.operands[x].dtype) {
                    inline .float32, .float64, .float16, .bfloat16 => |d| samples(d, backward, job, b),
                    else => unreachable,
                };
                if (!backward) job.partial[b] = sums;
            }
        }
    }.f;
}

/// The samples of one block: the sum of their losses and of their weights, or their gradients.
fn samples(comptime d: DType, comptime backward: bool, job: *const Job, b: usize) [2]f64 {
    const X = d.Type();
    const s = job.s;
    const a = &s.geometry;
    const first = b * block;
    const n = @min(block, a.lines - first);
    const x: [*]X = job.call.at(X, if (backward) 0 else 2);
    var buffer: [block]i64 = undefined;
    var each_buffer: [block]f64 = undefined;
    const target = s.target.read(i64, job.call.ptr[if (backward) 2 else 3].?, first, n, &buffer);
    const each = s.reduction == .none;
    const g = if (backward and each)
        s.each.read(f64, job.call.ptr[1].?, first, n, &each_buffer)
    else
        undefined;
    var sums: [2]f64 = .{ 0, 0 };
    var column = first % a.across.size;
    var line: [*]X = undefined;
    for (0..n) |j| {
        // Lines that lie side by side are counted through.
        if (column == a.across.size) column = 0;
        if (j == 0 or column == 0)
            line = x + a.at((first + j) / a.across.size, column)[0]
        else
            line += a.across.stride[0];
        column += 1;
        if (backward and !s.direct_out) for (0..a.n) |c| {
            line[c * a.step[0]] = stage.narrow(f64, d, 0);
        };
        const t = target[j];
        var loss: f64 = 0;
        if (t != s.ignore) {
            if (t < 0 or t >= a.n) {
                job.call.fail(.index_out_of_range, .{ t, @intCast(a.n), 0 });
                return sums;
            }
            const class: usize = @intCast(t);
            const weight = if (s.weighted) job.weight[class] else 1;
            const at = &line[class * a.step[0]];
            if (backward) {
                at.* = stage.narrow(f64, d, -weight * (if (each) g[j] else job.scale));
                continue;
            }
            loss = -weight * stage.widen(f64, d, at.*);
            sums[0] += loss;
            sums[1] += weight;
        }
        if (!backward and each) each_buffer[j] = loss;
    }
    if (!backward and each) s.each.write(f64, job.call.ptr[0].?, first, n, &each_buffer);
    return sums;
}
