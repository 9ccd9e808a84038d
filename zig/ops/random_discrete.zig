//! Integers, permutations, choices: the rows of random.zig that draw without a transform.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const dtype_zig = @import("../dtype.zig");
const math = @import("../random_math.zig");
const services = @import("../services.zig");
const tiles = @import("random_tiles.zig");
const Generator = @import("../random.zig").Generator;

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;
const DType = dtype_zig.DType;
const tile = tiles.tile;

// ------------------------------------------------------------------ integers

/// From here on PyTorch draws 64 bits, to keep the skew of the remainder small.
const wide_range: u64 = 1 << 28;

pub fn range(p: *const Plan, call: *Call, g: *Generator) void {
    const span: u64 = @bitCast(call.scalar[0].i);
    remainders(p, call, g, span, call.scalar[1].i, span >= wide_range);
}

pub fn full(p: *const Plan, call: *Call, g: *Generator) void {
    remainders(p, call, g, 0, 0, true);
}

/// The dtype's own range: integers up to their largest, floats up to 2^mantissa.
pub fn whole(p: *const Plan, call: *Call, g: *Generator) void {
    const span: u64 = switch (p.operands[0].dtype) {
        .bool => 2,
        .uint8 => 1 << 8,
        .int8 => 1 << 7,
        .int16 => 1 << 15,
        .int32 => 1 << 31,
        .int64 => 1 << 63,
        .float16 => (1 << 11) + 1,
        .bfloat16 => (1 << 8) + 1,
        .float32 => (1 << 24) + 1,
        .float64 => (1 << 53) + 1,
    };
    const wide = p.operands[0].dtype == .int64 or p.operands[0].dtype == .float64;
    remainders(p, call, g, span, 0, wide);
}

/// base + draw % span (span 0: all of the draw).
fn remainders(p: *const Plan, call: *Call, g: *Generator, span: u64, base: i64, wide: bool) void {
    const n = p.operands[0].numel();
    var draws: [tile]u64 = undefined;
    var words: [tile]u32 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = draws[0..@min(tile, n - i)];
        if (wide) {
            tiles.draws64(g, part);
            if (span & (span -% 1) == 0) {
                for (part) |*x| x.* = (x.* & (span -% 1)) +% @as(u64, @bitCast(base));
            } else {
                for (part) |*x| x.* = (x.* % span) +% @as(u64, @bitCast(base));
            }
        } else {
            g.fill(words[0..part.len]);
            if (span & (span - 1) == 0) {
                for (words[0..part.len]) |*x| x.* &= @truncate(span - 1);
            } else {
                const divisors: @Vector(8, f64) = @splat(@floatFromInt(span));
                var j: usize = 0;
                while (j < part.len) : (j += 8) remainder8(words[j..][0..8], divisors);
            }
            for (part, words[0..part.len]) |*x, word| x.* = word +% @as(u64, @bitCast(base));
        }
        const signed: []const i64 = @ptrCast(part);
        tiles.store(i64, p.operands[0].dtype, call.ptr[0].?, i, signed);
    }
}

/// word % divisor for whole divisors in [1, 2^31]: the quotient in double precision is right
/// or one off.
inline fn remainder8(words: *[8]u32, divisor: @Vector(8, f64)) void {
    const F = @Vector(8, f64);
    const I = @Vector(8, i64);
    // Whole doubles below 2^52 as integers, and back, by their bits.
    const magic: I = @splat(@bitCast(@as(f64, 0x1p52)));
    const two52: F = @splat(0x1p52);
    const w: I = @as(@Vector(8, u32), words.*);
    const x = @as(F, @bitCast(w | magic)) - two52;
    const quotient = @floor(x / divisor);
    var r = x - quotient * divisor; // both exact: below 2^53
    r = @select(f64, r < @as(F, @splat(0)), r + divisor, r);
    r = @select(f64, r >= divisor, r - divisor, r);
    const bits: I = @bitCast(r + two52);
    const low: @Vector(8, u32) = @truncate(@as(@Vector(8, u64), @bitCast(bits)));
    words.* = low;
}

// ------------------------------------------------------------------ permutations

/// Fisher-Yates from the front; from 2^32 / 20 elements on, PyTorch's other variant.
pub fn permutation(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    const out = call.ptr[0].?;
    if (n >= std.math.maxInt(u32) / 20) {
        return switch (p.operands[0].dtype.size()) {
            inline 1, 2, 4, 8 => |size| insideOut(Unsigned(size), p.operands[0].dtype, out, n, g),
            else => unreachable,
        };
    }
    counting(p.operands[0].dtype, out, n);
    switch (p.operands[0].dtype.size()) {
        inline 1, 2, 4, 8 => |size| {
            const T = Unsigned(size);
            shuffle(T, @as([*]T, @ptrCast(@alignCast(out)))[0..n], g);
        },
        else => unreachable,
    }
}

fn Unsigned(comptime size: comptime_int) type {
    return @Int(.unsigned, size * 8);
}

fn counting(dtype: DType, out: [*]u8, n: usize) void {
    var buffer: [tile]i64 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = buffer[0..@min(tile, n - i)];
        for (part, i..) |*x, k| x.* = @intCast(k);
        tiles.store(i64, dtype, out, i, part);
    }
}

fn shuffle(comptime T: type, out: []T, g: *Generator) void {
    if (out.len < 2) return;
    const swaps = out.len - 1;
    var words: [tile]u32 = undefined;
    var i: usize = 0;
    while (i < swaps) : (i += tile) {
        const part = words[0..@min(tile, swaps - i)];
        partners(g, &words, part.len, out.len - i);
        // The partners of a tile are known before the first swap: have them on their way.
        if (out.len * @sizeOf(T) > 1 << 18) {
            for (part, i..) |z, k| @prefetch(&out[k + z], .{ .rw = .write });
        }
        for (part, i..) |z, k| std.mem.swap(T, &out[k], &out[k + z]);
    }
}

/// words[k] below n - k, for `count` words.
noinline fn partners(g: *Generator, words: *[tile]u32, count: usize, n: usize) void {
    g.fill(words[0..count]);
    const padded = (count + 7) & ~@as(usize, 7);
    var j: usize = 0;
    while (j < padded) : (j += 8) {
        var divisors: [8]f64 = undefined;
        for (&divisors, 0..) |*divisor, k| divisor.* = @floatFromInt(@max(1, n -| (j + k)));
        remainder8(words[j..][0..8], divisors);
    }
}

fn insideOut(comptime T: type, dtype: DType, bytes: [*]u8, n: usize, g: *Generator) void {
    const out: [*]T = @ptrCast(@alignCast(bytes));
    counting(dtype, bytes, n);
    for (0..n) |i| {
        const z: usize = @intCast(g.next64() % (i + 1));
        const own = out[i];
        out[i] = out[z];
        out[z] = own;
    }
}

// ------------------------------------------------------------------ bernoulli and dropout

/// u < p, for u of 53 bits, is a comparison of integers.
fn threshold(p: f64) u64 {
    return @trunc(@ceil(std.math.clamp(p, 0, 1) * 0x1p53));
}

fn choose(g: *Generator, limit: u64, out: []u8) void {
    const Q = @Vector(8, i64);
    var draws: [tile]u64 = undefined;
    const padded = (out.len + 7) & ~@as(usize, 7);
    @memset(draws[out.len..padded], 0);
    tiles.draws64(g, draws[0..out.len]);
    const mask: Q = @splat(@intCast(tiles.mask53));
    const below: Q = @splat(@intCast(limit));
    var chosen: [tile]u8 = undefined;
    var i: usize = 0;
    while (i < padded) : (i += 8) {
        const x: Q = @bitCast(@as(@Vector(8, u64), draws[i..][0..8].*));
        chosen[i..][0..8].* = @intFromBool((x & mask) < below);
    }
    @memcpy(out, chosen[0..out.len]);
}

pub fn bernoulli(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    const limit = threshold(call.scalar[0].f);
    var chosen: [tile]u8 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = chosen[0..@min(tile, n - i)];
        choose(g, limit, part);
        storeBits(p.operands[0].dtype, call.ptr[0].?, i, part);
    }
}

fn storeBits(dtype: DType, out: [*]u8, offset: usize, bits: []const u8) void {
    if (dtype.size() == 1) return @memcpy(out[offset..][0..bits.len], bits);
    var wide: [tile]i64 = undefined;
    for (wide[0..bits.len], bits) |*to, bit| to.* = bit;
    tiles.store(i64, dtype, out, offset, wide[0..bits.len]);
}

/// A float64 p is compared with 53 bits; any other, as a float32, with 24.
pub fn bernoulliTensor(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    const chances = p.operands[2];
    var bits: [tile]u8 = undefined;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const count: usize = @min(tile, n - i);
        const at = switch (chances.dtype) {
            .float64 => compare(f64, p, call, g, i, bits[0..count]),
            else => compare(f32, p, call, g, i, bits[0..count]),
        };
        if (at) |index| return call.fail(.invalid_value, .{ @intCast(index), 0, 0 });
        storeBits(p.operands[0].dtype, call.ptr[0].?, i, bits[0..count]);
    }
}

/// The index of a p that is no probability, or null.
fn compare(
    comptime T: type,
    p: *const Plan,
    call: *Call,
    g: *Generator,
    offset: usize,
    bits: []u8,
) ?usize {
    var units: [tile]T = undefined;
    var chances: [tile]T = undefined;
    tiles.gather(T, p.operands[2], call.ptr[2].?, offset, chances[0..bits.len]);
    for (chances[0..bits.len], offset..) |x, i| if (!(x >= 0 and x <= 1)) return i;
    (if (T == f64) tiles.unitsF64 else tiles.unitsF32)(g, units[0..bits.len]);
    for (bits, units[0..bits.len], chances[0..bits.len]) |*bit, u, x| bit.* = @intFromBool(u < x);
    return null;
}

pub fn dropout(p: *const Plan, call: *Call) void {
    const n = p.operands[0].numel();
    const g = tiles.generator(call, 2);
    g.acquire();
    defer g.release();
    const limit = threshold(p.floats[0]);
    const mask = call.ptr[1].?;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = mask[i..@min(i + tile, n)];
        choose(g, limit, part);
        maskTile(p, call, 3, part, i);
    }
}

pub fn dropoutBackward(p: *const Plan, call: *Call) void {
    const n = p.operands[0].numel();
    const Context = struct { plan: *const Plan, call: *Call, n: usize };
    const context: Context = .{ .plan = p, .call = call, .n = n };
    services.parallelFor((n + tile - 1) / tile, 64, context, struct {
        fn body(c: *const Context, begin: usize, end: usize) void {
            for (begin..end) |t| {
                const part = c.call.ptr[1].?[t * tile .. @min((t + 1) * tile, c.n)];
                maskTile(c.plan, c.call, 2, part, t * tile);
            }
        }
    }.body);
}

/// out = x * (mask ? 1 / keep : 0), with the factor rounded to the dtype first, as PyTorch's
/// noise tensor is; a nan or infinity that is dropped becomes nan, as there.
fn maskTile(p: *const Plan, call: *Call, operand: usize, mask: []const u8, offset: usize) void {
    const keep = p.floats[0];
    switch (p.operands[0].dtype) {
        .float64 => {
            var x: [tile]f64 = undefined;
            const values = x[0..mask.len];
            tiles.gather(f64, p.operands[operand], call.ptr[operand].?, offset, values);
            const factors: [2]f64 = .{ 0, 1 / keep };
            const out = call.at(f64, 0)[offset..][0..mask.len];
            for (out, values, mask) |*y, v, bit| y.* = v * factors[bit];
        },
        inline .float16, .bfloat16, .float32 => |d| {
            const T = d.Type();
            var x: [tile]f32 = undefined;
            const values = x[0..mask.len];
            tiles.gather(f32, p.operands[operand], call.ptr[operand].?, offset, values);
            var scale = 1 / @as(f32, @floatCast(keep));
            if (d == .float16) scale = @as(f16, @floatCast(scale));
            if (d == .bfloat16) scale = dtype_zig.BFloat16.fromF32(scale).toF32();
            const factors: [2]f32 = .{ 0, scale };
            const out = call.at(T, 0)[offset..][0..mask.len];
            for (out, values, mask) |*y, v, bit| {
                const product = v * factors[bit];
                y.* = if (d == .float32) product else tiles.narrow(T, product);
            }
        },
        else => unreachable,
    }
}

// ------------------------------------------------------------------ multinomial

pub fn multinomial(p: *const Plan, call: *Call, g: *Generator) void {
    switch (p.operands[2].dtype) {
        .float64 => multinomialOf(f64, p, call, g),
        else => multinomialOf(f32, p, call, g),
    }
}

/// The running sums of a row, in its own precision, divided by the last; a binary search for
/// each sample.
fn multinomialOf(comptime T: type, p: *const Plan, call: *Call, g: *Generator) void {
    const rows: usize = @intCast(p.operands[0].shape[0]);
    const samples: usize = @intCast(p.operands[0].shape[1]);
    const categories: usize = @intCast(p.operands[2].shape[1]);
    if (rows * samples == 0) return;
    const sums = services.allocSlice(T, categories) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(sums.ptr));
    for (0..rows) |row| {
        tiles.gather(T, p.operands[2], call.ptr[2].?, row * categories, sums);
        var sum: T = 0;
        for (sums) |*x| {
            if (std.math.isNan(x.*) or x.* < 0)
                return call.fail(.invalid_value, .{ 0, @intCast(row), 0 });
            if (std.math.isInf(x.*)) return call.fail(.invalid_value, .{ 1, @intCast(row), 0 });
            sum += x.*;
            x.* = sum;
        }
        if (!(sum > 0)) return call.fail(.invalid_value, .{ 2, @intCast(row), 0 });
        for (sums) |*x| x.* /= sum;
        sums[categories - 1] = 1;
        for (call.at(i64, 0)[row * samples ..][0..samples]) |*out| {
            const u = @as(f64, @floatFromInt(g.next64() & tiles.mask53)) * 0x1p-53;
            var left: usize = 0;
            var right = categories;
            while (left < right) {
                const middle = left + (right - left) / 2;
                if (sums[middle] < u) left = middle + 1 else right = middle;
            }
            out.* = @intCast(left);
        }
    }
}

// ------------------------------------------------------------------ poisson

pub fn poisson(p: *const Plan, call: *Call, g: *Generator) void {
    const n = p.operands[0].numel();
    var rates: [tile]f64 = undefined;
    // Rates often repeat: e^-rate is kept.
    var last: f64 = 0;
    var bound: f64 = 1;
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const part = rates[0..@min(tile, n - i)];
        tiles.gather(f64, p.operands[2], call.ptr[2].?, i, part);
        for (part, i..) |*x, index| {
            if (!(x.* >= 0)) return call.fail(.invalid_value, .{ @intCast(index), 0, 0 });
            if (x.* < 10 and x.* != last) {
                last = x.*;
                bound = math.exp(@splat(-last))[0];
            }
            x.* = onePoisson(x.*, bound, g);
        }
        tiles.store(f64, p.operands[0].dtype, call.ptr[0].?, i, part);
    }
}

pub fn unit(g: *Generator) f64 {
    return @as(f64, @floatFromInt(g.next64() & tiles.mask53)) * 0x1p-53;
}
pub fn log(x: f64) f64 {
    if (x <= 0) return -std.math.inf(f64);
    return math.log(@splat(x))[0];
}

/// Below 10, uniforms are multiplied until they fall under e^-rate; from there on Hoermann's
/// transformed rejection (PTRS, 1993). `bound` is e^-rate where rate < 10.
fn onePoisson(rate: f64, bound: f64, g: *Generator) f64 {
    if (rate == 0) return 0;
    if (rate < 10) {
        var product: f64 = 1;
        var count: f64 = 0;
        while (true) : (count += 1) {
            product *= unit(g);
            if (!(product > bound)) return count;
        }
    }
    if (!std.math.isFinite(rate)) return rate;
    const root = @sqrt(rate);
    const log_rate = log(rate);
    const b = 0.931 + 2.53 * root;
    const a = -0.059 + 0.02483 * b;
    const inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    const accept = 0.9277 - 3.6224 / (b - 2);
    while (true) {
        const u = unit(g) - 0.5;
        const v = unit(g);
        const us = 0.5 - @abs(u);
        const k = @floor((2 * a / us + b) * u + rate + 0.43);
        if (us >= 0.07 and v <= accept) return k;
        if (k < 0 or (us < 0.013 and v > us)) continue;
        const left = log(v) + log(inverse_alpha) - log(a / (us * us) + b);
        if (left <= -rate + k * log_rate - logFactorial(k)) return k;
    }
}

/// ln k!: the product up to 16, from there on Stirling's series.
fn logFactorial(k: f64) f64 {
    if (k < 17) {
        var product: f64 = 1;
        var i: f64 = 2;
        while (i <= k) : (i += 1) product *= i;
        return log(product);
    }
    const x = k + 1;
    const y = 1 / (x * x);
    var series: f64 = 1.0 / 1188.0;
    inline for (.{ 1680.0, 1260.0, 360.0, 12.0 }) |c| series = 1.0 / c - y * series;
    series /= x;
    return (x - 0.5) * log(x) - x + 0.91893853320467274178 + series;
}
