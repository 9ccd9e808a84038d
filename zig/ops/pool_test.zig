//! pool.zig against the definitions, element by element.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const BFloat16 = @import("../dtype.zig").BFloat16;
const plan = @import("../plan.zig");
const threads = @import("../threads.zig");
const pool = @import("pool.zig");

const gpa = std.testing.allocator;
const planes = 6; // as (2, 3), the large side's planes interleaved in memory

const Case = struct {
    dims: usize = 2,
    in: [3]usize,
    out: [3]usize,
    kernel: [3]usize = .{ 1, 1, 1 },
    stride: [3]usize = .{ 1, 1, 1 },
    padding: [3]usize = .{ 0, 0, 0 },
    dilation: [3]usize = .{ 1, 1, 1 },
    include: bool = true,
    divisor: i64 = 0,
};

fn toF64(x: anytype) f64 {
    return switch (@TypeOf(x)) {
        BFloat16 => x.toF32(),
        f16, f32, f64 => x,
        else => @floatFromInt(x),
    };
}
/// Rounded from the type computed in.
fn round(comptime E: type, x: f64) E {
    return switch (E) {
        BFloat16 => .fromF32(@floatCast(x)),
        f16 => @floatCast(@as(f32, @floatCast(x))),
        f32, f64 => @floatCast(x),
        else => @intFromFloat(x),
    };
}
fn same(a: anytype, b: @TypeOf(a)) bool {
    const x = toF64(a);
    const y = toF64(b);
    return x == y or (x != x and y != y);
}

/// A tensor (2, 3, *size) whose elements lie row-major, or with the planes innermost.
const Side = struct {
    shape: [5]i64 = undefined,
    strides: [5]i64 = undefined,
    dims: usize,
    size: [3]usize,
    interleaved: bool,

    fn of(size: [3]usize, dims: usize, interleaved: bool) Side {
        var s: Side = .{ .dims = dims, .size = size, .interleaved = interleaved };
        const n: i64 = @intCast(size[0] * size[1] * size[2]);
        s.shape[0] = 2;
        s.shape[1] = 3;
        s.strides[0] = if (interleaved) 3 else 3 * n;
        s.strides[1] = if (interleaved) 1 else n;
        var stride: i64 = if (interleaved) planes else 1;
        var k = dims;
        while (k > 0) {
            k -= 1;
            s.shape[2 + k] = @intCast(size[3 - dims + k]);
            s.strides[2 + k] = stride;
            stride *= s.shape[2 + k];
        }
        return s;
    }
    fn operand(s: *const Side, d: DType) plan.Operand {
        return .{
            .dtype = d,
            .shape = s.shape[0 .. 2 + s.dims],
            .strides = s.strides[0 .. 2 + s.dims],
        };
    }
    fn numel(s: *const Side) usize {
        return planes * s.size[0] * s.size[1] * s.size[2];
    }
    fn at(s: *const Side, plane: usize, x: [3]usize) usize {
        const i = (x[0] * s.size[1] + x[1]) * s.size[2] + x[2];
        return if (s.interleaved) i * planes + plane else plane * s.size[0] * s.size[1] * s.size[2] + i;
    }
};

fn execute(
    row: pool.Row,
    operands: []const plan.Operand,
    n_out: u32,
    ints: []const i64,
    ptrs: []const ?*anyopaque,
) !void {
    var p = plan.testPlan(operands, n_out, @backingInt(row), ints, &.{});
    try pool.family.prepare(&p);
    defer plan.destroyState(&p);
    var call: plan.Call = .{};
    for (ptrs, 0..) |ptr, i| call.ptr[i] = @ptrCast(ptr);
    p.run(&p, &call);
    try std.testing.expectEqual(0, call.status.load(.monotonic));
}

/// One window in one dimension: steps count, from start, by step.
const Window = struct { start: i64, count: usize, step: usize, low: i64, high: i64 };

fn windowOf(c: Case, adaptive: bool, k: usize, o: usize) Window {
    const size: i64 = @intCast(c.in[k]);
    if (adaptive) {
        const start: i64 = @intCast(o * c.in[k] / c.out[k]);
        const stop: usize = ((o + 1) * c.in[k] + c.out[k] - 1) / c.out[k];
        return .{
            .start = start,
            .count = stop - @as(usize, @intCast(start)),
            .step = 1,
            .low = 0,
            .high = size,
        };
    }
    const pad: i64 = @intCast(c.padding[k]);
    return .{
        .start = @as(i64, @intCast(o * c.stride[k])) - pad,
        .count = c.kernel[k],
        .step = c.dilation[k],
        .low = -pad,
        .high = size + pad,
    };
}

/// What a window holds: its elements' flat indices, and how many divide its sum.
const Walk = struct {
    indices: [512]usize = undefined,
    len: usize = 0,
    padded: usize = 0,

    fn of(c: Case, adaptive: bool, o: [3]usize) Walk {
        var w: Walk = .{};
        var win: [3]Window = undefined;
        for (0..3) |k| win[k] = windowOf(c, adaptive, k, o[k]);
        for (0..win[0].count) |a| for (0..win[1].count) |b| for (0..win[2].count) |e| {
            var flat: usize = 0;
            var inside = true;
            var counts = true;
            for ([3]usize{ a, b, e }, 0..) |t, k| {
                const x = win[k].start + @as(i64, @intCast(t * win[k].step));
                if (x < win[k].low or x >= win[k].high) counts = false;
                if (x < 0 or x >= c.in[k]) inside = false else flat = flat * c.in[k] + @as(usize, @intCast(x));
            }
            if (counts) w.padded += 1;
            if (!inside) continue;
            w.indices[w.len] = flat;
            w.len += 1;
        };
        return w;
    }
};

fn check(comptime d: DType, c: Case, adaptive: bool, random: std.Random) !void {
    const E = d.Type();
    const large: Side = .of(c.in, c.dims, true);
    const small: Side = .of(c.out, c.dims, true);
    const large_out: Side = .of(c.in, c.dims, false);
    const small_out: Side = .of(c.out, c.dims, false);
    const x = try gpa.alloc(E, large.numel());
    defer gpa.free(x);
    const g = try gpa.alloc(E, small.numel());
    defer gpa.free(g);
    for (x) |*v| v.* = round(E, @floatFromInt(random.intRangeAtMost(i32, 0, 9)));
    for (g) |*v| v.* = round(E, @floatFromInt(random.intRangeAtMost(i32, 0, 9)));
    const float = comptime d.isFloat();
    if (float) {
        x[x.len / 2] = round(E, std.math.nan(f64));
        x[0] = round(E, -std.math.inf(f64));
    }
    const values = try gpa.alloc(E, small.numel());
    defer gpa.free(values);
    const indices = try gpa.alloc(i64, small.numel());
    defer gpa.free(indices);
    const gx = try gpa.alloc(E, large.numel());
    defer gpa.free(gx);
    const want_gx = try gpa.alloc(f64, large.numel());
    defer gpa.free(want_gx);

    var ints: [14]i64 = undefined;
    ints[0] = @intCast(c.dims);
    for (0..c.dims) |k| {
        const from = 3 - c.dims + k;
        ints[1 + k] = @intCast(c.kernel[from]);
        ints[1 + c.dims + k] = @intCast(c.stride[from]);
        ints[1 + 2 * c.dims + k] = @intCast(c.padding[from]);
        ints[1 + 3 * c.dims + k] = @intCast(c.dilation[from]);
    }

    for ([_]u32{ 1, 3 }) |count| {
        _ = threads.setCount(count);
        // max: the first of equals, the last nan.
        try execute(
            if (adaptive) .adaptive_max_pool else .max_pool,
            &.{ small_out.operand(d), small_out.operand(.int64), large.operand(d) },
            2,
            ints[0 .. 1 + 4 * c.dims],
            &.{ values.ptr, indices.ptr, x.ptr },
        );
        @memset(want_gx, 0);
        for (0..planes) |plane| for (0..c.out[0]) |a| for (0..c.out[1]) |b| for (0..c.out[2]) |e| {
            const o = [3]usize{ a, b, e };
            const walk: Walk = .of(c, adaptive, o);
            var best = walk.indices[0];
            var top = toF64(x[best * planes + plane]);
            for (walk.indices[0..walk.len]) |i| {
                const v = toF64(x[i * planes + plane]);
                if (v > top or v != v) {
                    top = v;
                    best = i;
                }
            }
            const at = small_out.at(plane, o);
            try std.testing.expectEqual(@as(i64, @intCast(best)), indices[at]);
            try std.testing.expect(same(x[best * planes + plane], values[at]));
            want_gx[plane * (large.numel() / planes) + best] += toF64(g[small.at(plane, o)]);
        };
        const indices_side: Side = small_out;
        try execute(
            .max_pool_backward,
            &.{ large_out.operand(d), small.operand(d), indices_side.operand(.int64) },
            1,
            ints[0..1],
            &.{ gx.ptr, g.ptr, indices.ptr },
        );
        for (gx, want_gx) |got, want| try std.testing.expect(same(round(E, want), got));
        if (!float) continue;

        x[x.len / 2] = round(E, 3);
        x[0] = round(E, 1);
        defer x[x.len / 2] = round(E, std.math.nan(f64));
        defer x[0] = round(E, -std.math.inf(f64));
        if (c.dilation[0] * c.dilation[1] * c.dilation[2] != 1) continue;
        ints[1 + 3 * c.dims] = @intFromBool(c.include);
        ints[2 + 3 * c.dims] = c.divisor;
        defer for (0..c.dims) |k| {
            ints[1 + 3 * c.dims + k] = 1;
        };
        try execute(
            if (adaptive) .adaptive_avg_pool else .avg_pool,
            &.{ small_out.operand(d), large.operand(d) },
            1,
            ints[0 .. 3 + 3 * c.dims],
            &.{ values.ptr, x.ptr },
        );
        try execute(
            if (adaptive) .adaptive_avg_pool_backward else .avg_pool_backward,
            &.{ large_out.operand(d), small.operand(d) },
            1,
            ints[0 .. 3 + 3 * c.dims],
            &.{ gx.ptr, g.ptr },
        );
        const T = if (d == .float64) f64 else f32;
        const sums = try gpa.alloc(T, large.numel());
        defer gpa.free(sums);
        @memset(sums, 0);
        for (0..planes) |plane| for (0..c.out[0]) |a| for (0..c.out[1]) |b| for (0..c.out[2]) |e| {
            const o = [3]usize{ a, b, e };
            const walk: Walk = .of(c, adaptive, o);
            const n = if (c.divisor != 0) c.divisor else @as(i64, @intCast(if (c.include) walk.padded else walk.len));
            const by: T = @floatFromInt(@max(1, n));
            var sum: T = 0;
            for (walk.indices[0..walk.len]) |i| sum += @floatCast(toF64(x[i * planes + plane]));
            try std.testing.expect(same(round(E, sum / by), values[small_out.at(plane, o)]));
            const share = @as(T, @floatCast(toF64(g[small.at(plane, o)]))) / by;
            for (walk.indices[0..walk.len]) |i| sums[plane * (large.numel() / planes) + i] += share;
        };
        for (gx, sums) |got, want| try std.testing.expect(@abs(toF64(got) - toF64(round(E, want))) <=
            @as(f64, if (d == .float64) 1e-14 else if (d == .float32) 1e-5 else 0.2));
    }
}

test "pooling, by windows and adaptive" {
    var prng = std.Random.DefaultPrng.init(9);
    const random = prng.random();
    const windows = [_]Case{
        .{ .in = .{ 1, 6, 8 }, .out = .{ 1, 3, 4 }, .kernel = .{ 1, 2, 2 }, .stride = .{ 1, 2, 2 } },
        .{ .in = .{ 1, 7, 40 }, .out = .{ 1, 4, 20 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 1, 1 } },
        .{ .in = .{ 1, 7, 9 }, .out = .{ 1, 7, 9 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 }, .include = false },
        .{ .in = .{ 1, 6, 6 }, .out = .{ 1, 3, 3 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .divisor = 7 }, // ceil_mode
        .{ .in = .{ 1, 9, 10 }, .out = .{ 1, 3, 4 }, .kernel = .{ 1, 3, 2 }, .stride = .{ 1, 2, 3 }, .padding = .{ 0, 1, 1 }, .dilation = .{ 1, 3, 2 } },
        .{ .dims = 1, .in = .{ 1, 1, 50 }, .out = .{ 1, 1, 48 }, .kernel = .{ 1, 1, 3 } },
        // Read in place, columns one or two apart; with columns and rows in no window.
        .{ .dims = 2, .in = .{ 1, 9, 39 }, .out = .{ 1, 4, 19 }, .kernel = .{ 1, 2, 2 }, .stride = .{ 1, 2, 2 } },
        .{ .dims = 2, .in = .{ 1, 6, 19 }, .out = .{ 1, 2, 17 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 3, 1 } },
        .{ .dims = 2, .in = .{ 1, 7, 70 }, .out = .{ 1, 2, 17 }, .kernel = .{ 1, 3, 4 }, .stride = .{ 1, 3, 4 } },
        .{ .dims = 1, .in = .{ 1, 1, 5 }, .out = .{ 1, 1, 3 }, .kernel = .{ 1, 1, 2 }, .stride = .{ 1, 1, 2 } }, // ceil_mode
        .{ .dims = 3, .in = .{ 5, 4, 6 }, .out = .{ 2, 2, 4 }, .kernel = .{ 2, 2, 3 }, .stride = .{ 2, 2, 2 }, .padding = .{ 0, 0, 1 } },
    };
    const adaptive = [_]Case{
        .{ .in = .{ 1, 7, 7 }, .out = .{ 1, 1, 1 } },
        .{ .in = .{ 1, 7, 10 }, .out = .{ 1, 3, 4 } },
        .{ .in = .{ 1, 3, 4 }, .out = .{ 1, 5, 7 } },
        .{ .dims = 1, .in = .{ 1, 1, 100 }, .out = .{ 1, 1, 3 } },
        .{ .dims = 3, .in = .{ 4, 5, 6 }, .out = .{ 2, 5, 1 } },
    };
    inline for (.{ DType.float32, .float64, .float16, .bfloat16, .int32, .uint8, .int64 }) |d| {
        for (windows) |c| try check(d, c, false, random);
        for (adaptive) |c| try check(d, c, true, random);
    }
}

test "max_unpool writes, and an index outside of the plane is reported" {
    _ = threads.setCount(1);
    const x = [_]f32{ 1, 2, 3 };
    var index = [_]i64{ 4, 0, 4 };
    var out: [5]f32 = undefined;
    const operands = [_]plan.Operand{
        .{ .dtype = .float32, .shape = &.{5}, .strides = &.{1} },
        .{ .dtype = .float32, .shape = &.{3}, .strides = &.{1} },
        .{ .dtype = .int64, .shape = &.{3}, .strides = &.{1} },
    };
    try execute(.max_unpool, &operands, 1, &.{1}, &.{ &out, @constCast(&x), &index });
    try std.testing.expectEqual([5]f32{ 2, 0, 0, 0, 3 }, out);
    index[1] = 5;
    var p = plan.testPlan(&operands, 1, @backingInt(pool.Row.max_unpool), &.{1}, &.{});
    try pool.family.prepare(&p);
    defer plan.destroyState(&p);
    var call: plan.Call = .{};
    call.ptr[0] = @ptrCast(&out);
    call.ptr[1] = @ptrCast(@constCast(&x));
    call.ptr[2] = @ptrCast(&index);
    p.run(&p, &call);
    try std.testing.expectEqual(
        @backingInt(plan.Status.index_out_of_range),
        call.status.load(.monotonic),
    );
    try std.testing.expectEqual([3]i64{ 5, 5, 0 }, call.detail);
}
