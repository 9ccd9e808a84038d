//! Images as matrices: what a convolution hands to the matrix product instead of im2col.
//!
//! An image is first *staged*: copied once into the type computed in, with its zero padding,
//! and with its columns sorted by remainder modulo the stride. After that every element the
//! window meets lies at (position) + (tap) + (channel), three offsets without a condition,
//! and neighbouring positions of an output row are neighbours in memory. Where the operand
//! is already like that (no padding, stride 1), it is used in place.
const DType = @import("../dtype.zig").DType;
const services = @import("../services.zig");
const pack = @import("gemm_pack.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const Kernel = gemm_kernel.Kernel;

/// Elements past the end of a staged image that packing may read.
pub const slack = 64;

/// An operand (N, C, D, H, W) in memory, strides in elements.
pub const Tensor = struct {
    ptr: [*]const u8,
    dtype: DType,
    image: usize,
    channel: usize,
    step: [3]usize,
    size: [3]usize,
};

/// The staged form of one channel: the operand's element x of a dimension is at x + left
/// (a negative `left` crops), of `size`; columns c at (c % phases) * (row / phases) + c / phases.
pub const Layout = struct {
    left: [3]i64,
    size: [3]usize,
    phases: usize = 1,

    pub fn row(l: Layout) usize {
        return (l.size[2] + l.phases - 1) / l.phases * l.phases;
    }
    pub fn column(l: Layout, c: usize) usize {
        return c % l.phases * (l.row() / l.phases) + c / l.phases;
    }
    pub fn channel(l: Layout) usize {
        return l.size[0] * l.size[1] * l.row();
    }
};

pub fn Images(comptime T: type) type {
    return struct {
        const Self = @This();
        ptr: [*]const T,
        /// Strides of images and channels; positions: sizes and strides, the last one 1.
        image: usize,
        channel: usize,
        grid: [3]usize,
        step: [3]usize,
        /// Where the window's taps lie from a position.
        taps: []const usize,
        /// Memory of someone else: nothing past a run may be read.
        exact: bool,

        pub fn positions(s: *const Self) usize {
            return s.grid[0] * s.grid[1] * s.grid[2];
        }

        /// Dimensions of positions that lie without gaps become one: longer runs.
        pub fn merge(s: *Self) void {
            for ([_]usize{ 1, 0 }) |d| {
                if (s.grid[d] == 1 or s.step[d] == s.grid[2]) {
                    s.grid[2] *= s.grid[d];
                    s.grid[d] = 1;
                } else return;
            }
        }

        const Run = struct { offset: usize, len: usize };

        /// The positions from number j (of all images) on that lie side by side.
        fn run(s: *const Self, j: usize, most: usize) Run {
            const size = s.positions();
            const in_row = s.grid[2];
            const p = j % size;
            const o2 = p % in_row;
            const r = p / in_row;
            const offset = j / size * s.image + r / s.grid[1] * s.step[0] + r % s.grid[1] * s.step[1] + o2;
            return .{ .offset = offset, .len = @min(most, in_row - o2) };
        }

        // --- Positions as columns, (channel, tap) as k -------------------------------------

        pub fn packColumns(
            ctx: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            const s: *const Self = @ptrCast(@alignCast(ctx));
            const nr = Kernel(T).nr;
            const vl = Kernel(T).vl;
            var runs: [nr]Run = undefined;
            var n_runs: usize = 0;
            var at: usize = 0;
            while (at < count) : (n_runs += 1) {
                runs[n_runs] = s.run(first + at, count - at);
                at += runs[n_runs].len;
            }
            if (count < nr) @memset(dst[0 .. kc * nr], 0);
            const n_taps = s.taps.len;
            var tap = k0 % n_taps;
            var channel_at = k0 / n_taps * s.channel;
            const whole = n_runs == 1 and count == nr;
            for (0..kc) |k| {
                const src = s.ptr + channel_at + s.taps[tap];
                var to = dst + k * nr;
                if (whole) {
                    to[0..nr].* = src[runs[0].offset..][0..nr].*;
                } else if (s.exact or k + 1 == kc) {
                    for (runs[0..n_runs]) |r| {
                        for (0..r.len) |i| to[i] = src[r.offset + i];
                        to += r.len;
                    }
                } else {
                    // Whole vectors: what they spill is overwritten by the next run or step.
                    for (runs[0..n_runs]) |r| {
                        var i: usize = 0;
                        while (i < r.len) : (i += vl) to[i..][0..vl].* = src[r.offset + i ..][0..vl].*;
                        to += r.len;
                    }
                }
                tap += 1;
                if (tap == n_taps) {
                    tap = 0;
                    channel_at += s.channel;
                }
            }
        }

        // --- Positions as k, (channel, tap) as rows or columns -----------------------------

        pub fn packStepsA(
            c: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            packSteps(Kernel(T).mr, @ptrCast(@alignCast(c)), dst, first, count, k0, kc);
        }
        pub fn packStepsB(
            c: *const anyopaque,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            packSteps(Kernel(T).nr, @ptrCast(@alignCast(c)), dst, first, count, k0, kc);
        }

        fn packSteps(
            comptime width: usize,
            s: *const Self,
            dst: [*]T,
            first: usize,
            count: usize,
            k0: usize,
            kc: usize,
        ) void {
            var lane: [width]usize = undefined;
            for (0..width) |i| {
                const which = first + @min(i, count - 1);
                lane[i] = which / s.taps.len * s.channel + s.taps[which % s.taps.len];
            }
            var rows: [width][*]const T = undefined;
            var k: usize = 0;
            while (k < kc) {
                const r = s.run(k0 + k, kc - k);
                for (0..width) |i| rows[i] = s.ptr + lane[i] + r.offset;
                const spills = !s.exact and k + (r.len + 7) / 8 * 8 <= kc;
                pack.transposeRows(T, width, dst + k * width, &rows, r.len, spills);
                k += r.len;
            }
        }

        /// An operand as windows read it: staged some images at a time, or in place.
        pub const Source = struct {
            tensor: Tensor,
            layout: Layout,
            channels: usize,
            /// Empty: in place.
            memory: []align(64) T,

            pub fn init(
                t: Tensor,
                layout: Layout,
                channels: usize,
                most: usize,
                staged: bool,
            ) error{OutOfMemory}!Source {
                const size = most * channels * layout.channel() + slack;
                return .{
                    .tensor = t,
                    .layout = layout,
                    .channels = channels,
                    .memory = if (!staged) &.{} else services.allocSlice(T, size) orelse
                        return error.OutOfMemory,
                };
            }
            pub fn deinit(s: Source) void {
                if (s.memory.len > 0) services.free(@ptrCast(s.memory.ptr));
            }

            /// Images first .. first + count will be asked for.
            pub fn load(s: *const Source, first: usize, count: usize) void {
                if (s.memory.len > 0) stage(
                    s.tensor,
                    s.layout,
                    s.channels,
                    first,
                    count,
                    s.memory.ptr,
                );
            }

            fn step(s: *const Source) [2]usize {
                if (s.memory.len == 0) return s.tensor.step[0..2].*;
                return .{ s.layout.size[1] * s.layout.row(), s.layout.row() };
            }
            /// Where a tap that begins at x of the padded operand lies from a position.
            pub fn at(s: *const Source, x: [3]usize) usize {
                return x[0] * s.step()[0] + x[1] * s.step()[1] + s.layout.column(x[2]);
            }

            /// Images from `first` on, which `load` has loaded; positions `stride` apart.
            pub fn images(
                s: *const Source,
                first: usize,
                grid: [3]usize,
                stride: [2]usize,
                taps: []const usize,
            ) Self {
                const staged = s.memory.len > 0;
                const own: [*]const T = @ptrCast(@alignCast(s.tensor.ptr));
                var i: Self = .{
                    .ptr = if (staged) s.memory.ptr else own + first * s.tensor.image,
                    .image = if (staged) s.channels * s.layout.channel() else s.tensor.image,
                    .channel = if (staged) s.layout.channel() else s.tensor.channel,
                    .grid = grid,
                    .step = .{ stride[0] * s.step()[0], stride[1] * s.step()[1], 1 },
                    .taps = taps,
                    .exact = !staged,
                };
                i.merge();
                return i;
            }
        };

        // --- Staging -------------------------------------------------------------------------

        const Stage = struct { tensor: Tensor, layout: Layout, channels: usize, dst: [*]T };

        /// Channels 0 .. channels of images first .. first + count into dst.
        pub fn stage(
            tensor: Tensor,
            layout: Layout,
            channels: usize,
            first: usize,
            count: usize,
            dst: [*]T,
        ) void {
            var job: Stage = .{
                .tensor = tensor,
                .layout = layout,
                .channels = channels,
                .dst = dst,
            };
            job.tensor.ptr += first * tensor.image * tensor.dtype.size();
            const cost = layout.channel();
            services.parallelFor(
                count * channels,
                gemm.grain(gemm.piece_packed, cost),
                job,
                stageChannels,
            );
        }

        fn stageChannels(job: *const Stage, begin: usize, end: usize) void {
            for (begin..end) |i| {
                const at = i / job.channels * job.tensor.image + i % job.channels * job.tensor.channel;
                const from = job.tensor.ptr + at * job.tensor.dtype.size();
                stageChannel(job.tensor, job.layout, from, job.dst + i * job.layout.channel(), 0);
            }
        }

        /// One channel, which begins at `from`; `fill` is what stands in the padding (null: it is there already).
        pub fn stageChannel(t: Tensor, l: Layout, from: [*]const u8, dst: [*]T, fill: ?T) void {
            const row = l.row();
            const length = row / l.phases;
            for (0..l.phases) |phase| {
                // Column phase + i * phases holds the element first + i * phases.
                const first = @as(i64, @intCast(phase)) - l.left[2];
                const stop = clampCount(@as(i64, @intCast(t.size[2])) - first, l.phases, length);
                const start = @min(stop, clampCount(-first, l.phases, length));
                const x: usize = @intCast(@max(0, first + @as(i64, @intCast(start * l.phases))));
                const rows = inside(l.left[1], t.size[1], l.size[1]);
                for (0..l.size[0]) |d| {
                    var to = dst + d * l.size[1] * row + phase * length;
                    const sd = @as(i64, @intCast(d)) - l.left[0];
                    const nothing = sd < 0 or sd >= t.size[0] or start == stop;
                    const first_row = if (nothing) l.size[1] else rows[0];
                    for (0..first_row) |h| fillRow(to + h * row, length, fill);
                    if (nothing) continue;
                    for (rows[1]..l.size[1]) |h| fillRow(to + h * row, length, fill);
                    to += first_row * row;
                    const h: usize = @intCast(@as(i64, @intCast(first_row)) - l.left[1]);
                    const at = @as(usize, @intCast(sd)) * t.step[0] + h * t.step[1] + x * t.step[2];
                    const step = t.step[1] * t.dtype.size();
                    var src = from + at * t.dtype.size();
                    for (first_row..rows[1]) |_| {
                        fillRow(to, start, fill);
                        fillRow(to + stop, length - stop, fill);
                        copyRow(t.dtype, to + start, src, stop - start, l.phases * t.step[2]);
                        to += row;
                        src += step;
                    }
                }
            }
        }

        /// Which of `n` places, of which `left` lie before the first of `size` elements, hold one.
        fn inside(left: i64, size: usize, n: usize) [2]usize {
            const most: i64 = @intCast(n);
            const first: usize = @intCast(@max(0, @min(most, left)));
            const end: usize = @intCast(@max(0, @min(most, left + @as(i64, @intCast(size)))));
            return .{ first, @max(first, end) };
        }

        /// Rows are short: a call of memset or memcpy would take longer than they do.
        inline fn fillRow(to: [*]T, n: usize, value: ?T) void {
            const fill = value orelse return;
            if (n == 0) return;
            if (n <= 2) {
                to[0] = fill;
                to[n - 1] = fill;
                return;
            }
            var i: usize = 0;
            comptime var width: usize = 16;
            inline while (width > 0) : (width /= 2) {
                while (n - i >= width) : (i += width) to[i..][0..width].* = @splat(fill);
            }
        }

        /// to[i] = from[i * stride], i < n.
        pub inline fn copyRow(dtype: DType, to: [*]T, from: [*]const u8, n: usize, stride: usize) void {
            const native: DType = if (T == f32) .float32 else .float64;
            if (dtype != native or stride > 2) return pack.load(T, dtype, to, from, n, stride);
            const src: [*]const T = @ptrCast(@alignCast(from));
            // The widest pieces that fit; the last one overlaps the one before.
            inline for (.{ 16, 8, 4, 2, 1 }) |width| if (n >= width) {
                var i: usize = 0;
                while (i < n) : (i += width) {
                    const at = @min(i, n - width);
                    const piece: @Vector(width, T) = if (stride == 1)
                        src[at..][0..width].*
                    else
                        everySecond(width, src + 2 * at);
                    to[at..][0..width].* = piece;
                }
                return;
            };
        }

        /// Elements 0, 2, 4 ..., `n` of them, reading nothing behind the last.
        pub inline fn everySecond(comptime n: usize, from: [*]const T) @Vector(n, T) {
            if (n == 1) return from[0..1].*;
            const low: @Vector(n, T) = from[0..n].*;
            const high: @Vector(n, T) = from[n - 1 ..][0..n].*;
            comptime var mask: [n]i32 = undefined;
            inline for (0..n) |l| mask[l] = comptime if (2 * l < n) 2 * l else ~@as(i32, 2 * l - (n - 1));
            return @shuffle(T, low, high, mask);
        }

        /// Into places 0, 2, 4 ...; those between stay as they are. (AVX-512)
        pub inline fn storeEverySecond(to: [*]T, x: @Vector(Kernel(T).vl, T)) void {
            const vl = Kernel(T).vl;
            inline for (0..2) |half| {
                comptime var lanes: [vl]i32 = undefined;
                inline for (0..vl) |l| lanes[l] = half * vl / 2 + l / 2;
                Kernel(T).storeMasked(to + half * vl, @shuffle(T, x, undefined, lanes), (1 << vl) / 3);
            }
        }

        /// How many i >= 0 with i * step < distance, at most `most`.
        fn clampCount(distance: i64, step: usize, most: usize) usize {
            if (distance <= 0) return 0;
            return @min(most, (@as(usize, @intCast(distance)) + step - 1) / step);
        }
    };
}

/// A convolution that slides over the image in place: for each group, weights (rows, k) times windows
/// of `images` (of the first group; the others lie `group` further on).
pub fn Problem(comptime T: type) type {
    return struct {
        images: Images(T),
        /// From a column of positions to the next.
        column: usize,
        count: usize,
        groups: usize,
        /// Channels of a group, of the image and of the output.
        channels: usize,
        rows: usize,
        /// Weight (group, row, channel, tap) at group * weight_group + row * weight_row + ...
        weights: [*]const T,
        weight_group: usize,
        weight_row: usize,
        weight_channel: usize,
        weight_taps: []const usize,
        bias: []const T,
        out: [*]T,
        /// Strides of the output: images, channels, and the positions of `images.grid`.
        out_image: usize,
        out_channel: usize,
        out_step: [3]usize,
        /// With `dot` the elements are words (conv_pairs.zig).
        op: gemm_kernel.Op = .multiply_add,

        /// Steps of a chain.
        pub fn block(p: *const @This()) usize {
            return if (p.op == .dot) gemm_kernel.kc_max / 2 else gemm_kernel.kc_max;
        }
        pub fn steps(p: *const @This()) usize {
            return p.channels * p.weight_taps.len;
        }
        /// Whether a row's weights lie side by side.
        pub fn hasContiguousSteps(p: *const @This()) bool {
            for (p.weight_taps, 0..) |tap, t| if (tap != t) return false;
            return p.weight_channel == p.weight_taps.len;
        }
    };
}
