//! Operands as one long row-major sequence, whatever their strides and dtype: kernels ask for
//! a run of it and get a pointer to packed elements of their compute type, into the operand's
//! own memory when that is what it holds.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const stage = @import("reduce_stage.zig");
const DType = @import("../dtype.zig").DType;

pub const Logical = struct {
    dtype: DType,
    contiguous: bool,
    outer: stage.Dims,
    inner: stage.Dim,

    pub fn init(o: plan.Operand) error{Unsupported}!Logical {
        var l: Logical = .{
            .dtype = o.dtype,
            .contiguous = o.isContiguous(),
            .outer = .{},
            .inner = .{ .size = o.numel(), .stride = 1 },
        };
        if (l.contiguous) return l;
        for (o.shape, o.strides) |size, stride| try l.outer.append(.{
            .size = @intCast(size),
            .stride = @intCast(stride),
        });
        l.outer.coalesce();
        l.inner = l.outer.pop();
        return l;
    }

    /// Whether `read` and `place` give the operand's own memory.
    pub inline fn direct(l: *const Logical, comptime T: type) bool {
        return l.contiguous and l.dtype == stage.native(T);
    }

    /// Elements [start, start + n), in the operand's memory or copied to `buffer`.
    pub inline fn read(
        l: *const Logical,
        comptime T: type,
        base: [*]const u8,
        start: usize,
        n: usize,
        buffer: [*]T,
    ) [*]const T {
        if (l.direct(T)) return @ptrCast(@alignCast(base + start * @sizeOf(T)));
        l.copy(T, base, start, n, buffer);
        return buffer;
    }
    noinline fn copy(
        l: *const Logical,
        comptime T: type,
        base: [*]const u8,
        start: usize,
        n: usize,
        buffer: [*]T,
    ) void {
        const size = l.dtype.size();
        if (l.contiguous) return stage.load(T, l.dtype, base + start * size, n, 1, buffer, 1);
        var done: usize = 0;
        while (done < n) {
            const column = (start + done) % l.inner.size;
            const m = @min(n - done, l.inner.size - column);
            const o = l.outer.at((start + done) / l.inner.size).in + column * l.inner.stride;
            stage.load(T, l.dtype, base + o * size, m, l.inner.stride, buffer + done, 1);
            done += m;
        }
    }

    /// Where elements from `start` on are to be written: the operand's memory, or `buffer`,
    /// which `write` then takes there.
    pub inline fn place(
        l: *const Logical,
        comptime T: type,
        base: [*]u8,
        start: usize,
        buffer: [*]T,
    ) [*]T {
        if (!l.direct(T)) return buffer;
        return @ptrCast(@alignCast(base + start * @sizeOf(T)));
    }

    pub inline fn write(
        l: *const Logical,
        comptime T: type,
        base: [*]u8,
        start: usize,
        n: usize,
        src: [*]const T,
    ) void {
        if (l.direct(T) and @intFromPtr(base + start * @sizeOf(T)) == @intFromPtr(src)) return;
        l.paste(T, base, start, n, src);
    }
    noinline fn paste(
        l: *const Logical,
        comptime T: type,
        base: [*]u8,
        start: usize,
        n: usize,
        src: [*]const T,
    ) void {
        const size = l.dtype.size();
        if (l.contiguous) return stage.store(T, l.dtype, src, 1, n, base + start * size, 1);
        var done: usize = 0;
        while (done < n) {
            const column = (start + done) % l.inner.size;
            const m = @min(n - done, l.inner.size - column);
            const o = l.outer.at((start + done) / l.inner.size).in + column * l.inner.stride;
            stage.store(T, l.dtype, src + done, 1, m, base + o * size, l.inner.stride);
            done += m;
        }
    }
};

/// A virtual vector of which `left` lanes are there to read; `fill` in the others.
pub inline fn part(comptime T: type, p: [*]const T, left: usize, fill: T) simd.Vec(T) {
    return if (left >= simd.lanes(T)) simd.load(T, p) else simd.loadPart(T, p, left, fill);
}
/// The first `left` lanes of v, 0 in the others.
pub inline fn only(comptime T: type, left: usize, v: simd.Vec(T)) simd.Vec(T) {
    if (left >= simd.lanes(T)) return v;
    return @select(T, simd.firstLanes(T, left), v, @as(simd.Vec(T), @splat(0)));
}
pub inline fn put(comptime T: type, p: [*]T, left: usize, v: simd.Vec(T)) void {
    if (left >= simd.lanes(T)) simd.store(T, p, v) else simd.storePart(T, p, left, v);
}

/// Working memory of one kernel call or piece, cut into slices of T that begin on 64 bytes.
pub fn Scratch(comptime T: type) type {
    return struct {
        memory: []align(64) T,
        used: usize = 0,

        const services = @import("../services.zig");
        const Self = @This();

        /// Room for `count` slices of `n` each.
        pub fn init(count: usize, n: usize) ?Self {
            const size = count * padded(n);
            if (size == 0) return .{ .memory = &.{} };
            return .{ .memory = services.allocSlice(T, size) orelse return null };
        }
        pub fn deinit(s: Self) void {
            if (s.memory.len > 0) services.free(@ptrCast(s.memory.ptr));
        }
        pub fn take(s: *Self, n: usize) [*]T {
            defer s.used += padded(n);
            std.debug.assert(s.used + n <= s.memory.len);
            return s.memory.ptr + s.used;
        }
        fn padded(n: usize) usize {
            return std.mem.alignForward(usize, n, simd.lanes(T));
        }
    };
}

test "runs of any layout, there and back" {
    const testing = @import("reduce_testing.zig");
    var generator: std.Random.DefaultPrng = .init(1);
    for (std.enums.values(testing.Layout)) |layout| for ([_]DType{ .float32, .bfloat16 }) |dtype| {
        const t = try testing.Tensor.init(dtype, &.{ 4, 3, 5 }, layout, generator.random(), 1);
        defer t.deinit();
        const l: Logical = try .init(t.operand());
        var buffer: [60]f32 = undefined;
        for ([_][2]usize{ .{ 0, 60 }, .{ 7, 23 }, .{ 59, 1 } }) |range| {
            const p = l.read(f32, t.bytes.ptr, range[0], range[1], &buffer);
            for (0..range[1]) |i| try std.testing.expectEqual(t.as(f32, range[0] + i), p[i]);
            if (layout == .broadcast) continue;
            const q = l.place(f32, t.bytes.ptr, range[0], &buffer);
            for (0..range[1]) |i| q[i] = @floatFromInt(i);
            l.write(f32, t.bytes.ptr, range[0], range[1], q);
            for (0..range[1]) |i| {
                const expected: f64 = @floatFromInt(i);
                try std.testing.expectEqual(expected, t.at(range[0] + i));
            }
        }
    };
}
