//! Samples of images (N, C, H, W) at points of a grid (N, ..., 2) of (x, y) from -1 to 1.
//!
//! Outputs <- inputs, float32, contiguous:
//!
//!     grid_sample                  out (N, C, ...) <- image, grid
//!     grid_sample_backward         grad of the image <- grad of out, grid
//!     grid_sample_backward_grid    grad of the grid <- grad of out, image, grid (bilinear only)
//!
//! ints: 0 bilinear, 1 nearest; padding: 0 zeros, 1 border, 2 reflection; align_corners; H, W.
//! Pixels outside of the image are 0. A point that is nan is nan, or with padding lies at the
//! beginning of the image.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { grid_sample, grid_sample_backward, grid_sample_backward_grid };

pub fn prepare(p: *Plan, op: Op) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    if (p.ints[3] * p.ints[4] >= 1 << 31 or @max(p.ints[3], p.ints[4]) >= 1 << 24) return error.Unsupported;
    if (p.operands[0].dtype != .float32) return error.Unsupported;
    p.run = switch (op) {
        .grid_sample => run,
        .grid_sample_backward => runBackward,
        .grid_sample_backward_grid => runBackwardGrid,
    };
}

/// Points that are prepared together.
const tile = 64;
/// Channels of an image whose gradients a thread adds up at a time.
const group = 8;
/// Any number gives the same results.
const lanes = 8;
const V = @Vector(lanes, f32);
const M = @Vector(lanes, bool);
const I = @Vector(lanes, i32);
/// Of the four pixels around a point, row by row.
const Corners = @Vector(4, f32);

inline fn splat(x: f32) V {
    return @splat(x);
}
inline fn pick(m: M, a: V, b: V) V {
    return @select(f32, m, a, b);
}

/// One coordinate of some points: two positions, their shares, how the shares change, and how
/// the position changes with the grid's number. Positions outside of the image are moved into it;
/// their shares are 0 (or nan).
const Axis = struct { at: [2]V, share: [2]V, slope: [2]V, scale: V };

/// Some points. Those whose pixels all lie in the image are `inner`; those that have one there are
/// `border`, the others `outer`.
const Tile = struct {
    const Class = struct {
        n: usize = 0,
        list: [tile + 1]u8 = undefined,

        inline fn add(c: *Class, i: usize, is: bool) void {
            c.list[c.n] = @intCast(i);
            c.n += @intFromBool(is);
        }
    };
    count: usize = 0,
    offset: [4][tile]u32 = undefined,
    share: [tile]Corners = undefined,
    /// The derivatives of the shares, by x and y.
    slope: [2][tile]Corners = undefined,
    inner: Class = .{},
    border: Class = .{},
    outer: Class = .{},

    inline fn pixelsOf(t: *const Tile, image: [*]const f32, i: usize) Corners {
        return .{ image[t.offset[0][i]], image[t.offset[1][i]], image[t.offset[2][i]], image[t.offset[3][i]] };
    }
    fn of(t: *const Tile, comptime class: enum { inner, border, outer }) []const u8 {
        const c = &@field(t, @tagName(class));
        return c.list[0..c.n];
    }
};

const Samples = struct {
    call: *Call,
    nearest: bool,
    padding: enum { zeros, border, reflection },
    align_corners: bool,
    height: usize,
    width: usize,
    channels: usize,
    points: usize,

    /// sampled: the operand (N, C, ...).
    fn init(p: *const Plan, call: *Call, sampled: usize) Samples {
        const shape = p.operands[sampled].shape;
        return .{
            .call = call,
            .nearest = p.ints[0] == 1,
            .padding = @fromBackingInt(@intCast(p.ints[1])),
            .align_corners = p.ints[2] != 0,
            .height = @intCast(p.ints[3]),
            .width = @intCast(p.ints[4]),
            .channels = @intCast(shape[1]),
            .points = p.operands[sampled].numel() / @as(usize, @intCast(shape[0] * shape[1])),
        };
    }
    fn tiles(j: *const Samples) usize {
        return (j.points + tile - 1) / tile;
    }
    fn pixels(j: *const Samples) usize {
        return j.height * j.width;
    }

    // ------------------------------------------------------ where points lie

    fn axis(j: *const Samples, x: V, size: usize) Axis {
        const n: f32 = @floatFromInt(size);
        const last = splat(n - 1);
        const half = (if (j.align_corners) n - 1 else n) / 2;
        const shift: f32 = if (j.align_corners) 0 else 0.5;
        var position = (x + splat(1)) * splat(half) - splat(shift);
        var scale = splat(half);
        if (j.padding == .reflection) {
            const moved = position + splat(shift);
            const distance = @abs(moved);
            const period = splat(4 * half);
            const extra = distance - math.floor(V, distance / period) * period;
            const back = extra > splat(2 * half);
            position = pick(back, period - extra, extra) - splat(shift);
            if (half == 0) position = splat(0);
            scale = pick(back != (moved < splat(0)), -scale, scale);
        }
        if (j.padding != .zeros) {
            const inside = (position > splat(0)) & (position < last);
            scale = pick(inside, scale, splat(0));
            position = pick(position > splat(0), @min(position, last), splat(0));
        }
        const first = if (j.nearest) math.roundEven(V, position) else math.floor(V, position);
        const rest = if (j.nearest) splat(0) else position - first;
        var a: Axis = .{ .at = undefined, .share = undefined, .slope = undefined, .scale = scale };
        inline for (0..2) |k| {
            const at = first + splat(k);
            const counts: M = @splat(k == 0 or !j.nearest);
            const inside = (at >= splat(0)) & (at <= last) & counts;
            a.at[k] = pick(inside, at, pick(at > last, last, splat(0)));
            // nan stays
            a.share[k] = pick(inside, if (k == 1) rest else splat(1) - rest, splat(0) * rest);
            a.slope[k] = pick(inside, splat(if (k == 0) -1 else 1), splat(0));
        }
        return a;
    }

    /// The points from `first` on of image n.
    fn locate(j: *const Samples, t: *Tile, grid: [*]const f32, n: usize, first: usize, slopes: bool) void {
        t.count = @min(tile, j.points - first);
        var from = grid + 2 * (n * j.points + first);
        var buffer: [2 * tile]f32 = undefined;
        if (t.count % lanes != 0) {
            @memcpy(buffer[0 .. 2 * t.count], from[0 .. 2 * t.count]);
            from = &buffer;
        }
        t.inner.n = 0;
        t.border.n = 0;
        t.outer.n = 0;
        var i: usize = 0;
        while (i < t.count) : (i += lanes) {
            const pairs: @Vector(2 * lanes, f32) = from[2 * i ..][0 .. 2 * lanes].*;
            const even = std.simd.iota(i32, lanes) * @as(I, @splat(2));
            const x = j.axis(@shuffle(f32, pairs, undefined, even), j.width);
            const y = j.axis(@shuffle(f32, pairs, undefined, even + @as(I, @splat(1))), j.height);
            var share: [4][lanes]f32 = undefined;
            var slope: [2][4][lanes]f32 = undefined;
            inline for (0..4) |k| {
                const a = k / 2;
                const b = k % 2;
                share[k] = y.share[a] * x.share[b];
                slope[0][k] = x.slope[b] * y.share[a] * x.scale;
                slope[1][k] = y.slope[a] * x.share[b] * y.scale;
                const row: I = @trunc(y.at[a]);
                const column: I = @trunc(x.at[b]);
                const at = row * @as(I, @splat(@intCast(j.width))) + column;
                t.offset[k][i..][0..lanes].* = @as(@Vector(lanes, u32), @bitCast(at));
            }
            const columns = @abs(x.slope[0]) + @abs(x.slope[1]);
            const rows = @abs(y.slope[0]) + @abs(y.slope[1]);
            const inside: [lanes]f32 = columns * rows;
            for (0..@min(lanes, t.count - i)) |k| {
                t.share[i + k] = together(&share, k);
                if (slopes) for (0..2) |d| {
                    t.slope[d][i + k] = together(&slope[d], k);
                };
                t.outer.add(i + k, inside[k] == 0);
                t.border.add(i + k, inside[k] != 0 and inside[k] != 4);
                t.inner.add(i + k, inside[k] == 4);
            }
        }
    }
    inline fn together(x: *const [4][lanes]f32, k: usize) Corners {
        return .{ x[0][k], x[1][k], x[2][k], x[3][k] };
    }

    // ------------------------------------------------------ samples

    fn part(j: *const Samples, begin: usize, end: usize) void {
        var t: Tile = .{};
        for (begin..end) |unit| {
            const n = unit / j.tiles();
            const first = unit % j.tiles() * tile;
            j.locate(&t, j.call.at(f32, 2), n, first, false);
            const from = j.call.at(f32, 1) + n * j.channels * j.pixels();
            const to = j.call.at(f32, 0) + n * j.channels * j.points + first;
            var c: usize = 0;
            while (c + 4 <= j.channels) : (c += 4) j.sample(4, &t, from + c * j.pixels(), to + c * j.points);
            while (c < j.channels) : (c += 1) j.sample(1, &t, from + c * j.pixels(), to + c * j.points);
        }
    }

    /// The four pixels of an inner point.
    inline fn around(j: *const Samples, from: [*]const f32) Corners {
        const rows: [2]@Vector(2, f32) = .{ from[0..2].*, from[j.width..][0..2].* };
        return std.simd.join(rows[0], rows[1]);
    }
    inline fn total(x: Corners) f32 {
        return (x[0] + x[1]) + (x[2] + x[3]);
    }
    /// The totals of four.
    inline fn totals(x: [4]Corners) Corners {
        const mask = [2]@Vector(4, i32){ .{ 0, 2, -1, -3 }, .{ 1, 3, -2, -4 } };
        var halves: [2]Corners = undefined;
        inline for (&halves, .{ 0, 2 }) |*h, k| {
            h.* = @shuffle(f32, x[k], x[k + 1], mask[0]) + @shuffle(f32, x[k], x[k + 1], mask[1]);
        }
        return @shuffle(f32, halves[0], halves[1], mask[0]) + @shuffle(f32, halves[0], halves[1], mask[1]);
    }

    fn sample(j: *const Samples, comptime count: usize, t: *const Tile, image: [*]const f32, out: [*]f32) void {
        for (t.of(.inner)) |i| {
            var products: [count]Corners = undefined;
            const from = image + t.offset[0][i];
            inline for (&products, 0..) |*x, c| x.* = j.around(from + c * j.pixels()) * t.share[i];
            const sums = if (count == 4) totals(products) else .{total(products[0])};
            inline for (0..count) |c| (out + c * j.points)[i] = sums[c];
        }
        for (0..count) |c| {
            const to = out + c * j.points;
            const from = image + c * j.pixels();
            if (j.nearest) {
                for (t.of(.border)) |i| to[i] = from[t.offset[0][i]];
            } else for (t.of(.border)) |i| {
                to[i] = total(t.share[i] * t.pixelsOf(from, i));
            }
            for (t.of(.outer)) |i| to[i] = t.share[i][0];
        }
    }

    // ------------------------------------------------------ gradients

    fn backwardPart(j: *const Samples, begin: usize, end: usize) void {
        var t: Tile = .{};
        const groups = (j.channels + group - 1) / group;
        for (begin..end) |unit| {
            const n = unit / groups;
            const first = unit % groups * group;
            const last = @min(first + group, j.channels);
            const image = j.call.at(f32, 0) + n * j.channels * j.pixels();
            @memset(image[first * j.pixels() .. last * j.pixels()], 0);
            for (0..j.tiles()) |k| {
                j.locate(&t, j.call.at(f32, 2), n, k * tile, false);
                const g = j.call.at(f32, 1) + n * j.channels * j.points + k * tile;
                var c = first;
                while (c + 4 <= last) : (c += 4) j.spread(4, &t, g + c * j.points, image + c * j.pixels());
                while (c < last) : (c += 1) j.spread(1, &t, g + c * j.points, image + c * j.pixels());
            }
        }
    }

    fn spread(j: *const Samples, comptime count: usize, t: *const Tile, g: [*]const f32, image: [*]f32) void {
        for (t.of(.inner)) |i| {
            const to = image + t.offset[0][i];
            const shares: [2]@Vector(2, f32) = @bitCast(t.share[i]);
            inline for (0..count) |c| inline for (shares, 0..) |share, row| {
                const pair = (to + c * j.pixels() + row * j.width)[0..2];
                const here: @Vector(2, f32) = @splat((g + c * j.points)[i]);
                pair.* = @as(@Vector(2, f32), pair.*) + here * share;
            };
        }
        for (0..count) |c| for (t.of(.border)) |i| {
            const to = image + c * j.pixels();
            const here = (g + c * j.points)[i];
            if (j.nearest) to[t.offset[0][i]] += here else inline for (0..4) |k| {
                to[t.offset[k][i]] += here * t.share[i][k];
            }
        };
    }

    fn backwardGridPart(j: *const Samples, begin: usize, end: usize) void {
        var t: Tile = .{};
        for (begin..end) |unit| {
            const n = unit / j.tiles();
            const first = unit % j.tiles() * tile;
            j.locate(&t, j.call.at(f32, 3), n, first, true);
            const image = j.call.at(f32, 2) + n * j.channels * j.pixels();
            const g = j.call.at(f32, 1) + n * j.channels * j.points + first;
            var sums: [tile]Corners = @splat(@splat(0));
            var c: usize = 0;
            while (c + 4 <= j.channels) : (c += 4) j.correlate(4, &t, g + c * j.points, image + c * j.pixels(), &sums);
            while (c < j.channels) : (c += 1) j.correlate(1, &t, g + c * j.points, image + c * j.pixels(), &sums);
            const to = j.call.at(f32, 0) + 2 * (n * j.points + first);
            for (0..t.count) |i| inline for (0..2) |d| {
                const zero: Corners = @splat(0);
                const slope = t.slope[d][i];
                to[2 * i + d] = total(@select(f32, slope == zero, zero, slope * sums[i]));
            };
        }
    }

    /// Adds g times each of the four pixels, over the channels.
    fn correlate(j: *const Samples, comptime count: usize, t: *const Tile, g: [*]const f32, image: [*]const f32, sums: *[tile]Corners) void {
        for (t.of(.inner)) |i| {
            const from = image + t.offset[0][i];
            inline for (0..count) |c| {
                sums[i] += j.around(from + c * j.pixels()) * @as(Corners, @splat((g + c * j.points)[i]));
            }
        }
        for (0..count) |c| for (t.of(.border)) |i| {
            sums[i] += t.pixelsOf(image + c * j.pixels(), i) * @as(Corners, @splat((g + c * j.points)[i]));
        };
    }
};

fn run(p: *const Plan, call: *Call) void {
    if (p.operands[0].numel() == 0) return;
    const job: Samples = .init(p, call, 0);
    const units = @as(usize, @intCast(p.operands[0].shape[0])) * job.tiles();
    services.parallelFor(units, 1 + 128 / job.channels, job, Samples.part);
}

fn runBackward(p: *const Plan, call: *Call) void {
    const n = p.operands[0].numel();
    if (n == 0) return;
    const job: Samples = .init(p, call, 1);
    const units = (job.channels + group - 1) / group * (n / job.channels / job.pixels());
    services.parallelFor(units, 1 + 4096 / (job.points + job.pixels()), job, Samples.backwardPart);
}

fn runBackwardGrid(p: *const Plan, call: *Call) void {
    const n = p.operands[0].numel();
    if (n == 0) return;
    const job: Samples = .init(p, call, 1);
    const units = n / 2 / job.points * job.tiles();
    services.parallelFor(units, 1 + 128 / (job.channels + 1), job, Samples.backwardGridPart);
}

test {
    _ = @import("grid_sample_test.zig");
}
