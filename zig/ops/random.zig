//! Random numbers: one stream, drawn in PyTorch's order, so that a seed means the same here.
//!
//! `generator` is a uint8 tensor of 2560 bytes (random.zig `Generator.bytes`), cleared when it
//! is made and then seeded; every row that draws advances it in place. Outputs are contiguous.
//! scalars are given at run time, in this order (f: float, i: integer).
//!
//!   row              operands (outputs first)            scalars / ints
//!   generator_seed   generator                           i seed (64 bits)
//!   generator_get    state uint8[5056], generator        PyTorch's get_rng_state()
//!   generator_set    generator, state uint8[5056]        invalid_value: not such a state
//!   uniform          out float, generator                f from, f to
//!   normal           out float, generator                f mean, f std; ints [serial]
//!                    serial = 1: the path of fewer than 16 elements at any size, which is
//!                    what PyTorch takes for tensors that aren't contiguous
//!   random_range     out any, generator                  i range (as u64, not 0), i base
//!   random_full      out int64 float, generator          all 64 bits
//!   random           out any, generator                  0 .. the dtype's largest / 2^mantissa
//!   randperm         out any [n], generator
//!   bernoulli        out any, generator                  f p
//!   bernoulli_tensor out any, generator, p float         p has out's shape; invalid_value:
//!                    a p outside of [0, 1] (detail: its index)
//!   exponential      out float, generator                f lambda
//!   geometric        out any but bool, generator         f p
//!   cauchy           out float, generator                f median, f sigma
//!   log_normal       out float, generator                f mean, f std
//!   multinomial      out int64 [rows, samples], generator, p float [rows, categories]
//!                    with replacement. invalid_value, detail[0]: 0 negative, 1 not finite,
//!                    2 a row that sums to 0 (detail[1]: the row)
//!   poisson          out float, generator, rate (out's dtype and shape)
//!                    invalid_value: a negative rate
//!   standard_gamma   out float, generator, concentration (out's dtype and shape)
//!   binomial         out float, generator, count, probability (out's dtype and shape)
//!   dropout          out float, mask bool, generator, input (out's dtype)    floats [keep]
//!                    out = input * (mask ? 1 / keep : 0), all of one shape
//!   dropout_backward grad_input float, mask bool, grad (grad_input's dtype)  floats [keep]
//!   rand             out float, generator                uniform on [0, 1): no scalars to pass
//!   randn            out float, generator                normal, mean 0, std 1 (not serial)
//!
//! p, rate, concentration, count, input and grad may have any strides. Where PyTorch runs on an Intel CPU, its MKL
//! draws `bernoulli` (and so dropout) from a generator of its own; elsewhere, as here, from
//! the one stream.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const services = @import("../services.zig");
const dtype_zig = @import("../dtype.zig");
const simd = @import("../simd.zig");
const math = @import("../random_math.zig");
const Generator = @import("../random.zig").Generator;
const Portable = @import("../random.zig").Portable;
const tiles = @import("random_tiles.zig");
const discrete = @import("random_discrete.zig");
const rejection = @import("random_rejection.zig");

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;
const Operand = plan_zig.Operand;
const DType = dtype_zig.DType;
const BFloat16 = dtype_zig.BFloat16;
const tile = tiles.tile;
const D = @Vector(8, f64);

pub const names: []const []const u8 = &row_names;
const row_names = blk: {
    var list: [rows.len][]const u8 = undefined;
    for (rows, &list) |row, *name| name.* = row[0];
    break :blk list;
};

const Outputs = enum { bytes, float, any, number, wide, int64 };
const rows = .{
    .{ "generator_seed", Outputs.bytes, seed },
    .{ "generator_get", Outputs.bytes, getState },
    .{ "generator_set", Outputs.bytes, setState },
    .{ "uniform", Outputs.float, locked(uniform) },
    .{ "normal", Outputs.float, locked(normal) },
    .{ "random_range", Outputs.any, locked(discrete.range) },
    .{ "random_full", Outputs.wide, locked(discrete.full) },
    .{ "random", Outputs.any, locked(discrete.whole) },
    .{ "randperm", Outputs.any, locked(discrete.permutation) },
    .{ "bernoulli", Outputs.any, locked(discrete.bernoulli) },
    .{ "bernoulli_tensor", Outputs.any, locked(discrete.bernoulliTensor) },
    .{ "exponential", Outputs.float, locked(transformed(exponential)) },
    .{ "geometric", Outputs.number, locked(transformed(geometric)) },
    .{ "cauchy", Outputs.float, locked(transformed(cauchy)) },
    .{ "log_normal", Outputs.float, locked(logNormal) },
    .{ "multinomial", Outputs.int64, locked(discrete.multinomial) },
    .{ "poisson", Outputs.float, locked(discrete.poisson) },
    .{ "standard_gamma", Outputs.float, locked(rejection.standardGamma) },
    .{ "binomial", Outputs.float, locked(rejection.binomial) },
    .{ "dropout", Outputs.float, discrete.dropout },
    .{ "dropout_backward", Outputs.float, discrete.dropoutBackward },
    .{ "rand", Outputs.float, locked(standardUniform) },
    .{ "randn", Outputs.float, locked(standardNormal) },
};

pub const family: plan_zig.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan_zig.PrepareError!void {
    const out = p.operands[0];
    std.debug.assert(out.isContiguous());
    inline for (rows, 0..) |row, i| if (p.op == i) {
        const fits = switch (row[1]) {
            .bytes => out.dtype == .uint8,
            .float => out.dtype.isFloat(),
            .any => true,
            .number => out.dtype != .bool,
            .wide => out.dtype == .int64 or (out.dtype.isFloat() and out.dtype != .float16),
            .int64 => out.dtype == .int64,
        };
        if (!fits) return error.Unsupported;
        p.run = row[2];
        return;
    };
    return error.Unsupported;
}

/// A kernel that has the generator (operand 1) to itself.
fn locked(comptime kernel: fn (*const Plan, *Call, *Generator) void) plan_zig.Run {
    return struct {
        fn run(p: *const Plan, call: *Call) void {
            const g = tiles.generator(call, 1);
            g.acquire();
            defer g.release();
            kernel(p, call, g);
        }
    }.run;
}

// ------------------------------------------------------------------ the state

fn seed(_: *const Plan, call: *Call) void {
    const g = tiles.generator(call, 0);
    g.acquire();
    defer g.release();
    g.init(@bitCast(call.scalar[0].i));
}

fn getState(_: *const Plan, call: *Call) void {
    const g = tiles.generator(call, 1);
    g.acquire();
    defer g.release();
    var state: Portable = undefined;
    Portable.from(g, &state);
    @memcpy(call.ptr[0].?[0..Portable.bytes], @as([*]const u8, @ptrCast(&state)));
}

fn setState(_: *const Plan, call: *Call) void {
    const g = tiles.generator(call, 0);
    g.acquire();
    defer g.release();
    var state: Portable = undefined;
    @memcpy(@as([*]u8, @ptrCast(&state)), call.ptr[1].?[0..Portable.bytes]);
    if (!state.into(g)) call.fail(.invalid_value, .{ 0, 0, 0 });
}

// ------------------------------------------------------------------ uniform

fn uniform(p: *const Plan, call: *Call, g: *Generator) void {
    uniformOn(p, call, g, call.scalar[0].f, call.scalar[1].f);
}

fn standardUniform(p: *const Plan, call: *Call, g: *Generator) void {
    uniformOn(p, call, g, 0, 1);
}

fn uniformOn(p: *const Plan, call: *Call, g: *Generator, from: f64, to: f64) void {
    const n = p.operands[0].numel();
    switch (p.operands[0].dtype) {
        .float32 => uniformF32(g, call.at(f32, 0)[0..n], @floatCast(from), @floatCast(to)),
        .float64 => {
            const out = call.at(f64, 0)[0..n];
            var i: usize = 0;
            while (i < n) : (i += tile) {
                const part = out[i..@min(i + tile, n)];
                tiles.unitsF64(g, part);
                const width: D = @splat(to - from);
                const low: D = @splat(from);
                tiles.each(f64, part, width, low, scaleF64);
                for (part) |*x| if (x.* == to) {
                    x.* = from;
                };
            }
        },
        inline .float16, .bfloat16 => |d| {
            const T = d.Type();
            const out = call.at(T, 0)[0..n];
            const low: f32 = @floatCast(from);
            var buffer: [tile]f32 = undefined;
            const at_to = tiles.narrow(T, @floatCast(to));
            const at_from = tiles.narrow(T, low);
            var i: usize = 0;
            while (i < n) : (i += tile) {
                const part = out[i..@min(i + tile, n)];
                uniformF32(g, buffer[0..part.len], low, @floatCast(to));
                for (part, buffer[0..part.len]) |*to_, x| {
                    const value = tiles.narrow(T, x);
                    to_.* = if (tiles.same(T, value, at_to)) at_from else value;
                }
            }
        },
        else => unreachable,
    }
}

fn scaleF64(x: D, width: D, low: D) D {
    return simd.fma(D, x, width, low);
}

noinline fn uniformF32(g: *Generator, out: []f32, from: f32, to: f32) void {
    const V = @Vector(16, f32);
    var i: usize = 0;
    while (i < out.len) : (i += tile) {
        const part = out[i..@min(i + tile, out.len)];
        tiles.unitsF32(g, part);
        if (from == 0 and to == 1) continue; // never rounds up to 1
        const width: V = @splat(to - from);
        const low: V = @splat(from);
        const high: V = @splat(to);
        var j: usize = 0;
        while (j + 16 <= part.len) : (j += 16) {
            const x = simd.fma(V, part[j..][0..16].*, width, low);
            part[j..][0..16].* = @select(f32, x == high, low, x);
        }
        while (j < part.len) : (j += 1) {
            simd.once();
            const x = simd.fma(f32, part[j], to - from, from);
            part[j] = if (x == to) from else x;
        }
    }
}

// ------------------------------------------------------------------ normal

fn normal(p: *const Plan, call: *Call, g: *Generator) void {
    if (p.ints[0] != 0) return normalSerial(p, call, g, false);
    normalDense(p, call, g);
}

fn standardNormal(p: *const Plan, call: *Call, g: *Generator) void {
    call.scalar[0..2].* = .{ .{ .f = 0 }, .{ .f = 1 } };
    normalDense(p, call, g);
}

fn normalDense(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    if (n < 16) return normalSerial(p, call, g, false);
    const mean = call.scalar[0].f;
    const deviation = call.scalar[1].f;
    switch (p.operands[0].dtype) {
        .float32 => normalFill(
            f32,
            g,
            call.at(f32, 0)[0..n],
            @floatCast(mean),
            @floatCast(deviation),
        ),
        .float64 => normalFill(f64, g, call.at(f64, 0)[0..n], mean, deviation),
        inline .float16, .bfloat16 => |d| {
            const T = d.Type();
            const out = call.at(T, 0)[0..n];
            const m: f32 = @floatCast(mean);
            const s: f32 = @floatCast(deviation);
            var buffer: [tile]f32 = undefined;
            const whole = n & ~@as(usize, 15);
            var i: usize = 0;
            while (i < whole) : (i += tile) {
                const part = out[i..@min(i + tile, whole)];
                tiles.unitsF32(g, buffer[0..part.len]);
                pairs(f32, buffer[0..part.len], m, s);
                for (part, buffer[0..part.len]) |*to, x| to.* = tiles.narrow(T, x);
            }
            if (whole != n) {
                tiles.unitsF32(g, buffer[0..16]);
                pairs(f32, buffer[0..16], m, s);
                for (out[n - 16 ..], buffer[0..16]) |*to, x| to.* = tiles.narrow(T, x);
            }
        },
        else => unreachable,
    }
}

/// out.len >= 16: uniforms, in groups of 16 made into normals; a last partial group is drawn
/// anew together with what stands before it.
fn normalFill(comptime T: type, g: *Generator, out: []T, mean: T, deviation: T) void {
    const units = if (T == f32) tiles.unitsF32 else tiles.unitsF64;
    var i: usize = 0;
    while (i < out.len) : (i += tile) units(g, out[i..@min(i + tile, out.len)]);
    const Context = struct { out: [*]T, mean: T, deviation: T };
    const context: Context = .{ .out = out.ptr, .mean = mean, .deviation = deviation };
    services.parallelFor(out.len / 16, 256, context, struct {
        fn body(c: *const Context, begin: usize, end: usize) void {
            pairs(T, c.out[begin * 16 .. end * 16], c.mean, c.deviation);
        }
    }.body);
    if (out.len % 16 != 0) {
        const last = out[out.len - 16 ..];
        units(g, last);
        pairs(T, last, mean, deviation);
    }
}

/// Box-Muller on groups of 16: 8 radii, 8 angles.
fn pairs(comptime T: type, data: []T, mean: T, deviation: T) void {
    if (T == f64) {
        var i: usize = 0;
        while (i < data.len) : (i += 16) {
            const a, const b = boxMullerF64(data[i..][0..8].*, data[i + 8 ..][0..8].*);
            data[i..][0..8].* = simd.fma(D, a, @splat(deviation), @splat(mean));
            data[i + 8 ..][0..8].* = simd.fma(D, b, @splat(deviation), @splat(mean));
        }
        return;
    }
    var i: usize = 0;
    while (i + 32 <= data.len) : (i += 32) {
        const x: @Vector(16, f32) = data[i..][0..16].*;
        const y: @Vector(16, f32) = data[i + 16 ..][0..16].*;
        const low = std.simd.iota(i32, 8);
        const u1_ = @shuffle(f32, x, y, std.simd.join(low, ~low));
        const high = low + @as(@Vector(8, i32), @splat(8));
        const u2_ = @shuffle(f32, x, y, std.simd.join(high, ~high));
        const a, const b = boxMullerF32(16, u1_, u2_, mean, deviation);
        const next = low + @as(@Vector(8, i32), @splat(8));
        data[i..][0..16].* = @shuffle(f32, a, b, std.simd.join(low, ~low));
        data[i + 16 ..][0..16].* = @shuffle(f32, a, b, std.simd.join(next, ~next));
    }
    if (i < data.len) {
        const x: @Vector(8, f32) = data[i..][0..8].*;
        const y: @Vector(8, f32) = data[i + 8 ..][0..8].*;
        const a, const b = boxMullerF32(8, x, y, mean, deviation);
        data[i..][0..8].* = a;
        data[i + 8 ..][0..8].* = b;
    }
}

inline fn boxMullerF32(
    comptime N: comptime_int,
    first: @Vector(N, f32),
    second: @Vector(N, f32),
    mean: f32,
    deviation: f32,
) struct { @Vector(N, f32), @Vector(N, f32) } {
    const V = @Vector(N, f32);
    const radius = @sqrt(@as(V, @splat(-2)) * math.logF32(N, @as(V, @splat(1)) - first));
    const sine, const cosine = math.sincosF32(N, @as(V, @splat(2 * std.math.pi)) * second);
    const s: V = @splat(deviation);
    const m: V = @splat(mean);
    return .{ simd.fma(V, radius * cosine, s, m), simd.fma(V, radius * sine, s, m) };
}

fn boxMullerF64(first: D, second: D) struct { D, D } {
    const radius = @sqrt(@as(D, @splat(-2)) * math.log(@as(D, @splat(1)) - first));
    const sine, const cosine = math.sincos(@as(D, @splat(2 * std.math.pi)) * second);
    return .{ radius * cosine, radius * sine };
}

/// In double precision whatever the dtype, one after the other; the second of a pair waits in
/// the generator.
fn normalSerial(p: *const Plan, call: *Call, g: *Generator, comptime exponentiate: bool) void {
    const n = p.operands[0].numel();
    const mean: D = @splat(call.scalar[0].f);
    const deviation: D = @splat(call.scalar[1].f);
    var buffer: [tile]f64 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = buffer[0..@min(tile, n - i)];
        standardSerial(g, part);
        tiles.each(f64, part, deviation, mean, scaleF64);
        if (exponentiate) tiles.each(f64, part, mean, mean, expF64);
        tiles.store(f64, p.operands[0].dtype, call.ptr[0].?, i, part);
    }
}

fn expF64(x: D, _: D, _: D) D {
    return math.exp(x);
}

pub fn standardSerial(g: *Generator, out: []f64) void {
    var i: usize = 0;
    if (out.len > 0 and g.normal_valid != 0) {
        out[0] = g.normal;
        g.normal_valid = 0;
        i = 1;
    }
    while (i < out.len) {
        const count: usize = @min(8, (out.len - i + 1) / 2);
        var units: [16]f64 = @splat(0);
        tiles.unitsF64(g, units[0 .. 2 * count]);
        var angle: [8]f64 = undefined;
        var radius: [8]f64 = undefined;
        for (0..8) |k| {
            angle[k] = units[2 * k];
            radius[k] = units[2 * k + 1];
        }
        const a, const b = boxMullerF64(radius, angle);
        const cosines: [8]f64 = a;
        const sines: [8]f64 = b;
        for (0..count) |k| {
            out[i] = cosines[k];
            i += 1;
            if (i < out.len) {
                out[i] = sines[k];
                i += 1;
            } else {
                g.normal = sines[k];
                g.normal_valid = 1;
            }
        }
    }
}

fn logNormal(p: *const Plan, call: *Call, g: *Generator) void {
    normalSerial(p, call, g, true);
}

// ------------------------------------------------------------------ inverse transforms

/// A double-precision uniform an element, put through `f(x, parameters)`.
fn transformed(comptime f: fn (D, [2]f64) D) fn (*const Plan, *Call, *Generator) void {
    return struct {
        fn kernel(p: *const Plan, call: *Call, g: *Generator) void {
            const n = p.operands[0].numel();
            const parameters: [2]f64 = .{ call.scalar[0].f, call.scalar[1].f };
            var buffer: [tile]f64 = undefined;
            var i: usize = 0;
            while (i < n) : (i += tile) {
                const count: usize = @min(tile, n - i);
                tiles.unitsF64(g, buffer[0..count]);
                // tile is a multiple of 8; lanes beyond `count` are computed and not stored
                const padded = (count + 7) & ~@as(usize, 7);
                @memset(buffer[count..padded], 0.5);
                var j: usize = 0;
                while (j < padded) : (j += 8) {
                    buffer[j..][0..8].* = f(buffer[j..][0..8].*, parameters);
                }
                tiles.store(f64, p.operands[0].dtype, call.ptr[0].?, i, buffer[0..count]);
            }
        }
    }.kernel;
}

fn exponential(u: D, parameters: [2]f64) D {
    // 1 - u is exact, so that its logarithm is log1p(-u). The 0 makes -0 a 0.
    const factor: D = @splat(-1.0 / parameters[0]);
    return factor * math.log(@as(D, @splat(1)) - u) + @as(D, @splat(0));
}

fn geometric(u: D, parameters: [2]f64) D {
    const q = 1 - parameters[0];
    // log1p(-p) for every p: ln q, corrected for what rounding 1 - p lost
    const rounded = 1 - q;
    const log_q = if (rounded == 0)
        -parameters[0]
    else
        math.log(@splat(q))[0] * (parameters[0] / rounded);
    const safe = @select(f64, u > @as(D, @splat(0)), u, @as(D, @splat(0.5)));
    const x = @ceil(math.log(safe) / @as(D, @splat(log_q)));
    return @select(f64, u > @as(D, @splat(0)), x, @as(D, @splat(std.math.inf(f64))));
}

fn cauchy(u: D, parameters: [2]f64) D {
    const angle = @as(D, @splat(std.math.pi)) * (u - @as(D, @splat(0.5)));
    const sine, const cosine = math.sincos(@abs(angle));
    const tangent = sine / cosine;
    const signed = @select(f64, angle < @as(D, @splat(0)), -tangent, tangent);
    return simd.fma(D, @splat(parameters[1]), signed, @splat(parameters[0]));
}

test {
    _ = @import("random_test.zig");
}
