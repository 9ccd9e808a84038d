//! reduce.zig against a scalar reference, over layouts, dtypes and sizes.
const std = @import("std");
const reduce = @import("reduce.zig");
const plan = @import("../plan.zig");
const stage = @import("reduce_stage.zig");
const threads = @import("../threads.zig");
const DType = @import("../dtype.zig").DType;
const gpa = std.testing.allocator;

fn rowNumber(name: []const u8) u32 {
    for (reduce.names, 0..) |n, i| if (std.mem.eql(u8, n, name)) return @intCast(i);
    unreachable;
}

const Tensor = struct {
    operand: plan.Operand,
    bytes: []align(64) u8,

    /// Memory for a shape with these strides; `fill` gives element number i of memory.
    fn init(
        dtype: DType,
        shape: []const i64,
        strides: []const i64,
        random: std.Random,
        spread: f64,
    ) !Tensor {
        var last: usize = 0;
        for (shape, strides) |n, s| last += @intCast(@max(0, n - 1) * s);
        const count = last + 1;
        const t: Tensor = .{
            .operand = .{ .dtype = dtype, .shape = shape, .strides = strides },
            .bytes = try gpa.alignedAlloc(u8, .@"64", count * dtype.size()),
        };
        for (0..count) |i| {
            const float = random.float(f64) * 2 - 1;
            const whole = @round(float * spread);
            const v: f64 = if (dtype.isFloat()) float * spread else switch (dtype) {
                .bool => @floatFromInt(@intFromBool(float > 0.5)),
                .uint8 => @abs(whole),
                else => whole,
            };
            stage.store(f64, dtype, &[1]f64{v}, 1, 1, t.bytes.ptr + i * dtype.size(), 1);
        }
        return t;
    }
    fn deinit(t: Tensor) void {
        gpa.free(t.bytes);
    }
    fn get(t: Tensor, comptime T: type, i: usize) T {
        var v: [1]T = undefined;
        stage.load(T, t.operand.dtype, t.bytes.ptr + i * t.operand.dtype.size(), 1, 1, &v, 1);
        return v[0];
    }
};

fn contiguous(shape: []const i64, strides: []i64) void {
    var s: i64 = 1;
    var d = shape.len;
    while (d > 0) {
        d -= 1;
        strides[d] = s;
        s *= shape[d];
    }
}

/// The elements that make up result number `result`, in logical order.
fn gather(
    comptime T: type,
    x: Tensor,
    dims: []const i64,
    result: usize,
    into: *std.ArrayList(T),
) !void {
    into.clearRetainingCapacity();
    const shape = x.operand.shape;
    const n = x.operand.numel();
    for (0..n) |number| {
        var rest = number;
        var kept: usize = 0;
        var scale: usize = 1;
        var offset: usize = 0;
        var d = shape.len;
        while (d > 0) {
            d -= 1;
            const size: usize = @intCast(shape[d]);
            const k = rest % size;
            rest /= size;
            offset += k * @as(usize, @intCast(x.operand.strides[d]));
            if (std.mem.findScalar(i64, dims, @intCast(d)) == null) {
                kept += k * scale;
                scale *= size;
            }
        }
        if (kept == result) try into.append(gpa, x.get(T, offset));
    }
}

fn reference(name: []const u8, v: []const f64, parameter: f64) [2]f64 {
    const n: f64 = @floatFromInt(v.len);
    var sum: f64 = 0;
    var product: f64 = 1;
    var squares: f64 = 0;
    var magnitudes: f64 = 0;
    var nonzero: f64 = 0;
    var powers: f64 = 0;
    var largest: usize = 0;
    var smallest: usize = 0;
    var largest_magnitude: f64 = 0;
    var smallest_magnitude: f64 = std.math.inf(f64);
    for (v, 0..) |x, i| {
        sum += x;
        product *= x;
        squares += x * x;
        magnitudes += @abs(x);
        if (x != 0) nonzero += 1;
        powers += std.math.pow(f64, @abs(x), parameter);
        if (x > v[largest] or (x != x and v[largest] == v[largest])) largest = i;
        if (x < v[smallest] or (x != x and v[smallest] == v[smallest])) smallest = i;
        largest_magnitude = @max(largest_magnitude, @abs(x));
        smallest_magnitude = @min(smallest_magnitude, @abs(x));
    }
    const mean = sum / n;
    var deviations: f64 = 0;
    var exponentials: f64 = 0;
    for (v) |x| {
        deviations += (x - mean) * (x - mean);
        exponentials += @exp(x);
    }
    const variance = deviations / @max(0, n - parameter);
    const Case = enum {
        sum,
        prod,
        mean,
        max,
        min,
        any,
        all,
        count_nonzero,
        nansum,
        sum_squares,
        norm0,
        norm1,
        norm2,
        norm_inf,
        norm_neg_inf,
        norm_p,
        @"var",
        std,
        var_mean,
        std_mean,
        logsumexp,
        max_dim,
        min_dim,
        argmax,
        argmin,
    };
    return switch (std.meta.stringToEnum(Case, name).?) {
        .sum, .nansum => .{ sum, 0 },
        .prod => .{ product, 0 },
        .mean => .{ mean, 0 },
        .max => .{ v[largest], 0 },
        .min => .{ v[smallest], 0 },
        .any => .{ @floatFromInt(@intFromBool(nonzero > 0)), 0 },
        .all => .{ @floatFromInt(@intFromBool(nonzero == n)), 0 },
        .count_nonzero, .norm0 => .{ nonzero, 0 },
        .sum_squares => .{ squares, 0 },
        .norm1 => .{ magnitudes, 0 },
        .norm2 => .{ @sqrt(squares), 0 },
        .norm_inf => .{ largest_magnitude, 0 },
        .norm_neg_inf => .{ smallest_magnitude, 0 },
        .norm_p => .{ std.math.pow(f64, powers, 1 / parameter), 0 },
        .@"var" => .{ variance, 0 },
        .std => .{ @sqrt(variance), 0 },
        .var_mean => .{ variance, mean },
        .std_mean => .{ @sqrt(variance), mean },
        .logsumexp => .{ @log(exponentials), 0 },
        .max_dim => .{ v[largest], @floatFromInt(largest) },
        .min_dim => .{ v[smallest], @floatFromInt(smallest) },
        .argmax => .{ @floatFromInt(largest), 0 },
        .argmin => .{ @floatFromInt(smallest), 0 },
    };
}

fn outputDType(name: []const u8, in: DType, k: usize) DType {
    const eql = std.mem.eql;
    if (eql(u8, name, "any") or eql(u8, name, "all")) return .bool;
    if (eql(u8, name, "count_nonzero") or std.mem.startsWith(u8, name, "arg")) return .int64;
    if (std.mem.endsWith(u8, name, "_dim")) return if (k == 0) in else .int64;
    if (eql(u8, name, "max") or eql(u8, name, "min")) return in;
    const sums = eql(u8, name, "sum") or eql(u8, name, "prod") or eql(u8, name, "nansum");
    if (sums and !in.isFloat()) return .int64;
    return if (in.isFloat()) in else .float32;
}

const Result = struct {
    out: [2]Tensor,
    count: u32,
    fn deinit(r: Result) void {
        for (r.out[0..r.count]) |t| t.deinit();
    }
};

fn run(name: []const u8, x: Tensor, dims: []const i64, parameter: f64) !Result {
    var shape: [8]i64 = undefined;
    var strides: [8]i64 = undefined;
    var n: usize = 0;
    for (x.operand.shape, 0..) |s, d| if (std.mem.findScalar(i64, dims, @intCast(d)) == null) {
        shape[n] = s;
        n += 1;
    };
    contiguous(shape[0..n], &strides);
    const pair = std.mem.endsWith(u8, name, "_mean") or std.mem.endsWith(u8, name, "_dim");
    const count: u32 = if (pair) 2 else 1;
    var generator: std.Random.DefaultPrng = .init(1);
    var operands: [3]plan.Operand = undefined;
    var result: Result = .{ .out = undefined, .count = count };
    var call: plan.Call = .{};
    for (0..count) |k| {
        const dtype = outputDType(name, x.operand.dtype, k);
        result.out[k] = try .init(dtype, shape[0..n], strides[0..n], generator.random(), 1);
        operands[k] = result.out[k].operand;
        call.ptr[k] = result.out[k].bytes.ptr;
    }
    operands[count] = x.operand;
    call.ptr[count] = x.bytes.ptr;
    var p = plan.testPlan(operands[0 .. count + 1], count, rowNumber(name), dims, &.{parameter});
    try reduce.family.prepare(&p);
    defer plan.destroyState(&p);
    p.run(&p, &call);
    try std.testing.expectEqual(0, call.status.load(.monotonic));
    return result;
}

/// Every result against the reference, and the same bits on 1, 2 and 3 threads.
fn check(name: []const u8, x: Tensor, dims: []const i64, parameter: f64) !void {
    _ = threads.setCount(1);
    const result = try run(name, x, dims, parameter);
    defer result.deinit();
    for ([_]u32{ 2, 3 }) |n| {
        _ = threads.setCount(n);
        const other = try run(name, x, dims, parameter);
        defer other.deinit();
        for (result.out[0..result.count], other.out[0..result.count]) |a, b|
            try std.testing.expectEqualSlices(u8, a.bytes, b.bytes);
    }
    var values: std.ArrayList(f64) = .empty;
    defer values.deinit(gpa);
    const in = x.operand.dtype;
    var results: usize = 1;
    for (x.operand.shape, 0..) |s, d| {
        if (std.mem.findScalar(i64, dims, @intCast(d)) == null) results *= @intCast(s);
    }
    const stride = @max(1, results / 40); // not every one of many
    var i: usize = 0;
    while (i < results) : (i += stride) {
        try gather(f64, x, dims, i, &values);
        const expected = reference(name, values.items, parameter);
        for (result.out[0..result.count], expected[0..result.count]) |t, e| {
            const got = t.get(f64, i);
            const tolerance: f64 = switch (t.operand.dtype) {
                .float16 => 1e-3,
                .bfloat16 => 8e-3,
                .float32 => 2e-6,
                .float64 => 1e-13,
                else => 0,
            };
            var size: f64 = @abs(e);
            // What rounds is the exponential of 0 or near it.
            if (std.mem.eql(u8, name, "logsumexp")) size = @max(size, 1);
            if (std.mem.findAny(u8, name, "smv") != null) {
                // A sum may cancel: its error is relative to what went in.
                const root = @sqrt(@as(f64, @floatFromInt(values.items.len)));
                for (values.items) |v| size = @max(size, @abs(v) * root);
            }
            if (e != e and got != got) continue;
            if (e == got or @abs(e - got) <= tolerance * size) continue;
            std.debug.print("{s} {t} {any} over {any}: {d}, not {d}\n", .{
                name, in, x.operand.shape, dims, got, e,
            });
            return error.Wrong;
        }
    }
}

const subsets = [_][]const i64{
    &.{},
    &.{0},
    &.{1},
    &.{2},
    &.{ 0, 1 },
    &.{ 0, 2 },
    &.{ 2, 1 },
    &.{ 0, 1, 2 },
};

fn checkLayouts(
    name: []const u8,
    dtype: DType,
    shape: [3]i64,
    random: std.Random,
    spread: f64,
    parameter: f64,
) !void {
    const a, const b, const c = shape;
    const layouts = [_][3]i64{
        .{ b * c, c, 1 }, // contiguous
        .{ 1, a * c, a }, // permuted
        .{ 3 * b * c, 3 * c, 3 }, // with gaps
        .{ c, 0, 1 }, // broadcast
        .{ b * (c + 5), c + 5, 1 }, // a slice
    };
    for (layouts) |strides| {
        const x = try Tensor.init(dtype, &shape, &strides, random, spread);
        defer x.deinit();
        for (subsets) |dims| try check(name, x, dims, parameter);
    }
}

test "every row, over layouts and dimensions" {
    var generator: std.Random.DefaultPrng = .init(7);
    const random = generator.random();
    for (reduce.names) |name| {
        const spread: f64 = if (std.mem.eql(u8, name, "prod")) 1.2 else 3;
        const p: f64 = if (std.mem.eql(u8, name, "norm_p")) 2.5 else 1;
        try checkLayouts(name, .float32, .{ 3, 5, 7 }, random, spread, p);
        try checkLayouts(name, .float64, .{ 2, 33, 18 }, random, spread, p);
    }
}

test "every dtype" {
    var generator: std.Random.DefaultPrng = .init(8);
    for ([_][]const u8{
        "sum",
        "mean",
        "max",
        "min",
        "argmin",
        "any",
        "all",
        "count_nonzero",
        "std",
    }) |name| {
        for (0..10) |d| {
            const dtype: DType = @fromBackingInt(@as(u8, @intCast(d)));
            try checkLayouts(name, dtype, .{ 2, 5, 19 }, generator.random(), 9, 0);
        }
    }
    // Of narrow integers, columns so long that the sums of their lanes have to be folded on the way.
    for ([_][]const u8{ "sum", "max", "count_nonzero" }) |name| for ([_]DType{ .uint8, .int16 }) |dtype| {
        try checkLayouts(name, dtype, .{ 130, 2, 577 }, generator.random(), 90, 0);
    };
}

test "long reductions: blocks, packed runs, tiles, threads" {
    var generator: std.Random.DefaultPrng = .init(9);
    const random = generator.random();
    for ([_][]const u8{ "sum", "norm1", "var_mean", "max_dim", "logsumexp" }) |name| {
        for ([_][3]i64{
            .{ 1, 1, 90_001 },
            .{ 2, 20_001, 3 },
            .{ 3, 700, 33 },
            .{ 40, 3, 600 },
            .{ 1300, 1, 17 },
            .{ 3, 5000, 2 },
        }) |shape| {
            for ([_]DType{ .float32, .bfloat16, .float16 }) |dtype| {
                if (dtype != .float32 and !std.mem.eql(u8, name, "sum")) continue;
                const x = try Tensor.init(
                    dtype,
                    &shape,
                    &.{ shape[1] * shape[2], shape[2], 1 },
                    random,
                    1,
                );
                defer x.deinit();
                for ([_][]const i64{ &.{0}, &.{1}, &.{2}, &.{ 0, 2 }, &.{ 0, 1, 2 } }) |dims| {
                    // The reference is slow: not where results are many and short.
                    const many = shape[0] * shape[1] * shape[2] > 50_000;
                    if (many and dims.len == 1 and shape[@intCast(dims[0])] < 600) continue;
                    try check(name, x, dims, 1);
                }
            }
        }
    }
}

test "narrow integers: rows of several blocks" {
    var generator: std.Random.DefaultPrng = .init(11);
    for ([_][]const u8{ "max", "min", "any", "count_nonzero", "sum" }) |name| {
        for ([_]DType{ .bool, .uint8, .int8, .int16, .int32 }) |dtype|
            try checkLayouts(name, dtype, .{ 2, 40, 1001 }, generator.random(), 100, 0);
    }
}

test "few neighbours: several rows taken for one, or results elsewhere side by side" {
    var generator: std.Random.DefaultPrng = .init(12);
    for ([_][]const u8{ "max_dim", "argmin", "logsumexp", "var", "sum", "max", "any" }) |name| {
        for ([_]DType{ .float32, .float64, .int32, .uint8, .float16 }) |dtype| {
            for ([_][3]i64{ .{ 3, 130, 2 }, .{ 2, 1 << 8, 5 }, .{ 2, 77, 5 }, .{ 40, 10, 3 }, .{ 130, 10, 10 }, .{ 9, 3, 20 }, .{ 600, 5, 2 } }) |shape|
                try checkLayouts(name, dtype, shape, generator.random(), 2, 0);
        }
    }
}

test "nothing to reduce, no results" {
    const shape = [_]i64{ 3, 0, 2 };
    var generator: std.Random.DefaultPrng = .init(10);
    const x = try Tensor.init(.float32, &shape, &.{ 0, 2, 1 }, generator.random(), 1);
    defer x.deinit();
    const nan = std.math.nan(f64);
    const cases = [_]struct { []const u8, f64 }{
        .{ "sum", 0 },
        .{ "prod", 1 },
        .{ "mean", nan },
        .{ "any", 0 },
        .{ "all", 1 },
        .{ "var", nan },
        .{ "norm2", 0 },
        .{ "logsumexp", -std.math.inf(f64) },
        .{ "var_mean", nan },
    };
    for (cases) |case| {
        const r = try run(case[0], x, &.{1}, 1);
        defer r.deinit();
        for (0..6) |i| for (r.out[0..r.count]) |t| {
            const v = t.get(f64, i);
            try std.testing.expect(v == case[1] or (v != v and case[1] != case[1]));
        };
        const none = try run(case[0], x, &.{0}, 1);
        none.deinit();
    }
}

test "nan wins an extremum, the first of equals is the index, -inf has a logsumexp" {
    var x: [2000]f32 align(64) = undefined;
    for (&x, 0..) |*e, i| e.* = @floatFromInt(i % 50);
    const t: Tensor = .{
        .operand = .{ .dtype = .float32, .shape = &.{2000}, .strides = &.{1} },
        .bytes = @alignCast(std.mem.sliceAsBytes(&x)),
    };
    const Case = struct {
        fn first(name: []const u8, tensor: Tensor, dims: []const i64) !f64 {
            const r = try run(name, tensor, dims, 0);
            defer r.deinit();
            return r.out[0].get(f64, 0);
        }
    };
    try std.testing.expectEqual(49, try Case.first("argmax", t, &.{0}));
    try std.testing.expectEqual(0, try Case.first("argmin", t, &.{0}));
    // As two columns of 1000: the even ones.
    const columns: Tensor = .{
        .operand = .{ .dtype = .float32, .shape = &.{ 1000, 2 }, .strides = &.{ 2, 1 } },
        .bytes = t.bytes,
    };
    try std.testing.expectEqual(24, try Case.first("argmax", columns, &.{0}));
    x[1234] = std.math.nan(f32);
    x[1300] = std.math.nan(f32);
    try std.testing.expectEqual(1234, try Case.first("argmax", t, &.{0}));
    try std.testing.expectEqual(1234, try Case.first("argmin", t, &.{0}));
    try std.testing.expectEqual(617, try Case.first("argmin", columns, &.{0}));
    for ([_][]const u8{ "max", "min", "sum", "norm_inf", "logsumexp" }) |name|
        try std.testing.expect(std.math.isNan(try Case.first(name, t, &.{0})));
    try std.testing.expect(!std.math.isNan(try Case.first("nansum", t, &.{0})));
    const inf = std.math.inf(f32);
    @memset(&x, -inf);
    try std.testing.expectEqual(-inf, try Case.first("logsumexp", t, &.{0}));
    try std.testing.expectEqual(-inf, try Case.first("logsumexp", columns, &.{0}));
    x[70] = inf;
    try std.testing.expectEqual(inf, try Case.first("logsumexp", t, &.{0}));
    try std.testing.expectEqual(inf, try Case.first("logsumexp", columns, &.{0}));
}
