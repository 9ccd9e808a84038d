//! Pooling over the last 1 to 3 dimensions. P... are any leading dimensions, one plane each.
//!
//! | row                        | operands (outputs first)                          | ints                            |
//! |----------------------------|---------------------------------------------------|---------------------------------|
//! | max_pool                   | out (P..., *So), indices, x (P..., *S)            | dims, kernel, stride, padding,  |
//! |                            |                                                   | dilation                        |
//! | max_pool_backward          | gx (P..., *S), gout (P..., *So), indices          | dims                            |
//! | max_unpool                 | out (P..., *S), x (P..., *So), indices            | dims                            |
//! | avg_pool                   | out (P..., *So), x (P..., *S)                     | dims, kernel, stride, padding,  |
//! |                            |                                                   | count_include_pad, divisor      |
//! | avg_pool_backward          | gx (P..., *S), gout (P..., *So)                   | as avg_pool                     |
//! | adaptive_avg_pool          | out (P..., *So), x (P..., *S)                     | dims                            |
//! | adaptive_avg_pool_backward | gx (P..., *S), gout (P..., *So)                   | dims                            |
//! | adaptive_max_pool          | out (P..., *So), indices, x (P..., *S)            | dims                            |
//! | fractional_max_pool        | out (P..., *So), indices, x (P..., *S),           | dims, kernel                    |
//! |                            | samples (P..., dims): float32 or float64, gapless |                                 |
//!
//! kernel, stride, padding and dilation are `dims` ints each. divisor: divisor_override, 0 for
//! none. ceil_mode is in the size of the output. Outputs are contiguous and need no clearing;
//! inputs have any strides. The values of a call have one dtype: float16 and bfloat16
//! (computed in float32, rounded once), float32, float64, and in the max rows and max_unpool
//! also the integers. `indices` is int64, of the shape of the pooled side, and counts within
//! the plane of the unpooled one, as torch's do; as an output it may have no address.
//!
//! Special cases, as torch: nan is the maximum; of equal values the first is taken (of nans
//! the last). An index outside of its plane fails with index_out_of_range. max_pool_backward
//! adds where indices meet (so it serves adaptive_max_pool too), max_unpool keeps the last.
//!
//! Bits: sums run over the window in row-major order (avg_pool), or over the outputs in
//! row-major order, each adding its window (backward rows); adaptive_avg_pool adds up the rows of
//! a window, then the sum in fixed lanes. Small planes: pool_lanes.zig. Planes are what threads share.
const std = @import("std");
const DType = @import("../dtype.zig").DType;
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const conv_image = @import("conv_image.zig");
const pool_adaptive = @import("pool_adaptive.zig");
const pool_average = @import("pool_average.zig");
const pool_fractional = @import("pool_fractional.zig");
const pool_lanes = @import("pool_lanes.zig");
const Tensor = conv_image.Tensor;
const Layout = conv_image.Layout;
const Plan = plan.Plan;
const Call = plan.Call;

pub const Row = enum(u32) {
    max_pool,
    max_pool_backward,
    max_unpool,
    avg_pool,
    avg_pool_backward,
    adaptive_avg_pool,
    adaptive_avg_pool_backward,
    adaptive_max_pool,
    fractional_max_pool,

    /// The operands with the larger and the smaller plane: what is pooled, and the result.
    pub fn large(r: Row) usize {
        return switch (r) {
            .max_pool, .adaptive_max_pool, .fractional_max_pool => 2,
            .avg_pool, .adaptive_avg_pool => 1,
            .max_unpool, .max_pool_backward, .avg_pool_backward, .adaptive_avg_pool_backward => 0,
        };
    }
    fn small(r: Row) usize {
        return switch (r) {
            .max_pool, .adaptive_max_pool, .fractional_max_pool, .avg_pool, .adaptive_avg_pool => 0,
            else => 1,
        };
    }
    fn indices(r: Row) ?usize {
        return switch (r) {
            .max_pool, .adaptive_max_pool, .fractional_max_pool => 1,
            .max_pool_backward, .max_unpool => 2,
            else => null,
        };
    }
};
pub const names: []const []const u8 = std.meta.fieldNames(Row);
pub const family: plan.Family = .{ .prepare = prepare };

pub const State = struct {
    planes: usize,
    in: [3]usize,
    out: [3]usize,
    kernel: [3]usize = @splat(1),
    stride: [3]usize = @splat(1),
    padding: [3]usize = @splat(0),
    dilation: [3]usize = @splat(1),
    count_include_pad: bool = false,
    divisor: i64 = 0,
    /// Operands without gaps, by their number's bit.
    contiguous: u8 = 0,

    /// The large plane with what its windows reach beyond it; columns by remainder.
    pub fn layout(s: *const State) Layout {
        var l: Layout = .{ .left = undefined, .size = undefined, .phases = s.stride[2] };
        for (0..3) |d| {
            l.left[d] = @intCast(s.padding[d]);
            const reach = (s.out[d] -| 1) * s.stride[d] + (s.kernel[d] - 1) * s.dilation[d] + 1;
            l.size[d] = @max(reach, s.in[d] + s.padding[d]);
        }
        return l;
    }
};

fn prepare(p: *Plan) plan.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    const d = p.operands[0].dtype;
    if (d == .bool or p.ints[0] < 1 or p.ints[0] > 3) return error.Unsupported;
    for (p.operands, 0..) |o, i| {
        if (i == row.indices()) {
            if (o.dtype != .int64 and o.ndim() != 0) return error.Unsupported;
        } else if (o.dtype != d) return error.Unsupported;
    }
    const averages = switch (row) {
        .avg_pool, .avg_pool_backward, .adaptive_avg_pool, .adaptive_avg_pool_backward => true,
        else => false,
    };
    if (averages and !d.isFloat()) return error.Unsupported;
    const s = try p.create(State);
    const dims: usize = @intCast(p.ints[0]);
    const large = p.operands[row.large()];
    const small = p.operands[row.small()];
    s.* = .{ .planes = 1, .in = @splat(1), .out = @splat(1) };
    for (p.operands, 0..) |o, i| {
        if (o.isContiguous()) s.contiguous |= @as(u8, 1) << @intCast(i);
    }
    const lead = large.ndim() - dims;
    for (0..lead) |i| s.planes *= @intCast(large.shape[i]);
    for (0..dims) |i| {
        const k = 3 - dims + i;
        s.in[k] = @intCast(large.shape[lead + i]);
        s.out[k] = @intCast(small.shape[lead + i]);
        if (row != .max_pool and row != .avg_pool and row != .avg_pool_backward and row != .fractional_max_pool) continue;
        s.kernel[k] = @intCast(p.ints[1 + i]);
        if (row == .fractional_max_pool) continue;
        s.stride[k] = @intCast(p.ints[1 + dims + i]);
        s.padding[k] = @intCast(p.ints[1 + 2 * dims + i]);
        if (row == .max_pool) s.dilation[k] = @intCast(p.ints[1 + 3 * dims + i]);
    }
    if (row == .avg_pool or row == .avg_pool_backward) {
        s.count_include_pad = p.ints[1 + 3 * dims] != 0;
        s.divisor = p.ints[2 + 3 * dims];
    }
    if (row == .fractional_max_pool) {
        if (s.contiguous != 15 and (s.contiguous != 13 or p.operands[1].ndim() != 0)) return error.Unsupported;
        p.run = switch (d) {
            .float32 => &pool_fractional.Fractional(f32).run,
            .float64 => &pool_fractional.Fractional(f64).run,
            else => return error.Unsupported,
        };
        return;
    }
    p.run = switch (d) {
        .float16, .bfloat16, .float32 => Pool(f32).run,
        .float64 => Pool(f64).run,
        .int64 => Pool(i64).run,
        else => Pool(i32).run,
    };
}

/// Plane `number` of operand i, as a tensor of three spatial dimensions.
pub fn planeOf(p: *const Plan, call: *const Call, i: usize, number: usize) Tensor {
    const o = p.operands[i];
    const dims: usize = @intCast(p.ints[0]);
    const lead = o.ndim() - dims;
    var t: Tensor = .{
        .ptr = call.ptr[i].?,
        .dtype = o.dtype,
        .image = 0,
        .channel = 0,
        .step = @splat(0),
        .size = @splat(1),
    };
    for (0..dims) |k| {
        t.step[3 - dims + k] = @intCast(o.strides[lead + k]);
        t.size[3 - dims + k] = @intCast(o.shape[lead + k]);
    }
    var rest = number;
    var d = lead;
    var offset: usize = 0;
    if (p.stateAs(State).contiguous >> @intCast(i) & 1 != 0) {
        offset = number * product(t.size);
        d = 0;
    }
    while (d > 0) {
        d -= 1;
        const size: usize = @intCast(o.shape[d]);
        offset += rest % size * @as(usize, @intCast(o.strides[d]));
        rest /= size;
    }
    t.ptr += offset * o.dtype.size();
    return t;
}

pub fn product(sizes: [3]usize) usize {
    return sizes[0] * sizes[1] * sizes[2];
}

pub fn Pool(comptime T: type) type {
    return struct {
        const Images = conv_image.Images(T);
        const Adaptive = pool_adaptive.Adaptive(T);
        const Average = pool_average.Average(T);
        const W = simd.lanes(T);
        const V = simd.Vec(T);
        const I = @Vector(W, i64);
        const is_float = @typeInfo(T) == .float;
        pub const lowest: T = if (is_float) -std.math.inf(T) else std.math.minInt(T);
        pub const native: DType = switch (T) {
            f32 => .float32,
            f64 => .float64,
            i32 => .int32,
            i64 => .int64,
            else => unreachable,
        };
        pub const Failure = error{OutOfMemory};
        pub const Job = struct { p: *const Plan, s: *const State, call: *Call, row: Row };

        fn run(p: *const Plan, call: *Call) void {
            const s = p.stateAs(State);
            const row: Row = @fromBackingInt(p.op);
            const numel = p.operands[0].numel();
            if (numel == 0) return;
            // Of an empty side there is nothing to read.
            if (product(s.in) * product(s.out) == 0) {
                return @memset(call.ptr[0].?[0 .. numel * p.operands[0].dtype.size()], 0);
            }
            const job: Job = .{ .p = p, .s = s, .call = call, .row = row };
            const cost = 2 * product(s.in) + product(s.out) * (1 + product(s.kernel));
            services.parallelFor(s.planes, gemm.grain(2 * gemm.piece_packed, cost), job, planes);
        }

        fn planes(job: *const Job, begin: usize, end: usize) void {
            const done = if (T == f32 and simd.has_fma and pool_lanes.fits(job))
                pool_lanes.planes(job, begin, end)
            else switch (job.row) {
                .max_pool => maxPlanes(job, begin, end),
                .max_pool_backward => scatterPlanes(job, begin, end, true),
                .max_unpool => scatterPlanes(job, begin, end, false),
                .adaptive_max_pool => Adaptive.maxPlanes(job, begin, end),
                .avg_pool => if (is_float) Average.planes(job, begin, end),
                .avg_pool_backward => if (is_float) Average.backward(job, begin, end),
                .adaptive_avg_pool => if (is_float) Adaptive.averagePlanes(job, begin, end),
                .adaptive_avg_pool_backward => if (is_float) Adaptive.backward(job, begin, end),
                .fractional_max_pool => unreachable,
            };
            done catch job.call.fail(.out_of_memory, .{ 0, 0, 0 });
        }

        pub fn alloc(comptime E: type, n: usize) Failure![]align(64) E {
            return services.allocSlice(E, n) orelse error.OutOfMemory;
        }

        /// Where plane `number` of the contiguous operand i begins.
        pub fn output(job: *const Job, i: usize, number: usize, size: [3]usize) [*]u8 {
            return job.call.ptr[i].? + number * product(size) * job.p.operands[i].dtype.size();
        }

        /// The plane as contiguous E: in place, or copied into `buffer`.
        pub fn contiguous(comptime E: type, d: DType, t: Tensor, buffer: [*]E) [*]const E {
            var want: usize = 1;
            var even = t.dtype == d;
            for ([_]usize{ 2, 1, 0 }) |k| {
                if (t.size[k] != 1 and t.step[k] != want) even = false;
                want *= t.size[k];
            }
            if (even) return @ptrCast(@alignCast(t.ptr));
            const layout: Layout = .{ .left = @splat(0), .size = t.size };
            conv_image.Images(E).stageChannel(t, layout, t.ptr, buffer, 0);
            return buffer;
        }

        /// Where windows are read: from a staged plane, or (in float32) from the plane itself, whose columns
        /// are read one or two apart.
        pub const Reading = enum { staged, every, every_second };
        pub const readings: []const Reading = if (reads_in_place) &.{ .staged, .every, .every_second } else &.{.staged};
        const reads_in_place = T == f32 and simd.has_fma;

        pub fn readingOf(s: *const State, p: *const Plan, i: usize) Reading {
            if (!reads_in_place or p.operands[i].dtype != native or s.contiguous >> @intCast(i) & 1 == 0) return .staged;
            const size = s.layout().size;
            for (s.padding, size, s.in) |padding, n, in| if (padding != 0 or n != in) return .staged;
            if (s.out[2] < W or s.stride[2] > 2) return .staged;
            return if (s.stride[2] == 1) .every else .every_second;
        }

        /// Column `c` of the windows from o2 on, in a row of the plane as it is read.
        pub inline fn read(comptime reading: Reading, layout: Layout, row: [*]const T, o2: usize, c: usize) V {
            return switch (reading) {
                .staged => simd.load(T, row + layout.column(c) + o2),
                .every => simd.load(T, row + o2 + c),
                .every_second => Images.everySecond(W, row + 2 * o2 + c),
            };
        }

        /// to[at..][0..n] = x[0..n], rounded to `d`.
        pub inline fn putVector(d: DType, to: [*]u8, at: usize, x: [W]T, n: usize) void {
            if (d == native and n == W) {
                @as([*]T, @ptrCast(@alignCast(to)))[at..][0..W].* = x;
            } else pack.store(T, d, to + at * d.size(), &x, n);
        }

        // --- max_pool -----------------------------------------------------------------------

        fn maxPlanes(job: *const Job, begin: usize, end: usize) Failure!void {
            const s = job.s;
            const reading = readingOf(s, job.p, 2);
            var layout = s.layout();
            if (reading != .staged) layout.phases = 1;
            const staged = try alloc(T, layout.channel() + conv_image.slack);
            defer services.free(@ptrCast(staged.ptr));
            const padded = (s.out[2] + W - 1) / W * W;
            const columns = try alloc(i64, 2 * padded);
            defer services.free(@ptrCast(columns.ptr));
            // Of each output column: the window's first column (before the plane, perhaps),
            // and the first one within the plane.
            const window = columns[0..padded];
            const inside = columns[padded..];
            const lines = try alloc(Line, s.kernel[0] * s.kernel[1]);
            defer services.free(@ptrCast(lines.ptr));
            for (window, inside, 0..) |*w, *f, o| {
                w.* = @as(i64, @intCast(o * s.stride[2])) - @as(i64, @intCast(s.padding[2]));
                f.* = firstInside(w.*, s.dilation[2]);
            }
            for (begin..end) |number| {
                const x = planeOf(job.p, job.call, 2, number);
                var plane: [*]const T = staged.ptr;
                if (reading == .staged) {
                    Images.stageChannel(x, layout, x.ptr, staged.ptr, lowest);
                } else plane = @ptrCast(@alignCast(x.ptr));
                const values = output(job, 0, number, s.out);
                const indices: ?[*]i64 = if (job.call.ptr[1] == null)
                    null
                else
                    @ptrCast(@alignCast(output(job, 1, number, s.out)));
                for (0..s.out[0]) |o0| for (0..s.out[1]) |o1| {
                    const at = (o0 * s.out[1] + o1) * s.out[2];
                    const to = values + at * x.dtype.size();
                    const to_indices = if (indices) |i| i + at else null;
                    inline for (readings) |known| inline for (.{ false, true }) |indexed| {
                        if (known == reading and indexed == (indices != null)) maxRow(
                            known,
                            indexed,
                            s,
                            layout,
                            plane,
                            .{ o0, o1 },
                            window,
                            inside,
                            lines,
                            x.dtype,
                            to,
                            to_indices,
                        );
                    };
                };
            }
        }

        fn firstInside(start: i64, dilation: usize) i64 {
            if (start >= 0) return start;
            return @mod(start, @as(i64, @intCast(dilation)));
        }

        /// A row of the plane under a window, and the index of its first column.
        const Line = struct { row: [*]const T, base: i64 };

        /// One row of outputs. The padding holds the lowest value, which never wins.
        fn maxRow(
            comptime reading: Reading,
            comptime indexed: bool,
            s: *const State,
            layout: Layout,
            plane: [*]const T,
            o: [2]usize,
            window: []const i64,
            inside: []const i64,
            lines: []Line,
            d: DType,
            values: [*]u8,
            indices: ?[*]i64,
        ) void {
            var start: [2]i64 = undefined;
            for (0..2) |k| start[k] = @as(i64, @intCast(o[k] * s.stride[k])) - @as(i64, @intCast(s.padding[k]));
            const height: i64 = @intCast(s.in[1]);
            const width: i64 = @intCast(s.in[2]);
            const first = firstInside(start[0], s.dilation[0]) * height + firstInside(
                start[1],
                s.dilation[1],
            );
            var met: usize = 0;
            for (0..s.kernel[0]) |k0| for (0..s.kernel[1]) |k1| {
                const x0 = start[0] + @as(i64, @intCast(k0 * s.dilation[0]));
                const x1 = start[1] + @as(i64, @intCast(k1 * s.dilation[1]));
                if (x0 < 0 or x0 >= s.in[0] or x1 < 0 or x1 >= s.in[1]) continue;
                const line = (o[0] * s.stride[0] + k0 * s.dilation[0]) * layout.size[1] +
                    o[1] * s.stride[1] + k1 * s.dilation[1];
                lines[met] = .{ .row = plane + line * layout.row(), .base = (x0 * height + x1) * width };
                met += 1;
            };
            var from: usize = 0;
            while (from < s.out[2]) : (from += W) {
                // In place, the last vector overlaps the one before.
                const o2 = if (reading == .staged) from else @min(from, s.out[2] - W);
                var best: V = @splat(lowest);
                var which: I = @as(I, @splat(first * width)) + @as(I, inside[o2..][0..W].*);
                const columns: I = window[o2..][0..W].*;
                for (lines[0..met]) |line| for (0..s.kernel[2]) |k2| {
                    const c = k2 * s.dilation[2];
                    const v = read(reading, layout, line.row, o2, c);
                    const wins = if (is_float) (v > best) | (v != v) else v > best;
                    best = @select(T, wins, v, best);
                    if (!indexed) continue;
                    const here = columns + @as(I, @splat(line.base + @as(i64, @intCast(c))));
                    which = @select(i64, wins, here, which);
                };
                const n = @min(W, s.out[2] - o2);
                putVector(d, values, o2, best, n);
                if (!indexed) continue;
                const out_indices: [W]i64 = which;
                @memcpy(indices.?[o2..][0..n], out_indices[0..n]);
            }
        }

        // --- max_pool_backward, max_unpool ------------------------------------------------------

        fn scatterPlanes(
            job: *const Job,
            begin: usize,
            end: usize,
            comptime adds: bool,
        ) Failure!void {
            const s = job.s;
            const small = product(s.out);
            const large = product(s.in);
            const d = job.p.operands[0].dtype;
            const from_buffer = try alloc(T, small);
            defer services.free(@ptrCast(from_buffer.ptr));
            const index_buffer = try alloc(i64, small);
            defer services.free(@ptrCast(index_buffer.ptr));
            const sum_buffer = try alloc(T, if (d == native) 0 else large);
            defer services.free(@ptrCast(sum_buffer.ptr));
            for (begin..end) |number| {
                const from = contiguous(
                    T,
                    native,
                    planeOf(job.p, job.call, 1, number),
                    from_buffer.ptr,
                );
                const index = contiguous(
                    i64,
                    .int64,
                    planeOf(job.p, job.call, 2, number),
                    index_buffer.ptr,
                );
                const out = output(job, 0, number, s.in);
                const sums: [*]T = if (d == native) @ptrCast(@alignCast(out)) else sum_buffer.ptr;
                @memset(sums[0..large], 0);
                for (0..small) |i| {
                    const at = index[i];
                    if (at < 0 or at >= large) {
                        job.call.fail(.index_out_of_range, .{ at, @intCast(large), 0 });
                        continue;
                    }
                    const to = &sums[@intCast(at)];
                    to.* = if (!adds) from[i] else if (is_float) to.* + from[i] else to.* +% from[i];
                }
                if (d != native) pack.store(T, d, out, sums, large);
            }
        }
    };
}

test {
    _ = @import("pool_test.zig");
    _ = pool_fractional;
}
