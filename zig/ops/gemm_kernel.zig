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
pub const kc_max = 384;

/// a * b + c: fused for floats, wrapping for integers.
pub inline fn mulAdd(comptime V: type, a: V, b: V, c: V) V {
    const Element = if (@typeInfo(V) == .vector) std.meta.Child(V) else V;
    return if (@typeInfo(Element) == .float) simd.fma(V, a, b, c) else c +% a *% b;
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

        /// Tile heights there is code for, of which the rest of a panel is made. A packed panel
        /// has rows to spare, so its last tile may be too high; fewer than 4 rows would take
        /// as long, waiting for the FMA before.
        const packed_heights = switch (shape.mr) {
            14 => [_]usize{ 14, 8, 4 },
            8 => [_]usize{ 8, 4 },
            6 => [_]usize{ 6, 4 },
            else => [_]usize{4},
        };
        const direct_heights = switch (shape.mr) {
            14 => [_]usize{ 14, 8, 4, 2, 1 },
            8 => [_]usize{ 8, 4, 2, 1 },
            6 => [_]usize{ 6, 4, 2, 1 },
            else => [_]usize{ 4, 2, 1 },
        };

        /// Where the columns of C lie: column j of row i is at
        /// ptr[i * rs + (j / group) * group_stride + (j % group) * cs]. (The columns of a
        /// convolution are positions in several images.)
        pub const Target = struct {
            ptr: [*]T,
            rs: usize,
            cs: usize = 1,
            group: usize = std.math.maxInt(usize),
            group_stride: usize = 0,

            fn at(c: Target, i: usize, j: usize) [*]T {
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
            fn isRun(c: Target, j: usize, count: usize) bool {
                if (c.cs != 1) return false;
                if (j + count <= c.group) return true;
                return j % c.group + count <= c.group;
            }
        };

        /// k steps, A as a[i * a_rs + k * a_cs], B as b[k * b_rs + j], both at least
        /// (height, vectors * vl) wide there; C row-major with `ldc`, stored or added to.
        const Tile = *const fn (
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            c: [*]T,
            ldc: usize,
            adds: bool,
        ) void;

        /// `packed_a`: the panel layout, a_rs = 1, a_cs = mr, b_rs = nr, known to the compiler.
        fn tile(comptime height: usize, comptime vectors: usize, comptime packed_a: bool) Tile {
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
                    adds: bool,
                ) void {
                    var acc: [height][vectors]V = @splat(@splat(@splat(0)));
                    var ap = a;
                    var bp = b;
                    for (0..k) |_| {
                        var bv: [vectors]V = undefined;
                        inline for (0..vectors) |j| bv[j] = bp[j * vl ..][0..vl].*;
                        inline for (0..height) |i| {
                            const av: V = @splat(ap[if (packed_a) i else i * a_rs]);
                            inline for (0..vectors) |j| acc[i][j] = mulAdd(V, av, bv[j], acc[i][j]);
                        }
                        ap += if (packed_a) mr else a_cs;
                        bp += if (packed_a) nr else b_rs;
                    }
                    inline for (.{ true, false }) |known| if (adds == known) {
                        inline for (0..height) |i| inline for (0..vectors) |j| {
                            const to = c[i * ldc + j * vl ..][0..vl];
                            to.* = if (known) add(@as(V, to.*), acc[i][j]) else acc[i][j];
                        };
                    };
                }
            }.run;
        }

        fn table(
            comptime heights: []const usize,
            comptime packed_a: bool,
        ) [heights.len][shape.vectors]Tile {
            var t: [heights.len][shape.vectors]Tile = undefined;
            for (heights, 0..) |h, i| {
                for (0..shape.vectors) |v| t[i][v] = tile(h, v + 1, packed_a);
            }
            return t;
        }
        const packed_tiles = table(&packed_heights, true);
        const direct_tiles = table(&direct_heights, false);

        /// The number of the tile for `rest` rows of a packed panel: the lowest that holds them,
        /// or 8 where another 4 finish them.
        fn packedHeight(rest: usize) usize {
            var i: usize = packed_heights.len - 1;
            while (packed_heights[i] < rest and i > 0) i -= 1;
            if (shape.mr == 14 and i == 0 and rest <= 12) return 1;
            return i;
        }

        /// C[row.., col..] (rows <= mr, cols <= nr) = or += A panel @ B panel.
        pub inline fn panels(
            comptime packed_a: bool,
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
            const tiles = if (packed_a) &packed_tiles else &direct_tiles;
            const vectors = (cols + vl - 1) / vl;
            const straight = cols == vectors * vl and c.isRun(col, cols);
            if (straight and rows == mr)
                return tiles[0][vectors - 1](k, a, a_rs, a_cs, b, b_rs, c.at(row, col), c.rs, adds);
            var buffer: [mr * nr]T align(64) = undefined;
            const heights: []const usize = if (packed_a) &packed_heights else &direct_heights;
            var done: usize = 0;
            var which: usize = 0;
            while (done < rows) {
                const rest = rows - done;
                if (packed_a) {
                    which = packedHeight(rest);
                } else while (heights[which] > rest) which += 1;
                const height = heights[which];
                const ap = a + done * a_rs;
                const run = tiles[which][vectors - 1];
                if (straight and height <= rest) {
                    run(k, ap, a_rs, a_cs, b, b_rs, c.at(row + done, col), c.rs, adds);
                } else {
                    run(k, ap, a_rs, a_cs, b, b_rs, &buffer, nr, false);
                    for (0..@min(height, rest)) |i| {
                        const from = @as([*]T, &buffer) + i * nr;
                        c.putSegment(row + done + i, col, cols, from, adds);
                    }
                }
                done += height;
            }
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
