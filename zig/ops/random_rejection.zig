//! Gamma and binomial numbers, by acceptance and rejection: how many words of the generator a
//! number takes depends on the numbers drawn, so elements are drawn one after the other.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const math = @import("../random_math.zig");
const Generator = @import("../random.zig").Generator;
const tiles = @import("random_tiles.zig");
const discrete = @import("random_discrete.zig");
const standardSerial = @import("random.zig").standardSerial;

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;
const tile = tiles.tile;
const unit = discrete.unit;
const log = discrete.log;

fn exp(x: f64) f64 {
    return math.exp(@splat(x))[0];
}

/// ln(1 - p), exact near 0 (Kahan's quotient).
fn logOfRest(p: f64) f64 {
    const rest = 1 - p;
    return if (rest == 1) -p else log(rest) * p / (1 - rest);
}

/// out and concentration (of any strides) are float, of one shape.
pub fn standardGamma(p: *const Plan, call: *Call, g: *Generator) void {
    const d = p.operands[0].dtype;
    const n = p.operands[0].numel();
    const least: f64 = if (d == .float64) std.math.floatMin(f64) else std.math.floatMin(f32);
    var values: [tile]f64 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = values[0..@min(tile, n - i)];
        tiles.gather(f64, p.operands[2], call.ptr[2].?, i, part);
        for (part) |*x| x.* = @max(least, oneGamma(x.*, d == .float64, g));
        tiles.store(f64, d, call.ptr[0].?, i, part);
    }
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000). As in PyTorch
/// the constants are those of single precision, and so is alpha - 1/3 unless `wide`.
fn oneGamma(concentration: f64, wide: bool, g: *Generator) f64 {
    var alpha = concentration;
    var scale: f64 = 1;
    if (alpha < 1) {
        if (alpha == 0) return 0;
        const power: f64 = if (wide) 1 / alpha else @as(f32, 1) / @as(f32, @floatCast(alpha));
        scale = exp(log(1 - unit(g)) * power);
        alpha += 1;
        if (!wide) alpha = @as(f32, @floatCast(alpha));
    }
    const third: f32 = 1.0 / 3.0;
    var d = alpha - third;
    if (!wide) d = @as(f32, @floatCast(d));
    const c = 1 / @sqrt(9 * d);
    while (true) {
        var x: f64 = undefined;
        var y: f64 = -1;
        while (y <= 0) {
            standardSerial(g, @as(*[1]f64, &x));
            y = 1 + c * x;
        }
        if (std.math.isNan(y)) return y;
        const v = y * y * y;
        const u = 1 - unit(g);
        const xx = x * x;
        if (u < 1 - @as(f64, @as(f32, 0.0331)) * xx * xx) return scale * d * v;
        if (log(u) < 0.5 * xx + d * (1 - v + log(v))) return scale * d * v;
    }
}

/// out, count and probability (of any strides) are float, of one shape.
pub fn binomial(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    var counts: [tile]f64 = undefined;
    var chances: [tile]f64 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = counts[0..@min(tile, n - i)];
        tiles.gather(f64, p.operands[2], call.ptr[2].?, i, part);
        tiles.gather(f64, p.operands[3], call.ptr[3].?, i, chances[0..part.len]);
        for (part, chances[0..part.len]) |*x, chance| x.* = oneBinomial(x.*, chance, g);
        tiles.store(f64, p.operands[0].dtype, call.ptr[0].?, i, part);
    }
}

fn oneBinomial(count: f64, chance: f64, g: *Generator) f64 {
    if (std.math.isNan(chance)) return chance;
    if (!(count > 0) or chance <= 0) return 0;
    if (chance >= 1) return count;
    if (chance > 0.5) return count - fewer(count, 1 - chance, g);
    return fewer(count, chance, g);
}

/// For chance <= 1/2: sums of geometric numbers while few successes are expected, from 10 on
/// transformed rejection (Hoermann's BTRS, "The generation of binomial random variates", 1993).
fn fewer(count: f64, chance: f64, g: *Generator) f64 {
    if (count * chance >= 10) return rejected(count, chance, g);
    const log_failure = logOfRest(chance);
    var trials: f64 = 0;
    var successes: f64 = 0;
    while (true) {
        trials += @ceil(log(unit(g)) / log_failure);
        if (!(trials <= count)) return successes;
        successes += 1;
    }
}

fn rejected(count: f64, chance: f64, g: *Generator) f64 {
    const deviation = @sqrt(count * chance * (1 - chance));
    const b = 1.15 + 2.53 * deviation;
    const a = -0.0873 + 0.0248 * b + 0.01 * chance;
    const centre = count * chance + 0.5;
    const accept = 0.92 - 4.2 / b;
    const odds = chance / (1 - chance);
    const alpha = (2.83 + 5.1 / b) * deviation;
    const mode = @floor((count + 1) * chance);
    while (true) {
        const u = unit(g) - 0.5;
        const v = unit(g);
        const us = 0.5 - @abs(u);
        const k = @floor((2 * a / us + b) * u + centre);
        if (!(k >= 0 and k <= count)) continue;
        if (us >= 0.07 and v <= accept) return k;
        const bound = (mode + 0.5) * log((mode + 1) / (odds * (count - mode + 1))) +
            (count + 1) * log((count - mode + 1) / (count - k + 1)) +
            (k + 0.5) * log(odds * (count - k + 1) / (k + 1)) +
            tail(mode) + tail(count - mode) - tail(k) - tail(count - k);
        if (log(v * alpha / (a / (us * us) + b)) <= bound) return k;
    }
}

/// What Stirling's formula leaves out of ln k!.
fn tail(k: f64) f64 {
    const small = [10]f64{
        0.0810614667953272,  0.0413406959554092,  0.0276779256849983, 0.02079067210376509,
        0.0166446911898211,  0.0138761288230707,  0.0118967099458917, 0.0104112652619720,
        0.00925546218271273, 0.00833056343336287,
    };
    if (k < small.len) return small[@intFromFloat(k)];
    const square = (k + 1) * (k + 1);
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / (k + 1);
}
