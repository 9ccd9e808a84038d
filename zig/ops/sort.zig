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
//!     The smallest of the most frequent values, its last index. No nan equals another; where
//!     there is one, the first of the most frequent values in PyTorch's order (sort_unstable).
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
const radix = @import("sort_radix.zig");
const sort_unstable = @import("sort_unstable.zig");
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
    p.run = switch (row) {
        .sort => &sortRun,
        .mode => &modeRun,
        else => if (state.codec.key_bytes <= 4) runOf(u64, row) else runOf(u128, row),
    };
}

fn runOf(comptime P: type, row: Row) planning.Run {
    return switch (row) {
        .topk => &Kernel(P).topkRun,
        .kthvalue => &Kernel(P).kthvalueRun,
        .median => &Kernel(P).medianRun,
        else => unreachable,
    };
}

/// One line: where it is, and its outputs.
const Line = struct {
    s: *const State,
    memory: [*]const u8,
    values: ?[*]u8,
    indices: ?[*]i64,
    how: keys.Packing = .{},

    /// The words of elements from `first` on.
    pub fn fill(l: *const Line, first: usize, words: []u64) void {
        const s = l.s;
        s.codec.pack(l.memory, s.step[2], first, words.len, s.descending, &l.how, words.ptr);
    }
    /// Writes `words` to places `first` and on of the outputs.
    fn emit(l: *const Line, first: usize, words: []const u64) void {
        const s = l.s;
        if (l.values) |v| {
            const out = v + first * s.step[0] * s.element;
            s.codec.unpack(words.ptr, words.len, l.memory, s.step[2], s.descending, &l.how, out, s.step[0]);
        }
        const indices = (l.indices orelse return) + first * s.step[1];
        if (s.step[1] == 1) {
            for (words, indices[0..words.len]) |w, *to| to.* = @intCast(l.how.position(w));
        } else for (words, 0..) |w, i| indices[i * s.step[1]] = @intCast(l.how.position(w));
    }
    /// Of positions alone.
    fn emitAt(l: *const Line, first: usize, pairs: anytype) void {
        const s = l.s;
        for (pairs, first..) |p, i| {
            const at: u32 = @truncate(p);
            if (l.values) |v| {
                @memcpy(v[i * s.step[0] * s.element ..][0..s.element], l.memory[at * s.step[2] * s.element ..][0..s.element]);
            }
            if (l.indices) |to| to[i * s.step[1]] = at;
        }
    }
    fn key(l: *const Line, word: u64) u64 {
        return l.s.codec.keyAt.?(l.memory, l.how.position(word) * l.s.step[2], l.s.descending);
    }

    /// Finds how the line is to be packed; returns by which bits of its words it is then sorted.
    fn pack(l: *Line) radix.Bits {
        const s = l.s;
        // Going over a line far apart in memory takes longer than a pass; a short line is merged.
        if (s.codec.key_bytes <= 4 and (s.step[2] != 1 or s.n <= radix.small_length)) {
            const high: u7 = @intCast(32 + 8 * s.codec.key_bytes);
            return .{ .low = 32, .high = high };
        }
        const low, const high = s.codec.range(l.memory, s.step[2], s.n, s.descending);
        const width: usize = 64 - @as(usize, @clz(high - low));
        const position_bits: usize = if (s.n < 2) 1 else std.math.log2_int(usize, s.n - 1) + 1;
        const dropped = (width + position_bits) -| 64;
        l.how = .{ .base = low, .dropped = @intCast(dropped), .position_bits = @intCast(position_bits) };
        return .{ .low = @intCast(position_bits), .high = @intCast(position_bits + width - dropped) };
    }
    fn ascends(l: *const Line) bool {
        var words: [512]u64 = undefined;
        var first: usize = 0;
        // Blocks overlap by a word.
        while (first + 1 < l.s.n) : (first += words.len - 1) {
            const here = words[0..@min(words.len, l.s.n - first)];
            l.fill(first, here);
            if (!ascend(here)) return false;
        }
        return true;
    }
    fn ascend(words: []const u64) bool {
        for (words[0 .. words.len - 1], words[1..]) |a, b| if (a > b) return false;
        return true;
    }
    /// The line's words, sorted.
    fn sorted(l: *Line, work: []u64) []u64 {
        const n = l.s.n;
        const bits = l.pack();
        l.fill(0, work[0..n]);
        if (n == 0 or (l.how.dropped == 0 and ascend(work[0..n]))) return work[0..n];
        const words = radix.sort(work[0..n], work[n..], bits);
        l.settle(words);
        return words;
    }
    /// Takes the sorted words of places `first` and on.
    pub fn take(l: *const Line, first: usize, words: []u64) void {
        l.settle(words);
        l.emit(first, words);
    }
    /// Sorts by the lower bits of the keys too, where these found no room in the words.
    fn settle(l: *const Line, words: []u64) void {
        if (l.how.dropped == 0) return;
        const shift = l.how.position_bits;
        var first: usize = 0;
        for (1..words.len + 1) |i| {
            if (i < words.len and words[i] >> shift == words[first] >> shift) continue;
            const run = words[first..i];
            first = i;
            if (run.len > 1 and !std.sort.isSorted(u64, run, l, before)) std.mem.sortUnstable(u64, run, l, before);
        }
    }
    fn before(l: *const Line, a: u64, b: u64) bool {
        const left = l.key(a);
        const right = l.key(b);
        return left < right or (left == right and a < b);
    }
    /// Whether two words stand for equal elements (no nan is equal to any).
    fn same(l: *const Line, a: u64, b: u64) bool {
        const shift = l.how.position_bits;
        if (a >> shift != b >> shift) return false;
        return !l.isNan(a) and (l.how.dropped == 0 or l.key(a) == l.key(b));
    }
    fn isNan(l: *const Line, word: u64) bool {
        return l.s.codec.is_float and l.exact(word) == l.s.codec.nan_key;
    }
    fn exact(l: *const Line, word: u64) u64 {
        return if (l.how.dropped == 0) (word >> l.how.position_bits) + l.how.base else l.key(word);
    }
    /// As elements compare: nan with nothing.
    pub fn less(l: *const Line, a: u64, b: u64) bool {
        return l.exact(a) < l.exact(b) and !l.isNan(b);
    }
};

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

fn sortRun(plan: *const Plan, call: *Call) void {
    const s = plan.stateAs(State);
    if (s.n < 2 * radix.long_length or s.lines.count >= 64) {
        return Kernel(u64).forLines(plan, call, 2 * s.n, sortLine);
    }
    // Few long lines: the threads share each of them.
    const work = services.allocSlice(u64, 2 * s.n) orelse return outOfMemory(call, 16 * s.n);
    defer services.free(@ptrCast(work.ptr));
    var w = s.lines.walk(0);
    for (0..s.lines.count) |_| {
        var line = lineAt(call, s, w.offset);
        const bits = line.pack();
        if (line.how.dropped == 0 and line.ascends()) {
            const job: InOrder = .{ .line = line, .words = work[0..s.n] };
            services.parallelFor(s.n, 1 << 14, job, InOrder.emit);
        } else if (!radix.sortLong(line, work[0..s.n], work[s.n..], bits)) return outOfMemory(call, 0);
        w.advance(1);
    }
}
const InOrder = struct {
    line: Line,
    words: []u64,
    fn emit(job: *const @This(), begin: usize, end: usize) void {
        job.line.fill(begin, job.words[begin..end]);
        job.line.emit(begin, job.words[begin..end]);
    }
};
fn sortLine(_: *const Plan, line: *Line, work: []u64) void {
    line.emit(0, line.sorted(work));
}

fn modeRun(plan: *const Plan, call: *Call) void {
    Kernel(u64).forLines(plan, call, 2 * plan.stateAs(State).n, modeLine);
}
fn modeLine(_: *const Plan, line: *Line, work: []u64) void {
    const words = line.sorted(work);
    if (line.isNan(words[words.len - 1])) {
        line.fill(0, words);
        sort_unstable.sort(words, line);
    }
    var best = words[0];
    var best_count: usize = 0;
    var count: usize = 0;
    for (words, 0..) |w, i| {
        count += 1;
        if (i + 1 < words.len and line.same(w, words[i + 1])) continue;
        if (count > best_count) {
            best = w;
            best_count = count;
        }
        count = 0;
    }
    line.emit(0, &.{best});
}

fn outOfMemory(call: *Call, bytes: usize) void {
    call.fail(.out_of_memory, .{ @intCast(bytes), 0, 0 });
}

/// P: a word, or a pair where words have no room for all keys.
fn Kernel(comptime P: type) type {
    return struct {
        fn fill(l: *const Line, first: usize, pairs: []P) void {
            if (P == u64) return l.fill(first, pairs);
            const s = l.s;
            s.codec.fill.?(l.memory, s.step[2], first, pairs.len, s.descending, pairs.ptr);
        }

        /// What is done with one line, in `work`: `work_length` pairs.
        const Do = *const fn (plan: *const Plan, line: *Line, work: []P) void;

        const Job = struct {
            plan: *const Plan,
            call: *Call,
            do: Do,
            work_length: usize,

            fn part(job: *const Job, begin: usize, end: usize) void {
                const s = job.plan.stateAs(State);
                const work = services.allocSlice(P, job.work_length) orelse
                    return outOfMemory(job.call, job.work_length * @sizeOf(P));
                defer services.free(@ptrCast(work.ptr));
                var w = s.lines.walk(begin);
                for (begin..end) |_| {
                    var line = lineAt(job.call, s, w.offset);
                    job.do(job.plan, &line, work);
                    w.advance(1);
                }
            }
        };

        fn forLines(plan: *const Plan, call: *Call, work_length: usize, do: Do) void {
            const s = plan.stateAs(State);
            if (s.lines.count == 0 or s.k == 0) return;
            const job: Job = .{ .plan = plan, .call = call, .do = do, .work_length = work_length };
            services.parallelFor(s.lines.count, @max(1, 4096 / s.n), job, Job.part);
        }

        fn topkRun(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(State);
            forLines(plan, call, topkCapacity(s) + topk_block, topkLine);
        }
        const topk_block: usize = 16;
        fn topkCapacity(s: *const State) usize {
            return @min(s.n, 2 * s.k + 256);
        }
        /// Keeps what is below the k-th smallest pair so far; thins it out when it gets full.
        fn topkLine(plan: *const Plan, line: *Line, work: []P) void {
            const s = plan.stateAs(State);
            const kept = work[0..topkCapacity(s)];
            const block = work[kept.len..][0..topk_block];
            fill(line, 0, kept);
            var first = kept.len;
            var count = kept.len;
            var limit: P = std.math.maxInt(P);
            var limit_key: u64 = std.math.maxInt(u64);
            while (first < s.n) {
                // Few blocks have anything to keep once the limit is low.
                if (count < kept.len) {
                    first += s.codec.passed(line.memory, s.step[2], first, s.n - first, s.descending, limit_key);
                }
                const here = block[0..@min(topk_block, s.n - first)];
                fill(line, first, here);
                if (count + here.len > kept.len) {
                    radix.select(P, kept[0..count], s.k);
                    count = s.k;
                    limit = kept[s.k - 1];
                    limit_key = @intCast(limit >> 32);
                }
                for (here) |p| {
                    kept[count] = p; // there is room: count + here.len <= kept.len
                    count += @intFromBool(p < limit);
                }
                first += here.len;
            }
            if (count > s.k) radix.select(P, kept[0..count], s.k);
            if (P == u64 and s.k <= 16)
                radix.sortFew(kept[0..s.k])
            else
                std.mem.sortUnstable(P, kept[0..s.k], {}, std.sort.asc(P));
            line.emitAt(0, kept[0..s.k]);
        }

        fn kthvalueRun(plan: *const Plan, call: *Call) void {
            forLines(plan, call, plan.stateAs(State).n, kthvalueLine);
        }
        fn kthvalueLine(plan: *const Plan, line: *Line, work: []P) void {
            const k: usize = @intCast(plan.ints[1]);
            fill(line, 0, work);
            radix.select(P, work, k);
            line.emitAt(0, work[k - 1 .. k]);
        }

        fn medianRun(plan: *const Plan, call: *Call) void {
            forLines(plan, call, plan.stateAs(State).n, medianLine);
        }
        fn medianLine(plan: *const Plan, line: *Line, work: []P) void {
            const s = plan.stateAs(State);
            fill(line, 0, work);
            var n = work.len;
            if (s.codec.is_float) {
                var first_nan: P = std.math.maxInt(P);
                for (work) |p| if (p >= nanFloor(s)) {
                    first_nan = @min(first_nan, p);
                    n -= 1;
                };
                if (n == 0 or (n < work.len and !s.ignore_nan)) return line.emitAt(0, @as([]const P, &.{first_nan}));
            }
            const k = (n - 1) / 2 + 1;
            radix.select(P, work, k);
            line.emitAt(0, work[k - 1 .. k]);
        }
        /// Pairs at or above this one are nan, where the dtype has it.
        fn nanFloor(s: *const State) P {
            return ((@as(P, 1) << @intCast(8 * s.codec.key_bytes)) - 1) << 32;
        }
    };
}

test {
    _ = @import("sort_test.zig");
}
