//! What the special functions are made of: vectors of float64, polynomials whose coefficients are
//! read in a loop (one copy of the code for all), and the choice between two formulas.
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const common = @import("../math/common.zig");

pub const lanes = simd.lanes(f64);
pub const V = simd.Vec(f64);
pub const Mask = @Vector(lanes, bool);
pub const any = common.any;

pub const inf = common.inf(V);
pub const nan = common.nan(V);
pub const one = c(1);
pub const zero = c(0);

pub inline fn c(comptime x: comptime_float) V {
    return @splat(x);
}
pub inline fn splat(x: f64) V {
    return @splat(x);
}
pub inline fn pick(condition: Mask, a: V, b: V) V {
    return @select(f64, condition, a, b);
}
pub inline fn fma(a: V, b: V, d: V) V {
    return simd.fma(V, a, b, d);
}
pub inline fn all(condition: Mask) bool {
    return @reduce(.And, condition);
}
pub inline fn finite(x: V) Mask {
    return @abs(x) < inf;
}

/// near(x) where the condition holds, far(x) elsewhere; what no lane asks for is not computed.
pub inline fn either(condition: Mask, x: V, comptime near: fn (V) V, comptime far: fn (V) V) V {
    if (!any(condition)) return far(x);
    const y = near(x);
    return if (all(condition)) y else pick(condition, y, far(x));
}

/// The polynomials with these coefficients (special_tables.zig, together), at x.
pub noinline fn two(x: V, rows: []const [2]f64) [2]V {
    return several(2, x, rows);
}
pub noinline fn four(x: V, rows: []const [4]f64) [4]V {
    return several(4, x, rows);
}
inline fn several(comptime k: usize, x: V, rows: []const [k]f64) [k]V {
    var sums: [k]V = undefined;
    inline for (&sums, rows[0]) |*sum, a| sum.* = splat(a);
    for (rows[1..]) |row| {
        inline for (&sums, row) |*sum, a| sum.* = fma(sum.*, x, splat(a));
    }
    return sums;
}
/// The quotient of two polynomials.
pub inline fn ratio(x: V, rows: []const [2]f64) V {
    const p = two(x, rows);
    return p[0] / p[1];
}
pub noinline fn polynomial(x: V, table: []const f64) V {
    var sum = splat(table[0]);
    for (table[1..]) |a| sum = fma(sum, x, splat(a));
    return sum;
}
// One copy of the code for all.
pub noinline fn exp(x: V) V {
    return math.exp(V, x);
}
pub noinline fn log(x: V) V {
    return math.log(V, x);
}
pub noinline fn log1p(x: V) V {
    return math.log1p(V, x);
}
pub noinline fn expm1(x: V) V {
    return math.expm1(V, x);
}
pub noinline fn pow(x: V, y: V) V {
    return math.pow(V, x, y);
}
pub const Both = struct { sin: V, cos: V };
pub noinline fn sincos(x: V) Both {
    const b = math.sincos(V, x);
    return .{ .sin = b.sin, .cos = b.cos };
}
