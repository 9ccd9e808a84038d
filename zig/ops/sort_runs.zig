//! Rows of the sort family that read what is sorted: run_count, runs, searchsorted.
//! The contract is on top of sort.zig.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const simd = @import("../simd.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;
const DType = dtype.DType;

pub fn prepareRuns(p: *Plan, count_only: bool) planning.PrepareError!void {
    const self = p.inputs()[0];
    if (self.ndim() != 2) return error.Unsupported;
    p.run = switch (self.dtype) {
        .bool, .uint8, .int8 => runsOf(.uint8, count_only),
        .int16 => runsOf(.int16, count_only),
        .int32 => runsOf(.int32, count_only),
        .int64 => runsOf(.int64, count_only),
        .float16 => runsOf(.float16, count_only),
        .bfloat16 => runsOf(.bfloat16, count_only),
        .float32 => runsOf(.float32, count_only),
        .float64 => runsOf(.float64, count_only),
    };
}
fn runsOf(comptime d: DType, count_only: bool) planning.Run {
    return if (count_only) &Runs(d).countRun else &Runs(d).runsRun;
}

fn comparable(comptime d: DType, x: d.Type()) if (d == .bfloat16) f32 else d.Type() {
    return if (d == .bfloat16) x.toF32() else x;
}

fn Runs(comptime d: DType) type {
    const T = d.Type();
    return struct {
        memory: [*]const T,
        columns: usize,
        step: [2]usize,
        total: *std.atomic.Value(usize),

        const Job = @This();

        /// Whether row i (> 0) is unlike the one before it.
        fn begins(job: *const Job, i: usize) bool {
            const here = job.memory + i * job.step[0];
            const before = here - job.step[0];
            for (0..job.columns) |j| {
                const at = j * job.step[1];
                if (comparable(d, here[at]) != comparable(d, before[at])) return true;
            }
            return false;
        }

        const width = 64;
        /// Which of the rows i to i + 63 (i > 0) are unlike the ones before them.
        fn beginsOf(job: *const Job, i: usize) u64 {
            if (job.columns == 1 and job.step[0] == 1 and d != .bfloat16) {
                const V = @Vector(width, T);
                const here: V = job.memory[i..][0..width].*;
                const before: V = job.memory[i - 1 ..][0..width].*;
                return @bitCast(here != before);
            }
            var bits: u64 = 0;
            for (0..width) |k| bits |= @as(u64, @intFromBool(job.begins(i + k))) << @intCast(k);
            return bits;
        }

        fn init(plan: *const Plan, call: *Call, total: *std.atomic.Value(usize)) Job {
            const self = plan.inputs()[0];
            return .{
                .memory = call.at(T, plan.n_out),
                .columns = @intCast(self.shape[1]),
                .step = .{ @intCast(self.strides[0]), @intCast(self.strides[1]) },
                .total = total,
            };
        }

        fn countRun(plan: *const Plan, call: *Call) void {
            const n: usize = @intCast(plan.inputs()[0].shape[0]);
            var total: std.atomic.Value(usize) = .init(@min(n, 1));
            if (n > 1) services.parallelFor(n - 1, 1 << 13, init(plan, call, &total), countPart);
            call.at(i64, 0)[0] = @intCast(total.load(.monotonic));
        }
        fn countPart(job: *const Job, begin: usize, end: usize) void {
            var sum: usize = 0;
            var i = begin + 1;
            while (i + width <= end + 1) : (i += width) sum += @popCount(job.beginsOf(i));
            while (i < end + 1) : (i += 1) sum += @intFromBool(job.begins(i));
            _ = job.total.fetchAdd(sum, .monotonic);
        }

        fn runsRun(plan: *const Plan, call: *Call) void {
            const n: usize = @intCast(plan.inputs()[0].shape[0]);
            const runs: usize = @intCast(plan.operands[0].shape[0]);
            var unused: std.atomic.Value(usize) = .init(0);
            if (n == 0) return;
            const job = init(plan, call, &unused);
            const starts = call.at(i64, 0);
            const inverse: ?[*]i64 = @ptrCast(@alignCast(call.ptr[1]));
            const counts: ?[*]i64 = @ptrCast(@alignCast(call.ptr[2]));
            const order: ?[*]const i64 = @ptrCast(@alignCast(call.ptr[4]));
            const step = stepOf(plan, 0);
            // The starts first, 64 rows at a time, as far as there is room for them.
            starts[0] = 0;
            var run: usize = 1;
            var i: usize = 1;
            while (i < n) : (i += width) {
                var bits = if (i + width <= n) job.beginsOf(i) else blk: {
                    var some: u64 = 0;
                    for (i..n) |k| some |= @as(u64, @intFromBool(job.begins(k))) << @intCast(k - i);
                    break :blk some;
                };
                while (bits != 0 and run < runs) : (bits &= bits - 1) {
                    starts[run * step] = @intCast(i + @ctz(bits));
                    run += 1;
                }
                if (bits != 0) run += 1; // not the count that run_count gives
            }
            if (run != runs) return call.fail(.invalid_value, .{ @intCast(run), @intCast(runs), 0 });
            for (0..runs) |r| {
                const first: usize = @intCast(starts[r * step]);
                const end: usize = if (r + 1 < runs) @intCast(starts[(r + 1) * step]) else n;
                if (counts) |to| to[r * stepOf(plan, 2)] = @intCast(end - first);
                const to = inverse orelse continue;
                for (first..end) |k| {
                    const at = if (order) |o| o[k * stepOf(plan, 4)] else @as(i64, @intCast(k));
                    if (at < 0 or at >= n) return call.fail(.index_out_of_range, .{ at, @intCast(n), 0 });
                    to[@as(usize, @intCast(at)) * stepOf(plan, 1)] = @intCast(r);
                }
            }
        }
        fn stepOf(plan: *const Plan, operand: usize) usize {
            const o = plan.operands[operand];
            return if (o.ndim() == 0) 0 else @intCast(o.strides[0]);
        }
    };
}

const Search = struct {
    right: bool,
    n: usize,
    step: usize,
    /// Positions, boundaries, values, over the shape of values.
    space: index_space.Space(3) = .{},

    /// Whether the same boundaries serve all values, which lie together.
    fn flat(s: *const Search) bool {
        const x = &s.space;
        return x.ndim == 1 and x.strides[0][0] == 1 and x.strides[1][0] == 0 and x.strides[2][0] == 1;
    }
};

pub fn prepareSearch(p: *Plan) planning.PrepareError!void {
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
        .bool, .uint8 => &Searching(.uint8).run,
        inline else => |d| &Searching(d).run,
    };
}

pub fn Searching(comptime d: DType) type {
    const T = d.Type();
    return struct {
        plan: *const Plan,
        call: *Call,

        const Job = @This();
        fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(Search);
            const job: Job = .{ .plan = plan, .call = call };
            services.parallelFor(s.space.count, 1024, job, part);
        }
        fn part(job: *const Job, begin: usize, end: usize) void {
            const s = job.plan.stateAs(Search);
            const out = job.call.at(i64, 0);
            const boundaries = job.call.at(T, 1);
            const values = job.call.at(T, 2);
            var i = begin;
            if (@sizeOf(T) >= 4 and simd.has_fma and s.n > 0 and s.flat()) {
                const last = boundaries[(s.n - 1) * s.step];
                if (s.n <= 24 and last == last) {
                    while (i + lanes <= end) : (i += lanes) {
                        out[i..][0..lanes].* = counted(s, boundaries, values[i..][0..lanes].*);
                    }
                } else if (s.step == 1 and s.n >= lanes and end - i >= lanes) {
                    Nodes.init(boundaries, s.n, s.right).find(values[i..end], out + i);
                    i = end;
                }
            }
            var w = s.space.walk(i);
            while (i < end) : (i += width) {
                // Several searches side by side: each of them mostly waits for memory.
                const n: usize = @min(width, end - i);
                var line: [width][*]const T = @splat(boundaries);
                var value: [width]Comparable = undefined;
                var place: [width]*i64 = undefined;
                for (0..n) |j| {
                    place[j] = &out[w.offset[0]];
                    line[j] = boundaries + w.offset[1];
                    value[j] = comparable(d, values[w.offset[2]]);
                    if (s.space.ndim == 1) {
                        for (&w.offset, s.space.strides) |*x, strides| x.* += strides[0];
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

        const lanes = 16;
        /// Of few boundaries all: how many of them a search would pass.
        fn counted(s: *const Search, boundaries: [*]const T, x: @Vector(lanes, T)) @Vector(lanes, i64) {
            const I = @Vector(lanes, @Int(.signed, @bitSizeOf(T)));
            var sum: I = @splat(0);
            for (0..s.n) |k| {
                const y: @Vector(lanes, T) = @splat(boundaries[k * s.step]);
                sum += @select(std.meta.Child(I), if (s.right) y > x else y >= x, @as(I, @splat(0)), @as(I, @splat(1)));
            }
            return sum;
        }

        /// Boundaries as a tree with nodes of `fan`, the last of which are boundaries themselves.
        pub const Nodes = struct {
            pub const fan = 8;
            const all = 512;

            boundaries: [*]const T,
            n: usize,
            right: bool,
            /// Boundaries between two of `leaves`; 0 where there are so few that what is above them suffices.
            apart: usize,
            has_middle: bool = false,
            tops: [fan]T,
            middle: [fan * fan]T,
            leaves: [all]T,

            pub fn init(boundaries: [*]const T, n: usize, right: bool) Nodes {
                var t: Nodes = .{ .boundaries = boundaries, .n = n, .right = right, .apart = 0, .tops = undefined, .middle = undefined, .leaves = undefined };
                var from: []const T = boundaries[0..n];
                if (n > all) {
                    t.apart = (n + all - 1) / all;
                    every(t.apart, from, &t.leaves);
                    from = &t.leaves;
                }
                if (from.len > fan * fan) {
                    t.has_middle = true;
                    every(fan, from, &t.middle);
                    from = &t.middle;
                }
                every(fan, from, &t.tops);
                return t;
            }
            fn every(apart: usize, from: []const T, to: []T) void {
                for (to, 1..) |*x, i| x.* = from[@min(from.len, i * apart) - 1];
            }
            /// x, of which the compiler knows nothing: it would make a branch of it that nobody could foresee.
            inline fn hidden(x: usize) usize {
                return asm (""
                    : [out] "=r" (-> usize),
                    : [x] "0" (x),
                );
            }
            /// The place of the first that is not passed, from `low` on; `fan` behind it where all are.
            inline fn among(comptime right: bool, nodes: []const T, from: usize, x: T) usize {
                // What is before a place that was found is passed in any case: starting sooner does no harm.
                const low = @min(from, nodes.len - fan);
                const y: @Vector(fan, T) = nodes[low..][0..fan].*;
                const v: @Vector(fan, T) = @splat(x);
                const stops: @Int(.unsigned, fan) = @bitCast(if (right) y > v else y >= v);
                return low + @ctz(@as(u32, stops) | 1 << fan);
            }
            pub fn find(t: *const Nodes, values: []const T, out: [*]i64) void {
                if (t.right) t.findOf(true, values, out) else t.findOf(false, values, out);
            }
            fn findOf(t: *const Nodes, comptime right: bool, values: []const T, out: [*]i64) void {
                const line = t.boundaries[0..t.n];
                if (t.apart <= fan) {
                    for (values, out) |x, *to| to.* = @intCast(among(right, line, t.start(right, x), x));
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
                    for (low[0..m], x[0..m], out[i..][0..m]) |l, v, *to| to.* = @intCast(among(right, line, l, v));
                }
            }
            inline fn start(t: *const Nodes, comptime right: bool, x: T) usize {
                var low = fan * among(right, &t.tops, 0, x);
                if (t.has_middle) low = fan * among(right, &t.middle, low, x);
                if (t.apart != 0) low = @min(t.apart * among(right, &t.leaves, low, x), t.n - t.apart);
                return low;
            }
            /// Searches side by side: each of them mostly waits for what it compared last.
            const together = 8;
            inline fn halve(t: *const Nodes, comptime right: bool, x: *const [together]T, low: *[together]usize) void {
                var left = t.apart;
                while (left > fan) {
                    const half = left / 2;
                    const middle = t.boundaries + half - 1;
                    inline for (x, low) |v, *l| {
                        const y = middle[l.*];
                        const stops = if (right) y > v else y >= v;
                        l.* += half & (hidden(@intFromBool(stops)) -% 1);
                    }
                    left -= half;
                }
            }
        };

        const width = 8;
        const Comparable = @TypeOf(comparable(d, undefined));

        fn search(
            s: *const Search,
            line: *const [width][*]const T,
            value: *const [width]Comparable,
        ) [width]usize {
            var low: [width]usize = @splat(0);
            if (s.n == 0) return low;
            // What is left to look through is as long for all of them.
            var left = s.n;
            while (true) {
                const half = @max(1, left / 2);
                inline for (0..width) |j| {
                    const y = comparable(d, line[j][(low[j] + half - 1) * s.step]);
                    const goes_on = if (s.right) !(y > value[j]) else !(y >= value[j]);
                    low[j] += if (goes_on) half else 0;
                }
                if (left == 1) break;
                left -= half;
            }
            return low;
        }
    };
}
