//! Elementary and special functions over vectors: `f(V, x)` with `V` any @Vector(n, f32) or
//! @Vector(n, f64). A table of contents; the functions are in math/*.zig.
//!
//! No libm, no branch on data but for whole vectors (logarithms of what is no normal number,
//! arguments of sin beyond 2^15, of fmod with a huge quotient, negative ones of lgamma), and
//! the same bits on every CPU that has a fused multiply-add. Special cases (nan, infinities,
//! signed zeros) are C99's, or PyTorch's where C has no such function. The error given at a
//! function is the largest found by scripts/check_math.py, in units of the last place,
//! subnormal results included; without fma (x86-64 below v3) it may be one ulp more.
//!
//! float32 functions that nobody waits for (the inverse hyperbolic, erfinv, lgamma, digamma
//! ...) are their float64 functions, rounded; tan, fmod and hypot of float32 (and, beyond 2^15
//! or without fma, sin, cos and pow) compute in float64 with shorter polynomials.
const exponential = @import("math/exp.zig");
const logarithm = @import("math/log.zig");
const trig = @import("math/trig.zig");
const rounding = @import("math/round.zig");
const power = @import("math/power.zig");
const error_function = @import("math/erf.zig");
const gamma = @import("math/gamma.zig");

pub const exp = exponential.exp;
pub const exp2 = exponential.exp2;
pub const expm1 = exponential.expm1;
pub const sinh = exponential.sinh;
pub const cosh = exponential.cosh;
pub const tanh = exponential.tanh;
pub const sigmoid = exponential.sigmoid;
pub const silu = exponential.silu;

pub const log = logarithm.log;
pub const log2 = logarithm.log2;
pub const log10 = logarithm.log10;
pub const log1p = logarithm.log1p;
pub const softplus = logarithm.softplus;
pub const logSigmoid = logarithm.logSigmoid;
pub const logaddexp = logarithm.logaddexp;
pub const logaddexp2 = logarithm.logaddexp2;
pub const asinh = logarithm.asinh;
pub const acosh = logarithm.acosh;
pub const atanh = logarithm.atanh;

pub const sin = trig.sin;
pub const cos = trig.cos;
pub const sincos = trig.sincos;
pub const tan = trig.tan;
pub const asin = trig.asin;
pub const acos = trig.acos;
pub const atan = trig.atan;
pub const atan2 = trig.atan2;
pub const sinc = trig.sinc;

pub const floor = rounding.floor;
pub const ceil = rounding.ceil;
pub const trunc = rounding.trunc;
pub const roundEven = rounding.roundEven;
pub const frac = rounding.frac;
pub const fmod = rounding.fmod;
pub const remainder = rounding.remainder;

pub const pow = power.pow;
pub const hypot = power.hypot;

pub const erf = error_function.erf;
pub const erfc = error_function.erfc;
pub const erfinv = error_function.erfinv;
pub const ndtr = error_function.ndtr;
pub const gelu = error_function.gelu;
pub const geluHalf = error_function.geluHalf;
pub const geluSlope = error_function.geluSlope;
pub const geluTanh = error_function.geluTanh;

pub const lgamma = gamma.lgamma;
pub const digamma = gamma.digamma;
pub const trigamma = gamma.trigamma;
pub const besselI0 = gamma.besselI0;
pub const besselI0e = gamma.besselI0e;

/// The names of all functions of one and of two arguments, for tests that go over them.
pub const unary_names = [_][]const u8{
    "exp",   "exp2", "expm1",  "sinh",      "cosh",     "tanh",     "sigmoid",  "silu",
    "log",   "log2", "log10",  "log1p",     "asinh",    "acosh",    "atanh",    "softplus",
    "sin",   "cos",  "tan",    "asin",      "acos",     "atan",     "sinc",     "logSigmoid",
    "floor", "ceil", "trunc",  "roundEven", "frac",     "erf",      "erfc",     "erfinv",
    "ndtr",  "gelu", "lgamma", "digamma",   "geluTanh", "trigamma", "besselI0", "besselI0e",
};
pub const binary_names = [_][]const u8{
    "logaddexp", "logaddexp2", "atan2", "fmod", "remainder", "pow", "hypot",
};

test {
    _ = @import("math/test.zig");
}
