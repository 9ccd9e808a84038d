//! The gradient by the input (or a transposed convolution) where positions are few and weights many: the
//! products of all weights of a group with every position, for which the weights are read once, front to back,
//! where they lie; then each element of gx adds up those that meet it, in the order of the positions.
const services = @import("../services.zig");
const plan = @import("../plan.zig");
const gemm = @import("gemm.zig");
const pack = @import("gemm_pack.zig");
const conv_geometry = @import("conv_geometry.zig");
const conv_pairs = @import("conv_pairs.zig");
const Geometry = conv_geometry.Geometry;
const product = conv_geometry.product;
const Tensor = @import("conv_image.zig").Tensor;
const Failure = error{OutOfMemory};

const most_positions = 128;
/// Channels of an item.
const together = 16;

/// Whether it is computed here: a matter of its shape.
pub fn fits(g: *const Geometry) bool {
    return g.images * product(g.out) <= most_positions and g.ci * g.taps() >= 256 and g.co >= 16;
}

pub const Scatter = struct {
    g: *const Geometry,
    call: *plan.Call,
    gout: Tensor,
    /// (groups * co, ci, *kernel), contiguous.
    weights: [*]const f32,
    bias: []const f32,
    out: [*]f32,
    /// (positions, ci, *kernel) of each group.
    products: [*]f32 = undefined,

    pub fn run(given: Scatter) Failure!void {
        var s = given;
        const g = s.g;
        const positions = g.images * product(g.out);
        const rows = g.ci * g.taps();
        const memory = services.allocSlice(f32, g.groups * positions * (g.co + rows)) orelse return error.OutOfMemory;
        defer services.free(@ptrCast(memory.ptr));
        const gout = memory.ptr + g.groups * positions * rows;
        s.products = memory.ptr;
        s.gather(gout);
        for (0..g.groups) |group| {
            const of_group = s.weights + group * g.co * rows;
            const from = gout + group * g.co * positions;
            const a: pack.Strided(f32) = .{ .ptr = @ptrCast(from), .dtype = .float32, .si = 1, .sk = positions };
            const b: pack.Strided(f32) = .{ .ptr = @ptrCast(of_group), .dtype = .float32, .si = 1, .sk = rows };
            conv_pairs.multiply(f32, .numbers, .{
                .m = positions,
                .n = rows,
                .k = g.co,
                .a = .{ .ctx = &a, .pack = pack.Strided(f32).packA },
                .b = .{ .ctx = &b, .pack = pack.Strided(f32).packB },
                .a_view = .{ .ptr = from, .si = 1, .sk = positions },
                .b_view = .{ .ptr = of_group, .si = 1, .sk = rows },
                .c = .{ .ptr = s.products + group * positions * rows, .rs = rows },
            }, s.call);
        }
        const cost = together * (product(g.in) + positions / g.images * g.taps());
        services.parallelFor(g.images * g.groups * s.blocks(), gemm.grain(gemm.piece_packed, cost), s, addPlanes);
    }

    /// (channels, positions) of gout, which has any strides.
    fn gather(s: *const Scatter, dst: [*]f32) void {
        const g = s.g;
        const t = s.gout;
        const from: [*]const f32 = @ptrCast(@alignCast(t.ptr));
        var to = dst;
        for (0..g.groups * g.co) |channel| for (0..g.images) |image| for (0..g.out[0]) |d| for (0..g.out[1]) |r| {
            const row = from + image * t.image + channel * t.channel + d * t.step[0] + r * t.step[1];
            for (to[0..g.out[2]], 0..) |*x, c| x.* = row[c * t.step[2]];
            to += g.out[2];
        };
    }

    /// Of `together` channels, in a group.
    fn blocks(s: *const Scatter) usize {
        return (s.g.ci + together - 1) / together;
    }

    fn addPlanes(s: *const Scatter, begin: usize, end: usize) void {
        const g = s.g;
        const rows = g.ci * g.taps();
        const size = product(g.in);
        const places = product(g.out);
        for (begin..end) |item| {
            const first = item % s.blocks() * together;
            const count = @min(together, g.ci - first);
            const group = item / s.blocks() % g.groups;
            const image = item / s.blocks() / g.groups;
            const to = s.out + ((image * g.groups + group) * g.ci + first) * size;
            for (s.bias[group * g.ci + first ..][0..count], 0..) |b, c| @memset(to[c * size ..][0..size], b);
            var from = s.products + (group * g.images + image) * places * rows + first * g.taps();
            for (0..g.out[0]) |d| for (0..g.out[1]) |r| for (0..g.out[2]) |c| {
                s.add(to, from, count, .{ d, r, c });
                from += rows;
            };
        }
    }

    /// A position's products for `count` channels, where its window lies.
    fn add(s: *const Scatter, to: [*]f32, from: [*]const f32, count: usize, position: [3]usize) void {
        const g = s.g;
        const size = product(g.in);
        const step = g.dilation[2];
        var start: [3]i64 = undefined;
        for (&start, position, g.stride, g.padding) |*x, p, stride, padding| x.* = @as(i64, @intCast(p * stride)) - padding;
        const left: usize = @intCast(@max(0, -start[2]));
        const first = (left + step - 1) / step;
        const room: usize = @intCast(@max(0, @as(i64, @intCast(g.in[2])) - start[2]));
        const last = @min(g.kernel[2], (room + step - 1) / step);
        if (first >= last) return;
        for (0..g.kernel[0]) |t0| for (0..g.kernel[1]) |t1| {
            const d = start[0] + @as(i64, @intCast(t0 * g.dilation[0]));
            const r = start[1] + @as(i64, @intCast(t1 * g.dilation[1]));
            if (d < 0 or d >= g.in[0] or r < 0 or r >= g.in[1]) continue;
            const line: i64 = (d * @as(i64, @intCast(g.in[1])) + r) * @as(i64, @intCast(g.in[2]));
            var row = to + @as(usize, @intCast(line + start[2] + @as(i64, @intCast(first * step))));
            var products = from + (t0 * g.kernel[1] + t1) * g.kernel[2];
            for (0..count) |_| {
                for (products[first..last], 0..) |x, k| row[k * step] += x;
                row += size;
                products += g.taps();
            }
        };
    }
};
