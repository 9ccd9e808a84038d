//! The generator: MT19937, drawn as PyTorch's CPU generator draws it.
//!
//! One stream of 32-bit words. A 64-bit draw takes two of them, the first as its upper half.
//! The state lives in memory that Python owns (a uint8 tensor of `bytes` bytes) and is
//! advanced in place, so that kernels, `get_state` and `manual_seed` share one truth.
//!
//! M. Matsumoto, T. Nishimura: Mersenne Twister, ACM TOMACS 8(1), 1998, with the seeding of
//! the authors' revision of 2002.
const std = @import("std");
const futex = @import("futex.zig");

const words = 624;
const shift = 397;
const upper_mask: u32 = 0x80000000;
const lower_mask: u32 = 0x7fffffff;
const matrix: u32 = 0x9908b0df;

const lanes = 16;
const V = @Vector(lanes, u32);

/// The state block. `left` and `next` mean what they mean in PyTorch: `left` - 1 words of
/// this block are still to come, from `next` on.
pub const Generator = extern struct {
    seed: u64,
    /// The second half of the last scalar Box-Muller pair, where `normal_valid`.
    normal: f64,
    normal_valid: u32,
    /// PyTorch's generator also carries a float32 sample. Nothing on a CPU ever sets it, but
    /// a state that came from elsewhere is given back as it was.
    normal_f32: f32,
    normal_f32_valid: u32,
    left: i32,
    next: u32,
    /// 0 free, 1 held, 2 held and waited for: two Python threads may draw at once.
    lock: u32,
    state: [words]u32,

    /// What Python must allocate.
    pub const bytes = 2560;
    comptime {
        std.debug.assert(@sizeOf(Generator) <= bytes);
    }

    pub fn init(g: *Generator, seed: u64) void {
        g.seed = seed;
        g.normal = 0;
        g.normal_valid = 0;
        g.normal_f32 = 0;
        g.normal_f32_valid = 0;
        g.left = 1;
        g.next = 0;
        g.state[0] = @truncate(seed);
        for (1..words) |j| {
            const previous = g.state[j - 1];
            g.state[j] = 1812433253 *% (previous ^ (previous >> 30)) +% @as(u32, @intCast(j));
        }
    }

    fn twist(u: V, v: V) V {
        const mixed = (u & @as(V, @splat(upper_mask))) | (v & @as(V, @splat(lower_mask)));
        const odd = @as(V, @splat(0)) -% (v & @as(V, @splat(1)));
        return (mixed >> @splat(1)) ^ (odd & @as(V, @splat(matrix)));
    }
    fn twistOne(u: u32, v: u32) u32 {
        return (((u & upper_mask) | (v & lower_mask)) >> 1) ^ ((0 -% (v & 1)) & matrix);
    }

    /// The next 624 words, untempered. Word i wants the old i, i + 1 and i + 397 (or the new
    /// i - 227), so that 16 at a time are independent of each other.
    fn advance(g: *Generator) void {
        const s = &g.state;
        const first = words - shift; // 227 = 14 * 16 + 3
        var i: usize = 0;
        while (i + lanes <= first) : (i += lanes) {
            const w = @as(V, s[i + shift ..][0..lanes].*) ^
                twist(s[i..][0..lanes].*, s[i + 1 ..][0..lanes].*);
            s[i..][0..lanes].* = w;
        }
        while (i < first) : (i += 1) s[i] = s[i + shift] ^ twistOne(s[i], s[i + 1]);
        while (i + lanes <= words - 1) : (i += lanes) { // 24 * 16 + 12
            const w = @as(V, s[i - first ..][0..lanes].*) ^
                twist(s[i..][0..lanes].*, s[i + 1 ..][0..lanes].*);
            s[i..][0..lanes].* = w;
        }
        while (i < words - 1) : (i += 1) s[i] = s[i - first] ^ twistOne(s[i], s[i + 1]);
        s[words - 1] = s[shift - 1] ^ twistOne(s[words - 1], s[0]);
        g.left = words + 1;
        g.next = 0;
    }

    inline fn temper(x: anytype) @TypeOf(x) {
        const T = @TypeOf(x);
        const isVector = @typeInfo(T) == .vector;
        const a: T = if (isVector) @splat(0x9d2c5680) else 0x9d2c5680;
        const b: T = if (isVector) @splat(0xefc60000) else 0xefc60000;
        var y = x;
        y ^= if (isVector) y >> @splat(11) else y >> 11;
        y ^= (if (isVector) y << @splat(7) else y << 7) & a;
        y ^= (if (isVector) y << @splat(15) else y << 15) & b;
        y ^= if (isVector) y >> @splat(18) else y >> 18;
        return y;
    }

    pub fn next32(g: *Generator) u32 {
        if (g.left <= 1) g.advance();
        const x = g.state[g.next];
        g.next += 1;
        g.left -= 1;
        return temper(x);
    }
    pub fn next64(g: *Generator) u64 {
        const high: u64 = g.next32();
        return high << 32 | g.next32();
    }

    /// The next out.len words.
    pub fn fill(g: *Generator, out: []u32) void {
        var done: usize = 0;
        while (done < out.len) {
            if (g.left <= 1) g.advance();
            const n = @min(out.len - done, @as(usize, @intCast(g.left - 1)));
            const from = g.state[g.next..][0..n];
            const to = out[done..][0..n];
            var i: usize = 0;
            while (i + lanes <= n) : (i += lanes) {
                to[i..][0..lanes].* = temper(@as(V, from[i..][0..lanes].*));
            }
            while (i < n) : (i += 1) to[i] = temper(from[i]);
            g.next += @intCast(n);
            g.left -= @intCast(n);
            done += n;
        }
    }

    pub fn acquire(g: *Generator) void {
        if (@cmpxchgStrong(u32, &g.lock, 0, 1, .acquire, .monotonic) == null) return;
        const word: *const std.atomic.Value(u32) = @ptrCast(&g.lock);
        while (@atomicRmw(u32, &g.lock, .Xchg, 2, .acquire) != 0) futex.wait(word, 2);
    }
    pub fn release(g: *Generator) void {
        if (@atomicRmw(u32, &g.lock, .Xchg, 0, .release) == 2) futex.wakeAll(@ptrCast(&g.lock));
    }
};

/// The bytes of PyTorch's `get_rng_state()` of the CPU (little-endian, x86-64 and aarch64).
pub const Portable = extern struct {
    seed: u64,
    left: i32,
    seeded: i32,
    next: u64,
    state: [words]u64,
    normal_x: f64,
    normal_y: f64,
    normal_rho: f64,
    normal_valid: i32,
    normal_f32: f32 align(8),
    normal_f32_valid: u8,

    pub const bytes = 5056;
    comptime {
        std.debug.assert(@sizeOf(Portable) == bytes);
    }

    pub fn from(g: *const Generator, p: *Portable) void {
        @memset(@as([*]u8, @ptrCast(p))[0..bytes], 0);
        p.seed = g.seed;
        p.left = g.left;
        p.seeded = 1;
        p.next = g.next;
        for (&p.state, g.state) |*to, word| to.* = word;
        if (g.normal_valid != 0) {
            p.normal_y = g.normal;
            p.normal_valid = 1;
        }
        if (g.normal_f32_valid != 0) {
            p.normal_f32 = g.normal_f32;
            p.normal_f32_valid = 1;
        }
    }

    /// False where this is no state that a generator can be in.
    pub fn into(p: *const Portable, g: *Generator) bool {
        if (p.seeded == 0 or p.left < 1 or p.left > words or p.next > words) return false;
        if (p.next + @as(u64, @intCast(p.left)) - 1 > words) return false;
        g.seed = p.seed;
        g.left = p.left;
        g.next = @intCast(p.next);
        for (&g.state, p.state) |*to, word| to.* = @truncate(word);
        g.normal_valid = @intFromBool(p.normal_valid != 0);
        g.normal = if (p.normal_valid != 0) p.normal_y else 0;
        g.normal_f32_valid = @intFromBool(p.normal_f32_valid != 0);
        g.normal_f32 = if (p.normal_f32_valid != 0) p.normal_f32 else 0;
        return true;
    }
};

test "the reference implementation's numbers" {
    var g: Generator = undefined;
    g.lock = 0;
    g.init(5489);
    // The first and the 10,000th output are those of C++'s std::mt19937.
    try std.testing.expectEqual(3499211612, g.next32());
    for (1..9999) |_| _ = g.next32();
    try std.testing.expectEqual(4123659995, g.next32());
}

test "a fill is the words one by one, wherever it is cut" {
    var one: Generator = undefined;
    var many: Generator = undefined;
    one.init(42);
    many.init(42);
    var buffer: [2000]u32 = undefined;
    for ([_]usize{ 0, 1, 15, 16, 17, 607, 624, 625, 1999, 2000, 3 }) |n| {
        many.fill(buffer[0..n]);
        for (buffer[0..n]) |x| try std.testing.expectEqual(one.next32(), x);
    }
    try std.testing.expectEqual(one.left, many.left);
    try std.testing.expectEqual(one.next, many.next);
}

test "a state survives PyTorch's format" {
    var a: Generator = undefined;
    var b: Generator = undefined;
    a.init(3);
    _ = a.next64();
    a.normal = 0.25;
    a.normal_valid = 1;
    var p: Portable = undefined;
    Portable.from(&a, &p);
    try std.testing.expectEqual(623, p.left);
    try std.testing.expect(p.into(&b));
    try std.testing.expectEqual(0.25, b.normal);
    for (0..1000) |_| try std.testing.expectEqual(a.next32(), b.next32());
    p.left = 625;
    try std.testing.expect(!p.into(&b));
}
