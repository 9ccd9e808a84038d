//! Rows of two inputs. Operands: out, a, b, of one shape (broadcast by strides of 0); any
//! strides, any dtypes.
//!
//! Computed in float64 if an operand is float64, else in float32 if one is a float, else in
//! int64 (integers wrap). Of comparisons and logical rows, whose output is bool, the inputs
//! alone count. So float rows take integers where out is a float.
//!
//! Scalars that are the same in every run may stand in the plan: of float computation its
//! floats, of integer computation the ints after the first (which is 0).
//!
//! A number instead of a tensor: ints[0] = 1: operands are out, a, and b is scalar[0]; 2:
//! operands are out, b, and a is scalar[0]. Absent or 0: two tensors. The scalar is .f for
//! float computation, .i for integers.
//!
//! Every dtype: `add` `sub` `mul` `maximum` `minimum` (nan wins) `fmax` `fmin` (nan loses)
//!   `floor_divide` `trunc_divide` `remainder` `fmod` `pow` `heaviside`
//!   Integers divided by 0 fail with invalid_value; pow of integers with a negative exponent
//!   is 0 but for the bases 1 and -1. pow with a number as exponent is as exact as PyTorch's:
//!   0, 1, 2, 3, -1, -2, 0.5, -0.5 are not computed by logarithms.
//! Two tensors only: `add_scaled`: a + scalar[0] b; of floats `mul_scaled`: scalar[0] a b,
//!   `div_scaled`: scalar[0] a / b
//! Floats, two tensors: `prelu` (x, w): x, or w x where x <= 0; `glu`: a sigmoid(b)
//! Floats: `div` `copysign` `nextafter` `atan2` `hypot` `logaddexp` `logaddexp2` `xlogy`
//!   `xlog1py`
//! Integers and bool: `bitwise_and` `bitwise_or` `bitwise_xor`
//! Integers: `bitwise_left_shift` `bitwise_right_shift` `gcd` `lcm`
//! To bool, from every dtype: `eq` `ne` `lt` `le` `gt` `ge` `logical_and` `logical_or`
//!   `logical_xor`
//!
//! Backward forms (two tensors only; floats): operands out, g, and x, or y where the row has
//! y (the forward's output); scalars as the forward's:
//!   `sigmoid_backward` (y) `tanh_backward` (y) `relu_backward` (x or y)
//!   `threshold_backward` (x; threshold) `gelu_backward` `gelu_tanh_backward` `silu_backward`
//!   `mish_backward` `log_sigmoid_backward` `softplus_backward` (x; beta, threshold)
//!   `elu_backward` (x; alpha, scale, input_scale) `elu_backward_result` (y; the same)
//!   `leaky_relu_backward` (x; slope) `hardswish_backward` `hardsigmoid_backward`
//!   `hardtanh_backward` (x; low, high: 0 at the borders) `clamp_backward` (x; low, high: g at
//!   the borders) `shrink_backward` (x; lambda: of softshrink and hardshrink)
//!   `softsign_backward` (x) `prelu_backward_weight` (x)
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const elementwise = @import("elementwise.zig");
const elementwise_row = @import("elementwise_row.zig");
const f = @import("binary_formulas.zig");
const u = @import("unary_formulas.zig");
const a = @import("activation_formulas.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Row = elementwise_row.Row;
const of = elementwise_row.Rows(2);

pub const rows = blk: {
    @setEvalBranchQuota(10_000);
    break :blk [_]Row{
        of.withColumns(of.withNumbers(of.withHalves(of.everySizeSignless("add", f.add), f.add), f.add), f.add),
        of.withColumns(of.withHalves(of.everySizeSignless("sub", f.sub), f.sub), f.sub),
        of.withColumns(of.withNumbers(of.withHalves(of.ofBools(of.everySizeSignless("mul", f.mul)), f.mul), f.mul), f.mul),
        of.withHalves(of.ofBools(of.everySize("maximum", simd.maxNan, 0)), simd.maxNan),
        of.withHalves(of.ofBools(of.everySize("minimum", simd.minNan, 0)), simd.minNan),
        of.asIntegers(of.cheap("fmax", f.fmax, 0), of.ofBools(of.everySize("maximum", simd.maxNan, 0))),
        of.asIntegers(of.cheap("fmin", f.fmin, 0), of.ofBools(of.everySize("minimum", simd.minNan, 0))),
        of.every("heaviside", f.heaviside, 0),
        mixed("floor_divide", f.floorDivide, f.floorDivideInt, true),
        mixed("trunc_divide", f.truncDivide, f.truncDivideInt, true),
        mixed("remainder", math.remainder, f.remainderInt, true),
        mixed("fmod", math.fmod, f.fmodInt, true),
        mixed("pow", math.pow, f.powInt, false),
        of.withFloat16(of.everySize("add_scaled", f.addScaled, 1), f.addScaled, 1),
        of.cheap("mul_scaled", f.mulScaled, 1),
        of.cheap("div_scaled", f.divScaled, 1),
        of.withColumns(of.withHalves(of.cheap("div", f.div, 0), f.div), f.div),
        copysign(),
        of.cheap("nextafter", f.nextafter, 0),
        of.costly("atan2", math.atan2, 0),
        of.costly("hypot", math.hypot, 0),
        of.costly("logaddexp", math.logaddexp, 0),
        of.costly("logaddexp2", math.logaddexp2, 0),
        of.costly("xlogy", f.xlogy, 0),
        of.costly("xlog1py", f.xlog1py, 0),
        of.bitwise("bitwise_and", f.bitwiseAnd),
        of.bitwise("bitwise_or", f.bitwiseOr),
        of.bitwise("bitwise_xor", f.bitwiseXor),
        of.integer("bitwise_left_shift", f.leftShift),
        of.integer("bitwise_right_shift", f.rightShift),
        of.integer("gcd", f.gcd),
        of.integer("lcm", f.lcm),
        of.signless("eq", f.eq),
        of.signless("ne", f.ne),
        of.comparison("lt", f.lt),
        of.comparison("le", f.le),
        of.comparison("gt", f.gt),
        of.comparison("ge", f.ge),
        of.signless("logical_and", f.logicalAnd),
        of.signless("logical_or", f.logicalOr),
        of.signless("logical_xor", f.logicalXor),
        of.cheap("prelu", a.prelu, 0),
        of.cheap("prelu_backward_weight", a.preluBackwardWeight, 0),
        of.costly("glu", a.glu, 0),
        of.cheap("softsign_backward", a.softsignBackward, 0),
        of.cheap("sigmoid_backward", a.sigmoidBackward, 0),
        of.cheap("tanh_backward", a.tanhBackward, 0),
        of.cheap("relu_backward", a.reluBackward, 0),
        of.cheap("threshold_backward", a.thresholdBackward, 1),
        of.cheap("elu_backward_result", a.eluBackwardResult, 3),
        of.cheap("leaky_relu_backward", a.leakyReluBackward, 1),
        of.cheap("hardswish_backward", a.hardswishBackward, 0),
        of.cheap("hardsigmoid_backward", a.hardsigmoidBackward, 0),
        of.cheap("hardtanh_backward", a.hardtanhBackward, 2),
        of.cheap("clamp_backward", a.clampBackward, 2),
        of.cheap("shrink_backward", a.shrinkBackward, 1),
        of.costly("gelu_backward", a.geluBackward, 0),
        of.costly("gelu_tanh_backward", a.geluTanhBackward, 0),
        of.costly("silu_backward", a.siluBackward, 0),
        of.costly("mish_backward", a.mishBackward, 0),
        of.costly("log_sigmoid_backward", a.logSigmoidBackward, 0),
        of.costly("softplus_backward", a.softplusBackward, 2),
        of.costly("elu_backward", a.eluBackward, 3),
    };
};

pub const names: []const []const u8 = elementwise_row.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

/// Of float16 and bfloat16, by their bits.
fn copysign() Row {
    var r = of.cheap("copysign", f.copysign, 0);
    r.half = elementwise.kernelOf(f.copysign16, u16, 2, .{ .light = true });
    r.float16 = r.half;
    return r;
}

/// Floats by one function, integers by another, which may fail.
fn mixed(
    name: []const u8,
    comptime float: anytype,
    comptime int: anytype,
    comptime fails: bool,
) Row {
    var r = of.costly(name, float, 0);
    r.i64 = elementwise.kernelOf(int, i64, 2, .{ .with_call = fails });
    r.i32 = elementwise.kernelOf(int, i32, 2, .{ .with_call = fails });
    return r;
}

fn prepare(p: *Plan) plan.PrepareError!void {
    const row = &rows[p.op];
    const scalar_input: ?usize = if (p.ints.len == 0) null else switch (p.ints[0]) {
        0 => null,
        1 => 1,
        2 => 0,
        else => return error.Unsupported,
    };
    try elementwise_row.prepare(p, row, scalar_input);
    if (scalar_input == 1 and std.mem.eql(u8, row.name, "pow")) {
        switch (p.stateAs(elementwise.State).out.tile) {
            .f32 => p.run = runPower(f32),
            .f64 => p.run = runPower(f64),
            else => {},
        }
    }
}

/// x to the power of a number: PyTorch's special cases (PowKernel.cpp).
fn runPower(comptime T: type) plan.Run {
    return struct {
        const Special = struct { exponent: f64, kernel: elementwise.Kernel };
        const special = [_]Special{
            .{ .exponent = 2, .kernel = elementwise.kernelOf(u.square, T, 1, .{}) },
            .{ .exponent = 3, .kernel = elementwise.kernelOf(u.cube, T, 1, .{}) },
            .{ .exponent = 0.5, .kernel = elementwise.kernelOf(u.sqrt, T, 1, .{}) },
            .{ .exponent = -0.5, .kernel = elementwise.kernelOf(u.rsqrt, T, 1, .{}) },
            .{ .exponent = -1, .kernel = elementwise.kernelOf(u.reciprocal, T, 1, .{}) },
            .{ .exponent = -2, .kernel = elementwise.kernelOf(u.inverseSquare, T, 1, .{}) },
            .{ .exponent = 1, .kernel = elementwise.kernelOf(u.same, T, 1, .{}) },
            .{ .exponent = 0, .kernel = elementwise.kernelOf(u.ones, T, 1, .{}) },
        };
        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(elementwise.State);
            for (special) |x| {
                if (x.exponent == call.scalar[0].f) return elementwise.execute(s, x.kernel, call);
            }
            elementwise.execute(s, s.kernel, call);
        }
    }.run;
}
