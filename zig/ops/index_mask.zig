//! Where a tensor is not zero: counted and listed in blocks of fixed length, in row-major
//! order, so that threads may take the blocks in any order.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const index_space = @import("index_space.zig");
const Call = planning.Call;
const Operand = planning.Operand;

pub const block: usize = 4096;

pub const Mask = struct {
    space: index_space.Space(1) = .{},
    size: usize,
    /// Bits to shift out before the test: the sign of a float, whose -0 is zero.
    shift: u1,

    pub fn init(o: Operand) error{Unsupported}!Mask {
        var m: Mask = .{ .size = o.dtype.size(), .shift = @intFromBool(o.dtype.isFloat()) };
        for (o.shape, o.strides) |n, s| try m.space.add(n, .{s});
        m.space.coalesce();
        return m;
    }

    pub fn blocks(m: *const Mask) usize {
        return std.math.divCeil(usize, m.space.count, block) catch unreachable;
    }

    pub fn count(m: *const Mask, memory: ?[*]u8) usize {
        if (m.space.count == 0) return 0;
        var total: std.atomic.Value(usize) = .init(0);
        const Job = struct {
            mask: *const Mask,
            memory: [*]u8,
            total: *std.atomic.Value(usize),

            fn part(job: *const @This(), begin: usize, end: usize) void {
                var sum: usize = 0;
                var flags: [block]u8 = undefined;
                for (begin..end) |b| sum += countFlags(job.mask.read(job.memory, b, &flags));
                _ = job.total.fetchAdd(sum, .monotonic);
            }
        };
        const job: Job = .{ .mask = m, .memory = memory.?, .total = &total };
        services.parallelFor(m.blocks(), 8, job, Job.part);
        return total.load(.monotonic);
    }

    /// Counts every block. Null: out of memory or not `expected` in all; the call has failed.
    pub fn locate(m: *const Mask, call: *Call, memory: ?[*]u8, expected: ?usize) ?Found {
        const n = m.blocks();
        const before = services.allocSlice(usize, n + 1) orelse {
            call.fail(.out_of_memory, .{ @intCast((n + 1) * 8), 0, 0 });
            return null;
        };
        const found: Found = .{ .mask = m, .memory = memory orelse undefined, .before = before };
        const Job = struct {
            found: Found,
            fn part(job: *const @This(), begin: usize, end: usize) void {
                var flags: [block]u8 = undefined;
                const f = job.found;
                for (begin..end) |b| f.before[b] = countFlags(f.mask.read(f.memory, b, &flags));
            }
        };
        services.parallelFor(n, 8, Job{ .found = found }, Job.part);
        var sum: usize = 0;
        for (before[0..n]) |*x| {
            const here = x.*;
            x.* = sum;
            sum += here;
        }
        before[n] = sum;
        const wanted = expected orelse return found;
        if (sum == wanted) return found;
        call.fail(.invalid_value, .{ @intCast(sum), @intCast(wanted), 0 });
        found.deinit();
        return null;
    }

    /// 1 for each element of block `b` that is not zero, else 0.
    fn read(m: *const Mask, memory: [*]u8, b: usize, flags: *[block]u8) []const u8 {
        return switch (m.size) {
            1 => m.readAs(u8, memory, b, flags),
            2 => m.readAs(u16, memory, b, flags),
            4 => m.readAs(u32, memory, b, flags),
            else => m.readAs(u64, memory, b, flags),
        };
    }
    fn readAs(
        m: *const Mask,
        comptime T: type,
        memory: [*]u8,
        b: usize,
        flags: *[block]u8,
    ) []const u8 {
        const data: [*]const T = @ptrCast(@alignCast(memory));
        const begin = b * block;
        const length: usize = @min(block, m.space.count - begin);
        const stride = if (m.space.ndim == 0) 1 else m.space.strides[0][m.space.ndim - 1];
        var w = m.space.walk(begin);
        var done: usize = 0;
        while (done < length) {
            const n: usize = @min(w.runLeft(), length - done);
            const from = data + w.offset[0];
            var i: usize = 0;
            if (stride == 1) {
                const V = @Vector(32, T);
                const ones: @Vector(32, u8) = @splat(1);
                const zeros: @Vector(32, u8) = @splat(0);
                while (i + 32 <= n) : (i += 32) {
                    const x: V = from[i..][0..32].*;
                    const bits = if (m.shift == 1) x << @splat(1) else x;
                    const zero = bits == @as(V, @splat(0));
                    flags[done + i ..][0..32].* = @select(u8, zero, zeros, ones);
                }
            }
            while (i < n) : (i += 1) {
                const x = from[i * stride];
                flags[done + i] = @intFromBool((if (m.shift == 1) x << 1 else x) != 0);
            }
            w.advance(n);
            done += n;
        }
        return flags[0..length];
    }
};

fn countFlags(flags: []const u8) usize {
    const V = @Vector(64, u8);
    var sum: usize = 0;
    var i: usize = 0;
    while (i + 64 <= flags.len) {
        var lanes: V = @splat(0);
        const end: usize = @min(flags.len, i + 255 * 64);
        while (i + 64 <= end) : (i += 64) lanes += @as(V, flags[i..][0..64].*);
        sum += @reduce(.Add, @as(@Vector(64, u16), lanes));
    }
    for (flags[i..]) |x| sum += x;
    return sum;
}

pub const Found = struct {
    mask: *const Mask,
    memory: [*]u8,
    /// How many lie before each block; last, how many there are.
    before: []align(64) usize,

    pub fn deinit(f: Found) void {
        services.free(@ptrCast(f.before.ptr));
    }
    pub fn blocks(f: Found) usize {
        return f.before.len - 1;
    }
    /// The positions within block `b`.
    pub fn positions(f: Found, b: usize, buffer: *[block]u16) []const u16 {
        var flags: [block]u8 = undefined;
        var n: usize = 0;
        for (f.mask.read(f.memory, b, &flags), 0..) |flag, i| {
            // Always written, kept if flagged: cheaper than a branch nobody can predict.
            buffer[n] = @intCast(i);
            n += flag;
        }
        return buffer[0..n];
    }
};

/// Copies the elements of a tensor over `space` at `positions` of block `b` to `line`, or
/// with `reverse` those of the line to these places.
pub fn pick(
    comptime T: type,
    space: *const index_space.Space(1),
    tensor: [*]T,
    b: usize,
    positions: []const u16,
    line: [*]T,
    line_step: usize,
    comptime reverse: bool,
) void {
    const stride = if (space.ndim == 0) 1 else space.strides[0][space.ndim - 1];
    const begin = b * block;
    var w = space.walk(begin);
    var run_begin: usize = 0;
    var i: usize = 0;
    while (i < positions.len) {
        const run: usize = @min(w.runLeft(), block - run_begin);
        while (i < positions.len and positions[i] < run_begin + run) : (i += 1) {
            const place = &tensor[w.offset[0] + (positions[i] - run_begin) * stride];
            const other = &line[i * line_step];
            if (reverse) place.* = other.* else other.* = place.*;
        }
        w.advance(run);
        run_begin += run;
    }
}
