//! softmax and log_softmax along one dimension, and their backward passes.
//!
//! | row                  | out | inputs                                       |
//! |----------------------|-----|----------------------------------------------|
//! | softmax              | y   | x                                            |
//! | log_softmax          | y   | x                                            |
//! | softmax_backward     | gx  | g, y: gx = y (g - sum(g y))                  |
//! | log_softmax_backward | gx  | g, y: gx = g - exp(y) sum(g)                 |
//!
//! All operands have one shape; strides are free, of the output too (its elements distinct,
//! and none of an input). ints[0]: the dimension (0 for a 0-d x).
//! dtypes: the output float; inputs any. Computed in f64 if an operand is float64, else in f32.
//! A line of -inf alone gives nan, as does one with +inf or nan in it: PyTorch's values.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const stage = @import("reduce_stage.zig");
const along = @import("along.zig");
const logical = @import("logical.zig");
const DType = @import("../dtype.zig").DType;
const part = logical.part;
const put = logical.put;
const only = logical.only;
const Plan = plan.Plan;
const Call = plan.Call;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum { softmax, log_softmax, softmax_backward, log_softmax_backward };

pub const names: []const []const u8 = std.meta.fieldNames(Op);

const Softmax = struct {
    geometry: along.Along,
    /// Lines lie along vectors; else vectors go across `tile` lines.
    rows: bool,
    tile: usize,
    /// Which operands the kernels may touch where they lie.
    direct: [max_operands]bool,
};
const max_operands = 3;
const max_tile = 128;
const work_size = 1 << 13;

fn prepare(p: *Plan) plan.PrepareError!void {
    const operands = p.operands;
    if (!operands[0].dtype.isFloat()) return error.Unsupported;
    const s = try p.create(Softmax);
    var a = try along.Along.init(operands, if (p.ints.len > 0) @intCast(p.ints[0]) else 0);
    a.widen();
    var double = false;
    for (operands) |o| double = double or o.dtype == .float64;
    const native: DType = if (double) .float64 else .float32;

    // Short lines are turned so that vectors go across them, unless there are too few.
    const few = a.across.size < along.narrow;
    const rows = a.across.size == 1 or few or (a.step[0] < a.across.stride[0] and a.n >= 32);
    var direct: [max_operands]bool = @splat(false);
    for (operands, 0..) |o, k| direct[k] = o.dtype == native and
        (if (rows) a.step[k] == 1 or a.n == 1 else a.across.stride[k] == 1);
    s.* = .{
        .geometry = a,
        .rows = rows,
        .tile = std.math.clamp((1 << 17) / @max(a.n, 1) / 16 * 16, 16, max_tile),
        .direct = direct,
    };
    p.run = switch (@as(Op, @fromBackingInt(@as(u2, @intCast(p.op))))) {
        inline else => |op| if (double) Runner(f64, op).run else Runner(f32, op).run,
    };
}

/// What is done with one line, or several, of the operands in their order.
fn Kernels(comptime T: type) type {
    return struct {
        /// (n) each
        row: *const fn (at: *const [max_operands][*]T, n: usize) void,
        /// As many rows as a vector has lanes, each of at most `short` elements.
        rows: ?*const fn (y: [*]T, y_line: usize, x: [*]const T, x_line: usize, n: usize) void,
        /// (n, vectors * lanes) each, rows apart by their steps
        columns: *const fn (at: *const [max_operands][*]T, step: *const [max_operands]usize, n: usize, vectors: usize) void,
    };
}

/// The way through the operands.
fn Walk(comptime T: type) type {
    const lanes = simd.lanes(T);
    return struct {
        const Job = struct { s: *const Softmax, plan: *const Plan, call: *Call, kernels: *const Kernels(T), count: usize };

        fn run(p: *const Plan, call: *Call, k: *const Kernels(T)) void {
            const s = p.stateAs(Softmax);
            const a = &s.geometry;
            if (a.lines == 0 or a.n == 0) return;
            const job: Job = .{ .s = s, .plan = p, .call = call, .kernels = k, .count = p.operands.len };
            if (s.rows) {
                services.parallelFor(a.lines, @max(1, work_size / a.n), job, rowsPiece);
            } else {
                const tiles = std.math.divCeil(usize, a.across.size, s.tile) catch unreachable;
                const elements = a.n * @min(s.tile, a.across.size);
                const groups = a.lines / a.across.size;
                services.parallelFor(
                    groups * tiles,
                    @max(1, work_size / elements),
                    job,
                    tilesPiece,
                );
            }
        }

        /// Packed room for the operands that kernels may not touch in place.
        const Workspace = struct {
            memory: ?[]align(64) T,
            fn init(
                direct: []const bool,
                tail: bool,
                size: usize,
            ) error{OutOfMemory}!Workspace {
                const needed = for (direct) |d| {
                    if (!d or tail) break true;
                } else false;
                if (!needed) return .{ .memory = null };
                const memory = services.allocSlice(T, direct.len * size) orelse return error.OutOfMemory;
                return .{ .memory = memory };
            }
            fn deinit(w: Workspace) void {
                if (w.memory) |m| services.free(@ptrCast(m.ptr));
            }
        };

        fn rowsPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            // A vector more, so that every buffer is aligned alike.
            const size = std.mem.alignForward(usize, a.n, lanes);
            const w = Workspace.init(s.direct[0..job.count], false, size) catch
                return job.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer w.deinit();
            const together = a.n <= short and s.direct[0] and s.direct[1];
            var line = begin;
            while (line < end) : (line += 1) {
                const beside = @min(end - line, a.across.size - line % a.across.size);
                const o = a.at(line / a.across.size, line % a.across.size);
                if (together and beside >= lanes) if (job.kernels.rows) |rows| {
                    const y = job.call.at(T, 0) + o[0];
                    const x = job.call.at(T, 1) + o[1];
                    rows(y, a.across.stride[0], x, a.across.stride[1], a.n);
                    line += lanes - 1;
                    continue;
                };
                var at: [max_operands][*]T = undefined;
                for (0..job.count) |k| {
                    const dtype = job.plan.operands[k].dtype;
                    const memory = job.call.ptr[k].? + o[k] * dtype.size();
                    if (s.direct[k]) {
                        at[k] = @ptrCast(@alignCast(memory));
                    } else {
                        at[k] = w.memory.?.ptr + k * size;
                        if (k > 0) stage.load(T, dtype, memory, a.n, a.step[k], at[k], 1);
                    }
                }
                job.kernels.row(&at, a.n);
                if (!s.direct[0]) {
                    const dtype = job.plan.operands[0].dtype;
                    stage.store(
                        T,
                        dtype,
                        at[0],
                        1,
                        a.n,
                        job.call.ptr[0].? + o[0] * dtype.size(),
                        a.step[0],
                    );
                }
            }
        }

        fn tilesPiece(job: *const Job, begin: usize, end: usize) void {
            const s = job.s;
            const a = &s.geometry;
            const tiles = std.math.divCeil(usize, a.across.size, s.tile) catch unreachable;
            const tail = a.across.size % lanes != 0;
            const size = a.n * s.tile;
            const w = Workspace.init(s.direct[0..job.count], tail, size) catch
                return job.call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer w.deinit();
            for (begin..end) |i| {
                const column = i % tiles * s.tile;
                const width = @min(s.tile, a.across.size - column);
                const o = a.at(i / tiles, column);
                // Kernels work on whole vectors: the last columns of a line of tiles are packed.
                const whole = width % lanes == 0;
                var at: [max_operands][*]T = undefined;
                var step: [max_operands]usize = undefined;
                for (0..job.count) |k| {
                    const dtype = job.plan.operands[k].dtype;
                    const memory = job.call.ptr[k].? + o[k] * dtype.size();
                    if (s.direct[k] and whole) {
                        at[k] = @ptrCast(@alignCast(memory));
                        step[k] = a.step[k];
                    } else {
                        at[k] = w.memory.?.ptr + k * size;
                        step[k] = s.tile;
                        if (k > 0) stage.loadTile(
                            T,
                            dtype,
                            memory,
                            a.n,
                            a.step[k],
                            width,
                            a.across.stride[k],
                            at[k],
                            s.tile,
                        );
                    }
                }
                const vectors = (width + lanes - 1) / lanes;
                job.kernels.columns(&at, &step, a.n, vectors);
                if (!(s.direct[0] and whole)) {
                    const dtype = job.plan.operands[0].dtype;
                    const memory = job.call.ptr[0].? + o[0] * dtype.size();
                    stage.storeTile(
                        T,
                        dtype,
                        at[0],
                        step[0],
                        a.n,
                        width,
                        memory,
                        a.step[0],
                        a.across.stride[0],
                    );
                }
            }
        }
    };
}

fn Runner(comptime T: type, comptime op: Op) type {
    const lanes = simd.lanes(T);
    const V = simd.Vec(T);
    const backward = op == .softmax_backward or op == .log_softmax_backward;
    const low = -std.math.inf(T);

    return struct {
        const kernels: Kernels(T) = .{
            .row = if (backward) rowBackward else rowForward,
            .rows = if (T == f32 and !backward) rowsForward else null,
            .columns = if (backward) columnsBackward else columnsForward,
        };
        fn run(p: *const Plan, call: *Call) void {
            Walk(T).run(p, call, &kernels);
        }

        /// x, y: (n). nan may get lost in the maximum: it comes back with the exponentials.
        fn rowForward(at: *const [max_operands][*]T, n: usize) void {
            const y, const x, _ = at.*;
            const m = simd.tree(rowMaximum(x, n), simd.maxFast);
            var total: f64 = 0;
            var i: usize = 0;
            while (i < n) : (i += block)
                total += simd.reduceAdd(exponentials(y + i, x + i, @min(block, n - i), m));
            finishRow(y, x, n, ending(@splat(@floatCast(total)))[0], m);
        }
        /// As many rows as a vector has lanes, each of at most a block.
        fn rowsForward(y: [*]T, y_line: usize, x: [*]const T, x_line: usize, n: usize) void {
            var ends: [lanes]V = undefined;
            for (&ends, 0..) |*end, k| end.* = rowMaximum(x + k * x_line, n);
            const m: [lanes]T = simd.trees(T, &ends, simd.maxFast);
            for (&ends, 0..) |*end, k|
                end.* = exponentials(y + k * y_line, x + k * x_line, n, m[k]);
            const numbers: [lanes]T = ending(simd.trees(T, &ends, add));
            for (0..lanes) |k| finishRow(y + k * y_line, x + k * x_line, n, numbers[k], m[k]);
        }
        inline fn add(comptime W: type, a: W, b: W) W {
            return a + b;
        }
        /// What `finishRow` takes, of totals.
        noinline fn ending(total: V) V {
            return if (op == .softmax) @as(V, @splat(1)) / total else math.log(V, total);
        }
        /// The sum of e^(x - maximum) in every lane, of at most a block. softmax: y becomes them.
        noinline fn exponentials(y: [*]T, x: [*]const T, n: usize, maximum: T) V {
            const m: V = @splat(maximum);
            var sums: [2]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 2 * lanes <= n) : (i += 2 * lanes) inline for (0..2) |k| {
                const e = math.exp(V, simd.load(T, x + i + k * lanes) - m);
                sums[k] += e;
                if (op == .softmax) simd.store(T, y + i + k * lanes, e);
            };
            while (i < n) : (i += lanes) {
                // Not of -inf: what underflows takes several times as long.
                const e = math.exp(V, part(T, x + i, n - i, maximum) - m);
                sums[0] += only(T, n - i, e);
                if (op == .softmax) put(T, y + i, n - i, e);
            }
            return sums[0] + sums[1];
        }
        fn rowMaximum(x: [*]const T, n: usize) V {
            var maxima: [4]V = @splat(@splat(low));
            var i: usize = 0;
            while (i + 4 * lanes <= n) : (i += 4 * lanes) inline for (0..4) |k| {
                maxima[k] = simd.maxFast(V, simd.load(T, x + i + k * lanes), maxima[k]);
            };
            while (i < n) : (i += lanes)
                maxima[0] = simd.maxFast(V, part(T, x + i, n - i, low), maxima[0]);
            const a = simd.maxFast(V, maxima[0], maxima[1]);
            const b = simd.maxFast(V, maxima[2], maxima[3]);
            return simd.maxFast(V, a, b);
        }
        /// softmax: y = y number; else y = (x - maximum) - number
        fn finishRow(y: [*]T, row: [*]const T, n: usize, number: T, maximum: T) void {
            const x: [*]const T = if (op == .softmax) y else row;
            const scale: V = @splat(number);
            const m: V = @splat(maximum);
            var i: usize = 0;
            while (i + 2 * lanes <= n) : (i += 2 * lanes) inline for (0..2) |k| {
                const v = simd.load(T, x + i + k * lanes);
                const done = if (op == .softmax) v * scale else (v - m) - scale;
                simd.store(T, y + i + k * lanes, done);
            };
            while (i < n) : (i += lanes) {
                const v = part(T, x + i, n - i, 0);
                put(T, y + i, n - i, if (op == .softmax) v * scale else (v - m) - scale);
            }
        }

        /// The sum that a backward pass needs, of one vector.
        inline fn term(g: V, y: V, sum: V) V {
            return if (op == .softmax_backward) simd.fma(V, g, y, sum) else sum + g;
        }
        inline fn gradient(g: V, y: V, sum: V) V {
            return if (op == .softmax_backward) y * (g - sum) else g - math.exp(V, y) * sum;
        }

        /// gx, g, y: (n)
        fn rowBackward(at: *const [max_operands][*]T, n: usize) void {
            const gx, const g, const y = at.*;
            var total: f64 = 0;
            var i: usize = 0;
            while (i < n) {
                const end = @min(n, i + block);
                var sums: [4]V = @splat(@splat(0));
                while (i + 4 * lanes <= end) : (i += 4 * lanes) inline for (0..4) |k| {
                    const j = i + k * lanes;
                    sums[k] = term(simd.load(T, g + j), simd.load(T, y + j), sums[k]);
                };
                while (i < end) : (i += lanes)
                    sums[0] = term(part(T, g + i, end - i, 0), part(T, y + i, end - i, 0), sums[0]);
                total += simd.reduceAdd((sums[0] + sums[1]) + (sums[2] + sums[3]));
            }
            const sum: V = @splat(@floatCast(total));
            i = 0;
            while (i + lanes <= n) : (i += lanes)
                simd.store(T, gx + i, gradient(simd.load(T, g + i), simd.load(T, y + i), sum));
            if (i < n) {
                const left = n - i;
                put(T, gx + i, left, gradient(part(T, g + i, left, 0), part(T, y + i, left, 0), sum));
            }
        }

        const Tile = [max_tile / lanes]V;

        /// x, y: (n, vectors * lanes), rows apart by their steps. Row after row, as memory lies.
        fn columnsForward(at: *const [max_operands][*]T, step: *const [max_operands]usize, n: usize, vectors: usize) void {
            const y, const x, _ = at.*;
            const y_step, const x_step, _ = step.*;
            var maxima: Tile = undefined;
            const m = maxima[0..vectors];
            for (m, 0..) |*v, c| v.* = simd.load(T, x + c * lanes);
            for (1..n) |i| for (m, 0..) |*v, c| {
                v.* = simd.maxFast(V, simd.load(T, x + i * x_step + c * lanes), v.*);
            };
            var totals: Tile = @splat(@splat(0));
            var i: usize = 0;
            while (i < n) {
                const end = @min(n, i + 128);
                var sums: Tile = @splat(@splat(0));
                while (i < end) : (i += 1) for (m, sums[0..vectors], 0..) |v, *sum, c| {
                    const e = math.exp(V, simd.load(T, x + i * x_step + c * lanes) - v);
                    sum.* += e;
                    if (op == .softmax) simd.store(T, y + i * y_step + c * lanes, e);
                };
                for (totals[0..vectors], sums[0..vectors]) |*t, sum| t.* += sum;
            }
            const t = totals[0..vectors];
            for (t) |*v| v.* = ending(v.*);
            for (0..n) |k| for (m, t, 0..) |maximum, v, c| {
                const to = y + k * y_step + c * lanes;
                const from = x + k * x_step + c * lanes;
                simd.store(T, to, if (op == .softmax)
                    simd.load(T, to) * v
                else
                    (simd.load(T, from) - maximum) - v);
            };
        }

        /// gx, g, y: (n, vectors * lanes), rows apart by their steps
        fn columnsBackward(operand: *const [max_operands][*]T, step: *const [max_operands]usize, n: usize, vectors: usize) void {
            const gx, const g, const y = operand.*;
            const gx_step, const g_step, const y_step = step.*;
            var totals: Tile = @splat(@splat(0));
            var i: usize = 0;
            while (i < n) {
                const end = @min(n, i + 128);
                var sums: Tile = @splat(@splat(0));
                while (i < end) : (i += 1) for (sums[0..vectors], 0..) |*sum, c| {
                    const at = c * lanes;
                    const gv = simd.load(T, g + i * g_step + at);
                    sum.* = term(gv, simd.load(T, y + i * y_step + at), sum.*);
                };
                for (totals[0..vectors], sums[0..vectors]) |*t, sum| t.* += sum;
            }
            for (0..n) |k| for (totals[0..vectors], 0..) |total, c| {
                const at = c * lanes;
                const gv = simd.load(T, g + k * g_step + at);
                const yv = simd.load(T, y + k * y_step + at);
                simd.store(T, gx + k * gx_step + at, gradient(gv, yv, total));
            };
        }
    };
}

/// Rows up to this long are taken several at a time: they stay in the cache meanwhile.
const short = 256;
/// Elements that are summed in T before their sum joins the others in f64.
const block = 4096;

test {
    _ = along;
    _ = @import("softmax_test.zig");
}
