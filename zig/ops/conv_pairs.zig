//! Convolutions of bfloat16 by words of 32 bits: two channels (in the gradient of the weights two
//! images) of a position side by side, the first in the low half. What slides windows over images
//! of float32 slides them over words; a step of the product is a word, of which the upper half's
//! product is added first, then the lower's: by the CPU's dot product, or as two steps of
//! float32 (`Expanded`), with the same bits.
const services = @import("../services.zig");
const extensions = @import("../extensions.zig");
const Extension = @import("../cpu.zig").Extension;
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const Tensor = @import("conv_image.zig").Tensor;
const G = gemm.Gemm(f32);

/// What the elements of a matrix product's operands are.
pub const Elements = enum {
    numbers,
    /// Words, for the CPU's dot product.
    words,
    /// Words, which packing makes two steps of.
    expanded,

    /// For words on this CPU.
    pub fn ofWords() Elements {
        const has_dot = gemm_kernel.hasDot(f32) and extensions.extensions() & Extension.bfloat16_dot != 0;
        return if (has_dot) .words else .expanded;
    }
};

/// Runs a problem whose elements are numbers or words.
pub fn multiply(comptime T: type, elements: Elements, problem: gemm.Gemm(T).Problem, call: anytype) void {
    if (T != f32 or elements == .numbers) return gemm.Gemm(T).run(&problem, call);
    var p = problem;
    const a = p.a;
    const b = p.b;
    if (elements == .words) {
        p.op = .dot;
        p.block = gemm_kernel.kc_max / 2;
    } else {
        p.a = .{ .ctx = &a, .pack = Expanded(G.Micro.mr).pack };
        p.b = .{ .ctx = &b, .pack = Expanded(G.Micro.nr).pack };
        p.a_view = null;
        p.b_view = null;
        p.k *= 2;
    }
    G.run(&p, call);
}

/// Two steps of each word that another source packs.
fn Expanded(comptime width: usize) type {
    return struct {
        fn pack(ctx: *const anyopaque, dst: [*]f32, first: usize, count: usize, k0: usize, kc: usize) void {
            const source: *const G.Source = @ptrCast(@alignCast(ctx));
            const words = dst + kc / 2 * width;
            source.pack(source.ctx, words, first, count, k0 / 2, kc / 2);
            for (0..kc / 2) |k| {
                const word: @Vector(width, u32) = @bitCast(words[k * width ..][0..width].*);
                const high: @Vector(width, u32) = @splat(0xffff_0000);
                const sixteen: @Vector(width, u5) = @splat(16);
                dst[2 * k * width ..][0..width].* = @bitCast(word & high);
                dst[(2 * k + 1) * width ..][0..width].* = @bitCast(word << sixteen);
            }
        }
    };
}

/// Elements of bfloat16 by what becomes of them: (outer 0, outer 1, pairs, inner), strides in elements.
pub const Pairs = struct {
    ptr: [*]const u16,
    outer: [2]usize,
    outer_step: [2]usize,
    /// Elements that are paired: 0 with 1, 2 with 3, ..., a last one with 0.
    count: usize,
    step: usize,
    inner: [4]usize,
    inner_step: [4]usize,

    /// Channels of each of `groups`.
    pub fn ofChannels(t: Tensor, images: usize, groups: usize, channels: usize) Pairs {
        return .{
            .ptr = @ptrCast(@alignCast(t.ptr)),
            .outer = .{ images, groups },
            .outer_step = .{ t.image, channels * t.channel },
            .count = channels,
            .step = t.channel,
            .inner = .{1} ++ t.size,
            .inner_step = .{0} ++ t.step,
        };
    }

    /// Images (of weights: the output channels of each of `groups`), with their `channels`.
    pub fn ofImages(t: Tensor, groups: usize, images: usize, channels: usize) Pairs {
        return .{
            .ptr = @ptrCast(@alignCast(t.ptr)),
            .outer = .{ 1, groups },
            .outer_step = .{ 0, images * t.image },
            .count = images,
            .step = t.image,
            .inner = .{channels} ++ t.size,
            .inner_step = .{t.channel} ++ t.step,
        };
    }

    fn size(p: *const Pairs) usize {
        return p.inner[0] * p.inner[1] * p.inner[2] * p.inner[3];
    }
    fn items(p: *const Pairs) usize {
        return p.outer[0] * p.outer[1] * ((p.count + 1) / 2);
    }
    /// Whether the words lie in memory as they are.
    fn areWords(p: *const Pairs) bool {
        return p.size() == 1 and p.step == 1 and p.count % 2 == 0 and p.outer[1] == 1 and
            p.outer_step[0] == p.count and @intFromPtr(p.ptr) % 4 == 0;
    }

    /// The words, contiguous, as numbers; `memory` is to be freed where there is any.
    pub fn words(p: Pairs, memory: *?[]align(64) f32) error{OutOfMemory}![*]const f32 {
        memory.* = null;
        if (p.areWords()) return @ptrCast(@alignCast(p.ptr));
        const to = services.allocSlice(f32, p.items() * p.size() + slack) orelse return error.OutOfMemory;
        memory.* = to;
        var job: Job = .{ .pairs = p, .to = @ptrCast(to.ptr) };
        job.pairs.merge();
        services.parallelFor(p.items(), gemm.grain(gemm.piece_packed, p.size()), job, Job.run);
        return to.ptr;
    }
    const slack = @import("conv_image.zig").slack;

    /// Inner dimensions without gaps become one.
    fn merge(p: *Pairs) void {
        for ([_]usize{ 2, 1, 0 }) |d| {
            if (p.inner[3] == 1) p.inner_step[3] = p.inner_step[d];
            if (p.inner[d] != 1 and p.inner[3] != 1 and p.inner_step[d] != p.inner[3] * p.inner_step[3]) return;
            p.inner[3] *= p.inner[d];
            p.inner[d] = 1;
        }
    }

    const Job = struct {
        pairs: Pairs,
        to: [*]u32,

        fn run(job: *const Job, begin: usize, end: usize) void {
            const p = &job.pairs;
            const pairs = (p.count + 1) / 2;
            const row = p.inner[3];
            const step = p.inner_step[3];
            for (begin..end) |item| {
                const first = item % pairs * 2;
                const outer = item / pairs;
                const low = p.ptr + outer / p.outer[1] * p.outer_step[0] + outer % p.outer[1] * p.outer_step[1] +
                    first * p.step;
                var to = job.to + item * p.size();
                for (0..p.inner[0]) |c| for (0..p.inner[1]) |d| for (0..p.inner[2]) |h| {
                    const at = c * p.inner_step[0] + d * p.inner_step[1] + h * p.inner_step[2];
                    const high = if (first + 1 < p.count) low + at + p.step else null;
                    if (step == 1) weave(to, low + at, high, row) else for (0..row) |i| {
                        const upper: u32 = if (high) |x| x[i * step] else 0;
                        to[i] = upper << 16 | low[at + i * step];
                    }
                    to += row;
                };
            }
        }

        fn weave(to: [*]u32, low: [*]const u16, high: ?[*]const u16, n: usize) void {
            var i: usize = 0;
            inline for (.{ 16, 8, 4, 2, 1 }) |W| while (i + W <= n) : (i += W) {
                const U = @Vector(W, u32);
                const sixteen: @Vector(W, u5) = @splat(16);
                var word: U = @as(@Vector(W, u16), low[i..][0..W].*);
                if (high) |x| word |= @as(U, @as(@Vector(W, u16), x[i..][0..W].*)) << sixteen;
                to[i..][0..W].* = word;
            };
        }
    };
};
