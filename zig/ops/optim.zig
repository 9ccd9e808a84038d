//! Optimizer steps: one call for all parameters of a group.
//!
//! Parameters, gradients and states are reached through a table of 64-bit words in memory:
//! word 0 is the number n of entries, entry i begins at word 1 + i * fields:
//! [numel, address, address, ...]. Each array is dense, and an entry's arrays share one layout
//! in memory (so that element k belongs to element k). An address of 0 leaves an optional
//! state out, for every entry of the call alike. `step` is the address of one float that the row
//! counts up before it uses it. Addresses of single numbers have their lowest bit set where they
//! are float64, and not where they are float32.
//!
//! The table is operand 0 (described as int64 []; the row reads n from the table itself),
//! except for `norm`: operand 0 is its result, operand 1 the table.
//!
//!   row       fields of an entry                              scalars (f)
//!   sgd       numel param grad buffer fresh                   lr momentum dampening weight_decay
//!             fresh = 1: the buffer holds nothing yet; buffer 0: no momentum
//!   adam      numel param grad exp_avg exp_avg_sq max_exp_avg_sq step
//!                                                             lr beta1 beta2 eps weight_decay
//!   rmsprop   numel param grad square_avg grad_avg buffer step
//!                                                             lr alpha eps weight_decay momentum
//!   adagrad   numel param grad sum step                       lr lr_decay eps weight_decay
//!   adadelta  numel param grad square_avg acc_delta step      lr rho eps weight_decay
//!   adamax    numel param grad exp_avg exp_inf step           lr beta1 beta2 eps weight_decay
//!   nadam     numel param grad exp_avg exp_avg_sq mu_product step
//!                                                             lr beta1 beta2 eps weight_decay momentum_decay
//!   radam     numel param grad exp_avg exp_avg_sq step        lr beta1 beta2 eps weight_decay
//!   rprop     numel param grad prev step_size step            eta- eta+ smallest largest
//!   asgd      numel param grad ax eta mu step                 lr lambd alpha t0 weight_decay
//!             mu_product, eta and mu are addresses of one float each, as step is
//!   lerp      numel a b                   a += (b - a) * weight        weight
//!   scale     numel a                     a *= factor                  factor
//!   clamp     numel a                     a = clip(a, low, high)       low high
//!   norm      numel a                     all entries as one vector; ints[1]: 1, 2, or 0 for
//!             the largest magnitude. A nan anywhere gives nan.
//!
//!   ints: [dtype of the arrays, flags]
//!   flags: 1 maximize; 2 nesterov (sgd), amsgrad (adam), centered (rmsprop);
//!          4 decoupled weight decay (adam: AdamW)
//!
//! The formulas are those of torch/optim/*.py (the single-tensor forms), operation by
//! operation, with the fused multiply-adds of PyTorch's CPU kernels: float32 and float64 give
//! PyTorch's bits, but for PyTorch's square root, which is MKL's and not always rounded right
//! (ours is). float16 and bfloat16 are computed in float32 and rounded once a step.
const std = @import("std");
const plan_zig = @import("../plan.zig");
const simd = @import("../simd.zig");
const services = @import("../services.zig");
const dtype_zig = @import("../dtype.zig");
const rules = @import("optim_rules.zig");

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;
const DType = dtype_zig.DType;

pub const names: []const []const u8 = &.{
    "sgd",  "adam",  "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "rprop", "asgd",
    "lerp", "scale", "clamp",   "norm",
};

pub const family: plan_zig.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan_zig.PrepareError!void {
    const dtype: DType = @fromBackingInt(@intCast(p.ints[0]));
    if (!dtype.isFloat()) return error.Unsupported;
    inline for (rules.all, 0..) |Rule, i| if (p.op == i) {
        p.run = switch (dtype) {
            .float64 => Step(Rule, f64).run,
            .float32 => Step(Rule, f32).run,
            else => Step(Rule, f32).runStaged,
        };
        return;
    };
    if (p.op != rules.all.len) return error.Unsupported;
    const result = p.operands[0];
    if (result.numel() != 1 or !result.dtype.isFloat()) return error.Unsupported;
    p.run = norm;
}

/// Elements of an array that are worked on at a time: what threads share out, and the length
/// of a partial result of `norm`.
const chunk = 8192;

/// The table, and where in it a chunk number lies.
const Table = struct {
    words: [*]const usize,
    fields: usize,

    fn count(t: Table) usize {
        return t.words[0];
    }
    fn numel(t: Table, entry: usize) usize {
        return t.words[1 + entry * t.fields];
    }
    fn word(t: Table, entry: usize, field: usize) usize {
        return t.words[1 + entry * t.fields + field];
    }
    fn address(t: Table, entry: usize, field: usize) ?[*]u8 {
        return @ptrFromInt(t.word(entry, field));
    }
    fn chunks(t: Table) usize {
        var n: usize = 0;
        for (0..t.count()) |i| n += (t.numel(i) + chunk - 1) / chunk;
        return n;
    }

    const Cursor = struct {
        table: Table,
        entry: usize = 0,
        offset: usize = 0,

        fn init(t: Table, number: usize) Cursor {
            var c: Cursor = .{ .table = t };
            var rest = number;
            while (true) : (c.entry += 1) {
                const here = (t.numel(c.entry) + chunk - 1) / chunk;
                if (rest < here) break;
                rest -= here;
            }
            c.offset = rest * chunk;
            return c;
        }
        fn length(c: Cursor) usize {
            return @min(chunk, c.table.numel(c.entry) - c.offset);
        }
        fn next(c: *Cursor) void {
            c.offset += chunk;
            while (c.entry < c.table.count() and c.offset >= c.table.numel(c.entry)) {
                c.entry += 1;
                c.offset = 0;
            }
        }
    };
};

/// Parallel pieces of fewer chunks than this are not worth a thread.
const grain = 4;

/// A rule over all entries. Every rule has `arrays` (param and grad first, then the optional
/// states), `written` (which of them it changes), `step` (whether a step follows) and
/// `extra` (words behind the arrays that are no arrays); `init` makes an entry's constants,
/// `apply` works on one vector of each array.
fn Step(comptime Rule: type, comptime T: type) type {
    return struct {
        const lanes = simd.lanes(T);
        const V = @Vector(lanes, T);
        const arrays = Rule.arrays;
        const R = Rule.Of(T);
        const fields = 1 + arrays + @as(usize, Rule.extra);
        const Context = struct { table: Table, rules: [*]const R, dtype: DType };

        fn run(p: *const Plan, call: *Call) void {
            start(p, call, direct);
        }
        fn runStaged(p: *const Plan, call: *Call) void {
            start(p, call, staged);
        }

        const Body = fn (*const Context, usize, usize) void;

        fn start(p: *const Plan, call: *Call, comptime body: Body) void {
            const table: Table = .{ .words = call.at(usize, 0), .fields = fields };
            if (table.count() == 0) return;
            const own = services.allocSlice(R, table.count()) orelse
                return call.fail(.out_of_memory, .{ 0, 0, 0 });
            defer services.free(@ptrCast(own.ptr));
            for (own, 0..) |*rule, i| {
                const extras: rules.Extras = .{
                    .words = table.words + 1 + i * fields + 1 + arrays,
                };
                const step = if (!Rule.counts) 0 else extras.add(Rule.extra - 1, 1);
                rule.* = R.init(p.ints[1], call.scalar, step, extras);
            }
            const context: Context = .{
                .table = table,
                .rules = own.ptr,
                .dtype = @fromBackingInt(@intCast(p.ints[0])),
            };
            services.parallelFor(table.chunks(), grain, context, body);
        }

        fn direct(c: *const Context, begin: usize, end: usize) void {
            if (begin == end) return;
            var at: Table.Cursor = .init(c.table, begin);
            for (begin..end) |_| {
                var pointers: [arrays]?[*]T = undefined;
                inline for (&pointers, 1..) |*pointer, field| {
                    const base: ?[*]T = @ptrCast(@alignCast(c.table.address(at.entry, field)));
                    pointer.* = if (base) |b| b + at.offset else null;
                }
                work(&c.rules[at.entry], pointers, at.length());
                at.next();
            }
        }

        /// Half precision: tiles of float32.
        fn staged(c: *const Context, begin: usize, end: usize) void {
            if (T != f32) unreachable;
            if (begin == end) return;
            const tile = 512;
            var buffers: [arrays][tile]f32 = undefined;
            var at: Table.Cursor = .init(c.table, begin);
            for (begin..end) |_| {
                var i: usize = at.offset;
                const stop = i + at.length();
                while (i < stop) : (i += tile) {
                    const n: usize = @min(tile, stop - i);
                    var pointers: [arrays]?[*]f32 = @splat(null);
                    inline for (&pointers, &buffers, 1..) |*pointer, *buffer, field| {
                        if (c.table.address(at.entry, field)) |source| {
                            widen(c.dtype, source, i, buffer[0..n]);
                            pointer.* = buffer;
                        }
                    }
                    work(&c.rules[at.entry], pointers, n);
                    inline for (&buffers, 1.., Rule.written) |*buffer, field, written| {
                        if (written) if (c.table.address(at.entry, field)) |target| {
                            narrow(c.dtype, target, i, buffer[0..n]);
                        };
                    }
                }
                at.next();
            }
        }

        inline fn whole(rule: *const R, pointers: [arrays]?[*]T, i: usize) void {
            var x: [arrays]V = undefined;
            inline for (&x, pointers) |*v, pointer| {
                v.* = if (pointer) |q| q[i..][0..lanes].* else @splat(0);
            }
            rule.apply(&x);
            inline for (x, pointers, Rule.written) |v, pointer, written| {
                if (written) if (pointer) |q| {
                    q[i..][0..lanes].* = v;
                };
            }
        }

        noinline fn work(rule: *const R, pointers: [arrays]?[*]T, n: usize) void {
            // A copy, which what is written cannot change.
            const own = rule.*;
            var i: usize = 0;
            const at_once = if (arrays <= 3) 4 else 1; // rules of little arithmetic
            while (i + at_once * lanes <= n) : (i += at_once * lanes) {
                inline for (0..at_once) |k| whole(&own, pointers, i + k * lanes);
            }
            while (i + lanes <= n) : (i += lanes) whole(&own, pointers, i);
            if (i == n) return;
            // What is left, as a vector of its own.
            var tails: [arrays][lanes]T = @splat(@splat(0));
            var own_pointers: [arrays]?[*]T = @splat(null);
            inline for (&tails, &own_pointers, pointers) |*tail, *own_pointer, pointer| {
                if (pointer) |q| {
                    @memcpy(tail[0 .. n - i], q[i..n]);
                    own_pointer.* = tail;
                }
            }
            work(&own, own_pointers, lanes);
            inline for (&tails, pointers, Rule.written) |*tail, pointer, written| {
                if (written) if (pointer) |q| @memcpy(q[i..n], tail[0 .. n - i]);
            }
        }
    };
}

fn widen(dtype: DType, from: [*]const u8, offset: usize, to: []f32) void {
    if (dtype == .bfloat16) {
        const p: [*]const dtype_zig.BFloat16 = @ptrCast(@alignCast(from));
        for (to, p[offset..][0..to.len]) |*y, x| y.* = x.toF32();
    } else {
        const p: [*]const f16 = @ptrCast(@alignCast(from));
        for (to, p[offset..][0..to.len]) |*y, x| y.* = x;
    }
}

fn narrow(dtype: DType, to: [*]u8, offset: usize, from: []const f32) void {
    if (dtype == .bfloat16) {
        const p: [*]dtype_zig.BFloat16 = @ptrCast(@alignCast(to));
        for (p[offset..][0..from.len], from) |*y, x| y.* = .fromF32(x);
    } else {
        const p: [*]f16 = @ptrCast(@alignCast(to));
        for (p[offset..][0..from.len], from) |*y, x| y.* = @floatCast(x);
    }
}

// ------------------------------------------------------------------ norm

const D = @Vector(8, f64);

/// Sums in float64: one partial result a chunk, added up in order, rounded once at the end.
fn norm(p: *const Plan, call: *Call) void {
    const table: Table = .{ .words = call.at(usize, 1), .fields = 2 };
    const chunks = table.chunks();
    const partial = services.allocSlice(f64, @max(1, chunks)) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(partial.ptr));
    const Context = struct { table: Table, dtype: DType, order: i64, partial: [*]f64 };
    const context: Context = .{
        .table = table,
        .dtype = @fromBackingInt(@intCast(p.ints[0])),
        .order = p.ints[1],
        .partial = partial.ptr,
    };
    services.parallelFor(chunks, grain, context, struct {
        fn body(c: *const Context, begin: usize, end: usize) void {
            if (begin == end) return;
            var at: Table.Cursor = .init(c.table, begin);
            for (begin..end) |i| {
                const base = c.table.address(at.entry, 1).?;
                c.partial[i] = partialNorm(c.dtype, c.order, base, at.offset, at.length());
                at.next();
            }
        }
    }.body);
    var total: f64 = 0;
    for (partial[0..chunks]) |x| total = if (context.order == 0) larger(total, x) else total + x;
    if (context.order == 2) total = @sqrt(total);
    switch (p.operands[0].dtype) {
        .float64 => call.at(f64, 0)[0] = total,
        .float32 => call.at(f32, 0)[0] = @floatCast(total),
        .float16 => call.at(f16, 0)[0] = @floatCast(@as(f32, @floatCast(total))),
        .bfloat16 => call.at(dtype_zig.BFloat16, 0)[0] = .fromF32(@floatCast(total)),
        else => unreachable, // `prepare` saw to it
    }
}

fn larger(a: f64, b: f64) f64 {
    return if (b > a or b != b) b else a; // a nan stays: no b is greater
}

fn partialNorm(dtype: DType, order: i64, base: [*]const u8, offset: usize, n: usize) f64 {
    const tile = 512;
    var buffer: [tile]f64 = undefined;
    var sums: [2]D = @splat(@splat(0));
    var i: usize = 0;
    while (i < n) : (i += tile) {
        const count: usize = @min(tile, n - i);
        const padded = (count + 15) & ~@as(usize, 15);
        @memset(buffer[count..padded], 0);
        switch (dtype) {
            inline .float16, .bfloat16, .float32, .float64 => |d| {
                const p: [*]const d.Type() = @ptrCast(@alignCast(base));
                const from = p[offset + i ..][0..count];
                var at: usize = 0;
                if (d == .float32 or d == .float64) while (at + 16 <= count) : (at += 16) {
                    const x: @Vector(16, d.Type()) = from[at..][0..16].*;
                    buffer[at..][0..16].* = @as(@Vector(16, f64), @floatCast(x));
                };
                for (buffer[at..count], from[at..]) |*y, x| {
                    y.* = if (d == .bfloat16) x.toF32() else x;
                }
            },
            else => unreachable,
        }
        var j: usize = 0;
        while (j < padded) : (j += 16) inline for (&sums, 0..) |*sum, k| {
            const x: D = @abs(@as(D, buffer[j + 8 * k ..][0..8].*));
            sum.* = switch (order) {
                0 => @select(f64, (x > sum.*) | (x != x), x, sum.*),
                1 => sum.* + x,
                else => sum.* + x * x,
            };
        };
    }
    const lanes: [16]f64 = std.simd.join(sums[0], sums[1]);
    var total: f64 = 0;
    for (lanes) |x| total = if (order == 0) larger(total, x) else total + x;
    return total;
}

test {
    _ = @import("optim_test.zig");
}
