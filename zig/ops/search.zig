//! Searching in what is sorted: how many boundaries are before a value, and whether it is among some.
//!
//! searchsorted: outputs positions (int64, the shape of values); inputs boundaries, values.
//!     ints: right.  boundaries: 1-d, or with the leading dimensions of values; sorted along
//!     the last one. The number of boundaries < value (right: <= value), by binary search
//!     with PyTorch's steps: a nan value goes to the end, and what comes out where the boundaries
//!     do not ascend, or a nan is among them, is what PyTorch gives.
//! isin: outputs found (bool, (n,)); inputs self (n,), among (m,), sorted where m > 24.  ints: invert.
//!     int32, int64, float32, float64 only. All contiguous.
//!
//! searchsorted: int32, int64, float32, float64 (boundaries and values share one), any strides. No scalars, no floats.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const simd = @import("../simd.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const DType = dtype.DType;

const Row = enum(u32) { searchsorted, isin };
pub const names: []const []const u8 = &.{ "searchsorted", "isin" };
pub const family: planning.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) planning.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    return switch (row) {
        .searchsorted => prepareSearch(p),
        .isin => prepareIsin(p),
    };
}

const Search = struct {
    right: bool,
    n: usize,
    step: usize,
    /// Positions, boundaries, values, over the shape of values.
    space: index_space.Space(3) = .{},

    /// Whether runs of values that lie together are searched for among the same boundaries: as long
    /// runs as are worth what is prepared for them.
    fn inRuns(s: *const Search) bool {
        const x = &s.space;
        if (!simd.has_fma or x.ndim == 0 or s.n == 0) return false;
        const d = x.ndim - 1;
        const apart = x.strides[0][d] != 1 or x.strides[1][d] != 0;
        const least: usize = if (s.n <= 128) 4 else if (s.n <= 1024) 8 else 64;
        // It is looked at every boundary: whether they ascend.
        return !apart and x.shape[d] >= least and (s.step == 1 or s.n <= few) and s.n / 256 <= s.space.count;
    }
};
/// So few boundaries are all compared.
const few = 24;

fn prepareSearch(p: *Plan) planning.PrepareError!void {
    const out = p.operands[0];
    const boundaries = p.operands[1];
    const values = p.operands[2];
    if (boundaries.dtype != values.dtype or boundaries.ndim() == 0) return error.Unsupported;
    const last = boundaries.ndim() - 1;
    if (last != 0 and last + 1 != values.ndim()) return error.Unsupported;
    var state: Search = .{
        .right = p.ints[0] != 0,
        .n = @intCast(boundaries.shape[last]),
        .step = @intCast(boundaries.strides[last]),
    };
    for (0..values.ndim()) |d| {
        const line: i64 = if (last == 0 or d == last) 0 else boundaries.strides[d];
        try state.space.add(values.shape[d], .{ out.strides[d], line, values.strides[d] });
    }
    state.space.coalesce();
    (try p.create(Search)).* = state;
    p.run = switch (values.dtype) {
        inline .int32, .int64, .float32, .float64 => |d| &Searching(d).run,
        else => return error.Unsupported,
    };
}

fn Searching(comptime d: DType) type {
    const T = d.Type();
    return struct {
        plan: *const Plan,
        call: *Call,

        const Job = @This();
        fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(Search);
            const job: Job = .{ .plan = plan, .call = call };
            services.parallelFor(s.space.count, 512, job, part);
        }
        fn part(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(Search);
            const out = job.call.at(i64, 0);
            const boundaries = job.call.at(T, 1);
            const values = job.call.at(T, 2);
            if (!s.inRuns()) return each(s, out, boundaries, values, begin, end);
            var nodes: Nodes = undefined;
            const apart = s.space.strides[2][s.space.ndim - 1];
            var together: [512]T = undefined;
            var w = s.space.walk(begin);
            var i = begin;
            while (i < end) {
                var n = @min(end - i, w.runLeft());
                const line = boundaries + w.offset[1];
                var here: []const T = values[w.offset[2]..][0..n];
                if (apart != 1) {
                    n = @min(n, together.len);
                    for (together[0..n], 0..) |*x, k| x.* = values[w.offset[2] + k * apart];
                    here = together[0..n];
                }
                if (!ascend(line, s.n, s.step)) {
                    each(s, out, boundaries, values, i, i + n);
                } else if (s.n <= few) {
                    count(s, line, here, out + w.offset[0]);
                } else if (s.n >= Nodes.wide and s.step == 1) {
                    nodes.init(line, s.n, s.right);
                    nodes.find(here, out + w.offset[0]);
                } else each(s, out, boundaries, values, i, i + n);
                i += n;
                w.advance(n);
            }
        }
        /// Whether no boundary is greater than the next one, or nan.
        fn ascend(line: [*]const T, n: usize, step: usize) bool {
            const lanes = 16;
            if (line[0] != line[0]) return false;
            var i: usize = 1;
            if (step == 1) while (i + lanes <= n) : (i += lanes) {
                const x: @Vector(lanes, T) = line[i - 1 ..][0..lanes].*;
                if (!@reduce(.And, x <= @as(@Vector(lanes, T), line[i..][0..lanes].*))) return false;
            };
            while (i < n) : (i += 1) if (!(line[(i - 1) * step] <= line[i * step])) return false;
            return true;
        }

        /// Of values that lie anywhere.
        noinline fn each(s: *const Search, out: [*]i64, boundaries: [*]const T, values: [*]const T, begin: usize, end: usize) void {
            var w = s.space.walk(begin);
            var i = begin;
            while (i < end) : (i += width) {
                // Several searches side by side: each of them mostly waits for memory.
                const n: usize = @min(width, end - i);
                var line: [width][*]const T = @splat(boundaries);
                var value: [width]T = undefined;
                var place: [width]*i64 = undefined;
                for (0..n) |j| {
                    place[j] = &out[w.offset[0]];
                    line[j] = boundaries + w.offset[1];
                    value[j] = values[w.offset[2]];
                    if (s.space.ndim == 1) {
                        for (&w.offset, &s.space.strides) |*x, *strides| x.* += strides[0];
                    } else w.advance(1);
                }
                for (n..width) |j| {
                    line[j] = line[0];
                    value[j] = value[0];
                }
                const found = search(s, &line, &value);
                for (place[0..n], found[0..n]) |p, x| p.* = @intCast(x);
            }
        }

        /// Of few boundaries all: how many of them a search would pass.
        fn count(s: *const Search, boundaries: [*]const T, values: []const T, out: [*]i64) void {
            const lanes = 16;
            const I = @Vector(lanes, @Int(.signed, @bitSizeOf(T)));
            var i: usize = 0;
            while (i < values.len) : (i += lanes) {
                const m = @min(lanes, values.len - i);
                var some: [lanes]T = @splat(values[i]);
                if (m < lanes) @memcpy(some[0..m], values[i..][0..m]);
                const x: @Vector(lanes, T) = if (m < lanes) some else values[i..][0..lanes].*;
                var sum: I = @splat(0);
                for (0..s.n) |k| {
                    const y: @Vector(lanes, T) = @splat(boundaries[k * s.step]);
                    sum += @select(std.meta.Child(I), if (s.right) y > x else y >= x, @as(I, @splat(0)), @as(I, @splat(1)));
                }
                const found: [lanes]i64 = @as(@Vector(lanes, i64), sum);
                if (m < lanes) @memcpy(out[i..][0..m], found[0..m]) else out[i..][0..lanes].* = found;
            }
        }

        /// Boundaries as a tree with nodes of `fan`, the last of which are `wide` boundaries themselves.
        pub const Nodes = struct {
            const fan = 8;
            pub const wide = 16;
            const all = 512;

            boundaries: [*]const T,
            n: usize,
            right: bool,
            /// Boundaries between two of `leaves`; 0 where there are so few that what is above them suffices.
            apart: usize,
            has_middle: bool,
            tops: [fan]T,
            middle: [fan * fan]T,
            leaves: [all]T,

            /// Of at least `wide` boundaries.
            pub fn init(t: *Nodes, boundaries: [*]const T, n: usize, right: bool) void {
                t.* = .{ .boundaries = boundaries, .n = n, .right = right, .apart = 0, .has_middle = n > fan * wide, .tops = undefined, .middle = undefined, .leaves = undefined };
                var from: []const T = boundaries[0..n];
                var apart: usize = wide;
                if (n > fan * fan * wide) {
                    t.apart = (n + all - 1) / all;
                    every(t.apart, from, &t.leaves);
                    from = &t.leaves;
                    apart = fan;
                }
                if (t.has_middle) {
                    every(apart, from, &t.middle);
                    from = &t.middle;
                    apart = fan;
                }
                every(apart, from, &t.tops);
            }
            fn every(apart: usize, from: []const T, to: []T) void {
                const whole = @min(to.len, from.len / apart);
                for (to[0..whole], 1..) |*x, i| x.* = from[i * apart - 1];
                @memset(to[whole..], from[from.len - 1]);
            }
            /// The place of the first that is not passed, from `low` on; `n` behind it where all are.
            inline fn among(comptime right: bool, comptime n: usize, nodes: []const T, from: usize, x: T) usize {
                // What is before a place that was found is passed in any case: starting sooner does no harm.
                const low = @min(from, nodes.len - n);
                const y: @Vector(n, T) = nodes[low..][0..n].*;
                const v: @Vector(n, T) = @splat(x);
                const stops: @Int(.unsigned, n) = @bitCast(if (right) y > v else y >= v);
                return low + @ctz(@as(u32, stops) | 1 << n);
            }
            pub fn find(t: *const Nodes, values: []const T, out: [*]i64) void {
                if (t.right) t.findOf(true, values, out) else t.findOf(false, values, out);
            }
            fn findOf(t: *const Nodes, comptime right: bool, values: []const T, out: [*]i64) void {
                const line = t.boundaries[0..t.n];
                if (t.apart <= wide) {
                    for (values, out) |x, *to| to.* = @intCast(among(right, wide, line, t.start(right, x), x));
                    return;
                }
                var i: usize = 0;
                while (i < values.len) : (i += together) {
                    const m = @min(together, values.len - i);
                    var x: [together]T = @splat(values[i]);
                    @memcpy(x[0..m], values[i..][0..m]);
                    var low: [together]usize = undefined;
                    for (&low, x) |*l, v| l.* = t.start(right, v);
                    t.halve(right, &x, &low);
                    for (low[0..m], x[0..m], out[i..][0..m]) |l, v, *to| to.* = @intCast(among(right, wide, line, l, v));
                }
            }
            inline fn start(t: *const Nodes, comptime right: bool, x: T) usize {
                var low = among(right, fan, &t.tops, 0, x);
                if (t.has_middle) low = among(right, fan, &t.middle, fan * low, x);
                if (t.apart == 0) return low * wide;
                low = among(right, fan, &t.leaves, fan * low, x);
                return @min(t.apart * low, t.n - t.apart);
            }
            /// Searches side by side: each of them mostly waits for what it compared last.
            const together = 8;
            inline fn halve(t: *const Nodes, comptime right: bool, x: *const [together]T, low: *[together]usize) void {
                var left = t.apart;
                while (left > wide) {
                    const half = left / 2;
                    const middle = t.boundaries + half - 1;
                    inline for (x, low) |v, *l| {
                        const y = middle[l.*];
                        const stops = if (right) y > v else y >= v;
                        l.* += half & (simd.opaquely(@intFromBool(stops)) -% 1);
                    }
                    left -= half;
                }
            }
        };

        const width = 8;

        fn search(
            s: *const Search,
            line: *const [width][*]const T,
            value: *const [width]T,
        ) [width]usize {
            var low: [width]usize = @splat(0);
            var left: [width]usize = @splat(s.n);
            // So often there is something left to cut in two; then there is one boundary or none.
            for (0..std.math.log2_int(usize, s.n + 1)) |_| inline for (0..width) |j| {
                const half = left[j] / 2;
                const y = line[j][(low[j] + half) * s.step];
                const stops = if (s.right) y > value[j] else y >= value[j];
                const goes_on = simd.opaquely(@intFromBool(!stops));
                low[j] += (half + 1) & (0 -% goes_on);
                left[j] = half - (goes_on & ~left[j]);
            };
            for (&low, left, line, value) |*at, rest, boundaries, x| {
                if (rest == 0) continue;
                const y = boundaries[at.* * s.step];
                at.* += @intFromBool(if (s.right) !(y > x) else !(y >= x));
            }
            return low;
        }
    };
}

fn prepareIsin(p: *Plan) planning.PrepareError!void {
    for (p.operands) |o| if (o.ndim() != 1 or (o.shape[0] > 1 and o.strides[0] != 1)) return error.Unsupported;
    p.run = switch (p.operands[1].dtype) {
        inline .int32, .int64, .float32, .float64 => |d| &Membership(d).run,
        else => return error.Unsupported,
    };
}

fn Membership(comptime d: DType) type {
    const T = d.Type();
    return struct {
        call: *Call,
        among: []const T,
        invert: u8,

        const Job = @This();
        const Nodes = Searching(d).Nodes;

        fn run(plan: *const Plan, call: *Call) void {
            var n: usize = @intCast(plan.operands[2].shape[0]);
            const memory = call.at(T, 2);
            if (n > 24) while (n > 0 and memory[n - 1] != memory[n - 1]) : (n -= 1) {}; // nan, which equals nothing
            const job: Job = .{ .call = call, .among = memory[0..n], .invert = @intCast(plan.ints[0]) };
            services.parallelFor(@intCast(plan.operands[0].shape[0]), 1024, job, part);
        }
        fn part(job: *const Job, begin: usize, end: usize) void {
            const out = job.call.at(u8, 0)[begin..end];
            const values = job.call.at(T, 1)[begin..end];
            if (!simd.has_fma) return job.halved(values, out);
            if (job.among.len <= 24) return job.compared(values, out);
            var nodes: Nodes = undefined;
            nodes.init(job.among.ptr, job.among.len, false);
            var places: [256]i64 = undefined;
            var first: usize = 0;
            while (first < values.len) : (first += places.len) {
                const here = values[first..@min(values.len, first + places.len)];
                nodes.find(here, &places);
                for (here, places[0..here.len], out[first..][0..here.len]) |x, at, *to| {
                    const y = job.among[@min(@as(usize, @intCast(at)), job.among.len - 1)];
                    to.* = @intFromBool(x == y) ^ job.invert;
                }
            }
        }
        /// By halves, or with each of a few: short code for old CPUs.
        fn halved(job: *const Job, values: []const T, out: []u8) void {
            for (values, out) |x, *to| {
                var rest = job.among;
                while (rest.len > 24) {
                    const half = rest.len / 2;
                    rest = if (rest[half] <= x) rest[half..] else rest[0..half];
                }
                to.* = @intFromBool(std.mem.indexOfScalar(T, rest, x) != null) ^ job.invert;
            }
        }
        /// With each of a few.
        fn compared(job: *const Job, values: []const T, out: []u8) void {
            const V = @Vector(16, T);
            var i: usize = 0;
            while (i < values.len) : (i += 16) {
                const m = @min(16, values.len - i);
                var some: [16]T = undefined;
                if (m < 16) @memcpy(some[0..m], values[i..][0..m]);
                const x: V = if (m < 16) some else values[i..][0..16].*;
                var found: @Vector(16, bool) = @splat(false);
                for (job.among) |y| found |= x == @as(V, @splat(y));
                const bytes: [16]u8 = @as(@Vector(16, u8), @intFromBool(found)) ^ @as(@Vector(16, u8), @splat(job.invert));
                if (m < 16) @memcpy(out[i..][0..m], bytes[0..m]) else out[i..][0..16].* = bytes;
            }
        }
    };
}
