//! Sorting and what follows from it. nan is greater than everything; every order is stable:
//! of equal elements the one that comes first stays first, descending too.
//!
//! sort: outputs values, indices (int64), both of self's shape; inputs self.
//!     ints: dim, descending.  Either output may be left out (address 0).
//! topk: outputs values, indices (int64), self's shape but k in dim; inputs self.
//!     ints: dim, k, largest.  Always sorted; of equal elements the first ones are taken.
//! kthvalue: outputs value, index (int64), self's shape but 1 in dim; inputs self.
//!     ints: dim, k (from 1).  The index is that of the stable sort.
//! median: outputs and inputs as kthvalue.  ints: dim, ignore_nan (nanmedian).
//!     The lower median. A nan among the elements (or nothing but nan) gives the first nan.
//! mode: outputs and inputs as kthvalue.  ints: dim.
//!     The smallest of the most frequent values, its last index. No nan equals another.
//! run_count: outputs count (int64, one element); inputs self (n, m).
//!     How many runs of equal neighbouring rows self has. No nan equals another.
//! runs: outputs starts (int64, (count,)), inverse (int64, (n,)), counts (int64, (count,));
//!     inputs self (n, m), order (int64, (n,), or left out).
//!     starts[r]: the first row of run r; counts[r]: its rows; inverse[order[i]] (inverse[i]
//!     without order): the run of row i. inverse and counts may be left out. With self the
//!     sorted values and order the indices of `sort` this is torch.unique; without order,
//!     torch.unique_consecutive.
//! searchsorted: outputs positions (int64, the shape of values); inputs boundaries, values.
//!     ints: right.  boundaries: 1-d, or with the leading dimensions of values; sorted along
//!     the last one. The number of boundaries < value (right: <= value), by binary search
//!     with PyTorch's comparisons: a nan value goes to the end.
//!
//! All dtypes (values, self and boundaries share one). Any strides. No scalars, no floats.
//! A line has fewer than 2^32 elements. Empty lines: sort and topk only.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const keys = @import("sort_keys.zig");
const sort_runs = @import("sort_runs.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;

const Row = enum(u32) { sort, topk, kthvalue, median, mode, run_count, runs, searchsorted };
pub const names: []const []const u8 = &.{
    "sort", "topk", "kthvalue", "median", "mode", "run_count", "runs", "searchsorted",
};
pub const family: planning.Family = .{ .prepare = prepare };

const State = struct {
    codec: keys.Codec,
    /// Elements of a line of self; how many of them come out.
    n: usize,
    k: usize,
    /// Largest first.
    descending: bool,
    ignore_nan: bool,
    /// Strides along the line, and the other dimensions: values, indices, self.
    step: [3]usize,
    lines: index_space.Space(3) = .{},
    element: usize,
};

fn prepare(p: *Plan) planning.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    switch (row) {
        .run_count, .runs => return sort_runs.prepareRuns(p, row == .run_count),
        .searchsorted => return sort_runs.prepareSearch(p),
        else => {},
    }
    const self = p.operands[2];
    const dim: usize = @intCast(p.ints[0]);
    const n: i64 = if (self.ndim() == 0) 1 else self.shape[dim];
    if (n > std.math.maxInt(u32)) return error.Unsupported;
    var state: State = .{
        .codec = .of(self.dtype),
        .n = @intCast(n),
        .k = switch (row) {
            .sort => @intCast(n),
            .topk => @intCast(p.ints[1]),
            else => 1,
        },
        .descending = switch (row) {
            .sort => p.ints[1] != 0,
            .topk => p.ints[2] != 0,
            else => false,
        },
        .ignore_nan = row == .median and p.ints[1] != 0,
        .step = @splat(1),
        .element = self.dtype.size(),
    };
    if (state.k > state.n or (state.n == 0 and row != .sort and row != .topk)) {
        return error.Unsupported;
    }
    for (0..self.ndim()) |d| {
        var strides: [3]i64 = @splat(0);
        // Outputs that are left out have no dimensions.
        for (&strides, p.operands[0..3]) |*s, o| s.* = if (o.ndim() == 0) 0 else o.strides[d];
        if (d == dim) {
            for (&state.step, strides) |*x, s| x.* = @intCast(s);
        } else try state.lines.add(self.shape[d], strides);
    }
    state.lines.sortBy(2);
    (try p.create(State)).* = state;
    p.run = if (state.codec.key_bytes <= 4) runOf(u64, row) else runOf(u128, row);
}

fn runOf(comptime P: type, row: Row) planning.Run {
    return switch (row) {
        .sort => &Kernel(P).sortRun,
        .topk => &Kernel(P).topkRun,
        .kthvalue => &Kernel(P).kthvalueRun,
        .median => &Kernel(P).medianRun,
        .mode => &Kernel(P).modeRun,
        else => unreachable,
    };
}

fn Kernel(comptime P: type) type {
    return struct {
        /// One line: where it is, and its outputs.
        const Line = struct {
            s: *const State,
            memory: [*]const u8,
            values: ?[*]u8,
            indices: ?[*]i64,

            fn fill(l: Line, first: usize, pairs: []P) void {
                const s = l.s;
                s.codec.fill(l.memory, s.step[2], first, pairs.len, s.descending, pairs.ptr);
            }
            /// Writes `pairs` to places `first` and on of the outputs.
            fn emit(l: Line, first: usize, pairs: []const P) void {
                const s = l.s;
                if (l.values) |v| {
                    const out = v + first * s.step[0] * s.element;
                    const n = pairs.len;
                    s.codec.emit(pairs.ptr, n, l.memory, s.step[2], s.descending, out, s.step[0]);
                }
                const indices = (l.indices orelse return) + first * s.step[1];
                for (pairs, 0..) |p, i| indices[i * s.step[1]] = keys.positionOf(p);
            }
        };

        /// What is done with one line, in `work`: `work_length` pairs.
        const Do = *const fn (plan: *const Plan, line: Line, work: []P) void;

        const Job = struct {
            plan: *const Plan,
            call: *Call,
            do: Do,
            work_length: usize,

            fn part(job: *const Job, begin: usize, end: usize) void {
                const s = job.plan.stateAs(State);
                const work = services.allocSlice(P, job.work_length) orelse
                    return outOfMemory(job.call, job.work_length);
                defer services.free(@ptrCast(work.ptr));
                var w = s.lines.walk(begin);
                for (begin..end) |_| {
                    job.do(job.plan, lineAt(job.call, s, w.offset), work);
                    w.advance(1);
                }
            }
        };

        fn outOfMemory(call: *Call, pairs: usize) void {
            call.fail(.out_of_memory, .{ @intCast(pairs * @sizeOf(P)), 0, 0 });
        }
        fn lineAt(call: *Call, s: *const State, offset: [3]usize) Line {
            const values: ?[*]u8 = call.ptr[0];
            const indices: ?[*]i64 = @ptrCast(@alignCast(call.ptr[1]));
            return .{
                .s = s,
                .memory = call.ptr[2].? + offset[2] * s.element,
                .values = if (values) |v| v + offset[0] * s.element else null,
                .indices = if (indices) |x| x + offset[1] else null,
            };
        }
        fn forLines(plan: *const Plan, call: *Call, work_length: usize, do: Do) void {
            const s = plan.stateAs(State);
            if (s.lines.count == 0 or s.k == 0) return;
            const job: Job = .{ .plan = plan, .call = call, .do = do, .work_length = work_length };
            services.parallelFor(s.lines.count, @max(1, 4096 / s.n), job, Job.part);
        }

        fn sortRun(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(State);
            if (s.n < 2 * keys.long_block or s.lines.count >= 64) {
                return forLines(plan, call, 2 * s.n, sortLine);
            }
            // Few long lines: the threads share each of them.
            const work = services.allocSlice(P, 2 * s.n) orelse return outOfMemory(call, 2 * s.n);
            defer services.free(@ptrCast(work.ptr));
            var w = s.lines.walk(0);
            for (0..s.lines.count) |_| {
                const line = lineAt(call, s, w.offset);
                var job: LongLine = .{ .line = line, .pairs = work[0..s.n] };
                services.parallelFor(s.n, 1 << 14, job, LongLine.fill);
                job.pairs = keys.sortLong(P, job.pairs, work[s.n..], s.codec.key_bytes);
                services.parallelFor(s.n, 1 << 14, job, LongLine.emit);
                w.advance(1);
            }
        }
        const LongLine = struct {
            line: Line,
            pairs: []P,
            fn fill(job: *const @This(), begin: usize, end: usize) void {
                job.line.fill(begin, job.pairs[begin..end]);
            }
            fn emit(job: *const @This(), begin: usize, end: usize) void {
                job.line.emit(begin, job.pairs[begin..end]);
            }
        };
        fn sortLine(plan: *const Plan, line: Line, work: []P) void {
            line.emit(0, sorted(plan.stateAs(State), line, work));
        }
        fn sorted(s: *const State, line: Line, work: []P) []P {
            const pairs = work[0..s.n];
            line.fill(0, pairs);
            return keys.sort(P, pairs, work[s.n..], s.codec.key_bytes);
        }

        fn topkRun(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(State);
            forLines(plan, call, topkCapacity(s) + topk_block, topkLine);
        }
        const topk_block: usize = 512;
        fn topkCapacity(s: *const State) usize {
            return @min(s.n, 2 * s.k + 2 * topk_block);
        }
        /// Keeps what is below the k-th smallest pair so far; thins it out when it gets full.
        fn topkLine(plan: *const Plan, line: Line, work: []P) void {
            const s = plan.stateAs(State);
            const kept = work[0..topkCapacity(s)];
            const block = work[kept.len..][0..topk_block];
            var count: usize = 0;
            var first: usize = 0;
            if (kept.len == s.n) {
                line.fill(0, kept);
                count = s.n;
                first = s.n;
            }
            var limit: P = std.math.maxInt(P);
            while (first < s.n) {
                const here = block[0..@min(topk_block, s.n - first)];
                line.fill(first, here);
                if (count + here.len > kept.len) {
                    keys.select(P, kept[0..count], s.k);
                    count = s.k;
                    limit = kept[s.k - 1];
                }
                for (here) |p| {
                    kept[count] = p; // there is room: count + here.len <= kept.len
                    count += @intFromBool(p < limit);
                }
                first += here.len;
            }
            if (count > s.k) keys.select(P, kept[0..count], s.k);
            std.mem.sortUnstable(P, kept[0..s.k], {}, std.sort.asc(P));
            line.emit(0, kept[0..s.k]);
        }

        fn kthvalueRun(plan: *const Plan, call: *Call) void {
            forLines(plan, call, plan.stateAs(State).n, kthvalueLine);
        }
        fn kthvalueLine(plan: *const Plan, line: Line, work: []P) void {
            const k: usize = @intCast(plan.ints[1]);
            line.fill(0, work);
            keys.select(P, work, k);
            line.emit(0, work[k - 1 .. k]);
        }

        fn medianRun(plan: *const Plan, call: *Call) void {
            forLines(plan, call, plan.stateAs(State).n, medianLine);
        }
        fn medianLine(plan: *const Plan, line: Line, work: []P) void {
            const s = plan.stateAs(State);
            line.fill(0, work);
            var n = work.len;
            if (s.codec.is_float) {
                var first_nan: P = std.math.maxInt(P);
                for (work) |p| if (p >= nanFloor(s)) {
                    first_nan = @min(first_nan, p);
                    n -= 1;
                };
                if (n == 0 or (n < work.len and !s.ignore_nan)) return line.emit(0, &.{first_nan});
            }
            const k = (n - 1) / 2 + 1;
            keys.select(P, work, k);
            line.emit(0, work[k - 1 .. k]);
        }
        /// Pairs at or above this one are nan, where the dtype has it.
        fn nanFloor(s: *const State) P {
            return ((@as(P, 1) << @intCast(8 * s.codec.key_bytes)) - 1) << 32;
        }

        fn modeRun(plan: *const Plan, call: *Call) void {
            forLines(plan, call, 2 * plan.stateAs(State).n, modeLine);
        }
        fn modeLine(plan: *const Plan, line: Line, work: []P) void {
            const s = plan.stateAs(State);
            const pairs = sorted(s, line, work);
            var best: P = pairs[0];
            var best_count: usize = 0;
            var count: usize = 0;
            for (pairs, 0..) |p, i| {
                count += 1;
                const same = i + 1 < pairs.len and p >> 32 == pairs[i + 1] >> 32;
                if (same and !(s.codec.is_float and p >= nanFloor(s))) continue;
                if (count > best_count) {
                    best = p;
                    best_count = count;
                }
                count = 0;
            }
            line.emit(0, &.{best});
        }
    };
}

test {
    _ = @import("sort_test.zig");
}
