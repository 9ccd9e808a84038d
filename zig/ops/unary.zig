//! Rows of one input. Operands: out, x, of one shape; any strides, any dtypes.
//!
//! Computed in float64 if an operand is float64, else in float32 if one is a float, else in
//! int64 (integers wrap). So a float row takes an integer x when out is a float. Rows under
//! "bool" have an output of dtype bool, the others usually x's.
//!
//! Scalars are .f for float computation, .i for integers; ints only where named. They may
//! stand in the plan: in its floats, or for integers in its ints after the first (0).
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
//! - `mantissa` `exponent`: C's frexp; 0, inf and nan have exponent 0
//! - `exp` `exp2` `expm1` `log` `log2` `log10` `log1p` `sin` `cos` `tan` `asin` `acos` `atan`
//!   `sinh` `cosh` `tanh` `asinh` `acosh` `atanh` `erf` `erfc` `erfinv` `lgamma` `digamma`
//!   `trigamma` `i0` `i0e` `ndtr` `sinc` `entr`
//! - `sigmoid` `log_sigmoid` `gelu` `gelu_tanh` `silu` `mish` `softsign` `selu` `relu6`
//!   `hardswish` `hardsigmoid` `tanhshrink`
//! - `logit` (eps; negative for none), `softplus` (beta, threshold), `elu` (alpha, scale,
//!   input_scale; celu(alpha) is elu(alpha, 1, 1 / alpha)), `leaky_relu` (slope), `softshrink`
//!   (lambda), `hardshrink` (lambda); hardtanh is `clamp`
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const rounding = @import("../math/round.zig");
const elementwise = @import("elementwise.zig");
const elementwise_row = @import("elementwise_row.zig");
const f = @import("unary_formulas.zig");
const a = @import("activation_formulas.zig");
const Plan = plan.Plan;
const Row = elementwise_row.Row;
const of = elementwise_row.Rows(1);

pub const rows = blk: {
    @setEvalBranchQuota(10_000);
    break :blk [_]Row{
        // every dtype
        of.every("positive", f.same, 0),
        of.everySizeSignless("neg", f.neg),
        of.everySize("abs", f.abs, 0),
        of.ofBools(of.everySize("sign", f.sign, 0)),
        of.withHalves(of.every("square", f.square, 0), f.square),
        of.withHalves(of.ofBools(of.everySize("relu", f.relu, 0)), f.relu),
        of.withFloat16(of.everySize("clamp", f.clamp, 2), f.clamp, 2),
        of.everySize("clamp_min", f.clampMin, 1),
        of.everySize("clamp_max", f.clampMax, 1),
        of.every("threshold", a.thresholdAt, 2),
        of.bitwise("bitwise_not", f.bitwiseNot),
        // bool from every dtype
        of.signless("logical_not", f.logicalNot),
        of.predicate("isnan", f.isnan),
        of.predicate("isinf", f.isinf),
        of.predicate("isfinite", f.isfinite),
        of.predicate("isposinf", f.isposinf),
        of.predicate("isneginf", f.isneginf),
        of.predicate("signbit", f.signbit),
        // floats, a few instructions each
        of.withFloat16(of.cheap("sqrt", f.sqrt, 0), f.sqrt, 0),
        of.cheap("rsqrt", f.rsqrt, 0),
        of.withHalves(of.cheap("reciprocal", f.reciprocal, 0), f.reciprocal),
        of.withFloat16(of.cheap("floor", math.floor, 0), rounding.floorOfHalf, 0),
        of.withFloat16(of.cheap("ceil", math.ceil, 0), rounding.ceilOfHalf, 0),
        of.withFloat16(of.cheap("trunc", math.trunc, 0), rounding.truncOfHalf, 0),
        of.withHalves(of.cheap("round", math.roundEven, 0), math.roundEven),
        of.cheap("frac", math.frac, 0),
        of.cheap("round_decimals", f.roundUp, 1),
        of.cheap("nan_to_num", f.nanToNum, 3),
        of.cheap("mantissa", f.mantissa, 0),
        of.cheap("exponent", f.exponent, 0),
        of.cheap("softsign", a.softsign, 0),
        of.cheap("relu6", a.relu6, 0),
        of.withFloat16(of.cheap("hardswish", a.hardswish, 0), a.hardswish, 0),
        of.cheap("hardsigmoid", a.hardsigmoid, 0),
        of.withFloat16(of.cheap("leaky_relu", a.leakyRelu, 1), a.leakyRelu, 1),
        of.cheap("softshrink", a.softshrink, 1),
        of.cheap("hardshrink", a.hardshrink, 1),
        // floats, by approximation
        of.withHalf(of.streamed("exp", math.exp), math.exp),
        of.costly("exp2", math.exp2, 0),
        of.costly("expm1", math.expm1, 0),
        of.streamed("log", math.log),
        of.costly("log2", math.log2, 0),
        of.costly("log10", math.log10, 0),
        of.costly("log1p", math.log1p, 0),
        of.streamed("sin", math.sin),
        of.streamed("cos", math.cos),
        of.costly("tan", math.tan, 0),
        of.costly("asin", math.asin, 0),
        of.costly("acos", math.acos, 0),
        of.costly("atan", math.atan, 0),
        of.costly("sinh", math.sinh, 0),
        of.costly("cosh", math.cosh, 0),
        of.withHalf(of.streamed("tanh", math.tanh), math.tanh),
        of.wide("asinh", math.asinh),
        of.wide("acosh", math.acosh),
        of.wide("atanh", math.atanh),
        of.streamed("erf", math.erf),
        of.costly("erfc", math.erfc, 0),
        of.costly("erfinv", math.erfinv, 0),
        of.wide("lgamma", math.lgamma),
        of.wide("digamma", math.digamma),
        of.wide("i0", math.besselI0),
        of.wide("i0e", math.besselI0e),
        of.wide("trigamma", math.trigamma),
        of.costly("ndtr", math.ndtr, 0),
        of.wide("sinc", math.sinc),
        of.costly("entr", f.entr, 0),
        of.withHalf(of.streamed("sigmoid", math.sigmoid), math.sigmoid),
        of.costly("log_sigmoid", math.logSigmoid, 0),
        of.costly("softplus", a.softplus, 2),
        gelu(),
        of.streamed("gelu_tanh", a.geluTanh),
        of.withHalf(of.streamed("silu", a.silu), a.silu),
        of.costly("mish", a.mish, 0),
        of.costly("tanhshrink", a.tanhshrink, 0),
        of.costly("elu", a.elu, 3),
        of.costly("selu", a.selu, 0),
        of.costly("logit", a.logit, 1),
    };
};

pub const shared = @import("elementwise_shared.zig");
pub const names: []const []const u8 = elementwise_row.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

const bool_not = elementwise.kernelOf(f.logicalNot, u8, 1, .{ .to_bool = true });
const sign_flip = elementwise.kernelOf(f.flipSign16, u16, 1, .{});
const sign_clear = elementwise.kernelOf(f.clearSign16, u16, 1, .{});
const round_down: Row = of.cheap("", f.roundDown, 1);

fn gelu() Row {
    var r = of.streamed("gelu", a.gelu);
    if (simd.has_fma) r.half = elementwise.kernelOf(math.geluHalf, f32, 1, .{ .half = .bfloat16, .together = 8 });
    return r;
}

fn prepare(p: *Plan) plan.PrepareError!void {
    var row = &rows[p.op];
    if (isRow(row, "round_decimals") and p.ints[0] == 1) row = &round_down;
    var spec = try elementwise_row.specOf(p, row, null);
    const o = p.operands;
    if (o[0].dtype == o[1].dtype and (o[0].dtype == .bfloat16 or o[0].dtype == .float16)) {
        // Their signs are bits.
        const kernel = if (isRow(row, "neg")) sign_flip else sign_clear;
        if (isRow(row, "neg") or isRow(row, "abs")) {
            spec.kernel = kernel;
            spec.out = .raw2;
            spec.in[0] = .raw2;
        }
    }
    if (isRow(row, "bitwise_not") and p.operands[1].dtype == .bool) spec.kernel = bool_not;
    return elementwise.prepare(p, spec);
}

fn isRow(row: *const Row, name: []const u8) bool {
    return std.mem.eql(u8, row.name, name);
}

test {
    _ = @import("elementwise_rows_test.zig"); // of all elementwise families
    _ = elementwise;
}
