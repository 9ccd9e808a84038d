//! Samples of images (N, C, [D,] H, W) at points of a grid (N, ..., 2 or 3) of (x, y[, z]) from -1 to 1.
//!
//! Outputs <- inputs, float32 or float64, contiguous:
//!
//!     grid_sample                  out (N, C, ...) <- image, grid
//!     grid_sample_backward         grad of the image <- grad of out, grid
//!     grid_sample_backward_grid    grad of the grid <- grad of out, image, grid (not with nearest)
//!     grid_sample_backward_both    both grads <- grad of out, image, grid (up to `group` channels)
//!
//! ints: 0 bilinear, 1 nearest, 2 bicubic (2-d); padding: 0 zeros, 1 border, 2 reflection;
//! align_corners; [D,] H, W. Pixels outside of the image are 0. A point that is nan is nan, or with
//! padding lies at the beginning of the image.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const Plan = plan.Plan;
const Call = plan.Call;

pub const Op = enum { grid_sample, grid_sample_backward, grid_sample_backward_grid, grid_sample_backward_both };

pub fn prepare(p: *Plan, op: Op) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    var pixels: i64 = 1;
    for (p.ints[3..]) |size| {
        if (size >= 1 << 24) return error.Unsupported;
        pixels = pixels *| size;
    }
    if (pixels >= 1 << 31) return error.Unsupported;
    p.run = switch (p.operands[0].dtype) {
        .float32 => runOf(f32, op),
        .float64 => runOf(f64, op),
        else => return error.Unsupported,
    };
}

fn runOf(comptime T: type, op: Op) plan.Run {
    return switch (op) {
        .grid_sample => &Samples(T).run,
        .grid_sample_backward => &Samples(T).runBackward,
        .grid_sample_backward_grid => &Samples(T).runBackwardGrid,
        .grid_sample_backward_both => &Samples(T).runBackwardBoth,
    };
}

/// Points that are prepared together.
const tile = 32;
/// Channels of an image whose gradients a thread adds up at a time.
const group = 8;
/// Up to such sizes rounding takes two additions.
const plain = 1 << 22;
/// Any number gives the same results.
const lanes = if (simd.has_fma) 8 else 4;
const Mask = @Int(.unsigned, lanes);
const Mode = enum { linear, nearest, cubic };
/// What is known when this is compiled: points of a plane, in float32.
const Known = struct { mode: Mode, slopes: bool };

fn Samples(comptime T: type) type {
    return struct {
        const Self = @This();
        const V = @Vector(lanes, T);
        const I = @Vector(lanes, i32);

        /// One coordinate of some points: positions, their shares, and how the shares change with the grid's
        /// number. Positions outside of the image are moved into it; their shares are 0 (or nan).
        const Axis = struct {
            at: [4]I,
            share: [4]V,
            slope: [4]V,
            /// A bit of each point: one of the positions is in the image.
            seen: Mask,

            /// What a coordinate that is not there leaves as it is.
            const none: Axis = .{ .at = @splat(@splat(0)), .share = @splat(@splat(1)), .slope = @splat(@splat(0)), .seen = ~@as(Mask, 0) };

            inline fn set(a: *Axis, k: usize, at: V, size: T, share: V, slope: V) void {
                const last = splat(size - 1);
                const zero = splat(0);
                const above, const below = .{ at >= zero, at <= last };
                const inside = above & below;
                a.at[k] = @trunc(pick(above, pick(below, at, last), zero)); // nan lies at the beginning
                a.share[k] = pick(inside, share, zero * share); // and stays nan
                a.slope[k] = pick(inside, slope, zero);
                const bits: Mask = @bitCast(inside);
                a.seen = if (k == 0) bits else a.seen | bits;
            }
        };

        /// Some points, with the pixels around each, the columns of a row one behind the other.
        const Tile = struct {
            count: usize = 0,
            /// Pixels around a point.
            taps: usize = 0,
            at: [16][tile]u32 = undefined,
            share: [16][tile]T = undefined,
            slope: [3][16][tile]T = undefined,
            /// A bit of each point that has a pixel in the image.
            seen: u32 = 0,

            inline fn isSeen(t: *const Tile, i: usize) bool {
                return t.seen >> @intCast(i) & 1 != 0;
            }
        };

        call: *Call,
        mode: Mode,
        padding: enum { zeros, border, reflection },
        align_corners: bool,
        dims: usize,
        /// Depth, height, width.
        size: [3]usize,
        extent: [3]T,
        channels: usize,
        points: usize,

        /// sampled: the operand (N, C, ...).
        fn init(p: *const Plan, call: *Call, sampled: usize) Self {
            const shape = p.operands[sampled].shape;
            var j: Self = .{
                .call = call,
                .mode = @fromBackingInt(@intCast(p.ints[0])),
                .padding = @fromBackingInt(@intCast(p.ints[1])),
                .align_corners = p.ints[2] != 0,
                .dims = p.ints.len - 3,
                .size = @splat(1),
                .extent = @splat(1),
                .channels = @intCast(shape[1]),
                .points = p.operands[sampled].numel() / @as(usize, @intCast(shape[0] * shape[1])),
            };
            for (p.ints[3..], 3 - j.dims..) |size, d| {
                j.size[d] = @intCast(size);
                j.extent[d] = @floatFromInt(size);
            }
            return j;
        }
        fn tiles(j: *const Self) usize {
            return (j.points + tile - 1) / tile;
        }
        fn pixels(j: *const Self) usize {
            return j.size[0] * j.size[1] * j.size[2];
        }
        /// Pixels around a point.
        fn taps(j: *const Self) usize {
            return switch (j.mode) {
                .linear => @as(usize, 1) << @intCast(j.dims),
                .nearest => 1,
                .cubic => 16,
            };
        }
        inline fn splat(x: T) V {
            return @splat(x);
        }
        inline fn pick(m: @Vector(lanes, bool), a: V, b: V) V {
            return @select(T, m, a, b);
        }

        // ------------------------------------------------------ where points lie

        /// How far a position in `size` pixels moves when the grid's number changes by 1.
        inline fn half(j: *const Self, size: T) T {
            return (if (j.align_corners) size - 1 else size) * 0.5;
        }
        /// Where position 0 is, from the beginning of the image.
        inline fn shift(j: *const Self) V {
            return splat(if (j.align_corners) 0 else 0.5);
        }
        /// Positions as the padding moves them, and how much they change with what they were: 1, -1 or 0.
        inline fn moved(j: *const Self, from: V, size: T) [2]V {
            if (j.padding == .zeros) return .{ from, splat(1) };
            const zero, const last = .{ splat(0), splat(size - 1) };
            const at, const sign = if (j.padding == .border) .{ from, splat(1) } else j.reflected(from, size);
            const above, const below = .{ at > zero, at < last };
            return .{ pick(above, pick(below, at, last), zero), pick(above & below, sign, zero) };
        }
        noinline fn reflected(j: *const Self, from: V, size: T) [2]V {
            const h = j.half(size);
            const past = from + j.shift();
            const distance = @abs(past);
            const period = splat(4 * h);
            const extra = distance - math.floor(V, distance / period) * period;
            const back = extra > splat(2 * h);
            const at = pick(back, period - extra, extra) - j.shift();
            const one = splat(1);
            return .{ if (h == 0) splat(0) else at, pick(back != (past < splat(0)), -one, one) };
        }

        fn axis(j: *const Self, a: *Axis, x: V, size: T) void {
            j.axisAs(j.mode, a, x, size);
        }
        inline fn axisAs(j: *const Self, mode: Mode, a: *Axis, x: V, size: T) void {
            const half_size = splat(j.half(size));
            const raw = (x + splat(1)) * half_size - j.shift();
            if (mode == .cubic) {
                const base = math.floor(V, raw);
                inline for (0..4) |k| {
                    const at = j.moved(base + splat(@as(T, k) - 1), size)[0];
                    const share, const slope = cubic(raw - base, k);
                    a.set(k, at, size, share, slope * half_size);
                }
                return;
            }
            const position, const sign = j.moved(raw, size);
            if (mode == .nearest) {
                const at = math.roundEven(V, position);
                a.set(0, at, size, splat(1) + (at - at), splat(0));
                return;
            }
            const base = math.floor(V, position);
            const rest = position - base;
            const scale = sign * half_size;
            a.set(0, base, size, splat(1) - rest, -scale);
            a.set(1, base + splat(1), size, rest, scale);
        }

        /// The nearest whole numbers, of two the even ones, below `plain`; others stay above it.
        inline fn nearest(x: V) V {
            const magic = splat(3 * plain);
            return (x + magic) - magic;
        }

        /// The share of pixel k of the four around a position, `t` behind the second, and its
        /// derivative: cubic convolution with a = -0.75 (Keys, 1981).
        inline fn cubic(t: V, comptime k: usize) [2]V {
            const a = -0.75;
            const x = if (k < 2) t + splat(1 - k) else splat(k - 1) - t;
            const sign = splat(if (k < 2) 1 else -1);
            if (k == 0 or k == 3) return .{
                ((splat(a) * x - splat(5 * a)) * x + splat(8 * a)) * x - splat(4 * a),
                sign * ((splat(3 * a) * x - splat(10 * a)) * x + splat(8 * a)),
            };
            return .{
                (splat(a + 2) * x - splat(a + 3)) * x * x + splat(1),
                sign * (splat(3 * (a + 2)) * x - splat(2 * (a + 3))) * x,
            };
        }

        /// The points from `first` on of image n.
        fn locate(j: *const Self, t: *Tile, grid: [*]const T, n: usize, first: usize, slopes: bool) void {
            t.count = @min(tile, j.points - first);
            t.taps = j.taps();
            t.seen = 0;
            const given = j.dims * t.count;
            var from = grid + j.dims * (n * j.points + first);
            var padded: [3 * tile]T = undefined;
            if (t.count % lanes != 0) {
                @memcpy(padded[0..given], from[0..given]);
                @memset(padded[given..], 0);
                from = &padded;
            }
            if (T == f32 and simd.has_fma and j.dims == 2 and @max(j.size[1], j.size[2]) < plain) inline for ([_]Known{
                .{ .mode = .nearest, .slopes = false },
                .{ .mode = .linear, .slopes = false },
                .{ .mode = .linear, .slopes = true },
            }) |known| if (j.mode == known.mode and slopes == known.slopes) return j.locateKnown(known, t, from);
            var axes: [3]Axis = .{ .none, undefined, undefined };
            var i: usize = 0;
            while (i < t.count) : (i += lanes) {
                // The grid has x first.
                for (0..j.dims) |d| {
                    const numbers = from + i * j.dims + d;
                    var x: V = undefined;
                    inline for (0..lanes) |l| x[l] = numbers[l * j.dims];
                    j.axis(&axes[2 - d], x, j.extent[2 - d]);
                }
                for (0..t.taps) |k| {
                    const at: [3]usize = if (j.mode == .cubic) .{ 0, k / 4, k % 4 } else .{ k / 4, k / 2 % 2, k % 2 };
                    j.put(t, &axes, k, at, i, slopes);
                }
                t.seen |= @as(u32, axes[0].seen & axes[1].seen & axes[2].seen) << @intCast(i);
            }
        }

        noinline fn locateKnown(j: *const Self, comptime known: Known, t: *Tile, from: [*]const T) void {
            if (known.mode == .nearest) return j.locateNearest(t, from);
            var i: usize = 0;
            while (i < t.count) : (i += lanes) {
                const given = separated(from + 2 * i);
                var axes: [3]Axis = .{ .none, undefined, undefined };
                j.axisAs(known.mode, &axes[2], given[0], j.extent[2]);
                j.axisAs(known.mode, &axes[1], given[1], j.extent[1]);
                inline for (0..4) |k| {
                    j.put(t, &axes, k, .{ 0, k / 2, k % 2 }, i, known.slopes);
                }
                t.seen |= @as(u32, axes[1].seen & axes[2].seen) << @intCast(i);
            }
        }

        /// The pixels nearest to the points, which are all of their samples.
        inline fn locateNearest(j: *const Self, t: *Tile, from: [*]const T) void {
            const zero = splat(0);
            const sizes = [2]T{ j.extent[2], j.extent[1] };
            var halves: [2]V = undefined;
            for (&halves, sizes) |*h, size| h.* = splat(j.half(size));
            const first = j.shift();
            const columns: I = @splat(@intCast(j.size[2]));
            var i: usize = 0;
            while (i < t.count) : (i += lanes) {
                const given = separated(from + 2 * i);
                var inside: @Vector(lanes, bool) = @splat(true);
                var place: [2]I = undefined;
                var apart = zero;
                inline for (&place, given, sizes, halves) |*p, x, size, h| {
                    const raw = (x + splat(1)) * h - first;
                    const at = nearest(if (j.padding == .zeros) raw else j.moved(raw, size)[0]);
                    const above = pick(at > zero, at, zero);
                    const held = pick(above < splat(size - 1), above, splat(size - 1));
                    inside = inside & (held == at);
                    p.* = @trunc(held);
                    apart += at - at;
                }
                t.at[0][i..][0..lanes].* = @bitCast(@as([lanes]i32, place[1] * columns + place[0]));
                t.share[0][i..][0..lanes].* = splat(1) + apart; // 1 or nan
                t.seen |= @as(u32, @as(Mask, @bitCast(inside))) << @intCast(i);
            }
        }
        /// x and y of some points.
        inline fn separated(from: [*]const T) [2]V {
            const pairs: @Vector(2 * lanes, T) = from[0 .. 2 * lanes].*;
            const order = comptime simd.iota(lanes, i32) * @as(I, @splat(2));
            return .{ @shuffle(T, pairs, undefined, order), @shuffle(T, pairs, undefined, order + @as(I, @splat(1))) };
        }

        /// Pixel k around the points from i on: number at[d] of each dimension.
        inline fn put(j: *const Self, t: *Tile, axes: *const [3]Axis, k: usize, at: [3]usize, i: usize, slopes: bool) void {
            const rows: I = @splat(@intCast(j.size[1]));
            const columns: I = @splat(@intCast(j.size[2]));
            const z, const y, const x = .{ &axes[0], &axes[1], &axes[2] };
            const where = (z.at[at[0]] * rows + y.at[at[1]]) * columns + x.at[at[2]];
            const shares = [3]V{ x.share[at[2]], y.share[at[1]], z.share[at[0]] };
            t.at[k][i..][0..lanes].* = @bitCast(@as([lanes]i32, where));
            t.share[k][i..][0..lanes].* = shares[0] * shares[1] * shares[2];
            if (!slopes) return;
            t.slope[0][k][i..][0..lanes].* = x.slope[at[2]] * shares[1] * shares[2];
            t.slope[1][k][i..][0..lanes].* = y.slope[at[1]] * shares[0] * shares[2];
            if (j.dims == 3) t.slope[2][k][i..][0..lanes].* = z.slope[at[0]] * shares[0] * shares[1];
        }

        // ------------------------------------------------------ samples

        const Work = struct {
            j: *const Self,
            t: *const Tile,
            /// The first channel of an image, and of its points.
            image: [*]T,
            points: [*]T,
            sums: *[16][tile]T = undefined,
        };
        /// Pixel k of the points from i on.
        inline fn gather(from: [*]const T, at: [lanes]u32) V {
            var x: V = undefined;
            inline for (at, 0..) |place, l| x[l] = from[place];
            return x;
        }
        inline fn read(from: [*]const T, n: usize) V {
            if (n >= lanes) return from[0..lanes].*;
            var x: [lanes]T = @splat(0);
            @memcpy(x[0..n], from[0..n]);
            return x;
        }
        /// Calls f with channels [begin, end) (of float32) in fours, or three (colours), the rest one by one.
        inline fn channelwise(begin: usize, end: usize, work: Work, comptime f: anytype) void {
            var c = begin;
            if (T == f32 and simd.has_fma) {
                while (c + 4 <= end) : (c += 4) f(4, c, work);
                if (c + 3 == end) return f(3, c, work);
            }
            while (c < end) : (c += 1) f(1, c, work);
        }

        fn part(j: *const Self, begin: usize, end: usize) void {
            var t: Tile = .{};
            for (begin..end) |unit| {
                const n = unit / j.tiles();
                const first = unit % j.tiles() * tile;
                j.locate(&t, j.call.at(T, 2), n, first, false);
                const image = j.call.at(T, 1) + n * j.channels * j.pixels();
                const out = j.call.at(T, 0) + n * j.channels * j.points + first;
                channelwise(0, j.channels, .{ .j = j, .t = &t, .image = image, .points = out }, sample);
            }
        }

        fn sample(comptime count: usize, channel: usize, w: Work) void {
            const t = w.t;
            const size = w.j.pixels();
            const image = w.image + channel * size;
            const step = w.j.points;
            const out = w.points + channel * step;
            var i: usize = 0;
            while (i < t.count) : (i += lanes) {
                var sums: [count]V = @splat(splat(0));
                if (t.taps == 1) { // its share is 1
                    inline for (&sums, 0..) |*sum, c| sum.* = gather(image + c * size, t.at[0][i..][0..lanes].*);
                } else for (t.at[0..t.taps], t.share[0..t.taps]) |*at, *shares| {
                    const share: V = shares[i..][0..lanes].*;
                    inline for (&sums, 0..) |*sum, c| sum.* += gather(image + c * size, at[i..][0..lanes].*) * share;
                }
                const n = @min(lanes, t.count - i);
                // Of points out of sight nothing of the image, not even its nans, but their own.
                const seen: @Vector(lanes, bool) = @bitCast(@as(Mask, @truncate(t.seen >> @intCast(i))));
                const nothing = @as(V, t.share[0][i..][0..lanes].*) * splat(0);
                inline for (sums, 0..) |all, c| {
                    const sum = pick(seen, all, nothing);
                    const to = out + c * step + i;
                    if (n == lanes) to[0..lanes].* = sum else for (to[0..n], @as([lanes]T, sum)[0..n]) |*a, b| {
                        a.* = b;
                    }
                }
            }
        }

        // ------------------------------------------------------ gradients

        fn backwardPart(j: *const Self, begin: usize, end: usize) void {
            var t: Tile = .{};
            const groups = (j.channels + group - 1) / group;
            for (begin..end) |unit| {
                const n = unit / groups;
                const first = unit % groups * group;
                const last = @min(first + group, j.channels);
                const image = j.call.at(T, 0) + n * j.channels * j.pixels();
                @memset(image[first * j.pixels() .. last * j.pixels()], 0);
                for (0..j.tiles()) |k| {
                    j.locate(&t, j.call.at(T, 2), n, k * tile, false);
                    const g = j.call.at(T, 1) + n * j.channels * j.points + k * tile;
                    channelwise(first, last, .{ .j = j, .t = &t, .image = image, .points = g }, spread);
                }
            }
        }

        fn spread(comptime count: usize, channel: usize, w: Work) void {
            if (T == f32 and simd.has_fma) switch (w.t.taps) {
                inline 1, 4 => |n| return spreadTaps(count, n, channel, w),
                else => {},
            };
            spreadTaps(count, null, channel, w);
        }
        inline fn spreadTaps(comptime count: usize, comptime known: ?usize, channel: usize, w: Work) void {
            const t = w.t;
            const size = w.j.pixels();
            const image = w.image + channel * size;
            const g = w.points + channel * w.j.points;
            for (0..t.count) |i| {
                if (!t.isSeen(i)) continue;
                var here: [count]T = undefined;
                inline for (&here, 0..) |*x, c| x.* = g[c * w.j.points + i];
                if (known) |n| {
                    inline for (0..n) |k| addAt(count, image + t.at[k][i], size, &here, t.share[k][i]);
                } else for (0..t.taps) |k| addAt(count, image + t.at[k][i], size, &here, t.share[k][i]);
            }
        }
        inline fn addAt(comptime count: usize, to: [*]T, size: usize, g: *const [count]T, share: T) void {
            inline for (g, 0..) |x, c| to[c * size] += x * share;
        }

        fn backwardGridPart(j: *const Self, begin: usize, end: usize) void {
            var t: Tile = .{};
            for (begin..end) |unit| {
                const n = unit / j.tiles();
                const first = unit % j.tiles() * tile;
                j.locate(&t, j.call.at(T, 3), n, first, true);
                const image = j.call.at(T, 2) + n * j.channels * j.pixels();
                const g = j.call.at(T, 1) + n * j.channels * j.points + first;
                j.gridSlopes(&t, image, g, j.call.at(T, 0) + j.dims * (n * j.points + first));
            }
        }

        fn backwardBothPart(j: *const Self, begin: usize, end: usize) void {
            var t: Tile = .{};
            const size = j.channels * j.pixels();
            for (begin..end) |n| {
                const grad = j.call.at(T, 0) + n * size;
                @memset(grad[0..size], 0);
                for (0..j.tiles()) |k| {
                    const first = k * tile;
                    j.locate(&t, j.call.at(T, 4), n, first, true);
                    const g = j.call.at(T, 2) + n * j.channels * j.points + first;
                    channelwise(0, j.channels, .{ .j = j, .t = &t, .image = grad, .points = g }, spread);
                    j.gridSlopes(&t, j.call.at(T, 3) + n * size, g, j.call.at(T, 1) + j.dims * (n * j.points + first));
                }
            }
        }

        /// The gradient of a tile's numbers in the grid, at `to`.
        fn gridSlopes(j: *const Self, t: *const Tile, image: [*]T, g: [*]T, to: [*]T) void {
            var sums: [16][tile]T = undefined;
            for (sums[0..t.taps]) |*sum| sum.* = @splat(0);
            const work: Work = .{ .j = j, .t = t, .image = image, .points = g, .sums = &sums };
            channelwise(0, j.channels, work, correlate);
            var i: usize = 0;
            while (i < t.count) : (i += lanes) for (0..j.dims) |d| {
                var total = splat(0);
                for (t.slope[d][0..t.taps], sums[0..t.taps]) |*slope, *sum| {
                    const s: V = slope[i..][0..lanes].*;
                    total += pick(s != splat(0), s * @as(V, sum[i..][0..lanes].*), splat(0));
                }
                const totals: [lanes]T = total;
                for (totals[0..@min(lanes, t.count - i)], i..) |x, k| to[k * j.dims + d] = x;
            };
        }

        /// Adds g times each of the pixels, over the channels.
        fn correlate(comptime count: usize, channel: usize, w: Work) void {
            const t = w.t;
            const size = w.j.pixels();
            const image = w.image + channel * size;
            const g = w.points + channel * w.j.points;
            var i: usize = 0;
            while (i < t.count) : (i += lanes) {
                var here: [count]V = undefined;
                inline for (&here, 0..) |*x, c| x.* = read(g + c * w.j.points + i, t.count - i);
                for (t.at[0..t.taps], w.sums[0..t.taps]) |*at, *sums| {
                    var sum: V = sums[i..][0..lanes].*;
                    inline for (here, 0..) |x, c| sum += gather(image + c * size, at[i..][0..lanes].*) * x;
                    sums[i..][0..lanes].* = sum;
                }
            }
        }

        fn run(p: *const Plan, call: *Call) void {
            if (p.operands[0].numel() == 0) return;
            const job: Self = .init(p, call, 0);
            const units = @as(usize, @intCast(p.operands[0].shape[0])) * job.tiles();
            services.parallelFor(units, 1 + 128 / job.channels, job, part);
        }

        fn runBackward(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            if (n == 0) return;
            const job: Self = .init(p, call, 1);
            const units = (job.channels + group - 1) / group * (n / job.channels / job.pixels());
            services.parallelFor(units, 1 + 4096 / (job.points + job.pixels()), job, backwardPart);
        }

        fn runBackwardBoth(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            if (n == 0) return;
            const job: Self = .init(p, call, 2);
            services.parallelFor(n / job.channels / job.pixels(), 1 + 2048 / (job.points + job.pixels()), job, backwardBothPart);
        }

        fn runBackwardGrid(p: *const Plan, call: *Call) void {
            const n = p.operands[0].numel();
            if (n == 0) return;
            const job: Self = .init(p, call, 1);
            const units = n / job.dims / job.points * job.tiles();
            services.parallelFor(units, 1 + 128 / job.channels, job, backwardGridPart);
        }
    };
}

test {
    _ = @import("grid_sample_test.zig");
}
