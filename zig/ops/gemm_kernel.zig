//! The micro-kernel of the matrix product, and what it writes into.
//!
//! One call computes a tile of C, (rows <= mr, columns <= nr), over one block of at most
//! `kc_max` steps of k, in registers. Every element of the tile is one chain of fused
//! multiply-adds over ascending k that starts at 0; whether a tile is 14 x 32 or 1 x 16
//! changes nothing about that chain, so tiles may be chosen by the CPU (DESIGN.md 4).
const std = @import("std");
const builtin = @import("builtin");
const simd = @import("../simd.zig");

/// Steps of k in a chain. Part of the definition of a matrix product's bits: the sums of
/// consecutive blocks are added to each other in ascending order.
pub const kc_max = 512;

/// a * b + c: fused for floats, wrapping for integers.
pub inline fn mulAdd(comptime V: type, a: V, b: V, c: V) V {
    const Element = if (@typeInfo(V) == .vector) std.meta.Child(V) else V;
    return if (@typeInfo(Element) == .float) simd.fma(V, a, b, c) else c +% a *% b;
}

/// How a step multiplies and adds.
pub const Op = enum {
    multiply_add,
    /// A step is a word of 32 bits, the CPU's dot product of it the operation: of two bfloat16
    /// (T = f32: the upper half's product is added first, then the lower's) or of four bytes, in
    /// A signed, in B not (T = i32). Only where `hasDot`, and the CPU (`services.extensions`).
    dot,
};

/// Whether there is code for `Op.dot` at this CPU level.
pub fn hasDot(comptime T: type) bool {
    return masks and (T == f32 or T == i32);
}

/// acc + the dot products of words.
pub inline fn dot(comptime T: type, comptime W: usize, acc: @Vector(W, T), a: @Vector(W, T), b: @Vector(W, T)) @Vector(W, T) {
    // The compiler knows neither instruction at this CPU level.
    const instruction = if (T == f32) "vdpbf16ps %[b], %[a], %[sum]" else "vpdpbusd %[a], %[b], %[sum]";
    return asm (instruction
        : [sum] "=v" (-> @Vector(W, T)),
        : [a] "v" (a),
          [b] "v" (b),
          [acc] "0" (acc),
    );
}

/// The operations there is code for.
pub fn opsOf(comptime T: type) []const Op {
    return if (hasDot(T)) &.{ .multiply_add, .dot } else &.{.multiply_add};
}

/// acc + a * b, by `op`.
pub inline fn step(comptime op: Op, comptime T: type, comptime W: usize, a: @Vector(W, T), b: @Vector(W, T), acc: @Vector(W, T)) @Vector(W, T) {
    return switch (op) {
        .multiply_add => mulAdd(@Vector(W, T), a, b, acc),
        .dot => dot(T, W, acc, a, b),
    };
}

/// Whether a vector can be loaded and stored in part.
pub const masks = builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx512f);

/// The lowest `count` bits, at least one.
inline fn maskOf(count: usize) u16 {
    return @truncate((@as(u32, 1) << @intCast(count)) - 1);
}

/// a + b: wrapping for integers.
pub inline fn add(a: anytype, b: @TypeOf(a)) @TypeOf(a) {
    const V = @TypeOf(a);
    const Element = if (@typeInfo(V) == .vector) std.meta.Child(V) else V;
    return if (@typeInfo(Element) == .float) a + b else a +% b;
}

const Shape = struct { register_bytes: usize, mr: usize, vectors: usize };

/// Accumulators, one row of B and a broadcast element of A must fit in the registers, and
/// the accumulators must be enough to hide the latency of an FMA (8 to 10 of them).
const shape: Shape = switch (builtin.cpu.arch) {
    .x86_64 => if (builtin.cpu.has(.x86, .avx512f))
        .{ .register_bytes = 64, .mr = 14, .vectors = 2 } // 28 + 2 of 32
    else if (builtin.cpu.has(.x86, .avx2))
        .{ .register_bytes = 32, .mr = 6, .vectors = 2 } // 12 + 2 + 1 of 16
    else
        .{ .register_bytes = 16, .mr = 4, .vectors = 2 },
    .aarch64 => .{ .register_bytes = 16, .mr = 8, .vectors = 3 }, // 24 + 3 + 2 of 32
    else => .{ .register_bytes = 16, .mr = 4, .vectors = 2 },
};

pub fn Kernel(comptime T: type) type {
    return struct {
        /// Elements in a register; rows and columns of a full tile.
        pub const vl = shape.register_bytes / @sizeOf(T);
        pub const mr = shape.mr;
        pub const nr = shape.vectors * vl;
        const V = @Vector(vl, T);
        const move = if (@sizeOf(T) == 4) "vmovups" else "vmovupd";

        /// The lanes of `mask`, the others 0.
        inline fn loadMasked(from: [*]const T, mask: u16) V {
            if (!masks) return from[0..vl].*;
            // Not volatile: nothing that a tile reads changes while it does.
            return asm (move ++ " (%[from]), %[x]{%[mask]}{z}"
                : [x] "=v" (-> V),
                : [from] "r" (from),
                  [mask] "^Yk" (mask),
            );
        }
        inline fn storeMasked(to: [*]T, x: V, mask: u16) void {
            if (!masks) {
                to[0..vl].* = x;
            } else asm volatile (move ++ " %[x], (%[to]){%[mask]}"
                :
                : [x] "v" (x),
                  [to] "r" (to),
                  [mask] "^Yk" (mask),
                : .{ .memory = true });
        }

        /// Tile heights there is code for, ascending. With all of them the rows of a product are
        /// cut into even tiles: a low one waits for the FMA before.
        const heights: []const usize = if (@typeInfo(T) == .float)
            &@as([mr]usize, simd.iota(mr, usize) + @as(@Vector(mr, usize), @splat(1)))
        else
            &.{ 1, 4 };
        const dot_heights: []const usize = &.{ 1, 2, 4, 8, 11, mr };

        /// Where the columns of C lie: column j of row i is at
        /// ptr[i * rs + (j / group) * group_stride + (j % group) * cs]. (The columns of a
        /// convolution are positions in several images.)
        pub const Target = struct {
            ptr: [*]T,
            rs: usize,
            cs: usize = 1,
            group: usize = std.math.maxInt(usize),
            group_stride: usize = 0,

            pub fn at(c: Target, i: usize, j: usize) [*]T {
                if (j < c.group) return c.ptr + i * c.rs + j * c.cs;
                return c.ptr + i * c.rs + j / c.group * c.group_stride + j % c.group * c.cs;
            }
            /// Row i, columns j .. j + count = or += from[0..count].
            pub fn putSegment(
                c: Target,
                i: usize,
                j: usize,
                count: usize,
                from: [*]const T,
                adds: bool,
            ) void {
                var done: usize = 0;
                while (done < count) {
                    const run = @min(count - done, c.group - (j + done) % c.group);
                    const to = c.at(i, j + done);
                    if (c.cs == 1) {
                        putRow(to, from + done, run, adds);
                    } else for (0..run) |l| {
                        const x = from[done + l];
                        to[l * c.cs] = if (adds) add(to[l * c.cs], x) else x;
                    }
                    done += run;
                }
            }
            /// Whether `count` columns from j lie side by side.
            pub fn isRun(c: Target, j: usize, count: usize) bool {
                if (c.cs != 1) return false;
                if (j + count <= c.group) return true;
                return j % c.group + count <= c.group;
            }
        };

        /// k steps, A as a[i * a_rs + k * a_cs], `height` rows of it, B as b[k * b_rs + j]; C
        /// row-major with `ldc`, stored or added to. Of the last vector's columns those in `mask`
        /// are read and written; without `masks` all are.
        const Tile = *const fn (
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: [*]T,
            ldc: usize,
            mask: u16,
            adds: bool,
            copy: [*]T,
        ) void;

        /// `copies`: the rows of B go to copy[k * nr + j] on their way.
        fn tile(comptime op: Op, comptime height: usize, comptime vectors: usize, comptime copies: bool) Tile {
            return struct {
                fn run(
                    k: usize,
                    a: [*]const T,
                    a_rs: usize,
                    a_cs: usize,
                    b: [*]const T,
                    b_rs: usize,
                    c: [*]T,
                    ldc: usize,
                    mask: u16,
                    adds: bool,
                    copy: [*]T,
                ) void {
                    var acc: [height][vectors]V = @splat(@splat(@splat(0)));
                    var ap = a;
                    var bp = b;
                    var to = copy;
                    // C is fetched when the sums are nearly done: before, A and B would drive it out again.
                    // (Into the L2 cache, for the reason above.)
                    var left = k;
                    while (left > 0) {
                        const last = left <= 2 * c_ahead;
                        for (0..if (last) left else left - c_ahead) |_| {
                            var bv: [vectors]V = undefined;
                            inline for (0..vectors - 1) |j| bv[j] = bp[j * vl ..][0..vl].*;
                            bv[vectors - 1] = loadMasked(bp + (vectors - 1) * vl, mask);
                            if (copies) {
                                inline for (0..vectors) |j| to[j * vl ..][0..vl].* = bv[j];
                                to += nr;
                                // Rows to come, and the next panel's, into the L2 cache: in the L1 rows a
                                // multiple of 4 KB apart would drive each other out.
                                inline for (0..vectors) |j| {
                                    @prefetch(bp + 32 * b_rs + j * vl, .{ .locality = 2 });
                                    @prefetch(bp + nr + j * vl, .{ .locality = 2 });
                                }
                            }
                            inline for (0..height) |i| {
                                const av: V = @splat(ap[i * a_rs]);
                                inline for (0..vectors) |j| acc[i][j] = step(op, T, vl, av, bv[j], acc[i][j]);
                            }
                            ap += a_cs;
                            bp += b_rs;
                        }
                        left = if (last) 0 else c_ahead;
                        if (!last) inline for (0..height) |i| inline for (0..vectors) |j| {
                            @prefetch(c + i * ldc + j * vl, .{ .locality = 2 });
                        };
                    }
                    // All loads, then all stores: with rows of C a multiple of 4 KB apart a load would
                    // wait for the store before it.
                    if (adds) inline for (0..height) |i| {
                        const row = c + i * ldc;
                        inline for (0..vectors - 1) |j| acc[i][j] = add(@as(V, row[j * vl ..][0..vl].*), acc[i][j]);
                        const last = vectors - 1;
                        acc[i][last] = add(loadMasked(row + last * vl, mask), acc[i][last]);
                    };
                    inline for (0..height) |i| {
                        const row = c + i * ldc;
                        inline for (0..vectors - 1) |j| row[j * vl ..][0..vl].* = acc[i][j];
                        storeMasked(row + (vectors - 1) * vl, acc[i][vectors - 1], mask);
                    }
                }
            }.run;
        }

        /// The tiles of an operation, for the heights in `of`, ascending.
        fn Tiles(comptime op: Op, comptime of: []const usize) type {
            return struct {
                /// Whether there are tiles of fewer vectors.
                const narrow = op == .multiply_add;
                const all = blk: {
                    var t: [of.len][shape.vectors]Tile = undefined;
                    for (of, 0..) |h, i| {
                        for (0..shape.vectors) |v| t[i][v] = tile(op, h, if (narrow) v + 1 else shape.vectors, false);
                    }
                    break :blk t;
                };

                /// The tile for `rows` rows, or for the first of them; its height is of[result].
                fn heightFor(rows: usize) usize {
                    const even = (rows + (rows - 1) / mr) / ((rows - 1) / mr + 1);
                    if (of.len == mr) return even - 1;
                    if (rows >= 2 * mr) return of.len - 1;
                    var i = of.len - 1;
                    while (of[i] > even) i -= 1;
                    return i;
                }
            };
        }
        /// Steps before the end of a chain at which C is fetched.
        const c_ahead = 100;

        /// C[row.., col..] (any rows, cols <= nr) = or += A @ B over k steps; A as
        /// a[i * a_rs + k * a_cs], B as b[k * b_rs + j], where without `masks` whole vectors
        /// must be readable.
        pub inline fn panels(
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: Target,
            row: usize,
            rows: usize,
            col: usize,
            cols: usize,
            adds: bool,
        ) void {
            cover(Tiles(.multiply_add, heights), heights, k, a, a_rs, a_cs, b, b_rs, c, row, rows, col, cols, adds);
        }

        /// `panels` by another operation: k counts words, and so do the strides of A and B.
        pub inline fn panelsBy(
            op: Op,
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: Target,
            row: usize,
            rows: usize,
            col: usize,
            cols: usize,
            adds: bool,
        ) void {
            if (comptime hasDot(T)) if (op == .dot) {
                return cover(Tiles(.dot, dot_heights), dot_heights, k, a, a_rs, a_cs, b, b_rs, c, row, rows, col, cols, adds);
            };
            panels(k, a, a_rs, a_cs, b, b_rs, c, row, rows, col, cols, adds);
        }

        fn cover(
            comptime Available: type,
            comptime of: []const usize,
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: Target,
            row: usize,
            rows: usize,
            col: usize,
            cols: usize,
            adds: bool,
        ) void {
            const vectors = (cols + vl - 1) / vl;
            const mask = maskOf(cols - (vectors - 1) * vl);
            const whole = if (Available.narrow) masks or cols == vectors * vl else vectors == shape.vectors;
            const straight = whole and c.isRun(col, cols);
            var buffer: [mr * nr]T align(64) = undefined;
            var done: usize = 0;
            while (done < rows) {
                const which = Available.heightFor(rows - done);
                const ap = a + done * a_rs;
                const run = Available.all[which][vectors - 1];
                if (straight) {
                    run(k, ap, a_rs, a_cs, b, b_rs, c.at(row + done, col), c.rs, mask, adds, undefined);
                } else {
                    run(k, ap, a_rs, a_cs, b, b_rs, &buffer, nr, mask, false, undefined);
                    for (0..of[which]) |i| {
                        const from = @as([*]T, &buffer) + i * nr;
                        c.putSegment(row + done + i, col, cols, from, adds);
                    }
                }
                done += of[which];
            }
        }

        /// The first mr rows of `panels`, for nr columns, with B copied to `copy`, packed.
        pub fn panelCopying(
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: [*]T,
            ldc: usize,
            adds: bool,
            copy: [*]T,
        ) void {
            const run = comptime tile(.multiply_add, mr, shape.vectors, true);
            run(k, a, a_rs, a_cs, b, b_rs, c, ldc, maskOf(vl), adds, copy);
        }

        /// to[0..n] = or += from[0..n], in pieces of powers of two.
        fn putRow(to: [*]T, from: [*]const T, n: usize, adds: bool) void {
            var i: usize = 0;
            comptime var width: usize = vl;
            inline while (width > 0) : (width /= 2) {
                while (n - i >= width) : (i += width) {
                    const new: @Vector(width, T) = from[i..][0..width].*;
                    const old: @Vector(width, T) = to[i..][0..width].*;
                    to[i..][0..width].* = if (adds) add(old, new) else new;
                }
            }
        }
    };
}
