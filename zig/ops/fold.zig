//! Rows of the resample family: the sliding blocks of images as columns, and the sum of such blocks.
//!
//!     unfold    out (P, KH KW, OH OW) <- image (P, H, W): element (i DH + a SH - PH, j DW + b SW - PW) of the image, or 0
//!               outside of it, at (i KW + j, a OW + b)
//!     fold      image (P, H, W) <- blocks (P, KH KW, OH OW): its transpose
//!
//! ints: KH, KW, DH, DW (dilation), PH, PW (padding), SH, SW (stride), OH, OW. Contiguous; unfold of any dtype of up to 8
//! bytes, fold of float32 and float64, added in the order of the elements of a block.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { unfold, fold };

pub fn prepare(p: *Plan, op: Op) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    const d = p.operands[0].dtype;
    if (d != p.operands[1].dtype) return error.Unsupported;
    p.run = if (op == .fold) switch (d) {
        .float32 => &Blocks(f32).fold,
        .float64 => &Blocks(f64).fold,
        else => return error.Unsupported,
    } else switch (d.size()) {
        1 => &Blocks(u8).unfold,
        2 => &Blocks(u16).unfold,
        4 => &Blocks(u32).unfold,
        8 => &Blocks(u64).unfold,
        else => return error.Unsupported,
    };
}

/// Down and across.
const Axis = struct {
    kernel: usize,
    dilation: i64,
    padding: i64,
    stride: i64,
    blocks: usize,
    size: usize,

    fn init(p: *const Plan, image: usize, d: usize) Axis {
        return .{
            .kernel = @intCast(p.ints[d]),
            .dilation = p.ints[2 + d],
            .padding = p.ints[4 + d],
            .stride = p.ints[6 + d],
            .blocks = @intCast(p.ints[8 + d]),
            .size = @intCast(p.operands[image].shape[1 + d]),
        };
    }
    /// Where element k of block b lies.
    fn place(a: *const Axis, k: usize, b: usize) i64 {
        return @as(i64, @intCast(k)) * a.dilation + @as(i64, @intCast(b)) * a.stride - a.padding;
    }
    /// The blocks whose element k lies in the image.
    fn inside(a: *const Axis, k: usize) [2]usize {
        const first = a.place(k, 0);
        const behind = @as(i64, @intCast(a.size)) - first;
        const begin: usize = if (first >= 0) 0 else @intCast(@divFloor(a.stride - 1 - first, a.stride));
        const end: usize = if (behind <= 0) 0 else @intCast(@divFloor(behind + a.stride - 1, a.stride));
        return .{ @min(begin, a.blocks), @max(@min(begin, a.blocks), @min(end, a.blocks)) };
    }
};

fn Blocks(comptime T: type) type {
    return struct {
        const Self = @This();
        down: Axis,
        across: Axis,
        image: [*]T,
        blocks: [*]T,

        fn init(p: *const Plan, call: *Call, image: usize) Self {
            return .{
                .down = .init(p, image, 0),
                .across = .init(p, image, 1),
                .image = call.at(T, image),
                .blocks = call.at(T, 1 - image),
            };
        }

        fn unfold(p: *const Plan, call: *Call) void {
            if (p.operands[0].numel() == 0) return;
            const j: Self = .init(p, call, 1);
            const rows: usize = @intCast(p.operands[0].shape[0] * p.operands[0].shape[1]);
            services.parallelFor(rows, 1 + (1 << 14) / (j.down.blocks * j.across.blocks), j, unfoldRows);
        }
        /// Rows [begin, end) of out: one element of all blocks of a plane each.
        fn unfoldRows(j: *const Self, begin: usize, end: usize) void {
            const width = j.across.blocks;
            const area = j.down.kernel * j.across.kernel;
            for (begin..end) |r| {
                const k = r % area;
                const image = j.image + r / area * j.down.size * j.across.size;
                const rows = j.down.inside(k / j.across.kernel);
                const columns = j.across.inside(k % j.across.kernel);
                for (0..j.down.blocks) |a| {
                    const out = j.blocks[(r * j.down.blocks + a) * width ..][0..width];
                    if (a < rows[0] or a >= rows[1] or columns[0] == columns[1]) {
                        @memset(out, 0);
                        continue;
                    }
                    @memset(out[0..columns[0]], 0);
                    @memset(out[columns[1]..], 0);
                    const from = image + j.at(k, a, columns[0]);
                    const to = out[columns[0]..columns[1]];
                    if (j.across.stride == 1) @memcpy(to, from) else for (to, 0..) |*x, i| {
                        x.* = from[i * @as(usize, @intCast(j.across.stride))];
                    }
                }
            }
        }
        /// Where element k of block (a, b) lies.
        fn at(j: *const Self, k: usize, a: usize, b: usize) usize {
            const row = j.down.place(k / j.across.kernel, a);
            return @intCast(row * @as(i64, @intCast(j.across.size)) + j.across.place(k % j.across.kernel, b));
        }

        fn fold(p: *const Plan, call: *Call) void {
            if (p.operands[0].numel() == 0) return;
            const j: Self = .init(p, call, 0);
            const elements = j.down.kernel * j.across.kernel * j.down.blocks * j.across.blocks;
            services.parallelFor(@intCast(p.operands[0].shape[0]), 1 + (1 << 14) / elements, j, foldPlanes);
        }
        fn foldPlanes(j: *const Self, begin: usize, end: usize) void {
            const width = j.across.blocks;
            const area = j.down.kernel * j.across.kernel;
            const size = j.down.size * j.across.size;
            @memset(j.image[begin * size .. end * size], 0);
            for (begin * area..end * area) |r| {
                const k = r % area;
                const rows = j.down.inside(k / j.across.kernel);
                const columns = j.across.inside(k % j.across.kernel);
                if (columns[0] == columns[1]) continue;
                for (rows[0]..rows[1]) |a| {
                    const from = j.blocks[(r * j.down.blocks + a) * width ..][columns[0]..columns[1]];
                    addRow(j.image + r / area * size + j.at(k, a, columns[0]), from, @intCast(j.across.stride));
                }
            }
        }
        fn addRow(to: [*]T, from: []const T, step: usize) void {
            const lanes = simd.lanes(T);
            const V = @Vector(lanes, T);
            var i: usize = 0;
            if (step == 1) while (i + lanes <= from.len) : (i += lanes) {
                to[i..][0..lanes].* = @as(V, to[i..][0..lanes].*) + @as(V, from[i..][0..lanes].*);
            };
            for (from[i..], i..) |x, k| to[k * step] += x;
        }
    };
}

fn check(size: [2]usize, kernel: [2]usize, dilation: [2]usize, padding: [2]usize, stride: [2]usize) !void {
    const planes = 3;
    const a = std.testing.allocator;
    var blocks: [2]usize = undefined;
    for (&blocks, 0..) |*b, d| b.* = (size[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
    const area = kernel[0] * kernel[1];
    const n = blocks[0] * blocks[1];
    const image = try a.alloc(f32, planes * size[0] * size[1]);
    defer a.free(image);
    const columns = try a.alloc(f32, planes * area * n);
    defer a.free(columns);
    const got = try a.alloc(f32, columns.len);
    defer a.free(got);
    const back = try a.alloc(f32, image.len);
    defer a.free(back);
    const want = try a.alloc(f32, image.len);
    defer a.free(want);
    for (image, 0..) |*x, i| x.* = @floatFromInt(i + 1);
    @memset(want, 0);
    for (0..planes) |p| for (0..area) |k| for (0..n) |b| {
        const row = @as(i64, @intCast(k / kernel[1] * dilation[0] + b / blocks[1] * stride[0])) - @as(i64, @intCast(padding[0]));
        const column = @as(i64, @intCast(k % kernel[1] * dilation[1] + b % blocks[1] * stride[1])) - @as(i64, @intCast(padding[1]));
        const to = &columns[(p * area + k) * n + b];
        to.* = 0;
        if (row < 0 or column < 0 or row >= size[0] or column >= size[1]) continue;
        const from = (p * size[0] + @as(usize, @intCast(row))) * size[1] + @as(usize, @intCast(column));
        to.* = image[from];
        want[from] += to.*;
    };
    var ints: [10]i64 = undefined;
    for ([_][2]usize{ kernel, dilation, padding, stride, blocks }, 0..) |pair, i| for (pair, 0..) |x, d| {
        ints[2 * i + d] = @intCast(x);
    };
    const shapes = [2][3]i64{ .{ planes, @intCast(area), @intCast(n) }, .{ planes, @intCast(size[0]), @intCast(size[1]) } };
    for ([_]Op{ .unfold, .fold }, [_][2][]f32{ .{ got, image }, .{ back, columns } }) |op, data| {
        var operands: [2]plan.Operand = undefined;
        var strides: [2][3]i64 = undefined;
        var call: Call = .{};
        for (&operands, &strides, data, 0..) |*o, *s, x, i| {
            const shape = &shapes[if (op == .unfold) i else 1 - i];
            s.* = .{ shape[1] * shape[2], shape[2], 1 };
            o.* = .{ .dtype = .float32, .shape = shape, .strides = s };
            call.ptr[i] = @ptrCast(x.ptr);
        }
        var p = plan.testPlan(&operands, 1, 0, &ints, &.{});
        try prepare(&p, op);
        p.run(&p, &call);
    }
    try std.testing.expectEqualSlices(f32, columns, got);
    try std.testing.expectEqualSlices(f32, want, back);
}

test "blocks of images and their sums" {
    try check(.{ 5, 40 }, .{ 3, 3 }, .{ 1, 1 }, .{ 1, 1 }, .{ 1, 1 });
    try check(.{ 7, 9 }, .{ 2, 3 }, .{ 2, 1 }, .{ 0, 4 }, .{ 1, 2 });
    try check(.{ 4, 4 }, .{ 4, 4 }, .{ 1, 1 }, .{ 5, 5 }, .{ 3, 3 });
    try check(.{ 6, 5 }, .{ 2, 2 }, .{ 3, 4 }, .{ 2, 3 }, .{ 2, 1 });
}
