//! The functions behind the normal distribution, in the two precisions that it is drawn in.
//!
//! float32: the polynomials of Cephes (S. Moshier) in the arrangement, with the fused
//! multiply-adds, that PyTorch's AVX2 kernel gets from its compiler: `randn` gives its bits.
//! float64: PyTorch calls libm's log, sin and cos, which are right to about 0.52 ulp. These
//! carry the leading terms in two doubles, for about the same: results are equal, or now and
//! then one ulp apart.
const std = @import("std");
const simd = @import("simd.zig");
const fma = simd.fma;

// ------------------------------------------------------------------ float32

/// ln x for 0 < x < inf.
pub inline fn logF32(comptime N: comptime_int, argument: @Vector(N, f32)) @Vector(N, f32) {
    const F = @Vector(N, f32);
    const I = @Vector(N, i32);
    const s = struct {
        inline fn f(x: f32) F {
            return @splat(x);
        }
    }.f;
    const smallest_normal: F = s(@bitCast(@as(u32, 0x00800000)));
    const clamped = @select(f32, argument > smallest_normal, argument, smallest_normal);
    const bits: I = @bitCast(clamped);
    const half_bits: i32 = 0x3f000000;
    const mantissa: F = @bitCast((bits & @as(I, @splat(0x007fffff))) | @as(I, @splat(half_bits)));
    var e: F = @floatFromInt((bits >> @splat(23)) - @as(I, @splat(127)));
    e += s(1);
    const small = mantissa < s(0.707106781186547524);
    e -= @select(f32, small, s(1), s(0));
    var x = (mantissa - s(1)) + @select(f32, small, mantissa, s(0));
    const z = x * x;
    var y = s(7.0376836292e-2);
    inline for (.{
        -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    }) |c| y = fma(F, y, x, s(c));
    y = y * x;
    y = fma(F, y, z, e * s(-2.12194440e-4));
    y = fma(F, -z, s(0.5), y);
    x = x + y;
    return fma(F, e, s(0.693359375), x);
}

/// sin x and cos x for 0 <= x < 8192.
pub inline fn sincosF32(
    comptime N: comptime_int,
    argument: @Vector(N, f32),
) struct { @Vector(N, f32), @Vector(N, f32) } {
    const F = @Vector(N, f32);
    const I = @Vector(N, i32);
    const s = struct {
        inline fn f(x: f32) F {
            return @splat(x);
        }
    }.f;
    const i = struct {
        inline fn f(x: i32) I {
            return @splat(x);
        }
    }.f;
    const octant: I = (@as(I, @trunc(argument * s(1.27323954473516))) + i(1)) & i(~@as(i32, 1));
    var y: F = @floatFromInt(octant);
    const sin_sign = (octant & i(4)) << @splat(29);
    const cos_sign = (~(octant - i(2)) & i(4)) << @splat(29);
    const plain = (octant & i(2)) == i(0);
    var x = fma(F, y, s(-0.78515625), argument);
    x = fma(F, y, s(-2.4187564849853515625e-4), x);
    x = fma(F, y, s(-3.77489497744594108e-8), x);
    const z = x * x;
    y = s(2.443315711809948e-5);
    y = fma(F, y, z, s(-1.388731625493765e-3));
    y = fma(F, y, z, s(4.166664568298827e-2));
    y = y * z;
    y = fma(F, y, z, -(z * s(0.5)));
    y = y + s(1);
    var w = s(-1.9515295891e-4);
    w = fma(F, w, z, s(8.3321608736e-3));
    w = fma(F, w, z, s(-1.6666654611e-1));
    w = w * z;
    w = fma(F, w, x, x);
    const sine: I = @bitCast(@select(f32, plain, w, y));
    const cosine: I = @bitCast(@select(f32, plain, y, w));
    return .{ @bitCast(sine ^ sin_sign), @bitCast(cosine ^ cos_sign) };
}

// ------------------------------------------------------------------ float64

const lanes = 8;
const D = @Vector(lanes, f64);
const L = @Vector(lanes, i64);

inline fn d(x: f64) D {
    return @splat(x);
}
inline fn l(x: i64) L {
    return @splat(x);
}

/// ln x for positive normal x.
pub fn log(argument: D) D {
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1).
    const bits: L = @bitCast(argument);
    const e = (bits - l(0x3fe6a09e667f3bcd)) >> @splat(52);
    const m: D = @bitCast(bits - (e << @splat(52)));
    const exponent: D = @floatFromInt(e);
    const f = m - d(1);
    const g = m + d(1);
    const g_low = m - (g - d(1));
    const s = f / g;
    const s_low = (fma(D, -s, g, f) - s * g_low) / g;
    const z = s * s;
    var p = d(2.0 / 23.0);
    inline for (.{ 21, 19, 17, 15, 13, 11, 9, 7, 5, 3 }) |k| p = fma(D, p, z, d(2.0 / @as(f64, k)));
    const a = exponent * d(6.93147180369123816490e-01); // exact: 32 bits by 11
    const b = s + s;
    const high = a + b;
    const low = b - (high - a); // |a| > |b|, or a = 0
    const rest = fma(D, exponent, d(1.90821492927058770002e-10), fma(D, s * z, p, s_low + s_low));
    return high + (low + rest);
}

/// sin x and cos x for 0 <= x <= 2 pi.
pub fn sincos(argument: D) struct { D, D } {
    // x = k pi/2 + (r + r_low), pi/2 in three parts of which the first two times k are exact.
    const k = @trunc(fma(D, argument, d(2.0 / std.math.pi), d(0.5)));
    const t = argument - k * d(1.57079632673412561417);
    const w = k * d(6.07710050630396597660e-11);
    const u = t - w;
    const back = u - t;
    const u_low = (t - (u - back)) - (w + back);
    const v = fma(D, k, d(2.02226624879595063154e-21), -u_low);
    const r = u - v;
    const r_low = (u - r) - v;
    const z = r * r;
    const z_low = fma(D, r, r, -z);

    // sin = r + r^3 (-1/6 + z P(z))
    var p = d(-1.0 / 121645100408832000.0);
    inline for (.{
        1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0,
        -1.0 / 39916800.0,       1.0 / 362880.0,         -1.0 / 5040.0,
        1.0 / 120.0,
    }) |c| p = fma(D, p, z, d(c));
    const sixth = d(-1.0 / 6.0);
    const sixth_low = d(-9.25185853854297065662e-18);
    const h = z * sixth;
    const h_low = fma(D, z, sixth, -h) + (z_low * sixth + z * sixth_low) + (z * z) * p;
    const q = r * h;
    const q_low = fma(D, r, h, -q) + r * h_low;
    const half = z * d(0.5);
    const s_high = r + q;
    const s_rest = (q - (s_high - r)) + (q_low + r_low * (d(1) - half));
    const sine = s_high + s_rest;

    // cos = 1 - z/2 + z^2 C(z)
    var c = d(-1.0 / 6402373705728000.0);
    inline for (.{
        1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0,
        -1.0 / 3628800.0,       1.0 / 40320.0,        -1.0 / 720.0,
        1.0 / 24.0,
    }) |x| c = fma(D, c, z, d(x));
    const c_high = d(1) - half;
    const c_low = (d(1) - c_high) - half;
    const cosine = c_high + (c_low + ((z * z) * c - (z_low * d(0.5) + r * r_low)));

    const quadrant: L = @trunc(k);
    const swap = (quadrant & l(1)) != l(0);
    const sin_sign = (quadrant & l(2)) << @splat(62);
    const cos_sign = ((quadrant + l(1)) & l(2)) << @splat(62);
    const sin_bits: L = @bitCast(@select(f64, swap, cosine, sine));
    const cos_bits: L = @bitCast(@select(f64, swap, sine, cosine));
    return .{ @bitCast(sin_bits ^ sin_sign), @bitCast(cos_bits ^ cos_sign) };
}

/// e^x.
pub fn exp(argument: D) D {
    // x = k ln 2 + r; e^r by its series, 2^k in two factors (k may leave the exponent's range).
    const x = @min(@max(argument, d(-760)), d(720));
    const k = @floor(fma(D, x, d(1.44269504088896340736), d(0.5)));
    const r = fma(D, k, d(-6.93147180369123816490e-01), x);
    const t = k * d(1.90821492927058770002e-10);
    const y = r - t;
    const y_low = (r - y) - t;
    var p = d(1.0 / 6227020800.0);
    inline for (.{
        479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0,
    }) |n| p = fma(D, p, y, d(1.0 / n));
    const e = d(1) + (y + (y_low + (y * y) * p));
    const whole: L = @trunc(k);
    const first = whole >> @splat(1);
    const second = whole - first;
    const a: D = @bitCast((first + l(1023)) << @splat(52));
    const b: D = @bitCast((second + l(1023)) << @splat(52));
    return @select(f64, argument == argument, e * a * b, argument);
}

// ------------------------------------------------------------------ tests

fn ulps(a: f64, b: f64) u64 {
    const x: i64 = @bitCast(a);
    const y: i64 = @bitCast(b);
    return @abs(x - y);
}

test "log, sincos and exp against libm's" {
    var x: f64 = 0.5;
    var n: usize = 0;
    while (n < 4000) : (n += 1) {
        x = x * 3.9 * (1 - x); // the logistic map wanders over (0, 1)
        const u = x;
        const theta = x * 2 * std.math.pi;
        try std.testing.expect(ulps(log(@splat(u))[0], @log(u)) <= 1);
        const sc = sincos(@splat(theta));
        try std.testing.expect(ulps(sc[0][0], @sin(theta)) <= 1);
        try std.testing.expect(ulps(sc[1][0], @cos(theta)) <= 1);
        const y = (x - 0.5) * 60;
        try std.testing.expect(ulps(exp(@splat(y))[0], @exp(y)) <= 2);
    }
    try std.testing.expectEqual(0, log(@splat(1.0))[0]);
    try std.testing.expectEqual(-53 * std.math.ln2, log(@splat(0x1p-53))[0]);
    try std.testing.expect(std.math.isPositiveInf(exp(@splat(1000.0))[0]));
    try std.testing.expectEqual(0, exp(@splat(-1000.0))[0]);
}

test "the float32 pair is right to a few ulp" {
    var i: usize = 1;
    while (i < 4000) : (i += 1) {
        const u: f32 = @as(f32, @floatFromInt(i * 4093)) * 0x1p-24;
        const theta = u * 2 * std.math.pi;
        try std.testing.expectApproxEqAbs(@log(u), logF32(8, @splat(u))[0], 1.5e-6);
        const sc = sincosF32(8, @splat(theta));
        try std.testing.expectApproxEqAbs(@sin(theta), sc[0][0], 3e-7);
        try std.testing.expectApproxEqAbs(@cos(theta), sc[1][0], 3e-7);
    }
}
