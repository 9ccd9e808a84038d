//! Products of complex numbers: pairs of float32 or float64, along a last dimension of 2. Along a
//! run a vector has neighbours, multiplied by halves at its end; else it has columns. What is long
//! is cut into blocks whose products are multiplied in their order. A row of the scans, as their
//! code is small.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const services = @import("../services.zig");
const reduction = @import("reduction.zig");
const Call = plan.Call;

/// Vectors that are multiplied side by side, as each waits for its product.
const many = 4;
/// Numbers that a result is made of at a time.
const block = 4096;

/// The products of `width` columns, each of n pairs, `stride` from one another.
const Kernel = *const fn (x: [*]const u8, n: usize, stride: usize, width: usize, out: [*]u8) void;

const Job = struct {
    r: *const reduction.Reduction,
    x: [*]const u8,
    kernel: Kernel,
    /// Bytes of a part of a number.
    part: usize,
    /// Columns that are computed together, and how often the innermost dimension has them.
    width: usize,
    beside: usize,
    blocks_in_run: usize,
    /// (blocks, results): where there is one block, the output.
    out: [*]u8,
    blocks: usize,
};

/// `ints`: the dimensions that are reduced, as reduce.zig has them; there is something to multiply.
pub fn prepare(p: *plan.Plan) plan.PrepareError!void {
    var x = p.inputs()[0];
    x.shape = x.shape[0 .. x.shape.len - 1];
    x.strides = x.strides[0..x.shape.len];
    const r = try p.create(reduction.Reduction);
    r.length = 1;
    r.results = 1;
    r.arg = false;
    r.kept = .{};
    r.reduced = .{};
    try @import("reduce.zig").describe(r, x, p.ints);
    p.run = run;
}

fn run(p: *const plan.Plan, call: *Call) void {
    const r = p.stateAs(reduction.Reduction);
    if (r.results == 0) return;
    const size = r.inner_kept.size;
    const single = p.operands[0].dtype == .float32;
    const part: usize = if (single) 4 else 8;
    const widest = many * 32 / part;
    const columns = simd.has_fma and r.inner_kept.stride == 2 and r.inner_kept.out == 1 and
        size * many >= widest and r.inner_reduced.stride != 2;
    const width = if (columns) @min(size, widest) else 1;
    const blocks_in_run = (r.inner_reduced.size + block - 1) / block;
    var job: Job = .{
        .r = r,
        .x = call.ptr[1].?,
        .kernel = if (single) Products(f32).columns else Products(f64).columns,
        .part = part,
        .width = width,
        .beside = (size + width - 1) / width,
        .blocks_in_run = blocks_in_run,
        .out = call.ptr[0].?,
        .blocks = r.reduced.numel() * blocks_in_run,
    };
    if (job.blocks > 1) job.out = @ptrCast((services.allocSlice([2]f64, job.blocks * r.results) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 })).ptr);
    const each: usize = @min(block, r.inner_reduced.size) * width;
    const groups = r.kept.numel() * job.beside;
    services.parallelFor(groups * job.blocks, @max(1, reduction.work_size / 4 / each), job, piece);
    if (job.blocks == 1) return;
    for (0..r.results) |i| {
        const at = 2 * i * part;
        job.kernel(job.out + at, job.blocks, 2 * r.results, 1, call.ptr[0].? + at);
    }
    services.free(@ptrCast(@alignCast(job.out)));
}

fn piece(job: *const Job, begin: usize, end: usize) void {
    const r = job.r;
    const stride = r.inner_reduced.stride;
    const outers = r.kept.numel();
    for (begin..end) |unit| {
        // Most often there is one block, and no outer dimension.
        const number = if (job.blocks == 1) 0 else unit / (outers * job.beside);
        const group = unit - number * outers * job.beside;
        const outer = if (outers == 1) 0 else group / job.beside;
        // The last columns are as many as the others.
        const column = @min((group - outer * job.beside) * job.width, r.inner_kept.size - job.width);
        const o = r.kept.at(outer);
        var at = o.in + column * r.inner_kept.stride;
        var n = r.inner_reduced.size;
        if (job.blocks > 1) {
            const first = number % job.blocks_in_run * block;
            at += r.reduced.at(number / job.blocks_in_run).in + first * stride;
            n = @min(n - first, block);
        }
        const to = 2 * (number * r.results + o.out + column * r.inner_kept.out);
        job.kernel(job.x + at * job.part, n, stride, job.width, job.out + to * job.part);
    }
}

fn Products(comptime T: type) type {
    const lanes = 32 / @sizeOf(T);

    return struct {
        fn columns(x: [*]const u8, n: usize, stride: usize, width: usize, out: [*]u8) void {
            const from: [*]const T = @ptrCast(@alignCast(x));
            const to: [*]T = @ptrCast(@alignCast(out));
            if (simd.has_fma and width > 1) return acrossRows(from, n, stride, width, to);
            const total = if (simd.has_fma and stride == 2 and n >= 2 * lanes) alongRun(from, n) else chain(from, n, stride);
            to[0], to[1] = .{ total.re, total.im };
        }

        /// Complex numbers, n of them, or one.
        fn Numbers(comptime n: comptime_int) type {
            return struct {
                re: V,
                im: V,

                const V = if (n == 1) T else @Vector(n, T);
                const Self = @This();

                inline fn times(a: Self, b: Self) Self {
                    return .{
                        .re = simd.fma(V, a.re, b.re, -(a.im * b.im)),
                        .im = simd.fma(V, a.re, b.im, a.im * b.re),
                    };
                }
            };
        }
        const One = Numbers(1);
        const Many = Numbers(lanes);

        /// The product of n pairs, `stride` from one another.
        fn chain(x: [*]const T, n: usize, stride: usize) One {
            var total: One = .{ .re = x[0], .im = x[1] };
            for (1..n) |i| total = total.times(.{ .re = x[i * stride], .im = x[i * stride + 1] });
            return total;
        }

        /// Which of two vectors of pairs are real (the others are at + 1): in an order that takes
        /// one instruction, within 16 bytes.
        const real: [lanes]i32 = blk: {
            var from: [lanes]i32 = undefined;
            const quarter = 16 / @sizeOf(T);
            for (&from, 0..) |*f, k| {
                const at = k / quarter * quarter + k % (quarter / 2) * 2;
                f.* = if (k % quarter < quarter / 2) at else ~@as(i32, at);
            }
            break :blk from;
        };
        const imaginary: [lanes]i32 = blk: {
            var from = real;
            for (&from) |*f| f.* += if (f.* < 0) -1 else 1;
            break :blk from;
        };
        inline fn load(x: [*]const T) Many {
            const a: @Vector(lanes, T) = x[0..lanes].*;
            const b: @Vector(lanes, T) = x[lanes..][0..lanes].*;
            return .{ .re = @shuffle(T, a, b, real), .im = @shuffle(T, a, b, imaginary) };
        }
        inline fn store(x: [*]T, v: Many) void {
            // The way back: which of `real` has this one
            comptime var low: [lanes]i32 = undefined;
            comptime var high: [lanes]i32 = undefined;
            inline for (0..lanes) |k| {
                const f = real[k];
                const to = if (f < 0) &high else &low;
                const at = if (f < 0) ~f else f;
                to[at] = k;
                to[at + 1] = ~@as(i32, k);
            }
            x[0..lanes].* = @shuffle(T, v.re, v.im, low);
            x[lanes..][0..lanes].* = @shuffle(T, v.re, v.im, high);
        }

        /// The product of n neighbours.
        fn alongRun(x: [*]const T, n: usize) One {
            var acc: [many]Many = @splat(.{ .re = @splat(1), .im = @splat(0) });
            var i: usize = 0;
            while (i + many * lanes <= n) : (i += many * lanes) {
                inline for (&acc, 0..) |*a, k| a.* = a.times(load(x + 2 * (i + k * lanes)));
            }
            while (i + lanes <= n) : (i += lanes) acc[0] = acc[0].times(load(x + 2 * i));
            const total = halves(lanes, acc[0].times(acc[1]).times(acc[2].times(acc[3])));
            return if (i < n) total.times(chain(x + 2 * i, n - i, 2)) else total;
        }
        inline fn halves(comptime n: comptime_int, v: Numbers(n)) One {
            const half = n / 2;
            if (n == 2) return (One{ .re = v.re[0], .im = v.im[0] }).times(.{ .re = v.re[1], .im = v.im[1] });
            const low = simd.iota(half, i32);
            const high = low + @as(@Vector(half, i32), @splat(half));
            const a: Numbers(half) = .{ .re = @shuffle(T, v.re, undefined, low), .im = @shuffle(T, v.im, undefined, low) };
            return halves(half, a.times(.{ .re = @shuffle(T, v.re, undefined, high), .im = @shuffle(T, v.im, undefined, high) }));
        }

        /// The products of `width` columns, each of n numbers.
        fn acrossRows(x: [*]const T, n: usize, stride: usize, width: usize, out: [*]T) void {
            var from: [many]usize = undefined;
            for (&from, 0..) |*f, k| f.* = 2 * @min(k * lanes, width - lanes);
            const starts = from;
            var acc: [many]Many = undefined;
            inline for (&acc, starts) |*a, f| a.* = load(x + f);
            for (1..n) |i| {
                inline for (&acc, starts) |*a, f| a.* = a.times(load(x + i * stride + f));
            }
            inline for (acc, starts) |a, f| store(out + f, a);
        }
    };
}

test {
    _ = @import("reduce_products_test.zig");
}
