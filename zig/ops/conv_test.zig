//! conv.zig against the definition: sums of small integers, which every order gives exactly.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const threads = @import("../threads.zig");
const cpu = @import("../cpu.zig");
const conv = @import("conv.zig");

const gpa = std.testing.allocator;

const Case = struct {
    dims: usize,
    n: usize,
    groups: usize = 1,
    /// Channels of a group.
    ci: usize,
    co: usize,
    in: [3]usize,
    kernel: [3]usize,
    stride: [3]usize = .{ 1, 1, 1 },
    padding: [3]usize = .{ 0, 0, 0 },
    dilation: [3]usize = .{ 1, 1, 1 },
    bias: bool = false,
    /// Channels last in memory.
    last: bool = false,

    /// Sizes and ints with the unused leading dimensions at 1.
    fn out(c: Case) [3]usize {
        var o: [3]usize = .{ 1, 1, 1 };
        for (3 - c.dims..3) |d| {
            o[d] = (c.in[d] + 2 * c.padding[d] - c.dilation[d] * (c.kernel[d] - 1) - 1) / c.stride[d] + 1;
        }
        return o;
    }
};

/// An operand's five sizes (outer two, then space) as the plan wants them.
const Described = struct {
    shape: [5]i64,
    strides: [5]i64,
    dims: usize,
    fn of(outer: usize, inner: usize, space: [3]usize, dims: usize, last: bool) Described {
        var d: Described = .{ .shape = undefined, .strides = undefined, .dims = dims };
        const size = [5]usize{ outer, inner, space[0], space[1], space[2] };
        const order = if (last) [5]usize{ 0, 2, 3, 4, 1 } else [5]usize{ 0, 1, 2, 3, 4 };
        var stride: usize = 1;
        var strides: [5]usize = undefined;
        var i: usize = 5;
        while (i > 0) {
            i -= 1;
            strides[order[i]] = stride;
            stride *= size[order[i]];
        }
        for ([_]usize{ 0, 1 }) |k| {
            d.shape[k] = @intCast(size[k]);
            d.strides[k] = @intCast(strides[k]);
        }
        for (0..dims) |k| {
            d.shape[2 + k] = @intCast(size[5 - dims + k]);
            d.strides[2 + k] = @intCast(strides[5 - dims + k]);
        }
        return d;
    }
    fn operand(d: *const Described, dtype: DType) plan.Operand {
        return .{
            .dtype = dtype,
            .shape = d.shape[0 .. 2 + d.dims],
            .strides = d.strides[0 .. 2 + d.dims],
        };
    }
};

fn Element(comptime d: DType) type {
    return d.Type();
}
fn toF64(comptime d: DType, x: Element(d)) f64 {
    return if (d == .bfloat16) x.toF32() else x;
}
fn fromF64(comptime d: DType, x: f64) Element(d) {
    return if (d == .bfloat16) .fromF32(@floatCast(x)) else @floatCast(x);
}

fn fill(comptime d: DType, random: std.Random, x: []Element(d), exact: bool) void {
    for (x) |*e| {
        const v: f64 = if (exact) @floatFromInt(random.intRangeAtMost(i32, -2, 2)) else random.float(f64) - 0.5;
        e.* = fromF64(d, v);
    }
}

fn check(comptime d: DType, c: Case, random: std.Random, exact: bool) !void {
    const E = Element(d);
    const o = c.out();
    const cin = c.groups * c.ci;
    const cout = c.groups * c.co;
    const in_size = c.in[0] * c.in[1] * c.in[2];
    const out_size = o[0] * o[1] * o[2];
    const taps = c.kernel[0] * c.kernel[1] * c.kernel[2];
    const x = try gpa.alloc(E, c.n * cin * in_size);
    defer gpa.free(x);
    const w = try gpa.alloc(E, cout * c.ci * taps);
    defer gpa.free(w);
    const y = try gpa.alloc(E, c.n * cout * out_size);
    defer gpa.free(y);
    const bias = try gpa.alloc(E, @max(cin, cout));
    defer gpa.free(bias);
    fill(d, random, x, exact);
    fill(d, random, w, exact);
    fill(d, random, y, exact);
    fill(d, random, bias, exact);

    var ints: [12]i64 = undefined;
    ints[0] = @intCast(c.dims);
    ints[1] = @intCast(c.groups);
    ints[2] = @intFromBool(c.bias);
    for (0..c.dims) |k| {
        ints[3 + k] = @intCast(c.stride[3 - c.dims + k]);
        ints[3 + c.dims + k] = @intCast(c.padding[3 - c.dims + k]);
        ints[3 + 2 * c.dims + k] = @intCast(c.dilation[3 - c.dims + k]);
    }

    // The three results by their definition, in one walk.
    const want_y = try gpa.alloc(f64, y.len);
    defer gpa.free(want_y);
    const want_x = try gpa.alloc(f64, x.len);
    defer gpa.free(want_x);
    const want_w = try gpa.alloc(f64, w.len);
    defer gpa.free(want_w);
    for (want_y, 0..) |*v, i| v.* = if (c.bias) toF64(d, bias[i / out_size % cout]) else 0;
    for (want_x, 0..) |*v, i| v.* = if (c.bias) toF64(d, bias[i / in_size % cin]) else 0;
    @memset(want_w, 0);
    const xd: Described = .of(c.n, cin, c.in, c.dims, c.last);
    const yd: Described = .of(c.n, cout, o, c.dims, c.last);
    const channel_x: usize = @intCast(xd.strides[1]);
    const channel_y: usize = @intCast(yd.strides[1]);
    const step: usize = if (c.last) cin else 1;
    const step_y: usize = if (c.last) cout else 1;
    for (0..c.n) |n| for (0..cout) |co| for (0..c.ci) |i| for (0..out_size) |p| tap: for (0..taps) |t| {
        const pos = [3]usize{ p / o[2] / o[1], p / o[2] % o[1], p % o[2] };
        const at = [3]usize{
            t / c.kernel[2] / c.kernel[1],
            t / c.kernel[2] % c.kernel[1],
            t % c.kernel[2],
        };
        var q: usize = 0;
        for (0..3) |k| {
            const s = pos[k] * c.stride[k] + at[k] * c.dilation[k];
            if (s < c.padding[k] or s - c.padding[k] >= c.in[k]) continue :tap;
            q = q * c.in[k] + s - c.padding[k];
        }
        const channel = co / c.co * c.ci + i;
        const xi = (n * cin + channel) * in_size + q;
        const yi = (n * cout + co) * out_size + p;
        const wi = (co * c.ci + i) * taps + t;
        // x and gout as the kernels read them, through their strides.
        const xv = toF64(d, x[n * cin * in_size + channel * channel_x + q * step]);
        const yv = toF64(d, y[n * cout * out_size + co * channel_y + p * step_y]);
        want_y[yi] += xv * toF64(d, w[wi]);
        want_x[xi] += yv * toF64(d, w[wi]);
        want_w[wi] += xv * yv;
    };

    const x_op = xd.operand(d);
    const y_op = yd.operand(d);
    const wd: Described = .of(cout, c.ci, c.kernel, c.dims, false);
    const w_op = wd.operand(d);
    const xc: Described = .of(c.n, cin, c.in, c.dims, false);
    const yc: Described = .of(c.n, cout, o, c.dims, false);
    const b_op: plan.Operand = .{ .dtype = d, .shape = &.{@intCast(bias.len)}, .strides = &.{1} };
    const used = ints[0 .. 3 + 3 * c.dims];
    try runRow(
        d,
        .conv,
        &.{ yc.operand(d), x_op, w_op, b_op },
        used,
        &.{ x.ptr, w.ptr, bias.ptr },
        want_y,
        exact,
    );
    try runRow(
        d,
        .conv_grad_input,
        &.{ xc.operand(d), y_op, w_op, b_op },
        used,
        &.{ y.ptr, w.ptr, bias.ptr },
        want_x,
        exact,
    );
    try runRow(
        d,
        .conv_grad_weight,
        &.{ w_op, y_op, x_op },
        used,
        &.{ y.ptr, x.ptr },
        want_w,
        exact,
    );
}

fn runRow(
    comptime d: DType,
    row: conv.Row,
    operands: []const plan.Operand,
    ints: []const i64,
    inputs: []const ?*const anyopaque,
    want: []const f64,
    exact: bool,
) !void {
    const E = Element(d);
    const out = try gpa.alloc(E, want.len + 1);
    defer gpa.free(out);
    const first = try gpa.alloc(E, want.len);
    defer gpa.free(first);
    for ([_]u32{ 1, 2, 3 }) |count| {
        _ = threads.setCount(count);
        // And with the CPU's dot products and without.
        cpu.allowed = if (count == 2) 0 else std.math.maxInt(u32);
        for (out) |*e| e.* = fromF64(d, 77);
        var p = plan.testPlan(operands, 1, @backingInt(row), ints, &.{});
        try conv.family.prepare(&p);
        defer plan.destroyState(&p);
        var call: plan.Call = .{};
        call.ptr[0] = @ptrCast(out.ptr);
        for (inputs, 1..) |ptr, i| call.ptr[i] = @ptrCast(@constCast(ptr));
        p.run(&p, &call);
        try std.testing.expectEqual(0, call.status.load(.monotonic));
        try std.testing.expectEqual(77, toF64(d, out[want.len]));
        for (out[0..want.len], want, 0..) |got, v, i| {
            const rounded = toF64(d, fromF64(d, v));
            const wrong = if (exact) toF64(d, got) != rounded else @abs(toF64(d, got) - v) > 1e-4 * (1 + @abs(v));
            if (wrong) {
                std.debug.print(
                    "{s} {any} [{d}]: {d} instead of {d}\n",
                    .{ @tagName(row), ints, i, toF64(d, got), v },
                );
                return error.WrongElement;
            }
        }
        // The same bits from any number of threads.
        if (count == 1) @memcpy(first, out[0..want.len]);
        try std.testing.expectEqualSlices(
            u8,
            std.mem.sliceAsBytes(first),
            std.mem.sliceAsBytes(out[0..want.len]),
        );
    }
}

test "conv and its gradients" {
    var prng = std.Random.DefaultPrng.init(5);
    const random = prng.random();
    const cases = [_]Case{
        .{ .dims = 1, .n = 2, .ci = 3, .co = 4, .in = .{ 1, 1, 11 }, .kernel = .{ 1, 1, 3 }, .padding = .{ 0, 0, 1 }, .bias = true },
        .{ .dims = 1, .n = 1, .ci = 2, .co = 5, .in = .{ 1, 1, 40 }, .kernel = .{ 1, 1, 4 }, .stride = .{ 1, 1, 3 }, .dilation = .{ 1, 1, 2 } },
        .{ .dims = 2, .n = 2, .ci = 3, .co = 17, .in = .{ 1, 9, 13 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 }, .bias = true },
        .{ .dims = 2, .n = 3, .ci = 5, .co = 4, .in = .{ 1, 7, 7 }, .kernel = .{ 1, 1, 1 } },
        .{ .dims = 2, .n = 3, .ci = 5, .co = 40, .in = .{ 1, 6, 5 }, .kernel = .{ 1, 1, 1 }, .last = true, .bias = true },
        .{ .dims = 2, .n = 2, .ci = 4, .co = 6, .in = .{ 1, 9, 8 }, .kernel = .{ 1, 1, 1 }, .stride = .{ 1, 2, 2 }, .bias = true },
        .{ .dims = 2, .n = 2, .ci = 4, .co = 6, .in = .{ 1, 12, 11 }, .kernel = .{ 1, 3, 2 }, .stride = .{ 1, 2, 3 }, .padding = .{ 0, 1, 0 } },
        .{ .dims = 2, .n = 2, .ci = 3, .co = 2, .in = .{ 1, 12, 14 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .dilation = .{ 1, 2, 3 }, .padding = .{ 0, 3, 2 } },
        .{ .dims = 2, .n = 2, .groups = 3, .ci = 2, .co = 4, .in = .{ 1, 8, 8 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 }, .bias = true, .last = true },
        .{ .dims = 2, .n = 2, .groups = 5, .ci = 1, .co = 1, .in = .{ 1, 9, 19 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 }, .bias = true },
        .{ .dims = 2, .n = 2, .groups = 3, .ci = 1, .co = 2, .in = .{ 1, 9, 70 }, .kernel = .{ 1, 3, 5 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 1, 1 } },
        .{ .dims = 2, .n = 1, .ci = 1, .co = 33, .in = .{ 1, 28, 28 }, .kernel = .{ 1, 5, 5 } },
        .{ .dims = 2, .n = 1, .ci = 70, .co = 9, .in = .{ 1, 5, 5 }, .kernel = .{ 1, 5, 5 }, .bias = true },
        .{ .dims = 2, .n = 1, .ci = 2, .co = 2, .in = .{ 1, 3, 4 }, .kernel = .{ 1, 2, 2 }, .padding = .{ 0, 4, 5 }, .stride = .{ 1, 3, 2 } },
        .{ .dims = 2, .n = 0, .ci = 2, .co = 2, .in = .{ 1, 3, 4 }, .kernel = .{ 1, 2, 2 } },
        .{ .dims = 3, .n = 2, .ci = 2, .co = 3, .in = .{ 5, 6, 7 }, .kernel = .{ 2, 3, 3 }, .padding = .{ 1, 1, 0 }, .stride = .{ 2, 1, 2 }, .bias = true },
        // Vectors across output channels.
        .{ .dims = 2, .n = 3, .ci = 3, .co = 32, .in = .{ 1, 10, 10 }, .kernel = .{ 1, 5, 5 }, .padding = .{ 0, 1, 0 }, .bias = true },
        .{ .dims = 1, .n = 2, .groups = 2, .ci = 3, .co = 64, .in = .{ 1, 1, 70 }, .kernel = .{ 1, 1, 9 }, .stride = .{ 1, 1, 4 }, .bias = true },
        .{ .dims = 2, .n = 3, .ci = 32, .co = 16, .in = .{ 1, 7, 9 }, .kernel = .{ 1, 2, 3 }, .stride = .{ 1, 3, 2 } },
        // Narrow depthwise planes, a row a vector: higher than a tile, with columns cut off or before the image, an odd one left.
        .{ .dims = 2, .n = 2, .groups = 3, .ci = 1, .co = 1, .in = .{ 1, 18, 13 }, .kernel = .{ 1, 5, 5 }, .padding = .{ 0, 2, 2 }, .bias = true },
        .{ .dims = 2, .n = 1, .groups = 2, .ci = 1, .co = 1, .in = .{ 1, 5, 11 }, .kernel = .{ 1, 3, 4 }, .padding = .{ 0, 4, 4 }, .last = true },
        .{ .dims = 2, .n = 1, .groups = 3, .ci = 1, .co = 1, .in = .{ 1, 17, 8 }, .kernel = .{ 1, 7, 3 }, .padding = .{ 0, 3, 1 }, .bias = true },
        .{ .dims = 2, .n = 1, .groups = 5, .ci = 1, .co = 1, .in = .{ 1, 7, 16 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 } },
        .{ .dims = 2, .n = 1, .groups = 5, .ci = 1, .co = 1, .in = .{ 1, 6, 16 }, .kernel = .{ 1, 3, 9 }, .bias = true },
        // Wider ones: 7 rows of taps, of which a column after the other is added.
        .{ .dims = 2, .n = 2, .groups = 3, .ci = 1, .co = 1, .in = .{ 1, 17, 41 }, .kernel = .{ 1, 7, 4 }, .padding = .{ 0, 3, 1 }, .bias = true },
        // 16 channels of a depthwise one together.
        .{ .dims = 2, .n = 2, .groups = 32, .ci = 1, .co = 1, .in = .{ 1, 9, 7 }, .kernel = .{ 1, 6, 7 }, .padding = .{ 0, 3, 3 }, .bias = true },
        .{ .dims = 2, .n = 2, .groups = 16, .ci = 1, .co = 1, .in = .{ 1, 12, 29 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 1, 1 }, .last = true },
        // ... of which some come twice.
        .{ .dims = 2, .n = 2, .groups = 21, .ci = 1, .co = 1, .in = .{ 1, 9, 8 }, .kernel = .{ 1, 5, 5 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 2, 2 }, .bias = true },
        // Strips of rows of two phases, and of phases without taps.
        .{ .dims = 2, .n = 1, .groups = 16, .ci = 1, .co = 1, .in = .{ 1, 25, 40 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 1, 1 } },
        .{ .dims = 2, .n = 2, .groups = 18, .ci = 1, .co = 1, .in = .{ 1, 11, 13 }, .kernel = .{ 1, 2, 1 }, .stride = .{ 1, 3, 4 }, .bias = true },
        .{ .dims = 2, .n = 3, .groups = 40, .ci = 1, .co = 1, .in = .{ 1, 7, 6 }, .kernel = .{ 1, 2, 3 }, .padding = .{ 0, 1, 1 }, .last = true },
        .{ .dims = 1, .n = 2, .groups = 16, .ci = 1, .co = 1, .in = .{ 1, 1, 40 }, .kernel = .{ 1, 1, 4 }, .padding = .{ 0, 0, 3 }, .dilation = .{ 1, 1, 2 }, .bias = true },
        .{ .dims = 3, .n = 1, .groups = 2, .ci = 1, .co = 1, .in = .{ 5, 6, 7 }, .kernel = .{ 2, 2, 3 }, .dilation = .{ 2, 1, 1 }, .last = true },
        .{ .dims = 2, .n = 2, .ci = 3, .co = 32, .in = .{ 1, 10, 10 }, .kernel = .{ 1, 5, 5 }, .last = true },
        .{ .dims = 2, .n = 2, .ci = 3, .co = 16, .in = .{ 1, 11, 13 }, .kernel = .{ 1, 4, 4 }, .stride = .{ 1, 3, 3 }, .last = true },
        // Few positions.
        .{ .dims = 2, .n = 2, .ci = 40, .co = 37, .in = .{ 1, 4, 5 }, .kernel = .{ 1, 3, 3 }, .padding = .{ 0, 1, 1 }, .bias = true },
        .{ .dims = 2, .n = 1, .groups = 2, .ci = 260, .co = 17, .in = .{ 1, 8, 7 }, .kernel = .{ 1, 1, 1 }, .stride = .{ 1, 2, 2 }, .last = true },
        .{ .dims = 3, .n = 1, .ci = 30, .co = 20, .in = .{ 4, 3, 4 }, .kernel = .{ 2, 2, 3 }, .dilation = .{ 2, 1, 1 }, .last = true, .bias = true },
        .{ .dims = 2, .n = 1, .ci = 40, .co = 20, .in = .{ 1, 8, 9 }, .kernel = .{ 1, 3, 3 }, .stride = .{ 1, 2, 2 }, .padding = .{ 0, 1, 2 }, .bias = true },
        .{ .dims = 1, .n = 3, .groups = 2, .ci = 20, .co = 16, .in = .{ 1, 1, 90 }, .kernel = .{ 1, 1, 16 }, .stride = .{ 1, 1, 8 }, .padding = .{ 0, 0, 4 }, .dilation = .{ 1, 1, 2 } },
        // One tap: the sums are the gradient of the weights.
        .{ .dims = 2, .n = 3, .ci = 16, .co = 32, .in = .{ 1, 7, 9 }, .kernel = .{ 1, 1, 1 } },
        .{ .dims = 2, .n = 1, .ci = 130, .co = 33, .in = .{ 1, 1, 1 }, .kernel = .{ 1, 1, 1 }, .stride = .{ 1, 2, 1 }, .bias = true },
        .{ .dims = 2, .n = 3, .ci = 20, .co = 16, .in = .{ 1, 1, 1 }, .kernel = .{ 1, 1, 1 }, .last = true, .bias = true },
        // ... and what lies between strides isn't read; three of four elements of gx meet no tap.
        .{ .dims = 2, .n = 2, .ci = 16, .co = 16, .in = .{ 1, 10, 40 }, .kernel = .{ 1, 1, 1 }, .stride = .{ 1, 2, 2 }, .bias = true },
        // Every second element of a row is written at a time, from vectors along it and across channels.
        .{ .dims = 2, .n = 1, .ci = 24, .co = 3, .in = .{ 1, 5, 67 }, .kernel = .{ 1, 2, 3 }, .stride = .{ 1, 2, 2 }, .bias = true },
        .{ .dims = 2, .n = 1, .ci = 32, .co = 4, .in = .{ 1, 4, 56 }, .kernel = .{ 1, 2, 2 }, .stride = .{ 1, 2, 2 } },
        // A number for each pixel, of all channels.
        .{ .dims = 2, .n = 2, .ci = 5, .co = 1, .in = .{ 1, 7, 9 }, .kernel = .{ 1, 1, 1 }, .bias = true },
        .{ .dims = 2, .n = 2, .ci = 6, .co = 1, .in = .{ 1, 35, 33 }, .kernel = .{ 1, 1, 1 } },
        // Words of bfloat16 in place.
        .{ .dims = 2, .n = 4, .ci = 6, .co = 20, .in = .{ 1, 5, 33 }, .kernel = .{ 1, 1, 1 }, .bias = true },
    };
    for (cases) |c| {
        try check(.float32, c, random, true);
        try check(.float32, c, random, false);
        try check(.float64, c, random, true);
        try check(.bfloat16, c, random, true);
        try check(.float16, c, random, true);
    }
    // Several slabs of images, several blocks of k, work for several threads.
    const large: Case = .{
        .dims = 2,
        .n = 6,
        .ci = 16,
        .co = 30,
        .in = .{ 1, 33, 35 },
        .kernel = .{ 1, 3, 3 },
        .padding = .{ 0, 1, 1 },
        .bias = true,
    };
    try check(.float32, large, random, true);
    try check(.float32, large, random, false);
    // The gradient of the weights by vectors of outputs, for several threads.
    const turned: Case = .{ .dims = 2, .n = 2, .ci = 48, .co = 32, .in = .{ 1, 19, 16 }, .kernel = .{ 1, 5, 3 }, .padding = .{ 0, 2, 1 } };
    try check(.float32, turned, random, true);
    try check(.float32, turned, random, false);
}
