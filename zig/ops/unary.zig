//! Rows of one input. Operands: out, x, of one shape; any strides, any dtypes.
//!
//! Computed in float64 if an operand is float64, else in float32 if one is a float, else in
//! int64 (integers wrap). So a float row takes an integer x when out is a float. Rows under
//! "bool" have an output of dtype bool, the others usually x's.
//!
//! Scalars are .f for float computation, .i for integers; ints only where named.
//! Every dtype:
//! - `positive` `neg` `abs` `sign` `square` `relu`
//! - `clamp` (low, high: scalar[0], [1]), `clamp_min` (low), `clamp_max` (high)
//! - `threshold` (threshold, value): value where x <= threshold
//! Integers and bool: `bitwise_not` (logical for bool).
//! To bool, from every dtype: `logical_not` `isnan` `isinf` `isfinite` `isposinf` `isneginf`
//!   `signbit`
//! Floats:
//! - `sqrt` `rsqrt` `reciprocal` `floor` `ceil` `trunc` `round` (ties to even) `frac`
//! - `round_decimals`: scalar[0] = 10^|decimals|, ints[0] = 1 if decimals < 0, else 0
//! - `nan_to_num` (nan, posinf, neginf)
//! - `exp` `exp2` `expm1` `log` `log2` `log10` `log1p` `sin` `cos` `tan` `asin` `acos` `atan`
//!   `sinh` `cosh` `tanh` `asinh` `acosh` `atanh` `erf` `erfc` `erfinv` `lgamma` `digamma`
//!   `trigamma` `i0` `i0e` `ndtr` `sinc`
//! - `sigmoid` `log_sigmoid` `gelu` `gelu_tanh` `silu` `mish` `softsign` `selu` `relu6`
//!   `hardswish` `hardsigmoid`
//! - `logit` (eps; negative for none), `softplus` (beta, threshold), `elu` (alpha, scale,
//!   input_scale; celu(alpha) is elu(alpha, 1, 1 / alpha)), `leaky_relu` (slope), `softshrink`
//!   (lambda), `hardshrink` (lambda); hardtanh is `clamp`
const std = @import("std");
const plan = @import("../plan.zig");
const math = @import("../math.zig");
const elementwise = @import("elementwise.zig");
const f = @import("unary_formulas.zig");
const a = @import("activation_formulas.zig");
const Plan = plan.Plan;
const Row = elementwise.Row;

pub const rows = [_]Row{
    // every dtype
    elementwise.anyRow("positive", f.same, 1, 0),
    elementwise.anyRow("neg", f.neg, 1, 0),
    elementwise.anyRow("abs", f.abs, 1, 0),
    elementwise.anyRow("sign", f.sign, 1, 0),
    elementwise.anyRow("square", f.square, 1, 0),
    elementwise.anyRow("relu", f.relu, 1, 0),
    elementwise.anyRow("clamp", f.clamp, 1, 2),
    elementwise.anyRow("clamp_min", f.clampMin, 1, 1),
    elementwise.anyRow("clamp_max", f.clampMax, 1, 1),
    elementwise.anyRow("threshold", a.thresholdAt, 1, 2),
    bitwise_not,
    // bool from every dtype
    elementwise.predicateRow("logical_not", f.logicalNot, 1),
    elementwise.predicateRow("isnan", f.isnan, 1),
    elementwise.predicateRow("isinf", f.isinf, 1),
    elementwise.predicateRow("isfinite", f.isfinite, 1),
    elementwise.predicateRow("isposinf", f.isposinf, 1),
    elementwise.predicateRow("isneginf", f.isneginf, 1),
    elementwise.predicateRow("signbit", f.signbit, 1),
    // floats, a few instructions each
    cheap("sqrt", f.sqrt, 0),
    cheap("rsqrt", f.rsqrt, 0),
    cheap("reciprocal", f.reciprocal, 0),
    cheap("floor", math.floor, 0),
    cheap("ceil", math.ceil, 0),
    cheap("trunc", math.trunc, 0),
    cheap("round", math.roundEven, 0),
    cheap("frac", math.frac, 0),
    cheap("round_decimals", f.roundUp, 1),
    cheap("nan_to_num", f.nanToNum, 3),
    cheap("softsign", a.softsign, 0),
    cheap("relu6", a.relu6, 0),
    cheap("hardswish", a.hardswish, 0),
    cheap("hardsigmoid", a.hardsigmoid, 0),
    cheap("leaky_relu", a.leakyRelu, 1),
    cheap("softshrink", a.softshrink, 1),
    cheap("hardshrink", a.hardshrink, 1),
    // floats, by approximation
    costly("exp", math.exp, 0),
    costly("exp2", math.exp2, 0),
    costly("expm1", math.expm1, 0),
    costly("log", math.log, 0),
    costly("log2", math.log2, 0),
    costly("log10", math.log10, 0),
    costly("log1p", math.log1p, 0),
    costly("sin", math.sin, 0),
    costly("cos", math.cos, 0),
    costly("tan", math.tan, 0),
    costly("asin", math.asin, 0),
    costly("acos", math.acos, 0),
    costly("atan", math.atan, 0),
    costly("sinh", math.sinh, 0),
    costly("cosh", math.cosh, 0),
    costly("tanh", math.tanh, 0),
    costly("asinh", math.asinh, 0),
    costly("acosh", math.acosh, 0),
    costly("atanh", math.atanh, 0),
    costly("erf", math.erf, 0),
    costly("erfc", math.erfc, 0),
    costly("erfinv", math.erfinv, 0),
    costly("lgamma", math.lgamma, 0),
    costly("digamma", math.digamma, 0),
    costly("i0", math.besselI0, 0),
    costly("i0e", math.besselI0e, 0),
    costly("trigamma", math.trigamma, 0),
    costly("ndtr", math.ndtr, 0),
    costly("sinc", math.sinc, 0),
    costly("sigmoid", math.sigmoid, 0),
    costly("log_sigmoid", math.logSigmoid, 0),
    costly("softplus", a.softplus, 2),
    costly("gelu", a.gelu, 0),
    costly("gelu_tanh", a.geluTanh, 0),
    costly("silu", a.silu, 0),
    costly("mish", a.mish, 0),
    costly("elu", a.elu, 3),
    costly("selu", a.selu, 0),
    costly("logit", a.logit, 1),
};

pub const names: []const []const u8 = elementwise.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

fn costly(name: []const u8, comptime function: anytype, comptime scalars: usize) Row {
    return elementwise.floatRow(name, function, 1, scalars);
}
fn cheap(name: []const u8, comptime function: anytype, comptime scalars: usize) Row {
    var r = elementwise.floatRow(name, function, 1, scalars);
    r.grain = elementwise.cheap;
    return r;
}

const bitwise_not: Row = blk: {
    var r = elementwise.intRow("bitwise_not", f.bitwiseNot, 1, 0);
    r.u8 = elementwise.kernelOf(f.bitwiseNot, u8, 1, .{});
    break :blk r;
};
const bool_not = elementwise.kernelOf(f.logicalNot, u8, 1, .{ .to_bool = true });
const round_down: Row = cheap("", f.roundDown, 1);

fn prepare(p: *Plan) plan.PrepareError!void {
    var row = &rows[p.op];
    if (isRow(row, "round_decimals") and p.ints[0] == 1) row = &round_down;
    var spec = try elementwise.specOf(p, row, null);
    if (isRow(row, "bitwise_not") and p.operands[1].dtype == .bool) spec.kernel = bool_not;
    return elementwise.prepare(p, spec);
}

fn isRow(row: *const Row, name: []const u8) bool {
    return std.mem.eql(u8, row.name, name);
}

test {
    _ = @import("elementwise_rows_test.zig"); // of all elementwise families
}
