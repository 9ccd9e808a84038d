//! Rows of three inputs. Operands: out and the inputs, of one shape (broadcast by strides of
//! 0); any strides.
//!
//! - `where`: out, condition (bool or uint8), a, b: a where the condition holds, else b. Any
//!   dtypes. ints[0] = 1: a is scalar[0] (operands out, condition, b); 2: b is scalar[0]
//!   (operands out, condition, a); absent or 0: three tensors. The scalar is .f if the tensor
//!   or out is a float, else .i (for bool: 0 or 1). masked_fill(a, mask, value) is 1.
//! Scalars may stand in the plan: in its floats, or for integers in its ints after the first.
//! The following compute in float64 if an operand is float64, else in float32 if one is a
//! float, else in int64:
//! - `addcmul`: out, a, b, c: a + scalar[0] b c. Every dtype.
//! - `addcdiv`: out, a, b, c: a + scalar[0] b / c. Floats.
//! - `mul_add`: out, a, b, c: a b + c, fused. Every dtype.
//! - `lerp`: out, a, b, w: a + w (b - a), from the nearer end. Floats. ints[0] = 1: w is
//!   scalar[0] (operands out, a, b).
//! - `mul3`: out, a, b, c: scalar[0] a b c; `div_slope`: -a b / c^2. Floats.
//! - `maximum_backward`: out, g, a, b: g where a > b, g / 2 where they are equal, else 0. Floats.
//! - `prelu_backward`: out, g, x, w: g, or w g where x <= 0. Floats.
//! - `glu_backward`: out, g, a, b: the gradient of b in a sigmoid(b). Floats.
//! - `clamp_tensor`: out, x, low, high: min(max(x, low), high), nan wins. Every dtype.
//! - `clamp_mask`: out (bool), x, low, high: low <= x <= high. Every dtype.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const elementwise = @import("elementwise.zig");
const elementwise_row = @import("elementwise_row.zig");
const f = @import("ternary_formulas.zig");
const a = @import("activation_formulas.zig");
const convert = @import("convert.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const Row = elementwise_row.Row;
const of = elementwise_row.Rows(3);

pub const rows = [_]Row{
    .{ .name = "where", .n_in = 3 },
    halves(of.everySize("addcmul", f.addcmul, 1), f.addcmul, 1),
    of.cheap("addcdiv", f.addcdiv, 1),
    of.every("mul_add", f.mulAdd, 0),
    of.cheap("mul3", f.mul3, 1),
    of.cheap("div_slope", f.divSlope, 0),
    of.cheap("maximum_backward", f.maximumBackward, 0),
    of.cheap("prelu_backward", a.preluBackward, 0),
    of.costly("glu_backward", a.gluBackward, 0),
    of.withNumbers(halves(of.cheap("lerp", f.lerp, 0), f.lerp, 0), f.lerp),
    of.everySize("clamp_tensor", f.clamp, 0),
    of.predicate("clamp_mask", f.clampBackward),
};

/// `row` for bfloat16 and float16 without tiles of float32 between. Small CPUs go without.
fn halves(comptime row: Row, comptime function: anytype, comptime scalars: usize) Row {
    var r = of.withFloat16(row, function, scalars);
    if (simd.has_fma) r.half = elementwise.kernelOf(function, f32, 3, .{ .half = .bfloat16, .scalars = scalars, .together = 2 });
    return r;
}

pub const names: []const []const u8 = elementwise_row.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    const row = &rows[p.op];
    const form = if (p.ints.len == 0) 0 else p.ints[0];
    if (std.mem.eql(u8, row.name, "where")) return prepareWhere(p, form);
    const scalar_input: ?usize = switch (form) {
        0 => null,
        1 => if (std.mem.eql(u8, row.name, "lerp")) 2 else return error.Unsupported,
        else => return error.Unsupported,
    };
    return elementwise_row.prepare(p, row, scalar_input);
}

// ------------------------------------------------------------------ where

fn whereKernel(comptime T: type) elementwise.Kernel {
    return elementwise.kernelMixed(f.where, T, .{ u8, T, T }, 3, .{ .light = true });
}

fn prepareWhere(p: *Plan, form: i64) plan.PrepareError!void {
    if (form < 0 or form > 2 or p.n_out != 1) return error.Unsupported;
    if (p.operands.len != @as(usize, if (form == 0) 4 else 3)) return error.Unsupported;
    if (p.operands[1].dtype.size() != 1) return error.Unsupported;
    const out = p.operands[0].dtype;
    var one_dtype = true;
    var tile: convert.Tile = elementwise_row.computeTile(p.operands[0..1], true);
    for (p.operands[2..]) |o| {
        one_dtype = one_dtype and o.dtype == out;
        const other = elementwise_row.computeTile(&.{o}, true);
        if (other == .f64 or tile == .f64) tile = .f64 else if (other == .f32) tile = .f32;
    }
    // Of one dtype: bytes are moved, whatever they mean.
    if (one_dtype) tile = convert.Tile.raw(out.size());
    const spec: elementwise.Spec = .{
        .kernel = switch (tile.size()) {
            1 => whereKernel(u8),
            2 => whereKernel(u16),
            4 => whereKernel(u32),
            else => whereKernel(u64),
        },
        .out = tile,
        .in = .{ .raw1, tile, tile },
        .n_in = 3,
        .scalar_input = switch (form) {
            0 => null,
            1 => 1,
            else => 2,
        },
    };
    try elementwise.prepare(p, spec);
    if (form != 0 and one_dtype) p.run = runWhereRaw;
}

/// The scalar becomes the bytes of an element first.
fn runWhereRaw(p: *const Plan, call: *Call) void {
    const out = p.operands[0].dtype;
    var inner: Call = .{ .ptr = call.ptr };
    const x: plan.Scalar = if (p.floats.len > 0)
        .{ .f = p.floats[0] }
    else if (p.ints.len > 1) .{ .i = p.ints[1] } else call.scalar[0];
    inner.scalar[0] = .{ .i = convert.bitsOf(out, x, !out.isFloat()) };
    elementwise.run(p, &inner);
}
