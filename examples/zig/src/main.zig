//! A matrix product through dlgrad's kernels, the right operand read through its strides.
const std = @import("std");
const dlgrad = @import("dlgrad");

pub const std_options: std.Options = .{ .signal_stack_size = null };

pub fn main(init: std.process.Init) !void {
    const m = 2;
    const k = 3;
    const n = 4;
    var a: [m * k]f32 = undefined; // a is (m, k)
    var b: [n * k]f32 = undefined; // b is (k, n), kept as its transpose
    var out: [m * n]f32 = undefined; // out is (m, n)
    for (&a, 0..) |*x, i| x.* = @floatFromInt(i);
    for (&b, 0..) |*x, i| x.* = @floatFromInt(i);

    const product = try dlgrad.Plan.make("matmul", "matmul", .{
        .outputs = &.{.{ .dtype = .float32, .shape = &.{ m, n }, .strides = &.{ n, 1 } }},
        .inputs = &.{
            .{ .dtype = .float32, .shape = &.{ m, k }, .strides = &.{ k, 1 } },
            .{ .dtype = .float32, .shape = &.{ k, n }, .strides = &.{ 1, k } },
        },
    });
    defer product.free();
    try product.run(&.{ @ptrCast(&out), @ptrCast(&a), @ptrCast(&b) }, &.{});

    var buffer: [256]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const w = &stdout.interface;
    try w.print("kernels for {s}\n", .{dlgrad.dispatch.levelName()});
    for (0..m) |i| {
        for (0..n) |j| try w.print("{d:>6}", .{out[i * n + j]});
        try w.writeAll("\n");
    }
    try w.flush();
}
