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

/// acc + the dot products of words. (The compiler knows neither instruction at this CPU level.)
pub inline fn dot(comptime T: type, comptime W: usize, acc: @Vector(W, T), a: @Vector(W, T), b: @Vector(W, T)) @Vector(W, T) {
    return asm (dotInstruction(T) ++ " %[a], %[b], %[sum]"
        : [sum] "=v" (-> @Vector(W, T)),
        : [a] "v" (a),
          [b] "v" (b),
          [acc] "0" (acc),
    );
}
fn dotInstruction(comptime T: type) []const u8 {
    return if (T == f32) "vdpbf16ps" else "vpdpbusd";
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

/// The lowest `count` bits, at most 32.
inline fn maskOf(count: usize) u16 {
    return @truncate((@as(u64, 1) << @intCast(count)) - 1);
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
        pub inline fn loadMasked(from: [*]const T, mask: u16) V {
            if (!masks) return from[0..vl].*;
            // Not volatile: nothing that a tile reads changes while it does.
            return asm (move ++ " (%[from]), %[x]{%[mask]}{z}"
                : [x] "=v" (-> V),
                : [from] "r" (from),
                  [mask] "^Yk" (mask),
            );
        }
        pub inline fn storeMasked(to: [*]T, x: V, mask: u16) void {
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
        /// Rows of a tile where those of A are a multiple of 4 KB apart: lines of the same set of the L1
        /// cache, which has 12 ways.
        pub const close_rows = if (heights.len == mr) @min(mr, 11) else mr;
        /// The first of even tiles of at most `most` rows.
        pub fn evenRows(rows: usize, most: usize) usize {
            const tiles = (rows - 1) / most + 1;
            return (rows + tiles - 1) / tiles;
        }
        const dot_heights: []const usize = &.{ 1, 2, 4, 8, 11, mr };

        /// Whether the instructions of a step stand in so many words: left alone, the compiler finds
        /// each row of A from the one before, and a step cannot begin before that chain of additions
        /// is over; or it loads them all before, and has no registers left.
        fn ordered(comptime op: Op) bool {
            return op == .dot or (@typeInfo(T) == .float and builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .fma));
        }

        /// Bytes of 1, 3 and 5 rows of A, from which the others are found.
        const Strides = struct {
            one: usize,
            three: usize,
            five: usize,

            inline fn init(a_rs: usize) Strides {
                const one = a_rs * @sizeOf(T);
                return .{ .one = one, .three = 3 * one, .five = 5 * one };
            }
            /// Row i of A in all lanes.
            inline fn broadcast(s: Strides, a: [*]const T, seventh: [*]const T, comptime i: usize) V {
                const instruction = if (@sizeOf(T) == 4) "vbroadcastss " else "vbroadcastsd ";
                const first, const by, const times = comptime switch (i) {
                    0 => .{ 0, 1, 0 },
                    1, 2, 4, 8 => .{ 0, 1, i },
                    3, 6, 12 => .{ 0, 3, i / 3 },
                    5, 10 => .{ 0, 5, i / 5 },
                    7 => .{ 7, 1, 0 },
                    9, 11 => .{ 7, 1, i - 7 },
                    13 => .{ 7, 3, 2 },
                    else => @compileError("a higher tile"),
                };
                const from = if (first == 0) a else seventh;
                if (times == 0) return asm volatile (instruction ++ "(%[a]), %[x]"
                    : [x] "=v" (-> V),
                    : [a] "r" (from),
                );
                const stride = switch (by) {
                    1 => s.one,
                    3 => s.three,
                    else => s.five,
                };
                return asm volatile (instruction ++ std.fmt.comptimePrint("(%[a],%[stride],{d}), %[x]", .{times})
                    : [x] "=v" (-> V),
                    : [a] "r" (from),
                      [stride] "r" (stride),
                );
            }
        };
        inline fn stepInOrder(comptime op: Op, a: V, b: V, acc: V) V {
            const instruction = comptime switch (op) {
                .multiply_add => if (@sizeOf(T) == 4) "vfmadd231ps" else "vfmadd231pd",
                .dot => dotInstruction(T),
            };
            return asm volatile (instruction ++ " %[a], %[b], %[sum]"
                : [sum] "=v" (-> V),
                : [a] "v" (a),
                  [b] "v" (b),
                  [acc] "0" (acc),
            );
        }

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

        /// What is multiplied: k steps of A as a[i * a_rs + k * a_cs] and of B as b[k * b_rs + j],
        /// where without `masks` whole vectors of B must be readable.
        pub const Operands = struct {
            k: usize,
            a: [*]const T,
            a_rs: usize,
            a_cs: usize,
            b: [*]const T,
            b_rs: usize,
            /// What a part that adds is added to, where that is not what it becomes: rows of sums.
            old: ?Rows = null,
            ahead: Ahead = .{},
            /// Of a tile, by `aim`: what it is added to, and what is fetched of it or of C.
            sums: Rows = undefined,
            far: [*]const u8 = undefined,
            far_bytes: usize = undefined,
            /// With `dot` k counts words, and so do the strides. B is in panels of nr columns.
            op: Op = .multiply_add,
            /// With `dot` of bytes: what the sums of row i begin with.
            begin: ?[*]const T = null,
            /// With `dot` of bfloat16: where the part's sums go instead of C, rounded.
            rounded: ?Rounded = null,
        };
        /// Rows of C or of sums, `rs` apart.
        pub const Rows = struct { ptr: [*]const T, rs: usize };
        /// What is needed next, fetched into the L2 cache meanwhile: so many bytes a step.
        pub const Ahead = struct {
            ptr: [*]const u8 = undefined,
            bytes: usize = 0,

            pub fn advance(a: *Ahead, steps: usize) void {
                a.ptr += steps * a.bytes;
            }
        };
        /// bfloat16 in row-major order, of the sums (and what C holds, if it is added to) and a row
        /// that is the same for all, if there is one. (Numbers below 2^-126 become 0, as in the products.)
        pub const Rounded = struct { ptr: [*]u16, rs: usize, added: ?[*]const f32 };
        /// Rows and columns of C; at most nr columns.
        pub const Part = struct { row: usize = 0, rows: usize, col: usize = 0, cols: usize };

        /// `height` rows of A; C row-major with `ldc`, stored or added to; `cols` of its columns. `copy`:
        /// the rows of B go to copy[k * nr + j] on their way.
        const Tile = *const fn (o: *const Operands, c: [*]T, ldc: usize, cols: usize, adds: bool, copy: [*]T) void;

        fn tile(comptime op: Op, comptime height: usize, comptime vectors: usize, comptime copies: bool) Tile {
            return struct {
                fn run(o: *const Operands, c: [*]T, ldc: usize, cols: usize, adds: bool, copy: [*]T) void {
                    const a_rs = o.a_rs;
                    const b_rs = o.b_rs;
                    const last_vector = vectors - 1;
                    // Of words whole vectors of B are read, and any of C may be in part.
                    const mask = maskOf(cols -| last_vector * vl);
                    const first_mask = if (op == .dot) maskOf(cols) else 0;
                    var acc: [height][vectors]V = @splat(@splat(@splat(0)));
                    if (op == .dot and T == i32) if (o.begin) |begin| {
                        inline for (0..height) |i| acc[i] = @splat(@splat(begin[i]));
                    };
                    const strides = Strides.init(a_rs);
                    var ap = o.a;
                    var bp = o.b;
                    var to = copy;
                    const fetches = op == .multiply_add and @typeInfo(T) == .float and !copies;
                    var ahead = o.ahead;
                    // C is fetched when the sums are nearly done: before, A and B would drive it out again.
                    // (Into the L2 cache, for the reason above.)
                    var left = o.k;
                    while (left > 0) {
                        const last = left <= 2 * c_ahead;
                        for (0..if (last) left else left - c_ahead) |_| {
                            var bv: [vectors]V = undefined;
                            inline for (0..last_vector) |j| bv[j] = bp[j * vl ..][0..vl].*;
                            bv[last_vector] = if (op == .dot) bp[last_vector * vl ..][0..vl].* else loadMasked(bp + last_vector * vl, mask);
                            if (copies) {
                                inline for (0..vectors) |j| to[j * vl ..][0..vl].* = bv[j];
                                to += nr;
                                // Rows to come, and the next panel's, into the L2 cache: in the L1 rows a
                                // multiple of 4 KB apart would drive each other out. Panels need not begin with a line.
                                inline for (0..vectors) |j| {
                                    @prefetch(bp + 32 * b_rs + j * vl, .{ .locality = 2 });
                                    @prefetch(bp + nr + (j + 1) * vl - 1, .{ .locality = 2 });
                                }
                                @prefetch(bp + 32 * b_rs + nr - 1, .{ .locality = 2 });
                            }
                            if (fetches) {
                                @prefetch(ahead.ptr, .{ .locality = 2 });
                                ahead.advance(1);
                            }
                            const seventh = if (height > 7) ap + 7 * a_rs else ap;
                            inline for (0..height) |i| {
                                const av = if (ordered(op)) strides.broadcast(ap, seventh, i) else @as(V, @splat(ap[i * a_rs]));
                                inline for (0..vectors) |j| acc[i][j] = if (ordered(op))
                                    stepInOrder(op, av, bv[j], acc[i][j])
                                else
                                    mulAdd(V, av, bv[j], acc[i][j]);
                            }
                            ap += o.a_cs;
                            bp += b_rs;
                        }
                        left = if (last) 0 else c_ahead;
                        if (!last) fetch(vectors, o.far, o.far_bytes, height);
                    }
                    // All loads, then all stores: with rows of C a multiple of 4 KB apart a load would
                    // wait for the store before it.
                    if (adds) inline for (0..height) |i| {
                        const row = o.sums.ptr + i * o.sums.rs;
                        inline for (0..last_vector) |j| {
                            const sums: V = if (op == .dot) loadMasked(row + j * vl, first_mask) else row[j * vl ..][0..vl].*;
                            acc[i][j] = add(sums, acc[i][j]);
                        }
                        acc[i][last_vector] = add(loadMasked(row + last_vector * vl, mask), acc[i][last_vector]);
                    };
                    if (op == .dot and T == f32) if (o.rounded) |rounded| {
                        if (rounded.added) |added| {
                            const low = loadMasked(added, first_mask);
                            const high = loadMasked(added + vl, mask);
                            inline for (&acc) |*row| row.* = .{ row[0] + low, row[1] + high };
                        }
                        const both = (@as(u32, mask) << 16) | first_mask;
                        inline for (0..height) |i| storeRounded(rounded.ptr + i * rounded.rs, acc[i], both);
                        return;
                    };
                    // The last row first: of rows a multiple of 4 KB apart the last ones are still in the L1 cache.
                    inline for (0..height) |l| {
                        const i = height - 1 - l;
                        const row = c + i * ldc;
                        inline for (0..last_vector) |j| {
                            if (op == .dot) storeMasked(row + j * vl, acc[i][j], first_mask) else row[j * vl ..][0..vl].* = acc[i][j];
                        }
                        storeMasked(row + last_vector * vl, acc[i][last_vector], mask);
                    }
                }
            }.run;
        }

        /// Fetches a tile's rows.
        inline fn fetch(comptime vectors: usize, far: [*]const u8, stride: usize, height: usize) void {
            var from = far;
            // (Unrolled, its addresses would take the registers' place.)
            var left = asm (""
                : [n] "=r" (-> usize),
                : [height] "0" (height),
            );
            while (left > 0) {
                inline for (0..vectors) |j| @prefetch(from + j * vl * @sizeOf(T), .{ .locality = 2 });
                @prefetch(from + vectors * vl * @sizeOf(T) - 1, .{ .locality = 2 });
                from += stride;
                left = asm (""
                    : [n] "=r" (-> usize),
                    : [less] "0" (left - 1),
                );
            }
        }

        /// Sets what the tile at `c`, after `done` rows of its part, is added to, and what it fetches.
        fn aim(comptime op: Op, o: *Operands, c: [*]const T, ldc: usize, adds: bool, done: usize) void {
            const to: Rows = .{ .ptr = c, .rs = ldc };
            o.sums = if (o.old) |old| .{ .ptr = old.ptr + done * old.rs, .rs = old.rs } else to;
            // (Sums `nr` apart are in the L1 cache.)
            const far = if (adds and o.sums.rs != nr) o.sums else to;
            o.far = @ptrCast(far.ptr);
            o.far_bytes = far.rs * @sizeOf(T);
            if (op == .dot and T == f32) if (o.rounded) |rounded| {
                o.far = @ptrCast(rounded.ptr);
                o.far_bytes = rounded.rs * @sizeOf(u16);
            };
        }

        /// The lanes of `mask` as bfloat16.
        inline fn storeRounded(to: [*]u16, x: [2]V, mask: u32) void {
            const rounded = asm ("vcvtne2ps2bf16 %[low], %[high], %[y]"
                : [y] "=v" (-> @Vector(32, u16)),
                : [low] "v" (x[0]),
                  [high] "v" (x[1]),
            );
            asm volatile ("vmovdqu16 %[x], (%[to]){%[mask]}"
                :
                : [x] "v" (rounded),
                  [to] "r" (to),
                  [mask] "^Yk" (mask),
                : .{ .memory = true });
        }

        /// The tiles of an operation, for the heights in `of`, ascending.
        fn Tiles(comptime op: Op, comptime of: []const usize) type {
            return struct {
                /// Whether there are tiles of fewer vectors.
                const narrow = op == .multiply_add;
                const multiplies = op;
                const all = blk: {
                    var t: [of.len][shape.vectors]Tile = undefined;
                    for (of, 0..) |h, i| {
                        for (0..shape.vectors) |v| t[i][v] = tile(op, h, if (narrow) v + 1 else shape.vectors, false);
                    }
                    break :blk t;
                };

                /// The tile for `rows` rows, or for the first of them; its height is of[result].
                fn heightFor(rows: usize) usize {
                    const even = evenRows(rows, mr);
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

        /// `part` of C = or += A @ B.
        pub inline fn panels(o: Operands, c: Target, part: Part, adds: bool) void {
            if (comptime hasDot(T)) if (o.op == .dot) return cover(Tiles(.dot, dot_heights), dot_heights, &o, c, part, adds);
            cover(Tiles(.multiply_add, heights), heights, &o, c, part, adds);
        }

        /// Whether tiles of these columns are stored where they belong.
        pub fn isStraight(c: Target, col: usize, cols: usize) bool {
            return (masks or cols % vl == 0) and c.isRun(col, cols);
        }

        noinline fn cover(comptime Available: type, comptime of: []const usize, given: *const Operands, c: Target, part: Part, adds: bool) void {
            const words = !Available.narrow;
            const vectors = (part.cols + vl - 1) / vl;
            const straight = isStraight(c, part.col, part.cols);
            var o = given.*;
            // Nothing: a line that is in the L1 cache.
            if (o.ahead.bytes == 0) o.ahead.ptr = @ptrCast(&o);
            var buffer: [mr * nr]T align(64) = undefined;
            var done: usize = 0;
            while (done < part.rows) {
                const which = Available.heightFor(part.rows - done);
                const run = Available.all[which][vectors - 1];
                const row = part.row + done;
                const to = if (straight) c.at(row, part.col) else @as([*]T, &buffer);
                aim(Available.multiplies, &o, to, if (straight) c.rs else nr, adds and straight, done);
                // The next tile's, where there are too few steps to fetch a tile's own meanwhile.
                if (adds and o.k <= 2 * c_ahead) fetch(shape.vectors, o.far + of[which] * o.far_bytes, o.far_bytes, of[which]);
                if (straight) {
                    run(&o, to, c.rs, part.cols, adds, undefined);
                } else {
                    run(&o, &buffer, nr, part.cols, false, undefined);
                    for (0..of[which]) |i| c.putSegment(row + i, part.col, part.cols, @as([*]T, &buffer) + i * nr, adds);
                }
                done += of[which];
                o.a += of[which] * o.a_rs;
                o.ahead.advance(o.k);
                if (words and T == f32) if (o.rounded) |*rounded| {
                    rounded.ptr += of[which] * rounded.rs;
                };
                if (words and T == i32) if (o.begin) |*begin| {
                    begin.* += of[which];
                };
            }
        }

        /// The first mr rows of `panels`, for nr columns that lie side by side, with B copied to
        /// `copy`, packed.
        pub fn panelCopying(o: Operands, c: [*]T, ldc: usize, adds: bool, copy: [*]T) void {
            const run = comptime tile(.multiply_add, mr, shape.vectors, true);
            var with = o;
            aim(.multiply_add, &with, c, ldc, adds, 0);
            run(&with, c, ldc, nr, adds, copy);
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
