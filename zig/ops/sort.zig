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
//! distinct: outputs values (n,), inverse (int64, (n,)), counts (int64, (n,)), count (int64, (1,));
//!     inputs self (n,), order (int64, (n,), or left out).
//!     What run_count and runs give of a vector, in one go: the first `count` of values and counts
//!     are written. inverse and counts may be left out. All contiguous.
//!
//! All dtypes (values and self share one). Any strides. No scalars, no floats.
//! A line has fewer than 2^32 elements. Empty lines: sort and topk only.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const dtype = @import("../dtype.zig");
const keys = @import("sort_keys.zig");
const radix = @import("sort_radix.zig");
const simd = @import("../simd.zig");
const sort_short = @import("sort_short.zig");
const sort_lanes = @import("sort_lanes.zig");
const select = @import("sort_select.zig");
const sort_unstable = @import("sort_unstable.zig");
const sort_runs = @import("sort_runs.zig");
const sort_sets = @import("sort_sets.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;

const Row = enum(u32) { sort, topk, kthvalue, median, mode, run_count, runs, distinct };
pub const names: []const []const u8 = &.{
    "sort", "topk", "kthvalue", "median", "mode", "run_count", "runs", "distinct",
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
        .distinct => return sort_sets.prepareDistinct(p),
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
    state.lines.coalesce();
    (try p.create(State)).* = state;
    p.run = switch (row) {
        .sort => &sortRun,
        .mode => &modeRun,
        .topk => &topkRun,
        .kthvalue => &kthvalueRun,
        .median => &medianRun,
        else => unreachable,
    };
}

/// One line: where it is, and its outputs.
const Line = struct {
    s: *const State,
    memory: [*]const u8,
    /// Of its elements.
    stride: usize,
    values: ?[*]u8,
    indices: ?[*]i64,
    how: keys.Packing = .{},

    /// The words of elements from `first` on.
    pub fn fill(l: *const Line, first: usize, words: []u64) void {
        const s = l.s;
        s.codec.pack(l.memory, l.stride, first, words.len, s.descending, &l.how, words.ptr);
    }
    /// Writes `words` to places `first` and on of the outputs.
    fn emit(l: *const Line, first: usize, words: []const u64) void {
        const s = l.s;
        if (l.values) |v| {
            const out = v + first * s.step[0] * s.element;
            s.codec.unpack(words.ptr, words.len, l.memory, l.stride, s.descending, &l.how, out, s.step[0]);
        }
        const indices = (l.indices orelse return) + first * s.step[1];
        if (s.step[1] == 1) {
            for (words, indices[0..words.len]) |w, *to| to.* = @intCast(l.how.position(w));
        } else for (words, 0..) |w, i| indices[i * s.step[1]] = @intCast(l.how.position(w));
    }
    /// Writes the one element at a position.
    pub fn emitAt(l: *const Line, at: u32) void {
        const size = l.s.element;
        if (l.values) |v| @memcpy(v[0..size], l.memory[at * l.stride * size ..][0..size]);
        if (l.indices) |to| to[0] = at;
    }
    fn key(l: *const Line, word: u64) u64 {
        return l.s.codec.keyAt(l.memory, l.how.position(word) * l.stride, l.s.descending);
    }

    /// Finds how the line is to be packed; returns by which bits of its words it is then sorted.
    fn pack(l: *Line) radix.Bits {
        const s = l.s;
        // Going over a line far apart in memory takes longer than a pass; a short line is merged.
        // Of bytes the range is worth it: fewer bins.
        const is_short = s.n <= radix.small_length;
        if (s.codec.key_bytes <= 4 and (l.stride != 1 or is_short) and !(s.codec.key_bytes == 1 and is_short)) {
            const high: u7 = @intCast(32 + 8 * s.codec.key_bytes);
            return .{ .low = 32, .high = high };
        }
        const low, const high = s.codec.range(l.memory, l.stride, s.n, s.descending);
        l.packFor(low, high);
        return l.bitsOf(high - low);
    }
    /// As keys from low to high are to be packed.
    fn packFor(l: *Line, low: u64, high: u64) void {
        const width: usize = 64 - @as(usize, @clz(high - low));
        const position_bits: usize = if (l.s.n < 2) 1 else std.math.log2_int(usize, l.s.n - 1) + 1;
        const dropped = (width + position_bits) -| 64;
        l.how = .{ .base = low, .dropped = @intCast(dropped), .position_bits = @intCast(position_bits) };
    }
    /// The bits of words that keys with this range take.
    fn bitsOf(l: *const Line, span: u64) radix.Bits {
        const width: usize = (64 - @as(usize, @clz(span))) -| l.how.dropped;
        return .{ .low = l.how.position_bits, .high = @intCast(l.how.position_bits + width) };
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
        return l.sortedBy(bits, work[0..n], work[n..]);
    }
    /// Takes the words of places `first` and on, in the order of their positions.
    pub fn take(l: *const Line, first: usize, bits: radix.Bits, words: []u64, other: []u64) void {
        l.emit(first, l.sortedBy(bits, words, other));
    }
    /// Words in order, in one of the two slices.
    fn sortedBy(l: *const Line, bits: radix.Bits, words: []u64, other: []u64) []u64 {
        const result = radix.sort(words, other, bits);
        if (l.how.dropped != 0) l.settle(result, if (result.ptr == words.ptr) other else words);
        return result;
    }
    /// Sorts by the lower bits of the keys too, which found no room in the words.
    fn settle(l: *const Line, words: []u64, other: []u64) void {
        const how = l.how;
        const shift = how.position_bits;
        var first: usize = 0;
        for (1..words.len + 1) |i| {
            if (i < words.len and words[i] >> shift == words[first] >> shift) continue;
            const run = words[first..i];
            first = i;
            if (run.len == 1) continue;
            const upper = run[0] >> shift << shift;
            for (run) |*w| w.* = ((l.key(w.*) -% how.base) & ((@as(u64, 1) << how.dropped) - 1)) << shift | how.position(w.*);
            const sorted_run = radix.sort(run, other[0..run.len], .{ .low = shift, .high = @as(u7, shift) + how.dropped });
            for (run, sorted_run) |*w, x| w.* = upper | how.position(x);
        }
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
        .stride = s.step[2],
        .values = if (values) |v| v + offset[0] * s.element else null,
        .indices = if (indices) |x| x + offset[1] else null,
    };
}

fn sortRun(plan: *const Plan, call: *Call) void {
    const s = plan.stateAs(State);
    if (s.n < 2 * radix.long_length or s.lines.count >= 64) {
        return forLines(plan, call, 2 * s.n, false, sortLine, short(orderShort), grouped(orderGroup));
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
fn orderShort(_: *const Plan, line: *Line) bool {
    return sort_short.order(line);
}
fn orderGroup(plan: *const Plan, group: *const Group) u8 {
    sort_lanes.order(plan.stateAs(State), group);
    return 0;
}
fn sortLine(_: *const Plan, line: *Line, work: []u64) void {
    line.emit(0, line.sorted(work));
}

fn modeRun(plan: *const Plan, call: *Call) void {
    forLines(plan, call, 2 * plan.stateAs(State).n, false, modeLine, null, grouped(modeGroup));
}
fn modeGroup(plan: *const Plan, group: *const Group) u8 {
    const s = plan.stateAs(State);
    return if (s.codec.key_bytes == 8) sort_lanes.mode(i64, s, group) else sort_lanes.mode(i32, s, group);
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

/// What is done with one line, in `work`: `work_length` words.
const Do = *const fn (plan: *const Plan, line: *Line, work: []u64) void;
/// The same for the shortest lines, several at a time. Returns which of them are left to `Do`.
const DoGroup = *const fn (plan: *const Plan, group: *const Group) u8;
const Group = sort_lanes.Group;
fn grouped(comptime f: fn (*const Plan, *const Group) u8) ?DoGroup {
    return if (simd.has_fma) &f else null;
}
/// The same for a short line; false: it is left to `Do`.
const DoShort = *const fn (plan: *const Plan, line: *Line) bool;
fn short(comptime f: fn (*const Plan, *Line) bool) ?DoShort {
    return if (simd.has_fma) &f else null;
}

/// So few lines that are not the shortest are taken one by one.
const few_lines = 4;

const Job = struct {
    plan: *const Plan,
    call: *Call,
    do: Do,
    do_short: ?DoShort,
    do_group: ?DoGroup,
    work_length: usize,
    /// Whether the elements of a line have to lie side by side.
    together: bool,

    fn part(job: *const Job, begin: usize, end: usize) void {
        const s = job.plan.stateAs(State);
        if (job.do_group) |doGroup| if (s.n <= 16 or (s.n <= sort_lanes.most and end - begin >= few_lines)) return job.partGrouped(doGroup, begin, end);
        const doShort = job.do_short orelse return job.partLong(begin, end);
        if (s.n > sort_short.most or s.codec.short == null) return job.partLong(begin, end);
        var w = s.lines.walk(begin);
        for (begin..end) |i| {
            var line = lineAt(job.call, s, w.offset);
            if (!doShort(job.plan, &line)) job.partLong(i, i + 1);
            w.advance(1);
        }
    }

    fn partGrouped(job: *const Job, doGroup: DoGroup, begin: usize, end: usize) void {
        const s = job.plan.stateAs(State);
        var w = s.lines.walk(begin);
        var i = begin;
        while (i < end) : (i += sort_lanes.lanes) {
            var group: Group = undefined;
            group.count = @min(sort_lanes.lanes, end - i);
            group.alternate = false;
            var n: usize = 0;
            while (n < group.count) {
                const m = @min(group.count - n, w.runLeft());
                var offset = w.offset;
                var apart: [3]usize = @splat(0);
                if (s.lines.ndim > 0) for (&apart, &s.lines.strides) |*x, *strides| {
                    x.* = strides[s.lines.ndim - 1];
                };
                group.alternate = m == sort_lanes.lanes and apart[2] == 1;
                for (n..n + m) |k| {
                    const line = lineAt(job.call, s, offset);
                    group.memory[k] = line.memory;
                    group.values[k] = line.values;
                    group.indices[k] = line.indices;
                    for (&offset, apart) |*x, by| x.* += by;
                }
                w.advance(m);
                n += m;
            }
            @memset(group.memory[n..], group.memory[n - 1]);
            var left = doGroup(job.plan, &group);
            while (left != 0) : (left &= left - 1) {
                const k = i + @ctz(left);
                if (k < end) job.partLong(k, k + 1);
            }
        }
    }

    fn partLong(job: *const Job, begin: usize, end: usize) void {
        const s = job.plan.stateAs(State);
        if (job.together and s.step[2] != 1 and s.n > 1) return job.partTogether(begin, end);
        const work = services.allocSlice(u64, job.work_length) orelse
            return outOfMemory(job.call, job.work_length * 8);
        defer services.free(@ptrCast(work.ptr));
        var w = s.lines.walk(begin);
        for (begin..end) |_| {
            var line = lineAt(job.call, s, w.offset);
            job.do(job.plan, &line, work);
            w.advance(1);
        }
    }

    /// Lines whose elements are apart are brought together first, several neighbours at a time.
    fn partTogether(job: *const Job, begin: usize, end: usize) void {
        const s = job.plan.stateAs(State);
        const group: usize = if (s.n <= 1 << 14) 16 else 1;
        // Not all of them in the same sets of the cache.
        const pitch = ((s.n * s.element / 64 + 2) | 1) * 64;
        const work = services.allocSlice(u64, job.work_length + group * pitch / 8) orelse
            return outOfMemory(job.call, job.work_length * 8);
        defer services.free(@ptrCast(work.ptr));
        const together: [*]u8 = @ptrCast(work.ptr + job.work_length);
        var w = s.lines.walk(begin);
        var i = begin;
        while (i < end) {
            var lines: [16]Line = undefined;
            var n: usize = 0;
            while (n < group and i < end) : (n += 1) {
                const line = lineAt(job.call, s, w.offset);
                if (n > 0 and line.memory != lines[0].memory + n * s.element) break;
                lines[n] = line;
                i += 1;
                w.advance(1);
            }
            s.codec.collect(lines[0].memory, s.step[2], s.n, n, together, pitch);
            for (lines[0..n], 0..) |*line, k| {
                line.memory = together + k * pitch;
                line.stride = 1;
                job.do(job.plan, line, work[0..job.work_length]);
            }
        }
    }
};

fn forLines(plan: *const Plan, call: *Call, work_length: usize, together: bool, do: Do, do_short: ?DoShort, do_group: ?DoGroup) void {
    const s = plan.stateAs(State);
    if (s.lines.count == 0 or s.k == 0) return;
    const job: Job = .{ .plan = plan, .call = call, .do = do, .do_short = do_short, .do_group = do_group, .work_length = work_length, .together = together };
    services.parallelFor(s.lines.count, @max(1, 4096 / s.n), job, Job.part);
}

// --- Selection ----------------------------------------------------------------------------

/// Up to here a whole line becomes words; of a longer one those that a sample says may matter.
const short_line = 768;

/// Room to select in: words twice, and places.
const Room = struct {
    words: []u64,
    other: []u64,
    places: [*]u32,

    fn length(n: usize) usize {
        return 2 * (n + 8) + (n + 9) / 2;
    }
    fn init(work: []u64, n: usize) Room {
        return .{
            .words = work[0..n],
            .other = work[n + 8 ..][0 .. n + 8],
            .places = @ptrCast(work.ptr + 2 * (n + 8)),
        };
    }
};

fn between(l: *const Line, low: u64, high: u64, room: Room) select.Found {
    return l.s.codec.between(l.memory, l.s.n, l.s.descending, low, high, room.places);
}
/// The words of the places from `room`.
fn packedWords(l: *const Line, count: usize, room: Room) []u64 {
    const s = l.s;
    s.codec.packAt(l.memory, room.places[0..count], s.descending, &l.how, room.words.ptr);
    return room.words[0..count];
}
/// So many of the smallest are looked for by `limit`.
const few = 8;
/// The k-th smallest element of a line (k >= 1): its key and its position.
fn nth(l: *Line, k: usize, room: Room) struct { u64, u32 } {
    const s = l.s;
    const most = @as(u64, std.math.maxInt(u64)) >> @intCast(64 - 8 * s.codec.key_bytes);
    var low: u64 = 0;
    var high = most;
    var words: []u64 = undefined;
    var below: usize = 0;
    var known = s.n <= short_line and (k > few or s.n < 16);
    if (s.n > short_line) {
        low, high = guess(l, k, most);
    } else if (!known) {
        high = s.codec.limit(l.memory, s.n, s.descending, k);
    } else {
        l.how = .{};
        if (s.codec.key_bytes == 8) {
            low, high = s.codec.range(l.memory, 1, s.n, s.descending);
            l.packFor(low, high);
        }
        l.fill(0, room.words);
        words = room.words;
    }
    while (true) {
        if (!known) {
            const found = between(l, low, high, room);
            if (k <= found.below) {
                high = low - 1;
                low = 0;
                continue;
            }
            if (k > found.below + found.count) {
                low = high + 1;
                high = most;
                continue;
            }
            below = found.below;
            if (low == high or found.count == 1) {
                const at = room.places[k - 1 - below];
                return .{ s.codec.keyAt(l.memory, at, s.descending), at };
            }
            l.packFor(low, high);
            words = packedWords(l, found.count, room);
        }
        const word = select.nth(words, room.other, k - below);
        const cut = word >> l.how.position_bits << l.how.dropped;
        if (l.how.dropped == 0) return .{ cut + l.how.base, @intCast(l.how.position(word)) };
        // Those that are alike as far as there was room for their keys.
        known = false;
        low = cut + l.how.base;
        high = low +| ((@as(u64, 1) << l.how.dropped) - 1);
    }
}
/// Keys between which the k-th smallest probably lies.
fn guess(l: *const Line, k: usize, most: u64) [2]u64 {
    const s = l.s;
    var sample: [2 * select.long_sample]u64 = undefined;
    const m = select.long_sample;
    for (sample[0..m], 0..) |*x, i| x.* = s.codec.keyAt(l.memory, i * s.n / m, s.descending);
    const low, const high = select.bracket(select.sortedSample(&sample, m), s.n, k);
    return .{ low, @min(high, most) };
}

fn topkRun(plan: *const Plan, call: *Call) void {
    forLines(plan, call, Room.length(plan.stateAs(State).n), true, topkLine, short(orderShort), grouped(orderGroup));
}
/// Of a line where few are wanted, so many elements show which ones it may be.
const shown = 4096;
fn topkLine(_: *const Plan, line: *Line, work: []u64) void {
    const s = line.s;
    if (s.k == s.n) return line.emit(0, line.sorted(work[0 .. 2 * s.n]));
    const room: Room = .init(work, s.n);
    var high: u64 = 0;
    var last: u32 = std.math.maxInt(u32);
    if (s.k <= few and s.n >= 16)
        high = s.codec.limit(line.memory, @min(s.n, shown), s.descending, s.k)
    else
        high, last = nth(line, s.k, room);
    var count = between(line, 0, high, room).count;
    if (count > s.k and last == std.math.maxInt(u32) and count > 64) {
        high, last = nth(line, s.k, room);
        count = between(line, 0, high, room).count;
    }
    if (count > s.k and last != std.math.maxInt(u32)) {
        // Of those that equal the last one the first ones are taken.
        var kept: usize = 0;
        for (room.places[0..count]) |at| {
            room.places[kept] = at;
            kept += @intFromBool(at <= last or s.codec.keyAt(line.memory, at, s.descending) != high);
        }
        count = kept;
    }
    var low: u64 = 0;
    line.how = .{};
    if (s.codec.key_bytes == 8 or count > radix.small_length) {
        low = high;
        for (room.places[0..count]) |at| low = @min(low, s.codec.keyAt(line.memory, at, s.descending));
        line.packFor(low, high);
    }
    var words = packedWords(line, count, room);
    words = line.sortedBy(line.bitsOf(high - low), words, room.other[0..count]);
    line.emit(0, words[0..s.k]);
}

fn kthvalueRun(plan: *const Plan, call: *Call) void {
    forLines(plan, call, Room.length(plan.stateAs(State).n), true, kthvalueLine, short(kthvalueShort), grouped(kthvalueGroup));
}
fn kthvalueLine(plan: *const Plan, line: *Line, work: []u64) void {
    choose(line, @intCast(plan.ints[1]), .init(work, line.s.n));
}
fn kthvalueShort(plan: *const Plan, line: *Line) bool {
    line.emitAt(sort_short.choose(line, @intCast(plan.ints[1]), false) orelse return false);
    return true;
}
fn kthvalueGroup(plan: *const Plan, group: *const Group) u8 {
    sort_lanes.choose(plan.stateAs(State), group, @intCast(plan.ints[1] - 1));
    return 0;
}
fn choose(line: *Line, k: usize, room: Room) void {
    _, const at = nth(line, k, room);
    line.emitAt(at);
}

fn medianRun(plan: *const Plan, call: *Call) void {
    forLines(plan, call, Room.length(plan.stateAs(State).n), true, medianLine, short(medianShort), grouped(medianGroup));
}
fn medianShort(_: *const Plan, line: *Line) bool {
    line.emitAt(sort_short.choose(line, (line.s.n - 1) / 2 + 1, true) orelse return false);
    return true;
}
fn medianGroup(plan: *const Plan, group: *const Group) u8 {
    sort_lanes.choose(plan.stateAs(State), group, null);
    return 0;
}
fn medianLine(_: *const Plan, line: *Line, work: []u64) void {
    const s = line.s;
    const room: Room = .init(work, s.n);
    const nans = if (s.codec.nans) |count| count(line.memory, s.n) else 0;
    if (nans == s.n or (nans > 0 and !s.ignore_nan)) {
        _ = between(line, s.codec.nan_key, s.codec.nan_key, room);
        return line.emitAt(room.places[0]);
    }
    choose(line, (s.n - nans - 1) / 2 + 1, room);
}

test {
    _ = @import("sort_test.zig");
}
