//! Keys that sort as unsigned integers.
//!
//! An element becomes an integer that keeps its order (nan above everything, -0 equal to 0). With its position below
//! it is a pair, of which no two are equal, and whose order is that of a stable sort.
const std = @import("std");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const select = @import("sort_select.zig");
const sort_short = @import("sort_short.zig");
const sort_lanes = @import("sort_lanes.zig");
const DType = dtype.DType;

/// How elements of a dtype become keys.
pub fn Keys(comptime d: DType) type {
    return struct {
        const T = d.Type();
        pub const bytes = @sizeOf(T);
        pub const K = @Int(.unsigned, bytes * 8);
        const sign: K = 1 << (bytes * 8 - 1);
        const is_float = d.isFloat();
        const is_signed = switch (d) {
            .int8, .int16, .int32, .int64 => true,
            else => false,
        };
        /// Keys at and above this one are nan.
        pub const nan_key: K = std.math.maxInt(K);
        const infinity_bits: K = switch (d) {
            .float16 => 0x7c00,
            .bfloat16 => 0x7f80,
            .float32 => 0x7f80_0000,
            .float64 => 0x7ff0_0000_0000_0000,
            else => 0,
        };

        /// The keys of elements with the bits u; `descending`: in the other order.
        inline fn of(comptime V: type, u: V, descending: bool) V {
            const up = ascending(V, u);
            return if (descending) ~up else up;
        }
        inline fn ascending(comptime V: type, u: V) V {
            const top: V = @splat(sign);
            if (is_signed) return u ^ top;
            if (!is_float) return u;
            const zero: V = @splat(0);
            const magnitude = u & ~top;
            const plain = @select(K, u & top != zero, ~u, u | top);
            const key = @select(K, magnitude == zero, top, plain); // +0 and -0
            return @select(K, magnitude > @as(V, @splat(infinity_bits)), @as(V, @splat(nan_key)), key);
        }
        inline fn one(u: K, descending: bool) K {
            return of(@Vector(1, K), .{u}, descending)[0];
        }
        /// The bits of the elements with these keys; null where several have one of them (nan, zero).
        inline fn elements(comptime V: type, k: V, descending: bool) ?V {
            const key = if (descending) ~k else k;
            const top: V = @splat(sign);
            if (is_signed) return key ^ top;
            if (!is_float) return key;
            if (@reduce(.Or, (key == top) | (key == @as(V, @splat(nan_key))))) return null;
            return @select(K, key & top != @as(V, @splat(0)), key & ~top, ~key);
        }

        const lanes = if (simd.has_fma) 16 else 4;
        fn lineOf(memory: [*]const u8) [*]const K {
            return @ptrCast(@alignCast(memory));
        }

        /// The words of elements [first, first + n) of a line.
        fn pack(memory: [*]const u8, stride: usize, first: usize, n: usize, descending: bool, how: *const Packing, words: [*]u64) void {
            const line = lineOf(memory);
            if (stride != 1) {
                for (words[0..n], first..) |*w, i| w.* = wordsOf(1, .{line[i * stride]}, i, descending, how)[0];
                return;
            }
            var i: usize = 0;
            while (i < n) : (i += lanes) {
                const m = @min(n - i, lanes);
                if (m == lanes) {
                    words[i..][0..lanes].* = wordsOf(lanes, line[first + i ..][0..lanes].*, first + i, descending, how);
                    continue;
                }
                var bits: [lanes]K = @splat(0);
                @memcpy(bits[0..m], line[first + i ..][0..m]);
                const some: [lanes]u64 = wordsOf(lanes, bits, first + i, descending, how);
                @memcpy(words[i..][0..m], some[0..m]);
            }
        }
        inline fn wordsOf(comptime m: usize, u: @Vector(m, K), position: usize, descending: bool, how: *const Packing) @Vector(m, u64) {
            const W = @Vector(m, u64);
            const Shift = @Vector(m, u6);
            const key: W = of(@Vector(m, K), u, descending);
            const kept = (key -% @as(W, @splat(how.base))) >> @as(Shift, @splat(how.dropped));
            return kept << @as(Shift, @splat(how.position_bits)) | (simd.iota(m, u64) + @as(W, @splat(position)));
        }
        /// The elements that n words stand for.
        fn unpack(words: [*]const u64, n: usize, memory: [*]const u8, stride: usize, descending: bool, how: *const Packing, out: [*]u8, out_stride: usize) void {
            const line = lineOf(memory);
            const to: [*]K = @ptrCast(@alignCast(out));
            var i: usize = 0;
            while (i < n) {
                if (how.dropped == 0 and out_stride == 1 and i + lanes <= n) {
                    if (known(lanes, words[i..][0..lanes].*, descending, how)) |x| {
                        to[i..][0..lanes].* = x;
                        i += lanes;
                        continue;
                    }
                }
                for (i..@min(i + lanes, n)) |k| to[k * out_stride] = line[how.position(words[k]) * stride];
                i += lanes;
            }
        }
        /// The elements that words stand for, where these say it.
        inline fn known(comptime m: usize, words: @Vector(m, u64), descending: bool, how: *const Packing) ?@Vector(m, K) {
            const W = @Vector(m, u64);
            const key = (words >> @as(@Vector(m, u6), @splat(how.position_bits))) +% @as(W, @splat(how.base));
            return elements(@Vector(m, K), @truncate(key), descending);
        }
        /// The smallest and the greatest key of a line.
        fn range(memory: [*]const u8, stride: usize, n: usize, descending: bool) [2]u64 {
            const V = @Vector(lanes, K);
            const line = lineOf(memory);
            var low: V = @splat(std.math.maxInt(K));
            var high: V = @splat(0);
            var i: usize = 0;
            if (stride == 1) while (i + lanes <= n) : (i += lanes) {
                const k = of(V, line[i..][0..lanes].*, descending);
                low = @min(low, k);
                high = @max(high, k);
            };
            var result = [2]K{ @reduce(.Min, low), @reduce(.Max, high) };
            while (i < n) : (i += 1) {
                const k = one(line[i * stride], descending);
                result = .{ @min(result[0], k), @max(result[1], k) };
            }
            return .{ result[0], result[1] };
        }
        /// Writes the positions of the elements with keys from low to high to `places`, in order; there is room for 8 more.
        fn between(line: [*]const u8, n: usize, descending: bool, low: u64, high: u64, places: [*]u32) select.Found {
            const V = @Vector(8, K);
            const memory = lineOf(line);
            const first: K = @intCast(low);
            const last: K = @intCast(high);
            const flip: V = @splat(if (descending) std.math.maxInt(K) else 0);
            var below: @Vector(8, u32) = @splat(0);
            var count: usize = 0;
            var i: usize = 0;
            if (simd.has_fma) while (i + 8 <= n) : (i += 8) {
                const k = ascending(V, memory[i..][0..8].*) ^ flip;
                const under = k < @as(V, @splat(first));
                below += @intFromBool(under);
                const mask: u8 = @bitCast(~under & (k <= @as(V, @splat(last))));
                count += select.compress(u32, places + count, simd.iota(8, u32) + @as(@Vector(8, u32), @splat(@intCast(i))), mask);
            };
            var sum: usize = @reduce(.Add, below);
            while (i < n) : (i += 1) {
                if (simd.has_fma) simd.once();
                const k = one(memory[i], descending);
                sum += @intFromBool(k < first);
                places[count] = @intCast(i);
                count += @intFromBool(k >= first and k <= last);
            }
            return .{ .below = sum, .count = count };
        }
        /// A key that at least k elements (k <= 16 <= n) do not exceed, and hardly more do.
        fn limit(line: [*]const u8, n: usize, descending: bool, k: usize) u64 {
            if (!simd.has_fma) return std.math.maxInt(K);
            const V = @Vector(16, K);
            const memory = lineOf(line);
            const flip: V = @splat(if (descending) std.math.maxInt(K) else 0);
            var least: V = @splat(std.math.maxInt(K));
            var i: usize = 0;
            while (i + 16 <= n) : (i += 16) least = @min(least, ascending(V, memory[i..][0..16].*) ^ flip);
            if (k == 1) return @reduce(.Min, least);
            var ranks: V = @splat(0);
            for (@as([16]K, least)) |x| ranks += @intFromBool(@as(V, @splat(x)) < least);
            return @reduce(.Max, @select(K, ranks < @as(V, @splat(@intCast(k))), least, @as(V, @splat(0))));
        }
        /// How many elements are nan.
        fn nans(line: [*]const u8, n: usize) usize {
            const V = @Vector(8, K);
            const memory = lineOf(line);
            const most: V = @splat(infinity_bits);
            var count: @Vector(8, u32) = @splat(0);
            var i: usize = 0;
            if (simd.has_fma) while (i + 8 <= n) : (i += 8) {
                count += @intFromBool(@as(V, memory[i..][0..8].*) & ~@as(V, @splat(sign)) > most);
            };
            var sum: usize = @reduce(.Add, count);
            while (i < n) : (i += 1) {
                if (simd.has_fma) simd.once();
                sum += @intFromBool(memory[i] & ~sign > infinity_bits);
            }
            return sum;
        }
        /// The words of the elements at `places`.
        fn packAt(line: [*]const u8, places: []const u32, descending: bool, how: *const Packing, words: [*]u64) void {
            const memory = lineOf(line);
            for (places, words) |at, *w| w.* = wordsOf(1, .{memory[at]}, at, descending, how)[0];
        }
        /// The int32 keys of a line of at most `sort_short.most` elements; none of them is the smallest int32.
        /// Those of 8 bytes: the upper half of a float, the lower one of an integer; `careful`: as many of the highest
        /// bits that differ as there is room for.
        fn short(memory: [*]const u8, stride: usize, n: usize, descending: bool, careful: bool, keys: *sort_short.Buffer) sort_short.Kind {
            const V = @Vector(8, K);
            var line = lineOf(memory);
            var near: [sort_short.most]K = undefined;
            if (stride != 1 or n < 8) {
                for (near[0..n], 0..) |*x, i| x.* = line[i * stride];
                if (n < 8) @memset(near[n..8], near[0]);
                line = &near;
            }
            const last = @max(n, 8) - 8;
            var nan: @Vector(8, bool) = @splat(false);
            var kind: sort_short.Kind = .{};
            var i: usize = 0;
            const W = @Vector(8, i32);
            if (bytes == 8 and !careful) {
                var rest: V = @splat(0);
                while (i < n) : (i += 8) {
                    const at = @min(i, last);
                    const given: V = line[at..][0..8].*;
                    const up = if (is_float) ascending(V, given) else given;
                    nan |= up == @as(V, @splat(nan_key));
                    const half: @Vector(8, u32) = @truncate(if (is_float) (up ^ @as(V, @splat(sign))) >> @splat(32) else up);
                    rest |= if (is_float) up & @as(V, @splat(0xffff_ffff)) else (up +% @as(V, @splat(1 << 30))) >> @splat(31);
                    const key: W = @bitCast(half);
                    sort_short.store(keys, n, i, at, if (descending) -%key else key);
                }
                const is_whole = @reduce(.Or, rest) == 0;
                if (is_float) kind.exact = is_whole and !@reduce(.Or, nan) else kind.fits = is_whole;
            } else if (bytes == 8) {
                const I = @Vector(8, i64);
                var wide: [sort_short.most]i64 = undefined;
                var low: I = @splat(std.math.maxInt(i64));
                while (i < n) : (i += 8) {
                    const up = ascending(V, line[@min(i, last)..][0..8].*);
                    nan |= up == @as(V, @splat(nan_key));
                    const key: I = @bitCast((if (descending) ~up else up) ^ @as(V, @splat(sign)));
                    low = @min(low, key);
                    wide[i..][0..8].* = key;
                }
                const base: I = @splat(@reduce(.Min, low));
                var bits: I = @splat(0);
                i = 0;
                while (i < n) : (i += 8) bits |= @as(I, wide[i..][0..8].*) -% base;
                const set: u64 = @bitCast(@reduce(.Or, bits));
                const dropped: u6 = @intCast((64 - @as(usize, @clz(set))) -| 31);
                kind.exact = @ctz(set) >= dropped;
                i = 0;
                while (i < n) : (i += 8) {
                    const key: V = @bitCast(@as(I, wide[i..][0..8].*) -% base);
                    sort_short.store(keys, n, i, @min(i, last), @intCast(key >> @splat(dropped)));
                }
            } else {
                var worst: @Vector(8, bool) = @splat(false);
                while (i < n) : (i += 8) {
                    const at = @min(i, last);
                    const up = ascending(V, line[at..][0..8].*);
                    nan |= up == @as(V, @splat(nan_key));
                    const key: W = if (bytes == 4) @bitCast(up ^ @as(V, @splat(sign))) else @intCast(up);
                    if (d == .int32) worst |= key == @as(W, @splat(std.math.minInt(i32)));
                    sort_short.store(keys, n, i, at, if (descending) -%key else key);
                }
                kind.fits = !@reduce(.Or, worst);
            }
            kind.has_nan = is_float and @reduce(.Or, nan);
            return kind;
        }
        /// The keys of eight lines of at most `sort_lanes.most` elements.
        fn columns(g: *const sort_lanes.Group, stride: usize, n: usize, descending: bool, to: *sort_lanes.Columns) void {
            const m = sort_lanes.lanes;
            const I = if (bytes == 8) i64 else i32;
            const flip: @Vector(m, I) = @splat(if (descending) -1 else 0);
            const keys = to.of(I);
            for (0..n) |i| {
                var u: @Vector(m, K) = undefined;
                if (g.alternate) u = lineOf(g.memory[0])[i * stride ..][0..m].* else inline for (g.memory, 0..) |line, lane| {
                    u[lane] = lineOf(line)[i * stride];
                }
                const up = ascending(@Vector(m, K), u);
                const key: @Vector(m, I) = if (bytes < 4) @intCast(up) else @bitCast(up ^ @as(@Vector(m, K), @splat(sign)));
                keys[i * m ..][0..m].* = key ^ flip;
            }
        }
        fn keyAt(memory: [*]const u8, at: usize, descending: bool) u64 {
            return one(lineOf(memory)[at], descending);
        }
    };
}

/// How keys and positions share the 64 bits of a word: key above, position below.
pub const Packing = struct {
    /// What is taken from all keys: the smallest.
    base: u64 = 0,
    /// Lower bits of keys that found no room.
    dropped: u6 = 0,
    position_bits: u6 = 32,

    pub inline fn position(how: Packing, word: u64) usize {
        return @intCast(word & ((@as(u64, 1) << how.position_bits) - 1));
    }
};

/// Brings together what lies `stride` apart, for several lines that are side by side; they go `pitch` bytes apart.
fn collect(comptime K: type) *const fn ([*]const u8, usize, usize, usize, [*]u8, usize) void {
    return &struct {
        fn f(from: [*]const u8, stride: usize, n: usize, lines: usize, to: [*]u8, pitch: usize) void {
            const memory: [*]const K = @ptrCast(@alignCast(from));
            const out: [*]K = @ptrCast(@alignCast(to));
            const apart = pitch / @sizeOf(K);
            for (0..n) |i| {
                for (memory[i * stride ..][0..lines], 0..) |x, line| out[line * apart + i] = x;
            }
        }
    }.f;
}

/// Writes the elements of a line at `places`, `step` apart.
fn place(comptime K: type) *const fn ([*]const u8, usize, []const u8, [*]u8, usize) void {
    return &struct {
        fn f(from: [*]const u8, stride: usize, places: []const u8, to: [*]u8, step: usize) void {
            const memory: [*]const K = @ptrCast(@alignCast(from));
            const out: [*]K = @ptrCast(@alignCast(to));
            for (places, 0..) |at, i| out[i * step] = memory[at * stride];
        }
    }.f;
}

/// What the sorting of a dtype's lines needs to know of the dtype.
pub const Codec = struct {
    pack: *const fn ([*]const u8, usize, usize, usize, bool, *const Packing, [*]u64) void,
    unpack: *const fn ([*]const u64, usize, [*]const u8, usize, bool, *const Packing, [*]u8, usize) void,
    range: *const fn ([*]const u8, usize, usize, bool) [2]u64,
    between: *const fn ([*]const u8, usize, bool, u64, u64, [*]u32) select.Found,
    limit: *const fn ([*]const u8, usize, bool, usize) u64,
    nans: ?*const fn ([*]const u8, usize) usize,
    packAt: *const fn ([*]const u8, []const u32, bool, *const Packing, [*]u64) void,
    collect: *const fn ([*]const u8, usize, usize, usize, [*]u8, usize) void,
    keyAt: *const fn ([*]const u8, usize, bool) u64,
    /// null: a dtype that few short lines have.
    short: ?*const fn ([*]const u8, usize, usize, bool, bool, *sort_short.Buffer) sort_short.Kind,
    place: *const fn ([*]const u8, usize, []const u8, [*]u8, usize) void,
    columns: ?*const fn (*const sort_lanes.Group, usize, usize, bool, *sort_lanes.Columns) void,
    spread: *const fn (*const sort_lanes.Group, [3]usize, [*]align(64) const i32, usize) void,
    pick: *const fn (*const sort_lanes.Group, [3]usize, [*]align(64) const i32, usize) void,
    key_bytes: usize,
    is_float: bool,
    nan_key: u64,

    pub fn of(d: DType) Codec {
        switch (d) {
            .bool, .uint8 => return make(.uint8),
            inline else => |e| return make(e),
        }
    }
    fn make(comptime d: DType) Codec {
        const K = Keys(d);
        return .{
            .pack = &K.pack,
            .unpack = &K.unpack,
            .range = &K.range,
            .between = &K.between,
            .limit = &K.limit,
            .nans = if (d.isFloat()) &K.nans else null,
            .packAt = &K.packAt,
            .collect = collect(K.K),
            .keyAt = &K.keyAt,
            .short = if (simd.has_fma and (d.isFloat() or K.bytes >= 4)) &K.short else null,
            .place = if (simd.has_fma) place(K.K) else undefined,
            .columns = if (simd.has_fma) &K.columns else null,
            .spread = if (simd.has_fma) &sort_lanes.Moving(K.K).spread else undefined,
            .pick = if (simd.has_fma) &sort_lanes.Moving(K.K).pick else undefined,
            .key_bytes = K.bytes,
            .is_float = d.isFloat(),
            .nan_key = K.nan_key,
        };
    }
};
