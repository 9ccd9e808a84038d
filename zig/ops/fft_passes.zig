//! The passes of a complex transform whose length has no prime above 13: Stockham's (1966), which also sort, in the
//! form of Swarztrauber 1984, "FFT algorithms for vector computers".
//!
//! A line whose length is a multiple of the vector's W is cut into W lines of every W-th number, which lie side by
//! side in the lanes; what is left are transforms of W numbers across the lanes, from vectors that are turned.
const std = @import("std");
const simd = @import("../simd.zig");
const trig = @import("../math/trig.zig");
const transpose = @import("transpose.zig");

pub const max_prime = 13;

pub fn smooth(n: usize) bool {
    var rest = n;
    for (2..max_prime + 1) |r| {
        while (rest % r == 0) rest /= r;
    }
    return rest == 1;
}

/// exp(-pi i k / n), for k < 2n.
pub fn unitRoot(k: usize, n: usize) [2]f64 {
    const turned: i64 = if (k > n) @as(i64, @intCast(k)) - 2 * @as(i64, @intCast(n)) else @intCast(k);
    const x: @Vector(8, f64) = @splat(@as(f64, @floatFromInt(turned)) / @as(f64, @floatFromInt(n)));
    const root = trig.sincosPi(@Vector(8, f64), x);
    return .{ root.cos[0], -root.sin[0] };
}

/// Complex numbers: real and imaginary parts, each in an array.
pub fn Planes(comptime T: type) type {
    return [2][*]T;
}

/// Transforms of a length.
pub fn Passes(comptime T: type) type {
    return struct {
        const Self = @This();
        const W = simd.lanes(T);
        const Full = @Vector(W, T);
        /// Numbers behind a plane's that a transform may overwrite.
        pub const slack = W * W;

        /// Of all passes, and of what they take to every W-th number if lines are cut.
        n: usize,
        rows: usize,
        cut: bool,
        count: usize,
        radices: [64]u8,
        /// exp(-2 pi i k / rows)
        root: Planes(T),
        /// exp(-2 pi i k b / n) at k * W + b
        turn: Planes(T),

        /// Numbers of its tables.
        pub fn tableSize(n: usize, cut: bool) usize {
            return if (cut) 2 * (n / W) + 2 * (n + slack) else 2 * n;
        }

        pub fn init(n: usize, cut: bool, memory: [*]T) Self {
            const rows = if (cut) n / W else n;
            const turns = memory + 2 * rows;
            var s: Self = .{
                .n = n,
                .rows = rows,
                .cut = cut,
                .count = 0,
                .radices = undefined,
                .root = .{ memory, memory + rows },
                .turn = .{ turns, turns + n + slack },
            };
            s.factor();
            for (0..rows) |k| setRoot(s.root, k, 2 * k, rows);
            if (cut) {
                @memset(turns[0 .. 2 * (n + slack)], 0);
                for (0..rows) |k| for (0..W) |b| setRoot(s.turn, k * W + b, 2 * k * b, n);
            }
            return s;
        }

        pub fn setRoot(table: Planes(T), at: usize, k: usize, n: usize) void {
            const root = unitRoot(k, n);
            table[0][at] = @floatCast(root[0]);
            table[1][at] = @floatCast(root[1]);
        }

        fn factor(s: *Self) void {
            var rest = s.rows;
            // An 8 is left where a 2 would be.
            while (rest % 16 == 0 and @ctz(rest) % 3 != 0) : (rest /= 4) s.add(4);
            for ([_]u8{ 8, 4, 2, 3, 5, 7, 11, 13 }) |r| {
                while (rest % r == 0) : (rest /= r) s.add(r);
            }
            std.debug.assert(rest == 1);
        }
        fn add(s: *Self, radix: u8) void {
            s.radices[s.count] = radix;
            s.count += 1;
        }

        /// Transforms `batch` lines side by side (if lines are cut: one); the result is there, or in `to`: says which.
        pub fn run(s: *const Self, batch: usize, there: Planes(T), other: Planes(T)) bool {
            var from = there;
            var to = other;
            const beside = if (s.cut) W else batch;
            var stride: usize = 1;
            var length = s.rows;
            for (s.radices[0..s.count]) |radix| {
                length /= radix;
                switch (radix) {
                    inline 2, 3, 4, 5, 8 => |r| s.pass(r, length, stride, beside, from, to),
                    else => s.slowPass(radix, length, stride, beside, from, to),
                }
                stride *= radix;
                std.mem.swap(Planes(T), &from, &to);
            }
            if (s.cut) s.across(from, to);
            return (s.count + @intFromBool(s.cut)) % 2 == 1;
        }

        /// One pass: `length` groups of r numbers, each number `stride` neighbours.
        fn pass(s: *const Self, comptime r: usize, length: usize, stride: usize, batch: usize, from: Planes(T), to: Planes(T)) void {
            const wide = stride * batch;
            for (0..length) |p| {
                var w: [r][2]T = undefined;
                inline for (0..r) |k| w[k] = .{ s.root[0][p * k * stride], s.root[1][p * k * stride] };
                var q: usize = 0;
                if (p == 0) {
                    while (q + W <= wide) : (q += W) group(r, Full, false, length, wide, p, q, &w, from, to);
                } else {
                    while (q + W <= wide) : (q += W) group(r, Full, true, length, wide, p, q, &w, from, to);
                }
                while (q < wide) : (q += 1) group(r, @Vector(1, T), true, length, wide, p, q, &w, from, to);
            }
        }

        inline fn group(
            comptime r: usize,
            comptime V: type,
            comptime turned: bool,
            length: usize,
            stride: usize,
            p: usize,
            q: usize,
            w: *const [r][2]T,
            from: Planes(T),
            to: Planes(T),
        ) void {
            var a: [r]Number(V) = undefined;
            inline for (0..r) |j| a[j] = .load(from, q + stride * (p + j * length));
            const b = butterfly(r, V, a);
            inline for (0..r) |k| {
                const y = if (k == 0 or !turned) b[k] else b[k].times(@splat(w[k][0]), @splat(w[k][1]));
                y.store(to, q + stride * (r * p + k));
            }
        }

        /// A pass of another radix, with the roots from the table.
        fn slowPass(s: *const Self, r: usize, length: usize, stride: usize, batch: usize, from: Planes(T), to: Planes(T)) void {
            const wide = stride * batch;
            for (0..length) |p| {
                var q: usize = 0;
                while (q + W <= wide) : (q += W) s.slowGroup(Full, r, length, stride, wide, p, q, from, to);
                while (q < wide) : (q += 1) s.slowGroup(@Vector(1, T), r, length, stride, wide, p, q, from, to);
            }
        }
        fn slowGroup(
            s: *const Self,
            comptime V: type,
            r: usize,
            length: usize,
            stride: usize,
            wide: usize,
            p: usize,
            q: usize,
            from: Planes(T),
            to: Planes(T),
        ) void {
            const half = r / 2;
            // Pairs j and r - j share their cosines, and their sines but for the sign.
            var sums: [max_prime / 2]Number(V) = undefined;
            var differences: [max_prime / 2]Number(V) = undefined;
            const first: Number(V) = .load(from, q + wide * p);
            var all = first;
            for (0..half) |j| {
                const a: Number(V) = .load(from, q + wide * (p + (j + 1) * length));
                const b: Number(V) = .load(from, q + wide * (p + (r - 1 - j) * length));
                sums[j] = a.plus(b);
                differences[j] = a.minus(b).timesMinusI();
                all = all.plus(sums[j]);
            }
            all.store(to, q + wide * r * p);
            const root = s.rows / r;
            for (1..half + 1) |k| {
                var even = first;
                var odd: Number(V) = .{ .re = @splat(0), .im = @splat(0) };
                for (0..half) |j| {
                    const at = (k * (j + 1)) % r * root;
                    even = even.plusScaled(sums[j], @splat(s.root[0][at]));
                    odd = odd.plusScaled(differences[j], @splat(-s.root[1][at]));
                }
                for ([_]usize{ k, r - k }, [_]Number(V){ even.plus(odd), even.minus(odd) }) |j, b| {
                    const at = p * j * stride;
                    b.times(@splat(s.root[0][at]), @splat(s.root[1][at])).store(to, q + wide * (r * p + j));
                }
            }
        }

        /// W-point transforms across the lanes, after the passes over them. The last of the vectors may be filled up
        /// with anything, for which what comes before is written later: within a block of rows, and blocks from the end.
        fn across(s: *const Self, from: Planes(T), to: Planes(T)) void {
            var block = (s.rows + W - 1) / W;
            while (block > 0) {
                block -= 1;
                var parts: [2][W]Full = undefined;
                inline for (0..W) |i| {
                    const at = (block * W + i) * W;
                    const x = Number(Full).load(from, at).times(s.turn[0][at..][0..W].*, s.turn[1][at..][0..W].*);
                    parts[0][i] = x.re;
                    parts[1][i] = x.im;
                }
                inline for (&parts) |*part| part.* = transpose.exchanged(T, W, part.*);
                var a: [W]Number(Full) = undefined;
                inline for (0..W) |i| a[i] = .{ .re = parts[0][i], .im = parts[1][i] };
                const b = butterfly(W, Full, a);
                inline for (0..W) |k| b[k].store(to, k * s.rows + block * W);
            }
        }
    };
}

/// The transform of r numbers.
inline fn butterfly(comptime r: usize, comptime V: type, a: [r]Number(V)) [r]Number(V) {
    switch (r) {
        2 => return .{ a[0].plus(a[1]), a[0].minus(a[1]) },
        3 => {
            const sum = a[1].plus(a[2]);
            const odd = a[1].minus(a[2]).timesMinusI().scaled(comptime sine(1, 3));
            const even = a[0].plusScaled(sum, @splat(-0.5));
            return .{ a[0].plus(sum), even.plus(odd), even.minus(odd) };
        },
        4 => {
            const t0 = a[0].plus(a[2]);
            const t1 = a[0].minus(a[2]);
            const t2 = a[1].plus(a[3]);
            const t3 = a[1].minus(a[3]).timesMinusI();
            return .{ t0.plus(t2), t1.plus(t3), t0.minus(t2), t1.minus(t3) };
        },
        5 => {
            const s1 = a[1].plus(a[4]);
            const s2 = a[2].plus(a[3]);
            const d1 = a[1].minus(a[4]).timesMinusI();
            const d2 = a[2].minus(a[3]).timesMinusI();
            const e1 = a[0].plusScaled(s1, @splat(comptime cosine(1, 5))).plusScaled(s2, @splat(comptime cosine(2, 5)));
            const e2 = a[0].plusScaled(s1, @splat(comptime cosine(2, 5))).plusScaled(s2, @splat(comptime cosine(1, 5)));
            const o1 = d1.scaled(comptime sine(1, 5)).plusScaled(d2, @splat(comptime sine(2, 5)));
            const o2 = d1.scaled(comptime sine(2, 5)).plusScaled(d2, @splat(comptime -sine(1, 5)));
            return .{ a[0].plus(s1).plus(s2), e1.plus(o1), e2.plus(o2), e2.minus(o2), e1.minus(o1) };
        },
        8 => {
            const e = butterfly(4, V, .{ a[0], a[2], a[4], a[6] });
            const o = butterfly(4, V, .{ a[1], a[3], a[5], a[7] });
            const c = comptime @sqrt(0.5);
            // o[1] times 1 - i, o[3] times -1 - i.
            const p: Number(V) = .{ .re = o[1].re + o[1].im, .im = o[1].im - o[1].re };
            const m: Number(V) = .{ .re = o[3].im - o[3].re, .im = -(o[3].re + o[3].im) };
            const t = o[2].timesMinusI();
            return .{
                e[0].plus(o[0]),  e[1].plusScaled(p, @splat(c)),  e[2].plus(t),  e[3].plusScaled(m, @splat(c)),
                e[0].minus(o[0]), e[1].plusScaled(p, @splat(-c)), e[2].minus(t), e[3].plusScaled(m, @splat(-c)),
            };
        },
        16 => {
            var y: [4][4]Number(V) = undefined;
            inline for (0..4) |j| {
                y[j] = butterfly(4, V, .{ a[j], a[j + 4], a[j + 8], a[j + 12] });
                inline for (1..4) |k| if (j > 0) {
                    y[j][k] = y[j][k].times(@splat(comptime cosine(j * k, 16)), @splat(comptime -sine(j * k, 16)));
                };
            }
            var b: [16]Number(V) = undefined;
            inline for (0..4) |k| {
                const z = butterfly(4, V, .{ y[0][k], y[1][k], y[2][k], y[3][k] });
                inline for (0..4) |l| b[k + 4 * l] = z[l];
            }
            return b;
        },
        else => comptime unreachable,
    }
}

/// cos(2 pi k / n), at compile time.
fn cosine(comptime k: comptime_int, comptime n: comptime_int) comptime_float {
    return @cos(2.0 * std.math.pi * @as(comptime_float, k) / @as(comptime_float, n));
}
fn sine(comptime k: comptime_int, comptime n: comptime_int) comptime_float {
    return @sin(2.0 * std.math.pi * @as(comptime_float, k) / @as(comptime_float, n));
}

pub fn Number(comptime V: type) type {
    const T = std.meta.Child(V);
    const n = @typeInfo(V).vector.len;
    return struct {
        const Self = @This();
        re: V,
        im: V,

        pub inline fn load(from: Planes(T), at: usize) Self {
            return .{ .re = from[0][at..][0..n].*, .im = from[1][at..][0..n].* };
        }
        pub inline fn store(a: Self, to: Planes(T), at: usize) void {
            to[0][at..][0..n].* = a.re;
            to[1][at..][0..n].* = a.im;
        }
        pub inline fn plus(a: Self, b: Self) Self {
            return .{ .re = a.re + b.re, .im = a.im + b.im };
        }
        pub inline fn minus(a: Self, b: Self) Self {
            return .{ .re = a.re - b.re, .im = a.im - b.im };
        }
        pub inline fn times(a: Self, re: V, im: V) Self {
            return .{ .re = simd.fma(V, a.re, re, -(a.im * im)), .im = simd.fma(V, a.re, im, a.im * re) };
        }
        pub inline fn scaled(a: Self, comptime factor: comptime_float) Self {
            return .{ .re = a.re * @as(V, @splat(factor)), .im = a.im * @as(V, @splat(factor)) };
        }
        pub inline fn plusScaled(a: Self, b: Self, factor: V) Self {
            return .{ .re = simd.fma(V, b.re, factor, a.re), .im = simd.fma(V, b.im, factor, a.im) };
        }
        pub inline fn timesMinusI(a: Self) Self {
            return .{ .re = a.im, .im = -a.re };
        }
    };
}
