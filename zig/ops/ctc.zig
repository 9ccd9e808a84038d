//! Connectionist temporal classification (Graves et al., 2006): minus the logarithm of the
//! probability of a target, summed over all of its alignments with the input.
//!
//!     ctc            losses (N) <- log_probs (T, N, C), targets, input_lengths, target_lengths
//!     ctc_backward   gradient (T, N, C) <- g (N), and these four
//!
//! ints: the blank, whether losses that are infinite count 0, L. targets: (N, S), or those of all
//! samples one after the other; they and the lengths (N) are int64. L = 2 max(target_lengths) + 1:
//! the targets with blanks around each label. A label outside of [0, C) fails with
//! index_out_of_range (label, C, 0). float32 and float64, contiguous.
//!
//! Probabilities are m 2^e with e an int64: they have no smallest one, as their logarithms have
//! none, and their sums take no exp and no log.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const exponential = @import("../math/exp.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const Op = enum { ctc, ctc_backward };
pub const names: []const []const u8 = std.meta.fieldNames(Op);
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    for (p.operands) |o| if (!o.isContiguous()) return error.Unsupported;
    switch (p.operands[0].dtype) {
        .float32, .float64 => p.run = Samples.run,
        else => return error.Unsupported,
    }
}

/// Any number gives the same results.
const lanes = @min(4, simd.lanes(f64));
const V = @Vector(lanes, f64);
const I = @Vector(lanes, i64);

inline fn splat(x: f64) V {
    return @splat(x);
}
inline fn whole(x: i64) I {
    return @splat(x);
}

/// Below this a logarithm is that of 0.
const lowest = -1e12;
/// The exponent of 0, less than any other.
const none = -(1 << 50);

const Product = struct { m: V, e: I };

/// e^x; one copy of the code for all uses.
noinline fn power(x: V) Product {
    const zero = x < splat(lowest);
    const parts = exponential.expParts(V, @select(f64, zero, splat(0), x), .quick);
    return .{ .m = @select(f64, zero, splat(0), parts.p), .e = parts.k };
}
/// 2^e, or 0 where it is no normal number.
inline fn powerOfTwo(e: I) V {
    const exponent: I = @min(@max(e + whole(1023), whole(0)), whole(2047));
    return @bitCast(exponent << @splat(52));
}

/// Numbers in float32 or float64.
const Floats = struct {
    single: bool,
    address: [*]u8,

    fn init(p: *const Plan, call: *const Call, k: usize) Floats {
        return .{ .single = p.operands[k].dtype == .float32, .address = call.ptr[k] orelse undefined };
    }
    fn at(f: Floats, comptime T: type, i: usize) [*]T {
        return @as([*]T, @ptrCast(@alignCast(f.address))) + i;
    }
    inline fn get(f: Floats, i: usize) f64 {
        return if (f.single) f.at(f32, i)[0] else f.at(f64, i)[0];
    }
    inline fn put(f: Floats, i: usize, x: f64) void {
        if (f.single) f.at(f32, i)[0] = @floatCast(x) else f.at(f64, i)[0] = x;
    }
    fn fill(f: Floats, i: usize, n: usize, x: f64) void {
        for (i..i + n) |k| f.put(k, x);
    }
    inline fn load(f: Floats, i: usize) V {
        return if (f.single) @floatCast(simd.loadN(lanes, f32, f.at(f32, i))) else simd.loadN(lanes, f64, f.at(f64, i));
    }
    inline fn store(f: Floats, i: usize, x: V) void {
        if (f.single) simd.storeN(lanes, f32, f.at(f32, i), @floatCast(x)) else simd.storeN(lanes, f64, f.at(f64, i), x);
    }
};

const Samples = struct {
    call: *Call,
    backward: bool,
    time: usize,
    batch: usize,
    classes: usize,
    /// Elements between the targets of two samples; 0: they follow each other.
    target_stride: usize,
    blank: usize,
    zero_infinity: bool,
    width: usize,
    result: Floats,
    g: Floats,
    log_probs: Floats,
    targets: [*]const i64,
    input_lengths: [*]const i64,
    target_lengths: [*]const i64,

    fn run(p: *const Plan, call: *Call) void {
        if (p.operands[0].numel() == 0) return;
        const backward = p.op == @backingInt(Op.ctc_backward);
        const k: usize = if (backward) 2 else 1;
        const shape = p.operands[k].shape;
        const target = p.operands[k + 1];
        const job: Samples = .{
            .call = call,
            .backward = backward,
            .time = @intCast(shape[0]),
            .batch = @intCast(shape[1]),
            .classes = @intCast(shape[2]),
            .target_stride = if (target.ndim() == 2) @intCast(target.shape[1]) else 0,
            .blank = @intCast(p.ints[0]),
            .zero_infinity = p.ints[1] != 0,
            .width = @intCast(p.ints[2]),
            .result = .init(p, call, 0),
            .g = .init(p, call, 1),
            .log_probs = .init(p, call, k),
            .targets = @ptrCast(@alignCast(call.ptr[k + 1])),
            .input_lengths = call.at(i64, k + 2),
            .target_lengths = call.at(i64, k + 3),
        };
        const work = job.time * (job.width + job.classes);
        services.parallelFor(job.batch, 1 + (1 << 12) / (work + 1), job, part);
    }

    fn part(j: *const Samples, begin: usize, end: usize) void {
        var w: Work = Work.init(j.width, if (j.backward) j.time + 1 else 2) orelse
            return j.call.fail(.out_of_memory, .{ @intCast(j.width), 0, 0 });
        defer services.free(@ptrCast(w.memory.ptr));
        var before: usize = 0;
        if (j.target_stride == 0) for (j.target_lengths[0..begin]) |n| {
            before += @intCast(n);
        };
        for (begin..end) |n| {
            const labels: usize = @intCast(j.target_lengths[n]);
            const first = if (j.target_stride == 0) before else n * j.target_stride;
            before += labels;
            if (labels == 0) j.extend(&w, &.{}) else j.extend(&w, j.targets[first..][0..labels]);
            if (j.call.status.load(.monotonic) != 0) return;
            const total = j.forward(&w, n);
            if (j.backward) {
                j.gradient(&w, n, total);
            } else {
                const loss = -total.log();
                j.result.put(n, if (j.zero_infinity and loss == std.math.inf(f64)) 0 else loss);
            }
        }
    }

    const pad = 2;

    /// The probabilities of being at each label, having emitted those up to it, after one step.
    const State = struct {
        m: [*]f64,
        e: [*]i64,

        fn load(s: State, i: usize) Product {
            return .{ .m = s.m[i..][0..lanes].*, .e = s.e[i..][0..lanes].* };
        }
        fn shifted(s: State, by: isize) State {
            const elements: usize = @bitCast(by);
            return .{ .m = @ptrFromInt(@intFromPtr(s.m) +% 8 *% elements), .e = @ptrFromInt(@intFromPtr(s.e) +% 8 *% elements) };
        }
        fn set(s: State, i: isize, m: f64) void {
            const at = s.shifted(i);
            at.m[0] = m;
            at.e[0] = if (m == 0) none else 0;
        }
    };

    const Total = struct {
        m: f64,
        e: i64,

        fn log(t: Total) f64 {
            if (t.m == 0) return -std.math.inf(f64);
            return @as(f64, @floatFromInt(t.e)) * std.math.ln2 + math.log(@Vector(2, f64), @splat(t.m))[0];
        }
    };

    /// What one sample needs at a time; all of it has room for a whole vector at its end.
    const Work = struct {
        memory: []align(64) f64,
        /// The states of so many steps from the first one on (each anew), and of two from the last.
        kept: usize,
        /// Added to exponents: 0 where a label may follow the one before the last.
        skips: [*]i64,
        emitted: [*]f64,
        occupied: [*]f64,
        labels: [*]usize,
        /// Labels with blanks around each.
        n: usize = 0,
        room: usize,

        fn init(width: usize, kept: usize) ?Work {
            const room = (width + 2 * pad + 2 * lanes) / lanes * lanes;
            const memory = services.allocSlice(f64, (4 + 2 * (kept + 2)) * room) orelse return null;
            const p = memory.ptr;
            return .{
                .memory = memory,
                .kept = kept,
                .skips = @ptrCast(p),
                .emitted = p + room,
                .occupied = p + 2 * room,
                .labels = @ptrCast(p + 3 * room),
                .room = room,
            };
        }
        fn state(w: *const Work, k: usize) State {
            const m = w.memory.ptr + (4 + 2 * k) * w.room + pad;
            return .{ .m = m, .e = @ptrCast(m + w.room) };
        }
        fn clear(w: *const Work, k: usize) void {
            const s = w.state(k).shifted(-pad);
            @memset(s.m[0..w.room], 0);
            @memset(s.e[0..w.room], none);
        }
    };

    fn extend(j: *const Samples, w: *Work, target: []const i64) void {
        w.n = 2 * target.len + 1;
        @memset(w.skips[0..w.room], 2 * none); // less than the exponent of 0
        @memset(w.emitted[0..w.room], -std.math.inf(f64));
        @memset(w.labels[0..w.n], j.blank);
        for (0..w.kept + 2) |k| w.clear(k);
        for (target, 0..) |label, i| {
            if (label < 0 or label >= j.classes) {
                return j.call.fail(.index_out_of_range, .{ label, @intCast(j.classes), 0 });
            }
            const s = 2 * i + 1;
            w.labels[s] = @intCast(label);
            if (i == 0 or label != target[i - 1] and w.labels[s] != j.blank) w.skips[s] = 0;
        }
        w.skips[w.n] = 0; // where the walk back begins
    }

    fn row(j: *const Samples, t: usize, n: usize) usize {
        return (t * j.batch + n) * j.classes;
    }

    fn emit(j: *const Samples, w: *const Work, t: usize, n: usize) void {
        const from = j.row(t, n);
        for (w.labels[0..w.n], w.emitted[0..w.n]) |label, *e| e.* = j.log_probs.get(from + label);
    }

    /// From one state to the next, of which the label in reach is one further by `direction`, and
    /// two where `skips` allows it.
    noinline fn step(w: *const Work, from: State, direction: isize, skips: [*]const i64, to: State) void {
        const near = from.shifted(direction);
        const far = from.shifted(2 * direction);
        var s: usize = 0;
        while (s < w.n) : (s += lanes) {
            const a = from.load(s);
            const b = near.load(s);
            var c = far.load(s);
            c.e += skips[s..][0..lanes].*;
            const top = @max(@max(a.e, b.e), c.e);
            const sum = a.m * powerOfTwo(a.e - top) + b.m * powerOfTwo(b.e - top) + c.m * powerOfTwo(c.e - top);
            const emitted = power(w.emitted[s..][0..lanes].*);
            const m = sum * emitted.m;
            const exponent = @as(I, @bitCast(m)) >> @splat(52);
            const e = top + emitted.e + exponent - whole(1023);
            to.m[s..][0..lanes].* = m * @as(V, @bitCast((whole(2046) - exponent) << @splat(52)));
            to.e[s..][0..lanes].* = @select(i64, m == splat(0), whole(none), e);
        }
    }

    /// The states from the first step to the last; the probability of the target.
    fn forward(j: *const Samples, w: *const Work, n: usize) Total {
        const steps: usize = @intCast(j.input_lengths[n]);
        if (steps == 0) return .{ .m = if (w.n == 1) 1 else 0, .e = 0 };
        // Before the first step, the probability 1 stands left of the first label.
        w.state(0).set(-1, 1);
        for (0..steps) |t| {
            if (t == 1) w.state(0).set(-1, 0);
            j.emit(w, t, n);
            step(w, w.state(t % w.kept), -1, w.skips, w.state((t + 1) % w.kept));
        }
        w.state(0).set(-1, 0);
        const last = w.state(steps % w.kept).shifted(@intCast(w.n));
        const a, const b = .{ last.shifted(-1), last.shifted(-2) };
        const top = @max(a.e[0], b.e[0]);
        const m = a.m[0] * powerOfTwo(whole(a.e[0] - top))[0] + b.m[0] * powerOfTwo(whole(b.e[0] - top))[0];
        return .{ .m = m, .e = top };
    }

    fn gradient(j: *const Samples, w: *const Work, n: usize, total: Total) void {
        const steps: usize = @intCast(j.input_lengths[n]);
        for (steps..j.time) |t| j.result.fill(j.row(t, n), j.classes, 0);
        if (total.m == 0) {
            const value = if (j.zero_infinity) 0 else std.math.nan(f64);
            for (0..steps) |t| j.result.fill(j.row(t, n), j.classes, value);
            return;
        }
        const ahead = [2]State{ w.state(w.kept), w.state(w.kept + 1) };
        for (0..steps) |back| {
            const t = steps - 1 - back;
            if (back < 2) ahead[0].set(@intCast(w.n), if (back == 0) 1 else 0);
            j.emit(w, t, n);
            const beta = ahead[(back + 1) % 2];
            step(w, ahead[back % 2], 1, w.skips + 2, beta);
            occupation(w, w.state(t + 1), beta, total);
            j.gradientRow(w, j.row(t, n), j.g.get(n));
        }
    }

    /// The probability of being at each label, given the target. Both walks emitted here.
    fn occupation(w: *const Work, alpha: State, beta: State, total: Total) void {
        var s: usize = 0;
        while (s < w.n) : (s += lanes) {
            const a = alpha.load(s);
            const b = beta.load(s);
            const emitted = power(w.emitted[s..][0..lanes].*);
            const m = a.m * b.m / (emitted.m * splat(total.m));
            const share = m * powerOfTwo(a.e + b.e - emitted.e - whole(total.e));
            w.occupied[s..][0..lanes].* = @select(f64, a.m == splat(0), splat(0), share);
        }
    }

    /// g (exp(log_probs) - occupation): of scores before a log_softmax, as PyTorch's.
    fn gradientRow(j: *const Samples, w: *const Work, at: usize, g: f64) void {
        var c: usize = 0;
        while (c < j.classes) : (c += lanes) {
            const whole_vector = c + lanes <= j.classes;
            const x = power(if (whole_vector) j.log_probs.load(at + c) else j.lastOf(at, c));
            const y = splat(g) * x.m * powerOfTwo(x.e);
            if (whole_vector) {
                j.result.store(at + c, y);
            } else for (c..j.classes) |k| j.result.put(at + k, @as([lanes]f64, y)[k - c]);
        }
        var blanks: f64 = 0;
        for (w.labels[0..w.n], w.occupied[0..w.n], 0..) |label, share, s| {
            if (s % 2 == 0) blanks += share else j.subtract(at + label, g * share);
        }
        j.subtract(at + j.blank, g * blanks);
    }

    /// The classes from c on, fewer than a vector.
    fn lastOf(j: *const Samples, at: usize, c: usize) V {
        var x: [lanes]f64 = @splat(0);
        for (c..j.classes) |k| x[k - c] = j.log_probs.get(at + k);
        return x;
    }

    fn subtract(j: *const Samples, i: usize, x: f64) void {
        j.result.put(i, j.result.get(i) - x);
    }
};

test {
    _ = @import("ctc_test.zig");
}
