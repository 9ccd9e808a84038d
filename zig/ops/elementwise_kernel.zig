//! Kernels: one function over packed elements, made from a formula over virtual vectors.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const dtype = @import("../dtype.zig");
const stream = @import("stream.zig");
const Call = plan.Call;

pub const max_inputs = 3;

/// What a kernel reads: rows of packed elements, or rows of one element again and again.
pub const Source = struct {
    ptr: [*]u8 = undefined,
    /// Bytes from row to row.
    row_step: usize = 0,
    repeated: bool = false,
};

pub const Sources = [max_inputs]Source;

/// An operation over packed elements.
pub const Kernel = struct {
    /// None: the elements are moved as they are.
    core: ?*const Core,
    /// Elements of a chunk: 2 to this power.
    lane_bits: u3 = 0,
    n_in: u8 = 1,
    /// Bytes of an element.
    out_size: u8,
    in_size: [max_inputs]u8 = @splat(0),
    /// For many rows of a chunk or more, without a call for each.
    columns: ?*const ColumnCore = null,
    /// Whether `runStreamed` is there for it.
    streams: bool = false,

    /// Computes `rows` rows of n elements, `out_step` bytes from one to the next. Scalars, and
    /// where to report a failure, are in the call.
    pub fn run(
        k: *const Kernel,
        n: usize,
        rows: usize,
        out_rows: [*]u8,
        out_step: usize,
        in: *const Sources,
        call: *Call,
    ) void {
        const core = k.core orelse return k.move(n, rows, out_rows, out_step, in);
        const lanes = @as(usize, 1) << k.lane_bits;
        const whole = n >> k.lane_bits;
        const left = n & (lanes - 1);
        if (k.columns) |f| if (rows > 1 and k.takesColumn(n, out_step, in)) {
            const column: usize = if (in[0].repeated) 0 else 1;
            return f(n, rows, out_rows, in[1 - column].ptr, in[column].ptr, in[column].row_step, column == 0);
        };
        var part: [max_inputs][part_bytes]u8 align(64) = undefined;
        var in_place = false;
        const m = k.n_in;
        var not_repeated: usize = 0;
        var size_of_all: usize = k.out_size; // save for a row that all have
        for (in[0..m], k.in_size[0..m]) |source, size| {
            in_place = in_place or source.ptr == out_rows;
            if (source.repeated) continue;
            not_repeated += 1;
            if (rows == 1 or source.row_step != 0) size_of_all += size;
        }
        const ahead = simd.aheadIn(not_repeated, n * rows * size_of_all);
        for (0..rows) |row| {
            var out = out_rows + row * out_step;
            var at: Chunks = .{ .of = undefined, .ahead = ahead };
            for (at.of[0..m], in[0..m], part[0..m], k.in_size[0..m]) |*chunk, source, *buffer, size| {
                const p = source.ptr + row * source.row_step;
                chunk.* = .{ .ptr = p, .step = size * lanes };
                if (!source.repeated) continue;
                spread(size, buffer, p, size * lanes);
                chunk.* = .{ .ptr = buffer, .step = 0 };
            }
            if (whole > 0) core(whole, out, &at, call);
            if (left == 0) continue;
            if (whole > 0 and !in_place) {
                // The last whole chunk, part of which is done already.
                for (at.of[0..m], k.in_size[0..m]) |*chunk, size| {
                    if (chunk.step != 0) chunk.ptr += size * (n - lanes);
                }
                core(1, out + k.out_size * (n - lanes), &at, call);
                continue;
            }
            for (at.of[0..m], part[0..m], k.in_size[0..m]) |*chunk, *buffer, size| {
                if (chunk.step == 0) continue;
                const p = chunk.ptr + chunk.step * whole;
                // The rest of the chunk: numbers that are harmless, as they are there anyway.
                spread(size, buffer, p, size * lanes);
                copyPart(buffer, p, size * left);
                chunk.ptr = buffer;
            }
            out += k.out_size * lanes * whole;
            var part_out: [part_bytes]u8 align(64) = undefined;
            core(1, &part_out, &at, call);
            copyPart(out, &part_out, k.out_size * left);
        }
    }

    /// Computes n elements from one input, with stores around the cache (stream.zig) as soon as there is
    /// something to store: it takes its time while the next elements are computed.
    pub fn runStreamed(k: *const Kernel, n: usize, out: [*]u8, in: [*]u8, call: *Call) void {
        const head = @min(n, -%@intFromPtr(out) % 64 / k.out_size);
        const whole = (n - head) >> k.lane_bits;
        const end = head + (whole << k.lane_bits);
        const step = @as(usize, k.in_size[0]) << k.lane_bits;
        var chunks: Chunks = .{ .of = undefined, .ahead = 0, .streamed = true };
        chunks.of[0] = .{ .ptr = in + head * k.in_size[0], .step = step };
        k.core.?(whole, out + head * k.out_size, &chunks, call);
        for ([2][2]usize{ .{ 0, head }, .{ end, n } }) |part| {
            var source: Sources = @splat(.{});
            source[0].ptr = in + part[0] * k.in_size[0];
            k.run(part[1] - part[0], 1, out + part[0] * k.out_size, 0, &source, call);
        }
    }

    /// One of two inputs repeats an element in each row; nothing lies between the others' rows.
    fn takesColumn(k: *const Kernel, n: usize, out_step: usize, in: *const Sources) bool {
        const other = in[@intFromBool(in[0].repeated)];
        return n >> k.lane_bits > 0 and in[0].repeated != in[1].repeated and
            out_step == n * k.out_size and other.row_step == out_step;
    }

    /// A tensor may be moved onto itself.
    fn move(k: *const Kernel, n: usize, rows: usize, out: [*]u8, out_step: usize, in: *const Sources) void {
        if (!in[0].repeated and out == in[0].ptr) return;
        const bytes = n * k.out_size;
        for (0..rows) |row| {
            const to = out + row * out_step;
            const from = in[0].ptr + row * in[0].row_step;
            if (!in[0].repeated) {
                copy(to, from, bytes);
                continue;
            }
            var line: [64]u8 align(64) = undefined;
            spread(k.out_size, &line, from, line.len);
            var i: usize = 0;
            while (i + line.len <= bytes) : (i += line.len) to[i..][0..line.len].* = line;
            copyPart(to + i, &line, bytes - i);
        }
    }
};

/// Computes `count` chunks, one after the other. It may be of another object (elementwise_shared.zig).
pub const Core = fn (count: usize, out: [*]u8, in: *const Chunks, call: *Call) callconv(.c) void;
/// `rows` rows of n elements, n at least those of a chunk, packed in the output and one input
/// (they may be the same); the other input, a column, has one element for each row.
pub const ColumnCore = fn (
    n: usize,
    rows: usize,
    out: [*]u8,
    packed_rows: [*]const u8,
    column: [*]const u8,
    column_step: usize,
    column_first: bool,
) callconv(.c) void;
/// Where the first chunk of an input is, and how many bytes behind it the next.
pub const Chunk = extern struct { ptr: [*]const u8, step: usize };
pub const Chunks = extern struct {
    of: [max_inputs]Chunk,
    /// As simd.askAhead has it.
    ahead: usize,
    /// Around the cache: the output's lines begin where chunks do. For kernels that can (Kernel.streams).
    streamed: bool = false,
};

/// Room for a chunk of any kernel: 64 elements of 8 bytes.
const part_bytes = 512;

pub const KernelOptions = struct {
    /// Run-time scalars that the function takes after its inputs.
    scalars: usize = 0,
    /// The function returns a vector of bool.
    to_bool: bool = false,
    /// The function takes the call as its last argument, to report failures.
    with_call: bool = false,
    /// It takes so few instructions that memory is what it waits for.
    light: bool = false,
    /// All operands are of this type in memory, T is float32.
    half: Half = .none,
    /// Vectors at a time where there are registers for it: each instruction of a long formula waits
    /// for the one before.
    together: usize = 1,
    /// With a core for columns. The function has no scalars, and T in memory.
    columns: bool = false,
    /// Where there are stores for it, around the cache.
    streams: bool = false,
};

pub const Half = enum {
    none,
    bfloat16,
    float16,

    /// What is loaded and stored: a vector holds no structs.
    fn Memory(comptime h: Half, comptime T: type) type {
        return switch (h) {
            .none => T,
            .bfloat16 => u16,
            .float16 => f16,
        };
    }
};

/// A kernel from `f(comptime V, a, b, ..., scalars ...)` over virtual vectors of T, all of
/// whose n_in inputs are vectors of T. f returns V, or a vector of bool for a bool output.
pub fn kernelOf(
    comptime f: anytype,
    comptime T: type,
    comptime n_in: usize,
    comptime options: KernelOptions,
) Kernel {
    return kernelMixed(f, T, @splat(options.half.Memory(T)), n_in, options);
}

/// As kernelOf; input i is a vector of Ins[i] with as many lanes.
pub fn kernelMixed(
    comptime f: anytype,
    comptime T: type,
    comptime Ins: [max_inputs]type,
    comptime n_in: usize,
    comptime options: KernelOptions,
) Kernel {
    const lanes = simd.elementwiseLanes(T) * if (simd.has_scale) options.together else 1;
    const V = @Vector(lanes, T);
    const R = if (options.to_bool) u8 else options.half.Memory(T);
    const streams = options.streams and stream.whole_lines;
    const Of = struct {
        fn core(count: usize, first: [*]u8, in: *const Chunks, call: *Call) callconv(.c) void {
            const s = switch (options.scalars) {
                0 => .{},
                1 => .{number(call, 0)},
                2 => .{ number(call, 0), number(call, 1) },
                3 => .{ number(call, 0), number(call, 1), number(call, 2) },
                else => @compileError("at most three scalars"),
            };
            const c = if (options.with_call) .{call} else .{};
            var at = in.of;
            const ahead = in.ahead;
            var out = first;
            for (0..count) |_| {
                const a = switch (n_in) {
                    1 => .{vectorAt(Ins[0], at[0].ptr)},
                    2 => .{ vectorAt(Ins[0], at[0].ptr), vectorAt(Ins[1], at[1].ptr) },
                    3 => .{
                        vectorAt(Ins[0], at[0].ptr),
                        vectorAt(Ins[1], at[1].ptr),
                        vectorAt(Ins[2], at[2].ptr),
                    },
                    else => @compileError("one to three inputs"),
                };
                if (options.light) {
                    if (n_in == 1) simd.askAhead(at[0].ptr, ahead);
                    simd.askAhead(out, ahead);
                }
                const result = @call(.always_inline, f, .{V} ++ a ++ s ++ c);
                const p: *[lanes]R = @ptrCast(@alignCast(out));
                const Out = @Vector(lanes, R);
                // Asked at each vector, as the loop would be there twice otherwise.
                if (streams and simd.opaquely(@intFromBool(in.streamed)) != 0) {
                    stream.storeLine(out, @bitCast(result));
                } else p.* = if (options.to_bool) @as(Out, @intFromBool(result)) else switch (options.half) {
                    .none => result,
                    .bfloat16 => dtype.narrowBF16(lanes, result),
                    .float16 => @as(Out, @floatCast(result)),
                };
                inline for (at[0..n_in]) |*chunk| chunk.ptr += chunk.step;
                out += lanes * @sizeOf(R);
            }
        }

        fn columnCore(
            n: usize,
            rows: usize,
            out_bytes: [*]u8,
            in_bytes: [*]const u8,
            column: [*]const u8,
            step: usize,
            column_first: bool,
        ) callconv(.c) void {
            const out: [*]T = @ptrCast(@alignCast(out_bytes));
            const in: [*]const T = @ptrCast(@alignCast(in_bytes));
            const total = n * rows;
            // The output's lines are written whole: a chunk has the end of a row and the next one's begin.
            var at = (-%@intFromPtr(out_bytes) % @sizeOf(V)) / @sizeOf(T);
            if (at > 0) simd.storePart(T, out, at, either(simd.loadPart(T, in, at, 1), splatAt(column), column_first));
            var p = column;
            var end = n;
            while (true) {
                const y = splatAt(p);
                while (at + lanes <= end) : (at += lanes) out[at..][0..lanes].* = either(in[at..][0..lanes].*, y, column_first);
                if (end == total) break;
                p += step;
                if (at < end) {
                    const both = @select(T, simd.firstLanes(T, end - at), y, splatAt(p));
                    out[at..][0..lanes].* = either(in[at..][0..lanes].*, both, column_first);
                    at += lanes;
                }
                end += n;
            }
            const y = splatAt(p);
            if (at < total) simd.storePart(T, out + at, total - at, either(simd.loadPart(T, in + at, total - at, 1), y, column_first));
        }
        inline fn splatAt(p: [*]const u8) V {
            return @splat(@as(*const T, @ptrCast(@alignCast(p))).*);
        }
        inline fn either(x: V, y: V, column_first: bool) V {
            return if (column_first) f(V, y, x) else f(V, x, y);
        }

        inline fn number(call: *const Call, comptime i: usize) V {
            return @splat(scalarAs(T, call.scalar[i]));
        }

        inline fn vectorAt(comptime E: type, p: [*]const u8) @Vector(lanes, if (options.half == .none) E else T) {
            const q: *const [lanes]E = @ptrCast(@alignCast(p));
            const x: @Vector(lanes, E) = q.*;
            return switch (options.half) {
                .none => x,
                .bfloat16 => dtype.widenBF16(lanes, x),
                .float16 => @floatCast(x),
            };
        }
    };
    const with_columns = options.columns and simd.has_fma;
    return .{ .core = Of.core, .columns = if (with_columns) Of.columnCore else null, .lane_bits = @intCast(@ctz(@as(u8, lanes))), .streams = streams, .n_in = n_in, .out_size = @sizeOf(R), .in_size = .{ @sizeOf(Ins[0]), @sizeOf(Ins[1]), @sizeOf(Ins[2]) } };
}

/// out = a, of elements of this many bytes.
pub fn moveKernel(size: usize) Kernel {
    return .{ .core = null, .out_size = @intCast(size) };
}

/// n bytes. From about the size of an L2 on, faster than memcpy.
fn copy(to: [*]u8, from: [*]const u8, n: usize) void {
    var i: usize = 0;
    const ahead = simd.aheadIn(1, 2 * n);
    if (n >= 1 << 20) while (i + 64 <= n) : (i += 64) {
        simd.askAhead(from + i, ahead);
        simd.askAhead(to + i, ahead);
        to[i..][0..64].* = @as(@Vector(64, u8), from[i..][0..64].*);
    };
    @memcpy(to[i..n], from[i..n]);
}

/// One element again and again, to at least n bytes, in whole lines of 64.
fn spread(size: usize, to: [*]align(64) u8, from: [*]const u8, n: usize) void {
    switch (size) {
        inline 1, 2, 4, 8 => |bytes| {
            const T = @Int(.unsigned, bytes * 8);
            const x: simd.Vec(T) = @splat(@as(*const T, @ptrCast(@alignCast(from))).*);
            const p: [*]simd.Vec(T) = @ptrCast(to);
            for (0..std.mem.alignForward(usize, n, 64) / simd.vector_bytes) |i| p[i] = x;
        },
        else => unreachable,
    }
}

/// n < part_bytes bytes, in pieces of powers of two.
pub fn copyPart(to: [*]u8, from: [*]const u8, n: usize) void {
    var i: usize = 0;
    comptime var piece = part_bytes / 2;
    inline while (piece > 0) : (piece /= 2) {
        if (n & piece != 0) {
            to[i..][0..piece].* = from[i..][0..piece].*;
            i += piece;
        }
    }
}

/// Scalars are .f for float kernels, .i for integer ones. What a narrow integer has no room for
/// becomes the nearest that it has (bounds of clamp: other scalars fit).
inline fn scalarAs(comptime T: type, x: plan.Scalar) T {
    if (@typeInfo(T) == .float) return @floatCast(x.f);
    return std.math.lossyCast(T, x.i);
}
