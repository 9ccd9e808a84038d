//! The special functions beside integrals and plain loops over one number.
const std = @import("std");
const common = @import("special_common.zig");
const bessel = @import("special_bessel.zig");
const gamma = @import("special_gamma.zig");
const normal = @import("special_normal.zig");
const polynomials = @import("special_polynomials.zig");
const special = @import("special.zig");
const math = @import("../math.zig");
const testing = @import("elementwise_testing.zig");
const V = common.V;
const pi = std.math.pi;

/// (1 / pi) times the integral of f(x, t) over [0, pi] by the trapezoidal rule, which is exact to the last
/// digits for periodic functions.
fn mean(x: f64, comptime f: fn (f64, f64) f64) f64 {
    const n = 400;
    var sum = 0.5 * (f(x, 0) + f(x, pi));
    for (1..n) |i| sum += f(x, pi * @as(f64, @floatFromInt(i)) / n);
    return sum / n;
}
/// The integral of f(x, t) from 0 to infinity, for an f that falls doubly exponentially.
fn tail(x: f64, comptime f: fn (f64, f64) f64) f64 {
    var sum = 0.5 * f(x, 0);
    var t: f64 = 0;
    while (t < 20) {
        t += 1.0 / 32.0;
        sum += f(x, t);
    }
    return sum / 32.0;
}

const reference = struct {
    fn j0(x: f64, t: f64) f64 {
        return @cos(x * @sin(t));
    }
    fn j1(x: f64, t: f64) f64 {
        return @cos(t - x * @sin(t));
    }
    fn besselI1(x: f64, t: f64) f64 {
        return @exp(x * @cos(t)) * @cos(t);
    }
    fn k0(x: f64, t: f64) f64 {
        return @exp(-x * std.math.cosh(t));
    }
    fn k1(x: f64, t: f64) f64 {
        return k0(x, t) * std.math.cosh(t);
    }
};

fn expectNear(expected: f64, v: V, tolerance: f64) !void {
    const found: [common.lanes]f64 = v;
    for (found) |y| {
        errdefer std.debug.print("{d}, not {d}\n", .{ y, expected });
        try std.testing.expect(@abs(y - expected) <= tolerance);
    }
}

test "Bessel functions are their integrals" {
    var x: f64 = 0.25;
    while (x < 40) : (x += 0.75) {
        const v = common.splat(x);
        try expectNear(mean(x, reference.j0), bessel.j0(v), 1e-14);
        try expectNear(mean(x, reference.j1), bessel.j1(v), 1e-14);
        const first = mean(x, reference.besselI1);
        try expectNear(first, bessel.besselI1(false, v), 1e-14 * first);
        const zeroth = tail(x, reference.k0);
        try expectNear(zeroth, bessel.k0(v), 3e-14 * zeroth);
        const second = tail(x, reference.k1);
        try expectNear(second, bessel.k1(v), 3e-14 * second);
        // DLMF 10.5.2
        const wronskian = bessel.j1(v) * bessel.y0(v) - bessel.j0(v) * bessel.y1(v);
        try expectNear(2 / (pi * x), wronskian, 2e-15 / x + 1e-15);
    }
}

test "ndtri and erfcx beside ndtr and erfc" {
    var x: f64 = -7;
    while (x < 7) : (x += 0.37) {
        const v = common.splat(x);
        if (x < 5) try expectNear(x, normal.ndtri(math.ndtr(V, v)), 1e-8);
        if (x > -5) {
            const y = @exp(x * x) * math.erfc(V, v)[0];
            try expectNear(y, normal.erfcx(v), 1e-13 * y);
        }
        const y = @log(math.ndtr(V, v)[0]);
        try expectNear(y, normal.logNdtr(v), 1e-14 * @abs(y) + 1e-15);
    }
}

test "incomplete gamma functions of whole a, and zeta, are sums" {
    for (1..24) |a| {
        var x: f64 = 0.125;
        while (x < 60) : (x *= 1.7) {
            var term = @exp(-x);
            var sum = term;
            for (1..a) |k| {
                term *= x / @as(f64, @floatFromInt(k));
                sum += term;
            }
            const v = common.splat(@floatFromInt(a));
            try expectNear(sum, gamma.upperIncomplete(false, v, common.splat(x)), 4e-14 * sum);
            try expectNear(1 - sum, gamma.lowerIncomplete(false, v, common.splat(x)), 1e-13);
        }
    }
    var q: f64 = 0.3;
    while (q < 30) : (q *= 1.4) {
        var sum: f64 = 0;
        for (0..4000) |i| sum += std.math.pow(f64, q + @as(f64, @floatFromInt(3999 - i)), -9);
        try expectNear(sum, gamma.zeta(false, common.splat(9), common.splat(q)), 1e-14 * sum);
    }
}

test "lanes of different degrees are the recurrence" {
    for (std.enums.values(polynomials.Kind)) |kind| {
        var x: f64 = -1.3;
        while (x < 1.4) : (x += 0.21) {
            var n: V = undefined;
            inline for (0..common.lanes) |i| n[i] = @floatFromInt(i);
            const found: [common.lanes]f64 = polynomials.polynomial(kind, common.splat(x), n);
            var before: f64 = 1;
            var last: f64 = switch (kind) {
                .t, .legendre, .hermite_e => x,
                .u, .hermite => 2 * x,
                .v => 2 * x - 1,
                .w => 2 * x + 1,
                .laguerre => 1 - x,
            };
            try std.testing.expectEqual(1, found[0]);
            for (found[1..], 1..) |y, i| {
                try std.testing.expect(@abs(y - last) <= 1e-12 * @max(1, @abs(last)));
                const k: f64 = @floatFromInt(i);
                const next = switch (kind) {
                    .t, .u, .v, .w => 2 * x * last - before,
                    .hermite => 2 * x * last - 2 * k * before,
                    .hermite_e => x * last - k * before,
                    .laguerre => ((2 * k + 1 - x) * last - k * before) / (k + 1),
                    .legendre => ((2 * k + 1) * x * last - k * before) / (k + 1),
                };
                before = last;
                last = next;
            }
        }
    }
}

test "rows take every dtype and a number in either place" {
    const Tensor = testing.Tensor;
    for ([_]@import("../dtype.zig").DType{ .float64, .float32, .bfloat16 }) |d| {
        var x: Tensor = try .init(d, &.{ 3, 5 }, .gaps);
        defer x.deinit();
        var out: Tensor = try .init(d, &.{ 3, 5 }, .contiguous);
        defer out.deinit();
        try std.testing.expectEqual(.ok, try testing.call(special, "i1e", &.{ &out, &x }, .{}));
        const number: testing.Parameters = .{ .ints = &.{1}, .scalars = &.{testing.float(3)} };
        var cubes: Tensor = try .init(.float64, &.{ 3, 5 }, .contiguous);
        defer cubes.deinit();
        try std.testing.expectEqual(.ok, try testing.call(special, "hermite_polynomial_he", &.{ &cubes, &x }, number));
        for (0..15) |i| {
            const v = x.get(i);
            const e = bessel.besselI1e(false, common.splat(v))[0];
            try std.testing.expect(@abs(out.get(i) - e) <= 4e-3 * @abs(e));
            try std.testing.expectEqual(v * v * v - 3 * v, cubes.get(i));
        }
        const degree: testing.Parameters = .{ .ints = &.{2}, .scalars = &.{testing.float(0.5)} };
        try std.testing.expectEqual(.ok, try testing.call(special, "chebyshev_polynomial_t", &.{ &cubes, &x }, degree));
        for (0..15) |i| {
            try std.testing.expect(@abs(cubes.get(i) - @cos(x.get(i) * std.math.acos(@as(f64, 0.5)))) <= 1e-12);
        }
    }
}
