//! Times of some kernels: `zig build bench`. The tests run it with tiny sizes.
//!
//! Each row of output is the fastest of many runs on warm memory; gigabytes count what is read
//! and written. Pass a part of a name to run only the rows that have it.
const std = @import("std");
const builtin = @import("builtin");
const families = @import("families.zig");
const plan_zig = @import("plan.zig");
const services = @import("services.zig");
const threads = @import("threads.zig");
const memory = @import("memory.zig");
const DType = @import("dtype.zig").DType;
const Operand = plan_zig.Operand;
const Plan = plan_zig.Plan;

pub const std_options: std.Options = .{ .signal_stack_size = null };

const Case = struct {
    name: []const u8,
    family: []const u8,
    row: []const u8,
    /// Outputs first.
    shapes: []const []const i64,
    dtype: DType = .float32,
    ints: []const i64 = &.{},
    /// Floating-point operations of a run, where they and not the bytes count.
    flops: f64 = 0,
};

fn elementwise(
    comptime family: []const u8,
    comptime row: []const u8,
    comptime inputs: usize,
    comptime n: i64,
) Case {
    return .{
        .name = std.fmt.comptimePrint("{s} {d}", .{ row, n }),
        .family = family,
        .row = row,
        .shapes = &@as([1 + inputs][]const i64, @splat(&.{n})),
    };
}

fn matmul(comptime n: i64) Case {
    return .{
        .name = std.fmt.comptimePrint("matmul {d}", .{n}),
        .family = "matmul",
        .row = "matmul",
        .shapes = &.{ &.{ n, n }, &.{ n, n }, &.{ n, n } },
        .flops = 2 * n * n * n,
    };
}

fn cases(comptime million: i64, comptime side: i64) []const Case {
    return &.{
        elementwise("binary", "add", 2, million),
        elementwise("binary", "add", 2, 16 * million),
        elementwise("binary", "mul", 2, million),
        elementwise("unary", "exp", 1, million),
        elementwise("unary", "tanh", 1, million),
        .{
            .name = std.fmt.comptimePrint("sum {d}", .{million}),
            .family = "reduce",
            .row = "sum",
            .shapes = &.{ &.{}, &.{million} },
            .ints = &.{0},
        },
        matmul(side / 4),
        matmul(side),
        matmul(2 * side),
    };
}

/// How the kernels are reached: the library's way, or in a test without the objects.
fn prepare(comptime family: []const u8, p: *Plan) plan_zig.PrepareError!void {
    if (builtin.is_test) return @field(families, family).family.prepare(p);
    return @import("dispatch.zig").family(p.family).prepare(p);
}

fn numberOf(names: []const []const u8, name: []const u8) u32 {
    for (names, 0..) |n, i| if (std.mem.eql(u8, n, name)) return @intCast(i);
    unreachable;
}

fn contiguous(comptime shape: []const i64) [shape.len]i64 {
    var strides: [shape.len]i64 = undefined;
    var stride: i64 = 1;
    var d = shape.len;
    while (d > 0) {
        d -= 1;
        strides[d] = stride;
        stride *= shape[d];
    }
    return strides;
}

const Result = struct { seconds: f64, bytes: f64 };

/// The fastest of the runs that fit into `seconds` (at least 2).
fn time(io: std.Io, comptime case: Case, seconds: f64) !Result {
    var operands: [case.shapes.len]Operand = undefined;
    var call: plan_zig.Call = .{};
    var bytes: usize = 0;
    inline for (case.shapes, 0..) |shape, i| {
        const strides = comptime contiguous(shape);
        operands[i] = .{ .dtype = case.dtype, .shape = shape, .strides = &strides };
        const n = operands[i].numel();
        bytes += n * case.dtype.size();
        call.ptr[i] = memory.alloc(n * case.dtype.size()) orelse return error.OutOfMemory;
        @memset(call.at(f32, i)[0..n], 0.5);
    }
    defer for (call.ptr[0..operands.len]) |p| memory.free(p.?);

    var p = plan_zig.testPlan(&operands, 1, 0, case.ints, &.{});
    p.family = comptime numberOf(@typeInfo(families).@"struct".decl_names, case.family);
    p.op = numberOf(@field(families, case.family).names, case.row);
    try prepare(case.family, &p);
    defer plan_zig.destroyState(&p);

    var best = std.math.inf(f64);
    var total: f64 = 0;
    var runs: usize = 0;
    while (runs < 2 or total < seconds) : (runs += 1) {
        const start = std.Io.Timestamp.now(io, .awake);
        if (builtin.is_test) p.run(&p, &call) else p.entry(&p, &call);
        const nanoseconds = start.durationTo(.now(io, .awake)).nanoseconds;
        const took = @as(f64, @floatFromInt(nanoseconds)) * 1e-9;
        if (call.status.load(.monotonic) != 0) return error.KernelFailed;
        best = @min(best, took);
        total += took;
    }
    return .{ .seconds = best, .bytes = @floatFromInt(bytes) };
}

fn runAll(
    io: std.Io,
    w: *std.Io.Writer,
    comptime list: []const Case,
    filter: []const u8,
    seconds: f64,
) !void {
    inline for (list) |case| {
        if (comptime !@hasDecl(families, case.family)) continue;
        if (std.mem.indexOf(u8, case.name, filter) != null) {
            const r = try time(io, case, seconds);
            const rate, const unit = if (case.flops > 0)
                .{ case.flops / r.seconds * 1e-9, "GFLOP/s" }
            else
                .{ r.bytes / r.seconds * 1e-9, "GB/s" };
            const us = r.seconds * 1e6;
            try w.print("{s:<16} {d:>10.1} us {d:>8.1} {s}\n", .{ case.name, us, rate, unit });
            try w.flush();
        }
    }
}

pub fn main(init: std.process.Init) !void {
    const abi = @import("abi.zig");
    var buffer: [4096]u8 = undefined;
    var out: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const w = &out.interface;
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    if (abi.dlgrad_init("") != 0) return error.NoKernelsForThisCpu;
    try w.print("{s}, {d} threads\n", .{ abi.dlgrad_level(), threads.count() });
    try runAll(init.io, w, cases(1 << 20, 512), if (args.len > 1) args[1] else "", 0.3);
}

test "every row of the benchmark runs" {
    var buffer: [256]u8 = undefined;
    var discard: std.Io.Writer.Discarding = .init(&buffer);
    try runAll(std.testing.io, &discard.writer, cases(64, 16), "", 0);
}
