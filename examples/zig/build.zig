//! A Zig program with dlgrad's kernels: `zig build run`.
const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const levels = b.option([]const []const u8, "levels", "dlgrad's CPU levels, default all");
    const dlgrad = if (levels) |l|
        b.dependency("dlgrad", .{ .target = target, .levels = l })
    else
        b.dependency("dlgrad", .{ .target = target });
    const exe = b.addExecutable(.{
        .name = "example",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/main.zig"),
            .target = target,
            .optimize = optimize,
            .imports = &.{.{ .name = "dlgrad", .module = dlgrad.module("dlgrad") }},
        }),
    });
    b.installArtifact(exe);
    b.step("run", "Run the example").dependOn(&b.addRunArtifact(exe).step);
}
