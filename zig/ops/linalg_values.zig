//! The singular values of a bidiagonal matrix without vectors, by differential quotient-difference
//! steps: one division for each element and step, where a QR step takes two roots and two divisions
//! (Fernando and Parlett, "Accurate singular values and differential qd algorithms"; the shifts are
//! some of those of LAPACK's dlasq4).
const std = @import("std");
const simd = @import("../simd.zig");

pub const Values = struct {
    const T = f64;
    const eps = std.math.floatEps(T) / 2;
    /// Squares as small as this beside others are 0.
    const tolerance = (100 * eps) * (100 * eps);
    const max_steps = 60;

    // Squares of the diagonal and of what is above it, less the shifts so far. Where the matrix
    // falls apart, what is above is minus the sum of the shifts of the part before.
    q: [*]T,
    e: [*]T,
    /// What a step makes of them.
    q_next: [*]T,
    e_next: [*]T,
    /// Sum of the shifts of the part at work, and what was lost in adding them.
    sigma: T = 0,
    lost: T = 0,
    /// The least number d of the last step: of all, without its last, without its last two.
    least: [3]T = @splat(0),
    /// Its last number, and the one before.
    ends: [2]T = @splat(0),

    /// The values of d (n), with e (n - 1) above it, to d, in no order; work: 4 n numbers. False, with
    /// d as it was, if it does not converge.
    pub fn run(comptime S: type, n: usize, d: [*]S, e: [*]const S, work: [*]T) bool {
        var size: T = 0;
        for (0..n) |i| size = @max(size, @abs(d[i]), if (i + 1 < n) @abs(e[i]) else 0);
        if (!(size > std.math.floatMin(T) and size < std.math.inf(T))) return false;
        var s: Values = .{ .q = work, .e = work + n, .q_next = work + 2 * n, .e_next = work + 3 * n };
        // The small ones are looked for at the end.
        const turns = @abs(d[0]) < @abs(d[n - 1]);
        for (0..n) |i| {
            const x = @as(T, d[if (turns) n - 1 - i else i]) / size;
            s.q[i] = x * x;
            if (i + 1 == n) break;
            const y = @as(T, e[if (turns) n - 2 - i else i]) / size;
            s.e[i] = y * y;
        }
        if (!s.iterate(n)) return false;
        for (0..n) |i| d[i] = @floatCast(size * @sqrt(s.q[i]));
        return true;
    }

    /// q becomes the squares of the values.
    noinline fn iterate(s: *Values, n: usize) bool {
        var end = n;
        var steps: usize = 0;
        var tau: T = 0;
        while (end > 0) {
            const last = end - 1;
            // The last part that hangs together.
            var first = last;
            while (first > 0 and s.e[first - 1] > tolerance * @max(s.sigma, s.q[first - 1])) first -= 1;
            if (first > 0 and !std.math.signbit(s.e[first - 1])) s.e[first - 1] = -s.sigma;
            if (last - first >= 2) {
                if (steps == max_steps) return false;
                steps += 1;
                tau = s.step(first, last, tau) orelse return false;
                continue;
            }
            if (last > first) s.two(first);
            for (first..end) |i| s.q[i] += s.sigma;
            end = first;
            if (end == 0) break;
            const sigma = -s.e[end - 1];
            // One value of a part: what the last step told of the others holds.
            const goes_on = first == last and sigma == s.sigma and steps > 0 and end > 1;
            if (!goes_on) s.lost = 0;
            s.sigma = sigma;
            s.least[0] = s.least[1];
            s.ends[0] = s.ends[1];
            tau = if (goes_on and s.e[end - 2] > 0) s.shiftBelow(end - 1) else 0;
            steps = 0;
        }
        return true;
    }

    /// A step on the part first ... last with a shift of tau, or of less if that is too much;
    /// the next one's shift.
    fn step(s: *Values, first: usize, last: usize, shift: T) ?T {
        var tau = shift;
        var tries: usize = 0;
        while (true) : (tries += 1) {
            s.transform(first, last, tau);
            if (!std.math.isFinite(s.ends[0])) return null;
            if (s.least[0] >= 0) break;
            if (tau == 0) return null;
            tau = if (tries > 1)
                0
            else if (s.least[1] > 0 and tau + s.least[0] > 0)
                (tau + s.least[0]) * (1 - 4 * eps)
            else
                tau / 4;
        }
        @memcpy(s.q[first .. last + 1], s.q_next[first .. last + 1]);
        @memcpy(s.e[first..last], s.e_next[first..last]);
        const more = tau - s.lost;
        const sum = s.sigma + more;
        s.lost = (sum - s.sigma) - more;
        s.sigma = sum;
        return s.nextShift(last);
    }

    fn transform(s: *Values, first: usize, last: usize, tau: T) void {
        var d = s.q[first] - tau;
        var least = d;
        for (first..last - 1) |i| {
            least = @min(least, d);
            d = s.advance(i, d, tau);
        }
        const before = d;
        d = s.advance(last - 1, d, tau);
        s.q_next[last] = d;
        s.ends = .{ d, before };
        s.least = .{ @min(least, before, d), @min(least, before), least };
    }

    inline fn advance(s: *Values, i: usize, d: T, tau: T) T {
        const q = d + s.e[i];
        const t = s.q[i + 1] / q;
        s.q_next[i] = q;
        s.e_next[i] = s.e[i] * t;
        return simd.fma(T, d, t, -tau);
    }

    /// Not more than the least value of the part that ends at `last`, as a rule.
    fn nextShift(s: *Values, last: usize) T {
        const least = s.least[0];
        if (least != s.ends[0] or s.least[1] != s.ends[1]) return s.shiftBelow(last);
        // Cases 2 and 3: the last two are the least.
        const end = s.ends[0];
        const b = @sqrt(s.q[last] * s.e[last - 1]);
        const c = @sqrt(s.q[last - 1] * s.e[last - 2]);
        const a = s.q[last - 1] + s.e[last - 1];
        const wide = s.least[2] * 0.75 - a;
        const gap = if (wide > c) a - end - c / wide * c else a - end - (b + c);
        if (gap > b) return @max(end - b / gap * b, least / 2);
        var shift = @max(end - b, 0);
        if (a > b + c) shift = @min(shift, a - (b + c));
        return @max(shift, least / 3);
    }

    /// Case 4: from the vector of the least value, where that is at the end.
    fn shiftBelow(s: *Values, last: usize) T {
        const least = s.least[0];
        if (least != s.ends[0]) return least / 4;
        var b: T = 1;
        var sum: T = 0;
        var i = last;
        while (i > 0 and s.e[i - 1] > 0) {
            i -= 1;
            if (s.e[i] > s.q[i]) return least / 4;
            const old = b;
            b *= s.e[i] / s.q[i];
            sum += b;
            if (100 * @max(b, old) < sum or sum > 0.56) break;
        }
        sum *= 1.05;
        return if (sum < 0.56) least * (1 - @sqrt(sum)) / (1 + sum) else least / 4;
    }

    /// The values of a part of two, from `i` on.
    fn two(s: *Values, i: usize) void {
        const large = @max(s.q[i], s.q[i + 1]);
        const small = @min(s.q[i], s.q[i + 1]);
        const e = s.e[i];
        const half = (large - small + e) / 2;
        const root = half + @sqrt(half) * @sqrt(half + small * (e / half));
        const greatest = if (half == 0) large else large + (small * (e / root) + e);
        s.q[i] = greatest;
        s.q[i + 1] = if (greatest == 0) 0 else small * (large / greatest);
    }
};

test "values of bidiagonal matrices" {
    var generator: std.Random.DefaultPrng = .init(1);
    const random = generator.random();
    for ([_]usize{ 1, 2, 3, 5, 17, 40 }) |n| for (0..20) |kind| {
        var d: [40]f64 = @splat(0);
        var e: [40]f64 = @splat(0);
        var work: [160]f64 = undefined;
        for (d[0..n]) |*x| x.* = random.floatNorm(f64);
        for (e[0 .. n - 1]) |*x| x.* = random.floatNorm(f64);
        if (kind % 3 == 1) e[n / 2] = 0;
        if (kind % 4 == 1) d[n / 3] = 0;
        if (kind % 5 == 1) for (d[0..n], 0..) |*x, i| {
            x.* = std.math.ldexp(x.*, -@as(i32, @intCast(i)));
        };
        var squares: f64 = 0;
        var product: f64 = 1;
        for (0..n) |i| {
            product *= d[i];
            squares += d[i] * d[i] + if (i + 1 < n) e[i] * e[i] else 0;
        }
        var values = d;
        if (!Values.run(f64, n, &values, &e, &work)) {
            try std.testing.expectEqual(d, values);
            try std.testing.expect(product == 0);
            continue;
        }
        var again: f64 = 0;
        var same: f64 = 1;
        for (values[0..n]) |x| {
            again += x * x;
            same *= x;
        }
        try std.testing.expectApproxEqRel(squares, again, 1e-13);
        try std.testing.expectApproxEqAbs(@abs(product), same, 1e-11 * @abs(product) + 1e-13);
    };
}
