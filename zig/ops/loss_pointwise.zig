//! Losses that are a sum over elements. The rows of operands are listed in loss.zig.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const logical = @import("logical.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Logical = logical.Logical;
const part = logical.part;
const put = logical.put;

pub const Formula = enum { mse, l1, bce, bce_with_logits, smooth_l1, huber };

pub const Reduction = enum(u8) { none, mean, sum };

const Pointwise = struct {
    operand: [4]Logical,
    n: usize,
    formula: Formula,
    reduction: Reduction,
    parameter: f64,
};
/// Elements that one block's sum is of.
const block = 4096;

pub fn prepare(p: *Plan, formula: Formula, backward: bool) plan.PrepareError!void {
    const x = p.inputs()[@intFromBool(backward)];
    for (p.operands) |o| if (!o.dtype.isFloat()) return error.Unsupported;
    const s = try p.create(Pointwise);
    s.* = .{
        .operand = undefined,
        .n = x.numel(),
        .formula = formula,
        .reduction = @fromBackingInt(@as(u8, @intCast(p.ints[0]))),
        .parameter = if (p.floats.len > 0) p.floats[0] else 0,
    };
    for (p.operands, 0..) |o, k| s.operand[k] = try .init(o);
    p.run = switch (x.dtype == .float64) {
        inline else => |double| blk: {
            const R = Runner(if (double) f64 else f32);
            break :blk if (backward) R.backward else R.forward;
        },
    };
}

/// A formula over n elements.
fn Loss(comptime T: type, comptime formula: Formula) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const one: V = @splat(1);
    const zero: V = @splat(0);
    const half: V = @splat(0.5);

    return struct {
        noinline fn values(x: [*]const T, t: [*]const T, y: [*]T, n: usize, parameter: T) void {
            var i: usize = 0;
            while (i < n) : (i += lanes) put(T, y + i, n - i, value(
                part(T, x + i, n - i, 0.5),
                part(T, t + i, n - i, 0),
                @splat(parameter),
            ));
        }
        /// The derivatives by x, times those of what follows: `g`, or `scale` for all.
        noinline fn slopes(x: [*]const T, t: [*]const T, g: ?[*]const T, scale: T, gx: [*]T, n: usize, parameter: T) void {
            var i: usize = 0;
            while (i < n) : (i += lanes) {
                const d = slope(
                    part(T, x + i, n - i, 0.5),
                    part(T, t + i, n - i, 0),
                    @splat(parameter),
                );
                put(T, gx + i, n - i, d * if (g) |each| part(T, each + i, n - i, 0) else @as(V, @splat(scale)));
            }
        }

        inline fn value(x: V, t: V, parameter: V) V {
            const d = x - t;
            switch (formula) {
                .mse => return d * d,
                .l1 => return @abs(d),
                .bce => {
                    const limit: V = @splat(-100);
                    const yes = simd.maxNan(V, math.log(V, x), limit);
                    const no = simd.maxNan(V, math.log1p(V, -x), limit);
                    return (t - one) * no - t * yes;
                },
                .bce_with_logits => return (one - t) * x +
                    (math.log1p(V, math.exp(V, -@abs(x))) + simd.maxNan(V, -x, zero)),
                .smooth_l1 => {
                    const a = @abs(d);
                    return @select(
                        T,
                        a < parameter,
                        half * a * a / parameter,
                        a - half * parameter,
                    );
                },
                .huber => {
                    const a = @abs(d);
                    return @select(
                        T,
                        a <= parameter,
                        half * a * a,
                        parameter * (a - half * parameter),
                    );
                },
            }
        }
        inline fn slope(x: V, t: V, parameter: V) V {
            const d = x - t;
            switch (formula) {
                .mse => return d + d,
                .l1 => return sign(d),
                .bce => return d / simd.maxNan(V, (one - x) * x, @splat(1e-12)),
                .bce_with_logits => return math.sigmoid(V, x) - t,
                .smooth_l1 => return @select(T, @abs(d) < parameter, d / parameter, sign(d)),
                .huber => return @select(T, @abs(d) <= parameter, d, parameter * sign(d)),
            }
        }
        inline fn sign(d: V) V {
            return @select(T, d > zero, one, @select(T, d < zero, -one, d));
        }
    };
}

/// What all formulas have in common: blocks of operands, sums.
fn Runner(comptime T: type) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);

    return struct {
        const Job = struct {
            s: *const Pointwise,
            call: *Call,
            partial: [*]f64 = undefined,
            scale: f64 = 1,
        };

        fn forward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Pointwise);
            const blocks = std.math.divCeil(usize, s.n, block) catch unreachable;
            const partial = services.allocSlice(f64, @max(1, blocks)) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(partial.ptr));
            const job: Job = .{ .s = s, .call = call, .partial = partial.ptr };
            services.parallelFor(blocks, 8, job, forwardPiece);
            if (s.reduction == .none) return;
            var total: f64 = 0;
            for (partial[0..blocks]) |v| total += v;
            if (s.reduction == .mean) total /= @floatFromInt(s.n);
            s.operand[0].write(T, call.ptr[0].?, 0, 1, &.{@floatCast(total)});
        }
        fn forwardPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const each = s.reduction == .none;
            var buffers: [3][block]T align(64) = undefined;
            for (begin..end) |b| {
                const at = b * block;
                const n = @min(block, s.n - at);
                const x = s.operand[1].read(T, job.call.ptr[1].?, at, n, &buffers[0]);
                if (s.formula == .bce and !probabilities(x, n))
                    return job.call.fail(.invalid_value, .{ 0, 0, 0 });
                const t = s.operand[2].read(T, job.call.ptr[2].?, at, n, &buffers[1]);
                const y: [*]T = if (each) s.operand[0].place(T, job.call.ptr[0].?, at, &buffers[2]) else &buffers[2];
                switch (s.formula) {
                    inline else => |f| Loss(T, f).values(x, t, y, n, @floatCast(s.parameter)),
                }
                if (each) s.operand[0].write(T, job.call.ptr[0].?, at, n, y) else job.partial[b] = sum(y, n);
            }
        }

        fn sum(y: [*]const T, n: usize) T {
            var sums: [4]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) inline for (0..4) |k| {
                sums[k] += simd.load(T, y + i + k * lanes);
            };
            while (i < n) : (i += lanes) sums[0] += part(T, y + i, n - i, 0);
            return simd.reduceAdd((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }

        fn probabilities(x: [*]const T, n: usize) bool {
            var inside: @Vector(lanes, bool) = @splat(true);
            var i: usize = 0;
            while (i < n) : (i += lanes) {
                const v = part(T, x + i, n - i, 0.5);
                inside = inside & (v >= @as(V, @splat(0))) & (v <= @as(V, @splat(1)));
            }
            return @reduce(.And, inside);
        }

        fn backward(p: *const Plan, call: *Call) void {
            const s = p.stateAs(Pointwise);
            if (s.n == 0) return;
            var job: Job = .{ .s = s, .call = call };
            if (s.reduction != .none) {
                var buffer: [1]T = undefined;
                job.scale = s.operand[1].read(T, call.ptr[1].?, 0, 1, &buffer)[0];
                if (s.reduction == .mean) job.scale /= @floatFromInt(s.n);
            }
            services.parallelFor(
                std.math.divCeil(usize, s.n, block) catch unreachable,
                8,
                job,
                backwardPiece,
            );
        }
        fn backwardPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            var buffers: [4][block]T align(64) = undefined;
            for (begin..end) |b| {
                const at = b * block;
                const n = @min(block, s.n - at);
                const x = s.operand[2].read(T, job.call.ptr[2].?, at, n, &buffers[0]);
                const t = s.operand[3].read(T, job.call.ptr[3].?, at, n, &buffers[1]);
                const g = if (s.reduction == .none) s.operand[1].read(T, job.call.ptr[1].?, at, n, &buffers[2]) else null;
                const gx = s.operand[0].place(T, job.call.ptr[0].?, at, &buffers[3]);
                switch (s.formula) {
                    inline else => |f| Loss(T, f).slopes(x, t, g, @floatCast(job.scale), gx, n, @floatCast(s.parameter)),
                }
                s.operand[0].write(T, job.call.ptr[0].?, at, n, gx);
            }
        }
    };
}
