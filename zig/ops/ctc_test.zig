//! ctc against the sum over all alignments, and its gradient against differences of it.
const std = @import("std");
const plan = @import("../plan.zig");
const ctc = @import("ctc.zig");
const Call = plan.Call;

const time = 4;
const batch = 3;
const classes = 3;
const width = 5;
const targets = [_]i64{ 1, 2, 1, 1, 2, 0 };
const input_lengths = [_]i64{ 4, 3, 4 };
const target_lengths = [_]i64{ 2, 2, 0 };

/// The target is what is left of an alignment without its repetitions and blanks.
fn collapses(alignment: []const usize, target: []const i64) bool {
    var n: usize = 0;
    for (alignment, 0..) |c, t| {
        if (c == 0 or t > 0 and alignment[t - 1] == c) continue;
        if (n == target.len or target[n] != c) return false;
        n += 1;
    }
    return n == target.len;
}

fn expected(log_probs: []const f64, n: usize) f64 {
    const steps: usize = @intCast(input_lengths[n]);
    const target = targets[2 * n ..][0..@intCast(target_lengths[n])];
    var sum: f64 = 0;
    for (0..std.math.pow(usize, classes, steps)) |number| {
        var alignment: [time]usize = undefined;
        var rest = number;
        var log_p: f64 = 0;
        for (0..steps) |t| {
            alignment[t] = rest % classes;
            rest /= classes;
            log_p += log_probs[(t * batch + n) * classes + alignment[t]];
        }
        if (collapses(alignment[0..steps], target)) sum += @exp(log_p);
    }
    return -@log(sum);
}

fn operand(comptime T: type, comptime shape: []const i64) plan.Operand {
    const strides: []const i64 = switch (shape.len) {
        1 => &.{1},
        2 => &.{ shape[1], 1 },
        else => &.{ shape[1] * shape[2], shape[2], 1 },
    };
    return .{ .dtype = if (T == i64) .int64 else if (T == f32) .float32 else .float64, .shape = shape, .strides = strides };
}

fn check(comptime T: type, tolerance: f64) !void {
    var prng: std.Random.DefaultPrng = .init(4);
    const random = prng.random();
    var exact: [time * batch * classes]f64 = undefined;
    var log_probs: [exact.len]T = undefined;
    for (&exact, &log_probs) |*x, *y| {
        x.* = random.float(f32) - 2;
        y.* = @floatCast(x.*);
    }
    var losses: [batch]T = undefined;
    var gradient: [exact.len]T = undefined;
    const g = [batch]T{ 1, -2, 0.5 };
    const ints = [_]i64{ 0, 0, width };
    const log_probs_of = operand(T, &.{ time, batch, classes });
    const others = [_]plan.Operand{ operand(i64, &.{ batch, 2 }), operand(i64, &.{batch}), operand(i64, &.{batch}) };
    var p = plan.testPlan(&([_]plan.Operand{ operand(T, &.{batch}), log_probs_of } ++ others), 1, 0, &ints, &.{});
    try ctc.family.prepare(&p);
    var call: Call = .{};
    call.ptr[0..5].* = .{
        @ptrCast(&losses),
        @ptrCast(&log_probs),
        @ptrCast(@constCast(&targets)),
        @ptrCast(@constCast(&input_lengths)),
        @ptrCast(@constCast(&target_lengths)),
    };
    p.run(&p, &call);
    for (losses, 0..) |x, n| try std.testing.expectApproxEqAbs(expected(&exact, n), x, tolerance);

    p = plan.testPlan(&([_]plan.Operand{ log_probs_of, operand(T, &.{batch}), log_probs_of } ++ others), 1, 1, &ints, &.{});
    try ctc.family.prepare(&p);
    @memmove(call.ptr[2..6], call.ptr[1..5]);
    call.ptr[0] = @ptrCast(&gradient);
    call.ptr[1] = @ptrCast(@constCast(&g));
    p.run(&p, &call);
    for (0..exact.len) |i| {
        const n = i / classes % batch;
        const inside = i / classes / batch < input_lengths[n];
        const here = exact[i];
        exact[i] = here + 1e-4;
        const more = expected(&exact, n);
        exact[i] = here - 1e-4;
        const slope = (more - expected(&exact, n)) / 2e-4;
        exact[i] = here;
        const want = if (inside) g[n] * (slope + @exp(here)) else 0;
        try std.testing.expectApproxEqAbs(want, gradient[i], 1e-6);
    }
}

test "losses of all alignments, and their gradients" {
    try check(f64, 1e-13);
    try check(f32, 1e-6);
}

test "a label that is no class" {
    var losses: [1]f32 = undefined;
    const log_probs: [3]f32 = @splat(0);
    const length = [_]i64{1};
    const label = [_]i64{3};
    const one = operand(i64, &.{1});
    var p = plan.testPlan(&.{ operand(f32, &.{1}), operand(f32, &.{ 1, 1, 3 }), one, one, one }, 1, 0, &.{ 0, 0, 3 }, &.{});
    try ctc.family.prepare(&p);
    var call: Call = .{};
    call.ptr[0] = @ptrCast(&losses);
    call.ptr[1] = @ptrCast(@constCast(&log_probs));
    call.ptr[2] = @ptrCast(@constCast(&label));
    call.ptr[3] = @ptrCast(@constCast(&length));
    call.ptr[4] = @ptrCast(@constCast(&length));
    p.run(&p, &call);
    try std.testing.expectEqual(@backingInt(plan.Status.index_out_of_range), call.status.load(.monotonic));
}
