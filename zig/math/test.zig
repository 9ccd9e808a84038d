//! Sanity, boundary and special values of math.zig. The numbers are mpmath's (or C99's and
//! PyTorch's, at special values); scripts/check_math.py checks millions.
const std = @import("std");
const simd = @import("../simd.zig");
const math = @import("../math.zig");

const inf = std.math.inf(f64);
const nan = std.math.nan(f64);

/// The function, x, y = f(x). All x are float32 numbers.
const Unary = struct { []const u8, f64, f64 };
const Binary = struct { []const u8, f64, f64, f64 };

const unary = [_]Unary{
    .{ "exp", -103.5, 1.1233656060805691e-45 },
    .{ "exp", -87.75, 7.774262721620897e-39 },
    .{ "exp", -1.25, 0.2865047968601901 },
    .{ "exp", 0.3125, 1.3668379411737963 },
    .{ "exp", 1.0, 2.718281828459045 },
    .{ "exp", 88.5, 2.7230878250681117e+38 },
    .{ "exp2", -149.0, 1.401298464324817e-45 },
    .{ "exp2", -126.5, 8.31200026712918e-39 },
    .{ "exp2", -0.5, 0.7071067811865476 },
    .{ "exp2", 0.5, 1.4142135623730951 },
    .{ "exp2", 10.0, 1024.0 },
    .{ "exp2", 127.5, 2.4061596916800453e+38 },
    .{ "expm1", -17.0, -0.9999999586006229 },
    .{ "expm1", -0.375, -0.3127107212090278 },
    .{ "expm1", 0.0009765625, 0.0009770394924165351 },
    .{ "expm1", 0.5, 0.6487212707001282 },
    .{ "expm1", 80.0, 5.54062238439351e+34 },
    .{ "sinh", -80.0, -2.770311192196755e+34 },
    .{ "sinh", -1.5, -2.1292794550948173 },
    .{ "sinh", 0.25, 0.2526123168081683 },
    .{ "sinh", 0.9375, 1.0809919156930639 },
    .{ "sinh", 89.25, 2.882388485453482e+38 },
    .{ "cosh", -89.25, 2.882388485453482e+38 },
    .{ "cosh", 0.25, 1.0314130998795732 },
    .{ "cosh", 1.5, 2.352409615243247 },
    .{ "cosh", 40.0, 1.1769263341851e+17 },
    .{ "tanh", -9.0, -0.999999969540041 },
    .{ "tanh", -0.5625, -0.5098299737352566 },
    .{ "tanh", 0.5, 0.46211715726000974 },
    .{ "tanh", 0.546875, 0.49817442622945507 },
    .{ "tanh", 3.0, 0.9950547536867305 },
    .{ "sigmoid", -100.0, 3.720075976020836e-44 },
    .{ "sigmoid", -2.75, 0.06008665017400762 },
    .{ "sigmoid", 0.5, 0.6224593312018546 },
    .{ "sigmoid", 16.0, 0.9999998874648379 },
    .{ "silu", -100.0, -3.720075976020836e-42 },
    .{ "silu", -2.75, -0.16523828797852097 },
    .{ "silu", 0.5, 0.3112296656009273 },
    .{ "silu", 16.0, 15.999998199437407 },
    .{ "log", 1.401298464324817e-45, -103.27892990343184 },
    .{ "log", 0.5, -0.6931471805599453 },
    .{ "log", 0.984375, -0.015748356968139168 },
    .{ "log", 1.015625, 0.015504186535965254 },
    .{ "log", 3.0, 1.0986122886681098 },
    .{ "log", 3.0000000054977558e+38, 88.59684582427442 },
    .{ "log2", 9.99994610111476e-41, -132.8771315714809 },
    .{ "log2", 0.75, -0.4150374992788438 },
    .{ "log2", 1.015625, 0.02236781302845451 },
    .{ "log2", 3.0, 1.584962500721156 },
    .{ "log2", 1.0000000150474662e+30, 99.65784286832978 },
    .{ "log10", 9.99994610111476e-41, -40.00000234080515 },
    .{ "log10", 0.75, -0.12493873660829995 },
    .{ "log10", 1.015625, 0.006733382658968403 },
    .{ "log10", 3.0, 0.47712125471966244 },
    .{ "log10", 1.0000000150474662e+30, 30.000000006535032 },
    .{ "log1p", -0.96875, -3.4657359027997265 },
    .{ "log1p", -0.0009765625, -0.0009770396478266127 },
    .{ "log1p", 0.0009765625, 0.0009760859730554589 },
    .{ "log1p", 0.40625, 0.3409265869705932 },
    .{ "log1p", 0.4375, 0.3629054936893685 },
    .{ "log1p", 10000000000.0, 23.025850930040455 },
    .{ "softplus", -100.0, 3.720075976020836e-44 },
    .{ "softplus", -1.5, 0.2014132779827524 },
    .{ "softplus", 0.25, 0.8259394198788436 },
    .{ "softplus", 20.0, 20.000000002061153 },
    .{ "logSigmoid", -20.0, -20.000000002061153 },
    .{ "logSigmoid", -1.5, -1.7014132779827524 },
    .{ "logSigmoid", 0.25, -0.5759394198788436 },
    .{ "logSigmoid", 100.0, -3.720075976020836e-44 },
    .{ "asinh", -10000000000.0, -23.7189981105004 },
    .{ "asinh", -0.5, -0.48121182505960347 },
    .{ "asinh", 0.0009765625, 0.0009765623447796375 },
    .{ "asinh", 3.0, 1.8184464592320668 },
    .{ "acosh", 1.0009765625, 0.044190578083110096 },
    .{ "acosh", 1.5, 0.9624236501192069 },
    .{ "acosh", 1.0000000200408773e+20, 46.744849060481734 },
    .{ "atanh", -0.96875, -2.0715673631957663 },
    .{ "atanh", 0.0009765625, 0.000976562810441036 },
    .{ "atanh", 0.5, 0.5493061443340549 },
    .{ "sin", -3.140625, -0.0009676534387822795 },
    .{ "sin", 0.5, 0.479425538604203 },
    .{ "sin", 22.0, -0.008851309290403876 },
    .{ "sin", 1048576.0, 0.3304931400217347 },
    .{ "sin", 1048577.0, 0.9727535843134413 },
    .{ "sin", 1.0000000150474662e+30, -0.7911634385219837 },
    .{ "sin", 3.0000000054977558e+38, 0.8749048877644344 },
    .{ "cos", 1.5703125, 0.0004838267760202487 },
    .{ "cos", 0.5, 0.8775825618903728 },
    .{ "cos", 11.0, 0.004425697988050785 },
    .{ "cos", 1048576.0, 0.943808393901312 },
    .{ "cos", 1048577.0, 0.23184146351624124 },
    .{ "cos", 1.0000000150474662e+30, -0.6116047854178966 },
    .{ "cos", 3.0000000054977558e+38, -0.4842947835419069 },
    .{ "tan", 1.5703125, 2066.8551897466036 },
    .{ "tan", 0.5, 0.5463024898437905 },
    .{ "tan", 11.0, -225.95084645419513 },
    .{ "tan", 1048577.0, 4.195770547511648 },
    .{ "tan", 1.0000000150474662e+30, 1.2935860826880194 },
    .{ "asin", -0.984375, -1.3937886405068658 },
    .{ "asin", 0.484375, 0.5056486266513965 },
    .{ "asin", 0.515625, 0.541736935498202 },
    .{ "asin", 0.0009765625, 0.0009765626552204957 },
    .{ "acos", -0.984375, 2.964584967301762 },
    .{ "acos", -0.25, 1.8234765819369754 },
    .{ "acos", 0.484375, 1.0651477001435001 },
    .{ "acos", 0.515625, 1.0290593912966945 },
    .{ "acos", 0.9990234375, 0.04419777114571532 },
    .{ "atan", -10000000000.0, -1.5707963266948965 },
    .{ "atan", -2.40625, -1.1769277160585352 },
    .{ "atan", 0.40625, 0.38588266939807375 },
    .{ "atan", 0.421875, 0.39922076957525254 },
    .{ "atan", 1.5, 0.982793723247329 },
    .{ "sinc", -0.75, 0.30010543871903533 },
    .{ "sinc", 0.25, 0.9003163161571061 },
    .{ "sinc", 2.5, 0.12732395447351627 },
    .{ "sinc", 1000.25, 0.00022502282333344316 },
    .{ "erf", -0.5, -0.5204998778130465 },
    .{ "erf", 0.984375, 0.8361128700503965 },
    .{ "erf", 1.015625, 0.8490860348888876 },
    .{ "erf", 3.5, 0.9999992569016276 },
    .{ "erfc", -1.0, 1.8427007929497148 },
    .{ "erfc", 0.484375, 0.49333780362708207 },
    .{ "erfc", 0.515625, 0.4658769654515401 },
    .{ "erfc", 3.0, 2.209049699858544e-05 },
    .{ "erfc", 9.75, 2.9857008328005782e-43 },
    .{ "erfinv", -0.75, -0.8134198475976185 },
    .{ "erfinv", 0.25, 0.2253120550121781 },
    .{ "erfinv", 0.703125, 0.7376242818432608 },
    .{ "erfinv", 0.7109375, 0.7496608062903447 },
    .{ "erfinv", 0.99609375, 2.0404520146056093 },
    .{ "ndtr", -13.0, 6.11716439954988e-39 },
    .{ "ndtr", -3.0, 0.0013498980316300946 },
    .{ "ndtr", -0.484375, 0.31405987874314234 },
    .{ "ndtr", 0.515625, 0.6969418269711207 },
    .{ "ndtr", 4.0, 0.9999683287581669 },
    .{ "gelu", -12.5, -4.665705373597142e-35 },
    .{ "gelu", -3.0, -0.0040496940948902835 },
    .{ "gelu", -0.484375, -0.15212275376620957 },
    .{ "gelu", 0.515625, 0.35936062953198417 },
    .{ "gelu", 4.0, 3.9998733150326675 },
    .{ "geluTanh", -0.75, -0.1700394448343797 },
    .{ "geluTanh", 0.25, 0.149675350701685 },
    .{ "geluTanh", 3.0, 2.996362607918227 },
    .{ "lgamma", 1.0000000031710769e-30, 69.07755278665029 },
    .{ "lgamma", 0.25, 1.2880225246980774 },
    .{ "lgamma", 1.125, -0.06002318412603958 },
    .{ "lgamma", 1.375, -0.11775527074107878 },
    .{ "lgamma", 3.5, 1.2009736023470743 },
    .{ "lgamma", 7.875, 8.274252119110479 },
    .{ "lgamma", 8.125, 8.77815096449171 },
    .{ "lgamma", 10000000000.0, 220258509288.81058 },
    .{ "lgamma", -0.5, 1.2655121234846454 },
    .{ "lgamma", -3.25, -0.6231534513209986 },
    .{ "digamma", 0.25, -4.2274535333762655 },
    .{ "digamma", 1.125, -0.38849266329585486 },
    .{ "digamma", 1.5, 0.03648997397857652 },
    .{ "digamma", 3.5, 1.103156640645243 },
    .{ "digamma", 7.875, 1.9988595242685323 },
    .{ "digamma", 8.125, 2.0321468378463377 },
    .{ "digamma", 10000000000.0, 23.025850929890456 },
    .{ "digamma", -0.75, -2.894120200042932 },
    .{ "digamma", -3.25, 4.46627587235028 },
    .{ "trigamma", 0.25, 17.19732915450711 },
    .{ "trigamma", 3.5, 0.3303577561002349 },
    .{ "trigamma", 9.0, 0.11751201469403143 },
    .{ "trigamma", -1.25, 19.181879647671607 },
    .{ "besselI0", 0.5, 1.0634833707413236 },
    .{ "besselI0", -3.5, 7.3782034322254795 },
    .{ "besselI0", 5.0, 27.239871823604446 },
    .{ "besselI0", 12.0, 18948.925349296307 },
    .{ "besselI0", 88.0, 7.034019697322304e+36 },
    .{ "besselI0e", 0.5, 0.6450352704491501 },
    .{ "besselI0e", -3.5, 0.22280243801077917 },
    .{ "besselI0e", 5.0, 0.18354081260932836 },
    .{ "besselI0e", 12.0, 0.11642622121344044 },
    .{ "besselI0e", 1000.0, 0.012617240455891257 },
};

const binary = [_]Binary{
    .{ "logaddexp", 1.0, 2.0, 2.313261687518223 },
    .{ "logaddexp", -3.0, 5.0, 5.000335406372896 },
    .{ "logaddexp", 20.0, -20.0, 20.0 },
    .{ "logaddexp2", 1.0, 2.0, 2.584962500721156 },
    .{ "logaddexp2", -3.0, 5.0, 5.005624549193878 },
    .{ "atan2", 1.0, 2.0, 0.4636476090008061 },
    .{ "atan2", -1.0, -2.0, -2.677945044588987 },
    .{ "atan2", 3.0, -0.5, 1.7359450042095235 },
    .{ "atan2", 1.0000000031710769e-30, -1.0, 3.141592653589793 },
    .{ "pow", 2.0, 0.5, 1.4142135623730951 },
    .{ "pow", 0.75, -30.0, 5599.665672229362 },
    .{ "pow", 1.0009765625, 5000.0, 131.68725950103538 },
    .{ "pow", 3.000000645916e-39, 0.25, 2.340347445293021e-10 },
    .{ "pow", 10.0, -44.0, 1e-44 },
    .{ "hypot", 1.0, 2.0, 2.23606797749979 },
    .{ "hypot", 9.99994610111476e-41, 9.999665841421895e-42, 1.0049818664762129e-40 },
    .{ "hypot", 1.9999999360571385e+38, 9.999999680285692e+37, 2.2360679060094973e+38 },
    .{ "fmod", 1.0000000150474662e+30, 0.75, 0.0 },
    .{ "fmod", -7.5, 2.0, -1.5 },
    .{ "fmod", 5.25, 1.0000000031710769e-30, 6.78529193531928e-32 },
    .{ "remainder", -7.5, 2.0, 0.5 },
    .{ "remainder", 7.5, -2.0, -0.5 },
    .{ "remainder", 1000000000.0, 0.699999988079071, 0.6298987865447998 },
};

const special = [_]Unary{
    .{ "exp", inf, inf },
    .{ "exp", -inf, 0.0 },
    .{ "exp", 0.0, 1.0 },
    .{ "exp", -0.0, 1.0 },
    .{ "exp", 1000.0, inf },
    .{ "exp", -1000.0, 0.0 },
    .{ "exp2", inf, inf },
    .{ "exp2", -inf, 0.0 },
    .{ "exp2", 0.0, 1.0 },
    .{ "exp2", 3.0, 8.0 },
    .{ "exp2", -1.0, 0.5 },
    .{ "exp2", 1024.0, inf },
    .{ "exp2", -2000.0, 0.0 },
    .{ "expm1", inf, inf },
    .{ "expm1", -inf, -1.0 },
    .{ "expm1", 0.0, 0.0 },
    .{ "expm1", -0.0, -0.0 },
    .{ "expm1", -1000.0, -1.0 },
    .{ "sinh", inf, inf },
    .{ "sinh", -inf, -inf },
    .{ "sinh", 0.0, 0.0 },
    .{ "sinh", -0.0, -0.0 },
    .{ "cosh", inf, inf },
    .{ "cosh", -inf, inf },
    .{ "cosh", 0.0, 1.0 },
    .{ "tanh", inf, 1.0 },
    .{ "tanh", -inf, -1.0 },
    .{ "tanh", 0.0, 0.0 },
    .{ "tanh", -0.0, -0.0 },
    .{ "tanh", 100.0, 1.0 },
    .{ "tanh", -100.0, -1.0 },
    .{ "sigmoid", inf, 1.0 },
    .{ "sigmoid", -inf, 0.0 },
    .{ "sigmoid", 0.0, 0.5 },
    .{ "sigmoid", 100.0, 1.0 },
    .{ "silu", inf, inf },
    .{ "silu", -inf, -0.0 },
    .{ "silu", 0.0, 0.0 },
    .{ "silu", -0.0, -0.0 },
    .{ "silu", 100.0, 100.0 },
    .{ "log", inf, inf },
    .{ "log", 0.0, -inf },
    .{ "log", -0.0, -inf },
    .{ "log", 1.0, 0.0 },
    .{ "log", -1.0, nan },
    .{ "log", -inf, nan },
    .{ "log2", inf, inf },
    .{ "log2", 0.0, -inf },
    .{ "log2", 1.0, 0.0 },
    .{ "log2", 8.0, 3.0 },
    .{ "log2", 0.125, -3.0 },
    .{ "log2", -1.0, nan },
    .{ "log10", inf, inf },
    .{ "log10", 0.0, -inf },
    .{ "log10", 1.0, 0.0 },
    .{ "log10", 1000.0, 3.0 },
    .{ "log10", 1000000.0, 6.0 },
    .{ "log10", -1.0, nan },
    .{ "log1p", inf, inf },
    .{ "log1p", -1.0, -inf },
    .{ "log1p", 0.0, 0.0 },
    .{ "log1p", -0.0, -0.0 },
    .{ "log1p", -2.0, nan },
    .{ "log1p", -inf, nan },
    .{ "softplus", inf, inf },
    .{ "softplus", -inf, 0.0 },
    .{ "softplus", 1000.0, 1000.0 },
    .{ "logSigmoid", inf, 0.0 },
    .{ "logSigmoid", -inf, -inf },
    .{ "logSigmoid", -1000.0, -1000.0 },
    .{ "asinh", inf, inf },
    .{ "asinh", -inf, -inf },
    .{ "asinh", 0.0, 0.0 },
    .{ "asinh", -0.0, -0.0 },
    .{ "acosh", inf, inf },
    .{ "acosh", 1.0, 0.0 },
    .{ "acosh", 0.5, nan },
    .{ "acosh", -inf, nan },
    .{ "atanh", 1.0, inf },
    .{ "atanh", -1.0, -inf },
    .{ "atanh", 0.0, 0.0 },
    .{ "atanh", -0.0, -0.0 },
    .{ "atanh", 2.0, nan },
    .{ "atanh", -inf, nan },
    .{ "sin", inf, nan },
    .{ "sin", -inf, nan },
    .{ "sin", 0.0, 0.0 },
    .{ "sin", -0.0, -0.0 },
    .{ "cos", inf, nan },
    .{ "cos", -inf, nan },
    .{ "cos", 0.0, 1.0 },
    .{ "cos", -0.0, 1.0 },
    .{ "tan", inf, nan },
    .{ "tan", -inf, nan },
    .{ "tan", 0.0, 0.0 },
    .{ "tan", -0.0, -0.0 },
    .{ "asin", 0.0, 0.0 },
    .{ "asin", -0.0, -0.0 },
    .{ "asin", 2.0, nan },
    .{ "asin", -2.0, nan },
    .{ "asin", inf, nan },
    .{ "acos", 1.0, 0.0 },
    .{ "acos", 2.0, nan },
    .{ "acos", -2.0, nan },
    .{ "acos", -inf, nan },
    .{ "atan", 0.0, 0.0 },
    .{ "atan", -0.0, -0.0 },
    .{ "sinc", 0.0, 1.0 },
    .{ "sinc", -0.0, 1.0 },
    .{ "sinc", 1.0, 0.0 },
    .{ "sinc", -3.0, 0.0 },
    .{ "sinc", 1e+30, 0.0 },
    .{ "floor", -0.0, -0.0 },
    .{ "floor", inf, inf },
    .{ "floor", -inf, -inf },
    .{ "floor", -0.5, -1.0 },
    .{ "floor", 2.5, 2.0 },
    .{ "floor", 0.9, 0.0 },
    .{ "ceil", -0.0, -0.0 },
    .{ "ceil", inf, inf },
    .{ "ceil", -inf, -inf },
    .{ "ceil", -0.5, -0.0 },
    .{ "ceil", 2.5, 3.0 },
    .{ "ceil", 1e+30, 1e+30 },
    .{ "trunc", -0.0, -0.0 },
    .{ "trunc", inf, inf },
    .{ "trunc", -inf, -inf },
    .{ "trunc", -0.5, -0.0 },
    .{ "trunc", 2.5, 2.0 },
    .{ "trunc", -2.5, -2.0 },
    .{ "roundEven", -0.0, -0.0 },
    .{ "roundEven", inf, inf },
    .{ "roundEven", -inf, -inf },
    .{ "roundEven", -0.5, -0.0 },
    .{ "roundEven", 2.5, 2.0 },
    .{ "roundEven", 3.5, 4.0 },
    .{ "roundEven", 0.5, 0.0 },
    .{ "frac", inf, nan },
    .{ "frac", 2.5, 0.5 },
    .{ "frac", -2.5, -0.5 },
    .{ "erf", inf, 1.0 },
    .{ "erf", -inf, -1.0 },
    .{ "erf", 0.0, 0.0 },
    .{ "erf", -0.0, -0.0 },
    .{ "erf", 100.0, 1.0 },
    .{ "erfc", inf, 0.0 },
    .{ "erfc", -inf, 2.0 },
    .{ "erfc", 0.0, 1.0 },
    .{ "erfc", -0.0, 1.0 },
    .{ "erfc", 100.0, 0.0 },
    .{ "erfinv", 1.0, inf },
    .{ "erfinv", -1.0, -inf },
    .{ "erfinv", 0.0, 0.0 },
    .{ "erfinv", -0.0, -0.0 },
    .{ "erfinv", 2.0, nan },
    .{ "erfinv", -2.0, nan },
    .{ "ndtr", inf, 1.0 },
    .{ "ndtr", -inf, 0.0 },
    .{ "ndtr", 0.0, 0.5 },
    .{ "gelu", inf, inf },
    .{ "gelu", -inf, -0.0 },
    .{ "gelu", 0.0, 0.0 },
    .{ "gelu", -0.0, -0.0 },
    .{ "gelu", 100.0, 100.0 },
    .{ "geluTanh", inf, inf },
    .{ "geluTanh", 0.0, 0.0 },
    .{ "geluTanh", -0.0, -0.0 },
    .{ "geluTanh", 100.0, 100.0 },
    .{ "lgamma", inf, inf },
    .{ "lgamma", -inf, inf },
    .{ "lgamma", 0.0, inf },
    .{ "lgamma", -0.0, inf },
    .{ "lgamma", 1.0, 0.0 },
    .{ "lgamma", 2.0, 0.0 },
    .{ "lgamma", -3.0, inf },
    .{ "lgamma", -1e+300, inf },
    .{ "digamma", inf, inf },
    .{ "digamma", 0.0, -inf },
    .{ "digamma", -0.0, inf },
    .{ "digamma", -3.0, nan },
    .{ "digamma", -inf, nan },
    .{ "trigamma", inf, 0.0 },
    .{ "trigamma", 0.0, inf },
    .{ "trigamma", -3.0, inf },
    .{ "besselI0", inf, inf },
    .{ "besselI0", -inf, inf },
    .{ "besselI0", 0.0, 1.0 },
    .{ "besselI0e", inf, 0.0 },
    .{ "besselI0e", -inf, 0.0 },
    .{ "besselI0e", 0.0, 1.0 },
};

const special_binary = [_]Binary{
    .{ "logaddexp", inf, inf, inf },
    .{ "logaddexp", -inf, -inf, -inf },
    .{ "logaddexp", inf, -inf, inf },
    .{ "logaddexp", -inf, 3.0, 3.0 },
    .{ "logaddexp", nan, inf, nan },
    .{ "logaddexp", inf, nan, nan },
    .{ "logaddexp2", inf, inf, inf },
    .{ "logaddexp2", -inf, -inf, -inf },
    .{ "logaddexp2", inf, -inf, inf },
    .{ "logaddexp2", -inf, 3.0, 3.0 },
    .{ "logaddexp2", 3.0, 3.0, 4.0 },
    .{ "atan2", 0.0, 0.0, 0.0 },
    .{ "atan2", -0.0, 0.0, -0.0 },
    .{ "atan2", 1.0, inf, 0.0 },
    .{ "atan2", nan, inf, nan },
    .{ "atan2", inf, nan, nan },
    .{ "fmod", inf, 1.0, nan },
    .{ "fmod", 1.0, 0.0, nan },
    .{ "fmod", 1.0, inf, 1.0 },
    .{ "fmod", -1.0, inf, -1.0 },
    .{ "fmod", -0.0, 1.0, -0.0 },
    .{ "fmod", 5.0, 3.0, 2.0 },
    .{ "fmod", -5.0, 3.0, -2.0 },
    .{ "fmod", 6.0, 3.0, 0.0 },
    .{ "fmod", -6.0, 3.0, -0.0 },
    .{ "fmod", nan, 1.0, nan },
    .{ "fmod", 1.0, nan, nan },
    .{ "remainder", inf, 1.0, nan },
    .{ "remainder", 1.0, 0.0, nan },
    .{ "remainder", 5.0, 3.0, 2.0 },
    .{ "remainder", -5.0, 3.0, 1.0 },
    .{ "remainder", 5.0, -3.0, -1.0 },
    .{ "remainder", -5.0, -3.0, -2.0 },
    .{ "remainder", nan, 1.0, nan },
    .{ "pow", 0.0, 0.0, 1.0 },
    .{ "pow", nan, 0.0, 1.0 },
    .{ "pow", 1.0, nan, 1.0 },
    .{ "pow", 1.0, inf, 1.0 },
    .{ "pow", -1.0, inf, 1.0 },
    .{ "pow", -1.0, -inf, 1.0 },
    .{ "pow", 0.0, -1.0, inf },
    .{ "pow", -0.0, -1.0, -inf },
    .{ "pow", -0.0, -2.0, inf },
    .{ "pow", -0.0, 3.0, -0.0 },
    .{ "pow", -0.0, 2.0, 0.0 },
    .{ "pow", 0.0, inf, 0.0 },
    .{ "pow", 0.0, -inf, inf },
    .{ "pow", 0.5, inf, 0.0 },
    .{ "pow", 2.0, inf, inf },
    .{ "pow", 2.0, -inf, 0.0 },
    .{ "pow", 0.5, -inf, inf },
    .{ "pow", -inf, 3.0, -inf },
    .{ "pow", -inf, 2.0, inf },
    .{ "pow", -inf, -3.0, -0.0 },
    .{ "pow", -inf, -2.0, 0.0 },
    .{ "pow", -inf, 0.5, inf },
    .{ "pow", inf, 2.0, inf },
    .{ "pow", inf, -2.0, 0.0 },
    .{ "pow", -2.0, 0.5, nan },
    .{ "pow", -2.0, 3.0, -8.0 },
    .{ "pow", -2.0, 2.0, 4.0 },
    .{ "pow", nan, 1.0, nan },
    .{ "pow", 2.0, nan, nan },
    .{ "pow", -8.0, 0.3333333333333333, nan },
    .{ "pow", 3.0, 4.0, 81.0 },
    .{ "pow", 2.0, -2.0, 0.25 },
    .{ "pow", -1.0, 1e+30, 1.0 },
    .{ "hypot", inf, nan, inf },
    .{ "hypot", nan, -inf, inf },
    .{ "hypot", 3.0, 4.0, 5.0 },
    .{ "hypot", 0.0, -0.0, 0.0 },
    .{ "hypot", nan, 1.0, nan },
    .{ "hypot", inf, 1.0, inf },
};

/// Runs `f` of the name on one vector of n equal numbers; checks that all lanes agree.
fn call1(comptime T: type, comptime n: usize, name: []const u8, x: T) !T {
    const V = @Vector(n, T);
    inline for (math.unary_names) |candidate| {
        if (std.mem.eql(u8, candidate, name)) {
            const y: [n]T = @field(math, candidate)(V, @splat(x));
            for (y) |lane| try expectSame(T, y[0], lane);
            return y[0];
        }
    }
    return error.NoSuchFunction;
}
fn call2(comptime T: type, comptime n: usize, name: []const u8, a: T, b: T) !T {
    const V = @Vector(n, T);
    inline for (math.binary_names) |candidate| {
        if (std.mem.eql(u8, candidate, name)) {
            const y: [n]T = @field(math, candidate)(V, @splat(a), @splat(b));
            for (y) |lane| try expectSame(T, y[0], lane);
            return y[0];
        }
    }
    return error.NoSuchFunction;
}

fn expectSame(comptime T: type, expected: T, actual: T) !void {
    if (expected != expected and actual != actual) return;
    const U = @Int(.unsigned, @bitSizeOf(T));
    const a: U = @bitCast(expected);
    try std.testing.expectEqual(a, @as(U, @bitCast(actual)));
}

/// Within 4 units of the last place, 5 without fma: the tightest that all functions keep.
fn expectNear(comptime T: type, name: []const u8, expected: f64, actual: T) !void {
    const e: T = @floatCast(expected);
    const size = @max(@abs(e), std.math.floatMin(T));
    const unit = std.math.ldexp(@as(T, 1), std.math.ilogb(size) - std.math.floatMantissaBits(T));
    const bound: T = if (simd.has_fma) 4 else 5;
    if (std.math.isInf(e) and e == actual) return;
    if (@abs(actual - e) <= bound * unit) return;
    std.debug.print("{s}: {e}, not {e}\n", .{ name, actual, e });
    return error.TestUnexpectedResult;
}

test "sanity and boundary values" {
    for (unary) |row| {
        const name, const x, const y = row;
        try expectNear(f64, name, y, try call1(f64, simd.lanes(f64), name, x));
        try expectNear(f32, name, y, try call1(f32, simd.lanes(f32), name, @floatCast(x)));
    }
    for (binary) |row| {
        const name, const a, const b, const y = row;
        const a32: f32 = @floatCast(a);
        const b32: f32 = @floatCast(b);
        try expectNear(f64, name, y, try call2(f64, simd.lanes(f64), name, a, b));
        try expectNear(f32, name, y, try call2(f32, simd.lanes(f32), name, a32, b32));
    }
}

test "special values" {
    for (special) |row| {
        const name, const x, const y = row;
        errdefer std.debug.print("{s}({e})\n", .{ name, x });
        const x32: f32 = @floatCast(x);
        try expectSame(f64, y, try call1(f64, simd.lanes(f64), name, x));
        try expectSame(f32, @floatCast(y), try call1(f32, simd.lanes(f32), name, x32));
    }
    for (math.unary_names) |name| {
        errdefer std.debug.print("{s}(nan)\n", .{name});
        try expectSame(f64, nan, try call1(f64, simd.lanes(f64), name, nan));
        const nan32 = std.math.nan(f32);
        try expectSame(f32, nan32, try call1(f32, simd.lanes(f32), name, nan32));
    }
    for (special_binary) |row| {
        const name, const a, const b, const y = row;
        errdefer std.debug.print("{s}({e}, {e})\n", .{ name, a, b });
        const a32: f32 = @floatCast(a);
        const b32: f32 = @floatCast(b);
        try expectSame(f64, y, try call2(f64, simd.lanes(f64), name, a, b));
        try expectSame(f32, @floatCast(y), try call2(f32, simd.lanes(f32), name, a32, b32));
    }
}

test "one lane gives the bits that many give" {
    inline for (.{ f32, f64 }) |T| {
        var i: usize = 0;
        while (i < unary.len) : (i += 3) {
            const name, const x, _ = unary[i];
            if (std.mem.indexOf(u8, "exp tanh log sin erf pow lgamma", name) == null) continue;
            const many = try call1(T, simd.lanes(T), name, @floatCast(x));
            try expectSame(T, many, try call1(T, 1, name, @floatCast(x)));
        }
    }
}

test "special lanes leave their neighbours alone" {
    const x = [_]f32{ 0.5, 1e30, nan, -0.5, inf, 2e6, -1e30, 3 };
    const V = @Vector(8, f32);
    const y: [8]f32 = math.sin(V, x);
    for (x, y) |one, together| {
        try expectSame(f32, math.sin(@Vector(1, f32), .{one})[0], together);
    }
    const z: [8]f32 = math.lgamma(V, x);
    for (x, z) |one, together| {
        try expectSame(f32, math.lgamma(@Vector(1, f32), .{one})[0], together);
    }
}
