//! Kernels: one function over packed elements, made from a formula over virtual vectors.
const std = @import("std");
const plan = @import("../plan.zig");
const simd = @import("../simd.zig");
const Call = plan.Call;

pub const max_inputs = 3;

/// What a kernel reads: rows of packed elements, or rows of one element again and again.
pub const Source = struct {
    ptr: [*]u8 = undefined,
    /// Bytes from row to row.
    row_step: usize = 0,
    repeated: bool = false,
};

/// Computes `rows` rows of n elements, `out_step` bytes from one to the next. Scalars, and
/// where to report a failure, are in the call.
pub const Kernel = *const fn (
    n: usize,
    rows: usize,
    out: [*]u8,
    out_step: usize,
    in: *const Sources,
    call: *Call,
) void;
pub const Sources = [max_inputs]Source;

pub const KernelOptions = struct {
    /// Run-time scalars that the function takes after its inputs.
    scalars: usize = 0,
    /// The function returns a vector of bool.
    to_bool: bool = false,
    /// The function takes the call as its last argument, to report failures.
    with_call: bool = false,
};

/// A kernel from `f(comptime V, a, b, ..., scalars ...)` over virtual vectors of T, all of
/// whose n_in inputs are vectors of T. f returns V, or a vector of bool for a bool output.
pub fn kernelOf(
    comptime f: anytype,
    comptime T: type,
    comptime n_in: usize,
    comptime options: KernelOptions,
) Kernel {
    return kernelMixed(f, T, @splat(T), n_in, options);
}

/// As kernelOf; input i is a vector of Ins[i] with as many lanes.
pub fn kernelMixed(
    comptime f: anytype,
    comptime T: type,
    comptime Ins: [max_inputs]type,
    comptime n_in: usize,
    comptime options: KernelOptions,
) Kernel {
    const lanes = simd.elementwiseLanes(T);
    const V = @Vector(lanes, T);
    return struct {
        fn kernel(
            n: usize,
            rows: usize,
            out_rows: [*]u8,
            out_step: usize,
            in: *const Sources,
            call: *Call,
        ) void {
            const R = if (options.to_bool) u8 else T;
            var scalars: [options.scalars]V = undefined;
            inline for (&scalars, 0..) |*s, i| s.* = @splat(scalarAs(T, call.scalar[i]));
            var steps: [n_in]usize = undefined;
            var in_place = false;
            inline for (&steps, 0..) |*step, k| {
                step.* = if (in[k].repeated) 0 else lanes * @sizeOf(Ins[k]);
                in_place = in_place or in[k].ptr == out_rows;
            }
            const overlap = n >= lanes and !in_place;
            var part: [n_in][lanes * 8]u8 align(64) = undefined;
            var part_out: [lanes * 8]u8 align(64) = undefined;
            for (0..rows) |row| {
                var sources: [n_in][*]const u8 = undefined;
                inline for (&sources, 0..) |*source, k| {
                    source.* = in[k].ptr + row * in[k].row_step;
                    if (in[k].repeated) {
                        const one: *const Ins[k] = @ptrCast(@alignCast(source.*));
                        @as(*[lanes]Ins[k], @ptrCast(&part[k])).* = @splat(one.*);
                        source.* = &part[k];
                    }
                }
                const row_out = out_rows + row * out_step;
                var out = row_out;
                var left = n;
                // One copy of f in the code: a last part goes through memory of its own.
                while (left != 0) {
                    var whole = left / lanes;
                    if (whole == 0 and overlap) {
                        // The last whole vector, part of which is done already.
                        inline for (&sources, steps) |*source, step| {
                            source.* -= step / lanes * (lanes - left);
                        }
                        out -= @sizeOf(R) * (lanes - left);
                        left = lanes;
                        whole = 1;
                    } else if (whole == 0) {
                        inline for (0..n_in) |k| {
                            if (steps[k] != 0) {
                                const p: *[lanes]Ins[k] = @ptrCast(&part[k]);
                                // Ones are harmless everywhere: also as a divisor.
                                p.* = @splat(1);
                                const q: [*]const Ins[k] = @ptrCast(@alignCast(sources[k]));
                                copyPart(Ins[k], lanes, p, q, left);
                                sources[k] = &part[k];
                            }
                        }
                        out = &part_out;
                    }
                    for (0..@max(whole, 1)) |_| {
                        apply(&sources, out, &scalars, call);
                        inline for (&sources, steps) |*source, step| source.* += step;
                        out += lanes * @sizeOf(R);
                    }
                    if (whole == 0) {
                        const q: [*]R = @ptrCast(@alignCast(row_out));
                        const p: [*]const R = @ptrCast(@alignCast(&part_out));
                        copyPart(R, lanes, q + (n - left), p, left);
                        break;
                    }
                    left -= whole * lanes;
                }
            }
        }

        inline fn apply(
            sources: *const [n_in][*]const u8,
            out: [*]u8,
            scalars: *const [options.scalars]V,
            call: *Call,
        ) void {
            const a = switch (n_in) {
                1 => .{vectorAt(Ins[0], sources[0])},
                2 => .{ vectorAt(Ins[0], sources[0]), vectorAt(Ins[1], sources[1]) },
                3 => .{
                    vectorAt(Ins[0], sources[0]),
                    vectorAt(Ins[1], sources[1]),
                    vectorAt(Ins[2], sources[2]),
                },
                else => @compileError("one to three inputs"),
            };
            const s = switch (options.scalars) {
                0 => .{},
                1 => .{scalars[0]},
                2 => .{ scalars[0], scalars[1] },
                3 => .{ scalars[0], scalars[1], scalars[2] },
                else => @compileError("at most three scalars"),
            };
            const c = if (options.with_call) .{call} else .{};
            const result = @call(.auto, f, .{V} ++ a ++ s ++ c);
            const R = if (options.to_bool) u8 else T;
            const p: *[lanes]R = @ptrCast(@alignCast(out));
            const Out = @Vector(lanes, R);
            p.* = if (options.to_bool) @as(Out, @intFromBool(result)) else result;
        }

        inline fn vectorAt(comptime E: type, p: [*]const u8) @Vector(lanes, E) {
            const q: *const [lanes]E = @ptrCast(@alignCast(p));
            return q.*;
        }
    }.kernel;
}

/// n < lanes elements, in pieces of powers of two.
inline fn copyPart(
    comptime T: type,
    comptime lanes: usize,
    to: [*]T,
    from: [*]const T,
    n: usize,
) void {
    var i: usize = 0;
    comptime var piece = lanes / 2;
    inline while (piece > 0) : (piece /= 2) {
        if (n & piece != 0) {
            to[i..][0..piece].* = from[i..][0..piece].*;
            i += piece;
        }
    }
}

/// out = a, of elements of this many bytes.
pub fn moveKernel(size: usize) Kernel {
    const Of = struct {
        fn kernel(comptime bytes: usize) Kernel {
            return struct {
                fn move(
                    n: usize,
                    rows: usize,
                    out_rows: [*]u8,
                    out_step: usize,
                    in: *const Sources,
                    _: *Call,
                ) void {
                    // A tensor may be copied onto itself.
                    if (!in[0].repeated and out_rows == in[0].ptr) return;
                    for (0..rows) |row| {
                        const out = out_rows + row * out_step;
                        const from = in[0].ptr + row * in[0].row_step;
                        if (in[0].repeated) {
                            const T = @Int(.unsigned, bytes * 8);
                            const lanes = simd.lanes(T);
                            const one: *const T = @ptrCast(@alignCast(from));
                            const x: [lanes]T align(64) = @splat(one.*);
                            const p: [*]T = @ptrCast(@alignCast(out));
                            var i: usize = 0;
                            while (i + lanes <= n) : (i += lanes) p[i..][0..lanes].* = x;
                            copyPart(T, lanes, p + i, &x, n - i);
                        } else @memcpy(out[0 .. n * bytes], from[0 .. n * bytes]);
                    }
                }
            }.move;
        }
    };
    return switch (size) {
        1 => Of.kernel(1),
        2 => Of.kernel(2),
        4 => Of.kernel(4),
        else => Of.kernel(8),
    };
}

/// Scalars are .f for float kernels, .i for integer ones.
inline fn scalarAs(comptime T: type, x: plan.Scalar) T {
    if (@typeInfo(T) == .float) return @floatCast(x.f);
    if (@typeInfo(T).int.bits == 64) return @bitCast(x.i);
    return @truncate(@as(if (@typeInfo(T).int.signedness == .signed) i64 else u64, @bitCast(x.i)));
}
