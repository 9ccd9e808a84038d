//! Small planes of float32, eight of them in vectors: an element of each in a vector. Whatever their rows are, vectors
//! are full.
const transpose = @import("gemm_pack.zig").transpose;

/// Planes together.
pub const L = 8;
pub const V = @Vector(L, f32);
pub const I = @Vector(L, i32);

noinline fn turn(block: *[L]V) void {
    transpose(f32, L, block);
}

/// Planes of n elements, lanes last.
pub fn load(from: [*]const f32, n: usize, count: usize, x: [*]V) void {
    var q: usize = 0;
    while (q < n) : (q += L) {
        const at = @min(q, n -| L);
        var block: [L]V = undefined;
        for (&block, 0..) |*b, i| {
            const plane = from + @min(i, count - 1) * n + at;
            if (n >= L) {
                b.* = plane[0..L].*;
            } else {
                var part: [L]f32 = @splat(0);
                @memcpy(part[0..n], plane[0..n]);
                b.* = part;
            }
        }
        turn(&block);
        x[at..][0..L].* = block;
    }
}

/// The way back. What is written beyond a plane's end the next plane covers, before plane `end`.
pub fn store(comptime E: type, to: [*]E, number: usize, count: usize, end: usize, n: usize, x: [*]const V) void {
    var q: usize = 0;
    while (q < n) : (q += L) {
        const at = @min(q, n -| L);
        var block: [L]V = x[at..][0..L].*;
        turn(&block);
        for (block[0..count], number..) |b, plane| {
            const first = plane * n + at;
            const elements: @Vector(L, E) = if (E == f32) b else @as(I, @bitCast(b));
            if (first + L <= end * n) {
                to[first..][0..L].* = elements;
            } else for (to[first .. end * n], @as([L]E, elements)[0 .. end * n - first]) |*e, v| {
                e.* = v;
            }
        }
    }
}
