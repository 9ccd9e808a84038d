//! Rows of the elementwise families: an operation's kernels, and which of them a call takes.
//!
//! Compute types: f64 if any operand is float64, else f32 if any is a float, else i64; some
//! rows also have kernels of narrower integers for operands that are all of that type.
const plan = @import("../plan.zig");
const elementwise = @import("elementwise.zig");
const simd = @import("../simd.zig");
const DType = @import("../dtype.zig").DType;
const Plan = plan.Plan;
const Kernel = elementwise.Kernel;
const Spec = elementwise.Spec;
const Tile = elementwise.Tile;
const kernelOf = elementwise.kernelOf;

/// One operation: its kernels for the compute types it has.
pub const Row = struct {
    name: []const u8,
    n_in: usize,
    /// The output is bool; the compute type is that of the inputs alone.
    to_bool: bool = false,
    grain: usize = elementwise.cheap,
    f32: ?Kernel = null,
    f64: ?Kernel = null,
    i64: ?Kernel = null,
    /// For operands that are all int32, or all one of uint8 and bool.
    i32: ?Kernel = null,
    u8: ?Kernel = null,
    i16: ?Kernel = null,
    /// For operands that are all bfloat16, without a number among them.
    half: ?Kernel = null,
    /// The same of float16.
    float16: ?Kernel = null,
    /// Of bfloat16 and float16, with a number as the last input.
    numbers: [2]?Kernel = @splat(null),
    i8: ?Kernel = null,
    /// For operands that are all uint8.
    byte: ?Kernel = null,
};

/// Makes rows of n_in inputs, each from one generic function with `scalars` scalars.
pub fn Rows(comptime n_in: usize) type {
    return struct {
        /// Floats only, a few instructions.
        pub fn cheap(name: []const u8, comptime f: anytype, comptime scalars: usize) Row {
            return floats(name, f, .{ .scalars = scalars, .light = true });
        }
        fn floats(name: []const u8, comptime f: anytype, comptime options: elementwise.KernelOptions) Row {
            return .{
                .name = name,
                .n_in = n_in,
                .f32 = kernelOf(f, f32, n_in, options),
                .f64 = kernelOf(f, f64, n_in, options),
            };
        }

        /// `row` of a formula without scalars, also with one element of an input for each row.
        pub fn withColumns(comptime row: Row, comptime f: anytype) Row {
            var r = row;
            r.f32 = kernelOf(f, f32, n_in, .{ .light = true, .columns = true });
            r.f64 = kernelOf(f, f64, n_in, .{ .light = true, .columns = true });
            return r;
        }

        /// Floats only, an approximation or a loop.
        pub fn costly(name: []const u8, comptime f: anytype, comptime scalars: usize) Row {
            var r = floats(name, f, .{ .scalars = scalars });
            r.grain = elementwise.costly;
            return r;
        }

        /// The same, with float32 stored around the cache while more of it is computed.
        pub fn streamed(name: []const u8, comptime f: anytype) Row {
            var r = costly(name, f, 0);
            r.f32 = kernelOf(f, f32, n_in, .{ .streams = true });
            return r;
        }

        /// The same for what is computed in float64 whatever the float: one kernel for all.
        pub fn wide(name: []const u8, comptime f: anytype) Row {
            return .{
                .name = name,
                .n_in = n_in,
                .grain = elementwise.costly,
                .f64 = kernelOf(f, f64, n_in, .{ .together = 2 }),
            };
        }

        /// As `row`, and for bfloat16 without tiles of float32 between: `f` as the row's. Small CPUs
        /// go without.
        pub fn withHalf(comptime row: Row, comptime f: anytype) Row {
            var r = row;
            if (simd.has_fma) r.half = kernelOf(f, f32, n_in, .{ .half = .bfloat16, .together = 4 });
            return r;
        }
        /// The same for float16, of a formula with `scalars` scalars.
        pub fn withFloat16(comptime row: Row, comptime f: anytype, comptime scalars: usize) Row {
            var r = row;
            if (simd.has_fma) r.float16 = kernelOf(f, f32, n_in, .{ .half = .float16, .together = 2, .scalars = scalars, .light = true });
            return r;
        }
        /// For both with a number as the last input.
        pub fn withNumbers(comptime row: Row, comptime f: anytype) Row {
            var r = row;
            if (simd.has_fma) r.numbers = .{
                kernelOf(f, f32, n_in - 1, .{ .half = .bfloat16, .together = 2, .scalars = 1 }),
                kernelOf(f, f32, n_in - 1, .{ .half = .float16, .together = 2, .scalars = 1 }),
            };
            return r;
        }
        /// Both.
        pub fn withHalves(comptime row: Row, comptime f: anytype) Row {
            return withFloat16(withHalf(row, f), f, 0);
        }

        /// Integers only.
        pub fn integer(name: []const u8, comptime f: anytype) Row {
            return .{
                .name = name,
                .n_in = n_in,
                .i64 = kernelOf(f, i64, n_in, .{}),
                .i32 = kernelOf(f, i32, n_in, .{}),
            };
        }

        /// Integers and bool, by their bytes.
        pub fn bitwise(name: []const u8, comptime f: anytype) Row {
            var r = integer(name, f);
            r.i16 = kernelOf(f, i16, n_in, .{ .light = true });
            r.u8 = kernelOf(f, u8, n_in, .{ .light = true });
            r.i8 = r.u8;
            return r;
        }

        /// `row`, which takes bools as the bytes 0 and 1.
        pub fn ofBools(comptime row: Row) Row {
            var r = row;
            r.u8 = r.byte;
            return r;
        }

        /// `row`, which does to integers what `other` does.
        pub fn asIntegers(comptime row: Row, comptime other: Row) Row {
            var r = row;
            for (.{ "i64", "i32", "i16", "i8", "u8", "byte" }) |k| @field(r, k) = @field(other, k);
            return r;
        }

        /// Every dtype.
        pub fn every(name: []const u8, comptime f: anytype, comptime scalars: usize) Row {
            var r = cheap(name, f, scalars);
            r.i64 = kernelOf(f, i64, n_in, .{ .scalars = scalars, .light = true });
            r.i32 = kernelOf(f, i32, n_in, .{ .scalars = scalars, .light = true });
            return r;
        }

        /// Every dtype, and the narrow integers by themselves.
        pub fn everySize(name: []const u8, comptime f: anytype, comptime scalars: usize) Row {
            var r = every(name, f, scalars);
            r.i16 = kernelOf(f, i16, n_in, .{ .scalars = scalars, .light = true });
            r.i8 = kernelOf(f, i8, n_in, .{ .scalars = scalars, .light = true });
            r.byte = kernelOf(f, u8, n_in, .{ .scalars = scalars, .light = true });
            return r;
        }

        /// The same where the bytes' signs do not matter.
        pub fn everySizeSignless(name: []const u8, comptime f: anytype) Row {
            var r = every(name, f, 0);
            r.i16 = kernelOf(f, i16, n_in, .{ .light = true });
            r.byte = kernelOf(f, u8, n_in, .{ .light = true });
            r.i8 = r.byte;
            return r;
        }

        /// Every dtype, to bool: f gives a vector of bool.
        pub fn predicate(name: []const u8, comptime f: anytype) Row {
            return .{
                .name = name,
                .n_in = n_in,
                .to_bool = true,
                .f32 = kernelOf(f, f32, n_in, .{ .to_bool = true, .light = true }),
                .f64 = kernelOf(f, f64, n_in, .{ .to_bool = true, .light = true }),
                .i64 = kernelOf(f, i64, n_in, .{ .to_bool = true, .light = true }),
                .i32 = kernelOf(f, i32, n_in, .{ .to_bool = true, .light = true }),
                .u8 = kernelOf(f, u8, n_in, .{ .to_bool = true, .light = true }),
            };
        }

        /// The same, of numbers in their order.
        pub fn comparison(name: []const u8, comptime f: anytype) Row {
            var r = predicate(name, f);
            r.i16 = kernelOf(f, i16, n_in, .{ .to_bool = true, .light = true });
            r.i8 = kernelOf(f, i8, n_in, .{ .to_bool = true, .light = true });
            return r;
        }
        /// The same, where bytes may have a sign or none.
        pub fn signless(name: []const u8, comptime f: anytype) Row {
            var r = predicate(name, f);
            r.i16 = kernelOf(f, i16, n_in, .{ .to_bool = true, .light = true });
            r.i8 = r.u8;
            return r;
        }
    };
}

pub fn namesOf(comptime rows: []const Row) []const []const u8 {
    var names: [rows.len][]const u8 = undefined;
    for (rows, &names) |row, *name| name.* = row.name;
    const final = names;
    return &final;
}

/// The compute type of operands of these dtypes; an output that is a bool says nothing.
pub fn computeTile(operands: []const plan.Operand, output_counts: bool) Tile {
    var tile: Tile = .i64;
    for (operands[@intFromBool(!output_counts)..]) |o| switch (o.dtype) {
        .float64 => return .f64,
        .float32, .float16, .bfloat16 => tile = .f32,
        else => {},
    };
    return tile;
}

/// The kernel for the plan's dtypes, driven over its operands. `scalar_input` is the input
/// that scalar[0] stands for, if one is.
pub fn prepare(p: *Plan, row: *const Row, scalar_input: ?usize) plan.PrepareError!void {
    return elementwise.prepare(p, try specOf(p, row, scalar_input));
}

pub fn specOf(p: *const Plan, row: *const Row, scalar_input: ?usize) plan.PrepareError!Spec {
    if (p.n_out != 1 or p.operands.len + @intFromBool(scalar_input != null) != 1 + row.n_in) {
        return error.Unsupported;
    }
    var tile: Tile = computeTile(p.operands, !row.to_bool);
    if (tile == .f32 and row.f32 == null and row.f64 != null) tile = .f64;
    var chosen: ?Kernel = switch (tile) {
        .f32 => row.f32,
        .f64 => row.f64,
        else => row.i64,
    };
    const compared = p.operands[@intFromBool(row.to_bool)..];
    if (tile == .i64) {
        if (row.i32) |k| if (all(compared, .int32, .int32)) {
            tile = .raw4;
            chosen = k;
        };
        if (row.u8) |k| if (all(compared, .uint8, .bool)) {
            tile = .raw1;
            chosen = k;
        };
        if (row.i16) |k| if (all(compared, .int16, .int16)) {
            tile = .raw2;
            chosen = k;
        };
        if (row.i8) |k| if (all(compared, .int8, .int8)) {
            tile = .raw1;
            chosen = k;
        };
        if (row.byte) |k| if (all(compared, .uint8, .uint8)) {
            tile = .raw1;
            chosen = k;
        };
    }
    var number = scalar_input;
    var half_chosen = false;
    const halves = [_]struct { ?Kernel, DType }{ .{ row.half, .bfloat16 }, .{ row.float16, .float16 } };
    for (halves, row.numbers) |half, with_number| {
        if (!all(compared, half[1], half[1])) continue;
        const last = if (scalar_input) |i| i + 1 == row.n_in else false;
        const kernel = if (scalar_input == null) half[0] else if (last) with_number else null;
        chosen = kernel orelse continue;
        tile = .raw2;
        half_chosen = true;
        number = null; // is an argument now
    }
    if (row.to_bool and p.operands[0].dtype.size() != 1) return error.Unsupported;
    return .{
        .kernel = chosen orelse return error.Unsupported,
        .out = if (row.to_bool) .raw1 else tile,
        .in = @splat(tile),
        .n_in = row.n_in - @intFromBool(number != scalar_input),
        .scalar_input = number,
        .half = half_chosen,
        .grain = row.grain,
    };
}

fn all(operands: []const plan.Operand, a: DType, b: DType) bool {
    for (operands) |o| if (o.dtype != a and o.dtype != b) return false;
    return operands.len > 0;
}
