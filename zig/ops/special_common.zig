//! What the special functions are made of: vectors of float64, polynomials whose coefficients are
//! read in a loop (one copy of the code for all), and the choice between two formulas.
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const common = @import("../math/common.zig");
const exponential = @import("../math/exp.zig");

pub const lanes = simd.lanes(f64);
pub const V = simd.Vec(f64);
pub const Mask = @Vector(lanes, bool);
pub const any = common.any;
/// Which elements are best computed together: 0 to 3.
pub const Kinds = @Vector(lanes, u8);

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

/// Four polynomials (special_tables.zig), each instruction independent of seven others: what waits for
/// the one before has half a dozen cycles.
pub noinline fn four(x: V, rows: []const [4]f64) [4]V {
    var sums: [4]V = undefined;
    inline for (&sums, rows[0]) |*sum, a| sum.* = splat(a);
    for (rows[1..]) |row| {
        inline for (&sums, row) |*sum, a| sum.* = fma(sum.*, x, splat(a));
    }
    return sums;
}
/// Two polynomials, of `quotient`.
pub inline fn two(x: V, rows: []const [4]f64) [2]V {
    const p = four(x * x, rows);
    return .{ fma(p[0], x, p[1]), fma(p[2], x, p[3]) };
}
pub inline fn ratio(x: V, rows: []const [4]f64) V {
    const p = two(x, rows);
    return p[0] / p[1];
}
/// One polynomial, of `single`.
pub noinline fn polynomial(x: V, rows: []const [4]f64) V {
    const z = x * x;
    const p = four(z * z, rows);
    return fma(fma(p[0], x, p[1]), z, fma(p[2], x, p[3]));
}
/// The same without a loop, but on old CPUs.
pub inline fn unrolled(x: V, comptime rows: []const [4]f64) V {
    if (!simd.has_fma) return polynomial(x, rows);
    const z = x * x;
    const w = z * z;
    var p: [4]V = undefined;
    inline for (&p, 0..) |*sum, k| {
        sum.* = c(rows[0][k]);
        inline for (rows[1..]) |row| sum.* = fma(sum.*, w, c(row[k]));
    }
    return fma(fma(p[0], x, p[1]), z, fma(p[2], x, p[3]));
}

// One copy of the code for all.
pub noinline fn exp(x: V) V {
    return math.exp(V, x);
}
/// exp(factor x^2), for factors that are powers of two or minus them.
pub noinline fn expSquare(x: V, factor: f64) V {
    const square = common.twoSquare(V, x);
    const high = square.high * splat(factor);
    const far = @abs(high) > c(800);
    const e = exponential.expPairParts(V, .{
        .high = pick(far, common.copysign(V, c(800), high), high),
        .low = pick(far, zero, square.low * splat(factor)),
    });
    return common.scale(V, e.p, e.k);
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
