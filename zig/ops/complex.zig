//! Complex numbers, element by element: pairs of floats side by side.
//!
//! Operands: out and the inputs, of one shape (broadcast by strides of 0), all float32 or all
//! float64; a complex operand has one more dimension at the end, of size 2 and stride 1.
//! - complex to complex: `conj` `square` `cube` `reciprocal` `exp` `log` `sqrt`
//! - complex to real: `abs` `angle`
//! - two complex: `mul` `mul_conj` (a conj(b)) `div` `div_conj` (a / conj(b)), to bool `eq` `ne`
//! - complex a, real g: `abs_backward`: g a / |a|
//! - two real: `make` (re + i im), `polar` (r e^(i angle))
const std = @import("std");
const plan = @import("../plan.zig");
const view = @import("../view.zig");
const simd = @import("../simd.zig");
const services = @import("../services.zig");
const f = @import("complex_formulas.zig");
const join = @import("join.zig");
const move = @import("convert.zig").copyStrided;
const Plan = plan.Plan;
const Call = plan.Call;
const DType = @import("../dtype.zig").DType;

const Kind = enum { complex, real, boolean };
const Kernel = *const fn (n: usize, out: [*]u8, in: [2][*]const u8) void;

const Row = struct {
    name: []const u8,
    out: Kind,
    in: []const Kind,
    grain: usize,
    f32: Kernel,
    f64: Kernel,
};

fn row(
    name: []const u8,
    comptime function: anytype,
    comptime out: Kind,
    comptime in: []const Kind,
    grain: usize,
) Row {
    return .{
        .name = name,
        .out = out,
        .in = in,
        .grain = grain,
        .f32 = Kernels(f32, function, out, in).compute,
        .f64 = Kernels(f64, function, out, in).compute,
    };
}

const one: []const Kind = &.{.complex};
const two: []const Kind = &.{ .complex, .complex };
const cheap = 16384;
const costly = 4096;
const rows = [_]Row{
    row("conj", f.conj, .complex, one, cheap),
    row("square", f.square, .complex, one, cheap),
    row("cube", f.cube, .complex, one, cheap),
    row("reciprocal", f.reciprocal, .complex, one, cheap),
    row("exp", f.exp, .complex, one, costly),
    row("log", f.log, .complex, one, costly),
    row("sqrt", f.sqrt, .complex, one, costly),
    row("abs", f.abs, .real, one, costly),
    row("angle", f.angle, .real, one, costly),
    row("mul", f.mul, .complex, two, cheap),
    row("mul_conj", f.mulConj, .complex, two, cheap),
    row("div", f.div, .complex, two, cheap),
    row("div_conj", f.divConj, .complex, two, cheap),
    row("eq", f.eq, .boolean, two, cheap),
    row("ne", f.ne, .boolean, two, cheap),
    row("abs_backward", f.absBackward, .complex, &.{ .complex, .real }, costly),
    row("make", f.make, .complex, &.{ .real, .real }, cheap),
    row("polar", f.polar, .complex, &.{ .real, .real }, costly),
};

pub const names: []const []const u8 = blk: {
    var list: [rows.len][]const u8 = undefined;
    for (rows, &list) |r, *name| name.* = r.name;
    const final = list;
    break :blk &final;
};
pub const family: plan.Family = .{ .prepare = prepare };

fn bytesOf(comptime T: type, kind: Kind) usize {
    return switch (kind) {
        .complex => 2 * @sizeOf(T),
        .real => @sizeOf(T),
        .boolean => 1,
    };
}

/// The kernel of a formula: n packed elements.
fn Kernels(
    comptime T: type,
    comptime function: anytype,
    comptime out_kind: Kind,
    comptime in_kinds: []const Kind,
) type {
    const lanes = simd.lanes(T);
    const V = @Vector(lanes, T);
    const C = f.Complex(V);
    const W = @Vector(2 * lanes, T);
    return struct {
        fn compute(n: usize, out: [*]u8, in: [2][*]const u8) void {
            const out_size = comptime bytesOf(T, out_kind);
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) {
                const a = load(in_kinds[0], in[0] + i * comptime bytesOf(T, in_kinds[0]));
                if (in_kinds.len == 1) {
                    store(out + i * out_size, function(V, a));
                } else {
                    const b = load(in_kinds[1], in[1] + i * comptime bytesOf(T, in_kinds[1]));
                    store(out + i * out_size, function(V, a, b));
                }
            }
            if (i == n) return;
            // The rest by way of memory of its own; ones are harmless as a divisor, too.
            var part: [3][2 * lanes]T align(64) = @splat(@splat(1));
            var from: [2][*]const u8 = undefined;
            inline for (in_kinds, 0..) |kind, k| {
                const size = comptime bytesOf(T, kind);
                const bytes: [*]u8 = @ptrCast(&part[k]);
                @memcpy(bytes[0 .. (n - i) * size], (in[k] + i * size)[0 .. (n - i) * size]);
                from[k] = bytes;
            }
            const to: [*]u8 = @ptrCast(&part[2]);
            @call(.never_inline, compute, .{ lanes, to, from });
            @memcpy((out + i * out_size)[0 .. (n - i) * out_size], to[0 .. (n - i) * out_size]);
        }

        inline fn load(comptime kind: Kind, p: [*]const u8) if (kind == .complex) C else V {
            const q: [*]const T = @ptrCast(@alignCast(p));
            if (kind == .real) return q[0..lanes].*;
            const both: W = q[0 .. 2 * lanes].*;
            const even = comptime simd.iota(lanes, i32) * @as(@Vector(lanes, i32), @splat(2));
            const odd = comptime even + @as(@Vector(lanes, i32), @splat(1));
            return .{
                .re = @shuffle(T, both, undefined, even),
                .im = @shuffle(T, both, undefined, odd),
            };
        }

        inline fn store(p: [*]u8, x: anytype) void {
            if (out_kind == .boolean) {
                p[0..lanes].* = @as(@Vector(lanes, u8), @intFromBool(x));
                return;
            }
            const q: [*]T = @ptrCast(@alignCast(p));
            if (out_kind == .real) {
                q[0..lanes].* = x;
                return;
            }
            comptime var mask: [2 * lanes]i32 = undefined;
            inline for (0..lanes) |i| {
                mask[2 * i] = i;
                mask[2 * i + 1] = ~@as(i32, i);
            }
            const m: @Vector(2 * lanes, i32) = mask;
            const both: W = @shuffle(T, x.re, x.im, m);
            q[0 .. 2 * lanes].* = both;
        }
    };
}

const State = struct { view: view.View, kernel: Kernel, grain: usize, n_in: usize };

fn prepare(p: *Plan) plan.PrepareError!void {
    const r = &rows[p.op];
    if (p.operands.len != 1 + r.in.len or p.n_out != 1) return error.Unsupported;
    const dtype = p.operands[1].dtype;
    if (dtype != .float32 and dtype != .float64) return error.Unsupported;
    var operands: [3]plan.Operand = undefined;
    for (p.operands, 0..) |o, k| {
        const kind = if (k == 0) r.out else r.in[k - 1];
        operands[k] = o;
        if (kind != .complex) continue;
        const last = o.shape.len - 1;
        if (o.shape[last] != 2 or o.strides[last] != 1) return error.Unsupported;
        operands[k].shape = o.shape[0..last];
        operands[k].strides = o.strides[0..last];
    }
    var v = try view.View.init(operands[0..p.operands.len]);
    for (0..p.operands.len) |k| {
        const kind = if (k == 0) r.out else r.in[k - 1];
        v.element[k] = if (dtype == .float32) bytesOf(f32, kind) else bytesOf(f64, kind);
    }
    (try p.create(State)).* = .{
        .view = v,
        .kernel = if (dtype == .float32) r.f32 else r.f64,
        .grain = r.grain,
        .n_in = r.in.len,
    };
    p.run = run;
}

fn run(p: *const Plan, call: *Call) void {
    const s = p.stateAs(State);
    const job: Job = .{ .s = s, .call = call };
    services.parallelFor(s.view.n, s.grain, job, Job.elements);
}

const tile = 256;
const Job = struct {
    s: *const State,
    call: *Call,

    fn elements(j: *const Job, begin: usize, end: usize) void {
        const v = &j.s.view;
        const inner = v.inner();
        if (v.ndim > 1 and inner < tile / 4) return j.shortRows(begin, end);
        var buffers: [3][tile * 16]u8 align(64) = undefined;
        var cursor = view.Cursor.init(v, begin / inner);
        var column = begin % inner;
        var left = end - begin;
        for (1..1 + j.s.n_in) |k| if (v.period(k) == 1) {
            move(v.element[k], &buffers[k], v.element[k], j.call.ptr[k].?, 0, @min(left, tile));
        };
        while (left > 0) {
            const whole = j.inPlace(0) and j.inPlace(1) and (j.s.n_in == 1 or j.inPlace(2));
            const n = @min(left, inner - column, if (whole) inner else tile);
            var at: [3][*]u8 = undefined;
            for (0..1 + j.s.n_in) |k| {
                at[k] = j.call.ptr[k].? + cursor.offset[k] + column * v.innerStride(k);
            }
            var in: [2][*]const u8 = undefined;
            for (1..1 + j.s.n_in) |k| {
                in[k - 1] = at[k];
                if (j.inPlace(k)) continue;
                if (v.period(k) != 1) move(v.element[k], &buffers[k], v.element[k], at[k], v.innerStride(k), n);
                in[k - 1] = &buffers[k];
            }
            if (j.inPlace(0)) {
                j.s.kernel(n, at[0], in);
            } else {
                j.s.kernel(n, &buffers[0], in);
                move(v.element[0], at[0], v.innerStride(0), &buffers[0], v.element[0], n);
            }
            left -= n;
            column += n;
            if (column == inner) {
                column = 0;
                cursor.next(v);
            }
        }
    }

    /// The same, several rows at a time.
    fn shortRows(j: *const Job, begin: usize, end: usize) void {
        const v = &j.s.view;
        const count = 1 + j.s.n_in;
        var buffers: [3][tile * 16]u8 align(64) = undefined;
        var first = begin;
        while (first < end) {
            const n = @min(end - first, tile);
            var at: [3][*]u8 = undefined;
            for (0..count) |k| {
                at[k] = if (v.isFlat(k)) j.call.ptr[k].? + first * v.element[k] else &buffers[k];
                if (k > 0 and !v.isFlat(k)) j.between(k, at[k], first, n);
            }
            j.s.kernel(n, at[0], .{ at[1], at[count - 1] });
            if (!v.isFlat(0)) j.between(0, at[0], first, n);
            first += n;
        }
    }

    /// Elements [first, first + n) of operand k (the result: to it) and packed ones.
    fn between(j: *const Job, k: usize, buffer: [*]u8, first: usize, n: usize) void {
        const v = &j.s.view;
        const inner = v.inner();
        const size = v.element[k];
        var cursor = view.Cursor.init(v, first / inner);
        var column = first % inner;
        var done: usize = 0;
        while (done < n) {
            const m = @min(n - done, inner - column);
            const memory = j.call.ptr[k].? + cursor.offset[k] + column * v.innerStride(k);
            const own = buffer + done * size;
            if (k == 0) {
                move(size, memory, v.innerStride(k), own, size, m);
            } else if (v.innerStride(k) == size) {
                join.copyBytes(own, memory, m * size);
            } else move(size, own, size, memory, v.innerStride(k), m);
            done += m;
            column = 0;
            cursor.next(v);
        }
    }

    fn inPlace(j: *const Job, k: usize) bool {
        return j.s.view.innerStride(k) == j.s.view.element[k];
    }
};

test "complex formulas over layouts" {
    const n = 37;
    var a: [2 * n]f64 = undefined;
    var b: [2 * n]f64 = undefined;
    for (&a, &b, 0..) |*x, *y, i| {
        x.* = @sin(@as(f64, @floatFromInt(i)));
        y.* = @cos(@as(f64, @floatFromInt(3 * i)));
    }
    var out: [2 * n]f64 = undefined;
    const packed_ = plan.Operand{ .dtype = .float64, .shape = &.{ n, 2 }, .strides = &.{ 2, 1 } };
    const same = plan.Operand{ .dtype = .float64, .shape = &.{ n, 2 }, .strides = &.{ 0, 1 } };
    for ([_]plan.Operand{ packed_, same }) |second| {
        for ([_][]const u8{ "mul", "div" }) |name| {
            const op = for (names, 0..) |x, i| {
                if (std.mem.eql(u8, x, name)) break i;
            } else unreachable;
            var p = plan.testPlan(&.{ packed_, packed_, second }, 1, @intCast(op), &.{}, &.{});
            try prepare(&p);
            defer plan.destroyState(&p);
            var call: Call = .{};
            call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(&a), @ptrCast(&b) };
            p.run(&p, &call);
            for (0..n) |i| {
                const k: usize = if (second.strides[0] == 0) 0 else i;
                const x = std.math.Complex(f64).init(a[2 * i], a[2 * i + 1]);
                const y = std.math.Complex(f64).init(b[2 * k], b[2 * k + 1]);
                const want = if (name[0] == 'm') x.mul(y) else x.div(y);
                try std.testing.expectApproxEqAbs(want.re, out[2 * i], 1e-13);
                try std.testing.expectApproxEqAbs(want.im, out[2 * i + 1], 1e-13);
            }
        }
    }
}

test "short rows that broadcast, into results with gaps" {
    const outer, const middle, const inner = .{ 40, 3, 5 };
    const op = for (names, 0..) |x, i| {
        if (std.mem.eql(u8, x, "make")) break i;
    } else unreachable;
    var re: [outer * inner]f64 = undefined;
    var im: [middle]f64 = undefined;
    for (&re, 0..) |*x, i| x.* = @floatFromInt(i);
    for (&im, 0..) |*x, i| x.* = -@as(f64, @floatFromInt(i));
    for ([_]usize{ inner, inner + 2 }) |row_length| {
        const step: i64 = @intCast(2 * row_length);
        const shape = [_]i64{ outer, middle, inner };
        const operands = [_]plan.Operand{
            .{ .dtype = .float64, .shape = &(shape ++ .{2}), .strides = &.{ middle * step, step, 2, 1 } },
            .{ .dtype = .float64, .shape = &shape, .strides = &.{ inner, 0, 1 } },
            .{ .dtype = .float64, .shape = &shape, .strides = &.{ 0, 1, 0 } },
        };
        var p = plan.testPlan(&operands, 1, @intCast(op), &.{}, &.{});
        try prepare(&p);
        defer plan.destroyState(&p);
        var out: [outer * middle * (inner + 2) * 2]f64 = @splat(7);
        var call: Call = .{};
        call.ptr[0..3].* = .{ @ptrCast(&out), @ptrCast(&re), @ptrCast(&im) };
        p.run(&p, &call);
        for (0..outer * middle) |r| for (0..row_length) |c| {
            const got = out[2 * (r * row_length + c) ..][0..2].*;
            const want: [2]f64 = if (c < inner) .{ re[r / middle * inner + c], im[r % middle] } else .{ 7, 7 };
            try std.testing.expectEqual(want, got);
        };
    }
}
