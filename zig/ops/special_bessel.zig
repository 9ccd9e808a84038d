//! Bessel, modified Bessel and Airy functions: Cephes' rational approximations and Chebyshev series.
//!
//! Errors are a few ulps of the value, of the oscillating functions' amplitude (plus the rounding of
//! the phase, 1e-16 x). PyTorch 2.13 evaluates some of the polynomials without their leading
//! coefficient, and so is off by up to 3e-7 in J and Y around x = 5 and 2e-6 in Ai around -2.2;
//! these here are not.
const std = @import("std");
const common = @import("special_common.zig");
const tables = @import("special_tables.zig");
const math_common = @import("../math/common.zig");
const V = common.V;
const any = common.any;
const c = common.c;
const either = common.either;
const exp = common.exp;
const inf = common.inf;
const log = common.log;
const nan = common.nan;
const one = common.one;
const pick = common.pick;
const polynomial = common.polynomial;
const ratio = common.ratio;
const zero = common.zero;

const two_over_pi = 2.0 / std.math.pi;

// ------------------------------------------------------------------ J and Y

const Kind = enum { first, second };

/// sqrt(2 / (pi x)) (P cos - Q sin) or (P sin + Q cos), x > 5 (Hankel's expansion, DLMF 10.17).
noinline fn hankel(x: V, order: u1, kind: Kind) V {
    const inverse = c(5) / x;
    const p = common.four(inverse * inverse, if (order == 0) tables.hankel0 else tables.hankel1);
    const phase: f64 = if (order == 0) 0.25 * std.math.pi else 0.75 * std.math.pi;
    const t = common.sincos(x - common.splat(phase));
    const over_p = p[0] * p[3];
    const over_q = p[2] * p[1] * inverse;
    const sum = if (kind == .first) over_p * t.cos - over_q * t.sin else over_p * t.sin + over_q * t.cos;
    return sum * @sqrt(inverse * c(two_over_pi / 5.0)) / (p[1] * p[3]);
}
fn Far(comptime order: u1, comptime kind: Kind) type {
    return struct {
        fn at(x: V) V {
            return hankel(x, order, kind);
        }
    };
}

noinline fn j0Near(x: V) V {
    const z = x * x;
    const zeros = (z - c(5.78318596294678452118)) * (z - c(30.4712623436620863991));
    const y = zeros * ratio(z, tables.j0_near);
    return pick(x < c(1e-5), one - z * c(0.25), y);
}
noinline fn j1Near(x: V) V {
    const z = x * x;
    const zeros = (z - c(14.6819706421238932572)) * (z - c(49.2184563216946036703));
    return ratio(z, tables.j1_near) * x * zeros;
}
fn y0Near(x: V) V {
    return ratio(x * x, tables.y0_near) + c(two_over_pi) * log(x) * j0Near(x);
}
fn y1Near(x: V) V {
    return x * ratio(x * x, tables.y1_near) + c(two_over_pi) * (j1Near(x) * log(x) - one / x);
}

pub fn j0(x: V) V {
    const size = @abs(x);
    return either(size <= c(5), size, j0Near, Far(0, .first).at);
}
pub fn j1(x: V) V {
    const size = @abs(x);
    return math_common.flipSign(V, either(size <= c(5), size, j1Near, Far(1, .first).at), x);
}
pub fn y0(x: V) V {
    return ofTheRight(x, either(x <= c(5), x, y0Near, Far(0, .second).at), -inf);
}
pub fn y1(x: V) V {
    return ofTheRight(x, either(x <= c(5), x, y1Near, Far(1, .second).at), -inf);
}
/// y for x > 0, nan below.
inline fn ofTheRight(x: V, y: V, at_zero: V) V {
    return pick(x == zero, at_zero, pick(x < zero, nan, y));
}

// ------------------------------------------------------------------ I and K

/// exp(-|x|) i1(x). single: for results of float32.
fn Scaled(comptime single: bool) type {
    return struct {
        fn near(x: V) V {
            return polynomial(x * c(0.25) - one, tables.i1e_near) * x;
        }
        fn far(x: V) V {
            const inverse = c(16) / x;
            return polynomial(inverse - one, tables.i1e_far) * (@sqrt(inverse) * c(0.25));
        }
        noinline fn at(x: V) V {
            const size = @abs(x);
            const y = if (single) shorter(size) else either(size <= c(8), size, near, far);
            return pick(x < zero, -y, y);
        }
        /// Short enough that the calls would take as long.
        inline fn shorter(x: V) V {
            const away = x > c(8);
            var y = zero;
            if (!common.all(away)) y = common.unrolled(x * c(0.25) - one, tables.i1e_near_single) * x;
            if (any(away)) {
                const inverse = c(16) / x;
                y = pick(away, common.unrolled(inverse - one, tables.i1e_far_single) * (@sqrt(inverse) * c(0.25)), y);
            }
            return y;
        }
    };
}
pub fn besselI1e(comptime single: bool, x: V) V {
    return Scaled(single).at(x);
}
pub fn besselI1(comptime single: bool, x: V) V {
    return exp(@abs(x)) * Scaled(single).at(x);
}

noinline fn k0Near(x: V) V {
    const half = x * c(0.5);
    return polynomial(x * x * c(0.5) - one, tables.k0_near) - log(half) * polynomial(half * half, tables.i0_small);
}
noinline fn k1Near(x: V) V {
    const half = x * c(0.5);
    return log(half) * (half * polynomial(half * half, tables.i1_small)) + polynomial(x * x * c(0.5) - one, tables.k1_near) / x;
}
noinline fn k0eFar(x: V) V {
    const inverse = c(4) / x;
    return polynomial(inverse - one, tables.k0_far) * (@sqrt(inverse) * c(0.5));
}
noinline fn k1eFar(x: V) V {
    const inverse = c(4) / x;
    return polynomial(inverse - one, tables.k1_far) * (@sqrt(inverse) * c(0.5));
}
/// K of the forms above; scaled: e^x times it.
fn Modified(comptime near: fn (V) V, comptime scaled_far: fn (V) V, comptime scaled: bool) type {
    return struct {
        fn below(x: V) V {
            return if (scaled) near(x) * exp(x) else near(x);
        }
        fn above(x: V) V {
            return if (scaled) scaled_far(x) else exp(-x) * scaled_far(x);
        }
        pub fn at(x: V) V {
            return ofTheRight(x, either(x <= c(2), x, below, above), inf);
        }
    };
}
pub const k0 = Modified(k0Near, k0eFar, false).at;
pub const k1 = Modified(k1Near, k1eFar, false).at;
pub const k0e = Modified(k0Near, k0eFar, true).at;
pub const k1e = Modified(k1Near, k1eFar, true).at;

// ------------------------------------------------------------------ others

/// sin(x) / x; 0 at infinity.
pub fn sphericalJ0(x: V) V {
    const y = pick(@abs(x) < c(0.5), polynomial(x * x, tables.sinc_small), common.sincos(x).sin / x);
    return pick(@abs(x) == inf, zero, y);
}

/// Maclaurin's series around 0, asymptotic forms beyond +-2.09 (DLMF 9.4, 9.7). nan at infinity,
/// as in PyTorch.
pub fn airy(x: V) V {
    const right = x >= c(2.09);
    const y = either(@abs(x) < c(2.09), x, airyMiddle, airyFar);
    return pick(@abs(x) == inf, nan, pick(right & (x > c(103.892)), zero, y));
}
fn airyMiddle(x: V) V {
    const p = common.two(x * x * x, tables.airy_middle);
    return c(0.355028053887817239260) * p[0] - c(0.258819403792806798405) * (x * p[1]);
}
fn airyFar(x: V) V {
    return either(x > zero, x, airyRight, airyLeft);
}
const per_root_pi = 0.564189583547756286948079451560772586;
fn airyRight(x: V) V {
    const root = @sqrt(x);
    const zeta = x * root * c(2.0 / 3.0);
    return c(0.5 * per_root_pi) * ratio(one / zeta, tables.airy_right) / (@sqrt(root) * exp(zeta));
}
fn airyLeft(x: V) V {
    const size = @abs(x);
    const root = @sqrt(size);
    const zeta = size * root * c(2.0 / 3.0);
    const w = one / zeta;
    const z = w * w;
    const p = common.four(z, tables.airy_left);
    const t = common.sincos(zeta + c(0.25 * std.math.pi));
    const sum = t.sin * (one + z * p[0] / p[1]) - t.cos * (w * p[2] / p[3]);
    return c(per_root_pi) * sum / @sqrt(root);
}
