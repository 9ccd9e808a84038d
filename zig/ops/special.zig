//! Rows of special functions, of one input or two. Operands: out, x (and y), of one shape; any
//! strides, any dtypes. All compute in float64 and are rounded once.
//!
//! ints of rows of two: as binary.zig's, 1 or 2 where the second or the first input is scalar[0].
//! - `bessel_j0` `bessel_j1` `bessel_y0` `bessel_y1` `i1` `i1e` `modified_bessel_k0`
//!   `modified_bessel_k1` `scaled_modified_bessel_k0` `scaled_modified_bessel_k1`
//!   `spherical_bessel_j0` `airy_ai` `erfcx` `log_ndtr` `ndtri`
//! - `polygamma`: scalar[1] zeta(scalar[0], x), in the plan's floats
//! - of two: `zeta` (x, q), `gammainc` `gammaincc` (a, x), and of x and a degree
//!   `chebyshev_polynomial_t` _u _v _w, the same with `shifted_` before, `hermite_polynomial_h`
//!   `hermite_polynomial_he` `laguerre_polynomial_l` `legendre_polynomial_p`
const std = @import("std");
const plan = @import("../plan.zig");
const kernels = @import("elementwise_kernel.zig");
const shared = @import("elementwise_shared.zig");
const simd = @import("../simd.zig");
const bessel = @import("special_bessel.zig");
const common = @import("special_common.zig");
const gamma = @import("special_gamma.zig");
const normal = @import("special_normal.zig");
const polynomials = @import("special_polynomials.zig");
const Call = plan.Call;
const Plan = plan.Plan;
const V = common.V;

const Row = struct {
    name: []const u8,
    n_in: u8,
    core: *const kernels.Core,
    /// For results that are rounded to float32 or less.
    single: *const kernels.Core,
};

const rows = [_]Row{
    one("bessel_j0", bessel.j0),
    one("bessel_j1", bessel.j1),
    one("bessel_y0", bessel.y0),
    one("bessel_y1", bessel.y1),
    either("i1", bessel.besselI1),
    either("i1e", bessel.besselI1e),
    one("modified_bessel_k0", bessel.k0),
    one("modified_bessel_k1", bessel.k1),
    one("scaled_modified_bessel_k0", bessel.k0e),
    one("scaled_modified_bessel_k1", bessel.k1e),
    one("spherical_bessel_j0", bessel.sphericalJ0),
    one("airy_ai", bessel.airy),
    one("erfcx", normal.erfcx),
    one("log_ndtr", normal.logNdtr),
    one("ndtri", normal.ndtri),
    alike("polygamma", 1, polygamma),
    iterating("zeta", gamma.zeta, gamma.zetaKind),
    iterating("gammainc", gamma.lowerIncomplete, gamma.incompleteKind),
    iterating("gammaincc", gamma.upperIncomplete, gamma.incompleteKind),
    ofDegree("chebyshev_polynomial_t", .t, false),
    ofDegree("chebyshev_polynomial_u", .u, false),
    ofDegree("chebyshev_polynomial_v", .v, false),
    ofDegree("chebyshev_polynomial_w", .w, false),
    ofDegree("shifted_chebyshev_polynomial_t", .t, true),
    ofDegree("shifted_chebyshev_polynomial_u", .u, true),
    ofDegree("shifted_chebyshev_polynomial_v", .v, true),
    ofDegree("shifted_chebyshev_polynomial_w", .w, true),
    ofDegree("hermite_polynomial_h", .hermite, false),
    ofDegree("hermite_polynomial_he", .hermite_e, false),
    ofDegree("laguerre_polynomial_l", .laguerre, false),
    ofDegree("legendre_polynomial_p", .legendre, false),
};

pub const names: []const []const u8 = blk: {
    var list: [rows.len][]const u8 = undefined;
    for (rows, &list) |row, *name| name.* = row.name;
    const final = list;
    break :blk &final;
};
pub const family: plan.Family = .{ .prepare = prepare };

/// Elements that are worth a thread: they take 5 to 50 ns each.
const grain = 1024;

fn prepare(p: *Plan) plan.PrepareError!void {
    const row = &rows[p.op];
    return shared.prepare(p, &.{
        .core = if (p.operands[0].dtype == .float64) row.core else row.single,
        .lane_bits = comptime std.math.log2_int(usize, common.lanes),
        .n_in = row.n_in,
        .number = if (p.ints.len == 0) 0 else @intCast(p.ints[0]),
        .grain = grain,
    });
}

/// In rows of one input, y is x.
const Formula = fn (x: V, y: V, call: *const Call) V;

fn one(name: []const u8, comptime f: fn (V) V) Row {
    const formula = struct {
        fn at(x: V, _: V, _: *const Call) V {
            return f(x);
        }
    }.at;
    return alike(name, 1, formula);
}
fn alike(name: []const u8, comptime n_in: u8, comptime formula: Formula) Row {
    const core = Core(formula, n_in).run;
    return .{ .name = name, .n_in = n_in, .core = core, .single = core };
}
fn two(name: []const u8, comptime f: fn (V, V) V) Row {
    const formula = struct {
        fn at(x: V, y: V, _: *const Call) V {
            return f(x, y);
        }
    }.at;
    return alike(name, 2, formula);
}
/// f(single, x).
fn either(name: []const u8, comptime f: fn (comptime bool, V) V) Row {
    const For = struct {
        fn Of(comptime single: bool) type {
            return struct {
                fn at(x: V, _: V, _: *const Call) V {
                    return f(single, x);
                }
            };
        }
    };
    return .{
        .name = name,
        .n_in = 1,
        .core = Core(For.Of(false).at, 1).run,
        .single = Core(For.Of(true).at, 1).run,
    };
}
/// f(single, x, y), which takes as long as that of a vector's elements that takes longest.
fn iterating(name: []const u8, comptime f: fn (comptime bool, V, V) V, comptime kind: fn (V, V) common.Kinds) Row {
    const For = struct {
        fn Of(comptime single: bool) type {
            return struct {
                fn at(x: V, y: V, _: *const Call) V {
                    return f(single, x, y);
                }
                fn run(count: usize, out: [*]u8, in: *const kernels.Chunks, call: *Call) callconv(.c) void {
                    if (simd.has_fma) byKind(count, out, in.of[0], in.of[1], call, &at, &kind) else each(count, out, in.of[0], in.of[1], call, &at);
                }
            };
        }
    };
    return .{ .name = name, .n_in = 2, .core = For.Of(false).run, .single = For.Of(true).run };
}
/// shifted: from [0, 1] to [-1, 1].
fn ofDegree(name: []const u8, comptime kind: polynomials.Kind, comptime shifted: bool) Row {
    const f = struct {
        fn at(x: V, n: V) V {
            return polynomials.polynomial(kind, if (shifted) x + x - common.one else x, n);
        }
    }.at;
    return two(name, f);
}
fn polygamma(x: V, _: V, call: *const Call) V {
    const y = common.splat(call.scalar[1].f) * gamma.zeta(false, common.splat(call.scalar[0].f), x);
    return common.pick(x == common.inf, common.nan, y); // as in PyTorch
}

fn Core(comptime formula: Formula, comptime n_in: usize) type {
    return struct {
        fn run(count: usize, out: [*]u8, in: *const kernels.Chunks, call: *Call) callconv(.c) void {
            each(count, out, in.of[0], in.of[n_in - 1], call, &formula);
        }
    };
}

/// `formula` of `count` vectors. One copy of the loop for all rows.
noinline fn each(count: usize, out: [*]u8, first: kernels.Chunk, second: kernels.Chunk, call: *const Call, formula: *const Formula) void {
    const results: [*][common.lanes]f64 = @ptrCast(@alignCast(out));
    for (results[0..count], 0..) |*result, i| result.* = formula(elements(first, i).*, elements(second, i).*, call);
}
inline fn elements(c: kernels.Chunk, i: usize) *const [common.lanes]f64 {
    return @ptrCast(@alignCast(c.ptr + i * c.step));
}

/// `formula` of `count` vectors of elements that are of one kind, as far as there are so many.
noinline fn byKind(
    count: usize,
    out: [*]u8,
    first: kernels.Chunk,
    second: kernels.Chunk,
    call: *const Call,
    formula: *const Formula,
    kind: *const fn (x: V, y: V) common.Kinds,
) void {
    const lanes = common.lanes;
    const most = 128 / lanes;
    var kinds: [most]common.Kinds = undefined;
    var sorted: [2][most * lanes]f64 align(64) = undefined;
    var places: [most * lanes]u8 = undefined;
    var done: usize = 0;
    while (done < count) : (done += most) {
        const n = @min(most, count - done);
        var next: [5]usize = @splat(0); // where the next of a kind is put, after those of the kinds before it
        var others = false;
        for (kinds[0..n], done..) |*k, i| {
            k.* = kind(elements(first, i).*, elements(second, i).*);
            others = others or !common.all(k.* == @as(common.Kinds, @splat(kinds[0][0])));
        }
        const results = @as([*][lanes]f64, @ptrCast(@alignCast(out))) + done;
        if (n == 1 or !others) {
            for (results[0..n], done..) |*y, i| y.* = formula(elements(first, i).*, elements(second, i).*, call);
            continue;
        }
        for (kinds[0..n]) |k| {
            for (@as([lanes]u8, k)) |x| next[x + 1] += 1;
        }
        for (next[1..], next[0..4]) |*x, before| x.* += before;
        for (kinds[0..n], 0..) |k, i| {
            for (@as([lanes]u8, k), elements(first, done + i), elements(second, done + i), i * lanes..) |x, a, b, place| {
                const at = next[x];
                next[x] += 1;
                sorted[0][at] = a;
                sorted[1][at] = b;
                places[at] = @intCast(place);
            }
        }
        const y = @as([*]f64, @ptrCast(results));
        for (0..n) |i| {
            const some: [lanes]f64 = formula(sorted[0][i * lanes ..][0..lanes].*, sorted[1][i * lanes ..][0..lanes].*, call);
            for (some, places[i * lanes ..][0..lanes]) |x, place| y[place] = x;
        }
    }
}

test {
    _ = @import("special_test.zig");
}
