//! The arithmetic of a convolution's window: which taps meet which elements.
const services = @import("../services.zig");
const builtin = @import("builtin");
const Layout = @import("conv_image.zig").Layout;

/// Elements staged at a time: 1 MB of float32, what an L2 cache holds. Tests make do with less, to have several slabs.
pub const slab_elements: usize = if (builtin.is_test) 1 << 16 else 1 << 18;

/// How many images of `size` elements, at least one.
pub fn slabOf(images: usize, size: usize) usize {
    return @max(1, @min(images, slab_elements / @max(1, size)));
}

/// The same for results that don't depend on it: as much for every thread.
pub fn slabForThreads(images: usize, size: usize) usize {
    return @min(images, services.threadCount() * slabOf(images, size));
}

/// Three spatial dimensions always; the missing ones are 1 long, in front.
pub const Geometry = struct {
    images: usize,
    groups: usize,
    /// Channels of a group.
    ci: usize,
    co: usize,
    in: [3]usize,
    out: [3]usize,
    kernel: [3]usize,
    stride: [3]usize,
    padding: [3]i64,
    dilation: [3]usize,
    has_bias: bool,

    pub fn taps(g: *const Geometry) usize {
        return product(g.kernel);
    }

    /// x with its padding, columns by remainder modulo the stride.
    pub fn inputLayout(g: *const Geometry) Layout {
        var l: Layout = .{ .left = g.padding, .size = undefined, .phases = g.stride[2] };
        for (0..3) |d| {
            l.size[d] = (g.out[d] -| 1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1;
        }
        return l;
    }

    /// Images that are staged at a time. Part of the definition of grad_weight's bits.
    pub fn slab(g: *const Geometry) usize {
        return slabOf(g.images, g.largest());
    }
    /// Elements of an image as it is staged, or of its output.
    pub fn largest(g: *const Geometry) usize {
        const staged = g.groups * g.ci * g.inputLayout().channel();
        return @max(staged, g.groups * g.co * product(g.out));
    }

    /// Whether it is the product of a matrix (images, channels) and the weights.
    pub fn isProduct(g: *const Geometry) bool {
        return g.groups == 1 and g.taps() == 1 and product(g.in) == 1 and product(g.out) == 1 and
            g.padding[0] == 0 and g.padding[1] == 0 and g.padding[2] == 0 and @min(g.ci, g.co) >= 16;
    }
    pub fn isDepthwise(g: *const Geometry) bool {
        return g.groups > 1 and g.ci == 1 and g.co <= 4;
    }
};

pub fn product(sizes: [3]usize) usize {
    return sizes[0] * sizes[1] * sizes[2];
}

/// The taps of a kernel, the last dimension fastest.
pub const TapIterator = struct {
    kernel: [3]usize,
    at: [3]usize = .{ 0, 0, 0 },

    pub fn next(t: *TapIterator) ?[3]usize {
        const tap = t.at;
        if (tap[0] >= t.kernel[0] or t.kernel[1] == 0 or t.kernel[2] == 0) return null;
        t.at[2] += 1;
        if (t.at[2] == t.kernel[2]) {
            t.at[2] = 0;
            t.at[1] += 1;
        }
        if (t.at[1] == t.kernel[1]) {
            t.at[1] = 0;
            t.at[0] += 1;
        }
        return tap;
    }
};

/// In one dimension, the elements s of x with (s + padding) % stride = r: s = origin + i * stride,
/// i < count, which stand at output first + i before their taps' lags are taken off.
pub const Phase = struct {
    origin: usize,
    first: i64,
    count: usize,
    /// The taps t that such elements meet: tap + j * tap_step, j < taps.
    tap: usize,
    tap_step: usize,
    taps: usize,
    r: usize,

    fn from(g: *const Geometry, d: usize, r: usize) Phase {
        const stride: i64 = @intCast(g.stride[d]);
        const origin = @mod(@as(i64, @intCast(r)) - g.padding[d], stride);
        const size: i64 = @intCast(g.in[d]);
        var p: Phase = .{
            .origin = @intCast(origin),
            .first = @divFloor(origin + g.padding[d], stride),
            .count = if (size > origin) @intCast(@divFloor(size - origin - 1, stride) + 1) else 0,
            .tap = 0,
            .tap_step = 1,
            .taps = 0,
            .r = r,
        };
        // t * dilation = r modulo the stride: every solution, evenly spaced.
        for (0..g.kernel[d]) |t| if (t * g.dilation[d] % g.stride[d] == r) {
            if (p.taps == 0) p.tap = t;
            if (p.taps == 1) p.tap_step = t - p.tap;
            p.taps += 1;
        };
        return p;
    }

    /// How many outputs before `first + i` the tap number j of this phase is.
    pub fn lag(p: *const Phase, g: *const Geometry, d: usize, j: usize) i64 {
        const t = p.tap + j * p.tap_step;
        return @intCast((t * g.dilation[d] - p.r) / g.stride[d]);
    }
};

/// What the gradient of the input needs: the phases of every dimension, and the part of gout
/// that they reach together.
pub const Phases = struct {
    memory: []Phase,
    of: [3][]const Phase,
    layout: Layout,

    pub fn init(g: *const Geometry) error{OutOfMemory}!Phases {
        const total = g.stride[0] + g.stride[1] + g.stride[2];
        const memory = services.allocSlice(Phase, total) orelse return error.OutOfMemory;
        var p: Phases = .{
            .memory = memory,
            .of = undefined,
            .layout = .{ .left = @splat(0), .size = @splat(1) },
        };
        var begin: usize = 0;
        for (0..3) |d| {
            const list = memory[begin..][0..g.stride[d]];
            begin += g.stride[d];
            p.of[d] = list;
            var left: ?i64 = null;
            var right: i64 = 0;
            for (list, 0..) |*phase, r| {
                phase.* = .from(g, d, r);
                if (phase.count == 0 or phase.taps == 0) continue;
                const last = phase.first + @as(i64, @intCast(phase.count)) - 1;
                const reach_left = phase.lag(g, d, phase.taps - 1) - phase.first;
                const reach_right = last - phase.lag(g, d, 0);
                right = if (left == null) reach_right else @max(right, reach_right);
                left = @max(left orelse reach_left, reach_left);
            }
            if (left) |l| {
                p.layout.left[d] = l;
                p.layout.size[d] = @intCast(l + right + 1);
            }
        }
        return p;
    }

    /// Whether some elements meet no tap.
    pub fn areIncomplete(p: *const Phases) bool {
        for (p.of) |list| for (list) |phase| if (phase.taps == 0) return true;
        return false;
    }

    pub fn deinit(p: Phases) void {
        services.free(@ptrCast(p.memory.ptr));
    }

    /// The offset in the staged gout, and the tap, of tap number t of a phase.
    pub fn meet(
        p: *const Phases,
        g: *const Geometry,
        phase: [3]Phase,
        t: [3]usize,
    ) struct { at: [3]usize, tap: [3]usize } {
        var at: [3]usize = undefined;
        var tap: [3]usize = undefined;
        for (0..3) |d| {
            tap[d] = phase[d].tap + t[d] * phase[d].tap_step;
            at[d] = @intCast(phase[d].first - phase[d].lag(g, d, t[d]) + p.layout.left[d]);
        }
        return .{ .at = at, .tap = tap };
    }
};
