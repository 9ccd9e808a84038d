//! Rows of two inputs. Operands: out, a, b, of one shape (broadcast by strides of 0), any
//! strides, any dtypes.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const elementwise = @import("elementwise.zig");
const f = @import("binary_formulas.zig");
const Plan = plan.Plan;
const Row = elementwise.Row;

pub const rows = [_]Row{
    elementwise.anyRow("add", f.add, 2, 0),
    elementwise.anyRow("sub", f.sub, 2, 0),
    elementwise.anyRow("mul", f.mul, 2, 0),
    elementwise.floatRow("div", f.div, 2, 0),
    mixed("floor_divide", f.floorDivide, f.floorDivideInt, true),
    mixed("trunc_divide", f.truncDivide, f.truncDivideInt, true),
    mixed("remainder", f.remainder, f.remainderInt, true),
    mixed("fmod", f.fmod, f.fmodInt, true),
    elementwise.anyRow("maximum", simd.maxNan, 2, 0),
    elementwise.anyRow("minimum", simd.minNan, 2, 0),
    elementwise.anyRow("fmax", f.fmax, 2, 0),
    elementwise.anyRow("fmin", f.fmin, 2, 0),
    elementwise.floatRow("copysign", f.copysign, 2, 0),
    elementwise.floatRow("nextafter", f.nextafter, 2, 0),
    elementwise.anyRow("heaviside", f.heaviside, 2, 0),
    bitwise("bitwise_and", f.bitwiseAnd),
    bitwise("bitwise_or", f.bitwiseOr),
    bitwise("bitwise_xor", f.bitwiseXor),
    elementwise.intRow("bitwise_left_shift", f.leftShift, 2, 0),
    elementwise.intRow("bitwise_right_shift", f.rightShift, 2, 0),
    elementwise.intRow("gcd", f.gcd, 2, 0),
    elementwise.intRow("lcm", f.lcm, 2, 0),
    elementwise.predicateRow("eq", f.eq, 2),
    elementwise.predicateRow("ne", f.ne, 2),
    elementwise.predicateRow("lt", f.lt, 2),
    elementwise.predicateRow("le", f.le, 2),
    elementwise.predicateRow("gt", f.gt, 2),
    elementwise.predicateRow("ge", f.ge, 2),
    elementwise.predicateRow("logical_and", f.logicalAnd, 2),
    elementwise.predicateRow("logical_or", f.logicalOr, 2),
    elementwise.predicateRow("logical_xor", f.logicalXor, 2),
    elementwise.anyRow("add_scaled", f.addScaled, 2, 1),
};

pub const names: []const []const u8 = elementwise.namesOf(&rows);
pub const family: plan.Family = .{ .prepare = prepare };

fn bitwise(name: []const u8, comptime function: anytype) Row {
    var r = elementwise.intRow(name, function, 2, 0);
    r.u8 = elementwise.kernelOf(function, u8, 2, .{});
    return r;
}

/// Floats by one function, integers by another, which may fail.
fn mixed(name: []const u8, comptime float: anytype, comptime int: anytype, comptime with_call: bool) Row {
    var r = elementwise.floatRow(name, float, 2, 0);
    r.i64 = elementwise.kernelOf(int, i64, 2, .{ .with_call = with_call });
    r.i32 = elementwise.kernelOf(int, i32, 2, .{ .with_call = with_call });
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
    return elementwise.prepareRow(p, row, scalar_input);
}
