//! Walking over several strided tensors at once: what the index, gather and scatter
//! families share.
const std = @import("std");
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const DType = dtype.DType;

pub const max_dims = 24;
/// self or values, out, and eight index tensors.
pub const max_tensors = 10;

/// A shape, and for each of `tensors` tensors its strides (in elements) over that shape.
pub fn Space(comptime tensors: usize) type {
    return struct {
        ndim: usize = 0,
        /// Elements in all.
        count: usize = 1,
        shape: [max_dims]usize = undefined,
        strides: [tensors][max_dims]usize = undefined,

        const Self = @This();

        /// Appends one dimension (the innermost so far). Size 1 leaves no trace.
        pub fn add(s: *Self, size: i64, strides: [tensors]i64) error{Unsupported}!void {
            s.count *= @intCast(size);
            if (size == 1) return;
            if (s.ndim == max_dims) return error.Unsupported;
            s.shape[s.ndim] = @intCast(size);
            for (0..tensors) |t| s.strides[t][s.ndim] = @intCast(strides[t]);
            s.ndim += 1;
        }

        /// Largest stride of tensor `t` first, which is free to do where order has no meaning.
        pub fn sortBy(s: *Self, t: usize) void {
            for (1..@max(s.ndim, 1)) |i| {
                var d = i;
                while (d > 0 and s.strides[t][d - 1] < s.strides[t][d]) : (d -= 1) {
                    std.mem.swap(usize, &s.shape[d - 1], &s.shape[d]);
                    for (&s.strides) |*row| std.mem.swap(usize, &row[d - 1], &row[d]);
                }
            }
        }

        /// Merges neighbours that all tensors walk through as one dimension.
        pub fn coalesce(s: *Self) void {
            if (s.ndim == 0) return;
            var last: usize = 0;
            for (1..s.ndim) |d| {
                const mergeable = for (&s.strides) |*row| {
                    if (row[last] != row[d] *% s.shape[d]) break false;
                } else true;
                if (mergeable) {
                    s.shape[last] *= s.shape[d];
                } else {
                    last += 1;
                    s.shape[last] = s.shape[d];
                }
                for (&s.strides) |*row| row[last] = row[d];
            }
            s.ndim = last + 1;
        }

        /// Takes the innermost dimension off.
        pub fn popInner(s: *Self) Inner {
            if (s.ndim == 0) return .{ .size = 1, .strides = @splat(1) };
            s.ndim -= 1;
            var inner: Inner = .{ .size = s.shape[s.ndim], .strides = undefined };
            for (&inner.strides, &s.strides) |*x, *row| x.* = row[s.ndim];
            s.count = 1;
            for (s.shape[0..s.ndim]) |size| s.count *= size;
            return inner;
        }
        pub const Inner = struct { size: usize, strides: [tensors]usize };

        /// The offsets of all tensors at row-major position `at`.
        pub fn walk(s: *const Self, at: usize) Walker {
            var w: Walker = .{ .space = s, .offset = @splat(0), .coord = undefined };
            var rest = at;
            var d = s.ndim;
            while (d > 0) {
                d -= 1;
                w.coord[d] = rest % s.shape[d];
                rest /= s.shape[d];
                for (&w.offset, &s.strides) |*x, *row| x.* += w.coord[d] * row[d];
            }
            return w;
        }

        pub const Walker = struct {
            space: *const Self,
            offset: [tensors]usize,
            coord: [max_dims]usize,

            /// How far the innermost dimension still goes from here.
            pub fn runLeft(w: *const Walker) usize {
                const n = w.space.ndim;
                return if (n == 0) 1 else w.space.shape[n - 1] - w.coord[n - 1];
            }
            /// Goes on by `n` <= runLeft() positions.
            pub fn advance(w: *Walker, n: usize) void {
                const s = w.space;
                var d = s.ndim;
                if (d == 0) return;
                d -= 1;
                w.coord[d] += n;
                for (&w.offset, &s.strides) |*x, *row| x.* += n * row[d];
                while (w.coord[d] == s.shape[d] and d > 0) {
                    for (&w.offset, &s.strides) |*x, *row| x.* -= s.shape[d] * row[d];
                    w.coord[d] = 0;
                    d -= 1;
                    w.coord[d] += 1;
                    for (&w.offset, &s.strides) |*x, *row| x.* += row[d];
                }
            }
        };
    };
}

/// The unsigned integer that moves an element.
pub fn Bits(comptime size: usize) type {
    return @Int(.unsigned, size * 8);
}

/// Widens float16 or bfloat16 in memory to float32 in work.
pub inline fn widen(comptime T: type, x: T) f32 {
    if (T == dtype.BFloat16) return x.toF32();
    if (!has_half_moves) return x;
    // LLVM would insert the bits into what the register had: each conversion would wait for the one before.
    return asm ("vmovd %[bits], %[out]\n\tvcvtph2ps %[out], %[out]"
        : [out] "=x" (-> f32),
        : [bits] "r" (@as(u32, @as(u16, @bitCast(x)))),
    );
}
const has_half_moves = builtin.cpu.arch == .x86_64 and builtin.zig_backend == .stage2_llvm and builtin.cpu.has(.x86, .f16c);

const chunk = 16;

/// to = from, neighbours of float16 or bfloat16.
pub fn widenAll(brain: bool, to: []f32, from: [*]const u16) void {
    var i: usize = 0;
    if (simd.has_fma) while (i + chunk <= to.len) : (i += chunk) {
        const bits: @Vector(chunk, u16) = from[i..][0..chunk].*;
        const x: @Vector(chunk, f32) = if (brain)
            dtype.widenBF16(chunk, bits)
        else
            @floatCast(@as(@Vector(chunk, f16), @bitCast(bits)));
        to[i..][0..chunk].* = x;
    };
    while (i < to.len) : (i += 1) {
        if (simd.has_fma) simd.once();
        to[i] = widenBits(brain, from[i]);
    }
}
/// The same back, rounded.
pub fn narrowAll(brain: bool, to: [*]u16, from: []const f32) void {
    var i: usize = 0;
    if (simd.has_fma) while (i + chunk <= from.len) : (i += chunk) {
        const x: @Vector(chunk, f32) = from[i..][0..chunk].*;
        to[i..][0..chunk].* = if (brain)
            dtype.narrowBF16(chunk, x)
        else
            @as(@Vector(chunk, u16), @bitCast(@as(@Vector(chunk, f16), @floatCast(x))));
    };
    while (i < from.len) : (i += 1) {
        if (simd.has_fma) simd.once();
        to[i] = narrowBits(brain, from[i]);
    }
}
pub inline fn widenBits(brain: bool, x: u16) f32 {
    return if (brain) (dtype.BFloat16{ .bits = x }).toF32() else widen(f16, @bitCast(x));
}
fn narrowBits(brain: bool, x: f32) u16 {
    return if (brain) dtype.BFloat16.fromF32(x).bits else @bitCast(@as(f16, @floatCast(x)));
}

/// A half-precision tensor that is accumulated into, held in float32 while that lasts, so
/// that it is rounded once. `values` is contiguous in the tensor's row-major order.
pub const Staged = struct {
    values: []align(64) f32,
    operand: plan.Operand,
    memory: [*]u16,

    pub fn init(operand: plan.Operand, memory: [*]u16) ?Staged {
        const values = services.allocSlice(f32, operand.numel()) orelse return null;
        const s: Staged = .{ .values = values, .operand = operand, .memory = memory };
        s.move(true);
        return s;
    }
    /// Rounds the sums into the tensor.
    pub fn finish(s: Staged) void {
        s.move(false);
    }
    pub fn deinit(s: Staged) void {
        services.free(@ptrCast(s.values.ptr));
    }
    fn move(s: Staged, in: bool) void {
        var space: Space(1) = .{};
        // Only the plan's own dimensions: their number was checked in prepare.
        for (s.operand.shape, s.operand.strides) |n, st| space.add(n, .{st}) catch return;
        space.coalesce();
        const job: StagedJob = .{ .staged = s, .space = &space, .in = in };
        services.parallelFor(s.values.len, 1 << 14, job, StagedJob.part);
    }
};
const StagedJob = struct {
    staged: Staged,
    space: *const Space(1),
    in: bool,

    fn part(job: *const StagedJob, begin: usize, end: usize) void {
        const space = job.space;
        const brain = job.staged.operand.dtype == .bfloat16;
        const last = space.ndim -| 1;
        const stride = if (space.ndim == 0) 1 else space.strides[0][last];
        var w = space.walk(begin);
        var i = begin;
        while (i < end) {
            const n: usize = @min(w.runLeft(), end - i);
            const values = job.staged.values[i..][0..n];
            const memory = job.staged.memory + w.offset[0];
            if (stride == 1) {
                if (job.in) widenAll(brain, values, memory) else narrowAll(brain, memory, values);
            } else for (values, 0..) |*x, j| {
                const y = &memory[j * stride];
                if (job.in) x.* = widenBits(brain, y.*) else y.* = narrowBits(brain, x.*);
            }
            w.advance(n);
            i += n;
        }
    }
};

/// Row-major strides of `shape`, in `strides`.
pub fn contiguousStrides(shape: []const i64, strides: []i64) void {
    var want: i64 = 1;
    var d = shape.len;
    while (d > 0) {
        d -= 1;
        strides[d] = want;
        want *= shape[d];
    }
}
