//! The update rules of optim.zig: what one step does to one vector of every array.
//!
//! `Of(T)` holds an entry's constants, rounded to T where PyTorch rounds the Python float that
//! it hands to a kernel; what Python computes before (1 - beta1, lr / bias_correction) is
//! float64 here too.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const simd = @import("../simd.zig");
const Vec = simd.Vec;
const Scalars = [plan_zig.max_scalars]plan_zig.Scalar;

pub const all = .{ SGD, Adam, RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, Rprop, ASGD, Lerp, Scale, Clamp };

const maximize = 1;
const variant = 2; // nesterov, amsgrad, centered
const decoupled = 4;

/// The words of an entry behind its arrays: a number, or the addresses of single floats, of which
/// those of a float64 have their lowest bit set.
pub const Extras = struct {
    words: [*]const usize,

    fn isDouble(e: Extras, i: usize) bool {
        return e.words[i] & 1 != 0;
    }
    pub fn get(e: Extras, i: usize) f64 {
        if (e.isDouble(i)) return @as(*const f64, @ptrFromInt(e.words[i] - 1)).*;
        return @as(*const f32, @ptrFromInt(e.words[i])).*;
    }
    pub fn set(e: Extras, i: usize, x: f64) void {
        if (e.isDouble(i)) {
            @as(*f64, @ptrFromInt(e.words[i] - 1)).* = x;
        } else @as(*f32, @ptrFromInt(e.words[i])).* = @floatCast(x);
    }
    /// What is there afterwards.
    pub fn add(e: Extras, i: usize, x: f64) f64 {
        e.set(i, e.get(i) + x);
        return e.get(i);
    }
    pub fn multiply(e: Extras, i: usize, x: f64) f64 {
        const factor = if (e.isDouble(i)) x else @as(f32, @floatCast(x));
        e.set(i, e.get(i) * factor);
        return e.get(i);
    }
};

/// a + b * c as PyTorch's CPU kernels have it, fused.
inline fn muladd(comptime T: type, b: Vec(T), c: T, a: Vec(T)) Vec(T) {
    return simd.fma(Vec(T), b, @splat(c), a);
}

/// The gradient, negated to maximize, with the weight decay added.
inline fn gradientOf(comptime T: type, c: anytype, x: []const Vec(T)) Vec(T) {
    const grad = if (c.negated) -x[1] else x[1];
    return if (c.weight_decay != 0) muladd(T, x[0], c.weight_decay, grad) else grad;
}

/// The same where the decay may be decoupled: then the parameter itself shrinks.
inline fn decayed(comptime T: type, c: anytype, x: []Vec(T)) Vec(T) {
    const grad = if (c.negated) -x[1] else x[1];
    if (c.weight_decay == 0) return grad;
    if (!c.decoupled) return muladd(T, x[0], c.weight_decay, grad);
    x[0] *= @as(Vec(T), @splat(c.shrink));
    return grad;
}

/// tensor.lerp(end, weight): from the nearer end.
inline fn lerp(comptime T: type, start: Vec(T), end: Vec(T), weight: T) Vec(T) {
    const V = Vec(T);
    const difference = end - start;
    if (@abs(weight) < 0.5) return simd.fma(V, @splat(weight), difference, start);
    return simd.fma(V, difference, @splat(weight - 1), end);
}

/// tensor.mul_(decay).addcmul_(grad, grad, value)
inline fn secondMoment(comptime T: type, moment: Vec(T), grad: Vec(T), decay: T, value: T) Vec(T) {
    const V = Vec(T);
    return simd.fma(V, @as(V, @splat(value)) * grad, grad, moment * @as(V, @splat(decay)));
}

/// param.addcdiv_(over, under, value)
inline fn addcdiv(comptime T: type, param: Vec(T), over: Vec(T), under: Vec(T), value: T) Vec(T) {
    return param + @as(Vec(T), @splat(value)) * over / under;
}

/// What Python's `base ** exponent` gives for a whole exponent: powers in two doubles, so
/// that one rounding is left.
pub fn power(base: f64, exponent: f64) f64 {
    if (exponent >= 0x1p62) return std.math.pow(f64, base, exponent);
    var n: u64 = @trunc(@max(exponent, 0));
    var result: [2]f64 = .{ 1, 0 };
    var square: [2]f64 = .{ base, 0 };
    while (n != 0) : (n >>= 1) {
        if (n & 1 != 0) result = product(result, square);
        square = product(square, square);
    }
    return result[0];
}

fn product(a: [2]f64, b: [2]f64) [2]f64 {
    const p = a[0] * b[0];
    const e = simd.fma(f64, a[0], b[0], -p) + (a[0] * b[1] + a[1] * b[0]);
    const high = p + e;
    return .{ high, e - (high - p) };
}

/// param, grad, buffer
const SGD = struct {
    pub const arrays = 3;
    pub const extra = 1;
    pub const counts = false;
    pub const written = [_]bool{ true, false, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            nesterov: bool,
            fresh: bool,
            step: T,
            has_momentum: bool,
            momentum: T,
            keep: T,
            weight_decay: T,

            pub fn init(flags: i64, s: Scalars, _: f64, e: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .nesterov = flags & variant != 0,
                    .fresh = e.words[0] != 0,
                    .step = @floatCast(-s[0].f),
                    .has_momentum = s[1].f != 0,
                    .momentum = @floatCast(s[1].f),
                    .keep = @floatCast(1 - s[2].f),
                    .weight_decay = @floatCast(s[3].f),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                var grad = gradientOf(T, c, x);
                if (c.has_momentum) {
                    const old = x[2] * @as(Vec(T), @splat(c.momentum));
                    x[2] = if (c.fresh) grad else muladd(T, grad, c.keep, old);
                    grad = if (c.nesterov) muladd(T, x[2], c.momentum, grad) else x[2];
                }
                x[0] = muladd(T, grad, c.step, x[0]);
            }
        };
    }
};

/// param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq; step
const Adam = struct {
    pub const arrays = 5;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            amsgrad: bool,
            decoupled: bool,
            shrink: T,
            weight_decay: T,
            weight: T,
            beta2: T,
            rest2: T,
            correction: T,
            eps: T,
            step: T,

            pub fn init(flags: i64, s: Scalars, step: f64, _: Extras) @This() {
                const lr = s[0].f;
                const correction1 = 1 - power(s[1].f, step);
                const correction2 = 1 - power(s[2].f, step);
                return .{
                    .negated = flags & maximize != 0,
                    .amsgrad = flags & variant != 0,
                    .decoupled = flags & decoupled != 0,
                    .shrink = @floatCast(1 - lr * s[4].f),
                    .weight_decay = @floatCast(s[4].f),
                    .weight = @floatCast(1 - s[1].f),
                    .beta2 = @floatCast(s[2].f),
                    .rest2 = @floatCast(1 - s[2].f),
                    .correction = @floatCast(@sqrt(correction2)),
                    .eps = @floatCast(s[3].f),
                    .step = @floatCast(-(lr / correction1)),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = decayed(T, c, x);
                x[2] = lerp(T, x[2], grad, c.weight);
                x[3] = secondMoment(T, x[3], grad, c.beta2, c.rest2);
                var second = x[3];
                if (c.amsgrad) {
                    x[4] = simd.maxNan(V, x[4], second);
                    second = x[4];
                }
                const root = @sqrt(second) / @as(V, @splat(c.correction));
                x[0] = addcdiv(T, x[0], x[2], root + @as(V, @splat(c.eps)), c.step);
            }
        };
    }
};

/// param, grad, square_avg, grad_avg, buffer; step
const RMSprop = struct {
    pub const arrays = 5;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            centered: bool,
            has_momentum: bool,
            alpha: T,
            rest: T,
            eps: T,
            weight_decay: T,
            momentum: T,
            step: T,

            pub fn init(flags: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .centered = flags & variant != 0,
                    .has_momentum = s[4].f > 0,
                    .alpha = @floatCast(s[1].f),
                    .rest = @floatCast(1 - s[1].f),
                    .eps = @floatCast(s[2].f),
                    .weight_decay = @floatCast(s[3].f),
                    .momentum = @floatCast(s[4].f),
                    .step = @floatCast(-s[0].f),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = gradientOf(T, c, x);
                x[2] = secondMoment(T, x[2], grad, c.alpha, c.rest);
                var average = x[2];
                if (c.centered) {
                    x[3] = lerp(T, x[3], grad, c.rest);
                    average = simd.fma(V, -x[3], x[3], average);
                }
                average = @sqrt(average) + @as(V, @splat(c.eps));
                if (c.has_momentum) {
                    x[4] = addcdiv(T, x[4] * @as(V, @splat(c.momentum)), grad, average, 1);
                    x[0] = muladd(T, x[4], c.step, x[0]);
                } else x[0] = addcdiv(T, x[0], grad, average, c.step);
            }
        };
    }
};

/// param, grad, sum; step
const Adagrad = struct {
    pub const arrays = 3;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            eps: T,
            weight_decay: T,
            step: T,

            pub fn init(flags: i64, s: Scalars, step: f64, _: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .eps = @floatCast(s[2].f),
                    .weight_decay = @floatCast(s[3].f),
                    .step = @floatCast(-(s[0].f / (1 + (step - 1) * s[1].f))),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = gradientOf(T, c, x);
                x[2] = simd.fma(V, grad, grad, x[2]);
                x[0] = addcdiv(T, x[0], grad, @sqrt(x[2]) + @as(V, @splat(c.eps)), c.step);
            }
        };
    }
};

/// param, grad, square_avg, acc_delta; step
const Adadelta = struct {
    pub const arrays = 4;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            rho: T,
            rest: T,
            eps: T,
            weight_decay: T,
            step: T,

            pub fn init(flags: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .rho = @floatCast(s[1].f),
                    .rest = @floatCast(1 - s[1].f),
                    .eps = @floatCast(s[2].f),
                    .weight_decay = @floatCast(s[3].f),
                    .step = @floatCast(-s[0].f),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const eps: Vec(T) = @splat(c.eps);
                const grad = gradientOf(T, c, x);
                x[2] = secondMoment(T, x[2], grad, c.rho, c.rest);
                const delta = @sqrt(x[3] + eps) / @sqrt(x[2] + eps) * grad;
                x[3] = secondMoment(T, x[3], delta, c.rho, c.rest);
                x[0] = muladd(T, delta, c.step, x[0]);
            }
        };
    }
};

/// param, grad, exp_avg, exp_inf; step
const Adamax = struct {
    pub const arrays = 4;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            weight: T,
            beta2: T,
            eps: T,
            weight_decay: T,
            step: T,

            pub fn init(flags: i64, s: Scalars, step: f64, _: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .weight = @floatCast(1 - s[1].f),
                    .beta2 = @floatCast(s[2].f),
                    .eps = @floatCast(s[3].f),
                    .weight_decay = @floatCast(s[4].f),
                    .step = @floatCast(-(s[0].f / (1 - power(s[1].f, step)))),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = gradientOf(T, c, x);
                x[2] = lerp(T, x[2], grad, c.weight);
                const old = x[3] * @as(V, @splat(c.beta2));
                x[3] = simd.maxNan(V, old, @abs(grad) + @as(V, @splat(c.eps)));
                x[0] = addcdiv(T, x[0], x[2], x[3], c.step);
            }
        };
    }
};

/// param, grad, exp_avg, exp_avg_sq; mu_product, step
const NAdam = struct {
    pub const arrays = 4;
    pub const extra = 2;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            decoupled: bool,
            shrink: T,
            weight_decay: T,
            weight: T,
            beta2: T,
            rest2: T,
            correction2: T,
            eps: T,
            by_gradient: T,
            by_average: T,

            pub fn init(flags: i64, s: Scalars, step: f64, e: Extras) @This() {
                const lr = s[0].f;
                const beta1 = s[1].f;
                const mu = beta1 * (1 - 0.5 * std.math.pow(f64, 0.96, step * s[5].f));
                const next = beta1 * (1 - 0.5 * std.math.pow(f64, 0.96, (step + 1) * s[5].f));
                const together = e.multiply(0, mu);
                return .{
                    .negated = flags & maximize != 0,
                    .decoupled = flags & decoupled != 0,
                    .shrink = @floatCast(1 - lr * s[4].f),
                    .weight_decay = @floatCast(s[4].f),
                    .weight = @floatCast(1 - beta1),
                    .beta2 = @floatCast(s[2].f),
                    .rest2 = @floatCast(1 - s[2].f),
                    .correction2 = @floatCast(1 - power(s[2].f, step)),
                    .eps = @floatCast(s[3].f),
                    .by_gradient = @floatCast(-lr * (1 - mu) / (1 - together)),
                    .by_average = @floatCast((-lr * next) / (1 - together * next)),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = decayed(T, c, x);
                x[2] = lerp(T, x[2], grad, c.weight);
                x[3] = secondMoment(T, x[3], grad, c.beta2, c.rest2);
                const under = @sqrt(x[3] / @as(V, @splat(c.correction2))) + @as(V, @splat(c.eps));
                x[0] = addcdiv(T, x[0], grad, under, c.by_gradient);
                x[0] = addcdiv(T, x[0], x[2], under, c.by_average);
            }
        };
    }
};

/// param, grad, exp_avg, exp_avg_sq; step
const RAdam = struct {
    pub const arrays = 4;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            decoupled: bool,
            rectifies: bool,
            shrink: T,
            weight_decay: T,
            weight: T,
            beta2: T,
            rest2: T,
            correction1: T,
            root2: T,
            rectified: T,
            lr: T,
            eps: T,

            pub fn init(flags: i64, s: Scalars, step: f64, _: Extras) @This() {
                const beta2 = s[2].f;
                const power2 = power(beta2, step);
                const longest = 2 / (1 - beta2) - 1;
                const length = longest - 2 * step * power2 / (1 - power2);
                const share = (length - 4) * (length - 2) * longest /
                    ((longest - 4) * (longest - 2) * length);
                return .{
                    .negated = flags & maximize != 0,
                    .decoupled = flags & decoupled != 0,
                    .rectifies = length > 5,
                    .shrink = @floatCast(1 - s[0].f * s[4].f),
                    .weight_decay = @floatCast(s[4].f),
                    .weight = @floatCast(1 - s[1].f),
                    .beta2 = @floatCast(beta2),
                    .rest2 = @floatCast(1 - beta2),
                    .correction1 = @floatCast(1 - power(s[1].f, step)),
                    .root2 = @floatCast(@sqrt(1 - power2)),
                    .rectified = @floatCast(if (length > 5) @sqrt(share) else 1),
                    .lr = @floatCast(s[0].f),
                    .eps = @floatCast(s[3].f),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = decayed(T, c, x);
                x[2] = lerp(T, x[2], grad, c.weight);
                x[3] = secondMoment(T, x[3], grad, c.beta2, c.rest2);
                var change = x[2] / @as(V, @splat(c.correction1)) * @as(V, @splat(c.lr));
                if (c.rectifies) {
                    const rate = @as(V, @splat(c.root2)) / (@sqrt(x[3]) + @as(V, @splat(c.eps)));
                    change = change * rate * @as(V, @splat(c.rectified));
                }
                x[0] -= change;
            }
        };
    }
};

/// param, grad, prev, step_size; step
const Rprop = struct {
    pub const arrays = 4;
    pub const extra = 1;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            less: T,
            more: T,
            smallest: T,
            largest: T,

            pub fn init(flags: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{
                    .negated = flags & maximize != 0,
                    .less = @floatCast(s[0].f),
                    .more = @floatCast(s[1].f),
                    .smallest = @floatCast(s[2].f),
                    .largest = @floatCast(s[3].f),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const zero: V = @splat(0);
                const one: V = @splat(1);
                var grad = if (c.negated) -x[1] else x[1];
                const agreement = grad * x[2];
                const turned = agreement < zero;
                var factor = @select(T, agreement > zero, @as(V, @splat(c.more)), one);
                factor = @select(T, turned, @as(V, @splat(c.less)), factor);
                var size = x[3] * factor;
                size = @select(T, size < @as(V, @splat(c.smallest)), @as(V, @splat(c.smallest)), size);
                size = @select(T, size > @as(V, @splat(c.largest)), @as(V, @splat(c.largest)), size);
                grad = @select(T, turned, zero, grad);
                const up = @select(T, grad > zero, size, zero);
                x[0] = x[0] - up + @select(T, grad < zero, size, zero);
                x[2] = grad;
                x[3] = size;
            }
        };
    }
};

/// param, grad, ax; eta, mu, step
const ASGD = struct {
    pub const arrays = 3;
    pub const extra = 3;
    pub const counts = true;
    pub const written = [_]bool{ true, false, true };

    pub fn Of(comptime T: type) type {
        return struct {
            negated: bool,
            weight_decay: T,
            shrink: T,
            step: T,
            averages: bool,
            mu: T,

            pub fn init(flags: i64, s: Scalars, step: f64, e: Extras) @This() {
                const lr = s[0].f;
                const lambd = s[1].f;
                const eta = e.get(0);
                const mu = e.get(1);
                e.set(0, lr / std.math.pow(f64, 1 + lambd * lr * step, s[2].f));
                e.set(1, 1 / @max(1, step - s[3].f));
                return .{
                    .negated = flags & maximize != 0,
                    .weight_decay = @floatCast(s[4].f),
                    .shrink = @floatCast(1 - lambd * eta),
                    .step = @floatCast(-eta),
                    .averages = mu != 1,
                    .mu = @floatCast(mu),
                };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                const V = Vec(T);
                const grad = gradientOf(T, c, x);
                x[0] = muladd(T, grad, c.step, x[0] * @as(V, @splat(c.shrink)));
                x[2] = if (c.averages) x[2] + (x[0] - x[2]) * @as(V, @splat(c.mu)) else x[0];
            }
        };
    }
};

/// a, b
const Lerp = struct {
    pub const arrays = 2;
    pub const extra = 0;
    pub const counts = false;
    pub const written = [_]bool{ true, false };

    pub fn Of(comptime T: type) type {
        return struct {
            weight: T,

            pub fn init(_: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{ .weight = @floatCast(s[0].f) };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                x[0] = lerp(T, x[0], x[1], c.weight);
            }
        };
    }
};

/// a
const Scale = struct {
    pub const arrays = 1;
    pub const extra = 0;
    pub const counts = false;
    pub const written = [_]bool{true};

    pub fn Of(comptime T: type) type {
        return struct {
            factor: T,

            pub fn init(_: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{ .factor = @floatCast(s[0].f) };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                x[0] *= @as(Vec(T), @splat(c.factor));
            }
        };
    }
};

/// a
const Clamp = struct {
    pub const arrays = 1;
    pub const extra = 0;
    pub const counts = false;
    pub const written = [_]bool{true};

    pub fn Of(comptime T: type) type {
        return struct {
            low: T,
            high: T,

            pub fn init(_: i64, s: Scalars, _: f64, _: Extras) @This() {
                return .{ .low = @floatCast(s[0].f), .high = @floatCast(s[1].f) };
            }
            pub inline fn apply(c: *const @This(), x: *[arrays]Vec(T)) void {
                // comparisons that are false for nan leave it alone
                const low: Vec(T) = @splat(c.low);
                const high: Vec(T) = @splat(c.high);
                x[0] = @select(T, x[0] < low, low, x[0]);
                x[0] = @select(T, x[0] > high, high, x[0]);
            }
        };
    }
};
