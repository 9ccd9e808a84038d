//! The virtual vector: 64 bytes wide on every CPU with FMA, whatever its registers are.
//!
//! A result must not depend on the CPU level (docs/DESIGN: the same bits everywhere), so
//! nothing here looks at the width of the machine: LLVM cuts a virtual vector into as many
//! registers as it takes. What depends on order (a horizontal sum) follows one fixed tree.
//! CPUs without FMA round otherwise anyhow and are outside of that promise: they take one
//! register, where a virtual vector would be four copies of the code.
//!
//! Vectors are plain `@Vector`s; functions take the vector type first, as `@mulAdd` does.
const std = @import("std");
const builtin = @import("builtin");

/// Bytes of the virtual vector.
pub const vector_bytes = if (has_fma) 64 else 16;

/// How many `T` a virtual vector holds: 16 for f32 and i32, 8 for f64 and i64.
pub inline fn lanes(comptime T: type) comptime_int {
    return vector_bytes / @sizeOf(T);
}

/// How many `T` an elementwise kernel takes at a time.
pub inline fn elementwiseLanes(comptime T: type) comptime_int {
    return lanes(T);
}

/// The virtual vector of `T`.
pub fn Vec(comptime T: type) type {
    return @Vector(lanes(T), T);
}

/// Whether `fma` is fused. Without it in the CPU, @mulAdd would be a call of libc's fmaf for
/// every element: 20 times slower than the two roundings we take instead.
pub const has_fma = switch (builtin.cpu.arch) {
    .x86, .x86_64 => builtin.cpu.has(.x86, .fma),
    else => true,
};

/// a * b + c: rounded once where the CPU can, twice on x86-64 below v3. `V` is a float or a
/// vector of floats. Zig does not contract a * b + c by itself, so this is the only fma.
pub inline fn fma(comptime V: type, a: V, b: V, c: V) V {
    return if (has_fma) @mulAdd(V, a, b, c) else a * b + c;
}

pub inline fn splat(comptime V: type, x: std.meta.Child(V)) V {
    return @splat(x);
}

// --- Loads and stores (any alignment) ---------------------------------------------------

/// One virtual vector from `p`.
pub inline fn load(comptime T: type, p: [*]const T) Vec(T) {
    return p[0..lanes(T)].*;
}
pub inline fn store(comptime T: type, p: [*]T, v: Vec(T)) void {
    p[0..lanes(T)].* = v;
}

/// `n` lanes from `p`.
pub inline fn loadN(comptime n: comptime_int, comptime T: type, p: [*]const T) @Vector(n, T) {
    return p[0..n].*;
}
pub inline fn storeN(comptime n: comptime_int, comptime T: type, p: [*]T, v: @Vector(n, T)) void {
    p[0..n].* = v;
}

/// The first `count` < lanes(T) lanes from `p`, the others `fill`. Reads nothing beyond.
pub inline fn loadPart(comptime T: type, p: [*]const T, count: usize, fill: T) Vec(T) {
    const others: Vec(T) = @splat(fill);
    if (comptime masked != .none and @sizeOf(T) >= 4) return maskedLoad(T, p, firstLanes(T, count), others);
    return copiedLoad(T, p, count, fill);
}
/// The first `count` < lanes(T) lanes of `v` into `p`. Writes nothing beyond.
pub inline fn storePart(comptime T: type, p: [*]T, count: usize, v: Vec(T)) void {
    if (comptime masked != .none and @sizeOf(T) >= 4) return maskedStore(T, p, firstLanes(T, count), v);
    copiedStore(T, p, count, v);
}

// Once in the library, not at every load and store: they call memcpy anyway.
noinline fn copiedLoad(comptime T: type, p: [*]const T, count: usize, fill: T) Vec(T) {
    var buffer: [lanes(T)]T align(vector_bytes) = @as(Vec(T), @splat(fill));
    @memcpy(buffer[0..count], p[0..count]);
    return buffer;
}
noinline fn copiedStore(comptime T: type, p: [*]T, count: usize, v: Vec(T)) void {
    const buffer: [lanes(T)]T align(vector_bytes) = v;
    @memcpy(p[0..count], buffer[0..count]);
}

/// How the CPU loads and stores some lanes only. There is no builtin for that, and LLVM makes
/// nothing better of a loop than a call of memcpy and a stall.
const masked: enum { none, avx2, avx512 } = switch (builtin.cpu.arch) {
    .x86_64 => if (builtin.zig_backend != .stage2_llvm)
        .none
    else if (builtin.cpu.has(.x86, .avx512bw))
        .avx512
    else if (builtin.cpu.has(.x86, .avx2))
        .avx2
    else
        .none,
    else => .none,
};

/// Whether there is an instruction for p 2^k, over a whole virtual vector.
pub const has_scale = masked == .avx512;

fn Lanes(comptime T: type) type {
    return @Vector(lanes(T), bool);
}
/// The first `count` lanes.
pub inline fn firstLanes(comptime T: type, count: usize) Lanes(T) {
    const I = @Int(.unsigned, @bitSizeOf(T));
    return iota(lanes(T), I) < @as(@Vector(lanes(T), I), @splat(@intCast(count)));
}

inline fn maskedLoad(comptime T: type, p: [*]const T, mask: Lanes(T), others: Vec(T)) Vec(T) {
    const name = if (@sizeOf(T) == 4) "ps" else "pd";
    if (masked == .avx512) {
        const k: @Int(.unsigned, lanes(T)) = @bitCast(mask);
        return asm volatile ("vmovu" ++ name ++ " (%[p]), %[out] {%[k]}"
            : [out] "=v" (-> Vec(T)),
            : [p] "r" (p),
              [k] "^Yk" (k),
              [others] "0" (others),
            : .{ .memory = true });
    }
    const half = lanes(T) / 2;
    const m = halves(T, mask);
    var out: [2]@Vector(half, T) = undefined;
    inline for (0..2) |h| out[h] = asm volatile ("vmaskmov" ++ name ++ " (%[p]), %[m], %[out]"
        : [out] "=x" (-> @Vector(half, T)),
        : [p] "r" (p + h * half),
          [m] "x" (m[h]),
        : .{ .memory = true });
    return @select(T, mask, @as(Vec(T), @bitCast(out)), others);
}
inline fn maskedStore(comptime T: type, p: [*]T, mask: Lanes(T), v: Vec(T)) void {
    const name = if (@sizeOf(T) == 4) "ps" else "pd";
    if (masked == .avx512) {
        const k: @Int(.unsigned, lanes(T)) = @bitCast(mask);
        return asm volatile ("vmovu" ++ name ++ " %[v], (%[p]) {%[k]}"
            :
            : [p] "r" (p),
              [k] "^Yk" (k),
              [v] "v" (v),
            : .{ .memory = true });
    }
    const half = lanes(T) / 2;
    const m = halves(T, mask);
    const parts: [2]@Vector(half, T) = @bitCast(v);
    inline for (0..2) |h| asm volatile ("vmaskmov" ++ name ++ " %[v], %[m], (%[p])"
        :
        : [p] "r" (p + h * half),
          [m] "x" (m[h]),
          [v] "x" (parts[h]),
        : .{ .memory = true });
}
/// A mask as AVX2 has it: the sign of every lane.
inline fn halves(comptime T: type, mask: Lanes(T)) [2]@Vector(lanes(T) / 2, @Int(.signed, @bitSizeOf(T))) {
    const I = @Int(.signed, @bitSizeOf(T));
    return @bitCast(@select(I, mask, @as(@Vector(lanes(T), I), @splat(-1)), @as(@Vector(lanes(T), I), @splat(0))));
}

/// 0, 1, 2, ... in every lane, as `T`.
pub inline fn iota(comptime n: comptime_int, comptime T: type) @Vector(n, T) {
    comptime var a: [n]T = undefined;
    inline for (0..n) |i| a[i] = i;
    return a;
}

/// Asks for the memory that a loop which goes through `p` will need `ahead` bytes on.
pub inline fn askAhead(p: anytype, ahead: usize) void {
    const bytes: [*]const u8 = @ptrCast(p);
    @prefetch(bytes + ahead, .{});
}
/// x, of which the compiler knows nothing: where it knows better, it makes branches that nobody could
/// foresee, writes loops out for every value, or keeps more addresses than there are registers.
pub inline fn opaquely(x: usize) usize {
    return asm volatile (""
        : [out] "=r" (-> usize),
        : [x] "0" (x),
    );
}
/// In a loop that ends others or is rarely long: the compiler then writes its body once, not for
/// vectors and several times over. Costs no instruction.
pub inline fn once() void {
    asm volatile ("");
}
/// How far ahead it is worth asking in a loop over this many inputs and an output, of so many
/// bytes together: beyond some MiB only for the output's line itself, since reads teach the CPU
/// what to fetch where writes don't.
pub inline fn aheadIn(inputs: usize, bytes: usize) usize {
    const far: usize, const most: usize = if (inputs <= 1) .{ 1024, 10 << 20 } else .{ 2048, 5 << 20 };
    return if (bytes <= most) far else 0;
}

// --- Maximum and minimum ----------------------------------------------------------------

/// The larger; nan if either is nan (torch.maximum). For integers, plain.
/// Of equal values (+0 and -0) the second.
pub inline fn maxNan(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @max(a, b);
    return pick(V, a != a, a, pick(V, a > b, a, b));
}
/// The smaller; nan if either is nan (torch.minimum). For integers, plain.
/// Of equal values (+0 and -0) the second.
pub inline fn minNan(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @min(a, b);
    return pick(V, a != a, a, pick(V, a < b, a, b));
}
/// The larger where there is no nan to care about: one instruction on x86. If either is nan, b.
pub inline fn maxFast(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @max(a, b);
    return pick(V, a > b, a, b);
}
pub inline fn minFast(comptime V: type, a: V, b: V) V {
    if (comptime !isFloat(V)) return @min(a, b);
    return pick(V, a < b, a, b);
}

inline fn isFloat(comptime V: type) bool {
    return @typeInfo(Scalar(V)) == .float;
}
/// The element type of a vector, or the scalar itself.
pub fn Scalar(comptime V: type) type {
    return switch (@typeInfo(V)) {
        .vector => |v| v.child,
        else => V,
    };
}
/// `@select` for vectors, `if` for scalars.
pub inline fn pick(comptime V: type, condition: anytype, a: V, b: V) V {
    if (@typeInfo(V) == .vector) return @select(Scalar(V), condition, a, b);
    return if (condition) a else b;
}

// --- Horizontal reductions --------------------------------------------------------------
// A fixed tree by halves: lane i meets lane i + n/2, then i + n/4 ... `@reduce(.Add)` is a
// chain of n dependent additions, and its unordered form leaves the order to the CPU level.

pub inline fn reduceAdd(v: anytype) Scalar(@TypeOf(v)) {
    return tree(v, struct {
        inline fn f(comptime V: type, a: V, b: V) V {
            return if (comptime isFloat(V)) a + b else a +% b;
        }
    }.f);
}
pub inline fn reduceMul(v: anytype) Scalar(@TypeOf(v)) {
    return tree(v, struct {
        inline fn f(comptime V: type, a: V, b: V) V {
            return if (comptime isFloat(V)) a * b else a *% b;
        }
    }.f);
}
/// The largest lane; nan if any lane is nan.
pub inline fn reduceMax(v: anytype) Scalar(@TypeOf(v)) {
    return tree(v, maxNan);
}
/// The smallest lane; nan if any lane is nan.
pub inline fn reduceMin(v: anytype) Scalar(@TypeOf(v)) {
    return tree(v, minNan);
}

/// `f(V, a, b)` over the lanes of `v` (a power of two of them), by halves.
pub inline fn tree(v: anytype, comptime f: anytype) Scalar(@TypeOf(v)) {
    @setEvalBranchQuota(100_000); // callers unroll loops around this
    const n = @typeInfo(@TypeOf(v)).vector.len;
    const T = Scalar(@TypeOf(v));
    comptime std.debug.assert(std.math.isPowerOfTwo(n));
    if (n == 1) return v[0];
    const half = n / 2;
    const H = @Vector(half, T);
    const low = @shuffle(T, v, undefined, iota(half, i32));
    const high = @shuffle(T, v, undefined, iota(half, i32) + @as(@Vector(half, i32), @splat(half)));
    return tree(f(H, low, high), f);
}

/// `tree` of as many vectors as one has lanes, all at once: lane i is tree(rows[i], f). Four
/// instructions a vector, where a tree by itself is a dozen that wait for one another.
pub inline fn trees(comptime T: type, rows: *const [lanes(T)]Vec(T), comptime f: anytype) Vec(T) {
    @setEvalBranchQuota(100_000);
    return joined(T, rows, f, 1, 0);
}
/// Lanes of 16 bytes, within which x86 shuffles most cheaply.
fn quarter(comptime T: type) comptime_int {
    return 16 / @sizeOf(T);
}
/// Row `row` and those that end up beside it, each brought down to `left` lanes.
inline fn joined(
    comptime T: type,
    rows: *const [lanes(T)]Vec(T),
    comptime f: anytype,
    comptime left: comptime_int,
    comptime row: comptime_int,
) Vec(T) {
    const n = lanes(T);
    if (left == n) return rows[row];
    const q = quarter(T);
    const partner = row + if (left < q) q / (2 * left) else n * q / (2 * left);
    const a = joined(T, rows, f, 2 * left, row);
    const b = joined(T, rows, f, 2 * left, partner);
    // From `span` lanes of a and as many of b, one behind the other, the lower halves of all
    // blocks of 2 * left, and the upper ones.
    const span = if (left < q) q else n;
    comptime var low: [n]i32 = undefined;
    comptime var high: [n]i32 = undefined;
    inline for (0..n) |j| {
        const within = j % span % (span / 2);
        const at = j / span * span + within / left * 2 * left + within % left;
        low[j] = if (j % span < span / 2) at else ~@as(i32, at);
        high[j] = if (j % span < span / 2) at + left else ~@as(i32, at + left);
    }
    return f(Vec(T), @shuffle(T, a, b, low), @shuffle(T, a, b, high));
}

// --- Tests ------------------------------------------------------------------------------

test "the trees of many vectors are those of each" {
    inline for (.{ f32, f64, i64 }) |T| {
        var rows: [lanes(T)]Vec(T) = undefined;
        var x: u32 = 1;
        for (&rows) |*row| {
            var values: [lanes(T)]T = undefined;
            for (&values) |*v| {
                x = x *% 1664525 +% 1013904223;
                v.* = if (T == i64) x else @as(T, @floatFromInt(x)) / 3;
            }
            row.* = values;
        }
        const add = struct {
            inline fn f(comptime V: type, a: V, b: V) V {
                return if (T == i64) a +% b else a + b;
            }
        }.f;
        const all: [lanes(T)]T = trees(T, &rows, add);
        for (rows, all) |row, found| try std.testing.expectEqual(tree(row, add), found);
    }
}

test "horizontal sum is the tree by halves" {
    const x = [8]f32{ 1e8, 1, -1e8, 2, 3, 4, 5, 6 };
    const expected = ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    var y = x;
    std.mem.doNotOptimizeAway(&y);
    try std.testing.expectEqual(expected, reduceAdd(@as(@Vector(8, f32), y)));
    try std.testing.expectEqual(@as(i32, 28), reduceAdd(iota(8, i32)));
    try std.testing.expectEqual(@as(f64, 24), reduceMul(@as(@Vector(4, f64), .{ 1, 2, 3, 4 })));
    try std.testing.expectEqual(@as(f64, 7), reduceAdd(@as(@Vector(1, f64), .{7})));
}

test "maximum and minimum pass nan on from either side" {
    const nan = std.math.nan(f32);
    const V = @Vector(4, f32);
    const a: V = .{ 1, nan, 3, -0.5 };
    const b: V = .{ 2, 2, nan, -1 };
    const high = maxNan(V, a, b);
    const low = minNan(V, a, b);
    try std.testing.expect(high[0] == 2 and high[3] == -0.5 and low[0] == 1 and low[3] == -1);
    for ([_]f32{ high[1], high[2], low[1], low[2] }) |x| try std.testing.expect(x != x);
    for (0..16) |i| {
        var x: [16]f32 = @splat(1);
        x[i] = nan;
        try std.testing.expect(std.math.isNan(reduceMax(@as(@Vector(16, f32), x))));
        try std.testing.expect(std.math.isNan(reduceMin(@as(@Vector(16, f32), x))));
    }
    try std.testing.expectEqual(@as(i64, 9), reduceMax(@as(@Vector(4, i64), .{ 1, 9, -3, 4 })));
    try std.testing.expectEqual(@as(i64, -3), reduceMin(@as(@Vector(4, i64), .{ 1, 9, -3, 4 })));
    try std.testing.expectEqual(@as(f64, 5), maxNan(f64, 5, 4));
}

test "partial loads and stores keep to their elements" {
    const n = comptime lanes(f32);
    var x: [n + 1]f32 = undefined;
    for (&x, 0..) |*e, i| e.* = @floatFromInt(i);
    const v = loadPart(f32, &x, n - 1, -1);
    try std.testing.expect(v[n - 2] == n - 2 and v[n - 1] == -1);
    var y: [n]f32 = @splat(9);
    storePart(f32, &y, 3, v);
    try std.testing.expect(y[2] == 2 and y[3] == 9);
    store(f32, &y, load(f32, x[1..]));
    try std.testing.expect(y[n - 1] == n);
}
