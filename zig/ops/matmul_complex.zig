//! Complex matrix products by one real product of twice the size: with the parts apart,
//!
//!     | Cr |   | Ar  -Ai |   | Br |
//!     | Ci | = | Ai   Ar | @ | Bi |
//!
//! so an element is the real chain (gemm_kernel.zig) over the 2 k steps of its row. Four real
//! products' work: with three (Karatsuba) small parts would lose digits to large ones.
//!
//! Where M = 1 or N = 1 the matrix is read where it lies: an element is the product (gemm_vector.zig) of its
//! 2 k numbers as they stand in memory, and the vector's: xr, -xi ... for the real part, xi, xr ... for the imaginary.
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const gemm_vector = @import("gemm_vector.zig");
const pack = @import("gemm_pack.zig");
const DType = @import("../dtype.zig").DType;
const Call = plan.Call;

/// One matrix: element (i, j) at ptr[i * rs + j * cs], its imaginary part `part` after it.
pub fn Matrix(comptime T: type) type {
    return struct {
        const Self = @This();
        ptr: [*]const T,
        rs: usize,
        cs: usize,
        part: usize,

        fn transposed(a: Self) Self {
            return .{ .ptr = a.ptr, .rs = a.cs, .cs = a.rs, .part = a.part };
        }
    };
}

/// out (m, n, 2), contiguous = a (m, k) @ b (k, n).
pub fn product(
    comptime T: type,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix(T),
    b: Matrix(T),
    out: [*]T,
    call: *Call,
) void {
    if (n == 1) return byVector(T, m, k, b.transposed(), a, out, call);
    if (m == 1) return byVector(T, n, k, a, b.transposed(), out, call);
    const G = gemm.Gemm(T);
    const Strided = pack.Strided(T);
    const memory = services.allocSlice(T, 4 * m * k + 2 * k * n + 2 * m * n) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(memory.ptr));
    const left = memory.ptr;
    const right = left + 4 * m * k;
    const sums = right + 2 * k * n;
    // What lies column by column is taken apart column by column.
    const a_turned = a.rs < a.cs;
    const b_turned = b.rs < b.cs;
    const a_count = if (a_turned) m else k;
    const b_count = if (b_turned) k else n;
    const of_a: Parts(T) = .{
        .a = if (a_turned) a.transposed() else a,
        .count = a_count,
        .rs = 2 * a_count,
        .re = left,
        .im = left + if (a_turned) m else 2 * m * k,
        .again = left + 2 * m * k + a_count,
        .minus = left + if (a_turned) 2 * m * k else k,
    };
    const of_b: Parts(T) = .{
        .a = if (b_turned) b.transposed() else b,
        .count = b_count,
        .rs = if (b_turned) 2 * k else n,
        .re = right,
        .im = right + if (b_turned) k else k * n,
    };
    services.parallelFor(if (a_turned) k else m, gemm.grain(piece, 4 * a_count), of_a, Parts(T).split);
    services.parallelFor(if (b_turned) n else k, gemm.grain(piece, 2 * b_count), of_b, Parts(T).split);
    const d = dtypeOf(T);
    const x: Strided = .{ .ptr = @ptrCast(left), .dtype = d, .si = if (a_turned) 1 else 2 * k, .sk = if (a_turned) 2 * m else 1 };
    const y: Strided = .{ .ptr = @ptrCast(right), .dtype = d, .si = if (b_turned) 2 * k else 1, .sk = if (b_turned) 1 else n };
    G.run(&.{
        .m = 2 * m,
        .n = n,
        .k = 2 * k,
        .a = .{ .ctx = &x, .pack = Strided.packA },
        .b = .{ .ctx = &y, .pack = Strided.packB },
        .a_view = .{ .ptr = left, .si = x.si, .sk = x.sk },
        .b_view = .{ .ptr = right, .si = y.si, .sk = y.sk },
        .c = .{ .ptr = sums, .rs = n },
    }, call);
    const joining: Joining(T) = .{ .re = sums, .im = sums + m * n, .out = out };
    services.parallelFor(m * n, piece, joining, Joining(T).run);
}

/// Elements that are moved in about 20 us.
const piece = 1 << 17;

fn dtypeOf(comptime T: type) DType {
    return if (T == f32) .float32 else .float64;
}

/// Numbers that are taken apart or joined together.
fn lanes(comptime T: type) comptime_int {
    return simd.lanes(T);
}

/// Rows of a complex matrix to rows of its parts, `rs` apart.
fn Parts(comptime T: type) type {
    return struct {
        const Self = @This();
        const W = lanes(T);
        a: Matrix(T),
        count: usize,
        rs: usize,
        re: [*]T,
        im: [*]T,
        /// The real part once more, and the imaginary one negated.
        again: ?[*]T = null,
        minus: [*]T = undefined,

        fn split(p: *const Self, begin: usize, end: usize) void {
            const most = 64;
            var buffer: [2 * most]T align(64) = undefined;
            for (begin..end) |i| {
                const row = p.a.ptr + i * p.a.rs;
                var done: usize = 0;
                while (done < p.count) : (done += most) {
                    const n = @min(most, p.count - done);
                    const from = row + done * p.a.cs;
                    const are_pairs = p.a.cs == 2 and p.a.part == 1;
                    if (!are_pairs) copyPairs(T, &buffer, from, p.a.cs, p.a.part, n);
                    const pairs: [*]const T = if (are_pairs) from else &buffer;
                    var j: usize = 0;
                    inline for (.{ W, 1 }) |w| while (j + w <= n) : (j += w) {
                        const even = comptime simd.iota(w, i32) * @as(@Vector(w, i32), @splat(2));
                        const odd = comptime even + @as(@Vector(w, i32), @splat(1));
                        const x: @Vector(2 * w, T) = pairs[2 * j ..][0 .. 2 * w].*;
                        p.put(@Vector(w, T), i * p.rs + done + j, @shuffle(T, x, undefined, even), @shuffle(T, x, undefined, odd));
                    };
                }
            }
        }

        inline fn put(p: *const Self, comptime U: type, at: usize, re: U, im: U) void {
            const n = @typeInfo(U).vector.len;
            p.re[at..][0..n].* = re;
            p.im[at..][0..n].* = im;
            if (p.again) |again| {
                again[at..][0..n].* = re;
                p.minus[at..][0..n].* = -im;
            }
        }
    };
}

/// The parts side by side.
fn Joining(comptime T: type) type {
    return struct {
        re: [*]const T,
        im: [*]const T,
        out: [*]T,

        fn run(s: *const @This(), begin: usize, end: usize) void {
            const W = lanes(T);
            const order = comptime blk: {
                var order: [2 * W]i32 = undefined;
                for (0..W) |l| order[2 * l ..][0..2].* = .{ l, ~@as(i32, l) };
                break :blk order;
            };
            var j = begin;
            while (j + W <= end) : (j += W) {
                s.out[2 * j ..][0 .. 2 * W].* = @shuffle(T, simd.load(T, s.re + j), simd.load(T, s.im + j), order);
            }
            while (j < end) : (j += 1) s.out[2 * j ..][0..2].* = .{ s.re[j], s.im[j] };
        }
    };
}

/// out (n, 2), contiguous = the sums over k of x[k] * m[j, k], x a row.
noinline fn byVector(comptime T: type, n: usize, k: usize, x: Matrix(T), given: Matrix(T), out: [*]T, call: *Call) void {
    const Vector = gemm_vector.Vector(T);
    const d = dtypeOf(T);
    var m = given;
    // Columns: each number times xr, and times xi.
    const across = m.rs < m.cs and 2 * n >= lanes(T) and 2 * k <= gemm_vector.block;
    const copies = m.part != 1 or 2 != if (across) m.rs else m.cs;
    const memory = services.allocSlice(T, 4 * k + 4 * n + if (copies) 2 * n * k else 0) orelse
        return call.fail(.out_of_memory, .{ 0, 0, 0 });
    defer services.free(@ptrCast(memory.ptr));
    const first = memory.ptr;
    const second = first + 2 * k;
    const sums = second + 2 * k;
    if (copies) {
        const rows, const count = if (across) .{ k, n } else .{ n, k };
        const copying: Pairs(T) = .{ .m = if (across) m.transposed() else m, .count = count, .to = sums + 4 * n };
        services.parallelFor(rows, gemm.grain(piece, 2 * count), copying, Pairs(T).run);
        m = .{ .ptr = copying.to, .rs = 2 * k, .cs = 2 * n, .part = 1 };
    }
    const step: usize = if (across) 1 else 2;
    for (0..k) |i| {
        const re = x.ptr[i * x.cs];
        const im = x.ptr[i * x.cs + x.part];
        first[i * step] = re;
        second[i * step] = im;
        if (!across) {
            first[2 * i + 1] = -im;
            second[2 * i + 1] = re;
        }
    }
    const one: gemm_vector.View = .{ .ptr = @ptrCast(first), .dtype = d, .sj = 0, .sk = 1 };
    if (across) {
        var other = one;
        other.ptr = @ptrCast(second);
        const columns: gemm_vector.View = .{ .ptr = @ptrCast(m.ptr), .dtype = d, .sj = 1, .sk = m.cs };
        const by_re, const by_im = .{ sums, sums + 2 * n };
        Vector.runAcross(2 * n, k, one, columns, by_re, call);
        Vector.runAcross(2 * n, k, other, columns, by_im, call);
        for (0..n) |j| out[2 * j ..][0..2].* = .{ by_re[2 * j] - by_im[2 * j + 1], by_im[2 * j] + by_re[2 * j + 1] };
    } else {
        const rows: gemm_vector.View = .{ .ptr = @ptrCast(m.ptr), .dtype = d, .sj = m.rs, .sk = 1 };
        Vector.runFew(2, n, 2 * k, one, 2 * k, rows, sums, call);
        const joining: Joining(T) = .{ .re = sums, .im = sums + n, .out = out };
        joining.run(0, n);
    }
}

/// Rows of pairs, without gaps.
fn Pairs(comptime T: type) type {
    return struct {
        m: Matrix(T),
        count: usize,
        to: [*]T,

        fn run(p: *const @This(), begin: usize, end: usize) void {
            for (begin..end) |i| copyPairs(T, p.to + 2 * i * p.count, p.m.ptr + i * p.m.rs, p.m.cs, p.m.part, p.count);
        }
    };
}

/// n numbers, `step` apart, side by side.
noinline fn copyPairs(comptime T: type, to: [*]T, from: [*]const T, step: usize, part: usize, n: usize) void {
    if (part == 1) {
        for (0..n) |j| to[2 * j ..][0..2].* = from[j * step ..][0..2].*;
    } else for (0..n) |j| {
        to[2 * j ..][0..2].* = .{ from[j * step], from[j * step + part] };
    }
}
