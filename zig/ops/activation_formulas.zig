//! Activation functions and their backward forms, `f(V, x, scalars ...)` and
//! `f(V, g, x, scalars ...)` over virtual vectors of floats. g is the gradient of the output.
//!
//! PyTorch's definitions and choices at the borders (native/cpu/Activation.cpp). Where its
//! formula overflows into nan and the limit is finite, the limit is given: silu(-inf) is -0.
const std = @import("std");
const math = @import("../math.zig");
const common = @import("../math/common.zig");
const Child = std.meta.Child;
const c = common.c;
const pick = common.pick;

inline fn minimum(comptime V: type, x: V, comptime bound: comptime_float) V {
    return pick(V, x > c(V, bound), c(V, bound), x);
}
inline fn maximum(comptime V: type, x: V, comptime bound: comptime_float) V {
    return pick(V, x < c(V, bound), c(V, bound), x);
}

// ------------------------------------------------------------------ smooth

/// y, and -0 instead of -inf * 0.
inline fn limitAtMinusInfinity(comptime V: type, x: V, y: V) V {
    return pick(V, x == @as(V, @splat(-std.math.inf(Child(V)))), c(V, -0.0), y);
}

pub inline fn sigmoidBackward(comptime V: type, g: V, y: V) V {
    return g * (c(V, 1) - y) * y;
}
pub inline fn tanhBackward(comptime V: type, g: V, y: V) V {
    return g * (c(V, 1) - y * y);
}

/// g sigmoid(-x)
pub inline fn logSigmoidBackward(comptime V: type, g: V, x: V) V {
    return g * math.sigmoid(V, -x);
}

/// log(1 + exp(beta x)) / beta; x where beta x > threshold.
pub inline fn softplus(comptime V: type, x: V, beta: V, threshold: V) V {
    const z = x * beta;
    return pick(V, z > threshold, x, math.softplus(V, z) / beta);
}
pub inline fn softplusBackward(comptime V: type, g: V, x: V, beta: V, threshold: V) V {
    const z = x * beta;
    return pick(V, z > threshold, g, g * math.sigmoid(V, z));
}

/// x P(X <= x) for a standard normal X (Hendrycks, Gimpel 2016).
pub inline fn gelu(comptime V: type, x: V) V {
    return math.gelu(V, x);
}
pub inline fn geluBackward(comptime V: type, g: V, x: V) V {
    return g * math.geluSlope(V, x);
}

const gelu_beta = 0.79788456080286535588; // sqrt(2 / pi)
const gelu_kappa = 0.044715;

pub inline fn geluTanh(comptime V: type, x: V) V {
    return math.geluTanh(V, x);
}
pub inline fn geluTanhBackward(comptime V: type, g: V, x: V) V {
    const square = x * x;
    const inner = c(V, gelu_beta) * (x + c(V, gelu_kappa) * (square * x));
    const t = math.tanh(V, inner);
    const left = c(V, 0.5) * x;
    const right = c(V, 1) + t;
    const inner_slope = c(V, gelu_beta) * (c(V, 1) + c(V, 3 * gelu_kappa) * square);
    return g * (c(V, 0.5) * right + left * (c(V, 1) - t * t) * inner_slope);
}

/// x sigmoid(x), or swish.
pub inline fn silu(comptime V: type, x: V) V {
    return math.silu(V, x);
}
pub inline fn siluBackward(comptime V: type, g: V, x: V) V {
    const s = math.sigmoid(V, x);
    return g * s * (c(V, 1) + x * (c(V, 1) - s));
}

/// x tanh(softplus(x)) (Misra 2019).
pub inline fn mish(comptime V: type, x: V) V {
    return limitAtMinusInfinity(V, x, x * tanhSoftplus(V, x));
}
pub inline fn mishBackward(comptime V: type, g: V, x: V) V {
    const t = tanhSoftplus(V, x);
    return g * (t + x * math.sigmoid(V, x) * (c(V, 1) - t * t));
}
/// tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2) with e = exp(x); 1 in any type from x = 20.
inline fn tanhSoftplus(comptime V: type, x: V) V {
    const e = math.exp(V, minimum(V, x, 20));
    const w = e * (e + c(V, 2));
    return w / (w + c(V, 2));
}

pub inline fn tanhshrink(comptime V: type, x: V) V {
    return x - math.tanh(V, x);
}
pub inline fn softsign(comptime V: type, x: V) V {
    return x / (c(V, 1) + @abs(x));
}

pub inline fn softsignBackward(comptime V: type, g: V, x: V) V {
    const d = c(V, 1) + @abs(x);
    return g / (d * d);
}

/// scale x, or alpha scale (exp(input_scale x) - 1) where x <= 0.
pub inline fn elu(comptime V: type, x: V, alpha: V, scale: V, input_scale: V) V {
    const low = alpha * scale * math.expm1(V, minimum(V, x, 0) * input_scale);
    return pick(V, x <= c(V, 0), low, x * scale);
}
pub inline fn eluBackward(comptime V: type, g: V, x: V, alpha: V, scale: V, input_scale: V) V {
    const low = g * input_scale * (alpha * scale) * math.exp(V, minimum(V, x, 0) * input_scale);
    return pick(V, x > c(V, 0), g * scale, low);
}
/// From the output y.
pub inline fn eluBackwardResult(
    comptime V: type,
    g: V,
    y: V,
    alpha: V,
    scale: V,
    input_scale: V,
) V {
    return pick(V, y > c(V, 0), g * scale, g * input_scale * (y + alpha * scale));
}

pub const selu_alpha = 1.6732632423543772848170429916717;
pub const selu_scale = 1.0507009873554804934193349852946;

/// Klambauer et al. 2017.
pub inline fn selu(comptime V: type, x: V) V {
    return elu(V, x, c(V, selu_alpha), c(V, selu_scale), c(V, 1));
}

/// log(x / (1 - x)); with eps >= 0, x is first clamped to [eps, 1 - eps].
pub inline fn logit(comptime V: type, x: V, eps: V) V {
    const high = c(V, 1) - eps;
    const inside = pick(V, x < eps, eps, pick(V, x > high, high, x));
    const z = pick(V, eps < c(V, 0), x, inside);
    return math.log(V, z / (c(V, 1) - z));
}

// ------------------------------------------------------------------ piecewise linear

pub inline fn relu6(comptime V: type, x: V) V {
    return minimum(V, maximum(V, x, 0), 6);
}
pub inline fn hardswish(comptime V: type, x: V) V {
    return x * relu6(V, x + c(V, 3)) / c(V, 6);
}
pub inline fn hardswishBackward(comptime V: type, g: V, x: V) V {
    const middle = g * (x / c(V, 3) + c(V, 0.5));
    return pick(V, x <= c(V, -3), c(V, 0), pick(V, x >= c(V, 3), g, middle));
}
pub inline fn hardsigmoid(comptime V: type, x: V) V {
    return relu6(V, x + c(V, 3)) / c(V, 6);
}
pub inline fn hardsigmoidBackward(comptime V: type, g: V, x: V) V {
    return pick(V, (x > c(V, -3)) & (x < c(V, 3)), g / c(V, 6), c(V, 0));
}
pub inline fn hardtanhBackward(comptime V: type, g: V, x: V, low: V, high: V) V {
    return pick(V, (x > low) & (x < high), g, c(V, 0));
}
pub inline fn leakyRelu(comptime V: type, x: V, slope: V) V {
    return pick(V, x > c(V, 0), x, x * slope);
}
pub inline fn leakyReluBackward(comptime V: type, g: V, x: V, slope: V) V {
    return pick(V, x > c(V, 0), g, g * slope);
}
/// x, or w x where x <= 0.
pub inline fn prelu(comptime V: type, x: V, w: V) V {
    return leakyRelu(V, x, w);
}
pub inline fn preluBackward(comptime V: type, g: V, x: V, w: V) V {
    return pick(V, x > c(V, 0), g, g * w);
}
/// The gradient of the weight.
pub inline fn preluBackwardWeight(comptime V: type, g: V, x: V) V {
    return pick(V, x > c(V, 0), c(V, 0), g * x);
}
/// a sigmoid(b). Also the gradient of a, from that of the result in its place.
pub inline fn glu(comptime V: type, a: V, b: V) V {
    return a * math.sigmoid(V, b);
}
/// The gradient of b.
pub inline fn gluBackward(comptime V: type, g: V, a: V, b: V) V {
    const s = math.sigmoid(V, b);
    return g * a * s * (c(V, 1) - s);
}
/// g where the clamped x passes it on.
pub inline fn clampBackward(comptime V: type, g: V, x: V, low: V, high: V) V {
    return pick(V, (x >= low) & (x <= high), g, c(V, 0));
}
/// relu's backward with threshold 0, from its input or its output.
pub inline fn thresholdBackward(comptime V: type, g: V, x: V, threshold: V) V {
    return pick(V, x <= threshold, c(V, 0), g);
}
pub inline fn reluBackward(comptime V: type, g: V, x: V) V {
    return thresholdBackward(V, g, x, c(V, 0));
}
pub inline fn thresholdAt(comptime V: type, x: V, threshold: V, value: V) V {
    return pick(V, x <= threshold, value, x);
}
pub inline fn softshrink(comptime V: type, x: V, l: V) V {
    // x 0 keeps nan.
    return pick(V, x > l, x - l, pick(V, x < -l, x + l, x * c(V, 0)));
}
pub inline fn hardshrink(comptime V: type, x: V, l: V) V {
    return pick(V, (x >= -l) & (x <= l), c(V, 0), x);
}
/// Of both shrinks.
pub inline fn shrinkBackward(comptime V: type, g: V, x: V, l: V) V {
    // A gradient at nan too, as PyTorch has it.
    return pick(V, (x >= -l) & (x <= l), c(V, 0), g);
}
