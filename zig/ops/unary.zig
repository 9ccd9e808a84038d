//! Rows of one input. Operands: out, x, of one shape, any strides, any dtypes.
const std = @import("std");
const plan = @import("../plan.zig");
const elementwise = @import("elementwise.zig");
const f = @import("unary_formulas.zig");
const Plan = plan.Plan;
const Row = elementwise.Row;

pub const rows = [_]Row{
    // every dtype
    elementwise.anyRow("neg", f.neg, 1, 0),
    elementwise.anyRow("abs", f.abs, 1, 0),
    elementwise.anyRow("sign", f.sign, 1, 0),
    elementwise.anyRow("square", f.square, 1, 0),
    elementwise.anyRow("relu", f.relu, 1, 0),
    elementwise.anyRow("clamp", f.clamp, 1, 2),
    elementwise.anyRow("clamp_min", f.clampMin, 1, 1),
    elementwise.anyRow("clamp_max", f.clampMax, 1, 1),
    bitwise_not,
    // floats
    cheapFloat("sqrt", f.sqrt, 0),
    cheapFloat("rsqrt", f.rsqrt, 0),
    cheapFloat("reciprocal", f.reciprocal, 0),
    cheapFloat("floor", f.floor, 0),
    cheapFloat("ceil", f.ceil, 0),
    cheapFloat("trunc", f.trunc, 0),
    cheapFloat("round", f.round, 0),
    cheapFloat("frac", f.frac, 0),
    // bool from every dtype
    elementwise.predicateRow("logical_not", f.logicalNot, 1),
    elementwise.predicateRow("isnan", f.isnan, 1),
    elementwise.predicateRow("isinf", f.isinf, 1),
    elementwise.predicateRow("isfinite", f.isfinite, 1),
    elementwise.predicateRow("isposinf", f.isposinf, 1),
    elementwise.predicateRow("isneginf", f.isneginf, 1),
    elementwise.predicateRow("signbit", f.signbit, 1),
};

pub const names: []const []const u8 = elementwise.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

fn cheapFloat(name: []const u8, comptime function: anytype, comptime scalars: usize) Row {
    var r = elementwise.floatRow(name, function, 1, scalars);
    r.grain = elementwise.cheap;
    return r;
}

const bitwise_not: Row = blk: {
    var r = elementwise.intRow("bitwise_not", f.bitwiseNot, 1, 0);
    r.u8 = elementwise.kernelOf(f.bitwiseNot, u8, 1, .{});
    break :blk r;
};
const bool_not = elementwise.kernelOf(f.logicalNot, u8, 1, .{});

fn prepare(p: *Plan) plan.PrepareError!void {
    const row = &rows[p.op];
    var spec = try elementwise.specOf(p, row, null);
    if (p.operands[1].dtype == .bool and std.mem.eql(u8, row.name, "bitwise_not")) spec.kernel = bool_not;
    return elementwise.prepare(p, spec);
}
